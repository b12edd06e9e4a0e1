package store

import (
	"context"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Upload is a blob on its way in. Received bytes are on stable storage at
// Path, and EngineState and HashState belong to exactly that offset.
type Upload struct {
	UUID        string
	Repo        gantry.RepoID
	Namespace   gantry.AccountID
	Actor       gantry.AccountID
	Location    int64
	Path        string
	EngineState []byte
	Algorithm   string // "sha256" or "sha512"
	HashState   []byte // nil: nothing was hashed yet
	Received    int64
	Version     int64  // changes with every write of the row
	Holder      string // the process that is writing now, or ""
	Created     time.Time
	Touched     time.Time // last sign of life
}

var errNoUpload = &gantry.Error{Code: gantry.NotFound, Object: "upload",
	Detail: "blob upload unknown to registry: it was finished, cancelled or left alone for too long; start again"}

var errUploadBusy = &gantry.Error{Code: gantry.Conflict, Object: "upload",
	Detail: "another request is writing this upload"}

// CreateUpload records a new upload of the repository u.Repo, all of u but
// Namespace, Version, Created and Touched, and returns its namespace. Its
// Version is 1. NotFound on "repository" if that is gone.
func (db *DB) CreateUpload(ctx context.Context, u Upload) (ns gantry.AccountID, err error) {
	err = db.update(ctx, "create upload", func(ctx context.Context, t *tx) error {
		ms := t.now.UnixMilli()
		err := t.queryRow(ctx, `SELECT ns_id FROM repositories WHERE id = ? AND deleted_ms = 0`, u.Repo).Scan(&ns)
		if err != nil {
			return notFound(err, errNoRepository)
		}
		created := ms
		if !u.Created.IsZero() {
			created = u.Created.UnixMilli()
		}
		_, err = t.exec(ctx, `INSERT INTO uploads (uuid, repo_id, ns_id, actor_id, location_id, path, engine_state, algorithm, hash_state,
			received, version, holder, created_ms, touched_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)`,
			u.UUID, u.Repo, ns, u.Actor, u.Location, u.Path, u.EngineState, u.Algorithm, u.HashState, u.Received, u.Holder, created, ms)
		return err
	})
	return ns, err
}

// Upload returns an upload of the repository; NotFound on "upload".
func (db *DB) Upload(ctx context.Context, repo gantry.RepoID, uuid string) (u Upload, err error) {
	err = db.read(ctx, "read upload", func(ctx context.Context, t *tx) error {
		var created, touched int64
		u = Upload{UUID: uuid, Repo: repo}
		err := t.queryRow(ctx, `SELECT ns_id, actor_id, location_id, path, engine_state, algorithm, hash_state, received, version,
			holder, created_ms, touched_ms FROM uploads WHERE uuid = ? AND repo_id = ?`, uuid, repo).Scan(
			&u.Namespace, &u.Actor, &u.Location, &u.Path, &u.EngineState, &u.Algorithm, &u.HashState, &u.Received, &u.Version,
			&u.Holder, &created, &touched)
		u.Created, u.Touched = gantry.FromMillis(created), gantry.FromMillis(touched)
		return notFound(err, errNoUpload)
	})
	return u, err
}

// SaveUpload writes what may change of u (Location, Path, EngineState,
// Algorithm, HashState, Received, Holder) if the row still has u.Version, and
// returns the new version. Otherwise the error is Conflict on "upload".
func (db *DB) SaveUpload(ctx context.Context, u Upload) (version int64, err error) {
	err = db.update(ctx, "save upload", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE uploads SET location_id = ?, path = ?, engine_state = ?, algorithm = ?, hash_state = ?,
			received = ?, holder = ?, touched_ms = ?, version = version + 1 WHERE uuid = ? AND version = ?`,
			u.Location, u.Path, u.EngineState, u.Algorithm, u.HashState, u.Received, u.Holder, t.now.UnixMilli(), u.UUID, u.Version)
		if err == nil && n == 0 {
			return errUploadBusy
		}
		return err
	})
	return u.Version + 1, err
}

// TouchUpload shows that whoever holds the upload is alive; Conflict on
// "upload" if it holds it no more.
func (db *DB) TouchUpload(ctx context.Context, uuid string, version int64) error {
	return db.update(ctx, "touch upload", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE uploads SET touched_ms = ? WHERE uuid = ? AND version = ?`, t.now.UnixMilli(), uuid, version)
		if err == nil && n == 0 {
			return errUploadBusy
		}
		return err
	})
}

// UploadAt reports whether an upload, or a blob, is at the key of a location.
func (db *DB) UploadAt(ctx context.Context, location int64, key string) (is bool, err error) {
	err = db.read(ctx, "upload at a key", func(ctx context.Context, t *tx) error {
		uuid, _ := strings.CutPrefix(key, "uploads/")
		var n int
		err := t.queryRow(ctx, `SELECT (SELECT COUNT(*) FROM uploads WHERE uuid = ? AND location_id = ?) +
			(SELECT COUNT(*) FROM placements WHERE location_id = ? AND path = ?)`,
			uuid[:min(len(uuid), 36)], location, location, key).Scan(&n) // what follows the uuid tells takers apart
		is = n > 0
		return err
	})
	return is, err
}

// DeleteUpload forgets an upload of that version; a version of 0 is any. It
// reports whether the row was there.
func (db *DB) DeleteUpload(ctx context.Context, uuid string, version int64) (was bool, err error) {
	err = db.update(ctx, "delete upload", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM uploads WHERE uuid = ? AND (version = ? OR ? = 0)`, uuid, version, version)
		was = n > 0
		return err
	})
	return was, err
}
