package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// gcWorld is a store with a clock that the test moves.
type gcWorld struct {
	*store.DB
	t        *testing.T
	ahead    atomic.Int64
	location int64
	ns       gantry.AccountID
	repo     gantry.RepoID
}

const gcRetention = time.Hour

// eachGC runs f on the given databases, or on all.
func eachGC(t *testing.T, f func(w *gcWorld), dialects ...string) {
	t.Helper()
	if len(dialects) == 0 {
		dialects = storetest.Dialects()
	}
	for _, d := range dialects {
		t.Run(d, func(t *testing.T) {
			w := &gcWorld{t: t}
			w.DB = storetest.Open(t, d, store.Options{Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
			w.ns = storetest.Namespace(t, w.DB)
			w.repo = storetest.RepoIn(t, w.DB, w.ns)
			var err error
			if w.location, err = w.EnsureLocation(t.Context(), "default"); err != nil {
				t.Fatal(err)
			}
			f(w)
			w.sound()
		})
	}
}

func (w *gcWorld) advance(d time.Duration) { w.ahead.Add(int64(d)) }

func (w *gcWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// sound checks every edge and the usage.
func (w *gcWorld) sound() {
	w.t.Helper()
	flaws, err := w.VerifyEdges(context.WithoutCancel(w.t.Context()))
	w.must(err)
	for _, f := range flaws {
		w.t.Errorf("%d rows break %q, such as %s", f.Count, f.Check, f.Sample)
	}
}

func randomDigest() gantry.Digest { return gantry.FromBytes([]byte(rand.Text())) }

// blob uploads a blob of that size.
func (w *gcWorld) blob(repo gantry.RepoID, size int64) gantry.Digest {
	w.t.Helper()
	d := randomDigest()
	w.commit(repo, d, size)
	return d
}

func (w *gcWorld) commit(repo gantry.RepoID, d gantry.Digest, size int64) store.Committed {
	w.t.Helper()
	c, err := w.CommitBlob(w.t.Context(), store.BlobCommit{Repo: repo, Digest: d, Size: size, Location: w.location, Lease: time.Hour})
	w.must(err)
	return c
}

func (w *gcWorld) manifest(repo gantry.RepoID, p store.ManifestPut) gantry.Digest {
	w.t.Helper()
	if p.Digest == "" {
		p.Digest = randomDigest()
	}
	_, err := w.put(repo, p)
	w.must(err)
	return p.Digest
}

func (w *gcWorld) put(repo gantry.RepoID, p store.ManifestPut) (store.ManifestPushed, error) {
	p.Repo, p.MediaType, p.Body = repo, "application/vnd.oci.image.manifest.v1+json", []byte("{}")
	p.Lease, p.OrphanLease, p.Retention = time.Hour, 14*24*time.Hour, gcRetention
	return w.PutManifest(w.t.Context(), p)
}

// collect settles everything that is due.
func (w *gcWorld) collect() (sum store.Collected) {
	w.t.Helper()
	for range 200 {
		_, err := w.ExpireTags(w.t.Context(), 100, gcRetention)
		w.must(err)
		reviews, err := w.Reviews(w.t.Context(), 500)
		w.must(err)
		byKind := map[string][]store.Review{}
		for _, r := range reviews {
			byKind[r.Kind] = append(byKind[r.Kind], r)
		}
		for _, kind := range []string{"frozen", "repository", "manifest", "repo_blob", "ns_blob", "blob"} {
			for of := byKind[kind]; len(of) > 0; {
				n := min(len(of), store.MaxCollect)
				if kind == "repository" || kind == "frozen" {
					n = 1
				}
				c, err := w.Collect(w.t.Context(), of[:n], gcRetention)
				w.must(err)
				sum.Add(c)
				of = of[n:]
			}
		}
		c, err := w.CollectLeases(w.t.Context(), 100)
		w.must(err)
		sum.Add(c)
		if len(reviews) == 0 && c.Reviews == 0 {
			return sum
		}
	}
	w.t.Fatal("collection does not come to an end")
	return sum
}

func (w *gcWorld) count(table string) int64 {
	w.t.Helper()
	return storetest.Get(w.t, w.DB, "SELECT COUNT(*) FROM "+table)
}

// wantEmpty checks that nothing is left of any content.
func (w *gcWorld) wantEmpty() {
	w.t.Helper()
	for _, table := range []string{"manifests", "manifest_bodies", "manifest_blobs", "manifest_children", "manifest_labels", "tags",
		"repo_blobs", "ns_blobs", "blobs", "placements", "gc_reviews"} {
		if n := w.count(table); n != 0 {
			w.t.Errorf("%d rows of %s are left", n, table)
		}
	}
	if n := storetest.Get(w.t, w.DB, "SELECT SUM(bytes) FROM usage_deltas"); n != 0 {
		w.t.Errorf("usage is %d", n)
	}
}

// TestCollectAll pushes images, an index and a referrer, and takes them away
// step by step.
func TestCollectAll(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		shared := w.blob(w.repo, 100)
		children := make([]gantry.Digest, 2)
		for i := range children {
			children[i] = w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{shared, w.blob(w.repo, 10)}, Labels: []store.Label{{Key: "a", Value: "b"}}})
		}
		index := w.manifest(w.repo, store.ManifestPut{Children: children, Tags: []string{"v1"}})
		sig := w.manifest(w.repo, store.ManifestPut{Subject: index, Blobs: []gantry.Digest{w.blob(w.repo, 1)}})
		w.manifest(w.repo, store.ManifestPut{Subject: sig}) // a referrer of a referrer
		other := storetest.RepoIn(t, w.DB, w.ns)
		if _, ok, err := w.MountBlob(ctx, store.Mount{Repo: other, Digest: shared, Sources: []gantry.RepoID{w.repo}, Lease: time.Hour}); err != nil || !ok {
			t.Fatal(ok, err)
		}
		kept := w.manifest(other, store.ManifestPut{Blobs: []gantry.Digest{shared}, Tags: []string{"v1"}})

		w.advance(20 * 24 * time.Hour) // all leases are over
		w.collect()
		w.sound()
		if n := w.count("manifests"); n != 6 {
			t.Fatalf("%d manifests; all 6 are reachable", n)
		}

		w.must(w.DeleteTag(ctx, w.repo, "v1", gcRetention, gantry.Actor{}))
		w.advance(gcRetention - time.Minute)
		w.collect()
		if n := w.count("manifests"); n != 6 {
			t.Fatalf("%d manifests; all 6 can be restored", n)
		}
		w.must(w.RestoreTag(ctx, store.TagChange{Repo: w.repo, Name: "v1", Digest: index, Retention: gcRetention, Actor: gantry.Actor{}}))
		w.advance(3 * gcRetention)
		w.collect()
		if n := w.count("manifests"); n != 6 {
			t.Fatalf("%d manifests; all 6 are reachable again", n)
		}
		w.must(w.DeleteTag(ctx, w.repo, "v1", gcRetention, gantry.Actor{}))
		w.advance(gcRetention + time.Minute)
		c := w.collect()
		w.sound()
		if c.Manifests != 5 || w.count("manifests") != 1 || w.count("blobs") != 1 || w.count("trash") != 3 {
			t.Errorf("collected %+v; %d manifests, %d blobs, %d trash", c, w.count("manifests"), w.count("blobs"), w.count("trash"))
		}

		// The last one expires by itself.
		w.must(w.SetTagExpiry(ctx, other, "v1", w.Now().Add(time.Minute), gantry.Actor{}))
		w.advance(2 * time.Minute)
		w.collect()
		if n := storetest.Get(t, w.DB, "SELECT COUNT(*) FROM events WHERE kind = 'delete_tag' AND repo_id = ?", int64(other)); n != 1 {
			t.Errorf("%d events tell of the expiry", n)
		}
		if w.count("manifests") != 1 {
			t.Error("an expired tag cannot be restored")
		}
		_ = kept
		w.advance(gcRetention)
		w.collect()
		w.wantEmpty()
	})
}

