package api

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// parents are the tables that the columns of others point to. What is deleted
// there is not there.
var parents = map[string]string{
	"account_id": "accounts", "owner_id": "accounts", "activating_id": "accounts", "ns_id": "accounts", "org_id": "accounts",
	"team_id": "teams", "repo_id": "repositories", "manifest_id": "manifests", "parent_id": "manifests", "child_id": "manifests",
	"blob_id": "blobs", "location_id": "locations", "application_id": "oauth_applications", "token_id": "oauth_tokens", "quota_id": "quotas",
	"notification_id": "notifications", "tag_id": "tags", "limit_id": "quota_limits", "approver_id": "accounts",
	"pending_id": "proxy_manifests",
	"robot_id":   "accounts", "org_mirror_id": "org_mirrors", "run_id": "mirror_runs",
}

// kept are the columns that speak of what is no more: the audit log, and beside
// the name of a namespace, which the log needs, its total, which is 0; and who
// approved a service key.
var kept = map[string]bool{
	"events.ns_id": true, "events.repo_id": true, "events.actor_id": true,
	"access_log.ns_id": true, "access_log.repo_id": true, "access_log.actor_id": true,
	"usage_totals.ns_id":              true,
	"service_key_details.approver_id": true,
	"removals.repo_id":                true, // for some minutes
}

// dangling returns what columns point to and is not there.
func dangling(t *testing.T, path string) (found []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	list := func(q string, args ...any) (names []string) {
		rows, err := db.QueryContext(t.Context(), q, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close() //nolint:errcheck // read to its end, or failed
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return names
	}
	looked := 0
	for _, table := range list(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_version'`) {
		for _, column := range list(`SELECT name FROM pragma_table_info(?) WHERE name LIKE '%\_id' ESCAPE '\'`, table) {
			at := table + "." + column
			parent, known := parents[column]
			switch {
			case kept[at] || column == "client_id" || column == "transaction_id":
				continue
			case !known && column != "actor_id":
				t.Errorf("%s points to a table that this test does not know", at)
				continue
			case !known:
				continue
			}
			looked++
			there := `SELECT id FROM ` + parent
			if parent == "accounts" || parent == "repositories" {
				there += ` WHERE deleted_ms = 0`
			}
			where := at + ` <> 0 AND ` + at + ` NOT IN (` + there + `)`
			if table == "accounts" { // a name that was deleted may be kept
				where += ` AND accounts.deleted_ms = 0`
			}
			for _, n := range list(`SELECT COUNT(*) FROM ` + table + ` WHERE ` + where) {
				if n != "0" {
					found = append(found, fmt.Sprintf("%s rows by %s", n, at))
				}
			}
		}
	}
	if looked < 30 {
		t.Errorf("only %d columns were looked at", looked)
	}
	return found
}

// TestDeletionLeavesNothing: when an organization, a user and a robot are gone,
// and the collector has been there, no row speaks of them but the audit log.
// Others keep what is theirs.
func TestDeletionLeavesNothing(t *testing.T) {
	s := newStage(t)
	var full actorKind
	for _, x := range s.who {
		if x.name == "full" {
			full = x
		}
	}
	full.change(&s.settings)
	s.open()
	if left := dangling(t, s.path); len(left) > 0 {
		t.Fatalf("before anything was deleted: %v", left)
	}
	// The user has a hand in what stays.
	s.put("POST", "repository", full.header, `{"namespace":"rivals","repository":"lib","visibility":"private","description":""}`)
	s.put("PUT", "organization/rivals/team/owners/members/owner", full.header, "")
	s.put("PUT", "repository/rivals/lib/permissions/user/owner", full.header, `{"role":"admin"}`)
	s.put("POST", "organization/rivals/prototypes", full.header, `{"role":"read","delegate":{"name":"owner","kind":"user"},"activating_user":{"name":"limited"}}`)
	s.put("POST", "organization/rivals/applications", full.header, `{"name":"theirs"}`)

	s.put("DELETE", "organization/acme/robots/ci", full.header, "")
	s.put("DELETE", "superuser/organizations/acme", full.header, "")
	s.put("DELETE", "superuser/users/owner", full.header, "")
	s.put("DELETE", "superuser/users/limited", full.header, "")
	for _, gone := range []string{"organization/acme", "users/owner", "repository/acme/app"} {
		if status, answer := s.ask("GET", gone, full.header, ""); status != 404 && status != 403 {
			t.Errorf("%s: %d %s", gone, status, answer)
		}
	}
	s.end()

	db := s.serve(s.path, stageNow+60*24*3600) // when nothing of it can come back
	location, err := db.EnsureLocation(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	c := content.NewCollector(content.CollectOptions{Store: db, Locations: []content.Location{{ID: location, Name: "default", Engine: mem.New()}}, Retention: -1})
	for range 20 {
		if _, err := c.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n > 0; { // as a job does every minute
		if n, err = db.FoldUsage(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.VerifyDB(t.Context())
	if err != nil || len(r.Flaws) > 0 {
		t.Errorf("%+v %v", r, err)
	}
	for _, stays := range []string{"organization/rivals", "users/spare", "users/reader", "repository/rivals/lib"} {
		if status, answer := s.ask("GET", stays, full.header, ""); status != 200 {
			t.Errorf("%s: %d %s", stays, status, answer)
		}
	}
	day := time.Unix(stageNow, 0).UTC().Format("01/02/2006")
	if logs := s.put("GET", "superuser/logs?starttime="+day+"&endtime="+day, full.header, ""); !strings.Contains(logs, "org_delete") {
		t.Errorf("the audit log has forgotten: %s", logs)
	}
	// The names are free.
	s.put("POST", "organization", full.header, `{"name":"acme","email":"acme@example.com"}`)
	if status, answer := s.ask("GET", "repository/acme/app", full.header, ""); status != 404 {
		t.Errorf("a repository of the old organization: %d %s", status, answer)
	}
	if has, err := db.RepositoryAccess(t.Context(), 1, gantry.RepoName{Namespace: "acme", Name: "app"}); err != nil || has.Repository.ID != 0 {
		t.Errorf("%+v %v", has, err)
	}
	s.end()
	if left := dangling(t, s.path); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, "; "))
	}
}
