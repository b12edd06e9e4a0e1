package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var update = flag.Bool("update", false, "write generated files")

// folder writes files, by name, into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// load loads a config.yaml and fails on an error.
func load(t testing.TB, yaml string, env ...string) (*Config, []Problem) {
	t.Helper()
	c, ps, err := Load(Options{Dir: folder(t, map[string]string{"config.yaml": yaml}), Environ: env})
	if err != nil {
		t.Fatal(err)
	}
	return c, ps
}

func only(ps []Problem, sev Severity) []Problem {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Severity != sev })
}

func TestDefaults(t *testing.T) {
	c, ps, err := Load(Options{})
	if err != nil || len(ps) != 0 {
		t.Fatalf("Load of nothing: %v, %v", ps, err)
	}
	if !c.Empty() || !c.Features.UserInitialize {
		t.Error("without any configuration the first account is not offered")
	}
	got := fmt.Sprint(c.Server.Hostname, c.Server.Scheme, c.DB.URI, len(c.Storage.Locations), c.Redis.UserEvents.Host,
		c.Features.Mailing, c.Features.BuildSupport, c.Features.RepoMirror, c.Features.UserCreation,
		c.Registry.MaxLayerSize, c.Registry.DefaultTagExpiration, c.Registry.TagExpirationOptions,
		c.Registry.PushTempTagExpiration, c.Auth.Type, c.Session.FreshLoginTimeout, c.Log.Level, c.Metrics.Namespace, c.Explicit("DB_URI"))
	want := fmt.Sprint("", "http", "", 0, "", false, false, false, true, int64(20<<30), 14*24*time.Hour, []string{"0s", "1d", "1w", "2w", "4w"},
		time.Hour, "Database", 10*time.Minute, "INFO", "quay", false)
	if got != want {
		t.Errorf("defaults:\n got %s\nwant %s", got, want)
	}
	if c.RootCAs() == nil {
		t.Error("no certificate authorities")
	}
	if c.Features.QuotaManagement || c.Features.ProxyCache || c.Features.BuildSupport || c.Features.StorageReplication {
		t.Error("quotas, proxy caches, builds or replication are on though nobody asked for them")
	}

	// A folder without config.yaml: the defaults, and a word about it.
	c, ps, err = Load(Options{Dir: t.TempDir()})
	if err != nil || len(ps) != 1 || ps[0].Severity != Warning || !c.Empty() {
		t.Errorf("empty folder: %v, %v", ps, err)
	}
	// A folder that is named and not there is a mistake.
	if _, ps, err = Load(Options{Dir: "/nonexistent/stack"}); !errors.Is(err, ErrInvalid) || len(ps) != 1 {
		t.Errorf("missing folder: %v, %v", ps, err)
	}
	// An empty file counts as none.
	if c, _ := load(t, "# nothing\n"); !c.Features.UserInitialize {
		t.Error("an empty file switches the first account off")
	}
	if c, _ := load(t, "SERVER_HOSTNAME: a.example.com\n"); c.Features.UserInitialize || c.Empty() {
		t.Error("a configuration leaves the first account to anybody")
	}
}

func TestAccessors(t *testing.T) {
	c, _ := load(t, `
SERVER_HOSTNAME: r.example.com
PREFERRED_URL_SCHEME: https
EXTERNAL_TLS_TERMINATION: true
REGISTRY_STATE: readonly
FEATURE_LISTEN_IP_VERSION: dual-stack
TRUSTED_PROXY_CIDR: [10.1.2.3/8, "2001:db8::1"]
LOGGING_LEVEL: critical
TAG_EXPIRATION_OPTIONS: [2w, 1y]
`)
	got := fmt.Sprint(c.Server.URL(), " ", c.Server.ReadOnly(), " ", c.Server.Network(), " ", c.Server.TrustedProxies(), " ", c.Log.Slog(), " ", c.Registry.TagExpirations())
	want := "https://r.example.com true tcp [10.0.0.0/8 2001:db8::1/128] ERROR [336h0m0s 8760h0m0s]"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	c, _ = load(t, "")
	if got := fmt.Sprintln(c.Server.URL(), c.Server.ReadOnly(), c.Server.Network(), c.Server.TrustedProxies(), c.Log.Slog()); got != " false tcp4 [] INFO\n" {
		t.Errorf("defaults: %s", got)
	}
}

func TestQuayConf(t *testing.T) {
	root := folder(t, map[string]string{"stack/config.yaml": "SERVER_HOSTNAME: here.example.com\n"})
	c, _, err := Load(Options{Environ: []string{"QUAYCONF=" + root}})
	if err != nil || c.Server.Hostname != "here.example.com" {
		t.Errorf("QUAYCONF: %v", err)
	}
}

// TestSeed loads every sample of the founding document.
func TestSeed(t *testing.T) {
	files, err := filepath.Glob("testdata/seed/*")
	if err != nil || len(files) < 5 {
		t.Fatalf("samples: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var env []string
			if strings.Contains(file, "geo") {
				env = []string{"QUAY_DISTRIBUTED_STORAGE_PREFERENCE=eustorage\tusstorage"}
			}
			_, ps, err := Load(Options{Dir: folder(t, map[string]string{"config" + filepath.Ext(file): string(data)}), Environ: env})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range ps {
				if p.Severity == Warning && strings.Contains(p.Message, "is not a name") {
					t.Errorf("a key that the seed uses is not in the table: %s", p)
				}
			}
		})
	}
}

func TestWhole(t *testing.T) {
	c := sample(t, "whole.yaml")
	var ids []string
	for _, l := range c.Storage.Locations {
		ids = append(ids, l.ID+":"+l.Class)
	}
	want := "default:LocalStorage usstorage:GoogleCloudStorage eustorage:GoogleCloudStorage s3Storage:S3Storage azureStorage:AzureStorage radosGWStorage:RadosGWStorage swiftStorage:SwiftStorage rhocsStorage:RHOCSStorage"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("locations, in the order of the file: %s", got)
	}
	rhocs := c.Storage.Locations[7]
	if !rhocs.Bool("is_secure") || rhocs.Int("port") != 443 || rhocs.Int("maximum_chunk_size_mb") != 100 {
		t.Errorf("quoted values of a location: %v", rhocs.Params)
	}
	if r := c.Redis.UserEvents; r.Host != "quay-server.example.com" || r.Port != 6380 || !r.TLS || r.Password != "strongpassword" || !r.CheckHostname {
		t.Errorf("USER_EVENTS_REDIS: %+v", r)
	}
	if c.DB.URI != "postgresql://quayuser:quaypass@quay-server.example.com:5432/quay" || c.DB.Args["sslmode"] != "verify-ca" {
		t.Errorf("database: %s %v", c.DB.URI, c.DB.Args)
	}
	execs, _ := c.Build.Manager.Options["EXECUTORS"].([]any)
	if c.Build.Manager.Name != "ephemeral" || len(execs) != 2 {
		t.Errorf("BUILD_MANAGER: %+v", c.Build.Manager)
	}
	if file, line := c.Where("SERVER_HOSTNAME"); line == 0 || filepath.Base(file) != "config.yaml" || !c.Explicit("SERVER_HOSTNAME") {
		t.Errorf("Where: %s:%d", file, line)
	}
	if v, ok := c.Get("USER_RECOVERY_TOKEN_LIFETIME"); !ok || v != 30*time.Minute {
		t.Errorf("Get: %v, %v", v, ok)
	}
	if c.Registry.TagExpirationOptions[4] != "4w" || c.Quota.DefaultReject != 102400000 || c.Auth.SuperUsers[0] != "quayadmin" {
		t.Error("values are lost")
	}
}

