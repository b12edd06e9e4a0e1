package auth

import "github.com/gantry-registry/gantry/internal/gantry"

// A Grant is one repository of NewGrants.
type Grant struct {
	Repo gantry.RepoName
	ID   gantry.RepoID
	Role gantry.Role
}

// NewGrants makes grants without a token, for callers inside the registry and
// for tests of the edges.
func NewGrants(actor gantry.Actor, repos ...Grant) *Grants {
	g := &Grants{Actor: actor}
	for _, r := range repos {
		g.add(r.Repo, r.ID, r.Role)
	}
	return g
}
