package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/operator/ecosystem"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// A QuayEcosystem is worked on as the registry of its name is: it is made into
// one, whose import is what the QuayEcosystem waits for. Of the QuayEcosystem a
// label and conditions are written, and of its objects nothing.

// lookout looks at the cluster when the operator starts, and again when the API
// of QuayEcosystem comes or goes: without a registry nothing else would.
func (r *reconciler) lookout(ctx context.Context) {
	for {
		wait := oblivious
		if _, err := r.cluster.look(ctx, r.observe, r.disregard); err != nil && ctx.Err() == nil {
			ctrllog.FromContext(ctx).Error(err, "look at the cluster")
			wait = 10 * time.Second
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-r.look:
			t.Stop()
		case <-t.C:
		}
	}
}

func (r *reconciler) lookAgain() {
	select {
	case r.look <- struct{}{}:
	default: // it is asked for
	}
}

// byName is the registry of a QuayEcosystem.
func byName(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
}

// migrating are the registries of the QuayEcosystems that are to be migrated,
// and that of says so of.
func (r *reconciler) migrating(ctx context.Context, namespace string, of func(*unstructured.Unstructured) bool) (list []reconcile.Request) {
	if !r.seesEcosystems(ctx) {
		return nil
	}
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(kindEcosystem)
	all.SetKind(kindEcosystem.Kind + "List")
	if err := r.names.List(ctx, all, client.InNamespace(namespace)); err != nil {
		ctrllog.FromContext(ctx).Error(err, "list QuayEcosystems")
		return nil
	}
	for i := range all.Items {
		if asks(&all.Items[i]) && of(&all.Items[i]) {
			list = append(list, byName(ctx, &all.Items[i])...)
		}
	}
	return list
}

// byConfiguration are the registries of QuayEcosystems that a Secret is read of.
func (r *reconciler) byConfiguration(ctx context.Context, o client.Object) []reconcile.Request {
	return r.migrating(ctx, o.GetNamespace(), func(e *unstructured.Unstructured) bool {
		return o.GetName() == ecosystem.ConfigSecret || o.GetName() == e.GetAnnotations()[ecosystem.AnnotationDatabase]
	})
}

// asks reports whether a QuayEcosystem is to be migrated.
func asks(e *unstructured.Unstructured) bool {
	return e.GetLabels()[ecosystem.LabelMigrate] == "true" && e.GetDeletionTimestamp() == nil
}

// seesEcosystems reports whether QuayEcosystems can be read without waiting for
// them: an operator whose role has not that right would wait for ever. When they
// have come, each is looked at.
func (r *reconciler) seesEcosystems(ctx context.Context) bool {
	if !r.ecosystems.Load() {
		return false
	}
	i, err := r.names.GetInformer(ctx, unstructuredOf(kindEcosystem), cache.BlockUntilSynced(false))
	return err == nil && i.HasSynced()
}

