package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// health looks how the components are. ask is nil where the request could not
// be gathered.
func (r *reconciler) health(ctx context.Context, q *v1.QuayRegistry, k *known, all inventory, seen *status.Seen, ask *render.Request) {
	seen.Health = map[v1.ComponentKind]status.Health{}
	deployment := func(kind v1.ComponentKind, name, part string) status.Health {
		d, _ := found[*appsv1.Deployment](all, q, "Deployment", q.Name+name)
		n := seen.All[kind].Overrides.Replicas
		stopped := n != nil && *n == 0
		if ask != nil && d != nil && ask.Scaled[d.Name] && d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
			stopped = true // by an autoscaler that has nothing to do
		}
		h := status.Deployment(d, stopped, "")
		if !h.Ready && d != nil {
			h = status.Deployment(d, stopped, r.pods(ctx, q, part))
		}
		return h
	}
	for _, w := range []struct {
		kind       v1.ComponentKind
		name, part string
		claim      string
	}{
		{v1.ComponentQuay, "-quay-app", "quay-app", ""}, {v1.ComponentMirror, "-quay-mirror", "quay-mirror", ""}, {v1.ComponentRedis, "-quay-redis", "redis", ""},
		{v1.ComponentClair, "-clair-app", "clair-app", ""}, {v1.ComponentPostgres, "-quay-database", "postgres", "-quay-database"},
		{v1.ComponentClairPostgres, "-clair-postgres", "clair-postgres", "-clair-postgres"},
	} {
		if !seen.All.Managed(w.kind) {
			continue
		}
		h := deployment(w.kind, w.name, w.part)
		if w.claim != "" && !h.Ready {
			if c, ok := volume(all, q, q.Name+w.claim); ok {
				h = c
			}
		}
		seen.Health[w.kind] = h
	}
	if ask != nil {
		if why := plan.SharedReports(seen.All, ask.Bundle); why != "" && seen.Health[v1.ComponentClairPostgres].Ready {
			seen.Health[v1.ComponentClairPostgres] = status.Health{Ready: true, Reason: v1.ReasonReportsNotShared, Message: why}
		}
	}
	if seen.All.Managed(v1.ComponentHPA) {
		seen.Health[v1.ComponentHPA] = scalers(all, q, seen.All, !k.Buckets)
	}
	if seen.All.Managed(v1.ComponentObjectStorage) {
		seen.Health[v1.ComponentObjectStorage] = storage(all, q, k)
	}
	if seen.All.Managed(v1.ComponentRoute) {
		seen.Health[v1.ComponentRoute] = door(all, q, ask)
	}
	if seen.All.Managed(v1.ComponentMonitoring) {
		h := status.Health{Ready: true}
		for _, name := range []id{{kindServiceMonitor.Kind, q.Namespace, q.Name + "-quay-metrics-monitor"}, {kindRule.Kind, q.Namespace, q.Name + "-quay-prometheus-rules"}} {
			if all[name] == nil {
				h = status.Health{Message: name.kind + " " + name.name + " is not there yet"}
			}
		}
		seen.Health[v1.ComponentMonitoring] = h
	}
	if seen.All.Managed(v1.ComponentTLS) {
		h := status.Health{Ready: true, Message: "TLS ends at the route"}
		if ask != nil && ask.Access.Own {
			h.Message = "the registry serves TLS by a certificate of the operator: clients trust ca.crt of the Secret " + OwnCertificate(q.Name)
		}
		seen.Health[v1.ComponentTLS] = h
	} else if ask != nil && len(ask.Cert) > 0 {
		if h, soon := ending(expires(ask.Cert), r.now()); soon {
			seen.Health[v1.ComponentTLS] = h
		}
	}
}

// ending says that the user's certificate ends soon, or has ended; soon only if
// it does.
func ending(end, now time.Time) (h status.Health, soon bool) {
	verb := "ends"
	switch left := end.Sub(now); {
	case left >= renewBefore:
		return h, false
	case left <= 0:
		verb = "has ended"
	}
	return status.Health{Ready: true, Reason: v1.ReasonCertificateExpires, Message: "the registry's certificate " + verb + " at " + end.UTC().Format(time.RFC3339) +
		": put a new one into the Secret that it is from"}, true
}

// volume says what is wrong with a claim; ok only if something is.
func volume(all inventory, q *v1.QuayRegistry, name string) (h status.Health, ok bool) {
	c, there := found[*corev1.PersistentVolumeClaim](all, q, "PersistentVolumeClaim", name)
	if !there || c.Status.Phase != corev1.ClaimPending {
		return h, false
	}
	class := "the default storage class"
	if c.Spec.StorageClassName != nil {
		class = "storage class " + *c.Spec.StorageClassName
	}
	return status.Health{Reason: v1.ReasonPVCPending, Message: fmt.Sprintf("volume %s is not there yet (%s)", name, class)}, true
}

