package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
)

// benchDir is a folder on the file system to be measured: $GANTRY_BENCH_DIR, or
// the usual one for temporary files.
func benchDir(b *testing.B) string {
	b.Helper()
	dir := os.Getenv("GANTRY_BENCH_DIR")
	if dir == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(dir, "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) }) // the next run is not harmed
	return dir
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// A layer of 64 MiB, durable under its name, and against it what a plain write
// and fsync costs.
func BenchmarkUpload64MiB(b *testing.B) {
	const size, piece = 64 << 20, 256 << 10
	p := blobtest.Bytes(1, piece)
	b.Run("engine", func(b *testing.B) {
		e := newEngine(b, Options{Root: benchDir(b)})
		ctx := b.Context()
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			u, err := e.Upload(ctx, "uploads/u", 0, nil)
			must(b, err)
			for range size / piece {
				_, err = u.Write(p)
				must(b, err)
			}
			must(b, e.PublishUpload(ctx, u, "sha256/aa/x"))
			must(b, u.Close())
			must(b, e.Delete(ctx, "uploads/u"))
			b.StopTimer()
			must(b, e.Delete(ctx, "sha256/aa/x"))
			b.StartTimer()
		}
	})
	b.Run("plain", func(b *testing.B) {
		dir := benchDir(b)
		b.SetBytes(size)
		for b.Loop() {
			f, err := os.Create(filepath.Join(dir, "u"))
			must(b, err)
			for range size / piece {
				_, err = f.Write(p)
				must(b, err)
			}
			must(b, f.Sync())
			must(b, f.Close())
			b.StopTimer()
			must(b, os.Remove(f.Name()))
			b.StartTimer()
		}
	})
}

// A config blob of 4 KiB: create, write, publish durably, drop the upload's
// name; in both orders, and against it a plain write and fsync.
func BenchmarkSmallCommit(b *testing.B) {
	p := blobtest.Bytes(1, 4096)
	ways := []struct {
		name string
		end  func(e *Engine, u *upload, to string) error
	}{
		{"link first", func(e *Engine, u *upload, to string) error { return e.PublishUpload(b.Context(), u, to) }},
		{"sync first", func(e *Engine, u *upload, to string) error {
			if err := u.syncFile(unix.Fsync); err != nil {
				return err
			}
			return e.Publish(b.Context(), u.key, to)
		}},
		{"complete and publish", func(e *Engine, u *upload, to string) error {
			if err := u.Complete(b.Context()); err != nil {
				return err
			}
			return e.Publish(b.Context(), u.key, to)
		}},
	}
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			e := newEngine(b, Options{Root: benchDir(b)})
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				from := fmt.Sprintf("uploads/%d", n)
				bu, err := e.Upload(b.Context(), from, 0, nil)
				must(b, err)
				_, err = bu.Write(p)
				must(b, err)
				must(b, way.end(e, bu.(*upload), fmt.Sprintf("sha256/%02x/%d", n&15, n)))
				must(b, bu.Close())
				must(b, e.Delete(b.Context(), from))
			}
		})
	}
	b.Run("plain", func(b *testing.B) {
		dir := benchDir(b)
		for n := 0; b.Loop(); n++ {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(n)))
			must(b, err)
			_, err = f.Write(p)
			must(b, err)
			must(b, f.Sync())
			must(b, f.Close())
		}
	})
	b.Run("plain without sync", func(b *testing.B) {
		dir := benchDir(b)
		for n := 0; b.Loop(); n++ {
			must(b, os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), p, 0o600))
		}
	})
}

// 16 pushers at a time, whose syncs share journal commits.
func BenchmarkSmallCommitParallel(b *testing.B) {
	e := newEngine(b, Options{Root: benchDir(b)})
	p := blobtest.Bytes(1, 4096)
	names := make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case names <- n:
			case <-b.Context().Done():
				return
			}
		}
	}()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := <-names
			from := fmt.Sprintf("uploads/%d", n)
			u, err := e.Upload(b.Context(), from, 0, nil)
			if err == nil {
				_, err = u.Write(p)
			}
			if err == nil {
				err = e.PublishUpload(b.Context(), u, fmt.Sprintf("sha256/%02x/%d", n&15, n))
			}
			if err == nil {
				err = u.Close()
			}
			if err == nil {
				err = e.Delete(b.Context(), from)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	const key = "sha256/aa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	e := newEngine(b, Options{Root: benchDir(b)})
	blobtest.Put(b, e, key, []byte("x"))
	b.Run("engine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			o, err := e.Open(b.Context(), key)
			must(b, err)
			must(b, o.Close())
		}
	})
	b.Run("engine without openat2", func(b *testing.B) {
		e := newEngine(b, Options{Root: e.opts.Root})
		e.beneath = false
		for b.Loop() {
			o, err := e.Open(b.Context(), key)
			must(b, err)
			must(b, o.Close())
		}
	})
	b.Run("os.Open and Stat", func(b *testing.B) {
		b.ReportAllocs()
		path := e.path(key)
		for b.Loop() {
			f, err := os.Open(path)
			must(b, err)
			_, err = f.Stat()
			must(b, err)
			must(b, f.Close())
		}
	})
	b.Run("os.Root", func(b *testing.B) {
		root, err := os.OpenRoot(e.opts.Root)
		must(b, err)
		defer func() { _ = root.Close() }() // only read
		for b.Loop() {
			f, err := root.Open(key)
			must(b, err)
			must(b, f.Close())
		}
	})
}

var _ blob.Filer = (*object)(nil)
