package proxycache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// away is what content.Blob.Away holds of a blob that upstream has.
type away struct {
	u    *upstream
	repo store.Repository
}

// Blob is content's. In a proxy cache a blob that a manifest of the repository
// names is found although it is not here: Open then brings it.
func (s *Store) Blob(ctx context.Context, id gantry.RepoID, d gantry.Digest) (content.Blob, error) {
	id, err := s.here(ctx, id)
	if err != nil {
		return content.Blob{}, err
	}
	b, err := s.Store.Blob(ctx, id, d)
	if err == nil || !gantry.Is(err, gantry.NotFound) || !s.settings.Load().On {
		return b, err
	}
	r, u, failed := s.find(ctx, id)
	if failed != nil {
		return b, failed
	}
	if u == nil {
		return b, err
	}
	size, known := s.flights.size(flightKey{id, d})
	if !known {
		if size, failed = s.db.ProxyBlob(ctx, id, d); gantry.Is(failed, gantry.NotFound) {
			var row store.Blob // or it was lost here
			if row, failed = s.db.RepoBlob(ctx, id, d); failed == nil && len(row.Places) > 0 {
				return s.Store.Blob(ctx, id, d) // it came at this moment
			}
			size = row.Size
		}
		if failed != nil {
			return b, failed
		}
	}
	return content.Blob{Digest: d, Size: size, Away: &away{u, r}}, nil
}

// BlobURL is content's; a blob that is not here has none.
func (s *Store) BlobURL(ctx context.Context, b content.Blob, o blob.URLOptions) (string, error) {
	if b.Away != nil {
		return "", nil
	}
	return s.Store.BlobURL(ctx, b, o)
}

// Open is content's. A blob that is not here comes from upstream: one transfer
// serves all who want it and stores it. It returns when the first byte is
// here. Errors are those of Manifest, on "blob".
func (s *Store) Open(ctx context.Context, b content.Blob) (io.ReadSeekCloser, error) {
	a, ok := b.Away.(*away)
	if !ok {
		if b.Away == nil {
			s.o.Metrics.Proxied("blob", "hit")
		}
		return s.Store.Open(ctx, b)
	}
	f := s.join(ctx, a, b)
	if f == nil { // no room on the disk
		return newDirect(ctx, a, b)
	}
	r := &reader{f: f, ctx: ctx}
	if err := f.wait(ctx, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

type flightKey struct {
	repo gantry.RepoID
	d    gantry.Digest
}

// flights are the blobs that are on their way.
type flights struct {
	mu       sync.Mutex
	by       map[flightKey]*flight
	reserved int64 // bytes in the spool
	most     int64
	dir      string
	free     func(dir string) (int64, error)
}

func (s *flights) init(o *Options) {
	s.by, s.most, s.dir, s.free = map[flightKey]*flight{}, o.SpoolBytes, o.Spool, o.free
}

// leaveFree is what the spool leaves of its disk, for the database and what else
// is there.
const leaveFree = 512 << 20

// fits reports whether there is room for so many bytes more: of the spool's own
// bound, and on its disk, with what those that are on their way will still
// need. The caller holds mu.
func (s *flights) fits(size int64) bool {
	if s.reserved+size > s.most {
		return false
	}
	free, err := s.free(s.dir)
	if err != nil {
		return true // that it cannot be asked is not that it is full: a write will tell
	}
	for _, f := range s.by {
		f.mu.Lock()
		size += f.size - f.have
		f.mu.Unlock()
	}
	return size+leaveFree <= free
}

// freeBytes is how much space the disk of a folder has left.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail * uint64(st.Bsize)), nil //nolint:gosec,unconvert // no disk is as large; the types differ between systems
}

// size is that of a blob that is on its way.
func (s *flights) size(k flightKey) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.by[k]
	if f == nil {
		return 0, false
	}
	return f.size, true
}

// A flight is a blob on its way. Its bytes are in a file without a name, which
// goes with the last who reads it.
type flight struct {
	key   flightKey
	size  int64
	owner *flights

	users int // under flights.mu: who reads, and the transfer

	mu   sync.Mutex
	file *os.File
	more chan struct{} // closed when there is more, and made anew
	have int64         // bytes that may be read
	over bool
	err  error // why it is over, nil if all is there
}

