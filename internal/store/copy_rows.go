package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

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
