package editor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
)

const (
	password = "the-right-one"
	dbSecret = "db-p@ssword"
	secret   = "0123456789-secret-key"
)

// file is a configuration with comments and secrets.
const file = `# The lab's registry.
SERVER_HOSTNAME: registry.example.com
TAG_EXPIRATION_OPTIONS: [1d, 2w] # how long
DEFAULT_TAG_EXPIRATION: 2w

DB_URI: postgresql://quay:` + dbSecret + `@db.example.com/quay?sslmode=require
SECRET_KEY: ` + secret + `
DATABASE_SECRET_KEY: ` + secret + `
USER_EVENTS_REDIS:
  host: redis # the small one
  password: ` + secret + `
`

// A bench is an editor of a folder.
type bench struct {
	*testing.T
	dir    string
	server *Server
	log    bytes.Buffer
	mu     sync.Mutex
	now    time.Time
	client string // where requests come from; "" = httptest's
}

func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func newBench(t *testing.T, text string) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir(), now: time.Now()}
	b.put("config.yaml", text)
	b.server = &Server{Store: &edit.Folder{Dir: b.dir}, Password: password, Version: "1", Log: slog.New(slog.NewTextHandler(b, nil)), Now: func() time.Time { return b.now },
		Probes: map[string]Probe{"database": func(_ context.Context, c *config.Config) []Test {
			return []Test{{Name: "database", Group: "Database", OK: strings.Contains(c.DB.URI, "good.example.com"), Message: "asked", Next: "name good.example.com"}}
		}}}
	return b
}

func (b *bench) put(name, text string) {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) text(name string) string {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

// ask sends a request with the password, unless headers say otherwise.
func (b *bench) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	r.SetBasicAuth(User, password)
	if b.client != "" {
		r.RemoteAddr = b.client
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	// Whatever is asked, no answer and no line of the log has a secret.
	for _, s := range []string{secret, dbSecret} {
		if path != "/api/v1/config/download" && strings.Contains(w.Body.String(), s) {
			b.Errorf("%s %s: the answer has a secret: %s", method, path, w.Body)
		}
		if strings.Contains(b.log.String(), s) {
			b.Errorf("%s %s: the log has a secret: %s", method, path, b.log.String())
		}
	}
	return w
}

func (b *bench) want(w *httptest.ResponseRecorder, status int, words ...string) {
	b.Helper()
	if w.Code != status {
		b.Fatalf("%d %s, want %d", w.Code, w.Body, status)
	}
	for _, word := range words {
		if !strings.Contains(w.Body.String(), word) {
			b.Errorf("%q is not in %s", word, w.Body)
		}
	}
}

func (b *bench) tag() string {
	b.Helper()
	return b.ask("GET", "/api/v1/config", "").Header().Get("ETag")
}

func (b *bench) change(body string) *httptest.ResponseRecorder {
	b.Helper()
	return b.ask("PATCH", "/api/v1/config", body, "If-Match", b.tag())
}

func decode[T any](b *bench, w *httptest.ResponseRecorder) (v T) {
	b.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		b.Fatalf("%v: %s", err, w.Body)
	}
	return v
}

