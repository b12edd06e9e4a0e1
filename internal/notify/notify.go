// Package notify tells others what happens in repositories and namespaces: it
// turns the journal into deliveries, which wait in a line of each
// notification, and makes them.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// The kinds of jobs.
const (
	JobKind   = "notify"       // works off the line of one notification
	ExpiryJob = "notifyexpiry" // looks for tags that expire soon
	QuotaJob  = "notifyquota"  // compares a namespace with its quota
)

// Reader is the name of the reader of the journal.
const Reader = "notify"

// A delivery is tried maxAttempts times, with pauses from firstPause to
// doubled ones: for about an hour. Then it is given up and kept, and the next
// one in the line has its turn.
const (
	maxAttempts = 9
	firstPause  = 10 * time.Second
	turn        = 5 * time.Second // after which a line that is not empty goes to the end of the queue
)

// AtOnce is how many lines are worked off at once by one process. A line that
// waits for a slow target takes one of them, for as long as one delivery may
// take.
const AtOnce = 32

// Options are what New needs; all but Logger and Mail are required.
type Options struct {
	Store *store.DB
	Keys  *auth.Keys
	// Client is for addresses that users gave: see httpd.Outgoing. That of
	// webhooks may have a certificate of its own.
	Client func(webhook bool) *http.Client
	// Base is where users find this registry, such as https://registry.example.com
	// and registry.example.com.
	Base func() (url, host string)
	// Mail queues a mail; nil, or one that returns false, = none are sent.
	Mail func(ctx context.Context, to, subject, text, html string) (bool, error)
	// Settings are those of the moment.
	Settings func() Settings
	Logger   *slog.Logger // nil = discard
}

// Settings can change while a Service runs.
type Settings struct {
	ExpiryEvery   time.Duration // NOTIFICATION_TASK_RUN_MINIMUM_INTERVAL_MINUTES, with FEATURE_IMAGE_EXPIRY_TRIGGER; 0 = repo_image_expiry is never made
	Quota         bool          // FEATURE_QUOTA_MANAGEMENT: administrators are told of crossings
	QuotaEvents   bool          // FEATURE_QUOTA_NOTIFICATIONS: and so are notifications of the namespace
	QuotaCooldown time.Duration // QUOTA_NOTIFICATION_COOLDOWN_SECONDS
	DefaultQuota  int64         // DEFAULT_SYSTEM_REJECT_QUOTA_BYTES
}

// A Service delivers notifications.
type Service struct {
	o                 Options
	flowdock, hipchat string // where those services are
}

// New returns a service. It does nothing by itself: a jobs.Runner calls
// Dispatch and what Kinds has.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Mail == nil {
		o.Mail = func(context.Context, string, string, string, string) (bool, error) { return false, nil }
	}
	return &Service{o: o, flowdock: "https://api.flowdock.com", hipchat: "https://api.hipchat.com"}
}

// Kinds are how the jobs of this package are run.
func (s *Service) Kinds() map[string]jobs.Kind {
	return map[string]jobs.Kind{
		JobKind:   {Handle: s.Deliver, Limit: AtOnce},
		ExpiryJob: {Handle: s.expiring},
		QuotaJob:  {Handle: s.quota, Limit: 2},
	}
}

// payload is what a delivery tells.
type payload struct {
	Event string         `json:"event"`
	At    time.Time      `json:"at"`
	ID    string         `json:"id"` // of what happened: the same for each delivery of it
	Test  bool           `json:"test,omitempty"`
	Data  map[string]any `json:"data"` // what a webhook gets (api-v1.md §15); links are added when it is delivered
}

func (p *payload) text(key string) string {
	s, _ := p.Data[key].(string)
	return s
}

// line is the payload of a job of JobKind: the line of a notification, or a
// test of it.
type line struct {
	Notification string   `json:"notification"` // uuid
	Test         *payload `json:"test,omitempty"`
}

// Line is the job that works off the line of a notification.
func Line(notification string) store.NewJob {
	// The attempts are those of a worker that dies: what fails is counted with
	// the delivery.
	return store.NewJob{Kind: JobKind, Dedupe: notification, Rerun: true, MaxAttempts: 1 << 20, Payload: line{Notification: notification}}
}

func deliver(n *store.Notification, p payload) (store.NewJob, error) {
	b, err := json.Marshal(p)
	j := Line(n.UUID)
	j.Delivery = &store.NewDelivery{Notification: n.ID, Payload: b}
	return j, err
}

// events are the kinds of the journal that make an event.
var events = map[string]string{"push_repo": EventPush, EventMirrorStarted: EventMirrorStarted, EventMirrorSuccess: EventMirrorSuccess, EventMirrorFailed: EventMirrorFailed}

// sized are the kinds of the journal after which a namespace may be on the
// other side of its quota.
var sized = map[string]bool{"push_repo": true, "delete_tag": true, "delete_repo": true, "org_create_quota": true, "org_change_quota": true,
	"org_create_quota_limit": true, "org_change_quota_limit": true, "org_delete_quota_limit": true, "org_delete_quota": true}

