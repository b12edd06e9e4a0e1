package store

import (
	"context"
	"fmt"
)

// Trace has f see every statement from now on, as the driver gets it. It is
// called before db is used by more than one goroutine.
func (db *DB) Trace(f func(query string, args []any)) { db.trace = f }

// Update is update with a closure that runs statements.
func (db *DB) Update(ctx context.Context, fn func(exec func(query string, args ...any) error) error) error {
	return db.update(ctx, "test", func(ctx context.Context, t *tx) error {
		return fn(func(query string, args ...any) error {
			_, err := t.exec(ctx, query, args...)
			return err
		})
	})
}

// Queued is how many closures wait for the writer of SQLite.
func (db *DB) Queued() int { return len(db.writer.todo) }

// LimitPages has SQLite find its disk full at so many pages.
func (db *DB) LimitPages(n int64) error {
	return db.update(context.Background(), "test", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n))
		return err
	})
}

// SpoolDirect reports whether the spool writes past the page cache; want false
// makes it stop that.
func SpoolDirect(db *DB, want bool) bool {
	s := db.access.spool.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.w; w != nil && !want {
		s.w = nil
		_ = w.Close()
	}
	return s.w != nil
}
