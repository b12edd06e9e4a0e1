package httpd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/telemetry"
)

// MiddlewareOptions says what Middleware does around a handler. The zero value
// works: no metrics, no traces, no proxy trusted.
type MiddlewareOptions struct {
	Logger         *slog.Logger // nil is slog.Default()
	Metrics        *telemetry.Metrics
	Tracer         *telemetry.Tracer
	Gate           *Gate                    // nil never drains
	TrustedProxies []netip.Prefix           // whose X-Forwarded-* and X-Real-IP are believed; TRUSTED_PROXY_CIDR "all" is 0.0.0.0/0 and ::/0
	ProxyCount     int                      // PROXY_COUNT: proxies between us and the client; 0 is 1, negative is none
	MaxInFlight    int                      // requests served at once, others get 503; 0 is no limit
	Unlimited      func(*http.Request) bool // requests outside MaxInFlight, as health checks; nil is none
	StallTimeout   time.Duration            // a request body must move within this time; 0 is 30 s, negative is no limit
	MinRate        int                      // bytes a second below which a body counts as stalled; 0 is 64, negative is none

	// Panicked writes the answer to a request whose handler panicked before it
	// answered; nil writes a plain 500.
	Panicked func(http.ResponseWriter, *http.Request)
	// Busy writes the 503 of MaxInFlight; its Retry-After is set. nil writes a
	// plain one.
	Busy func(http.ResponseWriter, *http.Request)
}

// Info is what is known of a request. The middleware makes it; the handler
// fills in Route and Actor, from the request's own goroutine only.
type Info struct {
	RequestID string
	IP        netip.Addr // the client's, behind the trusted proxies; may be invalid
	Scheme    string     // http or https, as the client used it
	Host      string     // host[:port] as the client asked for it
	Route     string     // a name from a small fixed set such as v2.download_blob; "" until set
	Actor     string     // who, for the access log; "" until set
	Status    int        // of the answer; 0 until it is written
	Bytes     int64      // of the answer's body
}

// InfoFrom returns the Info of the request that ctx belongs to, or nil outside
// the middleware.
func InfoFrom(ctx context.Context) *Info {
	if st, ok := ctx.Value(infoKey{}).(*state); ok {
		return &st.Info
	}
	return nil
}

// SetRoute names the route of ctx's request for metrics, traces and logs.
// Outside the middleware it does nothing.
func SetRoute(ctx context.Context, route string) {
	if i := InfoFrom(ctx); i != nil {
		i.Route = route
	}
}

// SetActor names who makes ctx's request, for the access log. Outside the
// middleware it does nothing.
func SetActor(ctx context.Context, actor string) {
	if i := InfoFrom(ctx); i != nil {
		i.Actor = actor
	}
}

// ClientIP returns the client's address, or the invalid one outside the
// middleware.
func ClientIP(ctx context.Context) netip.Addr {
	if i := InfoFrom(ctx); i != nil {
		return i.IP
	}
	return netip.Addr{}
}

// Scheme returns http or https, as the client used it.
func Scheme(r *http.Request) string {
	if i := InfoFrom(r.Context()); i != nil {
		return i.Scheme
	}
	return forwardedScheme(r, false, 1)
}

// Host returns the host[:port] that the client asked for.
func Host(r *http.Request) string {
	if i := InfoFrom(r.Context()); i != nil {
		return i.Host
	}
	return r.Host
}

type infoKey struct{}

// state is all that the middleware keeps of one request: its Info, context,
// writer and body in one allocation. It is not pooled, because a context may
// live on in what the handler started.
type state struct {
	Info
	context.Context
	rw   writer
	body body
	dog  watchdog
	id   [1]string // the value of the X-Request-Id header
}

// Value makes state a context that holds itself.
func (st *state) Value(key any) any {
	if _, ok := key.(infoKey); ok || telemetry.IsRequestIDKey(key) {
		return st
	}
	return st.Context.Value(key)
}

// GetRequestID implements telemetry.RequestIDer.
func (st *state) GetRequestID() string { return st.RequestID }

// Header values that never change; len equals cap, so that Add copies them.
var (
	headerClose   = []string{"close"}
	headerDeny    = []string{"DENY"}
	headerNosniff = []string{"nosniff"}
	headerHSTS    = []string{"max-age=63072000; preload"}
)

type middleware struct {
	opt      MiddlewareOptions
	next     http.Handler
	inFlight atomic.Int64
}

