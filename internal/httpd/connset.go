package httpd

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connSet is the open connections of a server.
type connSet struct {
	mu      sync.Mutex
	all     map[*conn]struct{}
	full    time.Time     // when the limit was last logged
	freed   chan struct{} // holds a token when a connection has gone
	closing chan struct{} // closed when no more are accepted
}

func (s *connSet) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*conn]struct{}{}
	}
	s.all[c] = struct{}{}
}

func (s *connSet) remove(c *conn) {
	s.mu.Lock()
	delete(s.all, c)
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

func (s *connSet) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// silentFor is how long a new connection may hold its place at the limit
// without a request.
const silentFor = 2 * time.Second

// idlest returns the connection that has been without a request for longest,
// or nil. One whose first request has not come whole counts after silentFor,
// and only where no other is idle.
func (s *connSet) idlest(now time.Time) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var idle, fresh *conn
	var idleAt, freshAt int64
	for c := range s.all {
		switch at := c.quiet.Load(); {
		case at > 0 && (idle == nil || at < idleAt):
			idle, idleAt = c, at
		case at < 0 && now.UnixNano()+at > int64(silentFor) && (fresh == nil || -at < freshAt):
			fresh, freshAt = c, -at
		}
	}
	if idle != nil {
		return idle
	}
	return fresh
}

// makeRoom returns when one more connection may be served, or when the server
// stops accepting: the connection that waits is served then in any case.
func (s *Server) makeRoom() {
	if s.opt.MaxConns <= 0 {
		return
	}
	for s.conns.open() >= s.opt.MaxConns {
		now := time.Now()
		s.conns.mu.Lock()
		tell := now.Sub(s.conns.full) > time.Minute
		if tell {
			s.conns.full = now
		}
		s.conns.mu.Unlock()
		if tell {
			s.opt.Logger.WarnContext(context.Background(), "all connections are in use; idle ones are closed, and new ones wait", "connections", s.opt.MaxConns)
		}
		if c := s.conns.idlest(now); c != nil {
			_ = c.Close() // its server's goroutine sees it
			continue
		}
		again := time.NewTimer(100 * time.Millisecond) // one may have become idle
		select {
		case <-s.conns.closing:
			again.Stop()
			return
		case <-s.conns.freed:
		case <-again.C:
		}
		again.Stop()
	}
}

// note keeps since when the connection is idle.
func (c *conn) note(state http.ConnState) {
	switch state {
	case http.StateNew:
		c.quiet.Store(-time.Now().UnixNano())
	case http.StateIdle:
		c.quiet.Store(time.Now().UnixNano())
	default:
		c.quiet.Store(0)
	}
}

// noteState is the http.Server's ConnState.
func noteState(nc net.Conn, state http.ConnState) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = t.NetConn()
	}
	if c, ok := nc.(*conn); ok {
		c.note(state)
	}
}
