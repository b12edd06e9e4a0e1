package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/bus/redis"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/proxycache"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// A core is everything below the edges: what a server and a command on a
// stopped registry both need.
type core struct {
	live    *config.Live
	data    string // absolute path of the data folder
	version string
	log     *slog.Logger
	level   *slog.LevelVar
	metrics *telemetry.Metrics // nil in a command
	tracer  *telemetry.Tracer  // nil: off
	db      *store.DB
	keys    *auth.Keys
	bus     bus.Bus    // of a server
	redis   *redis.Bus // the same, if it goes over Redis; else nil
	auth    *auth.Service
	places  []place

	proxy     *proxycache.Store // of a server
	upstreams *remote.Limits    // of requests to other registries, of a server

	closers []func(context.Context) error // run in reverse
}

// coreOptions say how a core is opened.
type coreOptions struct {
	Options
	migrate bool // bring the schema up; otherwise it is only checked
	server  bool // with metrics and traces
	bare    bool // the database alone, whatever its schema
}

// openCore opens what o names. The caller closes the core.
func openCore(ctx context.Context, o coreOptions) (c *core, err error) {
	c = &core{level: new(slog.LevelVar), version: o.Version}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close(ctx))
			c = nil
		}
	}()
	var problems []config.Problem
	c.live, problems, err = config.OpenLive(config.Options{Dir: o.Config, Environ: o.Environ})
	if err != nil {
		return c, err
	}
	cfg := c.live.Current()
	if missing := unbuilt(cfg); len(missing) > 0 {
		var lines strings.Builder
		for _, p := range missing {
			lines.WriteString("\n  " + p.String())
		}
		return c, fmt.Errorf("%w%s", config.ErrInvalid, lines.String())
	}
	if err := c.openLog(o, cfg); err != nil {
		return c, err
	}
	if o.server {
		c.tell(ctx, problems)
	}
	if c.data, err = filepath.Abs(o.data()); err != nil {
		return c, fmt.Errorf("data folder: %w", err)
	}
	uri := databaseURI(cfg, c.data)
	// A command on a database server works beside the instances that use it.
	if o.server || sqlitePath(uri) != "" {
		if err := os.MkdirAll(c.data, 0o700); err != nil {
			return c, fmt.Errorf("data folder: %w", err)
		}
		l, err := c.lock(ctx, o, uri)
		if err != nil {
			return c, err
		}
		c.later(func(context.Context) error { return l.release() })
	}
	return c, c.open(ctx, o, cfg, uri)
}

func (c *core) openLog(o coreOptions, cfg *config.Config) error {
	c.setLevel(cfg)
	if !o.server && o.Log == nil { // a command answers; only trouble is worth a line
		c.level.Set(slog.LevelWarn)
	}
	if c.log = o.Log; c.log != nil {
		return nil
	}
	lo := logOptions(cfg)
	lo.Level = c.level
	if !o.server {
		lo.Destination, lo.Format = "stderr", telemetry.LogText
	}
	log, out, err := telemetry.NewLogger(lo)
	if err != nil {
		return fmt.Errorf("GANTRY_LOG_DESTINATION: %w", err)
	}
	c.log = log
	c.later(func(context.Context) error { return out.Close() })
	if o.reopen != nil {
		*o.reopen = out.Reopen
	}
	return nil
}

func (c *core) setLevel(cfg *config.Config) {
	level := cfg.Log.Slog()
	if cfg.Env.Debug {
		level = slog.LevelDebug
	}
	c.level.Set(level)
}

// tell logs what is worth saying of the configuration.
func (c *core) tell(ctx context.Context, problems []config.Problem) {
	unused := 0
	for _, p := range problems {
		switch p.Severity {
		case config.NotUsedYet, config.Ignored:
			unused++
		default:
			c.log.WarnContext(ctx, "configuration", "severity", string(p.Severity), "problem", p.String())
		}
	}
	if unused > 0 {
		c.log.InfoContext(ctx, "some fields of the configuration have no effect in this release; gantry config validate lists them", "fields", unused)
	}
}

