// Package registry is the /v2 edge: the OCI distribution protocol with Quay's
// manners. It takes requests apart, asks auth who may, lets content do it and
// puts the result into HTTP. It also answers what is left of /v1.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Settings are the switches of config.yaml that this package obeys. They may
// change while the Server runs: Configure. The zero value is a registry with
// everything on that Quay has on, and flat repository names.
type Settings struct {
	Names    gantry.NameRules // FEATURE_EXTENDED_REPOSITORY_NAMES, FEATURE_LIBRARY_SUPPORT, LIBRARY_NAMESPACE
	Hostname string           // SERVER_HOSTNAME, the service in challenges; "" = the host that each request asks for
	Scheme   string           // of the URLs that are handed out; "" = as each request came

	Unadvertised  bool   // not FEATURE_ADVERTISE_V2: /v2/ is 404
	BlockedDocker string // BLACKLIST_V2_SPEC: docker clients that are told that there is no /v2/; "" = none
	RecoveryMode  bool   // ACCOUNT_RECOVERY_MODE: data routes are 405

	ReadOnly       bool // REGISTRY_STATE is readonly: nothing is written, pulls are not logged
	PushesDisabled bool // DISABLE_PUSHES
	NoAnonymous    bool // not FEATURE_ANONYMOUS_ACCESS: public repositories are for those who logged in
	NoReferrers    bool // not FEATURE_REFERRERS_API
	PublicCatalog  bool // FEATURE_PUBLIC_CATALOG
	SparseIndex    bool // FEATURE_SPARSE_INDEX, told in a header; content obeys it
	PageSize       int  // V2_PAGINATION_SIZE; below 100 is 100

	NoOCI             bool     // not FEATURE_GENERAL_OCI_SUPPORT: OCI manifests are refused, but for OCINamespaces
	OCINamespaces     []string // OCI_NAMESPACE_WHITELIST
	NoHelm            bool     // not FEATURE_HELM_OCI_SUPPORT: charts are refused
	Schema1Namespaces []string // V22_NAMESPACE_BLACKLIST: Docker schema 2 and OCI manifests are refused there

	UnloggedNamespaces  []string // DISABLED_FOR_PULL_LOGS: pulls from there are not logged
	LooseLogging        bool     // ALLOW_PULLS_WITHOUT_STRICT_LOGGING or ALLOW_WITHOUT_STRICT_LOGGING: a pull succeeds although it cannot be logged
	AuditPullFailures   bool     // ACTION_LOG_AUDIT_PULL_FAILURES: refused ones are logged
	AuditPushFailures   bool     // ACTION_LOG_AUDIT_PUSH_FAILURES
	AuditDeleteFailures bool     // ACTION_LOG_AUDIT_DELETE_FAILURES
}

// Options are what New needs. Content, Auth, Pages and Store are required.
type Options struct {
	Content Content
	Auth    Auth
	Pages   *auth.PageTokens // of the catalog
	Store   *store.DB        // the catalog, and the log of refusals
	Settings
	Limiter *httpd.Limiter     // nil = no limits
	Metrics *telemetry.Metrics // nil = none
	Logger  *slog.Logger       // nil = slog.Default()
	// Tell tells a user of what a client does with their credentials: "login",
	// "push_start", "pull_start", "push_repo", "pull_repo" or "delete_tag", as
	// Quay names it, and in which repository, zero for a login. It must not
	// block. Nil: nobody is told.
	Tell func(ctx context.Context, user gantry.AccountID, action string, repo gantry.RepoName)
	// Incoming is told, a few times a second, of each request that brings bytes
	// of a blob for longer than that. It must not block. Nil: nobody is told.
	Incoming func(ctx context.Context, in Incoming)
	// Search answers /v1/search, for "docker search". It checks the
	// Authorization header itself. Nil: the route is 404.
	Search func(ctx context.Context, q SearchQuery) (SearchPage, error)
	// Upstream finds the path here of a path at another registry, for clients
	// that have this one as a mirror of it and say so ("?ns="); false where
	// none stands for it. Nil: ns is ignored.
	Upstream func(ctx context.Context, host, path string) (string, bool)
}

// A Server is an http.Handler for /v2, /v2/, /v1/_ping and /v1/search. It
// must see paths as they came: a mux that cleans them would redirect names
// that it does not understand.
type Server struct {
	content  Content
	auth     Auth
	pages    *auth.PageTokens
	store    *store.DB
	limiter  *httpd.Limiter
	metrics  *telemetry.Metrics
	log      *slog.Logger
	tell     func(context.Context, gantry.AccountID, string, gantry.RepoName)
	incoming func(context.Context, Incoming)
	search   func(context.Context, SearchQuery) (SearchPage, error)
	upstream func(context.Context, string, string) (string, bool)
	settings atomic.Pointer[settings]
}

// settings are Settings and what is made of them once.
type settings struct {
	Settings
	blocked versionSpec
	page    int
	sparse  []string
}

const minPage = 100

