package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A read-only repository is frozen: none of its tags ends by the passing of
// time, and collection takes nothing from it. The ends of its tags wait in
// frozen_tags; while they do, end_ms is NULL, so that nobody who reads tags
// need know. When the repository takes changes again, each tag gets its end
// back, and one whose time is over ends then.

// frozenStep is about how many tags one transaction freezes or thaws.
const frozenStep = 1000

// frozenAgain is when collection looks again at what a frozen repository
// keeps.
const frozenAgain = 24 * time.Hour

// frozenRetention is how long an ended tag of a frozen repository can be read
// by its digest, as it could when the repository was frozen.
const frozenRetention = 100 * 365 * 24 * time.Hour

// Restorable is how long an ended tag of the repository can be read by its
// digest, and restored; otherwise is for namespaces that made no choice.
func (r *Repository) Restorable(otherwise time.Duration) time.Duration {
	switch {
	case r.State == gantry.ReadOnlyState:
		return frozenRetention
	case r.Retention < 0:
		return otherwise
	}
	return r.Retention
}

// A frozenTag is a tag and its end, in ms.
type frozenTag struct{ id, end int64 }

// freezeTags takes the ends of tags away and keeps them.
func (t *tx) freezeTags(ctx context.Context, repo gantry.RepoID, tags []frozenTag) error {
	for chunk := range slices.Chunk(tags, 500) {
		args := make([]any, 0, 3*len(chunk))
		ids := make([]int64, 0, len(chunk))
		for _, f := range chunk {
			args = append(args, f.id, repo, f.end)
			ids = append(ids, f.id)
		}
		if _, err := t.exec(ctx, `INSERT INTO frozen_tags (tag_id, repo_id, end_ms) VALUES `+tuples(len(chunk), 3)+
			t.d.upsert("tag_id", "end_ms = "+t.d.fresh("end_ms")), args...); err != nil {
			return err
		}
		in, args := list(ids, nil)
		if _, err := t.exec(ctx, `UPDATE tags SET end_ms = NULL WHERE id IN `+in+` AND live = 1`, args...); err != nil {
			return err
		}
	}
	return nil
}

// freezeRepository begins to freeze a repository that is locked, or to thaw it.
func (t *tx) freezeRepository(ctx context.Context, repo gantry.RepoID, state gantry.RepoState) (err error) {
	if state == gantry.ReadOnlyState {
		_, err = t.exec(ctx, `INSERT INTO frozen_repositories (repo_id, since_ms) VALUES (?, ?)`+t.d.ignore("repo_id"), repo, t.now.UnixMilli())
	} else {
		_, err = t.exec(ctx, `DELETE FROM frozen_repositories WHERE repo_id = ?`, repo)
	}
	if err != nil {
		return err
	}
	return t.freeze(ctx, repo, state, 0)
}

// freeze freezes or thaws up to frozenStep tags of a repository that is
// locked, and queues a review if there may be more. Tags that began before
// from, in ms, are frozen already.
func (t *tx) freeze(ctx context.Context, repo gantry.RepoID, state gantry.RepoState, from int64) error {
	var tags []frozenTag
	scan := func(rows *sql.Rows) error {
		var f frozenTag
		err := rows.Scan(&f.id, &f.end, &from)
		tags = append(tags, f)
		return err
	}
	var err error
	if state == gantry.ReadOnlyState {
		err = t.each(ctx, scan, `SELECT id, end_ms, start_ms FROM tags WHERE repo_id = ? AND live = 1 AND end_ms > ? AND start_ms >= ?
			ORDER BY start_ms, id LIMIT `+big(frozenStep), repo, t.now.UnixMilli(), from)
		if err == nil {
			err = t.freezeTags(ctx, repo, tags)
		}
	} else {
		err = t.each(ctx, scan, `SELECT tag_id, end_ms, 0 FROM frozen_tags WHERE repo_id = ? ORDER BY tag_id LIMIT `+big(frozenStep), repo)
		if err == nil {
			err = t.thawTags(ctx, tags)
		}
	}
	if err != nil || len(tags) < frozenStep {
		return err
	}
	return t.review(ctx, reviewFrozen, int64(repo), from, t.now)
}

// thawTags gives tags their ends back.
func (t *tx) thawTags(ctx context.Context, tags []frozenTag) error {
	for chunk := range slices.Chunk(tags, 500) {
		ids := make([]int64, 0, len(chunk))
		for _, f := range chunk {
			ids = append(ids, f.id)
		}
		in, args := list(ids, nil)
		if _, err := t.exec(ctx, `UPDATE tags SET end_ms = (SELECT f.end_ms FROM frozen_tags f WHERE f.tag_id = tags.id)
			WHERE id IN `+in+` AND live = 1 AND end_ms IS NULL`, args...); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM frozen_tags WHERE tag_id IN `+in, args...); err != nil {
			return err
		}
	}
	return nil
}

// refreeze goes on with freeze where it stopped.
func (t *tx) refreeze(ctx context.Context, r Review) error {
	var state gantry.RepoState
	err := t.queryRow(ctx, `SELECT state FROM repositories WHERE id = ? AND deleted_ms = 0`+t.d.excl, r.Ref).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return t.settle(ctx, []Review{r})
	} else if err != nil {
		return err
	}
	if err := t.settle(ctx, []Review{r}); err != nil {
		return err
	}
	t.grow(gantry.RepoID(r.Ref))
	return t.freeze(ctx, gantry.RepoID(r.Ref), state, r.Ref2)
}
