package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// The pool of connections to PostgreSQL or MySQL. A connection is taken for
// one transaction or one read, for a bounded time, and thrown away when it
// turned out to be broken or to lead to a server that takes no writes any
// more; then the others are, too, so that after a failover the new primary is
// found at once.

// poolArgs are the arguments of the pool.
var poolArgs = []string{"max_connections", "stale_timeout", "timeout", "statement_timeout"}

// defaultConns is how many connections a pool has at most unless it is told.
const defaultConns = 20

// slack is what a client waits longer than the server's own limit.
const slack = 5 * time.Second

// retrySpan is how long a transaction that keeps racing is run again.
const retrySpan = 30 * time.Second

// lostAttempts is how often a read or a transaction is tried that finds its
// connection lost before it changed or returned anything.
const lostAttempts = 3

// A pool is a bounded set of connections to one server.
type pool struct {
	*sql.DB
	most      int
	slots     chan struct{} // one for each connection in use
	wait      time.Duration // for a slot
	connect   time.Duration // for a connection, once there is a slot
	statement time.Duration // for a read or a transaction, on our side
	local     string        // begins a transaction of PostgreSQL behind a pooler

	waits, refused atomic.Uint64
	flushed        atomic.Int64 // Unix ms of the last flush
}

// A connectError is a connection that could not be had.
type connectError struct{ err error }

func (e *connectError) Error() string { return "connect: " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// errBusy is a pool whose connections are all in use for too long.
var errBusy = errors.New("all connections to the database are in use")

// errSlow is a read or a transaction that did not end in its time.
var errSlow = errors.New("the database did not answer in time")

// newPool opens the pool for a server; nothing connects yet.
func (db *DB) newPool(u *uri) (*pool, error) {
	p := &pool{most: db.opts.MaxConns}
	var err error
	if p.most == 0 {
		if p.most, err = u.number("max_connections", defaultConns, 1, 100_000); err != nil {
			return nil, err
		}
	}
	p.slots = make(chan struct{}, p.most)
	if p.wait, err = u.seconds("timeout", 10*time.Second, 0, most); err != nil {
		return nil, err
	}
	stale, err := u.seconds("stale_timeout", 0, 0, most)
	if err != nil {
		return nil, err
	}
	statement, err := u.seconds("statement_timeout", time.Minute, time.Second, time.Hour)
	if err != nil {
		return nil, err
	}
	p.statement = statement + 2*slack
	l := limits{statement: statement, lock: min(20*time.Second, statement), idle: statement}
	if p.DB, p.connect, err = db.openPool(u, l, &db.dials); err != nil {
		return nil, err
	}
	if pooled, _ := u.on("transaction_pooling", false); pooled && u.dialect == "postgres" {
		p.local = l.local()
	}
	p.SetMaxOpenConns(p.most)
	p.SetMaxIdleConns(p.most)
	idle, life := 5*time.Minute, 30*time.Minute // so that a moved name is found again
	if stale > 0 {
		idle, life = min(idle, stale), min(life, stale)
	}
	p.SetConnMaxIdleTime(idle)
	p.SetConnMaxLifetime(life)
	return p, nil
}

// openPool opens a plain pool whose connections have the limits. connect is
// the longest that one may take to be made; dials counts them.
func (db *DB) openPool(u *uri, l limits, dials *atomic.Uint64) (_ *sql.DB, connect time.Duration, err error) {
	var c driver.Connector
	if u.dialect == "postgres" {
		cfg, err := u.postgres(db.opts.RootCAs, l)
		if err != nil {
			return nil, 0, err
		}
		c, connect = stdlib.GetConnector(*cfg), cfg.ConnectTimeout
	} else {
		cfg, err := u.mysql(db.opts.RootCAs, l)
		if err != nil {
			return nil, 0, err
		}
		connect = cfg.Timeout
		if c, err = mysql.NewConnector(cfg); err != nil {
			return nil, 0, gantry.Errorf(gantry.Invalid, "DB_URI", "DB_URI or DB_CONNECTION_ARGS: %s", hide(err.Error(), u.password))
		}
	}
	return sql.OpenDB(counting{c, dials}), time.Duration(len(u.hosts)) * connect, nil
}

// NotThere reports whether err, of Open, says that a database server does not
// answer, or takes nobody at the moment: it may do so later, which one that
// refuses the user or the certificate does not.
func NotThere(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "57P01" || e.Code == "57P02" || e.Code == "57P03" || e.Code == "53300"
	}
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number == 1040 || e.Number == 1053 // too many connections; it shuts down
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	_, unknown := errors.AsType[*net.DNSError](err)
	return unknown || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn)
}

// openServer opens the pool for PostgreSQL or MySQL.
func (db *DB) openServer(ctx context.Context, u *uri) error {
	known := postgresArgs
	if u.dialect == "mysql" {
		known = mysqlArgs
	}
	if names := u.strip(known...); len(names) > 0 {
		db.log.WarnContext(ctx, "these arguments of the database have no effect with it", "arguments", names)
	}
	p, err := db.newPool(u)
	if err != nil {
		return err
	}
	ping, end := context.WithTimeout(ctx, p.connect+slack)
	defer end()
	if err := p.PingContext(ping); err != nil {
		hint := connectHint(err)
		if hint != "" {
			hint = " (" + hint + ")"
		}
		return fmt.Errorf("connect to the %s database at %s%s: %w", u.dialect, u.where(), hint, errors.Join(err, p.Close()))
	}
	db.server, db.pool = p, p.DB
	watched, _, err := db.openPool(u, limits{statement: askWithin, lock: askWithin, idle: askWithin}, new(atomic.Uint64))
	if err != nil {
		return errors.Join(err, p.Close())
	}
	if err := db.openReplicas(); err != nil {
		return errors.Join(err, watched.Close(), db.closeReplicas(), p.Close())
	}
	db.startWatch(watched)
	err = db.lookForRemovals(ctx)
	if err == nil && db.opts.SyncClock {
		err = db.setClock(ctx)
	}
	if err != nil {
		return errors.Join(err, db.watch.close(), db.closeReplicas(), p.Close())
	}
	return nil
}

