package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// How a tag's span ended.
const (
	endedByMove   = "move"   // the tag points elsewhere now
	endedByDelete = "delete" // somebody deleted it
	endedByExpiry = "expire" // its time was over
)

// tagSpan is what a new span of a tag is like.
type tagSpan struct {
	expires   time.Duration // 0 = never
	retention time.Duration // of the span that ends
	reversion bool
	immutable bool
}

// moveTag ends the live span old of the tag, if there is one, and begins one
// on m, which it returns. The old span stays as history; the caller has seen
// that it is not immutable.
func (t *tx) moveTag(ctx context.Context, repo gantry.RepoID, name string, m gantry.ManifestID, old *spanRow, s tagSpan) (spanRow, error) {
	start := t.now.UnixMilli()
	if old != nil {
		t.retag(repo, name)
		if s.retention <= 0 && old.manifest != m {
			t.touch(repo) // what it pointed at cannot be read any more
		}
		start = max(start, old.start+1)
		n, err := t.exec(ctx, `UPDATE tags SET live = NULL, ended_by = CASE WHEN end_ms < ? THEN '`+endedByExpiry+`' ELSE '`+endedByMove+`' END,
			end_ms = CASE WHEN end_ms < ? THEN end_ms ELSE ? END WHERE id = ? AND live = 1 AND (immutable = 0 OR end_ms <= ?)`,
			start, start, start, old.id, t.now.UnixMilli())
		if err != nil {
			return spanRow{}, err
		}
		if n == 0 {
			return spanRow{}, errRaced
		}
		if old.manifest != m {
			if err := t.review(ctx, reviewManifest, int64(old.manifest), 0, gantry.FromMillis(start).Add(s.retention)); err != nil {
				return spanRow{}, err
			}
		}
	}
	var end sql.NullInt64
	if s.expires > 0 {
		end = sql.NullInt64{Int64: start + s.expires.Milliseconds(), Valid: true}
	}
	id, err := t.insertIgnore(ctx, `INSERT INTO tags (repo_id, name, manifest_id, start_ms, end_ms, live, ended_by, reversion, immutable)
		VALUES (?, ?, ?, ?, ?, 1, '', ?, ?)`, repo, name, m, start, end, flag(s.reversion), flag(s.immutable))
	if err == nil && id == 0 {
		err = errRaced // another writer made the first span meanwhile
	}
	return spanRow{id: id, name: name, manifest: m, start: start, end: end, immutable: s.immutable}, err
}

// Tags returns the names of up to n live tags that are greater than last, in
// byte order. One statement at any depth.
func (db *DB) Tags(ctx context.Context, repo gantry.RepoID, last string, n int) (names []string, err error) {
	err = db.read(ctx, "list tags", func(ctx context.Context, t *tx) error {
		names = make([]string, 0, min(n, 1000))
		return t.each(ctx, func(rows *sql.Rows) error {
			var s string
			err := rows.Scan(&s)
			names = append(names, s)
			return err
		}, `SELECT name FROM tags WHERE repo_id = ? AND live = 1 AND name > ? AND (end_ms IS NULL OR end_ms > ?) ORDER BY name LIMIT ?`,
			repo, last, t.now.UnixMilli(), n)
	})
	return names, err
}

type tagPayload struct {
	Repo      string        `json:"repo"`
	Namespace string        `json:"namespace"`
	Tag       string        `json:"tag"`
	Digest    gantry.Digest `json:"manifest_digest"`
}

// DeleteTag ends a tag now. NotFound on "tag"; Conflict on "tag" with
// TagImmutable; ReadOnly on "repository" when its state takes no changes.
func (db *DB) DeleteTag(ctx context.Context, repo gantry.RepoID, name string, retention time.Duration, actor gantry.Actor) error {
	return db.update(ctx, "delete tag", func(ctx context.Context, t *tx) error {
		r, _, spans, err := t.pushTarget(ctx, repo, "", []string{name})
		if err != nil {
			return err
		}
		if err := checkPushState(r.state, actor); err != nil {
			return err
		}
		if t.alive(spans) == nil {
			return errNoTag
		}
		return t.endTag(ctx, repo, r, spans[0], pick(r.retention, retention), actor)
	})
}

// endTag deletes a live tag: its manifest is no longer to be seen through it,
// nor through earlier spans of the same name.
func (t *tx) endTag(ctx context.Context, repo gantry.RepoID, r target, s spanRow, retention time.Duration, actor gantry.Actor) error {
	d, err := t.closeTag(ctx, repo, s, retention)
	if err != nil {
		return err
	}
	return t.event(ctx, Event{Kind: "delete_tag", Namespace: r.ns, Repo: repo, Actor: actor,
		Payload: tagPayload{r.name.Name, r.name.Namespace, s.name, d}})
}

