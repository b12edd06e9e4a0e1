// Package blobtest is the suite that every blob.Engine passes, and a wrapper
// that lets an engine fail on command.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Suite says how to get engines. Only New is needed.
type Suite struct {
	// New returns an empty engine. It registers its cleanup with t.
	New func(t *testing.T) blob.Engine
	// Reopen returns a second engine on the objects of e, as another process
	// has it; nil goes on with e.
	Reopen func(t *testing.T, e blob.Engine) blob.Engine
	// Large is the size of the large object; 0 is 32 MiB.
	Large int
}

// Run runs the suite on engines from open.
func Run(t *testing.T, open func(t *testing.T) blob.Engine) {
	Suite{New: open}.Run(t)
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	if s.Reopen == nil {
		s.Reopen = func(_ *testing.T, e blob.Engine) blob.Engine { return e }
	}
	if s.Large == 0 {
		s.Large = 32 << 20
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T, Suite)
	}{
		{"Upload", testUpload},
		{"UploadReplaces", testUploadReplaces},
		{"UploadEnds", testUploadEnds},
		{"Large", testLarge},
		{"Resume", testResume},
		{"ResumeInSteps", testResumeInSteps},
		{"ResumeFromOlderSync", testResumeFromOlder},
		{"ResumeMissing", testResumeMissing},
		{"Abort", testAbort},
		{"Publish", testPublish},
		{"PublishReplaces", testPublishReplaces},
		{"PublishKeepsBytes", testPublishKeepsBytes},
		{"PublishConcurrently", testPublishConcurrently},
		{"PublishUpload", testPublishUpload},
		{"Read", testRead},
		{"ReadWhileDeleted", testReadWhileDeleted},
		{"Stat", testStat},
		{"Missing", testMissing},
		{"Delete", testDelete},
		{"List", testList},
		{"ListStops", testListStops},
		{"Keys", testKeys},
		{"Cancelled", testCancelled},
		{"Check", testCheck},
		{"Free", testFree},
		{"Faulty", testFaulty},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// Bytes returns n bytes that follow from seed, not compressible.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// Put makes an object.
func Put(t testing.TB, e blob.Engine, key string, data []byte) {
	t.Helper()
	u := open(t, e, key, 0, nil)
	write(t, u, data)
	if err := u.Complete(t.Context()); err != nil {
		t.Fatalf("Complete of %q: %v", key, err)
	}
	closeUpload(t, u)
}

// Get returns an object's bytes.
func Get(t testing.TB, e blob.Engine, key string) []byte {
	t.Helper()
	o, err := e.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	data, err := io.ReadAll(o)
	if err != nil {
		t.Fatalf("read of %q: %v", key, err)
	}
	if o.Size() != int64(len(data)) {
		t.Errorf("Size of %q = %d; %d bytes were read", key, o.Size(), len(data))
	}
	if err := o.Close(); err != nil {
		t.Errorf("Close of %q: %v", key, err)
	}
	return data
}

// Keys returns the keys that List yields.
func Keys(t testing.TB, e blob.Engine, prefix, after string) []string {
	t.Helper()
	keys := []string{}
	for info, err := range e.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, after, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func open(t testing.TB, e blob.Engine, key string, offset int64, state []byte) blob.Upload {
	t.Helper()
	u, err := e.Upload(t.Context(), key, offset, state)
	if err != nil {
		t.Fatalf("Upload(%q, %d): %v", key, offset, err)
	}
	t.Cleanup(func() { _ = u.Close() }) // a second Close does nothing
	return u
}

func write(t testing.TB, u blob.Upload, data []byte) {
	t.Helper()
	if n, err := u.Write(data); n != len(data) || err != nil {
		t.Fatalf("Write of %d bytes = %d, %v", len(data), n, err)
	}
}

func syncUpload(t testing.TB, u blob.Upload) []byte {
	t.Helper()
	state, err := u.Sync(t.Context())
	if err != nil {
		t.Fatalf("Sync: %v", err)
	}
	if len(state) > 64<<10 {
		t.Errorf("the state has %d bytes", len(state))
	}
	return state
}

func complete(t testing.TB, u blob.Upload) {
	t.Helper()
	if err := u.Complete(t.Context()); err != nil {
		t.Fatalf("Complete: %v", err)
	}
	closeUpload(t, u)
}

func closeUpload(t testing.TB, u blob.Upload) {
	t.Helper()
	if err := u.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func wantBytes(t testing.TB, e blob.Engine, key string, want []byte) {
	t.Helper()
	if got := Get(t, e, key); !bytes.Equal(got, want) {
		t.Errorf("%q has %d bytes (sha256 %x); want %d (%x)", key, len(got), sha256.Sum256(got), len(want), sha256.Sum256(want))
	}
}

func wantMissing(t testing.TB, e blob.Engine, key string) {
	t.Helper()
	if _, err := e.Stat(t.Context(), key); !isNot(err, gantry.NotFound, "object") {
		t.Errorf("Stat(%q) = %v; want NotFound on object", key, err)
	}
}

// isNot reports whether err is a gantry.Error of that code about that object.
func isNot(err error, code gantry.Code, object string) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == code && e.Object == object
}

// publish publishes, or skips the test where the engine cannot.
func publish(t testing.TB, e blob.Engine, from, to string) {
	t.Helper()
	err := e.Publish(t.Context(), from, to)
	if isNot(err, gantry.Unsupported, "publish") {
		t.Skip("the engine does not publish")
	}
	if err != nil {
		t.Fatalf("Publish(%q, %q): %v", from, to, err)
	}
}

func testUpload(t *testing.T, s Suite) {
	e := s.New(t)
	for name, parts := range map[string][]int{
		"nothing": {}, "empty write": {0}, "one byte": {1}, "odd": {1, 4095, 4097, 0, 65537}, "megabyte": {1 << 20},
	} {
		key := "uploads/" + name
		u := open(t, e, key, 0, nil)
		var want []byte
		for i, n := range parts {
			p := Bytes(uint64(len(want)+i), n)
			want = append(want, p...)
			write(t, u, p)
			clear(p) // the engine may not keep it
		}
		complete(t, u)
		wantBytes(t, e, key, want)
		wantBytes(t, s.Reopen(t, e), key, want)
	}
}

func testUploadReplaces(t *testing.T, s Suite) {
	e := s.New(t)
	Put(t, e, "a/b", Bytes(1, 5000))
	Put(t, e, "a/b", Bytes(2, 100))
	wantBytes(t, e, "a/b", Bytes(2, 100))
}

func testUploadEnds(t *testing.T, s Suite) {
	e := s.New(t)
	ctx := t.Context()
	u := open(t, e, "completed", 0, nil)
	write(t, u, []byte("abc"))
	if err := u.Complete(ctx); err != nil {
		t.Fatal(err)
	}
	wantUnusable(t, u)
	closeUpload(t, u)
	closeUpload(t, u)
	wantUnusable(t, u)
	wantBytes(t, e, "completed", []byte("abc"))

	u = open(t, e, "closed", 0, nil)
	write(t, u, []byte("abc"))
	closeUpload(t, u)
	wantUnusable(t, u)
}

func wantUnusable(t testing.TB, u blob.Upload) {
	t.Helper()
	if n, err := u.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("Write to an upload that ended = %d, %v", n, err)
	}
	if _, err := u.Sync(t.Context()); err == nil {
		t.Error("Sync of an upload that ended succeeds")
	}
	if err := u.Complete(t.Context()); err == nil {
		t.Error("Complete of an upload that ended succeeds")
	}
}

func testLarge(t *testing.T, s Suite) {
	e := s.New(t)
	data := Bytes(7, s.Large+12345)
	u := open(t, e, "uploads/large", 0, nil)
	sizes := []int{32 << 10, 1, 100_003, 1 << 20, 4095, 3 << 20}
	for i, rest := 0, data; len(rest) > 0; i++ {
		n := min(sizes[i%len(sizes)], len(rest))
		write(t, u, rest[:n])
		rest = rest[n:]
	}
	complete(t, u)
	wantBytes(t, e, "uploads/large", data)
}

func testResume(t *testing.T, s Suite) {
	for name, c := range map[string]struct{ synced, lost, more int }{
		"nothing lost": {5000, 0, 3000}, "some lost": {5000, 4000, 3000}, "more lost than comes": {5000, 9000, 10},
		"nothing more": {5000, 700, 0}, "megabytes": {6 << 20, 1 << 20, 6 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			e := s.New(t)
			data := Bytes(3, c.synced+c.more)
			u := open(t, e, "uploads/r", 0, nil)
			write(t, u, data[:c.synced])
			state := syncUpload(t, u)
			if c.lost > 0 {
				write(t, u, Bytes(4, c.lost))
			}
			closeUpload(t, u)
			e = s.Reopen(t, e)
			u = open(t, e, "uploads/r", int64(c.synced), state)
			write(t, u, data[c.synced:])
			complete(t, u)
			wantBytes(t, s.Reopen(t, e), "uploads/r", data)
		})
	}
}

