// Package remote is the client of other registries: what mirroring copies
// from and a proxy cache is filled from. It speaks the pull side of the OCI
// distribution specification, as Docker Hub, Quay, GitHub, GitLab, Harbor and
// Docker's own registry do, and believes none of them: what they send is
// bounded, checked and awaited for a bounded time.
package remote

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// The bounds of what another registry may send.
const (
	maxManifest  = 4 << 20  // as of our own
	maxList      = 32 << 20 // a page of tags or repositories
	maxReferrers = 4096     // referrers of one manifest
	maxPages     = 64       // of referrers
	maxTokenBody = 256 << 10
	maxRedirects = 5
	smallCall    = 2 * time.Minute // all of a request but a blob's, with its body
)

// Options say which registry, as whom, and how it is reached.
type Options struct {
	// Host is the registry's name without a scheme, perhaps with a port:
	// "registry.example:5000". "docker.io" is Docker Hub, whose registry is at
	// registry-1.docker.io.
	Host               string
	Username, Password string // both "" is anonymous
	// VerifyTLS false takes any certificate, and plain http of a registry that
	// does not answer in TLS.
	VerifyTLS bool
	PlainHTTP bool // http alone
	// HTTPProxy, HTTPSProxy and NoProxy are as the environment has them. All
	// three "" is what the environment of the process says.
	HTTPProxy, HTTPSProxy, NoProxy string
	// Client makes the client of what it gets: app adds SSRF_ALLOWED_HOSTS. nil
	// is httpd.Outgoing, which reaches the public internet alone.
	Client func(httpd.OutgoingOptions) *http.Client
	Roots  *x509.CertPool // nil is the system's authorities
	// Limits are shared by all clients of a process. nil is limits of this
	// client's own.
	Limits *Limits
	// Patience is how long a request waits for what the registry asked to wait
	// (429, Retry-After) before it fails with Limited; 0 is 10 s. A mirror has
	// more of it than somebody's pull.
	Patience time.Duration
	// Stall is how long a registry may send nothing; 0 is 30 s.
	Stall time.Duration
	// Backoff is the first wait before a request that failed is repeated, and
	// doubles; 0 is 250 ms.
	Backoff time.Duration
	Metrics Metrics // what is counted; the zero value counts nothing
}

// Metrics are told what goes on. Each may be nil.
type Metrics struct {
	Request func(outcome string) // "ok", or the Kind of the failure
	Bytes   func(n int)          // of blobs that came
}

func (m Metrics) request(err error) {
	if m.Request == nil {
		return
	}
	outcome := "ok"
	if err != nil {
		outcome = string(Unavailable)
		if e, ok := errors.AsType[*Error](err); ok {
			outcome = string(e.Kind)
		}
	}
	m.Request(outcome)
}

// Registry is another registry. Its methods may be called at once by many.
type Registry struct {
	o      Options
	host   string // as asked for in the address
	hub    bool   // Docker Hub, where names without a slash are in library/
	client *http.Client
	tokens tokens

	mu     sync.Mutex
	scheme string // "" until TLS was tried, where both are allowed
}

// New returns the client of a registry. It does no I/O. The error is an
// *Error of kind Invalid.
func New(o Options) (*Registry, error) {
	host, err := checkHost(o.Host)
	if err != nil {
		return nil, err
	}
	r := &Registry{o: o, host: host, hub: isHub(host)}
	if r.hub {
		r.host = hubHost
	}
	switch {
	case o.PlainHTTP:
		r.scheme = "http"
	case o.VerifyTLS:
		r.scheme = "https"
	}
	if o.Limits == nil {
		r.o.Limits = NewLimits(0)
	}
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&r.o.Patience, 10*time.Second)
	set(&r.o.Stall, 30*time.Second)
	set(&r.o.Backoff, 250*time.Millisecond)
	out := httpd.OutgoingOptions{
		RootCAs: o.Roots, Streams: true, Timeout: r.o.Stall, Idle: 32,
		Insecure: !o.VerifyTLS,
	}
	if o.HTTPProxy != "" || o.HTTPSProxy != "" || o.NoProxy != "" {
		cfg := &httpproxy.Config{HTTPProxy: o.HTTPProxy, HTTPSProxy: o.HTTPSProxy, NoProxy: o.NoProxy}
		for _, p := range []string{o.HTTPProxy, o.HTTPSProxy} {
			if err := checkProxy(p); err != nil {
				return nil, err
			}
		}
		find := cfg.ProxyFunc()
		out.Proxy, out.UserProxy = func(q *http.Request) (*url.URL, error) { return find(q.URL) }, true
	}
	if o.Client == nil {
		r.client = httpd.Outgoing(out)
	} else {
		r.client = o.Client(out)
	}
	return r, nil
}

