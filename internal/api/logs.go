package api

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/audit"
	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var logRoutes = []route{
	{method: "GET", path: "repository/{repo}/logs", access: repoAdmin, handle: (*server).repositoryLogs},
	{method: "GET", path: "repository/{repo}/aggregatelogs", access: repoAdmin, handle: (*server).repositoryLogCounts},
	{method: "GET", path: "organization/{org}/logs", access: nsAdmin, handle: (*server).namespaceLogs},
	{method: "GET", path: "organization/{org}/aggregatelogs", access: nsAdmin, handle: (*server).namespaceLogCounts},
	{method: "GET", path: "user/logs", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).namespaceLogs},
	{method: "GET", path: "user/aggregatelogs", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).namespaceLogCounts},
	{method: "GET", path: "superuser/logs", access: superuser, fresh: true, handle: (*server).allLogs},
	{method: "GET", path: "superuser/aggregatelogs", access: superuser, fresh: true, handle: (*server).allLogCounts},
}

const (
	logPage = 20
	// maxLogDays bounds what aggregatelogs counts.
	maxLogDays = 32
)

// logWindow reads starttime and endtime: days in UTC, both included. Without
// them it is the last day until now.
func (s *server) logWindow(c *call) (from, to time.Time, err error) {
	now := s.Store.Now().UTC()
	from, to = now.Add(-24*time.Hour), time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, time.UTC)
	day := func(name string) (time.Time, bool) {
		text := c.r.URL.Query().Get(name)
		if text == "" || err != nil {
			return time.Time{}, false
		}
		t, wrong := time.Parse("01/02/2006", text)
		if wrong != nil {
			err = gantry.Errorf(gantry.Invalid, "query", "%s %.40q is not a day of the form MM/DD/YYYY", name, text)
		}
		return t, wrong == nil
	}
	if t, ok := day("starttime"); ok {
		from = t
	}
	if t, ok := day("endtime"); ok {
		to = t.AddDate(0, 0, 1)
	}
	if err == nil && !from.Before(to) {
		err = gantry.Errorf(gantry.Invalid, "query", "starttime is after endtime")
	}
	return from, to, err
}

// logQuery reads what a route of logs is about. unknown tells that the
// performer is nobody, and so did nothing.
func (s *server) logQuery(c *call) (q store.AuditQuery, unknown bool, err error) {
	if q.From, q.To, err = s.logWindow(c); err != nil {
		return q, false, err
	}
	if q.Kinds, err = c.logKinds(); err != nil {
		return q, false, err
	}
	if name := c.r.URL.Query().Get("performer"); name != "" {
		if !speakable(name) {
			return q, true, nil
		}
		a, err := s.Store.Account(c.r.Context(), name)
		if gantry.Is(err, gantry.NotFound) {
			return q, true, nil
		}
		if err != nil {
			return q, false, err
		}
		q.Actor = a.ID
	}
	return q, false, nil
}

// maxLogKinds bounds the kinds that one search is for.
const maxLogKinds = 20

// logKinds reads the kinds of entries that are looked for; none = all.
func (c *call) logKinds() ([]string, error) {
	kinds := c.r.URL.Query()["kind"]
	if len(kinds) > maxLogKinds {
		return nil, gantry.Errorf(gantry.Invalid, "query", "kind is given more than %d times", maxLogKinds)
	}
	for _, k := range kinds {
		if !logKind.MatchString(k) {
			return nil, gantry.Errorf(gantry.Invalid, "query", "kind %.40q is not a log kind, such as push_repo", k)
		}
	}
	return kinds, nil
}

