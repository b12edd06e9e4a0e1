// Package httpd is the registry's HTTP front: listeners, TLS, PROXY protocol,
// slow clients, drain, and the middleware, health checks and rate limits that
// every edge shares.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options says how a Server listens and serves. The zero value, with a
// Handler, serves plain HTTP on a free loopback port.
type Options struct {
	Addr           string         // "host:port"; "" is 127.0.0.1:0
	Network        string         // "tcp", "tcp4", "tcp6"; "" is "tcp"
	Listener       net.Listener   // used in place of Addr; the server closes it
	Handler        http.Handler   // nil is http.NotFoundHandler
	TLS            *TLSOptions    // nil is plain HTTP
	H2C            bool           // speak HTTP/2 without TLS too
	Logger         *slog.Logger   // nil is slog.Default()
	Gate           *Gate          // shared with the middleware and health checks; nil is one of its own
	ProxyProtocol  bool           // each connection begins with a PROXY header
	TrustedProxies []netip.Prefix // whose PROXY header is believed; others' is read and ignored

	ReadHeaderTimeout time.Duration // 0 is 30 s; also of the TLS handshake, of the PROXY header, and of a connection's silence before its first request
	IdleTimeout       time.Duration // 0 is 120 s
	MaxHeaderBytes    int           // 0 is 64 KiB
	MaxConns          int           // connections that are served; at the limit idle ones give way, else a new one waits, and further ones in the kernel; 0 is no limit
	StallTimeout      time.Duration // an answer must move within this time; 0 is 30 s, negative is no limit
	MinRate           int           // bytes a second below which a slow reader counts as stalled; 0 is 64, negative is 1 byte a StallTimeout

	DrainDelay   time.Duration // Shutdown waits this long between OnDrain and the end of accepting, so that balancers see the health check fail, and up to four times as long while they go on sending requests; 0 is none
	IdleGrace    time.Duration // Shutdown leaves idle connections open this long for a request that is on its way; 0 is 1 s, negative is none
	DrainTimeout time.Duration // Shutdown waits this long at most for running requests; 0 is 25 s, negative leaves it to its context
	OnDrain      func()        // called first by Shutdown; nil is none
}

func (o *Options) setDefaults() {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Network == "" {
		o.Network = "tcp"
	}
	if o.Handler == nil {
		o.Handler = http.NotFoundHandler()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Gate == nil {
		o.Gate = &Gate{}
	}
	setDefault(&o.ReadHeaderTimeout, 30*time.Second)
	setDefault(&o.IdleTimeout, 120*time.Second)
	setDefault(&o.MaxHeaderBytes, 64<<10)
	setDefault(&o.StallTimeout, defaultStall)
	setDefault(&o.MinRate, defaultMinRate)
	setDefault(&o.IdleGrace, time.Second)
	setDefault(&o.DrainTimeout, 25*time.Second)
}

const (
	defaultStall   = 30 * time.Second
	defaultMinRate = 64
)

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// A Gate says whether the instance drains. One Gate is shared by all servers,
// the middleware and the health checks. The zero Gate is open.
type Gate struct{ draining atomic.Bool }

// Drain makes health checks fail and every answer end its connection.
// Requests are served still.
func (g *Gate) Drain() { g.draining.Store(true) }

// Draining reports whether Drain was called; a nil Gate is always open.
func (g *Gate) Draining() bool { return g != nil && g.draining.Load() }

// A Server is one listening address.
type Server struct {
	opt    Options
	srv    *http.Server
	cert   atomic.Pointer[tls.Certificate]
	conns  connSet
	ln     net.Listener
	cancel context.CancelFunc // ends the contexts of all requests
	asked  atomic.Int64       // when the last request came while the instance drained, health checks aside, in Unix nanoseconds
	done   chan struct{}      // closed when the accept loop ended
	err    error              // of the accept loop; read after done

	shutdown sync.Once
	downErr  error
}

// New checks the options and reads the certificate. Call Start to listen.
func New(o Options) (*Server, error) {
	o.setDefaults()
	s := &Server{opt: o, done: make(chan struct{})}
	s.conns.freed, s.conns.closing = make(chan struct{}, 1), make(chan struct{})
	s.srv = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: o.ReadHeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    o.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug), // handshakes that fail, mostly
		Protocols:         new(http.Protocols),
		ConnState:         noteState,
	}
	s.srv.Protocols.SetHTTP1(true)
	if o.TLS != nil {
		s.srv.Protocols.SetHTTP2(true)
		cfg, err := s.tlsConfig(*o.TLS)
		if err != nil {
			return nil, err
		}
		s.srv.TLSConfig = cfg
		if err := s.ReloadCertificate(); err != nil {
			return nil, err
		}
	} else if o.H2C {
		s.srv.Protocols.SetUnencryptedHTTP2(true)
	}
	return s, nil
}