// TestCollectLeases checks when an uploaded blob goes that no manifest uses.
func TestCollectLeases(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		w.blob(w.repo, 1)
		_, err := w.CreateUpload(ctx, store.Upload{UUID: "00000000-0000-0000-0000-000000000001", Repo: w.repo, Location: w.location, Path: "uploads/1", Algorithm: "sha256"})
		w.must(err)
		w.advance(50 * time.Minute)
		w.must(w.TouchUpload(ctx, "00000000-0000-0000-0000-000000000001", 1))
		w.advance(50 * time.Minute) // the lease is over, but the push goes on
		w.collect()
		if w.count("repo_blobs") != 1 {
			t.Fatal("a blob went during a push")
		}
		w.advance(50 * time.Minute)
		w.collect()
		if w.count("repo_blobs") != 0 {
			t.Fatal("a blob stayed after a push was given up")
		}
		w.advance(48 * time.Hour)
		n, err := w.SweepUploads(ctx, 48*time.Hour)
		if n != 1 || err != nil || w.count("uploads") != 0 {
			t.Fatalf("SweepUploads = %d, %v", n, err)
		}
		due, err := w.TrashDue(ctx, []int64{w.location}, 10)
		w.must(err)
		if len(due) != 2 || due[0].Upload == due[1].Upload {
			t.Errorf("in the trash: %+v", due)
		}
		w.wantEmpty()
	})
}

