package httpd

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestMaxConns holds the limit: an idle connection gives way to a new one, and
// where all are at work a new one waits until one has ended.
func TestMaxConns(t *testing.T) {
	goOn := make(chan struct{})
	var once sync.Once
	let := func() { once.Do(func() { close(goOn) }) }
	s, addr := start(t, Options{MaxConns: 2, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-goOn
		}
		_, _ = io.WriteString(w, "done")
	})})
	t.Cleanup(let) // before the server's own: a failure here is none of other tests
	ask := func(c net.Conn, path string) {
		t.Helper()
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	answered := func(c net.Conn) bool {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return false
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		return err == nil && string(b) == "done"
	}
	first, second := dial(t, addr), dial(t, addr)
	ask(first, "/")
	if !answered(first) {
		t.Fatal("no answer")
	}
	ask(second, "/slow")
	if !poll(func() bool { return s.conns.idlest(time.Now()) != nil }) { // the first one
		t.Fatal("no connection is idle")
	}
	select {
	case <-time.After(50 * time.Millisecond): // a connection gives way to another, not to the limit itself
	case <-t.Context().Done():
	}
	if s.conns.open() != 2 {
		t.Fatal("the idle connection was closed though nobody wants its place")
	}
	third := dial(t, addr)
	ask(third, "/slow")
	if n, err := first.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the idle connection is open: %d, %v", n, err)
	}
	if !poll(func() bool { return s.conns.idlest(time.Now()) == nil && s.conns.open() == 2 }) {
		t.Fatal("the third has no place")
	}
	fourth, fifth := dial(t, addr), dial(t, addr) // the last by the kernel
	ask(fourth, "/")
	ask(fifth, "/")
	if got := s.conns.open(); got != 2 {
		t.Errorf("%d connections are open", got)
	}
	let()
	for i, c := range []net.Conn{second, third, fourth, fifth} {
		if !answered(c) {
			t.Errorf("request %d has no answer", i+2)
		}
	}
}

// TestSilentConnectionsGiveWay lets connections that never ask for anything
// not keep others away.
func TestSilentConnectionsGiveWay(t *testing.T) {
	s, addr := start(t, Options{MaxConns: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})})
	silent := dial(t, addr)
	if _, err := io.WriteString(silent, "GET / HT"); err != nil {
		t.Fatal(err)
	}
	if !poll(func() bool { return s.conns.open() == 1 }) {
		t.Fatal("not accepted")
	}
	now := time.Now()
	if s.conns.idlest(now) != nil {
		t.Error("a new connection has no time for its request")
	}
	if s.conns.idlest(now.Add(silentFor+time.Second)) == nil {
		t.Error("a silent connection keeps its place")
	}
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		t.Error(res.Status, err)
	}
}
