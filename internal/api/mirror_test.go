package api

import (
	"net/http"
	"strings"
	"testing"
)

// TestMirrorAPI goes through the life of a repository's mirror as a client sees
// it.
func TestMirrorAPI(t *testing.T) {
	s := newStage(t)
	s.open()
	defer func() { s.end() }()
	var owner, keeper http.Header
	for _, x := range s.who {
		switch x.name {
		case "owner":
			owner = x.header
		case "keeper":
			keeper = x.header
		}
	}
	const at = "repository/acme/app/mirror"
	body := func(more string) string {
		return `{"external_reference":"Registry.example:5000/x/y","external_registry_username":"bob","external_registry_password":"secret-word","robot_username":"acme+ci","sync_interval":3600,` +
			`"sync_start_date":"2030-01-01T00:00:00Z","root_rule":{"rule_kind":"tag_glob_csv","rule_value":["v*","latest"]}` + more + `}`
	}
	for wrong, says := range map[string]string{
		strings.Replace(body(""), "acme+ci", "owner+own", 1):                                  "robot_username",
		strings.Replace(body(""), "2030-01-01T00:00:00Z", "soon", 1):                          "sync_start_date",
		strings.Replace(body(""), "3600", "0", 1):                                             "sync_interval",
		strings.Replace(body(""), "Registry.example:5000/x/y", "https://x/y", 1):              "external_reference",
		strings.Replace(body(""), `["v*","latest"]`, `["semver:nonsense"]`, 1):                "root_rule",
		strings.Replace(body(""), `["v*","latest"]`, `[]`, 1):                                 "root_rule",
		body(`,"skopeo_timeout_interval":5`):                                                  "skopeo_timeout_interval",
		body(`,"architecture_filter":["AMD 64"]`):                                             "architecture_filter",
		strings.Replace(body(""), `"external_reference":"Registry.example:5000/x/y",`, "", 1): "external_reference is required",
	} {
		if status, answer := s.ask("POST", at, owner, wrong); status != 400 || !strings.Contains(answer, says) {
			t.Errorf("%s: %d %s", says, status, answer)
		}
	}
	s.put("POST", at, owner, body(`,"external_registry_config":{"verify_tls":false,"proxy":{"https_proxy":"http://p:q@proxy:3128"}}`))
	if status, _ := s.ask("POST", at, owner, body("")); status != 409 {
		t.Errorf("a second mirror: %d", status)
	}
	got := s.put("GET", at, owner, "")
	for _, want := range []string{`"external_reference":"registry.example:5000/x/y"`, `"external_registry_username":"bob"`, `"rule_value":["v*","latest"]`, `"sync_status":"NEVER_RUN"`,
		`"verify_tls":false`, `"https_proxy":"http://p:q@proxy:3128"`, `"skopeo_timeout_interval":300`, `"sync_start_date":"2030-01-01T00:00:00Z"`, `"robot_username":"acme+ci"`, `"mirror_type":"PULL"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "secret-word") {
		t.Error("the password is shown")
	}
	if state := s.field(s.put("GET", "repository/acme/app", owner, ""), "state"); state != "MIRROR" {
		t.Error(state)
	}
	// A stored password is for the registry that it was given for.
	if status, answer := s.ask("PUT", at, keeper, `{"external_reference":"evil.example/x/y"}`); status != 400 || !strings.Contains(answer, "external_registry_password") {
		t.Errorf("%d %s", status, answer)
	}
	s.put("PUT", at, keeper, `{"external_reference":"registry.example:5000/other","is_enabled":false,"external_registry_username":null,"external_registry_password":null}`)
	if got = s.put("GET", at, owner, ""); !strings.Contains(got, `"external_registry_username":null`) || !strings.Contains(got, `"is_enabled":false`) || !strings.Contains(got, `"sync_interval":3600`) {
		t.Error(got)
	}
	if status, answer := s.ask("DELETE", "organization/acme/robots/ci", owner, ""); status != 400 || !strings.Contains(answer, "mirror") {
		t.Errorf("the robot was deleted: %d %s", status, answer)
	}
	if status, _ := s.ask("POST", at+"/sync-cancel", owner, ""); status != 404 {
		t.Errorf("cancel of nothing: %d", status)
	}
	s.put("POST", at+"/sync-now", owner, "")
	s.put("POST", at+"/sync-cancel", owner, "")
	run := s.field(s.put("POST", at+"/plan", owner, ""), "run")
	if got = s.put("GET", at+"/runs/"+run, owner, ""); s.field(got, "kind") != "plan" || s.field(got, "status") != "running" {
		t.Error(got)
	}
	if status, _ := s.ask("GET", "repository/acme/copy/mirror/runs/"+run, owner, ""); status != 404 {
		t.Errorf("the run of another repository: %d", status)
	}
	s.put("DELETE", at, owner, "")
	if state := s.field(s.put("GET", "repository/acme/app", owner, ""), "state"); state != "NORMAL" {
		t.Error(state)
	}
	if status, _ := s.ask("GET", at, owner, ""); status != 404 {
		t.Errorf("after its end: %d", status)
	}
	// In an organization that mirrors, nobody makes repositories.
	if status, answer := s.ask("POST", "repository", owner, `{"namespace":"copies","repository":"mine","visibility":"private","description":""}`); status != 403 {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := s.ask("PUT", "organization/copies/mirror", owner, `{"external_registry_url":"http://plain.example"}`); status != 400 || !strings.Contains(answer, "verify_tls") {
		t.Errorf("%d %s", status, answer)
	}
}
