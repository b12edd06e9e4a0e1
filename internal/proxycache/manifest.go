package proxycache

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
)

// system is who brings in what upstream has.
var system = gantry.Actor{Kind: gantry.ActorSystem}

// Repository is content's, which has every repository that is here. In a proxy
// cache there is one of every name: what upstream does not have turns out when
// something in it is asked for. Its ID is negative, and good for this process,
// until the first manifest that is pulled makes the repository.
func (s *Store) Repository(ctx context.Context, name gantry.RepoName) (store.Repository, error) {
	r, err := s.Store.Repository(ctx, name)
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return r, err
	}
	all, failed := s.all(ctx)
	if failed != nil {
		return r, failed
	}
	if err == nil {
		if u := all.byID[r.Namespace]; u != nil {
			r.Upstream = u.Upstream
		}
		return r, nil
	}
	u := all.byName[name.Namespace]
	if u == nil {
		return r, err
	}
	a, failed := s.db.AccountByID(ctx, u.Namespace)
	if failed != nil {
		return r, failed
	}
	return store.Repository{ID: s.virtualID(name), Namespace: u.Namespace, NamespaceKind: gantry.Organization, NamespaceEnabled: a.Enabled,
		Name: name, Visibility: gantry.Private, State: gantry.Normal, Upstream: u.Upstream}, nil
}

// virtualID is the id of a repository that is not here.
func (s *Store) virtualID(name gantry.RepoName) gantry.RepoID {
	v := &s.virtual
	v.Lock()
	defer v.Unlock()
	if id, ok := v.byName[name]; ok {
		return id
	}
	if len(v.byName) >= maxNames {
		clear(v.byName)
		clear(v.names) // who still holds an id finds nothing by it
	}
	v.next--
	v.byName[name], v.names[v.next] = v.next, name
	return v.next
}

// RepositoryByID is Repository for a known id.
func (s *Store) RepositoryByID(ctx context.Context, id gantry.RepoID) (store.Repository, error) {
	r, u, err := s.find(ctx, id)
	if err == nil && u != nil {
		r.Upstream = u.Upstream
	}
	return r, err
}

var errNoRepository = &gantry.Error{Code: gantry.NotFound, Object: "repository", Detail: "repository name not known to registry"}

// find returns the repository of an id, and what its namespace stands for; nil
// if nothing. A repository that is not here has ID 0 and its name.
func (s *Store) find(ctx context.Context, id gantry.RepoID) (r store.Repository, u *upstream, err error) {
	all, err := s.all(ctx)
	if err != nil {
		return r, nil, err
	}
	if id >= 0 {
		r, err = s.Store.RepositoryByID(ctx, id)
		return r, all.byID[r.Namespace], err
	}
	s.virtual.Lock()
	name, ok := s.virtual.names[id]
	s.virtual.Unlock()
	if !ok {
		return r, nil, errNoRepository
	}
	return s.named(ctx, all, name)
}

// named is find by name.
func (s *Store) named(ctx context.Context, all *configs, name gantry.RepoName) (r store.Repository, u *upstream, err error) {
	r, err = s.Store.Repository(ctx, name)
	switch {
	case err == nil:
		return r, all.byID[r.Namespace], nil
	case gantry.Is(err, gantry.NotFound) && all.byName[name.Namespace] != nil:
		return store.Repository{Name: name, Namespace: all.byName[name.Namespace].Namespace}, all.byName[name.Namespace], nil
	}
	return r, nil, err
}

// here is the id for content, of a repository that may have been made since
// its id was given.
func (s *Store) here(ctx context.Context, id gantry.RepoID) (gantry.RepoID, error) {
	if id >= 0 {
		return id, nil
	}
	r, _, err := s.find(ctx, id)
	if err == nil && r.ID == 0 {
		err = errNoRepository
	}
	return r.ID, err
}

// madeFor is how long after a repository was made its puller is the one for
// whom it was.
const madeFor = time.Minute

