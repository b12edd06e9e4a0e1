// Package bundle is the configuration of a QuayRegistry as the configuration
// editor reads and writes it: the bundle Secret, through the Kubernetes API with
// the rights of the editor's own account. Of the Secret only the keys that a
// change is about are written, and of the resource only components that
// somebody asked to have managed, or not.
package bundle

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

// FieldOwner is who owns what the editor writes.
const FieldOwner = "quay-config-editor"

// Options say whose configuration it is.
type Options struct {
	Namespace, Registry string
	// Cluster is what the operator knows of the cluster.
	Cluster plan.Cluster
	// Load is config.Load with what this binary cannot do on top; nil = config.Load.
	Load func(config.Options) (*config.Config, []config.Problem, error)
}

// A Store is an edit.Store of a QuayRegistry.
type Store struct {
	o      Options
	client client.Client
	now    func() time.Time

	mu    sync.Mutex
	pairs map[string]pair // certificates that stand for those of others, by host
}

type pair struct{ cert, key []byte }

// Open returns the Store of a registry. Nothing is read yet.
func Open(config *rest.Config, o Options) (*Store, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	if o.Load == nil {
		o.Load = load
	}
	return &Store{o: o, client: c, now: time.Now, pairs: map[string]pair{}}, nil
}

func load(o config.Options) (*config.Config, []config.Problem, error) { return config.Load(o) }

// A token is what a Present was read from.
type token struct {
	registry *v1.QuayRegistry
	secret   *corev1.Secret // nil = it is not there
}

// Read implements edit.Store.
func (s *Store) Read(ctx context.Context) (*edit.Present, error) {
	q := &v1.QuayRegistry{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.o.Namespace, Name: s.o.Registry}, q); err != nil {
		return nil, s.failed("read the QuayRegistry "+s.o.Registry, err)
	}
	name := q.Spec.ConfigBundleSecret
	if name == "" {
		name = render.EditorBundle(q.Name)
	}
	p := &edit.Present{Place: edit.Place{Mode: edit.Operator, Registry: q.Name, Namespace: q.Namespace, Secret: name}, Files: edit.Files{}, Writable: true, Warnings: []string{}}
	secret := &corev1.Secret{}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.o.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err) && q.Spec.ConfigBundleSecret == "":
		secret, p.Writable, p.Reason = nil, false, "the Secret "+name+", which the operator makes for the first configuration, is not there yet: wait a little, and look at the operator's log if it does not come"
	case apierrors.IsNotFound(err):
		secret, p.Writable = nil, false
		p.Reason = fmt.Sprintf("there is no Secret %s, which configBundleSecret names, and the editor may not create Secrets: create it, for example with kubectl create secret generic --namespace %s --from-literal config.yaml= %s", name, q.Namespace, name)
	case err != nil:
		return nil, s.failed("read the Secret "+name, err)
	default:
		if after, err := s.finish(ctx, q, secret); err == nil {
			q = after
		} else {
			slog.WarnContext(ctx, "an interrupted change could not be finished", "secret", name, "error", err)
			p.Warnings = append(p.Warnings, unfinished(name, err).Reason)
		}
		p.Files = filesOf(secret.Data)
		if secret.Immutable != nil && *secret.Immutable {
			p.Writable, p.Reason = false, "the Secret "+name+" is immutable: put its content into a Secret of another name, and have configBundleSecret name that one"
		}
		p.Warnings = append(p.Warnings, keepers(secret)...)
	}
	if q.DeletionTimestamp != nil {
		p.Writable, p.Reason = false, "the registry is being deleted"
	}
	p.Revision = p.Files.Revision()
	p.Token = token{q, secret}
	return p, nil
}

