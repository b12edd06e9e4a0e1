package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gantry-registry/gantry/internal/bus"
)

// Publish implements bus.Bus. Subscribers in this process have the message
// when it returns.
func (b *Bus) Publish(ctx context.Context, topic string, payload []byte) error {
	if err := b.local.Publish(ctx, topic, payload); err != nil {
		return err
	}
	if !b.out.add(b.name(kindMessage, topic), seal(b.origin, payload)) {
		b.o.Metrics.RedisFailed("publish", 1)
	}
	return nil
}

// Heard implements bus.Bus. Another process may always listen.
func (b *Bus) Heard(string) bool { return true }

// Wake implements bus.Bus.
func (b *Bus) Wake(topic string) {
	if bus.CheckTopic(topic) != nil {
		return
	}
	b.local.Wake(topic)
	b.out.wake(b.name(kindWake, topic))
}

// Subscribe implements bus.Bus. While Redis answers, it returns once Redis has
// confirmed, so that no message from elsewhere is lost from then on; otherwise
// a notice comes when it has.
func (b *Bus) Subscribe(topic string) (<-chan bus.Message, func(), error) {
	c, cancel, err := b.local.Subscribe(topic)
	if err != nil {
		return nil, nil, err
	}
	name := b.name(kindMessage, topic)
	ready := b.use(kindMessage, topic)
	if b.up.Load() {
		late := time.NewTimer(confirmWait)
		defer late.Stop()
		select {
		case <-ready:
		case <-late.C:
		}
	}
	b.returned(name)
	return c, b.release(name, cancel), nil
}

// Waiter implements bus.Bus. It does not wait for Redis: once that has
// confirmed, there is a wake.
func (b *Bus) Waiter(topic string) (<-chan struct{}, func(), error) {
	c, cancel, err := b.local.Waiter(topic)
	if err != nil {
		return nil, nil, err
	}
	name := b.name(kindWake, topic)
	b.use(kindWake, topic)
	b.returned(name)
	return c, b.release(name, cancel), nil
}

// A channel is one that somebody in this process listens to.
type channel struct {
	kind  byte
	topic string
	users int           // 0: not wanted any more
	state state         // in the present session
	owed  bool          // users may have missed something: they are told once it is on
	ready chan struct{} // closed when it is on
}

// A state is how far Redis is with a channel. There is one command at a time
// for each, so that answers cannot be taken for another's.
type state uint8

const (
	off state = iota
	coming
	on
	going
)

// use adds a user to a channel. The result is closed once Redis sends it.
func (b *Bus) use(kind byte, topic string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := b.name(kind, topic)
	c := b.channels[name]
	if c == nil {
		c = &channel{kind: kind, topic: topic, ready: make(chan struct{})}
		b.channels[name] = c
	}
	c.users++
	b.changed()
	return c.ready
}

// returned: a user begins to rely on the channel.
func (b *Bus) returned(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.channels[name]; c != nil && c.state != on {
		c.owed = true
	}
}

// release returns the cancel of a user, which cancel is the local part of.
func (b *Bus) release(name string, cancel func()) func() {
	released := false
	return func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		if c := b.channels[name]; c != nil && !released {
			c.users--
			b.changed()
		}
		released = true
	}
}

// changed has the session look at the channels.
func (b *Bus) changed() {
	select {
	case b.change <- struct{}{}:
	default:
	}
}

// listen keeps a session with Redis until ctx ends.
func (b *Bus) listen(ctx context.Context) {
	fails := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := b.session(ctx)
		was := b.up.Swap(false)
		b.lose()
		if ctx.Err() != nil {
			return
		}
		if was {
			fails = 0
		}
		fails++
		b.o.Metrics.Redis(false)
		b.o.Metrics.RedisFailed("connect", 1)
		if fails == 1 {
			b.log.WarnContext(ctx, "Redis is away: other instances are woken by their own polls, and told of events again when it is back", "error", err, "after", time.Since(began).Round(time.Millisecond).String())
		}
		pause(ctx, backOff(fails))
	}
}

// lose forgets what the session that has ended was subscribed to.
func (b *Bus) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, c := range b.channels {
		if c.users == 0 {
			delete(b.channels, name)
			continue
		}
		if c.state == on {
			c.ready = make(chan struct{})
		}
		c.state, c.owed = off, true
	}
}

