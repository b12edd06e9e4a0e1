package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Team is a group of members of an organization.
type Team struct {
	ID           int64
	Organization gantry.AccountID
	Name         string
	Role         gantry.TeamRole
	Description  string
	Members      int  // accounts in it
	Repositories int  // with a permission of its own
	Synced       bool // follows a group of a service outside: see TeamSync
}

const teamColumns = `g.id, g.org_id, g.name, g.role, g.description,
	(SELECT COUNT(*) FROM team_members m WHERE m.team_id = g.id),
	(SELECT COUNT(*) FROM permissions p WHERE p.team_id = g.id),
	(SELECT COUNT(*) FROM team_syncs s WHERE s.team_id = g.id)`

func scanTeam(row interface{ Scan(...any) error }) (g Team, err error) {
	err = row.Scan(&g.ID, &g.Organization, &g.Name, &g.Role, &g.Description, &g.Members, &g.Repositories, &g.Synced)
	return g, err
}

// Teams lists the teams of an organization by name, at most 10,000.
func (db *DB) Teams(ctx context.Context, org gantry.AccountID) (list []Team, err error) {
	err = db.read(ctx, "list teams", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			g, err := scanTeam(r)
			list = append(list, g)
			return err
		}, `SELECT `+teamColumns+` FROM teams g WHERE g.org_id = ? ORDER BY g.name LIMIT 10000`, org)
	})
	return list, err
}

// Team finds a team of an organization; else it is NotFound on "team".
func (db *DB) Team(ctx context.Context, org gantry.AccountID, name string) (g Team, err error) {
	err = db.read(ctx, "find team", func(ctx context.Context, t *tx) error {
		g, err = t.team(ctx, org, name)
		return err
	})
	return g, err
}

func (t *tx) team(ctx context.Context, org gantry.AccountID, name string) (Team, error) {
	g, err := scanTeam(t.queryRow(ctx, `SELECT `+teamColumns+` FROM teams g WHERE g.org_id = ? AND g.name = ?`, org, name))
	return g, notFound(err, errNoAccount("team"))
}

// lockOrganization keeps two changes of one organization's teams apart, so
// that they cannot take away its last two admins at once.
func (t *tx) lockOrganization(ctx context.Context, org gantry.AccountID) error {
	var id int64
	err := t.queryRow(ctx, `SELECT id FROM accounts WHERE id = ? AND kind = 'organization' AND deleted_ms = 0`+t.d.excl, org).Scan(&id)
	return notFound(err, errNoAccount("organization"))
}

// keepAdmin refuses, with Conflict on "organization", what would leave an
// organization without a user who administers it.
func (t *tx) keepAdmin(ctx context.Context, org gantry.AccountID) error {
	there, err := t.exists(ctx, `SELECT 1 FROM teams g JOIN team_members m ON m.team_id = g.id JOIN accounts u ON u.id = m.account_id
		WHERE g.org_id = ? AND g.role = 'admin' AND u.kind = 'user' AND u.deleted_ms = 0 LIMIT 1`, org)
	return errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "organization", "The organization would be left without an administrator"), err == nil && !there))
}

// PutTeam makes a team, or changes the role of the one there is, and its
// description where that is not nil. created tells which. A change that takes
// the organization's last admin is Conflict on "organization".
func (db *DB) PutTeam(ctx context.Context, org gantry.AccountID, name string, role gantry.TeamRole, description *string, actor gantry.Actor) (g Team, created bool, err error) {
	err = db.update(ctx, "put team", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, org); err != nil {
			return err
		}
		created = false
		old, err := t.team(ctx, org, name)
		kind, text := "org_set_team_role", old.Description
		if description != nil {
			text = *description
		}
		switch {
		case gantry.Is(err, gantry.NotFound):
			created, kind = true, "org_create_team"
			_, err = t.insert(ctx, `INSERT INTO teams (org_id, name, role, description) VALUES (?, ?, ?, ?)`, org, name, string(role), text)
		case err == nil:
			_, err = t.exec(ctx, `UPDATE teams SET role = ?, description = ? WHERE id = ?`, string(role), text, old.ID)
			if err == nil && old.Role == gantry.TeamAdmin && role != gantry.TeamAdmin {
				err = t.keepAdmin(ctx, org)
			}
			if old.Role == role {
				kind = "org_set_team_description"
			}
		}
		if err != nil {
			return err
		}
		t.who = true
		if g, err = t.team(ctx, org, name); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: kind, Namespace: org, Actor: actor,
			Payload: map[string]any{"team": name, "role": string(role), "description": text}})
	})
	return g, created, err
}

