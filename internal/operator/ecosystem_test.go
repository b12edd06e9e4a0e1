package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/ecosystem"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

// defineEcosystems gives the cluster the API of QuayEcosystem. It stays: when a
// definition goes, the collector of garbage waits for half a minute.
func defineEcosystems(t testing.TB, c *kubetest.Cluster) {
	t.Helper()
	text, err := os.ReadFile("testdata/quayecosystem.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, text)
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kindEcosystem)
	list.SetKind(kindEcosystem.Kind + "List")
	kubetest.Eventually(t, "QuayEcosystem is served", func() error { return c.Client().List(t.Context(), list) })
}

// removeEcosystems takes the API away.
func removeEcosystems(t testing.TB, c *kubetest.Cluster) {
	t.Helper()
	crd := unstructuredOf(kindCRD)
	crd.SetName("quayecosystems.redhatcop.redhat.io")
	if err := c.Client().Delete(t.Context(), crd); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, "the definition of QuayEcosystem is gone", func() error {
		if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(crd), crd); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
}

// oldConfig is the configuration of a QuayEcosystem's Quay.
const oldConfig = `SERVER_HOSTNAME: quay.example.com
SECRET_KEY: "12"
DATABASE_SECRET_KEY: "34"
DB_URI: postgresql://quay:pw@skynet-quay-postgresql:5432/quay
BUILDLOGS_REDIS: {host: skynet-redis, port: 6379}
USER_EVENTS_REDIS: {host: skynet-redis, port: 6379}
DISTRIBUTED_STORAGE_CONFIG: {default: [S3Storage, {s3_bucket: b, s3_access_key: k, s3_secret_key: s, host: s3.example.com}]}
DISTRIBUTED_STORAGE_PREFERENCE: [default]
FEATURE_SIGNING: false
`

// ecosystem makes a QuayEcosystem, whose spec is YAML.
func (b *bench) ecosystem(name, spec string, labels map[string]string) *unstructured.Unstructured {
	b.Helper()
	e := unstructuredOf(kindEcosystem)
	e.SetName(name)
	e.SetLabels(labels)
	var s map[string]any
	if err := yaml.Unmarshal([]byte(spec), &s); err != nil {
		b.Fatal(err)
	}
	e.Object["spec"] = s
	b.create(e)
	return e
}

var asked = map[string]string{ecosystem.LabelMigrate: "true"}

const (
	byRoute   = "{quay: {registryBackends: [{name: default, s3: {bucketName: b}}], database: {volumeSize: 1Gi}, externalAccess: {type: Route, tls: {termination: edge}}}}"
	byService = "{quay: {registryBackends: [{name: default, s3: {bucketName: b}}], database: {volumeSize: 1Gi}, externalAccess: {type: LoadBalancer, tls: {termination: none}}}}"
)

// oldSecret makes the Secret of the old configuration.
func (b *bench) oldSecret(config string) {
	b.Helper()
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: ecosystem.ConfigSecret}, StringData: map[string]string{"config.yaml": config}})
}

// label sets a label of the QuayEcosystem; "" takes it away.
func (b *bench) label(key, value string) {
	b.Helper()
	change(b, unstructuredOf(kindEcosystem), "skynet", func(e *unstructured.Unstructured) {
		labels := e.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		if labels[key] = value; value == "" {
			delete(labels, key)
		}
		e.SetLabels(labels)
	})
}

// failure waits until the QuayEcosystem has just one condition of a failure,
// with the words; type "" = none.
func (b *bench) failure(kind, reason string, words ...string) {
	b.Helper()
	kubetest.Eventually(b, fmt.Sprintf("the QuayEcosystem says %q (%s)", kind, reason), func() error {
		list, _, err := unstructured.NestedSlice(get(b, unstructuredOf(kindEcosystem), "skynet").Object, "status", "conditions")
		switch {
		case err != nil:
			return err
		case kind == "" && len(list) == 0:
			return nil
		case len(list) != 1:
			return fmt.Errorf("%v", list)
		}
		c, _ := list[0].(map[string]any)
		if c["type"] != kind || c["status"] != "True" || c["reason"] != reason || c["lastTransitionTime"] == nil {
			return fmt.Errorf("%v", c)
		}
		for _, w := range words {
			if !strings.Contains(fmt.Sprint(c["message"]), w) {
				return fmt.Errorf("%q is not in: %s", w, c["message"])
			}
		}
		return nil
	})
}

