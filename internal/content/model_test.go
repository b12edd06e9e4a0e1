package content_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// The model test plays pushes, deletes and collection against each other, in
// the steps of docs/design/store.md: every worker has operations that stand
// still between two of their steps, for hours of the clock, and are gone on
// with, or killed. Deletes of objects take effect late. There are two locations:
// what is pushed to one is copied to the other, each goes away and comes back,
// and one is emptied now and then. Again and again the database and the storage
// are compared with what was acknowledged.
//
// With one worker a run follows from its seed: GANTRY_MODEL_SEED repeats one.
// GANTRY_MODEL_STEPS is the number of steps for each database.

const (
	modelRetention = time.Hour
	modelLease     = time.Hour
)

func modelNumber(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestModel(t *testing.T) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	seed := modelNumber(t, "GANTRY_MODEL_SEED", binary.LittleEndian.Uint64(b[:]))
	steps := modelNumber(t, "GANTRY_MODEL_STEPS", 0)
	for _, c := range []struct {
		dialect string
		workers int
		steps   uint64
		options mem.Options
	}{
		{storetest.SQLite, 1, 4000, mem.Options{}},
		{storetest.SQLite, 1, 4000, mem.Options{NoPublish: true}},
		{storetest.SQLite, 4, 4000, mem.Options{}},
		{storetest.Postgres, 4, 2000, mem.Options{}},
		{storetest.MariaDB, 4, 2000, mem.Options{}},
	} {
		t.Run(fmt.Sprintf("%s/workers=%d/publish=%v", c.dialect, c.workers, !c.options.NoPublish), func(t *testing.T) {
			n := c.steps
			if steps > 0 {
				n = steps
			}
			m := newModel(t, c.dialect, c.options, seed, c.workers)
			t.Logf("GANTRY_MODEL_SEED=%d GANTRY_MODEL_STEPS=%d", seed, n)
			began := time.Now()
			m.play(n)
			took := time.Since(began)
			m.quiesce()
			t.Logf("%d steps in %.1f s (%.0f/s): %v", m.steps.Load(), took.Seconds(), float64(m.steps.Load())/took.Seconds(), m.tally())
		})
	}
}

type model struct {
	t       *testing.T
	db      *store.DB
	raw     *sql.DB
	sites   []*site
	ahead   atomic.Int64
	heldAt  time.Time // when the oldest delete that is held back was asked for, or before
	repos   []gantry.RepoID
	blobs   [][]byte
	workers []*worker
	rng     *mrand.Rand // of the coordinator
	steps   atomic.Uint64
	mu      sync.Mutex
	counts  map[string]int
}

// A site is a location.
type site struct {
	id      int64
	name    string
	inner   *mem.Engine
	engine  *blobtest.FaultyEngine
	publish bool
	away    atomic.Bool
}

func (m *model) now() time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(m.ahead.Load()))
}

func (m *model) note(what string) {
	m.mu.Lock()
	m.counts[what]++
	m.mu.Unlock()
}