// values is what Get returns of a field that stands in no group.
func values(c *Config, field string) any { v, _ := c.Get(field); return v }

func TestLater(t *testing.T) {
	c := sample(t, "later.yaml")
	got := fmt.Sprint(c.DB.URI, " ", c.DB.ReadReplicas, c.DB.Args["sslsni"], c.DB.Args["keepalives_idle"], " ", values(c, "ALLOWED_OCI_ARTIFACT_TYPES"), c.Prune.DefaultPolicy,
		c.Features.Mailing, c.Mail.UseAuth, c.Tracing.OTel, c.Audit.ModelConfig.SplunkHEC["port"], " ", c.Scanner.IndexMaxLayerSize, c.Redis.PullMetrics.Host, c.Redis.PullMetrics.Port, c.Redis.PullMetrics.DB)
	want := fmt.Sprint("postgresql://quay:pw@[2001:db8::5]:6432/quay", " ", []Replica{{"postgresql://quay:p%2Fw@replica/quay"}}, "0", 10.0, " ",
		map[string]any{"application/vnd.example.config": []string{"application/vnd.example.layer", "application/vnd.example.other"}}, PrunePolicy{"creation_date", "30d", "^pr-.*", true},
		true, true, OTel{ServiceName: "quay", Endpoint: "collector:4318", SampleRate: 0.5}, 8088, " ", int64(8<<30), "one", 7, 1)
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	want = fmt.Sprint([]OIDC{
		{ID: "azure2", Server: "https://login.example.com/", ClientID: "x", PKCEMethod: "S256"},
		{ID: "example", Server: "https://id.example.com/realms/a/", ClientID: "quay", ClientSecret: "hush", ServiceName: "Example", Scopes: []string{"openid", "email"},
			Audiences: []string{"quay"}, UsePKCE: true, PKCEMethod: "S256", EndpointParams: map[string]map[string]string{"authorization_endpoint": {"prompt": "login", "max_age": "60"}}},
	})
	if got := fmt.Sprint(c.Login.OIDC); got != want || c.Login.GitHub.AllowedOrganizations[0] != "acme" {
		t.Errorf("providers:\n got %s\nwant %s", got, want)
	}
	if cdn := c.Storage.Locations[0]; cdn.String("default_provider") != "cf" || !slices.Equal(c.Storage.Preferred, []string{"cdn", "sts"}) {
		t.Errorf("storage: %+v", cdn)
	}
	if c.Redacted()["STRIPE_NEW_KEY"] == "sk" {
		t.Error("a key of a family is shown")
	}
}

// sample loads a file of testdata/seed.
func sample(t testing.TB, name string, env ...string) *Config {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/seed", name))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(Options{Dir: folder(t, map[string]string{"config" + filepath.Ext(name): string(data)}), Environ: env})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestQuoted(t *testing.T) {
	c := sample(t, "quoted.yaml")
	got := fmt.Sprint(c.Server.ExternalTLSTermination, c.Features.Mailing, c.Features.UserCreation, c.Server.SetupComplete, c.Registry.V2PaginationSize,
		c.Registry.MaxLayerSize, c.Quota.DefaultReject, c.Registry.PushTempTagExpiration, c.Auth.InstanceServiceKeyExpiration, c.Mirror.Interval,
		c.GC.Frequency, c.UI.SearchResultsPerPage, c.Auth.Type, c.Redis.UserEvents.Port, c.Redis.UserEvents.DB, c.Redis.UserEvents.TLS)
	want := fmt.Sprint(true, false, false, true, 100, int64(10<<30), int64(1.5e12), 30*time.Minute, 3*time.Hour, time.Hour,
		30*time.Second, 20, "Database", 6380, 2, true)
	if got != want {
		t.Errorf("quoted values:\n got %s\nwant %s", got, want)
	}
}

func TestOldNames(t *testing.T) {
	c := sample(t, "old.yaml")
	if c.Redis.UserEvents.Host != "events" || c.Redis.BuildLogs.Host != "logs.example.com" || c.Redis.BuildLogs.Port != 6379 {
		t.Errorf("Redis: %+v", c.Redis)
	}
	if !c.Storage.RequiresAllAvailable || c.GC.NamespaceGCAllowlist[0] != "acme" || c.LDAP.BaseDN[0] != "dc=example,dc=com" {
		t.Error("an old spelling is lost")
	}
	if v, ok := c.Get("MY_OWN_KEY"); !ok || !reflect.DeepEqual(v, map[string]any{"anything": []any{int64(1), 2.5, true, nil}}) {
		t.Errorf("an unknown field is not kept: %v", v)
	}
	_, ps := load(t, "USER_SECRETENTS_REDIS: {host: a}\nUSER_EVENTS_REDIS: {host: b}\nSERVER_HOSTNMAE: x\nFEATURE_ACI_CONVERSION: true\nREPO_MIRROR_SERVER_HOSTNAME: a.example.com\nFEATURE_BUILD_SUPPORT: false\n")
	s := Report(nil, ps)
	var text strings.Builder
	for _, p := range ps {
		fmt.Fprintf(&text, "%s %d %s\n", p.Severity, p.Line, p.Field)
	}
	want := "warning 1 USER_SECRETENTS_REDIS\nwarning 3 SERVER_HOSTNMAE\nnot-used-yet 5 REPO_MIRROR_SERVER_HOSTNAME\nignored 4 FEATURE_ACI_CONVERSION\n"
	if text.String() != want || !strings.Contains(s.Warnings[1].Message, "did you mean SERVER_HOSTNAME?") {
		t.Errorf("got\n%s%v", text.String(), s.Warnings)
	}
}

