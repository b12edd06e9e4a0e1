package fs

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/blob"
)

// List implements blob.Engine. It holds the names of one folder per level in
// memory. Temporary names older than a day, left by a crash, are removed on the
// way. What is no regular file, or has a name that is no key, is passed over.
func (e *Engine) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		err := ctx.Err()
		if err == nil {
			err = blob.CheckPrefix(prefix)
		}
		if err == nil {
			dir := ""
			if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
				dir = prefix[:i]
			}
			w := walk{e: e, prefix: prefix, after: after, yield: yield}
			err = w.folder(ctx, dir)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(blob.Info{}, failed("list objects", prefix, err))
		}
	}
}

// errStop ends a walk whose consumer has had enough.
var errStop = errors.New("stop")

type walk struct {
	e             *Engine
	prefix, after string
	yield         func(blob.Info, error) bool
}

// folder walks through dir ("" is the root), if it is there.
func (w *walk) folder(ctx context.Context, dir string) error {
	fd, err := w.e.openat(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	switch {
	case absent(err) || errors.Is(err, unix.ELOOP):
		return nil
	case dir == "lost+found" && errors.Is(err, unix.EACCES):
		return nil // the file system's own, where the root is a mount point
	case err != nil:
		return err
	}
	f := os.NewFile(uintptr(fd), w.e.path(dir))
	defer func() { _ = f.Close() }() // only read

	entries, err := w.read(f, dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		key, isFolder := strings.CutSuffix(entry, "/")
		if isFolder {
			err = w.folder(ctx, key)
		} else {
			err = w.file(fd, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read returns the keys of the files in f that the walk wants, and of the
// folders that may hold such, these with a slash, in byte order. A key below a
// folder begins with the folder's and the slash, so this is the order of the
// whole.
func (w *walk) read(f *os.File, dir string) ([]string, error) {
	const batch = 1024
	var entries []string
	for {
		some, err := f.ReadDir(batch)
		for _, s := range some {
			name := s.Name()
			key := join(dir, name)
			switch {
			case strings.HasPrefix(name, blob.ReservedPrefix):
				sweep(int(f.Fd()), name, time.Now())
			case blob.CheckKey(key) != nil:
			case s.IsDir():
				sub := key + "/"
				if w.wants(sub) && (w.after < sub || strings.HasPrefix(w.after, sub)) {
					entries = append(entries, sub)
				}
			case s.Type().IsRegular() && key > w.after && strings.HasPrefix(key, w.prefix):
				entries = append(entries, key)
			}
		}
		if errors.Is(err, io.EOF) {
			slices.SortFunc(entries, cmp.Compare)
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// wants reports whether keys that begin with sub may begin with the prefix.
func (w *walk) wants(sub string) bool {
	return strings.HasPrefix(sub, w.prefix) || strings.HasPrefix(w.prefix, sub)
}

// file yields the object at key, whose folder is open, if it is still there.
func (w *walk) file(dir int, key string) error {
	_, name := split(key)
	st, err := statFile(dir, name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	if !w.yield(infoOf(key, st), nil) {
		return errStop
	}
	return nil
}

// sweep removes a temporary name that a crash left.
func sweep(dir int, name string, now time.Time) {
	if st, err := statFile(dir, name); err == nil && stale(st, now) {
		_ = unix.Unlinkat(dir, name, 0) // the next listing tries again
	}
}

// stale reports whether a temporary name is too old to be in use. The status
// change time counts: it is when the name was made, while the bytes of a link
// may be old.
func stale(st *unix.Stat_t, now time.Time) bool {
	return now.Sub(time.Unix(st.Ctim.Unix())) > staleAge
}
