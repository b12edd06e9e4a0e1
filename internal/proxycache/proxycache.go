// Package proxycache makes organizations stand for other registries: what is
// pulled through them comes from upstream once, streams to everybody who waits
// for it while it is stored, and is served from here until its time is over.
// Its Store wraps the content of the registry: who reads from it need not know
// which of the two has the bytes.
package proxycache

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Limits of a configuration.
const (
	DefaultExpiry = 24 * time.Hour
	MinExpiry     = time.Minute
	MaxExpiry     = 366 * 24 * time.Hour
	MaxUpstream   = 270
	MaxCredential = 4096 // of the name, and of the password
)

// Settings may change while the Store is used.
type Settings struct {
	On            bool // FEATURE_PROXY_CACHE
	Fill          bool // FEATURE_PROXY_CACHE_BLOB_DOWNLOAD: what no client fetched is fetched
	ReadOnly      bool // nothing new is brought in
	PublicRepos   bool // repositories are made public: CREATE_PRIVATE_REPO_ON_PUSH is off
	Quota         store.QuotaRule
	Roots         *x509.CertPool // nil is the system's authorities
	UpstreamStall time.Duration  // how long upstream may send nothing; 0 = 30 s
}

// Options are what New needs. Content, Store and Keys are required.
type Options struct {
	Content *content.Store
	Store   *store.DB
	Keys    *auth.Keys
	Settings
	// Client makes the clients for upstreams: it adds SSRF_ALLOWED_HOSTS.
	Client func(httpd.OutgoingOptions) *http.Client
	Limits *remote.Limits // shared with who else asks other registries; nil = of its own
	// Collect removes what nothing needs, so that what was evicted frees its
	// room; nil = somebody does it in time.
	Collect func(ctx context.Context) error
	Holder  string // names this process, as the holder of leases
	// Spool is the folder for the bytes that are on their way, and SpoolBytes
	// how many there are at most; 0 = 16 GiB. Its disk keeps 512 MiB free in any
	// case. What does not fit comes from upstream for each client.
	Spool      string
	SpoolBytes int64
	Logger     *slog.Logger       // nil = none
	Metrics    *telemetry.Metrics // nil = none

	// For tests; 0 is the constant of the name.
	fresh, fillAfter, fillEvery, leaseWait time.Duration
	free                                   func(dir string) (int64, error) // nil = freeBytes
}

const (
	// freshFor is how long a tag that was compared with upstream is not
	// compared again, as all that may be taken away is trusted for a second.
	freshFor = time.Second
	// fillAfter is how long a client has to fetch the blobs of a manifest
	// before they are fetched for it, and fillEvery how often that is looked
	// for.
	fillAfter = 20 * time.Second
	fillEvery = 10 * time.Second
	// fillAgain is when a manifest that could not be filled is tried again.
	fillAgain = 5 * time.Minute
	// leaseWait is how long a blob that another instance fetches is waited for
	// before it is fetched here too.
	leaseWait = 5 * time.Second
	leaseTime = 30 * time.Second
	// askWithin bounds what one request waits for upstream's manifest.
	askWithin = 90 * time.Second
	// maxBlobTime bounds the transfer of one blob.
	maxBlobTime = 12 * time.Hour
	// maxNames bounds the repositories that are not there and were asked for.
	maxNames = 10_000
	// maxKnown bounds the tags and manifests of which is known when they were
	// asked for.
	maxKnown = 100_000
)

// Store is the registry's content with proxy caches. Its methods may be called
// concurrently.
type Store struct {
	*content.Store
	o        Options
	db       *store.DB
	log      *slog.Logger
	settings atomic.Pointer[Settings]
	limits   *remote.Limits

	loading sync.Mutex // held by who reads configs anew
	configs atomic.Pointer[configs]
	// virtual are repositories that are not there yet: a negative id for each.
	virtual struct {
		sync.Mutex
		next   gantry.RepoID
		byName map[gantry.RepoName]gantry.RepoID
		names  map[gantry.RepoID]gantry.RepoName
	}
	checked  known[tagKey, gantry.Digest]              // what tags point at upstream
	renewed  known[renewal, struct{}]                  // lives that were prolonged
	made     known[gantry.RepoID, struct{}]            // repositories that were just made
	refs     known[referrersKey, []content.Descriptor] // upstream's lists of referrers
	asks     turns[string, *content.Manifest]          // manifests that are being asked for
	refTurns turns[referrersKey, []content.Descriptor]
	flights  flights         // blobs that are on their way
	ctx      context.Context //nolint:containedctx // of what goes on without a request; Close ends it
	cancel   context.CancelCauseFunc
	gone     sync.WaitGroup
}

type tagKey struct {
	repo gantry.RepoID
	tag  string
}

type renewal struct {
	repo     gantry.RepoID
	manifest gantry.ManifestID
	tag      string
}

