package api

import (
	"strconv"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

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

func (s *server) createRepository(c *call) error {
	var in struct {
		Repository, Visibility, Description, Namespace string
		Kind                                           *string `json:"repo_kind"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Kind != nil && *in.Kind != "image" {
		return gantry.Errorf(gantry.Invalid, "repo_kind", "repo_kind must be image")
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
	if r.Visibility != gantry.Public {
		v["status_token"] = s.badgeToken(r.ID)
	}
	if c.truthy("includeTags", true) {
		tags, err := s.newestTags(c)
		if err != nil {
			return err
		}
		v["tags"] = tags
	}
	if c.truthy("includeFreed", false) && c.role >= gantry.Admin {
		bytes, all, err := s.Store.Freed(c.r.Context(), r.ID)
		if err != nil {
			return err
		}
		v["freed"] = map[string]any{"bytes": bytes, "complete": all}
	}
	return c.json(200, v)
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
	if c.rights.Repository.State == gantry.OrgMirror {
		return gantry.Errorf(gantry.Invalid, "state", "The repository belongs to the mirror of its organization, which sets its state.")
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

// pageSize is how many repositories a page of a list holds.
const pageSize = 100

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
