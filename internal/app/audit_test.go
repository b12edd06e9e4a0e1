package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/config"
)

// TestAuditJobs has the server export its log, stream it to a file, and stop
// doing so.
func TestAuditJobs(t *testing.T) {
	told := make(chan map[string]any, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m map[string]any
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		told <- m
	}))
	t.Cleanup(hook.Close)
	file := filepath.Join(t.TempDir(), "audit.json")
	s := open(t, Options{Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "SERVER_HOSTNAME": "one.example.com",
		"SSRF_ALLOWED_HOSTS": []string{"127.0.0.1"}, "GANTRY_AUDIT_STREAM": file})})
	api := "Bearer " + s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	if r := s.push(auth, "ada/app", "v1", newImage("one")); r.status != 201 {
		t.Fatal(r.status, r.body)
	}
	if r := send(t, "GET", s.base+"/v2/ada/app/manifests/v1", "", "Authorization", auth, "Accept", manifestType); r.status != 200 {
		t.Fatal(r.status)
	}
	r := send(t, "POST", s.base+"/api/v1/repository/ada/app/exportlogs", `{"callback_url":"`+hook.URL+`"}`, "Authorization", api, "Content-Type", "application/json")
	if r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	m := <-told
	link, _ := m["exported_data_url"].(string)
	if m["export_id"] != r.json(t)["export_id"] || m["status"] != "success" || !strings.HasPrefix(link, s.base+exportPath) {
		t.Fatalf("%v", m)
	}
	get := send(t, "GET", link, "")
	if get.status != 200 || !strings.Contains(get.body, `"kind":"push_repo"`) || !strings.Contains(get.body, `"kind":"pull_repo"`) || get.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", get.status, get.body)
	}
	if r := send(t, "GET", link+"x", ""); r.status != 404 {
		t.Errorf("another link: %d", r.status)
	}
	if r := send(t, "DELETE", link, ""); r.status != 405 {
		t.Errorf("DELETE: %d", r.status)
	}
	until(t, "the log is in the file", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), `"kind":"push_repo"`) && strings.Contains(string(b), `"kind":"pull_repo"`) && strings.Contains(string(b), `"kind":"export_logs_success"`)
	})
}

// TestLogsModel refuses to keep the log where this release cannot.
func TestLogsModel(t *testing.T) {
	_, _, err := LoadConfig(config.Options{Environ: override(t, map[string]any{"LOGS_MODEL": "splunk",
		"LOGS_MODEL_CONFIG": map[string]any{"producer": "splunk", "splunk_config": map[string]any{"host": "x", "bearer_token": "y"}}})})
	if err == nil || !strings.Contains(err.Error(), "LOGS_MODEL") || !strings.Contains(err.Error(), "GANTRY_AUDIT_STREAM") {
		t.Errorf("%v", err)
	}
}
