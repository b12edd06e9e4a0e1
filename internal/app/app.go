// Package app puts the rooms together: it reads the configuration, opens the
// database, the storage and the keys, and runs the edges and the workers that
// a process has the roles for. The command gantry and the tests of the whole
// server call it; nothing else does.
package app

import (
	"cmp"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob/fs"
	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/mirror"
)

// DefaultListen is the address of a server that was told none.
const DefaultListen = "127.0.0.1:8080"

// Off is the address of no listener.
const Off = "off"

// lastWords is how long a request has to end whose connection was cut by the
// end of the drain.
const lastWords = 5 * time.Second

// lastWork is how long background work has to end after the drain: a disk or a
// server that never answers does not keep the process alive.
const lastWork = 25 * time.Second

// Options say what to run and on what. The zero value is a whole registry
// with embedded defaults on gantry-data, at DefaultListen.
type Options struct {
	Config  string   // folder of config.yaml; "" = as config.Options.Dir has it
	Environ []string // as os.Environ returns it
	Data    string   // data folder; "" = DefaultData
	Listen  string   // "host:port"; "" = DefaultListen, Off = none
	Metrics string   // "host:port", "" = httpd.DefaultMetricsAddr if that is free, Off = none
	Roles   Roles    // zero = all
	Version string   // of the program; "" = "dev"
	Commit  string   // "" = not known
	// Log receives the log in place of what the configuration says; nil = none.
	Log *slog.Logger
	// DrainTimeout is how long running requests have after a stop was asked
	// for; 0 = 25 s.
	DrainTimeout time.Duration
	// DrainDelay is how long a server that was asked to stop goes on as before,
	// but for its health check, so that balancers see that; 0 = not at all.
	DrainDelay time.Duration
	// NoMigrate leaves the schema of the database as it is: a server that finds
	// one that is more than one version behind does not start.
	NoMigrate bool
	// DatabaseWait is how long a server, or a command, waits when it starts for a
	// database server that does not answer yet; 0 = not at all.
	DatabaseWait time.Duration
	// FolderWait is how long a server waits, when it starts, for another one that
	// has the data folder to end; 0 = not at all.
	FolderWait time.Duration
	// Poll is how often the folder of the configuration is looked at;
	// 0 = config.DefaultPoll.
	Poll time.Duration

	reopen     *func() error // set to what opens the log file anew
	leaseRetry time.Duration // of the collector; 0 = gcLeaseRetry
	tellPoll   time.Duration // how often deliveries are looked for; 0 = 2 s

	bus    bus.Bus                   // reaches the other instances; nil = nothing does
	now    func() time.Time          // the store's clock; nil = the machine's, and that of a database server
	faults func(fs.Op, string) error // of storage in files, as in fs.Options; nil = none
}

func (o *Options) data() string { return cmp.Or(o.Data, DefaultData) }

// A Server is a running registry, or a part of one.
type Server struct {
	*core
	opts    Options
	roles   Roles
	id      string // of this instance
	started time.Time
	gate    *httpd.Gate
	content *content.Store
	edges   *edges
	tell    *teller
	mirror  *mirror.Service
	front   *httpd.Server // nil: no listener
	scrape  *httpd.Server // nil: no metrics
	addr    net.Addr
	maddr   net.Addr
	admin   *adminServer
	reopen  func() error // of the log file; nil: none

	mu      sync.Mutex
	changed chan struct{} // closed when the configuration changes

	stop    context.CancelFunc // ends the workers
	workers sync.WaitGroup
	once    sync.Once
	ended   error
}

