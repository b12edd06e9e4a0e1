package content

import (
	"errors"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// What is kept in memory is what the database said at a generation: it holds
// while the generation is the same. Where other processes write too, it holds
// for at most a second: they cannot be seen. When the database is away, what is
// kept is given for as long as store.MaxStale, unless it was taken away before.

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

// A term says for how long a value holds.
type term struct {
	until time.Time // it changes by itself then; zero = it does not
	again bool      // until is only when to look again
	ask   bool      // the database is asked each time; what is kept is for when it is away
}

// A kept value, as it was read at a generation.
type kept[V any] struct {
	v          V
	generation uint64
	lasting    uint64
	steady     bool // lasting belongs to what was read
	at         time.Time
	term
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

// lasting is what may not have moved since a value of the repository was read,
// for it to be given while the database is away.
func lasting[V any](s *Store, repo gantry.RepoID) func(V) uint64 {
	return func(V) uint64 { return s.db.LastingGeneration(repo) }
}

// find returns what is kept under the key, if that still holds, or else what
// load returns, and keeps it. While the database is away it returns what is
// kept if, as far as anybody knew when the database went, it was not taken
// away: its lasting is what it was. A nil lasting: it does not.
func find[K comparable, V any](s *Store, c *cacheOf[K, V], key K, generation func() uint64, lasting func(V) uint64, load func() (V, term, error)) (V, error) {
	g := generation()
	k, ok := c.GetIfPresent(key)
	if ok && k.generation == g && (k.until.IsZero() && s.db.Exclusive() || s.fresh(&k.at, &k.term)) {
		s.metrics.Cache("hit")
		return k.v, nil
	}
	s.metrics.Cache("miss")
	now := s.db.Now()
	v, t, err := load()
	if err != nil {
		if ok && lasting != nil && isAway(err) && s.mayGive(k.steady, k.lasting == lasting(k.v), &k.at, &k.term) {
			s.metrics.Stale()
			return k.v, nil
		}
		var none V
		return none, err
	}
	n := kept[V]{v: v, generation: g, at: now, term: t}
	if lasting != nil && !s.db.Exclusive() {
		n.lasting = lasting(v)
		n.steady = generation() == g // else it may have been taken away between the read and now
	}
	c.Set(key, n)
	return v, nil
}

// fresh reports whether what was read at that time still holds by the clock.
func (s *Store) fresh(at *time.Time, t *term) bool {
	if t.ask {
		return false
	}
	now := s.db.Now()
	return (t.until.IsZero() || now.Before(t.until)) && (s.db.Exclusive() || now.Sub(*at) < cacheFor && !now.Before(*at))
}

// isAway reports whether err says that the database cannot be asked.
func isAway(err error) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == gantry.Unavailable && e.Object == "database"
}

// mayGive reports whether a value may be given while the database is away.
func (s *Store) mayGive(steady, same bool, at *time.Time, t *term) bool {
	from, ok := s.db.StaleFrom()
	return ok && steady && same && !at.Before(from) && (t.until.IsZero() || t.again || s.db.Now().Before(t.until))
}
