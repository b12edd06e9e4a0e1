package api

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestFederationRoutes: who administers a robot says who may act as it.
func TestFederationRoutes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		_, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		w.want(200, "PUT", "/api/v1/organization/acme/team/staff", ann, `{"role":"creator"}`)
		w.want(200, "PUT", "/api/v1/organization/acme/team/staff/members/bob", ann, "")
		for _, robot := range []string{"/api/v1/organization/acme/robots/ci", "/api/v1/user/robots/ci"} {
			w.want(201, "PUT", robot, ann, "")
			fed := robot + "/federation"
			holds(t, w.want(200, "GET", fed, ann, ""), "[]")
			holds(t, w.want(200, "POST", fed, ann, `[{"issuer":"https://a.example","subject":"x"},{"issuer":"https://a.example","subject":"y"}]`), `[{"issuer":"https://a.example","subject":"x"},{`)
			holds(t, w.want(200, "POST", fed, ann, `[{"issuer":"https://b.example/t","subject":"z"}]`), `[{"issuer":"https://b.example/t","subject":"z"}]`)
			for _, bad := range []string{``, `{}`, `null`, `"x"`, `[{}]`, `[{"issuer":"http://a.example","subject":"x"}]`, `[{"issuer":"https://a.example","subject":""}]`, `[{"Issuer":"https://a.example","subject":"x"}]`,
				`[{"issuer":"https://a.example","subject":"` + strings.Repeat("x", 256) + `"}]`, `[{"issuer":"https://a.example","subject":"x"},{"issuer":"https://a.example","subject":"x"}]`,
				"[" + strings.Repeat(`{"issuer":"https://a.example","subject":"x"},`, maxFederated) + `{"issuer":"https://a.example","subject":"y"}]`} {
				w.want(400, "POST", fed, ann, bad)
			}
			holds(t, w.want(200, "GET", fed, ann, ""), `"subject":"z"`)
			w.want(204, "DELETE", fed, ann, "")
			holds(t, w.want(200, "GET", fed, ann, ""), "[]")
			w.want(404, "GET", strings.Replace(fed, "/ci/", "/none/", 1), ann, "")
		}
		w.want(403, "GET", "/api/v1/organization/acme/robots/ci/federation", bob, "")
		w.want(403, "POST", "/api/v1/organization/acme/robots/ci/federation", bob, `[]`)
		if a, b := w.events("create_robot_federation"), w.events("delete_robot_federation"); a != 4 || b != 2 {
			t.Error(a, b)
		}
		if s, body, h := w.call("GET", "/oauth2/federation/robot/token", "", ""); s != 401 || h.Get("WWW-Authenticate") == "" {
			t.Error(s, body)
		}
	})
}

