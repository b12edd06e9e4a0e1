package registry

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var (
	errNoToken      = &gantry.Error{Code: gantry.Unauthenticated}
	errScheme       = &gantry.Error{Code: gantry.Unauthenticated, Detail: "a bearer token is required; get one from /v2/auth"}
	errNotAllowed   = &gantry.Error{Code: gantry.Denied}
	errNoRepository = &gantry.Error{Code: gantry.NotFound, Object: "repository"}
	errDisabled     = &gantry.Error{Code: gantry.Denied, Object: "namespace", Reason: gantry.NamespaceDisabled, Detail: "This namespace is disabled. Please contact your system administrator."}
)

// identify checks the bearer token, if there is one. A token that is not good
// is an error even where none is needed: the client believes to be somebody.
func (c *call) identify() error {
	values := c.r.Header["Authorization"]
	if len(values) == 0 || values[0] == "" {
		return nil
	}
	token, ok := bearer(values[0])
	if !ok || len(values) > 1 {
		return errScheme
	}
	grants, err := c.s.auth.Verify(c.r.Context(), token, c.info.Host)
	if err != nil {
		return err
	}
	c.grants = grants
	c.info.Actor = grants.Actor.Name
	return nil
}

// bearer takes the token out of an Authorization header.
func bearer(header string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimLeft(token, " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// actor is who makes the request, for the journal.
func (c *call) actor() gantry.Actor {
	a := gantry.Actor{Kind: gantry.ActorAnonymous}
	if c.grants != nil {
		a = c.grants.Actor
		if a.Kind == "" {
			a.Kind = gantry.ActorAnonymous // "" would be the registry itself
		}
	}
	if c.info.IP.IsValid() {
		a.IP = c.info.IP.String()
	}
	a.Request = c.info.RequestID
	a.Agent = c.r.UserAgent()
	if len(a.Agent) > maxAgent {
		a.Agent = a.Agent[:maxAgent]
	}
	if !utf8.ValidString(a.Agent) { // a database would refuse it, and the pulls that are logged with it
		a.Agent = strings.ToValidUTF8(a.Agent, "?")
	}
	return a
}

const maxAgent = 256

// authorize finds the repository, if the caller may do there what the route
// does. Who may not gets the same answer whether it is there or not.
func (c *call) authorize() error {
	repo, err := c.find()
	if err == nil {
		err = c.open(repo)
	}
	if err != nil && c.act.log != "" && (gantry.Is(err, gantry.Denied) || gantry.Is(err, gantry.Unauthenticated)) {
		c.logRefusal(repo)
	}
	return err
}

// find returns the repository that the caller may read or write, as the
// route needs. With an error, the repository may still be the one that was
// asked for.
func (c *call) find() (store.Repository, error) {
	ctx := c.r.Context()
	need := gantry.Read
	if c.act.access == accessWrite {
		need = gantry.Write
	}
	var id gantry.RepoID
	var granted gantry.Role
	if c.grants != nil {
		id, granted = c.grants.Repo(c.name)
	}
	if granted >= need && id != 0 {
		repo, err := c.s.content.RepositoryByID(ctx, id)
		if err == nil && repo.Name == c.name {
			c.role = granted
			return repo, nil
		}
		if err != nil && !gantry.Is(err, gantry.NotFound) {
			return store.Repository{}, err
		}
		// What was granted is gone, or has another name now; whatever has the
		// name today was not granted.
	}
	repo, err := c.s.content.Repository(ctx, c.name)
	role := roleWithoutGrant(repo, err == nil, c.grants, c.set.NoAnonymous)
	proxy := err == nil && repo.Upstream != ""
	if proxy && id == 0 {
		// What was not there when the token was given was granted as a part of
		// the proxy cache: a pull makes the repository on its way.
		role = max(role, min(granted, gantry.Read))
	}
	switch {
	case err != nil && !gantry.Is(err, gantry.NotFound):
		return repo, err
	case proxy && need == gantry.Write && max(role, granted) >= gantry.Read:
		c.role = role
		return repo, nil // who may pull may know why nobody pushes
	case err == nil && role >= need:
		c.role = role
		return repo, nil
	case err != nil && (role >= need || granted >= need):
		return repo, err // may know that it is not there
	case c.grants == nil:
		return repo, errNoToken
	}
	return repo, errNotAllowed
}

// roleWithoutGrant is what somebody may do in a repository of which the token
// says nothing: read what is public, or everything as a superuser. Writing
// always takes a grant. Of a repository that is not there it is the role
// that they would have had.
func roleWithoutGrant(repo store.Repository, there bool, g *auth.Grants, noAnonymous bool) gantry.Role {
	known := g != nil && !g.Anonymous
	switch {
	case g != nil && (g.ReadOnlySuperuser || g.Superuser && g.FullAccess):
		return gantry.Read
	case there && repo.Visibility == gantry.Public && (known || !noAnonymous):
		return gantry.Read
	}
	return gantry.NoRole
}

// open checks the states that forbid what a role allows.
func (c *call) open(repo store.Repository) error {
	if !repo.NamespaceEnabled {
		return errDisabled
	}
	if repo.State == gantry.MarkedForDeletion {
		return errNoRepository
	}
	if c.act.access == accessWrite && repo.Upstream != "" {
		return &gantry.Error{Code: gantry.Unsupported, Detail: "organization " + repo.Name.Namespace + " is a proxy cache of " + repo.Upstream + ": it takes no pushes; push to another organization, or to " + repo.Upstream}
	}
	if c.act.access == accessWrite && !mayPushTo(repo.State, c.grants.Actor.Kind) {
		return &gantry.Error{Code: gantry.Denied, Detail: "the repository is in state " + repo.State.String() + ": it takes no pushes; its administrator can change that"}
	}
	c.repo = repo
	return nil
}

// mayPushTo reports whether somebody with a granted push may use it in a
// repository of that state now. A mirror's pushes are for its robot, which
// auth saw to when it granted them; a grant from before the repository became
// a mirror is that of somebody else, or of a robot that could push anyway.
func mayPushTo(state gantry.RepoState, actorKind string) bool {
	switch state {
	case gantry.Normal:
		return true
	case gantry.Mirror, gantry.OrgMirror:
		return actorKind == gantry.ActorRobot
	default:
		return false
	}
}

// logRefusal writes a refused pull, push or delete into the log of accesses,
// when that is wanted.
func (c *call) logRefusal(repo store.Repository) {
	want := map[string]bool{logPull: c.set.AuditPullFailures, logPush: c.set.AuditPushFailures, logDelete: c.set.AuditDeleteFailures}
	if !want[c.act.log] || c.set.ReadOnly {
		return
	}
	ctx := c.r.Context()
	ref, err := gantry.ParseReference(c.route.ref)
	if err != nil {
		ref = gantry.Reference{} // anything may stand there: it stays out of the log
	}
	err = c.s.store.LogAccess(ctx, store.Access{Kind: c.act.log, Namespace: repo.Namespace, Repo: max(repo.ID, 0), Actor: c.actor(), Ref: ref.String()})
	if err != nil {
		c.s.log.WarnContext(ctx, "a refusal could not be logged", "kind", c.act.log, "error", err)
	}
}

// challenge tells the client where to get a token, and for what.
func (c *call) challenge(h http.Header) {
	service := c.set.Hostname
	if service == "" {
		service = c.info.Host
	}
	v := `Bearer realm="` + c.url("/v2/auth") + `",service="` + service + `"`
	if c.name.Namespace != "" {
		actions := ":pull"
		if c.act.access == accessWrite {
			actions = ":pull,push"
		}
		v += `,scope="repository:` + c.name.Namespace + "/" + c.name.Name + actions + `"`
	} else if c.route.kind == kindCatalog {
		v += `,scope="registry:catalog:*"`
	}
	h["Www-Authenticate"] = []string{v}
	h["Docker-Distribution-Api-Version"] = headerVersion
}

// url makes an absolute URL of this registry, as the client knows it; without
// a host (HTTP/1.0) it stays a path.
func (c *call) url(path string) string {
	if c.info.Host == "" {
		return path
	}
	scheme := c.set.Scheme
	if scheme == "" {
		scheme = c.info.Scheme
	}
	return scheme + "://" + c.info.Host + path
}
