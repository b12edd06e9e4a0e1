package registry_test

import (
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/blob/fs"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/registry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// real is the Content of the product, on one database and files.
type real struct {
	*content.Store
	t  testing.TB
	db *store.DB
}

func (r *real) id(repo string) gantry.RepoID {
	got, err := r.Repository(r.t.Context(), repoName(repo))
	if err != nil {
		return 99
	}
	return got.ID
}

func (r *real) freeze(repo, tag string) {
	if n := storetest.Exec(r.t, r.db, `UPDATE tags SET immutable = 1 WHERE repo_id = ? AND name = ? AND live = 1`, int64(r.id(repo)), tag); n != 1 {
		r.t.Fatalf("%d tags %s in %s", n, tag, repo)
	}
}

// realOn makes an env on the content of the product.
func realOn(dialect string) maker { return realWith(dialect, store.Options{}) }

func realWith(dialect string, o store.Options) maker {
	return func(t testing.TB, change ...func(*registry.Options)) *env {
		t.Helper()
		db := storetest.Open(t, dialect, o)
		accounts := map[string]int64{}
		for _, r := range []struct {
			name       string
			visibility gantry.Visibility
			state      gantry.RepoState
		}{
			{app, gantry.Private, gantry.Normal}, {public, gantry.Public, gantry.Normal}, {nested, gantry.Private, gantry.Normal},
			{secret, gantry.Private, gantry.Normal}, {frozen, gantry.Private, gantry.ReadOnlyState},
			{mirrored, gantry.Private, gantry.Mirror}, {disabled, gantry.Public, gantry.Normal},
		} {
			ns, name, _ := strings.Cut(r.name, "/")
			if accounts[ns] == 0 {
				id := int64(storetest.Namespace(t, db))
				enabled := 1
				if ns == "disabled" {
					enabled = 0
				}
				storetest.Exec(t, db, `UPDATE accounts SET name = ?, enabled = ? WHERE id = ?`, ns, enabled, id)
				accounts[ns] = id
			}
			id := storetest.RepoIn(t, db, gantry.AccountID(accounts[ns]))
			storetest.Exec(t, db, `UPDATE repositories SET name = ?, visibility = ?, state = ? WHERE id = ?`, name, string(r.visibility), int(r.state), int64(id))
		}
		files, err := fs.New(fs.Options{Root: t.TempDir(), Reserve: -1})
		if err != nil {
			t.Fatal(err)
		}
		location, err := db.EnsureLocation(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		s, err := content.New(content.Options{Store: db, Locations: []content.Location{{ID: location, Name: "default", Engine: files}},
			Settings: content.Settings{Limits: content.Limits{Blob: 1 << 20, Manifest: 1 << 16}}})
		if err != nil {
			t.Fatal(err)
		}
		e := newEnvOn(t, db, &real{s, t, db}, change...)
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error("close content: ", err)
			}
		})
		return e
	}
}
