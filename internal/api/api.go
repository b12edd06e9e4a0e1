// Package api is the REST API under /api/v1: it parses, authorizes, calls and
// answers as Quay does.
package api

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/proxycache"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Options are what New needs. Store and Auth are required.
type Options struct {
	Store *store.DB
	Auth  *auth.Service
	// Content reads the configurations of images; nil = their history is not told.
	Content  *content.Store
	Tags     TagOptions
	External ExternalOptions // identities outside
	Policies PolicyOptions   // about tags
	Mirrors  MirrorOptions   // of other registries
	Logs     LogOptions      // of the audit log
	Tell     TellOptions     // notifications and mail
	Web      WebOptions      // what is served outside of /api/v1

	UserInitialize bool                  // FEATURE_USER_INITIALIZE
	UserCreation   bool                  // FEATURE_USER_CREATION: anybody may sign up
	InviteOnly     bool                  // FEATURE_INVITE_ONLY_USER_CREATION: but not without an invitation
	NoDirectLogin  bool                  // not FEATURE_DIRECT_LOGIN: nobody signs in, or up, with a password
	XHROnly        bool                  // BROWSER_API_CALLS_XHR_ONLY
	RepoMirror     bool                  // FEATURE_REPO_MIRROR
	CookieName     string                // SESSION_COOKIE_NAME; "" = CookieName
	CookieSecure   bool                  // SESSION_COOKIE_SECURE; a cookie that comes over TLS is so anyway
	CookieScripts  bool                  // not SESSION_COOKIE_HTTPONLY: scripts of the page may read the cookie
	CookieSameSite http.SameSite         // SESSION_COOKIE_SAMESITE; 0 = Lax
	WindowSessions bool                  // not FEATURE_PERMANENT_SESSIONS: the cookie ends with the browser
	BlockedDomains []string              // BLACKLISTED_EMAIL_DOMAINS, with FEATURE_BLACKLISTED_EMAILS: no account has an address there
	SessionTimeout time.Duration         // SESSION_TIMEOUT; 0 = 31 days
	AppTokenLife   time.Duration         // APP_SPECIFIC_TOKEN_EXPIRATION; 0 = they do not expire
	UserRename     bool                  // FEATURE_USER_RENAME: users may change their name
	UserMetadata   bool                  // FEATURE_USER_METADATA: users have names, a company and a location
	ExactUsers     bool                  // not FEATURE_PARTIAL_USER_AUTOCOMPLETE: users are found by their whole name only
	FixedRetention bool                  // not FEATURE_CHANGE_TAG_EXPIRATION: namespaces may not choose how long they can restore a tag
	Retention      time.Duration         // DEFAULT_TAG_EXPIRATION, for namespaces that chose none; 0 = 2 weeks, negative = 0
	Retentions     []time.Duration       // TAG_EXPIRATION_OPTIONS; nil = 0, 1 day, 1, 2 and 4 weeks
	MaxOAuthTokens int                   // OAUTH_APPLICATION_MAXIMUM_TOKEN_COUNT; 0 = 10,000
	SearchPage     int                   // SEARCH_RESULTS_PER_PAGE; 0 = 10
	SearchPages    int                   // SEARCH_MAX_RESULT_PAGE_COUNT; 0 = 10
	FreshLogin     time.Duration         // FRESH_LOGIN_TIMEOUT; 0 = 10 minutes
	Quota          bool                  // FEATURE_QUOTA_MANAGEMENT
	EditQuota      bool                  // FEATURE_EDIT_QUOTA: there are routes for quotas
	DefaultQuota   int64                 // DEFAULT_SYSTEM_REJECT_QUOTA_BYTES; 0 = none
	SparseIndex    bool                  // FEATURE_SPARSE_INDEX
	ConfigDump     func() map[string]any // the configuration without its secrets; nil = not FEATURE_SUPERUSER_CONFIGDUMP
	ProxyCache     *proxycache.Store     // nil = not FEATURE_PROXY_CACHE
	Logger         *slog.Logger          // nil = discard
}

