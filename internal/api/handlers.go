package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// routes is the API, a group a file of the contract. Of two that match a path,
// the one with more behind {repo} is taken.
var routes = ordered(metaRoutes, accountRoutes, robotRoutes, organizationRoutes, repositoryRoutes,
	quotaRoutes, logRoutes, superuserRoutes, messageRoutes, tagRoutes,
	profileRoutes, memberRoutes, applicationRoutes, searchRoutes)

// ordered puts routes that match more closely first.
func ordered(groups ...[]route) []route {
	all := slices.Concat(groups...)
	slices.SortStableFunc(all, func(a, b route) int { return cmp.Compare(behind(b.path), behind(a.path)) })
	return all
}

// behind is how many parts of a pattern follow {repo}; -1 where there is none.
func behind(pattern string) int {
	_, tail, ok := strings.Cut(pattern, "{repo}")
	if !ok {
		return -1
	}
	return strings.Count(tail, "/")
}

var metaRoutes = []route{
	{method: "GET", path: "openapi.json", page: true, handle: (*server).getContract},
	{method: "GET", path: "docs", page: true, handle: (*server).getPage},
}

var accountRoutes = []route{
	{method: "POST", path: "user/initialize", handle: (*server).initialize},
	{method: "POST", path: "signin", readOnlyOK: true, handle: (*server).signIn},
	{method: "POST", path: "signout", readOnlyOK: true, handle: (*server).signOut},
	{method: "GET", path: "user", access: signedIn, scope: auth.ScopeUserRead, handle: (*server).me},
	{method: "POST", path: "user", handle: (*server).signUp},
	{method: "POST", path: "signin/verify", access: signedIn, scope: auth.ScopeUserAdmin, readOnlyOK: true, handle: (*server).verify},
	{method: "POST", path: "user/clientkey", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).clientKey},
	{method: "GET", path: "user/apptoken", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listAppTokens},
	{method: "POST", path: "user/apptoken", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).createAppToken},
	{method: "GET", path: "user/apptoken/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).getAppToken},
	{method: "DELETE", path: "user/apptoken/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).deleteAppToken},
}

var robotRoutes = []route{
	{method: "GET", path: "user/robots", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listRobots},
	{method: "GET", path: "user/robots/{short}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).getRobot},
	{method: "PUT", path: "user/robots/{short}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).createRobot},
	{method: "DELETE", path: "user/robots/{short}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).deleteRobot},
	{method: "GET", path: "user/robots/{short}/permissions", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listRobotPermissions},
	{method: "POST", path: "user/robots/{short}/regenerate", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).regenerateRobot},
	{method: "GET", path: "organization/{org}/robots", access: nsMember, handle: (*server).listRobots},
	{method: "GET", path: "organization/{org}/robots/{short}", access: nsAdmin, handle: (*server).getRobot},
	{method: "PUT", path: "organization/{org}/robots/{short}", access: nsAdmin, handle: (*server).createRobot},
	{method: "DELETE", path: "organization/{org}/robots/{short}", access: nsAdmin, handle: (*server).deleteRobot},
	{method: "GET", path: "organization/{org}/robots/{short}/permissions", access: nsAdmin, handle: (*server).listRobotPermissions},
	{method: "POST", path: "organization/{org}/robots/{short}/regenerate", access: nsAdmin, handle: (*server).regenerateRobot},
}

var organizationRoutes = []route{
	{method: "POST", path: "organization", access: signedIn, scope: auth.ScopeOrgAdmin, handle: (*server).createOrganization},
	{method: "DELETE", path: "organization/{org}", access: nsAdmin, fresh: true, handle: (*server).deleteOrganization},
	{method: "GET", path: "organization/{org}", handle: (*server).getOrganization},
	{method: "PUT", path: "organization/{org}/team/{team}", access: nsAdmin, handle: (*server).putTeam},
	{method: "DELETE", path: "organization/{org}/team/{team}", access: nsAdmin, handle: (*server).deleteTeam},
	{method: "GET", path: "organization/{org}/team/{team}/members", access: nsMember, handle: (*server).listMembers},
	{method: "PUT", path: "organization/{org}/team/{team}/members/{name}", access: nsAdmin, handle: (*server).addMember},
	{method: "DELETE", path: "organization/{org}/team/{team}/members/{name}", access: nsAdmin, handle: (*server).removeMember},
	{method: "GET", path: "organization/{org}/team/{team}/permissions", access: nsAdmin, handle: (*server).listTeamRepositories},
	{method: "GET", path: "organization/{org}/prototypes", access: nsAdmin, handle: (*server).listPrototypes},
	{method: "POST", path: "organization/{org}/prototypes", access: nsAdmin, handle: (*server).createPrototype},
	{method: "PUT", path: "organization/{org}/prototypes/{id}", access: nsAdmin, handle: (*server).putPrototype},
	{method: "DELETE", path: "organization/{org}/prototypes/{id}", access: nsAdmin, handle: (*server).deletePrototype},
}

var repositoryRoutes = []route{
	{method: "POST", path: "repository", access: signedIn, scope: auth.ScopeRepoCreate, handle: (*server).createRepository},
	{method: "GET", path: "repository", handle: (*server).listRepositories},
	{method: "GET", path: "repository/{repo}/permissions/user/{name}/transitive", access: repoAdmin, handle: (*server).transitive},
	{method: "GET", path: "repository/{repo}/permissions/team", access: repoAdmin, handle: (*server).listTeamPermissions},
	{method: "GET", path: "repository/{repo}/permissions/team/{team}", access: repoAdmin, handle: (*server).getTeamPermission},
	{method: "PUT", path: "repository/{repo}/permissions/team/{team}", access: repoAdmin, handle: (*server).putTeamPermission},
	{method: "DELETE", path: "repository/{repo}/permissions/team/{team}", access: repoAdmin, handle: (*server).deleteTeamPermission},
	{method: "GET", path: "repository/{repo}/permissions/user", access: repoAdmin, handle: (*server).listPermissions},
	{method: "GET", path: "repository/{repo}/permissions/user/{name}", access: repoAdmin, handle: (*server).getPermission},
	{method: "PUT", path: "repository/{repo}/permissions/user/{name}", access: repoAdmin, handle: (*server).putPermission},
	{method: "DELETE", path: "repository/{repo}/permissions/user/{name}", access: repoAdmin, handle: (*server).deletePermission},
	{method: "POST", path: "repository/{repo}/changevisibility", access: repoAdmin, handle: (*server).changeVisibility},
	{method: "PUT", path: "repository/{repo}/changestate", access: repoAdmin, handle: (*server).changeState},
	{method: "GET", path: wholeRepository, access: repoRead, handle: (*server).getRepository},
	{method: "PUT", path: wholeRepository, access: repoWrite, handle: (*server).describeRepository},
	{method: "DELETE", path: wholeRepository, access: repoAdmin, handle: (*server).deleteRepository},
}

// wholeRepository is the pattern that takes any path below repository/: the
// name of a repository may hold slashes.
const wholeRepository = "repository/{repo}"

// below are the parts of a repository that Quay has routes for and this API
// has not yet. They are no names of nested repositories: who deletes a tag
// must not delete the repository app/tag/latest.
var below = []string{
	"authorizedemail/{x}", "autoprunepolicy", "autoprunepolicy/{x}", "build", "build/{x}", "build/{x}/logs", "build/{x}/status",
	"changetrust", "exportlogs", "image", "image/{x}", "image/{x}/security", "immutabilitypolicy", "immutabilitypolicy/{x}",
	"manifest/{x}", "manifest/{x}/labels", "manifest/{x}/labels/{y}", "manifest/{x}/pull_statistics", "manifest/{x}/security", "mirror",
	"mirror/sync-cancel", "mirror/sync-now", "notification", "notification/{x}", "notification/{x}/test", "signatures", "tag", "tag/{x}",
	"tag/{x}/expire", "tag/{x}/images", "tag/{x}/pull_statistics", "tag/{x}/restore", "tokens", "tokens/{x}", "trigger", "trigger/{x}",
	"trigger/{x}/fields/{y}", "trigger/{x}/{y}",
}

// reserved reports whether a path is one of below.
func reserved(path string) bool {
	for _, tail := range below {
		if _, ok := match(wholeRepository+"/"+tail, path); ok {
			return true
		}
	}
	return false
}

// initialTokenLife is how long the token of user/initialize lives, as Quay's.
const initialTokenLife = 150 * time.Minute

// initialize makes the first account. Its errors are {"message"} alone.
func (s *server) initialize(c *call) error {
	refuse := func(text string) error { return c.json(400, map[string]string{"message": text}) }
	if !s.UserInitialize {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	there, err := s.Store.HasUsers(c.r.Context())
	if err != nil {
		return err
	}
	if there {
		return refuse("Cannot initialize user in a non-empty database")
	}
	var in struct {
		Username, Password, Email string
		Token                     bool `json:"access_token"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	for _, err := range []error{checkUsername(in.Username), auth.CheckPassword(in.Password), checkEmail(in.Email)} {
		if err != nil {
			return refuse("Failed to initialize user: " + detail(err))
		}
	}
	ctx := c.r.Context()
	hash, err := s.Auth.HashPassword(ctx, in.Password)
	if err != nil {
		return err
	}
	secret, err := s.Auth.Keys().EncryptPassword(in.Password)
	if err != nil {
		return err
	}
	out := map[string]any{"encrypted_password": secret}
	n := store.NewAccount{Name: in.Username, Email: in.Email, PasswordHash: hash, Verified: true,
		Superuser: len(s.Auth.Settings().Superusers) == 0, First: true, UniqueEmail: true}
	if in.Token { // with the account or not at all: a second try is refused
		var row store.OAuthToken
		out["access_token"], row = s.Auth.MakeOAuthToken(auth.AllScopes, initialTokenLife)
		n.Token = &row
	}
	a, err := s.Store.CreateUser(ctx, n, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return refuse(detail(err))
	}
	if err != nil {
		return err
	}
	out["username"], out["email"] = a.Name, a.Email
	return c.json(200, out)
}

func detail(err error) string {
	if e, ok := errors.AsType[*gantry.Error](err); ok {
		return e.Detail
	}
	return "internal error"
}

func checkUsername(name string) error {
	if err := gantry.CheckNamespace(name); err != nil {
		return gantry.Errorf(gantry.Invalid, "account", "Invalid username %.80q: it must be 2 to 255 lower-case letters and digits, with single '.', '_' or '-' between them", name)
	}
	return nil
}

// maxDescription is the size of a description of anything, in bytes: what a
// long text holds in every database.
const maxDescription = 64_000

var errDescription = gantry.Errorf(gantry.Invalid, "description", "The description is longer than %d bytes", maxDescription)

// checkEmail takes "" as none.
func checkEmail(e string) error {
	user, domain, ok := strings.Cut(e, "@")
	if e != "" && (!ok || user == "" || domain == "" || len(e) > 255 || strings.Contains(domain, "@") || strings.ContainsFunc(e, unicode.IsSpace)) {
		return gantry.Errorf(gantry.Invalid, "email", "Invalid email address: %.80q", e)
	}
	return nil
}

func (s *server) signIn(c *call) error {
	var in struct{ Username, Password string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if s.NoDirectLogin {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	ctx := c.r.Context()
	id, err := s.Auth.Login(ctx, in.Username, in.Password, actorOf(c.r))
	if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) != gantry.LoginBackoff {
		return c.json(403, map[string]any{"needsEmailVerification": false, "invalidCredentials": true, "message": detail(err)})
	}
	if err != nil {
		return err
	}
	if err := s.startSession(c, &id); err != nil {
		return err
	}
	if set := s.Auth.Settings(); set.AuditLogins && !set.ReadOnly {
		if err := s.Store.LogLogin(ctx, "login_success", id.Account.ID, id.Actor, map[string]any{"type": "quayauth", "useragent": id.Actor.Agent}); err != nil {
			return err
		}
	}
	return c.json(200, map[string]bool{"success": true})
}

func (s *server) signOut(c *call) error {
	if c.session != nil {
		if err := s.Store.DeleteSession(c.r.Context(), c.session.ID); err != nil {
			return err
		}
		if set := s.Auth.Settings(); set.AuditLogins && !set.ReadOnly {
			if err := s.Store.LogLogin(c.r.Context(), "logout_success", c.id.Account.ID, c.id.Actor, nil); err != nil {
				return err
			}
		}
	}
	s.setCookie(c, "", -1)
	return c.json(200, map[string]bool{"success": true})
}

// me is the caller. What is private to the account, such as the e-mail
// address, needs no more than user:read, as in Quay.
func (s *server) me(c *call) error {
	a := &c.id.Account
	all, err := s.Store.Organizations(c.r.Context(), a.ID)
	if err != nil {
		return err
	}
	orgs := []any{}
	for _, m := range all {
		orgs = append(orgs, map[string]any{"name": m.Name, "avatar": accountAvatar(m.Name, gantry.Organization), "can_create_repo": m.Create,
			"public": false, "is_org_admin": m.Admin, "preferred_namespace": false})
	}
	p, err := a.Details()
	if err != nil {
		return err
	}
	v := map[string]any{"anonymous": false, "username": a.Name, "avatar": accountAvatar(a.Name, a.Kind), "email": a.Email, "verified": a.Verified,
		"is_me": true, "can_create_repo": !c.id.Restricted, "preferred_namespace": true, "organizations": orgs, "logins": []any{}, "prompts": []any{},
		"invoice_email": p.InvoiceEmail, "invoice_email_address": orNull(p.InvoiceAddress), "tag_expiration_s": s.retention(a.Retention),
		"company": orNull(p.Company), "family_name": orNull(p.FamilyName), "given_name": orNull(p.GivenName), "location": orNull(p.Location),
		"is_free_account": true, "has_password_set": a.PasswordHash != ""}
	if s.Auth.Settings().SuperUsers {
		v["super_user"], v["global_readonly_super_user"] = c.id.Superuser, c.id.ReadOnlySuperuser
	}
	if err := s.readStorage(c, v, a.ID); err != nil {
		return err
	}
	return c.json(200, v)
}

func (s *server) clientKey(c *call) error {
	var in struct{ Password string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if _, err := s.Auth.Login(c.r.Context(), c.id.Account.Name, in.Password, actorOf(c.r)); err != nil {
		if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) == "" {
			return gantry.Errorf(gantry.Invalid, "password", "Invalid Username or Password")
		}
		return err
	}
	key, err := s.Auth.Keys().EncryptPassword(in.Password)
	if err != nil {
		return err
	}
	if err := s.Store.Record(c.r.Context(), store.Event{Kind: "user_generate_client_key", Namespace: c.id.Account.ID, Actor: c.id.Actor}); err != nil {
		return err
	}
	return c.json(200, map[string]string{"key": key})
}

// owner is the namespace of a robot's route.
func (c *call) owner() (gantry.AccountID, string) {
	if org, ok := c.params["org"]; ok {
		return c.rights.Repository.Namespace, org
	}
	return c.id.Account.ID, c.id.Account.Name
}

func (s *server) robotView(a store.Account) (map[string]any, error) {
	token, err := s.Auth.RobotToken(a)
	if err != nil {
		return nil, err
	}
	v := map[string]any{"name": a.Name, "created": a.Created.Format(time.RFC1123Z), "last_accessed": nil,
		"description": a.Description, "token": token, "unstructured_metadata": a.Profile}
	if !a.LastUsed.IsZero() {
		v["last_accessed"] = a.LastUsed.Format(time.RFC1123Z)
	}
	return v, nil
}

// robot finds the robot that a route names.
func (s *server) robot(c *call) (store.Account, error) {
	id, name := c.owner()
	a, err := s.Store.Account(c.r.Context(), name+"+"+c.params["short"])
	if gantry.Is(err, gantry.NotFound) || err == nil && (a.Kind != gantry.Robot || a.Owner != id) {
		return a, gantry.Errorf(gantry.NotFound, "robot", "Could not find robot with username: %.300s", name+"+"+c.params["short"])
	}
	return a, err
}

// listRobots takes permissions=true for what each was given, token=false, and
// limit.
func (s *server) listRobots(c *call) error {
	id, _ := c.owner()
	q := c.r.URL.Query()
	most := 0
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return gantry.Errorf(gantry.Invalid, "limit", "limit must be a number above 0")
		}
		most = n
	}
	permissions := q.Get("permissions") == "true"
	all, err := s.Store.RobotList(c.r.Context(), id, most, permissions)
	if err != nil {
		return err
	}
	list := []any{}
	for _, a := range all {
		v, err := s.robotView(a.Account)
		if err != nil {
			return err
		}
		if q.Get("token") == "false" || c.params["org"] != "" && !c.id.OrgAdmin(c.rights) {
			delete(v, "token")
		}
		if permissions {
			v["teams"], v["repositories"] = teamAvatars(a.Teams), orEmpty(a.Repositories)
		}
		list = append(list, v)
	}
	return c.json(200, map[string]any{"robots": list})
}

func (s *server) answerRobot(c *call, status int, a store.Account, err error) error {
	if err != nil {
		return err
	}
	v, err := s.robotView(a)
	if err != nil {
		return err
	}
	return c.json(status, v)
}

func (s *server) getRobot(c *call) error {
	if c.params["org"] != "" && !c.id.OrgAdmin(c.rights) { // a read-only superuser: the token would let him write
		return errDenied
	}
	a, err := s.robot(c)
	return s.answerRobot(c, 200, a, err)
}

func (s *server) createRobot(c *call) error {
	var in struct {
		Description string
		Metadata    map[string]any `json:"unstructured_metadata"`
	}
	if err := c.body(&in, true); err != nil {
		return err
	}
	id, name := c.owner()
	if gantry.CheckNamespace(c.params["short"]) != nil || len(name)+len(c.params["short"]) > 253 {
		return gantry.Errorf(gantry.Invalid, "robot", "The name for the robot '%.80s' is invalid", c.params["short"])
	}
	if len(in.Description) > 255 {
		return gantry.Errorf(gantry.Invalid, "robot", "The description is longer than 255 characters")
	}
	if c.id.Restricted && c.params["org"] == "" {
		return errDenied
	}
	n := store.NewAccount{Name: name + "+" + c.params["short"], UUID: auth.NewUUID(), Description: in.Description}
	if in.Metadata != nil {
		b, err := json.Marshal(in.Metadata)
		if err != nil {
			return err
		}
		n.Profile = b
	}
	var err error
	if _, n.Secret, err = s.Auth.NewRobotToken(n.UUID); err != nil {
		return err
	}
	a, err := s.Store.CreateRobot(c.r.Context(), id, n, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return gantry.Errorf(gantry.Invalid, "robot", "Existing robot with name: %s", n.Name)
	}
	return s.answerRobot(c, 201, a, err)
}

func (s *server) deleteRobot(c *call) error {
	a, err := s.robot(c)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteRobot(c.r.Context(), a, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

func (s *server) regenerateRobot(c *call) error {
	a, err := s.robot(c)
	if err != nil {
		return err
	}
	_, sealed, err := s.Auth.NewRobotToken(a.UUID)
	if err != nil {
		return err
	}
	a.Secret = sealed
	return s.answerRobot(c, 200, a, s.Store.RegenerateRobot(c.r.Context(), a, sealed, c.id.Actor))
}

func (s *server) createOrganization(c *call) error {
	var in struct{ Name, Email string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if err := checkUsername(in.Name); err != nil {
		return err
	}
	if err := checkEmail(in.Email); err != nil {
		return err
	}
	if !s.Auth.Settings().MayCreateOrganization(&c.id) {
		return errDenied
	}
	_, err := s.Store.CreateOrganization(c.r.Context(), store.NewAccount{Name: in.Name, Email: in.Email, Verified: true, UniqueEmail: true},
		c.id.Account.ID, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return gantry.Errorf(gantry.Invalid, "organization", "A user or organization with this name or email already exists")
	}
	if err != nil {
		return err
	}
	return c.json(201, "Created")
}

func (s *server) deleteOrganization(c *call) error {
	if err := s.Store.DeleteNamespace(c.r.Context(), c.rights.Repository.Namespace, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

func (s *server) createRepository(c *call) error {
	var in struct{ Repository, Visibility, Description, Namespace string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Namespace == "" {
		in.Namespace = c.id.Account.Name
	}
	if len(in.Description) > maxDescription {
		return errDescription
	}
	v, err := visibility(in.Visibility)
	if err != nil {
		return err
	}
	if err := s.Auth.Settings().Names.CheckRepoName(in.Repository); err != nil {
		return err
	}
	name := gantry.RepoName{Namespace: in.Namespace, Name: in.Repository}
	ctx := c.r.Context()
	rights, err := s.Store.RepositoryAccess(ctx, c.id.Account.ID, name)
	if err != nil {
		return err
	}
	if !c.id.MayCreate(rights) {
		return errDenied
	}
	if _, err := s.Store.CreateRepository(ctx, store.NewRepository{Name: name, Visibility: v, Description: in.Description,
		Creator: c.id.Account.ID}, c.id.Actor); err != nil {
		return err
	}
	return c.json(201, map[string]string{"namespace": name.Namespace, "name": name.Name, "kind": "image"})
}

func visibility(s string) (gantry.Visibility, error) {
	switch v := gantry.Visibility(s); v {
	case gantry.Public, gantry.Private:
		return v, nil
	}
	return "", gantry.Errorf(gantry.Invalid, "visibility", "visibility %.80q is not one of public, private", s)
}

func (s *server) getRepository(c *call) error {
	r := &c.rights.Repository
	starred, err := s.Store.Starred(c.r.Context(), c.id.Account.ID, r.ID)
	if err != nil {
		return err
	}
	v := map[string]any{"namespace": r.Name.Namespace, "name": r.Name.Name, "kind": "image", "description": r.Description,
		"is_public": r.Visibility == gantry.Public, "is_organization": r.NamespaceKind == gantry.Organization, "is_starred": starred[r.ID],
		"status_token": "", "trust_enabled": false, "tag_expiration_s": s.retention(r.Retention), "is_free_account": true,
		"state": r.State.String(), "can_write": c.role >= gantry.Write && r.State == gantry.Normal, "can_admin": c.role >= gantry.Admin}
	if c.truthy("includeTags", true) {
		tags, err := s.newestTags(c)
		if err != nil {
			return err
		}
		v["tags"] = tags
	}
	return c.json(200, v)
}

func (c *call) success(err error) error {
	if err != nil {
		return err
	}
	return c.json(200, map[string]bool{"success": true})
}

func (s *server) describeRepository(c *call) error {
	var in struct{ Description *string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Description == nil {
		return gantry.Errorf(gantry.Invalid, "body", "description is required")
	}
	if len(*in.Description) > maxDescription {
		return errDescription
	}
	return c.success(s.Store.SetDescription(c.r.Context(), c.rights.Repository, *in.Description, c.id.Actor))
}

func (s *server) deleteRepository(c *call) error {
	if err := s.Store.DeleteRepository(c.r.Context(), c.rights.Repository, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

func (s *server) changeVisibility(c *call) error {
	var in struct{ Visibility string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	v, err := visibility(in.Visibility)
	if err != nil {
		return err
	}
	return c.success(s.Store.SetVisibility(c.r.Context(), c.rights.Repository, v, c.id.Actor))
}

func (s *server) changeState(c *call) error {
	var in struct{ State string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	for _, state := range []gantry.RepoState{gantry.Normal, gantry.ReadOnlyState, gantry.Mirror} {
		if state.String() != in.State {
			continue
		}
		if state == gantry.Mirror && !s.RepoMirror {
			break
		}
		return c.success(s.Store.SetState(c.r.Context(), c.rights.Repository, state, c.id.Actor))
	}
	return gantry.Errorf(gantry.Invalid, "state", "%.80q is not a valid Repository state.", in.State)
}

func permissionView(p store.Permission) map[string]any {
	return map[string]any{"role": p.Role.String(), "name": p.Name, "is_robot": p.Kind == gantry.Robot,
		"avatar": accountAvatar(p.Name, p.Kind)}
}

func (s *server) listPermissions(c *call) error {
	list, err := s.Store.AccountPermissions(c.r.Context(), c.rights.Repository.ID)
	if err != nil {
		return err
	}
	out := map[string]any{}
	for _, p := range list {
		out[p.Name] = permissionView(p)
	}
	return c.json(200, map[string]any{"permissions": out})
}

func (s *server) getPermission(c *call) error {
	list, err := s.Store.AccountPermissions(c.r.Context(), c.rights.Repository.ID)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Name == c.params["name"] {
			return c.json(200, permissionView(p))
		}
	}
	return gantry.Errorf(gantry.Invalid, "permission", "User does not have permission for repo.")
}

// grantee finds the user or robot that a permission route names.
func (s *server) grantee(c *call) (store.Account, error) {
	a, err := s.Store.Account(c.r.Context(), c.params["name"])
	if gantry.Is(err, gantry.NotFound) || err == nil && a.Kind == gantry.Organization {
		return a, gantry.Errorf(gantry.Invalid, "account", "Invalid username: %.300s", c.params["name"])
	}
	return a, err
}

func (s *server) putPermission(c *call) error {
	role, err := c.roleOf()
	if err != nil {
		return err
	}
	a, err := s.grantee(c)
	if err != nil {
		return err
	}
	if err := s.Store.SetPermission(c.r.Context(), c.rights.Repository, a, role, c.id.Actor); err != nil {
		return err
	}
	return c.json(200, permissionView(store.Permission{Name: a.Name, Kind: a.Kind, Role: role}))
}

func (s *server) deletePermission(c *call) error {
	a, err := s.grantee(c)
	if err != nil {
		return err
	}
	err = s.Store.SetPermission(c.r.Context(), c.rights.Repository, a, gantry.NoRole, c.id.Actor)
	if gantry.Is(err, gantry.NotFound) && detail(err) != "repository name not known to registry" {
		return gantry.Errorf(gantry.Invalid, "permission", "User does not have permission for repo.")
	}
	if err != nil {
		return err
	}
	return c.empty()
}
