package store

import (
	"path/filepath"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// TestMigrateTwice runs all migrations on an empty file, and again.
func TestMigrateTwice(t *testing.T) {
	db, err := Open(t.Context(), Options{URI: "sqlite:///" + filepath.Join(t.TempDir(), "gantry.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	steps, err := db.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if !s.Applied {
			t.Errorf("migration %d (%s) is not applied", s.Version, s.Name)
		}
	}
	if err := db.LogAccess(t.Context(), Access{Kind: "pull_repo", Actor: gantry.Actor{Name: "ann"}}); err != nil {
		t.Fatal(err)
	}
}
