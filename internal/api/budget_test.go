package api

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// maxListStatements is how many SQL statements a page of any list takes at
// most, with those that find who calls and what may be seen.
const maxListStatements = 6

// TestListBudgets turns every page of every list of a registry that is not
// small: no page takes more statements than maxListStatements, whatever its
// size and wherever it is.
func TestListBudgets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		location, err := db.EnsureLocation(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		made, err := db.Seed(t.Context(), store.SeedOptions{Seed: 1, Prefix: "seed", Location: location, Organizations: 120, Users: 240, Repositories: 2500, Tags: 12_000,
			Teams: 2, Logs: 6000})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorldOn(t, db)
		srv := httptest.NewServer(checked(t, New(Options{Store: db, Auth: w.svc, Quota: true, EditQuota: true})))
		t.Cleanup(srv.Close)
		w.url = srv.URL
		_, super := w.user("root", true)
		owner, err := db.Account(t.Context(), made.User)
		if err != nil {
			t.Fatal(err)
		}
		token, err := w.svc.NewOAuthToken(t.Context(), owner.ID, auth.AllScopes, 1e12, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		org, repo := made.Organization, made.Repository
		since := "starttime=" + url.QueryEscape(db.Now().UTC().AddDate(0, 0, -30).Format("01/02/2006"))
		for _, l := range []struct {
			token, path, what string // what: the field of the entries; "" = there are no pages
			least             int    // entries in all
		}{
			{token, "repository?namespace=" + org, "repositories", 250},
			{token, "repository?public=true", "repositories", 250},
			{super, "repository?namespace=" + org, "repositories", 250},
			{token, "repository?namespace=" + org + "&last_modified=true", "repositories", 250},
			{token, "repository?visible=true&last_modified=true", "repositories", 250},
			{token, "repository?visible=true&sort=name&last_modified=true", "repositories", 250},
			{token, "repository?visible=true&public=true&sort=pushed&last_modified=true", "repositories", 250},
			{super, "repository?visible=true&sort=pushed&last_modified=true", "repositories", 0},
			{token, "repository/" + repo + "/tag?limit=100&onlyActiveTags=true", "tags", 120},
			{token, "repository/" + repo + "/tag?limit=10", "tags", 120},
			{token, "repository/" + repo + "/tag?limit=100&onlyActiveTags=true&next_page=", "tags", 120},
			{token, "repository/" + repo + "/tag?limit=100&onlyActiveTags=true&signed=false", "tags", 1},
			{token, "repository/" + repo + "/logs?" + since, "logs", 20},
			{token, "organization/" + org + "/logs?" + since, "logs", 200},
			{token, "organization/" + org + "/logs?performer=" + made.User + "&" + since, "logs", 0},
			{super, "superuser/logs?" + since, "logs", 0},
			{token, "organization/" + org + "/aggregatelogs?" + since, "", 0},
			{token, "repository/" + repo + "/aggregatelogs?" + since, "", 0},
			{super, "superuser/aggregatelogs?" + since, "", 0},
			{token, "organization/" + org, "", 0},
			{token, "organization/" + org + "/members", "members", 240},
			{token, "organization/" + org + "/collaborators", "collaborators", 0},
			{token, "organization/" + org + "/team/team-1/members", "members", 240},
			{token, "organization/" + org + "/team/team-1/permissions", "permissions", 250},
			{token, "organization/" + org + "/robots", "robots", 0},
			{token, "organization/" + org + "/prototypes", "prototypes", 0},
			{token, "organization/" + org + "/quota", "", 0},
			{token, "repository/" + repo, "", 0},
			{token, "repository/" + repo + "/permissions/user", "", 0},
			{token, "repository/" + repo + "/permissions/team", "", 0},
			{super, "superuser/organizations?limit=100", "organizations", 120},
			{super, "superuser/users?limit=10", "users", 240},
			{token, "user", "", 0},
			{token, "find/all?query=nginx", "results", 1},
			{token, "find/repositories?query=nginx&page=1", "results", 10},
			{token, "find/repositories?query=nginx&page=5", "results", 1},
			{token, "entities/seed-u?namespace=" + org + "&includeTeams=true&includeOrgs=true", "results", 10},
		} {
			entries, most, pages := 0, uint64(0), 0
			for path := l.path; path != "" && pages < 40; pages++ {
				w.call("GET", "/api/v1/"+path, l.token, "") // what is remembered is found
				before := db.Statements()
				status, body, _ := w.call("GET", "/api/v1/"+path, l.token, "")
				most = max(most, db.Statements()-before)
				var v map[string]any
				if status != 200 {
					t.Fatalf("%s: %d %s", path, status, body)
				}
				if !strings.HasPrefix(body, "[") {
					if err := json.Unmarshal([]byte(body), &v); err != nil {
						t.Fatal(err)
					}
				}
				list, _ := v[l.what].([]any)
				entries += len(list)
				next, _ := v["next_page"].(string)
				path = ""
				join := "?"
				if strings.Contains(l.path, "?") {
					join = "&"
				}
				switch {
				case next != "":
					path = strings.TrimSuffix(l.path, "&next_page=") + join + "next_page=" + url.QueryEscape(next)
				case v["has_additional"] == true && l.what == "tags":
					page, _ := v["page"].(float64)
					path = l.path + "&page=" + encoded(int(page)+1)
				}
			}
			if most > maxListStatements || entries < l.least {
				t.Errorf("%s: %d statements, %d entries on %d pages", l.path, most, entries, pages)
			}
		}
	})
}
