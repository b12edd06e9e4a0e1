// Package jobs runs background work: queued jobs, schedules that queue them,
// and the dispatcher that turns the journal into jobs. Everything durable is
// in the store; the bus only wakes workers early.
package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// The topics of the bus that wake runners. Whoever queues a job, or writes a row
// of the journal, may wake them after the commit (see store.Options.Told).
const (
	Topic   = "jobs"
	Journal = "journal" // those with dispatchers
)

// breath is the least time between two rounds of a runner that the bus wakes:
// a stream of pushes costs a few looks a second, not one each.
const breath = 100 * time.Millisecond

// A Handler does the work of one job. An error is a failed attempt, after
// which the job is tried again, from its checkpoint; see Permanent and Later.
// ctx ends when the job was lost to another worker or cancelled, or the
// runner stops: the handler then returns soon.
type Handler func(ctx context.Context, r *Run) error

// A Kind is how jobs of one kind are run.
type Kind struct {
	Handle Handler
	Limit  int // jobs of this kind at once in this process; 0 = 1
	// Backoff is the pause after the first failure; it doubles with each
	// further one, up to an hour. 0 = 10 s.
	Backoff time.Duration
}

// A Schedule queues a job every so often; of several instances one does.
type Schedule struct {
	Name  string        // unique; "" = the job's kind
	Every time.Duration // required
	// Jitter is added to Every, a random part of it each time; 0 = a tenth
	// of Every.
	Jitter time.Duration
	// Job is what is queued. While the one before has not ended there is no
	// second one: without a Dedupe it gets one.
	Job store.NewJob
}

// A Dispatch decides which jobs entries of the journal make. It changes
// nothing: it may see an entry more than once, of which only one takes effect.
// After an error the same entries come again.
type Dispatch func(ctx context.Context, entries []store.Entry) ([]store.NewJob, error)

// Options are what New needs. Store is required.
type Options struct {
	Store     *store.DB
	Bus       bus.Bus            // nil: polling alone
	Logger    *slog.Logger       // nil: silent
	Metrics   *telemetry.Metrics // nil: none
	Kinds     map[string]Kind
	Schedules []Schedule
	// Dispatchers by the name of their cursor in the journal. A new one
	// starts at the oldest row that is kept.
	Dispatchers map[string]Dispatch
	Workers     int           // jobs at once; 0 = 8
	Poll        time.Duration // how often the tables are looked at without being woken; 0 = 5 s
	Lease       time.Duration // after which a silent worker has lost its job; 0 = 1 min
	Grace       time.Duration // how long Stop waits before it interrupts handlers; 0 = 10 s
	Holder      string        // the name of this process, at most 64 bytes; "" = a random one
	Beat        time.Duration // how often the progress of a job is told on bus.LiveJobs; 0 = 1 s
}

// A Runner runs jobs until Stop.
type Runner struct {
	o    Options
	wake chan struct{}

	mu      sync.Mutex
	running map[string]int
	total   int

	stop     context.CancelFunc // ends the loop: no further claims
	kill     context.CancelFunc // interrupts handlers
	work     context.Context    // of handlers
	handlers sync.WaitGroup
	loops    sync.WaitGroup
	unbus    func()
}

// New starts a runner.
func New(ctx context.Context, o Options) (*Runner, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Poll, 5*time.Second)
	def(&o.Lease, time.Minute)
	def(&o.Grace, 10*time.Second)
	def(&o.Beat, time.Second)
	if o.Workers <= 0 {
		o.Workers = 8
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Holder == "" {
		o.Holder = rand.Text()
	}
	for i, s := range o.Schedules {
		if s.Every <= 0 || s.Job.Kind == "" {
			return nil, fmt.Errorf("schedule %q needs a time and a kind of job", s.Name)
		}
		if s.Name == "" {
			s.Name = s.Job.Kind
		}
		if s.Job.Dedupe == "" {
			s.Job.Dedupe = "schedule " + s.Name
		}
		if s.Jitter <= 0 {
			s.Jitter = s.Every / 10
		}
		if i == 0 {
			o.Schedules = append([]Schedule(nil), o.Schedules...) // not the caller's
		}
		o.Schedules[i] = s
	}
	r := &Runner{o: o, wake: make(chan struct{}, 1), running: map[string]int{}, unbus: func() {}}
	ctx = context.WithoutCancel(ctx)
	loop, stop := context.WithCancel(ctx)
	r.stop = stop
	r.work, r.kill = context.WithCancel(ctx)
	var woken [2]<-chan struct{}
	for i, topic := range []string{Topic, Journal} {
		if o.Bus == nil || topic == Journal && len(o.Dispatchers) == 0 {
			continue
		}
		c, cancel, err := o.Bus.Waiter(topic)
		if err != nil {
			stop()
			r.kill()
			r.unbus()
			return nil, fmt.Errorf("wait for jobs: %w", err)
		}
		woken[i] = c
		before := r.unbus
		r.unbus = func() { before(); cancel() }
	}
	r.loops.Go(func() { r.loop(loop, woken) })
	return r, nil
}