type referrersKey struct {
	repo gantry.RepoName
	d    gantry.Digest
}

// New returns a Store. Close ends what it starts.
func New(o Options) (*Store, error) {
	if o.Content == nil || o.Store == nil || o.Keys == nil {
		return nil, errors.New("proxycache: Content, Store and Keys are needed")
	}
	o.SpoolBytes = cmp.Or(max(o.SpoolBytes, 0), 16<<30)
	o.Spool = cmp.Or(o.Spool, os.TempDir())
	o.fresh = cmp.Or(o.fresh, freshFor)
	o.fillAfter = cmp.Or(o.fillAfter, fillAfter)
	o.fillEvery = cmp.Or(o.fillEvery, fillEvery)
	o.leaseWait = cmp.Or(o.leaseWait, leaseWait)
	if o.free == nil {
		o.free = freeBytes
	}
	s := &Store{Store: o.Content, o: o, db: o.Store, log: o.Logger, limits: o.Limits}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.limits == nil {
		s.limits = remote.NewLimits(0)
	}
	s.virtual.byName, s.virtual.names = map[gantry.RepoName]gantry.RepoID{}, map[gantry.RepoID]gantry.RepoName{}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.flights.init(&s.o)
	s.Configure(o.Settings)
	return s, nil
}

// Configure changes the settings.
func (s *Store) Configure(c Settings) {
	s.settings.Store(&c)
	s.loading.Lock()
	defer s.loading.Unlock()
	s.configs.Store(nil) // its clients are made with the settings
}

var errStopping = &gantry.Error{Code: gantry.Unavailable, Object: "registry", Retry: 5 * time.Second, Detail: "the registry is stopping; try again"}

// Close ends the transfers. Requests must have ended.
func (s *Store) Close() {
	s.cancel(errStopping)
	s.gone.Wait()
}

// configs are all proxy caches at one time.
type configs struct {
	generation uint64
	until      time.Time // zero: as long as the generation
	byID       map[gantry.AccountID]*upstream
	byName     map[string]*upstream
	ordered    []*upstream // oldest first
}

// holds reports whether they are still what the database has.
func (c *configs) holds(generation uint64, now time.Time) bool {
	return c != nil && c.generation == generation && (c.until.IsZero() || now.Before(c.until))
}

// upstream is what an organization stands for.
type upstream struct {
	store.ProxyCache
	place remote.Place
	reg   *remote.Registry
	err   error      // the configuration cannot be used: why
	room  sync.Mutex // held by who evicts

	settling sync.Mutex // held by who makes a pending manifest one of its repository

	mu    sync.Mutex
	until time.Time // it rests until then
	last  error     // why
}

// rest leaves an upstream alone for a while that did not answer.
func (u *upstream) rest(now time.Time, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := restFor
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Retry > 0 {
		d = min(e.Retry, 5*time.Minute)
	}
	u.until, u.last = now.Add(d), err
}

// resting returns why an upstream is left alone; nil if it is not.
func (u *upstream) resting(now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Before(u.until) {
		return u.last
	}
	return nil
}

// nobody is what is known while there are no proxy caches.
var nobody = &configs{}

