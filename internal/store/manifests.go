package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Manifest is a visible manifest of a repository.
type Manifest struct {
	ID           gantry.ManifestID
	Digest       gantry.Digest
	MediaType    string
	ArtifactType string
	Body         []byte
	Indirect     bool // only set by ManifestByDigest, which says what it means
}

// A Label is a key and a value that a manifest carries.
type Label struct {
	Key, Value string
	MediaType  string // "text/plain" or "application/json"; "" = text/plain
}

// LabelExpiresAfter is the label that gives a tag its expiry when it is made.
const LabelExpiresAfter = "quay.expires-after"

// A ManifestPut is a checked manifest to be stored and tagged.
type ManifestPut struct {
	Repo         gantry.RepoID
	Digest       gantry.Digest
	MediaType    string
	ArtifactType string
	ConfigType   string
	Subject      gantry.Digest // "" = none
	Body         []byte
	LayersSize   int64
	Blobs        []gantry.Digest // that the repository must hold, each once
	Children     []gantry.Digest // manifests that the repository must hold, each once
	Sparse       bool            // children may be missing
	Labels       []Label
	Platforms    string   // what the image runs on, as "linux/amd64,linux/arm/v7"; "" = nothing is known
	Tags         []string // each once; none = pushed by digest alone
	Actor        gantry.Actor

	// Lease keeps a manifest that nothing else keeps; OrphanLease one whose
	// subject is not here yet.
	Lease, OrphanLease time.Duration
	// Retention is how long ended tags can be restored where the namespace
	// made no choice.
	Retention time.Duration
	// Expiry reads the value of LabelExpiresAfter; 0 = it says nothing. nil:
	// labels do not expire tags.
	Expiry func(value string) time.Duration
	// Ends is when the tags end that are set; 0 = as labels say.
	Ends time.Duration
	// Quota is held for what the namespace does not store yet.
	Quota QuotaRule
	// Immutability says whether policies make the tags immutable.
	Immutability ImmutabilityRule
}

// A ManifestPushed says what PutManifest did.
type ManifestPushed struct {
	ID      gantry.ManifestID
	Created bool // the repository did not have it

	into   target
	gained int64 // bytes that the namespace stores now and did not before, or more
}

// spanRow is a live tag that a push or a delete meets.
type spanRow struct {
	id        int64
	name      string
	manifest  gantry.ManifestID
	start     int64
	end       sql.NullInt64
	immutable bool
}

// PutManifest stores a manifest, unless the repository has it, and points the
// tags at it, all in one transaction: at most 12 statements for one tag and
// up to 500 blobs, 6 when the manifest was there. Quotas take one more for a
// manifest with new blobs, and three in all where the namespace is near its
// limit.
//
// Errors: NotFound on "repository"; Invalid on "manifest" with UnknownBlob or
// UnknownManifest; Conflict on "tag" with TagImmutable; ReadOnly on
// "repository" when its state takes no pushes; Denied on "quota" with
// QuotaExceeded.
func (db *DB) PutManifest(ctx context.Context, p ManifestPut) (out ManifestPushed, err error) {
	err = db.update(ctx, "put manifest", func(ctx context.Context, t *tx) error {
		out = ManifestPushed{}
		if err := t.putManifest(ctx, &p, &out); err != nil {
			return err
		}
		return t.holdQuota(ctx, p.Quota, out.into, out.gained)
	})
	return out, err
}

