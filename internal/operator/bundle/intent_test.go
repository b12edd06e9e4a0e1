package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

// A mortal is the connection of a process that dies at a write: before it is
// sent, or after it was and without an answer.
type mortal struct {
	http.RoundTripper
	mu     sync.Mutex
	left   int // writes before that
	after  bool
	dead   bool
	writes int
}

var errDead = errors.New("the process is dead")

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil, errDead
	}
	if r.Method == http.MethodGet {
		return m.RoundTripper.RoundTrip(r)
	}
	m.writes++
	if m.left > 0 {
		m.left--
		return m.RoundTripper.RoundTrip(r)
	}
	m.dead = true
	if m.after {
		answer, err := m.RoundTripper.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if err := answer.Body.Close(); err != nil {
			return nil, err
		}
	}
	return nil, errDead
}

// A ward is a registry with a bundle, which an editor changes.
type ward struct {
	*testing.T
	c        *kubetest.Cluster
	ns, name string
}

// newWard makes a registry. bundle is its config.yaml; "" = it has the Secret
// that the editor writes the first configuration into.
func newWard(t *testing.T, c *kubetest.Cluster, ns, name, bundle string, components ...v1.Component) *ward {
	t.Helper()
	w := &ward{T: t, c: c, ns: ns, name: name}
	q := &v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1.QuayRegistrySpec{Components: components}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: render.EditorBundle(name)}}
	if bundle != "" {
		ca, _, err := (&Store{now: time.Now, pairs: map[string]pair{}}).standIn("ca.example.com")
		if err != nil {
			t.Fatal(err)
		}
		secret.Name, secret.Data = name+"-bundle", map[string][]byte{"config.yaml": []byte(bundle), "extra_ca_cert_a.crt": ca, "clair-config.yaml": []byte("{}")}
		q.Spec.ConfigBundleSecret = secret.Name
	}
	for _, o := range []client.Object{q, secret, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: render.EditorHistory(name)}}} {
		if err := c.Client().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// open is an editor of the registry; m = its connection, nil = one that lasts.
func (w *ward) open(config *rest.Config, m *mortal) *Store {
	w.Helper()
	if m != nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			m.RoundTripper = next
			return m
		})
	}
	s, err := Open(config, Options{Namespace: w.ns, Registry: w.name})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *ward) read(s *Store) *edit.Present {
	w.Helper()
	p, err := s.Read(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// write changes the registry by an editor.
func (w *ward) write(s *Store, patch edit.Patch) error {
	w.Helper()
	p := w.read(s)
	files, changed, err := edit.Apply(p.Files, patch)
	if err != nil {
		w.Fatal(err)
	}
	if j, err := s.Judge(w.Context(), p, files, patch.Manage); err != nil || !j.Valid() {
		w.Fatalf("%+v, %v", j, err)
	}
	return s.Write(w.Context(), p, edit.Write{Files: files, Manage: patch.Manage, Changed: changed})
}

// there is what the cluster has, as the administrator sees it.
func (w *ward) there() (*v1.QuayRegistry, *corev1.Secret) {
	w.Helper()
	q, secret := &v1.QuayRegistry{}, &corev1.Secret{}
	if err := w.c.Client().Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: w.name}, q); err != nil {
		w.Fatal(err)
	}
	name := q.Spec.ConfigBundleSecret
	if name == "" {
		name = render.EditorBundle(w.name)
	}
	if err := w.c.Client().Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, secret); err != nil {
		w.Fatal(err)
	}
	return q, secret
}

// managedRedis reports whether a resource has Redis managed.
func managedRedis(q *v1.QuayRegistry) bool {
	for _, c := range q.Spec.Components {
		if c.Kind == v1.ComponentRedis {
			return c.Managed
		}
	}
	return true
}

const (
	host    = "SERVER_HOSTNAME: quay.example.com\n"
	ownHost = host + "USER_EVENTS_REDIS: {host: redis.example.com}\nBUILDLOGS_REDIS: {host: redis.example.com}\n"
)

var (
	takeOver = edit.Patch{Manage: map[string]bool{"redis": false}, Config: map[string]any{"USER_EVENTS_REDIS": map[string]any{"host": "redis.example.com"}, "BUILDLOGS_REDIS": map[string]any{"host": "redis.example.com"}}}
	handBack = edit.Patch{Manage: map[string]bool{"redis": true}, Config: map[string]any{"USER_EVENTS_REDIS": nil, "BUILDLOGS_REDIS": nil}}
	first    = edit.Patch{Config: map[string]any{"SERVER_HOSTNAME": "quay.example.com"}}
)

