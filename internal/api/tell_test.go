package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A post is a world with mail, which nobody takes away, and a clock.
type post struct {
	*world
	ms atomic.Int64
}

func eachPost(t *testing.T, o Options, f func(p *post)) {
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) {
			p := &post{}
			p.ms.Store(1_800_000_000_000)
			p.world = newWorldOn(t, storetest.Open(t, d, store.Options{Now: func() time.Time { return time.UnixMilli(p.ms.Load()) }}))
			set := *p.svc.Settings()
			set.VerifiedOnly = true
			p.svc.Configure(set)
			o.Tell.Notify = p.notifier()
			o.Tell.Mail = mail.New(mail.Options{Store: p.db, Keys: p.svc.Keys(), Settings: func() mail.Settings { return mail.Settings{On: true} }})
			o.Tell.Base = func() string { return "https://registry.example.com" }
			p.world = p.with(o)
			f(p)
		})
	}
}

// member makes a user who has confirmed.
func (p *post) member(name string, super bool) (store.Account, string) {
	p.t.Helper()
	hash, err := p.svc.HashPassword(p.t.Context(), name+"-password")
	if err != nil {
		p.t.Fatal(err)
	}
	a, err := p.db.CreateUser(p.t.Context(), store.NewAccount{Name: name, Email: name + "@example.com", PasswordHash: hash, Superuser: super, Verified: true}, gantry.Actor{})
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := p.svc.NewOAuthToken(p.t.Context(), a.ID, auth.AllScopes, 1e16, gantry.Actor{})
	if err != nil {
		p.t.Fatal(err)
	}
	return a, token
}

// letters are the mails that wait to be sent, the newest first.
func (p *post) letters() (all []mail.Message) {
	p.t.Helper()
	list, err := p.db.Jobs(p.t.Context(), store.JobFilter{Kind: mail.JobKind})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, j := range list {
		var in struct{ Row, Sealed string }
		if err := json.Unmarshal(j.Payload, &in); err != nil {
			p.t.Fatal(err)
		}
		text, err := p.svc.Keys().Open("jobs.mail", in.Row, in.Sealed)
		if err != nil {
			p.t.Fatal(err)
		}
		var m mail.Message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			p.t.Fatal(err)
		}
		if m.Until.IsZero() || m.Until.After(p.db.Now()) { // others are not sent
			all = append(all, m)
		}
	}
	return all
}

var codeLink = regexp.MustCompile(`https://registry\.example\.com(/\w+)\?code=(\w+)`)

// code is the one in the newest letter, which has to go to an address and to
// lead to a page.
func (p *post) code(to, page string) string {
	p.t.Helper()
	all := p.letters()
	if len(all) == 0 || !strings.EqualFold(all[0].To, to) {
		p.t.Fatalf("no letter to %s: %+v", to, all)
	}
	m := codeLink.FindStringSubmatch(all[0].Text)
	if m == nil || m[1] != page || !strings.Contains(all[0].HTML, m[0]) || storetest.Get(p.t, p.db, `SELECT COUNT(*) FROM codes WHERE hash = ?`, m[2]) != 0 {
		p.t.Fatalf("%+v", all[0])
	}
	return m[2]
}

// press sends the form of a page.
func (p *post) press(page string, form url.Values, headers ...string) (int, string, http.Header) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+page, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || res.Body.Close() != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

// click looks at a page twice, which changes nothing, and presses its button.
func (p *post) click(page, code string, more ...string) string {
	p.t.Helper()
	for range 2 {
		b := p.want(200, "GET", page+"?code="+code, "", "")
		holds(p.t, b, `<form method="post">`, code)
	}
	form := url.Values{"code": {code}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	s, b, h := p.press(page, form)
	if s != 200 || h.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		p.t.Fatal(s, b, h)
	}
	return b
}

