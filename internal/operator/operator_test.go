package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// A bench is a namespace of a cluster, with a registry in it.
type bench struct {
	testing.TB
	*kubetest.Cluster
	ns string
}

// Log is the test's, not the cluster's.
func (b *bench) Log(args ...any) { b.Helper(); b.TB.Log(args...) }

func newBench(t testing.TB, c *kubetest.Cluster) *bench {
	return &bench{t, c, c.Namespace(t)}
}

// options are those of an operator of one namespace.
func (b *bench) options() Options {
	return Options{Version: "3.7.0", Namespaces: []string{b.ns}, Metrics: "0", Probes: "0", Log: slog.New(slog.NewTextHandler(b.Output(), nil)),
		Images: map[v1.ComponentKind]string{v1.ComponentQuay: "example.test/quay:1", v1.ComponentPostgres: "example.test/postgres:1", v1.ComponentRedis: "example.test/redis:1"},
		lookup: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }}
}

// agent is the name by which the operators of tests are told from their tests.
const agent = "operator-under-test"

// run starts an operator, and returns what stops it.
func (b *bench) run(o Options) (stop func()) {
	b.Helper()
	return b.runAs(b.Config(), o)
}

func (b *bench) runAs(config *rest.Config, o Options) (stop func()) {
	b.Helper()
	config.UserAgent = agent + "/" + b.ns
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, config, o) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			b.Errorf("the operator ended with %v", err)
		}
	}
	b.Cleanup(stop)
	return stop
}

func (b *bench) create(o client.Object) {
	b.Helper()
	o.SetNamespace(b.ns)
	if err := b.Client().Create(b.Context(), o); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) registry(spec v1.QuayRegistrySpec) *v1.QuayRegistry {
	b.Helper()
	q := &v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: "skynet"}, Spec: spec}
	b.create(q)
	return q
}

func (b *bench) bundle(data map[string]string) {
	b.Helper()
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bundle"}, StringData: data})
}

// get reads an object of the namespace.
func get[T client.Object](b *bench, o T, name string) T {
	b.Helper()
	if err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, o); err != nil {
		b.Fatal(err)
	}
	return o
}

func (b *bench) gone(o client.Object, name string) {
	b.Helper()
	kubetest.Eventually(b, fmt.Sprintf("%T %s is gone", o, name), func() error {
		err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, o)
		switch {
		case apierrors.IsNotFound(err) || err == nil && o.GetDeletionTimestamp() != nil:
			return nil
		case err == nil:
			return errors.New("it is there")
		}
		return err
	})
}

// change edits an object until nobody else's edit comes between.
func change[T client.Object](b *bench, o T, name string, edit func(T)) {
	b.Helper()
	kubetest.Eventually(b, "an edit of "+name, func() error {
		if err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, o); err != nil {
			return err
		}
		edit(o)
		return b.Client().Update(b.Context(), o)
	})
}

func (b *bench) spec(edit func(*v1.QuayRegistrySpec)) {
	b.Helper()
	change(b, &v1.QuayRegistry{}, "skynet", func(q *v1.QuayRegistry) { edit(&q.Spec) })
}

// until waits for a condition, of the generation that is there, and returns its
// message.
func (b *bench) until(t v1.ConditionType, s metav1.ConditionStatus, reason v1.ConditionReason, words ...string) (message string) {
	b.Helper()
	kubetest.Eventually(b, fmt.Sprintf("%s is %s (%s)", t, s, reason), func() error {
		var q v1.QuayRegistry
		if err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: "skynet"}, &q); err != nil {
			return err
		}
		c := status.Find(q.Status, t)
		switch {
		case c == nil:
			return errors.New("the condition is not there")
		case c.Status != s, c.Reason != reason, c.ObservedGeneration != q.Generation:
			return fmt.Errorf("%s, %s: %s (generation %d of %d)", c.Status, c.Reason, c.Message, c.ObservedGeneration, q.Generation)
		}
		for _, w := range words {
			if !strings.Contains(c.Message, w) {
				return fmt.Errorf("%q is not in: %s", w, c.Message)
			}
		}
		message = c.Message
		return nil
	})
	return message
}

func (b *bench) available() {
	b.Helper()
	b.until(v1.Available, metav1.ConditionTrue, v1.ReasonHealthChecksPassing)
	b.until(v1.Ready, metav1.ConditionTrue, v1.ReasonHealthChecksPassing)
	b.until(v1.RolloutBlocked, metav1.ConditionFalse, v1.ReasonComponentsCreated)
}

// told waits for an event of the registry.
func (b *bench) told(note string) {
	b.Helper()
	kubetest.Eventually(b, "an event: "+note, func() error {
		var list eventsv1.EventList
		if err := b.Client().List(b.Context(), &list, client.InNamespace(b.ns)); err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool { return e.Regarding.Kind == "QuayRegistry" && e.Note == note }) {
			return fmt.Errorf("it is not among %d", len(list.Items))
		}
		return nil
	})
}