// maintenance opens connections for what takes long and is not an answer to
// a request: no limit of time holds for a statement. The caller closes them.
func (db *DB) maintenance() (*sql.DB, error) {
	p, _, err := db.openPool(db.uri, limits{}, new(atomic.Uint64))
	return p, err
}

// acquire takes a connection for one use; the caller calls release.
func (p *pool) acquire(ctx context.Context) (*sql.Conn, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		p.waits.Add(1)
		t := time.NewTimer(p.wait)
		defer t.Stop()
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
			p.refused.Add(1)
			return nil, errBusy
		}
	}
	within, end := context.WithTimeout(ctx, p.connect)
	defer end()
	c, err := p.Conn(within)
	if err != nil {
		<-p.slots
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &connectError{err}
	}
	return c, nil
}

// release gives a connection back; broken: it is not used again, nor are
// those that wait in the pool.
func (p *pool) release(c *sql.Conn, broken bool) {
	if broken {
		_ = c.Raw(func(any) error { return driver.ErrBadConn }) // which is what it returns
		now := time.Now().UnixMilli()
		if last := p.flushed.Load(); now-last > 1000 && p.flushed.CompareAndSwap(last, now) {
			p.SetMaxIdleConns(-1)
			p.SetMaxIdleConns(p.most)
		}
	}
	_ = c.Close() // it is in the pool, or gone
	<-p.slots
}

// bound limits a use of the database on our side. ended turns the error of one
// that took too long into errSlow.
func (p *pool) bound(ctx context.Context) (within context.Context, ended func(error) error) {
	within, end := context.WithTimeout(ctx, p.statement)
	return within, func(err error) error {
		if err != nil && within.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", errSlow, err)
		}
		end()
		return err
	}
}

// gone reports whether err says that the connection or the server is away, or
// that the server takes no writes.
func (db *DB) gone(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*connectError](err); ok {
		return true
	}
	return db.d.lost(err) || db.d.demoted(err)
}

// errUnknownEnd is a COMMIT whose answer was lost: what it did is not known,
// so it is not repeated.
type errUnknownEnd struct{ err error }

func (e *errUnknownEnd) Error() string { return "commit: " + e.err.Error() }
func (e *errUnknownEnd) Unwrap() error { return e.err }

// once runs fn in one transaction of the pool.
func (db *DB) once(ctx context.Context, fn func(ctx context.Context, t *tx) error) (gone *Removal, err error) {
	ctx, ended := db.server.bound(ctx)
	defer func() { err = ended(err) }()
	c, err := db.server.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { db.server.release(c, db.gone(err)) }()
	q, err := c.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = q.Rollback() // the first error is the one to tell
		}
	}()
	if db.server.local != "" {
		if _, err := q.ExecContext(ctx, db.server.local); err != nil {
			return nil, err
		}
	}
	t := &tx{db: db, d: db.d, q: q, now: db.now()}
	if err := fn(ctx, t); err != nil {
		return nil, err
	}
	gone = t.removal()
	if err := t.note(ctx, gone); err != nil {
		return nil, err
	}
	if err := q.Commit(); err != nil {
		// What became of it is not known: what it may have taken away is read
		// anew.
		db.changed(t)
		if db.gone(err) || ctx.Err() != nil {
			return nil, &errUnknownEnd{err}
		}
		return nil, err
	}
	db.changed(t)
	if t.quiet {
		gone = nil
	}
	return gone, nil
}

// readServer runs fn on one connection, outside a transaction. It is run again
// only if no statement of it was answered.
func (db *DB) readServer(ctx context.Context, p *pool, fn func(ctx context.Context, t *tx) error) (answered bool, err error) {
	for i := 1; ; i++ {
		t := &tx{db: db, d: db.d, now: db.now()}
		err := db.readOnce(ctx, p, t, fn)
		if err == nil || i == lostAttempts || t.answered || !(db.gone(err) || db.d.again(err)) {
			return t.answered, err
		}
		db.retries.Add(1)
		if err := pauseFor(ctx, i); err != nil {
			return false, err
		}
	}
}

func (db *DB) readOnce(ctx context.Context, p *pool, t *tx, fn func(ctx context.Context, t *tx) error) (err error) {
	ctx, ended := p.bound(ctx)
	defer func() { err = ended(err) }()
	c, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { p.release(c, db.gone(err)) }()
	t.q = c
	return fn(ctx, t)
}

// pauseFor waits before the next attempt on a lost connection.
func pauseFor(ctx context.Context, attempt int) error {
	t := time.NewTimer(time.Duration(attempt*attempt) * 50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Waits returns how often a use of the database had to wait for a free
// connection, and how often none came free in time. With SQLite both are 0.
func (db *DB) Waits() (waited, refused uint64) {
	if db.server == nil {
		return 0, 0
	}
	return db.server.waits.Load(), db.server.refused.Load()
}

// MaxConns is the most connections that this process opens to the server; 0
// with SQLite.
func (db *DB) MaxConns() int {
	if db.server == nil {
		return 0
	}
	return db.server.most
}
