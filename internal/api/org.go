package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
)

// pageSize is how many repositories a page of a list holds.
const pageSize = 100

// colors are those that clients draw a missing picture in.
var colors = []string{"#969696", "#aec7e8", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#d62728", "#ff9896", "#9467bd", "#c5b0d5", "#8c564b"}

// avatar is made of the name alone: one made of the e-mail address would let
// anybody test a guess of it.
func avatar(name, kind string) map[string]any {
	sum := sha256.Sum256([]byte(kind + ":" + name))
	return map[string]any{"name": name, "hash": hex.EncodeToString(sum[:16]), "color": colors[int(sum[0])%len(colors)], "kind": kind}
}

func accountAvatar(name string, kind gantry.AccountKind) map[string]any {
	switch kind {
	case gantry.Robot:
		return avatar(name, "robot")
	case gantry.Organization:
		return avatar(name, "org")
	}
	return avatar(name, "user")
}

// startSession signs id in, in place of the session that the call came with.
func (s *server) startSession(c *call, id *auth.Identity) error {
	ctx := c.r.Context()
	if c.session != nil {
		if err := s.Store.DeleteSession(ctx, c.session.ID); err != nil {
			return err
		}
	}
	value, csrf, err := s.Auth.NewSession(ctx, id, s.SessionTimeout)
	if err != nil {
		return err
	}
	seconds := 0
	if !s.WindowSessions {
		seconds = int(s.SessionTimeout / time.Second)
	}
	s.setCookie(c, value, seconds)
	c.w.Header().Set("X-Next-CSRF-Token", csrf)
	return nil
}

// setCookie gives the browser the session's secret for seconds; 0 = until it
// is closed, negative takes it away.
func (s *server) setCookie(c *call, value string, seconds int) {
	http.SetCookie(c.w, &http.Cookie{Name: s.CookieName, Value: value, Path: "/", MaxAge: seconds, //nolint:gosec // as SESSION_COOKIE_* say, and without TLS it has to work
		HttpOnly: !s.CookieScripts, SameSite: s.CookieSameSite, Secure: s.CookieSecure || httpd.Scheme(c.r) == "https"})
}

// blockedDomain reports whether the address is of a domain in BlockedDomains,
// or of one below it.
func (s *server) blockedDomain(email string) bool {
	_, domain, _ := strings.Cut(strings.ToLower(email), "@")
	domain = strings.TrimSuffix(domain, ".")
	return domain != "" && slices.ContainsFunc(s.BlockedDomains, func(b string) bool {
		b = strings.Trim(strings.ToLower(b), ".")
		return domain == b || strings.HasSuffix(domain, "."+b)
	})
}

// signUp makes an account and signs it in.
func (s *server) signUp(c *call) error {
	if !s.UserCreation || s.NoDirectLogin {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	var in struct {
		Username, Password, Email string
		InviteCode                string `json:"invite_code"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if s.InviteOnly { // nobody can hold an invitation: they are not given out yet
		return gantry.Errorf(gantry.Invalid, "account", "Cannot create non-invited user")
	}
	if c.session != nil {
		return gantry.Errorf(gantry.Invalid, "account", "Sign out before you create another account")
	}
	if err := errors.Join(checkUsername(in.Username), auth.CheckPassword(in.Password), checkEmail(in.Email)); err != nil {
		return err
	}
	if s.blockedDomain(in.Email) {
		return gantry.Errorf(gantry.Invalid, "email", "Email domain is not allowed on this registry")
	}
	ctx := c.r.Context()
	hash, err := s.Auth.HashPassword(ctx, in.Password)
	if err != nil {
		return err
	}
	n := store.NewAccount{Name: in.Username, Email: in.Email, PasswordHash: hash, Verified: true, UniqueEmail: true}
	if s.UserInitialize && len(s.Auth.Settings().Superusers) == 0 {
		// The door of initialize is open: whoever comes first, by either way, is the superuser.
		there, err := s.Store.HasUsers(ctx)
		if err != nil {
			return err
		}
		n.First, n.Superuser = !there, !there
	}
	_, err = s.Store.CreateUser(ctx, n, actorOf(c.r))
	if err != nil {
		return err
	}
	id, err := s.Auth.Login(ctx, in.Username, in.Password, actorOf(c.r))
	if err != nil {
		return err
	}
	if err := s.startSession(c, &id); err != nil {
		return err
	}
	return c.json(200, map[string]bool{"success": true})
}

// verify makes the session fresh again.
func (s *server) verify(c *call) error {
	var in struct{ Password string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	_, err := s.Auth.Login(c.r.Context(), c.id.Account.Name, in.Password, actorOf(c.r))
	if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) != gantry.LoginBackoff {
		return c.json(403, map[string]any{"needsEmailVerification": false, "invalidCredentials": true, "message": detail(err)})
	}
	if err == nil && c.session != nil && !s.Auth.Settings().ReadOnly {
		err = s.Store.RefreshSession(c.r.Context(), c.session.ID)
	}
	return c.success(err)
}

func (s *server) getOrganization(c *call) error {
	ctx := c.r.Context()
	name := c.params["org"]
	missing := gantry.Errorf(gantry.NotFound, "organization", "Not Found")
	if c.id.Anonymous() && !s.Auth.Settings().AnonymousAccess {
		return errSignIn
	}
	rights, err := s.Store.RepositoryAccess(ctx, c.id.Account.ID, gantry.RepoName{Namespace: name})
	if err != nil {
		return err
	}
	if rights.Repository.NamespaceKind != gantry.Organization {
		return missing
	}
	a, err := s.Store.AccountByID(ctx, rights.Repository.Namespace)
	if err != nil {
		return err
	}
	admin := c.id.OrgAdmin(rights)
	member := admin || rights.Team != "" && c.id.Has(auth.ScopeOrgAdmin) || c.id.ReadOnlySuperuser && c.id.Has(auth.ScopeOrgAdmin)
	v := map[string]any{"name": a.Name, "email": "", "avatar": accountAvatar(a.Name, a.Kind), "is_admin": admin, "is_member": member}
	if member {
		teams, err := s.Store.Teams(ctx, a.ID)
		if err != nil {
			return err
		}
		views, order := map[string]any{}, []string{}
		for _, g := range teams {
			views[g.Name] = teamView(g, true)
			order = append(order, g.Name)
		}
		v["teams"], v["ordered_teams"] = views, order
		if err := s.readStorage(c, v, a.ID); err != nil {
			return err
		}
	}
	if admin {
		p, err := a.Details()
		if err != nil {
			return err
		}
		v["email"], v["contact_email"] = a.Email, orNull(p.ContactEmail)
		v["invoice_email"], v["invoice_email_address"] = p.InvoiceEmail, orNull(p.InvoiceAddress)
		v["tag_expiration_s"] = s.retention(a.Retention)
		v["is_free_account"] = true
	}
	return c.json(200, v)
}

func teamView(g store.Team, view bool) map[string]any {
	return map[string]any{"name": g.Name, "description": g.Description, "role": string(g.Role), "avatar": avatar(g.Name, "team"),
		"can_view": view, "repo_count": g.Repositories, "member_count": g.Members, "is_synced": false}
}

func (c *call) team(s *server) (store.Team, error) {
	return s.Store.Team(c.r.Context(), c.rights.Repository.Namespace, c.params["team"])
}

func (s *server) putTeam(c *call) error {
	var in struct {
		Role        string
		Description *string
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	role := gantry.TeamRole(in.Role)
	if role != gantry.TeamMember && role != gantry.TeamCreator && role != gantry.TeamAdmin {
		return gantry.Errorf(gantry.Invalid, "role", "role %.80q is not one of member, creator, admin", in.Role)
	}
	if gantry.CheckNamespace(c.params["team"]) != nil {
		return gantry.Errorf(gantry.Invalid, "team", "Invalid team name %.80q: it must be 2 to 255 lower-case letters and digits, with single '.', '_' or '-' between them", c.params["team"])
	}
	if in.Description != nil && len(*in.Description) > maxDescription {
		return errDescription
	}
	g, created, err := s.Store.PutTeam(c.r.Context(), c.rights.Repository.Namespace, c.params["team"], role, in.Description, c.id.Actor)
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"name": g.Name, "description": g.Description, "can_view": true, "role": string(g.Role),
		"avatar": avatar(g.Name, "team"), "new_team": created})
}

func (s *server) deleteTeam(c *call) error {
	g, err := c.team(s)
	if err == nil {
		err = s.Store.DeleteTeam(c.r.Context(), g, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func memberView(a store.Account) map[string]any {
	return map[string]any{"name": a.Name, "kind": "user", "is_robot": a.Kind == gantry.Robot, "avatar": accountAvatar(a.Name, a.Kind), "invited": false}
}

func (s *server) listMembers(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	members, err := s.Store.TeamMembers(c.r.Context(), g.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, a := range members {
		list = append(list, memberView(a))
	}
	return c.json(200, map[string]any{"name": g.Name, "members": list, "can_edit": c.id.OrgAdmin(c.rights)})
}

func (s *server) addMember(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	a, err := s.grantee(c)
	if err != nil {
		return err
	}
	if err := s.Store.AddTeamMember(c.r.Context(), g, a, c.id.Actor); err != nil {
		return err
	}
	return c.json(200, memberView(a))
}

func (s *server) removeMember(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	a, err := s.grantee(c)
	if err == nil {
		err = s.Store.RemoveTeamMember(c.r.Context(), g, a, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func (s *server) listTeamRepositories(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	grants, err := s.Store.PermissionsOfTeam(c.r.Context(), g.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, p := range grants {
		list = append(list, map[string]any{"repository": map[string]any{"name": p.Repository.Name, "is_public": p.Public}, "role": p.Role.String()})
	}
	return c.json(200, map[string]any{"permissions": list})
}

func teamGrantView(p store.TeamGrant) map[string]any {
	return map[string]any{"role": p.Role.String(), "name": p.Team, "avatar": avatar(p.Team, "team")}
}

func (s *server) listTeamPermissions(c *call) error {
	list, err := s.Store.TeamPermissions(c.r.Context(), c.rights.Repository.ID)
	if err != nil {
		return err
	}
	out := map[string]any{}
	for _, p := range list {
		out[p.Team] = teamGrantView(p)
	}
	return c.json(200, map[string]any{"permissions": out})
}

func (s *server) getTeamPermission(c *call) error {
	list, err := s.Store.TeamPermissions(c.r.Context(), c.rights.Repository.ID)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Team == c.params["team"] {
			return c.json(200, teamGrantView(p))
		}
	}
	return gantry.Errorf(gantry.Invalid, "permission", "Team does not have permission for repo.")
}

// unknownTeam is err, where a team that is not there is a bad request.
func unknownTeam(c *call, err error) error {
	e, ok := errors.AsType[*gantry.Error](err)
	switch {
	case ok && e.Code == gantry.NotFound && e.Object == "team":
		return gantry.Errorf(gantry.Invalid, "team", "Unknown team: %.300s", c.params["team"])
	case ok && e.Code == gantry.NotFound && e.Object == "permission":
		return gantry.Errorf(gantry.Invalid, "permission", "%s", e.Detail)
	}
	return err
}

func (s *server) putTeamPermission(c *call) error {
	role, err := c.roleOf()
	if err != nil {
		return err
	}
	if err := s.Store.SetTeamPermission(c.r.Context(), c.rights.Repository, c.params["team"], role, c.id.Actor); err != nil {
		return unknownTeam(c, err)
	}
	return c.json(200, teamGrantView(store.TeamGrant{Team: c.params["team"], Role: role}))
}

func (s *server) deleteTeamPermission(c *call) error {
	if err := s.Store.SetTeamPermission(c.r.Context(), c.rights.Repository, c.params["team"], gantry.NoRole, c.id.Actor); err != nil {
		return unknownTeam(c, err)
	}
	return c.empty()
}

// transitive lists the roles that somebody has through teams.
func (s *server) transitive(c *call) error {
	a, err := s.grantee(c)
	if err != nil {
		return gantry.Errorf(gantry.NotFound, "account", "Not Found")
	}
	grants, err := s.Store.TeamGrantsOf(c.r.Context(), c.rights.Repository.ID, a.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, p := range grants {
		list = append(list, map[string]string{"role": p.Role.String()})
	}
	return c.json(200, map[string]any{"permissions": list})
}

// roleOf reads the body of a call that gives a repository role.
func (c *call) roleOf() (gantry.Role, error) {
	var in struct{ Role string }
	if err := c.body(&in, false); err != nil {
		return gantry.NoRole, err
	}
	return gantry.ParseRole(in.Role)
}

func prototypeView(p store.Prototype) map[string]any {
	v := map[string]any{"id": p.UUID, "role": p.Role.String(), "activating_user": nil}
	if p.Activating != "" {
		v["activating_user"] = map[string]any{"name": p.Activating, "kind": "user", "is_robot": p.ActivatingKind == gantry.Robot,
			"avatar": accountAvatar(p.Activating, p.ActivatingKind)}
	}
	if p.Team {
		v["delegate"] = map[string]any{"name": p.Name, "kind": "team", "avatar": avatar(p.Name, "team")}
	} else {
		v["delegate"] = map[string]any{"name": p.Name, "kind": "user", "is_robot": p.Kind == gantry.Robot, "avatar": accountAvatar(p.Name, p.Kind)}
	}
	return v
}

func (s *server) listPrototypes(c *call) error {
	all, err := s.Store.Prototypes(c.r.Context(), c.rights.Repository.Namespace)
	if err != nil {
		return err
	}
	list := []any{}
	for _, p := range all {
		list = append(list, prototypeView(p))
	}
	return c.json(200, map[string]any{"prototypes": list})
}

func (s *server) answerPrototype(c *call, id string) error {
	all, err := s.Store.Prototypes(c.r.Context(), c.rights.Repository.Namespace)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.UUID == id {
			return c.json(200, prototypeView(p))
		}
	}
	return gantry.Errorf(gantry.NotFound, "prototype", "Not Found")
}

func (s *server) createPrototype(c *call) error {
	type named struct{ Name, Kind string }
	var in struct {
		Role       string
		Delegate   named
		Activating *named `json:"activating_user"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	role, err := gantry.ParseRole(in.Role)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	org := c.rights.Repository.Namespace
	find := func(name, what string) (gantry.AccountID, error) {
		a, err := s.Store.Account(ctx, name)
		if gantry.Is(err, gantry.NotFound) || err == nil && (a.Kind == gantry.Organization || a.Kind == gantry.Robot && a.Owner != org) {
			return 0, gantry.Errorf(gantry.Invalid, "account", "Unknown %s user", what)
		}
		return a.ID, err
	}
	var activating, account gantry.AccountID
	var team int64
	if in.Activating != nil && in.Activating.Name != "" {
		if activating, err = find(in.Activating.Name, "activating"); err != nil {
			return err
		}
	}
	switch in.Delegate.Kind {
	case "user":
		account, err = find(in.Delegate.Name, "delegate")
	case "team":
		var g store.Team
		if g, err = s.Store.Team(ctx, org, in.Delegate.Name); gantry.Is(err, gantry.NotFound) {
			err = gantry.Errorf(gantry.Invalid, "team", "Unknown delegate team")
		}
		team = g.ID
	default:
		err = gantry.Errorf(gantry.Invalid, "delegate", "delegate.kind must be user or team")
	}
	if err != nil {
		return err
	}
	id, err := s.Store.CreatePrototype(ctx, org, activating, account, team, role, c.id.Actor)
	if err != nil {
		return err
	}
	return s.answerPrototype(c, id)
}

func (s *server) putPrototype(c *call) error {
	role, err := c.roleOf()
	if err != nil {
		return err
	}
	if err := s.Store.SetPrototype(c.r.Context(), c.rights.Repository.Namespace, c.params["id"], role, c.id.Actor); err != nil {
		return err
	}
	return s.answerPrototype(c, c.params["id"])
}

func (s *server) deletePrototype(c *call) error {
	if err := s.Store.SetPrototype(c.r.Context(), c.rights.Repository.Namespace, c.params["id"], gantry.NoRole, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

// listRepositories lists what the caller may see of a namespace, or of what is
// public. A namespace that is not there has nothing to see.
func (s *server) listRepositories(c *call) error {
	q := c.r.URL.Query()
	namespace, public, starred := q.Get("namespace"), q.Get("public") == "true", q.Get("starred") == "true"
	if namespace == "" && !public && !starred {
		return gantry.Errorf(gantry.Invalid, "query", "One of namespace, public or starred is required")
	}
	if namespace != "" && gantry.CheckNamespace(namespace) != nil {
		return gantry.Errorf(gantry.Invalid, "query", "namespace is not a valid name")
	}
	set := s.Auth.Settings()
	if c.id.Anonymous() && (!set.AnonymousAccess || starred) {
		return errSignIn
	}
	if !c.id.Anonymous() && !c.id.Has(auth.ScopeRepoRead) {
		return errDenied
	}
	const route = "repository"
	filter := namespace + "?" + strconv.FormatBool(public) + strconv.FormatBool(starred)
	pages := s.Auth.Keys().Pages()
	want := store.RepositoryQuery{Account: c.id.Account.ID, Public: true, OnlyPublic: public, Starred: starred, N: pageSize + 1,
		All: starred && (c.id.FullAccess || c.id.ReadOnlySuperuser)}
	if token := q.Get("next_page"); token != "" {
		last, err := pages.Open(route, filter, c.id.Account.Name, token)
		if err != nil {
			return err
		}
		after, err := strconv.ParseInt(last, 10, 64)
		if err != nil {
			return err
		}
		want.After = gantry.RepoID(after)
	}
	var list []store.Repository
	ctx := c.r.Context()
	if namespace != "" {
		rights, err := s.Store.RepositoryAccess(ctx, c.id.Account.ID, gantry.RepoName{Namespace: namespace})
		if err != nil {
			return err
		}
		want.Namespace = rights.Repository.Namespace
		want.All = rights.Team == gantry.TeamAdmin || c.id.FullAccess || c.id.ReadOnlySuperuser
	}
	if namespace == "" || want.Namespace != 0 {
		var err error
		if list, err = s.Store.Repositories(ctx, want); err != nil {
			return err
		}
	}
	out := map[string]any{}
	if len(list) > pageSize {
		list = list[:pageSize]
		out["next_page"] = pages.Seal(route, filter, c.id.Account.Name, strconv.FormatInt(int64(list[pageSize-1].ID), 10))
	}
	views, err := s.repositoryViews(c, list)
	if err != nil {
		return err
	}
	if err := s.addRepositoryStorage(c, list, views); err != nil {
		return err
	}
	out["repositories"] = views
	return c.json(200, out)
}

func (s *server) repositoryViews(c *call, list []store.Repository) ([]any, error) {
	ids := make([]gantry.RepoID, 0, len(list))
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	starred, err := s.Store.Starred(c.r.Context(), c.id.Account.ID, ids...)
	if err != nil {
		return nil, err
	}
	views := []any{}
	for _, r := range list {
		views = append(views, map[string]any{"namespace": r.Name.Namespace, "name": r.Name.Name, "description": r.Description,
			"is_public": r.Visibility == gantry.Public, "kind": "image", "state": r.State.String(), "is_starred": starred[r.ID]})
	}
	return views, nil
}
