package content

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// CollectOptions are what a Collector needs. Only Store is required; the zero
// value of everything else works.
type CollectOptions struct {
	Store *store.DB
	// Locations are those that this process can reach. Objects at others wait.
	Locations []Location
	// Retention is how long an ended tag can be restored where its namespace
	// made no choice; 0 = 14 days; negative = not at all.
	Retention time.Duration
	// Rate bounds the reviews per second; 0 = 2,000.
	Rate int
	// Interval is the pause of Loop after a round that left nothing to do;
	// 0 = 30 s.
	Interval time.Duration
	// UploadIdle is how long an upload may show no sign of life; 0 = 48 h.
	UploadIdle time.Duration
	// UploadSweep is how often Loop looks for such uploads; 0 = every round.
	UploadSweep time.Duration
	// KeepRepositories leaves deleted repositories as they are, for later.
	KeepRepositories bool
	Logger           *slog.Logger       // nil = none
	Metrics          *telemetry.Metrics // nil = none
	// Now is the clock that ages of objects are judged by; nil = the store's.
	Now func() time.Time
}

// A Collector removes what nothing needs any more. Several may run on one
// store at a time; more than one at a time gains nothing.
type Collector struct {
	opts      CollectOptions
	locations map[int64]Location
	ids       []int64
	log       *slog.Logger
}

// NewCollector returns a Collector. It starts nothing.
func NewCollector(o CollectOptions) *Collector {
	o.Retention = max(cmp.Or(o.Retention, 14*24*time.Hour), 0)
	o.Rate = cmp.Or(max(o.Rate, 0), 2000)
	o.Interval = cmp.Or(o.Interval, 30*time.Second)
	o.UploadIdle = cmp.Or(o.UploadIdle, 48*time.Hour)
	if o.Now == nil {
		o.Now = o.Store.Now
	}
	c := &Collector{opts: o, locations: map[int64]Location{}, log: o.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	for _, l := range o.Locations {
		c.locations[l.ID] = l
		c.ids = append(c.ids, l.ID)
	}
	return c
}

// CollectStats say what a round did.
type CollectStats struct {
	store.Collected
	Expired int   // tags whose time was over
	Deleted int   // objects deleted from storage
	Failed  int   // batches and objects that were put off after an error
	Swept   int64 // uploads that nobody went on with
	More    bool  // the round was cut short: there is more to do now
}

const (
	// maxRound bounds the reviews of one round, so that trash and uploads have
	// their turn.
	maxRound = 20000
	// reviewBatch is how many reviews are fetched at a time.
	reviewBatch = 500
	// putOff is how long a batch waits that failed.
	putOff = 5 * time.Minute
	// beginWithin is how long after a claim an object may begin to be deleted.
	beginWithin = 5 * time.Minute
	// deleteWithin bounds one call of Delete. The protocol takes it for
	// granted that none lasts a day.
	deleteWithin = 10 * time.Minute
)

// RunOnce does what is due now: tags that expire, reviews, uploads left
// alone, objects in the trash. It is bounded; CollectStats.More says that it
// stopped at a bound. A failure at one thing does not keep it from the
// others; the error is of the database being away, or of ctx.
func (c *Collector) RunOnce(ctx context.Context) (s CollectStats, err error) {
	return c.round(ctx, true)
}

// round is RunOnce, with or without a look at the uploads.
func (c *Collector) round(ctx context.Context, uploads bool) (s CollectStats, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "round")()
	if m := c.opts.Metrics; m != nil {
		m.GCIterations.Inc()
	}
	began, settled := time.Now(), 0
	pace := func(n int) error { // no more than Rate reviews per second
		settled += n
		ahead := time.Duration(float64(settled)/float64(c.opts.Rate)*float64(time.Second)) - time.Since(began)
		if ahead <= 0 {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(ahead):
			return nil
		}
	}
	for s.Reviews < maxRound {
		n, err := c.opts.Store.ExpireTags(ctx, reviewBatch, c.opts.Retention)
		if err != nil {
			return s, err
		}
		s.Expired += n
		if n == 0 {
			break
		}
	}
	for s.More = true; s.More && s.Reviews < maxRound; {
		reviews, err := c.opts.Store.Reviews(ctx, reviewBatch)
		if err != nil {
			return s, err
		}
		done, failed, err := c.settle(ctx, reviews, pace)
		s.Collected.Add(done)
		s.Failed += failed
		if err != nil {
			return s, err
		}
		leases, err := c.opts.Store.CollectLeases(ctx, store.MaxCollect)
		if err != nil {
			return s, err
		}
		s.Collected.Add(leases)
		c.count(leases)
		if err := pace(leases.Reviews); err != nil {
			return s, err
		}
		s.More = len(reviews) > 0 || leases.Reviews > 0
	}
	for uploads {
		n, err := c.opts.Store.SweepUploads(ctx, c.opts.UploadIdle)
		if err != nil {
			return s, err
		}
		s.Swept += n
		if n == 0 {
			break
		}
	}
	s.Deleted, err = c.emptyTrash(ctx, &s)
	if err != nil {
		return s, err
	}
	c.backlog(ctx)
	return s, nil
}

