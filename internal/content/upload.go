package content

import (
	"cmp"
	"context"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// How an upload is kept. What a client was told to be received is on stable
// storage, with the state of the hash at that byte, in a row: another process
// can go on with it, also after a power failure. Where no other process writes
// the database, an upload that was only begun has no row for its first second,
// for most are committed within it: one that is lost then has lost no byte.

const (
	// recordAfter is how long an upload that was only begun has no row.
	recordAfter = time.Second
	// idleFor is how long an upload without requests is kept open.
	idleFor = 30 * time.Second
	// touchEvery is how often a request that goes on shows that it does.
	touchEvery = 10 * time.Second
	// holderDead is how long the request of another process may show nothing
	// before its upload is taken over. One that lives after all loses what is not
	// in the row yet, and no more: its client goes on from there.
	holderDead = 25 * time.Second
	// claimWait is how long a request waits for the one before it to end: a
	// client that lost its connection is back before we see that it did.
	claimWait = 5 * time.Second
	// maxSessions bounds the uploads in memory; the others have only their row.
	maxSessions = 4096
	// keepWithin bounds what saves an upload whose request has ended.
	keepWithin = 2 * time.Minute
)

// A session is an upload in memory, while a request is at it and for a while
// after. Only the request that claimed it touches it.
type session struct {
	store.Upload             // as its row says; Version 0: there is no row yet
	hash         hash.Hash   // of the received bytes
	file         blob.Upload // nil: not open
	received     int64       // bytes written, of which Received are in the row
	made         bool        // there is an object at Path, or part of one
	complete     bool        // it is complete
	ended        bool        // committed, cancelled or lost
	failed       []int64     // locations that failed before the first byte was kept
	busy         chan struct{}
	used         time.Time // when the last request ended
	touched      time.Time
	shown        int64 // what Upload answers; under Store.mu
}

func errBusy() error {
	return &gantry.Error{Code: gantry.Conflict, Object: "upload", Retry: time.Second, Detail: "another request is writing this upload; wait for its end"}
}

func errNoUpload() error {
	return &gantry.Error{Code: gantry.NotFound, Object: "upload",
		Detail: "blob upload unknown to registry: it was finished, cancelled or left alone for too long; start again"}
}

// StartUpload begins an upload. algorithm is that of the digest to come;
// "" = sha256. NotFound on "repository"; ReadOnly on "registry"; Invalid on
// "digest" for an unknown algorithm; Denied on "quota" where no byte more fits.
func (s *Store) StartUpload(ctx context.Context, repo gantry.RepoID, algorithm string, actor gantry.Actor) (UploadStatus, error) {
	ses, err := s.begin(ctx, repo, algorithm, actor)
	if err != nil {
		return UploadStatus{}, err
	}
	if s.db.Exclusive() {
		ses.used = time.Now()
		s.mu.Lock()
		room := !s.closed && len(s.sessions) < maxSessions
		if room {
			s.sessions[ses.UUID] = ses
		}
		s.mu.Unlock()
		if room {
			return UploadStatus{UUID: ses.UUID}, nil
		}
	}
	if _, err := s.db.CreateUpload(ctx, ses.Upload); err != nil {
		return UploadStatus{}, err
	}
	return UploadStatus{UUID: ses.UUID}, nil
}

// begin makes a session that nobody knows yet.
func (s *Store) begin(ctx context.Context, repo gantry.RepoID, algorithm string, actor gantry.Actor) (*session, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	algorithm = cmp.Or(algorithm, gantry.SHA256)
	h := gantry.NewHash(algorithm)
	if h == nil {
		return nil, gantry.Errorf(gantry.Invalid, "digest", "the digest algorithm is not supported; use sha256 or sha512")
	}
	r, err := s.RepositoryByID(ctx, repo)
	if err != nil {
		return nil, err
	}
	if q, err := s.quota(ctx, r.Namespace); err != nil {
		return nil, err
	} else if q.Used >= q.Limit {
		return nil, q.Exceeded(r.Name.Namespace, q.Used+1)
	}
	to := s.writeTo(r.Namespace)
	if len(to) == 0 {
		return nil, errNoPlace()
	}
	id := uuid.NewString()
	return &session{hash: h, touched: time.Now(), Upload: store.Upload{UUID: id, Repo: repo, Actor: actor.Account,
		Namespace: r.Namespace, Location: to[0].ID, Path: "uploads/" + id, Algorithm: algorithm, Created: s.db.Now()}}, nil
}

// Upload returns how far an upload is; NotFound on "upload".
func (s *Store) Upload(ctx context.Context, repo gantry.RepoID, uuid string) (UploadStatus, error) {
	s.mu.Lock()
	ses := s.sessions[uuid]
	if ses != nil && ses.Version != loading {
		if ses.Repo != repo {
			s.mu.Unlock()
			return UploadStatus{}, errNoUpload()
		}
		n := ses.shown
		s.mu.Unlock()
		return UploadStatus{UUID: uuid, Received: n}, nil
	}
	s.mu.Unlock()
	u, err := s.db.Upload(ctx, repo, uuid)
	return UploadStatus{UUID: uuid, Received: u.Received}, err
}

// loading is the Version of a session whose row is being read.
const loading = -1

// claim gives the caller the upload alone until release. Errors: NotFound and
// Conflict on "upload".
func (s *Store) claim(ctx context.Context, repo gantry.RepoID, uuid string) (*session, error) {
	timeout := time.NewTimer(claimWait)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, &gantry.Error{Code: gantry.Unavailable, Object: "registry", Retry: 5 * time.Second, Detail: "the registry is stopping; try again"}
		}
		ses := s.sessions[uuid]
		if ses == nil {
			ses = &session{busy: make(chan struct{}), Upload: store.Upload{UUID: uuid, Version: loading}}
			s.sessions[uuid] = ses
			s.mu.Unlock()
			if err := s.load(ctx, repo, ses); err != nil {
				ses.ended = true
				s.release(ses)
				return nil, err
			}
			return ses, nil
		}
		if ses.busy == nil {
			if ses.Repo != repo {
				s.mu.Unlock()
				return nil, errNoUpload()
			}
			ses.busy = make(chan struct{})
			s.mu.Unlock()
			return ses, nil
		}
		busy := ses.busy
		s.mu.Unlock()
		select {
		case <-busy:
		case <-timeout.C:
			return nil, errBusy()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// load reads the row of an upload and makes it ours.
func (s *Store) load(ctx context.Context, repo gantry.RepoID, ses *session) error {
	u, err := s.db.Upload(ctx, repo, ses.UUID)
	if err != nil {
		return err
	}
	if _, ok := s.byID[u.Location]; !ok {
		return errNoUpload()
	}
	h := gantry.NewHash(u.Algorithm)
	if h == nil {
		return errNoUpload()
	}
	if u.Received > 0 {
		if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(u.HashState); err != nil {
			return fmt.Errorf("restore the hash of upload %s: %w", u.UUID, err)
		}
	}
	if !s.db.Exclusive() {
		if u.Holder != "" && u.Holder != s.process {
			if s.db.Now().Sub(u.Touched) < holderDead {
				return errBusy()
			}
			if err := s.takeOver(ctx, &u); err != nil {
				return err
			}
		}
		u.Holder = s.process
		if u.Version, err = s.db.SaveUpload(ctx, u); err != nil {
			return err
		}
	}
	s.mu.Lock()
	ses.Upload, ses.shown = u, u.Received
	s.mu.Unlock()
	ses.hash, ses.received, ses.touched = h, u.Received, time.Now()
	return nil
}

// takeOver gives an upload an object of its own: the process that held it may
// only be slow, and write on. An engine that can fork uploads does that;
// otherwise what there is gets a second name.
func (s *Store) takeOver(ctx context.Context, u *store.Upload) error {
	if u.Received == 0 {
		u.Path, u.EngineState = "uploads/"+u.UUID+"-"+uuid.NewString()[:8], nil
		return nil
	}
	path := "uploads/" + u.UUID + "-" + uuid.NewString()[:8]
	l := s.byID[u.Location]
	state := u.EngineState
	var err error
	if f, ok := blob.As[blob.Forker](l.Engine); ok {
		path, state, err = f.Fork(ctx, u.Path, u.Received, u.EngineState, path)
	} else {
		err = l.Engine.Publish(ctx, u.Path, path)
	}
	if err != nil && !gantry.Is(err, gantry.NotFound) && !gantry.Is(err, gantry.Unsupported) {
		return s.storageError(ctx, l, "take an upload over", err) // the next request tries again
	}
	if err != nil {
		s.log.WarnContext(ctx, "an upload of another process cannot be taken over", "upload", u.UUID, "holder", u.Holder, "error", err)
		return errNoUpload()
	}
	s.log.InfoContext(ctx, "upload taken over", "upload", u.UUID, "holder", u.Holder, "bytes", u.Received)
	u.Path, u.EngineState = path, state
	return nil
}

// release ends a claim.
func (s *Store) release(ses *session) {
	leave := ses.ended || !s.db.Exclusive()
	if leave {
		s.closeFile(ses)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if leave {
		delete(s.sessions, ses.UUID)
	}
	ses.used = time.Now()
	close(ses.busy)
	ses.busy = nil
}

func (s *Store) closeFile(ses *session) {
	if ses.file != nil {
		if err := ses.file.Close(); err != nil {
			s.log.Warn("close an upload", "upload", ses.UUID, "error", err)
		}
		ses.file = nil
	}
}

// show says how far the upload is.
func (s *Store) show(ses *session) UploadStatus {
	s.mu.Lock()
	ses.shown = ses.received
	s.mu.Unlock()
	return UploadStatus{UUID: ses.UUID, Received: ses.received}
}

// Append adds a chunk. offset is where it says it starts, or -1 for "at the
// end"; another one than the count received is Range on "upload". What arrived
// before an error of body is kept, and can be continued. length is
// the chunk's length in bytes if known, or -1; fewer bytes than that are
// Invalid on "size". Conflict on "upload" when another request is at it;
// TooLarge on "blob", and Denied on "quota", which end the upload.
func (s *Store) Append(ctx context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader) (UploadStatus, error) {
	if err := s.writable(); err != nil {
		return UploadStatus{}, err
	}
	ses, err := s.claim(ctx, repo, uuid)
	if err != nil {
		return UploadStatus{}, err
	}
	defer s.release(ses)
	began := time.Now()
	if err = s.receive(ctx, ses, offset, length, body); ses.ended {
		return UploadStatus{}, err
	}
	if kept := s.keep(ctx, ses, 1); kept != nil {
		return UploadStatus{}, errors.Join(err, kept)
	}
	s.metrics.Chunk(ctx, s.byID[ses.Location].Name, time.Since(began))
	return s.show(ses), err
}

// receive takes a chunk in.
func (s *Store) receive(ctx context.Context, ses *session, offset, length int64, body io.Reader) error {
	if offset >= 0 && offset != ses.received {
		return gantry.Errorf(gantry.Range, "upload", "the chunk begins at byte %d; the next byte of this upload is %d; go on from there", offset, ses.received)
	}
	before := ses.received
	limit, over, err := s.room(ctx, ses.Repo, before+max(length, 0))
	if err != nil {
		return err
	}
	err = errTooLarge(limit)
	if length <= limit-before {
		err = s.stream(ctx, ses, limit, body)
	}
	switch n := ses.received - before; {
	case gantry.Is(err, gantry.TooLarge):
		s.drop(ctx, ses)
		return over
	case err == nil && length >= 0 && n != length:
		return gantry.Errorf(gantry.Invalid, "size", "the chunk has %d bytes, not %d; go on from where the upload stands now", n, length)
	}
	return err
}

// room returns how large a blob may become in the repository, and what is said
// to one that becomes larger. bytes is how large it wants to be, as far as that
// is known.
//
// The quota is held exactly when a manifest is stored. Here it spares clients
// and disks what would be refused then: by an answer that may be a second old,
// without the uploads beside this one, and as if the namespace stored the blob
// nowhere else.
func (s *Store) room(ctx context.Context, repo gantry.RepoID, bytes int64) (limit int64, over, err error) {
	limit = s.Limits().Blob
	over = errTooLarge(limit)
	if !s.settings.Load().Quota.On {
		return limit, over, nil
	}
	r, err := s.RepositoryByID(ctx, repo)
	if err != nil {
		return 0, nil, err
	}
	q, err := s.quota(ctx, r.Namespace)
	if left := max(q.Limit-q.Used, 0); left < limit {
		limit, over = left, q.Exceeded(r.Name.Namespace, q.Used+max(bytes, left+1))
	}
	return limit, over, err
}

// quota is how much of its quota a namespace has used up.
func (s *Store) quota(ctx context.Context, ns gantry.AccountID) (store.QuotaState, error) {
	rule := s.settings.Load().Quota
	if !rule.On {
		return store.QuotaState{Limit: math.MaxInt64}, nil
	}
	return find(s, s.cache.quotas, ns, s.db.AccountsGeneration, nil, func() (store.QuotaState, term, error) {
		q, err := s.db.QuotaState(ctx, ns, rule)
		return q, term{until: s.db.Now().Add(cacheFor)}, err
	})
}

func errTooLarge(limit int64) error {
	return gantry.Errorf(gantry.TooLarge, "blob", "the blob is larger than allowed (%d bytes); split it, or ask the administrator to raise MAXIMUM_LAYER_SIZE", limit)
}

// keep puts what was received on stable storage, row and bytes. An upload
// without a row gets none below from bytes.
func (s *Store) keep(ctx context.Context, ses *session, from int64) error {
	if ses.Version == 0 && ses.received < from || ses.ended ||
		ses.Version > 0 && ses.received == ses.Received && s.db.Exclusive() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	u := ses.Upload
	u.Holder = ""
	if ses.received > 0 {
		state, err := ses.hash.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return fmt.Errorf("save the hash of upload %s: %w", ses.UUID, err)
		}
		u.HashState = state
	}
	if ses.file != nil {
		err := s.within(ctx, ses, s.toSend(ses), nil, func(ctx context.Context) (err error) {
			u.EngineState, err = ses.file.Sync(ctx)
			return err
		})
		s.byID[ses.Location].Health.Writes(0, err)
		if err != nil {
			s.drop(ctx, ses) // nothing of it can be trusted any more
			return s.uploadError(ctx, ses, "sync upload", err)
		}
	}
	u.Received = ses.received
	var err error
	if u.Version == 0 {
		u.Version = 1
		u.Namespace, err = s.db.CreateUpload(ctx, u)
	} else {
		u.Version, err = s.db.SaveUpload(ctx, u)
	}
	if err == nil {
		s.mu.Lock()
		ses.Upload = u
		s.mu.Unlock()
		return nil
	}
	if gantry.Is(err, gantry.Conflict) || gantry.Is(err, gantry.NotFound) {
		ses.ended = true // another process has it, or it is gone
	}
	return err
}

// touch shows that the upload goes on, so that its repository's blobs wait for
// it and no other process takes it.
func (s *Store) touch(ctx context.Context, ses *session) error {
	if time.Since(ses.touched) < touchEvery {
		return nil
	}
	ses.touched = time.Now()
	var err error
	if ses.Version == 0 {
		u := ses.Upload
		if u.Namespace, err = s.db.CreateUpload(ctx, u); err == nil {
			u.Version = 1
			s.mu.Lock()
			ses.Upload = u
			s.mu.Unlock()
		}
	} else {
		err = s.db.TouchUpload(ctx, ses.UUID, ses.Version)
	}
	if gantry.Is(err, gantry.Conflict) || gantry.Is(err, gantry.NotFound) {
		ses.ended = true
		return err
	}
	if err != nil {
		s.log.WarnContext(ctx, "touch an upload", "upload", ses.UUID, "error", err)
	}
	return nil
}

// drop ends an upload and removes what there is of it. What cannot be removed
// now, collection finds.
func (s *Store) drop(ctx context.Context, ses *session) {
	if ses.ended {
		return
	}
	ses.ended = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	s.removeFile(ctx, ses)
	if ses.Version > 0 {
		if _, err := s.db.DeleteUpload(ctx, ses.UUID, ses.Version); err != nil {
			s.log.WarnContext(ctx, "forget an upload", "upload", ses.UUID, "error", err)
		}
	}
}

// removeFile removes the object of an upload.
func (s *Store) removeFile(ctx context.Context, ses *session) {
	s.closeFile(ses)
	if ses.made || ses.Received > 0 {
		s.remove(ctx, ses)
	}
}

// removeWithin bounds the removal of an upload at a location that fails.
const removeWithin = 30 * time.Second

// remove removes the object of an upload, beside the request where the
// location fails: it may take long to say that it cannot. What is left there
// is swept by age.
func (s *Store) remove(ctx context.Context, ses *session) {
	l, id, path, state, complete := s.byID[ses.Location], ses.UUID, ses.Path, ses.EngineState, ses.complete
	remove := func(ctx context.Context) {
		var err error
		if complete {
			err = l.Engine.Delete(ctx, path)
		} else {
			err = l.Engine.Abort(ctx, path, state)
		}
		if err != nil {
			s.log.WarnContext(ctx, "remove an upload", "upload", id, "location", l.Name, "error", err)
		}
	}
	if up, _ := l.Health.up(true); up {
		remove(ctx)
		return
	}
	select {
	case s.removals <- struct{}{}:
	default: // enough try
		return
	}
	go func() {
		defer func() { <-s.removals }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
		defer cancel()
		remove(ctx)
	}()
}

// Cancel drops an upload; NotFound on "upload".
func (s *Store) Cancel(ctx context.Context, repo gantry.RepoID, uuid string) error {
	ses, err := s.claim(ctx, repo, uuid)
	if err != nil {
		return err
	}
	defer s.release(ses)
	s.drop(ctx, ses)
	return nil
}

// tend puts uploads away that wait for their next request too long.
func (s *Store) tend() {
	tick := time.NewTicker(recordAfter / 2)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
			if err := errors.Join(s.recordBegun(context.Background()), s.keepIdle(context.Background(), idleFor)); err != nil {
				s.log.Error("put uploads away", "error", err)
			}
		}
	}
}

