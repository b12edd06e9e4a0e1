package s3

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// How bytes come in. They fill the current part; a full one is sent while the
// next one fills, up to sending at a time. A blob that fits into one part is no
// multipart upload at all but one object. Bytes that have to be durable and are
// too few for a part are put into an object of their own, the tail, and taken
// back from there by who goes on with the upload. The same is done to a part
// that waits for its client while others wait for its memory.

const (
	// sending is how many parts of one upload are on their way at a time.
	sending = 5
	// uploadMark is the metadata that tells whose an object is.
	uploadMark = "gantry-upload"
)

var (
	errEnded       = errors.New("the upload has ended")
	errInterrupted = errors.New("the upload was interrupted")
	errMoved       = errors.New("another process has written parts of the upload")
)

// An upload is one that is open.
type upload struct {
	e       *Engine
	key     string
	session string          // in the names of the tails of this Upload
	ctx     context.Context //nolint:containedctx // of the parts on their way
	cancel  context.CancelCauseFunc
	touched atomic.Int64 // when the last call ended, in Unix nanoseconds
	// parkable says that memory is held that parking would free.
	parkable atomic.Bool

	mu      sync.Mutex // a call, or parking
	id      string     // of the multipart upload; "" = not begun
	mark    string     // metadata of the object that it makes
	parts   []part     // those on their way have no etag
	bytes   int64      // in parts
	chain   *chain     // of the parts that are known to be stored
	cur     buffer     // the part that is filling
	parked  *tail      // the bytes of that part, where they are not in memory; cur is empty then
	tails   []tail     // all that this session made or took over, the newest last
	stored  *tail      // of the last Sync, if nothing was written since
	vouched struct {
		id    string // the multipart upload that the last Sync vouches for
		tails int    // how many of tails it, and those before it, need
	}
	seq    int
	err    error // what every further call answers
	closed bool

	slots chan struct{} // one for each part on its way
	gone  sync.WaitGroup
	sent  struct {
		sync.Mutex
		etags map[int]string // of parts, by index; settle takes them
		err   error          // of the first part that failed
	}
}

// Upload implements blob.Engine.
func (e *Engine) Upload(ctx context.Context, key string, offset int64, st []byte) (blob.Upload, error) {
	if err := e.begin(ctx, key); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, blob.NoUpload(fmt.Errorf("offset %d", offset))
	}
	u := &upload{e: e, key: key, session: newMark(), chain: newChain(), slots: make(chan struct{}, sending)}
	u.sent.etags = map[int]string{}
	if offset > 0 || len(st) > 0 {
		s, err := parseState(st)
		if err != nil {
			return nil, err
		}
		if err := u.resume(ctx, offset, s); err != nil {
			return nil, err
		}
	}
	u.ctx, u.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	u.touched.Store(time.Now().UnixNano())
	e.pool.join(u)
	return u, nil
}

// resume makes u what it was at the Sync that returned s.
func (u *upload) resume(ctx context.Context, offset int64, s state) error {
	if s.size() != offset {
		return blob.NoUpload(fmt.Errorf("%d bytes are vouched for, not %d", s.size(), offset))
	}
	if s.ID != "" {
		parts, err := u.e.storedParts(ctx, u.key, s)
		if err != nil {
			return err
		}
		u.id, u.mark, u.parts, u.bytes = s.ID, s.Mark, parts, s.Bytes
		for _, p := range parts {
			u.chain.add(p)
		}
	}
	for _, name := range s.Old {
		u.tails = append(u.tails, tail{Name: name})
	}
	if s.Tail != nil {
		h, err := u.e.head(ctx, tailKey(u.key, s.Tail.Name))
		if gantry.Is(err, gantry.NotFound) || err == nil && aws.ToInt64(h.ContentLength) != s.Tail.Size {
			return blob.NoUpload(errors.Join(errors.New("the tail is not there"), err))
		}
		if err != nil {
			return err
		}
		u.parked, u.stored = s.Tail, s.Tail
		u.tails = append(u.tails, *s.Tail)
	}
	u.vouched.id, u.vouched.tails = u.id, len(u.tails)
	return nil
}

