package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Entry is a row of the journal as readers get it.
type Entry struct {
	ID, Seq   int64 // Seq grows in the order of commits; 0 = not numbered yet, less = of another registry
	At        time.Time
	Kind      string
	Namespace gantry.AccountID
	Repo      gantry.RepoID
	Actor     gantry.Actor
	Payload   json.RawMessage // a JSON object
}

const entryColumns = `id, seq, at_ms, kind, ns_id, repo_id, actor_id, actor, actor_kind, ip, request, payload`

func scanEntry(r interface{ Scan(...any) error }) (e Entry, err error) {
	var seq sql.NullInt64
	var at int64
	var payload string
	err = r.Scan(&e.ID, &seq, &at, &e.Kind, &e.Namespace, &e.Repo, &e.Actor.Account, &e.Actor.Name, &e.Actor.Kind, &e.Actor.IP,
		&e.Actor.Request, &payload)
	e.Seq, e.At, e.Payload = seq.Int64, gantry.FromMillis(at), json.RawMessage(payload)
	return e, err
}

func (t *tx) entries(ctx context.Context, where string, args ...any) (all []Entry, err error) {
	err = t.each(ctx, func(r *sql.Rows) error {
		e, err := scanEntry(r)
		all = append(all, e)
		return err
	}, `SELECT `+entryColumns+` FROM events WHERE `+where, args...)
	return all, err
}

// maxSequence is how many rows one transaction numbers.
const maxSequence = 500

// Sequence numbers committed rows of the journal that have no number yet and
// returns how many. It may run in several instances at once. Where writers
// are serial there is nothing to do.
func (db *DB) Sequence(ctx context.Context) (total int, err error) {
	if db.d.serial {
		return 0, nil
	}
	for {
		var n int
		err := db.read(ctx, "look for new events", func(ctx context.Context, t *tx) error {
			var one int
			err := t.queryRow(ctx, `SELECT 1 FROM events WHERE seq IS NULL LIMIT 1`).Scan(&one)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			n = one
			return err
		})
		if err != nil || n == 0 {
			return total, err
		}
		if err := db.update(ctx, "number events", func(ctx context.Context, t *tx) error {
			n, err = t.sequence(ctx)
			return err
		}); err != nil {
			return total, err
		}
		if total += n; n < maxSequence {
			return total, nil
		}
	}
}

func (t *tx) sequence(ctx context.Context) (int, error) {
	// The row lock keeps other sequencers out; what they committed is seen
	// by the later statements.
	last, err := t.counter(ctx, "events")
	if err != nil {
		return 0, err
	}
	ids, err := t.ids(ctx, fmt.Sprintf(`SELECT id FROM events WHERE seq IS NULL ORDER BY seq, id LIMIT %d`, maxSequence))
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if t.d.name == "postgres" {
		_, err = t.exec(ctx, `UPDATE events SET seq = ? + v.n FROM unnest(CAST(? AS BIGINT[])) WITH ORDINALITY AS v(id, n)
			WHERE events.id = v.id AND events.id = ANY (CAST(? AS BIGINT[]))`, last, ids, ids)
	} else {
		var b strings.Builder
		var args []any
		for i, id := range ids {
			b.WriteString(" WHEN ? THEN ?")
			args = append(args, id, last+int64(i)+1)
		}
		in, args := list(ids, args)
		_, err = t.exec(ctx, `UPDATE events SET seq = CASE id`+b.String()+` END WHERE id IN `+in, args...)
	}
	if err != nil {
		return 0, err
	}
	_, err = t.exec(ctx, `UPDATE sequences SET n = ? WHERE name = 'events'`, last+int64(len(ids)))
	return len(ids), err
}

// counter locks a row of sequences, which it makes if need be, and returns
// its number; a new one starts at the journal's newest number.
func (t *tx) counter(ctx context.Context, name string) (n int64, err error) {
	get := func() error { return t.queryRow(ctx, `SELECT n FROM sequences WHERE name = ?`+t.d.excl, name).Scan(&n) }
	if err = get(); errors.Is(err, sql.ErrNoRows) {
		_, err = t.exec(ctx, `INSERT INTO sequences (name, n) VALUES (?, (SELECT COALESCE(MAX(seq), 0) FROM events WHERE seq > 0))`+t.d.ignore("name"), name)
		if err == nil {
			err = get()
		}
	}
	return n, err
}

