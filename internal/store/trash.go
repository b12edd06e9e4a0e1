package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"
)

// An object is what is to be deleted.
type object struct {
	location int64
	path     string
	state    []byte // not nil: an upload that was not completed, to be aborted
}

// discard queues objects for deletion after the delay, and not before the
// last restore point is over: a database that was set back names them. A
// canonical key comes here only while its blob row is locked for a change.
func (t *tx) discard(ctx context.Context, objects []object, delay time.Duration) error {
	if len(objects) == 0 {
		return nil
	}
	h, err := t.hold(ctx)
	if err != nil {
		return err
	}
	after := max(t.now.Add(delay).UnixMilli(), h.until)
	slices.SortFunc(objects, func(a, b object) int {
		return cmp.Or(cmp.Compare(a.location, b.location), cmp.Compare(a.path, b.path))
	})
	for chunk := range slices.Chunk(objects, 128) {
		args := make([]any, 0, 4*len(chunk))
		for _, o := range chunk {
			args = append(args, o.location, o.path, o.state, after)
		}
		if _, err := t.exec(ctx, `INSERT INTO trash (location_id, path, engine_state, after_ms, done_ms) VALUES `+
			strings.Repeat("(?, ?, ?, ?, 0), ", len(chunk)-1)+"(?, ?, ?, ?, 0)"+
			t.d.upsert("location_id, path", "engine_state = "+t.d.fresh("engine_state")+", after_ms = "+t.d.fresh("after_ms")+", done_ms = 0"), args...); err != nil {
			return err
		}
	}
	return nil
}

// A Trashed is an object that is to be deleted.
type Trashed struct {
	id, after int64
	Location  int64
	Path      string
	// Upload: it was not completed and is to be aborted, with this State.
	Upload bool
	State  []byte
}

// TrashDue claims up to n objects of these locations that are to be deleted
// now. Whoever calls it begins to delete them within ten minutes, by a clock
// that also counts while the machine sleeps, or leaves it; what is not
// reported to TrashDone is due again then.
func (db *DB) TrashDue(ctx context.Context, locations []int64, n int) (due []Trashed, err error) {
	if len(locations) == 0 {
		return nil, nil
	}
	err = db.update(ctx, "claim trash", func(ctx context.Context, t *tx) error {
		due = nil
		now := t.now.UnixMilli()
		in, args := list(locations, []any{now})
		var ids []int64
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT id FROM trash WHERE done_ms = 0 AND after_ms <= ? AND location_id IN `+in+` ORDER BY after_ms LIMIT ?`,
			append(args, min(n, maxCollectRows))...); err != nil || len(ids) == 0 {
			return err
		}
		slices.Sort(ids)
		claim := t.now.Add(trashClaim).UnixMilli()
		in, args = list(ids, nil)
		if err := t.each(ctx, func(rows *sql.Rows) error {
			d := Trashed{after: claim}
			var upload int
			err := rows.Scan(&d.id, &d.Location, &d.Path, &d.State, &upload)
			d.Upload = upload != 0
			due = append(due, d)
			return err
		}, `SELECT id, location_id, path, engine_state, CASE WHEN engine_state IS NULL THEN 0 ELSE 1 END FROM trash WHERE id IN `+in+` AND done_ms = 0 AND after_ms <= ? ORDER BY id`+t.d.excl,
			append(args, now)...); err != nil || len(due) == 0 {
			return err
		}
		ids = ids[:0]
		for _, d := range due {
			ids = append(ids, d.id)
		}
		in, args = list(ids, []any{claim})
		_, err := t.exec(ctx, `UPDATE trash SET after_ms = ? WHERE id IN `+in, args...)
		return err
	})
	return due, err
}

// TrashDone says that these objects, claimed from TrashDue, are gone. Their
// keys stay out of use for another day.
func (db *DB) TrashDone(ctx context.Context, done []Trashed) error {
	if len(done) == 0 {
		return nil
	}
	return db.update(ctx, "empty trash", func(ctx context.Context, t *tx) error {
		byClaim := map[int64][]int64{}
		for _, d := range done {
			byClaim[d.after] = append(byClaim[d.after], d.id)
		}
		for after, ids := range byClaim {
			slices.Sort(ids)
			in, args := list(ids, []any{t.now.UnixMilli(), after})
			if _, err := t.exec(ctx, `UPDATE trash SET done_ms = ? WHERE done_ms = 0 AND after_ms = ? AND id IN `+in, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// PurgeTrash forgets up to n keys whose objects were deleted a day ago, and
// returns how many.
func (db *DB) PurgeTrash(ctx context.Context, n int) (purged int64, err error) {
	err = db.update(ctx, "purge trash", func(ctx context.Context, t *tx) error {
		var ids []int64
		purged = 0
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT id FROM trash WHERE done_ms > 0 AND done_ms <= ? ORDER BY done_ms LIMIT ?`,
			t.now.Add(-trashFence).UnixMilli(), min(n, maxCollectRows)); err != nil || len(ids) == 0 {
			return err
		}
		slices.Sort(ids)
		in, args := list(ids, nil)
		var err error
		purged, err = t.exec(ctx, `DELETE FROM trash WHERE done_ms > 0 AND done_ms <= `+big(t.now.Add(-trashFence).UnixMilli())+` AND id IN `+in, args...)
		return err
	})
	return purged, err
}
