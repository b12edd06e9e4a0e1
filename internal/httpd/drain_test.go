package httpd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestDrainUnderLoad stops a server while many clients ask without a pause:
// each request gets its whole answer, or never reached the server.
func TestDrainUnderLoad(t *testing.T) {
	for name, mode := range map[string]struct {
		fresh, h2 bool
	}{
		"kept connections": {},
		"new connections":  {fresh: true},
		"HTTP/2":           {h2: true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				drainUnderLoad(t, mode.fresh, mode.h2)
			}
		})
	}
}

func drainUnderLoad(t *testing.T, fresh, h2 bool) {
	const answer = "the whole answer, and nothing but the whole answer"
	gate := &Gate{}
	var handled, answered atomic.Int64
	s, addr := start(t, Options{H2C: true, Gate: gate, Handler: Middleware(MiddlewareOptions{Logger: quiet(), Gate: gate},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handled.Add(1)
			if b, err := io.ReadAll(r.Body); err != nil || string(b) != "sent" {
				t.Errorf("the body %q, %v", b, err)
			}
			_, _ = io.WriteString(w, answer)
		})), IdleGrace: 500 * time.Millisecond})
	var dials net.Dialer
	tr := &http.Transport{DisableKeepAlives: fresh, MaxIdleConnsPerHost: 16, DialContext: dials.DialContext, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for {
				// The client never sends a POST twice on its own.
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr, io.NopCloser(strings.NewReader("sent")))
				if err != nil {
					t.Error(err)
					return
				}
				req.ContentLength = 4
				if h2 { // where it may be sent again when the server says that it has not looked at it
					req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("sent")), nil }
				}
				res, err := c.Do(req)
				if err != nil {
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("a request was broken: %v", err)
					}
					return
				}
				b, err := io.ReadAll(res.Body)
				if err := errors.Join(err, res.Body.Close()); err != nil || string(b) != answer {
					t.Errorf("answer %q, %v", b, err)
				}
				answered.Add(1)
			}
		})
	}
	if !poll(func() bool { return answered.Load() > 200 }) {
		t.Fatal("nothing is answered")
	}
	if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	clients.Wait()
	if handled.Load() != answered.Load() {
		t.Errorf("%d requests were handled, %d answered", handled.Load(), answered.Load())
	}
}

// TestDrainWaitsForBalancers asks without a pause after SIGTERM, as a node does
// whose kube-proxy is behind: nothing is refused in the first twice of the
// delay, and the drain has an end all the same.
func TestDrainWaitsForBalancers(t *testing.T) {
	t.Parallel()
	const delay = time.Second
	gate := &Gate{}
	s, addr := start(t, Options{Gate: gate, DrainDelay: delay, IdleGrace: -1, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.WithoutCancel(t.Context())) }()
	if !poll(gate.Draining) {
		t.Fatal("no drain")
	}
	for _, path := range []string{"/health/instance", "/v1/_internal_ping", "/status"} {
		if err := ask(path); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked.Load() != 0 {
		t.Error("a health check keeps the instance")
	}
	for {
		err := ask("/v2/")
		if err == nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if after := time.Since(began); after < 2*delay {
			t.Errorf("a request was refused %v after the drain began: %v", after, err)
		}
		break
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
