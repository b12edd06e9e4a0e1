package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Read replicas answer while the primary does not: then a request that only
// reads (FromReplicas) is answered by the first replica that can. While the
// primary answers they are not asked, for what they say may be a moment old,
// and who has pushed or revoked must see it. What was read of a replica is
// forgotten when the primary is back. As what an instance has kept, it is handed
// out for MaxStale at most: a replica that is cut off from its primary, too,
// does not know what was taken away since.

// replicaStatement bounds one read of a replica, and replicaPause how long one
// that failed is left alone.
const (
	replicaStatement = 10 * time.Second
	replicaPause     = 5 * time.Second
)

// fromReplicas marks a context.
type fromReplicas struct{}

// FromReplicas returns a context whose reads a replica may answer while the
// database is away. It is for requests that change nothing, not for work that
// goes on to delete or write elsewhere what it has read of.
func FromReplicas(ctx context.Context) context.Context {
	return context.WithValue(ctx, fromReplicas{}, true)
}

// HasReplicas reports whether there are read replicas.
func (db *DB) HasReplicas() bool { return len(db.replicas) > 0 }

// ReplicaReads is how many reads replicas have answered so far.
func (db *DB) ReplicaReads() uint64 { return db.replicated.Load() }

// A replica is a server that has what the primary has, a moment later.
type replica struct {
	*pool
	where  string
	failed atomic.Int64 // Unix ms of the last time that it did not answer
}

// openReplicas opens the pools of the replicas; nothing connects yet, so that
// one that is away holds up no start.
func (db *DB) openReplicas() error {
	for i, raw := range db.opts.Replicas {
		field := fmt.Sprintf("DB_READ_REPLICAS[%d]", i)
		u, err := parseURI(raw, db.opts.Args)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		if u.dialect != db.uri.dialect {
			return gantry.Errorf(gantry.Invalid, "DB_READ_REPLICAS", "%s is of %s and DB_URI of %s: a replica is a copy of the primary", field, u.dialect, db.uri.dialect)
		}
		known := postgresArgs
		if u.dialect == "mysql" {
			known = mysqlArgs
		}
		u.strip(known...)
		if u.args["target_session_attrs"] == "" && u.dialect == "postgres" {
			u.args["target_session_attrs"] = "any" // one that was promoted answers as well
		}
		p, err := db.newPool(u)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		p.statement = min(p.statement, replicaStatement)
		db.replicas = append(db.replicas, &replica{pool: p, where: u.where()})
	}
	return nil
}

// replicaMay reports whether a read that failed with err may be answered by a
// replica.
func (db *DB) replicaMay(ctx context.Context, err error) bool {
	if len(db.replicas) == 0 || err == nil || ctx.Err() != nil || ctx.Value(fromReplicas{}) == nil {
		return false
	}
	if !errors.Is(err, errAway) && !db.gone(err) {
		return false
	}
	since := db.Away() // zero: it has only just failed
	return since.IsZero() || time.Since(since) < MaxStale
}

// readReplica has a replica answer. ok is false where none could: then the
// primary's error holds.
func (db *DB) readReplica(ctx context.Context, fn func(ctx context.Context, t *tx) error) (ok bool, err error) {
	for _, r := range db.replicas {
		if last := r.failed.Load(); last != 0 && time.Since(time.UnixMilli(last)) < replicaPause {
			continue
		}
		t := &tx{db: db, d: db.d, now: db.now()}
		err := db.readOnce(ctx, r.pool, t, fn)
		switch {
		case err == nil:
			db.replicated.Add(1)
			db.ofReplica.Store(true)
			return true, nil
		case ctx.Err() != nil:
			return true, err
		case !db.gone(err) && !errors.Is(err, errBusy) && !errors.Is(err, errSlow):
			db.replicated.Add(1)
			return true, err // that is its answer
		}
		r.failed.Store(time.Now().UnixMilli())
		db.log.WarnContext(ctx, "a read replica does not answer", "replica", r.where, "error", err)
		if t.answered {
			return false, nil // what it said in part cannot be taken back
		}
	}
	return false, nil
}

// returnedToPrimary forgets what replicas have said.
func (db *DB) returnedToPrimary() {
	if db.ofReplica.Swap(false) {
		db.Forget(Removal{All: true})
	}
}

func (db *DB) closeReplicas() error {
	var errs []error
	for _, r := range db.replicas {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
