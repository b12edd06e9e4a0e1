package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// A conn is a connection to a server.
type conn struct {
	*ldap.Conn
	uri   string
	made  time.Time
	admin bool // bound as the administrator
}

// servers keeps connections: PoolSize at once, to all servers together.
type servers struct {
	o     Options
	slots chan struct{}

	mu    sync.Mutex
	idle  []*conn // the newest last
	first int     // of o.URIs: the one that answered last
}

func newServers(o Options) (*servers, error) {
	if len(o.URIs) == 0 {
		return nil, errors.New("LDAP_URI: there is no address")
	}
	for _, u := range o.URIs {
		at, err := url.Parse(u)
		if err != nil || at.Host == "" || at.Scheme != "ldap" && at.Scheme != "ldaps" {
			return nil, fmt.Errorf("LDAP_URI: %q does not begin with ldap:// or ldaps://", u)
		}
	}
	return &servers{o: o, slots: make(chan struct{}, o.PoolSize)}, nil
}

// use runs f with a connection to a server ("" = one of LDAP_URI), bound as
// the administrator where f needs that. What fails because a kept connection
// is dead runs once more with a new one.
func (s *servers) use(ctx context.Context, uri string, admin bool, f func(*conn) error) error {
	wait := time.NewTimer(s.o.PoolWait)
	defer wait.Stop()
	select {
	case s.slots <- struct{}{}:
	case <-wait.C:
		return fmt.Errorf("no connection was free within %s (LDAP_POOL_SIZE, LDAP_POOL_MAX_WAIT)", s.o.PoolWait)
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	for {
		c, kept, err := s.take(ctx, uri)
		if err != nil {
			return err
		}
		err = s.run(ctx, c, admin, f)
		dead := c.IsClosing() || ldap.IsErrorWithCode(err, ldap.ErrorNetwork)
		s.give(c, dead || err != nil && !isAnswer(err))
		if kept && dead && err != nil && ctx.Err() == nil {
			continue
		}
		return err
	}
}

// isAnswer reports whether the server itself said that something is wrong.
func isAnswer(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && e.ResultCode < ldap.ErrorNetwork
}

func (s *servers) run(ctx context.Context, c *conn, admin bool, f func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // which ends what runs
	defer stop()
	if admin && !c.admin {
		if s.o.AdminPassword == "" && s.o.AdminDN != "" {
			return errors.New("LDAP_ADMIN_PASSWD is empty")
		}
		bind := func() error { return c.Bind(s.o.AdminDN, s.o.AdminPassword) }
		if s.o.AdminDN == "" {
			bind = func() error { return c.UnauthenticatedBind("") }
		}
		if err := bind(); err != nil {
			return fmt.Errorf("bind as LDAP_ADMIN_DN: %w", shut(err))
		}
		c.admin = true
	}
	return f(c)
}

// shut hides the code of an error of the administrator's bind: it is not the
// user's.
func shut(err error) error {
	if isAnswer(err) {
		return errors.New(err.Error())
	}
	return err
}

// take returns an idle connection, or a new one.
func (s *servers) take(ctx context.Context, uri string) (c *conn, kept bool, err error) {
	var old []*conn
	s.mu.Lock()
	for i := len(s.idle) - 1; i >= 0; i-- {
		x := s.idle[i]
		if uri != "" && x.uri != uri || uri == "" && !s.ours(x.uri) {
			continue
		}
		s.idle = append(s.idle[:i], s.idle[i+1:]...)
		if x.IsClosing() || time.Since(x.made) > s.o.PoolLife {
			old = append(old, x)
			continue
		}
		c = x
		break
	}
	first := s.first
	s.mu.Unlock()
	for _, x := range old {
		_ = x.Close() // too old, or closed already
	}
	if c != nil {
		return c, true, nil
	}
	if uri != "" {
		c, err = s.dial(ctx, uri)
		return c, false, err
	}
	var errs []error
	for i := range s.o.URIs {
		n := (first + i) % len(s.o.URIs)
		if c, err = s.dial(ctx, s.o.URIs[n]); err == nil {
			s.mu.Lock()
			s.first = n
			s.mu.Unlock()
			return c, false, nil
		}
		errs = append(errs, err)
	}
	return nil, false, errors.Join(errs...)
}

func (s *servers) ours(uri string) bool {
	for _, u := range s.o.URIs {
		if u == uri {
			return true
		}
	}
	return false
}

// give keeps a connection for later, or closes it.
func (s *servers) give(c *conn, broken bool) {
	if broken || s.o.NoPool {
		_ = c.Close() // nobody reads from it any more
		return
	}
	s.mu.Lock()
	s.idle = append(s.idle, c)
	var over *conn
	if len(s.idle) > s.o.PoolSize {
		over, s.idle = s.idle[0], s.idle[1:]
	}
	s.mu.Unlock()
	if over != nil {
		_ = over.Close() // one too many
	}
}

// dial connects. Over ldap:// it turns to TLS before anything else is said; a
// server that cannot is refused, unless LDAP_ALLOW_INSECURE_FALLBACK, or it is
// on this machine.
func (s *servers) dial(ctx context.Context, uri string) (*conn, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, err
	}
	tc := &tls.Config{RootCAs: s.o.RootCAs, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	connect := func() (*ldap.Conn, error) {
		d := &net.Dialer{Timeout: s.o.NetworkTimeout}
		if until, ok := ctx.Deadline(); ok {
			d.Deadline = until
		}
		l, err := ldap.DialURL(uri, ldap.DialWithDialer(d), ldap.DialWithTLSConfig(tc))
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", uri, err)
		}
		l.SetTimeout(s.o.Timeout)
		return l, nil
	}
	l, err := connect()
	if err != nil {
		return nil, err
	}
	if u.Scheme == "ldap" {
		if err := l.StartTLS(tc); err != nil {
			_ = l.Close() // what it says is not trusted
			if !s.o.InsecureFallback && !(isAnswer(err) && onThisMachine(u.Hostname())) {
				return nil, fmt.Errorf("%s does not turn to TLS: write an ldaps:// address, or allow passwords to travel in the clear by LDAP_ALLOW_INSECURE_FALLBACK: %w", uri, err)
			}
			if l, err = connect(); err != nil {
				return nil, err
			}
		}
	}
	return &conn{Conn: l, uri: uri, made: time.Now()}, nil
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Close closes the connections that are kept.
func (p *Provider) Close() {
	p.servers.mu.Lock()
	idle := p.servers.idle
	p.servers.idle = nil
	p.servers.mu.Unlock()
	for _, c := range idle {
		_ = c.Close() // nobody reads from it any more
	}
}

// A cache remembers entries for a time.
type cache struct {
	life time.Duration // 0: nothing

	mu sync.Mutex
	m  map[string]cached
}

type cached struct {
	e  entry
	at time.Time
}

// maxCached bounds a cache.
const maxCached = 10_000

func (c *cache) get(name string) (entry, bool) {
	if c.life <= 0 {
		return entry{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.m[name]
	return x.e, ok && time.Since(x.at) < c.life
}

func (c *cache) put(name string, e entry) {
	if c.life <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxCached {
		c.m = map[string]cached{}
	}
	c.m[name] = cached{e, time.Now()}
}