type server struct {
	Options
	routes   []route
	contract func() ([]byte, error)         // the OpenAPI document, in JSON
	page     func() ([]byte, error)         // the same for people, in HTML
	swagger  func() (map[string]any, error) // the same as Swagger 2.0; nobody changes it
	sizing   sync.Mutex                     // held while the registry's size is counted
	finding  chan struct{}                  // searches in the directory
	// unpacking are the archives that are read for their documents.
	unpacking chan struct{}
	streams   streamCount
}

// New returns the API. It answers /api/v1/…, /csrf_token and what Serves says.
func New(o Options) http.Handler {
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = 31 * 24 * time.Hour
	}
	if o.FreshLogin <= 0 {
		o.FreshLogin = 10 * time.Minute
	}
	if o.Retentions == nil {
		const day = 24 * time.Hour
		o.Retentions = []time.Duration{0, day, 7 * day, 14 * day, 28 * day}
	}
	o.Retention = max(0, cmp.Or(o.Retention, 14*24*time.Hour))
	o.SearchPage, o.SearchPages = cmp.Or(o.SearchPage, 10), cmp.Or(o.SearchPages, 10)
	o.CookieName = cmp.Or(o.CookieName, CookieName)
	o.CookieSameSite = cmp.Or(o.CookieSameSite, http.SameSiteLaxMode)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{Options: o, routes: routes, finding: make(chan struct{}, findAtOnce), unpacking: make(chan struct{}, unpackAtOnce)}
	document := sync.OnceValues(func() (map[string]any, error) { return assemble(contractFiles, routes) })
	s.contract = sync.OnceValues(func() ([]byte, error) {
		doc, err := document()
		if err != nil {
			return nil, err
		}
		return json.Marshal(doc)
	})
	s.swagger = sync.OnceValues(func() (map[string]any, error) {
		doc, err := document()
		if err != nil {
			return nil, err
		}
		return toSwagger(doc), nil
	})
	s.page = sync.OnceValues(func() ([]byte, error) {
		doc, err := s.contract()
		if err != nil {
			return nil, err
		}
		return page(doc)
	})
	return s
}

// access is who may call a route; the check runs before the handler.
type access int8

const (
	anybody   access = iota
	signedIn         // with the route's scope
	known            // anybody who is known, whatever the scope
	nsMember         // in a team of the organization {org}
	nsAdmin          // admin of the namespace {org}
	nsOrSuper        // in a team of the organization {org}, or a superuser
	superuser        // with FEATURE_SUPER_USERS; who is so for reading only may GET
	repoRead
	repoWrite
	repoAdmin
)

// scopes are what an OAuth token needs where the route does not say.
var scopes = map[access]string{nsMember: auth.ScopeOrgAdmin, nsAdmin: auth.ScopeOrgAdmin, nsOrSuper: auth.ScopeOrgAdmin, superuser: auth.ScopeSuperUser,
	repoRead: auth.ScopeRepoRead, repoWrite: auth.ScopeRepoWrite, repoAdmin: auth.ScopeRepoAdmin}

type route struct {
	method, path string
	access       access
	scope        string // that an OAuth token needs, for signedIn
	fresh        bool   // a session must be fresh
	readOnlyOK   bool   // also when the registry is read-only
	deprecated   bool   // clients should stop calling it
	page         bool   // browsers show it: XHROnly does not count
	handle       func(*server, *call) error
}

// A call is one request.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	route   *route
	params  map[string]string
	id      auth.Identity
	session *store.Session
	rights  store.Rights // of {repo} or {org}
	role    gantry.Role  // in {repo}
}

const (
	maxBody  = 1 << 20
	maxDepth = 32
)

