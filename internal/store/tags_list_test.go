package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// walk turns the pages of a list to its end.
func (w *gcWorld) walk(q store.TagListQuery) (names []string) {
	w.t.Helper()
	q.Repo = w.repo
	for pages := 1; ; pages++ {
		page, next, err := w.TagList(w.t.Context(), q)
		w.must(err)
		for _, g := range page {
			names = append(names, g.Name)
		}
		if next == (store.TagPlace{}) {
			return names
		}
		if next == q.After || pages > 1000 {
			w.t.Fatalf("page %d does not go on from %v", pages, q.After)
		}
		q.After = next
	}
}

func TestTagList(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		put := func(tag string, p store.ManifestPut) gantry.Digest {
			w.advance(time.Second)
			p.Tags = []string{tag}
			return w.manifest(w.repo, p)
		}
		old := put("v1", store.ManifestPut{Platforms: "linux/amd64"})
		many := put("v2", store.ManifestPut{Platforms: "linux/amd64,linux/arm/v7", Labels: []store.Label{{Key: "gantry.platforms", Value: "linux/evil"}, {Key: "a", Value: "b"}}})
		other := put("V3", store.ManifestPut{Platforms: "linux/arm64"})
		put("chart", store.ManifestPut{})
		w.manifest(w.repo, store.ManifestPut{Subject: many, ArtifactType: "application/vnd.cncf.notary.signature"})
		w.manifest(w.repo, store.ManifestPut{Subject: other, ArtifactType: "application/spdx+json"})
		sig := "sha256-" + old.Hex() + ".sig"
		put(sig, store.ManifestPut{})
		live := store.TagListQuery{Live: true, N: 2, Image: true}
		with := func(change func(*store.TagListQuery)) store.TagListQuery {
			q := live
			change(&q)
			return q
		}
		for _, tt := range []struct {
			what string
			q    store.TagListQuery
			want []string
		}{
			{"all", live, []string{sig, "chart", "V3", "v2", "v1"}},
			{"one", with(func(q *store.TagListQuery) { q.Name = "v2" }), []string{"v2"}},
			{"like", with(func(q *store.TagListQuery) { q.Like = "v" }), []string{"V3", "v2", "v1"}},
			{"like nothing", with(func(q *store.TagListQuery) { q.Like = "%" }), nil},
			{"amd64", with(func(q *store.TagListQuery) { q.Architecture = "amd64" }), []string{"v2", "v1"}},
			{"arm", with(func(q *store.TagListQuery) { q.Architecture = "arm" }), []string{"v2"}},
			{"evil", with(func(q *store.TagListQuery) { q.Architecture = "evil" }), nil},
			{"signed", with(func(q *store.TagListQuery) { q.Signed = "true" }), []string{"v2", "v1"}},
			{"unsigned", with(func(q *store.TagListQuery) { q.Signed = "false" }), []string{sig, "chart", "V3"}},
			{"both", with(func(q *store.TagListQuery) { q.Signed, q.Architecture, q.Like = "false", "arm64", "v" }), []string{"V3"}},
		} {
			for _, n := range []int{1, 2, 100} {
				tt.q.N = n
				if got := w.walk(tt.q); !slices.Equal(got, tt.want) {
					w.t.Errorf("%s, %d a page: %v, want %v", tt.what, n, got, tt.want)
				}
			}
		}
		page, _, err := w.TagList(t.Context(), store.TagListQuery{Repo: w.repo, Live: true, N: 10, Image: true})
		w.must(err)
		if g := page[3]; !g.Signed || !slices.Equal(g.Platforms, []string{"linux/amd64", "linux/arm/v7"}) || page[1].Signed || page[1].Platforms != nil {
			w.t.Errorf("images: %+v", page)
		}
		m := store.Manifest{ID: page[3].Manifest, Digest: many}
		labels, err := w.ManifestLabels(t.Context(), m.ID)
		w.must(err)
		if len(labels) != 2 || labels[0].Value != "linux/evil" || labels[1].Key != "a" {
			w.t.Errorf("labels: %+v; the registry's own are not shown", labels)
		}
		var id string
		w.must(storetest.SQL(t, w.DB).QueryRowContext(t.Context(), `SELECT uuid FROM manifest_labels WHERE source = 'gantry' AND value = 'linux/amd64,linux/arm/v7'`).Scan(&id))
		if err := w.DeleteLabel(t.Context(), w.repo, m, id, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			w.t.Errorf("delete a label of the registry: %v", err)
		}
		w.must(w.DeleteTag(t.Context(), w.repo, sig, gcRetention, gantry.Actor{}))
		if got := w.walk(with(func(q *store.TagListQuery) { q.Signed = "true" })); !slices.Equal(got, []string{"v2"}) {
			w.t.Errorf("signed, when a signature is gone: %v", got)
		}
	})
}

// TestTagListReadsNoMore walks through a long list, and holds that no page of
// it reads more than its share, with any filter and at any depth.
func TestTagListReadsNoMore(t *testing.T) {
	const n = 20_500 // more than one page looks at
	eachGC(t, func(w *gcWorld) {
		m := w.manifest(w.repo, store.ManifestPut{Tags: []string{"first"}, Platforms: "linux/amd64"})
		for i := range 300 { // which a page does not read
			w.manifest(w.repo, store.ManifestPut{Subject: m, ArtifactType: fmt.Sprintf("application/x%d", i)})
		}
		w.fill(n, m, "1")
		w.fill(n, m, "NULL")
		w.advance(time.Minute)
		pool := storetest.SQL(t, w.DB)
		if a := map[string]string{"postgres": "ANALYZE", "mysql": "ANALYZE TABLE tags, manifests, manifest_labels"}[w.Dialect()]; a != "" {
			_, err := pool.ExecContext(t.Context(), a)
			w.must(err)
		}
		type sent struct {
			query string
			args  []any
		}
		var all []sent
		w.Trace(func(q string, a []any) { all = append(all, sent{q, a}) })
		for what, tt := range map[string]struct {
			q    store.TagListQuery
			most int // rows
			want int // tags in all
		}{
			"first":       {store.TagListQuery{N: 100, Image: true}, 2000, n + 1},
			"signed":      {store.TagListQuery{N: 100, Image: true, Signed: "true"}, 8000, 0},
			"other":       {store.TagListQuery{N: 100, Image: true, Architecture: "riscv64"}, 8000, 0},
			"unsigned":    {store.TagListQuery{N: 1000, Image: true, Signed: "false"}, 8000, n + 1},
			"no such tag": {store.TagListQuery{N: 100, Image: true, Like: "nothing"}, 45_000, 0},
		} {
			q := tt.q
			q.Repo, q.Live = w.repo, true
			found := 0
			for pages := 0; ; pages++ {
				all = nil
				page, next, err := w.TagList(t.Context(), q)
				w.must(err)
				found += len(page)
				if len(all) > 4 {
					w.t.Fatalf("%s: %d statements", what, len(all))
				}
				for _, s := range all {
					if pages > 1 && next != (store.TagPlace{}) { // a look at the first two and the last is enough
						break
					}
					if why := readsMore(t, w.Dialect(), pool, tt.most, s.query, s.args); why != "" {
						w.t.Errorf("%s, page %d: %s\n%s", what, pages, why, s.query)
					}
				}
				if next == (store.TagPlace{}) {
					break
				}
				q.After = next
			}
			if found != tt.want {
				w.t.Errorf("%s: %d tags, want %d", what, found, tt.want)
			}
		}
	})
}
