package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

var errNoManifest = &gantry.Error{Code: gantry.NotFound, Object: "manifest", Detail: "manifest unknown"}

// never is the end of a tag that does not expire, in ms.
const never = math.MaxInt64

// A manifest can be read by its digest while a live tag points at it, while an
// index that can be read names it, or, unless it was deleted (hidden_ms), while
// its subject can be read, it has a lease, or a tag left it for another
// manifest so lately that the tag could be restored.

// ManifestByTag finds what a live tag points at. until is when the tag
// expires; zero = never. NotFound on "manifest", with TagExpired if a tag of
// that name was there once. One statement, or two when it is not found.
func (db *DB) ManifestByTag(ctx context.Context, repo gantry.RepoID, name string) (m Manifest, until time.Time, err error) {
	err = db.read(ctx, "manifest by tag", func(ctx context.Context, t *tx) error {
		var digest []byte
		var end sql.NullInt64
		err := t.queryRow(ctx, `SELECT m.id, m.digest, m.media_type, m.artifact_type, b.body, g.end_ms
			FROM tags g JOIN manifests m ON m.id = g.manifest_id JOIN manifest_bodies b ON b.manifest_id = m.id
			WHERE g.repo_id = ? AND g.live = 1 AND g.name = ? AND (g.end_ms IS NULL OR g.end_ms > ?)`,
			repo, name, t.now.UnixMilli()).Scan(&m.ID, &digest, &m.MediaType, &m.ArtifactType, &m.Body, &end)
		if errors.Is(err, sql.ErrNoRows) {
			return t.noTag(ctx, repo, name)
		}
		m.Digest, until = gantry.DigestFromBytes(digest), gantry.FromMillis(end.Int64)
		return err
	})
	return m, until, err
}

// noTag is why the repository has no live tag of that name.
func (t *tx) noTag(ctx context.Context, repo gantry.RepoID, name string) error {
	var id int64
	err := t.queryRow(ctx, `SELECT id FROM tags WHERE repo_id = ? AND name = ? LIMIT 1`, repo, name).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return gantry.Errorf(gantry.NotFound, "manifest", "there is no tag %s in this repository", name)
	case err != nil:
		return err
	}
	return &gantry.Error{Code: gantry.NotFound, Object: "manifest", Reason: gantry.TagExpired,
		Detail: fmt.Sprintf("tag %s was deleted or has expired; to pull it, restore it in the time machine", name)}
}

// ManifestByDigest finds a manifest that can be read. The answer may change
// by the passing of time at until; zero = it does not; where m is Indirect,
// something further away shows it, and until is only when to look again. retention is how long a
// tag of this repository can be restored. NotFound on "manifest". One
// statement if a tag, or a tag of an index that names it, shows it.
func (db *DB) ManifestByDigest(ctx context.Context, repo gantry.RepoID, d gantry.Digest, retention time.Duration) (m Manifest, until time.Time, err error) {
	err = db.read(ctx, "manifest by digest", func(ctx context.Context, t *tx) error {
		var (
			lease, hidden           int64
			tag, parent, moved, end sql.NullInt64
		)
		now := t.now.UnixMilli()
		m = Manifest{Digest: d}
		if err := t.queryRow(ctx, `SELECT m.id, m.media_type, m.artifact_type, b.body, m.lease_until_ms, m.hidden_ms,
			COALESCE((SELECT `+foreverMS+` FROM tags g WHERE g.manifest_id = m.id AND g.live = 1 AND g.end_ms IS NULL LIMIT 1),
				(SELECT g.end_ms FROM tags g WHERE g.manifest_id = m.id AND g.live = 1 AND g.end_ms IS NOT NULL ORDER BY g.end_ms DESC LIMIT 1)),
			(SELECT COALESCE(g.end_ms, `+foreverMS+`) FROM manifest_children c JOIN tags g ON g.manifest_id = c.parent_id AND g.live = 1
				WHERE c.child_id = m.id AND (g.end_ms IS NULL OR g.end_ms > ?) LIMIT 1),
			(SELECT g.end_ms FROM tags g WHERE g.manifest_id = m.id AND g.live IS NULL AND g.end_ms > ? AND g.ended_by = '`+endedByMove+`' LIMIT 1)
			FROM manifests m JOIN manifest_bodies b ON b.manifest_id = m.id WHERE m.repo_id = ? AND m.digest = ?`,
			now, now-retention.Milliseconds(), repo, d.Bytes()).
			Scan(&m.ID, &m.MediaType, &m.ArtifactType, &m.Body, &lease, &hidden, &tag, &parent, &moved); err != nil {
			return notFound(err, errNoManifest)
		}
		if hidden == 0 {
			end.Int64 = lease
			if moved.Valid {
				end.Int64 = max(end.Int64, moved.Int64+retention.Milliseconds())
			}
		}
		switch end.Int64 = max(end.Int64, tag.Int64, parent.Int64); {
		case end.Int64 == never:
			until = time.Time{}
		case end.Int64 > now:
			until = gantry.FromMillis(end.Int64)
		default:
			ok, err := t.visible(ctx, []gantry.ManifestID{m.ID}, retention)
			if err != nil {
				return err
			}
			if !ok[m.ID] {
				return errNoManifest
			}
			until, m.Indirect = t.now.Add(time.Second), true
		}
		return nil
	})
	return m, until, err
}