// storedParts returns the parts that s vouches for, as the service has them
// now. NotFound on "upload" if they are others.
func (e *Engine) storedParts(ctx context.Context, key string, s state) ([]part, error) {
	parts := make([]part, 0, s.Parts)
	var marker *string
	var bytes int64
	sum := newChain()
	for len(parts) < s.Parts {
		page, err := e.client.ListParts(ctx, &s3.ListPartsInput{Bucket: e.bucket(), Key: e.path(key), UploadId: aws.String(s.ID),
			PartNumberMarker: marker, MaxParts: aws.Int32(e.page)})
		if noUpload(err) {
			return nil, blob.NoUpload(err)
		}
		if err != nil {
			return nil, e.failed(ctx, "list parts of", key, err)
		}
		for _, p := range page.Parts {
			if len(parts) == s.Parts {
				break
			}
			if int(aws.ToInt32(p.PartNumber)) != len(parts)+1 {
				return nil, blob.NoUpload(fmt.Errorf("part %d is missing", len(parts)+1))
			}
			got := part{unquote(aws.ToString(p.ETag)), aws.ToInt64(p.Size)}
			parts = append(parts, got)
			bytes += got.size
			sum.add(got)
		}
		if !aws.ToBool(page.IsTruncated) || len(page.Parts) == 0 {
			break
		}
		marker = page.NextPartNumberMarker
	}
	if len(parts) < s.Parts || bytes != s.Bytes || sum.sum() != s.Chain {
		return nil, blob.NoUpload(errMoved)
	}
	return parts, nil
}

func unquote(etag string) string { return strings.Trim(etag, `"`) }

func tailKey(key, name string) string { return tailsFolder + "/" + key + "/" + name }

// enter begins a call; leave ends it. mu is held in between.
func (u *upload) enter() error {
	u.mu.Lock()
	u.parkable.Store(false) // who waits for memory is parked by take
	if u.err == nil {
		u.sent.Lock()
		u.err = u.sent.err
		u.sent.Unlock()
	}
	return u.err
}

func (u *upload) leave() {
	u.parkable.Store(u.err == nil && !u.closed && len(u.cur.blocks) > 0)
	u.touched.Store(time.Now().UnixNano())
	u.mu.Unlock()
}

// Write implements blob.Upload. It waits for memory for roomWithin at most.
func (u *upload) Write(p []byte) (n int, err error) {
	defer u.leave()
	if err := u.enter(); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		if u.full() {
			if u.err = u.send(u.ctx); u.err != nil {
				return n, u.err
			}
		}
		if u.parked != nil || u.cur.room() == 0 {
			if u.err = u.grow(u.ctx, u.size()); u.err != nil {
				return n, u.err
			}
		}
		size := u.size() - u.filled()
		m := u.cur.write(p[:min(int64(len(p)), size)])
		p, n = p[m:], n+m
		u.stored = nil
	}
	return n, nil
}

// Interrupt implements blob.Interrupter.
func (u *upload) Interrupt() { u.cancel(errInterrupted) }

// size is that of the part that is filling; filled, what it has.
func (u *upload) size() int64 { return partSize(u.e.first, len(u.parts)+1) }

func (u *upload) filled() int64 {
	if u.parked != nil {
		return u.parked.Size
	}
	return u.cur.n
}

func (u *upload) full() bool { return u.filled() == u.size() }

