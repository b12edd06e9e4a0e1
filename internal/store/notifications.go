package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Notification tells somebody of what happens in a repository, or to a
// namespace.
type Notification struct {
	ID          int64
	UUID        string
	Namespace   gantry.AccountID
	Repo        gantry.RepoID // 0 = of the namespace itself
	Title       string
	Event       string // "repo_push", …
	Method      string // "webhook", …
	Config      string // sealed by the caller, for it may hold a secret; see auth.Keys
	EventConfig json.RawMessage
	Failures    int       // deliveries that were given up, in a row
	LastError   string    // of the last try, if that failed; "" = none
	LastOK      time.Time // of a delivery
	LastFailed  time.Time // of a try
	Looked      time.Time // when MarkTags looked last
	Created     time.Time

	Waiting, Dead int // deliveries that wait, and that were given up; only Notifications counts them
}

// Disabled reports whether nothing is sent until ResetNotification.
func (n *Notification) Disabled() bool { return n.Failures >= MaxNotificationFailures }

// MaxNotificationFailures is after how many deliveries in a row that were given
// up a notification is disabled (domain-model.md §13).
const MaxNotificationFailures = 3

const (
	maxNotifications = 100  // of one repository or namespace
	maxDead          = 1000 // deliveries of one notification that were given up and are kept
)

const notificationColumns = `n.id, n.uuid, n.ns_id, n.repo_id, n.title, n.event, n.method, n.config, n.event_config, n.failures, n.last_error,
	n.last_ok_ms, n.last_failed_ms, n.looked_ms, n.created_ms`

func scanNotification(r interface{ Scan(...any) error }, more ...any) (n Notification, err error) {
	var event string
	var okMS, failedMS, looked, created int64
	err = r.Scan(append([]any{&n.ID, &n.UUID, &n.Namespace, &n.Repo, &n.Title, &n.Event, &n.Method, &n.Config, &event, &n.Failures, &n.LastError,
		&okMS, &failedMS, &looked, &created}, more...)...)
	n.EventConfig = json.RawMessage(event)
	n.LastOK, n.LastFailed, n.Looked, n.Created = gantry.FromMillis(okMS), gantry.FromMillis(failedMS), gantry.FromMillis(looked), gantry.FromMillis(created)
	return n, err
}

var errNoNotification = gantry.Errorf(gantry.NotFound, "notification", "No notification with this id")

// NotificationsOf lists those of a repository or, where repo is 0, those of the
// namespace itself, oldest first.
func (db *DB) NotificationsOf(ctx context.Context, ns gantry.AccountID, repo gantry.RepoID) ([]Notification, error) {
	return db.notifications(ctx, `n.ns_id = ? AND n.repo_id = ? ORDER BY n.id`, ns, repo)
}

// NotificationsOn lists those of any of repos that event makes and that are
// not disabled. Repositories may stand there twice.
func (db *DB) NotificationsOn(ctx context.Context, event string, repos []gantry.RepoID) ([]Notification, error) {
	in, args := list(repos, nil)
	return db.notifications(ctx, `n.repo_id IN `+in+` AND n.event = ? AND n.failures < ? ORDER BY n.id`, append(args, event, MaxNotificationFailures)...)
}

// NotificationsFor lists those of any repository that event makes and that are
// not disabled, at most n behind the id after.
func (db *DB) NotificationsFor(ctx context.Context, event string, after int64, n int) ([]Notification, error) {
	return db.notifications(ctx, `n.event = ? AND n.id > ? AND n.failures < ? ORDER BY n.id LIMIT ?`, event, after, MaxNotificationFailures, n)
}

func (db *DB) notifications(ctx context.Context, where string, args ...any) (all []Notification, err error) {
	err = db.read(ctx, "list notifications", func(ctx context.Context, t *tx) error {
		all, err = t.notifications(ctx, where, args...)
		return err
	})
	return all, err
}

func (t *tx) notifications(ctx context.Context, where string, args ...any) (all []Notification, err error) {
	err = t.each(ctx, func(r *sql.Rows) error {
		n, err := scanNotification(r)
		all = append(all, n)
		return err
	}, `SELECT `+notificationColumns+` FROM notifications n WHERE `+where, args...)
	return all, err
}