var foreverMS = strconv.FormatInt(never, 10)

// maxVisible bounds the manifests that one question about visibility looks
// at. What is beyond counts as visible: nothing is lost or refused wrongly by
// that, and no push makes such a thing by accident.
const maxVisible = 20000

// visible finds out which of the manifests, all of one repository, can be
// read. Two statements for each level of nesting.
func (t *tx) visible(ctx context.Context, ids []gantry.ManifestID, retention time.Duration) (map[gantry.ManifestID]bool, error) {
	shown := make(map[gantry.ManifestID]bool, len(ids))
	up := map[gantry.ManifestID][]gantry.ManifestID{} // what would show it
	seen := make(map[gantry.ManifestID]bool, len(ids))
	level := ids
	for len(level) > 0 {
		var next, open []gantry.ManifestID
		add := func(id, by gantry.ManifestID) {
			up[id] = append(up[id], by)
			if !seen[by] {
				seen[by] = true
				next = append(next, by)
			}
		}
		for _, id := range level {
			seen[id] = true
		}
		if len(seen) > maxVisible {
			for _, id := range level {
				shown[id] = true
			}
			break
		}
		for chunk := range slices.Chunk(level, 500) {
			in, args := list(chunk, []any{t.now.UnixMilli(), t.now.Add(-retention).UnixMilli()})
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var (
					id            gantry.ManifestID
					hidden, lease int64
					tag, moved    int
					subject       sql.Null[gantry.ManifestID]
				)
				if err := rows.Scan(&id, &hidden, &lease, &tag, &moved, &subject); err != nil {
					return err
				}
				if tag != 0 || hidden == 0 && (moved != 0 || lease > t.now.UnixMilli()) {
					shown[id] = true
					return nil
				}
				open = append(open, id)
				if hidden == 0 && subject.Valid {
					add(id, subject.V)
				}
				return nil
			}, `SELECT m.id, m.hidden_ms, m.lease_until_ms,
				CASE WHEN EXISTS (SELECT 1 FROM tags g WHERE g.manifest_id = m.id AND g.live = 1 AND (g.end_ms IS NULL OR g.end_ms > ?)) THEN 1 ELSE 0 END,
				CASE WHEN EXISTS (SELECT 1 FROM tags g WHERE g.manifest_id = m.id AND g.live IS NULL AND g.end_ms > ? AND g.ended_by = '`+endedByMove+`') THEN 1 ELSE 0 END,
				(SELECT s.id FROM manifests s WHERE s.repo_id = m.repo_id AND s.digest = m.subject)
				FROM manifests m WHERE m.id IN `+in, args...); err != nil {
				return nil, err
			}
		}
		for chunk := range slices.Chunk(open, 500) {
			in, args := list(chunk, nil)
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var child, parent gantry.ManifestID
				err := rows.Scan(&child, &parent)
				if err == nil {
					add(child, parent)
				}
				return err
			}, `SELECT child_id, parent_id FROM manifest_children WHERE child_id IN `+in+` LIMIT `+limit(maxVisible+1), args...); err != nil {
				return nil, err
			}
		}
		level = next
	}
	down := map[gantry.ManifestID][]gantry.ManifestID{}
	for id, by := range up {
		for _, b := range by {
			down[b] = append(down[b], id)
		}
	}
	todo := make([]gantry.ManifestID, 0, len(shown))
	for id := range shown {
		todo = append(todo, id)
	}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, d := range down[id] {
			if !shown[d] {
				shown[d] = true
				todo = append(todo, d)
			}
		}
	}
	return shown, nil
}

