package api

import "github.com/gantry-registry/gantry/internal/gantry"

// offRoutes are the routes of features that this registry does not have, or
// that Quay has given up. They answer as a Quay with the feature switched off:
// who may not call them is refused as ever, and the rest find nothing there.
var offRoutes = []route{
	// builds and their triggers
	{method: "GET", path: "repository/{repo}/build", access: repoRead, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "repository/{repo}/build", access: repoWrite, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "repository/{repo}/build/{id}", access: repoRead, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "DELETE", path: "repository/{repo}/build/{id}", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "repository/{repo}/build/{id}/status", access: repoRead, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "repository/{repo}/build/{id}/logs", access: repoWrite, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "repository/{repo}/trigger", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "repository/{repo}/trigger/{uuid}", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "PUT", path: "repository/{repo}/trigger/{uuid}", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "DELETE", path: "repository/{repo}/trigger/{uuid}", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "repository/{repo}/trigger/{uuid}/activate", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "repository/{repo}/trigger/{uuid}/analyze", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "repository/{repo}/trigger/{uuid}/subdir", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "repository/{repo}/trigger/{uuid}/sources", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "repository/{repo}/trigger/{uuid}/fields/{name}", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "repository/{repo}/trigger/{uuid}/namespaces", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "repository/{repo}/trigger/{uuid}/start", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "repository/{repo}/trigger/{uuid}/builds", access: repoAdmin, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "POST", path: "filedrop", access: known, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "superuser/{id}/build", access: superuser, fresh: true, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "superuser/{id}/status", access: superuser, fresh: true, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "superuser/{id}/logs", access: superuser, fresh: true, handle: off("FEATURE_BUILD_SUPPORT")},
	{method: "GET", path: "superuser/{id}/logs/archive", access: superuser, fresh: true, handle: off("FEATURE_BUILD_SUPPORT")},
	// what is known of images
	{method: "GET", path: "repository/{repo}/manifest/{ref}/security", access: repoRead, handle: off("FEATURE_SECURITY_SCANNER")},
	{method: "GET", path: "repository/{repo}/manifest/{ref}/pull_statistics", access: repoRead, handle: off("FEATURE_IMAGE_PULL_STATS")},
	{method: "GET", path: "repository/{repo}/tag/{tag}/pull_statistics", access: repoRead, handle: off("FEATURE_IMAGE_PULL_STATS")},
	// what Quay has given up
	{method: "POST", path: "repository/{repo}/changetrust", access: repoAdmin, deprecated: true, handle: off("FEATURE_SIGNING")},
	{method: "GET", path: "repository/{repo}/signatures", access: repoRead, deprecated: true, handle: off("FEATURE_SIGNING")},
	{method: "GET", path: "repository/{repo}/image", access: repoRead, deprecated: true, handle: (*server).noImages},
	{method: "GET", path: "repository/{repo}/image/{id}", access: repoRead, deprecated: true, handle: (*server).noImages},
	{method: "GET", path: "repository/{repo}/image/{id}/security", access: repoRead, deprecated: true, handle: (*server).noImages},
	{method: "GET", path: "repository/{repo}/tag/{tag}/images", access: repoRead, deprecated: true, handle: (*server).noImages},
	{method: "GET", path: "repository/{repo}/tokens", access: repoAdmin, deprecated: true, handle: (*server).goneTokens},
	{method: "POST", path: "repository/{repo}/tokens", access: repoAdmin, deprecated: true, handle: (*server).goneTokens},
	{method: "GET", path: "repository/{repo}/tokens/{id}", access: repoAdmin, deprecated: true, handle: (*server).goneTokens},
	{method: "PUT", path: "repository/{repo}/tokens/{id}", access: repoAdmin, deprecated: true, handle: (*server).goneTokens},
	{method: "DELETE", path: "repository/{repo}/tokens/{id}", access: repoAdmin, deprecated: true, handle: (*server).goneTokens},
}

// off answers for a feature that is not there.
func off(field string) func(*server, *call) error {
	return func(*server, *call) error {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found: the feature is off on this registry (%s)", field)
	}
}

// noImages answers for the images of Docker's first registry, which tags and
// manifests have replaced.
func (s *server) noImages(*call) error {
	return gantry.Errorf(gantry.NotFound, "route", "Not Found: images have given way to manifests, GET repository/{repo}/tag/ and GET repository/{repo}/manifest/{digest}")
}

func (s *server) goneTokens(c *call) error {
	return c.json(410, problem(c.r, answer{410, "gone"}, "Access tokens of a repository are gone: make a robot, and give it a role in the repository"))
}

// internalRoutes are those that Quay leaves out of discovery unless it is asked
// for them: its own pages use them. The key is the method and the path.
var internalRoutes = func() map[string]bool {
	m := map[string]bool{}
	for _, at := range []string{"POST user", "PUT user", "DELETE user", "POST user/clientkey", "POST user/convert", "POST signin", "POST signin/verify", "POST signout",
		"POST externallogin/{service}", "POST detachexternal/{service}", "POST recovery", "GET user/notifications", "GET user/notifications/{uuid}", "PUT user/notifications/{uuid}",
		"GET user/authorizations", "GET user/authorizations/{uuid}", "DELETE user/authorizations/{uuid}", "GET user/assignedauthorization", "DELETE user/assignedauthorization/{uuid}",
		"POST organization/{org}/applications/{client}/resetclientsecret", "PUT teaminvite/{code}", "DELETE teaminvite/{code}", "GET repository/{repo}/authorizedemail/{email}",
		"POST repository/{repo}/authorizedemail/{email}", "POST filedrop", "POST repository/{repo}/trigger/{uuid}/analyze", "POST repository/{repo}/trigger/{uuid}/subdir",
		"POST repository/{repo}/trigger/{uuid}/sources", "POST repository/{repo}/trigger/{uuid}/fields/{name}", "GET repository/{repo}/trigger/{uuid}/namespaces",
		"POST entities/link/{username}", "GET superuser/changelog", "GET superuser/registrystatus"} {
		m[at] = true
	}
	return m
}()
