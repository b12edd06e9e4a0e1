package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// The OAuth 2 flows: an administrator of an application's organization lets it
// have a token that acts as him, directly (response_type=token) or by a code
// that it exchanges with its secret (response_type=code).

//go:embed oauth.html.tmpl
var oauthPages string

var oauthTemplates = template.Must(template.New("").Parse(oauthPages))

const maxForm = 64 << 10

// form reads the form in the body; what stands in the address is not taken:
// addresses are logged, and bodies are not.
func (c *call) form() (url.Values, error) {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
	if err := c.r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, gantry.Errorf(gantry.TooLarge, "body", "The form is larger than 64 KiB")
		}
		return nil, gantry.Errorf(gantry.Invalid, "body", "The request's body must be a form, application/x-www-form-urlencoded")
	}
	for _, list := range c.r.PostForm {
		if strings.ContainsRune(strings.Join(list, ""), 0) {
			return nil, gantry.Errorf(gantry.Invalid, "body", "The request's body holds a NUL character")
		}
	}
	return c.r.PostForm, nil
}

// wantsJSON reports whether a page is wanted as JSON.
func (c *call) wantsJSON() bool { return c.r.URL.Query().Get("format") == "json" }

// page answers with a page. formAction is where its forms may lead besides this
// site, script the hash of the one script that it has.
func (c *call) page(status int, name string, data any, formAction, script string) error {
	var b bytes.Buffer
	if err := oauthTemplates.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	policy := "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
	if formAction != "" {
		policy += " " + formAction
	}
	if script != "" {
		policy += "; script-src '" + script + "'"
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // addresses here hold states and codes
	h.Set("Cache-Control", "no-store")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b.Bytes()) // the client is gone: nobody to tell
	return nil
}

// retryAfter says when to try again, if e knows.
func retryAfter(w http.ResponseWriter, e *gantry.Error) {
	if e.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.Retry+time.Second-1)/time.Second)))
	}
}

// failPage shows an error to people.
func (s *server) failPage(c *call, err error) error {
	e, ok := errors.AsType[*gantry.Error](err)
	if !ok || answers[e.Code].status >= 500 && e.Code != gantry.ReadOnly && e.Code != gantry.Unavailable {
		return err
	}
	status := answers[e.Code].status
	if e.Reason == gantry.LoginBackoff {
		status = http.StatusTooManyRequests
	}
	retryAfter(c.w, e)
	return c.page(status, "message", map[string]any{"Title": s.Web.Title, "Text": e.Detail}, "", "")
}

// An authorization is what an application asks for.
type authorization struct {
	app        store.Application
	redirect   string // as it was asked for
	internal   bool   // the redirect is the registry's own page
	kind       string // code or token
	scope      string
	state      string
	challenge  string
	assignment string // uuid; "" = the caller acts as administrator
}

// An oauthError is told to the application.
type oauthError struct{ code, text string }

func (e *oauthError) Error() string { return e.code + ": " + e.text }

// errRedirect is for an application that asks to lead the browser to where it
// has not said that it is.
var errRedirect = gantry.Errorf(gantry.Invalid, "redirect_uri", "redirect_uri does not begin with the one that the application has registered (redirect_uri_mismatch)")

// authorizationOf reads what an application asks for. An error other than
// *oauthError is not for the application: it may be somebody else who asks in
// its name.
func (s *server) authorizationOf(c *call, q url.Values, kind string) (a authorization, err error) {
	if a.app, err = s.Store.Application(c.r.Context(), cleanID(q.Get("client_id"))); err != nil {
		if gantry.Is(err, gantry.NotFound) {
			err = gantry.Errorf(gantry.NotFound, "application", "There is no OAuth application with this client_id")
		}
		return a, err
	}
	a.redirect, a.state, a.kind, a.assignment = q.Get("redirect_uri"), q.Get("state"), q.Get("response_type"), cleanID(q.Get("assignment_uuid"))
	for _, own := range []string{localHandler, s.Web.LocalHandler} {
		a.internal = a.internal || own != "" && a.redirect == s.base(c.r)+own
	}
	if !a.internal && !redirectAllowed(a.app.RedirectURI, a.redirect) {
		return a, errRedirect
	}
	if a.kind == "" {
		a.kind = kind
	}
	if a.kind != "code" && a.kind != "token" {
		return a, &oauthError{"unsupported_response_type", "response_type must be code or token"}
	}
	if len(a.state) > 4096 {
		return a, &oauthError{"invalid_request", "state is longer than 4096 bytes"}
	}
	if strings.TrimSpace(strings.ReplaceAll(q.Get("scope"), ",", "")) == "" {
		return a, &oauthError{"invalid_scope", "scope is required"}
	}
	if a.scope, err = auth.CheckScopes(q.Get("scope")); err != nil {
		return a, &oauthError{"invalid_scope", detail(err)}
	}
	if slices.Contains(strings.Fields(a.scope), auth.ScopeSuperUser) && !s.Auth.Settings().SuperUsers {
		return a, &oauthError{"invalid_scope", "this registry has no superusers"}
	}
	if a.challenge = q.Get("code_challenge"); a.challenge != "" || q.Get("code_challenge_method") != "" {
		raw, err := base64.RawURLEncoding.DecodeString(a.challenge)
		if q.Get("code_challenge_method") != "S256" || err != nil || len(raw) != sha256.Size || a.kind != "code" {
			return a, &oauthError{"invalid_request", "code_challenge must be one of the method S256, for a code"}
		}
	}
	return a, nil
}