// TestConfig: the bundle has defaults and what is written, and no secrets.
func TestConfig(t *testing.T) {
	b := newBench(t, file)
	b.put("extra_ca_certs/ours.crt", "-----BEGIN CERTIFICATE-----")
	b.put("ssl.key", "-----BEGIN PRIVATE KEY-----\n"+secret)
	w := b.ask("GET", "/api/v1/config", "")
	b.want(w, 200)
	got := decode[bundle](b, w)
	for field, want := range map[string]any{"SECRET_KEY": "***", "DB_URI": "postgresql://quay:***@db.example.com/quay?sslmode=require", "DEFAULT_TAG_EXPIRATION": "2w",
		"FEATURE_DIRECT_LOGIN": true, "REPO_MIRROR_INTERVAL": 30.0} {
		if got.Config[field] != want {
			t.Errorf("%s is %v, want %v", field, got.Config[field], want)
		}
	}
	if r, _ := got.Config["USER_EVENTS_REDIS"].(map[string]any); r["password"] != "***" || r["host"] != "redis" {
		t.Errorf("USER_EVENTS_REDIS is %v", r)
	}
	if got.Certs["ssl.key"] != "***" || got.Certs["extra_ca_certs/ours.crt"] != base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----")) {
		t.Errorf("certs %v", got.Certs)
	}
	w = b.ask("GET", "/api/v1/config/state", "")
	b.want(w, 200, `"mode":"standalone"`, `"writable":true`, `"SECRET_KEY":"file"`, `"FEATURE_DIRECT_LOGIN":"default"`)
	b.want(b.ask("GET", "/api/v1/config/form", ""), 200, `"id":"time-machine"`, `"class":"S3Storage"`)
	b.want(b.ask("GET", "/api/v1/config/schema", ""), 200, "https://json-schema.org/draft/2020-12/schema")
	b.want(b.ask("GET", "/api/v1/nothing", ""), 404)
	b.want(newBench(t, "").ask("GET", "/api/v1/config", ""), 200)
	empty := newBench(t, "")
	if err := os.Remove(filepath.Join(empty.dir, "config.yaml")); err != nil {
		t.Fatal(err)
	}
	b.want(empty.ask("GET", "/api/v1/config", ""), 202)
	empty.want(empty.change(`{"config.yaml":{"REGISTRY_TITLE":"First"}}`), 200)
	if got := empty.text("config.yaml"); got != "REGISTRY_TITLE: First\n" {
		t.Errorf("the first configuration is %q", got)
	}
}

// TestPatch: a change writes its fields and nothing else; secrets that are
// shown as *** stay; what is not valid is not written.
func TestPatch(t *testing.T) {
	b := newBench(t, file)
	b.want(b.ask("PATCH", "/api/v1/config", `{}`), 428)
	b.want(b.ask("PATCH", "/api/v1/config", `{}`, "If-Match", `"other"`), 412)
	b.want(b.ask("PATCH", "/api/v1/config", `{}`, "If-Match", `*`), 412)
	w := b.change(`{"config.yaml":{"TAG_EXPIRATION_OPTIONS":["1d","2w","4w"],"SECRET_KEY":"***","USER_EVENTS_REDIS":{"host":"valkey","password":"***","port":6380},
		"DB_URI":"postgresql://quay:***@db2.example.com/quay?sslmode=require"},"certs":{"extra_ca_certs/ours.crt":"` + base64.StdEncoding.EncodeToString([]byte(ca(t))) + `"}}`)
	b.want(w, 200, `"revision"`)
	want := strings.NewReplacer("[1d, 2w] #", "[1d, 2w, 4w] #", "host: redis", "host: valkey", "@db.ex", "@db2.ex", "  password: "+secret, "  password: "+secret+"\n  port: 6380").Replace(file)
	if got := b.text("config.yaml"); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	if st, err := os.Stat(filepath.Join(b.dir, "config.yaml")); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v", st.Mode(), err)
	}
	if b.text("extra_ca_certs/ours.crt") != ca(t) {
		t.Error("the certificate is another one")
	}
	for _, word := range []string{"the configuration was changed", "TAG_EXPIRATION_OPTIONS", "extra_ca_certs/ours.crt", User} {
		if !strings.Contains(b.log.String(), word) {
			t.Errorf("the log does not say %q: %s", word, b.log.String())
		}
	}
	before := b.text("config.yaml")
	for body, status := range map[string]int{
		`{"config.yaml":{"DEFAULT_TAG_EXPIRATION":"soon"}}`:                          422,
		`{"config.yaml":{"DEFAULT_TAG_EXPIRATION":["2w"]}}`:                          400,
		`{"config.yaml":{"LDAP_ADMIN_PASSWD":"***"}}`:                                422,
		`{"config.yaml":{"DB_READ_REPLICAS":[{"DB_URI":"postgresql://u:***@h/d"}]}}`: 422,
		`{"config.yaml":[]}`:                              400,
		`{"config.yaml":{}} x`:                            400,
		`{"certs":{"../config.yaml":"eA=="}}`:             422,
		`{"certs":{"extra_ca_certs/../../x.crt":"eA=="}}`: 422,
		`{"certs":{"config.yaml":"eA=="}}`:                422,
		`{"certs":{"extra_ca_certs/a.crt":"?"}}`:          422,
		`{"certs":{"extra_ca_certs/a.crt":"eA=="}}`:       422,
		`{"manage":{"postgres":true}}`:                    422,
		`{"config.yaml":{"X":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`: 400,
		`{"config.yaml":{"REGISTRY_TITLE":"` + strings.Repeat("x", 5<<20) + `"}}`:           413,
	} {
		if w := b.change(body); w.Code != status {
			t.Errorf("%.80s: %d %s, want %d", body, w.Code, w.Body, status)
		}
	}
	if b.text("config.yaml") != before {
		t.Error("a change that was refused was written")
	}
	b.want(b.change(`{"config.yaml":{"USER_EVENTS_REDIS":{"port":null}},"certs":{"extra_ca_certs/ours.crt":null}}`), 200)
	if strings.Contains(b.text("config.yaml"), "6380") {
		t.Error("the key is still there")
	}
	if _, err := os.Stat(filepath.Join(b.dir, "extra_ca_certs/ours.crt")); err == nil {
		t.Error("the certificate is still there")
	}
}

