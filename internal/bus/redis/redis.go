// Package redis is the bus of several processes, over Redis or Valkey: one
// server, a master that Sentinels name, or a Cluster. What is sent within the
// process never passes through Redis and does not need it. It also counts
// requests for all processes together (Charge). Nothing waits for a Redis that
// is away: messages to other processes are lost then, which these are told by
// a notice once it is back, and wake-ups are sent late.
package redis

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Options say where Redis is and how to use it. Addrs and Prefix are required.
type Options struct {
	// Addrs are "host:port" of the server. With Master they are the Sentinels,
	// with Cluster some of the nodes. Names are resolved anew for each
	// connection.
	Addrs   []string
	Master  string // the name by which Sentinels know the master; "" = no Sentinels
	Cluster bool   // not with Master

	Username, Password                 string // "" = none
	SentinelUsername, SentinelPassword string // at the Sentinels
	DB                                 int    // its number; 0 with Cluster
	// TLS is for every connection; its ServerName "" = the host that is
	// connected to. Nil: plain.
	TLS *tls.Config

	Timeout        time.Duration // of one answer; 0 = 2 s
	ConnectTimeout time.Duration // 0 = 2 s
	Health         time.Duration // a connection that was silent for so long is tried; 0 = 5 s
	MaxConns       int           // beside the one of the subscriptions; 0 = 4

	// Prefix begins the names of channels and keys, so that several registries
	// may use one Redis: 1 to 64 bytes of what CheckTopic allows.
	Prefix  string
	Dropped func(n int)        // as in bus.Options
	Logger  *slog.Logger       // nil: silent
	Metrics *telemetry.Metrics // nil: none
}

// Bus is a bus.Bus over Redis.
type Bus struct {
	o      Options
	local  *bus.Local
	origin [originSize]byte // of this process, so that it knows its own messages

	node   *goredis.Client // any node of a Cluster, else the server: publishes, subscribes
	keys   goredis.Cmdable // for keys, which a Cluster spreads
	ends   []func() error  // close the clients
	log    *slog.Logger    //
	up     atomic.Bool     // subscribed
	gate   breaker         // of what this process sends
	limits breaker         // of Charge: who may not run scripts may still publish
	out    outbox          // what is to be sent
	stop   context.CancelFunc
	done   sync.WaitGroup
	once   sync.Once

	mu       sync.Mutex // never held while calling out
	channels map[string]*channel
	change   chan struct{} // receives when channels have changed
}

const (
	confirmWait = 250 * time.Millisecond // for Redis to confirm a subscription
	closeWait   = time.Second            // for the last messages to leave
	firstPause  = 100 * time.Millisecond
	lastPause   = 5 * time.Second
)

// errAway is what a call gets while Redis is known to be away.
var errAway = errors.New("no connection to Redis; it is tried again soon")

// silence keeps the client library from writing to standard error.
var silence = sync.OnceFunc(func() { goredis.SetLogger(&logging.VoidLogger{}) })

// Open opens a bus. It does not wait for Redis: the bus works within the
// process at once, and with the others as soon as Redis answers.
func Open(o Options) (*Bus, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	silence()
	b := &Bus{o: o, log: o.Logger, local: bus.New(bus.Options{Dropped: o.Dropped}), channels: map[string]*channel{}, change: make(chan struct{}, 1)}
	_, _ = rand.Read(b.origin[:]) // never fails
	b.out.kick = make(chan struct{}, 1)
	b.connect()
	b.channels[b.name(kindControl, "")] = &channel{kind: kindControl, users: 1}
	o.Metrics.Redis(false)
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.done.Go(func() { b.listen(ctx) })
	b.done.Go(func() { b.send(ctx) })
	return b, nil
}

