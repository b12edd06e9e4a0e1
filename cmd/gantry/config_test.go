package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// conf is a folder with a configuration.
func conf(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestConfigRead: print, explain, schema and diff show what there is, without
// secrets.
func TestConfigRead(t *testing.T) {
	before := conf(t, "SERVER_HOSTNAME: x.example.com\nSECRET_KEY: sesame-one\nTAG_EXPIRATION_OPTIONS: [2w]\nDEFAULT_TAG_EXPIRATION: 2w\n")
	after := conf(t, "SERVER_HOSTNAME: x.example.com\nSECRET_KEY: sesame-two\nTAG_EXPIRATION_OPTIONS: [2w, 4w]\nDEFAULT_TAG_EXPIRATION: 2w\n")
	want := func(code int, args []string, words ...string) {
		t.Helper()
		r := gantry(t, "", args...)
		if r.code != code {
			t.Fatalf("%v: %d\n%s%s", args, r.code, r.out, r.err)
		}
		for _, w := range words {
			if !regexp.MustCompile(w).MatchString(r.out + r.err) {
				t.Errorf("%v: %q is not in\n%s%s", args, w, r.out, r.err)
			}
		}
		if strings.Contains(r.out+r.err, "sesame") {
			t.Errorf("%v shows a secret: %s%s", args, r.out, r.err)
		}
	}
	want(0, []string{"config", "print", "--config", before}, `SERVER_HOSTNAME +x\.example\.com +\S+config\.yaml:1`, `SECRET_KEY +\*\*\*`, `FEATURE_DIRECT_LOGIN +true +default`)
	want(0, []string{"config", "print", "--config", before, "--output", "json"}, `"SECRET_KEY": \{`)
	want(0, []string{"config", "explain", "TAG_EXPIRATION_OPTIONS", "--config", before}, "TimeMachine", `a change +at once`, `\["2w"\]`)
	want(0, []string{"config", "explain", "SECRET_KEY", "--config", before}, `here +\*\*\*`)
	want(1, []string{"config", "explain", "NOTHING"}, "is no field")
	want(1, []string{"config", "diff", before, after}, `SECRET_KEY +\*\*\* +-> +\*\*\* +\(restart\)`, `TAG_EXPIRATION_OPTIONS +\["2w"\] +-> +\["2w","4w"\] +\(live\)`)
	want(1, []string{"config", "diff", filepath.Join(before, "config.yaml"), after}, "SECRET_KEY")
	want(0, []string{"config", "diff", before, before}, "no difference")
	want(1, []string{"config", "diff", before, filepath.Join(before, "none")}, "no such file")
	want(1, []string{"config", "validate", "--config", conf(t, "SECRET_KEY: sesame\nMAIL_PORT: many\n"), "--output", "sarif"}, `"version": "2.1.0"`, `"startLine": 2`, `"level": "error"`, "MAIL_PORT")
	want(1, []string{"config", "validate", "--config", conf(t, "USER_EVENTS_REDIS: {host: 127.0.0.1, port: 1}\n"), "--mode", "online"}, "redis USER_EVENTS_REDIS: FAILED", "nothing listens there")
	want(0, []string{"config", "validate", "--config", conf(t, "USER_EVENTS_REDIS: {host: 127.0.0.1, port: 1}\n"), "--mode", "testing"}, "is valid")
	want(1, []string{"config", "validate", "--mode", "perhaps"}, "--mode is")
	want(1, []string{"config", "editor"}, "name either")
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if r := gantry(t, "", "config", "schema"); json.Unmarshal([]byte(r.out), &schema) != nil || schema.Properties["SERVER_HOSTNAME"] == nil {
		t.Errorf("%+v", r)
	}
}

// TestConfigEditor: the editor makes a password, says it once, and takes it.
func TestConfigEditor(t *testing.T) {
	dir := conf(t, "SERVER_HOSTNAME: x.example.com\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		c := &cli{err: write, output: "text"}
		root := c.root()
		root.SetArgs([]string{"config", "editor", "--config", dir, "--listen", "127.0.0.1:0"})
		done <- root.ExecuteContext(ctx)
	}()
	buffer := make([]byte, 4096)
	n, err := read.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`Sign in at (\S+) as quayconfig with the password (\S+)`).FindStringSubmatch(string(buffer[:n]))
	if m == nil {
		t.Fatalf("it says %q", buffer[:n])
	}
	for password, status := range map[string]int{m[2]: 200, "another": 401} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, m[1]+"api/v1/config", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("quayconfig", password)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // its status is what counts
		if res.StatusCode != status {
			t.Errorf("%q: %d, want %d", password, res.StatusCode, status)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestConfigCommands: what is a command below config is no password of Quay's.
func TestConfigCommands(t *testing.T) {
	c := &cli{}
	for _, cmd := range c.config().Commands() {
		if !slices.Contains(configCommands, cmd.Name()) {
			t.Errorf("%s is taken for a password", cmd.Name())
		}
	}
	got, err := translate([]string{"config", "sesame"}, []string{"QUAYCONF=/conf"})
	if want := []string{"config", "editor", "--config", "/conf/stack", "--listen", "0.0.0.0:8080", "--password=sesame"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}
