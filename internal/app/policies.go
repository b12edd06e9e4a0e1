package app

import (
	"context"

	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/prune"
	"github.com/gantry-registry/gantry/internal/store"
)

// addPruning adds the jobs that prune tags. Each takes the configuration as it
// is when it runs; a job of one that pruned does nothing in one that does not.
func (s *Server) addPruning(kinds map[string]jobs.Kind) {
	handle := func(do func(*prune.Pruner) jobs.Handler) jobs.Handler {
		return func(ctx context.Context, r *jobs.Run) error {
			cfg := s.live.Current()
			if !prunes(cfg) {
				return nil
			}
			o := pruneOptions(cfg)
			o.Store, o.Logger = s.db, s.log
			return do(prune.New(o))(ctx, r)
		}
	}
	kinds[jobPruneDue] = jobs.Kind{Handle: func(ctx context.Context, _ *jobs.Run) error {
		cfg := s.live.Current()
		if !prunes(cfg) {
			return nil
		}
		rest, n := pruneDue(cfg)
		_, err := s.db.PruneDue(ctx, jobPrune, rest, n)
		return err
	}}
	kinds[jobPrune] = jobs.Kind{Limit: 2, Handle: handle(func(p *prune.Pruner) jobs.Handler { return p.Namespace })}
	kinds[jobPruneAll] = jobs.Kind{Handle: handle(func(p *prune.Pruner) jobs.Handler { return p.Everywhere })}
}

// markImmutable marks the tags that an immutability policy chooses, in small
// steps. A run that is interrupted goes on where it was.
func (s *Server) markImmutable(ctx context.Context, r *jobs.Run) error {
	var in store.MarkJob
	if err := r.Payload(&in); err != nil {
		return err
	}
	var at store.MarkPlace
	if _, err := r.Checkpoint(&at); err != nil {
		return err
	}
	marked := r.Job.Progress.Done
	for {
		cfg := s.live.Current()
		if !cfg.Features.ImmutableTags {
			return nil
		}
		next, n, done, err := s.db.MarkImmutable(ctx, in, at, cfg.Features.ImmutableTagsCanExpire)
		if err != nil {
			return err
		}
		at, marked = next, marked+int64(n)
		if err := r.Save(ctx, store.Progress{Done: marked, Unit: "tags"}, at); err != nil || done {
			return err
		}
	}
}