// settle works through reviews, kind by kind in the order in which they queue
// each other.
func (c *Collector) settle(ctx context.Context, reviews []store.Review, pace func(int) error) (sum store.Collected, failed int, err error) {
	slices.SortStableFunc(reviews, func(a, b store.Review) int { return cmp.Compare(kindOrder[a.Kind], kindOrder[b.Kind]) })
	for len(reviews) > 0 {
		n := 1
		for n < len(reviews) && n < store.MaxCollect && reviews[n].Kind == reviews[0].Kind && reviews[0].Kind != "repository" {
			n++
		}
		batch := reviews[:n]
		reviews = reviews[n:]
		if c.opts.KeepRepositories && batch[0].Kind == "repository" {
			if err := c.opts.Store.DeferReviews(ctx, batch, putOff); err != nil {
				return sum, failed, err
			}
			continue
		}
		done, err := c.opts.Store.Collect(ctx, batch, c.opts.Retention)
		switch {
		case err == nil:
			sum.Add(done)
			c.count(done)
		case ctx.Err() != nil || gantry.Is(err, gantry.Unavailable):
			return sum, failed, err
		default:
			c.log.ErrorContext(ctx, "collection put off", "kind", batch[0].Kind, "ref", batch[0].Ref, "reviews", n, "error", err)
			failed++
			if err := c.opts.Store.DeferReviews(ctx, batch, putOff); err != nil {
				return sum, failed, err
			}
		}
		if err := pace(n); err != nil {
			return sum, failed, err
		}
	}
	return sum, failed, nil
}

var kindOrder = map[string]int{"repository": 0, "manifest": 1, "repo_blob": 2, "ns_blob": 3, "blob": 4}

// count adds to the metrics, under Quay's names of the tables.
func (c *Collector) count(d store.Collected) {
	m := c.opts.Metrics
	if m == nil {
		return
	}
	for table, n := range map[string]int64{
		"Tag": d.Tags, "Manifest": d.Manifests, "ManifestBlob": d.ManifestBlobs, "ManifestChild": d.Children, "ManifestLabel": d.Labels,
		"UploadedBlob": d.RepoBlobs, "ImageStorage": d.Blobs, "ImageStoragePlacement": d.Placements,
	} {
		if n > 0 {
			m.GCRowsDeleted.WithLabelValues(table).Add(float64(n))
		}
	}
	m.GCReposPurged.Add(float64(d.Repositories))
	m.GCNamespacesPurged.Add(float64(d.Namespaces))
}

// backlog measures what is left.
func (c *Collector) backlog(ctx context.Context) {
	m := c.opts.Metrics
	if m == nil {
		return
	}
	due, trashed, err := c.opts.Store.ReviewBacklog(ctx, 1_000_000)
	if err != nil {
		c.log.WarnContext(ctx, "measure the backlog of collection", "error", err)
		return
	}
	m.GCReviewsPending.Set(float64(due))
	m.TrashPending.Set(float64(trashed))
}

