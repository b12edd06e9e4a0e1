package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// Finalizer keeps a QuayRegistry until what no owner can take away is gone.
const Finalizer = "quay-operator/finalizer"

type reconciler struct {
	o       Options
	client  client.Client // reads from the cache
	reader  client.Reader // reads from the server
	scheme  *runtime.Scheme
	events  events.EventRecorder
	cluster *cluster
	observe func(schema.GroupVersionKind) error // has changes of a kind seen
	// disregard ends that.
	disregard func(context.Context, schema.GroupVersionKind) error
	now       func() time.Time
	writes    atomic.Int64 // objects applied
	// names reads what has no label of a registry; of QuayEcosystems while they
	// are watched.
	names      cache.Cache
	ecosystems atomic.Bool
	look       chan struct{} // asks for another look at the cluster
}

func newReconciler(m ctrl.Manager, apis discovery.DiscoveryInterface, o Options) *reconciler {
	return &reconciler{o: o, client: m.GetClient(), reader: m.GetAPIReader(), scheme: m.GetScheme(), events: m.GetEventRecorder("quay-operator"), now: time.Now, look: make(chan struct{}, 1),
		cluster: &cluster{reader: m.GetAPIReader(), apis: apis, images: o.Images, all: len(o.Namespaces) == 0, watched: map[schema.GroupVersionKind]bool{}}}
}

// Reconcile makes one registry what it is to be, as far as that can be done
// without waiting.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	q := &v1.QuayRegistry{}
	if err := r.client.Get(ctx, request.NamespacedName, q); err != nil {
		if !apierrors.IsNotFound(err) {
			return reconcile.Result{}, err
		}
		if err := r.without(ctx, request.NamespacedName); err != nil {
			return reconcile.Result{}, err
		}
		return r.migrate(ctx, request.NamespacedName)
	}
	q = q.DeepCopy() // the cache's is everybody's
	if q.DeletionTimestamp != nil {
		return reconcile.Result{}, r.leave(ctx, q)
	}
	k, err := r.cluster.look(ctx, r.observe, r.disregard)
	if err != nil {
		return reconcile.Result{}, err
	}
	if err := r.stay(ctx, q, k); err != nil {
		return reconcile.Result{}, err
	}
	all, err := r.take(ctx, q, k)
	if err != nil {
		return reconcile.Result{}, err
	}
	seen := status.Seen{Generation: q.Generation, Now: r.now(), Version: q.Status.CurrentVersion}
	again, err := r.round(ctx, q, k, all, &seen)
	if e := r.editor(ctx, q, k, all, &seen); e != nil {
		err = joined(err, e)
	}
	if b, ok := plan.AsBlocked(err); ok {
		seen.Blocked, err = b, nil
		if seen.All != nil && seen.Health == nil {
			r.health(ctx, q, k, all, &seen, nil)
		}
	}
	if errors.Is(err, errAgain) {
		again, err = time.Second, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	if err := r.tellWork(ctx, q, all, seen.Blocked); err != nil {
		return reconcile.Result{}, err
	}
	if err := r.tellEcosystem(ctx, q, seen); err != nil {
		return reconcile.Result{}, err
	}
	switch err := r.tell(ctx, q, seen); {
	case errors.Is(err, errAgain):
		again = 200 * time.Millisecond
	case err != nil:
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: again}, nil
}

// stay keeps the finalizer where it is needed.
func (r *reconciler) stay(ctx context.Context, q *v1.QuayRegistry, k *known) error {
	needed := k.console || q.Spec.DeletionPolicy == v1.DeletionPolicyRetain
	if !needed || controllerutil.ContainsFinalizer(q, Finalizer) {
		return nil
	}
	before := q.DeepCopy()
	controllerutil.AddFinalizer(q, Finalizer)
	if err := r.client.Patch(ctx, q, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("add the finalizer: %w", err)
	}
	r.writes.Add(1)
	return nil
}

