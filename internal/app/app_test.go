package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// A journal is a log that tests read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// A site is a server under test.
type site struct {
	*Server
	t    *testing.T
	base string
	log  *journal
}

// open starts a server on free ports; the test's end stops it.
func open(t *testing.T, o Options) *site {
	t.Helper()
	s, log, err := launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Stop: %v\n%s", err, log)
		}
	})
	v := &site{Server: s, t: t, log: log}
	if s.Addr() != nil {
		v.base = "http://" + s.Addr().String()
	}
	return v
}

func launch(t *testing.T, o Options) (*Server, *journal, error) {
	t.Helper()
	if o.Data == "" {
		o.Data = filepath.Join(t.TempDir(), "data")
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Metrics == "" {
		o.Metrics = Off
	}
	log := &journal{}
	o.Log = log.logger()
	s, err := Start(t.Context(), o)
	return s, log, err
}

// folder writes a folder of a configuration.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%d %q: %v", r.status, r.body, err)
	}
	return v
}

var plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport: &http.Transport{DisableKeepAlives: true}}

func send(t *testing.T, method, url, body string, header ...string) reply {
	t.Helper()
	r, err := try(t.Context(), method, url, strings.NewReader(body), header...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func try(ctx context.Context, method, url string, body io.Reader, header ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := plain.Do(req)
	if err != nil {
		return reply{}, err
	}
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(b)}, errors.Join(err, res.Body.Close())
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

const password = "correct-horse-9"

// initialize makes the first account and returns an API token.
func (s *site) initialize(name string) string {
	s.t.Helper()
	r := send(s.t, "POST", s.base+"/api/v1/user/initialize", `{"username": "`+name+`", "password": "`+password+`", "email": "`+name+`@example.com", "access_token": true}`,
		"Content-Type", "application/json")
	if r.status != 200 {
		s.t.Fatalf("initialize: %d %s", r.status, r.body)
	}
	token, _ := r.json(s.t)["access_token"].(string)
	return token
}

// TestEmpty starts a server that was told nothing.
func TestEmpty(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := open(t, Options{Data: data, Metrics: "127.0.0.1:0"})
	if r := send(t, "GET", s.base+"/v2/", ""); r.status != 401 || !strings.Contains(r.header.Get("Www-Authenticate"), s.base+"/v2/auth") {
		t.Errorf("GET /v2/: %d %v", r.status, r.header)
	}
	for path, want := range map[string]int{
		"/health/instance": 200, "/health": 200, "/health/endtoend": 200, "/status": 200, "/_internal_ping": 200,
		"/v1/_ping": 200, "/v1/_internal_ping": 200, "/csrf_token": 200, "/": 200, "/nothing": 404, "/api/v1/nothing": 404, "/v3/": 404,
		"/v2//x/manifests/y": 404, "/v2/../v2/": 404, // as they came: no redirect to a cleaned path
	} {
		req := send(t, "GET", s.base+path, "")
		if req.status != want && (want != 404 || req.status/100 != 4) {
			t.Errorf("GET %s: %d, want %d: %s", path, req.status, want, req.body)
		}
	}
	services, _ := send(t, "GET", s.base+"/health/instance", "").json(t)["data"].(map[string]any)["services"].(map[string]any)
	for _, name := range []string{"registry_gunicorn", "web_gunicorn", "service_key", "disk_space", "database", "auth"} {
		if _, ok := services[name]; !ok {
			t.Errorf("health has no %s: %v", name, services)
		}
	}
	if !strings.Contains(s.log.String(), "there is no account yet") || !strings.Contains(s.log.String(), "gantry user create NAME --data "+data) {
		t.Errorf("the log does not say how the first account is made:\n%s", s.log)
	}
	s.initialize("ada")
	if r := send(t, "POST", s.base+"/api/v1/user/initialize", `{"username": "eve", "password": "correct-horse-9", "email": "eve@example.com"}`); r.status != 400 || !strings.Contains(r.body, "non-empty") {
		t.Errorf("a second first account: %d %s", r.status, r.body)
	}
	if r := send(t, "GET", s.base+"/v2/auth?service=x&account=ada", "", "Authorization", basic("ada", password)); r.status != 200 || r.json(t)["token"] == nil {
		t.Errorf("token: %d %s", r.status, r.body)
	}

	// An hour may pass before Quay has these; ours come at once.
	metrics := "http://" + s.MetricsAddr().String()
	until(t, "inventory", func() bool {
		r := send(t, "GET", metrics+"/metrics", "")
		return r.status == 200 && strings.Contains(r.body, "quay_user_rows{") && strings.Contains(r.body, "gantry_ready{")
	})
	scrape := send(t, "GET", metrics+"/metrics", "").body
	for _, name := range []string{"quay_request_duration_seconds_bucket", "quay_db_pooled_connections_available", "gantry_disk_free_bytes", "gantry_storage_up", "process_resident_memory_bytes", "gantry_sql_duration_seconds"} {
		if !strings.Contains(scrape, name) {
			t.Errorf("the scrape has no %s", name)
		}
	}
	if r := send(t, "GET", metrics+"/health/instance", ""); r.status != 200 {
		t.Errorf("health beside the metrics: %d", r.status)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, databaseFile: 0o600, keysFolder: 0o700, "keys/secret_key": 0o600, "keys/database_secret_key": 0o600, storageFolder: 0o700, socketFile: 0o600} {
		st, err := os.Stat(filepath.Join(data, name))
		if err != nil || st.Mode().Perm() != mode {
			t.Errorf("%q in the data folder: %v, %v; want mode %o", name, st, err, mode)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, socketFile)); err == nil {
		t.Error("the socket is left behind")
	}
	if _, err := try(t.Context(), "GET", s.base+"/v2/", nil); err == nil {
		t.Error("a stopped server answers")
	}
	// Again on the same data: the account is there.
	s = open(t, Options{Data: data})
	if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic("ada", password)); r.status != 200 {
		t.Errorf("token after a restart: %d %s", r.status, r.body)
	}
	if strings.Contains(s.log.String(), "there is no account yet") {
		t.Error("the log says that there is no account")
	}
}

func basic(user, pass string) string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, pass)
	return req.Header.Get("Authorization")
}

