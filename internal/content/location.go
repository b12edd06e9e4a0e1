package content

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// A Location is a place that keeps objects: an engine, and the row that
// placements name it by.
type Location struct {
	ID     int64  // store.EnsureLocation of Name
	Name   string // key of DISTRIBUTED_STORAGE_CONFIG
	Engine blob.Engine
	// Local is on this machine's disk: it answers at once or fails, and its
	// objects reach clients by sendfile.
	Local bool
	// Fallback: uploads go here when the preferred location is away, before
	// any other: it is one of DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS.
	Fallback bool
	// Health is shared by all who use the location; nil = always well.
	Health *Health
}

// Timing says what a slow location is. The zero value works.
type Timing struct {
	// FirstByte is how long a location may take to answer, before the next
	// one is asked too; 0 = 2 s.
	FirstByte time.Duration
	// Stall is how long a read may give no byte, and over which time its rate
	// is judged; 0 = 10 s.
	Stall time.Duration
	// Floor is the rate, in bytes per second, below which a read goes on from
	// another location, if there is one; 0 = 32 KiB/s.
	Floor int64
	// Patience is how long a read waits for the last location to answer, and
	// an upload for one call; 0 = 30 s.
	Patience time.Duration
	// Brief is Patience where there are several locations and the last one is
	// known to fail; 0 = 10 s.
	Brief time.Duration
	// Probe is how often a location is asked that nobody else asks; 0 = 5 s.
	// One that clients are sent to by URLs is asked each second at least, and
	// one of which a read has failed at once.
	Probe time.Duration
}

func (t Timing) orDefaults() Timing {
	t.FirstByte = cmp.Or(t.FirstByte, 2*time.Second)
	t.Stall = cmp.Or(t.Stall, 10*time.Second)
	t.Floor = cmp.Or(t.Floor, 32<<10)
	t.Patience = cmp.Or(t.Patience, 30*time.Second)
	t.Brief = min(cmp.Or(t.Brief, 10*time.Second), t.Patience)
	t.Probe = cmp.Or(t.Probe, 5*time.Second)
	return t
}

// sources reads blobs from whichever location has them.
type sources struct {
	locations []Location // in order of preference
	timing    Timing
	log       *slog.Logger
	metrics   *telemetry.Metrics
	buffers   *sync.Pool // of *[]byte, pumpSize long
	// doubt is told of an object that is missing or not its blob.
	doubt func(ctx context.Context, d gantry.Digest, location int64, path string)
}

// A copyAt is where a blob's bytes are.
type copyAt struct {
	Location
	key, path string
}

// order returns where to read the blob, best first.
func (s *sources) order(d gantry.Digest, places []store.Place) []copyAt {
	if len(places) == 1 { // the usual case
		for _, l := range s.locations {
			if l.ID == places[0].Location {
				return []copyAt{{l, cmp.Or(places[0].Path, d.Key()), places[0].Path}}
			}
		}
		return nil
	}
	var all []copyAt
	var list []candidate
	for _, l := range s.locations {
		for _, p := range places {
			if p.Location == l.ID {
				up, latency := l.Health.up(false)
				all = append(all, copyAt{l, cmp.Or(p.Path, d.Key()), p.Path})
				list = append(list, candidate{down: !up || !l.Health.trusted(), latency: latency, suspect: p.Suspect})
			}
		}
	}
	ordered := make([]copyAt, 0, len(all))
	for _, i := range readOrder(list) {
		ordered = append(ordered, all[i])
	}
	return ordered
}

// An opened is an object that was opened, or why it was not.
type opened struct {
	object blob.Object
	at     int // which of the copies
	stop   context.CancelFunc
	err    error
}

// open opens the first of the copies that answers. When one fails, or does not
// answer in time, the next is asked too. at is the one that answered, and stop
// ends what still runs for its object, after Close.
func (s *sources) open(ctx context.Context, d gantry.Digest, size int64, copies []copyAt) (o opened) {
	results := make(chan opened, len(copies))
	waiting := map[int]opened{}
	next := 0
	started := time.Now()
	ask := func() bool {
		for next < len(copies) {
			i := next
			next++
			leave, ok := copies[i].Health.enter(false)
			if !ok {
				o.err = errBreaker(copies[i].Location)
				continue
			}
			run, stop := context.WithCancel(ctx)
			waiting[i] = opened{at: i, stop: stop}
			try := func() {
				defer leave()
				object, err := s.openOne(run, d, size, copies[i])
				results <- opened{object, i, stop, err}
			}
			if copies[i].Local {
				try()
			} else {
				go try()
			}
			return true
		}
		return false
	}
	if !ask() {
		return o
	}
	late := time.NewTimer(s.timing.FirstByte)
	defer late.Stop()
	for len(waiting) > 0 {
		select {
		case r := <-results:
			delete(waiting, r.at)
			if r.err == nil {
				s.forget(results, waiting)
				return r
			}
			r.stop()
			if o.err == nil || gantry.Is(o.err, gantry.NotFound) {
				o.err = r.err
			}
			if ctx.Err() == nil {
				ask()
			}
		case <-late.C:
			for i := range waiting {
				copies[i].Health.Reads(0, errSlow)
			}
			if !ask() && time.Since(started) >= s.patience(copies) {
				o.err = errSlow
				s.forget(results, waiting)
				return o
			}
			late.Reset(s.timing.FirstByte)
		case <-ctx.Done():
			s.forget(results, waiting)
			o.err = ctx.Err()
			return o
		}
	}
	return o
}

// patience is how long a read waits for the last of the copies to answer.
func (s *sources) patience(copies []copyAt) time.Duration {
	if len(s.locations) > 1 && !slices.ContainsFunc(copies, func(c copyAt) bool { up, _ := c.Health.up(false); return up }) {
		return s.timing.Brief
	}
	return s.timing.Patience
}

// forget ends the calls that nobody waits for any more, and closes what they
// may bring.
func (s *sources) forget(results <-chan opened, waiting map[int]opened) {
	for _, w := range waiting {
		w.stop()
	}
	if n := len(waiting); n > 0 {
		go func() {
			for range n {
				if r := <-results; r.err == nil {
					_ = r.object.Close() // nobody read it
				}
			}
		}()
	}
}

// openOne opens one copy, and doubts it when it is not there.
func (s *sources) openOne(ctx context.Context, d gantry.Digest, size int64, c copyAt) (blob.Object, error) {
	began := time.Now()
	o, err := c.Engine.Open(ctx, c.key)
	took := time.Since(began)
	if !errors.Is(err, context.Canceled) {
		s.metrics.Storage(ctx, c.Name, "open", took, err)
	}
	c.Health.Reads(took, err)
	if err == nil && o.Size() != size {
		err = errors.Join(errWrongSize, o.Close())
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		s.log.WarnContext(ctx, "blob cannot be read", "digest", d, "location", c.Name, "key", c.key, "error", err)
		if gantry.Is(err, gantry.NotFound) || errors.Is(err, errWrongSize) {
			s.doubt(ctx, d, c.ID, c.path)
			err = errLost
		}
		return nil, err
	}
	return o, nil
}

var errWrongSize = errors.New("the object has the wrong size")

func errBreaker(l Location) error {
	return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: 5 * time.Second,
		Detail: "the registry's storage does not answer; try again", Err: errors.New("the breaker of " + l.Name + " is open")}
}
