package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
)

const (
	// publishUpTo is the size of what Publish copies. A copy of that much costs
	// a push less time than its own upload did; of more, it would double the
	// work of the store while the client waits, and relocation does it later.
	publishUpTo = 32 << 20
	// copyPart is the size of the parts in which large objects are copied.
	copyPart = 512 << 20
	// copying is how many of them are copied at a time.
	copying = 4
)

// Publish implements blob.Engine. Objects of more than 32 MiB are
// gantry.Unsupported.
func (e *Engine) Publish(ctx context.Context, from, to string) error {
	if err := e.begin(ctx, from, to); err != nil {
		return err
	}
	h, err := e.head(ctx, from)
	if err != nil {
		return err
	}
	if aws.ToInt64(h.ContentLength) > publishUpTo {
		return blob.CannotPublish()
	}
	return e.copy(ctx, from, to, h)
}

// Copy implements blob.Copier.
func (e *Engine) Copy(ctx context.Context, from, to string) error {
	if err := e.begin(ctx, from, to); err != nil {
		return err
	}
	h, err := e.head(ctx, from)
	if err != nil {
		return err
	}
	return e.copy(ctx, from, to, h)
}

// copyWait is how long a copy of so many bytes may take.
func copyWait(bytes int64) time.Duration {
	return idleWithin + time.Duration(bytes/copyRate)*time.Second
}

// copy copies an object whose head is h.
func (e *Engine) copy(ctx context.Context, from, to string, h *s3.HeadObjectOutput) error {
	if from == to {
		return nil
	}
	size := aws.ToInt64(h.ContentLength)
	if size > e.copyLimit && !e.o.Google { // Google has no such limit, and no copies into parts
		return e.copyParts(ctx, from, to, h.ETag, size)
	}
	in := &s3.CopyObjectInput{Bucket: e.bucket(), Key: e.path(to), CopySource: e.source(from), ServerSideEncryption: e.encryption()}
	_, err := e.client.CopyObject(wait(ctx, copyWait(size)), in)
	if missing(err) {
		return e.absent(ctx, from, err)
	}
	return e.failed(ctx, "copy "+from+" to", to, err)
}

// copyParts copies an object in parts.
func (e *Engine) copyParts(ctx context.Context, from, to string, etag *string, size int64) error {
	mark := newMark()
	id, err := e.startUpload(ctx, to, mark)
	if err != nil {
		return err
	}
	parts, err := e.partsFrom(ctx, from, etag, size, to, id)
	if err == nil {
		err = e.assemble(ctx, to, id, parts, mark)
	}
	if err != nil {
		return errors.Join(err, e.giveUp(ctx, to, id))
	}
	return nil
}

// giveUp aborts an upload though ctx may be done.
func (e *Engine) giveUp(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
	defer cancel()
	return e.abortUpload(ctx, key, id)
}

