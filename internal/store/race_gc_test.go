package store_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// The two-session races of docs/design/store.md §1: one session is held where
// it has its locks and has not committed, the other is started, and then the
// first may go on. Whatever the outcome, no edge may lead nowhere, and what
// was acknowledged stays. SQLite has one writer, so the cases are for the
// others.

// park runs statements in a session of its own and leaves its transaction
// open; the result ends it by a rollback.
func (w *gcWorld) park(queries ...string) (release func()) {
	w.t.Helper()
	tx, err := storetest.SQL(w.t, w.DB).BeginTx(w.t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	w.must(err)
	for _, q := range queries {
		_, err := tx.ExecContext(w.t.Context(), q)
		w.must(err)
	}
	return func() { w.must(tx.Rollback()) }
}

// waiting waits until n sessions wait for a lock.
func (w *gcWorld) waiting(n int64) {
	w.t.Helper()
	poll := 2 * time.Millisecond
	q := `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	if w.Dialect() == "mysql" {
		poll = 120 * time.Millisecond // InnoDB shows nothing newer to who asks more often than that
		q = `SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'`
	}
	for deadline := time.Now().Add(time.Minute); storetest.Get(w.t, w.DB, q) < n; time.Sleep(poll) {
		if time.Now().After(deadline) {
			w.t.Fatalf("no %d sessions wait for a lock", n)
		}
	}
}

// async starts f; the result waits for it.
func async[T any](f func() T) func() T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return func() T { return <-c }
}

// due returns the one review of that kind.
func (w *gcWorld) due(kind string) []store.Review {
	w.t.Helper()
	all, err := w.Reviews(w.t.Context(), 100)
	w.must(err)
	var of []store.Review
	for _, r := range all {
		if r.Kind == kind {
			of = append(of, r)
		}
	}
	if len(of) != 1 {
		w.t.Fatalf("%d reviews of a %s are due: %+v", len(of), kind, all)
	}
	return of
}

// idle makes an image in another repository of the namespace, takes its tag
// away and collects so far that a review of this kind is due.
func (w *gcWorld) idle(kind string) (manifest, blob gantry.Digest) {
	w.t.Helper()
	blob = w.blob(w.repo, 7)
	manifest = w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{blob}, Tags: []string{"old"}})
	// A tag that a parked session can lock, to stop a push at its end.
	w.manifest(w.repo, store.ManifestPut{Tags: []string{"new"}})
	w.must(w.DeleteTag(w.t.Context(), w.repo, "old", gcRetention, gantry.Actor{}))
	w.advance(3 * time.Hour)
	for _, k := range []string{"manifest", "repo_blob", "ns_blob", "blob"} {
		if k == kind {
			break
		}
		_, err := w.Collect(w.t.Context(), w.due(k), gcRetention)
		w.must(err)
	}
	w.due(kind)
	return manifest, blob
}

const lockTag = `UPDATE tags SET reversion = reversion WHERE name = 'new' AND live = 1`

// raceCase is one edge: how it is made, and how its target is collected.
type raceCase struct {
	kind string // of the review
	// add makes the edge, as a push does.
	add func(w *gcWorld, manifest, blob gantry.Digest) error
	// stop parks the push after it has made the edge.
	stop func(w *gcWorld) (release func())
}

var raceCases = map[string]raceCase{
	"re-tag": {
		kind: "manifest",
		add: func(w *gcWorld, m, b gantry.Digest) error {
			_, err := w.put(w.repo, store.ManifestPut{Digest: m, Blobs: []gantry.Digest{b}, Tags: []string{"new"}})
			return err
		},
		stop: func(w *gcWorld) func() { return w.park(lockTag) },
	},
	"index": {
		kind: "manifest",
		add: func(w *gcWorld, m, _ gantry.Digest) error {
			_, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Children: []gantry.Digest{m}, Tags: []string{"new"}})
			return err
		},
		stop: func(w *gcWorld) func() { return w.park(lockTag) },
	},
	"referrer": {
		kind: "manifest",
		add: func(w *gcWorld, m, _ gantry.Digest) error {
			_, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Subject: m, Tags: []string{"new"}})
			return err
		},
		stop: func(w *gcWorld) func() { return w.park(lockTag) },
	},
	"link": {
		kind: "repo_blob",
		add: func(w *gcWorld, _, b gantry.Digest) error {
			_, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Blobs: []gantry.Digest{b}, Tags: []string{"new"}})
			return err
		},
		stop: func(w *gcWorld) func() { return w.park(lockTag) },
	},
	"namespace": {
		kind: "ns_blob",
		add: func(w *gcWorld, _, b gantry.Digest) error {
			if _, err := w.CommitBlob(w.t.Context(), store.BlobCommit{Repo: w.repo, Digest: b, Size: 7, Location: w.location, Lease: time.Hour}); err != nil {
				return err
			}
			_, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Blobs: []gantry.Digest{b}, Tags: []string{"new"}})
			return err
		},
		stop: func(w *gcWorld) func() { return w.park(lockTag) },
	},
	"upload": {
		kind: "blob",
		add: func(w *gcWorld, _, b gantry.Digest) error {
			_, err := w.CommitBlob(w.t.Context(), store.BlobCommit{Repo: w.repo, Digest: b, Size: 7, Location: w.location,
				Path: "uploads/again", Lease: time.Hour})
			return err
		},
		stop: func(w *gcWorld) func() {
			return w.park(`INSERT INTO repo_blobs (repo_id, blob_id, ns_id, size, linked, lease_until_ms, hidden_ms)
				SELECT r.id, b.id, r.ns_id, b.size, 0, 0, 0 FROM repositories r, blobs b`)
		},
	},
}

