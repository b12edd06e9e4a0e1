package api

import (
	"errors"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

func teamView(g store.Team, view bool) map[string]any {
	return map[string]any{"name": g.Name, "description": g.Description, "role": string(g.Role), "avatar": avatar(g.Name, "team"),
		"can_view": view, "repo_count": g.Repositories, "member_count": g.Members, "is_synced": g.Synced}
}

func (c *call) team(s *server) (store.Team, error) {
	return s.Store.Team(c.r.Context(), c.rights.Repository.Namespace, c.params["team"])
}

func (s *server) putTeam(c *call) error {
	var in struct {
		Role        string
		Description *string
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	role := gantry.TeamRole(in.Role)
	if role != gantry.TeamMember && role != gantry.TeamCreator && role != gantry.TeamAdmin {
		return gantry.Errorf(gantry.Invalid, "role", "role %.80q is not one of member, creator, admin", in.Role)
	}
	if gantry.CheckNamespace(c.params["team"]) != nil {
		return gantry.Errorf(gantry.Invalid, "team", "Invalid team name %.80q: it must be 2 to 255 lower-case letters and digits, with single '.', '_' or '-' between them", c.params["team"])
	}
	if in.Description != nil && len(*in.Description) > maxDescription {
		return errDescription
	}
	g, created, err := s.Store.PutTeam(c.r.Context(), c.rights.Repository.Namespace, c.params["team"], role, in.Description, c.id.Actor)
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"name": g.Name, "description": g.Description, "can_view": true, "role": string(g.Role),
		"avatar": avatar(g.Name, "team"), "new_team": created})
}

func (s *server) deleteTeam(c *call) error {
	g, err := c.team(s)
	if err == nil {
		err = s.Store.DeleteTeam(c.r.Context(), g, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func memberView(a store.Account) map[string]any {
	return map[string]any{"name": a.Name, "kind": "user", "is_robot": a.Kind == gantry.Robot, "avatar": accountAvatar(a.Name, a.Kind), "invited": false}
}

func (s *server) listMembers(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	members, err := s.Store.TeamMembers(c.r.Context(), g.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, a := range members {
		list = append(list, memberView(a))
	}
	if c.truthy("includePending", false) && c.id.OrgAdmin(c.rights) {
		open, err := s.Store.Invites(c.r.Context(), g.ID)
		if err != nil {
			return err
		}
		for _, i := range open {
			list = append(list, inviteView(i))
		}
	}
	v := map[string]any{"name": g.Name, "members": list, "can_edit": c.id.OrgAdmin(c.rights)}
	if err := s.syncView(c, g, v); err != nil {
		return err
	}
	return c.json(200, v)
}

func (s *server) addMember(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	a, err := s.grantee(c)
	if err != nil {
		return err
	}
	if err := followed(g, a); err != nil {
		return err
	}
	if s.invites(c, a) {
		return s.inviteUser(c, g, a)
	}
	if err := s.Store.AddTeamMember(c.r.Context(), g, a, c.id.Actor); err != nil {
		return err
	}
	return c.json(200, memberView(a))
}

func (s *server) removeMember(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	a, err := s.grantee(c)
	if err == nil {
		err = followed(g, a)
	}
	if err == nil {
		err = s.Store.RemoveTeamMember(c.r.Context(), g, a, c.id.Actor)
	}
	if gantry.Is(err, gantry.NotFound) && s.Tell.Mail != nil { // perhaps only invited
		if werr := s.Store.WithdrawInvite(c.r.Context(), g, &a, "", c.id.Actor); !gantry.Is(werr, gantry.NotFound) {
			err = werr
		}
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func (s *server) listTeamRepositories(c *call) error {
	g, err := c.team(s)
	if err != nil {
		return err
	}
	grants, err := s.Store.PermissionsOfTeam(c.r.Context(), g.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, p := range grants {
		list = append(list, grantView(p.RepositoryGrant))
	}
	return c.json(200, map[string]any{"permissions": list})
}

// grantView is a role as those see it who have it.
func grantView(p store.RepositoryGrant) map[string]any {
	return map[string]any{"repository": map[string]any{"name": p.Repository.Name, "is_public": p.Public}, "role": p.Role.String()}
}

func teamGrantView(p store.TeamGrant) map[string]any {
	return map[string]any{"role": p.Role.String(), "name": p.Team, "avatar": avatar(p.Team, "team")}
}

func (s *server) listTeamPermissions(c *call) error {
	list, err := s.Store.TeamPermissions(c.r.Context(), c.rights.Repository.ID)
	if err != nil {
		return err
	}
	out := map[string]any{}
	for _, p := range list {
		out[p.Team] = teamGrantView(p)
	}
	return c.json(200, map[string]any{"permissions": out})
}

func (s *server) getTeamPermission(c *call) error {
	list, err := s.Store.TeamPermissions(c.r.Context(), c.rights.Repository.ID)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Team == c.params["team"] {
			return c.json(200, teamGrantView(p))
		}
	}
	return gantry.Errorf(gantry.Invalid, "permission", "Team does not have permission for repo.")
}

// unknownTeam is err, where a team that is not there is a bad request.
func unknownTeam(c *call, err error) error {
	e, ok := errors.AsType[*gantry.Error](err)
	switch {
	case ok && e.Code == gantry.NotFound && e.Object == "team":
		return gantry.Errorf(gantry.Invalid, "team", "Unknown team: %.300s", c.params["team"])
	case ok && e.Code == gantry.NotFound && e.Object == "permission":
		return gantry.Errorf(gantry.Invalid, "permission", "%s", e.Detail)
	}
	return err
}

func (s *server) putTeamPermission(c *call) error {
	role, err := c.roleOf()
	if err != nil {
		return err
	}
	if err := s.Store.SetTeamPermission(c.r.Context(), c.rights.Repository, c.params["team"], role, c.id.Actor); err != nil {
		return unknownTeam(c, err)
	}
	return c.json(200, teamGrantView(store.TeamGrant{Team: c.params["team"], RepositoryGrant: store.RepositoryGrant{Role: role}}))
}

func (s *server) deleteTeamPermission(c *call) error {
	if err := s.Store.SetTeamPermission(c.r.Context(), c.rights.Repository, c.params["team"], gantry.NoRole, c.id.Actor); err != nil {
		return unknownTeam(c, err)
	}
	return c.empty()
}

// transitive lists the roles that somebody has through teams.
func (s *server) transitive(c *call) error {
	a, err := s.grantee(c)
	if err != nil {
		return gantry.Errorf(gantry.NotFound, "account", "Not Found")
	}
	grants, err := s.Store.TeamGrantsOf(c.r.Context(), c.rights.Repository.ID, a.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, p := range grants {
		list = append(list, map[string]string{"role": p.Role.String()})
	}
	return c.json(200, map[string]any{"permissions": list})
}