// New checks the options. The error names the field of config.yaml that is
// wrong.
func New(o Options) (*Server, error) {
	if o.Content == nil || o.Auth == nil || o.Pages == nil || o.Store == nil {
		return nil, errors.New("registry: Options.Content, Auth, Pages and Store are required")
	}
	s := &Server{content: o.Content, auth: o.Auth, pages: o.Pages, store: o.Store, limiter: o.Limiter, metrics: o.Metrics, log: o.Logger, tell: o.Tell, incoming: o.Incoming, search: o.Search, upstream: o.Upstream}
	if s.log == nil {
		s.log = slog.Default()
	}
	return s, s.Configure(o.Settings)
}

// Configure puts new switches in place of the old ones; requests that run keep
// the old ones. On an error the old ones stay.
func (s *Server) Configure(o Settings) error {
	c := &settings{Settings: o, page: max(o.PageSize, minPage), sparse: headerFalse}
	if o.SparseIndex {
		c.sparse = headerTrue
	}
	if o.Scheme != "" && o.Scheme != "http" && o.Scheme != "https" {
		return fmt.Errorf("PREFERRED_URL_SCHEME: %q is neither http nor https", o.Scheme)
	}
	var err error
	if c.blocked, err = parseVersionSpec(o.BlockedDocker); err != nil {
		return fmt.Errorf("BLACKLIST_V2_SPEC: %w", err)
	}
	s.settings.Store(c)
	return nil
}

// A call is one request on its way through.
type call struct {
	s       *Server
	set     *settings
	w       http.ResponseWriter
	r       *http.Request
	info    *httpd.Info // never nil
	route   route
	act     *action
	name    gantry.RepoName // of routes with a repository
	grants  *auth.Grants    // nil without a token
	repo    store.Repository
	role    gantry.Role // in repo
	body    bodyReader
	status  int    // that was answered; 0 = none yet
	started bool   // bytes of a successful answer are out
	media   string // type of the manifest that is pushed, for metrics
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		s.serveV1(w, r)
		return
	}
	c := s.newCall(w, r)
	if err := c.serve(); err != nil {
		c.status = c.fail(err)
	}
	c.count()
}

var noAction = &action{name: "v2.unknown"}

func (s *Server) newCall(w http.ResponseWriter, r *http.Request) *call {
	c := &call{s: s, set: s.settings.Load(), w: w, r: r, info: httpd.InfoFrom(r.Context()), act: noAction}
	if c.info == nil { // outside the middleware
		c.info = &httpd.Info{Scheme: httpd.Scheme(r), Host: r.Host}
	}
	c.body.r = r.Body
	return c
}

var (
	errNoRoute  = &gantry.Error{Code: gantry.NotFound}
	errMethod   = &gantry.Error{Code: gantry.Unsupported, Detail: "this method is not supported here; the Allow header names those that are"}
	errRecovery = &gantry.Error{Code: gantry.Unsupported, Detail: "the registry is in account recovery mode: it serves no images until its administrator ends that"}
	errReadOnly = &gantry.Error{Code: gantry.ReadOnly, Detail: "System is currently read-only. Pulls will succeed but all write operations are currently suspended."}
	errNoPushes = &gantry.Error{Code: gantry.ReadOnly, Reason: gantry.PushesDisabled, Detail: "pushes to this registry are disabled; pulls work. Ask its administrator when they come back"}
)

func (c *call) serve() error {
	c.info.Route = noAction.name
	if hiddenSlash(c.r.URL.RawPath) {
		return errNoRoute
	}
	c.route = parseRoute(c.r.URL.Path)
	switch c.route.kind {
	case kindNone:
		return errNoRoute
	case kindReferrers:
		if c.set.NoReferrers {
			return errNoRoute
		}
	default:
	}
	m := methodIndex(c.r.Method)
	if m < 0 || actions[c.route.kind][m].do == nil {
		c.w.Header()["Allow"] = []string{allowed(c.route.kind)}
		return errMethod
	}
	c.act = &actions[c.route.kind][m]
	c.info.Route = c.act.name
	if c.route.kind == kindManifest && isDigest(c.route.ref) {
		c.info.Route = digestNames[m]
	}
	var err error
	if c.route.repo != "" {
		c.mirrored()
		c.name, err = c.set.Names.ParseRepoName(c.route.repo)
	}
	if c.act.class != httpd.ClassAuth { // tokens are limited by what they are asked for
		if err := c.limit(c.act.class, ""); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return err
	case c.set.RecoveryMode && c.route.kind != kindBase && c.route.kind != kindAuth:
		return errRecovery
	case c.set.ReadOnly && c.act.change:
		return errReadOnly
	case c.set.PushesDisabled && c.act.push:
		return errNoPushes
	}
	if c.route.kind != kindAuth {
		if err := c.identify(); err != nil {
			return err
		}
	}
	if c.act.access != accessNone {
		if err := c.authorize(); err != nil {
			return err
		}
	}
	return c.act.do(c)
}

