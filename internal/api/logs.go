package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

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
	name := c.r.URL.Query().Get("performer")
	if name == "" {
		return q, false, nil
	}
	a, err := s.Store.Account(c.r.Context(), name)
	if gantry.Is(err, gantry.NotFound) {
		return q, true, nil
	}
	q.Actor = a.ID
	return q, false, err
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
	filter := strings.Join([]string{params.Get("starttime"), params.Get("endtime"), params.Get("performer"),
		strconv.FormatInt(int64(q.Namespace), 10), strconv.FormatInt(int64(q.Repo), 10)}, "?")
	pages := s.Auth.Keys().Pages()
	if token := params.Get("next_page"); token != "" {
		last, err := pages.Open(c.route.path, filter, c.id.Account.Name, token)
		if err != nil {
			return err
		}
		if err := openLogPage(last, &q); err != nil {
			return err
		}
	}
	var rows []store.AuditRow
	var names store.AuditNames
	ctx := c.r.Context()
	if !unknown {
		if rows, err = s.Store.Audit(ctx, q); err != nil {
			return err
		}
	}
	out := map[string]any{"start_time": q.From.Format(time.RFC1123Z), "end_time": q.To.Format(time.RFC1123Z)}
	if len(rows) > logPage {
		rows = rows[:logPage]
		out["next_page"] = pages.Seal(c.route.path, filter, c.id.Account.Name, sealLogPage(rows[logPage-1], q))
	}
	if names, err = s.Store.AuditNames(ctx, rows, whose); err != nil {
		return err
	}
	list := make([]any, 0, len(rows))
	for i := range rows {
		v := logView(&rows[i], names)
		if ns, ok := names.Namespaces[rows[i].Namespace]; ok && whose {
			v["namespace"] = entity(ns.Name, ns.Kind)
		}
		list = append(list, v)
	}
	out["logs"] = list
	return c.json(200, out)
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
	v := map[string]any{"kind": r.Kind, "ip": nil, "datetime": r.At.Format(time.RFC1123Z), "metadata": logMetadata(r, names)}
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

// logMetadata is what Quay tells of an entry.
func logMetadata(r *store.AuditRow, names store.AuditNames) any {
	if !r.Pull {
		if len(r.Payload) == 0 || !json.Valid(r.Payload) {
			return map[string]any{}
		}
		return r.Payload
	}
	m := map[string]any{"mediaType": r.MediaType, "useragent": r.Actor.Agent}
	if repo, ok := names.Repositories[r.Repo]; ok {
		m["repo"], m["namespace"] = repo.Name, repo.Namespace
	}
	if strings.Contains(r.Ref, ":") {
		m["manifest_digest"] = r.Ref
	} else {
		m["tag"] = r.Ref
	}
	switch r.Actor.Kind {
	case gantry.ActorUser:
		m["username"] = r.Actor.Name
	case gantry.ActorRobot:
		m["robot"] = r.Actor.Name
	case gantry.ActorToken, gantry.ActorOAuth, gantry.ActorApp:
		m["username"], m["auth_type"] = r.Actor.Name, r.Actor.Kind
	}
	return m
}

// sealLogPage is where a page ends: its last row, and the window, which moves
// with the clock where it was not given.
func sealLogPage(r store.AuditRow, q store.AuditQuery) string {
	pull := "0"
	if r.Pull {
		pull = "1"
	}
	ms := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	return strings.Join([]string{pull, strconv.FormatInt(r.ID, 10), ms(r.At), ms(q.From), ms(q.To)}, " ")
}

func openLogPage(last string, q *store.AuditQuery) error {
	var n [5]int64
	fields := strings.Fields(last)
	if len(fields) != len(n) {
		return gantry.Errorf(gantry.Invalid, "page", "the page token does not belong to this request; start from the first page")
	}
	for i, f := range fields {
		var err error
		if n[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return err
		}
	}
	q.After = &store.AuditRow{Pull: n[0] == 1, ID: n[1], At: time.UnixMilli(n[2])}
	q.From, q.To = time.UnixMilli(n[3]).UTC(), time.UnixMilli(n[4]).UTC()
	return nil
}

// logCounts answers how often each kind occurred on each day.
func (s *server) logCounts(c *call, scope func(*store.AuditQuery)) error {
	q, unknown, err := s.logQuery(c)
	if err != nil {
		return err
	}
	scope(&q)
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
