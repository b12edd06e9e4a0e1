package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAccessGroups: a group of pulls waits for those that were under way last
// time, as long as the last write took and no longer.
func TestAccessGroups(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		expect int
		pause  time.Duration
		now    int // rows that wait
		later  int // that come after half a millisecond
		stop   bool
		want   int // rows of the group, 0: no group
		after  time.Duration
	}{
		"first":          {now: 1, later: 3, want: 1},
		"none yet":       {later: 1, want: 1, after: ms / 2},
		"what is there":  {expect: 1, pause: ms, now: 4, want: 4},
		"all come back":  {expect: 4, pause: ms, now: 2, later: 2, want: 4, after: ms / 2},
		"more come":      {expect: 4, pause: ms, now: 2, later: 5, want: 7, after: ms / 2},
		"one stays away": {expect: 4, pause: ms, now: 1, later: 2, want: 3, after: ms},
		"a quick disk":   {expect: 4, pause: ms / 4, now: 1, later: 3, want: 1, after: ms / 4},
		"more than fit":  {expect: 200, pause: ms, now: 200, want: maxAccessGroup},
		"end":            {expect: 4, pause: ms, now: 1, stop: true, want: 1},
		"end of nothing": {expect: 4, pause: ms, stop: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &accessLog{wake: make(chan struct{}, 1)}
				put := func(n int) {
					for range n {
						if _, ok := l.join(&Access{}); !ok {
							t.Error("no group takes the row")
						}
					}
				}
				put(tt.now)
				l.closed = tt.stop
				later := time.AfterFunc(ms/2, func() { put(tt.later) })
				defer later.Stop()
				timer := time.NewTimer(time.Hour)
				defer timer.Stop()
				began := time.Now()
				n := 0
				if g := l.next(tt.expect, tt.pause, timer); g != nil {
					n = len(g.rows)
				}
				if after := time.Since(began); n != tt.want || after != tt.after {
					t.Errorf("a group of %d after %v, want %d after %v", n, after, tt.want, tt.after)
				}
				if left := tt.now - tt.want; left > 0 && l.waiting != left {
					t.Errorf("%d rows wait, not %d", l.waiting, left)
				}
			})
		})
	}
}

// TestAccessBound: at the limit a caller gets the group to wait for, and after
// the end none.
func TestAccessBound(t *testing.T) {
	l := &accessLog{wake: make(chan struct{}, 1)}
	for range maxAccessWaiting {
		if _, ok := l.join(&Access{}); !ok {
			t.Fatal("a row has no place below the limit")
		}
	}
	if g, ok := l.join(&Access{}); ok || g != l.groups[0] {
		t.Errorf("over the limit: %v, %v", g == l.groups[0], ok)
	}
	l.next(0, 0, nil)
	if _, ok := l.join(&Access{}); !ok {
		t.Error("there is room, and the row has no place")
	}
	l.closed = true
	if g, ok := l.join(&Access{}); g != nil || ok {
		t.Error("a row joined after the end")
	}
}
