// Package gantry is the vocabulary of the registry: names, digests, roles,
// states and errors. It imports the standard library only, and every other
// package may import it.
package gantry

import (
	"errors"
	"fmt"
	"time"
)

// A Code says what the caller of a failed operation can do about it.
type Code string

// The codes. Every edge (registry, api) has an answer for each of them; a
// test holds that.
const (
	Invalid         Code = "invalid"         // the request is malformed: mend it
	Unauthenticated Code = "unauthenticated" // the credentials are missing or wrong
	Denied          Code = "denied"          // known caller, not allowed
	NotFound        Code = "not found"       // no such object, or none that the caller may see
	Conflict        Code = "conflict"        // the object's state forbids it
	ReadOnly        Code = "read-only"       // the registry, or this part of it, takes no writes now
	TooLarge        Code = "too large"       // a limit on size or number is passed
	Range           Code = "range"           // the byte range cannot be satisfied
	Limited         Code = "limited"         // too many requests: come back after Retry
	Unavailable     Code = "unavailable"     // something outside is down or full: come back later
	Unsupported     Code = "unsupported"     // this registry does not do that
)

// Codes lists every Code, for tests and tables.
var Codes = []Code{Invalid, Unauthenticated, Denied, NotFound, Conflict, ReadOnly, TooLarge, Range, Limited, Unavailable, Unsupported}

// A Reason is a finer cause of an Error where a protocol has a word for it.
// Most errors have none.
type Reason string

// The reasons.
const (
	TagExpired        Reason = "tag expired"        // a tag of that name existed and ended
	TagImmutable      Reason = "tag immutable"      // the tag may not be moved or deleted
	DigestMismatch    Reason = "digest mismatch"    // the bytes do not have the digest that was named
	BlobReferenced    Reason = "blob referenced"    // a live manifest needs the blob
	UnknownBlob       Reason = "unknown blob"       // a manifest names a blob that the repository does not hold
	UnknownManifest   Reason = "unknown manifest"   // an index names a manifest that the repository does not hold
	MediaTypeRefused  Reason = "media type refused" // the manifest's media type is not taken
	QuotaExceeded     Reason = "quota exceeded"
	DiskFull          Reason = "disk full"
	Damaged           Reason = "damaged" // no whole copy of the blob's bytes is known
	PushesDisabled    Reason = "pushes disabled"
	NamespaceDisabled Reason = "namespace disabled"
	LoginBackoff      Reason = "login back-off" // too many failed logins of this account
	Unverified        Reason = "unverified"     // the account's e-mail address was not confirmed
)

// Error is a failure that a client may be told about.
// Any other error reaches a client only as "internal error".
type Error struct {
	Code   Code
	Object string        // what it is about: "blob", "tag", "repository", "upload", "quota", …
	Reason Reason        // finer cause, or ""
	Retry  time.Duration // for Limited and Unavailable: try again after this; 0 = not said
	Detail string        // shown to the client: never a secret, a path or SQL
	Err    error         // logged, never shown; may be nil
}

// Error returns the text for logs: code, object, detail and cause.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Object != "" {
		s += " (" + e.Object + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the logged cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error whose Detail is the formatted text. The text is shown
// to the client; use Error.Err for what must stay inside.
func Errorf(code Code, object, format string, args ...any) *Error {
	return &Error{Code: code, Object: object, Detail: fmt.Sprintf(format, args...)}
}

// Is reports whether err is an Error with this code.
func Is(err error, code Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// ReasonOf returns the Reason of err, or "" if it is no Error or has none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}
