package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type world struct {
	t    *testing.T
	db   *store.DB
	keys *auth.Keys
	s    *Service
	ms   atomic.Int64 // of the clock
	user store.Account
	org  store.Account
	repo store.Repository
	set  Settings
	mu   sync.Mutex
	mail []string
}

// each runs f on every database.
func each(t *testing.T, f func(w *world)) {
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) { f(newWorld(t, d)) })
	}
}

func newWorld(t *testing.T, dialect string) *world {
	t.Helper()
	w := &world{t: t}
	w.ms.Store(1_800_000_000_000)
	w.db = storetest.Open(t, dialect, store.Options{Now: func() time.Time { return time.UnixMilli(w.ms.Load()) }})
	var err error
	w.keys, err = auth.NewKeys(auth.KeyOptions{SecretKey: "secret", DatabaseSecretKey: "database"})
	w.ok(err)
	client := httpd.Outgoing(httpd.OutgoingOptions{Allowed: []string{"127.0.0.1"}, Timeout: 20 * time.Second})
	w.s = New(Options{Store: w.db, Keys: w.keys, Client: func(bool) *http.Client { return client },
		Base: func() (string, string) { return "https://registry.example.com", "registry.example.com" }, Settings: func() Settings { return w.set },
		Mail: func(_ context.Context, to, subject, text, html string) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.mail = append(w.mail, strings.Join([]string{to, subject, text, html}, "|"))
			return true, nil
		}})
	ctx := t.Context()
	w.user, err = w.db.CreateUser(ctx, store.NewAccount{Name: "ann"}, gantry.Actor{})
	w.ok(err)
	w.org, err = w.db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, w.user.ID, gantry.Actor{})
	w.ok(err)
	id, err := w.db.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: "acme", Name: "a/app"}}, gantry.Actor{})
	w.ok(err)
	w.repo, err = w.db.RepositoryByID(ctx, id)
	w.ok(err)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// notification makes one.
func (w *world) notification(repo gantry.RepoID, event, method, config, eventConfig string) store.Notification {
	w.t.Helper()
	w.ok(Request{Namespace: repo == 0, Event: event, Method: method, Config: json.RawMessage(config), EventConfig: json.RawMessage(eventConfig)}.Check())
	n := store.Notification{UUID: uuid.NewString(), Namespace: w.org.ID, Repo: repo, Event: event, Method: method, EventConfig: json.RawMessage(eventConfig)}
	var err error
	n.Config, err = Seal(w.keys, n.UUID, json.RawMessage(config))
	w.ok(err)
	w.ok(w.db.CreateNotification(w.t.Context(), w.repo.Name, n, gantry.Actor{}))
	return w.read(n)
}

func (w *world) read(n store.Notification) store.Notification {
	w.t.Helper()
	n, err := w.db.Notification(w.t.Context(), n.UUID)
	w.ok(err)
	all := []store.Notification{n}
	w.ok(w.db.CountDeliveries(w.t.Context(), all))
	return all[0]
}

// push writes what a push writes to the journal.
func (w *world) push(tag string) {
	w.t.Helper()
	w.ok(w.db.Record(w.t.Context(), store.Event{Kind: "push_repo", Namespace: w.org.ID, Repo: w.repo.ID, Actor: gantry.Actor{Name: "ann", Kind: gantry.ActorUser},
		Payload: map[string]any{"repo": "a/app", "namespace": "acme", "tag": tag, "manifest_digest": "sha256:00"}}))
}

// follow reads the journal once, as a runner does.
func (w *world) follow() {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.db.Sequence(ctx)
	w.ok(err)
	from, err := w.db.Reader(ctx, Reader)
	w.ok(err)
	entries, err := w.db.Events(ctx, from, 1000)
	w.ok(err)
	if len(entries) == 0 {
		return
	}
	list, err := w.s.Dispatch(ctx, entries)
	w.ok(err)
	w.ok(w.db.AckEvents(ctx, Reader, from, entries[len(entries)-1].Seq, list...))
}

