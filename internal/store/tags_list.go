package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A TagPlace is where in a list of tags a page begins: behind that span.
type TagPlace struct{ Start, ID int64 }

// A TagListQuery asks for a page of a repository's tags, newest first, behind
// a place.
type TagListQuery struct {
	Repo  gantry.RepoID
	Live  bool     // those that live now, without history
	Name  string   // of this tag; "" = of any
	Like  string   // whose name holds this, in letters of either case; "" = any
	After TagPlace // zero = at the beginning
	N     int      // at most so many; not 0

	Image bool // pages have Platforms and Signed
	// Architecture is that of one of the platforms, such as "arm64"; "" = any.
	// Signed is "true" for what has a signature, "false" for what has none; ""
	// = either. Both need Image.
	Architecture, Signed string
}

// A ListedTag is a span with what its image is.
type ListedTag struct {
	TagSpan
	Platforms []string // os/architecture[/variant]; empty: not known, or it is no image
	Signed    bool     // a signature of cosign or notation is there; whose, was not looked at
}

// What one page looks at, at most, to find what its filters let through.
const (
	tagNames  = 20_000 // names, on the index alone
	tagImages = 1000   // images
)

// TagList returns a page, and the place of the next one; zero: there is none.
// With filters a page may be short, or empty, before the end: it looks at so
// many names and images as it may, and the next one goes on there. At most
// four statements.
//
// Tags that come while pages are turned are newer than all places: a walk sees
// what was there when it began, without what ended since.
func (db *DB) TagList(ctx context.Context, q TagListQuery) (page []ListedTag, next TagPlace, err error) {
	err = db.read(ctx, "list of tags", func(ctx context.Context, t *tx) error {
		rows, rest, err := t.tagRows(ctx, &q)
		if err != nil {
			return err
		}
		next = rest
		if q.Architecture != "" {
			rows = slices.DeleteFunc(rows, func(g ListedTag) bool { return !g.runsOn(q.Architecture) })
		}
		if q.Signed == "" && len(rows) > q.N { // only what is shown is looked at
			rows, next = cutTags(rows, q.N)
		}
		if q.Image {
			if err := t.findSignatures(ctx, q.Repo, rows); err != nil {
				return err
			}
		}
		if q.Signed != "" {
			rows = slices.DeleteFunc(rows, func(g ListedTag) bool { return g.Signed != (q.Signed == "true") })
			if len(rows) > q.N {
				rows, next = cutTags(rows, q.N)
			}
		}
		page = rows
		return nil
	})
	return page, next, err
}

func cutTags(rows []ListedTag, n int) ([]ListedTag, TagPlace) { return rows[:n], rows[n-1].place() }

func (g *TagSpan) place() TagPlace { return TagPlace{g.Start.UnixMilli(), int64(g.ID)} }

// runsOn reports whether one of the platforms has the architecture.
func (g *ListedTag) runsOn(architecture string) bool {
	return slices.ContainsFunc(g.Platforms, func(p string) bool {
		_, rest, _ := strings.Cut(p, "/")
		name, _, _ := strings.Cut(rest, "/")
		return name == architecture
	})
}

