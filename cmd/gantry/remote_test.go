package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/app"
)

const testPassword = "correct-horse-9"

// A registry is a server in this process with the superuser ada, and a home
// to sign in from.
type registry struct {
	t    *testing.T
	base string
	home string
	data string
	env  []string // beside the home
}

func serveRegistry(t *testing.T, config string) *registry {
	t.Helper()
	r := serveFolder(t, "SUPER_USERS: [ada]\nFEATURE_USER_INITIALIZE: true\n"+config, filepath.Join(t.TempDir(), "data"))
	r.post("", "user/initialize", map[string]any{"username": "ada", "password": testPassword, "email": "ada@example.com"})
	return r
}

// serveFolder is a server on a data folder that may be there already.
func serveFolder(t *testing.T, config, data string) *registry {
	t.Helper()
	dir := t.TempDir()
	config = "SERVER_HOSTNAME: localhost\n" + config
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := app.Start(t.Context(), app.Options{Config: dir, Data: data, Listen: "127.0.0.1:0", Metrics: app.Off, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return &registry{t: t, base: "http://" + s.Addr().String(), home: t.TempDir(), data: data}
}

// run runs the program as somebody with the registry's home.
func (r *registry) run(stdin string, args ...string) result {
	r.t.Helper()
	var out, stderr bytes.Buffer
	code := execute(args, strings.NewReader(stdin), &out, &stderr, append([]string{"XDG_CONFIG_HOME=" + r.home}, r.env...))
	for _, secret := range []string{testPassword, "session="} {
		if strings.Contains(out.String()+stderr.String(), secret) {
			r.t.Errorf("gantry %s tells a secret:\n%s%s", strings.Join(args, " "), &out, &stderr)
		}
	}
	return result{code, out.String(), stderr.String()}
}

// must runs the program, which goes well.
func (r *registry) must(args ...string) string {
	r.t.Helper()
	got := r.run("", args...)
	if got.code != 0 {
		r.t.Fatalf("gantry %s: %d\n%s%s", strings.Join(args, " "), got.code, got.out, got.err)
	}
	return got.out
}

func (r *registry) signIn() {
	r.t.Helper()
	if got := r.run(testPassword+"\n", "login", r.base, "--username", "ada", "--password-stdin"); got.code != 0 || !strings.Contains(got.out, "as ada") {
		r.t.Fatalf("login: %+v", got)
	}
}

func (r *registry) post(token, path string, body any) {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", r.base+"/api/v1/"+path, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		r.t.Fatalf("%s: %d %s %v", path, res.StatusCode, text, err)
	}
	if err := res.Body.Close(); err != nil {
		r.t.Error(err)
	}
}

// token makes an OAuth token of a user on the data folder.
func (r *registry) token(user string, args ...string) string {
	r.t.Helper()
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(r.must(append([]string{"user", "token", user, "--data", r.data, "-o", "json"}, args...)...)), &made); err != nil {
		r.t.Fatal(err)
	}
	return made.Token
}