// Many small chunks, each resumed from the last, as docker and skopeo send them
// through several servers.
func testResumeInSteps(t *testing.T, s Suite) {
	e := s.New(t)
	var want, state []byte
	for i, n := range []int{0, 10, 0, 70_000, 1, 300_000, 5} {
		u := open(t, e, "uploads/steps", int64(len(want)), state)
		p := Bytes(uint64(i), n)
		write(t, u, p)
		want = append(want, p...)
		state = syncUpload(t, u)
		if again := syncUpload(t, u); len(p) == 0 {
			state = again
		}
		closeUpload(t, u)
		e = s.Reopen(t, e)
	}
	u := open(t, e, "uploads/steps", int64(len(want)), state)
	complete(t, u)
	wantBytes(t, e, "uploads/steps", want)
}

// A Sync whose state was never recorded: the process died in between.
func testResumeFromOlder(t *testing.T, s Suite) {
	e := s.New(t)
	data := Bytes(5, 300_000)
	u := open(t, e, "uploads/o", 0, nil)
	write(t, u, data[:100_000])
	state := syncUpload(t, u)
	write(t, u, Bytes(6, 150_000))
	syncUpload(t, u)
	closeUpload(t, u)
	u = open(t, s.Reopen(t, e), "uploads/o", 100_000, state)
	write(t, u, data[100_000:])
	complete(t, u)
	wantBytes(t, e, "uploads/o", data)
}

