package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
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

// still is a client that follows no redirect.
var still = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// browse calls as a browser does, one step at a time.
func (w *world) browse(method, path, body string, headers ...string) (int, string, http.Header) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := still.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

// form sends a form.
func (w *world) form(path string, v url.Values, headers ...string) (int, string, http.Header) {
	w.t.Helper()
	return w.browse("POST", path, v.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func (w *world) get(path string, headers ...string) (int, string, http.Header) {
	w.t.Helper()
	return w.browse("GET", path, "", headers...)
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// hiddenFields are those of a page's form.
func hiddenFields(page string) url.Values {
	v := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		v.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return v
}

// An oauthWorld has an organization with an application, its administrator ann,
// a member bob, and a stranger eve.
type oauthWorld struct {
	*world
	app, secret string // client id and secret
	jar, csrf   string // of ann
	ann         string // an API token
}

const appBack = "https://ci.example.com/back"

func newOAuthWorld(t *testing.T, db *store.DB, o WebOptions) *oauthWorld {
	w := newWorldOn(t, db).with(Options{Web: o})
	_, ann := w.user("ann", false)
	w.user("bob", false)
	w.user("eve", false)
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	made := w.want(200, "POST", "/api/v1/organization/acme/applications", ann, `{"name":"CI <b>","redirect_uri":"`+appBack+`","description":"builds & more"}`)
	x := &oauthWorld{world: w, app: jsonText(t, made, "client_id"), secret: jsonText(t, made, "client_secret"), ann: ann}
	x.jar, x.csrf = w.signIn("ann")
	return x
}

func (w *oauthWorld) ask(kind, scope string, more ...string) string {
	v := url.Values{"client_id": {w.app}, "redirect_uri": {appBack}, "response_type": {kind}, "scope": {scope}, "state": {"s&1"}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return "/oauth/authorize?" + v.Encode()
}

// code goes through the browser's part of the flow.
func (w *oauthWorld) code(more ...string) string {
	w.t.Helper()
	s, page, _ := w.get(w.ask("code", "repo:read", more...), "Cookie", w.jar)
	if s != 200 {
		w.t.Fatal(s, page)
	}
	s, body, h := w.form("/oauth/authorizeapp", hiddenFields(page), "Cookie", w.jar)
	u, err := url.Parse(h.Get("Location"))
	if s != 302 || err != nil || u.Query().Get("state") != "s&1" || !strings.HasPrefix(u.String(), appBack+"?") || len(u.Query().Get("code")) != 40 {
		w.t.Fatal(s, body, h)
	}
	return u.Query().Get("code")
}

func (w *oauthWorld) exchange(code string, more ...string) (int, map[string]any) {
	w.t.Helper()
	v := url.Values{"grant_type": {"authorization_code"}, "client_id": {w.app}, "client_secret": {w.secret}, "redirect_uri": {appBack}, "code": {code}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	s, body, h := w.form("/oauth/access_token", v)
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil || h.Get("Cache-Control") != "no-store" {
		w.t.Fatal(s, body, h)
	}
	return s, m
}

// TestOAuthCode goes the way of an application with a secret, and holds that a
// code is good once, for it alone, and not for long.
func TestOAuthCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		db = storetest.Another(t, db, store.Options{Now: func() time.Time { return now }})
		w := newOAuthWorld(t, db, WebOptions{})
		s, page, h := w.get(w.ask("code", "repo:read,user:admin"), "Cookie", w.jar)
		if s != 200 || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'; form-action 'self' https://ci.example.com") {
			t.Fatal(s, page, h)
		}
		holds(t, page, "CI &lt;b&gt;", "builds &amp; more", "acme", "View all visible repositories", `class="danger"><strong>Administer User`, w.csrf)
		lacks(t, page, "<b>", w.secret)

		code := w.code()
		st, got := w.exchange(code)
		token, _ := got["access_token"].(string)
		if st != 200 || len(token) != 40 || got["token_type"] != "Bearer" || got["scope"] != "repo:read" || got["expires_in"].(float64) < 9*365*86400 {
			t.Fatal(st, got)
		}
		w.want(200, "GET", "/api/v1/repository?namespace=ann", token, "")
		w.want(403, "GET", "/api/v1/user/", token, "") // no more than it was given
		holds(t, w.want(200, "GET", "/api/v1/user/authorizations", w.ann, ""), `"clientId":"`+w.app+`"`)

		// A second time: somebody else has the code, and so maybe the token.
		if st, got := w.exchange(code); st != 400 || got["error"] != "invalid_grant" {
			t.Fatal(st, got)
		}
		w.want(401, "GET", "/api/v1/repository?namespace=ann", token, "")
		if w.events("revoke_oauth_api_token") != 1 {
			t.Error("nobody was told of it")
		}

		for name, bad := range map[string][]string{
			"another address": {"redirect_uri", appBack + "/x"}, "no address": {"redirect_uri", ""}, "a verifier too many": {"code_verifier", "x"},
		} {
			code := w.code()
			if st, got := w.exchange(code, bad...); st != 400 || got["error"] != "invalid_grant" {
				t.Error(name, st, got)
			}
			if st, _ := w.exchange(code); st != 400 {
				t.Error(name, ": the code has survived")
			}
		}
		code = w.code()
		for name, bad := range map[string][]string{ // who is not the application does not end its codes
			"secret": {"client_secret", "x"}, "no secret": {"client_secret", ""}, "client": {"client_id", "x"}, "client NUL": {"client_id", "x\x01"},
		} {
			if st, got := w.exchange(code, bad...); st != 400 || got["error"] != "invalid_client" {
				t.Error(name, st, got)
			}
		}
		if st, got := w.exchange(code, "grant_type", "password"); st != 400 || got["error"] != "unsupported_grant_type" {
			t.Error(st, got)
		}
		for _, bad := range []string{"", "x", code[:39], code[:20] + strings.Repeat("A", 20), strings.Repeat("\xff", 40)} {
			if bad == code[:20]+strings.Repeat("A", 20) {
				continue // ends it: below
			}
			if st, got := w.exchange(bad); st != 400 || got["error"] != "invalid_grant" {
				t.Error(bad, st, got)
			}
		}
		other := w.want(200, "POST", "/api/v1/organization/acme/applications", w.ann, `{"name":"other","redirect_uri":"`+appBack+`"}`)
		if st, got := w.exchange(code, "client_id", jsonText(t, other, "client_id"), "client_secret", jsonText(t, other, "client_secret")); st != 400 || got["error"] != "invalid_grant" {
			t.Error(st, got)
		}
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(w.app+":"+w.secret))
		v := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {appBack}, "code": {code}}
		if st, body, h := w.form("/oauth/access_token", v, "Authorization", basic+"x"); st != 401 || h.Get("WWW-Authenticate") == "" {
			t.Error(st, body)
		}
		if st, body, _ := w.form("/oauth/access_token?"+v.Encode(), url.Values{}, "Authorization", basic); st != 400 {
			t.Error("parameters in the address are taken: ", st, body)
		}
		if st, body, _ := w.form("/oauth/access_token", v, "Authorization", basic); st != 200 {
			t.Error(st, body)
		}

		code = w.code()
		now = now.Add(auth.OAuthCodeLife)
		if st, got := w.exchange(code); st != 400 || got["error"] != "invalid_grant" {
			t.Error("an old code: ", st, got)
		}
		// What is in the store does not show a code.
		code = w.code()
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM oauth_codes WHERE secret_hash LIKE ?`, "%"+code[20:]+"%"); n != 0 {
			t.Error("codes are stored as they are")
		}
		now = now.Add(auth.OAuthCodeLife + time.Second)
		if err := db.ForgetExpired(t.Context(), store.Forget{}); err != nil {
			t.Fatal(err)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM oauth_codes`); n != 0 {
			t.Errorf("%d old codes are kept", n)
		}
	})
}

