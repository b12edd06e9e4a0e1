package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// servers are the databases that can be away.
var servers = []string{storetest.Postgres, storetest.MariaDB}

// eachServer runs f on each of servers: db reaches it through the proxy,
// direct beside it.
func eachServer(t *testing.T, o store.Options, f func(t *testing.T, db, direct *store.DB, p *servertest.Proxy)) {
	t.Helper()
	for _, dialect := range servers {
		t.Run(dialect, func(t *testing.T) {
			o := o
			uri := storetest.URI(t, dialect)
			direct := storetest.Open(t, dialect, store.Options{URI: uri})
			var p *servertest.Proxy
			o.URI, p = storetest.Proxied(t, uri)
			db := storetest.Open(t, dialect, o)
			t.Cleanup(p.Heal) // so that it can be closed
			f(t, db, direct, p)
		})
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func away(err error) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == gantry.Unavailable && e.Object == "database" && e.Retry > 0
}

// TestBreaker: a database that refuses, and one that says nothing, makes every
// call fail, those under way too, and none hang; it is used again by itself.
func TestBreaker(t *testing.T) {
	eachServer(t, store.Options{MaxConns: 3}, func(t *testing.T, db, _ *store.DB, p *servertest.Proxy) {
		ask := func() error {
			_, err := db.HasUsers(t.Context())
			return err
		}
		write := func() error {
			return db.Beat(t.Context(), store.Instance{ID: "x", Started: db.Now()})
		}
		for name, fault := range map[string]func(){"cut": p.Cut, "stalled": p.Stall} {
			if err := errors.Join(ask(), write()); err != nil {
				t.Fatalf("%s: before: %v", name, err)
			}
			fault()
			var all sync.WaitGroup
			for i := range 12 { // more than there are connections
				all.Go(func() {
					do := ask
					if i%2 == 0 {
						do = write
					}
					if err := do(); !away(err) {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			all.Wait()
			eventually(t, name+": the breaker is open", func() bool { return !db.Away().IsZero() })
			sent := db.Statements()
			if err := errors.Join(ask(), write()); !away(err) {
				t.Errorf("%s: while open: %v", name, err)
			}
			if n := db.Statements() - sent; n != 0 {
				t.Errorf("%s: %d statements were sent while open", name, n)
			}
			p.Heal()
			eventually(t, name+": it is back", func() bool { return ask() == nil && write() == nil })
			if since := db.Away(); !since.IsZero() {
				t.Errorf("%s: away since %v", name, since)
			}
		}
	})
}

// TestBreakerKeepsShut: a statement that takes long, on a database that answers,
// and connections that all are in use, open nothing.
func TestBreakerKeepsShut(t *testing.T) {
	eachServer(t, store.Options{MaxConns: 1}, func(t *testing.T, db, _ *store.DB, _ *servertest.Proxy) {
		sleep := "SELECT pg_sleep(5)"
		if db.Dialect() == "mysql" {
			sleep = "SELECT SLEEP(5)"
		}
		slow := make(chan error, 1)
		go func() {
			slow <- db.Update(t.Context(), func(exec func(string, ...any) error) error { return exec(sleep) })
		}()
		if _, err := db.HasUsers(t.Context()); err != nil { // it waits for the connection
			t.Error(err)
		}
		if err := <-slow; err != nil {
			t.Error(err)
		}
		if !db.Away().IsZero() {
			t.Error("the breaker is open")
		}
	})
}

// TestOverflow: the pull log goes on while the database comes and goes. What
// was acknowledged is there once, what was not at most once.
func TestOverflow(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "pulls")
	eachServer(t, store.Options{Spool: spool}, func(t *testing.T, db, direct *store.DB, p *servertest.Proxy) {
		repo := storetest.Repo(t, direct)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		good, tried := map[string]bool{}, 0
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					ref := fmt.Sprintf("v%d-%d", i, n)
					err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Repo: repo, Ref: ref})
					mu.Lock()
					if tried++; err == nil {
						good[ref] = true
					} else {
						t.Errorf("%s: %v", ref, err)
					}
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			})
		}
		for range 12 {
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			p.Cut()
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			p.Heal()
		}
		p.Cut()
		eventually(t, "rows wait in the file", func() bool { n, _ := db.Spooled(); return n > 0 })
		p.Heal()
		cancel()
		all.Wait()
		eventually(t, "all is in the table", func() bool { n, _ := db.Spooled(); return n == 0 })
		if len(good) != tried {
			t.Errorf("%d of %d pulls were logged", len(good), tried)
		}
		if n := storetest.Get(t, direct, `SELECT COUNT(*) FROM access_log`); n != int64(tried) {
			t.Errorf("%d rows of %d pulls", n, tried)
		}
		if n := storetest.Get(t, direct, `SELECT COUNT(DISTINCT ref) FROM access_log`); n != int64(tried) {
			t.Errorf("%d different rows of %d pulls", n, tried)
		}
		eventually(t, "the place is forgotten", func() bool {
			return storetest.Get(t, direct, `SELECT COUNT(*) FROM sequences WHERE name LIKE 'pulls %'`) == 0
		})
	})
}

