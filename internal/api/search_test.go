package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// found is what a search answers: kind, or kind of account, and name.
func (w *world) found(path, token string) string {
	w.t.Helper()
	before := w.db.Statements()
	b := w.want(200, "GET", "/api/v1/"+path, token, "")
	if n := w.db.Statements() - before; n > 6+1 { // one is who asks
		w.t.Errorf("%s: %d statements", path, n)
	}
	var got struct {
		Results []struct {
			Kind, Name string
			Namespace  struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(b), &got); err != nil {
		w.t.Fatal(b, err)
	}
	var list []string
	for _, r := range got.Results {
		if r.Namespace.Name != "" {
			r.Name = r.Namespace.Name + "/" + r.Name
		}
		list = append(list, r.Kind+":"+r.Name)
	}
	return strings.ReplaceAll(strings.Join(list, " "), "repository:", "")
}

func TestSearch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		who, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		_, eve := w.user("eve", false)
		_, root := w.user("root", true)
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		w.want(200, "PUT", "/api/v1/organization/acme/team/nginx-team", ann, `{"role":"member"}`)
		w.want(200, "PUT", "/api/v1/organization/acme/team/nginx-team/members/bob", ann, "")
		w.want(201, "PUT", "/api/v1/user/robots/nginx-bot", ann, "")
		w.user("nginx-user", false)
		for _, name := range []string{"acme/nginx private", "acme/my-nginx private", "acme/nginx-proxy private", "ann/web/nginx private", "bob/nginx public", "bob/xnginx public", "eve/nginxes public"} {
			path, visibility, _ := strings.Cut(name, " ")
			ns, repo, _ := strings.Cut(path, "/")
			token := map[string]string{"acme": ann, "ann": ann, "bob": bob, "eve": eve}[ns]
			w.want(201, "POST", "/api/v1/repository", token, `{"namespace":"`+ns+`","repository":"`+repo+`","visibility":"`+visibility+`","description":"about"}`)
		}
		w.want(200, "PUT", "/api/v1/repository/acme/my-nginx/permissions/team/nginx-team", ann, `{"role":"read"}`)
		w.want(200, "PUT", "/api/v1/repository/acme/nginx-proxy/permissions/user/eve", ann, `{"role":"read"}`)
		const all = "acme/nginx bob/nginx acme/nginx-proxy eve/nginxes acme/my-nginx ann/web/nginx"
		for _, x := range []struct{ query, token, want string }{
			{"nginx", "", "bob/nginx eve/nginxes"},
			{"NGinx ", "", "bob/nginx eve/nginxes"},
			{"nginx", ann, all},
			{"nginx", root, all},
			{"nginx", bob, "bob/nginx eve/nginxes acme/my-nginx"},
			{"nginx", eve, "bob/nginx acme/nginx-proxy eve/nginxes"},
			{"nginx", w.narrow(who, "user:admin"), "bob/nginx eve/nginxes"},
			{"acme/ng", ann, "acme/nginx acme/nginx-proxy acme/my-nginx"},
			{"acme/ng", bob, "acme/my-nginx"},
			{"acme/ng", "", ""},
			{"bob/nginx", "", "bob/nginx"},
			{"web/ng", ann, "ann/web/nginx"},
			{"nobody/ng", ann, ""},
			{"", ann, ""}, {"%25", ann, ""}, {"_", ann, ""}, {"ng~", ann, ""}, {strings.Repeat("n", 300), ann, ""}, {"%00", ann, ""},
		} {
			if got := w.found("find/repositories?query="+strings.ReplaceAll(x.query, " ", "%20"), x.token); got != x.want {
				t.Errorf("%q as %.5s: %q, want %q", x.query, x.token, got, x.want)
			}
		}
		// Stars order what matches as well.
		w.want(201, "POST", "/api/v1/user/starred", bob, `{"namespace":"eve","repository":"nginxes"}`)
		b := w.want(200, "GET", "/api/v1/find/repositories?query=ngin&includeUsage=true", "", "")
		holds(t, b, `"stars":1`, `"popularity":1`, `"score":201`, `"is_public":true`, `"href":"/repository/eve/nginxes"`, `"description":"about"`, `"has_additional":false`, `"start_index":0`)
		if got := w.found("find/repositories?query=ngin", ""); got != "eve/nginxes bob/nginx" {
			t.Error(got)
		}
		// What becomes private, or goes, is not found.
		w.want(200, "POST", "/api/v1/repository/eve/nginxes/changevisibility", eve, `{"visibility":"private"}`)
		w.want(200, "POST", "/api/v1/repository/acme/nginx/changevisibility", ann, `{"visibility":"public"}`)
		w.want(204, "DELETE", "/api/v1/repository/bob/nginx", bob, "")
		if got := w.found("find/repositories?query=nginx", ""); got != "acme/nginx" {
			t.Error(got)
		}

		// Everything.
		for _, x := range []struct{ token, want string }{
			{"", "acme/nginx"},
			{eve, "acme/nginx eve/nginxes acme/nginx-proxy user:nginx-user"},
			{ann, "acme/nginx acme/nginx-proxy user:nginx-user robot:ann+nginx-bot team:nginx-team acme/my-nginx ann/web/nginx"},
			{bob, "acme/nginx user:nginx-user team:nginx-team acme/my-nginx"},
		} {
			if got := w.found("find/all?query=nginx", x.token); got != x.want {
				t.Errorf("as %.5s: %q, want %q", x.token, got, x.want)
			}
		}
		if got := w.found("find/all?query=acme", eve); got != "organization:acme" {
			t.Error(got)
		}
		w.want(403, "GET", "/api/v1/find/all?query=x", w.narrow(who, "user:read"), "")
		set := *w.svc.Settings()
		set.AnonymousAccess = false
		w.svc.Configure(set)
		w.want(401, "GET", "/api/v1/find/all?query=nginx", "", "")
		w.want(401, "GET", "/api/v1/find/repositories?query=nginx", "", "")
		if got := w.found("find/repositories?query=nginx", eve); got != "acme/nginx eve/nginxes acme/nginx-proxy" {
			t.Error(got)
		}
	})
}

