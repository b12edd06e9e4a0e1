package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

// An id names an object.
type id struct{ kind, namespace, name string }

// An inventory is the objects of one registry that are there.
type inventory map[id]client.Object

// idOf names an object, whose kind a cache does not tell.
func idOf(s *runtime.Scheme, o client.Object) id {
	kind := o.GetObjectKind().GroupVersionKind().Kind
	if kind == "" {
		if kinds, _, err := s.ObjectKinds(o); err == nil && len(kinds) > 0 {
			kind = kinds[0].Kind
		}
	}
	return id{kind, o.GetNamespace(), o.GetName()}
}

// take lists the objects of a registry.
func (r *reconciler) take(ctx context.Context, q *v1.QuayRegistry, k *known) (inventory, error) {
	all := inventory{}
	opts := []client.ListOption{client.InNamespace(q.Namespace), client.MatchingLabels{render.LabelRegistry: q.Name}}
	lists := own()
	for _, kind := range k.kinds {
		u := &unstructured.UnstructuredList{}
		u.SetGroupVersionKind(kind)
		u.SetKind(kind.Kind + "List")
		lists = append(lists, u)
	}
	for _, list := range lists {
		if err := r.client.List(ctx, list, opts...); err != nil {
			return nil, fmt.Errorf("list %T: %w", list, err)
		}
		err := meta.EachListItem(list, func(o runtime.Object) error {
			if c, ok := o.(client.Object); ok {
				all[idOf(r.scheme, c)] = c
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if k.console { // in another namespace, without an owner
		there := &corev1.ConfigMap{}
		err := r.client.Get(ctx, client.ObjectKey{Namespace: render.ConsoleNamespace, Name: render.ConsoleDashboard(q.Namespace, q.Name)}, there)
		if err == nil {
			all[idOf(r.scheme, there)] = there
		} else if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("look for the console's dashboard: %w", err)
		}
	}
	return all, nil
}

// found returns the object of that kind and name in the registry's namespace.
func found[T client.Object](all inventory, q *v1.QuayRegistry, kind, name string) (o T, ok bool) {
	o, ok = all[id{kind, q.Namespace, name}].(T)
	return o, ok
}

// generic makes an object a tree without what the server fills in.
func generic(o client.Object) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: strip(runtime.DeepCopyJSONValue(m)).(map[string]any)}
	delete(u.Object, "status")
	return u, nil
}

// strip takes out fields that are null, as times are that are not set.
func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e == nil {
				delete(v, k)
				continue
			}
			v[k] = strip(e)
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	}
	return v
}

// apply makes an object what it is to be, if it is not yet.
func (r *reconciler) apply(ctx context.Context, all inventory, q *v1.QuayRegistry, o client.Object) error {
	name := idOf(r.scheme, o)
	live := all[name]
	if err := fit(o, live); err != nil {
		return err
	}
	u, err := generic(o)
	if err != nil {
		return err
	}
	text, err := json.Marshal(u.Object)
	if err != nil {
		return err
	}
	hash := plan.Hash(map[string][]byte{"": text})
	annotations := maps.Clone(u.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[render.AnnotationHash] = hash
	u.SetAnnotations(annotations)
	if live != nil && live.GetAnnotations()[render.AnnotationHash] == hash {
		there, err := generic(live)
		if err != nil {
			return err
		}
		if within(u.Object["metadata"], there.Object["metadata"]) && sameFields(u.Object, there.Object) {
			return nil
		}
	}
	if name.kind == "Job" && live != nil {
		return nil // the template of a Job is never changed: another one has another name
	}
	if err := r.handOver(ctx, all, o, live); err != nil {
		return err
	}
	err = r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
	if d, ok := live.(*appsv1.Deployment); ok && apierrors.IsInvalid(err) && otherSelector(d, o) {
		// One of Quay's operator: its pods cannot be taken over.
		r.events.Eventf(q, live, corev1.EventTypeNormal, "Replaced", "Apply", "Deployment %s selects its pods in another way, and is made anew", name.name)
		if err := r.client.Delete(ctx, live, client.PropagationPolicy(metav1.DeletePropagationForeground)); client.IgnoreNotFound(err) != nil {
			return err
		}
		return errAgain
	}
	if err != nil {
		return refused(name, err)
	}
	r.writes.Add(1)
	fresh := o.DeepCopyObject().(client.Object)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, fresh); err != nil {
		return err
	}
	all[name] = fresh
	return nil
}

// errAgain asks for another round soon.
var errAgain = errors.New("something is on its way out")

// sameFields compares the fields of two objects beside metadata.
func sameFields(want, there map[string]any) bool {
	for k, v := range want {
		if k != "metadata" && k != "kind" && k != "apiVersion" && !within(v, there[k]) {
			return false
		}
	}
	return true
}

// refused says why an object could not be applied. A right that is missing is
// named.
func refused(name id, err error) error {
	b := &plan.Blocked{Reason: v1.ReasonComponentCreationFailed, Message: fmt.Sprintf("%s %s cannot be applied: %v", name.kind, name.name, err)}
	switch {
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "):
		b.Message = fmt.Sprintf("%s %s cannot be applied, for the operator may not: %v; give its role that verb", name.kind, name.name, err)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
	default:
		return fmt.Errorf("apply %s %s: %w", name.kind, name.name, err)
	}
	return b
}

