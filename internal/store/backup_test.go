package store_test

import (
	"crypto/sha512"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestStoredBlobs lists blobs in the order of their keys, a page at a time, and
// has all of them be at one location.
func TestStoredBlobs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		repo := storetest.Repo(t, db)
		var at [2]int64
		for i := range at {
			var err error
			if at[i], err = db.EnsureLocation(ctx, fmt.Sprint("place", i)); err != nil {
				t.Fatal(err)
			}
		}
		var want []gantry.Digest
		for i := range 25 {
			d := gantry.FromBytes(fmt.Append(nil, i))
			if i%5 == 0 {
				d = gantry.Digest(fmt.Sprintf("sha512:%x", sha512.Sum512(fmt.Append(nil, i))))
			}
			want = append(want, d)
			for j := range 1 + i%2 {
				path := ""
				if i%3 == 0 {
					path = fmt.Sprintf("uploads/%d", i)
				}
				if _, err := db.CommitBlob(ctx, store.BlobCommit{Repo: repo, Digest: d, Size: int64(i), Location: at[j], Path: path, Lease: time.Hour}); err != nil {
					t.Fatal(err)
				}
			}
		}
		storetest.Exec(t, db, `UPDATE placements SET state = 'damaged' WHERE blob_id IN (SELECT id FROM blobs WHERE digest = ?)`, want[2].Bytes())
		storetest.Exec(t, db, `UPDATE placements SET state = 'suspect' WHERE blob_id IN (SELECT id FROM blobs WHERE digest = ?)`, want[4].Bytes())
		slices.SortFunc(want, func(a, b gantry.Digest) int { return slices.Compare(a.Bytes(), b.Bytes()) })
		read := func(n int) (all []store.StoredBlob) {
			for after := gantry.Digest(""); ; {
				page, err := db.StoredBlobs(ctx, after, n)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, page...)
				if len(page) < n {
					return all
				}
				after = page[n-1].Digest
			}
		}
		for _, n := range []int{1, 7, 1000} {
			all := read(n)
			last := ""
			for i, b := range all {
				if b.Digest != want[i] || b.Digest.Key() <= last {
					t.Fatalf("page %d: %d is %s, not %s", n, i, b.Digest, want[i])
				}
				last = b.Digest.Key()
			}
			if len(all) != len(want) {
				t.Errorf("page %d: %d blobs", n, len(all))
			}
		}
		places := func(all []store.StoredBlob) map[int]int {
			n := map[int]int{}
			for _, b := range all {
				n[len(b.Places)]++
			}
			return n
		}
		// CommitBlob of a blob that is there keeps the place that it has.
		if n := places(read(1000)); n[0] != 1 || n[1]+n[2] != 24 {
			t.Errorf("places: %v", n)
		}
		if _, err := db.CreateRestorePoint(ctx, db.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // again is no harm
			if err := db.MovedTo(ctx, "new"); err != nil {
				t.Fatal(err)
			}
		}
		id, err := db.EnsureLocation(ctx, "new")
		if err != nil {
			t.Fatal(err)
		}
		all := read(1000)
		for _, b := range all {
			if len(b.Places) > 0 && b.Places[0] != (store.Place{Location: id}) {
				t.Errorf("%+v", b)
			}
		}
		if n := places(all); n[0] != 1 || n[1] != 24 {
			t.Errorf("places: %v", n)
		}
		if p, err := db.RestorePoints(ctx); err != nil || len(p) != 0 {
			t.Errorf("%v, %v", p, err)
		}
		if err := db.Unplace(ctx, want[7]); err != nil {
			t.Fatal(err)
		}
		if n := places(read(1000)); n[0] != 2 {
			t.Errorf("places: %v", n)
		}
	})
}

// TestRenewRestorePoint keeps what a copy needs for longer than it was asked
// for at first.
func TestRenewRestorePoint(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		id, err := w.CreateRestorePoint(ctx, w.Now().Add(2*time.Hour))
		w.must(err)
		w.blob(w.repo, 1)
		w.advance(30 * time.Hour / 20) // the lease is over, the point is not
		w.collect()
		w.must(w.RenewRestorePoint(ctx, id, w.Now().Add(3*time.Hour)))
		w.advance(2 * time.Hour)
		if due, err := w.TrashDue(ctx, []int64{w.location}, 10); len(due) != 0 || err != nil {
			t.Fatalf("an object is deleted that a renewed restore point holds: %v, %v", due, err)
		}
		w.advance(90 * time.Minute)
		if due, err := w.TrashDue(ctx, []int64{w.location}, 10); len(due) != 1 || err != nil {
			t.Fatalf("trash after the restore point: %v, %v", due, err)
		}
		if err := w.RenewRestorePoint(ctx, id, w.Now().Add(time.Hour)); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("a restore point that is over is renewed: %v", err)
		}
	})
}

// TestCopyReplaces puts a copy in place of a registry that is there.
func TestCopyReplaces(t *testing.T) {
	ctx := t.Context()
	from := storetest.Open(t, storetest.SQLite, store.Options{})
	storetest.Repo(t, from)
	for _, dialect := range storetest.Dialects() {
		to := storetest.Open(t, dialect, store.Options{})
		for range 3 {
			storetest.Repo(t, to)
		}
		o := store.CopyOptions{From: store.Options{URI: storetest.AddressOf(t, from)}, To: store.Options{URI: storetest.AddressOf(t, to)}}
		if err := store.CheckEmpty(ctx, o.To); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("%s: %v", dialect, err)
		}
		if err := store.CheckEmpty(ctx, store.Options{URI: storetest.EmptyURI(t, dialect)}); err != nil {
			t.Errorf("%s: an empty one: %v", dialect, err)
		}
		if err := to.Beat(ctx, store.Instance{ID: "i", Started: time.Now()}); err != nil {
			t.Fatal(err)
		}
		o.Replace = true
		if dialect != storetest.SQLite { // instances go by the server's clock, not by that of who restores
			o.To.Now = func() time.Time { return time.Now().Add(10 * time.Minute) }
		}
		if _, err := store.CopyDatabase(ctx, o); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("%s: an instance uses it: %v", dialect, err)
		}
		if n := storetest.Get(t, to, `SELECT COUNT(*) FROM repositories`); n != 3 {
			t.Errorf("%s: %d repositories are left", dialect, n)
		}
		if err := to.RemoveInstance(ctx, "i"); err != nil {
			t.Fatal(err)
		}
		if c, err := store.CopyDatabase(ctx, o); err != nil || !c.Equal {
			t.Errorf("%s: %+v, %v", dialect, c, err)
		}
		if n := storetest.Get(t, to, `SELECT COUNT(*) FROM repositories`); n != 1 {
			t.Errorf("%s: %d repositories", dialect, n)
		}
		if err := to.CheckSchema(ctx); err != nil {
			t.Errorf("%s: %v", dialect, err)
		}
	}
}