// TestOAuthCodeAtOnce: of many who show a code at the same time one gets a
// token, at most, and none of them keeps it.
func TestOAuthCodeAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newOAuthWorld(t, db, WebOptions{})
		v := url.Values{"grant_type": {"authorization_code"}, "client_id": {w.app}, "client_secret": {w.secret}, "redirect_uri": {appBack}, "code": {w.code()}}
		var good atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if s, body, _ := w.form("/oauth/access_token", v); s == 200 {
					good.Add(1)
				} else if s != 400 {
					t.Error(s, body)
				}
			})
		}
		all.Wait()
		left := storetest.Get(t, db, `SELECT COUNT(*) FROM oauth_tokens WHERE application_id > 0`)
		if good.Load() != 1 || left != 0 {
			t.Errorf("%d got a token, %d are left", good.Load(), left)
		}
	})
}

// TestTokenLastUsed: the list of an application's tokens tells when each was
// used.
func TestTokenLastUsed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newOAuthWorld(t, db, WebOptions{})
		tokens := "/api/v1/organization/acme/applications/" + w.app + "/tokens"
		token := jsonText(t, w.want(200, "POST", tokens, w.ann, `{"name":"x","scope":"user:read"}`), "token")
		w.svc.Tick(t.Context())
		holds(t, w.want(200, "GET", tokens, w.ann, ""), `"last_accessed":null`)
		w.want(200, "GET", "/api/v1/user/", token, "")
		set := *w.svc.Settings()
		set.TokensUsedEvery = time.Hour
		w.svc.Configure(set)
		w.svc.Tick(t.Context())
		holds(t, w.want(200, "GET", tokens, w.ann, ""), `"last_accessed":null`)
		set.TokensUsedEvery = 0
		w.svc.Configure(set)
		w.svc.Tick(t.Context())
		lacks(t, w.want(200, "GET", tokens, w.ann, ""), `"last_accessed":null`)
	})
}

