package httpd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrStalled is the failure of a transfer whose other end moved no bytes, or
// too few, for the stall timeout.
var ErrStalled = errors.New("the client stalled")

// listener wraps accepted connections in conn.
type listener struct {
	net.Listener
	srv *Server
}

// Accept waits for the next connection, and then for room: an idle connection
// has to go only once there is another that wants its place. It does not wait
// for a PROXY header: that is read by the connection's own goroutine.
func (l listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.srv.makeRoom()
	c := &conn{Conn: nc, set: &l.srv.conns, stall: l.srv.opt.StallTimeout, minRate: int64(l.srv.opt.MinRate)}
	if l.srv.opt.ProxyProtocol {
		c.proxy = &proxyState{trusted: l.srv.opt.TrustedProxies, timeout: l.srv.opt.ReadHeaderTimeout}
	}
	c.note(http.StateNew)
	l.srv.conns.add(c)
	return c, nil
}

// A conn is an accepted connection that guards its writes: one that moves no
// bytes for the stall timeout fails. Guarding here, below TLS and HTTP, covers
// every answer with one clock reading a write, allows transfers of any length,
// and keeps sendfile. Reads are guarded where it is known that the client owes
// us bytes: see body.
type conn struct {
	net.Conn
	set     *connSet // of the server
	closed  atomic.Bool
	stall   time.Duration // <= 0: writes are not guarded
	minRate int64         // bytes a second
	proxy   *proxyState   // nil without PROXY protocol

	ext   atomic.Bool  // somebody else set a write deadline: it counts, not ours
	lease atomic.Int64 // our write deadline in Unix nanoseconds
	sent  atomic.Int64 // bytes handed to the kernel
	acked atomic.Int64 // bytes known to have left when the last window ended
	quiet atomic.Int64 // since when no request runs, Unix nanoseconds; negated before the first one; 0: one runs
	dead  atomic.Bool  // a write stalled: no more are tried, such as TLS's farewell, which would wait again
}

// arm sets the write deadline when half of the present one is used up.
func (c *conn) arm() {
	if c.stall <= 0 || c.ext.Load() {
		return
	}
	now := time.Now()
	if c.lease.Load()-now.UnixNano() < int64(c.stall)/2 {
		end := now.Add(c.stall)
		c.lease.Store(end.UnixNano())
		_ = c.Conn.SetWriteDeadline(end) // fails on a closed connection, as the write will
	}
}

// goOn reports whether a write that failed with err may be continued: our
// deadline passed, but the other end took enough bytes in that window.
func (c *conn) goOn(err error) bool {
	if c.stall <= 0 || c.ext.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	// Bytes may leave a large socket buffer slowly without making room for
	// more, so ask the kernel what the other end has taken.
	left := c.sent.Load() - int64(unsent(c.Conn))
	moved := left - c.acked.Swap(left)
	return moved >= max(1, c.minRate*int64(c.stall)/int64(time.Second))
}

func (c *conn) stalled(err error) error {
	if c.stall > 0 && !c.ext.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		c.dead.Store(true)
		return fmt.Errorf("%w: %w", ErrStalled, err)
	}
	return err
}

// Write writes p, as long as the other end makes progress.
func (c *conn) Write(p []byte) (n int, err error) {
	if c.dead.Load() {
		return 0, ErrStalled
	}
	for {
		c.arm()
		m, err := c.Conn.Write(p[n:])
		n += m
		c.sent.Add(int64(m))
		if err == nil || !c.goOn(err) {
			return n, c.stalled(err)
		}
	}
}

// seekable is an open file: *os.File, or what io.Copy makes of it.
type seekable interface {
	io.ReadSeeker
	syscall.Conn
}

// ReadFrom sends src, a file by sendfile. net/http hands it an io.LimitedReader
// over the file; the connection gets the same, which is what the kernel's path
// needs.
func (c *conn) ReadFrom(src io.Reader) (n int64, err error) {
	if c.dead.Load() {
		return 0, ErrStalled
	}
	rf, ok := c.Conn.(io.ReaderFrom)
	limit := int64(1 << 62)
	lr, limited := src.(*io.LimitedReader)
	inner := src
	if limited {
		limit, inner = lr.N, lr.R
	}
	file, isFile := inner.(seekable)
	if !ok || !isFile {
		return copyPooled(writerOnly{c}, src)
	}
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil { // a pipe
		return copyPooled(writerOnly{c}, src)
	}
	for {
		c.arm()
		m, err := rf.ReadFrom(&io.LimitedReader{R: file, N: limit - n})
		n += m
		c.sent.Add(m)
		if limited {
			lr.N = limit - n
		}
		if err == nil || !c.goOn(err) {
			return n, c.stalled(err)
		}
		// Where the kernel has no sendfile for this file, bytes may have been
		// read and not sent.
		if _, err := file.Seek(start+n, io.SeekStart); err != nil {
			return n, err
		}
	}
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetWriteDeadline sets a deadline that stands in place of the guard's until
// it is cleared by the zero time.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.ext.Store(!t.IsZero())
	c.lease.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

// Close closes the connection.
func (c *conn) Close() error {
	if !c.closed.Swap(true) {
		c.set.remove(c)
	}
	return c.Conn.Close()
}

// CloseWrite ends the sending side, which net/http does before it closes a
// connection with unread bytes.
func (c *conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

// Read reads what follows the PROXY header.
func (c *conn) Read(p []byte) (int, error) {
	if c.proxy == nil {
		return c.Conn.Read(p)
	}
	if err := c.proxy.read(c.Conn); err != nil {
		return 0, err
	}
	if c.proxy.br.Buffered() > 0 {
		return c.proxy.br.Read(p)
	}
	return c.Conn.Read(p)
}

// RemoteAddr is the client's address: the one that the PROXY header names when
// the sender is trusted. It waits for that header.
func (c *conn) RemoteAddr() net.Addr {
	if c.proxy != nil && c.proxy.read(c.Conn) == nil && c.proxy.addr != nil {
		return c.proxy.addr
	}
	return c.Conn.RemoteAddr()
}

// proxyState is a connection's PROXY header.
type proxyState struct {
	trusted []netip.Prefix
	timeout time.Duration
	once    sync.Once
	err     error
	addr    net.Addr // nil: the connection's own
	br      *bufio.Reader
}

func (p *proxyState) read(nc net.Conn) error {
	p.once.Do(func() {
		if p.timeout > 0 {
			_ = nc.SetReadDeadline(time.Now().Add(p.timeout)) // fails on a closed connection, as the read will
			defer func() { _ = nc.SetReadDeadline(time.Time{}) }()
		}
		p.br = bufio.NewReaderSize(nc, maxProxyHeader)
		src, err := readProxyHeader(p.br)
		if err != nil {
			p.err = fmt.Errorf("PROXY header: %w", err)
			return
		}
		peer, err := netip.ParseAddrPort(nc.RemoteAddr().String())
		if err == nil && src.IsValid() && contains(p.trusted, peer.Addr().Unmap()) {
			p.addr = net.TCPAddrFromAddrPort(src)
		}
	})
	return p.err
}

// writerOnly hides ReadFrom.
type writerOnly struct{ io.Writer }

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func copyPooled(w io.Writer, r io.Reader) (int64, error) {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(w, readerOnly{r}, buf[:])
}

// readerOnly hides WriteTo, so that copyPooled copies by its own buffer.
type readerOnly struct{ io.Reader }
