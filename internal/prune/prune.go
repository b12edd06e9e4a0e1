// Package prune deletes tags that policies find too old or too many. Which
// ones go is decided by a Picker, which is pure; the rest is the walk through
// repositories, a page of tags at a time, so that a repository of any size
// holds neither locks nor memory.
package prune

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// A Tag is what a Picker decides about.
type Tag struct {
	Name      string
	Start     time.Time // when it was made, or moved to where it points
	Immutable bool
}

// A Picker decides, for one rule and one repository, which tags go. It is
// asked about the live tags of the repository one after the other, the newest
// first. Immutable tags and cosign's signature tags never go, and do not count
// among those that stay.
type Picker struct {
	chooses func(tag string) bool
	keep    int64     // by count: so many stay
	before  time.Time // by age: those go that began earlier; zero = by count
	kept    int64
}

// NewPicker returns a Picker of the rule at the time now. Invalid for a rule
// that says nothing.
func NewPicker(r gantry.PruneRule, now time.Time) (*Picker, error) {
	keep, age, err := r.Limits()
	if err != nil {
		return nil, err
	}
	p := &Picker{keep: keep}
	if age > 0 {
		p.before = now.Add(-age)
	}
	p.chooses, err = r.Chooser(false)
	return p, err
}

// Goes reports whether the next tag goes.
func (p *Picker) Goes(t Tag) bool {
	if t.Immutable || gantry.IsSignatureTag(t.Name) || !p.chooses(t.Name) {
		return false
	}
	if !p.before.IsZero() {
		return t.Start.Before(p.before)
	}
	if p.kept < p.keep {
		p.kept++
		return false
	}
	return true
}

// Options are what a Pruner needs. Store is required.
type Options struct {
	Store *store.DB
	// Retention is how long a pruned tag can be restored where its namespace
	// made no choice.
	Retention    time.Duration
	TagPage      int // tags read at once; 0 = 100
	RepoPage     int // repositories read at once; 0 = 50
	Default      gantry.PruneRule
	DefaultAfter time.Duration // a run of the default rule rests after so long; 0 = 1 h
	DefaultRest  time.Duration // for so long, or until it is asked for again; 0 = 1 day
	Logger       *slog.Logger  // nil: silent
}

// A Pruner prunes.
type Pruner struct{ o Options }

// New returns a Pruner. It starts nothing.
func New(o Options) *Pruner {
	o.TagPage, o.RepoPage = cmp.Or(o.TagPage, 100), cmp.Or(o.RepoPage, 50)
	o.DefaultAfter, o.DefaultRest = cmp.Or(o.DefaultAfter, time.Hour), cmp.Or(o.DefaultRest, 24*time.Hour)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Pruner{o}
}

// place is how far a job is: the last repository that is done.
type place struct {
	Repo gantry.RepoID `json:"repo"`
	Tags int64         `json:"tags"` // pruned so far
}

// Namespace is the job that prunes one namespace by its policies and those of
// its repositories. A job that is interrupted goes on at the repository where
// it was.
func (p *Pruner) Namespace(ctx context.Context, r *jobs.Run) error {
	var in struct {
		Namespace gantry.AccountID `json:"namespace"`
	}
	if err := r.Payload(&in); err != nil {
		return err
	}
	all, err := p.o.Store.AllPrunePolicies(ctx, in.Namespace)
	if err != nil || len(all) == 0 {
		return err
	}
	_, err = p.walk(ctx, r, store.PruneQuery{Namespace: in.Namespace}, time.Time{}, func(repo store.PruneRepository) []gantry.PruneRule {
		var rules []gantry.PruneRule
		for _, policy := range all {
			if policy.Repo == 0 || policy.Repo == repo.ID {
				rules = append(rules, policy.PruneRule)
			}
		}
		return rules
	})
	return err
}

// Everywhere is the job that prunes by the default rule: repositories that
// have no policy, in namespaces that have none.
func (p *Pruner) Everywhere(ctx context.Context, r *jobs.Run) error {
	if p.o.Default.Method == "" {
		return nil
	}
	until := p.o.Store.Now().Add(p.o.DefaultAfter)
	done, err := p.walk(ctx, r, store.PruneQuery{Bare: true}, until, func(store.PruneRepository) []gantry.PruneRule {
		return []gantry.PruneRule{p.o.Default}
	})
	if err == nil && !done {
		return jobs.Later(p.o.DefaultRest)
	}
	return err
}

// walk prunes the repositories that q asks for, each by its rules. done is
// false when the time was over before the end. One repository that fails does
// not keep the others; the error comes at the end.
func (p *Pruner) walk(ctx context.Context, r *jobs.Run, q store.PruneQuery, until time.Time, rules func(store.PruneRepository) []gantry.PruneRule) (done bool, err error) {
	var at place
	if _, err := r.Checkpoint(&at); err != nil {
		return false, err
	}
	var failed []error
	for q.N = p.o.RepoPage; ; {
		q.After = at.Repo
		page, err := p.o.Store.PruneRepositories(ctx, q)
		if err != nil {
			return false, err
		}
		for _, repo := range page {
			n, err := p.Repository(ctx, repo.ID, rules(repo))
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if err != nil {
				p.o.Logger.WarnContext(ctx, "prune a repository", "repository", repo.ID, "error", err)
				if failed = append(failed, err); len(failed) >= 10 {
					return false, errors.Join(failed...)
				}
			}
			at.Repo, at.Tags = repo.ID, at.Tags+n
		}
		if err := r.Save(ctx, store.Progress{Done: at.Tags, Unit: "tags"}, at); err != nil {
			return false, err
		}
		if len(page) < q.N {
			return true, errors.Join(failed...)
		}
		if !until.IsZero() && !p.o.Store.Now().Before(until) {
			return false, errors.Join(failed...)
		}
	}
}

// Repository prunes one repository: by the rules of age, then by those of
// count, and returns how many tags went.
func (p *Pruner) Repository(ctx context.Context, repo gantry.RepoID, rules []gantry.PruneRule) (n int64, err error) {
	for _, method := range []string{gantry.PruneByAge, gantry.PruneByCount} {
		for _, rule := range rules {
			if rule.Method != method {
				continue
			}
			picker, err := NewPicker(rule, p.o.Store.Now())
			if err != nil {
				return n, err
			}
			m, err := p.apply(ctx, repo, picker)
			n += m
			if err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// apply goes through the live tags of a repository once.
func (p *Pruner) apply(ctx context.Context, repo gantry.RepoID, picker *Picker) (n int64, err error) {
	var at store.PrunePlace
	for {
		page, err := p.o.Store.PruneTags(ctx, repo, at, picker.before, p.o.TagPage)
		if err != nil {
			return n, err
		}
		var ids []gantry.TagID
		for _, t := range page {
			at = store.PrunePlace{Start: t.Start, ID: t.ID}
			if picker.Goes(Tag{t.Name, t.Start, t.Immutable}) {
				ids = append(ids, t.ID)
			}
		}
		for len(ids) > 0 {
			part := ids[:min(len(ids), store.MaxPrune)]
			ids = ids[len(part):]
			m, err := p.o.Store.Prune(ctx, repo, part, p.o.Retention)
			n += int64(m)
			if err != nil {
				return n, err
			}
		}
		if len(page) < p.o.TagPage {
			return n, nil
		}
	}
}
