package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// jsonText reads a text of an answer.
func jsonText(t *testing.T, body, field string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(body, err)
	}
	s, _ := m[field].(string)
	return s
}

func lacks(t *testing.T, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(body, p) {
			t.Fatalf("%s is in %s", p, body)
		}
	}
}

// events counts the journal's rows of a kind.
func (w *world) events(kind string) int64 {
	w.t.Helper()
	return storetest.Get(w.t, w.db, `SELECT COUNT(*) FROM events WHERE kind = ?`, kind)
}

// narrow is a token of an account with some scopes.
func (w *world) narrow(a store.Account, scopes string) string {
	w.t.Helper()
	token, err := w.svc.NewOAuthToken(w.t.Context(), a.ID, scopes, time.Hour, gantry.Actor{})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func TestChangeUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		const me = "/api/v1/user/"
		who, ann := w.user("ann", false)
		bob, bobToken := w.user("bob", false)
		holds(t, w.want(200, "GET", me, ann, ""), `"tag_expiration_s":1209600`, `"company":null`, `"invoice_email":false`)
		holds(t, w.want(200, "PUT", me, ann, `{"email":"Ann@example.com","invoice_email":true,"invoice_email_address":"pay@example.com","tag_expiration_s":86400}`),
			`"email":"ann@example.com"`, `"invoice_email":true`, `"invoice_email_address":"pay@example.com"`, `"tag_expiration_s":86400`)
		holds(t, w.want(200, "GET", me, ann, ""), `"email":"ann@example.com"`, `"tag_expiration_s":86400`)
		for kind, want := range map[string]int64{"user_change_email": 1, "user_change_invoicing": 1, "user_change_tag_expiration": 1, "user_change_name": 0} {
			if n := w.events(kind); n != want {
				t.Errorf("%d rows of %s, want %d", n, kind, want)
			}
		}
		w.want(200, "PUT", me, ann, `{"email":"ann@example.com","invoice_email":true}`) // as it is
		if n := w.events("user_change_email") + w.events("user_change_invoicing"); n != 2 {
			t.Errorf("what did not change is in the journal: %d", n)
		}
		for _, bad := range []string{`{"email":"ann@example.com"}`, `{"email":"nonsense"}`, `{"tag_expiration_s":5}`, `{"tag_expiration_s":-1}`, `{"password":"short"}`,
			`{"username":"eve"}`, `{"given_name":"Bob"}`, `{"invoice_email_address":"x"}`, ``, `[]`} {
			w.want(400, "PUT", me, bobToken, bad)
		}
		if a, err := w.db.Account(t.Context(), "bob"); err != nil || a.Email != "" || a.Retention >= 0 || string(a.Profile) != "{}" {
			t.Errorf("a refused change was made: %+v, %v", a, err)
		}
		w.want(400, "PUT", me, ann, `{"email":"new@example.com","tag_expiration_s":5}`) // all or nothing
		holds(t, w.want(200, "GET", me, ann, ""), `"email":"ann@example.com"`)
		w.want(403, "PUT", me, w.narrow(who, "user:read repo:admin"), `{"email":"x@example.com"}`)
		w.want(401, "PUT", me, "", `{}`)
		w.with(Options{FixedRetention: true}).want(400, "PUT", me, ann, `{"tag_expiration_s":0}`)
		w.with(Options{BlockedDomains: []string{"spam.example"}}).want(400, "PUT", me, ann, `{"email":"a@spam.example"}`)

		// Names and the like.
		named := w.with(Options{UserMetadata: true})
		holds(t, named.want(200, "PUT", me, ann, `{"given_name":"Ann","family_name":"Lee","company":"Acme","location":"Bonn"}`),
			`"given_name":"Ann"`, `"family_name":"Lee"`, `"company":"Acme"`, `"location":"Bonn"`, `"invoice_email":true`)
		holds(t, named.want(200, "PUT", me, ann, `{"company":""}`), `"given_name":"Ann"`, `"company":null`)
		named.want(400, "PUT", me, ann, `{"location":"`+strings.Repeat("x", 256)+`"}`)

		// The password: other sessions end.
		one, csrf := w.signIn("ann")
		two, _ := w.signIn("ann")
		w.want(200, "PUT", me, "", `{"password":"another-password"}`, "Cookie", one, "X-CSRF-Token", csrf)
		w.want(200, "GET", me, "", "", "Cookie", one)
		w.want(401, "GET", me, "", "", "Cookie", two)
		if w.events("account_change_password") != 1 {
			t.Error("the password's change is not in the journal once")
		}
		w.want(200, "POST", "/api/v1/signin", "", `{"username":"ann","password":"another-password"}`)
		w.want(403, "POST", "/api/v1/signin", "", `{"username":"ann","password":"ann-password"}`)

		// Another name.
		set := *w.svc.Settings()
		set.Superusers = []string{"root"}
		w.svc.Configure(set)
		rename := w.with(Options{UserRename: true})
		robot := jsonText(t, w.want(201, "PUT", "/api/v1/user/robots/ci", bobToken, ""), "token")
		w.want(201, "POST", "/api/v1/repository", bobToken, `{"repository":"app","visibility":"private","description":""}`)
		w.want(201, "POST", "/api/v1/organization/", bobToken, `{"name":"acme"}`)
		for _, bad := range []string{"ann", "acme", "root", "B ob", "bob+ci", ""} {
			rename.want(400, "PUT", me, bobToken, `{"username":"`+bad+`"}`)
		}
		rename.want(200, "PUT", me, bobToken, `{"username":"bob"}`)
		holds(t, rename.want(200, "PUT", me, bobToken, `{"username":"robert"}`), `"username":"robert"`)
		w.want(200, "GET", "/api/v1/repository/robert/app", bobToken, "")
		w.want(403, "GET", "/api/v1/repository/bob/app", bobToken, "")
		holds(t, w.want(200, "GET", "/api/v1/user/robots/ci", bobToken, ""), `"name":"robert+ci"`, robot)
		if id, err := w.svc.Basic(t.Context(), "robert+ci", robot, gantry.Actor{}); err != nil || id.Account.Owner != bob.ID {
			t.Error(id, err)
		}
		if _, err := w.svc.Basic(t.Context(), "bob+ci", robot, gantry.Actor{}); err == nil {
			t.Error("the robot's old name works")
		}
		if w.events("user_change_name") != 1 {
			t.Error("the new name is not in the journal once")
		}
		set.ReadOnly = true
		w.svc.Configure(set)
		w.want(503, "PUT", me, ann, `{"email":"x@example.com"}`)
	})
}

