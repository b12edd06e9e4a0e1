package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// Kind says what failed.
type Kind string

// The kinds of failure.
const (
	DNS         Kind = "dns"         // the host's name is not known
	Connect     Kind = "connect"     // nobody listens there, or the network is away
	TLS         Kind = "tls"         // the certificate is not trusted, or there is no TLS
	Blocked     Kind = "blocked"     // an address that this network does not give to users
	Credentials Kind = "credentials" // the name or the password is wrong
	Denied      Kind = "denied"      // these credentials may not; or it is not there, and that is not told
	NotFound    Kind = "not found"   // no such repository, tag, manifest or blob
	NotRegistry Kind = "no registry" // something else answers there
	Limited     Kind = "limited"     // too many requests: after Retry
	Unavailable Kind = "unavailable" // it is down, breaks off or stalls: later
	Invalid     Kind = "invalid"     // what was sent is wrong: a digest, a length, a document; or what was asked
)

// Kinds lists every Kind.
var Kinds = []Kind{DNS, Connect, TLS, Blocked, Credentials, Denied, NotFound, NotRegistry, Limited, Unavailable, Invalid}

// Error is a failure of, or with, another registry.
type Error struct {
	Kind   Kind
	Host   string        // who was asked; "" when nobody was
	Status int           // of the answer; 0 if there was none
	Retry  time.Duration // for Limited and Unavailable: try again after this; 0 is not said
	Text   string        // for the user: no secret, and what to do
	Err    error         // for the log; may be nil

	again      bool      // asking again may help
	plain      bool      // what answers does not speak TLS
	challenged bool      // refused for want of (other) credentials
	challenge  challenge // of a 401
}

