package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	helm "helm.sh/helm/v4/pkg/registry"
)

// robot makes a robot of the first account and returns its token.
func robot(t *testing.T, s *server, a account, short string) string {
	t.Helper()
	var r struct{ Token string }
	s.call(t, a, http.MethodPut, "user/robots/"+short, "{}", &r)
	return r.Token
}

// TestIdentities signs in with every kind of name and password that the
// registry knows, and pulls and pushes as far as each may.
func TestIdentities(t *testing.T) {
	onlyGantry(t, "its accounts are its own")
	b := newBox(t, "podman", "skopeo")
	s, a := reg.server, reg.account
	r := repo(t)
	if err := remote.Write(ref(t, r+":v1"), helloImage(t, "identities"), craneOpts(t.Context())...); err != nil {
		t.Fatal(err)
	}
	var app struct {
		Token struct {
			Code string `json:"token_code"`
		}
	}
	s.call(t, a, http.MethodPost, "user/apptoken", `{"title":"laptop"}`, &app)
	reader, writer, other := robot(t, s, a, "reader"), robot(t, s, a, "writer"), robot(t, s, a, "other")
	s.call(t, a, http.MethodPut, "repository/"+r+"/permissions/user/"+user+"+reader", `{"role":"read"}`, nil)
	s.call(t, a, http.MethodPut, "repository/"+r+"/permissions/user/"+user+"+writer", `{"role":"write"}`, nil)
	for _, who := range []struct {
		kind, user, pass string
		pull, push       bool
	}{
		{"password", user, pass, true, true},
		{"encrypted password", user, a.Encrypted, true, true},
		{"application token", "$app", app.Token.Code, true, true},
		{"access token", "$oauthtoken", a.Token, true, true},
		{"reading robot", user + "+reader", reader, true, false},
		{"writing robot", user + "+writer", writer, true, true},
		{"robot without rights", user + "+other", other, false, false},
	} {
		t.Run(who.kind, func(t *testing.T) {
			b.loginAs(t, "podman", reg.host, who.user, who.pass)
			for _, act := range []struct {
				args []string
				may  bool
			}{
				{[]string{"inspect", "--tls-verify=false", "docker://" + reg.host + "/" + r + ":v1"}, who.pull},
				{[]string{"copy", "--src-tls-verify=false", "docker://" + reg.host + "/" + r + ":v1", "dir:" + t.TempDir()}, who.pull},
				{[]string{"copy", "--src-creds", user + ":" + pass, "--src-tls-verify=false", "--dest-tls-verify=false", "docker://" + reg.host + "/" + r + ":v1", "docker://" + reg.host + "/" + r + ":pushed"}, who.push},
			} {
				if act.may {
					b.run(t, "skopeo", act.args...)
				} else if errs := b.fails(t, "skopeo", act.args...); !strings.Contains(errs, "unauthorized") {
					t.Errorf("skopeo %s says: %s", act.args[0], errs)
				}
			}
			c, err := helm.NewClient(helm.ClientOptPlainHTTP(), helm.ClientOptWriter(io.Discard), helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Login(reg.host, helm.LoginOptBasicAuth(who.user, who.pass), helm.LoginOptPlainText(true)); err != nil {
				t.Errorf("helm registry login: %v", err)
			}
		})
	}
	// A new token ends the old one.
	s.call(t, a, http.MethodPost, "user/robots/reader/regenerate", "", nil)
	if _, errs, err := b.try(t.Context(), reader, "podman", "login", "--tls-verify=false", "-u", user+"+reader", "--password-stdin", reg.host); err == nil || !strings.Contains(errs, "invalid username/password") {
		t.Errorf("login with an old token: %v %s", err, errs)
	}
	// What the command prints is a token, too.
	cmd := exec.CommandContext(t.Context(), os.Getenv("GANTRY_BIN"), "robot", "create", user+"+cli", "--data", s.data, "--output", "json")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Name, Token string }
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.loginAs(t, "podman", reg.host, made.Name, made.Token)
}

// TestOAuth2 gets a token by POST, as containerd and docker do with a refresh
// token or a password, and finds its way without a scope.
func TestOAuth2(t *testing.T) {
	onlyGantry(t, "docker-registry has no token server")
	for _, grant := range []url.Values{
		{"grant_type": {"password"}, "username": {reg.user}, "password": {reg.pass}},
		{"grant_type": {"password"}, "username": {reg.user}, "password": {reg.pass}, "scope": {"repository:" + repo(t) + ":pull,push"}, "access_type": {"offline"}},
	} {
		grant.Set("service", reg.host)
		grant.Set("client_id", "docker")
		a, err := fetch(t.Context(), http.MethodPost, reg.base+"/v2/auth", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(grant.Encode()))
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %s, %v", a.status, a.body, err)
		}
		var token struct {
			Access string `json:"access_token"`
		}
		if err := json.Unmarshal(a.body, &token); err != nil || token.Access == "" {
			t.Fatalf("%s, %v", a.body, err)
		}
		if a, err := fetch(t.Context(), http.MethodGet, reg.base+"/v2/", http.Header{"Authorization": {"Bearer " + token.Access}}, nil); err != nil || a.status != http.StatusOK {
			t.Errorf("GET /v2/ with the token: %d, %v", a.status, err)
		}
	}
}

