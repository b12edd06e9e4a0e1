package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
)

const (
	// maxTags bounds the tags of a repository that is mirrored.
	maxTags = 1_000_000
	tagPage = 1000
	// maxEmpty bounds the pages of a list in which there is nothing that can be
	// used, after which more may come.
	maxEmpty = 1000
	// hopeless is after how many tags in a row that could not be had, because
	// the other registry is away, a run gives up.
	hopeless = 8
	// maxOutcomes is how many outcomes of a run are kept in memory before they
	// are written.
	maxOutcomes = 1000
)

// A run is one run of one mirror.
type run struct {
	s      *Service
	set    Settings
	m      store.Mirror
	row    store.MirrorRun
	choice Choice
	filter Filter
	up     *remote.Repository
	actor  gantry.Actor
	log    *slog.Logger
	deep   bool // look at everything
	plan   bool // change nothing

	all     []string // tags that upstream has
	chosen  []string
	local   map[string]store.MirrorTag
	tagged  map[gantry.Digest][]string // companions by their subject
	slots   chan struct{}              // of blobs
	noList  atomic.Bool                // upstream has no list of referrers
	stop    context.CancelCauseFunc
	seen    map[gantry.Digest]bool // manifests whose companions were taken; under mu
	looked  map[gantry.Digest]bool // manifests whose referrers were, or are being, copied; under mu
	flights map[gantry.Digest]*flight
	full    chan struct{} // outcomes want to be written
	flying  atomic.Int64  // bytes of blobs that have not come whole; taken away under mu

	mu      sync.Mutex
	figures store.MirrorFigures
	pending []store.MirrorOutcome
	streak  int    // tags in a row that failed because upstream is away
	first   string // failure
	reason  string
	retry   time.Duration // that upstream asked to wait; 0 = none
}

// errGiveUp ends a run early; it holds why.
type errGiveUp struct{ err error }

func (e *errGiveUp) Error() string { return e.err.Error() }
func (e *errGiveUp) Unwrap() error { return e.err }

// place is the checkpoint of a job: what was copied is found again by looking.
type place struct {
	Run string `json:"run"`
}

// repository is the job of one run.
func (s *Service) repository(ctx context.Context, r *jobs.Run) error {
	var j store.MirrorJob
	if err := r.Payload(&j); err != nil {
		return err
	}
	var at place
	if _, err := r.Checkpoint(&at); err != nil {
		return err
	}
	if j.Run == "" {
		j.Run = at.Run
	}
	set := s.o.Settings()
	if !set.On && !set.OrgsOn {
		return nil
	}
	m, row, err := s.o.Store.BeginRun(ctx, j, uuid.NewString())
	if over(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.Save(ctx, store.Progress{}, place{row.UUID}); err != nil {
		return err
	}
	s.tell(ctx, &m, &bus.Beat{ID: row.UUID, Changed: true})
	defer s.tell(context.WithoutCancel(ctx), &m, &bus.Beat{ID: row.UUID, Changed: true})
	began := time.Now()
	s.o.Metrics.MirrorBegins(m.Name.Namespace, m.Name.Name)
	defer s.o.Metrics.MirrorWorks()()
	x, end, err := s.run(ctx, r, j, m, row, set)
	if err != nil {
		if over(err) {
			s.o.Logger.InfoContext(ctx, "a run of a mirror was cancelled", "repository", m.Name.String())
			return nil
		}
		return err
	}
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	row.MirrorFigures = x.now()
	if err := s.o.Store.EndRun(final, row, x.drain(), end); err != nil {
		if over(err) {
			return nil
		}
		return err
	}
	if row.Kind != store.RunPlan {
		s.o.Metrics.MirrorEnds(m.Name.Namespace, m.Name.Name, end.State == store.RunSuccess, end.Reason, time.Since(began), m.OrgMirror != 0)
	}
	s.o.Logger.InfoContext(ctx, "a mirror has run", "repository", m.Name.String(), "from", m.Upstream, "kind", row.Kind, "state", string(end.State), "message", end.Message,
		"tags", row.Total, "copied", row.Copied, "removed", row.Removed, "failed", row.Failed, "bytes", row.Bytes, "took", time.Since(began))
	return nil
}

// over reports that somebody else ended the run.
func over(err error) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == gantry.Conflict && e.Object == "run"
}