// CookieName is the name of the session cookie unless one is given.
const CookieName = "session"

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	if err := s.serve(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) error {
	c := &call{w: w, r: r}
	if r.URL.Path == "/csrf_token" && r.Method == http.MethodGet {
		if err := s.identify(c); err != nil {
			return err
		}
		token := rand.Text() // nobody's: there is no session to protect
		if c.session != nil {
			token = c.session.CSRF
		}
		return c.json(200, map[string]any{"csrf_token": token})
	}
	if service, kind, ok := callbackOf(r.URL.Path); ok {
		return s.callback(c, service, kind)
	}
	if page := pages[r.URL.Path]; page != nil {
		pageRoute(r)
		return s.servePage(c, page)
	}
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return s.serveWeb(c)
	}
	s.cors(w, r)
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1/")
	if !ok || !utf8.ValidString(path) || strings.ContainsRune(path, 0) { // which no name holds
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	var allowed string
	c.route, c.params, allowed = s.find(r.Method, path)
	if c.route == nil && allowed != "" {
		w.Header().Set("Allow", allowed[2:])
		return gantry.Errorf(gantry.Unsupported, "method", "Method Not Allowed")
	}
	if c.route == nil {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	httpd.SetRoute(r.Context(), "api."+c.route.path)
	if c.route.deprecated {
		w.Header().Set("Deprecation", "true")
	}
	if err := s.identify(c); err != nil {
		return err
	}
	if err := s.admit(c); err != nil {
		return err
	}
	return c.route.handle(s, c)
}

// find returns the route of a path below /api/v1/ and what stands for its {…};
// where there is none, the methods that the path has.
func (s *server) find(method, path string) (found *route, params map[string]string, allowed string) {
	pattern := ""
	for i := range s.routes {
		rt := &s.routes[i]
		// What a path means does not depend on the method: a longer pattern
		// that has not this method is not the name of a nested repository.
		if pattern != "" && rt.path != pattern {
			continue
		}
		params, ok := match(rt.path, path)
		if !ok {
			continue
		}
		if rt.path == wholeRepository && reserved(path) {
			break
		}
		pattern = rt.path
		if rt.method == method || rt.method == "GET" && method == "HEAD" {
			return rt, params, ""
		}
		allowed += ", " + rt.method
	}
	return nil, nil, allowed
}

// match compares a path with a route's. {repo} is namespace/name, where the
// name may hold slashes; every other {x} is one part. A slash at the end does
// not count.
func match(pattern, path string) (map[string]string, bool) {
	want := strings.Split(strings.TrimSuffix(pattern, "/"), "/")
	got := strings.Split(strings.TrimSuffix(path, "/"), "/")
	params := map[string]string{}
	for i, w := range want {
		if w == "{repo}" {
			n := len(got) - (len(want) - i - 1)
			if n-i < 2 {
				return nil, false
			}
			params["repo"] = strings.Join(got[i:n], "/")
			got = append(append(got[:i:i], "{repo}"), got[n:]...)
			break
		}
	}
	if len(got) != len(want) {
		return nil, false
	}
	for i, w := range want {
		if w == "{repo}" {
			continue
		}
		if strings.HasPrefix(w, "{") {
			if got[i] == "" {
				return nil, false
			}
			params[strings.Trim(w, "{}")] = got[i]
		} else if w != got[i] {
			return nil, false
		}
	}
	return params, true
}

func actorOf(r *http.Request) gantry.Actor {
	agent := r.UserAgent()
	a := gantry.Actor{Kind: gantry.ActorAnonymous, Request: telemetry.RequestID(r.Context()),
		Agent: strings.ToValidUTF8(agent[:min(len(agent), 250)], "?")} // a database would refuse others
	if ip := httpd.ClientIP(r.Context()); ip.IsValid() {
		a.IP = ip.String()
	}
	return a
}

// identify finds who calls: a bearer OAuth token, or a session. Basic is not
// taken here.
func (s *server) identify(c *call) (err error) {
	c.id.Actor = actorOf(c.r)
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		if c.id, err = s.bearer(c, strings.TrimSpace(token)); err != nil {
			return err
		}
	case scheme != "":
		// Basic and the like: nobody.
	default:
		k, err := c.r.Cookie(s.CookieName)
		if err != nil || k.Value == "" {
			break
		}
		id, session, err := s.Auth.Session(c.r.Context(), k.Value, c.id.Actor)
		if gantry.Is(err, gantry.Unauthenticated) {
			break // an old cookie is as none
		}
		if err != nil {
			return err
		}
		c.id, c.session = id, &session
	}
	httpd.SetActor(c.r.Context(), c.id.Account.Name)
	return nil
}

