// Package kubetest gives tests a real Kubernetes: etcd, API server, controller
// manager and scheduler of e2e/k8s/harness, with nodes that only pretend to run
// pods. RBAC is on, volumes are bound, Deployments become available, Jobs
// succeed; the annotation k8sharness.local/fake of a pod template asks for
// something else (pending, unready, crash, fail, succeed).
//
// A cluster is shared by the tests of a process and ends with it. A test has
// namespaces of its own in it.
package kubetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	quayv1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/servertest"
)

// The APIs of others that a cluster may have, for With and Remove.
const (
	Route       = "route"       // route.openshift.io
	OpenShift   = "openshift"   // config.openshift.io: Ingress, Infrastructure, ClusterVersion, APIServer, Proxy
	Monitoring  = "monitoring"  // monitoring.coreos.com: ServiceMonitor, PrometheusRule
	OBC         = "obc"         // objectbucket.io
	Gateway     = "gateway"     // gateway.networking.k8s.io
	CertManager = "certmanager" // cert-manager.io
	OLM         = "olm"         // operators.coreos.com: ClusterServiceVersion
)

// Others are all of them.
func Others() []string {
	return []string{Route, OpenShift, Monitoring, OBC, Gateway, CertManager, OLM}
}

// AppsDomain is the domain of applications that the Full cluster's
// configuration names, as OpenShift's does.
const AppsDomain = "apps.kubetest.test"

// A Cluster is a Kubernetes without machines.
type Cluster struct {
	dir     string // of the running cluster
	harness string // folder of the program and the CRDs
	proc    *servertest.Process
	config  *rest.Config
	client  client.Client

	mu     sync.Mutex
	others map[string]bool // APIs of others that it has
}

var (
	bare = sync.OnceValues(func() (*Cluster, error) { return start("k8s") })
	full = sync.OnceValues(func() (*Cluster, error) {
		c, err := start("k8s-full")
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.install(ctx, Others()...); err != nil {
			return nil, err
		}
		return c, c.apply(ctx, []byte(`
apiVersion: v1
kind: Namespace
metadata: {name: openshift-config-managed}
---
apiVersion: v1
kind: Namespace
metadata: {name: openshift-monitoring}
---
apiVersion: config.openshift.io/v1
kind: Ingress
metadata: {name: cluster}
spec: {domain: `+AppsDomain+`}
`))
	})
)

// API returns the bare cluster of this test process: Kubernetes, with the
// resource QuayRegistry and no API of others. Two pretended nodes run its pods.
func API(t testing.TB) *Cluster {
	t.Helper()
	return must(t, bare)
}

// Full returns the cluster of this test process that has all APIs of others,
// and looks like OpenShift: its domain of applications is AppsDomain. Nothing
// answers to those APIs: no Route is admitted and no bucket claim bound but by
// the test.
func Full(t testing.TB) *Cluster {
	t.Helper()
	return must(t, full)
}

func must(t testing.TB, start func() (*Cluster, error)) *Cluster {
	t.Helper()
	c, err := start()
	if err != nil {
		t.Fatalf("kubetest: %v", err)
	}
	return c
}

// Scheme knows the kinds of Kubernetes and the QuayRegistry.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	// Neither fails: the kinds are those of packages, not of a test.
	if err := errors.Join(clientgoscheme.AddToScheme(s), quayv1.AddToScheme(s)); err != nil {
		panic(err)
	}
	return s
}

func start(name string) (*Cluster, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(context.Background(), filepath.Join(root, "scripts", "k8s-harness"), "--built").Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil, fmt.Errorf("%s", bytes.TrimSpace(e.Stderr))
		}
		return nil, err
	}
	harness := strings.TrimSpace(string(out))
	dir, err := servertest.Dir()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: filepath.Join(dir, name), harness: harness, others: make(map[string]bool)}
	cmd := exec.CommandContext(context.Background(), c.program(), "run", "-dir", c.dir, "-fake-nodes", cmp.Or(os.Getenv("GANTRY_FAKE_NODES"), "2"), "-audit")
	if c.proc, err = servertest.Launch(cmd, filepath.Join(dir, name+".log"), nil, syscall.SIGTERM); err != nil {
		return nil, err
	}
	if err := c.proc.Ready(func(context.Context) error {
		_, err := os.Stat(filepath.Join(c.dir, "run", "ready"))
		return err
	}); err != nil {
		return nil, err
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", filepath.Join(c.dir, "kubeconfig")); err != nil {
		return nil, err
	}
	c.config.QPS = -1 // the limit is the server's
	if c.client, err = client.New(c.config, client.Options{Scheme: Scheme()}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return c, c.applyCRDs(ctx, filepath.Join(root, "config", "crd"))
}

// repository is the folder of this checkout.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "k8s-harness")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("these tests run inside the repository")
		}
	}
}

func (c *Cluster) program() string { return filepath.Join(c.harness, "k8sharness") }