// CountDeliveries fills in Waiting and Dead.
func (db *DB) CountDeliveries(ctx context.Context, all []Notification) error {
	if len(all) == 0 {
		return nil
	}
	ids, at := make([]int64, len(all)), make(map[int64]*Notification, len(all))
	for i := range all {
		ids[i], at[all[i].ID] = all[i].ID, &all[i]
		all[i].Waiting, all[i].Dead = 0, 0
	}
	return db.read(ctx, "count deliveries", func(ctx context.Context, t *tx) error {
		in, args := list(ids, nil)
		return t.each(ctx, func(r *sql.Rows) error {
			var id int64
			var failed, n int
			err := r.Scan(&id, &failed, &n)
			if to := at[id]; to != nil && failed == 1 {
				to.Dead = n
			} else if to != nil {
				to.Waiting = n
			}
			return err
		}, `SELECT notification_id, failed, COUNT(*) FROM deliveries WHERE notification_id IN `+in+` GROUP BY notification_id, failed`, args...)
	})
}

// Notification finds a notification; NotFound on "notification" if there is
// none.
func (db *DB) Notification(ctx context.Context, id string) (n Notification, err error) {
	err = db.read(ctx, "find notification", func(ctx context.Context, t *tx) error {
		n, err = t.notification(ctx, id)
		return err
	})
	return n, err
}

func (t *tx) notification(ctx context.Context, id string) (Notification, error) {
	n, err := scanNotification(t.queryRow(ctx, `SELECT `+notificationColumns+` FROM notifications n WHERE n.uuid = ?`, id))
	return n, notFound(err, errNoNotification)
}

