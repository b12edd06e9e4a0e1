package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gantry-registry/gantry/internal/blob"
)

const (
	// skipUpTo is how many bytes are read and dropped to go on with a request,
	// rather than to make a new one.
	skipUpTo = 256 << 10
	// resumes is how often in a row a read is continued by a new request
	// without having got a byte in between.
	resumes = 3
)

// errChanged is the failure to read an object that was replaced meanwhile.
var errChanged = errors.New("the object was replaced while it was read")

// An object reads one object: by one request from where it stands to the end,
// which it goes on with as long as it can.
type object struct {
	e      *Engine
	ctx    context.Context //nolint:containedctx // of the requests; Close ends them
	cancel context.CancelFunc
	key    string
	etag   string
	size   int64
	pos    int64
	body   io.ReadCloser // nil = none
	at     int64         // where body stands
	tries  int           // continuations without a byte
	closed bool
}

// Open implements blob.Engine. It is one request, and the read of the whole
// needs no other one.
func (e *Engine) Open(ctx context.Context, key string) (blob.Object, error) {
	if err := e.begin(ctx, key); err != nil {
		return nil, err
	}
	o, err := e.open(ctx, key)
	if err != nil {
		return nil, err // not o: it would be an interface that is not nil
	}
	return o, nil
}

func (e *Engine) open(ctx context.Context, key string) (*object, error) {
	o := &object{e: e, key: key}
	o.ctx, o.cancel = context.WithCancel(ctx)
	out, err := e.client.GetObject(o.ctx, &s3.GetObjectInput{Bucket: e.bucket(), Key: e.path(key)})
	if err != nil {
		o.cancel()
		if missing(err) {
			return nil, e.absent(ctx, key, err)
		}
		return nil, e.failed(ctx, "get", key, err)
	}
	e.saw()
	if out.ContentLength == nil || *out.ContentLength < 0 {
		o.cancel()
		return nil, errors.Join(e.failed(ctx, "get", key, errors.New("the service does not say how long the object is")), out.Body.Close())
	}
	o.etag, o.size, o.body = aws.ToString(out.ETag), *out.ContentLength, out.Body
	return o, nil
}

// request returns the bytes from off, n of them or, with -1, all.
func (o *object) request(off, n int64) (io.ReadCloser, error) {
	span := fmt.Sprintf("bytes=%d-", off)
	if n >= 0 {
		span = fmt.Sprintf("bytes=%d-%d", off, off+n-1)
	}
	in := &s3.GetObjectInput{Bucket: o.e.bucket(), Key: o.e.path(o.key), Range: aws.String(span)}
	if o.etag != "" {
		in.IfMatch = aws.String(o.etag)
	}
	out, err := o.e.client.GetObject(o.ctx, in)
	if err != nil {
		if missing(err) {
			return nil, o.e.absent(o.ctx, o.key, err)
		}
		if _, status := codeOf(err); status == http.StatusPreconditionFailed || status == http.StatusRequestedRangeNotSatisfiable {
			err = errChanged
		}
		return nil, o.e.failed(o.ctx, "get", o.key, err)
	}
	// A service that knows no If-Match or no Range says so by these.
	want := fmt.Sprintf("bytes %d-", off)
	if r := aws.ToString(out.ContentRange); aws.ToString(out.ETag) != o.etag || len(r) < len(want) || r[:len(want)] != want {
		return nil, errors.Join(o.e.failed(o.ctx, "get", o.key, errChanged), out.Body.Close())
	}
	return out.Body, nil
}

// Size implements blob.Object.
func (o *object) Size() int64 { return o.size }

// Seek implements io.Seeker. Nothing is requested before the next Read.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.pos
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	o.pos = offset
	return offset, nil
}

// Read implements io.Reader.
func (o *object) Read(p []byte) (int, error) {
	if o.closed {
		return 0, errors.New("the object is closed")
	}
	if o.pos >= o.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := o.seekBody(); err != nil {
			return 0, err
		}
		n, err := o.body.Read(p[:min(int64(len(p)), o.size-o.pos)])
		o.pos, o.at = o.pos+int64(n), o.at+int64(n)
		if n > 0 {
			o.tries = 0
			return n, nil // an error comes again
		}
		if err == nil {
			continue
		}
		// The connection broke: go on from here.
		o.drop()
		if o.ctx.Err() != nil || o.tries >= resumes {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, o.e.failed(o.ctx, "read", o.key, err)
		}
		o.tries++
	}
}

// seekBody makes body stand at pos.
func (o *object) seekBody() error {
	if o.body != nil && o.at <= o.pos && o.pos-o.at <= skipUpTo {
		n, err := io.CopyN(io.Discard, o.body, o.pos-o.at)
		if o.at += n; err == nil {
			return nil
		}
	} else if o.body != nil && o.at == o.pos {
		return nil
	}
	o.drop()
	body, err := o.request(o.pos, -1)
	if err != nil {
		return err
	}
	o.body, o.at = body, o.pos
	return nil
}

// drop gives the running request up. What little is left of it is read, so
// that its connection can be used again.
func (o *object) drop() {
	if o.body == nil {
		return
	}
	if o.size-o.at <= skipUpTo/4 && o.ctx.Err() == nil {
		_, _ = io.CopyN(io.Discard, o.body, o.size-o.at) // only for the connection
	}
	_ = o.body.Close() // only read
	o.body = nil
}

// ReadAt implements io.ReaderAt, by a request of its own. It may be called
// concurrently.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read before the beginning")
	}
	if off >= o.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), o.size-off)]
	if len(want) == 0 {
		return 0, nil
	}
	body, err := o.request(off, int64(len(want)))
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }() // only read
	n, err := io.ReadFull(body, want)
	if err != nil {
		return n, o.e.failed(o.ctx, "read", o.key, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (o *object) Close() error {
	if o.closed {
		return nil
	}
	o.closed = true
	o.drop()
	o.cancel()
	return nil
}