// Middleware wraps next in everything that each request gets: an id, the
// client's address, recovery from panics, security headers, a guard against
// slow bodies, metrics, a trace and an access log line. The log never has
// query strings or header values other than User-Agent.
func Middleware(o MiddlewareOptions, next http.Handler) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case o.ProxyCount == 0:
		o.ProxyCount = 1
	case o.ProxyCount < 0:
		o.ProxyCount, o.TrustedProxies = 0, nil
	}
	setDefault(&o.StallTimeout, defaultStall)
	setDefault(&o.MinRate, defaultMinRate)
	return &middleware{opt: o, next: next}
}

// ServeHTTP answers one request.
func (m *middleware) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	st := &state{Context: r.Context()}
	st.identify(r, &m.opt)
	st.rw = writer{inner: w, st: st, gate: m.opt.Gate, h2: r.ProtoMajor >= 2}
	h := w.Header()
	h["X-Request-Id"] = st.id[:]
	h["X-Frame-Options"] = headerDeny
	h["X-Content-Type-Options"] = headerNosniff
	if st.Scheme == "https" {
		h["Strict-Transport-Security"] = headerHSTS
	}
	ctx, span := m.opt.Tracer.StartServer(st, r)
	req := r.WithContext(ctx)
	if st.rw.h2 && m.opt.StallTimeout > 0 {
		st.dog.init(w, m.opt.StallTimeout)
		st.rw.dog, st.body.dog = &st.dog, &st.dog
	}
	if r.Body != nil && r.Body != http.NoBody {
		st.body = body{inner: r.Body, st: st, dog: st.body.dog, stall: m.opt.StallTimeout, minRate: m.opt.MinRate}
		req.Body = &st.body
	}
	flying := m.inFlight.Add(1)
	m.opt.Metrics.InFlight(1)
	defer func() { // runs on a panic that goes on, too
		m.inFlight.Add(-1)
		m.opt.Metrics.InFlight(-1)
		st.finish(m.opt.StallTimeout)
		took := time.Since(start)
		m.opt.Metrics.Request(ctx, r.Method, st.Route, st.Status, took.Seconds())
		if span.Recording() {
			if st.Route != "" {
				span.SetName(st.Route)
			}
			span.SetStatus(st.Status)
		}
		span.End()
		m.log(ctx, r, st, took)
	}()
	if m.opt.MaxInFlight > 0 && flying > int64(m.opt.MaxInFlight) && (m.opt.Unlimited == nil || !m.opt.Unlimited(r)) {
		h.Set("Retry-After", "1")
		if m.opt.Busy != nil {
			m.opt.Busy(&st.rw, req)
		} else {
			http.Error(&st.rw, "too many requests are running", http.StatusServiceUnavailable)
		}
		return
	}
	defer m.recover(ctx, st, req)
	m.next.ServeHTTP(&st.rw, req)
	st.linger(r)
}

// recover answers a request whose handler panicked. When a part of the answer
// is out, the connection is broken off, or the client would take that part for
// the whole.
func (m *middleware) recover(ctx context.Context, st *state, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		if st.Status == 0 {
			st.Status = http.StatusInternalServerError // for metrics and log
		}
		panic(http.ErrAbortHandler)
	}
	m.opt.Metrics.Panicked()
	m.opt.Logger.ErrorContext(ctx, "handler panicked", "panic", fmt.Sprint(v), "path", cut(r.URL.Path, 1024), "stack", string(debug.Stack()))
	if st.Status != 0 {
		st.Status = http.StatusInternalServerError // for metrics and log; the client saw another one
		panic(http.ErrAbortHandler)
	}
	h := st.rw.Header()
	for _, k := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Cache-Control"} {
		h.Del(k)
	}
	if m.opt.Panicked != nil {
		m.opt.Panicked(&st.rw, r)
		return
	}
	http.Error(&st.rw, "internal error", http.StatusInternalServerError)
}