// checkProxy checks the address of a proxy. It is never repeated in an
// error: it may hold a password.
func checkProxy(p string) error {
	if p == "" {
		return nil
	}
	if !strings.Contains(p, "://") {
		p = "http://" + p
	}
	u, err := url.Parse(p)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return &Error{Kind: Invalid, Text: "the proxy's address is not of the form http://host:port"}
	}
	return nil
}

// Host is the registry's host, as messages name it.
func (r *Registry) Host() string { return r.host }

// Close lets idle connections go.
func (r *Registry) Close() { r.client.CloseIdleConnections() }

// Verify asks whether there is a registry and, if there are credentials,
// whether it takes them. The *Error says what is wrong: DNS, Connect, TLS,
// Blocked, Credentials, NotRegistry, and what any request may fail with.
func (r *Registry) Verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, smallCall)
	defer cancel()
	res, err := r.do(ctx, call{method: http.MethodGet, path: "/v2/"})
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		switch {
		case ok && e.Status == http.StatusNotFound:
			return &Error{Kind: NotRegistry, Host: r.host, Status: e.Status, Text: fmt.Sprintf("%s is no container registry: it does not know /v2/; check the host and the port", r.host)}
		case ok && e.challenged && r.anonymous():
			return nil // it asks for credentials of everybody, or grants nothing without a name
		}
		return err
	}
	defer drop(res)
	b, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return r.broken(ctx, err)
	}
	if res.Header.Get("Docker-Distribution-Api-Version") == "" && len(b) > 0 && !json.Valid(b) {
		return &Error{Kind: NotRegistry, Host: r.host, Status: res.StatusCode, Text: fmt.Sprintf("%s is no container registry: it answers /v2/ with something else; check the host and the port", r.host)}
	}
	return nil
}

func (r *Registry) anonymous() bool { return r.o.Username == "" && r.o.Password == "" }

// Catalog lists names of repositories after last, in pages of n. last is ""
// or next of the page before, which is "" after the last page.
func (r *Registry) Catalog(ctx context.Context, last string, n int) (names []string, next string, err error) {
	return r.list(ctx, "/v2/_catalog", "repositories", "registry:catalog:*", last, n, func(s string) bool {
		return checkName(s) == nil
	})
}

// list reads one page of names. The cursor is the query of the next page, from
// "?" on, or the last name. What is not valid is left out.
func (r *Registry) list(ctx context.Context, path, field, scope, last string, n int, valid func(string) bool) (names []string, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, smallCall)
	defer cancel()
	q := url.Values{}
	if n > 0 {
		q.Set("n", strconv.Itoa(n))
	}
	if raw, ok := strings.CutPrefix(last, "?"); ok {
		if q, err = url.ParseQuery(raw); err != nil {
			return nil, "", &Error{Kind: Invalid, Host: r.host, Text: "the place in the list cannot be read"}
		}
	} else if last != "" {
		q.Set("last", last)
	}
	res, err := r.do(ctx, call{method: http.MethodGet, path: path, query: q, scope: scope})
	if err != nil {
		return nil, "", err
	}
	defer drop(res)
	names, err = readNames(io.LimitReader(res.Body, maxList+1), field, valid)
	switch {
	case errors.Is(err, errListTooLong):
		return nil, "", &Error{Kind: Invalid, Host: r.host, Text: fmt.Sprintf("%s sent a list of more than %d MiB", r.host, maxList>>20)}
	case errors.Is(err, errNoList):
		return nil, "", &Error{Kind: Invalid, Host: r.host, Text: fmt.Sprintf("%s sent a list that is no list of %s", r.host, field), Err: err}
	case err != nil:
		return nil, "", r.broken(ctx, err)
	}
	link := nextLink(res.Header.Values("Link"))
	if link == "" {
		return names, "", nil
	}
	u, err := url.Parse(link)
	if err != nil || len(link) > maxLink {
		return nil, "", &Error{Kind: Invalid, Host: r.host, Text: r.host + " sent a link to the next page that cannot be read"}
	}
	// Only the query is followed, at the path that was asked for, so that a
	// link leads nowhere else.
	next = "?" + u.RawQuery
	if next == last || u.RawQuery == "" {
		return nil, "", &Error{Kind: Invalid, Host: r.host, Text: r.host + " sent a link to the next page that leads to the same page"}
	}
	return names, next, nil
}