// migrated waits until the QuayEcosystem says that it is.
func (b *bench) migrated() {
	b.Helper()
	kubetest.Eventually(b, "the migration is complete", func() error {
		if l := get(b, unstructuredOf(kindEcosystem), "skynet").GetLabels(); l[ecosystem.LabelComplete] != "true" {
			q := &v1.QuayRegistry{}
			err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: "skynet"}, q)
			return fmt.Errorf("labels %v; registry: %w, %v", l, err, q.Status.Conditions)
		}
		return nil
	})
}

// vanished waits until an object is not there any more, and for one that was
// deleted in the foreground all that it owned.
func (b *bench) vanished(o client.Object, name string) {
	b.Helper()
	kubetest.Eventually(b, fmt.Sprintf("%T %s has vanished", o, name), func() error {
		if err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, o); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is there"), err)
		}
		return nil
	})
}

// none checks that there is no QuayRegistry.
func (b *bench) none() {
	b.Helper()
	var list v1.QuayRegistryList
	if err := b.Client().List(b.Context(), &list, client.InNamespace(b.ns)); err != nil || len(list.Items) > 0 {
		b.Errorf("%d registries, %v", len(list.Items), err)
	}
}

// bundles are the Secrets made from QuayEcosystems.
func (b *bench) bundles() (names []string) {
	b.Helper()
	var list corev1.SecretList
	if err := b.Client().List(b.Context(), &list, client.InNamespace(b.ns)); err != nil {
		b.Fatal(err)
	}
	for _, s := range list.Items {
		if strings.HasPrefix(s.Name, "skynet-config-bundle-") {
			names = append(names, s.Name)
		}
	}
	return names
}

// importJobs are the Jobs that import.
func (b *bench) importJobs() []batchv1.Job {
	b.Helper()
	var list batchv1.JobList
	if err := b.Client().List(b.Context(), &list, client.InNamespace(b.ns), client.MatchingLabels{render.LabelComponent: render.PartImport}); err != nil {
		b.Fatal(err)
	}
	return list.Items
}

