package store_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// sees checks whether a manifest can be read by its digest, and whether the
// answer is said to last no longer than it does.
func (w *gcWorld) sees(d gantry.Digest, want bool) {
	w.t.Helper()
	m, until, err := w.ManifestByDigest(w.t.Context(), w.repo, d, gcRetention)
	switch {
	case want && err != nil:
		w.t.Errorf("%s cannot be read: %v", d, err)
	case want && (m.ID == 0 || m.Digest != d || string(m.Body) != "{}"):
		w.t.Errorf("read of %s: %+v", d, m)
	case want && !until.IsZero() && !until.After(w.Now().Add(-time.Millisecond)):
		w.t.Errorf("%s can be read until %v, which is past", d, until)
	case !want && !gantry.Is(err, gantry.NotFound):
		w.t.Errorf("%s can be read, or: %v", d, err)
	}
}

func (w *gcWorld) deleteManifest(d gantry.Digest) error {
	return w.DeleteManifest(w.t.Context(), w.repo, d, gcRetention, gantry.Actor{})
}

func (w *gcWorld) referrers(d gantry.Digest) (all []gantry.Digest) {
	w.t.Helper()
	q := store.ReferrersQuery{Repo: w.repo, Subject: d, N: 1000, Bytes: 1 << 20, Retention: gcRetention}
	for {
		list, after, err := w.Referrers(w.t.Context(), q)
		w.must(err)
		for _, m := range list {
			all = append(all, m.Digest)
		}
		if q.After = after; after == 0 {
			return all
		}
	}
}

func isCode(t *testing.T, err error, code gantry.Code, reason gantry.Reason) {
	t.Helper()
	if !gantry.Is(err, code) || gantry.ReasonOf(err) != reason {
		t.Errorf("error is %v, not %s %s", err, code, reason)
	}
}

func TestManifestByTag(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		b := w.blob(w.repo, 10)
		d := w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{b}, Tags: []string{"a", "b"}})
		m, until, err := w.ManifestByTag(t.Context(), w.repo, "a")
		if err != nil || m.Digest != d || !until.IsZero() {
			t.Fatalf("%+v, %v, %v", m, until, err)
		}
		_, _, err = w.ManifestByTag(t.Context(), w.repo, "A")
		isCode(t, err, gantry.NotFound, "")
		w.must(w.SetTagExpiry(t.Context(), w.repo, "a", w.Now().Add(time.Minute), gantry.Actor{}))
		if _, until, err = w.ManifestByTag(t.Context(), w.repo, "a"); err != nil || until.IsZero() {
			t.Fatalf("%v, %v", until, err)
		}
		w.advance(time.Minute)
		_, _, err = w.ManifestByTag(t.Context(), w.repo, "a")
		isCode(t, err, gantry.NotFound, gantry.TagExpired)
		w.must(w.DeleteTag(t.Context(), w.repo, "b", gcRetention, gantry.Actor{}))
		_, _, err = w.ManifestByTag(t.Context(), w.repo, "b")
		isCode(t, err, gantry.NotFound, gantry.TagExpired)
	})
}

