// Package fs is the blob engine on a folder of a Linux file system, in Quay's
// layout: the object at key sha256/ab/abcd… is the file of that name below the
// root. A folder that Quay wrote is readable in place.
//
// # What is on stable storage, and when
//
// Sync of an upload returns after fdatasync of the file and fsync of the folder
// that names it; Complete likewise. Publish makes a hard link (or, where to
// exists, a link under a temporary name that is renamed over it) and returns
// after fsync of the folder. Folders that the engine makes are themselves made
// durable before anything is put into them.
//
// PublishUpload links first and syncs the file afterwards, because the fsync of
// the file then commits the journal that holds the link as well, and the fsync
// of the folder finds no more than a flush of the device left to do. So for a
// moment, and after a crash, the name may exist with bytes that are not whole.
// That is safe:
//
//   - It happens only to a name that did not exist. Where it exists, the file is
//     synced before it is renamed over the name, so a name that somebody was
//     told about never loses its bytes.
//   - PublishUpload returns after both syncs, and only then does the caller
//     write the row that names the object. Before, nobody reads it: the
//     existence of a name proves nothing, and adoption hashes what it finds.
//   - A later upload of the same blob finds the name, syncs its own bytes and
//     renames them over it.
//   - When the fsync fails, the file is emptied (through its descriptor, so it
//     is this file and not one that another upload put under the name): what
//     the page cache still shows can then not be taken for what the disk has.
//
// A failed fsync is never tried again: Linux reports a lost write once.
//
// Delete is an unlink without fsync: after a crash the object may be back. The
// caller's trash protocol deletes again. Folders are never removed, for one may
// just be about to be used.
//
// # Where it writes
//
// Never outside the root: paths are resolved by the kernel below the root's
// descriptor and may not pass through a symbolic link (openat2 with
// RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, or, where the kernel or a sandbox
// has none, element by element with O_NOFOLLOW). The root itself may be a link.
package fs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/blob"
)

const (
	writeback  = 8 << 20        // begin to write to disk when so many bytes are dirty
	leastFree  = 256 << 20      // the reserve is not less than this,
	freeParts  = 100            // nor less than this part of the whole
	spaceBytes = 16 << 20       // look at the free space again after so many bytes,
	spaceAge   = time.Second    // or after this time
	staleAge   = 24 * time.Hour // temporary names older than this are left from a crash
	copyChunk  = 64 << 20       // look at the context after so many bytes copied in the kernel
)

// An Op is a step at which Options.Faults is asked.
type Op string

// The steps.
const (
	OpWrite      Op = "write"       // before bytes are written
	OpSync       Op = "sync"        // before fsync or fdatasync of a file
	OpSyncFolder Op = "sync folder" // before fsync of a folder; the key is the folder's, "" is the root
	OpLink       Op = "link"        // before a hard link; the key is the new name, also for a temporary one
	OpRename     Op = "rename"      // before a temporary name is renamed to the key
	OpCopy       Op = "copy"        // before bytes are copied because no link is possible
)

// Options say where and how. Only Root is needed.
type Options struct {
	// Root is the folder; it is made, with its parents, if absent.
	Root string
	// Reserve is how many bytes of the file system uploads leave free. 0 is
	// 1 % of the whole, but at least 256 MiB; less than 0 is none.
	Reserve int64
	// FileMode and FolderMode are the permissions of what is made, before the
	// umask. 0 is 0600 and 0700.
	FileMode, FolderMode os.FileMode
	// Faults is for tests. It is asked before each step, and its error is
	// taken for the error of the system call. nil is none.
	Faults func(op Op, key string) error
}

// An Engine is a blob.Engine and a blob.UploadPublisher.
type Engine struct {
	opts    Options
	rootFD  atomic.Int64 // -1 once closed
	beneath bool         // openat2 works here

	// durable holds the folders whose entry in their parent is known to be on
	// stable storage. "" is not in it.
	durable sync.Map
	settle  sync.Mutex // held while a folder is made durable

	space struct {
		sync.Mutex
		at      time.Time // when the file system was asked last
		written int64     // bytes since then
		low     bool      // and the answer
		reserve uint64
	}
	statfs func() (free, total uint64, err error) // replaced in tests
}

var _ blob.UploadPublisher = (*Engine)(nil)