func TestEnvironment(t *testing.T) {
	c, ps, err := Load(Options{
		Dir: folder(t, map[string]string{"config.yaml": `
SERVER_HOSTNAME: file.example.com
REGISTRY_TITLE: From the file
DISTRIBUTED_STORAGE_CONFIG: {a: [LocalStorage, {storage_path: /a}], b: [LocalStorage, {storage_path: /b}]}
DISTRIBUTED_STORAGE_PREFERENCE: [a, b]
`}),
		Environ: []string{
			`QUAY_OVERRIDE_CONFIG={"SERVER_HOSTNAME": "env.example.com", "FEATURE_PUBLIC_CATALOG": "true"}`,
			"QUAY_DISTRIBUTED_STORAGE_PREFERENCE= b\n a ", "QUAY_SERVICES=web,gcworker", "QUAY_OVERRIDE_SERVICES=gcworker=false, mirror=true",
			"DB_CONNECTION_POOLING=false", "WORKER_COUNT=4", "WORKER_COUNT_WEB=2", "WORKER_CONNECTION_COUNT_REGISTRY=9", "DEBUGLOG=true",
			"QUAY_LOGGING=stdout", "https_proxy=http://u:p@proxy:3128", "NO_PROXY=localhost", "GANTRY_GC_RATE=17", "UNRELATED=1",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Server.Hostname, c.UI.Title, c.Features.PublicCatalog, c.Storage.Preferred, c.Env.Services, c.Env.ServiceOverrides, c.Explicit("DB_CONNECTION_POOLING"),
		c.Log.Level, c.Log.Destination, c.Env.HTTPSProxy, c.Env.NoProxy, c.GC.Rate)
	want := fmt.Sprint("env.example.com", "From the file", true, []string{"b", "a"}, []string{"web", "gcworker"}, map[string]bool{"gcworker": false, "mirror": true}, true,
		"DEBUG", "stdout", "http://u:p@proxy:3128", "localhost", 17)
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	var ignored []string
	for _, p := range only(ps, Ignored) {
		ignored = append(ignored, p.Field)
	}
	if want := []string{"DB_CONNECTION_POOLING", "WORKER_CONNECTION_COUNT_REGISTRY", "WORKER_COUNT", "WORKER_COUNT_WEB"}; !slices.Equal(ignored, want) {
		t.Errorf("said to have no effect: %v, want %v", ignored, want)
	}
	if file, _ := c.Where("SERVER_HOSTNAME"); file != "QUAY_OVERRIDE_CONFIG" {
		t.Errorf("Where: %q", file)
	}
	for _, env := range []string{"WORKER_COUNT=many", "DEBUGLOG=maybe", "QUAY_OVERRIDE_SERVICES=gcworker", "HTTP_PROXY=ftp://x", "QUAY_LOGGING=moon", "IGNORE_VALIDATION=perhaps", `QUAY_OVERRIDE_CONFIG={"A": `, "GANTRY_GC_RATE=fast"} {
		name, _, _ := strings.Cut(env, "=")
		_, ps, err := Load(Options{Environ: []string{env}})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(ps[0].String(), name) {
			t.Errorf("%s: %v", env, ps)
		}
	}
	// An override may take a value back.
	c, _ = load(t, "REGISTRY_TITLE: a\nMY_KEY: 1\nPROXY_COUNT:\n", `QUAY_OVERRIDE_CONFIG={"REGISTRY_TITLE": null, "MY_KEY": null}`)
	if c.UI.Title != "Gantry" || !c.Empty() || c.Server.ProxyCount != 1 {
		t.Errorf("taken back: %q", c.UI.Title)
	}
	// What is wrong between fields can be let pass; what would lose data cannot.
	_, ps, err = Load(Options{Dir: folder(t, map[string]string{"config.yaml": "FEATURE_INVITE_ONLY_USER_CREATION: true\nFEATURE_USER_CREATION: false\n"}), Environ: []string{"IGNORE_VALIDATION=true"}})
	if err != nil || len(only(ps, Warning)) != 1 {
		t.Errorf("IGNORE_VALIDATION: %v, %v", ps, err)
	}
	if _, _, err = Load(Options{Dir: folder(t, map[string]string{"config.yaml": "DB_URI: postgresql://a@b/c\n"}), Environ: []string{"IGNORE_VALIDATION=true"}}); err == nil {
		t.Error("IGNORE_VALIDATION lets a database server go without keys")
	}
}

// TestErrors holds, for each class of mistake, the line, the field and what
// the message must say.
func TestErrors(t *testing.T) {
	const keys = "SECRET_KEY: a\nDATABASE_SECRET_KEY: b\n"
	tests := []struct{ name, yaml, at, says string }{
		{"not YAML", "A: [1,\nB: 2\n", ":2", "not valid YAML"},
		{"tab", "A:\n\tB: 1\n", ":2", "not valid YAML"},
		{"second document", "A: 1\n---\nB: 1\n", ":2", "second YAML document"},
		{"a list", "- a\n", ":1", "must be a block"},
		{"a text", "just text\n", ":1", "must be a block"},
		{"written twice", "PROXY_COUNT: 1\nX: 2\nPROXY_COUNT: 3\n", ":3: PROXY_COUNT", "line 1 and on line 3"},
		{"bool", "\nFEATURE_MAILING: maybe\n", ":2: FEATURE_MAILING", `"maybe" is not allowed; it must be true or false`},
		{"int", "MAIL_PORT: many\n", ":1: MAIL_PORT", "a whole number from 1 to 65535"},
		{"range", "MAIL_PORT: 70000\n", ":1: MAIL_PORT", "from 1 to 65535"},
		{"negative", "PROXY_COUNT: -1\n", ":1: PROXY_COUNT", "from 0 to 32"},
		{"float", "DISKSPACE_HEALTH_THRESHOLD: much\n", ":1: DISKSPACE_HEALTH_THRESHOLD", "a number from 0 to 1"},
		{"NaN", "DISKSPACE_HEALTH_THRESHOLD: .nan\n", ":1: DISKSPACE_HEALTH_THRESHOLD", "a number"},
		{"duration", "FRESH_LOGIN_TIMEOUT: 10\n", ":1: FRESH_LOGIN_TIMEOUT", "such as 30m or 2w"},
		{"long duration", "FRESH_LOGIN_TIMEOUT: 99999999999w\n", ":1: FRESH_LOGIN_TIMEOUT", "such as 30m or 2w"},
		{"size", "MAXIMUM_LAYER_SIZE: 20 gallons\n", ":1: MAXIMUM_LAYER_SIZE", "such as 20G"},
		{"one of", "AUTHENTICATION_TYPE: Magic\n", ":1: AUTHENTICATION_TYPE", "one of Database, LDAP, JWT, Keystone, OIDC, AppToken"},
		{"list", "SUPER_USERS: quayadmin\n", ":1: SUPER_USERS", "must be a list, such as [first, second]"},
		{"list item", "TAG_EXPIRATION_OPTIONS:\n- 2w\n- soon\n", ":3: TAG_EXPIRATION_OPTIONS[1]", `"soon" is not allowed`},
		{"block", "USER_EVENTS_REDIS: redis.example.com\n", ":1: USER_EVENTS_REDIS", "must be a block of names and values"},
		{"block in text", "SERVER_HOSTNAME: {a: b}\n", ":1: SERVER_HOSTNAME", "it must be text"},
		{"key missing", "\nUSER_EVENTS_REDIS: {port: 1}\n", ":2: USER_EVENTS_REDIS.host", "is missing"},
		{"key wrong", "USER_EVENTS_REDIS:\n  host: a\n  port: http\n", ":3: USER_EVENTS_REDIS.port", "from 1 to 65535"},
		{"host with scheme", "SERVER_HOSTNAME: https://r.example.com\n", ":1: SERVER_HOSTNAME", "without scheme"},
		{"host with port", "SERVER_HOSTNAME: r.example.com:port\n", ":1: SERVER_HOSTNAME", "1 to 65535"},
		{"URL", "DOCUMENTATION_ROOT: docs\n", ":1: DOCUMENTATION_ROOT", "http:// or https://"},
		{"issuer", "EXAMPLE_LOGIN_CONFIG: {OIDC_SERVER: 'https://id.example.com', CLIENT_ID: a}\n", ":1: EXAMPLE_LOGIN_CONFIG.OIDC_SERVER", "must end in '/'"},
		{"contact", "CONTACT_INFO: [ops]\n", ":1: CONTACT_INFO[0]", "mailto"},
		{"label", "LABEL_KEY_RESERVED_PREFIXES: [com]\n", ":1: LABEL_KEY_RESERVED_PREFIXES[0]", "end in '.'"},
		{"private hosts", "SSRF_ALLOWED_HOSTS: ['a b']\n", ":1: SSRF_ALLOWED_HOSTS[0]", "a host name, an IP address or a network"},
		{"cookie", "SESSION_COOKIE_NAME: a b\n", ":1: SESSION_COOKIE_NAME", "letters, digits"},
		{"metrics", "PROMETHEUS_NAMESPACE: my-quay\n", ":1: PROMETHEUS_NAMESPACE", "letters, digits"},
		{"pattern", "DEFAULT_NAMESPACE_AUTOPRUNE_POLICY: {method: creation_date, value: 1d, tag_pattern: '('}\n", ":1: DEFAULT_NAMESPACE_AUTOPRUNE_POLICY.tag_pattern", "regular expression"},
		{"endpoint", "DATA_MODEL_CACHE_CONFIG: {engine: memcached, endpoint: [a]}\n", ":1: DATA_MODEL_CACHE_CONFIG.endpoint", "a host and a port"},
		{"merge", "A:\n  <<: 1\n", ":2: A", "merges blocks only"},
		{"location's name", "DISTRIBUTED_STORAGE_CONFIG: {'a b': [LocalStorage, {storage_path: /x}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a b", "letters, digits"},
		{"locations", "DISTRIBUTED_STORAGE_CONFIG: []\n", ":1: DISTRIBUTED_STORAGE_CONFIG", "{name: [class, {parameters}]}"},
		{"CDN", "DISTRIBUTED_STORAGE_CONFIG: {a: [MultiCDNStorage, {storage_config: {}, providers: {b: [CloudFlareStorage, {cloudflare_domain: d}]}, default_provider: c}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a.default_provider", "one of providers: b"},
		{"FIPS", "FEATURE_FIPS: true\nMAIL_SERVER: a\nMAIL_USE_TLS: false\n", ":3: MAIL_USE_TLS", "FEATURE_FIPS"},
		{"network", "TRUSTED_PROXY_CIDR: [10.0.0.0/40]\n", ":1: TRUSTED_PROXY_CIDR[0]", "10.0.0.0/8"},
		{"namespace", "LIBRARY_NAMESPACE: My Library\n", ":1: LIBRARY_NAMESPACE", "lower-case letters"},
		{"base64", "SECURITY_SCANNER_V4_PSK: '!'\n", ":1: SECURITY_SCANNER_V4_PSK", "the value is not allowed: it must be base64"},
		{"DB scheme", "DB_URI: oracle://a:secretpw@b/c\n", ":1: DB_URI", "postgresql"},
		{"DB host", "DB_URI: postgresql:///c\n", ":1: DB_URI", "names no host"},
		{"DB name", "DB_URI: postgresql://a:secretpw@b\n", ":1: DB_URI", "names no database"},
		{"DB hosts of MySQL", "DB_URI: mysql+pymysql://a:secretpw@b,c/d\n", ":1: DB_URI", "several hosts"},
		{"DB host of several", "DB_URI: postgresql://a:secretpw@b,/d\n", ":1: DB_URI", "names no host"},
		{"SQLite in memory", "DB_URI: 'sqlite://'\n", ":1: DB_URI", "names a file"},
		{"keys of a database server", "DB_URI: postgresql://a:b@c/d\n", ":1: SECRET_KEY", "openssl rand -hex 32"},
		{"key of a database server", "DB_URI: mysql+pymysql://a:b@c/d\nSECRET_KEY: x\n", ":1: DATABASE_SECRET_KEY", "the same for every instance"},
		{"sslmode", keys + "DB_URI: postgresql://a:b@c/d\nDB_CONNECTION_ARGS: {sslmode: maybe}\n", ":4: DB_CONNECTION_ARGS.sslmode", "one of disable, allow, prefer, require, verify-ca, verify-full"},
		{"TLS files missing", "SERVER_HOSTNAME: a\nPREFERRED_URL_SCHEME: https\n", ":2: PREFERRED_URL_SCHEME", "EXTERNAL_TLS_TERMINATION: true"},
		{"old TLS only", "SSL_PROTOCOLS: [TLSv1]\n", ":1: SSL_PROTOCOLS", "add one of them"},
		{"CDN rule", "DISTRIBUTED_STORAGE_CONFIG: {a: [MultiCDNStorage, {storage_config: {}, providers: {b: [CloudFlareStorage, {cloudflare_domain: d}]}, default_provider: b, rules: [{namespace: n, target: x}]}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a.rules[0].target", "one of providers: b"},
		{"CDN rule's key", "DISTRIBUTED_STORAGE_CONFIG: {a: [MultiCDNStorage, {storage_config: {}, providers: {b: [CloudFlareStorage, {cloudflare_domain: d}]}, default_provider: b, rules: [{network: n, target: b}]}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a.rules[0].network", "namespace, continent, host and target"},
		{"CDN class", "DISTRIBUTED_STORAGE_CONFIG: {a: [MultiCDNStorage, {storage_config: {}, providers: {b: [S3Storage, {}]}, default_provider: b}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a.providers.b", "is no CDN"},
		{"storage class", "DISTRIBUTED_STORAGE_CONFIG:\n  a:\n  - S3Strage\n  - {s3_bucket: b}\n", ":3: DISTRIBUTED_STORAGE_CONFIG.a[0]", "did you mean S3Storage?"},
		{"storage shape", "DISTRIBUTED_STORAGE_CONFIG: {a: S3Storage}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a", "a list of two"},
		{"storage parameter", "DISTRIBUTED_STORAGE_CONFIG:\n  a:\n  - S3Storage\n  - storage_path: /x\n", ":4: DISTRIBUTED_STORAGE_CONFIG.a[1].s3_bucket", "is missing"},
		{"storage none", "DISTRIBUTED_STORAGE_CONFIG: {}\n", ":1: DISTRIBUTED_STORAGE_CONFIG", "names no location"},
		{"storage half a key", "DISTRIBUTED_STORAGE_CONFIG: {a: [S3Storage, {s3_bucket: b, s3_access_key: k}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a", "go together"},
		{"Azure's secondary endpoint", "DISTRIBUTED_STORAGE_CONFIG: {a: [AzureStorage, {azure_container: c, azure_account_name: n, sas_token: s, endpoint_url: 'https://n-secondary.blob.core.usgovcloudapi.net'}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a[1].endpoint_url", "primary"},
		{"Swift 3", "DISTRIBUTED_STORAGE_CONFIG: {a: [SwiftStorage, {swift_container: c, auth_url: 'https://s/v3', auth_version: 3, swift_user: u, swift_password: p}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a", "os_options"},
		{"CDN key file", "DISTRIBUTED_STORAGE_CONFIG: {a: [CloudFrontedS3Storage, {s3_bucket: b, cloudfront_distribution_domain: d, cloudfront_key_id: k, cloudfront_privatekey_filename: no.pem}]}\n", ":1: DISTRIBUTED_STORAGE_CONFIG.a.cloudfront_privatekey_filename", "beside config.yaml"},
		{"preference", "DISTRIBUTED_STORAGE_CONFIG: {default: [LocalStorage, {storage_path: /x}]}\nDISTRIBUTED_STORAGE_PREFERENCE: [defualt]\n", ":2: DISTRIBUTED_STORAGE_PREFERENCE", "did you mean default?"},
		{"replication", "DISTRIBUTED_STORAGE_CONFIG: {default: [LocalStorage, {storage_path: /x}]}\nFEATURE_STORAGE_REPLICATION: true\n", ":2: FEATURE_STORAGE_REPLICATION", "QUAY_DISTRIBUTED_STORAGE_PREFERENCE"},
		{"LDAP", "AUTHENTICATION_TYPE: LDAP\n", ":1: LDAP_BASE_DN", "AUTHENTICATION_TYPE: LDAP needs it"},
		{"LDAP address", "LDAP_URI: http://x\n", ":1: LDAP_URI", "ldap:// or ldaps://"},
		{"JWT", "AUTHENTICATION_TYPE: JWT\nJWT_VERIFY_ENDPOINT: http://x\nJWT_AUTH_ISSUER: y\n", ":1: AUTHENTICATION_TYPE", "jwt-authn.cert"},
		{"Keystone", "AUTHENTICATION_TYPE: Keystone\n", ":1: KEYSTONE_AUTH_URL", "needs it"},
		{"OIDC", "AUTHENTICATION_TYPE: OIDC\n", ":1: AUTHENTICATION_TYPE", "EXAMPLE_LOGIN_CONFIG"},
		{"AppToken", "AUTHENTICATION_TYPE: AppToken\nFEATURE_DIRECT_LOGIN: true\n", ":2: FEATURE_DIRECT_LOGIN", "must be false"},
		{"no way in", "FEATURE_DIRECT_LOGIN: false\n", ":1: FEATURE_DIRECT_LOGIN", "no other way"},
		{"invitations", "FEATURE_INVITE_ONLY_USER_CREATION: true\nFEATURE_USER_CREATION: false\n", ":1: FEATURE_INVITE_ONLY_USER_CREATION", "FEATURE_USER_CREATION: true"},
		{"GitHub", "FEATURE_GITHUB_LOGIN: true\n", ":1: FEATURE_GITHUB_LOGIN", "GITHUB_LOGIN_CONFIG"},
		{"GitHub's organizations", "FEATURE_GITHUB_LOGIN: true\nGITHUB_LOGIN_CONFIG: {CLIENT_ID: a, CLIENT_SECRET: b, ORG_RESTRICT: true}\n", ":2: GITHUB_LOGIN_CONFIG.ALLOWED_ORGANIZATIONS", "is empty"},
		{"mail", "FEATURE_MAILING: true\n", ":1: MAIL_SERVER", "FEATURE_MAILING needs it"},
		{"mail account", "MAIL_SERVER: a\nMAIL_USE_AUTH: true\n", ":2: MAIL_USERNAME", "needs it"},
		{"time machine", "DEFAULT_TAG_EXPIRATION: 3w\n", ":1: DEFAULT_TAG_EXPIRATION", "not one of TAG_EXPIRATION_OPTIONS (0s, 1d, 1w, 2w, 4w)"},
		{"time machine's options", "\nTAG_EXPIRATION_OPTIONS: [1w]\n", ":2: TAG_EXPIRATION_OPTIONS", "the default 2w"},
		{"label limits", "LABELED_EXPIRATION_MINIMUM: 1y\nLABELED_EXPIRATION_MAXIMUM: 1d\n", ":1: LABELED_EXPIRATION_MINIMUM", "longer than"},
		{"prune", "FEATURE_AUTO_PRUNE: true\nDEFAULT_NAMESPACE_AUTOPRUNE_POLICY: {method: number_of_tags, value: 30d}\n", ":2: DEFAULT_NAMESPACE_AUTOPRUNE_POLICY.value", "whole number"},
		{"service key", "INSTANCE_SERVICE_KEY_REFRESH: 200\n", ":1: INSTANCE_SERVICE_KEY_REFRESH", "less than"},
		{"logs", "LOGS_MODEL: elasticsearch\n", ":1: LOGS_MODEL", "elasticsearch_config"},
		{"logs producer", "LOGS_MODEL_CONFIG: {producer: kafka}\n", ":1: LOGS_MODEL_CONFIG.producer", "kafka_config"},
		{"builds", "FEATURE_BUILD_SUPPORT: true\nBUILD_MANAGER: [ephemeral, {}]\n", ":2: BUILD_MANAGER", "EXECUTORS"},
		{"build manager", "BUILD_MANAGER: [magic, {}]\n", ":1: BUILD_MANAGER", "one of ephemeral"},
		{"health checker", "HEALTH_CHECKER: [RDSAwareHealthCheck, {}]\n", ":1: HEALTH_CHECKER[1].db_instance", "is missing"},
		{"Redis nowhere", "USER_EVENTS_REDIS: {password: x}\n", ":1: USER_EVENTS_REDIS.host", "or sentinels and sentinel_master, or cluster_nodes"},
		{"Redis twice", "USER_EVENTS_REDIS: {host: a, cluster_nodes: ['b:1']}\n", ":1: USER_EVENTS_REDIS", "write one of them"},
		{"Redis without a master", "USER_EVENTS_REDIS: {sentinels: ['a:1', 'b:1']}\n", ":1: USER_EVENTS_REDIS", "sentinels and sentinel_master go together"},
		{"Redis master without Sentinels", "USER_EVENTS_REDIS: {host: a, sentinel_master: m}\n", ":1: USER_EVENTS_REDIS", "sentinels and sentinel_master go together"},
		{"Redis Sentinel without port", "USER_EVENTS_REDIS: {sentinels: [a], sentinel_master: m}\n", ":1: USER_EVENTS_REDIS.sentinels[0]", "port"},
		{"Redis Cluster's database", "USER_EVENTS_REDIS: {cluster_nodes: ['a:1'], db: 2}\n", ":1: USER_EVENTS_REDIS.db", "must be 0"},
		{"Redis prefix", "USER_EVENTS_REDIS: {host: a, prefix: 'a*'}\n", ":1: USER_EVENTS_REDIS.prefix", "letters, digits"},
		{"Redis certificates", "USER_EVENTS_REDIS: {host: a, ssl_certfile: /x}\n", ":1: USER_EVENTS_REDIS", "go together"},
		{"anchor", "B: 1\nA: *s3cretword\n", ":2", "must be in quotes"},
		{"boolean as text", "REGISTRY_TITLE: true\n", ":1: REGISTRY_TITLE", "put it in quotes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"config.yaml": tt.yaml})
			c, ps, err := Load(Options{Dir: dir})
			if !errors.Is(err, ErrInvalid) || c != nil {
				t.Fatalf("taken: %v", ps)
			}
			for _, p := range only(ps, Error) {
				if strings.HasPrefix(p.String(), filepath.Join(dir, "config.yaml")+tt.at+": ") && strings.Contains(p.Message, tt.says) {
					if !strings.Contains(err.Error(), p.String()) {
						t.Errorf("the error does not list the problem: %v", err)
					}
					if strings.Contains(err.Error(), "secretpw") || strings.Contains(err.Error(), "s3cretword") {
						t.Errorf("a secret is shown: %v", err)
					}
					return
				}
			}
			t.Errorf("no error at %q that says %q in:\n%v", tt.at, tt.says, err)
		})
	}
}

func TestJSON(t *testing.T) {
	dir := folder(t, map[string]string{"config.json": "{\n  \"SERVER_HOSTNAME\": \"a\",\n  \"MAIL_PORT\": \"x\"\n}\n"})
	_, ps, _ := Load(Options{Dir: dir})
	if len(ps) != 1 || ps[0].Line != 3 || ps[0].Field != "MAIL_PORT" {
		t.Errorf("a mistake in JSON: %v", ps)
	}
	if c, _, err := Load(Options{Dir: folder(t, map[string]string{"config.json": "\xef\xbb\xbf{\"PROXY_COUNT\": 2}"})}); err != nil || c.Server.ProxyCount != 2 {
		t.Errorf("byte order mark: %v", err)
	}
	for text, line := range map[string]int{"{\"A\": 1,\n}": 2, "[]": 1, "{} {}": 1, "{\"A\": \n": 1, "{\"A\":1,\n\"A\":2}": 2} {
		_, ps, err := Load(Options{Dir: folder(t, map[string]string{"config.json": text})})
		if err == nil || len(ps) == 0 || ps[0].Line != line {
			t.Errorf("%q: %v", text, ps)
		}
	}
	write(t, filepath.Join(dir, "config.yaml"), "A: 1\n")
	if _, ps, err := Load(Options{Dir: dir}); err == nil || !strings.Contains(ps[0].Message, "keep one of the two") {
		t.Errorf("two files: %v", ps)
	}
	// The same content means the same, whichever way it is written.
	y := sample(t, "geo.json", "QUAY_DISTRIBUTED_STORAGE_PREFERENCE=eustorage")
	data, err := os.ReadFile("testdata/seed/geo.json")
	if err != nil {
		t.Fatal(err)
	}
	j, _ := load(t, string(data), "QUAY_DISTRIBUTED_STORAGE_PREFERENCE=eustorage") // JSON is YAML
	if !reflect.DeepEqual(y.Redacted(), j.Redacted()) {
		t.Error("JSON and YAML differ")
	}
	if y.DB.URI != "mysql+pymysql://quay:p%40ss@db.example.com/quay" {
		t.Errorf("DB_URI: %s", y.DB.URI)
	}
}

// TestBounds feeds what would grow without end.
func TestBounds(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	for name, files := range map[string]map[string]string{
		"aliases":    {"config.yaml": bomb.String()},
		"own alias":  {"config.yaml": "a: &a [*a, *a]\n"},
		"own merge":  {"config.yaml": "a: &a\n  <<: *a\n  b: 1\n"},
		"depth":      {"config.yaml": "a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)},
		"JSON depth": {"config.json": `{"a": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}"},
		"JSON width": {"config.json": `{"a": [0` + strings.Repeat(",0", maxNodes) + "]}"},
		"size":       {"config.yaml": "# " + strings.Repeat("x", maxFile)},
	} {
		_, ps, err := Load(Options{Dir: folder(t, files)})
		if !errors.Is(err, ErrInvalid) || len(ps) > 4*maxProblems {
			t.Errorf("%s: %d problems, %v", name, len(ps), err)
		}
	}
	_, ps, err := Load(Options{Dir: folder(t, map[string]string{"config.yaml": "SERVER_HOSTNAME: a\nREGISTRY_TITLE: caf\xe9\n"})})
	if err == nil || ps[0].Line != 2 || !strings.Contains(ps[0].Message, "UTF-8") {
		t.Errorf("Latin 1: %v", ps)
	}
	// A flood of warnings hides no error.
	var flood strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&flood, "UNKNOWN_%d: 1\n", i)
	}
	_, ps, err = Load(Options{Dir: folder(t, map[string]string{"config.yaml": flood.String() + "MAIL_PORT: x\n"})})
	if err == nil || ps[0].Field != "MAIL_PORT" || len(ps) > maxProblems+1 {
		t.Errorf("flood: %d problems, %v", len(ps), err)
	}
	// Anchors and merges are fine in themselves.
	c, _ := load(t, "X_REDIS: &r {host: redis, port: 1}\nUSER_EVENTS_REDIS:\n  <<: *r\n  port: 2\nBUILDLOGS_REDIS: *r\n")
	if c.Redis.UserEvents.Host != "redis" || c.Redis.UserEvents.Port != 2 || c.Redis.BuildLogs.Port != 1 {
		t.Errorf("anchors: %+v", c.Redis)
	}
}

// TestRedis: the three ways to say where Redis is, and the old one.
func TestRedis(t *testing.T) {
	c, _ := load(t, "USER_EVENTS_REDIS: {sentinels: ['a:26379', 'b:26379'], sentinel_master: m, sentinel_password: s, password: p, prefix: 'gantry/1'}\nBUILDLOGS_REDIS: {cluster_nodes: ['c:1'], ssl: true}\n")
	if r := c.Redis.UserEvents; !r.On() || r.Host != "" || len(r.Sentinels) != 2 || r.Sentinels[1] != "b:26379" || r.SentinelMaster != "m" || r.SentinelPassword != "s" || r.Prefix != "gantry/1" {
		t.Errorf("%+v", r)
	}
	if r := c.Redis.BuildLogs; !r.On() || len(r.ClusterNodes) != 1 || !r.TLS {
		t.Errorf("%+v", r)
	}
	if text := fmt.Sprint(c.Redacted()["USER_EVENTS_REDIS"]); strings.Contains(text, "sentinel_password:s") || strings.Contains(text, "password:p") {
		t.Errorf("passwords are shown: %s", text)
	}
	c, _ = load(t, "USER_EVENTS_REDIS_HOSTNAME: old\n")
	if r := c.Redis.UserEvents; !r.On() || r.Host != "old" || r.Port != 6379 || c.Redis.BuildLogs.On() {
		t.Errorf("%+v", r)
	}
}

func TestWarnings(t *testing.T) {
	for yaml, says := range map[string]string{
		"ROBOTS_WHITELIST: [a+b]\n":                                                       "ROBOTS_DISALLOW: true",
		"DEFAULT_SYSTEM_REJECT_QUOTA_BYTES: 5G\n":                                         "FEATURE_QUOTA_MANAGEMENT: true",
		"SSL_PROTOCOLS: [TLSv1.1, TLSv1.2]\n":                                             "not offered",
		"SUPER_USERS: [a]\nGLOBAL_READONLY_SUPER_USERS: [a]\n":                            "this entry wins",
		"FEATURE_OTEL_TRACING: true\n":                                                    "OTEL_CONFIG.endpoint",
		"USER_EVENTS_REDIS: {host: a, ssl_ca_certs: /nonexistent}\n":                      "cannot be read here",
		"DISTRIBUTED_STORAGE_CONFIG: {a: [LocalStorage, {storage_path: x}]}\n":            "absolute path",
		"DISTRIBUTED_STORAGE_CONFIG: {a: [LocalStorage, {storage_path: /x, pathh: y}]}\n": "is not a name that is known here",
		"SESSION_COOKIE_SAMESITE: None\n":                                                 "SESSION_COOKIE_SECURE",
		"FEATURE_BUILD_SUPPORT: true\n":                                                   "BUILD_MANAGER",
	} {
		_, ps := load(t, yaml)
		if !slices.ContainsFunc(only(ps, Warning), func(p Problem) bool { return p.Line > 0 && strings.Contains(p.Message, says) }) {
			t.Errorf("%q: no warning that says %q: %v", yaml, says, ps)
		}
	}
}

func TestReport(t *testing.T) {
	c, ps := load(t, "SERVER_HOSTNAME: a.example.com\nREPO_MIRROR_SERVER_HOSTNAME: a.example.com\nFEATURE_BILLING: true\nNO_SUCH_FIELD: 1\n")
	s := Report(c, ps)
	if !s.Valid || s.Written != 4 || len(s.Errors) != 0 || len(s.Warnings) != 1 || len(s.NotUsedYet) != 1 || len(s.Ignored) != 1 {
		t.Errorf("report: %+v", s)
	}
	var text bytes.Buffer
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Warnings:\n", "config.yaml:4: NO_SUCH_FIELD: ", "Not used yet:\n", "The configuration is valid: 4 fields written, 1 warning.\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	data, err := json.Marshal(Report(nil, nil))
	if err != nil || !strings.Contains(string(data), `"errors":[]`) {
		t.Errorf("%s, %v", data, err)
	}
}

// TestRedacted writes a secret into every place that holds one and looks for it
// in everything that is shown.
func TestRedacted(t *testing.T) {
	doc := map[string]any{}
	for _, f := range Fields() {
		if v, ok := planted(&f); ok {
			doc[strings.Replace(f.Name, "<NAME>", "EXAMPLE", 1)] = v
		}
	}
	locs := map[string]any{}
	for class, ks := range storageClasses() {
		params := map[string]any{}
		for i := range ks {
			if v, ok := planted(&ks[i]); ok || ks[i].Required {
				params[ks[i].Name] = v
			}
		}
		locs[class] = []any{class, params}
	}
	var executor map[string]any
	ks := executorKeys()
	if v, ok := planted(&Field{Kind: Object, Keys: ks}); ok {
		executor = v.(map[string]any)
	}
	executor["HTTP_PROXY"] = "http://user:" + plant + "@proxy"
	doc["BUILD_MANAGER"] = []any{"ephemeral", map[string]any{"EXECUTORS": []any{executor}, "ORCHESTRATOR": map[string]any{"REDIS_HOST": "a", "REDIS_PASSWORD": plant}}}
	doc["MY_PASSWORD"] = plant
	doc["MY_BLOCK"] = map[string]any{"token": plant, "list": []any{map[string]any{"api_key": plant}}, "url": "https://u:" + plant + "@x/"}
	doc["HEALTH_CHECKER"] = []any{"RDSAwareHealthCheck", map[string]any{"db_instance": "a", "access_key": plant, "secret_key": plant}}
	doc["DISTRIBUTED_STORAGE_CONFIG"] = locs
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), plant); n < 60 {
		t.Fatalf("only %d secrets planted", n)
	}
	c, ps, err := Load(Options{Dir: folder(t, map[string]string{"config.json": string(data)}), Environ: []string{"IGNORE_VALIDATION=1"}})
	shown := fmt.Sprint(ps, err)
	if err == nil {
		out, jerr := json.Marshal(c.Redacted())
		if jerr != nil {
			t.Fatal(jerr)
		}
		shown += string(out)
		if !strings.Contains(shown, masked) || c.Redacted()["SECRET_KEY"] != masked {
			t.Error("nothing is masked")
		}
	} else {
		t.Errorf("the planted configuration is refused: %v", err)
	}
	if i := strings.Index(shown, plant); i >= 0 {
		t.Errorf("a secret is shown: …%s…", shown[max(0, i-120):i+20])
	}

	c, _ = load(t, "SECRET_KEY: k\nDATABASE_SECRET_KEY: k\nDB_URI: 'postgresql://quay:p@ss/w:rd@db:5432/quay?sslpassword=x'\nMY_TOKEN: ''\n")
	r := c.Redacted()
	if r["DB_URI"] != "postgresql://quay:***@db:5432/quay" || r["USER_RECOVERY_TOKEN_LIFETIME"] != "30m" || r["ALLOW_PULLS_WITHOUT_STRICT_LOGGING"] != false || r["MY_TOKEN"] != "" || r["DEFAULT_TAG_EXPIRATION"] != "2w" {
		t.Errorf("Redacted: %v %v", r["DB_URI"], r["USER_RECOVERY_TOKEN_LIFETIME"])
	}
}

const plant = "UExBTlRFRA" // base64 too

// planted returns a value for f that holds secrets wherever f says so.
func planted(f *Field) (v any, has bool) {
	if f.Secret {
		switch f.Name {
		case "DB_URI":
			return "postgresql://u:" + plant + "@h/d", true
		}
		return plant, true
	}
	switch f.Kind {
	case Object, ObjectList:
		m := map[string]any{}
		for i := range f.Keys {
			kv, khas := planted(&f.Keys[i])
			if has = has || khas; khas || f.Keys[i].Required {
				m[f.Keys[i].Name] = kv
			}
		}
		if f.Kind == ObjectList {
			return []any{m}, has
		}
		return m, has
	case Map:
		return map[string]any{"a": []any{"S3Storage", map[string]any{"s3_secret_key": plant, "s3_access_key": plant}}}, f.Name == "providers"
	case StringList:
		return []any{"a:1"}, false
	}
	if len(f.Allowed) > 0 {
		return f.Allowed[0], false
	}
	for _, s := range []string{"a", "https://a.example.com/", "1", "a:1"} {
		if _, err := f.scalar(s); err == nil {
			return s, false
		}
	}
	return "a", false
}

func TestDBURI(t *testing.T) {
	for in, want := range map[string]string{
		"postgresql://u:p@h:5433/d":                   "postgresql://u:p@h:5433/d",
		"postgresql+psycopg2://u@h/d":                 "postgresql://u@h/d",
		"postgres://u:a@b/c%zz@h/d":                   "postgresql://u:a%40b%2Fc%25zz@h/d",
		"mysql+pymysql://u:p#1@h/d?charset=utf8":      "mysql+pymysql://u:p%231@h/d?charset=utf8",
		"postgresql://u:p@[2001:db8::1]:5432/d":       "postgresql://u:p@[2001:db8::1]:5432/d",
		"postgresql://u:p@a:5432,b,[::1]:7/d":         "postgresql://u:p@a:5432,b,[::1]:7/d",
		"postgresql://u@/d?host=a,b&port=1,2":         "postgresql://u@/d?host=a%2Cb&port=1%2C2",
		"sqlite:///a/b.db":                            "sqlite:///a/b.db",
		"sqlite:////var/lib/quay.db":                  "sqlite:////var/lib/quay.db",
		"postgresql://u:p@ssw0rd?x@h/d?sslmode=allow": "postgresql://u:p%40ssw0rd%3Fx@h/d?sslmode=allow",
	} {
		d, err := ParseDBURI(in)
		if err != nil || d.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, d, err, want)
			continue
		}
		again, err := ParseDBURI(d.String())
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Errorf("%s: read again: %+v, %+v, %v", in, d, again, err)
		}
	}
}

func TestSizesAndDurations(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "102400000": 102400000, "20G": 20 << 30, "20g": 20 << 30, "10GiB": 10 << 30, "10Gi": 10 << 30, "1GB": 1e9, "1.5K": 1536, "7 B": 7, "1e3": 1000} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "G", "-1", "1X", "99999999P", "1 2"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q is taken as %d", in, got)
		}
	}
	for in, want := range map[string]time.Duration{"0s": 0, "90s": 90 * time.Second, "2w": 14 * 24 * time.Hour, "1y": 365 * 24 * time.Hour} {
		got, err := ParseDuration(in)
		if err != nil || got != want {
			t.Errorf("%q: %s, %v", in, got, err)
		}
		if again, err := ParseDuration(formatDuration(got)); err != nil || again != got {
			t.Errorf("%q comes back as %q", in, formatDuration(got))
		}
	}
	for _, in := range []string{"", "5", "1.5h", "-1s", "1h30m", "999999999999y"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q is taken as %s", in, got)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	data, err := os.ReadFile("testdata/seed/whole.yaml")
	if err != nil {
		b.Fatal(err)
	}
	dir := folder(b, map[string]string{"config.yaml": string(data)})
	for b.Loop() {
		if _, _, err := Load(Options{Dir: dir}); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzLoad holds that no input panics, that a refusal says why, and that what
// is taken can be shown.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/seed/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", "null", "{}", "[]", "a: &a [*a]", "<<: {a: 1}", "a: !!binary x", "? [a]\n: b", "DB_URI: '://'", "BUILD_MANAGER: []", "HEALTH_CHECKER: [[]]", "DISTRIBUTED_STORAGE_CONFIG: {a: [1, 2, 3]}", "X_LOGIN_CONFIG: 1", "\xff\xfe", "{\"a\": 1e999}", "a: .inf", "--- a\n...\n%"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*node, []*placed){parseYAML, parseJSON} {
			l := loader{conf: &Config{values: maps.Clone(table().defaults), explicit: map[string]origin{}}}
			l.conf.Bundle, l.conf.roots = l.bundle("")
			if n := l.parse(data, parse); n != nil {
				l.fields(n)
				l.cross()
			} else if len(l.problems) == 0 {
				t.Error("refused without a word")
			}
			if len(only(l.problems, Error)) > 0 {
				continue
			}
			if err := l.conf.fill(); err != nil {
				t.Errorf("taken and then not filled in: %v", err)
			}
			if _, err := json.Marshal(l.conf.Redacted()); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLoadFiles: a configuration that is on no disk is read and checked as one
// that is, under the paths that it will have.
func TestLoadFiles(t *testing.T) {
	o := Options{Dir: "/conf/stack", Files: fstest.MapFS{
		"config.yaml":           {Data: []byte("SERVER_HOSTNAME: registry.example.com\nDB_URI: postgresql://u:p@h/d\nDB_CONNECTION_ARGS: {sslmode: verify-full, sslrootcert: /run/secrets/ca.crt}\n")},
		"extra_ca_certs/no.crt": {Data: []byte("x")},
		"extra_ca_certs/no.txt": {Data: []byte("x")},
		"ssl.key":               {Data: []byte("x")},
	}}
	_, problems, err := Load(o)
	if !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{"/conf/stack/extra_ca_certs/no.crt: it holds no certificate", "/conf/stack/extra_ca_certs/no.txt: is not read", "/conf/stack/ssl.key: its certificate is missing"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if strings.Contains(all, "/run/secrets") {
		t.Errorf("a file of another machine is looked for here:\n%s", all)
	}
	o.Files = fstest.MapFS{"config.yaml": {Data: []byte("SERVER_HOSTNAME: registry.example.com\n")}, "ldap.crt": {Data: []byte("x")}}
	c, problems, err := Load(o)
	if err != nil || c.Server.Hostname != "registry.example.com" || c.Bundle.Path("ldap.crt") != "/conf/stack/ldap.crt" || c.Bundle.Path("other") != "" {
		t.Errorf("%v %v", problems, err)
	}
}