// all returns the proxy caches; none when the feature is off.
func (s *Store) all(ctx context.Context) (*configs, error) {
	if !s.settings.Load().On {
		return nobody, nil
	}
	if all := s.configs.Load(); all.holds(s.db.AccountsGeneration(), time.Now()) {
		return all, nil // on the way of each request
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	now, old, generation := time.Now(), s.configs.Load(), s.db.AccountsGeneration()
	if old.holds(generation, now) { // somebody else has read them
		return old, nil
	}
	rows, err := s.db.ProxyCaches(ctx)
	if err != nil {
		if old != nil && gantry.Is(err, gantry.Unavailable) {
			return old, nil // as content does with what it knows
		}
		return nil, err
	}
	list := &configs{generation: generation, byID: map[gantry.AccountID]*upstream{}, byName: map[string]*upstream{}}
	if !s.db.Exclusive() {
		list.until = now.Add(time.Second)
	}
	for _, row := range rows {
		var u *upstream
		if old != nil && old.byID[row.Namespace] != nil && old.byID[row.Namespace].ProxyCache == row {
			u = old.byID[row.Namespace] // with its tokens and connections
		} else {
			u = s.open(row)
		}
		list.byID[row.Namespace], list.byName[row.Name] = u, u
		list.ordered = append(list.ordered, u)
	}
	s.configs.Store(list)
	return list, nil
}

// of returns what a namespace stands for; nil if it is like any other.
func (s *Store) of(ctx context.Context, ns gantry.AccountID) (*upstream, error) {
	all, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	return all.byID[ns], nil
}

// Is reports whether a namespace is a proxy cache.
func (s *Store) Is(ctx context.Context, ns gantry.AccountID) (bool, error) {
	u, err := s.of(ctx, ns)
	return u != nil, err
}

// Credentials are for an upstream.
type Credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

const secretColumn = "proxy_caches.secret" //nolint:gosec // a column, not a secret

// Seal encrypts credentials for the row of that uuid; "" for none.
func Seal(k *auth.Keys, uuid string, c Credentials) (string, error) {
	if c == (Credentials{}) {
		return "", nil
	}
	b, err := json.Marshal(c) //nolint:gosec // and then sealed
	if err != nil {
		return "", err
	}
	return k.Seal(secretColumn, uuid, string(b))
}

// Unseal is the inverse of Seal.
func Unseal(k *auth.Keys, uuid, sealed string) (c Credentials, err error) {
	if sealed == "" {
		return c, nil
	}
	text, err := k.Open(secretColumn, uuid, sealed)
	if err != nil {
		return c, fmt.Errorf("credentials of a proxy cache: %w", err)
	}
	return c, json.Unmarshal([]byte(text), &c)
}

// SameRegistry reports whether what was given for one configuration may be sent
// to another: they are of one host, and it is not sent in plain text where it
// was not.
func (c *Config) SameRegistry(to *Config) bool {
	from, err := remote.ParsePlace(c.Upstream)
	if err != nil {
		return false
	}
	p, err := remote.ParsePlace(to.Upstream)
	return err == nil && from.Host == p.Host && (c.Insecure || !to.Insecure)
}

// open makes the client of an upstream.
func (s *Store) open(row store.ProxyCache) *upstream {
	u := &upstream{ProxyCache: row}
	c, err := Unseal(s.o.Keys, row.UUID, row.Secret)
	if err != nil {
		s.log.Error("the credentials of a proxy cache cannot be read", "organization", row.Name, "error", err)
		u.err = &remote.Error{Kind: remote.Invalid, Text: "the stored credentials for " + row.Upstream + " cannot be read; write the proxy cache configuration anew"}
		return u
	}
	if u.place, u.err = remote.ParsePlace(row.Upstream); u.err == nil {
		u.reg, u.err = s.client(u.place, c, row.Insecure)
	}
	return u
}

func (s *Store) client(p remote.Place, c Credentials, insecure bool) (*remote.Registry, error) {
	set := s.settings.Load()
	m := s.o.Metrics
	return remote.New(remote.Options{
		Host: p.Host, Username: c.Username, Password: c.Password, VerifyTLS: true, PlainHTTP: insecure,
		Client: s.o.Client, Roots: set.Roots, Limits: s.limits, Stall: set.UpstreamStall, Patience: 5 * time.Second,
		Metrics: remote.Metrics{Request: m.Upstream, Bytes: m.UpstreamBytes},
	})
}

// A Config is a configuration on its way in.
type Config struct {
	Upstream string
	Credentials
	Expiry   time.Duration // 0 = DefaultExpiry
	Insecure bool
}

// Check checks a configuration without asking upstream, and makes its host
// and its path what they are stored as. The error is Invalid on "proxy cache".
func (c *Config) Check() error {
	bad := func(format string, args ...any) error {
		return gantry.Errorf(gantry.Invalid, "proxy cache", format, args...)
	}
	if len(c.Upstream) > MaxUpstream {
		return bad("upstream_registry is longer than %d characters", MaxUpstream)
	}
	p, err := remote.ParsePlace(strings.TrimSpace(c.Upstream))
	if err != nil {
		return bad("upstream_registry: %s", err)
	}
	c.Upstream = p.String()
	switch {
	case len(c.Username) > MaxCredential || len(c.Password) > MaxCredential:
		return bad("upstream_registry_username and upstream_registry_password have at most %d characters", MaxCredential)
	case c.Username == "" && c.Password != "":
		return bad("upstream_registry_password needs upstream_registry_username")
	case c.Expiry == 0:
		c.Expiry = DefaultExpiry
	case c.Expiry < MinExpiry || c.Expiry > MaxExpiry:
		return bad("expiration_s must be %d to %d seconds", int(MinExpiry.Seconds()), int(MaxExpiry.Seconds()))
	}
	return nil
}

// Verify asks upstream whether a checked configuration works. The error is
// Invalid on "proxy cache" and says what is wrong.
func (s *Store) Verify(ctx context.Context, c Config) error {
	p, err := remote.ParsePlace(c.Upstream)
	if err != nil {
		return gantry.Errorf(gantry.Invalid, "proxy cache", "upstream_registry: %s", err)
	}
	reg, err := s.client(p, c.Credentials, c.Insecure)
	if err == nil {
		defer reg.Close()
		err = reg.Verify(ctx)
	}
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		return err
	}
	return &gantry.Error{Code: gantry.Invalid, Object: "proxy cache", Detail: e.Text, Err: e.Err}
}