// recordBegun gives the uploads their row that were begun a while ago and have
// received nothing.
func (s *Store) recordBegun(ctx context.Context) error {
	var errs []error
	for _, ses := range s.take(func(ses *session) bool { return ses.Version == 0 && time.Since(ses.used) >= recordAfter }) {
		used := ses.used
		if err := s.keep(ctx, ses, 0); err != nil && !gantry.Is(err, gantry.NotFound) {
			errs = append(errs, err)
		}
		s.release(ses)
		s.mu.Lock()
		if ses.busy == nil {
			ses.used = used
		}
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

// take claims the uploads that no request is at and that fit.
func (s *Store) take(fits func(*session) bool) (all []*session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ses := range s.sessions {
		if ses.busy == nil && fits(ses) {
			ses.busy = make(chan struct{})
			all = append(all, ses)
		}
	}
	return all
}

// keepIdle gives the uploads that no request is at, for so long, their row,
// and forgets them.
func (s *Store) keepIdle(ctx context.Context, idle time.Duration) error {
	var errs []error
	for _, ses := range s.take(func(ses *session) bool { return time.Since(ses.used) >= idle }) {
		err := s.keep(ctx, ses, 0)
		if err != nil && !gantry.Is(err, gantry.NotFound) {
			errs = append(errs, err)
		}
		s.closeFile(ses)
		if err == nil || ses.ended {
			ses.ended = true // here; the row has it
		}
		s.release(ses)
	}
	return errors.Join(errs...)
}