// New opens the folder opts.Root. Close releases it.
func New(opts Options) (*Engine, error) {
	if opts.Root == "" {
		return nil, errors.New("file storage: no folder is given")
	}
	if opts.FileMode == 0 {
		opts.FileMode = 0o600
	}
	if opts.FolderMode == 0 {
		opts.FolderMode = 0o700
	}
	root, err := filepath.Abs(opts.Root)
	if err != nil {
		return nil, fmt.Errorf("file storage: %w", err)
	}
	opts.Root = root
	if err := makeRoot(root, opts.FolderMode); err != nil {
		return nil, fmt.Errorf("file storage: %w", err)
	}
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("file storage: %w", &os.PathError{Op: "open", Path: root, Err: err})
	}
	e := &Engine{opts: opts}
	e.rootFD.Store(int64(fd))
	e.statfs = e.askSpace
	if probe, err := openBeneath(fd, ".", unix.O_PATH, 0); err == nil {
		e.beneath = true
		closeFD(probe)
	}
	return e, nil
}

// Close releases the root folder. No call may be in progress, no Upload open;
// open Objects stay open. Every later call fails.
func (e *Engine) Close() error {
	if fd := e.rootFD.Swap(-1); fd >= 0 {
		return unix.Close(int(fd))
	}
	return nil
}

// Open implements blob.Engine. The Object is a blob.Filer; ServeContent and
// io.Copy to a TCP connection use sendfile.
func (e *Engine) Open(ctx context.Context, key string) (blob.Object, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	fd, err := e.openat(key, unix.O_RDONLY, 0)
	if err != nil {
		return nil, lookupError("open object", key, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		closeFD(fd)
		if err == nil {
			err = blob.NoObject(nil)
		}
		return nil, failed("open object", key, err)
	}
	return &object{os.NewFile(uintptr(fd), key), st.Size}, nil
}

// osFile is os.File under a name that leaves File free for the method.
type osFile = os.File

// An object embeds the file so that it has SyscallConn, by which package net
// recognizes what it can sendfile.
type object struct {
	*osFile
	size int64
}

func (o *object) Size() int64    { return o.size }
func (o *object) File() *os.File { return o.osFile }

// Stat implements blob.Engine.
func (e *Engine) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return blob.Info{}, err
	}
	parent, name, err := e.parent(key)
	if err != nil {
		return blob.Info{}, lookupError("stat object", key, err)
	}
	defer closeFD(parent)
	st, err := statFile(parent, name)
	if err != nil {
		return blob.Info{}, lookupError("stat object", key, err)
	}
	return infoOf(key, st), nil
}

// Delete implements blob.Engine. It does not sync: a crash may bring the
// object back.
func (e *Engine) Delete(ctx context.Context, key string) error {
	if err := blob.Begin(ctx, key); err != nil {
		return err
	}
	parent, name, err := e.parent(key)
	if err == nil {
		err = unix.Unlinkat(parent, name, 0)
		closeFD(parent)
	}
	if absent(err) || errors.Is(err, unix.EISDIR) { // a folder is no object
		return nil
	}
	return failed("delete object", key, err)
}

// Abort implements blob.Engine; here it is Delete.
func (e *Engine) Abort(ctx context.Context, key string, _ []byte) error {
	return e.Delete(ctx, key)
}

// URL implements blob.Engine: a file has none.
func (e *Engine) URL(ctx context.Context, key string, _ blob.URLOptions) (string, error) {
	return "", blob.Begin(ctx, key)
}

// Free implements blob.Engine. The reserve is not counted as free.
func (e *Engine) Free(ctx context.Context) (free, total uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	free, total, err = e.statfs()
	if err != nil {
		return 0, 0, fmt.Errorf("free space of storage: %w", err)
	}
	reserve := e.reserve(total)
	return free - min(free, reserve), total, nil
}

// reserve returns how many bytes of a file system of that size stay free.
func (e *Engine) reserve(total uint64) uint64 {
	switch {
	case e.opts.Reserve < 0:
		return 0
	case e.opts.Reserve > 0:
		return uint64(e.opts.Reserve)
	}
	return max(total/freeParts, leastFree)
}

// askSpace asks the file system.
func (e *Engine) askSpace() (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(e.root(), &st) }); err != nil {
		return 0, 0, err
	}
	unit := st.Frsize
	if unit <= 0 {
		unit = st.Bsize
	}
	if unit <= 0 {
		return 0, 0, nil
	}
	return st.Bavail * uint64(unit), st.Blocks * uint64(unit), nil
}