// Stop claims no further job, waits for the running ones as long as the
// grace, then interrupts them: their checkpoints are kept and their leases
// released, so that another instance goes on at once. It returns an error if
// a handler has not returned when ctx ends.
func (r *Runner) Stop(ctx context.Context) error {
	r.stop()
	r.unbus()
	r.loops.Wait()
	done := make(chan struct{})
	go func() { r.handlers.Wait(); close(done) }()
	grace := time.NewTimer(r.o.Grace)
	defer grace.Stop()
	defer r.kill()
	select {
	case <-done:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	r.kill()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jobs that do not end: %w", ctx.Err())
	}
}

// Wake has the runner look for work now.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Enqueue queues jobs and wakes runners, here and elsewhere.
func (r *Runner) Enqueue(ctx context.Context, jobs ...store.NewJob) error {
	_, err := r.o.Store.Enqueue(ctx, jobs...)
	if err == nil {
		r.queued(jobs...)
		r.Wake()
		if r.o.Bus != nil {
			r.o.Bus.Wake(Topic)
		}
	}
	return err
}

// queued counts jobs.
func (r *Runner) queued(jobs ...store.NewJob) {
	for _, j := range jobs {
		r.o.Metrics.QueuePut(j.Kind)
	}
}

func (r *Runner) loop(ctx context.Context, woken [2]<-chan struct{}) {
	tick := time.NewTicker(r.o.Poll)
	defer tick.Stop()
	full := true // look at everything: at first and at each tick
	for {
		steps := []struct {
			name string
			do   func(context.Context) error
		}{{"dispatch", r.dispatch}, {"claim jobs", r.claim}}
		if full {
			steps = append(steps[:0:0], append([]struct {
				name string
				do   func(context.Context) error
			}{{"schedule", r.schedule}, {"expire jobs", r.expire}}, steps...)...)
		}
		for _, s := range steps {
			if err := s.do(ctx); err != nil && ctx.Err() == nil {
				r.o.Logger.WarnContext(ctx, "background work", "step", s.name, "error", err)
			}
		}
		// Who is woken by the bus takes breath first; a tick, or a job that has
		// ended, cuts it short.
		rested, turn := time.Now().Add(breath), (<-chan time.Time)(nil)
		for again := true; again; {
			again = false
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				full = true
				continue
			case <-woken[0]:
			case <-woken[1]:
			case <-turn:
				turn, rested = nil, time.Time{}
			case <-r.wake:
				full = false
				continue
			}
			full = false
			if d := time.Until(rested); d > 0 {
				again = true
				if turn == nil {
					turn = time.After(d)
				}
			}
		}
	}
}

func (r *Runner) expire(ctx context.Context) error {
	n, err := r.o.Store.ExpireJobs(ctx, 100)
	if n > 0 {
		r.o.Logger.WarnContext(ctx, "jobs of lost workers", "jobs", n)
	}
	return err
}

