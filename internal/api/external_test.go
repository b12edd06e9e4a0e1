package api

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/auth/ldap"
	"github.com/gantry-registry/gantry/internal/auth/ldap/ldaptest"
	"github.com/gantry-registry/gantry/internal/auth/oidc"
	"github.com/gantry-registry/gantry/internal/auth/oidc/oidctest"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// elsewhere is a world whose users, or some of them, come from outside.
func elsewhere(t *testing.T, change func(*auth.Options), o Options) *world {
	t.Helper()
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: "secret", DatabaseSecretKey: "database"})
	if err != nil {
		t.Fatal(err)
	}
	ao := auth.Options{Store: db, Keys: keys, BcryptCost: 4, Settings: auth.Settings{AnonymousAccess: true, SuperUsers: true, AppSpecificTokens: true,
		UserCreation: true, TeamSyncing: true, AuditLogins: true, Names: gantry.NameRules{Nested: true}}}
	change(&ao)
	svc, err := auth.New(t.Context(), ao)
	if err != nil {
		t.Fatal(err)
	}
	o.Store, o.Auth = db, svc
	srv := httptest.NewServer(checked(t, New(o)))
	t.Cleanup(srv.Close)
	return &world{t, db, svc, srv.URL}
}

// A browser keeps cookies and goes where it is told, one step at a time.
type browser struct {
	*world
	c    *http.Client
	csrf string
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{world: w, c: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) do(method, at, body string) (int, string, http.Header) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, at, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-CSRF-Token", b.csrf)
	res, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = res.Body.Close() // it was read
	if next := res.Header.Get("X-Next-CSRF-Token"); next != "" {
		b.csrf = next
	}
	return res.StatusCode, string(text), res.Header
}

// begin asks where to go.
func (b *browser) begin(kind string) string {
	b.t.Helper()
	status, body, _ := b.do("POST", b.url+"/api/v1/externallogin/corp", `{"kind":"`+kind+`"}`)
	if status != 200 {
		b.t.Fatal(status, body)
	}
	return jsonText(b.t, body, "auth_url")
}

// here is where the provider sends the browser: the registry of the test,
// whatever it is called.
func (b *browser) here(u *url.URL) string { return b.url + u.RequestURI() }

// come signs in all the way.
func (b *browser) come(at *oidctest.Provider, kind string) (int, string, http.Header) {
	b.t.Helper()
	return b.do("GET", b.here(at.Visit(b.begin(kind))), "")
}

const corp = "https://registry.example.com/oauth2/corp/callback"

// withCorp is a world with a login service beside the database.
func withCorp(t *testing.T, change func(*auth.Options), ids ...string) (*world, *oidctest.Provider) {
	t.Helper()
	at := oidctest.Start(t, corp, corp+"/attach", corp+"/cli")
	site, err := oidc.New(oidc.Options{ID: "corp", ServiceName: "Corp", Server: at.URL, ClientID: at.ClientID, ClientSecret: at.ClientSecret, RootCAs: at.Roots})
	if err != nil {
		t.Fatal(err)
	}
	sites := []auth.Site{site}
	for _, id := range ids {
		more, err := oidc.New(oidc.Options{ID: id, Server: at.URL, ClientID: at.ClientID, ClientSecret: at.ClientSecret, RootCAs: at.Roots})
		if err != nil {
			t.Fatal(err)
		}
		sites = append(sites, more)
	}
	return elsewhere(t, func(ao *auth.Options) {
		ao.Sites = sites
		if change != nil {
			change(ao)
		}
	}, Options{External: ExternalOptions{Hostname: "registry.example.com", Scheme: "https"}}), at
}

