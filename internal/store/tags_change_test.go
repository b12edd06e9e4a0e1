package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// change is ChangeTag in the world's repository.
func (w *gcWorld) change(name string, c store.TagChange) error {
	c.Repo, c.Name, c.Retention = w.repo, name, gcRetention
	return w.ChangeTag(w.t.Context(), c)
}

// span is what a tag is now.
func (w *gcWorld) span(name string) store.TagSpan {
	w.t.Helper()
	spans, _, err := w.TagPage(w.t.Context(), store.TagQuery{Repo: w.repo, Live: true, Name: name, N: 1})
	w.must(err)
	if len(spans) == 0 {
		return store.TagSpan{}
	}
	return spans[0]
}

// told is how often the journal has a kind.
func (w *gcWorld) told(kind string, want int64) {
	w.t.Helper()
	if n := storetest.Get(w.t, w.DB, `SELECT COUNT(*) FROM events WHERE kind = ? AND repo_id = ?`, kind, int64(w.repo)); n != want {
		w.t.Errorf("%d rows of %s, want %d", n, kind, want)
	}
}

func TestChangeTag(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		a := w.manifest(w.repo, store.ManifestPut{Tags: []string{"a"}})
		b := w.manifest(w.repo, store.ManifestPut{Tags: []string{"b"}})
		at := func(d time.Duration) *time.Time {
			v := gantry.FromMillis(w.Now().Add(d).UnixMilli())
			return &v
		}
		never := &time.Time{}

		w.must(w.change("new", store.TagChange{Digest: a}))
		w.must(w.change("a", store.TagChange{Digest: b}))
		if w.span("new").Digest != a || w.span("a").Digest != b {
			w.t.Error("tags point elsewhere")
		}
		w.told("create_tag", 1)
		w.told("move_tag", 1)
		isCode(w.t, w.change("x", store.TagChange{Digest: randomDigest()}), gantry.NotFound, "")
		isCode(w.t, w.change("x", store.TagChange{Expiry: never}), gantry.NotFound, "")

		// What was deleted is not to be had by its digest.
		w.must(w.deleteManifest(a))
		isCode(w.t, w.change("x", store.TagChange{Digest: a}), gantry.NotFound, "")

		// The end, and its bounds.
		w.must(w.change("b", store.TagChange{Expiry: at(2 * time.Hour), MinLife: time.Hour, MaxLife: 3 * time.Hour}))
		if left := w.span("b").End.Sub(w.Now()); left > 2*time.Hour || left < 2*time.Hour-time.Minute {
			w.t.Errorf("%v are left of two hours", left)
		}
		w.must(w.change("b", store.TagChange{Expiry: at(time.Minute), MinLife: time.Hour}))
		if s := w.span("b"); s.End.Sub(s.Start) != time.Hour {
			w.t.Errorf("the shortest life is %v", s.End.Sub(s.Start))
		}
		w.must(w.change("b", store.TagChange{Expiry: at(9 * time.Hour), MaxLife: 3 * time.Hour}))
		if left := w.span("b").End.Sub(w.Now()); left > 3*time.Hour || left < 3*time.Hour-time.Minute {
			w.t.Errorf("the longest life is %v", left)
		}
		w.must(w.change("b", store.TagChange{Expiry: never}))
		w.must(w.change("b", store.TagChange{Expiry: never})) // no change, no row
		if !w.span("b").End.IsZero() {
			w.t.Error("it still ends")
		}
		w.told("change_tag_expiration", 4)

		// All or nothing.
		c := w.manifest(w.repo, store.ManifestPut{Tags: []string{"c"}})
		yes := true
		isCode(w.t, w.change("b", store.TagChange{Digest: c, Expiry: at(time.Hour), Immutable: &yes}), gantry.Invalid, "")
		if w.span("b").Digest != b {
			w.t.Error("the tag moved, although the rest was refused")
		}
		w.must(w.change("b", store.TagChange{Digest: c, Expiry: at(time.Hour)}))
		if s := w.span("b"); s.Digest != c || s.End.IsZero() {
			w.t.Errorf("%+v", s)
		}
		w.advance(time.Hour)
		isCode(w.t, w.change("b", store.TagChange{Expiry: never}), gantry.NotFound, "")
		w.must(w.change("b", store.TagChange{Digest: c})) // is made anew
		w.told("create_tag", 2)

		storetest.Exec(t, w.DB, `UPDATE repositories SET state = ? WHERE id = ?`, int(gantry.ReadOnlyState), int64(w.repo))
		for name, err := range map[string]error{
			"move": w.change("c", store.TagChange{Digest: b}), "expire": w.change("c", store.TagChange{Expiry: at(time.Hour)}),
			"freeze": w.change("c", store.TagChange{Immutable: &yes}), "forget": w.ForgetTag(t.Context(), store.TagForget{Repo: w.repo, Name: "c", Live: true}),
		} {
			if !gantry.Is(err, gantry.ReadOnly) {
				w.t.Errorf("%s in a read-only repository: %v", name, err)
			}
		}
	})
}