// CreateNotification adds n, whose UUID, Namespace and Repo the caller gave.
// name is the repository's; without one it is of the namespace. Conflict on
// "notification" where there are too many already.
func (db *DB) CreateNotification(ctx context.Context, name gantry.RepoName, n Notification, actor gantry.Actor) error {
	return db.update(ctx, "create notification", func(ctx context.Context, t *tx) error {
		if n.Repo != 0 {
			if err := t.aliveRepository(ctx, n.Repo); err != nil {
				return err
			}
		} else if err := t.lockNamespace(ctx, n.Namespace); err != nil {
			return err
		}
		var have int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM notifications WHERE ns_id = ? AND repo_id = ?`, n.Namespace, n.Repo).Scan(&have); err != nil {
			return err
		}
		if have >= maxNotifications {
			return gantry.Errorf(gantry.Conflict, "notification", "There can be %d notifications; delete one first", maxNotifications)
		}
		if _, err := t.exec(ctx, `INSERT INTO notifications (uuid, ns_id, repo_id, title, event, method, config, event_config, failures, last_error,
			last_ok_ms, last_failed_ms, looked_ms, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0, 0, 0, ?)`, n.UUID, n.Namespace, n.Repo, n.Title, n.Event,
			n.Method, n.Config, string(n.EventConfig), t.now.UnixMilli()); err != nil {
			return err
		}
		return t.event(ctx, n.changed("add", "create", name, actor))
	})
}

// changed is the row of the journal of a change to n: what was done has one
// name for repositories and one for namespaces.
func (n *Notification) changed(repo, namespace string, name gantry.RepoName, actor gantry.Actor) Event {
	e := Event{Kind: namespace + "_namespace_notification", Namespace: n.Namespace, Repo: n.Repo, Actor: actor}
	payload := map[string]any{"namespace": name.Namespace, "notification_id": n.UUID, "event": n.Event, "method": n.Method}
	if n.Repo != 0 {
		e.Kind, payload["repo"] = repo+"_repo_notification", name.Name
	}
	e.Payload = payload
	return e
}

// DeleteNotification deletes a notification of a repository, or of the
// namespace where repo is 0, with what waits for it.
func (db *DB) DeleteNotification(ctx context.Context, name gantry.RepoName, ns gantry.AccountID, repo gantry.RepoID, id string, actor gantry.Actor) error {
	return db.changeNotification(ctx, "delete", name, ns, repo, id, actor, func(ctx context.Context, t *tx, n *Notification) error {
		return t.dropNotifications(ctx, `n.id = ?`, n.ID)
	})
}

// dropNotifications deletes notifications with what waits for them.
func (t *tx) dropNotifications(ctx context.Context, where string, arg any) error {
	const of = ` WHERE notification_id IN (SELECT n.id FROM notifications n WHERE `
	for _, q := range []string{`DELETE FROM deliveries` + of + where + `)`, `DELETE FROM told_tags` + of + where + `)`,
		`DELETE FROM notifications WHERE ` + strings.ReplaceAll(where, "n.", "")} {
		if _, err := t.exec(ctx, q, arg); err != nil {
			return err
		}
	}
	return nil
}

// ResetNotification forgets the failures of a notification, which enables it
// again.
func (db *DB) ResetNotification(ctx context.Context, name gantry.RepoName, ns gantry.AccountID, repo gantry.RepoID, id string, actor gantry.Actor) error {
	return db.changeNotification(ctx, "reset", name, ns, repo, id, actor, func(ctx context.Context, t *tx, n *Notification) error {
		_, err := t.exec(ctx, `UPDATE notifications SET failures = 0, last_error = '' WHERE id = ?`, n.ID)
		return err
	})
}

func (db *DB) changeNotification(ctx context.Context, kind string, name gantry.RepoName, ns gantry.AccountID, repo gantry.RepoID, id string, actor gantry.Actor,
	change func(context.Context, *tx, *Notification) error) error {
	return db.update(ctx, kind+" notification", func(ctx context.Context, t *tx) error {
		n, err := t.lockedNotification(ctx, `n.uuid = ? AND n.ns_id = ? AND n.repo_id = ?`, id, ns, repo)
		if err != nil {
			return err
		}
		if err := change(ctx, t, &n); err != nil {
			return err
		}
		return t.event(ctx, n.changed(kind, kind, name, actor))
	})
}

func (t *tx) lockedNotification(ctx context.Context, where string, args ...any) (Notification, error) {
	n, err := scanNotification(t.queryRow(ctx, `SELECT `+notificationColumns+` FROM notifications n WHERE `+where+t.d.excl, args...))
	return n, notFound(err, errNoNotification)
}

// A NewDelivery is what a notification is to tell. It waits in the
// notification's line, and is queued with the job that works the line off: see
// NewJob.
type NewDelivery struct {
	Notification int64
	Payload      json.RawMessage
}

func (t *tx) addDelivery(ctx context.Context, d *NewDelivery) error {
	// Nothing is added for a notification that was deleted meanwhile.
	_, err := t.exec(ctx, `INSERT INTO deliveries (notification_id, payload, failed, attempts, next_ms, error, created_ms)
		SELECT n.id, ?, 0, 0, 0, '', ? FROM notifications n WHERE n.id = ?`, string(d.Payload), t.now.UnixMilli(), d.Notification)
	return err
}

// A Delivery waits in the line of a notification, or was given up.
type Delivery struct {
	ID       int64
	Payload  json.RawMessage
	Attempts int       // that failed
	Next     time.Time // not before; zero = at once
	Error    string    // of the last attempt
	Created  time.Time
}

const deliveryColumns = `id, payload, attempts, next_ms, error, created_ms`

func scanDelivery(r interface{ Scan(...any) error }) (d Delivery, err error) {
	var payload string
	var next, created int64
	err = r.Scan(&d.ID, &payload, &d.Attempts, &next, &d.Error, &created)
	d.Payload, d.Next, d.Created = json.RawMessage(payload), gantry.FromMillis(next), gantry.FromMillis(created)
	return d, err
}

// NextDelivery finds the oldest delivery that waits in the line of a
// notification; NotFound on "delivery" where none does.
func (db *DB) NextDelivery(ctx context.Context, notification int64) (d Delivery, err error) {
	err = db.read(ctx, "find delivery", func(ctx context.Context, t *tx) error {
		d, err = scanDelivery(t.queryRow(ctx, `SELECT `+deliveryColumns+` FROM deliveries WHERE notification_id = ? AND failed = 0 ORDER BY id LIMIT 1`, notification))
		return notFound(err, errNoAccount("delivery"))
	})
	return d, err
}

// Delivered takes a delivery that has arrived out of the line. d 0 stands for
// a test, which is in no line.
func (db *DB) Delivered(ctx context.Context, notification, d int64) error {
	return db.update(ctx, "note delivery", func(ctx context.Context, t *tx) error {
		set := `failures = 0, `
		if d == 0 {
			set = "" // a test enables nothing
		}
		if _, err := t.exec(ctx, `UPDATE notifications SET `+set+`last_error = '', last_ok_ms = ? WHERE id = ?`, t.now.UnixMilli(), notification); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM deliveries WHERE id = ? AND notification_id = ?`, d, notification)
		return err
	})
}