func (r *Runner) schedule(ctx context.Context) error {
	if len(r.o.Schedules) == 0 {
		return nil
	}
	next, err := r.o.Store.Schedules(ctx)
	if err != nil {
		return err
	}
	now := r.o.Store.Now()
	var errs []error
	for _, s := range r.o.Schedules {
		at, known := next[s.Name]
		if known && at.After(now) && !at.After(now.Add(s.Every+s.Jitter)) {
			continue
		}
		later := time.Duration(mrand.Int64N(int64(s.Jitter) + 1)) //nolint:gosec // jitter
		queued, err := r.o.Store.ScheduleJob(ctx, s.Name, now, s.Every, later, s.Job)
		if queued {
			r.queued(s.Job)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// batch is how many rows of the journal one dispatch reads.
const batch = 200

func (r *Runner) dispatch(ctx context.Context) error {
	if len(r.o.Dispatchers) == 0 {
		return nil
	}
	if _, err := r.o.Store.Sequence(ctx); err != nil {
		return err
	}
	var errs []error
	for name, decide := range r.o.Dispatchers {
		errs = append(errs, r.follow(ctx, name, decide))
	}
	return errors.Join(errs...)
}

func (r *Runner) follow(ctx context.Context, name string, decide Dispatch) error {
	for {
		from, err := r.o.Store.Reader(ctx, name)
		if err != nil {
			return err
		}
		entries, err := r.o.Store.Events(ctx, from, batch)
		if err != nil || len(entries) == 0 {
			return err
		}
		jobs, err := decide(ctx, entries)
		if err != nil {
			return fmt.Errorf("dispatcher %s: %w", name, err)
		}
		err = r.o.Store.AckEvents(ctx, name, from, entries[len(entries)-1].Seq, jobs...)
		if gantry.Is(err, gantry.Conflict) {
			return nil // another instance has done it
		}
		if err == nil {
			r.queued(jobs...)
		}
		if err != nil || len(entries) < batch {
			return err
		}
	}
}

func (r *Runner) claim(ctx context.Context) error {
	r.mu.Lock()
	free := r.o.Workers - r.total
	most := make(map[string]int, len(r.o.Kinds))
	for name, k := range r.o.Kinds {
		most[name] = max(k.Limit, 1) - r.running[name]
	}
	r.mu.Unlock()
	if free <= 0 {
		return nil
	}
	claimed, err := r.o.Store.ClaimJobs(ctx, r.o.Holder, most, free, r.o.Lease)
	if err != nil {
		return err
	}
	got := map[string]int{}
	for _, j := range claimed {
		got[j.Kind]++
	}
	for kind, n := range most {
		if n > 0 {
			r.o.Metrics.QueueGet(kind, got[kind])
		}
	}
	for _, j := range claimed {
		r.mu.Lock()
		r.running[j.Kind]++
		r.total++
		r.mu.Unlock()
		r.handlers.Go(func() {
			defer r.Wake() // there is room for the next one
			defer func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.running[j.Kind]--
				r.total--
			}()
			r.run(j)
		})
	}
	return nil
}

// run runs one claimed job and records how it ended.
func (r *Runner) run(j store.Job) {
	ctx, cancel := context.WithCancelCause(r.work)
	defer cancel(nil)
	run := &Run{Job: j, r: r, cancel: cancel, progress: j.Progress}
	log := r.o.Logger.With("job", j.ID, "kind", j.Kind, "attempt", j.Attempt)
	var renewing sync.WaitGroup
	renew, end := context.WithCancel(context.WithoutCancel(ctx))
	renewing.Go(func() { run.renew(renew) })
	renewing.Go(func() { run.beat(renew) })
	r.tell(ctx, &bus.Beat{ID: run.id(), Attempt: j.Attempt, Changed: true})
	done := r.o.Metrics.Work(ctx, "jobs", j.Kind)
	err := call(ctx, r.o.Kinds[j.Kind].Handle, run)
	done()
	end()
	renewing.Wait()

	final, stop := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer stop()
	defer r.tell(final, &bus.Beat{ID: run.id(), Attempt: j.Attempt, Changed: true})
	db := r.o.Store
	var later *laterError
	switch {
	case gantry.Is(context.Cause(ctx), gantry.Conflict): // lost or cancelled: another's now
		log.WarnContext(final, "job was lost or cancelled")
		return
	case err == nil:
		err = db.FinishJob(final, j, run.last())
	case errors.As(err, &later):
		err = db.ReleaseJob(final, j, later.after)
	case r.work.Err() != nil: // stopping
		err = db.ReleaseJob(final, j, 0)
	default:
		log.WarnContext(final, "job failed", "error", err)
		if _, ok := errors.AsType[*permanentError](err); ok {
			err = db.FailJob(final, j, err.Error())
		} else {
			err = db.RetryJob(final, j, backoff(r.o.Kinds[j.Kind].Backoff, j.Attempt), err.Error())
		}
	}
	if err != nil {
		log.WarnContext(final, "record the end of a job", "error", err) // its lease will pass
	}
}

// call runs the handler; a panic is a failed attempt.
func call(ctx context.Context, h Handler, run *Run) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h(ctx, run)
}

// backoff is the pause after a failed attempt, half of it at random.
func backoff(first time.Duration, attempt int) time.Duration {
	if first <= 0 {
		first = 10 * time.Second
	}
	d := min(first<<min(max(attempt-1, 0), 12), time.Hour)
	return d/2 + time.Duration(mrand.Int64N(int64(d/2)+1)) //nolint:gosec // jitter
}

// A Run is one claim of a job, as its handler sees it.
type Run struct {
	Job store.Job // as it was claimed: Payload, Checkpoint, Attempt

	r      *Runner
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	progress store.Progress
}

// Payload decodes the job's payload into v; a payload that does not fit is a
// permanent failure.
func (r *Run) Payload(v any) error {
	if err := json.Unmarshal(r.Job.Payload, v); err != nil {
		return Permanent(fmt.Errorf("payload: %w", err))
	}
	return nil
}

// Checkpoint decodes what was saved last into v, and reports whether there
// was something.
func (r *Run) Checkpoint(v any) (bool, error) {
	if r.Job.Checkpoint == nil {
		return false, nil
	}
	return true, json.Unmarshal(r.Job.Checkpoint, v)
}

// Report sets the progress that is written with the next renewal of the
// lease. It does no I/O.
func (r *Run) Report(p store.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = p
}

func (r *Run) last() store.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress
}