// LogPull is content's. Who pulled first what made the repository may read it
// from then on, as in Quay, also when the organization has no team with them any
// more.
func (s *Store) LogPull(ctx context.Context, id gantry.RepoID, ref gantry.Reference, m *content.Manifest, actor gantry.Actor) error {
	id, err := s.here(ctx, id)
	if err != nil {
		return err
	}
	if _, ok := s.made.get(id, madeFor); ok && actor.Account != 0 {
		s.made.forget(id)
		r, _, err := s.find(ctx, id)
		if err == nil {
			err = s.db.LetRead(ctx, r, actor, system)
		}
		if err != nil {
			s.log.WarnContext(ctx, "who pulled first was given no permission to read", "repository", id, "error", err)
		}
	}
	return s.Store.LogPull(ctx, id, ref, m, actor)
}

// Tags is content's: the tags that are here.
func (s *Store) Tags(ctx context.Context, id gantry.RepoID, last string, n int) ([]string, bool, error) {
	id, err := s.here(ctx, id)
	if err != nil {
		return nil, false, err
	}
	return s.Store.Tags(ctx, id, last, n)
}

// Manifest is content's. In a proxy cache, a tag is compared with upstream's,
// unless that was done in the last second, and what is not here is fetched.
// While upstream is away, what is here is given as long as its time lasts.
// Other errors: NotFound on "manifest" with upstream's reason, Limited,
// Invalid when upstream's is no manifest, Denied on "quota" for an image that
// does not fit.
func (s *Store) Manifest(ctx context.Context, id gantry.RepoID, ref gantry.Reference) (*content.Manifest, error) {
	if !s.settings.Load().On && id > 0 {
		return s.Store.Manifest(ctx, id, ref)
	}
	r, u, err := s.find(ctx, id)
	if err != nil {
		if gantry.Is(err, gantry.NotFound) {
			err = &gantry.Error{Code: gantry.NotFound, Object: "manifest", Detail: "manifest unknown"}
		}
		return nil, err
	}
	if u == nil {
		return s.Store.Manifest(ctx, r.ID, ref)
	}
	if ref.Tag != "" {
		if c, ok := s.checked.get(tagKey{r.ID, ref.Tag}, s.o.fresh); ok && r.ID != 0 {
			if m, err := s.byDigest(ctx, u, r.ID, c); err == nil {
				s.o.Metrics.Proxied("manifest", "hit")
				return m, nil
			}
		}
	} else if r.ID != 0 {
		m, err := s.byDigest(ctx, u, r.ID, ref.Digest)
		if err == nil {
			s.o.Metrics.Proxied("manifest", "hit")
		}
		if err == nil || !gantry.Is(err, gantry.NotFound) {
			return m, err
		}
	}
	return s.asks.do(ctx, r.Name.String()+" "+ref.String(), func() (*content.Manifest, error) {
		ctx, cancel := context.WithTimeout(s.ctx, askWithin)
		defer cancel()
		all, err := s.all(ctx)
		if err != nil {
			return nil, err
		}
		r, u, err := s.named(ctx, all, r.Name) // it may have been made meanwhile
		if err == nil && u == nil {
			err = errNoRepository // the cache was taken away at this moment
		}
		if err != nil {
			return nil, err
		}
		var m *content.Manifest
		if ref.Tag != "" {
			m, err = s.compare(ctx, u, r, ref.Tag)
		} else {
			m, err = s.bring(ctx, u, r, ref.Digest, "")
		}
		if err != nil {
			s.o.Metrics.Proxied("manifest", "failed")
		}
		return m, err
	})
}

