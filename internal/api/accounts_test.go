package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// with serves the world again with other options.
func (w *world) with(o Options) *world {
	o.Store, o.Auth = w.db, w.svc
	srv := httptest.NewServer(checked(w.t, New(o)))
	w.t.Cleanup(srv.Close)
	n := *w
	n.url = srv.URL
	return &n
}

func (w *world) want(status int, method, path, token, body string, headers ...string) string {
	w.t.Helper()
	s, b, _ := w.call(method, path, token, body, headers...)
	if s != status {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, s, status, b)
	}
	return b
}

func holds(t *testing.T, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Fatalf("%s is not in %s", p, body)
		}
	}
}

// TestTeams makes an organization, its teams and default permissions, and
// holds that they work and that its last admin cannot leave.
func TestTeams(t *testing.T) {
	storetest.Each(t, testTeams)
}

func testTeams(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	_, ann := w.user("ann", false)
	_, bob := w.user("bob", false)
	w.user("eve", false)
	const org = "/api/v1/organization/acme"
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme","email":"a@example.com"}`)
	holds(t, w.want(200, "PUT", org+"/team/staff", ann, `{"role":"member","description":"d"}`), `"new_team":true`, `"description":"d"`)
	holds(t, w.want(200, "PUT", org+"/team/staff", ann, `{"role":"creator"}`), `"new_team":false`, `"description":"d"`, `"role":"creator"`)
	w.want(400, "PUT", org+"/team/staff", ann, `{"role":"king"}`)
	w.want(400, "PUT", org+"/team/St%20aff", ann, `{"role":"member"}`)
	w.want(400, "PUT", org+"/team/staff/members/nobody", ann, "")
	w.want(403, "GET", org+"/team/staff/members", bob, "")
	w.want(200, "PUT", org+"/team/staff/members/bob", ann, "")
	w.want(200, "PUT", org+"/team/staff/members/bob", ann, "")
	holds(t, w.want(200, "GET", org+"/team/staff/members", bob, ""), `"name":"bob"`, `"can_edit":false`)
	w.want(403, "PUT", org+"/team/owners/members/bob", bob, "")
	w.want(201, "POST", "/api/v1/repository", bob, `{"namespace":"acme","repository":"bobs","visibility":"private","description":""}`)

	// The last admin stays.
	w.want(400, "DELETE", org+"/team/owners/members/ann", ann, "")
	w.want(400, "DELETE", org+"/team/owners", ann, "")
	w.want(400, "PUT", org+"/team/owners", ann, `{"role":"member"}`)

	// Robots of others stay outside.
	w.want(201, "PUT", "/api/v1/user/robots/spy", bob, "")
	w.want(400, "PUT", org+"/team/staff/members/bob+spy", ann, "")
	w.want(201, "PUT", org+"/robots/ci", ann, "")
	w.want(200, "PUT", org+"/team/staff/members/acme+ci", ann, "")
	if b := w.want(200, "GET", org+"/robots", bob, ""); strings.Contains(b, `"token"`) {
		t.Fatal("a member sees the robot's token: ", b)
	}
	w.want(403, "GET", org+"/robots/ci", bob, "")
	w.want(404, "GET", org+"/robots/spy", ann, "")
	w.want(404, "POST", org+"/robots/spy/regenerate", ann, "")

	// Default permissions.
	w.want(400, "POST", org+"/prototypes", ann, `{"role":"read","delegate":{"name":"bob+spy","kind":"user"}}`)
	w.want(400, "POST", org+"/prototypes", ann, `{"role":"read","delegate":{"name":"none","kind":"team"}}`)
	w.want(400, "POST", org+"/prototypes", ann, `{"role":"read","delegate":{"name":"acme","kind":"user"}}`)
	var p struct{ ID string }
	b := w.want(200, "POST", org+"/prototypes", ann, `{"role":"write","delegate":{"name":"staff","kind":"team"}}`)
	if err := json.Unmarshal([]byte(b), &p); err != nil || p.ID == "" {
		t.Fatal(b, err)
	}
	w.want(200, "POST", org+"/prototypes", ann, `{"role":"read","delegate":{"name":"eve","kind":"user"}}`)
	w.want(200, "POST", org+"/prototypes", ann, `{"role":"admin","delegate":{"name":"eve","kind":"user"},"activating_user":{"name":"ann"}}`)
	holds(t, w.want(200, "PUT", org+"/prototypes/"+p.ID, ann, `{"role":"read"}`), `"role":"read"`, `"kind":"team"`)
	const app = "/api/v1/repository/acme/app"
	w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	holds(t, w.want(200, "GET", app+"/permissions/user/eve", ann, ""), `"role":"admin"`)
	holds(t, w.want(200, "GET", app+"/permissions/team/staff", ann, ""), `"role":"read"`)
	holds(t, w.want(200, "GET", app+"/permissions/user/bob/transitive", ann, ""), `{"permissions":[{"role":"read"}]}`)
	w.want(404, "GET", app+"/permissions/user/nobody/transitive", ann, "")
	w.want(200, "GET", app, bob, "")
	w.want(403, "PUT", app, bob, `{"description":"x"}`)
	w.want(200, "PUT", app+"/permissions/team/staff", ann, `{"role":"write"}`)
	w.want(200, "PUT", app, bob, `{"description":"x"}`)
	w.want(400, "PUT", app+"/permissions/team/none", ann, `{"role":"write"}`)
	holds(t, w.want(200, "GET", org+"/team/staff/permissions", ann, ""), `"name":"app"`)
	w.want(204, "DELETE", app+"/permissions/team/staff", ann, "")
	w.want(400, "DELETE", app+"/permissions/team/staff", ann, "")
	w.want(403, "GET", app, bob, "")
	w.want(204, "DELETE", org+"/prototypes/"+p.ID, ann, "")
	w.want(404, "DELETE", org+"/prototypes/"+p.ID, ann, "")

	// The organization as each sees it.
	holds(t, w.want(200, "GET", org, ann, ""), `"is_admin":true`, `"email":"a@example.com"`, `"ordered_teams":["owners","staff"]`)
	if b := w.want(200, "GET", org, bob, ""); strings.Contains(b, "a@example.com") || !strings.Contains(b, `"is_member":true`) {
		t.Fatal(b)
	}
	if b := w.want(200, "GET", org, "", ""); strings.Contains(b, "teams") || strings.Contains(b, "a@example.com") {
		t.Fatal(b)
	}
	w.want(404, "GET", "/api/v1/organization/bob", ann, "")
	holds(t, w.want(200, "GET", "/api/v1/user/", bob, ""), `"organizations":[{`, `"is_org_admin":false`, `"can_create_repo":true`)
	w.want(204, "DELETE", org+"/team/staff/members/bob", ann, "")
	w.want(404, "DELETE", org+"/team/staff/members/bob", ann, "")
	w.want(204, "DELETE", org+"/team/staff", ann, "")
	w.want(404, "DELETE", org+"/team/staff", ann, "")
}

