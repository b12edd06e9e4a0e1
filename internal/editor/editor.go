// Package editor serves the configuration editor: a page, and an API by which
// it, and programs, read a configuration, check and test a change of it, and
// write it. The first calls are those of Quay's config-tool (config-editor.md,
// section 2); where a configuration is kept is the matter of an edit.Store.
package editor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/httpd"
)

// User is the name that everybody signs in by.
const User = "quayconfig"

// Limits of what is taken.
const (
	maxBody  = 4 << 20
	maxDepth = 64
)

// A Certificate is one of the chain that a server showed.
type Certificate struct {
	Subject  string    `json:"subject"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
}

// A Test is the result of a live test.
type Test struct {
	Name    string        `json:"name"`
	Group   string        `json:"group"`
	OK      bool          `json:"ok"`
	Skipped string        `json:"skipped,omitempty"` // why it was not made
	Latency int64         `json:"latency_ms"`
	Message string        `json:"message"`
	Next    string        `json:"next,omitempty"` // what to do
	Chain   []Certificate `json:"chain,omitempty"`
}

// A Probe tests a service that a configuration names, in its own time. Its
// files are on the disk while it runs.
type Probe func(ctx context.Context, c *config.Config) []Test

// A Server answers all requests. Its fields are set before the first one.
type Server struct {
	Store    edit.Store
	Password string
	Version  string
	// Page answers GET of what is no API; nil = a line of text.
	Page http.Handler
	// Probes are the live tests by their names in /test/{name}.
	Probes map[string]Probe
	// Load is config.Load with what this binary cannot do on top; nil = config.Load.
	Load func(config.Options) (*config.Config, []config.Problem, error)
	// Environ is the environment that live tests load a configuration with.
	Environ []string
	Log     *slog.Logger
	Now     func() time.Time // nil = time.Now

	once    sync.Once
	mux     *http.ServeMux
	form    []byte
	packed  []byte // the form, in gzip
	schema  []byte
	door    door
	origins *http.CrossOriginProtection
	testing chan struct{} // bounds what is tested at once

	lock        sync.Mutex // of what locked keeps
	lockedAt    time.Time
	lockedNames []string
	lockedMode  bool
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.once.Do(s.open)
	s.mux.ServeHTTP(w, r)
}

func (s *Server) open() {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Log == nil {
		s.Log = slog.Default()
	}
	if s.Load == nil {
		s.Load = config.Load
	}
	s.door = newDoor(s.Password)
	s.origins = http.NewCrossOriginProtection()
	s.testing = make(chan struct{}, 2)
	s.form = mustJSON(edit.NewForm())
	s.packed = pack(s.form)
	s.schema = mustJSON(config.Schema())
	s.mux = http.NewServeMux()
	add := func(pattern, route string, h func(http.ResponseWriter, *http.Request) error) {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			httpd.SetRoute(r.Context(), "editor."+route)
			s.answer(w, r, h)
		})
	}
	guarded := func(pattern, route string, h func(http.ResponseWriter, *http.Request) error) {
		add(pattern, route, func(w http.ResponseWriter, r *http.Request) error {
			if err := s.admit(r); err != nil {
				return err
			}
			httpd.SetActor(r.Context(), User)
			return h(w, r)
		})
	}
	add("POST /api/v1/session", "sign_in", s.signIn)
	add("GET /api/v1/session", "session", s.session)
	add("DELETE /api/v1/session", "sign_out", s.signOut)
	add("GET /health", "health", func(w http.ResponseWriter, _ *http.Request) error {
		return send(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	guarded("GET /api/v1/config", "config", s.config)
	guarded("PATCH /api/v1/config", "patch", s.patch)
	guarded("GET /api/v1/config/state", "state", s.state)
	guarded("GET /api/v1/config/form", "form", s.sendForm)
	guarded("GET /api/v1/config/schema", "schema", func(w http.ResponseWriter, _ *http.Request) error { return sendJSON(w, http.StatusOK, s.schema) })
	guarded("GET /api/v1/config/history", "history", s.history)
	guarded("GET /api/v1/config/rollout", "rollout", s.rollout)
	guarded("POST /api/v1/config/validate", "validate", s.validate)
	guarded("POST /api/v1/config/check", "check", s.check)
	guarded("POST /api/v1/config/test/{name}", "test", s.test)
	guarded("POST /api/v1/config/download", "download", s.download)
	guarded("POST /api/v1/config/operator", "operator", s.operator)
	guarded("POST /api/v1/config/rollback/{revision}", "rollback", s.rollback)
	add("/api/", "unknown", func(http.ResponseWriter, *http.Request) error {
		return &failure{status: http.StatusNotFound, code: "not_found", message: "there is no such call; docs/config-editor.md lists them"}
	})
	s.mux.HandleFunc("/", s.page)
}

// page answers with the page, and tells it what it cannot change.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.answer(w, r, func(http.ResponseWriter, *http.Request) error {
			return &failure{status: http.StatusMethodNotAllowed, code: "method", message: "only GET is answered here"}
		})
		return
	}
	httpd.SetRoute(r.Context(), "editor.page")
	if s.Page == nil {
		headers(w)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("This binary has no page of the configuration editor: it was built without the web console. The API is at /api/v1/config.\n")) // a client that left is not told
		return
	}
	if r.URL.Path == "/" {
		s.cookies(w, r)
	}
	s.Page.ServeHTTP(w, r)
}

// cookies are those by which Quay's page knows the mode and what is locked.
func (s *Server) cookies(w http.ResponseWriter, r *http.Request) {
	names, operator := s.locked(r.Context())
	if !operator {
		return
	}
	set := func(name, value string) {
		http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", SameSite: http.SameSiteStrictMode, Secure: secure(r), HttpOnly: false}) // #nosec G124 -- the page reads it, and it is no secret
	}
	set("QuayOperatorEndpoint", "/api/v1/config/operator")
	set("QuayReadOnlyFieldGroups", strings.Join(names, ","))
}

// fresh is how long the names of locked groups are kept: whoever has not signed
// in yet asks the cluster that often at most.
const fresh = 10 * time.Second

// locked returns the field groups of the operator, and whether there is one.
func (s *Server) locked(ctx context.Context) (names []string, operator bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.lockedAt.IsZero() || s.Now().Sub(s.lockedAt) >= fresh {
		p, j, err := s.present(ctx)
		s.lockedAt, s.lockedNames, s.lockedMode = s.Now(), nil, err == nil && p.Mode == edit.Operator
		if s.lockedMode {
			for _, m := range j.Managed {
				if !slices.Contains(s.lockedNames, m.Group) {
					s.lockedNames = append(s.lockedNames, m.Group)
				}
			}
		}
	}
	return s.lockedNames, s.lockedMode
}

// present reads and judges what is there.
func (s *Server) present(ctx context.Context) (*edit.Present, *edit.Judged, error) {
	p, err := s.Store.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	j, err := s.Store.Judge(ctx, p, p.Files, nil)
	return p, j, err
}

// A failure is an answer that is an error.
type failure struct {
	status   int
	code     string
	message  string
	problems []problem
	retry    time.Duration
	basic    bool // asks for a password
}

func (e *failure) Error() string { return e.message }

func invalid(message string) *failure {
	return &failure{status: http.StatusBadRequest, code: "invalid", message: message}
}

// answer runs a handler and sends its error.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, h func(http.ResponseWriter, *http.Request) error) {
	headers(w)
	w.Header().Set("Cache-Control", "no-store")
	err := h(w, r)
	if err == nil {
		return
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = s.explain(r.Context(), err)
	}
	if f.retry > 0 {
		w.Header().Set("Retry-After", seconds(f.retry))
	}
	if f.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="Gantry configuration editor", charset="UTF-8"`)
	}
	body := struct {
		Error    string    `json:"error"`
		Message  string    `json:"message"`
		Problems []problem `json:"problems,omitempty"`
	}{f.code, f.message, f.problems}
	if err := send(w, f.status, body); err != nil {
		s.Log.DebugContext(r.Context(), "an answer could not be sent", "error", err)
	}
}