// ecosystem reads the QuayEcosystem that is to be migrated into the registry;
// nil = there is none.
func (r *reconciler) ecosystem(ctx context.Context, at types.NamespacedName) (*unstructured.Unstructured, error) {
	if !r.seesEcosystems(ctx) {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	e := unstructuredOf(kindEcosystem)
	if err := r.names.Get(ctx, at, e); err != nil {
		if skippable(err) {
			return nil, nil //nolint:nilnil // nil is the answer
		}
		return nil, fmt.Errorf("read QuayEcosystem %s: %w", at.Name, err)
	}
	if !asks(e) {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	return e.DeepCopy(), nil
}

// refusedAgain is when a migration is tried anew that nothing else brings on.
const refusedAgain = time.Minute

// migrate makes the registry of a QuayEcosystem, where there is none.
func (r *reconciler) migrate(ctx context.Context, at types.NamespacedName) (reconcile.Result, error) {
	e, err := r.ecosystem(ctx, at)
	if err != nil || e == nil {
		return reconcile.Result{}, err
	}
	if e.GetLabels()[ecosystem.LabelComplete] == "true" { // and its registry is deleted: the way back
		return reconcile.Result{}, r.tellMigration(ctx, e, nil)
	}
	result, err := r.convert(ctx, e)
	if err == nil {
		err = r.makeRegistry(ctx, e, result)
	}
	if errors.Is(err, errAgain) {
		return reconcile.Result{RequeueAfter: time.Second}, nil
	}
	if refused, ok := errors.AsType[*ecosystem.Refused](err); ok {
		return reconcile.Result{RequeueAfter: refusedAgain}, r.tellMigration(ctx, e, refused)
	}
	return reconcile.Result{}, err
}

// convert gathers what a QuayEcosystem is made of, and converts it.
func (r *reconciler) convert(ctx context.Context, e *unstructured.Unstructured) (*ecosystem.Result, error) {
	k, err := r.cluster.look(ctx, r.observe, r.disregard)
	if err != nil {
		return nil, err
	}
	ask := ecosystem.Request{Name: e.GetName(), Cluster: k.Cluster, DatabaseSecret: e.GetAnnotations()[ecosystem.AnnotationDatabase], Logs: e.GetAnnotations()[ecosystem.AnnotationLogs]}
	if ask.Spec, err = ecosystem.ReadSpec(e.Object["spec"]); err != nil {
		return nil, err
	}
	if ask.Config, err = r.dataOf(ctx, e.GetNamespace(), ecosystem.ConfigSecret); err != nil {
		return nil, err
	}
	if ask.DatabaseSecret != "" {
		if ask.Database, err = r.dataOf(ctx, e.GetNamespace(), ask.DatabaseSecret); err != nil {
			return nil, err
		}
	}
	return ecosystem.Convert(ask)
}

// dataOf is the data of a Secret; nil = it is not there.
func (r *reconciler) dataOf(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	s, err := r.secret(ctx, namespace, name)
	if blocked, ok := plan.AsBlocked(err); ok {
		return nil, ecosystem.Blocked(blocked)
	}
	if err != nil || s == nil {
		return nil, err
	}
	if s.Data == nil {
		return map[string][]byte{}, nil
	}
	return s.Data, nil
}

// makeRegistry makes the bundle and the registry. Neither has the QuayEcosystem
// for an owner: it is deleted when all is well.
func (r *reconciler) makeRegistry(ctx context.Context, e *unstructured.Unstructured, result *ecosystem.Result) error {
	name, err := r.makeBundle(ctx, e, result.Bundle)
	if err != nil {
		return err
	}
	q := &v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Namespace: e.GetNamespace(), Name: e.GetName(),
		Annotations: map[string]string{ecosystem.AnnotationFrom: e.GetName(), render.AnnotationImport: ecosystem.ConfigSecret}}, Spec: result.Spec}
	q.Spec.ConfigBundleSecret = name
	if logs := e.GetAnnotations()[ecosystem.AnnotationLogs]; logs != "" {
		q.Annotations[render.AnnotationImportLogs] = logs
	}
	switch err := r.client.Create(ctx, q); {
	case apierrors.IsAlreadyExists(err):
		return errAgain // the cache is behind
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &ecosystem.Refused{Type: ecosystem.MigrationFailure, Reason: ecosystem.ReasonCreation, Message: fmt.Sprintf("the QuayRegistry %s cannot be created: %v", q.Name, err)}
	case err != nil:
		return fmt.Errorf("create the QuayRegistry %s: %w", q.Name, err)
	}
	r.writes.Add(1)
	note := strings.Join(append([]string{"QuayRegistry " + q.Name + " is made, with the configuration of the Secret " + name + ": its database is imported next"}, result.Notes...), "; ")
	r.events.Eventf(e, q, corev1.EventTypeNormal, "Migrating", "Migrate", "%s", clipEvent(note))
	return r.tellMigration(ctx, e, nil)
}

