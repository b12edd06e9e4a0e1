package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Relocation is a blob that is not at its canonical key.
type Relocation struct {
	Blob     gantry.BlobID
	Digest   gantry.Digest
	Size     int64
	Location int64
	Path     string // where it is
}

// Relocations returns up to n blobs of a location, at keys greater than after,
// that are not at their canonical key and could be: it is not in the trash.
// last is the key after which to go on; it is after itself at the end.
func (db *DB) Relocations(ctx context.Context, location int64, after string, n int) (all []Relocation, last string, err error) {
	err = db.read(ctx, "find relocations", func(ctx context.Context, t *tx) error {
		all, last = nil, after
		if err := t.each(ctx, func(rows *sql.Rows) error {
			r := Relocation{Location: location}
			var d []byte
			err := rows.Scan(&r.Blob, &d, &r.Size, &r.Path)
			r.Digest = gantry.DigestFromBytes(d)
			all = append(all, r)
			last = r.Path
			return err
		}, `SELECT p.blob_id, b.digest, b.size, p.path FROM placements p JOIN blobs b ON b.id = p.blob_id
			WHERE p.location_id = ? AND p.path > ? AND p.state = 'present' ORDER BY p.path LIMIT ?`,
			location, after, min(n, maxCollectRows)); err != nil || len(all) == 0 {
			return err
		}
		keys := make([]string, 0, len(all))
		for _, r := range all {
			keys = append(keys, r.Digest.Key())
		}
		fenced := map[string]bool{}
		in, args := list(keys, []any{location})
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var k string
			err := rows.Scan(&k)
			fenced[k] = true
			return err
		}, `SELECT path FROM trash WHERE location_id = ? AND path IN `+in, args...); err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(r Relocation) bool { return fenced[r.Digest.Key()] })
		return nil
	})
	return all, last, err
}

// Relocate makes the canonical key, where a copy of the blob is on stable
// storage by now, the one that counts, and queues the old one for deletion. It
// reports false, and does nothing, when the blob is no longer at r.Path or its
// canonical key is in the trash.
func (db *DB) Relocate(ctx context.Context, r Relocation) (done bool, err error) {
	err = db.update(ctx, "relocate blob", func(ctx context.Context, t *tx) error {
		done = false
		var id gantry.BlobID
		err := t.queryRow(ctx, `SELECT id FROM blobs WHERE id = ?`+t.d.excl, r.Blob).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var there, fenced int
		if err := t.queryRow(ctx, `SELECT
			(SELECT COUNT(*) FROM placements WHERE blob_id = ? AND location_id = ? AND path = ? AND state = 'present'),
			(SELECT COUNT(*) FROM trash WHERE location_id = ? AND path = ?)`,
			r.Blob, r.Location, r.Path, r.Location, r.Digest.Key()).Scan(&there, &fenced); err != nil || there == 0 || fenced > 0 {
			return err
		}
		done = true
		if _, err := t.exec(ctx, `UPDATE placements SET path = '' WHERE blob_id = ? AND location_id = ?`, r.Blob, r.Location); err != nil {
			return err
		}
		if err := t.touchHolders(ctx, r.Blob); err != nil {
			return err
		}
		return t.discard(ctx, []object{{location: r.Location, path: r.Path}}, time.Hour)
	})
	return done, err
}

// touchHolders says that the places of a blob changed for the repositories
// that hold it. Beyond some thousands of them, readers find out when they
// open the old place.
func (t *tx) touchHolders(ctx context.Context, id gantry.BlobID) error {
	return t.each(ctx, func(rows *sql.Rows) error {
		var repo gantry.RepoID
		err := rows.Scan(&repo)
		t.grow(repo)
		return err
	}, `SELECT repo_id FROM repo_blobs WHERE blob_id = ? LIMIT 5000`, id)
}
