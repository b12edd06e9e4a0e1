package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// TestEditor: the configuration editor is there although the bundle is not, its
// password is made once, a change of the bundle leaves its pod alone, and it
// stays when the registry is scaled to nothing.
func TestEditor(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle", NetworkPolicies: true})
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "there is no Secret bundle")
	credentials := func() (name, password string) {
		s := &corev1.Secret{}
		kubetest.Eventually(t, "the editor's credentials are told", func() error {
			name = get(b, &v1.QuayRegistry{}, "skynet").Status.ConfigEditorCredentialsSecret
			if name == "" {
				return errors.New("there are none")
			}
			return b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, s) // the one before goes before the status tells of the next
		})
		if string(s.Data["username"]) != "quayconfig" || len(s.Data["password"]) != 16 {
			t.Fatalf("credentials: %q, a password of %d", s.Data["username"], len(s.Data["password"]))
		}
		return name, string(s.Data["password"])
	}
	name, password := credentials()
	if !strings.HasPrefix(name, "skynet-quay-config-editor-credentials-") {
		t.Errorf("the credentials are in %s", name)
	}
	kubetest.Eventually(t, "the editor runs", func() error {
		if d := get(b, &appsv1.Deployment{}, "skynet-quay-config-editor"); d.Status.AvailableReplicas != 1 {
			return fmt.Errorf("%+v", d.Status)
		}
		return nil
	})
	first := get(b, &appsv1.Deployment{}, "skynet-quay-config-editor")

	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com\n"})
	b.available()
	change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) {
		s.Data["config.yaml"] = []byte("SERVER_HOSTNAME: quay.example.com\nFEATURE_QUOTA_MANAGEMENT: true\n")
	})
	zero := int32(0)
	b.spec(func(s *v1.QuayRegistrySpec) {
		s.Components = []v1.Component{unmanaged(v1.ComponentHPA), overrides(v1.ComponentQuay, v1.Override{Replicas: &zero}), overrides(v1.ComponentMirror, v1.Override{Replicas: &zero})}
	})
	kubetest.Eventually(t, "the registry is scaled to nothing", func() error {
		if n := get(b, &appsv1.Deployment{}, "skynet-quay-app").Spec.Replicas; n == nil || *n != 0 {
			return errors.New("it is not yet")
		}
		return nil
	})
	b.available()
	d := get(b, &appsv1.Deployment{}, "skynet-quay-config-editor")
	if d.Generation != first.Generation || *d.Spec.Replicas != 1 || d.Status.AvailableReplicas != 1 {
		t.Errorf("the editor's Deployment was generation %d, and is %d with %d pods", first.Generation, d.Generation, d.Status.AvailableReplicas)
	}
	if again, same := credentials(); again != name || same != password {
		t.Error("the password is another one")
	}
	if keys := get(b, &corev1.Secret{}, "skynet-quay-registry-managed-secret-keys").Data; string(keys[plan.KeyConfigEditor]) != password || len(keys["SECRET_KEY"]) != 80 {
		t.Error("the managed keys have another password, or no other keys")
	}
	if q := get(b, &v1.QuayRegistry{}, "skynet"); q.Status.ConfigEditorEndpoint != "" {
		t.Errorf("there is no route, and the endpoint is %q", q.Status.ConfigEditorEndpoint)
	}
	b.gone(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret"}}, "skynet-quay-config-editor-bundle")

	// Another password is another Secret, and another pod.
	change(b, &corev1.Secret{}, "skynet-quay-registry-managed-secret-keys", func(s *corev1.Secret) { s.Data[plan.KeyConfigEditor] = []byte("0123456789abcdef") })
	b.gone(&corev1.Secret{}, name)
	if _, now := credentials(); now != "0123456789abcdef" {
		t.Errorf("the password is %q", now)
	}
}

// TestEditorRights: the editor may read and patch its own three objects and
// list events, and nothing else, whatever the bundle is called.
func TestEditorRights(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com\n"})
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"})
	b.available()
	config := b.ServiceAccount(t, b.ns, "skynet-quay-config-editor")
	c, err := client.New(config, client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	may := func(verb, group, resource, name string) bool {
		r := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: b.ns, Verb: verb, Group: group, Resource: resource, Name: name}}}
		if err := c.Create(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		return r.Status.Allowed
	}
	type right struct{ verb, group, resource, name string }
	allowed := []right{
		{"get", "", "secrets", "bundle"}, {"patch", "", "secrets", "bundle"}, {"get", "", "secrets", "skynet-quay-config-editor-history"}, {"patch", "", "secrets", "skynet-quay-config-editor-history"},
		{"get", "quay.redhat.com", "quayregistries", "skynet"}, {"patch", "quay.redhat.com", "quayregistries", "skynet"}, {"list", "", "events", ""},
	}
	kubetest.Eventually(t, "the Role is in effect", func() error {
		for _, r := range allowed {
			if !may(r.verb, r.group, r.resource, r.name) {
				return fmt.Errorf("%+v is refused", r)
			}
		}
		return nil
	})
	for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} {
		for _, of := range []right{
			{"", "", "secrets", "other"}, {"", "", "secrets", ""}, {"", "", "secrets", "skynet-quay-registry-managed-secret-keys"}, {"", "", "secrets", "bundle"},
			{"", "", "secrets", "skynet-quay-config-editor-bundle"}, {"", "", "configmaps", ""}, {"", "", "pods", ""}, {"", "", "pods/exec", ""}, {"", "", "serviceaccounts/token", ""}, {"", "apps", "deployments", ""},
			{"", "quay.redhat.com", "quayregistries", "another"}, {"", "quay.redhat.com", "quayregistries", "skynet"}, {"", "quay.redhat.com", "quayregistries/status", "skynet"},
			{"", "rbac.authorization.k8s.io", "roles", ""}, {"", "", "events", ""},
		} {
			of.verb = verb
			if !slices.Contains(allowed, of) && may(of.verb, of.group, of.resource, of.name) {
				t.Errorf("the editor may %+v", of)
			}
		}
	}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "other"}, &corev1.Secret{}); err == nil {
		t.Error("the editor reads another Secret")
	}
	// Where none is named there is one to write the first configuration into.
	b.spec(func(s *v1.QuayRegistrySpec) { s.ConfigBundleSecret = "" })
	kubetest.Eventually(t, "the editor has a Secret of its own", func() error {
		role := get(b, &rbacv1.Role{}, "skynet-quay-config-editor")
		if !slices.Equal(role.Rules[0].ResourceNames, []string{"skynet-quay-config-editor-bundle", "skynet-quay-config-editor-history"}) {
			return fmt.Errorf("it has %v", role.Rules[0].ResourceNames)
		}
		return b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "skynet-quay-config-editor-bundle"}, &corev1.Secret{})
	})
}
