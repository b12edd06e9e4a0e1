package store_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestQuotas makes, changes and deletes a quota and its limits.
func TestQuotas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		org, err := db.AccountByID(ctx, storetest.Namespace(t, db))
		ok(t, err)
		other, err := db.AccountByID(ctx, storetest.Namespace(t, db))
		ok(t, err)
		by := gantry.Actor{Name: "root", Kind: gantry.ActorUser}
		quota := func() *store.Quota {
			t.Helper()
			all, err := db.Storages(ctx, org.ID, other.ID)
			ok(t, err)
			if len(all) != 2 || all[other.ID].Quota != nil {
				t.Fatalf("Storages = %+v", all)
			}
			return all[org.ID].Quota
		}
		if q := quota(); q != nil {
			t.Fatalf("a quota from nowhere: %+v", q)
		}
		ok(t, db.CreateQuota(ctx, org, 1000, by))
		isCode(t, db.CreateQuota(ctx, org, 2000, by), gantry.Conflict, "")
		q := quota()
		if q == nil || q.Bytes != 1000 || len(q.Limits) != 0 {
			t.Fatalf("the quota: %+v", q)
		}
		ok(t, db.SetQuota(ctx, org, q.ID, 3000, by))
		isCode(t, db.SetQuota(ctx, org, q.ID+1, 3000, by), gantry.NotFound, "")
		isCode(t, db.SetQuota(ctx, other, q.ID, 1, by), gantry.NotFound, "")
		ok(t, db.CreateQuotaLimit(ctx, org, q.ID, store.QuotaReject, 90, by))
		ok(t, db.CreateQuotaLimit(ctx, org, q.ID, store.QuotaWarning, 50, by))
		isCode(t, db.CreateQuotaLimit(ctx, org, q.ID, store.QuotaReject, 80, by), gantry.Conflict, "")
		isCode(t, db.CreateQuotaLimit(ctx, org, q.ID, store.QuotaWarning, 50, by), gantry.Conflict, "")
		isCode(t, db.CreateQuotaLimit(ctx, other, q.ID, store.QuotaWarning, 70, by), gantry.NotFound, "")
		q = quota()
		if q.Bytes != 3000 || len(q.Limits) != 2 || q.Limits[0].Kind != store.QuotaReject || q.Limits[0].Percent != 90 || q.Limits[1].Kind != store.QuotaWarning || q.Limits[1].Percent != 50 {
			t.Fatalf("the quota: %+v", q)
		}
		reject, warning := q.Limits[0].ID, q.Limits[1].ID
		isCode(t, db.SetQuotaLimit(ctx, org, q.ID, warning, store.QuotaReject, 60, by), gantry.Conflict, "")
		ok(t, db.SetQuotaLimit(ctx, org, q.ID, warning, store.QuotaWarning, 60, by))
		ok(t, db.SetQuotaLimit(ctx, org, q.ID, reject, store.QuotaReject, 80, by))
		isCode(t, db.SetQuotaLimit(ctx, org, q.ID, reject+100, store.QuotaReject, 80, by), gantry.NotFound, "")
		isCode(t, db.DeleteQuotaLimit(ctx, other, q.ID, warning, by), gantry.NotFound, "")
		ok(t, db.DeleteQuotaLimit(ctx, org, q.ID, warning, by))
		isCode(t, db.DeleteQuotaLimit(ctx, org, q.ID, warning, by), gantry.NotFound, "")
		state, err := db.QuotaState(ctx, org.ID, store.QuotaRule{On: true, Default: 5})
		if err != nil || state != (store.QuotaState{Limit: 2400}) {
			t.Errorf("QuotaState = %+v, %v", state, err)
		}
		for limit, rule := range map[int64]store.QuotaRule{math.MaxInt64: {On: true}, 5: {On: true, Default: 5}} {
			if state, err = db.QuotaState(ctx, other.ID, rule); err != nil || state.Limit != limit {
				t.Errorf("QuotaState without a quota = %+v, %v", state, err)
			}
		}
		ok(t, db.DeleteQuotaLimit(ctx, org, q.ID, reject, by))
		if state, err = db.QuotaState(ctx, org.ID, store.QuotaRule{On: true, Default: 5}); err != nil || state.Limit != math.MaxInt64 {
			t.Errorf("a quota without limits: %+v, %v", state, err)
		}
		ok(t, db.CreateQuotaLimit(ctx, org, q.ID, store.QuotaReject, 1, by))
		isCode(t, db.DeleteQuota(ctx, other, q.ID, by), gantry.NotFound, "")
		ok(t, db.DeleteQuota(ctx, org, q.ID, by))
		isCode(t, db.DeleteQuota(ctx, org, q.ID, by), gantry.NotFound, "")
		for kind, want := range map[string]int64{"org_create_quota": 1, "org_change_quota": 1, "org_delete_quota": 1,
			"org_create_quota_limit": 3, "org_change_quota_limit": 2, "org_delete_quota_limit": 2} {
			if n := storetest.Get(t, db, `SELECT COUNT(*) FROM events WHERE kind = ? AND ns_id = ?`, kind, int64(org.ID)); n != want {
				t.Errorf("%d entries of %s, want %d", n, kind, want)
			}
		}
		ok(t, db.CreateQuota(ctx, org, 1000, by))
		ok(t, db.CreateQuotaLimit(ctx, org, quota().ID, store.QuotaReject, 100, by))
		ok(t, db.DeleteNamespace(ctx, org.ID, by))
		if n := storetest.Get(t, db, `SELECT (SELECT COUNT(*) FROM quotas) + (SELECT COUNT(*) FROM quota_limits)`); n != 0 {
			t.Errorf("%d rows of quotas are left", n)
		}
	})
}