func TestSearchPages(t *testing.T) {
	w := newWorld(t)
	_, ann := w.user("ann", false)
	for i := range 25 {
		if _, err := w.db.CreateRepository(t.Context(), store.NewRepository{Name: gantry.RepoName{Namespace: "ann", Name: fmt.Sprintf("app%02d", i)}}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for page, more := 1, true; more; page++ {
		var got struct {
			Results []struct{ Name string }
			More    bool `json:"has_additional"`
			Start   int  `json:"start_index"`
			Size    int  `json:"page_size"`
		}
		if err := json.Unmarshal([]byte(w.want(200, "GET", fmt.Sprintf("/api/v1/find/repositories?query=app&page=%d", page), ann, "")), &got); err != nil {
			t.Fatal(err)
		}
		if got.Start != seen || got.Size != 10 {
			t.Errorf("page %d: %+v", page, got)
		}
		for _, r := range got.Results {
			if want := fmt.Sprintf("app%02d", seen); r.Name != want {
				t.Errorf("%s, want %s", r.Name, want)
			}
			seen++
		}
		more = got.More
	}
	if seen != 25 {
		t.Errorf("%d found", seen)
	}
	for _, bad := range []string{"0", "-1", "11", "x", "99999999999999999999"} {
		w.want(400, "GET", "/api/v1/find/repositories?query=app&page="+bad, ann, "")
	}
	holds(t, w.want(200, "GET", "/api/v1/find/repositories?query=app&page=10", ann, ""), `"results":[]`, `"has_additional":false`)
	two := w.with(Options{SearchPage: 5, SearchPages: 2})
	holds(t, two.want(200, "GET", "/api/v1/find/repositories?query=app&page=2", ann, ""), `"app09"`, `"has_additional":false`, `"page_size":5`)
}

func TestEntities(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		who, ann := w.user("ann", false)
		_, dev := w.user("dev-one", false)
		_, eve := w.user("eve", false)
		w.user("dev-two", false)
		off, _ := w.user("dev-off", false)
		if err := w.db.SetEnabled(t.Context(), off.ID, false, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"dev-org"}`)
		w.want(200, "PUT", "/api/v1/organization/dev-org/team/dev-team", ann, `{"role":"member"}`)
		w.want(200, "PUT", "/api/v1/organization/dev-org/team/dev-team/members/dev-one", ann, "")
		w.want(201, "PUT", "/api/v1/organization/dev-org/robots/dev-bot", ann, "")
		w.want(201, "PUT", "/api/v1/user/robots/dev-own", ann, "")
		const users = "user:dev-one user:dev-two"
		for _, x := range []struct{ path, token, want string }{
			{"dev", ann, users},
			{"DEV", ann, users},
			{"dev?includeOrgs=true", eve, "org:dev-org " + users},
			{"dev?namespace=dev-org&includeTeams=true&includeOrgs=true", ann, "team:dev-team org:dev-org " + users + " user:dev-org+dev-bot"},
			{"dev?namespace=dev-org&includeTeams=true", dev, "team:dev-team " + users + " user:dev-org+dev-bot"},
			{"dev?namespace=dev-org&includeTeams=true", eve, users},
			{"dev?namespace=dev-org&includeTeams=true", w.narrow(who, "repo:read"), users},
			{"dev-org+dev?namespace=dev-org", ann, "user:dev-org+dev-bot"},
			{"dev?namespace=ann", ann, users + " user:ann+dev-own"},
			{"dev?namespace=ann", eve, users},
			{"dev?namespace=nobody", eve, users},
			{"none", ann, ""}, {"%25", ann, ""}, {"x%00", ann, ""},
		} {
			if strings.Contains(x.path, "%00") {
				w.want(404, "GET", "/api/v1/entities/"+x.path, x.token, "")
				continue
			}
			if got := w.found("entities/"+x.path, x.token); got != x.want {
				t.Errorf("%s: %q, want %q", x.path, got, x.want)
			}
		}
		b := w.want(200, "GET", "/api/v1/entities/dev?namespace=dev-org", ann, "")
		holds(t, b, `"is_org_member":true,"is_robot":false,"kind":"user","name":"dev-one"`, `"is_org_member":false,"is_robot":false,"kind":"user","name":"dev-two"`, `"is_robot":true`)
		lacks(t, w.want(200, "GET", "/api/v1/entities/dev?namespace=dev-org", eve, ""), "is_org_member")
		w.want(401, "GET", "/api/v1/entities/dev", "", "")
		exact := w.with(Options{ExactUsers: true})
		for prefix, want := range map[string]string{"dev": "", "dev-one": "user:dev-one", "dev-on": ""} {
			if got := exact.found("entities/"+prefix, ann); got != want {
				t.Errorf("%s: %q, want %q", prefix, got, want)
			}
		}
		for i := range 15 {
			w.user(fmt.Sprintf("many%02d", i), false)
		}
		if got := w.found("entities/many", eve); strings.Count(got, "user:") != 10 {
			t.Error(got)
		}
	})
}
