package api

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
)

// WebOptions are for what is served outside of /api/v1. The zero value works.
type WebOptions struct {
	CORSOrigins    []string // CORS_ORIGIN: whose pages may call the API with a token, "*" = all; nil = none
	TrustedClients []string // DIRECT_OAUTH_CLIENTID_WHITELIST: client ids of applications that need no consent
	NoAssign       bool     // not FEATURE_ASSIGN_OAUTH_TOKEN: administrators assign no tokens to others
	LocalHandler   string   // LOCAL_OAUTH_HANDLER, the path of the page that shows a token; "" = /oauth/localapp
	Hostname       string   // SERVER_HOSTNAME; "" = as each request came
	Scheme         string   // PREFERRED_URL_SCHEME; "" = as each request came
	Title          string   // REGISTRY_TITLE
	Version        string   // of the program, for superusers

	Federation *auth.Federation // exchanges tokens of other issuers for those of robots; nil = nobody does
	// Assigned and KeySubmitted tell of what somebody else has to answer to;
	// nil = nobody is told.
	Assigned     func(ctx context.Context, user gantry.AccountID, s store.Assignment)
	KeySubmitted func(ctx context.Context, k store.ServiceKey)
	// Boot returns what the page of the web console needs of the
	// configuration: config and features. Nil = nothing.
	Boot func() (config, features map[string]any)
	// Bus carries the events of users, on the topics of UserTopic; nil = there
	// are none, as without FEATURE_USER_EVENTS.
	Bus bus.Bus
	// Stopping reports that the process ends, and streams with it; nil = never.
	Stopping func() bool
}

// localHandler is the usual path of the page that shows a token.
const localHandler = "/oauth/localapp"

type webRoute struct {
	method, path string
	page         bool // errors are pages, too
	readOnlyOK   bool // also when the registry is read-only
	handle       func(*server, *call) error
}

// webRoutes are the routes outside of /api/v1, without their first slash.
var webRoutes = []webRoute{
	{method: "GET", path: "oauth/authorize", page: true, handle: (*server).oauthAuthorize},
	{method: "POST", path: "oauth/authorizeapp", page: true, handle: (*server).oauthGrant},
	{method: "POST", path: "oauth/denyapp", page: true, readOnlyOK: true, handle: (*server).oauthDeny},
	{method: "POST", path: "oauth/authorize/assignuser", page: true, handle: (*server).oauthAssign},
	{method: "POST", path: "oauth/access_token", handle: (*server).oauthExchange},
	{method: "GET", path: "oauth/localapp", page: true, handle: (*server).oauthLocal},
	{method: "GET", path: "oauth/signin", page: true, handle: (*server).signInPage},
	{method: "POST", path: "oauth/signin", page: true, readOnlyOK: true, handle: (*server).signInForm},
	{method: "GET", path: "oauth2/federation/robot/token", readOnlyOK: true, handle: (*server).exchangeRobotToken},
	{method: "GET", path: "keys/services/{service}/keys", handle: (*server).serveKeys},
	{method: "GET", path: "keys/services/{service}/keys/{kid}", handle: (*server).serveKey},
	{method: "PUT", path: "keys/services/{service}/keys/{kid}", handle: (*server).submitKey},
	{method: "DELETE", path: "keys/services/{service}/keys/{kid}", handle: (*server).withdrawKey},
	{method: "GET", path: "config", handle: (*server).bootConfig},
	{method: "GET", path: ".well-known/app-capabilities", handle: (*server).appCapabilities},
	{method: "GET", path: "robots.txt", handle: (*server).robotsText},
	{method: "GET", path: "opensearch.xml", handle: (*server).openSearch},
	{method: "GET", path: "repository/{repo}/status", handle: (*server).badge},
	{method: "GET", path: "realtime/user/subscribe", handle: (*server).subscribe},
	{method: "GET", path: "realtime/user/test", handle: (*server).testEvent},
	{method: "GET", path: "secscan/_backfill_status", handle: (*server).backfillStatus},
}

// Serves reports whether the handler of New answers a path that is not of
// /api/v1; local is WebOptions.LocalHandler.
func Serves(path, local string) bool {
	if _, _, ok := callbackOf(path); ok || pages[path] != nil {
		return true
	}
	found, _, allowed := findWeb("", path, local)
	return found != nil || allowed != ""
}

// findWeb is find for webRoutes.
func findWeb(method, path, local string) (found *webRoute, params map[string]string, allowed string) {
	if local != "" && path == local {
		path = localHandler
	}
	path, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, nil, ""
	}
	for i := range webRoutes {
		rt := &webRoutes[i]
		params, ok := match(rt.path, path)
		if !ok {
			continue
		}
		if rt.method == method || rt.method == "GET" && method == "HEAD" {
			return rt, params, ""
		}
		allowed += ", " + rt.method
	}
	return nil, nil, allowed
}

// serveWeb answers a path outside of /api/v1.
func (s *server) serveWeb(c *call) error {
	path := c.r.URL.Path
	if !utf8.ValidString(path) || strings.ContainsRune(path, 0) {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	rt, params, allowed := findWeb(c.r.Method, path, s.Web.LocalHandler)
	switch {
	case rt == nil && allowed != "":
		c.w.Header().Set("Allow", allowed[2:])
		return gantry.Errorf(gantry.Unsupported, "method", "Method Not Allowed")
	case rt == nil:
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	httpd.SetRoute(c.r.Context(), "web."+rt.path)
	c.params = params
	err := s.readOnlyNow(rt)
	if err == nil {
		err = rt.handle(s, c)
	}
	if err != nil && rt.page && c.r.Method != http.MethodHead && !c.wantsJSON() {
		return s.failPage(c, err)
	}
	return err
}

func (s *server) readOnlyNow(rt *webRoute) error {
	if rt.method != http.MethodGet && !rt.readOnlyOK && s.Auth.Settings().ReadOnly {
		return &gantry.Error{Code: gantry.ReadOnly, Detail: "System is currently read-only. Pulls will succeed but all write operations are currently suspended."}
	}
	return nil
}

// base is where the registry is, as its clients see it, without a slash at the
// end.
func (s *server) base(r *http.Request) string {
	scheme, host := s.Web.Scheme, s.Web.Hostname
	if scheme == "" {
		scheme = httpd.Scheme(r)
	}
	if host == "" {
		host = httpd.Host(r)
	}
	return scheme + "://" + host
}

// cors lets pages of other origins call the API, as CORS_ORIGIN says. Cookies
// do not come with such calls, so that a page has what its token gives it, or
// what is public.
func (s *server) cors(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" || len(s.Web.CORSOrigins) == 0 {
		return
	}
	h := w.Header()
	allowed := ""
	for _, o := range s.Web.CORSOrigins {
		if o == "*" {
			allowed = "*"
			break
		}
		if strings.EqualFold(strings.TrimSuffix(o, "/"), origin) {
			allowed = origin
		}
	}
	if allowed != "*" {
		h.Add("Vary", "Origin")
	}
	if allowed == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", allowed)
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Requested-With")
		h.Set("Access-Control-Max-Age", "86400")
	}
}
