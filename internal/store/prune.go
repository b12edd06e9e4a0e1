package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// MaxPrune is the most tags that one transaction prunes.
const MaxPrune = 100

// pruneActor is who prunes, as the journal tells.
var pruneActor = gantry.Actor{Kind: gantry.ActorSystem}

// pruned is a tag that is pruned, and its manifest.
type pruned struct {
	id, start int64
	name      string
	manifest  gantry.ManifestID
	digest    gantry.Digest
}

// Prune deletes up to MaxPrune tags of a repository that live and are not
// immutable, and with the last tag of an image cosign's signature tags of it.
// It deletes nothing where the repository takes no changes meanwhile. It
// returns how many it deleted. retention is as in Collect.
func (db *DB) Prune(ctx context.Context, repo gantry.RepoID, ids []gantry.TagID, retention time.Duration) (n int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	if len(ids) > MaxPrune {
		return 0, errors.New("prune: too many tags at once")
	}
	err = db.update(ctx, "prune tags", func(ctx context.Context, t *tx) error {
		n = 0
		var r target
		if !t.d.serial { // so that it does not become read-only meanwhile
			if err := t.each(ctx, func(*sql.Rows) error { return nil }, `SELECT id FROM repositories WHERE id = ?`+t.d.share, repo); err != nil {
				return err
			}
		}
		err := t.queryRow(ctx, `SELECT r.ns_id, a.name, r.name, r.state, a.retention_s FROM repositories r JOIN accounts a ON a.id = r.ns_id
			WHERE r.id = ? AND r.deleted_ms = 0`, repo).Scan(&r.ns, &r.name.Namespace, &r.name.Name, &r.state, &r.retention)
		if errors.Is(err, sql.ErrNoRows) || err == nil && r.state != gantry.Normal {
			return nil
		} else if err != nil {
			return err
		}
		in, args := list(ids, []any{repo})
		gone, err := t.pruneTags(ctx, repo, r, retention, `id IN `+in, args[1:])
		if err != nil || len(gone) == 0 {
			return err
		}
		n = len(gone)
		signatures, err := t.signaturesOf(ctx, gone)
		if err != nil || len(signatures) == 0 {
			return err
		}
		in, args = list(signatures, nil)
		more, err := t.pruneTags(ctx, repo, r, retention, `name IN `+in, args)
		n += len(more)
		return err
	})
	return n, err
}

// signaturesOf returns what cosign calls the tags of those images that no tag
// points at any more.
func (t *tx) signaturesOf(ctx context.Context, gone []pruned) (names []string, err error) {
	byID := make(map[gantry.ManifestID]gantry.Digest, len(gone))
	ids := make([]gantry.ManifestID, 0, len(gone))
	for _, p := range gone {
		byID[p.manifest] = p.digest
		ids = append(ids, p.manifest)
	}
	in, args := list(ids, nil)
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.ManifestID
		err := rows.Scan(&id)
		delete(byID, id)
		return err
	}, `SELECT DISTINCT manifest_id FROM tags WHERE manifest_id IN `+in+` AND live = 1`, args...); err != nil {
		return nil, err
	}
	for _, d := range byID {
		base := strings.Replace(string(d), ":", "-", 1)
		names = append(names, base+".sig", base+".att", base+".sbom")
	}
	slices.Sort(names)
	return names, nil
}

// pruneTags is closeTag for many, each with a row in the journal.
func (t *tx) pruneTags(ctx context.Context, repo gantry.RepoID, r target, retention time.Duration, where string, args []any) (gone []pruned, err error) {
	where = ` FROM tags WHERE repo_id = ? AND live = 1 AND immutable = 0 AND (end_ms IS NULL OR end_ms > ?) AND ` + where
	args = append([]any{repo, t.now.UnixMilli()}, args...)
	digests := map[gantry.ManifestID]gantry.Digest{}
	var leased []gantry.ManifestID
	// Manifests are locked before their tags, as everywhere.
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.ManifestID
		var digest []byte
		var lease int64
		err := rows.Scan(&id, &digest, &lease)
		digests[id] = gantry.DigestFromBytes(digest)
		if lease != 0 {
			leased = append(leased, id)
		}
		return err
	}, `SELECT id, digest, lease_until_ms FROM manifests WHERE id IN (SELECT manifest_id`+where+`) ORDER BY id`+t.d.excl, args...); err != nil {
		return nil, err
	}
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var p pruned
		err := rows.Scan(&p.id, &p.name, &p.manifest, &p.start)
		p.digest = digests[p.manifest]
		if p.digest != "" { // else it moved meanwhile: no longer what was decided about
			gone = append(gone, p)
		}
		return err
	}, `SELECT id, name, manifest_id, start_ms`+where+` ORDER BY id`+t.d.excl, args...); err != nil || len(gone) == 0 {
		return nil, err
	}
	ids := make([]int64, 0, len(gone))
	names := make([]string, 0, len(gone))
	manifests := make([]gantry.ManifestID, 0, len(gone))
	for _, p := range gone {
		ids, names, manifests = append(ids, p.id), append(names, p.name), append(manifests, p.manifest)
	}
	now := t.now.UnixMilli()
	in, vals := list(ids, []any{now, now})
	if _, err := t.exec(ctx, `UPDATE tags SET live = NULL, end_ms = CASE WHEN start_ms >= ? THEN start_ms + 1 ELSE ? END, ended_by = '`+endedByDelete+`'
		WHERE id IN `+in+` AND live = 1`, vals...); err != nil {
		return nil, err
	}
	// Nor are their manifests to be seen through earlier spans of the same tag.
	inNames, vals := list(names, []any{repo})
	inManifests, vals := list(manifests, vals)
	type span struct {
		id       int64
		name     string
		manifest gantry.ManifestID
	}
	var earlier []int64
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var s span
		err := rows.Scan(&s.id, &s.name, &s.manifest)
		if slices.ContainsFunc(gone, func(p pruned) bool { return p.name == s.name && p.manifest == s.manifest }) {
			earlier = append(earlier, s.id)
		}
		return err
	}, `SELECT id, name, manifest_id FROM tags WHERE repo_id = ? AND name IN `+inNames+` AND manifest_id IN `+inManifests+`
		AND live IS NULL AND ended_by = '`+endedByMove+`'`, vals...); err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(earlier, 500) {
		in, vals := list(chunk, nil)
		if _, err := t.exec(ctx, `UPDATE tags SET ended_by = '`+endedByDelete+`' WHERE id IN `+in, vals...); err != nil {
			return nil, err
		}
	}
	if len(leased) > 0 {
		in, vals := list(leased, nil)
		if _, err := t.exec(ctx, `UPDATE manifests SET lease_until_ms = 0 WHERE id IN `+in, vals...); err != nil {
			return nil, err
		}
	}
	var next []queued
	keep := pick(r.retention, retention).Milliseconds()
	for _, p := range gone {
		next = append(next, queued{reviewManifest, int64(p.manifest), 0, max(now, p.start+1) + keep})
		if err := t.event(ctx, Event{Kind: "autoprune_tag_delete", Namespace: r.ns, Repo: repo, Actor: pruneActor, Payload: struct {
			Performer string `json:"performer"`
			tagPayload
		}{"autoprune worker", tagPayload{r.name.Name, r.name.Namespace, p.name, p.digest}}}); err != nil {
			return nil, err
		}
	}
	t.touch(repo)
	t.quiet = true
	for _, p := range gone {
		t.retag(repo, p.name)
	}
	return gone, t.reviews(ctx, next)
}