// run does the work. An error is not of the mirror: the job is tried again,
// with the same run.
func (s *Service) run(ctx context.Context, r *jobs.Run, j store.MirrorJob, m store.Mirror, row store.MirrorRun, set Settings) (*run, store.RunEnd, error) {
	now := s.o.Store.Now()
	x := &run{s: s, set: set, m: m, row: row, actor: m.Actor(), plan: row.Kind == store.RunPlan, slots: make(chan struct{}, s.o.Blobs),
		seen: map[gantry.Digest]bool{}, looked: map[gantry.Digest]bool{}, flights: map[gantry.Digest]*flight{}, full: make(chan struct{}, 1),
		deep: j.Deep || now.Sub(m.Deep) >= s.o.AllOver,
		log:  s.o.Logger.With("repository", m.Name.String(), "from", m.Upstream)}
	// What an earlier worker did for this run counts; what it looked at is
	// looked at again.
	x.figures = store.MirrorFigures{Copied: row.Copied, Removed: row.Removed, Fetched: row.Fetched, Linked: row.Linked, Bytes: row.Bytes}
	if x.plan {
		x.figures = store.MirrorFigures{}
	}
	limit, cancel := context.WithTimeout(ctx, store.MirrorMax-min(max(now.Sub(row.Started), 0), store.MirrorMax))
	defer cancel()
	inner, stop := context.WithCancelCause(limit)
	defer stop(nil)
	x.stop = stop
	saved := make(chan struct{})
	quit := make(chan struct{})
	go func() { defer close(saved); x.saves(inner, r, quit) }()
	err := x.do(inner)
	close(quit)
	<-saved
	if cause := context.Cause(inner); over(cause) {
		return x, store.RunEnd{}, cause
	}
	if ctx.Err() != nil { // the worker stops, or lost its job
		return x, store.RunEnd{}, ctx.Err()
	}
	if give, ok := errors.AsType[*errGiveUp](context.Cause(inner)); ok {
		err = give
	}
	return x, x.end(err), nil
}

// end is how the run ended.
func (x *run) end(err error) store.RunEnd {
	x.mu.Lock()
	defer x.mu.Unlock()
	now, f := x.s.o.Store.Now(), &x.figures
	e := store.RunEnd{State: store.RunSuccess, Deep: x.deep, Next: nextTurn(x.m.Start, now, x.m.Interval)}
	switch {
	case err != nil:
		e.State, e.Reason, e.Message = store.RunFailed, reasonOf(err), Explain(err)
		if Explain(err) == "internal error" {
			x.log.Error("a mirror failed", "error", err)
		}
		if errors.Is(err, context.DeadlineExceeded) && remote.KindOf(err) == "" {
			e.Reason, e.Message = "timeout", fmt.Sprintf("the run took more than %s; what was copied stays, and the next run goes on", store.MirrorMax)
		}
		if f.Done > 0 && f.Done < f.Total {
			e.Message = fmt.Sprintf("given up after %d of %d tags: %s", f.Done, f.Total, e.Message)
		}
	case f.Failed > 0:
		e.State, e.Reason, e.Message = store.RunFailed, x.reason, fmt.Sprintf("%d of %d tags failed; the first: %s", f.Failed, f.Total, x.first)
		if x.set.Rollback && !x.plan {
			e.Message += "; what the run did was taken back (REPO_MIRROR_ROLLBACK)"
		}
	case len(x.chosen) == 0:
		e.Message = fmt.Sprintf("none of the %d tags upstream is chosen by root_rule; nothing was removed", len(x.all))
	case x.plan:
		e.Message = fmt.Sprintf("%d tags: %d would be copied, %d are unchanged, %d would be removed", f.Total, f.Copied, f.Unchanged, f.Removed)
	default:
		e.Message = fmt.Sprintf("%d tags: %d copied, %d unchanged, %d removed", f.Total, f.Copied, f.Unchanged, f.Removed)
		if f.Skipped > 0 {
			e.Message += fmt.Sprintf(", %d left out", f.Skipped)
		}
	}
	if e.State == store.RunFailed {
		wait := x.s.o.Retry << max(store.MirrorRetries-x.m.Retries, 0)
		if x.m.Interval > 0 {
			wait = min(wait, x.m.Interval)
		}
		e.Retry = now.Add(max(wait, x.retry))
		if x.retry > 0 && e.Next.Before(e.Retry) && !e.Next.IsZero() {
			e.Next = e.Retry
		}
	}
	return e
}

