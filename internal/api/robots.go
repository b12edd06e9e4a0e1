package api

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var robotRoutes = []route{
	{method: "GET", path: "user/robots", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listRobots},
	{method: "GET", path: "user/robots/{short}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).getRobot},
	{method: "PUT", path: "user/robots/{short}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).createRobot},
	{method: "DELETE", path: "user/robots/{short}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).deleteRobot},
	{method: "GET", path: "user/robots/{short}/permissions", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listRobotPermissions},
	{method: "POST", path: "user/robots/{short}/regenerate", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).regenerateRobot},
	{method: "GET", path: "organization/{org}/robots", access: nsMember, handle: (*server).listRobots},
	{method: "GET", path: "organization/{org}/robots/{short}", access: nsAdmin, handle: (*server).getRobot},
	{method: "PUT", path: "organization/{org}/robots/{short}", access: nsAdmin, handle: (*server).createRobot},
	{method: "DELETE", path: "organization/{org}/robots/{short}", access: nsAdmin, handle: (*server).deleteRobot},
	{method: "GET", path: "organization/{org}/robots/{short}/permissions", access: nsAdmin, handle: (*server).listRobotPermissions},
	{method: "POST", path: "organization/{org}/robots/{short}/regenerate", access: nsAdmin, handle: (*server).regenerateRobot},
}

// owner is the namespace of a robot's route.
func (c *call) owner() (gantry.AccountID, string) {
	if org, ok := c.params["org"]; ok {
		return c.rights.Repository.Namespace, org
	}
	return c.id.Account.ID, c.id.Account.Name
}

func (s *server) robotView(a store.Account) (map[string]any, error) {
	token, err := s.Auth.RobotToken(a)
	if err != nil {
		return nil, err
	}
	v := map[string]any{"name": a.Name, "created": a.Created.Format(time.RFC1123Z), "last_accessed": nil,
		"description": a.Description, "token": token, "unstructured_metadata": a.Profile}
	if !a.LastUsed.IsZero() {
		v["last_accessed"] = a.LastUsed.Format(time.RFC1123Z)
	}
	return v, nil
}

// robot finds the robot that a route names.
func (s *server) robot(c *call) (store.Account, error) {
	id, name := c.owner()
	a, err := s.Store.Account(c.r.Context(), name+"+"+c.params["short"])
	if gantry.Is(err, gantry.NotFound) || err == nil && (a.Kind != gantry.Robot || a.Owner != id) {
		return a, gantry.Errorf(gantry.NotFound, "robot", "Could not find robot with username: %.300s", name+"+"+c.params["short"])
	}
	return a, err
}

// listRobots takes permissions=true for what each was given, token=false, and
// limit.
func (s *server) listRobots(c *call) error {
	id, _ := c.owner()
	q := c.r.URL.Query()
	most := 0
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return gantry.Errorf(gantry.Invalid, "limit", "limit must be a number above 0")
		}
		most = n
	}
	permissions := q.Get("permissions") == "true"
	all, err := s.Store.RobotList(c.r.Context(), id, most, permissions)
	if err != nil {
		return err
	}
	list := []any{}
	for _, a := range all {
		v, err := s.robotView(a.Account)
		if err != nil {
			return err
		}
		if q.Get("token") == "false" || c.params["org"] != "" && !c.id.OrgAdmin(c.rights) {
			delete(v, "token")
		}
		if permissions {
			v["teams"], v["repositories"] = teamAvatars(a.Teams), orEmpty(a.Repositories)
		}
		list = append(list, v)
	}
	return c.json(200, map[string]any{"robots": list})
}

func (s *server) answerRobot(c *call, status int, a store.Account, err error) error {
	if err != nil {
		return err
	}
	v, err := s.robotView(a)
	if err != nil {
		return err
	}
	return c.json(status, v)
}

func (s *server) getRobot(c *call) error {
	if c.params["org"] != "" && !c.id.OrgAdmin(c.rights) { // a read-only superuser: the token would let him write
		return errDenied
	}
	a, err := s.robot(c)
	return s.answerRobot(c, 200, a, err)
}

func (s *server) createRobot(c *call) error {
	var in struct {
		Description string
		Metadata    map[string]any `json:"unstructured_metadata"`
	}
	if err := c.body(&in, true); err != nil {
		return err
	}
	id, name := c.owner()
	if gantry.CheckNamespace(c.params["short"]) != nil || len(name)+len(c.params["short"]) > 253 {
		return gantry.Errorf(gantry.Invalid, "robot", "The name for the robot '%.80s' is invalid", c.params["short"])
	}
	if len(in.Description) > 255 {
		return gantry.Errorf(gantry.Invalid, "robot", "The description is longer than 255 characters")
	}
	if c.id.Restricted && c.params["org"] == "" {
		return errDenied
	}
	n := store.NewAccount{Name: name + "+" + c.params["short"], UUID: auth.NewUUID(), Description: in.Description}
	if in.Metadata != nil {
		b, err := json.Marshal(in.Metadata)
		if err != nil {
			return err
		}
		n.Profile = b
	}
	var err error
	if _, n.Secret, err = s.Auth.NewRobotToken(n.UUID); err != nil {
		return err
	}
	a, err := s.Store.CreateRobot(c.r.Context(), id, n, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return gantry.Errorf(gantry.Invalid, "robot", "Existing robot with name: %s", n.Name)
	}
	return s.answerRobot(c, 201, a, err)
}

func (s *server) deleteRobot(c *call) error {
	a, err := s.robot(c)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteRobot(c.r.Context(), a, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

func (s *server) regenerateRobot(c *call) error {
	a, err := s.robot(c)
	if err != nil {
		return err
	}
	_, sealed, err := s.Auth.NewRobotToken(a.UUID)
	if err != nil {
		return err
	}
	a.Secret = sealed
	return s.answerRobot(c, 200, a, s.Store.RegenerateRobot(c.r.Context(), a, sealed, c.id.Actor))
}