func TestPKCE(t *testing.T) {
	w := newOAuthWorld(t, storetest.Open(t, storetest.SQLite, store.Options{}), WebOptions{})
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	with := []string{"code_challenge", challenge, "code_challenge_method", "S256"}
	if st, got := w.exchange(w.code(with...), "code_verifier", verifier); st != 200 {
		t.Fatal(st, got)
	}
	for _, bad := range []string{"", "x", challenge, verifier + " "} {
		if st, got := w.exchange(w.code(with...), "code_verifier", bad); st != 400 || got["error"] != "invalid_grant" {
			t.Errorf("%q: %d %v", bad, st, got)
		}
	}
	for _, bad := range [][]string{{"code_challenge", challenge}, {"code_challenge", challenge, "code_challenge_method", "plain"}, {"code_challenge_method", "S256"},
		{"code_challenge", "x", "code_challenge_method", "S256"}, {"code_challenge", challenge + "=", "code_challenge_method", "S256"},
		{"response_type", "token", "code_challenge", challenge, "code_challenge_method", "S256"}} {
		s, _, h := w.get(w.ask("code", "repo:read", bad...), "Cookie", w.jar)
		if s != 302 || !strings.Contains(h.Get("Location"), "error=invalid_request") {
			t.Errorf("%v: %d %v", bad, s, h)
		}
	}
}

