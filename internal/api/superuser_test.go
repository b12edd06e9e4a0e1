package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestSuperuserUsers makes, lists, changes and deletes users.
func TestSuperuserUsers(t *testing.T) {
	storetest.Each(t, testSuperuserUsers)
}

func testSuperuserUsers(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	set := *w.svc.Settings()
	set.ReadOnlySuperusers = []string{"auditor"}
	w.svc.Configure(set)
	_, ann := w.user("ann", false)
	root, super := w.user("root", true)
	_, auditor := w.user("auditor", false)
	const users = "/api/v1/superuser/users"
	w.want(201, "PUT", "/api/v1/user/robots/ci", ann, "")
	for _, token := range []string{ann, ""} {
		status := map[bool]int{true: 401, false: 403}[token == ""]
		w.want(status, "GET", users, token, "")
		w.want(status, "GET", users+"/ann", token, "")
		w.want(status, "GET", users+"/nobody", token, "")
	}
	w.want(403, "POST", users, auditor, `{"username":"new"}`)
	w.want(200, "GET", users, auditor, "")
	var made struct {
		Username, Email, Password string
		Encrypted                 string `json:"encrypted_password"`
	}
	b := w.want(200, "POST", users, super, `{"username":"new","email":"New@example.com"}`)
	if err := json.Unmarshal([]byte(b), &made); err != nil || made.Username != "new" || made.Email != "new@example.com" || made.Encrypted == "" {
		t.Fatal(b, err)
	}
	w.want(200, "POST", "/api/v1/signin", "", `{"username":"new","password":"`+made.Password+`"}`)
	for _, bad := range []string{`{"username":"new"}`, `{"username":"other","email":"new@example.com"}`, `{"username":"New"}`, `{"username":"a+b"}`, `{"username":"ok","email":"nonsense"}`, `{}`} {
		w.want(400, "POST", users, super, bad)
	}
	holds(t, w.want(200, "GET", users+"/new", super, ""), `"kind":"user"`, `"enabled":true`, `"super_user":false`)
	holds(t, w.want(200, "GET", users+"/root", super, ""), `"super_user":true`)
	holds(t, w.want(200, "GET", users+"/auditor", super, ""), `"global_readonly_super_user":true`)
	w.want(404, "GET", users+"/nobody", super, "")
	w.want(404, "GET", users+"/ann+ci", super, "")

	holds(t, w.want(200, "PUT", users+"/new", super, `{"email":"other@example.com","password":"another-one"}`), `"email":"other@example.com"`)
	w.want(200, "POST", "/api/v1/signin", "", `{"username":"new","password":"another-one"}`)
	holds(t, w.want(200, "PUT", users+"/new", super, `{"enabled":false}`), `"enabled":false`)
	w.want(403, "POST", "/api/v1/signin", "", `{"username":"new","password":"another-one"}`)
	for _, bad := range []string{`{"password":"short"}`, `{"email":"nonsense"}`, `{"enabled":"yes"}`, ``} {
		w.want(400, "PUT", users+"/new", super, bad)
	}
	for _, who := range []string{"root", "auditor"} {
		w.want(400, "PUT", users+"/"+who, super, `{"enabled":false}`)
		w.want(400, "DELETE", users+"/"+who, super, "")
	}
	w.want(403, "PUT", users+"/new", auditor, `{"enabled":true}`)
	w.want(403, "DELETE", users+"/new", auditor, "")
	w.want(403, "PUT", users+"/ann", ann, `{"enabled":true}`)

	for i := range 120 {
		if _, err := db.CreateUser(t.Context(), store.NewAccount{Name: fmt.Sprintf("many%d", i)}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(query string) (names []string) {
		t.Helper()
		for next := ""; ; {
			var page struct {
				Users []struct{ Username string }
				Next  string `json:"next_page"`
			}
			before := db.Statements()
			b := w.want(200, "GET", users+"?"+query+next, super, "")
			if n := db.Statements() - before; n > 6 {
				t.Errorf("%d statements for a page", n)
			}
			if err := json.Unmarshal([]byte(b), &page); err != nil {
				t.Fatal(b, err)
			}
			for _, u := range page.Users {
				names = append(names, u.Username)
			}
			if page.Next == "" {
				return names
			}
			next = "&next_page=" + page.Next
		}
	}
	for query, want := range map[string]int{"": 124, "limit=50": 124, "disabled=false": 123, "disabled=true&limit=100000": 124} {
		if names := list(query); len(names) != want || names[0] != "ann" || names[want-1] != "many119" {
			t.Errorf("%q: %d users", query, len(names))
		}
	}
	for _, bad := range []string{"limit=0", "limit=x", "disabled=perhaps", "next_page=x"} {
		w.want(400, "GET", users+"?"+bad, super, "")
	}
	w.want(204, "DELETE", users+"/new", super, "")
	w.want(404, "DELETE", users+"/new", super, "")
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"anns"}`)
	holds(t, w.want(400, "DELETE", users+"/ann", super, ""), "anns") // its last administrator

	narrow, err := w.svc.NewOAuthToken(t.Context(), root.ID, auth.ScopeOrgAdmin, time.Hour, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	w.want(403, "GET", users, narrow, "")
	set.SuperUsers = false
	w.svc.Configure(set)
	w.want(403, "GET", users, super, "")
}

// TestSuperuserOrganizations lists, renames and deletes organizations, and
// takes them over, without any other right to them.
func TestSuperuserOrganizations(t *testing.T) {
	storetest.Each(t, testSuperuserOrganizations)
}

func testSuperuserOrganizations(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	set := *w.svc.Settings()
	set.SuperusersFullAccess = false
	w.svc.Configure(set)
	_, ann := w.user("ann", false)
	w.user("bob", false)
	_, super := w.user("root", true)
	w.user("boss", true)
	const orgs = "/api/v1/superuser/organizations"
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme","email":"a@example.com"}`)
	w.want(201, "PUT", "/api/v1/organization/acme/robots/ci", ann, "")
	w.want(403, "GET", orgs, ann, "")
	w.want(403, "PUT", orgs+"/acme", ann, `{"name":"mine"}`)
	w.want(403, "DELETE", orgs+"/acme", ann, "")
	w.want(403, "POST", "/api/v1/superuser/takeownership/acme", ann, "")
	if b := w.want(200, "GET", orgs, super, ""); b != `{"organizations":[{"avatar":`+avatarText(t, "acme")+`,"email":"a@example.com","name":"acme"}]}`+"\n" {
		t.Error(b)
	}
	for _, bad := range []string{`{"name":"ann"}`, `{"name":"No"}`, `{"email":"nonsense"}`, ``} {
		w.want(400, "PUT", orgs+"/acme", super, bad)
	}
	w.want(404, "PUT", orgs+"/ann", super, `{"name":"x1"}`)
	holds(t, w.want(200, "PUT", orgs+"/acme", super, `{"name":"umbrella","email":"u@example.com"}`), `"name":"umbrella"`, `"email":"u@example.com"`)
	w.want(404, "GET", "/api/v1/organization/acme", ann, "")
	holds(t, w.want(200, "GET", "/api/v1/organization/umbrella/robots", ann, ""), `"name":"umbrella+ci"`)

	w.want(403, "GET", "/api/v1/organization/umbrella/prototypes", super, "")
	holds(t, w.want(200, "POST", "/api/v1/superuser/takeownership/umbrella", super, ""), `{"namespace":"umbrella"}`)
	w.want(200, "GET", "/api/v1/organization/umbrella/prototypes", super, "")
	w.want(200, "POST", "/api/v1/superuser/takeownership/bob", super, "")
	w.want(200, "GET", "/api/v1/organization/bob/prototypes", super, "")
	w.want(403, "POST", "/api/v1/signin", "", `{"username":"bob","password":"bob-password"}`)
	w.want(400, "POST", "/api/v1/superuser/takeownership/boss", super, "") // a superuser
	w.want(400, "POST", "/api/v1/superuser/takeownership/root", super, "") // himself
	w.want(404, "POST", "/api/v1/superuser/takeownership/nobody", super, "")
	w.want(404, "POST", "/api/v1/superuser/takeownership/umbrella+ci", super, "")

	w.want(204, "DELETE", orgs+"/umbrella", super, "")
	w.want(404, "DELETE", orgs+"/umbrella", super, "")
	w.want(404, "DELETE", orgs+"/ann", super, "")
}

