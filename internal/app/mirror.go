package app

import (
	"context"
	"time"

	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/mirror"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
)

// newMirrors returns what runs mirrors, and what asks other registries whether
// they can be mirrored. One registry gets as many requests at once from this
// process as s.upstreams says, whether for mirrors or for proxy caches.
func newMirrors(s *Server) *mirror.Service {
	return mirror.New(mirror.Options{Store: s.db, Content: s.content, Keys: s.keys, Bus: s.bus, Logger: s.log, Metrics: s.metrics,
		Settings: func() mirror.Settings { return mirrorSettings(s.live.Current()) },
		Remote: func(o remote.Options) remote.Options {
			o.Limits, o.Roots, o.Client = s.upstreams, s.live.Current().RootCAs(), s.upstreamClient
			o.Metrics = remote.Metrics{Request: s.metrics.MirrorRequest, Bytes: s.metrics.MirrorBytes}
			return o
		}})
}

// mirrors runs mirrors and counts them.
func (s *Server) mirrors(ctx context.Context) {
	s.while(ctx, mirrorsRun, func(ctx context.Context) {
		every := max(mirrorDue(s.live.Current()), countEvery)
		s.mirrorJobs(ctx, s.mirror.Kinds(), 16, func() {
			for ctx.Err() == nil {
				if c, err := s.db.MirrorCounts(ctx, nil); err == nil {
					s.metrics.MirrorCounts(c.Waiting, c.Orgs, c.OrgsOn, c.OrgsDue, c.Found, c.OrgWait)
				} else if ctx.Err() == nil {
					s.log.WarnContext(ctx, "count the mirrors", "error", err)
				}
				pause(ctx, every)
			}
		})
	})
}

// mirrorsDue queues the mirrors that are due, and runs none: where workers of
// their own mirror, an autoscaler that has taken the last of them sees the queue.
func (s *Server) mirrorsDue(ctx context.Context) {
	s.while(ctx, mirrorsRun, func(ctx context.Context) {
		s.mirrorJobs(ctx, map[string]jobs.Kind{mirror.JobDue: s.mirror.Kinds()[mirror.JobDue]}, 1, func() { <-ctx.Done() })
	})
}

// mirrorJobs runs jobs of mirrors while f does, and has them queued on time.
func (s *Server) mirrorJobs(ctx context.Context, kinds map[string]jobs.Kind, workers int, f func()) {
	for name, k := range kinds {
		kinds[name] = s.traced(name, k)
	}
	r, err := jobs.New(ctx, jobs.Options{
		Store: s.db, Bus: s.bus, Logger: s.log, Metrics: s.metrics, Kinds: kinds, Workers: workers,
		Schedules: []jobs.Schedule{{Every: mirrorDue(s.live.Current()), Job: store.NewJob{Kind: mirror.JobDue, MaxAttempts: 1}}},
		Holder:    tellHolder(s.id), Grace: interruptJobs, Poll: s.opts.poll(),
	})
	if err != nil {
		s.log.ErrorContext(ctx, "start mirrors", "error", err)
		pause(ctx, time.Minute)
		return
	}
	f()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopJobs)
	defer cancel()
	if err := r.Stop(last); err != nil {
		s.log.WarnContext(last, "stop mirrors", "error", err)
	}
}
