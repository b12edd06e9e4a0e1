package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Access is a row of the pull log: who read what, when, from where. Pulls
// are kept apart from the journal: there are 10 to 100 times as many.
type Access struct {
	At        time.Time // zero: the store's clock when it is written
	Kind      string    // log kind, such as "pull_repo"
	Namespace gantry.AccountID
	Repo      gantry.RepoID
	Actor     gantry.Actor
	Ref       string // tag or digest
	MediaType string
}

// maxAccessGroup bounds the rows of one INSERT, and maxAccessWaiting those
// that wait for their turn; more callers block in LogAccess.
const (
	maxAccessGroup   = 128
	maxAccessWaiting = 8192
)

// accessLog gathers rows and writes them in groups.
type accessLog struct {
	db      *DB
	path    string // of the spool; "" = none
	spool   atomic.Pointer[spool]
	over    *overflow     // nil: SQLite, or nowhere to put it
	gone    chan struct{} // closed when loop has ended
	refused atomic.Uint64 // groups that could not be written anywhere
	wake    chan struct{} // tells loop that it may go on

	mu      sync.Mutex
	groups  []*accessGroup // to be written in this order; a row joins the last one
	waiting int            // rows in groups
	want    int            // loop sleeps until so many wait; 0: it does not
	closed  bool
}

// An accessGroup is rows that are written together.
type accessGroup struct {
	rows []Access
	err  error // set before done is closed
	done chan struct{}
}

func (l *accessLog) start(ctx context.Context, db *DB, path string) error {
	l.db, l.path = db, path
	l.gone, l.wake = make(chan struct{}), make(chan struct{}, 1)
	go l.loop()
	if path == "" {
		return l.startOverflow()
	}
	// Before the first migration there is no table for it; then the first
	// pull opens it.
	ready, err := db.has(ctx, "sequences")
	if err == nil && ready {
		err = l.open(ctx)
	}
	return err
}

// startOverflow opens the file for the time when the server is away.
func (l *accessLog) startOverflow() (err error) {
	if l.db.opts.Spool == "" {
		return nil
	}
	l.over, err = l.db.openOverflow(l.db.opts.Spool, l.db.opts.SpoolBytes)
	return err
}

// open opens the spool, unless another handle of this database has it: then
// rows go straight into the table.
func (l *accessLog) open(ctx context.Context) error {
	s, err := l.db.openSpool(ctx, l.path)
	if errors.Is(err, errSpoolTaken) {
		l.path = ""
		return nil
	}
	if err == nil {
		l.spool.Store(s)
	}
	return err
}

// stop writes what waits and ends the loop.
func (l *accessLog) stop() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
	<-l.gone
	if l.over != nil {
		return l.over.close()
	}
	if s := l.spool.Load(); s != nil {
		return s.close()
	}
	return nil
}

func (l *accessLog) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// SettleAccess returns when every row that LogAccess has written can be read.
func (db *DB) SettleAccess() error {
	if s := db.access.spool.Load(); s != nil {
		return db.wrap("settle the log of pulls", s.settle())
	}
	if db.access.over != nil {
		return db.wrap("settle the log of pulls", db.access.over.settle())
	}
	return nil
}

// Spooled returns how many pulls wait in the local file for the database, and
// how many groups of them found no room there so far.
func (db *DB) Spooled() (rows int64, refused uint64) {
	if o := db.access.over; o != nil {
		rows = o.rows.Load()
	}
	return rows, db.access.refused.Load()
}

