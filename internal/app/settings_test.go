package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// elsewhere are the fields that are in effect without standing in one of the
// options of settings.go, and where they are.
var elsewhere = map[string]string{
	"EXTERNAL_TLS_TERMINATION":                        "tlsOptions",
	"DISKSPACE_HEALTH_THRESHOLD":                      "checks",
	"DISKSPACE_HEALTH_WARNING_THRESHOLD":              "checks",
	"FEATURE_FIPS":                                    "cmd/gantry, before the start",
	"SETUP_COMPLETE":                                  "checks are made either way",
	"FEATURE_PROXY_PROTOCOL":                          "listen",
	"FEATURE_RATE_LIMITS":                             "edges.configure",
	"MANIFESTS_ENDPOINT_READ_TIMEOUT":                 "edges.ServeHTTP",
	"DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS":           "openPlaces",
	"DISTRIBUTED_STORAGE_REQUIRES_ALL_AVAILABLE":      "checks",
	"CLEAN_BLOB_UPLOAD_FOLDER":                        "schedules",
	"HEALTH_CHECKER_INSTANCE_CHECK_PREFERRED_STORAGE": "checks",
	"GLOBAL_PROMETHEUS_STATS_FREQUENCY":               "inventories",
	"GANTRY_SCRUB_RATE":                               "scrub",
	"GANTRY_PULL_SPOOL_SIZE":                          "core.open",
	"DB_READ_REPLICAS":                                "core.open",
	"ORG_MIRROR_INTERVAL":                             "mirrorDue, with FEATURE_ORG_MIRROR",
	"GANTRY_HEALTH_NEEDS_DATABASE":                    "checks",
	"REGISTRY_JWT_AUTH_MAX_FRESH_S":                   "openAuth",
	"INSTANCE_SERVICE_KEY_SERVICE":                    "openAuth",
	"INSTANCE_SERVICE_KEY_EXPIRATION":                 "openAuth",
	"INSTANCE_SERVICE_KEY_REFRESH":                    "openAuth",
	"INSTANCE_SERVICE_KEY_LOCATION":                   "serviceKey",
	"INSTANCE_SERVICE_KEY_KID_LOCATION":               "serviceKey",
	"SECRET_KEY":                                      "openKeys",
	"DATABASE_SECRET_KEY":                             "openKeys",
	"PAGE_TOKEN_KEY":                                  "openKeys",
	"SSL_CIPHERS":                                     "tlsOptions",
	"SSL_CIPHERSUITES":                                "tlsOptions",
	"SSL_PROTOCOLS":                                   "tlsOptions",
	"REGISTRY_TITLE":                                  "edges.ServeHTTP",
	"USER_EVENTS_REDIS":                               "openBus",
	"USER_EVENTS_REDIS_HOSTNAME":                      "openBus",
	"FEATURE_USER_EVENTS":                             "userEvents, plugWeb",
	"NON_RATE_LIMITED_NAMESPACES":                     "edges.configure",
	"ENABLE_HEALTH_DEBUG_SECRET":                      "edges.configure",
	"DB_URI":                                          "databaseURI",
	"DB_CONNECTION_ARGS":                              "core.open",
	"DISTRIBUTED_STORAGE_CONFIG":                      "openPlaces",
	"DISTRIBUTED_STORAGE_PREFERENCE":                  "openPlaces",
	"CDN_SPECIFIC_NAMESPACES":                         "cdn, of engines_s3.go",
	"DISTRIBUTED_STORAGE_VALIDATE_ENDTOEND":           "the check writes and reads back either way",
	"KEYSTONE_AUTH_VERSION":                           "openOutside",
	"TEAM_RESYNC_STALE_TIME":                          "syncIdentities",
	"LOGS_MODEL":                                      "unbuilt",
	"GANTRY_AUDIT_STREAM":                             "streams",
	"ACTION_LOG_ARCHIVE_LOCATION":                     "addAudit",
	"PROMETHEUS_NAMESPACE":                            "core.open",
	"LOGGING_LEVEL":                                   "core.setLevel",
	"FEATURE_MAILING":                                 "mailSettings; MAIL_SERVER alone turns it on",
	"MAIL_USE_AUTH":                                   "mailSettings; MAIL_USERNAME alone turns it on",
}