// TestListRepositories pages through what each caller may see, and no more.
func TestListRepositories(t *testing.T) {
	storetest.Each(t, testListRepositories)
}

func testListRepositories(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	ctx := t.Context()
	ann, annToken := w.user("ann", false)
	bob, bobToken := w.user("bob", false)
	_, eve := w.user("eve", false)
	_, root := w.user("root", true)
	for i := range 250 {
		n := store.NewRepository{Name: gantry.RepoName{Namespace: "ann", Name: fmt.Sprintf("r%d", i)}, Creator: ann.ID}
		if i%50 == 0 {
			n.Visibility = gantry.Public
		}
		if _, err := w.db.CreateRepository(ctx, n, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := w.db.Repository(ctx, gantry.RepoName{Namespace: "ann", Name: "r7"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.SetPermission(ctx, r, bob, gantry.Read, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	var page struct {
		Repositories []struct{ Name string }
		NextPage     string `json:"next_page"`
	}
	count := func(query, token string) (n int) {
		t.Helper()
		next := ""
		seen := map[string]bool{}
		for {
			page.Repositories, page.NextPage = nil, ""
			if err := json.Unmarshal([]byte(w.want(200, "GET", "/api/v1/repository?"+query+next, token, "")), &page); err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Repositories {
				if seen[r.Name] {
					t.Fatal(r.Name, "twice")
				}
				seen[r.Name] = true
			}
			if page.NextPage == "" {
				return len(seen)
			}
			next = "&next_page=" + page.NextPage
		}
	}
	for _, x := range []struct {
		query, token string
		want         int
	}{{"namespace=ann", annToken, 250}, {"namespace=ann", root, 250}, {"namespace=ann", bobToken, 6}, {"namespace=ann", eve, 5}, {"namespace=ann", "", 5},
		{"public=true", "", 5}, {"public=true", annToken, 5}, {"namespace=nobody", eve, 0}, {"starred=true", annToken, 0}, {"namespace=ann&public=true", annToken, 5}} {
		if n := count(x.query, x.token); n != x.want {
			t.Errorf("%s: %d repositories, want %d", x.query, n, x.want)
		}
	}
	w.want(400, "GET", "/api/v1/repository", annToken, "")
	w.want(400, "GET", "/api/v1/repository?namespace=%00", annToken, "")
	b := w.want(200, "GET", "/api/v1/repository?namespace=ann", annToken, "")
	if err := json.Unmarshal([]byte(b), &page); err != nil || page.NextPage == "" {
		t.Fatal(b, err)
	}
	w.want(400, "GET", "/api/v1/repository?namespace=ann&next_page="+page.NextPage, root, "")   // another caller
	w.want(400, "GET", "/api/v1/repository?public=true&next_page="+page.NextPage, annToken, "") // another listing
	w.want(400, "GET", "/api/v1/repository?namespace=ann&next_page=x", annToken, "")
	set := *w.svc.Settings()
	set.AnonymousAccess = false
	w.svc.Configure(set)
	w.want(401, "GET", "/api/v1/repository?public=true", "", "")
	w.want(401, "GET", "/api/v1/organization/ann", "", "")
}

// TestInitializeRace holds that of many first accounts exactly one is made,
// and that the losers hear why.
func TestInitializeRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		var wg sync.WaitGroup
		status, bodies := make([]int, 8), make([]string, 8)
		for i := range status {
			wg.Go(func() {
				status[i], bodies[i], _ = w.call("POST", "/api/v1/user/initialize", "",
					fmt.Sprintf(`{"username":"user%d","password":"long-enough","email":"u%d@example.com"}`, i, i))
			})
		}
		wg.Wait()
		won := 0
		for i, s := range status {
			switch {
			case s == 200:
				won++
			case s != 400 || !strings.Contains(bodies[i], `{"message":"Cannot initialize user in a non-empty database"}`):
				t.Errorf("%d %s", s, bodies[i])
			}
		}
		if won != 1 {
			t.Errorf("%d accounts are the first", won)
		}
	})
}

// TestSignUp walks through FEATURE_USER_CREATION and its like.
func TestSignUp(t *testing.T) {
	w := newWorld(t)
	const body = `{"username":"ann","password":"ann-password","email":"ann@example.com","superuser":true,"Superuser":true,"verified":true,"id":1,"kind":"organization"}`
	w.want(404, "POST", "/api/v1/user/", "", body)
	w.with(Options{UserCreation: true, NoDirectLogin: true}).want(404, "POST", "/api/v1/user/", "", body)
	w.with(Options{UserCreation: true, InviteOnly: true}).want(400, "POST", "/api/v1/user/", "", body)
	w = w.with(Options{UserCreation: true})
	for _, bad := range []string{`{"username":"Ann","password":"ann-password"}`, `{"username":"\u0430nn","password":"ann-password"}`, // a Cyrillic a
		`{"username":"ann+ci","password":"ann-password"}`, `{"username":"a","password":"ann-password"}`, `{"username":"ann","password":"short"}`,
		`{"username":"$app","password":"ann-password"}`, `{"username":"an\u0000n","password":"ann-password"}`, `{"username":"ann/../x","password":"ann-password"}`,
		`{"username":"ann","password":"ann-password","email":"not an address"}`, `{"username":"ann","password":"ann-password","email":"a@b\r\nBcc: c@d"}`,
		`{"username":["ann"],"password":"ann-password"}`, `null`, `[]`, ``} {
		w.want(400, "POST", "/api/v1/user/", "", bad)
	}
	w.want(403, "POST", "/api/v1/user/", "", body, "Sec-Fetch-Site", "cross-site")
	s, b, h := w.call("POST", "/api/v1/user/", "", body)
	if s != 200 || !strings.Contains(b, `{"success":true}`) || h.Get("Set-Cookie") == "" || !strings.Contains(h.Get("Set-Cookie"), "HttpOnly") {
		t.Fatal(s, b, h)
	}
	a, err := w.db.Account(t.Context(), "ann")
	if err != nil || a.Superuser || a.Kind != gantry.User {
		t.Fatal("the body chose what is not its to choose:", a, err)
	}
	w.want(400, "POST", "/api/v1/user/", "", body)
	w.want(400, "POST", "/api/v1/user/", "", `{"username":"bob","password":"bob-password","email":"ANN@example.com"}`)
}

// TestSignUpFirst holds that the first account of a registry whose door stands
// open is its superuser, by whichever way it comes, and no later one is.
func TestSignUpFirst(t *testing.T) {
	w := newWorld(t)
	w.with(Options{UserCreation: true}).want(200, "POST", "/api/v1/user/", "", `{"username":"one","password":"one-password"}`)
	if a, err := w.db.Account(t.Context(), "one"); err != nil || a.Superuser {
		t.Errorf("the first one where the configuration opens no door: %+v, %v", a, err)
	}
	w = newWorld(t)
	w = w.with(Options{UserCreation: true, UserInitialize: true})
	for i, name := range []string{"one", "two"} {
		w.want(200, "POST", "/api/v1/user/", "", `{"username":"`+name+`","password":"`+name+`-password"}`)
		if a, err := w.db.Account(t.Context(), name); err != nil || a.Superuser != (i == 0) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	w.want(400, "POST", "/api/v1/user/initialize", "", `{"username":"three","password":"three-password"}`)
}

// TestSessionCookie holds that the fields of the session cookie are obeyed,
// and that addresses of a blocked domain get no account.
func TestSessionCookie(t *testing.T) {
	w := newWorld(t)
	w.user("ann", false)
	_, _, h := w.call("POST", "/api/v1/signin", "", `{"username":"ann","password":"ann-password"}`)
	if k := h.Get("Set-Cookie"); !strings.HasPrefix(k, "session=") || !strings.Contains(k, "HttpOnly") || !strings.Contains(k, "SameSite=Lax") || !strings.Contains(k, "Max-Age=2678400") {
		t.Errorf("unless told: %s", k)
	}
	w = w.with(Options{CookieName: "quay", CookieScripts: true, CookieSameSite: http.SameSiteStrictMode, CookieSecure: true, WindowSessions: true,
		UserCreation: true, BlockedDomains: []string{"Spam.example"}})
	_, _, h = w.call("POST", "/api/v1/signin", "", `{"username":"ann","password":"ann-password"}`)
	k := h.Get("Set-Cookie")
	if !strings.HasPrefix(k, "quay=") || strings.Contains(k, "HttpOnly") || !strings.Contains(k, "SameSite=Strict") || strings.Contains(k, "Max-Age") || !strings.Contains(k, "Secure") {
		t.Errorf("as told: %s", k)
	}
	jar, _, _ := strings.Cut(k, ";")
	w.want(200, "GET", "/api/v1/user/", "", "", "Cookie", jar)
	if _, _, h := w.call("POST", "/api/v1/signout", "", "", "Cookie", jar, "X-CSRF-Token", h.Get("X-Next-Csrf-Token")); !strings.HasPrefix(h.Get("Set-Cookie"), "quay=; ") {
		t.Errorf("after signing out: %s", h.Get("Set-Cookie"))
	}
	for email, status := range map[string]int{"a@spam.example": 400, "a@sub.SPAM.example": 400, "a@spam.example.": 400, "a@notspam.example": 200} {
		w.want(status, "POST", "/api/v1/user/", "", `{"username":"new","password":"new-password","email":"`+email+`"}`)
	}
}

// TestFreshLogin holds that a stale session must show its password again.
func TestFreshLogin(t *testing.T) {
	var now atomic.Int64 // seconds
	now.Store(time.Now().Unix())
	w := newWorldOn(t, storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return time.Unix(now.Load(), 0) }}))
	set := *w.svc.Settings()
	set.AppSpecificTokens = true
	w.svc.Configure(set)
	w.user("ann", false)
	w = w.with(Options{FreshLogin: time.Minute})
	jar, csrf := w.signIn("ann")
	now.Add(61)
	holds(t, w.want(401, "POST", "/api/v1/user/apptoken", "", `{"title":"x"}`, "Cookie", jar, "X-CSRF-Token", csrf), "fresh_login_required")
	w.want(403, "POST", "/api/v1/signin/verify", "", `{"password":"ann-password"}`, "Cookie", jar)
	w.want(403, "POST", "/api/v1/signin/verify", "", `{"password":"wrong"}`, "Cookie", jar, "X-CSRF-Token", csrf)
	w.user("bob", false)
	jar, csrf = w.signIn("bob")
	now.Add(61)
	holds(t, w.want(401, "POST", "/api/v1/user/apptoken", "", `{"title":"x"}`, "Cookie", jar, "X-CSRF-Token", csrf), "fresh_login_required")
	w.want(200, "POST", "/api/v1/signin/verify", "", `{"password":"bob-password"}`, "Cookie", jar, "X-CSRF-Token", csrf)
	w.want(200, "POST", "/api/v1/user/apptoken", "", `{"title":"x"}`, "Cookie", jar, "X-CSRF-Token", csrf)
}