func testResumeMissing(t *testing.T, s Suite) {
	e := s.New(t)
	ctx := t.Context()
	u := open(t, e, "uploads/short", 0, nil)
	write(t, u, []byte("12345"))
	state := syncUpload(t, u)
	closeUpload(t, u)
	if u, err := e.Upload(ctx, "uploads/short", 6, state); !isNot(err, gantry.NotFound, "upload") {
		t.Errorf("Upload behind the end = %v, %v; want NotFound on upload", u, err)
	}
	if u, err := e.Upload(ctx, "uploads/short", -1, state); err == nil {
		t.Errorf("Upload at -1 = %v, nil; want an error", u)
	}
	if err := e.Abort(ctx, "uploads/short", state); err != nil {
		t.Fatal(err)
	}
	if u, err := e.Upload(ctx, "uploads/short", 5, state); !isNot(err, gantry.NotFound, "upload") {
		t.Errorf("Upload after Abort = %v, %v; want NotFound on upload", u, err)
	}
	if u, err := e.Upload(ctx, "nowhere/at/all", 5, nil); !isNot(err, gantry.NotFound, "upload") {
		t.Errorf("Upload of nothing = %v, %v; want NotFound on upload", u, err)
	}
}

func testAbort(t *testing.T, s Suite) {
	e := s.New(t)
	u := open(t, e, "uploads/a", 0, nil)
	write(t, u, Bytes(1, 100_000))
	state := syncUpload(t, u)
	closeUpload(t, u)
	for range 2 {
		if err := e.Abort(t.Context(), "uploads/a", state); err != nil {
			t.Fatalf("Abort: %v", err)
		}
		wantMissing(t, e, "uploads/a")
	}
	if err := e.Abort(t.Context(), "never/there", nil); err != nil {
		t.Errorf("Abort of nothing: %v", err)
	}
	Put(t, e, "uploads/a", []byte("new")) // the key works again
	wantBytes(t, e, "uploads/a", []byte("new"))
}