// TestSeedSamples boots with the founding document's configurations: the
// sample bundle exactly, and all samples at once but for the servers that
// are not here.
func TestSeedSamples(t *testing.T) {
	for name, environ := range map[string][]string{
		"sample-bundle.yaml": nil,
		"whole.yaml":         {`QUAY_OVERRIDE_CONFIG={"DB_URI": "", "DB_CONNECTION_ARGS": {}, "DISTRIBUTED_STORAGE_CONFIG": {"usstorage": ["LocalStorage", {"storage_path": "us"}]}, "DISTRIBUTED_STORAGE_PREFERENCE": ["usstorage"], "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": [], "FEATURE_STORAGE_REPLICATION": false}`},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("../config/testdata/seed/" + name)
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, Options{Config: folder(t, map[string]string{"config.yaml": string(text)}), Environ: environ})
			// Their Redis is not here: everything works, and the health answer says so.
			_, list := services(t, s, "/health/endtoend")
			for what, well := range list {
				if well != (what != "redis") {
					t.Errorf("health: %s is %v", what, well)
				}
			}
			if _, asked := list["redis"]; asked != (name == "whole.yaml") || !list["storage"].(bool) {
				t.Errorf("health: %v", list)
			}
			s.initialize("quayadmin")
			if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic("quayadmin", password)); r.status != 200 {
				t.Errorf("token: %d %s", r.status, r.body)
			}
		})
	}
}

