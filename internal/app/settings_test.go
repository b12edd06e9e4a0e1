package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
	"SETUP_COMPLETE":                                  "checks are made either way",
	"FEATURE_PROXY_PROTOCOL":                          "listen",
	"FEATURE_RATE_LIMITS":                             "edges.configure",
	"MANIFESTS_ENDPOINT_READ_TIMEOUT":                 "edges.ServeHTTP",
	"FEATURE_STORAGE_REPLICATION":                     "unbuilt",
	"DISTRIBUTED_STORAGE_REQUIRES_ALL_AVAILABLE":      "checks",
	"CLEAN_BLOB_UPLOAD_FOLDER":                        "schedules",
	"HEALTH_CHECKER_INSTANCE_CHECK_PREFERRED_STORAGE": "checks",
	"GLOBAL_PROMETHEUS_STATS_FREQUENCY":               "inventories",
	"GANTRY_SCRUB_RATE":                               "scrub",
	"REGISTRY_JWT_AUTH_MAX_FRESH_S":                   "openAuth",
}

// partly are the fields of which a small part is in effect, and what is not.
var partly = map[string]string{
	"FEATURE_REPO_MIRROR": "the state MIRROR may be set; nothing is mirrored yet",
}

// all is everything that settings.go makes of a configuration.
func all(c *config.Config) string {
	trace := traceOptions(c, "")
	trace.RootCAs = nil
	return fmt.Sprintf("%+v %+v %+v %+v %+v %+v %v %v %v %v %v %v", registrySettings(c), authSettings(c), contentSettings(c), collectOptions(c), apiOptions(c),
		trace, trustedProxies(c), proxyCount(c), network(c), logOptions(c), collects(c), maintains(c))
}

// TestFieldsTellTheTruth turns each switch, number and time of config.yaml:
// those that are marked as in effect change something, those that are marked
// as not used yet change nothing.
func TestFieldsTellTheTruth(t *testing.T) {
	base, _, err := config.Load(config.Options{Environ: override(t, map[string]any{"REGISTRY_TITLE": "x"})})
	if err != nil {
		t.Fatal(err)
	}
	before, looked := all(base), 0
	for _, f := range config.Fields() {
		var tries []any
		switch f.Kind {
		case config.Bool:
			tries = []any{f.Default != "true"}
		case config.Int, config.Float, config.Seconds, config.Minutes, config.Size:
			tries = []any{f.Min, f.Min + 1, 7, 61, 1000, 5000, 100000}
		case config.Duration:
			tries = []any{"1h", "2h", "3d"}
		default:
			continue
		}
		if f.Obsolete != "" || strings.Contains(f.Name, "<") {
			continue
		}
		var changed *config.Config
		for _, v := range tries {
			c, _, err := config.Load(config.Options{Environ: override(t, map[string]any{"REGISTRY_TITLE": "x", f.Name: v})})
			if err != nil {
				continue // not allowed, or not alone
			}
			was, _ := base.Get(f.Name)
			if now, _ := c.Get(f.Name); fmt.Sprint(now) != fmt.Sprint(was) {
				changed = c
				break
			}
		}
		if changed == nil {
			continue
		}
		looked++
		differs := all(changed) != before
		switch {
		case f.Used && !differs && elsewhere[f.Name] == "":
			t.Errorf("%s is marked as in effect and changes nothing", f.Name)
		case !f.Used && differs && partly[f.Name] == "":
			t.Errorf("%s is in effect and not marked as such", f.Name)
		}
	}
	if looked < 100 {
		t.Errorf("only %d fields were looked at", looked)
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
