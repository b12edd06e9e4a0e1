package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// maxDeleteEvents is how many tags that end at once have an entry of their own
// in the journal; those beyond share one.
const maxDeleteEvents = 1000

// DeleteManifest ends all tags of a manifest and takes away what else shows
// it: nobody can read it by its digest any more, unless an index that can be
// read names it. NotFound on "manifest" when it cannot be read; Conflict on
// "manifest" when only such an index shows it; Conflict on "tag" with
// TagImmutable; ReadOnly on "repository" when its state takes no changes.
func (db *DB) DeleteManifest(ctx context.Context, repo gantry.RepoID, d gantry.Digest, retention time.Duration, actor gantry.Actor) error {
	return db.update(ctx, "delete manifest", func(ctx context.Context, t *tx) error {
		r, own, _, err := t.pushTarget(ctx, repo, d, nil)
		if err != nil {
			return err
		}
		if err := checkPushState(r.state, actor); err != nil {
			return err
		}
		if own.id == 0 {
			return errNoManifest
		}
		if !t.d.serial { // no tag is pointed at it until this commits
			if err := t.queryRow(ctx, `SELECT id FROM manifests WHERE id = ?`+t.d.excl, own.id).Scan(&own.id); errors.Is(err, sql.ErrNoRows) {
				return errRaced
			} else if err != nil {
				return err
			}
		}
		keep := pick(r.retention, retention)
		shown, err := t.visible(ctx, []gantry.ManifestID{own.id}, keep)
		if err != nil {
			return err
		}
		if !shown[own.id] {
			return errNoManifest
		}
		names, ended, err := t.endTags(ctx, own.id)
		if err != nil {
			return err
		}
		now := t.now.UnixMilli()
		if _, err := t.exec(ctx, `UPDATE tags SET ended_by = '`+endedByDelete+`' WHERE manifest_id = ? AND live IS NULL AND ended_by = '`+endedByMove+`'`,
			own.id); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE manifests SET lease_until_ms = 0, hidden_ms = ? WHERE id = ?`, now, own.id); err != nil {
			return err
		}
		if len(names) == 0 {
			if shown, err = t.visible(ctx, []gantry.ManifestID{own.id}, keep); err != nil {
				return err
			}
			if shown[own.id] {
				return &gantry.Error{Code: gantry.Conflict, Object: "manifest",
					Detail: "an index of the repository names this manifest; delete that first"}
			}
		}
		due := t.now
		if len(names) > 0 {
			due = gantry.FromMillis(ended).Add(keep)
		}
		if err := t.review(ctx, reviewManifest, int64(own.id), 0, due); err != nil {
			return err
		}
		t.touch(repo)
		for _, name := range names {
			t.retag(repo, name)
		}
		if len(names) == 0 || len(names) > maxDeleteEvents {
			names = append(names[:min(len(names), maxDeleteEvents)], "") // the digest says the rest
		}
		for _, name := range names {
			if err := t.event(ctx, Event{Kind: "delete_tag", Namespace: r.ns, Repo: repo, Actor: actor,
				Payload: tagPayload{r.name.Name, r.name.Namespace, name, d}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// endTags ends all live tags of a manifest that is locked. It returns their
// names, but for those whose time was over already, and the latest end.
func (t *tx) endTags(ctx context.Context, m gantry.ManifestID) (names []string, ended int64, err error) {
	now := t.now.UnixMilli()
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var s spanRow
		var immutable int
		if err := rows.Scan(&s.name, &s.start, &s.end, &immutable); err != nil {
			return err
		}
		if s.end.Valid && s.end.Int64 <= now {
			return nil
		}
		if immutable != 0 {
			return errImmutable(s.name, "deleted, nor can its manifest")
		}
		names = append(names, s.name)
		ended = max(ended, now, s.start+1)
		return nil
	}, `SELECT name, start_ms, end_ms, immutable FROM tags WHERE manifest_id = ? AND live = 1 ORDER BY name`, m); err != nil {
		return nil, 0, err
	}
	if len(names) == 0 {
		return nil, 0, nil
	}
	n, err := t.exec(ctx, `UPDATE tags SET live = NULL, ended_by = '`+endedByDelete+`', end_ms = CASE WHEN start_ms >= ? THEN start_ms + 1 ELSE ? END
		WHERE manifest_id = ? AND live = 1 AND immutable = 0 AND (end_ms IS NULL OR end_ms > ?)`, now, now, m, now)
	if err == nil && n != int64(len(names)) {
		err = errRaced // one became immutable, or went
	}
	return names, ended, err
}

// DeleteBlob takes a blob out of a repository: nobody can read it there any
// more. A manifest that is deleted but can be restored brings it back with
// it. NotFound on "blob"; Conflict on "blob" with BlobReferenced while a
// manifest that can be read needs it; ReadOnly on "repository" when its state
// takes no changes.
func (db *DB) DeleteBlob(ctx context.Context, repo gantry.RepoID, d gantry.Digest, retention time.Duration, actor gantry.Actor) error {
	return db.update(ctx, "delete blob", func(ctx context.Context, t *tx) error {
		r, _, _, err := t.pushTarget(ctx, repo, "", nil)
		if err != nil {
			return err
		}
		if err := checkPushState(r.state, actor); err != nil {
			return err
		}
		var blob gantry.BlobID
		if err := t.queryRow(ctx, `SELECT b.id FROM blobs b JOIN repo_blobs rb ON rb.blob_id = b.id AND rb.repo_id = ?
			WHERE b.digest = ? AND rb.hidden_ms = 0`, repo, d.Bytes()).Scan(&blob); err != nil {
			return notFound(err, errNoBlob)
		}
		needed := &gantry.Error{Code: gantry.Conflict, Object: "blob", Reason: gantry.BlobReferenced,
			Detail: "a manifest of the repository needs this blob; delete the manifest first"}
		// Most refusals need no more than this.
		var m gantry.ManifestID
		err = t.queryRow(ctx, `SELECT mb.manifest_id FROM manifest_blobs mb JOIN tags g ON g.manifest_id = mb.manifest_id AND g.live = 1
			WHERE mb.repo_id = ? AND mb.blob_id = ? AND (g.end_ms IS NULL OR g.end_ms > ?) LIMIT 1`, repo, blob, t.now.UnixMilli()).Scan(&m)
		switch {
		case err == nil:
			return needed
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		users, err := t.blobUsers(ctx, repo, blob)
		if err != nil {
			return err
		}
		if len(users) > maxVisible {
			return needed
		}
		if !t.d.serial {
			for chunk := range slices.Chunk(users, 500) {
				in, args := list(chunk, nil)
				if err := t.each(ctx, func(*sql.Rows) error { return nil },
					`SELECT id FROM manifests WHERE id IN `+in+` ORDER BY id`+t.d.excl, args...); err != nil {
					return err
				}
			}
			if err := t.queryRow(ctx, `SELECT blob_id FROM repo_blobs WHERE repo_id = ? AND blob_id = ? AND hidden_ms = 0`+t.d.excl,
				repo, blob).Scan(&blob); errors.Is(err, sql.ErrNoRows) {
				return errNoBlob
			} else if err != nil {
				return err
			}
			// Who links the blob keeps its row for sharing: from here on
			// there is no new user.
			now, err := t.blobUsers(ctx, repo, blob)
			if err != nil {
				return err
			}
			if !slices.Equal(now, users) {
				return errRaced
			}
		}
		shown, err := t.visible(ctx, users, pick(r.retention, retention))
		if err != nil {
			return err
		}
		for _, id := range users {
			if shown[id] {
				return needed
			}
		}
		for chunk := range slices.Chunk(users, 500) {
			in, args := list(chunk, nil)
			if _, err := t.exec(ctx, `UPDATE manifests SET blobs_hidden = 1 WHERE id IN `+in, args...); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `UPDATE repo_blobs SET hidden_ms = ? WHERE repo_id = ? AND blob_id = ?`, t.now.UnixMilli(), repo, blob); err != nil {
			return err
		}
		t.touch(repo)
		return t.review(ctx, reviewRepoBlob, int64(repo), int64(blob), t.now)
	})
}

// blobUsers returns the manifests of the repository that use the blob, in the
// order of their ids; not many more than maxVisible.
func (t *tx) blobUsers(ctx context.Context, repo gantry.RepoID, blob gantry.BlobID) (ids []gantry.ManifestID, err error) {
	err = t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.ManifestID
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT manifest_id FROM manifest_blobs WHERE repo_id = ? AND blob_id = ? ORDER BY manifest_id LIMIT `+limit(maxVisible+1), repo, blob)
	return ids, err
}
