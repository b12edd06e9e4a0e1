package blob

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/gantry"
)

const (
	// MaxKey is the length limit of a key, in bytes.
	MaxKey = 1024
	// MaxElement is the length limit of one element of a key, in bytes: what
	// file systems allow.
	MaxElement = 255
	// ReservedPrefix begins the elements that engines keep for themselves, for
	// temporary names. No key has such an element.
	ReservedPrefix = ".gantry-"
	// VerifyKey is what Check writes and removes.
	VerifyKey = "_verify"
)

// CheckKey returns nil if key is one that every engine can hold: elements of
// 1 to MaxElement bytes joined by "/", MaxKey bytes at most, valid UTF-8
// without control characters and backslashes, no element being "." or ".." or
// beginning with ReservedPrefix. Otherwise the error is gantry.Invalid on
// "key".
func CheckKey(key string) error {
	switch {
	case key == "":
		return invalidKey("a storage key may not be empty")
	case len(key) > MaxKey:
		return invalidKey("a storage key may not be longer than 1024 bytes")
	case !utf8.ValidString(key):
		return invalidKey("a storage key must be UTF-8")
	}
	for i := range len(key) {
		if c := key[i]; c < 0x20 || c == 0x7f || c == '\\' {
			return invalidKey("a storage key may not contain control characters or backslashes")
		}
	}
	for rest, more := key, true; more; {
		var element string
		element, rest, more = strings.Cut(rest, "/")
		switch {
		case element == "" || element == "." || element == "..":
			return invalidKey(`a storage key may not have an empty, "." or ".." element`)
		case len(element) > MaxElement:
			return invalidKey("an element of a storage key may not be longer than 255 bytes")
		case strings.HasPrefix(element, ReservedPrefix):
			return invalidKey("an element of a storage key may not begin with " + ReservedPrefix)
		}
	}
	return nil
}

// Begin is what every method of an engine checks first: that ctx is not done,
// and that the keys are keys. It returns the error of either.
func Begin(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, key := range keys {
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	return nil
}

// CheckPrefix returns nil if prefix can be given to List: "", a key, the
// beginning of one, or a key and a slash. Otherwise the error is
// gantry.Invalid on "key".
func CheckPrefix(prefix string) error {
	last := prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		if err := CheckKey(prefix[:i]); err != nil {
			return err
		}
		last = prefix[i+1:]
	}
	// What follows the last slash may be cut anywhere, even inside a rune or
	// after a dot, and is only compared.
	if len(prefix) > MaxKey || strings.ContainsAny(last, "\x00\\") {
		return invalidKey("this cannot be the beginning of a storage key")
	}
	return nil
}

func invalidKey(detail string) error {
	return &gantry.Error{Code: gantry.Invalid, Object: "key", Detail: detail}
}

// NoObject returns the error for a missing object; cause is for logs and may
// be nil.
func NoObject(cause error) error {
	return &gantry.Error{Code: gantry.NotFound, Object: "object", Detail: "no such object in storage", Err: cause}
}

// NoUpload returns the error for an upload that cannot be resumed; cause is
// for logs and may be nil.
func NoUpload(cause error) error {
	return &gantry.Error{Code: gantry.NotFound, Object: "upload", Detail: "the upload cannot be continued; start again", Err: cause}
}

// DiskFull returns the error for too little space; cause is for logs and may
// be nil.
func DiskFull(cause error) error {
	return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Reason: gantry.DiskFull, Detail: "the registry's storage is full", Err: cause}
}

// CannotPublish returns the error of Publish where the engine has no cheap
// second names.
func CannotPublish() error {
	return &gantry.Error{Code: gantry.Unsupported, Object: "publish", Detail: "this storage cannot give an object a second name"}
}
