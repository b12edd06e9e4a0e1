package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestCopy copies a registry around all databases, each time into another one,
// and looks at every row, at the ids that come next, and at what keeps a
// half-made copy from being served.
func TestCopy(t *testing.T) {
	ctx := t.Context()
	all := storetest.Dialects()
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	location, err := db.EnsureLocation(ctx, "default")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Seed(ctx, store.SeedOptions{Seed: 1, Prefix: "seed", Location: location, Organizations: 20, Users: 30, Repositories: 60, Tags: 700, Teams: 1, Logs: 1200}); err != nil {
		t.Fatal(err)
	}
	// Texts and bytes that a database may think something of; the last id is
	// given to nobody again.
	for _, v := range []string{"", "x'\\\"%_?$1", "näñ 漢字 🙂", strings.Repeat("y", 100_000)} {
		if err := db.SetSetting(ctx, fmt.Sprintf("v%d", len(v)), v); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Exec(t, db, `INSERT INTO manifest_bodies (manifest_id, body) VALUES (?, ?)`, 900_001, []byte("\x00\xff'\\\n\x1a"))
	storetest.Exec(t, db, `INSERT INTO accounts (kind, name, uuid, email, password_hash, secret, owner_id, description, enabled, verified,
		superuser, failed_logins, failed_login_ms, retention_s, profile, created_ms, last_used_ms, deleted_ms)
		VALUES ('user', 'ann', 'u-ann', '', '', 'g1$abcd$xx', 0, '', 1, 1, 0, 0, 0, -1, '{}', 1, 0, 0)`)
	storetest.Namespace(t, db)
	last := storetest.Get(t, db, `SELECT MAX(id) FROM accounts`)
	storetest.Exec(t, db, `DELETE FROM accounts WHERE id = ?`, last)
	from := storetest.AddressOf(t, db)
	route := []string{storetest.Postgres, storetest.MariaDB, storetest.Postgres, storetest.SQLite, storetest.MariaDB, storetest.SQLite}
	for i, to := range route {
		target := storetest.EmptyURI(t, to)
		what := fmt.Sprintf("step %d, to %s", i, to)
		o := store.CopyOptions{From: store.Options{URI: from}, To: store.Options{URI: target}}
		c, err := store.CopyDatabase(ctx, o)
		if err != nil || !c.Equal || c.Restart || len(c.Tables) < 30 {
			t.Fatalf("%s: %+v, %v", what, c, err)
		}
		copied := storetest.Open(t, to, store.Options{URI: target})
		if err := copied.CheckSchema(ctx); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if id := int64(storetest.Account(t, copied, gantry.User)); id <= last {
			t.Errorf("%s: the id %d is given again, after %d", what, id, last)
		}
		last = storetest.Get(t, copied, `SELECT MAX(id) FROM accounts`)
		if _, err := store.CopyDatabase(ctx, o); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%s: into a database with content: %v", what, err)
		}
		o.CheckOnly = true
		if c, err := store.CopyDatabase(ctx, o); err != nil || c.Equal {
			t.Errorf("%s: a row was added, and the check finds both equal: %v", what, err)
		}
		from = target
	}
	if ids, err := store.SealedWith(ctx, store.Options{URI: from}, 10); err != nil || len(ids) != 1 || ids[0] != "abcd" {
		t.Errorf("sealed with %v, %v", ids, err)
	}
	for _, to := range all {
		target := storetest.EmptyURI(t, to)
		half, stop := context.WithCancel(ctx)
		o := store.CopyOptions{From: store.Options{URI: from}, To: store.Options{URI: target}, Progress: func(c store.CopiedTable) {
			if c.Name == "tags" {
				stop()
			}
		}}
		if _, err := store.CopyDatabase(half, o); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted, to %s: %v", to, err)
		}
		served := storetest.Open(t, to, store.Options{URI: target})
		for name, err := range map[string]error{"Migrate": served.Migrate(ctx), "CheckSchema": served.CheckSchema(ctx)} {
			if err == nil || !strings.Contains(err.Error(), "has not ended") {
				t.Errorf("%s of half a copy on %s: %v", name, to, err)
			}
		}
		if _, err := store.CopyDatabase(ctx, store.CopyOptions{From: store.Options{URI: target}, To: store.Options{URI: storetest.EmptyURI(t, storetest.SQLite)}}); err == nil {
			t.Errorf("half a copy on %s is copied", to)
		}
		o.Progress = nil
		if c, err := store.CopyDatabase(ctx, o); err != nil || !c.Equal || !c.Restart {
			t.Errorf("again, to %s: %+v, %v", to, c, err)
		}
		if err := served.CheckSchema(ctx); err != nil {
			t.Errorf("a whole copy on %s: %v", to, err)
		}
	}
}

// TestExamine looks at databases that are fit, but for what tests do without.
func TestExamine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		seen := map[string]store.Finding{}
		for _, f := range db.Examine(t.Context()) {
			seen[f.Check] = f
			slack := map[string]bool{"durability": true, "connections": true, "rights": db.Dialect() == "mysql"}
			if f.State != store.FindingOK && !slack[f.Check] || f.Saw == "" || (f.Do == "") != (f.State == store.FindingOK) {
				t.Errorf("%+v", f)
			}
		}
		want := []string{"database", "version"}
		if db.Dialect() != "sqlite" {
			want = append(want, "encoding", "rights", "writes", "durability", "extensions", "TLS", "clock", "connections")
			if seen["durability"].State != store.FindingWarn {
				t.Errorf("nothing is synced here, and durability is %+v", seen["durability"])
			}
		}
		for _, name := range want {
			if seen[name].Check == "" {
				t.Errorf("%s was not looked at", name)
			}
		}
	})
}
