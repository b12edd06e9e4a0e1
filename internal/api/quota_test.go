package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestQuotaRoutes walks through the quota of an organization and of a user, as
// everybody who may see it and who may not.
func TestQuotaRoutes(t *testing.T) {
	storetest.Each(t, testQuotaRoutes)
}

func testQuotaRoutes(t *testing.T, db *store.DB) {
	plain := newWorldOn(t, db)
	set := *plain.svc.Settings()
	set.SuperusersFullAccess = false
	set.ReadOnlySuperusers = []string{"auditor"}
	plain.svc.Configure(set)
	owner, ann := plain.user("ann", false)
	_, bob := plain.user("bob", false)
	_, eve := plain.user("eve", false)
	root, super := plain.user("root", true)
	_, auditor := plain.user("auditor", false)
	plain.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	plain.want(200, "PUT", "/api/v1/organization/acme/team/staff", ann, `{"role":"member"}`)
	plain.want(200, "PUT", "/api/v1/organization/acme/team/staff/members/bob", ann, "")
	const org = "/api/v1/organization/acme/quota"
	for _, o := range []Options{{}, {Quota: true}, {EditQuota: true}} {
		plain.with(o).want(404, "GET", org, ann, "")
		plain.with(o).want(404, "POST", org, super, `{"limit_bytes":1}`)
	}
	w := plain.with(Options{Quota: true, EditQuota: true})
	for _, who := range []string{ann, bob, super, auditor} {
		if b := w.want(200, "GET", org, who, ""); b != "[]\n" {
			t.Errorf("no quota: %s", b)
		}
	}
	w.want(403, "GET", org, eve, "")
	w.want(401, "GET", org, "", "")
	w.want(403, "GET", "/api/v1/organization/none/quota", eve, "")
	w.want(404, "GET", "/api/v1/organization/none/quota", super, "")
	for _, who := range []string{ann, bob, auditor} {
		w.want(403, "POST", org, who, `{"limit_bytes":1}`)
	}
	for _, bad := range []string{`{}`, `{"limit":"10 apples"}`, `{"limit_bytes":0}`, `{"limit_bytes":-5}`, `{"limit_bytes":1.5}`, `{"limit_bytes":"x"}`, `{"limit":"9000 PiB"}`, `{"limit":""}`, `null`} {
		w.want(400, "POST", org, super, bad)
	}
	w.want(201, "POST", org, super, `{"limit":"10GiB"}`)
	holds(t, w.want(400, "POST", org, super, `{"limit_bytes":5}`), "already exists")
	w.want(404, "POST", "/api/v1/organization/none/quota", super, `{"limit_bytes":5}`)
	var list []struct {
		ID     int64
		Bytes  int64 `json:"limit_bytes"`
		Limit  string
		Limits []struct {
			ID      int64
			Type    string
			Percent int `json:"limit_percent"`
		}
	}
	read := func() {
		t.Helper()
		list = nil
		b := w.want(200, "GET", org, bob, "")
		if err := json.Unmarshal([]byte(b), &list); err != nil || len(list) != 1 {
			t.Fatal(b, err)
		}
	}
	read()
	if q := list[0]; q.Bytes != 10<<30 || q.Limit != "10 GiB" || len(q.Limits) != 0 {
		t.Errorf("%+v", q)
	}
	own := org + fmt.Sprintf("/%d", list[0].ID)
	holds(t, w.want(200, "PUT", own, super, `{"limit_bytes":2048}`), `"limit":"2 KiB"`)
	w.want(403, "PUT", own, ann, `{"limit_bytes":2048}`)
	w.want(404, "GET", org+"/999999", bob, "")
	w.want(404, "GET", org+"/x", bob, "")
	for _, bad := range []string{`{}`, `{"type":"reject","threshold_percent":80}`, `{"type":"Reject","threshold_percent":0}`, `{"type":"Reject","threshold_percent":101}`, `{"type":"Reject"}`} {
		w.want(400, "POST", own+"/limit", super, bad)
	}
	w.want(201, "POST", own+"/limit", super, `{"type":"Reject","threshold_percent":80}`)
	w.want(201, "POST", own+"/limit", super, `{"type":"Warning","threshold_percent":50}`)
	holds(t, w.want(400, "POST", own+"/limit", super, `{"type":"Reject","threshold_percent":90}`), "Only one quota limit of type 'Reject' allowed.")
	w.want(403, "POST", own+"/limit", ann, `{"type":"Warning","threshold_percent":60}`)
	read()
	reject := own + fmt.Sprintf("/limit/%d", list[0].Limits[0].ID)
	holds(t, w.want(200, "GET", own+"/limit", bob, ""), `"type":"Warning"`, `"limit_percent":50`)
	holds(t, w.want(200, "GET", reject, bob, ""), `"type":"Reject"`)
	w.want(404, "GET", own+"/limit/999999", bob, "")
	holds(t, w.want(200, "PUT", reject, super, `{"type":"Reject","threshold_percent":70}`), `"limit_percent":70`)
	w.want(204, "DELETE", reject, super, "")
	w.want(404, "DELETE", reject, super, "")

	// The views of who and what it is about.
	holds(t, w.want(200, "GET", "/api/v1/organization/acme", bob, ""), `"configured_quota":2048`, `"backfill_status":"complete"`, `"quotas":[{`)
	if b := w.want(200, "GET", "/api/v1/organization/acme", eve, ""); strings.Contains(b, "quota") {
		t.Errorf("a stranger sees %s", b)
	}
	if b := plain.want(200, "GET", "/api/v1/user/", ann, ""); strings.Contains(b, "quota") {
		t.Errorf("quotas are off: %s", b)
	}
	if _, err := db.CreateRepository(t.Context(), store.NewRepository{Name: gantry.RepoName{Namespace: "acme", Name: "app"}}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	holds(t, w.want(200, "GET", "/api/v1/repository?namespace=acme", ann, ""), `"quota_report":{"configured_quota":2048,"quota_bytes":0}`)

	// A user's, which the user sees and a superuser sets; by default.
	d := plain.with(Options{Quota: true, EditQuota: true, DefaultQuota: 1 << 20})
	holds(t, d.want(200, "GET", "/api/v1/user/quota", ann, ""), `"default_config":true`, `"id":null`, `"limit":"1 MiB"`)
	holds(t, d.want(200, "GET", "/api/v1/user/", ann, ""), `"configured_quota":1048576`)
	const users = "/api/v1/superuser/users/ann/quota"
	d.want(403, "GET", users, ann, "")
	d.want(403, "POST", users, auditor, `{"limit_bytes":5}`)
	d.want(404, "GET", "/api/v1/superuser/users/nobody/quota", super, "")
	d.want(201, "POST", users, super, `{"limit_bytes":5}`)
	b := d.want(200, "GET", users, auditor, "")
	if err := json.Unmarshal([]byte(b), &list); err != nil || len(list) != 1 {
		t.Fatal(b, err)
	}
	id := fmt.Sprintf("/%d", list[0].ID)
	holds(t, d.want(200, "GET", "/api/v1/user/quota"+id, ann, ""), `"limit_bytes":5`, `"default_config":false`, `"default_config_exists":true`)
	d.want(200, "GET", "/api/v1/user/quota"+id+"/limit", ann, "")
	d.want(404, "GET", "/api/v1/user/quota"+id+"/limit/1000", ann, "")
	d.want(404, "GET", "/api/v1/user/quota"+id, bob, "")
	d.want(404, "PUT", org+id, super, `{"limit_bytes":7}`) // of another namespace
	d.want(200, "PUT", users+id, super, `{"limit_bytes":7}`)
	d.want(204, "DELETE", users+id, super, "")
	d.want(204, "DELETE", own, super, "")
	d.want(201, "POST", "/api/v1/superuser/organization/acme/quota", super, `{"limit_bytes":9}`)
	holds(t, d.want(200, "GET", "/api/v1/superuser/organization/acme/quota", super, ""), `"limit_bytes":9`)

	// A token needs the scope.
	for token, status := range map[string]int{auth.ScopeUserRead: 403, auth.ScopeUserAdmin: 200} {
		narrow, err := d.svc.NewOAuthToken(t.Context(), owner.ID, token, 1e12, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		d.want(status, "GET", "/api/v1/user/quota", narrow, "")
	}
	narrow, err := d.svc.NewOAuthToken(t.Context(), root.ID, auth.ScopeOrgAdmin, 1e12, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	d.want(403, "GET", org, narrow, "")
	set.ReadOnly = true
	d.svc.Configure(set)
	d.want(503, "DELETE", own, super, "")
	d.want(200, "GET", org, bob, "")
}
