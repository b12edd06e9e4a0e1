package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A copy of a whole database into another one, of the same kind or of another.
// The source is read in one snapshot, so its server may go on; what it writes
// after the beginning is not in the copy. A mark in the target says that a
// copy is under way: nothing is served from it, and a copy that was
// interrupted begins anew.

// CopyOptions are what Copy needs.
type CopyOptions struct {
	From, To Options
	// CheckOnly compares the databases and copies nothing.
	CheckOnly bool
	// Replace empties a target that holds something. While an instance uses it
	// the error is gantry.Conflict on "database".
	Replace bool
	// Progress, if set, is told of each table, before and after it.
	Progress func(CopiedTable)
}

// A CopiedTable is how far one table is.
type CopiedTable struct {
	Name  string `json:"name"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"` // of texts and binary values
	Sum   string `json:"checksum"`
	Equal bool   `json:"equal"` // the target has the same rows
	Other int64  `json:"target_rows"`
}

// Copied is what Copy did.
type Copied struct {
	From     string        `json:"from"` // dialects
	To       string        `json:"to"`
	Restart  bool          `json:"restarted"` // an interrupted copy was emptied first
	Tables   []CopiedTable `json:"tables"`
	Equal    bool          `json:"equal"`
	Snapshot time.Time     `json:"snapshot"` // what was committed before is in the copy
}

// copyMark is the setting that marks the target of an unfinished copy.
const copyMark = "unfinished copy"

// unfinishedCopy is the error of whoever would serve from one.
var errUnfinishedCopy = &gantry.Error{Code: gantry.Conflict, Object: "database",
	Detail: "this database is the target of a copy or an import that has not ended: run gantry db copy or gantry db import again, or empty it"}

// notCopied are tables of one database's own: its schema, and the processes
// that use it.
var notCopied = []string{"schema_version", "instances"}

// A side is one database of a copy.
type side struct {
	*DB
	pool *sql.DB
}