// TestOAuthToken is the implicit flow, what is refused in it, and the page that
// shows a token.
func TestOAuthToken(t *testing.T) {
	w := newOAuthWorld(t, storetest.Open(t, storetest.SQLite, store.Options{}), WebOptions{LocalHandler: "/my/app"})
	s, page, _ := w.get(w.ask("token", "org:admin"), "Cookie", w.jar)
	fields := hiddenFields(page)
	if s != 200 {
		t.Fatal(page)
	}
	s, body, h := w.form("/oauth/authorizeapp", fields, "Cookie", w.jar)
	at, fragment, _ := strings.Cut(h.Get("Location"), "#")
	v, err := url.ParseQuery(fragment)
	if s != 302 || err != nil || at != appBack || v.Get("state") != "s&1" || v.Get("token_type") != "Bearer" {
		t.Fatal(s, body, h)
	}
	w.want(200, "GET", "/api/v1/organization/acme/robots", v.Get("access_token"), "")

	s, _, h = w.form("/oauth/denyapp", fields, "Cookie", w.jar)
	if s != 302 || h.Get("Location") != appBack+"#error=access_denied&state=s%261" {
		t.Error(s, h)
	}
	// Without the session's own CSRF token, or with another kind of credentials.
	bobJar, bobCSRF := w.signIn("bob")
	eveJar, _ := w.signIn("eve")
	for name, x := range map[string]struct {
		csrf   string
		header []string
		want   int
	}{
		"no session":          {w.csrf, nil, 401},
		"no CSRF token":       {"", []string{"Cookie", w.jar}, 403},
		"another CSRF token":  {bobCSRF, []string{"Cookie", w.jar}, 403},
		"a token":             {w.csrf, []string{"Authorization", "Bearer " + w.ann}, 401},
		"a token and session": {w.csrf, []string{"Authorization", "Bearer " + w.ann, "Cookie", w.jar}, 401},
		"a password":          {w.csrf, []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:ann-password"))}, 401},
		"no administrator":    {bobCSRF, []string{"Cookie", bobJar}, 403},
	} {
		f := url.Values{}
		for k := range fields {
			f.Set(k, fields.Get(k))
		}
		f.Set("_csrf_token", x.csrf)
		s, body, h := w.form("/oauth/authorizeapp", f, x.header...)
		if s != x.want || h.Get("Location") != "" {
			t.Errorf("%s: %d %v %s", name, s, h, body)
		}
	}
	if s, body, h := w.get(w.ask("code", "repo:read"), "Cookie", eveJar); s != 403 || h.Get("Location") != "" || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Error(s, body, h)
	}
	// What is wrong is told to the application, but not to somebody who is none.
	for query, want := range map[string]string{
		w.ask("device", "repo:read"):              "unsupported_response_type",
		w.ask("code", ""):                         "invalid_scope",
		w.ask("code", " , "):                      "invalid_scope",
		w.ask("code", "repo:everything"):          "invalid_scope",
		w.ask("code", "repo:read", "state", ""):   "",
		w.ask("code", "x", "client_id", "nobody"): "404",
		w.ask("code", "x", "redirect_uri", "https://ci.example.com.evil.example/back"): "400",
		w.ask("code", "x", "redirect_uri", ""):                                         "400",
		w.ask("code", "repo:read", "client_id", ""):                                    "404",
		w.ask("code", "repo:read", "assignment_uuid", "x"):                             "404",
	} {
		s, body, h := w.get(query, "Cookie", w.jar)
		switch {
		case want == "" && s == 200:
		case len(want) == 3 && strings.HasPrefix(want, "4"):
			if s != int(want[0]-'0')*100+int(want[2]-'0') || h.Get("Location") != "" {
				t.Errorf("%s: %d %v %s", query, s, h, body)
			}
		case s != 302 || !strings.HasPrefix(h.Get("Location"), appBack) || !strings.Contains(h.Get("Location"), "error="+want):
			t.Errorf("%s: %d %v %s", query, s, h, body)
		}
	}
	// As JSON, for the web console.
	s, body, _ = w.get(w.ask("code", "repo:read user:admin", "format", "json"), "Cookie", w.jar)
	if s != 200 || jsonText(t, body, "client_id") != w.app || jsonText(t, body, "_csrf_token") != w.csrf || !strings.Contains(body, `"has_dangerous_scopes":true`) {
		t.Error(s, body)
	}
	if s, body, _ := w.get(w.ask("code", "x", "format", "json"), "Cookie", w.jar); s != 400 || !strings.Contains(body, "invalid_scope") {
		t.Error(s, body)
	}
	if s, body, _ := w.get(w.ask("code", "repo:read", "format", "json")); s != 401 || !strings.Contains(body, `"status":401`) {
		t.Error(s, body)
	}
	// The registry's own page.
	for _, own := range []string{"/oauth/localapp", "/my/app"} {
		if s, body, _ := w.get(w.ask("token", "repo:read", "redirect_uri", w.url+own), "Cookie", w.jar); s != 200 || !strings.Contains(body, "shown to you") {
			t.Error(s, body)
		}
		s, body, h := w.get(own)
		sum := sha256.Sum256([]byte(localScript))
		if s != 200 || !strings.Contains(body, localScript) || !strings.Contains(h.Get("Content-Security-Policy"), "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Error(s, body, h)
		}
	}
	if s, _, _ := w.get(w.ask("token", "repo:read", "redirect_uri", w.url+"/oauth/localapp/x"), "Cookie", w.jar); s != 400 {
		t.Error(s)
	}
	// A read-only registry gives nothing away.
	set := *w.svc.Settings()
	set.ReadOnly = true
	w.svc.Configure(set)
	if s, body, _ := w.form("/oauth/authorizeapp", fields, "Cookie", w.jar); s != 503 {
		t.Error(s, body)
	}
}

