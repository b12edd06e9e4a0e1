package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Prototype is a permission that new repositories of an organization start
// with.
type Prototype struct {
	UUID       string
	Activating string // the creator that it is for; "" = anybody
	Name       string // who gets the role
	Kind       gantry.AccountKind
	Team       bool // Name is a team; then Kind is ""
	Role       gantry.Role

	ActivatingKind gantry.AccountKind
}

// Prototypes lists the default permissions of an organization, oldest first.
func (db *DB) Prototypes(ctx context.Context, org gantry.AccountID) (list []Prototype, err error) {
	err = db.read(ctx, "list default permissions", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var p Prototype
			var team string
			err := r.Scan(&p.UUID, &p.Activating, &p.ActivatingKind, &p.Name, &p.Kind, &team, &p.Role)
			if team != "" {
				p.Name, p.Team = team, true
			}
			list = append(list, p)
			return err
		}, `SELECT x.uuid, COALESCE(b.name, ''), COALESCE(b.kind, ''), COALESCE(a.name, ''), COALESCE(a.kind, ''), COALESCE(g.name, ''), x.role
			FROM prototypes x LEFT JOIN accounts b ON b.id = x.activating_id AND b.deleted_ms = 0
			LEFT JOIN accounts a ON a.id = x.account_id AND a.deleted_ms = 0 LEFT JOIN teams g ON g.id = x.team_id
			WHERE x.org_id = ? AND (x.activating_id = 0 OR b.id IS NOT NULL) AND (a.id IS NOT NULL OR g.id IS NOT NULL)
			ORDER BY x.id LIMIT 10000`, org)
	})
	return list, err
}

// CreatePrototype adds a default permission and returns its uuid. Either
// account or team is 0; activating 0 = for whoever creates.
func (db *DB) CreatePrototype(ctx context.Context, org, activating, account gantry.AccountID, team int64, role gantry.Role, actor gantry.Actor) (id string, err error) {
	id = uuid.NewString()
	err = db.update(ctx, "create default permission", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, org); err != nil {
			return err
		}
		if _, err := t.insert(ctx, `INSERT INTO prototypes (org_id, uuid, activating_id, account_id, team_id, role) VALUES (?, ?, ?, ?, ?, ?)`,
			org, id, activating, account, team, int(role)); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "create_prototype_permission", Namespace: org, Actor: actor,
			Payload: map[string]any{"prototypeid": id, "role": role.String()}})
	})
	return id, err
}

// SetPrototype changes the role of a default permission; NoRole deletes it.
// One of another organization is NotFound on "prototype".
func (db *DB) SetPrototype(ctx context.Context, org gantry.AccountID, id string, role gantry.Role, actor gantry.Actor) error {
	return db.update(ctx, "change default permission", func(ctx context.Context, t *tx) error {
		there, err := t.exists(ctx, `SELECT 1 FROM prototypes WHERE uuid = ? AND org_id = ?`, id, org)
		if err != nil || !there {
			return errors.Join(err, asError(errNoAccount("prototype"), err == nil))
		}
		kind := "modify_prototype_permission"
		if role == gantry.NoRole {
			kind = "delete_prototype_permission"
			_, err = t.exec(ctx, `DELETE FROM prototypes WHERE uuid = ? AND org_id = ?`, id, org)
		} else {
			_, err = t.exec(ctx, `UPDATE prototypes SET role = ? WHERE uuid = ? AND org_id = ?`, int(role), id, org)
		}
		if err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: kind, Namespace: org, Actor: actor, Payload: map[string]any{"prototypeid": id, "role": role.String()}})
	})
}

// A RepositoryQuery asks for repositories, in the order of their ids, that an
// account may see.
type RepositoryQuery struct {
	Namespace  gantry.AccountID // 0 = any: then only public ones are listed
	Account    gantry.AccountID // whose permissions count; 0 = nobody's
	All        bool             // sees all in Namespace
	Public     bool             // public ones are seen too
	OnlyPublic bool             // and nothing else
	Starred    bool             // only those that Account has marked, in any namespace
	Newest     bool             // the newest first, not the oldest; not with Starred
	After      gantry.RepoID    // exclusive; 0 = from the start
	N          int              // at most this many
}

// Repositories lists repositories; what it costs does not grow with After.
func (db *DB) Repositories(ctx context.Context, q RepositoryQuery) (list []Repository, err error) {
	if q.N <= 0 {
		return nil, nil
	}
	where, args := `r.deleted_ms = 0 AND a.deleted_ms = 0 AND r.id > ?`, []any{q.After}
	from, order := `repositories r`, ``
	if q.Newest {
		order = ` DESC`
		if where, args = `r.deleted_ms = 0 AND a.deleted_ms = 0`, nil; q.After > 0 {
			where, args = where+` AND r.id < ?`, []any{q.After}
		}
	}
	if q.Starred { // the marks lead: there are few of them
		from = `stars s JOIN repositories r ON r.id = s.repo_id`
		where, args = `s.account_id = ? AND s.repo_id > ? AND r.deleted_ms = 0 AND a.deleted_ms = 0`, []any{q.Account, q.After}
	}
	if q.Namespace != 0 {
		where, args = where+` AND r.ns_id = ?`, append(args, q.Namespace)
	}
	switch {
	case q.OnlyPublic || q.Namespace == 0 && !q.Starred:
		where += ` AND r.visibility = 'public'`
	case !q.All:
		// Nobody has permissions of account 0.
		where += ` AND (EXISTS (SELECT 1 FROM permissions p WHERE p.repo_id = r.id AND p.account_id = ?)
			OR EXISTS (SELECT 1 FROM permissions p JOIN team_members m ON m.team_id = p.team_id WHERE p.repo_id = r.id AND m.account_id = ?)`
		args = append(args, q.Account, q.Account)
		if q.Starred {
			where += ` OR r.ns_id = ? OR EXISTS (SELECT 1 FROM teams g JOIN team_members m ON m.team_id = g.id
				WHERE g.org_id = r.ns_id AND g.role = 'admin' AND m.account_id = ?)`
			args = append(args, q.Account, q.Account)
		}
		if q.Public {
			where += ` OR r.visibility = 'public'`
		}
		where += `)`
	}
	err = db.read(ctx, "list repositories", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			x, err := scanRepository(r)
			list = append(list, x)
			return err
		}, `SELECT `+repositoryColumns+` FROM `+from+` JOIN accounts a ON a.id = r.ns_id WHERE `+where+` ORDER BY r.id`+order+` LIMIT ?`,
			append(args, q.N)...)
	})
	return list, err
}

// RefreshSession notes that the password of a session was given again.
func (db *DB) RefreshSession(ctx context.Context, id int64) error {
	return db.update(ctx, "refresh session", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE sessions SET fresh_ms = ? WHERE id = ?`, t.now.UnixMilli(), id)
		return err
	})
}
