package app

import (
	"strings"
	"testing"
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
