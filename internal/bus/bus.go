// Package bus wakes up and informs: a worker that sleeps until its next poll,
// a cache that holds what somebody changed, a browser that follows a build.
// Nothing may depend on a message arriving: the bus only makes sooner what
// would happen anyway. New is the in-process bus, bus/redis the one of several
// processes; bustest is the contract that every implementation passes.
package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Limits of a bus.
const (
	MaxTopic   = 128      // bytes of a topic's name
	MaxPayload = 64 << 10 // bytes of one message
	Buffer     = 256      // messages that wait for one slow subscriber
)

// ErrClosed is what a closed bus answers.
var ErrClosed = errors.New("bus is closed")

// A Message is what a subscriber receives.
type Message struct {
	Topic   string
	Payload []byte // shared by all subscribers: read only
	// Lost is how many messages of the topic this subscriber has lost just
	// before this one, or 1 where nobody knows: look at the source again.
	Lost int
	// Notice: there is no message, only the word that some may be lost, as
	// after a time without a connection to the other processes. Payload is nil.
	Notice bool
}

// A Bus carries messages between the parts of one registry, in one process or
// in several. Its methods may be called at the same time.
//
// Messages of one publisher on one topic arrive in order, at most once. A
// subscriber that does not keep up loses the oldest ones and learns how many
// by Message.Lost. What is sent to subscribers and waiters in the same process
// reaches them whatever happens to the connection to the others.
type Bus interface {
	// Publish sends payload to the present subscribers of topic. It never
	// waits for one of them, nor for a server. The payload may not be changed
	// afterwards.
	Publish(ctx context.Context, topic string, payload []byte) error

	// Heard reports whether a message on topic may have a subscriber; false
	// only where none has. Who would make many messages for nobody asks first.
	Heard(topic string) bool

	// Subscribe receives the messages of topic from now on. The channel is
	// closed by cancel, which may be called more than once, and by Close.
	Subscribe(topic string) (messages <-chan Message, cancel func(), err error)

	// Wake makes every waiter of topic look for work. It never fails and
	// never waits; many calls may become one.
	Wake(topic string)

	// Waiter returns a channel that receives after each Wake of topic; wakes
	// that come while one is pending are one. The channel is never closed.
	// cancel ends it and may be called more than once.
	Waiter(topic string) (woken <-chan struct{}, cancel func(), err error)

	// Close ends all subscriptions. Calls after the first do nothing.
	Close() error
}

// CheckTopic says why topic is no topic: it is 1 to MaxTopic bytes of
// a-z, A-Z, 0-9 and . _ - : /
func CheckTopic(topic string) error {
	if topic == "" || len(topic) > MaxTopic {
		return fmt.Errorf("topic of %d bytes is not 1 to %d bytes long", len(topic), MaxTopic)
	}
	for i := range len(topic) {
		switch c := topic[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '.', c == '_', c == '-', c == ':', c == '/':
		default:
			return fmt.Errorf("topic has the byte %q, which is none of a-z A-Z 0-9 . _ - : /", c)
		}
	}
	return nil
}

// Local is the Bus of one process.
type Local struct {
	dropped func(int) // told how many messages were dropped; may be nil

	mu      sync.RWMutex
	closed  bool
	subs    map[string][]*subscription
	waiters map[string][]chan struct{}
}

// Options are the choices of New; the zero value works.
type Options struct {
	Dropped func(n int) // called for each message that a slow subscriber lost; must not block; nil is ignored
}

// New makes a bus of this process.
func New(o Options) *Local {
	return &Local{dropped: o.Dropped, subs: map[string][]*subscription{}, waiters: map[string][]chan struct{}{}}
}

// A subscription is one subscriber's buffer. Its mutex makes a send, and the
// drop before it, one step, so that messages stay in order and the channel is
// never closed under a send.
type subscription struct {
	mu     sync.Mutex
	c      chan Message
	closed bool
}

// send delivers m without waiting and reports how many messages were dropped.
func (s *subscription) send(m Message) (dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	for {
		select {
		case s.c <- m:
			return dropped
		default:
		}
		select {
		case old := <-s.c: // full: the oldest goes, and what it had lost is lost still
			dropped++
			m.Lost += old.Lost + 1
		default: // the subscriber took one meanwhile
		}
	}
}

func (s *subscription) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.c)
	}
}

// Publish implements Bus.
func (b *Local) Publish(ctx context.Context, topic string, payload []byte) error {
	if err := CheckTopic(topic); err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("message of %d bytes is longer than %d", len(payload), MaxPayload)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	for _, s := range b.subs[topic] {
		if n := s.send(Message{Topic: topic, Payload: payload}); n > 0 && b.dropped != nil {
			b.dropped(n)
		}
	}
	return nil
}

// Heard implements Bus.
func (b *Local) Heard(topic string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.subs[topic]) > 0
}

// Subscribe implements Bus.
func (b *Local) Subscribe(topic string) (<-chan Message, func(), error) {
	if err := CheckTopic(topic); err != nil {
		return nil, nil, err
	}
	s := &subscription{c: make(chan Message, Buffer)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, ErrClosed
	}
	b.subs[topic] = append(b.subs[topic], s)
	return s.c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.subs[topic] = without(b.subs[topic], s)
		if len(b.subs[topic]) == 0 {
			delete(b.subs, topic)
		}
		s.close()
	}, nil
}

// Wake implements Bus. A topic that is none has no waiters.
func (b *Local) Wake(topic string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, w := range b.waiters[topic] {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Waiter implements Bus.
func (b *Local) Waiter(topic string) (<-chan struct{}, func(), error) {
	if err := CheckTopic(topic); err != nil {
		return nil, nil, err
	}
	w := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, ErrClosed
	}
	b.waiters[topic] = append(b.waiters[topic], w)
	return w, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waiters[topic] = without(b.waiters[topic], w)
		if len(b.waiters[topic]) == 0 {
			delete(b.waiters, topic)
		}
	}, nil
}

// Missed tells the subscribers of topic, by a notice, that messages may be
// lost to them. It is for a Bus that brings a Local the messages of others.
func (b *Local) Missed(topic string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.subs[topic] {
		if n := s.send(Message{Topic: topic, Lost: 1, Notice: true}); n > 0 && b.dropped != nil {
			b.dropped(n)
		}
	}
}

// Close implements Bus.
func (b *Local) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, subs := range b.subs {
		for _, s := range subs {
			s.close()
		}
	}
	clear(b.subs)
	clear(b.waiters)
	return nil
}

// without returns list with one x less, in a new array: a reader may hold the
// old one.
func without[T comparable](list []T, x T) []T {
	out := make([]T, 0, len(list))
	for _, y := range list {
		if y != x {
			out = append(out, y)
		}
	}
	return out
}