// failed explains an error of the API. A right that is missing is named.
func (s *Store) failed(what string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return &edit.Refused{Reason: fmt.Sprintf("the editor may not %s: %v; the operator grants it by the Role %s in %s, so look whether that is there and whole", what, err, render.EditorName(s.o.Registry), s.o.Namespace)}
	case apierrors.IsNotFound(err):
		return &edit.Refused{Reason: fmt.Sprintf("the editor cannot %s: it is not there", what)}
	case apierrors.IsConflict(err):
		return edit.ErrRaced
	case apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err), apierrors.IsBadRequest(err):
		return &edit.Refused{Reason: fmt.Sprintf("the cluster does not take it: the editor cannot %s: %v", what, err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}

const prefixCA = "extra_ca_cert_"

// filesOf are the keys of a bundle as files of the registry's folder.
func filesOf(data map[string][]byte) edit.Files {
	files := edit.Files{}
	for name, value := range data {
		if rest, ok := strings.CutPrefix(name, prefixCA); ok && rest != "" {
			name = edit.CAFolder + rest
		}
		files[name] = value
	}
	return files
}

// dataOf are files as the keys of a bundle.
func dataOf(files edit.Files) map[string][]byte {
	data := make(map[string][]byte, len(files))
	for name, value := range files {
		if rest, ok := strings.CutPrefix(name, edit.CAFolder); ok {
			name = prefixCA + rest
		}
		data[name] = value
	}
	return data
}

// keepers warns of who may put a Secret back to what he has.
func keepers(s *corev1.Secret) (list []string) {
	warn := func(who, what string) {
		list = append(list, fmt.Sprintf("the Secret %s is kept by %s, which may put it back: make the change %s too", s.Name, who, what))
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return s.Labels[n] != "" || s.Annotations[n] != "" })
	}
	owner := func(kind string) bool {
		return slices.ContainsFunc(s.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Kind == kind })
	}
	if has("argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance") {
		warn("Argo CD", "in its repository")
	}
	if has("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name") {
		warn("Flux", "in its repository")
	}
	if owner("ExternalSecret") || has("reconcile.external-secrets.io/managed", "reconcile.external-secrets.io/created-by") {
		warn("External Secrets", "where it takes the secret from")
	}
	if owner("SealedSecret") || has("sealedsecrets.bitnami.com/managed") {
		warn("Sealed Secrets", "in the SealedSecret")
	}
	if s.Labels["app.kubernetes.io/managed-by"] == "Helm" {
		warn("Helm", "in the values of its release")
	}
	return list
}

// Write implements edit.Store.
func (s *Store) Write(ctx context.Context, p *edit.Present, w edit.Write) error {
	from, ok := p.Token.(token)
	if !ok || from.secret == nil {
		return &edit.Refused{Reason: p.Reason}
	}
	if !p.Writable {
		return &edit.Refused{Reason: p.Reason}
	}
	adopt := from.registry.Spec.ConfigBundleSecret == ""
	resource := func(q *v1.QuayRegistry) bool { return manage(q, w.Manage, adopt, from.secret.Name) }
	// What the second write will need is asked for first: half of a change helps
	// nobody.
	if _, err := s.change(ctx, from.registry, resource, client.DryRunAll); err != nil {
		return err
	}
	mark, err := intentOf(from.registry, from.secret.Name, w)
	if err != nil {
		return err
	}
	body, changed, err := merge(from.secret, dataOf(w.Files), mark)
	if err != nil {
		return err
	}
	if !changed {
		_, err := s.change(ctx, from.registry, resource)
		return err
	}
	// The way back first. What comes is put there when it is: of two editors one
	// writes nothing.
	if p.Files.Written() {
		first := edit.Saved{Revision: p.Revision, At: from.secret.CreationTimestamp.UTC(), Changed: []string{}, Files: p.Files}
		if err := s.remember(ctx, first, false); err != nil {
			return err
		}
	} else if _, err := s.History(ctx); err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.o.Namespace, Name: from.secret.Name}}
	if err := s.client.Patch(ctx, secret, client.RawPatch(types.MergePatchType, body), client.FieldOwner(FieldOwner)); err != nil {
		return s.failed("patch the Secret "+secret.Name, err)
	}
	// From here on the change is made: what is missing of it is written by this
	// call, or by a later one.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer stop()
	if err := s.remember(ctx, edit.Saved{Revision: w.Files.Revision(), At: s.now().UTC(), Changed: w.Changed, Files: w.Files}, true); err != nil {
		// It is written all the same, and the next change puts it into the history.
		slog.WarnContext(ctx, "the history of the configuration lacks a change", "error", err)
	}
	if _, err := s.finish(ctx, from.registry, secret); err != nil {
		return unfinished(secret.Name, err)
	}
	return nil
}