// mirrored finds the repository of a client that believes to talk to another
// registry: containerd names it as ns when it asks a mirror. A registry that
// nobody here stands for changes nothing.
func (c *call) mirrored() {
	if c.s.upstream == nil || !strings.Contains(c.r.URL.RawQuery, "ns=") || c.act.access != accessRead {
		return
	}
	q, err := c.query()
	if err != nil {
		return // the handler says so, if it wants parameters
	}
	if ns := q.Get("ns"); ns != "" && len(ns) <= maxLast {
		if path, ok := c.s.upstream(c.r.Context(), ns, c.route.repo); ok {
			c.route.repo = path
		}
	}
}

func isDigest(ref string) bool { return strings.IndexByte(ref, ':') >= 0 }

// limit takes one request from the allowance of the client's address, or of
// key if that is not "".
func (c *call) limit(class httpd.Class, key string) error {
	if c.s.limiter == nil {
		return nil
	}
	var ok bool
	var retry time.Duration
	if key != "" {
		ok, retry = c.s.limiter.Allow(class, key, c.name.Namespace)
	} else {
		ok, retry = c.s.limiter.AllowClient(class, c.info.IP, c.r.ProtoMajor, c.name.Namespace)
	}
	if ok {
		return nil
	}
	c.s.metrics.Limited(string(class))
	return &gantry.Error{Code: gantry.Limited, Retry: retry}
}

// tell tells the user who makes the request of it.
func (c *call) tell(action string) {
	if c.s.tell != nil && c.grants != nil && c.grants.Actor.Human() {
		c.s.tell(c.r.Context(), c.grants.Actor.Account, action, c.name)
	}
}

// count feeds the metrics of pulls and pushes, failed ones included.
func (c *call) count() {
	if c.route.kind != kindManifest || c.status == 0 || c.s.metrics == nil {
		return
	}
	switch c.r.Method {
	case http.MethodGet:
		if c.status == http.StatusNotModified {
			return
		}
		ref := "tag"
		if isDigest(c.route.ref) {
			ref = "manifest"
		}
		c.s.metrics.Pull("v2", ref, c.status)
	case http.MethodPut:
		c.s.metrics.Push("v2", c.status, c.media)
	}
}

// Header values that never change; len equals cap, so that Add copies them.
var (
	headerJSON        = []string{"application/json"}
	headerOctets      = []string{"application/octet-stream"}
	headerText        = []string{"text/plain; charset=utf-8"}
	headerIndex       = []string{mediaIndex}
	headerVersion     = []string{"registry/2.0"}
	headerBytes       = []string{"bytes"}
	headerBlobCache   = []string{"max-age=31436000"}
	headerNoStore     = []string{"no-cache, no-store, must-revalidate"}
	headerVaryAccept  = []string{"Accept"}
	headerZero        = []string{"0"}
	headerTrue        = []string{"true"}
	headerFalse       = []string{"false"}
	headerFirstByte   = []string{"0-0"}
	headerFiltersType = []string{"artifactType"}
)

// send writes the status line; the headers are set.
func (c *call) send(status int) {
	c.status = status
	c.w.WriteHeader(status)
}

// sendBody answers with a whole body. Content-Type is set already.
func (c *call) sendBody(status int, body []byte) {
	c.w.Header()["Content-Length"] = []string{itoa(int64(len(body)))}
	c.send(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // the client left; the access log has the status
	}
}

// base answers GET /v2/: is this a registry, and is the token good?
func (c *call) base() error {
	if c.set.Unadvertised || c.set.blocked.blocks(c.r.UserAgent()) {
		return errNoRoute
	}
	h := c.w.Header()
	c.challenge(h)
	h["X-Sparse-Manifest-Support"] = c.set.sparse
	h["Content-Type"] = headerJSON
	status := http.StatusOK
	if c.grants == nil {
		status = http.StatusUnauthorized
	}
	c.sendBody(status, []byte("true"))
	return nil
}

// A bodyReader remembers how much of a request's body was read, and how that
// ended.
type bodyReader struct {
	r    io.Reader
	n    int64
	err  error  // first failure other than io.EOF
	came func() // called when bytes came; nil = nobody is
}

// Read reads from the client.
func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if b.came != nil && n > 0 {
		b.came()
	}
	if err != nil && err != io.EOF && b.err == nil { // io.EOF itself ends a body
		b.err = err
	}
	return n, err
}

// cause is what to tell of a body that could not be read: err, if it tells
// something itself.
func (b *bodyReader) cause(err error) error {
	e := &gantry.Error{Code: gantry.Invalid, Object: "size", Err: err, Detail: "the request body ended before its announced length; send it again"}
	switch {
	case errors.Is(b.err, httpd.ErrStalled):
		e.Object, e.Detail, e.Err = "", "the request body did not arrive in time; send it again", b.err
	case errors.Is(b.err, errLongBody):
		e.Detail = errLongBody.Error() + "; send what it says"
	}
	return e
}
