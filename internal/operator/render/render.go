// Package render makes the Kubernetes objects of a QuayRegistry. It is pure:
// the same Request gives the same objects, byte for byte, and nothing is read or
// written. Names, labels, ports and arguments are those of Quay's operator
// (operator.md, sections 9 to 13), so that what looks for them finds them.
package render

import (
	"cmp"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// Labels and annotations of objects.
const (
	// LabelRegistry is on every object: the name of the QuayRegistry.
	LabelRegistry = "quay-operator/quayregistry"
	// LabelComponent is the part of the registry that an object is of.
	LabelComponent = "quay-component"
	// AnnotationMigrated, on the Deployment of the registry, is the Schema that
	// it was rolled out for.
	AnnotationMigrated = "quay-operator/migrated"
	// AnnotationReplicas, on a Deployment, tells that its number of pods is the
	// operator's, and no autoscaler's.
	AnnotationReplicas = "quay-operator/replicas"
	// AnnotationHash is on every object: the hash of what it was made as.
	AnnotationHash = "quay-operator/hash"
)

// Values of LabelComponent.
const (
	partApp           = "quay-app"
	partUpgrade       = "quay-app-upgrade"
	partMirror        = "quay-mirror"
	partPostgres      = "postgres"
	partRedis         = "redis"
	partClair         = "clair-app"
	partClairPostgres = "clair-postgres"
	partMonitoring    = "monitoring"
	partConfig        = "config"
	partStorage       = "objectstorage"
)

// A Request is all that a registry's objects are made of.
type Request struct {
	Registry *v1.QuayRegistry
	All      plan.Components
	Bundle   *plan.Bundle
	Keys     plan.Keys
	Facts    plan.Facts
	Access   plan.Access
	Cluster  plan.Cluster
	// Cert and Key are the certificate, in PEM: served by the registry itself
	// unless TLS ends at the door, and then by an Ingress. nil = there is none.
	Cert, Key []byte
	// Images are the components' images, by kind.
	Images map[v1.ComponentKind]string
	// Version is that of the operator, and so of the registry.
	Version string
	// Proxy has HTTP_PROXY, HTTPS_PROXY and NO_PROXY, where the operator has them.
	Proxy map[string]string
	// ServiceCA and TrustedCA are hashes of the cluster's authorities; another
	// hash replaces the pods. "" = there are none.
	ServiceCA, TrustedCA string
	// Scaled are Deployments that an autoscaler of the user's scales: their number
	// of pods is not the operator's.
	Scaled map[string]bool
	// NoRequests leaves requests and limits of resources out.
	NoRequests bool
	// Console is whether OpenShift's console shows dashboards, and the operator
	// may put them there.
	Console bool
	// Backups are the registry's QuayRegistryBackups whose vaults are there, and
	// Restore the QuayRegistryRestore that is under way; nil = none.
	Backups []*v1.QuayRegistryBackup
	Restore *v1.QuayRegistryRestore
	// Import is the Quay whose database is imported before the registry starts;
	// nil = none, or it is done.
	Import *Import
}

// serves reports whether the registry itself ends TLS.
func (r *Request) serves() bool { return len(r.Cert) > 0 && !r.Access.TLSAtDoor }

// A Set is the objects of a registry, in the order in which they are needed.
type Set struct {
	// Base is what the others need: accounts, Secrets, Services, volumes, doors,
	// scalers, monitoring.
	Base []client.Object
	// Data are the workloads that keep data, and what must be there before the
	// registry.
	Data []client.Object
	// Import imports the database of a Quay; nil = none. It comes before Migrate.
	Import *batchv1.Job
	// Migrate brings the database's schema up.
	Migrate *batchv1.Job
	// Apps are the workloads that need a schema.
	Apps []client.Object
	// Backups are the objects of backups, and Restore is the Job of a restore,
	// nil = none. They belong to their own resources, not to the registry.
	Backups []client.Object
	Restore *batchv1.Job
	// ConfigSecret and ConfigHash name the configuration.
	ConfigSecret, ConfigHash string
	// Schema names the database and the version: another one is migrated first.
	Schema string
}

// All are the objects of a set but Import and Migrate.
func (s *Set) All() []client.Object {
	return slices.Concat(s.Base, s.Data, s.Apps)
}

// A builder makes one set.
type builder struct {
	Request
	name, namespace string
	set             Set
	tlsSecret       string // "" = the registry does not serve TLS
	caSecret        string // "" = no further authorities
	proxySecret     string // "" = no proxy
	files           map[string][]byte
}

// Render makes the objects.
func Render(r Request) (*Set, error) {
	b := &builder{Request: r, name: r.Registry.Name, namespace: r.Registry.Namespace}
	if err := b.config(); err != nil {
		return nil, err
	}
	b.accounts()
	b.app()
	b.mirror()
	b.database()
	b.redis()
	b.clair()
	if err := b.clairConfig(); err != nil {
		return nil, err
	}
	b.storage()
	b.door()
	b.scale()
	if err := b.monitoring(); err != nil {
		return nil, err
	}
	b.policies()
	if err := b.backups(); err != nil {
		return nil, err
	}
	b.restore()
	b.importing()
	return &b.set, nil
}

func (b *builder) base(objects ...client.Object) { b.set.Base = append(b.set.Base, objects...) }

// selector is the labels that select the pods of a part.
func (b *builder) selector(part string) map[string]string {
	return map[string]string{LabelComponent: part, LabelRegistry: b.name}
}

// meta is the metadata of an object of a part, which belongs to a component.
func (b *builder) meta(name, part string, kind v1.ComponentKind) metav1.ObjectMeta {
	labels := b.selector(part)
	labels["app"] = "quay"
	m := metav1.ObjectMeta{Name: name, Namespace: b.namespace, Labels: labels, Annotations: b.annotations(kind)}
	m.OwnerReferences = []metav1.OwnerReference{b.owner()}
	return m
}

func (b *builder) owner() metav1.OwnerReference {
	yes := true
	return metav1.OwnerReference{APIVersion: v1.GroupVersion.String(), Kind: "QuayRegistry", Name: b.name, UID: b.Registry.UID, Controller: &yes, BlockOwnerDeletion: &yes}
}

func (b *builder) annotations(kind v1.ComponentKind) map[string]string {
	a := map[string]string{"quay-registry-hostname": b.Access.Hostname, LabelComponent: string(cmp.Or(kind, "base"))}
	if host := b.Bundle.BuilderHost(); host != "" {
		a["quay-buildmanager-hostname"] = host
	}
	return a
}

func types(kind, version string) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: kind, APIVersion: version}
}

