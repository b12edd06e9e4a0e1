package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// commitWithin bounds the time between the look at what is there and the
// commit that relies on it (docs/design/store.md, U3 to U6).
const commitWithin = 45 * time.Minute

// Finish adds the last bytes (body may be empty or nil), checks the digest and
// commits: the blob is on stable storage when it returns. Errors as Append;
// Invalid on "digest" (DigestMismatch), which ends the upload.
func (s *Store) Finish(ctx context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader, want gantry.Digest, _ gantry.Actor) (Blob, error) {
	if err := s.writable(); err != nil {
		return Blob{}, err
	}
	h := gantry.NewHash(want.Algorithm())
	if h == nil {
		return Blob{}, gantry.Errorf(gantry.Invalid, "digest", "the digest algorithm is not supported; use sha256 or sha512")
	}
	ses, err := s.claim(ctx, repo, uuid)
	if err != nil {
		return Blob{}, err
	}
	defer s.release(ses)
	if ses.received == 0 {
		ses.hash, ses.Algorithm = h, want.Algorithm()
	}
	return s.finish(ctx, ses, offset, length, body, want)
}

// Push is a whole upload in one request.
func (s *Store) Push(ctx context.Context, repo gantry.RepoID, length int64, body io.Reader, want gantry.Digest, actor gantry.Actor) (Blob, error) {
	ses, err := s.begin(ctx, repo, want.Algorithm(), actor)
	if err != nil {
		return Blob{}, err
	}
	b, err := s.finish(ctx, ses, 0, length, body, want)
	if err != nil {
		s.drop(ctx, ses)
	}
	s.closeFile(ses)
	return b, err
}

// finish takes the last bytes in and commits. An upload that fails stays, with
// what was received, unless it has ended.
func (s *Store) finish(ctx context.Context, ses *session, offset, length int64, body io.Reader, want gantry.Digest) (Blob, error) {
	err := s.receive(ctx, ses, offset, length, body)
	if err == nil {
		err = s.checked(ctx, ses, want)
	}
	if err != nil {
		if !ses.ended {
			err = errors.Join(err, s.keep(ctx, ses, 1))
			s.show(ses)
		}
		return Blob{}, err
	}
	return Blob{Digest: want, Size: ses.received}, nil
}

// checked commits the upload if it has the digest.
func (s *Store) checked(ctx context.Context, ses *session, want gantry.Digest) error {
	got, err := s.digest(ctx, ses, want.Algorithm())
	if err != nil {
		return err
	}
	if got != want {
		s.drop(ctx, ses)
		return &gantry.Error{Code: gantry.Invalid, Object: "digest", Reason: gantry.DigestMismatch,
			Detail: "the bytes that were received have the digest " + string(got) + ", not " + string(want) + "; start a new upload"}
	}
	return s.commit(ctx, ses, want)
}

// digest returns the digest of what was received. Another algorithm than that
// of the upload costs a read of the whole.
func (s *Store) digest(ctx context.Context, ses *session, algorithm string) (gantry.Digest, error) {
	if algorithm == ses.Algorithm {
		return gantry.DigestOf(algorithm, ses.hash), nil
	}
	h := gantry.NewHash(algorithm)
	if err := s.completeFile(ctx, ses); err != nil {
		return "", err
	}
	l := s.byID[ses.Location]
	f, err := l.Engine.Open(ctx, ses.Path)
	if err != nil {
		return "", s.uploadError(ctx, ses, "open upload", err)
	}
	defer func() { _ = f.Close() }() // only read
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, *buf)
	if err == nil && n != ses.received {
		err = fmt.Errorf("%d bytes of %d", n, ses.received)
	}
	if err != nil {
		return "", s.storageError(ctx, l, "read upload", err)
	}
	return gantry.DigestOf(algorithm, h), nil
}

// completeFile completes the object of the upload at its Path.
func (s *Store) completeFile(ctx context.Context, ses *session) error {
	if ses.complete {
		return nil
	}
	if err := s.open(ctx, ses); err != nil {
		return err
	}
	err := s.within(ctx, ses, s.toSend(ses), nil, ses.file.Complete)
	s.byID[ses.Location].Health.Writes(0, err)
	if err != nil {
		s.drop(ctx, ses)
		return s.uploadError(ctx, ses, "complete upload", err)
	}
	s.closeFile(ses)
	ses.complete = true
	return nil
}

// commit makes the uploaded bytes the blob d of the repository: U3 to U6.
func (s *Store) commit(ctx context.Context, ses *session, d gantry.Digest) error {
	// The bytes are all here: a client that has gone away need not send them again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	l := s.byID[ses.Location]
	const tries = 5
	published, fenced := false, false
	for try := 1; ; try++ {
		plan, err := s.db.PlanCommit(ctx, d, l.ID)
		if err != nil {
			return err
		}
		c := store.BlobCommit{Repo: ses.Repo, Digest: d, Size: ses.received, Location: l.ID, Lease: s.Limits().Lease}
		if ses.Version > 0 {
			c.Upload, c.Version = ses.UUID, ses.Version
		}
		if home := s.home(ses.Namespace); home != 0 && home != l.ID && s.settings.Load().Replication {
			c.Wanted = []int64{home}
		}
		switch {
		case plan.Healthy:
			c.Unplaced = true
		case !plan.Fenced && !fenced && !published:
			if published, err = s.publish(ctx, l, ses, d); err != nil {
				return err
			}
		}
		if !c.Unplaced && (!published || plan.Fenced || fenced) {
			if err := s.completeFile(ctx, ses); err != nil {
				return err
			}
			c.Path = ses.Path
		}
		done, err := s.db.CommitBlob(ctx, c)
		switch {
		case err == nil:
			ses.ended = true
			if c.Path == "" || !done.Used {
				s.removeFile(ctx, ses)
			}
			return nil
		case try < tries && errors.Is(err, store.ErrKeyFenced):
			fenced = true
		case try < tries && errors.Is(err, store.ErrBlobGone):
		case errors.Is(err, store.ErrKeyFenced), errors.Is(err, store.ErrBlobGone):
			return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: time.Second,
				Detail: "the blob is being collected at this moment; try again", Err: err}
		default:
			return err
		}
	}
}

// publish gives the uploaded bytes their canonical key. It is false where the
// engine cannot do that without a copy.
func (s *Store) publish(ctx context.Context, l Location, ses *session, d gantry.Digest) (bool, error) {
	began := time.Now()
	var err error
	if ses.complete {
		err = s.within(ctx, ses, s.sources.timing.Stall, nil, func(ctx context.Context) error {
			return l.Engine.Publish(ctx, ses.Path, d.Key())
		})
	} else {
		if err := s.open(ctx, ses); err != nil {
			return false, err
		}
		err = s.within(ctx, ses, s.toSend(ses), nil, func(ctx context.Context) error {
			return blob.PublishUpload(ctx, l.Engine, ses.file, ses.Path, d.Key())
		})
		s.closeFile(ses)
		ses.complete = err == nil || gantry.Is(err, gantry.Unsupported)
		if !ses.complete {
			s.drop(ctx, ses)
		}
	}
	s.metrics.Storage(ctx, l.Name, "publish", time.Since(began), err)
	l.Health.Writes(0, err)
	switch {
	case gantry.Is(err, gantry.Unsupported):
		return false, nil
	case err != nil:
		return false, s.uploadError(ctx, ses, "publish", err)
	}
	return true, nil
}
