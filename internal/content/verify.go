package content

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// throttle bounds a rate of bytes; nil = no bound.
type throttle struct {
	rate  int64 // bytes per second
	began time.Time
	done  int64
}

func (t *throttle) wait(ctx context.Context, n int) error {
	if t == nil || t.rate <= 0 {
		return ctx.Err()
	}
	t.done += int64(n)
	ahead := time.Duration(float64(t.done)/float64(t.rate)*float64(time.Second)) - time.Since(t.began)
	if ahead <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(ahead):
		return nil
	}
}

// hashObject reads an object and reports its size and whether it has the
// digest. The error is of reading it; NotFound when there is none.
func (c *Collector) hashObject(ctx context.Context, l Location, key string, d gantry.Digest, limit *throttle) (size int64, whole bool, err error) {
	o, err := l.Engine.Open(ctx, key)
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	h := gantry.NewHash(d.Algorithm())
	if h == nil {
		return 0, false, fmt.Errorf("no hash for %q", d)
	}
	size, err = copyHashing(ctx, io.Discard, h, o, limit)
	if err != nil {
		return size, false, fmt.Errorf("read object: %w", err)
	}
	return size, gantry.DigestOf(d.Algorithm(), h) == d, nil
}

func copyHashing(ctx context.Context, w io.Writer, h hash.Hash, r io.Reader, limit *throttle) (size int64, err error) {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			_, _ = h.Write(buf[:n]) // never fails
			if _, err := w.Write(buf[:n]); err != nil {
				return size, err
			}
			size += int64(n)
			if err := limit.wait(ctx, n); err != nil {
				return size, err
			}
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// VerifyOptions say how to verify. The zero value reads everything once, at
// full speed, and changes nothing but what the rows say of the objects.
type VerifyOptions struct {
	Rate int64 // bytes per second; 0 = no bound
	// Since leaves out what was verified after that time; zero = the start of
	// the call. A verification that was interrupted goes on when it is called
	// again with the time at which it first began.
	Since time.Time
	// Repair replaces bytes that are damaged by healthy ones of another
	// location.
	Repair bool
	// Only are the locations to verify; none = all.
	Only []int64
	// Told, unless nil, is called after each object; its error ends Verify.
	Told func(VerifyReport) error
	// Quarantine keeps a copy of damaged bytes under damaged/, where the
	// storage can do that without copying.
	Quarantine bool
}

// Damage is one object that does not hold its blob.
type Damage struct {
	Location string            `json:"location"`
	Key      string            `json:"key"`
	Digest   gantry.Digest     `json:"digest"`
	Missing  bool              `json:"missing"`  // there is no object at all
	Repaired bool              `json:"repaired"` // from another location
	Lost     bool              `json:"lost"`     // no location has healthy bytes
	Holders  []gantry.RepoName `json:"holders"`  // up to 10 repositories that hold the blob
}

// A VerifyReport says what Verify found.
type VerifyReport struct {
	Objects  int      `json:"objects"`
	Bytes    int64    `json:"bytes"`
	Failed   int      `json:"failed"`  // objects that could not be read; they are tried again next time
	Damaged  int      `json:"damaged"` // among them those of Damages, the first 1,000
	Repaired int      `json:"repaired"`
	Lost     int      `json:"lost"`
	Damages  []Damage `json:"damages"`
}

const maxDamages = 1000

// Verify reads the objects of all blobs, those verified longest ago first, and
// compares them with their digests. Damaged ones are not served any more; a
// push of the blob, or Repair, heals them.
func (c *Collector) Verify(ctx context.Context, o VerifyOptions) (r VerifyReport, err error) {
	defer c.opts.Metrics.Work(ctx, "gc", "verify")()
	r.Damages = []Damage{} // not null for who reads JSON
	if o.Since.IsZero() {
		o.Since = c.opts.Store.Now()
	}
	limit := &throttle{rate: o.Rate, began: time.Now()}
	for _, id := range c.ids {
		if len(o.Only) > 0 && !slices.Contains(o.Only, id) {
			continue
		}
		seen := map[gantry.BlobID]bool{} // of those that failed: their rows stay first
		for n := reviewBatch; ; {
			all, err := c.opts.Store.PlacementsToVerify(ctx, id, o.Since, n)
			if err != nil {
				return r, err
			}
			fresh := 0
			for _, p := range all {
				if seen[p.Blob] {
					continue
				}
				fresh++
				failed, err := c.verifyOne(ctx, c.locations[id], p, o, limit, &r)
				if err != nil {
					return r, err
				}
				if failed {
					seen[p.Blob] = true
				}
				if o.Told != nil {
					if err := o.Told(r); err != nil {
						return r, err
					}
				}
			}
			if fresh == 0 {
				break
			}
			n = reviewBatch + len(seen)
		}
	}
	return r, nil
}

// verifyOne verifies one placement. failed: it is not known how it is, or it
// was changed meanwhile.
func (c *Collector) verifyOne(ctx context.Context, l Location, p store.Placement, o VerifyOptions, limit *throttle, r *VerifyReport) (failed bool, err error) {
	size, whole, err := c.hashObject(ctx, l, p.Key(), p.Digest, limit)
	missing := gantry.Is(err, gantry.NotFound)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil && !missing:
		r.Failed++
		c.log.WarnContext(ctx, "verify an object", "location", l.Name, "key", p.Key(), "error", err)
		return true, nil
	}
	r.Objects++
	r.Bytes += size
	done, err := c.opts.Store.SetVerified(ctx, p, whole && !missing)
	if err != nil || !done || whole && !missing {
		return !done, err
	}
	d := Damage{Location: l.Name, Key: p.Key(), Digest: p.Digest, Missing: missing}
	c.log.ErrorContext(ctx, "an object does not hold its blob", "location", l.Name, "key", d.Key, "digest", d.Digest, "missing", missing)
	if o.Quarantine && !missing {
		aside := "damaged/" + p.Digest.Algorithm() + "-" + p.Digest.Hex()
		if err := l.Engine.Publish(ctx, p.Key(), aside); err != nil && !gantry.Is(err, gantry.Unsupported) {
			c.log.WarnContext(ctx, "keep damaged bytes", "location", l.Name, "key", d.Key, "error", err)
		}
	}
	places, err := c.opts.Store.BlobPlaces(ctx, p.Blob)
	if err != nil {
		return false, err
	}
	if o.Repair {
		d.Repaired = c.repair(ctx, l, p, places)
	}
	d.Lost = !d.Repaired && len(places) == 0
	if d.Holders, err = c.opts.Store.BlobHolders(ctx, p.Blob, 10); err != nil {
		return false, err
	}
	r.Damaged++
	if d.Repaired {
		r.Repaired++
	}
	if d.Lost {
		r.Lost++
	}
	if len(r.Damages) < maxDamages {
		r.Damages = append(r.Damages, d)
	}
	return false, ctx.Err()
}