// grow takes memory for the part, which will have so many bytes at most, and
// what was parked back into it.
func (u *upload) grow(ctx context.Context, bytes int64) error {
	for {
		whole := int((bytes + blockSize - 1) / blockSize)
		want := 1
		if u.parked != nil || len(u.cur.blocks) >= firstBlocks {
			want = whole - len(u.cur.blocks)
		}
		blocks, err := u.e.pool.take(ctx, u, want)
		if err == errPark { //nolint:errorlint // from take
			if err := u.park(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		u.cur.blocks = append(u.cur.blocks, blocks...)
		return u.unpark(ctx)
	}
}

// unpark reads the bytes that were parked. There is memory for them.
func (u *upload) unpark(ctx context.Context) error {
	t := u.parked
	if t == nil {
		return nil
	}
	key := tailKey(u.key, t.Name)
	o, err := u.e.open(ctx, key)
	if err != nil {
		if gantry.Is(err, gantry.NotFound) {
			return blob.NoUpload(err)
		}
		return err
	}
	defer func() { _ = o.Close() }() // only read
	h := sha256.New()
	buf := make([]byte, 64<<10)
	u.cur.n = 0
	for left := t.Size; left > 0; {
		n, err := o.Read(buf[:min(left, int64(len(buf)))])
		h.Write(buf[:n])
		u.cur.write(buf[:n])
		if left -= int64(n); err != nil && left > 0 {
			return errors.Join(fmt.Errorf("%d bytes of a tail are missing", left), err)
		}
	}
	if hex.EncodeToString(h.Sum(nil)) != t.Sum {
		return blob.NoUpload(errors.New("the tail has other bytes"))
	}
	u.parked = nil
	return nil
}

// store puts the bytes of the part that is filling into an object.
func (u *upload) store(ctx context.Context) (*tail, error) {
	if u.stored != nil {
		return u.stored, nil
	}
	u.seq++
	t := tail{Name: fmt.Sprintf("%s%s-%d", blob.ReservedPrefix, u.session, u.seq), Size: u.cur.n, Sum: u.cur.sum()}
	key := tailKey(u.key, t.Name)
	if err := u.e.begin(ctx); err != nil {
		return nil, err
	}
	if len(u.e.o.Prefix)+len(key) > maxKey {
		return nil, gantry.Errorf(gantry.Invalid, "key", "the storage key is too long for an upload in pieces")
	}
	if err := u.e.put(ctx, key, &u.cur); err != nil {
		return nil, err
	}
	u.tails = append(u.tails, t)
	u.stored = &t
	return &t, nil
}

// park puts the bytes of the part that is filling away and frees their memory.
func (u *upload) park(ctx context.Context) error {
	if u.cur.n > 0 {
		t, err := u.store(ctx)
		if err != nil {
			return err
		}
		u.parked = t
	}
	u.e.pool.give(u.cur.blocks)
	u.cur = buffer{}
	return nil
}

// parkIdle parks while no call goes on; false: nothing was freed.
func (u *upload) parkIdle() bool {
	if !u.mu.TryLock() {
		return false
	}
	defer u.mu.Unlock()
	if u.err != nil || u.closed || len(u.cur.blocks) == 0 || u.parked != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(u.ctx, tidyWithin)
	defer cancel()
	if err := u.park(ctx); err != nil {
		u.touched.Store(time.Now().UnixNano()) // not at once again; the bytes are still here
		u.e.log.Warn("park a part", "location", u.e.o.Location, "key", u.key, "error", err)
		return false
	}
	u.parkable.Store(false)
	return true
}

// send sends the part that is filling on its way and begins the next.
func (u *upload) send(ctx context.Context) error {
	if len(u.parts) == maxParts {
		return gantry.Errorf(gantry.TooLarge, "blob", "the blob has more parts than the storage takes")
	}
	if u.id == "" {
		if err := u.start(ctx); err != nil {
			return err
		}
	}
	select {
	case u.slots <- struct{}{}:
	case <-ctx.Done():
		return u.e.failed(ctx, "upload", u.key, context.Cause(ctx))
	case <-u.ctx.Done():
		return context.Cause(u.ctx)
	}
	full := u.cur
	u.cur = buffer{}
	u.parts = append(u.parts, part{size: full.n})
	u.bytes += full.n
	u.stored = nil
	i := len(u.parts) - 1
	u.gone.Go(func() {
		defer func() {
			u.e.pool.give(full.blocks)
			<-u.slots
		}()
		etag, err := u.e.sendPart(u.ctx, u.key, u.id, i+1, &full)
		u.sent.Lock()
		defer u.sent.Unlock()
		if err != nil && u.sent.err == nil {
			u.sent.err = err
			u.cancel(err)
		}
		u.sent.etags[i] = etag
	})
	return nil
}

// start begins the multipart upload.
func (u *upload) start(ctx context.Context) error {
	u.mark = newMark()
	id, err := u.e.startUpload(ctx, u.key, u.mark)
	u.id = id
	return err
}

func newMark() string { return strings.ToLower(rand.Text()[:13]) }

func (e *Engine) startUpload(ctx context.Context, key, mark string) (id string, err error) {
	out, err := e.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: e.bucket(), Key: e.path(key),
		ContentType: aws.String(octets), ServerSideEncryption: e.encryption(), Metadata: map[string]string{uploadMark: mark}})
	if err != nil {
		return "", e.failed(ctx, "begin an upload of", key, err)
	}
	if e.o.Metrics != nil {
		e.o.Metrics.MultipartStarted.Inc()
	}
	return aws.ToString(out.UploadId), nil
}

