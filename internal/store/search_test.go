package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestSearchSees compares what a search finds with what the accounts may read,
// in a small world made by chance.
func TestSearchSees(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		dice := rand.New(rand.NewPCG(1, 2)) // the same every time
		var users []store.Account
		for i := range 4 {
			a, err := db.CreateUser(ctx, store.NewAccount{Name: fmt.Sprintf("user%d", i)}, gantry.Actor{})
			ok(t, err)
			users = append(users, a)
		}
		spaces := []string{"user0", "user1"}
		for i := range 2 {
			org, err := db.CreateOrganization(ctx, store.NewAccount{Name: fmt.Sprintf("org%d", i)}, users[i].ID, gantry.Actor{})
			ok(t, err)
			spaces = append(spaces, org.Name)
			team, _, err := db.PutTeam(ctx, org.ID, "staff", gantry.TeamMember, nil, gantry.Actor{})
			ok(t, err)
			ok(t, db.AddTeamMember(ctx, team, users[2+i], gantry.Actor{}))
		}
		words := []string{"app", "api", "web", "a"}
		var names []gantry.RepoName
		for _, ns := range spaces {
			for _, a := range words {
				for _, b := range words {
					n := gantry.RepoName{Namespace: ns, Name: a + string("/.-_"[dice.IntN(4)]) + b}
					v := gantry.Private
					if dice.IntN(4) == 0 {
						v = gantry.Public
					}
					id, err := db.CreateRepository(ctx, store.NewRepository{Name: n, Visibility: v}, gantry.Actor{})
					if gantry.Is(err, gantry.Conflict) {
						continue
					}
					ok(t, err)
					names = append(names, n)
					r, err := db.RepositoryByID(ctx, id)
					ok(t, err)
					if dice.IntN(3) == 0 {
						ok(t, db.SetPermission(ctx, r, users[dice.IntN(4)], gantry.Read, gantry.Actor{}))
					}
					if strings.HasPrefix(ns, "org") && dice.IntN(3) == 0 {
						ok(t, db.SetTeamPermission(ctx, r, "staff", gantry.Read, gantry.Actor{}))
					}
					switch dice.IntN(10) {
					case 0:
						ok(t, db.DeleteRepository(ctx, r, gantry.Actor{}))
					case 1:
						ok(t, db.SetVisibility(ctx, r, gantry.Public, gantry.Actor{}))
					case 2:
						ok(t, db.SetVisibility(ctx, r, gantry.Private, gantry.Actor{}))
					}
				}
			}
		}
		starts := func(name, prefix string) bool {
			return strings.HasPrefix(name, prefix) || slices.ContainsFunc([]string{"/", ".", "-", "_"}, func(s string) bool { return strings.Contains(name, s+prefix) })
		}
		for _, who := range append(users, store.Account{}) {
			for _, q := range []store.SearchQuery{{Prefix: "a"}, {Prefix: "ap"}, {Prefix: "app"}, {Prefix: "web/a"}, {Prefix: "none"}, {Prefix: "org0/a", Namespace: "org0", Rest: "a"},
				{Prefix: "user1/web", Namespace: "user1", Rest: "web"}, {Prefix: "nobody/a", Namespace: "nobody", Rest: "a"}} {
				for _, all := range []bool{false, true} {
					q.Account, q.Public, q.All = who.ID, true, all
					want := map[string]bool{}
					for _, n := range names {
						a, err := db.RepositoryAccess(ctx, who.ID, n)
						ok(t, err)
						may := a.Repository.ID != 0 && (all || a.Role > gantry.NoRole || a.Repository.Visibility == gantry.Public)
						if may && (starts(n.Name, q.Prefix) || n.Namespace == q.Namespace && starts(n.Name, q.Rest)) {
							want[n.String()] = true
						}
					}
					before := db.Statements()
					hits, err := db.Search(ctx, q)
					ok(t, err)
					if n := db.Statements() - before; n > 4 {
						t.Errorf("%d statements", n)
					}
					got := map[string]bool{}
					for _, h := range hits {
						if got[h.Name.String()] {
							t.Errorf("%s twice", h.Name)
						}
						got[h.Name.String()] = true
					}
					if !maps.Equal(got, want) {
						t.Errorf("%+v of %s: %v, want %v", q, who.Name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
					}
				}
			}
		}
	})
}

