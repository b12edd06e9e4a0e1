package fs

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/blob"
)

// errEnded is what an upload answers after Complete or Close.
var errEnded = errors.New("the upload has ended")

// An upload is a file that grows. It needs no state to be resumed: offset and
// file say all.
type upload struct {
	e       *Engine
	key     string
	f       *os.File
	off     int64 // bytes written
	begun   int64 // bytes whose writeback has begun
	synced  int64 // bytes known to be durable, or -1
	entered bool  // the name is durable
	err     error // what every further call answers
	closed  bool
}

// Upload implements blob.Engine. The state is ignored.
func (e *Engine) Upload(ctx context.Context, key string, offset int64, state []byte) (blob.Upload, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, blob.NoUpload(fmt.Errorf("offset %d", offset))
	}
	if err := e.room(0); err != nil {
		return nil, err
	}
	if offset == 0 && len(state) == 0 {
		return e.create(key)
	}
	return e.resume(ctx, key, offset)
}

// create makes the file anew. What has the name loses the name and keeps its
// bytes, for they may have another: it is not truncated.
func (e *Engine) create(key string) (blob.Upload, error) {
	const tries = 10
	dir, name := split(key)
	for try := 1; ; try++ {
		parent, err := e.folder(dir)
		if err != nil {
			return nil, failed("create upload", key, err)
		}
		fd, err := openWalking(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, e.fileMode())
		if errors.Is(err, unix.EEXIST) {
			err = unix.Unlinkat(parent, name, 0)
			closeFD(parent)
			if err != nil && !absent(err) || try == tries {
				return nil, failed("create upload", key, err)
			}
			continue
		}
		closeFD(parent)
		if errors.Is(err, unix.ENOENT) && try < tries { // the folder was removed
			continue
		}
		if err != nil {
			return nil, failed("create upload", key, err)
		}
		return &upload{e: e, key: key, f: os.NewFile(uintptr(fd), key), synced: -1}, nil
	}
}

// resume opens the file and drops what is behind offset.
func (e *Engine) resume(ctx context.Context, key string, offset int64) (blob.Upload, error) {
	fd, err := e.openat(key, unix.O_RDWR, 0)
	if absent(err) {
		return nil, blob.NoUpload(err)
	} else if err != nil {
		return nil, failed("resume upload", key, err)
	}
	f := os.NewFile(uintptr(fd), key)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		switch {
		case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < offset:
			err = blob.NoUpload(fmt.Errorf("%d bytes of %d are there", st.Size, offset))
		case st.Nlink > 1:
			// It was published by a commit that never ended. The other name
			// must keep its bytes, so the upload goes on in a copy.
			var own *os.File
			if own, err = e.detach(ctx, f, key, offset); err == nil {
				_ = f.Close() // nothing was written through it
				f = own
			}
		case st.Size > offset:
			err = again(func() error { return unix.Ftruncate(fd, offset) })
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written through it
		return nil, failed("resume upload", key, err)
	}
	// A Sync vouched for the bytes and the name. That the end was cut is not
	// durable, and needs not be: who resumes cuts again, and Complete syncs.
	return &upload{e: e, key: key, f: f, off: offset, begun: offset, synced: offset, entered: true}, nil
}

// detach puts a durable copy of the first n bytes of f in the place of key.
func (e *Engine) detach(ctx context.Context, f *os.File, key string, n int64) (*os.File, error) {
	dir, name := split(key)
	parent, err := e.folder(dir)
	if err != nil {
		return nil, err
	}
	defer closeFD(parent)
	own, temp, err := e.copyTemp(ctx, f, n, parent, key)
	if err != nil {
		return nil, err
	}
	if err = e.rename(parent, temp, name, key); err == nil {
		err = e.syncFolder(parent, dir)
	}
	if err != nil {
		_ = own.Close() // the upload is not resumed
		return nil, err
	}
	return own, nil
}

// Write implements blob.Upload.
func (u *upload) Write(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	if err = u.e.room(len(p)); err == nil {
		err = u.e.fault(OpWrite, u.key)
	}
	if err == nil {
		n, err = u.f.WriteAt(p, u.off)
		u.off += int64(n)
	}
	if err == nil && u.off-u.begun >= writeback {
		err = u.writeBack()
	}
	return n, u.fail("write upload", err)
}

// writeBack makes the kernel begin to write the dirty bytes to disk, so that
// the sync at the end has little to wait for.
func (u *upload) writeBack() error {
	err := again(func() error {
		return unix.SyncFileRange(int(u.f.Fd()), u.begun, u.off-u.begun, unix.SYNC_FILE_RANGE_WRITE)
	})
	u.begun = u.off
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a file system that cannot: it was only a hint
	}
	return err
}

// Sync implements blob.Upload. The state is nil.
func (u *upload) Sync(ctx context.Context) ([]byte, error) {
	if err := u.ready(ctx); err != nil {
		return nil, err
	}
	return nil, u.fail("sync upload", u.sync())
}

// Complete implements blob.Upload.
func (u *upload) Complete(ctx context.Context) error {
	if err := u.ready(ctx); err != nil {
		return err
	}
	u.synced = -1 // a cut end must be durable too
	err := u.sync()
	if err == nil {
		u.err = errEnded
		return nil
	}
	return u.fail("complete upload", err)
}

// sync makes the bytes and then the name durable.
func (u *upload) sync() error {
	if u.synced != u.off {
		if err := u.syncFile(unix.Fdatasync); err != nil {
			return err
		}
	}
	if u.entered {
		return nil
	}
	dir, _ := split(u.key)
	parent, err := u.e.folder(dir)
	if err != nil {
		return err
	}
	defer closeFD(parent)
	if err := u.e.syncFolder(parent, dir); err != nil {
		return err
	}
	u.entered = true
	return nil
}

// syncFile makes the bytes durable by call, fsync or fdatasync. If that fails,
// nobody knows which of them are; then the file is emptied, so that no later
// reader takes the page cache for the disk.
func (u *upload) syncFile(call func(fd int) error) error {
	fd := int(u.f.Fd())
	err := u.e.fault(OpSync, u.key)
	if err == nil {
		err = again(func() error { return call(fd) })
	}
	if err != nil {
		_ = unix.Ftruncate(fd, 0) // the error that counts is returned
		return err
	}
	u.synced = u.off
	return nil
}

// Close implements blob.Upload.
func (u *upload) Close() error {
	if u.closed {
		return nil
	}
	u.closed = true
	if u.err == nil {
		u.err = errEnded
	}
	return failed("close upload", u.key, u.f.Close())
}

// ready reports why no further call is possible.
func (u *upload) ready(ctx context.Context) error {
	if u.err != nil {
		return u.err
	}
	if err := ctx.Err(); err != nil {
		return u.fail("sync upload", err)
	}
	return nil
}

// fail keeps the first error for all further calls, and returns it wrapped.
func (u *upload) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	u.err = failed(doing, u.key, err)
	return u.err
}
