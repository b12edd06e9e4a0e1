package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// stall is how long a read waits for the next byte.
	stall = 30 * time.Second
	// readTries bounds how often a stream is opened anew without a byte of
	// progress.
	readTries = 4
)

// A Range opens bytes [offset, offset+n) of one version of an object: never
// those of another that took its place. n is positive.
type Range func(ctx context.Context, offset, n int64) (io.ReadCloser, error)

// An Object is a blob.Object that is read by ranges. A stream that breaks is
// opened again where it broke.
type Object struct {
	size   int64
	open   Range
	lost   func(error) bool // no use to try again
	ctx    context.Context  // ends with Close
	cancel context.CancelFunc

	at   int64 // of the next Read
	body io.ReadCloser
	end  context.CancelFunc // of body's request
}

// NewObject returns an object of that size. lost says after which errors of
// open it makes no sense to try again. The object has ctx's values; it is not
// bound by ctx, but by Close.
func NewObject(ctx context.Context, size int64, open Range, lost func(error) bool) *Object {
	o := &Object{size: size, open: open, lost: lost}
	o.ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return o
}

// Size is the length in bytes.
func (o *Object) Size() int64 { return o.size }

// Read implements io.Reader.
func (o *Object) Read(p []byte) (n int, err error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), o.size-o.at)]
	for try := 1; ; try++ {
		if n, err = o.once(p); n > 0 {
			o.at += int64(n)
			return n, nil
		}
		o.drop()
		if o.ctx.Err() != nil {
			return 0, errors.New("the object is closed")
		}
		if try == readTries || o.lost(err) {
			return 0, err
		}
		if err := Sleep(o.ctx, time.Duration(try)*50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// once reads from the stream, which it opens first where there is none.
func (o *Object) once(p []byte) (int, error) {
	if o.body == nil {
		ctx, cancel := context.WithCancel(o.ctx)
		body, err := o.open(ctx, o.at, o.size-o.at)
		if err != nil {
			cancel()
			return 0, err
		}
		o.body, o.end = body, cancel
	}
	return patient(o.body, p, o.end)
}

// patient reads once; when nothing comes for too long, the request is ended.
func patient(r io.Reader, p []byte, end context.CancelFunc) (int, error) {
	timer := time.AfterFunc(stall, end)
	n, err := r.Read(p)
	late := !timer.Stop()
	switch {
	case n > 0:
		return n, nil
	case late:
		return 0, fmt.Errorf("nothing came for %v", stall)
	case err == nil:
		return 0, io.ErrNoProgress
	case errors.Is(err, io.EOF):
		return 0, io.ErrUnexpectedEOF // there are bytes to come
	}
	return 0, Bare(err)
}

func (o *Object) drop() {
	if o.body != nil {
		o.end()
		_ = o.body.Close() // only read
		o.body, o.end = nil, nil
	}
}

// ReadAt implements io.ReaderAt.
func (o *Object) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the beginning")
	}
	want := int(max(0, min(int64(len(p)), o.size-off)))
	for try := 1; n < want; try++ {
		var m int
		if m, err = o.some(p[n:want], off+int64(n)); m > 0 {
			n += m
			try = 0
			continue
		}
		if o.ctx.Err() != nil {
			return n, errors.New("the object is closed")
		}
		if try == readTries || o.lost(err) {
			return n, err
		}
		if err := Sleep(o.ctx, time.Duration(try)*50*time.Millisecond); err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// some reads what one request yields.
func (o *Object) some(p []byte, off int64) (n int, err error) {
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	body, err := o.open(ctx, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }() // only read
	for n < len(p) {
		m, err := patient(body, p[n:], cancel)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Seek implements io.Seeker.
func (o *Object) Seek(offset int64, whence int) (int64, error) {
	at, err := seek(offset, whence, o.at, o.size)
	if err == nil && at != o.at {
		o.drop()
		o.at = at
	}
	return at, err
}

// Close implements io.Closer.
func (o *Object) Close() error {
	o.cancel()
	o.drop()
	return nil
}

// Sleep waits for d, or until ctx is done, whose error it returns then.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