func (t *tx) putManifest(ctx context.Context, p *ManifestPut, out *ManifestPushed) error {
	r, own, spans, err := t.pushTarget(ctx, p.Repo, p.Digest, p.Tags)
	if err != nil {
		return err
	}
	if err := checkPushState(r.state, p.Actor); err != nil {
		return err
	}
	retention := pick(r.retention, p.Retention)
	out.into = r
	t.grow(p.Repo)
	var expires time.Duration
	if own.id != 0 {
		out.ID = own.id
		if own, err = t.keepManifest(ctx, own); err != nil {
			return err
		}
		if expires, err = t.storedExpiry(ctx, p, own.id); err != nil {
			return err
		}
		if err := t.reviveManifest(ctx, p, own); err != nil {
			return err
		}
	} else {
		out.Created = true
		if err := t.newManifest(ctx, p, r, out); err != nil {
			return err
		}
		if expires, err = t.labelExpiry(ctx, p, out.ID); err != nil {
			return err
		}
	}
	if len(p.Tags) == 0 {
		lease := p.Lease
		if p.Subject != "" {
			lease = max(p.Lease, p.OrphanLease)
		}
		if err := t.review(ctx, reviewManifest, int64(out.ID), 0, t.now.Add(lease)); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "push_repo", Namespace: r.ns, Repo: p.Repo, Actor: p.Actor,
			Payload: pushPayload{r.name.Name, r.name.Namespace, "", p.Digest, p.MediaType}})
	}
	freezes, err := t.immutability(ctx, p.Immutability, r, p.Repo)
	if err != nil {
		return err
	}
	expires = cmp.Or(p.Ends, expires)
	for _, name := range p.Tags {
		i := slices.IndexFunc(spans, func(s spanRow) bool { return s.name == name })
		var old *spanRow
		if i >= 0 {
			old = &spans[i]
			if old.immutable {
				if old.manifest != out.ID {
					return &gantry.Error{Code: gantry.Conflict, Object: "tag", Reason: gantry.TagImmutable,
						Detail: fmt.Sprintf("tag %q is immutable and points at another manifest", name)}
				}
				continue
			}
		}
		if _, err := t.moveTag(ctx, p.Repo, name, out.ID, old, p.Immutability.span(tagSpan{expires: expires, retention: retention}, freezes(name))); err != nil {
			return err
		}
		if err := t.event(ctx, Event{Kind: "push_repo", Namespace: r.ns, Repo: p.Repo, Actor: p.Actor,
			Payload: pushPayload{r.name.Name, r.name.Namespace, name, p.Digest, p.MediaType}}); err != nil {
			return err
		}
		if freezes(name) {
			if err := t.frozenByPolicy(ctx, r, p.Repo, name, p.Digest, p.Actor); err != nil {
				return err
			}
		}
	}
	return nil
}

type pushPayload struct {
	Repo      string        `json:"repo"`
	Namespace string        `json:"namespace"`
	Tag       string        `json:"tag,omitempty"`
	Digest    gantry.Digest `json:"manifest_digest"`
	MediaType string        `json:"mediaType"`
}

// target is what a push or a delete must know of its repository.
type target struct {
	ns        gantry.AccountID
	name      gantry.RepoName
	state     gantry.RepoState
	retention int64 // seconds; negative: the namespace made no choice
	policies  bool  // it, or its namespace, has immutability policies
}

// ownRow is a manifest that the repository has.
type ownRow struct {
	id          gantry.ManifestID
	lease       int64
	hidden      int64
	blobsHidden bool
}

// checkPushState refuses a change that the repository's state does not take. A
// mirror takes those of robots, one of which fills it: which one is for the
// caller to say.
func checkPushState(s gantry.RepoState, by gantry.Actor) error {
	mirror := actorKind(by) == gantry.ActorRobot || actorKind(by) == gantry.ActorSystem
	switch {
	case s == gantry.Normal, mirror && (s == gantry.Mirror || s == gantry.OrgMirror):
		return nil
	case s == gantry.MarkedForDeletion:
		return errNoRepository
	}
	return &gantry.Error{Code: gantry.ReadOnly, Object: "repository",
		Detail: "the repository is in state " + s.String() + " and takes no changes"}
}

func pick(seconds int64, otherwise time.Duration) time.Duration {
	if seconds < 0 {
		return otherwise
	}
	return time.Duration(seconds) * time.Second
}