// TestConfirmEmail: who signs up has to confirm the address, and so does who
// wants another one.
func TestConfirmEmail(t *testing.T) {
	eachPost(t, Options{UserCreation: true}, func(p *post) {
		t := p.t
		holds(t, p.want(400, "POST", "/api/v1/user/", "", `{"username":"ann","password":"ann-password"}`), "email is required")
		holds(t, p.want(200, "POST", "/api/v1/user/", "", `{"username":"ann","password":"ann-password","email":"Ann@example.com"}`), `{"awaiting_verification":true}`)
		first := p.code("ann@example.com", "/confirm")
		for range 2 * 5 {
			holds(t, p.want(403, "POST", "/api/v1/signin", "", `{"username":"ann","password":"ann-password"}`), `"needsEmailVerification":true`, `"invalidCredentials":false`)
		}
		if n := len(p.letters()); n != 5 {
			t.Errorf("%d letters: they are not bounded", n)
		}
		if _, err := p.svc.Basic(t.Context(), "ann", "ann-password", gantry.Actor{}); gantry.ReasonOf(err) != gantry.Unverified {
			t.Error(err)
		}
		p.want(404, "GET", "/confirm?code=nonsense", "", "")
		p.want(400, "GET", "/confirm", "", "")
		p.want(404, "GET", "/recovery?code="+first, "", "") // a code is good for its own page only
		if s, b, _ := p.press("/confirm", url.Values{"code": {first}}, "Origin", "https://evil.example.com"); s != 403 {
			t.Error(s, b)
		}
		p.click("/confirm", first)
		if s, b, _ := p.press("/confirm", url.Values{"code": {first}}); s != 404 {
			t.Error(s, b)
		}
		jar, csrf := p.signIn("ann")
		change := func(to string) {
			t.Helper()
			b := p.want(200, "PUT", "/api/v1/user/", "", `{"email":"`+to+`"}`, "Cookie", jar, "X-CSRF-Token", csrf)
			holds(t, b, `"email":"ann@example.com"`)
		}
		p.member("bob", false)
		holds(t, p.want(400, "PUT", "/api/v1/user/", "", `{"email":"bob@example.com"}`, "Cookie", jar, "X-CSRF-Token", csrf), "already used")
		p.want(400, "PUT", "/api/v1/user/", "", `{"email":""}`, "Cookie", jar, "X-CSRF-Token", csrf)
		change("eve@example.com")
		late := p.code("eve@example.com", "/confirm")
		p.ms.Add(time.Hour.Milliseconds())
		p.want(404, "GET", "/confirm?code="+late, "", "")
		jar, csrf = p.signIn("ann")
		change("two@example.com")
		code := p.code("two@example.com", "/confirm")
		p.member("two", false) // has taken it meanwhile
		if s, b, _ := p.press("/confirm", url.Values{"code": {code}}); s != 400 {
			t.Error(s, b)
		}
		change("new@example.com")
		code = p.code("new@example.com", "/confirm")
		p.want(200, "POST", "/api/v1/recovery", "", `{"email":"ann@example.com"}`)
		recovery := p.code("ann@example.com", "/recovery")
		p.click("/confirm", code)
		if l := p.letters()[0]; l.To != "ann@example.com" || !strings.Contains(l.Text, "new@example.com") {
			t.Errorf("the old address is not told: %+v", l)
		}
		p.want(404, "GET", "/recovery?code="+recovery, "", "") // it went to the old address
		a, err := p.db.Account(t.Context(), "ann")
		if err != nil || a.Email != "new@example.com" || !a.Verified {
			t.Errorf("%+v %v", a, err)
		}
		if p.events("user_change_email") != 1 {
			t.Error("the journal does not know")
		}
	})
}

