package httpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds the wait for what must happen; it is no measure of speed.
const patience = 20 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start starts a server that is shut down, and has left no goroutine behind,
// when the test ends.
func start(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	if o.IdleGrace == 0 {
		o.IdleGrace = -1
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		_ = s.Shutdown(ctx) // tests that expect an outcome call it themselves
		if err := s.Wait(); err != nil {
			t.Errorf("Wait: %v", err)
		}
		noGoroutines(t)
	})
	return s, addr.String()
}

// noGoroutines waits until no goroutine of a server runs any more.
func noGoroutines(t *testing.T) {
	t.Helper()
	var stacks string
	if !poll(func() bool {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		return !strings.Contains(stacks, "net/http.(*conn).serve") && !strings.Contains(stacks, "httpd.(*Server).Start.func") &&
			!strings.Contains(stacks, "http2serverConn")
	}) {
		t.Errorf("goroutines are left:\n%s", stacks)
	}
}

func poll(done func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if done() {
			return true
		}
		runtime.Gosched()
		<-time.After(2 * time.Millisecond)
	}
	return false
}

func within(t *testing.T, c <-chan error, what string) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
		return nil
	}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func client(t *testing.T, cfg *tls.Config) *http.Client {
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// writeCert writes a self-signed pair for 127.0.0.1 whose serial number is n.
func writeCert(t *testing.T, dir string, n int64) *TLSOptions {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(n), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	o := &TLSOptions{CertFile: filepath.Join(dir, "ssl.cert"), KeyFile: filepath.Join(dir, "ssl.key")}
	for name, b := range map[string]*pem.Block{o.CertFile: {Type: "CERTIFICATE", Bytes: der}, o.KeyFile: {Type: "EC PRIVATE KEY", Bytes: kb}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

var insecure = &tls.Config{InsecureSkipVerify: true} // #nosec G402 -- the test's own server

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	o := writeCert(t, dir, 1)
	s, addr := start(t, Options{TLS: o, Handler: Middleware(MiddlewareOptions{Logger: quiet()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Proto, " ", Scheme(r))
	}))})
	res, body := get(t, client(t, insecure.Clone()), "https://"+addr)
	if body != "HTTP/2.0 https" || res.Header.Get("Strict-Transport-Security") == "" || res.TLS.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Errorf("%q, %v", body, res.Header)
	}
	h1 := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure.Clone(), DisableKeepAlives: true}}
	if _, body := get(t, h1, "https://"+addr); body != "HTTP/1.1 https" {
		t.Errorf("without ALPN: %q", body)
	}

	if err := os.WriteFile(o.CertFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.ReloadCertificate(); err == nil {
		t.Error("a broken certificate was taken")
	}
	if res, _ := get(t, client(t, insecure.Clone()), "https://"+addr); res.TLS.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Error("the old certificate is gone")
	}
	writeCert(t, dir, 2)
	if err := s.ReloadCertificate(); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, client(t, insecure.Clone()), "https://"+addr); res.TLS.PeerCertificates[0].SerialNumber.Int64() != 2 {
		t.Error("the new certificate is not used")
	}

	old := insecure.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	d := tls.Dialer{Config: old}
	if c, err := d.DialContext(t.Context(), "tcp", addr); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 was spoken")
	}
}