// TestMessages is what people read when something is refused: in podman's and
// skopeo's own words around the registry's.
func TestMessages(t *testing.T) {
	onlyGantry(t, "the messages are its own")
	b := newBox(t, "podman", "skopeo")
	b.login(t, "podman")
	r := repo(t)
	at := "docker://" + reg.host + "/" + r
	write := func(tag, title string) {
		t.Helper()
		if err := remote.Write(ref(t, r+tag), helloImage(t, title), craneOpts(t.Context())...); err != nil {
			t.Fatal(err)
		}
	}
	write(":v1", "kept")
	write(":old", "deleted")
	write("-frozen:v1", "frozen")
	b.run(t, "skopeo", "delete", "--tls-verify=false", at+":old")
	reg.server.call(t, reg.account, http.MethodPut, "repository/"+r+"-frozen/changestate", `{"state":"READ_ONLY"}`, nil)

	pull := func(from string) []string {
		return []string{"skopeo", "copy", "--src-tls-verify=false", from, "dir:" + t.TempDir()}
	}
	push := func(to string) []string {
		return []string{"skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", at + ":v1", to}
	}
	for _, tt := range []struct {
		what    string
		command []string
		says    string
	}{
		{"no such repository", pull(at + "-never:v1"), "name unknown: repository name not known to registry"},
		{"no such tag", pull(at + ":never"), "manifest unknown: there is no tag never in this repository"},
		{"a deleted tag", pull(at + ":old"), "tag old was deleted or has expired; to pull it, restore it in the time machine"},
		{"a deleted tag, podman", []string{"podman", "pull", "--tls-verify=false", strings.TrimPrefix(at, "docker://") + ":old"}, "tag old was deleted or has expired"},
		{"another's repository", pull("docker://" + reg.host + "/somebody/app:v1"), "unauthorized: access to the requested resource is not authorized"},
		{"push into another's namespace", push("docker://" + reg.host + "/somebody/app:v1"), "unauthorized"},
		{"push into a frozen repository", push(at + "-frozen:v2"), "unauthorized: access to the requested resource is not authorized"},
		{"a frozen repository is pulled", pull(at + "-frozen:v2"), "manifest unknown: there is no tag v2"},
		{"a wrong password", []string{"skopeo", "login", "--tls-verify=false", "-u", "nobody", "-p", "wrong-password", reg.host}, "invalid username/password"},
	} {
		if errs := b.fails(t, tt.command[0], tt.command[1:]...); !strings.Contains(errs, tt.says) {
			t.Errorf("%s: want %q in\n%s", tt.what, tt.says, errs)
		}
	}
}

// TestLimits is what people read when the registry as a whole refuses.
func TestLimits(t *testing.T) {
	onlyGantry(t, "it needs a configuration")
	b := newBox(t, "skopeo")
	for _, tt := range []struct{ what, config, says string }{
		{"too large a layer", "MAXIMUM_LAYER_SIZE: 1000", "size invalid: the blob is larger than allowed (1000 bytes)"},
		{"no pushes", "DISABLE_PUSHES: true", "denied: pushes to this registry are disabled; pulls work"},
	} {
		conf := t.TempDir()
		write(t, filepath.Join(conf, "config.yaml"), "FEATURE_USER_INITIALIZE: true\n"+tt.config+"\n")
		s, _ := own(t, "--config", conf)
		b.loginAs(t, "skopeo", s.addr, user, pass)
		img := filepath.Join(b.dir, strings.ReplaceAll(tt.what, " ", "-"))
		writeLayout(t, img, helloImage(t, tt.what))
		if errs := b.fails(t, "skopeo", "copy", "--dest-tls-verify=false", "oci:"+img, "docker://"+s.addr+"/"+user+"/app:v1"); !strings.Contains(errs, tt.says) {
			t.Errorf("%s: want %q in\n%s", tt.what, tt.says, errs)
		}
	}
}

