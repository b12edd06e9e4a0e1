package api

import (
	_ "embed"
	"errors"
	"html/template"
	"net/http"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/store"
)

// The pages that links in mail lead to. To look at one changes nothing, for
// mail programs open links by themselves: a button does.
const (
	confirmPage    = "/confirm"
	recoveryPage   = "/recovery"
	repositoryPage = "/authrepoemail"
	invitePage     = "/confirminvite"
)

// A pageHandler shows what a code is for, or does it, and returns what to tell
// about it.
type pageHandler func(s *server, c *call, code string, do bool) (letterPage, error)

var pages = map[string]pageHandler{confirmPage: (*server).confirmEmailPage, recoveryPage: (*server).recoverPage,
	repositoryPage: (*server).repositoryEmailPage, invitePage: (*server).teamInvitePage}

// A letterPage is what a page shows.
type letterPage struct {
	Title, Text string
	Code        string // of the form; "" = there is none
	Button      string
	Decline     bool   // with a second button
	Password    bool   // the form asks for a new password
	CSRF        string // of the session
}

//go:embed letters.html.tmpl
var lettersText string

var lettersTemplate = template.Must(template.New("letters").Parse(lettersText))

func (s *server) servePage(c *call, page pageHandler) error {
	status := 200
	v, err := s.pageOf(c, page)
	if err != nil {
		e, ok := errors.AsType[*gantry.Error](err)
		if !ok {
			return err
		}
		if status = answers[e.Code].status; e.Reason == gantry.LoginBackoff {
			status = 429
		}
		if status == 401 { // there is nothing that a browser could send
			status = 403
		}
		retryAfter(c.w, e)
		v = letterPage{Title: "That did not work", Text: e.Detail}
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		return nil
	}
	_ = lettersTemplate.Execute(c.w, v) // the client is gone: nobody to tell
	return nil
}

func (s *server) pageOf(c *call, page pageHandler) (v letterPage, err error) {
	if err := s.mailOn(); err != nil {
		return v, err
	}
	if err := s.identify(c); err != nil {
		return v, err
	}
	var code string
	do := false
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		code = c.r.URL.Query().Get("code")
	case http.MethodPost:
		if err := http.NewCrossOriginProtection().Check(c.r); err != nil {
			return v, gantry.Errorf(gantry.Denied, "csrf", "Cross-origin requests are refused.")
		}
		if s.Auth.Settings().ReadOnly {
			return v, gantry.Errorf(gantry.ReadOnly, "", "The registry is read-only for now. Please try again later.")
		}
		c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
		if err := c.r.ParseForm(); err != nil {
			return v, gantry.Errorf(gantry.Invalid, "body", "The form could not be read")
		}
		code, do = c.r.PostForm.Get("code"), true
	default:
		return v, gantry.Errorf(gantry.Unsupported, "method", "Method Not Allowed")
	}
	if code == "" || len(code) > 256 {
		return v, gantry.Errorf(gantry.Invalid, "code", "The address is not complete: its code is missing")
	}
	return page(s, c, code, do)
}

func (s *server) confirmEmailPage(c *call, code string, do bool) (v letterPage, err error) {
	ctx, hash := c.r.Context(), store.HashCode(code)
	if !do {
		found, err := s.Store.Code(ctx, hash, store.CodeConfirm, store.CodeChange)
		return letterPage{Title: "Confirm your e-mail address", Text: "Is " + found.Email + " your e-mail address?", Code: code, Button: "Confirm"}, err
	}
	a, old, err := s.Store.ConfirmEmail(ctx, hash, actorOf(c.r))
	if err != nil {
		return v, err
	}
	if old != "" { // who had the account's address before should know
		if err := s.Tell.Mail.Queue(ctx, mail.Message{To: old, Subject: "Your e-mail address was changed - " + s.title(),
			Text: "The e-mail address of the user " + a.Name + " is " + a.Email + " now. If you did not want that, tell an administrator of the registry.\n"}); err != nil && !gantry.Is(err, gantry.Invalid) {
			return v, err
		}
	}
	return letterPage{Title: "Your e-mail address is confirmed", Text: "The user " + a.Name + " can sign in."}, nil
}

