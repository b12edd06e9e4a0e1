package store_test

import (
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// BenchmarkLogAccess is the part of a pull that waits for the disk, with eight
// clients.
func BenchmarkLogAccess(b *testing.B) {
	db := storetest.Open(b, storetest.SQLite, store.Options{})
	repo := storetest.Repo(b, db)
	a := store.Access{Kind: "pull_repo", Namespace: 1, Repo: repo, Ref: "latest", MediaType: "application/vnd.oci.image.manifest.v1+json",
		Actor: gantry.Actor{Account: 7, Name: "acme+robot", Kind: gantry.ActorRobot, IP: "10.1.2.3", Agent: "containers/5.29.0 (github.com/containers/image)"}}
	b.SetParallelism(4)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := db.LogAccess(b.Context(), a); err != nil {
				b.Fatal(err)
			}
		}
	})
}
