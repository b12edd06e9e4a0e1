package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/gantry"
)

func newEngine(t testing.TB, opts Options) *Engine {
	t.Helper()
	if opts.Root == "" {
		opts.Root = filepath.Join(t.TempDir(), "storage")
	}
	if opts.Reserve == 0 {
		opts.Reserve = -1
	}
	e, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// The whole contract, on each way in which the engine can work.
func TestEngine(t *testing.T) {
	noLinks := func(op Op, _ string) error {
		if op == OpLink {
			return unix.EPERM
		}
		return nil
	}
	for name, set := range map[string]func(*Options, *Engine){
		"usual":           func(*Options, *Engine) {},
		"without openat2": func(_ *Options, e *Engine) { e.beneath = false },
		"without links":   func(o *Options, _ *Engine) { o.Faults = noLinks },
	} {
		t.Run(name, func(t *testing.T) {
			start := func(t *testing.T, root string) blob.Engine {
				e := newEngine(t, Options{Root: root})
				if !e.beneath {
					t.Log("this kernel has no openat2")
				}
				set(&e.opts, e)
				return e
			}
			blobtest.Suite{
				New:    func(t *testing.T) blob.Engine { return start(t, "") },
				Reopen: func(t *testing.T, e blob.Engine) blob.Engine { return start(t, e.(*Engine).opts.Root) },
			}.Run(t)
		})
	}
}

func TestFaultyKeepsEngine(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Engine { return blobtest.Faulty(newEngine(t, Options{}), nil) })
}

func TestNew(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without a root succeeds")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(file, "below")} {
		if _, err := New(Options{Root: root}); err == nil {
			t.Errorf("New on %s succeeds", root)
		}
	}
	e := newEngine(t, Options{Root: filepath.Join(dir, "a/b/c")})
	blobtest.Put(t, e, "sha256/ab/abcd", []byte("x"))
	for path, want := range map[string]os.FileMode{
		"a": 0o700, "a/b/c": 0o700, "a/b/c/sha256/ab": 0o700, "a/b/c/sha256/ab/abcd": 0o600,
	} {
		st, err := os.Stat(filepath.Join(dir, path))
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, st.Mode().Perm(), err, want)
		}
	}
	e = newEngine(t, Options{Root: filepath.Join(dir, "open"), FileMode: 0o644, FolderMode: 0o755})
	blobtest.Put(t, e, "sha256/ab/abcd", []byte("x"))
	if st, err := os.Stat(filepath.Join(dir, "open/sha256/ab/abcd")); err != nil || st.Mode().Perm()&0o077 == 0 {
		t.Errorf("the mode is not taken: %v, %v (or the umask is 077)", st, err)
	}

	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "a/b/c"), link); err != nil {
		t.Fatal(err)
	}
	if got := blobtest.Get(t, newEngine(t, Options{Root: link}), "sha256/ab/abcd"); string(got) != "x" {
		t.Errorf("through a root that is a link: %q", got)
	}
}

func TestClosed(t *testing.T) {
	e, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Open(t.Context(), "a"); !errors.Is(err, unix.EBADF) {
		t.Errorf("Open after Close = %v; want EBADF", err)
	}
	if _, err := e.Upload(t.Context(), "a", 0, nil); !errors.Is(err, unix.EBADF) {
		t.Errorf("Upload after Close = %v; want EBADF", err)
	}
}