// TestTrash checks the life of a key in the trash.
func TestTrash(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		d := w.blob(w.repo, 1)
		w.advance(61 * time.Minute)
		w.collect()
		here := []int64{w.location}
		due := func() []store.Trashed {
			t.Helper()
			due, err := w.TrashDue(ctx, here, 10)
			w.must(err)
			return due
		}
		if len(due()) != 0 {
			t.Fatal("an object is deleted at once")
		}
		commit := store.BlobCommit{Repo: w.repo, Digest: d, Size: 1, Location: w.location, Lease: time.Hour}
		if _, err := w.CommitBlob(ctx, commit); !errors.Is(err, store.ErrKeyFenced) {
			t.Fatalf("a key in the trash is used: %v", err)
		}
		w.advance(16 * time.Minute)
		first := due()
		if len(first) != 1 || first[0].Path != d.Key() || first[0].Upload {
			t.Fatalf("due: %+v", first)
		}
		if len(due()) != 0 {
			t.Fatal("claimed twice")
		}
		w.advance(11 * time.Minute) // the worker died
		second := due()
		if len(second) != 1 {
			t.Fatal("not due again")
		}
		w.must(w.TrashDone(ctx, first)) // an old claim says nothing
		w.advance(25 * time.Hour)
		if n, err := w.PurgeTrash(ctx, 10); n != 0 || err != nil {
			t.Fatalf("PurgeTrash = %d, %v", n, err)
		}
		third := due()
		w.must(w.TrashDone(ctx, third))
		if n, err := w.PurgeTrash(ctx, 10); n != 0 || err != nil {
			t.Fatalf("PurgeTrash at once = %d, %v", n, err)
		}
		if _, err := w.CommitBlob(ctx, commit); !errors.Is(err, store.ErrKeyFenced) {
			t.Fatalf("a key is used that was just deleted: %v", err)
		}
		w.advance(25 * time.Hour)
		if n, err := w.PurgeTrash(ctx, 10); n != 1 || err != nil {
			t.Fatalf("PurgeTrash a day later = %d, %v", n, err)
		}
		w.commit(w.repo, d, 1)
		w.advance(2 * time.Hour)
		w.collect()
		w.wantEmpty()
	})
}

