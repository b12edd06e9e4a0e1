package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/gantry-registry/gantry/internal/api"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/registry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/web"
)

// edges answers every path: it hands requests to the edge that they belong
// to. It looks at the path as it came; a mux would clean it, and then /v2
// would redirect names that it does not understand.
type edges struct {
	s       *Server
	console http.Handler // the web console, which no configuration changes
	now     atomic.Pointer[handlers]
	active  atomic.Int64   // requests that run
	limiter *httpd.Limiter // of the configuration of now; set by configure alone
	exempt  []string       // that limiter was made with
}

// handlers are the edges with one configuration.
type handlers struct {
	cfg      *config.Config
	registry http.Handler // nil: not a role of this process
	api      http.Handler
	console  http.Handler // nil as api
	health   *httpd.Health
	limiter  *httpd.Limiter
	replicas bool // there are read replicas
}

func newEdges(s *Server, cfg *config.Config) (*edges, error) {
	e := &edges{s: s, console: web.New()}
	return e, e.configure(cfg)
}

// configure makes handlers of a configuration and swaps them in; requests
// that run keep the old ones, and on an error so do all. One call at a time.
func (e *edges) configure(cfg *config.Config) error {
	h := &handlers{cfg: cfg, replicas: e.s.db.HasReplicas()}
	switch exempt := cfg.Registry.NonRateLimitedNamespaces; {
	case !cfg.Features.RateLimits:
		e.limiter = nil
	case e.limiter == nil || !slices.Equal(e.exempt, exempt): // else what was counted goes on
		e.limiter, e.exempt = httpd.NewLimiter(e.s.limits(exempt)), exempt
	}
	h.limiter = e.limiter
	s := e.s
	if s.roles.Registry {
		r, err := registry.New(registry.Options{Content: s.proxy, Upstream: s.proxy.Resolve, Auth: s.auth, Pages: s.keys.Pages(), Store: s.db,
			Settings: registrySettings(cfg), Limiter: h.limiter, Metrics: s.metrics, Logger: s.log, Tell: s.userEvents(cfg), Incoming: s.uploads(cfg)})
		if err != nil {
			return err
		}
		h.registry = r
	}
	if s.roles.API {
		o := apiOptions(cfg)
		o.Store, o.Auth, o.Content, o.Logger = s.db, s.auth, s.content, s.log
		if cfg.Features.ProxyCache {
			o.ProxyCache = s.proxy
		}
		o.Logs.Mail = s.mail()
		s.plugWeb(&o.Web, cfg)
		o.Tell.Notify, o.Tell.Base = s.tell.notify, func() string { url, _ := s.tell.base(); return url }
		o.Mirrors.Service = s.mirror
		if cfg.Features.Mailing {
			o.Tell.Mail = s.tell.mail
		}
		h.api, h.console = api.New(o), e.console
	}
	h.health = httpd.NewHealth(httpd.HealthOptions{
		Checks: s.checks(), Gate: s.gate, Hostname: cfg.Server.Hostname, Authorized: s.isSuperuser, DebugSecret: cfg.Health.DebugSecret,
	})
	e.now.Store(h)
	return nil
}

// outer is the whole handler of the listener.
func (e *edges) outer(cfg *config.Config) http.Handler {
	return httpd.Middleware(httpd.MiddlewareOptions{
		Logger: e.s.log, Metrics: e.s.metrics, Tracer: e.s.tracer, Gate: e.s.gate,
		TrustedProxies: trustedProxies(cfg), ProxyCount: proxyCount(cfg), Panicked: panicked, Busy: busy,
		MaxInFlight: maxClients(openFiles()), Unlimited: func(r *http.Request) bool { return isHealth(r.URL.Path) },
	}, e)
}

