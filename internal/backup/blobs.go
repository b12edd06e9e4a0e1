package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"sync"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// stored yields the objects of an engine that are blobs by their keys, in the
// order of the digests' bytes.
func stored(ctx context.Context, e blob.Engine) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, algorithm := range []string{gantry.SHA256, gantry.SHA512} {
			for i, err := range e.List(ctx, algorithm+"/", "") {
				if _, ok := gantry.DigestFromKey(i.Key); !ok && err == nil {
					continue
				}
				if !yield(i, err) || err != nil {
					return
				}
			}
		}
	}
}

// A cursor walks the stored objects beside a sequence of digests in the same
// order.
type cursor struct {
	next func() (blob.Info, error, bool)
	at   blob.Info
	done bool
}

func newCursor(ctx context.Context, e blob.Engine) (*cursor, func()) {
	next, stop := iter.Pull2(stored(ctx, e))
	return &cursor{next: next}, stop
}

// has reports whether there is an object of that size for the digest. It is
// called with ever greater digests.
func (c *cursor) has(d gantry.Digest, size int64) (bool, error) {
	key := d.Key()
	for !c.done && c.at.Key < key {
		i, err, ok := c.next()
		if err != nil {
			return false, fmt.Errorf("list stored blobs: %w", err)
		}
		c.at, c.done = i, !ok
	}
	return !c.done && c.at.Key == key && c.at.Size == size, nil
}

// list yields the blobs of a backup, in order. The error of a list that is
// damaged or was cut ends it.
func (v *Vault) list(ctx context.Context, b Backup) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		stopped := false
		err := v.readPart(ctx, b, "blobs", false, func(r io.Reader) error {
			lines, n, last := bufio.NewScanner(r), int64(0), ""
			for lines.Scan() {
				text, size, _ := strings.Cut(lines.Text(), " ")
				d, err := gantry.ParseDigest(text)
				bytes, e := strconv.ParseInt(size, 10, 64)
				if err != nil || e != nil || bytes < 0 || d.Key() <= last {
					return gantry.Errorf(gantry.Invalid, "backup", "line %d of the list of blobs of the backup %s is damaged", n+1, b.ID)
				}
				last = d.Key()
				n++
				if stopped = !yield(listed{d, bytes}, nil); stopped {
					return errStop
				}
			}
			if err := lines.Err(); err != nil {
				return err
			}
			if n != b.Blobs {
				return gantry.Errorf(gantry.Invalid, "backup", "the list of blobs of the backup %s has %d lines and not %d: it was cut", b.ID, n, b.Blobs)
			}
			return nil
		})
		if err != nil && !stopped {
			yield(listed{}, err)
		}
	}
}

type listed struct {
	digest gantry.Digest
	size   int64
}

var errStop = errors.New("enough")

// errLost is the error of a blob that is nowhere whole.
var errLost = errors.New("no location has the bytes of the blob")

// A fetcher reads blobs from where they are.
type fetcher interface {
	// fetch writes the bytes of a blob. An error of w comes back as it is.
	fetch(ctx context.Context, w io.Writer, b store.StoredBlob) error
}

// fromLocations fetches from the locations of a registry.
type fromLocations struct{ reader *content.Reader }

func (f fromLocations) fetch(ctx context.Context, w io.Writer, b store.StoredBlob) error {
	o, err := f.reader.Open(ctx, b.Digest, b.Size, b.Places)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, o)
	return errors.Join(err, o.Close())
}

// fromEngine fetches from a vault.
type fromEngine struct{ engine blob.Engine }

func (f fromEngine) fetch(ctx context.Context, w io.Writer, b store.StoredBlob) error {
	o, err := f.engine.Open(ctx, b.Digest.Key())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, o)
	return errors.Join(err, o.Close())
}

// bring copies a blob, hashed on its way. The error is errLost where no place
// has bytes with the digest; others are of a storage that does not answer.
func bring(ctx context.Context, to *writer, from fetcher, b store.StoredBlob) error {
	once := func(b store.StoredBlob) error {
		_, err := to.put(ctx, b.Digest.Key(), func(w io.Writer) error { return fetchChecked(ctx, w, from, b) })
		return err
	}
	err := once(b)
	if !errors.Is(err, errLost) || len(b.Places) < 2 {
		return err
	}
	for _, p := range b.Places { // one of them may be whole still
		if err = once(store.StoredBlob{Digest: b.Digest, Size: b.Size, Places: []store.Place{p}}); !errors.Is(err, errLost) {
			return err
		}
	}
	return err
}

// fetchChecked writes the bytes of a blob, and ends with errLost where they are
// missing or others.
func fetchChecked(ctx context.Context, w io.Writer, from fetcher, b store.StoredBlob) error {
	h := gantry.NewHash(b.Digest.Algorithm())
	if h == nil {
		return fmt.Errorf("no hash for %q", b.Digest)
	}
	n := &counter{w: io.MultiWriter(h, w)}
	err := from.fetch(ctx, n, b)
	switch {
	case gantry.Is(err, gantry.NotFound):
		return errors.Join(errLost, err)
	case err != nil:
		return fmt.Errorf("blob %s: %w", b.Digest, err)
	case n.n != b.Size || gantry.DigestOf(b.Digest.Algorithm(), h) != b.Digest:
		return errLost
	}
	return nil
}

// crew does up to n things at a time; the first error ends all.
type crew struct {
	ctx    context.Context //nolint:containedctx // of the work that the crew does
	cancel context.CancelCauseFunc
	slots  chan struct{}
	work   sync.WaitGroup
}

func newCrew(ctx context.Context, n int) *crew {
	c := &crew{slots: make(chan struct{}, n)}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// do has f called as soon as there is room; it returns the error that ended the
// crew.
func (c *crew) do(f func(context.Context) error) error {
	select {
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case c.slots <- struct{}{}:
	}
	c.work.Go(func() {
		defer func() { <-c.slots }()
		if err := f(c.ctx); err != nil {
			c.cancel(err)
		}
	})
	return nil
}

// wait waits for all of it.
func (c *crew) wait() error {
	c.work.Wait()
	err := context.Cause(c.ctx)
	c.cancel(nil)
	return err
}
