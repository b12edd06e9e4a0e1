package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// AddSpooled writes rows into the file for the time when the database is away,
// as after a commit of which nobody knows: first is the id that the first got.
func (db *DB) AddSpooled(rows []Access, first int64) error { return db.access.over.add(rows, first) }

// InsertAccess writes rows into the table and returns the id of the first.
func (db *DB) InsertAccess(ctx context.Context, rows []Access) (int64, error) {
	return db.insertAccess(ctx, rows, nil)
}

// FuzzOverflow reads whatever a disk may give.
func FuzzOverflow(f *testing.F) {
	b := appendRecord(nil, recordGroup, func(b []byte) []byte { return append(b, 2, 4) })
	for range 2 {
		b = appendRecord(b, recordRow, func(b []byte) []byte { return encodeAccess(b, &Access{Kind: "pull_repo", Ref: "v1"}) })
	}
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRecordReader(bytes.NewReader(b), 0)
		for {
			_, payload, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || len(payload) > maxOverflowRecord || r.at > int64(len(b)) {
				t.Fatalf("%d bytes at %d of %d: %v", len(payload), r.at, len(b), err)
			}
		}
		batch, err := readBatch(bytes.NewReader(b), 0, r.at)
		if err != nil {
			return
		}
		rows := 0
		for _, g := range batch.groups {
			if len(g.rows) == 0 {
				t.Fatal("an empty group")
			}
			rows += len(g.rows)
		}
		if rows != batch.rows || batch.end > r.at {
			t.Fatalf("%d rows in groups, %d in all, up to %d of %d", rows, batch.rows, batch.end, r.at)
		}
	})
}