func (m *middleware) log(ctx context.Context, r *http.Request, st *state, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case st.Status >= 500:
		level = slog.LevelError
	case st.Status >= 400:
	case r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions:
		level = slog.LevelDebug
	}
	if !m.opt.Logger.Enabled(ctx, level) {
		return
	}
	m.opt.Logger.LogAttrs(ctx, level, "request",
		slog.String("method", cut(r.Method, 32)), slog.String("path", cut(r.URL.Path, 1024)),
		slog.String("route", st.Route), slog.Int("status", st.Status), slog.Int64("bytes", st.Bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("ip", st.ip()),
		slog.String("actor", st.Actor), slog.String("agent", cut(r.UserAgent(), 256)), slog.String("proto", r.Proto))
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// ip is the client's address as text, "" when unknown.
func (i *Info) ip() string {
	if !i.IP.IsValid() {
		return ""
	}
	return i.IP.String()
}

// identify fills in what the request says of itself.
func (st *state) identify(r *http.Request, o *MiddlewareOptions) {
	if id := r.Header["X-Request-Id"]; len(id) == 1 && saneID(id[0]) {
		st.RequestID = id[0]
	} else {
		st.RequestID = newID()
	}
	st.id[0] = st.RequestID
	st.IP = peerAddr(r)
	trusted := len(o.TrustedProxies) > 0 && contains(o.TrustedProxies, st.IP)
	if trusted {
		st.IP = clientAddr(r.Header, st.IP, o.TrustedProxies, o.ProxyCount)
	}
	st.Scheme = forwardedScheme(r, trusted, o.ProxyCount)
	st.Host = forwardedHost(r, trusted, o.ProxyCount)
}

// saneID reports whether a caller's request id may stand in headers and logs.
func saneID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func newID() string {
	var raw [12]byte
	_, _ = rand.Read(raw[:]) // never fails
	var text [24]byte
	hex.Encode(text[:], raw[:])
	return string(text[:])
}

// finish settles the status and bounds what net/http does after the handler:
// reading the rest of the body, sending the rest of the answer.
func (st *state) finish(stall time.Duration) {
	st.dog.stop()
	if st.Status == 0 {
		st.Status = http.StatusOK
		if st.Err() != nil {
			st.Status = 499 // the client left first; no answer was seen
		}
	}
	if stall <= 0 {
		return
	}
	if st.rw.h2 {
		if st.Bytes > 0 {
			st.rw.setDeadline(false, time.Now().Add(stall))
		}
		return
	}
	if st.body.inner != nil && !st.body.ended {
		st.rw.setDeadline(true, time.Now().Add(stall))
	}
}

// How long, and how much of it, a refused body is still taken.
const (
	lingerFor   = 5 * time.Second
	lingerBytes = 1 << 30
)

// linger sends a refusal that did not wait for the whole body, and takes what
// the client still sends. net/http would close the connection after half a
// second: a client that is busy writing then finds the connection broken, and
// never reads why. One that asked before it sends (Expect) has read it.
func (st *state) linger(r *http.Request) {
	b := &st.body
	if st.rw.h2 || st.Status < 400 || b.inner == nil || b.ended || r.Header.Get("Expect") != "" {
		return
	}
	st.rw.setDeadline(true, time.Now().Add(lingerFor)) // net/http reads a part before it answers
	if st.rw.FlushError() != nil {
		return // the client is gone
	}
	_, _ = io.CopyN(io.Discard, b.inner, lingerBytes) // what ends it, ends the connection
	b.ended = true
}

// writer is the answer's writer.
type writer struct {
	inner http.ResponseWriter
	st    *state
	gate  *Gate
	dog   *watchdog // on HTTP/2 only
	h2    bool
}

// Header returns the answer's header.
func (w *writer) Header() http.Header { return w.inner.Header() }

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.inner }

// WriteHeader sends the status; while the instance drains it ends the
// connection with this answer.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		if w.st.Status == 0 {
			w.st.Status = status
			if w.gate.Draining() && status >= 200 {
				w.inner.Header()["Connection"] = headerClose
			}
		}
	}
	w.inner.WriteHeader(status)
}

