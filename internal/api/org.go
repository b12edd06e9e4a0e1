package api

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// colors are those that clients draw a missing picture in.
var colors = []string{"#969696", "#aec7e8", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#d62728", "#ff9896", "#9467bd", "#c5b0d5", "#8c564b"}

// avatar is made of the name alone: one made of the e-mail address would let
// anybody test a guess of it.
func avatar(name, kind string) map[string]any {
	sum := sha256.Sum256([]byte(kind + ":" + name))
	return map[string]any{"name": name, "hash": hex.EncodeToString(sum[:16]), "color": colors[int(sum[0])%len(colors)], "kind": kind}
}

func accountAvatar(name string, kind gantry.AccountKind) map[string]any {
	switch kind {
	case gantry.Robot:
		return avatar(name, "robot")
	case gantry.Organization:
		return avatar(name, "org")
	}
	return avatar(name, "user")
}

func (s *server) getOrganization(c *call) error {
	ctx := c.r.Context()
	name := c.params["org"]
	missing := gantry.Errorf(gantry.NotFound, "organization", "Not Found")
	if c.id.Anonymous() && !s.Auth.Settings().AnonymousAccess {
		return errSignIn
	}
	rights, err := s.Store.RepositoryAccess(ctx, c.id.Account.ID, gantry.RepoName{Namespace: name})
	if err != nil {
		return err
	}
	if rights.Repository.NamespaceKind != gantry.Organization {
		return missing
	}
	a, err := s.Store.AccountByID(ctx, rights.Repository.Namespace)
	if err != nil {
		return err
	}
	admin := c.id.OrgAdmin(rights)
	member := admin || rights.Team != "" && c.id.Has(auth.ScopeOrgAdmin) || c.id.ReadOnlySuperuser && c.id.Has(auth.ScopeOrgAdmin)
	v := map[string]any{"name": a.Name, "email": "", "avatar": accountAvatar(a.Name, a.Kind), "is_admin": admin, "is_member": member}
	if member {
		teams, err := s.Store.Teams(ctx, a.ID)
		if err != nil {
			return err
		}
		views, order := map[string]any{}, []string{}
		for _, g := range teams {
			views[g.Name] = teamView(g, true)
			order = append(order, g.Name)
		}
		v["teams"], v["ordered_teams"] = views, order
		if err := s.readStorage(c, v, a.ID); err != nil {
			return err
		}
	}
	if admin {
		p, err := a.Details()
		if err != nil {
			return err
		}
		v["email"], v["contact_email"] = a.Email, orNull(p.ContactEmail)
		v["invoice_email"], v["invoice_email_address"] = p.InvoiceEmail, orNull(p.InvoiceAddress)
		v["tag_expiration_s"] = s.retention(a.Retention)
		v["is_free_account"] = true
	}
	return c.json(200, v)
}

// roleOf reads the body of a call that gives a repository role.
func (c *call) roleOf() (gantry.Role, error) {
	var in struct{ Role string }
	if err := c.body(&in, false); err != nil {
		return gantry.NoRole, err
	}
	return gantry.ParseRole(in.Role)
}

func (s *server) repositoryViews(c *call, list []store.Repository) ([]any, error) {
	ids := make([]gantry.RepoID, 0, len(list))
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	starred, err := s.Store.Starred(c.r.Context(), c.id.Account.ID, ids...)
	if err != nil {
		return nil, err
	}
	views := []any{}
	for _, r := range list {
		views = append(views, map[string]any{"namespace": r.Name.Namespace, "name": r.Name.Name, "description": r.Description,
			"is_public": r.Visibility == gantry.Public, "kind": "image", "state": r.State.String(), "is_starred": starred[r.ID]})
	}
	return views, nil
}

var organizationRoutes = []route{
	{method: "POST", path: "organization", access: signedIn, scope: auth.ScopeOrgAdmin, handle: (*server).createOrganization},
	{method: "DELETE", path: "organization/{org}", access: nsAdmin, fresh: true, handle: (*server).deleteOrganization},
	{method: "GET", path: "organization/{org}", handle: (*server).getOrganization},
	{method: "PUT", path: "organization/{org}/team/{team}", access: nsAdmin, handle: (*server).putTeam},
	{method: "DELETE", path: "organization/{org}/team/{team}", access: nsAdmin, handle: (*server).deleteTeam},
	{method: "GET", path: "organization/{org}/team/{team}/members", access: nsMember, handle: (*server).listMembers},
	{method: "PUT", path: "organization/{org}/team/{team}/members/{name}", access: nsAdmin, handle: (*server).addMember},
	{method: "DELETE", path: "organization/{org}/team/{team}/members/{name}", access: nsAdmin, handle: (*server).removeMember},
	{method: "GET", path: "organization/{org}/team/{team}/permissions", access: nsAdmin, handle: (*server).listTeamRepositories},
	{method: "GET", path: "organization/{org}/prototypes", access: nsAdmin, handle: (*server).listPrototypes},
	{method: "POST", path: "organization/{org}/prototypes", access: nsAdmin, handle: (*server).createPrototype},
	{method: "PUT", path: "organization/{org}/prototypes/{id}", access: nsAdmin, handle: (*server).putPrototype},
	{method: "DELETE", path: "organization/{org}/prototypes/{id}", access: nsAdmin, handle: (*server).deletePrototype},
}

func (s *server) createOrganization(c *call) error {
	var in struct{ Name, Email string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if err := checkUsername(in.Name); err != nil {
		return err
	}
	if err := checkEmail(in.Email); err != nil {
		return err
	}
	if !s.Auth.Settings().MayCreateOrganization(&c.id) {
		return errDenied
	}
	_, err := s.Store.CreateOrganization(c.r.Context(), store.NewAccount{Name: in.Name, Email: in.Email, Verified: true, UniqueEmail: true},
		c.id.Account.ID, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return gantry.Errorf(gantry.Invalid, "organization", "A user or organization with this name or email already exists")
	}
	if err != nil {
		return err
	}
	return c.json(201, "Created")
}

func (s *server) deleteOrganization(c *call) error {
	if err := s.Store.DeleteNamespace(c.r.Context(), c.rights.Repository.Namespace, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}