// cleanID drops what no id is, and some database would refuse.
func cleanID(id string) string {
	if len(id) > 64 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "-"
	}
	return id
}

// redirectAllowed reports whether an application that registered one address
// may have the browser led to another: to the same, or to one below it. Quay
// compares the beginning of the text alone, by which good.example leads to
// good.example.evil; here the host must be the same, and a part of the path
// ends where the registered one does.
func redirectAllowed(registered, asked string) bool {
	if registered == "" || asked == "" || len(asked) > 4000 || strings.ContainsAny(asked, "\\#") || strings.ContainsFunc(asked, func(r rune) bool { return r <= ' ' || r == 0x7f }) ||
		checkRedirect(registered) != nil {
		return false
	}
	if asked == registered {
		return true
	}
	want, err := url.Parse(registered)
	if err != nil {
		return false
	}
	got, err := url.Parse(asked)
	if err != nil || !strings.HasPrefix(asked, registered) || got.Scheme != want.Scheme || got.Host != want.Host || got.Opaque != "" || got.User != nil || want.User != nil {
		return false
	}
	if want.RawQuery != "" || want.ForceQuery { // more parameters
		return got.Path == want.Path && (strings.HasSuffix(registered, "?") || strings.HasPrefix(asked[len(registered):], "&"))
	}
	if hiddenDots.MatchString(got.EscapedPath()) {
		return false
	}
	if got.Path != "" && got.Path != "/" && path.Clean(got.Path) != strings.TrimSuffix(got.Path, "/") {
		return false // .. and the like
	}
	rest := asked[len(registered):]
	return strings.HasSuffix(registered, "/") || rest[0] == '/' || rest[0] == '?'
}

// hiddenDots are what some servers read as ., / and \\ of a path.
var hiddenDots = regexp.MustCompile(`(?i)%(2e|2f|5c)`)

// back leads the browser to the application with parameters.
func (a *authorization) back(c *call, v url.Values) error {
	if a.state != "" {
		v.Set("state", a.state)
	}
	to := a.redirect
	switch {
	case a.kind == "token":
		to += "#" + v.Encode()
	case strings.Contains(to, "?"):
		to += "&" + v.Encode()
	default:
		to += "?" + v.Encode()
	}
	h := c.w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	c.w.WriteHeader(http.StatusFound)
	return nil
}

// tell leads the browser back with an error that is for the application; any
// other is returned.
func (a *authorization) tell(c *call, err error) error {
	e, ok := errors.AsType[*oauthError](err)
	if !ok {
		return err
	}
	if c.wantsJSON() {
		return gantry.Errorf(gantry.Invalid, e.code, "%s: %s", e.code, e.text)
	}
	return a.back(c, url.Values{"error": {e.code}, "error_description": {e.text}})
}

