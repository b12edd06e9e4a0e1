package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// notifier is a notify.Service that reaches nobody outside.
func (w *world) notifier() *notify.Service {
	return notify.New(notify.Options{Store: w.db, Keys: w.svc.Keys(), Client: func(bool) *http.Client { return &http.Client{Transport: nowhere{}} },
		Base: func() (string, string) { return "https://registry.example.com", "registry.example.com" }, Settings: func() notify.Settings { return notify.Settings{} }})
}

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("nowhere") }

// TestNotificationRoutes walks through the notifications of a repository, an
// organization and a user, as everybody who may and who may not.
func TestNotificationRoutes(t *testing.T) {
	storetest.Each(t, testNotificationRoutes)
}

func testNotificationRoutes(t *testing.T, db *store.DB) {
	plain := newWorldOn(t, db)
	set := *plain.svc.Settings()
	set.ReadOnlySuperusers = []string{"auditor"}
	plain.svc.Configure(set)
	_, ann := plain.user("ann", false)
	_, eve := plain.user("eve", false)
	_, auditor := plain.user("auditor", false)
	plain.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	plain.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"a/app","visibility":"public","description":""}`)
	const slack = `"method":"slack","config":{"url":"https://hooks.example.com/secret"},"title":"ours"`
	svc := plain.notifier()
	plain.want(404, "GET", "/api/v1/repository/acme/a/app/notification/", ann, "")
	w := plain.with(Options{Tell: TellOptions{Notify: svc}})
	w.want(404, "GET", "/api/v1/organization/acme/notifications", ann, "")
	w.want(404, "POST", "/api/v1/user/namespacenotifications", ann, `{"event":"quota_error",`+slack+`,"eventConfig":{}}`)
	w = plain.with(Options{Tell: TellOptions{Notify: svc, QuotaEvents: true}})
	ctx := t.Context()
	for _, place := range []struct {
		base, event, bad string
		repo             bool
	}{
		{"/api/v1/repository/acme/a/app/notification/", "repo_push", "quota_error", true},
		{"/api/v1/organization/acme/notifications", "quota_error", "repo_push", false},
		{"/api/v1/user/namespacenotifications", "quota_warning", "repo_push", false},
	} {
		base := strings.TrimSuffix(place.base, "/")
		w.want(401, "GET", place.base, "", "")
		body := `{"event":"` + place.event + `",` + slack + `,"eventConfig":{}}`
		if base != "/api/v1/user/namespacenotifications" {
			for _, who := range []string{eve, auditor} {
				w.want(403, "POST", place.base, who, body)
			}
			w.want(403, "GET", place.base, eve, "")
		}
		for _, bad := range []string{`null`, `{}`, `{"event":"` + place.bad + `",` + slack + `,"eventConfig":{}}`, `{"event":"` + place.event + `","method":"slack","config":{},"eventConfig":{}}`,
			`{"event":"` + place.event + `",` + slack + `}`, `{"event":"` + place.event + `","method":"email","config":{"email":"x@example.com"},"eventConfig":{}}`,
			`{"event":"` + place.event + `","method":"quay_notification","config":{"target":{"kind":"user","name":"nobody"}},"eventConfig":{}}`,
			`{"event":"` + place.event + `","method":"quay_notification","config":{"target":{"kind":"team","name":"nobody"}},"eventConfig":{}}`,
			`{"event":"` + place.event + `","method":"quay_notification","config":{"target":{"kind":"org","name":"other"}},"eventConfig":{}}`,
			`{"event":"` + place.event + `","method":"slack","config":{"url":"https://x.example.com"},"eventConfig":{},"title":"` + strings.Repeat("x", 256) + `"}`} {
			w.want(400, "POST", place.base, ann, bad)
		}
		var n struct {
			UUID, Title string
			Config      map[string]string
		}
		b := w.want(201, "POST", place.base, ann, body)
		if err := json.Unmarshal([]byte(b), &n); err != nil || n.UUID == "" || n.Title != "ours" || n.Config["url"] != "https://hooks.example.com/secret" {
			t.Fatal(b, err)
		}
		holds(t, b, `"number_of_failures":0`, `"event_config":{}`, `"last_success":null`)
		if strings.Contains(storedText(t, db, n.UUID), "secret") {
			t.Error("the configuration is not sealed")
		}
		one := base + "/" + n.UUID
		holds(t, w.want(200, "GET", place.base, ann, ""), n.UUID)
		holds(t, w.want(200, "GET", one, ann, ""), n.UUID)
		if place.repo {
			b := w.want(200, "GET", one, auditor, "")
			if holds(t, b, `"config":{}`); strings.Contains(b, "secret") {
				t.Error(b)
			}
			w.want(404, "GET", "/api/v1/organization/acme/notifications/"+n.UUID, ann, "")
		}
		if strings.Contains(base, "namespacenotifications") {
			w.want(404, "GET", one, eve, "") // it is not in eve's namespace
			w.want(404, "DELETE", one, eve, "")
		} else {
			w.want(403, "DELETE", one, eve, "")
			w.want(403, "POST", one+"/test", eve, "{}")
			w.want(403, "GET", one+"/failed", eve, "")
			w.want(403, "POST", one+"/failed", eve, "")
		}
		w.want(404, "GET", base+"/nothing", ann, "")
		if b := w.want(200, "POST", one+"/test", ann, "{}"); b != "{}\n" {
			t.Error(b)
		}
		row, err := db.Notification(ctx, n.UUID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Enqueue(ctx, store.NewJob{Kind: "x", Delivery: &store.NewDelivery{Notification: row.ID, Payload: json.RawMessage(`{"event":"e1"}`)}},
			store.NewJob{Kind: "x", Delivery: &store.NewDelivery{Notification: row.ID, Payload: json.RawMessage(`{"event":"e2"}`)}},
			store.NewJob{Kind: "x", Delivery: &store.NewDelivery{Notification: row.ID, Payload: json.RawMessage(`{"event":"e3"}`)}}); err != nil {
			t.Fatal(err)
		}
		holds(t, w.want(200, "GET", one, ann, ""), `"waiting":3`)
		for range 3 {
			d, err := db.NextDelivery(ctx, row.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.DeliveryFailed(ctx, row.ID, d.ID, "no answer", time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		holds(t, w.want(200, "GET", one, ann, ""), `"waiting":0`, `"failed":3`, `"number_of_failures":3`, `"disabled":true`, `"last_error":"no answer"`)
		var dead struct {
			Failed []struct{ ID int64 }
			Next   string `json:"next_page"`
		}
		b = w.want(200, "GET", one+"/failed?limit=2", ann, "")
		if err := json.Unmarshal([]byte(b), &dead); err != nil || len(dead.Failed) != 2 || dead.Next == "" {
			t.Fatal(b, err)
		}
		holds(t, b, `"event":{"event":"e3"}`, `"error":"no answer"`)
		holds(t, w.want(200, "GET", one+"/failed?limit=2&next_page="+dead.Next, ann, ""), `"event":{"event":"e1"}`)
		holds(t, w.want(400, "POST", one+"/failed", ann, ""), "reset it first")
		w.want(204, "POST", one, ann, "")
		holds(t, w.want(200, "GET", one, ann, ""), `"number_of_failures":0`, `"disabled":false`)
		ids, err := json.Marshal(map[string]any{"ids": []int64{dead.Failed[0].ID}})
		if err != nil {
			t.Fatal(err)
		}
		holds(t, w.want(200, "POST", one+"/failed", ann, string(ids)), `"resent":1`)
		holds(t, w.want(200, "POST", one+"/failed", ann, ""), `"resent":2`)
		w.want(400, "POST", one+"/failed", ann, `{"ids":[1`+strings.Repeat(",1", 1000)+`]}`)
		w.want(204, "DELETE", one, ann, "")
		w.want(404, "DELETE", one, ann, "")
		for _, kind := range map[bool][]string{true: {"add_repo_notification", "reset_repo_notification", "delete_repo_notification"},
			false: {"create_namespace_notification", "reset_namespace_notification", "delete_namespace_notification"}}[place.repo] {
			if w.events(kind) == 0 {
				t.Errorf("%s is not in the journal", kind)
			}
		}
	}
	for range 100 {
		w.want(201, "POST", "/api/v1/repository/acme/a/app/notification", ann, `{"event":"repo_push",`+slack+`,"eventConfig":{}}`)
	}
	holds(t, w.want(400, "POST", "/api/v1/repository/acme/a/app/notification", ann, `{"event":"repo_push",`+slack+`,"eventConfig":{}}`), "delete one first")
}

func storedText(t *testing.T, db *store.DB, uuid string) string {
	t.Helper()
	n, err := db.Notification(context.WithoutCancel(t.Context()), uuid)
	if err != nil {
		t.Fatal(err)
	}
	return n.Config
}

// TestInbox: what a notification of the method quay_notification tells is
// found in the inbox, by nobody else, and can be dismissed.
func TestInbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plain := newWorldOn(t, db)
		a, ann := plain.user("ann", false)
		_, bob := plain.user("bob", false)
		svc := plain.notifier()
		w := plain.with(Options{Tell: TellOptions{Notify: svc}})
		w.want(201, "POST", "/api/v1/repository", ann, `{"repository":"app","visibility":"private","description":""}`)
		b := w.want(201, "POST", "/api/v1/repository/ann/app/notification", ann, `{"event":"repo_push","method":"quay_notification","config":{"target":{"kind":"user","name":"ann"}},"eventConfig":{}}`)
		var n struct{ UUID string }
		if err := json.Unmarshal([]byte(b), &n); err != nil {
			t.Fatal(err)
		}
		w.want(200, "POST", "/api/v1/repository/ann/app/notification/"+n.UUID+"/test", ann, "{}")
		list, err := db.ClaimJobs(t.Context(), "x", map[string]int{notify.JobKind: 9}, 9, time.Minute)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if err := svc.Deliver(t.Context(), &jobs.Run{Job: list[0]}); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if _, err := db.AddNotice(t.Context(), store.NoticeTarget{Kind: "user", Name: "ann"}, "more "+string(rune('a'+i)), store.Notice{Kind: "maintenance", Metadata: json.RawMessage("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		type answer struct {
			Notifications []struct {
				ID, Kind string
				Metadata map[string]any
			}
			Additional bool
		}
		read := func(query, who string) (v answer) {
			t.Helper()
			b := w.want(200, "GET", "/api/v1/user/notifications"+query, who, "")
			if err := json.Unmarshal([]byte(b), &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		if v := read("", ann); len(v.Notifications) != 5 || !v.Additional {
			t.Errorf("%+v", v)
		}
		v := read("?page=1&limit=5", ann)
		if len(v.Notifications) != 2 || v.Additional || v.Notifications[1].Kind != "test_notification" || v.Notifications[1].Metadata["repository"] != "ann/app" {
			t.Fatalf("%+v", v)
		}
		for _, bad := range []string{"?page=-1", "?limit=0", "?limit=1000", "?page=x"} {
			w.want(400, "GET", "/api/v1/user/notifications"+bad, ann, "")
		}
		if v := read("", bob); len(v.Notifications) != 0 {
			t.Errorf("%+v", v)
		}
		one := "/api/v1/user/notifications/" + v.Notifications[1].ID
		w.want(404, "GET", one, bob, "")
		w.want(404, "PUT", one, bob, `{"dismissed":true}`)
		w.want(401, "GET", one, "", "")
		w.want(400, "PUT", one, ann, `{}`)
		holds(t, w.want(200, "PUT", one, ann, `{"dismissed":true}`), `"dismissed":true`)
		if v := read("?limit=100", ann); len(v.Notifications) != 6 {
			t.Errorf("%+v", v)
		}
		holds(t, w.want(200, "GET", one, ann, ""), `"dismissed":true`)
		w.want(200, "PUT", one, ann, `{"dismissed":false}`)
		if v := read("?limit=100", ann); len(v.Notifications) != 7 {
			t.Errorf("%+v", v)
		}
		// An inbox keeps the newest ones.
		storetest.Exec(t, db, `DELETE FROM notices`)
		for i := range 1003 {
			if _, err := db.AddNotice(t.Context(), store.NoticeTarget{Kind: "org", Namespace: a.ID}, time.Unix(int64(i), 0).String(), store.Notice{Kind: "maintenance", Metadata: json.RawMessage("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM notices`); n != 1000 {
			t.Errorf("an inbox of %d", n)
		}
		if _, err := db.AddNotice(t.Context(), store.NoticeTarget{Kind: "user", Name: "nobody"}, "x", store.Notice{}); !gantry.Is(err, gantry.NotFound) {
			t.Error(err)
		}
	})
}