// do looks at everything and copies it.
func (x *run) do(ctx context.Context) error {
	if err := x.prepare(ctx); err != nil {
		return err
	}
	if err := x.list(ctx); err != nil {
		return err
	}
	if len(x.chosen) == 0 {
		return nil
	}
	if err := x.load(ctx); err != nil {
		return err
	}
	stay := make(map[string]bool, len(x.chosen))
	next := x.chosen
	for depth := 0; len(next) > 0 && depth < 4; depth++ { // a signature of an attestation of an image
		for _, t := range next {
			stay[t] = true
		}
		x.tags(ctx, next)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		if next, err = x.companions(ctx, stay); err != nil {
			return err
		}
	}
	x.mu.Lock()
	failed := x.figures.Failed > 0
	x.mu.Unlock()
	if failed && x.set.Rollback && !x.plan {
		return x.rollback(ctx)
	}
	if x.choice.Keep {
		return nil
	}
	return x.remove(ctx, stay)
}

// prepare reads what the mirror says and checks its robot.
func (x *run) prepare(ctx context.Context) (err error) {
	options, org, id, sealed := x.m.Options, false, x.m.UUID, x.m.Secret
	if x.m.Org != nil {
		options, org, id, sealed = x.m.Org.Options, true, x.m.Org.UUID, x.m.Org.Secret
	}
	if x.choice, err = ReadChoice(options); err != nil {
		return err
	}
	rules := x.choice.Tags
	if len(rules) == 0 && org {
		rules = []string{"*"}
	}
	if x.filter, err = ParseFilter(rules); err != nil {
		return err
	}
	secret, err := OpenSecret(x.s.o.Keys, org, id, sealed)
	if err != nil {
		return err
	}
	at, err := remote.ParseReference(x.m.Upstream)
	if err != nil {
		return err
	}
	if at.Ref.Tag != "" {
		x.filter = Filter{globs: []string{at.Ref.Tag}}
	}
	r, err := x.s.Client(at.Host, x.choice, secret)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, r.Close)
	x.up = r.Repository(at.Name)
	if x.plan {
		return nil
	}
	if x.m.RobotName == "" || !x.m.RobotLive {
		return gantry.Errorf(gantry.Denied, "robot", "the mirror's robot is gone or disabled; give the mirror another one")
	}
	rights, err := x.s.o.Store.RepositoryAccess(ctx, x.m.Robot, x.m.Name)
	if err != nil {
		return err
	}
	if rights.Role < gantry.Write {
		return gantry.Errorf(gantry.Denied, "robot", "the mirror's robot %s may not write to the repository; give it the role write", x.m.RobotName)
	}
	return nil
}

// list finds out which tags upstream has, and chooses.
func (x *run) list(ctx context.Context) error {
	last, empty := "", 0
	for {
		page, next, err := x.up.Tags(ctx, last, tagPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			if empty++; empty > maxEmpty {
				return gantry.Errorf(gantry.Invalid, "tags", "%s sends a list of tags that has no end", x.up)
			}
		}
		if x.all = append(x.all, page...); len(x.all) > maxTags {
			return gantry.Errorf(gantry.Invalid, "tags", "%s has more than %d tags, which are not taken", x.up, maxTags)
		}
		if next == "" {
			break
		}
		last = next
	}
	slices.Sort(x.all)
	x.all = slices.Compact(x.all)
	x.chosen = x.filter.Choose(x.all)
	if !x.choice.NoReferrers {
		x.tagged = Companions(x.all, x.chosen)
	}
	return nil
}

// load reads the tags that are here.
func (x *run) load(ctx context.Context) error {
	x.local = map[string]store.MirrorTag{}
	after := ""
	for {
		page, err := x.s.o.Store.MirrorTags(ctx, x.m.Repo, after, tagPage)
		if err != nil {
			return err
		}
		for _, t := range page {
			x.local[t.Name] = t
			after = t.Name
		}
		if len(page) < tagPage {
			return nil
		}
	}
}

// tags works on tags, many at once. What fails is noted with its tag.
func (x *run) tags(ctx context.Context, names []string) {
	x.mu.Lock()
	x.figures.Total += int64(len(names))
	x.mu.Unlock()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(x.s.o.Tags, len(names)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				x.tag(ctx, names[i])
			}
		})
	}
	workers.Wait()
}

