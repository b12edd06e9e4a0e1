package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits of what a server may send.
const (
	maxHead      = 64 << 10 // bytes of a status line and its header fields
	maxChunkLine = 256      // bytes of a chunk's size line, its extensions included
	maxReason    = 512      // bytes kept of the body of an error that nobody asked for
)

// dialTimeout bounds one connection attempt on the loopback interface.
const dialTimeout = 10 * time.Second

// A Conn is a lean HTTP/1.1 client over one connection that is kept alive.
// Client and server share the machine, so it does as little as it can:
// requests are bytes that the caller built, and a body that nobody wants is
// dropped inside the kernel. It is not safe for concurrent use.
type Conn struct {
	// Tee, when not nil, is given each byte of the bodies that Do reads.
	Tee io.Writer

	addr string
	nc   net.Conn
	raw  syscall.RawConn // of nc when it is TCP: lets bodies be dropped in the kernel; else nil
	buf  []byte
	r, w int // buf[r:w] is read from nc and not yet used
}

// A Response is what Do read. Body and the fields that Get finds are valid
// until the Conn's next Do.
type Response struct {
	Status int    // as in the status line, never 1xx
	Length int64  // bytes of body that followed
	Body   []byte // the body, when Do was asked to keep it

	head []byte
}

// errClosed is the server ending a connection before it answered at all.
var errClosed = errors.New("the server closed the connection without an answer")

// NewConn makes a Conn to addr, "host:port", that dials when it is used.
func NewConn(addr string) *Conn {
	return &Conn{addr: addr, buf: make([]byte, maxHead)}
}