// partly are the fields of which a small part is in effect, and what is not.
var partly = map[string]string{}

// texts are tried for a field that takes any text that it allows.
var texts = []string{"acme", "10.1.2.3", "10.1.2.3:99", "https://x.example.com/", "ldap://x", "/x/y", "mailto:a@example.com", "acme.", "YWJj", "<1.2.0", "2d",
	"postgresql://u:p@db/x", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}

// blocks are tried for the fields that are more than one text.
var blocks = map[string]any{
	"BRANDING":                           map[string]any{"logo": "/x.png"},
	"FOOTER_LINKS":                       map[string]any{"ABOUT_URL": "https://x.example.com/"},
	"DB_CONNECTION_ARGS":                 map[string]any{"max_connections": 7},
	"DB_READ_REPLICAS":                   []any{map[string]any{"DB_URI": "postgresql://u:p@db/x"}},
	"BUILDLOGS_REDIS":                    map[string]any{"host": "x"},
	"USER_EVENTS_REDIS":                  map[string]any{"host": "x"},
	"PULL_METRICS_REDIS":                 map[string]any{"host": "x"},
	"DATA_MODEL_CACHE_CONFIG":            map[string]any{"engine": "noop"},
	"DISTRIBUTED_STORAGE_CONFIG":         map[string]any{"acme": []any{"LocalStorage", map[string]any{"storage_path": "/x"}}},
	"GITHUB_LOGIN_CONFIG":                map[string]any{"CLIENT_ID": "x", "CLIENT_SECRET": "y"},
	"GOOGLE_LOGIN_CONFIG":                map[string]any{"CLIENT_ID": "x", "CLIENT_SECRET": "y"},
	"GITHUB_TRIGGER_CONFIG":              map[string]any{"CLIENT_ID": "x", "CLIENT_SECRET": "y"},
	"GITLAB_TRIGGER_CONFIG":              map[string]any{"CLIENT_ID": "x", "CLIENT_SECRET": "y"},
	"BITBUCKET_TRIGGER_CONFIG":           map[string]any{"CONSUMER_KEY": "x", "CONSUMER_SECRET": "y"},
	"BUILD_MANAGER":                      []any{"enterprise", map[string]any{"x": 1}},
	"LOGS_MODEL_CONFIG":                  map[string]any{"producer": "kafka", "kafka_config": map[string]any{"bootstrap_servers": []string{"x:9092"}, "topic": "t"}},
	"HEALTH_CHECKER":                     []any{"RDSAwareHealthCheck", map[string]any{"db_instance": "x"}},
	"OTEL_CONFIG":                        map[string]any{"service_name": "x", "endpoint": "127.0.0.1:9"},
	"UI_MODELCARD_ANNOTATION":            map[string]any{"a": "b"},
	"UI_MODELCARD_LAYER_ANNOTATION":      map[string]any{"a": "b"},
	"DEFAULT_NAMESPACE_AUTOPRUNE_POLICY": map[string]any{"method": "number_of_tags", "value": "7"},
}

