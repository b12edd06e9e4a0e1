package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A quaySource is the database of a Quay as it was at one moment.
type quaySource struct {
	s         *side
	conn      *sql.Conn
	end       func()
	now       time.Time // when that was, by the database's clock
	revision  string
	columns   map[string][]string // of each table
	locations map[int64]quayPlace
}

// A quayPlace is a storage location.
type quayPlace struct {
	name string
	used bool // it holds something
}

// openQuay takes a snapshot of a Quay's database.
func openQuay(ctx context.Context, o Options) (q *quaySource, err error) {
	s, err := openSide(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("the Quay's database: %w", err)
	}
	q = &quaySource{s: s, columns: map[string][]string{}, locations: map[int64]quayPlace{}}
	if q.conn, q.end, err = s.snapshot(ctx, "SELECT version_num FROM alembic_version"); err != nil {
		if !NotThere(err) {
			err = gantry.Errorf(gantry.Invalid, "from", "the database at %s is not a Quay's: %v", s.uri.where(), err)
		}
		return nil, errors.Join(err, s.pool.Close())
	}
	if err := q.look(ctx); err != nil {
		return nil, errors.Join(err, q.close(ctx))
	}
	return q, nil
}

func (q *quaySource) close(context.Context) error {
	q.end()
	return q.s.pool.Close()
}

// look reads which tables there are, and what an import cannot do without.
func (q *quaySource) look(ctx context.Context) error {
	us := q.s.opts.Now().UnixMicro()
	if !q.s.d.serial {
		if err := q.conn.QueryRowContext(ctx, q.s.d.timeQuery()).Scan(&us); err != nil {
			return fmt.Errorf("ask the Quay's database for the time: %w", err)
		}
	}
	q.now = time.UnixMicro(us).UTC()
	list := map[string]string{
		"postgres": `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ANY (current_schemas(false))`,
		"mysql":    `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()`,
		"sqlite":   `SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'`,
	}[q.s.d.name]
	if err := q.each(ctx, list, func(r *quayRow) error {
		q.columns[r.text(0)] = append(q.columns[r.text(0)], r.text(1))
		return nil
	}); err != nil {
		return err
	}
	for _, t := range []string{"user", "repository", "tag", "manifest", "manifestblob", "imagestorage", "imagestorageplacement", "imagestoragelocation"} {
		if q.columns[t] == nil {
			return gantry.Errorf(gantry.Invalid, "from", "the database at %s has no table %q: it is not that of a Quay 3.3 or newer", q.s.uri.where(), t)
		}
	}
	if err := q.each(ctx, `SELECT version_num FROM alembic_version`, func(r *quayRow) error {
		q.revision = r.text(0)
		return nil
	}); err != nil {
		return err
	}
	return q.each(ctx, `SELECT l.id, l.name, CASE WHEN EXISTS (SELECT 1 FROM imagestorageplacement p WHERE p.location_id = l.id) THEN 1 ELSE 0 END
		FROM imagestoragelocation l`, func(r *quayRow) error {
		q.locations[r.int(0)] = quayPlace{r.text(1), r.flag(2)}
		return nil
	})
}

// checkLocations is an error unless every location that holds something is
// among those of the configuration.
func (q *quaySource) checkLocations(_ context.Context, configured []string) error {
	var missing []string
	for _, l := range q.locations {
		if l.used && !slices.Contains(configured, l.name) {
			missing = append(missing, l.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return gantry.Errorf(gantry.Invalid, "DISTRIBUTED_STORAGE_CONFIG", "DISTRIBUTED_STORAGE_CONFIG: the Quay keeps blobs in %s, which the configuration of the target does not have: take these locations over from the Quay's config.yaml, by the same names (configured here: %s)",
		strings.Join(missing, ", "), strings.Join(configured, ", "))
}

// has reports whether there is a table with that column.
func (q *quaySource) has(table, column string) bool { return slices.Contains(q.columns[table], column) }

// or is the column, with its table's alias, or what stands for it where this
// Quay is too old to have it.
func (q *quaySource) or(table, alias, column, otherwise string) string {
	if q.has(table, column) {
		return alias + ".[" + column + "]"
	}
	return otherwise
}

// each runs a query whose names may stand in brackets, and hands on its rows.
func (q *quaySource) each(ctx context.Context, query string, f func(*quayRow) error, args ...any) (err error) {
	quote := map[string]string{"mysql": "`"}[q.s.d.name]
	if quote == "" {
		quote = `"`
	}
	rows, err := q.conn.QueryContext(ctx, q.s.d.bind(strings.NewReplacer("[", quote, "]", quote).Replace(query)), args...)
	if err != nil {
		return fmt.Errorf("read the Quay's database: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	r := &quayRow{values: make([]any, len(names)), names: names}
	dest := make([]any, len(names))
	for i := range dest {
		dest[i] = &r.values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := errors.Join(f(r), r.err); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the Quay's database: %w", err)
	}
	return nil
}

// A quayRow is a row of a query, whatever types its database gives. The first
// value that is not what it should be is err.
type quayRow struct {
	values []any
	names  []string
	err    error
}

func (r *quayRow) null(i int) bool { return r.values[i] == nil }

func (r *quayRow) bad(i int, what string) {
	if r.err == nil {
		r.err = fmt.Errorf("column %s of the Quay's database is a %T that is no %s", r.names[i], r.values[i], what)
	}
}

// text is "" for NULL.
func (r *quayRow) text(i int) string {
	switch v := r.values[i].(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	r.bad(i, "text")
	return ""
}

// int is 0 for NULL.
func (r *quayRow) int(i int) int64 {
	switch v := r.values[i].(type) {
	case nil:
		return 0
	case int64:
		return v
	case bool:
		return int64(flag(v))
	case []byte, string:
		n, err := strconv.ParseInt(r.text(i), 10, 64)
		if err != nil {
			r.bad(i, "number")
		}
		return n
	}
	r.bad(i, "number")
	return 0
}

// flag is false for NULL.
func (r *quayRow) flag(i int) bool {
	if b, ok := r.values[i].([]byte); ok && len(b) == 1 && b[0] < 2 { // BIT(1)
		return b[0] == 1
	}
	return r.int(i) != 0
}

// millis is a time of a Quay; 0 for NULL.
func (r *quayRow) millis(i int) int64 {
	if t := r.time(i); !t.IsZero() {
		return t.UnixMilli()
	}
	return 0
}

// time is a time of a Quay, which is UTC; zero for NULL.
func (r *quayRow) time(i int) time.Time {
	switch v := r.values[i].(type) {
	case nil:
		return time.Time{}
	case time.Time:
		return time.Date(v.Year(), v.Month(), v.Day(), v.Hour(), v.Minute(), v.Second(), v.Nanosecond(), time.UTC)
	case []byte, string:
		for _, layout := range []string{"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999"} {
			if t, err := time.Parse(layout, r.text(i)); err == nil {
				return t
			}
		}
		if strings.HasPrefix(r.text(i), "0000-") { // MySQL's zero
			return time.Time{}
		}
	}
	r.bad(i, "time")
	return time.Time{}
}

// json is JSON. A Quay encodes some columns twice.
func (r *quayRow) json(i int) json.RawMessage {
	b := json.RawMessage(r.text(i))
	var inner string
	if json.Unmarshal(b, &inner) == nil {
		return json.RawMessage(inner)
	}
	return b
}
