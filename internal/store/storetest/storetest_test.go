package storetest_test

import (
	"testing"

	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// TestFreshDatabases checks that every database is migrated and nobody
// else's, and that a second handle sees the same one.
func TestFreshDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		other := storetest.Open(t, t.Name()[len("TestFreshDatabases/"):], store.Options{})
		repo := storetest.Repo(t, db)
		if _, err := db.RepositoryByID(t.Context(), repo); err != nil {
			t.Error(err)
		}
		if _, err := storetest.Another(t, db, store.Options{}).RepositoryByID(t.Context(), repo); err != nil {
			t.Error(err)
		}
		if n := storetest.Get(t, other, "SELECT COUNT(*) FROM repositories"); n != 0 {
			t.Errorf("another database has %d of our repositories", n)
		}
		for _, h := range []*store.DB{db, other} {
			steps, err := h.Migrations(t.Context())
			if err != nil || len(steps) == 0 {
				t.Fatalf("Migrations = %v, %v", steps, err)
			}
			for _, s := range steps {
				if !s.Applied {
					t.Errorf("migration %d is not applied", s.Version)
				}
			}
		}
	})
}

func BenchmarkFresh(b *testing.B) {
	for _, d := range storetest.Dialects() {
		b.Run(d, func(b *testing.B) {
			storetest.URI(b, d)
			for b.Loop() {
				storetest.URI(b, d)
			}
		})
	}
}
