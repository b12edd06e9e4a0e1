package proxycache

import (
	"context"
	"io"
	"time"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// fillAtOnce is how many manifests are taken at a time.
const fillAtOnce = 8

// Run fetches the blobs that no client fetched, makes manifests that have all
// of theirs ones of their repositories, and forgets those whose time is over,
// until ctx ends.
func (s *Store) Run(ctx context.Context) {
	for {
		if set := s.settings.Load(); set.On && !set.ReadOnly {
			more, err := s.round(ctx)
			if err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "fill proxy caches", "error", err)
			}
			if more && err == nil {
				continue
			}
		}
		t := time.NewTimer(s.o.fillEvery)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// round does what is due; more says that there may be more.
func (s *Store) round(ctx context.Context) (more bool, err error) {
	defer s.o.Metrics.Work(ctx, "proxycache", "round")()
	if _, err := s.db.SweepProxyManifests(ctx, 100); err != nil {
		return false, err
	}
	list, err := s.db.TakeProxyFill(ctx, fillAtOnce, fillAgain)
	if err != nil {
		return false, err
	}
	for i := range list {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := s.fill(ctx, &list[i]); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "a manifest of upstream cannot be completed; it is tried again", "repository", list[i].Repo, "digest", list[i].Digest, "error", err)
		}
	}
	return len(list) == fillAtOnce, nil
}

// fill completes a pending manifest.
func (s *Store) fill(ctx context.Context, p *store.ProxyManifest) error {
	r, u, err := s.find(ctx, p.Repo)
	switch {
	case gantry.Is(err, gantry.NotFound), err == nil && u == nil: // the repository is gone, or is no proxy's any more
		return s.db.DropProxyManifests(ctx, p.ID)
	case err != nil:
		return err
	}
	missing, err := s.missing(ctx, p)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if !s.settings.Load().Fill {
			return nil // for clients
		}
		need := int64(0)
		for _, b := range missing {
			need += b.Size
		}
		if err := s.makeRoom(ctx, u, need); err != nil {
			return err
		}
	}
	for _, b := range missing {
		if err := s.fetch(ctx, u, r, b); err != nil {
			return err
		}
	}
	if missing, err = s.missing(ctx, p); err != nil || len(missing) > 0 {
		return err // what came was not kept: the log says why
	}
	return s.settlePending(ctx, u, p)
}

// fetch brings a blob without a client.
func (s *Store) fetch(ctx context.Context, u *upstream, r store.Repository, b store.ProxyBlob) error {
	f := s.join(ctx, &away{u, r}, content.Blob{Digest: b.Digest, Size: b.Size})
	if f == nil {
		return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Detail: "there is no room on the disk for bytes on their way"}
	}
	defer f.leave()
	for off := int64(0); ; {
		err := f.wait(ctx, off)
		switch {
		case err == io.EOF: //nolint:errorlint // wait's own
			return nil
		case err != nil:
			return err
		}
		f.mu.Lock()
		off = f.have
		f.mu.Unlock()
		if off >= f.size { // and stored, or not
			return f.settled(ctx)
		}
	}
}

// settled waits for the end of a transfer whose bytes are all here.
func (f *flight) settled(ctx context.Context) error {
	for {
		f.mu.Lock()
		more, over, err := f.more, f.over, f.err
		f.mu.Unlock()
		if over {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
