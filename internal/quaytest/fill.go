package quaytest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Fill writes a typical registry. Of what a release has not, nothing is
// written.
//
// A reader meets the peculiarities of real ones in it: a repository and a
// namespace that are being deleted, a row of imagestorage without a
// placement and one that is still uploading, log entries of accounts that are
// gone, and policies whose JSON is inside a JSON string.
func (q *Quay) Fill(t testing.TB) Sample {
	t.Helper()
	f := &filler{
		Quay: q, t: t, ids: make(map[string]int64),
		s: &Sample{
			Now: time.Now().UTC().Truncate(time.Second), Blobs: make(map[string][]byte), Regions: make(map[string]string),
		},
	}
	f.accounts()
	f.teams()
	f.repos()
	f.images()
	f.artifacts()
	f.mirrors()
	f.cache()
	f.rights()
	f.tokens()
	f.rules()
	f.deleted()
	f.records()
	return *f.s
}

// A filler fills one Quay. ids has the accounts by name, the repositories by
// whole name, teams as "acme:devs", and manifests and blobs as below.
type filler struct {
	*Quay
	t   testing.TB
	s   *Sample
	ids map[string]int64
}

func (f *filler) insert(table string, row Row) int64 {
	f.t.Helper()
	return f.Insert(f.t, table, row)
}

// id returns the id of something that was written before.
func (f *filler) id(name string) int64 {
	f.t.Helper()
	id, ok := f.ids[name]
	if !ok {
		f.t.Fatalf("quaytest: nothing is named %q", name)
	}
	return id
}

// ago is a time before Now; a negative one is after it.
func (f *filler) ago(d time.Duration) time.Time { return f.s.Now.Add(-d) }

func (f *filler) msAgo(d time.Duration) int64 { return f.ago(d).UnixMilli() }

// hash is what Quay keeps of a password: bcrypt, in the form that Python
// writes. Its cost is the least, and not Quay's 12: a sample has many.
func hash(t testing.TB, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	check(t, err)
	return "$2b" + strings.TrimPrefix(string(b), "$2a")
}

// twice is JSON in a JSON string, which is how Quay stores some columns: the
// column's type encodes what the program has encoded already.
func twice(t testing.TB, v any) string {
	t.Helper()
	inner, err := json.Marshal(v)
	check(t, err)
	outer, err := json.Marshal(string(inner))
	check(t, err)
	return string(outer)
}