// tag works on one tag; a panic is its failure alone.
func (x *run) tag(ctx context.Context, name string) {
	t := &tally{}
	step, err := x.guarded(ctx, name, t)
	if ctx.Err() != nil && err != nil {
		return // the run ends: the tag was not tried to its end
	}
	o := store.MirrorOutcome{Tag: name, Digest: t.digest, Bytes: t.bytes.Load()}
	skip, skipped := errors.AsType[*skipError](err)
	x.mu.Lock()
	defer x.mu.Unlock()
	f := &x.figures
	f.Done++
	switch {
	case skipped:
		f.Skipped++
		o.Outcome, o.Message = store.TagSkipped, skip.why
	case err != nil:
		f.Failed++
		o.Outcome, o.Message = store.TagFailed, Explain(err)
		if o.Message == "internal error" {
			x.log.ErrorContext(ctx, "mirror a tag", "tag", name, "error", err)
		}
		if x.first == "" {
			x.first, x.reason = name+": "+o.Message, reasonOf(err)
		}
		x.despair(err)
	case step == Leave:
		x.streak = 0
		if l := x.local[name]; l.Start.Before(x.row.Started) || x.plan { // else an earlier worker copied it in this run
			f.Unchanged++
		}
		return
	default:
		x.streak = 0
		f.Copied++
		o.Outcome = store.TagCopied
		if l, there := x.local[name]; there {
			o.Message = "was " + string(l.Digest)
		}
	}
	x.pending = append(x.pending, o)
	if len(x.pending) >= maxOutcomes {
		select {
		case x.full <- struct{}{}:
		default:
		}
	}
}

// despair gives the run up when nothing can be had any more. Under mu.
func (x *run) despair(err error) {
	k := remote.KindOf(err)
	if !remote.Away(err) && k != remote.Credentials && k != remote.Blocked {
		x.streak = 0
		return
	}
	x.streak++
	if k == remote.Limited { // and that for longer than a run waits
		if e, ok := errors.AsType[*remote.Error](err); ok {
			x.retry = max(x.retry, e.Retry)
		}
		x.streak = hopeless
	}
	if x.streak >= hopeless {
		x.stop(&errGiveUp{err})
	}
}

func (x *run) guarded(ctx context.Context, name string, t *tally) (step Step, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return x.one(ctx, name, t)
}

// companions returns the tags of upstream that belong to manifests that are
// here, or will be, and that were not looked at yet.
func (x *run) companions(ctx context.Context, stay map[string]bool) (next []string, err error) {
	var ask []gantry.Digest
	take := func(d gantry.Digest) {
		for _, t := range x.tagged[d] {
			if !stay[t] {
				next = append(next, t)
			}
		}
		delete(x.tagged, d)
	}
	for d := range x.tagged {
		if x.plan {
			x.mu.Lock()
			ok := x.seen[d]
			x.mu.Unlock()
			if ok {
				take(d)
				continue
			}
		}
		ask = append(ask, d)
	}
	for chunk := range slices.Chunk(ask, 500) {
		held, err := x.s.o.Store.HeldManifests(ctx, x.m.Repo, chunk)
		if err != nil {
			return nil, err
		}
		for d := range held {
			take(d)
		}
	}
	slices.Sort(next)
	return next, nil
}

// remove deletes the tags that are gone upstream, or not chosen any more.
func (x *run) remove(ctx context.Context, stay map[string]bool) error {
	gone, stuck := Removals(x.local, stay)
	note := func(name, outcome, message string) {
		x.mu.Lock()
		defer x.mu.Unlock()
		if outcome == store.TagRemoved {
			x.figures.Removed++
		}
		x.pending = append(x.pending, store.MirrorOutcome{Tag: name, Outcome: outcome, Digest: x.local[name].Digest, Message: message})
	}
	for _, name := range stuck {
		note(name, store.TagKept, "gone upstream or not chosen, but immutable here")
	}
	for _, name := range gone {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		why := "gone upstream"
		if _, there := slices.BinarySearch(x.all, name); there {
			why = "not chosen by root_rule"
		}
		if x.plan {
			note(name, store.TagRemoved, why)
			continue
		}
		err := x.s.o.Content.DeleteManifest(ctx, x.m.Repo, gantry.Reference{Tag: name}, x.actor)
		switch {
		case err == nil || gantry.Is(err, gantry.NotFound):
			note(name, store.TagRemoved, why)
		case gantry.ReasonOf(err) == gantry.TagImmutable:
			note(name, store.TagKept, why+", but immutable here")
		default:
			return err
		}
	}
	return nil
}