func (w *world) signIn(name string, headers ...string) (jar, csrf string) {
	w.t.Helper()
	s, b, h := w.call("POST", "/api/v1/signin", "", `{"username":"`+name+`","password":"`+name+`-password"}`, headers...)
	if s != 200 {
		w.t.Fatal(s, b)
	}
	jar, _, _ = strings.Cut(h.Get("Set-Cookie"), ";")
	return jar, h.Get("X-Next-CSRF-Token")
}

// TestSessionAttacks: a cookie that the client chose is not taken over, the
// old one ends at a new sign-in, a changed password and a disabled account end
// all, and a change without the token is refused on every route.
func TestSessionAttacks(t *testing.T) {
	now := time.Now()
	w := newWorldOn(t, storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }}))
	ctx := t.Context()
	ann, _ := w.user("ann", false)
	chosen := "session=" + strings.Repeat("A", 52)
	jar, csrf := w.signIn("ann", "Cookie", chosen)
	if jar == chosen {
		t.Fatal("session fixation")
	}
	w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", chosen)
	again, csrf2 := w.signIn("ann", "Cookie", jar, "X-CSRF-Token", csrf)
	w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", jar)
	w.want(200, "GET", "/api/v1/user/", "", "", "Cookie", again)
	for _, rt := range routes {
		if rt.method == "GET" {
			continue
		}
		path := "/api/v1/" + strings.NewReplacer("{repo}", "ann/app", "{org}", "acme", "{short}", "ci", "{name}", "ann", "{team}", "staff").Replace(rt.path)
		for _, token := range []string{"", csrf, "x", csrf2 + "x"} {
			if s, b, _ := w.call(rt.method, path, "", "{}", "Cookie", again, "X-CSRF-Token", token); s != 403 || !strings.Contains(b, "CSRF token was invalid or missing.") {
				t.Errorf("%s %s with CSRF token %q: %d %s", rt.method, path, token, s, b)
			}
		}
	}
	// A password, or a token that is no OAuth token, does not stand in for it.
	w.want(401, "PUT", "/api/v1/user/robots/ci", "", "", "Cookie", again, "Authorization", "Basic YW5uOmFubi1wYXNzd29yZA==")
	w.want(401, "PUT", "/api/v1/user/robots/ci", "nonsense", "", "Cookie", again)
	if err := w.db.SetPassword(ctx, ann.ID, "x", 0, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", again)
	bob, token := w.user("bob", false)
	jar, _ = w.signIn("bob")
	if err := w.db.SetEnabled(ctx, bob.ID, false, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", jar)
	w.want(401, "GET", "/api/v1/user/", token, "")
	holds(t, w.want(403, "POST", "/api/v1/signin", "", `{"username":"bob","password":"bob-password"}`), "disabled")
	// Who does not know the password does not learn that it is disabled.
	if a, b := w.want(403, "POST", "/api/v1/signin", "", `{"username":"bob","password":"wrong"}`),
		w.want(403, "POST", "/api/v1/signin", "", `{"username":"nobody","password":"wrong"}`); a != b {
		t.Error("the answer tells which accounts there are:", a, b)
	}
}

// TestXHROnly: a page of another site can have a browser send the session's
// cookie, but not the header. Pages that browsers show are let through.
func TestXHROnly(t *testing.T) {
	w := newWorld(t)
	w.user("ann", false)
	jar, _ := w.signIn("ann")
	w = w.with(Options{XHROnly: true})
	browser := []string{"Cookie", jar, "User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"}
	holds(t, w.want(400, "GET", "/api/v1/user", "", "", browser...), "X-Requested-With")
	w.want(200, "GET", "/api/v1/user", "", "", append(browser, "X-Requested-With", "XMLHttpRequest")...)
	w.want(200, "GET", "/api/v1/user", "", "", "Cookie", jar, "User-Agent", "curl/8")
	w.want(200, "GET", "/api/v1/docs", "", "", browser...)
	w.want(200, "GET", "/api/v1/openapi.json", "", "", browser...)
}

// TestHostile sends what no honest client sends: never a 5xx, never more than
// a bounded answer.
func TestHostile(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	w.with(Options{}).want(413, "POST", "/api/v1/repository", ann, `{"description":"`+strings.Repeat("x", 2<<20)+`"}`)
	bodies := []string{"", "{}", "null", "[]", `"x"`, "\x00", "\xff\xfe", strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 50_000), `{"username":"\u0000","password":"\u0000"}`,
		`{"username":"` + strings.Repeat("a", 10_000) + `","password":"x"}`, `{"role":"admin","role":"read"}`, `{"description":"` + strings.Repeat("x", 100_000) + `"}`}
	for _, rt := range routes {
		if rt.path == "organization/{org}" || rt.path == "openapi.json" || rt.path == "docs" || rt.path == "discovery" || rt.method == "DELETE" {
			continue
		}
		for _, x := range []string{"ci", "%00", "%ff", "..", "%2e%2e%2f", "a%0d%0aX:%20y", "ANN", "%C3%A4nn", strings.Repeat("a", 5000)} {
			path := "/api/v1/" + strings.NewReplacer("{repo}", "ann/"+x, "{org}", x, "{short}", x, "{name}", x, "{team}", x, "{uuid}", x, "{id}", x, "{limit}", x, "{type}", x, "{client}", x, "{username}", x, "{prefix}", x).Replace(rt.path)
			for i, body := range bodies {
				if x != "ci" && i > 1 {
					break
				}
				if s, b, h := w.call(rt.method, path, ann, body); s >= 500 || len(b) > 10_000 || h.Get("X") != "" {
					t.Errorf("%s %.80s with %.40q: %d %.300s", rt.method, path, body, s, b)
				}
			}
		}
	}
	if s, _, h := w.call("GET", "/api/v1/user/", ann, "", "X-Forwarded-Host", "evil.example.com", "Origin", "https://evil.example.com"); s != 200 ||
		h.Get("Access-Control-Allow-Origin") != "" {
		t.Error(s, h)
	}
	if s, _, h := w.call("GET", "/api/v1//evil.example.com", "", ""); s != http.StatusNotFound || h.Get("Location") != "" {
		t.Error("redirect", s, h)
	}
}