func testPublish(t *testing.T, s Suite) {
	e := s.New(t)
	data := Bytes(1, 70_000)
	Put(t, e, "uploads/p", data)
	for range 2 { // a second time: the same
		publish(t, e, "uploads/p", "sha256/ab/abcd")
		wantBytes(t, e, "uploads/p", data)
		wantBytes(t, s.Reopen(t, e), "sha256/ab/abcd", data)
	}
	publish(t, e, "uploads/p", "uploads/p")
	publish(t, e, "sha256/ab/abcd", "sha256/ac/acdc") // from a published name
	wantBytes(t, e, "sha256/ac/acdc", data)
	if got, want := Keys(t, e, "", ""), []string{"sha256/ab/abcd", "sha256/ac/acdc", "uploads/p"}; !slices.Equal(got, want) {
		t.Errorf("there are %q; want %q", got, want)
	}
	for _, from := range []string{"uploads/none", "none/none"} {
		for _, to := range []string{"sha256/ff/ff", from} {
			if err := e.Publish(t.Context(), from, to); !isNot(err, gantry.NotFound, "object") {
				t.Errorf("Publish(%q, %q) = %v; want NotFound on object", from, to, err)
			}
		}
	}
}

func testPublishReplaces(t *testing.T, s Suite) {
	e := s.New(t)
	Put(t, e, "uploads/1", Bytes(1, 1000))
	Put(t, e, "uploads/2", Bytes(2, 2000))
	publish(t, e, "uploads/1", "sha256/aa/aa")
	o, err := e.Open(t.Context(), "sha256/aa/aa")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }() // only read
	publish(t, e, "uploads/2", "sha256/aa/aa")
	wantBytes(t, e, "sha256/aa/aa", Bytes(2, 2000))
	wantBytes(t, e, "uploads/1", Bytes(1, 1000))
	if got, err := io.ReadAll(o); err == nil && !bytes.Equal(got, Bytes(1, 1000)) {
		t.Error("an object that was open reads other bytes after it was replaced")
	}
	if got, want := Keys(t, e, "sha256/", ""), []string{"sha256/aa/aa"}; !slices.Equal(got, want) {
		t.Errorf("there are %q; want %q", got, want)
	}
}

// The two names are independent.
func testPublishKeepsBytes(t *testing.T, s Suite) {
	for name, spoil := range map[string]func(t *testing.T, e blob.Engine, state []byte){
		"upload anew": func(t *testing.T, e blob.Engine, _ []byte) { Put(t, e, "uploads/k", []byte("other")) },
		"delete": func(t *testing.T, e blob.Engine, _ []byte) {
			if err := e.Delete(t.Context(), "uploads/k"); err != nil {
				t.Fatal(err)
			}
		},
		// The commit never ended, so the upload goes on from its last Sync.
		"resume": func(t *testing.T, e blob.Engine, state []byte) {
			u, err := e.Upload(t.Context(), "uploads/k", 1000, state)
			if isNot(err, gantry.NotFound, "upload") {
				return // fine too: the client starts again
			}
			if err != nil {
				t.Fatal(err)
			}
			write(t, u, []byte("other"))
			complete(t, u)
			wantBytes(t, e, "uploads/k", append(Bytes(1, 1000), "other"...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := s.New(t)
			data := Bytes(1, 5000)
			u := open(t, e, "uploads/k", 0, nil)
			write(t, u, data[:1000])
			state := syncUpload(t, u)
			write(t, u, data[1000:])
			complete(t, u)
			publish(t, e, "uploads/k", "sha256/aa/aa")
			spoil(t, e, state)
			wantBytes(t, e, "sha256/aa/aa", data)
		})
	}
}

func testPublishConcurrently(t *testing.T, s Suite) {
	e := s.New(t)
	const n, rounds = 8, 5
	Put(t, e, "uploads/x", nil)
	publish(t, e, "uploads/x", "x")
	data := Bytes(9, 20_000)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			from := fmt.Sprintf("uploads/%d", i)
			for r := range rounds {
				u, err := e.Upload(t.Context(), from, 0, nil)
				if err == nil {
					_, err = u.Write(data)
				}
				if err == nil {
					err = blob.PublishUpload(t.Context(), e, u, from, "sha256/cc/cc")
				}
				if err != nil {
					t.Errorf("round %d of %s: %v", r, from, err)
					return
				}
				if err := u.Close(); err != nil {
					t.Error(err)
				}
				if r%2 == 0 {
					err = e.Publish(t.Context(), from, "sha256/cc/cc")
				}
				if err != nil {
					t.Errorf("round %d of %s: %v", r, from, err)
				}
				o, err := e.Open(t.Context(), "sha256/cc/cc")
				if err != nil {
					t.Errorf("round %d of %s: after publishing: %v", r, from, err)
					return
				}
				if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, data) {
					t.Errorf("round %d of %s: %d bytes, %v; want %d", r, from, len(got), err, len(data))
				}
				_ = o.Close() // only read
			}
		})
	}
	wg.Wait()
	if got := Keys(t, e, "sha256/", ""); !slices.Equal(got, []string{"sha256/cc/cc"}) {
		t.Errorf("there are %q", got)
	}
}