// join finds the flight of a blob, or begins it, for one reader. It is nil
// where the spool has no room.
func (s *Store) join(ctx context.Context, a *away, b content.Blob) *flight {
	k := flightKey{a.repo.ID, b.Digest}
	fs := &s.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.by[k]; f != nil && f.failed() == nil {
		f.users++
		s.o.Metrics.Proxied("blob", "shared")
		return f
	}
	if s.ctx.Err() != nil || !fs.fits(b.Size) {
		return nil
	}
	file, err := os.CreateTemp(fs.dir, "gantry-pull-*")
	if err == nil {
		err = os.Remove(file.Name())
	}
	if err != nil {
		s.log.WarnContext(ctx, "the bytes of a pull cannot be kept on the disk; each client gets its own from upstream", "folder", fs.dir, "error", err)
		return nil
	}
	f := &flight{key: k, size: b.Size, owner: fs, users: 2, file: file, more: make(chan struct{})}
	fs.by[k] = f
	fs.reserved += f.size
	s.gone.Go(func() {
		defer f.leave()
		s.fly(a, f)
	})
	return f
}

func (f *flight) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// leave gives the file up when nobody reads it any more.
func (f *flight) leave() {
	fs := f.owner
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.users--; f.users == 0 {
		fs.reserved -= f.size
		_ = f.file.Close() // it has no name any more
	}
}

// end says that no more bytes come.
func (f *flight) end(err error) {
	fs := f.owner
	fs.mu.Lock()
	if fs.by[f.key] == f {
		delete(fs.by, f.key)
	}
	fs.mu.Unlock()
	f.finish(err)
}

// finish wakes who waits. The first end counts.
func (f *flight) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.over, f.err = true, err
	close(f.more)
}

// add puts bytes behind those that are there and wakes who waits.
func (f *flight) add(p []byte) error {
	f.mu.Lock()
	at := f.have
	f.mu.Unlock()
	if _, err := f.file.WriteAt(p, at); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.have = at + int64(len(p))
	if !f.over {
		close(f.more)
		f.more = make(chan struct{})
	}
	return nil
}