func avatarText(t *testing.T, org string) string {
	t.Helper()
	b, err := json.Marshal(accountAvatar(org, gantry.Organization))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSuperuserRegistry reads the size of the registry, all app tokens and the
// configuration.
func TestSuperuserRegistry(t *testing.T) {
	w := newWorld(t)
	ann, token := w.user("ann", false)
	_, super := w.user("root", true)
	const size = "/api/v1/superuser/registrysize/"
	holds(t, w.want(200, "GET", size, super, ""), `"last_ran":null`, `"size_bytes":0`, `"running":false`)
	w.want(403, "POST", size, token, "")
	w.want(201, "POST", size, super, "")
	if b := w.want(200, "GET", size, super, ""); strings.Contains(b, "null") {
		t.Error(b)
	}

	w.want(404, "GET", "/api/v1/superuser/apptokens", super, "")
	set := *w.svc.Settings()
	set.AppSpecificTokens = true
	w.svc.Configure(set)
	for i := range 3 {
		if err := w.db.CreateAppToken(t.Context(), store.AppToken{Account: ann.ID, UUID: fmt.Sprint("u", i), Name: fmt.Sprint(i), Title: "t", Secret: "secret"}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	b := w.want(200, "GET", "/api/v1/superuser/apptokens?limit=2", super, "")
	holds(t, b, `"username":"ann"`, `"uuid":"u1"`, `"next_page"`)
	if strings.Contains(b, "u2") || strings.Contains(b, "secret") || strings.Contains(b, "token_code") {
		t.Error(b)
	}
	w.want(403, "GET", "/api/v1/superuser/apptokens", token, "")

	w.want(404, "GET", "/api/v1/superuser/config", super, "")
	d := w.with(Options{ConfigDump: func() map[string]any { return map[string]any{"SERVER_HOSTNAME": "x"} }})
	holds(t, d.want(200, "GET", "/api/v1/superuser/config", super, ""), `"config":{"SERVER_HOSTNAME":"x"}`)
	d.want(403, "GET", "/api/v1/superuser/config", token, "")
}

// TestSuperuserFresh: a session of a superuser must be fresh.
func TestSuperuserFresh(t *testing.T) {
	var now atomic.Int64 // seconds
	now.Store(time.Now().Unix())
	w := newWorldOn(t, storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return time.Unix(now.Load(), 0) }}))
	w.user("root", true)
	w = w.with(Options{FreshLogin: time.Minute})
	jar, csrf := w.signIn("root")
	w.want(200, "GET", "/api/v1/superuser/users", "", "", "Cookie", jar)
	now.Add(61)
	for _, path := range []string{"superuser/users", "superuser/logs", "superuser/organizations", "superuser/config", "superuser/users/root/quota"} {
		holds(t, w.want(401, "GET", "/api/v1/"+path, "", "", "Cookie", jar), "fresh_login_required")
	}
	holds(t, w.want(401, "POST", "/api/v1/messages", "", "{}", "Cookie", jar, "X-CSRF-Token", csrf), "fresh_login_required")
}

