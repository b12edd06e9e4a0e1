package api

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
)

// ExternalOptions are the settings of identities outside.
type ExternalOptions struct {
	Hostname     string // SERVER_HOSTNAME, where login services send the browser back to; "" = the request's host
	Scheme       string // PREFERRED_URL_SCHEME; "" = as the request came
	TeamSyncing  bool   // FEATURE_TEAM_SYNCING
	AnybodySyncs bool   // FEATURE_NONSUPERUSER_TEAM_SYNCING_SETUP: administrators of an organization tie its teams to groups
}

var externalRoutes = []route{
	{method: "POST", path: "externallogin/{service_id}", readOnlyOK: true, handle: (*server).externalLogin},
	{method: "POST", path: "detachexternal/{service_id}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).detachExternal},
	{method: "POST", path: "entities/link/{username}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).linkEntity},
	{method: "POST", path: "organization/{org}/team/{team}/syncing", access: nsAdmin, fresh: true, handle: (*server).syncTeam},
	{method: "DELETE", path: "organization/{org}/team/{team}/syncing", access: nsAdmin, fresh: true, handle: (*server).unsyncTeam},
}

// callbackOf reads the path that a login service sends the browser back to:
// /oauth2/{service}/callback, or with /attach or /cli behind it.
func callbackOf(path string) (service, kind string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/oauth2/")
	if !ok {
		return "", "", false
	}
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] != "callback" {
		return "", "", false
	}
	kind = auth.JourneyLogin
	if len(parts) == 3 {
		if kind = parts[2]; kind != auth.JourneyAttach && kind != auth.JourneyCLI {
			return "", "", false
		}
	}
	return parts[0], kind, true
}

// journeyCookie is the name of the cookie with the ticket of a journey.
func journeyCookie(state string) string { return "journey-" + state[:min(len(state), 16)] }

func (s *server) setJourney(c *call, state, ticket string, seconds int) {
	http.SetCookie(c.w, &http.Cookie{Name: journeyCookie(state), Value: ticket, Path: "/oauth2/", MaxAge: seconds, //nolint:gosec // without TLS it has to work
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.CookieSecure || httpd.Scheme(c.r) == "https"})
}

// externalLogin says where the browser goes to sign in at a login service.
func (s *server) externalLogin(c *call) error {
	site, err := s.Auth.Site(c.params["service_id"])
	if err != nil {
		return err
	}
	var in struct{ Kind string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	j := auth.Journey{Kind: in.Kind}
	tail := ""
	switch in.Kind {
	case auth.JourneyLogin:
	case auth.JourneyAttach:
		if c.session == nil {
			return errSignIn
		}
		j.Account, tail = c.id.Account.ID, "/attach"
	case auth.JourneyCLI:
		if !s.Auth.Settings().AppSpecificTokens {
			return gantry.Errorf(gantry.Invalid, "kind", "kind cli needs application tokens (FEATURE_APP_SPECIFIC_TOKENS)")
		}
		tail = "/cli"
	default:
		return gantry.Errorf(gantry.Invalid, "kind", "kind %.80q is not one of login, attach, cli", in.Kind)
	}
	scheme, host := s.External.Scheme, s.External.Hostname
	if scheme == "" {
		scheme = httpd.Scheme(c.r)
	}
	if host == "" {
		host = httpd.Host(c.r)
	}
	j.Redirect = scheme + "://" + host + "/oauth2/" + site.ID() + "/callback" + tail
	to, state, ticket, err := s.Auth.Depart(c.r.Context(), site, j)
	if err != nil {
		return err
	}
	s.setJourney(c, state, ticket, int(auth.JourneyLife/time.Second))
	return c.json(200, map[string]string{"auth_url": to})
}

// callback answers a browser that comes back from a login service.
func (s *server) callback(c *call, service, kind string) error {
	httpd.SetRoute(c.r.Context(), "web.callback")
	h := c.w.Header()
	h.Set("Referrer-Policy", "no-referrer") // the address holds a code
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	if c.r.Method != http.MethodGet {
		h.Set("Allow", "GET")
		return s.showError(c, gantry.Errorf(gantry.Unsupported, "method", "This address is for a browser that signs in"))
	}
	if err := s.arrive(c, service, kind); err != nil {
		return s.showError(c, err)
	}
	return nil
}

func (s *server) arrive(c *call, service, kind string) error {
	ctx := c.r.Context()
	site, err := s.Auth.Site(service)
	if err != nil {
		return err
	}
	if err := s.identify(c); err != nil {
		return err
	}
	answer := c.r.URL.Query()
	state, ticket := answer.Get("state"), ""
	if k, err := c.r.Cookie(journeyCookie(state)); err == nil {
		ticket = k.Value
	}
	s.setJourney(c, state, "", -1) // once
	j, x, err := s.Auth.Arrive(ctx, site, kind, ticket, answer)
	if err != nil {
		return s.auditExternal(ctx, site, c, err)
	}
	actor := actorOf(c.r)
	if kind == auth.JourneyAttach {
		// A cookie that is Strict does not come along from another site.
		if c.session == nil && s.CookieSameSite != http.SameSiteStrictMode || c.session != nil && c.id.Account.ID != j.Account {
			return gantry.Errorf(gantry.Unauthenticated, "session", "Sign in again, and then attach the login")
		}
		if s.Auth.Settings().ReadOnly {
			return &gantry.Error{Code: gantry.ReadOnly, Detail: "The registry is read-only now: your login cannot be attached."}
		}
		if c.session == nil {
			if c.id.Account, err = s.Store.AccountByID(ctx, j.Account); err != nil {
				return err
			}
			c.id.Actor.Account, c.id.Actor.Name, c.id.Actor.Kind = c.id.Account.ID, c.id.Account.Name, gantry.ActorUser
		}
		if err := s.Auth.Attach(ctx, &c.id, x); err != nil {
			return err
		}
		http.Redirect(c.w, c.r, "/", http.StatusFound)
		return nil
	}
	id, err := s.Auth.Enter(ctx, site, x, actor)
	if err != nil {
		return s.auditExternal(ctx, site, c, err)
	}
	if set := s.Auth.Settings(); set.AuditLogins && !set.ReadOnly {
		if err := s.Store.LogLogin(ctx, "login_success", id.Account.ID, id.Actor, map[string]any{"type": site.ID(), "useragent": id.Actor.Agent}); err != nil {
			return err
		}
	}
	if kind == auth.JourneyCLI {
		return s.showToken(c, &id, site)
	}
	if err := s.startSession(c, &id); err != nil {
		return err
	}
	http.Redirect(c.w, c.r, "/", http.StatusFound)
	return nil
}

// auditExternal writes a sign-in that was refused to the journal, where that
// is wanted.
func (s *server) auditExternal(ctx context.Context, site auth.Site, c *call, err error) error {
	set := s.Auth.Settings()
	if !gantry.Is(err, gantry.Unauthenticated) || !set.AuditLoginFailures || set.ReadOnly {
		return err
	}
	if lerr := s.Store.LogLogin(ctx, "login_failure", 0, actorOf(c.r), map[string]any{"type": site.ID(), "message": detail(err)}); lerr != nil {
		return lerr
	}
	return err
}

// cliTokenLife is how long a token for the command line lives unless
// APP_SPECIFIC_TOKEN_EXPIRATION says so.
const cliTokenLife = 30 * 24 * time.Hour

// showToken makes an application token for the client of somebody who has no
// password here, and shows it.
func (s *server) showToken(c *call, id *auth.Identity, site auth.Site) error {
	set := s.Auth.Settings()
	switch {
	case !set.AppSpecificTokens:
		return gantry.Errorf(gantry.Invalid, "token", "Application tokens are switched off on this registry")
	case set.ReadOnly:
		return &gantry.Error{Code: gantry.ReadOnly, Detail: "The registry is read-only now: a token cannot be made."}
	}
	life := s.AppTokenLife
	if life <= 0 {
		life = cliTokenLife
	}
	_, code, err := s.Auth.NewAppToken(c.r.Context(), id, "Sign-in through "+site.Title(), s.Store.Now().Add(life))
	if err != nil {
		return err
	}
	host := s.External.Hostname
	if host == "" {
		host = httpd.Host(c.r)
	}
	return s.show(c, 200, notice{Title: "You are signed in as " + id.Account.Name, Host: host, Code: code})
}

// showError tells a person what went wrong.
func (s *server) showError(c *call, err error) error {
	a, text := answer{status: 500}, "Something went wrong here. The log of the registry says what."
	if e, ok := errors.AsType[*gantry.Error](err); ok {
		a, text = answers[e.Code], e.Detail
		if a.status == 401 {
			a.status = 403 // there is nothing to type in
		}
		retryAfter(c.w, e)
	}
	if a.status >= 500 {
		s.Logger.ErrorContext(c.r.Context(), "sign-in through a login service", "error", err)
	}
	return s.show(c, a.status, notice{Title: "You could not be signed in", Text: text})
}

type notice struct{ Title, Text, Host, Code string }

var noticePage = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style>body{font-family:sans-serif;max-width:40em;margin:4em auto;padding:0 1em}code{display:block;padding:1em;background:#eee;overflow-wrap:anywhere}</style></head>
<body><h1>{{.Title}}</h1>
{{if .Code}}<p>This token is shown once. It stands for your account in one client, as the password of the user <b>$app</b>:</p>
<code>{{.Code}}</code>
<p>Run this and paste the token when the password is asked for:</p>
<code>podman login --username '$app' {{.Host}}</code>
{{else}}<p>{{.Text}}</p>
<p><a href="/">Back</a></p>
{{end}}</body></html>
`))

func (s *server) show(c *call, status int, p notice) error {
	var b bytes.Buffer
	if err := noticePage.Execute(&b, p); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b.Bytes()) // the browser is gone: nobody to tell
	return nil
}

// detachExternal unties the caller from a login service, unless there is no
// other way to sign in.
func (s *server) detachExternal(c *call) error {
	ctx := c.r.Context()
	site, err := s.Auth.Site(c.params["service_id"])
	if err != nil {
		return err
	}
	logins, err := s.Store.FederatedLogins(ctx, c.id.Account.ID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(logins, func(l store.FederatedLogin) bool { return l.Service == site.ID() }) {
		return c.success(nil)
	}
	other := slices.ContainsFunc(logins, func(l store.FederatedLogin) bool {
		if l.Service == site.ID() {
			return false
		}
		if _, err := s.Auth.Site(l.Service); err == nil {
			return true
		}
		return !s.Auth.Passwords() && l.Service == s.Auth.Provider().Service()
	})
	if !other && (!s.Auth.Passwords() || c.id.Account.PasswordHash == "" || s.NoDirectLogin) {
		return gantry.Errorf(gantry.Invalid, "login", "This is the only way in which you can sign in: set a password, or attach another login, first")
	}
	return c.success(s.Store.DetachLogin(ctx, c.id.Account.ID, site.ID(), c.id.Actor))
}

// loginViews are who the caller is at services outside.
func (s *server) loginViews(c *call) ([]any, error) {
	logins, err := s.Store.FederatedLogins(c.r.Context(), c.id.Account.ID)
	list := []any{}
	for _, l := range logins {
		metadata := l.Metadata
		if metadata == nil {
			metadata = map[string]string{}
		}
		list = append(list, map[string]any{"service": l.Service, "service_identifier": l.Ident, "metadata": metadata})
	}
	return list, err
}

// errKept is the answer to a password that is not kept here.
func (s *server) errKept() error {
	return gantry.Errorf(gantry.Invalid, "password", "Users and their passwords are kept by another service (AUTHENTICATION_TYPE): change them there")
}

// bearer finds whose token it is: one of this registry, or of a login service.
func (s *server) bearer(c *call, token string) (auth.Identity, error) {
	if len(s.Auth.Sites()) > 0 && auth.LooksSSO(token) {
		return s.Auth.SSO(c.r.Context(), token, c.id.Actor)
	}
	return s.Auth.OAuth(c.r.Context(), token, c.id.Actor)
}

// mayWait reports whether a session that is not fresh may go on: nobody can
// ask its user for the password again.
func (s *server) mayWait(c *call) (bool, error) {
	can, err := s.Auth.CanConfirm(c.r.Context(), &c.id.Account)
	return !can, err
}

// linkEntity gives somebody of the directory an account.
func (s *server) linkEntity(c *call) error {
	if s.Auth.Passwords() {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	a, err := s.Auth.Link(c.r.Context(), c.params["username"], c.id.Actor)
	switch {
	case gantry.Is(err, gantry.NotFound) || gantry.Is(err, gantry.Unauthenticated):
		return gantry.Errorf(gantry.Invalid, "account", "%s", detail(err))
	case err != nil:
		return err
	}
	return c.json(200, map[string]any{"entity": map[string]any{"name": a.Name, "kind": "user", "is_robot": false, "avatar": accountAvatar(a.Name, a.Kind)}})
}

// findTime bounds a search in the directory, and findAtOnce how many run.
const (
	findTime   = 3 * time.Second
	findAtOnce = 4
)

// externalEntities finds users of the directory who have no account yet. A
// directory that does not answer finds nobody.
func (s *server) externalEntities(c *call, prefix string) ([]any, error) {
	d, ok := s.Auth.Provider().(auth.Directory)
	if prefix = strings.TrimSpace(prefix); !ok || prefix == "" {
		return nil, nil
	}
	select {
	case s.finding <- struct{}{}:
		defer func() { <-s.finding }()
	default:
		return nil, nil // others look already: who types on asks again
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), findTime)
	defer cancel()
	found, err := d.Search(ctx, prefix, maxEntities)
	if err != nil {
		s.Logger.WarnContext(c.r.Context(), "search the directory", "error", err)
		return nil, nil
	}
	idents := make([]string, len(found))
	for i, x := range found {
		idents[i] = x.Ident
	}
	have, err := s.Store.FederatedAccounts(c.r.Context(), s.Auth.Provider().Service(), idents)
	if err != nil {
		return nil, err
	}
	var list []any
	for _, x := range found {
		if _, there := have[x.Ident]; there {
			continue
		}
		v := map[string]any{"name": x.Username, "kind": "external", "is_robot": false, "avatar": avatar(x.Username, "user")}
		if x.Email != "" {
			v["title"] = x.Email
		}
		list = append(list, v)
	}
	return list, nil
}

// groups is the service whose groups teams can follow; nil = there is none.
func (s *server) groups() auth.GroupDirectory {
	d, ok := s.Auth.Provider().(auth.GroupDirectory)
	if !ok || !s.External.TeamSyncing {
		return nil
	}
	return d
}

// maySync reports whether the caller, who administers the organization, ties
// its teams to groups.
func (s *server) maySync(c *call) bool {
	return s.External.AnybodySyncs || c.id.Superuser
}

// syncView adds to what is told of a team which group it follows.
func (s *server) syncView(c *call, g store.Team, v map[string]any) error {
	d := s.groups()
	allowed := d != nil && c.id.OrgAdmin(c.rights) && s.maySync(c)
	if allowed {
		can := map[string]any{"service": s.Auth.Provider().Service()}
		for name, text := range d.SyncInfo() {
			can[name] = text
		}
		v["can_sync"] = can
	}
	if !g.Synced {
		return nil
	}
	y, err := s.Store.TeamSync(c.r.Context(), g.ID)
	if gantry.Is(err, gantry.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	synced := map[string]any{"service": y.Service}
	if allowed {
		synced["last_updated"], synced["config"] = nil, y.Config
		if !y.Updated.IsZero() {
			synced["last_updated"] = date(y.Updated)
		}
	}
	v["synced"] = synced
	return nil
}

// followed refuses to change by hand who is in a team that follows a group.
// Robots come and go.
func followed(g store.Team, a store.Account) error {
	if g.Synced && a.Kind != gantry.Robot {
		return gantry.Errorf(gantry.Invalid, "team", "The members of this team follow a group of another service: change them there")
	}
	return nil
}

func (s *server) syncTeam(c *call) error {
	var in struct {
		DN   string `json:"group_dn"`
		ID   string `json:"group_id"`
		Name string `json:"group_name"`
	}
	d := s.groups()
	if d == nil {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	if !s.maySync(c) {
		return errDenied
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	g, err := c.team(s)
	if err != nil {
		return err
	}
	given := map[string]string{}
	for name, text := range map[string]string{"group_dn": in.DN, "group_id": in.ID, "group_name": in.Name} {
		if text != "" {
			given[name] = text
		}
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), 30*time.Second)
	defer cancel()
	config, err := d.Group(ctx, given)
	if err != nil {
		return err
	}
	if err := s.Store.SetTeamSync(ctx, g, s.Auth.Provider().Service(), config, c.id.Actor); err != nil {
		return err
	}
	g.Synced = true
	return c.json(200, teamView(g, true))
}

func (s *server) unsyncTeam(c *call) error {
	if !s.External.TeamSyncing {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	if !s.maySync(c) {
		return errDenied
	}
	g, err := c.team(s)
	if err != nil {
		return err
	}
	if err := s.Store.RemoveTeamSync(c.r.Context(), g, c.id.Actor); err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	g.Synced = false
	return c.json(200, teamView(g, true))
}