// Dial makes a Conn to addr, "host:port".
func Dial(ctx context.Context, addr string) (*Conn, error) {
	c := NewConn(addr)
	if err := c.dial(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Redial ends the connection, if there is one, and makes a new one.
func (c *Conn) Redial(ctx context.Context) error {
	c.Close()
	return c.dial(ctx)
}

// newConn wraps nc. It does not dial again once nc is gone.
func newConn(nc net.Conn) *Conn {
	return &Conn{nc: nc, buf: make([]byte, maxHead)}
}

func (c *Conn) dial(ctx context.Context) error {
	if c.addr == "" {
		return errClosed
	}
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.nc, c.r, c.w, c.raw = nc, 0, 0, nil
	if tcp, ok := nc.(*net.TCPConn); ok {
		if c.raw, err = tcp.SyscallConn(); err != nil {
			c.Close()
			return err
		}
	}
	return nil
}

// Close ends the connection. A later Do dials again.
func (c *Conn) Close() {
	if c.nc != nil {
		_ = c.nc.Close() // nothing is waiting to be written
		c.nc = nil
	}
}

// Do sends head, the bytes of a request up to and including its empty line,
// then body, and reads the answer. It keeps the answer's body when keep > 0,
// failing if the body is longer than keep, and drops it when keep is 0, but
// for the start of an error's: that goes into messages. The
// whole exchange ends at deadline; zero means never. After an error the
// connection is closed, and the next Do dials again.
func (c *Conn) Do(ctx context.Context, deadline time.Time, head []byte, body net.Buffers, keep int64) (Response, error) {
	if c.nc == nil {
		if err := c.dial(ctx); err != nil {
			return Response{}, err
		}
	}
	res, shut, err := c.exchange(deadline, head, body, keep)
	if err != nil || shut {
		c.Close()
	}
	if err != nil {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return res, fmt.Errorf("%s: %w", bytes.TrimSuffix(line, []byte(" HTTP/1.1")), err)
	}
	return res, nil
}

func (c *Conn) exchange(deadline time.Time, head []byte, body net.Buffers, keep int64) (Response, bool, error) {
	if err := c.nc.SetDeadline(deadline); err != nil {
		return Response{}, false, err
	}
	var werr error
	if len(body) == 0 {
		_, werr = c.nc.Write(head)
	} else {
		all := make(net.Buffers, 0, len(body)+1)
		all = append(append(all, head), body...)
		_, werr = all.WriteTo(c.nc)
	}
	// A server that refuses a body may answer before it has read all of it:
	// the answer says more than the broken pipe.
	res, shut, err := c.readResponse(bytes.HasPrefix(head, []byte("HEAD ")), keep)
	switch {
	case werr != nil && err != nil:
		return res, true, fmt.Errorf("write: %w", werr)
	case werr != nil:
		return res, true, nil
	}
	return res, shut, err
}

// readResponse reads one answer; shut tells that the server ends the
// connection after it.
func (c *Conn) readResponse(toHead bool, keep int64) (res Response, shut bool, err error) {
	var h head
	for {
		raw, err := c.readHead()
		if err != nil {
			return res, true, err
		}
		if h, err = parseHead(raw); err != nil {
			return res, true, err
		}
		if h.status >= 200 {
			// Body reads reuse buf from its start, so the head is copied: it
			// is small, and most answers need no second read.
			res = Response{Status: h.status, head: raw}
			break
		}
	}
	shut = h.close
	if toHead || h.status == 204 || h.status == 304 {
		return res, shut, nil
	}
	sink := bodySink{tee: c.Tee, keep: keep}
	if keep == 0 && h.status >= 400 {
		sink.keep, sink.cut = maxReason, true
	}
	if h.chunked || h.length < 0 || h.length > int64(c.w-c.r) {
		res.head = bytes.Clone(res.head)
	}
	switch {
	case h.chunked:
		err = c.readChunked(&sink)
	case h.length >= 0:
		err = c.readN(h.length, &sink)
	default:
		shut = true
		err = c.readAll(&sink)
	}
	res.Length, res.Body = sink.n, sink.body
	return res, shut, err
}

// Get returns the first value of the header field named name, or "".
func (r Response) Get(name string) string {
	_, rest, _ := bytes.Cut(r.head, []byte("\r\n"))
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if k, v, ok := bytes.Cut(line, []byte(":")); ok && equalFold(k, name) {
			return string(bytes.Trim(v, " \t"))
		}
	}
	return ""
}

// fill reads more bytes behind buf[:w], making room first.
func (c *Conn) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.w == len(c.buf) {
		copy(c.buf, c.buf[c.r:c.w])
		c.r, c.w = 0, c.w-c.r
	}
	n, err := c.nc.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// readHead returns the bytes up to the empty line, which it takes away. They
// stay valid until the next fill.
func (c *Conn) readHead() ([]byte, error) {
	seen := 0
	for {
		// The end may straddle two reads.
		from := c.r + max(0, seen-3)
		if i := bytes.Index(c.buf[from:c.w], []byte("\r\n\r\n")); i >= 0 {
			raw := c.buf[c.r : from+i]
			c.r = from + i + 4
			return raw, nil
		}
		seen = c.w - c.r
		if seen >= maxHead {
			return nil, fmt.Errorf("the answer's header is longer than %d bytes", maxHead)
		}
		if err := c.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				if seen == 0 {
					return nil, errClosed
				}
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// A bodySink takes a body's bytes.
type bodySink struct {
	tee  io.Writer
	keep int64
	cut  bool // keep no more than keep bytes rather than fail
	body []byte
	n    int64
}

// drops tells that no byte of the body is looked at.
func (s *bodySink) drops() bool { return s.keep == 0 && s.tee == nil }

func (s *bodySink) take(p []byte) error {
	s.n += int64(len(p))
	if s.keep > 0 {
		kept := p
		if s.n > s.keep {
			if !s.cut {
				return fmt.Errorf("the body is longer than %d bytes", s.keep)
			}
			kept = p[:min(int64(len(p)), s.keep-int64(len(s.body)))]
		}
		s.body = append(s.body, kept...)
	}
	if s.tee != nil {
		if _, err := s.tee.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// readN reads n bytes of body.
func (c *Conn) readN(n int64, s *bodySink) error {
	for {
		got := min(n, int64(c.w-c.r))
		if err := s.take(c.buf[c.r : c.r+int(got)]); err != nil {
			return err
		}
		c.r += int(got)
		if n -= got; n == 0 {
			return nil
		}
		if s.drops() && c.raw != nil && n > int64(len(c.buf)) {
			if err := c.drop(n, s); err != nil {
				return unexpected(err)
			}
			return nil
		}
		if err := c.fill(); err != nil {
			return unexpected(err)
		}
	}
}

// drop throws n bytes of body away without copying them out of the kernel:
// on Linux recv with MSG_TRUNC on a TCP socket moves past the bytes and never
// touches the buffer.
func (c *Conn) drop(n int64, s *bodySink) error {
	var err error
	for n > 0 {
		got := 0
		rerr := c.raw.Read(func(fd uintptr) bool {
			size := min(n, dropSize)
			for {
				got, err = recvTrunc(int(fd), c.buf, int(size))
				if err != syscall.EINTR { //nolint:errorlint // a plain errno, straight from the system call
					break
				}
			}
			return err != syscall.EAGAIN //nolint:errorlint // as above
		})
		if rerr != nil {
			return rerr
		}
		if err != nil {
			return fmt.Errorf("recv: %w", err)
		}
		if got == 0 {
			return io.EOF
		}
		n -= int64(got)
		s.n += int64(got)
	}
	return nil
}

// readAll reads a body that ends with the connection.
func (c *Conn) readAll(s *bodySink) error {
	for {
		if err := s.take(c.buf[c.r:c.w]); err != nil {
			return err
		}
		c.r = c.w
		if err := c.fill(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// readChunked reads a chunked body with its trailers.
func (c *Conn) readChunked(s *bodySink) error {
	for {
		line, err := c.line(maxChunkLine)
		if err != nil {
			return err
		}
		n, err := parseChunkSize(line)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := c.readN(n, s); err != nil {
			return err
		}
		if line, err = c.line(maxChunkLine); err != nil {
			return err
		} else if len(line) != 0 {
			return errors.New("a chunk is longer than it says")
		}
	}
	for left := maxHead; left > 0; {
		line, err := c.line(left)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		left -= len(line) + 2
	}
	return fmt.Errorf("the answer's trailers are longer than %d bytes", maxHead)
}

// line returns the next line without its CRLF, valid until the next fill.
func (c *Conn) line(limit int) ([]byte, error) {
	for {
		if i := bytes.Index(c.buf[c.r:c.w], []byte("\r\n")); i >= 0 {
			if i > limit {
				break
			}
			p := c.buf[c.r : c.r+i]
			c.r += i + 2
			return p, nil
		}
		if c.w-c.r > limit {
			break
		}
		if err := c.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
	return nil, fmt.Errorf("a line of the answer is longer than %d bytes", limit)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A head is what an answer's first lines say about the bytes that follow.
type head struct {
	status  int
	length  int64 // of the body; -1 when not said
	chunked bool
	close   bool // the server ends the connection after the answer
}

// parseHead parses a status line and header fields, without the empty line.
func parseHead(p []byte) (head, error) {
	h := head{length: -1}
	line, rest, _ := bytes.Cut(p, []byte("\r\n"))
	// "HTTP/1.1 200" and perhaps a space and a reason
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' ||
		(line[7] != '0' && line[7] != '1') || (len(line) > 12 && line[12] != ' ') || bytes.ContainsAny(line, "\r\n") {
		return h, fmt.Errorf("not an HTTP/1 answer: %.80q", line)
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return h, fmt.Errorf("not an HTTP status: %.80q", line)
		}
		h.status = 10*h.status + int(c-'0')
	}
	if h.status < 100 || h.status == 101 {
		return h, fmt.Errorf("unexpected HTTP status %d", h.status)
	}
	h.close = line[7] == '0'
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		k, v, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(k) == 0 || bytes.ContainsAny(k, " \t\r\n") || bytes.ContainsAny(v, "\r\n") {
			return h, fmt.Errorf("not a header field: %.80q", line)
		}
		v = bytes.Trim(v, " \t")
		switch {
		case equalFold(k, "Content-Length"):
			n, err := parseDigits(v)
			if err != nil || (h.length >= 0 && h.length != n) {
				return h, fmt.Errorf("bad Content-Length %.80q", v)
			}
			h.length = n
		case equalFold(k, "Transfer-Encoding"):
			if !equalFold(v, "chunked") || h.chunked || line[7] == '0' {
				return h, fmt.Errorf("unknown Transfer-Encoding %.80q", v)
			}
			h.chunked = true
		case equalFold(k, "Connection"):
			for _, word := range strings.Split(string(v), ",") {
				switch strings.ToLower(strings.TrimSpace(word)) {
				case "close":
					h.close = true
				case "keep-alive":
					h.close = false
				}
			}
		}
	}
	if h.chunked {
		h.length = -1
	}
	return h, nil
}

func equalFold(p []byte, s string) bool {
	return len(p) == len(s) && strings.EqualFold(string(p), s)
}

func parseDigits(p []byte) (int64, error) {
	if len(p) == 0 || p[0] < '0' || p[0] > '9' {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(string(p), 10, 64)
}

// parseChunkSize parses "1a2b" or "1a2b;extension".
func parseChunkSize(line []byte) (int64, error) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	if len(digits) == 0 || digits[0] == '+' || digits[0] == '-' {
		return 0, fmt.Errorf("bad chunk size %.40q", line)
	}
	n, err := strconv.ParseInt(string(digits), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("bad chunk size %.40q", line)
	}
	return n, nil
}
