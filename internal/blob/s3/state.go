package s3

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gantry-registry/gantry/internal/blob"
)

const (
	// stateVersion is of the form that state has.
	stateVersion = 1
	maxState     = 64 << 10
	maxUploadID  = 8 << 10
	// keptTails is how many Syncs back an upload can be resumed from, of those
	// of one Upload.
	keptTails = 8
)

// A state is what Sync returns: the multipart upload with the parts that it
// vouches for, and the object with the bytes behind them, which are too few
// for a part.
type state struct {
	Version int      `json:"v"`
	ID      string   `json:"id,omitempty"`    // of the multipart upload; "" = none was begun
	Mark    string   `json:"mark,omitempty"`  // metadata of the object that it makes
	Parts   int      `json:"parts,omitempty"` // how many are vouched for
	Bytes   int64    `json:"bytes,omitempty"` // in these
	Chain   string   `json:"chain,omitempty"` // hash of the numbers, sizes and etags of these
	Tail    *tail    `json:"tail,omitempty"`
	Old     []string `json:"old,omitempty"` // tails of earlier Syncs, to be removed in the end
}

// A tail is the bytes behind the last part, in an object of their own.
type tail struct {
	Name string `json:"name"` // the last element of its key
	Size int64  `json:"size"`
	Sum  string `json:"sum"` // SHA-256
}

func (s state) size() int64 {
	if s.Tail != nil {
		return s.Bytes + s.Tail.Size
	}
	return s.Bytes
}

func (s state) marshal() ([]byte, error) {
	s.Version = stateVersion
	b, err := json.Marshal(s)
	if err == nil && len(b) > maxState {
		err = errors.New("the state of the upload is too large")
	}
	return b, err
}

// parseState reads what marshal wrote. Anything else is gantry.NotFound on
// "upload".
func parseState(b []byte) (state, error) {
	var s state
	bad := func(why string) (state, error) {
		return state{}, blob.NoUpload(errors.New("state of the upload: " + why))
	}
	if len(b) > maxState {
		return bad("too large")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return bad("not one of this engine")
	}
	switch {
	case s.Version != stateVersion:
		return bad("of another release")
	case len(s.ID) > maxUploadID, len(s.Mark) > 64, s.Parts < 0, s.Parts > maxParts, s.Bytes < 0, s.Bytes > maxObject, len(s.Old) > 4*keptTails:
		return bad("out of bounds")
	case (s.ID == "") != (s.Parts == 0), (s.Parts == 0) != (s.Bytes == 0), s.Parts > 0 && !isSum(s.Chain):
		return bad("contradictory")
	case s.Tail != nil && (!isTail(s.Tail.Name) || s.Tail.Size <= 0 || s.Tail.Size > maxPart || !isSum(s.Tail.Sum)):
		return bad("no tail")
	}
	for _, name := range s.Old {
		if !isTail(name) {
			return bad("no tail")
		}
	}
	return s, nil
}

func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// isTail reports whether s is the last element of a tail's key.
func isTail(s string) bool {
	return strings.HasPrefix(s, blob.ReservedPrefix) && len(s) <= 80 && !strings.ContainsAny(s, "/\\\x00")
}
