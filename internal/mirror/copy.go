package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote"
)

const (
	// maxDepth bounds how deep indexes, and referrers of referrers, nest.
	maxDepth = 4
	// maxReferrers bounds the referrers of one manifest that are copied.
	maxReferrers = 1000
	// atOnce is how many parts of one manifest are worked on at once; the
	// blobs of a run have a bound of their own.
	atOnce = 4
)

// A tally is what one tag cost.
type tally struct {
	digest gantry.Digest
	bytes  atomic.Int64
}

// A skipError leaves a tag out on purpose.
type skipError struct{ why string }

func (e *skipError) Error() string { return e.why }

// one makes one tag what it is upstream.
func (x *run) one(ctx context.Context, name string, t *tally) (Step, error) {
	local, there := x.local[name]
	theirs, err := x.up.Points(ctx, name, local.Digest)
	if err != nil {
		return Leave, err
	}
	t.digest = theirs
	step := Compare(theirs, local, there)
	x.mu.Lock()
	x.seen[theirs] = true
	x.mu.Unlock()
	switch step {
	case Leave:
		if x.plan || !Looks(local, x.deep, x.s.o.Store.Now(), x.s.o.Recent) {
			return step, nil
		}
		return step, x.attached(ctx, t, theirs)
	case Refuse:
		return step, &gantry.Error{Code: gantry.Conflict, Object: "tag", Reason: gantry.TagImmutable,
			Detail: fmt.Sprintf("the tag moved upstream to %s and is immutable here; it stays", theirs)}
	}
	_, companion := subjectOf(name)
	if x.choice.OnlySigned && !companion {
		signed, err := x.signed(ctx, theirs)
		if err != nil {
			return step, err
		}
		if !signed {
			return step, &skipError{"it is not signed"}
		}
	}
	if x.plan {
		return step, nil
	}
	err = x.manifest(ctx, t, theirs, []string{name}, 0)
	if remote.KindOf(err) == remote.NotFound {
		// It may have moved since, and what it pointed at is gone.
		again, headErr := x.up.Points(ctx, name, "")
		if headErr == nil && again != theirs {
			t.digest = again
			err = x.manifest(ctx, t, again, []string{name}, 0)
		}
	}
	if err != nil {
		return step, err
	}
	return step, x.attached(ctx, t, t.digest)
}

// signed reports whether somebody has signed a manifest.
func (x *run) signed(ctx context.Context, d gantry.Digest) (bool, error) {
	for _, tag := range x.tagged[d] {
		if tag == d.SignatureTag() {
			return true, nil
		}
	}
	list, err := x.up.Referrers(ctx, d)
	if err != nil {
		return false, err
	}
	for _, r := range list {
		if slices.Contains(gantry.SignatureTypes(), r.ArtifactType) { // an SBOM of cosign is none
			return true, nil
		}
	}
	return false, nil
}

// wrapped says of what part a failure is.
func wrapped(what string, d gantry.Digest, err error) error {
	if e, ok := errors.AsType[*remote.Error](err); ok && err != nil {
		c := *e
		c.Text = fmt.Sprintf("%s %s: %s", what, d, e.Text)
		return &c
	}
	if e, ok := errors.AsType[*gantry.Error](err); ok {
		c := *e
		c.Detail = fmt.Sprintf("%s %s: %s", what, d, e.Detail)
		if e.Object == "quota" {
			c.Detail = e.Detail // of the namespace, whatever part is the one too much
		}
		return &c
	}
	return err
}

// manifest copies a manifest with all that it refers to and points tags at it.
func (x *run) manifest(ctx context.Context, t *tally, d gantry.Digest, tags []string, depth int) error {
	if depth > maxDepth {
		return gantry.Errorf(gantry.Invalid, "manifest", "indexes are nested more than %d deep", maxDepth)
	}
	var body []byte
	var mediaType string
	here, err := x.s.o.Content.Manifest(ctx, x.m.Repo, gantry.Reference{Digest: d})
	switch {
	case err == nil:
		body, mediaType = here.Body, here.MediaType
	case gantry.Is(err, gantry.NotFound):
		m, err := x.up.Manifest(ctx, gantry.Reference{Digest: d})
		if err != nil {
			return wrapped("manifest", d, err)
		}
		body, mediaType = m.Bytes, m.MediaType
		t.bytes.Add(int64(len(body)))
		x.came(0, int64(len(body)))
	default:
		return err
	}
	o, err := content.Outlined(mediaType, body)
	if err != nil {
		return err
	}
	put := content.Put{Repo: x.m.Repo, Digest: d, Tags: tags, MediaType: o.MediaType, Body: body, Actor: x.actor}
	for try := 0; ; try++ {
		var linked []gantry.Digest
		if o.Index {
			linked, err = x.children(ctx, t, &o, body, d, depth)
			put.Sparse = len(linked) < len(o.Children)
		} else if err = x.fits(ctx, t, &o, depth); err == nil && (here == nil || try > 0) {
			err = parallel(ctx, atOnce, o.Blobs, func(ctx context.Context, p content.Part) error { return x.blob(ctx, t, p) })
		}
		if err != nil {
			return err
		}
		if here == nil || len(tags) > 0 {
			_, err = x.s.o.Content.PutManifest(ctx, put)
		}
		if err == nil && here != nil && o.Index { // it may have been put without some of them
			err = x.s.o.Store.LinkChildren(ctx, x.m.Repo, d, linked)
		}
		switch reason := gantry.ReasonOf(err); {
		case err == nil:
			return nil
		case try == 0 && (reason == gantry.UnknownBlob || reason == gantry.UnknownManifest):
			// Collected since, because the run took long. Once more.
			x.forget(o.Blobs)
			here = nil
		default:
			return err
		}
	}
}