// turn works off the line of a notification, and returns the pause that it
// asks for.
func (w *world) turn(n store.Notification) error {
	w.t.Helper()
	return w.s.Deliver(w.t.Context(), &jobs.Run{Job: store.Job{Payload: json.RawMessage(`{"notification":"` + n.UUID + `"}`)}})
}

// A sink keeps what it gets.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []received
}

type received struct {
	path, query string
	header      http.Header
	body        map[string]any
}

func newSink(t *testing.T) *sink {
	k := &sink{status: 200}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		v := map[string]any{}
		if err = errors.Join(err, json.Unmarshal(b, &v)); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.got = append(k.got, received{r.URL.Path, r.URL.RawQuery, r.Header, v})
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(k.status)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *sink) all() []received {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]received(nil), k.got...)
}

func (k *sink) answer(status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = status
}

// TestMethods delivers a push by every method.
func TestMethods(t *testing.T) {
	each(t, func(w *world) {
		k := newSink(w.t)
		w.s.flowdock, w.s.hipchat = k.URL, k.URL
		config := func(path string) string { return `{"url":"` + k.URL + path + `"}` }
		w.push("before") // is not told: the notifications are younger
		w.ms.Add(1000)
		for _, m := range [][2]string{
			{"webhook", config("/plain")}, {"cloudevents", config("/ce")}, {"slack", config("/slack")}, {"teams", config("/teams")},
			{"webhook", `{"url":"` + k.URL + `/template","template":"{\"${name}\":[\"tag ${updated_tags.0}, ${updated_tags.7} ${nothing.here}\",{\"n\":1}]}"}`},
			{"flowdock", `{"flow_api_token":"f/t"}`}, {"hipchat", `{"notification_token":"a&b","room_id":"r 1"}`},
			{"quay_notification", `{"target":{"kind":"user","name":"ann"}}`}, {"quay_notification", `{"target":{"kind":"org","name":"acme"}}`},
			{"quay_notification", `{"target":{"kind":"team","name":"owners"}}`}, {"email", `{"email":"x@example.com"}`},
		} {
			w.notification(w.repo.ID, EventPush, m[0], m[1], "{}")
		}
		w.push("v1")
		w.push("") // a child of an index
		w.follow()
		w.follow()
		all, err := w.db.NotificationsOf(w.t.Context(), w.org.ID, w.repo.ID)
		w.ok(err)
		for _, n := range all {
			w.ok(w.turn(n))
			if n = w.read(n); n.LastOK.IsZero() || n.Failures != 0 || n.Waiting != 0 || n.LastError != "" {
				w.t.Errorf("%s: %+v", n.Method, n)
			}
		}
		got := map[string]received{}
		for _, r := range k.all() {
			got[r.path] = r
		}
		plain := got["/plain"].body
		b, err := json.Marshal(plain)
		w.ok(err)
		if want := `{"docker_url":"registry.example.com/acme/a/app","homepage":"https://registry.example.com/repository/acme/a/app","manifest_digest":"sha256:00",` +
			`"name":"a/app","namespace":"acme","performer":"ann","repository":"acme/a/app","updated_tags":["v1"]}`; string(b) != want {
			w.t.Errorf("webhook: %s", b)
		}
		ce := got["/ce"]
		if ce.body["specversion"] != "1.0" || ce.body["type"] != "io.gantry-registry.repo_push" || ce.body["source"] != plain["homepage"] || ce.body["id"] == "" ||
			ce.body["subject"] != "v1" || ce.header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
			w.t.Errorf("cloudevents: %+v", ce)
		}
		if at, err := time.Parse(time.RFC3339, ce.body["time"].(string)); err != nil || !at.Equal(w.db.Now()) {
			w.t.Errorf("cloudevents: %v %v", at, err)
		}
		for path, want := range map[string]string{
			"/slack":                      `"text":"Repository \u003chttps://registry.example.com/repository/acme/a/app|acme/a/app\u003e has been pushed by ann: v1"`,
			"/teams":                      `[acme/a/app](https://registry.example.com/repository/acme/a/app)`,
			"/template":                   `{"a/app":["tag v1, (none) (none)",{"n":1}]}`,
			"/v1/messages/team_inbox/f/t": `"source":"Gantry"`,
			"/v2/room/r 1/notification":   `"message_format":"html"`,
		} {
			b, err := json.Marshal(got[path].body)
			if w.ok(err); !strings.Contains(string(b), want) {
				w.t.Errorf("%s: %s", path, b)
			}
		}
		if q := got["/v2/room/r 1/notification"].query; q != "auth_token=a%26b" {
			w.t.Error(q)
		}
		notices, more, err := w.db.Notices(w.t.Context(), w.user.ID, 0, 10)
		if err != nil || more || len(notices) != 3 || notices[0].Kind != EventPush || notices[0].Organization != "acme" || notices[2].Organization != "" {
			w.t.Errorf("inbox: %+v %v", notices, err)
		}
		if len(w.mail) != 1 || !strings.HasPrefix(w.mail[0], "x@example.com|[acme/a/app] repo_push|Repository acme/a/app (https://registry.example.com/repository/acme/a/app) has been pushed by ann: v1") {
			w.t.Error(w.mail)
		}
		if n := len(k.all()); n != 7 {
			w.t.Errorf("%d posts", n)
		}
	})
}

