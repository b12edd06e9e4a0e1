package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// keyPause is how often a provider is asked for its keys because of tokens that
// anybody may send: each that names an unknown key asks.
const keyPause = 5 * time.Second

// paced passes a request on now and then, and refuses the others.
type paced struct {
	to  http.RoundTripper
	now func() time.Time

	mu     sync.Mutex
	last   time.Time
	failed error // what became of the last one
}

// RoundTrip implements http.RoundTripper.
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // one at a time
	if now := p.now(); p.last.IsZero() || now.Sub(p.last) >= keyPause {
		p.last = now
		res, err := p.to.RoundTrip(r)
		if p.failed = err; err == nil && res.StatusCode != http.StatusOK {
			p.failed = fmt.Errorf("it answers %s", res.Status)
		}
		return res, err
	}
	if p.failed != nil {
		return nil, fmt.Errorf("a moment ago: %w", p.failed)
	}
	return nil, errEarly
}

var errEarly = errors.New("the keys were asked for a moment ago")
