package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A LogExport is a file with rows of the audit log that can be fetched by
// whoever knows its token, until it expires.
type LogExport struct {
	ID       int64
	Token    []byte // SHA-256 of the secret in the link
	Location int64
	Path     string
	Size     int64 // bytes; 0 = it is still being written
	Expires  time.Time
}

// PutLogExport writes the row of a file; one of the same path goes.
func (db *DB) PutLogExport(ctx context.Context, e LogExport) error {
	return db.update(ctx, "write log export", func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, `DELETE FROM log_exports WHERE path = ?`, e.Path); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO log_exports (token_hash, location_id, path, size, expires_ms) VALUES (?, ?, ?, ?, ?)`,
			e.Token, e.Location, e.Path, e.Size, e.Expires.UnixMilli())
		return err
	})
}

// LogExport finds the file of a token. NotFound on "export".
func (db *DB) LogExport(ctx context.Context, token []byte) (e LogExport, err error) {
	err = db.read(ctx, "find log export", func(ctx context.Context, t *tx) error {
		e = LogExport{Token: token}
		var expires int64
		err := t.queryRow(ctx, `SELECT id, location_id, path, size, expires_ms FROM log_exports WHERE token_hash = ? AND expires_ms > ? AND size > 0`,
			token, t.now.UnixMilli()).Scan(&e.ID, &e.Location, &e.Path, &e.Size, &expires)
		e.Expires = gantry.FromMillis(expires)
		return notFound(err, gantry.Errorf(gantry.NotFound, "export", "there is no such export, or its link has expired; export the log again"))
	})
	return e, err
}

// ExpiredLogExports returns up to n files whose links have expired.
func (db *DB) ExpiredLogExports(ctx context.Context, n int) (all []LogExport, err error) {
	err = db.read(ctx, "find expired log exports", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var e LogExport
			err := r.Scan(&e.ID, &e.Location, &e.Path)
			all = append(all, e)
			return err
		}, `SELECT id, location_id, path FROM log_exports WHERE expires_ms <= ? ORDER BY expires_ms, id LIMIT `+big(int64(n)), t.now.UnixMilli())
	})
	return all, err
}

// DeleteLogExport forgets a file that was deleted.
func (db *DB) DeleteLogExport(ctx context.Context, id int64) error {
	return db.update(ctx, "forget log export", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM log_exports WHERE id = ?`, id)
		return err
	})
}

// LogEvent appends a row to the journal that no change of the store makes.
func (db *DB) LogEvent(ctx context.Context, e Event) error {
	return db.update(ctx, "write journal", func(ctx context.Context, t *tx) error { return t.event(ctx, e) })
}

// An Archive is a batch of old rows that are being moved to a file: of the
// journal, those with the numbers From to To, or, of the pull log, those with
// the ids of Pulls. Once it has begun, it is the same batch until it ends,
// whoever goes on with it; so a file that was written twice is the same file,
// and no row is in two files.
type Archive struct {
	Path     string  `json:"path"`
	From, To int64   `json:",omitempty"`
	Pulls    []int64 `json:",omitempty"`
}

const archiveSetting = "archive of the audit log"

// MaxArchive bounds the rows of one Archive.
const MaxArchive = 5000

// BeginArchive returns the archive that has begun and not ended, or else
// begins one of the oldest rows from before a time, at most n of them; name
// gives its path. nil = there are no such rows.
func (db *DB) BeginArchive(ctx context.Context, before time.Time, n int, name func(table string, first, last int64, day time.Time) string) (a *Archive, err error) {
	n = min(n, MaxArchive)
	err = db.update(ctx, "begin archive", func(ctx context.Context, t *tx) error {
		a = nil
		if _, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES (?, '')`+t.d.ignore("name"), archiveSetting); err != nil {
			return err
		}
		var value string
		if err := t.queryRow(ctx, `SELECT value FROM settings WHERE name = ?`+t.d.excl, archiveSetting).Scan(&value); err != nil {
			return err
		}
		if value != "" {
			a = &Archive{}
			return json.Unmarshal([]byte(value), a)
		}
		old, err := t.oldEvents(ctx, before, n)
		if err != nil {
			return err
		}
		if len(old) > 0 {
			first, last := old[0], old[len(old)-1]
			a = &Archive{From: first.Seq, To: last.Seq, Path: name("events", first.Seq, last.Seq, first.At)}
		} else {
			pulls, err := t.pulls(ctx, fmt.Sprintf(`at_ms < ? ORDER BY at_ms, id LIMIT %d`, n), before.UnixMilli())
			if err != nil || len(pulls) == 0 {
				return err
			}
			a = &Archive{}
			for _, p := range pulls {
				a.Pulls = append(a.Pulls, p.ID)
			}
			a.Path = name("pulls", slices.Min(a.Pulls), slices.Max(a.Pulls), pulls[0].At)
		}
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE settings SET value = ? WHERE name = ?`, string(text), archiveSetting)
		return err
	})
	return a, err
}

