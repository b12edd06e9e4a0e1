package api

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/store"
)

// TellOptions are for what is told to people and to other machines.
type TellOptions struct {
	Notify      *notify.Service // nil = there are no notifications
	QuotaEvents bool            // FEATURE_QUOTA_NOTIFICATIONS: namespaces have notifications, too
	Mail        *mail.Service   // nil = not FEATURE_MAILING
	TeamInvite  bool            // FEATURE_REQUIRE_TEAM_INVITE: with Mail, a user has to accept before being in a team
	CodeLife    time.Duration   // USER_RECOVERY_TOKEN_LIFETIME; 0 = 30 minutes
	Title       string          // of the registry, for mail; "" = Gantry
	// Base is where users find this registry, such as https://registry.example.com;
	// required with Mail.
	Base func() string
}

// tellRoutes are what needs mail.
var tellRoutes = []route{
	{method: "POST", path: "recovery", handle: (*server).askRecovery},
	{method: "POST", path: "superusers/users/{name}/sendrecovery", access: superuser, fresh: true, handle: (*server).sendRecovery},
	{method: "PUT", path: "organization/{org}/team/{team}/invite/{email}", access: nsAdmin, handle: (*server).inviteAddress},
	{method: "DELETE", path: "organization/{org}/team/{team}/invite/{email}", access: nsAdmin, handle: (*server).withdrawAddress},
	{method: "PUT", path: "teaminvite/{code}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).acceptInvite},
	{method: "DELETE", path: "teaminvite/{code}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).declineInvite},
	{method: "GET", path: "repository/{repo}/authorizedemail/{email}", access: repoAdmin, handle: (*server).getRepositoryEmail},
	{method: "POST", path: "repository/{repo}/authorizedemail/{email}", access: repoAdmin, handle: (*server).askRepositoryEmail},
}

func (s *server) codeLife() time.Duration { return cmp.Or(s.Tell.CodeLife, 30*time.Minute) }

// link is the address of a page that takes a code.
func (s *server) link(page, code string) string {
	return s.Tell.Base() + page + "?code=" + url.QueryEscape(code)
}

// letter makes the job of a mail of a few lines and, unless it is "", an
// address to open. life is how long that can be used; 0 = always, negative: it
// is too late already.
func (s *server) letter(to, subject, link string, life time.Duration, lines ...string) (store.NewJob, error) {
	m := mail.Message{To: to, Subject: subject, Text: strings.Join(lines, "\n\n") + "\n"}
	if life != 0 {
		m.Until = s.Store.Now().Add(life)
	}
	for _, l := range lines {
		m.HTML += "<p>" + html.EscapeString(l) + "</p>\n"
	}
	if link != "" {
		m.Text += "\n" + link + "\n"
		m.HTML += `<p><a href="` + html.EscapeString(link) + `">` + html.EscapeString(link) + "</a></p>\n"
	}
	return s.Tell.Mail.Job(m)
}

// title is the registry's name, where it fits into a subject.
func (s *server) title() string {
	if len(s.Tell.Title) > 100 {
		return "Gantry"
	}
	return cmp.Or(s.Tell.Title, "Gantry")
}

// newCode makes a code of a kind, and the letter that brings it.
func (s *server) newCode(kind string, a gantry.AccountID, to, page, subject string, lines ...string) (store.NewCode, error) {
	code := rand.Text()
	c := store.NewCode{Hash: store.HashCode(code), Kind: kind, Account: a, Email: to, Life: s.codeLife()}
	lines = append(lines, "The link can be used once, within "+c.Life.String()+". If you did not ask for it, there is nothing to do.")
	var err error
	c.Mail, err = s.letter(to, subject+" - "+s.title(), s.link(page, code), c.Life, lines...)
	return c, err
}

// confirmation is the code for the address of a new account.
func (s *server) confirmation(a gantry.AccountID, name, to string) (store.NewCode, error) {
	return s.newCode(store.CodeConfirm, a, to, confirmPage, "Confirm your e-mail address", "Please confirm that this is the e-mail address of the user "+name+".")
}

// confirmAgain sends the confirmation once more to somebody whose password was
// right.
func (s *server) confirmAgain(c *call, login string) error {
	if s.Tell.Mail == nil {
		return nil
	}
	ctx := c.r.Context()
	find := s.Store.Account
	if strings.Contains(login, "@") {
		find = s.Store.UserByEmail
	}
	a, err := find(ctx, login)
	if err != nil || a.Email == "" {
		return err
	}
	code, err := s.confirmation(a.ID, a.Name, a.Email)
	if err == nil {
		_, err = s.Store.CreateCode(ctx, code)
	}
	return err
}

// changeEmail asks the new address of the caller's account whether it is the
// caller's; it is changed when that is confirmed.
func (s *server) changeEmail(c *call, to string) error {
	if to == "" {
		return gantry.Errorf(gantry.Invalid, "email", "An e-mail address is required")
	}
	if strings.EqualFold(to, c.id.Account.Email) {
		return nil
	}
	ctx := c.r.Context()
	if _, err := s.Store.Mailbox(ctx, to); err == nil {
		return gantry.Errorf(gantry.Conflict, "email", "E-mail address already used: %s", to)
	} else if !gantry.Is(err, gantry.NotFound) {
		return err
	}
	code, err := s.newCode(store.CodeChange, c.id.Account.ID, to, confirmPage, "Confirm your new e-mail address",
		"The user "+c.id.Account.Name+" wants this to be the account's e-mail address. Please confirm it.")
	if err != nil {
		return err
	}
	created, err := s.Store.CreateCode(ctx, code)
	if err == nil && !created {
		err = gantry.Errorf(gantry.Limited, "email", "Too many changes wait to be confirmed; try again later")
	}
	return err
}

// recovery is the code for somebody who forgot the password.
func (s *server) recovery(a gantry.AccountID, name, to string) (store.NewCode, error) {
	return s.newCode(store.CodeRecover, a, to, recoveryPage, "Recover your account", "Somebody, hopefully you, has asked for a new password of the user "+name+".")
}

// mailOn refuses what needs mail where there is none.
func (s *server) mailOn() error {
	if s.Tell.Mail == nil {
		return gantry.Errorf(gantry.NotFound, "route", "Mail is switched off on this registry (FEATURE_MAILING)")
	}
	return nil
}

// askRecovery sends a code to the address of an account. For an address that
// is nobody's the answer, and the work, are the same.
func (s *server) askRecovery(c *call) error {
	if err := s.mailOn(); err != nil {
		return err
	}
	var in struct {
		Email             string
		RecaptchaResponse string `json:"recaptcha_response"` // not asked for; only its type is checked
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Email == "" {
		return gantry.Errorf(gantry.Invalid, "email", "email is required")
	}
	if err := checkEmail(in.Email); err != nil {
		return err
	}
	ctx := c.r.Context()
	a, err := s.Store.Mailbox(ctx, in.Email)
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	if err == nil && a.Kind == gantry.Organization {
		return s.recoverOrganization(c, a)
	}
	var code store.NewCode
	known := err == nil && a.Enabled
	if known {
		if code, err = s.recovery(a.ID, a.Name, a.Email); gantry.Is(err, gantry.Invalid) {
			known = false // an address that no mail can go to tells no more than any other
		}
	}
	if !known { // a letter that is too late to be sent, counted for an account that nobody has
		sum := sha256.Sum256([]byte(strings.ToLower(in.Email)))
		code = store.NewCode{Hash: store.HashCode(rand.Text()), Kind: store.CodeRecover, Account: -1 - gantry.AccountID(binary.BigEndian.Uint32(sum[:])), Life: s.codeLife()}
		code.Mail, err = s.letter("nobody@invalid.invalid", "Recover your account", s.link(recoveryPage, rand.Text()), -1, "Nobody gets this.")
	}
	if err != nil {
		return err
	}
	if _, err := s.Store.CreateCode(ctx, code); err != nil {
		return err
	}
	return c.json(200, map[string]string{"status": "sent"})
}

// recoverOrganization tells an organization's address who administers it: an
// organization has no password.
func (s *server) recoverOrganization(c *call, org store.Account) error {
	ctx := c.r.Context()
	admins, err := s.Store.Administrators(ctx, org.ID)
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	names := []string{}
	for _, a := range admins {
		names = append(names, a.Name)
	}
	j, err := s.letter(org.Email, "Recover your organization - "+s.title(), "", 0, "Nobody signs in as the organization "+org.Name+". It is administered by: "+strings.Join(names, ", ")+".",
		"Who has forgotten the password of one of these users can ask for a new one with that user's e-mail address.")
	if err != nil {
		return err
	}
	j.Dedupe = fmt.Sprintf("organization %d", org.ID) // one at a time
	if _, err := s.Store.Enqueue(ctx, j); err != nil {
		return err
	}
	return c.json(200, map[string]string{"status": "org", "orgemail": org.Email, "orgname": redacted(org.Name)})
}

// redacted shows the ends of a name.
func redacted(name string) string {
	return name[:1] + strings.Repeat("*", max(len(name)-2, 1)) + name[len(name)-1:]
}

func (s *server) sendRecovery(c *call) error {
	if err := s.mailOn(); err != nil {
		return err
	}
	a, err := s.commonUser(c, "send a recovery e-mail to")
	if err != nil {
		return err
	}
	if a.Email == "" {
		return gantry.Errorf(gantry.Invalid, "email", "The user has no e-mail address")
	}
	code, err := s.recovery(a.ID, a.Name, a.Email)
	if err != nil {
		return err
	}
	created, err := s.Store.CreateCode(c.r.Context(), code)
	if err != nil {
		return err
	}
	if !created {
		return gantry.Errorf(gantry.Limited, "email", "The user has unused recovery e-mails already; try again later")
	}
	return c.json(200, map[string]string{"email": a.Email})
}

func inviteView(i store.Invite) map[string]any {
	if i.Account != 0 {
		v := memberView(store.Account{Name: i.AccountName, Kind: gantry.User})
		v["invited"] = true
		return v
	}
	return map[string]any{"email": i.Email, "kind": "invite", "avatar": avatar(i.Email, "user"), "invited": true}
}

// invites reports whether somebody has to accept before being in a team.
func (s *server) invites(c *call, a store.Account) bool {
	return s.Tell.Mail != nil && s.Tell.TeamInvite && a.Kind == gantry.User && a.ID != c.id.Account.ID
}

// inviteUser asks a user to join a team, in the inbox and by mail. Who is in
// the organization is added at once.
func (s *server) inviteUser(c *call, g store.Team, a store.Account) error {
	code := rand.Text()
	org := c.params["org"]
	// The code opens nothing to anybody else: it may stand in the inbox.
	metadata, err := json.Marshal(map[string]string{"code": code, "inviter": c.id.Actor.Name, "org": org, "team": g.Name})
	if err != nil {
		return err
	}
	n := store.NewInvite{Hash: store.HashCode(code), Who: &a, Email: a.Email, Notice: store.Notice{Kind: "org_team_invite", Organization: org, Metadata: metadata}}
	if a.Email != "" {
		j, err := s.invitation(a.Email, code, c.id.Actor.Name, org, g.Name)
		if err != nil {
			return err
		}
		n.Mail = &j
	}
	added, err := s.Store.InviteToTeam(c.r.Context(), g, n, c.id.Actor)
	if err != nil {
		return err
	}
	v := memberView(a)
	v["invited"] = !added
	return c.json(200, v)
}

func (s *server) invitation(to, code, inviter, org, team string) (store.NewJob, error) {
	return s.letter(to, "Join the team "+team[:min(len(team), 60)]+" - "+s.title(), s.link(invitePage, code), store.InviteKept,
		inviter+" invites you to join the team "+team+" of the organization "+org+" on "+s.title()+".", "The invitation is good for 30 days.")
}

func (s *server) inviteAddress(c *call) error {
	if err := s.mailOn(); err != nil {
		return err
	}
	g, err := c.team(s)
	if err != nil {
		return err
	}
	to := strings.ToLower(c.params["email"])
	if err := checkEmail(to); err != nil {
		return err
	}
	code := rand.Text()
	j, err := s.invitation(to, code, c.id.Actor.Name, c.params["org"], g.Name)
	if err != nil {
		return err
	}
	if _, err := s.Store.InviteToTeam(c.r.Context(), g, store.NewInvite{Hash: store.HashCode(code), Email: to, Mail: &j}, c.id.Actor); err != nil {
		return err
	}
	return c.json(200, inviteView(store.Invite{Email: to}))
}

func (s *server) withdrawAddress(c *call) error {
	if err := s.mailOn(); err != nil {
		return err
	}
	g, err := c.team(s)
	if err == nil {
		err = s.Store.WithdrawInvite(c.r.Context(), g, nil, c.params["email"], c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func (s *server) acceptInvite(c *call) error {
	i, err := s.Store.AnswerInvite(c.r.Context(), store.HashCode(c.params["code"]), c.id.Account, true, c.id.Actor)
	if err != nil {
		return err
	}
	return c.json(200, map[string]string{"org": i.OrgName, "team": i.TeamName})
}

func (s *server) declineInvite(c *call) error {
	if _, err := s.Store.AnswerInvite(c.r.Context(), store.HashCode(c.params["code"]), c.id.Account, false, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

// repositoryEmailView has no code: who asks an address must not answer for it.
func (s *server) repositoryEmailView(c *call, confirmed bool) map[string]any {
	r := c.rights.Repository.Name
	return map[string]any{"email": strings.ToLower(c.params["email"]), "repository": r.Name, "namespace": r.Namespace, "confirmed": confirmed, "code": ""}
}

func (s *server) getRepositoryEmail(c *call) error {
	if err := s.mailOn(); err != nil {
		return err
	}
	confirmed, err := s.Store.RepositoryEmail(c.r.Context(), c.rights.Repository.ID, c.params["email"])
	if err != nil {
		return err
	}
	return c.json(200, s.repositoryEmailView(c, confirmed))
}

func (s *server) askRepositoryEmail(c *call) error {
	if err := s.mailOn(); err != nil {
		return err
	}
	to := c.params["email"]
	if err := checkEmail(to); err != nil {
		return err
	}
	r := c.rights.Repository
	code, err := s.newCode(store.CodeRepository, c.id.Account.ID, to, repositoryPage, "May notifications be sent to you?",
		"The user "+c.id.Account.Name+" wants notifications of the repository "+r.Name.Namespace+"/"+r.Name.Name+" to be sent to this e-mail address.")
	if err != nil {
		return err
	}
	code.Repo = r.ID
	if err := s.Store.AskRepositoryEmail(c.r.Context(), code); err != nil {
		return err
	}
	return s.getRepositoryEmail(c)
}
