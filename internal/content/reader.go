package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

const (
	// pumpSize is how many bytes are read at a time, and pumpBuffers how many
	// such a stream has.
	pumpSize    = 32 << 10
	pumpBuffers = 2
	// wholeSize is up to which size a blob is read whole and checked before
	// its first byte goes out, so that damaged bytes are passed over.
	wholeSize = pumpSize * pumpBuffers
	// readTries is how often one copy may give one stream no byte, and
	// mostBreaks how often a stream may break off in all.
	readTries  = 2
	mostBreaks = 16
)

// errDamaged ends a stream of bytes that are not the blob, before its last.
var errDamaged = errors.New("the bytes do not have the digest")

// openBlob returns the bytes of a blob from the best of its copies. A read that
// fails, stalls or is too slow goes on from the next copy at the same byte,
// and a blob that is read whole ends with an error instead of its last bytes
// when it does not have its digest. A file of this machine comes as it is.
func (s *sources) openBlob(ctx context.Context, d gantry.Digest, size int64, copies []copyAt) (io.ReadSeekCloser, error) {
	for {
		o := s.open(ctx, d, size, copies)
		if o.object == nil {
			if o.err == nil {
				o.err = errLost
			}
			return nil, o.err
		}
		if f, ok := o.object.(blob.Filer); ok {
			o.stop() // an open file needs no context
			return f, nil
		}
		if size > wholeSize {
			return newStream(ctx, s, d, size, copies, o), nil
		}
		r := newStream(ctx, s, d, size, copies, o)
		b, err := readSmall(r, size)
		switch {
		case err == nil:
			return memory{bytes.NewReader(b)}, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		if copies = r.unused(); len(copies) == 0 {
			return nil, err
		}
	}
}

// readSmall reads a small blob whole.
func readSmall(r *stream, size int64) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, errors.Join(err, r.Close())
}

// memory is a small blob that was read whole.
type memory struct{ *bytes.Reader }

// Close implements io.Closer.
func (memory) Close() error { return nil }

// A stream is a blob.Object's bytes, from one copy after another. It is used
// by one goroutine at a time.
type stream struct {
	s      *sources
	ctx    context.Context //nolint:containedctx // of the request whose body this is; io.Reader has none
	d      gantry.Digest
	size   int64
	copies []copyAt
	fails  []int  // of each copy
	gave   []bool // it gave bytes

	object opened // open and not read from yet; object nil: none
	pump   *pump
	at     int // which copy the pump reads
	rest   []byte
	buf    *[]byte // that rest is of

	off    int64     // of the next byte for the caller
	got    int64     // bytes that came from storage, to off and beyond it by rest
	hash   hash.Hash // nil: not a read from the first byte
	err    error
	breaks int           // how often it went on elsewhere
	first  bool          // the copy has given no byte yet
	waited time.Duration // for the copy, and what it gave in that time
	given  int64
}

func newStream(ctx context.Context, s *sources, d gantry.Digest, size int64, copies []copyAt, o opened) *stream {
	return &stream{s: s, ctx: ctx, d: d, size: size, copies: copies, fails: make([]int, len(copies)), gave: make([]bool, len(copies)),
		object: o, at: o.at, hash: gantry.NewHash(d.Algorithm())}
}

// unused are the copies that gave no byte.
func (r *stream) unused() (left []copyAt) {
	for i, c := range r.copies {
		if !r.gave[i] && r.fails[i] < readTries {
			left = append(left, c)
		}
	}
	return left
}

// Size returns the length in bytes.
func (r *stream) Size() int64 { return r.size }

// Seek implements io.Seeker. It does no I/O.
func (r *stream) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return r.off, gantry.Errorf(gantry.Invalid, "range", "an offset cannot be negative")
	}
	if offset != r.off {
		r.give()
		r.end()
		r.off, r.got, r.hash = offset, offset, nil
		if offset == 0 {
			r.hash = gantry.NewHash(r.d.Algorithm())
		}
	}
	return offset, nil
}

