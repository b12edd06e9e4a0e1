package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// editor applies the configuration editor. It asks nothing of the bundle: the
// editor is needed most where that is wrong, or not there. What goes wrong with
// it is told by an event, and keeps the registry from nothing.
func (r *reconciler) editor(ctx context.Context, q *v1.QuayRegistry, k *known, all inventory, seen *status.Seen) error {
	e, err := r.renderEditor(ctx, q, k, all)
	if err != nil || e == nil {
		return err
	}
	wanted := map[id]bool{}
	for _, o := range e.Objects {
		wanted[idOf(r.scheme, o)] = true
		if err := r.apply(ctx, all, q, o); err != nil {
			if _, ok := plan.AsBlocked(err); ok {
				r.events.Eventf(q, nil, corev1.EventTypeWarning, "ConfigEditorFailed", "Apply", "the configuration editor: %s", clipEvent(err.Error()))
				return nil
			}
			return err
		}
	}
	seen.EditorKnown, seen.EditorEndpoint, seen.EditorCredentials = true, e.Endpoint, e.Credentials
	for name, o := range all {
		if !ofEditor(o) || wanted[name] || !owned(o, q) || o.GetDeletionTimestamp() != nil {
			continue
		}
		if name.kind == "Secret" && name.name == render.EditorBundle(q.Name) {
			continue // somebody's configuration, which another one has taken the place of
		}
		if err := r.client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("take away %s %s: %w", name.kind, name.name, err)
		}
		r.writes.Add(1)
	}
	return nil
}

// clipEvent bounds the note of an event, which takes 1 KiB.
func clipEvent(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 900)], "")
}

// ofEditor reports whether an object is the configuration editor's.
func ofEditor(o client.Object) bool { return o.GetLabels()[render.LabelComponent] == render.PartEditor }

// renderEditor makes the editor's objects; nil = its password is lost with the
// other keys, and what is there stays as it is.
func (r *reconciler) renderEditor(ctx context.Context, q *v1.QuayRegistry, k *known, all inventory) (*render.Editor, error) {
	password, err := r.editorPassword(ctx, q, all)
	if err != nil || password == "" {
		return nil, err
	}
	route := true
	if i := slices.IndexFunc(q.Spec.Components, func(c v1.Component) bool { return c.Kind == v1.ComponentRoute }); i >= 0 {
		route = q.Spec.Components[i].Managed
	}
	host := plan.EditorHost(q.Name, q.Namespace, plan.Components{v1.ComponentRoute: {Managed: route}}, k.Cluster)
	return render.RenderEditor(render.EditorRequest{Registry: q, Cluster: k.Cluster, Images: r.images(), Version: r.o.Version, Password: password, NoRequests: r.o.NoRequests, Host: host})
}

// editorPassword is that of the managed keys. It is made if there is none: the
// other keys are made with a configuration that can be used, and later.
func (r *reconciler) editorPassword(ctx context.Context, q *v1.QuayRegistry, all inventory) (string, error) {
	name := render.ManagedKeys(q.Name)
	if s, ok := found[*corev1.Secret](all, q, "Secret", name); ok && len(s.Data[plan.KeyConfigEditor]) > 0 {
		return string(s.Data[plan.KeyConfigEditor]), nil
	}
	s, err := r.secret(ctx, q.Namespace, name)
	if _, ok := plan.AsBlocked(err); ok {
		return "", nil // the rollout says so
	}
	if err != nil {
		return "", err
	}
	switch {
	case s != nil && len(s.Data[plan.KeyConfigEditor]) > 0:
		return string(s.Data[plan.KeyConfigEditor]), nil
	case s == nil && q.Status.CurrentVersion != "":
		return "", nil
	case s == nil:
		if old, err := r.oldKeys(ctx, q); err != nil || old != nil {
			return "", err // they are taken over first
		}
	}
	password, err := plan.Password()
	if err != nil {
		return "", err
	}
	if s != nil {
		before := s.DeepCopy()
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		s.Data[plan.KeyConfigEditor] = []byte(password)
		err = r.client.Patch(ctx, s, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	} else {
		fresh := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: q.Namespace, Name: name, Labels: map[string]string{render.LabelRegistry: q.Name}},
			Data: map[string][]byte{plan.KeyConfigEditor: []byte(password)}}
		if err := controllerutil.SetControllerReference(q, fresh, r.scheme); err != nil {
			return "", err
		}
		err = r.client.Create(ctx, fresh)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return "", errAgain
	}
	if err != nil {
		return "", fmt.Errorf("write the password of the configuration editor: %w", err)
	}
	r.writes.Add(1)
	return password, nil
}

// joined is the error of a round and that of the editor beside it.
func joined(round, editor error) error {
	if editor == nil {
		return round
	}
	if _, blocked := plan.AsBlocked(round); blocked || round == nil || errors.Is(editor, errAgain) {
		return editor
	}
	return errors.Join(round, editor)
}