// settled waits until the operator has written nothing for a while, and returns
// what it wrote since the audit began.
func (b *bench) writes(a *kubetest.Audit) []kubetest.Request {
	b.Helper()
	return a.Requests(b, func(r kubetest.Request) bool {
		return r.Writes() && strings.HasPrefix(r.Agent, agent+"/"+b.ns) && r.Resource != "events"
	})
}

func unmanaged(kind v1.ComponentKind) v1.Component { return v1.Component{Kind: kind} }

func overrides(kind v1.ComponentKind, o v1.Override) v1.Component {
	return v1.Component{Kind: kind, Managed: true, Overrides: &o}
}

// TestMinimal: one small resource becomes a registry, whose spec nobody writes,
// and then nothing is written any more.
func TestMinimal(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	q := get(b, &v1.QuayRegistry{}, "skynet")
	s := q.Status
	if q.Generation != 1 || s.CurrentVersion != "3.7.0" || s.RegistryEndpoint != "https://skynet-quay-app."+b.ns+".svc.cluster.local" || s.ConfigHash == "" || s.ObservedGeneration != 1 || len(s.Components) != 11 || s.LastUpdated == "" {
		t.Errorf("generation %d, status %+v", q.Generation, s)
	}
	for _, name := range []string{"skynet-quay-app", "skynet-quay-mirror", "skynet-quay-database", "skynet-quay-redis"} {
		if d := get(b, &appsv1.Deployment{}, name); d.Status.AvailableReplicas < 1 {
			t.Errorf("%s: %+v", name, d.Status)
		}
	}
	keys := get(b, &corev1.Secret{}, "skynet-quay-registry-managed-secret-keys").Data
	if len(keys["SECRET_KEY"]) != 80 || len(keys["DATABASE_SECRET_KEY"]) != 80 {
		t.Errorf("keys: %d and %d bytes", len(keys["SECRET_KEY"]), len(keys["DATABASE_SECRET_KEY"]))
	}

	// Another label of the resource is no reason to write anything.
	audit := b.Audit(t)
	change(b, &v1.QuayRegistry{}, "skynet", func(q *v1.QuayRegistry) { q.Labels = map[string]string{"x": "y"} })
	change(b, &corev1.Secret{}, "skynet-quay-redis-config-secret", func(s *corev1.Secret) { s.Labels["x"] = "y" })
	marked := 0 // the operator has seen both when it has read the keys twice more
	kubetest.Eventually(t, "the operator has looked again", func() error {
		reads := audit.Requests(t, func(r kubetest.Request) bool {
			return strings.HasPrefix(r.Agent, agent+"/"+b.ns) && r.Verb == "get" && r.Name == "skynet-quay-registry-managed-secret-keys"
		})
		if marked = len(reads); marked < 2 {
			return fmt.Errorf("it has looked %d times", marked)
		}
		return nil
	})
	if w := b.writes(audit); len(w) > 0 {
		t.Errorf("nothing changed, and the operator wrote %v", w)
	}
	var list eventsv1.EventList
	if err := b.Client().List(t.Context(), &list, client.InNamespace(b.ns)); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Regarding.Kind == "QuayRegistry" && e.Type == corev1.EventTypeWarning {
			t.Errorf("a clean install warns: %s: %s", e.Reason, e.Note)
		}
	}
	var text strings.Builder
	if err := Explain(t.Context(), b.Config(), b.options(), b.ns, "skynet", &text); err != nil {
		t.Fatal(err)
	}
	if s := text.String(); strings.Contains(s, "differs") || strings.Contains(s, "missing") || strings.Contains(s, "no longer") || !strings.Contains(s, "as it is to be") {
		t.Errorf("explain:\n%s", s)
	}
}

