package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestQuota pushes past DEFAULT_SYSTEM_REJECT_QUOTA_BYTES, and again with a
// quota of the namespace's own.
func TestQuota(t *testing.T) {
	s := open(t, Options{Config: folder(t, map[string]string{"config.yaml": `
FEATURE_USER_INITIALIZE: true
FEATURE_QUOTA_MANAGEMENT: true
DEFAULT_SYSTEM_REJECT_QUOTA_BYTES: 30000
SUPER_USERS: [ada]
`})})
	token := s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	if r := s.push(auth, "ada/app", "v1", newImage("one")); r.status != 201 { // 15 kB
		t.Fatalf("%d %s", r.status, r.body)
	}
	r := s.push(auth, "ada/app", "v2", newImage("large"))
	if r.status != 403 || !strings.Contains(r.body, `"DENIED"`) || !strings.Contains(r.body, "Quota has been exceeded on namespace ada") {
		t.Errorf("past the default quota: %d %s", r.status, r.body)
	}
	bearer := []string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}
	if r := send(t, "POST", s.base+"/api/v1/superuser/users/ada/quota", `{"limit":"1MiB"}`, bearer...); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := s.push(auth, "ada/app", "v2", newImage("large")); r.status != 201 {
		t.Errorf("with a larger quota: %d %s", r.status, r.body)
	}
	r = send(t, "GET", s.base+"/api/v1/user/", "", bearer...)
	if report, _ := r.json(t)["quota_report"].(map[string]any); report["configured_quota"] != 1048576.0 || report["quota_bytes"].(float64) < 40000 {
		t.Errorf("%s", r.body)
	}
}

// TestQuotaTold: administrators find in their inbox that a quota is nearly used
// up, and that a push was refused.
func TestQuotaTold(t *testing.T) {
	s := open(t, Options{tellPoll: 10 * time.Millisecond, Config: folder(t, map[string]string{"config.yaml": `
FEATURE_USER_INITIALIZE: true
FEATURE_QUOTA_MANAGEMENT: true
SUPER_USERS: [ada]
`})})
	bearer := []string{"Authorization", "Bearer " + s.initialize("ada"), "Content-Type", "application/json"}
	call := func(path, body string) {
		t.Helper()
		r := send(t, "POST", s.base+path, body, bearer...)
		if r.status/100 != 2 {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
	}
	call("/api/v1/organization/", `{"name":"acme"}`)
	call("/api/v1/organization/acme/quota", `{"limit_bytes":30000}`)
	list := send(t, "GET", s.base+"/api/v1/organization/acme/quota", "", bearer...)
	var quotas []struct{ ID int64 }
	if err := json.Unmarshal([]byte(list.body), &quotas); err != nil || len(quotas) != 1 {
		t.Fatal(list.body, err)
	}
	limits := fmt.Sprintf("/api/v1/organization/acme/quota/%d/limit", quotas[0].ID)
	call(limits, `{"type":"Warning","threshold_percent":40}`)
	call(limits, `{"type":"Reject","threshold_percent":100}`)
	auth, _ := s.bearer("ada", password, "repository:acme/app:pull,push")
	if r := s.push(auth, "acme/app", "v1", newImage("one")); r.status != 201 { // 15 kB
		t.Fatal(r)
	}
	inbox := func(kind string) func() bool {
		return func() bool {
			return strings.Contains(send(t, "GET", s.base+"/api/v1/user/notifications", "", bearer...).body, `"kind":"`+kind+`"`)
		}
	}
	until(t, "the warning", inbox("quota_warning"))
	if inbox("quota_error")() {
		t.Error("nothing was refused yet")
	}
	if r := s.push(auth, "acme/app", "v2", newImage("large")); r.status != 403 {
		t.Fatal(r)
	}
	until(t, "the refusal", inbox("quota_error"))
}