// Config is that of the administrator, without a limit of requests. It is a
// copy: change it as you like.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the file with the administrator's configuration.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// Client is the administrator's. It knows the kinds of Scheme, and all others
// as unstructured objects.
func (c *Cluster) Client() client.Client { return c.client }

// User returns the configuration of another user, who may do what RBAC grants
// the name and the groups. The service account N of namespace S is
// "system:serviceaccount:S:N" with the groups "system:serviceaccounts" and
// "system:serviceaccounts:S".
func (c *Cluster) User(t testing.TB, name string, groups ...string) *rest.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	out, err := exec.CommandContext(t.Context(), c.program(), "user", "-dir", c.dir, "-user", name,
		"-groups", strings.Join(groups, ","), "-out", file).CombinedOutput()
	if err != nil {
		t.Fatalf("kubetest: user %s: %v\n%s", name, err, out)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatalf("kubetest: user %s: %v", name, err)
	}
	config.QPS = -1
	return config
}

// ServiceAccount returns the configuration of a service account, which need
// not be there.
func (c *Cluster) ServiceAccount(t testing.TB, namespace, name string) *rest.Config {
	t.Helper()
	return c.User(t, "system:serviceaccount:"+namespace+":"+name, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
}

// Namespace makes a namespace and deletes it when the test ends, with all that
// is in it and without waiting for that.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.client.Create(t.Context(), ns); err != nil {
		t.Fatalf("kubetest: namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := c.client.Delete(context.Background(), ns); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("kubetest: delete namespace %s: %v", ns.Name, err)
		}
	})
	// Pods need the account that the controller manager makes.
	account := client.ObjectKey{Namespace: ns.Name, Name: "default"}
	Eventually(t, "the default service account", func() error {
		return c.client.Get(t.Context(), account, new(corev1.ServiceAccount))
	})
	return ns.Name
}

// Apply writes the objects of a YAML stream, as the administrator; what the
// cluster has already is changed to what they say. They stay when the test
// ends.
func (c *Cluster) Apply(t testing.TB, stream []byte) {
	t.Helper()
	if err := c.apply(t.Context(), stream); err != nil {
		t.Fatalf("kubetest: %v", err)
	}
}

// DryRun has the API server check the objects of a YAML stream as Apply would
// write them, and writes none. The namespace is that of objects which name
// none.
func (c *Cluster) DryRun(ctx context.Context, namespace string, stream []byte) error {
	return c.each(stream, func(o *unstructured.Unstructured) error {
		namespaced, err := c.client.IsObjectNamespaced(o)
		if err == nil {
			if namespaced && o.GetNamespace() == "" {
				o.SetNamespace(namespace)
			}
			err = c.patch(ctx, o, client.DryRunAll)
		}
		return err
	})
}

func (c *Cluster) apply(ctx context.Context, stream []byte) error {
	return c.each(stream, func(o *unstructured.Unstructured) error { return c.patch(ctx, o) })
}

func (c *Cluster) patch(ctx context.Context, o *unstructured.Unstructured, options ...client.ApplyOption) error {
	options = append(options, client.FieldOwner("kubetest"), client.ForceOwnership)
	return c.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), options...)
}

func (c *Cluster) each(stream []byte, do func(*unstructured.Unstructured) error) error {
	objects, err := Objects(stream)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := do(o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// Objects reads the objects of a YAML stream; empty documents are none.
func Objects(stream []byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096); ; {
		o := new(unstructured.Unstructured)
		if err := d.Decode(&o.Object); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

// With gives the cluster APIs of others until the test ends or takes them away:
// for what happens when they come and go. Tests that only need them use Full.
// A test with APIs of its own is not parallel to others of the same cluster.
func (c *Cluster) With(t testing.TB, apis ...string) {
	t.Helper()
	had := c.has()
	if err := c.install(t.Context(), apis...); err != nil {
		t.Fatalf("kubetest: %v", err)
	}
	t.Cleanup(func() {
		for _, api := range apis {
			if had[api] {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if err := c.remove(ctx, api); err != nil {
				t.Errorf("kubetest: remove %s: %v", api, err)
			}
			cancel()
		}
	})
}

// Remove takes APIs of others away, with all their objects. Those that With
// did not give are missing for all later tests.
func (c *Cluster) Remove(t testing.TB, apis ...string) {
	t.Helper()
	for _, api := range apis {
		if err := c.remove(t.Context(), api); err != nil {
			t.Fatalf("kubetest: remove %s: %v", api, err)
		}
	}
}

func (c *Cluster) has() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := make(map[string]bool)
	for api := range c.others {
		had[api] = true
	}
	return had
}

func (c *Cluster) install(ctx context.Context, apis ...string) error {
	for _, api := range apis {
		if !slices.Contains(Others(), api) {
			return fmt.Errorf("there is no API %q: %s", api, strings.Join(Others(), ", "))
		}
		if err := c.applyCRDs(ctx, filepath.Join(c.harness, "crds", api)); err != nil {
			return err
		}
		c.mu.Lock()
		c.others[api] = true
		c.mu.Unlock()
	}
	return nil
}

func (c *Cluster) remove(ctx context.Context, api string) error {
	crds, err := readCRDs(filepath.Join(c.harness, "crds", api))
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := c.client.Delete(ctx, crd); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	for _, crd := range crds {
		if err := poll(ctx, func() error {
			err := c.client.Get(ctx, client.ObjectKeyFromObject(crd), crd)
			if err == nil {
				return fmt.Errorf("%s is still there", crd.GetName())
			}
			return client.IgnoreNotFound(err)
		}); err != nil {
			return err
		}
	}
	c.mu.Lock()
	delete(c.others, api)
	c.mu.Unlock()
	return nil
}

func readCRDs(dir string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no resource definitions in %s", dir)
	}
	var all []*unstructured.Unstructured
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		objects, err := Objects(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

// applyCRDs writes resource definitions and returns when they are served.
func (c *Cluster) applyCRDs(ctx context.Context, dir string) error {
	crds, err := readCRDs(dir)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := c.patch(ctx, crd); err != nil {
			return fmt.Errorf("%s: %w", crd.GetName(), err)
		}
	}
	for _, crd := range crds {
		if err := c.served(ctx, crd); err != nil {
			return fmt.Errorf("%s: %w", crd.GetName(), err)
		}
	}
	return nil
}

// served waits until all versions of a resource are.
func (c *Cluster) served(ctx context.Context, crd *unstructured.Unstructured) error {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, ok := v.(map[string]any)
		if !ok || version["served"] != true {
			continue
		}
		name, _ := version["name"].(string)
		list := new(unstructured.UnstructuredList)
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: name, Kind: kind + "List"})
		if err := poll(ctx, func() error { return c.client.List(ctx, list, client.Limit(1)) }); err != nil {
			return err
		}
	}
	return nil
}

