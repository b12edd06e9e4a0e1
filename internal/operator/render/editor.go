package render

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

const partEditor = "quay-config-editor"

// PartEditor is the component label of all that is the configuration editor's.
const PartEditor = partEditor

// EditorName is the name of the configuration editor's objects.
func EditorName(registry string) string { return registry + "-quay-config-editor" }

// EditorHistory is the Secret with earlier configurations.
func EditorHistory(registry string) string { return EditorName(registry) + "-history" }

// EditorBundle is the Secret that the editor writes the first configuration
// into where the QuayRegistry names none.
func EditorBundle(registry string) string { return EditorName(registry) + "-bundle" }

// An EditorRequest is all that the configuration editor's objects are made of.
// The bundle is not among it: the editor is there to mend one, and reads it
// through the API.
type EditorRequest struct {
	Registry   *v1.QuayRegistry
	Cluster    plan.Cluster
	Images     map[v1.ComponentKind]string
	Version    string
	Password   string
	NoRequests bool
	// Host is that of its Route; "" = none.
	Host string
}

// An Editor is the configuration editor of a registry.
type Editor struct {
	Objects     []client.Object
	Credentials string // the Secret with user and password
	Endpoint    string // "" = it is reached through its Service alone
}

// RenderEditor makes the configuration editor.
func RenderEditor(r EditorRequest) (*Editor, error) {
	cluster, err := json.Marshal(r.Cluster)
	if err != nil {
		return nil, err
	}
	// Of the registry's own pods it has the image and where they may run.
	o := v1.Override{}
	for _, c := range r.Registry.Spec.Components {
		if c.Kind == v1.ComponentQuay && c.Overrides != nil {
			o = v1.Override{Image: c.Overrides.Image, NodeSelector: c.Overrides.NodeSelector, Tolerations: c.Overrides.Tolerations,
				ImagePullSecrets: c.Overrides.ImagePullSecrets, PriorityClassName: c.Overrides.PriorityClassName}
		}
	}
	b := &builder{Request: Request{Registry: r.Registry, All: plan.Components{v1.ComponentQuay: {Managed: true, Overrides: o}}, Bundle: &plan.Bundle{}, Cluster: r.Cluster,
		Images: r.Images, Version: r.Version, NoRequests: r.NoRequests, Access: plan.Access{TLSAtDoor: true}}, name: r.Registry.Name, namespace: r.Registry.Namespace}
	name := EditorName(b.name)
	e := &Editor{Credentials: b.credentials(name+"-credentials", map[string][]byte{"username": []byte("quayconfig"), "password": []byte(r.Password)})}
	b.rights(name)
	c := corev1.Container{Name: partEditor, Args: []string{"config", "editor", "--registry", b.name, "--listen", "0.0.0.0:8080", "--cluster", string(cluster)},
		Env: []corev1.EnvVar{
			{Name: "MY_POD_NAMESPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}},
			fromSecret("QUAY_PASSWORD", e.Credentials, "password"),
		},
		Ports: []corev1.ContainerPort{port("http", portHTTP)}, VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		Resources: resources("10m", "48Mi", "256Mi")}
	probe := func(period, failures int32) *corev1.Probe {
		p := healthy(portHTTP, false, period, failures)
		p.HTTPGet.Path = "/health"
		return p
	}
	c.ReadinessProbe, c.LivenessProbe = probe(10, 3), probe(20, 6)
	one := int32(1)
	b.base(b.deployment(workload{kind: v1.ComponentQuay, name: name, part: partEditor, container: c, volumes: []corev1.Volume{emptyDir("tmp")}, account: name, grace: 10, replicas: &one}),
		&corev1.Service{TypeMeta: types("Service", "v1"), ObjectMeta: b.meta(name, partEditor, ""), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP,
			Selector: b.selector(partEditor), Ports: []corev1.ServicePort{servicePort("http", "http", 80, portHTTP)}}})
	if r.Host != "" {
		e.Endpoint = "https://" + r.Host
		b.routeTo(b.meta(name, partEditor, v1.ComponentRoute), r.Host, "http", name)
	}
	if r.Registry.Spec.NetworkPolicies {
		b.allow(partEditor, "", nil, portHTTP)
	}
	e.Objects = b.set.Base
	return e, nil
}

// credentials adds a Secret whose name ends in the hash of what it holds.
func (b *builder) credentials(name string, data map[string][]byte) string {
	s := &corev1.Secret{TypeMeta: types("Secret", "v1"), ObjectMeta: b.meta(name+"-"+plan.Hash(data), partEditor, ""), Data: data, Type: corev1.SecretTypeOpaque}
	b.base(s)
	return s.Name
}

// rights makes the editor's account, with what it may read and write: by name,
// and nothing else.
func (b *builder) rights(name string) {
	bundle := b.Registry.Spec.ConfigBundleSecret
	if bundle == "" {
		bundle = EditorBundle(b.name)
	}
	if bundle == EditorBundle(b.name) {
		b.base(&corev1.Secret{TypeMeta: types("Secret", "v1"), ObjectMeta: b.meta(bundle, partEditor, ""), Type: corev1.SecretTypeOpaque})
	}
	secrets := []string{bundle, EditorHistory(b.name)}
	slices.Sort(secrets)
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: secrets, Verbs: []string{"get", "patch"}},
		{APIGroups: []string{v1.GroupVersion.Group}, Resources: []string{"quayregistries"}, ResourceNames: []string{b.name}, Verbs: []string{"get", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}}, // a list has no name
	}
	b.base(&corev1.Secret{TypeMeta: types("Secret", "v1"), ObjectMeta: b.meta(EditorHistory(b.name), partEditor, ""), Type: corev1.SecretTypeOpaque},
		&corev1.ServiceAccount{TypeMeta: types("ServiceAccount", "v1"), ObjectMeta: b.meta(name, partEditor, "")},
		&rbacv1.Role{TypeMeta: types("Role", "rbac.authorization.k8s.io/v1"), ObjectMeta: b.meta(name, partEditor, ""), Rules: rules},
		&rbacv1.RoleBinding{TypeMeta: types("RoleBinding", "rbac.authorization.k8s.io/v1"), ObjectMeta: b.meta(name, partEditor, ""),
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: b.namespace}}})
}