// TestTrustedClient is DIRECT_OAUTH_CLIENTID_WHITELIST: no page asks, and a
// program may show a password instead of a session.
func TestTrustedClient(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	w := newOAuthWorld(t, db, WebOptions{})
	w.world = w.with(Options{Web: WebOptions{TrustedClients: []string{w.app}}})
	s, body, h := w.get(w.ask("code", "repo:read"), "Cookie", w.jar)
	if s != 302 || !strings.HasPrefix(h.Get("Location"), appBack+"?code=") {
		t.Error(s, body, h)
	}
	v := url.Values{"client_id": {w.app}, "redirect_uri": {appBack}, "scope": {"repo:read"}}
	login := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	if s, body, h := w.form("/oauth/authorizeapp", v, "Authorization", login("ann", "ann-password")); s != 302 || !strings.Contains(h.Get("Location"), "#access_token=") {
		t.Error(s, body, h)
	}
	if s, body, _ := w.form("/oauth/authorizeapp", v, "Authorization", login("bob", "bob-password")); s != 403 {
		t.Error(s, body)
	}
	if s, body, _ := w.form("/oauth/authorizeapp", v, "Authorization", login("$oauthtoken", w.ann)); s != 403 {
		t.Error(s, body)
	}
	if s, body, _ := w.form("/oauth/authorizeapp", v, "Authorization", login("eve", "wrong")); s != 401 {
		t.Error(s, body)
	}
}

