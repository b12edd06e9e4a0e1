package content

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Options are what New needs. Store and Locations are required.
type Options struct {
	Store *store.DB
	// Locations are in order of preference: a read takes the first that holds
	// the bytes, an upload goes to the first, as long as it is well. One
	// without a Health gets one.
	Locations []Location
	Timing    Timing
	Settings  Settings
	Logger    *slog.Logger       // nil = none
	Metrics   *telemetry.Metrics // nil = none
	// Refused is told of a manifest that the quota of its namespace refused,
	// before the client is; nil = nobody wants to know.
	Refused func(ctx context.Context, repo gantry.RepoID)
}

// Settings may change while the Store is used. The zero value works.
type Settings struct {
	Limits Limits
	// Retention is how long an ended tag can be restored where its namespace
	// made no choice; 0 = 14 days, negative = not at all.
	Retention time.Duration
	// NoLabelExpiry: the label quay.expires-after gives no tag its expiry.
	NoLabelExpiry bool
	// Immutability says whether policies make tags immutable.
	Immutability store.ImmutabilityRule
	// SparseIndex takes an index whose manifests are not all in the repository.
	SparseIndex bool
	// Orphan is how long a manifest is kept whose subject is not there yet;
	// 0 = 24 h.
	Orphan time.Duration
	// NoPullLog makes LogPull do nothing.
	NoPullLog bool
	// ProxyStorage hands out no URLs of storage: all bytes go through Open.
	ProxyStorage bool
	// ReadOnly refuses every write with ReadOnly on "registry".
	ReadOnly bool
	// Quota is held for what is pushed.
	Quota store.QuotaRule
	// Replication copies blobs between the locations: an upload may go to any
	// of them when the preferred one is away, and is copied back to it.
	// Without it only those that are a Fallback take its place.
	Replication bool
}

func (c Settings) orDefaults() *Settings {
	c.Limits.Blob = cmp.Or(max(c.Limits.Blob, 0), 20<<30)
	c.Limits.Manifest = cmp.Or(max(c.Limits.Manifest, 0), 4<<20)
	c.Limits.Lease = cmp.Or(max(c.Limits.Lease, 0), time.Hour)
	c.Retention = max(cmp.Or(c.Retention, 14*24*time.Hour), 0)
	c.Orphan = cmp.Or(max(c.Orphan, 0), 24*time.Hour)
	return &c
}

// Store is the content of all repositories. Its methods may be called
// concurrently.
type Store struct {
	db        *store.DB
	locations []Location
	byID      map[int64]Location
	settings  atomic.Pointer[Settings]
	log       *slog.Logger
	metrics   *telemetry.Metrics
	refused   func(ctx context.Context, repo gantry.RepoID)
	process   string // names this process as the holder of uploads
	cache     caches
	buffers   sync.Pool // of *[]byte, bufferSize long
	pumps     sync.Pool // of *[]byte, pumpSize long
	sources   sources
	rules     atomic.Pointer[store.StorageRules]
	removals  chan struct{} // a place for each removal beside a request

	mu       sync.Mutex
	sessions map[string]*session // uploads by uuid
	closed   bool
	quit     chan struct{}
	gone     sync.WaitGroup
}

// New returns a Store. It starts a goroutine, which Close ends.
func New(o Options) (*Store, error) {
	if o.Store == nil || len(o.Locations) == 0 {
		return nil, errors.New("content: a store and at least one location are needed")
	}
	s := &Store{db: o.Store, locations: withHealth(o.Locations), byID: map[int64]Location{}, log: o.Logger, metrics: o.Metrics, refused: o.Refused,
		process: uuid.NewString(), sessions: map[string]*session{}, quit: make(chan struct{}), removals: make(chan struct{}, 32)}
	for _, l := range s.locations {
		s.byID[l.ID] = l
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	s.pumps.New = newPumpBuffer
	s.sources = sources{locations: s.locations, timing: o.Timing.orDefaults(), log: s.log, metrics: s.metrics, buffers: &s.pumps, doubt: s.doubt}
	s.Configure(o.Settings)
	if err := s.cache.start(); err != nil {
		return nil, err
	}
	s.rules.Store(&store.StorageRules{})
	if len(s.locations) > 1 {
		s.learn(context.Background())
	}
	s.gone.Go(s.tend)
	s.gone.Go(s.watch)
	return s, nil
}

// Configure changes the settings.
func (s *Store) Configure(c Settings) { s.settings.Store(c.orDefaults()) }

// Close puts the uploads that wait for their next request on stable storage
// and ends what New started. Requests must have ended; later ones fail with
// Unavailable.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	close(s.quit)
	s.gone.Wait()
	return s.keepIdle(context.Background(), 0)
}

// Limits returns the limits in effect, none of them 0.
func (s *Store) Limits() Limits { return s.settings.Load().Limits }

