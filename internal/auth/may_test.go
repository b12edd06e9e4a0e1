package auth

import (
	"fmt"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// TestRole is every kind of identity against every role and visibility.
func TestRole(t *testing.T) {
	const no, r, w, a = gantry.NoRole, gantry.Read, gantry.Write, gantry.Admin
	user := store.Account{ID: 7, Kind: gantry.User}
	scoped := func(s ...string) Identity { return Identity{Account: user, Scopes: append([]string{}, s...)} }
	for name, x := range map[string]struct {
		id      Identity
		private [4]gantry.Role // by the role that was given: none, read, write, admin
		public  [4]gantry.Role
		closed  [4]gantry.Role // public, with anonymous access off
	}{
		"anonymous":            {Identity{}, [4]gantry.Role{no, r, w, a}, [4]gantry.Role{r, r, w, a}, [4]gantry.Role{no, r, w, a}},
		"user":                 {Identity{Account: user}, [4]gantry.Role{no, r, w, a}, [4]gantry.Role{r, r, w, a}, [4]gantry.Role{r, r, w, a}},
		"robot":                {Identity{Account: store.Account{ID: 8, Kind: gantry.Robot}}, [4]gantry.Role{no, r, w, a}, [4]gantry.Role{r, r, w, a}, [4]gantry.Role{r, r, w, a}},
		"superuser":            {Identity{Account: user, Superuser: true}, [4]gantry.Role{no, r, w, a}, [4]gantry.Role{r, r, w, a}, [4]gantry.Role{r, r, w, a}},
		"full access":          {Identity{Account: user, Superuser: true, FullAccess: true}, [4]gantry.Role{a, a, a, a}, [4]gantry.Role{a, a, a, a}, [4]gantry.Role{a, a, a, a}},
		"read-only superuser":  {Identity{Account: user, ReadOnlySuperuser: true}, [4]gantry.Role{r, r, r, r}, [4]gantry.Role{r, r, r, r}, [4]gantry.Role{r, r, r, r}},
		"restricted":           {Identity{Account: user, Restricted: true}, [4]gantry.Role{no, r, w, a}, [4]gantry.Role{r, r, w, a}, [4]gantry.Role{r, r, w, a}},
		"no scope":             {scoped(), [4]gantry.Role{no, no, no, no}, [4]gantry.Role{r, r, r, r}, [4]gantry.Role{r, r, r, r}},
		"user:admin only":      {scoped(ScopeUserAdmin), [4]gantry.Role{no, no, no, no}, [4]gantry.Role{r, r, r, r}, [4]gantry.Role{r, r, r, r}},
		"repo:read":            {scoped(ScopeRepoRead), [4]gantry.Role{no, r, r, r}, [4]gantry.Role{r, r, r, r}, [4]gantry.Role{r, r, r, r}},
		"repo:write":           {scoped(ScopeRepoWrite), [4]gantry.Role{no, r, w, w}, [4]gantry.Role{r, r, w, w}, [4]gantry.Role{r, r, w, w}},
		"repo:admin":           {scoped(ScopeRepoAdmin), [4]gantry.Role{no, r, w, a}, [4]gantry.Role{r, r, w, a}, [4]gantry.Role{r, r, w, a}},
		"full, repo:read only": {Identity{Account: user, FullAccess: true, Scopes: []string{ScopeRepoRead}}, [4]gantry.Role{r, r, r, r}, [4]gantry.Role{r, r, r, r}, [4]gantry.Role{r, r, r, r}},
	} {
		for given := no; given <= a; given++ {
			for _, c := range []struct {
				v         gantry.Visibility
				anonymous bool
				want      gantry.Role
			}{{gantry.Private, true, x.private[given]}, {gantry.Public, true, x.public[given]}, {gantry.Public, false, x.closed[given]}} {
				rights := store.Rights{Repository: store.Repository{ID: 1, Visibility: c.v}, Role: given}
				if got := x.id.Role(rights, c.anonymous); got != c.want {
					t.Errorf("%s, given %q, %s, anonymous access %t: %q, want %q", name, given, c.v, c.anonymous, got, c.want)
				}
			}
			if got := x.id.Role(store.Rights{Role: given}, true); got != no {
				t.Errorf("%s has %q where there is no repository", name, got)
			}
		}
	}
}

// TestMayPush is every state against every role.
func TestMayPush(t *testing.T) {
	me, other := &Identity{Account: store.Account{ID: 7}}, &Identity{Account: store.Account{ID: 8}}
	for state := gantry.Normal; state <= gantry.OrgMirror; state++ {
		for role := gantry.NoRole; role <= gantry.Admin; role++ {
			for _, mirror := range []gantry.AccountID{0, 7} {
				for _, id := range []*Identity{me, other, {}} {
					want := role >= gantry.Write && (state == gantry.Normal || (state == gantry.Mirror || state == gantry.OrgMirror) && mirror == 7 && id == me)
					if got := mayPush(id, role, state, mirror); got != want {
						t.Errorf("state %s, role %q, mirror %d, account %d: %t", state, role, mirror, id.Account.ID, got)
					}
				}
			}
		}
	}
}

// TestMayCreate is who may create in, and administer, a namespace.
func TestMayCreate(t *testing.T) {
	user := store.Account{ID: 7, Kind: gantry.User}
	for name, x := range map[string]struct {
		id            Identity
		ns            gantry.AccountID
		off           bool
		team          gantry.TeamRole
		create, admin bool
	}{
		"anonymous":               {Identity{}, 9, false, gantry.TeamAdmin, false, false},
		"stranger":                {Identity{Account: user}, 9, false, "", false, false},
		"member":                  {Identity{Account: user}, 9, false, gantry.TeamMember, false, false},
		"creator":                 {Identity{Account: user}, 9, false, gantry.TeamCreator, true, false},
		"admin":                   {Identity{Account: user}, 9, false, gantry.TeamAdmin, true, true},
		"own":                     {Identity{Account: user}, 7, false, gantry.TeamAdmin, true, true},
		"own, restricted":         {Identity{Account: user, Restricted: true}, 7, false, gantry.TeamAdmin, false, true},
		"creator, restricted":     {Identity{Account: user, Restricted: true}, 9, false, gantry.TeamCreator, true, false},
		"disabled namespace":      {Identity{Account: user}, 9, true, gantry.TeamAdmin, false, true},
		"no namespace":            {Identity{Account: user, FullAccess: true}, 0, false, gantry.TeamAdmin, false, false},
		"full access":             {Identity{Account: user, FullAccess: true}, 9, false, "", true, true},
		"superuser without":       {Identity{Account: user, Superuser: true}, 9, false, "", false, false},
		"read-only superuser":     {Identity{Account: user, ReadOnlySuperuser: true}, 9, false, gantry.TeamAdmin, false, false},
		"repo:admin, not create":  {Identity{Account: user, Scopes: []string{ScopeRepoAdmin}}, 9, false, gantry.TeamAdmin, false, false},
		"repo:create":             {Identity{Account: user, Scopes: []string{ScopeRepoCreate}}, 9, false, gantry.TeamAdmin, true, false},
		"org:admin":               {Identity{Account: user, Scopes: []string{ScopeOrgAdmin}}, 9, false, gantry.TeamAdmin, false, true},
		"full access, no scopes":  {Identity{Account: user, FullAccess: true, Scopes: []string{}}, 9, false, "", false, false},
		"restricted, full access": {Identity{Account: user, FullAccess: true, Restricted: true}, 9, false, "", true, true},
	} {
		r := store.Rights{Repository: store.Repository{Namespace: x.ns, NamespaceEnabled: !x.off}, Team: x.team}
		if got := x.id.MayCreate(r); got != x.create {
			t.Errorf("%s: may create %t", name, got)
		}
		if got := x.id.OrgAdmin(r); got != x.admin {
			t.Errorf("%s: admin %t", name, got)
		}
	}
}

// TestRank holds who becomes what by the configuration.
func TestRank(t *testing.T) {
	c := Settings{SuperUsers: true, SuperusersFullAccess: true, Superusers: []string{"root", "both"}, ReadOnlySuperusers: []string{"auditor", "both"},
		RestrictedUsers: true, RestrictedUsersWhitelist: []string{"free"}}
	off := c
	off.SuperUsers = false
	for _, x := range []struct {
		set  Settings
		a    store.Account
		s    []string
		want string // superuser, full, read-only, restricted
	}{
		{c, store.Account{Name: "root", Kind: gantry.User}, nil, "true true false false"},
		{c, store.Account{Name: "root", Kind: gantry.Robot}, nil, "false false false false"},
		{c, store.Account{Name: "Root", Kind: gantry.User}, nil, "false false false true"},
		{c, store.Account{Name: "marked", Kind: gantry.User, Superuser: true}, nil, "true true false false"},
		{c, store.Account{Name: "root", Kind: gantry.User}, []string{ScopeRepoRead}, "false false false false"},
		{c, store.Account{Name: "both", Kind: gantry.User}, nil, "false false true false"},
		{c, store.Account{Name: "auditor", Kind: gantry.User}, nil, "false false true true"},
		{c, store.Account{Name: "free", Kind: gantry.User}, nil, "false false false false"},
		{c, store.Account{Name: "ann", Kind: gantry.User}, nil, "false false false true"},
		{off, store.Account{Name: "root", Kind: gantry.User}, nil, "false false false false"},
		{off, store.Account{Name: "auditor", Kind: gantry.User}, nil, "false false false true"},
	} {
		i := Identity{Account: x.a, Scopes: x.s}
		x.set.rank(&i)
		if got := fmt.Sprint(i.Superuser, i.FullAccess, i.ReadOnlySuperuser, i.Restricted); got != x.want {
			t.Errorf("%s (%s, %v): %s, want %s", x.a.Name, x.a.Kind, x.s, got, x.want)
		}
	}
}