// pushTarget reads, in one statement and without locks, the repository, the
// manifest of that digest in it, if any, and the live tags of those names.
func (t *tx) pushTarget(ctx context.Context, repo gantry.RepoID, d gantry.Digest, tags []string) (r target, own ownRow, spans []spanRow, err error) {
	args := []any{d.Bytes()}
	in, args := list(tags, args)
	found := false
	err = t.each(ctx, func(rows *sql.Rows) error {
		found = true
		var (
			id, lease, hidden         sql.NullInt64
			blobsHidden, immutable    sql.NullInt64
			tag, manifest, start, end sql.NullInt64
			name                      sql.NullString
			policies                  int
		)
		if err := rows.Scan(&r.ns, &r.name.Namespace, &r.name.Name, &r.state, &r.retention, &policies, &id, &lease, &hidden, &blobsHidden,
			&tag, &name, &manifest, &start, &end, &immutable); err != nil {
			return err
		}
		r.policies = policies != 0
		own = ownRow{gantry.ManifestID(id.Int64), lease.Int64, hidden.Int64, blobsHidden.Int64 != 0}
		if tag.Valid {
			over := end.Valid && end.Int64 <= t.now.UnixMilli() // and about to be ended
			spans = append(spans, spanRow{tag.Int64, name.String, gantry.ManifestID(manifest.Int64), start.Int64, end, immutable.Int64 != 0 && !over})
		}
		return nil
	}, `SELECT r.ns_id, a.name, r.name, r.state, a.retention_s,
		CASE WHEN EXISTS (SELECT 1 FROM immutability_policies p WHERE p.ns_id = r.ns_id AND p.repo_id IN (0, r.id)) THEN 1 ELSE 0 END, m.id, m.lease_until_ms, m.hidden_ms, m.blobs_hidden,
		g.id, g.name, g.manifest_id, g.start_ms, g.end_ms, g.immutable
		FROM repositories r JOIN accounts a ON a.id = r.ns_id
		LEFT JOIN manifests m ON m.repo_id = r.id AND m.digest = ?
		LEFT JOIN tags g ON g.repo_id = r.id AND g.live = 1 AND g.name IN `+in+`
		WHERE r.id = ? AND r.deleted_ms = 0 AND a.deleted_ms = 0`, append(args, repo)...)
	if err == nil && !found {
		err = errNoRepository
	}
	return r, own, spans, err
}

// keepManifest makes sure that the manifest stays until this transaction has
// committed an edge to it, and reads again what a collector or a delete may
// have changed.
func (t *tx) keepManifest(ctx context.Context, own ownRow) (ownRow, error) {
	if t.d.serial {
		return own, nil
	}
	var blobsHidden int
	err := t.queryRow(ctx, `SELECT lease_until_ms, hidden_ms, blobs_hidden FROM manifests WHERE id = ?`+t.d.share, own.id).
		Scan(&own.lease, &own.hidden, &blobsHidden)
	own.blobsHidden = blobsHidden != 0
	if errors.Is(err, sql.ErrNoRows) {
		err = errRaced
	}
	return own, err
}

// reviveManifest makes a manifest that is pushed or restored again what it
// was: not hidden, its blobs readable, with a lease if no tag keeps it.
func (t *tx) reviveManifest(ctx context.Context, p *ManifestPut, own ownRow) error {
	lease := int64(0) // a tag keeps it; when that is deleted, no lease shall show it
	if len(p.Tags) == 0 {
		d := p.Lease
		if p.Subject != "" {
			d = max(p.Lease, p.OrphanLease)
		}
		lease = max(own.lease, t.now.Add(d).UnixMilli())
	}
	if own.blobsHidden {
		if err := t.unhideBlobs(ctx, p.Repo, own.id); err != nil {
			return err
		}
	}
	if own.lease == lease && own.hidden == 0 {
		return nil
	}
	_, err := t.exec(ctx, `UPDATE manifests SET hidden_ms = 0, lease_until_ms = ? WHERE id = ?`, lease, own.id)
	return err
}

// maxDepth bounds how deep indexes may be nested.
const maxDepth = 32

