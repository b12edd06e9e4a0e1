// Package apiclient is the client of the API of a running registry, as the
// commands of gantry use it. It speaks HTTP alone: it needs no database, no
// configuration and no data folder, and runs on any machine. internal/remote
// is something else: the client of other registries' content.
package apiclient

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// maxAnswer bounds an answer, in bytes. A page of a list is far smaller;
	// an organization's view with 10,000 teams is 3 MiB.
	maxAnswer = 64 << 20
	// tries is how often a call is sent that the server puts off.
	tries = 4
	// maxWait is the longest that one Retry-After is obeyed; a server that
	// says more is not waited for.
	maxWait = 30 * time.Second
)

// Options say which server to speak to, and as whom. The zero value of all
// but Server works, and is nobody.
type Options struct {
	Server   string // as ParseServer returns it
	Login    Login
	Agent    string // User-Agent; "" = "gantry"
	Insecure bool   // do not verify the server's certificate
	CAFile   string // PEM file of authorities trusted beside the system's; "" = none

	sleep func(context.Context, time.Duration) error // nil = as time passes
}

// A Login is how a client shows who it is: with a token, or with a session.
type Login struct {
	Token  string `json:"token,omitempty"`  // an OAuth token
	Cookie string `json:"cookie,omitempty"` // "name=value" of a session
	CSRF   string `json:"csrf,omitempty"`   // that changes of the session carry
}

// A Client makes calls of one registry's API. Many may use it at once.
type Client struct {
	o    Options
	http *http.Client
}

// An Error is an answer that is not a good one.
type Error struct {
	Status int
	Kind   string // error_type, as docs/reference/api.md lists them; "" = the answer was none of the API
	Detail string // for people; "" = none came
	Retry  time.Duration

	readOnly bool
}

// FreshLogin is the Kind of an error that giving the password again mends.
const FreshLogin = "fresh_login_required"

func (e *Error) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return e.Detail
}

// ParseServer reads the address of a server: a host, maybe with a port, is
// spoken to by HTTPS; http:// has to be said.
func ParseServer(s string) (string, error) {
	text := s
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("the server's address is not like https://registry.example.com or http://localhost:8080")
	}
	if u.User != nil {
		return "", errors.New("the server's address holds a name or password: sign in with gantry login instead")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the server's address ends with the host and port: the API is below /api/v1 of it")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// New returns a client. It does not connect.
func New(o Options) (*Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: 2 * time.Minute, MaxResponseHeaderBytes: 1 << 20,
		DialContext:     (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: o.Insecure, MinVersion: tls.VersionTLS12}} //nolint:gosec // --tls-verify=false asks for it
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file: %s holds no certificate in PEM form", o.CAFile)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	o.Agent = cmp.Or(o.Agent, "gantry")
	if o.sleep == nil {
		o.sleep = sleep
	}
	return &Client{o, &http.Client{Transport: t,
		// A token goes to the server that was named, nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Server is the address of the server.
func (c *Client) Server() string { return c.o.Server }

// Path is a path below /api/v1/ of its parts. A part that begins with a slash
// is taken whole, as it is: the path of a repository. Names that no path can
// hold are an error.
func Path(parts ...string) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		for name := range strings.SplitSeq(strings.TrimPrefix(p, "/"), "/") {
			if name == "" || name == "." || name == ".." {
				return "", fmt.Errorf("%q is not a name", p)
			}
			if b.Len() > 0 {
				b.WriteByte('/')
			}
			b.WriteString(url.PathEscape(name))
			if !strings.HasPrefix(p, "/") && strings.Contains(p, "/") {
				return "", fmt.Errorf("%q is not a name: it holds a slash", p)
			}
		}
	}
	return b.String(), nil
}

// Get reads path, below /api/v1/, into out.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.Do(ctx, http.MethodGet, path, nil, out)
}