// byDigest finds a manifest that is here, with or without its blobs, and
// prolongs its life.
func (s *Store) byDigest(ctx context.Context, u *upstream, repo gantry.RepoID, d gantry.Digest) (*content.Manifest, error) {
	m, err := s.Store.Manifest(ctx, repo, gantry.Reference{Digest: d})
	if err == nil {
		s.renew(ctx, u, repo, m.ID, "")
		return m, nil
	}
	if !gantry.Is(err, gantry.NotFound) {
		return nil, err
	}
	p, err := s.db.ProxyManifest(ctx, repo, gantry.Reference{Digest: d})
	if err != nil {
		return nil, err
	}
	s.renewPending(ctx, u, &p)
	return pendingManifest(&p), nil
}

func pendingManifest(p *store.ProxyManifest) *content.Manifest {
	return &content.Manifest{Digest: p.Digest, MediaType: p.MediaType, Body: p.Body}
}

// renew prolongs the life of something that was used, unless that was done a
// short while ago.
func (s *Store) renew(ctx context.Context, u *upstream, repo gantry.RepoID, m gantry.ManifestID, tag string) {
	key := renewal{repo, m, tag}
	if _, done := s.renewed.get(key, min(u.Expiry/8, time.Hour)); done || s.settings.Load().ReadOnly {
		return
	}
	s.renewed.put(key, struct{}{})
	if err := s.db.RenewCached(ctx, repo, m, tag, s.db.Now().Add(u.Expiry)); err != nil {
		s.renewed.forget(key)
		s.log.WarnContext(ctx, "the life of what is cached was not prolonged", "organization", u.Name, "error", err)
	}
}

func (s *Store) renewPending(ctx context.Context, u *upstream, p *store.ProxyManifest) {
	if s.settings.Load().ReadOnly || p.Until.After(s.db.Now().Add(u.Expiry-min(u.Expiry/8, time.Hour))) {
		return
	}
	if err := s.db.RenewProxyManifest(ctx, p.ID, s.db.Now().Add(u.Expiry)); err != nil {
		s.log.WarnContext(ctx, "the life of what is cached was not prolonged", "organization", u.Name, "error", err)
	}
}

// cachedTag is what is known here of a tag.
type cachedTag struct {
	kept    *content.Manifest // of the repository; nil if it has none
	pending *content.Manifest // that the tag will point at; nil if none
}

// newest is what the tag was at upstream when it was last asked for.
func (c cachedTag) newest() *content.Manifest {
	if c.pending != nil {
		return c.pending
	}
	return c.kept
}

func (s *Store) cachedTag(ctx context.Context, u *upstream, repo gantry.RepoID, tag string) (c cachedTag, err error) {
	if repo == 0 {
		return c, nil
	}
	ref := gantry.Reference{Tag: tag}
	if c.kept, err = s.Store.Manifest(ctx, repo, ref); err != nil && !gantry.Is(err, gantry.NotFound) {
		return c, err
	}
	p, err := s.db.ProxyManifest(ctx, repo, ref)
	switch {
	case err == nil:
		c.pending = pendingManifest(&p)
		s.renewPending(ctx, u, &p)
	case !gantry.Is(err, gantry.NotFound):
		return c, err
	}
	return c, nil
}

// compare finds what a tag points at: at upstream, if it answers.
func (s *Store) compare(ctx context.Context, u *upstream, r store.Repository, tag string) (*content.Manifest, error) {
	c, err := s.cachedTag(ctx, u, r.ID, tag)
	if err != nil {
		return nil, err
	}
	from, err := u.repository(r.Name.Name)
	if err != nil {
		return nil, answer("manifest", err)
	}
	old := c.newest()
	known := gantry.Digest("")
	if old != nil {
		known = old.Digest
	}
	d, err := s.points(ctx, u, from, tag, known)
	switch {
	case old != nil && remote.Away(err):
		s.log.WarnContext(ctx, "upstream is away; what is cached is served", "organization", u.Name, "repository", r.Name.Name, "tag", tag, "error", err)
		s.o.Metrics.Proxied("manifest", "stale")
		s.checked.put(tagKey{r.ID, tag}, old.Digest)
		return old, nil
	case err != nil:
		return nil, answer("manifest", err)
	}
	switch {
	case c.kept != nil && c.kept.Digest == d:
		if c.pending != nil && c.pending.Digest != d { // it moved there and back
			if err := s.db.DropProxyTag(ctx, r.ID, tag); err != nil {
				return nil, err
			}
		}
		s.renew(ctx, u, r.ID, c.kept.ID, tag)
		s.checked.put(tagKey{r.ID, tag}, d)
		s.o.Metrics.Proxied("manifest", "hit")
		return c.kept, nil
	case c.pending != nil && c.pending.Digest == d:
		s.checked.put(tagKey{r.ID, tag}, d)
		s.o.Metrics.Proxied("manifest", "hit")
		return c.pending, nil
	}
	return s.bring(ctx, u, r, d, tag)
}