// fill checks the options and sets what is 0.
func (o *Options) fill() error {
	switch {
	case len(o.Addrs) == 0:
		return errors.New("redis: an address is required")
	case o.Master != "" && o.Cluster:
		return errors.New("redis: a Cluster has no Sentinels")
	case o.Cluster && o.DB != 0:
		return errors.New("redis: a Cluster has no database but 0")
	case len(o.Prefix) > 64 || bus.CheckTopic(o.Prefix) != nil:
		return errors.New("redis: the prefix must be 1 to 64 bytes of a-z A-Z 0-9 . _ - : /")
	}
	setDefault(&o.Timeout, 2*time.Second)
	setDefault(&o.ConnectTimeout, 2*time.Second)
	setDefault(&o.Health, 5*time.Second)
	if o.MaxConns <= 0 {
		o.MaxConns = 4
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Ping asks a Redis once whether it is there and lets us in.
func Ping(ctx context.Context, o Options) error {
	if o.Prefix == "" {
		o.Prefix = "gantry"
	}
	if err := o.fill(); err != nil {
		return err
	}
	silence()
	b := &Bus{o: o, log: o.Logger}
	b.connect()
	errs := []error{b.node.Ping(ctx).Err()}
	for _, end := range b.ends {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// connect makes the clients; nothing is dialled yet.
func (b *Bus) connect() {
	o := &b.o
	if o.Master != "" {
		c := goredis.NewFailoverClient(&goredis.FailoverOptions{
			MasterName: o.Master, SentinelAddrs: o.Addrs, SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword,
			Dialer: b.dial, Protocol: 2, Username: o.Username, Password: o.Password, DB: o.DB, MaxRetries: -1, DialTimeout: o.ConnectTimeout, DialerRetries: 1,
			ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true, PoolSize: o.MaxConns, PoolTimeout: o.Timeout, DisableIdentity: true,
		})
		b.node, b.keys, b.ends = c, c, append(b.ends, c.Close)
		return
	}
	c := goredis.NewClient(&goredis.Options{
		Addr: o.Addrs[0], Dialer: b.dialAny, Protocol: 2, Username: o.Username, Password: o.Password, DB: o.DB, MaxRetries: -1, DialTimeout: o.ConnectTimeout, DialerRetries: 1,
		ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true, PoolSize: o.MaxConns, PoolTimeout: o.Timeout, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	b.node, b.keys, b.ends = c, c, append(b.ends, c.Close)
	if o.Cluster {
		// Messages go to every node of a Cluster by themselves, so that any one
		// of them will do; only keys have a place of their own.
		k := goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: o.Addrs, Dialer: b.dial, Protocol: 2, Username: o.Username, Password: o.Password, MaxRetries: -1, DialTimeout: o.ConnectTimeout, DialerRetries: 1,
			ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true, PoolSize: o.MaxConns, PoolTimeout: o.Timeout, DisableIdentity: true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		b.keys, b.ends = k, append(b.ends, k.Close)
	}
}

// dialAny connects to the first of the addresses that answers, in an order of
// its own each time.
func (b *Bus) dialAny(ctx context.Context, network, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.ConnectTimeout)
	defer cancel()
	var errs []error
	for _, i := range mrand.Perm(len(b.o.Addrs)) { //nolint:gosec // a fair order
		// Each may take half of what is left, so that one that is silent does
		// not use up the time of those that answer.
		one, end := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok && len(b.o.Addrs) > 1 {
			one, end = context.WithTimeout(ctx, time.Until(deadline)/2)
		}
		c, err := b.dial(one, network, b.o.Addrs[i])
		end()
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// dial connects, with TLS where it is asked for.
func (b *Bus) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.ConnectTimeout)
	defer cancel()
	c, err := (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext(ctx, network, addr)
	if err != nil || b.o.TLS == nil {
		return c, err
	}
	cfg := b.o.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	t := tls.Client(c, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with Redis at %s: %w", addr, err), c.Close())
	}
	return t, nil
}

// Connected reports whether messages of other processes come in now.
func (b *Bus) Connected() bool { return b.up.Load() }

// Check asks Redis for a sign of life.
func (b *Bus) Check(ctx context.Context) error {
	if b.gate.wait() > 0 {
		return errAway
	}
	if err := b.node.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("no answer of Redis: %w", err)
	}
	if !b.up.Load() {
		return errors.New("the subscription to messages of Redis is not there yet")
	}
	return nil
}

// Close ends the bus. What waits to be sent has a second to leave.
func (b *Bus) Close() error {
	var err error
	b.once.Do(func() {
		err = b.local.Close()
		b.stop()
		b.done.Wait()
		b.o.Metrics.Redis(false)
		for _, end := range b.ends {
			err = errors.Join(err, end())
		}
	})
	return err
}

// A breaker keeps a process from asking a server that does not answer. The
// zero value is closed: all is well.
type breaker struct {
	mu    sync.Mutex
	fails int
	until time.Time
}

// wait is how long not to ask; 0 = ask.
func (g *breaker) wait() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fails == 0 {
		return 0
	}
	return max(time.Until(g.until), 0)
}

// failed opens the breaker, for longer each time.
func (g *breaker) failed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails++
	g.until = time.Now().Add(backOff(g.fails))
}

// answered closes it.
func (g *breaker) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails = 0
}

// backOff is the pause after the nth failure in a row, half of it at random.
func backOff(n int) time.Duration {
	d := min(firstPause<<min(max(n-1, 0), 10), lastPause)
	return d/2 + mrand.N(d/2+1) //nolint:gosec // jitter
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
