package blobtest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gantry-registry/gantry/internal/blob"
)

// An Op is a method of an Engine, an Upload or an Object.
type Op string

// The operations that a Hook sees.
const (
	OpUpload        Op = "upload"
	OpWrite         Op = "write"
	OpSync          Op = "sync"
	OpComplete      Op = "complete"
	OpAbort         Op = "abort"
	OpPublish       Op = "publish"        // Key is from, To is to
	OpPublishUpload Op = "publish upload" // Key is the upload's key, To is to
	OpOpen          Op = "open"
	OpRead          Op = "read" // Read and ReadAt of an Object
	OpStat          Op = "stat"
	OpDelete        Op = "delete"
	OpList          Op = "list" // Key is the prefix
	OpURL           Op = "url"
	OpFree          Op = "free"
	OpCheck         Op = "check"
)

// A Call is one operation, as a Hook sees it.
type Call struct {
	Op    Op
	Key   string
	To    string
	After bool  // the operation was done
	Err   error // After: how it went
	N     int   // OpWrite, OpRead: before, the bytes asked for; after, the bytes done
	// Short, when a Hook sets it before OpWrite and returns an error, is how
	// many bytes are written all the same.
	Short int
}

// A Hook is called before and after each operation, by the goroutine that does
// it; to delay the operation, it waits. An error that it returns before the
// operation is the operation's error, and nothing is done. An error returned
// after it replaces the result: done, but reported as failed. nil changes
// nothing.
//
// OpSync, OpComplete and OpPublishUpload that a Hook fails beforehand are like
// a failed fsync: the upload is poisoned and its bytes are lost.
type Hook func(ctx context.Context, c *Call) error

// Hooks calls each in turn; the first error counts.
func Hooks(hooks ...Hook) Hook {
	return func(ctx context.Context, c *Call) error {
		for _, h := range hooks {
			if err := h(ctx, c); err != nil {
				return err
			}
		}
		return nil
	}
}

// FailOn fails op, before it is done, for keys that begin with prefix.
func FailOn(op Op, prefix string, err error) Hook {
	return func(_ context.Context, c *Call) error {
		if c.Op == op && !c.After && strings.HasPrefix(c.Key, prefix) {
			return err
		}
		return nil
	}
}

// FailNth fails the n-th call of op (1 is the first), and no other. With after
// it is done all the same.
func FailNth(op Op, n int64, after bool, err error) Hook {
	var seen atomic.Int64
	return func(_ context.Context, c *Call) error {
		if c.Op == op && c.After == after && seen.Add(1) == n {
			return err
		}
		return nil
	}
}

// FullAfter lets n bytes be written, in all, and then answers as a full disk
// does, writing what fits.
func FullAfter(n int64) Hook {
	var mu sync.Mutex
	return func(_ context.Context, c *Call) error {
		if c.Op != OpWrite || c.After {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if n -= int64(c.N); n >= 0 {
			return nil
		}
		c.Short = int(max(0, n+int64(c.N)))
		n = 0
		return blob.DiskFull(io.ErrShortWrite)
	}
}

// DieAfter lets n operations happen and fails all others: the process, or the
// way to the storage, is gone.
func DieAfter(n int64, err error) Hook {
	var seen atomic.Int64
	return func(_ context.Context, c *Call) error {
		if !c.After && seen.Add(1) > n {
			return err
		}
		return nil
	}
}

// A FaultyEngine is an Engine around another. It is a blob.UploadPublisher
// whatever the other is. Its Objects are no blob.Filer, so that reads are seen.
type FaultyEngine struct {
	engine blob.Engine
	hook   atomic.Pointer[Hook]

	mu   sync.Mutex
	hold bool
	held []string // keys whose Delete is held back
}

var _ blob.UploadPublisher = (*FaultyEngine)(nil)

// Faulty wraps engine. hook may be nil.
func Faulty(engine blob.Engine, hook Hook) *FaultyEngine {
	f := &FaultyEngine{engine: engine}
	f.SetHook(hook)
	return f
}

// SetHook replaces the hook, from the next call on. nil is none.
func (f *FaultyEngine) SetHook(hook Hook) {
	if hook == nil {
		hook = func(context.Context, *Call) error { return nil }
	}
	f.hook.Store(&hook)
}

// HoldDeletes makes Delete answer nil and do nothing until ReleaseDeletes, as
// an object store does that removes late.
func (f *FaultyEngine) HoldDeletes() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = true
}