const (
	// headWithin bounds the wait for upstream where there is something to give
	// without it, and restFor is how long an upstream that did not answer is
	// not asked again then.
	headWithin = 5 * time.Second
	restFor    = 10 * time.Second
)

// points asks upstream what a tag points at; known is what is cached, "" for
// nothing. Where something is, an upstream that is away costs little.
func (s *Store) points(ctx context.Context, u *upstream, from *remote.Repository, tag string, known gantry.Digest) (gantry.Digest, error) {
	if known == "" {
		return from.Points(ctx, tag, "")
	}
	if err := u.resting(time.Now()); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, headWithin)
	defer cancel()
	d, err := from.Points(ctx, tag, known)
	if remote.Away(err) {
		u.rest(time.Now(), err)
	}
	return d, err
}

// bring makes a manifest of upstream one of the repository, under the tag if
// that is not "".
func (s *Store) bring(ctx context.Context, u *upstream, r store.Repository, d gantry.Digest, tag string) (*content.Manifest, error) {
	if s.settings.Load().ReadOnly {
		return nil, &gantry.Error{Code: gantry.Unavailable, Object: "registry", Retry: time.Minute, Detail: "the registry is read-only at the moment and brings in nothing new; try again later"}
	}
	var m *content.Manifest
	if r.ID != 0 { // under another tag, or of an index
		var err error
		if m, err = s.byDigest(ctx, u, r.ID, d); err != nil && !gantry.Is(err, gantry.NotFound) {
			return nil, err
		}
	}
	if m == nil {
		from, err := u.repository(r.Name.Name)
		if err != nil {
			return nil, answer("manifest", err)
		}
		got, err := from.Manifest(ctx, gantry.Reference{Digest: d})
		if err != nil {
			return nil, answer("manifest", err)
		}
		m = &content.Manifest{Digest: got.Digest, MediaType: got.MediaType, Body: got.Bytes}
	}
	blobs, _, err := content.Needs(m.MediaType, m.Body)
	if err != nil {
		if e, ok := errors.AsType[*gantry.Error](err); ok {
			return nil, &gantry.Error{Code: gantry.Invalid, Detail: "upstream's manifest is not taken: " + e.Detail, Err: err}
		}
		return nil, err
	}
	most := s.Limits().Blob
	for _, b := range blobs {
		if b.Size > most {
			return nil, gantry.Errorf(gantry.Invalid, "", "upstream's image has a layer of %d bytes; this registry takes at most %d (MAXIMUM_LAYER_SIZE)", b.Size, most)
		}
	}
	if r.ID == 0 {
		if r, err = s.make(ctx, r.Name); err != nil {
			return nil, err
		}
	}
	out, err := s.admit(ctx, u, r, m, blobs, tag)
	if err == nil {
		s.o.Metrics.Proxied("manifest", "fetched")
		if tag != "" {
			s.checked.put(tagKey{r.ID, tag}, out.Digest)
		}
	}
	return out, err
}

