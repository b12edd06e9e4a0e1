package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Placement is a blob at one location, as verification sees it.
type Placement struct {
	Blob     gantry.BlobID
	Digest   gantry.Digest
	Size     int64
	Location int64
	Path     string // key of the object; "" = Digest.Key
	State    string // "present", "suspect" or "damaged"
	verified int64
}

// Key returns the key of the object.
func (p Placement) Key() string { return orCanonical(p.Path, p.Digest) }

// PlacementsToVerify returns up to n placements of a location that were last
// verified before that time, the longest ago first.
func (db *DB) PlacementsToVerify(ctx context.Context, location int64, before time.Time, n int) (all []Placement, err error) {
	err = db.read(ctx, "placements to verify", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			p := Placement{Location: location}
			var d []byte
			err := rows.Scan(&p.Blob, &d, &p.Size, &p.Path, &p.State, &p.verified)
			p.Digest = gantry.DigestFromBytes(d)
			all = append(all, p)
			return err
		}, `SELECT p.blob_id, b.digest, b.size, p.path, p.state, p.verified_ms FROM placements p JOIN blobs b ON b.id = p.blob_id
			WHERE p.location_id = ? AND p.verified_ms < ? AND p.state <> 'wanted' ORDER BY p.verified_ms, p.blob_id LIMIT ?`,
			location, before.UnixMilli(), n)
	})
	return all, err
}

// SetVerified records whether the object of a placement holds the blob. It
// reports false, and does nothing, when the placement changed since p was
// read: what was read may have been replaced.
func (db *DB) SetVerified(ctx context.Context, p Placement, healthy bool) (done bool, err error) {
	err = db.update(ctx, "set verified", func(ctx context.Context, t *tx) error {
		state, since := placePresent, ""
		if !healthy {
			state, since = placeDamaged, ", since_ms = "+big(t.now.UnixMilli()) // the next look is at others
		}
		n, err := t.exec(ctx, `UPDATE placements SET state = ?, verified_ms = ?`+since+` WHERE blob_id = ? AND location_id = ? AND path = ?
			AND verified_ms = ? AND state <> 'wanted'`, state, max(t.now.UnixMilli(), p.verified+1), p.Blob, p.Location, p.Path, p.verified)
		if done = n > 0; err != nil || !done || state == p.State {
			return err
		}
		return t.touchHolders(ctx, p.Blob)
	})
	return done, err
}