// TestInterrupted: an editor that dies at any write of a change leaves the whole
// of it to the next one, or nothing.
func TestInterrupted(t *testing.T) {
	c := kubetest.API(t)
	ns := c.Namespace(t)
	for name, test := range map[string]struct {
		bundle     string
		components []v1.Component
		patch      edit.Patch
		whole      func(*v1.QuayRegistry) bool // the resource is as the change wants it
		file       string                      // what config.yaml has, or has not, by which the change is told
		has        bool
	}{
		"take-over": {host, nil, takeOver, func(q *v1.QuayRegistry) bool { return !managedRedis(q) }, "USER_EVENTS_REDIS", true},
		"hand-back": {ownHost, []v1.Component{{Kind: v1.ComponentRedis}}, handBack, managedRedis, "USER_EVENTS_REDIS", false},
		"first":     {"", nil, first, func(q *v1.QuayRegistry) bool { return q.Spec.ConfigBundleSecret != "" }, "SERVER_HOSTNAME", true},
	} {
		t.Run(name, func(t *testing.T) {
			halves, done := 0, false
			for n := 0; !done; n++ {
				for _, after := range []bool{false, true} {
					w := newWard(t, c, ns, fmt.Sprintf("%s-%d-%v", name, n, after), test.bundle, test.components...)
					m := &mortal{left: n, after: after}
					err := w.write(w.open(c.Config(), m), test.patch)
					if !m.dead {
						if err != nil {
							t.Fatal(err)
						}
						done = true
					}
					q, secret := w.there()
					written := strings.Contains(string(secret.Data["config.yaml"]), test.file) == test.has
					if written != test.whole(q) {
						halves++
						if secret.Annotations[AnnotationUnfinished] == "" {
							t.Errorf("dead at write %d (after it: %v): half of the change is there, and no mark", n, after)
						}
					}

					s := w.open(c.Config(), nil)
					p := w.read(s)
					q, secret = w.there()
					if test.whole(q) != written || len(secret.Annotations) != 0 {
						t.Errorf("dead at write %d (after it: %v): the bundle is written: %v, the resource: %v, marks %v", n, after, written, test.whole(q), secret.Annotations)
					}
					if j, err := s.Judge(t.Context(), p, p.Files, nil); err != nil || written && !j.Valid() || len(p.Warnings) != 0 {
						t.Errorf("dead at write %d (after it: %v): %+v, %v, %q", n, after, j.Problems, err, p.Warnings)
					}
					w.read(s) // nothing is left to do
					if again, same := w.there(); again.ResourceVersion != q.ResourceVersion || same.ResourceVersion != secret.ResourceVersion {
						t.Errorf("dead at write %d (after it: %v): the second look writes again", n, after)
					}
					// The next change is as any other.
					next := edit.Patch{Config: map[string]any{"FEATURE_QUOTA_MANAGEMENT": true, "SERVER_HOSTNAME": "other.example.com"}}
					if err := w.write(s, next); err != nil {
						t.Errorf("dead at write %d (after it: %v): the next change: %v", n, after, err)
					}
				}
			}
			if halves < 3 { // after the bundle, before and after the history, before the resource
				t.Errorf("%d deaths left half of a change: the test has not been where it matters", halves)
			}
		})
	}
}

// dieBetween has an editor die between the two writes.
func (w *ward) dieBetween(patch edit.Patch) string {
	w.Helper()
	for n := 2; ; n++ {
		if err := w.write(w.open(w.c.Config(), &mortal{left: n}), patch); err == nil {
			w.Fatal("it has not died")
		}
		if _, secret := w.there(); secret.Annotations[AnnotationUnfinished] != "" {
			return secret.Annotations[AnnotationUnfinished]
		}
	}
}

// change has the administrator change the bundle.
func (w *ward) change(do func(*corev1.Secret)) {
	w.Helper()
	_, secret := w.there()
	do(secret)
	if err := w.c.Client().Update(w.Context(), secret); err != nil {
		w.Fatal(err)
	}
}

