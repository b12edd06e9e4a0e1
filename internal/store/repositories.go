package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Repository is a row of repositories with what its namespace adds.
type Repository struct {
	ID               gantry.RepoID
	Namespace        gantry.AccountID
	NamespaceKind    gantry.AccountKind // User or Organization
	NamespaceEnabled bool
	Name             gantry.RepoName
	Visibility       gantry.Visibility
	State            gantry.RepoState
	Version          int64 // grows when something that was granted is taken away
	Description      string
	Created          time.Time
	// Retention is how long an ended tag can be restored: the namespace's own
	// choice, or a negative value where it made none.
	Retention time.Duration
	// Upstream is what the namespace stands for, if it is a proxy cache: then
	// nobody pushes there. Set by package proxycache alone; a negative ID is
	// that of a repository that upstream may have and that is not here yet.
	Upstream string
}

const repositoryColumns = `r.id, r.ns_id, a.kind, a.enabled, a.name, r.name, r.visibility, r.state, r.version,
	r.description, r.created_ms, a.retention_s`

// scanRepository reads repositoryColumns, and what stands behind them into
// more.
func scanRepository(row interface{ Scan(...any) error }, more ...any) (Repository, error) {
	var (
		r                  Repository
		created, retention int64
		enabled            int
	)
	err := row.Scan(append([]any{&r.ID, &r.Namespace, &r.NamespaceKind, &enabled, &r.Name.Namespace, &r.Name.Name, &r.Visibility,
		&r.State, &r.Version, &r.Description, &created, &retention}, more...)...)
	r.NamespaceEnabled = enabled == 1
	r.Created = gantry.FromMillis(created)
	r.Retention = time.Duration(retention) * time.Second
	return r, err
}

var errNoRepository = &gantry.Error{Code: gantry.NotFound, Object: "repository", Detail: "repository name not known to registry"}

// Repository finds a repository by name. A deleted one is NotFound on
// "repository".
func (db *DB) Repository(ctx context.Context, name gantry.RepoName) (r Repository, err error) {
	err = db.read(ctx, "find repository", func(ctx context.Context, t *tx) error {
		r, err = scanRepository(t.queryRow(ctx, `SELECT `+repositoryColumns+` FROM accounts a
			JOIN repositories r ON r.ns_id = a.id
			WHERE a.name = ? AND a.deleted_ms = 0 AND r.name = ? AND r.deleted_ms = 0`, name.Namespace, name.Name))
		return notFound(err, errNoRepository)
	})
	return r, err
}

// RepositoryByID is Repository for a known id.
func (db *DB) RepositoryByID(ctx context.Context, id gantry.RepoID) (r Repository, err error) {
	err = db.read(ctx, "read repository", func(ctx context.Context, t *tx) error {
		r, err = scanRepository(t.queryRow(ctx, `SELECT `+repositoryColumns+` FROM repositories r
			JOIN accounts a ON a.id = r.ns_id
			WHERE r.id = ? AND r.deleted_ms = 0 AND a.deleted_ms = 0`, id))
		return notFound(err, errNoRepository)
	})
	return r, err
}

// RepositoriesOf reads repositories in the order of their ids in the list.
// Those that are gone are left out.
func (db *DB) RepositoriesOf(ctx context.Context, ids []gantry.RepoID) (all []Repository, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found := map[gantry.RepoID]Repository{}
	err = db.read(ctx, "read repositories", func(ctx context.Context, t *tx) error {
		in, args := list(ids, nil)
		return t.each(ctx, func(rows *sql.Rows) error {
			r, err := scanRepository(rows)
			found[r.ID] = r
			return err
		}, `SELECT `+repositoryColumns+` FROM repositories r JOIN accounts a ON a.id = r.ns_id
			WHERE r.id IN `+in+` AND r.deleted_ms = 0 AND a.deleted_ms = 0`, args...)
	})
	for _, id := range ids {
		if r, ok := found[id]; ok {
			all = append(all, r)
		}
	}
	return all, err
}

// LastPushed returns when a tag of each repository last came to point to
// something. One that never had a tag is not there. It reads one entry of an
// index for each.
func (db *DB) LastPushed(ctx context.Context, ids []gantry.RepoID) (at map[gantry.RepoID]time.Time, err error) {
	at = map[gantry.RepoID]time.Time{}
	if len(ids) == 0 {
		return at, nil
	}
	err = db.read(ctx, "last pushes", func(ctx context.Context, t *tx) error {
		in, args := list(ids, nil)
		return t.each(ctx, func(rows *sql.Rows) error {
			var id gantry.RepoID
			var ms sql.NullInt64
			err := rows.Scan(&id, &ms)
			if ms.Valid {
				at[id] = gantry.FromMillis(ms.Int64)
			}
			return err
		}, `SELECT r.id, (SELECT MAX(t.start_ms) FROM tags t WHERE t.repo_id = r.id) FROM repositories r WHERE r.id IN `+in, args...)
	})
	return at, err
}