// DeleteTeam deletes a team with its permissions. Errors as of PutTeam.
func (db *DB) DeleteTeam(ctx context.Context, g Team, actor gantry.Actor) error {
	return db.update(ctx, "delete team", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, g.Organization); err != nil {
			return err
		}
		if err := t.touchTeam(ctx, g.ID); err != nil {
			return err
		}
		n, err := t.exec(ctx, `DELETE FROM teams WHERE id = ? AND org_id = ?`, g.ID, g.Organization)
		if err != nil || n == 0 {
			return errors.Join(err, asError(errNoAccount("team"), err == nil && n == 0))
		}
		for _, q := range []string{`DELETE FROM team_members WHERE team_id = ?`, `DELETE FROM permissions WHERE team_id = ?`,
			`DELETE FROM prototypes WHERE team_id = ?`, `DELETE FROM team_syncs WHERE team_id = ?`, `DELETE FROM team_invites WHERE team_id = ?`} {
			if _, err := t.exec(ctx, q, g.ID); err != nil {
				return err
			}
		}
		if err := t.keepAdmin(ctx, g.Organization); err != nil {
			return err
		}
		t.who = true
		return t.event(ctx, Event{Kind: "org_delete_team", Namespace: g.Organization, Actor: actor, Payload: map[string]any{"team": g.Name}})
	})
}

// touchTeam notes every repository that a team has a permission of as changed.
func (t *tx) touchTeam(ctx context.Context, team int64) error {
	return t.each(ctx, func(r *sql.Rows) error {
		var repo gantry.RepoID
		err := r.Scan(&repo)
		t.touch(repo)
		return err
	}, `SELECT repo_id FROM permissions WHERE team_id = ?`, team)
}

// TeamMembers lists who is in a team, by name, at most 10,000.
func (db *DB) TeamMembers(ctx context.Context, team int64) (list []Account, err error) {
	err = db.read(ctx, "list team members", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			a, err := scanAccount(r)
			list = append(list, a)
			return err
		}, `SELECT `+accountColumns+` FROM team_members m JOIN accounts a ON a.id = m.account_id`+accountOwner+`
			WHERE m.team_id = ? AND a.deleted_ms = 0 ORDER BY a.name LIMIT 10000`, team)
	})
	return list, err
}

// AddTeamMember puts a user, or a robot of the organization, into a team. A
// robot of another namespace, and an organization, are Invalid on "member";
// who is in it already stays.
func (db *DB) AddTeamMember(ctx context.Context, g Team, who Account, actor gantry.Actor) error {
	if who.Kind == gantry.Organization || who.Kind == gantry.Robot && who.Owner != g.Organization {
		return gantry.Errorf(gantry.Invalid, "member", "Only users, and robots of the organization, can be members of a team")
	}
	return db.update(ctx, "add team member", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, g.Organization); err != nil {
			return err
		}
		if _, err := t.team(ctx, g.Organization, g.Name); err != nil {
			return err
		}
		added, err := t.addTeamMember(ctx, g.ID, who.ID)
		if err != nil || !added {
			return err
		}
		return t.event(ctx, Event{Kind: "org_add_team_member", Namespace: g.Organization, Actor: actor,
			Payload: map[string]any{"member": who.Name, "team": g.Name}})
	})
}

// addTeamMember puts an account into a team unless it is in it. The caller has
// locked the organization. An invitation into the team has served.
func (t *tx) addTeamMember(ctx context.Context, team int64, who gantry.AccountID) (added bool, err error) {
	if _, err := t.exec(ctx, `DELETE FROM team_invites WHERE team_id = ? AND account_id = ?`, team, who); err != nil {
		return false, err
	}
	there, err := t.exists(ctx, `SELECT 1 FROM team_members WHERE team_id = ? AND account_id = ?`, team, who)
	if err != nil || there {
		return false, err
	}
	t.more = true
	_, err = t.exec(ctx, `INSERT INTO team_members (team_id, account_id) VALUES (?, ?)`, team, who)
	return err == nil, err
}

// RemoveTeamMember takes somebody out of a team; NotFound on "member" if he is
// not in it. Errors as of PutTeam.
func (db *DB) RemoveTeamMember(ctx context.Context, g Team, who Account, actor gantry.Actor) error {
	return db.update(ctx, "remove team member", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, g.Organization); err != nil {
			return err
		}
		n, err := t.exec(ctx, `DELETE FROM team_members WHERE team_id = ? AND account_id = ?`, g.ID, who.ID)
		if err != nil || n == 0 {
			return errors.Join(err, asError(errNoAccount("member"), err == nil && n == 0))
		}
		if err := t.keepAdmin(ctx, g.Organization); err != nil {
			return err
		}
		if err := t.touchTeam(ctx, g.ID); err != nil {
			return err
		}
		t.who = true
		return t.event(ctx, Event{Kind: "org_remove_team_member", Namespace: g.Organization, Actor: actor,
			Payload: map[string]any{"member": who.Name, "team": g.Name}})
	})
}