// TestBundle: an edit of the bundle replaces the registry's pods and its
// mirror's, and no others; one that is wrong leaves all of them alone.
func TestBundle(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"})
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "there is no Secret bundle", "kubectl create secret")
	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com\n"})
	b.available()
	if q := get(b, &v1.QuayRegistry{}, "skynet"); q.Status.RegistryEndpoint != "https://quay.example.com" {
		t.Errorf("endpoint %s", q.Status.RegistryEndpoint)
	}
	generations := func() map[string]int64 {
		m := map[string]int64{}
		for _, name := range []string{"skynet-quay-app", "skynet-quay-mirror", "skynet-quay-database", "skynet-quay-redis"} {
			m[name] = get(b, &appsv1.Deployment{}, name).Generation
		}
		return m
	}
	before := generations()
	hash := get(b, &v1.QuayRegistry{}, "skynet").Status.ConfigHash

	change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) {
		s.Data["config.yaml"] = []byte("SERVER_HOSTNAME: quay.example.com\nDEFAULT_TAG_EXPIRATION: soon\nFEATURE_QUOTA_MANAGEMENT: maybe\n")
	})
	message := b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "config.yaml: DEFAULT_TAG_EXPIRATION", "config.yaml: FEATURE_QUOTA_MANAGEMENT")
	b.until(v1.Available, metav1.ConditionTrue, v1.ReasonHealthChecksPassing)
	b.until(v1.Stalled, metav1.ConditionTrue, v1.ReasonConfigInvalid)
	if after := generations(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a wrong configuration is rolled out (%s): %v, %v", message, before, after)
	}

	change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) {
		s.Data["config.yaml"] = []byte("SERVER_HOSTNAME: quay.example.com\nFEATURE_QUOTA_MANAGEMENT: true\n")
	})
	kubetest.Eventually(t, "the new configuration is rolled out", func() error {
		if h := get(b, &v1.QuayRegistry{}, "skynet").Status.ConfigHash; h == hash {
			return errors.New("it is the old one")
		}
		return nil
	})
	b.available()
	after := generations()
	for name := range before {
		if changed := after[name] != before[name]; changed != (name == "skynet-quay-app" || name == "skynet-quay-mirror") {
			t.Errorf("%s: generation %d, then %d", name, before[name], after[name])
		}
	}
	// Of its configurations the one before is kept, and no older ones.
	for i := range 3 {
		change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) {
			s.Data["config.yaml"] = fmt.Appendf(nil, "SERVER_HOSTNAME: quay.example.com\nREGISTRY_TITLE: Title %d\n", i)
		})
		kubetest.Eventually(t, "the configuration is mounted", func() error {
			d := get(b, &appsv1.Deployment{}, "skynet-quay-app")
			name := d.Spec.Template.Spec.Volumes[0].Projected.Sources[0].Secret.Name
			if text := get(b, &corev1.Secret{}, name).Data["config.yaml"]; !strings.Contains(string(text), fmt.Sprintf("Title %d", i)) {
				return errors.New("it is another one")
			}
			return nil
		})
		b.available()
	}
	kubetest.Eventually(t, "old configurations are taken away", func() error {
		var list corev1.SecretList
		if err := b.Client().List(t.Context(), &list, client.InNamespace(b.ns)); err != nil {
			return err
		}
		n := 0
		for _, s := range list.Items {
			if strings.HasPrefix(s.Name, "skynet-quay-config-secret-") {
				n++
			}
		}
		if n != 2 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

// TestForeignEdits: what somebody else changes or deletes comes back; what
// somebody adds is left alone.
func TestForeignEdits(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	if err := b.Client().Delete(t.Context(), get(b, &corev1.Service{}, "skynet-quay-redis")); err != nil {
		t.Fatal(err)
	}
	change(b, &appsv1.Deployment{}, "skynet-quay-app", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "evil.test/x:1"
		d.Spec.Template.Spec.Containers[0].Env = append(d.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "THEIRS", Value: "1"})
		d.Annotations["theirs"] = "1"
	})
	kubetest.Eventually(t, "the edits are mended", func() error {
		if err := b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "skynet-quay-redis"}, &corev1.Service{}); err != nil {
			return err
		}
		d := get(b, &appsv1.Deployment{}, "skynet-quay-app")
		if c := d.Spec.Template.Spec.Containers[0]; c.Image != "example.test/quay:1" {
			return errors.New(c.Image)
		}
		if d.Annotations["theirs"] != "1" {
			t.Error("the annotation of somebody else is gone")
		}
		return nil
	})
	b.available()
}

// TestWaits: nothing of the registry starts before its database is there, and
// the condition says what is missing.
func TestWaits(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{Components: []v1.Component{overrides(v1.ComponentPostgres, v1.Override{Annotations: map[string]string{"k8sharness.local/fake": "unready"}})}})
	b.until(v1.ComponentsCreated, metav1.ConditionFalse, v1.ReasonComponentNotReady, "waits for its database")
	b.until(v1.ComponentQuayReady, metav1.ConditionFalse, v1.ReasonComponentNotReady, "awaiting for component postgres")
	b.until(v1.Available, metav1.ConditionFalse, v1.ReasonComponentNotReady, "postgres")
	b.until(v1.Reconciling, metav1.ConditionTrue, v1.ReasonComponentNotReady)
	var jobs batchv1.JobList
	var apps appsv1.DeploymentList
	if err := errors.Join(b.Client().List(t.Context(), &jobs, client.InNamespace(b.ns)), b.Client().List(t.Context(), &apps, client.InNamespace(b.ns))); err != nil {
		t.Fatal(err)
	}
	if len(jobs.Items) > 0 || len(apps.Items) != 3 { // of the database, the cache and the configuration editor
		t.Errorf("%d jobs and %d Deployments", len(jobs.Items), len(apps.Items))
	}
	kubetest.Eventually(t, "the database and what waits for it are unhealthy", func() error {
		u := get(b, &v1.QuayRegistry{}, "skynet").Status.UnhealthyComponents
		if got := slices.Sorted(maps.Keys(u)); !slices.Equal(got, []string{"mirror", "postgres", "quay"}) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	b.spec(func(s *v1.QuayRegistrySpec) { s.Components = nil })
	b.available()
}

// TestUnmanage: what is no longer managed goes, but its data stays; managed
// again it is used again.
func TestUnmanage(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com\n"})
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"})
	b.available()
	uid := get(b, &corev1.PersistentVolumeClaim{}, "skynet-quay-database").UID

	b.spec(func(s *v1.QuayRegistrySpec) {
		s.Components = []v1.Component{unmanaged(v1.ComponentMirror), unmanaged(v1.ComponentPostgres)}
	})
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "required component `postgres` marked as unmanaged, but `configBundleSecret` is missing necessary fields")
	get(b, &appsv1.Deployment{}, "skynet-quay-mirror") // a change that is refused is refused whole
	change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) {
		s.Data["config.yaml"] = []byte("SERVER_HOSTNAME: quay.example.com\nDB_URI: postgresql://u:p@db.example.com/quay\n")
	})
	b.available()
	b.gone(&appsv1.Deployment{}, "skynet-quay-mirror")
	b.gone(&appsv1.Deployment{}, "skynet-quay-database")
	b.gone(&corev1.Service{}, "skynet-quay-database")
	if c := get(b, &corev1.PersistentVolumeClaim{}, "skynet-quay-database"); c.UID != uid || c.DeletionTimestamp != nil {
		t.Error("the database's volume is gone")
	}
	b.until(v1.ComponentPostgresReady, metav1.ConditionTrue, v1.ReasonComponentNotManaged)

	change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) { s.Data["config.yaml"] = []byte("SERVER_HOSTNAME: quay.example.com\n") })
	b.spec(func(s *v1.QuayRegistrySpec) { s.Components = nil })
	b.until(v1.ComponentPostgresReady, metav1.ConditionTrue, v1.ReasonComponentReady)
	b.available()
	if c := get(b, &corev1.PersistentVolumeClaim{}, "skynet-quay-database"); c.UID != uid {
		t.Error("the database has another volume")
	}
}

