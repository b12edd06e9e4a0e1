package content_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// TestReadOnlySurvives freezes a repository for a month, while a collector
// runs: all that could be pulled still can, and goes when the repository is
// no longer frozen.
func TestReadOnlySurvives(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		layer := randomBytes(500)
		if _, err := w.Push(ctx, w.repo, -1, bytes.NewReader(layer), gantry.FromBytes(layer), gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		image := func(tag, text string) gantry.Digest {
			t.Helper()
			p, err := w.PutManifest(ctx, content.Put{Repo: w.repo, Tags: []string{tag}, MediaType: "application/vnd.oci.image.manifest.v1+json", Body: fmt.Appendf(nil,
				`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/x","digest":%q,"size":500},"layers":[],"annotations":{"a":%q}}`,
				gantry.FromBytes(layer), text)})
			must(err)
			return p.Digest
		}
		old := image("moved", "one")
		image("moved", "two")
		ending := image("ending", "three")
		at := w.db.Now().Add(time.Hour)
		must(w.db.ChangeTag(ctx, store.TagChange{Repo: w.repo, Name: "ending", Expiry: &at}))
		state := func(s gantry.RepoState) {
			t.Helper()
			r, err := w.db.RepositoryByID(ctx, w.repo)
			must(err)
			must(w.db.SetState(ctx, r, s, gantry.Actor{}))
		}
		collect := func() {
			t.Helper()
			c := content.NewCollector(content.CollectOptions{Store: w.db, Rate: 1_000_000})
			for range 20 {
				s, err := c.RunOnce(ctx)
				must(err)
				if s.Reviews == 0 && s.Expired == 0 {
					return
				}
			}
		}
		reads := func(want bool) {
			t.Helper()
			for _, ref := range []gantry.Reference{{Tag: "ending"}, {Digest: ending}, {Digest: old}} {
				if _, err := w.Manifest(ctx, w.repo, ref); (err == nil) != want {
					t.Errorf("%+v can be read: %v (%v)", ref, err == nil, err)
				}
			}
			if _, err := w.Manifest(ctx, w.repo, gantry.Reference{Tag: "moved"}); err != nil {
				t.Error(err)
			}
		}
		reads(true)
		state(gantry.ReadOnlyState)
		for range 3 {
			w.ahead.Add(int64(10 * 24 * time.Hour))
			collect()
			reads(true)
		}
		state(gantry.Normal)
		w.ahead.Add(int64(10 * 24 * time.Hour))
		collect()
		w.ahead.Add(int64(30 * 24 * time.Hour))
		collect()
		reads(false)
	})
}
