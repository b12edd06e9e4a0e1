package content

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

const (
	adoptAge  = 24 * time.Hour // an object of a push that goes on is younger
	orphanAge = 48 * time.Hour // likewise for uploads/*
)

// AdoptStats say what AdoptAll and RelocateAll found.
type AdoptStats struct {
	Listed    int   // objects looked at
	Adopted   int   // whole ones that no row named: known again
	Bytes     int64 // of these
	Discarded int   // that no row named and that were not whole, or surplus
	Relocated int   // moved to the canonical key
	Failed    int
}

// AdoptAll lists all locations and brings storage and database together again
// after crashes: an object under a blob's key that no row names is verified
// and made known, or queued for deletion; a temporary object that no row names
// is deleted. It reads every such object whole. Once a week is enough. Objects
// elsewhere are left alone.
func (c *Collector) AdoptAll(ctx context.Context) (s AdoptStats, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "adopt")()
	var errs []error
	for _, id := range c.ids {
		l := c.locations[id]
		if up, _ := l.Health.up(false); !up {
			errs = append(errs, errBreaker(l)) // the others' turn all the same
			continue
		}
		for _, prefix := range []string{gantry.SHA256 + "/", gantry.SHA512 + "/", "uploads/"} {
			if err := c.adopt(ctx, l, prefix, &s); err != nil {
				errs = append(errs, fmt.Errorf("adopt objects of %s: %w", l.Name, err))
			}
		}
	}
	return s, errors.Join(errs...)
}

func (c *Collector) adopt(ctx context.Context, l Location, prefix string, s *AdoptStats) error {
	age := adoptAge
	if prefix == "uploads/" {
		age = orphanAge
	}
	var batch []blob.Info
	flush := func() error {
		err := c.adoptBatch(ctx, l, batch, s)
		batch = batch[:0]
		return err
	}
	before := c.opts.Now().Add(-age)
	for info, err := range l.Engine.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		s.Listed++
		if !info.Modified.Before(before) {
			continue
		}
		if batch = append(batch, info); len(batch) == reviewBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (c *Collector) adoptBatch(ctx context.Context, l Location, batch []blob.Info, s *AdoptStats) error {
	if len(batch) == 0 {
		return nil
	}
	keys := make([]string, 0, len(batch))
	for _, info := range batch {
		keys = append(keys, info.Key)
	}
	unknown, err := c.opts.Store.UnknownKeys(ctx, l.ID, keys)
	if err != nil {
		return err
	}
	for _, key := range unknown {
		err := c.adoptObject(ctx, l, key, s)
		switch {
		case err == nil:
		case ctx.Err() != nil || gantry.Is(err, gantry.Unavailable):
			return err
		default:
			s.Failed++
			c.log.WarnContext(ctx, "adopt an object", "location", l.Name, "key", key, "error", err)
		}
	}
	return nil
}

func (c *Collector) adoptObject(ctx context.Context, l Location, key string, s *AdoptStats) error {
	if strings.HasPrefix(key, "uploads/") {
		s.Discarded++
		return l.Engine.Delete(ctx, key)
	}
	d, ok := gantry.DigestFromKey(key)
	if !ok {
		return nil // not ours
	}
	size, whole, err := c.hashObject(ctx, l, key, d, nil)
	switch {
	case gantry.Is(err, gantry.NotFound):
		return nil // deleted meanwhile
	case err != nil:
		return err
	case !whole:
		done, err := c.opts.Store.Discard(ctx, l.ID, d)
		if done && err == nil {
			s.Discarded++
		}
		return err
	}
	// Reading may have taken long, and an open object stays readable when it
	// is deleted. If it is there now, its key would still be fenced if it were
	// deleted before Adopt looks at the trash.
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	if info, err := l.Engine.Stat(ctx, key); gantry.Is(err, gantry.NotFound) || err == nil && info.Size != size {
		return nil
	} else if err != nil {
		return err
	}
	adopted, err := c.opts.Store.Adopt(ctx, l.ID, key, d, size)
	switch {
	case err != nil:
	case adopted:
		s.Adopted++
		s.Bytes += size
	default:
		s.Discarded++
	}
	return err
}

// sweepAge is how old an upload is of which Sweep removes what it left.
const sweepAge = 48 * time.Hour

// SweepAll removes what uploads that nobody goes on with left in storage and
// that no listing shows, such as parts of multipart uploads, and returns how
// many uploads those were.
func (c *Collector) SweepAll(ctx context.Context) (n int, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "sweep")()
	var errs []error
	for _, id := range c.ids {
		l := c.locations[id]
		s, ok := blob.As[blob.Sweeper](l.Engine)
		if !ok || c.opts.NoSweep {
			continue
		}
		swept, err := s.Sweep(ctx, c.opts.Now().Add(-sweepAge), func(ctx context.Context, key string) (bool, error) {
			return c.opts.Store.UploadAt(ctx, id, key)
		})
		n += swept
		if err != nil {
			errs = append(errs, fmt.Errorf("sweep uploads of %s: %w", l.Name, err))
		}
	}
	return n, errors.Join(errs...)
}

