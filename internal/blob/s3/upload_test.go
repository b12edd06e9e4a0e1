package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func begin(t testing.TB, e *Engine, key string, offset int64, state []byte) *upload {
	t.Helper()
	u, err := e.Upload(t.Context(), key, offset, state)
	if err != nil {
		t.Fatalf("Upload(%q, %d): %v", key, offset, err)
	}
	t.Cleanup(func() { _ = u.Close() }) // a second Close does nothing
	return u.(*upload)
}

func write(t testing.TB, u blob.Upload, p []byte) {
	t.Helper()
	if n, err := u.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write of %d bytes = %d, %v", len(p), n, err)
	}
}

func synced(t testing.TB, u blob.Upload) []byte {
	t.Helper()
	state, err := u.Sync(t.Context())
	if err != nil {
		t.Fatalf("Sync: %v", err)
	}
	return state
}

func is(err error, code gantry.Code, object string) bool {
	var e *gantry.Error
	return errors.As(err, &e) && e.Code == code && e.Object == object
}

// left lists everything in the bucket below the engine's prefix, and the
// multipart uploads.
func left(t testing.TB, e *Engine) (keys []string) {
	t.Helper()
	e.work.Wait() // what is removed in the background
	for info, err := range e.listRaw(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	for u, err := range e.uploads(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, "upload of "+u.key)
	}
	return keys
}

// Two processes go on with one upload in turns, over the border of a part and
// with listings of one entry; nothing is left over.
func TestUploadInTurns(t *testing.T) {
	o := optionsFor(t, servertest.S3(t))
	data := blobtest.Bytes(1, 24<<20)
	var state []byte
	at := 0
	for i, to := range []int{100, 4 << 20, 5 << 20, 11 << 20, 11<<20 + 1, 20 << 20, len(data)} {
		e := engineOf(t, o)
		e.page = 1
		u := begin(t, e, "uploads/turns", int64(at), state)
		write(t, u, data[at:to])
		state = synced(t, u)
		write(t, u, blobtest.Bytes(uint64(i), 6<<20)) // is dropped
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
		e.work.Wait()
		at = to
	}
	e := engineOf(t, o)
	u := begin(t, e, "uploads/turns", int64(at), state)
	if err := u.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := blobtest.Get(t, e, "uploads/turns"); !bytes.Equal(got, data) {
		t.Errorf("%d other bytes came out", len(got))
	}
	if err := e.Abort(t.Context(), "uploads/turns", state); err != nil { // tails of Syncs that were not recorded
		t.Fatal(err)
	}
	if keys := left(t, e); !slices.Equal(keys, []string{"uploads/turns"}) {
		t.Errorf("there are %q", keys)
	}
}

// Parts that another process overwrote are noticed: when the upload is taken
// up, and when it is completed.
func TestUploadOverwrittenByAnother(t *testing.T) {
	e := engineOf(t, optionsFor(t, servertest.S3(t)))
	data := blobtest.Bytes(1, 16<<20)
	u := begin(t, e, "uploads/o", 0, nil)
	write(t, u, data[:11<<20])
	state := synced(t, u)
	harm := func(n int32) {
		t.Helper()
		if _, err := e.client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: e.bucket(), Key: e.path("uploads/o"), UploadId: aws.String(u.id),
			PartNumber: aws.Int32(n), Body: bytes.NewReader(make([]byte, 5<<20))}); err != nil {
			t.Fatal(err)
		}
	}
	second := begin(t, e, "uploads/o", 11<<20, state)
	harm(1)
	if err := second.Complete(t.Context()); !is(err, gantry.NotFound, "upload") {
		t.Errorf("Complete = %v; want NotFound on upload", err)
	}
	if _, err := e.Upload(t.Context(), "uploads/o", 11<<20, state); !is(err, gantry.NotFound, "upload") {
		t.Errorf("Upload = %v; want NotFound on upload", err)
	}
	if _, _, err := e.Fork(t.Context(), "uploads/o", 11<<20, state, "uploads/p"); !is(err, gantry.NotFound, "upload") {
		t.Errorf("Fork = %v; want NotFound on upload", err)
	}
	if _, err := e.Stat(t.Context(), "uploads/o"); !is(err, gantry.NotFound, "object") {
		t.Errorf("an object came of it: %v", err)
	}
}

