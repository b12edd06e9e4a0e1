package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An AuditRow is a row of the audit view: of the journal, or of the pull log.
type AuditRow struct {
	Pull      bool // from the pull log
	ID        int64
	At        time.Time
	Kind      string
	Namespace gantry.AccountID
	Repo      gantry.RepoID
	Actor     gantry.Actor
	Payload   json.RawMessage // of the journal; nil for a pull
	Ref       string          // of a pull: tag or digest
	MediaType string          // of a pull
}

// An AuditQuery chooses rows of the audit view; zero fields choose all.
type AuditQuery struct {
	Namespace gantry.AccountID
	Repo      gantry.RepoID
	Actor     gantry.AccountID
	Kinds     []string  // only these log kinds
	From, To  time.Time // From <= At < To
	// After is the last row of the page before; only its Pull, ID and At
	// count.
	After *AuditRow
	Limit int // 0 = 20; at most 5000
}

// where returns the condition of q on the journal or the pull log.
func (q AuditQuery) where(pull bool) (where string, args []any) {
	where = "1 = 1"
	add := func(cond string, v ...any) { where, args = where+" AND "+cond, append(args, v...) }
	if q.Repo != 0 {
		add("repo_id = ?", q.Repo)
	} else if q.Namespace != 0 && q.Actor != 0 {
		// By who it was: most act in few namespaces, while a planner would read
		// all of a large namespace to find somebody who does little there.
		add("ns_id + 0 = ?", q.Namespace)
	} else if q.Namespace != 0 {
		add("ns_id = ?", q.Namespace)
	}
	if q.Actor != 0 {
		add("actor_id = ?", q.Actor)
	}
	if len(q.Kinds) > 0 {
		in, vals := list(q.Kinds, nil)
		add("kind IN "+in, vals...)
	}
	if !q.From.IsZero() {
		add("at_ms >= ?", q.From.UnixMilli())
	}
	// One upper bound: of two, SQLite walks an index from the first one on, and
	// a late page would read all that is before it.
	if !q.To.IsZero() && (q.After == nil || !q.After.At.Before(q.To)) {
		add("at_ms < ?", q.To.UnixMilli())
	}
	if a := q.After; a != nil {
		// The order is time, then the journal before pulls, then id, all
		// from the newest.
		at := a.At.UnixMilli()
		switch {
		case a.Pull == pull:
			add("at_ms <= ? AND (at_ms < ? OR id < ?)", at, at, a.ID)
		case pull:
			add("at_ms <= ?", at)
		default:
			add("at_ms < ?", at)
		}
	}
	return where, args
}

// pulls reports whether rows of the pull log may be among those that q chooses.
func (q AuditQuery) pulls() bool {
	return len(q.Kinds) == 0 || slices.ContainsFunc(q.Kinds, func(k string) bool { return strings.HasPrefix(k, "pull_") || strings.HasSuffix(k, "_failed") })
}

// Audit returns a page of the journal and the pull log merged, the newest
// rows first.
func (db *DB) Audit(ctx context.Context, q AuditQuery) (rows []AuditRow, err error) {
	if err := db.SettleAccess(); err != nil {
		return nil, err
	}
	n := min(q.Limit, 5000)
	if n <= 0 {
		n = 20
	}
	err = db.read(ctx, "read audit log", func(ctx context.Context, t *tx) error {
		where, args := q.where(false)
		entries, err := t.entries(ctx, fmt.Sprintf(where+` ORDER BY at_ms DESC, id DESC LIMIT %d`, n), args...)
		if err != nil {
			return err
		}
		rows = make([]AuditRow, 0, n)
		for _, e := range entries {
			rows = append(rows, AuditRow{ID: e.ID, At: e.At, Kind: e.Kind, Namespace: e.Namespace, Repo: e.Repo, Actor: e.Actor, Payload: e.Payload})
		}
		if !q.pulls() {
			return nil
		}
		where, args = q.where(true)
		pulls, err := t.pulls(ctx, fmt.Sprintf(where+` ORDER BY at_ms DESC, id DESC LIMIT %d`, n), args...)
		rows = append(rows, pulls...)
		return err
	})
	// Stable: the journal stays before pulls of the same millisecond.
	slices.SortStableFunc(rows, func(a, b AuditRow) int { return b.At.Compare(a.At) })
	return rows[:min(n, len(rows))], err
}