// make makes the repository of something that upstream has.
func (s *Store) make(ctx context.Context, name gantry.RepoName) (store.Repository, error) {
	n := store.NewRepository{Name: name, Visibility: gantry.Private}
	if s.settings.Load().PublicRepos {
		n.Visibility = gantry.Public
	}
	_, err := s.db.CreateRepository(ctx, n, system)
	if err != nil && !gantry.Is(err, gantry.Conflict) {
		return store.Repository{}, err
	}
	r, failed := s.Store.Repository(ctx, name)
	if err == nil && failed == nil {
		s.made.put(r.ID, struct{}{})
	}
	return r, failed
}

// admit takes a manifest in: at once if its blobs are here, or else as one
// that waits for them.
func (s *Store) admit(ctx context.Context, u *upstream, r store.Repository, m *content.Manifest, blobs []content.Descriptor, tag string) (*content.Manifest, error) {
	p := store.ProxyManifest{Repo: r.ID, Digest: m.Digest, MediaType: m.MediaType, Body: m.Body, Until: s.db.Now().Add(u.Expiry)}
	if tag != "" {
		p.Tags = []string{tag}
	}
	missing := int64(0)
	for _, b := range blobs {
		p.Blobs = append(p.Blobs, store.ProxyBlob{Digest: b.Digest, Size: b.Size})
		here, err := s.holds(ctx, r, b.Digest)
		if err != nil {
			return nil, err
		}
		if !here {
			missing += b.Size
		}
	}
	if missing == 0 {
		done, err := s.settle(ctx, u, &p)
		if err == nil || gantry.ReasonOf(err) != gantry.UnknownBlob {
			return done, err
		}
	}
	if err := s.makeRoom(ctx, u, missing); err != nil {
		return nil, err
	}
	if err := s.db.PutProxyManifest(ctx, p, s.db.Now().Add(s.o.fillAfter)); err != nil {
		return nil, err
	}
	return m, nil
}

// holds reports whether a repository holds a blob, perhaps from now on: what
// another repository of the proxy cache holds came from the same upstream, for
// the same members.
func (s *Store) holds(ctx context.Context, r store.Repository, d gantry.Digest) (bool, error) {
	err := s.Renew(ctx, r.ID, d)
	if err == nil || !gantry.Is(err, gantry.NotFound) {
		return err == nil, err
	}
	sources, err := s.db.RepositoriesHolding(ctx, r.Namespace, d, 8)
	if err != nil {
		return false, err
	}
	sources = slices.DeleteFunc(sources, func(id gantry.RepoID) bool { return id == r.ID })
	if len(sources) == 0 {
		return false, nil
	}
	return s.Mount(ctx, r.ID, d, sources, false, system)
}