// TestMessagesRoutes tells everybody something.
func TestMessagesRoutes(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	_, super := w.user("root", true)
	const path = "/api/v1/messages"
	if b := w.want(200, "GET", path, "", ""); b != `{"messages":[]}`+"\n" {
		t.Error(b)
	}
	const good = `{"message":{"content":"back soon","media_type":"text/plain","severity":"warning"}}`
	w.want(403, "POST", path, ann, good)
	w.want(401, "POST", path, "", good)
	for _, bad := range []string{`{}`, `{"message":null}`, `{"message":{"content":"","media_type":"text/plain","severity":"info"}}`,
		`{"message":{"content":"x","media_type":"text/html","severity":"info"}}`, `{"message":{"content":"x","media_type":"text/plain","severity":"fatal"}}`,
		`{"message":{"content":"` + strings.Repeat("x", 4097) + `","media_type":"text/plain","severity":"info"}}`} {
		w.want(400, "POST", path, super, bad)
	}
	var made struct{ UUID string }
	if err := json.Unmarshal([]byte(w.want(201, "POST", path, super, good)), &made); err != nil || made.UUID == "" {
		t.Fatal(made, err)
	}
	holds(t, w.want(200, "GET", path, ann, ""), `"content":"back soon"`, `"severity":"warning"`, `"media_type":"text/plain"`, made.UUID)
	w.want(403, "DELETE", "/api/v1/message/"+made.UUID, ann, "")
	w.want(204, "DELETE", "/api/v1/message/"+made.UUID, super, "")
	w.want(404, "DELETE", "/api/v1/message/"+made.UUID, super, "")
}