// merge is the merge patch that makes of a Secret's data other data, from the
// version that was read, with the mark of what is to be written afterwards; "" =
// nothing is. Keys that are the same are not in it.
func merge(secret *corev1.Secret, after map[string][]byte, mark string) (body []byte, changed bool, err error) {
	data := map[string]any{}
	for name, value := range after {
		if old, ok := secret.Data[name]; !ok || !bytes.Equal(old, value) {
			data[name] = value // base64, by encoding/json
		}
	}
	for name := range secret.Data {
		if _, ok := after[name]; !ok {
			data[name] = nil
		}
	}
	meta := map[string]any{"resourceVersion": secret.ResourceVersion}
	if mark != "" {
		meta["annotations"] = map[string]any{AnnotationUnfinished: mark}
	} else if secret.Annotations[AnnotationUnfinished] != "" { // of a bundle that is no more
		meta["annotations"] = map[string]any{AnnotationUnfinished: nil}
	}
	body, err = json.Marshal(map[string]any{"metadata": meta, "data": data})
	return body, len(data) > 0, err
}

// manage makes of a resource what is asked for, and reports whether that is
// another one.
func manage(q *v1.QuayRegistry, want map[string]bool, adopt bool, secret string) (changed bool) {
	if adopt && q.Spec.ConfigBundleSecret == "" {
		q.Spec.ConfigBundleSecret, changed = secret, true
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		kind := v1.ComponentKind(name)
		i := slices.IndexFunc(q.Spec.Components, func(c v1.Component) bool { return c.Kind == kind })
		switch {
		case i < 0:
			q.Spec.Components, changed = append(q.Spec.Components, v1.Component{Kind: kind, Managed: want[name]}), true
		case q.Spec.Components[i].Managed != want[name]:
			q.Spec.Components[i].Managed, changed = want[name], true
		}
	}
	return changed
}

// change patches the resource, until nobody else's change comes between, and
// returns what it is then.
func (s *Store) change(ctx context.Context, q *v1.QuayRegistry, do func(*v1.QuayRegistry) bool, options ...client.PatchOption) (*v1.QuayRegistry, error) {
	options = append(options, client.FieldOwner(FieldOwner))
	for try := 0; ; try++ {
		before := q.DeepCopy()
		after := q.DeepCopy()
		if !do(after) {
			return q, nil
		}
		err := s.client.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), options...)
		if err == nil {
			return after, nil
		}
		if !apierrors.IsConflict(err) || try == 5 {
			return nil, s.failed("patch the QuayRegistry "+q.Name, err)
		}
		q = &v1.QuayRegistry{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.o.Namespace, Name: s.o.Registry}, q); err != nil {
			return nil, s.failed("read the QuayRegistry "+s.o.Registry, err)
		}
	}
}

// The history is one key of one Secret, well below what one takes.
const (
	historyKey = "history.json.gz"
	maxHistory = 700 << 10
	maxUnzip   = 32 << 20
)

// remember puts a configuration into the history: at its front, or only if it
// is not there yet.
func (s *Store) remember(ctx context.Context, one edit.Saved, front bool) error {
	name := render.EditorHistory(s.o.Registry)
	for try := 0; ; try++ {
		secret := &corev1.Secret{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.o.Namespace, Name: name}, secret); err != nil {
			return s.failed("read the Secret "+name+" of the history", err)
		}
		list := readHistory(secret.Data[historyKey])
		if !front && slices.ContainsFunc(list, func(o edit.Saved) bool { return o.Revision == one.Revision }) {
			return nil
		}
		if !front && len(list) > 0 { // somebody wrote it by hand, after what is there
			one.At = s.now().UTC()
		}
		text, err := writeHistory(edit.Remember(list, one))
		if err != nil {
			return err
		}
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": secret.ResourceVersion}, "data": map[string]any{historyKey: text}})
		if err != nil {
			return err
		}
		err = s.client.Patch(ctx, secret, client.RawPatch(types.MergePatchType, body), client.FieldOwner(FieldOwner))
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) || try == 5 {
			return s.failed("patch the Secret "+name+" of the history", err)
		}
	}
}