// TestSearchDistrustsItsCopy: a repository that another release made private
// is not shown because the words say that it is public.
func TestSearchDistrustsItsCopy(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, err := db.CreateUser(t.Context(), store.NewAccount{Name: "ann"}, gantry.Actor{})
		ok(t, err)
		_, err = db.CreateRepository(t.Context(), store.NewRepository{Name: gantry.RepoName{Namespace: "ann", Name: "app"}, Visibility: gantry.Public}, gantry.Actor{})
		ok(t, err)
		storetest.Exec(t, db, `UPDATE repositories SET visibility = 'private' WHERE ns_id = ?`, int64(a.ID))
		hits, err := db.Search(t.Context(), store.SearchQuery{Prefix: "app", Public: true})
		if err != nil || len(hits) != 0 {
			t.Errorf("%v, %v", hits, err)
		}
	})
}

// TestWordsOfOldRepositories: what was there before the words are is found.
func TestWordsOfOldRepositories(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, err := db.CreateUser(t.Context(), store.NewAccount{Name: "ann"}, gantry.Actor{})
		ok(t, err)
		names := []string{"app", "my-app", "a/b.c_d", "x--y"}
		for _, n := range names {
			_, err := db.CreateRepository(t.Context(), store.NewRepository{Name: gantry.RepoName{Namespace: "ann", Name: n}}, gantry.Actor{})
			ok(t, err)
		}
		count := func() int64 {
			return storetest.Get(t, db, `SELECT COUNT(*) FROM repository_words WHERE ns_id = ? AND visibility = 'private'`, int64(a.ID))
		}
		want := count()
		if want != 1+2+4+2 {
			t.Fatalf("%d words", want)
		}
		storetest.Exec(t, db, `CREATE TABLE made AS SELECT repo_id, word FROM repository_words`)
		storetest.Exec(t, db, `DELETE FROM repository_words`)
		storetest.Exec(t, db, `DELETE FROM schema_version WHERE version_id > 2`)
		for range 2 { // the second time changes nothing
			ok(t, db.Migrate(t.Context()))
			if same := storetest.Get(t, db, `SELECT COUNT(*) FROM made x JOIN repository_words w ON w.repo_id = x.repo_id AND w.word = x.word`); count() != want || same != want {
				t.Errorf("%d words, %d of them as before, want %d", count(), same, want)
			}
			storetest.Exec(t, db, `DELETE FROM schema_version WHERE version_id > 2`)
		}
	})
}