func TestVisibleByDigest(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		tagged := w.manifest(w.repo, store.ManifestPut{Tags: []string{"a"}})
		w.sees(tagged, true)
		before := w.Statements()
		w.sees(tagged, true)
		if n := w.Statements() - before; n != 1 {
			t.Errorf("%d statements, not 1", n)
		}

		leased := w.manifest(w.repo, store.ManifestPut{})
		w.sees(leased, true)

		// Through two indexes.
		leaf := w.manifest(w.repo, store.ManifestPut{})
		middle := w.manifest(w.repo, store.ManifestPut{Children: []gantry.Digest{leaf}})
		top := w.manifest(w.repo, store.ManifestPut{Children: []gantry.Digest{middle}, Tags: []string{"top"}})
		// As referrers of a child, and of a referrer.
		signature := w.manifest(w.repo, store.ManifestPut{Subject: leaf})
		w.manifest(w.repo, store.ManifestPut{Subject: signature})
		waiting := randomDigest()
		early := w.manifest(w.repo, store.ManifestPut{Subject: waiting})

		moved := w.manifest(w.repo, store.ManifestPut{Tags: []string{"m"}})
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"m"}})
		w.sees(moved, true) // inside the retention
		w.advance(gcRetention + time.Minute)
		w.collect()
		w.sees(moved, false)
		w.sees(leased, false)
		w.sees(leaf, true)
		before = w.Statements()
		w.sees(middle, true)
		if n := w.Statements() - before; n != 1 {
			t.Errorf("%d statements for a child, not 1", n)
		}
		w.sees(signature, true)
		w.sees(early, true) // its subject may still come
		if got := w.referrers(leaf); len(got) != 1 || got[0] != signature {
			t.Errorf("referrers %v, not %s", got, signature)
		}
		if got := w.referrers(waiting); len(got) != 1 || got[0] != early {
			t.Errorf("referrers %v, not %s", got, early)
		}
		if got := w.referrers(signature); len(got) != 1 {
			t.Errorf("referrers of a referrer: %v", got)
		}

		// A deleted referrer goes although its subject stays.
		w.must(w.deleteManifest(signature))
		w.sees(signature, false)
		if got := w.referrers(leaf); len(got) != 0 {
			t.Errorf("referrers %v after the delete", got)
		}
		isCode(t, w.deleteManifest(signature), gantry.NotFound, "")
		isCode(t, w.deleteManifest(leaf), gantry.Conflict, "")
		w.sees(leaf, true)
		w.must(w.DeleteTag(t.Context(), w.repo, "top", gcRetention, gantry.Actor{}))
		for _, d := range []gantry.Digest{top, middle, leaf} {
			w.sees(d, false)
		}
		w.must(w.RestoreTag(t.Context(), store.TagChange{Repo: w.repo, Name: "top", Digest: top, Retention: gcRetention, Actor: gantry.Actor{}}))
		for _, d := range []gantry.Digest{top, middle, leaf} {
			w.sees(d, true)
		}
	})
}

func TestReferrersArePaged(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		subject := randomDigest()
		var all []gantry.Digest
		for i := range 7 {
			kind := "application/odd"
			if i%2 == 0 {
				kind = "application/even"
			}
			all = append(all, w.manifest(w.repo, store.ManifestPut{Subject: subject, ArtifactType: kind, Tags: []string{"t" + strconv.Itoa(i)}}))
		}
		w.must(w.DeleteTag(t.Context(), w.repo, "t3", gcRetention, gantry.Actor{}))
		all = slices.Delete(all, 3, 4) // it cannot be read any more
		for _, tt := range []struct {
			what  string
			q     store.ReferrersQuery
			pages []int
			want  []gantry.Digest
		}{
			{"all", store.ReferrersQuery{N: 100, Bytes: 1 << 20}, []int{6}, all},
			{"by two", store.ReferrersQuery{N: 2, Bytes: 1 << 20}, []int{2, 2, 2}, all},
			{"by four", store.ReferrersQuery{N: 4, Bytes: 1 << 20}, []int{4, 2}, all},
			{"by bytes", store.ReferrersQuery{N: 100, Bytes: 7}, []int{3, 3}, all}, // bodies are "{}"
			{"one at least", store.ReferrersQuery{N: 100, Bytes: 1}, []int{1, 1, 1, 1, 1, 1}, all},
			{"filtered", store.ReferrersQuery{N: 2, Bytes: 1 << 20, ArtifactType: "application/even"}, []int{2, 2}, []gantry.Digest{all[0], all[2], all[3], all[5]}},
			{"no such type", store.ReferrersQuery{N: 2, Bytes: 1 << 20, ArtifactType: "application/none"}, []int{0}, nil},
		} {
			tt.q.Repo, tt.q.Subject, tt.q.Retention = w.repo, subject, gcRetention
			var got []gantry.Digest
			var pages []int
			for {
				page, after, err := w.Referrers(t.Context(), tt.q)
				w.must(err)
				for _, m := range page {
					got = append(got, m.Digest)
				}
				pages = append(pages, len(page))
				if tt.q.After = after; after == 0 || len(pages) > 10 {
					break
				}
			}
			if !slices.Equal(got, tt.want) || !slices.Equal(pages, tt.pages) {
				t.Errorf("%s: pages of %v: %v, want %v: %v", tt.what, pages, got, tt.pages, tt.want)
			}
		}
	})
}