func scalers(all inventory, q *v1.QuayRegistry, components plan.Components, volume bool) status.Health {
	var missing []string
	n := 0
	for kind, name := range map[v1.ComponentKind]string{v1.ComponentQuay: "-quay-app", v1.ComponentClair: "-clair-app", v1.ComponentMirror: "-quay-mirror"} {
		alone := volume && kind != v1.ComponentClair && components[v1.ComponentObjectStorage].Managed && components[v1.ComponentObjectStorage].Overrides.AccessMode != corev1.ReadWriteMany
		if !components.Managed(kind) || alone {
			continue
		}
		n++
		if all[id{"HorizontalPodAutoscaler", q.Namespace, q.Name + name}] == nil {
			missing = append(missing, q.Name+name)
		}
	}
	slices.Sort(missing)
	switch {
	case len(missing) > 0:
		return status.Health{Message: "HorizontalPodAutoscaler " + strings.Join(missing, ", ") + " is not there yet"}
	case n == 0:
		return status.Health{Ready: true, Message: "nothing is scaled: the registry's storage is a volume for one node; with accessMode ReadWriteMany on objectstorage there can be more pods"}
	}
	return status.Health{Ready: true, Message: "horizontalpodautoscaler is ready"}
}

func storage(all inventory, q *v1.QuayRegistry, k *known) status.Health {
	name := q.Name + "-quay-datastore"
	if k.Buckets {
		if o, ok := found[*unstructured.Unstructured](all, q, kindBucketClaim.Kind, name); ok {
			if p, _, _ := unstructured.NestedString(o.Object, "status", "phase"); p == "Bound" {
				return status.Health{Ready: true, Message: "ObjectBucketClaim " + name + " is bound"}
			}
		}
		return status.Health{Message: "ObjectBucketClaim " + name + " is not bound" + phase(all, q)}
	}
	if h, wrong := volume(all, q, name); wrong {
		return h
	}
	c, ok := found[*corev1.PersistentVolumeClaim](all, q, "PersistentVolumeClaim", name)
	if !ok {
		return status.Health{Message: "volume " + name + " is not there yet"}
	}
	message := "the cluster has no object bucket claims (objectbucket.io): content is on the volume " + name
	if !slices.Contains(c.Spec.AccessModes, corev1.ReadWriteMany) {
		message += ", for one node, so that one pod serves"
	}
	return status.Health{Ready: true, Message: message}
}

// door looks whether what clients come in by is open.
func door(all inventory, q *v1.QuayRegistry, ask *render.Request) status.Health {
	if ask == nil {
		return status.Health{Ready: true}
	}
	name := q.Name + "-quay"
	switch ask.Access.Door {
	case plan.DoorRoute:
		for _, n := range []string{name, name + "-builder"} {
			o, ok := found[*unstructured.Unstructured](all, q, kindRoute.Kind, n)
			if !ok && n == name {
				return status.Health{Message: "Route " + n + " is not there yet"}
			}
			if ok && !accepted(o, "ingress", "Admitted") {
				return status.Health{Message: "Route " + n + " is not admitted" + why(o, "ingress", "Admitted")}
			}
		}
	case plan.DoorGateway:
		o, ok := found[*unstructured.Unstructured](all, q, kindHTTPRoute.Kind, name)
		if !ok || !accepted(o, "parents", "Accepted") {
			return status.Health{Message: "HTTPRoute " + name + " is not accepted by its Gateway" + why(o, "parents", "Accepted")}
		}
	case plan.DoorIngress:
		if all[id{"Ingress", q.Namespace, name}] == nil {
			return status.Health{Message: "Ingress " + name + " is not there yet"}
		}
	case plan.DoorService, plan.DoorNone:
		return status.Health{Ready: true, Message: ask.Access.Note}
	}
	return status.Health{Ready: true, Message: string(ask.Access.Door) + " " + name + " leads to the registry"}
}

// accepted reports whether all parts of a list in a status have the condition,
// and there is one at least.
func accepted(o *unstructured.Unstructured, list, condition string) bool {
	parts, _, _ := unstructured.NestedSlice(o.Object, "status", list)
	for _, p := range parts {
		if c := conditionOf(p, condition); c == nil || c["status"] != "True" {
			return false
		}
	}
	return len(parts) > 0
}

