package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// hold is what the restore points ask for.
type hold struct {
	oldest int64 // the database may be set back to this time, ms; 0: to none
	until  int64 // no object that it needed may be deleted before, ms
}

func (t *tx) hold(ctx context.Context) (h hold, err error) {
	var at, until sql.NullInt64
	err = t.queryRow(ctx, `SELECT MIN(at_ms), MAX(until_ms) FROM restore_points WHERE until_ms > ?`, t.now.UnixMilli()).Scan(&at, &until)
	return hold{at.Int64, until.Int64}, err
}

// CreateRestorePoint keeps everything that the database needs as it is now,
// until then: a copy that is taken after this call can be put back. It
// returns the point's id, for ReleaseRestorePoint.
func (db *DB) CreateRestorePoint(ctx context.Context, until time.Time) (id int64, err error) {
	err = db.update(ctx, "create restore point", func(ctx context.Context, t *tx) error {
		if !until.After(t.now) {
			return gantry.Errorf(gantry.Invalid, "restore point", "a restore point must end in the future")
		}
		id, err = t.insert(ctx, `INSERT INTO restore_points (at_ms, until_ms) VALUES (?, ?)`, t.now.UnixMilli(), until.UnixMilli())
		return err
	})
	return id, err
}

// ReleaseRestorePoint ends a restore point early, and with it what waits in
// the trash for it alone. One that is gone is no error.
func (db *DB) ReleaseRestorePoint(ctx context.Context, id int64) error {
	for {
		var n int64
		if err := db.update(ctx, "release restore point", func(ctx context.Context, t *tx) error {
			if _, err := t.exec(ctx, `DELETE FROM restore_points WHERE id = ? OR until_ms <= ?`, id, t.now.UnixMilli()); err != nil {
				return err
			}
			h, err := t.hold(ctx)
			if err != nil {
				return err
			}
			// Not before a usual delay: TrashDue and Relocate ask for up to 1 h.
			after := max(h.until, t.now.Add(time.Hour).UnixMilli())
			var ids []int64
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var id int64
				err := rows.Scan(&id)
				ids = append(ids, id)
				return err
			}, `SELECT id FROM trash WHERE done_ms = 0 AND after_ms > ? ORDER BY id LIMIT ?`, after, maxCollectRows); err != nil || len(ids) == 0 {
				n = 0
				return err
			}
			in, args := list(ids, []any{after, after})
			n, err = t.exec(ctx, `UPDATE trash SET after_ms = ? WHERE done_ms = 0 AND after_ms > ? AND id IN `+in, args...)
			return err
		}); err != nil || n == 0 {
			return err
		}
	}
}

// A RestorePoint is a time to which the database may be set back.
type RestorePoint struct {
	ID        int64
	At, Until time.Time
}

// RestorePoints returns those that are not over, the oldest first.
func (db *DB) RestorePoints(ctx context.Context) (all []RestorePoint, err error) {
	err = db.read(ctx, "restore points", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			var id, at, until int64
			err := rows.Scan(&id, &at, &until)
			all = append(all, RestorePoint{id, gantry.FromMillis(at), gantry.FromMillis(until)})
			return err
		}, `SELECT id, at_ms, until_ms FROM restore_points WHERE until_ms > ? ORDER BY at_ms, id`, t.now.UnixMilli())
	})
	return all, err
}

// RenewRestorePoint has a restore point last until then, and with it what
// waits in the trash for it. NotFound on "restore point" when it is over: what
// a copy of its time needs may be gone.
func (db *DB) RenewRestorePoint(ctx context.Context, id int64, until time.Time) error {
	for {
		var n int64
		if err := db.update(ctx, "renew restore point", func(ctx context.Context, t *tx) error {
			err := t.queryRow(ctx, `SELECT id FROM restore_points WHERE id = ? AND until_ms > ?`+t.d.excl, id, t.now.UnixMilli()).Scan(&id)
			if err != nil {
				return notFound(err, errNoRestorePoint)
			}
			if _, err := t.exec(ctx, `UPDATE restore_points SET until_ms = ? WHERE id = ?`, until.UnixMilli(), id); err != nil {
				return err
			}
			h, err := t.hold(ctx)
			if err != nil {
				return err
			}
			// What was to be deleted when the point would have ended waits on.
			// What is due before it was discarded before the point was made.
			var ids []int64
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var id int64
				err := rows.Scan(&id)
				ids = append(ids, id)
				return err
			}, `SELECT t.id FROM trash t WHERE t.done_ms = 0 AND t.after_ms < ? AND t.after_ms > ? ORDER BY t.id LIMIT ?`,
				h.until, t.now.Add(trashClaim).UnixMilli(), maxCollectRows); err != nil || len(ids) == 0 {
				n = 0
				return err
			}
			in, args := list(ids, []any{h.until, h.until})
			n, err = t.exec(ctx, `UPDATE trash SET after_ms = ? WHERE done_ms = 0 AND after_ms < ? AND id IN `+in, args...)
			return err
		}); err != nil || n == 0 {
			return err
		}
	}
}

var errNoRestorePoint = &gantry.Error{Code: gantry.NotFound, Object: "restore point", Detail: "the restore point is over, or there is none: what it kept may be gone"}