func TestFork(t *testing.T) {
	for _, through := range []bool{false, true} {
		for _, n := range []int{10, 5 << 20, 11 << 20} {
			t.Run(fmt.Sprintf("%d/through=%v", n, through), func(t *testing.T) {
				o := optionsFor(t, servertest.S3(t))
				o.NoPartCopy = through
				e, other := engineOf(t, o), engineOf(t, o)
				data := blobtest.Bytes(1, n+6<<20)
				slow := begin(t, e, "uploads/f", 0, nil)
				write(t, slow, data[:n])
				state := synced(t, slow)
				write(t, slow, blobtest.Bytes(2, 100)) // before the fork
				key, forked, err := other.Fork(t.Context(), "uploads/f", int64(n), state, "uploads/f-2")
				if err != nil || key != "uploads/f-2" {
					t.Fatalf("Fork = %q, %v", key, err)
				}
				_, _ = slow.Write(blobtest.Bytes(3, 12<<20)) // after it: may fail
				_ = slow.Complete(t.Context())
				_ = slow.Close()
				u := begin(t, other, key, int64(n), forked)
				write(t, u, data[n:])
				if err := u.Complete(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := blobtest.Get(t, e, key); !bytes.Equal(got, data) {
					t.Errorf("%d other bytes came out", len(got))
				}
				if _, _, err := other.Fork(t.Context(), "uploads/f", int64(n)+1, state, "uploads/f-3"); !is(err, gantry.NotFound, "upload") {
					t.Errorf("Fork behind the end = %v; want NotFound on upload", err)
				}
			})
		}
	}
}

func TestCopy(t *testing.T) {
	o := optionsFor(t, servertest.S3(t))
	o.MaxCopy = 10 << 20
	for _, large := range []bool{false, true} {
		e := engineOf(t, o)
		if large {
			e.copyLimit = 6 << 20
		}
		for _, n := range []int{0, 1, 13 << 20} {
			data := blobtest.Bytes(uint64(n), n)
			blobtest.Put(t, e, "a+b %c/é", data)
			if err := e.Copy(t.Context(), "a+b %c/é", "to"); err != nil {
				t.Fatalf("%d bytes, large=%v: %v", n, large, err)
			}
			if err := e.Delete(t.Context(), "a+b %c/é"); err != nil {
				t.Fatal(err)
			}
			if got := blobtest.Get(t, e, "to"); !bytes.Equal(got, data) {
				t.Errorf("%d bytes, large=%v: other bytes came out", n, large)
			}
		}
		if err := e.Copy(t.Context(), "none", "to"); !is(err, gantry.NotFound, "object") {
			t.Errorf("Copy of nothing = %v", err)
		}
	}
}

func TestPublishLarge(t *testing.T) {
	e := engineOf(t, optionsFor(t, servertest.S3(t)))
	blobtest.Put(t, e, "uploads/l", make([]byte, publishUpTo+1))
	if err := e.Publish(t.Context(), "uploads/l", "l"); !is(err, gantry.Unsupported, "publish") {
		t.Errorf("Publish = %v; want Unsupported", err)
	}
}

// What shares the bucket, and what is young or in use, stays.
func TestSweep(t *testing.T) {
	o := optionsFor(t, servertest.S3(t))
	e := engineOf(t, o)
	e.page = 1
	o.Prefix = "/other"
	foreign := engineOf(t, o)
	for _, x := range []*Engine{e, foreign} {
		for _, key := range []string{"uploads/1", "uploads/2", "uploads/3"} {
			u := begin(t, x, key, 0, nil)
			write(t, u, make([]byte, 6<<20))
			synced(t, u)
			if err := u.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	used := func(_ context.Context, key string) (bool, error) { return key == "uploads/2", nil }
	if n, err := e.Sweep(t.Context(), time.Now().Add(-time.Hour), used); n != 0 || err != nil {
		t.Errorf("Sweep of the young = %d, %v", n, err)
	}
	if n, err := e.Sweep(t.Context(), time.Now().Add(time.Hour), used); n != 4 || err != nil { // parts and tails of two
		t.Errorf("Sweep = %d, %v; want 4", n, err)
	}
	for _, key := range left(t, e) {
		if !strings.Contains(key, "uploads/2") {
			t.Errorf("%q is left", key)
		}
	}
	if keys := left(t, foreign); len(keys) != 6 {
		t.Errorf("of the others there are %q", keys)
	}
	boom := errors.New("boom")
	if _, err := e.Sweep(t.Context(), time.Now().Add(time.Hour), func(context.Context, string) (bool, error) { return false, boom }); !errors.Is(err, boom) {
		t.Errorf("Sweep = %v; want the error of inUse", err)
	}
}

// Many uploads that each hold a part-filled buffer end all the same, within
// the pool; those whose clients are slow make room for others.
func TestPool(t *testing.T) {
	const blocks, uploads = 80, 40
	o := optionsFor(t, servertest.S3(t))
	e := engineOf(t, o)
	e.pool = newPool(blocks)
	data := blobtest.Bytes(1, 7<<20)

	var slow []*upload // they hold all of the memory and go on only in the end
	for i := range 3 {
		u := begin(t, e, fmt.Sprintf("uploads/slow-%d", i), 0, nil)
		write(t, u, data[:4<<20])
		slow = append(slow, u)
	}
	var wg sync.WaitGroup
	for i := range uploads {
		wg.Go(func() {
			u, err := e.Upload(t.Context(), fmt.Sprintf("uploads/%d", i), 0, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = u.Close() }() // completed, or reported
			for rest := data; len(rest) > 0 && err == nil; {
				n := min(len(rest), 300<<10)
				_, err = u.Write(rest[:n])
				rest = rest[n:]
			}
			if err == nil {
				err = u.Complete(t.Context())
			}
			if err != nil {
				t.Errorf("upload %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i, u := range slow {
		write(t, u, data[4<<20:])
		if err := u.Complete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := blobtest.Get(t, e, fmt.Sprintf("uploads/slow-%d", i)); !bytes.Equal(got, data) {
			t.Errorf("slow upload %d has other bytes", i)
		}
	}
	for i := range uploads {
		if got := blobtest.Get(t, e, fmt.Sprintf("uploads/%d", i)); !bytes.Equal(got, data) {
			t.Errorf("upload %d has other bytes", i)
		}
	}
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.pool.free != blocks || e.pool.least < 0 || e.pool.parks == 0 || len(e.pool.queue) != 0 {
		t.Errorf("of %d blocks %d are free, %d at least; %d were parked, %d wait", blocks, e.pool.free, e.pool.least, e.pool.parks, len(e.pool.queue))
	}
}

// Where everybody waits for more and nobody can end, the last one makes room.
func TestPoolUnlocks(t *testing.T) {
	p := newPool(8)
	p.kept = 0
	e := &Engine{pool: p}
	a, b := &upload{e: e}, &upload{e: e}
	for _, u := range []*upload{a, b} {
		blocks, err := p.take(t.Context(), u, 4)
		if err != nil {
			t.Fatal(err)
		}
		u.cur.blocks = blocks
	}
	got := make(chan error, 1)
	go func() {
		_, err := p.take(t.Context(), a, 4)
		got <- err
	}()
	for queued := 0; queued == 0; {
		p.mu.Lock()
		queued = len(p.queue)
		p.mu.Unlock()
	}
	if _, err := p.take(t.Context(), b, 4); err != errPark { //nolint:errorlint // from take
		t.Fatalf("take of the last one = %v; want errPark", err)
	}
	p.give(b.cur.blocks)
	if err := <-got; err != nil {
		t.Errorf("take of the first one = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.take(ctx, &upload{e: e}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("take with a ctx that is done = %v", err)
	}
	if p.free != 0 || len(p.queue) != 0 {
		t.Errorf("%d blocks are free, %d wait", p.free, len(p.queue))
	}
}

func TestPartSizes(t *testing.T) {
	for _, c := range []struct{ least, largest, first int64 }{
		{0, 20 << 30, 5 << 20}, {5 << 20, 39 << 30, 5 << 20}, {5 << 20, 100 << 30, 13 << 20}, {1 << 20, 1, 5 << 20}, {1 << 30, 1, maxPart}, {0, 1 << 50, maxPart},
	} {
		first := firstPart(c.least, c.largest)
		if first != c.first {
			t.Errorf("firstPart(%d, %d) = %d; want %d", c.least, c.largest, first, c.first)
		}
		var sum int64
		for n := 1; n <= maxParts; n++ {
			size := partSize(first, n)
			if size < minPart || size > maxPart || n > 1 && size < partSize(first, n-1) || n <= evenParts && size != first {
				t.Fatalf("part %d of %d has %d bytes", n, first, size)
			}
			sum += size
		}
		if sum < min(c.largest, 512<<30) {
			t.Errorf("with parts of %d an object has %d bytes at most; want %d", first, sum, c.largest)
		}
	}
}

func FuzzState(f *testing.F) {
	s := state{ID: "id", Mark: "m", Parts: 2, Bytes: 10 << 20, Chain: strings.Repeat("ab", 32), Tail: &tail{blob.ReservedPrefix + "x-1", 5, strings.Repeat("cd", 32)},
		Old: []string{blob.ReservedPrefix + "x-0"}}
	b, err := s.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"tail":{"name":"../x","size":1,"sum":""}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			if !is(err, gantry.NotFound, "upload") {
				t.Fatalf("parseState = %v; want NotFound on upload", err)
			}
			return
		}
		if s.size() < 0 || s.Parts > maxParts || s.Tail != nil && strings.Contains(s.Tail.Name, "/") {
			t.Fatalf("parseState takes %+v", s)
		}
		again, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseState(again); err != nil {
			t.Fatalf("what marshal wrote of %q: %v", b, err)
		}
	})
}