// TestFailures: a target that fails is tried in order with growing pauses,
// then given up, and after three of them disabled; what was given up can be
// sent again.
func TestFailures(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		k := newSink(w.t)
		k.answer(307) // a redirect is not followed, and no delivery
		n := w.notification(w.repo.ID, EventPush, "webhook", `{"url":"`+k.URL+`"}`, "{}")
		for i := range 4 {
			w.push("v" + strconv.Itoa(i))
		}
		w.follow()
		var now store.Notification
		pauses, began := 0, w.db.Now()
		for pauses < 100 {
			before := w.db.Now()
			err := w.turn(n)
			if now = w.read(n); !now.LastFailed.Equal(before) || !strings.Contains(now.LastError, "307") {
				w.t.Fatalf("%+v, %v", now, err)
			}
			if now.Disabled() {
				break
			}
			if now.Dead != now.Failures || now.Waiting != 4-now.Failures {
				w.t.Fatalf("%+v", now)
			}
			d, err := w.db.NextDelivery(ctx, n.ID)
			w.ok(err)
			full, pause := firstPause<<(d.Attempts-1), d.Next.Sub(w.db.Now())
			if pause < full/2 || pause > full {
				w.t.Fatalf("attempt %d: a pause of %v", d.Attempts, pause)
			}
			w.ms.Add(pause.Milliseconds() - 1)
			posts := len(k.all())
			if err := w.turn(n); err == nil || len(k.all()) != posts {
				w.t.Fatalf("too early: %v", err)
			}
			w.ms.Add(1)
			pauses++
		}
		if posts := len(k.all()); posts != 3*maxAttempts || pauses != 3*(maxAttempts-1) || w.db.Now().Sub(began) < time.Hour {
			w.t.Fatalf("%d posts, %d pauses in %v", posts, pauses, w.db.Now().Sub(began))
		}
		w.push("v5")
		w.follow()
		if now := w.read(n); !now.Disabled() || now.Waiting != 0 || now.Dead != 4 {
			w.t.Fatalf("disabled: %+v", now)
		}
		if _, err := w.db.ResendDeliveries(ctx, n.ID, nil, Line(n.UUID)); !gantry.Is(err, gantry.Conflict) {
			w.t.Error(err)
		}
		w.ok(w.db.ResetNotification(ctx, w.repo.Name, w.org.ID, w.repo.ID, n.UUID, gantry.Actor{}))
		dead, err := w.db.DeadDeliveries(ctx, n.ID, 0, 10)
		if err != nil || len(dead) != 4 || dead[0].ID < dead[1].ID || dead[3].Attempts != maxAttempts || !strings.Contains(dead[0].Error, "disabled") {
			w.t.Fatalf("%+v %v", dead, err)
		}
		k.answer(204)
		if again, err := w.db.ResendDeliveries(ctx, n.ID, []int64{dead[3].ID, dead[3].ID + 1000}, Line(n.UUID)); err != nil || again != 1 {
			w.t.Error(again, err)
		}
		if again, err := w.db.ResendDeliveries(ctx, n.ID, nil, Line(n.UUID)); err != nil || again != 3 {
			w.t.Error(again, err)
		}
		posts := len(k.all())
		w.ok(w.turn(n))
		got := k.all()[posts:]
		for i, r := range got {
			if tags := r.body["updated_tags"].([]any); tags[0] != "v"+strconv.Itoa(i) {
				w.t.Errorf("%d: %v", i, tags)
			}
		}
		if now := w.read(n); len(got) != 4 || now.Waiting+now.Dead+now.Failures != 0 || now.LastOK.IsZero() || now.LastError != "" {
			w.t.Errorf("%d posts, %+v", len(got), now)
		}
	})
}