var (
	errSignIn = gantry.Errorf(gantry.Unauthenticated, "token", "Requires authentication")
	errDenied = gantry.Errorf(gantry.Denied, "", "Unauthorized")
)

// refuse is the answer to somebody who may not: the same whether the thing is
// there or not.
func (c *call) refuse() error {
	if c.id.Anonymous() {
		return errSignIn
	}
	return errDenied
}

// admit checks everything that a route demands.
func (s *server) admit(c *call) error {
	r := c.r
	if s.XHROnly && !c.route.page && r.Method == http.MethodGet && c.session != nil && strings.Contains(r.UserAgent(), "Mozilla/") &&
		r.Header.Get("X-Requested-With") != "XMLHttpRequest" {
		return gantry.Errorf(gantry.Invalid, "", "API calls must be invoked with an X-Requested-With header if called from a browser")
	}
	change := r.Method != http.MethodGet && r.Method != http.MethodHead
	if change && c.session != nil {
		given := r.Header.Get("X-CSRF-Token")
		if given == "" {
			given = r.URL.Query().Get("_csrf_token")
		}
		if given != c.session.CSRF { // random, and useless to who can time it
			return gantry.Errorf(gantry.Denied, "csrf", "CSRF token was invalid or missing.")
		}
	}
	if change && c.id.Anonymous() { // whatever a page of another site, which CORS may let in, has put into Authorization
		if err := http.NewCrossOriginProtection().Check(r); err != nil {
			return gantry.Errorf(gantry.Denied, "csrf", "Cross-origin requests are refused.")
		}
	}
	set := s.Auth.Settings()
	if change && set.ReadOnly && !c.route.readOnlyOK {
		return &gantry.Error{Code: gantry.ReadOnly, Detail: "System is currently read-only. Pulls will succeed but all write operations are currently suspended."}
	}
	if c.route.access == anybody {
		return nil
	}
	var name gantry.RepoName
	switch c.route.access {
	case signedIn:
		if c.id.Anonymous() || !c.id.Has(c.route.scope) {
			return c.refuse()
		}
	case known:
		if c.id.Anonymous() {
			return c.refuse()
		}
	case superuser:
		if !c.id.Has(auth.ScopeSuperUser) || !c.id.Superuser && (change || !c.id.ReadOnlySuperuser) {
			return c.refuse()
		}
	case nsMember, nsAdmin, nsOrSuper:
		name.Namespace = c.params["org"]
	default:
		ns, repo, _ := strings.Cut(c.params["repo"], "/")
		name = gantry.RepoName{Namespace: ns, Name: repo}
	}
	if name.Namespace != "" {
		var err error
		if c.rights, err = s.Store.RepositoryAccess(r.Context(), c.id.Account.ID, name); err != nil {
			return err
		}
		c.role = c.id.Role(c.rights, set.AnonymousAccess)
		switch c.route.access {
		case nsMember, nsAdmin, nsOrSuper:
			may := c.id.OrgAdmin(c.rights) || !change && c.id.ReadOnlySuperuser && c.id.Has(auth.ScopeOrgAdmin) || c.route.access != nsAdmin && c.rights.Team != "" && c.id.Has(auth.ScopeOrgAdmin)
			if c.route.access == nsOrSuper && c.id.Superuser { // who may know what there is
				break
			}
			if c.rights.Repository.NamespaceKind != gantry.Organization || !may {
				return c.refuse()
			}
		default:
			readAll := !change && c.rights.Repository.ID != 0 && c.id.ReadOnlySuperuser && c.id.Has(auth.ScopeRepoAdmin)
			if !readAll && c.role < gantry.Read+gantry.Role(c.route.access-repoRead) {
				// Who administers the namespace may know what is not there.
				if c.rights.Repository.ID == 0 && c.id.OrgAdmin(c.rights) {
					return gantry.Errorf(gantry.NotFound, "repository", "Not Found")
				}
				return c.refuse()
			}
		}
	}
	if c.route.fresh && c.session != nil && s.Store.Now().Sub(c.session.Fresh) > s.FreshLogin {
		if may, err := s.mayWait(c); err != nil || may {
			return err
		}
		return gantry.Errorf(gantry.Unauthenticated, "fresh login", "The action requires a fresh login to succeed.")
	}
	return nil
}