// TestAssignment: an administrator asks another user, who alone can answer, to
// what he was asked for, once.
func TestAssignment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var told []string
		w := newOAuthWorld(t, db, WebOptions{Assigned: func(_ context.Context, _ gantry.AccountID, s store.Assignment) {
			told = append(told, s.AccountName+" "+s.Application.Name)
		}})
		const list = "/api/v1/user/assignedauthorization"
		bob, err := w.svc.Login(t.Context(), "bob", "bob-password", gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		bobToken := w.narrow(bob.Account, auth.AllScopes)
		ask := func(user, csrf, jar string, more ...string) (int, string) {
			t.Helper()
			at := strings.Replace(w.ask("token", "repo:read", more...), "/authorize?", "/authorize/assignuser?format=json&username="+user+"&", 1)
			s, body, _ := w.form(at, url.Values{}, "Cookie", jar, "X-CSRF-Token", csrf)
			return s, body
		}
		bobJar, bobCSRF := w.signIn("bob")
		for name, x := range map[string]struct {
			user, csrf, jar string
			want            int
		}{"no CSRF": {"bob", "", w.jar, 403}, "no session": {"bob", w.csrf, "", 401}, "no administrator": {"bob", bobCSRF, bobJar, 403},
			"nobody": {"nobody", w.csrf, w.jar, 400}, "an organization": {"acme", w.csrf, w.jar, 400}} {
			if s, body := ask(x.user, x.csrf, x.jar); s != x.want {
				t.Errorf("%s: %d %s", name, s, body)
			}
		}
		if s, body := ask("bob", w.csrf, w.jar, "redirect_uri", "https://evil.example"); s != 400 {
			t.Error(s, body)
		}
		for range 2 {
			if s, body := ask("bob", w.csrf, w.jar); s != 200 || !strings.Contains(body, "Token assigned successfully") {
				t.Fatal(s, body)
			}
		}
		if len(told) != 2 || told[0] != "bob CI <b>" || w.events("oauth_token_assigned") != 2 {
			t.Error(told)
		}
		holds(t, w.want(200, "GET", list, w.ann, ""), `"authorizations":[]`)
		var got struct {
			Authorizations []struct{ UUID, RedirectURI, ResponseType string }
		}
		if err := json.Unmarshal([]byte(w.want(200, "GET", list, bobToken, "")), &got); err != nil || len(got.Authorizations) != 2 || got.Authorizations[0].ResponseType != "token" || got.Authorizations[0].RedirectURI != appBack {
			t.Fatal(got, err)
		}
		id := got.Authorizations[0].UUID
		eveJar, _ := w.signIn("eve")
		for name, x := range map[string][2]string{"another scope": {bobJar, w.ask("token", "org:admin", "assignment_uuid", id)}, "another kind": {bobJar, w.ask("code", "repo:read", "assignment_uuid", id)},
			"another address": {bobJar, w.ask("token", "repo:read", "assignment_uuid", id, "redirect_uri", appBack+"/x")}, "nobody asked": {bobJar, w.ask("token", "repo:read")}} {
			if s, body, _ := w.get(x[1], "Cookie", x[0]); s != 403 {
				t.Errorf("%s: %d %s", name, s, body)
			}
		}
		if s, body, _ := w.get(w.ask("token", "repo:read", "assignment_uuid", id), "Cookie", eveJar); s != 404 {
			t.Error(s, body)
		}
		s, page, _ := w.get(w.ask("token", "repo:read", "assignment_uuid", id), "Cookie", bobJar)
		if s != 200 {
			t.Fatal(s, page)
		}
		s, body, h := w.form("/oauth/authorizeapp", hiddenFields(page), "Cookie", bobJar)
		_, fragment, _ := strings.Cut(h.Get("Location"), "#")
		v, err := url.ParseQuery(fragment)
		if s != 302 || err != nil {
			t.Fatal(s, body)
		}
		who, _, err := w.db.OAuthToken(t.Context(), v.Get("access_token")[:20])
		if err != nil || who.Account != bob.Account.ID {
			t.Fatal(who, err)
		}
		if s, body, _ := w.form("/oauth/authorizeapp", hiddenFields(page), "Cookie", bobJar); s != 404 {
			t.Error("twice: ", s, body)
		}
		w.want(404, "DELETE", list+"/"+got.Authorizations[1].UUID, w.ann, "")
		w.want(204, "DELETE", list+"/"+got.Authorizations[1].UUID, bobToken, "")
		w.want(404, "DELETE", list+"/"+got.Authorizations[1].UUID, bobToken, "")
		if w.events("oauth_token_revoked") != 1 {
			t.Error("not in the journal")
		}
		// What is deleted takes along what waits.
		if s, body := ask("bob", w.csrf, w.jar); s != 200 {
			t.Fatal(s, body)
		}
		w.code()
		w.want(204, "DELETE", "/api/v1/organization/acme/applications/"+w.app, w.ann, "")
		holds(t, w.want(200, "GET", list, bobToken, ""), `"authorizations":[]`)
		if n := storetest.Get(t, db, `SELECT (SELECT COUNT(*) FROM oauth_codes) + (SELECT COUNT(*) FROM oauth_assignments)`); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		off := w.with(Options{Web: WebOptions{NoAssign: true}})
		off.want(404, "GET", list, bobToken, "")
	})
}

// TestSignInPage: without a session the browser signs in, and comes back to
// where it was, and nowhere else.
func TestSignInPage(t *testing.T) {
	now := time.Now()
	w := newOAuthWorld(t, storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }}), WebOptions{})
	asked := w.ask("code", "repo:read")
	s, _, h := w.get(asked)
	if s != 302 || !strings.HasPrefix(h.Get("Location"), "/oauth/signin?next=") {
		t.Fatal(s, h)
	}
	s, page, h := w.get(h.Get("Location"))
	if s != 200 || hiddenFields(page).Get("next") != asked || h.Get("X-Frame-Options") != "DENY" {
		t.Fatal(s, page)
	}
	v := hiddenFields(page)
	v.Set("username", "ann")
	v.Set("password", "ann-password")
	s, body, h := w.form("/oauth/signin", v)
	if s != 303 || h.Get("Location") != asked || !strings.Contains(h.Get("Set-Cookie"), "HttpOnly") {
		t.Fatal(s, body, h)
	}
	jar, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	if s, body, _ := w.get(asked, "Cookie", jar); s != 200 {
		t.Fatal(s, body)
	}
	if s, _, h := w.get("/oauth/signin?next=//evil.example", "Cookie", jar); s != 303 || h.Get("Location") != "/" {
		t.Error(s, h)
	}
	if s, body, _ := w.form("/oauth/signin", v, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); s != 403 {
		t.Error(s, body)
	}
	v.Set("password", "wrong")
	if s, body, h := w.form("/oauth/signin", v); s != 403 || !strings.Contains(body, "Invalid Username or Password") || h.Get("Set-Cookie") != "" {
		t.Error(s, body)
	}
	if s, _, h := w.form("/oauth/signin", v); s != 429 || h.Get("Retry-After") == "" {
		t.Error(s, h)
	}
	if s, body, _ := w.form("/oauth/signin", url.Values{"x": {strings.Repeat("x", maxForm)}}); s != 413 {
		t.Error(s, body)
	}
	if s, body, _ := w.with(Options{NoDirectLogin: true}).form("/oauth/signin", v); s != 404 {
		t.Error(s, body)
	}
}

