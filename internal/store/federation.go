package store

import (
	"context"
	"database/sql"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A FederatedIdentity is one of another identity provider that may act as a
// robot.
type FederatedIdentity struct {
	Issuer  string
	Subject string
}

// RobotFederation lists who may act as a robot, in the order in which they
// were given.
func (db *DB) RobotFederation(ctx context.Context, robot gantry.AccountID) (list []FederatedIdentity, err error) {
	err = db.read(ctx, "read robot federation", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var f FederatedIdentity
			err := r.Scan(&f.Issuer, &f.Subject)
			list = append(list, f)
			return err
		}, `SELECT issuer, subject FROM robot_federations WHERE account_id = ? ORDER BY id LIMIT `+limit(maxListed), robot)
	})
	return list, err
}

// SetRobotFederation replaces the list of who may act as a robot; an empty one
// lets nobody. The identities differ.
func (db *DB) SetRobotFederation(ctx context.Context, robot Account, list []FederatedIdentity, actor gantry.Actor) error {
	return db.update(ctx, "set robot federation", func(ctx context.Context, t *tx) error {
		var id int64
		err := t.queryRow(ctx, `SELECT id FROM accounts WHERE id = ? AND kind = 'robot' AND deleted_ms = 0`+t.d.excl, robot.ID).Scan(&id)
		if err != nil {
			return notFound(err, errNoAccount("robot"))
		}
		if _, err := t.exec(ctx, `DELETE FROM robot_federations WHERE account_id = ?`, robot.ID); err != nil {
			return err
		}
		config := make([]map[string]string, 0, len(list))
		for _, f := range list {
			if _, err := t.exec(ctx, `INSERT INTO robot_federations (account_id, issuer, subject) VALUES (?, ?, ?)`, robot.ID, f.Issuer, f.Subject); err != nil {
				return err
			}
			config = append(config, map[string]string{"issuer": f.Issuer, "subject": f.Subject})
		}
		kind := "create_robot_federation"
		if len(list) == 0 {
			kind = "delete_robot_federation"
		}
		return t.event(ctx, Event{Kind: kind, Namespace: robot.Owner, Actor: actor, Payload: map[string]any{"robot": robot.Short(), "config": config}})
	})
}