// openSide opens a database for a copy, beside whoever serves from it.
func openSide(ctx context.Context, o Options) (s *side, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	u, err := parseURI(o.URI, o.Args)
	if err != nil {
		return nil, err
	}
	s = &side{DB: &DB{opts: o, d: dialects[u.dialect], uri: u, log: o.Logger}}
	if s.d.serial {
		if _, err := os.Stat(u.path); err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
		s.pool, err = sql.Open("sqlite", "file:"+(&url.URL{Path: u.path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-32000)")
	} else {
		known := postgresArgs
		if u.dialect == "mysql" {
			known = mysqlArgs
		}
		u.strip(known...)
		s.pool, err = s.maintenance()
	}
	if err != nil {
		return nil, err
	}
	s.DB.pool = s.pool
	if err := s.pool.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("connect to the %s database at %s: %w", u.dialect, u.where(), errors.Join(err, s.pool.Close()))
	}
	return s, nil
}

// CopyDatabase copies one database into another, which must be empty, or hold a copy
// that was interrupted, and then compares both. The schema of the source must
// be this program's; the target gets it. Ids stay, and new ones go on where
// the source was.
func CopyDatabase(ctx context.Context, o CopyOptions) (c Copied, err error) {
	if o.Progress == nil {
		o.Progress = func(CopiedTable) {}
	}
	tables, err := schemaTables()
	if err != nil {
		return c, err
	}
	tables = slices.DeleteFunc(tables, func(t table) bool { return slices.Contains(notCopied, t.name) })
	if !o.CheckOnly {
		target, err := Open(ctx, o.To)
		if err == nil {
			err = errors.Join(target.migrate(ctx), target.Close())
		}
		if err != nil {
			return c, fmt.Errorf("the target: %w", err)
		}
	}
	from, err := openSide(ctx, o.From)
	if err != nil {
		return c, fmt.Errorf("the source: %w", err)
	}
	defer func() { err = errors.Join(err, from.pool.Close()) }()
	to, err := openSide(ctx, o.To)
	if err != nil {
		return c, fmt.Errorf("the target: %w", err)
	}
	defer func() { err = errors.Join(err, to.pool.Close()) }()
	unlock, err := to.copyLock(ctx)
	if err != nil {
		return c, fmt.Errorf("the target: %w", err)
	}
	defer unlock()
	c.From, c.To = from.d.name, to.d.name
	if err := from.sameSchema(ctx, to); err != nil {
		return c, err
	}
	snapshot, end, err := from.snapshot(ctx, "SELECT COUNT(*) FROM schema_version")
	if err != nil {
		return c, fmt.Errorf("the source: %w", err)
	}
	defer end()
	c.Snapshot = time.Now()
	if mark, err := from.mark(ctx); err != nil || mark {
		if err == nil {
			err = errUnfinishedCopy
		}
		return c, fmt.Errorf("the source: %w", err)
	}
	if !o.CheckOnly {
		if c.Restart, err = to.begin(ctx, tables, o.Replace); err != nil {
			return c, fmt.Errorf("the target: %w", err)
		}
	}
	c.Equal = true
	for _, t := range tables {
		n := CopiedTable{Name: t.name}
		o.Progress(n)
		var sum checksum
		write := func(context.Context, [][]any) error { return nil }
		if !o.CheckOnly {
			write = func(ctx context.Context, rows [][]any) error { return to.insertRows(ctx, t, rows) }
		}
		if n.Rows, n.Bytes, sum, err = from.walk(ctx, snapshot, t, write); err != nil {
			return c, fmt.Errorf("table %s: %w", t.name, err)
		}
		if !o.CheckOnly && t.id {
			if err := from.passSequence(ctx, snapshot, to, t); err != nil {
				return c, fmt.Errorf("table %s: %w", t.name, err)
			}
		}
		conn, err := to.pool.Conn(ctx)
		if err != nil {
			return c, err
		}
		rows, _, other, err := to.walk(ctx, conn, t, func(context.Context, [][]any) error { return nil })
		if err = errors.Join(err, conn.Close()); err != nil {
			return c, fmt.Errorf("table %s of the target: %w", t.name, err)
		}
		n.Other, n.Sum, n.Equal = rows, sum.String(), rows == n.Rows && other == sum
		c.Equal = c.Equal && n.Equal
		c.Tables = append(c.Tables, n)
		o.Progress(n)
	}
	if !c.Equal || o.CheckOnly {
		return c, nil // the mark stays: nothing is served from a copy that differs
	}
	_, err = to.pool.ExecContext(ctx, "DELETE FROM settings WHERE name = '"+copyMark+"'")
	return c, err
}

// CheckEmpty is gantry.Conflict on "database" unless a copy can go into the
// database: it is empty, has no tables yet, or is the target of a copy that was
// interrupted.
func CheckEmpty(ctx context.Context, o Options) (err error) {
	tables, err := schemaTables()
	if err != nil {
		return err
	}
	u, err := parseURI(o.URI, o.Args)
	if err != nil {
		return err
	}
	if dialects[u.dialect].serial {
		if _, err := os.Stat(u.path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	s, err := openSide(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.pool.Close()) }()
	if _, err := s.mark(ctx); err != nil {
		return nil //nolint:nilerr // no tables, as far as this goes: the copy finds out what else it is
	}
	if marked, err := s.mark(ctx); err != nil || marked {
		return err
	}
	return s.empty(ctx, slices.DeleteFunc(tables, func(t table) bool { return slices.Contains(notCopied, t.name) }))
}

// empty is an error if a table has rows.
func (s *side) empty(ctx context.Context, tables []table) error {
	for _, t := range tables {
		var one int
		switch err := s.pool.QueryRowContext(ctx, "SELECT 1 FROM "+t.name+" LIMIT 1").Scan(&one); {
		case err == nil:
			return gantry.Errorf(gantry.Conflict, "database", "the target is not empty: table %s has rows; a copy goes into an empty database, or into one where a copy was interrupted", t.name)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
	}
	return nil
}

// mark reports whether the database is the target of an unfinished copy.
func (db *DB) mark(ctx context.Context) (bool, error) {
	var n int
	err := db.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM settings WHERE name = '"+copyMark+"'").Scan(&n)
	return n > 0, err
}

// notACopy is an error if the database is the target of an unfinished copy.
func (db *DB) notACopy(ctx context.Context) error {
	marked, err := db.mark(ctx)
	if err == nil && marked {
		err = errUnfinishedCopy
	}
	return err
}

// sameSchema is an error unless both have the newest schema of this program.
func (s *side) sameSchema(ctx context.Context, to *side) error {
	tables, err := schemaTables()
	if err != nil {
		return err
	}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql.tmpl")
	if err != nil {
		return err
	}
	for what, db := range map[string]*side{"source": s, "target": to} {
		var version sql.NullInt64
		if err := db.pool.QueryRowContext(ctx, "SELECT MAX(version_id) FROM schema_version").Scan(&version); err != nil {
			return fmt.Errorf("the %s has no schema of Gantry: %w", what, err)
		}
		if int(version.Int64) != len(names) {
			return fmt.Errorf("the %s has version %d of the schema and this program copies %d with %d tables: bring it there with gantry db migrate", what, version.Int64, len(names), len(tables))
		}
	}
	return nil
}

// copyLock keeps a second copy, and a server's start, away from the target.
func (s *side) copyLock(ctx context.Context) (func(), error) {
	if s.d.serial {
		return func() {}, nil // whoever calls holds the lock of its folder
	}
	s.server = &pool{} // migrationLock asks whether there is one
	return s.migrationLock(ctx)
}

// snapshot returns a connection on which everything is as it was at one
// moment. first is a query of a table that has to be there.
func (s *side) snapshot(ctx context.Context, first string) (*sql.Conn, func(), error) {
	c, err := s.pool.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, q := range map[string][]string{
		"sqlite":   {"PRAGMA query_only = 1", "BEGIN", first}, // which takes the snapshot
		"postgres": {"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0", first},
		"mysql":    {"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", first},
	}[s.d.name] {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return nil, nil, errors.Join(err, c.Close())
		}
	}
	return c, func() {
		_, _ = c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // it has only read
		_ = c.Close()
	}, nil
}

// aliveWithin is how long after its last beat an instance counts as running.
const aliveWithin = 90 * time.Second

// free is an error if an instance uses the database. Instances beat by the
// clock of the database, which this machine's need not agree with.
func (s *side) free(ctx context.Context) error {
	us := s.opts.Now().UnixMicro()
	if !s.d.serial {
		if err := s.pool.QueryRowContext(ctx, s.d.timeQuery()).Scan(&us); err != nil {
			return fmt.Errorf("ask the database for the time: %w", err)
		}
	}
	var id string
	err := s.pool.QueryRowContext(ctx, s.d.bind("SELECT id FROM instances WHERE seen_ms > ? ORDER BY id LIMIT 1"), us/1000-aliveWithin.Milliseconds()).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return gantry.Errorf(gantry.Conflict, "database", "the instance %.64s uses the target, or did %d seconds ago: stop all instances first (scale to zero), for what they have is replaced", id, int(aliveWithin.Seconds()))
}

// begin refuses a target with content, or empties it if it is to be replaced,
// empties an interrupted copy and sets the mark.
func (s *side) begin(ctx context.Context, tables []table, replace bool) (again bool, err error) {
	if again, err = s.mark(ctx); err != nil {
		return again, err
	}
	if replace && !again {
		if err := s.free(ctx); err != nil {
			return again, err
		}
	}
	if !again && !replace {
		if err := s.empty(ctx, tables); err != nil {
			return again, err
		}
	}
	empty := map[string]string{"sqlite": "DELETE FROM ", "postgres": "TRUNCATE ", "mysql": "TRUNCATE TABLE "}[s.d.name]
	if !again {
		if err := s.setMark(ctx); err != nil {
			return again, err
		}
	}
	if again || replace { // the mark stays: nothing is served from what is half empty
		for _, t := range tables {
			if t.name == "settings" {
				_, err = s.pool.ExecContext(ctx, "DELETE FROM settings WHERE name <> '"+copyMark+"'")
			} else {
				_, err = s.pool.ExecContext(ctx, empty+t.name)
			}
			if err != nil {
				return again, err
			}
		}
	}
	return again, nil
}

// setMark has nothing be served from the database until the copy has ended.
func (s *side) setMark(ctx context.Context) error {
	text, err := json.Marshal(map[string]int64{"started_ms": time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	_, err = s.pool.ExecContext(ctx, s.d.bind("INSERT INTO settings (name, value) VALUES (?, ?)"), copyMark, string(text))
	return err
}

// SealedWith returns the ids of the DATABASE_SECRET_KEYs that sealed what is
// secret in a database, by a look at up to n rows of each table. Sealed is
// what begins with "g1$" and the id.
func SealedWith(ctx context.Context, o Options, n int) (ids []string, err error) {
	s, err := openSide(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.pool.Close()) }()
	tables, err := schemaTables()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		for _, c := range t.columns {
			if c.kind != "text" || c.name != "secret" && c.name != "config" {
				continue
			}
			rows, err := s.pool.QueryContext(ctx, "SELECT "+c.name+" FROM "+t.name+" WHERE "+c.name+" LIKE 'g1$%' LIMIT "+strconv.Itoa(n)) //nolint:gosec // the names are the schema's
			if err != nil {
				return nil, err
			}
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					return nil, errors.Join(err, rows.Close())
				}
				if id, _, ok := strings.Cut(strings.TrimPrefix(text, "g1$"), "$"); ok && len(id) <= 64 && !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}
