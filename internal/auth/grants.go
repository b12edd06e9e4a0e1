package auth

import (
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Grants are what a verified bearer token allows. They are shared between
// requests: nobody changes them.
type Grants struct {
	// Actor is who the token was issued to. IP, Request and Agent are of the
	// request that is being made now: the edge fills them into a copy.
	Actor     gantry.Actor
	Anonymous bool
	// Superuser may see the whole catalog. Only with FullAccess does it also
	// read and write every repository.
	Superuser  bool
	FullAccess bool
	// ReadOnlySuperuser may read every repository and write none.
	ReadOnlySuperuser bool
	// Catalog is set when the token was asked for with registry:catalog:*.
	Catalog bool

	audience string
	expires  time.Time
	repos    map[gantry.RepoName]grant
	readable []gantry.RepoID
}

type grant struct {
	id   gantry.RepoID
	role gantry.Role
}

// maxReadable bounds Readable.
const maxReadable = 20

// Repo returns the repository's id as it was when the token was issued, and
// the role that the token carries: pull is Read, push is Write, * is Admin. A
// repository that is now there under the name but has another id is not the
// one that was granted. The id is 0 with a role for a repository that was not
// there, and that the holder may know of. It is 0, NoRole when the token says nothing of the
// name.
func (g *Grants) Repo(name gantry.RepoName) (gantry.RepoID, gantry.Role) {
	r := g.repos[name]
	return r.id, r.role
}

// Readable returns the ids of at most 20 repositories that the token lets
// read, in the order in which they were asked for.
func (g *Grants) Readable() []gantry.RepoID { return g.readable }

// Expires is when the token ends.
func (g *Grants) Expires() time.Time { return g.expires }

// add notes a grant; of two for the same name the higher role stays.
func (g *Grants) add(name gantry.RepoName, id gantry.RepoID, role gantry.Role) {
	if role == gantry.NoRole {
		return
	}
	old, there := g.repos[name]
	if there && old.role >= role {
		return
	}
	if g.repos == nil {
		g.repos = map[gantry.RepoName]grant{}
	}
	g.repos[name] = grant{id, role}
	if !there && id != 0 && len(g.readable) < maxReadable {
		g.readable = append(g.readable, id)
	}
}
