package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// put writes a row of its own.
func put(ctx context.Context, db *store.DB, name string) error {
	return db.Update(ctx, func(exec func(string, ...any) error) error {
		return exec(`INSERT INTO settings (name, value) VALUES (?, 'x')`, name)
	})
}

// until waits for something, for up to a minute.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// refused checks that an error tells a client to come back.
func refused(t *testing.T, err error) {
	t.Helper()
	if !away(err) {
		t.Errorf("%v, wanted one that is away for a while", err)
	}
}

// writers write rows until stop is called, which returns those that were
// acknowledged. Every failure must say that the database is away.
func writers(t *testing.T, db *store.DB) (acked func() int, stop func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var names []string
	var n atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				name := fmt.Sprintf("row %d", n.Add(1))
				err := put(ctx, db, name)
				if err == nil {
					mu.Lock()
					names = append(names, name)
					mu.Unlock()
				} else if ctx.Err() == nil {
					refused(t, err)
				}
				if _, err := db.Account(ctx, "nobody"); err != nil && !gantry.Is(err, gantry.NotFound) && ctx.Err() == nil {
					refused(t, err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	acked = func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(names)
	}
	return acked, func() []string {
		cancel()
		wg.Wait()
		return names
	}
}

// kept checks that all rows are there.
func kept(t *testing.T, db *store.DB, names []string) {
	t.Helper()
	for _, name := range names {
		if v, err := db.Setting(t.Context(), name); err != nil || v != "x" {
			t.Errorf("%s was acknowledged and is lost: %v", name, err)
		}
	}
}

// TestFailover kills the primary of PostgreSQL under writes and promotes its
// synchronous standby: without a restart writes go on, and none that was
// acknowledged is lost.
func TestFailover(t *testing.T) {
	for _, several := range []bool{true, false} {
		t.Run(map[bool]string{true: "several hosts", false: "an address that moves"}[several], func(t *testing.T) {
			primary := servertest.NewPostgres(t, servertest.PostgresOptions{})
			primary.SQL(t, "postgres", "CREATE DATABASE gantry")
			standby := primary.Standby(t)
			proxy := servertest.NewProxy(t, primary.Addr())
			uri := "postgresql://postgres@" + proxy.Addr() + "/gantry"
			if several { // the standby first: it must be passed over
				uri = "postgresql://postgres@" + standby.Addr() + "," + primary.Addr() + "/gantry"
			}
			db := storetest.Open(t, storetest.Postgres, store.Options{URI: uri, MaxConns: 6})
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			primary.Synchronous(t)
			acked, stop := writers(t, db)
			until(t, "writes before", func() bool { return acked() > 30 })
			primary.Kill()
			before := acked()
			standby.Promote(t)
			if !several {
				proxy.Retarget(standby.Addr())
			}
			until(t, "writes after", func() bool { return acked() > before+30 })
			kept(t, db, stop())
		})
	}
}

// TestMariaDBRestart kills MariaDB under writes and starts it again.
func TestMariaDBRestart(t *testing.T) {
	server := servertest.NewMariaDB(t, servertest.MariaDBOptions{})
	server.SQL(t, "CREATE DATABASE gantry; CREATE USER gantry@'%'; GRANT ALL ON gantry.* TO gantry@'%'")
	db := storetest.Open(t, storetest.MariaDB, store.Options{URI: "mysql+pymysql://gantry@" + server.Addr() + "/gantry", MaxConns: 6})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	acked, stop := writers(t, db)
	until(t, "writes before", func() bool { return acked() > 30 })
	server.Kill()
	before := acked()
	server.Start(t)
	until(t, "writes after", func() bool { return acked() > before+30 })
	kept(t, db, stop())
}

// TestTrouble holds what a server says, and what it does not, against what a
// client is told: to come back, within bounds.
func TestTrouble(t *testing.T) {
	server := servertest.NewPostgres(t, servertest.PostgresOptions{})
	server.SQL(t, "postgres", "CREATE ROLE gantry LOGIN CONNECTION LIMIT 1;\nCREATE DATABASE gantry OWNER gantry;\nCREATE ROLE full1 LOGIN SUPERUSER;")
	proxy := servertest.NewProxy(t, server.Addr())
	open := func(args string) *store.DB {
		return storetest.Open(t, storetest.Postgres, store.Options{URI: "postgresql://full1@" + proxy.Addr() + "/gantry?" + args})
	}
	db := open("statement_timeout=2&timeout=1&max_connections=2&connect_timeout=2")
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := func(q string) error {
		return db.Update(t.Context(), func(exec func(string, ...any) error) error { return exec(q) })
	}
	for _, code := range []string{"53100", "53300", "57014", "57P01", "25006", "08006", "40001"} {
		retried := db.Retries()
		err := run(`DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '` + code + `'; END $$`)
		refused(t, err)
		if e, ok := errors.AsType[*gantry.Error](err); ok && (e.Reason == gantry.DiskFull) != (code == "53100") {
			t.Errorf("%s: %v", code, err)
		}
		if again := db.Retries() > retried; again == (code == "53100" || code == "57014") {
			t.Errorf("%s: tried again: %v", code, again)
		}
	}
	t.Run("a long statement", func(t *testing.T) { refused(t, run(`SELECT pg_sleep(60)`)) })
	t.Run("no free connection", func(t *testing.T) {
		hold := make(chan struct{})
		var wg sync.WaitGroup
		held := make(chan struct{}, 2)
		for range 2 {
			wg.Go(func() {
				_ = db.Update(t.Context(), func(func(string, ...any) error) error { held <- struct{}{}; <-hold; return nil }) // its time may be over
			})
		}
		<-held
		<-held
		_, err := db.Account(t.Context(), "x")
		refused(t, err)
		if waited, refused := db.Waits(); waited == 0 || refused != 1 {
			t.Errorf("waited %d, refused %d", waited, refused)
		}
		close(hold)
		wg.Wait()
		until(t, "free again", func() bool { return put(t.Context(), db, "free") == nil })
	})
	t.Run("no more connections at the server", func(t *testing.T) {
		one := storetest.Open(t, storetest.Postgres, store.Options{URI: "postgresql://gantry@" + server.Addr() + "/gantry"})
		err := one.Update(t.Context(), func(func(string, ...any) error) error {
			_, err := one.Account(t.Context(), "x") // a second one
			return err
		})
		refused(t, err)
	})
	t.Run("a demoted primary", func(t *testing.T) {
		_, closed := db.Connections()
		server.SQL(t, "postgres", "ALTER SYSTEM SET default_transaction_read_only = on;\nSELECT pg_reload_conf();")
		until(t, "read-only", func() bool {
			err := put(t.Context(), db, fmt.Sprint("d", time.Now().UnixNano()))
			if err != nil {
				refused(t, err)
			}
			return err != nil
		})
		if _, now := db.Connections(); now == closed {
			t.Error("no connection was thrown away")
		}
		server.SQL(t, "postgres", "SET transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only;\nSELECT pg_reload_conf();")
		until(t, "takes writes", func() bool { return put(t.Context(), db, fmt.Sprint("e", time.Now().UnixNano())) == nil })
	})
	t.Run("a partition", func(t *testing.T) {
		proxy.Stall()
		began := time.Now()
		err := put(t.Context(), db, "p")
		refused(t, err)
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
		proxy.Heal()
		until(t, "healed", func() bool { return put(t.Context(), db, fmt.Sprint("h", time.Now().UnixNano())) == nil })
	})
	t.Run("connections that break", func(t *testing.T) {
		for range 3 {
			server.SQL(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'full1'")
			if err := put(t.Context(), db, fmt.Sprint("b", time.Now().UnixNano())); err != nil {
				t.Error(err) // it had not begun, so it was tried again
			}
		}
	})
}

// pgBouncerTests are those that TestThroughPgBouncer runs.
var pgBouncerTests = []string{"TestMigrateTwice", "TestMigrateAtOnce", "TestSchemaOfANewerRelease", "TestAccounts", "TestCollectAll",
	"TestCollectLeases", "TestPurgeRepository", "TestAdopt", "TestTeamSync", "TestJobOrder", "TestClaimRace", "TestSequencer", "TestUsage", "TestQuotaRace", "TestRenameRaces", "TestChangeTag",
	"TestTagPage", "TestValues", "TestAudit"}

// TestThroughPgBouncer runs the core of the suite through pgbouncer in
// transaction mode, in a process of its own.
func TestThroughPgBouncer(t *testing.T) {
	if os.Getenv(storetest.ThroughPgBouncer) != "" {
		return // this is that process
	}
	core := strings.Join(pgBouncerTests, "|")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^("+core+")$/^postgres$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), storetest.ThroughPgBouncer+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range pgBouncerTests {
		if !strings.Contains(string(out), "--- PASS: "+name+"/postgres") {
			t.Errorf("%s did not run on PostgreSQL:\n%s", name, out)
		}
	}
	// Without the option the pooler refuses, and the error says what to do.
	server := servertest.NewPostgres(t, servertest.PostgresOptions{})
	addr := servertest.NewPgBouncer(t, server.Dir, server.Port)
	_, err = store.Open(t.Context(), store.Options{URI: "postgresql://postgres@" + addr + "/postgres"})
	if err == nil || !strings.Contains(err.Error(), "transaction_pooling") {
		t.Errorf("without the option: %v", err)
	}
	if err := tryOpen(t, store.Options{URI: "postgresql://postgres@" + addr + "/postgres?application_name=" + url.QueryEscape("a b"), Args: map[string]any{"transaction_pooling": true}}); err != nil {
		t.Error(err)
	}
}