// ServeHTTP implements http.Handler.
func (e *edges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.active.Add(1)
	defer e.active.Add(-1)
	h := e.now.Load()
	p := r.URL.Path
	if h.replicas && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		r = r.WithContext(store.FromReplicas(r.Context()))
	}
	switch {
	case isV2(p) || strings.HasPrefix(p, "/v1/") && !strings.HasSuffix(p, "_internal_ping"):
		if h.registry == nil {
			if p == "/v1/_ping" {
				h.health.ServeHTTP(w, r)
				return
			}
			notHere(w, r, "registry")
			return
		}
		if limit := h.cfg.Server.ManifestsEndpointReadTimeout; limit > 0 && isV2(p) && strings.Contains(p, "/manifests/") {
			ctx, cancel := context.WithTimeout(r.Context(), limit)
			defer cancel()
			r = r.WithContext(ctx)
		}
		h.registry.ServeHTTP(w, r)
	case isHealth(p):
		h.health.ServeHTTP(w, r)
	case strings.HasPrefix(p, "/api/") || p == "/csrf_token" || api.Serves(p, h.cfg.Auth.LocalOAuthHandler):
		if h.api == nil {
			notHere(w, r, "api")
			return
		}
		if ok, after := h.limiter.AllowClient(httpd.ClassHeavy, httpd.ClientIP(r.Context()), r.ProtoMajor, ""); !ok {
			e.s.metrics.Limited(string(httpd.ClassHeavy))
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
			problem(w, http.StatusTooManyRequests, "rate_limited", "Too many requests")
			return
		}
		h.api.ServeHTTP(w, r)
	case strings.HasPrefix(p, exportPath) && h.api != nil:
		e.s.getExport(w, r)
	case h.console != nil && web.Serves(r):
		h.console.ServeHTTP(w, r)
	case p == "/":
		httpd.SetRoute(r.Context(), "web.index")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "This is the container registry %s.\n\n  podman login %s\n\n",
			h.cfg.UI.Title, cmp.Or(h.cfg.Server.Hostname, httpd.Host(r))) // a client that left is not told
	default:
		httpd.SetRoute(r.Context(), "web.unknown")
		problem(w, http.StatusNotFound, "not_found", "Not Found")
	}
}

func isV2(p string) bool { return p == "/v2" || strings.HasPrefix(p, "/v2/") }

var healthPaths = httpd.HealthPaths()

func isHealth(p string) bool {
	trimmed := strings.TrimSuffix(p, "/")
	last := len(healthPaths) - 1
	return slices.Contains(healthPaths[:last], trimmed) || strings.HasPrefix(p, healthPaths[last])
}

// notHere answers for a role that other processes have.
func notHere(w http.ResponseWriter, r *http.Request, role string) {
	httpd.SetRoute(r.Context(), "web.unknown")
	problem(w, http.StatusNotFound, "not_found", "This process does not have the role "+role)
}

// problem writes Quay's problem object.
func problem(w http.ResponseWriter, status int, kind, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that left is not told
		"status": status, "error_type": kind, "title": kind, "detail": text, "error_message": text, "message": text})
}

// panicked answers a request whose handler panicked.
func panicked(w http.ResponseWriter, r *http.Request) {
	if isV2(r.URL.Path) {
		registry.Panicked(w, r)
		return
	}
	problem(w, http.StatusInternalServerError, "internal_error", "internal error")
}

