package store

import "time"

// maxGather bounds what a group waits for others.
const maxGather = time.Millisecond

// A gatherer makes groups of what comes through a channel, to be written with
// one sync each. Clients that wait for their answers come back together: while
// one half of them waits for the disk the other half queues up, and the disk
// is asked twice for what it could do at once. So a group waits until as many
// are there as were under way last time, but not longer than that write took,
// and never for somebody to join one that is alone.
type gatherer[T any] struct {
	from   <-chan T
	most   int             // in one group
	quit   <-chan struct{} // closed: nothing is waited for
	timer  *time.Timer
	expect int
	pause  time.Duration
}

func newGatherer[T any](from <-chan T, most int, quit <-chan struct{}) *gatherer[T] {
	g := &gatherer[T]{from: from, most: most, quit: quit, timer: time.NewTimer(time.Hour)}
	g.timer.Stop()
	return g
}

// fill adds to group, which is not empty.
func (g *gatherer[T]) fill(group []T) []T {
	armed := false
	for len(group) < g.most {
		select {
		case v := <-g.from:
			group = append(group, v)
			continue
		default:
		}
		if len(group) >= g.expect || g.pause <= 0 {
			break
		}
		if !armed {
			g.timer.Reset(g.pause)
			armed = true
		}
		select {
		case v := <-g.from:
			group = append(group, v)
			continue
		case <-g.timer.C:
			armed = false
		case <-g.quit:
		}
		break
	}
	if armed {
		g.timer.Stop()
	}
	return group
}

// wrote tells how the last group fared: it had n members and took so long.
func (g *gatherer[T]) wrote(n int, took time.Duration) {
	g.expect, g.pause = n+len(g.from), min(took, maxGather)
}
