package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// onEmpty runs f on each database, with the address of one without tables.
func onEmpty(t *testing.T, f func(t *testing.T, dialect, uri string)) {
	t.Helper()
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) { f(t, d, storetest.EmptyURI(t, d)) })
	}
}

// checkMigrated checks that all steps are applied and that the tables work.
func checkMigrated(t *testing.T, db *store.DB) {
	t.Helper()
	steps, err := db.Migrations(t.Context())
	if err != nil || len(steps) == 0 {
		t.Fatalf("Migrations = %v, %v", steps, err)
	}
	for _, s := range steps {
		if !s.Applied {
			t.Errorf("migration %d (%s) is not applied", s.Version, s.Name)
		}
	}
	if err := db.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Actor: gantry.Actor{Name: "ann"}}); err != nil {
		t.Error(err)
	}
}

// TestMigrateTwice runs all migrations on an empty database, and again.
func TestMigrateTwice(t *testing.T) {
	onEmpty(t, func(t *testing.T, dialect, uri string) {
		db := storetest.Open(t, dialect, store.Options{URI: uri})
		if err := db.CheckSchema(t.Context()); err == nil {
			t.Error("CheckSchema takes an empty database")
		}
		for range 2 {
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		checkMigrated(t, db)
	})
}

// TestMigrateNotQuays refuses a database with Quay's tables, and leaves it as it
// is.
func TestMigrateNotQuays(t *testing.T) {
	onEmpty(t, func(t *testing.T, dialect, uri string) {
		db := storetest.Open(t, dialect, store.Options{URI: uri})
		storetest.Exec(t, db, `CREATE TABLE alembic_version (version_num VARCHAR(32))`)
		for name, f := range map[string]func(context.Context) error{"Migrate": db.Migrate, "CheckSchema": db.CheckSchema} {
			if err := f(t.Context()); err == nil || !strings.Contains(err.Error(), "holds the tables of a Quay") {
				t.Errorf("%s: %v", name, err)
			}
		}
		storetest.Exec(t, db, `DROP TABLE alembic_version`)
		if err := db.Migrate(t.Context()); err != nil { // which found nothing that was begun
			t.Fatal(err)
		}
		storetest.Exec(t, db, `CREATE TABLE alembic_version (version_num VARCHAR(32))`)
		if err := db.CheckSchema(t.Context()); err != nil {
			t.Errorf("a database that is Gantry's already: %v", err)
		}
	})
}

// TestMigrateInterrupted runs the statements of a migration again that was
// stopped before its version was written.
func TestMigrateInterrupted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if n := storetest.Exec(t, db, `DELETE FROM schema_version WHERE version_id > 0`); n == 0 {
			t.Fatal("no version was written")
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkMigrated(t, db)
	})
}

// TestMigrateAtOnce has several processes migrate the same empty database.
func TestMigrateAtOnce(t *testing.T) {
	onEmpty(t, func(t *testing.T, dialect, uri string) {
		handles := make([]*store.DB, 4)
		for i := range handles {
			handles[i] = storetest.Open(t, dialect, store.Options{URI: uri})
		}
		var wg sync.WaitGroup
		for _, db := range handles {
			wg.Go(func() {
				if err := db.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		checkMigrated(t, handles[0])
		// The lock of the data folder keeps a second process from an SQLite
		// file; without it steps may run twice, which each of them can.
		if n := storetest.Get(t, handles[0], `SELECT COUNT(*) FROM schema_version WHERE version_id = 1`); n != 1 && !(dialect == storetest.SQLite && n > 1) {
			t.Errorf("version 1 was applied %d times", n)
		}
	})
}

// TestSchemaOfANewerRelease checks what happens to this program on the schema
// of a later one.
func TestSchemaOfANewerRelease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		steps, err := db.Migrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newest := steps[len(steps)-1].Version
		for _, c := range []struct {
			version int64
			served  bool
		}{{newest + 1, true}, {newest + 2, false}} {
			storetest.Exec(t, db, `INSERT INTO schema_version (version_id, is_applied) VALUES (?, true)`, c.version)
			for name, err := range map[string]error{"Migrate": db.Migrate(t.Context()), "CheckSchema": db.CheckSchema(t.Context())} {
				if (err == nil) != c.served {
					t.Errorf("%s at version %d of %d: %v", name, c.version, newest, err)
				}
			}
		}
	})
}
