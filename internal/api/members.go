package api

import (
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// memberRoutes are for an organization's settings and who belongs to it.
var memberRoutes = []route{
	{method: "PUT", path: "organization/{org}", access: nsAdmin, handle: (*server).changeOrganization},
	{method: "GET", path: "organization/{org}/members", access: nsAdmin, handle: (*server).listOrganizationMembers},
	{method: "GET", path: "organization/{org}/members/{name}", access: nsAdmin, handle: (*server).getOrganizationMember},
	{method: "DELETE", path: "organization/{org}/members/{name}", access: nsAdmin, handle: (*server).removeOrganizationMember},
	{method: "GET", path: "organization/{org}/collaborators", access: nsAdmin, handle: (*server).listCollaborators},
}

// changeOrganization changes an organization and answers what it is now.
func (s *server) changeOrganization(c *call) error {
	var in struct {
		namespaceChange
		Contact *string `json:"contact_email"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	change := store.AccountChange{ContactEmail: in.Contact}
	if in.Contact != nil {
		if err := checkEmail(*in.Contact); err != nil {
			return err
		}
	}
	if err := s.into(in.namespaceChange, &change); err != nil {
		return err
	}
	if _, err := s.Store.ChangeAccount(c.r.Context(), c.rights.Repository.Namespace, change, c.id.Actor); err != nil {
		return err
	}
	return s.getOrganization(c)
}

// teamAvatars are teams as lists of members show them.
func teamAvatars(names []string) []any {
	list := []any{}
	for _, n := range names {
		list = append(list, map[string]any{"name": n, "avatar": avatar(n, "team")})
	}
	return list
}

func organizationMemberView(m store.Member) map[string]any {
	return map[string]any{"name": m.Name, "kind": "user", "avatar": accountAvatar(m.Name, gantry.User), "teams": teamAvatars(m.Teams),
		"repositories": orEmpty(m.Repositories)}
}

func (s *server) listOrganizationMembers(c *call) error {
	members, err := s.Store.Members(c.r.Context(), c.rights.Repository.Namespace, "")
	if err != nil {
		return err
	}
	list := []any{}
	for _, m := range members {
		list = append(list, organizationMemberView(m))
	}
	return c.json(200, map[string]any{"members": list})
}

var errNoMember = gantry.Errorf(gantry.NotFound, "member", "Not Found")

func (s *server) getOrganizationMember(c *call) error {
	members, err := s.Store.Members(c.r.Context(), c.rights.Repository.Namespace, c.params["name"])
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return errNoMember
	}
	return c.json(200, organizationMemberView(members[0]))
}

// removeOrganizationMember takes a member, a collaborator or a robot out of
// everything in the organization.
func (s *server) removeOrganizationMember(c *call) error {
	org := c.rights.Repository.Namespace
	a, err := s.Store.Account(c.r.Context(), c.params["name"])
	if gantry.Is(err, gantry.NotFound) || err == nil && (a.Kind == gantry.Organization || a.Kind == gantry.Robot && a.Owner != org) {
		return errNoMember
	}
	if err == nil {
		err = s.Store.RemoveMember(c.r.Context(), org, a, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func (s *server) listCollaborators(c *call) error {
	all, err := s.Store.Collaborators(c.r.Context(), c.rights.Repository.Namespace)
	if err != nil {
		return err
	}
	list := []any{}
	for _, m := range all {
		list = append(list, map[string]any{"name": m.Name, "kind": "user", "avatar": accountAvatar(m.Name, gantry.User), "repositories": orEmpty(m.Repositories)})
	}
	return c.json(200, map[string]any{"collaborators": list})
}

// listRobotPermissions lists the repositories that a robot has a role of its
// own in.
func (s *server) listRobotPermissions(c *call) error {
	a, err := s.robot(c)
	if err != nil {
		return err
	}
	grants, err := s.Store.PermissionsOf(c.r.Context(), a.ID)
	if err != nil {
		return err
	}
	list := []any{}
	for _, p := range grants {
		list = append(list, grantView(p))
	}
	return c.json(200, map[string]any{"permissions": list})
}
