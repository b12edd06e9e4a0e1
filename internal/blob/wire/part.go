package wire

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// Piece is the unit of a Pool's memory.
	Piece = 256 << 10
	// staleAfter is how old an unfinished part becomes while others wait for
	// memory.
	staleAfter = 10 * time.Second
)

// A Pool is the memory of all parts of uploads that are gathered or on their
// way. Who finds it empty waits, and unfinished parts are then stored as small
// ones, so that a client that only trickles holds nobody up.
type Pool struct {
	size int64
	idle sync.Pool // of *[Piece]byte

	mu      sync.Mutex
	free    int
	wake    chan struct{} // closed when a piece comes back
	writers map[*Writer]struct{}
}

// Uploads is the memory of all engines whose Options name none: 128 MiB.
var Uploads = NewPool(128 << 20)

// BesideS3 is the memory of engines in a process that uploads to S3, too,
// which has the rest of the 128 MiB.
var BesideS3 = NewPool(32 << 20)

// NewPool returns a pool of so many bytes, at least one Piece.
func NewPool(size int64) *Pool {
	return &Pool{size: size, free: int(max(1, size/Piece)), wake: make(chan struct{}), writers: map[*Writer]struct{}{}}
}

// try takes a piece if there is one; else wake is closed when it is worth
// trying again.
func (p *Pool) try() (piece *[Piece]byte, wake <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return nil, p.wake
	}
	p.free--
	if piece, ok := p.idle.Get().(*[Piece]byte); ok {
		return piece, nil
	}
	return new([Piece]byte), nil
}

func (p *Pool) give(pieces []*[Piece]byte) {
	if len(pieces) == 0 {
		return
	}
	for _, piece := range pieces {
		p.idle.Put(piece)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free += len(pieces)
	close(p.wake)
	p.wake = make(chan struct{})
}

// relieve stores the unfinished parts that are old.
func (p *Pool) relieve() {
	p.mu.Lock()
	all := make([]*Writer, 0, len(p.writers))
	for w := range p.writers {
		all = append(all, w)
	}
	p.mu.Unlock()
	for _, w := range all {
		if w.mu.TryLock() { // else it is at work
			if w.size > 0 && w.err == nil && time.Since(w.began) > staleAfter {
				w.tryStart()
			}
			w.mu.Unlock()
		}
	}
}

// share is the memory that each writer may use for the part that it gathers:
// half of the pool is for those on their way.
func (p *Pool) share() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size / 2 / int64(max(1, len(p.writers)))
}

// A Plan says how a Writer cuts its parts and where they go.
type Plan struct {
	// Store stores the part of that number; Store is called by several
	// goroutines, for different parts. It returns within a bounded time, and
	// does not use the body after that.
	Store func(ctx context.Context, n int, body *Body) error
	// First is the number of the first part.
	First int
	// Size returns the least and the most bytes of a part of that number: the
	// most is gathered while there is plenty of memory.
	Size func(n int) (least, most int64)
	// Parallel is how many parts are stored at a time; 0 = 3.
	Parallel int
}

// A Writer gathers bytes into parts and stores them in the background. One
// goroutine at a time uses it.
type Writer struct {
	pool   *Pool
	plan   Plan
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	slots  chan struct{}
	flying sync.WaitGroup

	mu     sync.Mutex // relieve comes in between
	next   int
	pieces []*[Piece]byte
	size   int64 // bytes in them
	began  time.Time
	err    error // of a Store, or why nothing can be written any more
	closed bool
	whole  []*[Piece]byte // given out by Whole
}

// NewWriter returns a writer, which has to be closed. What it stores in the
// background is not bound by ctx, but has its values.
func (p *Pool) NewWriter(ctx context.Context, plan Plan) *Writer {
	if plan.Parallel <= 0 {
		plan.Parallel = 3
	}
	w := &Writer{pool: p, plan: plan, next: plan.First, slots: make(chan struct{}, plan.Parallel)}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writers[w] = struct{}{}
	return w
}

var errInterrupted = errors.New("the upload was interrupted")

// Interrupt ends what is on its way, and the calls that wait for it. Any
// goroutine may call it.
func (w *Writer) Interrupt() {
	w.cancel() // who holds mu waits for this
	w.Fail(errInterrupted)
}

// Next is the number of the next part, and so says how many were begun.
func (w *Writer) Next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

