package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Member is a user with what an organization gave him.
type Member struct {
	ID           gantry.AccountID
	Name         string
	Teams        []string // of the organization, by name
	Repositories []string // with a permission of his own, by name
}

// maxListed bounds the rows that a list is made of.
const maxListed = 10_000

// Members lists the users in an organization's teams by name; with a name,
// only that one. At most 10,000 memberships and 10,000 permissions count.
func (db *DB) Members(ctx context.Context, org gantry.AccountID, name string) (members []Member, err error) {
	err = db.read(ctx, "list members", func(ctx context.Context, t *tx) error {
		members = nil
		at := map[gantry.AccountID]int{}
		only, args := "", []any{org}
		if name != "" {
			only, args = " AND a.name = ?", append(args, name)
		}
		err := t.each(ctx, func(r *sql.Rows) error {
			var m Member
			var team string
			if err := r.Scan(&m.ID, &m.Name, &team); err != nil {
				return err
			}
			i, there := at[m.ID]
			if !there {
				i, at[m.ID] = len(members), len(members)
				members = append(members, m)
			}
			members[i].Teams = append(members[i].Teams, team)
			return nil
		}, `SELECT a.id, a.name, g.name FROM teams g JOIN team_members m ON m.team_id = g.id JOIN accounts a ON a.id = m.account_id
			WHERE g.org_id = ? AND a.kind = 'user' AND a.deleted_ms = 0`+only+` ORDER BY a.name, g.name LIMIT `+limit(maxListed), args...)
		if err != nil || len(members) == 0 {
			return err
		}
		only, args = "", []any{org, org}
		if name != "" {
			only, args = " AND m.account_id = ?", append(args, members[0].ID)
		}
		err = t.each(ctx, func(r *sql.Rows) error {
			var id gantry.AccountID
			var repo string
			err := r.Scan(&id, &repo)
			if i, there := at[id]; there {
				members[i].Repositories = append(members[i].Repositories, repo)
			}
			return err
		}, `SELECT DISTINCT p.account_id, r.name FROM teams g JOIN team_members m ON m.team_id = g.id
			JOIN permissions p ON p.account_id = m.account_id JOIN repositories r ON r.id = p.repo_id
			WHERE g.org_id = ? AND r.ns_id = ? AND r.deleted_ms = 0`+only+` LIMIT `+limit(maxListed), args...)
		for i := range members {
			slices.Sort(members[i].Repositories)
		}
		return err
	})
	return members, err
}

// Collaborators lists the users who have permissions in an organization's
// repositories and are in none of its teams, by name. At most 10,000
// permissions count.
func (db *DB) Collaborators(ctx context.Context, org gantry.AccountID) (list []Member, err error) {
	err = db.read(ctx, "list collaborators", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var m Member
			var repo string
			if err := r.Scan(&m.ID, &m.Name, &repo); err != nil {
				return err
			}
			if n := len(list); n == 0 || list[n-1].ID != m.ID {
				list = append(list, m)
			}
			last := &list[len(list)-1]
			last.Repositories = append(last.Repositories, repo)
			return nil
		}, `SELECT a.id, a.name, r.name FROM repositories r JOIN permissions p ON p.repo_id = r.id JOIN accounts a ON a.id = p.account_id
			WHERE r.ns_id = ? AND r.deleted_ms = 0 AND a.kind = 'user' AND a.deleted_ms = 0
			AND NOT EXISTS (SELECT 1 FROM team_members m JOIN teams g ON g.id = m.team_id WHERE m.account_id = a.id AND g.org_id = r.ns_id)
			ORDER BY a.name, r.name LIMIT `+limit(maxListed), org)
	})
	return list, err
}