// TestTest: a test is delivered also by a notification that is disabled, and
// enables nothing; one that fails disables nothing.
func TestTest(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		k := newSink(w.t)
		for event := range repositoryEvents {
			n := w.notification(w.repo.ID, event, "webhook", `{"url":"`+k.URL+`"}`, map[string]string{"vulnerability_found": `{"level":"3"}`, EventExpiry: `{"days":3}`}[event]+map[bool]string{true: "{}"}[event != EventExpiry && event != "vulnerability_found"])
			w.ok(w.s.Test(ctx, &n, w.repo.Name))
		}
		deliver := func() (failed int) {
			list, err := w.db.ClaimJobs(ctx, "x", map[string]int{JobKind: 100}, 100, time.Minute)
			w.ok(err)
			for _, j := range list {
				if err := w.s.Deliver(ctx, &jobs.Run{Job: j}); err != nil {
					failed++
				}
				w.ok(w.db.FinishJob(ctx, j, store.Progress{}))
			}
			return failed
		}
		if deliver() != 0 || len(k.all()) != len(repositoryEvents) {
			w.t.Errorf("%d samples", len(k.all()))
		}
		k.answer(500)
		n := w.notification(w.repo.ID, EventPush, "webhook", `{"url":"`+k.URL+`"}`, "{}")
		for range 4 {
			w.ok(w.s.Test(ctx, &n, w.repo.Name))
			w.ok(w.s.Test(ctx, &n, w.repo.Name)) // one waits already
			if deliver() != 1 {
				w.t.Error("a failed test is a failed job")
			}
			w.ms.Add(10)
		}
		if n = w.read(n); n.Failures != 0 || n.LastFailed.IsZero() || n.LastError == "" || n.Dead != 0 {
			w.t.Errorf("%+v", n)
		}
	})
}

