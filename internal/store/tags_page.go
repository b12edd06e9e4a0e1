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
// stepEvery index entries beside the page. Every stepAge, and when much was
// pushed meanwhile, a deep page costs a statement more, which reads the index
// of the list once. With Like, the cost is that of looking at all names.
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
		slices.SortFunc(page, func(a, b TagSpan) int { return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(b.ID, a.ID)) })
		if more = len(page) > q.N; more {
			page = page[:q.N]
		}
		return err
	})
	return page, more, err
}

func (t *tx) scanSpan(rows *sql.Rows) (s TagSpan, err error) {
	var (
		digest         []byte
		start          int64
		end, live      sql.NullInt64
		reversion, imm int
	)
	err = rows.Scan(&s.ID, &s.Name, &s.Manifest, &digest, &s.MediaType, &s.LayersSize, &start, &end, &live, &s.EndedBy, &reversion, &imm)
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
		args = append(args, "%"+likeText.Replace(strings.ToLower(q.Like))+"%")
	}
	return where, args
}

// likeText escapes what LIKE would take for more than a letter.
var likeText = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

const (
	stepEvery = 256              // spans between two places that are remembered
	stepFrom  = 1024             // pages that end before are counted off
	stepAge   = 10 * time.Minute // how long places are remembered
	stepSlack = 10 * time.Second // spans of that age are all there, by any instance's clock
	stepNewer = 4096             // so many newer spans are counted, not more
	stepLists = 64               // whose places are remembered at once
)

// steps are places in a list of spans, newest first: after keys[i] follows the
// span number (i+1) * stepEvery of those that began before cut. The spans that
// began later are counted each time. Spans that went since are not: a page may
// begin higher up for that, never too low.
type steps struct {
	mu   sync.Mutex
	at   time.Time
	cut  int64 // ms; 0 = nothing is known yet
	keys []stepKey
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
	if s.cut != 0 && t.now.Sub(s.at).Abs() < stepAge {
		if newer, err = t.newer(ctx, q, s.cut); err != nil {
			return from, 0, err
		}
	}
	if newer > stepNewer {
		if err := t.findSteps(ctx, q, s); err != nil {
			return from, 0, err
		}
		if newer, err = t.newer(ctx, q, s.cut); err != nil {
			return from, 0, err
		}
	}
	rest := q.Offset - newer
	if newer > stepNewer || rest < 0 {
		return from, q.Offset, nil
	}
	n := min(rest/stepEvery, int64(len(s.keys)))
	if n == 0 {
		return stepKey{s.cut, 0}, rest, nil
	}
	return s.keys[n-1], rest - n*stepEvery, nil
}

// newer counts the spans of a list that began at the time or later, to just
// above stepNewer.
func (t *tx) newer(ctx context.Context, q *TagQuery, cut int64) (n int64, err error) {
	where, args := q.where(t.now)
	err = t.queryRow(ctx, `SELECT COUNT(*) FROM (SELECT id FROM tags WHERE `+where+` AND start_ms >= ? ORDER BY start_ms DESC LIMIT `+limit(stepNewer+1)+`) s`,
		append(args, cut)...).Scan(&n)
	return n, err
}

// findSteps reads the whole list, but on its index alone.
func (t *tx) findSteps(ctx context.Context, q *TagQuery, s *steps) error {
	cut := t.now.Add(-stepSlack).UnixMilli()
	var keys []stepKey
	where, args := q.where(t.now)
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var k stepKey
		err := rows.Scan(&k.start, &k.id)
		keys = append(keys, k)
		return err
	}, `SELECT start_ms, id FROM (SELECT start_ms, id, ROW_NUMBER() OVER (ORDER BY start_ms DESC, id DESC) AS pos FROM tags
		WHERE `+where+` AND start_ms < ?) s WHERE pos % `+limit(stepEvery)+` = 0 ORDER BY pos`, append(args, cut)...); err != nil {
		return err
	}
	s.at, s.cut, s.keys = t.now, cut, keys
	return nil
}