func TestFront(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	_, root := w.user("root", true)
	w = w.with(Options{Web: WebOptions{Title: `A & "B"`, Version: "1.2.3", Hostname: "registry.example.com", Scheme: "https",
		Boot: func() (map[string]any, map[string]any) {
			return map[string]any{"REGISTRY_TITLE": "x", "ACCOUNT_RECOVERY_MODE": true}, map[string]any{"MAILING": false}
		}}})
	holds(t, w.want(200, "GET", "/config", "", ""), `"config":{"ACCOUNT_RECOVERY_MODE":true,"REGISTRY_TITLE":"x"}`, `"features":{"MAILING":false}`, `"registry_state":"normal"`, `"account_recovery_mode":true`,
		`"external_login":[]`, `"super:user"`)
	var caps struct {
		AppName      string
		Capabilities map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/.well-known/app-capabilities", "", "")), &caps); err != nil || caps.AppName != "io.quay" ||
		caps.Capabilities["io.quay.view-image"]["url-template"] != "https://registry.example.com/{namespace}/{reponame}:{tag}" ||
		caps.Capabilities["io.quay.manifest-security"]["rest-api-template"] != "https://registry.example.com/api/v1/repository/{namespace}/{reponame}/manifest/{digest}/security" {
		t.Error(caps, err)
	}
	holds(t, w.want(200, "GET", "/robots.txt", "", ""), "User-agent: *")
	var os struct {
		ShortName string
		URL       struct {
			Template string `xml:"template,attr"`
		} `xml:"Url"`
	}
	if err := xml.Unmarshal([]byte(w.want(200, "GET", "/opensearch.xml", "", "")), &os); err != nil || os.ShortName != `A & "B"` || os.URL.Template != "https://registry.example.com/search?q={searchTerms}" {
		t.Error(os, err)
	}
	holds(t, w.want(200, "GET", "/secscan/_backfill_status", "", ""), `"backfill_percent":100`)
	holds(t, w.want(200, "GET", "/api/v1/superuser/changelog/", root, ""), "1.2.3")
	holds(t, w.want(200, "GET", "/api/v1/superuser/registrystatus", "", ""), `"status":"ready"`)

	// The badge of a private repository needs its token.
	w.want(201, "POST", "/api/v1/repository", ann, `{"repository":"a/app","visibility":"private","description":""}`)
	w.want(201, "POST", "/api/v1/repository", ann, `{"repository":"open","visibility":"public","description":""}`)
	token := jsonText(t, w.want(200, "GET", "/api/v1/repository/ann/a/app", ann, ""), "status_token")
	if len(token) != 32 || jsonText(t, w.want(200, "GET", "/api/v1/repository/ann/open", ann, ""), "status_token") != "" {
		t.Error(token)
	}
	s, body, h := w.call("GET", "/repository/ann/a/app/status?token="+token, "", "")
	if s != 200 || h.Get("Content-Type") != "image/svg+xml" || !strings.Contains(body, ">none</text>") || xml.Unmarshal([]byte(body), new(struct{})) != nil {
		t.Error(s, body)
	}
	w.want(200, "GET", "/repository/ann/open/status", "", "")
	for _, bad := range []string{"/repository/ann/a/app/status", "/repository/ann/a/app/status?token=x", "/repository/ann/none/status?token=" + token, "/repository/ann/status"} {
		w.want(404, "GET", bad, "", "")
	}
	w.want(405, "POST", "/config", "", "")
	for _, none := range []string{"/confi", "/oauth", "/oauth/x", "/keys/services/x", "/keys/services/x/keys/y/z", "/repository/a/b", "/config\x00"} {
		if Serves(none, "") {
			t.Errorf("%q is served", none)
		}
	}
}

// TestOff: who may call the routes of a feature that is not here finds nothing,
// and the rest is refused as ever. See also TestAttack.
func TestOff(t *testing.T) {
	w := newWorld(t)
	_, root := w.user("root", true)
	w.user("ann", false)
	org, err := w.db.Account(t.Context(), "root")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.CreateOrganization(t.Context(), store.NewAccount{Name: "acme"}, org.ID, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	w.want(201, "POST", "/api/v1/repository", root, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	for _, rt := range offRoutes {
		path := "/api/v1/" + strings.NewReplacer("{repo}", "acme/app", "{org}", "acme", "{id}", "x", "{uuid}", "x", "{name}", "x", "{ref}", "sha256:0", "{tag}", "x").Replace(rt.path)
		s, body, h := w.call(rt.method, path, root, "{}")
		if want := map[bool]int{true: 410, false: 404}[strings.Contains(rt.path, "/tokens")]; s != want || (h.Get("Deprecation") == "true") != rt.deprecated || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s", rt.method, path, s, body)
		}
	}
}

func TestCORS(t *testing.T) {
	w := newWorld(t)
	const path, own = "/api/v1/error/not_found", "Access-Control-Allow-Origin"
	for _, x := range []struct {
		origins      []string
		origin, want string
	}{{nil, "https://a.example", ""}, {[]string{"*"}, "https://a.example", "*"}, {[]string{"*"}, "", ""}, {[]string{"https://a.example/", "https://b.example"}, "https://a.example", "https://a.example"},
		{[]string{"https://a.example"}, "https://a.example.evil", ""}, {[]string{"https://a.example"}, "null", ""}} {
		w := w.with(Options{Web: WebOptions{CORSOrigins: x.origins}})
		for _, method := range []string{"GET", "OPTIONS"} {
			s, _, h := w.call(method, path, "", "", "Origin", x.origin)
			if s != 200 || h.Get(own) != x.want || h.Get("Access-Control-Allow-Credentials") != "" || (method == "OPTIONS" && x.want != "") != (h.Get("Access-Control-Allow-Headers") != "") {
				t.Errorf("%v: %s: %d %v", x, method, s, h)
			}
		}
		if _, _, h := w.call("GET", "/oauth/localapp", "", "", "Origin", x.origin); h.Get(own) != "" {
			t.Error("pages are for this site alone")
		}
	}
}

// TestCORSAttack: a page of another site that CORS lets in makes nothing where
// nobody needs to sign in: not the first account, and no session.
func TestCORSAttack(t *testing.T) {
	w := newWorld(t).with(Options{UserInitialize: true, UserCreation: true, Web: WebOptions{CORSOrigins: []string{"*"}}})
	for _, credentials := range []string{"", "Basic eDp5", "Digest x"} {
		for _, path := range []string{"user/initialize", "user/", "signin"} {
			for _, from := range [][]string{{"Origin", "https://evil.example"}, {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}} {
				w.want(403, "POST", "/api/v1/"+path, "", `{"username":"eve","password":"eve-password"}`, append(from, "Authorization", credentials)...)
			}
		}
	}
	if there, err := w.db.HasUsers(t.Context()); err != nil || there {
		t.Error("there is an account: ", err)
	}
}

// TestDiscoveryInternal: what is for the registry's own pages is shown to who
// asks for it, and names what there is.
func TestDiscoveryInternal(t *testing.T) {
	w := newWorld(t)
	public, all := w.want(200, "GET", "/api/v1/discovery", "", ""), w.want(200, "GET", "/api/v1/discovery?internal=true", "", "")
	lacks(t, public, `"/api/v1/signin"`, "requestRepoBuildX")
	holds(t, public, `"/api/v1/repository"`, `"deprecated":true`)
	holds(t, all, `"/api/v1/signin"`, `"x-internal":true`)
	lacks(t, public, `"x-internal":true`)
}

// TestSubscribe: a user's own events come as they are told, and the number of
// streams is bounded.
func TestSubscribe(t *testing.T) {
	w := newWorld(t)
	ann, _ := w.user("ann", false)
	jar, _ := w.signIn("ann")
	local := bus.New(bus.Options{})
	t.Cleanup(func() {
		if err := local.Close(); err != nil {
			t.Error(err)
		}
	})
	var stop atomic.Bool
	w = w.with(Options{Web: WebOptions{Bus: local, Stopping: stop.Load}})
	const path = "/realtime/user/subscribe"
	w.want(401, "GET", path+"?events=notification", "", "")
	for query, want := range map[string]int{"": 404, "?events=,": 404, "?events=a%20b": 400, "?events=" + strings.Repeat("x,", maxEvents+1): 400} {
		w.want(want, "GET", path+query, "", "", "Cookie", jar)
	}
	open := func() *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+path+"?events=notification,other", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", jar)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	res := open()
	in := bufio.NewScanner(res.Body)
	line := func() string {
		for in.Scan() {
			if in.Text() != "" && in.Text() != ": " {
				return in.Text()
			}
		}
		return "end"
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(res.Status, res.Header)
	}
	if got := line(); got != "data: {}" {
		t.Fatal(got)
	}
	for topic, data := range map[string]string{UserTopic(ann.ID, "notification"): `{"a":1}`, UserTopic(ann.ID+1, "notification"): `{"b":1}`} {
		if err := local.Publish(t.Context(), topic, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if got := line(); got != `data: {"data":{"a":1},"event":"notification"}` {
		t.Error(got)
	}
	for range maxOwn - 1 {
		if res := open(); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
	}
	if res := open(); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Error(res.Status)
	}
	if err := local.Publish(t.Context(), UserTopic(ann.ID, "other"), []byte(`{"c":1}`)); err != nil {
		t.Fatal(err)
	}
	local.Missed(UserTopic(ann.ID, "other")) // is no event
	if got := line(); got != `data: {"data":{"c":1},"event":"other"}` {
		t.Error(got)
	}
	got, cancel, err := local.Subscribe(UserTopic(ann.ID, "test"))
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	const test = "/realtime/user/test"
	w.want(401, "GET", test, "", "")
	if body := w.want(200, "GET", test, "", "", "Cookie", jar); string(body) != "OK" {
		t.Errorf("%s", body)
	}
	if m := <-got; string(m.Payload) != `{"foo":2}` {
		t.Errorf("%s", m.Payload)
	}
	stop.Store(true)
	if got := line(); got != "end" {
		t.Error(got)
	}
}