// emptyTrash deletes the objects that are due.
func (c *Collector) emptyTrash(ctx context.Context, s *CollectStats) (deleted int, err error) {
	for deleted < maxRound {
		// The wall clock counts while the machine sleeps, the monotonic one
		// cannot be set: both must agree that it is still time.
		claimed := time.Now()
		wall := claimed.Round(0)
		due, err := c.opts.Store.TrashDue(ctx, c.ids, reviewBatch)
		if err != nil {
			return deleted, err
		}
		if len(due) == 0 {
			break
		}
		var done []store.Trashed
		for _, d := range due {
			if ctx.Err() != nil || time.Since(claimed) > beginWithin || time.Now().Round(0).Sub(wall) > beginWithin {
				s.More = true
				break // claimed again later
			}
			if err := c.deleteObject(ctx, d); err != nil {
				s.Failed++
				c.log.WarnContext(ctx, "delete an object; it is tried again", "location", c.locations[d.Location].Name, "key", d.Path, "error", err)
				continue
			}
			done = append(done, d)
		}
		if err := c.opts.Store.TrashDone(context.WithoutCancel(ctx), done); err != nil {
			return deleted, err
		}
		deleted += len(done)
		if m := c.opts.Metrics; m != nil {
			m.GCBlobsDeleted.Add(float64(len(done)))
		}
		if err := ctx.Err(); err != nil {
			return deleted, err
		}
	}
	for {
		n, err := c.opts.Store.PurgeTrash(ctx, reviewBatch)
		if err != nil || n == 0 {
			return deleted, err
		}
	}
}

func (c *Collector) deleteObject(ctx context.Context, d store.Trashed) error {
	ctx, cancel := context.WithTimeout(ctx, deleteWithin)
	defer cancel()
	l := c.locations[d.Location]
	began := time.Now()
	var err error
	if d.Upload {
		err = l.Engine.Abort(ctx, d.Path, d.State)
	}
	if err == nil {
		err = l.Engine.Delete(ctx, d.Path)
	}
	c.opts.Metrics.Storage(ctx, l.Name, "delete", time.Since(began), err)
	return err
}