// leave takes away what does not go with the registry, and lets data stay that
// is to be kept.
func (r *reconciler) leave(ctx context.Context, q *v1.QuayRegistry) error {
	if !controllerutil.ContainsFinalizer(q, Finalizer) {
		return nil
	}
	k, err := r.cluster.look(ctx, r.observe, r.disregard)
	if err != nil {
		return err
	}
	if k.console {
		there := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: render.ConsoleNamespace, Name: render.ConsoleDashboard(q.Namespace, q.Name)}}
		if err := r.client.Delete(ctx, there); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the console's dashboard: %w", err)
		}
	}
	if q.Spec.DeletionPolicy == v1.DeletionPolicyRetain {
		all, err := r.take(ctx, q, k)
		if err != nil {
			return err
		}
		for name, o := range all {
			if !lasting(q, name) || !owned(o, q) {
				continue
			}
			before := o.DeepCopyObject().(client.Object)
			o = o.DeepCopyObject().(client.Object)
			o.SetOwnerReferences(slices.DeleteFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == q.UID }))
			if err := r.client.Patch(ctx, o, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("keep %s %s: %w", name.kind, name.name, err)
			}
			r.events.Eventf(q, o, corev1.EventTypeNormal, "Retained", "Delete", "%s %s stays", name.kind, name.name)
		}
	}
	before := q.DeepCopy()
	controllerutil.RemoveFinalizer(q, Finalizer)
	return client.IgnoreNotFound(r.client.Patch(ctx, q, client.MergeFrom(before)))
}

// lasting reports whether an object holds data, or keys to it.
func lasting(q *v1.QuayRegistry, name id) bool {
	return name.kind == "PersistentVolumeClaim" || name.kind == kindBucketClaim.Kind || name.kind == "Secret" && (name.name == render.ManagedKeys(q.Name) || name.name == render.EditorBundle(q.Name))
}

func owned(o client.Object, q *v1.QuayRegistry) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == q.UID })
}

// round gathers, decides, applies and looks. The error is a *plan.Blocked where
// what is asked for cannot be had: what is there goes on then.
func (r *reconciler) round(ctx context.Context, q *v1.QuayRegistry, k *known, all inventory, seen *status.Seen) (again time.Duration, err error) {
	if err := plan.Upgrade(q.Status.CurrentVersion, r.o.Version); err != nil {
		return 0, err
	}
	ask, again, err := r.request(ctx, q, k, all, seen)
	if err != nil {
		return 0, err
	}
	set, err := render.Render(*ask)
	if err != nil {
		return 0, err
	}
	door, err := r.strangeDoor(ctx, q, all, set)
	if err != nil {
		return 0, err
	}
	waiting := ask.All.Managed(v1.ComponentObjectStorage) && ask.Facts.Volume == "" && ask.Facts.Bucket == nil
	if waiting {
		for _, o := range set.Base {
			if c, ok := o.(*corev1.Secret); ok && c.Name == set.ConfigSecret {
				continue // it is not whole without a bucket
			}
			if err := r.apply(ctx, all, q, o); err != nil {
				return 0, err
			}
		}
		for _, o := range set.Data {
			if err := r.apply(ctx, all, q, o); err != nil {
				return 0, err
			}
		}
		r.health(ctx, q, k, all, seen, nil)
		return again, &plan.Blocked{Reason: v1.ReasonObjectStorageDependency, Component: v1.ComponentObjectStorage,
			Message: "the bucket is not there yet: ObjectBucketClaim " + q.Name + "-quay-datastore is not bound" + phase(all, q)}
	}
	if err := check(*ask); err != nil {
		return 0, err
	}
	for _, o := range append(slices.Clone(set.Base), set.Data...) {
		if err := r.apply(ctx, all, q, o); err != nil {
			return 0, err
		}
	}
	rolled, err := r.rollOut(ctx, q, all, set, ask, seen)
	if err != nil {
		return 0, err
	}
	if rolled {
		if err := r.work(ctx, q, all, set, ask, seen); err != nil {
			return 0, err
		}
	}
	r.health(ctx, q, k, all, seen, ask)
	if door != nil {
		seen.Health[v1.ComponentRoute] = strangeHealth(q.Name, door, ask.Access.TLSAtDoor)
		again = sooner(again, doorAgain)
	}
	if rolled {
		seen.Version, seen.Endpoint, seen.ConfigHash = r.o.Version, ask.Access.Endpoint(), set.ConfigHash
		if err := r.prune(ctx, q, k, all, set, ask, seen); err != nil {
			return 0, err
		}
	}
	return again, nil
}

// phase is how far a bucket claim is.
func phase(all inventory, q *v1.QuayRegistry) string {
	if o, ok := found[*unstructured.Unstructured](all, q, kindBucketClaim.Kind, q.Name+"-quay-datastore"); ok {
		if p, _, _ := unstructured.NestedString(o.Object, "status", "phase"); p != "" {
			return " (its phase is " + p + ")"
		}
	}
	return ""
}

