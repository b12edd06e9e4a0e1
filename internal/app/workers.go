package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/mirror"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/store"
)

const (
	beatEvery    = 10 * time.Second // sign of life of an instance
	probeEvery   = 30 * time.Second // look at the storage
	orderEvery   = 2 * time.Second  // numbering of the journal
	countEvery   = 30 * time.Second // look at the queue of jobs
	gcLease      = "collector"
	gcLeaseTime  = time.Minute
	gcLeaseRenew = 20 * time.Second
	gcLeaseRetry = 10 * time.Second
	stopJobs     = 20 * time.Second // for handlers to end, in all
	// interruptJobs is when a stop interrupts the jobs that run; they go on
	// from their checkpoint.
	interruptJobs = 2 * time.Second
	// Jobs that ended are kept so long for superusers to see, and those that come
	// every few minutes and ended well only so long.
	keepJobs  = 7 * 24 * time.Hour
	keepOften = time.Hour
)

// oftenJobs come every few minutes.
var oftenJobs = []string{mirror.JobDue, notify.ExpiryJob, jobPruneDue, jobIdentity}

// work starts the background work. s.stop ends it.
func (s *Server) work(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	start := func(name string, f func(context.Context)) {
		s.workers.Go(func() { s.guard(ctx, name, f) })
	}
	start("configuration", func(ctx context.Context) { s.live.Watch(ctx, s.opts.Poll, s.reloaded(ctx)) })
	start("keys", func(ctx context.Context) {
		if err := s.auth.Run(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "work on keys and sessions", "error", err)
		}
	})
	start("heartbeat", s.beats)
	start("storage probe", s.probes)
	start("storage health", s.standings)
	if s.roles.GC {
		start("collector", s.collects)
	}
	if s.roles.Notify {
		start("telling", s.tell.run)
	}
	if s.roles.Replicate {
		start("replication", s.replicates)
		start("replication lag", s.lags)
	}
	if s.roles.Mirror {
		start("mirrors", s.mirrors)
	}
	if s.roles.Jobs && !s.roles.Mirror {
		start("mirrors that are due", s.mirrorsDue)
	}
	if s.roles.Jobs {
		start("jobs", s.runJobs)
		start("proxy caches", s.proxy.Run)
		start("journal", s.orders)
		start("inventory", s.inventories)
		start("queue", s.queues)
		start("audit stream", s.streams)
	}
}

// every runs f now and then every d.
func every(ctx context.Context, d time.Duration, f func(context.Context)) {
	for ctx.Err() == nil {
		f(ctx)
		pause(ctx, d)
	}
}

// beats says that the instance lives, and at the end that it has stopped.
func (s *Server) beats(ctx context.Context) {
	alive := false
	every(ctx, beatEvery, func(ctx context.Context) {
		if s.live.Current().Server.ReadOnly() {
			return
		}
		if err := s.beat(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "heartbeat", "error", err)
		}
		alive = true
		s.auth.LearnKeys(ctx) // of who has come
	})
	if alive {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := s.db.RemoveInstance(last, s.id); err != nil {
			s.log.WarnContext(last, "forget this instance", "error", err)
		}
	}
}

// probes measures the storage.
func (s *Server) probes(ctx context.Context) {
	every(ctx, probeEvery, func(ctx context.Context) {
		for _, p := range s.places {
			began := time.Now()
			free, total, err := p.Engine.Free(ctx)
			if ctx.Err() != nil {
				return
			}
			s.metrics.Storage(ctx, p.Name, "free", time.Since(began), err)
			p.Health.Reads(time.Since(began), err)
			up := 1.0
			if err != nil || p.Health.Standing().Failing {
				up = 0
			}
			if err != nil {
				s.log.WarnContext(ctx, "a storage location does not answer", "location", p.Name, "error", err)
			}
			s.metrics.StorageUp.WithLabelValues(p.Name).Set(up)
			if err == nil && total > 0 {
				s.metrics.DiskFree.WithLabelValues(p.Name).Set(float64(free))
			}
		}
	})
}

// orders numbers the rows of the journal where writers are concurrent. It
// changes nothing that anybody sees, but it writes.
func (s *Server) orders(ctx context.Context) {
	if s.db.Exclusive() {
		return
	}
	every(ctx, orderEvery, func(ctx context.Context) {
		if !maintains(s.live.Current()) {
			return
		}
		if _, err := s.db.Sequence(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "number the journal", "error", err)
		}
	})
}

