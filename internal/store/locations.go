package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// LocationActive is the state of a location that takes new objects.
const LocationActive = "active"

// EnsureLocation returns the id of the storage location of that name (a key
// of DISTRIBUTED_STORAGE_CONFIG) and makes its row if there is none. Several
// processes may call it for the same name at once. The error is
// gantry.Invalid on "location" for a name that is empty or longer than 255
// bytes.
func (db *DB) EnsureLocation(ctx context.Context, name string) (id int64, err error) {
	if name == "" || len(name) > 255 {
		return 0, gantry.Errorf(gantry.Invalid, "location", "the name of a storage location must be 1 to 255 bytes long")
	}
	err = db.update(ctx, "ensure location", func(ctx context.Context, t *tx) error {
		const find = `SELECT id FROM locations WHERE name = ?`
		err := t.queryRow(ctx, find, name).Scan(&id)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if id, err = t.insert(ctx, `INSERT INTO locations (name, state) VALUES (?, ?)`+t.d.ignore("id"), name, LocationActive); err != nil || id != 0 {
			return err
		}
		return t.queryRow(ctx, find, name).Scan(&id) // another process was first
	})
	return id, err
}
