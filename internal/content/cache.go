package content

import (
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// What is kept in memory is what the database said at a generation: it holds
// while the generation is the same. Where other processes write too, it holds
// for at most a second: they cannot be seen.

const (
	cacheFor   = time.Second
	bodyBudget = 64 << 20 // bytes of manifests
	cacheSize  = 20000    // entries of each other cache
)

type digestKey struct {
	repo   gantry.RepoID
	digest gantry.Digest
}

type tagKey struct {
	repo gantry.RepoID
	tag  string
}

// A kept value, as it was read at a generation.
type kept[V any] struct {
	v          V
	generation uint64
	at         time.Time
	until      time.Time // it changes by itself then; zero = it does not
}

type cacheOf[K comparable, V any] = otter.Cache[K, kept[V]]

// A referrersPage is what Referrers answered.
type referrersPage struct {
	list  []Descriptor
	after gantry.ManifestID
}

type caches struct {
	names     *cacheOf[gantry.RepoName, store.Repository]
	repos     *cacheOf[gantry.RepoID, store.Repository]
	blobs     *cacheOf[digestKey, *store.Blob]
	manifests *cacheOf[digestKey, *Manifest]
	tags      *cacheOf[tagKey, *Manifest]
	referrers *cacheOf[ReferrersQuery, referrersPage]
	quotas    *cacheOf[gantry.AccountID, store.QuotaState]
	// documents that were parsed once, by the digest of the body: what they
	// say does not change.
	documents *otter.Cache[documentKey, *parsed]
}

func (c *caches) start() (err error) {
	if c.names, err = bySize[gantry.RepoName, kept[store.Repository]](cacheSize); err != nil {
		return err
	}
	if c.repos, err = bySize[gantry.RepoID, kept[store.Repository]](cacheSize); err != nil {
		return err
	}
	if c.blobs, err = bySize[digestKey, kept[*store.Blob]](cacheSize); err != nil {
		return err
	}
	if c.manifests, err = byWeight(bodyBudget/2, func(_ digestKey, m kept[*Manifest]) int { return len(m.v.Body) }); err != nil {
		return err
	}
	if c.tags, err = byWeight(bodyBudget/2, func(_ tagKey, m kept[*Manifest]) int { return len(m.v.Body) }); err != nil {
		return err
	}
	if c.referrers, err = byWeight(4<<20, func(_ ReferrersQuery, p kept[referrersPage]) int { return weightOf(p.v.list) }); err != nil {
		return err
	}
	if c.quotas, err = bySize[gantry.AccountID, kept[store.QuotaState]](cacheSize); err != nil {
		return err
	}
	c.documents, err = byWeight(8<<20, func(_ documentKey, p *parsed) int { return p.weight() })
	return err
}

func bySize[K comparable, V any](n int) (*otter.Cache[K, V], error) {
	return otter.New(&otter.Options[K, V]{MaximumSize: n})
}

func byWeight[K comparable, V any](most uint64, weight func(K, V) int) (*otter.Cache[K, V], error) {
	return otter.New(&otter.Options[K, V]{MaximumWeight: most, Weigher: func(k K, v V) uint32 {
		return uint32(weight(k, v) + 512) //nolint:gosec // bounded by the limits of what is kept
	}})
}

// weightOf is about the size of descriptors in memory.
func weightOf(all []Descriptor) int {
	n := 0
	for _, d := range all {
		n += 256
		for k, v := range d.Annotations {
			n += len(k) + len(v) + 32
		}
	}
	return n
}

func (s *Store) generation(repo gantry.RepoID) func() uint64 {
	return func() uint64 { return s.db.Generation(repo) }
}

// find returns what is kept under the key, if that still holds, or else what
// load returns, and keeps it.
func find[K comparable, V any](s *Store, c *cacheOf[K, V], key K, generation func() uint64, load func() (V, time.Time, error)) (V, error) {
	g := generation()
	if k, ok := c.GetIfPresent(key); ok && k.generation == g && (k.until.IsZero() && s.db.Exclusive() || s.fresh(&k.at, &k.until)) {
		s.metrics.Cache("hit")
		return k.v, nil
	}
	s.metrics.Cache("miss")
	now := s.db.Now()
	v, until, err := load()
	if err != nil {
		var none V
		return none, err
	}
	c.Set(key, kept[V]{v: v, generation: g, at: now, until: until})
	return v, nil
}

// fresh reports whether what was read at that time still holds by the clock.
func (s *Store) fresh(at, until *time.Time) bool {
	now := s.db.Now()
	return (until.IsZero() || now.Before(*until)) && (s.db.Exclusive() || now.Sub(*at) < cacheFor && !now.Before(*at))
}
