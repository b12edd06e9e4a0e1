package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Lease is the right to do something that one instance at a time may do.
type Lease struct {
	Name, Holder string
	Fence        int64 // grows each time the lease is taken
	Until        time.Time
}

var errLostLease = &gantry.Error{Code: gantry.Conflict, Object: "lease", Detail: "another instance holds the lease"}

// TakeLease takes a lease that nobody holds, or whose time has passed. It is
// gantry.Conflict on "lease" while somebody holds it, the same holder too.
func (db *DB) TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (l Lease, err error) {
	err = db.update(ctx, "take lease", func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, `INSERT INTO leases (name, holder, fence, until_ms) VALUES (?, '', 0, 0)`+t.d.ignore("name"), name); err != nil {
			return err
		}
		var until int64
		l = Lease{Name: name, Holder: holder, Until: t.now.Add(ttl).UTC()}
		if err := t.queryRow(ctx, `SELECT fence, until_ms FROM leases WHERE name = ?`+t.d.excl, name).Scan(&l.Fence, &until); err != nil {
			return err
		}
		if until > t.now.UnixMilli() {
			return errLostLease
		}
		l.Fence++
		_, err := t.exec(ctx, `UPDATE leases SET holder = ?, fence = ?, until_ms = ? WHERE name = ?`, holder, l.Fence, l.Until.UnixMilli(), name)
		return err
	})
	return l, err
}

// RenewLease prolongs a lease that is still held; gantry.Conflict on "lease"
// if it is lost.
func (db *DB) RenewLease(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) {
	err := db.update(ctx, "renew lease", func(ctx context.Context, t *tx) error {
		if err := t.guard(ctx, l, t.d.excl); err != nil {
			return err
		}
		l.Until = t.now.Add(ttl).UTC()
		_, err := t.exec(ctx, `UPDATE leases SET until_ms = ? WHERE name = ?`, l.Until.UnixMilli(), l.Name)
		return err
	})
	return l, err
}

// ReleaseLease gives a lease back; a lost one is no error.
func (db *DB) ReleaseLease(ctx context.Context, l Lease) error {
	return db.update(ctx, "release lease", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE leases SET until_ms = 0 WHERE name = ? AND holder = ? AND fence = ?`, l.Name, l.Holder, l.Fence)
		return err
	})
}

// guard refuses the transaction unless l is still held, and keeps it from
// being taken until the commit.
func (t *tx) guard(ctx context.Context, l Lease, lock string) error {
	var one int
	err := t.queryRow(ctx, `SELECT 1 FROM leases WHERE name = ? AND holder = ? AND fence = ? AND until_ms > ?`+lock,
		l.Name, l.Holder, l.Fence, t.now.UnixMilli()).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return errLostLease
	}
	return err
}

// An Instance is a running process of the registry.
type Instance struct {
	ID            string
	Started, Seen time.Time
	Roles, Build  string
}

// Beat says that an instance lives.
func (db *DB) Beat(ctx context.Context, i Instance) error {
	return db.update(ctx, "heartbeat", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO instances (id, started_ms, seen_ms, roles, build) VALUES (?, ?, ?, ?, ?)`+
			t.d.upsert("id", "seen_ms = "+t.d.fresh("seen_ms")), i.ID, gantry.Millis(i.Started), t.now.UnixMilli(), cut(i.Roles, 255), cut(i.Build, 255))
		return err
	})
}

// Instances lists those seen since a time.
func (db *DB) Instances(ctx context.Context, since time.Time) (all []Instance, err error) {
	err = db.read(ctx, "list instances", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var i Instance
			var started, seen int64
			err := r.Scan(&i.ID, &started, &seen, &i.Roles, &i.Build)
			i.Started, i.Seen = gantry.FromMillis(started), gantry.FromMillis(seen)
			all = append(all, i)
			return err
		}, `SELECT id, started_ms, seen_ms, roles, build FROM instances WHERE seen_ms >= ? ORDER BY id`, since.UnixMilli())
	})
	return all, err
}

// RemoveInstance forgets an instance that stops.
func (db *DB) RemoveInstance(ctx context.Context, id string) error {
	return db.update(ctx, "remove instance", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM instances WHERE id = ?`, id)
		return err
	})
}
