// Package blob keeps objects: bytes under slash-separated keys. An Engine is
// one place that can hold them; what the objects mean is the business of the
// packages above. Every engine passes the suite in blobtest.
package blob

import (
	"context"
	"io"
	"iter"
	"net/netip"
	"os"
	"time"
)

// An Engine is a store of objects. Its methods may be called concurrently.
//
// Keys are relative, slash-separated, without empty, "." or ".." elements;
// CheckKey has the whole rule, and anything else is gantry.Invalid on "key". A
// missing object is gantry.NotFound on "object". No space left (or too little,
// see Free) is gantry.Unavailable on "storage" with reason gantry.DiskFull.
// When ctx is done, the error wraps ctx.Err(). Other errors are the engine's
// own and are never shown to a client.
//
// Whether Open, Stat and List see an upload that is not completed is up to the
// engine. An engine may also be an UploadPublisher.
type Engine interface { //nolint:interfacebloat // each engine needs all of it; what only some can do is a small interface below
	// Upload opens the object at key for appending at offset. With offset 0
	// and an empty state it is created, replacing what was there; a second
	// name that Publish gave to what was there keeps its bytes. Otherwise it
	// goes on from the Sync that returned that state at that offset, in this
	// process or another: what was written after that Sync is dropped. When
	// fewer bytes than offset are there, the error is gantry.NotFound on
	// "upload". One Upload of a key may be open at a time; the caller sees
	// to that.
	Upload(ctx context.Context, key string, offset int64, state []byte) (Upload, error)

	// Abort removes an upload that was not completed. Absent is no error.
	Abort(ctx context.Context, key string, state []byte) error

	// Publish gives the completed object at from a second name, to, and
	// replaces what to named before, at once: a reader finds the old object or
	// the new one. When it returns, the name is on stable storage, and so are
	// the bytes. from stays, and each name can be deleted or uploaded anew
	// without touching the other. Several may publish the same to at a time;
	// one of them wins. An engine that cannot do
	// this without copying returns gantry.Unsupported on "publish"; the
	// caller then leaves the object where it is.
	Publish(ctx context.Context, from, to string) error

	// Open opens an object for reading; the caller closes it.
	Open(ctx context.Context, key string) (Object, error)

	// Stat returns size and time of an object without opening it.
	Stat(ctx context.Context, key string) (Info, error)

	// Delete removes an object. Absent is no error. An object that is open
	// stays readable, or its reads fail; they never return other bytes. A
	// crash may bring the object back: whoever must be sure deletes again.
	Delete(ctx context.Context, key string) error

	// List yields the objects whose key begins with prefix and is greater
	// than after, in byte order of keys. An error ends the sequence.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]

	// URL returns where a client may fetch the object itself, or "" when
	// this engine has no such thing and the bytes go through Open.
	URL(ctx context.Context, key string, opts URLOptions) (string, error)

	// Free returns how many bytes can still be written before uploads are
	// refused (so 0 means that they are) and the size of the whole; total 0
	// means that there is no known bound.
	Free(ctx context.Context) (free, total uint64, err error)

	// Check proves that the engine can write, see and remove an object (it
	// uses the key VerifyKey, or a reserved name). It is what health checks
	// call, and several processes may do so at a time.
	Check(ctx context.Context) error
}

// An Upload appends to an object. It is used by one goroutine at a time.
// After an error, and after Complete, every further call but Close returns an
// error; what the last Sync vouched for can be resumed, except that a failed
// Sync or Complete means that nothing of it is vouched for: discard it.
type Upload interface {
	// Write appends p. It may return before the bytes are durable.
	io.Writer
	// Sync puts all bytes written so far on stable storage and returns the
	// state from which Upload can go on at this offset. The state is opaque,
	// at most 64 KiB, holds no secret, and may be nil.
	Sync(ctx context.Context) (state []byte, err error)
	// Complete ends the upload: all bytes are on stable storage and the
	// object can be opened. Nothing can be written after it.
	Complete(ctx context.Context) error
	// Close releases what the Upload holds. Without Complete before it, the
	// upload can be resumed from its last Sync. A second Close does nothing.
	Close() error
}