// Read implements io.Reader.
func (r *stream) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for len(r.rest) == 0 {
		r.give()
		if r.off >= r.size {
			return 0, io.EOF
		}
		if r.err = r.fill(); r.err != nil {
			r.end()
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.off += int64(n)
	return n, nil
}

// Close implements io.Closer.
func (r *stream) Close() error {
	r.give()
	r.end()
	if r.err == nil {
		r.err = errors.New("the blob is closed")
	}
	return nil
}

// give gives the buffer back.
func (r *stream) give() {
	if r.buf != nil {
		r.s.buffers.Put(r.buf)
		r.buf, r.rest = nil, nil
	}
}

// end closes what is open of the copy.
func (r *stream) end() {
	if r.pump != nil {
		r.pump.stop()
		r.pump = nil
	}
	if o := r.object; o.object != nil {
		r.object = opened{}
		_ = o.object.Close() // only read
		o.stop()
	}
}

// fill brings the next bytes, from whichever copy.
func (r *stream) fill() error {
	for {
		if r.pump == nil {
			if err := r.begin(); err != nil {
				return err
			}
		}
		c, err := r.next()
		if err == nil {
			if err = r.take(c); err == nil || errors.Is(err, errDamaged) {
				return err
			}
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		l := r.copies[r.at]
		l.Health.Reads(0, err)
		r.s.metrics.Storage(r.ctx, l.Name, "read", 0, err)
		r.s.log.WarnContext(r.ctx, "a read goes on from another copy", "digest", r.d, "location", l.Name, "byte", r.got, "error", err)
		if r.first {
			r.fails[r.at]++
		} else { // it gave bytes: it is tried again, after the others
			r.fails[r.at] = max(r.fails[r.at], 1)
		}
		r.breaks++
		r.end()
		if r.all() || r.breaks >= mostBreaks {
			return errNoBytes(fmt.Errorf("no location gives the bytes from %d on: %w", r.got, err))
		}
	}
}

// all reports whether no copy is left to be tried.
func (r *stream) all() bool {
	for _, n := range r.fails {
		if n < readTries {
			return false
		}
	}
	return true
}

// begin opens a copy at the next byte: the best of those that failed least.
func (r *stream) begin() error {
	if r.object.object == nil {
		var left []copyAt
		var index []int
		for fails := range readTries {
			for i, c := range r.copies {
				if r.fails[i] == fails {
					left, index = append(left, c), append(index, i)
				}
			}
		}
		o := r.s.open(r.ctx, r.d, r.size, left)
		if o.object == nil {
			return errNoBytes(o.err)
		}
		o.at = index[o.at]
		r.object = o
	}
	o := r.object
	r.object, r.at = opened{}, o.at
	if r.got > 0 {
		if _, err := o.object.Seek(r.got, io.SeekStart); err != nil {
			_ = o.object.Close() // only read
			o.stop()
			r.fails[r.at]++
			if r.all() {
				return errNoBytes(fmt.Errorf("seek in blob: %w", err))
			}
			return r.begin()
		}
	}
	r.first, r.waited, r.given = true, 0, 0
	r.pump = startPump(r.s, o)
	return nil
}

// next waits for the pump, no longer than it may take.
func (r *stream) next() (chunk, error) {
	select {
	case c := <-r.pump.chunks: // without a timer
		return c, r.short(c)
	default:
	}
	limit := r.s.timing.Stall
	if r.first {
		limit = r.s.timing.FirstByte
		if r.alone() {
			limit = r.s.timing.Patience
		}
	}
	began := time.Now()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case c := <-r.pump.chunks:
		r.waited += time.Since(began)
		if err := r.short(c); err != nil {
			return c, err
		}
		return c, r.tooSlow(c)
	case <-late.C:
		return chunk{}, errSlow
	case <-r.ctx.Done():
		return chunk{}, r.ctx.Err()
	}
}

// errNoBytes is the end of a stream for which no location has the bytes.
func errNoBytes(err error) error {
	if _, told := errors.AsType[*gantry.Error](err); told || err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: 5 * time.Second,
		Detail: "the registry's storage does not answer; try again", Err: err}
}

// alone reports whether there is no other copy that is well.
func (r *stream) alone() bool {
	for i, c := range r.copies {
		if i != r.at && r.fails[i] < readTries {
			if up, _ := c.Health.up(false); up {
				return false
			}
		}
	}
	return true
}

