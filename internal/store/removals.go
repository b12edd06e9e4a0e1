package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// What is kept in memory must be forgotten when it is taken away: a tag that is
// deleted, a repository that becomes private, a permission. Within a process
// Generation says so. Between processes a transaction that takes away writes a
// row into removals, which every instance reads each second; before that, its
// hook tells them over the bus and waits (Options of package fleet). Tags that
// moved are read from the table of tags itself.
//
// The rows make one thing more possible: when the database goes away, an
// instance knows of everything that was taken away until about then, so what it
// kept and was not told to forget may still be handed out: LastingX.

const (
	// followBack is how far back each look goes: a transaction is as old as its
	// begin when it becomes visible.
	followBack = 20 * time.Second
	// followMost bounds the rows of one look; more are taken for "everything".
	followMost = 5000
	// removalsKept is how long rows stay.
	removalsKept = 10 * time.Minute
	// maxRemoved bounds the repositories of one removal; more are "everything".
	maxRemoved = 500
	// lateBy is how old the last look may be when the database goes away, for
	// what is kept to be handed out.
	lateBy = 10 * time.Second
	// everything is the repo_id of a removal that names no repository.
	everything = gantry.RepoID(-1)
)

// A Removal says what a transaction may have taken away.
type Removal struct {
	Repos    []gantry.RepoID
	Accounts bool // accounts, teams, permissions or names
	All      bool // too much to be listed
}

// lasting are the generations that only move when something is taken away.
type lasting struct {
	repos [generations]generation
	tags  [generations]generation
	who   generation
	all   generation
	seed  maphash.Seed

	table atomic.Bool // there is the table; not before its migration

	mu       sync.Mutex
	followed bool               // at least one look was taken
	first    time.Time          // what was read before is not vouched for; by the store's clock
	last     time.Time          // when the last one began
	seen     map[int64]struct{} // ids of removals within followBack
	spans    map[int64]struct{} // ids of ended spans within followBack
}

func (db *DB) tagSlot(repo gantry.RepoID, name string) *generation {
	h := maphash.Comparable(db.lasting.seed, struct {
		repo gantry.RepoID
		name string
	}{repo, name})
	return &db.lasting.tags[h%generations]
}

// LastingGeneration is like Generation, but moves only when something of the
// repository may have been taken away, by whichever instance. While the
// database is away, an answer may be used whose lasting generation is the same,
// if StaleFrom allows it.
func (db *DB) LastingGeneration(repo gantry.RepoID) uint64 {
	return db.lasting.repos[uint64(repo)%generations].Load() + db.lasting.all.Load() //nolint:gosec // ids are not negative
}

// LastingTag is LastingGeneration for what a tag points at: it moves when a tag
// moves, ends or is deleted.
func (db *DB) LastingTag(repo gantry.RepoID, name string) uint64 {
	return db.tagSlot(repo, name).Load() + db.LastingGeneration(repo)
}

// LastingAccounts is LastingGeneration for accounts, teams and permissions.
func (db *DB) LastingAccounts() uint64 { return db.lasting.who.Load() + db.lasting.all.Load() }

// MaxStale is how long after its last word of the database an instance hands
// out what it has kept.
const MaxStale = time.Hour

// StaleFrom returns the time, by the store's clock, from which on what was
// read may be handed out now although the database cannot be asked; ok is
// false when nothing may: the database answers, has been away for longer than
// MaxStale, or it is not known what was taken away before it went.
func (db *DB) StaleFrom() (from time.Time, ok bool) {
	since := db.Away()
	if since.IsZero() {
		return from, false
	}
	l := &db.lasting
	l.mu.Lock()
	defer l.mu.Unlock()
	ok = l.followed && since.Sub(l.last) < lateBy && time.Since(l.last) < MaxStale
	return l.first, ok
}

// OnRemoval has f called after each transaction of this process that may have
// taken something away, before the method that ran it returns: f tells the
// other instances and waits for them. Background work does not wait.
func (db *DB) OnRemoval(f func(ctx context.Context, r Removal)) { db.onRemoval.Store(&f) }

// Forget has answers of this process be read anew that a removal may have made
// wrong.
func (db *DB) Forget(r Removal) {
	switch {
	case r.All:
		db.lasting.all.Add(1)
		for i := range db.gens {
			db.gens[i].Add(1)
		}
		db.who.Add(1)
		return
	case r.Accounts:
		db.lasting.who.Add(1)
		db.who.Add(1)
	}
	for _, repo := range r.Repos {
		db.lasting.repos[uint64(repo)%generations].Add(1) //nolint:gosec // ids are not negative
		db.gens[uint64(repo)%generations].Add(1)          //nolint:gosec // likewise
	}
	if len(r.Repos) > 0 { // who keeps a repository's row asks AccountsGeneration
		db.who.Add(1)
	}
}

