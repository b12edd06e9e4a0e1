package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A bulk gathers rows of one table and writes many at once, for whoever has
// the database to himself.
type bulk struct {
	db    *DB // nil = rows are counted and not written
	table string
	cols  []string
	told  func(done int) // of the rows that are written; nil = nobody
	rows  [][]any
	bytes int // of the texts of rows
	done  int
}

const (
	bulkRows      = 20_000 // of one transaction
	bulkBytes     = 8 << 20
	bulkStatement = 200 // of one statement, where rows are values of it
	bulkText      = 1 << 20
)

func newBulk(db *DB, table string, cols ...string) *bulk {
	return &bulk{db: db, table: table, cols: cols}
}

func (b *bulk) add(ctx context.Context, row ...any) error {
	b.rows = append(b.rows, row)
	b.bytes += textBytes(row)
	if len(b.rows) < bulkRows && b.bytes < bulkBytes {
		return nil
	}
	return b.flush(ctx)
}

func textBytes(row []any) (n int) {
	for _, v := range row {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
	}
	return n
}

func flushAll(ctx context.Context, all ...*bulk) error {
	for _, b := range all {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulk) flush(ctx context.Context) (err error) {
	if len(b.rows) == 0 {
		return nil
	}
	switch {
	case b.db == nil:
	case b.db.d.name == "postgres":
		err = b.copy(ctx)
	default:
		err = b.db.update(ctx, "fill "+b.table, func(ctx context.Context, t *tx) error {
			for rows := b.rows; len(rows) > 0; {
				n, size := 0, 0
				for n < min(len(rows), bulkStatement) && (n == 0 || size < bulkText) {
					size += textBytes(rows[n])
					n++
				}
				if _, err := t.exec(ctx, `INSERT INTO `+b.table+` (`+strings.Join(b.cols, ", ")+`) VALUES `+tuples(n, len(b.cols)), slices.Concat(rows[:n]...)...); err != nil {
					return err
				}
				rows = rows[n:]
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.table, err)
	}
	b.done += len(b.rows)
	b.rows, b.bytes = b.rows[:0], 0
	if b.told != nil {
		b.told(b.done)
	}
	return ctx.Err()
}

// copy is PostgreSQL's way, which is several times faster.
func (b *bulk) copy(ctx context.Context) error {
	conn, err := b.db.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // goes back to the pool
	return conn.Raw(func(c any) error {
		pg, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T", c)
		}
		_, err := pg.Conn().CopyFrom(ctx, pgx.Identifier{b.table}, b.cols, pgx.CopyFromRows(b.rows))
		return err
	})
}

// statistics lets the database count what it has, after much was written.
func (db *DB) statistics(ctx context.Context) error {
	var q string
	switch db.d.name {
	case "postgres":
		q = "VACUUM (ANALYZE)"
	case "mysql":
		q = "ANALYZE TABLE accounts, teams, team_members, repositories, repository_words, permissions, manifests, tags, events, access_log, usage_totals"
	default:
		return nil
	}
	_, err := db.pool.ExecContext(ctx, q)
	return err
}