// together are the fields without which another one is not allowed, or has
// no effect.
var together = map[string]map[string]any{
	"FEATURE_OTEL_TRACING":                           {"OTEL_CONFIG": blocks["OTEL_CONFIG"]},
	"OTEL_CONFIG":                                    {"FEATURE_OTEL_TRACING": true},
	"FEATURE_GITHUB_BUILD":                           {"FEATURE_BUILD_SUPPORT": true, "GITHUB_TRIGGER_CONFIG": blocks["GITHUB_TRIGGER_CONFIG"]},
	"FEATURE_GITLAB_BUILD":                           {"FEATURE_BUILD_SUPPORT": true, "GITLAB_TRIGGER_CONFIG": blocks["GITLAB_TRIGGER_CONFIG"]},
	"FEATURE_BITBUCKET_BUILD":                        {"FEATURE_BUILD_SUPPORT": true, "BITBUCKET_TRIGGER_CONFIG": blocks["BITBUCKET_TRIGGER_CONFIG"]},
	"PREFERRED_URL_SCHEME":                           {"EXTERNAL_TLS_TERMINATION": true},
	"FEATURE_BLACKLISTED_EMAILS":                     {"BLACKLISTED_EMAIL_DOMAINS": []string{"acme"}},
	"FEATURE_RECAPTCHA":                              {"RECAPTCHA_SITE_KEY": "x", "RECAPTCHA_SECRET_KEY": "y"},
	"FEATURE_MAILING":                                {"MAIL_SERVER": "x"},
	"MAIL_USE_AUTH":                                  {"MAIL_SERVER": "x", "MAIL_USERNAME": "x", "MAIL_PASSWORD": "y"},
	"LOGS_MODEL":                                     {"LOGS_MODEL_CONFIG": map[string]any{"producer": "splunk", "splunk_config": map[string]any{"host": "x", "bearer_token": "y"}, "elasticsearch_config": map[string]any{"host": "x", "port": 9200}}},
	"DEFAULT_TAG_EXPIRATION":                         {"TAG_EXPIRATION_OPTIONS": []string{"0s", "1h", "2w"}},
	"DB_URI":                                         {"SECRET_KEY": "x", "DATABASE_SECRET_KEY": "y"},
	"DISTRIBUTED_STORAGE_PREFERENCE":                 {"DISTRIBUTED_STORAGE_CONFIG": blocks["DISTRIBUTED_STORAGE_CONFIG"]},
	"DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS":          {"DISTRIBUTED_STORAGE_CONFIG": blocks["DISTRIBUTED_STORAGE_CONFIG"]},
	"FEATURE_STORAGE_REPLICATION":                    {"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"acme": []any{"S3Storage", map[string]any{"s3_bucket": "x"}}}, "DISTRIBUTED_STORAGE_PREFERENCE": []string{"acme"}},
	"USERFILES_LOCATION":                             {"DISTRIBUTED_STORAGE_CONFIG": blocks["DISTRIBUTED_STORAGE_CONFIG"]},
	"LOG_ARCHIVE_LOCATION":                           {"DISTRIBUTED_STORAGE_CONFIG": blocks["DISTRIBUTED_STORAGE_CONFIG"]},
	"ACTION_LOG_ARCHIVE_LOCATION":                    {"DISTRIBUTED_STORAGE_CONFIG": blocks["DISTRIBUTED_STORAGE_CONFIG"]},
	"INSTANCE_SERVICE_KEY_LOCATION":                  {"INSTANCE_SERVICE_KEY_KID_LOCATION": "/x/y"},
	"INSTANCE_SERVICE_KEY_KID_LOCATION":              {"INSTANCE_SERVICE_KEY_LOCATION": "/x/y"},
	"TAG_EXPIRATION_OPTIONS":                         {"DEFAULT_TAG_EXPIRATION": "1d"},
	"AUTHENTICATION_TYPE":                            {"FEATURE_DIRECT_LOGIN": false},
	"FEATURE_DIRECT_LOGIN":                           {"FEATURE_GITHUB_LOGIN": true, "GITHUB_LOGIN_CONFIG": map[string]any{"CLIENT_ID": "x", "CLIENT_SECRET": "y"}},
	"FEATURE_GITHUB_LOGIN":                           {"GITHUB_LOGIN_CONFIG": map[string]any{"CLIENT_ID": "x", "CLIENT_SECRET": "y"}},
	"FEATURE_GOOGLE_LOGIN":                           {"GOOGLE_LOGIN_CONFIG": map[string]any{"CLIENT_ID": "x", "CLIENT_SECRET": "y"}},
	"BLACKLISTED_EMAIL_DOMAINS":                      {"FEATURE_BLACKLISTED_EMAILS": true},
	"FEATURE_VERIFY_QUOTA":                           {"FEATURE_QUOTA_MANAGEMENT": true},
	"GITHUB_LOGIN_CONFIG":                            {"FEATURE_GITHUB_LOGIN": true},
	"GOOGLE_LOGIN_CONFIG":                            {"FEATURE_GOOGLE_LOGIN": true},
	"LDAP_CACHE_TTL":                                 {"FEATURE_LDAP_CACHING": true},
	"TEAM_SYNC_WORKER_FREQUENCY":                     {"FEATURE_TEAM_SYNCING": true},
	"ACTION_LOG_ROTATION_THRESHOLD":                  {"FEATURE_ACTION_LOG_ROTATION": true},
	"ACTION_LOG_ROTATION_FREQUENCY":                  {"FEATURE_ACTION_LOG_ROTATION": true},
	"MINIMUM_LOGS_AGE_FOR_ARCHIVE":                   {"FEATURE_ACTION_LOG_ROTATION": true, "ACTION_LOG_ROTATION_THRESHOLD": "1s"},
	"ACTION_LOG_ARCHIVE_PATH":                        {"FEATURE_ACTION_LOG_ROTATION": true},
	"DEFAULT_NAMESPACE_AUTOPRUNE_POLICY":             {"FEATURE_AUTO_PRUNE": true},
	"AUTO_PRUNING_POLL_PERIOD":                       {"FEATURE_AUTO_PRUNE": true},
	"NOTIFICATION_TASK_RUN_MINIMUM_INTERVAL_MINUTES": {"FEATURE_IMAGE_EXPIRY_TRIGGER": true},
}

// all is everything that settings.go makes of a configuration.
func all(c *config.Config) string {
	trace := traceOptions(c, "")
	trace.RootCAs = nil
	rest, batch := pruneDue(c)
	path, age := rotation(c)
	parts := []any{
		rest, batch, path, age, *exporter(c), schedules(c), pruneOptions(c), registrySettings(c), proxySettings(c), authSettings(c), contentSettings(c), collectOptions(c), apiOptions(c), trace,
		trustedProxies(c), proxyCount(c), network(c), logOptions(c), collects(c), maintains(c), replicateOptions(c), copies(c),
		ldapOptions(c), jwtOptions(c), keystoneOptions(c), oidcOptions(c), githubOptions(c), c.Auth.Type,
		mailSettings(c), notifySettings(c), outgoingOptions(c), tellSchedules(c), mirrorSettings(c), mirrorDue(c), mirrorsRun(c),
	}
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%+v ", p)
	}
	return b.String()
}