// LogAccess writes a row of the pull log and returns once it is on stable
// storage. Rows of concurrent callers share a commit. With SQLite it can be read
// a moment later: SettleAccess waits for that.
func (db *DB) LogAccess(ctx context.Context, a Access) error {
	for {
		g, joined := db.access.join(&a)
		if g == nil {
			return db.wrap("log access", errClosed)
		}
		select {
		case <-g.done:
			if joined {
				return g.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// join adds a row to a group. When too many rows wait it returns the group to
// wait for before the next try, and after stop nil.
func (l *accessLog) join(a *Access) (g *accessGroup, joined bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	if l.waiting >= maxAccessWaiting {
		return l.groups[0], false
	}
	if n := len(l.groups); n > 0 && len(l.groups[n-1].rows) < maxAccessGroup {
		g = l.groups[n-1]
	} else {
		g = &accessGroup{done: make(chan struct{}), rows: make([]Access, 0, 8)}
		l.groups = append(l.groups, g)
	}
	g.rows = append(g.rows, *a)
	if l.waiting++; l.want > 0 && l.waiting >= l.want {
		l.want = 0
		l.poke()
	}
	return g, true
}

// next waits for the group to write; nil after stop. Like a gatherer it waits
// for as many rows as were under way last time, for pause at most; unlike one it
// is woken once, not by each row.
func (l *accessLog) next(expect int, pause time.Duration, timer *time.Timer) *accessGroup {
	late := false
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.waiting == 0 && l.closed:
			return nil
		case l.waiting == 0:
			l.want = 1
			l.mu.Unlock()
			<-l.wake
			l.mu.Lock()
		case l.waiting < min(expect, maxAccessGroup) && pause > 0 && !late && !l.closed:
			l.want = min(expect, maxAccessGroup)
			l.mu.Unlock()
			timer.Reset(pause)
			select {
			case <-l.wake:
				timer.Stop()
			case <-timer.C:
				late = true
			}
			l.mu.Lock()
		default:
			g := l.groups[0]
			l.groups[0] = nil
			l.groups, l.want = l.groups[1:], 0
			l.waiting -= len(g.rows)
			return g
		}
	}
}

func (l *accessLog) loop() {
	defer close(l.gone)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var expect int
	var pause time.Duration
	for {
		g := l.next(expect, pause, timer)
		if g == nil {
			return
		}
		n := len(g.rows)
		began := time.Now()
		g.err = l.write(g.rows)
		took := time.Since(began)
		if g.err == nil && l.db.opts.Grouped != nil {
			l.db.opts.Grouped(n)
		}
		l.mu.Lock()
		expect, pause = n+l.waiting, min(took, maxGather)
		l.mu.Unlock()
		close(g.done)
	}
}

// write makes rows durable: in the spool, which keeps them, or else in one
// transaction.
func (l *accessLog) write(rows []Access) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	now := l.db.Now()
	for i := range rows {
		if rows[i].At.IsZero() {
			rows[i].At = now
		}
	}
	if l.path != "" && l.spool.Load() == nil {
		if err := l.open(ctx); err != nil {
			return err
		}
	}
	if s := l.spool.Load(); s != nil {
		return l.db.wrap("log access", s.add(rows))
	}
	first, err := l.db.insertAccess(ctx, rows, nil)
	if l.over != nil && (isAway(err) || errors.Is(err, context.DeadlineExceeded)) {
		if err = l.over.add(rows, first); err != nil {
			l.refused.Add(1)
		}
	}
	return err
}

// isAway reports whether err says that the database server is away.
func isAway(err error) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == gantry.Unavailable && e.Object == "database" && e.Reason == ""
}

// insertAccess inserts rows and does what also says, all in one transaction.
// first is the id of the first row when that was inserted, whether it was
// committed or not; 0 with SQLite.
func (db *DB) insertAccess(ctx context.Context, rows []Access, also func(ctx context.Context, t *tx) error) (first int64, err error) {
	err = db.update(ctx, "log access", func(ctx context.Context, t *tx) (err error) {
		if first, err = t.insertAccess(ctx, rows); err == nil && also != nil {
			err = also(ctx, t)
		}
		return err
	})
	return first, err
}

// insertAccess inserts rows, in statements of a power of two rows each, so that
// few different ones arise. It returns the id of the first.
func (t *tx) insertAccess(ctx context.Context, rows []Access) (first int64, err error) {
	args := make([]any, 0, accessColumns*min(len(rows), maxAccessGroup))
	for rest := rows; len(rest) > 0; {
		n := 1
		for 2*n <= min(len(rest), maxAccessGroup) {
			n *= 2
		}
		args = args[:0]
		for i := range rest[:n] {
			a := &rest[i]
			for _, v := range [...]int64{a.At.UnixMilli(), int64(a.Namespace), int64(a.Repo), int64(a.Actor.Account)} {
				args = appendSame(args, accessColumns, v)
			}
			for _, v := range [...]string{a.Kind, a.Actor.Name, actorKind(a.Actor), a.Actor.IP, cut(a.Ref, 255), cut(a.MediaType, 255), cut(a.Actor.Agent, 255)} {
				args = appendSame(args, accessColumns, v)
			}
		}
		id, err := t.insertRows(ctx, accessInsert(n), args)
		if err != nil {
			return first, err
		}
		if first == 0 {
			first = id
		}
		rest = rest[n:]
	}
	return first, nil
}

// insertRows inserts rows whose ids grow in their order and returns the first
// id; 0 with SQLite.
func (t *tx) insertRows(ctx context.Context, q string, args []any) (first int64, err error) {
	switch {
	case t.d.serial:
		_, err = t.exec(ctx, q, args...)
	case t.d.returning:
		err = t.queryRow(ctx, `WITH x AS (`+q+` RETURNING id) SELECT MIN(id) FROM x`, args...).Scan(&first)
	default:
		var r sql.Result
		if r, err = t.run(ctx, q, args); err == nil {
			first, err = r.LastInsertId()
		}
	}
	return first, err
}

const accessColumns = 11

func accessInsert(n int) string {
	return `INSERT INTO access_log (at_ms, ns_id, repo_id, actor_id, kind, actor, actor_kind, ip, ref, media_type, agent) VALUES ` + tuples(n, accessColumns)
}

// appendSame appends v, as the very value that the row before has there when
// they are equal: most of a pull is what it was in the one before, and making
// an interface of it costs an allocation.
func appendSame[T comparable](args []any, columns int, v T) []any {
	if i := len(args) - columns; i >= 0 {
		if old, ok := args[i].(T); ok && old == v {
			return append(args, args[i])
		}
	}
	return append(args, v)
}

// actorKind is the stored kind of an actor.
func actorKind(a gantry.Actor) string {
	if a.Kind == "" {
		return gantry.ActorSystem
	}
	return a.Kind
}

// cut shortens s to n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
