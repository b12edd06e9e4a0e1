package store_test

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// conflictOn reports whether err is Conflict on an object.
func conflictOn(err error, object string) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == gantry.Conflict && e.Object == object
}

func TestFederatedLogins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		create := func(ident, email string, names ...string) (store.Account, bool, error) {
			return db.CreateFederatedUser(ctx, store.NewAccount{Email: email, UniqueEmail: true, Verified: true}, names,
				store.FederatedLogin{Service: "ldap", Ident: ident, Metadata: map[string]string{"service_username": ident}}, gantry.Actor{})
		}
		if _, err := db.FederatedAccount(ctx, "ldap", "Ann"); !gantry.Is(err, gantry.NotFound) {
			t.Fatal(err)
		}
		ann, made, err := create("Ann", "Ann@example.com", "ann", "ann1")
		if err != nil || !made || ann.Name != "ann" || ann.Email != "ann@example.com" || ann.PasswordHash != "" {
			t.Fatalf("%+v, %v, %v", ann, made, err)
		}
		again, made, err := create("Ann", "", "other")
		if err != nil || made || again.ID != ann.ID {
			t.Fatalf("%+v, %v, %v", again, made, err)
		}
		// Another one of the same name, and case counts.
		other, made, err := create("ann", "", "ann", "ann1")
		if err != nil || !made || other.Name != "ann1" {
			t.Fatalf("%+v, %v, %v", other, made, err)
		}
		if _, _, err := create("third", "", "ann", "ann1"); !conflictOn(err, "account") {
			t.Fatalf("no name is free: %v", err)
		}
		if _, _, err := create("third", "ann@example.com", "third"); !conflictOn(err, "email") {
			t.Fatalf("the address is taken: %v", err)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM accounts WHERE name = 'third'`); n != 0 {
			t.Fatal("a refused account was made")
		}
		for _, bad := range []string{"", string(make([]byte, 256))} {
			if _, _, err := create(bad, "", "bad"); !gantry.Is(err, gantry.Invalid) {
				t.Fatalf("an ident of %d bytes: %v", len(bad), err)
			}
		}
		logins, err := db.FederatedLogins(ctx, ann.ID)
		if err != nil || len(logins) != 1 || logins[0].Service != "ldap" || logins[0].Ident != "Ann" || logins[0].Metadata["service_username"] != "Ann" {
			t.Fatalf("%+v, %v", logins, err)
		}
		found, err := db.FederatedAccounts(ctx, "ldap", []string{"Ann", "ann", "nobody"})
		if err != nil || len(found) != 2 || found["Ann"].ID != ann.ID || found["ann"].ID != other.ID {
			t.Fatalf("%+v, %v", found, err)
		}

		// Attach and detach.
		github := store.FederatedLogin{Account: ann.ID, Service: "github", Ident: "7"}
		for range 2 {
			if err := db.AttachLogin(ctx, github, gantry.Actor{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.AttachLogin(ctx, store.FederatedLogin{Account: other.ID, Service: "github", Ident: "7"}, gantry.Actor{}); !conflictOn(err, "login") {
			t.Fatalf("somebody else's login: %v", err)
		}
		if err := db.AttachLogin(ctx, store.FederatedLogin{Account: ann.ID, Service: "github", Ident: "8"}, gantry.Actor{}); !conflictOn(err, "login") {
			t.Fatalf("a second login at one service: %v", err)
		}
		if err := db.AttachLogin(ctx, store.FederatedLogin{Account: storetest.Namespace(t, db), Service: "github", Ident: "9"}, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			t.Fatalf("an organization: %v", err)
		}
		if a, err := db.FederatedAccount(ctx, "github", "7"); err != nil || a.ID != ann.ID {
			t.Fatal(a.Name, err)
		}
		if err := db.SetProviderRanks(ctx, "github", map[gantry.AccountID]int{ann.ID: 1}, false); err != nil {
			t.Fatal(err)
		}
		if err := db.DetachLogin(ctx, ann.ID, "github", gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if err := db.DetachLogin(ctx, ann.ID, "github", gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			t.Fatal(err)
		}
		if ranks, err := db.ProviderRanks(ctx, []string{"github"}); err != nil || len(ranks) != 0 {
			t.Fatalf("the rank stays: %+v, %v", ranks, err)
		}

		// What is deleted, or no user any more, is nobody's at a service.
		if err := db.DeleteNamespace(ctx, ann.ID, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if back, made, err := create("Ann", "ann@example.com", "ann"); err != nil || !made || back.ID == ann.ID {
			t.Fatalf("%+v, %v, %v", back, made, err)
		}
		if err := db.TakeOwnership(ctx, other.ID, storetest.Account(t, db, gantry.User), gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if a, err := db.FederatedAccount(ctx, "ldap", "ann"); !gantry.Is(err, gantry.NotFound) {
			t.Fatalf("an organization signs in: %+v, %v", a, err)
		}
	})
}

// TestFederatedRace has the same person come for the first time in many ways
// at once: there is one account.
func TestFederatedRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ids := make([]gantry.AccountID, 12)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				a, _, err := db.CreateFederatedUser(t.Context(), store.NewAccount{}, []string{"ann", "ann1", "ann2"},
					store.FederatedLogin{Service: "ldap", Ident: "ann"}, gantry.Actor{})
				if err != nil {
					t.Error(err)
				}
				ids[i] = a.ID
			})
		}
		wg.Wait()
		if ids = slices.Compact(ids); len(ids) != 1 {
			t.Errorf("accounts %v", ids)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM accounts`); n != 1 {
			t.Errorf("%d accounts", n)
		}
	})
}

