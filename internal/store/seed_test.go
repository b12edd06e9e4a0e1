package store_test

import (
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestSeed holds that what Seed makes is as good as what pushes make, is as
// much as was asked for, and is the same each time.
func TestSeed(t *testing.T) {
	sums := map[int64]string{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		location, err := db.EnsureLocation(ctx, "default")
		if err != nil {
			t.Fatal(err)
		}
		o := store.SeedOptions{Seed: 7, Prefix: "seed", Location: location, Organizations: 20, Users: 30, Repositories: 300, Tags: 3000, Teams: 2, Logs: 3000}
		told := 0
		o.Progress = func(string, int, int) { told++ }
		made, err := db.Seed(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if told == 0 || made.Accounts != 50 || made.Teams != 60 || made.Tags != 3000 || made.Events+made.Pulls != 3000 || made.Events != 1000 {
			t.Errorf("%+v, told %d times", made, told)
		}
		for query, want := range map[string]int64{
			`SELECT COUNT(*) FROM accounts WHERE kind = 'organization'`: 20,
			`SELECT COUNT(*) FROM accounts WHERE kind = 'user'`:         30,
			`SELECT COUNT(*) FROM repositories`:                         300,
			`SELECT COUNT(*) FROM tags WHERE live = 1`:                  3000,
			`SELECT COUNT(*) FROM events`:                               1000,
			`SELECT COUNT(*) FROM access_log`:                           2000,
			`SELECT MAX(seq) FROM events`:                               1000,
			`SELECT n FROM sequences WHERE name = 'events'`:             1000,
			`SELECT COUNT(*) FROM repositories WHERE ns_id = (SELECT id FROM accounts WHERE name = 'seed-org-00000')`: 30,
		} {
			if got := storetest.Get(t, db, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
		}
		sums[storetest.Get(t, db, `SELECT SUM(bytes) FROM usage_totals`)] = db.Dialect()
		sound(t, db)

		// What comes after goes on as ever.
		a, err := db.CreateUser(ctx, store.NewAccount{Name: "ada", UUID: "x"}, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: "ada", Name: "app"}, Visibility: gantry.Private, Creator: a.ID}, gantry.Actor{}); err != nil {
			t.Error(err)
		}
		hits, err := db.Search(ctx, store.SearchQuery{Account: a.ID, Prefix: "nginx", All: true})
		if err != nil || len(hits) == 0 {
			t.Errorf("search: %d, %v", len(hits), err)
		}

		if _, err := db.Seed(ctx, o); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("a second time: %v", err)
		}
		o.Existing = true
		if _, err := db.Seed(ctx, o); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("the same names: %v", err)
		}
		o.Prefix, o.Images, o.Layers = "more", 10, 5
		if _, err := db.Seed(ctx, o); err != nil {
			t.Errorf("beside what is there: %v", err)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM tags WHERE live = 1`); n != 6000 {
			t.Errorf("%d tags", n)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM manifests m JOIN manifests s ON s.repo_id = m.repo_id AND s.digest = m.subject`); n < 250 {
			t.Errorf("%d manifests refer to another one", n)
		}
		sound(t, db)
		for _, bad := range []store.SeedOptions{{Prefix: "x y", Organizations: 1, Users: 1}, {Prefix: "other"}, {Prefix: "other", Organizations: 1, Users: 1, Tags: 1},
			{Prefix: "other", Organizations: 1, Users: 1, Repositories: -1},
			{Prefix: "other", Organizations: 1, Users: 1, Layers: -1}} {
			bad.Existing = true
			if _, err := db.Seed(ctx, bad); !gantry.Is(err, gantry.Invalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
	if len(sums) != 1 {
		t.Errorf("the same seed makes different bytes: %v", sums)
	}
}

func sound(t *testing.T, db *store.DB) {
	t.Helper()
	flaws, err := db.VerifyEdges(t.Context())
	if err != nil || len(flaws) > 0 {
		t.Errorf("flaws: %+v, %v", flaws, err)
	}
	if n, err := db.QueueLost(t.Context()); err != nil || n != 0 {
		t.Errorf("%d lost, %v", n, err)
	}
}