// repair copies healthy bytes of another place over damaged ones.
func (c *Collector) repair(ctx context.Context, l Location, p store.Placement, places []store.Place) bool {
	for _, from := range places {
		other, ok := c.locations[from.Location]
		if !ok || from.Location == l.ID {
			continue
		}
		key := cmp.Or(from.Path, p.Digest.Key())
		err := c.copyObject(ctx, other, key, l, p.Key(), p.Digest)
		if err == nil {
			err = c.opts.Store.Repaired(ctx, p)
		}
		if err == nil {
			return true
		}
		c.log.WarnContext(ctx, "repair an object", "location", l.Name, "key", p.Key(), "from", other.Name, "error", err)
	}
	return false
}

// A DBReport says what VerifyDB found.
type DBReport struct {
	Flaws []store.Flaw `json:"flaws"` // none in a sound database
	// Queued is how much nothing kept and no review waited for; it is queued
	// for collection now.
	Queued int64 `json:"queued"`
}

// VerifyDB proves that every edge of the database leads somewhere and that
// usage is exact to the byte, and queues what collection had lost.
func (c *Collector) VerifyDB(ctx context.Context) (r DBReport, err error) {
	if r.Flaws, err = c.opts.Store.VerifyEdges(ctx); err != nil {
		return r, err
	}
	r.Flaws = append([]store.Flaw{}, r.Flaws...) // not null for who reads JSON
	r.Queued, err = c.opts.Store.QueueLost(ctx)
	return r, err
}