// TestSlowTarget: while one target does not answer at all, another one gets
// everything, other jobs run, and nothing is delivered twice at once.
func TestSlowTarget(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		hang, entered := make(chan struct{}), make(chan struct{}, 100)
		slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			entered <- struct{}{}
			<-hang
		}))
		w.t.Cleanup(slow.Close)
		w.t.Cleanup(func() { close(hang) })
		k := newSink(w.t)
		stuck := w.notification(w.repo.ID, EventPush, "webhook", `{"url":"`+slow.URL+`"}`, "{}")
		w.notification(w.repo.ID, EventPush, "webhook", `{"url":"`+k.URL+`"}`, "{}")
		var others atomic.Int64
		kinds := w.s.Kinds()
		kinds["other"] = jobs.Kind{Handle: func(context.Context, *jobs.Run) error { others.Add(1); return nil }}
		r, err := jobs.New(ctx, jobs.Options{Store: w.db, Kinds: kinds, Poll: 10 * time.Millisecond, Grace: time.Millisecond, Workers: 2 * AtOnce,
			Dispatchers: map[string]jobs.Dispatch{Reader: w.s.Dispatch}})
		w.ok(err)
		w.t.Cleanup(func() { w.ok(r.Stop(context.WithoutCancel(ctx))) })
		w.push("first")
		<-entered
		const pushes = 100
		for i := range pushes {
			w.push("v" + strconv.Itoa(i))
		}
		w.ok(r.Enqueue(ctx, store.NewJob{Kind: "other"}))
		deadline, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for len(k.all()) < pushes+1 || others.Load() == 0 {
			select {
			case <-tick.C:
			case <-deadline.Done():
				w.t.Fatalf("%d of %d arrived", len(k.all()), pushes+1)
			}
		}
		for i, g := range k.all()[1:] {
			if tags := g.body["updated_tags"].([]any); tags[0] != "v"+strconv.Itoa(i) {
				w.t.Fatalf("%d: %v", i, tags)
			}
		}
		if n := w.read(stuck); n.Waiting != pushes+1 || len(entered) != 0 {
			w.t.Errorf("%+v, %d more at once", n, len(entered))
		}
	})
}

// TestExpiry tells once of each tag that expires within the days.
func TestExpiry(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		k := newSink(w.t)
		n := w.notification(w.repo.ID, EventExpiry, "webhook", `{"url":"`+k.URL+`"}`, `{"days":7}`)
		day := int64(24 * time.Hour / time.Millisecond)
		tag := func(name string, days int64) {
			storetest.Exec(w.t, w.db, `INSERT INTO tags (repo_id, name, manifest_id, start_ms, end_ms, live, ended_by, reversion, immutable) VALUES (?, ?, 1, 1, ?, 1, '', 0, 0)`,
				w.repo.ID, name, w.ms.Load()+days*day)
		}
		tag("gone", -1)
		tag("soon", 2)
		tag("late", 30)
		look := func() {
			w.t.Helper()
			w.ok(w.s.expiring(ctx, nil))
			w.ok(w.turn(n))
		}
		look() // the feature is off
		w.set.ExpiryEvery = time.Hour
		look()
		tag("sooner", 1)
		look() // not an hour later
		if got := k.all(); len(got) != 1 || got[0].body["tags"].([]any)[0] != "soon" || len(got[0].body["tags"].([]any)) != 1 || got[0].body["expiring_in"] != "7 days" {
			w.t.Fatalf("%+v", got)
		}
		w.ms.Add(int64(time.Hour / time.Millisecond))
		look()
		w.ms.Add(int64(time.Hour / time.Millisecond))
		look()
		if got := k.all(); len(got) != 2 || got[1].body["tags"].([]any)[0] != "sooner" {
			w.t.Fatalf("%+v", got)
		}
	})
}

