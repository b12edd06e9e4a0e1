package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/blob"
)

// Publish implements blob.Engine. Where the file system has no hard links, or
// no more for this file, it copies.
func (e *Engine) Publish(ctx context.Context, from, to string) error {
	if err := blob.Begin(ctx, from, to); err != nil {
		return err
	}
	if from == to {
		_, err := e.Stat(ctx, from)
		return err
	}
	return publishError(from, to, e.publish(ctx, from, to))
}

func (e *Engine) publish(ctx context.Context, from, to string) error {
	const tries = 3 // the folder may be removed between two calls
	for try := 1; ; try++ {
		p, err := e.pair(from, to)
		if err != nil {
			return err
		}
		if err = p.link(); err != nil {
			err = p.place(ctx, err)
		}
		if err == nil {
			err = e.syncFolder(p.toDir, p.toFolder)
		}
		_, gone := statFile(p.fromDir, p.fromName)
		p.close()
		if !errors.Is(err, unix.ENOENT) || gone != nil || try == tries {
			return err
		}
	}
}

// PublishUpload implements blob.UploadPublisher. The package comment says why
// the link comes before the sync, and when it does not.
func (e *Engine) PublishUpload(ctx context.Context, bu blob.Upload, to string) error {
	u, ok := bu.(*upload)
	if !ok || u.e != e {
		return fmt.Errorf("publish upload: %T is not an upload of this engine", bu)
	}
	if err := blob.Begin(ctx, to); err != nil {
		return err
	}
	if u.key == to {
		return u.Complete(ctx)
	}
	if err := u.ready(ctx); err != nil {
		return err
	}
	if err := u.publish(ctx, to); err != nil {
		u.err = publishError(u.key, to, err)
		return u.err
	}
	u.err = errEnded
	return nil
}

func (u *upload) publish(ctx context.Context, to string) error {
	p, err := u.e.pair(u.key, to)
	if err != nil {
		return err
	}
	defer p.close()
	linked := p.link()
	// fsync, not fdatasync, which need not commit the link.
	if err := u.syncFile(unix.Fsync); err != nil {
		return err
	}
	if linked != nil {
		return u.e.publish(ctx, u.key, to)
	}
	return u.e.syncFolder(p.toDir, p.toFolder)
}

// A pair is two names and their open folders.
type pair struct {
	e              *Engine
	from, fromName string
	to, toName     string
	toFolder       string
	fromDir, toDir int
}

// pair opens the folder of from and the folder of to, which it makes durably
// if it is absent.
func (e *Engine) pair(from, to string) (*pair, error) {
	p := &pair{e: e, from: from, to: to}
	var err error
	if p.fromDir, p.fromName, err = e.parent(from); err != nil {
		return nil, err
	}
	// A hard link can be made of a symbolic link too: it must be a file.
	if _, err := statFile(p.fromDir, p.fromName); err != nil {
		closeFD(p.fromDir)
		return nil, err
	}
	p.toFolder, p.toName = split(to)
	if p.toDir, err = e.folder(p.toFolder); err != nil {
		closeFD(p.fromDir)
		return nil, err
	}
	return p, nil
}

func (p *pair) close() {
	closeFD(p.fromDir)
	closeFD(p.toDir)
}

// link gives from the name to, if that is free.
func (p *pair) link() error { return p.linkAs(p.toName) }

func (p *pair) linkAs(name string) error {
	if err := p.e.fault(OpLink, p.to); err != nil {
		return err
	}
	return again(func() error { return unix.Linkat(p.fromDir, p.fromName, p.toDir, name, 0) })
}

// place gives from, whose bytes are durable, the name to after link failed with
// err: over what has the name, or by a copy.
func (p *pair) place(ctx context.Context, err error) error {
	if errors.Is(err, unix.EEXIST) {
		if same, err := p.same(); err != nil || same {
			return err
		}
		temp := tempName()
		if err = p.linkAs(temp); err == nil {
			return p.e.rename(p.toDir, temp, p.toName, p.to)
		}
	}
	if !noLink(err) {
		return err
	}
	fd, err := openWalking(p.fromDir, p.fromName, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), p.from)
	defer func() { _ = f.Close() }() // only read
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	copied, temp, err := p.e.copyTemp(ctx, f, st.Size, p.toDir, p.to)
	if err != nil {
		return err
	}
	if err := copied.Close(); err != nil {
		_ = unix.Unlinkat(p.toDir, temp, 0) // List removes it later
		return err
	}
	return p.e.rename(p.toDir, temp, p.toName, p.to)
}

// same reports whether both names have one file already.
func (p *pair) same() (bool, error) {
	from, err := statFile(p.fromDir, p.fromName)
	if err != nil {
		return false, err
	}
	to, err := statFile(p.toDir, p.toName)
	if errors.Is(err, unix.ENOENT) {
		return false, nil // deleted meanwhile
	}
	if err != nil {
		return false, err
	}
	return from.Dev == to.Dev && from.Ino == to.Ino, nil
}

// rename puts temp in the place of name. If it cannot, temp goes.
func (e *Engine) rename(dir int, temp, name, key string) error {
	err := e.fault(OpRename, key)
	if err == nil {
		err = again(func() error { return unix.Renameat(dir, temp, dir, name) })
	}
	// rename does nothing when both are names of one file already, which
	// another publisher may have made true meanwhile; then temp is still here.
	if gone := unix.Unlinkat(dir, temp, 0); err == nil && !absent(gone) {
		return gone
	}
	return err
}

// copyTemp copies the first n bytes of f to a new file under a temporary name
// in the folder dir, and syncs it. key is where it will go. It returns the
// copy, open for reading and writing.
func (e *Engine) copyTemp(ctx context.Context, f *os.File, n int64, dir int, key string) (_ *os.File, temp string, err error) {
	if err := e.fault(OpCopy, key); err != nil {
		return nil, "", err
	}
	temp = tempName()
	fd, err := openWalking(dir, temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, e.fileMode())
	if err != nil {
		return nil, "", err
	}
	c := os.NewFile(uintptr(fd), key)
	if err = e.copyBytes(ctx, c, f, n); err == nil {
		if err = e.fault(OpSync, key); err == nil {
			err = c.Sync()
		}
	}
	if err != nil {
		_ = c.Close()                   // the copy is discarded,
		_ = unix.Unlinkat(dir, temp, 0) // and if this fails, List removes it
		return nil, "", err
	}
	return c, temp, nil
}

// copyBytes copies the first n bytes of from to the beginning of to, in the
// kernel where that is possible (os.File.ReadFrom: copy_file_range, which
// shares extents on XFS and btrfs).
func (e *Engine) copyBytes(ctx context.Context, to, from *os.File, n int64) error {
	for off := int64(0); off < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.room(int(min(copyChunk, n-off))); err != nil {
			return err
		}
		m, err := io.Copy(to, io.LimitReader(from, min(copyChunk, n-off)))
		if err != nil {
			return err
		}
		if m == 0 {
			return io.ErrUnexpectedEOF
		}
		off += m
	}
	return nil
}

// noLink reports whether err of a hard link says that the file system has none,
// or no more.
func noLink(err error) bool {
	for _, no := range []error{unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS, unix.EMLINK, unix.EXDEV} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// publishError wraps the error of publishing; nil stays nil.
func publishError(from, to string, err error) error {
	return lookupError("publish as "+to, from, err)
}
