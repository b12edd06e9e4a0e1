package content

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// ReplicateOptions are what a Replicator needs. Store and Locations are
// required; the zero value of everything else works.
type ReplicateOptions struct {
	Store *store.DB
	// Locations are those that this process reaches, in order of preference.
	Locations []Location
	// Defaults are the locations that every blob is copied to.
	Defaults []int64
	// Follow makes what is pushed wanted where its namespace needs it. Without
	// it only the copies are made that something else asked for.
	Follow bool
	// Lease is how long a copy is reserved, and renewed: after it, another
	// instance takes the copies of one that died. 0 = 1 min.
	Lease time.Duration
	// AtOnce bounds the copies at a time; 0 = 4.
	AtOnce int
	// Rate bounds the bytes per second of all copies; 0 = no bound.
	Rate int64
	// Poll is the pause where there was nothing to do; 0 = 2 s.
	Poll time.Duration
	// Behind is how long copies to a location that is not this instance's
	// first are left to an instance whose first it is; 0 = 5 s, negative = not.
	Behind  time.Duration
	Timing  Timing
	Logger  *slog.Logger       // nil = none
	Metrics *telemetry.Metrics // nil = none
}

const (
	// firstPause is the pause after a copy's first failure; it doubles up to
	// mostPause.
	firstPause = 10 * time.Second
	mostPause  = 30 * time.Minute
	// copyWithin bounds one copy: what lies in uploads/ for two days without a
	// row is swept.
	copyWithin = 12 * time.Hour
	// followBatch is how many rows of the journal are looked at at a time.
	followBatch = 200
	// healEvery is how often damaged copies are tried to be repaired that
	// could not be before.
	healEvery = time.Minute
)

// A Replicator copies blobs between locations, and verifies and repairs those
// that are in doubt. Any number of processes may have one on the same store.
type Replicator struct {
	o         ReplicateOptions
	log       *slog.Logger
	sources   sources
	collector *Collector
	slots     chan struct{}
	limit     sharedThrottle
	healed    time.Time
}