// TestReadOnly starts a registry again as read-only: pulls go on, and who
// pushes or deletes reads why not.
func TestReadOnly(t *testing.T) {
	onlyGantry(t, "it needs a configuration")
	b := newBox(t, "skopeo")
	conf, dir := t.TempDir(), t.TempDir()
	configure := func(state string) {
		t.Helper()
		write(t, filepath.Join(conf, "config.yaml"), "FEATURE_USER_INITIALIZE: true\nREGISTRY_STATE: "+state+"\n")
	}
	configure("normal")
	s, err := start(os.Getenv("GANTRY_BIN"), dir, "--config", conf)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.initialize()
	image := "docker://" + s.addr + "/" + user + "/app:v1"
	if err == nil {
		b.loginAs(t, "skopeo", s.addr, user, pass)
		writeLayout(t, b.dir+"/layout", helloImage(t, "read only"))
		b.run(t, "skopeo", "copy", "--dest-tls-verify=false", "oci:"+b.dir+"/layout", image)
	}
	if err := errors.Join(err, s.stop()); err != nil {
		t.Fatal(err)
	}
	configure("readonly")
	if err := s.serve(os.Getenv("GANTRY_BIN"), dir, "--config", conf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	b.run(t, "skopeo", "copy", "--src-tls-verify=false", image, "dir:"+b.dir+"/copy")
	writeLayout(t, b.dir+"/next", helloImage(t, "too late"))
	for _, args := range [][]string{
		{"copy", "--dest-tls-verify=false", "oci:" + b.dir + "/next", image},
		{"delete", "--tls-verify=false", image},
	} {
		if errs := b.fails(t, "skopeo", args...); !strings.Contains(errs, "System is currently read-only") {
			t.Errorf("skopeo %s says: %s", args[0], errs)
		}
	}
}

// TestExpires pushes an image whose label gives it two seconds, and reads what
// a pull says after them.
func TestExpires(t *testing.T) {
	onlyGantry(t, "the label is Quay's")
	b := newBox(t, "skopeo")
	b.login(t, "skopeo")
	img := helloImage(t, "short life")
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Config.Labels = map[string]string{"quay.expires-after": "2s"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	r := repo(t)
	if err := remote.Write(ref(t, r+":v1"), img, craneOpts(t.Context())...); err != nil {
		t.Fatal(err)
	}
	var errs string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if _, errs, err = b.try(t.Context(), "", "skopeo", "inspect", "--tls-verify=false", "docker://"+reg.host+"/"+r+":v1"); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(errs, "tag v1 was deleted or has expired") {
		t.Errorf("after its time: %v %s", err, errs)
	}
}

// TestOldDocker pulls as clients do that know neither OCI nor indexes: the
// index becomes its linux/amd64 image.
func TestOldDocker(t *testing.T) {
	onlyGantry(t, "docker-registry converts otherwise")
	r := repo(t)
	d := &dockerd{t: t}
	d.login("repository:" + r + ":pull,push")
	const image, list = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	d.upload(r, config)
	m := []byte(`{"schemaVersion":2,"mediaType":"` + image + `","config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":` + strconv.Itoa(len(config)) + `,"digest":"` + sum(config) + `"},"layers":[]}`)
	d.do(http.StatusCreated, http.MethodPut, "/v2/"+r+"/manifests/"+sum(m), http.Header{"Content-Type": {image}}, bytes.NewReader(m))
	l := []byte(`{"schemaVersion":2,"mediaType":"` + list + `","manifests":[{"mediaType":"` + image + `","size":` + strconv.Itoa(len(m)) + `,"digest":"` + sum(m) + `","platform":{"architecture":"amd64","os":"linux"}}]}`)
	d.do(http.StatusCreated, http.MethodPut, "/v2/"+r+"/manifests/v1", http.Header{"Content-Type": {list}}, bytes.NewReader(l))
	a := d.do(http.StatusOK, http.MethodGet, "/v2/"+r+"/manifests/v1", http.Header{"Accept": {image, "application/vnd.docker.distribution.manifest.v1+prettyjws"}}, nil)
	if a.header.Get("Content-Type") != image || !bytes.Equal(a.body, m) || a.header.Get("Docker-Content-Digest") != sum(m) {
		t.Errorf("%v %s", a.header, a.body)
	}
	// A list that the client takes comes as it is.
	a = d.do(http.StatusOK, http.MethodGet, "/v2/"+r+"/manifests/v1", http.Header{"Accept": {image, list}}, nil)
	if a.header.Get("Content-Type") != list || !bytes.Equal(a.body, l) {
		t.Errorf("%v %s", a.header, a.body)
	}
	// Schema 1 is told what is wrong with it.
	a = d.do(http.StatusUnsupportedMediaType, http.MethodPut, "/v2/"+r+"/manifests/v0", http.Header{"Content-Type": {"application/vnd.docker.distribution.manifest.v1+prettyjws"}}, strings.NewReader(`{"schemaVersion":1}`))
	if !strings.Contains(string(a.body), "schema 1") {
		t.Errorf("schema 1: %s", a.body)
	}
}
