package content

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

const (
	// learnEvery is how often the states of locations and the wishes of
	// namespaces are read, where there is more than one location.
	learnEvery = 5 * time.Second
	// watchEvery is how often it is looked for locations to be probed.
	watchEvery = 250 * time.Millisecond
	// probeWithin bounds one probe.
	probeWithin = 10 * time.Second
	// probeSent is how often a location is asked that clients are sent to.
	probeSent = time.Second
)

// due reports whether a location that stands so is to be probed, which it was
// last that long ago. several: it is not the only one.
func (t Timing) due(at Standing, several bool, ago time.Duration, now time.Time) bool {
	every, sent := t.Probe, now.Sub(at.SentAt) < t.Probe+probeSent
	switch {
	case at.Due:
		return true
	case !several && !sent: // who asks it tells how it fares
		return false
	case at.Doubtful:
		return true
	case sent && at.Reads == BreakerClosed:
		every = min(every, probeSent)
	}
	return ago >= every
}

// withHealth gives each location a Health.
func withHealth(all []Location) []Location {
	all = slices.Clone(all)
	for i := range all {
		if all[i].Health == nil {
			all[i].Health = NewHealth(nil)
		}
	}
	return all
}

func newPumpBuffer() any { b := make([]byte, pumpSize); return &b }

// Locations are the locations in order of preference, each with its Health.
func (s *Store) Locations() []Location { return slices.Clone(s.locations) }

// Rules are the states of the locations and the wishes of namespaces, as they
// were a few seconds ago.
func (s *Store) Rules() *store.StorageRules { return s.rules.Load() }

// learn reads the rules. When the database is away, those of before go on.
func (s *Store) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, learnEvery)
	defer cancel()
	r, err := s.db.StorageRules(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "read the states of storage locations", "error", err)
		return
	}
	s.rules.Store(r)
}

// watch probes locations and learns the rules, until Close.
func (s *Store) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	probed := make([]time.Time, len(s.locations))
	busy := make([]chan struct{}, len(s.locations)) // closed when the probe has ended
	learned := time.Now()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		if len(s.locations) > 1 && time.Since(learned) >= learnEvery {
			learned = time.Now()
			s.learn(ctx)
		}
		for i, l := range s.locations {
			if busy[i] != nil {
				select {
				case <-busy[i]:
					busy[i] = nil
				default:
					continue // one probe of a location at a time
				}
			}
			at := l.Health.Standing()
			if !s.sources.timing.due(at, len(s.locations) > 1, time.Since(probed[i]), time.Now()) {
				continue
			}
			probed[i] = time.Now()
			done := make(chan struct{})
			busy[i] = done
			go func() {
				defer close(done)
				s.probe(ctx, l, at)
			}()
		}
	}
}

// probe asks a location: whether it answers, and if it has failed to write,
// whether it does so now.
func (s *Store) probe(ctx context.Context, l Location, at Standing) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	began := time.Now()
	if at.Reads != BreakerOpen {
		within, cancel := context.WithTimeout(ctx, s.sources.timing.FirstByte)
		_, err := l.Engine.Stat(within, blob.VerifyKey)
		cancel()
		took := time.Since(began)
		if err == nil && took > s.sources.timing.FirstByte {
			err = errSlow
		}
		if gantry.Is(err, gantry.NotFound) {
			err = nil
		}
		l.Health.Reads(took, err)
		if err != nil {
			s.log.WarnContext(ctx, "a storage location does not answer", "location", l.Name, "error", err)
		}
	}
	if at.Writes == BreakerHalfOpen && !s.settings.Load().ReadOnly {
		began = time.Now()
		err := l.Engine.Check(ctx)
		if free, total, e := l.Engine.Free(ctx); err == nil && e == nil && total > 0 && free == 0 {
			err = blob.DiskFull(nil)
		}
		l.Health.Writes(time.Since(began), err)
	}
	up := 1.0
	if l.Health.Standing().Failing {
		up = 0
	}
	if s.metrics != nil {
		s.metrics.StorageUp.WithLabelValues(l.Name).Set(up)
	}
}