func isQuota(t *testing.T, err error) {
	t.Helper()
	isCode(t, err, gantry.Denied, gantry.QuotaExceeded)
}

// TestQuotaHeld pushes into a namespace until its quota is used up: what it
// stores already is no more, and what is refused leaves nothing behind.
func TestQuotaHeld(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		rule := store.QuotaRule{On: true, Default: 100}
		push := func(repo gantry.RepoID, tag string, blobs ...gantry.Digest) error {
			_, err := w.put(repo, store.ManifestPut{Digest: randomDigest(), Blobs: blobs, Tags: []string{tag}, Quota: rule})
			return err
		}
		a, b, c := w.blob(w.repo, 60), w.blob(w.repo, 40), w.blob(w.repo, 1)
		w.must(push(w.repo, "a", a))
		isQuota(w.t, push(w.repo, "ab", a, b, c))
		w.must(push(w.repo, "ab", a, b)) // to the last byte
		used, err := w.Usage(w.t.Context(), w.ns, 0)
		if err != nil || used != 100 {
			w.t.Fatalf("%d bytes are used, %v", used, err)
		}
		isQuota(w.t, push(w.repo, "c", c))
		if n := storetest.Get(w.t, w.DB, `SELECT COUNT(*) FROM tags WHERE name = 'c'`); n != 0 {
			w.t.Error("a refused push left its tag")
		}
		w.must(push(w.repo, "again", a, b)) // nothing new
		second := storetest.RepoIn(w.t, w.DB, w.ns)
		w.commit(second, a, 60)
		w.must(push(second, "a", a)) // the namespace stores it already
		rule.Default = 50            // what is there stays, and may be pushed again
		w.must(push(second, "a2", a))
		isQuota(w.t, push(w.repo, "c", c))
		rule = store.QuotaRule{Default: 50}
		w.must(push(w.repo, "c", c)) // not held

		// Its own quota is what counts, with its limits.
		org, err := w.AccountByID(w.t.Context(), w.ns)
		w.must(err)
		rule = store.QuotaRule{On: true, Default: 50}
		w.must(w.CreateQuota(w.t.Context(), org, 200, gantry.Actor{}))
		d := w.blob(w.repo, 59)
		w.must(push(w.repo, "d", d))
		all, err := w.Storages(w.t.Context(), w.ns)
		w.must(err)
		w.must(w.CreateQuotaLimit(w.t.Context(), org, all[w.ns].Quota.ID, store.QuotaReject, 80, gantry.Actor{}))
		e := w.blob(w.repo, 1)
		isQuota(w.t, push(w.repo, "e", e)) // 161 of 160
		repos, err := w.RepositoryStorages(w.t.Context(), []gantry.RepoID{w.repo, second})
		if err != nil || repos[w.repo] != (store.RepositoryStorage{Bytes: 160, Quota: 200}) || repos[second].Bytes != 60 {
			w.t.Errorf("RepositoryStorages = %+v, %v", repos, err)
		}
		if drifts, err := w.CheckUsage(w.t.Context(), w.ns); err != nil || len(drifts) > 0 {
			w.t.Errorf("usage drifts: %+v, %v", drifts, err)
		}
	})
}