// Events returns up to n numbered rows of the journal after a number.
func (db *DB) Events(ctx context.Context, after int64, n int) (all []Entry, err error) {
	err = db.read(ctx, "read events", func(ctx context.Context, t *tx) error {
		all, err = t.entries(ctx, fmt.Sprintf(`seq > ? ORDER BY seq LIMIT %d`, n), after)
		return err
	})
	return all, err
}

// Reader returns how far a reader of the journal is: the number of the last
// row that it acknowledged, or 0.
func (db *DB) Reader(ctx context.Context, name string) (seq int64, err error) {
	err = db.read(ctx, "find reader", func(ctx context.Context, t *tx) error {
		err := t.queryRow(ctx, `SELECT seq FROM readers WHERE name = ?`, name).Scan(&seq)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return seq, err
}

// AckEvents moves a reader from one number to another and queues the jobs
// that the rows between make, in one transaction. It is gantry.Conflict on
// "reader" when the reader is not at from: another instance was faster, and
// nothing is queued. Rows after the slowest reader are never trimmed.
func (db *DB) AckEvents(ctx context.Context, reader string, from, to int64, jobs ...NewJob) error {
	return db.update(ctx, "acknowledge events", func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, `INSERT INTO readers (name, seq) VALUES (?, 0)`+t.d.ignore("name"), reader); err != nil {
			return err
		}
		n, err := t.exec(ctx, `UPDATE readers SET seq = ? WHERE name = ? AND seq = ?`, to, reader, from)
		if err != nil {
			return err
		}
		if n == 0 {
			return gantry.Errorf(gantry.Conflict, "reader", "the reader %s is not at %d", reader, from)
		}
		_, err = t.enqueue(ctx, jobs)
		return err
	})
}

// DropReader forgets a reader, so that it holds back no trimming.
func (db *DB) DropReader(ctx context.Context, name string) error {
	return db.update(ctx, "drop reader", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM readers WHERE name = ?`, name)
		return err
	})
}

// OldEvents returns up to n of the oldest rows of the journal that happened
// before a time and that TrimEvents may delete: every reader has them, and
// they are not the newest one.
func (db *DB) OldEvents(ctx context.Context, before time.Time, n int) (old []Entry, err error) {
	err = db.read(ctx, "find old events", func(ctx context.Context, t *tx) error {
		old, err = t.oldEvents(ctx, before, n)
		return err
	})
	return old, err
}

func (t *tx) oldEvents(ctx context.Context, before time.Time, n int) ([]Entry, error) {
	all, err := t.entries(ctx, fmt.Sprintf(`seq < (SELECT MAX(e.seq) FROM events e)
		AND seq <= COALESCE((SELECT MIN(r.seq) FROM readers r), seq) ORDER BY seq LIMIT %d`, n))
	for i, e := range all {
		if !e.At.Before(before) {
			return all[:i], err
		}
	}
	return all, err
}

// TrimEvents deletes up to n rows of OldEvents, those up to the number upTo;
// 0 = no such bound. It returns how many. The newest row always stays: its
// number is where the next one goes on.
func (db *DB) TrimEvents(ctx context.Context, before time.Time, upTo int64, n int) (deleted int64, err error) {
	err = db.update(ctx, "trim events", func(ctx context.Context, t *tx) error {
		deleted = 0
		old, err := t.oldEvents(ctx, before, n)
		if err != nil {
			return err
		}
		var ids []int64
		for _, e := range old {
			if upTo == 0 || e.Seq <= upTo {
				ids = append(ids, e.ID)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		in, args := list(ids, nil)
		deleted, err = t.exec(ctx, `DELETE FROM events WHERE id IN `+in, args...)
		return err
	})
	return deleted, err
}
