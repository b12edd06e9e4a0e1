package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A database server can be away: refuse connections, or take them and say
// nothing. Nobody waits for it then. Whatever fails for want of a connection,
// or takes long, has a question put to the server on a connection of its own;
// when that is not answered either, the breaker opens: what runs is broken off,
// what comes is refused at once, and the server is asked again every second,
// until it answers. A statement that is merely slow does not open it.

const (
	watchEvery  = time.Second            // look at what runs; ask a server that is away
	patience    = 3 * time.Second        // use of the database that takes longer has the server asked
	askWithin   = 2 * time.Second        // for an answer
	askGap      = 100 * time.Millisecond // between two questions, at least
	clockEvery  = 10 * time.Second       // comparison of the clocks
	awayRetry   = 5 * time.Second        // that a client is told to wait
	trimEvery   = time.Minute            // of what was taken away long ago
	awayMessage = "the registry's database does not answer; what was read of late can be pulled, nothing can be written; try again"
)

// errAway is why the watch breaks a use of the database off.
var errAway = errors.New("the database does not answer")

// A watch is the breaker of a database server, with what is done every now and
// then on its connection. A nil *watch, that of SQLite, lets everything pass.
type watch struct {
	db   *DB
	pool *sql.DB // one connection, so that what runs cannot take it
	kick chan struct{}
	quit chan struct{}
	gone chan struct{}

	mu       sync.Mutex
	running  map[*flight]struct{}
	answered time.Time // when the server did last
	since    time.Time // it is away; zero: it is not
	why      error     // with since
	back     chan struct{}
}

// A flight is one use of the database.
type flight struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	began  time.Time
}

// startWatch begins to watch the server that pool has connections to; it
// closes pool at the end.
func (db *DB) startWatch(pool *sql.DB) {
	pool.SetMaxOpenConns(1)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(30 * time.Minute)
	db.watch = &watch{db: db, pool: pool, kick: make(chan struct{}, 1), quit: make(chan struct{}), gone: make(chan struct{}),
		running: map[*flight]struct{}{}, answered: time.Now(), back: make(chan struct{})}
	go db.watch.loop()
}

func (w *watch) close() error {
	if w == nil {
		return nil
	}
	close(w.quit)
	<-w.gone
	return w.pool.Close()
}

// Away reports since when the database has not answered; zero while it does.
// With SQLite it always does.
func (db *DB) Away() (since time.Time) {
	if w := db.watch; w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.since
	}
	return time.Time{}
}

// begin lets a use of the database begin, with a context that ends when the
// server is found to be away; end must be called. f is nil where nothing is
// watched.
func (w *watch) begin(ctx context.Context) (context.Context, *flight, error) {
	if w == nil {
		return ctx, nil, nil
	}
	f := &flight{began: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.since.IsZero() {
		return ctx, nil, w.refusal()
	}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	w.running[f] = struct{}{}
	return f.ctx, f, nil
}

// end ends what begin began, and returns err as its caller shall see it.
func (w *watch) end(f *flight, err error) error {
	if f == nil {
		return err
	}
	w.mu.Lock()
	delete(w.running, f)
	w.mu.Unlock()
	broken := err != nil && context.Cause(f.ctx) == errAway //nolint:errorlint // that very value
	f.cancel(nil)
	switch {
	case broken:
		return &gantry.Error{Code: gantry.Unavailable, Object: "database", Retry: awayRetry, Detail: awayMessage, Err: errors.Join(errAway, err)}
	case w.db.gone(err):
		w.ask()
	}
	return err
}

// refusal is the answer while the server is away. w.mu is held.
func (w *watch) refusal() error {
	return &gantry.Error{Code: gantry.Unavailable, Object: "database", Retry: awayRetry, Detail: awayMessage,
		Err: fmt.Errorf("%w since %s: %w", errAway, w.since.UTC().Format(time.RFC3339), w.why)}
}

// ask has the loop put its question now.
func (w *watch) ask() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// returned returns a channel that is closed when the server, now away, is back.
func (w *watch) returned() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.back
}

func (w *watch) loop() {
	defer close(w.gone)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var clocked, trimmed time.Time
	for {
		asked := false
		select {
		case <-w.quit:
			return
		case <-tick.C:
		case <-w.kick:
			asked = true
		}
		ctx, cancel := context.WithTimeout(context.Background(), askWithin)
		switch {
		case asked || w.doubtful():
			w.judge(ctx, w.retried(ctx, w.db.setClock))
			clocked = time.Now()
		case w.db.opts.SyncClock && time.Since(clocked) > clockEvery:
			w.judge(ctx, w.retried(ctx, w.db.setClock))
			clocked = time.Now()
		}
		if w.db.opts.Follow && w.db.Away().IsZero() {
			w.judge(ctx, w.retried(ctx, w.db.follow))
			if w.db.Away().IsZero() && time.Since(trimmed) > trimEvery {
				trimmed = time.Now()
				if err := w.db.trimRemovals(ctx); err != nil {
					w.db.log.WarnContext(ctx, "forget what was taken away long ago", "error", err)
				}
			}
		}
		cancel()
		if asked { // many may fail at once; one question is for all of them
			select {
			case <-w.quit:
				return
			case <-time.After(askGap):
			}
		}
	}
}

// doubtful reports whether the server has to be asked: it is away, or
// something has run for long and it has not answered since.
func (w *watch) doubtful() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.since.IsZero() {
		return true
	}
	now := time.Now()
	if now.Sub(w.answered) < patience {
		return false
	}
	for f := range w.running {
		if now.Sub(f.began) > patience {
			return true
		}
	}
	return false
}

// retried calls f a second time when it fails: the connection may have been an
// old one.
func (w *watch) retried(ctx context.Context, f func(context.Context) error) error {
	err := f(ctx)
	if err != nil && ctx.Err() == nil && !answers(err) {
		err = f(ctx)
	}
	return err
}

// answers reports whether a server said no, which one that is there does. One
// that starts or stops says that it is not.
func answers(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code[:min(len(e.Code), 3)] != "57P"
	}
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number != 1053 // shutdown
	}
	return false
}

// judge opens the breaker or closes it, by the outcome of a question.
func (w *watch) judge(ctx context.Context, err error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || answers(err) {
		w.answered = now
		if !w.since.IsZero() {
			w.db.log.WarnContext(ctx, "the database answers again", "away", now.Sub(w.since).Round(time.Millisecond).String())
			w.since, w.why = time.Time{}, nil
			w.db.returnedToPrimary()
			close(w.back)
			w.back = make(chan struct{})
		}
		return
	}
	if w.since.IsZero() {
		w.since = now
		for f := range w.running {
			f.cancel(errAway)
		}
		w.db.log.ErrorContext(ctx, "the database does not answer: it is asked every second; pulls of what was read of late go on, everything else is refused", "error", err)
	}
	w.why = err
}
