package quaytest

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A Row is values by the names of columns. A map or a slice is written as
// JSON. In a column that refers to a table of names ("role_id") a string is
// the name of the row.
type Row map[string]any

// Insert adds a row and returns its id. Columns that are not given get what
// Quay's program fills in. A column that the release does not have fails the
// test; see Has.
func (q *Quay) Insert(t testing.TB, table string, row Row) int64 {
	t.Helper()
	tab, ok := q.tables[table]
	if !ok {
		t.Fatalf("quaytest: no table %s in this release", table)
	}
	for name := range row {
		if name != "id" && !q.Has(table, name) {
			t.Fatalf("quaytest: no column %s.%s in this release", table, name)
		}
	}
	var names, marks []string
	var values []any
	add := func(name string, v any) {
		names, marks, values = append(names, name), append(marks, "?"), append(values, v)
	}
	if id, ok := row["id"]; ok {
		add("id", id)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	for _, c := range tab.columns {
		v, given := row[c.name]
		switch {
		case given:
			add(c.name, q.value(t, table, c, v))
		case c.filled:
			add(c.name, q.start(c, now))
		case !c.null:
			t.Fatalf("quaytest: %s.%s has no default: give it", table, c.name)
		}
	}
	query := "INSERT INTO " + q.dialect.name(table) + " (" + q.dialect.name(names...) + ") VALUES (" + strings.Join(marks, ", ") + ")"
	if q.dialect.returning {
		return q.Get(t, query+" RETURNING id", values...)
	}
	id, err := q.run(t, query, values...).LastInsertId()
	if err != nil {
		t.Fatalf("quaytest: %s: %v", query, err)
	}
	return id
}

// Has reports whether the release has the table and the column; "" = any.
func (q *Quay) Has(table, column string) bool {
	tab, ok := q.tables[table]
	if !ok || column == "" {
		return ok
	}
	_, ok = tab.column(column)
	return ok
}

// ID returns the id of the row of a table of names, such as role or mediatype.
func (q *Quay) ID(t testing.TB, table, name string) int64 {
	t.Helper()
	id, ok := q.names[table][name]
	if !ok {
		t.Fatalf("quaytest: no row %q in %s", name, table)
	}
	return id
}

func (q *Quay) value(t testing.TB, table string, c column, v any) any {
	t.Helper()
	switch v := v.(type) {
	case time.Time:
		return v.UTC()
	case string:
		if c.refers != "" {
			return q.ID(t, c.refers, v)
		}
		return v
	case map[string]any, Row, []any, []string:
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("quaytest: %s.%s: %v", table, c.name, err)
		}
		return string(text)
	}
	return v
}

// start is the value that Quay's program gives the column of a new row.
func (q *Quay) start(c column, now time.Time) any {
	switch c.kind {
	case "bool":
		return c.initial == "true"
	case "int", "bigint":
		if c.initial == "nowms" {
			return now.UnixMilli()
		}
		n, _ := strconv.ParseInt(c.initial, 10, 64) // the schema test reads them all
		return n
	case "time", "date":
		return now
	}
	n, _ := strconv.Atoi(strings.TrimLeft(c.initial, "abcdefghijklmnopqrstuvwxyz"))
	switch {
	case c.initial == "uuid":
		return newUUID()
	case c.initial == "urn:teaminvite":
		return "urn:teaminvite:" + newUUID()
	case strings.HasPrefix(c.initial, "random"):
		return random(n)
	case strings.HasPrefix(c.initial, "sealed"):
		return q.Seal(random(n))
	}
	return c.initial
}

// random returns n capital letters and digits.
func random(n int) string {
	var s string
	for len(s) < n {
		s += rand.Text()
	}
	return s[:n]
}

func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return fmt.Sprintf("%s-%s-%s-%s-%s", s[:8], s[8:12], s[12:16], s[16:20], s[20:])
}

// Exec runs one statement with "?" for its arguments and returns the number of
// rows that it changed. See Quoted for the table user.
func (q *Quay) Exec(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	n, err := q.run(t, query, args...).RowsAffected()
	if err != nil {
		t.Fatalf("quaytest: %s: %v", query, err)
	}
	return n
}

// Get reads the one number that a query with "?" for its arguments gives.
// NULL, and no row at all, are 0.
func (q *Quay) Get(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	var n sql.NullInt64
	err := q.DB.QueryRowContext(t.Context(), q.bind(query), args...).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatalf("quaytest: %s: %v", query, err)
	}
	return n.Int64
}

// Quoted returns the name of a table or column as this server quotes it; user,
// key and others are words of SQL.
func (q *Quay) Quoted(name string) string { return q.dialect.name(name) }

func (q *Quay) statement(t testing.TB, query string) {
	t.Helper()
	q.run(t, query)
}

func (q *Quay) run(t testing.TB, query string, args ...any) sql.Result {
	t.Helper()
	r, err := q.DB.ExecContext(t.Context(), q.bind(query), args...)
	if err != nil {
		t.Fatalf("quaytest: %s: %v", query, err)
	}
	return r
}

// bind gives PostgreSQL its own placeholders.
func (q *Quay) bind(query string) string {
	if !q.dialect.returning {
		return query
	}
	var b strings.Builder
	for i := 1; ; i++ {
		head, tail, ok := strings.Cut(query, "?")
		b.WriteString(head)
		if !ok {
			return b.String()
		}
		fmt.Fprintf(&b, "$%d", i)
		query = tail
	}
}

// with returns the columns of r and of more, which wins.
func (r Row) with(more Row) Row {
	out := Row{}
	maps.Copy(out, r)
	maps.Copy(out, more)
	return out
}

func itoa(id int64) string { return strconv.FormatInt(id, 10) }