// doubt marks an object that is missing or not its blob, so that it is read
// only where there is no other, and verified.
func (s *Store) doubt(ctx context.Context, d gantry.Digest, location int64, path string) {
	if s.settings.Load().ReadOnly {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.db.Doubt(ctx, d, location, path); err != nil {
		s.log.WarnContext(ctx, "mark a suspect object", "digest", d, "location", s.byID[location].Name, "error", err)
	}
}

// writeTo returns where an upload of the namespace may go, best first. None of
// them is a place that the namespace excludes.
func (s *Store) writeTo(ns gantry.AccountID) []Location {
	if len(s.locations) == 1 {
		return s.locations
	}
	rules, replication := s.rules.Load(), s.settings.Load().Replication
	list := make([]candidate, len(s.locations))
	first := true
	for i, l := range s.locations {
		up, latency := l.Health.up(true)
		list[i] = candidate{down: !up, latency: latency, fallback: l.Fallback, refused: !rules.Takes(ns, l.ID)}
		if !list[i].refused {
			list[i].refused = !first && !replication && !l.Fallback
			first = false
		}
	}
	order := writeOrder(list)
	all := make([]Location, 0, len(order))
	for _, i := range order {
		all = append(all, s.locations[i])
	}
	return all
}

// others reports whether there is a location that is well for an upload of the
// namespace, other than that one; better: it comes before that one.
func (s *Store) others(ns gantry.AccountID, than int64) (some, better bool) {
	before := true
	for _, l := range s.writeTo(ns) {
		if l.ID == than {
			before = false
			continue
		}
		if up, _ := l.Health.up(true); up {
			return true, before
		}
	}
	return false, false
}

// mostWaiting is how much of an upload may wait in memory to be sent, as far as
// it counts for how long sending it may take.
const mostWaiting = 8 << 20

// toSend is how long a call may take that stores the rest of an upload.
func (s *Store) toSend(ses *session) time.Duration {
	t := s.sources.timing
	return t.Stall + time.Duration(min(ses.received, mostWaiting))*time.Second/time.Duration(t.Floor)
}

// within makes a call of the upload's location. Where another location is well,
// the call is given up after most, or when the location turns out to fail
// or to crawl meanwhile; the error is errSlow then. interrupt ends a call that
// has no context; nil: the context does.
func (s *Store) within(ctx context.Context, ses *session, most time.Duration, interrupt func(), call func(context.Context) error) error {
	l := s.byID[ses.Location]
	if l.Local || len(s.locations) == 1 {
		return call(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done, watched := make(chan struct{}), make(chan struct{})
	began, timing := time.Now(), s.sources.timing
	late := time.AfterFunc(min(timing.FirstByte, most), func() {
		defer close(watched)
		tick := time.NewTicker(min(watchEvery, timing.FirstByte))
		defer tick.Stop()
		for {
			up, _ := l.Health.up(true)
			some, better := s.others(ses.Namespace, l.ID)
			if took := time.Since(began); some && (!up || took >= most || better && took >= timing.Stall) {
				cancel(errSlow)
				if interrupt != nil {
					interrupt()
				}
				return
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	err := call(ctx)
	close(done)
	if !late.Stop() {
		<-watched // it interrupts nothing that comes later
	}
	if err != nil && context.Cause(ctx) == errSlow { //nolint:errorlint // set above
		err = fmt.Errorf("%w: %v", errSlow, err) //nolint:errorlint // its cancellation is not the client's
	}
	cancel(nil)
	return err
}

// uploadError is the failure of an upload as a client may see it: where its
// location alone is full, it may start again.
func (s *Store) uploadError(ctx context.Context, ses *session, doing string, err error) error {
	l := s.byID[ses.Location]
	if gantry.ReasonOf(err) != gantry.DiskFull || !slices.ContainsFunc(s.writeTo(ses.Namespace), func(o Location) bool {
		up, _ := o.Health.up(true)
		return o.ID != l.ID && up
	}) {
		return s.storageError(ctx, l, doing, err)
	}
	return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: time.Second,
		Detail: "the storage location of this upload is full; start the upload again, and it goes to another", Err: err}
}

// home is where an upload of the namespace goes while everything is well.
func (s *Store) home(ns gantry.AccountID) int64 {
	rules := s.rules.Load()
	for _, l := range s.locations {
		if len(s.locations) == 1 || rules.Takes(ns, l.ID) {
			return l.ID
		}
	}
	return 0
}

// errNoPlace refuses an upload for which there is no location.
func errNoPlace() error {
	return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: 30 * time.Second,
		Detail: "no storage location takes this namespace's uploads at the moment; try again later"}
}
