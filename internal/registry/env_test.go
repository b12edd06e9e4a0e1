package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/registry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// tokens is a registry.Auth whose tokens are names of who holds them.
type tokens struct {
	mu     sync.Mutex
	grants map[string]*auth.Grants
	last   auth.TokenRequest
	err    error
}

func (a *tokens) Verify(_ context.Context, token, _ string) (*auth.Grants, error) {
	if g := a.grants[token]; g != nil {
		return g, nil
	}
	return nil, &gantry.Error{Code: gantry.Unauthenticated, Detail: "the token is not valid"}
}

func (a *tokens) Token(_ context.Context, r auth.TokenRequest) (auth.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = r
	return auth.Token{Token: "issued", ExpiresIn: time.Hour, IssuedAt: time.Unix(1e9, 0), Scopes: []string{"repository:a/b:pull"}}, a.err
}

// asked is the last request for a token.
func (a *tokens) asked() auth.TokenRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// The repositories of every test.
const (
	app      = "acme/app"    // private
	public   = "acme/public" // public
	nested   = "acme/a/blobs/uploads/manifests"
	secret   = "other/secret"   // private, of others
	frozen   = "acme/frozen"    // READ_ONLY
	mirrored = "acme/mirrored"  // MIRROR
	disabled = "disabled/app"   // its namespace is disabled
	missing  = "acme/not-there" // is not there
)

// An env is a whole server.
type env struct {
	t       testing.TB
	reg     *registry.Server
	content backend
	mem     *memory // content, if it is one
	auth    *tokens
	db      *store.DB
	metrics *telemetry.Metrics
	url     string
	client  *http.Client
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func repoName(s string) gantry.RepoName {
	ns, name, _ := strings.Cut(s, "/")
	return gantry.RepoName{Namespace: ns, Name: name}
}

// A backend is the Content of a test, with what only tests do to it.
type backend interface {
	registry.Content
	id(repo string) gantry.RepoID // 99 if there is none
	freeze(repo, tag string)      // makes a tag immutable
}

// A maker makes an env.
type maker func(t testing.TB, change ...func(*registry.Options)) *env

// contents are the Contents that the protocol is tested with.
var contents = map[string]maker{
	"memory":   newEnv,
	"sqlite":   realOn(storetest.SQLite),
	"postgres": realOn(storetest.Postgres),
	"mariadb":  realOn(storetest.MariaDB),
}

// identities are the tokens, beside "" for none.
func identities(id func(repo string) gantry.RepoID) map[string]*auth.Grants {
	user := func(account gantry.AccountID, name, kind string, role gantry.Role) *auth.Grants {
		a := gantry.Actor{Account: account, Name: name, Kind: kind}
		if role == gantry.NoRole {
			return auth.NewGrants(a)
		}
		return auth.NewGrants(a,
			auth.Grant{Repo: repoName(app), ID: id(app), Role: role}, auth.Grant{Repo: repoName(public), ID: id(public), Role: role},
			auth.Grant{Repo: repoName(nested), ID: id(nested), Role: role}, auth.Grant{Repo: repoName(frozen), ID: id(frozen), Role: role},
			auth.Grant{Repo: repoName(mirrored), ID: id(mirrored), Role: role}, auth.Grant{Repo: repoName(disabled), ID: id(disabled), Role: role},
			auth.Grant{Repo: repoName("acme/gone"), ID: id("acme/gone"), Role: role}, auth.Grant{Repo: repoName("acme/renamed"), ID: id(app), Role: role})
	}
	g := map[string]*auth.Grants{
		"anonymous": user(0, "", gantry.ActorAnonymous, gantry.NoRole),
		"stranger":  user(10, "stranger", gantry.ActorUser, gantry.NoRole),
		"reader":    user(11, "reader", gantry.ActorUser, gantry.Read),
		"writer":    user(12, "writer", gantry.ActorUser, gantry.Write),
		"admin":     user(13, "admin", gantry.ActorUser, gantry.Admin),
		"robot":     user(14, "acme+bot", gantry.ActorRobot, gantry.Write),
		"foreign":   auth.NewGrants(gantry.Actor{Account: 15, Name: "other+bot", Kind: gantry.ActorRobot}, auth.Grant{Repo: repoName(secret), ID: id(secret), Role: gantry.Write}),
		"super":     user(16, "super", gantry.ActorUser, gantry.NoRole),
		"full":      user(17, "full", gantry.ActorUser, gantry.NoRole),
		"auditor":   user(18, "auditor", gantry.ActorUser, gantry.NoRole),
	}
	g["anonymous"].Anonymous = true
	g["super"].Superuser = true
	g["full"].Superuser, g["full"].FullAccess = true, true
	g["auditor"].ReadOnlySuperuser = true
	return g
}

// newEnv makes an env in memory.
func newEnv(t testing.TB, change ...func(*registry.Options)) *env {
	t.Helper()
	m := newMemory(t)
	m.add(1, app, gantry.Private)
	m.add(2, public, gantry.Public)
	m.add(3, nested, gantry.Private)
	m.add(4, secret, gantry.Private)
	m.add(5, frozen, gantry.Private).State = gantry.ReadOnlyState
	m.add(6, mirrored, gantry.Private).State = gantry.Mirror
	m.add(7, disabled, gantry.Public).NamespaceEnabled = false
	e := newEnvOn(t, storetest.Open(t, storetest.SQLite, store.Options{}), m, change...)
	e.mem = m
	return e
}

// newEnvOn makes an env with a Content that holds the repositories of every
// test.
func newEnvOn(t testing.TB, db *store.DB, content backend, change ...func(*registry.Options)) *env {
	t.Helper()
	e := &env{t: t, content: content, db: db, auth: &tokens{grants: identities(content.id)}, metrics: telemetry.NewMetrics(telemetry.MetricsOptions{}), log: &lockedBuffer{}}
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: strings.Repeat("0123456789abcdef", 4), DatabaseSecretKey: strings.Repeat("fedcba9876543210", 4)})
	if err != nil {
		t.Fatal(err)
	}
	o := registry.Options{
		Content: content, Auth: e.auth, Pages: keys.Pages(), Store: e.db, Metrics: e.metrics,
		Logger: slog.New(slog.NewTextHandler(e.log, nil)),
	}
	o.Names = gantry.NameRules{Nested: true, Library: "library"}
	for _, f := range change {
		f(&o)
	}
	if e.reg, err = registry.New(o); err != nil {
		t.Fatal(err)
	}
	h := httpd.Middleware(httpd.MiddlewareOptions{Logger: o.Logger, Metrics: e.metrics, Panicked: registry.Panicked}, e.reg)
	srv, err := httpd.New(httpd.Options{Handler: h, Logger: o.Logger})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := srv.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	e.url = "http://" + addr.String()
	tr := &http.Transport{DisableCompression: true}
	e.client = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
	})
	return e
}