// Loop runs rounds until ctx is done: at once while there is more to do, else
// every Interval. Errors are logged.
func (c *Collector) Loop(ctx context.Context) {
	var swept time.Time
	for ctx.Err() == nil {
		sweep := swept.IsZero() || time.Since(swept) >= c.opts.UploadSweep
		s, err := c.round(ctx, sweep)
		if sweep && err == nil {
			swept = time.Now()
		}
		pause := c.opts.Interval
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.log.ErrorContext(ctx, "collection", "error", err)
		case s.More:
			pause = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// AdoptStats say what AdoptAll and RelocateAll found.
type AdoptStats struct {
	Listed    int   // objects looked at
	Adopted   int   // whole ones that no row named: known again
	Bytes     int64 // of these
	Discarded int   // that no row named and that were not whole, or surplus
	Relocated int   // moved to the canonical key
	Failed    int
}

const (
	adoptAge  = 24 * time.Hour // an object of a push that goes on is younger
	orphanAge = 48 * time.Hour // likewise for uploads/*
)

// AdoptAll lists all locations and brings storage and database together again
// after crashes: an object under a blob's key that no row names is verified
// and made known, or queued for deletion; a temporary object that no row names
// is deleted. It reads every such object whole. Once a week is enough. Objects
// elsewhere are left alone.
func (c *Collector) AdoptAll(ctx context.Context) (s AdoptStats, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "adopt")()
	var errs []error
	for _, id := range c.ids {
		l := c.locations[id]
		for _, prefix := range []string{gantry.SHA256 + "/", gantry.SHA512 + "/", "uploads/"} {
			if err := c.adopt(ctx, l, prefix, &s); err != nil {
				errs = append(errs, fmt.Errorf("adopt objects of %s: %w", l.Name, err))
			}
		}
	}
	return s, errors.Join(errs...)
}

func (c *Collector) adopt(ctx context.Context, l Location, prefix string, s *AdoptStats) error {
	age := adoptAge
	if prefix == "uploads/" {
		age = orphanAge
	}
	var batch []blob.Info
	flush := func() error {
		err := c.adoptBatch(ctx, l, batch, s)
		batch = batch[:0]
		return err
	}
	before := c.opts.Now().Add(-age)
	for info, err := range l.Engine.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		s.Listed++
		if !info.Modified.Before(before) {
			continue
		}
		if batch = append(batch, info); len(batch) == reviewBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (c *Collector) adoptBatch(ctx context.Context, l Location, batch []blob.Info, s *AdoptStats) error {
	if len(batch) == 0 {
		return nil
	}
	keys := make([]string, 0, len(batch))
	for _, info := range batch {
		keys = append(keys, info.Key)
	}
	unknown, err := c.opts.Store.UnknownKeys(ctx, l.ID, keys)
	if err != nil {
		return err
	}
	for _, key := range unknown {
		err := c.adoptObject(ctx, l, key, s)
		switch {
		case err == nil:
		case ctx.Err() != nil || gantry.Is(err, gantry.Unavailable):
			return err
		default:
			s.Failed++
			c.log.WarnContext(ctx, "adopt an object", "location", l.Name, "key", key, "error", err)
		}
	}
	return nil
}

func (c *Collector) adoptObject(ctx context.Context, l Location, key string, s *AdoptStats) error {
	if strings.HasPrefix(key, "uploads/") {
		s.Discarded++
		return l.Engine.Delete(ctx, key)
	}
	d, ok := gantry.DigestFromKey(key)
	if !ok {
		return nil // not ours
	}
	size, whole, err := c.hashObject(ctx, l, key, d, nil)
	switch {
	case gantry.Is(err, gantry.NotFound):
		return nil // deleted meanwhile
	case err != nil:
		return err
	case !whole:
		done, err := c.opts.Store.Discard(ctx, l.ID, d)
		if done && err == nil {
			s.Discarded++
		}
		return err
	}
	// Reading may have taken long, and an open object stays readable when it
	// is deleted. If it is there now, its key would still be fenced if it were
	// deleted before Adopt looks at the trash.
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	if info, err := l.Engine.Stat(ctx, key); gantry.Is(err, gantry.NotFound) || err == nil && info.Size != size {
		return nil
	} else if err != nil {
		return err
	}
	adopted, err := c.opts.Store.Adopt(ctx, l.ID, key, d, size)
	switch {
	case err != nil:
	case adopted:
		s.Adopted++
		s.Bytes += size
	default:
		s.Discarded++
	}
	return err
}

// throttle bounds a rate of bytes; nil = no bound.
type throttle struct {
	rate  int64 // bytes per second
	began time.Time
	done  int64
}

func (t *throttle) wait(ctx context.Context, n int) error {
	if t == nil || t.rate <= 0 {
		return ctx.Err()
	}
	t.done += int64(n)
	ahead := time.Duration(float64(t.done)/float64(t.rate)*float64(time.Second)) - time.Since(t.began)
	if ahead <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(ahead):
		return nil
	}
}

// hashObject reads an object and reports its size and whether it has the
// digest. The error is of reading it; NotFound when there is none.
func (c *Collector) hashObject(ctx context.Context, l Location, key string, d gantry.Digest, limit *throttle) (size int64, whole bool, err error) {
	o, err := l.Engine.Open(ctx, key)
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	h := gantry.NewHash(d.Algorithm())
	if h == nil {
		return 0, false, fmt.Errorf("no hash for %q", d)
	}
	size, err = copyHashing(ctx, io.Discard, h, o, limit)
	if err != nil {
		return size, false, fmt.Errorf("read object: %w", err)
	}
	return size, gantry.DigestOf(d.Algorithm(), h) == d, nil
}

func copyHashing(ctx context.Context, w io.Writer, h hash.Hash, r io.Reader, limit *throttle) (size int64, err error) {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			_, _ = h.Write(buf[:n]) // never fails
			if _, err := w.Write(buf[:n]); err != nil {
				return size, err
			}
			size += int64(n)
			if err := limit.wait(ctx, n); err != nil {
				return size, err
			}
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// RelocateAll gives blobs that were committed where they were uploaded their
// canonical key, which Quay reads too. A blob whose canonical key is in the
// trash waits for a later call.
func (c *Collector) RelocateAll(ctx context.Context) (s AdoptStats, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "relocate")()
	for _, id := range c.ids {
		l := c.locations[id]
		for after := gantry.BlobID(0); ; {
			all, last, err := c.opts.Store.Relocations(ctx, id, after, reviewBatch)
			if err != nil {
				return s, err
			}
			for _, r := range all {
				done, err := c.relocate(ctx, l, r)
				switch {
				case err == nil && done:
					s.Relocated++
				case err == nil:
				case ctx.Err() != nil || gantry.Is(err, gantry.Unavailable):
					return s, err
				default:
					s.Failed++
					c.log.WarnContext(ctx, "relocate a blob", "location", l.Name, "key", r.Path, "error", err)
				}
			}
			if last == after {
				break
			}
			after = last
		}
	}
	return s, nil
}

// relocate copies a blob to its canonical key. From the look at the trash to
// the commit it takes less than an hour, or it is for nothing.
func (c *Collector) relocate(ctx context.Context, l Location, r store.Relocation) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	err := l.Engine.Publish(ctx, r.Path, r.Digest.Key())
	if gantry.Is(err, gantry.Unsupported) {
		err = c.copyObject(ctx, l, r.Path, l, r.Digest.Key(), r.Digest)
	}
	if gantry.Is(err, gantry.NotFound) {
		return false, nil // collected meanwhile, or lost: Verify tells
	}
	if err != nil {
		return false, err
	}
	return c.opts.Store.Relocate(ctx, r)
}

