package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

type logAnswer struct {
	Start string `json:"start_time"`
	End   string `json:"end_time"`
	Next  string `json:"next_page"`
	Logs  []struct {
		Kind, Datetime string
		IP             *string
		Metadata       map[string]any
		Performer      struct {
			Name  string
			Robot bool `json:"is_robot"`
		}
		Namespace struct{ Name, Kind string }
	}
}

func (w *world) logs(path, token string) (a logAnswer) {
	w.t.Helper()
	b := w.want(200, "GET", path, token, "")
	if err := json.Unmarshal([]byte(b), &a); err != nil {
		w.t.Fatal(b, err)
	}
	return a
}

// TestLogs reads the logs of a repository, an organization, a user and the
// whole registry, as who may and who may not.
func TestLogs(t *testing.T) {
	storetest.Each(t, testLogs)
}

func testLogs(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	ctx := t.Context()
	owner, ann := w.user("ann", false)
	bob, bobToken := w.user("bob", false)
	_, root := w.user("root", true)
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	w.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"other","visibility":"private","description":""}`)
	w.want(201, "PUT", "/api/v1/organization/acme/robots/ci", ann, "")
	r, err := db.Repository(ctx, gantry.RepoName{Namespace: "acme", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	robot, err := db.Account(ctx, "acme+ci")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.SetPermission(ctx, r, bob, gantry.Write, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		ref := "v1"
		if i%2 == 1 {
			ref = "sha256:" + strings.Repeat("0", 64)
		}
		if err := db.LogAccess(ctx, store.Access{Kind: "pull_repo", Namespace: r.Namespace, Repo: r.ID, Ref: ref, MediaType: "application/x",
			Actor: gantry.Actor{Account: robot.ID, Name: robot.Name, Kind: gantry.ActorRobot, IP: "192.0.2.1", Agent: "podman"}}); err != nil {
			t.Fatal(err)
		}
	}
	const app, org = "/api/v1/repository/acme/app/", "/api/v1/organization/acme/"
	for _, path := range []string{app + "logs", app + "aggregatelogs", org + "logs", org + "aggregatelogs", "/api/v1/superuser/logs", "/api/v1/superuser/aggregatelogs"} {
		w.want(403, "GET", path, bobToken, "")
		w.want(401, "GET", path, "", "")
	}
	// In pages, from the newest.
	seen, next, pages := map[string]int{}, "", 0
	for {
		a := w.logs(app+"logs?x=1"+next, ann)
		if pages++; len(a.Logs) > 20 || a.Start == "" || a.End == "" {
			t.Fatalf("%+v", a)
		}
		for _, l := range a.Logs {
			seen[l.Kind]++
			if l.Kind != "pull_repo" {
				continue
			}
			if l.Metadata["repo"] != "app" || l.Metadata["namespace"] != "acme" || l.Metadata["robot"] != "acme+ci" || l.Metadata["useragent"] != "podman" ||
				(l.Metadata["tag"] == nil) == (l.Metadata["manifest_digest"] == nil) || !l.Performer.Robot || l.IP == nil || *l.IP != "192.0.2.1" {
				t.Fatalf("%+v", l)
			}
			if at, err := time.Parse(time.RFC1123Z, l.Datetime); err != nil || time.Since(at) > time.Hour {
				t.Errorf("%s: %v", l.Datetime, err)
			}
		}
		if next = "&next_page=" + a.Next; a.Next == "" {
			break
		}
		w.want(400, "GET", org+"logs?x=1"+next, ann, "")           // another listing
		w.want(400, "GET", app+"logs?performer=bob"+next, ann, "") // another filter
		w.want(400, "GET", app+"logs?x=1"+next, root, "")          // another caller
	}
	if pages != 2 || seen["pull_repo"] != 25 || seen["create_repo"] != 1 || seen["change_repo_permission"] != 1 || len(seen) != 3 {
		t.Errorf("%d pages with %v", pages, seen)
	}
	count := func(path, token string) (n int64) {
		t.Helper()
		var a struct {
			Aggregated []struct {
				Kind, Datetime string
				Count          int64
			}
		}
		b := w.want(200, "GET", path, token, "")
		if err := json.Unmarshal([]byte(b), &a); err != nil {
			t.Fatal(b, err)
		}
		for _, x := range a.Aggregated {
			n += x.Count
		}
		return n
	}
	total := count("/api/v1/superuser/aggregatelogs", root)
	for path, want := range map[string]int64{app + "aggregatelogs": 27, org + "aggregatelogs": 30, org + "aggregatelogs?performer=acme%2Bci": 25,
		org + "aggregatelogs?performer=ann": 4, org + "aggregatelogs?performer=nobody": 0, org + "aggregatelogs?starttime=01/01/2020&endtime=01/02/2020": 0} {
		if n := count(path, ann); n != want || n > total {
			t.Errorf("%s: %d, want %d of %d", path, n, want, total)
		}
	}
	if a := w.logs(org+"logs?performer=nobody", ann); len(a.Logs) != 0 {
		t.Errorf("%+v", a)
	}
	if a := w.logs("/api/v1/user/logs", bobToken); len(a.Logs) != 2 || a.Logs[1].Kind != "user_create" { // and his token
		t.Errorf("%+v", a)
	}
	day := time.Now().UTC().Format("01/02/2006")
	if a := w.logs("/api/v1/superuser/logs?endtime="+day+"&starttime="+day, root); len(a.Logs) != 20 || a.Next == "" || a.Logs[0].Namespace.Name != "acme" || a.Logs[0].Namespace.Kind != "org" {
		t.Errorf("%+v", a)
	}
	for _, bad := range []string{"starttime=2026-01-01", "endtime=13/01/2026", "starttime=01/02/2026&endtime=01/01/2026", "next_page=x", "starttime=%00"} {
		w.want(400, "GET", org+"logs?"+bad, ann, "")
	}
	holds(t, w.want(400, "GET", org+"aggregatelogs?starttime=01/01/2025", ann, ""), "32 days")

	// A token needs the scope, and a read-only registry still tells.
	for scope, status := range map[string]int{auth.ScopeUserRead: 403, auth.ScopeUserAdmin: 200} {
		narrow, err := w.svc.NewOAuthToken(ctx, owner.ID, scope, 1e12, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		w.want(status, "GET", "/api/v1/user/logs", narrow, "")
		w.want(403, "GET", app+"logs", narrow, "")
		w.want(403, "GET", org+"logs", narrow, "")
	}
	before := db.Statements()
	w.logs("/api/v1/superuser/logs", root)
	if n := db.Statements() - before; n > 7 { // who calls: one or two of them
		t.Errorf("%d statements for a page", n)
	}
	set := *w.svc.Settings()
	set.ReadOnly = true
	w.svc.Configure(set)
	w.want(200, "GET", app+"logs", ann, "")
}

// TestLogsOfTheGone: what was deleted is told without a name, and nobody is
// told to have done it who is gone.
func TestLogsOfTheGone(t *testing.T) {
	w := newWorld(t)
	ann, token := w.user("ann", false)
	_, root := w.user("root", true)
	w.want(201, "POST", "/api/v1/repository", token, `{"repository":"app","visibility":"private","description":""}`)
	r, err := w.db.Repository(t.Context(), gantry.RepoName{Namespace: "ann", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.LogAccess(t.Context(), store.Access{Kind: "pull_repo", Namespace: r.Namespace, Repo: r.ID, Ref: "v1", Actor: gantry.Actor{Kind: gantry.ActorAnonymous}}); err != nil {
		t.Fatal(err)
	}
	if err := w.db.DeleteNamespace(t.Context(), ann.ID, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	a := w.logs("/api/v1/superuser/logs", root)
	kinds := map[string]bool{}
	for _, l := range a.Logs {
		kinds[l.Kind] = true
		if l.Kind == "pull_repo" && (l.Namespace.Name != "" || l.Performer.Name != "" || l.Metadata["repo"] != nil || l.Metadata["tag"] != "v1") {
			t.Errorf("%+v", l)
		}
	}
	if !kinds["pull_repo"] || !kinds["user_delete"] || !kinds["create_repo"] {
		t.Error(fmt.Sprint(kinds))
	}
}
