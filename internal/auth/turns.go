package auth

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// turns lets one caller at a time go on for each key. The zero value is ready.
type turns struct {
	mu sync.Mutex
	m  map[string]*turn
}

type turn struct {
	free chan struct{} // holds a value while nobody has the turn
	n    int           // callers that have it or wait for it
}

// take waits for the turn of k; done gives it on.
func (t *turns) take(ctx context.Context, k string) (done func(), err error) {
	t.mu.Lock()
	x := t.m[k]
	if x == nil {
		if t.m == nil {
			t.m = map[string]*turn{}
		}
		x = &turn{free: make(chan struct{}, 1)}
		x.free <- struct{}{}
		t.m[k] = x
	}
	x.n++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		if x.n--; x.n == 0 {
			delete(t.m, k)
		}
		t.mu.Unlock()
	}
	select {
	case <-x.free:
		return func() { x.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// A hasher bounds the slow hashes: as many run at once as leave half of the
// processors to pulls and pushes, and as many wait as can have their turn
// within seconds. The rest is sent away, so that a flood of sign-ins costs
// nobody else more than that.
type hasher struct {
	slots chan struct{}
	most  int // that may run or wait
	each  int // of one address

	mu sync.Mutex
	n  int
	by map[string]int // address → how many run or wait
}

// waiting is how many hashes may wait for each that runs.
const waiting = 64

func newHasher() *hasher {
	slots := max(1, runtime.GOMAXPROCS(0)/2)
	return &hasher{slots: make(chan struct{}, slots), most: slots * (1 + waiting), each: max(2, slots*(1+waiting)/2), by: map[string]int{}}
}

// enter waits for a slot; leave frees it. Too many that wait, in all or from
// the same ip ("" = not counted), is Limited on "credentials".
func (h *hasher) enter(ctx context.Context, ip string) (leave func(), err error) {
	h.mu.Lock()
	if h.n >= h.most || ip != "" && h.by[ip] >= h.each {
		h.mu.Unlock()
		return nil, &gantry.Error{Code: gantry.Limited, Object: "credentials", Retry: 5 * time.Second,
			Detail: "Too many sign-ins at once. Try again in a few seconds."}
	}
	h.n++
	if ip != "" {
		h.by[ip]++
	}
	h.mu.Unlock()
	out := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.n--
		if ip == "" {
			return
		}
		if h.by[ip]--; h.by[ip] == 0 {
			delete(h.by, ip)
		}
	}
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots; out() }, nil
	case <-ctx.Done():
		out()
		return nil, ctx.Err()
	}
}