func TestTLSNames(t *testing.T) {
	ids, ignored, err := CipherSuites([]string{"ECDHE-RSA-AES128-GCM-SHA256:!aNULL", "DHE-RSA-AES256-GCM-SHA384"})
	if err != nil || len(ids) != 1 || ids[0] != tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 || len(ignored) != 2 {
		t.Errorf("%v, %v, %v", ids, ignored, err)
	}
	if _, _, err := CipherSuites([]string{"RC4-MD5"}); err == nil {
		t.Error("a list without a usable cipher was taken")
	}
	for list, want := range map[string][2]uint16{
		"": {tls.VersionTLS12, tls.VersionTLS13}, "TLSv1 TLSv1.2": {tls.VersionTLS12, tls.VersionTLS12}, "TLSv1.3": {tls.VersionTLS13, tls.VersionTLS13},
	} {
		var names []string
		if list != "" {
			names = []string{list}
		}
		if lo, hi, err := tlsVersions(names); err != nil || lo != want[0] || hi != want[1] {
			t.Errorf("%q: %x %x %v", list, lo, hi, err)
		}
	}
	for _, bad := range []string{"TLSv1.1", "TLSv9"} {
		if _, _, err := tlsVersions([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// recListener records what its connections are asked to read from.
type recListener struct {
	net.Listener
	rec *recorder
}

type recorder struct {
	mu   sync.Mutex
	args []string
}

func (l recListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return recConn{c.(*net.TCPConn), l.rec}, nil
}

type recConn struct {
	*net.TCPConn
	rec *recorder
}

func (c recConn) ReadFrom(r io.Reader) (int64, error) {
	arg := fmt.Sprintf("%T", r)
	if lr, ok := r.(*io.LimitedReader); ok {
		arg = fmt.Sprintf("%T over %T", r, lr.R)
	}
	c.rec.mu.Lock()
	c.rec.args = append(c.rec.args, arg)
	c.rec.mu.Unlock()
	return c.TCPConn.ReadFrom(r)
}

func TestFilesGoBySendfile(t *testing.T) {
	want := make([]byte, 3<<20)
	if _, err := rand.Read(want); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	_, addr := start(t, Options{Listener: recListener{ln, rec}, Handler: Middleware(MiddlewareOptions{Logger: quiet()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = f.Close() }()
		if r.URL.Path == "/copy" {
			w.Header().Set("Content-Length", fmt.Sprint(len(want)))
			_, err = io.Copy(w, f)
			if err != nil {
				t.Error(err)
			}
			return
		}
		http.ServeContent(w, r, "", time.Time{}, f)
	}))})
	for _, p := range []string{"/", "/copy"} {
		rec.args = nil
		if _, got := get(t, client(t, nil), "http://"+addr+p); got != string(want) {
			t.Errorf("%s: the bytes differ", p)
		}
		rec.mu.Lock()
		args := strings.Join(rec.args, ", ")
		rec.mu.Unlock()
		if args != "*io.LimitedReader over *os.File" && args != "*io.LimitedReader over os.fileWithoutWriteTo" {
			t.Errorf("%s: the connection read from %q", p, args)
		}
	}
}

// A fakeConn takes at most chunk bytes a call and then says that the deadline
// passed, until it has taken stop bytes; then it takes no more.
type fakeConn struct {
	net.Conn
	buf         bytes.Buffer
	chunk, stop int
	armed       int
}

func (f *fakeConn) SetWriteDeadline(time.Time) error { f.armed++; return nil }
func (f *fakeConn) Write(p []byte) (int, error) {
	n := min(len(p), f.chunk, f.stop-f.buf.Len())
	f.buf.Write(p[:n])
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

// ReadFrom reads more than it sends, as the copy without sendfile may.
func (f *fakeConn) ReadFrom(r io.Reader) (int64, error) {
	b := make([]byte, f.chunk*2)
	n, err := io.ReadFull(r, b)
	if n == 0 || errors.Is(err, io.EOF) {
		return 0, nil
	}
	m, err := f.Write(b[:n])
	if err == nil {
		more, err := f.ReadFrom(r)
		return int64(m) + more, err
	}
	return int64(m), err
}

func TestWritesGoOnWhileTheyMove(t *testing.T) {
	text := strings.Repeat("0123456789", 100)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, send := range map[string]func(*conn) (int64, error){
		"write": func(c *conn) (int64, error) { n, err := c.Write([]byte(text)); return int64(n), err },
		"file": func(c *conn) (int64, error) {
			f, err := os.Open(path)
			if err != nil {
				return 0, err
			}
			defer func() { _ = f.Close() }()
			return c.ReadFrom(&io.LimitedReader{R: f, N: int64(len(text))})
		},
		"reader": func(c *conn) (int64, error) { return c.ReadFrom(strings.NewReader(text)) },
	} {
		f := &fakeConn{chunk: 7, stop: len(text)}
		c := &conn{Conn: f, stall: time.Hour}
		if n, err := send(c); err != nil || n != int64(len(text)) || f.buf.String() != text {
			t.Errorf("%s: sent %d, %v, right bytes: %v", name, n, err, f.buf.String() == text)
		}
		if f.armed != 1 {
			t.Errorf("%s: the deadline was set %d times, want once", name, f.armed)
		}
		f = &fakeConn{chunk: 7, stop: 70}
		if n, err := send(&conn{Conn: f, stall: time.Hour}); !errors.Is(err, ErrStalled) || n != 70 {
			t.Errorf("%s: a reader that stopped: sent %d, %v", name, n, err)
		}
		f = &fakeConn{chunk: 7, stop: len(text)}
		if _, err := send(&conn{Conn: f, stall: time.Second, minRate: 8}); !errors.Is(err, ErrStalled) {
			t.Errorf("%s: a reader that is too slow: %v", name, err)
		}
		// A deadline that net/http set is obeyed.
		f = &fakeConn{chunk: 7, stop: len(text)}
		c = &conn{Conn: f, stall: time.Hour}
		if err := c.SetWriteDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if n, err := send(c); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrStalled) || n != 7 {
			t.Errorf("%s: with a foreign deadline: sent %d, %v", name, n, err)
		}
	}
}

// TestClientThatDoesNotRead: its handler ends, over plain HTTP, TLS and HTTP/2.
func TestClientThatDoesNotRead(t *testing.T) {
	for _, mode := range []string{"plain", "tls", "h2"} {
		t.Run(mode, func(t *testing.T) {
			ended := make(chan error, 1)
			mo := MiddlewareOptions{Logger: quiet(), StallTimeout: 100 * time.Millisecond}
			o := Options{StallTimeout: 100 * time.Millisecond, Handler: Middleware(mo, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				b := make([]byte, 1<<20)
				for {
					if _, err := w.Write(b); err != nil {
						ended <- err
						return
					}
				}
			}))}
			if mode != "plain" {
				o.TLS = writeCert(t, t.TempDir(), 1)
			}
			_, addr := start(t, o)
			switch mode {
			case "h2":
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := client(t, insecure.Clone()).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				if res.ProtoMajor != 2 {
					t.Fatal(res.Proto)
				}
			case "tls":
				c := tls.Client(dial(t, addr), insecure.Clone())
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			default:
				if _, err := io.WriteString(dial(t, addr), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			if err := within(t, ended, "the end of the handler"); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestClientThatDoesNotSend: reading its body fails with ErrStalled.
func TestClientThatDoesNotSend(t *testing.T) {
	for _, mode := range []string{"plain", "h2", "unread"} {
		t.Run(mode, func(t *testing.T) {
			ended := make(chan error, 1)
			o := Options{Handler: Middleware(MiddlewareOptions{Logger: quiet(), StallTimeout: 100 * time.Millisecond}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if mode == "unread" { // net/http reads the rest, within bounds
					ended <- nil
					return
				}
				_, err := io.Copy(io.Discard, r.Body)
				ended <- err
			}))}
			if mode == "h2" {
				o.TLS = writeCert(t, t.TempDir(), 1)
			}
			_, addr := start(t, o)
			if mode == "h2" {
				pr, pw := io.Pipe()
				defer func() { _ = pw.Close() }()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+addr, pr)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					res, err := client(t, insecure.Clone()).Do(req)
					if err == nil {
						_ = res.Body.Close()
					}
				}()
				if _, err := pw.Write([]byte("half")); err != nil {
					t.Fatal(err)
				}
			} else {
				c := dial(t, addr)
				if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
					t.Fatal(err)
				}
				defer func() { // the server gives the connection up
					if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error(err)
					}
				}()
			}
			if err := within(t, ended, "the end of the handler"); mode != "unread" && !errors.Is(err, ErrStalled) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestSlowHeaderIsCutOff(t *testing.T) {
	_, addr := start(t, Options{ReadHeaderTimeout: 50 * time.Millisecond})
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a header that never ends is waited for")
	}
}

func TestLongHandlerKeepsItsContext(t *testing.T) {
	// After the body's end a stale read deadline would look as if the client
	// had left.
	stall := 50 * time.Millisecond
	_, addr := start(t, Options{Handler: Middleware(MiddlewareOptions{Logger: quiet(), StallTimeout: stall}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the context ended")
		case <-time.After(4 * stall): // longer than any deadline that was set
		}
		w.WriteHeader(http.StatusCreated)
	}))})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusCreated {
		t.Error(err, res.StatusCode)
	}
}

