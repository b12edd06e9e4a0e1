package jobs_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func start(t *testing.T, o jobs.Options) *jobs.Runner {
	t.Helper()
	if o.Poll == 0 {
		o.Poll = 10 * time.Millisecond
	}
	r, err := jobs.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

// until polls a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func enqueue(t *testing.T, db *store.DB, j store.NewJob) {
	t.Helper()
	if _, err := db.Enqueue(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

func only(t *testing.T, db *store.DB) store.Job {
	t.Helper()
	all, err := db.Jobs(t.Context(), store.JobFilter{})
	if err != nil || len(all) != 1 {
		t.Fatalf("Jobs = %v, %v", all, err)
	}
	return all[0]
}

func ended(t *testing.T, db *store.DB, want store.JobState) func() bool {
	return func() bool { return only(t, db).State == want }
}

// TestOutcomes runs handlers that end in each way.
func TestOutcomes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for name, c := range map[string]struct {
			err   func(n int64) error
			runs  int64
			state store.JobState
		}{
			"good":      {func(int64) error { return nil }, 1, store.JobDone},
			"retried":   {func(n int64) error { return map[bool]error{true: errors.New("x")}[n < 3] }, 3, store.JobDone},
			"failed":    {func(int64) error { return errors.New("x") }, 3, store.JobFailed},
			"panic":     {func(int64) error { panic("x") }, 3, store.JobFailed},
			"permanent": {func(int64) error { return jobs.Permanent(errors.New("x")) }, 1, store.JobFailed},
			"later": {func(n int64) error {
				if n < 6 {
					return jobs.Later(0)
				}
				return nil
			}, 6, store.JobDone},
		} {
			t.Run(name, func(t *testing.T) {
				storetest.Exec(t, db, `DELETE FROM jobs`)
				enqueue(t, db, store.NewJob{Kind: "k", MaxAttempts: 3})
				var runs atomic.Int64
				start(t, jobs.Options{Store: db, Kinds: map[string]jobs.Kind{"k": {Backoff: time.Millisecond, Handle: func(context.Context, *jobs.Run) error {
					return c.err(runs.Add(1))
				}}}})
				until(t, "end", ended(t, db, c.state))
				if runs.Load() != c.runs {
					t.Errorf("%d runs, want %d", runs.Load(), c.runs)
				}
			})
		}
	})
}

// TestStop interrupts a handler; another runner goes on from its checkpoint,
// and the attempt does not count.
func TestStop(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		enqueue(t, db, store.NewJob{Kind: "k", MaxAttempts: 1})
		saved := make(chan struct{})
		r := start(t, jobs.Options{Store: db, Grace: time.Millisecond, Kinds: map[string]jobs.Kind{"k": {Handle: func(ctx context.Context, r *jobs.Run) error {
			if err := r.Save(ctx, store.Progress{Done: 1, Total: 2}, 41); err != nil {
				return err
			}
			close(saved)
			<-ctx.Done()
			return ctx.Err()
		}}}})
		<-saved
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		var at atomic.Int64
		start(t, jobs.Options{Store: db, Kinds: map[string]jobs.Kind{"k": {Handle: func(_ context.Context, r *jobs.Run) error {
			var n int64
			_, err := r.Checkpoint(&n)
			at.Store(n)
			return err
		}}}})
		until(t, "end", ended(t, db, store.JobDone))
		if at.Load() != 41 {
			t.Errorf("went on from %d", at.Load())
		}
	})
}

// TestLost takes a job away from its handler, whose context must end.
func TestLost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		enqueue(t, db, store.NewJob{Kind: "k"})
		started, interrupted := make(chan struct{}), make(chan struct{})
		var begin, end sync.Once // on a machine that stands still for a lease it runs again
		start(t, jobs.Options{Store: db, Lease: 3 * time.Second, Kinds: map[string]jobs.Kind{"k": {Handle: func(ctx context.Context, _ *jobs.Run) error {
			begin.Do(func() { close(started) })
			<-ctx.Done()
			end.Do(func() { close(interrupted) })
			return nil
		}}}})
		<-started
		if err := db.CancelJob(t.Context(), only(t, db).ID, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		<-interrupted
		if j := only(t, db); j.State != store.JobCancelled {
			t.Errorf("state %s", j.State)
		}
	})
}

// TestSchedulesAndJournal has two runners on one database: a schedule queues
// one job, and each row of the journal makes one.
func TestSchedulesAndJournal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var scheduled, followed atomic.Int64
		o := jobs.Options{Store: db,
			Kinds: map[string]jobs.Kind{
				"s": {Handle: func(context.Context, *jobs.Run) error { scheduled.Add(1); return nil }},
				"f": {Limit: 4, Handle: func(context.Context, *jobs.Run) error { followed.Add(1); return nil }},
			},
			Schedules: []jobs.Schedule{{Every: time.Hour, Job: store.NewJob{Kind: "s"}}},
			Dispatchers: map[string]jobs.Dispatch{"d": func(_ context.Context, all []store.Entry) ([]store.NewJob, error) {
				return slices.Repeat([]store.NewJob{{Kind: "f"}}, len(all)), nil
			}},
		}
		for i := range 7 {
			seq := any(nil)
			if db.Exclusive() {
				seq = i + 1
			}
			storetest.Exec(t, db, `INSERT INTO events (seq, at_ms, kind, ns_id, repo_id, actor_id, actor, actor_kind, ip, request, payload)
				VALUES (?, 1, 'k', 1, 1, 0, '', '', '', '', '{}')`, seq)
		}
		start(t, o)
		start(t, o)
		until(t, "all run", func() bool { return scheduled.Load() >= 1 && followed.Load() >= 7 })
		if s, n := scheduled.Load(), storetest.Get(t, db, `SELECT COUNT(*) FROM jobs`); s != 1 || n != 8 {
			t.Errorf("%d scheduled, %d jobs", s, n)
		}
	})
}

// TestBus queues a job on one runner that another, which never polls, runs.
func TestBus(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	b := bus.New(bus.Options{})
	var ran atomic.Bool
	start(t, jobs.Options{Store: db, Bus: b, Poll: time.Hour, Kinds: map[string]jobs.Kind{"k": {Handle: func(context.Context, *jobs.Run) error {
		ran.Store(true)
		return nil
	}}}})
	sender := start(t, jobs.Options{Store: db, Bus: b, Poll: time.Hour})
	if err := sender.Enqueue(t.Context(), store.NewJob{Kind: "k"}); err != nil {
		t.Fatal(err)
	}
	until(t, "run", ran.Load)
}