// Fail has every further call but Close return err, if none failed before.
func (w *Writer) Fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// Write implements io.Writer. It waits while there is no memory.
func (w *Writer) Write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(p) > 0 && w.err == nil {
		if w.ctx.Err() != nil { // Interrupt waits for mu
			w.err = errInterrupted
			break
		}
		least, most := w.plan.Size(w.next)
		if target := min(max(w.pool.share(), least), most); w.size >= target {
			w.slot()
			w.start()
			continue
		}
		if w.size == int64(len(w.pieces))*Piece && !w.grow() {
			continue
		}
		m := copy(w.pieces[len(w.pieces)-1][w.size%Piece:], p[:min(int64(len(p)), max(most-w.size, 1))])
		if w.size == 0 {
			w.began = time.Now()
		}
		w.size += int64(m)
		p, n = p[m:], n+m
	}
	return n, w.err
}

// grow adds a piece to the part. false: the part was stored instead, or
// nothing can be written any more. The caller holds mu.
func (w *Writer) grow() bool {
	for w.err == nil {
		piece, wake := w.pool.try()
		if piece != nil {
			w.pieces = append(w.pieces, piece)
			return true
		}
		if w.size > 0 {
			if w.tryStart() {
				return false
			}
		}
		w.pool.relieve()
		w.mu.Unlock() // Store's errors come in
		tick := time.NewTimer(time.Second)
		select {
		case <-wake:
		case <-tick.C:
		case <-w.ctx.Done():
		}
		tick.Stop()
		w.mu.Lock()
	}
	return false
}

// slot waits until a part may be stored. The caller holds mu.
func (w *Writer) slot() {
	w.mu.Unlock()
	w.slots <- struct{}{} // Store is bounded
	w.mu.Lock()
}

// tryStart stores the part if one may be stored now. The caller holds mu.
func (w *Writer) tryStart() bool {
	select {
	case w.slots <- struct{}{}:
		w.start()
		return true
	default:
		return false
	}
}

// start stores the part, with a slot that is taken. The caller holds mu.
func (w *Writer) start() {
	if w.size == 0 || w.err != nil {
		<-w.slots
		return
	}
	n, body := w.next, &Body{pieces: w.pieces, size: w.size}
	w.next++
	w.pieces, w.size = nil, 0
	w.flying.Go(func() {
		err := w.plan.Store(w.ctx, n, body)
		if err != nil { // before there is room for more: nothing is sent after a part that failed
			w.Fail(err)
		}
		w.pool.give(body.pieces)
		<-w.slots
	})
}

// Flush stores all that was written, and returns when it is stored.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	if w.size > 0 && w.err == nil {
		w.slot()
		w.start()
	}
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		w.flying.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		w.Fail(ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && ctx.Err() != nil {
		w.err = ctx.Err()
	}
	return w.err
}

// Whole returns all that was written when no part of it was stored yet, for
// one request with everything; ok is false where a part was. Nothing is
// written any more then, and the body is the caller's until Close.
func (w *Writer) Whole() (body *Body, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.next != w.plan.First {
		return nil, false, w.err
	}
	body = &Body{pieces: w.pieces, size: w.size}
	w.whole, w.pieces, w.size = w.pieces, nil, 0 // relieve shall not store them
	return body, true, nil
}

// Close stops what is on its way and gives the memory back. A second Close
// does nothing.
func (w *Writer) Close() {
	w.Fail(errors.New("the upload has ended"))
	w.cancel()
	w.flying.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	w.pool.give(append(w.pieces, w.whole...))
	w.pieces, w.whole, w.size = nil, nil, 0
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	delete(w.pool.writers, w)
}

// A Body is the bytes of a part. It is read from the beginning for each try.
type Body struct {
	pieces []*[Piece]byte
	size   int64
	at     int64
}

// Size is the length in bytes.
func (b *Body) Size() int64 { return b.size }

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.at >= b.size {
		return 0, io.EOF
	}
	n := copy(p, b.pieces[b.at/Piece][b.at%Piece:min(Piece, b.size-b.at/Piece*Piece)])
	b.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	at, err := seek(offset, whence, b.at, b.size)
	if err == nil {
		b.at = at
	}
	return at, err
}

// Close implements io.Closer; the memory stays.
func (b *Body) Close() error { return nil }

// seek is io.Seeker's arithmetic.
func seek(offset int64, whence int, at, size int64) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += at
	case io.SeekEnd:
		offset += size
	default:
		return at, errors.New("seek: whence is unknown")
	}
	if offset < 0 {
		return at, errors.New("seek before the beginning")
	}
	return offset, nil
}
