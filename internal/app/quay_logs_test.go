package app

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/audit"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/quaytest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// month is how old the entries of the action log are that the tests bring over.
const month = 30 * 24 * time.Hour

// young are the log entries of the sample that are brought over with month.
func (v *takeover) young() []quaytest.LogEntry {
	return slices.DeleteFunc(slices.Clone(v.s.Logs), func(e quaytest.LogEntry) bool {
		return e.Kind == "" || e.At.Before(v.s.Now.Add(-month))
	})
}

// entryView is an entry as the API shows it.
func entryView(e quaytest.LogEntry) string {
	view := map[string]any{"kind": e.Kind, "ip": nil, "datetime": e.At.UTC().Format(time.RFC1123Z), "metadata": map[string]any{}}
	if e.IP != "" {
		view["ip"] = e.IP
	}
	if e.Performer != "" {
		view["performer"] = e.Performer
	}
	text := e.Metadata
	var inner string
	if json.Unmarshal([]byte(text), &inner) == nil {
		text = inner
	}
	object := map[string]any{}
	if json.Unmarshal([]byte(text), &object) == nil && object != nil {
		view["metadata"] = object
	}
	return asText(view)
}

func asText(v any) string {
	b, err := json.Marshal(v) // sorted by key
	return fmt.Sprint(string(b), err)
}