// ca is a certificate that can be read.
func ca(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTwoEditors: of two changes of the same revision one is written.
func TestTwoEditors(t *testing.T) {
	b := newBench(t, file)
	tag := b.tag()
	codes := make([]int, 8)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/api/v1/config", strings.NewReader(fmt.Sprintf(`{"config.yaml":{"REGISTRY_TITLE":"Title %d"}}`, i)))
			r.SetBasicAuth(User, password)
			r.Header.Set("If-Match", tag)
			w := httptest.NewRecorder()
			b.server.ServeHTTP(w, r)
			codes[i] = w.Code
		})
	}
	all.Wait()
	slices.Sort(codes)
	if codes[0] != 200 || codes[1] != 412 || codes[7] != 412 {
		t.Errorf("answers %v", codes)
	}
}

// TestHistory: each change is kept, and goes back with its secrets.
func TestHistory(t *testing.T) {
	b := newBench(t, file)
	first := strings.Trim(b.tag(), `"`)
	for i := range 25 {
		b.want(b.change(fmt.Sprintf(`{"config.yaml":{"REGISTRY_TITLE":"Title %d"}}`, i)), 200)
	}
	list := decode[[]revision](b, b.ask("GET", "/api/v1/config/history", ""))
	if len(list) != edit.KeepRevisions || !list[0].Current || list[1].Current || !slices.Equal(list[0].Changed, []string{"REGISTRY_TITLE"}) {
		t.Errorf("%d revisions: %+v", len(list), list[0])
	}
	b.want(b.ask("POST", "/api/v1/config/rollback/"+first, "", "If-Match", b.tag()), 404)
	b.want(b.ask("POST", "/api/v1/config/rollback/"+list[3].Revision, ""), 428)
	b.want(b.ask("POST", "/api/v1/config/rollback/"+list[3].Revision, "", "If-Match", b.tag()), 200)
	if text := b.text("config.yaml"); !strings.Contains(text, "Title 21") || !strings.Contains(text, secret) {
		t.Errorf("rolled back to %s", text)
	}
	// A server reads nothing of it.
	if _, problems, err := config.Load(config.Options{Dir: b.dir}); err != nil || len(problems) > 0 && problems[0].Severity == config.Error {
		t.Errorf("%v, %v", problems, err)
	}
	if st, err := os.Stat(filepath.Join(b.dir, ".gantry-editor")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the history's folder is %v, %v", st.Mode(), err)
	}
	// An edit by hand in between is kept too.
	b.put("config.yaml", strings.Replace(file, "2w]", "2w, 8w]", 1))
	b.want(b.change(`{"config.yaml":{"REGISTRY_TITLE":"After"}}`), 200)
	list = decode[[]revision](b, b.ask("GET", "/api/v1/config/history", ""))
	b.want(b.ask("POST", "/api/v1/config/rollback/"+list[1].Revision, "", "If-Match", b.tag()), 200)
	if !strings.Contains(b.text("config.yaml"), "8w") {
		t.Error("the edit by hand is lost")
	}
}

