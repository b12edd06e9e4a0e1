package store

import (
	"context"
	"database/sql"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A BareManifest is one of which it is not noted what it runs on.
type BareManifest struct {
	ID         gantry.ManifestID
	Repo       gantry.RepoID
	MediaType  string
	ConfigType string // "": it has no configuration, as an index
	Platforms  string // as ManifestPut has them; for NotePlatforms
}

// BareManifests looks at the n manifests that follow after in the order of
// their ids, and returns those of which no platforms are noted. next is the id
// of the last one that it looked at; 0 = there was none. One statement, of one
// entry of an index each.
func (db *DB) BareManifests(ctx context.Context, after gantry.ManifestID, n int) (list []BareManifest, next gantry.ManifestID, err error) {
	err = db.read(ctx, "manifests without platforms", func(ctx context.Context, t *tx) error {
		list, next = nil, 0
		return t.each(ctx, func(rows *sql.Rows) error {
			var m BareManifest
			var noted sql.NullInt64
			err := rows.Scan(&m.ID, &m.Repo, &m.MediaType, &m.ConfigType, &noted)
			if next = m.ID; !noted.Valid {
				list = append(list, m)
			}
			return err
		}, `SELECT m.id, m.repo_id, m.media_type, m.config_type, (SELECT MAX(l.id) FROM manifest_labels l WHERE l.manifest_id = m.id AND l.label = '`+labelPlatforms+`' AND l.source = '`+labelOwn+`')
			FROM manifests m WHERE m.id > ? ORDER BY m.id LIMIT `+limit(n), after)
	})
	return list, next, err
}

// ManifestBody reads the bytes of a manifest, whether or not it can be pulled.
// NotFound on "manifest".
func (db *DB) ManifestBody(ctx context.Context, m gantry.ManifestID) (body []byte, err error) {
	err = db.read(ctx, "body of a manifest", func(ctx context.Context, t *tx) error {
		return notFound(t.queryRow(ctx, `SELECT body FROM manifest_bodies WHERE manifest_id = ?`, m).Scan(&body), errNoManifest)
	})
	return body, err
}

// NotePlatforms notes what manifests run on, of those that are still there and
// of which it is not noted.
func (db *DB) NotePlatforms(ctx context.Context, list []BareManifest) error {
	if len(list) == 0 {
		return nil
	}
	return db.update(ctx, "note platforms", func(ctx context.Context, t *tx) error {
		for _, m := range list {
			var id, noted int64
			err := t.queryRow(ctx, `SELECT id FROM manifests WHERE id = ?`+t.d.share, m.ID).Scan(&id)
			if err == sql.ErrNoRows { //nolint:errorlint // database/sql returns it bare
				continue // collected meanwhile
			}
			if err == nil {
				err = t.queryRow(ctx, `SELECT COUNT(*) FROM manifest_labels WHERE manifest_id = ? AND label = '`+labelPlatforms+`' AND source = '`+labelOwn+`'`, m.ID).Scan(&noted)
			}
			if err == nil && noted == 0 {
				err = t.insertLabels(ctx, m.ID, []ManifestLabel{{Label: Label{Key: labelPlatforms, Value: m.Platforms}, Source: labelOwn}})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