func (w *writer) begin() {
	if w.st.Status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

// h2Piece is how much of an answer counts as progress on HTTP/2, where a
// stream may wait for its window while the connection moves.
const h2Piece = 32 << 10

// Write sends p.
func (w *writer) Write(p []byte) (n int, err error) {
	if w.st.Status == 0 && w.gate.Draining() {
		w.begin()
	}
	w.implicit()
	if w.dog == nil || w.st.Bytes+int64(len(p)) <= 4<<10 { // that much is buffered by net/http
		n, err = w.inner.Write(p)
		w.st.Bytes += int64(n)
		return n, err
	}
	for {
		piece := p[n:min(len(p), n+h2Piece)]
		w.dog.enter(&w.dog.writing)
		m, err := w.inner.Write(piece)
		w.dog.leave(&w.dog.writing)
		n += m
		w.st.Bytes += int64(m)
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// implicit notes the status that net/http sends when none was given. It does
// not send it, so that net/http can still find type and length of a small
// answer by itself.
func (w *writer) implicit() {
	if w.st.Status == 0 {
		w.st.Status = http.StatusOK
	}
}

// WriteString sends s.
func (w *writer) WriteString(s string) (int, error) {
	if sw, ok := w.inner.(io.StringWriter); ok && w.dog == nil {
		if w.st.Status == 0 && w.gate.Draining() {
			w.begin()
		}
		w.implicit()
		n, err := sw.WriteString(s)
		w.st.Bytes += int64(n)
		return n, err
	}
	return w.Write([]byte(s))
}

// ReadFrom sends src, a file by sendfile where the connection can.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	rf, ok := w.inner.(io.ReaderFrom)
	if !ok {
		return copyPooled(writerOnly{w}, src) // Write counts
	}
	if w.st.Status == 0 && w.gate.Draining() {
		w.begin()
	}
	w.implicit()
	n, err := rf.ReadFrom(src)
	w.st.Bytes += n
	return n, err
}

// Flush sends what is buffered.
func (w *writer) Flush() { _ = w.FlushError() } // the next write fails too

// FlushError sends what is buffered.
func (w *writer) FlushError() error {
	w.implicit()
	if w.dog != nil {
		w.dog.enter(&w.dog.writing)
		defer w.dog.leave(&w.dog.writing)
	}
	return http.NewResponseController(w.inner).Flush()
}

// setDeadline sets the read or write deadline; writers without one, as in
// tests, are left alone.
func (w *writer) setDeadline(read bool, t time.Time) { setDeadline(w.inner, read, t) }

func setDeadline(w http.ResponseWriter, read bool, t time.Time) {
	// A failure means that the connection is gone or that the writer has no
	// deadlines; neither can be helped.
	if read {
		if d, ok := w.(interface{ SetReadDeadline(time.Time) error }); ok {
			_ = d.SetReadDeadline(t)
		}
		return
	}
	if d, ok := w.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(t)
	}
}

// body is a request's body that fails with ErrStalled when the client sends
// nothing, or too little, for the stall timeout. Only the time spent waiting
// for the client counts.
type body struct {
	inner   io.ReadCloser
	st      *state
	dog     *watchdog // on HTTP/2 only
	stall   time.Duration
	minRate int
	lease   time.Time     // the deadline that is set, on HTTP/1
	waited  time.Duration // in the present window
	got     int64         // in the present window
	ended   bool          // the end, or a failure, was seen
	stalled bool
}

// Read reads from the client.
func (b *body) Read(p []byte) (int, error) {
	if b.stall <= 0 || b.ended && !b.stalled {
		return b.inner.Read(p)
	}
	if b.stalled {
		return 0, ErrStalled
	}
	start := time.Now()
	if b.dog != nil {
		b.dog.enter(&b.dog.reading)
	} else if b.lease.Sub(start) < b.stall/2 {
		b.lease = start.Add(b.stall)
		b.st.rw.setDeadline(true, b.lease)
	}
	n, err := b.inner.Read(p)
	if b.dog != nil {
		b.dog.leave(&b.dog.reading)
	}
	b.got += int64(n)
	b.waited += time.Since(start)
	if err == nil && b.waited >= b.stall {
		if b.minRate > 0 && float64(b.got) < float64(b.minRate)*b.waited.Seconds() {
			err = os.ErrDeadlineExceeded
			b.st.rw.setDeadline(true, time.Now()) // what follows is not waited for
		}
		b.waited, b.got = 0, 0
	}
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.ended, b.stalled = true, true
		err = fmt.Errorf("%w: %w", ErrStalled, err)
		if b.st.Status == 0 {
			b.st.rw.Header()["Connection"] = headerClose
		}
	default:
		b.ended = true
		if b.dog == nil {
			// net/http now reads ahead to see the client leave; a deadline
			// would look like that.
			b.st.rw.setDeadline(true, time.Time{})
		}
	}
	return n, err
}

// Close closes the body.
func (b *body) Close() error { return b.inner.Close() }

// watchdog ends an HTTP/2 stream whose read or write waits for longer than the
// stall timeout. There a deadline that passes ends the stream even while
// nobody waits, so it is set only in need.
type watchdog struct {
	w                http.ResponseWriter
	stall            time.Duration
	reading, writing atomic.Int64 // since when, Unix nanoseconds; 0: not now
	started          atomic.Bool

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func (d *watchdog) init(w http.ResponseWriter, stall time.Duration) { d.w, d.stall = w, stall }

func (d *watchdog) enter(since *atomic.Int64) {
	since.Store(time.Now().UnixNano())
	if !d.started.Swap(true) {
		d.mu.Lock()
		if !d.stopped {
			d.timer = time.AfterFunc(d.stall, d.look)
		}
		d.mu.Unlock()
	}
}

func (d *watchdog) leave(since *atomic.Int64) { since.Store(0) }

func (d *watchdog) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	now := time.Now()
	next := d.stall
	for read, since := range map[bool]*atomic.Int64{true: &d.reading, false: &d.writing} {
		t := since.Load()
		if t == 0 {
			continue
		}
		left := time.Unix(0, t).Add(d.stall).Sub(now)
		if left <= 0 {
			setDeadline(d.w, read, now.Add(-time.Second))
			continue
		}
		next = min(next, left)
	}
	d.timer.Reset(next)
}

func (d *watchdog) stop() {
	if d.w == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.timer != nil {
		d.timer.Stop()
	}
}
