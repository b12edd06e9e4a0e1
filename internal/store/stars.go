package store

import (
	"context"
	"database/sql"
	"slices"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Star marks a repository for an account; one that is marked stays so. The
// journal does not have it: nobody else is touched.
func (db *DB) Star(ctx context.Context, account gantry.AccountID, repo gantry.RepoID) error {
	return db.update(ctx, "star repository", func(ctx context.Context, t *tx) error {
		var id int64
		if err := t.queryRow(ctx, `SELECT id FROM repositories WHERE id = ? AND deleted_ms = 0`+t.d.share, repo).Scan(&id); err != nil {
			return notFound(err, errNoRepository)
		}
		_, err := t.exec(ctx, `INSERT INTO stars (account_id, repo_id, created_ms) VALUES (?, ?, ?)`+t.d.ignore("repo_id"), account, repo, t.now.UnixMilli())
		return err
	})
}

// Unstar takes a mark away; that there is none is no error.
func (db *DB) Unstar(ctx context.Context, account gantry.AccountID, name gantry.RepoName) error {
	return db.update(ctx, "unstar repository", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM stars WHERE account_id = ? AND repo_id IN (SELECT r.id FROM repositories r JOIN accounts a ON a.id = r.ns_id
			WHERE a.name = ? AND a.deleted_ms = 0 AND r.name = ? AND r.deleted_ms = 0)`, account, name.Namespace, name.Name)
		return err
	})
}

// Starred tells which of the repositories an account has marked.
func (db *DB) Starred(ctx context.Context, account gantry.AccountID, repos ...gantry.RepoID) (map[gantry.RepoID]bool, error) {
	marked := map[gantry.RepoID]bool{}
	if account == 0 {
		return marked, nil
	}
	err := db.read(ctx, "read stars", func(ctx context.Context, t *tx) error {
		for chunk := range slices.Chunk(repos, 1000) {
			in, args := list(chunk, []any{account})
			if err := t.each(ctx, func(r *sql.Rows) error {
				var id gantry.RepoID
				err := r.Scan(&id)
				marked[id] = true
				return err
			}, `SELECT repo_id FROM stars WHERE account_id = ? AND repo_id IN `+in, args...); err != nil {
				return err
			}
		}
		return nil
	})
	return marked, err
}
