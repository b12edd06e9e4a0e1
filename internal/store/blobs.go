package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// States of a placement.
const (
	placeWanted  = "wanted"  // the bytes are still to come
	placePresent = "present" // the bytes are there, whole
	placeSuspect = "suspect" // a read failed; to be verified
	placeDamaged = "damaged" // the bytes do not have the digest
)

// A Place is where the bytes of a blob are.
type Place struct {
	Location int64
	Path     string // key of the object; "" = Digest.Key
	Suspect  bool   // a read found it missing or damaged: to be verified, and read only if there is no other
}

// A Blob is a blob as one repository sees it.
type Blob struct {
	ID         gantry.BlobID
	Digest     gantry.Digest
	Size       int64
	Linked     bool      // a manifest of the repository uses or used it
	LeaseUntil time.Time // until when an upload or mount keeps it
	Places     []Place   // healthy and suspect ones; empty: the bytes are lost, or not here yet
}

var errNoBlob = &gantry.Error{Code: gantry.NotFound, Object: "blob", Detail: "blob unknown to registry"}

// RepoBlob finds a blob that the repository holds; NotFound on "blob". One
// statement.
func (db *DB) RepoBlob(ctx context.Context, repo gantry.RepoID, d gantry.Digest) (b Blob, err error) {
	err = db.read(ctx, "find blob", func(ctx context.Context, t *tx) error {
		b = Blob{Digest: d}
		err := t.each(ctx, func(rows *sql.Rows) error {
			var (
				linked, lease int64
				location      sql.NullInt64
				path, state   sql.NullString
			)
			if err := rows.Scan(&b.ID, &b.Size, &linked, &lease, &location, &path, &state); err != nil {
				return err
			}
			b.Linked, b.LeaseUntil = linked != 0, gantry.FromMillis(lease)
			if location.Valid {
				b.Places = append(b.Places, Place{location.Int64, path.String, state.String == placeSuspect})
			}
			return nil
		}, `SELECT b.id, b.size, rb.linked, rb.lease_until_ms, p.location_id, p.path, p.state FROM blobs b
			JOIN repo_blobs rb ON rb.blob_id = b.id
			JOIN repositories r ON r.id = rb.repo_id
			LEFT JOIN placements p ON p.blob_id = b.id AND p.state IN ('present', 'suspect')
			WHERE b.digest = ? AND rb.repo_id = ? AND rb.hidden_ms = 0 AND r.deleted_ms = 0
			ORDER BY p.location_id`, d.Bytes(), repo)
		if err == nil && b.ID == 0 {
			return errNoBlob
		}
		return err
	})
	return b, err
}

// RenewBlob prolongs the lease of a blob to at least lease from now. NotFound
// on "blob" if the repository does not hold it any more.
func (db *DB) RenewBlob(ctx context.Context, repo gantry.RepoID, blob gantry.BlobID, lease time.Duration) error {
	return db.update(ctx, "renew blob", func(ctx context.Context, t *tx) error {
		until := t.now.Add(lease).UnixMilli()
		n, err := t.exec(ctx, `UPDATE repo_blobs SET lease_until_ms = CASE WHEN lease_until_ms < ? THEN ? ELSE lease_until_ms END
			WHERE repo_id = ? AND blob_id = ? AND hidden_ms = 0`, until, until, repo, blob)
		if err == nil && n == 0 {
			return errNoBlob
		}
		t.grow(repo)
		return err
	})
}

// A CommitPlan says what is already here of a blob that was uploaded (U3).
type CommitPlan struct {
	Healthy bool // the location holds the bytes: nothing need be published
	// Fenced: the canonical key waits to be deleted, or was of late; it may
	// not be used.
	Fenced bool
}

// PlanCommit looks before a commit at what the location holds of the blob d.
// The answer may be old when the commit comes: CommitBlob looks again. One
// statement.
func (db *DB) PlanCommit(ctx context.Context, d gantry.Digest, location int64) (p CommitPlan, err error) {
	err = db.read(ctx, "plan commit", func(ctx context.Context, t *tx) error {
		var healthy, fenced int
		err := t.queryRow(ctx, `SELECT
			(SELECT COUNT(*) FROM placements p JOIN blobs b ON b.id = p.blob_id
				WHERE b.digest = ? AND p.location_id = ? AND p.state = 'present'),
			(SELECT COUNT(*) FROM trash WHERE location_id = ? AND path = ?)`,
			d.Bytes(), location, location, d.Key()).Scan(&healthy, &fenced)
		p = CommitPlan{Healthy: healthy > 0, Fenced: fenced > 0}
		return err
	})
	return p, err
}

// A BlobCommit is an uploaded blob to be made known (U5).
type BlobCommit struct {
	Repo     gantry.RepoID
	Digest   gantry.Digest
	Size     int64
	Location int64
	// Path is the object that holds the bytes: "" for the canonical key, or
	// else the key. With Unplaced there is none: PlanCommit said Healthy.
	Path     string
	Unplaced bool
	// Upload is the row that ends with the commit, of that Version; "" = none.
	Upload  string
	Version int64
	Lease   time.Duration // how long the repository keeps the blob without a manifest
	// Wanted are locations that the blob is to be copied to: where it would
	// have been uploaded if they had been there.
	Wanted []int64
}

