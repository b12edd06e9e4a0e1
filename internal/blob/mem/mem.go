// Package mem is the blob engine in memory. It is for tests, and strict: what
// was not synced is gone when an upload is closed, and an upload is resumed with
// a state and the offset at which Sync returned it, or not at all.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
)

// Options of an Engine. The zero value works.
type Options struct {
	// NoPublish makes the engine behave like an object store: Publish is
	// gantry.Unsupported, and an upload cannot be seen before Complete: what
	// the key held is there until then.
	NoPublish bool
	// Capacity is how many bytes fit in; 0 is no bound.
	Capacity int64
	// URL, when not nil, is what the URL method returns. nil is "".
	URL func(key string, opts blob.URLOptions) string
	// Now is the clock of Info.Modified; nil is time.Now.
	Now func() time.Time
}

// An Engine is a blob.Engine. Objects that it gives out are not files.
type Engine struct {
	opts Options

	mu      sync.Mutex
	objects map[string]*object
	used    int64 // bytes in objects, a shared one counted for each name
	uploads int64 // for states that differ
}

// An object's data is replaced, or appended to; bytes that are there never
// change, so readers keep the slice that they found.
type object struct {
	data     []byte
	modified time.Time
	pending  bool           // not completed
	states   map[string]int // of each Sync, and the bytes that it vouches for
	synced   int            // the most of these
	upload   int64          // the Upload that may write
	before   *object        // what an object store shows until this is completed
}

var _ blob.Engine = (*Engine)(nil)

// New returns an empty engine that can publish and has no bound.
func New() *Engine { return NewWith(Options{}) }

// NewWith returns an empty engine.
func NewWith(opts Options) *Engine {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Engine{opts: opts, objects: map[string]*object{}}
}

// put gives key to o, or to nothing when o is nil. The caller holds mu.
func (e *Engine) put(key string, o *object) {
	if old := e.objects[key]; old != nil {
		e.used -= int64(len(old.data))
		delete(e.objects, key)
	}
	if o != nil {
		e.used += int64(len(o.data))
		e.objects[key] = o
	}
}

// find returns the object that readers see at key, or nil. The caller holds mu.
func (e *Engine) find(key string) *object {
	o := e.objects[key]
	if o != nil && o.pending && e.opts.NoPublish {
		return o.before
	}
	return o
}

// Upload implements blob.Engine.
func (e *Engine) Upload(ctx context.Context, key string, offset int64, state []byte) (blob.Upload, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.opts.Capacity > 0 && e.used >= e.opts.Capacity {
		return nil, blob.DiskFull(nil)
	}
	o, before := e.objects[key], e.find(key)
	if offset == 0 && len(state) == 0 {
		o = &object{states: map[string]int{}}
	} else {
		if o == nil || !o.pending {
			return nil, blob.NoUpload(nil)
		}
		n, ok := o.states[string(state)]
		if !ok || int64(n) != offset {
			return nil, blob.NoUpload(errors.New("no Sync returned this state at this offset"))
		}
		// The states of later Syncs go with their bytes.
		o = &object{data: o.data[:n:n], synced: n, states: maps.Clone(o.states)}
		maps.DeleteFunc(o.states, func(_ string, at int) bool { return at > n })
	}
	e.uploads++
	o.pending, o.upload, o.modified = true, e.uploads, e.opts.Now()
	if e.opts.NoPublish {
		o.before = before
	}
	e.put(key, o)
	return &upload{e: e, key: key, id: o.upload}, nil
}

// Abort implements blob.Engine.
func (e *Engine) Abort(ctx context.Context, key string, _ []byte) error {
	if err := blob.Begin(ctx, key); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.objects[key]; o != nil && o.pending {
		e.put(key, o.before)
	}
	return nil
}