func (m *model) tally() string {
	var all []string
	for k, n := range m.counts {
		all = append(all, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func newModel(t *testing.T, dialect string, o mem.Options, seed uint64, workers int) *model {
	m := &model{t: t, counts: map[string]int{}, rng: mrand.New(mrand.NewPCG(seed, 0))}
	o.Now = m.now
	m.db = storetest.Open(t, dialect, store.Options{Now: m.now})
	m.raw = storetest.SQL(t, m.db)
	for _, name := range []string{"near", "far"} {
		x := &site{name: name, inner: mem.NewWith(o), publish: !o.NoPublish}
		x.engine = blobtest.Faulty(x.inner, nil)
		var err error
		if x.id, err = m.db.EnsureLocation(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		m.sites = append(m.sites, x)
		o.NoPublish = !o.NoPublish // engines are mixed
	}
	ns := storetest.Namespace(t, m.db)
	m.repos = []gantry.RepoID{storetest.RepoIn(t, m.db, ns), storetest.RepoIn(t, m.db, ns), storetest.Repo(t, m.db)}
	for i := range 24 {
		m.blobs = append(m.blobs, blobtest.Bytes(uint64(i), 20+i))
	}
	for i := range workers {
		m.workers = append(m.workers, &worker{model: m, id: i, tags: map[tagKey]tagModel{},
			rng: mrand.New(mrand.NewPCG(seed, uint64(i)+1))})
	}
	return m
}

// play does n steps. The clock moves, and everything is checked, while all
// workers rest; their operations stand where they are.
func (m *model) play(n uint64) {
	const round = 50
	for m.steps.Load() < n && !m.t.Failed() {
		var wg sync.WaitGroup
		for _, w := range m.workers {
			wg.Go(func() {
				for range round / len(m.workers) {
					w.step()
					m.steps.Add(1)
				}
			})
		}
		wg.Wait()
		m.check()
		m.advance([]time.Duration{time.Second, time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 16 * time.Minute, 2 * time.Hour, 26 * time.Hour}[m.rng.IntN(8)])
		m.tidy()
	}
}

// advance moves the clock. A delete takes less than a day: that is assumed.
func (m *model) advance(d time.Duration) {
	held := 0
	for _, x := range m.sites {
		held += len(x.engine.HeldDeletes())
	}
	switch {
	case held > 0 && m.now().Add(d).Sub(m.heldAt) > 23*time.Hour:
		for _, x := range m.sites {
			m.must(x.engine.ReleaseDeletes(m.t.Context(), len(x.engine.HeldDeletes())))
		}
		m.heldAt = m.now().Add(d)
	case held == 0:
		m.heldAt = m.now().Add(d)
	}
	m.ahead.Add(int64(d))
}

// tidy lets storage answer late, or at once, or not at all.
func (m *model) tidy() {
	for _, x := range m.sites {
		switch m.rng.IntN(6) {
		case 0:
			x.engine.HoldDeletes()
		case 1:
			m.must(x.engine.ReleaseDeletes(m.t.Context(), -1))
		case 2:
			m.must(x.engine.ReleaseDeletes(m.t.Context(), 1))
		}
		x.away.Store(m.rng.IntN(5) == 0)
	}
}

// goesTo is where an upload goes now, and whence it is copied back; nil when
// all sites are away.
func (m *model) goesTo() (to *site, back []int64) {
	if !m.sites[0].away.Load() {
		return m.sites[0], nil
	}
	if !m.sites[1].away.Load() {
		return m.sites[1], []int64{m.sites[0].id}
	}
	return nil, nil
}

func (m *model) site(id int64) *site {
	for _, x := range m.sites {
		if x.id == id {
			return x
		}
	}
	m.t.Fatalf("there is no location %d", id)
	return nil
}

func (m *model) ids() (all []int64) {
	for _, x := range m.sites {
		all = append(all, x.id)
	}
	return all
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Errorf("step %d: %v", m.steps.Load(), err)
	}
}

func (m *model) rows(q string, scan func(*sql.Rows) error) {
	m.t.Helper()
	rows, err := m.raw.QueryContext(context.WithoutCancel(m.t.Context()), q)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { m.must(rows.Close()) }()
	for rows.Next() {
		m.must(scan(rows))
	}
	m.must(rows.Err())
}

// check compares everything with what was acknowledged.
func (m *model) check() {
	m.t.Helper()
	flaws, err := m.db.VerifyEdges(m.t.Context())
	m.must(err)
	for _, f := range flaws {
		m.t.Errorf("step %d: %d rows break %q, such as %s", m.steps.Load(), f.Count, f.Check, f.Sample)
	}
	// Every blob that a repository shows can be read, whole, wherever it is said to be.
	m.rows(`SELECT DISTINCT b.digest, p.path, p.location_id FROM repo_blobs rb JOIN blobs b ON b.id = rb.blob_id JOIN placements p ON p.blob_id = b.id AND p.state = 'present'`,
		func(rows *sql.Rows) error {
			var bin []byte
			var path string
			var location int64
			if err := rows.Scan(&bin, &path, &location); err != nil {
				return err
			}
			d := gantry.DigestFromBytes(bin)
			if path == "" {
				path = d.Key()
			}
			if got := m.site(location).read(m, path); gantry.FromBytes(got) != d {
				m.t.Errorf("step %d: the object %s of blob %s has %d other bytes", m.steps.Load(), path, d, len(got))
			}
			return nil
		})
	// Every tag points where it was last put.
	got := map[tagKey]gantry.Digest{}
	now := m.now().UnixMilli()
	m.rows(`SELECT g.repo_id, g.name, m.digest, COALESCE(g.end_ms, 0) FROM tags g JOIN manifests m ON m.id = g.manifest_id WHERE g.live = 1`, func(rows *sql.Rows) error {
		var k tagKey
		var d []byte
		var end int64
		err := rows.Scan(&k.repo, &k.name, &d, &end)
		if end == 0 || end > now {
			got[k] = gantry.DigestFromBytes(d)
		}
		return err
	})
	have := map[string]bool{}
	m.rows(`SELECT repo_id, digest FROM manifests`, func(rows *sql.Rows) error {
		var repo int64
		var d []byte
		err := rows.Scan(&repo, &d)
		have[fmt.Sprint(repo, gantry.DigestFromBytes(d))] = true
		return err
	})
	for _, w := range m.workers {
		for k, tag := range w.tags {
			if !tag.expires.IsZero() && tag.expires.UnixMilli() <= now {
				w.ended = append(w.ended, endedTag{k, tag.digest, tag.expires})
				delete(w.tags, k)
				continue
			}
			if got[k] != tag.digest {
				m.t.Errorf("step %d: tag %v points at %q; it was put on %q", m.steps.Load(), k, got[k], tag.digest)
			}
			delete(got, k)
		}
		w.ended = slices.DeleteFunc(w.ended, func(e endedTag) bool { return m.now().Sub(e.at) >= modelRetention })
		for _, e := range w.ended {
			if !have[fmt.Sprint(int64(e.repo), e.digest)] {
				m.t.Errorf("step %d: the manifest of %v, ended at %v, cannot be restored", m.steps.Load(), e.tagKey, e.at)
			}
		}
		w.leased = slices.DeleteFunc(w.leased, func(l leased) bool { return !m.now().Before(l.until) })
		for _, l := range w.leased {
			if !have[fmt.Sprint(int64(l.repo), l.digest)] {
				m.t.Errorf("step %d: a manifest that was pushed without a tag is gone before its time", m.steps.Load())
			}
		}
	}
	for k, d := range got {
		m.t.Errorf("step %d: nobody put tag %v on %s", m.steps.Load(), k, d)
	}
}

func (x *site) read(m *model, key string) []byte {
	o, err := x.inner.Open(m.t.Context(), key)
	if err != nil {
		return nil
	}
	defer func() { m.must(o.Close()) }()
	b, err := io.ReadAll(o)
	m.must(err)
	return b
}

// quiesce kills what stands still, takes all tags away and checks that
// collection leaves nothing.
func (m *model) quiesce() {
	m.t.Helper()
	if m.t.Failed() {
		return
	}
	ctx := m.t.Context()
	for _, w := range m.workers {
		w.parked = nil
		for k, tag := range w.tags {
			if !tag.expires.IsZero() && !tag.expires.After(m.now()) {
				continue
			}
			m.must(m.db.DeleteTag(ctx, k.repo, k.name, modelRetention, gantry.Actor{}))
		}
		clear(w.tags)
		w.ended = nil
	}
	var locations []content.Location
	for _, x := range m.sites {
		m.must(x.engine.ReleaseDeletes(ctx, -1))
		m.must(m.db.SetLocationState(ctx, x.id, store.LocationActive, gantry.Actor{}))
		locations = append(locations, content.Location{ID: x.id, Name: x.name, Engine: x.engine})
	}
	c := content.NewCollector(content.CollectOptions{Store: m.db, Retention: modelRetention, Rate: 1_000_000, Locations: locations})
	for range 8 {
		m.advance(9 * 24 * time.Hour)
		if _, err := c.RunOnce(ctx); err != nil {
			m.t.Fatal(err)
		}
		m.check()
		if _, err := c.AdoptAll(ctx); err != nil {
			m.t.Fatal(err)
		}
		if _, err := c.RelocateAll(ctx); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, table := range []string{"tags", "manifests", "manifest_bodies", "manifest_blobs", "manifest_children", "repo_blobs", "ns_blobs",
		"blobs", "placements", "uploads", "trash", "gc_reviews", "copies"} {
		if n := storetest.Get(m.t, m.db, "SELECT COUNT(*) FROM "+table); n != 0 {
			m.t.Errorf("%d rows of %s are left", n, table)
		}
	}
	if n := storetest.Get(m.t, m.db, "SELECT SUM(bytes) FROM (SELECT bytes FROM usage_deltas UNION ALL SELECT bytes FROM usage_totals) u"); n != 0 {
		m.t.Errorf("usage is %d at the end", n)
	}
	for _, x := range m.sites {
		if keys := blobtest.Keys(m.t, x.inner, "", ""); len(keys) != 0 {
			m.t.Errorf("%d objects are left at %s, such as %s", len(keys), x.name, keys[0])
		}
	}
}

type tagKey struct {
	repo gantry.RepoID
	name string
}

type tagModel struct {
	digest  gantry.Digest
	expires time.Time // zero = never
}

type endedTag struct {
	tagKey
	digest gantry.Digest
	at     time.Time
}

type leased struct {
	repo   gantry.RepoID
	digest gantry.Digest
	until  time.Time
}

// A worker is used by one goroutine. Its tags are its own; manifests and blobs
// it shares with the others.
type worker struct {
	*model
	id     int
	rng    *mrand.Rand
	parked []op
	tags   map[tagKey]tagModel
	ended  []endedTag
	leased []leased // manifests that were pushed without a tag
}

// An op is the next step of an operation; it returns the one after it, or nil
// at the end.
type op func() op

func (w *worker) step() {
	n := w.rng.IntN(len(w.parked) + 3)
	if n >= len(w.parked) {
		if next := w.begin()(); next != nil {
			if len(w.parked) >= 8 {
				w.parked[w.rng.IntN(8)] = next // killed
				w.note("killed")
			} else {
				w.parked = append(w.parked, next)
			}
		}
		return
	}
	if next := w.parked[n](); next != nil {
		w.parked[n] = next
	} else {
		w.parked = slices.Delete(w.parked, n, n+1)
	}
}

func (w *worker) begin() op {
	switch n := w.rng.IntN(120); {
	case n >= 118:
		return w.evacuate
	case n >= 112:
		return w.follow
	case n >= 100:
		return w.copy
	case n < 30:
		return w.push()
	case n < 40:
		return w.deleteTag
	case n < 43:
		return w.restore
	case n < 47:
		return w.expire
	case n < 75:
		return w.collect
	case n < 80:
		return func() op { _, err := w.db.CollectLeases(w.ctx(), 1+w.rng.IntN(20)); w.must(err); return nil }
	case n < 84:
		return func() op {
			_, err := w.db.ExpireTags(w.ctx(), 1+w.rng.IntN(5), modelRetention)
			w.must(err)
			return nil
		}
	case n < 90:
		return w.trash
	case n < 92:
		return func() op { _, err := w.db.PurgeTrash(w.ctx(), 1+w.rng.IntN(20)); w.must(err); return nil }
	case n < 93:
		return func() op { _, err := w.db.SweepUploads(w.ctx(), 20*time.Hour); w.must(err); return nil }
	case n < 96:
		return w.relocate
	case n < 97:
		return func() op { _, err := w.db.FoldUsage(w.ctx(), 1+w.rng.IntN(200)); w.must(err); return nil }
	}
	return w.adopt
}

func (w *worker) ctx() context.Context { return w.t.Context() }

func (w *worker) repo() gantry.RepoID { return w.repos[w.rng.IntN(len(w.repos))] }

func (w *worker) ownTag() (k tagKey, ok bool) {
	var all []tagKey
	for k := range w.tags {
		all = append(all, k)
	}
	if len(all) == 0 {
		return k, false
	}
	slices.SortFunc(all, func(a, b tagKey) int {
		if a.repo != b.repo {
			return int(a.repo - b.repo)
		}
		return strings.Compare(a.name, b.name)
	})
	return all[w.rng.IntN(len(all))], true
}

// push brings some blobs, one by one, then the manifest, then perhaps an index
// or a referrer.
func (w *worker) push() op {
	repo := w.repo()
	need := w.rng.Perm(len(w.blobs))[:1+w.rng.IntN(3)]
	slices.Sort(need)
	var digests []gantry.Digest
	for _, i := range need {
		digests = append(digests, gantry.FromBytes(w.blobs[i]))
	}
	sure := time.Time{} // until when every blob is promised to be there
	promise := func() {
		if until := w.now().Add(modelLease); sure.IsZero() || until.Before(sure) {
			sure = until
		}
	}
	unsure := false
	at := 0
	put := store.ManifestPut{Repo: repo, MediaType: "application/vnd.oci.image.manifest.v1+json", Blobs: digests,
		Lease: modelLease, OrphanLease: 14 * 24 * time.Hour, Retention: modelRetention}
	put.Body = fmt.Append(nil, need)
	put.Digest = gantry.FromBytes(put.Body)
	if w.rng.IntN(4) > 0 {
		put.Tags = []string{fmt.Sprintf("w%d-%d", w.id, w.rng.IntN(2))}
	}
	var next op
	next = func() op {
		if at < len(need) {
			i := need[at]
			at++
			switch w.rng.IntN(4) {
			case 0:
				return func() op {
					_, ok, err := w.db.MountBlob(w.ctx(), store.Mount{Repo: repo, Digest: digests[slices.Index(need, i)], Sources: w.repos, Lease: modelLease})
					w.must(err)
					if !ok {
						return w.upload(repo, w.blobs[i], promise, next)
					}
					w.note("mounted")
					promise()
					return next
				}
			case 1:
				return func() op {
					d := gantry.FromBytes(w.blobs[i])
					b, err := w.db.RepoBlob(w.ctx(), repo, d)
					if err == nil { // it may go between the two
						err = w.db.RenewBlob(w.ctx(), repo, b.ID, modelLease)
					}
					if gantry.Is(err, gantry.NotFound) {
						return w.upload(repo, w.blobs[i], promise, next)
					}
					w.must(err)
					promise()
					return next
				}
			}
			return w.upload(repo, w.blobs[i], promise, next)
		}
		return func() op { return w.put(put, sure, unsure) }
	}
	return next
}

func (w *worker) put(p store.ManifestPut, sure time.Time, unsure bool) op {
	_, err := w.db.PutManifest(w.ctx(), p)
	if gantry.Is(err, gantry.Invalid) && (unsure || !w.now().Before(sure)) {
		w.note("refused")
		return nil
	}
	if err != nil {
		w.must(fmt.Errorf("put manifest with blobs promised until %v, at %v: %w", sure, w.now(), err))
		return nil
	}
	w.note("pushed")
	if len(p.Tags) == 0 {
		w.leased = append(w.leased, leased{p.Repo, p.Digest, w.now().Add(modelLease)})
	}
	for _, name := range p.Tags {
		k := tagKey{p.Repo, name}
		if old, ok := w.tags[k]; ok && old.digest != p.Digest && (old.expires.IsZero() || old.expires.After(w.now())) {
			w.ended = append(w.ended, endedTag{k, old.digest, w.now()})
		}
		w.tags[k] = tagModel{digest: p.Digest}
	}
	if w.rng.IntN(3) > 0 {
		return nil
	}
	more := store.ManifestPut{Repo: p.Repo, MediaType: p.MediaType, Lease: p.Lease, OrphanLease: p.OrphanLease, Retention: p.Retention}
	if w.rng.IntN(2) == 0 {
		more.Children = []gantry.Digest{p.Digest}
		more.Tags = []string{fmt.Sprintf("w%d-%d", w.id, w.rng.IntN(2))}
	} else {
		more.Subject = p.Digest
	}
	more.Body = fmt.Append(nil, more.Children, more.Subject)
	more.Digest = gantry.FromBytes(more.Body)
	// The manifest may be gone when this is gone on with.
	return func() op { return w.put(more, time.Time{}, true) }
}

// upload is U1 to U6 for one blob.
func (w *worker) upload(repo gantry.RepoID, data []byte, promise func(), then op) op {
	d := gantry.FromBytes(data)
	to, back := w.goesTo()
	if to == nil {
		w.note("no site")
		return nil
	}
	var id [16]byte
	binary.LittleEndian.PutUint64(id[:], w.rng.Uint64())
	binary.LittleEndian.PutUint64(id[8:], w.rng.Uint64())
	uuid := fmt.Sprintf("%x", id)
	temp := "uploads/" + uuid
	var began time.Time
	var plan store.CommitPlan
	var commit, planned op
	path, unplaced := "", false
	drop := func() op { // U6
		w.must(to.inner.Delete(w.ctx(), temp))
		return then
	}
	planned = func() op { // U3
		var err error
		if plan, err = w.db.PlanCommit(w.ctx(), d, to.id); err != nil {
			w.must(err)
			return nil
		}
		began = w.now()
		path, unplaced = "", plan.Healthy
		switch {
		case plan.Healthy:
			return commit
		case plan.Fenced || !to.publish:
			path = temp
			return commit
		}
		return func() op { // U4
			if err := to.inner.Publish(w.ctx(), temp, d.Key()); err != nil {
				if !gantry.Is(err, gantry.NotFound) { // swept
					w.must(err)
				}
				return nil
			}
			return commit
		}
	}
	commit = func() op { // U5
		if w.now().Sub(began) >= time.Hour {
			w.note("too slow")
			return nil
		}
		c, err := w.db.CommitBlob(w.ctx(), store.BlobCommit{Repo: repo, Digest: d, Size: int64(len(data)), Location: to.id,
			Path: path, Unplaced: unplaced, Upload: uuid, Version: 1, Lease: modelLease, Wanted: back})
		switch {
		case errors.Is(err, store.ErrKeyFenced):
			w.note("fenced")
			path = temp
			return commit
		case errors.Is(err, store.ErrBlobGone):
			w.note("gone")
			return planned
		case gantry.Is(err, gantry.Conflict): // swept
			w.note("swept")
			return nil
		case err != nil:
			w.must(err)
			return nil
		}
		w.note("uploaded")
		promise()
		if c.Used && path == temp {
			return then
		}
		return drop
	}
	return func() op { // U1, U2
		_, err := w.db.CreateUpload(w.ctx(), store.Upload{UUID: uuid, Repo: repo, Location: to.id, Path: temp, Algorithm: gantry.SHA256})
		w.must(err)
		u, err := to.inner.Upload(w.ctx(), temp, 0, nil)
		if err != nil {
			w.must(err)
			return nil
		}
		_, err = u.Write(data)
		w.must(errors.Join(err, u.Complete(w.ctx()), u.Close()))
		return planned
	}
}

func (w *worker) deleteTag() op {
	k, ok := w.ownTag()
	if !ok {
		return nil
	}
	if tag := w.tags[k]; !tag.expires.IsZero() && !tag.expires.After(w.now()) {
		return nil
	}
	if err := w.db.DeleteTag(w.ctx(), k.repo, k.name, modelRetention, gantry.Actor{}); err != nil {
		w.must(err)
		return nil
	}
	w.note("deleted")
	w.ended = append(w.ended, endedTag{k, w.tags[k].digest, w.now()})
	delete(w.tags, k)
	return nil
}

func (w *worker) restore() op {
	if len(w.ended) == 0 {
		return nil
	}
	e := w.ended[w.rng.IntN(len(w.ended))]
	if w.now().Sub(e.at) >= modelRetention {
		return nil
	}
	if err := w.db.RestoreTag(w.ctx(), store.TagChange{Repo: e.repo, Name: e.name, Digest: e.digest, Retention: modelRetention, Actor: gantry.Actor{}}); err != nil {
		w.must(fmt.Errorf("restore %v to %s, ended at %v, at %v: %w", e.tagKey, e.digest, e.at, w.now(), err))
		return nil
	}
	w.note("restored")
	if old, ok := w.tags[e.tagKey]; ok && old.digest != e.digest {
		at := w.now()
		if !old.expires.IsZero() && old.expires.Before(at) { // it had ended before
			at = old.expires
		}
		w.ended = append(w.ended, endedTag{e.tagKey, old.digest, at})
	}
	w.tags[e.tagKey] = tagModel{digest: e.digest}
	return nil
}

func (w *worker) expire() op {
	k, ok := w.ownTag()
	if !ok {
		return nil
	}
	tag := w.tags[k]
	if !tag.expires.IsZero() && !tag.expires.After(w.now()) {
		return nil
	}
	tag.expires = w.now().Add(time.Duration(1+w.rng.IntN(120)) * time.Minute)
	w.must(w.db.SetTagExpiry(w.ctx(), k.repo, k.name, tag.expires, gantry.Actor{}))
	w.tags[k] = tag
	w.note("expiring")
	return nil
}

// collect fetches reviews and settles them, with pauses.
func (w *worker) collect() op {
	reviews, err := w.db.Reviews(w.ctx(), 1+w.rng.IntN(30))
	w.must(err)
	slices.SortStableFunc(reviews, func(a, b store.Review) int { return strings.Compare(a.Kind, b.Kind) })
	var next op
	next = func() op {
		n := 0
		for n < len(reviews) && reviews[n].Kind == reviews[0].Kind {
			n++
		}
		if n == 0 {
			return nil
		}
		c, err := w.db.Collect(w.ctx(), reviews[:n], modelRetention)
		w.must(err)
		w.mu.Lock()
		w.counts["reviews"] += c.Reviews
		w.counts["manifests gone"] += int(c.Manifests)
		w.counts["blobs gone"] += int(c.Blobs)
		w.mu.Unlock()
		reviews = reviews[n:]
		return next
	}
	return next
}

// trash is G4, with pauses.
func (w *worker) trash() op {
	due, err := w.db.TrashDue(w.ctx(), w.ids(), 1+w.rng.IntN(10))
	w.must(err)
	claimed := w.now()
	var done []store.Trashed
	i := 0
	var next op
	next = func() op {
		if i == len(due) || w.now().Sub(claimed) > 5*time.Minute {
			w.must(w.db.TrashDone(w.ctx(), done))
			return nil
		}
		d := due[i]
		i++
		x := w.site(d.Location)
		if x.away.Load() {
			return next // it is claimed again later
		}
		if d.Upload {
			w.must(x.engine.Abort(w.ctx(), d.Path, d.State))
		}
		w.must(x.engine.Delete(w.ctx(), d.Path))
		w.note("objects gone")
		done = append(done, d)
		return next
	}
	return next
}

func (w *worker) relocate() op {
	x := w.sites[w.rng.IntN(len(w.sites))]
	all, _, err := w.db.Relocations(w.ctx(), x.id, "", 100)
	w.must(err)
	if len(all) == 0 {
		return nil
	}
	r, began := all[w.rng.IntN(len(all))], w.now()
	var commit op = func() op {
		if w.now().Sub(began) >= time.Hour {
			return nil
		}
		done, err := w.db.Relocate(w.ctx(), r)
		w.must(err)
		if done {
			w.note("relocated")
		}
		return nil
	}
	if !x.publish {
		return func() op {
			data := x.read(w.model, r.Path)
			u, err := x.inner.Upload(w.ctx(), r.Digest.Key(), 0, nil)
			if err != nil || gantry.FromBytes(data) != r.Digest {
				w.must(err)
				return nil
			}
			return func() op {
				_, err := u.Write(data)
				if err = errors.Join(err, u.Complete(w.ctx()), u.Close()); err != nil {
					return nil // another relocation of it has begun
				}
				return commit
			}
		}
	}
	return func() op {
		if err := x.inner.Publish(w.ctx(), r.Path, r.Digest.Key()); err != nil {
			if !gantry.Is(err, gantry.NotFound) {
				w.must(err)
			}
			return nil
		}
		return commit
	}
}

func (w *worker) adopt() op {
	x := w.sites[w.rng.IntN(len(w.sites))]
	var keys []string
	before := w.now().Add(-24 * time.Hour)
	for info, err := range x.inner.List(w.ctx(), "", "") {
		if err != nil {
			w.must(err)
			return nil
		}
		if info.Modified.Before(before) && (info.Modified.Before(before.Add(-24*time.Hour)) || !strings.HasPrefix(info.Key, "uploads/")) {
			keys = append(keys, info.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return func() op {
		unknown, err := w.db.UnknownKeys(w.ctx(), x.id, keys)
		w.must(err)
		if len(unknown) == 0 {
			return nil
		}
		key := unknown[w.rng.IntN(len(unknown))]
		return func() op {
			d, ok := gantry.DigestFromKey(key)
			if !ok {
				w.must(x.engine.Delete(w.ctx(), key))
				w.note("orphans gone")
				return nil
			}
			data, began := x.read(w.model, key), w.now()
			if gantry.FromBytes(data) != d {
				return nil // deleted meanwhile
			}
			return func() op {
				if w.now().Sub(began) >= time.Hour {
					return nil
				}
				ok, err := w.db.Adopt(w.ctx(), x.id, key, d, int64(len(data)))
				w.must(err)
				if ok {
					w.note("adopted")
				}
				return nil
			}
		}
	}
}

// follow makes wanted at all sites what was pushed, or what is missing.
func (w *worker) follow() op {
	if w.rng.IntN(3) == 0 {
		f, err := w.db.WantMissing(w.ctx(), w.ids(), gantry.BlobID(w.rng.IntN(30)), 1+w.rng.IntN(20))
		w.must(err)
		w.mu.Lock()
		w.counts["wanted"] += f.Wanted
		w.mu.Unlock()
		return nil
	}
	_, err := w.db.Sequence(w.ctx())
	w.must(err)
	n, _, err := w.db.WantPushed(w.ctx(), w.ids(), 1+w.rng.IntN(50))
	w.must(err)
	w.mu.Lock()
	w.counts["wanted"] += n
	w.mu.Unlock()
	return nil
}

// copy is REPLICATE, with pauses.
func (w *worker) copy() op {
	x := w.sites[w.rng.IntN(len(w.sites))]
	if x.away.Load() {
		return nil
	}
	claimed, err := w.db.ClaimCopies(w.ctx(), x.id, 20*time.Minute, 0, 1+w.rng.IntN(3))
	w.must(err)
	var next op
	i := 0
	next = func() op {
		if i == len(claimed) {
			return nil
		}
		c := claimed[i]
		i++
		return w.copyOne(x, c, next)
	}
	return next
}

func (w *worker) copyOne(x *site, c store.Copy, then op) op {
	fail := func(why string) op {
		w.must(w.db.FailCopy(w.ctx(), c, time.Minute, why))
		w.note("copies failed")
		return then
	}
	var data []byte
	for _, p := range c.Places {
		from := w.site(p.Location)
		key := p.Path
		if key == "" {
			key = c.Digest.Key()
		}
		if b := from.read(w.model, key); !from.away.Load() && gantry.FromBytes(b) == c.Digest {
			data = b
			break
		}
	}
	if data == nil {
		return fail("no source")
	}
	temp := fmt.Sprintf("uploads/copy-%x", w.rng.Uint64())
	return func() op {
		if x.away.Load() {
			return fail("away")
		}
		began := w.now()
		u, err := x.inner.Upload(w.ctx(), temp, 0, nil)
		if err != nil {
			w.must(err)
			return nil
		}
		_, err = u.Write(data)
		w.must(errors.Join(err, u.Complete(w.ctx()), u.Close()))
		path := temp
		var commit op
		commit = func() op {
			if took := w.now().Sub(began); path == "" && took >= time.Hour || took >= 12*time.Hour {
				return fail("too slow")
			}
			done, err := w.db.CopyDone(w.ctx(), c, path)
			if errors.Is(err, store.ErrKeyFenced) && path == "" {
				w.note("copies fenced")
				path = temp
				return commit
			}
			w.must(err)
			if done {
				w.note("copied")
			}
			if path == "" || !done {
				w.must(x.inner.Delete(w.ctx(), temp))
			}
			return then
		}
		if c.Fenced || !x.publish {
			return commit
		}
		return func() op {
			if err := x.inner.Publish(w.ctx(), temp, c.Digest.Key()); err != nil {
				if !gantry.Is(err, gantry.NotFound) { // swept
					w.must(err)
				}
				return fail("swept")
			}
			path = ""
			return commit
		}
	}
}

// evacuate takes from the far site what the near one has, with pauses, and
// lets it take objects again at the end.
func (w *worker) evacuate() op {
	near, far := w.sites[0], w.sites[1]
	w.must(w.db.SetLocationState(w.ctx(), far.id, store.LocationDraining, gantry.Actor{}))
	after := gantry.BlobID(0)
	var next op
	next = func() op {
		out, err := w.db.Evacuate(w.ctx(), store.Evacuation{Location: far.id, Targets: []int64{near.id}}, after, 1+w.rng.IntN(10))
		w.must(err)
		w.mu.Lock()
		w.counts["evacuated"] += out.Left
		w.mu.Unlock()
		if out.Last == after {
			w.must(w.db.SetLocationState(w.ctx(), far.id, store.LocationActive, gantry.Actor{}))
			return nil
		}
		after = out.Last
		return next
	}
	return next
}