// Resolve finds the path here of a path at another registry: what a client
// asks for that has this registry as a mirror of host ("?ns="). A path that
// begins with an organization that stands for host is as it should be. ok is
// false where no organization stands for host; of several the one whose
// upstream names most of the path is taken, and of those the oldest.
func (s *Store) Resolve(ctx context.Context, host, path string) (here string, ok bool) {
	p, err := remote.ParsePlace(host)
	if err != nil || p.Name != "" {
		return "", false
	}
	all, err := s.all(ctx)
	if err != nil || len(all.ordered) == 0 {
		return "", false
	}
	if org, _, found := strings.Cut(path, "/"); found {
		if u := all.byName[org]; u != nil && sameHost(u.place.Host, p.Host) {
			return path, true
		}
	}
	best := -1
	for _, u := range all.ordered {
		if !sameHost(u.place.Host, p.Host) {
			continue
		}
		rest, fits := path, true
		if u.place.Name != "" {
			rest, fits = strings.CutPrefix(path, u.place.Name+"/")
		}
		if fits && len(u.place.Name) > best {
			best, here = len(u.place.Name), u.Name+"/"+rest
		}
	}
	return here, best >= 0
}

// sameHost compares hosts; all names of Docker Hub are one.
func sameHost(a, b string) bool {
	hub := []string{"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
	return a == b || slices.Contains(hub, a) && slices.Contains(hub, b)
}

// upstreamName is the name at upstream of a repository here.
func (u *upstream) repository(name string) (*remote.Repository, error) {
	if u.err != nil {
		return nil, u.err
	}
	if u.place.Name != "" {
		name = u.place.Name + "/" + name
	}
	return u.reg.Repository(name), nil
}

// answer is a failure of upstream as a client sees it. object is what it
// asked for.
func answer(object string, err error) error {
	e, ok := errors.AsType[*remote.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.DeadlineExceeded):
		return &gantry.Error{Code: gantry.NotFound, Object: object, Detail: "upstream does not answer in time", Err: err}
	default:
		return err
	}
	out := &gantry.Error{Code: gantry.NotFound, Object: object, Detail: "upstream: " + e.Text, Err: e}
	switch e.Kind {
	case remote.Limited:
		out.Code, out.Object, out.Retry = gantry.Limited, "", e.Retry
	case remote.Invalid, remote.Blocked:
		out.Code, out.Object = gantry.Invalid, ""
	case remote.DNS, remote.Connect, remote.TLS, remote.Unavailable, remote.Credentials, remote.Denied, remote.NotFound, remote.NotRegistry:
	}
	return out
}

// known remembers what was found and when, of at most maxKnown things: then it
// forgets all of them.
type known[K comparable, V any] struct {
	mu sync.Mutex
	at map[K]found[V]
}

type found[V any] struct {
	v  V
	at time.Time
}

// get returns what was noted no longer ago than within.
func (k *known[K, V]) get(key K, within time.Duration) (v V, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, ok := k.at[key]
	if !ok || time.Since(f.at) >= within {
		return v, false
	}
	return f.v, true
}

func (k *known[K, V]) put(key K, v V) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == nil || len(k.at) >= cmp.Or(k.most(), maxKnown) {
		k.at = map[K]found[V]{}
	}
	k.at[key] = found[V]{v, time.Now()}
}

// most is less for what is larger than a few words.
func (k *known[K, V]) most() int {
	var v V
	if _, lists := any(v).([]content.Descriptor); lists {
		return 1000
	}
	return 0
}

func (k *known[K, V]) forget(key K) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.at, key)
}

// turns lets one do what several want at the same time, and gives all of them
// its result.
type turns[K comparable, V any] struct {
	mu  sync.Mutex
	now map[K]*turn[V]
}

type turn[V any] struct {
	done chan struct{}
	v    V
	err  error
}

// do runs f unless somebody else does; f has a context of its own. A caller
// that leaves leaves alone.
func (s *turns[K, V]) do(ctx context.Context, key K, f func() (V, error)) (V, error) {
	s.mu.Lock()
	t := s.now[key]
	if t == nil {
		t = &turn[V]{done: make(chan struct{}), err: errors.New("proxycache: the work panicked")}
		if s.now == nil {
			s.now = map[K]*turn[V]{}
		}
		s.now[key] = t
		go func() {
			defer func() {
				s.mu.Lock()
				delete(s.now, key)
				s.mu.Unlock()
				close(t.done)
			}()
			t.v, t.err = f()
		}()
	}
	s.mu.Unlock()
	select {
	case <-t.done:
		return t.v, t.err
	case <-ctx.Done():
		var none V
		return none, fmt.Errorf("wait for upstream: %w", ctx.Err())
	}
}
