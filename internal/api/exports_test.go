package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestExportRoutes asks for exports, as everybody who may and who may not.
func TestExportRoutes(t *testing.T) {
	storetest.Each(t, testExportRoutes)
}

func testExportRoutes(t *testing.T, db *store.DB) {
	plain := newWorldOn(t, db)
	_, ann := plain.user("ann", false)
	_, bob := plain.user("bob", false)
	plain.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	plain.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"public","description":""}`)
	w := plain.with(Options{Logs: LogOptions{Export: true}})
	const hook = `{"callback_url":"https://hook.example.com/x"}`
	for _, base := range []string{"organization/acme", "repository/acme/app", "user"} {
		path := "/api/v1/" + base + "/exportlogs"
		plain.want(404, "POST", path, ann, hook)
		w.want(401, "POST", path, "", hook)
		if base != "user" {
			w.want(403, "POST", path, bob, hook)
		}
		for _, bad := range []string{``, `{}`, `null`, `{"callback_url":""}`, `{"callback_url":"file:///etc/passwd"}`, `{"callback_url":"https://"}`, `{"callback_url":"x"}`, `{"callback_url":5}`,
			`{"callback_url":"https://x/` + strings.Repeat("a", maxCallback) + `"}`, `{"callback_email":"x"}`, `{"callback_email":"Ann <ann@example.com>"}`,
			`{"callback_url":"https://x.example.com","callback_email":"ann@example.com"}`} {
			w.want(400, "POST", path, ann, bad)
		}
		holds(t, w.want(400, "POST", path, ann, `{"callback_email":"ann@example.com"}`), "Mail is not configured")
		w.want(400, "POST", path+"?starttime=2026", ann, hook)
		var out struct {
			ID string `json:"export_id"`
		}
		if err := json.Unmarshal([]byte(w.want(200, "POST", path+"?starttime=11/01/2026&endtime=11/02/2026", ann, hook)), &out); err != nil || len(out.ID) != 36 {
			t.Error(out, err)
		}
		mailing := plain.with(Options{Logs: LogOptions{Export: true, Mail: func(context.Context, string, string, string) error { return nil }}})
		mailing.want(200, "POST", path, ann, `{"callback_email":"ann@example.com"}`)
	}
	if n := storetest.Get(t, db, `SELECT COUNT(*) FROM jobs WHERE kind = 'logs.export'`); n != 6 {
		t.Errorf("%d jobs", n)
	}
}

// TestLogSearch looks for entries by kind and repository.
func TestLogSearch(t *testing.T) {
	storetest.Each(t, testLogSearch)
}

func testLogSearch(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	_, ann := w.user("ann", false)
	_, root := w.user("root", true)
	w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	for _, name := range []string{"app", "deep/er"} {
		w.want(201, "POST", "/api/v1/repository", ann, fmt.Sprintf(`{"namespace":"acme","repository":%q,"visibility":"private","description":""}`, name))
		w.want(200, "PUT", "/api/v1/repository/acme/"+name, ann, `{"description":"x"}`)
	}
	kinds := func(path, who string) string {
		t.Helper()
		var all []string
		for _, e := range w.logs(path, who).Logs {
			all = append(all, e.Kind)
		}
		return strings.Join(all, " ")
	}
	for path, want := range map[string]string{
		"organization/acme/logs?kind=set_repo_description":                "set_repo_description set_repo_description",
		"organization/acme/logs?kind=set_repo_description&repository=app": "set_repo_description",
		"organization/acme/logs?repository=acme/app":                      "set_repo_description create_repo",
		"organization/acme/logs?repository=deep/er":                       "set_repo_description create_repo",
		"organization/acme/logs?repository=none":                          "",
		"organization/acme/logs?kind=pull_repo":                           "",
		"organization/acme/logs?kind=org_create&kind=create_repo":         "create_repo create_repo org_create",
		"repository/acme/app/logs?kind=create_repo":                       "create_repo",
		"repository/acme/app/logs?kind=create_repo&performer=root":        "",
		"organization/acme/logs?kind=create_repo&performer=ann":           "create_repo create_repo",
	} {
		if got := kinds("/api/v1/"+path, ann); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"superuser/logs?repository=acme/app&kind=create_repo": "create_repo",
		"superuser/logs?repository=app":                       "",
		"superuser/logs?kind=org_create":                      "org_create",
	} {
		if got := kinds("/api/v1/"+path, root); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, bad := range []string{"kind=A", "kind=", "kind=x%00", "kind=%27", strings.Repeat("kind=a&", maxLogKinds+1)} {
		w.want(400, "GET", "/api/v1/organization/acme/logs?"+bad, ann, "")
		w.want(400, "GET", "/api/v1/organization/acme/aggregatelogs?"+bad, ann, "")
	}
	for _, odd := range []string{"%00", "%ff", "..", "a/b/c", "/", "acme/", "%2F"} {
		if got := kinds("/api/v1/organization/acme/logs?repository="+odd, ann); got != "" {
			t.Errorf("repository=%s: %s", odd, got)
		}
	}
	holds(t, w.want(200, "GET", "/api/v1/organization/acme/aggregatelogs?kind=create_repo&repository=app", ann, ""), `"count":1`)
	w.with(Options{Logs: LogOptions{NoCounts: true}}).want(404, "GET", "/api/v1/organization/acme/aggregatelogs", ann, "")

	// ACTION_LOG_MAX_PAGE.
	for range 50 {
		w.want(200, "PUT", "/api/v1/repository/acme/app", ann, `{"description":"x"}`)
	}
	limited := w.with(Options{Logs: LogOptions{MaxPage: 2}})
	first := limited.logs("/api/v1/repository/acme/app/logs", ann)
	second := limited.logs("/api/v1/repository/acme/app/logs?next_page="+first.Next, ann)
	if len(first.Logs) != 20 || first.Next == "" || len(second.Logs) != 20 || second.Next != "" {
		t.Errorf("pages of %d and %d, and then %q", len(first.Logs), len(second.Logs), second.Next)
	}
	// A page belongs to its search.
	w.want(400, "GET", "/api/v1/repository/acme/app/logs?kind=create_repo&next_page="+first.Next, ann, "")
}
