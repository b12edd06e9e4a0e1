package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

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

// A table is one of the schema, as the migrations make it.
type table struct {
	name    string
	columns []column
	key     []string // of its primary key
	id      bool     // the key is an id that the database gives
}

// A column's kind is "int", "text" or "bytes".
type column struct{ name, kind string }

var (
	createTable = regexp.MustCompile(`(?s)^CREATE TABLE IF NOT EXISTS (\w+) \((.*)\)`)
	addColumn   = regexp.MustCompile(`^ALTER TABLE (\w+) ADD COLUMN (?:IF NOT EXISTS )?(\w+) (\w+)`)
	primaryKey  = regexp.MustCompile(`^PRIMARY KEY \(([^)]*)\)`)
)

// schemaTables reads the tables from the migrations.
func schemaTables() ([]table, error) {
	word := func(s string) func(string) string { return func(string) string { return s } }
	d := &dialect{name: "copy", types: map[string]func(string) string{
		"id": word("id"), "big": word("int"), "small": word("int"), "text": word("text"), "long": word("text"),
		"bytes": word("bytes"), "blob": word("bytes"), "engine": word(""),
	}}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql.tmpl")
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, name := range names {
		sqls, err := d.render(name)
		if err != nil {
			return nil, err
		}
		for _, q := range sqls {
			if m := addColumn.FindStringSubmatch(q); m != nil {
				for i := range tables {
					if tables[i].name == m[1] {
						tables[i].columns = append(tables[i].columns, column{m[2], m[3]})
					}
				}
				continue
			}
			m := createTable.FindStringSubmatch(q)
			if m == nil {
				continue
			}
			t := table{name: m[1]}
			for line := range strings.SplitSeq(m[2], "\n") {
				line = strings.Trim(line, "\t ,")
				words := strings.Fields(line)
				switch pk := primaryKey.FindStringSubmatch(line); {
				case pk != nil:
					t.key = strings.Split(strings.ReplaceAll(pk[1], " ", ""), ",")
				case len(words) < 2:
				case words[1] == "id":
					t.columns, t.key, t.id = append(t.columns, column{words[0], "int"}), []string{words[0]}, true
				default:
					t.columns = append(t.columns, column{words[0], words[1]})
					if strings.Contains(line, "PRIMARY KEY") {
						t.key = []string{words[0]}
					}
				}
			}
			if len(t.key) == 0 {
				return nil, fmt.Errorf("table %s has no primary key", t.name)
			}
			tables = append(tables, t)
		}
	}
	return tables, nil
}

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

// A checksum is the sum of the hashes of rows: it does not depend on their
// order, nor on the database.
type checksum [4]uint64

func (c *checksum) add(row []any) {
	h := sha256.New()
	var n [9]byte
	put := func(kind byte, v int64) {
		n[0] = kind
		binary.BigEndian.PutUint64(n[1:], uint64(v)) //nolint:gosec // the bits are hashed
		_, _ = h.Write(n[:])                         // never fails
	}
	for _, v := range row {
		switch v := v.(type) {
		case nil:
			put('n', 0)
		case int64:
			put('i', v)
		case string:
			put('t', int64(len(v)))
			_, _ = h.Write([]byte(v)) // never fails
		case []byte:
			put('b', int64(len(v)))
			_, _ = h.Write(v) // never fails
		}
	}
	sum := h.Sum(nil)
	for i := range c {
		c[i] += binary.BigEndian.Uint64(sum[8*i:])
	}
}

func (c checksum) String() string { return fmt.Sprintf("%016x%016x%016x%016x", c[0], c[1], c[2], c[3]) }

// The bounds of what is in memory at once.
const (
	copyRows  = 500
	copyBytes = 2 << 20
	copyPage  = 20_000 // rows of one SELECT
)

// walk reads a table by its key, a page at a time, and hands its rows on in
// batches.
func (s *side) walk(ctx context.Context, q *sql.Conn, t table, each func(context.Context, [][]any) error) (rows, bytes int64, sum checksum, err error) {
	names := make([]string, 0, len(t.columns))
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	at := make([]int, 0, len(t.key))
	for _, k := range t.key {
		at = append(at, slices.Index(names, k))
	}
	// (a > ?) or (a = ? and b > ?), which every planner reads as a range.
	var after strings.Builder
	for i := range t.key {
		if i > 0 {
			after.WriteString(" OR ")
		}
		after.WriteByte('(')
		for _, k := range t.key[:i] {
			after.WriteString(k + " = ? AND ")
		}
		after.WriteString(t.key[i] + " > ?)")
	}
	where := ""
	skip := ""
	if t.name == "settings" {
		skip = "name <> '" + copyMark + "'"
	}
	var args []any
	for {
		cond := strings.Join(slices.DeleteFunc([]string{skip, where}, func(s string) bool { return s == "" }), " AND ")
		if cond != "" {
			cond = " WHERE " + cond
		}
		query := "SELECT " + strings.Join(names, ", ") + " FROM " + t.name + cond + " ORDER BY " + strings.Join(t.key, ", ") + " LIMIT " + strconv.Itoa(copyPage)
		n, last, size, err := s.page(ctx, q, t, query, args, &sum, each)
		rows, bytes = rows+int64(n), bytes+size
		if err != nil || n < copyPage {
			return rows, bytes, sum, err
		}
		args = args[:0]
		for i := range t.key {
			for _, j := range at[:i+1] {
				args = append(args, last[j])
			}
		}
		where = "(" + after.String() + ")"
	}
}