func TestExternalLogin(t *testing.T) {
	w, at := withCorp(t, func(o *auth.Options) { o.Superusers = []string{"root"} })
	const me = "/api/v1/user/"
	b := w.browser()
	status, body, h := b.come(at, "login")
	if status != 302 || h.Get("Location") != "/" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Fatal(status, body, h)
	}
	status, body, _ = b.do("GET", w.url+me, "")
	if status != 200 {
		t.Fatal(status, body)
	}
	holds(t, body, `"username":"ann"`, `"email":"ann@example.org"`, `"has_password_set":false`,
		`"logins":[{"metadata":{"service_username":"ann"},"service":"corp","service_identifier":"sub-ann"}]`)
	if n := w.events("login_success"); n != 1 {
		t.Errorf("%d rows of logins", n)
	}
	// What is fresh is no matter where nobody can ask for a password.
	if n := storetest.Exec(t, w.db, `UPDATE sessions SET fresh_ms = 1`); n != 1 {
		t.Fatal(n)
	}
	if status, body, _ := b.do("POST", w.url+"/api/v1/user/apptoken", `{"title":"x"}`); status != 200 {
		t.Error(status, body)
	}
	// The only way in stays.
	if status, body, _ := b.do("POST", w.url+"/api/v1/detachexternal/corp", ""); status != 400 {
		t.Error(status, body)
	}
	// The account is there the second time.
	second := w.browser()
	if status, _, _ := second.come(at, "login"); status != 302 {
		t.Error(status)
	}
	if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM accounts`); n != 1 {
		t.Errorf("%d accounts", n)
	}
	// The name of a superuser who is not there yet is not for the taking.
	at.Change(func(p *oidctest.Provider) {
		p.Claims = map[string]any{"sub": "sub-eve", "preferred_username": "root"}
	})
	eve := w.browser()
	if status, _, _ := eve.come(at, "login"); status != 302 {
		t.Error(status)
	}
	status, body, _ = eve.do("GET", w.url+me, "")
	holds(t, body, `"username":"root1"`, `"super_user":false`)
	if status != 200 {
		t.Error(status)
	}
	// A provider that refuses, and one that is away.
	at.Change(func(p *oidctest.Provider) { p.Refuse = "access_denied" })
	status, body, h = w.browser().come(at, "login")
	if status != 403 || strings.Contains(body, "<script") || !strings.Contains(body, "Corp did not sign you in") || !strings.HasPrefix(h.Get("Content-Type"), "text/html") ||
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error(status, body, h)
	}
	at.Change(func(p *oidctest.Provider) { p.Refuse = "" })
	third := w.browser()
	back := third.here(at.Visit(third.begin("login")))
	at.Change(func(p *oidctest.Provider) { p.Down = true })
	if status, body, _ := third.do("GET", back, ""); status != 503 || !strings.Contains(body, "does not answer") {
		t.Error(status, body)
	}
	for path, want := range map[string]int{"/api/v1/externallogin/none": 404, "/oauth2/none/callback?state=x&code=y": 404, "/oauth2/corp/callback/other": 404} {
		method, in := "POST", `{"kind":"login"}`
		if strings.HasPrefix(path, "/oauth2") {
			method, in = "GET", ""
		}
		if status, body, _ := w.browser().do(method, w.url+path, in); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body, _ := w.browser().do("POST", w.url+"/oauth2/corp/callback", ""); status != 405 {
		t.Error(status, body)
	}
}

// TestJourney attacks the way back.
func TestJourney(t *testing.T) {
	now := time.Now()
	w, at := withCorp(t, func(o *auth.Options) { o.Now = func() time.Time { return now } }, "other")
	refused := func(name string, b *browser, path string) {
		t.Helper()
		status, body, h := b.do("GET", path, "")
		if status != 403 || strings.Contains(strings.Join(h.Values("Set-Cookie"), ""), "session=") && !strings.Contains(strings.Join(h.Values("Set-Cookie"), ""), "session=;") {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM sessions`) + storetest.Get(t, w.db, `SELECT COUNT(*) FROM accounts`); n != 0 {
			t.Errorf("%s: somebody is signed in", name)
		}
	}
	// The answer that one browser got is given to another one.
	evil, victim := w.browser(), w.browser()
	back := evil.here(at.Visit(evil.begin("login")))
	refused("another browser", victim, back)
	victim.begin("login") // which has a journey of its own
	refused("another browser on its way", victim, back)
	// The state of one journey with the code of another.
	b := w.browser()
	one, two := at.Visit(b.begin("login")), at.Visit(b.begin("login"))
	q := one.Query()
	q.Set("code", two.Query().Get("code"))
	one.RawQuery = q.Encode()
	refused("codes that were swapped", b, b.here(one))
	q.Del("state")
	one.RawQuery = q.Encode()
	refused("no state", b, b.here(one))
	// Another service, or another kind, than the journey is for.
	b = w.browser()
	u := at.Visit(b.begin("login"))
	refused("another service", b, w.url+"/oauth2/other/callback?"+u.RawQuery)
	u = at.Visit(b.begin("login"))
	refused("another kind", b, w.url+"/oauth2/corp/callback/cli?"+u.RawQuery)
	// Too late.
	u = at.Visit(b.begin("login"))
	now = now.Add(auth.JourneyLife + time.Second)
	refused("too late", b, b.here(u))
	// A ticket is for one journey.
	u = at.Visit(b.begin("login"))
	if status, body, _ := b.do("GET", b.here(u), ""); status != 302 {
		t.Fatal(status, body)
	}
	if status, _, _ := b.do("GET", b.here(u), ""); status != 403 {
		t.Error("a journey is made twice", status)
	}
	// No page of another site begins one.
	if status, body, _ := w.call("POST", "/api/v1/externallogin/corp", "", `{"kind":"login"}`, "Origin", "https://evil.example.com"); status != 403 {
		t.Error(status, body)
	}
	if status, body, _ := w.call("POST", "/api/v1/externallogin/corp", "", `{"kind":"login"}`); status != 200 || strings.Contains(body, "verifier") {
		t.Error(status, body)
	}
}