// TestUnbuilt refuses, by the field's name, what this release does not have.
func TestUnbuilt(t *testing.T) {
	for field, text := range map[string]string{
		"LDAP_USER_FILTER":            "\nLDAP_USER_FILTER: '(a'\nAUTHENTICATION_TYPE: LDAP\nLDAP_URI: ldaps://x\nLDAP_BASE_DN: [dc=x]\nLDAP_ADMIN_DN: cn=a\nLDAP_ADMIN_PASSWD: p\n",
		"KEYSTONE_AUTH_VERSION":       "\nKEYSTONE_AUTH_VERSION: 2\nAUTHENTICATION_TYPE: Keystone\nKEYSTONE_AUTH_URL: https://x/\nKEYSTONE_ADMIN_USERNAME: a\nKEYSTONE_ADMIN_PASSWORD: b\nKEYSTONE_ADMIN_TENANT: c\n",
		"CORP_LOGIN_CONFIG":           "\nCORP_LOGIN_CONFIG: {OIDC_SERVER: 'https://x/', CLIENT_ID: a}\n",
		"FEATURE_STORAGE_REPLICATION": "\nFEATURE_STORAGE_REPLICATION: true\nDISTRIBUTED_STORAGE_CONFIG:\n  a: [LocalStorage, {storage_path: /a}]\n  b: [LocalStorage, {storage_path: /b}]\nDISTRIBUTED_STORAGE_DEFAULT_LOCATIONS: [a, b]\nDISTRIBUTED_STORAGE_PREFERENCE: [a, b]\n",
	} {
		dir := folder(t, map[string]string{"config.yaml": text})
		_, _, err := launch(t, Options{Config: dir})
		if err == nil || !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "config.yaml:2") {
			t.Errorf("%s: Start: %v", field, err)
		}
		r := ValidateConfig(dir, nil)
		if r.Valid || len(r.Errors) != 1 || r.Errors[0].Field != field || r.Errors[0].Line != 2 {
			t.Errorf("%s: ValidateConfig: %+v", field, r.Errors)
		}
	}
	if r := ValidateConfig(filepath.Join(t.TempDir(), "none"), nil); r.Valid || len(r.Errors) == 0 {
		t.Errorf("a folder that is not there: %+v", r)
	}
	if r := ValidateConfig("", nil); !r.Valid {
		t.Errorf("no configuration: %+v", r)
	}
}

// TestLock keeps a second process away from the data folder, and from an
// SQLite file elsewhere.
func TestLock(t *testing.T) {
	data, db := t.TempDir(), filepath.Join(t.TempDir(), "x.db")
	uri := []string{`QUAY_OVERRIDE_CONFIG={"DB_URI": "sqlite:///` + db + `"}`}
	s := open(t, Options{Data: data, Environ: uri})
	if _, _, err := launch(t, Options{Data: data}); !errors.Is(err, errInUse) || !strings.Contains(err.Error(), "data folder") || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("the same data folder: %v", err)
	}
	if _, _, err := launch(t, Options{Environ: uri}); !errors.Is(err, errInUse) || !strings.Contains(err.Error(), db) {
		t.Errorf("the same database: %v", err)
	}
	if r := send(t, "GET", s.base+"/health/instance", ""); r.status != 200 {
		t.Errorf("the first server: %d", r.status)
	}
	// One that may waits for the first to end, as the pod after it does.
	log := &journal{}
	next := make(chan error, 1)
	go func() {
		s, err := Start(t.Context(), Options{Data: data, Environ: uri, Listen: "127.0.0.1:0", Metrics: Off, Log: log.logger(), FolderWait: time.Minute})
		if err == nil {
			err = s.Stop(context.WithoutCancel(t.Context()))
		}
		next <- err
	}()
	until(t, "the next one waits", func() bool { return strings.Contains(log.String(), "waiting for another gantry to end") })
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-next; err != nil {
		t.Error(err)
	}
	open(t, Options{Data: data, Environ: uri}) // free again
}