// fits refuses an image of an architecture that is not wanted. Of an index
// that was decided before.
func (x *run) fits(ctx context.Context, t *tally, o *content.Outline, depth int) error {
	if len(x.choice.Architectures) == 0 || depth > 0 || o.Config == nil {
		return nil
	}
	if err := x.blob(ctx, t, *o.Config); err != nil {
		return err
	}
	raw, err := x.s.o.Content.ImageConfig(ctx, x.m.Repo, o.Config.Digest)
	if err != nil {
		return err
	}
	var p platform
	if json.Unmarshal(raw, &p) == nil && !p.wanted(x.choice.Architectures) {
		return &skipError{fmt.Sprintf("it is for %.40s, which architecture_filter leaves out", p.Architecture)}
	}
	return nil
}

// children copies the manifests of an index that are wanted, and returns them.
func (x *run) children(ctx context.Context, t *tally, o *content.Outline, body []byte, d gantry.Digest, depth int) ([]gantry.Digest, error) {
	if n := int64(len(body)); x.set.MaxIndex > 0 && n > x.set.MaxIndex {
		return nil, gantry.Errorf(gantry.TooLarge, "manifest", "the index %s has %d bytes, more than REPO_MIRROR_MAX_MANIFEST_LIST_SIZE allows (%d)", d, n, x.set.MaxIndex)
	}
	if n := len(o.Children); x.set.MaxEntries > 0 && n > x.set.MaxEntries {
		return nil, gantry.Errorf(gantry.TooLarge, "manifest", "the index %s has %d manifests, more than REPO_MIRROR_MAX_MANIFEST_ENTRIES allows (%d)", d, n, x.set.MaxEntries)
	}
	want, err := ChooseChildren(body, x.choice.Architectures)
	if err != nil {
		return nil, err
	}
	var list []content.Part
	var digests []gantry.Digest
	for _, c := range o.Children {
		if want[c.Digest] {
			list, digests = append(list, c), append(digests, c.Digest)
		}
	}
	if len(list) == 0 && len(o.Children) > 0 {
		return nil, &skipError{"none of its images is for an architecture of architecture_filter"}
	}
	return digests, parallel(ctx, atOnce, list, func(ctx context.Context, c content.Part) error { return x.manifest(ctx, t, c.Digest, nil, depth+1) })
}

// attached copies what refers to a manifest and to the manifests of an index:
// signatures, attestations, bills of materials. What is tied to them by tags is
// copied with those.
func (x *run) attached(ctx context.Context, t *tally, d gantry.Digest) error {
	x.mu.Lock()
	looked := x.looked[d] // under another tag
	x.looked[d] = true
	x.mu.Unlock()
	whole := len(x.choice.Architectures) > 0 && x.deep
	if x.choice.NoReferrers || looked || x.noList.Load() && !whole {
		return nil
	}
	all := []gantry.Digest{d}
	children, err := x.s.o.Store.ManifestChildren(ctx, x.m.Repo, d)
	if err != nil {
		return err
	}
	if whole {
		// The filter may take more than it did when this was copied.
		m, err := x.s.o.Content.Manifest(ctx, x.m.Repo, gantry.Reference{Digest: d})
		if err == nil {
			if want, wrong := ChooseChildren(m.Body, x.choice.Architectures); wrong == nil && len(want) > len(children) {
				err = x.manifest(ctx, t, d, nil, 0)
			}
		}
		if err != nil {
			return err
		}
	}
	return parallel(ctx, atOnce, append(all, children...), func(ctx context.Context, of gantry.Digest) error { return x.referrers(ctx, t, of, 0) })
}

