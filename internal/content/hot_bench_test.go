package content_test

import (
	"bytes"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// BenchmarkHot measures what the /v2 edge calls for each request, on SQLite and
// files: reads that are kept in memory, a page of tags, and pushes by eight
// clients, which share their commits.
func BenchmarkHot(b *testing.B) {
	w := newPutWorld(b, storetest.SQLite, newFS(b))
	ctx := b.Context()
	layer := randomBytes(64 << 10)
	d := gantry.FromBytes(layer)
	if _, err := w.Push(ctx, w.repo, -1, bytes.NewReader(layer), d, gantry.Actor{}); err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"schemaVersion":2,"config":{"mediaType":"application/x","digest":"` + string(d) + `","size":65536},"layers":[]}`)
	var seq atomic.Int64
	put := func() error {
		_, err := w.PutManifest(ctx, content.Put{Repo: w.repo, Tags: []string{"v" + strconv.FormatInt(seq.Add(1), 10)}, Body: body})
		return err
	}
	for range 1000 {
		if err := put(); err != nil {
			b.Fatal(err)
		}
	}
	for _, bb := range []struct {
		name    string
		clients int // that wait for each other's commits; 0: one
		op      func() error
	}{
		{"manifest-tag", 0, func() error { _, err := w.Manifest(ctx, w.repo, gantry.Reference{Tag: "v1"}); return err }},
		{"manifest-digest", 0, func() error {
			_, err := w.Manifest(ctx, w.repo, gantry.Reference{Digest: gantry.FromBytes(body)})
			return err
		}},
		{"blob", 0, func() error { _, err := w.Blob(ctx, w.repo, d); return err }},
		{"open", 0, func() error {
			found, err := w.Blob(ctx, w.repo, d)
			if err != nil {
				return err
			}
			f, err := w.Open(ctx, found)
			if err != nil {
				return err
			}
			return f.Close()
		}},
		{"tags", 0, func() error { _, _, err := w.Tags(ctx, w.repo, "v5", 100); return err }},
		{"retag", 8, put},
		{"push", 8, func() error {
			own := fmt.Appendf(nil, "%d %s", seq.Add(1), layer)
			_, err := w.Push(ctx, w.repo, int64(len(own)), bytes.NewReader(own), gantry.FromBytes(own), gantry.Actor{})
			return err
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			if bb.clients == 0 {
				for b.Loop() {
					if err := bb.op(); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.SetParallelism(bb.clients)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := bb.op(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
