package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// An image is a manifest with a configuration and one layer.
type image struct{ config, layer, manifest []byte }

func newImage(seed string) image {
	i := image{config: []byte(`{"architecture": "amd64", "os": "linux", "seed": "` + seed + `"}`), layer: bytes.Repeat([]byte(seed), 5000)}
	i.manifest = fmt.Appendf(nil, `{"schemaVersion": 2, "mediaType": "%s", "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "%s", "size": %d}, "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "%s", "size": %d}]}`,
		manifestType, digestOf(i.config), len(i.config), digestOf(i.layer), len(i.layer))
	return i
}

// bearer fetches a token for a scope; user "" is anonymous.
func (s *site) bearer(user, pass, scope string) (string, reply) {
	s.t.Helper()
	var header []string
	if user != "" {
		header = []string{"Authorization", basic(user, pass)}
	}
	r := send(s.t, "GET", s.base+"/v2/auth?scope="+scope, "", header...)
	if r.status != 200 {
		return "", r
	}
	token, _ := r.json(s.t)["token"].(string)
	return "Bearer " + token, r
}

// push pushes an image and returns the first answer that is no success, or
// the last one.
func (s *site) push(auth, repo, tag string, i image) reply {
	s.t.Helper()
	for _, b := range [][]byte{i.config, i.layer} {
		if r := send(s.t, "POST", s.base+"/v2/"+repo+"/blobs/uploads/?digest="+digestOf(b), string(b), "Authorization", auth, "Content-Type", "application/octet-stream"); r.status != 201 {
			return r
		}
	}
	return send(s.t, "PUT", s.base+"/v2/"+repo+"/manifests/"+tag, string(i.manifest), "Authorization", auth, "Content-Type", manifestType)
}

// pull pulls the image of tag v1 and compares it; it returns the first answer that is no
// success, or the last one.
func (s *site) pull(auth, repo string, i image) reply {
	s.t.Helper()
	var header []string
	if auth != "" {
		header = []string{"Authorization", auth}
	}
	r := send(s.t, "GET", s.base+"/v2/"+repo+"/manifests/v1", "", append(header, "Accept", manifestType)...)
	if r.status != 200 {
		return r
	}
	if r.body != string(i.manifest) {
		s.t.Errorf("%s:v1 has other bytes", repo)
	}
	for _, b := range [][]byte{i.config, i.layer} {
		if r = send(s.t, "GET", s.base+"/v2/"+repo+"/blobs/"+digestOf(b), "", header...); r.status != 200 {
			return r
		}
		if r.body != string(b) {
			s.t.Errorf("a blob of %s has other bytes", repo)
		}
	}
	return r
}

// both pushes to a repository, as the user whose it is, and pulls it again.
func (s *site) both(repo string) (first reply) {
	s.t.Helper()
	owner, _, _ := strings.Cut(repo, "/")
	if owner != "bob" {
		owner = "ada"
	}
	auth, r := s.bearer(owner, password, "repository:"+repo+":pull,push")
	if auth == "" {
		return r
	}
	i := newImage(repo)
	if r := s.push(auth, repo, "v1", i); r.status != 201 {
		return r
	}
	return s.pull(auth, repo, i)
}