// inventories counts what there is, now and every
// GLOBAL_PROMETHEUS_STATS_FREQUENCY. Unless that was written down, a count that
// is quick is made more often: dashboards need not be an hour late.
func (s *Server) inventories(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		n, err := s.db.Inventory(ctx)
		took := time.Since(began)
		switch {
		case err == nil:
			s.metrics.UserRows.Set(float64(n.Users))
			s.metrics.OrgRows.Set(float64(n.Organizations))
			s.metrics.RobotRows.Set(float64(n.Robots))
			s.metrics.RepositoryRows.Set(float64(n.Repositories))
		case ctx.Err() == nil:
			s.log.WarnContext(ctx, "count accounts and repositories", "error", err)
		}
		cfg := s.live.Current()
		next := cfg.Metrics.GlobalPrometheusStatsFrequency
		if !cfg.Explicit("GLOBAL_PROMETHEUS_STATS_FREQUENCY") {
			next = min(next, max(countEvery, 500*took))
		}
		s.rest(ctx, next)
	}
}

// queues measures the queue of jobs. A kind of which there are no jobs is 0.
func (s *Server) queues(ctx context.Context) {
	every(ctx, countEvery, func(ctx context.Context) {
		list, err := s.db.JobBacklog(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.log.WarnContext(ctx, "count the jobs", "error", err)
			}
			return
		}
		for kind := range joined(joined(s.kinds(), s.tell.kinds()), s.mirror.Kinds()) {
			i := slices.IndexFunc(list, func(b store.JobBacklog) bool { return b.Kind == kind })
			if i < 0 {
				s.metrics.Queue(kind, 0, 0)
				continue
			}
			s.metrics.Queue(kind, list[i].Running, list[i].Due)
		}
	})
}

// joined is a and b in one.
func joined[K comparable, V any](a, b map[K]V) map[K]V {
	maps.Copy(a, b)
	return a
}

// rest waits for d, a change of the configuration, or the end of ctx.
func (s *Server) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.next():
	}
}

// while runs f with a context that ends when the configuration changes, as
// long as want says so of it.
func (s *Server) while(ctx context.Context, want func(*config.Config) bool, f func(context.Context)) {
	for ctx.Err() == nil {
		changed := s.next() // before the look at the configuration
		if !want(s.live.Current()) {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		run, cancel := context.WithCancel(ctx)
		stop := make(chan struct{})
		go func() {
			defer cancel()
			select {
			case <-changed:
			case <-stop:
			}
		}()
		func() {
			defer close(stop) // also when f panics
			f(run)
		}()
	}
}

// collects runs the collector in one instance at a time.
func (s *Server) collects(ctx context.Context) {
	s.while(ctx, collects, func(ctx context.Context) {
		for ctx.Err() == nil {
			l, err := s.db.TakeLease(ctx, gcLease, s.id, gcLeaseTime)
			if err == nil {
				s.under(ctx, l, "collector", s.collector().Loop)
				continue
			}
			if !gantry.Is(err, gantry.Conflict) && ctx.Err() == nil {
				s.log.WarnContext(ctx, "take the lease of the collector", "error", err)
			}
			pause(ctx, cmp.Or(s.opts.leaseRetry, gcLeaseRetry))
		}
	})
}

// under runs f until ctx ends or the lease is lost.
func (s *Server) under(ctx context.Context, l store.Lease, what string, f func(context.Context)) {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	renewed := make(chan store.Lease, 1)
	go func() {
		defer cancel()
		for {
			pause(run, gcLeaseRenew)
			if run.Err() != nil {
				break
			}
			next, err := s.db.RenewLease(run, l, gcLeaseTime)
			if err != nil {
				if run.Err() == nil {
					s.log.WarnContext(run, "a lease was lost", "of", what, "error", err)
				}
				break
			}
			l = next
		}
		renewed <- l
	}()
	defer func() { // also when f panics
		cancel()
		last, end := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer end()
		if err := s.db.ReleaseLease(last, <-renewed); err != nil {
			s.log.WarnContext(last, "give a lease back", "of", what, "error", err)
		}
	}()
	f(run)
}

// runJobs runs background jobs and queues those that are due.
func (s *Server) runJobs(ctx context.Context) {
	s.while(ctx, maintains, func(ctx context.Context) {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		r, err := jobs.New(ctx, jobs.Options{
			Store: s.db, Bus: s.bus, Logger: s.log, Metrics: s.metrics, Kinds: s.kinds(), Schedules: schedules(s.live.Current()),
			Holder: host[:min(len(host), 20)] + " " + s.id, Grace: interruptJobs,
		})
		if err != nil {
			s.log.ErrorContext(ctx, "start background jobs", "error", err)
			pause(ctx, time.Minute)
			return
		}
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopJobs)
		defer cancel()
		if err := r.Stop(last); err != nil {
			s.log.WarnContext(last, "stop background jobs", "error", err)
		}
	})
}