// page reads the rows of one SELECT.
func (s *side) page(ctx context.Context, q *sql.Conn, t table, query string, args []any, sum *checksum, each func(context.Context, [][]any) error) (n int, last []any, size int64, err error) {
	found, err := q.QueryContext(ctx, s.d.bind(query), args...)
	if err != nil {
		return 0, nil, 0, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	var batch [][]any
	held := int64(0)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := each(ctx, batch)
		batch, size, held = batch[:0], size+held, 0
		return err
	}
	for found.Next() {
		row, dest := make([]any, len(t.columns)), make([]any, len(t.columns))
		for i, c := range t.columns {
			switch c.kind {
			case "int":
				dest[i] = new(sql.NullInt64)
			case "text":
				dest[i] = new(sql.NullString)
			default:
				dest[i] = new([]byte)
			}
		}
		if err := found.Scan(dest...); err != nil {
			return n, last, size, err
		}
		for i, d := range dest {
			switch v := d.(type) {
			case *sql.NullInt64:
				if v.Valid {
					row[i] = v.Int64
				}
			case *sql.NullString:
				if v.Valid {
					row[i] = v.String
					held += int64(len(v.String))
				}
			case *[]byte:
				if *v != nil {
					row[i] = *v
					held += int64(len(*v))
				}
			}
		}
		sum.add(row)
		n, last = n+1, row
		batch = append(batch, row)
		if len(batch) == copyRows || held >= copyBytes {
			if err := flush(); err != nil {
				return n, last, size, err
			}
		}
	}
	return n, last, size, errors.Join(found.Err(), flush())
}

// insertRows writes rows as they are.
func (s *side) insertRows(ctx context.Context, t table, rows [][]any) error {
	names := make([]string, 0, len(t.columns))
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	args := make([]any, 0, len(rows)*len(names))
	for _, r := range rows {
		args = append(args, r...)
	}
	_, err := s.pool.ExecContext(ctx, s.d.bind("INSERT INTO "+t.name+" ("+strings.Join(names, ", ")+") VALUES "+tuples(len(rows), len(names))), args...)
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok && e.Number == 1153 || errors.Is(err, mysql.ErrPktTooLarge) {
		return fmt.Errorf("%w: raise max_allowed_packet of the target to 64M", err)
	}
	return err
}

// passSequence has the target's next id of a table be the source's, so that
// no id is given twice, not even one whose row is gone.
func (s *side) passSequence(ctx context.Context, snapshot *sql.Conn, to *side, t table) error {
	next, err := s.nextID(ctx, snapshot, t)
	if err != nil || next <= 1 {
		return err
	}
	n := strconv.FormatInt(next, 10)
	switch to.d.name {
	case "postgres":
		_, err = to.pool.ExecContext(ctx, "SELECT setval(pg_get_serial_sequence('"+t.name+"', 'id'), "+n+", false)") //nolint:gosec // the names are the schema's
	case "mysql":
		_, err = to.pool.ExecContext(ctx, "ALTER TABLE "+t.name+" AUTO_INCREMENT = "+n)
	default:
		last := strconv.FormatInt(next-1, 10)
		var r sql.Result
		if r, err = to.pool.ExecContext(ctx, "UPDATE sqlite_sequence SET seq = "+last+" WHERE name = '"+t.name+"'"); err != nil { //nolint:gosec // the names are the schema's
			return err
		}
		if changed, e := r.RowsAffected(); e == nil && changed == 0 {
			_, err = to.pool.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES ('"+t.name+"', "+last+")") //nolint:gosec // the names are the schema's
		}
	}
	return err
}

// nextID is the id that the next row of a table would get.
func (s *side) nextID(ctx context.Context, snapshot *sql.Conn, t table) (int64, error) {
	var top, seq sql.NullInt64
	if err := snapshot.QueryRowContext(ctx, "SELECT MAX(id) FROM "+t.name).Scan(&top); err != nil {
		return 0, err
	}
	var err error
	switch s.d.name {
	case "postgres":
		var name string
		if err := snapshot.QueryRowContext(ctx, "SELECT pg_get_serial_sequence('"+t.name+"', 'id')").Scan(&name); err != nil {
			return 0, err
		}
		err = snapshot.QueryRowContext(ctx, "SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM "+name).Scan(&seq)
	case "mysql":
		var name, text string
		if err := snapshot.QueryRowContext(ctx, "SHOW CREATE TABLE "+t.name).Scan(&name, &text); err != nil {
			return 0, err
		}
		if _, n, ok := strings.Cut(text, "AUTO_INCREMENT="); ok {
			n, _, _ = strings.Cut(n, " ")
			seq.Int64, err = strconv.ParseInt(n, 10, 64)
		}
	default:
		err = snapshot.QueryRowContext(ctx, "SELECT seq + 1 FROM sqlite_sequence WHERE name = '"+t.name+"'").Scan(&seq)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
	}
	if top.Int64 == math.MaxInt64 {
		return 0, fmt.Errorf("the ids of %s are used up", t.name)
	}
	return max(top.Int64+1, seq.Int64), err
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