// TestBusyAddress says so, and leaves nothing behind.
func TestBusyAddress(t *testing.T) {
	s := open(t, Options{})
	data := t.TempDir()
	for _, o := range []Options{{Listen: s.Addr().String()}, {Metrics: s.Addr().String()}} {
		o.Data = data
		if _, _, err := launch(t, o); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	open(t, Options{Data: data})
}

// TestCommands runs every command on the running server and on a stopped
// registry: the outcome is the same.
func TestCommands(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(map[bool]string{true: "running", false: "stopped"}[running], func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			a := NewAdmin(Options{Data: data, Log: slog.New(slog.DiscardHandler)})
			ctx := t.Context()
			if _, err := a.Users(ctx); err == nil || !strings.Contains(err.Error(), "there is no registry in") {
				t.Errorf("no registry: %v", err)
			}
			if _, err := os.Stat(data); err == nil {
				t.Error("a command that only looks made a data folder")
			}
			var s *site
			if running {
				s = open(t, Options{Data: data})
			}
			u, err := a.UserCreate(ctx, NewUser{Name: "ada", Password: password, Email: "ada@example.com"})
			if err != nil || !u.Superuser || u.Name != "ada" {
				t.Fatalf("the first user: %+v, %v", u, err)
			}
			if u, err = a.UserCreate(ctx, NewUser{Name: "bob", Password: password}); err != nil || u.Superuser {
				t.Errorf("the second user: %+v, %v", u, err)
			}
			for name, n := range map[string]NewUser{"twice": {Name: "bob", Password: password}, "short": {Name: "eve", Password: "short"},
				"blank": {Name: "eve", Password: "correct horse"}, "name": {Name: "E", Password: password}, "address": {Name: "eve", Password: password, Email: "eve"},
				"address taken": {Name: "eve", Password: password, Email: "ada@example.com"}} {
				if _, err := a.UserCreate(ctx, n); err == nil || strings.Contains(Explain(err), "(") {
					t.Errorf("%s: %v", name, err)
				}
			}
			r, err := a.RobotCreate(ctx, "bob+ci", "tests")
			if err != nil || len(r.Token) < 32 {
				t.Fatalf("robot: %+v, %v", r, err)
			}
			if got, err := a.RobotToken(ctx, "bob+ci", false); err != nil || got.Token != r.Token {
				t.Errorf("token: %+v, %v", got, err)
			}
			if got, err := a.RobotToken(ctx, "bob+ci", true); err != nil || got.Token == r.Token || got.Token == "" {
				t.Errorf("another token: %+v, %v", got, err)
			}
			for _, name := range []string{"bob", "+ci", "bob+", "none+ci", "bob+ci"} {
				if _, err := a.RobotCreate(ctx, name, ""); err == nil {
					t.Errorf("robot %q is made", name)
				}
			}
			if list, err := a.Robots(ctx, "bob"); err != nil || len(list) != 1 || list[0].Token != "" || list[0].Description != "tests" {
				t.Errorf("robots: %+v, %v", list, err)
			}
			if err := a.SetEnabled(ctx, "bob", false); err != nil {
				t.Error(err)
			}
			if err := a.SetPassword(ctx, "ada", password+"2"); err != nil {
				t.Error(err)
			}
			list, err := a.Users(ctx)
			if err != nil || len(list) != 2 || list[0].Name != "ada" || !list[0].Enabled || list[1].Enabled {
				t.Errorf("users: %+v, %v", list, err)
			}
			if running {
				for _, tt := range []struct {
					user, pass string
					want       int
				}{{"ada", password + "2", 200}, {"ada", password, 401}, {"bob", password, 401}} {
					if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic(tt.user, tt.pass)); r.status != tt.want {
						t.Errorf("sign-in of %s: %d, want %d: %s", tt.user, r.status, tt.want, r.body)
					}
				}
			}
			if err := a.RobotDelete(ctx, "bob+ci"); err != nil {
				t.Error(err)
			}
			if err := a.UserDelete(ctx, "bob"); err != nil {
				t.Error(err)
			}
			for _, err := range []error{a.UserDelete(ctx, "bob"), a.RobotDelete(ctx, "bob+ci"), a.SetEnabled(ctx, "nobody", true), a.SetPassword(ctx, "nobody", password), a.UserDelete(ctx, "ada+ci")} {
				if err == nil || !strings.Contains(err.Error(), "there is no") {
					t.Errorf("an account that is not there: %v", err)
				}
			}
			if c, err := a.GC(ctx); err != nil || c.Rounds == 0 || c.Failed != 0 {
				t.Errorf("gc: %+v, %v", c, err)
			}
			if v, err := a.Verify(ctx, VerifyRequest{Rate: -1}); err != nil || !v.Sound() || v.Blobs == nil {
				t.Errorf("verify: %+v, %v", v, err)
			}
			if v, err := a.Verify(ctx, VerifyRequest{DatabaseOnly: true}); err != nil || v.Blobs != nil {
				t.Errorf("verify the database: %+v, %v", v, err)
			}
			for _, f := range []func(context.Context) (Schema, error){a.SchemaStatus, a.Migrate} {
				if d, err := f(ctx); err != nil || !d.Current || len(d.Steps) == 0 || d.Dialect != "sqlite" {
					t.Errorf("schema: %+v, %v", d, err)
				}
			}
		})
	}
}