// TestFeatures turns each FEATURE_ field of the table, alone: what is on is
// switched off, what is off is switched on. Push and pull go on, or the answer
// says why not. Those that have no effect yet are turned all at once.
func TestFeatures(t *testing.T) {
	t.Parallel() // most of it is waiting
	data := filepath.Join(t.TempDir(), "data")
	if _, err := NewAdmin(Options{Data: data}).UserCreate(t.Context(), NewUser{Name: "ada", Password: password}); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAdmin(Options{Data: data}).UserCreate(t.Context(), NewUser{Name: "bob", Password: password}); err != nil {
		t.Fatal(err)
	}
	unused := map[string]any{}
	restart := map[string]map[string]any{"all that have no effect yet": unused}
	cases := map[string]map[string]any{} // live: one server takes them one after the other
	turned := 0
	for _, f := range config.Fields() {
		if f.Kind != config.Bool || !strings.HasPrefix(f.Name, "FEATURE_") {
			continue
		}
		turned++
		fields := unused
		if f.Used {
			fields = map[string]any{}
			cases[f.Name] = fields
			if !f.Live {
				restart[f.Name] = fields
				delete(cases, f.Name)
			}
		}
		fields[f.Name] = f.Default != "true"
		maps.Copy(fields, together[f.Name])
	}
	if turned < 80 {
		t.Errorf("only %d features", turned)
	}
	// Alone it locks everybody out of the API, and says so.
	if r := ValidateConfig("", override(t, map[string]any{"FEATURE_DIRECT_LOGIN": false})); r.Valid || r.Errors[0].Field != "FEATURE_DIRECT_LOGIN" {
		t.Errorf("FEATURE_DIRECT_LOGIN: %+v", r)
	}
	// Files of one machine cannot be copied between machines: the start is refused, and says so.
	delete(restart, "FEATURE_STORAGE_REPLICATION")
	for _, locations := range []int{1, 2} {
		storage := map[string]any{}
		names := []string{"a", "b"}[:locations]
		for _, name := range names {
			storage[name] = []any{localStorage, map[string]any{"storage_path": "/" + name}}
		}
		r := ValidateConfig("", override(t, map[string]any{"FEATURE_STORAGE_REPLICATION": true, "DISTRIBUTED_STORAGE_CONFIG": storage, "DISTRIBUTED_STORAGE_PREFERENCE": names}))
		said := slices.Concat(r.Errors, r.Warnings)
		if r.Valid || !slices.ContainsFunc(said, func(p config.Problem) bool { return p.Field == "FEATURE_STORAGE_REPLICATION" }) {
			t.Errorf("FEATURE_STORAGE_REPLICATION with %d locations: %+v", locations, r)
		}
	}
	// Clients without the header are not spoken to; package httpd tests those with it.
	delete(restart, "FEATURE_PROXY_PROTOCOL")
	// What push and pull answer where they do not go on.
	refused := map[string]func(reply) bool{
		"FEATURE_GENERAL_OCI_SUPPORT": func(r reply) bool {
			return r.status == 415 && strings.Contains(r.body, "FEATURE_GENERAL_OCI_SUPPORT")
		},
		"FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH": func(r reply) bool { return r.status == 401 && strings.Contains(r.body, "encrypted password") },
		"FEATURE_RESTRICTED_USERS":             func(r reply) bool { return r.status == 401 || r.status == 403 },
	}
	// What is different then, and says so.
	more := map[string]func(*testing.T, *site){
		"FEATURE_ANONYMOUS_ACCESS": func(t *testing.T, s *site) {
			if _, r := s.bearer("", "", "repository:ada/public:pull"); r.status != 401 {
				t.Errorf("anonymous token: %d %s", r.status, r.body)
			}
		},
		"FEATURE_EXTENDED_REPOSITORY_NAMES": func(t *testing.T, s *site) {
			if r := s.both("ada/nested/app"); r.status/100 != 4 || !strings.Contains(r.body, "NAME_INVALID") && !strings.Contains(r.body, "name") {
				t.Errorf("a nested name: %d %s", r.status, r.body)
			}
		},
		"FEATURE_ADVERTISE_V2": func(t *testing.T, s *site) {
			if r := send(t, "GET", s.base+"/v2/", ""); r.status != 404 {
				t.Errorf("/v2/: %d", r.status)
			}
		},
		"FEATURE_APP_SPECIFIC_TOKENS": func(t *testing.T, s *site) {
			if _, r := s.bearer("$app", "nonsense", "repository:ada/app:pull"); r.status != 401 {
				t.Errorf("application token: %d", r.status)
			}
		},
		"FEATURE_REFERRERS_API": func(t *testing.T, s *site) {
			auth, _ := s.bearer("ada", password, "repository:ada/app:pull")
			if r := send(t, "GET", s.base+"/v2/ada/app/referrers/"+digestOf(nil), "", "Authorization", auth); r.status != 404 {
				t.Errorf("referrers: %d %s", r.status, r.body)
			}
		},
	}
	for name := range more {
		if cases[name] == nil {
			t.Errorf("%s is not a feature that is on and in effect", name)
		}
	}
	turn := func(t *testing.T, s *site, name string) {
		repo := "bob/" + strings.ToLower(strings.ReplaceAll(name, " ", "-")) // bob is no superuser
		r := s.both(repo)
		if len(r.body) > 500 {
			r.body = r.body[:500]
		}
		if why := refused[name]; why != nil && !why(r) || why == nil && r.status != 200 {
			t.Errorf("push and pull: %d %s", r.status, r.body)
		}
		if f := more[name]; f != nil {
			f(t, s)
		}
	}
	for name, fields := range restart {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{Data: data, Environ: override(t, fields)})
			turn(t, s, name)
			_ = s.Stop(context.WithoutCancel(t.Context())) // before the next one; its error is told at the end
		})
	}
	dir := folder(t, map[string]string{"config.json": "{}"})
	s := open(t, Options{Data: data, Config: dir})
	for name, fields := range cases {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(fields)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Reload(t.Context())
			if got, ok := s.live.Current().Get(name); !ok || got != fields[name] {
				t.Fatalf("%s is %v after the reload:\n%s", name, got, s.log)
			}
			in := *s // the failures are this test's
			in.t = t
			turn(t, &in, name)
		})
	}
}

