package httpd

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A HealthSet says in which answers a check takes part.
type HealthSet uint8

// The sets; a check may be in several.
const (
	HealthInstance HealthSet = 1 << iota // /health, /health/instance: may this instance take traffic
	HealthEndToEnd                       // /health/endtoend, /status: does everything around it work
	HealthWarning                        // /health/warning: will something fail soon
)

// A Check is one line of a health answer.
type Check struct {
	Name     string    // Quay's: registry_gunicorn, web_gunicorn, service_key, disk_space, database, auth, redis, storage, disk_space_warning
	Sets     HealthSet //
	Advisory bool      // a failure is shown and does not make the answer 503
	// Run returns nil when all is well. It must end soon after ctx does; it is
	// never run twice at once. Its error's text is shown to superusers only.
	Run func(ctx context.Context) error
}

// HealthOptions says what Health checks and answers.
type HealthOptions struct {
	Checks      []Check
	Timeout     time.Duration // of one check; 0 is 5 s
	Cache       time.Duration // a result is used this long; 0 is 1 s
	Gate        *Gate         // while it drains, instance and endtoend are 503
	Hostname    string
	KeyID       func() string            // local_service_key_id of the details; nil is none
	Authorized  func(*http.Request) bool // who sees the details; nil is nobody
	DebugSecret string                   // ENABLE_HEALTH_DEBUG_SECRET: who calls /health/enabledebug/<it> sees the details for an hour; "" is off
	Testing     bool                     // is_testing of the details
}

// Health answers health checks. It is an http.Handler for the paths of
// HealthPaths.
type Health struct {
	opt    HealthOptions
	checks []*checkState
}

// HealthPaths are the paths that Health answers; the last is a prefix.
func HealthPaths() []string {
	return []string{
		"/health", "/health/instance", "/health/endtoend", "/status", "/health/warning", "/health/dbrevision",
		"/_internal_ping", "/v1/_internal_ping", "/secscan/_internal_ping", "/v1/_ping", "/health/enabledebug/",
	}
}

// NewHealth makes a Health.
func NewHealth(o HealthOptions) *Health {
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.Cache, time.Second)
	h := &Health{opt: o}
	for _, c := range o.Checks {
		h.checks = append(h.checks, &checkState{Check: c})
	}
	return h
}

// Result is the outcome of the checks of one set.
type Result struct {
	OK       bool
	Services map[string]bool
	Errors   map[string]error // of the checks that failed
}

// Run runs the checks of set, at once, and waits for them no longer than the
// timeout. Results may be as old as the cache allows.
func (h *Health) Run(ctx context.Context, set HealthSet) Result {
	res := Result{OK: true, Services: map[string]bool{}, Errors: map[string]error{}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, c := range h.checks {
		if c.Sets&set == 0 {
			continue
		}
		wg.Go(func() {
			err := c.result(ctx, h.opt.Timeout, h.opt.Cache)
			mu.Lock()
			defer mu.Unlock()
			res.Services[c.Name] = err == nil
			if err != nil {
				res.Errors[c.Name] = err
				res.OK = res.OK && c.Advisory
			}
		})
	}
	wg.Wait()
	if set&(HealthInstance|HealthEndToEnd) != 0 && h.opt.Gate.Draining() {
		res.OK = false
		res.Services["accepting_traffic"] = false
		res.Errors["accepting_traffic"] = errors.New("the instance drains")
	}
	return res
}

// checkState is a check with its last result.
type checkState struct {
	Check
	mu      sync.Mutex
	at      time.Time     // of err; zero: never
	err     error         //
	running chan struct{} // closed when the running check ends; nil: none runs
}

// result returns a result that is fresh enough, waiting for it no longer than
// timeout. A check that hangs is not started again until it ends.
func (c *checkState) result(ctx context.Context, timeout, cache time.Duration) error {
	c.mu.Lock()
	if !c.at.IsZero() && time.Since(c.at) < cache {
		defer c.mu.Unlock()
		return c.err
	}
	if c.running == nil {
		c.running = make(chan struct{})
		go c.run(context.WithoutCancel(ctx), timeout, c.running)
	}
	running := c.running
	c.mu.Unlock()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-running:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-late.C:
		return fmt.Errorf("no answer within %v", timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *checkState) run(ctx context.Context, timeout time.Duration, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("check panicked: %v", v)
			}
		}()
		return c.Check.Run(ctx)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.at, c.running = err, time.Now(), nil
	close(done)
}

