package httpd

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// A Class is a group of requests with one rate limit.
type Class string

// The classes of Quay's front.
const (
	ClassVeryLight Class = "very_light" // /v2/ itself and what no other class has
	ClassLight     Class = "light"      // manifests and blobs
	ClassHeavy     Class = "heavy"      // tag lists, catalog, API
	ClassAuth      Class = "auth"       // /v2/auth, by namespace or Authorization header
)

// A Rate allows PerSecond requests a second and Burst at once.
type Rate struct {
	PerSecond float64 // <= 0 is no limit
	Burst     int     // < 1 is 1
}

// DefaultRates returns Quay's limits, with the bursts that a push or pull of a
// usual image needs.
func DefaultRates() map[Class]Rate {
	return map[Class]Rate{
		ClassVeryLight: {60, 120},
		ClassLight:     {50, 200},
		ClassHeavy:     {5, 50},
		ClassAuth:      {120, 240},
	}
}

// LimiterOptions says what a Limiter allows. The zero value is DefaultRates.
type LimiterOptions struct {
	Rates      map[Class]Rate // nil is DefaultRates; a class that is missing has no limit
	Exempt     []string       // NON_RATE_LIMITED_NAMESPACES
	HTTP2      float64        // factor for HTTP/2, whose clients share a connection; 0 is 10
	MaxEntries int            // keys remembered at once; 0 is 200000 (about 10 MB)
	Now        func() time.Time
}

// A Limiter holds rate limits by class and key in bounded memory: when too
// many keys come, those not seen for longest are forgotten, which allows them
// a new burst. Keys are kept as keyed hashes only, so an Authorization header
// may be one.
type Limiter struct {
	rates  map[Class]interval
	exempt map[string]bool
	http2  float64
	now    func() time.Time
	zero   time.Time
	seed   maphash.Seed
	shards [16]limiterShard
}

type interval struct {
	each  time.Duration // between two requests
	burst time.Duration // the whole burst's worth of time
}

// A limiterShard has two generations: when young is full it becomes old, and
// the old one is forgotten. What is used moves to young.
type limiterShard struct {
	mu         sync.Mutex
	cap        int
	young, old map[uint64]time.Duration // when the key's allowance is whole again, since zero
}

// NewLimiter makes a limiter.
func NewLimiter(o LimiterOptions) *Limiter {
	if o.Rates == nil {
		o.Rates = DefaultRates()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.HTTP2, 10)
	setDefault(&o.MaxEntries, 200_000)
	l := &Limiter{rates: map[Class]interval{}, exempt: map[string]bool{}, http2: o.HTTP2, now: o.Now, zero: o.Now(), seed: maphash.MakeSeed()}
	for c, r := range o.Rates {
		if r.PerSecond > 0 {
			each := max(1, time.Duration(float64(time.Second)/r.PerSecond))
			l.rates[c] = interval{each, each * time.Duration(max(1, r.Burst))}
		}
	}
	for _, n := range o.Exempt {
		l.exempt[n] = true
	}
	for i := range l.shards {
		l.shards[i].cap = max(1, o.MaxEntries/len(l.shards)/2)
	}
	return l
}

// Allow takes one request of class from key's allowance. When there is none
// left it returns false and after how long there will be. A request in an
// exempt namespace is always allowed; namespace may be "". A nil Limiter
// allows everything.
func (l *Limiter) Allow(class Class, key, namespace string) (ok bool, retryAfter time.Duration) {
	return l.allow(class, key, namespace, 1)
}

// AllowClient is Allow with the client's address as key: an IPv6 network of 64
// bits counts as one. proto is the request's ProtoMajor.
func (l *Limiter) AllowClient(class Class, ip netip.Addr, proto int, namespace string) (ok bool, retryAfter time.Duration) {
	if l == nil {
		return true, 0
	}
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			ip = p.Addr()
		}
	}
	b := ip.As16()
	key := string(b[:])
	if proto >= 2 {
		return l.allow(class, key+"/2", namespace, l.http2)
	}
	return l.allow(class, key, namespace, 1)
}

func (l *Limiter) allow(class Class, key, namespace string, factor float64) (bool, time.Duration) {
	if l == nil {
		return true, 0
	}
	iv, limited := l.rates[class]
	if !limited || (namespace != "" && l.exempt[namespace]) {
		return true, 0
	}
	each := max(1, time.Duration(float64(iv.each)/factor))
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(string(class)) // never fails
	_ = h.WriteByte(0)
	_, _ = h.WriteString(key)
	k := h.Sum64()
	now := l.now().Sub(l.zero)
	s := &l.shards[k%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	whole := max(s.get(k), now)
	if over := whole + each - now - iv.burst; over > 0 {
		return false, over
	}
	s.put(k, whole+each)
	return true, 0
}

func (s *limiterShard) get(k uint64) time.Duration {
	if t, ok := s.young[k]; ok {
		return t
	}
	return s.old[k]
}

func (s *limiterShard) put(k uint64, t time.Duration) {
	if _, ok := s.young[k]; !ok && len(s.young) >= s.cap {
		s.young, s.old = nil, s.young
	}
	if s.young == nil {
		s.young = map[uint64]time.Duration{}
	}
	s.young[k] = t
}