// tagRows reads the next spans that the filters of names let through, and
// where the list goes on behind them.
func (t *tx) tagRows(ctx context.Context, q *TagListQuery) (rows []ListedTag, next TagPlace, err error) {
	const order = ` ORDER BY start_ms DESC, id DESC`
	old := TagQuery{Repo: q.Repo, Live: q.Live, Name: q.Name}
	where, args := old.where(t.now)
	if q.After != (TagPlace{}) {
		where += " AND start_ms <= ? AND (start_ms < ? OR id < ?)"
		args = append(args, q.After.Start, q.After.Start, q.After.ID)
	}
	most := q.N + 1
	if q.Architecture != "" || q.Signed != "" {
		most = max(tagImages, most)
	}
	const columns = `g.id, g.name, g.manifest_id, g.start_ms, g.end_ms, g.live, g.ended_by, g.reversion, g.immutable`
	from, vals := `SELECT `+columns+` FROM tags g WHERE `+where+order+` LIMIT ?`, append(slices.Clone(args), most)
	if q.Like != "" {
		from = `SELECT ` + columns + ` FROM (SELECT id FROM (SELECT id, start_ms, name FROM tags WHERE ` + where + order + ` LIMIT ` + limit(tagNames) + `) w
			WHERE LOWER(name) LIKE ? ESCAPE '!'` + order + ` LIMIT ?) s CROSS JOIN tags g WHERE g.id = s.id`
		vals = append(slices.Clone(args), likeTag(q.Like), most)
	}
	platforms := `''`
	if q.Image { // at most MaxLabels others have that key
		platforms = `COALESCE((SELECT MAX(l.value) FROM manifest_labels l WHERE l.manifest_id = m.id AND l.label = '` + labelPlatforms + `' AND l.source = '` + labelOwn + `'), '')`
	}
	// The joins stand in an order that SQLite keeps.
	err = t.each(ctx, func(r *sql.Rows) error {
		var names string
		s, err := t.scanSpan(r, &names)
		g := ListedTag{TagSpan: s}
		if names != "" {
			g.Platforms = strings.Split(names, ",")
		}
		rows = append(rows, g)
		return err
	}, `SELECT g.id, g.name, g.manifest_id, m.digest, m.media_type, m.layers_size, g.start_ms, g.end_ms, g.live, g.ended_by, g.reversion, g.immutable, `+platforms+`
		FROM (`+from+`) g CROSS JOIN manifests m WHERE m.id = g.manifest_id`, vals...)
	slices.SortFunc(rows, func(a, b ListedTag) int { return newestFirst(a.TagSpan, b.TagSpan) })
	switch {
	case err != nil:
	case len(rows) >= most: // a filter may let none of them through
		next = rows[len(rows)-1].place()
	case q.Like != "":
		err = t.queryRow(ctx, `SELECT start_ms, id FROM tags WHERE `+where+order+` LIMIT 1 OFFSET `+limit(tagNames-1), args...).Scan(&next.Start, &next.ID)
		if errors.Is(err, sql.ErrNoRows) { // all names were looked at
			err = nil
		}
	}
	return rows, next, err
}

// findSignatures finds out which images are signed: by a referrer, or by the
// tag that cosign makes beside them.
func (t *tx) findSignatures(ctx context.Context, repo gantry.RepoID, rows []ListedTag) error {
	if len(rows) == 0 {
		return nil
	}
	signed := map[gantry.Digest]bool{}
	digests, tags := make([][]byte, 0, len(rows)), make([]string, 0, len(rows))
	named := make(map[string]gantry.Digest, len(rows))
	for _, g := range rows {
		if _, ok := signed[g.Digest]; ok {
			continue
		}
		signed[g.Digest] = false
		tag := g.Digest.SignatureTag()
		named[tag] = g.Digest
		digests, tags = append(digests, g.Digest.Bytes()), append(tags, tag)
	}
	of, args := list(digests, []any{repo})
	types, args := list(gantry.SignatureTypes(), args)
	if err := t.each(ctx, func(r *sql.Rows) error {
		var d []byte
		err := r.Scan(&d)
		signed[gantry.DigestFromBytes(d)] = true
		return err
	}, `SELECT DISTINCT subject FROM manifests WHERE repo_id = ? AND subject IN `+of+` AND artifact_type IN `+types+` AND hidden_ms = 0`, args...); err != nil {
		return err
	}
	in, args := list(tags, []any{repo, t.now.UnixMilli()})
	if err := t.each(ctx, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		signed[named[name]] = true
		return err
	}, `SELECT name FROM tags WHERE repo_id = ? AND live = 1 AND (end_ms IS NULL OR end_ms > ?) AND name IN `+in, args...); err != nil {
		return err
	}
	for i := range rows {
		rows[i].Signed = signed[rows[i].Digest]
	}
	return nil
}
