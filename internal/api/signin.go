package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// safeNext is next where that is a place of this site, else the first page.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\t\r\n") ||
		strings.ContainsFunc(next, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "/"
	}
	return next
}

func (s *server) signInPage(c *call) error {
	if err := s.browser(c); err != nil {
		return err
	}
	next := safeNext(c.r.URL.Query().Get("next"))
	if c.session != nil {
		return seeOther(c, next)
	}
	return s.showSignIn(c, 200, next, "")
}

func (s *server) showSignIn(c *call, status int, next, text string) error {
	if s.NoDirectLogin {
		return gantry.Errorf(gantry.NotFound, "route", "There is no sign-in with a password on this registry (FEATURE_DIRECT_LOGIN). Sign in by your provider, then open this page again.")
	}
	return c.page(status, "signin", map[string]any{"Title": s.Web.Title, "Next": next, "Text": text}, "", "")
}

func seeOther(c *call, to string) error {
	c.w.Header().Set("Location", to)
	c.w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (s *server) signInForm(c *call) error {
	if err := http.NewCrossOriginProtection().Check(c.r); err != nil {
		return gantry.Errorf(gantry.Denied, "csrf", "Cross-origin requests are refused.")
	}
	v, err := c.form()
	if err != nil {
		return err
	}
	next := safeNext(v.Get("next"))
	if s.NoDirectLogin {
		return s.showSignIn(c, 404, next, "")
	}
	if err := s.browser(c); err != nil {
		return err
	}
	ctx := c.r.Context()
	id, err := s.Auth.Login(ctx, v.Get("username"), v.Get("password"), actorOf(c.r))
	if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) != gantry.LoginBackoff {
		return s.showSignIn(c, http.StatusForbidden, next, detail(err))
	}
	if err != nil {
		return err
	}
	if err := s.startSession(c, &id); err != nil {
		return err
	}
	if set := s.Auth.Settings(); set.AuditLogins && !set.ReadOnly {
		if err := s.Store.LogLogin(ctx, "login_success", id.Account.ID, id.Actor, map[string]any{"type": "quayauth", "useragent": id.Actor.Agent}); err != nil {
			return err
		}
	}
	return seeOther(c, next)
}