// settle makes a manifest whose blobs are here one of the repository. It makes
// room for it where the quota wants that.
func (s *Store) settle(ctx context.Context, u *upstream, p *store.ProxyManifest) (*content.Manifest, error) {
	for try := 0; ; try++ {
		done, err := s.PutManifest(ctx, content.Put{Repo: p.Repo, Digest: p.Digest, Tags: p.Tags, MediaType: p.MediaType, Body: p.Body, Actor: system, Cached: u.Expiry})
		switch {
		case err == nil:
			if p.ID != 0 {
				if err := s.db.DropProxyManifests(ctx, p.ID); err != nil {
					s.log.WarnContext(ctx, "forget a manifest that has come", "organization", u.Name, "digest", p.Digest, "error", err)
				}
			}
			return &content.Manifest{ID: done.ID, Digest: p.Digest, MediaType: p.MediaType, Body: p.Body}, nil
		case gantry.ReasonOf(err) == gantry.QuotaExceeded && try < 3:
			need := int64(0)
			for _, b := range p.Blobs {
				need += b.Size
			}
			if err := s.makeRoom(ctx, u, need); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// makeRoom evicts what was used least until so many bytes fit the quota of a
// proxy cache. Denied on "quota" if they never do.
func (s *Store) makeRoom(ctx context.Context, u *upstream, need int64) error {
	rule := s.settings.Load().Quota
	if !rule.On || need == 0 {
		return nil
	}
	u.room.Lock()
	defer u.room.Unlock()
	for n := 1; ; n = min(2*n, 64) {
		q, err := s.db.QuotaState(ctx, u.Namespace, rule)
		switch {
		case err != nil:
			return err
		case need > q.Limit:
			return q.Exceeded(u.Name, need)
		case q.Used <= q.Limit-need:
			s.ForgetQuota(u.Namespace)
			return nil
		}
		least, err := s.db.LeastUsed(ctx, u.Namespace, n)
		if err != nil {
			return err
		}
		if len(least) == 0 {
			return q.Exceeded(u.Name, q.Used+need)
		}
		for _, c := range least {
			if err := s.db.Evict(ctx, c); err != nil {
				return err
			}
			s.o.Metrics.Evicted()
			s.log.InfoContext(ctx, "evicted from a proxy cache to make room", "organization", u.Name, "tag", c.Tag, "until", c.Until)
		}
		if s.o.Collect != nil {
			if err := s.o.Collect(ctx); err != nil {
				return err
			}
		}
	}
}

// Referrers is content's. In a proxy cache, upstream's come first, if it
// answers; their manifests are fetched when they are asked for.
func (s *Store) Referrers(ctx context.Context, q content.ReferrersQuery) ([]content.Descriptor, gantry.ManifestID, error) {
	r, u, err := s.find(ctx, q.Repo)
	if err != nil {
		return nil, 0, err
	}
	var list []content.Descriptor
	var after gantry.ManifestID
	if q.Repo = r.ID; r.ID != 0 {
		if list, after, err = s.Store.Referrers(ctx, q); err != nil || u == nil || q.After != 0 {
			return list, after, err
		}
	}
	theirs, err := s.upstreamReferrers(ctx, u, r, q.Subject)
	if err != nil {
		if remote.Away(err) || remote.KindOf(err) != "" {
			s.log.WarnContext(ctx, "upstream's referrers are not known", "organization", u.Name, "repository", r.Name.Name, "error", err)
			return list, after, nil
		}
		return nil, 0, err
	}
	out := make([]content.Descriptor, 0, len(theirs)+len(list))
	for _, d := range append(theirs, list...) {
		if (q.ArtifactType == "" || d.ArtifactType == q.ArtifactType) && !slices.ContainsFunc(out, func(o content.Descriptor) bool { return o.Digest == d.Digest }) {
			out = append(out, d)
		}
	}
	return out, after, nil
}

const (
	// referrersFor is how long upstream's list of referrers is not asked for
	// again.
	referrersFor = 30 * time.Second
	// maxReferrers is how many of them are shown.
	maxReferrers = 500
)

func (s *Store) upstreamReferrers(ctx context.Context, u *upstream, r store.Repository, d gantry.Digest) ([]content.Descriptor, error) {
	key := referrersKey{r.Name, d}
	if list, ok := s.refs.get(key, referrersFor); ok {
		return list, nil
	}
	if err := u.resting(time.Now()); err != nil {
		return nil, err
	}
	return s.refTurns.do(ctx, key, func() ([]content.Descriptor, error) {
		ctx, cancel := context.WithTimeout(s.ctx, askWithin)
		defer cancel()
		from, err := u.repository(r.Name.Name)
		if err != nil {
			return nil, err
		}
		got, err := from.Referrers(ctx, d)
		if err != nil {
			if remote.Away(err) {
				u.rest(time.Now(), err)
			}
			return nil, err
		}
		list := make([]content.Descriptor, 0, min(len(got), maxReferrers))
		for _, g := range got[:min(len(got), maxReferrers)] {
			list = append(list, content.Descriptor{MediaType: g.MediaType, Digest: g.Digest, Size: g.Size, ArtifactType: g.ArtifactType, Annotations: g.Annotations})
		}
		s.refs.put(key, list)
		return list, nil
	})
}
