package content_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/fs"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// collectWorld is a store with two locations and a clock that the test moves.
type collectWorld struct {
	t     *testing.T
	db    *store.DB
	ahead atomic.Int64
	repo  gantry.RepoID
	here  []content.Location
	c     *content.Collector
}

func newCollectWorld(t *testing.T, engines ...blob.Engine) *collectWorld {
	t.Helper()
	w := &collectWorld{t: t}
	w.db = storetest.Open(t, storetest.SQLite, store.Options{Now: w.now})
	w.repo = storetest.Repo(t, w.db)
	for i, e := range engines {
		name := fmt.Sprintf("location%d", i)
		id, err := w.db.EnsureLocation(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		w.here = append(w.here, content.Location{ID: id, Name: name, Engine: e})
	}
	w.c = content.NewCollector(content.CollectOptions{Store: w.db, Locations: w.here, Retention: time.Hour, Rate: 1_000_000})
	return w
}

func (w *collectWorld) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *collectWorld) advance(d time.Duration) { w.ahead.Add(int64(d)) }

func (w *collectWorld) round() content.CollectStats {
	w.t.Helper()
	s, err := w.c.RunOnce(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// image puts an image of one blob with those bytes at a location.
func (w *collectWorld) image(l content.Location, path, tag string, data []byte) gantry.Digest {
	w.t.Helper()
	d := gantry.FromBytes(data)
	key := path
	if key == "" {
		key = d.Key()
	}
	blobtest.Put(w.t, l.Engine, key, data)
	if _, err := w.db.CommitBlob(w.t.Context(), store.BlobCommit{Repo: w.repo, Digest: d, Size: int64(len(data)), Location: l.ID, Path: path, Lease: time.Hour}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.db.PutManifest(w.t.Context(), store.ManifestPut{Repo: w.repo, Digest: gantry.FromBytes([]byte(tag)), MediaType: "m", Body: []byte(tag),
		Blobs: []gantry.Digest{d}, Tags: []string{tag}, Retention: time.Hour}); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func newFS(t testing.TB) *fs.Engine {
	t.Helper()
	e, err := fs.New(fs.Options{Root: t.TempDir(), Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // nothing depends on it
	return e
}

func keys(t *testing.T, e blob.Engine) int { t.Helper(); return len(blobtest.Keys(t, e, "", "")) }

// TestCollectorDeletes follows an image out of a folder, with a storage that
// fails meanwhile.
func TestCollectorDeletes(t *testing.T) {
	e := blobtest.Faulty(newFS(t), nil)
	w := newCollectWorld(t, e)
	w.image(w.here[0], "", "a", []byte("first"))
	w.image(w.here[0], "", "b", []byte("second"))
	if err := w.db.DeleteTag(t.Context(), w.repo, "a", time.Hour, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	if s := w.round(); s.Blobs != 1 || s.Bytes != 5 || s.Deleted != 0 {
		t.Errorf("round = %+v", s)
	}
	w.advance(16 * time.Minute)
	e.SetHook(blobtest.FailOn(blobtest.OpDelete, "", errors.New("storage is away")))
	if s := w.round(); s.Failed != 1 || s.Deleted != 0 {
		t.Errorf("round without storage = %+v", s)
	}
	e.SetHook(nil)
	w.advance(11 * time.Minute)
	if s := w.round(); s.Failed != 0 || s.Deleted != 1 || keys(t, e) != 1 {
		t.Errorf("round = %+v; %d objects", s, keys(t, e))
	}
	w.advance(25 * time.Hour)
	w.round()
	if n := storetest.Get(t, w.db, "SELECT COUNT(*) FROM trash"); n != 0 {
		t.Errorf("%d rows of trash", n)
	}
	if r, err := w.c.VerifyDB(t.Context()); err != nil || len(r.Flaws) != 0 || r.Queued != 0 {
		t.Errorf("VerifyDB = %+v, %v", r, err)
	}
}

// TestCollectorAdopts checks what becomes of objects that a crash left.
func TestCollectorAdopts(t *testing.T) {
	e := newFS(t)
	w := newCollectWorld(t, e)
	kept := w.image(w.here[0], "", "a", []byte("kept"))
	whole, torn := gantry.FromBytes([]byte("whole")), gantry.FromBytes([]byte("torn"))
	blobtest.Put(t, e, whole.Key(), []byte("whole"))
	blobtest.Put(t, e, torn.Key(), []byte("to"))
	blobtest.Put(t, e, "uploads/left", []byte("x"))
	blobtest.Put(t, e, "other/thing", []byte("not ours"))
	adopt := func(adopted, discarded int) {
		t.Helper()
		s, err := w.c.AdoptAll(t.Context())
		if err != nil || s.Adopted != adopted || s.Discarded != discarded || s.Failed != 0 {
			t.Errorf("AdoptAll = %+v, %v; want %d adopted, %d discarded", s, err, adopted, discarded)
		}
	}
	adopt(0, 0)
	w.advance(25 * time.Hour)
	adopt(1, 1)
	w.advance(24 * time.Hour)
	adopt(0, 1) // the upload
	for range 4 {
		w.advance(25 * time.Hour)
		w.round()
	}
	if got := blobtest.Keys(t, e, "", ""); len(got) != 2 || got[0] != "other/thing" || got[1] != kept.Key() {
		t.Errorf("objects: %v", got)
	}
}

// TestCollectorRelocates moves a blob to its canonical key, in storage that
// can publish and in storage that cannot.
func TestCollectorRelocates(t *testing.T) {
	for name, e := range map[string]blob.Engine{"fs": newFS(t), "object store": mem.NewWith(mem.Options{NoPublish: true})} {
		t.Run(name, func(t *testing.T) {
			w := newCollectWorld(t, e)
			d := w.image(w.here[0], "uploads/u", "a", []byte("blob"))
			for _, want := range []int{1, 0} {
				if s, err := w.c.RelocateAll(t.Context()); err != nil || s.Relocated != want || s.Failed != 0 {
					t.Errorf("RelocateAll = %+v, %v", s, err)
				}
			}
			w.advance(2 * time.Hour)
			w.round()
			if got := blobtest.Keys(t, e, "", ""); len(got) != 1 || string(blobtest.Get(t, e, d.Key())) != "blob" {
				t.Errorf("objects: %v", got)
			}
		})
	}
}

// TestVerify finds and repairs bytes that rotted.
func TestVerify(t *testing.T) {
	one, two := newFS(t), mem.New()
	w := newCollectWorld(t, one, two)
	ctx := t.Context()
	both := w.image(w.here[0], "", "both", []byte("both"))
	w.image(w.here[1], "", "both", []byte("both"))
	lost := w.image(w.here[0], "", "lost", []byte("lost"))
	gone := w.image(w.here[0], "", "gone", []byte("gone"))
	w.image(w.here[0], "", "fine", []byte("fine"))
	w.advance(time.Second)
	if r, err := w.c.Verify(ctx, content.VerifyOptions{}); err != nil || r.Objects != 5 || r.Damaged != 0 {
		t.Fatalf("Verify = %+v, %v", r, err)
	}
	blobtest.Put(t, one, both.Key(), []byte("b0th"))
	blobtest.Put(t, one, lost.Key(), []byte("l0st"))
	if err := one.Delete(ctx, gone.Key()); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Second)
	since := w.now()
	r, err := w.c.Verify(ctx, content.VerifyOptions{Since: since, Repair: true, Quarantine: true, Rate: 1 << 30})
	if err != nil || r.Objects != 5 || r.Damaged != 3 || r.Repaired != 1 || r.Lost != 2 || r.Failed != 0 {
		t.Fatalf("Verify = %+v, %v", r, err)
	}
	for _, d := range r.Damages {
		if d.Repaired != (d.Digest == both) || d.Missing != (d.Digest == gone) || len(d.Holders) != 1 {
			t.Errorf("damage %+v", d)
		}
	}
	if got := string(blobtest.Get(t, one, both.Key())); got != "both" {
		t.Errorf("repaired to %q", got)
	}
	if got := blobtest.Keys(t, one, "damaged/", ""); len(got) != 2 {
		t.Errorf("kept: %v", got)
	}
	if r, err := w.c.Verify(ctx, content.VerifyOptions{Since: since}); err != nil || r.Objects != 0 {
		t.Errorf("Verify goes on where there is nothing left: %+v, %v", r, err)
	}
	flaws, err := w.db.VerifyEdges(ctx)
	if err != nil || len(flaws) != 1 || flaws[0].Count != 2 {
		t.Errorf("VerifyEdges = %+v, %v", flaws, err)
	}
	// A push of the bytes heals them.
	w.image(w.here[0], "", "lost", []byte("lost"))
	w.image(w.here[0], "", "gone", []byte("gone"))
	if flaws, err := w.db.VerifyEdges(ctx); err != nil || len(flaws) != 0 {
		t.Errorf("VerifyEdges after new pushes = %+v, %v", flaws, err)
	}
	// What cannot be read is neither damaged nor verified.
	faulty := blobtest.Faulty(one, blobtest.FailOn(blobtest.OpRead, lost.Key(), errors.New("storage is away")))
	w.here[0].Engine = faulty
	c := content.NewCollector(content.CollectOptions{Store: w.db, Locations: w.here})
	w.advance(time.Second)
	if r, err := c.Verify(ctx, content.VerifyOptions{}); err != nil || r.Failed != 1 || r.Damaged != 0 || r.Objects != 4 {
		t.Errorf("Verify = %+v, %v", r, err)
	}
}

// TestKeepRepositories leaves a deleted repository as it is until it is told
// not to.
func TestKeepRepositories(t *testing.T) {
	e := mem.New()
	w := newCollectWorld(t, e)
	w.image(w.here[0], "", "a", []byte("first"))
	if err := w.db.DeleteRepository(t.Context(), store.Repository{ID: w.repo}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	before := keys(t, e)
	for _, keep := range []bool{true, false} {
		c := content.NewCollector(content.CollectOptions{Store: w.db, Locations: w.here, Rate: 1_000_000, KeepRepositories: keep})
		for range 20 {
			w.advance(time.Hour)
			if _, err := c.RunOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if now := keys(t, e); keep && now != before || !keep && now != 0 {
			t.Errorf("keep %v: %d of %d objects", keep, now, before)
		}
	}
}

// TestCollectorLoop runs rounds until it is told to stop.
func TestCollectorLoop(t *testing.T) {
	e := mem.New()
	w := newCollectWorld(t, e)
	w.image(w.here[0], "", "a", []byte("first"))
	if err := w.db.DeleteTag(t.Context(), w.repo, "a", time.Hour, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	c := content.NewCollector(content.CollectOptions{Store: w.db, Locations: w.here, Retention: time.Hour, Interval: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Loop(ctx) }()
	for i := 0; keys(t, e) > 0; i++ {
		if i == 30_000 {
			t.Fatal("the object stays")
		}
		w.advance(10 * time.Minute)
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended
}