// TestScale: to zero and back, and a volume that grows and does not shrink.
func TestScale(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	none := int32(0)
	b.spec(func(s *v1.QuayRegistrySpec) {
		s.Components = []v1.Component{overrides(v1.ComponentQuay, v1.Override{Replicas: &none}), overrides(v1.ComponentMirror, v1.Override{Replicas: &none}), unmanaged(v1.ComponentHPA)}
	})
	b.until(v1.ComponentQuayReady, metav1.ConditionTrue, v1.ReasonComponentReady, "manually scaled down")
	b.available()
	if d := get(b, &appsv1.Deployment{}, "skynet-quay-app"); d.Status.Replicas != 0 {
		t.Errorf("%d pods", d.Status.Replicas)
	}
	// Two changes of one write are told of both, though their reason is one.
	b.told("ComponentQuayReady is True: Deployment skynet-quay-app manually scaled down")
	b.told("ComponentMirrorReady is True: Deployment skynet-quay-mirror manually scaled down")
	large, small := resource.MustParse("60Gi"), resource.MustParse("40Gi")
	b.spec(func(s *v1.QuayRegistrySpec) {
		s.Components = []v1.Component{overrides(v1.ComponentPostgres, v1.Override{VolumeSize: &large})}
	})
	b.available()
	if d := get(b, &appsv1.Deployment{}, "skynet-quay-app"); d.Status.AvailableReplicas != 1 {
		t.Errorf("%+v", d.Status)
	}
	if c := get(b, &corev1.PersistentVolumeClaim{}, "skynet-quay-database"); c.Spec.Resources.Requests.Storage().Cmp(large) != 0 {
		t.Errorf("the volume asks for %s", c.Spec.Resources.Requests.Storage())
	}
	b.spec(func(s *v1.QuayRegistrySpec) { s.Components[0].Overrides.VolumeSize = &small })
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonComponentCreationFailed, "never shrinks")
	b.until(v1.Available, metav1.ConditionTrue, v1.ReasonHealthChecksPassing)
}

// TestForeignScaler leaves the number of pods to an autoscaler of the user's, as
// KEDA makes one, down to none; without it the operator's own number is back.
func TestForeignScaler(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{Components: []v1.Component{unmanaged(v1.ComponentHPA)}})
	b.available()
	one := int32(1)
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "keda-hpa-mirror"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &one, MaxReplicas: 5,
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "skynet-quay-mirror"}}}
	b.create(h)
	scale := func(n int32) {
		change(b, &appsv1.Deployment{}, "skynet-quay-mirror", func(d *appsv1.Deployment) { d.Spec.Replicas = &n })
	}
	replicas := func() int32 { return *get(b, &appsv1.Deployment{}, "skynet-quay-mirror").Spec.Replicas }
	scale(3)
	kubetest.Eventually(b, "the operator lets go of the number of pods", func() error {
		if d := get(b, &appsv1.Deployment{}, "skynet-quay-mirror"); d.Annotations[render.AnnotationReplicas] != "" || d.Status.AvailableReplicas != 3 {
			return fmt.Errorf("%v, %d", d.Annotations, d.Status.AvailableReplicas)
		}
		return nil
	})
	// A rollout leaves it, too.
	b.spec(func(s *v1.QuayRegistrySpec) {
		s.Components = append(s.Components, overrides(v1.ComponentMirror, v1.Override{Env: []corev1.EnvVar{{Name: "DEBUGLOG", Value: "true"}}}))
	})
	b.until(v1.ComponentMirrorReady, metav1.ConditionTrue, v1.ReasonComponentReady)
	b.available()
	if n := replicas(); n != 3 {
		t.Errorf("%d pods", n)
	}
	scale(0)
	b.until(v1.ComponentMirrorReady, metav1.ConditionTrue, v1.ReasonComponentReady, "manually scaled down")
	b.available()
	if n := replicas(); n != 0 {
		t.Errorf("%d pods", n)
	}
	if err := b.Client().Delete(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	b.spec(func(s *v1.QuayRegistrySpec) { s.Components = s.Components[:1] })
	kubetest.Eventually(b, "the operator's own number is back", func() error {
		if n := replicas(); n != 1 {
			return fmt.Errorf("%d pods", n)
		}
		return nil
	})
}