// TestSwitches turns single fields and looks at what a client is told.
func TestSwitches(t *testing.T) {
	t.Parallel() // most of it is waiting
	data := filepath.Join(t.TempDir(), "data")
	s := open(t, Options{Data: data})
	oauth := s.initialize("ada")
	if r := s.both("ada/app"); r.status != 200 {
		t.Fatalf("push and pull: %d %s", r.status, r.body)
	}
	if r := s.both("ada/public"); r.status != 200 {
		t.Fatalf("push and pull: %d %s", r.status, r.body)
	}
	if r := send(t, "POST", s.base+"/api/v1/repository/ada/public/changevisibility", `{"visibility": "public"}`, "Authorization", "Bearer "+oauth, "Content-Type", "application/json"); r.status != 200 {
		t.Fatalf("make it public: %d %s", r.status, r.body)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	app, public := newImage("ada/app"), newImage("ada/public")
	for _, tt := range []struct {
		fields map[string]any
		check  func(t *testing.T, s *site)
	}{
		{map[string]any{}, func(t *testing.T, s *site) {
			if auth, _ := s.bearer("", "", "repository:ada/public:pull"); s.pull(auth, "ada/public", public).status != 200 {
				t.Error("anybody may not pull what is public")
			}
			if auth, _ := s.bearer("", "", "repository:ada/app:pull"); s.pull(auth, "ada/app", app).status != 401 {
				t.Error("anybody may pull what is private")
			}
		}},
		{map[string]any{"REGISTRY_STATE": "readonly"}, func(t *testing.T, s *site) {
			auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
			if r := s.pull(auth, "ada/app", app); r.status != 200 {
				t.Errorf("pull: %d %s", r.status, r.body)
			}
			if r := s.push(auth, "ada/app", "v2", newImage("v2")); r.status != 405 || !strings.Contains(r.body, "is_readonly") {
				t.Errorf("push: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"DISABLE_PUSHES": true}, func(t *testing.T, s *site) {
			auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
			if r := s.pull(auth, "ada/app", app); r.status != 200 {
				t.Errorf("pull: %d %s", r.status, r.body)
			}
			if r := s.push(auth, "ada/app", "v2", newImage("v2")); r.status != 405 {
				t.Errorf("push: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"ACCOUNT_RECOVERY_MODE": true}, func(t *testing.T, s *site) {
			if r := send(t, "GET", s.base+"/v2/ada/public/manifests/v1", ""); r.status != 405 {
				t.Errorf("pull: %d %s", r.status, r.body)
			}
			if r := send(t, "GET", s.base+"/api/v1/user/", "", "Authorization", "Bearer "+oauth); r.status != 200 {
				t.Errorf("API: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH": true}, func(t *testing.T, s *site) {
			if _, r := s.bearer("ada", password, "repository:ada/app:pull"); r.status != 401 || !strings.Contains(r.body, "ncrypted") {
				t.Errorf("the password itself: %d %s", r.status, r.body)
			}
			secret, err := s.keys.EncryptPassword(password)
			if err != nil {
				t.Fatal(err)
			}
			if _, r := s.bearer("ada", secret, "repository:ada/app:pull"); r.status != 200 {
				t.Errorf("the encrypted password: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"MAXIMUM_LAYER_SIZE": "1000"}, func(t *testing.T, s *site) {
			auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
			if r := s.push(auth, "ada/app", "big", newImage("too large")); r.status != 413 {
				t.Errorf("a layer that is too large: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"CREATE_PRIVATE_REPO_ON_PUSH": false}, func(t *testing.T, s *site) {
			if r := s.both("ada/open"); r.status != 200 {
				t.Fatalf("push: %d %s", r.status, r.body)
			}
			auth, _ := s.bearer("", "", "repository:ada/open:pull")
			if r := s.pull(auth, "ada/open", newImage("ada/open")); r.status != 200 {
				t.Errorf("anybody: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"CREATE_NAMESPACE_ON_PUSH": true}, func(t *testing.T, s *site) {
			if r := s.both("fresh/app"); r.status != 200 {
				t.Errorf("push into a new namespace: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"FEATURE_PUBLIC_CATALOG": true}, func(t *testing.T, s *site) {
			auth, _ := s.bearer("", "", "registry:catalog:*")
			r := send(t, "GET", s.base+"/v2/_catalog", "", "Authorization", auth)
			if r.status != 200 || !strings.Contains(r.body, "ada/public") || strings.Contains(r.body, "ada/app") {
				t.Errorf("catalog: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"LIBRARY_NAMESPACE": "ada"}, func(t *testing.T, s *site) {
			auth, _ := s.bearer("ada", password, "repository:app:pull")
			if r := s.pull(auth, "app", app); r.status != 200 {
				t.Errorf("a name without a namespace: %d %s", r.status, r.body)
			}
		}},
		{map[string]any{"SERVER_HOSTNAME": "reg.example.com", "PREFERRED_URL_SCHEME": "https", "EXTERNAL_TLS_TERMINATION": true}, func(t *testing.T, s *site) {
			if h := send(t, "GET", s.base+"/v2/", "").header.Get("Www-Authenticate"); !strings.Contains(h, `realm="https://`+s.Addr().String()+`/v2/auth"`) || !strings.Contains(h, `service="reg.example.com"`) {
				t.Errorf("challenge: %s", h)
			}
		}},
	} {
		t.Run(fmt.Sprint(tt.fields), func(t *testing.T) {
			s := open(t, Options{Data: data, Environ: override(t, tt.fields)})
			defer func() { _ = s.Stop(context.WithoutCancel(t.Context())) }() // before the next one
			tt.check(t, s)
		})
	}
}

// TestCollected deletes a repository and collects it through the command,
// beside the running server.
func TestCollected(t *testing.T) {
	s := open(t, Options{Roles: Roles{Registry: true, API: true}}) // the command alone collects
	oauth := s.initialize("ada")
	if r := s.both("ada/app"); r.status != 200 {
		t.Fatalf("push and pull: %d %s", r.status, r.body)
	}
	admin := NewAdmin(Options{Data: s.data})
	if v, err := admin.Verify(t.Context(), VerifyRequest{}); err != nil || !v.Sound() || v.Blobs.Objects != 2 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if c, err := admin.GC(t.Context()); err != nil || c.Blobs != 0 || c.Trashed != 0 {
		t.Errorf("gc before anything is deleted: %+v, %v", c, err)
	}
	if r := send(t, "DELETE", s.base+"/api/v1/repository/ada/app", "", "Authorization", "Bearer "+oauth); r.status != 204 {
		t.Fatalf("delete: %d %s", r.status, r.body)
	}
	if c, err := admin.GC(t.Context()); err != nil || c.Blobs != 2 || c.Trashed != 2 || c.Failed != 0 {
		t.Errorf("gc: %+v, %v", c, err)
	}
	if v, err := admin.Verify(t.Context(), VerifyRequest{}); err != nil || !v.Sound() || v.Blobs.Objects != 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// TestDamage finds and reports a blob whose bytes changed on the disk, and
// heals it by another push.
func TestDamage(t *testing.T) {
	s := open(t, Options{})
	s.initialize("ada")
	if r := s.both("ada/app"); r.status != 200 {
		t.Fatalf("push and pull: %d %s", r.status, r.body)
	}
	hex := strings.TrimPrefix(digestOf(newImage("ada/app").layer), "sha256:")
	file := filepath.Join(s.data, storageFolder, "sha256", hex[:2], hex)
	if err := os.WriteFile(file, []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := NewAdmin(Options{Data: s.data})
	v, err := admin.Verify(t.Context(), VerifyRequest{})
	if err != nil || v.Sound() || v.Blobs.Damaged != 1 || v.Blobs.Lost != 1 || len(v.Blobs.Damages) != 1 || fmt.Sprint(v.Blobs.Damages[0].Holders) != "[ada/app]" {
		t.Fatalf("verify: %+v, %v", v.Blobs, err)
	}
	if r := s.both("ada/app"); r.status != 200 {
		t.Errorf("push again: %d %s", r.status, r.body)
	}
	if v, err := admin.Verify(t.Context(), VerifyRequest{}); err != nil || !v.Sound() {
		t.Errorf("verify after another push: %+v, %v", v.Blobs, err)
	}
}

// TestDrainPush stops the server under an upload: the upload ends well, and
// what was pushed is there after the restart.
func TestDrainPush(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := open(t, Options{Data: data, Metrics: "127.0.0.1:0"})
	s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	layer := bytes.Repeat([]byte("drain"), 100_000)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	head := "POST /v2/ada/app/blobs/uploads/?digest=" + digestOf(layer) + " HTTP/1.1\r\nHost: " + s.Addr().String() + "\r\nAuthorization: " + auth +
		"\r\nContent-Type: application/octet-stream\r\nContent-Length: " + strconv.Itoa(len(layer)) + "\r\n\r\n"
	if _, err := io.WriteString(conn, head+string(layer[:200_000])); err != nil {
		t.Fatal(err)
	}
	until(t, "the upload runs", func() bool { return inFlight(t, s) > 0 })
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.WithoutCancel(t.Context())) }()
	until(t, "the drain begins", func() bool {
		_, err := try(t.Context(), "GET", s.base+"/v2/", nil)
		return err != nil
	})
	if _, err := conn.Write(layer[200_000:]); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 201") {
		t.Errorf("the upload: %.200q, %v", answer, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	s = open(t, Options{Data: data})
	auth, _ = s.bearer("ada", password, "repository:ada/app:pull,push")
	if r := send(t, "GET", s.base+"/v2/ada/app/blobs/"+digestOf(layer), "", "Authorization", auth); r.status != 200 || r.body != string(layer) {
		t.Errorf("the blob after the restart: %d, %d bytes", r.status, len(r.body))
	}
}

// TestCutUpload cuts an upload at the end of the drain; it goes on where it
// was after the restart.
func TestCutUpload(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s, log, err := launch(t, Options{Data: data, Metrics: "127.0.0.1:0", DrainTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	one := &site{Server: s, t: t, base: "http://" + s.Addr().String(), log: log}
	one.initialize("ada")
	auth, _ := one.bearer("ada", password, "repository:ada/app:pull,push")
	start := send(t, "POST", one.base+"/v2/ada/app/blobs/uploads/", "", "Authorization", auth)
	path := start.header.Get("Location")
	if i := strings.Index(path, "/v2/"); i >= 0 {
		path = path[i:]
	}
	layer := bytes.Repeat([]byte("drain"), 100_000)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	head := "PATCH " + path + " HTTP/1.1\r\nHost: " + s.Addr().String() + "\r\nAuthorization: " + auth +
		"\r\nContent-Type: application/octet-stream\r\nContent-Length: " + strconv.Itoa(len(layer)) + "\r\n\r\n"
	if _, err := io.WriteString(conn, head+string(layer[:300_000])); err != nil {
		t.Fatal(err)
	}
	until(t, "the upload runs", func() bool { return inFlight(t, one) > 0 })
	if err := s.Stop(t.Context()); err == nil {
		t.Error("a drain that cut a request says nothing")
	}
	again := open(t, Options{Data: data})
	auth, _ = again.bearer("ada", password, "repository:ada/app:pull,push")
	r := send(t, "GET", again.base+path, "", "Authorization", auth)
	_, last, _ := strings.Cut(r.header.Get("Range"), "-")
	had, err := strconv.Atoi(last)
	if r.status != 204 || err != nil || had == 0 {
		t.Fatalf("the upload after the restart: %d %v %v\n%s", r.status, r.header, err, log)
	}
	r = send(t, "PUT", again.base+path+"?digest="+digestOf(layer), string(layer[had+1:]), "Authorization", auth, "Content-Type", "application/octet-stream")
	if r.status != 201 {
		t.Errorf("the rest of the upload: %d %s", r.status, r.body)
	}
}

// TestNothingLeft holds that a server ends its background work when it stops.
func TestNothingLeft(t *testing.T) {
	s, _, err := launch(t, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { s.workers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("background work goes on")
	}
	if _, err := s.db.HasUsers(t.Context()); err == nil {
		t.Error("the database is open still")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

// TestWait ends the wait of a server, not the server.
func TestWait(t *testing.T) {
	s := open(t, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if err := s.Wait(ctx); err != nil {
		t.Error(err)
	}
	if r := send(t, http.MethodGet, s.base+"/health/instance", ""); r.status != 200 {
		t.Errorf("health: %d", r.status)
	}
	if !slices.Contains([]string{"127.0.0.1"}, strings.Split(s.Addr().String(), ":")[0]) {
		t.Errorf("it listens on %s", s.Addr())
	}
}
