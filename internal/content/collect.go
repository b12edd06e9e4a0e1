package content

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

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
	// NoSweep leaves what dead uploads left in engines that hide it (see
	// blob.Sweeper) to somebody else, such as a rule of the bucket.
	NoSweep bool
	Logger  *slog.Logger       // nil = none
	Metrics *telemetry.Metrics // nil = none
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
		for n < len(reviews) && n < store.MaxCollect && reviews[n].Kind == reviews[0].Kind && reviews[0].Kind != "repository" && reviews[0].Kind != "frozen" {
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

var kindOrder = map[string]int{"frozen": 0, "repository": 0, "manifest": 1, "repo_blob": 2, "ns_blob": 3, "blob": 4}

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
		due, err := c.opts.Store.TrashDue(ctx, c.reachable(), reviewBatch)
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

// reachable are the locations whose objects can be deleted now.
func (c *Collector) reachable() (ids []int64) {
	for _, id := range c.ids {
		if c.locations[id].Health.Standing().Writes != BreakerOpen {
			ids = append(ids, id)
		}
	}
	return ids
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
	l.Health.Writes(0, err)
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
