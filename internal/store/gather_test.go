package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestGather: a group waits for those that were under way last time, as long
// as the last write took and no longer, and nobody who is alone waits.
func TestGather(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		last   int           // members of the last group
		queued int           // that were waiting when it was written
		took   time.Duration // of that write
		now    int           // more members that are there at once
		later  int           // that come after half a millisecond
		most   int
		quit   bool // when half a millisecond has passed
		want   int
		after  time.Duration
	}{
		"first":          {now: 0, later: 3, most: 9, want: 1},
		"alone":          {last: 1, took: ms, later: 3, most: 9, want: 1},
		"what is there":  {last: 1, took: ms, now: 3, most: 9, want: 4},
		"all come back":  {last: 2, queued: 2, took: ms, now: 1, later: 2, most: 9, want: 4, after: ms / 2},
		"one stays away": {last: 4, took: ms, later: 2, most: 9, want: 3, after: ms},
		"a quick disk":   {last: 4, took: ms / 4, later: 3, most: 9, want: 1, after: ms / 4},
		"a slow disk":    {last: 4, took: time.Second, later: 1, most: 9, want: 2, after: maxGather},
		"full":           {last: 9, took: ms, now: 9, most: 3, want: 3},
		"end":            {last: 9, took: ms, most: 9, quit: true, want: 1, after: ms / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, quit := make(chan int, 16), make(chan struct{})
				g := newGatherer(from, tt.most, quit)
				put := func(n int) {
					for i := range n {
						from <- i
					}
				}
				if tt.last > 0 {
					put(tt.queued)
					g.wrote(tt.last, tt.took)
					for range tt.queued {
						<-from
					}
				}
				put(tt.now)
				time.AfterFunc(ms/2, func() {
					put(tt.later)
					if tt.quit {
						close(quit)
					}
				})
				began := time.Now()
				got := g.fill([]int{0})
				if after := time.Since(began); len(got) != tt.want || after != tt.after {
					t.Errorf("a group of %d after %v, want %d after %v", len(got), after, tt.want, tt.after)
				}
			})
		})
	}
}