// session subscribes and receives until the connection fails. The error says
// why.
func (b *Bus) session(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library trusts the form of what Redis says
			err = fmt.Errorf("an answer of Redis was not understood: %v", p)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ps := b.node.Subscribe(ctx)
	end := func() { _ = ps.Close() } // closed already is fine
	defer end()
	defer context.AfterFunc(ctx, end)() // a read does not look at ctx
	if err := b.follow(ctx, ps); err != nil {
		return err
	}
	following := make(chan error, 1)
	go func() {
		defer end() // ends the read below
		for {
			select {
			case <-ctx.Done():
				following <- nil
				return
			case <-b.change:
			}
			if err := b.follow(ctx, ps); err != nil {
				following <- err
				return
			}
		}
	}()
	defer func() {
		cancel()
		err = errors.Join(<-following, err)
	}()
	asked := false
	for {
		limit := b.o.Health
		if asked {
			limit = b.o.Timeout
		}
		m, err := ps.ReceiveTimeout(ctx, limit)
		if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() && !asked {
			asked = true
			if err := ps.Ping(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		asked = false
		switch m := m.(type) {
		case *goredis.Subscription:
			b.answered(ctx, m)
		case *goredis.Message:
			b.receive(m)
		}
	}
}

// mostChannels are named in one command.
const mostChannels = 500

// follow asks Redis for the channels that are wanted and not there, and gives
// back those that are not wanted.
func (b *Bus) follow(ctx context.Context, ps *goredis.PubSub) error {
	var more, fewer []string
	b.mu.Lock()
	for name, c := range b.channels {
		switch {
		case c.users > 0 && c.state == off:
			c.state = coming
			more = append(more, name)
		case c.users == 0 && c.state == on:
			c.state, c.ready = going, make(chan struct{})
			fewer = append(fewer, name)
		case c.users == 0 && c.state == off:
			delete(b.channels, name)
		}
	}
	b.mu.Unlock()
	for _, step := range []struct {
		names []string
		call  func(context.Context, ...string) error
	}{{more, ps.Subscribe}, {fewer, ps.Unsubscribe}} {
		for names := step.names; len(names) > 0; {
			n := min(len(names), mostChannels)
			if err := step.call(ctx, names[:n]...); err != nil {
				return err
			}
			names = names[n:]
		}
	}
	return nil
}

// answered takes Redis's word that a subscription has begun or ended.
func (b *Bus) answered(ctx context.Context, m *goredis.Subscription) {
	b.mu.Lock()
	c := b.channels[m.Channel]
	if c == nil || c.state != coming && c.state != going {
		b.mu.Unlock()
		return
	}
	owed := false
	if c.state == coming {
		owed, c.owed, c.state = c.owed, false, on
		if c.ready != nil {
			close(c.ready)
		}
	} else {
		c.state = off
	}
	if (c.users > 0) != (c.state == on) {
		b.changed()
	}
	b.mu.Unlock()
	if c.kind == kindControl && c.state == on {
		if !b.up.Swap(true) {
			b.log.InfoContext(ctx, "Redis is connected", "prefix", b.o.Prefix)
		}
		b.gate.answered()
		b.limits.answered()
		b.out.poke()
		b.o.Metrics.Redis(true)
	}
	if owed {
		b.missed(c)
	}
}

// missed tells the users of a channel that they may have missed something.
func (b *Bus) missed(c *channel) {
	switch c.kind {
	case kindMessage:
		b.local.Missed(c.topic)
	case kindWake:
		b.local.Wake(c.topic)
	}
}

// receive hands on what another process sent.
func (b *Bus) receive(m *goredis.Message) {
	kind, topic, ok := b.topic(m.Channel)
	if !ok {
		return
	}
	origin, payload, ok := unseal(m.Payload)
	if !ok || origin == b.origin {
		return
	}
	switch kind {
	case kindMessage:
		_ = b.local.Publish(context.Background(), topic, []byte(payload)) // fails only once the bus is closed
	case kindWake:
		b.local.Wake(topic)
	case kindControl:
		b.mu.Lock()
		all := make([]*channel, 0, len(b.channels))
		for _, c := range b.channels {
			all = append(all, c)
		}
		b.mu.Unlock()
		for _, c := range all {
			b.missed(c)
		}
	}
}