// HeldDeletes returns the keys whose Delete is held back, oldest first.
func (f *FaultyEngine) HeldDeletes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.held)
}

// ReleaseDeletes does the first n deletes that are held back (all, if n < 0),
// whatever the keys hold now. Deletes are still held back afterwards, unless n
// is < 0.
func (f *FaultyEngine) ReleaseDeletes(ctx context.Context, n int) error {
	f.mu.Lock()
	if n < 0 {
		f.hold = false
	}
	if n < 0 || n > len(f.held) {
		n = len(f.held)
	}
	keys := f.held[:n:n]
	f.held = f.held[n:]
	f.mu.Unlock()
	for _, key := range keys {
		if err := f.engine.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// run calls the hook, do, and the hook again.
func (f *FaultyEngine) run(ctx context.Context, c Call, do func() error) error {
	hook := *f.hook.Load()
	if err := hook(ctx, &c); err != nil {
		return err
	}
	err := do()
	c.After, c.Err = true, err
	if late := hook(ctx, &c); late != nil {
		return late
	}
	return err
}

// Upload implements blob.Engine.
func (f *FaultyEngine) Upload(ctx context.Context, key string, offset int64, state []byte) (up blob.Upload, err error) {
	var inner blob.Upload
	err = f.run(ctx, Call{Op: OpUpload, Key: key}, func() (err error) {
		inner, err = f.engine.Upload(ctx, key, offset, state)
		return err
	})
	if err != nil {
		if inner != nil {
			_ = inner.Close() // the hook's error counts
		}
		return nil, err
	}
	u := &faultyUpload{f: f, u: inner, key: key, state: slices.Clone(state)}
	u.writes, u.interrupt = context.WithCancel(context.WithoutCancel(ctx))
	return u, nil
}

// Abort implements blob.Engine.
func (f *FaultyEngine) Abort(ctx context.Context, key string, state []byte) error {
	return f.run(ctx, Call{Op: OpAbort, Key: key}, func() error { return f.engine.Abort(ctx, key, state) })
}

// Publish implements blob.Engine.
func (f *FaultyEngine) Publish(ctx context.Context, from, to string) error {
	return f.run(ctx, Call{Op: OpPublish, Key: from, To: to}, func() error { return f.engine.Publish(ctx, from, to) })
}

// PublishUpload implements blob.UploadPublisher.
func (f *FaultyEngine) PublishUpload(ctx context.Context, u blob.Upload, to string) error {
	up, ok := u.(*faultyUpload)
	if !ok || up.f != f {
		return fmt.Errorf("publish upload: %T is not an upload of this engine", u)
	}
	return up.end(ctx, Call{Op: OpPublishUpload, Key: up.key, To: to}, func() error {
		return blob.PublishUpload(ctx, f.engine, up.u, up.key, to)
	})
}

// Open implements blob.Engine.
func (f *FaultyEngine) Open(ctx context.Context, key string) (blob.Object, error) {
	var o blob.Object
	err := f.run(ctx, Call{Op: OpOpen, Key: key}, func() (err error) {
		o, err = f.engine.Open(ctx, key)
		return err
	})
	if err != nil {
		if o != nil {
			_ = o.Close() // the hook's error counts
		}
		return nil, err
	}
	return &faultyObject{f: f, o: o, key: key}, nil
}

// Stat implements blob.Engine.
func (f *FaultyEngine) Stat(ctx context.Context, key string) (info blob.Info, err error) {
	err = f.run(ctx, Call{Op: OpStat, Key: key}, func() (err error) {
		info, err = f.engine.Stat(ctx, key)
		return err
	})
	return info, err
}

// Delete implements blob.Engine.
func (f *FaultyEngine) Delete(ctx context.Context, key string) error {
	return f.run(ctx, Call{Op: OpDelete, Key: key}, func() error {
		f.mu.Lock()
		hold := f.hold
		if hold {
			f.held = append(f.held, key)
		}
		f.mu.Unlock()
		if hold {
			return blob.CheckKey(key)
		}
		return f.engine.Delete(ctx, key)
	})
}

// List implements blob.Engine. The hook is called at the beginning and the end.
func (f *FaultyEngine) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		stopped := false
		err := f.run(ctx, Call{Op: OpList, Key: prefix}, func() error {
			for info, err := range f.engine.List(ctx, prefix, after) {
				if err != nil {
					return err
				}
				if !yield(info, nil) {
					stopped = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(blob.Info{}, err)
		}
	}
}

// URL implements blob.Engine.
func (f *FaultyEngine) URL(ctx context.Context, key string, opts blob.URLOptions) (url string, err error) {
	err = f.run(ctx, Call{Op: OpURL, Key: key}, func() (err error) {
		url, err = f.engine.URL(ctx, key, opts)
		return err
	})
	return url, err
}

// Free implements blob.Engine.
func (f *FaultyEngine) Free(ctx context.Context) (free, total uint64, err error) {
	err = f.run(ctx, Call{Op: OpFree}, func() (err error) {
		free, total, err = f.engine.Free(ctx)
		return err
	})
	return free, total, err
}

// Check implements blob.Engine.
func (f *FaultyEngine) Check(ctx context.Context) error {
	return f.run(ctx, Call{Op: OpCheck}, func() error { return f.engine.Check(ctx) })
}

type faultyUpload struct {
	f         *FaultyEngine
	u         blob.Upload
	key       string
	state     []byte          // of the last Sync
	err       error           // of a hook: every further call answers it
	writes    context.Context //nolint:containedctx // of the hooks of Write, which has none
	interrupt context.CancelFunc
}

// Interrupt implements blob.Interrupter, for hooks that wait.
func (u *faultyUpload) Interrupt() { u.interrupt() }

func (u *faultyUpload) Write(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	ctx := u.writes
	hook := *u.f.hook.Load()
	c := Call{Op: OpWrite, Key: u.key, N: len(p)}
	if u.err = hook(ctx, &c); u.err != nil {
		if short := min(c.Short, len(p)); short > 0 {
			n, err = u.u.Write(p[:short])
			if err != nil {
				return n, err
			}
		}
		return n, u.err
	}
	n, err = u.u.Write(p)
	c.After, c.Err, c.N = true, err, n
	if u.err = hook(ctx, &c); u.err != nil {
		return n, u.err
	}
	return n, err
}

func (u *faultyUpload) Sync(ctx context.Context) (state []byte, err error) {
	err = u.end(ctx, Call{Op: OpSync, Key: u.key}, func() (err error) {
		state, err = u.u.Sync(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	u.state = slices.Clone(state)
	return state, nil
}

func (u *faultyUpload) Complete(ctx context.Context) error {
	return u.end(ctx, Call{Op: OpComplete, Key: u.key}, func() error { return u.u.Complete(ctx) })
}

// end runs an operation that makes bytes durable.
func (u *faultyUpload) end(ctx context.Context, c Call, do func() error) error {
	if u.err != nil {
		return u.err
	}
	done := false
	err := u.f.run(ctx, c, func() error {
		done = true
		return do()
	})
	if err != nil {
		u.err = err
	}
	if err != nil && !done {
		_ = u.u.Close() // the bytes are to be lost: the hook's error counts
		_ = u.f.engine.Abort(context.WithoutCancel(ctx), u.key, u.state)
	}
	return err
}

func (u *faultyUpload) Close() error {
	u.interrupt()
	return u.u.Close()
}

type faultyObject struct {
	f   *FaultyEngine
	o   blob.Object
	key string
}

func (o *faultyObject) read(p []byte, do func() (int, error)) (n int, err error) {
	ctx := context.Background() // io.Reader has none
	hook := *o.f.hook.Load()
	c := Call{Op: OpRead, Key: o.key, N: len(p)}
	if err := hook(ctx, &c); err != nil {
		return 0, err
	}
	n, err = do()
	c.After, c.Err, c.N = true, err, n
	if late := hook(ctx, &c); late != nil {
		return n, late
	}
	return n, err
}

func (o *faultyObject) Read(p []byte) (int, error) {
	return o.read(p, func() (int, error) { return o.o.Read(p) })
}

func (o *faultyObject) ReadAt(p []byte, off int64) (int, error) {
	return o.read(p, func() (int, error) { return o.o.ReadAt(p, off) })
}

func (o *faultyObject) Seek(offset int64, whence int) (int64, error) { return o.o.Seek(offset, whence) }
func (o *faultyObject) Size() int64                                  { return o.o.Size() }
func (o *faultyObject) Close() error                                 { return o.o.Close() }
