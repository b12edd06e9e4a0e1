package app

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/config"
)

// TestWebPaths: what is served beside the API is reached through the edges, and
// what the console is told is no secret.
func TestWebPaths(t *testing.T) {
	s := open(t, Options{Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "FEATURE_BUILD_SUPPORT": true, "REGISTRY_TITLE": "Acme", "LOCAL_OAUTH_HANDLER": "/my/app", "CORS_ORIGIN": "https://a.example",
		"SECRET_KEY": "hidden-hidden-hidden-hidden-hidden", "BUILDLOGS_REDIS": map[string]any{"host": "x", "password": "hidden"}}), Version: "1.2.3"})
	token := s.initialize("ada")
	for path, want := range map[string]int{"/config": 200, "/.well-known/app-capabilities": 200, "/robots.txt": 200, "/opensearch.xml": 200, "/secscan/_backfill_status": 200,
		"/oauth/localapp": 200, "/my/app": 200, "/oauth/signin": 200, "/oauth/authorize": 404, "/oauth/nothing": 404, "/keys/services/quay/keys": 200, "/realtime/user/subscribe": 401,
		"/oauth2/federation/robot/token": 401, "/repository/ada/app/status": 404, "/repository/ada/app": 404} {
		if r := send(t, "GET", s.base+path, ""); r.status != want {
			t.Errorf("GET %s: %d, want %d: %s", path, r.status, want, r.body)
		}
	}
	boot := send(t, "GET", s.base+"/config", "").body
	if !strings.Contains(boot, `"BUILD_SUPPORT":false`) || !strings.Contains(boot, `"REGISTRY_TITLE":"Acme"`) || !strings.Contains(boot, `"LOCAL_OAUTH_HANDLER":"/my/app"`) ||
		strings.Contains(boot, "hidden") || strings.Contains(boot, "DB_URI") {
		t.Error(boot)
	}
	for _, name := range shown {
		if f, ok := config.Lookup(name); !ok || f.Secret {
			t.Errorf("%s is no field, or secret", name)
		}
	}
	if r := send(t, "GET", s.base+"/api/v1/superuser/changelog", "", "Authorization", "Bearer "+token, "Origin", "https://a.example"); !strings.Contains(r.body, "1.2.3") || r.header.Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Error(r)
	}
}

// TestConsolePaths: a browser gets the console's page for every path that no
// other part answers; programs, and the paths of the others, get what they got.
func TestConsolePaths(t *testing.T) {
	s := open(t, Options{})
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for path, console := range map[string]bool{"/": true, "/repository/ada/app": true, "/organization/acme": true, "/signin": true, "/no/such": true,
		"/v2/": false, "/api/v1/docs": false, "/api/v1/nothing": false, "/config": false, "/oauth/signin": false, "/health/instance": false, "/robots.txt": false, "/csrf_token": false} {
		r := send(t, "GET", s.base+path, "", "Accept", html)
		got := strings.Contains(r.header.Get("Content-Security-Policy"), "connect-src 'self'") && strings.HasPrefix(r.header.Get("Content-Type"), "text/html")
		if got != console {
			t.Errorf("GET %s by a browser: the console %v, want %v: %d %v", path, got, console, r.status, r.header)
		}
	}
	for path, want := range map[string]int{"/": 200, "/no/such": 404, "/repository/ada/app": 404, "/assets/nothing.js": 404} {
		r := send(t, "GET", s.base+path, "")
		if r.status != want || strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
			t.Errorf("GET %s by a program: %d %v, want %d and no page", path, r.status, r.header, want)
		}
	}
	if r := send(t, "POST", s.base+"/repository/ada/app", "", "Accept", html); r.status != 404 {
		t.Errorf("POST to a page: %d", r.status)
	}
	if boot := send(t, "GET", s.base+"/config", "").body; !strings.Contains(boot, `"messages":[]`) {
		t.Errorf("what the console starts with has no messages: %s", boot)
	}
}

// TestStreamEnds: a stream of events comes through the whole server, and does
// not keep it from stopping.
func TestStreamEnds(t *testing.T) {
	s := open(t, Options{})
	s.initialize("ada")
	in := send(t, "POST", s.base+"/api/v1/signin", `{"username":"ada","password":"`+password+`"}`, "Content-Type", "application/json")
	cookie, _, _ := strings.Cut(in.header.Get("Set-Cookie"), ";")
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.base+"/realtime/user/subscribe?events=notification", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	res, err := plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "data: {}" {
		t.Fatal(res.Status, lines.Text())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for lines.Scan() {
		if text := lines.Text(); text != "" && text != ": " {
			t.Error(text)
		}
	}
	if err := errors.Join(lines.Err(), res.Body.Close()); err != nil { // ended in order, not cut
		t.Error(err)
	}
}

// TestFederatedLogin: a job's token, by an issuer that SSRF_ALLOWED_HOSTS and
// extra_ca_certs let in, becomes a password with which skopeo signs in.
func TestFederatedLogin(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var issuer *httptest.Server
	issuer = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer.URL, issuer.URL+"/keys")
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	}))
	t.Cleanup(issuer.Close)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(fmt.Appendf(nil, `{"iss":%q,"sub":"job","exp":%d}`, issuer.URL, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	job, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"config.yaml": "FEATURE_USER_INITIALIZE: true\n"})
	if err := os.Mkdir(filepath.Join(dir, "extra_ca_certs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "extra_ca_certs", "issuer.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Config: dir})
	bearer := []string{"Authorization", "Bearer " + s.initialize("ada"), "Content-Type", "application/json"}
	for _, x := range [][3]string{{"PUT", "", "{}"}, {"POST", "/federation", fmt.Sprintf(`[{"issuer":%q,"subject":"job"}]`, issuer.URL)}} {
		if r := send(t, x[0], s.base+"/api/v1/user/robots/ci"+x[1], x[2], bearer...); r.status/100 != 2 {
			t.Fatal(x, r)
		}
	}
	exchange := func() reply {
		return send(t, "GET", s.base+"/oauth2/federation/robot/token", "", "Authorization", basic("ada+ci", job))
	}
	if r := exchange(); r.status != 503 || r.header.Get("Retry-After") == "" || strings.Contains(r.body, "127.0.0.1:"+issuer.URL[strings.LastIndex(issuer.URL, ":")+1:]) {
		t.Fatal("an issuer in the registry's own network: ", r)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("FEATURE_USER_INITIALIZE: true\nSSRF_ALLOWED_HOSTS: [127.0.0.1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Reload(t.Context())
	r := exchange()
	password, _ := r.json(t)["token"].(string)
	if r.status != 200 || password == "" {
		t.Fatal(r)
	}
	cmd := exec.CommandContext(t.Context(), "skopeo", "login", "--tls-verify=false", "--authfile", filepath.Join(t.TempDir(), "auth.json"), "-u", "ada+ci", "--password-stdin", strings.TrimPrefix(s.base, "http://"))
	cmd.Stdin = strings.NewReader(password)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Login Succeeded") {
		t.Errorf("%v: %s", err, out)
	}
}
