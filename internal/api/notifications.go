package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/store"
)

// notificationRoutes are for what is told of repositories and namespaces, and
// for the inbox. What was given up is Gantry's own.
var notificationRoutes = append([]route{
	{method: "GET", path: "user/notifications", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listNotices},
	{method: "GET", path: "user/notifications/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).getNotice},
	{method: "PUT", path: "user/notifications/{uuid}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).putNotice},
}, slices.Concat(notificationGroup("repository/{repo}/notification", repoAdmin, ""), notificationGroup("organization/{org}/notifications", nsAdmin, ""),
	notificationGroup("user/namespacenotifications", signedIn, auth.ScopeUserAdmin))...)

// notificationGroup are the routes of the notifications of one place.
func notificationGroup(base string, a access, scope string) []route {
	list := []route{
		{method: "GET", path: base, handle: (*server).listNotifications},
		{method: "POST", path: base, handle: (*server).createNotification},
		{method: "GET", path: base + "/{uuid}", handle: (*server).getNotification},
		{method: "DELETE", path: base + "/{uuid}", handle: (*server).deleteNotification},
		{method: "POST", path: base + "/{uuid}", handle: (*server).resetNotification},
		{method: "POST", path: base + "/{uuid}/test", handle: (*server).testNotification},
		{method: "GET", path: base + "/{uuid}/failed", handle: (*server).listDeadDeliveries},
		{method: "POST", path: base + "/{uuid}/failed", handle: (*server).resendDeliveries},
	}
	for i := range list {
		list[i].access, list[i].scope = a, scope
	}
	return list
}

// notified is the place that a notification route is about: a repository, or
// a namespace, of which repo is 0 and name has no Name.
func (s *server) notified(c *call) (name gantry.RepoName, ns gantry.AccountID, repo gantry.RepoID, err error) {
	if s.Tell.Notify == nil {
		return name, 0, 0, errNotFound
	}
	if _, ok := c.params["repo"]; ok {
		r := c.rights.Repository
		return r.Name, r.Namespace, r.ID, nil
	}
	if !s.Tell.QuotaEvents {
		return name, 0, 0, errNotFound
	}
	if org, ok := c.params["org"]; ok {
		return gantry.RepoName{Namespace: org}, c.rights.Repository.Namespace, 0, nil
	}
	return gantry.RepoName{Namespace: c.id.Account.Name}, c.id.Account.ID, 0, nil
}

// namedNotification finds the notification that a route names.
func (s *server) namedNotification(c *call) (n store.Notification, name gantry.RepoName, err error) {
	name, ns, repo, err := s.notified(c)
	if err != nil {
		return n, name, err
	}
	n, err = s.Store.Notification(c.r.Context(), c.params["uuid"])
	if err == nil && (n.Namespace != ns || n.Repo != repo) {
		err = errNotFound
	}
	return n, name, err
}

// dateOrNull is a time for an answer; zero is null.
func dateOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return date(t)
}

// notificationViews shows notifications. Who may only read does not see where
// they go: that may be a secret.
func (s *server) notificationViews(c *call, list []store.Notification) ([]any, error) {
	if err := s.Store.CountDeliveries(c.r.Context(), list); err != nil {
		return nil, err
	}
	views := []any{}
	for i := range list {
		n := &list[i]
		config := json.RawMessage("{}")
		if !c.id.ReadOnlySuperuser || c.id.Account.ID == n.Namespace {
			var err error
			if config, err = notify.Open(s.Auth.Keys(), n); err != nil {
				return nil, err
			}
		}
		views = append(views, map[string]any{"uuid": n.UUID, "title": orNull(n.Title), "event": n.Event, "method": n.Method, "config": config, "event_config": n.EventConfig,
			"number_of_failures": n.Failures, "disabled": n.Disabled(), "last_success": dateOrNull(n.LastOK), "last_failure": dateOrNull(n.LastFailed),
			"last_error": orNull(n.LastError), "waiting": n.Waiting, "failed": n.Dead})
	}
	return views, nil
}

func (s *server) answerNotification(c *call, status int, n store.Notification) error {
	views, err := s.notificationViews(c, []store.Notification{n})
	if err != nil {
		return err
	}
	return c.json(status, views[0])
}

func (s *server) listNotifications(c *call) error {
	_, ns, repo, err := s.notified(c)
	if err != nil {
		return err
	}
	list, err := s.Store.NotificationsOf(c.r.Context(), ns, repo)
	if err != nil {
		return err
	}
	views, err := s.notificationViews(c, list)
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"notifications": views})
}