// An Object is an open object. It is used by one goroutine at a time, but for
// ReadAt. Objects of local files are a Filer too.
type Object interface {
	io.ReadSeekCloser
	io.ReaderAt
	// Size is the length in bytes.
	Size() int64
}

// A Filer is an Object that is a local file. http.ServeContent and io.Copy
// reach sendfile with such an Object as it is; File is for who wraps it.
type Filer interface {
	Object
	// File returns the open file, which the Object still owns.
	File() *os.File
}

// An Interrupter is an Upload whose Write may wait for a service. Write has no
// context that would end it.
type Interrupter interface {
	Upload
	// Interrupt makes the Write that is under way, and every further call but
	// Close, return an error. Any goroutine may call it during a Write.
	Interrupt()
}

// An UploadPublisher is an Engine that completes and publishes an upload in
// one go, for less than the two calls cost.
type UploadPublisher interface {
	Engine
	// PublishUpload is u.Complete, then Publish of u's key to to. u came from
	// Upload of this engine. After an error u can only be closed, and the name
	// to, if nothing had it before, may exist with bytes that are not whole:
	// nobody may take the existence of a name for the presence of a blob.
	PublishUpload(ctx context.Context, u Upload, to string) error
}

// A Copier is an Engine that copies objects itself, without their bytes
// passing through this process.
type Copier interface {
	Engine
	// Copy makes to, at once, a whole copy of the object at from, on stable
	// storage when it returns. Each can be deleted without touching the other.
	Copy(ctx context.Context, from, to string) error
}

// A Forker is an Engine that can go on with an upload to which another process
// may be appending still: a server that was taken for dead may only be slow.
// Where an Engine is none, Publish from the upload's key to another does it.
type Forker interface {
	Engine
	// Fork returns the key (from itself, or to) and the state with which
	// Upload goes on at offset, where Sync returned state. What others append
	// to from past offset, before or later, never becomes part of the object.
	// When fewer bytes than offset are there, the error is gantry.NotFound on
	// "upload".
	Fork(ctx context.Context, from string, offset int64, state []byte, to string) (key string, forked []byte, err error)
}

// A Sweeper is an Engine in which uploads that nobody goes on with leave
// things behind that List does not show, such as parts of a multipart upload.
type Sweeper interface {
	Engine
	// Sweep removes what uploads left that were begun before the time and
	// whose key is not in use, and returns how many uploads those were. It
	// is bounded by ctx, and may be called by several processes.
	Sweep(ctx context.Context, before time.Time, inUse func(ctx context.Context, key string) (bool, error)) (n int, err error)
}

// As returns e, or the first engine that it wraps (by a method Unwrap() Engine),
// that is a T: UploadPublisher, Copier, Forker, Sweeper.
func As[T Engine](e Engine) (t T, ok bool) {
	for e != nil {
		if t, ok = e.(T); ok {
			return t, true
		}
		w, wraps := e.(interface{ Unwrap() Engine })
		if !wraps {
			break
		}
		e = w.Unwrap()
	}
	return t, false
}

// PublishUpload completes u, which is the upload at from, and publishes it as
// to, in the cheapest way that e has. When e cannot publish, the error is
// gantry.Unsupported on "publish", and the object is complete at from.
func PublishUpload(ctx context.Context, e Engine, u Upload, from, to string) error {
	if p, ok := As[UploadPublisher](e); ok {
		return p.PublishUpload(ctx, u, to)
	}
	if err := u.Complete(ctx); err != nil {
		return err
	}
	return e.Publish(ctx, from, to)
}

// Info describes an object.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time
}

// URLOptions are what a direct URL can carry. The zero value works.
type URLOptions struct {
	Expires     time.Duration // how long the URL works; 0 = 600 s
	Method      string        // GET or HEAD; "" = GET
	ContentType string        // type to answer with; "" = the engine's
	// Who asks, for engines with a CDN that is chosen, or logs, by that.
	Client     netip.Addr // the client's address; the zero value = not known
	Host       string     // that the client asked, without a port; "" = not known
	Namespace  string     // of the repository, or ""
	Repository string     // its name in that, or ""
	User       string     // name of the account, or ""
}