// TestFieldsTellTheTruth turns each switch, number and time of config.yaml:
// those that are marked as in effect change something, those that are marked
// as not used yet change nothing.
func TestFieldsTellTheTruth(t *testing.T) {
	base, _, err := config.Load(config.Options{Environ: override(t, map[string]any{"REGISTRY_TITLE": "x"})})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range config.Fields() {
		if f.Obsolete != "" || strings.Contains(f.Name, "<") {
			continue
		}
		var tries []any
		switch f.Kind {
		case config.Bool:
			tries = []any{f.Default != "true"}
		case config.String:
			for _, v := range f.Allowed {
				tries = append(tries, v)
			}
			for _, v := range texts {
				tries = append(tries, v)
			}
		case config.StringList:
			tries = []any{[]string{"1d", "2d"}}
			for _, v := range slices.Concat(f.Allowed[min(len(f.Allowed), 1):], texts) {
				tries = append(tries, []string{v})
			}
		case config.Int, config.Float, config.Seconds, config.Minutes, config.Size:
			tries = []any{f.Min, f.Min + 1, 7, 61, 1000, 5000, 100000}
		case config.Duration:
			tries = []any{"1h", "2h", "3d"}
		default:
			tries = []any{blocks[f.Name]}
		}
		// The other fields that it goes together with are no difference.
		base := base
		if with := together[f.Name]; with != nil {
			fields := map[string]any{"REGISTRY_TITLE": "x"}
			maps.Copy(fields, with)
			if c, _, err := config.Load(config.Options{Environ: override(t, fields)}); err == nil {
				base = c
			}
		}
		before := all(base)
		var changed *config.Config
		for _, v := range tries {
			fields := map[string]any{"REGISTRY_TITLE": "x", f.Name: v}
			maps.Copy(fields, together[f.Name])
			c, _, err := config.Load(config.Options{Environ: override(t, fields)})
			if err != nil {
				continue // not allowed, or not alone
			}
			was, _ := base.Get(f.Name)
			if now, _ := c.Get(f.Name); fmt.Sprint(now) != fmt.Sprint(was) {
				changed = c
				if all(c) != before { // a number may mean what none means
					break
				}
			}
		}
		if changed == nil {
			t.Errorf("%s: no value was found to try", f.Name)
			continue
		}
		differs := all(changed) != before
		switch {
		case f.Used && !differs && elsewhere[f.Name] == "":
			t.Errorf("%s is marked as in effect and changes nothing", f.Name)
		case !f.Used && differs && partly[f.Name] == "":
			t.Errorf("%s is in effect and not marked as such", f.Name)
		}
	}
	for name := range elsewhere {
		if f, ok := config.Lookup(name); !ok || !f.Used {
			t.Errorf("%s is not in effect", name)
		}
	}
}