func (e *Engine) sendPart(ctx context.Context, key, id string, n int, b *buffer) (etag string, err error) {
	out, err := e.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: e.bucket(), Key: e.path(key), UploadId: aws.String(id),
		PartNumber: aws.Int32(int32(n)) /* #nosec G115 -- at most maxParts */, Body: b.reader(), ContentLength: aws.Int64(b.n)})
	switch code, _ := codeOf(err); {
	case code == "NoSuchUpload":
		return "", blob.NoUpload(err)
	case err != nil:
		return "", e.failed(ctx, fmt.Sprintf("upload part %d of", n), key, err)
	}
	if etag = unquote(aws.ToString(out.ETag)); etag == "" {
		return "", e.failed(ctx, fmt.Sprintf("upload part %d of", n), key, errors.New("the service gives the part no ETag"))
	}
	return etag, nil
}

// settle waits for the parts on their way.
func (u *upload) settle(ctx context.Context) error {
	for i := range sending {
		select {
		case u.slots <- struct{}{}:
		case <-ctx.Done():
			for range i {
				<-u.slots
			}
			return u.e.failed(ctx, "upload", u.key, context.Cause(ctx))
		}
	}
	for range sending {
		<-u.slots
	}
	u.sent.Lock()
	defer u.sent.Unlock()
	if u.sent.err != nil {
		return u.sent.err
	}
	for i := u.chain.n; i < len(u.parts); i++ {
		u.parts[i].etag = u.sent.etags[i]
		u.chain.add(u.parts[i])
	}
	clear(u.sent.etags)
	return nil
}

// Sync implements blob.Upload.
func (u *upload) Sync(ctx context.Context) (b []byte, err error) {
	defer u.leave()
	if err := u.enter(); err != nil {
		return nil, err
	}
	if u.err = ctx.Err(); u.err != nil {
		return nil, u.err
	}
	if b, err = u.sync(ctx); err != nil {
		u.err = err
		return nil, err
	}
	return b, nil
}

func (u *upload) sync(ctx context.Context) ([]byte, error) {
	if u.bytes+u.filled() == 0 {
		return nil, nil
	}
	if u.full() {
		if u.parked != nil {
			if err := u.grow(ctx, u.filled()); err != nil {
				return nil, err
			}
		}
		if err := u.send(ctx); err != nil {
			return nil, err
		}
	}
	if err := u.settle(ctx); err != nil {
		return nil, err
	}
	s := state{ID: u.id, Mark: u.mark, Parts: len(u.parts), Bytes: u.bytes}
	if s.Parts > 0 {
		s.Chain = u.chain.sum()
	}
	switch {
	case u.parked != nil:
		s.Tail = u.parked
	case u.cur.n > 0:
		t, err := u.store(ctx)
		if err != nil {
			return nil, err
		}
		s.Tail = t
	}
	for len(u.tails) > keptTails {
		old := u.tails[0]
		u.tails = u.tails[1:]
		u.e.removeTails(u.key, old)
	}
	for _, t := range u.tails {
		if s.Tail == nil || t.Name != s.Tail.Name {
			s.Old = append(s.Old, t.Name)
		}
	}
	u.vouched.id, u.vouched.tails = u.id, len(u.tails)
	return s.marshal()
}

// removeTails removes tails that nobody needs, later.
func (e *Engine) removeTails(key string, tails ...tail) {
	if len(tails) == 0 {
		return
	}
	e.later(func(ctx context.Context) {
		for _, t := range tails {
			if err := e.remove(ctx, tailKey(key, t.Name)); err != nil {
				e.log.WarnContext(ctx, "remove a tail", "location", e.o.Location, "key", key, "error", err) // Sweep finds it
			}
		}
	})
}

// Complete implements blob.Upload.
func (u *upload) Complete(ctx context.Context) error {
	_, err := u.end(ctx, "")
	return err
}

// end completes the upload. A blob that is one part is stored as also too, if
// that is not "" and another key; published says that it was.
func (u *upload) end(ctx context.Context, also string) (published bool, err error) {
	defer u.leave()
	if err := u.enter(); err != nil {
		return false, err
	}
	if u.err = ctx.Err(); u.err != nil {
		return false, u.err
	}
	published, err = u.complete(ctx, also)
	if u.err = err; err == nil {
		u.err = errEnded
		u.e.removeTails(u.key, u.tails...)
		u.tails = nil
	}
	return published, err
}

func (u *upload) complete(ctx context.Context, also string) (published bool, err error) {
	if u.parked != nil {
		if err := u.grow(ctx, u.filled()); err != nil {
			return false, err
		}
	}
	if u.id == "" {
		if also == "" || also == u.key {
			return also != "", u.e.put(ctx, u.key, &u.cur)
		}
		second := make(chan error, 1)
		go func() { second <- u.e.put(ctx, also, &u.cur) }()
		err := u.e.put(ctx, u.key, &u.cur)
		return true, errors.Join(err, <-second)
	}
	if u.cur.n > 0 {
		if err := u.send(ctx); err != nil {
			return false, err
		}
	}
	if err := u.settle(ctx); err != nil {
		return false, err
	}
	return false, u.e.assemble(ctx, u.key, u.id, u.parts, u.mark)
}