// Start starts a server. It returns once requests are served; the caller
// calls Stop. ctx is for the start alone.
func Start(ctx context.Context, o Options) (s *Server, err error) {
	s = &Server{opts: o, id: auth.NewUUID(), gate: &httpd.Gate{}, changed: make(chan struct{})}
	s.opts.reopen = &s.reopen
	s.opts.Version = cmp.Or(o.Version, "dev")
	if s.core, err = openCore(ctx, coreOptions{Options: s.opts, migrate: !o.NoMigrate, server: true}); err != nil {
		return nil, err
	}
	s.started = s.db.Now()
	defer func() {
		if err != nil {
			s.gate.Drain()
			ctx := context.WithoutCancel(ctx)
			err = errors.Join(err, s.end(ctx), s.close(ctx))
			s = nil
		}
	}()
	cfg := s.live.Current()
	if tlsOptions(cfg) == nil && (cfg.Bundle.CertFile == "") != (cfg.Bundle.KeyFile == "") {
		s.log.WarnContext(ctx, "plain HTTP is served: of ssl.cert and ssl.key only one is there")
	}
	s.roles = cmp.Or(o.Roles, allRoles).restrict(cfg.Env.Services, cfg.Env.ServiceOverrides)
	if s.roles == (Roles{}) {
		return s, errors.New("QUAY_SERVICES and QUAY_OVERRIDE_SERVICES leave this process nothing to do: of Quay's services they may name registry, web, gcworker and other workers of what this release has")
	}
	s.tell = newTeller(s)
	if s.content, err = content.New(content.Options{Store: s.db, Locations: locations(s.places), Settings: contentSettings(cfg), Logger: s.log, Metrics: s.metrics, Refused: s.tell.refused}); err != nil {
		return s, err
	}
	if err := s.openProxyCache(cfg); err != nil {
		return s, err
	}
	s.mirror = newMirrors(s)
	if s.edges, err = newEdges(s, cfg); err != nil {
		return s, err
	}
	unsubscribe := s.live.Subscribe(s.apply)
	s.later(func(context.Context) error { unsubscribe(); return nil })
	if s.admin, err = serveAdmin(ctx, s); err != nil {
		return s, err
	}
	if err := s.joinFleet(ctx); err != nil {
		return s, err
	}
	if err := s.listen(ctx, cfg); err != nil {
		return s, err
	}
	s.work(ctx)
	s.metrics.SetReady(true)
	s.greet(ctx)
	return s, nil
}

// listen opens the addresses.
func (s *Server) listen(ctx context.Context, cfg *config.Config) (err error) {
	ln, err := httpd.ListenMetrics(ctx, s.opts.Metrics, s.opts.Metrics != "", s.log)
	if err != nil {
		return err
	}
	if ln != nil {
		mux := http.NewServeMux()
		mux.Handle("/metrics", s.metrics.Handler())
		mux.Handle("/health", s.edges)
		mux.Handle("/health/", s.edges)
		if s.scrape, err = httpd.New(httpd.Options{Listener: ln, Handler: mux, Logger: s.log, IdleGrace: -1}); err != nil {
			return errors.Join(err, ln.Close())
		}
		if s.maddr, err = s.scrape.Start(ctx); err != nil {
			return err
		}
	}
	if s.opts.Listen == Off {
		return nil
	}
	s.front, err = httpd.New(httpd.Options{
		Addr: cmp.Or(s.opts.Listen, DefaultListen), Network: network(cfg), Handler: s.edges.outer(cfg), TLS: tlsOptions(cfg), H2C: true,
		Logger: s.log, Gate: s.gate, ProxyProtocol: cfg.Features.ProxyProtocol, TrustedProxies: trustedProxies(cfg),
		DrainTimeout: s.opts.DrainTimeout, DrainDelay: s.opts.DrainDelay, MaxConns: maxClients(openFiles()),
	})
	if err != nil {
		return err
	}
	s.addr, err = s.front.Start(ctx)
	return err
}

// greet says where the registry is and, while nobody can sign in, how the
// first account is made.
func (s *Server) greet(ctx context.Context) {
	scheme := "http"
	if tlsOptions(s.live.Current()) != nil {
		scheme = "https"
	}
	attrs := []any{"version", s.opts.Version, "roles", s.roles.String(), "data", s.data, "database", s.db.Dialect()}
	if s.addr != nil {
		attrs = append(attrs, "address", scheme+"://"+s.addr.String())
	}
	if s.maddr != nil {
		attrs = append(attrs, "metrics", "http://"+s.maddr.String()+"/metrics")
	}
	if fips140.Enabled() {
		attrs = append(attrs, "fips140", true)
	}
	s.log.InfoContext(ctx, "ready", attrs...)
	if there, err := s.db.HasUsers(ctx); err != nil || there {
		return
	}
	how := []any{"command", "gantry user create NAME --data " + s.data}
	if s.live.Current().Features.UserInitialize && s.roles.API && s.addr != nil {
		how = append(how, "or", "POST "+scheme+"://"+s.addr.String()+"/api/v1/user/initialize")
	}
	s.log.InfoContext(ctx, "there is no account yet: make the first one, a superuser", how...)
}

// Addr is where the registry is served; nil without a listener.
func (s *Server) Addr() net.Addr { return s.addr }

// MetricsAddr is where metrics are served; nil without a listener.
func (s *Server) MetricsAddr() net.Addr { return s.maddr }

