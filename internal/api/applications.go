package api

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// applicationRoutes are for OAuth applications and the tokens made for them.
var applicationRoutes = []route{
	{method: "GET", path: "app/{client}", handle: (*server).getApp},
	{method: "GET", path: "organization/{org}/applications", access: nsAdmin, handle: (*server).listApplications},
	{method: "POST", path: "organization/{org}/applications", access: nsAdmin, handle: (*server).createApplication},
	{method: "GET", path: "organization/{org}/applications/{client}", access: nsAdmin, handle: (*server).getApplication},
	{method: "PUT", path: "organization/{org}/applications/{client}", access: nsAdmin, handle: (*server).putApplication},
	{method: "DELETE", path: "organization/{org}/applications/{client}", access: nsAdmin, handle: (*server).deleteApplication},
	{method: "POST", path: "organization/{org}/applications/{client}/resetclientsecret", access: nsAdmin, handle: (*server).resetApplication},
	{method: "GET", path: "organization/{org}/applications/{client}/tokens", access: nsAdmin, handle: (*server).listApplicationTokens},
	{method: "POST", path: "organization/{org}/applications/{client}/tokens", access: nsAdmin, handle: (*server).createApplicationToken},
	{method: "DELETE", path: "organization/{org}/applications/{client}/tokens/{uuid}", access: nsAdmin, handle: (*server).deleteApplicationToken},
	{method: "GET", path: "user/authorizations", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listAuthorizations},
	{method: "GET", path: "user/authorizations/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).getAuthorization},
	{method: "DELETE", path: "user/authorizations/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).deleteAuthorization},
}

// applicationOf finds the application that a route names in its organization.
func (s *server) applicationOf(c *call) (store.Application, error) {
	a, err := s.Store.Application(c.r.Context(), c.params["client"])
	if gantry.Is(err, gantry.NotFound) || err == nil && a.Organization != c.rights.Repository.Namespace {
		return a, gantry.Errorf(gantry.NotFound, "application", "Not Found")
	}
	return a, err
}

// answerApplication shows an application; its secret only to who may also use
// it.
func (s *server) answerApplication(c *call, a store.Application, err error) error {
	if err != nil {
		return err
	}
	v, err := s.applicationView(c, a)
	if err != nil {
		return err
	}
	return c.json(200, v)
}

func (s *server) applicationView(c *call, a store.Application) (map[string]any, error) {
	v := map[string]any{"name": a.Name, "description": a.Description, "application_uri": a.URI, "client_id": a.ClientID,
		"redirect_uri": a.RedirectURI, "avatar_email": orNull(a.AvatarEmail)}
	if !c.id.OrgAdmin(c.rights) { // a read-only superuser
		return v, nil
	}
	secret, err := s.Auth.ApplicationSecret(a)
	v["client_secret"] = secret
	return v, err
}

func (s *server) listApplications(c *call) error {
	all, err := s.Store.Applications(c.r.Context(), c.rights.Repository.Namespace)
	if err != nil {
		return err
	}
	list := []any{}
	for _, a := range all {
		v, err := s.applicationView(c, a)
		if err != nil {
			return err
		}
		list = append(list, v)
	}
	return c.json(200, map[string]any{"applications": list})
}

// applicationBody reads what describes an application, and returns what puts
// it in the place of what is there.
func (c *call) applicationBody() (change func(*store.Application) error, err error) {
	var in struct {
		Name        string  `json:"name"`
		Description *string `json:"description"`
		URI         *string `json:"application_uri"`
		RedirectURI *string `json:"redirect_uri"`
		AvatarEmail *string `json:"avatar_email"`
	}
	if err := c.body(&in, false); err != nil {
		return nil, err
	}
	set := func(to *string, v *string) {
		if v != nil {
			*to = *v
		}
	}
	return func(a *store.Application) error {
		a.Name = in.Name
		set(&a.Description, in.Description)
		set(&a.URI, in.URI)
		set(&a.RedirectURI, in.RedirectURI)
		set(&a.AvatarEmail, in.AvatarEmail)
		switch {
		case strings.TrimSpace(a.Name) == "" || len(a.Name) > 255:
			return gantry.Errorf(gantry.Invalid, "name", "name must be 1 to 255 bytes long")
		case len(a.Description) > maxDescription:
			return errDescription
		}
		return cmp.Or(checkAddress("application_uri", a.URI), checkRedirect(a.RedirectURI), checkEmail(a.AvatarEmail))
	}, nil
}

// checkRedirect takes the address to which a browser goes back. Programs have
// schemes of their own, so any is taken that a browser does not run.
func checkRedirect(text string) error {
	u, err := url.Parse(text)
	if text != "" && (err != nil || len(text) > 2000 || !u.IsAbs() || u.Fragment != "" || strings.ContainsAny(text, " \t\r\n") ||
		u.Scheme == "javascript" || u.Scheme == "data" || u.Scheme == "vbscript") {
		return gantry.Errorf(gantry.Invalid, "redirect_uri", "redirect_uri must be an absolute address without a fragment, of at most 2000 bytes")
	}
	return nil
}

func (s *server) createApplication(c *call) error {
	a := store.Application{Organization: c.rights.Repository.Namespace, ClientID: auth.NewClientID()}
	change, err := c.applicationBody()
	if err == nil {
		err = change(&a)
	}
	if err != nil {
		return err
	}
	if _, a.Secret, err = s.Auth.NewApplicationSecret(a.ClientID); err != nil {
		return err
	}
	return s.answerApplication(c, a, s.Store.CreateApplication(c.r.Context(), a, c.id.Actor))
}

func (s *server) getApplication(c *call) error {
	a, err := s.applicationOf(c)
	return s.answerApplication(c, a, err)
}

func (s *server) putApplication(c *call) error {
	a, err := s.applicationOf(c)
	if err != nil {
		return err
	}
	change, err := c.applicationBody()
	if err == nil {
		a, err = s.Store.UpdateApplication(c.r.Context(), a, change, c.id.Actor)
	}
	return s.answerApplication(c, a, err)
}

func (s *server) deleteApplication(c *call) error {
	a, err := s.applicationOf(c)
	if err == nil {
		err = s.Store.DeleteApplication(c.r.Context(), a, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func (s *server) resetApplication(c *call) error {
	a, err := s.applicationOf(c)
	if err != nil {
		return err
	}
	if _, a.Secret, err = s.Auth.NewApplicationSecret(a.ClientID); err != nil {
		return err
	}
	return s.answerApplication(c, a, s.Store.SetApplicationSecret(c.r.Context(), a, a.Secret, c.id.Actor))
}

// getApp is what anybody may know of an application who is asked to let it in.
func (s *server) getApp(c *call) error {
	if c.id.Anonymous() && !s.Auth.Settings().AnonymousAccess {
		return errSignIn
	}
	a, err := s.Store.Application(c.r.Context(), c.params["client"])
	if gantry.Is(err, gantry.NotFound) {
		return gantry.Errorf(gantry.NotFound, "application", "Not Found")
	}
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"name": a.Name, "description": a.Description, "uri": a.URI, "avatar": avatar(a.Name, "app"),
		"organization": map[string]any{"name": a.OrganizationName, "email": "", "avatar": accountAvatar(a.OrganizationName, gantry.Organization),
			"is_admin": false, "is_member": false}})
}

func grantDate(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC1123Z)
}

func applicationTokenView(g store.Grant) map[string]any {
	return map[string]any{"uuid": g.UUID, "name": g.Title, "scope": g.Scope, "expires_at": grantDate(g.Expires), "created": grantDate(g.Created),
		"created_by": g.Account, "last_accessed": grantDate(g.LastUsed)}
}

func (s *server) listApplicationTokens(c *call) error {
	a, err := s.applicationOf(c)
	if err != nil {
		return err
	}
	all, err := s.Store.ApplicationTokens(c.r.Context(), a)
	if err != nil {
		return err
	}
	list := []any{}
	for _, g := range all {
		list = append(list, applicationTokenView(g))
	}
	return c.json(200, map[string]any{"tokens": list})
}

// maxTokenLife is the life of a token of an application unless another is
// asked for, and the longest: 10 years.
const maxTokenLife = 10 * 365 * 24 * time.Hour

// createApplicationToken makes a token that acts as the caller. It cannot do
// more than the one that the caller used.
func (s *server) createApplicationToken(c *call) error {
	a, err := s.applicationOf(c)
	if err != nil {
		return err
	}
	var in struct {
		Name, Scope string
		Expiration  *int64
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if strings.TrimSpace(in.Name) == "" || len(in.Name) > 255 {
		return gantry.Errorf(gantry.Invalid, "name", "name must be 1 to 255 bytes long")
	}
	if strings.TrimSpace(in.Scope) == "" {
		return gantry.Errorf(gantry.Invalid, "scope", "scope is required; choose from %s", auth.AllScopes)
	}
	scope, err := auth.CheckScopes(in.Scope)
	if err != nil {
		return err
	}
	if strings.TrimSpace(scope) == "" {
		return gantry.Errorf(gantry.Invalid, "scope", "scope is required; choose from %s", auth.AllScopes)
	}
	if !c.id.Grants(scope) {
		return gantry.Errorf(gantry.Denied, "scope", "A token cannot make another one with more scopes than its own")
	}
	life := maxTokenLife
	if in.Expiration != nil {
		if *in.Expiration < 1 || *in.Expiration > int64(maxTokenLife/time.Second) {
			return gantry.Errorf(gantry.Invalid, "expiration", "expiration must be 1 to %d seconds", int64(maxTokenLife/time.Second))
		}
		life = time.Duration(*in.Expiration) * time.Second
	}
	token, row := s.Auth.MakeOAuthToken(scope, life)
	row.Account = c.id.Account.ID
	id, err := s.Store.CreateApplicationToken(c.r.Context(), a, in.Name, row, s.MaxOAuthTokens, c.id.Actor)
	if err != nil {
		return err
	}
	v := applicationTokenView(store.Grant{UUID: id, Title: in.Name, Account: c.id.Account.Name, Scope: scope, Created: s.Store.Now(), Expires: row.Expires})
	v["token"] = token
	return c.json(200, v)
}

func (s *server) deleteApplicationToken(c *call) error {
	a, err := s.applicationOf(c)
	if err == nil {
		err = s.Store.DeleteApplicationToken(c.r.Context(), a, c.params["uuid"], c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

// authorizationView is what the caller let an application do. Tokens without
// an application are the first one of the registry, and those of the command
// line.
func authorizationView(g store.Grant) map[string]any {
	scopes := []any{}
	for _, t := range auth.ScopeTexts(g.Scope) {
		scopes = append(scopes, map[string]any{"scope": t.Scope, "title": t.Title, "description": t.Description, "dangerous": t.Dangerous})
	}
	app := map[string]any{"name": "gantry", "clientId": "", "description": "A token of the command line, or the first of this registry", "url": "",
		"avatar": avatar("gantry", "app"), "organization": nil}
	if x := g.Application; x != nil {
		app = map[string]any{"name": x.Name, "clientId": x.ClientID, "description": x.Description, "url": x.URI, "avatar": avatar(x.Name, "app"),
			"organization": map[string]any{"name": x.OrganizationName, "avatar": accountAvatar(x.OrganizationName, gantry.Organization)}}
	}
	return map[string]any{"uuid": g.UUID, "application": app, "scopes": scopes}
}

func (s *server) listAuthorizations(c *call) error {
	all, err := s.Store.Authorizations(c.r.Context(), c.id.Account.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, g := range all {
		list = append(list, authorizationView(g))
	}
	return c.json(200, map[string]any{"authorizations": list})
}

func (s *server) getAuthorization(c *call) error {
	all, err := s.Store.Authorizations(c.r.Context(), c.id.Account.ID)
	if err != nil {
		return err
	}
	for _, g := range all {
		if g.UUID == c.params["uuid"] {
			return c.json(200, authorizationView(g))
		}
	}
	return gantry.Errorf(gantry.NotFound, "authorization", "Not Found")
}

func (s *server) deleteAuthorization(c *call) error {
	if err := s.Store.DeleteAuthorization(c.r.Context(), c.id.Account.ID, c.params["uuid"], c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}
