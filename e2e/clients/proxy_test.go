package clients

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A cutter is a TCP proxy before the registry whose line breaks.
type cutter struct {
	host string       // where it listens
	fin  bool         // cut with an orderly end instead of a reset
	down atomic.Int64 // bytes from the registry until the next cut; negative is never
	up   atomic.Int64 // bytes to the registry, likewise
	cuts atomic.Int64 // how often it has cut
}

// newCutter starts a proxy. It does not cut until cutAfter is called.
func newCutter(t *testing.T) *cutter {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{host: ln.Addr().String()}
	c.down.Store(-1)
	c.up.Store(-1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	closed := false
	track := func(conn net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		open[conn] = true
		return !closed
	}
	wg.Go(func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", reg.host)
			if err != nil {
				_ = down.Close() // the client sees it
				continue
			}
			if !track(down) || !track(up) {
				_, _ = down.Close(), up.Close() // the test ends
				continue
			}
			wg.Go(func() { c.copy(down, up, down, &c.down) })
			wg.Go(func() { c.copy(up, down, down, &c.up) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close() // ends the loop
		mu.Lock()
		closed = true
		for conn := range open {
			_ = conn.Close() // ends the copies
		}
		mu.Unlock()
		wg.Wait()
	})
	return c
}

// cutAfter breaks the connection that carries the nth byte from now on, once.
func (c *cutter) cutAfter(n int64) { c.down.Store(n) }

// cutUploadAfter does the same with the bytes that the client sends.
func (c *cutter) cutUploadAfter(n int64) { c.up.Store(n) }

// copy sends what comes from one side on to the other, and ends both.
func (c *cutter) copy(to, from, client net.Conn, left *atomic.Int64) {
	defer func() { _, _ = to.Close(), from.Close() }() // whatever state they are in
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if l := left.Load(); l >= 0 && n > 0 {
			if l = left.Add(-int64(n)); l < 0 {
				left.Store(-1)
				c.cuts.Add(1)
				_, _ = to.Write(buf[:max(0, int64(n)+l)]) // the line is about to break anyway
				if tcp, ok := client.(*net.TCPConn); ok && !c.fin {
					_ = tcp.SetLinger(0) // its Close then resets the connection
				}
				return
			}
		}
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}

// A spy is an HTTP proxy before the registry that writes down what is asked.
type spy struct {
	host string
	mu   sync.Mutex
	seen []string // "STATUS METHOD PATH?QUERY"
}

func newSpy(t *testing.T) *spy {
	t.Helper()
	s := &spy{}
	target, err := url.Parse(reg.base)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // the registry's own addresses then lead through here
		},
		ModifyResponse: func(r *http.Response) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen = append(s.seen, fmt.Sprintf("%d %s %s", r.StatusCode, r.Request.Method, r.Request.URL.RequestURI()))
			return nil
		},
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // a client that left is not worth a line
	})
	t.Cleanup(srv.Close)
	s.host = strings.TrimPrefix(srv.URL, "http://")
	return s
}

// count says how many of the requests so far match the expression.
func (s *spy) count(t *testing.T, expr string) int {
	t.Helper()
	re, err := regexp.Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, line := range s.seen {
		if re.MatchString(line) {
			n++
		}
	}
	return n
}

// String is all that was asked.
func (s *spy) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, "\n")
}

// The answers that a spy sees of a push: a mounted blob, and one that was sent.
const (
	mounted = `^201 POST \S*[?&]mount=`
	sent    = `^20[12] (PUT|PATCH) \S*/blobs/`
)