// speakable reports whether a text can be a name: a database may refuse others.
func speakable(text string) bool {
	return len(text) <= 1000 && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

var logKind = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// logRepository narrows q to the repository that a parameter names: namespace
// and name, or in the logs of a namespace the name alone. unknown tells that
// there is none; an entry of another namespace is none either.
func (s *server) logRepository(c *call, q *store.AuditQuery) (unknown bool, err error) {
	text := c.r.URL.Query().Get("repository")
	if text == "" || q.Repo != 0 {
		return false, nil
	}
	if !speakable(text) {
		return true, nil
	}
	ns, name, full := strings.Cut(text, "/")
	if _, whose := c.owner(); q.Namespace != 0 && (!full || ns != whose) {
		ns, name = whose, text // the name of a repository may hold slashes
	}
	r, err := s.Store.Repository(c.r.Context(), gantry.RepoName{Namespace: ns, Name: name})
	if gantry.Is(err, gantry.NotFound) || err == nil && q.Namespace != 0 && r.Namespace != q.Namespace {
		return true, nil
	}
	q.Repo = r.ID
	return false, err
}

func (s *server) repositoryLogs(c *call) error { return s.logs(c, c.logsOfRepository, false) }
func (s *server) namespaceLogs(c *call) error  { return s.logs(c, c.logsOfNamespace, false) }
func (s *server) allLogs(c *call) error        { return s.logs(c, func(*store.AuditQuery) {}, true) }

func (s *server) repositoryLogCounts(c *call) error { return s.logCounts(c, c.logsOfRepository) }
func (s *server) namespaceLogCounts(c *call) error  { return s.logCounts(c, c.logsOfNamespace) }
func (s *server) allLogCounts(c *call) error        { return s.logCounts(c, func(*store.AuditQuery) {}) }

func (c *call) logsOfRepository(q *store.AuditQuery) { q.Repo = c.rights.Repository.ID }
func (c *call) logsOfNamespace(q *store.AuditQuery)  { q.Namespace, _ = c.owner() }

// logs answers a page of those that scope chooses, the newest first. whose
// adds the namespace of each.
func (s *server) logs(c *call, scope func(*store.AuditQuery), whose bool) error {
	q, unknown, err := s.logQuery(c)
	if err != nil {
		return err
	}
	scope(&q)
	q.Limit = logPage + 1
	params := c.r.URL.Query()
	filter := strings.Join([]string{params.Get("starttime"), params.Get("endtime"), params.Get("performer"), strings.Join(q.Kinds, " "), params.Get("repository"),
		strconv.FormatInt(int64(q.Namespace), 10), strconv.FormatInt(int64(q.Repo), 10)}, "?")
	if !unknown {
		if unknown, err = s.logRepository(c, &q); err != nil {
			return err
		}
	}
	pages := s.Auth.Keys().Pages()
	page := int64(1)
	if token := params.Get("next_page"); token != "" {
		last, err := pages.Open(c.route.path, filter, c.id.Account.Name, token)
		if err != nil {
			return err
		}
		if page, err = openLogPage(last, &q); err != nil {
			return err
		}
	}
	var rows []store.AuditRow
	ctx := c.r.Context()
	if !unknown {
		if rows, err = s.Store.Audit(ctx, q); err != nil {
			return err
		}
	}
	out := map[string]any{"start_time": q.From.Format(time.RFC1123Z), "end_time": q.To.Format(time.RFC1123Z)}
	if len(rows) > logPage {
		rows = rows[:logPage]
		if s.Logs.MaxPage <= 0 || page < int64(s.Logs.MaxPage) {
			out["next_page"] = pages.Seal(c.route.path, filter, c.id.Account.Name, sealLogPage(rows[logPage-1], q, page+1))
		}
	}
	list, err := s.logViews(ctx, rows, whose)
	if err != nil {
		return err
	}
	out["logs"] = list
	return c.json(200, out)
}

// logViews shows rows; whose adds the namespace of each.
func (s *server) logViews(ctx context.Context, rows []store.AuditRow, whose bool) ([]any, error) {
	names, err := s.Store.AuditNames(ctx, rows, whose)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, len(rows))
	for i := range rows {
		v := logView(&rows[i], names)
		v["id"] = s.Auth.Keys().Mark("log", fmt.Sprint(rows[i].Pull, rows[i].ID))[:16]
		if ns, ok := names.Namespaces[rows[i].Namespace]; ok && whose {
			v["namespace"] = entity(ns.Name, ns.Kind)
		}
		list = append(list, v)
	}
	return list, nil
}

// entity is an account as the views of logs name it.
func entity(name string, kind gantry.AccountKind) map[string]any {
	v := map[string]any{"kind": "user", "name": name, "avatar": accountAvatar(name, kind)}
	if kind == gantry.Organization {
		v["kind"] = "org"
	} else {
		v["is_robot"] = kind == gantry.Robot
	}
	return v
}

// logView is a row as Quay shows it.
func logView(r *store.AuditRow, names store.AuditNames) map[string]any {
	v := map[string]any{"kind": r.Kind, "ip": nil, "datetime": r.At.Format(time.RFC1123Z), "metadata": audit.Metadata(r, names)}
	if r.Actor.IP != "" {
		v["ip"] = r.Actor.IP
	}
	if r.Actor.Account != 0 && r.Actor.Name != "" {
		kind := gantry.User
		if strings.Contains(r.Actor.Name, "+") { // only robots are called so
			kind = gantry.Robot
		}
		v["performer"] = entity(r.Actor.Name, kind)
	}
	return v
}

// sealLogPage is where a page ends: its last row, the window, which moves with
// the clock where it was not given, and which page is next.
func sealLogPage(r store.AuditRow, q store.AuditQuery, next int64) string {
	pull := "0"
	if r.Pull {
		pull = "1"
	}
	ms := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	return strings.Join([]string{pull, strconv.FormatInt(r.ID, 10), ms(r.At), ms(q.From), ms(q.To), strconv.FormatInt(next, 10)}, " ")
}

func openLogPage(last string, q *store.AuditQuery) (page int64, err error) {
	var n [6]int64
	fields := strings.Fields(last)
	if len(fields) != len(n) {
		return 0, gantry.Errorf(gantry.Invalid, "page", "the page token does not belong to this request; start from the first page")
	}
	for i, f := range fields {
		if n[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return 0, err
		}
	}
	q.After = &store.AuditRow{Pull: n[0] == 1, ID: n[1], At: time.UnixMilli(n[2])}
	q.From, q.To = time.UnixMilli(n[3]).UTC(), time.UnixMilli(n[4]).UTC()
	return n[5], nil
}

// logCounts answers how often each kind occurred on each day.
func (s *server) logCounts(c *call, scope func(*store.AuditQuery)) error {
	if s.Logs.NoCounts {
		return errNotFound
	}
	q, unknown, err := s.logQuery(c)
	if err != nil {
		return err
	}
	scope(&q)
	if !unknown {
		if unknown, err = s.logRepository(c, &q); err != nil {
			return err
		}
	}
	if q.To.Sub(q.From) > maxLogDays*24*time.Hour {
		return gantry.Errorf(gantry.Invalid, "query", "Logs are counted for at most %d days at a time; ask for fewer", maxLogDays)
	}
	var counts []store.AuditCount
	if !unknown {
		if counts, err = s.Store.AuditCounts(c.r.Context(), q); err != nil {
			return err
		}
	}
	list := make([]any, 0, len(counts))
	for _, n := range counts {
		list = append(list, map[string]any{"kind": n.Kind, "count": n.Count, "datetime": n.Day.Format(time.RFC1123Z)})
	}
	return c.json(200, map[string]any{"aggregated": list})
}