// busy answers a request that is one too many.
func busy(w http.ResponseWriter, r *http.Request) {
	httpd.SetRoute(r.Context(), "web.busy")
	const text = "too many requests are running; try again"
	if !isV2(r.URL.Path) {
		problem(w, http.StatusServiceUnavailable, "unavailable", text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":"UNAVAILABLE","message":%q,"detail":{}}]}`+"\n", text) // a client that left is not told
}

const (
	ownFiles   = 64     // descriptors for the database, the log, the listeners and the runtime
	mostAtOnce = 10_000 // connections, and requests, however many descriptors there are
)

// maxClients is how many connections, and how many requests, are served at
// once by a process that may have so many files open: each may need a socket,
// a blob and a connection to the database.
func maxClients(files uint64) int {
	return int(min(max(files, ownFiles+3*8)-ownFiles, 3*mostAtOnce) / 3)
}

// openFiles is the limit of open files of this process.
func openFiles() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return l.Cur
}

// isSuperuser reports whether the request comes from a superuser's session,
// who sees the details of health checks.
func (s *Server) isSuperuser(r *http.Request) bool {
	k, err := r.Cookie(cmp.Or(s.live.Current().Session.CookieName, api.CookieName))
	if err != nil || k.Value == "" {
		return false
	}
	id, _, err := s.auth.Session(r.Context(), k.Value, gantry.Actor{Kind: gantry.ActorAnonymous})
	return err == nil && id.Superuser
}

// checks are the lines of the health answers, under Quay's names.
func (s *Server) checks() []httpd.Check {
	fine := func(context.Context) error { return nil }
	cfg := s.live.Current
	list := []httpd.Check{
		{Name: "registry_gunicorn", Sets: httpd.HealthInstance, Run: fine}, // it answers: it runs
		{Name: "web_gunicorn", Sets: httpd.HealthInstance, Run: fine},
		// An instance that pulls well, by tokens and robots, is not taken out
		// because a directory is away.
		{Name: "auth", Sets: httpd.HealthInstance, Advisory: true, Run: s.pingProvider},
		{Name: "auth", Sets: httpd.HealthEndToEnd, Run: s.pingProvider},
		// A full disk refuses pushes by itself. An instance that pulls well is
		// not taken out, or even restarted, for it.
		{Name: "disk_space", Sets: httpd.HealthInstance, Advisory: true, Run: func(context.Context) error {
			return s.diskAbove(cfg().Health.DiskSpaceHealthThreshold)
		}},
		{Name: "disk_space_warning", Sets: httpd.HealthWarning, Run: func(context.Context) error {
			return s.diskAbove(cfg().Health.DiskSpaceHealthWarningThreshold)
		}},
	}
	list = append(list, s.databaseChecks()...)
	if s.redis != nil {
		// Everything happens without Redis, later: it is a matter for
		// monitoring, as in Quay, and no reason to take an instance out.
		list = append(list, httpd.Check{Name: "redis", Sets: httpd.HealthInstance, Advisory: true, Run: s.redis.Check},
			httpd.Check{Name: "redis", Sets: httpd.HealthEndToEnd, Run: s.redis.Check})
	}
	for _, p := range s.places {
		check := func(ctx context.Context) error {
			if cfg().Server.ReadOnly() {
				return nil // nothing is written then
			}
			return p.Engine.Check(ctx)
		}
		name := "storage"
		if !p.preferred {
			name = "storage_" + p.Name
		}
		list = append(list, httpd.Check{Name: name, Sets: httpd.HealthEndToEnd, Run: check,
			Advisory: !p.preferred && !cfg().Storage.RequiresAllAvailable})
		if p.preferred && cfg().Health.InstanceChecksPreferredStorage {
			list = append(list, httpd.Check{Name: "preferred_storage", Sets: httpd.HealthInstance, Run: check})
		}
	}
	return list
}

// diskAbove returns an error where less than the share of a disk is free: of
// that of the data folder, and of each local storage location.
func (s *Server) diskAbove(share float64) error {
	roots := []string{s.data}
	for _, l := range s.live.Current().Storage.Locations {
		if l.Class == localStorage {
			roots = append(roots, l.String("storage_path"))
		}
	}
	for _, root := range roots {
		var st syscall.Statfs_t
		if err := syscall.Statfs(root, &st); err != nil {
			if errors.Is(err, os.ErrNotExist) && root != s.data {
				continue // a relative path, which is on the disk of the data folder
			}
			return fmt.Errorf("look at the disk of %s: %w", root, err)
		}
		if float64(st.Bavail) < share*float64(st.Blocks) {
			return fmt.Errorf("%s: %d of %d MiB are free", root, st.Bavail*uint64(st.Bsize)>>20, st.Blocks*uint64(st.Bsize)>>20) //nolint:gosec // a block's size is positive
		}
	}
	return nil
}
