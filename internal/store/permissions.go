package store

import (
	"context"
	"database/sql"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Rights are what one account may do with one repository name, and what is
// there under it. Everything is zero where the namespace is missing.
type Rights struct {
	Repository Repository // ID 0: there is none; Namespace, NamespaceKind and NamespaceEnabled are set all the same
	// Role is what the account was given: by a permission of its own, by a
	// team's, as owner of the namespace, or as admin of the organization. What
	// is public, and what superusers may, is not in it.
	Role gantry.Role
	// Team is the account's highest role in the organization's teams; "" if it
	// is in none. The owner of a user's namespace has TeamAdmin.
	Team gantry.TeamRole
}

// RepositoryAccess reads a repository and the role of an account (0 =
// nobody's) in one statement. A repository or a namespace that is not there
// is no error: see Rights.
func (db *DB) RepositoryAccess(ctx context.Context, account gantry.AccountID, name gantry.RepoName) (a Rights, err error) {
	err = db.read(ctx, "read access", func(ctx context.Context, t *tx) error {
		a, err = t.access(ctx, account, name)
		return err
	})
	return a, err
}

func (t *tx) access(ctx context.Context, account gantry.AccountID, name gantry.RepoName) (Rights, error) {
	var (
		a                    Rights
		r                    = &a.Repository
		created, ret         int64
		enabled, state, team int
		own, teams           gantry.Role
	)
	err := t.queryRow(ctx, `SELECT a.id, a.kind, a.enabled, a.name, a.retention_s,
		COALESCE(r.id, 0), COALESCE(r.name, ''), COALESCE(r.visibility, ''), COALESCE(r.state, 0), COALESCE(r.version, 0),
		COALESCE(r.description, ''), COALESCE(r.created_ms, 0),
		COALESCE((SELECT MAX(p.role) FROM permissions p WHERE p.repo_id = r.id AND p.account_id = ?), 0),
		COALESCE((SELECT MAX(p.role) FROM team_members m JOIN permissions p ON p.team_id = m.team_id AND p.repo_id = r.id
			WHERE m.account_id = ?), 0),
		COALESCE((SELECT MAX(CASE g.role WHEN 'admin' THEN 3 WHEN 'creator' THEN 2 ELSE 1 END)
			FROM team_members m JOIN teams g ON g.id = m.team_id WHERE m.account_id = ? AND g.org_id = a.id), 0)
		FROM accounts a LEFT JOIN repositories r ON r.ns_id = a.id AND r.name = ? AND r.deleted_ms = 0
		WHERE a.name = ? AND a.kind <> 'robot' AND a.deleted_ms = 0`,
		account, account, account, name.Name, name.Namespace).
		Scan(&r.Namespace, &r.NamespaceKind, &enabled, &r.Name.Namespace, &ret, &r.ID, &r.Name.Name, &r.Visibility,
			&state, &r.Version, &r.Description, &created, &own, &teams, &team)
	if err == sql.ErrNoRows { //nolint:errorlint // database/sql returns it bare
		return Rights{}, nil
	}
	if err != nil {
		return a, err
	}
	r.NamespaceEnabled = enabled == 1
	r.State = gantry.RepoState(state) //nolint:gosec // a small number
	r.Created = gantry.FromMillis(created)
	r.Retention = seconds(ret)
	a.Role = max(own, teams)
	switch team {
	case 3:
		a.Team = gantry.TeamAdmin
	case 2:
		a.Team = gantry.TeamCreator
	case 1:
		a.Team = gantry.TeamMember
	}
	if account != 0 && account == r.Namespace {
		a.Team = gantry.TeamAdmin
	}
	if a.Team == gantry.TeamAdmin && r.ID != 0 {
		a.Role = gantry.Admin
	}
	return a, nil
}

// A Permission is a role in a repository that an account or a team was given.
type Permission struct {
	Name  string
	Kind  gantry.AccountKind // of an account; "" for a team
	Role  gantry.Role
	Owner string // of a robot: its namespace
}

// AccountPermissions lists the roles of users and robots in a repository, by
// name.
func (db *DB) AccountPermissions(ctx context.Context, repo gantry.RepoID) (list []Permission, err error) {
	err = db.read(ctx, "list permissions", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var p Permission
			err := r.Scan(&p.Name, &p.Kind, &p.Role)
			list = append(list, p)
			return err
		}, `SELECT a.name, a.kind, p.role FROM permissions p JOIN accounts a ON a.id = p.account_id
			WHERE p.repo_id = ? AND a.deleted_ms = 0 ORDER BY a.name`, repo)
	})
	return list, err
}

// SetPermission gives an account a role in a repository, or with NoRole takes
// it away; then it is NotFound on "permission" if there was none.
func (db *DB) SetPermission(ctx context.Context, repo Repository, who Account, role gantry.Role, actor gantry.Actor) error {
	return db.update(ctx, "set permission", func(ctx context.Context, t *tx) error {
		if err := t.aliveRepository(ctx, repo.ID); err != nil {
			return err
		}
		kind := "change_repo_permission"
		if role == gantry.NoRole {
			kind = "delete_repo_permission"
			n, err := t.exec(ctx, `DELETE FROM permissions WHERE repo_id = ? AND account_id = ?`, repo.ID, who.ID)
			if err != nil {
				return err
			}
			if n == 0 {
				return gantry.Errorf(gantry.NotFound, "permission", "User does not have permission for repo.")
			}
		} else if _, err := t.exec(ctx, `INSERT INTO permissions (repo_id, account_id, role) VALUES (?, ?, ?)`+
			t.d.upsert("repo_id, account_id", "role = "+t.d.fresh("role")), repo.ID, who.ID, int(role)); err != nil {
			return err
		}
		t.touch(repo.ID)
		t.who = true
		return t.event(ctx, Event{Kind: kind, Namespace: repo.Namespace, Repo: repo.ID, Actor: actor, Payload: map[string]any{
			"username": who.Name, "repo": repo.Name.Name, "namespace": repo.Name.Namespace, "role": role.String()}})
	})
}

// aliveRepository locks a repository against deletion; a deleted one is
// NotFound.
func (t *tx) aliveRepository(ctx context.Context, id gantry.RepoID) error {
	var got int64
	err := t.queryRow(ctx, `SELECT id FROM repositories WHERE id = ? AND deleted_ms = 0`+t.d.excl, id).Scan(&got)
	return notFound(err, errNoRepository)
}
