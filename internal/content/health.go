package content

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A BreakerState says whether a location is used.
type BreakerState string

// The states of a breaker. A half-open one waits for a probe to succeed.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half-open"
)

const (
	// readFailures in a row open the breaker of reads. Writes open theirs with
	// the first: engines have tried again by themselves then.
	readFailures  = 2
	writeFailures = 1
	// A breaker that opened is tried again after firstOpen, and after each
	// failed trial after twice the time, up to mostOpen; a fifth more or less
	// at random.
	firstOpen = time.Second
	mostOpen  = 30 * time.Second
	// A location that gave manyLies blobs with other bytes within liesFor is
	// not written, and read after the others, until that is over.
	manyLies = 3
	liesFor  = time.Minute
	// mostDesperate bounds the calls of a location whose breaker is open, where
	// there is no other one to ask.
	mostDesperate = 16
)

// errSlow is the failure of a location that did not answer in time.
var errSlow = errors.New("no answer in time")

// Health is how a location has answered this process of late. Reads and
// writes have a breaker each: a full store can still be read. It is safe for
// concurrent use, and a nil Health is a location that is always well.
type Health struct {
	mu            sync.Mutex
	now           func() time.Time
	reads, writes breaker
	latency       time.Duration
	last          string // the last failure
	lastAt        time.Time
	sentAt        time.Time                   // when a client was last sent there by a URL
	lies          map[gantry.Digest]time.Time // blobs that it gave with other bytes, of late
	desperate     chan struct{}
}

// NewHealth returns the Health of a location that nobody has asked yet. now is
// the clock; nil = time.Now.
func NewHealth(now func() time.Time) *Health {
	if now == nil {
		now = time.Now
	}
	return &Health{now: now, desperate: make(chan struct{}, mostDesperate)}
}

type breaker struct {
	failures int       // in a row
	trials   int       // failed ones since it opened
	until    time.Time // when it may be tried; zero: it is closed
}

func (b *breaker) state(now time.Time) BreakerState {
	switch {
	case b.until.IsZero():
		return BreakerClosed
	case now.Before(b.until):
		return BreakerOpen
	}
	return BreakerHalfOpen
}

// fail counts a failure; most of them in a row open the breaker. What fails
// while it is open began before, and says nothing new.
func (b *breaker) fail(now time.Time, most int) {
	b.failures++
	switch b.state(now) {
	case BreakerOpen:
		return
	case BreakerHalfOpen:
		b.trials++
	case BreakerClosed:
		if b.failures < most {
			return
		}
	}
	pause := min(firstOpen<<min(b.trials, 10), mostOpen)
	pause += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(pause)) //nolint:gosec // jitter
	b.until = now.Add(pause)
}

// A Standing is what a Health says.
type Standing struct {
	Reads, Writes BreakerState
	Latency       time.Duration // of answers, smoothed; 0 = not known
	Last          string        // the last failure, for superusers; "" = none
	LastAt        time.Time
	Failing       bool      // one of the breakers is not closed
	Due           bool      // a breaker waits for a probe
	Doubtful      bool      // a read has failed, which is not enough to open the breaker
	SentAt        time.Time // when a client was last sent there by a URL; zero = never
}

// Standing returns how the location stands.
func (h *Health) Standing() Standing {
	if h == nil {
		return Standing{Reads: BreakerClosed, Writes: BreakerClosed}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	s := Standing{Reads: h.reads.state(now), Writes: h.writes.state(now), Latency: h.latency, Last: h.last, LastAt: h.lastAt, SentAt: h.sentAt}
	s.Doubtful = s.Reads == BreakerClosed && h.reads.failures > 0
	if s.Writes == BreakerClosed {
		s.Writes = s.Reads // see up
	}
	due := s.Reads == BreakerHalfOpen || s.Writes == BreakerHalfOpen
	if h.lying(now) {
		s.Writes = BreakerOpen
	}
	s.Failing = s.Reads != BreakerClosed || s.Writes != BreakerClosed
	s.Due = due
	return s
}

// up reports whether the location is to be used for reads, or writes, and its
// latency. One that answers no read is not written: a write finds out later.
func (h *Health) up(write bool) (ok bool, latency time.Duration) {
	if h == nil {
		return true, 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed(write) && (!write || !h.lying(h.now())), h.latency
}

// closed is about the breakers alone.
func (h *Health) closed(write bool) bool {
	return h.reads.until.IsZero() && (!write || h.writes.until.IsZero())
}

// lied tells of a blob that the location gave with other bytes.
func (h *Health) lied(d gantry.Digest) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	h.last, h.lastAt = "it gave bytes that are not the blob "+string(d), now
	if h.lies == nil {
		h.lies = map[gantry.Digest]time.Time{}
	}
	maps.DeleteFunc(h.lies, func(_ gantry.Digest, at time.Time) bool { return now.Sub(at) >= liesFor })
	if len(h.lies) < 2*manyLies {
		h.lies[d] = now
	}
}

func (h *Health) lying(now time.Time) bool {
	n := 0
	for _, at := range h.lies {
		if now.Sub(at) < liesFor {
			n++
		}
	}
	return n >= manyLies
}

// trusted reports whether the location gave no wrong bytes of late, or few.
func (h *Health) trusted() bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.lying(h.now())
}