var (
	errListTooLong = errors.New("the list is too long")
	errNoList      = errors.New("not a list")
)

// readNames reads {"<field>": ["…", …]} with the names that are valid. The
// reader ends at maxList+1 bytes.
func readNames(body io.Reader, field string, valid func(string) bool) ([]string, error) {
	counted := &counter{r: body}
	d := json.NewDecoder(counted)
	fail := func(err error) ([]string, error) {
		_, syntax := errors.AsType[*json.SyntaxError](err)
		switch {
		case counted.n > maxList:
			return nil, errListTooLong
		case err == nil, syntax, errors.Is(err, io.EOF):
			return nil, errNoList
		}
		return nil, err
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fail(err)
	}
	names := []string{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fail(err)
		}
		if key != field {
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return fail(err)
			}
			continue
		}
		t, err := d.Token()
		switch {
		case err != nil:
			return fail(err)
		case t == nil:
			continue // null is an empty list
		case t != json.Delim('['):
			return fail(nil)
		}
		for d.More() {
			t, err := d.Token()
			if err != nil {
				return fail(err)
			}
			s, ok := t.(string)
			if !ok {
				return fail(nil)
			}
			if valid(s) {
				names = append(names, s)
			}
		}
		if _, err := d.Token(); err != nil {
			return fail(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return fail(err)
	}
	return names, nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A call is one question to the registry.
type call struct {
	method string
	path   string
	query  url.Values
	header http.Header
	scope  string // of the token, or ""
	slot   *slot  // one that the caller holds already, or nil
}

// attempts is how often a question is repeated that failed for a reason that
// may pass.
const attempts = 3

// do asks and returns an answer of the 2xx, or 304 to an If-None-Match, whose
// body the caller closes. Any other is an *Error, but for the context's own.
func (r *Registry) do(ctx context.Context, c call) (res *http.Response, err error) {
	defer func() { r.o.Metrics.request(err) }()
	held := c.slot
	if held == nil {
		if held, err = r.o.Limits.acquire(ctx, r.host); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				held.release()
			}
		}()
	}
	renewed := false
	for try := 0; ; try++ {
		if err := r.o.Limits.wait(ctx, r.key(), r.host, r.o.Patience); err != nil {
			return nil, err
		}
		res, used, err := r.ask(ctx, c)
		if err == nil {
			if c.slot == nil {
				res.Body = &holding{ReadCloser: res.Body, slot: held}
			}
			return res, nil
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || ctx.Err() != nil {
			return nil, err
		}
		switch {
		case e.Status == http.StatusUnauthorized && e.challenge.scheme != "" && !renewed:
			// A token that is missing or has run out. The second refusal counts.
			renewed = true
			r.tokens.drop(c.scope, used)
			if err := r.authenticate(ctx, e.challenge, c.scope); err != nil {
				return nil, err
			}
			try--
			continue
		case e.Kind == Limited || e.Status == http.StatusServiceUnavailable && e.Retry > 0:
			wait := e.Retry
			if wait <= 0 {
				wait = r.o.Backoff << min(try+2, 6)
			}
			r.o.Limits.pause(r.key(), wait)
			e.Retry = wait
			if wait > r.o.Patience || try >= 2*attempts {
				return nil, err
			}
			continue
		case !e.again || try+1 >= attempts:
			return nil, err
		}
		if err := sleep(ctx, r.o.Backoff<<try); err != nil {
			return nil, err
		}
	}
}

// key is what a pause applies to.
func (r *Registry) key() string { return r.host + " " + r.o.Username }

// sleep waits for d, more or less.
func sleep(ctx context.Context, d time.Duration) error {
	d = d/2 + rand.N(d/2+1) //nolint:gosec // jitter
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask sends a question once, follows redirects and returns the answer and the
// credentials that were used.
func (r *Registry) ask(ctx context.Context, c call) (res *http.Response, used string, err error) {
	used, err = r.authorization(ctx, c.scope)
	if err != nil {
		return nil, "", err
	}
	schemes := []string{r.currentScheme()}
	if schemes[0] == "" {
		schemes = []string{"https", "http"}
	}
	for i, scheme := range schemes {
		u := &url.URL{Scheme: scheme, Host: r.host, Path: c.path, RawQuery: c.query.Encode()}
		res, err = r.follow(ctx, c, u, used)
		if e, ok := errors.AsType[*Error](err); i == 0 && len(schemes) > 1 && ok && (e.plain || e.Kind == Connect && !strings.Contains(r.host, ":")) {
			continue
		}
		if _, ok := errors.AsType[*Error](err); len(schemes) > 1 && (err == nil || ok && err.(*Error).Status != 0) { //nolint:errorlint // just found
			r.mu.Lock()
			r.scheme = scheme
			r.mu.Unlock()
		}
		break
	}
	return res, used, err
}

func (r *Registry) currentScheme() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.scheme
}

