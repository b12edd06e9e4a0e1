package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A TagSpan is one span of a tag's life.
type TagSpan struct {
	ID         gantry.TagID
	Name       string
	Manifest   gantry.ManifestID
	Digest     gantry.Digest
	MediaType  string
	LayersSize int64 // bytes; 0 for an index
	Start      time.Time
	End        time.Time // zero = none; in the future for a live tag that will expire
	Live       bool
	EndedBy    string // "move", "delete", "expire", or "" while it lives
	Reversion  bool   // made by a restore
	Immutable  bool
}

// A TagQuery asks for a page of the spans of a repository's tags, newest
// first.
type TagQuery struct {
	Repo   gantry.RepoID
	Live   bool   // those that live now, without history
	Name   string // of this tag; "" = of any
	Like   string // whose name holds this, in letters of either case; "" = any
	Offset int64  // so many are passed over
	N      int    // at most so many; not 0
}

// TagPage returns a page and whether there are more. Spans that collection may
// have emptied are not among them.
//
// Clients turn pages by number. Counting off to a deep page costs as much as
// the list is long, so places in a long list are remembered: a page is one
// statement up to stepFrom, and two at any depth, which read no more than
// stepEvery index entries beside the page. What was not looked at yet is
// counted off once, on the index alone, by a statement more: by who turns the
// pages, a place at a time; by who jumps, all the way. With Like, the cost is
// that of looking through names until the page is full.
//
// While tags are pushed or deleted, pages move as they do when they are
// counted off: what is new pushes the rest down, so that a walk may see a span
// twice; it misses none that lives throughout.
func (db *DB) TagPage(ctx context.Context, q TagQuery) (page []TagSpan, more bool, err error) {
	err = db.read(ctx, "page of tags", func(ctx context.Context, t *tx) error {
		page = nil
		from, skip, err := t.stepTo(ctx, &q)
		if err != nil {
			return err
		}
		where, args := q.where(t.now)
		if from.start != 0 {
			where += " AND start_ms <= ? AND (start_ms < ? OR id < ?)"
			args = append(args, from.start, from.start, from.id)
		}
		// The joins stand in an order that SQLite keeps.
		err = t.each(ctx, func(rows *sql.Rows) error {
			s, err := t.scanSpan(rows)
			page = append(page, s)
			return err
		}, `SELECT g.id, g.name, g.manifest_id, m.digest, m.media_type, m.layers_size, g.start_ms, g.end_ms, g.live, g.ended_by, g.reversion, g.immutable
			FROM (SELECT id FROM tags WHERE `+where+` ORDER BY start_ms DESC, id DESC LIMIT ? OFFSET ?) s CROSS JOIN tags g CROSS JOIN manifests m
			WHERE g.id = s.id AND m.id = g.manifest_id`, append(args, q.N+1, skip)...)
		slices.SortFunc(page, newestFirst)
		if more = len(page) > q.N; more {
			page = page[:q.N]
		}
		return err
	})
	return page, more, err
}

func newestFirst(a, b TagSpan) int { return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(b.ID, a.ID)) }

// scanSpan reads the columns of a span, and what stands behind them into more.
func (t *tx) scanSpan(rows *sql.Rows, more ...any) (s TagSpan, err error) {
	var (
		digest         []byte
		start          int64
		end, live      sql.NullInt64
		reversion, imm int
	)
	err = rows.Scan(append([]any{&s.ID, &s.Name, &s.Manifest, &digest, &s.MediaType, &s.LayersSize, &start, &end, &live, &s.EndedBy, &reversion, &imm}, more...)...)
	s.Digest, s.Start, s.End = gantry.DigestFromBytes(digest), gantry.FromMillis(start), gantry.FromMillis(end.Int64)
	s.Live = live.Valid && (!end.Valid || end.Int64 > t.now.UnixMilli())
	s.Reversion, s.Immutable = reversion != 0, imm != 0
	return s, err
}

// where is the condition of the list that q asks for a page of.
func (q *TagQuery) where(now time.Time) (string, []any) {
	where, args := "repo_id = ?", []any{q.Repo}
	if q.Live {
		where += " AND live = 1 AND (end_ms IS NULL OR end_ms > ?)"
		args = append(args, now.UnixMilli())
	}
	if q.Name != "" {
		where += " AND name = ?"
		args = append(args, q.Name)
	}
	if q.Like != "" {
		where += " AND LOWER(name) LIKE ? ESCAPE '!'"
		args = append(args, likeTag(q.Like))
	}
	return where, args
}

// likeTag is a pattern for the names that hold a text.
func likeTag(text string) string { return "%" + likeText.Replace(strings.ToLower(text)) + "%" }

// likeText escapes what LIKE would take for more than a letter.
var likeText = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

const (
	stepEvery = 1024             // spans between two places that are remembered
	stepFrom  = 1024             // pages that end before are counted off
	stepAge   = 10 * time.Minute // how long places are remembered
	stepSlack = 10 * time.Second // spans of that age are all there, by any instance's clock
	stepNewer = 4096             // so many newer spans are counted, not more
	stepLists = 64               // whose places are remembered at once
)