// TestEcosystem: a QuayEcosystem that is labelled becomes a QuayRegistry, whose
// database is imported before a pod of the registry starts; its Route is left
// alone until the user, or the end of the QuayEcosystem, gives its name free; and
// nothing of the registry goes with the QuayEcosystem.
func TestEcosystem(t *testing.T) {
	b := newBench(t, kubetest.Full(t))
	defineEcosystems(t, b.Cluster)
	audit := b.Audit(t)
	stop := b.run(b.options())
	calm := b.ecosystem("calm", byRoute, nil)
	old := b.ecosystem("skynet", byRoute, nil)
	yes := true
	owner := []metav1.OwnerReference{{APIVersion: kindEcosystem.GroupVersion().String(), Kind: kindEcosystem.Kind, Name: "skynet", UID: old.GetUID(), Controller: &yes}}
	b.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "skynet-quay", OwnerReferences: owner}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "quay-service", Port: 8443, TargetPort: intstr.FromInt32(8443)}}}})
	route := unstructuredOf(kindRoute)
	route.SetName("skynet-quay")
	route.SetOwnerReferences(owner)
	route.Object["spec"] = map[string]any{"host": "quay.example.com", "to": map[string]any{"kind": "Service", "name": "skynet-quay", "weight": int64(100)}}
	b.create(route)

	b.label(ecosystem.LabelMigrate, "true")
	b.failure(ecosystem.ConfigFailure, ecosystem.ReasonConfigInvalid, "there is no Secret "+ecosystem.ConfigSecret)
	b.none()
	b.oldSecret("DB_URI: [hunter2")
	b.failure(ecosystem.ConfigFailure, ecosystem.ReasonConfigInvalid, "no YAML")
	b.none()
	change(b, &corev1.Secret{}, ecosystem.ConfigSecret, func(s *corev1.Secret) { s.Data["config.yaml"] = []byte(oldConfig) })

	b.until(v1.ComponentRouteReady, metav1.ConditionFalse, v1.ReasonComponentNotReady, "Route skynet-quay is the QuayEcosystem's", "kubectl patch route skynet-quay", `"name":"skynet-quay-app"`, `"targetPort":"http"`)
	b.migrated()
	b.failure("", "")
	q := get(b, &v1.QuayRegistry{}, "skynet")
	if q.Annotations[ecosystem.AnnotationFrom] != "skynet" || len(q.OwnerReferences) > 0 || !strings.HasPrefix(q.Spec.ConfigBundleSecret, "skynet-config-bundle-") {
		t.Errorf("%+v", q.ObjectMeta)
	}
	bundle := get(b, &corev1.Secret{}, q.Spec.ConfigBundleSecret)
	if text := string(bundle.Data["config.yaml"]); strings.Contains(text, "skynet-quay-postgresql") || strings.Contains(text, "FEATURE_SIGNING") || !strings.Contains(text, `DATABASE_SECRET_KEY: "34"`) || len(bundle.OwnerReferences) > 0 {
		t.Errorf("the bundle: %s", text)
	}
	keys := get(b, &corev1.Secret{}, "skynet-quay-registry-managed-secret-keys").Data
	if string(keys["DATABASE_SECRET_KEY"]) != "34" || string(keys["SECRET_KEY"]) != "12" {
		t.Error("the keys are others")
	}
	if r := get(b, unstructuredOf(kindRoute), "skynet-quay"); r.GetResourceVersion() != route.GetResourceVersion() {
		t.Errorf("the old Route was written: %v", r.Object)
	}
	// What follows the import began after it.
	imported := false
	for _, w := range b.writes(audit) {
		if w.Resource == "jobs" && strings.HasPrefix(w.Name, "skynet-quay-import-") && w.Verb != "delete" {
			imported = true
		}
		if w.Resource == "deployments" && (w.Name == "skynet-quay-app" || w.Name == "skynet-quay-mirror") && !imported {
			t.Errorf("%s %s comes before the import", w.Verb, w.Name)
		}
	}
	if !imported {
		t.Error("there was no import")
	}

	var explained strings.Builder
	if err := Explain(t.Context(), b.Config(), b.options(), b.ns, "skynet", &explained); err != nil || !strings.Contains(explained.String(), "of the QuayEcosystem, and left alone") || strings.Contains(explained.String(), " missing") {
		t.Errorf("explain: %v\n%s", err, explained.String())
	}
	// The user has the old Route lead to the registry, as the message says.
	change(b, unstructuredOf(kindRoute), "skynet-quay", func(r *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(r.Object, "skynet-quay-app", "spec", "to", "name")
	})
	b.until(v1.ComponentRouteReady, metav1.ConditionTrue, v1.ReasonComponentReady, "leads to the registry")
	b.available()
	kubetest.Eventually(t, "the import is taken away", func() error {
		if n := len(b.importJobs()); n > 0 {
			return fmt.Errorf("%d Jobs", n)
		}
		return nil
	})

	// The QuayEcosystem goes, with all that is its own.
	app := get(b, &appsv1.Deployment{}, "skynet-quay-app")
	if err := b.Client().Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	b.gone(unstructuredOf(kindEcosystem), "skynet")
	b.gone(&corev1.Service{}, "skynet-quay")
	b.until(v1.ComponentRouteReady, metav1.ConditionFalse, v1.ReasonComponentNotReady, "not admitted")
	r := get(b, unstructuredOf(kindRoute), "skynet-quay")
	if host, _, _ := unstructured.NestedString(r.Object, "spec", "host"); host != "quay.example.com" || len(r.GetOwnerReferences()) != 1 || r.GetOwnerReferences()[0].UID != q.UID {
		t.Errorf("the registry's own Route: %v", r.Object)
	}
	b.phase(kindRoute.Kind, "skynet-quay", map[string]any{"ingress": []any{map[string]any{"host": "x", "conditions": []any{map[string]any{"type": "Admitted", "status": "True"}}}}})
	b.available()
	if d := get(b, &appsv1.Deployment{}, "skynet-quay-app"); d.UID != app.UID || !equality.Semantic.DeepEqual(d.Spec.Template, app.Spec.Template) {
		t.Error("the registry was made anew")
	}
	get(b, &corev1.Secret{}, q.Spec.ConfigBundleSecret)
	stop()

	// One that nobody labelled was left alone, and so was what is the old one's.
	if c := get(b, unstructuredOf(kindEcosystem), "calm"); c.GetResourceVersion() != calm.GetResourceVersion() {
		t.Errorf("%v", c.Object)
	}
	for _, w := range b.writes(audit) {
		if slices.Contains([]string{"skynet-quay", "calm", ecosystem.ConfigSecret}, w.Name) && w.Resource != "routes" {
			t.Errorf("the operator did %s %s %s", w.Verb, w.Resource, w.Name)
		}
	}
}

