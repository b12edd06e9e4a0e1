package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// at makes calls at the same time and returns how often each status came.
func (w *world) at(token string, calls ...[3]string) map[int]int {
	w.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	got := map[int]int{}
	start := make(chan struct{})
	for _, c := range calls {
		all.Go(func() {
			<-start
			status, body, _ := w.call(c[0], "/api/v1/"+c[1], token, c[2])
			if status >= 500 {
				w.t.Errorf("%v: %d %s", c, status, body)
			}
			mu.Lock()
			got[status]++
			mu.Unlock()
		})
	}
	close(start)
	all.Wait()
	return got
}

// TestConcurrentEdits: of edits that are made at the same time none is lost,
// and of those that exclude each other one is made.
func TestConcurrentEdits(t *testing.T) { storetest.Each(t, testConcurrentEdits) }

func testConcurrentEdits(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db).with(Options{UserMetadata: true, Quota: true, EditQuota: true})
	_, root := w.user("root", true)
	_, ann := w.user("ann", false)
	var people []string
	for i := range 8 {
		name := fmt.Sprintf("u%d", i)
		w.user(name, false)
		people = append(people, name)
	}
	each := func(method, path, body string) (calls [][3]string) { // %s is a person
		for _, p := range people {
			calls = append(calls, [3]string{method, strings.ReplaceAll(path, "%s", p), strings.ReplaceAll(body, "%s", p)})
		}
		return calls
	}
	same := func(n int, c [3]string) (calls [][3]string) {
		for range n {
			calls = append(calls, c)
		}
		return calls
	}
	// Made once, whoever is first.
	for _, c := range [][3]string{
		{"POST", "organization/", `{"name":"acme","email":"acme@example.com"}`},
		{"POST", "repository", `{"namespace":"acme","repository":"app","visibility":"private","description":""}`},
		{"PUT", "organization/acme/robots/ci", ""},
	} {
		if got := w.at(ann, same(6, c)...); got[http.StatusCreated] != 1 || got[http.StatusBadRequest] != 5 {
			t.Errorf("%v six times at once: %v", c, got)
		}
	}
	w.want(200, "PUT", "/api/v1/organization/acme/team/staff", ann, `{"role":"member"}`)

	// Each is there afterwards.
	for _, x := range []struct {
		calls [][3]string
		look  string
		want  string // %s is a person
	}{
		{each("PUT", "repository/acme/app/permissions/user/%s", `{"role":"read"}`), "repository/acme/app/permissions/user/", `"%s":{`},
		{each("PUT", "organization/acme/team/staff/members/%s", ""), "organization/acme/team/staff/members", `"name":"%s"`},
		{each("POST", "organization/acme/prototypes", `{"role":"read","delegate":{"name":"%s","kind":"user"}}`), "organization/acme/prototypes", `"name":"%s"`},
		{each("PUT", "organization/acme/robots/%s", ""), "organization/acme/robots", `"name":"acme+%s"`},
		{each("PUT", "organization/acme/team/%s", `{"role":"member"}`), "organization/acme", `"name":"%s"`},
		{each("POST", "organization/acme/applications", `{"name":"%s"}`), "organization/acme/applications", `"name":"%s"`},
	} {
		if got := w.at(ann, x.calls...); got[200]+got[201] != len(people) {
			t.Errorf("%v: %v", x.calls[0], got)
		}
		body := w.want(200, "GET", "/api/v1/"+x.look, ann, "")
		for _, p := range people {
			if want := strings.ReplaceAll(x.want, "%s", p); !strings.Contains(body, want) {
				t.Errorf("%v: no %s in %s", x.calls[0], want, body)
			}
		}
	}

	// Fields of one thing, each changed by another call.
	var app struct {
		Applications []struct {
			ID string `json:"client_id"`
		}
	}
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/api/v1/organization/acme/applications", ann, "")), &app); err != nil {
		t.Fatal(err)
	}
	client := "organization/acme/applications/" + app.Applications[0].ID
	for round := range 5 {
		for _, x := range []struct {
			path   string
			fields map[string]string
			always string
		}{
			{"user/", map[string]string{"given_name": "Ann", "family_name": "Ash", "company": "Acme", "location": "Here"}, ""},
			{"organization/acme", map[string]string{"email": "x%d@example.com", "invoice_email_address": "bill%d@example.com"}, ""},
			{client, map[string]string{"description": "words %d", "avatar_email": "a%d@example.com"}, `"name":"u0","redirect_uri":"","application_uri":"",`},
		} {
			var calls [][3]string
			want := map[string]string{}
			for name, v := range x.fields {
				if v = strings.ReplaceAll(v, "%d", fmt.Sprint(round)); !strings.Contains(v, fmt.Sprint(round)) {
					v += fmt.Sprint(round)
				}
				want[name] = v
				calls = append(calls, [3]string{"PUT", x.path, fmt.Sprintf(`{%s%q:%q}`, x.always, name, v)})
			}
			if got := w.at(ann, calls...); got[200] != len(calls) {
				t.Fatalf("%v: %v", calls, got)
			}
			var out map[string]any
			if err := json.Unmarshal([]byte(w.want(200, "GET", "/api/v1/"+x.path, ann, "")), &out); err != nil {
				t.Fatal(err)
			}
			for name, v := range want {
				if out[name] != v {
					t.Errorf("round %d of %s: %s is %v, want %s", round, x.path, name, out[name], v)
				}
			}
		}
	}

	// Of what there may be one, there is one.
	if got := w.at(root, same(4, [3]string{"POST", "organization/acme/quota", `{"limit_bytes":1000}`})...); got[201] != 1 {
		t.Errorf("quotas: %v", got)
	}
	var quotas []struct{ ID int64 }
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/api/v1/organization/acme/quota", root, "")), &quotas); err != nil || len(quotas) != 1 {
		t.Fatal(quotas, err)
	}
	limit := fmt.Sprintf("organization/acme/quota/%d/limit", quotas[0].ID)
	if got := w.at(root, same(4, [3]string{"POST", limit, `{"type":"Reject","threshold_percent":90}`})...); got[201] != 1 {
		t.Errorf("limits that reject: %v", got)
	}

	// Two administrators throw each other out: one stays.
	for round := range 5 {
		for _, p := range people[:2] {
			if s, b, _ := w.call("PUT", "/api/v1/organization/acme/team/owners/members/"+p, root, ""); s != 200 {
				t.Fatal(s, b)
			}
		}
		w.call("DELETE", "/api/v1/organization/acme/team/owners/members/ann", root, "")
		got := w.at(root, [3]string{"DELETE", "organization/acme/team/owners/members/u0", ""}, [3]string{"DELETE", "organization/acme/members/u1", ""})
		if got[204] != 1 || got[400] != 1 {
			t.Errorf("round %d: two administrators go at once: %v", round, got)
		}
	}

	// What goes while it is changed is gone, whole.
	for range 3 {
		got := w.at(root, append(each("PUT", "repository/acme/app/permissions/user/%s", `{"role":"write"}`), [3]string{"DELETE", "repository/acme/app", ""},
			[3]string{"POST", "repository/acme/app/changevisibility", `{"visibility":"public"}`}, [3]string{"PUT", "repository/acme/app", `{"description":"x"}`})...)
		if got[204] != 1 {
			t.Errorf("a repository that is deleted meanwhile: %v", got)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM permissions p JOIN repositories r ON r.id = p.repo_id WHERE r.deleted_ms > 0`); n > 0 {
			t.Errorf("%d permissions in a repository that is gone", n)
		}
		w.want(201, "POST", "/api/v1/repository", root, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	}
}