// steps are places in a list of spans, newest first: keys[i] is the span
// number i * stepEvery of those that began before cut, where keys[0] stands
// for cut itself. The spans that began later are counted each time. Spans that
// went since are not: a page may begin higher up for that, never too low.
type steps struct {
	mu   sync.Mutex
	at   time.Time
	keys []stepKey // nil = nothing is known yet
	all  bool      // there are no more
}

type stepKey struct{ start, id int64 }

// A stepList is what a list of spans is remembered under.
type stepList struct {
	repo gantry.RepoID
	live bool
	name string
}

// stepCache is the places of all lists. The zero value works.
type stepCache struct {
	mu  sync.Mutex
	all map[stepList]*steps
}

func (c *stepCache) of(l stepList) *steps {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.all[l]
	if s != nil {
		return s
	}
	if c.all == nil {
		c.all = map[stepList]*steps{}
	}
	for other := range c.all { // one or another: none is needed
		if len(c.all) < stepLists {
			break
		}
		delete(c.all, other)
	}
	s = &steps{}
	c.all[l] = s
	return s
}

// stepTo returns after which span to begin, if after any, and how many to pass
// over from there, for the page that q asks for.
func (t *tx) stepTo(ctx context.Context, q *TagQuery) (from stepKey, skip int64, err error) {
	if q.Offset+int64(q.N) <= stepFrom || q.Like != "" {
		return from, q.Offset, nil
	}
	s := t.db.steps.of(stepList{q.Repo, q.Live, q.Name})
	s.mu.Lock()
	defer s.mu.Unlock()
	newer := int64(stepNewer + 1)
	if s.keys != nil && t.now.Sub(s.at).Abs() < stepAge {
		if newer, err = t.newer(ctx, q, s.keys[0].start); err != nil {
			return from, 0, err
		}
	}
	if newer > stepNewer {
		s.at, s.all = t.now, false
		s.keys = []stepKey{{start: t.now.Add(-stepSlack).UnixMilli()}}
		if newer, err = t.newer(ctx, q, s.keys[0].start); err != nil {
			return from, 0, err
		}
	}
	rest := q.Offset - newer
	if newer > stepNewer || rest < 0 {
		return from, q.Offset, nil
	}
	n := rest / stepEvery
	if int64(len(s.keys)) <= n && !s.all {
		if err := t.findSteps(ctx, q, s, n-int64(len(s.keys))+1); err != nil {
			return from, 0, err
		}
	}
	n = min(n, int64(len(s.keys))-1)
	return s.keys[n], rest - n*stepEvery, nil
}

// newer counts the spans of a list that began at the time or later, to just
// above stepNewer.
func (t *tx) newer(ctx context.Context, q *TagQuery, cut int64) (n int64, err error) {
	where, args := q.where(t.now)
	err = t.queryRow(ctx, `SELECT COUNT(*) FROM (SELECT id FROM tags WHERE `+where+` AND start_ms >= ? ORDER BY start_ms DESC LIMIT `+limit(stepNewer+1)+`) s`,
		append(args, cut)...).Scan(&n)
	return n, err
}

// findSteps finds up to n more places, in one statement.
func (t *tx) findSteps(ctx context.Context, q *TagQuery, s *steps, n int64) error {
	const order = ` ORDER BY start_ms DESC, id DESC`
	where, args := q.where(t.now)
	last := s.keys[len(s.keys)-1]
	from := append(slices.Clone(args), last.start, last.start, last.id)
	// Each hop passes over the index from where the one before came to.
	text := `WITH RECURSIVE k (n, start_ms, id) AS (
		SELECT 1, g.start_ms, g.id FROM tags g WHERE g.id = (SELECT id FROM tags
			WHERE ` + where + ` AND start_ms <= ? AND (start_ms < ? OR id < ?)` + order + ` LIMIT 1 OFFSET ` + limit(stepEvery-1) + `)
		UNION ALL
		SELECT k.n + 1, g.start_ms, g.id FROM k JOIN tags g ON g.id = (SELECT id FROM tags
			WHERE ` + where + ` AND start_ms <= k.start_ms AND (start_ms < k.start_ms OR id < k.id)` + order + ` LIMIT 1 OFFSET ` + limit(stepEvery-1) + `)
		WHERE k.n < ?)
		SELECT start_ms, id FROM k ORDER BY n`
	vals := append(append(from, args...), n)
	if t.d.name == "mysql" { // it would begin each hop at the newest span
		text = `SELECT start_ms, id FROM (SELECT start_ms, id, ROW_NUMBER() OVER (` + order + `) AS pos FROM (SELECT start_ms, id FROM tags
			WHERE ` + where + ` AND start_ms <= ? AND (start_ms < ? OR id < ?)` + order + ` LIMIT ?) r) s
			WHERE pos % ` + limit(stepEvery) + ` = 0 ORDER BY pos`
		vals = append(from, n*stepEvery)
	}
	found := int64(0)
	err := t.each(ctx, func(rows *sql.Rows) error {
		var k stepKey
		err := rows.Scan(&k.start, &k.id)
		s.keys = append(s.keys, k)
		found++
		return err
	}, text, vals...)
	if err != nil {
		s.keys = nil // what came may not be all
		return err
	}
	s.all = found < n
	return nil
}