func conditionOf(part any, condition string) map[string]any {
	m, _ := part.(map[string]any)
	conditions, _ := m["conditions"].([]any)
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == condition {
			return c
		}
	}
	return nil
}

// why is the message of a condition that is not true.
func why(o *unstructured.Unstructured, list, condition string) string {
	if o == nil {
		return ""
	}
	parts, _, _ := unstructured.NestedSlice(o.Object, "status", list)
	for _, p := range parts {
		if c := conditionOf(p, condition); c != nil && c["status"] != "True" {
			if m, ok := c["message"].(string); ok && m != "" {
				return ": " + m
			}
		}
	}
	return ": nothing has taken it up yet"
}

// prune takes away what is no longer wanted. Data stays.
func (r *reconciler) prune(ctx context.Context, q *v1.QuayRegistry, k *known, all inventory, set *render.Set, ask *render.Request, seen *status.Seen) error {
	wanted := map[id]bool{}
	for _, o := range set.All() {
		wanted[idOf(r.scheme, o)] = true
	}
	wanted[idOf(r.scheme, set.Migrate)] = true
	if set.Import != nil {
		wanted[idOf(r.scheme, set.Import)] = true
	}
	if ask.Access.Own {
		wanted[id{"Secret", q.Namespace, OwnCertificate(q.Name)}] = true
	}
	settled := seen.Health[v1.ComponentQuay].Ready && (!seen.All.Managed(v1.ComponentMirror) || seen.Health[v1.ComponentMirror].Ready)
	before := r.previous(q, all, wanted)
	for name, o := range all {
		if wanted[name] || ofEditor(o) || !owned(o, q) || o.GetDeletionTimestamp() != nil {
			continue
		}
		if lasting(q, name) {
			if err := r.retain(ctx, q, name, o); err != nil {
				return err
			}
			continue
		}
		if hashed(q, name) && (!settled || before[name]) {
			continue // pods have it, or had it last
		}
		if err := r.client.Delete(ctx, o, client.PropagationPolicy("Background")); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("take away %s %s: %w", name.kind, name.name, err)
		}
		r.writes.Add(1)
	}
	if !ask.Console && k.console {
		return nil
	}
	if k.console && !seen.All.Managed(v1.ComponentMonitoring) {
		there := &corev1.ConfigMap{}
		there.Namespace, there.Name = render.ConsoleNamespace, render.ConsoleDashboard(q.Namespace, q.Name)
		if err := r.client.Get(ctx, client.ObjectKeyFromObject(there), there); err == nil {
			return client.IgnoreNotFound(r.client.Delete(ctx, there))
		}
	}
	return nil
}

// families are the Secrets whose names end in a hash.
var families = []string{"-quay-config-secret-", "-quay-config-tls-", "-extra-ca-certs-", "-quay-proxy-config-"}

func hashed(q *v1.QuayRegistry, name id) bool {
	return family(q, name) != ""
}

func family(q *v1.QuayRegistry, name id) string {
	for _, f := range families {
		if name.kind == "Secret" && strings.HasPrefix(name.name, q.Name+f) {
			return f
		}
	}
	return ""
}

// previous are the newest Secrets of each family that are not wanted any more:
// those that the last rollout but one may come back to.
func (r *reconciler) previous(q *v1.QuayRegistry, all inventory, wanted map[id]bool) map[id]bool {
	newest := map[string]id{}
	for name, o := range all {
		f := family(q, name)
		if f == "" || wanted[name] {
			continue
		}
		old, ok := newest[f]
		if c := o.GetCreationTimestamp(); !ok || c.After(all[old].GetCreationTimestamp().Time) || c.Equal(ptr(all[old].GetCreationTimestamp())) && name.name > old.name {
			newest[f] = name
		}
	}
	keep := map[id]bool{}
	for _, name := range newest {
		keep[name] = true
	}
	return keep
}

func ptr[T any](v T) *T { return &v }

// annotationRetained is on data of a component that is not managed any more.
const annotationRetained = "quay-operator/retained"

// retain tells, once, that data stays.
func (r *reconciler) retain(ctx context.Context, q *v1.QuayRegistry, name id, o client.Object) error {
	if o.GetAnnotations()[annotationRetained] != "" || name.name == render.ManagedKeys(q.Name) {
		return nil
	}
	before := o.DeepCopyObject().(client.Object)
	o = o.DeepCopyObject().(client.Object)
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationRetained] = "true"
	o.SetAnnotations(annotations)
	if err := r.client.Patch(ctx, o, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.events.Eventf(q, o, corev1.EventTypeNormal, "Retained", "Prune", "%s %s is no longer used, and stays until it or the registry is deleted", name.kind, name.name)
	return nil
}