// explain makes an answer of an error from below.
func (s *Server) explain(ctx context.Context, err error) *failure {
	if m, ok := errors.AsType[*edit.Mistake](err); ok {
		return &failure{status: http.StatusUnprocessableEntity, code: "invalid", message: m.Error(),
			problems: []problem{{Severity: string(config.Error), Group: edit.GroupOf(m.Field), Field: m.Field, Message: m.Message}}}
	}
	if x, ok := errors.AsType[*edit.Refused](err); ok {
		return &failure{status: http.StatusForbidden, code: "not_writable", message: x.Reason}
	}
	if errors.Is(err, edit.ErrRaced) {
		return &failure{status: http.StatusPreconditionFailed, code: "changed", message: "somebody else has changed the configuration meanwhile: read it again, and make the change on top of it"}
	}
	if ctx.Err() != nil {
		return &failure{status: http.StatusServiceUnavailable, code: "gone", message: "the client left"}
	}
	s.Log.ErrorContext(ctx, "the configuration editor failed", "error", err)
	return &failure{status: http.StatusInternalServerError, code: "internal", message: "it failed, and the editor's log says why"}
}

// headers are those of every answer that is no page.
func headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func send(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return sendJSON(w, status, body)
}

func sendJSON(w http.ResponseWriter, status int, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

func mustJSON(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // tables of this program
	}
	return body
}