// copyObject copies bytes that must have the digest d. Where the engine can
// publish, a reader never sees a part of them.
func (c *Collector) copyObject(ctx context.Context, from Location, source string, to Location, key string, d gantry.Digest) (err error) {
	o, err := from.Engine.Open(ctx, source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	temp := "uploads/copy-" + strings.ToLower(rand.Text())
	u, err := to.Engine.Upload(ctx, temp, 0, nil)
	if err != nil {
		return err
	}
	published, err := c.copyInto(ctx, to, u, temp, o, key, d)
	err = errors.Join(err, u.Close())
	if !published {
		err = errors.Join(err, to.Engine.Abort(context.WithoutCancel(ctx), temp, nil))
	}
	return errors.Join(err, to.Engine.Delete(context.WithoutCancel(ctx), temp))
}

func (c *Collector) copyInto(ctx context.Context, to Location, u blob.Upload, temp string, o blob.Object, key string, d gantry.Digest) (complete bool, err error) {
	h := gantry.NewHash(d.Algorithm())
	if _, err := copyHashing(ctx, u, h, o, nil); err != nil {
		return false, err
	}
	if gantry.DigestOf(d.Algorithm(), h) != d {
		return false, fmt.Errorf("the bytes of %s have another digest", d)
	}
	err = blob.PublishUpload(ctx, to.Engine, u, temp, key)
	if !gantry.Is(err, gantry.Unsupported) {
		return err == nil, err
	}
	// An object store: it replaces an object at once, when the upload is
	// complete, and the bytes were checked.
	again, err := to.Engine.Open(ctx, temp)
	if err != nil {
		return true, err
	}
	defer func() { err = errors.Join(err, again.Close()) }()
	direct, err := to.Engine.Upload(ctx, key, 0, nil)
	if err != nil {
		return true, err
	}
	if _, err = io.Copy(direct, again); err == nil {
		err = direct.Complete(ctx)
	}
	return true, errors.Join(err, direct.Close())
}

// VerifyOptions say how to verify. The zero value reads everything once, at
// full speed, and changes nothing but what the rows say of the objects.
type VerifyOptions struct {
	Rate int64 // bytes per second; 0 = no bound
	// Since leaves out what was verified after that time; zero = the start of
	// the call. A verification that was interrupted goes on when it is called
	// again with the time at which it first began.
	Since time.Time
	// Repair replaces bytes that are damaged by healthy ones of another
	// location.
	Repair bool
	// Quarantine keeps a copy of damaged bytes under damaged/, where the
	// storage can do that without copying.
	Quarantine bool
}

// Damage is one object that does not hold its blob.
type Damage struct {
	Location string            `json:"location"`
	Key      string            `json:"key"`
	Digest   gantry.Digest     `json:"digest"`
	Missing  bool              `json:"missing"`  // there is no object at all
	Repaired bool              `json:"repaired"` // from another location
	Lost     bool              `json:"lost"`     // no location has healthy bytes
	Holders  []gantry.RepoName `json:"holders"`  // up to 10 repositories that hold the blob
}

// A VerifyReport says what Verify found.
type VerifyReport struct {
	Objects  int      `json:"objects"`
	Bytes    int64    `json:"bytes"`
	Failed   int      `json:"failed"`  // objects that could not be read; they are tried again next time
	Damaged  int      `json:"damaged"` // among them those of Damages, the first 1,000
	Repaired int      `json:"repaired"`
	Lost     int      `json:"lost"`
	Damages  []Damage `json:"damages"`
}

const maxDamages = 1000

// Verify reads the objects of all blobs, those verified longest ago first, and
// compares them with their digests. Damaged ones are not served any more; a
// push of the blob, or Repair, heals them.
func (c *Collector) Verify(ctx context.Context, o VerifyOptions) (r VerifyReport, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "verify")()
	r.Damages = []Damage{} // not null for who reads JSON
	if o.Since.IsZero() {
		o.Since = c.opts.Store.Now()
	}
	limit := &throttle{rate: o.Rate, began: time.Now()}
	for _, id := range c.ids {
		seen := map[gantry.BlobID]bool{} // of those that failed: their rows stay first
		for n := reviewBatch; ; {
			all, err := c.opts.Store.PlacementsToVerify(ctx, id, o.Since, n)
			if err != nil {
				return r, err
			}
			fresh := 0
			for _, p := range all {
				if seen[p.Blob] {
					continue
				}
				fresh++
				failed, err := c.verifyOne(ctx, c.locations[id], p, o, limit, &r)
				if err != nil {
					return r, err
				}
				if failed {
					seen[p.Blob] = true
				}
			}
			if fresh == 0 {
				break
			}
			n = reviewBatch + len(seen)
		}
	}
	return r, nil
}