// TestFreshRoutes: what cannot be undone needs the password of late.
func TestFreshRoutes(t *testing.T) {
	for _, rt := range profileRoutes {
		if want := rt.path == "user"; rt.fresh != want {
			t.Errorf("%s %s: fresh %t", rt.method, rt.path, rt.fresh)
		}
	}
}

func TestDeleteUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		who, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		w.want(201, "POST", "/api/v1/repository", ann, `{"repository":"app","visibility":"public","description":""}`)
		w.want(201, "POST", "/api/v1/user/starred", ann, `{"namespace":"ann","repository":"app"}`)
		w.want(201, "POST", "/api/v1/user/starred", bob, `{"namespace":"ann","repository":"app"}`)
		holds(t, w.want(400, "DELETE", "/api/v1/user/", ann, ""), "acme")
		w.want(401, "DELETE", "/api/v1/user/", "", "")
		w.want(403, "DELETE", "/api/v1/user/", w.narrow(who, "user:read"), "")
		w.want(200, "PUT", "/api/v1/organization/acme/team/owners/members/bob", ann, "")
		w.want(204, "DELETE", "/api/v1/user/", ann, "")
		w.want(401, "GET", "/api/v1/user/", ann, "")
		w.want(403, "GET", "/api/v1/repository/ann/app", bob, "")
		w.want(404, "GET", "/api/v1/users/ann", bob, "")
		holds(t, w.want(200, "GET", "/api/v1/user/starred", bob, ""), `"repositories":[]`)
		holds(t, w.want(200, "GET", "/api/v1/find/repositories?query=app", bob, ""), `"results":[]`)
		if w.events("user_delete") != 1 || storetest.Get(t, db, `SELECT COUNT(*) FROM stars WHERE account_id = ?`, int64(who.ID)) != 0 {
			t.Error("no row in the journal, or stars are left")
		}
		w.user("ann", false) // the name is free
	})
}

