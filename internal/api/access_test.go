package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/store"
)

var update = flag.Bool("update", false, "write testdata/access.txt anew; then read the difference")

const accessFile = "testdata/access.txt"

const accessHead = `# Who gets which answer: every route of /api/v1 as every kind of caller.
# TestAccess holds the server to it; a new route is added with
#	go test ./internal/api -run TestAccess -update
# and what came out is read by a person. A line that begins with a method is a
# route, with the query and the body that are sent; {x} in them stands for what is
# there. Below it stands each answer with those who get it.
#
`

// A stage is a registry with something for every route. Each call that changed
// it is followed by a new copy.
type stage struct {
	t        testing.TB
	dir      string
	path     string            // of the database that is served
	template string            // database
	things   map[string]string // what stands for {x}
	who      []actorKind
	keys     *auth.Keys
	settings auth.Settings

	unchecked bool // answers are not held to the contract
	at        http.Handler
	end       func()
	svc       *auth.Service
}

// An actorKind is a kind of caller.
type actorKind struct {
	name, doc string
	header    http.Header
	change    func(*auth.Settings) // while this one calls; nil = nothing
}

const stageNow = 1_760_000_000 // when the stage was set

// open opens a copy of the template.
func (s *stage) open() {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.dir, "")
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(dir, "gantry.db")
	if s.template != "" {
		b, err := os.ReadFile(s.template)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	s.serve(path, stageNow)
}

func (s *stage) serve(path string, now int64) *store.DB {
	s.t.Helper()
	s.path = path
	ctx := context.WithoutCancel(s.t.Context())
	db, err := store.Open(ctx, store.Options{URI: "sqlite:///" + path, Now: func() time.Time { return time.Unix(now, 0) }})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.template == "" {
		if err := db.Migrate(ctx); err != nil {
			s.t.Fatal(err)
		}
	}
	s.svc, err = auth.New(ctx, auth.Options{Store: db, Keys: s.keys, BcryptCost: 4, NoTokens: true, Settings: s.settings})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.at = New(stageOptions(Options{Store: db, Auth: s.svc})); !s.unchecked {
		s.at = checked(s.t, s.at)
	}
	s.end = func() {
		if err := db.Close(); err != nil {
			s.t.Error(err)
		}
	}
	return db
}

// stageOptions has every feature on.
func stageOptions(o Options) Options {
	o.UserInitialize, o.UserCreation, o.UserRename, o.UserMetadata = true, true, true, true
	o.Mirrors.Orgs = true
	o.RepoMirror, o.Quota, o.EditQuota, o.SparseIndex = true, true, true, true
	o.Tags.Immutable, o.Tags.MayExpire, o.Tags.Forget = true, true, true
	o.Policies.AutoPrune, o.Logs.Export, o.Tell.QuotaEvents = true, true, true
	base := func() string { return "https://registry.example.com" }
	o.Tell.Base = base
	o.Tell.Notify = notify.New(notify.Options{Store: o.Store, Keys: o.Auth.Keys(), Client: func(bool) *http.Client { return &http.Client{Transport: nowhere{}} },
		Base: func() (string, string) { return base(), "registry.example.com" }, Settings: func() notify.Settings { return notify.Settings{} }})
	o.Tell.Mail = mail.New(mail.Options{Store: o.Store, Keys: o.Auth.Keys(), Settings: func() mail.Settings { return mail.Settings{On: true} }})
	o.Logs.Mail = func(context.Context, string, string, string) error { return nil }
	o.ConfigDump = func() map[string]any { return map[string]any{} }
	return o
}