// Dispatch makes the deliveries of rows of the journal, as a jobs.Dispatch. It
// asks the database once for each event that the rows hold, and makes no job
// where nobody wants to be told.
func (s *Service) Dispatch(ctx context.Context, entries []store.Entry) (all []store.NewJob, err error) {
	repos := map[string][]gantry.RepoID{}
	namespaces := map[gantry.AccountID]bool{}
	quota := s.o.Settings().Quota
	for _, e := range entries {
		if event, ok := events[e.Kind]; ok {
			repos[event] = append(repos[event], e.Repo)
		}
		if quota && sized[e.Kind] && !namespaces[e.Namespace] {
			namespaces[e.Namespace] = true
			all = append(all, compare(e.Namespace, false))
		}
	}
	wanted := map[string]map[gantry.RepoID][]store.Notification{}
	for event, ids := range repos {
		list, err := s.o.Store.NotificationsOn(ctx, event, ids)
		if err != nil {
			return nil, err
		}
		wanted[event] = map[gantry.RepoID][]store.Notification{}
		for _, n := range list {
			wanted[event][n.Repo] = append(wanted[event][n.Repo], n)
		}
	}
	for _, e := range entries {
		for _, n := range wanted[events[e.Kind]][e.Repo] {
			if e.At.Before(n.Created) {
				continue // the reader is behind, or new
			}
			tell := pushed
			if e.Kind != "push_repo" {
				tell = mirrored
			}
			p, ok := tell(e)
			if !ok {
				continue
			}
			j, err := deliver(&n, p)
			if err != nil {
				return nil, err
			}
			all = append(all, j)
		}
	}
	return all, nil
}

// repository begins the data of an event of a repository.
func repository(name gantry.RepoName) map[string]any {
	return map[string]any{"repository": name.Namespace + "/" + name.Name, "namespace": name.Namespace, "name": name.Name}
}

// pushed is what is told of a push; false where there is nothing to tell.
func pushed(e store.Entry) (p payload, ok bool) {
	var in struct {
		Repo, Namespace, Tag string
		Digest               string `json:"manifest_digest"`
	}
	if json.Unmarshal(e.Payload, &in) != nil || in.Tag == "" {
		return p, false // a manifest without a tag is part of something that gets one
	}
	data := repository(gantry.RepoName{Namespace: in.Namespace, Name: in.Repo})
	data["updated_tags"], data["manifest_digest"] = []string{in.Tag}, in.Digest
	if e.Actor.Name != "" {
		data["performer"] = e.Actor.Name
	}
	return payload{Event: EventPush, At: e.At, ID: strconv.FormatInt(e.ID, 10), Data: data}, true
}

// mirrored is what is told of a mirror's run.
func mirrored(e store.Entry) (p payload, ok bool) {
	var in struct {
		Repo, Namespace, Message string
		Run                      string
		Reference                string `json:"external_reference"`
	}
	if json.Unmarshal(e.Payload, &in) != nil || in.Repo == "" {
		return p, false
	}
	data := repository(gantry.RepoName{Namespace: in.Namespace, Name: in.Repo})
	data["message"], data["external_reference"] = in.Message, in.Reference
	if in.Run != "" {
		data["run"] = in.Run
	}
	return payload{Event: e.Kind, At: e.At, ID: strconv.FormatInt(e.ID, 10), Data: data}, true
}

// Test queues the delivery of a sample, past the line. name is that of the
// repository, or of the namespace alone.
func (s *Service) Test(ctx context.Context, n *store.Notification, name gantry.RepoName) error {
	now := s.o.Store.Now()
	p := payload{Event: n.Event, At: now, ID: fmt.Sprintf("test-%s-%d", n.UUID, now.UnixMilli()), Test: true, Data: sample(n.Event, name)}
	_, err := s.o.Store.Enqueue(ctx, store.NewJob{Kind: JobKind, Dedupe: "test " + n.UUID, MaxAttempts: 1, Priority: store.Urgent, Payload: line{n.UUID, &p}})
	return err
}