func TestSettings(t *testing.T) {
	load := func(fields map[string]any) *config.Config {
		t.Helper()
		c, _, err := config.Load(config.Options{Environ: override(t, fields)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	empty := load(nil)
	if got := fmt.Sprint(trustedProxies(empty)); got != "[0.0.0.0/0 ::/0]" {
		t.Errorf("trusted proxies unless told: %s", got)
	}
	if got := fmt.Sprint(trustedProxies(load(map[string]any{"TRUSTED_PROXY_CIDR": []string{"10.0.0.0/8"}}))); got != "[10.0.0.0/8]" {
		t.Errorf("trusted proxies: %s", got)
	}
	if proxyCount(empty) != 1 || proxyCount(load(map[string]any{"PROXY_COUNT": 0})) != -1 {
		t.Error("PROXY_COUNT: 0 is no proxy at all")
	}
	if retention(load(map[string]any{"DEFAULT_TAG_EXPIRATION": "0s"})) >= 0 {
		t.Error("DEFAULT_TAG_EXPIRATION: 0s is no time machine at all")
	}
	if network(empty) != "tcp" || network(load(map[string]any{"FEATURE_LISTEN_IP_VERSION": "IPv4"})) != "tcp4" {
		t.Error("FEATURE_LISTEN_IP_VERSION")
	}
	if linkScheme(empty) != "" || linkScheme(load(map[string]any{"PREFERRED_URL_SCHEME": "http"})) != "http" {
		t.Error("PREFERRED_URL_SCHEME")
	}
	o := traceOptions(load(map[string]any{"FEATURE_OTEL_TRACING": true, "OTEL_CONFIG": map[string]any{"dt_api_url": "https://x.example.com/api/v2/otlp/v1/traces", "dt_api_token": "t"}}), "1")
	if o.Endpoint == "" || o.Headers["Authorization"] != "Api-Token t" {
		t.Errorf("Dynatrace: %+v", o)
	}
}

// TestLogFile writes the log to a file and opens it anew after a rotation.
func TestLogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gantry.log")
	s, err := Start(t.Context(), Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Metrics: Off,
		Environ: []string{"GANTRY_LOG_DESTINATION=" + file, "GANTRY_LOG_FORMAT=json", "DEBUGLOG=true"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file, file+".1"); err != nil {
		t.Error(err)
	}
	s.Reload(t.Context())
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{file + ".1": "ready", file: "draining"} {
		b, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(b), `"msg":"`+want+`"`) {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
		for line := range strings.Lines(string(b)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %q", line)
			}
		}
	}
	if o := logOptions(&config.Config{Env: config.Environment{LogToStdout: true}}); o.Destination != "stdout" || o.Format != telemetry.LogFormat("") {
		t.Errorf("QUAY_LOGGING=stdout: %+v", o)
	}
}
