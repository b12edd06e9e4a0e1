package remote

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Limits are what all clients of a process share: how many requests one host
// gets at once, and when a host that asked to wait may be asked again. The
// zero value is not usable; see NewLimits.
type Limits struct {
	perHost int

	mu     sync.Mutex
	hosts  map[string]*host
	pauses map[string]time.Time // of host and user
}

// host counts the users of one host's slots; it goes with the last of them.
type host struct {
	slots chan struct{}
	users int
}

// NewLimits allows perHost requests at once to one host; 0 is 32. A blob's
// request lasts until its body is closed.
func NewLimits(perHost int) *Limits {
	if perHost <= 0 {
		perHost = 32
	}
	return &Limits{perHost: perHost, hosts: map[string]*host{}, pauses: map[string]time.Time{}}
}

// slot is the right to one request.
type slot struct {
	once sync.Once
	free func()
}

func (s *slot) release() { s.once.Do(s.free) }

// acquire waits for a slot of a host. The error is the context's.
func (l *Limits) acquire(ctx context.Context, name string) (*slot, error) {
	l.mu.Lock()
	h := l.hosts[name]
	if h == nil {
		h = &host{slots: make(chan struct{}, l.perHost)}
		l.hosts[name] = h
	}
	h.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(l.hosts, name)
		}
	}
	select {
	case h.slots <- struct{}{}:
		return &slot{free: func() { <-h.slots; leave() }}, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// pause keeps everybody with this host and user from asking for d.
func (l *Limits) pause(key string, d time.Duration) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, t := range l.pauses { // few at any time
		if t.Before(now) {
			delete(l.pauses, k)
		}
	}
	if until := now.Add(d); until.After(l.pauses[key]) {
		l.pauses[key] = until
	}
}

// wait waits for the end of a pause, for patience at most: one that is longer
// fails at once with Limited.
func (l *Limits) wait(ctx context.Context, key, host string, patience time.Duration) error {
	for {
		l.mu.Lock()
		left := time.Until(l.pauses[key])
		l.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if left > patience {
			return &Error{Kind: Limited, Host: host, Retry: left, Text: fmt.Sprintf("%s asked this registry to wait for another %s", host, max(time.Second, left.Round(time.Second)))}
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}
