package servertest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Proxy stands between a client and a server and does to their connections
// what networks do. It begins by passing everything on.
type Proxy struct {
	target atomic.Value // string
	l      net.Listener
	mode   atomic.Int32
	rate   atomic.Int64
	delay  atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	turn  chan struct{} // closed when the mode changes
	done  sync.WaitGroup
}

const (
	passing = iota
	cut
	stalled
)

// NewProxy starts a proxy of the TCP server at target ("host:port", or the
// path of a Unix socket), until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{l: l, conns: map[net.Conn]struct{}{}, turn: make(chan struct{})}
	p.Retarget(target)
	p.done.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close() // it only listens
		p.Cut()
		p.done.Wait()
	})
	return p
}

// Addr is where the proxy listens, as host:port.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Retarget has later connections go to another server, as a name or an address
// that moves.
func (p *Proxy) Retarget(target string) { p.target.Store(target) }

// Cut breaks all connections, and every later one at once.
func (p *Proxy) Cut() { p.set(cut) }

// Stall passes nothing on any more, as a network that drops every packet:
// connections are accepted, and stay silent.
func (p *Proxy) Stall() { p.set(stalled) }

// Slow passes on at most so many bytes a second on each connection and in each
// direction, from now on; 0 = as many as come.
func (p *Proxy) Slow(bytesPerSecond int64) {
	p.rate.Store(bytesPerSecond)
	p.set(passing)
}

// Delay passes every byte on that much later, in each direction, as a long way
// does; 0 = at once. How much is under way is not bounded by it.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Heal passes everything on again. Connections that were cut stay cut; what a
// stalled one held back is passed on.
func (p *Proxy) Heal() {
	p.rate.Store(0)
	p.delay.Store(0)
	p.set(passing)
}

func (p *Proxy) set(mode int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode.Store(mode)
	close(p.turn)
	p.turn = make(chan struct{})
	if mode == cut {
		for c := range p.conns {
			_ = c.Close() // its copies end
		}
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.serve(c) })
	}
}

// keep lists a connection, for Cut; false: it is cut already.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode.Load() == cut {
		_ = c.Close() // as Cut does
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close() // a second time is fine
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	if !p.held() {
		return
	}
	network, target := "tcp", p.target.Load().(string)
	if target[0] == '/' {
		network = "unix"
	}
	server, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), network, target)
	if err != nil {
		return // the client sees a closed connection
	}
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	ended := make(chan struct{}, 2)
	copy := func(to, from net.Conn) {
		p.pass(to, from)
		if c, ok := to.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite() // gone already is fine
		}
		ended <- struct{}{}
	}
	go copy(server, client)
	go copy(client, server)
	<-ended
	<-ended
}

// held waits while the proxy is stalled; false: it was cut meanwhile.
func (p *Proxy) held() bool {
	for {
		p.mu.Lock()
		turn, mode := p.turn, p.mode.Load()
		p.mu.Unlock()
		switch mode {
		case passing:
			return true
		case cut:
			return false
		}
		<-turn
	}
}

// pass copies until one side ends. What was read waits in a queue for its
// time, so that a delay is none of the bandwidth.
func (p *Proxy) pass(to io.Writer, from io.Reader) {
	type chunk struct {
		b  []byte
		at time.Time
	}
	queue := make(chan chunk, 4096)
	broken := make(chan struct{})
	go func() {
		defer close(queue)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				select {
				case queue <- chunk{buf[:n], time.Now().Add(time.Duration(p.delay.Load()))}:
				case <-broken:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	defer close(broken)
	for c := range queue {
		time.Sleep(time.Until(c.at))
		for b := c.b; len(b) > 0; {
			if !p.held() {
				return
			}
			part := b
			if rate := p.rate.Load(); rate > 0 {
				part = b[:min(int64(len(b)), max(1, rate/10))]
				time.Sleep(time.Duration(len(part)) * time.Second / time.Duration(rate))
			}
			if _, err := to.Write(part); err != nil {
				return
			}
			b = b[len(part):]
		}
	}
}

// An HTTPProxy is a Proxy that understands HTTP: it can answer in the server's
// place and change what the server says.
type HTTPProxy struct {
	addr string
	hook atomic.Pointer[func(http.ResponseWriter, *http.Request, http.Handler)]
	all  atomic.Int64
}

// NewHTTPProxy starts a proxy of the HTTP server at target ("host:port"),
// until the test ends. The Host header stays as the client sent it, so that
// signed requests stay valid.
func NewHTTPProxy(t testing.TB, target string) *HTTPProxy {
	t.Helper()
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	p := &HTTPProxy{addr: l.Addr().String()}
	back := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: target})
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.all.Add(1)
		if hook := p.hook.Load(); hook != nil {
			(*hook)(w, r, back)
			return
		}
		back.ServeHTTP(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close() // its connections break
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("proxy: %v", err)
		}
	})
	return p
}

// Addr is where the proxy listens, as host:port.
func (p *HTTPProxy) Addr() string { return p.addr }

// Requests returns how many requests have come.
func (p *HTTPProxy) Requests() int64 { return p.all.Load() }

// Hook has f answer every request from now on; server passes one on. nil:
// everything is passed on again.
func (p *HTTPProxy) Hook(f func(w http.ResponseWriter, r *http.Request, server http.Handler)) {
	if f == nil {
		p.hook.Store(nil)
		return
	}
	p.hook.Store(&f)
}

// CutAfter is w, but that its connection breaks instead of taking more than n
// bytes. It is for a Hook.
func CutAfter(w http.ResponseWriter, n int) http.ResponseWriter { return &cutter{w, n} }

type cutter struct {
	http.ResponseWriter
	left int
}

// Write implements http.ResponseWriter.
func (c *cutter) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (c *cutter) Flush() { c.ResponseWriter.(http.Flusher).Flush() }
