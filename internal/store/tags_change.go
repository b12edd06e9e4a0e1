package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A TagChange says what becomes of a tag. What is zero stays as it is.
type TagChange struct {
	Repo      gantry.RepoID
	Name      string        // well formed
	Digest    gantry.Digest // of the manifest to point the tag at
	Expiry    *time.Time    // when the tag ends; a zero time = never
	Immutable *bool
	Actor     gantry.Actor

	// MinLife bounds Expiry by the tag's beginning, MaxLife by now; 0 = not.
	// An Expiry beyond is taken as the bound.
	MinLife, MaxLife time.Duration
	// MayExpire: an immutable tag may have an end.
	MayExpire bool
	// Retention is how long the span that ends can be restored where the
	// namespace made no choice.
	Retention time.Duration
	// Immutability says whether policies make the tag immutable when it is
	// pointed at a manifest.
	Immutability ImmutabilityRule
}

// ChangeTag points a tag at another manifest, or makes it, then sets its end,
// then whether it is immutable: all of it or nothing, each with a row in the
// journal.
//
// Errors: NotFound on "manifest" when that cannot be read here; NotFound on
// "tag"; Conflict on "tag" with TagImmutable; Invalid on "tag" when it is to
// be immutable and has an end; ReadOnly on "repository" when its state takes
// no changes.
func (db *DB) ChangeTag(ctx context.Context, c TagChange) error {
	return db.update(ctx, "change tag", func(ctx context.Context, t *tx) error {
		r, own, spans, err := t.pushTarget(ctx, c.Repo, c.Digest, []string{c.Name})
		if err != nil {
			return err
		}
		if err := checkPushState(r.state, c.Actor); err != nil {
			return err
		}
		t.grow(c.Repo)
		s := t.alive(spans)
		if c.Digest != "" {
			if s, err = t.retarget(ctx, &c, r, own, spans); err != nil {
				return err
			}
		}
		if s == nil {
			return errNoTag
		}
		if c.Expiry != nil {
			t.touch(c.Repo)
			t.retag(c.Repo, c.Name)
			if err := t.expireTag(ctx, &c, r, s); err != nil {
				return err
			}
		}
		if c.Immutable != nil && *c.Immutable != s.immutable {
			return t.freezeTag(ctx, &c, r, s)
		}
		return nil
	})
}

// retarget points the tag at a manifest that can be read and returns its new
// span, or the one that it has if it is immutable and points there already.
func (t *tx) retarget(ctx context.Context, c *TagChange, r target, own ownRow, spans []spanRow) (*spanRow, error) {
	if own.id == 0 {
		return nil, errNoManifest
	}
	own, err := t.keepManifest(ctx, own)
	if err != nil {
		return nil, err
	}
	keep := pick(r.retention, c.Retention)
	shown, err := t.visible(ctx, []gantry.ManifestID{own.id}, keep)
	if err != nil {
		return nil, err
	}
	if !shown[own.id] {
		return nil, errNoManifest
	}
	e := Event{Kind: "create_tag", Namespace: r.ns, Repo: c.Repo, Actor: c.Actor}
	p := movePayload{tagPayload: tagPayload{r.name.Name, r.name.Namespace, c.Name, c.Digest}}
	var old *spanRow
	if len(spans) > 0 {
		old = &spans[0]
	}
	if s := t.alive(spans); s != nil {
		if s.immutable && s.manifest == own.id {
			return s, nil
		}
		if s.immutable {
			return nil, errImmutable(c.Name, "moved")
		}
		e.Kind = "move_tag"
		var digest []byte
		switch err := t.queryRow(ctx, `SELECT digest FROM manifests WHERE id = ?`, s.manifest).Scan(&digest); {
		case errors.Is(err, sql.ErrNoRows):
			return nil, errRaced
		case err != nil:
			return nil, err
		}
		p.Original = gantry.DigestFromBytes(digest)
	}
	if err := t.reviveManifest(ctx, &ManifestPut{Repo: c.Repo, Tags: []string{c.Name}}, own); err != nil {
		return nil, err
	}
	freezes, err := t.immutability(ctx, c.Immutability, r, c.Repo)
	if err != nil {
		return nil, err
	}
	s, err := t.moveTag(ctx, c.Repo, c.Name, own.id, old, tagSpan{retention: keep, immutable: freezes(c.Name)})
	if err != nil {
		return nil, err
	}
	e.Payload = p
	if err := t.event(ctx, e); err != nil || !s.immutable {
		return &s, err
	}
	return &s, t.frozenByPolicy(ctx, r, c.Repo, c.Name, c.Digest, c.Actor)
}

type movePayload struct {
	tagPayload
	Original gantry.Digest `json:"original_manifest_digest,omitempty"`
}

// expireTag sets the end of a live span.
func (t *tx) expireTag(ctx context.Context, c *TagChange, r target, s *spanRow) error {
	var end sql.NullInt64
	if !c.Expiry.IsZero() {
		if s.immutable && !c.MayExpire {
			return errImmutable(c.Name, "given an end")
		}
		ms := max(c.Expiry.UnixMilli(), s.start+c.MinLife.Milliseconds())
		if c.MaxLife > 0 {
			ms = min(ms, t.now.Add(c.MaxLife).UnixMilli())
		}
		end = sql.NullInt64{Int64: max(ms, t.now.UnixMilli()+1), Valid: true}
	}
	if end == s.end {
		return nil
	}
	n, err := t.exec(ctx, `UPDATE tags SET end_ms = ? WHERE id = ? AND live = 1 AND immutable = ?`, end, s.id, flag(s.immutable))
	if err != nil {
		return err
	}
	if n == 0 {
		return errRaced
	}
	p := expiryPayload{Repo: r.name.Name, Namespace: r.name.Namespace, Tag: c.Name, Expires: inSeconds(end), Old: inSeconds(s.end)}
	s.end = end
	return t.event(ctx, Event{Kind: "change_tag_expiration", Namespace: r.ns, Repo: c.Repo, Actor: c.Actor, Payload: p})
}