// A ReferrersQuery asks for a page of the manifests whose subject is Subject,
// in the order in which they were pushed.
type ReferrersQuery struct {
	Repo         gantry.RepoID
	Subject      gantry.Digest
	ArtifactType string            // "" = any
	After        gantry.ManifestID // the last of the page before; 0 = from the first
	N            int               // at most so many; not 0
	Bytes        int64             // bodies of at most so many bytes, but one at least; not 0
	Retention    time.Duration     // how long a tag of the repository can be restored
}

// Referrers returns the manifests that can be read and whose subject is the
// one asked for, whether that is here or not. after is where the next page
// begins, 0 if there is none. No more than a page is in memory. One statement
// where nobody refers to the subject, four or five for a page of up to 500.
func (db *DB) Referrers(ctx context.Context, q ReferrersQuery) (page []Manifest, after gantry.ManifestID, err error) {
	err = db.read(ctx, "referrers", func(ctx context.Context, t *tx) error {
		page, after = nil, 0
		ids, next, err := t.referrers(ctx, &q)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(ids, 500) {
			in, args := list(chunk, nil)
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var m Manifest
				var digest []byte
				err := rows.Scan(&m.ID, &digest, &m.MediaType, &m.ArtifactType, &m.Body)
				m.Digest = gantry.DigestFromBytes(digest)
				page = append(page, m)
				return err
			}, `SELECT m.id, m.digest, m.media_type, m.artifact_type, b.body FROM manifests m
				JOIN manifest_bodies b ON b.manifest_id = m.id WHERE m.id IN `+in+` ORDER BY m.id`, args...); err != nil {
				return err
			}
		}
		after = next
		return nil
	})
	return page, after, err
}

// referrers finds the ids of a page, looking at as many as it takes.
func (t *tx) referrers(ctx context.Context, q *ReferrersQuery) (ids []gantry.ManifestID, after gantry.ManifestID, err error) {
	const batch = 1000
	where, args := "", []any{q.Repo, q.Subject.Bytes()}
	if q.ArtifactType != "" {
		where, args = " AND m.artifact_type = ?", append(args, q.ArtifactType)
	}
	var bytes int64
	for at := q.After; ; {
		var found []gantry.ManifestID
		size := map[gantry.ManifestID]int64{}
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id gantry.ManifestID
			var n int64
			err := rows.Scan(&id, &n)
			found, size[id] = append(found, id), n
			return err
		}, `SELECT m.id, m.size FROM manifests m WHERE m.repo_id = ? AND m.subject = ?`+where+` AND m.id > ? ORDER BY m.id LIMIT `+limit(batch),
			append(args[:len(args):len(args)], at)...); err != nil {
			return nil, 0, err
		}
		if len(found) == 0 {
			return ids, 0, nil
		}
		shown, err := t.visible(ctx, found, q.Retention)
		if err != nil {
			return nil, 0, err
		}
		for _, id := range found {
			if !shown[id] {
				continue
			}
			if len(ids) > 0 && (len(ids) == q.N || bytes+size[id] > q.Bytes) {
				return ids, ids[len(ids)-1], nil
			}
			bytes += size[id]
			ids = append(ids, id)
		}
		if len(found) < batch {
			return ids, 0, nil
		}
		at = found[len(found)-1]
	}
}

// HasManifests reports whether there is any manifest.
func (db *DB) HasManifests(ctx context.Context) (there bool, err error) {
	err = db.read(ctx, "look for manifests", func(ctx context.Context, t *tx) error {
		there, err = t.exists(ctx, `SELECT 1 FROM manifests LIMIT 1`)
		return err
	})
	return there, err
}