// TestEcosystemBack: a QuayRegistry that is deleted leaves the QuayEcosystem and
// its objects alone, and there is another one only when it is asked for.
func TestEcosystemBack(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	defineEcosystems(t, b.Cluster)
	b.run(b.options())
	b.oldSecret(oldConfig)
	b.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "skynet-quay"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}}})
	old := b.ecosystem("skynet", byService, asked)
	b.migrated()
	b.available()
	kubetest.Eventually(t, "the way in is told", func() error {
		var list eventsv1.EventList
		if err := b.Client().List(t.Context(), &list, client.InNamespace(b.ns)); err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool {
			return e.Regarding.Kind == kindEcosystem.Kind && e.Reason == "Migrating" && strings.Contains(e.Note, "the LoadBalancer of the QuayEcosystem")
		}) {
			return fmt.Errorf("not among %d events", len(list.Items))
		}
		return nil
	})
	first := get(b, &v1.QuayRegistry{}, "skynet")
	spec := get(b, unstructuredOf(kindEcosystem), "skynet")
	if fmt.Sprint(spec.Object["spec"]) != fmt.Sprint(old.Object["spec"]) || spec.GetGeneration() != old.GetGeneration() {
		t.Error("the spec of the QuayEcosystem was written")
	}
	if err := b.Client().Delete(t.Context(), first, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	b.vanished(&v1.QuayRegistry{}, "skynet")
	b.vanished(&corev1.PersistentVolumeClaim{}, "skynet-quay-database")
	get(b, &corev1.Secret{}, ecosystem.ConfigSecret)
	get(b, &corev1.Service{}, "skynet-quay")
	// The operator looks at it once more, and makes nothing.
	b.label("x", "y")
	audit := b.Audit(t)
	b.ecosystem("last", "{}", asked) // which it looks at later
	kubetest.Eventually(t, "the operator has looked", func() error {
		if list, _, _ := unstructured.NestedSlice(get(b, unstructuredOf(kindEcosystem), "last").Object, "status", "conditions"); len(list) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	b.none()
	if w := audit.Requests(t, func(r kubetest.Request) bool { return r.Writes() && r.Resource == "quayregistries" }); len(w) > 0 {
		t.Errorf("%v", w)
	}
	if l := get(b, unstructuredOf(kindEcosystem), "skynet").GetLabels(); l[ecosystem.LabelComplete] != "true" {
		t.Errorf("labels: %v", l)
	}
	b.label(ecosystem.LabelComplete, "")
	b.migrated()
	b.available()
	if again := get(b, &v1.QuayRegistry{}, "skynet"); again.UID == first.UID || again.Spec.ConfigBundleSecret != first.Spec.ConfigBundleSecret {
		t.Errorf("the second one has the bundle %s, and the first had %s", again.Spec.ConfigBundleSecret, first.Spec.ConfigBundleSecret)
	}
	if n := b.bundles(); len(n) != 1 {
		t.Errorf("bundles: %v", n)
	}
}

// TestEcosystemRefused: what cannot be migrated is told, and what is somebody
// else's is left alone.
func TestEcosystemRefused(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	defineEcosystems(t, b.Cluster)
	b.run(b.options())
	b.oldSecret(oldConfig)
	b.ecosystem("skynet", "{quay: {registryBackends: [{name: disk, local: {storagePath: /x}}], database: {server: pg.example.com}, externalAccess: {type: Ingress}}, redis: {hostname: skynet-redis}}", asked)
	b.failure(ecosystem.ComponentFailure, ecosystem.ReasonUnsupported, "objectstorage", `"disk"`)
	was := fmt.Sprint(get(b, unstructuredOf(kindEcosystem), "skynet").Object["status"])
	change(b, unstructuredOf(kindEcosystem), "skynet", func(e *unstructured.Unstructured) {
		_ = unstructured.SetNestedSlice(e.Object, []any{map[string]any{"name": "default", "s3": map[string]any{}}}, "spec", "quay", "registryBackends")
	})
	b.failure(ecosystem.ComponentFailure, ecosystem.ReasonUnsupported, "pg.example.com", "kubectl annotate quayecosystem skynet "+ecosystem.AnnotationDatabase)
	if now := fmt.Sprint(get(b, unstructuredOf(kindEcosystem), "skynet").Object["status"]); now == was {
		t.Errorf("%s", now)
	}
	change(b, unstructuredOf(kindEcosystem), "skynet", func(e *unstructured.Unstructured) {
		e.SetAnnotations(map[string]string{ecosystem.AnnotationDatabase: "target", ecosystem.AnnotationLogs: "a year"})
	})
	b.failure(ecosystem.ComponentFailure, ecosystem.ReasonUnsupported, ecosystem.AnnotationLogs, "a year")
	change(b, unstructuredOf(kindEcosystem), "skynet", func(e *unstructured.Unstructured) {
		e.SetAnnotations(map[string]string{ecosystem.AnnotationDatabase: "target", ecosystem.AnnotationLogs: "all"})
	})
	b.failure(ecosystem.ComponentFailure, ecosystem.ReasonUnsupported, "there is no Secret target")
	b.none()
	if n := b.bundles(); len(n) > 0 {
		t.Errorf("bundles: %v", n)
	}
	// Somebody's own registry of that name.
	mine := &v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: "skynet"}, Spec: v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"}}
	b.create(mine)
	b.failure(ecosystem.MigrationFailure, ecosystem.ReasonCreation, "was not made from this QuayEcosystem")
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "target"}, StringData: map[string]string{"DB_URI": "postgresql://g:pw@pg.example.com/gantry"}})
	if q := get(b, &v1.QuayRegistry{}, "skynet"); q.UID != mine.UID || q.Generation != mine.Generation || len(q.Annotations) > 0 {
		t.Errorf("%+v", q)
	}
	b.label(ecosystem.LabelMigrate, "") // until all that is the other registry's is gone
	if err := b.Client().Delete(t.Context(), mine, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	b.vanished(mine, "skynet")
	b.label(ecosystem.LabelMigrate, "true")
	b.migrated()
	b.failure("", "")
	q := get(b, &v1.QuayRegistry{}, "skynet")
	if logs := q.Annotations[render.AnnotationImportLogs]; logs != "all" {
		t.Errorf("of the log %q is imported", logs)
	}
	if text := string(get(b, &corev1.Secret{}, q.Spec.ConfigBundleSecret).Data["config.yaml"]); !strings.Contains(text, "postgresql://g:pw@pg.example.com/gantry") || !strings.Contains(text, "EXTERNAL_TLS_TERMINATION: true") {
		t.Errorf("%s", text)
	}
	if err := b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "skynet-quay-database"}, &appsv1.Deployment{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a database of the operator's: %v", err)
	}
	b.available()
}