// TestOverflowAfterCrash: a copy of the file, made at any moment, is moved into
// the table, rows that are there already are not.
func TestOverflowAfterCrash(t *testing.T) {
	eachServer(t, store.Options{}, func(t *testing.T, _, direct *store.DB, _ *servertest.Proxy) {
		uri, p := storetest.Proxied(t, storetest.AddressOf(t, direct))
		path := filepath.Join(t.TempDir(), "pulls")
		open := func() *store.DB {
			db, err := store.Open(t.Context(), store.Options{URI: uri, Spool: path})
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		db := open()
		log := func(n int) {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					if err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Ref: fmt.Sprint("v", i)}); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		p.Cut()
		log(300)
		left := filepath.Join(t.TempDir(), "left")
		if err := servertest.CopyFile(left, path, 0o600); err != nil {
			t.Fatal(err)
		}
		p.Heal()
		eventually(t, "it is moved", func() bool { return storetest.Get(t, direct, `SELECT COUNT(*) FROM access_log`) == 300 })
		// What the crash leaves: the rows are in the table and so is how far the
		// file is in it, but the file is there still, with a piece of a record.
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		name, err := os.ReadFile(left)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Exec(t, direct, `DELETE FROM sequences`)
		storetest.Exec(t, direct, `INSERT INTO sequences (name, n) VALUES (?, ?)`, "pulls "+string(name[15:47]), len(name))
		if err := os.WriteFile(path, append(name, 40, 0, 0, 0, 1, 2), 0o600); err != nil {
			t.Fatal(err)
		}
		db = open()
		if err := db.SettleAccess(); err != nil {
			t.Fatal(err)
		}
		if n := storetest.Get(t, direct, `SELECT COUNT(*) FROM access_log`); n != 300 {
			t.Errorf("%d rows of 300 pulls", n)
		}
		p.Cut()
		log(10)
		if err := db.Close(); err != nil { // with the database away
			t.Fatal(err)
		}
		p.Heal()
		db = open()
		eventually(t, "it is moved", func() bool { return storetest.Get(t, direct, `SELECT COUNT(*) FROM access_log`) == 310 })
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an empty file is left: %v", err)
		}
	})
}

// TestOverflowFull: when the file is full, pulls are refused, and taken again
// when there is room.
func TestOverflowFull(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "pulls")
	eachServer(t, store.Options{Spool: spool, SpoolBytes: 1}, func(t *testing.T, db, direct *store.DB, p *servertest.Proxy) {
		p.Cut()
		n := int64(0)
		var err error
		for ; n < 5000 && err == nil; n++ {
			err = db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Ref: "v1"})
		}
		if !gantry.Is(err, gantry.Unavailable) || n < 500 {
			t.Errorf("after %d pulls: %v", n, err)
		}
		if _, refused := db.Spooled(); refused == 0 {
			t.Error("nobody counted it")
		}
		p.Heal()
		eventually(t, "it is moved", func() bool { return storetest.Get(t, direct, `SELECT COUNT(*) FROM access_log`) == n-1 })
		if err := db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Ref: "v1"}); err != nil {
			t.Error(err)
		}
	})
}