// removal is what t has taken away; nil = nothing.
func (t *tx) removal() *Removal {
	if len(t.taken) == 0 && !t.who {
		return nil
	}
	slices.Sort(t.taken)
	r := &Removal{Repos: slices.Compact(t.taken), Accounts: t.who}
	if len(r.Repos) > maxRemoved {
		r = &Removal{All: true}
	}
	return r
}

// note writes the removal for the other instances.
func (t *tx) note(ctx context.Context, r *Removal) error {
	if t.d.serial || r == nil || !t.db.lasting.table.Load() {
		return nil
	}
	ids := r.Repos
	switch {
	case r.All:
		ids = []gantry.RepoID{everything}
	case r.Accounts:
		ids = append(slices.Clip(ids), 0)
	}
	args := make([]any, 0, 2*len(ids))
	for _, id := range ids {
		args = append(args, t.now.UnixMilli(), id)
	}
	_, err := t.exec(ctx, `INSERT INTO removals (at_ms, repo_id) VALUES `+tuples(len(ids), 2), args...)
	return err
}

// follow reads what was taken away of late, by all instances.
func (db *DB) follow(ctx context.Context) error {
	if !db.lasting.table.Load() {
		if err := db.lookForRemovals(ctx); err != nil || !db.lasting.table.Load() {
			return err
		}
	}
	began := time.Now()
	from := db.now().Add(-followBack).UnixMilli()
	rows, err := db.watch.pool.QueryContext(ctx, db.d.bind(fmt.Sprintf(
		`SELECT * FROM (SELECT id, repo_id, '' AS name FROM removals WHERE at_ms >= ? ORDER BY at_ms, id LIMIT %d) x
		UNION ALL SELECT * FROM (SELECT id, repo_id, name FROM tags WHERE live IS NULL AND end_ms >= ? ORDER BY end_ms DESC LIMIT %d) y`,
		followMost, followMost)), from, from)
	if err != nil {
		return fmt.Errorf("read what was taken away: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has its error
	l := &db.lasting
	var r Removal
	seen, spans := map[int64]struct{}{}, map[int64]struct{}{}
	type tag struct {
		repo gantry.RepoID
		name string
	}
	var moved []tag
	for rows.Next() {
		var id int64
		var repo gantry.RepoID
		var name string
		if err := rows.Scan(&id, &repo, &name); err != nil {
			return fmt.Errorf("read what was taken away: %w", err)
		}
		if name != "" {
			spans[id] = struct{}{}
			if _, known := l.spans[id]; !known {
				moved = append(moved, tag{repo, strings.Clone(name)})
			}
			continue
		}
		seen[id] = struct{}{}
		if _, known := l.seen[id]; known {
			continue
		}
		switch repo {
		case 0:
			r.Accounts = true
		case everything:
			r.All = true
		default:
			r.Repos = append(r.Repos, repo)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read what was taken away: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// A look that comes after a long silence, or that is cut short, has not
	// seen all.
	if !l.followed || len(seen) >= followMost || len(spans) >= followMost || began.Sub(l.last) > followBack/2 {
		r.All = true
		l.first = db.now()
	}
	db.Forget(r)
	for _, m := range moved {
		db.tagSlot(m.repo, m.name).Add(1)
	}
	l.seen, l.spans, l.followed, l.last = seen, spans, true, began
	return nil
}

// lookForRemovals finds out whether the schema has the table: this program also
// serves the schema before it.
func (db *DB) lookForRemovals(ctx context.Context) error {
	rows, err := db.watch.pool.QueryContext(ctx, `SELECT id FROM removals WHERE id = 0`)
	if err == nil {
		for rows.Next() { //nolint:revive // there is none
		}
		err = errors.Join(rows.Err(), rows.Close())
	}
	if err == nil || answers(err) {
		db.lasting.table.Store(err == nil)
		return nil
	}
	return fmt.Errorf("look for the table of removals: %w", err)
}

// trimRemovals deletes rows that everybody has read.
func (db *DB) trimRemovals(ctx context.Context) error {
	return db.update(ctx, "trim removals", func(ctx context.Context, t *tx) error {
		ids, err := t.ids(ctx, `SELECT id FROM removals WHERE at_ms < ? ORDER BY at_ms, id LIMIT 5000`, t.now.Add(-removalsKept).UnixMilli())
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(ids, 500) {
			in, args := list(chunk, nil)
			if _, err := t.exec(ctx, `DELETE FROM removals WHERE id IN `+in, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