// A link inside the storage leads nowhere, be it to a file or a folder, inside
// or outside.
func TestSymlinks(t *testing.T) {
	for _, beneath := range []bool{true, false} {
		t.Run(fmt.Sprintf("openat2 %v", beneath), func(t *testing.T) {
			ctx := t.Context()
			outside := t.TempDir()
			secret := filepath.Join(outside, "secret")
			if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			e := newEngine(t, Options{})
			e.beneath = e.beneath && beneath
			blobtest.Put(t, e, "in/file", []byte("inside"))
			for name, target := range map[string]string{
				"file": secret, "dir": outside, "abs": filepath.Join(e.opts.Root, "in"), "up": "../", "rel": "in", "relfile": "in/file", "dangling": "nowhere",
			} {
				if err := os.Symlink(target, filepath.Join(e.opts.Root, name)); err != nil {
					t.Fatal(err)
				}
			}
			for _, key := range []string{"file", "dir/secret", "abs/file", "up/storage/in/file", "rel/file", "relfile", "dangling"} {
				if o, err := e.Open(ctx, key); err == nil {
					t.Errorf("Open(%q) = %v", key, o)
				}
				if info, err := e.Stat(ctx, key); err == nil {
					t.Errorf("Stat(%q) = %v", key, info)
				}
				if u, err := e.Upload(ctx, key, 1, nil); err == nil {
					t.Errorf("Upload(%q, 1) = %v", key, u)
				}
				if err := e.Publish(ctx, key, "published"); err == nil {
					t.Errorf("Publish(%q) succeeds", key)
				}
			}
			for _, key := range []string{"dir/new", "abs/new", "rel/new", "up/new"} {
				if u, err := e.Upload(ctx, key, 0, nil); err == nil {
					t.Errorf("Upload(%q) = %v", key, u)
				}
				if err := e.Publish(ctx, "in/file", key); err == nil {
					t.Errorf("Publish to %q succeeds", key)
				}
			}
			_ = e.Delete(ctx, "dir/secret") // an error or not
			if got := blobtest.Keys(t, e, "", ""); !slices.Equal(got, []string{"in/file"}) {
				t.Errorf("List finds %q", got)
			}
			if got := blobtest.Keys(t, e, "dir/", ""); len(got) > 0 {
				t.Errorf("List of a link finds %q", got)
			}
			// The link itself may be replaced and removed.
			blobtest.Put(t, e, "file", []byte("mine"))
			if err := e.Delete(ctx, "relfile"); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
				t.Errorf("the file outside holds %q, %v", got, err)
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
				t.Errorf("outside there is %v, %v", left, err)
			}
			if string(blobtest.Get(t, e, "in/file")) != "inside" {
				t.Error("the file inside has changed")
			}
		})
	}
}

// steps records the steps of an engine.
type steps struct {
	sync.Mutex
	done []string
	fail func(op Op, key string) error
}

func (s *steps) hook(op Op, key string) error {
	s.Lock()
	defer s.Unlock()
	s.done = append(s.done, strings.TrimSpace(string(op)+" "+key))
	if s.fail != nil {
		return s.fail(op, key)
	}
	return nil
}

func (s *steps) take() []string {
	s.Lock()
	defer s.Unlock()
	done := s.done
	s.done = nil
	return done
}

// What is synced, and in which order: this is what makes a success answer mean
// "on stable storage".
func TestOrder(t *testing.T) {
	ctx := t.Context()
	var s steps
	root := t.TempDir()
	e := newEngine(t, Options{Root: root, Faults: s.hook})
	want := func(what string, want ...string) {
		t.Helper()
		if got := s.take(); !slices.Equal(got, want) {
			t.Errorf("%s: steps %q; want %q", what, got, want)
		}
	}
	upload := func(key string, offset int64) blob.Upload {
		t.Helper()
		u, err := e.Upload(ctx, key, offset, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = u.Close() })
		if _, err := u.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		return u
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	u := upload("uploads/1", 0)
	want("a first upload makes its folder durable", "sync folder", "write uploads/1")
	_, err := u.Sync(ctx)
	ok(err)
	want("a first Sync syncs the name too", "sync uploads/1", "sync folder uploads")
	_, err = u.Sync(ctx)
	ok(err)
	want("nothing new, nothing to sync")
	_, err = u.Write([]byte("y"))
	ok(err)
	_, err = u.Sync(ctx)
	ok(err)
	want("a second Sync syncs the file alone", "write uploads/1", "sync uploads/1")
	ok(u.Close())
	u = upload("uploads/1", 1)
	ok(u.Complete(ctx))
	want("a resumed upload", "write uploads/1", "sync uploads/1")
	ok(e.Publish(ctx, "uploads/1", "sha256/aa/1"))
	want("the first Publish", "sync folder", "sync folder sha256", "link sha256/aa/1", "sync folder sha256/aa")
	ok(e.Publish(ctx, "uploads/1", "sha256/aa/1"))
	want("Publish again", "link sha256/aa/1", "sync folder sha256/aa")

	u = upload("uploads/2", 0)
	ok(e.PublishUpload(ctx, u, "sha256/aa/2"))
	want("PublishUpload of a new name links first", "write uploads/2", "link sha256/aa/2", "sync uploads/2", "sync folder sha256/aa")
	u = upload("uploads/3", 0)
	ok(e.PublishUpload(ctx, u, "sha256/aa/2"))
	want("PublishUpload over a name syncs first", "write uploads/3", "link sha256/aa/2", "sync uploads/3",
		"link sha256/aa/2", "link sha256/aa/2", "rename sha256/aa/2", "sync folder sha256/aa")
	u = upload("uploads/4", 0)
	ok(u.Complete(ctx))
	want("Complete without Sync", "write uploads/4", "sync uploads/4", "sync folder uploads")

	// Another process: what exists is made durable once, with its siblings.
	blobtest.Put(t, e, "sha256/bb/1", nil)
	s.take()
	e = newEngine(t, Options{Root: root, Faults: s.hook})
	u = upload("uploads/5", 0)
	ok(e.PublishUpload(ctx, u, "sha256/aa/5"))
	want("after a start", "sync folder", "write uploads/5", "sync folder sha256", "link sha256/aa/5", "sync uploads/5", "sync folder sha256/aa")
	ok(e.Publish(ctx, "uploads/5", "sha256/bb/5"))
	want("a sibling", "link sha256/bb/5", "sync folder sha256/bb")

	// Somebody removes folders.
	ok(os.RemoveAll(filepath.Join(root, "sha256")))
	ok(e.Publish(ctx, "uploads/5", "sha256/bb/5"))
	want("after the folders were removed", "sync folder", "sync folder sha256", "link sha256/bb/5", "sync folder sha256/bb")
	ok(os.RemoveAll(filepath.Join(root, "uploads")))
	upload("uploads/6", 0)
	want("after uploads was removed", "sync folder", "write uploads/6")
}