// rollback takes back what the run did. Nobody else writes to a mirror, so all
// that changed since its beginning is its own, also what another worker did.
func (x *run) rollback(ctx context.Context) error {
	after, page := "", max(x.set.Page, 1)
	db := x.s.o.Store
	for {
		touched, err := db.TouchedTags(ctx, x.m.Repo, x.row.Started, after, page)
		if err != nil {
			return err
		}
		for _, t := range touched {
			after = t.Name
			if t.Before == "" && !t.Live || t.Before != "" && t.Live && t.Digest == t.Before {
				continue
			}
			var err error
			if t.Before == "" {
				err = x.s.o.Content.DeleteManifest(ctx, x.m.Repo, gantry.Reference{Tag: t.Name}, x.actor)
			} else {
				err = db.ChangeTag(ctx, store.TagChange{Repo: x.m.Repo, Name: t.Name, Digest: t.Before, Actor: x.actor, Retention: x.set.Retention})
			}
			o := store.MirrorOutcome{Tag: t.Name, Outcome: store.TagBack, Digest: t.Before, Message: "another tag failed"}
			if err != nil && !gantry.Is(err, gantry.NotFound) {
				return err
			}
			if err != nil {
				o.Outcome, o.Message = store.TagFailed, "could not be put back: what it pointed at is gone"
			}
			x.mu.Lock()
			x.pending = append(x.pending, o)
			x.mu.Unlock()
		}
		if len(touched) < page {
			return nil
		}
	}
}

// saves writes how far the run is, until quit. A run that was ended by
// somebody else is stopped.
func (x *run) saves(ctx context.Context, r *jobs.Run, quit <-chan struct{}) {
	tick, beat := time.NewTicker(x.s.o.Save), time.NewTicker(x.s.o.Beat)
	defer tick.Stop()
	defer beat.Stop()
	pace := live{began: time.Now()}
	for {
		select {
		case <-quit:
			return
		case <-ctx.Done():
			return
		case now := <-beat.C:
			f, came := x.seeing()
			x.s.tell(ctx, &x.m, pace.beat(x.row.UUID, f, came, now))
			continue
		case <-tick.C:
		case <-x.full:
		}
		outcomes := x.drain()
		row := x.row
		row.MirrorFigures = x.now()
		err := x.s.o.Store.SaveRun(ctx, row, outcomes)
		if over(err) {
			x.stop(err)
			return
		}
		if err != nil {
			if ctx.Err() == nil {
				x.log.WarnContext(ctx, "write how far a mirror is", "error", err)
			}
			x.mu.Lock()
			x.pending = append(outcomes, x.pending...)
			x.mu.Unlock()
		}
		r.Report(store.Progress{Done: row.Done, Total: row.Total, Unit: "tags"})
		x.s.o.Metrics.MirrorPending(x.m.Name.Namespace, x.m.Name.Name, row.Total-row.Done)
	}
}

func (x *run) now() store.MirrorFigures {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.figures
}

// drain takes the outcomes that were not written yet.
func (x *run) drain() []store.MirrorOutcome {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := x.pending
	x.pending = nil
	return out
}

// seeing is how far the run is, and the bytes that came with those of blobs
// that are on their way.
func (x *run) seeing() (f store.MirrorFigures, came int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.figures, x.figures.Bytes + x.flying.Load()
}

// A live measures a run for those who look on: its bytes by the last seconds,
// its tags, which may take minutes each, by all that this worker did.
type live struct {
	began time.Time
	bytes bus.Pace
}

// beat is how far a run is.
func (l *live) beat(id string, f store.MirrorFigures, came int64, now time.Time) *bus.Beat {
	return &bus.Beat{ID: id, Done: f.Done, Total: f.Total, Unit: "tags", Bytes: came, Rate: l.bytes.Note(now, came), Left: bus.Left(f.Done, f.Total, float64(f.Done)/now.Sub(l.began).Seconds()),
		Figures: map[string]int64{"copied": f.Copied, "unchanged": f.Unchanged, "removed": f.Removed, "skipped": f.Skipped, "failed": f.Failed}}
}

// tell tells the pages that show the mirror, those of its organization's
// mirror, and those of all.
func (s *Service) tell(ctx context.Context, m *store.Mirror, b *bus.Beat) {
	topics := []string{bus.LiveMirrors, bus.LiveMirror(m.Repo)}
	if m.OrgMirror != 0 {
		topics = append(topics, bus.LiveOrgMirror(m.Namespace))
	}
	b.Name = &m.Name
	s.told(ctx, bus.Tell(ctx, s.o.Bus, b, topics...))
}

func (s *Service) told(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && !errors.Is(err, bus.ErrClosed) {
		s.o.Logger.WarnContext(ctx, "tell of a mirror", "error", err)
	}
}
