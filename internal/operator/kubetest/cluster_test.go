package kubetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	quayv1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// TestCluster sees that what tests of an operator take for granted happens:
// Deployments become available, volumes are bound, and what a CRD forbids is
// refused.
func TestCluster(t *testing.T) {
	c := API(t)
	ns := c.Namespace(t)
	c.Apply(t, fmt.Appendf(nil, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: %[1]s}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: box, namespace: %[1]s}
spec:
  replicas: 2
  selector: {matchLabels: {app: box}}
  template:
    metadata: {labels: {app: box}}
    spec:
      containers: [{name: box, image: "example.test/box:1"}]
`, ns))
	Eventually(t, "the Deployment is available", func() error {
		var d appsv1.Deployment
		err := c.Client().Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "box"}, &d)
		if err == nil && d.Status.AvailableReplicas != 2 {
			err = fmt.Errorf("%+v", d.Status)
		}
		return err
	})
	Eventually(t, "the claim is bound", func() error {
		var p corev1.PersistentVolumeClaim
		err := c.Client().Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "data"}, &p)
		if err == nil && p.Status.Phase != corev1.ClaimBound {
			err = errors.New(string(p.Status.Phase))
		}
		return err
	})
	q := &quayv1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: ns}}
	if err := c.Client().Create(t.Context(), q); err != nil {
		t.Error(err)
	}
	bad := &quayv1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: "bad", Namespace: ns}}
	bad.Spec.Components = []quayv1.Component{{Kind: "mirroring", Managed: true}}
	if err := c.Client().Create(t.Context(), bad); !apierrors.IsInvalid(err) {
		t.Errorf("an unknown component: %v", err)
	}
	if err := c.DryRun(t.Context(), ns, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dry}\n")); err != nil {
		t.Error(err)
	}
	if err := c.Client().Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "dry"}, new(corev1.ConfigMap)); !apierrors.IsNotFound(err) {
		t.Errorf("a dry run has written: %v", err)
	}
	if err := c.DryRun(t.Context(), ns, []byte("apiVersion: v1\nkind: Service\nmetadata: {name: dry}\nspec: {ports: [{port: 0}]}\n")); !apierrors.IsInvalid(err) {
		t.Errorf("a Service with port 0: %v", err)
	}
}

// TestUser sees that users may do what RBAC grants them, and that the audit
// tells them apart.
func TestUser(t *testing.T) {
	c := API(t)
	ns := c.Namespace(t)
	audit := c.Audit(t)
	config := c.ServiceAccount(t, ns, "reader")
	config.UserAgent = "kubetest-reader"
	reader, err := client.New(config, client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	list := func() error { return reader.List(t.Context(), new(corev1.ConfigMapList), client.InNamespace(ns)) }
	if err := list(); !apierrors.IsForbidden(err) {
		t.Errorf("without a role: %v", err)
	}
	c.Apply(t, fmt.Appendf(nil, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: %[1]s}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: %[1]s}]
`, ns))
	Eventually(t, "the role is in force", list)
	if err := reader.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "x"}}); !apierrors.IsForbidden(err) {
		t.Errorf("create: %v", err)
	}
	got := audit.Requests(t, func(r Request) bool { return r.Namespace == ns && r.Agent == "kubetest-reader" })
	for _, want := range []Request{{Verb: "list", Code: 403}, {Verb: "list", Code: 200}, {Verb: "create", Code: 403}} {
		want.User, want.Agent, want.Resource, want.Namespace = "system:serviceaccount:"+ns+":reader", "kubetest-reader", "configmaps", ns
		if !slices.ContainsFunc(got, func(r Request) bool { r.Path = ""; return r == want }) {
			t.Errorf("the audit has no %v: %v", want, got)
		}
	}
	if writes := audit.Requests(t, func(r Request) bool { return r.Writes() && r.Namespace == ns && r.User == "admin" }); len(writes) != 2 {
		t.Errorf("the administrator's writes: %v", writes)
	}
}

// TestOthers lets the API of Routes come and go.
func TestOthers(t *testing.T) {
	c := API(t)
	routes := new(unstructured.UnstructuredList)
	routes.SetGroupVersionKind(schema.GroupVersionKind{Group: "route.openshift.io", Version: "v1", Kind: "RouteList"})
	list := func(ctx context.Context) error {
		// A client of its own: the administrator's remembers what is served.
		fresh, err := client.New(c.Config(), client.Options{})
		if err == nil {
			err = fresh.List(ctx, routes)
		}
		return err
	}
	if err := list(t.Context()); !meta.IsNoMatchError(err) {
		t.Errorf("before: %v", err)
	}
	t.Run("with", func(t *testing.T) {
		c.With(t, Route)
		if err := list(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := list(t.Context()); !meta.IsNoMatchError(err) {
		t.Errorf("after: %v", err)
	}
}

func TestFull(t *testing.T) {
	c := Full(t)
	for _, gvk := range []schema.GroupVersionKind{
		{Group: "route.openshift.io", Version: "v1", Kind: "Route"},
		{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"},
		{Group: "monitoring.coreos.com", Version: "v1", Kind: "PrometheusRule"},
		{Group: "objectbucket.io", Version: "v1alpha1", Kind: "ObjectBucketClaim"},
		{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
		{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"},
		{Group: "operators.coreos.com", Version: "v1alpha1", Kind: "ClusterServiceVersion"},
	} {
		list := new(unstructured.UnstructuredList)
		list.SetGroupVersionKind(gvk)
		if err := c.Client().List(t.Context(), list); err != nil {
			t.Errorf("%s: %v", gvk, err)
		}
	}
	ingress := new(unstructured.Unstructured)
	ingress.SetGroupVersionKind(schema.GroupVersionKind{Group: "config.openshift.io", Version: "v1", Kind: "Ingress"})
	if err := c.Client().Get(t.Context(), client.ObjectKey{Name: "cluster"}, ingress); err != nil {
		t.Fatal(err)
	}
	if domain, _, _ := unstructured.NestedString(ingress.Object, "spec", "domain"); domain != AppsDomain {
		t.Errorf("domain %q", domain)
	}
}

// TestRestart kills the API server, and stops it.
func TestRestart(t *testing.T) {
	c := API(t)
	ns := c.Namespace(t)
	c.Restart(t, "kube-apiserver")
	if err := c.Client().Get(t.Context(), client.ObjectKey{Name: ns}, new(corev1.Namespace)); err != nil {
		t.Error(err)
	}
	thaw := c.Freeze(t, "kube-apiserver")
	config := c.Config()
	config.Timeout = 1e9
	impatient, err := client.New(config, client.Options{Scheme: Scheme()})
	if err == nil {
		err = impatient.Get(t.Context(), client.ObjectKey{Name: ns}, new(corev1.Namespace))
	}
	if err == nil {
		t.Error("a frozen API server answers")
	}
	thaw()
	c.Answers(t)
}
