// Package fleet keeps several instances of one registry in step: a change that
// takes something away is answered when no instance goes by what it kept.
//
// The instance that made the change tells the others over the bus; each
// forgets, and says so. When all that live have said so, or when what they may
// have kept has become too old to be trusted, a second later, the change is
// answered. So the bus only makes it sooner. An instance that is alone waits for
// nobody.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

const (
	// trusted is how long what was read is trusted by an instance that hears
	// nothing (content, auth), and a little for the clocks to tick.
	trusted = time.Second + 50*time.Millisecond
	// LivesFor is how long after its last sign of life an instance is waited
	// for.
	LivesFor = 30 * time.Second

	topicRemoved = "fleet/removed"
	topicAck     = "fleet/ack/" // and the id of who waits
	tellWithin   = 500 * time.Millisecond
)

// Options are what New needs. Store and ID are required.
type Options struct {
	Store *store.DB
	// Bus reaches the other instances; nil = nothing does.
	Bus     bus.Bus
	ID      string             // of this instance, as in its signs of life
	Logger  *slog.Logger       // nil = none
	Metrics *telemetry.Metrics // nil = none
}

// A Fleet is one instance's part. Its methods may be called concurrently.
type Fleet struct {
	opts   Options
	log    *slog.Logger
	cancel []func()
	done   sync.WaitGroup

	mu   sync.Mutex
	n    uint64
	open map[uint64]*waiting
}

// waiting is a change that waits for the others.
type waiting struct {
	others map[string]struct{}
	all    chan struct{} // closed when nobody is waited for
}

// removed is the message of a change.
type removed struct {
	From string        `json:"from"`
	N    uint64        `json:"n"`
	What store.Removal `json:"what"`
}

// ack is the answer to it.
type ack struct {
	From string `json:"from"`
	N    uint64 `json:"n"`
}

// New has the changes of o.Store wait for the other instances from now on, and
// this instance forget when another one says so. With SQLite, which one process
// has alone, it does nothing.
func New(o Options) (*Fleet, error) {
	f := &Fleet{opts: o, log: o.Logger, open: map[uint64]*waiting{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if o.Store.Exclusive() {
		return f, nil
	}
	if o.Bus != nil {
		for topic, f1 := range map[string]func([]byte){topicRemoved: f.forget, topicAck + o.ID: f.acknowledged} {
			messages, cancel, err := o.Bus.Subscribe(topic)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("fleet: %w", err), f.Close())
			}
			f.cancel = append(f.cancel, cancel)
			f.done.Go(func() {
				for m := range messages {
					if m.Lost > 0 { // it may have been anything
						o.Store.Forget(store.Removal{All: true})
					}
					f1(m.Payload)
				}
			})
		}
	}
	o.Store.OnRemoval(f.removed)
	return f, nil
}

// Close ends what New began. Changes go on waiting, as long as they must.
func (f *Fleet) Close() error {
	for _, cancel := range f.cancel {
		cancel()
	}
	f.done.Wait()
	return nil
}

// forget does what another instance says, and answers.
func (f *Fleet) forget(payload []byte) {
	var m removed
	if err := json.Unmarshal(payload, &m); err != nil {
		f.log.Warn("a message of another instance cannot be read; everything is read anew", "error", err)
		f.opts.Store.Forget(store.Removal{All: true})
		return
	}
	if m.From == f.opts.ID {
		return
	}
	f.opts.Store.Forget(m.What)
	f.publish(topicAck+m.From, ack{f.opts.ID, m.N})
}

func (f *Fleet) acknowledged(payload []byte) {
	var a ack
	if err := json.Unmarshal(payload, &a); err != nil {
		return // who waits does so for a second, then
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.open[a.N]
	if w == nil {
		return
	}
	if delete(w.others, a.From); len(w.others) == 0 {
		delete(f.open, a.N)
		close(w.all)
	}
}

// publish sends a message; nothing depends on it.
func (f *Fleet) publish(topic string, m any) {
	b, err := json.Marshal(m)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
		defer cancel()
		err = f.opts.Bus.Publish(ctx, topic, b)
	}
	if err != nil && !errors.Is(err, bus.ErrClosed) {
		f.log.Debug("tell the other instances", "topic", topic, "error", err)
	}
}

// removed tells the others and waits for them.
func (f *Fleet) removed(ctx context.Context, r store.Removal) {
	late := time.NewTimer(trusted) // since the commit, or a little later
	defer late.Stop()
	others, known := f.others(ctx)
	if known && len(others) == 0 {
		return
	}
	w := &waiting{others: others, all: make(chan struct{})}
	if f.opts.Bus != nil && known {
		f.mu.Lock()
		f.n++
		n := f.n
		f.open[n] = w
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.open, n)
		}()
		f.publish(topicRemoved, removed{f.opts.ID, n, r})
	}
	select {
	case <-w.all:
		f.opts.Metrics.RemovalWait(true)
	case <-late.C:
		f.opts.Metrics.RemovalWait(false)
	case <-ctx.Done(): // nobody is answered
	}
}

// others are the other instances that live; known is false when the database
// does not say.
func (f *Fleet) others(ctx context.Context) (ids map[string]struct{}, known bool) {
	all, err := f.opts.Store.Instances(ctx, f.opts.Store.Now().Add(-LivesFor))
	if err != nil {
		return nil, false
	}
	ids = map[string]struct{}{}
	for _, i := range all {
		if i.ID != f.opts.ID {
			ids[i.ID] = struct{}{}
		}
	}
	return ids, true
}
