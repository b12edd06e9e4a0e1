package s3

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

const (
	// blockSize is what memory for uploads is counted in. A blob of a few
	// kilobytes holds one block, not a part.
	blockSize = 256 << 10
	// poolSize bounds the memory that all uploads of the process hold: 128 MiB
	// are the 25 parts of 5 MiB that keep a fast network busy, and half of what
	// a server may use under load.
	poolSize = 128 << 20
	// maxPart is the largest part that is made: half of that, so that there is
	// always room for one more. It is the same for all instances and pools, for
	// any of them may go on with an upload.
	maxPart = poolSize / 2
	// firstBlocks is how many blocks an upload takes one by one. For more it
	// takes all blocks of the part at once: from then on it waits for nothing
	// but its client, so that nobody who is half done waits for another such.
	firstBlocks = 4
	// roomWithin bounds the wait for room.
	roomWithin = 2 * time.Minute
	// idlePart is how long a part may have got no byte before its memory is
	// given to those who wait: slow clients hold up nobody.
	idlePart = time.Second
	// spareFor is how long free memory is kept after the last upload.
	spareFor = 30 * time.Second
	// stuckAfter is how long nothing may move before some of those who wait
	// give up the little that they hold.
	stuckAfter = 500 * time.Millisecond
)

// memory is the pool of all engines whose Options name none.
var memory = newPool(poolSize / blockSize)

// errPark tells who waits for room to put away what it holds and wait on.
var errPark = fmt.Errorf("park")

// A Pool is memory for parts, in blocks. Who waits is served in order: first
// those who have begun a part, for it is parts that end which free memory, then
// those who begin one. A quarter is kept for the former.
type Pool struct {
	total int
	kept  int // blocks that nobody begins a part with

	spares sync.Mutex
	spare  []*[blockSize]byte // free ones that are still in memory

	mu     sync.Mutex
	free   int
	least  int // the least free there ever was, for tests
	parks  int // for tests
	queue  []*waiter
	users  map[*upload]struct{} // that may hold blocks which can be parked
	moved  time.Time            // when blocks were last given out or back
	tended bool                 // tend runs
}

type waiter struct {
	u     *upload
	n     int
	since time.Time
	ready chan struct{} // closed when it has its blocks
	park  chan struct{} // closed when it shall park
	asked bool
	begun bool // it has begun the part: it holds blocks, or has parked them
}

// NewPool returns a pool of so many bytes, at least the 64 MiB of the largest
// part, for engines that are not to use the one that all others share.
func NewPool(size int64) *Pool { return newPool(int(max(size, maxPart) / blockSize)) }

func newPool(blocks int) *Pool {
	p := &Pool{total: blocks, kept: blocks / 4, free: blocks, least: blocks, users: map[*upload]struct{}{}}
	return p
}

// join and leave say whose blocks can be parked.
func (p *Pool) join(u *upload) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[u] = struct{}{}
}

func (p *Pool) leave(u *upload) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.users, u)
	if len(p.users) == 0 {
		time.AfterFunc(spareFor, p.shrink)
	}
}

// shrink gives free memory back where there are no uploads.
func (p *Pool) shrink() {
	p.mu.Lock()
	used := len(p.users) > 0
	p.mu.Unlock()
	if !used {
		p.spares.Lock()
		p.spare = nil
		p.spares.Unlock()
	}
}

// take returns n blocks. It waits for them until ctx is done or roomWithin has
// passed. errPark: u holds blocks and shall park them first. u.mu is held.
func (p *Pool) take(ctx context.Context, u *upload, n int) ([]*[blockSize]byte, error) {
	if n > p.total {
		return nil, fmt.Errorf("a part of %d blocks is larger than the pool", n)
	}
	w := &waiter{u: u, n: n, since: time.Now(), ready: make(chan struct{}), park: make(chan struct{}), begun: len(u.cur.blocks) > 0 || u.parked != nil}
	p.mu.Lock()
	if len(p.queue) == 0 && p.fits(w) {
		p.grant(n)
		p.mu.Unlock()
		return p.make(n), nil
	}
	p.queue = append(p.queue, w)
	p.serve()
	if !p.tended {
		p.tended = true
		go p.tend()
	}
	p.mu.Unlock()

	timeout := time.NewTimer(roomWithin)
	defer timeout.Stop()
	var err error
	select {
	case <-w.ready:
		return p.make(n), nil
	case <-w.park:
		err = errPark
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timeout.C:
		err = &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: 10 * time.Second,
			Detail: "too many uploads are waiting for the storage; try again"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.queue {
		if other == w {
			p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
			p.serve()
			return nil, err
		}
	}
	return p.make(n), nil // it got them in this moment
}

func (p *Pool) make(n int) []*[blockSize]byte {
	blocks := make([]*[blockSize]byte, n)
	p.spares.Lock()
	defer p.spares.Unlock()
	for i := range blocks {
		if last := len(p.spare) - 1; last >= 0 {
			blocks[i], p.spare = p.spare[last], p.spare[:last]
		} else {
			blocks[i] = new([blockSize]byte)
		}
	}
	return blocks
}

// give gives blocks back.
func (p *Pool) give(blocks []*[blockSize]byte) {
	if len(blocks) == 0 {
		return
	}
	p.spares.Lock()
	p.spare = append(p.spare, blocks...)
	p.spares.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free += len(blocks)
	p.moved = time.Now()
	p.serve()
}

// grant takes n blocks out; mu is held.
func (p *Pool) grant(n int) {
	p.free -= n
	p.least = min(p.least, p.free)
	p.moved = time.Now()
}

// fits reports whether there is room for w; mu is held. Where all is free, any
// part may begin.
func (p *Pool) fits(w *waiter) bool {
	if w.begun || p.free == p.total {
		return w.n <= p.free
	}
	return w.n <= p.free-p.kept
}

// next returns the index of the one who is served next, or -1; mu is held.
func (p *Pool) next() int {
	for i, w := range p.queue {
		if w.begun {
			return i
		}
	}
	return len(p.queue[:min(len(p.queue), 1)]) - 1
}

// serve gives those who wait what is free, in order; mu is held.
func (p *Pool) serve() {
	for i := p.next(); i >= 0 && p.fits(p.queue[i]); i = p.next() {
		w := p.queue[i]
		p.grant(w.n)
		close(w.ready)
		p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
	}
}

// tend makes room while somebody waits: of those who hold a part that no byte
// comes for, the one that is idle for the longest parks it; where nothing
// moves at all because everybody waits, the last in the queue that holds
// something does.
func (p *Pool) tend() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.tended = false
			p.mu.Unlock()
			return
		}
		var idlest *upload
		var since time.Duration
		for u := range p.users {
			if idle := time.Since(time.Unix(0, u.touched.Load())); idle > max(since, idlePart) && u.parkable.Load() {
				idlest, since = u, idle
			}
		}
		first := p.queue[p.next()]
		need := first.n - p.free
		if idlest != nil || time.Since(p.moved) < stuckAfter || time.Since(first.since) < stuckAfter {
			need = 0
		}
		for i := len(p.queue) - 1; need > 0 && i >= 0; i-- {
			w := p.queue[i]
			held := len(w.u.cur.blocks) // it waits, and does not change it
			if w == first || w.asked || held == 0 {
				continue
			}
			w.asked = true
			need -= held
			p.parks++
			close(w.park)
		}
		p.mu.Unlock()
		if idlest != nil && idlest.parkIdle() {
			p.mu.Lock()
			p.parks++
			p.mu.Unlock()
		}
	}
}