// TestDeletion: all goes with the registry, or its data and keys stay, and are
// taken over by the next one of that name.
func TestDeletion(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	q := b.registry(v1.QuayRegistrySpec{DeletionPolicy: v1.DeletionPolicyRetain})
	b.available()
	keys := get(b, &corev1.Secret{}, render.ManagedKeys("skynet")).Data
	if err := b.Client().Delete(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	b.gone(&v1.QuayRegistry{}, "skynet")
	b.gone(&appsv1.Deployment{}, "skynet-quay-app")
	b.gone(&corev1.Secret{}, "skynet-quay-service-tls")
	for _, o := range []client.Object{get(b, &corev1.PersistentVolumeClaim{}, "skynet-quay-database"), get(b, &corev1.Secret{}, render.ManagedKeys("skynet"))} {
		if len(o.GetOwnerReferences()) > 0 || o.GetDeletionTimestamp() != nil {
			t.Errorf("%s is not kept: %v", o.GetName(), o.GetOwnerReferences())
		}
	}
	q = b.registry(v1.QuayRegistrySpec{})
	b.available()
	again := get(b, &corev1.Secret{}, render.ManagedKeys("skynet"))
	if fmt.Sprint(again.Data) != fmt.Sprint(keys) || len(again.OwnerReferences) != 1 || again.OwnerReferences[0].UID != q.UID {
		t.Errorf("the keys of the registry before are not taken over: owners %v", again.OwnerReferences)
	}
	if err := b.Client().Delete(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	b.gone(&v1.QuayRegistry{}, "skynet")
	b.gone(&corev1.PersistentVolumeClaim{}, "skynet-quay-database")
	b.gone(&corev1.Secret{}, render.ManagedKeys("skynet"))
}

// TestLostKeys: a registry that has data gets no new keys.
func TestLostKeys(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	stop := b.run(b.options())
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	stop()
	keys := get(b, &corev1.Secret{}, render.ManagedKeys("skynet"))
	if err := b.Client().Delete(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	b.run(b.options())
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "restore it from a backup")
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: keys.Name}, Data: keys.Data})
	b.available()
}

// TestUpgrade: a newer operator migrates the database, and then replaces the
// pods; a leap over versions leaves everything alone.
func TestUpgrade(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	o := b.options()
	stop := b.run(o)
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	stop()
	newer := b.options()
	newer.Version, newer.Images[v1.ComponentQuay] = "3.9.0", "example.test/quay:3"
	stop = b.run(newer)
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonUpgradeUnsupported, "next: 3.8")
	if d := get(b, &appsv1.Deployment{}, "skynet-quay-app"); d.Spec.Template.Spec.Containers[0].Image != "example.test/quay:1" {
		t.Error("an upgrade that is refused is done")
	}
	stop()
	newer = b.options()
	newer.Version, newer.Images[v1.ComponentQuay] = "3.8.0", "example.test/quay:2"
	b.run(newer)
	kubetest.Eventually(t, "the registry has the new version", func() error {
		if v := get(b, &v1.QuayRegistry{}, "skynet").Status.CurrentVersion; v != "3.8.0" {
			return errors.New(v)
		}
		return nil
	})
	b.available()
	if d := get(b, &appsv1.Deployment{}, "skynet-quay-app"); d.Spec.Template.Spec.Containers[0].Image != "example.test/quay:2" {
		t.Error("the pods are the old ones")
	}
	kubetest.Eventually(t, "the migration before is taken away", func() error {
		var jobs batchv1.JobList
		if err := b.Client().List(t.Context(), &jobs, client.InNamespace(b.ns)); err != nil {
			return err
		}
		if len(jobs.Items) != 1 || jobs.Items[0].Spec.Template.Spec.Containers[0].Image != "example.test/quay:2" {
			return fmt.Errorf("%d jobs", len(jobs.Items))
		}
		return nil
	})
}

// bind does what a provisioner of buckets does.
func (b *bench) bind(port string) {
	b.Helper()
	const name = "skynet-quay-datastore"
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "k"}})
	b.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"BUCKET_NAME": "quay-1", "BUCKET_HOST": "s3.openshift-storage.svc", "BUCKET_PORT": port}})
	b.phase(kindBucketClaim.Kind, name, map[string]any{"phase": "Bound"})
}

// phase writes the status of an object of another's kind.
func (b *bench) phase(kind, name string, s map[string]any) {
	b.Helper()
	i := slices.IndexFunc(others, func(k schema.GroupVersionKind) bool { return k.Kind == kind })
	kubetest.Eventually(b, "the status of "+name, func() error {
		u := unstructuredOf(others[i])
		if err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, u); err != nil {
			return err
		}
		u.Object["status"] = s
		if err := b.Client().Status().Update(b.Context(), u); !apierrors.IsNotFound(err) {
			return err
		}
		return b.Client().Update(b.Context(), u) // the kind has no subresource
	})
}