// verifyOne verifies one placement. failed: it is not known how it is, or it
// was changed meanwhile.
func (c *Collector) verifyOne(ctx context.Context, l Location, p store.Placement, o VerifyOptions, limit *throttle, r *VerifyReport) (failed bool, err error) {
	size, whole, err := c.hashObject(ctx, l, p.Key(), p.Digest, limit)
	missing := gantry.Is(err, gantry.NotFound)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil && !missing:
		r.Failed++
		c.log.WarnContext(ctx, "verify an object", "location", l.Name, "key", p.Key(), "error", err)
		return true, nil
	}
	r.Objects++
	r.Bytes += size
	done, err := c.opts.Store.SetVerified(ctx, p, whole && !missing)
	if err != nil || !done || whole && !missing {
		return !done, err
	}
	d := Damage{Location: l.Name, Key: p.Key(), Digest: p.Digest, Missing: missing}
	c.log.ErrorContext(ctx, "an object does not hold its blob", "location", l.Name, "key", d.Key, "digest", d.Digest, "missing", missing)
	if o.Quarantine && !missing {
		aside := "damaged/" + p.Digest.Algorithm() + "-" + p.Digest.Hex()
		if err := l.Engine.Publish(ctx, p.Key(), aside); err != nil && !gantry.Is(err, gantry.Unsupported) {
			c.log.WarnContext(ctx, "keep damaged bytes", "location", l.Name, "key", d.Key, "error", err)
		}
	}
	places, err := c.opts.Store.BlobPlaces(ctx, p.Blob)
	if err != nil {
		return false, err
	}
	if o.Repair {
		d.Repaired = c.repair(ctx, l, p, places)
	}
	d.Lost = !d.Repaired && len(places) == 0
	if d.Holders, err = c.opts.Store.BlobHolders(ctx, p.Blob, 10); err != nil {
		return false, err
	}
	r.Damaged++
	if d.Repaired {
		r.Repaired++
	}
	if d.Lost {
		r.Lost++
	}
	if len(r.Damages) < maxDamages {
		r.Damages = append(r.Damages, d)
	}
	return false, ctx.Err()
}

// repair copies healthy bytes of another place over damaged ones.
func (c *Collector) repair(ctx context.Context, l Location, p store.Placement, places []store.Place) bool {
	for _, from := range places {
		other, ok := c.locations[from.Location]
		if !ok || from.Location == l.ID {
			continue
		}
		key := cmp.Or(from.Path, p.Digest.Key())
		err := c.copyObject(ctx, other, key, l, p.Key(), p.Digest)
		if err == nil {
			err = c.opts.Store.Repaired(ctx, p)
		}
		if err == nil {
			return true
		}
		c.log.WarnContext(ctx, "repair an object", "location", l.Name, "key", p.Key(), "from", other.Name, "error", err)
	}
	return false
}

// A DBReport says what VerifyDB found.
type DBReport struct {
	Flaws []store.Flaw `json:"flaws"` // none in a sound database
	// Queued is how much nothing kept and no review waited for; it is queued
	// for collection now.
	Queued int64 `json:"queued"`
}

// VerifyDB proves that every edge of the database leads somewhere and that
// usage is exact to the byte, and queues what collection had lost.
func (c *Collector) VerifyDB(ctx context.Context) (r DBReport, err error) {
	if r.Flaws, err = c.opts.Store.VerifyEdges(ctx); err != nil {
		return r, err
	}
	r.Flaws = append([]store.Flaw{}, r.Flaws...) // not null for who reads JSON
	r.Queued, err = c.opts.Store.QueueLost(ctx)
	return r, err
}