// TestRestricted holds what FEATURE_RESTRICTED_USERS takes away.
func TestRestricted(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	_, free := w.user("free", false)
	_, root := w.user("root", true)
	set := *w.svc.Settings()
	set.RestrictedUsers, set.RestrictedUsersWhitelist, set.SuperusersFullAccess = true, []string{"free"}, false
	w.svc.Configure(set)
	for _, x := range []struct {
		token string
		own   bool
	}{{ann, false}, {free, true}, {root, true}} {
		status := 403
		if x.own {
			status = 201
		}
		w.want(status, "POST", "/api/v1/repository", x.token, `{"repository":"app","visibility":"private","description":""}`)
		w.want(status, "PUT", "/api/v1/user/robots/ci", x.token, "")
		if x.own {
			continue
		}
		w.want(403, "POST", "/api/v1/organization/", x.token, `{"name":"anns-org"}`)
	}
	// In an organization that lets it, a restricted user may create.
	w.want(201, "POST", "/api/v1/organization/", free, `{"name":"acme"}`)
	w.want(200, "PUT", "/api/v1/organization/acme/team/makers", free, `{"role":"creator"}`)
	w.want(200, "PUT", "/api/v1/organization/acme/team/makers/members/ann", free, "")
	w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	set.OrgBySuperuser = true
	w.svc.Configure(set)
	w.want(403, "POST", "/api/v1/organization/", free, `{"name":"another"}`)
	w.want(201, "POST", "/api/v1/organization/", root, `{"name":"another"}`)
}