// TestRestorePoint checks that neither rows nor objects go that a copy of the
// database needs.
func TestRestorePoint(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{w.blob(w.repo, 1)}, Tags: []string{"a"}})
		loose := w.blob(w.repo, 1)
		w.advance(time.Minute)
		id, err := w.CreateRestorePoint(ctx, w.Now().Add(10*24*time.Hour))
		w.must(err)
		w.advance(time.Minute)
		w.must(w.DeleteTag(ctx, w.repo, "a", gcRetention, gantry.Actor{}))
		w.advance(5 * 24 * time.Hour)
		w.collect()
		if w.count("manifests") != 1 {
			t.Fatal("a manifest went that a restore point holds")
		}
		if due, err := w.TrashDue(ctx, []int64{w.location}, 10); len(due) != 0 || err != nil {
			t.Fatalf("an object is deleted that a restore point holds (%s): %v, %v", loose, due, err)
		}
		if points, err := w.RestorePoints(ctx); len(points) != 1 || err != nil || points[0].ID != id {
			t.Fatalf("RestorePoints = %v, %v", points, err)
		}
		w.must(w.ReleaseRestorePoint(ctx, id))
		w.advance(25 * time.Hour)
		w.collect()
		w.wantEmpty()
		if due, err := w.TrashDue(ctx, []int64{w.location}, 10); len(due) != 1 || err != nil {
			t.Fatalf("trash after the release: %v, %v", due, err)
		}
	})
}

// TestPurgeRepository deletes a repository with everything in it.
func TestPurgeRepository(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		for range 120 {
			w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{w.blob(w.repo, 1)}, Tags: []string{rand.Text()}})
		}
		_, err := w.CreateUpload(ctx, store.Upload{UUID: "00000000-0000-0000-0000-000000000001", Repo: w.repo, Location: w.location, Path: "uploads/1", Algorithm: "sha256"})
		w.must(err)
		storetest.Exec(t, w.DB, "UPDATE repositories SET deleted_ms = ?, name = 'x' WHERE id = ?", w.Now().UnixMilli(), int64(w.repo))
		n, err := w.QueueLost(ctx) // as the deletion does
		if n != 1 || err != nil {
			t.Fatalf("QueueLost = %d, %v", n, err)
		}
		w.collect()
		if w.count("repositories") != 1 || w.count("manifests") != 0 || w.count("uploads") != 0 {
			t.Error("the repository is not empty, or gone too early")
		}
		w.advance(16 * time.Minute)
		w.collect()
		w.wantEmpty()
		if w.count("repositories") != 0 {
			t.Error("the repository is left")
		}
	})
}

// TestPurgeNamespace: a deleted namespace counts as purged when the last of
// its repositories goes, and only then.
func TestPurgeNamespace(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ns := storetest.Namespace(t, w.DB)
		for range 3 {
			repo := storetest.RepoIn(t, w.DB, ns)
			w.manifest(repo, store.ManifestPut{Blobs: []gantry.Digest{w.blob(repo, 1)}, Tags: []string{"v1"}})
		}
		storetest.Exec(t, w.DB, "UPDATE repositories SET deleted_ms = ?, name = 'x' WHERE id = ?", w.Now().UnixMilli(), int64(w.repo))
		if _, err := w.QueueLost(t.Context()); err != nil { // beside it, of a namespace that stays
			t.Fatal(err)
		}
		w.must(w.DeleteNamespace(t.Context(), ns, gantry.Actor{}))
		if c := w.collect(); c.Namespaces != 0 {
			t.Errorf("%d namespaces are purged while their repositories are there", c.Namespaces)
		}
		w.advance(16 * time.Minute)
		if c := w.collect(); c.Namespaces != 1 || c.Repositories != 4 {
			t.Errorf("%d namespaces and %d repositories are purged, want 1 and 4", c.Namespaces, c.Repositories)
		}
	})
}

