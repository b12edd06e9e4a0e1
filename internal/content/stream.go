package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// bufferSize is how many bytes are hashed and written at a time. An upload
// has at most streamBuffers of them.
const (
	bufferSize    = 256 << 10
	streamBuffers = 3
)

// stream takes the body in, hashing while it writes, at most until the upload
// has limit bytes. ses.received counts what was written, and ses.hash is of
// just that. An error of the body leaves the upload as it is; an error of
// storage ends it in memory.
func (s *Store) stream(ctx context.Context, ses *session, limit int64, body io.Reader) error {
	if body == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // what came before a client left is kept; it is the body that ends
	buf := s.buffers.Get().(*[]byte)
	n, err := fill(body, *buf)
	if err != nil { // all of it
		if n > 0 {
			if wrong := s.write(ctx, ses, limit, (*buf)[:n], nil); wrong != nil {
				err = wrong
			}
		}
		s.buffers.Put(buf)
		return ended(err)
	}
	h := newHasher(ses.hash)
	bufs := []*[]byte{buf}
	for err == nil {
		if err = s.write(ctx, ses, limit, (*buf)[:n], h); err != nil {
			break
		}
		if err = s.touch(ctx, ses); err != nil {
			break
		}
		if len(bufs) < streamBuffers {
			buf = s.buffers.Get().(*[]byte)
			bufs = append(bufs, buf)
		} else {
			// The oldest is free once the hash is at the one before the last.
			buf = bufs[h.sent%streamBuffers]
			h.wait(h.sent - streamBuffers + 1)
		}
		if n, err = fill(body, *buf); err != nil && n > 0 {
			if wrong := s.write(ctx, ses, limit, (*buf)[:n], h); wrong != nil {
				err = wrong
			}
		}
	}
	h.close()
	for _, b := range bufs {
		s.buffers.Put(b)
	}
	return ended(err)
}

// ended makes the end of a body no error.
func ended(err error) error {
	if err == io.EOF { //nolint:errorlint // by fill, from a Reader
		return nil
	}
	return err
}

// write appends p to the upload and hashes it, beside that if h is not nil.
func (s *Store) write(ctx context.Context, ses *session, limit int64, p []byte, h *hasher) error {
	if int64(len(p)) > limit-ses.received {
		return errTooLarge(limit)
	}
	if err := s.open(ctx, ses); err != nil {
		return err
	}
	if h != nil {
		h.add(p)
	}
	for {
		l := s.byID[ses.Location]
		file, interrupt := ses.file, func() {}
		if i, ok := file.(blob.Interrupter); ok {
			interrupt = i.Interrupt
		}
		err := s.within(ctx, ses, s.sources.timing.Patience, interrupt, func(context.Context) error {
			_, err := file.Write(p)
			return err
		})
		l.Health.Writes(0, err)
		if err == nil {
			break
		}
		if ses.received == 0 && s.elsewhere(ctx, ses, err) { // p is all that there is, and we have it
			if err := s.open(ctx, ses); err != nil {
				return err
			}
			continue
		}
		s.spoiled(ctx, ses)
		return s.uploadError(ctx, ses, "write upload", err)
	}
	if h == nil {
		ses.hash.Write(p)
	}
	ses.received += int64(len(p))
	return nil
}

// open opens the object of an upload where it is not.
func (s *Store) open(ctx context.Context, ses *session) error {
	if ses.file != nil {
		return nil
	}
	for {
		l := s.byID[ses.Location]
		began := time.Now()
		f, err := s.openUpload(ctx, l, ses)
		l.Health.Writes(time.Since(began), err)
		switch {
		case err == nil:
			ses.file, ses.made, ses.complete = f, true, false
			return nil
		case gantry.Is(err, gantry.NotFound):
			s.drop(ctx, ses)
			return errNoUpload()
		case ses.received > 0 || !s.elsewhere(ctx, ses, err):
			return s.uploadError(ctx, ses, "open upload", err)
		}
	}
}

// openUpload opens the object of an upload, unless its location is down and
// enough others try.
func (s *Store) openUpload(ctx context.Context, l Location, ses *session) (blob.Upload, error) {
	leave, ok := l.Health.enter(true)
	if !ok {
		return nil, errBreaker(l)
	}
	defer leave()
	var f blob.Upload
	err := s.within(ctx, ses, s.sources.timing.Stall, nil, func(ctx context.Context) (err error) {
		f, err = l.Engine.Upload(ctx, ses.Path, ses.received, ses.EngineState)
		return err
	})
	return f, err
}

// elsewhere gives an upload of which nothing was kept yet the next location,
// if there is one; err is why.
func (s *Store) elsewhere(ctx context.Context, ses *session, err error) bool {
	if !isFailure(err) || ctx.Err() != nil {
		return false
	}
	was := s.byID[ses.Location]
	ses.failed = append(ses.failed, was.ID)
	for _, l := range s.writeTo(ses.Namespace) {
		if slices.Contains(ses.failed, l.ID) {
			continue
		}
		s.log.WarnContext(ctx, "an upload goes to another location", "upload", ses.UUID, "from", was.Name, "to", l.Name, "error", err)
		if ses.made {
			s.closeFile(ses)
			s.remove(ctx, ses)
		}
		s.mu.Lock()
		ses.Location, ses.EngineState = l.ID, nil
		s.mu.Unlock()
		ses.made, ses.complete = false, false
		return true
	}
	return false
}

// spoiled gives up what is in memory of an upload whose object failed. With a
// row it can be resumed from there.
func (s *Store) spoiled(ctx context.Context, ses *session) {
	if ses.Version == 0 {
		s.drop(ctx, ses)
		return
	}
	s.closeFile(ses)
	ses.ended = true
	if !s.db.Exclusive() {
		u := ses.Upload
		u.Holder = ""
		if _, err := s.db.SaveUpload(context.WithoutCancel(ctx), u); err != nil {
			s.log.WarnContext(ctx, "give an upload back", "upload", ses.UUID, "error", err)
		}
	}
}

// fill reads until buf is full. io.EOF says that the body has ended, with n
// bytes in buf.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for idle := 0; n < len(buf); {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, io.EOF
		}
		if err != nil {
			return n, fmt.Errorf("read the blob: %w", err)
		}
		if idle++; m > 0 {
			idle = 0
		} else if idle == 100 {
			return n, errors.Join(errors.New("read the blob"), io.ErrNoProgress)
		}
	}
	return n, nil
}

// A hasher hashes what it is given, in order, in a goroutine of its own.
type hasher struct {
	todo chan []byte
	done chan struct{} // one for each buffer that was hashed
	sent int           // buffers given
	seen int           // of them, known to be hashed
}

func newHasher(w io.Writer) *hasher {
	h := &hasher{todo: make(chan []byte, streamBuffers), done: make(chan struct{}, streamBuffers+1)}
	go func() {
		defer close(h.done)
		for p := range h.todo {
			_, _ = w.Write(p) // a hash never fails
			h.done <- struct{}{}
		}
	}()
	return h
}

func (h *hasher) add(p []byte) {
	h.todo <- p
	h.sent++
}

// wait returns when the first n buffers are hashed.
func (h *hasher) wait(n int) {
	for h.seen < n {
		<-h.done
		h.seen++
	}
}

// close returns when all is hashed.
func (h *hasher) close() {
	close(h.todo)
	for range h.done { //nolint:revive // until the goroutine ends
	}
}
