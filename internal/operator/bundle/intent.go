package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config/edit"
)

// AnnotationUnfinished is on a bundle that was written for a change of the
// QuayRegistry, until that is written too. Its value is an intent as JSON.
const AnnotationUnfinished = "quay-config-editor/unfinished"

// settle bounds the writes that follow the first one of a change, which go on
// when the client has left.
const settle = 30 * time.Second

// An intent is what is to become of the QuayRegistry with the bundle that it is
// written on. It holds no values of fields.
type intent struct {
	Registry types.UID       `json:"registry"`
	Revision string          `json:"revision"` // of the bundle: with another one it means nothing
	Manage   map[string]bool `json:"manage,omitempty"`
	Adopt    bool            `json:"adopt,omitempty"` // the resource names the bundle
}

// known reports whether it is about components that there are.
func (i intent) known() bool {
	for kind := range i.Manage {
		if !manageable(kind) {
			return false
		}
	}
	return true
}

// intentOf is the annotation of a write; "" = it changes the bundle alone.
func intentOf(q *v1.QuayRegistry, secret string, w edit.Write) (string, error) {
	adopt := q.Spec.ConfigBundleSecret == ""
	if !manage(q.DeepCopy(), w.Manage, adopt, secret) {
		return "", nil
	}
	text, err := json.Marshal(intent{Registry: q.UID, Revision: w.Files.Revision(), Manage: w.Manage, Adopt: adopt})
	return string(text), err
}

// finish writes what a bundle's annotation wants of the QuayRegistry, and takes
// the annotation away. It returns the resource as it is then, and brings the
// Secret up to date. Any number of editors may do it at once, and again: who
// comes later finds nothing to do. The annotation stays where the error is not
// nil.
func (s *Store) finish(ctx context.Context, q *v1.QuayRegistry, secret *corev1.Secret) (*v1.QuayRegistry, error) {
	text, ok := secret.Annotations[AnnotationUnfinished]
	if !ok {
		return q, nil
	}
	var i intent
	err := json.Unmarshal([]byte(text), &i)
	if err == nil && i.Registry != q.UID {
		return q, nil // of another registry with the same bundle
	}
	switch {
	case err != nil || !i.known():
		slog.WarnContext(ctx, "the mark of an unfinished change cannot be read, and is taken away", "secret", secret.Name)
	case i.Revision != filesOf(secret.Data).Revision():
		// Who has written the bundle since then saw the components as they are.
		slog.WarnContext(ctx, "a change was interrupted, and the bundle is another one now: what was to become of the QuayRegistry is left out", "secret", secret.Name, "components", i.Manage)
	default:
		if q, err = s.change(ctx, q, func(q *v1.QuayRegistry) bool { return manage(q, i.Manage, i.Adopt, secret.Name) }); err != nil {
			return nil, err
		}
	}
	return q, s.unmark(ctx, secret, text)
}

// unmark takes an annotation away, if it is still that one.
func (s *Store) unmark(ctx context.Context, secret *corev1.Secret, text string) error {
	path := "/metadata/annotations/" + strings.ReplaceAll(AnnotationUnfinished, "/", "~1")
	body, err := json.Marshal([]map[string]any{{"op": "test", "path": path, "value": text}, {"op": "remove", "path": path}})
	if err != nil {
		return err
	}
	err = s.client.Patch(ctx, secret, client.RawPatch(types.JSONPatchType, body), client.FieldOwner(FieldOwner))
	if apierrors.IsInvalid(err) || apierrors.IsNotFound(err) { // another editor was faster
		err = s.client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	}
	if err != nil {
		return s.failed("patch the Secret "+secret.Name, err)
	}
	return nil
}

// unfinished is the failure of a change that is half written.
func unfinished(secret string, err error) *edit.Refused {
	return &edit.Refused{Reason: fmt.Sprintf("the change is in the Secret %s, and not yet in the QuayRegistry: %v; the editor tries it again when it is asked for anything, and rolling back takes it out of the Secret", secret, err)}
}