// TestUnfinished: what becomes of the mark where something happened in between.
func TestUnfinished(t *testing.T) {
	c := kubetest.API(t)
	ns := c.Namespace(t)
	for name, test := range map[string]struct {
		between func(w *ward, mark string)
		managed bool
		mark    bool // it is left
	}{
		"nothing": {func(*ward, string) {}, false, false},
		"the bundle was written by hand": {func(w *ward, _ string) {
			w.change(func(s *corev1.Secret) { s.Data["config.yaml"] = []byte(host) })
		}, true, false},
		"a certificate was added by hand": {func(w *ward, _ string) {
			w.change(func(s *corev1.Secret) { s.Data["extra_ca_cert_b.crt"] = []byte("b") })
		}, true, false},
		"the mark is another registry's": {func(w *ward, mark string) {
			q, _ := w.there()
			w.change(func(s *corev1.Secret) {
				s.Annotations[AnnotationUnfinished] = strings.Replace(mark, string(q.UID), "other", 1)
			})
		}, true, true},
		"the mark is broken": {func(w *ward, _ string) {
			w.change(func(s *corev1.Secret) { s.Annotations[AnnotationUnfinished] = "{" })
		}, true, false},
		"the mark names no component": {func(w *ward, mark string) {
			w.change(func(s *corev1.Secret) {
				s.Annotations[AnnotationUnfinished] = strings.Replace(mark, "redis", "quay", 1)
			})
		}, true, false},
		"the resource was written by hand": {func(w *ward, _ string) {
			q, _ := w.there()
			q.Spec.Components = []v1.Component{{Kind: v1.ComponentHPA}, {Kind: v1.ComponentRedis}}
			if err := w.c.Client().Update(w.Context(), q); err != nil {
				w.Fatal(err)
			}
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t, c, ns, strings.NewReplacer(" ", "-", "'", "").Replace(name), host)
			mark := w.dieBetween(takeOver)
			test.between(w, mark)
			w.read(w.open(c.Config(), nil))
			q, secret := w.there()
			if managedRedis(q) != test.managed || (secret.Annotations[AnnotationUnfinished] != "") != test.mark {
				t.Errorf("redis is managed: %v, marks %v", managedRedis(q), secret.Annotations)
			}
		})
	}

	t.Run("many at once", func(t *testing.T) {
		w := newWard(t, c, ns, "many", host)
		w.dieBetween(takeOver)
		before, _ := w.there()
		var all sync.WaitGroup
		for range 8 {
			s := w.open(c.Config(), nil)
			all.Go(func() {
				if p, err := s.Read(context.Background()); err != nil || len(p.Warnings) != 0 {
					t.Errorf("%+v, %v", p, err)
				}
			})
		}
		all.Wait()
		if q, secret := w.there(); managedRedis(q) || len(secret.Annotations) != 0 || q.Generation != before.Generation+1 {
			t.Errorf("generation %d after %d, redis is managed: %v, marks %v", q.Generation, before.Generation, managedRedis(q), secret.Annotations)
		}
	})

	// The client leaves when the bundle is written: the change is made all the
	// same.
	t.Run("the client leaves", func(t *testing.T) {
		w := newWard(t, c, ns, "leaves", host)
		ctx, leave := context.WithCancel(t.Context())
		config := c.Config()
		written := false
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				if written {
					leave()
				}
				written = written || r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/secrets/leaves-bundle")
				return next.RoundTrip(r)
			})
		})
		s := w.open(config, nil)
		p := w.read(s)
		files, changed, err := edit.Apply(p.Files, takeOver)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write(ctx, p, edit.Write{Files: files, Manage: takeOver.Manage, Changed: changed}); err != nil || ctx.Err() == nil {
			t.Error(err)
		}
		if q, secret := w.there(); managedRedis(q) || len(secret.Annotations) != 0 {
			t.Errorf("redis is managed: %v, marks %v", managedRedis(q), secret.Annotations)
		}
	})

	// An editor that lost its right says so, keeps the mark, and finishes when it
	// has the right again; rolling back takes the mark away.
	t.Run("refused", func(t *testing.T) {
		w := newWard(t, c, ns, "refused", host)
		grant := func(verbs ...string) {
			t.Helper()
			role := &rbacv1.Role{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"}, ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "editor"}, Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "patch"}},
				{APIGroups: []string{"quay.redhat.com"}, Resources: []string{"quayregistries"}, Verbs: verbs}}}
			binding := &rbacv1.RoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"}, ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "editor"},
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "editor"}, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "editor", Namespace: ns}}}
			for _, o := range []any{role, binding} {
				text, err := json.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				c.Apply(t, text)
			}
		}
		grant("get")
		w.dieBetween(takeOver)
		s := w.open(c.ServiceAccount(t, ns, "editor"), nil)
		kubetest.Eventually(t, "the account reads", func() error {
			_, err := s.Read(t.Context())
			return err
		})
		p := w.read(s)
		if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], `cannot patch resource "quayregistries"`) || !strings.Contains(p.Warnings[0], "rolling back") {
			t.Errorf("%q", p.Warnings)
		}
		if q, secret := w.there(); !managedRedis(q) || secret.Annotations[AnnotationUnfinished] == "" {
			t.Errorf("redis is managed: %v, marks %v", managedRedis(q), secret.Annotations)
		}
		list, err := s.History(t.Context())
		if err != nil || len(list) == 0 {
			t.Fatalf("%d, %v", len(list), err)
		}
		back := list[len(list)-1]
		if err := s.Write(t.Context(), p, edit.Write{Files: back.Files}); err != nil {
			t.Fatal(err)
		}
		if q, secret := w.there(); !managedRedis(q) || len(secret.Annotations) != 0 || strings.Contains(string(secret.Data["config.yaml"]), "REDIS") {
			t.Errorf("redis is managed: %v, marks %v", managedRedis(q), secret.Annotations)
		}
		w.dieBetween(takeOver)
		grant("get", "patch")
		kubetest.Eventually(t, "the change is finished", func() error {
			if p := w.read(s); len(p.Warnings) != 0 {
				return errors.New(p.Warnings[0])
			}
			return nil
		})
		if q, secret := w.there(); managedRedis(q) || len(secret.Annotations) != 0 {
			t.Errorf("redis is managed: %v, marks %v", managedRedis(q), secret.Annotations)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
