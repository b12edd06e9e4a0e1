package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"modernc.org/sqlite"
)

// openSQLite opens the pool that reads and the one connection that writes.
func (db *DB) openSQLite(ctx context.Context, u *uri) error {
	if err := os.MkdirAll(filepath.Dir(u.path), 0o700); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	// The file holds password hashes: nobody else may read it, also when
	// the umask is lax. SQLite gives its -wal and -shm the same mode.
	f, err := os.OpenFile(u.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	dsn := func(extra string) string {
		return "file:" + (&url.URL{Path: u.path}).EscapedPath() +
			"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
			"&_pragma=foreign_keys(0)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-8000)" + extra
	}
	writes := dsn("&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)")
	connect := func(dsn string) (*sql.DB, error) {
		c, err := sqlite.NewConnector(dsn)
		if err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
		return sql.OpenDB(counting{c, &db.dials}), nil
	}
	w, err := connect(writes)
	if err != nil {
		return err
	}
	w.SetMaxOpenConns(1)
	conn, err := w.Conn(ctx)
	if full(err) {
		err = fmt.Errorf("the disk is full: %w", err)
	}
	if err != nil {
		return fmt.Errorf("open database %s: %w", u.path, errors.Join(err, w.Close()))
	}
	r, err := connect(dsn("&_pragma=query_only(1)"))
	if err != nil {
		return errors.Join(err, w.Close())
	}
	readers := db.opts.Readers
	if readers == 0 {
		readers = 4
	}
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers)
	db.pool = r
	db.writer = &writer{db: db, dsn: writes, pool: w, conn: conn, stmts: map[string]*sql.Stmt{},
		todo: make(chan *request, 1024), quit: make(chan struct{}), gone: make(chan struct{})}
	go db.writer.loop()
	return nil
}

// A writer owns the one connection that writes. It runs the closures that
// wait for it in one transaction, each under a savepoint, and commits them
// together: one fsync for all.
type writer struct {
	db    *DB
	dsn   string
	pool  *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt // used by loop alone
	todo  chan *request
	quit  chan struct{}
	gone  chan struct{} // closed when loop has ended
	once  sync.Once
}

type request struct {
	ctx  context.Context // only for its values and to skip what nobody waits for
	fn   func(ctx context.Context, t *tx) error
	t    *tx
	err  error
	done chan struct{}
}

// maxGroup bounds the closures of one commit, and so the time that the first
// of them waits.
const maxGroup = 256

var errClosed = errors.New("the database is closed")

// do queues fn and waits until it is committed or has failed.
func (w *writer) do(ctx context.Context, fn func(ctx context.Context, t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case w.todo <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.gone:
		return errClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-w.gone:
		select {
		case <-r.done:
			return r.err
		default:
			return errClosed
		}
	}
}

func (w *writer) loop() {
	defer close(w.gone)
	group := make([]*request, 0, maxGroup)
	gather := newGatherer(w.todo, maxGroup, w.quit)
	for {
		select {
		case r := <-w.todo:
			group = append(group[:0], r)
		case <-w.quit:
			return
		}
		group = gather.fill(group)
		began := time.Now()
		w.commit(group)
		gather.wrote(len(group), time.Since(began))
		for _, r := range group {
			close(r.done)
		}
		clear(group)
	}
}

// commit runs a group in one transaction and sets the error of each.
func (w *writer) commit(group []*request) {
	ctx := context.Background()
	fail := func(err error) {
		for _, r := range group {
			if r.err == nil {
				r.err = err
			}
		}
	}
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		fail(err)
		return
	}
	now := w.db.now()
	alone := len(group) == 1
	good := 0
	for _, r := range group {
		if r.err = r.ctx.Err(); r.err != nil {
			continue
		}
		r.t = &tx{db: w.db, d: w.db.d, q: w.conn, w: w, now: now}
		if !alone {
			if r.err = w.exec(ctx, "SAVEPOINT one"); r.err != nil {
				continue
			}
		}
		if r.err = run(context.WithoutCancel(r.ctx), r); r.err == nil {
			good++
		}
		if alone {
			continue
		}
		if r.err != nil {
			if err := w.exec(ctx, "ROLLBACK TO one"); err != nil {
				// The transaction itself is gone (disk full, I/O error).
				w.rollback(ctx)
				fail(errors.Join(r.err, err))
				for _, r := range group {
					if r.err == nil {
						r.err = err
					}
				}
				return
			}
		}
		if err := w.exec(ctx, "RELEASE one"); err != nil {
			w.rollback(ctx)
			fail(err)
			return
		}
	}
	if good == 0 {
		w.rollback(ctx)
		return
	}
	if err := w.exec(ctx, "COMMIT"); err != nil {
		w.rollback(ctx)
		fail(fmt.Errorf("commit: %w", err))
		return
	}
	for _, r := range group {
		if r.err == nil {
			w.db.changed(r.t)
		}
	}
}

// run calls the closure; a panic in it is its own error, not the end of the
// writer.
func run(ctx context.Context, r *request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return r.fn(ctx, r.t)
}

func (w *writer) rollback(ctx context.Context) {
	if err := w.exec(ctx, "ROLLBACK"); err != nil {
		w.db.log.DebugContext(ctx, "rollback", "error", err) // there was no transaction any more
	}
}

func (w *writer) exec(ctx context.Context, q string) error {
	s, err := w.prepare(ctx, q)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx)
	return err
}

// prepare returns q prepared on the connection. It forgets all statements
// when there are too many.
func (w *writer) prepare(ctx context.Context, q string) (*sql.Stmt, error) {
	if s := w.stmts[q]; s != nil {
		return s, nil
	}
	if len(w.stmts) >= maxStatements {
		for k, s := range w.stmts {
			if err := s.Close(); err != nil {
				w.db.log.WarnContext(ctx, "close statement", "error", err)
			}
			delete(w.stmts, k)
		}
	}
	s, err := w.conn.PrepareContext(ctx, q)
	if err != nil {
		return nil, err
	}
	w.stmts[q] = s
	return s, nil
}

// close ends the loop after the group that it is at.
func (w *writer) close() error {
	w.once.Do(func() { close(w.quit) })
	select {
	case <-w.gone:
	case <-time.After(30 * time.Second):
		return errors.New("close database: a transaction does not end")
	}
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.pool.Close())...)
}

// full reports whether SQLite found the disk full.
func full(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == 13 || e.Code() == 4874) // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE when it is opened
}
