package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// A tuner hears a stream.
type tuner struct {
	t  *testing.T
	in *bufio.Scanner
}

// tune opens a stream of a session that watches paths.
func (w *world) tune(jar string, paths ...string) *tuner {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", w.url+"/realtime/user/subscribe?"+url.Values{"watch": paths}.Encode(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Cookie", jar)
	r.Header.Set("User-Agent", "Mozilla/5.0") // as a browser's EventSource, which cannot say X-Requested-With
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 {
		w.t.Fatal(res.Status)
	}
	l := &tuner{w.t, bufio.NewScanner(res.Body)}
	if l.in.Scan(); l.in.Text() != "data: {}" {
		w.t.Fatal(l.in.Text())
	}
	return l
}

type told struct {
	Event string
	Data  map[string]any
}

// next is the next event; one without a name is the end.
func (l *tuner) next() (e told) {
	l.t.Helper()
	for l.in.Scan() {
		line, ok := strings.CutPrefix(l.in.Text(), "data: ")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			l.t.Fatal(err)
		}
		return e
	}
	return e
}

// first reads what is said of each path at the beginning.
func (l *tuner) first(n int) map[string]string {
	l.t.Helper()
	out := map[string]string{}
	for range n {
		e := l.next()
		for word := range e.Data {
			out[e.Event] += word
		}
	}
	return out
}

// until reads events until one of a path holds a word.
func (l *tuner) until(event, word string) map[string]any {
	l.t.Helper()
	for {
		e := l.next()
		if e.Event == "" {
			l.t.Fatalf("the stream ended before %s told of %s", event, word)
		}
		if _, ok := e.Data[word]; ok && e.Event == event {
			return e.Data
		}
	}
}

func liveWorld(t *testing.T) (*world, *bus.Local) {
	w := newWorld(t)
	local := bus.New(bus.Options{})
	t.Cleanup(func() {
		if err := local.Close(); err != nil {
			t.Error(err)
		}
	})
	return w.with(Options{RepoMirror: true, XHROnly: true, Web: WebOptions{Bus: local}}), local
}

