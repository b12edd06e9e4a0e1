package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestApplications(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		const org, apps = "/api/v1/organization/acme", "/api/v1/organization/acme/applications"
		who, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		_, rival := w.user("rival", false)
		_, auditor := w.user("auditor", false)
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme","email":"acme@example.com"}`)
		w.want(201, "POST", "/api/v1/organization/", rival, `{"name":"rivals"}`)
		w.want(200, "PUT", org+"/team/staff", ann, `{"role":"creator"}`)
		w.want(200, "PUT", org+"/team/staff/members/bob", ann, "")
		made := w.want(200, "POST", apps, ann, `{"name":"CI","redirect_uri":"https://ci.example.com/back","application_uri":"https://ci.example.com","description":"builds","avatar_email":"ci@example.com"}`)
		id, secret := jsonText(t, made, "client_id"), jsonText(t, made, "client_secret")
		if len(id) != 20 || len(secret) != 40 {
			t.Fatal(made)
		}
		app := apps + "/" + id
		for _, bad := range []string{`{}`, `{"name":" "}`, `{"name":"x","application_uri":"javascript:alert(1)"}`, `{"name":"x","redirect_uri":"relative"}`,
			`{"name":"x","redirect_uri":"javascript:alert(1)"}`, `{"name":"x","redirect_uri":"https://a/#b"}`, `{"name":"x","avatar_email":"x"}`,
			`{"name":"` + strings.Repeat("x", 256) + `"}`, ``} {
			w.want(400, "POST", apps, ann, bad)
			w.want(400, "PUT", app, ann, bad)
		}
		if got := w.want(200, "GET", app, ann, ""); got != made {
			t.Errorf("%s, made %s", got, made)
		}
		holds(t, w.want(200, "PUT", app, ann, `{"name":"CD","redirect_uri":"","application_uri":"https://cd.example.com"}`), `"name":"CD"`, `"redirect_uri":""`,
			`"description":"builds"`, `"client_id":"`+id+`"`, secret)
		reset := jsonText(t, w.want(200, "POST", app+"/resetclientsecret", ann, ""), "client_secret")
		if reset == secret || len(reset) != 40 {
			t.Error("the secret is the same")
		}
		holds(t, w.want(200, "GET", apps, ann, ""), `"name":"CD"`, reset)
		info := w.want(200, "GET", "/api/v1/app/"+id, "", "")
		holds(t, info, `"name":"CD"`, `"uri":"https://cd.example.com"`, `"name":"acme"`)
		lacks(t, info, reset, "acme@example.com", "ci@example.com")
		w.want(404, "GET", "/api/v1/app/nonsense", "", "")

		// Others.
		set := *w.svc.Settings()
		set.ReadOnlySuperusers = []string{"auditor"}
		w.svc.Configure(set)
		seen := w.want(200, "GET", app, auditor, "")
		lacks(t, seen, "client_secret")
		lacks(t, w.want(200, "GET", apps, auditor, ""), "client_secret")
		rivals := strings.Replace(app, "acme", "rivals", 1)
		for _, x := range [][2]string{{"GET", ""}, {"PUT", ""}, {"DELETE", ""}, {"POST", "/resetclientsecret"}, {"GET", "/tokens"}, {"POST", "/tokens"}, {"DELETE", "/tokens/x"}} {
			const body = `{"name":"x","scope":"repo:read"}`
			w.want(403, x[0], app+x[1], bob, body)
			w.want(403, x[0], app+x[1], rival, body)
			w.want(401, x[0], app+x[1], "", body)
			w.want(404, x[0], rivals+x[1], rival, body) // not theirs
			if x[0] != "GET" {
				w.want(403, x[0], app+x[1], auditor, body)
			}
		}
		w.want(403, "POST", apps, w.narrow(who, "repo:admin user:admin"), `{"name":"x"}`)

		// Tokens.
		made = w.want(200, "POST", app+"/tokens", ann, `{"name":"nightly","scope":"user:read,repo:read","expiration":3600}`)
		token := jsonText(t, made, "token")
		holds(t, made, `"scope":"repo:read user:read"`, `"created_by":"ann"`, `"name":"nightly"`)
		holds(t, w.want(200, "GET", "/api/v1/user/", token, ""), `"username":"ann"`)
		w.want(403, "PUT", org+"/team/x1", token, `{"role":"admin"}`)
		list := w.want(200, "GET", app+"/tokens", ann, "")
		holds(t, list, jsonText(t, made, "uuid"))
		lacks(t, list, token)
		for _, bad := range []string{`{"name":"x"}`, `{"name":"x","scope":" "}`, `{"name":"x","scope":","}`, `{"name":"x","scope":"all"}`, `{"scope":"repo:read"}`,
			`{"name":"x","scope":"repo:read","expiration":0}`, `{"name":"x","scope":"repo:read","expiration":99999999999}`} {
			w.want(400, "POST", app+"/tokens", ann, bad)
		}
		// A token makes none that may do more than itself.
		weak := w.narrow(who, "org:admin repo:write")
		w.want(403, "POST", app+"/tokens", weak, `{"name":"x","scope":"repo:admin"}`)
		w.want(403, "POST", app+"/tokens", weak, `{"name":"x","scope":"super:user"}`)
		w.want(200, "POST", app+"/tokens", weak, `{"name":"x","scope":"repo:read org:admin"}`)
		w.with(Options{MaxOAuthTokens: 2}).want(400, "POST", app+"/tokens", ann, `{"name":"third","scope":"repo:read"}`)
		w.want(404, "DELETE", app+"/tokens/none", ann, "")

		// What acts as the caller.
		mine := w.want(200, "GET", "/api/v1/user/authorizations", ann, "")
		holds(t, mine, `"clientId":"`+id+`"`, `"scope":"repo:read"`, `"dangerous":true`, `"organization":null`)
		uuid := jsonText(t, made, "uuid")
		holds(t, w.want(200, "GET", "/api/v1/user/authorizations/"+uuid, ann, ""), `"name":"CD"`)
		w.want(404, "GET", "/api/v1/user/authorizations/"+uuid, bob, "")
		w.want(404, "DELETE", "/api/v1/user/authorizations/"+uuid, bob, "")
		w.want(403, "GET", "/api/v1/user/authorizations", token, "")
		w.want(204, "DELETE", "/api/v1/user/authorizations/"+uuid, ann, "")
		w.want(404, "DELETE", "/api/v1/user/authorizations/"+uuid, ann, "")
		w.want(401, "GET", "/api/v1/user/", token, "")
		made = w.want(200, "POST", app+"/tokens", ann, `{"name":"again","scope":"user:read"}`)
		w.want(404, "DELETE", rivals+"/tokens/"+jsonText(t, made, "uuid"), rival, "")
		w.want(204, "DELETE", app+"/tokens/"+jsonText(t, made, "uuid"), ann, "")
		w.want(401, "GET", "/api/v1/user/", jsonText(t, made, "token"), "")

		// With the application all its tokens end, with the organization the application.
		made = w.want(200, "POST", app+"/tokens", ann, `{"name":"last","scope":"user:read"}`)
		w.want(204, "DELETE", app, ann, "")
		w.want(404, "GET", app, ann, "")
		w.want(404, "GET", "/api/v1/app/"+id, ann, "")
		w.want(401, "GET", "/api/v1/user/", jsonText(t, made, "token"), "")
		var other struct {
			ID string `json:"client_id"`
		}
		if err := json.Unmarshal([]byte(w.want(200, "POST", apps, ann, `{"name":"second"}`)), &other); err != nil {
			t.Fatal(err)
		}
		made = w.want(200, "POST", apps+"/"+other.ID+"/tokens", ann, `{"name":"t","scope":"user:read"}`)
		w.want(204, "DELETE", org, ann, "")
		w.want(404, "GET", "/api/v1/app/"+other.ID, "", "")
		w.want(401, "GET", "/api/v1/user/", jsonText(t, made, "token"), "")
		if n := storetest.Get(t, db, `SELECT (SELECT COUNT(*) FROM oauth_token_titles) + (SELECT COUNT(*) FROM oauth_applications)`); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		for kind, want := range map[string]int64{"create_application": 2, "update_application": 1, "reset_application_client_secret": 1, "delete_application": 1, "revoke_oauth_api_token": 2} {
			if n := w.events(kind); n != want {
				t.Errorf("%d rows of %s, want %d", n, kind, want)
			}
		}
		set.AnonymousAccess = false
		w.svc.Configure(set)
		w.want(401, "GET", "/api/v1/app/"+id, "", "")
	})
}
