package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// sqliteFile is the path of a migrated database's file.
func sqliteFile(t *testing.T) (uri, path string) {
	t.Helper()
	uri = storetest.URI(t, storetest.SQLite)
	return uri, strings.TrimPrefix(uri, "sqlite:///")
}

func openDB(t *testing.T, uri string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{URI: uri})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func pullsIn(t *testing.T, db *store.DB, path string) int64 {
	t.Helper()
	if err := db.SettleAccess(); err != nil {
		t.Fatal(err)
	}
	return rowsOf(t, path, `SELECT COUNT(*) FROM access_log`)
}

// rowsOf asks another connection to the file.
func rowsOf(t *testing.T, path, query string) (n int64) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.QueryRowContext(t.Context(), query).Scan(&n), db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// A crash is a copy of the files: what was acknowledged is in it, once.
func TestSpoolAfterCrash(t *testing.T) {
	t.Run("direct", func(t *testing.T) { spoolAfterCrash(t, true) })
	t.Run("through the page cache", func(t *testing.T) { spoolAfterCrash(t, false) })
}

func spoolAfterCrash(t *testing.T, direct bool) {
	uri, path := sqliteFile(t)
	db := openDB(t, uri)
	if store.SpoolDirect(db, direct) != direct {
		t.Fatal("the file system of the temporary folder takes no direct writes; set TMPDIR to a folder on ext4, xfs or btrfs, or on tmpfs since Linux 6.6")
	}
	const clients, each = 8, 200
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				if err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Repo: gantry.RepoID(c + 1), Ref: fmt.Sprint(c, "-", i),
					Actor: gantry.Actor{Account: 3, Name: "ann", Kind: gantry.ActorUser, IP: "::1", Agent: "x"}, MediaType: "m", Namespace: 9}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for round := range 3 { // crash, and crash again right after
		dir := t.TempDir()
		for _, suffix := range []string{"", "-wal", "-shm", "-pulls"} {
			b, err := os.ReadFile(path + suffix)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "gantry.db"+suffix), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		path = filepath.Join(dir, "gantry.db")
		db = openDB(t, "sqlite:///"+path)
		if n := pullsIn(t, db, path); n != clients*each {
			t.Fatalf("crash %d: %d pulls are in the log, not %d", round, n, clients*each)
		}
		if n := rowsOf(t, path, `SELECT COUNT(DISTINCT ref) FROM access_log WHERE ns_id = 9 AND actor = 'ann' AND actor_kind = 'user' AND ip = '::1' AND media_type = 'm' AND agent = 'x' AND at_ms > 0`); n != clients*each {
			t.Fatalf("crash %d: %d different pulls, not %d", round, n, clients*each)
		}
	}
}

// The file is used again and again, and rows are never lost or doubled.
func TestSpoolGoesRound(t *testing.T) {
	uri, path := sqliteFile(t)
	db := openDB(t, uri)
	agent := strings.Repeat("a", 255)
	want := int64(0)
	for round := range 4 {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 400 {
					if err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Ref: agent, MediaType: agent, Actor: gantry.Actor{Agent: agent}}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		want += 16 * 400
		if n := pullsIn(t, db, path); n != want {
			t.Fatalf("round %d: %d pulls, not %d", round, n, want)
		}
		if round == 1 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openDB(t, uri)
		}
	}
	st, err := os.Stat(path + "-pulls")
	if err != nil || st.Size() != 4<<20 || st.Mode().Perm() != 0o600 {
		t.Errorf("the spool: %v, %v", st, err)
	}
}

// Damage, and a spool of another database, are not read as rows.
func TestSpoolOfOthers(t *testing.T) {
	uri, path := sqliteFile(t)
	db := openDB(t, uri)
	for range 10 {
		if err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo"}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path + "-pulls")
	if err != nil {
		t.Fatal(err)
	}
	other, otherPath := sqliteFile(t)
	if err := os.WriteFile(otherPath+"-pulls", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := pullsIn(t, openDB(t, other), otherPath); n != 0 {
		t.Errorf("%d pulls of another database", n)
	}
}

// Two handles of one database both log.
func TestSpoolOfTwoHandles(t *testing.T) {
	uri, path := sqliteFile(t)
	one, two := openDB(t, uri), openDB(t, uri)
	for _, db := range []*store.DB{one, two} {
		if err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := pullsIn(t, one, path); n != 2 {
		t.Errorf("%d pulls, not 2", n)
	}
}