// TestOpenShift: with all APIs a registry has a Route, a bucket, autoscalers and
// monitoring, and waits for the bucket with words.
func TestOpenShift(t *testing.T) {
	b := newBench(t, kubetest.Full(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{})
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonObjectStorageDependency, "skynet-quay-datastore is not bound")
	b.until(v1.Available, metav1.ConditionFalse, v1.ReasonComponentNotReady)
	b.until(v1.Stalled, metav1.ConditionFalse, v1.ReasonComponentsCreated)
	b.bind("443")
	b.until(v1.ComponentObjectStorageReady, metav1.ConditionTrue, v1.ReasonComponentReady)
	b.until(v1.ComponentQuayReady, metav1.ConditionTrue, v1.ReasonComponentReady)
	b.until(v1.ComponentRouteReady, metav1.ConditionFalse, v1.ReasonComponentNotReady, "not admitted")
	b.phase(kindRoute.Kind, "skynet-quay", map[string]any{"ingress": []any{map[string]any{"host": "x", "conditions": []any{map[string]any{"type": "Admitted", "status": "True"}}}}})
	b.available()
	host := "skynet-quay-" + b.ns + "." + kubetest.AppsDomain
	if q := get(b, &v1.QuayRegistry{}, "skynet"); q.Status.RegistryEndpoint != "https://"+host {
		t.Errorf("endpoint %s", q.Status.RegistryEndpoint)
	} else if q.Status.ConfigEditorEndpoint != "https://skynet-quay-config-editor-"+b.ns+"."+kubetest.AppsDomain {
		t.Errorf("the configuration editor's endpoint is %s", q.Status.ConfigEditorEndpoint)
	}
	route := unstructuredOf(kindRoute)
	if tls, _, err := unstructured.NestedStringMap(get(b, route, "skynet-quay-config-editor").Object, "spec", "tls"); err != nil || tls["termination"] != "edge" || tls["insecureEdgeTerminationPolicy"] != "Redirect" {
		t.Errorf("the configuration editor's Route: %v, %v", tls, err)
	}
	d := get(b, &appsv1.Deployment{}, "skynet-quay-app")
	text := string(get(b, &corev1.Secret{}, d.Spec.Template.Spec.Volumes[0].Projected.Sources[0].Secret.Name).Data["config.yaml"])
	for _, want := range []string{"s3.openshift-storage.svc.cluster.local", "bucket_name: quay-1", "is_secure: true", "EXTERNAL_TLS_TERMINATION: true", "SERVER_HOSTNAME: " + host} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in config.yaml", want)
		}
	}
	kubetest.Eventually(t, "the autoscaler scales", func() error {
		if n := get(b, &appsv1.Deployment{}, "skynet-quay-app").Status.AvailableReplicas; n != 2 {
			return fmt.Errorf("%d pods", n)
		}
		return nil
	})
	// To a number of pods and back to the autoscaler there are never fewer.
	three := int32(3)
	b.spec(func(s *v1.QuayRegistrySpec) {
		s.Components = []v1.Component{unmanaged(v1.ComponentHPA), overrides(v1.ComponentQuay, v1.Override{Replicas: &three})}
	})
	b.available()
	kubetest.Eventually(t, "three pods", func() error {
		if n := get(b, &appsv1.Deployment{}, "skynet-quay-app").Status.AvailableReplicas; n != 3 {
			return fmt.Errorf("%d pods", n)
		}
		return nil
	})
	b.spec(func(s *v1.QuayRegistrySpec) { s.Components = nil })
	b.available()
	if n := *get(b, &appsv1.Deployment{}, "skynet-quay-app").Spec.Replicas; n < 2 {
		t.Errorf("the autoscaler begins with %d pods", n)
	}
	for _, kind := range []schema.GroupVersionKind{kindServiceMonitor, kindRule} {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(kind)
		if err := b.Client().List(t.Context(), &list, client.InNamespace(b.ns)); err != nil || len(list.Items) != 1 {
			t.Errorf("%s: %d, %v", kind.Kind, len(list.Items), err)
		}
	}
}

// TestCertificate: the certificate of a Secret is watched; one for another host
// is refused.
func TestCertificate(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com\n"})
	tls := unmanaged(v1.ComponentTLS)
	tls.SecretRef = &v1.SecretRef{Name: "mine"}
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle", Components: []v1.Component{tls, unmanaged(v1.ComponentRoute)}})
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "Secret mine")
	pair := func(host string) map[string][]byte {
		data, err := issue(nil, []string{host}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]byte{corev1.TLSCertKey: data[corev1.TLSCertKey], corev1.TLSPrivateKeyKey: data[corev1.TLSPrivateKeyKey]}
	}
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Type: corev1.SecretTypeTLS, Data: pair("other.example.com")})
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonComponentCreationFailed, "not for quay.example.com", "other.example.com")
	change(b, &corev1.Secret{}, "mine", func(s *corev1.Secret) { s.Data = pair("quay.example.com") })
	b.available()
	mounted := func() string {
		return get(b, &appsv1.Deployment{}, "skynet-quay-app").Spec.Template.Spec.Volumes[0].Projected.Sources[1].Secret.Name
	}
	before := mounted()
	change(b, &corev1.Secret{}, "mine", func(s *corev1.Secret) { s.Data = pair("quay.example.com") })
	kubetest.Eventually(t, "the new certificate is mounted", func() error {
		if mounted() == before {
			return errors.New("it is the old one")
		}
		return nil
	})
	b.available()
}