// closeTag is endTag without its row in the journal. It returns the digest of
// the manifest.
func (t *tx) closeTag(ctx context.Context, repo gantry.RepoID, s spanRow, retention time.Duration) (gantry.Digest, error) {
	if s.immutable {
		return "", errImmutable(s.name, "deleted")
	}
	end := max(t.now.UnixMilli(), s.start+1)
	var digest []byte
	var lease int64
	err := t.queryRow(ctx, `SELECT digest, lease_until_ms FROM manifests WHERE id = ?`+t.d.excl, s.manifest).Scan(&digest, &lease)
	if errors.Is(err, sql.ErrNoRows) {
		return "", errRaced
	} else if err != nil {
		return "", err
	}
	n, err := t.exec(ctx, `UPDATE tags SET live = NULL, end_ms = ?, ended_by = '`+endedByDelete+`' WHERE id = ? AND live = 1 AND immutable = 0`, end, s.id)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", errRaced
	}
	if _, err := t.exec(ctx, `UPDATE tags SET ended_by = '`+endedByDelete+`' WHERE repo_id = ? AND name = ? AND manifest_id = ?
		AND live IS NULL AND ended_by = '`+endedByMove+`'`, repo, s.name, s.manifest); err != nil {
		return "", err
	}
	if lease != 0 {
		if _, err := t.exec(ctx, `UPDATE manifests SET lease_until_ms = 0 WHERE id = ?`, s.manifest); err != nil {
			return "", err
		}
	}
	t.touch(repo)
	t.retag(repo, s.name)
	return gantry.DigestFromBytes(digest), t.review(ctx, reviewManifest, int64(s.manifest), 0, gantry.FromMillis(end).Add(retention))
}

// errImmutable is the error of what a tag that is immutable cannot be.
func errImmutable(name, done string) error {
	return &gantry.Error{Code: gantry.Conflict, Object: "tag", Reason: gantry.TagImmutable,
		Detail: "tag \"" + name + "\" is immutable; it cannot be " + done}
}

// RestoreTag points a tag at a manifest that one of its ended spans pointed
// at, and that is still there. NotFound on "tag" when there is no such span or
// it is too old; Conflict on "tag" with TagImmutable. Of c count Repo, Name,
// Digest, Retention, Immutability and Actor.
func (db *DB) RestoreTag(ctx context.Context, c TagChange) error {
	repo, name, d, retention, actor := c.Repo, c.Name, c.Digest, c.Retention, c.Actor
	return db.update(ctx, "restore tag", func(ctx context.Context, t *tx) error {
		r, own, spans, err := t.pushTarget(ctx, repo, d, []string{name})
		if err != nil {
			return err
		}
		if err := checkPushState(r.state, actor); err != nil {
			return err
		}
		gone := &gantry.Error{Code: gantry.NotFound, Object: "tag",
			Detail: "the tag never pointed at that manifest, or too long ago to be restored"}
		if own.id == 0 {
			return gone
		}
		keep := pick(r.retention, retention)
		var past int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM tags WHERE repo_id = ? AND name = ? AND manifest_id = ?
			AND (end_ms IS NULL OR end_ms > ?)`, repo, name, own.id, t.now.Add(-keep).UnixMilli()).Scan(&past); err != nil {
			return err
		}
		if past == 0 {
			return gone
		}
		if own, err = t.keepManifest(ctx, own); err != nil {
			return err
		}
		if err := t.reviveManifest(ctx, &ManifestPut{Repo: repo, Tags: []string{name}}, own); err != nil {
			return err
		}
		var old *spanRow
		if len(spans) > 0 {
			if old = &spans[0]; old.immutable {
				return errImmutable(name, "moved")
			}
		}
		freezes, err := t.immutability(ctx, c.Immutability, r, repo)
		if err != nil {
			return err
		}
		if _, err := t.moveTag(ctx, repo, name, own.id, old, tagSpan{retention: keep, reversion: true, immutable: freezes(name)}); err != nil {
			return err
		}
		t.grow(repo)
		if err := t.event(ctx, Event{Kind: "revert_tag", Namespace: r.ns, Repo: repo, Actor: actor,
			Payload: tagPayload{r.name.Name, r.name.Namespace, name, d}}); err != nil || !freezes(name) {
			return err
		}
		return t.frozenByPolicy(ctx, r, repo, name, d, actor)
	})
}

// errNoTag answers for a tag that does not live.
var errNoTag = &gantry.Error{Code: gantry.NotFound, Object: "tag", Detail: "no such tag in the repository"}

// alive is the first of the spans unless its time is over, or nil.
func (t *tx) alive(spans []spanRow) *spanRow {
	if len(spans) == 0 || spans[0].end.Valid && spans[0].end.Int64 <= t.now.UnixMilli() {
		return nil
	}
	return &spans[0]
}
