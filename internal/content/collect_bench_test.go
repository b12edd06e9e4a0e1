package content_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// BenchmarkCollect moves one tag in each of 10,000 repositories to a new image
// (of a shared layer, a layer and a configuration of its own) and measures how
// fast collection removes the old ones, once they cannot be restored any
// more. It is on SQLite, in a file.
func BenchmarkCollect(b *testing.B) {
	const repositories = 10_000
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	db := storetest.Open(b, storetest.SQLite, store.Options{Now: now})
	location, err := db.EnsureLocation(b.Context(), "default")
	if err != nil {
		b.Fatal(err)
	}
	ns := storetest.Namespace(b, db)
	storetest.Exec(b, db, `INSERT INTO repositories (ns_id, name, visibility, state, version, description, created_ms, deleted_ms)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		SELECT ?, 'r' || i, 'private', 0, 1, '', 0, 0 FROM n`, repositories, int64(ns))
	first := storetest.Get(b, db, `SELECT MIN(id) FROM repositories`)
	c := content.NewCollector(content.CollectOptions{Store: db, Retention: time.Hour, Rate: 10_000_000,
		Locations: []content.Location{{ID: location, Name: "default", Engine: mem.New()}}})

	churn := func(generation int) {
		var wg sync.WaitGroup
		todo := make(chan int)
		for range 64 {
			wg.Go(func() {
				for i := range todo {
					repo := gantry.RepoID(first + int64(i))
					digests := []gantry.Digest{gantry.FromBytes([]byte("base"))}
					for _, kind := range []string{"layer", "config"} {
						digests = append(digests, gantry.FromBytes(fmt.Append(nil, kind, repo, generation)))
					}
					for _, d := range digests {
						if _, err := db.CommitBlob(b.Context(), store.BlobCommit{Repo: repo, Digest: d, Size: 1000, Location: location, Lease: time.Hour}); err != nil {
							b.Error(err)
						}
					}
					if _, err := db.PutManifest(b.Context(), store.ManifestPut{Repo: repo, Digest: gantry.FromBytes(fmt.Append(nil, "m", repo, generation)),
						MediaType: "m", Body: []byte("{}"), Blobs: digests, Tags: []string{"latest"}, Retention: time.Hour}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for i := range repositories {
			todo <- i
		}
		close(todo)
		wg.Wait()
	}
	churn(0)
	var total content.CollectStats
	generation := 0
	for b.Loop() {
		b.StopTimer()
		generation++
		churn(generation)
		ahead.Add(int64(3 * time.Hour))
		b.StartTimer()
		for {
			s, err := c.RunOnce(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			total.Collected.Add(s.Collected)
			if !s.More {
				break
			}
		}
	}
	if want := int64(generation * repositories); total.Manifests != want {
		b.Errorf("%d manifests were collected; want %d", total.Manifests, want)
	}
	b.ReportMetric(float64(total.Reviews)/b.Elapsed().Seconds(), "reviews/s")
	b.ReportMetric(float64(total.Manifests)/b.Elapsed().Seconds(), "images/s")
}
