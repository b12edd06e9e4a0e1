package api

import (
	"encoding/json"
	"slices"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var federationRoutes = []route{
	{method: "GET", path: "user/robots/{short}/federation", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).getFederation},
	{method: "POST", path: "user/robots/{short}/federation", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).setFederation},
	{method: "DELETE", path: "user/robots/{short}/federation", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).deleteFederation},
	{method: "GET", path: "organization/{org}/robots/{short}/federation", access: nsAdmin, handle: (*server).getFederation},
	{method: "POST", path: "organization/{org}/robots/{short}/federation", access: nsAdmin, handle: (*server).setFederation},
	{method: "DELETE", path: "organization/{org}/robots/{short}/federation", access: nsAdmin, handle: (*server).deleteFederation},
}

// maxFederated is how many identities may act as one robot.
const maxFederated = 50

type federatedIdentity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

func federationView(list []store.FederatedIdentity) []federatedIdentity {
	out := []federatedIdentity{}
	for _, f := range list {
		out = append(out, federatedIdentity(f))
	}
	return out
}

func (s *server) getFederation(c *call) error {
	a, err := s.robot(c)
	if err != nil {
		return err
	}
	list, err := s.Store.RobotFederation(c.r.Context(), a.ID)
	if err != nil {
		return err
	}
	return c.json(200, federationView(list))
}

// setFederation replaces the whole list.
func (s *server) setFederation(c *call) error {
	a, err := s.robot(c)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.body(&raw, false); err != nil {
		return err
	}
	var in []federatedIdentity
	if json.Unmarshal(exactOf(raw, in), &in) != nil || in == nil {
		return gantry.Errorf(gantry.Invalid, "body", `The request's body must be a list: [{"issuer": "https://…", "subject": "…"}]`)
	}
	if len(in) > maxFederated {
		return gantry.Errorf(gantry.Invalid, "body", "At most %d identities may act as one robot", maxFederated)
	}
	var list []store.FederatedIdentity
	for _, f := range in {
		if err := auth.CheckIssuer(f.Issuer); err != nil {
			return err
		}
		if f.Subject == "" || len(f.Subject) > 255 {
			return gantry.Errorf(gantry.Invalid, "subject", "subject must be 1 to 255 bytes long")
		}
		one := store.FederatedIdentity(f)
		if slices.Contains(list, one) {
			return gantry.Errorf(gantry.Invalid, "body", "The issuer %.80q stands twice with the same subject", f.Issuer)
		}
		list = append(list, one)
	}
	if err := s.Store.SetRobotFederation(c.r.Context(), a, list, c.id.Actor); err != nil {
		return err
	}
	return c.json(200, federationView(list))
}

func (s *server) deleteFederation(c *call) error {
	a, err := s.robot(c)
	if err == nil {
		err = s.Store.SetRobotFederation(c.r.Context(), a, nil, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

// exchangeRobotToken takes Basic credentials whose password is a token of
// another issuer, and answers with a short-lived password of the robot.
func (s *server) exchangeRobotToken(c *call) error {
	robot, token, ok := auth.ParseBasic(c.r.Header.Get("Authorization"))
	if !ok || s.Web.Federation == nil {
		c.w.Header().Set("WWW-Authenticate", `Basic realm="robot federation"`)
		return gantry.Errorf(gantry.Unauthenticated, "credentials", "Send Basic credentials: the robot's name, and a token of its identity provider")
	}
	out, err := s.Web.Federation.Exchange(c.r.Context(), robot, token, actorOf(c.r))
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return c.json(200, map[string]string{"token": out})
}