// Save writes the progress and a checkpoint, from which the next claim goes
// on. It is gantry.Conflict on "job", and ctx ends, when the job was lost.
func (r *Run) Save(ctx context.Context, p store.Progress, checkpoint any) error {
	b, err := json.Marshal(checkpoint)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	r.Report(p)
	return r.save(ctx, b)
}

func (r *Run) save(ctx context.Context, checkpoint json.RawMessage) error {
	err := r.r.o.Store.SaveJob(ctx, r.Job, r.r.o.Lease, r.last(), checkpoint)
	if gantry.Is(err, gantry.Conflict) {
		r.cancel(err)
	}
	return err
}

// renew keeps the lease until ctx ends. When the store has not answered for a
// whole lease, somebody else may have the job.
func (r *Run) renew(ctx context.Context) {
	tick := time.NewTicker(r.r.o.Lease / 3)
	defer tick.Stop()
	good := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		one, cancel := context.WithTimeout(ctx, r.r.o.Lease/3)
		err := r.save(one, nil)
		cancel()
		switch {
		case err == nil:
			good = began
		case gantry.Is(err, gantry.Conflict):
			return
		case time.Since(good) > r.r.o.Lease:
			r.cancel(gantry.Errorf(gantry.Conflict, "job", "the lease could not be renewed"))
			return
		}
	}
}

func (r *Run) id() string { return strconv.FormatInt(r.Job.ID, 10) }

// beat tells of the progress while it changes, and now and then while it does
// not, for pages that have come since, until ctx ends.
func (r *Run) beat(ctx context.Context) {
	tick := time.NewTicker(r.r.o.Beat)
	defer tick.Stop()
	var pace bus.Pace
	var told store.Progress
	began, first := time.Now(), r.last().Done
	pace.Note(began, first)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := r.last()
		rate := pace.Note(time.Now(), p.Done)
		if p == told && rate < 0.01 && (n%5 > 0 || p == (store.Progress{})) {
			continue
		}
		told = p
		// What comes in large steps has no speed between two of them: how long it
		// takes is told by all of this claim.
		all := float64(p.Done-first) / time.Since(began).Seconds()
		r.r.tell(ctx, &bus.Beat{ID: r.id(), Attempt: r.Job.Attempt, Done: p.Done, Total: p.Total, Unit: p.Unit, Rate: rate, Left: bus.Left(p.Done, p.Total, all)})
	}
}

// tell tells the pages that show jobs.
func (r *Runner) tell(ctx context.Context, b *bus.Beat) {
	if err := bus.Tell(ctx, r.o.Bus, b, bus.LiveJobs); err != nil && ctx.Err() == nil && !errors.Is(err, bus.ErrClosed) {
		r.o.Logger.WarnContext(ctx, "tell of a job", "job", b.ID, "error", err)
	}
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// Permanent marks an error after which trying again is of no use.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type laterError struct{ after time.Duration }

func (e *laterError) Error() string { return "again after " + e.after.String() }

// Later is returned by a handler that wants to go on after a while, from its
// checkpoint. It is no failure and no attempt.
func Later(after time.Duration) error { return &laterError{after} }
