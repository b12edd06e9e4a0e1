package api

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var searchRoutes = []route{
	{method: "GET", path: "entities/{prefix}", access: known, handle: (*server).findEntities},
	{method: "GET", path: "find/all", handle: (*server).findAll},
	{method: "GET", path: "find/repositories", handle: (*server).findRepositories},
}

const (
	maxQuery    = 255 // bytes of a query that can be part of a name
	maxEntities = 10  // of each kind in an answer
	maxFound    = 5   // repositories in an answer of find/all
)

// What each way to match is worth; every star adds one, up to maxStars.
const (
	scoreExact = 300 // the whole name
	scoreBegin = 200 // the beginning of the name
	scoreWord  = 100 // the beginning of a later word of the name
	maxStars   = 99
)

// query is what somebody looks for, as names have it; "" where no name can
// match.
func query(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+", r)
	}
	if len(text) > maxQuery || strings.TrimFunc(text, plain) != "" {
		return ""
	}
	return text
}

// entityView shows what a search for accounts found. org is the organization
// that was named, "" = none.
func entityView(e store.Entity, org string) map[string]any {
	if e.Kind == "" {
		return map[string]any{"name": e.Name, "kind": "team", "is_org_member": true, "avatar": avatar(e.Name, "team")}
	}
	v := map[string]any{"name": e.Name, "kind": "user", "is_robot": e.Kind == gantry.Robot, "avatar": accountAvatar(e.Name, e.Kind)}
	if e.Kind == gantry.Organization {
		v["kind"] = "org"
	}
	if org != "" {
		v["is_org_member"] = e.Member || e.Kind == gantry.Robot
	}
	return v
}

// findEntities finds whom something can be given to. Robots, teams and who
// belongs to an organization are told to those in it.
func (s *server) findEntities(c *call) error {
	q := c.r.URL.Query()
	want := store.EntityQuery{Prefix: query(c.params["prefix"]), Exact: s.ExactUsers, N: maxEntities,
		Organizations: q.Get("includeOrgs") == "true", Teams: q.Get("includeTeams") == "true"}
	ctx := c.r.Context()
	org := ""
	if name := q.Get("namespace"); gantry.CheckNamespace(name) == nil {
		rights, err := s.Store.RepositoryAccess(ctx, c.id.Account.ID, gantry.RepoName{Namespace: name})
		if err != nil {
			return err
		}
		if s.belongs(c, rights) {
			want.Namespace, want.NamespaceName = rights.Repository.Namespace, name
			if rights.Repository.NamespaceKind == gantry.Organization {
				org = name
			}
		}
	}
	found, err := s.Store.Entities(ctx, want)
	if err != nil {
		return err
	}
	list := []any{}
	for _, e := range found {
		list = append(list, entityView(e, org))
	}
	if want.Namespace != 0 {
		outside, err := s.externalEntities(c, c.params["prefix"])
		if err != nil {
			return err
		}
		list = append(list, outside...)
	}
	return c.json(200, map[string]any{"results": list})
}

// belongs reports whether the caller may know who is in a namespace.
func (s *server) belongs(c *call, rights store.Rights) bool {
	return rights.Repository.Namespace != 0 && (c.id.OrgAdmin(rights) || c.id.Has(auth.ScopeOrgAdmin) && (rights.Team != "" || c.id.ReadOnlySuperuser))
}

// hits finds repositories that the caller may see, the best ones first. A
// query with a slash is a namespace and what is in it, or a nested name.
func (s *server) hits(c *call, text string) ([]hit, error) {
	ctx := c.r.Context()
	set := s.Auth.Settings()
	want := store.SearchQuery{Prefix: text, Account: c.id.Account.ID, Public: true, All: c.id.FullAccess || c.id.ReadOnlySuperuser}
	if !c.id.Has(auth.ScopeRepoRead) { // what is public needs no scope
		want.Account, want.All = 0, false
	}
	if c.id.Anonymous() && !set.AnonymousAccess {
		return nil, errSignIn
	}
	namespace, rest, inside := strings.Cut(text, "/")
	if inside = inside && gantry.CheckNamespace(namespace) == nil; inside {
		want.Namespace, want.Rest = namespace, rest
	}
	found, err := s.Store.Search(ctx, want)
	if err != nil {
		return nil, err
	}
	list := make([]hit, 0, len(found))
	for _, h := range found {
		x := hit{h, score(h, text)}
		if inside && h.Name.Namespace == namespace {
			x.score = max(x.score, score(h, rest))
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b hit) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.Name.Name, b.Name.Name), cmp.Compare(a.Name.Namespace, b.Name.Namespace))
	})
	return list, nil
}

// A hit is what was found with its rank.
type hit struct {
	store.Hit
	score int
}