func (s *server) createNotification(c *call) error {
	name, ns, repo, err := s.notified(c)
	if err != nil {
		return err
	}
	var in struct {
		Event, Method       string
		Title               *string
		Config, EventConfig json.RawMessage
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	n := store.Notification{UUID: uuid.NewString(), Namespace: ns, Repo: repo, Event: in.Event, Method: in.Method}
	if in.Title != nil {
		if n.Title = *in.Title; len(n.Title) > 255 {
			return gantry.Errorf(gantry.Invalid, "title", "title is longer than 255 bytes")
		}
	}
	q := notify.Request{Namespace: repo == 0, Event: in.Event, Method: in.Method, Config: in.Config, EventConfig: in.EventConfig}
	if err := q.Check(); err != nil {
		return err
	}
	if err := s.mayTell(c, q, name, ns, repo); err != nil {
		return err
	}
	var small bytes.Buffer
	if err := json.Compact(&small, in.EventConfig); err != nil {
		return err
	}
	n.EventConfig = small.Bytes()
	if n.Config, err = notify.Seal(s.Auth.Keys(), n.UUID, in.Config); err != nil {
		return err
	}
	ctx := c.r.Context()
	if err := s.Store.CreateNotification(ctx, name, n, c.id.Actor); err != nil {
		return err
	}
	if n, err = s.Store.Notification(ctx, n.UUID); err != nil {
		return err
	}
	return s.answerNotification(c, 201, n)
}

// mayTell checks whom a notification tells: only those who could be told of
// it, and addresses that agreed.
func (s *server) mayTell(c *call, q notify.Request, name gantry.RepoName, ns gantry.AccountID, repo gantry.RepoID) error {
	ctx := c.r.Context()
	switch q.Method {
	case "email":
		if s.Tell.Mail == nil {
			return gantry.Errorf(gantry.Invalid, "method", "The method email needs mail, which is switched off on this registry (FEATURE_MAILING)")
		}
		refuse := gantry.Errorf(gantry.Invalid, "config", "The specified e-mail address is not authorized to receive notifications for this repository")
		if repo == 0 {
			owner, err := s.Store.AccountByID(ctx, ns)
			if err != nil {
				return err
			}
			to := strings.ToLower(q.Address())
			if to != owner.Email && (to != c.id.Account.Email || !c.id.Account.Verified) {
				refuse.Detail = "The e-mail address must be that of the namespace, or yours"
				return refuse
			}
			return nil
		}
		yes, err := s.Store.RepositoryEmail(ctx, repo, q.Address())
		if gantry.Is(err, gantry.NotFound) || err == nil && !yes {
			return refuse
		}
		return err
	case "quay_notification":
		kind, who := q.Target()
		switch kind {
		case "org":
			if who != name.Namespace {
				return gantry.Errorf(gantry.Invalid, "config", "config.target: the organization must be the namespace, %s", name.Namespace)
			}
		case "team":
			if _, err := s.Store.Team(ctx, ns, who); err != nil {
				return unknownTarget(err, "team", who)
			}
		default:
			a, err := s.Store.Account(ctx, who)
			if err == nil && a.Kind != gantry.User {
				err = errNotFound
			}
			return unknownTarget(err, "user", who)
		}
	}
	return nil
}

func unknownTarget(err error, kind, name string) error {
	if gantry.Is(err, gantry.NotFound) {
		return gantry.Errorf(gantry.Invalid, "config", "config.target: unknown %s %.300s", kind, name)
	}
	return err
}

func (s *server) getNotification(c *call) error {
	n, _, err := s.namedNotification(c)
	if err != nil {
		return err
	}
	return s.answerNotification(c, 200, n)
}

func (s *server) deleteNotification(c *call) error {
	n, name, err := s.namedNotification(c)
	if err == nil {
		err = s.Store.DeleteNotification(c.r.Context(), name, n.Namespace, n.Repo, n.UUID, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func (s *server) resetNotification(c *call) error {
	n, name, err := s.namedNotification(c)
	if err == nil {
		err = s.Store.ResetNotification(c.r.Context(), name, n.Namespace, n.Repo, n.UUID, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

func (s *server) testNotification(c *call) error {
	n, name, err := s.namedNotification(c)
	if err == nil {
		err = s.Tell.Notify.Test(c.r.Context(), &n, name)
	}
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{})
}

// listDeadDeliveries lists what was given up, the newest first.
func (s *server) listDeadDeliveries(c *call) error {
	n, _, err := s.namedNotification(c)
	if err != nil {
		return err
	}
	before, count, err := s.position(c, n.UUID)
	if err != nil {
		return err
	}
	list, err := s.Store.DeadDeliveries(c.r.Context(), n.ID, before, count+1)
	if err != nil {
		return err
	}
	out := map[string]any{}
	if len(list) > count {
		list = list[:count]
		out["next_page"] = s.next(c, n.UUID, list[count-1].ID)
	}
	views := []any{}
	for _, d := range list {
		views = append(views, map[string]any{"id": d.ID, "created": date(d.Created), "attempts": d.Attempts, "error": d.Error, "event": d.Payload})
	}
	out["failed"] = views
	return c.json(200, out)
}

// resendDeliveries has what was given up delivered again.
func (s *server) resendDeliveries(c *call) error {
	n, _, err := s.namedNotification(c)
	if err != nil {
		return err
	}
	var in struct{ Ids []int64 }
	if err := c.body(&in, true); err != nil {
		return err
	}
	if len(in.Ids) > 1000 {
		return gantry.Errorf(gantry.Invalid, "ids", "ids holds more than 1000 ids; leave it out to send all of them again")
	}
	if slices.ContainsFunc(in.Ids, func(id int64) bool { return id <= 0 }) {
		return gantry.Errorf(gantry.Invalid, "ids", "ids holds something else than ids of deliveries")
	}
	count, err := s.Store.ResendDeliveries(c.r.Context(), n.ID, in.Ids, notify.Line(n.UUID))
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"resent": count})
}

func noticeView(n store.Notice) map[string]any {
	return map[string]any{"id": n.UUID, "organization": orNull(n.Organization), "kind": n.Kind, "created": date(n.Created), "metadata": n.Metadata, "dismissed": n.Dismissed}
}

// bounded reads a whole number of the query that must lie between two others.
func (c *call) bounded(name string, def, low, high int) (int, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, gantry.Errorf(gantry.Invalid, "query", "%s must be a number from %d to %d", name, low, high)
	}
	return n, nil
}

// listNotices shows a page of the caller's inbox, the newest first.
func (s *server) listNotices(c *call) error {
	page, err := c.bounded("page", 0, 0, 1000)
	if err != nil {
		return err
	}
	limit, err := c.bounded("limit", 5, 1, 100)
	if err != nil {
		return err
	}
	list, more, err := s.Store.Notices(c.r.Context(), c.id.Account.ID, page*limit, limit)
	if err != nil {
		return err
	}
	views := []any{}
	for _, n := range list {
		views = append(views, noticeView(n))
	}
	return c.json(200, map[string]any{"notifications": views, "additional": more})
}

func (s *server) getNotice(c *call) error {
	n, err := s.Store.Notice(c.r.Context(), c.id.Account.ID, c.params["uuid"])
	if err != nil {
		return err
	}
	return c.json(200, noticeView(n))
}

func (s *server) putNotice(c *call) error {
	var in struct{ Dismissed *bool }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Dismissed == nil {
		return gantry.Errorf(gantry.Invalid, "dismissed", "dismissed is required: true or false")
	}
	if err := s.Store.DismissNotice(c.r.Context(), c.id.Account.ID, c.params["uuid"], *in.Dismissed); err != nil {
		return err
	}
	return s.getNotice(c)
}