// TestRaceEdgeFirst: the edge is made, not committed, when the collector comes.
func TestRaceEdgeFirst(t *testing.T) {
	for name, c := range raceCases {
		t.Run(name, func(t *testing.T) {
			eachGC(t, func(w *gcWorld) {
				m, b := w.idle(c.kind)
				due := w.due(c.kind)
				release := c.stop(w)
				pushed := async(func() error { return c.add(w, m, b) })
				w.waiting(1)
				collected := async(func() error { _, err := w.Collect(t.Context(), due, gcRetention); return err })
				w.waiting(2)
				release()
				w.must(pushed())
				w.must(collected())
				w.sound()
				w.collect()
				if n := w.count("blobs"); c.kind != "manifest" && n != 1 {
					t.Error("the collector took what was just linked")
				}
				if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM manifests WHERE digest <> ''`); c.kind == "manifest" && n < 1 {
					t.Error("the collector took what was just tagged")
				}
			}, storetest.Postgres, storetest.MariaDB)
		})
	}
}

// TestRaceCollectorFirst: the collector has locked the row and not looked yet
// when the push comes.
func TestRaceCollectorFirst(t *testing.T) {
	for name, c := range raceCases {
		t.Run(name, func(t *testing.T) {
			eachGC(t, func(w *gcWorld) {
				m, b := w.idle(c.kind)
				due := w.due(c.kind)
				release := w.park(`UPDATE gc_reviews SET ref2 = ref2`)
				collected := async(func() error { _, err := w.Collect(t.Context(), due, gcRetention); return err })
				w.waiting(1)
				pushed := async(func() error { return c.add(w, m, b) })
				w.waiting(2)
				release()
				w.must(collected())
				err := pushed()
				if err != nil && !gantry.Is(err, gantry.Invalid) && !gantry.Is(err, gantry.NotFound) {
					t.Errorf("the push fails with %v", err)
				}
				w.sound()
				w.collect()
				w.sound()
				if err == nil && c.kind != "manifest" && w.count("blobs") != 1 {
					t.Error("the collector took what was acknowledged")
				}
			}, storetest.Postgres, storetest.MariaDB)
		})
	}
}

// TestRaceCopyLate: a copier ends whose location was emptied meanwhile, and the
// blob is wanted there again just after it has seen that it is not.
func TestRaceCopyLate(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		b := w.blob(w.repo, 7)
		w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{b}, Tags: []string{"new"}})
		far, err := w.EnsureLocation(t.Context(), "far")
		w.must(err)
		want := func() {
			f, err := w.WantMissing(t.Context(), []int64{w.location, far}, 0, 10)
			w.must(err)
			if f.Wanted != 1 {
				t.Errorf("%d copies are wanted, not 1", f.Wanted)
			}
		}
		want()
		claimed, err := w.ClaimCopies(t.Context(), far, time.Minute, 0, 10)
		w.must(err)
		if len(claimed) != 1 {
			t.Fatalf("%d copies were claimed", len(claimed))
		}
		out, err := w.Evacuate(t.Context(), store.Evacuation{Location: far, Targets: []int64{w.location}}, 0, 10)
		w.must(err)
		if out.Left != 1 {
			t.Fatalf("%+v", out)
		}
		looked := false
		w.Trace(func(q string, _ []any) {
			switch {
			case strings.HasPrefix(q, "UPDATE placements SET path"):
				looked = true
			case looked:
				looked = false
				w.Trace(nil)
				want()
			}
		})
		done, err := w.CopyDone(t.Context(), claimed[0], "uploads/late")
		w.Trace(nil)
		w.must(err)
		if done {
			t.Error("the late copy is used, whose placement had gone")
		}
		w.sound()
		if claimed, err = w.ClaimCopies(t.Context(), far, time.Minute, 0, 10); err != nil || len(claimed) != 1 {
			t.Errorf("the copy that is wanted again is not to be had: %v, %v", claimed, err)
		}
	}, storetest.Postgres, storetest.MariaDB)
}