// short is the error of a chunk without bytes.
func (r *stream) short(c chunk) error {
	switch {
	case c.n > 0:
		return nil
	case c.err == nil || errors.Is(c.err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return c.err
}

// tooSlow is an error when the copy gives too little, and another may give
// more. The bytes of c are not used then.
func (r *stream) tooSlow(c chunk) error {
	if r.waited < r.s.timing.Stall {
		return nil
	}
	rate := float64(r.given+int64(c.n)) / r.waited.Seconds()
	if rate >= float64(r.s.timing.Floor) || r.alone() {
		r.waited, r.given = 0, 0
		return nil
	}
	r.s.buffers.Put(c.buf)
	return fmt.Errorf("%w: %.0f bytes a second", errSlow, rate)
}

// take takes a chunk in. The last one of a whole blob is given out only if the
// digest is right.
func (r *stream) take(c chunk) error {
	n := int64(c.n)
	if r.got+n > r.size {
		r.s.buffers.Put(c.buf)
		return fmt.Errorf("the object has more than %d bytes", r.size)
	}
	r.first = false
	r.given += n
	r.gave[r.at] = true
	p := (*c.buf)[:c.n]
	if r.hash != nil {
		_, _ = r.hash.Write(p) // never fails
		if r.got+n == r.size && gantry.DigestOf(r.d.Algorithm(), r.hash) != r.d {
			r.s.buffers.Put(c.buf)
			r.damaged()
			return errNoBytes(errDamaged)
		}
	}
	r.got += n
	r.buf, r.rest = c.buf, p
	return nil
}

// damaged doubts every copy that gave bytes.
func (r *stream) damaged() {
	for i, c := range r.copies {
		if r.gave[i] {
			r.s.log.ErrorContext(r.ctx, "a location gave bytes that are not the blob; it is verified", "digest", r.d, "location", c.Name, "key", c.key)
			c.Health.lied(r.d)
			r.s.doubt(r.ctx, r.d, c.ID, c.path)
		}
	}
}

// A chunk is what one Read of an object gave.
type chunk struct {
	buf *[]byte
	n   int
	err error
}

// A pump reads an object in a goroutine of its own, so that a call that never
// returns keeps nobody.
type pump struct {
	chunks chan chunk
	quit   chan struct{}
	cancel context.CancelFunc
}

func startPump(s *sources, o opened) *pump {
	p := &pump{chunks: make(chan chunk, pumpBuffers-1), quit: make(chan struct{}), cancel: o.stop}
	go func() {
		defer o.stop()
		defer func() { _ = o.object.Close() }() // only read
		for {
			buf := s.buffers.Get().(*[]byte)
			c := chunk{buf: buf}
			c.n, c.err = o.object.Read(*buf)
			if c.n == 0 {
				s.buffers.Put(buf)
				c.buf = nil
				if c.err == nil {
					c.err = io.ErrNoProgress
				}
			}
			select {
			case p.chunks <- c:
			case <-p.quit:
				if c.n > 0 {
					s.buffers.Put(buf)
				}
				return
			}
			if c.err != nil {
				return
			}
		}
	}()
	return p
}

// stop ends the pump; a Read that hangs ends on its own.
func (p *pump) stop() {
	p.cancel()
	close(p.quit)
}

// A Reader reads blobs for whoever serves nobody, such as a backup. It may be
// used concurrently.
type Reader struct{ sources sources }

// NewReader returns a Reader of the locations, in order of preference.
func NewReader(locations []Location) *Reader {
	return &Reader{sources{locations: withHealth(locations), timing: Timing{}.orDefaults(), log: slog.New(slog.DiscardHandler), buffers: &sync.Pool{New: newPumpBuffer},
		doubt: func(context.Context, gantry.Digest, int64, string) {}}} // nobody to tell
}

// Open returns the bytes of a blob from the best of its places; the caller
// closes it. A read that fails or stalls goes on from the next place at the same
// byte. Bytes of another machine end with an error unless they have the digest;
// a file of this machine is not checked. Where no location has the blob, the
// error is gantry.NotFound on "blob".
func (r *Reader) Open(ctx context.Context, d gantry.Digest, size int64, places []store.Place) (io.ReadSeekCloser, error) {
	from := r.sources.order(d, places)
	if len(from) == 0 {
		return nil, errLost
	}
	return r.sources.openBlob(ctx, d, size, from)
}