// TestExpiring: a certificate of the user's that ends soon serves on, and is
// warned of, until there is another.
func TestExpiring(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	pair := func(made time.Time) (string, string) {
		data, err := issue(nil, []string{"quay.example.com"}, made)
		if err != nil {
			t.Fatal(err)
		}
		return string(data[corev1.TLSCertKey]), string(data[corev1.TLSPrivateKeyKey])
	}
	cert, key := pair(time.Now().Add(10*24*time.Hour - certificateLife))
	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com\n", "ssl.cert": cert, "ssl.key": key})
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"})
	b.available()
	message := b.until(v1.ComponentTLSReady, metav1.ConditionTrue, v1.ReasonCertificateExpires, "ends at "+expires([]byte(cert)).UTC().Format(time.RFC3339))
	b.told(message)
	cert, key = pair(time.Now())
	change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) { s.Data["ssl.cert"], s.Data["ssl.key"] = []byte(cert), []byte(key) })
	b.until(v1.ComponentTLSReady, metav1.ConditionTrue, v1.ReasonComponentNotManaged)
	b.available()
}

// TestSites: one cluster of several, with the bundle that all have and a
// location of its own. Without its location it is refused.
func TestSites(t *testing.T) {
	text, err := os.ReadFile("../config/testdata/seed/geo.json")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	cluster := []v1.Component{unmanaged(v1.ComponentPostgres), unmanaged(v1.ComponentRedis), unmanaged(v1.ComponentObjectStorage), unmanaged(v1.ComponentRoute), unmanaged(v1.ComponentTLS)}
	b.bundle(map[string]string{"config.yaml": strings.Replace(string(text), "{\n", "{\n  \"USER_EVENTS_REDIS\": {\"host\": \"redis.example.com\"},\n", 1)}) // JSON is YAML
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle", Components: cluster})
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "QUAY_DISTRIBUTED_STORAGE_PREFERENCE")
	here := v1.Override{Env: []corev1.EnvVar{{Name: "QUAY_DISTRIBUTED_STORAGE_PREFERENCE", Value: "usstorage"}}}
	b.spec(func(s *v1.QuayRegistrySpec) {
		s.Components = append(cluster, overrides(v1.ComponentQuay, here), overrides(v1.ComponentMirror, here))
	})
	b.available()
	for _, name := range []string{"skynet-quay-app", "skynet-quay-mirror"} {
		if env := get(b, &appsv1.Deployment{}, name).Spec.Template.Spec.Containers[0].Env; !slices.Contains(env, here.Env[0]) {
			t.Errorf("%s has %v", name, env)
		}
	}
	if keys := get(b, &corev1.Secret{}, render.ManagedKeys("skynet")).Data; string(keys["SECRET_KEY"]) != "12345678901234567890" || string(keys["DATABASE_SECRET_KEY"]) != "another key" {
		t.Error("the keys are not those that all clusters have")
	}
}

// TestUnresolved: a name that leads nowhere is told of, and is no failure.
func TestUnresolved(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	o := b.options()
	o.lookup = func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }
	b.run(o)
	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com:8443\n"})
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"})
	b.available()
	b.told("quay.example.com has no address that the operator can find: make a DNS record that leads to the registry's route")
}

// TestLaterAPIs: an API that the cluster gets later is used as soon as it is
// there, and the operator goes on when it goes.
func TestLaterAPIs(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	o := b.options()
	o.Namespaces = nil
	b.run(o)
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	b.until(v1.ComponentMonitoringReady, metav1.ConditionTrue, v1.ReasonComponentNotManaged, "no ServiceMonitor")
	b.With(t, kubetest.Monitoring)
	b.until(v1.ComponentMonitoringReady, metav1.ConditionTrue, v1.ReasonComponentReady)
	b.available()
	b.Remove(t, kubetest.Monitoring)
	b.until(v1.ComponentMonitoringReady, metav1.ConditionTrue, v1.ReasonComponentNotManaged)
	b.spec(func(s *v1.QuayRegistrySpec) { s.Components = []v1.Component{unmanaged(v1.ComponentMirror)} })
	b.gone(&appsv1.Deployment{}, "skynet-quay-mirror")
	b.available()
}

// TestServerRestarts: the operator goes on after the API server was away.
func TestServerRestarts(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	b.Restart(t, "kube-apiserver")
	b.spec(func(s *v1.QuayRegistrySpec) { s.Components = []v1.Component{unmanaged(v1.ComponentMirror)} })
	b.gone(&appsv1.Deployment{}, "skynet-quay-mirror")
	b.available()
}