func TestAttach(t *testing.T) {
	w, at := withCorp(t, nil)
	ann, annToken := w.user("ann", false)
	bob, _ := w.user("bob", false)
	in := func(name string) *browser {
		t.Helper()
		b := w.browser()
		if status, body, _ := b.do("POST", w.url+"/api/v1/signin", `{"username":"`+name+`","password":"`+name+`-password"}`); status != 200 {
			t.Fatal(status, body)
		}
		return b
	}
	if status, _, _ := w.browser().do("POST", w.url+"/api/v1/externallogin/corp", `{"kind":"attach"}`); status != 401 {
		t.Error("nobody attaches", status)
	}
	w.want(401, "POST", "/api/v1/externallogin/corp", annToken, `{"kind":"attach"}`) // which is no browser
	b := in("ann")
	if status, body, _ := b.come(at, "attach"); status != 302 {
		t.Fatal(status, body)
	}
	logins, err := w.db.FederatedLogins(t.Context(), ann.ID)
	if err != nil || len(logins) != 1 || logins[0].Ident != "sub-ann" {
		t.Fatal(logins, err)
	}
	// From now on it is ann who comes.
	other := w.browser()
	if status, _, _ := other.come(at, "login"); status != 302 {
		t.Error(status)
	}
	if _, body, _ := other.do("GET", w.url+"/api/v1/user/", ""); !strings.Contains(body, `"username":"ann"`) {
		t.Error(body)
	}
	// What is ann's is nobody else's.
	if status, body, _ := in("bob").come(at, "attach"); status != 400 || !strings.Contains(body, "belongs to another account") {
		t.Error(status, body)
	}
	// A journey of ann does not end in bob's session.
	at.Change(func(p *oidctest.Provider) { p.Claims["sub"] = "sub-x" })
	b = in("ann")
	u := at.Visit(b.begin("attach"))
	if status, _, _ := b.do("POST", w.url+"/api/v1/signin", `{"username":"bob","password":"bob-password"}`); status != 200 {
		t.Fatal(status)
	}
	if status, body, _ := b.do("GET", b.here(u), ""); status != 403 {
		t.Error(status, body)
	}
	if list, err := w.db.FederatedLogins(t.Context(), bob.ID); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	holds(t, w.want(200, "POST", "/api/v1/detachexternal/corp", annToken, ""), `"success":true`)
	holds(t, w.want(200, "POST", "/api/v1/detachexternal/corp", annToken, ""), `"success":true`)
	w.want(404, "POST", "/api/v1/detachexternal/none", annToken, "")
	w.want(401, "POST", "/api/v1/detachexternal/corp", "", "")
	if list, err := w.db.FederatedLogins(t.Context(), ann.ID); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
}