// TestQuotaRace pushes from many sides at once: not one byte too many, and
// none is refused that fits.
func TestQuotaRace(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		rule := store.QuotaRule{On: true, Default: 95}
		const pushers = 16
		blobs := make([]gantry.Digest, pushers)
		for i := range blobs {
			blobs[i] = w.blob(w.repo, 10)
		}
		var wg sync.WaitGroup
		var taken atomic.Int64
		for i, d := range blobs {
			wg.Go(func() {
				_, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Blobs: []gantry.Digest{d}, Tags: []string{fmt.Sprint("t", i)}, Quota: rule})
				switch {
				case err == nil:
					taken.Add(1)
				case gantry.ReasonOf(err) != gantry.QuotaExceeded:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		used, err := w.Usage(w.t.Context(), w.ns, 0)
		if err != nil || taken.Load() != 9 || used != 90 {
			t.Errorf("%d pushes were taken and %d bytes are used, %v", taken.Load(), used, err)
		}
	})
}

// TestQuotaStatements: a quota costs a push one statement, and nothing where
// nothing is new.
func TestQuotaStatements(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		count := func(rule store.QuotaRule, again bool) uint64 {
			p := store.ManifestPut{Digest: randomDigest(), Blobs: []gantry.Digest{w.blob(w.repo, 1)}, Tags: []string{"t"}, Quota: rule}
			if again {
				w.manifest(w.repo, p)
			}
			before := w.Statements()
			w.manifest(w.repo, p)
			return w.Statements() - before
		}
		count(store.QuotaRule{}, false)
		off, on := count(store.QuotaRule{}, false), count(store.QuotaRule{On: true, Default: 1 << 40}, false)
		if on != off+1 {
			w.t.Errorf("%d statements, %d with a quota", off, on)
		}
		if off, on := count(store.QuotaRule{}, true), count(store.QuotaRule{On: true, Default: 1 << 40}, true); on != off {
			w.t.Errorf("pushed again: %d statements, %d with a quota", off, on)
		}
	})
}

// TestFreed compares what deleting a repository is said to free with what is
// used afterwards.
func TestFreed(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		other := storetest.RepoIn(t, w.DB, w.ns)
		elsewhere := storetest.RepoIn(t, w.DB, storetest.Namespace(t, w.DB))
		own, shared := w.blob(w.repo, 700), w.blob(w.repo, 50)
		w.blob(w.repo, 9) // of no manifest: it is not counted
		w.commit(other, shared, 50)
		w.commit(elsewhere, own, 700)
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"v1"}, Blobs: []gantry.Digest{own, shared}})
		w.manifest(elsewhere, store.ManifestPut{Tags: []string{"v1"}, Blobs: []gantry.Digest{own}})
		freed := func(repo gantry.RepoID, want int64) {
			t.Helper()
			if got, all, err := w.Freed(t.Context(), repo); err != nil || got != want || !all {
				w.t.Errorf("Freed = %d, %v, %v; want %d", got, all, err, want)
			}
		}
		freed(w.repo, 750) // the other one has the blob, but uses it for nothing
		w.manifest(other, store.ManifestPut{Tags: []string{"v1"}, Blobs: []gantry.Digest{shared}})
		freed(w.repo, 700)
		freed(other, 0)
		freed(elsewhere, 700)
		used := func() int64 {
			state, err := w.QuotaState(t.Context(), w.ns, store.QuotaRule{})
			w.must(err)
			return state.Used
		}
		before := used()
		r, err := w.RepositoryByID(t.Context(), w.repo)
		w.must(err)
		w.must(w.DeleteRepository(t.Context(), r, gantry.Actor{}))
		w.advance(gcRetention + 48*time.Hour)
		w.collect()
		if got := before - used(); got != 700 {
			w.t.Errorf("deleting freed %d bytes, not 700", got)
		}
	})
}