// Deliver works off the line of a notification, as a jobs.Handler: in order,
// and after a failure not before a pause.
func (s *Service) Deliver(ctx context.Context, r *jobs.Run) error {
	var in line
	if err := r.Payload(&in); err != nil {
		return err
	}
	db := s.o.Store
	began := time.Now()
	for {
		n, err := db.Notification(ctx, in.Notification)
		if gantry.Is(err, gantry.NotFound) {
			return nil // deleted since
		}
		if err != nil {
			return err
		}
		if in.Test != nil {
			return s.test(ctx, &n, *in.Test)
		}
		d, err := db.NextDelivery(ctx, n.ID)
		if gantry.Is(err, gantry.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if wait := d.Next.Sub(db.Now()); wait > 0 {
			return jobs.Later(wait)
		}
		var p payload
		failure := json.Unmarshal(d.Payload, &p)
		if failure != nil {
			failure = &lastingError{failure}
		} else {
			failure = s.send(ctx, &n, p)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failure != nil {
			wait, err := s.failed(ctx, &n, &d, failure)
			if err != nil {
				return err
			}
			if wait > 0 {
				return jobs.Later(wait)
			}
		} else if err := db.Delivered(ctx, n.ID, d.ID); err != nil {
			return err
		}
		if time.Since(began) > turn {
			return jobs.Later(0)
		}
	}
}

// failed notes a failed attempt and returns the pause after it; 0 = the
// delivery is given up.
func (s *Service) failed(ctx context.Context, n *store.Notification, d *store.Delivery, failure error) (wait time.Duration, err error) {
	_, lasting := errors.AsType[*lastingError](failure)
	var next time.Time
	if !lasting && d.Attempts+1 < maxAttempts {
		wait = firstPause << min(d.Attempts, maxAttempts)
		wait = wait/2 + time.Duration(mrand.Int64N(int64(wait/2)+1)) //nolint:gosec // jitter
		next = s.o.Store.Now().Add(wait)
	}
	s.o.Logger.WarnContext(ctx, "a notification could not be delivered", "notification", n.UUID, "method", n.Method, "attempt", d.Attempts+1,
		"given_up", next.IsZero(), "error", failure)
	return wait, s.o.Store.DeliveryFailed(ctx, n.ID, d.ID, failure.Error(), next)
}

func (s *Service) test(ctx context.Context, n *store.Notification, p payload) error {
	failure := s.send(ctx, n, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failure == nil {
		return s.o.Store.Delivered(ctx, n.ID, 0)
	}
	return errors.Join(jobs.Permanent(failure), s.o.Store.DeliveryFailed(ctx, n.ID, 0, failure.Error(), time.Time{}))
}

// A lastingError is one that no further try mends.
type lastingError struct{ err error }

func (e *lastingError) Error() string { return e.err.Error() }
func (e *lastingError) Unwrap() error { return e.err }

func (s *Service) send(ctx context.Context, n *store.Notification, p payload) error {
	text, err := s.o.Keys.Open(configColumn, n.UUID, n.Config)
	if err != nil {
		return &lastingError{err}
	}
	m, ok := methods[n.Method]
	if !ok {
		return &lastingError{fmt.Errorf("method %q is not known here", n.Method)}
	}
	c, err := m.parse([]byte(text))
	if err != nil {
		return &lastingError{err}
	}
	base, host := s.o.Base()
	if name := p.text("repository"); name != "" {
		p.Data["docker_url"], p.Data["homepage"] = host+"/"+name, base+"/repository/"+name
	} else {
		p.Data["homepage"] = base + "/organization/" + p.text("namespace")
	}
	return m.send(ctx, s, n, c, p)
}

// configColumn names the sealed column; see auth.Keys.Seal.
const configColumn = "notifications.config"

// Seal makes the stored form of the configuration of a notification's method.
func Seal(k *auth.Keys, uuid string, config json.RawMessage) (string, error) {
	return k.Seal(configColumn, uuid, string(config))
}

// Open reads the configuration of a notification's method.
func Open(k *auth.Keys, n *store.Notification) (json.RawMessage, error) {
	text, err := k.Open(configColumn, n.UUID, n.Config)
	return json.RawMessage(text), err
}

// expiring looks for tags that expire within the days that a notification
// says, and tells each of them once.
func (s *Service) expiring(ctx context.Context, _ *jobs.Run) error {
	every := s.o.Settings().ExpiryEvery
	if every <= 0 {
		return nil
	}
	db := s.o.Store
	for after := int64(0); ; {
		list, err := db.NotificationsFor(ctx, EventExpiry, after, 100)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, n := range list {
			if after = n.ID; db.Now().Sub(n.Looked) < every {
				continue
			}
			if err := s.tellEnds(ctx, n); err != nil && !gantry.Is(err, gantry.NotFound) { // else deleted meanwhile
				return err
			}
		}
	}
}

func (s *Service) tellEnds(ctx context.Context, n store.Notification) error {
	db := s.o.Store
	days := decode(n.EventConfig, &struct{ Days int }{}).Days
	tags, err := db.EndingTags(ctx, &n, db.Now().AddDate(0, 0, days))
	if err != nil {
		return err
	}
	repo, err := db.RepositoryByID(ctx, n.Repo)
	if err != nil {
		return err
	}
	data, names := repository(repo.Name), []string{}
	for _, t := range tags {
		names = append(names, t.Name)
	}
	data["tags"], data["expiring_in"] = names, fmt.Sprintf("%d days", days)
	j, err := deliver(&n, payload{Event: EventExpiry, At: db.Now(), ID: fmt.Sprintf("expiry-%s-%d", n.UUID, db.Now().UnixMilli()), Data: data})
	if err != nil {
		return err
	}
	_, err = db.TellTags(ctx, &n, tags, j)
	return err
}