func TestCommandLine(t *testing.T) {
	w, at := withCorp(t, nil)
	status, body, _ := w.browser().come(at, "cli")
	if status != 200 {
		t.Fatal(status, body)
	}
	_, rest, _ := strings.Cut(body, "<code>")
	code, _, _ := strings.Cut(rest, "</code>")
	id, err := w.svc.Basic(t.Context(), "$app", code, gantry.Actor{})
	if err != nil || id.Account.Name != "ann" {
		t.Error(id, err, body)
	}
	if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM app_tokens WHERE expires_ms > 0`); n != 1 {
		t.Error("the token does not end")
	}
	if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM sessions`); n != 0 {
		t.Error("the browser is signed in")
	}
	off := *w.svc.Settings()
	off.AppSpecificTokens = false
	w.svc.Configure(off)
	w.want(400, "POST", "/api/v1/externallogin/corp", "", `{"kind":"cli"}`)
}

// TestSSO has tokens of the login service at the API.
func TestSSO(t *testing.T) {
	w, at := withCorp(t, nil)
	w.want(401, "GET", "/api/v1/user/", at.Token(), "") // nobody yet
	if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM accounts`); n != 0 {
		t.Error("a token makes an account")
	}
	if status, _, _ := w.browser().come(at, "login"); status != 302 {
		t.Fatal(status)
	}
	holds(t, w.want(200, "GET", "/api/v1/user/", at.Token(), ""), `"username":"ann"`)
	w.want(201, "POST", "/api/v1/organization/", at.Token(), `{"name":"acme"}`)
	for _, bad := range []string{"a.b.c", "..", at.Token() + "x", "eyJhbGciOiJub25lIn0." + strings.Split(at.Token(), ".")[1] + "."} {
		w.want(401, "GET", "/api/v1/user/", bad, "")
	}
	at.Change(func(p *oidctest.Provider) { p.Forge = func(c map[string]any) { c["aud"] = "other" } })
	w.want(401, "GET", "/api/v1/user/", at.Token(), "")
	at.Change(func(p *oidctest.Provider) { p.Forge = nil })
	a, err := w.db.Account(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.SetEnabled(t.Context(), a.ID, false, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	w.want(401, "GET", "/api/v1/user/", at.Token(), "")
}

// TestDirectory has users, and groups that teams follow, in a real directory,
// and a login service that is bound to it.
func TestDirectory(t *testing.T) {
	s := ldaptest.Start(t, false, "")
	p, err := ldap.New(ldap.Options{URIs: []string{s.LDAPS}, BaseDN: ldaptest.Base, AdminDN: ldaptest.AdminDN, AdminPassword: ldaptest.AdminPassword,
		UserRDNs: []string{"ou=people", "ou=staff"}, SuperuserFilter: "(employeeType=boss)", RootCAs: s.Roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	at := oidctest.Start(t, corp)
	site, err := oidc.New(oidc.Options{ID: "corp", Server: at.URL, ClientID: at.ClientID, ClientSecret: at.ClientSecret, RootCAs: at.Roots, BindingField: "username"})
	if err != nil {
		t.Fatal(err)
	}
	w := elsewhere(t, func(o *auth.Options) { o.Provider, o.Sites = p, []auth.Site{site} },
		Options{UserInitialize: true, UserCreation: true, External: ExternalOptions{Hostname: "registry.example.com", Scheme: "https", TeamSyncing: true}})

	// Users are not made here.
	holds(t, w.want(400, "POST", "/api/v1/user/initialize", "", `{"username":"root","password":"root-password"}`), "AUTHENTICATION_TYPE")
	w.want(404, "POST", "/api/v1/user", "", `{"username":"eve","password":"eve-password"}`)
	w.want(403, "POST", "/api/v1/signin", "", `{"username":"mallory","password":"wrong"}`)
	w.want(403, "POST", "/api/v1/signin", "", `{"username":"ann","password":""}`)
	ann := w.browser()
	if status, body, _ := ann.do("POST", w.url+"/api/v1/signin", `{"username":"ann","password":"ann-password"}`); status != 200 {
		t.Fatal(status, body)
	}
	call := func(want int, b *browser, method, path, in string) string {
		t.Helper()
		status, body, _ := b.do(method, w.url+path, in)
		if status != want {
			t.Errorf("%s %s: %d %s", method, path, status, body)
		}
		return body
	}
	holds(t, call(200, ann, "GET", "/api/v1/user/", ""), `"username":"ann"`, `"super_user":true`, `"service":"ldap"`, `"has_password_set":true`)
	call(200, ann, "POST", "/api/v1/signin/verify", `{"password":"ann-password"}`)
	call(403, ann, "POST", "/api/v1/signin/verify", `{"password":"bob-password"}`)
	key := jsonText(t, call(200, ann, "POST", "/api/v1/user/clientkey", `{"password":"ann-password"}`), "key")
	if id, err := w.svc.Basic(t.Context(), "ann", key, gantry.Actor{}); err != nil || id.Account.Name != "ann" {
		t.Error("an encrypted password", err)
	}
	call(400, ann, "PUT", "/api/v1/user/", `{"password":"another-password"}`)
	call(404, ann, "DELETE", "/api/v1/user/", "")
	call(400, ann, "POST", "/api/v1/superuser/users/", `{"username":"eve"}`)

	// A user whom nobody has seen yet.
	call(201, ann, "POST", "/api/v1/organization/", `{"name":"acme"}`)
	holds(t, call(200, ann, "GET", "/api/v1/entities/bo?namespace=acme", ""), `"kind":"external"`, `"name":"bob"`, `"title":"bob@example.org"`)
	lacks(t, call(200, ann, "GET", "/api/v1/entities/bo", ""), "external")
	lacks(t, call(200, ann, "GET", "/api/v1/entities/ann?namespace=acme", ""), `"kind":"external","name":"ann"`)
	holds(t, call(200, ann, "POST", "/api/v1/entities/link/bob", ""), `"name":"bob"`, `"kind":"user"`)
	call(200, ann, "POST", "/api/v1/entities/link/bob", "")
	call(400, ann, "POST", "/api/v1/entities/link/nobody", "")
	lacks(t, call(200, ann, "GET", "/api/v1/entities/bo?namespace=acme", ""), "external")
	w.want(401, "POST", "/api/v1/entities/link/cat", "", "")

	// A team that follows a group.
	const team = "/api/v1/organization/acme/team/devs"
	call(200, ann, "PUT", team, `{"role":"member"}`)
	call(200, ann, "PUT", team+"/members/bob", "")
	holds(t, call(200, ann, "GET", team+"/members", ""), `"can_sync":{"base_dn":"dc=example,dc=org","service":"ldap"}`)
	for _, bad := range []string{`{}`, `{"group_dn":"cn=none,ou=groups"}`, `{"group_dn":"nonsense"}`, `{"group_id":"x"}`} {
		call(400, ann, "POST", team+"/syncing", bad)
	}
	holds(t, call(200, ann, "POST", team+"/syncing", `{"group_dn":"cn=developers,ou=groups"}`), `"is_synced":true`)
	call(400, ann, "POST", team+"/syncing", `{"group_dn":"cn=developers,ou=groups"}`)
	holds(t, call(200, ann, "GET", team+"/members", ""), `"config":{"group_dn":"cn=developers,ou=groups"}`, `"last_updated":null`)
	if n, err := w.svc.SyncStale(t.Context(), time.Minute); err != nil || n != 1 {
		t.Error(n, err)
	}
	body := call(200, ann, "GET", team+"/members", "")
	holds(t, body, `"name":"ann"`, `"name":"cat"`)
	lacks(t, body, `"name":"bob"`, `"last_updated":null`)
	call(400, ann, "PUT", team+"/members/bob", "")
	call(400, ann, "DELETE", team+"/members/cat", "")
	call(201, ann, "PUT", "/api/v1/organization/acme/robots/ci", "")
	call(200, ann, "PUT", team+"/members/acme+ci", "")
	call(204, ann, "DELETE", team+"/members/acme+ci", "")
	holds(t, call(200, ann, "GET", "/api/v1/organization/acme", ""), `"is_synced":true`)
	// Who administers the organization and is no superuser sees it only.
	bob := w.browser()
	call(200, bob, "POST", "/api/v1/signin", `{"username":"bob","password":"bob-password"}`)
	call(200, ann, "PUT", "/api/v1/organization/acme/team/owners/members/bob", "")
	body = call(200, bob, "GET", team+"/members", "")
	holds(t, body, `"synced":{"service":"ldap"}`)
	lacks(t, body, "can_sync")
	call(403, bob, "DELETE", team+"/syncing", "")
	call(403, bob, "POST", team+"/syncing", `{"group_dn":"cn=empty,ou=groups"}`)
	holds(t, call(200, ann, "DELETE", team+"/syncing", ""), `"is_synced":false`)
	call(200, ann, "DELETE", team+"/syncing", "")
	call(200, ann, "PUT", team+"/members/bob", "")

	// A login service that is bound to the directory: the same account.
	b := w.browser()
	if status, body, _ := b.come(at, "login"); status != 302 {
		t.Fatal(status, body)
	}
	holds(t, call(200, b, "GET", "/api/v1/user/", ""), `"username":"ann"`, `"service":"corp"`, `"service":"ldap"`)
	at.Change(func(p *oidctest.Provider) {
		p.Claims = map[string]any{"sub": "sub-cat", "preferred_username": "cat"}
	})
	cat := w.browser()
	if status, body, _ := cat.come(at, "login"); status != 302 {
		t.Fatal(status, body)
	}
	holds(t, call(200, cat, "GET", "/api/v1/user/", ""), `"username":"cat"`)
	at.Change(func(p *oidctest.Provider) {
		p.Claims = map[string]any{"sub": "sub-zed", "preferred_username": "zed"}
	})
	if status, body, _ := w.browser().come(at, "login"); status != 403 || !strings.Contains(body, "no user zed") {
		t.Error(status, body)
	}

	// The directory is away: sessions go on, passwords are not wrong.
	s.Stop()
	call(200, ann, "GET", "/api/v1/user/", "")
	holds(t, w.want(503, "POST", "/api/v1/signin", "", `{"username":"bob","password":"other"}`), "does not answer")
	call(200, ann, "GET", "/api/v1/entities/ca?namespace=acme", "")
}

func FuzzCallbackOf(f *testing.F) {
	for _, path := range []string{"/oauth2/corp/callback", "/oauth2/corp/callback/attach", "/oauth2/corp/callback/cli/", "/oauth2//callback", "/oauth2/a/b/callback"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		service, kind, ok := callbackOf(path)
		if ok && !Serves(path, "") || ok && (service == "" || strings.Contains(service, "/") || !strings.HasPrefix(path, "/oauth2/"+service+"/callback")) {
			t.Errorf("%q: %q, %q", path, service, kind)
		}
		if ok && kind != auth.JourneyLogin && kind != auth.JourneyAttach && kind != auth.JourneyCLI {
			t.Errorf("%q is of the kind %q", path, kind)
		}
	})
}