// TestImmutableTag holds that nothing moves or ends an immutable tag.
func TestImmutableTag(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		yes, no := true, false
		old := w.manifest(w.repo, store.ManifestPut{Tags: []string{"v1"}})
		blob := w.blob(w.repo, 3)
		d := w.manifest(w.repo, store.ManifestPut{Tags: []string{"v1"}, Blobs: []gantry.Digest{blob}})
		other := w.manifest(w.repo, store.ManifestPut{Tags: []string{"other"}})
		w.must(w.change("v1", store.TagChange{Immutable: &yes}))
		w.must(w.change("v1", store.TagChange{Immutable: &yes}))
		w.told("change_tag_immutability", 1)
		soon := w.Now().Add(time.Hour)
		for name, err := range map[string]error{
			"delete":     w.DeleteTag(ctx, w.repo, "v1", gcRetention, gantry.Actor{}),
			"restore":    w.RestoreTag(ctx, store.TagChange{Repo: w.repo, Name: "v1", Digest: old, Retention: gcRetention, Actor: gantry.Actor{}}),
			"move":       w.change("v1", store.TagChange{Digest: other}),
			"expire":     w.change("v1", store.TagChange{Expiry: &soon}),
			"its digest": w.deleteManifest(d),
			"forget":     w.ForgetTag(ctx, store.TagForget{Repo: w.repo, Name: "v1", Live: true}),
			"push": func() error {
				_, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Tags: []string{"v1"}})
				return err
			}(),
		} {
			if !gantry.Is(err, gantry.Conflict) || gantry.ReasonOf(err) != gantry.TagImmutable {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		w.must(w.change("v1", store.TagChange{Digest: d})) // where it points already
		_, err := w.put(w.repo, store.ManifestPut{Digest: d, Blobs: []gantry.Digest{blob}, Tags: []string{"v1"}})
		w.must(err)
		w.advance(100 * 24 * time.Hour)
		w.collect()
		if s := w.span("v1"); s.Digest != d || !s.Immutable {
			w.t.Fatalf("after collection: %+v", s)
		}
		w.sees(d, true)
		if _, err := w.RepoBlob(ctx, w.repo, blob); err != nil {
			w.t.Error("its blob: ", err)
		}

		// With an end, if that is allowed.
		soon = w.Now().Add(time.Hour)
		w.must(w.change("v1", store.TagChange{Expiry: &soon, MayExpire: true}))
		isCode(w.t, w.DeleteTag(ctx, w.repo, "v1", gcRetention, gantry.Actor{}), gantry.Conflict, gantry.TagImmutable)
		w.advance(time.Hour)
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"v1"}}) // its time is over
		if s := w.span("v1"); s.Digest == d || s.Immutable {
			w.t.Errorf("after its time: %+v", s)
		}
		w.must(w.change("v1", store.TagChange{Immutable: &yes}))
		w.must(w.change("v1", store.TagChange{Immutable: &no}))
		w.must(w.DeleteTag(ctx, w.repo, "v1", gcRetention, gantry.Actor{}))
	})
}

// TestImmutableRace has a tag moved, deleted and given an end while it becomes
// immutable: whatever comes first, an immutable span does not end.
func TestImmutableRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &gcWorld{DB: db, t: t, ns: storetest.Namespace(t, db)}
		w.repo = storetest.RepoIn(t, db, w.ns)
		other := w.manifest(w.repo, store.ManifestPut{Tags: []string{"other"}})
		yes := true
		soon := w.Now().Add(time.Hour)
		for i := range 30 {
			d := w.manifest(w.repo, store.ManifestPut{Tags: []string{"v1"}})
			acts := []func() error{
				func() error { return w.change("v1", store.TagChange{Digest: other}) },
				func() error { return w.DeleteTag(t.Context(), w.repo, "v1", gcRetention, gantry.Actor{}) },
				func() error { return w.change("v1", store.TagChange{Expiry: &soon}) },
				func() error { return w.deleteManifest(d) },
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := w.change("v1", store.TagChange{Immutable: &yes}); err != nil && !gantry.Is(err, gantry.NotFound) && !gantry.Is(err, gantry.Invalid) {
					w.t.Error(err)
				}
			})
			wg.Go(func() {
				if err := acts[i%len(acts)](); err != nil && !gantry.Is(err, gantry.Conflict) {
					w.t.Error(err)
				}
			})
			wg.Wait()
			if n := storetest.Get(t, db, `SELECT COUNT(*) FROM tags WHERE immutable = 1 AND (live IS NULL OR end_ms IS NOT NULL)`); n != 0 {
				w.t.Fatalf("round %d: %d immutable spans have an end", i, n)
			}
			storetest.Exec(t, db, `UPDATE tags SET immutable = 0 WHERE immutable = 1`)
		}
	})
}