// referrers copies what refers to a manifest, and what refers to that.
func (x *run) referrers(ctx context.Context, t *tally, d gantry.Digest, depth int) error {
	if depth >= maxDepth || x.noList.Load() {
		return nil
	}
	list, listed, err := x.up.ListedReferrers(ctx, d)
	if err != nil {
		return wrapped("referrers of", d, err)
	}
	if !listed {
		x.noList.Store(true) // they are under tags there, which are in the list of tags
		return nil
	}
	if len(list) > maxReferrers {
		return gantry.Errorf(gantry.TooLarge, "manifest", "%s has %d referrers, of which at most %d are taken", d, len(list), maxReferrers)
	}
	for _, r := range list {
		if _, err := x.s.o.Content.Manifest(ctx, x.m.Repo, gantry.Reference{Digest: r.Digest}); gantry.Is(err, gantry.NotFound) {
			if err := x.manifest(ctx, t, r.Digest, nil, 1); err != nil {
				return wrapped("referrer", r.Digest, err)
			}
		} else if err != nil {
			return err
		}
		if err := x.referrers(ctx, t, r.Digest, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// A flight is a blob that comes, for all that want it.
type flight struct {
	done chan struct{}
	err  error
}

// blob makes sure that the repository holds a blob. Of a run each comes once.
func (x *run) blob(ctx context.Context, t *tally, p content.Part) error {
	for {
		x.mu.Lock()
		f := x.flights[p.Digest]
		mine := f == nil
		if mine {
			f = &flight{done: make(chan struct{})}
			x.flights[p.Digest] = f
		}
		x.mu.Unlock()
		if mine {
			return x.fly(ctx, t, p, f)
		}
		select {
		case <-f.done:
			if f.err == nil || !errors.Is(f.err, context.Canceled) {
				return f.err
			}
			// Whoever brought it gave up for a reason of their own.
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// fly brings a blob for all that wait for it; where that fails, also by a
// panic, the next one tries for itself.
func (x *run) fly(ctx context.Context, t *tally, p content.Part, f *flight) error {
	f.err = errors.New("a blob was not brought")
	defer func() {
		if f.err != nil {
			x.mu.Lock()
			delete(x.flights, p.Digest)
			x.mu.Unlock()
		}
		close(f.done)
	}()
	f.err = wrapped("layer", p.Digest, x.bring(ctx, t, p))
	return f.err
}

// forget has blobs brought again.
func (x *run) forget(blobs []content.Part) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range blobs {
		if f := x.flights[b.Digest]; f != nil {
			select {
			case <-f.done:
				delete(x.flights, b.Digest)
			default:
			}
		}
	}
}

// bring finds a blob here, links it from a repository that the robot may read
// or that anybody may, or fetches it.
func (x *run) bring(ctx context.Context, t *tally, p content.Part) error {
	c := x.s.o.Content
	_, err := c.Blob(ctx, x.m.Repo, p.Digest)
	if err == nil {
		if err = c.Renew(ctx, x.m.Repo, p.Digest); err == nil {
			return nil
		}
	}
	if !gantry.Is(err, gantry.NotFound) {
		return err
	}
	here, sources, err := x.s.o.Store.MirrorSources(ctx, x.m.Robot, p.Digest)
	if err != nil {
		return err
	}
	if !x.choice.Link {
		sources = nil
	}
	if here {
		ok, err := c.Mount(ctx, x.m.Repo, p.Digest, sources, true, x.actor)
		if err != nil {
			return err
		}
		if ok {
			if _, err := c.Blob(ctx, x.m.Repo, p.Digest); err == nil { // not a damaged one
				x.mu.Lock()
				x.figures.Linked++
				x.mu.Unlock()
				return nil
			}
		}
	}
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if p.Size > c.Limits().Blob {
		return gantry.Errorf(gantry.TooLarge, "blob", "it has %d bytes, more than MAXIMUM_LAYER_SIZE allows (%d)", p.Size, c.Limits().Blob)
	}
	body, err := x.up.Blob(ctx, p.Digest, 0, p.Size)
	if err != nil {
		return err
	}
	counted := &counter{Body: body, flying: &x.flying}
	_, err = c.Push(ctx, x.m.Repo, p.Size, counted, p.Digest, x.actor)
	if closed := body.Close(); err == nil {
		err = closed
	}
	t.bytes.Add(counted.n)
	if err != nil {
		x.landed(0, counted.n)
		if gantry.ReasonOf(err) == gantry.DigestMismatch {
			return gantry.Errorf(gantry.Invalid, "blob", "%s sent other bytes than its digest says: they were changed on the way, or are broken there", x.up)
		}
		return err
	}
	x.landed(1, counted.n)
	return nil
}

// came counts what came from upstream.
func (x *run) came(blobs, bytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.figures.Fetched += blobs
	x.figures.Bytes += bytes
}

// landed is came for what a counter has counted.
func (x *run) landed(blobs, bytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flying.Add(-bytes)
	x.figures.Fetched += blobs
	x.figures.Bytes += bytes
}

// counter counts the bytes of a blob that came.
type counter struct {
	*remote.Body
	n      int64
	flying *atomic.Int64 // those of all blobs that come
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Body.Read(p)
	c.n += int64(n)
	c.flying.Add(int64(n))
	return n, err
}

// parallel calls f for each of the parts, at most n at once, and returns the
// first error, after which it begins no further one and the context of the
// others ends.
func parallel[T any](ctx context.Context, n int, parts []T, f func(context.Context, T) error) error {
	if len(parts) == 1 {
		return f(ctx, parts[0])
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		next  atomic.Int64
	)
	for range min(n, len(parts)) {
		wg.Go(func() {
			for inner.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					return
				}
				if err := f(inner, parts[i]); err != nil {
					once.Do(func() { first = err; cancel() })
					return
				}
			}
		})
	}
	wg.Wait()
	if first == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return first
}