// TestQuota tells administrators once of each limit that a namespace passes.
func TestQuota(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		k := newSink(w.t)
		w.set = Settings{Quota: true, QuotaEvents: true, QuotaCooldown: time.Hour}
		warn := w.notification(0, EventQuotaWarning, "webhook", `{"url":"`+k.URL+`/warn"}`, "{}")
		fail := w.notification(0, EventQuotaError, "webhook", `{"url":"`+k.URL+`/fail"}`, "{}")
		w.ok(w.db.CreateQuota(ctx, w.org, 1000, gantry.Actor{}))
		all, err := w.db.Storages(ctx, w.org.ID)
		w.ok(err)
		id := all[w.org.ID].Quota.ID
		for _, l := range []struct {
			kind    string
			percent int
		}{{store.QuotaWarning, 50}, {store.QuotaWarning, 80}, {store.QuotaReject, 100}} {
			w.ok(w.db.CreateQuotaLimit(ctx, w.org, id, l.kind, l.percent, gantry.Actor{}))
		}
		storetest.Exec(w.t, w.db, `INSERT INTO usage_totals (ns_id, repo_id, bytes) VALUES (?, 0, 0)`, int64(w.org.ID))
		store1 := func(bytes int, refused bool) {
			w.t.Helper()
			storetest.Exec(w.t, w.db, `UPDATE usage_totals SET bytes = ? WHERE ns_id = ? AND repo_id = 0`, bytes, int64(w.org.ID))
			w.push("v")
			if refused {
				w.ok(w.s.Refused(ctx, w.org.ID))
			}
			w.follow()
			list, err := w.db.ClaimJobs(ctx, "x", map[string]int{QuotaJob: 9}, 9, time.Minute)
			w.ok(err)
			if len(list) == 0 {
				w.t.Fatal("nothing is compared")
			}
			for _, j := range list {
				w.ok(w.s.quota(ctx, &jobs.Run{Job: j}))
				w.ok(w.db.FinishJob(ctx, j, store.Progress{}))
			}
			w.ok(w.turn(warn))
			w.ok(w.turn(fail))
			w.ms.Add(1000)
		}
		told := func(warnings, failures int) {
			w.t.Helper()
			list, _, err := w.db.Notices(ctx, w.user.ID, 0, 100)
			w.ok(err)
			n := map[string]int{}
			for _, x := range list {
				n[x.Kind]++
			}
			sent := map[string]int{}
			for _, r := range k.all() {
				sent[r.path]++
			}
			if n[EventQuotaWarning] != warnings || n[EventQuotaError] != failures || sent["/warn"] != warnings || sent["/fail"] != failures {
				w.t.Fatalf("inbox %v, sent %v, want %d and %d", n, sent, warnings, failures)
			}
		}
		store1(499, false)
		told(0, 0)
		store1(500, false)
		store1(600, false) // above already
		told(1, 0)
		if b := k.all()[0].body; b["namespace"] != "acme" || b["limit_percent"] != 50.0 || b["quota_bytes"] != 500.0 || b["limit_bytes"] != 1000.0 || b["homepage"] != "https://registry.example.com/organization/acme" {
			w.t.Errorf("%v", b)
		}
		store1(900, true) // a push was refused
		told(2, 1)
		store1(900, true)
		store1(900, false)
		store1(900, true) // the cooldown
		told(2, 1)
		store1(100, false)
		store1(550, false) // the cooldown
		told(2, 1)
		store1(100, false)
		w.ms.Add(time.Hour.Milliseconds())
		store1(550, false)
		told(3, 1)
		store1(100, false)
		store1(900, true)
		told(4, 2) // the limit at 50 percent has its cooldown
		w.set.Quota = false
		if list, err := w.s.Dispatch(ctx, []store.Entry{{Kind: "push_repo", Namespace: w.org.ID}}); err != nil || len(list) != 0 {
			w.t.Errorf("%v %v", list, err)
		}
	})
}

// TestDeleted: with a repository its notifications go, with what waits.
func TestDeleted(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		n := w.notification(w.repo.ID, EventPush, "webhook", `{"url":"http://127.0.0.1:1"}`, "{}")
		w.push("v1")
		w.follow()
		w.ok(w.db.DeleteRepository(ctx, w.repo, gantry.Actor{}))
		w.ok(w.turn(n))
		if _, err := w.db.Notification(ctx, n.UUID); !gantry.Is(err, gantry.NotFound) {
			w.t.Error(err)
		}
		if left := storetest.Get(w.t, w.db, `SELECT COUNT(*) FROM deliveries`); left != 0 {
			w.t.Errorf("%d deliveries are left", left)
		}
		q := w.notification(0, EventQuotaError, "webhook", `{"url":"http://127.0.0.1:1"}`, "{}")
		w.ok(w.db.DeleteNamespace(ctx, w.org.ID, gantry.Actor{}))
		if _, err := w.db.Notification(ctx, q.UUID); !gantry.Is(err, gantry.NotFound) {
			w.t.Error(err)
		}
	})
}