// cordon keeps pods from nodes until the test ends, or free is called.
func (b *bench) cordon() (free func()) {
	b.Helper()
	set := func(ctx context.Context, on bool) error {
		var nodes corev1.NodeList
		if err := b.Client().List(ctx, &nodes); err != nil {
			return err
		}
		var errs []error
		for i := range nodes.Items {
			patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec": {"unschedulable": %t}}`, on))
			errs = append(errs, b.Client().Patch(ctx, &nodes.Items[i], patch))
		}
		return errors.Join(errs...)
	}
	if err := set(b.Context(), true); err != nil {
		b.Fatal(err)
	}
	free = func() {
		if err := set(context.Background(), false); err != nil {
			b.Error(err)
		}
	}
	b.Cleanup(free)
	return free
}

// TestEcosystemImportFails: the registry and the QuayEcosystem say why an import
// fails, nothing of the registry starts, an operator that comes in the middle
// goes on, and one that is mended is tried at once.
func TestEcosystemImportFails(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	defineEcosystems(t, b.Cluster)
	free := b.cordon() // pods do as the test says
	stop := b.run(b.options())
	b.oldSecret(oldConfig)
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "target"}, StringData: map[string]string{"DB_URI": "postgresql://g:pw@pg.example.com/gantry"}})
	e := unstructuredOf(kindEcosystem)
	e.SetName("skynet")
	e.SetLabels(asked)
	e.SetAnnotations(map[string]string{ecosystem.AnnotationDatabase: "target"})
	var spec map[string]any
	if err := yaml.Unmarshal([]byte(byService), &spec); err != nil {
		t.Fatal(err)
	}
	e.Object["spec"] = spec
	b.create(e)
	b.until(v1.ComponentsCreated, metav1.ConditionFalse, v1.ReasonMigrationsInProgress, "import of the Quay's database")
	stop()
	kubetest.Eventually(t, "the import's pod fails", func() error {
		var pods corev1.PodList
		if err := b.Client().List(t.Context(), &pods, client.InNamespace(b.ns), client.MatchingLabels{render.LabelComponent: render.PartImport}); err != nil || len(pods.Items) == 0 {
			return fmt.Errorf("%d pods: %w", len(pods.Items), err)
		}
		p := &pods.Items[0]
		p.Status.Phase = corev1.PodFailed
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: render.PartImport, Image: "x", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", FinishedAt: metav1.Now(), Message: "first\nthe Quay's database does not answer\n"}}}}
		return b.Client().Status().Update(t.Context(), p)
	})
	b.run(b.options())
	b.until(v1.ComponentsCreated, metav1.ConditionFalse, v1.ReasonMigrationsFailed, "import of the Quay's database", "the Quay's database does not answer")
	b.failure(ecosystem.ComponentFailure, ecosystem.ReasonUnsupported, "cannot be imported", "the Quay's database does not answer")
	jobs := b.importJobs()
	if len(jobs) != 1 {
		t.Fatalf("%d Jobs", len(jobs))
	}
	if args := strings.Join(jobs[0].Spec.Template.Spec.Containers[0].Args, " "); args != "db import --config /conf/stack --from-config /conf/quay --data /data --database-wait 1m" {
		t.Errorf("arguments: %s", args)
	}
	for _, name := range []string{"skynet-quay-app", "skynet-quay-mirror"} {
		if err := b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, &appsv1.Deployment{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	// Another configuration of the Quay is another try.
	change(b, &corev1.Secret{}, ecosystem.ConfigSecret, func(s *corev1.Secret) {
		s.Data["config.yaml"] = []byte(strings.Replace(oldConfig, ":pw@", ":other@", 1))
	})
	kubetest.Eventually(t, "there is another Job in the place of the first", func() error {
		if now := b.importJobs(); len(now) != 1 || now[0].Name == jobs[0].Name || now[0].DeletionTimestamp != nil {
			return fmt.Errorf("%d Jobs", len(now))
		}
		return nil
	})
	free()
	b.migrated()
	b.failure("", "")
	b.available()
	// It is over: the old configuration may go.
	if err := b.Client().Delete(t.Context(), get(b, &corev1.Secret{}, ecosystem.ConfigSecret)); err != nil {
		t.Fatal(err)
	}
	change(b, &corev1.Secret{}, get(b, &v1.QuayRegistry{}, "skynet").Spec.ConfigBundleSecret, func(s *corev1.Secret) {
		s.Data["config.yaml"] = append(s.Data["config.yaml"], "REGISTRY_TITLE: Skynet\n"...)
	})
	hash := get(b, &v1.QuayRegistry{}, "skynet").Status.ConfigHash
	kubetest.Eventually(t, "another configuration is rolled out", func() error {
		if q := get(b, &v1.QuayRegistry{}, "skynet"); q.Status.ConfigHash == hash {
			return errors.New("not yet")
		}
		return nil
	})
	b.available()
}

// TestImportConfig: the configuration of the Quay that a registry imports has to
// be there, or the annotation not.
func TestImportConfig(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	q := &v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: "skynet", Annotations: map[string]string{render.AnnotationImport: "quay"}}}
	b.create(q)
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, "there is no Secret quay", render.AnnotationImport)
	change(b, q, "skynet", func(q *v1.QuayRegistry) { q.Annotations[render.AnnotationImportLogs] = "30" })
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "quay"}, StringData: map[string]string{"other": "x"}})
	change(b, &corev1.Secret{}, "quay", func(s *corev1.Secret) { s.StringData = map[string]string{"config.yaml": oldConfig} })
	b.until(v1.RolloutBlocked, metav1.ConditionTrue, v1.ReasonConfigInvalid, render.AnnotationImportLogs, "90d")
	change(b, q, "skynet", func(q *v1.QuayRegistry) { q.Annotations[render.AnnotationImportLogs] = "90d" })
	b.available()
	var text strings.Builder
	if err := Explain(t.Context(), b.Config(), b.options(), b.ns, "skynet", &text); err != nil || strings.Contains(text.String(), "skynet-quay-import") {
		t.Errorf("explain: %v\n%s", err, text.String())
	}
}

