package store

import (
	"context"
	"database/sql"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A StoredBlob is a blob, and where its bytes are.
type StoredBlob struct {
	Digest gantry.Digest
	Size   int64
	Places []Place // none: no location has it whole
}

// StoredBlobs returns up to n blobs whose digest is greater than after, in the
// order of Digest.Key. after "" = the first.
func (db *DB) StoredBlobs(ctx context.Context, after gantry.Digest, n int) (all []StoredBlob, err error) {
	err = db.read(ctx, "stored blobs", func(ctx context.Context, t *tx) error {
		all = make([]StoredBlob, 0, n)
		from := after.Bytes()
		if from == nil {
			from = []byte{}
		}
		return t.each(ctx, func(rows *sql.Rows) error {
			var (
				d           []byte
				size        int64
				location    sql.NullInt64
				path, state sql.NullString
			)
			if err := rows.Scan(&d, &size, &location, &path, &state); err != nil {
				return err
			}
			digest := gantry.DigestFromBytes(d)
			if len(all) == 0 || all[len(all)-1].Digest != digest {
				all = append(all, StoredBlob{Digest: digest, Size: size})
			}
			if location.Valid {
				b := &all[len(all)-1]
				b.Places = append(b.Places, Place{location.Int64, path.String, state.String == placeSuspect})
			}
			return nil
		}, `SELECT b.digest, b.size, p.location_id, p.path, p.state FROM
			(SELECT id, digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?) b
			LEFT JOIN placements p ON p.blob_id = b.id AND p.state IN ('present', 'suspect')
			ORDER BY b.digest, p.location_id`, from, n)
	})
	return all, err
}

// MovedTo has every blob that some location has whole be at the location of
// that name and nowhere else, under its canonical key, and forgets what was
// under way: uploads, copies, what waits in the trash, restore points. It is
// for a copy of a database whose blobs are brought to that location.
func (db *DB) MovedTo(ctx context.Context, location string) error {
	id, err := db.EnsureLocation(ctx, location)
	if err != nil {
		return err
	}
	return db.update(ctx, "move all blobs", func(ctx context.Context, t *tx) error {
		now := t.now.UnixMilli()
		for _, s := range []struct {
			q    string
			args []any
		}{
			{`UPDATE locations SET state = ? WHERE id = ?`, []any{LocationActive, id}},
			{`DELETE FROM placements WHERE state NOT IN ('present', 'suspect')`, nil},
			{`INSERT INTO placements (blob_id, location_id, path, state, since_ms, verified_ms)
				SELECT DISTINCT blob_id, ` + big(id) + `, '', '` + placePresent + `', ` + big(now) + `, 0 FROM placements p
				WHERE NOT EXISTS (SELECT 1 FROM placements h WHERE h.blob_id = p.blob_id AND h.location_id = ?)`, []any{id}},
			{`DELETE FROM placements WHERE location_id <> ?`, []any{id}},
			{`UPDATE placements SET path = '', state = ?, since_ms = ?, verified_ms = 0`, []any{placePresent, now}},
			{`DELETE FROM trash`, nil},
			{`DELETE FROM uploads`, nil},
			{`DELETE FROM copies`, nil},
			{`DELETE FROM restore_points`, nil},
		} {
			if _, err := t.exec(ctx, s.q, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Unplace forgets all places of a blob: nowhere are its bytes. Absent is no
// error. A push of the blob heals it.
func (db *DB) Unplace(ctx context.Context, d gantry.Digest) error {
	return db.update(ctx, "unplace blob", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM placements WHERE blob_id IN (SELECT id FROM blobs WHERE digest = ?)`, d.Bytes())
		return err
	})
}