// ask makes one call and returns the status.
func (s *stage) ask(method, path string, header http.Header, body string) (int, string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://registry.example.com/api/v1/"+path, strings.NewReader(body))
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	s.at.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// put asks as somebody who may, and returns the answer.
func (s *stage) put(method, path string, header http.Header, body string) string {
	s.t.Helper()
	status, answer := s.ask(method, path, header, body)
	if status >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// field returns what answers have under a path of names and numbers.
func (s *stage) field(answer string, path ...any) string {
	s.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		s.t.Fatal(err, answer)
	}
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				s.t.Fatalf("no %v in %s", path, answer)
			}
			v = list[p]
		}
	}
	if n, ok := v.(float64); ok {
		return strconv.FormatInt(int64(n), 10)
	}
	text, ok := v.(string)
	if !ok {
		s.t.Fatalf("no %v in %s", path, answer)
	}
	return text
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// newStage sets the stage: the organization acme with teams, robots, the
// repository acme/app with an image, and everybody who calls.
func newStage(t testing.TB) *stage {
	t.Helper()
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: "secret", DatabaseSecretKey: "database"})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, dir: t.TempDir(), keys: keys, things: map[string]string{}, settings: auth.Settings{AnonymousAccess: true, SuperUsers: true, AppSpecificTokens: true,
		ReadOnlySuperusers: []string{"auditor"}, Names: gantry.NameRules{Nested: true, Library: "library"}}}
	path := filepath.Join(s.dir, "template.db")

	// An hour earlier: the stale session.
	db := s.serve(path, stageNow-3600)
	ctx := t.Context()
	accounts := map[string]store.Account{}
	tokens := map[string]http.Header{}
	scoped := func(name, scope string) http.Header {
		token, err := s.svc.NewOAuthToken(ctx, accounts[name].ID, scope, 400*24*time.Hour, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		return bearer(token)
	}
	for _, name := range []string{"owner", "stranger", "reader", "writer", "keeper", "member", "creator", "limited", "root", "auditor", "off", "spare"} {
		hash, err := s.svc.HashPassword(ctx, name+"-password")
		if err != nil {
			t.Fatal(err)
		}
		accounts[name], err = db.CreateUser(ctx, store.NewAccount{Name: name, Email: name + "@example.com", Verified: true, PasswordHash: hash, Superuser: name == "root"}, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = scoped(name, auth.AllScopes)
	}
	session := func(name string) (cookie, csrf string) {
		cookie, csrf, err := s.svc.NewSession(ctx, &auth.Identity{Account: accounts[name]}, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return CookieName + "=" + cookie, csrf
	}
	stale, staleCSRF := session("owner")
	rootStale, rootStaleCSRF := session("root")
	s.end()
	s.template = path // which is there from here on

	db = s.serve(path, stageNow)
	owner := tokens["owner"]
	fresh, csrf := session("owner")
	rootFresh, rootCSRF := session("root")
	s.put("POST", "organization", owner, `{"name":"acme","email":"acme@example.com"}`)
	s.put("POST", "organization", tokens["spare"], `{"name":"rivals"}`)
	for team, role := range map[string]string{"staff": "member", "makers": "creator"} {
		s.put("PUT", "organization/acme/team/"+team, owner, `{"role":"`+role+`"}`)
	}
	s.put("PUT", "organization/acme/team/staff/members/member", owner, "")
	s.put("PUT", "organization/acme/team/makers/members/creator", owner, "")
	s.put("POST", "repository", owner, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	for name, role := range map[string]string{"reader": "read", "writer": "write", "keeper": "admin", "off": "admin"} {
		s.put("PUT", "repository/acme/app/permissions/user/"+name, owner, `{"role":"`+role+`"}`)
	}
	s.put("PUT", "repository/acme/app/permissions/team/makers", owner, `{"role":"read"}`)
	robot := s.field(s.put("PUT", "organization/acme/robots/ci", owner, ""), "token")
	s.put("PUT", "repository/acme/app/permissions/user/acme+ci", owner, `{"role":"write"}`)
	for _, name := range []string{"owner", "limited"} {
		s.put("PUT", "user/robots/own", tokens[name], "")
	}
	repo, err := db.Repository(ctx, gantry.RepoName{Namespace: "acme", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	s.things["digest"] = pushed(t, db, repo)
	labels := "repository/acme/app/manifest/" + s.things["digest"] + "/labels"
	s.things["label"] = s.field(s.put("POST", labels, owner, `{"key":"a.b","value":"c","media_type":null}`), "label", "id")
	s.things["prototype"] = s.field(s.put("POST", "organization/acme/prototypes", owner, `{"role":"read","delegate":{"name":"staff","kind":"team"}}`), "id")
	app := s.put("POST", "organization/acme/applications", owner, `{"name":"app"}`)
	s.things["client"] = s.field(app, "client_id")
	s.things["apptoken"] = s.field(s.put("POST", "user/apptoken", owner, `{"title":"laptop"}`), "token", "uuid")
	granted := s.put("POST", "organization/acme/applications/"+s.things["client"]+"/tokens", owner, `{"name":"ci","scope":"repo:read"}`)
	s.things["token"] = s.field(granted, "uuid")
	s.things["authorization"] = s.field(s.put("GET", "user/authorizations", owner, ""), "authorizations", 0, "uuid")
	s.put("POST", "user/starred", owner, `{"namespace":"acme","repository":"app"}`)
	root := tokens["root"]
	s.put("POST", "organization/acme/quota", root, `{"limit_bytes":1000000}`)
	s.things["quota"] = s.field(s.put("GET", "organization/acme/quota", owner, ""), 0, "id")
	s.put("POST", "organization/acme/quota/"+s.things["quota"]+"/limit", root, `{"type":"Warning","threshold_percent":50}`)
	s.things["acme limit"] = s.field(s.put("GET", "organization/acme/quota/"+s.things["quota"]+"/limit", owner, ""), 0, "id")
	s.put("POST", "superuser/users/owner/quota", root, `{"limit_bytes":1000000}`)
	s.things["own quota"] = s.field(s.put("GET", "user/quota", owner, ""), 0, "id")
	s.put("POST", "organization/owner/quota/"+s.things["own quota"]+"/limit", root, `{"type":"Warning","threshold_percent":50}`)
	s.things["own limit"] = s.field(s.put("GET", "user/quota/"+s.things["own quota"]+"/limit", owner, ""), 0, "id")
	s.put("POST", "superuser/users/reader/quota", root, `{"limit_bytes":1000000}`)
	s.things["reader's quota"] = s.field(s.put("GET", "superuser/users/reader/quota", root, ""), 0, "id")
	s.put("POST", "messages", root, `{"message":{"content":"hello","media_type":"text/plain","severity":"info"}}`)
	s.things["message"] = s.field(s.put("GET", "messages", nil, ""), "messages", 0, "uuid")
	s.mirrors(owner)
	s.jobs(db)
	inbox := `"method":"quay_notification","config":{"target":{"kind":"user","name":"owner"}},"eventConfig":{}}`
	s.things["notification"] = s.field(s.put("POST", "repository/acme/app/notification", owner, `{"event":"repo_push",`+inbox), "uuid")
	s.things["acme notification"] = s.field(s.put("POST", "organization/acme/notifications", owner, `{"event":"quota_error",`+inbox), "uuid")
	s.things["own notification"] = s.field(s.put("POST", "user/namespacenotifications", owner, `{"event":"quota_error",`+inbox), "uuid")
	if _, err := db.AddNotice(ctx, store.NoticeTarget{Kind: "user", Name: "owner"}, "source", store.Notice{Kind: "maintenance", Metadata: json.RawMessage("{}")}); err != nil {
		t.Fatal(err)
	}
	s.things["notice"] = s.field(s.put("GET", "user/notifications", owner, ""), "notifications", 0, "id")
	prune, never := `{"method":"number_of_tags","value":50}`, `{"tagPattern":"^never$"}`
	s.things["acme prune"] = s.field(s.put("POST", "organization/acme/autoprunepolicy", owner, prune), "uuid")
	s.things["app prune"] = s.field(s.put("POST", "repository/acme/app/autoprunepolicy", owner, prune), "uuid")
	s.things["own prune"] = s.field(s.put("POST", "user/autoprunepolicy", owner, prune), "uuid")
	s.things["acme immutability"] = s.field(s.put("POST", "organization/acme/immutabilitypolicy", owner, never), "uuid")
	s.things["app immutability"] = s.field(s.put("POST", "repository/acme/app/immutabilitypolicy", owner, never), "uuid")
	s.things["kid"] = s.field(s.put("POST", "superuser/keys", root, `{"service":"x","expiration":null}`), "kid")
	theirs, err := db.Application(ctx, s.things["client"])
	if err != nil {
		t.Fatal(err)
	}
	if s.things["assignment"], err = db.CreateAssignment(ctx, store.Assignment{Application: theirs, Account: accounts["owner"].ID, Scope: auth.ScopeRepoRead, ResponseType: "token"}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	if err := db.SetEnabled(ctx, accounts["off"].ID, false, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}

	cookie := func(jar, csrf string) http.Header {
		h := http.Header{"Cookie": {jar}}
		if csrf != "" {
			h.Set("X-CSRF-Token", csrf)
		}
		return h
	}
	basic := func(name, password string) http.Header {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(name, password)
		return r.Header
	}
	restrict := func(set *auth.Settings) {
		set.RestrictedUsers = true
	}
	s.who = []actorKind{
		{"anonymous", "nobody", nil, nil},
		{"bad-token", "a token that is none", bearer("A" + strings.Repeat("B", 39)), nil},
		{"basic", "the owner by name and password, which /api/v1 does not take", basic("owner", "owner-password"), nil},
		{"robot", "a robot by name and token", basic("acme+ci", robot), nil},
		{"disabled", "a disabled user who administers the repository", tokens["off"], nil},
		{"stranger", "a user without any right here", tokens["stranger"], nil},
		{"reader", "a user who may read the repository", tokens["reader"], nil},
		{"writer", "a user who may write the repository", tokens["writer"], nil},
		{"keeper", "a user who administers the repository", tokens["keeper"], nil},
		{"member", "a user in a team of the role member", tokens["member"], nil},
		{"creator", "a user in a team of the role creator, which may read the repository", tokens["creator"], nil},
		{"owner", "a user in the team owners", owner, nil},
		{"repo:read", "the owner's token for repo:read", scoped("owner", auth.ScopeRepoRead), nil},
		{"repo:admin", "the owner's token for repo:admin", scoped("owner", auth.ScopeRepoAdmin), nil},
		{"org:admin", "the owner's token for org:admin", scoped("owner", auth.ScopeOrgAdmin), nil},
		{"user:admin", "the owner's token for user:admin", scoped("owner", auth.ScopeUserAdmin), nil},
		{"session", "the owner by a session", cookie(fresh, csrf), nil},
		{"stale", "the owner by a session that signed in an hour ago", cookie(stale, staleCSRF), nil},
		{"no-csrf", "the owner by a session, without the CSRF token", cookie(fresh, ""), nil},
		{"restricted", "the owner where users are restricted", owner, restrict},
		{"limited", "a user where users are restricted", tokens["limited"], restrict},
		{"read-only", "the owner while the registry is read-only", owner, func(set *auth.Settings) { set.ReadOnly = true }},
		{"auditor", "a superuser for reading only", tokens["auditor"], nil},
		{"superuser", "a superuser", root, nil},
		{"super-session", "a superuser by a session", cookie(rootFresh, rootCSRF), nil},
		{"super-stale", "a superuser by a session that signed in an hour ago", cookie(rootStale, rootStaleCSRF), nil},
		{"super-scoped", "a superuser's token for everything but super:user", scoped("root", strings.TrimSuffix(auth.AllScopes, " "+auth.ScopeSuperUser)), nil},
		{"full", "a superuser with full access", root, func(set *auth.Settings) { set.SuperusersFullAccess = true }},
		{"switched-off", "a superuser where FEATURE_SUPER_USERS is off", root, func(set *auth.Settings) { set.SuperUsers = false }},
	}
	s.end()
	return s
}

// mirrors makes a repository and an organization that mirror others.
func (s *stage) mirrors(owner http.Header) {
	s.t.Helper()
	s.put("PUT", "organization/acme/robots/sync", owner, "")
	s.put("POST", "repository", owner, `{"namespace":"acme","repository":"copy","visibility":"private","description":""}`)
	for name, role := range map[string]string{"reader": "read", "writer": "write", "keeper": "admin", "off": "admin"} {
		s.put("PUT", "repository/acme/copy/permissions/user/"+name, owner, `{"role":"`+role+`"}`)
	}
	s.put("POST", "repository/acme/copy/mirror", owner, `{"external_reference":"registry.example/x/y","robot_username":"acme+sync","sync_interval":3600,"sync_start_date":"2030-01-01T00:00:00Z","root_rule":{"rule_kind":"tag_glob_csv","rule_value":["*"]}}`)
	s.put("POST", "repository/acme/copy/mirror/sync-now", owner, "")
	s.things["run"] = s.field(s.put("POST", "repository/acme/copy/mirror/plan", owner, ""), "run")
	s.put("POST", "organization", owner, `{"name":"copies"}`)
	s.put("PUT", "organization/copies/team/owners/members/spare", owner, "")
	s.put("PUT", "organization/copies/robots/sync", owner, "")
	s.put("POST", "organization/copies/mirror", owner, `{"external_registry_type":"quay","external_registry_url":"https://quay.example","external_namespace":"x","robot_username":"copies+sync","visibility":"private","sync_interval":3600,"sync_start_date":"2030-01-01T00:00:00Z"}`)
	s.put("POST", "organization/copies/mirror/sync-now", owner, "")
}

// pushed puts an image into a repository, under the tag v1.
func pushed(t testing.TB, db *store.DB, repo store.Repository) string {
	t.Helper()
	ctx := t.Context()
	location, err := db.EnsureLocation(ctx, "default")
	if err != nil {
		t.Fatal(err)
	}
	c, err := content.New(content.Options{Store: db, Locations: []content.Location{{ID: location, Name: "default", Engine: mem.New()}}})
	if err != nil {
		t.Fatal(err)
	}
	blob := func(b string) string {
		d := gantry.FromBytes([]byte(b))
		if _, err := c.Push(ctx, repo.ID, int64(len(b)), strings.NewReader(b), d, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`"digest":%q,"size":%d`, d, len(b))
	}
	p, err := c.PutManifest(ctx, content.Put{Repo: repo.ID, Tags: []string{"v1"}, Body: []byte(ociManifest +
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json",` + blob(`{"architecture":"amd64","os":"linux"}`) +
		`},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar",` + blob("layer") + `}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return string(p.Digest)
}

// jobs leaves one that waits and one that was cancelled.
func (s *stage) jobs(db *store.DB) {
	s.t.Helper()
	ctx := s.t.Context()
	for _, name := range []string{"live job", "ended job"} {
		if _, err := db.Enqueue(ctx, store.NewJob{Kind: "test", Payload: name}); err != nil {
			s.t.Fatal(err)
		}
		list, err := db.Jobs(ctx, store.JobFilter{Kind: "test", Limit: 1})
		if err != nil {
			s.t.Fatal(err)
		}
		s.things[name] = strconv.FormatInt(list[0].ID, 10)
		if name == "ended job" {
			if err := db.CancelJob(ctx, list[0].ID, gantry.Actor{}); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// paths says what stands for the {x} of routes whose path begins so; the
// longest that fits is taken, or the whole route with its method.
var paths = map[string]map[string]string{
	"":                                        {"repo": "acme/app", "org": "acme", "team": "staff", "short": "ci", "tag": "v1"},
	"app/":                                    {"client": "{client}"},
	"entities/link":                           {"username": "reader"},
	"externallogin":                           {"service_id": "none"},
	"detachexternal":                          {"service_id": "none"},
	"organization/{org}/autoprunepolicy":      {"uuid": "{acme prune}"},
	"organization/{org}/immutabilitypolicy":   {"uuid": "{acme immutability}"},
	"organization/{org}/notifications":        {"uuid": "{acme notification}"},
	"repository/{repo}/authorizedemail":       {"email": "x@example.com"},
	"repository/{repo}/autoprunepolicy":       {"uuid": "{app prune}"},
	"repository/{repo}/build":                 {"id": "none"},
	"repository/{repo}/image":                 {"id": "none"},
	"repository/{repo}/immutabilitypolicy":    {"uuid": "{app immutability}"},
	"repository/{repo}/notification":          {"uuid": "{notification}"},
	"repository/{repo}/mirror":                {"repo": "acme/copy", "uuid": "{run}"},
	"POST repository/{repo}/mirror":           {"repo": "acme/app"}, // which is none yet
	"organization/{org}/mirror":               {"org": "copies"},
	"POST organization/{org}/mirror":          {"org": "acme"}, // which is none yet
	"repository/{repo}/tokens":                {"id": "none"},
	"repository/{repo}/trigger":               {"uuid": "none", "name": "none"},
	"superuser/{id}":                          {"id": "none"},
	"superusers/users":                        {"name": "reader"},
	"teaminvite":                              {"code": "none"},
	"user/assignedauthorization":              {"uuid": "{assignment}"},
	"user/autoprunepolicy":                    {"uuid": "{own prune}"},
	"user/namespacenotifications":             {"uuid": "{own notification}"},
	"user/notifications":                      {"uuid": "{notice}"},
	"entities/":                               {"prefix": "re"},
	"POST organization/{org}/quota":           {"org": "rivals"}, // which has none yet
	"POST superuser/organization/{org}/quota": {"org": "rivals"},
	"PUT organization/{org}/robots/{short}":   {"short": "new"},
	"PUT user/robots/{short}":                 {"short": "new"},
	"POST superuser/users/{name}/quota":       {"name": "writer"},
	"error/":                                  {"type": "not_found"},
	"message/":                                {"uuid": "{message}"},
	"organization/{org}/applications":         {"client": "{client}", "uuid": "{token}"},
	"organization/{org}/members":              {"name": "member"},
	"organization/{org}/prototypes":           {"id": "{prototype}"},
	"organization/{org}/quota":                {"id": "{quota}", "limit": "{acme limit}"},
	"organization/{org}/team":                 {"name": "member", "email": "x@example.com"},
	"repository/{repo}/manifest":              {"digest": "{digest}", "ref": "{digest}", "id": "{label}"},
	"repository/{repo}/permissions/user":      {"name": "reader"},
	"repository/{repo}/permissions/team":      {"team": "makers"},
	"superuser/organization":                  {"id": "{quota}"},
	"superuser/takeownership":                 {"name": "acme"},
	"superuser/jobs":                          {"job": "{live job}"},
	"superuser/jobs/{job}/retry":              {"job": "{ended job}"},
	"superuser/storage/locations":             {"name": "default"},
	"superuser/storage/namespaces":            {"name": "acme"},
	"superuser/users":                         {"name": "reader", "id": "{reader's quota}"},
	"user/apptoken":                           {"uuid": "{apptoken}"},
	"user/authorizations":                     {"uuid": "{authorization}"},
	"user/quota":                              {"id": "{own quota}", "limit": "{own limit}"},
	"user/robots":                             {"short": "own"},
	"users/":                                  {"username": "reader"},
}

var braces = regexp.MustCompile(`\{[^{}":]+\}`)

// fill puts what there is in the place of the {x} of a route.
func (s *stage) fill(route, text string) string {
	s.t.Helper()
	return braces.ReplaceAllStringFunc(text, func(x string) string {
		x = strings.Trim(x, "{}")
		if v, ok := s.things[x]; ok {
			return v
		}
		_, path, _ := strings.Cut(route, " ")
		best, value := -1, ""
		for prefix, values := range paths {
			v, ok := values[x]
			switch {
			case ok && prefix == route:
				best, value = len(prefix)+1000, v
			case ok && strings.HasPrefix(path, prefix) && len(prefix) > best:
				best, value = len(prefix), v
			}
		}
		if best < 0 {
			s.t.Errorf("%s: nothing stands for {%s}; add it to paths, and to newStage if it must be made", route, x)
			return x
		}
		return braces.ReplaceAllStringFunc(value, func(y string) string { return s.things[strings.Trim(y, "{}")] })
	})
}

// An accessRow is a route of the file.
type accessRow struct {
	method, path, query, body string
	answers                   map[string]int // by the name of the caller
}

func (r accessRow) key() string { return r.method + " " + r.path }

func readAccess(t testing.TB) (rows map[string]accessRow) {
	t.Helper()
	b, err := os.ReadFile(accessFile)
	if err != nil {
		t.Fatal(err)
	}
	rows = map[string]accessRow{}
	var at accessRow
	for scan := bufio.NewScanner(bytes.NewReader(b)); scan.Scan(); {
		line := scan.Text()
		switch {
		case line == "" || line[0] == '#':
		case line[0] != '\t':
			at = accessRow{answers: map[string]int{}}
			var rest string
			at.method, rest, _ = strings.Cut(line, " ")
			rest, at.body, _ = strings.Cut(rest, "  ")
			at.path, at.query, _ = strings.Cut(rest, "?")
			rows[at.key()] = at
		default:
			code, names, _ := strings.Cut(line[1:], " ")
			n, err := strconv.Atoi(code)
			if err != nil {
				t.Fatalf("%s: %q", accessFile, line)
			}
			for name := range strings.FieldsSeq(names) {
				at.answers[name] = n
			}
		}
	}
	return rows
}

func writeAccess(t *testing.T, who []actorKind, rows []accessRow) {
	t.Helper()
	var b strings.Builder
	b.WriteString(accessHead)
	for _, x := range who {
		fmt.Fprintf(&b, "# %-13s %s\n", x.name, x.doc)
	}
	for _, r := range rows {
		line := r.key()
		if r.query != "" {
			line += "?" + r.query
		}
		if r.body != "" {
			line += "  " + r.body
		}
		b.WriteString("\n" + line + "\n")
		byCode := map[int][]string{}
		for _, x := range who {
			byCode[r.answers[x.name]] = append(byCode[r.answers[x.name]], x.name)
		}
		for _, code := range slices.Sorted(maps.Keys(byCode)) {
			fmt.Fprintf(&b, "\t%d %s\n", code, strings.Join(byCode[code], " "))
		}
	}
	if err := os.WriteFile(accessFile, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAccess makes every call of the API as every kind of caller, and holds the
// answers to those that are written down. A new route must be in the file.
func TestAccess(t *testing.T) {
	s := newStage(t)
	want := readAccess(t)
	var rows []accessRow
	s.open()
	defer func() { s.end() }()
	for _, rt := range routes {
		row, there := want[rt.method+" "+rt.path]
		if !there {
			row = accessRow{method: rt.method, path: rt.path}
			if !*update {
				t.Errorf("%s %s is not in %s", rt.method, rt.path, accessFile)
				continue
			}
		}
		delete(want, row.key())
		path, body := s.fill(row.key(), row.path), s.fill(row.key(), row.body)
		if row.query != "" {
			path += "?" + s.fill(row.key(), row.query)
		}
		got := map[string]int{}
		for _, x := range s.who {
			set := s.settings
			if x.change != nil {
				x.change(&set)
			}
			s.svc.Configure(set)
			status, answer := s.ask(row.method, path, x.header, body)
			got[x.name] = status
			if status >= 500 && status != http.StatusServiceUnavailable {
				t.Errorf("%s as %s: %d %s", row.key(), x.name, status, answer)
			}
			if !*update && status != row.answers[x.name] {
				t.Errorf("%s as %s (%s): %d, and %s says %d: %.300s", row.key(), x.name, x.doc, status, accessFile, row.answers[x.name], answer)
			}
			// It may have changed something; where passwords are tried, also a refusal.
			if rt.method != http.MethodGet && (!slices.Contains([]int{401, 403, 404, 503}, status) || strings.HasPrefix(row.path, "signin")) {
				s.end()
				s.open()
			}
		}
		row.answers = got
		rows = append(rows, row)
	}
	for key := range want {
		if !*update {
			t.Errorf("%s has %s, which is no route", accessFile, key)
		}
	}
	if *update {
		slices.SortStableFunc(rows, func(a, b accessRow) int { return strings.Compare(a.path, b.path) })
		writeAccess(t, s.who, rows)
	}
}