// makeBundle makes the bundle, or finds the one that was made before, and
// returns its name.
func (r *reconciler) makeBundle(ctx context.Context, e *unstructured.Unstructured, data map[string][]byte) (string, error) {
	for try := range 10 {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: e.GetNamespace(), Name: ecosystem.BundleName(e.GetName(), string(e.GetUID()), data, try),
			Annotations: map[string]string{ecosystem.AnnotationFrom: e.GetName()}}, Data: data}
		err := r.client.Create(ctx, s)
		if err == nil {
			r.writes.Add(1)
			return s.Name, nil
		}
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return "", &ecosystem.Refused{Type: ecosystem.MigrationFailure, Reason: ecosystem.ReasonCreation, Message: fmt.Sprintf("the Secret %s cannot be created: %v", s.Name, err)}
		}
		if !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("create the Secret %s: %w", s.Name, err)
		}
		there, err := r.dataOf(ctx, s.Namespace, s.Name)
		if err != nil {
			return "", err
		}
		if maps.EqualFunc(there, data, slices.Equal) {
			return s.Name, nil
		}
	}
	return "", &ecosystem.Refused{Type: ecosystem.MigrationFailure, Reason: ecosystem.ReasonCreation,
		Message: fmt.Sprintf("there are ten Secrets %s-config-bundle-… of earlier migrations that have been changed: delete those that are not used", e.GetName())}
}

// tellEcosystem says of the QuayEcosystem that a registry was made from how its
// migration goes.
func (r *reconciler) tellEcosystem(ctx context.Context, q *v1.QuayRegistry, seen status.Seen) error {
	e, err := r.ecosystem(ctx, client.ObjectKeyFromObject(q))
	if err != nil || e == nil {
		return err
	}
	complete := e.GetLabels()[ecosystem.LabelComplete] == "true"
	switch {
	case complete:
		return r.tellMigration(ctx, e, nil)
	case q.Annotations[ecosystem.AnnotationFrom] != q.Name:
		return r.tellMigration(ctx, e, &ecosystem.Refused{Type: ecosystem.MigrationFailure, Reason: ecosystem.ReasonCreation,
			Message: fmt.Sprintf("there is a QuayRegistry %s that was not made from this QuayEcosystem, and is left alone: delete it, or take the label %s away", q.Name, ecosystem.LabelMigrate)})
	case seen.Version != "" && q.Status.CurrentVersion != "": // it was rolled out, and that is written
		return r.complete(ctx, e, q, seen)
	case seen.Migration == status.MigrationFailed:
		return r.tellMigration(ctx, e, &ecosystem.Refused{Type: ecosystem.ComponentFailure, Reason: ecosystem.ReasonUnsupported, Message: importFailure + seen.MigrationMessage})
	case seen.Blocked != nil:
		refused := ecosystem.Blocked(seen.Blocked)
		refused.Message = "the QuayRegistry is not rolled out: " + refused.Message
		return r.tellMigration(ctx, e, refused)
	case seen.Migration == status.MigrationRunning && importFailed(e):
		return nil // a try after one that failed: it may fail, too
	}
	return r.tellMigration(ctx, e, nil)
}

// importFailure begins what a QuayEcosystem says when the import fails.
const importFailure = "postgres: the database cannot be imported: "

// importFailed reports whether a QuayEcosystem says that the import failed.
func importFailed(e *unstructured.Unstructured) bool {
	list, _, _ := unstructured.NestedSlice(e.Object, "status", "conditions") // what is no list says nothing
	return slices.ContainsFunc(list, func(c any) bool {
		m, _ := c.(map[string]any)
		message, _ := m["message"].(string)
		return m["type"] == ecosystem.ComponentFailure && strings.HasPrefix(message, importFailure)
	})
}