func TestDeleteManifest(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		b := w.blob(w.repo, 10)
		old := w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{b}, Tags: []string{"c"}})
		d := w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{b}, Tags: []string{"a", "b", "c"}})
		w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{b}, Tags: []string{"b"}})
		w.must(w.deleteManifest(d))
		w.sees(d, false)
		for _, tag := range []string{"a", "c"} {
			_, _, err := w.ManifestByTag(t.Context(), w.repo, tag)
			isCode(t, err, gantry.NotFound, gantry.TagExpired)
		}
		if _, _, err := w.ManifestByTag(t.Context(), w.repo, "b"); err != nil {
			t.Error("another manifest's tag went: ", err)
		}
		w.sees(old, true) // "c" left it by a move
		isCode(t, w.deleteManifest(d), gantry.NotFound, "")
		isCode(t, w.deleteManifest(randomDigest()), gantry.NotFound, "")
		w.must(w.RestoreTag(t.Context(), store.TagChange{Repo: w.repo, Name: "a", Digest: d, Retention: gcRetention, Actor: gantry.Actor{}}))
		w.sees(d, true)
		w.must(w.deleteManifest(d))
		w.must(w.deleteManifest(old)) // history alone shows it
		w.sees(old, false)

		byDigest := w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{b}})
		w.must(w.deleteManifest(byDigest))
		w.sees(byDigest, false)
		if w.manifest(w.repo, store.ManifestPut{Digest: byDigest, Blobs: []gantry.Digest{b}}); true {
			w.sees(byDigest, true)
		}
		w.advance(3 * gcRetention)
		if w.collect(); t.Failed() {
			return
		}
		w.sees(byDigest, false)
	})
}

func TestDeleteBlob(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		remove := func(d gantry.Digest) error { return w.DeleteBlob(t.Context(), w.repo, d, gcRetention, gantry.Actor{}) }
		has := func(d gantry.Digest) bool {
			_, err := w.RepoBlob(t.Context(), w.repo, d)
			return err == nil
		}
		loose, b, c := w.blob(w.repo, 1), w.blob(w.repo, 2), w.blob(w.repo, 3)
		m := w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{b}, Tags: []string{"a"}})
		child := w.manifest(w.repo, store.ManifestPut{Blobs: []gantry.Digest{c}})
		w.manifest(w.repo, store.ManifestPut{Children: []gantry.Digest{child}, Tags: []string{"index"}})
		w.must(remove(loose))
		if has(loose) {
			t.Error("a deleted blob can be read")
		}
		isCode(t, remove(loose), gantry.NotFound, "")
		isCode(t, remove(b), gantry.Conflict, gantry.BlobReferenced)
		isCode(t, remove(c), gantry.Conflict, gantry.BlobReferenced)
		w.must(w.DeleteTag(t.Context(), w.repo, "a", gcRetention, gantry.Actor{}))
		w.must(remove(b))
		if has(b) {
			t.Error("a deleted blob can be read")
		}
		_, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Blobs: []gantry.Digest{b}, Tags: []string{"x"}})
		isCode(t, err, gantry.Invalid, gantry.UnknownBlob)
		w.collect()
		w.must(w.RestoreTag(t.Context(), store.TagChange{Repo: w.repo, Name: "a", Digest: m, Retention: gcRetention, Actor: gantry.Actor{}}))
		if !has(b) {
			t.Error("the restored manifest misses its blob")
		}
		w.must(w.DeleteTag(t.Context(), w.repo, "a", gcRetention, gantry.Actor{}))
		w.must(remove(b))
		w.advance(3 * gcRetention)
		w.collect()
		if err := w.RenewBlob(t.Context(), w.repo, 1, time.Hour); !gantry.Is(err, gantry.NotFound) {
			t.Error("renewed a blob that is gone: ", err)
		}
	})
}