// overrides are those of a component.
func (b *builder) overrides(kind v1.ComponentKind) v1.Override { return b.All[kind].Overrides }

// A workload is what deployment makes a Deployment of.
type workload struct {
	kind        v1.ComponentKind
	name, part  string
	container   corev1.Container
	volumes     []corev1.Volume
	init        []corev1.Container
	account     string
	grace       int64 // seconds; 0 = 60
	recreate    bool  // the old pod ends before the new one starts
	spread      bool  // over nodes
	together    bool  // on one node, where that can be
	replicas    *int32
	annotations map[string]string // of the pods
	deployment  map[string]string // annotations of the Deployment
}

func (b *builder) deployment(w workload) *appsv1.Deployment {
	o := b.overrides(w.kind)
	template := b.pod(w, o)
	d := &appsv1.Deployment{TypeMeta: types("Deployment", "apps/v1"), ObjectMeta: b.meta(w.name, w.part, w.kind)}
	d.Labels = over(d.Labels, o.Labels)
	d.Annotations = over(over(d.Annotations, o.Annotations), w.deployment)
	if w.replicas != nil {
		d.Annotations[AnnotationReplicas] = "fixed"
	}
	revisions, deadline := int32(3), int32(600)
	d.Spec = appsv1.DeploymentSpec{
		Replicas: w.replicas, Selector: &metav1.LabelSelector{MatchLabels: b.selector(w.part)}, Template: template,
		RevisionHistoryLimit: &revisions, ProgressDeadlineSeconds: &deadline,
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
	}
	if !w.recreate {
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: number(0), MaxSurge: number(1)}}
	}
	return d
}