// complete labels a QuayEcosystem whose registry has been rolled out.
func (r *reconciler) complete(ctx context.Context, e *unstructured.Unstructured, q *v1.QuayRegistry, seen status.Seen) error {
	before := e.DeepCopy()
	labels := e.GetLabels()
	labels[ecosystem.LabelComplete] = "true"
	e.SetLabels(labels)
	err := r.client.Patch(ctx, e, client.MergeFrom(before))
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		told := r.tellMigration(ctx, before, &ecosystem.Refused{Type: ecosystem.MigrationFailure, Reason: ecosystem.ReasonLabel,
			Message: fmt.Sprintf("the migration is done, and the label %s cannot be put on: %v", ecosystem.LabelComplete, err)})
		return errors.Join(fmt.Errorf("label QuayEcosystem %s: %w", e.GetName(), err), told)
	}
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	r.writes.Add(1)
	note := "the migration is done: look at " + seen.Endpoint + " of QuayRegistry " + q.Name
	if h := seen.Health[v1.ComponentRoute]; !h.Ready && h.Message != "" {
		note += "; " + h.Message
	}
	r.events.Eventf(e, q, corev1.EventTypeNormal, "Migrated", "Migrate", "%s", clipEvent(note))
	return r.tellMigration(ctx, e, nil)
}

// tellMigration writes why a migration fails; nil = it does not.
func (r *reconciler) tellMigration(ctx context.Context, e *unstructured.Unstructured, refused *ecosystem.Refused) error {
	list, _, err := unstructured.NestedSlice(e.Object, "status", "conditions")
	if err != nil {
		list = nil // nobody can use them as they are
	}
	list, changed := ecosystem.Conditions(list, refused, r.now())
	if !changed {
		return nil
	}
	before := e.DeepCopy()
	if err := unstructured.SetNestedSlice(e.Object, list, "status", "conditions"); err != nil {
		return err
	}
	if err := r.client.Status().Patch(ctx, e, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // what is newer comes here, too
		}
		return fmt.Errorf("write the status of QuayEcosystem %s: %w", e.GetName(), err)
	}
	r.writes.Add(1)
	if refused != nil {
		r.events.Eventf(e, nil, corev1.EventTypeWarning, refused.Reason, "Migrate", "%s", clipEvent(refused.Message))
	}
	return nil
}

// imports is the Quay whose database a registry imports before it starts for the
// first time; nil = none.
func (r *reconciler) imports(ctx context.Context, q *v1.QuayRegistry) (*render.Import, error) {
	name := q.Annotations[render.AnnotationImport]
	if name == "" || q.Status.CurrentVersion != "" {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	s, err := r.secret(ctx, q.Namespace, name)
	if err != nil {
		return nil, err
	}
	if s == nil || len(s.Data["config.yaml"]) == 0 {
		return nil, &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("there is no Secret %s with config.yaml of the Quay whose database is to be imported, which the annotation %s names: put it back, or take the annotation away to begin with an empty registry", name, render.AnnotationImport)}
	}
	logs := q.Annotations[render.AnnotationImportLogs]
	if logs != "" {
		if _, err := config.ParseAge(logs); err != nil {
			return nil, &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("the annotation %s, how much of the Quay's action log is imported, is %q: %v; without it 30 days are", render.AnnotationImportLogs, clipEvent(logs), err)}
		}
	}
	return &render.Import{Secret: name, Hash: plan.Hash(s.Data), Logs: logs}, nil
}

