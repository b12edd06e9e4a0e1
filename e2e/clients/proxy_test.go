package clients

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A cutter is a TCP proxy before the registry whose line breaks.
type cutter struct {
	host string       // where it listens
	fin  bool         // cut with an orderly end instead of a reset
	left atomic.Int64 // bytes from the registry until the next cut; negative is never
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
	c.left.Store(-1)
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
			wg.Go(func() { c.copy(down, up) })
			wg.Go(func() {
				_, _ = io.Copy(up, down) // one side ends the other
				_ = up.Close()
			})
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
func (c *cutter) cutAfter(n int64) { c.left.Store(n) }

// copy sends what comes from the registry on to the client.
func (c *cutter) copy(down, up net.Conn) {
	defer func() { _, _ = down.Close(), up.Close() }() // whatever state they are in
	buf := make([]byte, 32<<10)
	for {
		n, err := up.Read(buf)
		if left := c.left.Load(); left >= 0 {
			if left = c.left.Add(-int64(n)); left < 0 {
				c.left.Store(-1)
				c.cuts.Add(1)
				_, _ = down.Write(buf[:max(0, int64(n)+left)]) // the line is about to break anyway
				if tcp, ok := down.(*net.TCPConn); ok && !c.fin {
					_ = tcp.SetLinger(0) // its Close then resets the connection
				}
				return
			}
		}
		if _, werr := down.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}