// TestStrangeHealth: the command in the message has a Route lead to the registry
// in the way that it is served.
func TestStrangeHealth(t *testing.T) {
	route := unstructuredOf(kindRoute)
	route.SetName("skynet-quay")
	for tlsAtDoor, words := range map[bool][]string{true: {`"targetPort":"http"`, `"termination":"edge"`}, false: {`"targetPort":"https"`, `"termination":"passthrough"`}} {
		h := strangeHealth("skynet", route, tlsAtDoor)
		_, patch, _ := strings.Cut(h.Message, "-p '")
		patch, _, _ = strings.Cut(patch, "'")
		var m map[string]any
		if err := yaml.Unmarshal([]byte(patch), &m); err != nil || h.Ready {
			t.Errorf("%v: %+v", err, h)
		}
		for _, w := range append(words, `"name":"skynet-quay-app"`) {
			if !strings.Contains(patch, w) {
				t.Errorf("%s is not in %s", w, patch)
			}
		}
	}
	ingress := &unstructured.Unstructured{}
	ingress.SetKind("Ingress")
	if h := strangeHealth("skynet", ingress, true); h.Ready || strings.Contains(h.Message, "kubectl patch") {
		t.Errorf("%+v", h)
	}
}

// TestEcosystemKilled: an operator that is stopped at any moment of a migration
// leaves nothing that the next one cannot finish, and nothing twice.
func TestEcosystemKilled(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	defineEcosystems(t, b.Cluster)
	o := b.options()
	o.Log = slog.New(slog.DiscardHandler)
	b.oldSecret(oldConfig)
	b.ecosystem("skynet", byService, asked)
	done := func() bool {
		return get(b, unstructuredOf(kindEcosystem), "skynet").GetLabels()[ecosystem.LabelComplete] == "true"
	}
	for range 12 {
		audit := b.Audit(t)
		stop := b.run(o)
		kubetest.Eventually(t, "the operator writes something, or is done", func() error {
			if done() || len(b.writes(audit)) > 0 {
				return nil
			}
			return errors.New("not yet")
		})
		stop()
	}
	b.run(b.options())
	b.migrated()
	b.available()
	if n := b.bundles(); len(n) != 1 || n[0] != get(b, &v1.QuayRegistry{}, "skynet").Spec.ConfigBundleSecret {
		t.Errorf("bundles: %v", n)
	}
}