// TestForbidden: a private address is told by no more than that it is one.
func TestForbidden(t *testing.T) {
	w := newWorld(t, storetest.SQLite)
	n := w.notification(w.repo.ID, EventPush, "slack", `{"url":"http://10.1.2.3:99/secret"}`, "{}")
	w.push("v1")
	w.follow()
	_ = w.turn(n)
	if n = w.read(n); !strings.Contains(n.LastError, "SSRF_ALLOWED_HOSTS") || strings.Contains(n.LastError, "10.1") || strings.Contains(n.LastError, "secret") {
		t.Errorf("%q", n.LastError)
	}
}

func TestCheck(t *testing.T) {
	for config, want := range map[string]bool{
		`{"event":"repo_push","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{}}`:                                     true,
		`{"event":"vulnerability_found","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{"level":"5"}}`:                true,
		`{"event":"vulnerability_found","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{"level":"6"}}`:                false,
		`{"event":"vulnerability_found","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{"level":3}}`:                  false,
		`{"event":"build_start","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{"ref-regex":"heads/.*"}}`:             true,
		`{"event":"build_start","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{"ref-regex":"("}}`:                    false,
		`{"event":"repo_image_expiry","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{"days":7}}`:                     true,
		`{"event":"repo_image_expiry","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{}}`:                             false,
		`{"event":"quota_error","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{}}`:                                   false,
		`{"namespace":true,"event":"quota_error","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{}}`:                  true,
		`{"namespace":true,"event":"repo_push","method":"webhook","config":{"url":"https://x.example.com/"},"eventConfig":{}}`:                    false,
		`{"event":"repo_push","method":"webhook","config":{"url":"ftp://x.example.com/"},"eventConfig":{}}`:                                       false,
		`{"event":"repo_push","method":"webhook","config":{"url":"https://x.example.com/","template":"{"},"eventConfig":{}}`:                      false,
		`{"event":"repo_push","method":"webhook","config":{"url":7},"eventConfig":{}}`:                                                            false,
		`{"event":"repo_push","method":"webhook","config":"x","eventConfig":{}}`:                                                                  false,
		`{"event":"repo_push","method":"webhook","config":{"url":"https://x.example.com/"}}`:                                                      false,
		`{"event":"repo_push","method":"pigeon","config":{},"eventConfig":{}}`:                                                                    false,
		`{"event":"repo_push","method":"email","config":{},"eventConfig":{}}`:                                                                     false,
		`{"event":"repo_push","method":"quay_notification","config":{"target":{"kind":"robot","name":"x"}},"eventConfig":{}}`:                     false,
		`{"event":"repo_push","method":"slack","config":{"url":"https://x.example.com/` + strings.Repeat("x", maxConfig) + `"},"eventConfig":{}}`: false,
	} {
		var r Request
		if err := json.Unmarshal([]byte(config), &r); err != nil {
			t.Fatal(err)
		}
		if err := r.Check(); (err == nil) != want || err != nil && !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%.200s: %v", config, err)
		}
	}
}

// FuzzTemplate: no template makes more than it may, or what is no JSON.
func FuzzTemplate(f *testing.F) {
	f.Add(`{"a":"${x.0}","${y}":["${y.z}",1,null]}`)
	f.Add(`"${x}${x}${x}"`)
	f.Fuzz(func(t *testing.T, template string) {
		if len(template) > maxConfig {
			return
		}
		v, err := fill(template, map[string]any{"x": []any{strings.Repeat("v", 1000), "2"}, "y": map[string]any{"z": strings.Repeat("w", 3000)}})
		if err != nil {
			return
		}
		b, err := json.Marshal(v)
		if err != nil || !json.Valid(b) || len(b) > 8*(maxSent+maxConfig) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}