// unhideBlobs shows the blobs of a manifest and of what is below it again.
func (t *tx) unhideBlobs(ctx context.Context, repo gantry.RepoID, id gantry.ManifestID) error {
	level := []gantry.ManifestID{id}
	seen := map[gantry.ManifestID]bool{id: true}
	for range maxDepth {
		var next []gantry.ManifestID
		for chunk := range slices.Chunk(level, 500) {
			slices.Sort(chunk)
			in, args := list(chunk, nil)
			if _, err := t.exec(ctx, `UPDATE manifests SET blobs_hidden = 0 WHERE blobs_hidden = 1 AND id IN `+in, args...); err != nil {
				return err
			}
			if _, err := t.exec(ctx, `UPDATE repo_blobs SET hidden_ms = 0 WHERE repo_id = ? AND hidden_ms <> 0 AND blob_id IN
				(SELECT blob_id FROM manifest_blobs WHERE manifest_id IN `+in+`)`, append([]any{repo}, args...)...); err != nil {
				return err
			}
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var child gantry.ManifestID
				err := rows.Scan(&child)
				if !seen[child] {
					seen[child] = true
					next = append(next, child)
				}
				return err
			}, `SELECT child_id FROM manifest_children WHERE parent_id IN `+in, args...); err != nil {
				return err
			}
		}
		if level = next; len(level) == 0 {
			return nil
		}
	}
	return nil
}

// newManifest inserts a manifest with all its edges.
func (t *tx) newManifest(ctx context.Context, p *ManifestPut, r target, out *ManifestPushed) error {
	children, subjectHere, err := t.keepChildren(ctx, p)
	if err != nil {
		return err
	}
	lease := int64(0)
	if len(p.Tags) == 0 {
		d := p.Lease
		if p.Subject != "" && !subjectHere {
			d = max(p.Lease, p.OrphanLease)
		}
		lease = t.now.Add(d).UnixMilli()
	}
	id, err := t.insertManifest(ctx, p, lease)
	if err != nil {
		return err
	}
	if id == 0 {
		return errRaced // somebody else pushed it just now
	}
	out.ID = gantry.ManifestID(id)
	if out.gained, err = t.linkBlobs(ctx, p, r, out.ID); err != nil {
		return err
	}
	for chunk := range slices.Chunk(children, 500) {
		args := make([]any, 0, 3*len(chunk))
		for _, c := range chunk {
			args = append(args, id, c, p.Repo)
		}
		if _, err := t.exec(ctx, `INSERT INTO manifest_children (parent_id, child_id, repo_id) VALUES `+tuples(len(chunk), 3), args...); err != nil {
			return err
		}
	}
	labels := make([]ManifestLabel, 0, len(p.Labels)+1)
	for _, l := range p.Labels {
		labels = append(labels, ManifestLabel{Label: l, Source: labelManifest})
	}
	if p.Platforms != "" {
		labels = append(labels, ManifestLabel{Label: Label{Key: labelPlatforms, Value: p.Platforms}, Source: labelOwn})
	}
	return t.insertLabels(ctx, out.ID, labels)
}

// insertManifest inserts a manifest and its body, and returns its id; 0 if the
// repository has it.
func (t *tx) insertManifest(ctx context.Context, p *ManifestPut, lease int64) (id int64, err error) {
	const into = `INSERT INTO manifests (repo_id, digest, media_type, artifact_type, config_type, subject, size, layers_size,
		created_ms, lease_until_ms, hidden_ms, blobs_hidden) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)`
	args := []any{p.Repo, p.Digest.Bytes(), p.MediaType, p.ArtifactType, p.ConfigType, p.Subject.Bytes(), len(p.Body), p.LayersSize,
		t.now.UnixMilli(), lease}
	if t.d.returning { // both at once: a round trip less
		err := t.queryRow(ctx, `WITH m AS (`+into+conflictNothing("")+` RETURNING id),
			b AS (INSERT INTO manifest_bodies (manifest_id, body) SELECT id, CAST(? AS BYTEA) FROM m)
			SELECT id FROM m`, append(args, p.Body)...).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, nil
		}
		return id, err
	}
	if id, err = t.insertIgnore(ctx, into, args...); err != nil || id == 0 {
		return 0, err
	}
	_, err = t.exec(ctx, `INSERT INTO manifest_bodies (manifest_id, body) VALUES (?, ?)`, id, p.Body)
	return id, err
}

