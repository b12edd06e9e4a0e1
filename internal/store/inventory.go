package store

import (
	"context"
	"database/sql"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Inventory says how much there is, without what is deleted.
type Inventory struct {
	Users         int64 // enabled ones
	Organizations int64
	Robots        int64
	Repositories  int64
}

// Inventory counts accounts and repositories. It reads whole indexes: once an
// hour is often enough.
func (db *DB) Inventory(ctx context.Context) (n Inventory, err error) {
	err = db.read(ctx, "count", func(ctx context.Context, t *tx) error {
		n = Inventory{}
		err := t.each(ctx, func(rows *sql.Rows) error {
			var kind string
			var enabled, count int64
			if err := rows.Scan(&kind, &enabled, &count); err != nil {
				return err
			}
			switch gantry.AccountKind(kind) {
			case gantry.User:
				n.Users += enabled * count
			case gantry.Organization:
				n.Organizations += count
			case gantry.Robot:
				n.Robots += count
			}
			return nil
		}, `SELECT kind, enabled, COUNT(*) FROM accounts WHERE deleted_ms = 0 GROUP BY kind, enabled`)
		if err != nil {
			return err
		}
		return t.queryRow(ctx, `SELECT COUNT(*) FROM repositories WHERE deleted_ms = 0`).Scan(&n.Repositories)
	})
	return n, err
}

// Users returns up to n users, without robots and organizations, whose names
// are greater than after, by name.
func (db *DB) Users(ctx context.Context, after string, n int) (list []Account, err error) {
	err = db.read(ctx, "list users", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			a, err := scanAccount(rows)
			list = append(list, a)
			return err
		}, `SELECT `+accountColumns+` FROM accounts a`+accountOwner+
			` WHERE a.kind = 'user' AND a.deleted_ms = 0 AND a.name > ? ORDER BY a.name LIMIT `+limit(n), after)
	})
	return list, err
}