// RemoveMember takes a user or a robot out of an organization: out of its
// teams, its default permissions, and the permissions in its repositories. Who
// had none of these is NotFound on "member"; taking the last admin out is
// Conflict on "organization".
func (db *DB) RemoveMember(ctx context.Context, org gantry.AccountID, who Account, actor gantry.Actor) error {
	return db.update(ctx, "remove member", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, org); err != nil {
			return err
		}
		if err := t.each(ctx, func(r *sql.Rows) error {
			var repo gantry.RepoID
			err := r.Scan(&repo)
			t.touch(repo)
			return err
		}, `SELECT p.repo_id FROM permissions p JOIN repositories r ON r.id = p.repo_id WHERE p.account_id = ? AND r.ns_id = ?
			UNION SELECT p.repo_id FROM team_members m JOIN teams g ON g.id = m.team_id JOIN permissions p ON p.team_id = g.id
			WHERE m.account_id = ? AND g.org_id = ?`, who.ID, org, who.ID, org); err != nil {
			return err
		}
		var teams []string
		if err := t.each(ctx, func(r *sql.Rows) error {
			var name string
			err := r.Scan(&name)
			teams = append(teams, name)
			return err
		}, `SELECT g.name FROM team_members m JOIN teams g ON g.id = m.team_id WHERE m.account_id = ? AND g.org_id = ? ORDER BY g.name`, who.ID, org); err != nil {
			return err
		}
		var gone int64
		for _, q := range []string{
			`DELETE FROM team_members WHERE account_id = ? AND team_id IN (SELECT id FROM teams WHERE org_id = ?)`,
			`DELETE FROM permissions WHERE account_id = ? AND repo_id IN (SELECT id FROM repositories WHERE ns_id = ?)`,
			`DELETE FROM prototypes WHERE account_id = ? AND org_id = ?`,
		} {
			n, err := t.exec(ctx, q, who.ID, org)
			if err != nil {
				return err
			}
			gone += n
		}
		if gone == 0 {
			return errNoAccount("member")
		}
		if err := t.keepAdmin(ctx, org); err != nil {
			return err
		}
		t.who = true
		return t.event(ctx, Event{Kind: "org_remove_team_member", Namespace: org, Actor: actor,
			Payload: map[string]any{"member": who.Name, "team": strings.Join(teams, ", ")}})
	})
}

// A RobotEntry is a robot with what it was given.
type RobotEntry struct {
	Account
	Teams        []string // by name
	Repositories []string // with a permission of its own, by name
}

// RobotList lists the robots of a namespace by name, at most n; n <= 0, or
// more than 10,000, is 10,000. Only with permissions are Teams and
// Repositories filled in, of at most 10,000 rows each.
func (db *DB) RobotList(ctx context.Context, owner gantry.AccountID, n int, permissions bool) (robots []RobotEntry, err error) {
	if n <= 0 || n > maxListed {
		n = maxListed
	}
	err = db.read(ctx, "list robots", func(ctx context.Context, t *tx) error {
		robots = nil
		at := map[gantry.AccountID]int{}
		err := t.each(ctx, func(r *sql.Rows) error {
			a, err := scanAccount(r)
			at[a.ID] = len(robots)
			robots = append(robots, RobotEntry{Account: a})
			return err
		}, `SELECT `+accountColumns+` FROM accounts a`+accountOwner+`
			WHERE a.owner_id = ? AND a.kind = 'robot' AND a.deleted_ms = 0 ORDER BY a.name LIMIT ?`, owner, n)
		if err != nil || !permissions || len(robots) == 0 {
			return err
		}
		const mine = ` a.owner_id = ? AND a.kind = 'robot' AND a.deleted_ms = 0 AND a.name <= ?`
		last := robots[len(robots)-1].Name
		fill := func(list func(*RobotEntry) *[]string, q string) error {
			err := t.each(ctx, func(r *sql.Rows) error {
				var id gantry.AccountID
				var name string
				err := r.Scan(&id, &name)
				if i, there := at[id]; there {
					to := list(&robots[i])
					*to = append(*to, name)
				}
				return err
			}, q+` LIMIT `+limit(maxListed), owner, last)
			return err
		}
		return errors.Join(
			fill(func(e *RobotEntry) *[]string { return &e.Teams }, `SELECT a.id, g.name FROM accounts a JOIN team_members m ON m.account_id = a.id
				JOIN teams g ON g.id = m.team_id WHERE`+mine+` ORDER BY a.name, g.name`),
			fill(func(e *RobotEntry) *[]string { return &e.Repositories }, `SELECT a.id, r.name FROM accounts a JOIN permissions p ON p.account_id = a.id
				JOIN repositories r ON r.id = p.repo_id WHERE`+mine+` AND r.deleted_ms = 0 ORDER BY a.name, r.name`))
	})
	return robots, err
}

// A RepositoryGrant is the role that somebody has in a repository.
type RepositoryGrant struct {
	Repository gantry.RepoName
	Public     bool
	Role       gantry.Role
}

// PermissionsOf lists the repositories that an account has a role of its own
// in, by name, at most 10,000.
func (db *DB) PermissionsOf(ctx context.Context, account gantry.AccountID) (list []RepositoryGrant, err error) {
	err = db.read(ctx, "list permissions of account", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var g RepositoryGrant
			var v gantry.Visibility
			err := r.Scan(&g.Repository.Namespace, &g.Repository.Name, &v, &g.Role)
			g.Public = v == gantry.Public
			list = append(list, g)
			return err
		}, `SELECT n.name, r.name, r.visibility, p.role FROM permissions p JOIN repositories r ON r.id = p.repo_id
			JOIN accounts n ON n.id = r.ns_id WHERE p.account_id = ? AND r.deleted_ms = 0 ORDER BY n.name, r.name LIMIT `+limit(maxListed), account)
	})
	return list, err
}