// TestSearchReadsNoMore holds that a search reads a bounded number of rows,
// however many repositories there are that it may not show.
func TestSearchReadsNoMore(t *testing.T) {
	const n = 40_000
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		owner := storetest.Account(t, db, gantry.User)
		ann, err := db.CreateUser(ctx, store.NewAccount{Name: "ann"}, gantry.Actor{})
		ok(t, err)
		org, err := db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, ann.ID, gantry.Actor{})
		ok(t, err)
		insert := `INSERT INTO `
		if db.Dialect() == "mysql" {
			insert = `SET STATEMENT max_recursive_iterations = 4294967295 FOR ` + insert
		}
		numbers := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)
		for _, x := range []struct {
			ns         gantry.AccountID
			name, kind string
		}{{owner, "app-", "private"}, {owner, "apple-", "public"}, {org.ID, "app-", "private"}} {
			storetest.Exec(t, db, insert+`repositories (ns_id, name, visibility, state, version, description, created_ms, deleted_ms) `+numbers+
				fmt.Sprintf(`SELECT %d, CONCAT('%s', i), '%s', 0, 1, '', 0, 0 FROM n`, int64(x.ns), x.name, x.kind))
		}
		storetest.Exec(t, db, `INSERT INTO repository_words (repo_id, word, ns_id, visibility) SELECT id, name, ns_id, visibility FROM repositories`)
		storetest.Exec(t, db, `INSERT INTO permissions (repo_id, account_id, role) SELECT id, `+fmt.Sprint(int64(ann.ID))+`, 3 FROM repositories WHERE ns_id = ?`, int64(org.ID))
		storetest.Exec(t, db, insert+`accounts (kind, name, uuid, email, password_hash, secret, owner_id, description, enabled, verified, superuser, failed_logins,
			failed_login_ms, retention_s, profile, created_ms, last_used_ms, deleted_ms) `+numbers+`SELECT 'robot', CONCAT('app+r', i), CONCAT('app-uuid-', i), '', '', '', 0, '', 1, 1, 0, 0, 0, -1, '{}', 0, 0, 0 FROM n`)
		pool := storetest.SQL(t, db)
		if a := map[string]string{"postgres": "ANALYZE", "mysql": "ANALYZE TABLE repositories, repository_words, accounts, permissions, team_members, stars"}[db.Dialect()]; a != "" {
			_, err := pool.ExecContext(ctx, a)
			ok(t, err)
		}
		type sent struct {
			query string
			args  []any
		}
		var all []sent
		db.Trace(func(q string, a []any) { all = append(all, sent{q, slices.Clone(a)}) })
		check := func(what string, most int, f func() (int, error)) {
			t.Helper()
			all = nil
			if got, err := f(); err != nil || got == 0 {
				t.Errorf("%s: %d found, %v", what, got, err)
			}
			for _, s := range slices.Clone(all) {
				if why := readsMore(t, db.Dialect(), pool, most, s.query, s.args); why != "" {
					t.Errorf("%s: %s\n%s", what, why, s.query)
				}
			}
		}
		for what, q := range map[string]store.SearchQuery{
			"anonymous":             {Prefix: "app", Public: true},
			"user":                  {Prefix: "app", Public: true, Account: ann.ID},
			"user, one":             {Prefix: "app-77", Public: true, Account: ann.ID},
			"user, in a namespace":  {Prefix: "acme/app", Namespace: "acme", Rest: "app", Public: true, Account: ann.ID},
			"anonymous, one public": {Prefix: "apple-19999", Public: true},
			"superuser":             {Prefix: "app", Public: true, All: true},
		} {
			check(what, n*3/4, func() (int, error) {
				hits, err := db.Search(ctx, q)
				return len(hits), err
			})
		}
		check("accounts", 200, func() (int, error) {
			list, err := db.Entities(ctx, store.EntityQuery{Prefix: "a", Organizations: true, Namespace: org.ID, NamespaceName: "acme", Teams: true, N: 10})
			return len(list), err
		})
	})
}

// TestNothingIsLeft: a namespace goes with its applications, their tokens, and
// what search knows of it.
func TestNothingIsLeft(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		ann, err := db.CreateUser(ctx, store.NewAccount{Name: "ann"}, gantry.Actor{})
		ok(t, err)
		org, err := db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, ann.ID, gantry.Actor{})
		ok(t, err)
		id, err := db.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: "acme", Name: "my/app"}}, gantry.Actor{})
		ok(t, err)
		ok(t, db.Star(ctx, ann.ID, id))
		ok(t, db.CreateApplication(ctx, store.Application{Organization: org.ID, ClientID: "one", Name: "x"}, gantry.Actor{}))
		app, err := db.Application(ctx, "one")
		ok(t, err)
		_, err = db.CreateApplicationToken(ctx, app, "t", store.OAuthToken{Account: ann.ID, Name: "n", Scope: "repo:read"}, 0, gantry.Actor{})
		ok(t, err)
		const rows = `SELECT (SELECT COUNT(*) FROM oauth_applications) + (SELECT COUNT(*) FROM oauth_tokens) + (SELECT COUNT(*) FROM oauth_token_titles) + (SELECT COUNT(*) FROM repository_words)`
		if n := storetest.Get(t, db, rows); n != 1+1+1+2 {
			t.Fatalf("%d rows", n)
		}
		ok(t, db.DeleteNamespace(ctx, org.ID, gantry.Actor{}))
		if n := storetest.Get(t, db, rows); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestRenameRaces: of two who want the same name one gets it, and the other
// hears why not.
func TestRenameRaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var ids []gantry.AccountID
		for _, n := range []string{"ann", "bob", "eve"} {
			a, err := db.CreateUser(t.Context(), store.NewAccount{Name: n}, gantry.Actor{})
			ok(t, err)
			ids = append(ids, a.ID)
		}
		errs := make(chan error, len(ids))
		name := "wanted"
		for _, id := range ids {
			go func() {
				_, err := db.ChangeAccount(t.Context(), id, store.AccountChange{Name: &name}, gantry.Actor{})
				errs <- err
			}()
		}
		got := 0
		for range ids {
			switch err := <-errs; {
			case err == nil:
				got++
			case !gantry.Is(err, gantry.Conflict):
				t.Error(err)
			}
		}
		if got != 1 {
			t.Errorf("%d have the name", got)
		}
	})
}
