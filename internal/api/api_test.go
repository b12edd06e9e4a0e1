package api

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type world struct {
	t   *testing.T
	db  *store.DB
	svc *auth.Service
	url string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, storetest.Open(t, storetest.SQLite, store.Options{}))
}

func newWorldOn(t *testing.T, db *store.DB) *world {
	t.Helper()
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: "secret", DatabaseSecretKey: "database"})
	if err != nil {
		t.Fatal(err)
	}
	svc, err := auth.New(t.Context(), auth.Options{Store: db, Keys: keys, BcryptCost: 4, Settings: auth.Settings{AnonymousAccess: true,
		SuperUsers: true, SuperusersFullAccess: true, Names: gantry.NameRules{Nested: true, Library: "library"}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(checked(t, New(Options{Store: db, Auth: svc, UserInitialize: true})))
	t.Cleanup(srv.Close)
	return &world{t, db, svc, srv.URL}
}

func (w *world) call(method, path, token, body string, headers ...string) (int, string, http.Header) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

// user makes a user and returns an OAuth token for it.
func (w *world) user(name string, super bool) (store.Account, string) {
	w.t.Helper()
	hash, err := w.svc.HashPassword(w.t.Context(), name+"-password")
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.db.CreateUser(w.t.Context(), store.NewAccount{Name: name, PasswordHash: hash, Superuser: super}, gantry.Actor{})
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.svc.NewOAuthToken(w.t.Context(), a.ID, auth.AllScopes, 1e12, gantry.Actor{})
	if err != nil {
		w.t.Fatal(err)
	}
	return a, token
}

// TestFirstAccount goes the way of the benchmark: first account, its token, a
// robot, a permission, visibility.
func TestFirstAccount(t *testing.T) {
	w := newWorld(t)
	const init = "/api/v1/user/initialize"
	status, body, _ := w.call("POST", init, "", `{"username":"bench","password":"short","email":"b@example.com"}`)
	if want := "Failed to initialize user: Invalid password, password must be at least 8 characters and contain no whitespace."; status != 400 || !strings.Contains(body, `{"message":"`+want+`"}`) {
		t.Fatal(status, body)
	}
	status, body, _ = w.call("POST", init, "", `{"username":"bench","password":"bench-Password-1","email":"b@example.com","access_token":true}`)
	var first map[string]string
	if err := json.Unmarshal([]byte(body), &first); err != nil || status != 200 || len(first) != 4 || first["encrypted_password"] == "" {
		t.Fatal(status, body, err)
	}
	if s, b, _ := w.call("POST", init, "", `{"username":"x2","password":"bench-Password-1"}`); s != 400 || !strings.Contains(b, `{"message":"Cannot initialize user in a non-empty database"}`) {
		t.Fatal(s, b)
	}
	token := first["access_token"]
	status, body, _ = w.call("PUT", "/api/v1/user/robots/puller", token, "{}")
	var robot struct{ Name, Token string }
	if err := json.Unmarshal([]byte(body), &robot); err != nil || status != 201 || robot.Name != "bench+puller" || len(robot.Token) != 64 {
		t.Fatal(status, body, err)
	}
	for _, step := range []struct {
		method, path, body string
		want               int
	}{
		{"PUT", "/api/v1/user/robots/puller", "{}", 400},
		{"POST", "/api/v1/repository", `{"repository":"a/app","visibility":"private","description":""}`, 201},
		{"POST", "/api/v1/repository", `{"repository":"a/app","visibility":"private","description":""}`, 400},
		{"PUT", "/api/v1/repository/bench/a/app/permissions/user/bench+puller", `{"role":"read"}`, 200},
		{"GET", "/api/v1/repository/bench/a/app/permissions/user/", "", 200},
		{"POST", "/api/v1/repository/bench/a/app/changevisibility", `{"visibility":"public"}`, 200},
		{"PUT", "/api/v1/repository/bench/a/app/changestate", `{"state":"READ_ONLY"}`, 200},
		{"PUT", "/api/v1/repository/bench/a/app/changestate", `{"state":"nonsense"}`, 400},
		{"DELETE", "/api/v1/repository/bench/a/app/permissions/user/bench+puller", "", 204},
		{"DELETE", "/api/v1/repository/bench/a/app/permissions/user/bench+puller", "", 400},
		{"GET", "/api/v1/user/robots", "", 200},
		{"POST", "/api/v1/user/robots/puller/regenerate", "", 200},
		{"DELETE", "/api/v1/user/robots/puller", "", 204},
		{"GET", "/api/v1/user/robots/puller", "", 404},
		{"POST", "/api/v1/organization/", `{"name":"acme"}`, 201},
		{"PUT", "/api/v1/organization/acme/robots/ci", "", 201},
		{"DELETE", "/api/v1/repository/bench/a/app", "", 204},
		{"GET", "/api/v1/repository/bench/a/app", "", 404},
		{"DELETE", "/api/v1/organization/acme", "", 204},
		{"POST", "/api/v1/repository", `{"repository":` + strings.Repeat("[", 100), 400},
	} {
		if s, b, _ := w.call(step.method, step.path, token, step.body); s != step.want {
			t.Errorf("%s %s: %d, want %d: %s", step.method, step.path, s, step.want, b)
		}
	}
}

// TestSession signs in, needs the CSRF token for a change, and signs out.
func TestSession(t *testing.T) {
	now := time.Now() // stands still, so that the back-off does not end meanwhile
	w := newWorldOn(t, storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }}))
	w.user("ann", false)
	if s, b, _ := w.call("POST", "/api/v1/signin", "", `{"username":"ann","password":"nonsense"}`); s != 403 || !strings.Contains(b, `"invalidCredentials":true`) {
		t.Fatal(s, b)
	}
	if s, b, h := w.call("POST", "/api/v1/signin", "", `{"username":"ann","password":"ann-password"}`); s != 429 || h.Get("Retry-After") == "" {
		t.Fatal(s, b)
	}
	w.user("bob", false)
	s, b, h := w.call("POST", "/api/v1/signin", "", `{"username":"bob","password":"bob-password"}`)
	if s != 200 {
		t.Fatal(s, b)
	}
	jar, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	csrf := h.Get("X-Next-CSRF-Token")
	for _, step := range []struct {
		csrf string
		want int
	}{{"", 403}, {"x", 403}, {csrf, 201}} {
		if s, b, _ := w.call("PUT", "/api/v1/user/robots/ci", "", "", "Cookie", jar, "X-CSRF-Token", step.csrf); s != step.want {
			t.Fatal(s, b)
		}
	}
	if s, b, _ := w.call("GET", "/csrf_token", "", "", "Cookie", jar); s != 200 || !strings.Contains(b, csrf) {
		t.Fatal(s, b)
	}
	if s, b, _ := w.call("POST", "/api/v1/signout", "", "", "Cookie", jar, "X-CSRF-Token", csrf); s != 200 {
		t.Fatal(s, b)
	}
	if s, b, _ := w.call("GET", "/api/v1/user/", "", "", "Cookie", jar); s != 401 {
		t.Fatal(s, b)
	}
}

