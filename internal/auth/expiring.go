package auth

import (
	"sync"
	"time"
)

// An expiring is a bounded map whose entries end at a time of their own. When
// it is full, what has expired goes first and then whatever comes to hand: a
// cache may forget anything at any time.
type expiring[K comparable, V any] struct {
	mu   sync.RWMutex
	most int
	m    map[K]expiringEntry[V]
}

type expiringEntry[V any] struct {
	v     V
	until time.Time
}

func newExpiring[K comparable, V any](most int) *expiring[K, V] {
	return &expiring[K, V]{most: most, m: map[K]expiringEntry[V]{}}
}

func (e *expiring[K, V]) get(k K, now time.Time) (v V, ok bool) {
	e.mu.RLock()
	entry, ok := e.m[k]
	e.mu.RUnlock()
	if !ok || !now.Before(entry.until) {
		return v, false
	}
	return entry.v, true
}

func (e *expiring[K, V]) put(k K, v V, until, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, there := e.m[k]; !there && len(e.m) >= e.most {
		e.room(now)
	}
	e.m[k] = expiringEntry[V]{v, until}
}

// room frees a few places at once, so that a full map is not searched at
// every put. e.mu is held.
func (e *expiring[K, V]) room(now time.Time) {
	seen, free := 0, max(1, e.most/64)
	for k, entry := range e.m { // Go's order is random enough
		if seen++; seen > 8*free || len(e.m) <= e.most-free {
			break
		}
		if !now.Before(entry.until) {
			delete(e.m, k)
		}
	}
	for k := range e.m {
		if len(e.m) <= e.most-free {
			break
		}
		delete(e.m, k)
	}
}

// update replaces the value of k by what f makes of the old one, or of the
// zero value.
func (e *expiring[K, V]) update(k K, now, until time.Time, f func(V) V) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, there := e.m[k]
	if there && !now.Before(old.until) {
		old = expiringEntry[V]{}
	}
	if !there && len(e.m) >= e.most {
		e.room(now)
	}
	e.m[k] = expiringEntry[V]{f(old.v), until}
}

func (e *expiring[K, V]) sweep(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, entry := range e.m {
		if !now.Before(entry.until) {
			delete(e.m, k)
		}
	}
}