// The kinds of jobs.
const (
	jobTrim         = "jobs.trim"
	jobFold         = "usage.fold"
	jobCheck        = "database.verify"
	jobAdopt        = "blobs.adopt"
	jobRelocate     = "blobs.relocate"
	jobScrub        = "blobs.verify"
	jobPruneDue     = "prune.due"
	jobPrune        = "prune.namespace"
	jobPruneAll     = "prune.default"
	jobRotate       = "logs.rotate"
	jobSweepExports = "logs.sweep-exports"
	jobPlatforms    = "images.platforms"
)

// schedules says how often jobs are queued.
func schedules(cfg *config.Config) []jobs.Schedule {
	list := []jobs.Schedule{
		{Every: time.Minute, Job: store.NewJob{Kind: jobFold, MaxAttempts: 2}},
		{Every: cfg.Workers.QueueCleanupFrequency, Job: store.NewJob{Kind: jobTrim, Priority: store.Idle}},
		{Every: 24 * time.Hour, Job: store.NewJob{Kind: jobCheck, Priority: store.Idle}},
		{Every: 24 * time.Hour, Job: store.NewJob{Kind: jobRelocate, Priority: store.Idle}},
		{Every: 24 * time.Hour, Job: store.NewJob{Kind: jobPlatforms, Priority: store.Idle}},
	}
	if cfg.Storage.CleanBlobUploadFolder && collects(cfg) {
		list = append(list, jobs.Schedule{Every: 7 * 24 * time.Hour, Job: store.NewJob{Kind: jobAdopt, Priority: store.Idle}})
	}
	if cfg.Features.EnableStaleMPUCleanup && collects(cfg) {
		list = append(list, jobs.Schedule{Every: 24 * time.Hour, Job: store.NewJob{Kind: jobSweepParts, Priority: store.Idle}})
	}
	if copies(cfg) && cfg.Features.StorageReplication {
		list = append(list, jobs.Schedule{Every: 24 * time.Hour, Job: store.NewJob{Kind: store.JobFill, Priority: store.Idle}})
	}
	list = append(list, jobs.Schedule{Every: time.Hour, Job: store.NewJob{Kind: jobSweepExports, Priority: store.Idle}})
	if _, age := rotation(cfg); age > 0 {
		list = append(list, jobs.Schedule{Every: cfg.Audit.RotationFrequency, Job: store.NewJob{Kind: jobRotate, Priority: store.Idle}})
	}
	if prunes(cfg) {
		list = append(list, jobs.Schedule{Every: cfg.Prune.PollPeriod, Job: store.NewJob{Kind: jobPruneDue}})
		if cfg.Prune.DefaultPolicy.Method != "" {
			list = append(list, jobs.Schedule{Every: cfg.Prune.DefaultPolicyPollPeriod, Job: store.NewJob{Kind: jobPruneAll, Priority: store.Idle}})
		}
	}
	if cfg.GC.ScrubRate > 0 {
		list = append(list, jobs.Schedule{Every: 7 * 24 * time.Hour, Job: store.NewJob{Kind: jobScrub, Priority: store.Idle}})
	}
	return append(list, identitySchedules(cfg)...)
}

