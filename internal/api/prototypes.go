package api

import (
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

func prototypeView(p store.Prototype) map[string]any {
	v := map[string]any{"id": p.UUID, "role": p.Role.String(), "activating_user": nil}
	if p.Activating != "" {
		v["activating_user"] = map[string]any{"name": p.Activating, "kind": "user", "is_robot": p.ActivatingKind == gantry.Robot,
			"avatar": accountAvatar(p.Activating, p.ActivatingKind)}
	}
	if p.Team {
		v["delegate"] = map[string]any{"name": p.Name, "kind": "team", "avatar": avatar(p.Name, "team")}
	} else {
		v["delegate"] = map[string]any{"name": p.Name, "kind": "user", "is_robot": p.Kind == gantry.Robot, "avatar": accountAvatar(p.Name, p.Kind)}
	}
	return v
}

func (s *server) listPrototypes(c *call) error {
	all, err := s.Store.Prototypes(c.r.Context(), c.rights.Repository.Namespace)
	if err != nil {
		return err
	}
	list := []any{}
	for _, p := range all {
		list = append(list, prototypeView(p))
	}
	return c.json(200, map[string]any{"prototypes": list})
}

func (s *server) answerPrototype(c *call, id string) error {
	all, err := s.Store.Prototypes(c.r.Context(), c.rights.Repository.Namespace)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.UUID == id {
			return c.json(200, prototypeView(p))
		}
	}
	return gantry.Errorf(gantry.NotFound, "prototype", "Not Found")
}

func (s *server) createPrototype(c *call) error {
	type named struct{ Name, Kind string }
	var in struct {
		Role       string
		Delegate   named
		Activating *named `json:"activating_user"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	role, err := gantry.ParseRole(in.Role)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	org := c.rights.Repository.Namespace
	find := func(name, what string) (gantry.AccountID, error) {
		a, err := s.Store.Account(ctx, name)
		if gantry.Is(err, gantry.NotFound) || err == nil && (a.Kind == gantry.Organization || a.Kind == gantry.Robot && a.Owner != org) {
			return 0, gantry.Errorf(gantry.Invalid, "account", "Unknown %s user", what)
		}
		return a.ID, err
	}
	var activating, account gantry.AccountID
	var team int64
	if in.Activating != nil && in.Activating.Name != "" {
		if activating, err = find(in.Activating.Name, "activating"); err != nil {
			return err
		}
	}
	switch in.Delegate.Kind {
	case "user":
		account, err = find(in.Delegate.Name, "delegate")
	case "team":
		var g store.Team
		if g, err = s.Store.Team(ctx, org, in.Delegate.Name); gantry.Is(err, gantry.NotFound) {
			err = gantry.Errorf(gantry.Invalid, "team", "Unknown delegate team")
		}
		team = g.ID
	default:
		err = gantry.Errorf(gantry.Invalid, "delegate", "delegate.kind must be user or team")
	}
	if err != nil {
		return err
	}
	id, err := s.Store.CreatePrototype(ctx, org, activating, account, team, role, c.id.Actor)
	if err != nil {
		return err
	}
	return s.answerPrototype(c, id)
}

func (s *server) putPrototype(c *call) error {
	role, err := c.roleOf()
	if err != nil {
		return err
	}
	if err := s.Store.SetPrototype(c.r.Context(), c.rights.Repository.Namespace, c.params["id"], role, c.id.Actor); err != nil {
		return err
	}
	return s.answerPrototype(c, c.params["id"])
}

func (s *server) deletePrototype(c *call) error {
	if err := s.Store.SetPrototype(c.r.Context(), c.rights.Repository.Namespace, c.params["id"], gantry.NoRole, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}
