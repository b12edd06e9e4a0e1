package api

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// routes is the API, a group a file of the contract. Of two that match a path,
// the one with more behind {repo} is taken.
var routes = ordered(
	metaRoutes,
	accountRoutes,
	robotRoutes,
	organizationRoutes,
	repositoryRoutes,
	quotaRoutes,
	logRoutes,
	superuserRoutes,
	storageRoutes,
	jobRoutes,
	messageRoutes,
	tagRoutes,
	profileRoutes,
	memberRoutes,
	applicationRoutes,
	searchRoutes,
	externalRoutes,
	policyRoutes,
	proxyCacheRoutes,
	mirrorRoutes,
	exportRoutes,
	assignedRoutes,
	federationRoutes,
	serviceKeyRoutes,
	frontRoutes,
	notificationRoutes,
	tellRoutes,
	offRoutes, // last: superuser/{id}/logs is none of the others
)

// ordered puts routes that match more closely first.
func ordered(groups ...[]route) []route {
	all := slices.Concat(groups...)
	slices.SortStableFunc(all, func(a, b route) int { return cmp.Compare(behind(b.path), behind(a.path)) })
	return all
}

// behind is how many parts of a pattern follow {repo}; -1 where there is none.
func behind(pattern string) int {
	if strings.HasPrefix(pattern, "repository/") && !strings.Contains(pattern, "{") {
		return 1 << 10 // which no {repo} stands for
	}
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

// wholeRepository is the pattern that takes any path below repository/: the
// name of a repository may hold slashes.
const wholeRepository = "repository/{repo}"

// below are the parts of a repository that Quay has routes for and this API
// has not yet. They are no names of nested repositories: who deletes a tag
// must not delete the repository app/tag/latest.
var below = []string{
	"manifest/{x}",
	"manifest/{x}/labels",
	"manifest/{x}/labels/{y}",
	"tag",
	"tag/{x}",
	"tag/{x}/expire",
	"tag/{x}/restore",
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

func detail(err error) string {
	if e, ok := errors.AsType[*gantry.Error](err); ok {
		return e.Detail
	}
	return "internal error"
}

// maxDescription is the size of a description of anything, in bytes: what a
// long text holds in every database.
const maxDescription = 64_000

var errDescription = gantry.Errorf(gantry.Invalid, "description", "The description is longer than %d bytes", maxDescription)

func (c *call) success(err error) error {
	if err != nil {
		return err
	}
	return c.json(200, map[string]bool{"success": true})
}

// grantee finds the user or robot that a permission route names.
func (s *server) grantee(c *call) (store.Account, error) {
	a, err := s.Store.Account(c.r.Context(), c.params["name"])
	if gantry.Is(err, gantry.NotFound) || err == nil && a.Kind == gantry.Organization {
		return a, gantry.Errorf(gantry.Invalid, "account", "Invalid username: %.300s", c.params["name"])
	}
	return a, err
}