// After a failed sync nothing is vouched for, the bytes are gone under every
// name, and it is not tried again.
func TestSyncFails(t *testing.T) {
	ctx := t.Context()
	for name, call := range map[string]func(e *Engine, u blob.Upload) error{
		"Sync":                       func(_ *Engine, u blob.Upload) error { _, err := u.Sync(ctx); return err },
		"Complete":                   func(_ *Engine, u blob.Upload) error { return u.Complete(ctx) },
		"PublishUpload":              func(e *Engine, u blob.Upload) error { return e.PublishUpload(ctx, u, "sha256/aa/new") },
		"PublishUpload over another": func(e *Engine, u blob.Upload) error { return e.PublishUpload(ctx, u, "sha256/aa/old") },
	} {
		t.Run(name, func(t *testing.T) {
			s := steps{}
			e := newEngine(t, Options{Faults: s.hook})
			blobtest.Put(t, e, "uploads/old", []byte("old"))
			if err := e.Publish(ctx, "uploads/old", "sha256/aa/old"); err != nil {
				t.Fatal(err)
			}
			u, err := e.Upload(ctx, "uploads/1", 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Write([]byte("12345")); err != nil {
				t.Fatal(err)
			}
			if _, err := u.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := u.Write([]byte("6")); err != nil {
				t.Fatal(err)
			}
			s.take()
			s.fail = func(op Op, _ string) error {
				if op == OpSync {
					return unix.EIO
				}
				return nil
			}
			if err := call(e, u); !errors.Is(err, unix.EIO) {
				t.Errorf("%s = %v; want EIO", name, err)
			}
			s.fail = nil
			if err := call(e, u); !errors.Is(err, unix.EIO) {
				t.Errorf("%s again = %v; want EIO still", name, err)
			}
			if _, err := u.Write([]byte("x")); !errors.Is(err, unix.EIO) {
				t.Errorf("Write afterwards = %v; want EIO still", err)
			}
			if err := u.Close(); err != nil {
				t.Error(err)
			}
			n := 0
			for _, step := range s.take() {
				if strings.HasPrefix(step, "sync uploads") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("the file was synced %d times; want once", n)
			}
			if _, err := e.Upload(ctx, "uploads/1", 5, nil); !gantry.Is(err, gantry.NotFound) {
				t.Errorf("resuming it = %v; want NotFound", err)
			}
			if got := blobtest.Get(t, e, "sha256/aa/old"); string(got) != "old" {
				t.Errorf("the object that was there holds %q", got)
			}
			if info, err := e.Stat(ctx, "sha256/aa/new"); err == nil && info.Size != 0 {
				t.Errorf("the new name shows %d bytes", info.Size)
			}
			// And the next upload of the same is fine.
			u, err = e.Upload(ctx, "uploads/2", 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Write([]byte("whole")); err != nil {
				t.Fatal(err)
			}
			if err := e.PublishUpload(ctx, u, "sha256/aa/new"); err != nil {
				t.Fatal(err)
			}
			if err := u.Close(); err != nil {
				t.Error(err)
			}
			if got := blobtest.Get(t, e, "sha256/aa/new"); string(got) != "whole" {
				t.Errorf("the new name holds %q", got)
			}
		})
	}
}

// A step of publishing fails: an error, no name that leads astray, nothing left
// behind.
func TestPublishFails(t *testing.T) {
	ctx := t.Context()
	for _, op := range []Op{OpSyncFolder, OpLink, OpRename, OpCopy} {
		t.Run(string(op), func(t *testing.T) {
			s := steps{}
			e := newEngine(t, Options{Faults: s.hook})
			for _, key := range []string{"uploads/1", "uploads/2"} {
				blobtest.Put(t, e, key, []byte(key))
			}
			if err := e.Publish(ctx, "uploads/1", "sha256/aa/x"); err != nil {
				t.Fatal(err)
			}
			s.fail = func(o Op, _ string) error {
				switch {
				case o == op:
					return unix.EIO
				case o == OpLink && op == OpCopy:
					return unix.EMLINK
				}
				return nil
			}
			if err := e.Publish(ctx, "uploads/2", "sha256/aa/x"); !errors.Is(err, unix.EIO) {
				t.Errorf("Publish = %v; want EIO", err)
			}
			s.fail = nil
			if got := string(blobtest.Get(t, e, "sha256/aa/x")); got != "uploads/1" && op != OpSyncFolder {
				t.Errorf("the name leads to %q", got)
			}
			if left, err := filepath.Glob(filepath.Join(e.opts.Root, "sha256/aa", blob.ReservedPrefix+"*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

func TestNoSpace(t *testing.T) {
	ctx := t.Context()
	for _, errno := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		for _, op := range []Op{OpWrite, OpSync, OpLink, OpSyncFolder} {
			s := steps{}
			e := newEngine(t, Options{Faults: s.hook})
			blobtest.Put(t, e, "uploads/a", nil)
			u, err := e.Upload(ctx, "uploads/b", 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.fail = func(o Op, _ string) error {
				if o == op {
					return errno
				}
				return nil
			}
			_, err = u.Write([]byte("x"))
			if op != OpWrite {
				if err != nil {
					t.Fatal(err)
				}
				err = e.PublishUpload(ctx, u, "sha256/aa/b")
			}
			if x, ok := errors.AsType[*gantry.Error](err); !ok || x.Code != gantry.Unavailable || x.Object != "storage" || x.Reason != gantry.DiskFull || !errors.Is(err, errno) {
				t.Errorf("%v at %s: %v; want DiskFull", errno, op, err)
			}
			if err := u.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Below the reserve uploads are refused, at the start and on the way; everything
// else works, and so do uploads once there is room again.
func TestReserve(t *testing.T) {
	ctx := t.Context()
	e := newEngine(t, Options{Reserve: 1000})
	var mu sync.Mutex
	free := uint64(5000)
	set := func(n uint64) {
		mu.Lock()
		free = n
		mu.Unlock()
		e.space.Lock()
		e.space.at = time.Time{} // as if a second had passed
		e.space.Unlock()
	}
	e.statfs = func() (uint64, uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, 1 << 40, nil
	}
	full := func(what string, err error) {
		t.Helper()
		if gantry.ReasonOf(err) != gantry.DiskFull {
			t.Errorf("%s = %v; want DiskFull", what, err)
		}
	}
	blobtest.Put(t, e, "uploads/1", []byte("1"))
	if free, total, err := e.Free(ctx); free != 4000 || total != 1<<40 || err != nil {
		t.Errorf("Free = %d, %d, %v; want 4000: the reserve is not free", free, total, err)
	}
	u, err := e.Upload(ctx, "uploads/2", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	set(999)
	_, err = u.Write([]byte("6"))
	full("Write", err)
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	_, err = e.Upload(ctx, "uploads/3", 0, nil)
	full("Upload", err)
	_, err = e.Upload(ctx, "uploads/2", 5, nil)
	full("Upload to resume", err)
	if free, _, err := e.Free(ctx); free != 0 || err != nil {
		t.Errorf("Free = %d, %v; want 0", free, err)
	}
	if err := errors.Join(e.Check(ctx), e.Publish(ctx, "uploads/1", "sha256/aa/1"), e.Delete(ctx, "uploads/1")); err != nil {
		t.Errorf("what is no upload fails too: %v", err)
	}
	blobtest.Get(t, e, "sha256/aa/1")

	set(1000)
	u, err = e.Upload(ctx, "uploads/2", 5, nil)
	if err != nil {
		t.Fatalf("Upload with room again: %v", err)
	}
	// A burst within the second is noticed by its bytes.
	mu.Lock()
	free = 10
	mu.Unlock()
	big := make([]byte, 1<<20)
	for err, n := error(nil), 0; ; n++ {
		if _, err = u.Write(big); err != nil {
			full("Write", err)
			break
		}
		if n > spaceBytes>>20 {
			t.Fatal("the disk runs full and nobody looks")
		}
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	e.statfs = func() (uint64, uint64, error) { return 0, 0, errors.New("not here") }
	set(0)
	blobtest.Put(t, e, "uploads/9", []byte("x")) // who cannot tell is not full
}

func TestReserveDefault(t *testing.T) {
	e := &Engine{}
	for total, want := range map[uint64]uint64{1 << 30: 256 << 20, 10 << 30: 256 << 20, 100 << 40: 1 << 40} {
		if got := e.reserve(total); got != want {
			t.Errorf("reserve of %d = %d; want %d", total, got, want)
		}
	}
	real := newEngine(t, Options{Reserve: 1})
	if free, total, err := real.Free(t.Context()); err != nil || total == 0 || free > total {
		t.Errorf("Free = %d, %d, %v", free, total, err)
	}
}

// Temporary names of a crash are not listed; the old ones go, the fresh ones
// may be in use.
func TestStaleNames(t *testing.T) {
	e := newEngine(t, Options{})
	blobtest.Put(t, e, "sha256/aa/x", nil)
	dir := filepath.Join(e.opts.Root, "sha256/aa")
	fresh := filepath.Join(dir, blob.ReservedPrefix+"fresh")
	if err := os.WriteFile(fresh, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The modification time of a link is that of the bytes: it does not count.
	long := time.Now().Add(-10 * staleAge)
	if err := os.Chtimes(fresh, long, long); err != nil {
		t.Fatal(err)
	}
	if got := blobtest.Keys(t, e, "", ""); !slices.Equal(got, []string{"sha256/aa/x"}) {
		t.Errorf("List finds %q", got)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("a fresh temporary name is gone: %v", err)
	}
	// The change time cannot be set; what sweep decides can be asked.
	var st unix.Stat_t
	if err := unix.Stat(fresh, &st); err != nil {
		t.Fatal(err)
	}
	made := time.Unix(st.Ctim.Unix())
	if stale(&st, made.Add(staleAge)) || !stale(&st, made.Add(staleAge+time.Second)) {
		t.Error("stale does not go by the change time")
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	sweep(int(f.Fd()), filepath.Base(fresh), made.Add(2*staleAge))
	if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a stale temporary name stays: %v", err)
	}
}

func TestListPassesOver(t *testing.T) {
	e := newEngine(t, Options{})
	blobtest.Put(t, e, "a", nil)
	for _, name := range []string{"line\nbreak", `back\slash`} {
		if err := os.WriteFile(filepath.Join(e.opts.Root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(e.opts.Root, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, e, "lost+found/x", nil)
	if err := unix.Mkfifo(filepath.Join(e.opts.Root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	// As in a mount point, where only root can look into it.
	lost := filepath.Join(e.opts.Root, "lost+found")
	if err := os.Chmod(lost, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(lost, 0o700) })
	want := []string{"a"}
	if os.Geteuid() == 0 {
		want = append(want, "lost+found/x")
	}
	if got := blobtest.Keys(t, e, "", ""); !slices.Equal(got, want) {
		t.Errorf("List finds %q; want %q", got, want)
	}
	if _, err := e.Stat(t.Context(), "pipe"); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("Stat of a pipe = %v; want NotFound", err)
	}
}

func TestCheckFails(t *testing.T) {
	ctx := t.Context()
	for name, errno := range map[string]error{"full": unix.ENOSPC, "broken": unix.EIO} {
		e := newEngine(t, Options{Faults: func(Op, string) error { return errno }})
		if err := e.Check(ctx); !errors.Is(err, errno) {
			t.Errorf("Check of a %s disk = %v", name, err)
		}
		if left, err := os.ReadDir(e.opts.Root); err != nil || len(left) > 0 {
			t.Errorf("Check leaves %v, %v", left, err)
		}
	}
	e := newEngine(t, Options{})
	if err := os.Rename(e.opts.Root, e.opts.Root+".old"); err != nil {
		t.Fatal(err)
	}
	if err := e.Check(ctx); err == nil {
		t.Error("Check passes though the folder is gone")
	}
	if err := os.Mkdir(e.opts.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := e.Check(ctx); err == nil {
		t.Error("Check passes though another folder is there")
	}
}

func TestPublishUploadOfAnother(t *testing.T) {
	ctx := t.Context()
	a, b := newEngine(t, Options{}), newEngine(t, Options{})
	u, err := a.Upload(ctx, "x", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.PublishUpload(ctx, u, "y"); err == nil {
		t.Error("the upload of another engine is taken")
	}
	if err := a.PublishUpload(ctx, u, "../y"); !gantry.Is(err, gantry.Invalid) {
		t.Errorf("PublishUpload to a bad key = %v; want Invalid", err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

// A commit that crashed between link and row leaves the upload and the
// canonical name on one file. Resuming must not touch the latter's bytes.
func TestResumePublished(t *testing.T) {
	ctx := t.Context()
	e := newEngine(t, Options{})
	data := blobtest.Bytes(1, 100_000)
	blobtest.Put(t, e, "uploads/1", data)
	if err := e.Publish(ctx, "uploads/1", "sha256/aa/1"); err != nil {
		t.Fatal(err)
	}
	u, err := e.Upload(ctx, "uploads/1", 60_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("other")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.Complete(ctx), u.Close()); err != nil {
		t.Fatal(err)
	}
	if got := blobtest.Get(t, e, "uploads/1"); !bytes.Equal(got, append(data[:60_000:60_000], "other"...)) {
		t.Errorf("the resumed upload has %d other bytes", len(got))
	}
	if got := blobtest.Get(t, e, "sha256/aa/1"); !bytes.Equal(got, data) {
		t.Errorf("the published object has %d other bytes", len(got))
	}
}

// countedObject is an object that counts what is read from it in user space.
type countedObject struct {
	*object
	bytes *int64
}

func (c countedObject) Read(p []byte) (int, error) {
	n, err := c.object.Read(p)
	*c.bytes += int64(n)
	return n, err
}

// What http.ServeContent sends of an Object goes from the file to the socket in
// the kernel. Were it not so, all of it would come through Read.
func TestSendfile(t *testing.T) {
	e := newEngine(t, Options{})
	data := blobtest.Bytes(1, 4<<20)
	blobtest.Put(t, e, "sha256/aa/x", data)
	var read int64
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := e.Open(r.Context(), "sha256/aa/x")
		if err != nil {
			t.Errorf("Open: %v", err)
			return
		}
		defer func() { _ = o.Close() }() // only read
		if f, ok := o.(blob.Filer); !ok || f.File() == nil {
			t.Error("the Object is no Filer")
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, countedObject{o.(*object), &read})
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own listener
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	get := func(ranges string, want []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if ranges != "" {
			req.Header.Set("Range", ranges)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("range %q: %d bytes, %v; want %d", ranges, len(got), err, len(want))
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	get("", data)
	get("bytes=1000001-3000000", data[1000001:3000001])
	http.DefaultClient.CloseIdleConnections()
	if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	// net/http itself reads the first 512 bytes of an answer.
	if read > 2*512 {
		t.Errorf("%d bytes came through user space: sendfile is not used", read)
	}
}

// Whatever key is taken leads to one file below the root, which List finds.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"a", "sha256/aa/bb", "../x", "a/../b", ".hidden", "lost+found/x", "a//b", "é", "a b", "-", "..."} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		dir := t.TempDir()
		e := newEngine(t, Options{Root: filepath.Join(dir, "storage")})
		u, err := e.Upload(t.Context(), key, 0, nil)
		if blob.CheckKey(key) != nil {
			if !gantry.Is(err, gantry.Invalid) {
				t.Fatalf("Upload(%q) = %v; want Invalid", key, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(u.Complete(t.Context()), u.Close()); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Fatalf("%q leads outside: %v, %v", key, left, err)
		}
		if got := blobtest.Keys(t, e, key, ""); !slices.Equal(got, []string{key}) {
			t.Fatalf("List finds %q; want %q", got, key)
		}
	})
}
