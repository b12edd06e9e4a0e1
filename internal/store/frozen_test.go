package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// state sets the state of the world's repository.
func (w *gcWorld) state(s gantry.RepoState) {
	w.t.Helper()
	r, err := w.RepositoryByID(w.t.Context(), w.repo)
	w.must(err)
	w.must(w.SetState(w.t.Context(), r, s, gantry.Actor{}))
}

// lives tells whether a tag can be pulled.
func (w *gcWorld) lives(name string) bool {
	w.t.Helper()
	_, _, err := w.ManifestByTag(w.t.Context(), w.repo, name)
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

// expiring makes a tag that ends after d.
func (w *gcWorld) expiring(name string, d time.Duration) gantry.Digest {
	w.t.Helper()
	m := w.manifest(w.repo, store.ManifestPut{Tags: []string{name}, Blobs: []gantry.Digest{w.blob(w.repo, 3)}})
	end := w.Now().Add(d)
	w.must(w.change(name, store.TagChange{Expiry: &end}))
	return m
}

// TestFrozen holds that nothing of a read-only repository goes by the passing
// of time, and that all of it does when the repository takes changes again.
func TestFrozen(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		t := w.t
		ctx := t.Context()
		w.expiring("gone", time.Minute)
		w.advance(time.Minute)
		short, long := w.expiring("short", time.Hour), w.expiring("long", 9*24*time.Hour)
		old := w.manifest(w.repo, store.ManifestPut{Tags: []string{"moved"}})
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"moved"}})
		w.state(gantry.ReadOnlyState)
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM frozen_tags`); n != 2 {
			t.Errorf("%d tags are frozen, want 2", n)
		}
		w.state(gantry.ReadOnlyState) // again: no change
		for range 3 {
			w.advance(24 * time.Hour)
			w.collect()
			for name, want := range map[string]bool{"short": true, "long": true, "moved": true, "gone": false} {
				if w.lives(name) != want {
					t.Errorf("%s lives: %v", name, !want)
				}
			}
			if s := w.span("short"); !s.End.IsZero() {
				t.Errorf("it ends at %v", s.End)
			}
			r, err := w.RepositoryByID(ctx, w.repo)
			w.must(err)
			for _, d := range []gantry.Digest{short, long, old} {
				if _, _, err := w.ManifestByDigest(ctx, w.repo, d, r.Restorable(gcRetention)); err != nil {
					t.Errorf("%s: %v", d, err)
				}
			}
		}
		w.told("delete_tag", 1) // of gone

		w.state(gantry.Normal)
		if w.lives("short") || !w.lives("long") {
			t.Error("the ends did not come back")
		}
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM frozen_tags`); n != 0 {
			t.Errorf("%d tags are still frozen", n)
		}
		w.advance(24 * time.Hour) // when collection looks again
		w.collect()
		w.told("delete_tag", 2)
		if _, _, err := w.ManifestByDigest(ctx, w.repo, old, 1e6*time.Hour); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("what no tag keeps was not collected: %v", err)
		}
		if _, _, err := w.ManifestByDigest(ctx, w.repo, long, gcRetention); err != nil {
			t.Error(err)
		}
	})
}

// TestFrozenLate freezes the tag of a push that did not see yet that the
// repository is read-only.
func TestFrozenLate(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		w.expiring("late", time.Hour)
		storetest.Exec(t, w.DB, `UPDATE repositories SET state = ? WHERE id = ?`, int(gantry.ReadOnlyState), int64(w.repo))
		w.advance(time.Hour)
		w.collect()
		if !w.lives("late") {
			t.Error("the tag is gone")
		}
		w.told("delete_tag", 0)
		w.state(gantry.Mirror)
		w.collect()
		if w.lives("late") {
			t.Error("its end is lost")
		}
		w.told("delete_tag", 1)
	})
}

// TestFrozenMany freezes and thaws more tags than one transaction does.
func TestFrozenMany(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		t := w.t
		const n = 2500
		m := w.manifest(w.repo, store.ManifestPut{Tags: []string{"one"}})
		got, _, err := w.ManifestByDigest(t.Context(), w.repo, m, 0)
		w.must(err)
		now := w.Now().UnixMilli()
		for i := 0; i < n; i += 100 {
			q := `INSERT INTO tags (repo_id, name, manifest_id, start_ms, end_ms, live, ended_by, reversion, immutable) VALUES `
			for j := range 100 {
				if j > 0 {
					q += ", "
				}
				q += fmt.Sprintf("(%d, 'v%d', %d, %d, %d, 1, '', 0, 0)", w.repo, i+j, got.ID, now-10_000+int64(i/1500), now+3_600_000)
			}
			storetest.Exec(t, w.DB, q)
		}
		w.state(gantry.ReadOnlyState)
		w.collect()
		w.advance(time.Hour)
		w.collect()
		if live := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM tags WHERE live = 1 AND end_ms IS NULL`); live != n+1 {
			t.Errorf("%d tags live without an end, want %d", live, n+1)
		}
		w.told("delete_tag", 0)
		w.state(gantry.Normal)
		w.collect()
		for {
			ended, err := w.ExpireTags(t.Context(), 500, gcRetention)
			w.must(err)
			if ended == 0 {
				break
			}
		}
		w.told("delete_tag", n)
		if left := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM frozen_tags`); left != 0 {
			t.Errorf("%d tags are still frozen", left)
		}
	}, storetest.SQLite, storetest.Postgres)
}
