package store_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// Text, bytes and times mean the same to each database: names are bytes, with
// their case and their order; nothing is cut or rounded; NULL is equal to
// nothing. (That a trailing blank counts for nothing in MariaDB does no harm:
// no name ends in one.)
func TestValues(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := t.Context()
		names := []string{"0", "9", "A", "B", "V1", "_x", "a", "b", "v1", "v1-0", "v1.0", "v10", "v1_0", "v2", strings.Repeat("z", 128)}
		d := w.blob(w.repo, 1)
		// Longer than MySQL's BLOB and TEXT, and with every byte.
		body := bytes.Repeat([]byte{0, 1, 0xff, 0xfe, '\\', '\'', '%', '\r', '\n'}, 10_000)
		for i, name := range names {
			for n := range 3 { // spans of the same name that have ended
				b := append(slices.Clone(body), byte(i), byte(n))
				_, err := w.PutManifest(ctx, store.ManifestPut{Repo: w.repo, Digest: gantry.FromBytes(b), MediaType: "m", Body: b,
					Blobs: []gantry.Digest{d}, Tags: []string{name}, Retention: gcRetention})
				w.must(err)
			}
		}
		var got []string
		for last := ""; ; last = got[len(got)-1] {
			page, err := w.Tags(ctx, w.repo, last, 1)
			w.must(err)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if !slices.Equal(got, names) {
			w.t.Errorf("tags %q; want %q", got, names)
		}
		for i, name := range names {
			m, _, err := w.ManifestByTag(ctx, w.repo, name)
			if want := append(slices.Clone(body), byte(i), 2); err != nil || !bytes.Equal(m.Body, want) {
				w.t.Errorf("tag %q has %d other bytes, %v", name, len(m.Body), err)
			}
		}
		for _, name := range []string{"v", "v1.", "VI", "Ä"} {
			if _, _, err := w.ManifestByTag(ctx, w.repo, name); !gantry.Is(err, gantry.NotFound) {
				w.t.Errorf("tag %q: %v", name, err)
			}
		}
		end := gantry.FromMillis(w.Now().Add(time.Hour).UnixMilli()/1000*1000 + 7)
		w.must(w.SetTagExpiry(ctx, w.repo, "v1", end, gantry.Actor{}))
		spans, _, err := w.TagPage(ctx, store.TagQuery{Repo: w.repo, Name: "v1", N: 10})
		w.must(err)
		if len(spans) != 3 || !spans[0].Live || !spans[0].End.Equal(end) || spans[1].Live || spans[2].Live {
			w.t.Errorf("history of v1: %+v", spans)
		}
		var repos []store.Repository
		ns, err := w.AccountByID(ctx, w.ns)
		w.must(err)
		for _, name := range []string{"app", "App", "app-1", "app.1", "a/p/p"} {
			_, err := w.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: ns.Name, Name: name}}, gantry.Actor{})
			w.must(err)
			r, err := w.Repository(ctx, gantry.RepoName{Namespace: ns.Name, Name: name})
			w.must(err)
			repos = append(repos, r)
		}
		for i, r := range repos {
			if slices.ContainsFunc(repos[:i], func(o store.Repository) bool { return o.ID == r.ID }) {
				w.t.Errorf("%s is another repository", r.Name)
			}
		}
		const text = " blanks, é 日本 😀 'quotes' \"too\" \\ % ? $1 "
		w.must(w.SetDescription(ctx, repos[0], text, gantry.Actor{}))
		if r, err := w.RepositoryByID(ctx, repos[0].ID); err != nil || r.Description != text {
			w.t.Errorf("description %q, %v", r.Description, err)
		}
	})
}