// TestReadOnlySuperuser: sees all, changes nothing, gets no secret.
func TestReadOnlySuperuser(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	who, auditor := w.user("auditor", false)
	set := *w.svc.Settings()
	set.ReadOnlySuperusers = []string{"auditor"}
	w.svc.Configure(set)
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	w.want(201, "PUT", "/api/v1/organization/acme/robots/ci", ann, "")
	w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	w.want(200, "GET", "/api/v1/repository/acme/app", auditor, "")
	w.want(200, "GET", "/api/v1/repository/acme/app/permissions/user/", auditor, "")
	w.want(200, "GET", "/api/v1/organization/acme/prototypes", auditor, "")
	if b := w.want(200, "GET", "/api/v1/organization/acme/robots", auditor, ""); strings.Contains(b, `"token"`) {
		t.Error("token shown: ", b)
	}
	w.want(403, "GET", "/api/v1/organization/acme/robots/ci", auditor, "")
	w.want(403, "PUT", "/api/v1/repository/acme/app", auditor, `{"description":"x"}`)
	w.want(403, "DELETE", "/api/v1/repository/acme/app", auditor, "")
	w.want(403, "PUT", "/api/v1/organization/acme/team/x1", auditor, `{"role":"admin"}`)
	narrow, err := w.svc.NewOAuthToken(t.Context(), who.ID, auth.ScopeUserRead, time.Hour, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	w.want(403, "GET", "/api/v1/organization/acme/prototypes", narrow, "")
}
