package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// MaxLabels is how many labels users may add to a manifest, beside those that
// it was pushed with.
const MaxLabels = 200

// Sources of labels. Those of labelOwn are what the registry notes about a
// manifest for itself; nobody is shown them.
const (
	labelManifest = "manifest"
	labelAPI      = "api" // users add them
	labelOwn      = "gantry"
)

// labelPlatforms is the label of labelOwn that has ManifestPut.Platforms.
const labelPlatforms = "gantry.platforms"

// A ManifestLabel is a label of a manifest as it is stored.
type ManifestLabel struct {
	Label
	UUID   string
	Source string // "manifest": it was pushed with it; "api": somebody added it
}

// ManifestLabels returns the labels of a manifest, in the order in which they
// came. One statement.
func (db *DB) ManifestLabels(ctx context.Context, m gantry.ManifestID) (all []ManifestLabel, err error) {
	err = db.read(ctx, "labels of a manifest", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			var l ManifestLabel
			err := rows.Scan(&l.UUID, &l.Key, &l.Value, &l.Source, &l.MediaType)
			all = append(all, l)
			return err
		}, `SELECT uuid, label, value, source, media_type FROM manifest_labels WHERE manifest_id = ? AND source <> '`+labelOwn+`' ORDER BY id LIMIT 2000`, m)
	})
	return all, err
}

var errNoLabel = &gantry.Error{Code: gantry.NotFound, Object: "label", Detail: "the manifest has no such label"}

// ManifestLabel returns one label of a manifest. NotFound on "label".
func (db *DB) ManifestLabel(ctx context.Context, m gantry.ManifestID, id string) (l ManifestLabel, err error) {
	err = db.read(ctx, "label", func(ctx context.Context, t *tx) error {
		l, err = t.label(ctx, m, id)
		return err
	})
	return l, err
}

func (t *tx) label(ctx context.Context, m gantry.ManifestID, id string) (l ManifestLabel, err error) {
	err = t.queryRow(ctx, `SELECT uuid, label, value, source, media_type FROM manifest_labels WHERE uuid = ? AND manifest_id = ? AND source <> '`+labelOwn+`'`, id, m).
		Scan(&l.UUID, &l.Key, &l.Value, &l.Source, &l.MediaType)
	return l, notFound(err, errNoLabel)
}

// labelPayload is Quay's metadata of a change of labels.
type labelPayload struct {
	ID        string        `json:"id"`
	Key       string        `json:"key"`
	Value     string        `json:"value"`
	Digest    gantry.Digest `json:"manifest_digest"`
	MediaType string        `json:"media_type"`
	Repo      string        `json:"repo"`
	Namespace string        `json:"namespace"`
}

// AddLabel adds a label to the manifest m, which the caller found readable.
// NotFound on "manifest"; Invalid on "label" when it has MaxLabels; ReadOnly
// on "repository" when its state takes no changes.
func (db *DB) AddLabel(ctx context.Context, repo gantry.RepoID, m Manifest, l Label, actor gantry.Actor) (added ManifestLabel, err error) {
	err = db.update(ctx, "add label", func(ctx context.Context, t *tx) error {
		r, err := t.labelTarget(ctx, repo, m, actor)
		if err != nil {
			return err
		}
		var n int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM manifest_labels WHERE manifest_id = ? AND source = '`+labelAPI+`'`, m.ID).Scan(&n); err != nil {
			return err
		}
		if n >= MaxLabels {
			return gantry.Errorf(gantry.Invalid, "label", "The manifest has %d labels already; delete one first", n)
		}
		added = ManifestLabel{Label: l, UUID: uuid.NewString(), Source: labelAPI}
		if _, err := t.exec(ctx, `INSERT INTO manifest_labels (manifest_id, uuid, label, value, source, media_type) VALUES (?, ?, ?, ?, ?, ?)`,
			m.ID, added.UUID, l.Key, l.Value, added.Source, l.MediaType); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "manifest_label_add", Namespace: r.ns, Repo: repo, Actor: actor,
			Payload: labelPayload{added.UUID, l.Key, l.Value, m.Digest, l.MediaType, r.name.Name, r.name.Namespace}})
	})
	return added, err
}

// DeleteLabel takes a label away that somebody added. NotFound on "manifest"
// or "label"; Invalid on "label" when the manifest was pushed with it;
// ReadOnly on "repository" when its state takes no changes.
func (db *DB) DeleteLabel(ctx context.Context, repo gantry.RepoID, m Manifest, id string, actor gantry.Actor) error {
	return db.update(ctx, "delete label", func(ctx context.Context, t *tx) error {
		r, err := t.labelTarget(ctx, repo, m, actor)
		if err != nil {
			return err
		}
		l, err := t.label(ctx, m.ID, id)
		if err != nil {
			return err
		}
		if l.Source != labelAPI {
			return gantry.Errorf(gantry.Invalid, "label", "The label %.80q is part of the image and cannot be deleted", l.Key)
		}
		n, err := t.exec(ctx, `DELETE FROM manifest_labels WHERE uuid = ? AND manifest_id = ?`, l.UUID, m.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoLabel
		}
		return t.event(ctx, Event{Kind: "manifest_label_delete", Namespace: r.ns, Repo: repo, Actor: actor,
			Payload: labelPayload{l.UUID, l.Key, l.Value, m.Digest, l.MediaType, r.name.Name, r.name.Namespace}})
	})
}

// labelTarget reads what a change of labels must know, and keeps the manifest
// until it is committed.
func (t *tx) labelTarget(ctx context.Context, repo gantry.RepoID, m Manifest, actor gantry.Actor) (target, error) {
	r, own, _, err := t.pushTarget(ctx, repo, m.Digest, nil)
	if err != nil {
		return r, err
	}
	if err := checkPushState(r.state, actor); err != nil {
		return r, err
	}
	if own.id != m.ID {
		return r, errNoManifest
	}
	if _, err := t.keepManifest(ctx, own); errors.Is(err, errRaced) {
		return r, errNoManifest
	} else if err != nil {
		return r, err
	}
	return r, nil
}