// importQuay has the database of a Quay imported. One Job after the other works
// on it: one with another configuration waits until the one before is gone.
func (r *reconciler) importQuay(ctx context.Context, q *v1.QuayRegistry, all inventory, set *render.Set, seen *status.Seen) (done bool, err error) {
	for name, o := range all {
		if o.GetLabels()[render.LabelComponent] != render.PartImport || name.kind != "Job" || name.name == set.Import.Name {
			continue
		}
		if o.GetDeletionTimestamp() == nil {
			if err := r.client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationForeground)); client.IgnoreNotFound(err) != nil {
				return false, fmt.Errorf("take away Job %s: %w", name.name, err)
			}
			r.writes.Add(1)
		}
		return false, errAgain
	}
	if err := r.apply(ctx, all, q, set.Import); err != nil {
		return false, err
	}
	const what = "import of the Quay's database"
	job, _ := found[*batchv1.Job](all, q, "Job", set.Import.Name)
	done, failed := ended(job)
	switch {
	case failed != "":
		seen.Migration, seen.MigrationMessage = status.MigrationFailed, what+": "+failed
		// Another try, when the controller of Jobs has given up.
		err = r.client.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground))
		return false, client.IgnoreNotFound(err)
	case !done:
		seen.Migration, seen.MigrationMessage = status.MigrationRunning, what
		if why := r.pods(ctx, q, render.PartImport); why != "" {
			seen.MigrationMessage += ": " + why
			if strings.Contains(why, "ended with code") {
				seen.Migration = status.MigrationFailed
			}
		}
	}
	return done, nil
}

// doorAgain is how soon a door of somebody else's is looked at again.
const doorAgain = 10 * time.Second

// sooner is the earlier of two times to look again; 0 = never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// strangeDoor finds what stands at the name of the registry's door and is not
// the operator's, where the registry was made from a QuayEcosystem: its Route
// has that name, and clients come in by it to the Quay. The set loses its own
// then. nil = the door is the operator's to make.
func (r *reconciler) strangeDoor(ctx context.Context, q *v1.QuayRegistry, all inventory, set *render.Set) (*unstructured.Unstructured, error) {
	if q.Annotations[ecosystem.AnnotationFrom] == "" {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	i := slices.IndexFunc(set.Base, func(o client.Object) bool {
		kind := idOf(r.scheme, o).kind
		return o.GetName() == q.Name+"-quay" && (kind == kindRoute.Kind || kind == "Ingress" || kind == kindHTTPRoute.Kind)
	})
	if i < 0 || all[idOf(r.scheme, set.Base[i])] != nil {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	u := unstructuredOf(set.Base[i].GetObjectKind().GroupVersionKind())
	if err := r.reader.Get(ctx, client.ObjectKeyFromObject(set.Base[i]), u); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if u.GetLabels()[render.LabelRegistry] == q.Name {
		return nil, errAgain // the cache is behind
	}
	set.Base = slices.Delete(set.Base, i, i+1)
	return u, nil
}

// strangeHealth says where a door leads that is not the operator's, and how to
// have it lead to the registry.
func strangeHealth(name string, door *unstructured.Unstructured, tlsAtDoor bool) status.Health {
	what := door.GetKind() + " " + door.GetName()
	to, _, _ := unstructured.NestedString(door.Object, "spec", "to", "name") // without one it leads nowhere
	if door.GetKind() == kindRoute.Kind && to == name+"-quay-app" {
		return status.Health{Ready: true, Message: what + " is the QuayEcosystem's, and leads to the registry; when it goes with the QuayEcosystem, the operator makes its own"}
	}
	message := what + " is the QuayEcosystem's, and is left as it is: clients reach the Quay by it. "
	if door.GetKind() == kindRoute.Kind {
		target, termination := "https", "passthrough"
		if tlsAtDoor {
			target, termination = "http", "edge"
		}
		patch, _ := json.Marshal(map[string]any{"spec": map[string]any{"to": map[string]any{"name": name + "-quay-app"}, "port": map[string]any{"targetPort": target},
			"tls": map[string]any{"termination": termination, "insecureEdgeTerminationPolicy": "Redirect"}}}) // of strings: it cannot fail
		message += fmt.Sprintf("To have it lead to the registry: kubectl patch route %s --type merge -p '%s'. ", door.GetName(), patch)
	}
	return status.Health{Message: message + "When it is deleted, or the QuayEcosystem is, the operator makes its own"}
}