// RelocateAll gives blobs that were committed where they were uploaded their
// canonical key, which Quay reads too. A blob whose canonical key is in the
// trash waits for a later call.
func (c *Collector) RelocateAll(ctx context.Context) (s AdoptStats, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "relocate")()
	for _, id := range c.ids {
		l := c.locations[id]
		if up, _ := l.Health.up(true); !up {
			continue // another day
		}
		for after := ""; ; {
			all, last, err := c.opts.Store.Relocations(ctx, id, after, reviewBatch)
			if err != nil {
				return s, err
			}
			for _, r := range all {
				done, err := c.relocate(ctx, l, r)
				switch {
				case err == nil && done:
					s.Relocated++
				case err == nil:
				case ctx.Err() != nil || gantry.Is(err, gantry.Unavailable):
					return s, err
				default:
					s.Failed++
					c.log.WarnContext(ctx, "relocate a blob", "location", l.Name, "key", r.Path, "error", err)
				}
			}
			if last == after {
				break
			}
			after = last
		}
	}
	return s, nil
}

// relocate copies a blob to its canonical key. From the look at the trash to
// the commit it takes less than an hour, or it is for nothing.
func (c *Collector) relocate(ctx context.Context, l Location, r store.Relocation) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	err := l.Engine.Publish(ctx, r.Path, r.Digest.Key())
	if gantry.Is(err, gantry.Unsupported) {
		if s, ok := blob.As[blob.Copier](l.Engine); ok {
			err = s.Copy(ctx, r.Path, r.Digest.Key())
		} else {
			err = c.copyObject(ctx, l, r.Path, l, r.Digest.Key(), r.Digest)
		}
	}
	if gantry.Is(err, gantry.NotFound) {
		return false, nil // collected meanwhile, or lost: Verify tells
	}
	if err != nil {
		return false, err
	}
	return c.opts.Store.Relocate(ctx, r)
}

// copyObject copies bytes that must have the digest d. Where the engine can
// publish, a reader never sees a part of them.
func (c *Collector) copyObject(ctx context.Context, from Location, source string, to Location, key string, d gantry.Digest) (err error) {
	o, err := from.Engine.Open(ctx, source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	temp := "uploads/copy-" + strings.ToLower(rand.Text())
	u, err := to.Engine.Upload(ctx, temp, 0, nil)
	if err != nil {
		return err
	}
	published, err := c.copyInto(ctx, to, u, temp, o, key, d)
	err = errors.Join(err, u.Close())
	if !published {
		err = errors.Join(err, to.Engine.Abort(context.WithoutCancel(ctx), temp, nil))
	}
	return errors.Join(err, to.Engine.Delete(context.WithoutCancel(ctx), temp))
}

func (c *Collector) copyInto(ctx context.Context, to Location, u blob.Upload, temp string, o blob.Object, key string, d gantry.Digest) (complete bool, err error) {
	h := gantry.NewHash(d.Algorithm())
	if _, err := copyHashing(ctx, u, h, o, nil); err != nil {
		return false, err
	}
	if gantry.DigestOf(d.Algorithm(), h) != d {
		return false, fmt.Errorf("the bytes of %s have another digest", d)
	}
	err = blob.PublishUpload(ctx, to.Engine, u, temp, key)
	if !gantry.Is(err, gantry.Unsupported) {
		return err == nil, err
	}
	// An object store: it replaces an object at once, when the upload is
	// complete, and the bytes were checked.
	again, err := to.Engine.Open(ctx, temp)
	if err != nil {
		return true, err
	}
	defer func() { err = errors.Join(err, again.Close()) }()
	direct, err := to.Engine.Upload(ctx, key, 0, nil)
	if err != nil {
		return true, err
	}
	if _, err = io.Copy(direct, again); err == nil {
		err = direct.Complete(ctx)
	}
	return true, errors.Join(err, direct.Close())
}