// retention is how long an ended tag of the repository can be restored.
func (s *Store) retention(r *store.Repository) time.Duration {
	return r.Restorable(s.settings.Load().Retention)
}

// writable refuses a write while the registry is read-only.
func (s *Store) writable() error {
	if s.settings.Load().ReadOnly {
		return &gantry.Error{Code: gantry.ReadOnly, Object: "registry", Detail: "the registry is read-only at the moment; try again later"}
	}
	return nil
}

// Repository returns the repository of that name; the answer may be up to one
// second old where other processes write too, and older while the database is
// away. NotFound on "repository" if
// there is none, or it is marked for deletion. Hot path: no SQL when cached.
func (s *Store) Repository(ctx context.Context, name gantry.RepoName) (store.Repository, error) {
	return find(s, s.cache.names, name, s.db.AccountsGeneration, s.lastingRepository, func() (store.Repository, term, error) {
		r, err := s.db.Repository(ctx, name)
		return r, term{}, err
	})
}

// RepositoryByID is Repository for a known id.
func (s *Store) RepositoryByID(ctx context.Context, id gantry.RepoID) (store.Repository, error) {
	return find(s, s.cache.repos, id, s.db.AccountsGeneration, s.lastingRepository, func() (store.Repository, term, error) {
		r, err := s.db.RepositoryByID(ctx, id)
		return r, term{}, err
	})
}

func (s *Store) lastingRepository(r store.Repository) uint64 { return s.db.LastingGeneration(r.ID) }

// Blob finds d if the repository holds it; otherwise the error is NotFound on
// "blob", with Reason Damaged if only its bytes are missing or damaged. Hot path: no SQL when cached, else one statement.
func (s *Store) Blob(ctx context.Context, repo gantry.RepoID, d gantry.Digest) (Blob, error) {
	row, err := find(s, s.cache.blobs, digestKey{repo, d}, s.generation(repo), lasting[*store.Blob](s, repo), func() (*store.Blob, term, error) {
		b, err := s.db.RepoBlob(ctx, repo, d)
		if err == nil && len(b.Places) == 0 {
			err = errLost
		}
		// Objects move between places without a sign here; the old place
		// lasts for a quarter of an hour, and Open finds the new one.
		return &b, term{until: s.db.Now().Add(5 * time.Minute), again: true}, err
	})
	if err != nil {
		return Blob{}, err
	}
	return Blob{Digest: d, Size: row.Size, row: row, repo: repo}, nil
}

// errLost answers for a blob whose bytes are damaged or missing. A client that
// pushes takes it for "not there", uploads the blob, and so repairs it.
var errLost = &gantry.Error{Code: gantry.NotFound, Object: "blob", Reason: gantry.Damaged,
	Detail: "the registry's copy of this blob is missing or damaged; push it again to repair it"}

// Renew prolongs the lease of a blob that a push has just asked for. NotFound
// on "blob" if it is gone.
func (s *Store) Renew(ctx context.Context, repo gantry.RepoID, d gantry.Digest) error {
	b, err := s.Blob(ctx, repo, d)
	if err != nil {
		return err
	}
	lease := s.Limits().Lease
	if b.row.LeaseUntil.After(s.db.Now().Add(lease / 2)) {
		return nil
	}
	return s.db.RenewBlob(ctx, repo, b.row.ID, lease)
}

// BlobURL returns where the client may fetch the blob itself, or "" if it must
// come through Open. o says who asks, and how. The location is chosen as Open
// chooses; one that is down gets no client.
func (s *Store) BlobURL(ctx context.Context, b Blob, o blob.URLOptions) (string, error) {
	if s.settings.Load().ProxyStorage {
		return "", nil
	}
	for _, c := range s.sources.order(b.Digest, b.row.Places) {
		if up, _ := c.Health.up(false); !up || !c.Health.trusted() {
			break // Open tries it, within bounds, and compares
		}
		if c.path != "" && !s.db.Away().IsZero() {
			break // it may have been moved since; Open finds it
		}
		url, err := c.Engine.URL(ctx, c.key, o)
		if err == nil {
			if url != "" {
				c.Health.sends()
			}
			return url, nil
		}
		if ctx.Err() != nil {
			return "", err
		}
		c.Health.Reads(0, err)
		s.log.WarnContext(ctx, "no URL of a blob", "digest", b.Digest, "location", c.Name, "error", err)
	}
	return "", nil
}

// Open returns the bytes of a blob; the caller closes them. Local bytes are a
// blob.Filer, whose File is an *os.File, so that io.Copy of (an
// io.LimitedReader of) it reaches sendfile. A location that is down, fails, or
// does not answer in time is passed over for the next, also in the middle of
// the bytes. Errors: NotFound on "blob", with Reason Damaged, when no location
// holds the bytes; Unavailable on "storage".
func (s *Store) Open(ctx context.Context, b Blob) (io.ReadSeekCloser, error) {
	o, err := s.sources.openBlob(ctx, b.Digest, b.Size, s.sources.order(b.Digest, b.row.Places))
	if err != nil && ctx.Err() == nil {
		o, err = s.openAnew(ctx, b, err)
	}
	if err != nil {
		return nil, s.storageError(ctx, Location{}, "open", err)
	}
	return o, nil
}

