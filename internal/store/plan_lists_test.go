package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestListsReadNoMore holds that the last page of the lists of the API reads
// at most twice as many rows as the first one, beside what a server's planner
// reads of tables that it takes for small.
func TestListsReadNoMore(t *testing.T) {
	const page = 50
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		location, err := db.EnsureLocation(ctx, "default")
		if err != nil {
			t.Fatal(err)
		}
		made, err := db.Seed(ctx, store.SeedOptions{Seed: 3, Prefix: "seed", Location: location, Organizations: 2000, Users: 1000, Repositories: 12_000, Tags: 20_000, Teams: 1, Logs: 90_000})
		if err != nil {
			t.Fatal(err)
		}
		account := func(name string) gantry.AccountID {
			a, err := db.Account(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			return a.ID
		}
		org, user, stranger := account(made.Organization), account(made.User), account("seed-user-00999")
		repo := gantry.RepoID(storetest.Get(t, db, `SELECT MIN(id) FROM repositories`))
		lastRepo := func(where string) gantry.RepoID {
			return gantry.RepoID(storetest.Get(t, db, `SELECT MIN(id) - 1 FROM (SELECT id FROM repositories WHERE `+where+` ORDER BY id DESC LIMIT 50) x`))
		}
		inOrg := `ns_id = (SELECT id FROM accounts WHERE name = 'seed-org-00000')`
		pool := storetest.SQL(t, db)
		type statement struct {
			query string
			args  []any
		}
		var sent []statement
		db.Trace(func(q string, a []any) { sent = append(sent, statement{q, append([]any(nil), a...)}) })
		const small = 4000 // far fewer than each list has
		// read counts the rows that a page reads.
		read := func(what string, f func() (int, error)) (sum int) {
			t.Helper()
			sent = nil
			if got, err := f(); err != nil || got < 1 || got > page {
				t.Errorf("%s: %d entries, %v", what, got, err)
			}
			for _, s := range append([]statement(nil), sent...) {
				if strings.Count(s.query, "AND at_ms <") > 1 { // which no plan of SQLite shows
					t.Errorf("%s: two upper bounds, of which SQLite takes the first: %s", what, s.query)
				}
				why := readsMore(t, db.Dialect(), pool, -1, s.query, s.args)
				var n int
				if _, err := fmt.Sscanf(why, "%d rows", &n); err != nil && why != "" {
					t.Errorf("%s: %s\n%s", what, why, s.query)
				}
				sum += n
			}
			return sum
		}
		check := func(what string, first, last func() (int, error)) {
			t.Helper()
			a, b := read(what+", the first page", first), read(what+", the last page", last)
			if a > small || b > 2*a+small {
				t.Errorf("%s: the first page reads %d rows, the last one %d", what, a, b)
			}
		}
		for what, at := range map[string]struct {
			q     store.RepositoryQuery
			after gantry.RepoID
		}{
			"all of an organization": {store.RepositoryQuery{Account: user, Namespace: org, All: true}, lastRepo(inOrg)},
			"public ones":            {store.RepositoryQuery{Account: user, Public: true, OnlyPublic: true}, lastRepo(`visibility = 'public'`)},
			"as a member":            {store.RepositoryQuery{Account: stranger, Namespace: org, Public: true}, lastRepo(inOrg)},
		} {
			list := func(after gantry.RepoID) func() (int, error) {
				return func() (int, error) {
					at.q.N, at.q.After = page, after
					list, err := db.Repositories(ctx, at.q)
					return len(list), err
				}
			}
			check("repositories: "+what, list(0), list(at.after))
		}
		for _, kind := range []gantry.AccountKind{gantry.User, gantry.Organization} {
			last := gantry.AccountID(storetest.Get(t, db, `SELECT MIN(id) - 1 FROM (SELECT id FROM accounts WHERE kind = ? ORDER BY id DESC LIMIT 50) x`, string(kind)))
			list := func(after gantry.AccountID) func() (int, error) {
				return func() (int, error) {
					list, err := db.Accounts(ctx, store.AccountQuery{Kind: kind, After: after, N: page})
					return len(list), err
				}
			}
			check("accounts: "+string(kind), list(0), list(last))
		}
		to := db.Now().Add(time.Hour)
		from := to.AddDate(0, 0, -100)
		early := db.Now().AddDate(0, 0, -89)
		for what, q := range map[string]store.AuditQuery{"repository": {Repo: repo}, "organization": {Namespace: org}, "registry": {}} {
			q.From, q.To, q.Limit = from, to, page
			list := func(after *store.AuditRow) func() (int, error) {
				return func() (int, error) {
					q.After = after
					rows, err := db.Audit(ctx, q)
					return len(rows), err
				}
			}
			check("log of the "+what, list(nil), list(&store.AuditRow{At: early, Pull: true}))
		}
	})
}