// ServeHTTP answers the paths of HealthPaths, others with 404.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	SetRoute(r.Context(), "web.health")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/_internal_ping", "/v1/_internal_ping", "/secscan/_internal_ping", "/v1/_ping":
		SetRoute(r.Context(), "web.ping")
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/_ping" {
			w.Header().Set("X-Docker-Registry-Version", "0.6.0")
			w.Header().Set("X-Docker-Registry-Standalone", "0")
		}
		_, _ = w.Write([]byte("true")) // a client that left is not told
	case "/health", "/health/instance", "/health/dbrevision":
		h.answer(w, r, HealthInstance)
	case "/health/endtoend", "/status":
		h.answer(w, r, HealthEndToEnd)
	case "/health/warning":
		h.answer(w, r, HealthWarning)
	default:
		if secret, ok := strings.CutPrefix(r.URL.Path, "/health/enabledebug/"); ok && h.secretIs(secret) {
			h.grant(w, r)
			return
		}
		http.NotFound(w, r)
	}
}

type healthAnswer struct {
	Data   healthData `json:"data"`
	Status int        `json:"status_code"`
}

type healthData struct {
	Services map[string]bool `json:"services"`
	*healthDetails
}

type healthDetails struct {
	Expanded map[string]serviceDetail `json:"services_expanded"`
	Notes    []string                 `json:"notes"`
	Testing  bool                     `json:"is_testing"`
	Provider string                   `json:"config_provider"`
	KeyID    string                   `json:"local_service_key_id"`
	Hostname string                   `json:"hostname"`
}

type serviceDetail struct {
	Status  bool   `json:"status"`
	Failure string `json:"failure,omitempty"`
}

func (h *Health) answer(w http.ResponseWriter, r *http.Request, set HealthSet) {
	res := h.Run(r.Context(), set)
	a := healthAnswer{Data: healthData{Services: res.Services}, Status: http.StatusOK}
	if !res.OK {
		a.Status = http.StatusServiceUnavailable
	}
	if h.granted(r) || (h.opt.Authorized != nil && h.opt.Authorized(r)) {
		d := &healthDetails{Expanded: map[string]serviceDetail{}, Notes: []string{}, Testing: h.opt.Testing, Provider: "file", Hostname: h.opt.Hostname}
		for name, ok := range res.Services {
			s := serviceDetail{Status: ok}
			if err := res.Errors[name]; err != nil {
				s.Failure = err.Error()
			}
			d.Expanded[name] = s
		}
		if h.opt.KeyID != nil {
			d.KeyID = h.opt.KeyID()
		}
		a.Data.healthDetails = d
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(a) // a client that left is not told
	}
}

// secretIs compares in a time that does not depend on the secret.
func (h *Health) secretIs(s string) bool {
	got, want := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(h.opt.DebugSecret))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && h.opt.DebugSecret != ""
}

const debugCookie = "gantry_health_debug"

// grant gives the browser a cookie that proves that it knew the secret.
func (h *Health) grant(w http.ResponseWriter, r *http.Request) {
	until := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure unless the registry itself is served without TLS
		Name: debugCookie, Value: until + "." + h.sign(until), Path: "/", MaxAge: 3600,
		HttpOnly: true, Secure: Scheme(r) == "https", SameSite: http.SameSiteStrictMode,
	})
	_, _ = w.Write([]byte("Health check debug information enabled")) // a client that left is not told
}

func (h *Health) granted(r *http.Request) bool {
	if h.opt.DebugSecret == "" {
		return false
	}
	c, err := r.Cookie(debugCookie)
	if err != nil {
		return false
	}
	until, mac, _ := strings.Cut(c.Value, ".")
	t, err := strconv.ParseInt(until, 10, 64)
	return err == nil && time.Now().Unix() < t && hmac.Equal([]byte(mac), []byte(h.sign(until)))
}

func (h *Health) sign(until string) string {
	m := hmac.New(sha256.New, []byte(h.opt.DebugSecret))
	_, _ = m.Write([]byte("health debug until " + until)) // never fails
	return hex.EncodeToString(m.Sum(nil))
}