// logs compares what the API shows of the action log with what the Quay had,
// before anything else happens.
func (v *takeover) logs(s *site) {
	t := v.t
	t.Helper()
	all, err := v.admin.UserToken(t.Context(), v.s.Users[0].Name, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	start := v.s.Now.Add(-month - 24*time.Hour).Format("01/02/2006")
	get := func(path, query string) (list []string, order []time.Time) {
		for next := ""; ; {
			r := send(t, "GET", s.base+"/api/v1/"+path+"?starttime="+start+query+next, "", "Authorization", "Bearer "+all.Token)
			if r.status != 200 {
				t.Fatalf("%s: %d %s", path, r.status, r.body)
			}
			page := r.json(t)
			for _, l := range page["logs"].([]any) {
				l := l.(map[string]any)
				view := map[string]any{"kind": l["kind"], "ip": l["ip"], "datetime": l["datetime"], "metadata": l["metadata"]}
				if p, ok := l["performer"].(map[string]any); ok {
					view["performer"] = p["name"]
					if p["is_robot"] != strings.Contains(fmt.Sprint(p["name"]), "+") || p["kind"] != "user" {
						t.Errorf("performer %v", p)
					}
				}
				at, err := time.Parse(time.RFC1123Z, fmt.Sprint(l["datetime"]))
				if err != nil {
					t.Fatal(err)
				}
				if at.Before(v.s.Now.Add(-time.Minute)) { // of the Quay, and not of the import and the test
					list, order = append(list, asText(view)), append(order, at)
				}
			}
			token, ok := page["next_page"].(string)
			if !ok {
				return list, order
			}
			next = "&next_page=" + url.QueryEscape(token)
		}
	}
	check := func(path, query string, has func(quaytest.LogEntry) bool) {
		t.Helper()
		var want []string
		for _, e := range v.young() {
			if has(e) {
				want = append(want, entryView(e))
			}
		}
		got, order := get(path, query)
		if !slices.IsSortedFunc(order, func(a, b time.Time) int { return b.Compare(a) }) {
			t.Errorf("%s%s: not the newest first: %v", path, query, order)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s%s shows\n%s\nand not\n%s", path, query, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if len(want) == 0 {
			t.Errorf("%s%s: the sample has none", path, query)
		}
	}
	service := func(e quaytest.LogEntry) bool { return strings.HasPrefix(e.Kind, "service_key_") }
	check("organization/acme/logs", "", func(e quaytest.LogEntry) bool { return e.Namespace == "acme" })
	check("organization/acme/logs", "&performer=acme%2Bci", func(e quaytest.LogEntry) bool { return e.Namespace == "acme" && e.Performer == "acme+ci" })
	check("organization/acme/logs", "&kind=pull_repo&kind=delete_repo", func(e quaytest.LogEntry) bool {
		return e.Namespace == "acme" && (e.Kind == "pull_repo" || e.Kind == "delete_repo")
	})
	end := v.s.Now.Add(-5 * 24 * time.Hour)
	check("organization/acme/logs", "&endtime="+end.Format("01/02/2006"), func(e quaytest.LogEntry) bool { return e.Namespace == "acme" && e.At.Before(end) })
	check("repository/acme/app/logs", "", func(e quaytest.LogEntry) bool { return e.Repo == "acme/app" })
	check("user/logs", "", func(e quaytest.LogEntry) bool { return e.Namespace == "ann" && !service(e) })
	check("superuser/logs", "&kind=service_key_create", service)
	check("superuser/logs", "&kind=org_create_team", func(e quaytest.LogEntry) bool { return e.Kind == "org_create_team" })
	r := send(t, "GET", s.base+"/api/v1/organization/acme/aggregatelogs?kind=pull_repo&starttime="+v.s.Now.Add(-7*24*time.Hour).Format("01/02/2006"), "", "Authorization", "Bearer "+all.Token)
	pulls := 0.0
	for _, day := range r.json(t)["aggregated"].([]any) {
		pulls += day.(map[string]any)["count"].(float64)
	}
	for _, e := range v.young() {
		if e.Kind == "pull_repo" {
			pulls--
		}
	}
	if pulls != 0 {
		t.Errorf("%v pulls more are counted than there were", pulls)
	}
	v.unheard()
}

// unheard: no reader of the journal gets what came over.
func (v *takeover) unheard() {
	v.t.Helper()
	db := storetest.Open(v.t, v.dialect, store.Options{URI: v.uri})
	if _, err := db.Sequence(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
	entries, err := db.Events(v.t.Context(), 0, 1000)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Seq < 1 || e.At.Before(v.s.Now) || strings.Contains(string(e.Payload), `"v0"`) {
			v.t.Errorf("a reader gets %+v %s", e, e.Payload)
		}
	}
}

// newer: what happens here stands behind what came over, and readers get it;
// then the oldest entries go, and numbers go on.
func (v *takeover) newer(s *site) {
	t := v.t
	t.Helper()
	db := storetest.Open(t, v.dialect, store.Options{URI: v.uri})
	until(t, "the push is told of", func() bool {
		_, err := db.Sequence(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v.get(`SELECT COUNT(*) FROM events WHERE kind = 'push_repo' AND seq > 0 AND seq <= (SELECT MAX(r.seq) FROM readers r WHERE r.name = 'notify')`) == 1
	})
	if n := v.get(`SELECT COUNT(*) FROM deliveries WHERE payload LIKE '%"v0"%' OR payload LIKE '%"latest"%'`); n != 0 {
		t.Errorf("%d notifications tell of what happened in the Quay", n)
	}
	v.unheard()
	if n := v.get(`SELECT COUNT(*) FROM events a JOIN events b ON a.seq < b.seq AND a.at_ms > b.at_ms`); n != 0 {
		t.Errorf("%d pairs of entries are not in the order of time", n)
	}
	young, last := len(v.young()), v.get(`SELECT MAX(seq) FROM events`)
	old := 0
	for _, e := range v.young() {
		if e.At.Before(v.s.Now.Add(-10 * 24 * time.Hour)) {
			old++
		}
	}
	archiver := audit.Archiver{Store: db, Engine: mem.New(), Path: "logs", Age: 10 * 24 * time.Hour, Batch: 2}
	n, err := archiver.Run(t.Context())
	if err != nil || n != int64(old) {
		t.Errorf("%d of %d old entries are archived: %v", n, old, err)
	}
	if n := v.get(`SELECT COUNT(*) FROM events WHERE seq < 1`); n != int64(young-old) {
		t.Errorf("%d entries of the Quay remain, not %d", n, young-old)
	}
	r := send(t, "DELETE", s.base+"/api/v1/repository/acme/app/tag/deleted", "", "Authorization", "Bearer "+v.s.OAuthToken.Token)
	if r.status/100 != 2 {
		t.Errorf("delete a tag: %d %s", r.status, r.body)
	}
	if _, err := db.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := v.get(`SELECT MAX(seq) FROM events`); got <= last {
		t.Errorf("the newest entry has the number %d, after %d", got, last)
	}
}

// TestImportLogs: how much of the action log comes over is up to the operator.
func TestImportLogs(t *testing.T) {
	q := quaytest.New(t, storetest.EmptyURI(t, storetest.MariaDB), quaytest.Latest)
	sample := q.Fill(t)
	named := len(sample.Logs) - 1 // but the one of no kind
	for name, c := range map[string]struct {
		logs  time.Duration
		model string
		want  int
		left  []string
	}{
		"none":      {0, "", 0, []string{"not asked for"}},
		"a month":   {month, "", named - 2, []string{"older than was asked for", "their kind has no name", "not a JSON object"}},
		"all":       {AllLogs, "", named, []string{"their kind has no name"}},
		"elsewhere": {AllLogs, "elasticsearch", named, []string{"LOGS_MODEL is elasticsearch"}},
		"250 years": {250 * 365 * 24 * time.Hour, "", named, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := takeoverOf(t, q, sample, storetest.SQLite)
			r := ImportRequest{Logs: c.logs, FromConfig: q.Dir}
			if c.model != "" {
				text, err := os.ReadFile(filepath.Join(q.Dir, "config.yaml"))
				if err != nil {
					t.Fatal(err)
				}
				r.FromConfig = folder(t, map[string]string{"config.yaml": string(text) + "LOGS_MODEL: " + c.model + "\n"})
			}
			out, err := v.admin.ImportQuay(t.Context(), r, nil)
			if err != nil {
				t.Fatal(err)
			}
			left := fmt.Sprint(out.LeftOut)
			if counted(out, "log entries") != c.want || v.get(`SELECT COUNT(*) FROM events WHERE seq < 0`) != int64(c.want) {
				t.Errorf("%d entries came over, not %d: %+v", counted(out, "log entries"), c.want, out.Counts)
			}
			for _, want := range c.left {
				if !strings.Contains(left, want) {
					t.Errorf("%q is not among what was left out: %s", want, left)
				}
			}
			if strings.Contains(left, "older than") != (c.logs == month) {
				t.Errorf("left out: %s", left)
			}
		})
	}
}

// TestImportLogsWindows: entries are read in windows of time, and many have one
// time.
func TestImportLogsWindows(t *testing.T) {
	for _, from := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			q := quaytest.New(t, storetest.EmptyURI(t, from), quaytest.Latest)
			now := time.Now().UTC().Truncate(time.Second)
			put := func(table string, ago time.Duration) {
				q.Insert(t, table, quaytest.Row{"kind_id": q.ID(t, "logentrykind", "push_repo"), "account_id": 1, "datetime": now.Add(-ago)})
			}
			for _, ago := range []time.Duration{time.Hour, 2 * time.Hour, 2*time.Hour + time.Second} {
				put("logentry3", ago)
			}
			const doubled = 15 // 32,768 of each, more than a window
			for range doubled {
				q.Exec(t, `INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json) SELECT kind_id, account_id, datetime, metadata_json FROM logentry3`)
			}
			for _, ago := range []time.Duration{0, 90 * time.Minute, 2 * time.Hour, 3 * time.Hour} {
				put("logentry2", ago)
			}
			put("logentry", 90*time.Minute)
			v := takeoverOf(t, q, quaytest.Sample{Now: now}, storetest.SQLite)
			const want = 3<<doubled + 5
			out := v.imported(ImportRequest{Logs: month})
			if n := counted(out, "log entries"); n != want || len(out.LeftOut) > 0 {
				t.Errorf("%d of %d entries came over: %+v", n, want, out.LeftOut)
			}
			if n := v.get(`SELECT COUNT(*) FROM (SELECT at_ms, LAG(at_ms) OVER (ORDER BY seq) AS before FROM events) x WHERE before > at_ms`); n != 0 {
				t.Errorf("%d entries are not in the order of time", n)
			}
			if low, high := v.get(`SELECT MIN(seq) FROM events`), v.get(`SELECT MAX(seq) FROM events`); low != -want || high != -1 {
				t.Errorf("they are numbered %d to %d", low, high)
			}
		})
	}
}