// TestMeta explains errors and capabilities.
func TestMeta(t *testing.T) {
	w := newWorld(t)
	for _, a := range answers {
		holds(t, w.want(200, "GET", "/api/v1/error/"+a.kind, "", ""), `"title":"`+a.kind+`"`)
	}
	w.want(200, "GET", "/api/v1/error/fresh_login_required", "", "")
	w.want(404, "GET", "/api/v1/error/nonsense", "", "")
	holds(t, w.want(200, "GET", "/api/v1/registry/capabilities", "", ""), `"supported":false`, `"mirror_architectures":[]`)
	holds(t, w.with(Options{SparseIndex: true, RepoMirror: true}).want(200, "GET", "/api/v1/registry/capabilities", "", ""), `"supported":true`, `"amd64"`)
}

// TestDiscovery: the Swagger document has every route, and only references
// that lead somewhere.
func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	var doc struct {
		Swagger     string
		Host        string
		Definitions map[string]any
		Paths       map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct{ Name, In, Type string }
			Responses   map[string]any
			Security    []map[string][]string
		}
	}
	b := w.want(200, "GET", "/api/v1/discovery?internal=true", "", "")
	if err := json.Unmarshal([]byte(b), &doc); err != nil || doc.Swagger != "2.0" || doc.Host == "" {
		t.Fatal(err, doc.Swagger, doc.Host)
	}
	for _, rt := range routes {
		op, ok := doc.Paths["/api/v1/"+rt.path][strings.ToLower(rt.method)]
		if !ok || op.OperationID == "" || len(op.Responses) == 0 {
			t.Errorf("%s %s: %+v", rt.method, rt.path, op)
		}
		for _, p := range op.Parameters {
			if p.Name == "" || p.In == "" || p.In != "body" && p.Type == "" {
				t.Errorf("%s %s: parameter %+v", rt.method, rt.path, p)
			}
		}
	}
	if s := doc.Paths["/api/v1/organization/{org}"]["delete"].Security; len(s) != 1 || s[0]["oauth2_implicit"][0] != "org:admin" {
		t.Errorf("security: %v", s)
	}
	for _, part := range strings.Split(b, `"$ref":"`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		name, ok := strings.CutPrefix(ref, "#/definitions/")
		if doc.Definitions[name] == nil || !ok {
			t.Errorf("%s leads nowhere", ref)
		}
	}
}