// A TeamGrant is a team's role in a repository.
type TeamGrant struct {
	Team string
	RepositoryGrant
}

// TeamPermissions lists the roles of teams in a repository, by name.
func (db *DB) TeamPermissions(ctx context.Context, repo gantry.RepoID) ([]TeamGrant, error) {
	return db.teamGrants(ctx, "p.repo_id = ?", repo)
}

// PermissionsOfTeam lists the repositories that a team has a role in.
func (db *DB) PermissionsOfTeam(ctx context.Context, team int64) ([]TeamGrant, error) {
	return db.teamGrants(ctx, "p.team_id = ?", team)
}

// TeamGrantsOf lists the roles in a repository that an account has through
// its teams.
func (db *DB) TeamGrantsOf(ctx context.Context, repo gantry.RepoID, account gantry.AccountID) ([]TeamGrant, error) {
	return db.teamGrants(ctx, `p.repo_id = ? AND g.id IN (SELECT team_id FROM team_members WHERE account_id = ?)`, repo, account)
}

func (db *DB) teamGrants(ctx context.Context, cond string, args ...any) (list []TeamGrant, err error) {
	err = db.read(ctx, "list team permissions", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var g TeamGrant
			var v gantry.Visibility
			err := r.Scan(&g.Team, &g.Repository.Namespace, &g.Repository.Name, &v, &g.Role)
			g.Public = v == gantry.Public
			list = append(list, g)
			return err
		}, `SELECT g.name, a.name, r.name, r.visibility, p.role FROM permissions p JOIN teams g ON g.id = p.team_id
			JOIN repositories r ON r.id = p.repo_id JOIN accounts a ON a.id = r.ns_id
			WHERE r.deleted_ms = 0 AND `+cond+` ORDER BY g.name, r.name, r.id LIMIT 10000`, args...)
	})
	return list, err
}

// SetTeamPermission is SetPermission for a team. A team of another
// organization is NotFound on "team".
func (db *DB) SetTeamPermission(ctx context.Context, repo Repository, team string, role gantry.Role, actor gantry.Actor) error {
	return db.update(ctx, "set team permission", func(ctx context.Context, t *tx) error {
		if err := t.aliveRepository(ctx, repo.ID); err != nil {
			return err
		}
		g, err := t.team(ctx, repo.Namespace, team)
		if err != nil {
			return err
		}
		kind := "change_repo_permission"
		if role == gantry.NoRole {
			kind = "delete_repo_permission"
			n, err := t.exec(ctx, `DELETE FROM permissions WHERE repo_id = ? AND team_id = ?`, repo.ID, g.ID)
			if err != nil || n == 0 {
				return errors.Join(err, asError(gantry.Errorf(gantry.NotFound, "permission", "Team does not have permission for repo."), err == nil && n == 0))
			}
		} else if _, err := t.exec(ctx, `INSERT INTO permissions (repo_id, team_id, role) VALUES (?, ?, ?)`+
			t.d.upsert("repo_id, team_id", "role = "+t.d.fresh("role")), repo.ID, g.ID, int(role)); err != nil {
			return err
		}
		t.touch(repo.ID)
		t.who = true
		return t.event(ctx, Event{Kind: kind, Namespace: repo.Namespace, Repo: repo.ID, Actor: actor, Payload: map[string]any{
			"team": team, "repo": repo.Name.Name, "namespace": repo.Name.Namespace, "role": role.String()}})
	})
}

// A Membership is an organization that somebody belongs to.
type Membership struct {
	Name   string
	Admin  bool
	Create bool // may create repositories
}

// Organizations lists where an account is in a team, by name, at most 10,000.
func (db *DB) Organizations(ctx context.Context, account gantry.AccountID) (list []Membership, err error) {
	err = db.read(ctx, "list organizations", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var m Membership
			var role int
			err := r.Scan(&m.Name, &role)
			m.Admin, m.Create = role == 3, role >= 2
			list = append(list, m)
			return err
		}, `SELECT o.name, MAX(CASE g.role WHEN 'admin' THEN 3 WHEN 'creator' THEN 2 ELSE 1 END)
			FROM team_members m JOIN teams g ON g.id = m.team_id JOIN accounts o ON o.id = g.org_id
			WHERE m.account_id = ? AND o.deleted_ms = 0 GROUP BY o.id, o.name ORDER BY o.name LIMIT 10000`, account)
	})
	return list, err
}