func (c *core) open(ctx context.Context, o coreOptions, cfg *config.Config, uri string) (err error) {
	if o.server {
		mo := telemetry.MetricsOptions{}
		if cfg.Explicit("PROMETHEUS_NAMESPACE") {
			mo.Job = cfg.Metrics.Namespace
		}
		c.metrics = telemetry.NewMetrics(mo)
		to := traceOptions(cfg, o.Version)
		to.Logger, to.Metrics = c.log, c.metrics
		tracer, end, err := telemetry.SetupTracing(ctx, to)
		if err != nil {
			return fmt.Errorf("OTEL_CONFIG: %w", err)
		}
		c.tracer = tracer
		c.later(end)
		if c.keys, err = openKeys(cfg, c.data); err != nil {
			return err
		}
		if err := c.openBus(cfg); err != nil {
			return err
		}
	}
	so := store.Options{URI: uri, Args: cfg.DB.Args, Logger: c.log, RootCAs: cfg.RootCAs()}
	for _, r := range cfg.DB.ReadReplicas {
		so.Replicas = append(so.Replicas, r.URI)
	}
	if so.Now, so.SyncClock, err = c.clock(ctx, o); err != nil {
		return err
	}
	if o.server {
		so.Observe, so.Grouped, so.Told = c.observe, c.metrics.Grouped, c.told
		so.Follow, so.Spool, so.SpoolBytes = true, filepath.Join(c.data, pullSpool), cfg.DB.PullSpoolSize
	}
	if c.db, err = c.openDatabase(ctx, o, so); err != nil {
		return &databaseError{err}
	}
	c.later(func(context.Context) error { return c.db.Close() })
	if o.bare {
		return nil
	}
	if o.migrate {
		err = c.db.Migrate(ctx)
	} else {
		err = c.db.CheckSchema(ctx)
	}
	if err != nil {
		return fmt.Errorf("schema of the database: %w", err)
	}
	c.metrics.DBPool(c.poolStats)
	if c.places, err = openPlaces(ctx, c.db, engineSource{Config: cfg, Data: c.data, Faults: o.faults, Logger: c.log, Metrics: c.metrics, Shared: sharesMemory(cfg.Storage.Locations)}, c.tracer); err != nil {
		return err
	}
	c.later(func(context.Context) error { return closePlaces(c.places) })
	if !o.server {
		return nil // a command that needs more opens it
	}
	return c.openAuth(ctx, false)
}

// openAuth opens the keys and the service that knows who is who, unless they
// are open; with noTokens one that issues no tokens, for a command.
func (c *core) openAuth(ctx context.Context, noTokens bool) (err error) {
	if c.auth != nil {
		return nil
	}
	cfg := c.live.Current()
	if c.keys == nil {
		if c.keys, err = openKeys(cfg, c.data); err != nil {
			return err
		}
	}
	key, kid, err := serviceKey(cfg)
	if err != nil {
		return err
	}
	var out outside
	if !noTokens {
		if out, err = openOutside(cfg, c); err != nil {
			return err
		}
		c.later(func(context.Context) error { out.close(); return nil })
	}
	c.auth, err = auth.New(ctx, auth.Options{
		Provider: out.provider, Sites: out.sites, MirrorRobot: c.db.MirrorRobot,
		Store: c.db, Keys: c.keys, Settings: authSettings(cfg),
		Hostname: func() string { return c.live.Current().Server.Hostname },
		MaxFresh: cfg.Auth.RegistryJWTAuthMaxFresh, ServiceKey: key, KeyID: kid, NoTokens: noTokens,
		KeyService: cfg.Auth.InstanceServiceKeyService, KeyLife: cfg.Auth.InstanceServiceKeyExpiration, KeyRefresh: cfg.Auth.InstanceServiceKeyRefresh,
		ProxyCache: c.isProxyCache,
		Logger:     c.log, Metrics: c.metrics,
	})
	return err
}

// poolStats reads the figures of the database for a scrape; no query is run.
func (c *core) poolStats() telemetry.DBStats {
	pool := c.db.Pool()
	st := telemetry.DBStats{InUse: pool.InUse, Idle: pool.Idle, Retries: c.db.Retries()}
	st.Opened, st.Closed = c.db.Connections()
	st.ClockBehind = c.db.ClockOffset().Seconds()
	st.Spooled, st.SpoolRefused = c.db.Spooled()
	st.Waits, st.Busy = c.db.Waits()
	st.ReplicaReads = c.db.ReplicaReads()
	if c.db.Away().IsZero() {
		st.Up = 1
	}
	return st
}

// observe makes metrics and spans of what the database did.
func (c *core) observe(ctx context.Context, op string, took time.Duration, err error) {
	c.metrics.SQL(ctx, "transaction", took)
	if _, told := errors.AsType[*gantry.Error](err); told {
		err = nil // an answer, not a failure
	}
	c.tracer.Record(ctx, "sql "+op, time.Now().Add(-took), err)
}

// collector returns a collector with the configuration of now.
func (c *core) collector() *content.Collector {
	o := collectOptions(c.live.Current())
	o.Store, o.Locations, o.Logger, o.Metrics = c.db, locations(c.places), c.log, c.metrics
	return content.NewCollector(o)
}

// later has close run f. What was opened last is closed first.
func (c *core) later(f func(context.Context) error) { c.closers = append(c.closers, f) }

// close ends everything, in reverse order.
func (c *core) close(ctx context.Context) error {
	var errs []error
	for len(c.closers) > 0 {
		f := c.closers[len(c.closers)-1]
		c.closers = c.closers[:len(c.closers)-1]
		errs = append(errs, f(ctx))
	}
	return errors.Join(errs...)
}

// guard runs f until it returns. A panic is logged and counted, and f is
// started again after a pause, unless ctx is done.
func (c *core) guard(ctx context.Context, name string, f func(context.Context)) {
	for ctx.Err() == nil && c.panics(ctx, name, f) {
		pause(ctx, 5*time.Second)
	}
}

func (c *core) panics(ctx context.Context, name string, f func(context.Context)) (panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
			c.metrics.Panicked()
			c.log.ErrorContext(ctx, "background work panicked; it is started again", "work", name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	f(ctx)
	return false
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
