package store

import (
	"context"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// CreateRobot makes a robot of a namespace; n.Name is "namespace+short" and
// n.Secret is its token, sealed for n.UUID. A name that is taken is Conflict
// on "account".
func (db *DB) CreateRobot(ctx context.Context, owner gantry.AccountID, n NewAccount, actor gantry.Actor) (a Account, err error) {
	err = db.update(ctx, "create robot", func(ctx context.Context, t *tx) error {
		if a, err = t.createAccount(ctx, gantry.Robot, n, owner); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "create_robot", Namespace: owner, Actor: actor,
			Payload: map[string]any{"robot": a.Short(), "description": a.Description}})
	})
	return a, err
}

// Robots lists the robots of a namespace by name, at most 10,000.
func (db *DB) Robots(ctx context.Context, owner gantry.AccountID) (list []Account, err error) {
	err = db.read(ctx, "list robots", func(ctx context.Context, t *tx) error {
		rows, err := t.query(ctx, `SELECT `+accountColumns+` FROM accounts a`+accountOwner+`
			WHERE a.owner_id = ? AND a.kind = 'robot' AND a.deleted_ms = 0 ORDER BY a.name LIMIT 10000`, owner)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // Err is checked
		for rows.Next() {
			a, err := scanAccount(rows)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return rows.Err()
	})
	return list, err
}

// RegenerateRobot gives a robot another sealed token. The old one ends.
func (db *DB) RegenerateRobot(ctx context.Context, robot Account, sealed string, actor gantry.Actor) error {
	return db.update(ctx, "regenerate robot token", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE accounts SET secret = ? WHERE id = ? AND kind = 'robot' AND deleted_ms = 0`, sealed, robot.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoAccount("robot")
		}
		t.who = true
		return t.event(ctx, Event{Kind: "regenerate_robot_token", Namespace: robot.Owner, Actor: actor,
			Payload: map[string]any{"robot": robot.Short()}})
	})
}

// DeleteRobot deletes a robot with its permissions. Its name is free at once.
// One that a mirror uses is Invalid on "robot".
func (db *DB) DeleteRobot(ctx context.Context, robot Account, actor gantry.Actor) error {
	return db.update(ctx, "delete robot", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE accounts SET name = uuid, secret = '', enabled = 0, deleted_ms = ?
			WHERE id = ? AND kind = 'robot' AND deleted_ms = 0`, t.now.UnixMilli(), robot.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoAccount("robot")
		}
		// A later statement: a mirror that takes the robot has its row locked.
		if err := t.robotFree(ctx, robot); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM permissions WHERE account_id = ?`, `DELETE FROM team_members WHERE account_id = ?`,
			`DELETE FROM prototypes WHERE account_id = ?`, `DELETE FROM robot_federations WHERE account_id = ?`} {
			if _, err := t.exec(ctx, q, robot.ID); err != nil {
				return err
			}
		}
		t.who = true
		return t.event(ctx, Event{Kind: "delete_robot", Namespace: robot.Owner, Actor: actor,
			Payload: map[string]any{"robot": robot.Short()}})
	})
}
