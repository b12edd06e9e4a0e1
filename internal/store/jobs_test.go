package store_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A clock that a test moves.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_800_000_000_000)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// eachClocked is storetest.Each with a clock.
func eachClocked(t *testing.T, f func(t *testing.T, db *store.DB, c *clock)) {
	t.Helper()
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) {
			c := newClock()
			f(t, storetest.Open(t, d, store.Options{Now: c.now}), c)
		})
	}
}

func claim(t *testing.T, db *store.DB, holder string, n int) []store.Job {
	t.Helper()
	jobs, err := db.ClaimJobs(t.Context(), holder, map[string]int{"k": n}, n, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestJobOrder(t *testing.T) {
	eachClocked(t, func(t *testing.T, db *store.DB, c *clock) {
		_, err := db.Enqueue(t.Context(),
			store.NewJob{Kind: "k", Payload: 1, Priority: store.Idle},
			store.NewJob{Kind: "k", Payload: 2},
			store.NewJob{Kind: "k", Payload: 3, Priority: store.Urgent, After: c.now().Add(time.Hour)},
			store.NewJob{Kind: "k", Payload: 4, After: c.now().Add(-time.Hour)},
			store.NewJob{Kind: "other", Payload: 5})
		ok(t, err)
		want := func(payloads ...string) {
			t.Helper()
			for _, p := range payloads {
				jobs := claim(t, db, "w", 1)
				if len(jobs) != 1 || string(jobs[0].Payload) != p {
					t.Fatalf("claimed %v, want payload %s", jobs, p)
				}
			}
			if jobs := claim(t, db, "w", 1); len(jobs) != 0 {
				t.Fatalf("claimed %v, want none", jobs)
			}
		}
		want("4", "2", "1")
		c.advance(time.Hour)
		ok(t, func() error { _, err := db.ExpireJobs(t.Context(), 0); return err }())
		want("3")
	})
}

// TestClaimRace has workers on two handles claim the same jobs.
func TestClaimRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const n = 60
		for i := range n {
			_, err := db.Enqueue(t.Context(), store.NewJob{Kind: "k", Payload: i})
			ok(t, err)
		}
		handles := []*store.DB{db, storetest.Another(t, db, store.Options{})}
		var mu sync.Mutex
		got := map[int64]int{}
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() {
				for {
					mu.Lock()
					all := len(got) == n
					mu.Unlock()
					if all {
						return
					}
					jobs, err := handles[w%2].ClaimJobs(t.Context(), fmt.Sprint(w), map[string]int{"k": 4}, 4, time.Hour)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, j := range jobs {
						if got[j.ID]++; got[j.ID] > 1 {
							t.Errorf("job %d was given twice", j.ID)
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	})
}

func TestLostLease(t *testing.T) {
	eachClocked(t, func(t *testing.T, db *store.DB, c *clock) {
		_, err := db.Enqueue(t.Context(), store.NewJob{Kind: "k", Dedupe: "one", MaxAttempts: 2})
		ok(t, err)
		first := claim(t, db, "a", 1)[0]
		ok(t, db.SaveJob(t.Context(), first, time.Minute, store.Progress{Done: 3, Total: 9, Unit: "blobs"}, json.RawMessage(`{"at":3}`)))
		c.advance(2 * time.Minute)
		if n, err := db.ExpireJobs(t.Context(), 10); err != nil || n != 1 {
			t.Fatalf("ExpireJobs = %d, %v", n, err)
		}
		second := claim(t, db, "a", 1)[0] // the same name, another claim
		if string(second.Checkpoint) != `{"at":3}` || second.Progress.Done != 3 || second.Attempt != 2 {
			t.Errorf("second claim: %+v", second)
		}
		for name, err := range map[string]error{
			"save":    db.SaveJob(t.Context(), first, time.Minute, store.Progress{}, nil),
			"finish":  db.FinishJob(t.Context(), first, store.Progress{}),
			"retry":   db.RetryJob(t.Context(), first, 0, "x"),
			"release": db.ReleaseJob(t.Context(), first, 0),
			"fail":    db.FailJob(t.Context(), first, "x"),
		} {
			if !gantry.Is(err, gantry.Conflict) {
				t.Errorf("%s after a lost lease: %v", name, err)
			}
		}
		c.advance(2 * time.Minute)
		_, err = db.ExpireJobs(t.Context(), 10)
		ok(t, err)
		j, err := db.Job(t.Context(), first.ID)
		if err != nil || j.State != store.JobFailed || j.Dedupe != "" || j.Error == "" {
			t.Errorf("after the last attempt: %+v, %v", j, err)
		}
		if n, err := db.TrimJobs(t.Context(), c.now().Add(time.Second), 10, "a", "k"); n != 0 || err != nil {
			t.Errorf("TrimJobs of what ended well = %d, %v", n, err)
		}
		if n, err := db.TrimJobs(t.Context(), c.now().Add(time.Second), 10); n != 1 || err != nil {
			t.Errorf("TrimJobs = %d, %v", n, err)
		}
	})
}

func TestDedupe(t *testing.T) {
	eachClocked(t, func(t *testing.T, db *store.DB, c *clock) {
		j := store.NewJob{Kind: "k", Dedupe: "one", Rerun: true}
		for i, want := range []int{1, 0} {
			if n, err := db.Enqueue(t.Context(), j); n != want || err != nil {
				t.Fatalf("Enqueue %d = %d, %v", i, n, err)
			}
		}
		run := claim(t, db, "w", 5)
		if len(run) != 1 {
			t.Fatalf("%d jobs", len(run))
		}
		_, err := db.Enqueue(t.Context(), j) // while it runs
		ok(t, err)
		ok(t, db.FinishJob(t.Context(), run[0], store.Progress{}))
		if run = claim(t, db, "w", 5); len(run) != 1 || run[0].Attempt != 1 {
			t.Fatalf("it did not run again: %v", run)
		}
		ok(t, db.FinishJob(t.Context(), run[0], store.Progress{}))
		if n, err := db.Enqueue(t.Context(), j); n != 1 || err != nil {
			t.Errorf("after the end: %d, %v", n, err)
		}
		ok(t, db.CancelJob(t.Context(), claim(t, db, "w", 1)[0].ID, gantry.Actor{}))
		ok(t, func() error {
			_, err := db.Enqueue(t.Context(), j, store.NewJob{Kind: "k"}, store.NewJob{Kind: "k"})
			return err
		}())
		if jobs, err := db.Jobs(t.Context(), store.JobFilter{State: store.JobReady}); len(jobs) != 3 || err != nil {
			t.Errorf("Jobs = %v, %v", jobs, err)
		}
	})
}

func TestDedupeRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := db.Enqueue(t.Context(), store.NewJob{Kind: "k", Dedupe: "one"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM jobs`); n != 1 {
			t.Errorf("%d jobs", n)
		}
	})
}

func TestSchedule(t *testing.T) {
	eachClocked(t, func(t *testing.T, db *store.DB, c *clock) {
		tick := func() (n int64) {
			var wg sync.WaitGroup
			var queued atomic.Int64
			for range 4 {
				wg.Go(func() {
					q, err := db.ScheduleJob(t.Context(), "s", c.now(), time.Hour, 0, store.NewJob{Kind: "k"})
					if err != nil {
						t.Error(err)
					}
					if q {
						queued.Add(1)
					}
				})
			}
			wg.Wait()
			return queued.Load()
		}
		for i, want := range []int64{1, 0} {
			if n := tick(); n != want {
				t.Errorf("tick %d queued %d", i, n)
			}
		}
		c.advance(time.Hour)
		if n := tick(); n != 1 {
			t.Errorf("after an hour: %d", n)
		}
	})
}

func TestLease(t *testing.T) {
	eachClocked(t, func(t *testing.T, db *store.DB, c *clock) {
		a, err := db.TakeLease(t.Context(), "l", "a", time.Minute)
		ok(t, err)
		if _, err := db.TakeLease(t.Context(), "l", "b", time.Minute); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("taken twice: %v", err)
		}
		c.advance(30 * time.Second)
		a, err = db.RenewLease(t.Context(), a, time.Minute)
		ok(t, err)
		c.advance(2 * time.Minute)
		b, err := db.TakeLease(t.Context(), "l", "b", time.Minute)
		if err != nil || b.Fence != a.Fence+1 {
			t.Errorf("TakeLease = %+v, %v", b, err)
		}
		if _, err := db.RenewLease(t.Context(), a, time.Minute); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("a lost lease was renewed: %v", err)
		}
		ok(t, db.ReleaseLease(t.Context(), a))
		if _, err = db.RenewLease(t.Context(), b, time.Minute); err != nil {
			t.Errorf("a lost lease released another's: %v", err)
		}
		ok(t, db.Beat(t.Context(), store.Instance{ID: "i", Started: c.now()}))
		ok(t, db.Beat(t.Context(), store.Instance{ID: "i", Started: c.now()}))
		if all, err := db.Instances(t.Context(), c.now()); len(all) != 1 || err != nil {
			t.Errorf("Instances = %v, %v", all, err)
		}
		ok(t, db.RemoveInstance(t.Context(), "i"))
	})
}

// TestSequencer has writers append to the journal, in transactions of their
// own length, while two sequencers number it and a reader follows.
func TestSequencer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if db.Exclusive() {
			t.Log("SQLite numbers rows when they are written")
		}
		const writers, each = 4, 60
		raw := storetest.SQL(t, db)
		seq := "NULL"
		if db.Exclusive() {
			seq = "(SELECT COALESCE(MAX(seq), 0) + 1 FROM events)"
		}
		var wg sync.WaitGroup
		var done atomic.Bool
		for w := range writers {
			wg.Go(func() {
				for i := 0; i < each; i += 3 {
					tx, err := raw.BeginTx(t.Context(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					for k := range 3 {
						if _, err := tx.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO events (seq, at_ms, kind, ns_id, repo_id, actor_id, actor,
							actor_kind, ip, request, payload) VALUES (%s, 1, 'k', %d, %d, 0, '', '', '', '', '{}')`, seq, w+1, i+k)); err != nil {
							t.Error(err)
						}
					}
					if err := tx.Commit(); err != nil {
						t.Error(err)
					}
				}
			})
			if db.Exclusive() {
				wg.Wait() // plain transactions of SQLite would only fail as busy
			}
		}
		var seqs sync.WaitGroup
		for range 2 {
			seqs.Go(func() {
				for !done.Load() {
					if _, err := db.Sequence(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		go func() { wg.Wait(); done.Store(true) }()
		var last int64
		count := 0
		next := map[gantry.AccountID]gantry.RepoID{}
		for final := false; ; {
			all, err := db.Events(t.Context(), last, 50)
			ok(t, err)
			for _, e := range all {
				if e.Seq != last+1 {
					t.Fatalf("number %d after %d", e.Seq, last)
				}
				if e.Repo != next[e.Namespace] {
					t.Fatalf("writer %d: row %d before row %d", e.Namespace, e.Repo, next[e.Namespace])
				}
				next[e.Namespace]++
				last = e.Seq
				count++
			}
			if len(all) == 0 && final {
				break
			}
			if len(all) == 0 && done.Load() {
				seqs.Wait()
				_, err := db.Sequence(t.Context())
				ok(t, err)
				final = true
			}
		}
		if count != writers*each {
			t.Errorf("%d of %d rows", count, writers*each)
		}
		// Two dispatchers: one moves the cursor and queues, the other does not.
		ok(t, db.AckEvents(t.Context(), "r", 0, 5, store.NewJob{Kind: "k"}))
		if err := db.AckEvents(t.Context(), "r", 0, 7, store.NewJob{Kind: "k"}); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("acknowledged twice: %v", err)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM jobs`); n != 1 {
			t.Errorf("%d jobs", n)
		}
		// Only what the reader has may go, and never the newest.
		if n, err := db.TrimEvents(t.Context(), time.UnixMilli(2), 0, 1000); n != 5 || err != nil {
			t.Errorf("TrimEvents = %d, %v", n, err)
		}
		ok(t, db.DropReader(t.Context(), "r"))
		if n, err := db.TrimEvents(t.Context(), time.UnixMilli(1), 0, 1000); n != 0 || err != nil {
			t.Errorf("TrimEvents of young rows = %d, %v", n, err)
		}
		_, err := db.TrimEvents(t.Context(), time.UnixMilli(2), 0, 1000)
		ok(t, err)
		if n := storetest.Get(t, db, `SELECT MAX(seq) FROM events`); n != last {
			t.Errorf("newest number %d, want %d", n, last)
		}
	})
}

// TestUsage checks that a sum which never changes is read at every instant
// while deltas come and are folded by two.
func TestUsage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ns := storetest.Namespace(t, db)
		storetest.Exec(t, db, `INSERT INTO usage_deltas (ns_id, repo_id, bytes) VALUES (?, 0, 1000)`, int64(ns))
		var wg sync.WaitGroup
		var done atomic.Bool
		for range 2 {
			wg.Go(func() {
				for !done.Load() {
					if _, err := db.FoldUsage(t.Context(), 10); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		pool := storetest.SQL(t, db)
		for range 60 {
			if _, err := pool.ExecContext(t.Context(), fmt.Sprintf(
				`INSERT INTO usage_deltas (ns_id, repo_id, bytes) VALUES (%d, 0, 7), (%d, 0, -7)`, ns, ns)); err != nil {
				t.Error(err)
			}
			if n, err := db.Usage(t.Context(), ns, 0); n != 1000 || err != nil {
				t.Errorf("Usage = %d, %v", n, err)
			}
		}
		done.Store(true)
		wg.Wait()
		for {
			n, err := db.FoldUsage(t.Context(), 1000)
			ok(t, err)
			if n == 0 {
				break
			}
		}
		if n := storetest.Get(t, db, `SELECT bytes FROM usage_totals WHERE ns_id = ? AND repo_id = 0`, int64(ns)); n != 1000 {
			t.Errorf("total %d", n)
		}
		d, err := db.CheckUsage(t.Context(), ns)
		if err != nil || len(d) != 1 || d[0] != (store.Drift{Namespace: ns, Recorded: 1000}) {
			t.Errorf("CheckUsage = %v, %v", d, err)
		}
		storetest.Exec(t, db, `INSERT INTO ns_blobs (ns_id, blob_id, size, added_by) VALUES (?, 1, 1000, 1)`, int64(ns))
		if d, err := db.CheckUsage(t.Context(), ns); len(d) != 0 || err != nil {
			t.Errorf("CheckUsage = %v, %v", d, err)
		}
	})
}

// TestRestart has jobs that failed or were cancelled run again, and no others.
func TestRestart(t *testing.T) {
	eachClocked(t, func(t *testing.T, db *store.DB, c *clock) {
		ctx := t.Context()
		refused := func(id int64, code gantry.Code) {
			t.Helper()
			if err := db.RestartJob(ctx, id, gantry.Actor{}); !gantry.Is(err, code) {
				t.Fatalf("restart of job %d = %v, want %v", id, err, code)
			}
		}
		refused(404, gantry.NotFound)
		_, err := db.Enqueue(ctx, store.NewJob{Kind: "k", Dedupe: "one", Payload: 1, MaxAttempts: 1})
		ok(t, err)
		j := claim(t, db, "w", 1)[0]
		refused(j.ID, gantry.Conflict) // it runs
		ok(t, db.SaveJob(ctx, j, time.Minute, store.Progress{Done: 3, Total: 9}, []byte(`"here"`)))
		ok(t, db.RetryJob(ctx, j, 0, "broken"))
		// An equal one, queued meanwhile, is enough.
		_, err = db.Enqueue(ctx, store.NewJob{Kind: "k", Dedupe: "one", Payload: 1})
		ok(t, err)
		refused(j.ID, gantry.Conflict)
		other := claim(t, db, "w", 1)[0]
		ok(t, db.FinishJob(ctx, other, store.Progress{}))
		refused(other.ID, gantry.Conflict) // it ended well
		ok(t, db.RestartJob(ctx, j.ID, gantry.Actor{}))
		again := claim(t, db, "w", 1)
		if len(again) != 1 || again[0].ID != j.ID || again[0].Attempt != 1 || again[0].Error != "" || string(again[0].Checkpoint) != `"here"` || again[0].Progress.Done != 3 {
			t.Fatalf("restarted as %+v", again)
		}
		ok(t, db.CancelJob(ctx, j.ID, gantry.Actor{}))
		if err := db.FinishJob(ctx, again[0], store.Progress{}); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("a cancelled job was finished: %v", err)
		}
		ok(t, db.RestartJob(ctx, j.ID, gantry.Actor{}))
		if len(claim(t, db, "w", 1)) != 1 {
			t.Fatal("a cancelled job was not restarted")
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM events WHERE kind IN ('job_cancel', 'job_retry')`); n != 3 {
			t.Errorf("the log has %d of 3 changes", n)
		}
		if n, err := db.TrimJobs(ctx, c.now().Add(time.Second), 10, "other", "k"); n != 1 || err != nil {
			t.Errorf("TrimJobs of what ended well = %d, %v", n, err)
		}
	})
}
