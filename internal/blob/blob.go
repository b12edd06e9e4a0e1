// Package blob keeps objects: bytes under slash-separated keys. An Engine is
// one place that can hold them; what the objects mean is the business of the
// packages above. Every engine passes the suite in blobtest.
package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

// An Engine is a store of objects. Its methods may be called concurrently.
//
// Keys are relative, slash-separated, without empty, "." or ".." elements;
// anything else is gantry.Invalid on "key". A missing object is
// gantry.NotFound on "object". No space left (or too little, see Free) is
// gantry.Unavailable with reason gantry.DiskFull. Other errors are the
// engine's own and are never shown to a client.
type Engine interface {
	// Upload opens the object at key for appending at offset. With offset 0
	// and a nil state it is created, replacing what was there. Otherwise it
	// goes on from the Sync that returned that state at that offset, in this
	// process or another: what was written after that Sync is dropped. When
	// fewer bytes than offset are there, the error is gantry.NotFound on
	// "upload". One Upload of a key may be open at a time; the caller sees
	// to that.
	Upload(ctx context.Context, key string, offset int64, state []byte) (Upload, error)

	// Abort removes an upload that was not completed. Absent is no error.
	Abort(ctx context.Context, key string, state []byte) error

	// Publish gives the completed object at from a second name, to, and
	// replaces what to named before. When it returns, the name is on stable
	// storage, and so are the bytes. from stays. An engine that cannot do
	// this without copying returns gantry.Unsupported on "publish"; the
	// caller then leaves the object where it is.
	Publish(ctx context.Context, from, to string) error

	// Open opens an object for reading; the caller closes it.
	Open(ctx context.Context, key string) (Object, error)

	// Stat returns size and time of an object without opening it.
	Stat(ctx context.Context, key string) (Info, error)

	// Delete removes an object. Absent is no error.
	Delete(ctx context.Context, key string) error

	// List yields the objects whose key begins with prefix and is greater
	// than after, in byte order of keys. An error ends the sequence.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]

	// URL returns where a client may fetch the object itself, or "" when
	// this engine has no such thing and the bytes go through Open.
	URL(ctx context.Context, key string, opts URLOptions) (string, error)

	// Free returns how many bytes can still be written and the size of the
	// whole; total 0 means that there is no known bound.
	Free(ctx context.Context) (free, total uint64, err error)

	// Check proves that the engine can write, see and remove an object (it
	// uses the key "_verify"). It is what health checks call.
	Check(ctx context.Context) error
}

// An Upload appends to an object. It is used by one goroutine at a time.
// After an error every further call returns an error, and the upload can
// only be closed; what the last Sync vouched for can be resumed, except that
// a failed Sync or Complete means that nothing of it is vouched for.
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
	// upload can be resumed from its last Sync.
	Close() error
}

// An Object is an open object. Objects of local files are *os.File inside:
// File returns it, so that sendfile can be used.
type Object interface {
	io.ReadSeekCloser
	io.ReaderAt
	// Size is the length in bytes.
	Size() int64
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
}
