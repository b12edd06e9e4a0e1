package app

import (
	"slices"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestNewerSchema: a later release has migrated the database while this one
// serves, and before it starts: a column more in every table, a table more.
func TestNewerSchema(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		a := g.open(g.uri, Options{})
		a.initialize("ada")
		_ = a.pushed("ada/before")
		where := "table_schema = DATABASE()"
		if g.dialect == storetest.Postgres {
			where = "table_schema = 'public'"
		}
		pool := storetest.SQL(t, g.db)
		rows, err := pool.QueryContext(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND `+where)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close() //nolint:errcheck // only read
		var tables []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			tables = append(tables, name)
		}
		if err := rows.Err(); err != nil || len(tables) < 40 {
			t.Fatal(tables, err)
		}
		for _, name := range slices.DeleteFunc(tables, func(s string) bool { return s == "schema_version" }) {
			storetest.Exec(t, g.db, `ALTER TABLE `+name+` ADD COLUMN of_later BIGINT NULL`)
		}
		storetest.Exec(t, g.db, `CREATE TABLE of_later (id BIGINT NOT NULL PRIMARY KEY)`)
		newest := storetest.Get(t, g.db, `SELECT MAX(version_id) FROM schema_version`)
		if g.dialect == storetest.Postgres {
			storetest.Exec(t, g.db, `INSERT INTO schema_version (version_id, is_applied) VALUES (?, true)`, newest+1)
		} else {
			storetest.Exec(t, g.db, `INSERT INTO schema_version (version_id, is_applied) VALUES (?, 1)`, newest+1)
		}
		for what, s := range map[string]*site{"one that ran": a, "one that starts": g.open(g.uri, Options{})} {
			repo := "ada/" + strings.ReplaceAll(what, " ", "-")
			i := s.pushed(repo)
			auth, _ := s.bearer("ada", password, "repository:"+repo+":pull")
			if r := s.pull(auth, repo, i); r.status != 200 {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
	})
}

// TestOlderSchema: without the newest migration, that of the proxy caches, the
// store serves, too.
func TestOlderSchema(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		repo := storetest.Repo(t, g.db)
		for _, table := range []string{"proxy_tags", "proxy_blobs", "proxy_manifests", "proxy_caches"} {
			storetest.Exec(t, g.db, `DROP TABLE `+table)
		}
		newest := storetest.Get(t, g.db, `SELECT MAX(version_id) FROM schema_version`)
		storetest.Exec(t, g.db, `DELETE FROM schema_version WHERE version_id = ?`, newest)
		db := storetest.Open(t, g.dialect, store.Options{URI: g.uri, Follow: true})
		if err := db.CheckSchema(t.Context()); err != nil {
			t.Fatal(err)
		}
		row, err := db.RepositoryByID(t.Context(), repo)
		if err == nil {
			err = db.SetVisibility(t.Context(), row, gantry.Public, gantry.Actor{})
		}
		if err != nil {
			t.Error(err)
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := db.SetVisibility(t.Context(), row, gantry.Private, gantry.Actor{}); err != nil {
			t.Error(err)
		}
		if n := storetest.Get(t, g.db, `SELECT COUNT(*) FROM removals WHERE repo_id = ?`, int64(repo)); n != 2 {
			t.Errorf("%d rows of what was taken away", n)
		}
	})
}
