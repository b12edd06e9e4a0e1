//go:build !small

package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth/ldap/ldaptest"
	"github.com/gantry-registry/gantry/internal/auth/oidc/oidctest"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/editor"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// keysYAML are the keys that a configuration with a database server needs.
const keysYAML = "SECRET_KEY: ssssssssssssssssssssssssssssssss\nDATABASE_SECRET_KEY: dddddddddddddddddddddddddddddddd\n"

// probed makes one live test of a configuration.
func probed(t *testing.T, name string, files map[string]string) []editor.Test {
	t.Helper()
	dir := t.TempDir()
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := LoadConfig(config.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	list := editor.Run(t.Context(), probes(slog.New(slog.DiscardHandler)), []string{name}, c)
	if len(list) == 0 {
		t.Fatalf("%s: no test was made", name)
	}
	return list
}

// well and ill are what a test is to be.
func well(t *testing.T, name string, files map[string]string, words ...string) editor.Test {
	t.Helper()
	got := probed(t, name, files)[0]
	if !got.OK || got.Skipped != "" {
		t.Errorf("%s: %+v", name, got)
	}
	for _, w := range words {
		if !strings.Contains(got.Message+got.Next, w) {
			t.Errorf("%s: %q is not in %+v", name, w, got)
		}
	}
	return got
}

func ill(t *testing.T, name string, files map[string]string, next string, secrets ...string) editor.Test {
	t.Helper()
	got := probed(t, name, files)[0]
	if got.OK || got.Skipped != "" || got.Message == "" || !strings.Contains(got.Next, next) {
		t.Errorf("%s: want %q, got %+v", name, next, got)
	}
	for _, s := range secrets {
		if strings.Contains(fmt.Sprintf("%+v", got), s) {
			t.Errorf("%s: the secret is in %+v", name, got)
		}
	}
	return got
}

func written(text string) map[string]string { return map[string]string{"config.yaml": text} }

func TestProbeDatabase(t *testing.T) {
	uri := storetest.EmptyURI(t, storetest.Postgres)
	well(t, "database", written(keysYAML+"DB_URI: "+uri+"\n"), "PostgreSQL ", "without TLS", "pg_trgm")
	well(t, "database", written(keysYAML+"DB_URI: "+storetest.EmptyURI(t, storetest.MariaDB)+"\n"), "MySQL ")
	ill(t, "database", written(keysYAML+"DB_URI: postgresql://u:sesame@127.0.0.1:1/d\n"), "nothing listens there", "sesame")
	d, err := config.ParseDBURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	d.Name += "_not_there"
	ill(t, "database", written(keysYAML+"DB_URI: "+d.String()+"\n"), "create it there")

	ca, other := servertest.NewAuthority(t), servertest.NewAuthority(t)
	p := servertest.NewPostgres(t, servertest.PostgresOptions{Authority: ca, Certificate: ca.Sign(t, "db", "127.0.0.1")})
	pem := func(a *servertest.Authority) string {
		text, err := os.ReadFile(a.File)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	secure := keysYAML + "DB_URI: postgresql://postgres:x@" + p.Addr() + "/postgres\nDB_CONNECTION_ARGS: {sslmode: verify-full}\n"
	got := well(t, "database", map[string]string{"config.yaml": secure, "extra_ca_certs/db.crt": pem(ca)}, "by TLSv1")
	if len(got.Chain) != 2 || got.Chain[0].Subject != "CN=db" || got.Chain[0].Issuer != "CN=test authority" {
		t.Errorf("chain %+v", got.Chain)
	}
	got = ill(t, "database", map[string]string{"config.yaml": secure, "extra_ca_certs/db.crt": pem(other)}, "extra_ca_certs")
	if len(got.Chain) != 2 {
		t.Errorf("chain %+v", got.Chain)
	}
	if list := probed(t, "database", written("{}")); list[0].Skipped == "" || list[0].OK {
		t.Errorf("SQLite: %+v", list)
	}
}

// TestNextStep: a number in an address, a path or a name is no status of HTTP.
func TestNextStep(t *testing.T) {
	for text, want := range map[string]string{
		`user=q database=q: /tmp/run-3730940336/.s.PGSQL.5432: FATAL: database "q" does not exist`: "create it",
		"10.0.40.3:4031: server closed the connection":                                             "look at the log",
		"dial 10.0.0.403:403: it broke off":                                                        "look at the log",
		"https response error StatusCode: 403, RequestID: 4041":                                    "correct the user",
		"RESPONSE 404: 404 The specified container":                                                "create it",
		"the server says 401":                                                                      "correct the user",
		`{"status":401}`:                                                                           "look at the log",
		"unexpected answer (404)":                                                                  "create it",
	} {
		if got := nextStep(errors.New(text), time.Second); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestProbeRedis(t *testing.T) {
	s := servertest.NewRedis(t, servertest.RedisOptions{Password: "sesame"})
	host, port, _ := strings.Cut(s.Addr, ":")
	conf := func(password string) map[string]string {
		return written(fmt.Sprintf("USER_EVENTS_REDIS: {host: %s, port: %s, password: %s}\n", host, port, password))
	}
	well(t, "redis", conf("sesame"), "PING")
	ill(t, "redis", conf("wrong-word"), "correct the user and the password", "wrong-word")
	if list := probed(t, "redis", conf("sesame")); len(list) != 2 || list[1].Skipped == "" {
		t.Errorf("BUILDLOGS_REDIS: %+v", list)
	}
	secure := servertest.NewRedis(t, servertest.RedisOptions{TLS: true})
	host, port, _ = strings.Cut(secure.Addr, ":")
	got := ill(t, "redis", written(fmt.Sprintf("USER_EVENTS_REDIS: {host: %s, port: %s, ssl: true}\n", host, port)), "extra_ca_certs")
	if len(got.Chain) == 0 {
		t.Errorf("no chain: %+v", got)
	}
}

func TestProbeStorage(t *testing.T) {
	dir := t.TempDir()
	srv := servertest.S3(t)
	host, port, _ := strings.Cut(srv.Addr, ":")
	conf := func(bucket, key, path string) map[string]string {
		return written(fmt.Sprintf(`DISTRIBUTED_STORAGE_CONFIG:
  cloud: [S3Storage, {s3_bucket: %s, s3_access_key: %s, s3_secret_key: %s, s3_region: %s, host: %s, port: %s, is_secure: false, storage_path: /q}]
  disk: [LocalStorage, {storage_path: %s}]
`, bucket, srv.AccessKey, key, servertest.Region, host, port, path))
	}
	bucket := srv.Bucket(t)
	for _, got := range probed(t, "storage", conf(bucket, srv.SecretKey, dir)) {
		if !got.OK {
			t.Errorf("%+v", got)
		}
	}
	ill(t, "storage", conf(bucket, "not-the-secret-key", dir), "correct the user", "not-the-secret-key")
	ill(t, "storage", conf("no-such-bucket", srv.SecretKey, dir), "create it there")
	if list := probed(t, "storage", conf(bucket, srv.SecretKey, dir+"/none")); list[1].OK || !strings.Contains(list[1].Next, "storage_path") {
		t.Errorf("%+v", list[1])
	}
}

func TestProbeDirectory(t *testing.T) {
	dir := ldaptest.Start(t, false, "")
	conf := func(password, base, pem string) map[string]string {
		return map[string]string{"ldap.crt": pem, "config.yaml": fmt.Sprintf("AUTHENTICATION_TYPE: LDAP\nLDAP_URI: %s\nLDAP_BASE_DN: [%s]\nLDAP_ADMIN_DN: %s\nLDAP_ADMIN_PASSWD: %s\nLDAP_USER_RDN: [ou=people]\n",
			dir.LDAPS, base, ldaptest.AdminDN, password)}
	}
	if got := well(t, "ldap", conf(ldaptest.AdminPassword, "dc=example, dc=org", dir.PEM()), "searches"); len(got.Chain) == 0 {
		t.Errorf("no chain: %+v", got)
	}
	ill(t, "ldap", conf("wrong-word", "dc=example, dc=org", dir.PEM()), "correct the user", "wrong-word")
	ill(t, "ldap", conf(ldaptest.AdminPassword, "dc=nowhere", dir.PEM()), "LDAP_BASE_DN")
}

func TestProbeLogin(t *testing.T) {
	at := oidctest.Start(t)
	conf := func(server string) map[string]string {
		return written(fmt.Sprintf("ACME_LOGIN_CONFIG: {OIDC_SERVER: %s, CLIENT_ID: a, CLIENT_SECRET: sesame, SERVICE_NAME: Acme}\n", server))
	}
	files := conf(at.URL + "/")
	files["extra_ca_certs/at.crt"] = at.PEM
	well(t, "oidc", files, "discovery")
	ill(t, "oidc", conf(at.URL+"/"), "extra_ca_certs", "sesame")
	ill(t, "oidc", conf("http://127.0.0.1:1/"), "nothing listens there")
}

func TestProbeMail(t *testing.T) {
	ill(t, "smtp", written("FEATURE_MAILING: true\nMAIL_SERVER: 127.0.0.1\nMAIL_PORT: 1\n"), "nothing listens there")
	if list := probed(t, "smtp", written("{}")); list[0].Skipped == "" {
		t.Errorf("%+v", list)
	}
}

func TestProbeClair(t *testing.T) {
	key := []byte("a key that the two of them share")
	psk := base64.StdEncoding.EncodeToString(key)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, signature, _ := cutLast(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		if signature != base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path != "/indexer/api/v1/index_state" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"state":"1234"}`)) // the client is in this test
	}))
	defer srv.Close()
	conf := func(at, psk string) map[string]string {
		return written(fmt.Sprintf("FEATURE_SECURITY_SCANNER: true\nSECURITY_SCANNER_V4_ENDPOINT: %s\nSECURITY_SCANNER_V4_PSK: %s\n", at, psk))
	}
	well(t, "clair", conf(srv.URL, psk), "indexer")
	ill(t, "clair", conf(srv.URL, base64.StdEncoding.EncodeToString([]byte("another one"))), "auth.psk", base64.StdEncoding.EncodeToString([]byte("another one")))
	ill(t, "clair", conf(srv.URL+"/elsewhere", psk), "SECURITY_SCANNER_V4_ENDPOINT")
}

func cutLast(token string) (text, signature string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return "", "", false
	}
	return token[:i], token[i+1:], true
}