func TestDrain(t *testing.T) {
	gate := &Gate{}
	running := make(chan error)
	h := NewHealth(HealthOptions{Gate: gate})
	mux := http.NewServeMux()
	mux.Handle("/health/", h)
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		running <- nil
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintf(w, "got %d", len(b))
	})
	drained := make(chan error, 1)
	s, addr := start(t, Options{
		Gate: gate, Handler: Middleware(MiddlewareOptions{Logger: quiet(), Gate: gate}, mux),
		IdleGrace: patience, DrainDelay: time.Millisecond, OnDrain: func() { drained <- nil },
	})
	// An idle connection, and an upload that is half done.
	idle := dial(t, addr)
	idleR := bufio.NewReader(idle)
	ask := func(path string) *http.Response {
		t.Helper()
		if _, err := io.WriteString(idle, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(idleR, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := ask("/health/instance"); res.StatusCode != http.StatusOK || res.Close {
		t.Fatalf("before: %d, close %v", res.StatusCode, res.Close)
	}
	up := dial(t, addr)
	if _, err := io.WriteString(up, "PUT /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := within(t, running, "the upload's start"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.WithoutCancel(t.Context())) }()
	if err := within(t, drained, "OnDrain"); err != nil {
		t.Fatal(err)
	}
	if !poll(func() bool {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}) {
		t.Fatal("new connections are still accepted")
	}
	// The idle connection's next request is served, and ends it.
	if res := ask("/health/instance"); res.StatusCode != http.StatusServiceUnavailable || !res.Close {
		t.Errorf("while draining: %d, close %v", res.StatusCode, res.Close)
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown did not wait for the upload: %v", err)
	default:
	}
	if _, err := io.WriteString(up, "1\r\n!\r\n0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(up), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || string(b) != "got 6" || !res.Close {
		t.Errorf("upload: %q, close %v, %v", b, res.Close, err)
	}
	if err := within(t, done, "the end of Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestDrainGivesUp(t *testing.T) {
	running, ended := make(chan error), make(chan error, 1)
	s, addr := start(t, Options{DrainTimeout: 20 * time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		running <- nil
		<-r.Context().Done()
		ended <- nil
	})})
	if _, err := io.WriteString(dial(t, addr), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = within(t, running, "the request")
	if err := s.Shutdown(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	_ = within(t, ended, "the end of the request's context")
}

func TestDrainHTTP2(t *testing.T) {
	gate := &Gate{}
	running, goOn := make(chan error), make(chan struct{})
	s, addr := start(t, Options{TLS: writeCert(t, t.TempDir(), 1), Gate: gate, Handler: Middleware(MiddlewareOptions{Logger: quiet(), Gate: gate}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		running <- nil
		<-goOn
		_, _ = w.Write([]byte("whole"))
	}))})
	type answer struct {
		body string
		err  error
	}
	got := make(chan answer, 1)
	c := client(t, insecure.Clone())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		res, err := c.Do(req)
		if err != nil {
			got <- answer{"", err}
			return
		}
		b, err := io.ReadAll(res.Body)
		got <- answer{string(b), errors.Join(err, res.Body.Close())}
	}()
	_ = within(t, running, "the request")
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.WithoutCancel(t.Context())) }()
	if !poll(gate.Draining) {
		t.Fatal("no drain")
	}
	goOn <- struct{}{}
	if a := <-got; a.body != "whole" || a.err != nil {
		t.Errorf("answer %q, %v", a.body, a.err)
	}
	if err := within(t, done, "the end of Shutdown"); err != nil {
		t.Error(err)
	}
}