func TestProviderRanks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		a, b, c := storetest.Account(t, db, gantry.User), storetest.Account(t, db, gantry.User), storetest.Account(t, db, gantry.User)
		holds := func(want map[gantry.AccountID]int) {
			t.Helper()
			ranks, err := db.ProviderRanks(ctx, []string{"ldap"})
			if err != nil {
				t.Fatal(err)
			}
			got := map[gantry.AccountID]int{}
			for _, r := range ranks {
				got[r.Account] = r.Bits
			}
			if !maps.Equal(got, want) {
				t.Fatalf("ranks %v, want %v", got, want)
			}
		}
		set := func(service string, bits map[gantry.AccountID]int, all bool) {
			t.Helper()
			if err := db.SetProviderRanks(ctx, service, bits, all); err != nil {
				t.Fatal(err)
			}
		}
		set("ldap", map[gantry.AccountID]int{a: 1, b: 2}, false)
		holds(map[gantry.AccountID]int{a: 1, b: 2})
		set("other", map[gantry.AccountID]int{a: 4}, true)
		set("ldap", map[gantry.AccountID]int{b: 0, c: 4}, false)
		holds(map[gantry.AccountID]int{a: 1, c: 4})
		set("ldap", map[gantry.AccountID]int{c: 5}, true)
		holds(map[gantry.AccountID]int{c: 5})
		before := storetest.Get(t, db, `SELECT COUNT(*) FROM events`)
		set("ldap", map[gantry.AccountID]int{c: 5}, true)
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM events`); n != before {
			t.Error("what did not change is in the journal")
		}
		set("ldap", nil, true)
		holds(map[gantry.AccountID]int{})
	})
}

func TestTeamSync(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		owner := storetest.Account(t, db, gantry.User)
		org, err := db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, owner, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		g, _, err := db.PutTeam(ctx, org.ID, "devs", gantry.TeamMember, nil, gantry.Actor{})
		if err != nil || g.Synced {
			t.Fatal(g, err)
		}
		var users []gantry.AccountID
		for i := range 3 {
			a, _, err := db.CreateFederatedUser(ctx, store.NewAccount{}, []string{"user" + strconv.Itoa(i)},
				store.FederatedLogin{Service: "ldap", Ident: strconv.Itoa(i)}, gantry.Actor{})
			if err != nil {
				t.Fatal(err)
			}
			users = append(users, a.ID)
		}
		robot, err := db.CreateRobot(ctx, org.ID, store.NewAccount{Name: "acme+ci"}, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		local, err := db.AccountByID(ctx, owner)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []store.Account{robot, local} {
			if err := db.AddTeamMember(ctx, g, a, gantry.Actor{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.TeamSync(ctx, g.ID); !gantry.Is(err, gantry.NotFound) {
			t.Fatal(err)
		}
		group := map[string]string{"group_dn": "cn=devs"}
		if err := db.SetTeamSync(ctx, g, "ldap", group, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if err := db.SetTeamSync(ctx, g, "ldap", group, gantry.Actor{}); !conflictOn(err, "sync") {
			t.Fatal(err)
		}
		members := func(want ...gantry.AccountID) {
			t.Helper()
			list, err := db.TeamMembers(ctx, g.ID)
			if err != nil {
				t.Fatal(err)
			}
			var got []gantry.AccountID
			for _, a := range list {
				got = append(got, a.ID)
			}
			want = append(want, robot.ID, owner)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("members %v, want %v", got, want)
			}
		}
		read := func() store.TeamSync {
			t.Helper()
			y, err := db.TeamSync(ctx, g.ID)
			if err != nil || !y.Team.Synced || !maps.Equal(y.Config, group) || y.Service != "ldap" {
				t.Fatalf("%+v, %v", y, err)
			}
			return y
		}
		y := read()
		if list, err := db.StaleTeamSyncs(ctx, "ldap", db.Now(), 500); err != nil || len(list) != 1 || list[0].Team.Name != "devs" {
			t.Fatal(list, err)
		}
		if list, err := db.StaleTeamSyncs(ctx, "keystone", db.Now(), 500); err != nil || len(list) != 0 {
			t.Fatal(list, err)
		}
		apply := func(y store.TeamSync, want bool, ids ...gantry.AccountID) {
			t.Helper()
			if done, err := db.ApplyTeamSync(ctx, y, ids); err != nil || done != want {
				t.Fatal(done, err)
			}
		}
		apply(y, true, users[0], users[1])
		members(users[0], users[1])
		apply(y, false, users[2]) // read before the change
		members(users[0], users[1])
		if y = read(); y.Updated.IsZero() {
			t.Fatal("it is not noted when")
		}
		if list, err := db.StaleTeamSyncs(ctx, "ldap", db.Now().Add(-time.Minute), 500); err != nil || len(list) != 0 {
			t.Fatal(list, err)
		}
		apply(y, true, users[2], users[1])
		members(users[1], users[2])
		apply(read(), true)
		members()
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM events WHERE kind = 'org_remove_team_member'`); n != 3 {
			t.Errorf("%d rows of removals", n)
		}

		// One user at a time, as a login tells.
		sync := func(want int, groups ...string) {
			t.Helper()
			n, err := db.SyncMemberships(ctx, users[0], "ldap", func(c map[string]string) bool { return slices.Contains(groups, c["group_dn"]) })
			if err != nil || n != want {
				t.Fatal(n, err)
			}
		}
		sync(1, "cn=devs", "x")
		members(users[0])
		sync(0, "cn=devs")
		sync(1)
		members()

		if err := db.RemoveTeamSync(ctx, g, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if err := db.RemoveTeamSync(ctx, g, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			t.Fatal(err)
		}
		if err := db.SetTeamSync(ctx, g, "ldap", group, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		y = read()
		if err := db.DeleteTeam(ctx, g, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		apply(y, false, users[0])
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM team_syncs`) + storetest.Get(t, db, `SELECT COUNT(*) FROM team_members WHERE team_id = ?`, g.ID); n != 0 {
			t.Error("something is left of a team that is gone")
		}
	})
}