// TestEcosystemRights: what deploy/operator/rules.yaml grants is enough for a
// migration; a right that is missing is named.
func TestEcosystemRights(t *testing.T) {
	text, err := os.ReadFile("../../deploy/operator/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Namespaced []rbacv1.PolicyRule `json:"namespaced"`
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	without := func(resource, verb string) []rbacv1.PolicyRule {
		list := slices.Clone(rules.Namespaced)
		for i := range list {
			if slices.Contains(list[i].Resources, resource) {
				list[i].Verbs = slices.DeleteFunc(slices.Clone(list[i].Verbs), func(v string) bool { return v == verb })
			}
		}
		return list
	}
	b := newBench(t, kubetest.API(t))
	defineEcosystems(t, b.Cluster)
	// A role of before knows nothing of QuayEcosystems: registries are looked after
	// all the same.
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "operator"}, Rules: slices.DeleteFunc(slices.Clone(rules.Namespaced), func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.APIGroups, kindEcosystem.Group)
	})}
	b.create(role)
	b.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "operator"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "operator", Namespace: b.ns}}})
	stop := b.runAs(b.ServiceAccount(t, b.ns, "operator"), b.options())
	b.registry(v1.QuayRegistrySpec{})
	b.available()
	if err := b.Client().Delete(t.Context(), get(b, &v1.QuayRegistry{}, "skynet"), client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	b.vanished(&v1.QuayRegistry{}, "skynet")
	stop()
	change(b, role, "operator", func(r *rbacv1.Role) { r.Rules = without("quayregistries", "create") })
	b.runAs(b.ServiceAccount(t, b.ns, "operator"), b.options())
	b.oldSecret(oldConfig)
	b.ecosystem("skynet", byService, asked)
	b.failure(ecosystem.MigrationFailure, ecosystem.ReasonCreation, "cannot create resource \"quayregistries\"")
	change(b, role, "operator", func(r *rbacv1.Role) { r.Rules = without("quayecosystems", "patch") })
	b.label("again", "1") // it is looked at anew
	b.failure(ecosystem.MigrationFailure, ecosystem.ReasonLabel, ecosystem.LabelComplete, "cannot patch resource \"quayecosystems\"")
	change(b, role, "operator", func(r *rbacv1.Role) { r.Rules = rules.Namespaced })
	b.migrated()
	b.failure("", "")
	b.available()
}

// TestEcosystemLater: the API may come when the operator runs, and go.
func TestEcosystemLater(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	removeEcosystems(t, b.Cluster)
	o := b.options()
	o.Namespaces = nil
	b.run(o)
	b.registry(v1.QuayRegistrySpec{}) // it runs
	b.available()
	if err := b.Client().Delete(t.Context(), get(b, &v1.QuayRegistry{}, "skynet"), client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	b.vanished(&v1.QuayRegistry{}, "skynet")
	defineEcosystems(t, b.Cluster)
	b.ecosystem("skynet", "{}", asked)
	b.failure(ecosystem.ConfigFailure, ecosystem.ReasonConfigInvalid, "there is no Secret")
	removeEcosystems(t, b.Cluster)
	b.registry(v1.QuayRegistrySpec{}) // it goes on
	b.available()
	defineEcosystems(t, b.Cluster)
	b.ecosystem("skynet", "{}", asked)
	b.failure(ecosystem.MigrationFailure, ecosystem.ReasonCreation, "was not made from")
}