// TestRecovery: who forgot the password gets a mail, once, and nobody learns
// whose address it is.
func TestRecovery(t *testing.T) {
	eachPost(t, Options{UserCreation: true}, func(p *post) {
		t := p.t
		_, ann := p.member("ann", false)
		_, root := p.member("root", true)
		off, _ := p.member("off", false)
		if err := p.db.SetEnabled(t.Context(), off.ID, false, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		p.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme","email":"acme@example.com"}`)
		jar, _ := p.signIn("ann")
		p.want(400, "POST", "/api/v1/recovery", "", `{}`)
		p.want(400, "POST", "/api/v1/recovery", "", `{"email":"nonsense"}`)
		for _, to := range []string{"nobody@example.com", "off@example.com", "ann@example.com"} {
			if b := p.want(200, "POST", "/api/v1/recovery", "", `{"email":"`+to+`"}`); b != `{"status":"sent"}`+"\n" {
				t.Error(to, b)
			}
		}
		if n := len(p.letters()); n != 1 {
			t.Errorf("%d letters", n)
		}
		first := p.code("ann@example.com", "/recovery")
		for range 10 {
			p.want(200, "POST", "/api/v1/recovery", "", `{"email":"ANN@example.com"}`)
		}
		if n := len(p.letters()); n != 5 {
			t.Errorf("%d letters: they are not bounded", n)
		}
		holds(t, p.want(200, "POST", "/api/v1/recovery", "", `{"email":"acme@example.com"}`), `"status":"org"`, `"orgname":"a**e"`)
		if l := p.letters()[0]; l.To != "acme@example.com" || !strings.Contains(l.Text, "administered by: ann.") {
			t.Errorf("%+v", l)
		}
		holds(t, p.click("/recovery", first, "password", "new-password-1", "repeat", "other"), "not the same", "<form")
		holds(t, p.click("/recovery", first, "password", "short", "repeat", "short"), "at least 8 characters", "<form")
		s, b, h := p.press("/recovery", url.Values{"code": {first}, "password": {"new-password-1"}, "repeat": {"new-password-1"}})
		cookie, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
		if holds(t, b, "signed in as ann"); s != 200 || cookie == "" {
			t.Fatal(s, h)
		}
		p.want(200, "GET", "/api/v1/user/", "", "", "Cookie", cookie)
		p.want(401, "GET", "/api/v1/user/", "", "", "Cookie", jar) // sessions of before have ended
		if s, b, _ := p.press("/recovery", url.Values{"code": {first}, "password": {"new-password-2"}, "repeat": {"new-password-2"}}); s != 404 {
			t.Error(s, b)
		}
		p.want(200, "POST", "/api/v1/signin", "", `{"username":"ann","password":"new-password-1"}`)
		p.want(403, "POST", "/api/v1/superusers/users/ann/sendrecovery", ann, "")
		holds(t, p.want(200, "POST", "/api/v1/superusers/users/ann/sendrecovery", root, ""), `{"email":"ann@example.com"}`)
		late := p.code("ann@example.com", "/recovery")
		p.want(400, "POST", "/api/v1/superusers/users/root/sendrecovery", root, "")
		p.want(404, "POST", "/api/v1/superusers/users/acme/sendrecovery", root, "")
		p.ms.Add(31 * time.Minute.Milliseconds())
		p.want(404, "GET", "/recovery?code="+late, "", "")
		plain := p.with(Options{})
		plain.want(404, "POST", "/api/v1/recovery", "", `{"email":"ann@example.com"}`)
		plain.want(404, "GET", "/recovery?code=x", "", "")
	})
}

// TestTeamInvites: who is invited is in the team after saying yes.
func TestTeamInvites(t *testing.T) {
	eachPost(t, Options{UserCreation: true, InviteOnly: true, Tell: TellOptions{TeamInvite: true}}, func(p *post) {
		t := p.t
		_, ann := p.member("ann", false)
		bobA, bob := p.member("bob", false)
		_, eve := p.member("eve", false)
		const team = "/api/v1/organization/acme/team/staff"
		p.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		p.want(200, "PUT", team, ann, `{"role":"creator"}`)
		p.want(201, "PUT", "/api/v1/organization/acme/robots/ci", ann, "")
		holds(t, p.want(200, "PUT", team+"/members/acme+ci", ann, ""), `"invited":false`) // robots are not asked
		holds(t, p.want(200, "PUT", team+"/members/ann", ann, ""), `"invited":false`)     // nor who asks
		holds(t, p.want(200, "PUT", team+"/members/bob", ann, ""), `"invited":true`, `"name":"bob"`)
		code := p.code("bob@example.com", "/confirminvite")
		var inbox struct {
			Notifications []struct {
				Kind, Organization string
				Metadata           map[string]string
			}
		}
		read := func() {
			t.Helper()
			inbox.Notifications = nil
			if err := json.Unmarshal([]byte(p.want(200, "GET", "/api/v1/user/notifications", bob, "")), &inbox); err != nil {
				t.Fatal(err)
			}
		}
		if read(); len(inbox.Notifications) != 1 || inbox.Notifications[0].Kind != "org_team_invite" || inbox.Notifications[0].Metadata["code"] != code || inbox.Notifications[0].Metadata["inviter"] != "ann" {
			t.Fatalf("%+v", inbox)
		}
		holds(t, p.want(200, "GET", team+"/members?includePending=true", ann, ""), `"name":"bob"`)
		if b := p.want(200, "GET", team+"/members", ann, ""); strings.Contains(b, "bob") {
			t.Error(b)
		}
		p.want(404, "PUT", "/api/v1/teaminvite/"+code, eve, "") // it is bob's
		p.want(404, "DELETE", "/api/v1/teaminvite/"+code, eve, "")
		p.want(404, "PUT", "/api/v1/teaminvite/nonsense", bob, "")
		p.want(204, "DELETE", "/api/v1/teaminvite/"+code, bob, "")
		if read(); len(inbox.Notifications) != 0 {
			t.Errorf("%+v", inbox)
		}
		p.want(200, "PUT", team+"/members/bob", ann, "")
		p.want(204, "DELETE", team+"/members/bob", ann, "") // taken back
		p.want(404, "PUT", "/api/v1/teaminvite/"+p.code("bob@example.com", "/confirminvite"), bob, "")
		p.want(200, "PUT", team+"/members/bob", ann, "")
		old := p.code("bob@example.com", "/confirminvite")
		p.want(200, "PUT", team+"/members/bob", ann, "")
		p.want(404, "PUT", "/api/v1/teaminvite/"+old, bob, "") // a newer one is in its place
		holds(t, p.want(200, "PUT", "/api/v1/teaminvite/"+p.code("bob@example.com", "/confirminvite"), bob, ""), `{"org":"acme","team":"staff"}`)
		holds(t, p.want(200, "GET", team+"/members", ann, ""), `"name":"bob"`)
		p.want(200, "PUT", "/api/v1/organization/acme/team/more", ann, `{"role":"member"}`)
		holds(t, p.want(200, "PUT", "/api/v1/organization/acme/team/more/members/bob", ann, ""), `"invited":false`) // is in the organization

		// By mail: whoever has the code.
		p.want(403, "PUT", team+"/invite/new@example.com", bob, "")
		p.want(400, "PUT", team+"/invite/nonsense", ann, "")
		holds(t, p.want(200, "PUT", team+"/invite/New@example.com", ann, ""), `"kind":"invite"`, `"email":"new@example.com"`)
		holds(t, p.want(200, "GET", team+"/members?includePending=true", ann, ""), `"email":"new@example.com"`)
		gone := p.code("new@example.com", "/confirminvite")
		p.want(204, "DELETE", team+"/invite/new@example.com", ann, "")
		p.want(404, "DELETE", team+"/invite/new@example.com", ann, "")
		sign := func(status int, name, code string) string {
			t.Helper()
			return p.want(status, "POST", "/api/v1/user/", "", `{"username":"`+name+`","password":"`+name+`-password","email":"`+name+`@example.com","invite_code":"`+code+`"}`)
		}
		sign(400, "new", "")
		sign(400, "new", gone)
		p.want(200, "PUT", team+"/invite/new@example.com", ann, "")
		code = p.code("new@example.com", "/confirminvite")
		holds(t, sign(200, "new", code), `{"success":true}`) // the address is known to be its own
		sign(400, "new2", code)
		p.want(200, "PUT", team+"/invite/other@example.com", ann, "")
		holds(t, sign(200, "new3", p.code("other@example.com", "/confirminvite")), "awaiting_verification")
		b := p.want(200, "GET", team+"/members", ann, "")
		holds(t, b, `"name":"new"`, `"name":"new3"`)

		// The page needs a session, and its token.
		p.want(200, "PUT", team+"/invite/x@example.com", ann, "")
		code = p.code("x@example.com", "/confirminvite")
		if b := p.want(200, "GET", "/confirminvite?code="+code, "", ""); strings.Contains(b, "<form") {
			t.Error(b)
		}
		jar, csrf := p.signIn("eve")
		holds(t, p.want(200, "GET", "/confirminvite?code="+code, "", "", "Cookie", jar), "<form", csrf, "Decline")
		if s, b, _ := p.press("/confirminvite", url.Values{"code": {code}, "_csrf_token": {"x"}}, "Cookie", jar); s != 403 {
			t.Error(s, b)
		}
		if s, b, _ := p.press("/confirminvite", url.Values{"code": {code}, "_csrf_token": {csrf}}, "Cookie", jar); s != 200 || !strings.Contains(b, "You are in the team staff") {
			t.Error(s, b)
		}
		p.want(200, "PUT", team+"/invite/y@example.com", ann, "")
		late := p.code("y@example.com", "/confirminvite")
		p.ms.Add(31 * 24 * time.Hour.Milliseconds())
		p.want(404, "PUT", "/api/v1/teaminvite/"+late, bob, "")
		for kind, want := range map[string]int64{"org_invite_team_member": 9, "org_team_member_invite_accepted": 4, "org_team_member_invite_declined": 1, "org_delete_team_member_invite": 2} {
			if n := p.events(kind); n != want {
				t.Errorf("%d of %s", n, kind)
			}
		}
		if err := p.db.DeleteNamespace(t.Context(), bobA.ID, gantry.Actor{}); err != nil {
			t.Error(err)
		}
	})
}

// TestRepositoryEmail: mail of a repository goes to who has agreed.
func TestRepositoryEmail(t *testing.T) {
	eachPost(t, Options{}, func(p *post) {
		t := p.t
		_, ann := p.member("ann", false)
		_, eve := p.member("eve", false)
		p.want(201, "POST", "/api/v1/repository", ann, `{"repository":"a/app","visibility":"public","description":""}`)
		const base = "/api/v1/repository/ann/a/app"
		const to = base + "/authorizedemail/You@example.org"
		p.want(403, "POST", to, eve, "")
		p.want(404, "GET", to, ann, "")
		p.want(400, "POST", base+"/authorizedemail/nonsense", ann, "")
		notification := `{"event":"repo_push","method":"email","config":{"email":"you@example.org"},"eventConfig":{}}`
		holds(t, p.want(400, "POST", base+"/notification", ann, notification), "not authorized")
		holds(t, p.want(200, "POST", to, ann, ""), `"confirmed":false`, `"code":""`, `"email":"you@example.org"`)
		code := p.code("you@example.org", "/authrepoemail")
		holds(t, p.want(400, "POST", base+"/notification", ann, notification), "not authorized")
		holds(t, p.click("/authrepoemail", code), "ann/a/app")
		holds(t, p.want(200, "GET", to, ann, ""), `"confirmed":true`)
		n := len(p.letters())
		holds(t, p.want(200, "POST", to, ann, ""), `"confirmed":true`)
		if len(p.letters()) != n {
			t.Error("who has agreed is asked again")
		}
		p.want(201, "POST", base+"/notification", ann, notification)
		p.want(200, "POST", base+"/authorizedemail/other@example.org", ann, "")
		code = p.code("other@example.org", "/authrepoemail")
		p.want(204, "DELETE", base, ann, "")
		p.want(404, "GET", "/authrepoemail?code="+code, "", "")
	})
}