// ArchiveRows returns the rows of an archive that has begun, the oldest first.
func (db *DB) ArchiveRows(ctx context.Context, a *Archive) (rows []AuditRow, err error) {
	err = db.read(ctx, "read archive", func(ctx context.Context, t *tx) error {
		rows = nil
		if len(a.Pulls) == 0 {
			entries, err := t.entries(ctx, `seq >= ? AND seq <= ? ORDER BY seq`, a.From, a.To)
			for i := range entries {
				rows = append(rows, entries[i].Row())
			}
			return err
		}
		for chunk := range slices.Chunk(a.Pulls, 500) {
			in, args := list(chunk, nil)
			pulls, err := t.pulls(ctx, `id IN `+in, args...)
			if err != nil {
				return err
			}
			rows = append(rows, pulls...)
		}
		slices.SortFunc(rows, func(a, b AuditRow) int { return cmpRows(&a, &b) })
		return nil
	})
	return rows, err
}

// cmpRows orders pulls by time, then by id.
func cmpRows(a, b *AuditRow) int {
	if c := a.At.Compare(b.At); c != 0 {
		return c
	}
	return int(a.ID - b.ID)
}

// Row is an entry of the journal as a row of the audit view.
func (e *Entry) Row() AuditRow {
	return AuditRow{ID: e.ID, At: e.At, Kind: e.Kind, Namespace: e.Namespace, Repo: e.Repo, Actor: e.Actor, Payload: e.Payload}
}

// EndArchive deletes the rows of an archive whose file is on stable storage,
// and ends it. Conflict on "archive" when another process has ended it.
func (db *DB) EndArchive(ctx context.Context, a *Archive) error {
	return db.update(ctx, "end archive", func(ctx context.Context, t *tx) error {
		var value string
		if err := t.queryRow(ctx, `SELECT value FROM settings WHERE name = ?`+t.d.excl, archiveSetting).Scan(&value); err != nil {
			return err
		}
		var now Archive
		if value == "" || json.Unmarshal([]byte(value), &now) != nil || now.Path != a.Path {
			return gantry.Errorf(gantry.Conflict, "archive", "another process has ended this archive")
		}
		if len(a.Pulls) > 0 {
			if _, err := t.deletePulls(ctx, a.Pulls); err != nil {
				return err
			}
		} else if _, err := t.exec(ctx, `DELETE FROM events WHERE seq >= ? AND seq <= ?`, a.From, a.To); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE settings SET value = '' WHERE name = ?`, archiveSetting)
		return err
	})
}

// PullsAfter returns up to n rows of the pull log with greater ids, in their
// order, up to the first that happened after a time: where several processes
// write, ids are not given in the order of commits, and a row is there for all
// to see soon after its time.
func (db *DB) PullsAfter(ctx context.Context, id int64, settled time.Time, n int) (rows []AuditRow, err error) {
	err = db.read(ctx, "read pulls", func(ctx context.Context, t *tx) error {
		rows, err = t.pulls(ctx, fmt.Sprintf(`id > ? ORDER BY id LIMIT %d`, n), id)
		if i := slices.IndexFunc(rows, func(r AuditRow) bool { return r.At.After(settled) }); i >= 0 {
			rows = rows[:i]
		}
		return err
	})
	return rows, err
}

// HasReader tells whether a reader of the journal is known.
func (db *DB) HasReader(ctx context.Context, name string) (known bool, err error) {
	err = db.read(ctx, "find reader", func(ctx context.Context, t *tx) error {
		var seq int64
		err := t.queryRow(ctx, `SELECT seq FROM readers WHERE name = ?`, name).Scan(&seq)
		if known = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return known, err
}
