package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A QuotaComparison says how CompareQuota compares.
type QuotaComparison struct {
	Namespace gantry.AccountID
	Default   int64         // bytes, for a namespace without a quota of its own; 0 = none
	Refused   bool          // a push was refused: the Reject limit is reached, though what is stored lies below it
	Cooldown  time.Duration // shortest time between two notices of one limit
	// Tell makes of a crossing what the administrators find in their inbox and
	// jobs to be queued. It changes nothing and may be called more than once.
	Tell func(QuotaCrossing) (Notice, []NewJob, error)
}

// A QuotaCrossing is a limit that a namespace has reached.
type QuotaCrossing struct {
	Name  string // of the namespace
	Kind  gantry.AccountKind
	Limit QuotaLimit // ID 0 = the default quota
	Used  int64      // bytes
	Quota int64      // bytes
}

// percentOf is a share of a quota, in bytes, without overflow.
func percentOf(bytes int64, percent int) int64 {
	p := int64(percent)
	return bytes/100*p + bytes%100*p/100
}

// CompareQuota compares what a namespace stores with each limit of its quota,
// tells of those that it has reached since it was below them last, and notes
// that. Where nothing has changed it only reads. NotFound on "account".
func (db *DB) CompareQuota(ctx context.Context, q QuotaComparison) error {
	changes := false
	if err := db.read(ctx, "look at quota", func(ctx context.Context, t *tx) (err error) {
		_, changes, err = t.compareQuota(ctx, q, false)
		return err
	}); err != nil || !changes {
		return err
	}
	return db.update(ctx, "compare quota", func(ctx context.Context, t *tx) error {
		all, _, err := t.compareQuota(ctx, q, true)
		if err != nil || len(all) == 0 {
			return err
		}
		who, err := t.noticed(ctx, NoticeTarget{Kind: "org", Namespace: q.Namespace})
		if err != nil && !gantry.Is(err, gantry.NotFound) {
			return err
		}
		for _, c := range all {
			notice, jobs, err := q.Tell(c)
			if err != nil {
				return err
			}
			if _, err := t.addNotices(ctx, who, fmt.Sprintf("quota %d %d %d", q.Namespace, c.Limit.ID, t.now.UnixMilli()), notice); err != nil {
				return err
			}
			if _, err := t.enqueue(ctx, jobs); err != nil {
				return err
			}
		}
		return nil
	})
}

type quotaState struct {
	above bool
	told  int64
}

// compareQuota returns what is to be told, and whether anything has to be
// written, which it does if it may.
func (t *tx) compareQuota(ctx context.Context, q QuotaComparison, write bool) (all []QuotaCrossing, changes bool, err error) {
	a, err := t.accountWhere(ctx, "a.id = ?", q.Namespace)
	if err != nil {
		return nil, false, err
	}
	used, err := t.stored(ctx, q.Namespace)
	if err != nil {
		return nil, false, err
	}
	quotas, err := t.quotas(ctx, []gantry.AccountID{q.Namespace})
	if err != nil {
		return nil, false, err
	}
	own := quotas[q.Namespace]
	if own == nil {
		own = &Quota{Bytes: q.Default}
		if q.Default > 0 {
			own.Limits = []QuotaLimit{{0, QuotaReject, 100}}
		}
	}
	excl := ""
	if write {
		excl = t.d.excl
	}
	states := map[int64]quotaState{}
	if err := t.each(ctx, func(r *sql.Rows) error {
		var id, told int64
		var above int
		err := r.Scan(&id, &above, &told)
		states[id] = quotaState{above == 1, told}
		return err
	}, `SELECT limit_id, above, told_ms FROM quota_states WHERE ns_id = ?`+excl, q.Namespace); err != nil {
		return nil, false, err
	}
	for _, l := range own.Limits {
		was, known := states[l.ID]
		delete(states, l.ID)
		above := used >= percentOf(own.Bytes, l.Percent) || q.Refused && l.Kind == QuotaReject
		if above == was.above {
			continue
		}
		changes = true
		told := was.told
		if above && (!known || t.now.UnixMilli()-told >= q.Cooldown.Milliseconds()) {
			told = t.now.UnixMilli()
			all = append(all, QuotaCrossing{a.Name, a.Kind, l, used, own.Bytes})
		}
		if !write {
			continue
		}
		if _, err := t.exec(ctx, `INSERT INTO quota_states (ns_id, limit_id, above, told_ms) VALUES (?, ?, ?, ?)`+
			t.d.upsert("ns_id, limit_id", "above = "+t.d.fresh("above")+", told_ms = "+t.d.fresh("told_ms")), q.Namespace, l.ID, flag(above), told); err != nil {
			return nil, false, err
		}
	}
	for id := range states { // of limits that are gone
		changes = true
		if !write {
			break
		}
		if _, err := t.exec(ctx, `DELETE FROM quota_states WHERE ns_id = ? AND limit_id = ?`, q.Namespace, id); err != nil {
			return nil, false, err
		}
	}
	return all, changes, nil
}

// stored is the bytes that a namespace uses: see Usage.
func (t *tx) stored(ctx context.Context, ns gantry.AccountID) (bytes int64, err error) {
	err = t.queryRow(ctx, `SELECT `+usedBytes+` FROM accounts a WHERE a.id = ?`, ns).Scan(&bytes)
	return bytes, err
}