// body decodes the request's JSON into v; an empty body leaves v as it is
// where that is allowed.
func (c *call) body(v any, optional bool) error {
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return gantry.Errorf(gantry.TooLarge, "body", "The request's body is larger than 1 MiB")
		}
		return gantry.Errorf(gantry.Invalid, "body", "The request's body could not be read")
	}
	if len(b) == 0 && optional {
		return nil
	}
	if deep(b) {
		return gantry.Errorf(gantry.Invalid, "body", "The request's JSON is nested too deeply")
	}
	if bytes.Contains(b, []byte(`\u0000`)) || bytes.IndexByte(b, 0) >= 0 { // no database column takes it
		return gantry.Errorf(gantry.Invalid, "body", "The request's body holds a NUL character")
	}
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) { // which Unmarshal takes for anything
		return gantry.Errorf(gantry.Invalid, "body", "The request's body is null")
	}
	if err := json.Unmarshal(exact(b, reflect.TypeOf(v)), v); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
			return gantry.Errorf(gantry.Invalid, "body", "%s is not of the right type", small(e.Field))
		}
		return gantry.Errorf(gantry.Invalid, "body", "The request's body is not valid JSON")
	}
	return nil
}

// deep reports whether brackets outside of texts nest deeper than maxDepth.
func deep(b []byte) bool {
	depth, text := 0, false
	for i := 0; i < len(b); i++ {
		switch ch := b[i]; {
		case text && ch == '\\':
			i++
		case ch == '"':
			text = !text
		case text:
		case ch == '{' || ch == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case ch == '}' || ch == ']':
			depth--
		}
	}
	return false
}

func (c *call) json(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(b, '\n')) // the client is gone: nobody to tell
	return nil
}

func (c *call) empty() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

type answer struct {
	status int
	kind   string
}

var answers = map[gantry.Code]answer{
	gantry.Invalid:         {400, "invalid_request"},
	gantry.Unauthenticated: {401, "invalid_token"},
	gantry.Denied:          {403, "insufficient_scope"},
	gantry.NotFound:        {404, "not_found"},
	gantry.Conflict:        {400, "invalid_request"},
	gantry.ReadOnly:        {503, "read_only"},
	gantry.TooLarge:        {413, "invalid_request"},
	gantry.Range:           {416, "invalid_request"},
	gantry.Limited:         {429, "rate_limited"},
	gantry.Unavailable:     {503, "downstream_issue"},
	gantry.Unsupported:     {405, "invalid_request"},
}

// fail writes Quay's problem object.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	a, detail := answer{500, "internal_error"}, "internal error"
	e, ok := errors.AsType[*gantry.Error](err)
	if ok {
		a, detail = answers[e.Code], e.Detail
		switch {
		case e.Reason == gantry.LoginBackoff:
			a = answer{429, "rate_limited"}
		case e.Reason == gantry.TagImmutable:
			a = answer{409, "tag_immutable"}
		case e.Object == "fresh login":
			a.kind = "fresh_login_required"
		}
		retryAfter(w, e)
	}
	if a.status >= 500 {
		s.Logger.ErrorContext(r.Context(), "api", "error", err, "path", r.URL.Path)
	}
	v := problem(r, a, detail)
	if ok && e.Code == gantry.ReadOnly && e.Object != "repository" {
		v["is_readonly"] = true // the whole registry
	}
	if a.status == 401 {
		v["session_required"] = false
	}
	_ = (&call{w: w, r: r}).json(a.status, v) // a map of texts encodes
}

// problem is Quay's problem object.
func problem(r *http.Request, a answer, detail string) map[string]any {
	at := url.URL{Scheme: httpd.Scheme(r), Host: httpd.Host(r), Path: "/api/v1/error/" + a.kind}
	return map[string]any{"status": a.status, "error_type": a.kind, "title": a.kind, "type": at.String(),
		"detail": detail, "error_message": detail, "message": detail}
}