// A Committed says what became of the object of a BlobCommit.
type Committed struct {
	ID gantry.BlobID
	// Used: the object at Path is the blob's placement. Otherwise the location
	// had the bytes already.
	Used bool
}

var (
	// ErrKeyFenced is CommitBlob's refusal of the canonical key: it is in the
	// trash. The bytes must be committed where they were uploaded.
	ErrKeyFenced = errors.New("the key waits to be deleted")
	// ErrBlobGone is CommitBlob's answer when Unplaced bytes are no longer
	// there: publish, then commit again.
	ErrBlobGone = errors.New("the location does not hold the blob any more")
)

// CommitBlob makes an uploaded blob known: blob, placement, the repository's
// link with a lease, and the end of the upload, at once. At most six
// statements. Errors: ErrKeyFenced, ErrBlobGone; NotFound on "repository";
// Conflict on "upload" when its row is not at Version any more.
func (db *DB) CommitBlob(ctx context.Context, c BlobCommit) (out Committed, err error) {
	err = db.update(ctx, "commit blob", func(ctx context.Context, t *tx) error {
		out = Committed{}
		if c.Upload != "" {
			n, err := t.exec(ctx, `DELETE FROM uploads WHERE uuid = ? AND version = ?`, c.Upload, c.Version)
			if err != nil {
				return err
			}
			if n == 0 {
				return errUploadBusy
			}
		}
		var (
			ns gantry.AccountID
			id sql.Null[gantry.BlobID]
		)
		if err := t.queryRow(ctx, `SELECT r.ns_id, b.id FROM repositories r LEFT JOIN blobs b ON b.digest = ?
			WHERE r.id = ? AND r.deleted_ms = 0`, c.Digest.Bytes(), c.Repo).Scan(&ns, &id); err != nil {
			return notFound(err, errNoRepository)
		}
		ms := t.now.UnixMilli()
		if id.Valid {
			out.ID = id.V
			if !t.d.serial { // the row must stay until the placement and the link are committed
				if err := t.queryRow(ctx, `SELECT id FROM blobs WHERE id = ?`+t.d.share, out.ID).Scan(&out.ID); errors.Is(err, sql.ErrNoRows) {
					return errRaced
				} else if err != nil {
					return err
				}
			}
		} else {
			n, err := t.insertIgnore(ctx, `INSERT INTO blobs (digest, size, created_ms) VALUES (?, ?, ?)`, c.Digest.Bytes(), c.Size, ms)
			if err != nil {
				return err
			}
			if n == 0 {
				return errRaced
			}
			out.ID = gantry.BlobID(n)
		}
		key := c.Path
		if key == "" {
			key = c.Digest.Key()
		}
		var (
			fenced int
			state  sql.NullString
			path   sql.NullString
		)
		if err := t.queryRow(ctx, `SELECT (SELECT COUNT(*) FROM trash WHERE location_id = ? AND path = ?),
			(SELECT state FROM placements WHERE blob_id = ? AND location_id = ?),
			(SELECT path FROM placements WHERE blob_id = ? AND location_id = ?)`,
			c.Location, key, out.ID, c.Location, out.ID, c.Location).Scan(&fenced, &state, &path); err != nil {
			return err
		}
		switch {
		case state.String == placePresent:
			out.Used = !c.Unplaced && path.String == c.Path
		case c.Unplaced:
			return ErrBlobGone
		case fenced > 0:
			return ErrKeyFenced
		default:
			// What is wanted has no object yet, or one that ADOPT finds.
			if state.Valid && state.String != placeWanted && path.String != c.Path {
				// The bad object that the placement names goes to the trash:
				// only under a lock that nobody shares who may be about to
				// use its key.
				if err := t.replaceBad(ctx, out.ID, c.Location, path.String, c.Digest); err != nil {
					return err
				}
			}
			if _, err := t.exec(ctx, `INSERT INTO placements (blob_id, location_id, path, state, since_ms, verified_ms) VALUES (?, ?, ?, ?, ?, ?)`+
				t.d.upsert("blob_id, location_id", "path = "+t.d.fresh("path")+", state = "+t.d.fresh("state")+
					", since_ms = "+t.d.fresh("since_ms")+", verified_ms = "+t.d.fresh("verified_ms")),
				out.ID, c.Location, c.Path, placePresent, ms, ms); err != nil {
				return err
			}
			out.Used = true
		}
		t.grow(c.Repo)
		if len(c.Wanted) > 0 {
			if _, err := t.want(ctx, map[gantry.BlobID][]int64{out.ID: c.Wanted}, copyFresh); err != nil {
				return err
			}
		}
		return t.linkBlob(ctx, c.Repo, ns, out.ID, c.Size, t.now.Add(c.Lease))
	})
	return out, err
}