// wait waits for the byte at off. io.EOF is that there is none.
func (f *flight) wait(ctx context.Context, off int64) error {
	for {
		f.mu.Lock()
		more, have, over, err := f.more, f.have, f.over, f.err
		f.mu.Unlock()
		switch {
		case off < have:
			return nil
		case err != nil:
			return err
		case over || off >= f.size && f.size > 0:
			return io.EOF
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reader reads a flight.
type reader struct {
	f    *flight
	ctx  context.Context //nolint:containedctx // of the request whose body this is; io.Reader has none
	off  int64
	once sync.Once
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	return seek(&r.off, r.f.size, offset, whence)
}

func seek(off *int64, size, offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += *off
	case io.SeekEnd:
		offset += size
	}
	if offset < 0 {
		return *off, gantry.Errorf(gantry.Invalid, "range", "an offset cannot be negative")
	}
	*off = offset
	return offset, nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.f.wait(r.ctx, r.off); err != nil {
		return 0, err
	}
	r.f.mu.Lock()
	have := r.f.have
	r.f.mu.Unlock()
	if int64(len(p)) > have-r.off {
		p = p[:have-r.off]
	}
	n, err := r.f.file.ReadAt(p, r.off)
	r.off += int64(n)
	return n, err
}

func (r *reader) Close() error {
	r.once.Do(r.f.leave)
	return nil
}

// fly brings a blob: from upstream, or from where another instance has stored
// it meanwhile, into the spool and the storage.
func (s *Store) fly(a *away, f *flight) {
	ctx, cancel := context.WithTimeoutCause(s.ctx, maxBlobTime, &gantry.Error{Code: gantry.Unavailable, Object: "blob", Detail: "the transfer from upstream took too long"})
	defer cancel()
	release, here := s.alone(ctx, a, f)
	defer release()
	if here != nil {
		f.end(s.copyHere(ctx, *here, f))
		return
	}
	src, err := newSource(ctx, a, f)
	if err != nil {
		s.o.Metrics.Proxied("blob", "failed")
		f.end(answer("blob", err))
		return
	}
	defer func() { _ = src.body.Close() }() // read to its end, or failed
	_, err = s.Push(ctx, a.repo.ID, f.size, src, f.key.d, system)
	switch {
	case err == nil:
		s.o.Metrics.Proxied("blob", "fetched")
		s.settleWith(ctx, a.u, a.repo.ID, f.key.d)
	case src.err == nil: // it cannot be stored here, which is not the clients' trouble
		s.log.WarnContext(ctx, "a blob of upstream is not kept", "organization", a.u.Name, "repository", a.repo.Name.Name, "digest", f.key.d, "error", err)
		_, _ = io.Copy(io.Discard, src) // src knows how it ended
	}
	if src.err != nil {
		s.o.Metrics.Proxied("blob", "failed")
		s.log.WarnContext(ctx, "a blob did not come from upstream", "organization", a.u.Name, "repository", a.repo.Name.Name, "digest", f.key.d, "error", src.err)
	}
	f.end(answer("blob", src.err))
}

// source is upstream's stream of a blob on its way to the spool and to who
// reads it. The last bytes go no further unless the digest is right.
type source struct {
	f    *flight
	body io.ReadCloser
	hash hash.Hash
	n    int64
	err  error // how upstream ended, other than well
}

func newSource(ctx context.Context, a *away, f *flight) (*source, error) {
	from, err := a.u.repository(a.repo.Name.Name)
	if err != nil {
		return nil, err
	}
	body, err := from.Blob(ctx, f.key.d, 0, f.size)
	if err != nil {
		return nil, err
	}
	return &source{f: f, body: body, hash: gantry.NewHash(f.key.d.Algorithm())}, nil
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.body.Read(p)
	_, _ = s.hash.Write(p[:n]) // never fails
	s.n += int64(n)
	if s.n == s.f.size && (n > 0 || errors.Is(err, io.EOF)) {
		if got := gantry.DigestOf(s.f.key.d.Algorithm(), s.hash); got != s.f.key.d {
			s.err = wrongDigest(s.f.key.d, got)
			return 0, s.err
		}
	}
	if n > 0 {
		if err := s.f.add(p[:n]); err != nil {
			s.f.finish(fmt.Errorf("keep bytes on their way: %w", err)) // who reads it; the storage gets them all the same
		}
		return n, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return 0, err
}

func wrongDigest(want, got gantry.Digest) error {
	return &gantry.Error{Code: gantry.Unavailable, Object: "blob", Detail: fmt.Sprintf("upstream sent bytes with the digest %s where it should be %s; they are not passed on", got, want)}
}

// copyHere fills a flight from the storage.
func (s *Store) copyHere(ctx context.Context, b content.Blob, f *flight) error {
	o, err := s.Store.Open(ctx, b)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }() // only read
	buf := make([]byte, 64<<10)
	for {
		n, err := o.Read(buf)
		if n > 0 {
			if err := f.add(buf[:n]); err != nil {
				return fmt.Errorf("keep bytes on their way: %w", err)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// alone sees to it that one instance fetches a blob, for leaseWait: then two
// do. here is the blob, if another has brought it meanwhile.
func (s *Store) alone(ctx context.Context, a *away, f *flight) (release func(), here *content.Blob) {
	release = func() {}
	if s.db.Exclusive() { // there is no other
		return release, nil
	}
	name := fmt.Sprintf("proxycache %d %s", a.repo.ID, f.key.d)
	for end := time.Now().Add(s.o.leaseWait); ; {
		if b, err := s.Store.Blob(ctx, a.repo.ID, f.key.d); err == nil {
			return release, &b
		}
		l, err := s.db.TakeLease(ctx, name, s.o.Holder, leaseTime)
		if err == nil {
			stop := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				t := time.NewTicker(leaseTime / 3)
				defer t.Stop()
				for {
					select {
					case <-stop:
						return
					case <-t.C:
						if next, err := s.db.RenewLease(ctx, l, leaseTime); err == nil {
							l = next
						}
					}
				}
			}()
			release = func() {
				close(stop)
				<-ended
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				if err := s.db.ReleaseLease(ctx, l); err != nil {
					s.log.WarnContext(ctx, "give a lease back", "of", name, "error", err)
				}
			}
			if b, err := s.Store.Blob(ctx, a.repo.ID, f.key.d); err == nil { // it came before the lease was free
				return release, &b
			}
			return release, nil
		}
		if !gantry.Is(err, gantry.Conflict) {
			s.log.WarnContext(ctx, "take a lease", "of", name, "error", err)
			return release, nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return release, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// settleWith makes manifests that waited for a blob ones of the repository, if
// it was the last.
func (s *Store) settleWith(ctx context.Context, u *upstream, repo gantry.RepoID, d gantry.Digest) {
	list, err := s.db.ProxyManifestsWith(ctx, repo, d)
	for i := range list {
		if missing, failed := s.missing(ctx, &list[i]); failed != nil || len(missing) > 0 {
			err = errors.Join(err, failed)
			continue
		}
		err = errors.Join(err, s.settlePending(ctx, u, &list[i]))
	}
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "a manifest whose blobs have come is not kept yet", "organization", u.Name, "error", err)
	}
}

// settlePending is settle for a manifest that was found pending: two of its
// blobs may come at the same moment, and one of them is enough.
func (s *Store) settlePending(ctx context.Context, u *upstream, p *store.ProxyManifest) error {
	u.settling.Lock()
	defer u.settling.Unlock()
	if !s.db.Exclusive() { // and of two instances, too
		l, err := s.db.TakeLease(ctx, fmt.Sprintf("proxycache settles %d", p.ID), s.o.Holder, leaseTime)
		if gantry.Is(err, gantry.Conflict) {
			return nil // another instance is about it; what it does not finish is filled later
		}
		if err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := s.db.ReleaseLease(ctx, l); err != nil {
				s.log.WarnContext(ctx, "give a lease back", "of", l.Name, "error", err)
			}
		}()
	}
	now, err := s.db.ProxyManifest(ctx, p.Repo, gantry.Reference{Digest: p.Digest})
	if err == nil {
		_, err = s.settle(ctx, u, &now)
	} else if gantry.Is(err, gantry.NotFound) {
		err = nil // it is settled, or its time is over
	}
	return err
}

// missing lists the blobs of a manifest that are not here.
func (s *Store) missing(ctx context.Context, p *store.ProxyManifest) (list []store.ProxyBlob, err error) {
	for _, b := range p.Blobs {
		_, err := s.Store.Blob(ctx, p.Repo, b.Digest)
		switch {
		case gantry.Is(err, gantry.NotFound):
			list = append(list, b)
		case err != nil:
			return nil, err
		}
	}
	return list, nil
}

// direct is upstream's stream for one client. It is not kept.
type direct struct {
	ctx  context.Context //nolint:containedctx // of the request whose body this is; io.Reader has none
	a    *away
	d    gantry.Digest
	size int64
	off  int64
	body io.ReadCloser
	hash hash.Hash // nil: not read from the first byte
	err  error
}

func newDirect(ctx context.Context, a *away, b content.Blob) (*direct, error) {
	d := &direct{ctx: ctx, a: a, d: b.Digest, size: b.Size}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *direct) open() error {
	from, err := d.a.u.repository(d.a.repo.Name.Name)
	if err == nil {
		d.body, err = from.Blob(d.ctx, d.d, d.off, d.size)
	}
	d.hash = nil
	if d.off == 0 {
		d.hash = gantry.NewHash(d.d.Algorithm())
	}
	if err != nil {
		return answer("blob", err)
	}
	return nil
}

// Seek does no I/O.
func (d *direct) Seek(offset int64, whence int) (int64, error) {
	was := d.off
	now, err := seek(&d.off, d.size, offset, whence)
	if now != was {
		_ = d.Close() // another one is opened there
	}
	return now, err
}

func (d *direct) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.off >= d.size && d.size > 0 {
		return 0, io.EOF
	}
	if d.body == nil {
		if d.err = d.open(); d.err != nil {
			return 0, d.err
		}
	}
	n, err := d.body.Read(p)
	d.off += int64(n)
	if d.hash != nil {
		_, _ = d.hash.Write(p[:n]) // never fails
		if d.off == d.size {
			if got := gantry.DigestOf(d.d.Algorithm(), d.hash); got != d.d {
				d.err = wrongDigest(d.d, got)
				return 0, d.err
			}
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		d.err = answer("blob", err)
		err = d.err
	}
	return n, err
}

func (d *direct) Close() error {
	if d.body == nil {
		return nil
	}
	err := d.body.Close()
	d.body = nil
	return err
}
