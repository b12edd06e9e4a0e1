package api

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

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
	freed, tags := c.truthy("includeFreed", false), slices.DeleteFunc(c.r.URL.Query()["tag"], func(t string) bool { return t == "" })
	if freed && (c.role >= gantry.Admin || len(tags) > 0 && c.role >= gantry.Write) {
		var bytes int64
		var all bool
		switch {
		case len(tags) > store.MaxFreedTags:
			err = gantry.Errorf(gantry.Invalid, "tag", "tag is given more than %d times", store.MaxFreedTags)
		case len(tags) == 0:
			bytes, all, err = s.Store.Freed(c.r.Context(), r.ID)
		default:
			bytes, all, err = s.Store.FreedByTags(c.r.Context(), r.ID, tags...)
		}
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

// listRepositories lists what the caller may see of a namespace, of what is
// public, or, which is Gantry's own, at all: their own, those of organizations
// that they administer, those that they or their teams have a role in and, if
// wished, what is public. A namespace that is not there has nothing to see.
func (s *server) listRepositories(c *call) error {
	q := c.r.URL.Query()
	namespace, public, starred := q.Get("namespace"), q.Get("public") == "true", q.Get("starred") == "true"
	visible := q.Get("visible") == "true"
	if namespace == "" && !public && !starred && !visible {
		return gantry.Errorf(gantry.Invalid, "query", "One of namespace, public, starred or visible is required")
	}
	if visible && (namespace != "" || starred) {
		return gantry.Errorf(gantry.Invalid, "query", "visible goes with public alone, not with namespace or starred")
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
	if visible {
		want := store.CatalogQuery{Account: c.id.Account.ID, Superuser: c.id.FullAccess || c.id.ReadOnlySuperuser, Public: public, Newest: true}
		return s.listInOrder(c, "visible?"+strconv.FormatBool(public), func(after gantry.RepoID, n int) ([]store.CatalogEntry, error) {
			want.After, want.N = after, n
			return s.Store.Catalog(c.r.Context(), want)
		})
	}
	const route = "repository"
	filter := namespace + "?" + strconv.FormatBool(public) + strconv.FormatBool(starred)
	pages := s.Auth.Keys().Pages()
	want := store.RepositoryQuery{Account: c.id.Account.ID, Public: true, OnlyPublic: public, Starred: starred, N: pageSize + 1,
		All: starred && (c.id.FullAccess || c.id.ReadOnlySuperuser)}
	ordered := namespace != "" && q.Has("sort")
	if ordered && starred {
		return gantry.Errorf(gantry.Invalid, "query", "sort goes with visible or namespace, not with starred")
	}
	if token := q.Get("next_page"); token != "" && !ordered {
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
		if ordered {
			return s.listInOrder(c, "of "+namespace+"?"+strconv.FormatBool(public), func(after gantry.RepoID, n int) (entries []store.CatalogEntry, err error) {
				if want.Namespace == 0 { // there is none
					return nil, nil
				}
				want.Newest, want.After, want.N = true, after, n
				list, err := s.Store.Repositories(ctx, want)
				for _, r := range list {
					entries = append(entries, store.CatalogEntry{ID: r.ID, Name: r.Name})
				}
				return entries, err
			})
		}
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
	return s.answerRepositories(c, list, nil, out)
}

// answerRepositories answers with a page of repositories, and out. pushed is
// when they were pushed to; nil = not known: then it is asked for if the caller
// wants it.
func (s *server) answerRepositories(c *call, list []store.Repository, pushed map[gantry.RepoID]time.Time, out map[string]any) error {
	views, err := s.repositoryViews(c, list)
	if err != nil {
		return err
	}
	if err := s.addRepositoryStorage(c, list, views); err != nil {
		return err
	}
	if c.truthy("last_modified", false) {
		if pushed == nil {
			ids := make([]gantry.RepoID, len(list))
			for i, r := range list {
				ids[i] = r.ID
			}
			if pushed, err = s.Store.LastPushed(c.r.Context(), ids); err != nil {
				return err
			}
		}
		for i, r := range list {
			var at any
			if p, ok := pushed[r.ID]; ok {
				at = p.Unix()
			}
			views[i].(map[string]any)["last_modified"] = at
		}
	}
	out["repositories"] = views
	return c.json(200, out)
}

// maxSorted is how many repositories are put in another order than that of
// their ids, which needs no index of each possible order.
const maxSorted = 1000

// listInOrder answers with what get returns: at most n repositories that the
// caller may see, the newest first, after the one of an id, 0 = from the newest
// one. Up to maxSorted are put in the order of sort; the answer says in which
// one it is.
func (s *server) listInOrder(c *call, what string, get func(after gantry.RepoID, n int) ([]store.CatalogEntry, error)) error {
	q := c.r.URL.Query()
	sort := cmp.Or(q.Get("sort"), "created")
	if sort != "created" && sort != "name" && sort != "pushed" {
		return gantry.Errorf(gantry.Invalid, "sort", "sort %.80q is not one of created, name, pushed", sort)
	}
	const route = "repository"
	filter := what + sort
	pages := s.Auth.Keys().Pages()
	order, after, name := sort, int64(0), ""
	if token := q.Get("next_page"); token != "" {
		last, err := pages.Open(route, filter, c.id.Account.Name, token)
		if err != nil {
			return err
		}
		parts := strings.SplitN(last, " ", 3)
		if len(parts) != 3 {
			return gantry.Errorf(gantry.Invalid, "next_page", "next_page is of another release: ask for the first page")
		}
		if after, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
			return err
		}
		order, name = parts[0], parts[2]
	}
	ctx := c.r.Context()
	var list []store.CatalogEntry
	var pushed map[gantry.RepoID]time.Time
	var err error
	if order != "created" {
		if list, err = get(0, maxSorted+1); err != nil {
			return err
		}
		switch {
		case len(list) > maxSorted && after == 0:
			order, list = "created", list[:pageSize+1]
		case order == "name":
			slices.SortFunc(list, func(a, b store.CatalogEntry) int { return strings.Compare(a.Name.String(), b.Name.String()) })
			list = list[first(list, func(e store.CatalogEntry) bool { return e.Name.String() > name }):]
		default:
			ids := make([]gantry.RepoID, len(list))
			for i, e := range list {
				ids[i] = e.ID
			}
			if pushed, err = s.Store.LastPushed(ctx, ids); err != nil {
				return err
			}
			at := func(e store.CatalogEntry) int64 { return pushed[e.ID].UnixMilli() }
			slices.SortFunc(list, func(a, b store.CatalogEntry) int { return cmp.Or(cmp.Compare(at(b), at(a)), cmp.Compare(b.ID, a.ID)) })
			if name != "" {
				ms, err := strconv.ParseInt(name, 10, 64)
				if err != nil {
					return err
				}
				list = list[first(list, func(e store.CatalogEntry) bool {
					return at(e) < ms || at(e) == ms && int64(e.ID) < after
				}):]
			}
		}
	} else {
		if list, err = get(gantry.RepoID(after), pageSize+1); err != nil {
			return err
		}
	}
	out := map[string]any{"order": order}
	if len(list) > pageSize {
		list = list[:pageSize]
		e := list[pageSize-1]
		last := e.Name.String()
		if order == "pushed" {
			last = strconv.FormatInt(pushed[e.ID].UnixMilli(), 10)
		}
		out["next_page"] = pages.Seal(route, filter, c.id.Account.Name, order+" "+strconv.FormatInt(int64(e.ID), 10)+" "+last)
	}
	ids := make([]gantry.RepoID, len(list))
	for i, e := range list {
		ids[i] = e.ID
	}
	rows, err := s.Store.RepositoriesOf(ctx, ids)
	if err != nil {
		return err
	}
	return s.answerRepositories(c, rows, pushed, out)
}

// first is the index of the first that is so; the length of the list if none is.
func first[E any](list []E, is func(E) bool) int {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return i
	}
	return len(list)
}