// TestTwoOperators: of two operators one works, and the other takes over.
func TestTwoOperators(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	o := b.options()
	o.Elect, o.ElectionNamespace = true, b.ns
	first := b.run(o)
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	o = b.options()
	o.Elect, o.ElectionNamespace, o.Images[v1.ComponentRedis] = true, b.ns, "example.test/redis:2"
	b.run(o)
	if d := get(b, &appsv1.Deployment{}, "skynet-quay-redis"); d.Spec.Template.Spec.Containers[0].Image != "example.test/redis:1" {
		t.Error("both operators work")
	}
	first()
	kubetest.Eventually(t, "the other operator takes over", func() error {
		if i := get(b, &appsv1.Deployment{}, "skynet-quay-redis").Spec.Template.Spec.Containers[0].Image; i != "example.test/redis:2" {
			return errors.New(i)
		}
		return nil
	})
	b.available()
}

// TestKilled: an operator that is stopped at any moment of an install leaves
// nothing that the next one cannot finish.
func TestKilled(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	o := b.options()
	o.Log = slog.New(slog.DiscardHandler)
	b.registry(v1.QuayRegistrySpec{})
	for range 12 { // a moment later each time: whatever was done before stays done
		audit := b.Audit(t)
		stop := b.run(o)
		kubetest.Eventually(t, "the operator writes something, or is done", func() error {
			q := get(b, &v1.QuayRegistry{}, "skynet")
			if c := status.Find(q.Status, v1.Available); c != nil && c.Status == metav1.ConditionTrue || len(b.writes(audit)) > 0 {
				return nil
			}
			return errors.New("not yet")
		})
		stop()
	}
	b.run(b.options())
	b.available()
}

// TestRights: what deploy/operator/rules.yaml grants is enough for a whole life
// of a registry; a right that is missing is named.
func TestRights(t *testing.T) {
	text, err := os.ReadFile("../../deploy/operator/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Namespaced []rbacv1.PolicyRule `json:"namespaced"`
	}
	if err := yaml.Unmarshal(text, &rules); err != nil || len(rules.Namespaced) == 0 {
		t.Fatal(err)
	}
	b := newBench(t, kubetest.Full(t))
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "operator"}, Rules: rules.Namespaced}
	b.create(role)
	b.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "operator"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "operator", Namespace: b.ns}}})
	stop := b.runAs(b.ServiceAccount(t, b.ns, "operator"), b.options())
	b.bundle(map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com\nBUILDMAN_HOSTNAME: builds.example.com:443\n"})
	q := b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle", NetworkPolicies: true, DeletionPolicy: v1.DeletionPolicyRetain})
	b.bind("80")
	admitted := map[string]any{"ingress": []any{map[string]any{"host": "x", "conditions": []any{map[string]any{"type": "Admitted", "status": "True"}}}}}
	b.phase(kindRoute.Kind, "skynet-quay", admitted)
	b.phase(kindRoute.Kind, "skynet-quay-builder", admitted)
	b.available()
	b.spec(func(s *v1.QuayRegistrySpec) { s.NetworkPolicies = false })
	b.gone(&netv1.NetworkPolicy{}, "skynet-postgres")
	b.available()
	b.vault("vault", map[string]string{"config.yaml": "x"})
	vault := v1.Vault{Secret: "vault"}
	for name, schedule := range map[string]string{"once": "", "nightly": "0 3 * * *"} {
		b.create(&v1.QuayRegistryBackup{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.QuayRegistryBackupSpec{Registry: "skynet", Vault: vault, Unencrypted: true, Schedule: schedule}})
	}
	atPhase(b, &v1.QuayRegistryBackup{}, "once", v1.WorkSucceeded, "")
	b.create(&v1.QuayRegistryRestore{ObjectMeta: metav1.ObjectMeta{Name: "back"}, Spec: v1.QuayRegistryRestoreSpec{Registry: "skynet", Vault: vault, Unencrypted: true}})
	atPhase(b, &v1.QuayRegistryRestore{}, "back", v1.WorkSucceeded, "")
	change(b, &v1.QuayRegistryBackup{}, "nightly", func(o *v1.QuayRegistryBackup) { o.Spec.Schedule = "" })
	b.gone(&batchv1.CronJob{}, "nightly-backup")
	b.available()

	change(b, role, "operator", func(r *rbacv1.Role) {
		for i := range r.Rules {
			if slices.Contains(r.Rules[i].Resources, "poddisruptionbudgets") {
				r.Rules[i].Verbs = []string{"get", "list", "watch"}
			}
		}
	})
	pdb := get(b, &policyv1.PodDisruptionBudget{}, "skynet-quay-app")
	if err := b.Client().Delete(t.Context(), pdb); err != nil {
		t.Fatal(err)
	}
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonComponentCreationFailed, "PodDisruptionBudget skynet-quay-app", "may not", "cannot")
	change(b, role, "operator", func(r *rbacv1.Role) { r.Rules = rules.Namespaced })
	stop()
	b.runAs(b.ServiceAccount(t, b.ns, "operator"), b.options())
	b.available()
	if err := b.Client().Delete(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	b.gone(&v1.QuayRegistry{}, "skynet")
}