// Wait returns when ctx ends, or with an error when a listener has failed.
func (s *Server) Wait(ctx context.Context) error {
	failed := make(chan error, 2)
	for _, l := range []*httpd.Server{s.front, s.scrape} {
		if l != nil {
			go func() { failed <- l.Wait() }()
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// Reload reads the configuration anew, takes the certificate again and opens
// the log file anew, as after SIGHUP.
func (s *Server) Reload(ctx context.Context) {
	if s.reopen != nil {
		if err := s.reopen(); err != nil {
			s.log.ErrorContext(ctx, "open the log file anew", "error", err)
		}
	}
	s.reloaded(ctx)(s.live.Reload())
	s.reloadCertificate(ctx)
}

func (s *Server) reloadCertificate(ctx context.Context) {
	if s.front == nil {
		return
	}
	if err := s.front.ReloadCertificate(); err != nil {
		s.log.ErrorContext(ctx, "the new certificate is refused, the old one stays", "error", err)
	}
}

// reloaded logs the outcome of a reload.
func (s *Server) reloaded(ctx context.Context) func(config.Change, error) {
	return func(c config.Change, err error) {
		if err != nil {
			s.log.ErrorContext(ctx, "configuration", "error", err)
			return
		}
		if len(c.Applied) > 0 {
			s.log.InfoContext(ctx, "configuration changed", "fields", c.Applied)
		}
		if len(c.Restart) > 0 {
			s.log.WarnContext(ctx, "these fields of the configuration wait for a restart", "fields", c.Restart)
		}
	}
}

// apply takes a new configuration. It is called for one change at a time.
func (s *Server) apply(cfg *config.Config, change config.Change) {
	ctx := context.Background()
	s.setLevel(cfg)
	s.auth.Configure(authSettings(cfg))
	s.content.Configure(contentSettings(cfg))
	s.proxy.Configure(trusting(proxySettings(cfg), cfg))
	if err := s.edges.configure(cfg); err != nil {
		s.log.ErrorContext(ctx, "a field of the configuration is refused, the old value stays", "error", err)
	}
	if slices.Contains(change.Applied, "ssl.cert") || slices.Contains(change.Applied, "ssl.key") {
		s.reloadCertificate(ctx)
	}
	if slices.Contains(change.Applied, "extra_ca_certs") {
		s.log.WarnContext(ctx, "the connections to the database and to the collector of traces trust the new authorities after a restart")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// next returns a channel that is closed when the configuration changes.
func (s *Server) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Stop drains: health turns to 503, running requests finish within the drain
// timeout, no work starts, then the workers and the database end. It returns
// once everything has ended, or shortly after ctx has.
func (s *Server) Stop(ctx context.Context) error {
	s.once.Do(func() {
		began := time.Now()
		s.log.InfoContext(ctx, "draining", "timeout", cmp.Or(s.opts.DrainTimeout, 25*time.Second).String())
		s.metrics.SetReady(false)
		s.gate.Drain()
		s.ended = s.end(ctx)
		if s.ended != nil {
			s.log.ErrorContext(ctx, "stopped", "error", s.ended, "took", time.Since(began).String())
		} else {
			s.log.InfoContext(ctx, "stopped", "took", time.Since(began).String())
		}
		s.ended = errors.Join(s.ended, s.close(ctx))
	})
	return s.ended
}

// end stops what runs; what is open stays open.
func (s *Server) end(ctx context.Context) error {
	var errs []error
	if s.stop != nil {
		s.stop() // the workers begin to end while requests finish
	}
	var commands sync.WaitGroup
	var failed error
	if s.admin != nil { // beside the drain: a command may take its time to end
		commands.Go(func() { failed = s.admin.close(ctx) })
	}
	if s.front != nil {
		errs = append(errs, s.front.Shutdown(ctx))
		// Requests that were cut off write down how far they came.
		for end := time.Now().Add(lastWords); s.edges.active.Load() > 0 && time.Now().Before(end) && ctx.Err() == nil; {
			pause(ctx, 5*time.Millisecond)
		}
	}
	commands.Wait()
	errs = append(errs, failed)
	done := make(chan struct{})
	go func() { s.workers.Wait(); close(done) }()
	late := time.NewTimer(lastWork)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		errs = append(errs, fmt.Errorf("background work does not end within %v of the drain", lastWork))
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("background work does not end: %w", ctx.Err()))
	}
	if s.proxy != nil {
		s.proxy.Close()
	}
	if s.content != nil {
		errs = append(errs, s.content.Close())
	}
	if s.scrape != nil {
		errs = append(errs, s.scrape.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