func (t *tx) insertLabels(ctx context.Context, m gantry.ManifestID, labels []ManifestLabel) error {
	for chunk := range slices.Chunk(labels, 100) {
		args := make([]any, 0, 6*len(chunk))
		for _, l := range chunk {
			mt := l.MediaType
			if mt == "" {
				mt = "text/plain"
			}
			args = append(args, m, uuid.NewString(), l.Key, l.Value, l.Source, mt)
		}
		if _, err := t.exec(ctx, `INSERT INTO manifest_labels (manifest_id, uuid, label, value, source, media_type) VALUES `+
			tuples(len(chunk), 6), args...); err != nil {
			return err
		}
	}
	return nil
}

// keepChildren locks the children and the subject against collection and
// returns the children's ids. A missing subject is fine.
func (t *tx) keepChildren(ctx context.Context, p *ManifestPut) (children []gantry.ManifestID, subject bool, err error) {
	digests := p.Children
	if p.Subject != "" {
		digests = append(slices.Clone(digests), p.Subject)
	}
	var revive []gantry.ManifestID
	here := make(map[gantry.Digest]gantry.ManifestID, len(digests))
	for chunk := range slices.Chunk(digests, 500) {
		bin := make([][]byte, len(chunk))
		for i, d := range chunk {
			bin[i] = d.Bytes()
		}
		in, args := list(bin, []any{p.Repo})
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var (
				id     gantry.ManifestID
				digest []byte
				hidden int
			)
			if err := rows.Scan(&id, &digest, &hidden); err != nil {
				return err
			}
			here[gantry.DigestFromBytes(digest)] = id
			if hidden != 0 {
				revive = append(revive, id)
			}
			return nil
		}, `SELECT id, digest, blobs_hidden FROM manifests WHERE repo_id = ? AND digest IN `+in+` ORDER BY id`+t.d.share, args...); err != nil {
			return nil, false, err
		}
	}
	for _, c := range p.Children {
		id, ok := here[c]
		switch {
		case ok:
			children = append(children, id)
			if slices.Contains(revive, id) {
				if err := t.unhideBlobs(ctx, p.Repo, id); err != nil {
					return nil, false, err
				}
			}
		case !p.Sparse:
			return nil, false, &gantry.Error{Code: gantry.Invalid, Object: "manifest", Reason: gantry.UnknownManifest,
				Detail: "the repository does not hold the manifest " + string(c) + "; push it before the index that names it"}
		}
	}
	_, subject = here[p.Subject]
	return children, subject, nil
}