// TestAttack calls every route that is guarded as everybody who must not get
// through, and holds that a private repository and one that is not there look
// the same to them.
func TestAttack(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	owner, admin := w.user("owner", false)
	_, stranger := w.user("stranger", false)
	reader, readerToken := w.user("reader", false)
	writer, writerToken := w.user("writer", false)
	_, super := w.user("root", true)
	off, offToken := w.user("off", false)
	org, err := w.db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, owner.ID, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	name := gantry.RepoName{Namespace: org.Name, Name: "app"}
	if _, err := w.db.CreateRepository(ctx, store.NewRepository{Name: name}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	repo, err := w.db.Repository(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	for a, role := range map[*store.Account]gantry.Role{&reader: gantry.Read, &writer: gantry.Write, &off: gantry.Admin} {
		if err := w.db.SetPermission(ctx, repo, *a, role, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.db.SetEnabled(ctx, off.ID, false, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	member, memberToken := w.user("member", false)
	team, _, err := w.db.PutTeam(ctx, org.ID, "staff", gantry.TeamMember, nil, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.AddTeamMember(ctx, team, member, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	other, rival := w.user("rival", false) // who administers another organization
	if _, err := w.db.CreateOrganization(ctx, store.NewAccount{Name: "rivals"}, other.ID, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	scoped, err := w.svc.NewOAuthToken(ctx, owner.ID, auth.ScopeUserRead, 1e12, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	who := []struct {
		name, token string
		refused     int
		role        gantry.Role
		org, member bool
	}{
		{name: "anonymous", refused: 401}, {name: "disabled", token: offToken, refused: 401}, {name: "bad token", token: "x", refused: 401},
		{name: "stranger", token: stranger, refused: 403}, {name: "reader", token: readerToken, refused: 403, role: gantry.Read},
		{name: "writer", token: writerToken, refused: 403, role: gantry.Write}, {name: "scoped owner", token: scoped, refused: 403},
		{name: "member", token: memberToken, refused: 403, member: true},
		{name: "other owner", token: rival, refused: 403},
		{name: "owner", token: admin, role: gantry.Admin, org: true}, {name: "superuser", token: super, role: gantry.Admin, org: true},
	}
	for _, rt := range routes {
		if rt.access == anybody {
			continue
		}
		path := func(org, app string) string {
			return "/api/v1/" + strings.NewReplacer("{repo}", org+"/"+app, "{org}", org, "{short}", "ci", "{name}", "reader", "{team}", "staff",
				"{id}", "1", "{limit}", "1", "{uuid}", "x").Replace(rt.path)
		}
		for _, x := range who {
			may := x.role >= gantry.Read+gantry.Role(rt.access-repoRead)
			switch rt.access {
			case nsMember, nsAdmin, nsOrSuper:
				may = x.org || x.member && rt.access != nsAdmin
			case superuser:
				may = x.name == "superuser"
			case known:
				may = x.refused == 0 || x.refused == 403
			case signedIn:
				may = x.refused == 0 || x.refused == 403 && (x.name != "scoped owner" || rt.scope == auth.ScopeUserRead)
			}
			if may && rt.method != "GET" {
				continue // it would change what is tested
			}
			status, body, _ := w.call(rt.method, path("acme", "app"), x.token, "{}")
			if may {
				if status == 401 || status == 403 {
					t.Errorf("%s %s as %s: %d: %s", rt.method, rt.path, x.name, status, body)
				}
				continue
			}
			if want := cmp.Or(x.refused, 403); status != want {
				t.Errorf("%s %s as %s: %d, want %d: %s", rt.method, rt.path, x.name, status, want, body)
			}
			if rt.access >= nsMember && x.role == 0 {
				for _, none := range []string{path("acme", "none"), path("no-such-org", "app"), path("owner", "app")} {
					if s, b, _ := w.call(rt.method, none, x.token, "{}"); s != status || b != body {
						t.Errorf("%s %s as %s tells what exists: %d %s, %d %s", rt.method, none, x.name, status, body, s, b)
					}
				}
			}
		}
	}
}

// TestAnswers holds that every code has an answer.
func TestAnswers(t *testing.T) {
	for _, c := range gantry.Codes {
		if answers[c].status == 0 {
			t.Errorf("no answer to %q", c)
		}
	}
}
