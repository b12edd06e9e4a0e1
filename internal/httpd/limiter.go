package httpd

import (
	"context"
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
	MaxEntries int            // keys remembered at once; 0 is 200000 (about 13 MB)
	Now        func() time.Time

	// Ledger counts for all instances; nil: this process counts alone. Name
	// makes the ledger's key of a class and a key: the same in all instances,
	// and nobody can guess a key from it. It is required with Ledger.
	Ledger Ledger
	Name   func(class Class, key string) string
	Every  time.Duration // between two talks with the ledger; 0 is 100 ms
}

// A Ledger adds up what several instances have allowed. Its methods may be
// called at the same time.
type Ledger interface {
	// Charge adds to the debts of keys and returns these, in the order of the
	// list: how long it takes until a key's allowance is whole again. It
	// returns soon with an error where the ledger is away; the charges may then
	// be made or not.
	Charge(ctx context.Context, list []Charge) ([]time.Duration, error)
}

// A Charge is what requests of one key cost.
type Charge struct {
	Key  string
	Cost time.Duration
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
	told   *telling // nil: no ledger
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
	young, old map[uint64]account
}

// An account is what is remembered of a key.
type account struct {
	whole  time.Duration // when the allowance is whole again, since zero
	untold uint32        // microseconds of it that the ledger does not know
	listed bool          // for the next talk with the ledger
}

const maxUntold = 1<<32 - 1

// tell adds to what the ledger does not know.
func (a *account) tell(cost time.Duration) {
	a.untold = uint32(min(int64(a.untold)+cost.Microseconds(), maxUntold)) //nolint:gosec // bounded, and costs are not negative
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
	if o.Ledger != nil {
		setDefault(&o.Every, 100*time.Millisecond)
		l.told = &telling{ledger: o.Ledger, name: o.Name, every: o.Every}
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
	a := s.get(k)
	if a.whole <= now {
		a.whole, a.untold = now, 0 // what the ledger was not told of is over
	}
	if over := a.whole + each - now - iv.burst; over > 0 {
		return false, over
	}
	a.whole += each
	if l.told != nil {
		a.tell(each)
		if !a.listed && a.whole-now > iv.burst/8 {
			a.listed = l.told.list(l, k, class, key)
		}
	}
	s.put(k, a)
	return true, 0
}

func (s *limiterShard) get(k uint64) account {
	if a, ok := s.young[k]; ok {
		return a
	}
	return s.old[k]
}

func (s *limiterShard) put(k uint64, a account) {
	if _, ok := s.young[k]; !ok && len(s.young) >= s.cap {
		s.young, s.old = nil, s.young
	}
	if s.young == nil {
		s.young = map[uint64]account{}
	}
	s.young[k] = a
}

// telling is the talk with the ledger.
type telling struct {
	ledger Ledger
	name   func(Class, string) string
	every  time.Duration

	mu   sync.Mutex
	due  bool // a talk will come
	keys []listed
}

// A listed key has something to tell.
type listed struct {
	k     uint64
	class Class
	name  string
}

const (
	maxListed   = 4096            // keys of one talk
	ledgerAtOne = 512             // charges in one call
	ledgerWait  = 5 * time.Second // for one call
	// mostDebt bounds, in bursts, what the ledger may say of a key: a wrong
	// figure there keeps nobody out for long.
	mostDebt = 64
)

// list puts a key on the list; false: the list is full.
func (t *telling) list(l *Limiter, k uint64, class Class, key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) >= maxListed {
		return false
	}
	t.keys = append(t.keys, listed{k, class, t.name(class, key)})
	if !t.due {
		t.due = true
		time.AfterFunc(t.every, func() { t.talk(l) })
	}
	return true
}

// talk tells the ledger of the listed keys and learns what others allowed.
func (t *telling) talk(l *Limiter) {
	t.mu.Lock()
	keys := t.keys
	t.keys = nil
	t.mu.Unlock()
	for len(keys) > 0 {
		n := min(len(keys), ledgerAtOne)
		t.charge(l, keys[:n])
		keys = keys[n:]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.due = len(t.keys) > 0; t.due { // listed meanwhile
		time.AfterFunc(t.every, func() { t.talk(l) })
	}
}

func (t *telling) charge(l *Limiter, keys []listed) {
	list := make([]Charge, len(keys))
	for i, key := range keys {
		l.with(key.k, func(a *account, _ time.Duration) {
			list[i] = Charge{key.name, time.Duration(a.untold) * time.Microsecond}
			a.untold, a.listed = 0, false
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), ledgerWait)
	defer cancel()
	debts, err := t.ledger.Charge(ctx, list)
	for i, key := range keys {
		l.with(key.k, func(a *account, now time.Duration) {
			if err != nil || len(debts) != len(keys) { // told another time
				a.tell(list[i].Cost)
				return
			}
			debt := max(0, min(debts[i], mostDebt*l.rates[key.class].burst))
			a.whole = max(a.whole, now+debt+time.Duration(a.untold)*time.Microsecond)
		})
	}
}

// with changes the account of a key.
func (l *Limiter) with(k uint64, f func(a *account, now time.Duration)) {
	now := l.now().Sub(l.zero)
	s := &l.shards[k%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.get(k)
	f(&a, now)
	s.put(k, a)
}
