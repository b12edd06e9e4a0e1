// Package wire is what engines of object stores over HTTP have in common: the
// way there, the bounded memory of what is on its way, and objects that are
// read by ranges.
package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// NewTransport returns the way to an object store: through the proxy of the
// environment (HTTPS_PROXY and the like) where there is one, with names
// resolved anew on each connect. roots may sign the store's certificate; nil
// is the system's authorities. connect bounds connecting and the TLS
// handshake, 0 = 10 s; answer bounds the wait for the head of an answer,
// 0 = 60 s.
func NewTransport(roots *x509.CertPool, connect, answer time.Duration) *http.Transport {
	if connect <= 0 {
		connect = 10 * time.Second
	}
	if answer <= 0 {
		answer = time.Minute
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connect,
		ResponseHeaderTimeout:  answer,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        60 * time.Second,
		MaxIdleConnsPerHost:    64,
		MaxConnsPerHost:        512,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // bytes are passed on as they are stored
	}
}

// Guard returns a RoundTripper that does not touch a request's body any more
// once it has returned. A server may answer before it has read the body, and
// the transport goes on with that in the background; by then the body's memory
// may belong to somebody else.
func Guard(next http.RoundTripper) http.RoundTripper { return guard{next} }

type guard struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return g.next.RoundTrip(r)
	}
	body := &guarded{body: r.Body}
	defer body.leave()
	r = r.WithContext(r.Context()) // a RoundTripper may not change the caller's
	r.Body, r.GetBody = body, nil
	return g.next.RoundTrip(r)
}

type guarded struct {
	mu   sync.Mutex
	body io.ReadCloser
	left bool
}

func (b *guarded) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left {
		return 0, errors.New("the request is over")
	}
	return b.body.Read(p)
}

func (b *guarded) Close() error { return b.body.Close() }

func (b *guarded) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

// Bare returns err without the URL that net/http puts into its errors: the
// query may hold a signature.
func Bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