// linkBlobs ties the manifest m to its blobs, all of which the repository
// must hold, and accounts for those that it uses for the first time. gained is
// 0 if the namespace stores no more than before, else the size of those blobs.
func (t *tx) linkBlobs(ctx context.Context, p *ManifestPut, r target, m gantry.ManifestID) (gained int64, err error) {
	type used struct {
		id   gantry.BlobID
		size int64
	}
	var fresh []used
	var total int64
	for chunk := range slices.Chunk(p.Blobs, 500) {
		bin := make([][]byte, len(chunk))
		for i, d := range chunk {
			bin[i] = d.Bytes()
		}
		in, digests := list(bin, nil)
		held := make(map[gantry.Digest]bool, len(chunk))
		var ids []gantry.BlobID
		if err := t.takeBlobs(ctx, p.Repo, m, in, digests, func(rows *sql.Rows) error {
			var (
				u      used
				digest []byte
				linked int64
			)
			if err := rows.Scan(&u.id, &digest, &u.size, &linked); err != nil {
				return err
			}
			held[gantry.DigestFromBytes(digest)] = true
			ids = append(ids, u.id)
			if linked == int64(m) {
				fresh = append(fresh, u)
				total += u.size
			}
			return nil
		}); err != nil {
			return 0, err
		}
		if len(ids) < len(chunk) {
			if err := t.unlinkedMeanwhile(ctx, p.Repo, in, digests); err != nil {
				return 0, err
			}
			for _, d := range chunk {
				if !held[d] {
					return 0, &gantry.Error{Code: gantry.Invalid, Object: "manifest", Reason: gantry.UnknownBlob,
						Detail: "the repository does not hold the blob " + string(d) + "; push it before the manifest that names it"}
				}
			}
		}
		rows := make([]any, 0, 3*len(ids))
		for _, id := range ids {
			rows = append(rows, m, id, p.Repo)
		}
		if _, err := t.exec(ctx, `INSERT INTO manifest_blobs (manifest_id, blob_id, repo_id) VALUES `+tuples(len(ids), 3), rows...); err != nil {
			return 0, err
		}
	}
	if len(fresh) == 0 {
		return 0, nil // what the repository uses already, the namespace counts already
	}
	slices.SortFunc(fresh, func(a, b used) int { return int(a.id - b.id) })
	for chunk := range slices.Chunk(fresh, 500) {
		rows := make([]any, 0, 4*len(chunk))
		ids := make([]gantry.BlobID, 0, len(chunk))
		for _, u := range chunk {
			rows = append(rows, r.ns, u.id, u.size, m)
			ids = append(ids, u.id)
		}
		n, err := t.exec(ctx, `INSERT INTO ns_blobs (ns_id, blob_id, size, added_by) VALUES `+tuples(len(chunk), 4)+t.d.ignore("size"), rows...)
		if err != nil {
			return 0, err
		}
		in, args := list(ids, []any{r.ns})
		// Rows that were there must stay until our link to them is committed.
		// MySQL's upsert has locked them, and does not tell that there were some.
		if !t.d.serial && t.d.duplicate == nil && n < int64(len(chunk)) {
			kept := 0
			if err := t.each(ctx, func(*sql.Rows) error { kept++; return nil },
				`SELECT blob_id FROM ns_blobs WHERE ns_id = ? AND blob_id IN `+in+` ORDER BY blob_id`+t.d.share, args...); err != nil {
				return 0, err
			}
			if kept < len(chunk) {
				return 0, errRaced
			}
		}
		var size int64
		for _, u := range chunk {
			size += u.size
		}
		rowsAdded, err := t.exec(ctx, `INSERT INTO usage_deltas (ns_id, repo_id, bytes)
			SELECT ns_id, 0, SUM(size) FROM ns_blobs WHERE ns_id = ? AND blob_id IN `+in+` AND added_by = ? GROUP BY ns_id
			UNION ALL SELECT ns_id, id, ? FROM repositories WHERE id = ?`, append(args, m, size, p.Repo)...)
		if err != nil {
			return 0, err
		}
		if rowsAdded > 1 { // one is the repository's
			gained += size
		}
	}
	return gained, nil
}

// takeBlobs links to the manifest m those of the blobs with the digests in that
// the repository holds and no manifest uses, then locks for sharing all of them
// that it holds and gives their id, digest, size and link. Each database looks
// up one key for each blob: planned for a repository of average size, a join
// of the digests with all that it holds would read all of a large one.
func (t *tx) takeBlobs(ctx context.Context, repo gantry.RepoID, m gantry.ManifestID, in string, digests []any, each func(*sql.Rows) error) error {
	args := append([]any{repo}, digests...)
	update := `UPDATE repo_blobs SET linked = ? WHERE linked + 0 = 0 AND hidden_ms = 0 AND repo_id = ? AND blob_id IN (SELECT id FROM blobs WHERE digest IN ` + in + `)`
	pick := `SELECT b.id, b.digest, b.size, rb.linked FROM blobs b JOIN repo_blobs rb ON rb.repo_id = ? AND rb.blob_id = b.id
		WHERE rb.hidden_ms = 0 AND rb.linked <> 0 AND b.digest IN ` + in + ` ORDER BY b.id`
	switch t.d.name {
	case "mysql": // which joins in the order of a STRAIGHT_JOIN
		update = `UPDATE blobs b STRAIGHT_JOIN repo_blobs rb SET rb.linked = ? WHERE rb.repo_id = ? AND rb.blob_id = b.id AND rb.linked + 0 = 0 AND rb.hidden_ms = 0 AND b.digest IN ` + in
		pick = strings.Replace(pick, "SELECT", "SELECT STRAIGHT_JOIN", 1)
	case "postgres": // see pairs
		ids, err := t.ids(ctx, `SELECT id FROM blobs WHERE digest IN `+in+` ORDER BY id`, digests...)
		if err != nil || len(ids) == 0 {
			return err
		}
		keys := make([]pair, 0, len(ids))
		for _, id := range ids {
			keys = append(keys, pair{int64(repo), id})
		}
		var where string
		where, args = t.pairs("rb.repo_id", "rb.blob_id", keys)
		update = `UPDATE repo_blobs rb SET linked = ? WHERE rb.linked + 0 = 0 AND rb.hidden_ms = 0 AND ` + where
		pick = `SELECT b.id, b.digest, b.size, rb.linked FROM repo_blobs rb JOIN blobs b ON b.id = rb.blob_id
			WHERE rb.hidden_ms = 0 AND rb.linked <> 0 AND ` + where + ` ORDER BY b.id`
	}
	if _, err := t.exec(ctx, update, append([]any{m}, args...)...); err != nil {
		return err
	}
	return t.each(ctx, each, pick+t.d.share, args...)
}

