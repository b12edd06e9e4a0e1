package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Usage returns the bytes that a namespace (repo 0) or one of its
// repositories uses, each blob counted once. It is exact at every instant:
// the folded total and what is not folded yet come from one statement.
func (db *DB) Usage(ctx context.Context, ns gantry.AccountID, repo gantry.RepoID) (bytes int64, err error) {
	err = db.read(ctx, "read usage", func(ctx context.Context, t *tx) error {
		bytes = 0
		return t.queryRow(ctx, `SELECT COALESCE((SELECT bytes FROM usage_totals WHERE ns_id = ? AND repo_id = ?), 0) +
			COALESCE((SELECT SUM(bytes) FROM usage_deltas WHERE ns_id = ? AND repo_id = ?), 0)`, ns, repo, ns, repo).Scan(&bytes)
	})
	return bytes, err
}

// FoldUsage adds up to n deltas to their totals and returns how many there
// were. It may run in several instances at once, and beside every push.
func (db *DB) FoldUsage(ctx context.Context, n int) (folded int, err error) {
	type key struct {
		ns   gantry.AccountID
		repo gantry.RepoID
	}
	err = db.update(ctx, "fold usage", func(ctx context.Context, t *tx) error {
		folded = 0
		// One at a time: two would add the same rows twice.
		if _, err := t.counter(ctx, "fold"); err != nil {
			return err
		}
		sums := map[key]int64{}
		var ids []int64
		err := t.each(ctx, func(r *sql.Rows) error {
			var id, bytes int64
			var k key
			err := r.Scan(&id, &k.ns, &k.repo, &bytes)
			ids, sums[k] = append(ids, id), sums[k]+bytes
			return err
		}, fmt.Sprintf(`SELECT id, ns_id, repo_id, bytes FROM usage_deltas ORDER BY id LIMIT %d`, n))
		if err != nil || len(ids) == 0 {
			return err
		}
		keys := make([]key, 0, len(sums))
		for k := range sums {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.ns, b.ns), cmp.Compare(a.repo, b.repo)) })
		for _, k := range keys {
			if _, err := t.exec(ctx, `INSERT INTO usage_totals (ns_id, repo_id, bytes) VALUES (?, ?, ?)`+
				t.d.upsert("ns_id, repo_id", "bytes = usage_totals.bytes + "+t.d.fresh("bytes")), k.ns, k.repo, sums[k]); err != nil {
				return err
			}
		}
		for chunk := range slices.Chunk(ids, 500) {
			in, args := list(chunk, nil)
			if _, err := t.exec(ctx, `DELETE FROM usage_deltas WHERE id IN `+in, args...); err != nil {
				return err
			}
		}
		folded = len(ids)
		return nil
	})
	return folded, err
}

// A Drift is a usage that is not what membership says.
type Drift struct {
	Namespace        gantry.AccountID
	Repo             gantry.RepoID // 0 = the namespace as a whole
	Recorded, Actual int64         // bytes
}

// CheckUsage compares the usage of a namespace and its repositories with the
// blobs that they hold, in one statement, and returns the differences; there
// are none unless something is wrong.
func (db *DB) CheckUsage(ctx context.Context, ns gantry.AccountID) (drifts []Drift, err error) {
	err = db.read(ctx, "check usage", func(ctx context.Context, t *tx) error {
		drifts = nil
		return t.each(ctx, func(r *sql.Rows) error {
			d := Drift{Namespace: ns}
			err := r.Scan(&d.Repo, &d.Recorded, &d.Actual)
			drifts = append(drifts, d)
			return err
		}, `SELECT repo_id, SUM(recorded), SUM(actual) FROM (
			SELECT repo_id, bytes AS recorded, 0 AS actual FROM usage_totals WHERE ns_id = ?
			UNION ALL SELECT repo_id, bytes, 0 FROM usage_deltas WHERE ns_id = ?
			UNION ALL SELECT 0, 0, size FROM ns_blobs WHERE ns_id = ?
			UNION ALL SELECT repo_id, 0, size FROM repo_blobs WHERE ns_id = ? AND linked <> 0
			) x GROUP BY repo_id HAVING SUM(recorded) <> SUM(actual) ORDER BY repo_id`, ns, ns, ns, ns)
	})
	return drifts, err
}