// rollOut applies the workloads that need a schema, once the database has it.
func (r *reconciler) rollOut(ctx context.Context, q *v1.QuayRegistry, all inventory, set *render.Set, ask *render.Request, seen *status.Seen) (bool, error) {
	app, _ := found[*appsv1.Deployment](all, q, "Deployment", q.Name+"-quay-app")
	if app == nil || app.Annotations[render.AnnotationMigrated] != set.Schema {
		for _, name := range []struct {
			kind v1.ComponentKind
			name string
		}{{v1.ComponentPostgres, q.Name + "-quay-database"}} {
			d, _ := found[*appsv1.Deployment](all, q, "Deployment", name.name)
			if ask.All.Managed(name.kind) && !status.Deployment(d, false, "").Ready {
				seen.Waiting = "the registry waits for its database"
				return false, nil
			}
		}
		if set.Import != nil {
			if done, err := r.importQuay(ctx, q, all, set, seen); err != nil || !done {
				return false, err
			}
		}
		if err := r.apply(ctx, all, q, set.Migrate); err != nil {
			return false, err
		}
		job, _ := found[*batchv1.Job](all, q, "Job", set.Migrate.Name)
		switch done, failed := ended(job); {
		case failed != "":
			seen.Migration, seen.MigrationMessage = status.MigrationFailed, failed
			// Another try, when the controller of Jobs has given up.
			if err := r.client.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
				return false, err
			}
			return false, nil
		case !done:
			seen.Migration = status.MigrationRunning
			if why := r.pods(ctx, q, "quay-app-upgrade"); why != "" {
				seen.MigrationMessage = why
				if strings.Contains(why, "ended with code") {
					seen.Migration = status.MigrationFailed
				}
			}
			return false, nil
		}
	}
	for _, o := range set.Apps {
		if err := r.apply(ctx, all, q, o); err != nil {
			return false, err
		}
	}
	return true, nil
}

// ended reports whether a Job is done, or why it is over without being done.
func ended(job *batchv1.Job) (done bool, failed string) {
	if job == nil {
		return false, ""
	}
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type { //nolint:exhaustive // the others are steps on the way
		case batchv1.JobComplete:
			return true, ""
		case batchv1.JobFailed:
			return false, "Job " + job.Name + ": " + c.Message
		}
	}
	return false, ""
}

// pods says what keeps the pods of a part from being ready.
func (r *reconciler) pods(ctx context.Context, q *v1.QuayRegistry, part string) string {
	var list corev1.PodList
	err := r.client.List(ctx, &list, client.InNamespace(q.Namespace), client.MatchingLabels{render.LabelRegistry: q.Name, render.LabelComponent: part})
	if err != nil {
		return ""
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) }) // the newest first
	return status.Pods(list.Items)
}

// tell writes the status, if it is another one, and events of what changed.
func (r *reconciler) tell(ctx context.Context, q *v1.QuayRegistry, seen status.Seen) error {
	after := status.Compute(q.Status, seen)
	if status.Same(q.Status, after) {
		return nil
	}
	before := q.DeepCopy()
	events := status.Events(q.Status, after)
	q.Status = after
	// Another operator, or a person, that writes meanwhile is not overwritten.
	if err := r.client.Status().Patch(ctx, q, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		if apierrors.IsConflict(err) {
			return errAgain // the cache is behind
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("write the status: %w", err)
	}
	r.writes.Add(1)
	for _, e := range events {
		r.events.Eventf(q, nil, e.Type, e.Reason, string(e.Condition), "%s", e.Message)
	}
	if c := status.Find(after, v1.Available); c != nil && c.Status == metav1.ConditionTrue {
		if old := status.Find(before.Status, v1.Available); old == nil || old.Status != c.Status {
			go r.resolve(context.WithoutCancel(ctx), q)
		}
	}
	return nil
}

// resolve tells if clients cannot find the registry by its name.
func (r *reconciler) resolve(ctx context.Context, q *v1.QuayRegistry) {
	host := plan.Access{Hostname: strings.TrimPrefix(q.Status.RegistryEndpoint, "https://")}.Host()
	if host == "" || strings.HasSuffix(host, ".svc.cluster.local") {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := r.o.lookup(ctx, host); err != nil {
		r.events.Eventf(q, nil, corev1.EventTypeWarning, "HostnameUnresolved", "Reconcile", "%s has no address that the operator can find: make a DNS record that leads to the registry's route", host)
	}
}