// kinds are the handlers of jobs, each with a span of its own.
func (s *Server) kinds() map[string]jobs.Kind {
	kinds := map[string]jobs.Kind{
		jobTrim: {Handle: func(ctx context.Context, _ *jobs.Run) error {
			return until0(func() (int, error) {
				n, err := s.db.TrimJobs(ctx, s.db.Now().Add(-keepJobs), 1000)
				if err == nil && n == 0 {
					n, err = s.db.TrimJobs(ctx, s.db.Now().Add(-keepOften), 1000, oftenJobs...)
				}
				s.metrics.QueueDeletes.Add(float64(n))
				return int(n), err
			})
		}},
		jobFold: {Handle: func(ctx context.Context, _ *jobs.Run) error {
			return until0(func() (int, error) { return s.db.FoldUsage(ctx, 1000) })
		}},
		jobCheck: {Handle: s.checkDatabase},
		jobAdopt: {Handle: func(ctx context.Context, _ *jobs.Run) error {
			found, err := s.collector().AdoptAll(ctx)
			s.log.InfoContext(ctx, "storage compared with the database", "objects", found.Listed, "adopted", found.Adopted, "discarded", found.Discarded, "failed", found.Failed)
			return err
		}},
		jobRelocate: {Handle: func(ctx context.Context, _ *jobs.Run) error {
			_, err := s.collector().RelocateAll(ctx)
			return err
		}},
		jobScrub:      {Handle: s.scrub},
		jobPlatforms:  {Handle: s.fillPlatforms},
		jobIdentity:   {Handle: s.syncIdentities},
		store.JobMark: {Handle: s.markImmutable, Limit: 2},
	}
	s.addPruning(kinds)
	s.addStorage(kinds)
	s.addAudit(kinds)
	for name, k := range kinds {
		kinds[name] = s.traced(name, k)
	}
	return kinds
}

// traced has a kind of job make spans.
func (s *Server) traced(name string, k jobs.Kind) jobs.Kind {
	handle := k.Handle
	k.Handle = func(ctx context.Context, r *jobs.Run) error {
		ctx, span := s.tracer.Start(ctx, "job "+name)
		defer span.End()
		err := handle(ctx, r)
		span.Fail(err)
		return err
	}
	return k
}

// until0 calls f until it has nothing more to do.
func until0(f func() (int, error)) error {
	for {
		if n, err := f(); err != nil || n == 0 {
			return err
		}
	}
}

// checkDatabase proves that the database is whole, and says when it is not.
func (s *Server) checkDatabase(ctx context.Context, _ *jobs.Run) error {
	r, err := s.collector().VerifyDB(ctx)
	if err != nil {
		return err
	}
	for _, f := range r.Flaws {
		s.log.ErrorContext(ctx, "the database has a flaw; please report it", "check", f.Check, "rows", f.Count, "sample", f.Sample)
	}
	return nil
}

// platformsKnown is the setting with the last manifest of those whose platforms
// have been noted, where they can be.
const platformsKnown = "platforms noted"

// fillPlatforms notes the platforms of images that were pushed before that was
// done with each push. It goes on behind where the last job came to, so that
// it looks at each manifest once.
func (s *Server) fillPlatforms(ctx context.Context, r *jobs.Run) error {
	at, err := s.db.Setting(ctx, platformsKnown)
	if err != nil {
		return err
	}
	var after int64
	if at != "" {
		if after, err = strconv.ParseInt(at, 10, 64); err != nil {
			return jobs.Permanent(fmt.Errorf("setting %q: %w", platformsKnown, err))
		}
	}
	var noted int64
	for {
		n, next, err := s.content.FillPlatforms(ctx, gantry.ManifestID(after))
		if err != nil {
			return err
		}
		if noted += int64(n); next == 0 {
			break
		}
		after = int64(next)
		if err := s.db.SetSetting(ctx, platformsKnown, strconv.FormatInt(after, 10)); err != nil {
			return err
		}
		r.Report(store.Progress{Done: noted})
	}
	if noted > 0 {
		s.log.InfoContext(ctx, "platforms of older images noted", "images", noted)
	}
	return nil
}

// scrub reads all blobs at GANTRY_SCRUB_RATE. A run that is interrupted goes
// on where it was.
func (s *Server) scrub(ctx context.Context, r *jobs.Run) error {
	var at struct{ Since time.Time }
	if ok, err := r.Checkpoint(&at); err != nil {
		return err
	} else if !ok {
		at.Since = s.db.Now()
		if err := r.Save(ctx, store.Progress{}, at); err != nil {
			return err
		}
	}
	found, err := s.collector().Verify(ctx, content.VerifyOptions{Rate: s.live.Current().GC.ScrubRate, Since: at.Since, Repair: len(s.places) > 1})
	if err != nil {
		return err
	}
	if found.Damaged > 0 {
		s.log.ErrorContext(ctx, "blobs are damaged; gantry verify lists them", "damaged", found.Damaged, "lost", found.Lost)
	}
	return nil
}