func otherSelector(live *appsv1.Deployment, o client.Object) bool {
	d, ok := o.(*appsv1.Deployment)
	return ok && !equality.Semantic.DeepEqual(live.Spec.Selector, d.Spec.Selector)
}

// fit adapts what is wanted to what is there and cannot be changed: the class
// and the mode of a volume. A volume does not shrink.
func fit(o, live client.Object) error {
	want, ok := o.(*corev1.PersistentVolumeClaim)
	there, ok2 := live.(*corev1.PersistentVolumeClaim)
	if !ok || !ok2 {
		return nil
	}
	want.Spec.StorageClassName, want.Spec.AccessModes = there.Spec.StorageClassName, there.Spec.AccessModes
	asked, has := want.Spec.Resources.Requests[corev1.ResourceStorage], there.Spec.Resources.Requests[corev1.ResourceStorage]
	if asked.Cmp(has) < 0 {
		return &plan.Blocked{Reason: v1.ReasonComponentCreationFailed, Message: fmt.Sprintf("the volume %s has %s, and volumeSize asks for %s: a volume grows and never shrinks; ask for at least %s", want.Name, &has, &asked, &has)}
	}
	return nil
}

// handOver leaves the number of replicas to an autoscaler as it is: a field that
// its only owner gives up would fall to its default, 1. From 0 no autoscaler
// takes off: it gets its least number.
func (r *reconciler) handOver(ctx context.Context, all inventory, o, live client.Object) error {
	want, ok := o.(*appsv1.Deployment)
	there, ok2 := live.(*appsv1.Deployment)
	if !ok || !ok2 || want.Spec.Replicas != nil || there.Spec.Replicas == nil || there.Annotations[render.AnnotationReplicas] == "" {
		return nil
	}
	// What the cache has may be behind the autoscaler.
	now := &appsv1.Deployment{}
	if err := r.reader.Get(ctx, client.ObjectKeyFromObject(there), now); err != nil {
		return err
	}
	if now.Spec.Replicas == nil || now.Annotations[render.AnnotationReplicas] == "" {
		return errAgain
	}
	n := int64(*now.Spec.Replicas)
	if n == 0 {
		n = 1
		if h, ok := all[id{"HorizontalPodAutoscaler", there.Namespace, there.Name}].(*autoscalingv2.HorizontalPodAutoscaler); ok && h.Spec.MinReplicas != nil {
			n = int64(*h.Spec.MinReplicas)
		}
	}
	u := unstructuredOf(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	u.SetName(there.Name)
	u.SetNamespace(there.Namespace)
	u.SetResourceVersion(now.ResourceVersion) // nor is it overtaken
	u.Object["spec"] = map[string]any{"replicas": n}
	err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner+"-scale"), client.ForceOwnership)
	if apierrors.IsConflict(err) {
		return errAgain
	}
	return err
}

// within reports whether all that want says is so in there: what the server or
// others add is nobody's fault.
func within(want, there any) bool { return differs(want, there, "") == "" }

// differs is the path of the first thing that want says and there does not;
// "" = there is none.
func differs(want, there any, at string) string {
	at = strings.TrimPrefix(at, ".")
	same := func(ok bool) string {
		if ok {
			return ""
		}
		if at == "" {
			return "."
		}
		return at
	}
	switch w := want.(type) {
	case nil:
		return ""
	case map[string]any:
		t, ok := there.(map[string]any)
		if !ok {
			return same(len(w) == 0 && there == nil)
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if d := differs(w[k], t[k], at+"."+k); d != "" {
				return d
			}
		}
		return ""
	case []any:
		t, ok := there.([]any)
		switch {
		case !ok:
			return same(len(w) == 0 && there == nil)
		case named(w) && named(t):
			by := map[string]any{}
			for _, e := range t {
				m := e.(map[string]any)
				by[m["name"].(string)] = m
			}
			for _, e := range w {
				name := e.(map[string]any)["name"].(string)
				if d := differs(e, by[name], at+"["+name+"]"); d != "" {
					return d
				}
			}
			return ""
		case len(w) != len(t):
			return same(false)
		}
		for i := range w {
			if d := differs(w[i], t[i], fmt.Sprintf("%s[%d]", at, i)); d != "" {
				return d
			}
		}
		return ""
	case string:
		s, ok := there.(string)
		return same(ok && s == w || w == "" && there == nil)
	case bool:
		b, ok := there.(bool)
		return same(ok && b == w || !w && there == nil)
	default:
		return same(reflect.DeepEqual(want, there) || there == nil && reflect.ValueOf(want).IsZero() || number(want) == number(there))
	}
}

// number is a number as text, for JSON has one kind of them.
func number(v any) string {
	return strings.TrimSuffix(fmt.Sprintf("%v", v), ".0")
}

// named reports whether all elements have names, by which they are merged.
func named(list []any) bool {
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return false
		}
		if _, ok := m["name"].(string); !ok {
			return false
		}
	}
	return true
}