// assemble completes a multipart upload. Parts that somebody else wrote in the
// meantime have other etags: the service refuses, and the error is NotFound on
// "upload". mark is the upload's.
func (e *Engine) assemble(ctx context.Context, key, id string, parts []part, mark string) error {
	list := make([]types.CompletedPart, len(parts))
	var size int64
	for i, p := range parts {
		list[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: aws.String(`"` + p.etag + `"`)}
		size += p.size
	}
	_, err := e.client.CompleteMultipartUpload(wait(ctx, assembleWithin), &s3.CompleteMultipartUploadInput{Bucket: e.bucket(), Key: e.path(key),
		UploadId: aws.String(id), MultipartUpload: &types.CompletedMultipartUpload{Parts: list}})
	if err == nil && e.o.Metrics != nil {
		e.o.Metrics.MultipartCompleted.Inc()
	}
	switch code, _ := codeOf(err); code {
	case "InvalidPart", "InvalidPartOrder":
		return blob.NoUpload(errors.Join(errMoved, err))
	}
	if noUpload(err) {
		// A try before this one may have done it, and its answer was lost.
		h, headErr := e.head(ctx, key)
		if headErr == nil && h.Metadata[uploadMark] == mark && aws.ToInt64(h.ContentLength) == size {
			return nil
		}
		return blob.NoUpload(err)
	}
	return e.failed(ctx, "complete the upload of", key, err)
}

// PublishUpload implements blob.UploadPublisher. A blob that is one part is
// stored under both keys at once, out of memory: that costs the time of one
// request. Of a larger one, Publish decides.
func (e *Engine) PublishUpload(ctx context.Context, up blob.Upload, to string) error {
	u, ok := up.(*upload)
	if !ok || u.e != e {
		return fmt.Errorf("publish upload: %T is not an upload of this engine", up)
	}
	if err := e.begin(ctx, to); err != nil {
		return err
	}
	published, err := u.end(ctx, to)
	if err != nil || published {
		return err
	}
	return e.Publish(ctx, u.key, to)
}

// Close implements blob.Upload.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.leave()
	if u.closed {
		return nil
	}
	u.closed = true
	u.e.pool.leave(u)
	completed := u.err == errEnded //nolint:errorlint // set by end
	u.err = errEnded
	u.cancel(errEnded)
	u.gone.Wait()
	u.e.pool.give(u.cur.blocks)
	u.cur = buffer{}
	if completed {
		return nil
	}
	// What came after the last Sync nobody can go on with.
	u.e.removeTails(u.key, u.tails[min(u.vouched.tails, len(u.tails)):]...)
	if u.id != u.vouched.id {
		u.e.later(func(ctx context.Context) {
			if err := u.e.abortUpload(ctx, u.key, u.id); err != nil {
				u.e.log.WarnContext(ctx, "abort an upload", "location", u.e.o.Location, "key", u.key, "error", err) // Sweep finds it
			}
		})
	}
	return nil
}

func (e *Engine) abortUpload(ctx context.Context, key, id string) error {
	_, err := e.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: e.bucket(), Key: e.path(key), UploadId: aws.String(id)})
	if noUpload(err) {
		return nil
	}
	return e.failed(ctx, "abort the upload of", key, err)
}

// Abort implements blob.Engine. Without a state, all multipart uploads of the
// key are aborted.
func (e *Engine) Abort(ctx context.Context, key string, st []byte) error {
	if err := e.begin(ctx, key); err != nil {
		return err
	}
	var ids []string
	if s, err := parseState(st); err == nil {
		if s.ID != "" {
			ids = append(ids, s.ID)
		}
	} else {
		for u, err := range e.uploads(ctx, key) {
			if err != nil {
				return err
			}
			if u.key == key {
				ids = append(ids, u.id)
			}
		}
	}
	for _, id := range slices.Compact(ids) {
		if err := e.abortUpload(ctx, key, id); err != nil {
			return err
		}
	}
	for info, err := range e.listRaw(ctx, tailsFolder+"/"+key+"/"+blob.ReservedPrefix, "") {
		if err != nil {
			return err
		}
		if err := e.remove(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}
