package httpd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// ErrForbiddenTarget is the failure of a request to an address that a user
// gave and that this network does not give to users.
var ErrForbiddenTarget = errors.New("the address is private to the registry's network")

// OutgoingOptions are what Outgoing needs. The zero value reaches the public
// internet alone.
type OutgoingOptions struct {
	RootCAs *x509.CertPool // nil is the system's authorities
	// Allowed are hosts, addresses and networks that may be reached though
	// they are private, as SSRF_ALLOWED_HOSTS has them: a name allows what it
	// resolves to.
	Allowed []string
	// Blocked are hosts, addresses and networks that are not reached though they
	// are public, or in Allowed: a name blocks itself and those below it.
	Blocked []string
	// Certificates show who asks, to who wants to know.
	Certificates []tls.Certificate
	Timeout      time.Duration // of a whole request; 0 is 10 s
	// Streams leaves bodies as long as they take: Timeout ends with the header
	// of the answer, and who reads a body bounds it.
	Streams bool
	// Insecure takes any certificate.
	Insecure bool
	// Idle is how many connections to one host are kept for the next request;
	// 0 is 2.
	Idle int
	// Proxy finds the proxy of a request; nil is that of the environment
	// (HTTPS_PROXY and the like). What goes through one is judged by it, but
	// an address that is written as numbers is judged here, too.
	Proxy func(*http.Request) (*url.URL, error)
	// UserProxy says that a user named the proxy: its own address is judged as
	// any other.
	UserProxy bool
}

// via is the context's key of a request's proxy.
type via struct{}

// Outgoing returns a client for addresses that users give: webhooks and the
// like. It connects to no loopback, private, link-local or otherwise special
// address, whatever a name resolves to at that moment, and follows no
// redirect: a 3xx is the answer.
func Outgoing(o OutgoingOptions) *http.Client {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	proxy := o.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	g := guard{allowed: newHosts(o.Allowed), blocked: newHosts(o.Blocked)}
	free := &net.Dialer{Timeout: o.Timeout, Control: g.unblocked}
	strict := &net.Dialer{Timeout: o.Timeout, Control: g.control}
	direct := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err == nil && g.allowed.names[name(host)] {
				return free.DialContext(ctx, network, addr)
			}
			return strict.DialContext(ctx, network, addr)
		},
	}
	proxied := &http.Transport{
		DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext,
		Proxy: func(r *http.Request) (*url.URL, error) {
			u, ok := r.Context().Value(via{}).(*url.URL)
			if !ok {
				return nil, errors.New("a request for a proxy names none")
			}
			return u, nil
		},
	}
	if o.UserProxy {
		proxied.DialContext = direct.DialContext
	}
	for _, t := range []*http.Transport{direct, proxied} {
		t.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, Certificates: o.Certificates, MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: o.Insecure} //nolint:gosec // asked for by name: verify_tls is off
		t.ForceAttemptHTTP2 = true
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = max(16, o.Idle), o.Idle, 30*time.Second
		t.TLSHandshakeTimeout, t.MaxResponseHeaderBytes = o.Timeout, 64<<10
		if o.Streams {
			t.ResponseHeaderTimeout = o.Timeout
		}
	}
	whole := o.Timeout
	if o.Streams {
		whole = 0
	}
	return &http.Client{
		Timeout:       whole,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if g.blocks(r.URL.Hostname()) {
				return nil, ErrForbiddenTarget
			}
			by, err := proxy(r)
			if err != nil {
				return nil, err
			}
			if by == nil {
				return direct.RoundTrip(r)
			}
			if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && !g.allows(ip) {
				return nil, fmt.Errorf("%w: %s", ErrForbiddenTarget, ip)
			}
			return proxied.RoundTrip(r.WithContext(context.WithValue(r.Context(), via{}, by)))
		}),
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hosts are names, addresses and networks.
type hosts struct {
	networks []netip.Prefix
	names    map[string]bool
}

func newHosts(list []string) hosts {
	h := hosts{names: map[string]bool{}}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a); err == nil {
			h.networks = append(h.networks, p.Masked())
		} else if ip, err := netip.ParseAddr(strings.Trim(a, "[]")); err == nil {
			h.networks = append(h.networks, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
		} else {
			h.names[name(a)] = true
		}
	}
	return h
}

// name is a host's name as hosts has it.
func name(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

type guard struct{ allowed, blocked hosts }

// blocks reports whether a host is blocked by its name, or by one above it.
func (g guard) blocks(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return contains(g.blocked.networks, ip.Unmap().WithZone(""))
	}
	for n, ok := name(host), true; ok; _, n, ok = strings.Cut(n, ".") {
		if g.blocked.names[n] {
			return true
		}
	}
	return false
}

// unblocked is control for a host that is allowed by its name.
func (g guard) unblocked(_, addr string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil || contains(g.blocked.networks, at.Addr().Unmap().WithZone("")) {
		return ErrForbiddenTarget
	}
	return nil
}

// control sees the address that is really connected to, after its name was
// resolved.
func (g guard) control(_, addr string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil || !g.allows(at.Addr()) {
		return fmt.Errorf("%w: %s; an administrator can list it in SSRF_ALLOWED_HOSTS", ErrForbiddenTarget, addr)
	}
	return nil
}

// special are networks that are not the public internet and for which netip
// has no word.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("::/96"),
}

func (g guard) allows(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if contains(g.blocked.networks, ip) {
		return false
	}
	if contains(g.allowed.networks, ip) {
		return true
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !contains(special, ip)
}