// TestWatchRights: a stream tells of a path to those alone who may GET it, and
// no longer than that.
func TestWatchRights(t *testing.T) {
	w, local := liveWorld(t)
	_, annToken := w.user("ann", false)
	w.user("bob", false)
	w.user("root", true)
	w.want(201, "POST", "/api/v1/organization/", annToken, `{"name":"acme"}`)
	w.want(201, "POST", "/api/v1/repository", annToken, `{"namespace":"acme","repository":"app","visibility":"private","description":""}`)
	w.want(200, "PUT", "/api/v1/repository/acme/app/permissions/user/bob", annToken, `{"role":"read"}`)
	all := []string{"repository/acme/app", "repository/acme/app/mirror", "repository/acme/app/logs", "organization/acme/mirror", "organization/acme/logs", "user/logs",
		"superuser/jobs", "superuser/logs", "superuser/mirror/health"}
	for name, may := range map[string]string{"ann": "oooooo---", "bob": "o----o---", "root": "ooooooooo"} {
		jar, _ := w.signIn(name)
		got := w.tune(jar, all...).first(len(all))
		for i, path := range all {
			if want := map[byte]string{'o': "on", '-': "refused"}[may[i]]; got[path] != want {
				t.Errorf("%s, %s: %s, want %s", name, path, got[path], want)
			}
		}
	}
	jar, _ := w.signIn("bob")
	for _, query := range []string{"watch=superuser", "watch=nothing", "watch=superuser/jobs/1/cancel", "watch=%00", "watch=" + strings.Repeat("x", 2000), strings.Repeat("watch=user/logs&", maxWatches+1)} {
		w.want(400, "GET", "/realtime/user/subscribe?"+query, "", "", "Cookie", jar)
	}

	// What is told stops with the right to it.
	r, err := w.db.Repository(t.Context(), gantry.RepoName{Namespace: "acme", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	l := w.tune(jar, "repository/acme/app")
	l.first(1)
	tell := func(id string) {
		t.Helper()
		if err := bus.Tell(t.Context(), local, &bus.Beat{ID: id, Done: 5, Total: 10, Rate: 2, Left: 3}, bus.LiveUploads(r.ID)); err != nil {
			t.Fatal(err)
		}
	}
	tell("one")
	got := l.until("repository/acme/app", "id")
	if got["id"] != "one" || got["done"] != 5.0 || got["eta_seconds"] != 3.0 || got["rate"] != 2.0 {
		t.Errorf("%v", got)
	}
	w.want(204, "DELETE", "/api/v1/repository/acme/app/permissions/user/bob", annToken, "")
	<-time.After(streamCheck) // what was checked in the last second is told still
	tell("late")
	if got := l.next(); got.Data["refused"] != true {
		t.Errorf("after the right to it: %v", got)
	}
}

// TestWatchJobs: how far a job is, and that there is another, is told.
func TestWatchJobs(t *testing.T) {
	w, local := liveWorld(t)
	w.user("root", true)
	jar, _ := w.signIn("root")
	const path = "superuser/jobs"
	l := w.tune(jar, path)
	l.first(1)
	local.Wake(jobs.Topic)
	l.until(path, "changed")
	begin, goOn := make(chan struct{}), make(chan struct{})
	r, err := jobs.New(t.Context(), jobs.Options{Store: w.db, Bus: local, Poll: 10 * time.Millisecond, Beat: 5 * time.Millisecond, Kinds: map[string]jobs.Kind{"k": {
		Handle: func(_ context.Context, r *jobs.Run) error {
			<-begin
			r.Report(store.Progress{Done: 30, Total: 120, Unit: "blobs"})
			<-goOn
			return nil
		}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := r.Enqueue(t.Context(), store.NewJob{Kind: "k"}); err != nil {
		t.Fatal(err)
	}
	for { // it runs
		if got := l.until(path, "changed"); got["id"] != nil {
			break
		}
	}
	close(begin)
	got := l.until(path, "done")
	for got["done"] != 30.0 {
		got = l.until(path, "done")
	}
	if got["total"] != 120.0 || got["unit"] != "blobs" || got["attempt"] != 1.0 || got["rate"].(float64) <= 0 || got["eta_seconds"].(float64) <= 0 {
		t.Errorf("%v", got)
	}
	close(goOn)
	for {
		if got := l.until(path, "changed"); got["id"] != nil {
			break
		}
	}
}

// TestWatchLogs: entries come as they are written, each once, to whom the log is
// open.
func TestWatchLogs(t *testing.T) {
	w, local := liveWorld(t)
	_, token := w.user("ann", false)
	w.want(201, "POST", "/api/v1/organization/", token, `{"name":"acme"}`)
	jar, _ := w.signIn("ann")
	const path = "organization/acme/logs"
	l := w.tune(jar, path)
	l.first(1)
	kinds := func() (out []string) {
		for _, x := range l.until(path, "logs")["logs"].([]any) {
			out = append(out, x.(map[string]any)["kind"].(string))
		}
		return out
	}
	if got := kinds(); strings.Join(got, " ") != "org_create" {
		t.Errorf("of the last seconds: %v", got)
	}
	for _, name := range []string{"one", "two"} {
		w.want(201, "POST", "/api/v1/repository", token, `{"namespace":"acme","repository":"`+name+`","visibility":"private","description":""}`)
		local.Wake(jobs.Journal) // as store.Options.Told does
		if got := kinds(); strings.Join(got, " ") != "create_repo" {
			t.Errorf("%s: %v", name, got)
		}
	}
	listed := w.want(200, "GET", "/api/v1/organization/acme/logs", token, "")
	var page struct{ Logs []struct{ ID, Kind string } }
	if err := json.Unmarshal([]byte(listed), &page); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, x := range page.Logs {
		if len(x.ID) != 16 || seen[x.ID] {
			t.Errorf("%+v", page.Logs)
		}
		seen[x.ID] = true
	}
}

// TestSlowClient: a client that does not read is dropped, and holds no more than
// the bounds.
func TestSlowClient(t *testing.T) {
	w, local := liveWorld(t)
	ann, _ := w.user("ann", false)
	jar, _ := w.signIn("ann")
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/realtime/user/subscribe?events=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", jar)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	topic := UserTopic(ann.ID, "x")
	big := []byte(`"` + strings.Repeat("x", bus.MaxPayload-2) + `"`)
	// It takes what the sockets hold, and then what waits for it; then the
	// server ends it.
	deadline := time.Now().Add(time.Minute)
	for local.Heard(topic) {
		if time.Now().After(deadline) {
			t.Fatal("a client that reads nothing is kept")
		}
		if err := local.Publish(t.Context(), topic, big); err != nil {
			t.Fatal(err)
		}
	}
}
