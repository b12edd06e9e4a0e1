// Package storetest gives tests real databases: SQLite files, and a
// PostgreSQL and a MariaDB server that it starts itself, once per test
// process, when a test first asks for one. It never skips a database.
//
//	func TestSomething(t *testing.T) {
//		storetest.Each(t, func(t *testing.T, db *store.DB) { … })
//	}
//
// The servers die with the test process, however that ends. Their data is
// removed by Main, or else by the next test process.
package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// The databases that a test can ask for. The dialect of MariaDB is "mysql" to
// the store.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
	MariaDB  = "mariadb"
)

// ThroughPgBouncer names an environment variable: where it is set, tests of
// this process reach PostgreSQL through pgbouncer in transaction mode.
const ThroughPgBouncer = "GANTRY_TEST_PGBOUNCER"

// Dialects returns the databases that Each runs on.
func Dialects() []string { return []string{SQLite, Postgres, MariaDB} }

// Each runs f as a subtest on each of Dialects, with a fresh, migrated
// database. The subtests run one after the other unless f calls t.Parallel.
func Each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	for _, d := range Dialects() {
		t.Run(d, func(t *testing.T) { f(t, Open(t, d, store.Options{})) })
	}
}

// Open opens a store that is closed when the test ends. With no o.URI it is a
// fresh, migrated database; a second handle on the same one comes from
// Another, or from Open with an address of URI.
func Open(t testing.TB, dialect string, o store.Options) *store.DB {
	t.Helper()
	if o.URI == "" {
		o.URI = URI(t, dialect)
	}
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open %s: %v", dialect, err)
	}
	handles.Store(db, o.URI)
	t.Cleanup(func() {
		handles.Delete(db)
		if err := db.Close(); err != nil {
			t.Errorf("close %s: %v", dialect, err)
		}
	})
	return db
}

// Another opens a second handle on db's database, as another process would.
// With SQLite a second process is not something that the store serves (the
// data folder is locked), but its locks hold.
func Another(t testing.TB, db *store.DB, o store.Options) *store.DB {
	t.Helper()
	o.URI = AddressOf(t, db)
	return Open(t, db.Dialect(), o)
}

// AddressOf returns the DB_URI with which Open opened db.
func AddressOf(t testing.TB, db *store.DB) string {
	t.Helper()
	uri, ok := handles.Load(db)
	if !ok {
		t.Fatal("storetest: this store was not opened by storetest.Open")
	}
	return uri.(string)
}

// handles remembers the address of every open store.
var handles sync.Map // *store.DB → DB_URI

// URI returns the DB_URI of a fresh, migrated database, which goes when the
// test ends.
func URI(t testing.TB, dialect string) string {
	t.Helper()
	return fresh(t, dialect, true)
}

// EmptyURI is URI for a database without any table.
func EmptyURI(t testing.TB, dialect string) string {
	t.Helper()
	return fresh(t, dialect, false)
}

func fresh(t testing.TB, dialect string, migrated bool) string {
	t.Helper()
	e := engines[dialect]
	if e == nil {
		t.Fatalf("storetest: no database %q; there are %s", dialect, strings.Join(Dialects(), ", "))
	}
	if err := e.start(); err != nil {
		t.Fatalf("storetest: %s: %v", dialect, err)
	}
	uri, drop, err := e.create(t.TempDir, migrated)
	if err != nil {
		t.Fatalf("storetest: make a %s database: %v", dialect, err)
	}
	t.Cleanup(func() {
		if err := drop(context.Background()); err != nil {
			t.Errorf("storetest: drop a %s database: %v", dialect, err)
		}
	})
	return uri
}

// SQL opens a plain connection pool on db's database, beside the store, for
// what a test wants to look at or to break. It is closed when the test ends.
// Placeholders are the driver's own; see Exec and Get.
func SQL(t testing.TB, db *store.DB) *sql.DB {
	t.Helper()
	pool, err := raw(AddressOf(t, db))
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Errorf("storetest: close: %v", err)
		}
	})
	return pool
}

// Exec runs one statement with "?" for its arguments, beside the store, and
// returns the number of rows that it changed.
func Exec(t testing.TB, db *store.DB, query string, args ...any) int64 {
	t.Helper()
	r, err := plain(t, db).ExecContext(t.Context(), bind(db.Dialect(), query), args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Get reads the one number that a SELECT with "?" for its arguments gives,
// beside the store. NULL is 0.
func Get(t testing.TB, db *store.DB, query string, args ...any) int64 {
	t.Helper()
	var n sql.NullInt64
	if err := plain(t, db).QueryRowContext(t.Context(), bind(db.Dialect(), query), args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n.Int64
}

// plain is SQL, kept for the life of db's test.
func plain(t testing.TB, db *store.DB) *sql.DB {
	t.Helper()
	if p, ok := pools.Load(db); ok {
		return p.(*sql.DB)
	}
	p := SQL(t, db)
	t.Cleanup(func() { pools.Delete(db) })
	pools.Store(db, p)
	return p
}

var pools sync.Map // *store.DB → *sql.DB

func bind(dialect, q string) string {
	if dialect != "postgres" {
		return q
	}
	var b strings.Builder
	for i := 1; ; i++ {
		head, tail, ok := strings.Cut(q, "?")
		b.WriteString(head)
		if !ok {
			return b.String()
		}
		fmt.Fprintf(&b, "$%d", i)
		q = tail
	}
}

// Account inserts an enabled account under a random name and returns its id.
func Account(t testing.TB, db *store.DB, kind gantry.AccountKind) gantry.AccountID {
	t.Helper()
	name := strings.ToLower(rand.Text())
	Exec(t, db, `INSERT INTO accounts (kind, name, uuid, email, password_hash, secret, owner_id, description, enabled, verified,
		superuser, failed_logins, failed_login_ms, retention_s, profile, created_ms, last_used_ms, deleted_ms)
		VALUES (?, ?, ?, '', '', '', 0, '', 1, 1, 0, 0, 0, -1, '{}', ?, 0, 0)`, string(kind), name, name, db.Now().UnixMilli())
	return gantry.AccountID(Get(t, db, `SELECT id FROM accounts WHERE name = ?`, name))
}

// Namespace inserts an organization under a random name.
func Namespace(t testing.TB, db *store.DB) gantry.AccountID {
	t.Helper()
	return Account(t, db, gantry.Organization)
}

// Repo inserts a private repository under a random name in a namespace of its
// own.
func Repo(t testing.TB, db *store.DB) gantry.RepoID {
	t.Helper()
	return RepoIn(t, db, Namespace(t, db))
}

// RepoIn is Repo in a given namespace.
func RepoIn(t testing.TB, db *store.DB, ns gantry.AccountID) gantry.RepoID {
	t.Helper()
	name := strings.ToLower(rand.Text())
	Exec(t, db, `INSERT INTO repositories (ns_id, name, visibility, state, version, description, created_ms, deleted_ms)
		VALUES (?, ?, ?, 0, 1, '', ?, 0)`, int64(ns), name, string(gantry.Private), db.Now().UnixMilli())
	return gantry.RepoID(Get(t, db, `SELECT id FROM repositories WHERE ns_id = ? AND name = ?`, int64(ns), name))
}