// score ranks a repository that was found by text.
func score(h store.Hit, text string) int {
	n := scoreWord
	switch name := h.Name.Name; {
	case name == text:
		n = scoreExact
	case strings.HasPrefix(name, text):
		n = scoreBegin
	}
	return n + min(h.Stars, maxStars)
}

// nameScore ranks an account or a team.
func nameScore(name, text string) int {
	if name == text {
		return scoreExact
	}
	return scoreBegin
}

func repositoryHref(n gantry.RepoName) string { return "/repository/" + n.String() }

// hitNamespace is the namespace of a repository that was found.
func hitNamespace(h hit) map[string]any {
	return accountHit(h.Name.Namespace, h.NamespaceKind, scoreWord)
}

func accountHit(name string, kind gantry.AccountKind, score int) map[string]any {
	title, href := "user", "/user/"+name
	if kind == gantry.Organization {
		title, href = "organization", "/organization/"+name
	}
	return map[string]any{"kind": title, "title": title, "name": name, "avatar": accountAvatar(name, kind), "score": score, "href": href}
}

func hitView(h hit) map[string]any {
	return map[string]any{"kind": "repository", "title": "repo", "namespace": hitNamespace(h), "name": h.Name.Name, "description": h.Description,
		"is_public": h.Visibility == gantry.Public, "score": h.score, "href": repositoryHref(h.Name)}
}

// findRepositories finds repositories by the beginning of a word of their
// name.
func (s *server) findRepositories(c *call) error {
	q := c.r.URL.Query()
	page := 1
	if text := q.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > s.SearchPages {
			return gantry.Errorf(gantry.Invalid, "page", "page must be a number from 1 to %d", s.SearchPages)
		}
		page = n
	}
	found, err := s.hits(c, query(q.Get("query")))
	if err != nil {
		return err
	}
	start := (page - 1) * s.SearchPage
	end := min(start+s.SearchPage, len(found))
	list := []any{}
	for i := start; i < end; i++ {
		v := hitView(found[i])
		v["last_modified"] = nil
		if q.Get("includeUsage") == "true" {
			v["stars"], v["popularity"] = found[i].Stars, found[i].Stars
		}
		list = append(list, v)
	}
	return c.json(200, map[string]any{"results": list, "has_additional": len(found) > end && page < s.SearchPages, "page": page,
		"page_size": s.SearchPage, "start_index": min(start, len(found))})
}

// findAll finds anything: repositories for everybody; accounts, and the teams
// and robots of the caller's own namespace, for who has signed in.
func (s *server) findAll(c *call) error {
	if !c.id.Anonymous() && !c.id.Has(auth.ScopeRepoRead) {
		return errDenied
	}
	text := query(c.r.URL.Query().Get("query"))
	found, err := s.hits(c, text)
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, h := range found[:min(len(found), maxFound)] {
		list = append(list, hitView(h))
	}
	if !c.id.Anonymous() {
		more, err := s.accountHits(c, text)
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	slices.SortStableFunc(list, func(a, b map[string]any) int { return cmp.Compare(b["score"].(int), a["score"].(int)) })
	return c.json(200, map[string]any{"results": list})
}

// accountHits finds users and organizations, robots of the caller, and teams
// of organizations that the caller is in.
func (s *server) accountHits(c *call, text string) (list []map[string]any, err error) {
	ctx := c.r.Context()
	want := store.EntityQuery{Prefix: text, Exact: s.ExactUsers, Organizations: true, N: maxFound}
	if c.id.Has(auth.ScopeUserAdmin) {
		want.Namespace, want.NamespaceName = c.id.Account.ID, c.id.Account.Name
	}
	found, err := s.Store.Entities(ctx, want)
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		if e.Kind == gantry.Robot {
			name := strings.TrimPrefix(e.Name, c.id.Account.Name+"+")
			list = append(list, map[string]any{"kind": "robot", "title": "robot", "name": e.Name, "avatar": accountAvatar(e.Name, e.Kind),
				"score": nameScore(name, text), "href": "/user/" + c.id.Account.Name + "?tab=robots"})
			continue
		}
		list = append(list, accountHit(e.Name, e.Kind, nameScore(e.Name, text)))
	}
	if !c.id.Has(auth.ScopeOrgAdmin) {
		return list, nil
	}
	teams, err := s.Store.TeamsNamed(ctx, c.id.Account.ID, text, maxFound)
	for _, g := range teams {
		list = append(list, map[string]any{"kind": "team", "title": "team", "name": g.Name, "avatar": avatar(g.Name, "team"), "score": nameScore(g.Name, text),
			"organization": accountHit(g.Organization, gantry.Organization, scoreWord), "href": "/organization/" + g.Organization + "/teams/" + g.Name})
	}
	return list, err
}
