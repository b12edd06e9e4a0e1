package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Times in the tables are compared by all instances: the end of a lease, of a
// tag, of a token's key. So all of them go by one clock, the database's, however
// their machines' clocks are set. An instance asks what time it is, and counts
// on from there by its monotonic clock, so that it is not moved by a step of its
// own clock either.

const (
	clockNoise   = 20 * time.Millisecond // a smaller difference is that of the network
	clockWarning = time.Second           // a larger one is worth a line in the log
)

// A reading is what the database's clock showed at a moment of ours.
type reading struct {
	ours   time.Time     // with its monotonic reading
	theirs time.Time     //
	behind time.Duration // theirs minus the machine's clock
}

// A dbClock follows the clock of the database.
type dbClock struct {
	last   atomic.Pointer[reading]
	warned atomic.Int64 // the difference that was told last, in ns
}

// now is the database's time, or the machine's while that is not known.
func (db *DB) now() time.Time {
	if r := db.clock.last.Load(); r != nil {
		return r.theirs.Add(time.Since(r.ours))
	}
	return db.opts.Now()
}

// ClockOffset is how far this machine's clock is behind the database's, as
// seen last; 0 with SQLite, or where Options.SyncClock is off.
func (db *DB) ClockOffset() time.Duration {
	if r := db.clock.last.Load(); r != nil {
		return r.behind
	}
	return 0
}

// timeQuery asks a database server for its time, in microseconds.
func (d *dialect) timeQuery() string {
	if d.name == "mysql" {
		return `SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)`
	}
	return `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`
}

// askClock asks the server what time it is.
func (db *DB) askClock(ctx context.Context) (r reading, took time.Duration, err error) {
	before, machine := time.Now(), db.opts.Now()
	var us int64
	if err := db.watch.pool.QueryRowContext(ctx, db.d.timeQuery()).Scan(&us); err != nil {
		return r, 0, fmt.Errorf("ask the database for the time: %w", err)
	}
	took = time.Since(before)
	r.ours = before.Add(took / 2)
	r.theirs = time.UnixMicro(us).UTC()
	r.behind = r.theirs.Sub(machine.Add(took / 2).Round(0))
	return r, took, nil
}

// setClock asks for the time and, with SyncClock, goes by it. It is the watch's
// question too.
func (db *DB) setClock(ctx context.Context) error {
	r, took, err := db.askClock(ctx)
	if err != nil || !db.opts.SyncClock {
		return err
	}
	if old := db.clock.last.Load(); old != nil {
		if off := r.theirs.Sub(old.theirs.Add(r.ours.Sub(old.ours))); off.Abs() <= max(clockNoise, took) {
			old := *old // how the machine's clock stands may have changed
			old.behind = r.behind
			db.clock.last.Store(&old)
			db.tellClock(ctx, r.behind)
			return nil
		}
	}
	db.clock.last.Store(&r)
	db.tellClock(ctx, r.behind)
	return nil
}

// tellClock warns of a machine whose clock is wrong, once for each change.
func (db *DB) tellClock(ctx context.Context, behind time.Duration) {
	told := time.Duration(db.clock.warned.Load())
	if (behind - told).Abs() < clockWarning {
		return
	}
	db.clock.warned.Store(int64(behind))
	if behind.Abs() < clockWarning {
		db.log.InfoContext(ctx, "this machine's clock and the database's agree again")
		return
	}
	db.log.WarnContext(ctx, "this machine's clock is not the database's: the registry goes by the database's, so all instances agree; certificates and storage services still see this machine's, so set it (NTP)",
		"behind", behind.Round(time.Millisecond).String(), "now", gantry.FromMillis(db.now().UnixMilli()).Format(time.RFC3339))
}
