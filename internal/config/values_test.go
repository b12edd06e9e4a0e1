package config

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestMask: no secret is shown, and what is shown gives back what there is,
// wherever a list's items move.
func TestMask(t *testing.T) {
	const text = `
DB_URI: mysql+pymysql://u:s3cret-@?&@h:3306/d?ssl_ca=x&password=s3cret-2
SECRET_KEY: s3cret-3
SECURITY_SCANNER_V4_PSK: ""
DB_READ_REPLICAS: [{DB_URI: "postgresql://u:s3cret-a@one/d"}, {DB_URI: "postgresql://u:s3cret-b@two/d"}]
DISTRIBUTED_STORAGE_CONFIG:
  a: [S3Storage, {s3_bucket: b, s3_access_key: s3cret-4, s3_secret_key: s3cret-5}]
  b: [MultiCDNStorage, {providers: {x: {class: CloudFrontedS3Storage, params: {cloudfront_key_id: id-6, s3_secret_key: s3cret-7}}}}]
ACME_LOGIN_CONFIG: {CLIENT_ID: a, CLIENT_SECRET: s3cret-8, OIDC_SERVER: "https://x/?token=s3cret-9&z=1"}
UNKNOWN_PASSWORD: [s3cret-0]
UNKNOWN: {nested: {api_key: s3cret-0}, port: 1}
BUILD_MANAGER: [ephemeral, {EXECUTORS: [{EXECUTOR: ec2, AWS_SECRET_KEY: s3cret-0}]}]
DOCUMENTATION_ROOT: https://docs.example.com/a@b
`
	values, problems := ParseValues("config.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	shown := Mask(values)
	out, err := json.Marshal(shown)
	if err != nil || strings.Contains(string(out), "s3cret") {
		t.Fatalf("%s, %v", out, err)
	}
	if shown["DB_URI"] != "mysql+pymysql://u:***@h:3306/d?ssl_ca=x&password=***" || shown["SECURITY_SCANNER_V4_PSK"] != "" || shown["DOCUMENTATION_ROOT"] != values["DOCUMENTATION_ROOT"] {
		t.Errorf("%v", shown)
	}
	back, err := Unmask(shown, values)
	if err != nil || !sameJSON(back, values) {
		t.Fatalf("%v, %v", back, err)
	}
	replicas := shown["DB_READ_REPLICAS"].([]any)
	slices.Reverse(replicas)
	if back, err = Unmask(shown, values); err != nil || back["DB_READ_REPLICAS"].([]any)[0].(map[string]any)["DB_URI"] != "postgresql://u:s3cret-b@two/d" {
		t.Errorf("moved: %v, %v", back["DB_READ_REPLICAS"], err)
	}
	back, err = Unmask(map[string]any{"DB_URI": "postgresql://other:***@elsewhere/d"}, values)
	if err != nil || back["DB_URI"] != "postgresql://other:s3cret-@?&@elsewhere/d" {
		t.Errorf("around the password: %v, %v", back, err)
	}
	for _, v := range []map[string]any{{"MAIL_PASSWORD": "***"}, {"SECURITY_SCANNER_V4_PSK": "***"}, {"DB_URI": "postgresql://u:p@h/d?token=***"}, {"UNKNOWN": map[string]any{"other_key": "***"}}} {
		if _, err := Unmask(v, values); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %v", v, err)
		}
	}
}

// TestDefaultValues: what is shown as a default is taken as one.
func TestDefaultValues(t *testing.T) {
	text, err := json.Marshal(Defaults())
	if err != nil {
		t.Fatal(err)
	}
	values, problems := ParseValues("config.json", text)
	if len(problems) > 0 || len(values) != len(Defaults()) {
		t.Fatalf("%d values, %v", len(values), problems)
	}
	for name := range values {
		f := table().find(name)
		one, err := json.Marshal(map[string]any{name: f.DefaultValue()})
		if err != nil {
			t.Fatal(err)
		}
		n, _ := parseJSON(one)
		c := &checker{}
		if v, ok := c.value(f, name, n.get(name)); !ok || !equal(v, table().defaults[name]) {
			t.Errorf("%s: %s is not its default: %v", name, one, c.problems)
		}
	}
}

// TestSchema: every field is there, in a form that a validator reads.
func TestSchema(t *testing.T) {
	s := Schema()
	text, err := json.Marshal(s)
	if err != nil || strings.Contains(string(text), "null,") {
		t.Fatal(err)
	}
	props := s["properties"].(map[string]any)
	for _, f := range Fields() {
		if f.Name == loginPattern {
			continue
		}
		p, ok := props[f.Name].(map[string]any)
		if !ok || p["description"] == "" || p["type"] == nil && p["anyOf"] == nil && f.Kind != Custom {
			t.Errorf("%s: %v", f.Name, p)
		}
		if _, has := p["default"]; has && f.Secret {
			t.Errorf("%s is secret and has a default", f.Name)
		}
	}
}