func (t *tx) pulls(ctx context.Context, where string, args ...any) (all []AuditRow, err error) {
	err = t.each(ctx, func(r *sql.Rows) error {
		a := AuditRow{Pull: true}
		var at int64
		err := r.Scan(&a.ID, &at, &a.Kind, &a.Namespace, &a.Repo, &a.Actor.Account, &a.Actor.Name, &a.Actor.Kind, &a.Actor.IP,
			&a.Ref, &a.MediaType, &a.Actor.Agent)
		a.At = gantry.FromMillis(at)
		all = append(all, a)
		return err
	}, `SELECT id, at_ms, kind, ns_id, repo_id, actor_id, actor, actor_kind, ip, ref, media_type, agent FROM access_log WHERE `+where, args...)
	return all, err
}

// An AuditCount is how often a log kind occurred on a day.
type AuditCount struct {
	Kind  string
	Day   time.Time // 00:00 UTC
	Count int64
}

// AuditCounts counts the rows of the audit view by kind and day; q.After and
// q.Limit do not count.
func (db *DB) AuditCounts(ctx context.Context, q AuditQuery) (counts []AuditCount, err error) {
	if err := db.SettleAccess(); err != nil {
		return nil, err
	}
	q.After = nil
	w1, a1 := q.where(false)
	w2, a2 := q.where(true)
	err = db.read(ctx, "count audit log", func(ctx context.Context, t *tx) error {
		counts = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var c AuditCount
			var day int64
			err := r.Scan(&c.Kind, &day, &c.Count)
			c.Day = time.UnixMilli(day).UTC()
			counts = append(counts, c)
			return err
		}, `SELECT kind, day, COUNT(*) FROM (
			SELECT kind, at_ms - at_ms % 86400000 AS day FROM events WHERE `+w1+`
			UNION ALL SELECT kind, at_ms - at_ms % 86400000 FROM access_log WHERE `+w2+`
			) x GROUP BY kind, day ORDER BY day, kind`, append(a1, a2...)...)
	})
	return counts, err
}

// OldPulls returns up to n of the oldest rows of the pull log from before a
// time, the oldest first.
func (db *DB) OldPulls(ctx context.Context, before time.Time, n int) (rows []AuditRow, err error) {
	err = db.read(ctx, "find old pulls", func(ctx context.Context, t *tx) error {
		rows, err = t.pulls(ctx, fmt.Sprintf(`at_ms < ? ORDER BY at_ms, id LIMIT %d`, n), before.UnixMilli())
		return err
	})
	return rows, err
}

// TrimPulls deletes up to n of the oldest rows of the pull log from before a
// time and returns how many. What is archived first is deleted by
// DeletePulls.
func (db *DB) TrimPulls(ctx context.Context, before time.Time, n int) (deleted int64, err error) {
	err = db.update(ctx, "trim pulls", func(ctx context.Context, t *tx) error {
		ids, err := t.ids(ctx, fmt.Sprintf(`SELECT id FROM access_log WHERE at_ms < ? ORDER BY at_ms, id LIMIT %d`, n), before.UnixMilli())
		if err != nil {
			return err
		}
		deleted, err = t.deletePulls(ctx, ids)
		return err
	})
	return deleted, err
}

// DeletePulls deletes rows of the pull log, such as those that OldPulls gave
// and that are archived now.
func (db *DB) DeletePulls(ctx context.Context, ids []int64) error {
	return db.update(ctx, "delete pulls", func(ctx context.Context, t *tx) error {
		_, err := t.deletePulls(ctx, ids)
		return err
	})
}

func (t *tx) deletePulls(ctx context.Context, ids []int64) (deleted int64, err error) {
	for chunk := range slices.Chunk(ids, 500) {
		in, args := list(chunk, nil)
		n, err := t.exec(ctx, `DELETE FROM access_log WHERE id IN `+in, args...)
		if err != nil {
			return 0, err
		}
		deleted += n
	}
	return deleted, nil
}