// readHistory reads what is kept. What cannot be read is no way back, and
// nothing else: it is left out.
func readHistory(data []byte) (list []edit.Saved) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	if json.NewDecoder(io.LimitReader(z, maxUnzip)).Decode(&list) != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(s edit.Saved) bool { return s.Revision != s.Files.Revision() })
}

// writeHistory packs a history, as far as it fits.
func writeHistory(list []edit.Saved) ([]byte, error) {
	for {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if err := errors.Join(json.NewEncoder(z).Encode(list), z.Close()); err != nil {
			return nil, err
		}
		if b.Len() <= maxHistory || len(list) == 0 {
			return b.Bytes(), nil
		}
		list = list[:len(list)-1]
	}
}

// History implements edit.Store.
func (s *Store) History(ctx context.Context) ([]edit.Saved, error) {
	name := render.EditorHistory(s.o.Registry)
	secret := &corev1.Secret{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.o.Namespace, Name: name}, secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, s.failed("read the Secret "+name+" of the history", err)
	}
	return readHistory(secret.Data[historyKey]), nil
}

// unseen is how long a change may be on its way to the operator.
const unseen = 15 * time.Second

// Rollout implements edit.Store.
func (s *Store) Rollout(ctx context.Context) (*edit.Rollout, error) {
	q := &v1.QuayRegistry{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.o.Namespace, Name: s.o.Registry}, q); err != nil {
		return nil, s.failed("read the QuayRegistry "+s.o.Registry, err)
	}
	out := &edit.Rollout{Conditions: []edit.Condition{}, Events: []edit.Event{}}
	is := map[v1.ConditionType]v1.Condition{}
	for _, c := range q.Status.Conditions {
		is[c.Type] = c
		out.Conditions = append(out.Conditions, edit.Condition{Type: string(c.Type), Status: string(c.Status), Reason: string(c.Reason), Message: c.Message, At: c.LastUpdateTime.UTC()})
	}
	list, err := s.History(ctx)
	if err != nil {
		return nil, err
	}
	updated, _ := time.Parse(time.RFC3339, q.Status.LastUpdated)
	yes := func(t v1.ConditionType) bool { return is[t].Status == metav1.ConditionTrue }
	switch {
	case len(q.Status.Conditions) == 0:
		out.State, out.Message = "unknown", "the operator has not looked at the registry yet"
	case q.Status.ObservedGeneration != q.Generation, len(list) > 0 && s.now().Sub(list[0].At) < unseen && updated.Before(list[0].At.Truncate(time.Second)):
		out.State, out.Message = "rolling", "the operator has not taken the change up yet"
	case yes(v1.RolloutBlocked):
		out.State, out.Message = "failed", is[v1.RolloutBlocked].Message
	case yes(v1.Stalled):
		out.State, out.Message = "failed", is[v1.Stalled].Message
	case yes(v1.Ready):
		out.State, out.Message = "done", is[v1.Ready].Message
	default:
		out.State, out.Message = "rolling", is[v1.Available].Message
	}
	var events corev1.EventList
	err = s.client.List(ctx, &events, client.InNamespace(s.o.Namespace), client.MatchingFields{"involvedObject.kind": "QuayRegistry", "involvedObject.name": q.Name}, client.Limit(500))
	if err != nil {
		if !apierrors.IsForbidden(err) {
			return nil, s.failed("list events", err)
		}
		out.Message += " (the editor may not list events, and shows none)"
	}
	for _, e := range events.Items {
		at := e.LastTimestamp.Time
		if at.IsZero() {
			at = e.EventTime.Time
		}
		if at.IsZero() {
			at = e.CreationTimestamp.Time
		}
		out.Events = append(out.Events, edit.Event{At: at.UTC(), Type: e.Type, Reason: e.Reason, Message: e.Message})
	}
	slices.SortStableFunc(out.Events, func(a, b edit.Event) int { return b.At.Compare(a.At) })
	out.Events = out.Events[:min(len(out.Events), 50)]
	return out, nil
}