// TestSignIn: sessions, and who is kept out.
func TestSignIn(t *testing.T) {
	b := newBench(t, file)
	none := []string{"Authorization", ""}
	w := b.ask("GET", "/api/v1/config", "", none...)
	b.want(w, 401)
	if w.Header().Get("WWW-Authenticate") == "" {
		t.Error("curl is not told how")
	}
	if w := b.ask("GET", "/api/v1/config", "", "Authorization", "", "X-Requested-With", "gantry-editor"); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("the page gets %d %v", w.Code, w.Header())
	}
	b.want(b.ask("GET", "/api/v1/session", "", none...), 401)
	w = b.ask("POST", "/api/v1/session", `{"username":"quayconfig","password":"`+password+`"}`, "Authorization", "", "X-Forwarded-Proto", "https")
	b.want(w, 204)
	c := w.Result().Cookies()[0]
	if c.Name != "gantry_editor" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.MaxAge != 8*3600 {
		t.Errorf("cookie %+v", c)
	}
	in := []string{"Authorization", "", "Cookie", c.Name + "=" + c.Value}
	b.want(b.ask("GET", "/api/v1/session", "", in...), 200, User)
	b.want(b.ask("GET", "/api/v1/config/state", "", in...), 200)
	b.want(b.ask("POST", "/api/v1/config/check", "{}", in...), 403, "X-Requested-With")
	page := append(in, "X-Requested-With", "gantry-editor")
	b.want(b.ask("POST", "/api/v1/config/check", "{}", page...), 200)
	b.want(b.ask("POST", "/api/v1/config/check", "{}", append(page, "Sec-Fetch-Site", "cross-site")...), 403)
	b.want(b.ask("POST", "/api/v1/config/check", "{}", "Origin", "https://evil.example.com"), 403)
	b.want(b.ask("GET", "/api/v1/session", "", "Authorization", "", "Cookie", c.Name+"="+c.Value[:len(c.Value)-2]+"AA"), 401)
	b.want(b.ask("DELETE", "/api/v1/session", "", in...), 204)

	// It lasts through a restart, dies with the password, and in time.
	again := newBench(t, file)
	again.want(again.ask("GET", "/api/v1/session", "", in...), 200)
	other := newBench(t, file)
	other.server.Password = "another-one"
	other.want(other.ask("GET", "/api/v1/session", "", in...), 401)
	again.now = again.now.Add(9 * time.Hour)
	again.want(again.ask("GET", "/api/v1/session", "", in...), 401)

	for range 10 {
		b.want(b.ask("POST", "/api/v1/session", `{"username":"quayconfig","password":"guess"}`, none...), 401)
	}
	w = b.ask("GET", "/api/v1/config", "")
	b.want(w, 429)
	if w.Header().Get("Retry-After") == "" {
		t.Error("nobody says how long")
	}
	b.want(b.ask("GET", "/api/v1/config/state", "", in...), 200)
	b.client = "198.51.100.7:4000" // who guesses locks nobody else out
	b.want(b.ask("GET", "/api/v1/config", ""), 200)
	for i := range maxWrongAll - 10 {
		b.client = fmt.Sprintf("198.51.100.%d:%d", i%200+20, i)
		if w := b.ask("POST", "/api/v1/session", `{"username":"quayconfig","password":"guess"}`, none...); w.Code != 401 {
			t.Fatalf("guess %d: %d", i, w.Code)
		}
	}
	b.client = "198.51.100.7:4000"
	b.want(b.ask("GET", "/api/v1/config", ""), 429)
	b.now = b.now.Add(time.Minute)
	b.want(b.ask("GET", "/api/v1/config", ""), 200)
}