func TestForgetTag(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		forget := func(name string, live bool, d gantry.Digest) error {
			return w.ForgetTag(ctx, store.TagForget{Repo: w.repo, Name: name, Live: live, Digest: d})
		}
		blob := w.blob(w.repo, 9)
		first := w.manifest(w.repo, store.ManifestPut{Tags: []string{"a", "keeps"}, Blobs: []gantry.Digest{blob}})
		second := w.manifest(w.repo, store.ManifestPut{Tags: []string{"a"}})
		third := w.manifest(w.repo, store.ManifestPut{Tags: []string{"a"}})

		isCode(w.t, forget("none", true, ""), gantry.NotFound, "")
		isCode(w.t, forget("a", false, randomDigest()), gantry.NotFound, "")
		isCode(w.t, forget("a", false, third), gantry.NotFound, "") // it lives
		isCode(w.t, forget("keeps", false, second), gantry.NotFound, "")

		w.must(forget("a", false, second))
		w.sees(second, false)
		isCode(w.t, w.RestoreTag(ctx, store.TagChange{Repo: w.repo, Name: "a", Digest: second, Retention: gcRetention, Actor: gantry.Actor{}}), gantry.NotFound, "")
		w.must(forget("a", true, ""))
		w.sees(third, false)
		isCode(w.t, forget("a", true, ""), gantry.NotFound, "")
		w.must(forget("a", false, first))
		w.sees(first, true) // another tag keeps it
		if got, _ := w.page(store.TagQuery{N: 10}); len(got) != 1 || got[0] != "keeps" {
			w.t.Errorf("history: %v", got)
		}
		w.told("permanently_delete_tag", 3)
		w.told("delete_tag", 0)
		w.advance(time.Second)
		if w.collect(); w.count("manifests") != 1 { // at once, not after the time machine
			w.t.Errorf("%d manifests", w.count("manifests"))
		}

		// A tag whose time is over counts as ended, swept or not.
		soon := w.Now().Add(time.Minute)
		w.must(w.change("keeps", store.TagChange{Expiry: &soon}))
		w.advance(time.Minute)
		w.must(forget("keeps", false, first))
		w.advance(3 * time.Hour)
		w.collect()
		if n := w.count("manifests"); n != 0 {
			w.t.Errorf("%d manifests are left", n)
		}
	})
}

func TestManifestLabels(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		d := w.manifest(w.repo, store.ManifestPut{Tags: []string{"a"}, Labels: []store.Label{{Key: "built", Value: "in"}}})
		m, _, err := w.ManifestByDigest(ctx, w.repo, d, gcRetention)
		w.must(err)
		add := func(key string) (store.ManifestLabel, error) {
			return w.AddLabel(ctx, w.repo, m, store.Label{Key: key, Value: "é " + key, MediaType: "text/plain"}, gantry.Actor{})
		}
		l, err := add("k")
		w.must(err)
		_, err = add("k") // a key may be there twice
		w.must(err)
		all, err := w.ManifestLabels(ctx, m.ID)
		if err != nil || len(all) != 3 || all[0].Key != "built" || all[0].Source != "manifest" || all[1] != l || l.Source != "api" || l.Value != "é k" {
			w.t.Fatalf("%+v, %v", all, err)
		}
		if got, err := w.ManifestLabel(ctx, m.ID, l.UUID); err != nil || got != l {
			w.t.Errorf("%+v, %v", got, err)
		}
		remove := func(id string) error { return w.DeleteLabel(ctx, w.repo, m, id, gantry.Actor{}) }
		isCode(w.t, remove(all[0].UUID), gantry.Invalid, "")
		isCode(w.t, remove("none"), gantry.NotFound, "")
		w.must(remove(l.UUID))
		isCode(w.t, remove(l.UUID), gantry.NotFound, "")
		w.told("manifest_label_add", 2)
		w.told("manifest_label_delete", 1)
		_, err = w.ManifestLabel(ctx, m.ID, l.UUID)
		isCode(w.t, err, gantry.NotFound, "")

		// Those of another manifest are out of reach.
		other := w.manifest(w.repo, store.ManifestPut{Tags: []string{"b"}})
		o, _, err := w.ManifestByDigest(ctx, w.repo, other, gcRetention)
		w.must(err)
		isCode(w.t, w.DeleteLabel(ctx, w.repo, o, all[2].UUID, gantry.Actor{}), gantry.NotFound, "")

		for range store.MaxLabels - 1 {
			_, err := add("more")
			w.must(err)
		}
		_, err = add("toomany")
		isCode(w.t, err, gantry.Invalid, "")
		w.must(remove(all[2].UUID))
		_, err = add("again")
		w.must(err)

		storetest.Exec(t, w.DB, `UPDATE repositories SET state = ? WHERE id = ?`, int(gantry.ReadOnlyState), int64(w.repo))
		_, err = add("x")
		isCode(w.t, err, gantry.ReadOnly, "")
		isCode(w.t, remove(all[1].UUID), gantry.ReadOnly, "")
		storetest.Exec(t, w.DB, `UPDATE repositories SET state = 0 WHERE id = ?`, int64(w.repo))
		w.must(w.DeleteTag(ctx, w.repo, "a", gcRetention, gantry.Actor{}))
		w.advance(2 * gcRetention)
		w.collect()
		_, err = add("x")
		isCode(w.t, err, gantry.NotFound, "")
		if n := w.count("manifest_labels"); n != 0 {
			w.t.Errorf("%d labels of a manifest that is gone", n)
		}
	})
}
