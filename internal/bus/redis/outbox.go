package redis

import (
	"context"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Limits of what waits to be sent.
const (
	maxWaiting = 4096    // messages
	maxBytes   = 8 << 20 // of them
	maxWakes   = 1024    // topics
	sendAtOnce = 256     // commands in one round trip

	// gather is the rest after a round trip: what comes in it travels together,
	// so that a busy process makes 200 round trips a second, not one each.
	gather = 5 * time.Millisecond
)

// An outbox holds what this process has to tell the others, in bounded memory.
type outbox struct {
	kick chan struct{} // receives when there is something

	mu       sync.Mutex
	messages []outgoing
	bytes    int
	wakes    map[string]struct{} // names of channels
	missed   bool                // messages did not leave, which the others are to be told
}

type outgoing struct {
	channel string
	frame   []byte
}

// poke has the sender look.
func (o *outbox) poke() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// add puts a message into the box; false: it is full, and the message is lost.
func (o *outbox) add(channel string, frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.messages) >= maxWaiting || o.bytes+len(frame) > maxBytes {
		o.missed = true
		return false
	}
	o.messages = append(o.messages, outgoing{channel, frame})
	o.bytes += len(frame)
	o.poke()
	return true
}

// wake puts a wake-up into the box, unless it is there. One too many makes all
// waiters of the others look.
func (o *outbox) wake(channel string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wakes == nil {
		o.wakes = map[string]struct{}{}
	}
	if len(o.wakes) >= maxWakes {
		o.missed = true
	} else {
		o.wakes[channel] = struct{}{}
	}
	o.poke()
}

// A load is what is sent in one round trip.
type load struct {
	messages []outgoing
	wakes    []string
	missed   bool
}

func (l *load) empty() bool { return len(l.messages) == 0 && len(l.wakes) == 0 && !l.missed }

// take takes the oldest messages and the wake-ups.
func (o *outbox) take() (l load) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.missed, o.missed = o.missed, false
	for name := range o.wakes {
		if len(l.wakes) == sendAtOnce {
			break
		}
		l.wakes = append(l.wakes, name)
		delete(o.wakes, name)
	}
	n := min(len(o.messages), sendAtOnce)
	l.messages = o.messages[:n:n]
	for _, m := range l.messages {
		o.bytes -= len(m.frame)
	}
	if o.messages = o.messages[n:]; len(o.messages) == 0 {
		o.messages = nil
	}
	return l
}

// drop gives up the messages that wait; the wake-ups stay. It returns how many.
func (o *outbox) drop() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.messages)
	o.messages, o.bytes = nil, 0
	o.missed = o.missed || n > 0
	return n
}

// back takes a load back that may not have arrived. Its messages are lost,
// because twice is worse than never; a wake-up twice does no harm.
func (o *outbox) back(l load) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missed = o.missed || l.missed || len(l.messages) > 0
	for _, name := range l.wakes {
		if o.wakes == nil {
			o.wakes = map[string]struct{}{}
		}
		o.wakes[name] = struct{}{} // at most sendAtOnce more than the bound
	}
}

// send sends what is in the box until ctx ends, and what is left then.
func (b *Bus) send(ctx context.Context) {
	var last time.Time // to send, once ctx has ended
	for {
		if wait := b.gate.wait(); wait > 0 {
			b.o.Metrics.RedisFailed("publish", b.out.drop())
			late := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				late.Stop()
				return
			case <-late.C:
			case <-b.out.kick: // a message to drop, or Redis is back
				late.Stop()
			}
			continue
		}
		l := b.out.take()
		if l.empty() {
			select {
			case <-ctx.Done():
				return
			case <-b.out.kick:
			}
			continue
		}
		limit := b.o.Timeout
		if ctx.Err() != nil {
			if last.IsZero() {
				last = time.Now().Add(closeWait)
			}
			if limit = min(limit, time.Until(last)); limit <= 0 {
				return
			}
		}
		if err := b.deliver(context.WithoutCancel(ctx), limit, l); err != nil {
			b.gate.failed()
			b.out.back(l)
			b.o.Metrics.RedisFailed("publish", max(1, len(l.messages)))
			b.log.DebugContext(ctx, "publish to Redis", "error", err)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		b.gate.answered()
		if len(l.messages) < sendAtOnce && ctx.Err() == nil {
			pause(ctx, gather)
		}
	}
}

// deliver sends a load in one round trip.
func (b *Bus) deliver(ctx context.Context, limit time.Duration, l load) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := b.node.Pipelined(ctx, func(p goredis.Pipeliner) error {
		if l.missed {
			p.Publish(ctx, b.name(kindControl, ""), seal(b.origin, nil))
		}
		for _, name := range l.wakes {
			p.Publish(ctx, name, seal(b.origin, nil))
		}
		for _, m := range l.messages {
			p.Publish(ctx, m.channel, m.frame)
		}
		return nil
	})
	return err
}