// mayAuthorize holds that the caller may let the application act as him: that
// he administers its organization, or that somebody who does has asked him to.
func (s *server) mayAuthorize(c *call, a *authorization) error {
	if a.assignment != "" {
		if s.Web.NoAssign {
			return errNoAssign
		}
		x, err := s.assignmentOf(c, a.assignment)
		if err != nil {
			return err
		}
		if x.Application.ID != a.app.ID || x.Scope != a.scope || x.RedirectURI != a.redirect || x.ResponseType != a.kind {
			return gantry.Errorf(gantry.Denied, "assignment", "This is not what you were asked to let the application do")
		}
		return nil
	}
	rights, err := s.Store.RepositoryAccess(c.r.Context(), c.id.Account.ID, gantry.RepoName{Namespace: a.app.OrganizationName})
	if err != nil {
		return err
	}
	if !c.id.OrgAdmin(rights) {
		return gantry.Errorf(gantry.Denied, "application", "Only administrators of the organization %s may authorize its application %s", a.app.OrganizationName, a.app.Name)
	}
	return nil
}

var errNoAssign = gantry.Errorf(gantry.NotFound, "route", "Tokens are not assigned on this registry (FEATURE_ASSIGN_OAUTH_TOKEN)")

// assignmentOf finds one that waits for the caller.
func (s *server) assignmentOf(c *call, uuid string) (store.Assignment, error) {
	all, err := s.Store.Assignments(c.r.Context(), c.id.Account.ID)
	if err != nil {
		return store.Assignment{}, err
	}
	i := slices.IndexFunc(all, func(x store.Assignment) bool { return x.UUID == uuid })
	if i < 0 {
		return store.Assignment{}, gantry.Errorf(gantry.NotFound, "assignment", "Nobody asks you for this, or you have answered already")
	}
	return all[i], nil
}

// browser identifies who sits at the browser. A token of any kind is nobody:
// it could get itself more than it has.
func (s *server) browser(c *call) error {
	if c.r.Header.Get("Authorization") != "" {
		c.id = auth.Identity{Actor: actorOf(c.r)}
		return nil
	}
	return s.identify(c)
}

func (s *server) oauthAuthorize(c *call) error {
	if err := s.browser(c); err != nil {
		return err
	}
	a, err := s.authorizationOf(c, c.r.URL.Query(), "code")
	if err != nil {
		return a.tell(c, err)
	}
	if c.session == nil {
		if c.wantsJSON() {
			return errSignIn
		}
		c.w.Header().Set("Location", "/oauth/signin?"+url.Values{"next": {c.r.URL.RequestURI()}}.Encode())
		c.w.WriteHeader(http.StatusFound)
		return nil
	}
	if err := s.mayAuthorize(c, &a); err != nil {
		return err
	}
	if slices.Contains(s.Web.TrustedClients, a.app.ClientID) && !a.internal && a.assignment == "" && !c.wantsJSON() && !s.Auth.Settings().ReadOnly {
		return s.grant(c, &a)
	}
	return s.askConsent(c, &a)
}

func (s *server) askConsent(c *call, a *authorization) error {
	texts := auth.ScopeTexts(a.scope)
	danger := slices.ContainsFunc(texts, func(t auth.ScopeText) bool { return t.Dangerous })
	fields := [][2]string{{"client_id", a.app.ClientID}, {"redirect_uri", a.redirect}, {"scope", a.scope}, {"response_type", a.kind}, {"state", a.state},
		{"_csrf_token", c.session.CSRF}}
	if a.challenge != "" {
		fields = append(fields, [2]string{"code_challenge", a.challenge}, [2]string{"code_challenge_method", "S256"})
	}
	if a.assignment != "" {
		fields = append(fields, [2]string{"assignment_uuid", a.assignment})
	}
	if !c.wantsJSON() {
		return c.page(200, "authorize", map[string]any{"Title": s.Web.Title, "App": a.app, "User": c.id.Account.Name, "Scopes": texts, "Dangerous": danger,
			"Redirect": a.redirect, "Internal": a.internal, "Fields": fields}, formAction(a.redirect), "")
	}
	g := authorizationView(store.Grant{Scope: a.scope, Application: &a.app})
	delete(g, "uuid")
	g["has_dangerous_scopes"], g["username"] = danger, c.id.Account.Name
	for _, f := range fields {
		if f[0] != "scope" {
			g[f[0]] = f[1]
		}
	}
	g["scope"] = a.scope
	c.w.Header().Set("Cache-Control", "no-store")
	return c.json(200, g)
}