// Restart kills a component (etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler) and returns when the cluster answers again, with it.
func (c *Cluster) Restart(t testing.TB, component string) {
	t.Helper()
	before := c.pid(t, component)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatalf("kubetest: kill %s: %v", component, err)
	}
	Eventually(t, component+" starts again", func() error {
		if c.pid(t, component) == before {
			return errors.New("it has not")
		}
		return nil
	})
	c.Answers(t)
}

// Freeze stops a component from doing anything, as a machine does that hangs,
// until thaw is called or the test ends.
func (c *Cluster) Freeze(t testing.TB, component string) (thaw func()) {
	t.Helper()
	pid := c.pid(t, component)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatalf("kubetest: freeze %s: %v", component, err)
	}
	Eventually(t, component+" stands still", func() error { // its threads stop one after the other
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(tasks) == 0 {
			return fmt.Errorf("no threads: %w", err)
		}
		for _, task := range tasks {
			raw, err := os.ReadFile(task)
			_, state, _ := strings.Cut(string(raw), ") ")
			if err == nil && !strings.HasPrefix(state, "T") {
				return errors.New("a thread runs")
			}
		}
		return nil
	})
	thaw = sync.OnceFunc(func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Errorf("kubetest: thaw %s: %v", component, err)
		}
	})
	t.Cleanup(thaw)
	return thaw
}

// Answers waits until the API server is ready.
func (c *Cluster) Answers(t testing.TB) {
	t.Helper()
	r, err := rest.UnversionedRESTClientFor(unversioned(c.Config()))
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the API server is ready", func() error {
		return r.Get().AbsPath("/readyz").Do(t.Context()).Error()
	})
}

func unversioned(c *rest.Config) *rest.Config {
	c.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	c.Timeout = 10 * time.Second
	return c
}

func (c *Cluster) pid(t testing.TB, component string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dir, "run", component+".pid"))
	if err != nil {
		t.Fatalf("kubetest: %s: %v", component, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil { // just being written
		return 0
	}
	return pid
}

// Log returns the end of what a component has logged.
func (c *Cluster) Log(component string) string {
	b, err := os.ReadFile(filepath.Join(c.dir, "logs", component+".log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}

// Eventually waits, for up to a minute, until ok returns nil.
func Eventually(t testing.TB, what string, ok func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := poll(ctx, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func poll(ctx context.Context, ok func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if meta.IsNoMatchError(err) {
				return fmt.Errorf("it is not served: %w", err)
			}
			return err
		case <-tick.C:
		}
	}
}

// Field returns a field of an object as the administrator sees it; nil = there
// is no such field, or no object. It is for tests of rooms that do not know
// Kubernetes' types.
func (c *Cluster) Field(t testing.TB, apiVersion, kind, namespace, name string, path ...string) any {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	err := c.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, u)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatalf("kubetest: get %s %s: %v", kind, name, err)
	}
	v, _, err := unstructured.NestedFieldCopy(u.Object, path...)
	if err != nil {
		t.Fatalf("kubetest: %s of %s %s: %v", strings.Join(path, "."), kind, name, err)
	}
	return v
}