// Repaired records that the damaged object of a placement was replaced by
// bytes that have the digest. Nothing happens if the placement is another now.
func (db *DB) Repaired(ctx context.Context, p Placement) error {
	return db.update(ctx, "repair placement", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE placements SET state = '`+placePresent+`', verified_ms = ? WHERE blob_id = ? AND location_id = ?
			AND path = ? AND state = '`+placeDamaged+`'`, t.now.UnixMilli(), p.Blob, p.Location, p.Path)
		if err != nil || n == 0 {
			return err
		}
		return t.touchHolders(ctx, p.Blob)
	})
}

// BlobPlaces returns where healthy bytes of a blob are.
func (db *DB) BlobPlaces(ctx context.Context, id gantry.BlobID) (places []Place, err error) {
	err = db.read(ctx, "places of a blob", func(ctx context.Context, t *tx) error {
		places = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			var p Place
			err := rows.Scan(&p.Location, &p.Path)
			places = append(places, p)
			return err
		}, `SELECT location_id, path FROM placements WHERE blob_id = ? AND state = 'present' ORDER BY location_id`, id)
	})
	return places, err
}

// BlobHolders returns the names of up to n repositories that hold a blob, of
// the first ten times as many.
func (db *DB) BlobHolders(ctx context.Context, id gantry.BlobID, n int) (names []gantry.RepoName, err error) {
	err = db.read(ctx, "holders of a blob", func(ctx context.Context, t *tx) error {
		names = []gantry.RepoName{}
		return t.each(ctx, func(rows *sql.Rows) error {
			var name gantry.RepoName
			err := rows.Scan(&name.Namespace, &name.Name)
			names = append(names, name)
			return err
		}, `SELECT a.name, r.name FROM (SELECT repo_id FROM repo_blobs WHERE blob_id = ? ORDER BY repo_id LIMIT `+limit(10*n)+`) f
			JOIN repositories r ON r.id = f.repo_id JOIN accounts a ON a.id = r.ns_id WHERE r.deleted_ms = 0 ORDER BY f.repo_id LIMIT ?`, id, n)
	})
	return names, err
}

// A Flaw is an edge of the database that leads nowhere, or a sum that is not
// what it should be.
type Flaw struct {
	Check  string // what does not hold
	Count  int64  // how many rows
	Sample string // ids of one of them
}

// edgeChecks find rows that break a rule: the first two columns name one.
// What a check reads is of one statement, so that a running registry passes.
var edgeChecks = []struct{ name, from string }{
	{"a manifest's repository is there", `SELECT m.id, m.repo_id FROM manifests m WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.id = m.repo_id)`},
	{"a manifest has a body", `SELECT m.id, m.repo_id FROM manifests m WHERE NOT EXISTS (SELECT 1 FROM manifest_bodies b WHERE b.manifest_id = m.id)`},
	{"a body has a manifest", `SELECT b.manifest_id, 0 FROM manifest_bodies b WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = b.manifest_id)`},
	{"a tag's manifest is in its repository", `SELECT g.id, g.manifest_id FROM tags g WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = g.manifest_id AND m.repo_id = g.repo_id)`},
	{"an index and what it names are in its repository", `SELECT c.parent_id, c.child_id FROM manifest_children c WHERE
		NOT EXISTS (SELECT 1 FROM manifests p WHERE p.id = c.parent_id AND p.repo_id = c.repo_id) OR
		NOT EXISTS (SELECT 1 FROM manifests d WHERE d.id = c.child_id AND d.repo_id = c.repo_id)`},
	{"a manifest that uses a blob is there", `SELECT b.manifest_id, b.blob_id FROM manifest_blobs b WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = b.manifest_id AND m.repo_id = b.repo_id)`},
	{"a blob that a manifest uses is linked in its repository", `SELECT b.manifest_id, b.blob_id FROM manifest_blobs b WHERE
		NOT EXISTS (SELECT 1 FROM repo_blobs rb WHERE rb.repo_id = b.repo_id AND rb.blob_id = b.blob_id AND rb.linked > 0)`},
	{"a linked blob is counted in its namespace", `SELECT rb.repo_id, rb.blob_id FROM repo_blobs rb WHERE rb.linked > 0 AND
		NOT EXISTS (SELECT 1 FROM ns_blobs nb WHERE nb.ns_id = rb.ns_id AND nb.blob_id = rb.blob_id)`},
	{"a blob that a repository holds is there", `SELECT rb.repo_id, rb.blob_id FROM repo_blobs rb WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.id = rb.blob_id AND b.size = rb.size)`},
	{"a blob that a repository holds has a healthy placement", `SELECT rb.repo_id, rb.blob_id FROM repo_blobs rb WHERE
		NOT EXISTS (SELECT 1 FROM placements p WHERE p.blob_id = rb.blob_id AND p.state IN ('present', 'suspect'))`},
	{"a placement's blob is there", `SELECT p.blob_id, p.location_id FROM placements p WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.id = p.blob_id)`},
	{"a copy that is to be made has its blob's wanted placement", `SELECT c.blob_id, c.location_id FROM copies c WHERE
		NOT EXISTS (SELECT 1 FROM placements p WHERE p.blob_id = c.blob_id AND p.location_id = c.location_id)`},
	{"a wanted placement is to be copied", `SELECT p.blob_id, p.location_id FROM placements p WHERE p.state = 'wanted' AND
		NOT EXISTS (SELECT 1 FROM copies c WHERE c.blob_id = p.blob_id AND c.location_id = p.location_id)`},
	{fencedKeys, `SELECT p.blob_id, p.location_id FROM placements p JOIN trash x ON x.location_id = p.location_id AND x.path = p.path
		WHERE p.path <> '' AND p.state <> 'wanted'`},
	{"the usage of a repository is the size of its linked blobs", `SELECT r.id, r.ns_id FROM repositories r WHERE
		COALESCE((SELECT SUM(rb.size) FROM repo_blobs rb WHERE rb.repo_id = r.id AND rb.linked > 0), 0) <>
		COALESCE((SELECT SUM(d.bytes) FROM usage_deltas d WHERE d.ns_id = r.ns_id AND d.repo_id = r.id), 0) +
		COALESCE((SELECT SUM(u.bytes) FROM usage_totals u WHERE u.ns_id = r.ns_id AND u.repo_id = r.id), 0)`},
	{"the usage of a namespace is the size of its blobs", `SELECT a.id, 0 FROM accounts a WHERE a.kind <> 'robot' AND
		COALESCE((SELECT SUM(nb.size) FROM ns_blobs nb WHERE nb.ns_id = a.id), 0) <>
		COALESCE((SELECT SUM(d.bytes) FROM usage_deltas d WHERE d.ns_id = a.id AND d.repo_id = 0), 0) +
		COALESCE((SELECT SUM(u.bytes) FROM usage_totals u WHERE u.ns_id = a.id AND u.repo_id = 0), 0)`},
}

// fencedKeys leaves out what is only wanted: CopyDone looks at the trash.
const fencedKeys = "no placement's key is in the trash"

// fencedCanonical is the check of fencedKeys for canonical keys, which SQL
// cannot derive from a digest in one way for all databases. A key that is in
// the trash and then in use has been out of use for a day in between, so it
// need not be one statement.
func (t *tx) fencedCanonical(ctx context.Context) (f Flaw, err error) {
	f.Check = fencedKeys
	for after := int64(0); ; {
		digests := map[int64][][]byte{}
		n := 0
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var location int64
			var path string
			err := rows.Scan(&after, &location, &path)
			if d, ok := gantry.DigestFromKey(path); ok {
				digests[location] = append(digests[location], d.Bytes())
			}
			n++
			return err
		}, `SELECT id, location_id, path FROM trash WHERE id > ? ORDER BY id LIMIT `+big(maxCollectRows), after); err != nil || n == 0 {
			return f, err
		}
		for location, of := range digests {
			in, args := list(of, []any{location})
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var id int64
				err := rows.Scan(&id)
				f.Count++
				f.Sample = fmt.Sprintf("%d, %d", id, location)
				return err
			}, `SELECT p.blob_id FROM placements p JOIN blobs b ON b.id = p.blob_id WHERE p.location_id = ? AND p.path = '' AND p.state <> 'wanted' AND b.digest IN `+in, args...); err != nil {
				return f, err
			}
		}
	}
}

// VerifyEdges proves that every edge of the database leads somewhere and that
// usage is exact. Each check is one statement over whole tables: on a very
// large database it is for a quiet hour. A sound database has no flaws.
func (db *DB) VerifyEdges(ctx context.Context) (flaws []Flaw, err error) {
	err = db.read(ctx, "verify database", func(ctx context.Context, t *tx) error {
		flaws = nil
		for _, c := range edgeChecks {
			f := Flaw{Check: c.name}
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var a, b int64
				err := rows.Scan(&a, &b)
				if f.Count++; f.Count == 1 {
					f.Sample = fmt.Sprintf("%d, %d", a, b)
				}
				return err
			}, c.from); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if f.Count > 0 {
				flaws = append(flaws, f)
			}
		}
		f, err := t.fencedCanonical(ctx)
		if err == nil && f.Count > 0 {
			flaws = append(flaws, f)
		}
		return err
	})
	return flaws, err
}

// lostChecks find what collection would never look at, for its review is
// missing: a database that was put together from parts, or a bug.
var lostChecks = []string{
	`SELECT '` + reviewManifest + `', m.id, 0, m.lease_until_ms FROM manifests m WHERE
		NOT EXISTS (SELECT 1 FROM tags g WHERE g.manifest_id = m.id AND g.live = 1) AND
		NOT EXISTS (SELECT 1 FROM manifest_children p WHERE p.child_id = m.id) AND
		(m.hidden_ms <> 0 OR NOT EXISTS (SELECT 1 FROM manifests s WHERE s.repo_id = m.repo_id AND s.digest = m.subject)) AND
		NOT EXISTS (SELECT 1 FROM gc_reviews q WHERE q.kind = '` + reviewManifest + `' AND q.ref = m.id)`,
	`SELECT '` + reviewRepoBlob + `', rb.repo_id, rb.blob_id, 0 FROM repo_blobs rb WHERE rb.linked > 0 AND
		NOT EXISTS (SELECT 1 FROM manifest_blobs mb WHERE mb.repo_id = rb.repo_id AND mb.blob_id = rb.blob_id) AND
		NOT EXISTS (SELECT 1 FROM gc_reviews q WHERE q.kind = '` + reviewRepoBlob + `' AND q.ref = rb.repo_id AND q.ref2 = rb.blob_id)`,
	`SELECT '` + reviewNSBlob + `', nb.ns_id, nb.blob_id, 0 FROM ns_blobs nb WHERE
		NOT EXISTS (SELECT 1 FROM repo_blobs rb WHERE rb.ns_id = nb.ns_id AND rb.blob_id = nb.blob_id AND rb.linked > 0) AND
		NOT EXISTS (SELECT 1 FROM gc_reviews q WHERE q.kind = '` + reviewNSBlob + `' AND q.ref = nb.ns_id AND q.ref2 = nb.blob_id)`,
	`SELECT '` + reviewBlob + `', b.id, 0, 0 FROM blobs b WHERE
		NOT EXISTS (SELECT 1 FROM repo_blobs rb WHERE rb.blob_id = b.id) AND
		NOT EXISTS (SELECT 1 FROM gc_reviews q WHERE q.kind = '` + reviewBlob + `' AND q.ref = b.id)`,
	`SELECT '` + reviewRepository + `', r.id, 0, 0 FROM repositories r WHERE r.deleted_ms <> 0 AND
		NOT EXISTS (SELECT 1 FROM gc_reviews q WHERE q.kind = '` + reviewRepository + `' AND q.ref = r.id)`,
}

// QueueLost queues a review of everything that nothing keeps and that no
// review waits for, and returns how many those were. In a sound database, at
// rest, there are none; a running one may have some that are about to be
// queued, and a review too many does no harm.
func (db *DB) QueueLost(ctx context.Context) (found int64, err error) {
	var lost []queued
	if err := db.read(ctx, "find lost", func(ctx context.Context, t *tx) error {
		lost = nil
		for _, q := range lostChecks {
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var l queued
				err := rows.Scan(&l.kind, &l.ref, &l.ref2, &l.after)
				lost = append(lost, l)
				return err
			}, q+` LIMIT 100000`); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	found = int64(len(lost))
	for len(lost) > 0 {
		chunk := lost[:min(maxCollectRows, len(lost))]
		lost = lost[len(chunk):]
		if err := db.update(ctx, "queue lost", func(ctx context.Context, t *tx) error {
			for i := range chunk {
				chunk[i].after = max(chunk[i].after, t.now.UnixMilli())
			}
			return t.reviews(ctx, append([]queued(nil), chunk...))
		}); err != nil {
			return 0, err
		}
	}
	return found, nil
}