func testPublishUpload(t *testing.T, s Suite) {
	e := s.New(t)
	for _, to := range []string{"sha256/bb/bb", "sha256/bb/bb", "uploads/u"} { // new, there, itself
		data := Bytes(uint64(len(to)), 40_000)
		u := open(t, e, "uploads/u", 0, nil)
		write(t, u, data)
		err := blob.PublishUpload(t.Context(), e, u, "uploads/u", to)
		switch {
		case isNot(err, gantry.Unsupported, "publish"):
			wantBytes(t, e, "uploads/u", data)
		case err != nil:
			t.Fatalf("PublishUpload to %q: %v", to, err)
		default:
			wantBytes(t, s.Reopen(t, e), to, data)
			wantBytes(t, e, "uploads/u", data)
		}
		wantUnusable(t, u)
		closeUpload(t, u)
	}
}

func testRead(t *testing.T, s Suite) {
	e := s.New(t)
	data := Bytes(1, 200_000)
	Put(t, e, "r", data)
	Put(t, e, "empty", nil)
	wantBytes(t, e, "empty", nil)
	o, err := e.Open(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }() // only read
	p := make([]byte, 1000)
	for _, off := range []int64{0, 1, 199_000, 65_535, 3} { // and backwards
		if n, err := o.ReadAt(p, off); n != len(p) || err != nil && err != io.EOF || !bytes.Equal(p, data[off:off+1000]) { //nolint:errorlint // io.ReaderAt
			t.Errorf("ReadAt(%d) = %d, %v, or other bytes", off, n, err)
		}
		if at, err := o.Seek(off, io.SeekStart); at != off || err != nil {
			t.Fatalf("Seek(%d) = %d, %v", off, at, err)
		}
		if _, err := io.ReadFull(o, p); err != nil || !bytes.Equal(p, data[off:off+1000]) {
			t.Errorf("read after Seek(%d): %v, or other bytes", off, err)
		}
	}
	if n, err := o.ReadAt(p, 199_500); n != 500 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt across the end = %d, %v; want 500, EOF", n, err)
	}
	if n, err := o.ReadAt(p, 200_000); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt at the end = %d, %v; want 0, EOF", n, err)
	}
	if at, err := o.Seek(-10, io.SeekEnd); at != 199_990 || err != nil {
		t.Errorf("Seek(-10, end) = %d, %v", at, err)
	}
	if rest, err := io.ReadAll(o); err != nil || !bytes.Equal(rest, data[199_990:]) {
		t.Errorf("the last bytes: %d, %v", len(rest), err)
	}
	if _, err := o.Seek(-1, io.SeekStart); err == nil {
		t.Error("Seek before the beginning succeeds")
	}
}