// follow sends one request and those that it is redirected to. Credentials go
// to the registry's own host alone.
func (r *Registry) follow(ctx context.Context, c call, u *url.URL, authorization string) (*http.Response, error) {
	first := u
	for range maxRedirects + 1 {
		own := u.Scheme == first.Scheme && strings.EqualFold(u.Host, first.Host)
		auth := ""
		if own {
			auth = authorization
		}
		res, err := r.send(ctx, c.method, u, c.header, auth, "")
		if err != nil {
			return nil, err
		}
		switch res.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			if res.StatusCode/100 == 2 || res.StatusCode == http.StatusNotModified && own && c.header.Get("If-None-Match") != "" {
				return res, nil
			}
			defer drop(res)
			return nil, r.refusal(res, own, authorization != "")
		}
		to, err := u.Parse(res.Header.Get("Location"))
		drop(res)
		switch {
		case err != nil || res.Header.Get("Location") == "" || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" || to.User != nil:
			return nil, &Error{Kind: Invalid, Host: r.host, Status: res.StatusCode, Text: r.host + " redirects to an address that cannot be read"}
		case to.Scheme == "http" && u.Scheme == "https" && r.o.VerifyTLS:
			return nil, &Error{Kind: Blocked, Host: r.host, Status: res.StatusCode, Text: r.host + " redirects from https to plain http, which is refused"}
		}
		u = to
	}
	return nil, &Error{Kind: Invalid, Host: r.host, Text: fmt.Sprintf("%s redirects more than %d times", r.host, maxRedirects)}
}

// send sends one request. The body of the answer fails when nothing comes for
// Stall.
func (r *Registry) send(ctx context.Context, method string, u *url.URL, header http.Header, authorization, body string) (*http.Response, error) {
	inner, cancel := context.WithCancelCause(ctx)
	q, err := http.NewRequestWithContext(inner, method, u.String(), strings.NewReader(body)) // no body where it is ""
	if err != nil {
		cancel(nil)
		return nil, &Error{Kind: Invalid, Host: r.host, Text: "the address of the request cannot be made", Err: err}
	}
	for k, v := range header {
		q.Header[k] = v
	}
	q.Header.Set("Accept-Encoding", "identity") // sizes and digests are of what is stored
	q.Header.Set("User-Agent", "gantry")
	if authorization != "" {
		q.Header.Set("Authorization", authorization)
	}
	t := time.AfterFunc(r.o.Stall, func() { cancel(errStalled) })
	res, err := r.client.Do(q)
	t.Stop()
	if err != nil {
		defer cancel(nil)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(context.Cause(inner), errStalled) {
			err = errStalled
		}
		return nil, classify(r.shown(u), err)
	}
	res.Body = &watched{ReadCloser: res.Body, stall: r.o.Stall, cancel: cancel, cause: func() error { return context.Cause(inner) }}
	return res, nil
}

// shown is the host that a message names: one that is redirected to may be
// new to the reader.
func (r *Registry) shown(u *url.URL) string {
	if strings.EqualFold(u.Host, r.host) {
		return r.host
	}
	return clean(u.Host)
}

// broken is the failure of an answer's body.
func (r *Registry) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return classify(r.host, err)
}

var errStalled = errors.New("nothing came for too long")

// watched is a body that ends with errStalled when nothing comes.
type watched struct {
	io.ReadCloser
	stall  time.Duration
	cancel context.CancelCauseFunc
	cause  func() error
	t      *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	if w.t == nil {
		w.t = time.AfterFunc(w.stall, func() { w.cancel(errStalled) })
	} else {
		w.t.Reset(w.stall)
	}
	n, err := w.ReadCloser.Read(p)
	w.t.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(w.cause(), errStalled) {
		err = errStalled
	}
	return n, err
}

func (w *watched) Close() error {
	if w.t != nil {
		w.t.Stop()
	}
	err := w.ReadCloser.Close()
	w.cancel(nil)
	return err
}

// holding gives its slot back when it is closed.
type holding struct {
	io.ReadCloser
	slot *slot
}

func (h *holding) Close() error {
	err := h.ReadCloser.Close()
	h.slot.release()
	return err
}

// drop closes an answer after a little of what is left of it, so that its
// connection can be used again.
func drop(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // whether it can be used again is all that hangs on it
	_ = res.Body.Close()
}
