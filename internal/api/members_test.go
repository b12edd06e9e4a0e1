package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestMembers walks an organization's members and collaborators, and takes
// them out again.
func TestMembers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		const org = "/api/v1/organization/acme"
		who, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		_, eve := w.user("eve", false)
		_, dan := w.user("dan", false)
		_, auditor := w.user("auditor", false)
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		w.want(201, "POST", "/api/v1/organization/", dan, `{"name":"rivals"}`)
		w.want(201, "PUT", org+"/robots/ci", ann, "")
		for _, team := range []string{"staff", "crew"} {
			w.want(200, "PUT", org+"/team/"+team, ann, `{"role":"member"}`)
			w.want(200, "PUT", org+"/team/"+team+"/members/bob", ann, "")
		}
		w.want(200, "PUT", org+"/team/staff/members/acme+ci", ann, "")
		for _, repo := range []string{"one", "two"} {
			w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"`+repo+`","visibility":"private","description":""}`)
			for _, name := range []string{"bob", "eve", "acme+ci"} {
				w.want(200, "PUT", "/api/v1/repository/acme/"+repo+"/permissions/user/"+name, ann, `{"role":"read"}`)
			}
		}
		w.want(200, "PUT", "/api/v1/repository/acme/one/permissions/team/staff", ann, `{"role":"write"}`)
		w.want(200, "POST", org+"/prototypes", ann, `{"role":"read","delegate":{"name":"bob","kind":"user"}}`)
		// What others gave them does not count here.
		w.want(201, "POST", "/api/v1/repository", dan, `{"namespace":"rivals","repository":"secret","visibility":"private","description":""}`)
		w.want(200, "PUT", "/api/v1/repository/rivals/secret/permissions/user/bob", dan, `{"role":"read"}`)

		before := w.db.Statements()
		list := w.want(200, "GET", org+"/members", ann, "")
		if n := w.db.Statements() - before; n > 6 {
			t.Errorf("%d statements", n)
		}
		var got struct {
			Members []struct {
				Name, Kind   string
				Teams        []struct{ Name string }
				Repositories []string
			}
		}
		if err := json.Unmarshal([]byte(list), &got); err != nil || len(got.Members) != 2 {
			t.Fatal(list, err)
		}
		if m := got.Members[1]; m.Name != "bob" || m.Kind != "user" || len(m.Teams) != 2 || m.Teams[0].Name != "crew" || strings.Join(m.Repositories, " ") != "one two" {
			t.Errorf("bob: %+v", m)
		}
		if m := got.Members[0]; m.Name != "ann" || len(m.Teams) != 1 || m.Teams[0].Name != "owners" {
			t.Errorf("ann: %+v", m)
		}
		lacks(t, list, "secret", "eve", "acme+ci")
		holds(t, w.want(200, "GET", org+"/members/bob", ann, ""), `"repositories":["one","two"]`, `"name":"staff"`)
		for _, none := range []string{"eve", "dan", "nobody", "acme", "acme+ci"} {
			w.want(404, "GET", org+"/members/"+none, ann, "")
		}
		others := w.want(200, "GET", org+"/collaborators", ann, "")
		holds(t, others, `"name":"eve"`, `"repositories":["one","two"]`, `"kind":"user"`)
		lacks(t, others, "bob", "ann", "acme+ci")
		for _, path := range []string{"/members", "/members/bob", "/collaborators"} {
			for token, status := range map[string]int{"": 401, bob: 403, dan: 403, w.narrow(who, "user:admin repo:admin"): 403} {
				w.want(status, "GET", org+path, token, "")
			}
		}
		set := *w.svc.Settings()
		set.ReadOnlySuperusers = []string{"auditor"}
		w.svc.Configure(set)
		w.want(200, "GET", org+"/members", auditor, "")
		w.want(403, "DELETE", org+"/members/bob", auditor, "")

		w.want(403, "DELETE", org+"/members/eve", bob, "")
		holds(t, w.want(400, "DELETE", org+"/members/ann", ann, ""), "without an administrator")
		w.want(404, "DELETE", org+"/members/dan", ann, "")
		w.want(404, "DELETE", org+"/members/nobody", ann, "")
		w.want(404, "DELETE", "/api/v1/organization/rivals/members/acme+ci", dan, "")
		w.want(200, "GET", "/api/v1/repository/acme/two", bob, "")
		w.want(204, "DELETE", org+"/members/bob", ann, "")
		w.want(404, "DELETE", org+"/members/bob", ann, "")
		w.want(403, "GET", "/api/v1/repository/acme/two", bob, "")
		w.want(403, "GET", "/api/v1/repository/acme/one", bob, "")
		w.want(200, "GET", "/api/v1/repository/rivals/secret", bob, "")
		holds(t, w.want(200, "GET", org+"/prototypes", ann, ""), `"prototypes":[]`)
		w.want(204, "DELETE", org+"/members/eve", ann, "") // a collaborator
		w.want(403, "GET", "/api/v1/repository/acme/two", eve, "")
		w.want(204, "DELETE", org+"/members/acme+ci", ann, "")
		holds(t, w.want(200, "GET", org+"/robots/ci/permissions", ann, ""), `"permissions":[]`)
		holds(t, w.want(200, "GET", org+"/collaborators", ann, ""), `"collaborators":[]`)
		if n := w.events("org_remove_team_member"); n != 3 {
			t.Errorf("%d rows in the journal", n)
		}
	})
}

// TestRobotLists holds what lists of robots can be asked for.
func TestRobotLists(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		const org = "/api/v1/organization/acme"
		who, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		w.want(200, "PUT", org+"/team/staff", ann, `{"role":"member"}`)
		w.want(200, "PUT", org+"/team/staff/members/bob", ann, "")
		for _, short := range []string{"aa", "bb", "cc"} {
			w.want(201, "PUT", org+"/robots/"+short, ann, `{"description":"d","unstructured_metadata":{"key":"`+short+`"}}`)
			w.want(200, "PUT", org+"/team/staff/members/acme+"+short, ann, "")
		}
		w.want(201, "PUT", "/api/v1/user/robots/own", ann, "")
		for _, repo := range []string{"two", "one"} {
			w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"`+repo+`","visibility":"private","description":""}`)
			w.want(200, "PUT", "/api/v1/repository/acme/"+repo+"/permissions/user/acme+bb", ann, `{"role":"write"}`)
		}
		w.want(201, "POST", "/api/v1/repository", ann, `{"repository":"mine","visibility":"public","description":""}`)
		w.want(200, "PUT", "/api/v1/repository/ann/mine/permissions/user/ann+own", ann, `{"role":"admin"}`)
		plain := w.want(200, "GET", org+"/robots", ann, "")
		holds(t, plain, `"name":"acme+aa"`, `"token":"`, `"unstructured_metadata":{"key":"cc"}`)
		lacks(t, plain, `"teams"`, `"repositories"`, "ann+own")
		before := w.db.Statements()
		full := w.want(200, "GET", org+"/robots?permissions=true&token=false", ann, "")
		if n := w.db.Statements() - before; n > 6 {
			t.Errorf("%d statements", n)
		}
		var got struct {
			Robots []struct {
				Name         string
				Teams        []struct{ Name string }
				Repositories []string
				Token        *string
			}
		}
		if err := json.Unmarshal([]byte(full), &got); err != nil || len(got.Robots) != 3 {
			t.Fatal(full, err)
		}
		for i, want := range []string{"", "one two", ""} {
			if r := got.Robots[i]; strings.Join(r.Repositories, " ") != want || len(r.Teams) != 1 || r.Teams[0].Name != "staff" || r.Token != nil {
				t.Errorf("%+v", r)
			}
		}
		some := w.want(200, "GET", org+"/robots?limit=2&permissions=true", ann, "")
		holds(t, some, "acme+aa", "acme+bb", `"repositories":["one","two"]`)
		lacks(t, some, "acme+cc")
		for _, bad := range []string{"0", "-1", "x", "99999999999999999999"} {
			w.want(400, "GET", org+"/robots?limit="+bad, ann, "")
		}
		lacks(t, w.want(200, "GET", org+"/robots?permissions=true", bob, ""), `"token"`)
		holds(t, w.want(200, "GET", "/api/v1/user/robots?permissions=true", ann, ""), `"repositories":["mine"]`, `"teams":[]`)

		holds(t, w.want(200, "GET", org+"/robots/bb/permissions", ann, ""), `{"repository":{"is_public":false,"name":"one"},"role":"write"}`)
		holds(t, w.want(200, "GET", "/api/v1/user/robots/own/permissions", ann, ""), `"is_public":true`, `"role":"admin"`)
		for _, path := range []string{org + "/robots/own/permissions", org + "/robots/none/permissions", "/api/v1/user/robots/bb/permissions"} {
			w.want(404, "GET", path, ann, "")
		}
		w.want(403, "GET", org+"/robots/bb/permissions", bob, "")
		w.want(401, "GET", org+"/robots/bb/permissions", "", "")
		w.want(403, "GET", org+"/robots/bb/permissions", w.narrow(who, "user:admin"), "")
		w.want(403, "GET", "/api/v1/user/robots/own/permissions", w.narrow(who, "org:admin"), "")
		w.want(404, "GET", "/api/v1/user/robots/own/permissions", bob, "")
	})
}

// TestRemoveMemberNotThere: another account of the same name, made later, is
// not the one that was a member.
func TestRemoveMemberNotThere(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	bob, _ := w.user("bob", false)
	w.want(200, "PUT", "/api/v1/organization/acme/team/owners/members/bob", ann, "")
	if err := w.db.DeleteNamespace(t.Context(), bob.ID, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	w.user("bob", false)
	w.want(404, "GET", "/api/v1/organization/acme/members/bob", ann, "")
	w.want(404, "DELETE", "/api/v1/organization/acme/members/bob", ann, "")
}