// pushImage pushes an image of its own and returns its digest.
func (r *registry) pushImage(repo, tag string) string {
	r.t.Helper()
	send := func(method, path, kind, body string, header ...string) *http.Response {
		req, err := http.NewRequestWithContext(r.t.Context(), method, r.base+path, strings.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if len(header) == 0 {
			req.SetBasicAuth("ada", testPassword)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			r.t.Fatal(err)
		}
		return res
	}
	res := send("GET", "/v2/auth?service=localhost&scope=repository:"+repo+":pull,push", "", "")
	var auth struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&auth); err != nil {
		r.t.Fatal(err)
	}
	_ = res.Body.Close()
	bearer := "Bearer " + auth.Token
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z","author":%q}`, tag)
	digest := "sha256:" + sha256Hex(config)
	res = send("POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest, "application/octet-stream", config, "Authorization", bearer)
	_ = res.Body.Close()
	if res.StatusCode != 201 {
		r.t.Fatalf("push of a blob: %d", res.StatusCode)
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, digest, len(config))
	res = send("PUT", "/v2/"+repo+"/manifests/"+tag, "application/vnd.oci.image.manifest.v1+json", manifest, "Authorization", bearer)
	_ = res.Body.Close()
	if res.StatusCode != 201 {
		r.t.Fatalf("push of a manifest: %d", res.StatusCode)
	}
	return res.Header.Get("Docker-Content-Digest")
}

// TestRemote goes through the acts on a server.
func TestRemote(t *testing.T) {
	r := serveRegistry(t, "FEATURE_QUOTA_MANAGEMENT: true\nFEATURE_EDIT_QUOTA: true\nFEATURE_IMMUTABLE_TAGS: true\nPERMANENTLY_DELETE_TAGS: true\nFEATURE_SUPERUSERS_FULL_ACCESS: true\n")
	r.signIn()
	has := func(out string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
	}
	r.must("user", "create", "bob", "--password-file", r.file(testPassword), "--data", r.data)

	has(r.must("org", "create", "acme", "--email", "acme@example.com"), "acme created")
	has(r.must("org", "list"), "acme")
	has(r.must("org", "list", "-o", "name"), "acme\n")
	has(r.must("org", "list", "--registry", "-o", "yaml"), "- ", "name: acme")
	has(r.must("org", "show", "acme"), "acme@example.com", "owners", "stored")

	has(r.must("team", "set", "acme", "developers", "--role", "creator", "--description", "who builds"), "created", "creator")
	has(r.must("team", "set", "acme", "developers", "--description", "another"), "changed: creator")
	has(r.must("team", "add", "acme", "developers", "bob", "ada"), "bob is in the team", "ada is in the team")
	has(r.must("team", "members", "acme", "developers"), "bob", "user")
	has(r.must("team", "list", "acme"), "developers", "another")
	has(r.must("team", "remove", "acme", "developers", "ada"), "out of the team")
	if got := r.run("", "team", "remove", "acme", "developers", "bob", "nobody"); got.code != 1 || !strings.Contains(got.err, "nobody, after bob") {
		t.Errorf("%+v", got)
	}

	var robot struct{ Name, Token string }
	if err := json.Unmarshal([]byte(r.must("robot", "create", "acme+ci", "--description", "builds", "-o", "json")), &robot); err != nil || robot.Token == "" {
		t.Fatalf("%+v, %v", robot, err)
	}
	has(r.must("robot", "token", "acme+ci"), robot.Token)
	if out := r.must("robot", "regenerate", "acme+ci"); strings.Contains(out, robot.Token) {
		t.Errorf("the token is the same:\n%s", out)
	}
	has(r.must("robot", "list", "acme"), "acme+ci", "builds")
	has(r.must("robot", "create", "ada+own"), "ada+own")
	has(r.must("robot", "list", "ada", "-o", "name"), "ada+own\n")

	has(r.must("repo", "create", "acme/web/app", "--description", "for \x1b[31mcustomers"), "created")
	has(r.must("repo", "visibility", "acme/web/app", "public"), "has its visibility")
	has(r.must("repo", "describe", "acme/web/app", "for \x1b[31mcustomers"), "another description")
	if out := r.must("repo", "list", "acme"); !strings.Contains(out, "acme/web/app") || strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
	has(r.must("repo", "show", "acme/web/app"), "public", "NORMAL", "administer")
	has(r.must("repo", "permission", "set", "acme/web/app", "acme+ci", "write"), "write")
	has(r.must("repo", "permission", "set", "acme/web/app", "developers", "read", "--team"), "read")
	has(r.must("repo", "permission", "list", "acme/web/app"), "robot", "team", "developers")
	has(r.must("robot", "show", "acme+ci"), "web/app", "write")
	has(r.must("repo", "permission", "remove", "acme/web/app", "developers", "--team"), "no role")

	has(r.must("prototype", "add", "acme", "read", "--team", "developers", "--by", "bob"), "developers", "bob")
	id := strings.TrimSpace(r.must("prototype", "list", "acme", "-o", "name"))
	has(r.must("prototype", "set", "acme", id, "write"), "write")
	has(r.must("prototype", "delete", "acme", id, "--yes"), "deleted")
	if got := r.run("", "prototype", "add", "acme", "read"); got.code != 1 || !strings.Contains(got.err, "--team") {
		t.Errorf("%+v", got)
	}

	one, two := r.pushImage("acme/web/app", "one"), r.pushImage("acme/web/app", "two")
	has(r.must("tag", "list", "acme/web/app"), one, two)
	has(r.must("tag", "list", "acme/web/app", "--filter", "TW", "-o", "name"), "two\n")
	has(r.must("tag", "move", "acme/web/app", "stable", "one"), one)
	has(r.must("tag", "move", "acme/web/app", "stable", two), two)
	has(r.must("tag", "history", "acme/web/app", "stable"), one, two)
	has(r.must("tag", "restore", "acme/web/app", "stable", one), "restored")
	has(r.must("tag", "expire", "acme/web/app", "stable", "30d"), "ends at")
	if out := r.must("tag", "list", "acme/web/app", "--filter", "stable"); !strings.Contains(out, one) || !strings.Contains(out, time.Now().UTC().AddDate(0, 0, 30).Format("2006-01")) {
		t.Error(out)
	}
	has(r.must("tag", "expire", "acme/web/app", "stable", "never"), "does not end")
	has(r.must("tag", "immutable", "acme/web/app", "stable"), "is immutable")
	if got := r.run("", "tag", "delete", "acme/web/app", "stable", "--yes"); got.code != 1 || !strings.Contains(got.err, "immutable") {
		t.Errorf("%+v", got)
	}
	has(r.must("tag", "immutable", "acme/web/app", "stable", "--off"), "can be changed")
	has(r.must("tag", "delete", "acme/web/app", "stable", "--yes"), "deleted")
	has(r.must("tag", "delete", "acme/web/app", "two", "--yes", "--for-good"), "for good")
	if got := r.run("", "tag", "move", "acme/web/app", "x", "none"); got.code != 1 || !strings.Contains(got.err, "there is no tag") {
		t.Errorf("%+v", got)
	}

	has(r.must("quota", "show", "acme"), "none")
	has(r.must("quota", "set", "acme", "1 GiB"), "acme may store")
	has(r.must("quota", "set", "acme", "2GiB"), "acme may store")
	has(r.must("quota", "limit", "add", "acme", "Reject", "100"), "limit")
	id = strings.TrimSpace(r.must("quota", "limit", "list", "acme", "-o", "name"))
	has(r.must("quota", "limit", "set", "acme", id, "Warning", "90"), "changed")
	has(r.must("quota", "show", "acme"), "2 GiB", "2147483648", "Warning", "90 %")
	has(r.must("quota", "limit", "delete", "acme", id, "--yes"), "no more")
	has(r.must("quota", "delete", "acme", "--yes"), "any more")
	has(r.must("quota", "set", "bob", "1GB"), "bob may store")

	has(r.must("log", "list", "--org", "acme"), "org_delete_quota", "ada")
	if out := r.must("log", "list", "--org", "acme", "--all", "--kind", "create_repo", "-o", "json"); !strings.Contains(out, `"create_repo"`) || strings.Contains(out, `"push_repo"`) {
		t.Error(out)
	}
	has(r.must("log", "list", "--repo", "acme/web/app", "--performer", "ada"), "push_repo")
	has(r.must("log", "list", "--registry"), "KIND")
	has(r.must("log", "aggregate", "--org", "acme"), "create_repo", "1")

	has(r.must("repo", "state", "acme/web/app", "READ_ONLY"), "state")
	has(r.must("repo", "delete", "acme/web/app", "--yes"), "deleted")
	has(r.must("robot", "delete", "acme+ci", "--yes"), "deleted")
	has(r.must("team", "delete", "acme", "developers", "--yes"), "deleted")
	has(r.must("org", "delete", "acme", "--yes"), "deleted")
	if out := r.must("org", "list", "-o", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("organizations are left: %s", out)
	}
}

func (r *registry) file(text string) string {
	name := filepath.Join(r.t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return name
}

// TestRemoteErrors holds what somebody reads, and a script gets as exit code,
// who may not, does not ask well, or is not signed in.
func TestRemoteErrors(t *testing.T) {
	r := serveRegistry(t, "")
	short := r.token("ada", "--expires", "1s")
	reads := r.token("ada", "--scope", "repo:read")
	for _, tt := range []struct {
		env  []string
		args []string
		code int
		want string
	}{
		{nil, []string{"org", "list"}, 1, "no server is named"},
		{nil, []string{"org", "list", "--server", r.base}, exitSignIn, "gantry login --server " + r.base},
		{nil, []string{"org", "list", "--server", "ftp://x"}, 1, "is not like https://"},
		{nil, []string{"org", "list", "--server", "https://ada:secret@x"}, 1, "holds a name or password"},
		{nil, []string{"org", "list", "--server", "http://127.0.0.1:1"}, exitUnavailable, "cannot reach the server"},
		{nil, []string{"org", "delete", "acme", "--server", r.base}, 1, "say --yes"},
		{nil, []string{"robot", "list", "acme", "--server", r.base, "--data", r.data}, 1, "say one of them"},
		{nil, []string{"login", r.base}, 1, "there is no terminal"},
		{nil, []string{"login", r.base, "--password-stdin"}, 1, "needs --username"},
		{nil, []string{"login", r.base, "--token-stdin", "--username", "ada"}, 2, "none of the others can be"},
		{nil, []string{"logout"}, 1, "nobody is signed in"},
		{[]string{"GANTRY_TOKEN=wrong"}, []string{"org", "list"}, 1, "set GANTRY_SERVER, too"},
		{[]string{"GANTRY_TOKEN=wrong", "GANTRY_SERVER=" + r.base}, []string{"org", "list"}, exitSignIn, "GANTRY_TOKEN does not work"},
		{[]string{"GANTRY_TOKEN=" + reads, "GANTRY_SERVER=" + r.base}, []string{"org", "create", "acme"}, exitDenied, "Unauthorized"},
		{[]string{"GANTRY_TOKEN=" + reads, "GANTRY_SERVER=" + r.base}, []string{"org", "show", "acme"}, exitNotFound, "Not Found"},
		{[]string{"GANTRY_TOKEN=" + reads, "GANTRY_SERVER=" + r.base}, []string{"repo", "list"}, 1, "name the namespace"},
		{[]string{"GANTRY_TOKEN=" + reads, "GANTRY_SERVER=" + r.base}, []string{"org", "show", ".."}, 1, "is not a name"},
		{[]string{"GANTRY_TOKEN=" + reads, "GANTRY_SERVER=" + r.base}, []string{"team", "members", "a/b", "c"}, 1, "holds a slash"},
		{[]string{"GANTRY_TOKEN=" + reads, "GANTRY_SERVER=" + r.base}, []string{"repo", "show", "app"}, 1, "write namespace/name"},
		{[]string{"GANTRY_TOKEN=" + reads, "GANTRY_SERVER=" + r.base}, []string{"log", "list", "--from", "1.2.2026"}, 1, "is not a day"},
	} {
		r.env = tt.env
		if got := r.run("", tt.args...); got.code != tt.code || !strings.Contains(got.err, tt.want) || got.out != "" || strings.Contains(got.err, reads) {
			t.Errorf("%v %v: %+v, want %d with %q", tt.env, tt.args, got, tt.code, tt.want)
		}
	}
	r.env = nil
	if got := r.run("not-"+testPassword[4:]+"\n", "login", r.base, "--username", "ada", "--password-stdin"); got.code != exitDenied || !strings.Contains(got.err, "Invalid") {
		t.Errorf("a wrong password: %+v", got)
	}
	if _, err := os.Stat(filepath.Join(r.home, "gantry", "servers.json")); err == nil {
		t.Error("a sign-in that failed is kept")
	}
	for wait := time.Now().Add(2 * time.Second); time.Now().Before(wait); time.Sleep(50 * time.Millisecond) {
		r.env = []string{"GANTRY_TOKEN=" + short, "GANTRY_SERVER=" + r.base}
		if r.run("", "org", "list").code == exitSignIn {
			break
		}
	}
	if got := r.run("", "org", "list"); got.code != exitSignIn || !strings.Contains(got.err, "does not work") {
		t.Errorf("a token that has ended: %+v", got)
	}
	if got := r.run("", "org", "list", "-o", "json"); got.code != exitSignIn || !json.Valid([]byte(got.err)) {
		t.Errorf("an error as JSON: %+v", got)
	}
}

func TestLoopback(t *testing.T) {
	for in, want := range map[string]bool{"localhost:8080": true, "127.0.0.1": true, "[::1]:80": true, "registry.example.com": false, "10.0.0.1:80": false, "localhost.example.com": false} {
		if loopback(in) != want {
			t.Errorf("%s: %v", in, !want)
		}
	}
}

// TestFreshLogin holds that who signed in too long ago is told how to go on.
func TestFreshLogin(t *testing.T) {
	r := serveRegistry(t, "FRESH_LOGIN_TIMEOUT: 1s\n")
	r.signIn()
	r.must("org", "create", "acme")
	var got result
	for wait := time.Now().Add(10 * time.Second); time.Now().Before(wait) && got.code != exitSignIn; time.Sleep(100 * time.Millisecond) {
		got = r.run("", "org", "list", "--registry")
	}
	if got.code != exitSignIn || !strings.Contains(got.err, "fresh login") || !strings.Contains(got.err, "gantry login --server "+r.base) {
		t.Errorf("%+v", got)
	}
	r.signIn()
	r.must("org", "list", "--registry")
}

// TestPages reads lists of more than two pages, whole and a page of them.
func TestPages(t *testing.T) {
	r := serveRegistry(t, "")
	token := r.token("ada")
	r.env = []string{"GANTRY_TOKEN=" + token, "GANTRY_SERVER=" + r.base}
	r.must("org", "create", "acme")
	for i := range 251 {
		r.post(token, "repository", map[string]any{"namespace": "acme", "repository": fmt.Sprintf("app-%03d", i), "visibility": "private", "description": ""})
	}
	got := r.run("", "repo", "list", "acme", "-o", "name")
	if n := strings.Count(got.out, "\n"); got.code != 0 || n != 100 || got.err != "" {
		t.Errorf("a page: %d names, %+v", n, got.err)
	}
	if got := r.run("", "repo", "list", "acme"); !strings.Contains(got.err, "--all lists all") {
		t.Errorf("nothing tells that there is more: %+v", got)
	}
	all := strings.Fields(r.must("repo", "list", "acme", "--all", "-o", "name"))
	unique := map[string]bool{}
	for _, n := range all {
		unique[n] = true
	}
	if len(all) != 251 || len(unique) != 251 || !unique["acme/app-250"] {
		t.Errorf("%d names, %d of them different", len(all), len(unique))
	}
	if out := r.must("log", "list", "--org", "acme", "--all", "-o", "json"); strings.Count(out, `"create_repo"`) != 251 {
		t.Errorf("%d entries", strings.Count(out, `"create_repo"`))
	}
	digest := r.pushImage("acme/app-000", "t000")
	for i := 1; i < 251; i++ {
		req, err := http.NewRequestWithContext(t.Context(), "PUT", fmt.Sprintf("%s/api/v1/repository/acme/app-000/tag/t%03d", r.base, i), strings.NewReader(`{"manifest_digest":"`+digest+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != 201 {
			t.Fatalf("%v, %v", res, err)
		}
		_ = res.Body.Close()
	}
	if n := len(strings.Fields(r.must("tag", "list", "acme/app-000", "--all", "-o", "name"))); n != 251 {
		t.Errorf("%d tags", n)
	}
}

// TestServers signs in to two servers, by TLS to one of them, and changes
// between them.
func TestServers(t *testing.T) {
	r := serveRegistry(t, "")
	r.signIn()
	file := filepath.Join(r.home, "gantry", "servers.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	token := r.token("ada")
	upstream := strings.TrimPrefix(r.base, "http://")
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		out := req.Clone(req.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", upstream, ""
		res, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
		_ = res.Body.Close()
	}))
	defer secure.Close()
	if got := r.run(token+"\n", "login", secure.URL, "--token-stdin"); got.code != exitUnavailable || !strings.Contains(got.err, "--ca-file") {
		t.Errorf("a certificate of nobody: %+v", got)
	}
	ca := r.file(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	if got := r.run(token+"\n", "login", strings.TrimPrefix(secure.URL, "https://"), "--token-stdin", "--ca-file", ca); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	r.must("org", "list") // with the authority that the login named
	if got := r.run(token+"\n", "login", secure.URL, "--token-stdin", "--tls-verify=false"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	r.must("org", "list")
	if out := r.must("server", "list"); strings.Count(out, "ada") != 2 || strings.Contains(out, token) {
		t.Error(out)
	}
	if got := strings.TrimSpace(r.must("__complete", "server", "use", "")); !strings.Contains(got, secure.URL) {
		t.Error(got)
	}
	r.must("server", "use", r.base)
	r.must("org", "list")
	r.must("logout")
	if got := r.run("", "org", "list"); got.code != 1 || !strings.Contains(got.err, "no server is named") {
		t.Errorf("after logout: %+v", got)
	}
	r.must("logout", "--all")
	if out := r.must("server", "list", "-o", "json"); strings.TrimSpace(out) != "[]" {
		t.Error(out)
	}
	r.signIn()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := r.run("", "org", "list"); got.code != 1 || !strings.Contains(got.err, "chmod 600") {
		t.Errorf("a file that others may read: %+v", got)
	}
}

// TestCompletion asks for names as a shell does.
func TestCompletion(t *testing.T) {
	r := serveRegistry(t, "")
	r.signIn()
	r.must("org", "create", "acme")
	r.must("team", "set", "acme", "developers")
	r.must("repo", "create", "acme/web/app")
	r.must("robot", "create", "acme+ci")
	r.pushImage("acme/web/app", "v1")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"org", "show", "a"}, "acme\n:4\n"},
		{[]string{"team", "members", "acme", "dev"}, "developers\n:4\n"},
		{[]string{"repo", "show", "ac"}, "acme/\n:6\n"},
		{[]string{"repo", "show", "acme/w"}, "acme/web/app\n:4\n"},
		{[]string{"tag", "delete", "acme/web/app", "v"}, "v1\n:4\n"},
		{[]string{"robot", "show", "acme+"}, "acme+ci\n:4\n"},
		{[]string{"repo", "visibility", "acme/web/app", ""}, "public\nprivate\n:4\n"},
		{[]string{"org", "show", "acme", ""}, ":4\n"},
		{[]string{"org", "list", "-o", ""}, "text\njson\nyaml\nname\n:4\n"},
		{[]string{"org", "show", "--server", "http://127.0.0.1:1", "a"}, ":4\n"},
	} {
		if got := r.run("", append([]string{"__complete"}, tt.args...)...); got.out != tt.want {
			t.Errorf("%v: %q, want %q", tt.args, got.out, tt.want)
		}
	}
}

// TestFollow reads on while things happen, each entry once.
func TestFollow(t *testing.T) {
	r := serveRegistry(t, "")
	r.signIn()
	r.must("org", "create", "acme")
	for i := range 30 { // more than a page, within the overlap
		r.must("repo", "create", fmt.Sprintf("acme/before-%d", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &watched{}
	c := &cli{in: strings.NewReader(""), out: out, err: io.Discard, environ: []string{"XDG_CONFIG_HOME=" + r.home}, output: "text"}
	ended := make(chan error, 1)
	call, err := c.call()
	if err != nil {
		t.Fatal(err)
	}
	l := logFilter{org: "acme"}
	parts, query, err := l.at("logs")
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- call.follow(ctx, &l, query, parts, 20*time.Millisecond) }()
	for i := 0; !strings.Contains(out.String(), "repo=after"); i++ {
		r.must("repo", "create", fmt.Sprintf("acme/after-%d", i))
		if i > 200 {
			t.Fatal("nothing comes")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if text := out.String(); strings.Contains(text, "before") || strings.Count(text, "repo=after-1 ") > 1 {
		t.Errorf("what was there before, or twice:\n%s", text)
	}
}

// watched is what was written, for another goroutine to read.
type watched struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
