package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// A parts keeps what a Writer stores.
type parts struct {
	mu  sync.Mutex
	all map[int][]byte
}

func (p *parts) store(_ context.Context, n int, body *Body) error {
	b, err := io.ReadAll(body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[int][]byte{}
	}
	if p.all[n] != nil {
		return fmt.Errorf("part %d comes twice", n)
	}
	p.all[n] = b
	return err
}

func (p *parts) join() []byte {
	var b []byte
	for _, n := range slices.Sorted(maps.Keys(p.all)) {
		b = append(b, p.all[n]...)
	}
	return b
}

func TestWriter(t *testing.T) {
	pool := NewPool(8 << 20)
	const most = 1<<20 + 100
	size := func(int) (int64, int64) { return 1000, most }
	var got parts
	w := pool.NewWriter(t.Context(), Plan{Store: got.store, First: 5, Size: size})
	want := random(9<<20 + 7)
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 100_003)
		if m, err := w.Write(rest[:n]); m != n || err != nil {
			t.Fatalf("Write = %d, %v", m, err)
		}
		rest = rest[n:]
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.join(), want) {
		t.Error("other bytes are stored")
	}
	for n, b := range got.all {
		if n < 5 || len(b) > most {
			t.Errorf("part %d has %d bytes", n, len(b))
		}
	}
	if _, ok, err := w.Whole(); ok || err != nil {
		t.Errorf("Whole = %v, %v", ok, err)
	}
	w.Close()
	w.Close()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Close")
	}
	if pool.free != 32 || len(pool.writers) != 0 {
		t.Errorf("%d pieces, %d writers are left", pool.free, len(pool.writers))
	}
}

func TestWhole(t *testing.T) {
	pool := NewPool(1 << 20)
	w := pool.NewWriter(t.Context(), Plan{Store: new(parts).store, Size: func(int) (int64, int64) { return 1 << 20, 1 << 20 }})
	want := random(Piece + 5)
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	b, ok, err := w.Whole()
	if err != nil || !ok || b.Size() != int64(len(want)) {
		t.Fatalf("Whole = %v, %v", ok, err)
	}
	if err := iotest.TestReader(b, want); err != nil {
		t.Error(err)
	}
	w.Close()
	if pool.free != 4 {
		t.Errorf("%d pieces are left", pool.free)
	}
}

// TestWriterFails tells everybody of the first error.
func TestWriterFails(t *testing.T) {
	boom := errors.New("boom")
	pool := NewPool(1 << 20)
	w := pool.NewWriter(t.Context(), Plan{Store: func(context.Context, int, *Body) error { return boom }, Size: func(int) (int64, int64) { return 1, Piece }})
	defer w.Close()
	n, err := w.Write(random(5 << 20))
	if err == nil {
		err = w.Flush(t.Context())
	}
	if !errors.Is(err, boom) {
		t.Errorf("Write = %d, %v", n, err)
	}
	if err := w.Flush(t.Context()); !errors.Is(err, boom) {
		t.Errorf("Flush = %v", err)
	}
}

// TestPoolTrickle has one writer that holds all memory and stops writing:
// after a while what it holds is stored, and others go on.
// TestInterrupt: a Write that waits for a store, or for memory, ends.
func TestInterrupt(t *testing.T) {
	for name, size := range map[string]int64{"a store": 64 * Piece, "memory": 4 * Piece} {
		t.Run(name, func(t *testing.T) {
			pool := NewPool(size)
			stuck := make(chan struct{}, 16)
			w := pool.NewWriter(t.Context(), Plan{Size: func(int) (int64, int64) { return Piece, Piece }, Store: func(ctx context.Context, _ int, _ *Body) error {
				stuck <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}})
			defer w.Close()
			go func() {
				<-stuck
				w.Interrupt()
			}()
			if _, err := w.Write(make([]byte, 16*Piece)); err == nil {
				t.Error("all was written")
			}
			if err := w.Flush(t.Context()); err == nil {
				t.Error("an interrupted writer flushes")
			}
		})
	}
}

func TestPoolTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := NewPool(1 << 20)
		size := func(int) (int64, int64) { return 1 << 20, 1 << 20 }
		var one, two parts
		idle := pool.NewWriter(t.Context(), Plan{Store: one.store, Size: size})
		defer idle.Close()
		if _, err := idle.Write(random(1 << 20)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w := pool.NewWriter(t.Context(), Plan{Store: two.store, Size: size})
		defer w.Close()
		want := random(3 << 20)
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(two.join(), want) || len(one.join()) != 1<<20 {
			t.Error("other bytes are stored")
		}
		if waited := time.Since(began); waited < staleAfter || waited > staleAfter+3*time.Second {
			t.Errorf("it waited %v", waited)
		}
	})
}

// TestPoolBound measures what all writers hold at a time.
func TestPoolBound(t *testing.T) {
	const pieces = 8
	pool := NewPool(pieces * Piece)
	var held, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var got parts
			w := pool.NewWriter(t.Context(), Plan{Size: func(int) (int64, int64) { return Piece, 4 * Piece }, Store: func(ctx context.Context, n int, b *Body) error {
				now := held.Add(b.Size())
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				defer held.Add(-b.Size())
				return got.store(ctx, n, b)
			}})
			defer w.Close()
			want := random(2<<20 + i)
			_, err := w.Write(want)
			if err == nil {
				err = w.Flush(t.Context())
			}
			if err != nil || !bytes.Equal(got.join(), want) {
				t.Errorf("writer %d: %v, %d bytes", i, err, len(got.join()))
			}
		})
	}
	wg.Wait()
	if most.Load() > pieces*Piece || pool.free != pieces {
		t.Errorf("up to %d bytes at a time, %d pieces are left", most.Load(), pool.free)
	}
}

func TestObject(t *testing.T) { synctest.Test(t, testObject) }

func testObject(t *testing.T) {
	want := random(2000)
	var opened atomic.Int64
	gone := errors.New("gone")
	broken := func(_ context.Context, offset, n int64) (io.ReadCloser, error) {
		if opened.Add(1)%3 == 0 {
			return nil, errors.New("not now")
		}
		return io.NopCloser(bytes.NewReader(want[offset:min(offset+n, offset+700)])), nil // breaks off
	}
	o := NewObject(t.Context(), int64(len(want)), broken, func(err error) bool { return errors.Is(err, gone) })
	if err := iotest.TestReader(o, want); err != nil {
		t.Error(err)
	}
	opened.Store(0)
	o = NewObject(t.Context(), 10, func(context.Context, int64, int64) (io.ReadCloser, error) { opened.Add(1); return nil, gone }, func(err error) bool { return errors.Is(err, gone) })
	if n, err := o.Read(make([]byte, 5)); n != 0 || !errors.Is(err, gone) || opened.Load() != 1 {
		t.Errorf("Read of what is gone = %d, %v after %d tries", n, err, opened.Load())
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if n, err := o.Read(make([]byte, 5)); n != 0 || err == nil {
		t.Errorf("Read after Close = %d, %v", n, err)
	}
}

// TestObjectStalls ends a stream in which nothing comes, and tries again.
func TestObjectStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		o := NewObject(t.Context(), 5, func(ctx context.Context, _, _ int64) (io.ReadCloser, error) {
			if opened++; opened == 1 {
				r, w := io.Pipe()
				context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) }) // as net/http
				return r, nil
			}
			return io.NopCloser(bytes.NewReader([]byte("12345"))), nil
		}, func(error) bool { return false })
		defer func() { _ = o.Close() }() // no error
		if b, err := io.ReadAll(o); string(b) != "12345" || err != nil || opened != 2 {
			t.Errorf("%q, %v, opened %d times", b, err, opened)
		}
	})
}

// TestGuard has a server that answers before it reads the body.
func TestGuard(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer s.Close()
	c := http.Client{Transport: Guard(NewTransport(nil, 0, 0))}
	for range 20 {
		body := &counted{left: 64 << 20}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL, io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = body.left
		resp, err := c.Do(r)
		if err != nil {
			continue // the connection broke first
		}
		// The race detector sees a Read that comes now.
		body.left = -1
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if body.left != -1 {
			t.Fatal("the body is read after the answer")
		}
	}
}

type counted struct{ left int64 }

func (c *counted) Read(p []byte) (int, error) {
	c.left -= int64(len(p))
	if c.left <= 0 {
		return 0, io.EOF
	}
	return len(p), nil
}