// expiryPayload has times in seconds, null for never.
type expiryPayload struct {
	Repo      string `json:"repo"`
	Namespace string `json:"namespace"`
	Tag       string `json:"tag"`
	Expires   *int64 `json:"expiration_date"`
	Old       *int64 `json:"old_expiration_date"`
}

// inSeconds is a time in ms as seconds; nil where there is none.
func inSeconds(ms sql.NullInt64) *int64 {
	if !ms.Valid {
		return nil
	}
	s := ms.Int64 / 1000
	return &s
}

// freezeTag makes a live span immutable, or no longer so.
func (t *tx) freezeTag(ctx context.Context, c *TagChange, r target, s *spanRow) error {
	guard := ""
	if *c.Immutable && !c.MayExpire {
		if s.end.Valid {
			return gantry.Errorf(gantry.Invalid, "tag", "tag %q has an expiration; take that away before you make the tag immutable", c.Name)
		}
		guard = " AND end_ms IS NULL" // somebody may be giving it one
	}
	n, err := t.exec(ctx, `UPDATE tags SET immutable = ? WHERE id = ? AND live = 1`+guard, flag(*c.Immutable), s.id)
	if err != nil {
		return err
	}
	if n == 0 {
		return errRaced
	}
	return t.event(ctx, Event{Kind: "change_tag_immutability", Namespace: r.ns, Repo: c.Repo, Actor: c.Actor, Payload: map[string]any{
		"repo": r.name.Name, "namespace": r.name.Namespace, "tag": c.Name, "immutable": *c.Immutable, "previous_immutable": s.immutable}})
}

// SetTagExpiry sets when a live tag ends; zero = never. Errors as ChangeTag.
func (db *DB) SetTagExpiry(ctx context.Context, repo gantry.RepoID, name string, at time.Time, actor gantry.Actor) error {
	return db.ChangeTag(ctx, TagChange{Repo: repo, Name: name, Expiry: &at, Actor: actor})
}

// A TagForget says what to take out of a tag's history.
type TagForget struct {
	Repo gantry.RepoID
	Name string
	// Live: the tag is deleted, and its span with it. Otherwise the ended
	// spans go that pointed at Digest.
	Live   bool
	Digest gantry.Digest
	Actor  gantry.Actor
}

// ForgetTag deletes spans of a tag so that they cannot be restored. What they
// alone kept is collected without waiting for the time machine; the objects
// still wait for a restore point. NotFound on "tag"; Conflict on "tag" with
// TagImmutable; ReadOnly on "repository" when its state takes no changes.
func (db *DB) ForgetTag(ctx context.Context, f TagForget) error {
	return db.update(ctx, "forget tag", func(ctx context.Context, t *tx) error {
		d := f.Digest
		if f.Live {
			d = ""
		}
		r, own, spans, err := t.pushTarget(ctx, f.Repo, d, []string{f.Name})
		if err != nil {
			return err
		}
		if err := checkPushState(r.state, f.Actor); err != nil {
			return err
		}
		if f.Live {
			s := t.alive(spans)
			if s == nil {
				return errNoTag
			}
			if d, err = t.closeTag(ctx, f.Repo, *s, 0); err != nil {
				return err
			}
			_, err = t.exec(ctx, `DELETE FROM tags WHERE id = ? AND live IS NULL`, s.id)
		} else {
			err = t.forgetEnded(ctx, f.Repo, f.Name, own.id)
		}
		if err != nil {
			return err
		}
		t.touch(f.Repo)
		return t.event(ctx, Event{Kind: "permanently_delete_tag", Namespace: r.ns, Repo: f.Repo, Actor: f.Actor, Payload: struct {
			tagPayload
			Live bool `json:"is_alive"`
		}{tagPayload{r.name.Name, r.name.Namespace, f.Name, d}, f.Live}})
	})
}

// forgetEnded deletes the spans of a tag that pointed at the manifest and are
// over.
func (t *tx) forgetEnded(ctx context.Context, repo gantry.RepoID, name string, m gantry.ManifestID) error {
	gone := &gantry.Error{Code: gantry.NotFound, Object: "tag", Detail: "the history of the tag has no such manifest"}
	if m == 0 {
		return gone
	}
	if !t.d.serial {
		if err := t.queryRow(ctx, `SELECT id FROM manifests WHERE id = ?`+t.d.excl, m).Scan(&m); err != nil {
			return notFound(err, gone)
		}
	}
	n, err := t.exec(ctx, `DELETE FROM tags WHERE repo_id = ? AND name = ? AND manifest_id = ? AND (live IS NULL OR end_ms <= ?)`,
		repo, name, m, t.now.UnixMilli())
	if err != nil {
		return err
	}
	if n == 0 {
		return gone
	}
	return t.review(ctx, reviewManifest, int64(m), 0, t.now)
}
