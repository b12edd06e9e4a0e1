package store

import (
	"context"
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
	waiting chan *accessRow
	quit    chan struct{}
	gone    chan struct{}
	once    sync.Once
}

type accessRow struct {
	a    Access
	err  error
	done chan struct{}
}

func (l *accessLog) start(ctx context.Context, db *DB, path string) error {
	l.db, l.path = db, path
	l.waiting = make(chan *accessRow, maxAccessWaiting)
	l.quit, l.gone = make(chan struct{}), make(chan struct{})
	go l.loop()
	if path == "" {
		return nil
	}
	// Before the first migration there is no table for it; then the first
	// pull opens it.
	ready, err := db.has(ctx, "sequences")
	if err == nil && ready {
		err = l.open(ctx)
	}
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

func (l *accessLog) stop() error {
	l.once.Do(func() { close(l.quit) })
	<-l.gone
	if s := l.spool.Load(); s != nil {
		return s.close()
	}
	return nil
}

// SettleAccess returns when every row that LogAccess has written can be read.
func (db *DB) SettleAccess() error {
	if s := db.access.spool.Load(); s != nil {
		return db.wrap("settle the log of pulls", s.settle())
	}
	return nil
}

// LogAccess writes a row of the pull log and returns once it is on stable
// storage. Rows of concurrent callers share a commit. With SQLite it can be read
// a moment later: SettleAccess waits for that.
func (db *DB) LogAccess(ctx context.Context, a Access) error {
	r := &accessRow{a: a, done: make(chan struct{})}
	select {
	case db.access.waiting <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.access.gone:
		return db.wrap("log access", errClosed)
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	case <-db.access.gone:
		select {
		case <-r.done:
			return r.err
		default:
			return db.wrap("log access", errClosed)
		}
	}
}

func (l *accessLog) loop() {
	defer close(l.gone)
	group := make([]*accessRow, 0, maxAccessGroup)
	gather := newGatherer(l.waiting, maxAccessGroup, l.quit)
	for {
		select {
		case r := <-l.waiting:
			group = append(group[:0], r)
		case <-l.quit:
			select { // those that wait already
			case r := <-l.waiting:
				group = append(group[:0], r)
			default:
				return
			}
		}
		group = gather.fill(group)
		began := time.Now()
		err := l.write(group)
		gather.wrote(len(group), time.Since(began))
		if err == nil && l.db.opts.Grouped != nil {
			l.db.opts.Grouped(len(group))
		}
		for i, r := range group {
			r.err = err
			close(r.done)
			group[i] = nil
		}
	}
}

// write makes a group durable: in the spool, or else in one transaction.
func (l *accessLog) write(group []*accessRow) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	now := l.db.Now()
	rows := make([]Access, len(group))
	for i, r := range group {
		rows[i] = r.a
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
	return l.db.insertAccess(ctx, rows, nil)
}

// insertAccess inserts rows, in statements of a power of two rows each, so that
// few different ones arise, and does what also says, all in one transaction.
func (db *DB) insertAccess(ctx context.Context, rows []Access, also func(ctx context.Context, t *tx) error) error {
	return db.update(ctx, "log access", func(ctx context.Context, t *tx) error {
		args := make([]any, 0, 11*min(len(rows), maxAccessGroup))
		for rest := rows; len(rest) > 0; {
			n := 1
			for 2*n <= min(len(rest), maxAccessGroup) {
				n *= 2
			}
			args = args[:0]
			for i := range rest[:n] {
				a := &rest[i]
				args = append(args, a.At.UnixMilli(), a.Kind, a.Namespace, a.Repo, a.Actor.Account, a.Actor.Name,
					actorKind(a.Actor), a.Actor.IP, cut(a.Ref, 255), cut(a.MediaType, 255), cut(a.Actor.Agent, 255))
			}
			if _, err := t.exec(ctx, accessInsert(n), args...); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if also != nil {
			return also(ctx, t)
		}
		return nil
	})
}

func accessInsert(n int) string {
	return `INSERT INTO access_log (at_ms, kind, ns_id, repo_id, actor_id, actor, actor_kind, ip, ref, media_type, agent) VALUES ` + tuples(n, 11)
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
