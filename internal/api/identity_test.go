package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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

// TestInitialize holds the answers of user/initialize to the letter, on each
// database, and that the account and its token work.
func TestInitialize(t *testing.T) {
	storetest.Each(t, testInitialize)
}

func testInitialize(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	const path = "/api/v1/user/initialize"
	const short = `{"message":"Failed to initialize user: Invalid password, password must be at least 8 characters and contain no whitespace."}` + "\n"
	w.with(Options{}).want(404, "POST", path, "", `{"username":"quayadmin","password":"quaypass123"}`)
	w.want(405, "GET", path, "", "")
	w.want(403, "POST", path, "", `{"username":"quayadmin","password":"quaypass123"}`, "Origin", "https://evil.example.com") // a page in the admin's browser
	for _, bad := range []string{`{"username":"quayadmin","password":"short","email":"q@example.com"}`, `{"username":"quayadmin","password":"pass word 1"}`,
		"{\"username\":\"quayadmin\",\"password\":\"pass\\tword1\"}", `{"username":"quayadmin","password":"pass\u00a0word1"}`, `{"username":"quayadmin","password":"ääää"}`, `{"username":"quayadmin"}`} {
		if b := w.want(400, "POST", path, "", bad); b != short {
			t.Errorf("%s: %q", bad, b)
		}
	}
	for _, bad := range []string{`{}`, `{"username":"Q","password":"quaypass123"}`, `{"username":"a+b","password":"quaypass123"}`, `{"username":"quayadmin","password":"quaypass123","email":"nonsense"}`,
		`{"username":"quayadmin","password":"` + strings.Repeat("x", 4097) + `"}`} {
		if b := w.want(400, "POST", path, "", bad); !strings.HasPrefix(b, `{"message":"Failed to initialize user: `) {
			t.Errorf("%s: %q", bad, b)
		}
	}
	for _, bad := range []string{"", "[]", `{"username":1}`, `{"username":"quayadmin","password":"quaypass123","access_token":"yes"}`, "username=quayadmin"} {
		holds(t, w.want(400, "POST", path, "", bad), `"error_type":"invalid_request"`)
	}
	if there, err := w.db.HasUsers(t.Context()); err != nil || there {
		t.Fatal("a refused call left an account: ", err)
	}
	b := w.want(200, "POST", path, "", `{"username":"quayadmin","password":"quaypass123","email":"quayadmin@example.com","access_token":true}`)
	var first map[string]any
	if err := json.Unmarshal([]byte(b), &first); err != nil {
		t.Fatal(b, err)
	}
	if want := []string{"access_token", "email", "encrypted_password", "username"}; !slices.Equal(keysOf(first), want) ||
		first["username"] != "quayadmin" || first["email"] != "quayadmin@example.com" || len(first["access_token"].(string)) != 40 {
		t.Fatal(b)
	}
	for _, again := range []string{`{"username":"other","password":"quaypass123"}`, `{}`, "", `{"username":"quayadmin","password":"x"}`} {
		if b := w.want(400, "POST", path, "", again); b != `{"message":"Cannot initialize user in a non-empty database"}`+"\n" {
			t.Errorf("%q: %q", again, b)
		}
	}
	// The token is the superuser's, for everything, and the encrypted password
	// is one for clients.
	token := first["access_token"].(string)
	holds(t, w.want(200, "GET", "/api/v1/user/", token, ""), `"username":"quayadmin"`, `"super_user":true`, `"verified":true`)
	w.want(201, "POST", "/api/v1/organization/", token, `{"name":"acme"}`)
	w.want(201, "PUT", "/api/v1/organization/acme/robots/ci", token, "")
	w.want(201, "POST", "/api/v1/repository", token, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	if id, err := w.svc.Basic(t.Context(), "quayadmin", first["encrypted_password"].(string), gantry.Actor{}); err != nil || !id.Superuser {
		t.Fatal(id, err)
	}
	// And after two and a half hours it is over.
	o, _, err := w.db.OAuthToken(t.Context(), token[:20])
	if left := o.Expires.Sub(w.db.Now()); err != nil || left > 150*time.Minute || left < 140*time.Minute {
		t.Fatal(left, err)
	}
}

func keysOf(m map[string]any) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// TestInitializeWithout holds that no token is made that was not asked for,
// and that SUPER_USERS, where it names somebody, decides who is a superuser.
func TestInitializeWithout(t *testing.T) {
	w := newWorld(t)
	set := *w.svc.Settings()
	set.Superusers = []string{"root"}
	w.svc.Configure(set)
	b := w.want(200, "POST", "/api/v1/user/initialize", "", `{"username":"ann","password":"ann-password","access_token":false}`)
	var out map[string]any
	if err := json.Unmarshal([]byte(b), &out); err != nil || !slices.Equal(keysOf(out), []string{"email", "encrypted_password", "username"}) || out["email"] != "" {
		t.Fatal(b, err)
	}
	if a, err := w.db.Account(t.Context(), "ann"); err != nil || a.Superuser {
		t.Fatal(a, err)
	}
	if id, err := w.svc.Login(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil || id.Superuser {
		t.Fatal(id, err)
	}
}

// TestNotHere holds that what is no route is
// a clean 404 for everybody, and that a method that a path does not have says
// which it has.
func TestNotHere(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	jar, csrf := w.signIn("ann")
	for _, route := range []string{"GET plans/", "GET namespacequota/1", "GET nonsense", "GET ", "GET /", "PATCH nonsense", "GET ../../v2/"} {
		method, path, _ := strings.Cut(route, " ")
		for _, who := range [][]string{nil, {"Authorization", "Bearer " + ann}, {"Authorization", "Bearer nonsense"}, {"Cookie", jar, "X-CSRF-Token", csrf}} {
			s, b, h := w.call(method, "/api/v1/"+path, "", "", who...)
			if s != 404 || !strings.Contains(b, `"error_type":"not_found"`) || !strings.Contains(b, `"status":404`) || h.Get("Content-Type") != "application/json" || h.Get("Location") != "" {
				t.Errorf("%s as %v: %d %s", route, who, s, b)
			}
		}
	}
	// A repository of such a name is not what these speak of.
	for _, name := range []string{"app/tag/latest", "app/permissions/user/bob/transitive", "app/changestate", "tag", "tag/latest"} {
		w.want(201, "POST", "/api/v1/repository", ann, `{"repository":"`+name+`","visibility":"private","description":""}`)
	}
	w.want(404, "DELETE", "/api/v1/repository/ann/app/tag/latest", ann, "")
	w.want(405, "DELETE", "/api/v1/repository/ann/app/permissions/user/bob/transitive", ann, "")
	w.want(405, "DELETE", "/api/v1/repository/ann/app/changestate", ann, "")
	for _, name := range []string{"app/tag/latest", "app/permissions/user/bob/transitive", "app/changestate"} {
		if _, err := w.db.Repository(t.Context(), gantry.RepoName{Namespace: "ann", Name: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.want(204, "DELETE", "/api/v1/repository/ann/tag/latest", ann, "") // of the namespace ann itself
	w.want(204, "DELETE", "/api/v1/repository/ann/tag", ann, "")
	for _, x := range [][3]string{{"PATCH", "user", "GET, POST, PUT, DELETE"}, {"GET", "signin", "POST"}, {"POST", "repository/ann/app", "GET, PUT, DELETE"}, {"DELETE", "user/initialize", "POST"}} {
		if s, b, h := w.call(x[0], "/api/v1/"+x[1], ann, ""); s != 405 || h.Get("Allow") != x[2] || !strings.Contains(b, `"status":405`) {
			t.Errorf("%v: %d %s %v", x, s, b, h)
		}
	}
	if s, b, _ := w.call("OPTIONS", "/api/v1/user/", "", ""); s != 200 || b != "" {
		t.Error(s, b)
	}
	if s, b, _ := w.call("HEAD", "/api/v1/user/", ann, ""); s != 200 || b != "" {
		t.Error(s, b)
	}
}

// TestSessions holds what a browser's session is: its cookie, its end, that it
// is worth what its user's token is, and that it is nobody else's.
func TestSessions(t *testing.T) {
	storetest.Each(t, testSessions)
}

func testSessions(t *testing.T, db *store.DB) {
	var now atomic.Int64 // seconds
	now.Store(time.Now().Unix())
	db = storetest.Another(t, db, store.Options{Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	w := newWorldOn(t, db)
	ann, _ := w.user("ann", false)
	w.user("bob", false)
	w = w.with(Options{SessionTimeout: time.Hour})
	// Whatever the browser calls itself.
	for _, agent := range []string{"curl/8", "\xff\xfe", strings.Repeat("ä", 200), ""} {
		s, b, h := w.call("POST", "/api/v1/signin", "", `{"username":"ann","password":"ann-password"}`, "User-Agent", agent)
		if s != 200 {
			t.Fatal(agent, s, b)
		}
		if c := h.Get("Set-Cookie"); !strings.Contains(c, "; HttpOnly") || !strings.Contains(c, "; SameSite=Lax") || !strings.Contains(c, "Path=/;") ||
			!strings.Contains(c, "Max-Age=3600") || strings.Contains(c, "Secure") || len(strings.TrimPrefix(c, "session=")) < 52 {
			t.Fatal(c)
		}
	}
	_, _, h := w.with(Options{CookieSecure: true}).call("POST", "/api/v1/signin", "", `{"username":"ann","password":"ann-password"}`)
	if c := h.Get("Set-Cookie"); !strings.Contains(c, "; Secure") {
		t.Error(c)
	}
	one, csrf := w.signIn("ann")
	two, csrf2 := w.signIn("bob")
	if one == two || csrf == csrf2 {
		t.Fatal("the same secret twice")
	}
	w.want(403, "PUT", "/api/v1/user/robots/ci", "", "", "Cookie", two, "X-CSRF-Token", csrf)
	w.want(201, "PUT", "/api/v1/user/robots/ci", "", "", "Cookie", one, "X-CSRF-Token", csrf)
	w.want(201, "PUT", "/api/v1/user/robots/cd?_csrf_token="+csrf, "", "", "Cookie", one)
	w.want(404, "GET", "/api/v1/user/robots/ci", "", "", "Cookie", two)
	w.want(201, "POST", "/api/v1/repository", "", `{"repository":"app","visibility":"private","description":""}`, "Cookie", one, "X-CSRF-Token", csrf)
	w.want(200, "GET", "/api/v1/repository/ann/app", "", "", "Cookie", one)
	if a, b := w.want(403, "GET", "/api/v1/repository/ann/app", "", "", "Cookie", two), w.want(403, "GET", "/api/v1/repository/ann/none", "", "", "Cookie", two); a != b {
		t.Error("tells what exists: ", a, b)
	}
	// A bearer token counts, not the cookie beside it.
	w.want(401, "GET", "/api/v1/user/", "nonsense", "", "Cookie", one)
	for _, bad := range []string{"session=", "session=" + one[8:20], "session=" + strings.Repeat("A", 10_000), "session=\xff", one + "A"} {
		w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", bad)
	}
	now.Add(3599)
	w.want(200, "GET", "/api/v1/user/", "", "", "Cookie", one)
	now.Add(1)
	w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", one)
	// It cannot come back, and goes from the table.
	now.Add(1)
	if err := db.ForgetExpired(t.Context(), store.Forget{}); err != nil {
		t.Fatal(err)
	}
	now.Add(-10)
	w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", one)
	three, _ := w.signIn("ann")
	if err := db.DeleteNamespace(t.Context(), ann.ID, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	w.want(401, "GET", "/api/v1/user/", "", "", "Cookie", three)
}

// TestWrongTypes gives each route that takes a body values of wrong types: a
// clear 400, and nothing is changed.
func TestWrongTypes(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	w.user("bob", false)
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	for _, x := range []struct{ route, field string }{
		{"POST signin", "username"}, {"POST signin", "password"}, {"POST signin/verify", "password"}, {"POST user/clientkey", "password"},
		{"PUT user/robots/ci", "description"}, {"PUT user/robots/ci", "unstructured_metadata"}, {"POST organization", "name"}, {"POST organization", "email"},
		{"PUT organization/acme/team/t1", "role"}, {"PUT organization/acme/team/t1", "description"}, {"POST organization/acme/prototypes", "role"},
		{"POST organization/acme/prototypes", "delegate"}, {"POST organization/acme/prototypes", "activating_user"},
		{"POST repository", "repository"}, {"POST repository", "namespace"}, {"POST repository", "visibility"}, {"POST repository", "description"},
		{"PUT repository/acme/app", "description"}, {"POST repository/acme/app/changevisibility", "visibility"}, {"PUT repository/acme/app/changestate", "state"},
		{"PUT repository/acme/app/permissions/user/bob", "role"}, {"PUT repository/acme/app/permissions/team/owners", "role"},
		{"PUT user", "email"}, {"PUT user", "username"}, {"PUT user", "password"}, {"PUT user", "tag_expiration_s"}, {"PUT user", "given_name"}, {"PUT user", "invoice_email_address"},
		{"POST user/convert", "adminUser"}, {"POST user/starred", "namespace"}, {"POST user/starred", "repository"},
		{"PUT organization/acme", "email"}, {"PUT organization/acme", "contact_email"}, {"PUT organization/acme", "tag_expiration_s"},
		{"POST organization/acme/applications", "name"}, {"POST organization/acme/applications", "description"}, {"POST organization/acme/applications", "redirect_uri"},
	} {
		method, path, _ := strings.Cut(x.route, " ")
		for _, value := range []string{`1`, `-1e400`, `true`, `[]`, `["x"]`, `[{}]`, `"` + strings.Repeat("x", 70_000) + `"`, `9999999999999999999999`} {
			if x.field == "unstructured_metadata" && strings.HasPrefix(value, `"`) || x.field == "password" && strings.HasPrefix(value, `"`) {
				continue
			}
			s, b, _ := w.call(method, "/api/v1/"+path, ann, `{"`+x.field+`":`+value+`}`)
			if s != 400 && s != 403 || s == 403 && !strings.HasPrefix(path, "signin") && !strings.HasPrefix(b, `{"detail"`) || len(b) > 2000 {
				t.Errorf("%s with %s %.30s: %d %.300s", x.route, x.field, value, s, b)
			}
			if strings.HasPrefix(value, "[") && !strings.Contains(b, x.field+" is not of the right type") {
				t.Errorf("%s with %s %.30s does not say what is wrong: %.300s", x.route, x.field, value, b)
			}
		}
	}
	for _, gone := range []string{"/api/v1/user/robots/ci", "/api/v1/organization/acme/team/t1/members"} {
		w.want(404, "GET", gone, ann, "")
	}
	holds(t, w.want(200, "GET", "/api/v1/repository/acme/app", ann, ""), `"description":""`, `"is_public":false`, `"state":"NORMAL"`)
}

// safeBuffer is a log that handlers write at once.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// TestSecretsAtRest makes every kind of secret and holds that none of them is
// in the files of the database, or in the log. What Quay shows again, robot
// and application tokens, opens with the keys.
func TestSecretsAtRest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gantry.db")
	db, err := store.Open(t.Context(), store.Options{URI: "sqlite:///" + file})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: "the-secret-key-of-this-test", DatabaseSecretKey: "the-database-key-of-this-test"})
	if err != nil {
		t.Fatal(err)
	}
	var logged safeBuffer
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	svc, err := auth.New(t.Context(), auth.Options{Store: db, Keys: keys, BcryptCost: 4, Logger: log, Settings: auth.Settings{AnonymousAccess: true, SuperUsers: true,
		AppSpecificTokens: true, AuditLogins: true, AuditLoginFailures: true, Names: gantry.NameRules{Nested: true}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(checked(t, New(Options{Store: db, Auth: svc, UserInitialize: true, Logger: log})))
	defer srv.Close()
	w := &world{t, db, svc, srv.URL}
	secrets := map[string]string{"SECRET_KEY": "the-secret-key-of-this-test", "DATABASE_SECRET_KEY": "the-database-key-of-this-test", "password": "correct-horse-battery", "wrong password": "incorrect-horse-guess"}
	field := func(what, body string, path ...string) string {
		t.Helper()
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(body, err)
		}
		for _, p := range path {
			v = v.(map[string]any)[p]
		}
		text := v.(string)
		secrets[what] = text
		return text
	}
	first := w.want(200, "POST", "/api/v1/user/initialize", "", `{"username":"ann","password":"correct-horse-battery","email":"ann@example.com","access_token":true}`)
	token := field("OAuth token", first, "access_token")
	secrets["second half of the OAuth token"] = token[20:]
	field("encrypted password", first, "encrypted_password")
	robot := field("robot token", w.want(201, "PUT", "/api/v1/user/robots/ci", token, ""), "token")
	again := field("robot token, regenerated", w.want(200, "POST", "/api/v1/user/robots/ci/regenerate", token, ""), "token")
	w.want(201, "POST", "/api/v1/organization/", token, `{"name":"acme"}`)
	application := w.want(200, "POST", "/api/v1/organization/acme/applications", token, `{"name":"app"}`)
	client := "/api/v1/organization/acme/applications/" + jsonText(t, application, "client_id")
	field("application secret", application, "client_secret")
	shown := field("application secret, reset", w.want(200, "POST", client+"/resetclientsecret", token, ""), "client_secret")
	hand := field("application token", w.want(200, "POST", client+"/tokens", token, `{"name":"t","scope":"repo:read"}`), "token")
	secrets["second half of the application token"] = hand[20:]
	if got := field("application secret, shown", w.want(200, "GET", client, token, ""), "client_secret"); got != shown {
		t.Error("the application's secret is another one")
	}
	made := w.want(200, "POST", "/api/v1/user/apptoken", token, `{"title":"laptop"}`)
	app := field("app token", made, "token", "token_code")
	secrets["second half of the app token"] = app[60:]
	field("client key", w.want(200, "POST", "/api/v1/user/clientkey", token, `{"password":"correct-horse-battery"}`), "key")
	s, b, h := w.call("POST", "/api/v1/signin", "", `{"username":"ann","password":"correct-horse-battery"}`)
	if s != 200 {
		t.Fatal(s, b)
	}
	jar, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	secrets["session"] = strings.TrimPrefix(jar, "session=")
	tok, err := svc.Token(t.Context(), auth.TokenRequest{Username: "ann", Password: "correct-horse-battery", Host: "x", Offline: true, Scopes: []string{"repository:ann/app:push"}})
	if err != nil {
		t.Fatal(err)
	}
	secrets["bearer token"], secrets["refresh token"] = tok.Token, tok.RefreshToken
	w.want(403, "POST", "/api/v1/signin", "", `{"username":"nobody","password":"incorrect-horse-guess"}`)
	if _, err := svc.Basic(t.Context(), "ann+ci", "incorrect-horse-guess", gantry.Actor{}); err == nil {
		t.Fatal("a robot with a wrong token")
	}
	w.want(401, "GET", "/api/v1/user", "incorrect-horse-guess", "")
	// What is shown again is the same.
	if got := field("robot token, shown", w.want(200, "GET", "/api/v1/user/robots/ci", token, ""), "token"); got != again || got == robot {
		t.Error("the robot's token is another one")
	}
	var one struct{ Token struct{ UUID string } }
	if err := json.Unmarshal([]byte(made), &one); err != nil {
		t.Fatal(err)
	}
	if got := field("app token, shown", w.want(200, "GET", "/api/v1/user/apptoken/"+one.Token.UUID, token, ""), "token", "token_code"); got != app {
		t.Error("the app token is another one")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(file + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	places := map[string][]byte{"the log": logged.b.Bytes()}
	for _, f := range files {
		if places[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(places[file], []byte("ann@example.com")) {
		t.Fatal("the test tests nothing")
	}
	for what, secret := range secrets {
		for place, content := range places {
			for form, bad := range map[string]string{"": secret, " in base64": base64.StdEncoding.EncodeToString([]byte(secret))} {
				if bytes.Contains(content, []byte(bad)) {
					t.Errorf("%s%s is in %s", what, form, place)
				}
			}
		}
	}
	for place, content := range places {
		for _, marker := range []string{"PRIVATE KEY", `"d":`, `"dp":`, `"qi":`} {
			if bytes.Contains(content, []byte(marker)) {
				t.Errorf("a private key is in %s: %s", place, marker)
			}
		}
	}
}