// An answer is a whole HTTP answer.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// do sends a request as who. headers are "Name: value". target is a path, or
// an absolute URL.
func (e *env) do(who, method, target string, body any, headers ...string) *answer {
	e.t.Helper()
	if !strings.HasPrefix(target, "http") {
		target = e.url + target
	}
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	}
	req, err := http.NewRequestWithContext(e.t.Context(), method, target, r)
	if err != nil {
		e.t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		if k == "Content-Length" {
			_, _ = fmt.Sscan(v, &req.ContentLength)
			continue
		}
		req.Header.Add(k, v)
	}
	res, err := e.client.Do(req)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatalf("%s %s: read answer: %v", method, target, err)
	}
	return &answer{e.t, who + " " + method + " " + target, res.StatusCode, res.Header, b}
}

// is checks the status.
func (a *answer) is(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d; body %.300s", a.what, a.status, status, a.body)
	}
	return a
}

// has checks headers, given as "Name: value"; "Name:" wants it absent.
func (a *answer) has(headers ...string) *answer {
	a.t.Helper()
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ":")
		v = strings.TrimSpace(v)
		if got := strings.Join(a.header.Values(k), " | "); got != v {
			a.t.Errorf("%s: header %s is %q, want %q", a.what, k, got, v)
		}
	}
	return a
}

type errorDoc struct {
	Errors []struct {
		Code     string         `json:"code"`
		Message  string         `json:"message"`
		Detail   map[string]any `json:"detail"`
		ReadOnly bool           `json:"is_readonly"`
	} `json:"errors"`
}

// fails checks an error's status and code.
func (a *answer) fails(status int, code string) errorDoc {
	a.t.Helper()
	a.is(status)
	var doc errorDoc
	if strings.Contains(a.what, " HEAD ") {
		return doc
	}
	a.has("Content-Type: application/json")
	if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Errors) != 1 || doc.Errors[0].Code != code {
		a.t.Fatalf("%s: error document %s (%v), want code %s", a.what, a.body, err, code)
	}
	if doc.Errors[0].Message == "" || doc.Errors[0].Detail == nil {
		a.t.Errorf("%s: message or detail missing in %s", a.what, a.body)
	}
	return doc
}

// pushBlob uploads b in one request and returns its digest.
func (e *env) pushBlob(repo string, b []byte) gantry.Digest {
	e.t.Helper()
	d := gantry.FromBytes(b)
	e.do("admin", "POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(d), b).is(201)
	return d
}

const (
	typeImage  = "application/vnd.oci.image.manifest.v1+json"
	typeIndex  = "application/vnd.oci.image.index.v1+json"
	typeDocker = "application/vnd.docker.distribution.manifest.v2+json"
)

// image makes an image manifest; extra is JSON that follows, such as a subject.
func (e *env) image(repo, content, extra string) (string, gantry.Digest) {
	e.t.Helper()
	config := []byte(`{"content":"` + content + `"}`)
	layer := []byte("layer of " + content)
	c, l := e.pushBlob(repo, config), e.pushBlob(repo, layer)
	m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]%s}`,
		typeImage, c, len(config), l, len(layer), extra)
	return m, gantry.FromBytes([]byte(m))
}

// pushImage pushes an image under a tag and returns its body and digest.
func (e *env) pushImage(repo, tag string) (string, gantry.Digest) {
	e.t.Helper()
	m, d := e.image(repo, tag, "")
	e.do("admin", "PUT", "/v2/"+repo+"/manifests/"+tag, m, "Content-Type: "+typeImage).is(201)
	return m, d
}