// TestStale: what was taken away, by whichever instance, before the database
// went is known, and what was not is not.
func TestStale(t *testing.T) {
	eachServer(t, store.Options{Follow: true}, func(t *testing.T, db, direct *store.DB, p *servertest.Proxy) {
		ns := storetest.Namespace(t, direct)
		kept, gone := storetest.RepoIn(t, direct, ns), storetest.RepoIn(t, direct, ns)
		row, err := direct.RepositoryByID(t.Context(), gone)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := db.StaleFrom(); ok {
			t.Error("stale answers while the database is there")
		}
		// The first look forgets everything; wait until it was taken.
		was := db.LastingGeneration(0)
		eventually(t, "a first look", func() bool { return db.LastingGeneration(0) != was || db.Generation(0) != 0 })
		a, b, who := db.LastingGeneration(kept), db.LastingGeneration(gone), db.LastingAccounts()
		ga, gb := db.Generation(kept), db.Generation(gone)
		if err := direct.SetVisibility(t.Context(), row, gantry.Public, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other one saw it", func() bool { return db.LastingGeneration(gone) != b && db.Generation(gone) != gb })
		if db.LastingGeneration(kept) != a || db.Generation(kept) != ga || db.LastingAccounts() != who {
			t.Error("it forgets what it need not")
		}
		p.Cut()
		eventually(t, "the database is away", func() bool { return !db.Away().IsZero() })
		if from, ok := db.StaleFrom(); !ok || from.After(db.Now()) {
			t.Errorf("stale answers from %v, %v", from, ok)
		}
		p.Heal()
		eventually(t, "it is back", func() bool { return db.Away().IsZero() })
		if _, ok := db.StaleFrom(); ok {
			t.Error("stale answers when the database is back")
		}
	})
}

// TestClock: instances whose machines' clocks differ by 20 minutes go by the
// same one, and leases and jobs with them.
func TestClock(t *testing.T) {
	for _, dialect := range servers {
		t.Run(dialect, func(t *testing.T) {
			uri := storetest.URI(t, dialect)
			skewed := func(d time.Duration) *store.DB {
				return storetest.Open(t, dialect, store.Options{URI: uri, SyncClock: true, Now: func() time.Time { return time.Now().Add(d) }})
			}
			early, late := skewed(-10*time.Minute), skewed(10*time.Minute)
			if d := late.Now().Sub(early.Now()).Abs(); d > 5*time.Second {
				t.Errorf("the clocks differ by %v", d)
			}
			if d := early.ClockOffset() - 10*time.Minute; d.Abs() > 5*time.Second {
				t.Errorf("the early one is behind by %v", early.ClockOffset())
			}
			if d := late.ClockOffset() + 10*time.Minute; d.Abs() > 5*time.Second {
				t.Errorf("the late one is behind by %v", late.ClockOffset())
			}
			l, err := early.TakeLease(t.Context(), "x", "early", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := late.TakeLease(t.Context(), "x", "late", time.Minute); !gantry.Is(err, gantry.Conflict) {
				t.Errorf("a lease that is held: %v", err)
			}
			if err := early.ReleaseLease(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			if _, err := late.TakeLease(t.Context(), "x", "late", time.Minute); err != nil {
				t.Fatal(err)
			}
			if _, err := early.Enqueue(t.Context(), store.NewJob{Kind: "k"}); err != nil {
				t.Fatal(err)
			}
			// Their clocks differ by what the question took; it is not 20 minutes.
			eventually(t, "a job that is due", func() bool {
				jobs, err := late.ClaimJobs(t.Context(), "late", map[string]int{"k": 1}, 1, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				return len(jobs) == 1
			})
			if n, err := early.ExpireJobs(t.Context(), 10); err != nil || n != 0 {
				t.Errorf("%d jobs that are held are lost: %v", n, err)
			}
		})
	}
}

// TestOverflowDoubt: a group whose commit nobody knows of is logged once,
// whether it was committed or not.
func TestOverflowDoubt(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "pulls")
	eachServer(t, store.Options{Spool: spool}, func(t *testing.T, db, direct *store.DB, _ *servertest.Proxy) {
		group := func(ref string) []store.Access {
			rows := make([]store.Access, 100)
			for i := range rows {
				rows[i] = store.Access{At: db.Now(), Kind: "pull_repo", Ref: ref}
			}
			return rows
		}
		there, lost := group("there"), group("lost")
		first, err := db.InsertAccess(t.Context(), there)
		if err != nil || first == 0 {
			t.Fatal(first, err)
		}
		if err := errors.Join(db.AddSpooled(there, first), db.AddSpooled(lost, first+1000), db.AddSpooled(group("later"), first), db.SettleAccess()); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{"there", "lost", "later"} {
			if n := storetest.Get(t, direct, `SELECT COUNT(*) FROM access_log WHERE ref = ?`, ref); n != 100 {
				t.Errorf("%s: %d rows of 100", ref, n)
			}
		}
	})
}
