package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A hook is a target of webhooks.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	tags []string
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var in struct {
			Tags []string `json:"updated_tags"`
		}
		b, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(b, &in) != nil {
			t.Errorf("webhook: %s %v", b, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tags = append(h.tags, in.Tags...)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.tags)
}

// TestToldAfterKill: what was pushed before the process was killed is told by
// the next one: pushes into a process that does no background work, and into
// one that is killed as it may.
func TestToldAfterKill(t *testing.T) {
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			h := newHook(t)
			fields := map[string]any{"FEATURE_USER_INITIALIZE": true, "SSRF_ALLOWED_HOSTS": []string{"127.0.0.1"}, "SERVER_HOSTNAME": "registry.example.com"}
			if dialect != storetest.SQLite {
				fields["DB_URI"] = storetest.EmptyURI(t, dialect)
				fields["SECRET_KEY"], fields["DATABASE_SECRET_KEY"] = "one-secret-of-tests-only", "another-secret-of-tests-only"
			}
			env := override(t, fields)
			w := &killWorld{t: t, data: filepath.Join(t.TempDir(), "data"), env: append(slices.Clone(env), "QUAY_SERVICES=registry,web")}
			l := w.start(0)
			s := &site{t: t, base: l.base}
			token := "Bearer " + s.initialize("ada")
			auth, r := s.bearer("ada", password, "repository:ada/app:pull,push")
			if auth == "" {
				t.Fatal(r)
			}
			if r := s.push(auth, "ada/app", "v1", newImage("v1")); r.status != 201 {
				t.Fatal(r)
			}
			if r := send(t, "POST", s.base+"/api/v1/repository/ada/app/notification", `{"event":"repo_push","method":"webhook","config":{"url":"`+h.URL+`"},"eventConfig":{}}`,
				"Authorization", token); r.status != 201 {
				t.Fatal(r)
			}
			time.Sleep(2 * time.Millisecond) // the notification is older than the push
			if r := s.push(auth, "ada/app", "v2", newImage("v2")); r.status != 201 {
				t.Fatal(r)
			}
			l.kill()
			if got := h.got(); len(got) != 0 {
				t.Fatalf("told already: %v", got)
			}
			w.env = env
			l = w.start(0)
			s.base = l.base
			if auth, _ = s.bearer("ada", password, "repository:ada/app:pull,push"); auth == "" {
				t.Fatal("no token")
			}
			if r := s.push(auth, "ada/app", "v3", newImage("v3")); r.status != 201 {
				t.Fatal(r)
			}
			l.kill()
			t.Cleanup(w.start(0).kill)
			until(t, "v2 and v3 are told", func() bool { got := h.got(); return slices.Contains(got, "v2") && slices.Contains(got, "v3") })
			if slices.Contains(h.got(), "v1") {
				t.Error("v1 was pushed before anybody wanted to know")
			}
		})
	}
}

// TestOutgoing: the client for users' addresses follows the configuration.
func TestOutgoing(t *testing.T) {
	h := newHook(t)
	post := func(s *site) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.tell.client(true).Do(r)
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	h.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	if s := open(t, Options{}); post(s) == nil {
		t.Error("loopback is reached")
	}
	if s := open(t, Options{Environ: override(t, map[string]any{"SSRF_ALLOWED_HOSTS": []string{"127.0.0.0/8"}})}); post(s) != nil {
		t.Error("SSRF_ALLOWED_HOSTS")
	}
	if s := open(t, Options{Environ: override(t, map[string]any{"SSRF_ALLOWED_HOSTS": []string{"127.0.0.0/8"}, "WEBHOOK_HOSTNAME_BLACKLIST": []string{"127.0.0.1"}})}); post(s) == nil {
		t.Error("WEBHOOK_HOSTNAME_BLACKLIST")
	}
	load := func(fields map[string]any) *config.Config {
		c, _, err := config.Load(config.Options{Environ: override(t, fields)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for want, c := range map[string]*config.Config{"http": load(nil), "https": load(map[string]any{"EXTERNAL_TLS_TERMINATION": true, "PREFERRED_URL_SCHEME": "https"})} {
		if got := publicScheme(c); got != want {
			t.Errorf("scheme %s, want %s", got, want)
		}
	}
}