// NewReplicator returns a Replicator. It starts nothing.
func NewReplicator(o ReplicateOptions) *Replicator {
	o.Lease = cmp.Or(max(o.Lease, 0), time.Minute)
	o.AtOnce = cmp.Or(max(o.AtOnce, 0), 4)
	o.Poll = cmp.Or(o.Poll, 2*time.Second)
	o.Behind = max(cmp.Or(o.Behind, 5*time.Second), 0)
	o.Locations = withHealth(o.Locations)
	r := &Replicator{o: o, log: o.Logger, slots: make(chan struct{}, o.AtOnce)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.limit.rate = o.Rate
	r.sources = sources{locations: o.Locations, timing: o.Timing.orDefaults(), log: r.log, metrics: o.Metrics, buffers: &sync.Pool{New: newPumpBuffer}, doubt: r.doubt}
	r.collector = NewCollector(CollectOptions{Store: o.Store, Locations: o.Locations, Logger: o.Logger, Metrics: o.Metrics})
	return r
}

func (r *Replicator) doubt(ctx context.Context, d gantry.Digest, location int64, path string) {
	if err := r.o.Store.Doubt(context.WithoutCancel(ctx), d, location, path); err != nil {
		r.log.WarnContext(ctx, "mark a suspect object", "digest", d, "error", err)
	}
}

// Loop works until ctx is done. Errors are logged.
func (r *Replicator) Loop(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := r.Round(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "replication", "error", err)
		}
		if n > 0 && err == nil {
			continue
		}
		t := time.NewTimer(r.o.Poll)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// Round follows the journal, copies what is due and claimed now, and looks at
// what is in doubt. It returns how much of that there was; a location that is
// down is left alone.
func (r *Replicator) Round(ctx context.Context) (n int, err error) {
	var errs []error
	if r.o.Follow {
		for ctx.Err() == nil {
			wanted, more, err := r.o.Store.WantPushed(ctx, r.o.Defaults, followBatch)
			errs = append(errs, err)
			n += wanted
			if err != nil || !more {
				break
			}
		}
	}
	rules, err := r.o.Store.StorageRules(ctx)
	if err != nil {
		return n, errors.Join(append(errs, err)...)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	for i, l := range r.o.Locations {
		if !rules.Active(l.ID) {
			continue
		}
		behind := r.o.Behind
		if i == 0 {
			behind = 0
		}
		// One location that hangs keeps no other waiting but within this round.
		work.Go(func() {
			done, err := r.fillLocation(ctx, l, behind)
			mu.Lock()
			defer mu.Unlock()
			n += done
			errs = append(errs, err)
		})
	}
	work.Wait()
	healed, err := r.heal(ctx)
	return n + healed, errors.Join(append(errs, err)...)
}

// fillLocation makes the copies to a location that are due, a batch of them.
func (r *Replicator) fillLocation(ctx context.Context, l Location, behind time.Duration) (n int, err error) {
	if up, _ := l.Health.up(true); !up {
		if at := l.Health.Standing(); at.Writes == BreakerOpen || at.Reads != BreakerClosed {
			return 0, nil // its copies wait
		}
	}
	claimed, err := r.o.Store.ClaimCopies(ctx, l.ID, r.o.Lease, behind, 2*r.o.AtOnce)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	var work sync.WaitGroup
	for i, c := range claimed {
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			r.giveBack(ctx, claimed[i:])
			work.Wait()
			return n, ctx.Err()
		}
		if l.Health.Standing().Writes == BreakerOpen {
			<-r.slots
			r.giveBack(ctx, claimed[i:])
			break
		}
		if time.Since(began) > r.o.Lease/3 { // it has waited for those before it
			if err := r.o.Store.RenewCopy(ctx, c, r.o.Lease); err != nil {
				<-r.slots
				if gantry.Is(err, gantry.Conflict) {
					continue
				}
				r.giveBack(ctx, claimed[i:])
				work.Wait()
				return n, err
			}
		}
		n++
		work.Go(func() {
			defer func() { <-r.slots }()
			r.copyOne(ctx, l, c)
		})
	}
	work.Wait()
	return n, nil
}

// giveBack makes claimed copies due again soon.
func (r *Replicator) giveBack(ctx context.Context, all []store.Copy) {
	ctx = context.WithoutCancel(ctx)
	for _, c := range all {
		if err := r.o.Store.RenewCopy(ctx, c, time.Second); err != nil && !gantry.Is(err, gantry.Conflict) {
			r.log.WarnContext(ctx, "give a copy back", "digest", c.Digest, "error", err)
		}
	}
}

// copyOne makes one copy and tells how it ended.
func (r *Replicator) copyOne(ctx context.Context, l Location, c store.Copy) {
	run, cancel := context.WithTimeout(ctx, copyWithin)
	defer cancel()
	var renewing sync.WaitGroup
	stop := make(chan struct{})
	renewing.Go(func() { r.renew(run, cancel, c, stop) })
	done, err := r.copy(run, l, c)
	close(stop)
	renewing.Wait()
	last, end := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer end()
	outcome := "done"
	switch {
	case err == nil && !done:
		outcome = "dropped"
	case ctx.Err() != nil:
		r.giveBack(last, []store.Copy{c})
		return
	case err != nil:
		outcome = "failed"
		pause := min(firstPause<<min(c.Attempts, 10), mostPause)
		pause = pause/2 + time.Duration(mrand.Int64N(int64(pause))) //nolint:gosec // jitter
		r.log.WarnContext(last, "a copy failed; it is tried again", "digest", c.Digest, "location", l.Name, "attempt", c.Attempts+1, "after", pause.String(), "error", err)
		if err := r.o.Store.FailCopy(last, c, pause, err.Error()); err != nil {
			r.log.WarnContext(last, "record a failed copy", "digest", c.Digest, "error", err)
		}
	}
	if m := r.o.Metrics; m != nil {
		m.Copies.WithLabelValues(l.Name, outcome).Inc()
		if outcome == "done" {
			m.CopiedBytes.WithLabelValues(l.Name).Add(float64(c.Size))
		}
	}
}

// renew keeps the claim of a copy that takes long.
func (r *Replicator) renew(ctx context.Context, lost context.CancelFunc, c store.Copy, stop <-chan struct{}) {
	tick := time.NewTicker(r.o.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.o.Store.RenewCopy(ctx, c, r.o.Lease); gantry.Is(err, gantry.Conflict) {
			lost()
			return
		}
	}
}

// copy brings a blob to a location: its bytes to a name that nobody else uses,
// hashed on their way, then to the canonical key where the engine can do that
// at once and the key is not in the trash, then the row. done is false when
// the copy is not needed any more.
func (r *Replicator) copy(ctx context.Context, l Location, c store.Copy) (done bool, err error) {
	var places []store.Place
	for _, p := range c.Places {
		if p.Location != l.ID {
			places = append(places, p)
		}
	}
	from := r.sources.order(c.Digest, places)
	if len(from) == 0 {
		return false, errors.New("no location that can be reached has the bytes")
	}
	o, err := r.sources.openBlob(ctx, c.Digest, c.Size, from)
	if err != nil {
		return false, err
	}
	defer func() { _ = o.Close() }() // only read
	temp := "uploads/copy-" + strings.ToLower(rand.Text())
	key := c.Digest.Key()
	path, err := r.bring(ctx, l, c, o, temp, key)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	done, err = r.o.Store.CopyDone(ctx, c, path)
	if errors.Is(err, store.ErrKeyFenced) && path == "" {
		// The key went into the trash meanwhile. The bytes are at temp too.
		path = temp
		done, err = r.o.Store.CopyDone(ctx, c, path)
	}
	if path == "" || !done && err == nil {
		if err := l.Engine.Delete(context.WithoutCancel(ctx), temp); err != nil {
			r.log.WarnContext(ctx, "remove a temporary object; it is swept later", "location", l.Name, "key", temp, "error", err)
		}
	}
	return done, err
}

// bring writes the bytes to temp and, if that can be done, gives them the key.
// It returns the path for the placement. When it fails, nothing is left at
// temp, if the location lets it be removed.
func (r *Replicator) bring(ctx context.Context, l Location, c store.Copy, from io.Reader, temp, key string) (path string, err error) {
	began := time.Now()
	u, err := l.Engine.Upload(ctx, temp, 0, nil)
	l.Health.Writes(time.Since(began), err)
	if err != nil {
		return "", err
	}
	complete := false
	defer func() {
		err = errors.Join(err, u.Close())
		if err == nil {
			return
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		remove := func() error { return l.Engine.Abort(last, temp, nil) }
		if complete {
			remove = func() error { return l.Engine.Delete(last, temp) }
		}
		if e := remove(); e != nil {
			r.log.WarnContext(last, "remove a temporary object; it is swept later", "location", l.Name, "key", temp, "error", e)
		}
	}()
	h := gantry.NewHash(c.Digest.Algorithm())
	if h == nil {
		return "", fmt.Errorf("no hash for %q", c.Digest)
	}
	told := &toldWriter{w: u, health: l.Health}
	size, err := copyHashing(ctx, told, h, limitedReader{ctx, from, &r.limit}, nil)
	switch {
	case err != nil:
		return "", err
	case size != c.Size || gantry.DigestOf(c.Digest.Algorithm(), h) != c.Digest:
		// A file of this machine is not checked by whoever reads it.
		r.doubtAll(ctx, c)
		return "", fmt.Errorf("the bytes of %s have another digest", c.Digest)
	}
	if c.Fenced {
		err = u.Complete(ctx)
		l.Health.Writes(0, err)
		complete = err == nil
		return temp, err
	}
	err = blob.PublishUpload(ctx, l.Engine, u, temp, key)
	l.Health.Writes(0, err)
	complete = err == nil || gantry.Is(err, gantry.Unsupported)
	if !gantry.Is(err, gantry.Unsupported) {
		return "", err
	}
	// An object store. A copy of its own is cheap; without one the bytes stay
	// where they are, and relocation brings them to their key.
	if s, ok := blob.As[blob.Copier](l.Engine); ok {
		if err := s.Copy(ctx, temp, key); err != nil {
			l.Health.Writes(0, err)
			return "", err
		}
		return "", nil
	}
	return temp, nil
}

// doubtAll doubts all copies of a blob, for it is not known which one gave
// other bytes.
func (r *Replicator) doubtAll(ctx context.Context, c store.Copy) {
	for _, p := range c.Places {
		r.doubt(ctx, c.Digest, p.Location, p.Path)
	}
}

// toldWriter tells a Health how writes go.
type toldWriter struct {
	w      io.Writer
	health *Health
}

func (t *toldWriter) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	if err != nil {
		t.health.Writes(0, err)
	}
	return n, err
}

// limitedReader reads at the shared rate.
type limitedReader struct {
	ctx   context.Context //nolint:containedctx // of the copy; io.Reader has none
	r     io.Reader
	limit *sharedThrottle
}

func (l limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if e := l.limit.wait(l.ctx, n); e != nil && err == nil {
		err = e
	}
	return n, err
}

// A sharedThrottle bounds a rate of bytes over all who use it.
type sharedThrottle struct {
	rate int64 // bytes per second; 0 = no bound
	mu   sync.Mutex
	next time.Time // when the next byte may go
}

func (t *sharedThrottle) wait(ctx context.Context, n int) error {
	if t.rate <= 0 || n == 0 {
		return ctx.Err()
	}
	t.mu.Lock()
	now := time.Now()
	if t.next.Before(now) {
		t.next = now
	}
	ahead := t.next.Sub(now)
	t.next = t.next.Add(time.Duration(float64(n) / float64(t.rate) * float64(time.Second)))
	t.mu.Unlock()
	if ahead <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// heal verifies what is in doubt and now and then what is damaged, and repairs
// it from other locations, a batch at a time. It returns how many copies are
// not in doubt any more.
func (r *Replicator) heal(ctx context.Context) (n int, err error) {
	n, _, err = r.healSome(ctx, false)
	if err == nil && time.Since(r.healed) >= healEvery {
		r.healed = time.Now()
		var more int
		more, _, err = r.healSome(ctx, true)
		n += more
	}
	return n, err
}

// Heal verifies all that is in doubt or damaged and repairs it from other
// locations, as far as that can be done now.
func (r *Replicator) Heal(ctx context.Context) (sum VerifyReport, err error) {
	for _, damaged := range []bool{false, true} {
		for {
			n, report, err := r.healSome(ctx, damaged)
			sum.Objects += report.Objects
			sum.Bytes += report.Bytes
			sum.Damaged += report.Damaged
			sum.Repaired += report.Repaired
			sum.Lost += report.Lost
			if err != nil {
				return sum, err
			}
			if n == 0 || damaged && report.Repaired == 0 {
				break
			}
		}
	}
	return sum, nil
}

// healSome does a batch of Heal.
func (r *Replicator) healSome(ctx context.Context, damaged bool) (n int, report VerifyReport, err error) {
	var ids []int64
	for _, l := range r.o.Locations {
		if up, _ := l.Health.up(false); up {
			ids = append(ids, l.ID)
		}
	}
	if len(ids) == 0 {
		return 0, report, nil
	}
	const batch = 100
	all, err := r.o.Store.SuspectPlacements(ctx, ids, damaged, batch)
	if err != nil {
		return 0, report, err
	}
	for _, p := range all {
		failed, err := r.collector.verifyOne(ctx, r.collector.locations[p.Location], p, VerifyOptions{Repair: true}, nil, &report)
		if err != nil {
			return n, report, err
		}
		if !failed {
			n++
		}
	}
	if report.Damaged > 0 {
		r.log.WarnContext(ctx, "damaged copies", "damaged", report.Damaged, "repaired", report.Repaired, "lost", report.Lost)
	}
	return n, report, nil
}