// replaceBad queues the object of a placement that is not healthy for
// deletion, unless the placement changed since it was read at path.
func (t *tx) replaceBad(ctx context.Context, id gantry.BlobID, location int64, path string, d gantry.Digest) error {
	if !t.d.serial {
		if err := t.queryRow(ctx, `SELECT id FROM blobs WHERE id = ?`+t.d.excl, id).Scan(&id); err != nil {
			return err
		}
		var n int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM placements WHERE blob_id = ? AND location_id = ? AND path = ? AND state <> 'present'`,
			id, location, path).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return errRaced
		}
	}
	return t.discard(ctx, []object{{location: location, path: orCanonical(path, d)}}, trashDelay)
}

func orCanonical(path string, d gantry.Digest) string {
	if path == "" {
		return d.Key()
	}
	return path
}

// trashDelay is how long after its last placement an object is deleted:
// pulls that run end, and caches forget.
const trashDelay = 15 * time.Minute

// linkBlob lets the repository hold the blob, at least until then.
func (t *tx) linkBlob(ctx context.Context, repo gantry.RepoID, ns gantry.AccountID, blob gantry.BlobID, size int64, until time.Time) error {
	lease := t.d.fresh("lease_until_ms")
	_, err := t.exec(ctx, `INSERT INTO repo_blobs (repo_id, blob_id, ns_id, size, linked, lease_until_ms, hidden_ms)
		VALUES (?, ?, ?, ?, 0, ?, 0)`+
		t.d.upsert("repo_id, blob_id", "hidden_ms = 0, lease_until_ms = CASE WHEN repo_blobs.lease_until_ms > "+lease+
			" THEN repo_blobs.lease_until_ms ELSE "+lease+" END"),
		repo, blob, ns, size, until.UnixMilli())
	return err
}

// maxMountSources bounds the repositories that a mount without a source
// looks at.
const maxMountSources = 200

// A Mount links a blob of another repository.
type Mount struct {
	Repo    gantry.RepoID
	Digest  gantry.Digest
	Sources []gantry.RepoID // that the caller may read
	Public  bool            // also any public repository, among the first that hold the blob
	Lease   time.Duration
}

// MountBlob links a blob from the first source that holds it. ok is false
// when none does. NotFound on "repository" if the target is gone.
func (db *DB) MountBlob(ctx context.Context, m Mount) (b Blob, ok bool, err error) {
	err = db.update(ctx, "mount blob", func(ctx context.Context, t *tx) error {
		b, ok = Blob{Digest: m.Digest}, false
		var ns gantry.AccountID
		var id sql.Null[gantry.BlobID]
		if err := t.queryRow(ctx, `SELECT r.ns_id, b.id FROM repositories r LEFT JOIN blobs b ON b.digest = ?
			WHERE r.id = ? AND r.deleted_ms = 0`, m.Digest.Bytes(), m.Repo).Scan(&ns, &id); err != nil {
			return notFound(err, errNoRepository)
		}
		if !id.Valid {
			return nil
		}
		in, args := list(m.Sources, nil)
		// Repositories that hold the blob: those that were named, then a bounded look at the public ones.
		q := `SELECT rb.repo_id FROM repo_blobs rb JOIN repositories s ON s.id = rb.repo_id
			WHERE rb.blob_id = ? AND rb.hidden_ms = 0 AND s.deleted_ms = 0 AND rb.repo_id IN ` + in + ` ORDER BY rb.repo_id LIMIT 1`
		args = append([]any{id.V}, args...)
		var source gantry.RepoID
		err := t.queryRow(ctx, q, args...).Scan(&source)
		if errors.Is(err, sql.ErrNoRows) && m.Public {
			err = t.queryRow(ctx, `SELECT f.repo_id FROM (SELECT repo_id FROM repo_blobs WHERE blob_id = ? AND hidden_ms = 0
				ORDER BY repo_id LIMIT `+limit(maxMountSources)+`) f
				JOIN repositories s ON s.id = f.repo_id JOIN accounts a ON a.id = s.ns_id
				WHERE s.deleted_ms = 0 AND s.visibility = 'public' AND a.enabled = 1 AND a.deleted_ms = 0
				ORDER BY f.repo_id LIMIT 1`, id.V).Scan(&source)
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if !t.d.serial {
			var x int64
			err := t.queryRow(ctx, `SELECT blob_id FROM repo_blobs WHERE repo_id = ? AND blob_id = ? AND hidden_ms = 0`+t.d.share,
				source, id.V).Scan(&x)
			if errors.Is(err, sql.ErrNoRows) {
				return errRaced
			}
			if err != nil {
				return err
			}
		}
		err = t.queryRow(ctx, `SELECT id, size FROM blobs WHERE id = ?`+t.d.share, id.V).Scan(&b.ID, &b.Size)
		if errors.Is(err, sql.ErrNoRows) {
			return errRaced
		}
		if err != nil {
			return err
		}
		ok = true
		t.grow(m.Repo)
		return t.linkBlob(ctx, m.Repo, ns, b.ID, b.Size, t.now.Add(m.Lease))
	})
	return b, ok, err
}