// enter asks to use a location although its breaker is open, for there is no
// other. The caller calls leave, unless ok is false: enough others try.
func (h *Health) enter(write bool) (leave func(), ok bool) {
	if h == nil {
		return func() {}, true
	}
	h.mu.Lock()
	closed := h.closed(write)
	h.mu.Unlock()
	if closed {
		return func() {}, true
	}
	select {
	case h.desperate <- struct{}{}:
		return sync.OnceFunc(func() { <-h.desperate }), true
	default:
		return nil, false
	}
}

// sends notes that a client was sent to the location: how it fares there, nobody
// tells.
func (h *Health) sends() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sentAt = h.now()
}

// Reads tells of a call that read: how long it took to the first answer, and
// its error.
func (h *Health) Reads(took time.Duration, err error) { h.tell(false, took, err) }

// Writes tells of a call that wrote.
func (h *Health) Writes(took time.Duration, err error) { h.tell(true, took, err) }

func (h *Health) tell(write bool, took time.Duration, err error) {
	if h == nil || errors.Is(err, context.Canceled) {
		return
	}
	failed := isFailure(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if !failed && took > 0 && !write {
		if h.latency == 0 {
			h.latency = took
		} else {
			h.latency += (took - h.latency) / 4
		}
	}
	b, most := &h.reads, readFailures
	if write {
		b, most = &h.writes, writeFailures
	}
	if failed {
		h.last, h.lastAt = err.Error(), now
		b.fail(now, most)
		return
	}
	if b.state(now) != BreakerOpen { // a late answer of a call from before
		*b = breaker{}
	}
}

// isFailure reports whether err speaks against the location that returned it.
func isFailure(err error) bool {
	if err == nil {
		return false
	}
	if e, ok := errors.AsType[*gantry.Error](err); ok {
		return e.Code == gantry.Unavailable || e.Code == gantry.Limited
	}
	return true
}

const (
	// A location is far slower than another when it takes farSlower times as
	// long, and more than slowAtAll.
	farSlower = 8
	slowAtAll = 200 * time.Millisecond
)

// A candidate is a location as the choice sees it.
type candidate struct {
	down     bool          // its breaker is open
	latency  time.Duration // 0 = not known
	fallback bool          // it is one of the default locations
	refused  bool          // it takes no new objects
	suspect  bool          // its bytes may be damaged
}

// readOrder returns the candidates, given in order of preference, in the order
// in which a read tries them: those that are well, of these the far slower
// ones later; then those that are down; those whose bytes are suspect last.
func readOrder(all []candidate) []int {
	best := time.Duration(0)
	for _, c := range all {
		if !c.down && !c.suspect && c.latency > 0 && (best == 0 || c.latency < best) {
			best = c.latency
		}
	}
	return inClasses(all, 6, func(_ int, c candidate) int {
		class := 0
		switch {
		case c.down:
			class = 2
		case c.crawls(best):
			class = 1
		}
		if c.suspect {
			class += 3
		}
		return class
	})
}

// writeOrder returns the candidates, given in order of preference, in the
// order in which an upload tries them: the first, then default locations, then
// others; the far slower ones after all that are well, and those that are down
// after these. One that takes no new objects is left out.
func writeOrder(all []candidate) []int {
	best := time.Duration(0)
	for _, c := range all {
		if !c.down && !c.refused && c.latency > 0 && (best == 0 || c.latency < best) {
			best = c.latency
		}
	}
	first := -1
	return inClasses(all, 9, func(i int, c candidate) int {
		if c.refused {
			return -1
		}
		if first < 0 {
			first = i
		}
		class := 2
		switch {
		case i == first:
			class = 0
		case c.fallback:
			class = 1
		}
		switch {
		case c.down:
			class += 6
		case c.crawls(best):
			class += 3
		}
		return class
	})
}

// crawls reports whether the candidate is far slower than the best one, whose
// latency is given.
func (c candidate) crawls(best time.Duration) bool {
	return best > 0 && c.latency > slowAtAll && c.latency > farSlower*best
}

// inClasses returns the indexes of all by class, without those of a class
// below 0.
func inClasses(all []candidate, classes int, class func(int, candidate) int) []int {
	order := make([]int, 0, len(all))
	of := make([]int, len(all))
	for i, c := range all {
		of[i] = class(i, c)
	}
	for k := range classes {
		for i := range all {
			if of[i] == k {
				order = append(order, i)
			}
		}
	}
	return order
}