// Publish implements blob.Engine.
func (e *Engine) Publish(ctx context.Context, from, to string) error {
	if err := blob.Begin(ctx, from, to); err != nil {
		return err
	}
	if e.opts.NoPublish {
		return blob.CannotPublish()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.objects[from]
	if o == nil {
		return blob.NoObject(nil)
	}
	if o.pending {
		return fmt.Errorf("publish %q: the upload is not completed", from)
	}
	e.put(to, &object{data: o.data, modified: o.modified})
	return nil
}

// Open implements blob.Engine.
func (e *Engine) Open(ctx context.Context, key string) (blob.Object, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.find(key)
	if o == nil {
		return nil, blob.NoObject(nil)
	}
	return reader{bytes.NewReader(o.data)}, nil
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// Stat implements blob.Engine.
func (e *Engine) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return blob.Info{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.find(key)
	if o == nil {
		return blob.Info{}, blob.NoObject(nil)
	}
	return blob.Info{Key: key, Size: int64(len(o.data)), Modified: o.modified}, nil
}

// Delete implements blob.Engine.
func (e *Engine) Delete(ctx context.Context, key string) error {
	if err := blob.Begin(ctx, key); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch o := e.objects[key]; {
	case e.find(key) == nil:
	case e.find(key) == o.before:
		o.before = nil // the upload goes on
	default:
		e.put(key, nil)
	}
	return nil
}

// List implements blob.Engine. It lists what is there when it begins.
func (e *Engine) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, err)
			return
		}
		e.mu.Lock()
		keys := slices.Sorted(maps.Keys(e.objects))
		e.mu.Unlock()
		if err := ctx.Err(); err != nil {
			yield(blob.Info{}, err)
			return
		}
		for _, key := range keys {
			if key <= after || !strings.HasPrefix(key, prefix) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(blob.Info{}, err)
				return
			}
			info, err := e.Stat(ctx, key)
			if err == nil && !yield(info, nil) {
				return
			}
		}
	}
}

// URL implements blob.Engine.
func (e *Engine) URL(ctx context.Context, key string, opts blob.URLOptions) (string, error) {
	if err := blob.Begin(ctx, key); err != nil || e.opts.URL == nil {
		return "", err
	}
	return e.opts.URL(key, opts), nil
}

// Free implements blob.Engine.
func (e *Engine) Free(ctx context.Context) (free, total uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return uint64(max(0, e.opts.Capacity-e.used)), uint64(max(0, e.opts.Capacity)), nil
}

// Check implements blob.Engine.
func (e *Engine) Check(ctx context.Context) error {
	if err := blob.Begin(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.put(blob.VerifyKey, &object{data: []byte{1}})
	e.put(blob.VerifyKey, nil)
	return nil
}

type upload struct {
	e      *Engine
	key    string
	id     int64
	err    error
	closed bool
}

// errEnded is what an upload answers after Complete or Close.
var errEnded = errors.New("the upload has ended")

// object returns what u writes to. The caller holds mu.
func (u *upload) object(ctx context.Context) (*object, error) {
	if u.err == nil {
		u.err = ctx.Err()
	}
	if u.err != nil {
		return nil, u.err
	}
	o := u.e.objects[u.key]
	if o == nil || o.upload != u.id {
		u.err = fmt.Errorf("upload %q: removed, or opened again, meanwhile", u.key)
		return nil, u.err
	}
	return o, nil
}

// Write implements blob.Upload.
func (u *upload) Write(p []byte) (int, error) {
	u.e.mu.Lock()
	defer u.e.mu.Unlock()
	o, err := u.object(context.Background())
	if err != nil {
		return 0, err
	}
	n := len(p)
	if most := u.e.opts.Capacity; most > 0 && int64(n) > most-u.e.used {
		n = int(max(0, most-u.e.used))
		u.err = blob.DiskFull(io.ErrShortWrite)
	}
	o.data = append(o.data, p[:n]...)
	o.modified = u.e.opts.Now()
	u.e.used += int64(n)
	return n, u.err
}

// Sync implements blob.Upload.
func (u *upload) Sync(ctx context.Context) ([]byte, error) {
	u.e.mu.Lock()
	defer u.e.mu.Unlock()
	o, err := u.object(ctx)
	if err != nil {
		return nil, err
	}
	o.synced = len(o.data)
	state := fmt.Sprintf("mem %d at %d", u.id, o.synced)
	o.states[state] = o.synced
	return []byte(state), nil
}

// Complete implements blob.Upload.
func (u *upload) Complete(ctx context.Context) error {
	u.e.mu.Lock()
	defer u.e.mu.Unlock()
	o, err := u.object(ctx)
	if err != nil {
		return err
	}
	o.pending, o.upload, o.before, u.err = false, 0, nil, errEnded
	return nil
}

// Close implements blob.Upload.
func (u *upload) Close() error {
	u.e.mu.Lock()
	defer u.e.mu.Unlock()
	if u.closed {
		return nil
	}
	u.closed = true
	if u.err == nil {
		u.err = errEnded
	}
	if o := u.e.objects[u.key]; o != nil && o.upload == u.id && o.pending {
		u.e.used -= int64(len(o.data) - o.synced)
		o.data, o.upload = o.data[:o.synced:o.synced], 0
	}
	return nil
}