// unlinkedMeanwhile returns errRaced if the repository holds one of the blobs
// after all, but not as one that a manifest uses: a collector found it unused
// after our UPDATE saw it used. The next try takes it.
func (t *tx) unlinkedMeanwhile(ctx context.Context, repo gantry.RepoID, in string, digests []any) error {
	if t.d.serial {
		return nil
	}
	var n int
	err := t.queryRow(ctx, `SELECT COALESCE(SUM(CASE WHEN rb.hidden_ms = 0 AND rb.linked = 0 THEN 1 ELSE 0 END), 0)
		FROM blobs b JOIN repo_blobs rb ON rb.repo_id = ? AND rb.blob_id = b.id WHERE b.digest IN `+in, append([]any{repo}, digests...)...).Scan(&n)
	if err == nil && n > 0 {
		err = errRaced
	}
	return err
}

// labelExpiry is the expiry that a new manifest's labels give to its tags: its
// own label, or the one that all children of an index agree on.
func (t *tx) labelExpiry(ctx context.Context, p *ManifestPut, id gantry.ManifestID) (time.Duration, error) {
	if p.Expiry == nil || len(p.Tags) == 0 {
		return 0, nil
	}
	for _, l := range p.Labels {
		if l.Key == LabelExpiresAfter {
			return p.Expiry(l.Value), nil
		}
	}
	if len(p.Children) == 0 {
		return 0, nil
	}
	return t.childrenExpiry(ctx, p, id)
}

// storedExpiry is labelExpiry for a manifest that is pushed again. An image
// pays one statement only if it may carry the label.
func (t *tx) storedExpiry(ctx context.Context, p *ManifestPut, id gantry.ManifestID) (time.Duration, error) {
	if p.Expiry == nil || len(p.Tags) == 0 {
		return 0, nil
	}
	if len(p.Children) > 0 {
		return t.childrenExpiry(ctx, p, id)
	}
	for _, l := range p.Labels {
		if l.Key == LabelExpiresAfter {
			return p.Expiry(l.Value), nil
		}
	}
	return 0, nil
}

func (t *tx) childrenExpiry(ctx context.Context, p *ManifestPut, id gantry.ManifestID) (time.Duration, error) {
	values := map[string]bool{}
	n := 0
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var v string
		err := rows.Scan(&v)
		values[v] = true
		n++
		return err
	}, `SELECT l.value FROM manifest_children c JOIN manifest_labels l ON l.manifest_id = c.child_id AND l.label = '`+LabelExpiresAfter+`'
		WHERE c.parent_id = ?`, id); err != nil {
		return 0, err
	}
	if len(values) != 1 || n < len(p.Children) {
		return 0, nil
	}
	for v := range values {
		return p.Expiry(v), nil
	}
	return 0, nil
}