// DeliveryFailed notes a failed attempt, after which the delivery is tried
// again at next or, where that is zero, is given up. Of several given up in a
// row the third disables the notification, and all that waits is given up with
// it. d 0 stands for a test, of which only the failure is noted.
func (db *DB) DeliveryFailed(ctx context.Context, notification, d int64, reason string, next time.Time) error {
	reason = cut(reason, 1000)
	return db.update(ctx, "note failed delivery", func(ctx context.Context, t *tx) error {
		n, err := t.lockedNotification(ctx, `n.id = ?`, notification)
		if gantry.Is(err, gantry.NotFound) {
			return nil // deleted since
		}
		if err != nil {
			return err
		}
		if d != 0 && next.IsZero() {
			n.Failures++
		}
		if _, err := t.exec(ctx, `UPDATE notifications SET failures = ?, last_error = ?, last_failed_ms = ? WHERE id = ?`, n.Failures, reason, t.now.UnixMilli(), n.ID); err != nil {
			return err
		}
		if !next.IsZero() {
			_, err := t.exec(ctx, `UPDATE deliveries SET attempts = attempts + 1, next_ms = ?, error = ? WHERE id = ? AND notification_id = ?`,
				next.UnixMilli(), reason, d, n.ID)
			return err
		}
		if _, err := t.exec(ctx, `UPDATE deliveries SET attempts = attempts + 1, failed = 1, error = ? WHERE id = ? AND notification_id = ?`, reason, d, n.ID); err != nil {
			return err
		}
		if n.Disabled() {
			if _, err := t.exec(ctx, `UPDATE deliveries SET failed = 1, error = ? WHERE notification_id = ? AND failed = 0`,
				"the notification was disabled after too many failures", n.ID); err != nil {
				return err
			}
		}
		var last int64
		err = t.queryRow(ctx, `SELECT id FROM deliveries WHERE notification_id = ? AND failed = 1 ORDER BY id DESC LIMIT 1 OFFSET ?`, n.ID, maxDead).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			_, err = t.exec(ctx, `DELETE FROM deliveries WHERE notification_id = ? AND failed = 1 AND id <= ?`, n.ID, last)
		}
		return err
	})
}

// DeadDeliveries lists deliveries that were given up, the newest first: at
// most n with an id below before; 0 = from the newest.
func (db *DB) DeadDeliveries(ctx context.Context, notification, before int64, n int) (all []Delivery, err error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	err = db.read(ctx, "list failed deliveries", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			d, err := scanDelivery(r)
			all = append(all, d)
			return err
		}, `SELECT `+deliveryColumns+` FROM deliveries WHERE notification_id = ? AND failed = 1 AND id < ? ORDER BY id DESC LIMIT ?`, notification, before, n)
	})
	return all, err
}

// ResendDeliveries puts deliveries that were given up back into the line, all
// of them where ids is empty, queues job and returns how many they are.
// Conflict on "notification" if that is disabled.
func (db *DB) ResendDeliveries(ctx context.Context, notification int64, ids []int64, job NewJob) (n int64, err error) {
	err = db.update(ctx, "send again", func(ctx context.Context, t *tx) error {
		of, err := t.lockedNotification(ctx, `n.id = ?`, notification)
		if err != nil {
			return err
		}
		if of.Disabled() {
			return gantry.Errorf(gantry.Conflict, "notification", "The notification is disabled after too many failures; reset it first")
		}
		q, args := `UPDATE deliveries SET failed = 0, attempts = 0, next_ms = 0 WHERE notification_id = ? AND failed = 1`, []any{notification}
		if len(ids) > 0 {
			var in string
			in, args = list(ids, args)
			q += ` AND id IN ` + in
		}
		if n, err = t.exec(ctx, q, args...); err != nil || n == 0 {
			return err
		}
		_, err = t.enqueue(ctx, []NewJob{job})
		return err
	})
	return n, err
}