// recoverPage asks for a new password, takes it and signs the user in.
func (s *server) recoverPage(c *call, code string, do bool) (v letterPage, err error) {
	ctx, hash := c.r.Context(), store.HashCode(code)
	found, err := s.Store.Code(ctx, hash, store.CodeRecover)
	if err != nil {
		return v, err
	}
	v = letterPage{Title: "Choose a new password", Text: "For the account with the e-mail address " + found.Email + ". All its sessions end.", Code: code, Button: "Set the password", Password: true}
	if !do {
		return v, nil
	}
	password := c.r.PostForm.Get("password")
	if password != c.r.PostForm.Get("repeat") {
		v.Text = "The two passwords are not the same. " + v.Text
		return v, nil
	}
	if err := auth.CheckPassword(password); err != nil {
		v.Text = detail(err)
		return v, nil
	}
	encrypted, err := s.Auth.HashPassword(ctx, password)
	if err != nil {
		return v, err
	}
	a, err := s.Store.Recover(ctx, hash, encrypted, actorOf(c.r))
	if err != nil {
		return v, err
	}
	id, err := s.Auth.Login(ctx, a.Name, password, actorOf(c.r))
	if err != nil {
		return v, err
	}
	if err := s.startSession(c, &id); err != nil {
		return v, err
	}
	return letterPage{Title: "Your password is changed", Text: "You are signed in as " + a.Name + "."}, nil
}

func (s *server) repositoryEmailPage(c *call, code string, do bool) (v letterPage, err error) {
	ctx, hash := c.r.Context(), store.HashCode(code)
	if !do {
		found, err := s.Store.Code(ctx, hash, store.CodeRepository)
		if err != nil {
			return v, err
		}
		r, err := s.Store.RepositoryByID(ctx, found.Repo)
		return letterPage{Title: "May notifications be sent to you?", Text: "Of the repository " + r.Name.Namespace + "/" + r.Name.Name + ", to " + found.Email + ".", Code: code, Button: "Allow"}, err
	}
	r, email, err := s.Store.ConfirmRepositoryEmail(ctx, hash)
	return letterPage{Title: "Thank you", Text: "Notifications of the repository " + r.Name.Namespace + "/" + r.Name.Name + " can be sent to " + email + "."}, err
}

// teamInvitePage answers an invitation for who has signed in.
func (s *server) teamInvitePage(c *call, code string, do bool) (v letterPage, err error) {
	ctx, hash := c.r.Context(), store.HashCode(code)
	i, err := s.Store.Invite(ctx, hash)
	if err != nil {
		return v, err
	}
	v = letterPage{Title: "Join the team " + i.TeamName + " of " + i.OrgName, Text: i.Inviter + " invites you."}
	if c.session == nil {
		v.Text += " Sign in, or sign up with the invite_code " + code + ", and open this page again; or sign in and PUT /api/v1/teaminvite/" + code + "."
		return v, nil
	}
	if !do {
		v.Text += " You are signed in as " + c.id.Account.Name + "."
		v.Code, v.Button, v.Decline, v.CSRF = code, "Join", true, c.session.CSRF
		return v, nil
	}
	if c.r.PostForm.Get("_csrf_token") != c.session.CSRF { // random, and useless to who can time it
		return v, gantry.Errorf(gantry.Denied, "csrf", "CSRF token was invalid or missing.")
	}
	accept := c.r.PostForm.Get("decline") == ""
	if _, err := s.Store.AnswerInvite(ctx, hash, c.id.Account, accept, c.id.Actor); err != nil {
		return v, err
	}
	if !accept {
		return letterPage{Title: "You have declined", Text: "You are not in the team " + i.TeamName + "."}, nil
	}
	return letterPage{Title: "Welcome", Text: "You are in the team " + i.TeamName + " of " + i.OrgName + " now."}, nil
}

// pageRoute names a page in logs and metrics.
func pageRoute(r *http.Request) { httpd.SetRoute(r.Context(), "web"+r.URL.Path) }