// Readers of an object that is deleted see its bytes, or an error.
func testReadWhileDeleted(t *testing.T, s Suite) {
	e := s.New(t)
	data := Bytes(1, 1<<20)
	Put(t, e, "d", data)
	const readers = 8
	var opened, done sync.WaitGroup
	start := make(chan struct{})
	opened.Add(readers)
	for range readers {
		done.Go(func() {
			o, err := e.Open(t.Context(), "d")
			opened.Done()
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			defer func() { _ = o.Close() }() // only read
			<-start
			if got, err := io.ReadAll(o); err == nil && !bytes.Equal(got, data) {
				t.Errorf("%d other bytes are read", len(got))
			}
		})
	}
	opened.Wait()
	close(start)
	if err := e.Delete(t.Context(), "d"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	Put(t, e, "d", Bytes(2, 1<<20))
	done.Wait()
	wantBytes(t, e, "d", Bytes(2, 1<<20))
}

func testStat(t *testing.T, s Suite) {
	e := s.New(t)
	Put(t, e, "s/t", Bytes(1, 12345))
	info, err := e.Stat(t.Context(), "s/t")
	if err != nil || info.Key != "s/t" || info.Size != 12345 {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	if age := time.Since(info.Modified); age < -time.Hour || age > time.Hour {
		t.Errorf("it was modified %v ago", age)
	}
}

func testMissing(t *testing.T, s Suite) {
	e := s.New(t)
	Put(t, e, "file", nil)
	Put(t, e, "dir/file", nil)
	for _, key := range []string{"none", "none/none", "file/below", "dir"} {
		wantMissing(t, e, key)
		if _, err := e.Open(t.Context(), key); !isNot(err, gantry.NotFound, "object") {
			t.Errorf("Open(%q) = %v; want NotFound on object", key, err)
		}
		if err := e.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q) = %v; want nil", key, err)
		}
	}
	wantBytes(t, e, "dir/file", []byte{})
}