// TestCheck: what a change would do.
func TestCheck(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b := newBench(t, file)
	type answer struct {
		Valid    bool
		Problems []problem
		Tests    []Test
		Changes  []edit.Change
	}
	got := decode[answer](b, b.ask("POST", "/api/v1/config/check", `{"config.yaml":{"TAG_EXPIRATION_OPTIONS":["2w"],"SECRET_KEY":"another","MAIL_PORT":25}}`))
	if !got.Valid || len(got.Changes) != 3 || got.Changes[0].Field != "MAIL_PORT" || got.Changes[0].From != 587.0 || got.Changes[1].From != "***" || got.Changes[1].To != "***" || got.Changes[1].Live ||
		!got.Changes[2].Live {
		t.Errorf("%+v", got)
	}
	got = decode[answer](b, b.ask("POST", "/api/v1/config/check", `{"config.yaml":{"DEFAULT_TAG_EXPIRATION":"9w"}}`))
	if got.Valid || !slices.ContainsFunc(got.Problems, func(p problem) bool { return p.Group == "TimeMachine" && p.Severity == "error" }) {
		t.Errorf("%+v", got)
	}
	// Offline asks nobody; online does, and a failed test keeps a change from being written.
	if got = decode[answer](b, b.ask("POST", "/api/v1/config/check?mode=offline", `{}`)); len(got.Tests) != 0 {
		t.Errorf("%+v", got)
	}
	if got = decode[answer](b, b.ask("POST", "/api/v1/config/check?mode=online", `{}`)); len(got.Tests) != 1 || got.Tests[0].OK {
		t.Errorf("%+v", got)
	}
	b.want(b.ask("PATCH", "/api/v1/config?mode=online", `{"config.yaml":{"REGISTRY_TITLE":"x"}}`, "If-Match", b.tag()), 422, "good.example.com")
	good := `{"config.yaml":{"DB_URI":"postgresql://quay:***@good.example.com/quay"}}`
	b.want(b.ask("POST", "/api/v1/config/test/database", good), 200, `"ok":true`)
	b.want(b.ask("POST", "/api/v1/config/test/nothing", good), 404)
	// Who begins tests the database before there are keys, which are not written.
	begin := `{"config.yaml":{"DB_URI":"postgresql://quay:***@good.example.com/quay","SECRET_KEY":null,"DATABASE_SECRET_KEY":null}}`
	b.want(b.ask("POST", "/api/v1/config/test/database", begin), 200, `"ok":true`)
	b.want(b.ask("POST", "/api/v1/config/test/database", strings.Replace(begin, "null", `null,"DEFAULT_TAG_EXPIRATION":"9w"`, 1)), 422, "DEFAULT_TAG_EXPIRATION")
	b.want(b.ask("POST", "/api/v1/config/check", begin), 200, `"valid":false`)
	b.want(b.ask("PATCH", "/api/v1/config?mode=online", good, "If-Match", b.tag()), 200)
	b.want(b.ask("POST", "/api/v1/config/check?mode=perhaps", `{}`), 400)
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "gantry-editor-*")); err != nil || len(left) > 0 {
		t.Errorf("files of live tests are left: %v, %v", left, err)
	}
}

// TestQuay: the calls of Quay's editor.
func TestQuay(t *testing.T) {
	b := newBench(t, file)
	whole := decode[map[string]any](b, b.ask("GET", "/api/v1/config", ""))
	send := func(path string, change func(map[string]any)) *httptest.ResponseRecorder {
		conf := map[string]any{}
		for k, v := range whole["config.yaml"].(map[string]any) {
			conf[k] = v
		}
		change(conf)
		body, err := json.Marshal(map[string]any{"config.yaml": conf, "certs": map[string]string{}, "managedFieldGroups": []string{"Database", "HostSettings"}})
		if err != nil {
			t.Fatal(err)
		}
		return b.ask("POST", path, string(body))
	}
	if w := send("/api/v1/config/validate?mode=offline", func(map[string]any) {}); w.Body.String() != "[]" {
		t.Errorf("a valid one: %s", w.Body)
	}
	b.want(send("/api/v1/config/validate?mode=testing", func(m map[string]any) { m["DEFAULT_TAG_EXPIRATION"] = "soon" }), 200, `"Tags":["DEFAULT_TAG_EXPIRATION"]`, `"FieldGroup":"TimeMachine"`)
	b.want(send("/api/v1/config/validate?mode=online", func(map[string]any) {}), 200, `"FieldGroup":"Database"`, "good.example.com")
	b.want(send("/api/v1/config/validate", func(m map[string]any) { m["FEATURE_MAILING"] = []any{} }), 400)

	// A commit writes what is another, leaves managed groups alone but for the
	// host's, and writes no default down.
	b.want(send("/api/v1/config/operator", func(m map[string]any) {
		m["TAG_EXPIRATION_OPTIONS"] = []any{"1d", "2w", "4w"}
		m["DB_URI"] = "postgresql://elsewhere/quay"
		m["SERVER_HOSTNAME"] = "other.example.com"
	}), 200, `"status":"success"`)
	want := strings.NewReplacer("2w] #", "2w, 4w] #", "registry.ex", "other.ex").Replace(file)
	if got := b.text("config.yaml"); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}

	w := b.ask("POST", "/api/v1/config/download", `{"config.yaml":{"REGISTRY_TITLE":"Down"},"certs":{"extra_ca_certs/x.crt":"eA=="}}`)
	b.want(w, 200)
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(text)
	}
	if !strings.Contains(got["config.yaml"], "REGISTRY_TITLE: Down") || !strings.Contains(got["config.yaml"], dbSecret) || got["extra_ca_certs/x.crt"] != "x" {
		t.Errorf("%v", got)
	}
}