// openAnew is Open for a blob that is not where it was when its row was read,
// or that no location gave which had it then: the row is read anew, for what it
// said may be a second old, and a copy may have arrived since. While the
// database is away, what is not there is looked for where objects are moved to;
// that it is not there either does not say that it is lost. err is what Open
// found.
func (s *Store) openAnew(ctx context.Context, b Blob, err error) (io.ReadSeekCloser, error) {
	missing := gantry.ReasonOf(err) == gantry.Damaged
	row, gone := s.db.RepoBlob(ctx, b.repo, b.Digest)
	switch {
	case isAway(gone) && missing:
		row.Places = slices.Clone(b.row.Places)
		for i := range row.Places {
			row.Places[i].Path = ""
		}
	case isAway(gone):
		return nil, err
	case gone != nil:
		return nil, gone
	}
	if !slices.Equal(row.Places, b.row.Places) {
		var o io.ReadSeekCloser
		if o, err = s.sources.openBlob(ctx, b.Digest, b.Size, s.sources.order(b.Digest, row.Places)); err == nil {
			return o, nil
		}
	}
	if gone != nil && gantry.ReasonOf(err) == gantry.Damaged {
		return nil, gone
	}
	return nil, err
}

// storageError is err as a client may see it.
func (s *Store) storageError(ctx context.Context, l Location, doing string, err error) error {
	if _, ok := errors.AsType[*gantry.Error](err); ok || ctx.Err() != nil {
		return err
	}
	s.log.ErrorContext(ctx, "storage", "doing", doing, "location", l.Name, "error", err) // "": all of them
	return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: 5 * time.Second,
		Detail: "the registry's storage does not answer; try again", Err: err}
}

// Manifest finds a manifest that can be read, by tag or digest. NotFound on
// "manifest", with Reason TagExpired if a tag of that name was there once. Hot
// path: no SQL when cached; a tag is cached only where no other process
// writes, or for when the database is away.
func (s *Store) Manifest(ctx context.Context, repo gantry.RepoID, ref gantry.Reference) (*Manifest, error) {
	if ref.Tag == "" {
		return find(s, s.cache.manifests, digestKey{repo, ref.Digest}, s.generation(repo), lasting[*Manifest](s, repo), func() (*Manifest, term, error) {
			r, err := s.RepositoryByID(ctx, repo)
			if err != nil {
				return nil, term{}, noManifest(err)
			}
			m, until, err := s.db.ManifestByDigest(ctx, repo, ref.Digest, s.retention(&r))
			return manifestOf(m), term{until: until, again: m.Indirect}, err
		})
	}
	tagged := func(*Manifest) uint64 { return s.db.LastingTag(repo, ref.Tag) }
	generation := s.generation(repo)
	if !s.db.Exclusive() {
		generation = func() uint64 { return s.db.Generation(repo) + tagged(nil) }
	}
	return find(s, s.cache.tags, tagKey{repo, ref.Tag}, generation, tagged, func() (*Manifest, term, error) {
		m, until, err := s.db.ManifestByTag(ctx, repo, ref.Tag)
		return manifestOf(m), term{until: until, ask: !s.db.Exclusive()}, err
	})
}

func noManifest(err error) error {
	if gantry.Is(err, gantry.NotFound) {
		return &gantry.Error{Code: gantry.NotFound, Object: "manifest", Detail: "manifest unknown"}
	}
	return err
}

func manifestOf(m store.Manifest) *Manifest {
	return &Manifest{ID: m.ID, Digest: m.Digest, MediaType: m.MediaType, Body: m.Body}
}

// LogPull writes the pull into the log of accesses and returns once that is
// durable.
func (s *Store) LogPull(ctx context.Context, repo gantry.RepoID, ref gantry.Reference, m *Manifest, actor gantry.Actor) error {
	if s.settings.Load().NoPullLog {
		return nil
	}
	r, err := s.RepositoryByID(ctx, repo)
	if err != nil {
		return err
	}
	return s.db.LogAccess(ctx, store.Access{Kind: "pull_repo", Namespace: r.Namespace, Repo: repo, Actor: actor,
		Ref: ref.String(), MediaType: m.MediaType})
}

// Tags returns up to n names of live tags that are greater than last, in byte
// order, and whether there are more. One statement at any depth.
func (s *Store) Tags(ctx context.Context, repo gantry.RepoID, last string, n int) (names []string, more bool, err error) {
	names, err = s.db.Tags(ctx, repo, last, n+1)
	if err != nil {
		return nil, false, err
	}
	if len(names) > n {
		return names[:n], true, nil
	}
	return names, false, nil
}