func TestH2C(t *testing.T) {
	_, addr := start(t, Options{H2C: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	if _, body := get(t, &http.Client{Transport: tr}, "http://"+addr); body != "HTTP/2.0" {
		t.Error(body)
	}
}

func TestProxyProtocolServer(t *testing.T) {
	h := Middleware(MiddlewareOptions{Logger: quiet()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, ClientIP(r.Context()).String())
	}))
	for name, test := range map[string]struct {
		trusted []netip.Prefix
		header  string
		want    string // "" is a closed connection
	}{
		"trusted":   {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "192.0.2.1"},
		"untrusted": {nil, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "127.0.0.1"},
		"unknown":   {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "PROXY UNKNOWN\r\n", "127.0.0.1"},
		"missing":   {nil, "", ""},
		"bad":       {nil, "PROXY TCP4 x\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := start(t, Options{ProxyProtocol: true, TrustedProxies: test.trusted, Handler: h})
			c := dial(t, addr)
			if _, err := io.WriteString(c, test.header+"GET / HTTP/1.0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c)
			if test.want == "" {
				if bytes.Contains(b, []byte("200 OK")) {
					t.Errorf("answered %q", b)
				}
				return
			}
			if err != nil || !bytes.HasSuffix(b, []byte("\r\n\r\n"+test.want)) {
				t.Errorf("%q, %v; want %s", b, err, test.want)
			}
		})
	}
}

func TestListenMetrics(t *testing.T) {
	ln, err := ListenMetrics(t.Context(), "127.0.0.1:0", true, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if ln2, err := ListenMetrics(t.Context(), ln.Addr().String(), false, quiet()); ln2 != nil || err != nil {
		t.Errorf("a busy default: %v, %v", ln2, err)
	}
	if _, err := ListenMetrics(t.Context(), ln.Addr().String(), true, quiet()); err == nil {
		t.Error("a busy explicit address is no error")
	}
	if ln2, err := ListenMetrics(t.Context(), "off", true, quiet()); ln2 != nil || err != nil {
		t.Errorf("off: %v, %v", ln2, err)
	}
}

func TestStartTwice(t *testing.T) {
	s, _ := start(t, Options{})
	if _, err := s.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
}
