package api

import (
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

func appTokenView(k store.AppToken) map[string]any {
	date := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UTC().Format(time.RFC1123Z)
	}
	return map[string]any{"uuid": k.UUID, "title": k.Title, "last_accessed": date(k.LastUsed), "created": date(k.Created),
		"expiration": date(k.Expires)}
}

// expiringSoon is how near its end a token must be for ?expiring=true.
const expiringSoon = 7 * 24 * time.Hour

func (s *server) appTokensOn() error {
	if !s.Auth.Settings().AppSpecificTokens {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	return nil
}

func (s *server) listAppTokens(c *call) error {
	if err := s.appTokensOn(); err != nil {
		return err
	}
	all, err := s.Store.AppTokens(c.r.Context(), c.id.Account.ID)
	if err != nil {
		return err
	}
	only := c.r.URL.Query().Get("expiring") == "true"
	list := []any{}
	for _, k := range all {
		if only && (k.Expires.IsZero() || k.Expires.Sub(s.Store.Now()) > expiringSoon) {
			continue
		}
		list = append(list, appTokenView(k))
	}
	return c.json(200, map[string]any{"tokens": list, "only_expiring": only})
}

func (s *server) createAppToken(c *call) error {
	if err := s.appTokensOn(); err != nil {
		return err
	}
	var in struct{ Title string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Title == "" || len(in.Title) > 255 {
		return gantry.Errorf(gantry.Invalid, "title", "title must be 1 to 255 characters long")
	}
	var expires time.Time
	if s.AppTokenLife > 0 {
		expires = s.Store.Now().Add(s.AppTokenLife)
	}
	k, code, err := s.Auth.NewAppToken(c.r.Context(), &c.id, in.Title, expires)
	if err != nil {
		return err
	}
	v := appTokenView(k)
	v["token_code"] = code
	return c.json(200, map[string]any{"token": v})
}

func (s *server) getAppToken(c *call) error {
	if err := s.appTokensOn(); err != nil {
		return err
	}
	all, err := s.Store.AppTokens(c.r.Context(), c.id.Account.ID)
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.UUID != c.params["uuid"] {
			continue
		}
		v := appTokenView(k)
		if v["token_code"], err = s.Auth.AppTokenCode(k); err != nil {
			return err
		}
		return c.json(200, map[string]any{"token": v})
	}
	return gantry.Errorf(gantry.NotFound, "token", "Not Found")
}

func (s *server) deleteAppToken(c *call) error {
	if err := s.appTokensOn(); err != nil {
		return err
	}
	if err := s.Store.DeleteAppToken(c.r.Context(), c.id.Account.ID, c.params["uuid"], c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}
