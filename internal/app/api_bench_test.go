package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// apiBench says what is measured: GANTRY_BENCH_SCALE is the part of 10,000
// organizations, 100,000 repositories, 1,000,000 tags and 10,000,000 log
// entries; GANTRY_BENCH_DATA a folder that "gantry dev seed" has filled, which
// is measured in place of a new SQLite database; GANTRY_BENCH_DATABASES which
// databases; GANTRY_BENCH_REQUESTS how often each page is asked for;
// GANTRY_BENCH_DOCS the page that the figures are written to.
type apiBench struct {
	scale    float64
	data     string
	requests int
}

// BenchmarkManagementAPI measures the pages of the lists of the management API
// on a large registry, on SQLite and on a PostgreSQL server that it starts. It
// is "make bench-api".
func BenchmarkManagementAPI(b *testing.B) {
	o := apiBench{scale: 0.01, data: os.Getenv("GANTRY_BENCH_DATA"), requests: 100}
	var err error
	if s := os.Getenv("GANTRY_BENCH_SCALE"); s != "" {
		if o.scale, err = strconv.ParseFloat(s, 64); err != nil {
			b.Fatal(err)
		}
	}
	if s := os.Getenv("GANTRY_BENCH_REQUESTS"); s != "" {
		if o.requests, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	databases := []string{storetest.SQLite, storetest.Postgres}
	if s := os.Getenv("GANTRY_BENCH_DATABASES"); s != "" {
		databases = strings.Split(s, ",")
	}
	for b.Loop() {
		text := ""
		for _, d := range databases {
			text += o.measure(b, d)
		}
		fmt.Println(text)
		if page := os.Getenv("GANTRY_BENCH_DOCS"); page != "" {
			head := fmt.Sprintf(apiBenchHead, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.requests)
			if err := os.WriteFile(page, []byte(head+text+apiBenchTail), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
}

const apiBenchHead = `# How fast the management API is

Made by ` + "`make bench-api`" + `; do not edit. Each page is asked for over HTTP, one request after the other, by a client on
the same machine: %d CPUs, %s/%s. A row is %d requests, or those of ten seconds and at least ten, after three that are
not counted. *Statements* are those of one request, with those that find who calls and what may be seen.

The database is filled by ` + "`gantry dev seed`" + `: a tenth of the repositories and of the log is in one organization, which
has a thousand members, and a hundredth of the tags and of the log in one repository; those are the ones measured.
PostgreSQL runs with 32 MiB of shared buffers. *Log, last page* is a page among the oldest entries of 90 days.
`

const apiBenchTail = `
## What grows

Pages of lists do not: a page costs what it holds, wherever it is. Three things read more:

- Counts by day read every entry of the days that are asked for, at most 32: some microseconds for each.
- The log of one user in an organization reads that user's entries, wherever they are, until a page is full.
- Members of an organization are one page of up to 10,000 memberships.
`

// TestManagementBench holds that what make bench-api does works.
func TestManagementBench(t *testing.T) {
	o := apiBench{scale: 0.0005, requests: 2}
	if text := o.measure(t, storetest.SQLite); strings.Count(text, "\n|") < 25 {
		t.Errorf("too few figures:\n%s", text)
	}
}

// A benchList is one list with its first and its last page.
type benchList struct {
	name, first, last string // last: "" = there is one page
}

func (o apiBench) measure(t testing.TB, database string) string {
	t.Helper()
	ctx := t.Context()
	n := func(full int) int { return max(1, int(float64(full)*o.scale)) }
	seed := SeedOptions{Seed: 1, Prefix: "seed", Organizations: n(10_000), Users: n(10_000), Teams: 2, Repositories: n(100_000), Tags: n(1_000_000), Logs: n(10_000_000)}
	yaml := "SERVER_HOSTNAME: localhost\nSUPER_USERS: [seed-user-00000]\nFEATURE_QUOTA_MANAGEMENT: true\nFEATURE_EDIT_QUOTA: true\n"
	data := t.TempDir()
	if database == storetest.SQLite && o.data != "" {
		data = o.data
	}
	if database != storetest.SQLite {
		yaml += "DB_URI: " + storetest.URI(t, database) + "\nSECRET_KEY: " + strings.Repeat("1", 64) + "\nDATABASE_SECRET_KEY: " + strings.Repeat("2", 64) + "\n"
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/config.yaml", []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := Options{Config: dir, Data: data}
	took := "filled before"
	if database != storetest.SQLite || o.data == "" {
		began := time.Now()
		if _, err := Seed(ctx, opts, seed); err != nil {
			t.Fatal(err)
		}
		took = "filled in " + time.Since(began).Round(time.Second).String()
	}
	token, err := NewAdmin(opts).UserToken(ctx, "seed-user-00000", "", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roles, err := ParseRoles("registry,api")
	if err != nil {
		t.Fatal(err)
	}
	opts.Roles, opts.Listen, opts.Metrics, opts.Log = roles, "127.0.0.1:0", Off, (&journal{}).logger()
	s, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	c := &benchCaller{t: t, s: s, base: "http://" + s.Addr().String() + "/api/v1/", token: token.Token}
	inventory, err := s.db.Inventory(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%d organizations, %d users, %d repositories, %d tags, %d log entries; %s.\n\n"+
		"| List | Page | Statements | Median, ms | 99 %%, ms | Bytes |\n|---|---|---|---|---|---|\n",
		map[string]string{storetest.SQLite: "SQLite", storetest.Postgres: "PostgreSQL", storetest.MariaDB: "MariaDB"}[database],
		inventory.Organizations, inventory.Users, inventory.Repositories, seed.Tags, seed.Logs, took)
	for _, l := range c.lists(seed.Tags) {
		fmt.Fprintf(&b, "| %s | first | %s |\n", l.name, c.time(l.first, o.requests))
		if l.last != "" {
			fmt.Fprintf(&b, "| | last | %s |\n", c.time(l.last, o.requests))
		}
	}
	return b.String()
}

type benchCaller struct {
	t           testing.TB
	s           *Server
	base, token string
}

func (c *benchCaller) get(path string) reply {
	r, err := try(c.t.Context(), "GET", c.base+path, strings.NewReader(""), "Authorization", "Bearer "+c.token)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.status != 200 {
		c.t.Fatalf("%s: %d %s", path, r.status, r.body)
	}
	return r
}

// rowTime bounds how long one row is measured, after ten requests.
const rowTime = 10 * time.Second

// time asks for a page and returns the cells of its row.
func (c *benchCaller) time(path string, requests int) string {
	for range 3 {
		c.get(path)
	}
	var took []time.Duration
	statements, size := ^uint64(0), 0
	deadline := time.Now().Add(rowTime)
	for i := range requests {
		if i >= 10 && time.Now().After(deadline) {
			break
		}
		before := c.s.db.Statements()
		began := time.Now()
		size = len(c.get(path).body)
		took = append(took, time.Since(began))
		statements = min(statements, c.s.db.Statements()-before)
	}
	slices.Sort(took)
	ms := func(d time.Duration) string {
		return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
	}
	return fmt.Sprintf("%d | %s | %s | %d", statements, ms(took[len(took)/2]), ms(took[(len(took)-1)*99/100]), size)
}

// lastPage follows next_page to the end.
func (c *benchCaller) lastPage(path string) string {
	at, join := path, "?"
	if strings.Contains(path, "?") {
		join = "&"
	}
	for {
		var v struct {
			Next string `json:"next_page"`
		}
		if err := json.Unmarshal([]byte(c.get(at).body), &v); err != nil {
			c.t.Fatal(err)
		}
		if v.Next == "" {
			return at
		}
		at = path + join + "next_page=" + url.QueryEscape(v.Next)
	}
}

func (c *benchCaller) lists(tags int) []benchList {
	const org, repo, user = "seed-org-00000", "seed-org-00000/api/api-000000", "seed-user-00000"
	ctx := c.t.Context()
	account := func(name string) store.Account {
		a, err := c.s.db.Account(ctx, name)
		if err != nil {
			c.t.Fatal(err)
		}
		return a
	}
	to := c.s.db.Now().UTC()
	from := to.AddDate(0, 0, -91)
	day := func(t time.Time) string { return t.Format("01/02/2006") }
	window := "starttime=" + url.QueryEscape(day(from)) + "&endtime=" + url.QueryEscape(day(to))
	month := "starttime=" + url.QueryEscape(day(to.AddDate(0, 0, -30)))
	// old is the token of a page among the oldest entries: nobody turns half a
	// million pages to see it.
	old := func(route, performer string, ns, repo int64) string {
		filter := strings.Join([]string{day(from), day(to), performer, "", "", strconv.FormatInt(ns, 10), strconv.FormatInt(repo, 10)}, "?")
		last := fmt.Sprintf("1 0 %d %d %d 2", to.AddDate(0, 0, -89).UnixMilli(), from.UnixMilli(), to.UnixMilli())
		return "&next_page=" + url.QueryEscape(c.s.keys.Pages().Seal(route, filter, user, last))
	}
	r, err := c.s.db.Repository(ctx, gantry.RepoName{Namespace: org, Name: "api/api-000000"})
	if err != nil {
		c.t.Fatal(err)
	}
	ns := int64(account(org).ID)
	tagPages := max(1, tags/100/100)
	return []benchList{
		{"Repositories of an organization", "repository?namespace=" + org, c.lastPage("repository?namespace=" + org)},
		{"Public repositories", "repository?public=true", c.lastPage("repository?public=true")},
		{"Tags", "repository/" + repo + "/tag?onlyActiveTags=true&limit=100", fmt.Sprintf("repository/%s/tag?onlyActiveTags=true&limit=100&page=%d", repo, tagPages)},
		{"Tags and their history", "repository/" + repo + "/tag?limit=100", fmt.Sprintf("repository/%s/tag?limit=100&page=%d", repo, tagPages)},
		{"Log of a repository", "repository/" + repo + "/logs?" + window, "repository/" + repo + "/logs?" + window + old("repository/{repo}/logs", "", 0, int64(r.ID))},
		{"Log of an organization", "organization/" + org + "/logs?" + window, "organization/" + org + "/logs?" + window + old("organization/{org}/logs", "", ns, 0)},
		{"Log of an organization, one user", "organization/" + org + "/logs?performer=" + user + "&" + window,
			"organization/" + org + "/logs?performer=" + user + "&" + window + old("organization/{org}/logs", user, ns, 0)},
		{"Log of the registry", "superuser/logs?" + window, "superuser/logs?" + window + old("superuser/logs", "", 0, 0)},
		{"Log of the registry, one user", "superuser/logs?performer=" + user + "&" + window, ""},
		{"Log of the caller's namespace", "user/logs?" + window, ""},
		{"Log of a repository, counted by day for 30 days", "repository/" + repo + "/aggregatelogs?" + month, ""},
		{"Log of an organization, counted for a day", "organization/" + org + "/aggregatelogs", ""},
		{"Log of an organization, counted for 30 days", "organization/" + org + "/aggregatelogs?" + month, ""},
		{"Quota", "organization/" + org + "/quota", ""},
		{"Organization", "organization/" + org, ""},
		{"Members of an organization", "organization/" + org + "/members", ""},
		{"Members of a team", "organization/" + org + "/team/team-1/members", ""},
		{"Organizations of the registry", "superuser/organizations?limit=100", c.lastPage("superuser/organizations?limit=100")},
		{"Users of the registry", "superuser/users?limit=100", c.lastPage("superuser/users?limit=100")},
		{"find/all", "find/all?query=nginx", ""},
		{"find/repositories", "find/repositories?query=nginx", "find/repositories?query=nginx&page=10"},
		{"entities", "entities/seed-u?namespace=" + org + "&includeTeams=true&includeOrgs=true", ""},
	}
}