func TestRedirectAllowed(t *testing.T) {
	for _, x := range []struct {
		registered, asked string
		want              bool
	}{
		{"https://a.example/cb", "https://a.example/cb", true}, {"https://a.example/cb", "https://a.example/cb/x", true},
		{"https://a.example/cb", "https://a.example/cb?x=1", true}, {"https://a.example/cb/", "https://a.example/cb/x", true},
		{"https://a.example", "https://a.example/x", true}, {"https://a.example/cb?x=1", "https://a.example/cb?x=1&y=2", true},
		{"com.example.app:/cb", "com.example.app:/cb", true}, {"http://127.0.0.1:8000/", "http://127.0.0.1:8000/x", true},
		{"", "", false}, {"", "https://a.example", false}, {"https://a.example/cb", "", false},
		{"https://a.example", "https://a.example.evil.example", false}, {"https://a.example", "https://a.example@evil.example", false},
		{"https://a.example", "https://a.example:8443/", false}, {"https://a.example/cb", "https://a.example/cbx", false},
		{"https://a.example/cb", "https://a.example/cb/../x", false}, {"https://a.example/cb", "https://a.example/cb/%2e%2e/x", false},
		{"https://a.example/cb", "https://a.example/cb/..%2fx", false}, {"https://a.example/cb", `https://a.example/cb\..\x`, false},
		{"https://a.example/cb", "https://a.example/cb#x", false}, {"https://a.example/cb", "http://a.example/cb", false},
		{"https://a.example/cb", "https://A.example/cb", false}, {"https://a.example/cb", "https://a.example/cb/\r\nX: y", false},
		{"https://a.example/", "https://a.example//evil.example/..", false}, {"app:cb", "app:cbx", false},
		{"javascript:alert(1)", "javascript:alert(1)", false}, {"https://a.example/cb?x=1", "https://a.example/cb?x=12", false},
	} {
		if got := redirectAllowed(x.registered, x.asked); got != x.want {
			t.Errorf("registered %q, asked %q: %v", x.registered, x.asked, got)
		}
	}
}

// FuzzRedirectAllowed: whatever is allowed leads to the registered host.
func FuzzRedirectAllowed(f *testing.F) {
	for _, x := range []string{"/x", "@evil.example", ".evil.example/", ":8443/", "/../x", "?x", "/%2e%2e/", "\\x", "#x", "//x"} {
		f.Add("https://a.example/cb", "https://a.example/cb"+x)
		f.Add("https://a.example", "https://a.example"+x)
	}
	f.Fuzz(func(t *testing.T, registered, asked string) {
		if !redirectAllowed(registered, asked) {
			return
		}
		want, err := url.Parse(registered)
		if err != nil {
			t.Fatal(err)
		}
		got, err := url.Parse(asked)
		if err != nil || got.Scheme != want.Scheme || got.Host != want.Host || !strings.HasPrefix(asked, registered) || strings.ContainsAny(asked, "\r\n\\") {
			t.Errorf("registered %q, asked %q", registered, asked)
		}
	})
}

// FuzzSafeNext: what comes out is a place of this site, as browsers read it.
func FuzzSafeNext(f *testing.F) {
	for _, x := range []string{"/", "/x?y=z", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "javascript:x", "\\/x", "/./\\x", ""} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := safeNext(next)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\t\r\n") {
			t.Errorf("%q: %q", next, got)
		}
	})
}