func testDelete(t *testing.T, s Suite) {
	e := s.New(t)
	Put(t, e, "d/1", []byte("1"))
	Put(t, e, "d/2", []byte("2"))
	for range 2 {
		if err := e.Delete(t.Context(), "d/1"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantMissing(t, e, "d/1")
	}
	wantBytes(t, e, "d/2", []byte("2"))
	Put(t, e, "d/1", []byte("new"))
	wantBytes(t, e, "d/1", []byte("new"))
}

func testList(t *testing.T, s Suite) {
	e := s.New(t)
	// In byte order: "-" and "." come before "/", "0" after it.
	all := []string{
		"a-b", "a-b.c/x", "a.b", "a/1", "a/1-/x", "a/1.0", "a/2/3", "a/2/4", "a0", "b", "c/d/e/f", "sha256/00/00aa", "sha256/0a/0abb",
		"sha256/ff/ff", "uploads/1", "z é",
	}
	for i := range all {
		Put(t, e, all[(i*7)%len(all)], []byte("x")) // in another order
	}
	prefixes := []string{"", "a", "a/", "a/1", "a/2/", "a/2", "sha256/", "sha256/0", "sha256/0a/", "c/d/e/f", "c/d/e/f/", "none", "none/", "a-", "z", "\xff"}
	afters := append([]string{"", "a/", "a/2", "a/2/", "a/2/3x", "a/zzz", "a0a", "c/d/", "c/d/e/g", "sha256/", "sha256/0b", "\xff"}, all...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			want := []string{}
			for _, key := range all {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if got := Keys(t, e, prefix, after); !slices.Equal(got, want) {
				t.Errorf("List(%q, %q) = %q; want %q", prefix, after, got, want)
			}
		}
	}
	for info, err := range e.List(t.Context(), "b", "") {
		if err != nil || info.Size != 1 || info.Modified.IsZero() {
			t.Errorf("List yields %+v, %v", info, err)
		}
	}
	for _, prefix := range []string{"/", "../", "a//", "../x"} {
		n := 0
		for info, err := range e.List(t.Context(), prefix, "") {
			if n++; !isNot(err, gantry.Invalid, "key") {
				t.Errorf("List(%q) yields %v, %v; want Invalid on key", prefix, info, err)
			}
		}
		if n != 1 {
			t.Errorf("List(%q) yields %d times; want once", prefix, n)
		}
	}
}

func testListStops(t *testing.T, s Suite) {
	e := s.New(t)
	for i := range 20 {
		Put(t, e, fmt.Sprintf("d%d/x%02d", i%3, i), nil)
	}
	// Page by page gives the same as all at once, and deleting on the way is
	// harmless.
	var paged []string
	for after := ""; ; {
		n := 0
		for info, err := range e.List(t.Context(), "", after) {
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, info.Key)
			after = info.Key
			if n++; n == 3 {
				break
			}
		}
		if n < 3 {
			break
		}
	}
	if want := Keys(t, e, "", ""); len(want) != 20 || !slices.Equal(paged, want) {
		t.Errorf("by pages: %q; at once: %q", paged, want)
	}
	for info, err := range e.List(t.Context(), "", "") {
		if err == nil {
			err = e.Delete(t.Context(), info.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if left := Keys(t, e, "", ""); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func testKeys(t *testing.T, s Suite) {
	e := s.New(t)
	ctx := t.Context()
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../../b", "a/./b", "a/..", "a\x00b", "a\nb", `a\b`, "\xff",
		strings.Repeat("x", blob.MaxElement+1), strings.Repeat("x/", blob.MaxKey/2) + "x", ".gantry-a", "a/.gantry-b",
	} {
		if err := errors.Join(e.Delete(ctx, "ok"), e.Abort(ctx, "ok", nil)); err != nil {
			t.Fatal(err)
		}
		_, openErr := e.Open(ctx, key)
		_, statErr := e.Stat(ctx, key)
		_, urlErr := e.URL(ctx, key, blob.URLOptions{})
		u, uploadErr := e.Upload(ctx, key, 0, nil)
		if uploadErr == nil {
			_ = u.Close() // reported below
		}
		_, resumeErr := e.Upload(ctx, key, 1, []byte("s"))
		for what, err := range map[string]error{
			"Open": openErr, "Stat": statErr, "URL": urlErr, "Upload": uploadErr, "Upload to resume": resumeErr,
			"Delete": e.Delete(ctx, key), "Abort": e.Abort(ctx, key, nil),
			"Publish from": e.Publish(ctx, key, "ok"), "Publish to": e.Publish(ctx, "ok", key),
		} {
			if !isNot(err, gantry.Invalid, "key") {
				t.Errorf("%s of key %q = %v; want Invalid on key", what, key, err)
			}
		}
	}
	for _, key := range []string{
		"a", "..a", "a..", ".hidden", "a b+c:d@e", "é/ü", "%2e%2e/x", "sha256/aa/" + strings.Repeat("a", 128),
		strings.Repeat("y", 200), strings.Repeat("x/", 100) + "x",
	} {
		Put(t, e, key, []byte(key))
		wantBytes(t, e, key, []byte(key))
		if got := Keys(t, e, key, ""); !slices.Contains(got, key) {
			t.Errorf("List does not find %q but %q", key, got)
		}
	}
}

func testCancelled(t *testing.T, s Suite) {
	e := s.New(t)
	Put(t, e, "c", []byte("x"))
	u := open(t, e, "uploads/c", 0, nil)
	w := open(t, e, "uploads/d", 0, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, openErr := e.Open(ctx, "c")
	_, statErr := e.Stat(ctx, "c")
	_, uploadErr := e.Upload(ctx, "new", 0, nil)
	_, _, freeErr := e.Free(ctx)
	_, syncErr := u.Sync(ctx)
	var listErr error
	for _, listErr = range e.List(ctx, "", "") {
		if listErr == nil {
			t.Error("List yields an object")
		}
	}
	for what, err := range map[string]error{
		"Open": openErr, "Stat": statErr, "Upload": uploadErr, "Free": freeErr, "List": listErr, "Sync": syncErr, "Complete": w.Complete(ctx),
		"Delete": e.Delete(ctx, "c"), "Abort": e.Abort(ctx, "c", nil), "Check": e.Check(ctx),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v; want context.Canceled", what, err)
		}
	}
	if err := e.Publish(ctx, "c", "d"); !errors.Is(err, context.Canceled) && !gantry.Is(err, gantry.Unsupported) {
		t.Errorf("Publish = %v; want context.Canceled", err)
	}
	wantUnusable(t, u)
	wantBytes(t, e, "c", []byte("x"))
	wantMissing(t, e, "new")
	wantMissing(t, e, "d")
}

func testCheck(t *testing.T, s Suite) {
	e := s.New(t)
	Put(t, e, "a", nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if err := e.Check(t.Context()); err != nil {
					t.Errorf("Check: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := Keys(t, e, "", ""); !slices.Equal(got, []string{"a"}) {
		t.Errorf("Check leaves %q", got)
	}
}

func testFree(t *testing.T, s Suite) {
	free, total, err := s.New(t).Free(t.Context())
	if err != nil || total > 0 && free > total {
		t.Errorf("Free = %d, %d, %v", free, total, err)
	}
}

// The engine behaves under Faulty: its errors come through, and what it was told
// to lose is lost.
func testFaulty(t *testing.T, s Suite) {
	ctx := t.Context()
	f := Faulty(s.New(t), nil)
	boom := errors.New("boom")

	for _, op := range []Op{OpSync, OpComplete, OpPublishUpload} {
		f.SetHook(nil)
		u := open(t, f, "uploads/f", 0, nil)
		write(t, u, []byte("12345"))
		state := syncUpload(t, u)
		write(t, u, []byte("6"))
		f.SetHook(FailNth(op, 1, false, boom))
		var err error
		switch op {
		case OpSync:
			_, err = u.Sync(ctx)
		case OpComplete:
			err = u.Complete(ctx)
		default:
			err = blob.PublishUpload(ctx, f, u, "uploads/f", "sha256/f")
		}
		if !errors.Is(err, boom) {
			t.Errorf("%s = %v; want the hook's error", op, err)
		}
		wantUnusable(t, u)
		closeUpload(t, u)
		if u, err := f.Upload(ctx, "uploads/f", 5, state); !isNot(err, gantry.NotFound, "upload") {
			t.Errorf("Upload after a failed %s = %v, %v; want NotFound on upload", op, u, err)
		}
		wantMissing(t, f, "sha256/f")
	}

	f.SetHook(FullAfter(10))
	u := open(t, f, "uploads/full", 0, nil)
	write(t, u, []byte("12345678"))
	if n, err := u.Write([]byte("abcdef")); n != 2 || gantry.ReasonOf(err) != gantry.DiskFull {
		t.Errorf("Write on a full disk = %d, %v; want 2, DiskFull", n, err)
	}
	wantUnusable(t, u)
	closeUpload(t, u)

	f.SetHook(nil)
	f.HoldDeletes()
	Put(t, f, "late", []byte("old"))
	if err := f.Delete(ctx, "late"); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, f, "late", []byte("old"))
	Put(t, f, "late", []byte("new"))
	if held := f.HeldDeletes(); !slices.Equal(held, []string{"late"}) {
		t.Errorf("held: %q", held)
	}
	if err := f.ReleaseDeletes(ctx, -1); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, f, "late") // the new one: that is the point

	Put(t, f, "read", []byte("0123456789"))
	f.SetHook(FailNth(OpRead, 2, false, boom))
	o, err := f.Open(ctx, "read")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if n, err := o.Read(p); n != 4 || err != nil {
		t.Errorf("the first Read = %d, %v", n, err)
	}
	if _, err := o.Read(p); !errors.Is(err, boom) {
		t.Errorf("the second Read = %v; want the hook's error", err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	f.SetHook(FailOn(OpOpen, "re", boom))
	if _, err := f.Open(ctx, "read"); !errors.Is(err, boom) {
		t.Errorf("Open = %v; want the hook's error", err)
	}
	f.SetHook(DieAfter(1, boom))
	if _, err := f.Stat(ctx, "read"); err != nil {
		t.Errorf("Stat before the end: %v", err)
	}
	if _, err := f.Stat(ctx, "read"); !errors.Is(err, boom) {
		t.Errorf("Stat after the end = %v; want the hook's error", err)
	}
	f.SetHook(FailNth(OpDelete, 1, true, boom)) // done, but reported as failed
	if err := f.Delete(ctx, "read"); !errors.Is(err, boom) {
		t.Errorf("Delete = %v; want the hook's error", err)
	}
	wantMissing(t, f, "read")
}
