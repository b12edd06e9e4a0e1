// Package store is the metadata of the registry in an SQL database: names and
// links, blobs and placements, the journal, jobs. One code and one schema run
// on SQLite, PostgreSQL and MySQL/MariaDB; what differs is in a dialect. The
// schema, the locks and the reasons are in docs/design/store.md.
//
// A method is one use case and one transaction. Methods return
// *gantry.Error for what a client may be told; NotFound is one of them, not
// sql.ErrNoRows. A lost database is gantry.Unavailable on "database".
package store

import (
	"context"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Options are what Open needs. Only URI is required.
type Options struct {
	// URI is Quay's DB_URI: sqlite:///relative, sqlite:////absolute/path,
	// postgresql://user:password@host:port/name, mysql+pymysql://….
	URI string
	// Args are Quay's DB_CONNECTION_ARGS; they win over what follows "?" in
	// URI. One that is not known is left out and logged.
	Args map[string]any
	// RootCAs are the authorities that may sign a server's certificate where
	// Args name none (sslrootcert, ssl.ca); nil = the system's.
	RootCAs *x509.CertPool
	// Replicas are the DB_URIs of DB_READ_REPLICAS, see FromReplicas; Args hold
	// for them, too. SQLite has none.
	Replicas []string
	// MaxConns bounds the connections for PostgreSQL and MySQL; 0 =
	// max_connections of Args, and without that 20.
	MaxConns int
	// Readers is the number of connections that read, for SQLite; 0 = 4.
	Readers int
	// Now is the machine's clock; nil = time.Now.
	Now func() time.Time
	// SyncClock has the store go by the clock of the database server in place
	// of Now, so that all instances agree. It does nothing with SQLite.
	SyncClock bool
	// Follow has the store read each second what other instances have taken
	// away, so that what it keeps can be used when the database goes away. It
	// does nothing with SQLite.
	Follow bool
	// Spool is the file that takes the pull log while the database server is
	// away, in a folder that is there; "" = none: pulls fail then that must be
	// logged. It does nothing with SQLite, which has its own beside it.
	Spool string
	// SpoolBytes bounds Spool; 0 = DefaultSpoolBytes.
	SpoolBytes int64
	// Logger may be nil.
	Logger *slog.Logger
	// Observe, if set, is called after every transaction and every single
	// read with its name, its duration and its outcome.
	Observe func(ctx context.Context, operation string, took time.Duration, err error)
	// Grouped, if set, is called with the number of pulls of each group that
	// LogAccess wrote.
	Grouped func(rows int)
	// Told, if set, is called after a commit that added rows to the journal, or
	// jobs to the queue that are due. It must not block.
	Told func(journal, jobs bool)
}

// DB is an open store. Its methods may be called concurrently.
type DB struct {
	opts    Options
	d       *dialect
	uri     *uri
	pool    *sql.DB // reads; with a server, everything
	server  *pool   // the same with its bounds; nil: SQLite
	writer  *writer // SQLite only
	stmts   sync.Map
	nstmts  atomic.Int64
	count   atomic.Uint64                  // statements sent
	trace   func(query string, args []any) // sees each of them; nil but in tests
	retries atomic.Uint64
	dials   atomic.Uint64 // connections opened
	hung    atomic.Uint64 // and closed, as last told
	gens    [generations]generation
	who     generation
	lasting lasting
	// onRemoval is told what was taken away; nil = nobody is.
	onRemoval atomic.Pointer[func(context.Context, Removal)]
	watch     *watch // nil: SQLite

	replicas   []*replica
	replicated atomic.Uint64 // reads that they answered
	ofReplica  atomic.Bool   // something was read of one since the primary was back

	clock   dbClock
	access  accessLog
	steps   stepCache
	log     *slog.Logger
	closing atomic.Bool
}

// A generation grows when something has changed.
type generation = atomic.Uint64

// generations is the number of slots of DB.Generation; ids that share a slot
// only forget more than they must.
const generations = 8192

// Open connects to the database. It does not create or change tables: that is
// Migrate.
func Open(ctx context.Context, o Options) (*DB, error) {
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
	db := &DB{opts: o, d: dialects[u.dialect], uri: u, log: o.Logger}
	db.lasting.seed = maphash.MakeSeed()
	if db.d.serial {
		if len(o.Replicas) > 0 {
			db.log.WarnContext(ctx, "SQLite has no read replicas: DB_READ_REPLICAS has no effect")
		}
		err = db.openSQLite(ctx, u)
	} else {
		err = db.openServer(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	spool := ""
	if db.d.serial {
		spool = u.path + "-pulls"
	}
	if err := db.access.start(ctx, db, spool); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close waits for the pulls that are being logged, then closes the
// connections.
func (db *DB) Close() error {
	if db.closing.Swap(true) {
		return nil
	}
	errs := []error{db.access.stop()}
	db.stmts.Range(func(_, s any) bool {
		errs = append(errs, s.(*sql.Stmt).Close())
		return true
	})
	if db.writer != nil {
		errs = append(errs, db.writer.close())
	}
	return errors.Join(append(errs, db.watch.close(), db.closeReplicas(), db.pool.Close())...)
}

// Dialect is "sqlite", "postgres" or "mysql".
func (db *DB) Dialect() string { return db.d.name }

// Exclusive reports whether no other process writes this database, so that
// what Generation guards is exact.
func (db *DB) Exclusive() bool { return db.d.serial }

// Now is the store's clock.
func (db *DB) Now() time.Time { return db.now() }

// Statements returns the number of SQL statements sent so far. BEGIN, COMMIT
// and SAVEPOINT do not count. Budgets are tested with it.
func (db *DB) Statements() uint64 { return db.count.Load() }

// Pool returns the statistics of the connection pool.
func (db *DB) Pool() sql.DBStats { return db.pool.Stats() }

// Retries returns how often a transaction was run again.
func (db *DB) Retries() uint64 { return db.retries.Load() }

// Connections returns how many connections were opened and closed so far.
func (db *DB) Connections() (opened, closed uint64) {
	open := db.pool.Stats().OpenConnections
	if db.writer != nil {
		open += db.writer.pool.Stats().OpenConnections
	}
	opened = db.dials.Load()
	gone := opened - min(opened, uint64(max(open, 0)))
	for {
		told := db.hung.Load()
		if gone <= told {
			return opened, told // one that is being opened counts as open already
		}
		if db.hung.CompareAndSwap(told, gone) {
			return opened, gone
		}
	}
}

// counting is a connector that counts the connections that it opens.
type counting struct {
	driver.Connector
	dials *atomic.Uint64
}

// Connect opens a connection.
func (c counting) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err == nil {
		c.dials.Add(1)
	}
	return conn, err
}

// Generation changes, before the writing call returns, whenever something
// that a read of repository repo could have seen was changed by this process.
// Read it before the query whose answer is to be kept; the answer may be used
// as long as the generation is the same, and, unless Exclusive, for at most
// one second.
func (db *DB) Generation(repo gantry.RepoID) uint64 {
	return db.gens[uint64(repo)%generations].Load() //nolint:gosec // ids are not negative
}

// AccountsGeneration is Generation for accounts, teams, permissions and the
// names of repositories.
func (db *DB) AccountsGeneration() uint64 { return db.who.Load() }

// A tx is what a closure of update or read works with.
type tx struct {
	db    *DB
	d     *dialect
	q     querier
	w     *writer // statements are prepared here, if not nil
	now   time.Time
	repos []gantry.RepoID // gained something: their generation moves when this commits
	taken []gantry.RepoID // may have lost something: other instances are told too
	more  bool            // accounts or permissions gained something
	who   bool            // they may have lost something
	quiet bool            // nobody waits until other instances know
	moved []movedTag      // tags that point elsewhere now, or nowhere
	told  bool            // the journal has more
	due   bool            // the queue has more that is due
	// answered: a statement of a read has returned something.
	answered bool
}

type movedTag struct {
	repo gantry.RepoID
	name string
}

type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// errRaced makes update run its closure again: another transaction changed
// what an earlier statement of this one read.
var errRaced = errors.New("raced with another transaction")

// attempts is how often update runs a closure that keeps racing.
const attempts = 12

// update runs fn in a transaction at READ COMMITTED and commits it. fn may
// run more than once: it does no I/O but SQL, and it sets what it returns
// anew each time.
func (db *DB) update(ctx context.Context, name string, fn func(ctx context.Context, t *tx) error) error {
	began := time.Now()
	var gone *Removal
	run, f, err := db.watch.begin(ctx)
	if err == nil {
		gone, err = db.tryUpdate(run, fn)
		err = db.watch.end(f, err)
	}
	if gone != nil {
		if tell := db.onRemoval.Load(); tell != nil {
			(*tell)(ctx, *gone)
		}
	}
	if db.opts.Observe != nil {
		db.opts.Observe(ctx, name, time.Since(began), err)
	}
	return db.wrap(name, err)
}

// tryUpdate runs fn until it races no more. gone is what it has taken away and
// other instances have to know before the caller is answered; nil = nothing.
func (db *DB) tryUpdate(ctx context.Context, fn func(ctx context.Context, t *tx) error) (gone *Removal, err error) {
	began, lost := time.Now(), 0
	for i := 0; ; i++ {
		if db.writer != nil {
			err = db.writer.do(ctx, fn)
		} else {
			gone, err = db.once(ctx, fn)
		}
		if err == nil {
			return gone, nil
		}
		if _, unknown := errors.AsType[*errUnknownEnd](err); unknown {
			return nil, err
		}
		if db.writer == nil && db.gone(err) {
			if lost++; lost == lostAttempts {
				return nil, err
			}
			db.retries.Add(1)
			if e := pauseFor(ctx, lost); e != nil {
				return nil, e
			}
			continue
		}
		if !errors.Is(err, errRaced) && !db.d.again(err) {
			return nil, err
		}
		if i+1 >= attempts || time.Since(began) > retrySpan {
			return nil, &gantry.Error{Code: gantry.Unavailable, Object: "database", Retry: time.Second,
				Detail: "too many others are changing the same thing; try again", Err: err}
		}
		db.retries.Add(1)
		pause := time.Duration(rand.Int64N(int64(time.Millisecond) << min(i, 6))) //nolint:gosec // jitter
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// changed moves the generations of what t changed.
func (db *DB) changed(t *tx) {
	for _, r := range t.repos {
		db.gens[uint64(r)%generations].Add(1) //nolint:gosec // ids are not negative
	}
	for _, m := range t.moved {
		db.tagSlot(m.repo, m.name).Add(1)
	}
	if t.more {
		db.who.Add(1)
	}
	if r := t.removal(); r != nil {
		db.Forget(*r)
	}
	if (t.told || t.due) && db.opts.Told != nil {
		db.opts.Told(t.told, t.due)
	}
}

// read runs fn outside a transaction: each statement sees what is committed.
func (db *DB) read(ctx context.Context, name string, fn func(ctx context.Context, t *tx) error) error {
	began := time.Now()
	answered := false
	run, f, err := db.watch.begin(ctx)
	if err == nil {
		if db.server != nil {
			answered, err = db.readServer(run, db.server, fn)
		} else {
			err = fn(run, &tx{db: db, d: db.d, q: db.pool, now: db.now()})
		}
		err = db.watch.end(f, err)
	}
	if !answered && db.replicaMay(ctx, err) {
		if ok, e := db.readReplica(ctx, fn); ok {
			err = e
		}
	}
	if db.opts.Observe != nil {
		db.opts.Observe(ctx, name, time.Since(began), err)
	}
	return db.wrap(name, err)
}

// wrap says what was being done, unless err is meant for a client.
func (db *DB) wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*gantry.Error](err); ok {
		return err
	}
	away := func(detail string) error {
		return &gantry.Error{Code: gantry.Unavailable, Object: "database", Retry: 5 * time.Second, Detail: detail, Err: fmt.Errorf("%s: %w", name, err)}
	}
	switch {
	case db.d.full(err):
		return &gantry.Error{Code: gantry.Unavailable, Object: "database", Reason: gantry.DiskFull, Retry: 30 * time.Second,
			Detail: "the registry's disk is full", Err: fmt.Errorf("%s: %w", name, err)}
	case errors.Is(err, errBusy):
		return away("all connections to the registry's database are in use; try again")
	case errors.Is(err, errSlow) || db.d.slow(err):
		return away("the registry's database took too long; try again")
	case db.d.demoted(err):
		return away("the registry's database takes no changes at the moment; try again")
	case db.gone(err) || db.closing.Load():
		return away("the registry's database does not answer; try again")
	}
	return fmt.Errorf("%s: %w", name, err)
}

// grow says that readers of the repository may see something new when this
// transaction is committed, and see what they saw.
func (t *tx) grow(repo gantry.RepoID) { t.repos = append(t.repos, repo) }

// touch says that this transaction may take away what readers of the
// repository see.
func (t *tx) touch(repo gantry.RepoID) { t.taken = append(t.taken, repo) }

// retag says that a tag that was there points elsewhere, or nowhere, when this
// transaction is committed.
func (t *tx) retag(repo gantry.RepoID, name string) { t.moved = append(t.moved, movedTag{repo, name}) }

// stmt returns q prepared, where that is worth it; nil: send it as it is.
func (t *tx) stmt(ctx context.Context, q string) (*sql.Stmt, error) {
	if t.w != nil {
		return t.w.prepare(ctx, q)
	}
	if t.d.serial {
		return t.db.prepare(ctx, q)
	}
	return nil, nil
}

// exec runs a statement and returns the number of rows that it changed.
// MySQL counts rows that were matched, as the others do.
func (t *tx) exec(ctx context.Context, q string, args ...any) (int64, error) {
	r, err := t.run(ctx, q, args)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// sent counts a statement.
func (t *tx) sent(q string, args []any) {
	t.db.count.Add(1)
	if t.db.trace != nil {
		t.db.trace(t.d.bind(q), args)
	}
}

func (t *tx) run(ctx context.Context, q string, args []any) (sql.Result, error) {
	t.sent(q, args)
	s, err := t.stmt(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case s != nil:
		return s.ExecContext(ctx, args...)
	}
	r, err := t.q.ExecContext(ctx, t.d.bind(q), args...)
	t.answered = t.answered || err == nil
	return r, err
}

// insert runs an INSERT into a table whose key is id and returns the new id.
func (t *tx) insert(ctx context.Context, q string, args ...any) (int64, error) {
	if t.d.returning {
		var id int64
		err := t.queryRow(ctx, q+" RETURNING id", args...).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) { // only with ON CONFLICT DO NOTHING
			return 0, nil
		}
		return id, err
	}
	r, err := t.run(ctx, q, args)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	if err != nil || n == 0 {
		return 0, err
	}
	return r.LastInsertId()
}

// insertIgnore is insert, but returns 0 if a row with an equal key is there.
// MySQL cannot tell that from a count, so there the error is caught: it undoes
// only the statement.
func (t *tx) insertIgnore(ctx context.Context, q string, args ...any) (int64, error) {
	if t.d.duplicate == nil {
		return t.insert(ctx, q+conflictNothing(""), args...)
	}
	id, err := t.insert(ctx, q, args...)
	if err != nil && t.d.duplicate(err) {
		return 0, nil
	}
	return id, err
}

// query runs a SELECT; the caller closes the rows.
func (t *tx) query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	t.sent(q, args)
	s, err := t.stmt(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case s != nil:
		return s.QueryContext(ctx, args...)
	}
	rows, err := t.q.QueryContext(ctx, t.d.bind(q), args...)
	t.answered = t.answered || err == nil
	return rows, err
}

// row is one row or an error; Scan gives sql.ErrNoRows when there is none.
type row struct {
	*sql.Row
	err error
	t   *tx
}

func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	err := r.Row.Scan(dest...)
	r.t.answered = r.t.answered || err == nil || errors.Is(err, sql.ErrNoRows)
	return err
}

// queryRow runs a SELECT of at most one row.
func (t *tx) queryRow(ctx context.Context, q string, args ...any) row {
	t.sent(q, args)
	s, err := t.stmt(ctx, q)
	switch {
	case err != nil:
		return row{err: err, t: t}
	case s != nil:
		return row{Row: s.QueryRowContext(ctx, args...), t: t}
	}
	return row{Row: t.q.QueryRowContext(ctx, t.d.bind(q), args...), t: t}
}

// each calls scan for every row of a SELECT.
func (t *tx) each(ctx context.Context, scan func(*sql.Rows) error, q string, args ...any) (err error) {
	rows, err := t.query(ctx, q, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// maxStatements bounds the prepared statements that are kept.
const maxStatements = 400

// prepare returns q prepared on the pool; nil when enough are kept.
func (db *DB) prepare(ctx context.Context, q string) (*sql.Stmt, error) {
	if s, ok := db.stmts.Load(q); ok {
		return s.(*sql.Stmt), nil
	}
	if db.nstmts.Add(1) > maxStatements {
		db.nstmts.Add(-1)
		return nil, nil
	}
	s, err := db.pool.PrepareContext(ctx, q)
	if err != nil {
		db.nstmts.Add(-1)
		return nil, err
	}
	if old, loaded := db.stmts.LoadOrStore(q, s); loaded {
		db.nstmts.Add(-1)
		return old.(*sql.Stmt), s.Close()
	}
	return s, nil
}

// list returns "(?, ?, …)" for the values of an IN, padded with the last one
// to a power of two, so that few different statements arise. It is "(NULL)"
// for no values.
func list[T any](vals []T, args []any) (string, []any) {
	if len(vals) == 0 {
		return "(NULL)", args
	}
	n := 1
	for n < len(vals) {
		n *= 2
	}
	for _, v := range vals {
		args = append(args, v)
	}
	for range n - len(vals) {
		args = append(args, vals[len(vals)-1])
	}
	return "(" + marks(n) + ")", args
}

// marks returns "?, ?, …", n of them.
func marks(n int) string {
	if 3*n <= len(cachedMarks) {
		return cachedMarks[:3*n-2]
	}
	b := make([]byte, 0, 3*n)
	for range n {
		b = append(b, "?, "...)
	}
	return string(b[:3*n-2])
}

const cachedMarks = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "

// tuples returns "(?, ?), (?, ?), …" for n rows of m columns.
func tuples(n, m int) string {
	one := "(" + marks(m) + ")"
	b := make([]byte, 0, n*(len(one)+2))
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, one...)
	}
	return string(b)
}

// notFound turns sql.ErrNoRows into e and keeps every other error.
func notFound(err error, e *gantry.Error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return e
	}
	return err
}

// flag is the stored form of a boolean.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// limit is n as text, for a LIMIT inside a derived table.
func limit(n int) string { return strconv.Itoa(n) }