// TestSocket works in a folder whose name is longer than an address may be,
// replaces what a crash left, and knows no other commands.
func TestSocket(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, _, err := launch(t, Options{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		a := NewAdmin(Options{Data: data})
		if _, err := a.Users(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, err := askServer(t.Context(), data, "nonsense", []byte("{}")); err == nil || !strings.Contains(err.Error(), "does not know the command") {
			t.Errorf("a command that is none: %v", err)
		}
		if _, _, err := askServer(t.Context(), data, "user.create", []byte("[")); err == nil {
			t.Error("a request that is none is taken")
		}
		if _, _, err := askServer(t.Context(), data, "user.create", bytes.Repeat([]byte(" "), maxAsk+1)); err == nil {
			t.Error("a request without end is taken")
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		// As after a crash.
		if err := os.WriteFile(filepath.Join(data, socketFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadOnly refuses commands that write, and works for the others.
func TestReadOnly(t *testing.T) {
	data := t.TempDir()
	if _, err := NewAdmin(Options{Data: data}).UserCreate(t.Context(), NewUser{Name: "ada", Password: password}); err != nil {
		t.Fatal(err)
	}
	o := Options{Data: data, Environ: []string{`QUAY_OVERRIDE_CONFIG={"REGISTRY_STATE": "readonly"}`}}
	for _, running := range []bool{false, true} {
		if running {
			s := open(t, o)
			if r := send(t, "GET", s.base+"/health/endtoend", ""); r.status != 200 {
				t.Errorf("health: %d %s", r.status, r.body)
			}
		}
		a := NewAdmin(o)
		if _, err := a.GC(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("gc: %v", err)
		}
		if list, err := a.Users(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("users: %v, %v", list, err)
		}
	}
}

// TestDrain lets a request that runs finish, while health says that nothing
// new should come, and ends what does not end.
func TestDrain(t *testing.T) {
	s := open(t, Options{Metrics: "127.0.0.1:0"})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	body := `{"username": "ada", "password": "correct-horse-9", "email": "ada@example.com"}`
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	write("POST /api/v1/user/initialize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body[:20])
	until(t, "the request runs", func() bool {
		return strings.Contains(send(t, "GET", "http://"+s.MetricsAddr().String()+"/metrics", "").body, "gantry_requests_in_flight{") && inFlight(t, s) > 0
	})
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.WithoutCancel(t.Context())) }()
	until(t, "health says no", func() bool {
		r, err := try(t.Context(), "GET", "http://"+s.MetricsAddr().String()+"/health/instance", nil)
		return err == nil && r.status == 503
	})
	until(t, "nothing new comes in", func() bool {
		_, err := try(t.Context(), "GET", s.base+"/v2/", nil)
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("the server stopped under a request: %v", err)
	default:
	}
	write(body[20:])
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("the request that ran: %q, %v", answer, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.log.String(), "draining") || !strings.Contains(s.log.String(), "stopped") {
		t.Errorf("log:\n%s", s.log)
	}
}

func itoa(n int) string { return string(big.NewInt(int64(n)).Append(nil, 10)) }

// inFlight reads the gauge of requests that are being answered.
func inFlight(t *testing.T, s *site) int {
	t.Helper()
	for line := range strings.Lines(send(t, "GET", "http://"+s.MetricsAddr().String()+"/metrics", "").body) {
		if strings.HasPrefix(line, "gantry_requests_in_flight{") {
			if strings.HasSuffix(strings.TrimSpace(line), " 0") {
				return 0
			}
			return 1
		}
	}
	return 0
}

// TestDrainBound cuts what does not end, and says so.
func TestDrainBound(t *testing.T) {
	s, log, err := launch(t, Options{DrainTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /api/v1/user/initialize HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 12)); err != nil { // "HTTP/1.1 100": the handler reads
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "still running") {
		t.Errorf("Stop: %v\n%s", err, log)
	}
}

// certificate makes a pair for 127.0.0.1 under a name.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}))
}

// TestReload takes a new certificate and live fields while it runs, keeps the
// old ones when the new are wrong, and says what waits for a restart.
func TestReload(t *testing.T) {
	cert, key := certificate(t, "one.example.com")
	dir := folder(t, map[string]string{"config.yaml": "SERVER_HOSTNAME: one.example.com\nFEATURE_USER_INITIALIZE: true\n", "ssl.cert": cert, "ssl.key": key})
	s := open(t, Options{Config: dir, Poll: 10 * time.Millisecond})
	put := func(name, text string) {
		t.Helper()
		tmp := filepath.Join(t.TempDir(), "new")
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	served := func() string {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		c, err := d.DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			return err.Error()
		}
		defer func() { _ = c.Close() }()
		tc, ok := c.(*tls.Conn)
		if !ok {
			return "no TLS"
		}
		return tc.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "one.example.com" {
		t.Fatalf("certificate of %s", got)
	}
	cert, key = certificate(t, "two.example.com")
	put("ssl.key", key)
	put("ssl.cert", cert)
	until(t, "the new certificate", func() bool { return served() == "two.example.com" })

	if set := s.auth.Settings(); set.ReadOnly || !set.AnonymousAccess {
		t.Fatalf("settings at the start: %+v", set)
	}
	put("config.yaml", "SERVER_HOSTNAME: two.example.com\nFEATURE_ANONYMOUS_ACCESS: false\nREGISTRY_STATE: readonly\nLOGGING_LEVEL: DEBUG\nFEATURE_RATE_LIMITS: true\n")
	until(t, "the live fields", func() bool {
		set := s.auth.Settings()
		return set.ReadOnly && !set.AnonymousAccess && s.level.Level() == slog.LevelDebug && s.edges.now.Load().limiter != nil
	})
	until(t, "the word about the restart", func() bool {
		return strings.Contains(s.log.String(), "wait for a restart") && strings.Contains(s.log.String(), "SERVER_HOSTNAME")
	})
	if got := s.live.Current().Server.Hostname; got != "one.example.com" {
		t.Errorf("a field that waits for a restart is %q", got)
	}
	put("config.yaml", "REGISTRY_STATE: sometimes\n")
	until(t, "the error", func() bool { return strings.Contains(s.log.String(), "config.yaml:1: REGISTRY_STATE") })
	if !s.auth.Settings().ReadOnly {
		t.Error("a wrong configuration changes something")
	}
	s.Reload(t.Context()) // as SIGHUP
	if got := served(); got != "two.example.com" {
		t.Errorf("certificate of %s after SIGHUP", got)
	}
}

// TestReloadSecret swaps a folder as Kubernetes swaps a Secret: certificate,
// key and config.yaml change at one instant. What does not fit together is
// refused as a whole, and the old ones go on.
func TestReloadSecret(t *testing.T) {
	root := t.TempDir()
	version := 0
	swap := func(files map[string]string) {
		t.Helper()
		version++
		dir := fmt.Sprintf("..%d", version)
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(root, dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tmp := filepath.Join(root, "..tmp")
		if err := errors.Join(os.Symlink(dir, tmp), os.Rename(tmp, filepath.Join(root, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	one, oneKey := certificate(t, "one.example.com")
	two, twoKey := certificate(t, "two.example.com")
	swap(map[string]string{"config.yaml": "REGISTRY_TITLE: One\n", "ssl.cert": one, "ssl.key": oneKey})
	for _, name := range []string{"config.yaml", "ssl.cert", "ssl.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Options{Config: root, Poll: 10 * time.Millisecond})
	serves := func(host, title string) bool {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(map[string]string{"one.example.com": one, "two.example.com": two}[host]))
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: host}}}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.Addr().String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(b), "registry "+title+".")
	}
	if !serves("one.example.com", "One") {
		t.Fatal("the first certificate is not served")
	}
	swap(map[string]string{"config.yaml": "REGISTRY_TITLE: Two\n", "ssl.cert": two, "ssl.key": twoKey})
	until(t, "the second certificate", func() bool { return serves("two.example.com", "Two") })
	for _, bad := range []struct {
		files map[string]string
		says  string
	}{
		{map[string]string{"config.yaml": "REGISTRY_TITLE: Three\n", "ssl.cert": one, "ssl.key": twoKey}, "not a pair"},
		{map[string]string{"config.yaml": "REGISTRY_TITLE: Three\n", "ssl.cert": "rubbish", "ssl.key": oneKey}, "ssl.cert"},
		{map[string]string{"config.yaml": "MAIL_PORT: many\n", "ssl.cert": one, "ssl.key": oneKey}, "config.yaml:1: MAIL_PORT"},
		{map[string]string{"ssl.cert": one, "ssl.key": oneKey}, "config.yaml is gone"},
	} {
		before := strings.Count(s.log.String(), "the old configuration stays")
		swap(bad.files)
		until(t, "the refusal", func() bool {
			log := s.log.String()
			return strings.Count(log, "the old configuration stays") > before && strings.Contains(log, bad.says)
		})
		if !serves("two.example.com", "Two") {
			t.Errorf("%s: the old configuration does not go on:\n%s", bad.says, s.log)
		}
	}
	swap(map[string]string{"config.yaml": "REGISTRY_TITLE: One\n", "ssl.cert": one, "ssl.key": oneKey})
	until(t, "the first certificate again", func() bool { return serves("one.example.com", "One") })
}

// TestRoles starts parts of a registry.
func TestRoles(t *testing.T) {
	for _, tt := range []struct {
		roles      Roles
		v2, api    int
		collecting bool
	}{
		{Roles{Registry: true}, 401, 404, false},
		{Roles{API: true}, 404, 401, false},
		{Roles{}, 401, 401, true},
	} {
		s := open(t, Options{Roles: tt.roles})
		for path, want := range map[string]int{"/v2/": tt.v2, "/api/v1/user/": tt.api, "/health/instance": 200, "/v1/_ping": 200} {
			if r := send(t, "GET", s.base+path, ""); r.status != want {
				t.Errorf("%v: GET %s: %d, want %d: %s", tt.roles, path, r.status, want, r.body)
			}
		}
		leased := func() bool {
			l, err := s.db.TakeLease(t.Context(), gcLease, "test", time.Second)
			if err == nil {
				err = s.db.ReleaseLease(t.Context(), l)
			}
			return gantry.Is(err, gantry.Conflict)
		}
		if tt.collecting {
			until(t, "the collector holds its lease", leased)
		} else if leased() {
			t.Errorf("%v: it collects", tt.roles)
		}
	}
	w := open(t, Options{Roles: workerRoles, Listen: Off, Metrics: "127.0.0.1:0"})
	if w.Addr() != nil {
		t.Error("a worker listens")
	}
	if r := send(t, "GET", "http://"+w.MetricsAddr().String()+"/health/instance", ""); r.status != 200 {
		t.Errorf("health of a worker: %d", r.status)
	}
	alive, err := w.db.Instances(t.Context(), time.Now().Add(-time.Minute))
	until(t, "the worker's sign of life", func() bool {
		alive, err = w.db.Instances(t.Context(), time.Now().Add(-time.Minute))
		return len(alive) > 0
	})
	if err != nil || len(alive) != 1 || alive[0].Roles != "gc,jobs,notify,replicate,mirror" {
		t.Errorf("instances: %+v, %v", alive, err)
	}
}

func TestParseRoles(t *testing.T) {
	for in, want := range map[string]string{"": "", "registry": "registry", " api , registry": "registry,api", "worker": "gc,jobs,notify,replicate,mirror", "gc": "gc", "worker,api": "api,gc,jobs,notify,replicate,mirror", "ui": "api", "registry,ui,notify": "registry,api,notify", "mirror": "mirror", "mirrors": "!", "registry;api": "!"} {
		r, err := ParseRoles(in)
		got := r.String()
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("ParseRoles(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{"": "gc,jobs,notify,replicate,mirror", "gc": "gc", "jobs,gc": "gc,jobs", "notify": "notify", "registry": "!", "ui": "!"} {
		r, err := ParseWorkers(in)
		got := r.String()
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("ParseWorkers(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
	if _, err := ParseRoles("mirrors"); !strings.Contains(err.Error(), `"mirrors"`) || !strings.Contains(err.Error(), "api, gc, jobs, mirror, notify, registry, replicate, ui, worker") {
		t.Errorf("an unknown role: %v", err)
	}
	if _, err := ParseWorkers("ui"); !strings.HasSuffix(err.Error(), "gc, jobs, mirror, notify, replicate, worker") {
		t.Errorf("an unknown worker: %v", err)
	}
	for _, tt := range []struct {
		only []string
		over map[string]bool
		want string
	}{
		{nil, nil, "registry,api,gc,jobs,notify,replicate,mirror"},
		{[]string{"gunicorn-registry", "nginx"}, nil, "registry"},
		{[]string{"web", "gcworker"}, map[string]bool{"registry": true}, "registry,api,gc"},
		{nil, map[string]bool{"gcworker": false, "repomirrorworker": true}, "registry,api,jobs,notify,replicate,mirror"},
		{nil, map[string]bool{"blobuploadcleanupworker": false}, "registry,api,gc,jobs,notify,replicate,mirror"},
		{nil, map[string]bool{"notificationworker": false}, "registry,api,gc,jobs,replicate,mirror"},
		{[]string{}, nil, ""},
	} {
		if got := allRoles.restrict(tt.only, tt.over).String(); got != tt.want {
			t.Errorf("%v %v: %s, want %s", tt.only, tt.over, got, tt.want)
		}
	}
}

// TestJobs runs what is scheduled, once each.
func TestJobs(t *testing.T) {
	s := open(t, Options{})
	until(t, "all jobs have run", func() bool {
		next, err := s.db.Schedules(t.Context())
		return err == nil && len(next) == len(schedules(s.live.Current()))
	})
	for _, sc := range schedules(s.live.Current()) {
		if _, ok := s.kinds()[sc.Job.Kind]; !ok {
			t.Errorf("nobody runs %s", sc.Job.Kind)
		}
	}
}

// TestGuard starts work again that panicked, and says so.
func TestGuard(t *testing.T) {
	log := &journal{}
	c := &core{log: log.logger()}
	if !c.panics(t.Context(), "test", func(context.Context) { panic("boom") }) || !strings.Contains(log.String(), "boom") {
		t.Errorf("a panic is not caught, or not told: %s", log)
	}
	if c.panics(t.Context(), "test", func(context.Context) {}) {
		t.Error("work that ended well counts as a panic")
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.guard(ctx, "test", func(context.Context) { cancel(); panic("once") }) // ends, for ctx has ended
}

// TestHealthDetails are for superusers, and for who knows the secret.
func TestHealthDetails(t *testing.T) {
	s := open(t, Options{Environ: []string{`QUAY_OVERRIDE_CONFIG={"ENABLE_HEALTH_DEBUG_SECRET": "sesame", "FEATURE_USER_INITIALIZE": true, "HEALTH_CHECKER_INSTANCE_CHECK_PREFERRED_STORAGE": true}`}})
	s.initialize("ada")
	if r := send(t, "GET", s.base+"/health/instance", ""); strings.Contains(r.body, "services_expanded") || !strings.Contains(r.body, "preferred_storage") {
		t.Errorf("for anybody: %s", r.body)
	}
	in := send(t, "POST", s.base+"/api/v1/signin", `{"username": "ada", "password": "`+password+`"}`, "Content-Type", "application/json")
	session := strings.Split(in.header.Get("Set-Cookie"), ";")[0]
	if r := send(t, "GET", s.base+"/health/instance", "", "Cookie", session); !strings.Contains(r.body, "services_expanded") {
		t.Errorf("for a superuser (%s): %s", session, r.body)
	}
	grant := send(t, "GET", s.base+"/health/enabledebug/sesame", "")
	if r := send(t, "GET", s.base+"/health/instance", "", "Cookie", strings.Split(grant.header.Get("Set-Cookie"), ";")[0]); !strings.Contains(r.body, "services_expanded") {
		t.Errorf("for who knows the secret (%d): %s", grant.status, r.body)
	}
}

// TestRateLimits are off unless told, and then answer 429.
func TestRateLimits(t *testing.T) {
	s := open(t, Options{Environ: []string{`QUAY_OVERRIDE_CONFIG={"FEATURE_RATE_LIMITS": true}`}})
	for range 200 {
		if r := send(t, "GET", s.base+"/api/v1/user/", ""); r.status == 429 {
			if r.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if r := send(t, "GET", s.base+"/health/instance", ""); r.status != 200 {
				t.Errorf("health is limited: %d", r.status)
			}
			return
		}
	}
	t.Error("200 requests at once are allowed")
}