// pod is the template of a workload's pods.
func (b *builder) pod(w workload, o v1.Override) corev1.PodTemplateSpec {
	yes, grace := true, cmp.Or(w.grace, 60)
	c := w.container
	c.Image = cmp.Or(o.Image, b.Images[w.kind])
	c.ImagePullPolicy = corev1.PullIfNotPresent
	c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	c.SecurityContext = locked(w.kind)
	if o.SecurityContext != nil {
		c.SecurityContext = o.SecurityContext
	}
	if o.Resources != nil {
		c.Resources = *o.Resources
	}
	if b.NoRequests {
		c.Resources = corev1.ResourceRequirements{}
	}
	c.Env = mergeEnv(c.Env, o.Env)
	labels := b.selector(w.part)
	labels["app"] = "quay"
	annotations := over(over(map[string]string{"quay-registry-hostname": b.Access.Hostname}, w.annotations), o.Annotations)
	spec := corev1.PodSpec{
		ServiceAccountName: w.account, InitContainers: w.init, Containers: []corev1.Container{c}, Volumes: w.volumes,
		TerminationGracePeriodSeconds: &grace, NodeSelector: o.NodeSelector, Tolerations: o.Tolerations,
		PriorityClassName: o.PriorityClassName, ImagePullSecrets: o.ImagePullSecrets, Affinity: o.Affinity,
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
	}
	if slices.ContainsFunc(w.volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil }) {
		spec.SecurityContext.FSGroup = b.group()
	}
	if w.account == "" {
		no := false
		spec.AutomountServiceAccountToken = &no
	}
	for _, t := range o.TopologySpreadConstraints {
		if t.LabelSelector == nil {
			t.LabelSelector = &metav1.LabelSelector{MatchLabels: b.selector(w.part)}
		}
		spec.TopologySpreadConstraints = append(spec.TopologySpreadConstraints, t)
	}
	if o.Affinity == nil {
		term := []corev1.WeightedPodAffinityTerm{{Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{
			LabelSelector: &metav1.LabelSelector{MatchLabels: b.selector(w.part)}, TopologyKey: "kubernetes.io/hostname"}}}
		switch {
		case w.together:
			delete(term[0].PodAffinityTerm.LabelSelector.MatchLabels, LabelComponent)
			term[0].PodAffinityTerm.LabelSelector.MatchExpressions = []metav1.LabelSelectorRequirement{
				{Key: LabelComponent, Operator: metav1.LabelSelectorOpIn, Values: []string{partApp, partMirror}}}
			spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: term}}
		case w.spread:
			spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: term}}
		}
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: over(labels, o.Labels), Annotations: annotations}, Spec: spec}
}

// locked is the security context of a container: no rights beyond those of a
// user. The images of databases write beside their volume.
func locked(kind v1.ComponentKind) *corev1.SecurityContext {
	yes, no := true, false
	readOnly := kind == v1.ComponentQuay || kind == v1.ComponentMirror
	return &corev1.SecurityContext{AllowPrivilegeEscalation: &no, RunAsNonRoot: &yes, ReadOnlyRootFilesystem: &readOnly,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
}

// over lays b over a, in a new map.
func over(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, b)
	return m
}

// mergeEnv lays variables over others, by name.
func mergeEnv(under, above []corev1.EnvVar) []corev1.EnvVar {
	list := slices.Clone(under)
	for _, v := range above {
		if i := slices.IndexFunc(list, func(u corev1.EnvVar) bool { return u.Name == v.Name }); i >= 0 {
			list[i] = v
		} else {
			list = append(list, v)
		}
	}
	return list
}

// replicas is how many pods of a scaled component run; nil = the autoscaler
// decides.
func (b *builder) replicas(kind v1.ComponentKind) *int32 {
	if n := b.overrides(kind).Replicas; n != nil {
		return n
	}
	if b.All.Managed(v1.ComponentHPA) && b.scales(kind) || b.Scaled[b.name+workloadNames[kind]] {
		return nil
	}
	two := int32(2)
	if b.alone() && kind != v1.ComponentClair {
		two = 1
	}
	return &two
}

// workloadNames are the ends of the names of Deployments that are scaled.
var workloadNames = map[v1.ComponentKind]string{v1.ComponentQuay: "-quay-app", v1.ComponentClair: "-clair-app", v1.ComponentMirror: "-quay-mirror"}

// alone reports whether the registry's storage is a volume for one node.
func (b *builder) alone() bool {
	return b.Facts.Volume != "" && b.overrides(v1.ComponentObjectStorage).AccessMode != corev1.ReadWriteMany
}

// scales reports whether more than one pod of the component can run.
func (b *builder) scales(kind v1.ComponentKind) bool {
	return !b.alone() || kind == v1.ComponentClair
}
