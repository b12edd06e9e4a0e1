package registry_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/registry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// The two namesakes: one is a private repository full of things, the other is
// not there. Nobody without access may tell them apart. Their names are
// equally long, so that whole answers can be compared.
const (
	hidden = "acme/secret"
	absent = "acme/nought"
)

// A world is a server with the product's own content and accounts.
type world struct {
	*env
	auth   *auth.Service
	tokens map[string]func(scopes ...string) string // bearer tokens by who asks
}

// newWorld makes everybody who has no business in acme/secret.
func newWorld(t *testing.T, dialect string) *world {
	t.Helper()
	w := &world{}
	var keys *auth.Keys
	e := realOn(dialect)(t, func(o *registry.Options) {
		var err error
		if keys, err = auth.NewKeys(auth.KeyOptions{SecretKey: strings.Repeat("0123456789abcdef", 4), DatabaseSecretKey: strings.Repeat("fedcba9876543210", 4)}); err != nil {
			t.Fatal(err)
		}
		w.auth, err = auth.New(context.WithoutCancel(t.Context()), auth.Options{Store: o.Store, Keys: keys, BcryptCost: 4, Settings: auth.Settings{
			AnonymousAccess: true, SuperUsers: true, Superusers: []string{"boss"}, AppSpecificTokens: true, Names: gantry.NameRules{Nested: true}}})
		if err != nil {
			t.Fatal(err)
		}
		o.Auth, o.Pages = w.auth, keys.Pages()
	})
	w.env = e
	ctx := t.Context()
	user := func(name string) {
		t.Helper()
		hash, err := w.auth.HashPassword(ctx, name+"-password")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.db.CreateUser(ctx, store.NewAccount{Name: name, Email: name + "@example.com", PasswordHash: hash, Verified: true}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"owner", "stranger", "boss", "neighbour"} {
		user(name)
	}
	acme := storetest.Get(t, e.db, `SELECT id FROM accounts WHERE name = 'acme'`)
	repo := storetest.RepoIn(t, e.db, gantry.AccountID(acme))
	storetest.Exec(t, e.db, `UPDATE repositories SET name = 'secret' WHERE id = ?`, int64(repo))
	own := storetest.RepoIn(t, e.db, gantry.AccountID(storetest.Get(t, e.db, `SELECT id FROM accounts WHERE name = 'stranger'`)))
	storetest.Exec(t, e.db, `UPDATE repositories SET name = 'own' WHERE id = ?`, int64(own))
	for name, at := range map[string]gantry.RepoID{"owner": repo, "neighbour": e.content.id(app)} {
		storetest.Exec(t, e.db, `INSERT INTO permissions (repo_id, account_id, role) VALUES (?, ?, ?)`, int64(at),
			storetest.Get(t, e.db, `SELECT id FROM accounts WHERE name = ?`, name), int(gantry.Admin))
	}
	uuid := auth.NewUUID()
	robot, sealed, err := w.auth.NewRobotToken(uuid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.db.CreateRobot(ctx, gantry.AccountID(storetest.Get(t, e.db, `SELECT id FROM accounts WHERE name = 'stranger'`)),
		store.NewAccount{Name: "stranger+ci", UUID: uuid, Secret: sealed}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	basic := func(user, password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	ask := func(headers ...string) func(scopes ...string) string {
		return func(scopes ...string) string {
			t.Helper()
			a := e.do("", "GET", "/v2/auth?"+url.Values{"scope": scopes}.Encode(), nil, headers...).is(200)
			var doc struct{ Token string }
			if err := json.Unmarshal(a.body, &doc); err != nil || doc.Token == "" {
				t.Fatalf("token %s: %v", a.body, err)
			}
			return doc.Token
		}
	}
	w.tokens = map[string]func(...string) string{
		"owner":     ask(basic("owner", "owner-password")),
		"robot":     ask(basic("stranger+ci", robot)),
		"anonymous": ask(),
		"stranger":  ask(basic("stranger", "stranger-password")),
		"superuser": ask(basic("boss", "boss-password")), // without full access
		"no token":  func(...string) string { return "" },
		"neighbour": ask(basic("neighbour", "neighbour-password")), // admin of another repository of acme
		"nobody":    func(...string) string { return "not.a.token" },
		"on behalf": func(...string) string { return ask(basic("stranger", "stranger-password"))() }, // a token without scopes
	}
	return w
}

// everyRoute is a request for each action of the protocol; %s is the
// repository. Those with {…} name what acme/secret really holds.
var everyRoute = []struct{ method, path, body string }{
	{"GET", "/v2/", ""}, {"HEAD", "/v2/", ""},
	{"GET", "/v2/_catalog", ""}, {"HEAD", "/v2/_catalog", ""}, {"GET", "/v2/_catalog?n=1", ""},
	{"GET", "/v2/auth?scope=repository:%s:pull,push,*", ""}, {"HEAD", "/v2/auth?scope=repository:%s:pull", ""}, {"POST", "/v2/auth", "grant_type=password&username=stranger&password=stranger-password&scope=repository:%s:pull,push"},
	{"GET", "/v2/%s/tags/list", ""}, {"HEAD", "/v2/%s/tags/list", ""}, {"GET", "/v2/%s/tags/list?n=1&last=a", ""},
	{"GET", "/v2/%s/manifests/latest", ""}, {"HEAD", "/v2/%s/manifests/latest", ""}, {"GET", "/v2/%s/manifests/{manifest}", ""}, {"HEAD", "/v2/%s/manifests/{manifest}", ""},
	{"GET", "/v2/%s/manifests/gone", ""}, {"HEAD", "/v2/%s/manifests/gone", ""},
	{"PUT", "/v2/%s/manifests/latest", "{}"}, {"PUT", "/v2/%s/manifests/{manifest}?tag=x", "{}"},
	{"DELETE", "/v2/%s/manifests/latest", ""}, {"DELETE", "/v2/%s/manifests/{manifest}", ""},
	{"GET", "/v2/%s/blobs/{blob}", ""}, {"HEAD", "/v2/%s/blobs/{blob}", ""}, {"DELETE", "/v2/%s/blobs/{blob}", ""},
	{"GET", "/v2/%s/referrers/{manifest}", ""}, {"HEAD", "/v2/%s/referrers/{manifest}", ""}, {"GET", "/v2/%s/referrers/{manifest}?artifactType=a/b&n=1", ""},
	{"POST", "/v2/%s/blobs/uploads/", ""}, {"POST", "/v2/%s/blobs/uploads/?digest={blob}", "blob"}, {"POST", "/v2/%s/blobs/uploads/?mount={blob}&from=stranger/own", ""},
	{"GET", "/v2/%s/blobs/uploads/{upload}", ""}, {"HEAD", "/v2/%s/blobs/uploads/{upload}", ""}, {"PATCH", "/v2/%s/blobs/uploads/{upload}", "x"},
	{"PUT", "/v2/%s/blobs/uploads/{upload}?digest={blob}", ""}, {"DELETE", "/v2/%s/blobs/uploads/{upload}", ""},
	{"POST", "/v2/stranger/own/blobs/uploads/?mount={blob}&from=%s", ""}, // out of it
}

// One user can never read, mount, list, count or guess another's private
// content: every route, for everybody without access, answers for what is
// there as for what is not, header by header and byte by byte.
func TestIsolation(t *testing.T) {
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) { testIsolation(t, dialect) })
	}
}

func testIsolation(t *testing.T, dialect string) {
	w := newWorld(t, dialect)
	w.env.auth = nil
	owner := w.tokens["owner"]("repository:" + hidden + ":pull,push,*")
	body := []byte("blob")
	blob := gantry.FromBytes(body)
	w.do(owner, "POST", "/v2/"+hidden+"/blobs/uploads/?digest="+string(blob), body).is(201)
	image := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/x","digest":%q,"size":4},"layers":[]}`, typeImage, blob)
	manifest := gantry.FromBytes([]byte(image))
	for _, tag := range []string{"latest", "gone", "b"} {
		w.do(owner, "PUT", "/v2/"+hidden+"/manifests/"+tag, image, "Content-Type: "+typeImage).is(201)
	}
	w.do(owner, "DELETE", "/v2/"+hidden+"/manifests/gone", nil).is(202)
	signature := strings.Replace(image, `"layers":[]`, fmt.Sprintf(`"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":1}`, typeImage, manifest), 1)
	w.do(owner, "PUT", "/v2/"+hidden+"/manifests/sig", signature, "Content-Type: "+typeImage).is(201)
	up := w.do(owner, "POST", "/v2/"+hidden+"/blobs/uploads/", nil).is(202)
	fill := strings.NewReplacer("{blob}", string(blob), "{manifest}", string(manifest), "{upload}", up.header.Get("Docker-Upload-Uuid"))

	answers := func(token, method, path, body, repo string) (string, int) {
		var headers []string
		if body != "" && strings.HasPrefix(path, "/v2/auth") {
			headers = []string{"Content-Type: application/x-www-form-urlencoded"}
		}
		put := func(s string) string { return fill.Replace(strings.Replace(s, "%s", repo, 1)) }
		var b any
		if body != "" {
			b = put(body)
		}
		a := w.do(token, method, put(path), b, headers...)
		h := a.header.Clone()
		for _, k := range []string{"X-Request-Id", "Date"} {
			h.Del(k)
		}
		text := fmt.Sprint(a.status, h, string(a.body))
		if id := a.header.Get("Docker-Upload-Uuid"); id != "" {
			text = strings.ReplaceAll(text, id, "UUID")
		}
		if before, after, ok := strings.Cut(text, "next_page="); ok { // sealed, with a nonce
			_, after, _ = strings.Cut(after, ">")
			text = before + "next_page=TOKEN>" + after
		}
		if strings.HasPrefix(path, "/v2/auth") { // signatures and times differ; what is granted must not
			var doc struct{ Token string }
			if json.Unmarshal(a.body, &doc) == nil && doc.Token != "" {
				claims, err := base64.RawURLEncoding.DecodeString(strings.Split(doc.Token, ".")[1])
				if err != nil {
					t.Fatal(err)
				}
				var c map[string]any
				if err := json.Unmarshal(claims, &c); err != nil {
					t.Fatal(err)
				}
				delete(c, "iat")
				delete(c, "nbf")
				delete(c, "exp")
				text = fmt.Sprint(a.status, c)
			} else if a.status == 200 { // HEAD: the length has the token's
				text = fmt.Sprint(a.status)
			}
		}
		return strings.ReplaceAll(text, repo, "REPO"), a.status
	}
	asked := map[string]bool{}
	for _, r := range everyRoute {
		for who, ask := range w.tokens {
			if who == "owner" {
				continue
			}
			scopes := func(repo string) []string {
				return []string{"repository:" + repo + ":pull,push,*", "repository:stranger/own:pull,push", "registry:catalog:*"}
			}
			if who == "robot" && strings.Contains(r.path, "stranger/own") {
				continue // may not push there either
			}
			private, status := answers(ask(scopes(hidden)...), r.method, r.path, r.body, hidden)
			missing, _ := answers(ask(scopes(absent)...), r.method, r.path, r.body, absent)
			if strings.Contains(r.path, "_catalog") && who == "superuser" {
				continue // who sees all repositories
			}
			if private != missing {
				t.Errorf("%s: %s %s:\nprivate %s\nmissing %s", who, r.method, r.path, private, missing)
			}
			if strings.Contains(r.path, "/v2/%s/") && status != 401 {
				t.Errorf("%s: %s %s: status %d, want 401: %s", who, r.method, r.path, status, private)
			}
			if strings.Contains(r.path, "from=%s") && status != 202 && status != 401 {
				t.Errorf("%s: mounted: %s", who, private)
			}
			if strings.Contains(private, "secret") {
				t.Errorf("%s: %s %s names it: %s", who, r.method, r.path, private)
			}
		}
		path, _, _ := strings.Cut(strings.NewReplacer("%s", "a/b", "{", "", "}", "").Replace(r.path), "?")
		asked[r.method+" "+registry.KindOf(path)] = true
	}
	for _, action := range registry.Actions() {
		if !asked[action] {
			t.Errorf("no request for %s: the table is not whole", action)
		}
	}
	// Without "from", a blob is mounted only from where the caller may read.
	token := w.tokens["stranger"]("repository:stranger/own:pull,push", "repository:"+hidden+":pull")
	for _, d := range []string{string(blob), string(gantry.FromBytes([]byte("nowhere")))} {
		w.do(token, "POST", "/v2/stranger/own/blobs/uploads/?mount="+d, nil).is(202)
	}
	// A blob that is only elsewhere is as unknown as one that is nowhere, in
	// every place where a digest can be named.
	known := strings.NewReplacer(string(blob), "DIGEST", string(gantry.FromBytes([]byte("nope"))), "DIGEST")
	for _, what := range []struct{ method, path, body string }{
		{"GET", "/v2/stranger/own/blobs/%s", ""}, {"HEAD", "/v2/stranger/own/blobs/%s", ""}, {"DELETE", "/v2/stranger/own/blobs/%s", ""},
		{"GET", "/v2/stranger/own/referrers/%s", ""}, {"GET", "/v2/stranger/own/manifests/%s", ""}, {"DELETE", "/v2/stranger/own/manifests/%s", ""},
		{"PUT", "/v2/stranger/own/manifests/x", image},
	} {
		var got []string
		for _, d := range []string{string(blob), string(gantry.FromBytes([]byte("nope")))} {
			var b any
			if what.body != "" {
				b = strings.ReplaceAll(what.body, string(blob), d)
			}
			a := w.do(token, what.method, strings.Replace(what.path, "%s", d, 1), b, "Content-Type: "+typeImage)
			a.header.Del("X-Request-Id")
			a.header.Del("Date")
			got = append(got, known.Replace(fmt.Sprint(a.status, a.header, string(a.body))))
		}
		if slices.Sort(got); got[0] != got[1] {
			t.Errorf("%s %s: %q", what.method, what.path, got)
		}
	}
	// Taking a right away works at once for new tokens, and a token for a
	// repository does not open what is made anew under its name.
	old, err := w.db.Repository(t.Context(), repoName(hidden))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.DeleteRepository(t.Context(), old, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.CreateRepository(t.Context(), store.NewRepository{Name: repoName(hidden)}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(5 * time.Second)
	for w.do(owner, "GET", "/v2/"+hidden+"/tags/list", nil).status != 401 { // what was kept holds for a second
		if time.Now().After(later) {
			t.Fatal("an old token opens a new repository")
		}
	}
}