var plainHost = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]+)?$`)

// formAction is a redirect's place for the policy of a page whose form leads
// there.
func formAction(redirect string) string {
	u, err := url.Parse(redirect)
	switch {
	case err != nil:
		return ""
	case (u.Scheme == "http" || u.Scheme == "https") && plainHost.MatchString(u.Host):
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":" // url.Parse takes letters, digits, + - . alone
}

// consent reads a form of askConsent. Who sends it has a session and its CSRF
// token, or, for an application that needs no consent, a user's password.
func (s *server) consent(c *call) (a authorization, err error) {
	v, err := c.form()
	if err != nil {
		return a, err
	}
	if user, password, ok := auth.ParseBasic(c.r.Header.Get("Authorization")); ok && slices.Contains(s.Web.TrustedClients, v.Get("client_id")) {
		if c.id, err = s.Auth.Basic(c.r.Context(), user, password, actorOf(c.r)); err != nil {
			return a, err
		}
		if c.id.Actor.Kind != gantry.ActorUser {
			return a, errDenied
		}
	} else {
		if err := s.browser(c); err != nil {
			return a, err
		}
		if c.session == nil {
			return a, errSignIn
		}
		if v.Get("_csrf_token") != c.session.CSRF { // random, and useless to who can time it
			return a, gantry.Errorf(gantry.Denied, "csrf", "CSRF token was invalid or missing.")
		}
	}
	return s.authorizationOf(c, v, "token")
}

func (s *server) oauthGrant(c *call) error {
	a, err := s.consent(c)
	if err != nil {
		return a.tell(c, err)
	}
	if err := s.mayAuthorize(c, &a); err != nil {
		return err
	}
	return s.grant(c, &a)
}

func (s *server) oauthDeny(c *call) error {
	a, err := s.consent(c)
	if err != nil {
		return a.tell(c, err)
	}
	return a.back(c, url.Values{"error": {"access_denied"}})
}

// grant gives the application what it asks for.
func (s *server) grant(c *call, a *authorization) error {
	ctx := c.r.Context()
	if a.kind == "code" {
		code, row := s.Auth.MakeOAuthCode()
		row.Account, row.Scope, row.RedirectURI, row.Challenge = c.id.Account.ID, a.scope, a.redirect, a.challenge
		if err := s.Store.CreateOAuthCode(ctx, a.app, row, a.assignment); err != nil {
			return err
		}
		return a.back(c, url.Values{"code": {code}})
	}
	token, row := s.Auth.MakeOAuthToken(a.scope, maxTokenLife)
	row.Account = c.id.Account.ID
	if err := s.Store.GrantOAuthToken(ctx, a.app, row, a.assignment, c.id.Actor); err != nil {
		return err
	}
	return a.back(c, url.Values{"access_token": {token}, "token_type": {"Bearer"}, "expires_in": {strconv.Itoa(int(maxTokenLife / time.Second))}, "scope": {a.scope}})
}

// oauthExchange is the token endpoint: an application shows its secret and a
// code. Its errors are those of RFC 6749.
func (s *server) oauthExchange(c *call) error {
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set("Pragma", "no-cache")
	refuse := func(code, text string) error {
		status := 400
		if code == "invalid_client" && c.r.Header.Get("Authorization") != "" {
			status = 401
			c.w.Header().Set("WWW-Authenticate", `Basic realm="oauth"`)
		}
		return c.json(status, map[string]string{"error": code, "error_description": text})
	}
	v, err := c.form()
	if err != nil {
		if gantry.Is(err, gantry.Invalid) {
			return refuse("invalid_request", detail(err))
		}
		return err
	}
	if v.Get("grant_type") != "authorization_code" {
		return refuse("unsupported_grant_type", "grant_type must be authorization_code")
	}
	id, secret := v.Get("client_id"), v.Get("client_secret")
	if user, password, ok := auth.ParseBasic(c.r.Header.Get("Authorization")); ok {
		if id != "" && id != user || secret != "" {
			return refuse("invalid_request", "The application's secret comes twice")
		}
		id, secret = user, password
	}
	ctx := c.r.Context()
	app, err := s.Store.Application(ctx, cleanID(id))
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	good := false
	if err == nil {
		if good, err = s.Auth.CheckClientSecret(app, secret); err != nil {
			return err
		}
	}
	if !good {
		return refuse("invalid_client", "client_id or client_secret is wrong")
	}
	wrong := func() error {
		return refuse("invalid_grant", "The code is not valid (any more), or it was made for another redirect_uri or code_verifier")
	}
	code := v.Get("code")
	name, ok := auth.OAuthCodeName(code)
	if !ok {
		return wrong()
	}
	token, row := s.Auth.MakeOAuthToken("", maxTokenLife)
	got, err := s.Store.RedeemOAuthCode(ctx, app, name, func(row store.OAuthCode) error {
		return auth.CheckOAuthCode(row, code, v.Get("redirect_uri"), v.Get("code_verifier"))
	}, row, actorOf(c.r))
	if gantry.Is(err, gantry.NotFound) {
		return wrong()
	}
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(maxTokenLife / time.Second), "scope": got.Scope, "refresh_token": nil})
}

// oauthAssign asks another user to let the application have a token of his.
func (s *server) oauthAssign(c *call) error {
	if s.Web.NoAssign {
		return errNoAssign
	}
	v, err := c.form()
	if err != nil {
		return err
	}
	// Clients send the parameters in the address, browsers in the form.
	q := c.r.URL.Query()
	for name, list := range v {
		q[name] = list
	}
	if err := s.browser(c); err != nil {
		return err
	}
	if c.session == nil {
		return errSignIn
	}
	given := c.r.Header.Get("X-CSRF-Token")
	if given == "" {
		given = q.Get("_csrf_token")
	}
	if given != c.session.CSRF { // random, and useless to who can time it
		return gantry.Errorf(gantry.Denied, "csrf", "CSRF token was invalid or missing.")
	}
	a, err := s.authorizationOf(c, q, "code")
	if e, ok := errors.AsType[*oauthError](err); ok {
		err = gantry.Errorf(gantry.Invalid, e.code, "%s: %s", e.code, e.text)
	}
	if err != nil {
		return err
	}
	a.assignment = ""
	if err := s.mayAuthorize(c, &a); err != nil {
		return err
	}
	ctx := c.r.Context()
	name := q.Get("username")
	user, err := s.Store.Account(ctx, name[:min(len(name), 300)])
	if gantry.Is(err, gantry.NotFound) || err == nil && (user.Kind != gantry.User || !user.Enabled) {
		return gantry.Errorf(gantry.Invalid, "account", "Invalid username: %.300s", name)
	}
	if err != nil {
		return err
	}
	x := store.Assignment{Application: a.app, Account: user.ID, AccountName: user.Name, Scope: a.scope, RedirectURI: a.redirect, ResponseType: a.kind}
	if x.UUID, err = s.Store.CreateAssignment(ctx, x, c.id.Actor); err != nil {
		return err
	}
	if s.Web.Assigned != nil {
		s.Web.Assigned(ctx, user.ID, x)
	}
	if c.wantsJSON() {
		return c.json(200, map[string]string{"message": "Token assigned successfully"})
	}
	return c.page(200, "message", map[string]any{"Title": s.Web.Title, "Text": "Token assigned successfully"}, "", "")
}

// localScript shows the token that stands behind the # of the page's address,
// and takes it out of there.
const localScript = `(function () {
  var v = new URLSearchParams(location.hash.slice(1)), q = new URLSearchParams(location.search);
  var text = v.get("access_token") || q.get("code"), error = v.get("error") || q.get("error");
  document.getElementById("what").textContent = error ? "The application got no token: " + error : v.get("access_token") ? "Your access token:" : text ? "Your code:" : "There is no token here.";
  document.getElementById("token").textContent = text || "";
  history.replaceState(null, "", location.pathname);
})();`

var localScriptHash = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(localScript))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
})

func (s *server) oauthLocal(c *call) error {
	return c.page(200, "local", map[string]any{"Title": s.Web.Title, "Script": template.JS(localScript)}, "", localScriptHash()) //nolint:gosec // a constant
}

var assignedRoutes = []route{
	{method: "GET", path: "user/assignedauthorization", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listAssignments},
	{method: "DELETE", path: "user/assignedauthorization/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).deleteAssignment},
}

func (s *server) listAssignments(c *call) error {
	if s.Web.NoAssign {
		return errNoAssign
	}
	all, err := s.Store.Assignments(c.r.Context(), c.id.Account.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, x := range all {
		v := authorizationView(store.Grant{UUID: x.UUID, Scope: x.Scope, Application: &x.Application})
		v["redirectUri"], v["responseType"] = x.RedirectURI, x.ResponseType
		list = append(list, v)
	}
	return c.json(200, map[string]any{"authorizations": list})
}

func (s *server) deleteAssignment(c *call) error {
	if s.Web.NoAssign {
		return errNoAssign
	}
	x, err := s.assignmentOf(c, c.params["uuid"])
	if err != nil {
		return err
	}
	if err := s.Store.DeleteAssignment(c.r.Context(), x, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}
