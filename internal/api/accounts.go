package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
)

var accountRoutes = []route{
	{method: "POST", path: "user/initialize", handle: (*server).initialize},
	{method: "POST", path: "signin", readOnlyOK: true, handle: (*server).signIn},
	{method: "POST", path: "signout", readOnlyOK: true, handle: (*server).signOut},
	{method: "GET", path: "user", access: signedIn, scope: auth.ScopeUserRead, handle: (*server).me},
	{method: "POST", path: "user", handle: (*server).signUp},
	{method: "POST", path: "signin/verify", access: signedIn, scope: auth.ScopeUserAdmin, readOnlyOK: true, handle: (*server).verify},
	{method: "POST", path: "user/clientkey", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).clientKey},
	{method: "GET", path: "user/apptoken", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listAppTokens},
	{method: "POST", path: "user/apptoken", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).createAppToken},
	{method: "GET", path: "user/apptoken/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).getAppToken},
	{method: "DELETE", path: "user/apptoken/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).deleteAppToken},
}

// initialTokenLife is how long the token of user/initialize lives, as Quay's.
const initialTokenLife = 150 * time.Minute

// initialize makes the first account. Its errors are {"message"} alone.
func (s *server) initialize(c *call) error {
	refuse := func(text string) error { return c.json(400, map[string]string{"message": text}) }
	if !s.UserInitialize {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	if !s.Auth.Passwords() {
		return refuse("Cannot initialize user: users are kept by another service (AUTHENTICATION_TYPE)")
	}
	there, err := s.Store.HasUsers(c.r.Context())
	if err != nil {
		return err
	}
	if there {
		return refuse("Cannot initialize user in a non-empty database")
	}
	var in struct {
		Username, Password, Email string
		Token                     bool `json:"access_token"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	for _, err := range []error{checkUsername(in.Username), auth.CheckPassword(in.Password), checkEmail(in.Email)} {
		if err != nil {
			return refuse("Failed to initialize user: " + detail(err))
		}
	}
	ctx := c.r.Context()
	hash, err := s.Auth.HashPassword(ctx, in.Password)
	if err != nil {
		return err
	}
	secret, err := s.Auth.Keys().EncryptPassword(in.Password)
	if err != nil {
		return err
	}
	out := map[string]any{"encrypted_password": secret}
	n := store.NewAccount{Name: in.Username, Email: in.Email, PasswordHash: hash, Verified: true,
		Superuser: len(s.Auth.Settings().Superusers) == 0, First: true, UniqueEmail: true}
	if in.Token { // with the account or not at all: a second try is refused
		var row store.OAuthToken
		out["access_token"], row = s.Auth.MakeOAuthToken(auth.AllScopes, initialTokenLife)
		n.Token = &row
	}
	a, err := s.Store.CreateUser(ctx, n, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return refuse(detail(err))
	}
	if err != nil {
		return err
	}
	out["username"], out["email"] = a.Name, a.Email
	return c.json(200, out)
}

func checkUsername(name string) error {
	if err := gantry.CheckNamespace(name); err != nil {
		return gantry.Errorf(gantry.Invalid, "account", "Invalid username %.80q: it must be 2 to 255 lower-case letters and digits, with single '.', '_' or '-' between them", name)
	}
	return nil
}

// checkEmail takes "" as none.
func checkEmail(e string) error {
	user, domain, ok := strings.Cut(e, "@")
	if e != "" && (!ok || user == "" || domain == "" || len(e) > 255 || strings.Contains(domain, "@") || strings.ContainsFunc(e, unicode.IsSpace)) {
		return gantry.Errorf(gantry.Invalid, "email", "Invalid email address: %.80q", e)
	}
	return nil
}

func (s *server) signIn(c *call) error {
	var in struct {
		Username, Password string
		InviteCode         string `json:"invite_code"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if s.NoDirectLogin {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	ctx := c.r.Context()
	id, err := s.Auth.Login(ctx, in.Username, in.Password, actorOf(c.r))
	if gantry.ReasonOf(err) == gantry.Unverified {
		if !s.Auth.Settings().ReadOnly {
			if err := s.confirmAgain(c, in.Username); err != nil {
				return err
			}
		}
		return c.json(403, map[string]any{"needsEmailVerification": true, "invalidCredentials": false, "message": detail(err)})
	}
	if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) != gantry.LoginBackoff {
		return c.json(403, map[string]any{"needsEmailVerification": false, "invalidCredentials": true, "message": detail(err)})
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
	if in.InviteCode != "" && !s.Auth.Settings().ReadOnly { // one that is not good keeps nobody out
		if _, err := s.Store.AnswerInvite(ctx, store.HashCode(in.InviteCode), id.Account, true, id.Actor); err != nil && !gantry.Is(err, gantry.NotFound) {
			return err
		}
	}
	return c.json(200, map[string]bool{"success": true})
}

func (s *server) signOut(c *call) error {
	if c.session != nil {
		if err := s.Store.DeleteSession(c.r.Context(), c.session.ID); err != nil {
			return err
		}
		if set := s.Auth.Settings(); set.AuditLogins && !set.ReadOnly {
			if err := s.Store.LogLogin(c.r.Context(), "logout_success", c.id.Account.ID, c.id.Actor, nil); err != nil {
				return err
			}
		}
	}
	s.setCookie(c, "", -1)
	return c.json(200, map[string]bool{"success": true})
}

// me is the caller. What is private to the account, such as the e-mail
// address, needs no more than user:read, as in Quay.
func (s *server) me(c *call) error {
	a := &c.id.Account
	all, err := s.Store.Organizations(c.r.Context(), a.ID)
	if err != nil {
		return err
	}
	orgs := []any{}
	for _, m := range all {
		orgs = append(orgs, map[string]any{"name": m.Name, "avatar": accountAvatar(m.Name, gantry.Organization), "can_create_repo": m.Create,
			"public": false, "is_org_admin": m.Admin, "preferred_namespace": false})
	}
	p, err := a.Details()
	if err != nil {
		return err
	}
	logins, err := s.loginViews(c)
	if err != nil {
		return err
	}
	hasPassword, err := s.Auth.CanConfirm(c.r.Context(), a)
	if err != nil {
		return err
	}
	v := map[string]any{"anonymous": false, "username": a.Name, "avatar": accountAvatar(a.Name, a.Kind), "email": a.Email, "verified": a.Verified,
		"is_me": true, "can_create_repo": !c.id.Restricted, "preferred_namespace": true, "organizations": orgs, "logins": logins, "prompts": []any{},
		"invoice_email": p.InvoiceEmail, "invoice_email_address": orNull(p.InvoiceAddress), "tag_expiration_s": s.retention(a.Retention),
		"company": orNull(p.Company), "family_name": orNull(p.FamilyName), "given_name": orNull(p.GivenName), "location": orNull(p.Location),
		"is_free_account": true, "has_password_set": hasPassword}
	if s.Auth.Settings().SuperUsers {
		v["super_user"], v["global_readonly_super_user"] = c.id.Superuser, c.id.ReadOnlySuperuser
	}
	if err := s.readStorage(c, v, a.ID); err != nil {
		return err
	}
	return c.json(200, v)
}

func (s *server) clientKey(c *call) error {
	var in struct{ Password string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if err := s.Auth.Confirm(c.r.Context(), c.id.Account, in.Password, actorOf(c.r)); err != nil {
		if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) == "" {
			return gantry.Errorf(gantry.Invalid, "password", "Invalid Username or Password")
		}
		return err
	}
	key, err := s.Auth.Keys().EncryptPassword(in.Password)
	if err != nil {
		return err
	}
	if err := s.Store.Record(c.r.Context(), store.Event{Kind: "user_generate_client_key", Namespace: c.id.Account.ID, Actor: c.id.Actor}); err != nil {
		return err
	}
	return c.json(200, map[string]string{"key": key})
}

// startSession signs id in, in place of the session that the call came with.
func (s *server) startSession(c *call, id *auth.Identity) error {
	ctx := c.r.Context()
	if c.session != nil {
		if err := s.Store.DeleteSession(ctx, c.session.ID); err != nil {
			return err
		}
	}
	value, csrf, err := s.Auth.NewSession(ctx, id, s.SessionTimeout)
	if err != nil {
		return err
	}
	seconds := 0
	if !s.WindowSessions {
		seconds = int(s.SessionTimeout / time.Second)
	}
	s.setCookie(c, value, seconds)
	c.w.Header().Set("X-Next-CSRF-Token", csrf)
	return nil
}

// setCookie gives the browser the session's secret for seconds; 0 = until it
// is closed, negative takes it away.
func (s *server) setCookie(c *call, value string, seconds int) {
	http.SetCookie(c.w, &http.Cookie{Name: s.CookieName, Value: value, Path: "/", MaxAge: seconds, //nolint:gosec // as SESSION_COOKIE_* say, and without TLS it has to work
		HttpOnly: !s.CookieScripts, SameSite: s.CookieSameSite, Secure: s.CookieSecure || httpd.Scheme(c.r) == "https"})
}

// blockedDomain reports whether the address is of a domain in BlockedDomains,
// or of one below it.
func (s *server) blockedDomain(email string) bool {
	_, domain, _ := strings.Cut(strings.ToLower(email), "@")
	domain = strings.TrimSuffix(domain, ".")
	return domain != "" && slices.ContainsFunc(s.BlockedDomains, func(b string) bool {
		b = strings.Trim(strings.ToLower(b), ".")
		return domain == b || strings.HasSuffix(domain, "."+b)
	})
}

// signUp makes an account and signs it in.
func (s *server) signUp(c *call) error {
	if !s.UserCreation || s.NoDirectLogin || !s.Auth.Passwords() {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	var in struct {
		Username, Password, Email string
		InviteCode                string `json:"invite_code"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if c.session != nil {
		return gantry.Errorf(gantry.Invalid, "account", "Sign out before you create another account")
	}
	if err := errors.Join(checkUsername(in.Username), auth.CheckPassword(in.Password), checkEmail(in.Email)); err != nil {
		return err
	}
	if s.blockedDomain(in.Email) {
		return gantry.Errorf(gantry.Invalid, "email", "Email domain is not allowed on this registry")
	}
	if s.Tell.Mail != nil && in.Email == "" {
		return gantry.Errorf(gantry.Invalid, "email", "email is required")
	}
	ctx := c.r.Context()
	invited := store.Invite{}
	if in.InviteCode != "" {
		var err error
		invited, err = s.Store.Invite(ctx, store.HashCode(in.InviteCode))
		if gantry.Is(err, gantry.NotFound) || err == nil && invited.Account != 0 {
			return gantry.Errorf(gantry.Invalid, "invite_code", "The invitation is not valid, was answered already, or is for somebody else")
		}
		if err != nil {
			return err
		}
	} else if s.InviteOnly {
		return gantry.Errorf(gantry.Invalid, "account", "Cannot create non-invited user")
	}
	hash, err := s.Auth.HashPassword(ctx, in.Password)
	if err != nil {
		return err
	}
	n := store.NewAccount{Name: in.Username, Email: in.Email, PasswordHash: hash, Verified: true, UniqueEmail: true}
	if s.UserInitialize && len(s.Auth.Settings().Superusers) == 0 {
		// The door of initialize is open: whoever comes first, by either way, is the superuser.
		there, err := s.Store.HasUsers(ctx)
		if err != nil {
			return err
		}
		n.First, n.Superuser = !there, !there
	}
	if in.InviteCode != "" {
		n.Invite = store.HashCode(in.InviteCode)
	}
	if s.Tell.Mail != nil && !n.Superuser && !strings.EqualFold(invited.Email, in.Email) {
		n.Verified = false
		code, err := s.confirmation(0, in.Username, in.Email)
		if err != nil {
			return err
		}
		n.Code = &code
	}
	_, err = s.Store.CreateUser(ctx, n, actorOf(c.r))
	if err != nil {
		return err
	}
	if !n.Verified {
		return c.json(200, map[string]bool{"awaiting_verification": true})
	}
	id, err := s.Auth.Login(ctx, in.Username, in.Password, actorOf(c.r))
	if err != nil {
		return err
	}
	if err := s.startSession(c, &id); err != nil {
		return err
	}
	return c.json(200, map[string]bool{"success": true})
}

// verify makes the session fresh again.
func (s *server) verify(c *call) error {
	var in struct{ Password string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	err := s.Auth.Confirm(c.r.Context(), c.id.Account, in.Password, actorOf(c.r))
	if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) != gantry.LoginBackoff {
		return c.json(403, map[string]any{"needsEmailVerification": false, "invalidCredentials": true, "message": detail(err)})
	}
	if err == nil && c.session != nil && !s.Auth.Settings().ReadOnly {
		err = s.Store.RefreshSession(c.r.Context(), c.session.ID)
	}
	return c.success(err)
}