// Do makes a call of a path below /api/v1/. in is the body, as JSON; nil =
// none. The answer is decoded into out, where numbers of an any keep all
// their digits; nil leaves it. A call that the server puts off (429, and 503
// with Retry-After) is sent again, a few times.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	for try := 1; ; try++ {
		err := c.once(ctx, method, path, in, out, nil)
		e, ok := errors.AsType[*Error](err)
		if !ok || try == tries || e.readOnly || e.Retry <= 0 || e.Retry > maxWait || e.Status != 429 && e.Status != 503 {
			return err
		}
		if err := c.o.sleep(ctx, e.Retry); err != nil {
			return err
		}
	}
}

func (c *Client) once(ctx context.Context, method, path string, in, out any, header func(http.Header)) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.o.Server+"/api/v1/"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", c.o.Agent)
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch l := c.o.Login; {
	case l.Token != "":
		req.Header.Set("Authorization", "Bearer "+l.Token)
	case l.Cookie != "":
		req.Header.Set("Cookie", l.Cookie)
		if method != http.MethodGet && method != http.MethodHead {
			req.Header.Set("X-CSRF-Token", l.CSRF)
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // it was read, or is not wanted
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%s answered with more than %d MiB", c.o.Server, maxAnswer>>20)
	}
	if header != nil {
		header(res.Header)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return c.failure(res, b)
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("%s did not answer as the API does: is it a registry of Gantry or Quay?", c.o.Server)
	}
	return nil
}

// ErrUnreachable is wrapped by errors of calls that got no answer.
var ErrUnreachable = errors.New("cannot reach the server")

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*url.Error](err); ok { // which repeats the address with its query
		err = e.Err
	}
	var hint string
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		hint = "; name its authority with --ca-file"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		hint = "; if it speaks plain HTTP, say http://"
	}
	return fmt.Errorf("%w %s: %w%s", ErrUnreachable, c.o.Server, err, hint)
}

// failure reads the error of an answer: Quay's problem object, or one of those
// that only some calls have.
func (c *Client) failure(res *http.Response, b []byte) error {
	e := &Error{Status: res.StatusCode}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s >= 0 {
		e.Retry = min(time.Duration(s), 1<<30) * time.Second
	}
	var v struct {
		Kind     string `json:"error_type"`
		Detail   string `json:"detail"`
		Message  string `json:"message"`
		Error    string `json:"error_message"`
		ReadOnly bool   `json:"is_readonly"`
	}
	if json.Unmarshal(b, &v) == nil {
		e.Kind, e.Detail, e.readOnly = v.Kind, printable(cmp.Or(v.Detail, v.Error, v.Message)), v.ReadOnly
	}
	if to := res.Header.Get("Location"); res.StatusCode >= 300 && res.StatusCode < 400 && to != "" {
		e.Detail = printable(fmt.Sprintf("%s sends calls on to %.300s: name that server if you trust it", c.o.Server, to))
	}
	return e
}

// printable is text that a server sent, for a terminal: without control
// characters, and not endless.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), 2000)], "?")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// SignIn starts a session with a password and returns it. It is sent once:
// a server that counts failed attempts is not asked again.
func (c *Client) SignIn(ctx context.Context, name, password string) (Login, error) {
	var l Login
	nobody := &Client{o: c.o, http: c.http}
	nobody.o.Login = Login{}
	err := nobody.once(ctx, http.MethodPost, "signin", map[string]string{"username": name, "password": password}, nil, func(h http.Header) {
		for _, k := range (&http.Response{Header: h}).Cookies() {
			if k.Value != "" && k.MaxAge >= 0 {
				l.Cookie = k.Name + "=" + k.Value
				break
			}
		}
		l.CSRF = h.Get("X-Next-Csrf-Token")
	})
	if err == nil && (l.Cookie == "" || l.CSRF == "") {
		err = fmt.Errorf("%s did not start a session", c.o.Server)
	}
	return l, err
}

// Refresh gives the password of the session again, for what needs a fresh
// login.
func (c *Client) Refresh(ctx context.Context, password string) error {
	return c.once(ctx, http.MethodPost, "signin/verify", map[string]string{"password": password}, nil, nil)
}

// SignOut ends the session; with a token there is nothing to end.
func (c *Client) SignOut(ctx context.Context) error {
	if c.o.Login.Cookie == "" {
		return nil
	}
	return c.once(ctx, http.MethodPost, "signout", nil, nil, nil)
}