// An EndingTag is a tag that expires soon.
type EndingTag struct {
	ID   int64
	Name string
	End  time.Time
}

// EndingTags finds the tags of n's repository that expire before a time and
// whose end n has not told, the first to end first, at most 100.
func (db *DB) EndingTags(ctx context.Context, n *Notification, before time.Time) (all []EndingTag, err error) {
	err = db.read(ctx, "find ending tags", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var e EndingTag
			var end int64
			err := r.Scan(&e.ID, &e.Name, &end)
			e.End = gantry.FromMillis(end)
			all = append(all, e)
			return err
		}, `SELECT g.id, g.name, g.end_ms FROM tags g WHERE g.repo_id = ? AND g.live = 1 AND g.end_ms > ? AND g.end_ms <= ?
			AND NOT EXISTS (SELECT 1 FROM told_tags d WHERE d.notification_id = ? AND d.tag_id = g.id) ORDER BY g.end_ms, g.id LIMIT 100`,
			n.Repo, t.now.UnixMilli(), before.UnixMilli(), n.ID)
	})
	return all, err
}

// TellTags notes that the ends of tags are told, if nobody else did since, and
// queues job; told says whether. It also notes that they were looked for.
func (db *DB) TellTags(ctx context.Context, n *Notification, tags []EndingTag, job NewJob) (told bool, err error) {
	err = db.update(ctx, "tell ending tags", func(ctx context.Context, t *tx) error {
		told = false
		now, err := t.lockedNotification(ctx, `n.id = ?`, n.ID)
		if err != nil || !now.Looked.Equal(n.Looked) {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE notifications SET looked_ms = ? WHERE id = ?`, t.now.UnixMilli(), n.ID); err != nil {
			return err
		}
		if len(tags) == 0 {
			return nil
		}
		// Of tags that are gone there is nothing to remember.
		if _, err := t.exec(ctx, `DELETE FROM told_tags WHERE notification_id = ? AND tag_id NOT IN (SELECT g.id FROM tags g WHERE g.repo_id = ? AND g.live = 1)`, n.ID, n.Repo); err != nil {
			return err
		}
		for _, tag := range tags {
			if _, err := t.exec(ctx, `INSERT INTO told_tags (notification_id, tag_id) VALUES (?, ?)`, n.ID, tag.ID); err != nil {
				return err
			}
		}
		told = true
		_, err = t.enqueue(ctx, []NewJob{job})
		return err
	})
	return told, err
}

// A Notice is what a user finds in the inbox.
type Notice struct {
	UUID         string
	Kind         string // "repo_push", "test_notification", …
	Organization string // whose matter it is; "" = none's
	Metadata     json.RawMessage
	Dismissed    bool
	Created      time.Time
}

// A NoticeTarget is whom a notice is for: a user, the users in a team of the
// namespace, or who administers it.
type NoticeTarget struct {
	Kind      string // "user", "team", "org", or "superusers": the accounts that are marked so
	Name      string // of the user or the team
	Namespace gantry.AccountID
}

// maxNoticed bounds whom one notice goes to, and maxNotices what an inbox
// keeps.
const (
	maxNoticed = 500
	maxNotices = 1000
)

// AddNotice puts n into the inbox of everybody in target and returns how many
// that were. One inbox takes a source once. NotFound on "account" where there is
// no such target.
func (db *DB) AddNotice(ctx context.Context, target NoticeTarget, source string, n Notice) (added int, err error) {
	err = db.update(ctx, "add notice", func(ctx context.Context, t *tx) error {
		who, err := t.noticed(ctx, target)
		if err != nil {
			return err
		}
		added, err = t.addNotices(ctx, who, source, n)
		return err
	})
	return added, err
}

func (t *tx) addNotices(ctx context.Context, who []int64, source string, n Notice) (added int, err error) {
	for _, id := range who {
		got, err := t.insertIgnore(ctx, `INSERT INTO notices (uuid, account_id, source, kind, organization, metadata, dismissed, created_ms)
			VALUES (?, ?, ?, ?, ?, ?, 0, ?)`, uuid.NewString(), id, source, n.Kind, n.Organization, string(n.Metadata), t.now.UnixMilli())
		if err != nil {
			return added, err
		}
		if got == 0 {
			continue
		}
		added++
		var last int64
		err = t.queryRow(ctx, `SELECT id FROM notices WHERE account_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?`, id, maxNotices).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err == nil {
			_, err = t.exec(ctx, `DELETE FROM notices WHERE account_id = ? AND id <= ?`, id, last)
		}
		if err != nil {
			return added, err
		}
	}
	return added, nil
}

func (t *tx) noticed(ctx context.Context, target NoticeTarget) (who []int64, err error) {
	const user = `a.kind = 'user' AND a.enabled = 1 AND a.deleted_ms = 0`
	q, args := `SELECT a.id FROM accounts a WHERE a.name = ? AND `+user, []any{target.Name}
	switch target.Kind {
	case "user":
	case "team":
		q = `SELECT a.id FROM teams g JOIN team_members m ON m.team_id = g.id JOIN accounts a ON a.id = m.account_id WHERE g.name = ? AND g.org_id = ? AND ` + user
		args = append(args, target.Namespace)
	case "org":
		q = `SELECT a.id FROM accounts a WHERE ` + user + ` AND (a.id = ? OR a.id IN (SELECT m.account_id FROM teams g
			JOIN team_members m ON m.team_id = g.id WHERE g.org_id = ? AND g.role = 'admin'))`
		args = []any{target.Namespace, target.Namespace}
	case "superusers":
		q, args = `SELECT a.id FROM accounts a WHERE a.superuser = 1 AND `+user, nil
	default:
		return nil, gantry.Errorf(gantry.Invalid, "target", "a target's kind is user, team or org, not %.40q", target.Kind)
	}
	if who, err = t.ids(ctx, q+` ORDER BY a.id LIMIT ?`, append(args, maxNoticed)...); err == nil && len(who) == 0 {
		err = gantry.Errorf(gantry.NotFound, "account", "There is no %s %.300s that could be told", target.Kind, target.Name)
	}
	return who, err
}

// Notices lists what the inbox of an account holds that was not dismissed, the
// newest first: n of them behind the first skip, and whether there are more.
func (db *DB) Notices(ctx context.Context, account gantry.AccountID, skip, n int) (all []Notice, more bool, err error) {
	err = db.read(ctx, "list notices", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			x, err := scanNotice(r)
			all = append(all, x)
			return err
		}, `SELECT `+noticeColumns+` FROM notices WHERE account_id = ? AND dismissed = 0 ORDER BY id DESC LIMIT ? OFFSET ?`, account, n+1, skip)
	})
	if len(all) > n {
		return all[:n], true, err
	}
	return all, false, err
}

const noticeColumns = `uuid, kind, organization, metadata, dismissed, created_ms`

func scanNotice(r interface{ Scan(...any) error }) (n Notice, err error) {
	var metadata string
	var at int64
	var dismissed int
	err = r.Scan(&n.UUID, &n.Kind, &n.Organization, &metadata, &dismissed, &at)
	n.Dismissed = dismissed == 1
	n.Metadata, n.Created = json.RawMessage(metadata), gantry.FromMillis(at)
	return n, err
}

var errNoNotice = gantry.Errorf(gantry.NotFound, "notice", "No notification with this id")

// Notice finds one in the inbox of an account; NotFound on "notice".
func (db *DB) Notice(ctx context.Context, account gantry.AccountID, id string) (n Notice, err error) {
	err = db.read(ctx, "find notice", func(ctx context.Context, t *tx) error {
		n, err = scanNotice(t.queryRow(ctx, `SELECT `+noticeColumns+` FROM notices WHERE uuid = ? AND account_id = ?`, id, account))
		return notFound(err, errNoNotice)
	})
	return n, err
}

// DismissNotice takes a notice out of the list, or puts it back.
func (db *DB) DismissNotice(ctx context.Context, account gantry.AccountID, id string, dismissed bool) error {
	return db.update(ctx, "dismiss notice", func(ctx context.Context, t *tx) error {
		there, err := t.exists(ctx, `SELECT 1 FROM notices WHERE uuid = ? AND account_id = ?`, id, account)
		if err != nil || !there {
			return errors.Join(err, asError(errNoNotice, err == nil))
		}
		_, err = t.exec(ctx, `UPDATE notices SET dismissed = ? WHERE uuid = ? AND account_id = ?`, flag(dismissed), id, account)
		return err
	})
}