// TestBroken: a file that cannot be read is shown as what it is, and goes back.
func TestBroken(t *testing.T) {
	b := newBench(t, file)
	b.want(b.change(`{"config.yaml":{"REGISTRY_TITLE":"x"}}`), 200)
	b.put("config.yaml", "SECRET_KEY: [\n"+secret)
	b.want(b.ask("GET", "/api/v1/config", ""), 200)
	b.want(b.ask("GET", "/api/v1/config/state", ""), 200, "cannot be read")
	b.want(b.change(`{"config.yaml":{"REGISTRY_TITLE":"y"}}`), 422, "roll back")
	list := decode[[]revision](b, b.ask("GET", "/api/v1/config/history", ""))
	b.want(b.ask("POST", "/api/v1/config/rollback/"+list[0].Revision, "", "If-Match", b.tag()), 200)
	if !strings.Contains(b.text("config.yaml"), "REGISTRY_TITLE: x") {
		t.Error(b.text("config.yaml"))
	}
	// So is one that can be read and is wrong: the change has to mend it.
	b.put("config.yaml", file+"MAIL_PORT: many\nREPO_MIRROR_INTERVAL: often\n")
	b.want(b.change(`{"config.yaml":{"MAIL_PORT":25}}`), 422, "REPO_MIRROR_INTERVAL")
	b.want(b.change(`{"config.yaml":{"MAIL_PORT":25,"REPO_MIRROR_INTERVAL":null}}`), 200)
}

// TestReadOnly: a folder that cannot be written says so.
func TestReadOnly(t *testing.T) {
	b := newBench(t, file)
	tag := b.tag()
	if err := os.Symlink("x", filepath.Join(b.dir, "..data")); err != nil { // as Kubernetes mounts a Secret
		t.Fatal(err)
	}
	b.want(b.ask("GET", "/api/v1/config/state", ""), 200, `"writable":false`, "mounted from a Secret")
	b.want(b.ask("PATCH", "/api/v1/config", `{"config.yaml":{"REGISTRY_TITLE":"x"}}`, "If-Match", tag), 403, "mounted from a Secret")
}

// FuzzPatch: whatever is sent, the file stays one that a server takes, and no
// secret comes out.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{`{"config.yaml":{"DB_URI":"postgresql://u:***@h/d"}}`, `{"config.yaml":{"USER_EVENTS_REDIS":{"password":"***","host":null}}}`, `{"config.yaml":{"A":{"***":["***"]}},"certs":{"a.crt":"***"}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var p edit.Patch
		if json.Unmarshal([]byte(body), &p) != nil || clean(&p) != nil {
			return
		}
		files, _, err := edit.Apply(edit.Files{"config.yaml": []byte(file)}, p)
		if err != nil {
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), dbSecret) {
				t.Fatalf("the error has a secret: %v", err)
			}
			return
		}
		values, problems := config.ParseValues("config.yaml", files["config.yaml"])
		if len(problems) > 0 {
			t.Fatalf("%q: %v", files["config.yaml"], problems)
		}
		text, err := json.Marshal(config.Mask(values))
		if err != nil {
			t.Fatal(err)
		}
		for name := range values { // under another name it is whoever wrote it there
			if f, known := config.Lookup(name); known && f.Secret && strings.Contains(string(text), secret) && p.Config[name] == nil {
				t.Fatalf("a secret is shown: %s", text)
			}
		}
	})
}