func TestGetUser(t *testing.T) {
	w := newWorld(t)
	who, ann := w.user("ann", false)
	w.user("bob", false)
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	w.want(201, "PUT", "/api/v1/user/robots/ci", ann, "")
	w.want(200, "PUT", "/api/v1/user/", ann, `{"email":"ann@example.com"}`)
	holds(t, w.want(200, "GET", "/api/v1/users/bob", ann, ""), `"username":"bob"`, `"is_me":false`)
	me := w.want(200, "GET", "/api/v1/users/ann", w.narrow(who, "repo:read"), "")
	holds(t, me, `"is_me":true`)
	lacks(t, me, "example.com")
	w.want(401, "GET", "/api/v1/users/bob", "", "")
	for _, none := range []string{"acme", "ann+ci", "nobody", "Ann"} {
		w.want(404, "GET", "/api/v1/users/"+none, ann, "")
	}
}

func TestStars(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		const stars = "/api/v1/user/starred"
		who, ann := w.user("ann", false)
		bob, bobToken := w.user("bob", false)
		_, root := w.user("root", true)
		create := func(token, ns, name, visibility string) {
			t.Helper()
			w.want(201, "POST", "/api/v1/repository", token, `{"namespace":"`+ns+`","repository":"`+name+`","visibility":"`+visibility+`","description":""}`)
		}
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		create(ann, "ann", "deep/app", "private")
		create(ann, "ann", "open", "public")
		create(ann, "acme", "team", "private")
		hidden := w.want(404, "POST", stars, bobToken, `{"namespace":"ann","repository":"deep/app"}`)
		if none := w.want(404, "POST", stars, bobToken, `{"namespace":"ann","repository":"none"}`); none != hidden {
			t.Error("tells what exists: ", hidden, none)
		}
		w.want(400, "POST", stars, ann, `{"namespace":"ann"}`)
		w.want(401, "POST", stars, "", `{"namespace":"ann","repository":"open"}`)
		w.want(401, "GET", stars, "", "")
		w.want(403, "POST", stars, w.narrow(who, "repo:admin"), `{"namespace":"ann","repository":"open"}`)
		for _, name := range []string{"ann deep/app", "ann open", "acme team", "ann open"} {
			ns, repo, _ := strings.Cut(name, " ")
			w.want(201, "POST", stars, ann, `{"namespace":"`+ns+`","repository":"`+repo+`"}`)
		}
		list := w.want(200, "GET", stars, ann, "")
		holds(t, list, `"name":"deep/app"`, `"name":"open"`, `"name":"team"`, `"is_starred":true`)
		lacks(t, list, `"is_starred":false`)
		holds(t, w.want(200, "GET", "/api/v1/repository?starred=true", ann, ""), `"name":"deep/app"`, `"name":"team"`)
		mine := w.want(200, "GET", "/api/v1/repository?starred=true&namespace=acme", ann, "")
		holds(t, mine, `"name":"team"`)
		lacks(t, mine, `"name":"open"`)
		open := w.want(200, "GET", "/api/v1/repository?starred=true&public=true", ann, "")
		holds(t, open, `"name":"open"`)
		lacks(t, open, `"name":"team"`)
		holds(t, w.want(200, "GET", "/api/v1/repository/ann/open", ann, ""), `"is_starred":true`)
		holds(t, w.want(200, "GET", "/api/v1/repository/ann/open", bobToken, ""), `"is_starred":false`)
		holds(t, w.want(200, "GET", "/api/v1/repository/ann/open", "", ""), `"is_starred":false`)
		w.want(204, "DELETE", stars+"/ann/deep/app", ann, "")
		w.want(204, "DELETE", stars+"/ann/deep/app", ann, "")
		lacks(t, w.want(200, "GET", stars, ann, ""), `"name":"deep/app"`)

		// What can be read no more is not shown, and comes back with the right.
		r, err := w.db.Repository(t.Context(), gantry.RepoName{Namespace: "acme", Name: "team"})
		if err != nil {
			t.Fatal(err)
		}
		give := func(role gantry.Role) {
			t.Helper()
			if err := w.db.SetPermission(t.Context(), r, bob, role, gantry.Actor{}); err != nil {
				t.Fatal(err)
			}
		}
		give(gantry.Read)
		w.want(201, "POST", stars, bobToken, `{"namespace":"acme","repository":"team"}`)
		holds(t, w.want(200, "GET", stars, bobToken, ""), `"name":"team"`)
		give(gantry.NoRole)
		holds(t, w.want(200, "GET", stars, bobToken, ""), `"repositories":[]`)
		give(gantry.Read)
		holds(t, w.want(200, "GET", stars, bobToken, ""), `"name":"team"`)
		w.want(201, "POST", stars, root, `{"namespace":"acme","repository":"team"}`)
		holds(t, w.want(200, "GET", stars, root, ""), `"name":"team"`)
		w.want(204, "DELETE", "/api/v1/repository/acme/team", ann, "")
		holds(t, w.want(200, "GET", stars, bobToken, ""), `"repositories":[]`)
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM stars WHERE repo_id = ?`, int64(r.ID)); n != 0 {
			t.Errorf("%d stars of a deleted repository", n)
		}

		// Pages.
		for i := range 205 {
			id, err := w.db.CreateRepository(t.Context(), store.NewRepository{Name: gantry.RepoName{Namespace: "bob", Name: fmt.Sprintf("r%d", i)}}, gantry.Actor{})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.db.Star(t.Context(), bob.ID, id); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{stars + "?", "/api/v1/repository?starred=true"} {
			var page struct {
				Repositories []struct{ Name string }
				NextPage     string `json:"next_page"`
			}
			seen, next := map[string]bool{}, ""
			for {
				page.Repositories, page.NextPage = nil, ""
				before := w.db.Statements()
				if err := json.Unmarshal([]byte(w.want(200, "GET", path+next, bobToken, "")), &page); err != nil {
					t.Fatal(err)
				}
				if n := w.db.Statements() - before; n > 6 {
					t.Errorf("%s: %d statements", path, n)
				}
				for _, r := range page.Repositories {
					seen[r.Name] = true
				}
				if page.NextPage == "" {
					break
				}
				next = "&next_page=" + page.NextPage
			}
			if len(seen) != 205 {
				t.Errorf("%s: %d repositories", path, len(seen))
			}
		}
		w.want(400, "GET", stars+"?next_page=x", ann, "")
	})
}

func TestConvertUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		const path = "/api/v1/user/convert"
		who, team := w.user("team", false)
		_, ann := w.user("ann", false)
		w.user("off", false)
		w.want(201, "POST", "/api/v1/repository", team, `{"repository":"app","visibility":"private","description":""}`)
		robot := jsonText(t, w.want(201, "PUT", "/api/v1/user/robots/ci", team, ""), "token")
		w.want(201, "POST", "/api/v1/organization/", team, `{"name":"other"}`)
		for _, bad := range []string{`{"adminUser":"team","adminPassword":"team-password"}`, `{"adminUser":"nobody","adminPassword":"x"}`, `{}`,
			`{"adminUser":"other","adminPassword":"ann-password"}`, `{"adminUser":"off","adminPassword":"wrong"}`} {
			holds(t, w.want(400, "POST", path, team, bad), `"reason":"invaliduser"`, `"error_type":"invalid_request"`)
		}
		const good = `{"adminUser":"ann","adminPassword":"ann-password"}`
		w.want(401, "POST", path, "", good)
		w.want(403, "POST", path, w.narrow(who, "user:read org:admin"), good)
		holds(t, w.want(400, "POST", path, team, good), "other") // its last admin
		w.want(200, "PUT", "/api/v1/organization/other/team/owners/members/ann", team, "")
		set := *w.svc.Settings()
		set.OrgBySuperuser = true
		w.svc.Configure(set)
		w.want(403, "POST", path, team, good)
		set.OrgBySuperuser = false
		w.svc.Configure(set)
		jar, csrf := w.signIn("team")
		s, b, h := w.call("POST", path, "", good, "Cookie", jar, "X-CSRF-Token", csrf)
		if s != 200 {
			t.Fatal(s, b)
		}
		next, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
		holds(t, w.want(200, "GET", "/api/v1/user/", "", "", "Cookie", next), `"username":"ann"`)
		w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", jar)
		w.want(401, "GET", "/api/v1/user/", team, "")
		w.want(403, "POST", "/api/v1/signin", "", `{"username":"team","password":"team-password"}`)
		holds(t, w.want(200, "GET", "/api/v1/organization/team", ann, ""), `"is_admin":true`, `"ordered_teams":["owners"]`)
		w.want(200, "GET", "/api/v1/repository/team/app", ann, "")
		holds(t, w.want(200, "GET", "/api/v1/repository/team/app/permissions/user/", ann, ""), `"permissions":{}`)
		holds(t, w.want(200, "GET", "/api/v1/organization/team/robots/ci", ann, ""), robot)
		if _, err := w.svc.Basic(t.Context(), "team+ci", robot, gantry.Actor{}); err != nil {
			t.Error("its robot: ", err)
		}
		lacks(t, w.want(200, "GET", "/api/v1/organization/other/members", ann, ""), `"name":"team"`)
		if w.events("account_convert") != 1 {
			t.Error("no row in the journal")
		}
	})
}

func TestChangeOrganization(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		_, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		const org = "/api/v1/organization/acme"
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme","email":"a@example.com"}`)
		w.want(201, "POST", "/api/v1/organization/", bob, `{"name":"rivals","email":"b@example.com"}`)
		w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
		holds(t, w.want(200, "GET", org, ann, ""), `"tag_expiration_s":1209600`)
		holds(t, w.want(200, "PUT", org, ann, `{"email":"new@example.com","contact_email":"c@example.com","invoice_email":true,"invoice_email_address":"pay@example.com","tag_expiration_s":0}`),
			`"email":"new@example.com"`, `"contact_email":"c@example.com"`, `"invoice_email":true`, `"invoice_email_address":"pay@example.com"`, `"tag_expiration_s":0`)
		holds(t, w.want(200, "GET", "/api/v1/repository/acme/app", ann, ""), `"tag_expiration_s":0`)
		for kind, want := range map[string]int64{"org_change_email": 2, "org_change_invoicing": 1, "org_change_tag_expiration": 1, "user_change_email": 0} {
			if n := w.events(kind); n != want {
				t.Errorf("%d rows of %s, want %d", n, kind, want)
			}
		}
		for _, bad := range []string{`{"email":"b@example.com"}`, `{"email":"x"}`, `{"contact_email":"x"}`, `{"tag_expiration_s":1}`, ``} {
			w.want(400, "PUT", org, ann, bad)
		}
		w.want(403, "PUT", org, bob, `{"email":"x@example.com"}`)
		w.want(401, "PUT", org, "", `{"email":"x@example.com"}`)
		b := w.want(200, "GET", org, bob, "")
		lacks(t, b, "example.com", "tag_expiration_s")
		w.with(Options{FixedRetention: true}).want(400, "PUT", org, ann, `{"tag_expiration_s":0}`)
		holds(t, w.with(Options{Retention: time.Hour, Retentions: []time.Duration{time.Hour}}).want(200, "PUT", org, ann, `{"tag_expiration_s":3600}`), `"tag_expiration_s":3600`)
	})
}

// TestScopeTexts: every scope is explained.
func TestScopeTexts(t *testing.T) {
	for _, s := range auth.ScopeTexts(auth.AllScopes) {
		if s.Scope == "" || s.Title == "" || s.Description == "" {
			t.Errorf("%+v", s)
		}
	}
}
