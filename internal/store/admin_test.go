package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func makeUser(t *testing.T, db *store.DB, name string) store.Account {
	t.Helper()
	a, err := db.CreateUser(t.Context(), store.NewAccount{Name: name, Email: name + "@example.com", PasswordHash: "x", Verified: true}, gantry.Actor{})
	ok(t, err)
	return a
}

func eventsOf(t *testing.T, db *store.DB, kind string) int64 {
	t.Helper()
	return storetest.Get(t, db, `SELECT COUNT(*) FROM events WHERE kind = ?`, kind)
}

// TestAccounts pages through the accounts of a kind.
func TestAccounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for i := range 7 {
			a := makeUser(t, db, fmt.Sprintf("user%d", i))
			if i == 3 {
				ok(t, db.SetEnabled(t.Context(), a.ID, false, gantry.Actor{}))
			}
			storetest.Namespace(t, db)
		}
		for enabled, want := range map[bool]string{false: "user0 user1 user2 user3 user4 user5 user6", true: "user0 user1 user2 user4 user5 user6"} {
			var names []string
			q := store.AccountQuery{Kind: gantry.User, Enabled: enabled, N: 2}
			for {
				page, err := db.Accounts(t.Context(), q)
				ok(t, err)
				if len(page) == 0 {
					break
				}
				for _, a := range page {
					names = append(names, a.Name)
				}
				q.After = page[len(page)-1].ID
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("enabled %v: %s", enabled, got)
			}
		}
	})
}

func TestChangeUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		ann, bob := makeUser(t, db, "ann"), makeUser(t, db, "bob")
		ok(t, db.CreateSession(ctx, []byte("0123456789abcdef0123456789abcdef"), ann.ID, "c", db.Now().Add(1e12), gantry.Actor{}))
		hash, email, taken, off := "hash", "New@Example.com", bob.Email, false
		isCode(t, db.ChangeUser(ctx, ann.ID, store.UserChange{PasswordHash: &hash, Email: &taken}, gantry.Actor{}), gantry.Conflict, "")
		if a, err := db.AccountByID(ctx, ann.ID); err != nil || a.PasswordHash != "x" {
			t.Errorf("a refused change changed something: %+v, %v", a, err)
		}
		ok(t, db.ChangeUser(ctx, ann.ID, store.UserChange{PasswordHash: &hash, Email: &email, Enabled: &off}, gantry.Actor{}))
		a, err := db.AccountByID(ctx, ann.ID)
		if err != nil || a.PasswordHash != hash || a.Email != "new@example.com" || a.Enabled {
			t.Errorf("%+v, %v", a, err)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM sessions`); n != 0 {
			t.Error("a session goes on")
		}
		ok(t, db.ChangeUser(ctx, ann.ID, store.UserChange{Email: &email, Enabled: &off}, gantry.Actor{})) // nothing to change
		for _, kind := range []string{"account_change_password", "user_change_email", "user_disable"} {
			if n := eventsOf(t, db, kind); n != 1 {
				t.Errorf("%d entries of %s", n, kind)
			}
		}
		isCode(t, db.ChangeUser(ctx, storetest.Namespace(t, db), store.UserChange{Email: &email}, gantry.Actor{}), gantry.NotFound, "")
	})
}

// TestRenameOrganization: its repositories and robots are there under the new
// name, and nothing is under the old one.
func TestRenameOrganization(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		ann := makeUser(t, db, "ann")
		org, err := db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, ann.ID, gantry.Actor{})
		ok(t, err)
		for _, short := range []string{"ci", "acme"} {
			_, err = db.CreateRobot(ctx, org.ID, store.NewAccount{Name: "acme+" + short}, gantry.Actor{})
			ok(t, err)
		}
		_, err = db.CreateRobot(ctx, ann.ID, store.NewAccount{Name: "ann+acme"}, gantry.Actor{})
		ok(t, err)
		repo, err := db.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: "acme", Name: "app"}}, gantry.Actor{})
		ok(t, err)
		before := db.AccountsGeneration()
		rename := func(name string) error {
			return db.ChangeOrganization(ctx, org.ID, store.OrganizationChange{Name: &name}, gantry.Actor{})
		}
		isCode(t, rename("ann"), gantry.Conflict, "")
		isCode(t, rename(strings.Repeat("a", 253)), gantry.Invalid, "")
		ok(t, rename("acme"))
		ok(t, rename("umbrella"))
		if db.AccountsGeneration() == before {
			t.Error("caches do not learn of it")
		}
		for name, there := range map[string]bool{"acme": false, "acme+ci": false, "umbrella": true, "umbrella+ci": true, "umbrella+acme": true, "ann+acme": true} {
			if _, err := db.Account(ctx, name); (err == nil) != there {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r, err := db.Repository(ctx, gantry.RepoName{Namespace: "umbrella", Name: "app"}); err != nil || r.ID != repo {
			t.Errorf("%+v, %v", r, err)
		}
		email := "acme@example.com"
		ok(t, db.ChangeOrganization(ctx, org.ID, store.OrganizationChange{Email: &email}, gantry.Actor{}))
		if a, err := db.AccountByID(ctx, org.ID); err != nil || a.Email != email {
			t.Errorf("%+v, %v", a, err)
		}
		if eventsOf(t, db, "org_change_name") != 1 || eventsOf(t, db, "org_change_email") != 1 {
			t.Error("the journal does not tell of it")
		}
		isCode(t, db.ChangeOrganization(ctx, ann.ID, store.OrganizationChange{Email: &email}, gantry.Actor{}), gantry.NotFound, "")
	})
}

func TestTakeOwnership(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		root, ann, bob := makeUser(t, db, "root"), makeUser(t, db, "ann"), makeUser(t, db, "bob")
		admin := func(ns string) bool {
			r, err := db.RepositoryAccess(ctx, root.ID, gantry.RepoName{Namespace: ns})
			ok(t, err)
			return r.Team == gantry.TeamAdmin && r.Repository.NamespaceKind == gantry.Organization
		}
		acme, err := db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, ann.ID, gantry.Actor{})
		ok(t, err)
		isCode(t, db.TakeOwnership(ctx, ann.ID, root.ID, gantry.Actor{}), gantry.Conflict, "") // the last admin of acme
		for range 2 {
			ok(t, db.TakeOwnership(ctx, acme.ID, root.ID, gantry.Actor{}))
		}
		if !admin("acme") {
			t.Error("root does not own acme")
		}
		_, err = db.CreateRobot(ctx, bob.ID, store.NewAccount{Name: "bob+ci"}, gantry.Actor{})
		ok(t, err)
		ok(t, db.CreateAppToken(ctx, store.AppToken{Account: bob.ID, UUID: "u", Name: "n"}, gantry.Actor{}))
		ok(t, db.CreateOAuthToken(ctx, store.OAuthToken{Account: bob.ID, Name: "n"}, gantry.Actor{}))
		owners, err := db.Team(ctx, acme.ID, store.OwnersTeam)
		ok(t, err)
		ok(t, db.AddTeamMember(ctx, owners, bob, gantry.Actor{}))
		ok(t, db.TakeOwnership(ctx, bob.ID, root.ID, gantry.Actor{}))
		if !admin("bob") {
			t.Error("root does not own bob")
		}
		if a, err := db.Account(ctx, "bob"); err != nil || a.Kind != gantry.Organization || a.PasswordHash != "" {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := db.Account(ctx, "bob+ci"); err != nil || a.Owner != bob.ID || a.OwnerKind != gantry.Organization {
			t.Errorf("%+v, %v", a, err)
		}
		for table, column := range map[string]string{"app_tokens": "account_id", "oauth_tokens": "account_id", "team_members": "account_id", "permissions": "account_id"} {
			if n := storetest.Get(t, db, `SELECT COUNT(*) FROM `+table+` WHERE `+column+` = ?`, int64(bob.ID)); n != 0 {
				t.Errorf("%d rows of %s are left", n, table)
			}
		}
		if n := eventsOf(t, db, "take_ownership"); n != 3 {
			t.Errorf("%d entries", n)
		}
		isCode(t, db.TakeOwnership(ctx, 999_999, root.ID, gantry.Actor{}), gantry.NotFound, "")
	})
}

func TestRegistrySize(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		if n, err := w.RegistrySize(w.t.Context()); err != nil || n.Bytes != 0 || !n.At.IsZero() {
			w.t.Errorf("before any count: %+v, %v", n, err)
		}
		w.commit(storetest.Repo(w.t, w.DB), w.blob(w.repo, 40), 40)
		w.blob(w.repo, 2)
		if n, err := w.CountRegistrySize(w.t.Context()); err != nil || n.Bytes != 42 {
			w.t.Errorf("counted: %+v, %v", n, err)
		}
		if n, err := w.RegistrySize(w.t.Context()); err != nil || n.Bytes != 42 || n.At.IsZero() {
			w.t.Errorf("kept: %+v, %v", n, err)
		}
	})
}

func TestAllAppTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var names []string
		for i := range 5 {
			a := makeUser(t, db, fmt.Sprintf("user%d", i))
			ok(t, db.CreateAppToken(t.Context(), store.AppToken{Account: a.ID, UUID: fmt.Sprint(i), Name: fmt.Sprint(i), Title: a.Name, Secret: "secret"}, gantry.Actor{}))
		}
		after := int64(0)
		for {
			page, owners, err := db.AllAppTokens(t.Context(), after, 2)
			ok(t, err)
			if len(page) == 0 {
				break
			}
			for _, k := range page {
				if k.Secret != "" || owners[k.Account] != k.Title {
					t.Errorf("%+v of %s", k, owners[k.Account])
				}
				names = append(names, k.Title)
			}
			after = page[len(page)-1].ID
		}
		if got := strings.Join(names, " "); got != "user0 user1 user2 user3 user4" {
			t.Error(got)
		}
	})
}

func TestAuditNames(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		ann, gone := makeUser(t, db, "ann"), makeUser(t, db, "gone")
		name := gantry.RepoName{Namespace: "ann", Name: "app"}
		repo, err := db.CreateRepository(ctx, store.NewRepository{Name: name}, gantry.Actor{})
		ok(t, err)
		ok(t, db.DeleteNamespace(ctx, gone.ID, gantry.Actor{}))
		rows := []store.AuditRow{{Namespace: ann.ID, Repo: repo, Pull: true}, {Namespace: gone.ID}, {Namespace: 0, Repo: 0, Pull: true}}
		before := db.Statements()
		n, err := db.AuditNames(ctx, rows, true)
		ok(t, err)
		if made := db.Statements() - before; made != 2 {
			t.Errorf("%d statements", made)
		}
		if len(n.Namespaces) != 1 || n.Namespaces[ann.ID] != (store.NamedAccount{Name: "ann", Kind: gantry.User}) || len(n.Repositories) != 1 || n.Repositories[repo] != name {
			t.Errorf("%+v", n)
		}
		if n, err := db.AuditNames(ctx, rows, false); err != nil || len(n.Namespaces) != 0 {
			t.Errorf("%+v, %v", n, err)
		}
	})
}

func TestMessages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		var last string
		for i := range store.MaxMessages {
			id, err := db.CreateMessage(ctx, store.Message{Content: fmt.Sprint(i), Severity: "info", MediaType: "text/plain"})
			ok(t, err)
			last = id
		}
		_, err := db.CreateMessage(ctx, store.Message{Content: "one too many"})
		isCode(t, err, gantry.Conflict, "")
		list, err := db.Messages(ctx)
		if err != nil || len(list) != store.MaxMessages || list[0].UUID != last || list[0].Content != "99" || list[0].Severity != "info" || list[0].MediaType != "text/plain" {
			t.Errorf("%d messages, %+v, %v", len(list), list[0], err)
		}
		ok(t, db.DeleteMessage(ctx, last))
		isCode(t, db.DeleteMessage(ctx, last), gantry.NotFound, "")
		if list, err = db.Messages(ctx); err != nil || len(list) != store.MaxMessages-1 {
			t.Errorf("%d messages, %v", len(list), err)
		}
	})
}