// TestFreedByTags compares what deleting tags is said to free with what is
// used afterwards.
func TestFreedByTags(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		other := storetest.RepoIn(t, w.DB, w.ns)
		ctx := t.Context()
		freed := func(tag string, want int64) {
			t.Helper()
			before := w.Statements()
			if got, all, err := w.FreedByTags(ctx, w.repo, tag); err != nil || got != want || !all {
				t.Errorf("%s frees %d, %v, %v; want %d", tag, got, all, err, want)
			}
			if n := w.Statements() - before; n > 3 {
				t.Errorf("%s: %d statements", tag, n)
			}
		}
		own, shared, across := w.blob(w.repo, 700), w.blob(w.repo, 50), w.blob(w.repo, 3)
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"v1"}, Blobs: []gantry.Digest{own, shared, across}})
		freed("v1", 753)
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"v2"}, Blobs: []gantry.Digest{shared}})
		w.commit(other, across, 3)
		freed("v1", 703) // the other repository has the blob, but uses it for nothing
		w.manifest(other, store.ManifestPut{Tags: []string{"v1"}, Blobs: []gantry.Digest{across}})
		freed("v1", 700)
		freed("v2", 0)
		// An index frees its images, but for those that have a tag or another index.
		layer := func(size int64) gantry.Digest { return w.blob(w.repo, size) }
		a, b, c := randomDigest(), randomDigest(), randomDigest()
		w.manifest(w.repo, store.ManifestPut{Digest: a, Blobs: []gantry.Digest{layer(10)}})
		w.manifest(w.repo, store.ManifestPut{Digest: b, Blobs: []gantry.Digest{layer(20)}, Tags: []string{"one"}})
		w.manifest(w.repo, store.ManifestPut{Digest: c, Blobs: []gantry.Digest{layer(40)}})
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"all"}, Children: []gantry.Digest{a, b, c}})
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"some"}, Children: []gantry.Digest{c}})
		freed("all", 10)
		freed("one", 0) // the index has it, too
		several := func(want int64, tags ...string) {
			t.Helper()
			before := w.Statements()
			if got, all, err := w.FreedByTags(ctx, w.repo, tags...); err != nil || got != want || !all {
				t.Errorf("%s free %d, %v, %v; want %d", tags, got, all, err, want)
			}
			if n := w.Statements() - before; n > 4 {
				t.Errorf("%s: %d statements", tags, n)
			}
		}
		several(750, "v1", "v2")   // what they share alone goes with both
		several(30, "all", "one")  // the image goes with its index
		several(50, "all", "some") // and one of two indexes with both
		several(70, "one", "all", "some")
		several(0, "one", "some", "one")
		several(753-3+70, "v1", "v2", "one", "all", "some")
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"above"}, Children: []gantry.Digest{b}})
		several(10, "all", "one") // an index that stays holds the image
		several(30, "all", "one", "above")
		w.must(w.DeleteTag(ctx, w.repo, "above", gcRetention, gantry.Actor{}))
		w.advance(gcRetention + 48*time.Hour)
		w.collect()
		for _, bad := range [][]string{nil, make([]string, store.MaxFreedTags+1)} {
			if _, _, err := w.FreedByTags(ctx, w.repo, bad...); !gantry.Is(err, gantry.Invalid) {
				t.Errorf("%d tags: %v", len(bad), err)
			}
		}
		if _, _, err := w.FreedByTags(ctx, w.repo, "v1", "none"); !gantry.Is(err, gantry.NotFound) {
			t.Error("a tag that is not there, of two:", err)
		}
		if _, _, err := w.FreedByTags(ctx, w.repo, "none"); !gantry.Is(err, gantry.NotFound) {
			t.Error("a tag that is not there:", err)
		}
		used := func() int64 {
			state, err := w.QuotaState(ctx, w.ns, store.QuotaRule{})
			w.must(err)
			return state.Used
		}
		before := used()
		for _, tag := range []string{"v1", "all"} {
			w.must(w.DeleteTag(ctx, w.repo, tag, gcRetention, gantry.Actor{}))
		}
		w.advance(gcRetention + 48*time.Hour)
		w.collect()
		if got := before - used(); got != 710 {
			t.Errorf("deleting freed %d bytes, not 710", got)
		}
	})
}
