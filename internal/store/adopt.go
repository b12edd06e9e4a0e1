package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// lockDigest locks the blob row of d for a change and returns its id; it makes
// the row if there is none.
func (t *tx) lockDigest(ctx context.Context, d gantry.Digest, size int64) (id gantry.BlobID, made bool, err error) {
	err = t.queryRow(ctx, `SELECT id FROM blobs WHERE digest = ?`+t.d.excl, d.Bytes()).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, false, err
	}
	n, err := t.insertIgnore(ctx, `INSERT INTO blobs (digest, size, created_ms) VALUES (?, ?, ?)`, d.Bytes(), size, t.now.UnixMilli())
	if err == nil && n == 0 {
		err = errRaced
	}
	return gantry.BlobID(n), true, err
}

// Adopt makes an object known that no row names and that was found to hold
// the blob d: a push died before its commit, or the database is older than
// the storage. Unless somebody uses the blob within a day, it is collected.
// If the location has the blob already, under another key, the object at key
// is queued for deletion. adopted is false then, and when the key waits to be
// deleted anyway.
func (db *DB) Adopt(ctx context.Context, location int64, key string, d gantry.Digest, size int64) (adopted bool, err error) {
	err = db.update(ctx, "adopt object", func(ctx context.Context, t *tx) error {
		adopted = false
		// An EXCL lock throughout, where U5 has SHARE: it is rare, and the
		// key may have to go to the trash.
		id, _, err := t.lockDigest(ctx, d, size)
		if err != nil {
			return err
		}
		if err := t.review(ctx, reviewBlob, int64(id), 0, t.now.Add(adoptGrace)); err != nil {
			return err
		}
		var fenced int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM trash WHERE location_id = ? AND path = ?`, location, key).Scan(&fenced); err != nil || fenced > 0 {
			return err
		}
		path := key
		if key == d.Key() {
			path = ""
		}
		ms := t.now.UnixMilli()
		var there, state string
		err = t.queryRow(ctx, `SELECT path, state FROM placements WHERE blob_id = ? AND location_id = ?`, id, location).Scan(&there, &state)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			adopted = true
			_, err = t.exec(ctx, `INSERT INTO placements (blob_id, location_id, path, state, since_ms, verified_ms) VALUES (?, ?, ?, ?, ?, ?)`,
				id, location, path, placePresent, ms, ms)
			return err
		case err != nil:
			return err
		case there == path && state == placeWanted:
			adopted = true
			_, err = t.exec(ctx, `UPDATE placements SET state = ?, since_ms = ?, verified_ms = ? WHERE blob_id = ? AND location_id = ?`,
				placePresent, ms, ms, id, location)
			return err
		case there == path:
			return nil
		case state != placePresent: // ours is whole, theirs is not
			adopted = true
			if _, err := t.exec(ctx, `UPDATE placements SET path = ?, state = ?, since_ms = ?, verified_ms = ? WHERE blob_id = ? AND location_id = ?`,
				path, placePresent, ms, ms, id, location); err != nil {
				return err
			}
			return t.discard(ctx, []object{{location: location, path: orCanonical(there, d)}}, trashDelay)
		}
		return t.discard(ctx, []object{{location: location, path: key}}, trashDelay)
	})
	return adopted, err
}

// Discard queues the object at the canonical key of d for deletion, unless a
// placement names it: it was found not to hold the blob.
func (db *DB) Discard(ctx context.Context, location int64, d gantry.Digest) (done bool, err error) {
	err = db.update(ctx, "discard object", func(ctx context.Context, t *tx) error {
		id, made, err := t.lockDigest(ctx, d, 0)
		if err != nil {
			return err
		}
		var named int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM placements WHERE blob_id = ? AND location_id = ? AND path = ''`, id, location).Scan(&named); err != nil {
			return err
		}
		if done = named == 0; done {
			if err := t.discard(ctx, []object{{location: location, path: d.Key()}}, trashDelay); err != nil {
				return err
			}
		}
		if made { // the row was only there to be locked
			_, err = t.exec(ctx, `DELETE FROM blobs WHERE id = ?`, id)
		}
		return err
	})
	return done, err
}

// UnknownKeys returns which of up to 500 keys of a location no upload, no
// placement and no trash row names. MariaDB does not look for as many at once
// by an index, so it is 128 at a time.
func (db *DB) UnknownKeys(ctx context.Context, location int64, keys []string) (unknown []string, err error) {
	for chunk := range slices.Chunk(keys, 128) {
		some, err := db.unknownKeys(ctx, location, chunk)
		if err != nil {
			return nil, err
		}
		unknown = append(unknown, some...)
	}
	return unknown, nil
}

func (db *DB) unknownKeys(ctx context.Context, location int64, keys []string) (unknown []string, err error) {
	err = db.read(ctx, "look keys up", func(ctx context.Context, t *tx) error {
		known := map[string]bool{}
		var uploads []string
		var digests [][]byte
		for _, k := range keys {
			if id, ok := strings.CutPrefix(k, "uploads/"); ok {
				uploads = append(uploads, id[:min(len(id), 36)]) // its UUID; who took an upload over adds to that
			}
			if d, ok := gantry.DigestFromKey(k); ok {
				digests = append(digests, d.Bytes())
			}
		}
		mark := func(rows *sql.Rows) error {
			var k string
			err := rows.Scan(&k)
			known[k] = true
			return err
		}
		// In the order in which a key goes from one table to the next, so
		// that it is not missed on its way.
		if len(uploads) > 0 {
			in, args := list(uploads, nil)
			if err := t.each(ctx, mark, `SELECT path FROM uploads WHERE uuid IN `+in, args...); err != nil {
				return err
			}
		}
		in, args := list(keys, []any{location})
		if err := t.each(ctx, mark, `SELECT path FROM placements WHERE location_id = ? AND path IN `+in, args...); err != nil {
			return err
		}
		if len(digests) > 0 {
			in, args := list(digests, []any{location})
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var d []byte
				err := rows.Scan(&d)
				known[gantry.DigestFromBytes(d).Key()] = true
				return err
			}, `SELECT b.digest FROM placements p JOIN blobs b ON b.id = p.blob_id WHERE p.location_id = ? AND p.path = '' AND b.digest IN `+in, args...); err != nil {
				return err
			}
		}
		if err := t.each(ctx, mark, `SELECT path FROM trash WHERE location_id = ? AND path IN `+in, args...); err != nil {
			return err
		}
		unknown = nil
		for _, k := range keys {
			if !known[k] {
				unknown = append(unknown, k)
			}
		}
		return nil
	})
	return unknown, err
}