// serve ends connections while the instance drains. HTTP/2 sends GOAWAY for
// the same header.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.opt.Gate.Draining() {
		w.Header()["Connection"] = headerClose
		if !isProbe(r.URL.Path) {
			s.asked.Store(time.Now().UnixNano())
		}
	}
	s.opt.Handler.ServeHTTP(w, r)
}

// isProbe reports whether the path is one that balancers ask by themselves.
func isProbe(path string) bool {
	return strings.HasPrefix(path, "/health") || path == "/status" || strings.HasSuffix(path, "_ping")
}

// Start listens and serves in the background until Shutdown, and returns the
// address. Requests get the values of ctx, not its end: a request that runs is
// ended by Shutdown only.
func (s *Server) Start(ctx context.Context) (net.Addr, error) {
	if s.ln != nil {
		return nil, errors.New("server was started already")
	}
	ln := s.opt.Listener
	if ln == nil {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false) // its sockets take no filter: see emptyBacklog
		var err error
		if ln, err = lc.Listen(ctx, s.opt.Network, s.opt.Addr); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	s.ln = ln
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.srv.BaseContext = func(net.Listener) context.Context { return base }
	go func() {
		defer close(s.done)
		var err error
		if s.opt.TLS != nil {
			err = s.srv.ServeTLS(listener{ln, s}, "", "")
		} else {
			err = s.srv.Serve(listener{ln, s})
		}
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.err = fmt.Errorf("serve %s: %w", ln.Addr(), err)
		}
	}()
	return ln.Addr(), nil
}

// Wait waits until the server accepts no more connections, and returns why;
// nil after Shutdown.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Shutdown drains: it calls OnDrain and closes the gate, goes on serving for
// DrainDelay, and longer while requests come, stops accepting once every connection that a client takes for
// open is accepted, lets idle connections be for IdleGrace and waits for the
// running requests, until ctx ends or DrainTimeout has passed. Then it closes
// what is left and returns an error. A second call waits for the first and
// returns its result.
func (s *Server) Shutdown(ctx context.Context) error {
	s.shutdown.Do(func() { s.downErr = s.drain(ctx) })
	return s.downErr
}

func (s *Server) drain(ctx context.Context) error {
	if s.opt.OnDrain != nil {
		s.opt.OnDrain()
	}
	s.opt.Gate.Drain()
	if s.ln == nil {
		return nil // never started
	}
	defer s.cancel()
	wait(ctx, s.opt.DrainDelay, nil)
	// Who was slow to learn that this instance leaves, a kube-proxy of a busy node
	// for one, sends requests still.
	wait(ctx, 3*s.opt.DrainDelay, func() bool {
		return time.Since(time.Unix(0, s.asked.Load())) > min(s.opt.DrainDelay, 3*time.Second)
	})
	if s.opt.DrainTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opt.DrainTimeout)
		defer cancel()
	}
	emptyBacklog(ctx, s.ln)
	close(s.conns.closing)
	if err := s.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.opt.Logger.WarnContext(ctx, "closing the listener failed", "error", err)
	}
	<-s.done
	wait(ctx, s.opt.IdleGrace, func() bool { return s.conns.open() == 0 })
	err := s.srv.Shutdown(ctx)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.cancel()
		_ = s.srv.Close() // the listener is closed already; its error says nothing new
		return fmt.Errorf("requests were still running when the drain ended: %w", err)
	}
	return nil
}

// wait waits for d, for ctx, or until done says so.
func wait(ctx context.Context, d time.Duration, done func() bool) {
	if d <= 0 {
		return
	}
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for done == nil || !done() {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

// DefaultMetricsAddr is where metrics are served unless said otherwise.
const DefaultMetricsAddr = "127.0.0.1:9091"

// ListenMetrics opens the metrics address. "off" gives no listener. When the
// address is busy, or may not be used, that is an error if somebody chose it
// (explicit), else a warning and no listener: another instance on the same
// machine has it. addr "" is DefaultMetricsAddr.
func ListenMetrics(ctx context.Context, addr string, explicit bool, log *slog.Logger) (net.Listener, error) {
	if addr == "off" {
		return nil, nil
	}
	if addr == "" {
		addr = DefaultMetricsAddr
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		return ln, nil
	}
	if !explicit && (errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)) {
		log.WarnContext(ctx, "metrics are not served: the default address is busy; choose one with --metrics", "address", addr, "error", err)
		return nil, nil
	}
	return nil, fmt.Errorf("listen for metrics: %w", err)
}
