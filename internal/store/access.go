package store

import (
	"context"
	"sync"
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

func (l *accessLog) start(db *DB) {
	l.db = db
	l.waiting = make(chan *accessRow, maxAccessWaiting)
	l.quit, l.gone = make(chan struct{}), make(chan struct{})
	go l.loop()
}

func (l *accessLog) stop() {
	l.once.Do(func() { close(l.quit) })
	<-l.gone
}

// LogAccess writes a row of the pull log and returns once it is on stable
// storage. Rows of concurrent callers share a commit.
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
	more:
		for len(group) < maxAccessGroup {
			select {
			case r := <-l.waiting:
				group = append(group, r)
			default:
				break more
			}
		}
		err := l.write(group)
		for i, r := range group {
			r.err = err
			close(r.done)
			group[i] = nil
		}
	}
}

// write inserts a group in one transaction, in statements of a power of two
// rows each, so that few different ones arise.
func (l *accessLog) write(group []*accessRow) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return l.db.update(ctx, "log access", func(ctx context.Context, t *tx) error {
		rest := group
		args := make([]any, 0, 12*len(group))
		for len(rest) > 0 {
			n := 1
			for 2*n <= len(rest) {
				n *= 2
			}
			args = args[:0]
			for _, r := range rest[:n] {
				at := t.now.UnixMilli()
				if !r.a.At.IsZero() {
					at = r.a.At.UnixMilli()
				}
				args = append(args, at, r.a.Kind, r.a.Namespace, r.a.Repo, r.a.Actor.Account, r.a.Actor.Name,
					actorKind(r.a.Actor), r.a.Actor.IP, cut(r.a.Ref, 255), cut(r.a.MediaType, 255), cut(r.a.Actor.Agent, 255))
			}
			if _, err := t.exec(ctx, accessInsert(n), args...); err != nil {
				return err
			}
			rest = rest[n:]
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
