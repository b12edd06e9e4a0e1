package auth

import (
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// OAuth scopes.
const (
	ScopeRepoRead   = "repo:read"
	ScopeRepoWrite  = "repo:write"
	ScopeRepoAdmin  = "repo:admin"
	ScopeRepoCreate = "repo:create"
	ScopeUserRead   = "user:read"
	ScopeUserAdmin  = "user:admin"
	ScopeOrgAdmin   = "org:admin"
	ScopeSuperUser  = "super:user"
)

// AllScopes is every OAuth scope, as a token's scope text.
const AllScopes = "repo:create repo:read repo:write repo:admin user:read user:admin org:admin super:user"

// CheckScopes returns a token's scope text in its usual form; "" is every
// scope. One that is not known is Invalid on "scope".
func CheckScopes(s string) (string, error) {
	if s == "" {
		return AllScopes, nil
	}
	list := splitScopes(s)
	for _, x := range list {
		if !slices.Contains(strings.Fields(AllScopes), x) {
			return "", gantry.Errorf(gantry.Invalid, "scope", "%.80q is no scope; choose from %s", x, AllScopes)
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " "), nil
}

// An Identity is who makes a request and how that was shown. The zero value is
// an anonymous caller.
type Identity struct {
	Account store.Account
	Actor   gantry.Actor
	// Scopes caps what an OAuth token may do; nil = no cap.
	Scopes []string
	// Reference is the uuid of the token that was used, or of the account.
	Reference string
	// Temporary tells that the credentials end by themselves: nothing is given
	// for them that lasts longer.
	Temporary bool

	Superuser         bool
	FullAccess        bool // a superuser who may act everywhere
	ReadOnlySuperuser bool
	Restricted        bool // may not own content
}

// Anonymous reports whether nobody is known.
func (i *Identity) Anonymous() bool { return i.Account.ID == 0 }

// Has reports whether the scope does not forbid what needs scope s.
func (i *Identity) Has(s string) bool {
	if i.Scopes == nil {
		return true
	}
	for _, have := range i.Scopes {
		if have == s || s == ScopeRepoRead && (have == ScopeRepoWrite || have == ScopeRepoAdmin) ||
			s == ScopeRepoWrite && have == ScopeRepoAdmin || s == ScopeUserRead && have == ScopeUserAdmin {
			return true
		}
	}
	return false
}

// Role is what i may do in the repository of r, with what is public and what
// superusers may. anonymous tells whether the public may read at all.
func (i *Identity) Role(r store.Rights, anonymous bool) gantry.Role {
	if r.Repository.ID == 0 {
		return gantry.NoRole
	}
	role := r.Role
	switch {
	case i.FullAccess:
		role = gantry.Admin
	case i.ReadOnlySuperuser:
		role = max(role, gantry.Read)
	}
	if i.Scopes != nil {
		most := gantry.NoRole
		switch {
		case i.Has(ScopeRepoAdmin):
			most = gantry.Admin
		case i.Has(ScopeRepoWrite):
			most = gantry.Write
		case i.Has(ScopeRepoRead):
			most = gantry.Read
		}
		role = min(role, most)
	}
	if i.ReadOnlySuperuser {
		role = min(role, gantry.Read)
	}
	if r.Repository.Visibility == gantry.Public && (anonymous || !i.Anonymous()) {
		role = max(role, gantry.Read)
	}
	return role
}

// MayCreate reports whether i may create repositories in the namespace of r.
func (i *Identity) MayCreate(r store.Rights) bool {
	switch {
	case i.Anonymous() || i.ReadOnlySuperuser || r.Repository.Namespace == 0 || !r.Repository.NamespaceEnabled || !i.Has(ScopeRepoCreate):
		return false
	case i.FullAccess:
		return true
	case i.Restricted && i.Account.ID == r.Repository.Namespace:
		return false
	}
	return r.Team == gantry.TeamAdmin || r.Team == gantry.TeamCreator
}

// MayCreateOrganization reports whether i may make organizations. That a token
// has the scope for it is another matter.
func (c *Settings) MayCreateOrganization(i *Identity) bool {
	return i.Account.Kind == gantry.User && !i.Restricted && !i.ReadOnlySuperuser && (!c.OrgBySuperuser || i.Superuser)
}

// OrgAdmin reports whether i administers the namespace of r.
func (i *Identity) OrgAdmin(r store.Rights) bool {
	if i.Anonymous() || i.ReadOnlySuperuser || r.Repository.Namespace == 0 || !i.Has(ScopeOrgAdmin) {
		return false
	}
	return i.FullAccess || r.Team == gantry.TeamAdmin
}

// mayPush reports whether a role and the repository's state let i write.
// mirror is the robot of a mirrored repository.
func mayPush(i *Identity, role gantry.Role, state gantry.RepoState, mirror gantry.AccountID) bool {
	switch state {
	case gantry.Normal:
		return role >= gantry.Write
	case gantry.Mirror, gantry.OrgMirror:
		return role >= gantry.Write && mirror != 0 && mirror == i.Account.ID
	}
	return false
}

// rank sets what the switches make of an account.
func (c *Settings) rank(i *Identity) {
	if i.Account.Kind != gantry.User {
		return
	}
	name := i.Account.Name
	var given Rank
	if c.ranks != nil {
		given = c.ranks(i.Account.ID)
	}
	super := i.Account.Superuser || slices.Contains(c.Superusers, name) || given&RankSuperuser != 0
	i.ReadOnlySuperuser = c.SuperUsers && (slices.Contains(c.ReadOnlySuperusers, name) || given&RankReadOnly != 0)
	i.Superuser = c.SuperUsers && super && !i.ReadOnlySuperuser && i.Has(ScopeSuperUser)
	i.FullAccess = i.Superuser && c.SuperusersFullAccess
	i.Restricted = c.RestrictedUsers && (!c.RestrictedByRank || given&RankRestricted != 0) && !super && !slices.Contains(c.RestrictedUsersWhitelist, name)
}

// Rank tells whether an account is a superuser, or one for reading only.
func (c *Settings) Rank(a store.Account) (super, readOnly bool) {
	i := Identity{Account: a}
	c.rank(&i)
	return i.Superuser, i.ReadOnlySuperuser
}

// robotAllowed applies ROBOTS_DISALLOW.
func (c *Settings) robotAllowed(name string) bool {
	return !c.RobotsDisallow || slices.Contains(c.RobotsWhitelist, name)
}

// splitScopes reads a token's scope text. It is never nil: "" allows nothing.
func splitScopes(s string) []string {
	return append([]string{}, strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })...)
}