// TestAdopt checks what becomes of objects that no row names.
func TestAdopt(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		d := randomDigest()
		unknown := func(want int, keys ...string) {
			t.Helper()
			got, err := w.UnknownKeys(ctx, w.location, keys)
			if len(got) != want || err != nil {
				t.Errorf("UnknownKeys = %v, %v", got, err)
			}
		}
		unknown(2, d.Key(), "uploads/x")
		if ok, err := w.Adopt(ctx, w.location, d.Key(), d, 3); !ok || err != nil {
			t.Fatal(ok, err)
		}
		unknown(0, d.Key())
		if ok, err := w.Adopt(ctx, w.location, "uploads/x", d, 3); ok || err != nil {
			t.Fatal(ok, err)
		}
		unknown(0, "uploads/x") // in the trash
		bad := randomDigest()
		if ok, err := w.Discard(ctx, w.location, bad); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := w.Discard(ctx, w.location, d); ok || err != nil {
			t.Fatalf("an object that is named is discarded: %v, %v", ok, err)
		}
		w.advance(23 * time.Hour)
		w.collect()
		if w.count("blobs") != 1 {
			t.Errorf("%d blobs", w.count("blobs"))
		}
		w.advance(2 * time.Hour)
		w.collect()
		w.wantEmpty()
		if ok, err := w.Adopt(ctx, w.location, d.Key(), d, 3); ok || err != nil {
			t.Fatalf("a key in the trash is adopted: %v, %v", ok, err)
		}
		w.advance(25 * time.Hour)
		w.collect()
		w.wantEmpty()
	})
}

// TestRelocate moves a blob to its canonical key, unless that is fenced.
func TestRelocate(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		d := randomDigest()
		_, err := w.CommitBlob(ctx, store.BlobCommit{Repo: w.repo, Digest: d, Size: 1, Location: w.location, Path: "uploads/a", Lease: time.Hour})
		w.must(err)
		all, last, err := w.Relocations(ctx, w.location, "", 10)
		if len(all) != 1 || last != all[0].Path || err != nil {
			t.Fatal(all, last, err)
		}
		if ok, err := w.Discard(ctx, w.location, d); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := w.Relocate(ctx, all[0]); ok || err != nil {
			t.Fatalf("relocated to a key in the trash: %v, %v", ok, err)
		}
		if all, _, err := w.Relocations(ctx, w.location, "", 10); len(all) != 0 || err != nil {
			t.Fatal(all, err)
		}
		storetest.Exec(t, w.DB, "DELETE FROM trash")
		for _, want := range []bool{true, false} {
			if ok, err := w.Relocate(ctx, all[0]); ok != want || err != nil {
				t.Fatalf("Relocate = %v, %v; want %v", ok, err, want)
			}
		}
		if n := storetest.Get(t, w.DB, "SELECT COUNT(*) FROM trash WHERE path = 'uploads/a'"); n != 1 {
			t.Error("the old key is not in the trash")
		}
	})
}

// TestCollectHidden checks that a blob that was deleted goes at once, and one
// that a manifest still needs does not.
func TestCollectHidden(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		loose, used := w.blob(w.repo, 1), w.blob(w.repo, 2)
		w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{used}, Tags: []string{"a"}})
		storetest.Exec(t, w.DB, `UPDATE repo_blobs SET hidden_ms = ?`, w.Now().UnixMilli())
		storetest.Exec(t, w.DB, `INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT 'repo_blob', repo_id, blob_id, 0 FROM repo_blobs`)
		w.collect()
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM blobs WHERE digest = ?`, loose.Bytes()); n != 0 {
			t.Error("a deleted blob is there until its lease is over")
		}
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM repo_blobs rb JOIN blobs b ON b.id = rb.blob_id WHERE b.digest = ?`, used.Bytes()); n != 1 {
			t.Error("a blob went that a manifest needs")
		}
	})
}