// partsFrom makes the whole of an object the first parts of an upload.
func (e *Engine) partsFrom(ctx context.Context, from string, etag *string, size int64, to, id string) ([]part, error) {
	if e.o.NoPartCopy || e.o.Google {
		return e.partsThrough(ctx, from, size, to, id)
	}
	// As even as can be, so that none is too small.
	n := (size + min(copyPart, e.o.MaxCopy) - 1) / min(copyPart, e.o.MaxCopy)
	if n > maxParts {
		return nil, gantry.Errorf(gantry.TooLarge, "blob", "the blob needs more parts than the storage takes")
	}
	parts := make([]part, n)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	slots := make(chan struct{}, copying)
	for i := range n {
		off, end := size*i/n, size*(i+1)/n
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			out, err := e.client.UploadPartCopy(wait(ctx, copyWait(end-off)), &s3.UploadPartCopyInput{Bucket: e.bucket(), Key: e.path(to), UploadId: aws.String(id),
				PartNumber: aws.Int32(int32(i + 1)) /* #nosec G115 -- at most maxParts */, CopySource: e.source(from), CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", off, end-1)), CopySourceIfMatch: etag})
			switch {
			case missing(err):
				err = e.absent(ctx, from, err)
			case err != nil:
				err = e.failed(ctx, "copy a part of "+from+" to", to, err)
			case out.CopyPartResult == nil || aws.ToString(out.CopyPartResult.ETag) == "":
				err = e.failed(ctx, "copy a part of "+from+" to", to, errors.New("the service gives the part no ETag"))
			default:
				parts[i] = part{unquote(*out.CopyPartResult.ETag), end - off}
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return parts, context.Cause(ctx)
}

// partsThrough is partsFrom with the bytes through this process.
func (e *Engine) partsThrough(ctx context.Context, from string, size int64, to, id string) ([]part, error) {
	o, err := e.open(ctx, from)
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.Close() }() // only read
	if o.size != size {
		return nil, errChanged
	}
	var parts []part
	u := &upload{e: e} // holds nothing that could be parked
	for done := int64(0); done < size; {
		n := min(partSize(e.first, len(parts)+1), size-done)
		blocks, err := e.pool.take(ctx, u, int((n+blockSize-1)/blockSize))
		if err != nil {
			return nil, err
		}
		b := &buffer{blocks: blocks}
		var etag string
		if _, err = io.CopyN(writerTo{b}, o, n); err == nil {
			etag, err = e.sendPart(ctx, to, id, len(parts)+1, b)
		}
		e.pool.give(blocks)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{etag, n})
		done += n
	}
	return parts, nil
}

type writerTo struct{ b *buffer }

func (w writerTo) Write(p []byte) (int, error) {
	if n := w.b.write(p); n < len(p) {
		return n, io.ErrShortWrite
	}
	return len(p), nil
}

// Fork implements blob.Forker. The multipart upload of the other is completed
// with the parts that the state vouches for: from then on the service refuses
// whatever the other sends. What that makes is copied to where the fork goes
// on, by the service, and removed.
func (e *Engine) Fork(ctx context.Context, from string, offset int64, st []byte, to string) (key string, forked []byte, err error) {
	if err := e.begin(ctx, from, to); err != nil {
		return "", nil, err
	}
	if from == to {
		return "", nil, errors.New("an upload cannot be forked onto itself")
	}
	s, err := parseState(st)
	if err != nil {
		return "", nil, err
	}
	if s.size() != offset {
		return "", nil, blob.NoUpload(fmt.Errorf("%d bytes are vouched for, not %d", s.size(), offset))
	}
	f := state{}
	if s.Tail != nil { // first: what may fail here leaves the upload as it is
		if f.Tail, err = e.forkTail(ctx, from, *s.Tail, to); err != nil {
			return "", nil, err
		}
	}
	if s.ID != "" {
		if err := e.forkParts(ctx, from, s, to, &f); err != nil {
			return "", nil, err
		}
	}
	forked, err = f.marshal()
	return to, forked, err
}

func (e *Engine) forkTail(ctx context.Context, from string, t tail, to string) (*tail, error) {
	o, err := e.open(ctx, tailKey(from, t.Name))
	if gantry.Is(err, gantry.NotFound) {
		return nil, blob.NoUpload(err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.Close() }() // only read
	blocks, err := e.pool.take(ctx, &upload{e: e}, int((t.Size+blockSize-1)/blockSize))
	if err != nil {
		return nil, err
	}
	defer e.pool.give(blocks)
	b := &buffer{blocks: blocks}
	if o.size != t.Size {
		return nil, blob.NoUpload(errors.New("the tail has another size"))
	}
	if _, err := io.CopyN(writerTo{b}, o, t.Size); err != nil {
		return nil, err
	}
	if b.sum() != t.Sum {
		return nil, blob.NoUpload(errors.New("the tail has other bytes"))
	}
	t.Name = blob.ReservedPrefix + newMark() + "-0"
	return &t, e.put(ctx, tailKey(to, t.Name), b)
}

func (e *Engine) forkParts(ctx context.Context, from string, s state, to string, f *state) error {
	parts, err := e.storedParts(ctx, from, s)
	if err != nil {
		return err
	}
	if err := e.assemble(ctx, from, s.ID, slices.Clip(parts), s.Mark); err != nil {
		return err
	}
	h, err := e.head(ctx, from)
	if err != nil {
		return err
	}
	if aws.ToInt64(h.ContentLength) != s.Bytes || h.Metadata[uploadMark] != s.Mark {
		return blob.NoUpload(errMoved)
	}
	f.Mark, f.Bytes = newMark(), s.Bytes
	if f.ID, err = e.startUpload(ctx, to, f.Mark); err != nil {
		return err
	}
	if parts, err = e.partsFrom(ctx, from, h.ETag, s.Bytes, to, f.ID); err != nil {
		return errors.Join(err, e.giveUp(ctx, to, f.ID))
	}
	f.Parts = len(parts)
	sum := newChain()
	for _, p := range parts {
		sum.add(p)
	}
	f.Chain = sum.sum()
	e.later(func(ctx context.Context) {
		if err := e.remove(ctx, from); err != nil {
			e.log.WarnContext(ctx, "remove a forked upload", "location", e.o.Location, "key", from, "error", err)
		}
	})
	return nil
}