// Error returns the text, without the cause: that may hold an address.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of err, or "" if it is no Error.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// Away reports whether err says that the registry cannot answer now, so that
// what is known of it stays true.
func Away(err error) bool {
	switch KindOf(err) {
	case DNS, Connect, TLS, Limited, Unavailable:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// classify makes an Error of a failure below HTTP.
func classify(host string, err error) *Error {
	e := &Error{Kind: Unavailable, Host: host, Err: err, again: true}
	var (
		cert    *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		dns     *net.DNSError
		op      *net.OpError
	)
	switch {
	case errors.Is(err, httpd.ErrForbiddenTarget):
		e.Kind, e.again = Blocked, false
		e.Text = fmt.Sprintf("%s is at an address of the registry's own network, which is not given to users; an administrator can list it in SSRF_ALLOWED_HOSTS", host)
	case errors.As(err, &dns):
		e.Kind, e.again = DNS, dns.IsTemporary || dns.IsTimeout
		e.Text = fmt.Sprintf("the name %s is not known to the name service; check its spelling", host)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		e.Kind, e.again, e.plain = TLS, false, true
		e.Text = host + " does not speak TLS; allow plain http for it, or name the port of its TLS"
	case errors.As(err, &unknown):
		e.Kind, e.again = TLS, false
		e.Text = fmt.Sprintf("the certificate of %s is signed by an authority that is not trusted; put that authority into extra_ca_certs", host)
	case errors.As(err, &cert):
		e.Kind, e.again = TLS, false
		e.Text = fmt.Sprintf("the certificate of %s is not valid for it: %s", host, certText(cert.Err))
	case errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		e.Kind, e.again = TLS, false
		e.Text = host + " and this registry agree on no TLS connection"
	case errors.Is(err, errStalled):
		e.Text = host + " sends nothing any more"
	case errors.As(err, &op) && op.Op == "dial":
		e.Kind = Connect
		e.Text = host + " cannot be connected to; check the host, the port and the proxy"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		e.Kind = Connect
		e.Text = "the proxy on the way to " + host + " cannot be connected to"
	default:
		e.Text = host + " broke the connection off"
	}
	return e
}

func certText(err error) string {
	var (
		name  x509.HostnameError
		which x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &name):
		return "it names another host"
	case errors.As(err, &which) && which.Reason == x509.Expired:
		return "it has expired, or a clock is wrong"
	}
	return "it cannot be verified"
}

// refusal makes an Error of an answer that is no success. own says that the
// registry itself gave it, credentials that some were sent.
func (r *Registry) refusal(res *http.Response, own, credentials bool) *Error {
	e := &Error{Kind: Invalid, Host: r.host, Status: res.StatusCode, Retry: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	code := ""
	if c := errorCode(res.Body); c != "" {
		code = ", " + c
	}
	said := fmt.Sprintf("%s answered %d%s", r.host, res.StatusCode, code)
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Kind, e.challenged = Denied, true
		if own {
			e.challenge = parseChallenges(res.Header.Values("WWW-Authenticate"))
		}
		switch {
		case r.anonymous():
			e.Text = said + ": it is not there, or needs a user name and a password"
		case e.challenge.scheme == "basic" && credentials:
			e.Kind, e.Text = Credentials, said+": the user name or the password is wrong"
		default:
			e.Text = said + ": it is not there, or these credentials may not read it"
		}
	case s == http.StatusForbidden:
		e.Kind, e.Text = Denied, said+": these credentials may not read it"
	case s == http.StatusNotFound, s == http.StatusGone:
		e.Kind, e.Text = NotFound, said+": it is not there"
	case s == http.StatusTooManyRequests:
		e.Kind, e.Text = Limited, said+": too many requests; its limit is higher for a user who has signed in"
		if e.Retry == 0 {
			e.Retry = rateLimitReset(res.Header, time.Now())
		}
	case s == http.StatusRequestedRangeNotSatisfiable:
		e.Text = said + ": it has fewer bytes than it said"
	case s >= 500:
		e.Kind, e.again, e.Text = Unavailable, s != http.StatusNotImplemented, said+": it does not work at the moment"
	default:
		e.Text = said + ", which a registry does not answer here"
	}
	return e
}

// errorCode reads the code of an OCI error document, such as
// "MANIFEST_UNKNOWN"; "" if there is none.
func errorCode(body io.Reader) string {
	var doc struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	b, err := io.ReadAll(io.LimitReader(body, 16<<10))
	if err != nil || json.Unmarshal(b, &doc) != nil || len(doc.Errors) == 0 {
		return ""
	}
	c := doc.Errors[0].Code
	if len(c) > 40 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return ""
	}
	return c
}

// maxRetry bounds what a registry may ask to wait.
const maxRetry = 24 * time.Hour

// retryAfter reads a Retry-After: seconds or a date. 0 is none, or one that
// cannot be read.
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return min(max(0, time.Duration(min(n, 1<<30))*time.Second), maxRetry)
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(0, t.Sub(now)), maxRetry)
	}
	return 0
}

// rateLimitReset reads when a limit is renewed: RateLimit-Reset and
// X-RateLimit-Reset, in seconds from now or since 1970. 0 is not said.
func rateLimitReset(h http.Header, now time.Time) time.Duration {
	for _, k := range []string{"Ratelimit-Reset", "X-Ratelimit-Reset"} {
		n, err := strconv.ParseInt(h.Get(k), 10, 64)
		switch {
		case err != nil || n <= 0:
		case n > 1_000_000_000:
			return min(max(0, time.Unix(n, 0).Sub(now)), maxRetry)
		default:
			return min(time.Duration(n)*time.Second, maxRetry)
		}
	}
	return 0
}

// exhausted reports whether an answer says that the next request will be
// refused: Docker Hub's "ratelimit-remaining: 0;w=21600" and the like.
func exhausted(h http.Header) bool {
	for _, k := range []string{"Ratelimit-Remaining", "X-Ratelimit-Remaining"} {
		v, _, _ := strings.Cut(h.Get(k), ";")
		if strings.TrimSpace(v) == "0" {
			return true
		}
	}
	return false
}

// clean makes a host of outside safe to show.
func clean(s string) string {
	if len(s) > 260 {
		s = s[:260]
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}