// room returns an error if too little space is left, n more bytes being about
// to be written. The file system is asked every 16 MiB or every second,
// whatever is first; so the engine recovers by itself.
func (e *Engine) room(n int) error {
	if e.opts.Reserve < 0 {
		return nil
	}
	e.space.Lock()
	defer e.space.Unlock()
	e.space.written += int64(n)
	if now := time.Now(); e.space.at.IsZero() || e.space.written >= spaceBytes || now.Sub(e.space.at) >= spaceAge {
		e.space.at, e.space.written, e.space.low = now, 0, false
		// A file system that cannot tell, or has no bound, is not full; when
		// it is, the write says so.
		if free, total, err := e.statfs(); err == nil && total > 0 {
			e.space.reserve = e.reserve(total)
			e.space.low = free < e.space.reserve
		}
	}
	if e.space.low {
		return blob.DiskFull(fmt.Errorf("less than the reserve of %d bytes is free", e.space.reserve))
	}
	return nil
}

// Check implements blob.Engine. It works below the reserve too: a full disk
// still serves pulls. It uses a reserved name of its own, so that processes
// that share a folder do not meet.
func (e *Engine) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A folder that was replaced or unmounted beneath us takes no harm from
	// us, and we would not notice: everything goes to the old one.
	var ours, named unix.Stat_t
	if err := unix.Fstat(e.root(), &ours); err != nil {
		return fmt.Errorf("check storage: %w", err)
	}
	if err := unix.Stat(e.opts.Root, &named); err != nil {
		return fmt.Errorf("check storage: stat %s: %w", e.opts.Root, err)
	}
	if ours.Dev != named.Dev || ours.Ino != named.Ino {
		return fmt.Errorf("check storage: %s is another folder than at the start; start again", e.opts.Root)
	}

	name := tempName()
	fd, err := e.openat(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, e.fileMode())
	if err != nil {
		return failed("check storage", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { _ = f.Close() }() // nothing depends on the bytes
	if err = e.fault(OpWrite, name); err == nil {
		_, err = f.WriteString(name)
	}
	got := make([]byte, len(name)+1)
	n := 0
	if err == nil {
		n, err = e.readName(name, got)
	}
	if err == nil && string(got[:n]) != name {
		err = errors.New("other bytes are read than were written")
	}
	if gone := unix.Unlinkat(e.root(), name, 0); err == nil {
		err = gone
	}
	return failed("check storage", name, err)
}

// readName reads the file at key into p, up to its end.
func (e *Engine) readName(key string, p []byte) (int, error) {
	fd, err := e.openat(key, unix.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(fd), key)
	defer func() { _ = f.Close() }() // only read
	n, err := io.ReadFull(f, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// root returns the root's descriptor, or -1, which fails with EBADF.
func (e *Engine) root() int { return int(e.rootFD.Load()) }

func (e *Engine) fileMode() uint32   { return uint32(e.opts.FileMode.Perm()) }
func (e *Engine) folderMode() uint32 { return uint32(e.opts.FolderMode.Perm()) }

func (e *Engine) fault(op Op, key string) error {
	if e.opts.Faults == nil {
		return nil
	}
	return e.opts.Faults(op, key)
}

// openat opens path, relative to the root ("" is the root), following no
// symbolic link.
func (e *Engine) openat(name string, flags int, mode uint32) (int, error) {
	if name == "" {
		name = "."
	}
	if e.beneath {
		return openBeneath(e.root(), name, flags, mode)
	}
	return openWalking(e.root(), name, flags, mode)
}

// parent opens the folder that key is in, for *at calls, and returns the last
// element of key too.
func (e *Engine) parent(key string) (fd int, name string, err error) {
	dir, name := split(key)
	fd, err = e.openat(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	return fd, name, err
}

// folder opens the folder dir ("" is the root), making it if it is absent. It
// and its parents are on stable storage then.
func (e *Engine) folder(dir string) (int, error) {
	fd, err := e.openat(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if dir == "" {
		return fd, err
	}
	if err == nil {
		if _, ok := e.durable.Load(dir); ok {
			return fd, nil
		}
		closeFD(fd)
	} else if !errors.Is(err, unix.ENOENT) {
		return -1, err
	}

	e.settle.Lock()
	err = e.makeFolder(dir)
	e.settle.Unlock()
	if err != nil {
		return -1, err
	}
	return e.openat(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// makeFolder makes dir if it is absent, and syncs the parent. The caller holds
// settle.
func (e *Engine) makeFolder(dir string) error {
	if fd, err := e.openat(dir, unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
		closeFD(fd)
		if _, ok := e.durable.Load(dir); ok {
			return nil // by another goroutine, meanwhile
		}
	}
	e.durable.Delete(dir) // somebody may have removed it
	up, name := split(dir)
	if up != "" {
		if err := e.makeFolder(up); err != nil {
			return err
		}
	}
	fd, err := e.openat(up, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.path(up))
	defer func() { _ = f.Close() }() // a folder has nothing to flush here
	if err := unix.Mkdirat(fd, name, e.folderMode()); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	// The sync covers the siblings that are there already: after a start, one
	// for sha256/ instead of one for each of its 256 folders.
	const most = 1024
	siblings, err := f.ReadDir(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := e.syncFolder(fd, up); err != nil {
		return err
	}
	for _, s := range siblings {
		if s.IsDir() {
			e.durable.Store(join(up, s.Name()), struct{}{})
		}
	}
	e.durable.Store(dir, struct{}{})
	return nil
}

// syncFolder puts the entries of the folder on stable storage.
func (e *Engine) syncFolder(fd int, dir string) error {
	if err := e.fault(OpSyncFolder, dir); err != nil {
		return err
	}
	return again(func() error { return unix.Fsync(fd) })
}

// path returns where key is, for packages that want a path; never for opening.
func (e *Engine) path(key string) string { return filepath.Join(e.opts.Root, key) }

// openBeneath opens name below the folder root with openat2.
func openBeneath(root int, name string, flags int, mode uint32) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC), //nolint:gosec // flags are constants, none negative
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	err = again(func() error {
		fd, err = unix.Openat2(root, name, &how)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// openWalking is openBeneath for kernels before 5.6 and sandboxes that do not
// know openat2.
func openWalking(root int, name string, flags int, mode uint32) (fd int, err error) {
	dir := root
	defer func() {
		if dir != root {
			closeFD(dir)
		}
	}()
	for {
		element, rest := cut(name)
		last := rest == ""
		f, m := unix.O_PATH|unix.O_DIRECTORY, uint32(0)
		if last {
			f, m = flags, mode
		}
		err := again(func() error {
			fd, err = unix.Openat(dir, element, f|unix.O_NOFOLLOW|unix.O_CLOEXEC, m)
			return err
		})
		if err != nil {
			return -1, err
		}
		if last {
			return fd, nil
		}
		if dir != root {
			closeFD(dir)
		}
		dir, name = fd, rest
	}
}

// makeRoot makes the root folder and its parents, and makes them durable.
func makeRoot(root string, mode os.FileMode) error {
	if st, err := os.Stat(root); err == nil {
		if !st.IsDir() {
			return &os.PathError{Op: "open", Path: root, Err: unix.ENOTDIR}
		}
		return nil
	} else if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(root)
	if parent != root {
		if err := makeRoot(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(root, mode); err != nil && !errors.Is(err, iofs.ErrExist) {
		return err
	}
	d, err := os.Open(parent)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// statFile returns what the file is; ENOENT if name is something else.
func statFile(dir int, name string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return nil, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return &st, nil
	case unix.S_IFLNK:
		return nil, unix.ELOOP // as opening it says
	}
	return nil, unix.ENOENT
}

func infoOf(key string, st *unix.Stat_t) blob.Info {
	return blob.Info{Key: key, Size: st.Size, Modified: time.Unix(st.Mtim.Unix())}
}

// failed wraps the error of an operation on key; nil stays nil.
func failed(doing, key string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s %s: %w", doing, strconv.Quote(key), err)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return blob.DiskFull(err)
	}
	return err
}

// lookupError is failed for operations that find an object.
func lookupError(doing, key string, err error) error {
	if absent(err) {
		return blob.NoObject(err)
	}
	return failed(doing, key, err)
}

// absent reports whether err says that there is no such file.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// again calls a system call until no signal interrupts it.
func again(call func() error) error {
	for {
		err := call()
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// closeFD closes a descriptor through which nothing was written.
func closeFD(fd int) { _ = unix.Close(fd) }

// split cuts key at its last slash; dir is "" for the root.
func split(key string) (dir, name string) {
	dir, name = path.Split(key)
	if dir != "" {
		dir = dir[:len(dir)-1]
	}
	return dir, name
}

// cut cuts name at its first slash.
func cut(name string) (element, rest string) {
	for i := range len(name) {
		if name[i] == '/' {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// tempName returns a new reserved name.
func tempName() string { return blob.ReservedPrefix + rand.Text() }
