package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type world struct {
	*store.DB
	t      *testing.T
	ahead  atomic.Int64
	ns     gantry.AccountID
	repo   gantry.RepoID
	keys   *auth.Keys
	engine blob.Engine
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) {
			w := &world{t: t, engine: mem.New()}
			w.DB = storetest.Open(t, d, store.Options{Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
			w.ns = storetest.Namespace(t, w.DB)
			w.repo = storetest.RepoIn(t, w.DB, w.ns)
			keys, err := auth.LoadKeys(t.TempDir())
			w.must(err)
			w.keys = keys
			f(t, w)
		})
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// happens writes n changes and n pulls.
func (w *world) happens(n int) {
	w.t.Helper()
	for i := range n {
		w.must(w.LogEvent(w.t.Context(), store.Event{Kind: "push_repo", Namespace: w.ns, Repo: w.repo, Actor: gantry.Actor{Account: 1, Name: "ann", Kind: gantry.ActorUser, IP: "192.0.2.7"},
			Payload: map[string]any{"n": i, "text": "a\n\"b\""}}))
		w.must(w.LogAccess(w.t.Context(), store.Access{Kind: "pull_repo", Namespace: w.ns, Repo: w.repo, Actor: gantry.Actor{Account: 2, Name: "ann+bot", Kind: gantry.ActorRobot}, Ref: fmt.Sprint("v", i)}))
	}
	w.must(w.SettleAccess())
	_, err := w.Sequence(w.t.Context())
	w.must(err)
}

// object reads an object.
func (w *world) object(key string) []byte {
	w.t.Helper()
	o, err := w.engine.Open(w.t.Context(), key)
	w.must(err)
	defer func() { _ = o.Close() }()
	b, err := io.ReadAll(o)
	w.must(err)
	return b
}

// run runs the exports that are due, once each, and returns how they ended.
func (w *world) run(handle jobs.Handler) (errs []error) {
	w.t.Helper()
	done := make(chan error, 1)
	for storetest.Get(w.t, w.DB, `SELECT COUNT(*) FROM jobs WHERE kind = ? AND state = 'ready' AND run_after_ms <= ?`, JobExport, w.Now().UnixMilli()) > 0 {
		r, err := jobs.New(w.t.Context(), jobs.Options{Store: w.DB, Workers: 1, Kinds: map[string]jobs.Kind{JobExport: {Backoff: time.Hour, Handle: func(ctx context.Context, r *jobs.Run) error {
			err := handle(ctx, r)
			done <- err
			return err
		}}}})
		w.must(err)
		errs = append(errs, <-done)
		w.must(r.Stop(w.t.Context()))
	}
	return errs
}

// a hook is a callback's receiver.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []map[string]any
}

func newHook(t *testing.T) *hook {
	h := &hook{status: 200}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		var m map[string]any
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		if h.status < 300 {
			h.got = append(h.got, m)
		}
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	return h
}

func (w *world) exporter(h *hook) *Exporter {
	return &Exporter{Store: w.DB, Keys: w.keys, Location: 7, Engine: w.engine, Client: h.Client()}
}

func (w *world) ask(h *hook, r Request) string {
	w.t.Helper()
	r.Namespace, r.NamespaceName, r.Base = w.ns, "acme", "https://quay.example.com"
	r.From, r.To, r.StartText, r.EndText = w.Now().Add(-time.Hour), w.Now().Add(24*time.Hour), "11/25/2026", "11/26/2026"
	if r.CallbackEmail == "" {
		r.CallbackURL = h.URL + "/hook?secret=s3cret"
	}
	id, err := Ask(w.t.Context(), w.DB, w.keys, r)
	w.must(err)
	return id
}

// document is what an export holds.
type document struct {
	ID        string `json:"export_id"`
	Namespace string
	Logs      []struct {
		Kind       string
		IP         string
		Metadata   map[string]any
		Performer  struct{ Name string }
		Terminator bool
	}
}

// TestMetadata: what an entry tells of itself is an object, whatever is stored.
func TestMetadata(t *testing.T) {
	for payload, want := range map[string]string{"": "{}", "null": "{}", "{": "{}", `{"repo":"app"}`: `{"repo":"app"}`} {
		got, err := json.Marshal(Metadata(&store.AuditRow{Kind: "k", Payload: json.RawMessage(payload)}, store.AuditNames{}))
		if err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", payload, got, err)
		}
	}
}

func TestExport(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.happens(3)
		w.ahead.Add(int64(time.Second))
		h := newHook(t)
		x := w.exporter(h)
		id := w.ask(h, Request{Repo: w.repo, RepoName: "app"})
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM jobs WHERE payload LIKE '%s3cret%'`); n != 0 {
			t.Error("the secret of a callback stands in the database")
		}
		if errs := w.run(x.Handle); len(errs) != 1 || errs[0] != nil {
			t.Fatal(errs)
		}
		if len(h.got) != 1 {
			t.Fatalf("%d callbacks", len(h.got))
		}
		link, _ := h.got[0]["exported_data_url"].(string)
		token, ok := strings.CutPrefix(link, "https://quay.example.com/exportedlogs/")
		if !ok || len(token) < 26 || strings.Contains(link, id) {
			t.Errorf("the link %s", link)
		}
		delete(h.got[0], "exported_data_url")
		if got, want := fmt.Sprint(h.got[0]), fmt.Sprintf("map[end_time:11/26/2026 export_id:%s namespace:acme repository:app start_time:11/25/2026 status:success]", id); got != want {
			t.Errorf("callback\n%s, want\n%s", got, want)
		}
		engines := map[int64]blob.Engine{7: w.engine}
		fetch := func(token string) (*httptest.ResponseRecorder, error) {
			rec := httptest.NewRecorder()
			return rec, Serve(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/exportedlogs/x", nil), w.DB, engines, token)
		}
		rec, err := fetch(token)
		w.must(err)
		var doc document
		if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
			t.Fatalf("%v in %s", err, rec.Body)
		}
		if doc.ID != id || doc.Namespace != "acme" || len(doc.Logs) != 7 || !doc.Logs[6].Terminator || doc.Logs[0].Kind == "" {
			t.Errorf("%+v", doc)
		}
		pushes := 0
		for _, l := range doc.Logs[:6] {
			if l.Kind == "push_repo" && l.IP == "192.0.2.7" && l.Performer.Name == "ann" && l.Metadata["text"] == "a\n\"b\"" {
				pushes++
			}
		}
		if pushes != 3 {
			t.Errorf("%d pushes in %+v", pushes, doc.Logs)
		}
		for _, wrong := range []string{"", id, token + "x", strings.ToLower(token)} {
			if _, err := fetch(wrong); !gantry.Is(err, gantry.NotFound) {
				t.Errorf("%q opens it: %v", wrong, err)
			}
		}
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM events WHERE kind = 'export_logs_success' AND repo_id = ?`, int64(w.repo)); n != 1 {
			t.Errorf("%d rows of export_logs_success", n)
		}
		w.must(Sweep(t.Context(), w.DB, engines))
		if _, err := fetch(token); err != nil {
			t.Errorf("swept too early: %v", err)
		}
		w.ahead.Add(int64(time.Hour))
		if _, err := fetch(token); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("after its time: %v", err)
		}
		w.must(Sweep(t.Context(), w.DB, engines))
		for info, err := range w.engine.List(t.Context(), "exportedactionlogs/", "") {
			t.Errorf("%s is left, %v", info.Key, err)
		}
	})
}

// TestExportResumed kills an export between pages, and while it calls back.
func TestExportResumed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = exportPage * (syncPages + 2)
		now := w.Now().UnixMilli()
		for i := 0; i < n; i += 500 {
			q := `INSERT INTO events (seq, at_ms, kind, ns_id, repo_id, actor_id, actor, actor_kind, ip, request, payload) VALUES `
			for j := range 500 {
				if j > 0 {
					q += ", "
				}
				q += fmt.Sprintf(`(%d, %d, 'k%d', %d, 0, 0, '', '', '', '', '{}')`, i+j+1, now-int64((i+j)/7), i+j, w.ns)
			}
			storetest.Exec(t, w.DB, q)
		}
		w.ahead.Add(int64(time.Second))
		h := newHook(t)
		x := w.exporter(h)
		w.ask(h, Request{})
		saved := false
		x.Engine = cutting{w.engine, &saved}
		errs := w.run(x.Handle)
		if len(errs) != 1 || errs[0] == nil || !saved {
			t.Fatal(errs, saved)
		}
		x.Engine = w.engine
		h.status = 500
		w.ahead.Add(int64(time.Hour))
		if errs := w.run(x.Handle); len(errs) != 1 || errs[0] == nil {
			t.Fatal(errs)
		}
		h.status = 200
		x.Engine = nil // the file is whole
		storetest.Exec(t, w.DB, `UPDATE jobs SET run_after_ms = 0 WHERE state = 'ready'`)
		if errs := w.run(x.Handle); len(errs) != 1 || errs[0] != nil || len(h.got) != 1 {
			t.Fatal(errs, h.got)
		}
		var doc document
		var keys []string
		for info, err := range w.engine.List(t.Context(), "exportedactionlogs/", "") {
			w.must(err)
			keys = append(keys, info.Key)
		}
		if len(keys) != 1 {
			t.Fatal(keys)
		}
		w.must(json.Unmarshal(w.object(keys[0]), &doc))
		seen := map[string]bool{}
		for _, l := range doc.Logs {
			if l.Terminator {
				continue
			}
			if seen[l.Kind] {
				t.Fatalf("%s is there twice", l.Kind)
			}
			seen[l.Kind] = true
		}
		if len(seen) != n {
			t.Errorf("%d entries, want %d", len(seen), n)
		}
	})
}

// cutting fails after the first Sync, as a process that is killed.
type cutting struct {
	blob.Engine
	cut *bool
}

func (c cutting) Upload(ctx context.Context, key string, offset int64, state []byte) (blob.Upload, error) {
	u, err := c.Engine.Upload(ctx, key, offset, state)
	return &cutUpload{u, c.cut}, err
}

type cutUpload struct {
	blob.Upload
	cut *bool
}

func (u *cutUpload) Sync(ctx context.Context) ([]byte, error) {
	*u.cut = true
	return u.Upload.Sync(ctx)
}

func (u *cutUpload) Write(p []byte) (int, error) {
	if *u.cut {
		return 0, errors.New("killed")
	}
	return u.Upload.Write(p)
}

// TestExportFails tells when there is no export, by mail or by the callback.
func TestExportFails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := newHook(t)
		x := w.exporter(h)
		w.ask(h, Request{})
		w.ahead.Add(int64(3 * time.Hour))
		if errs := w.run(x.Handle); len(errs) != 1 || errs[0] == nil {
			t.Fatal(errs)
		}
		if len(h.got) != 1 || h.got[0]["status"] != "timedout" || h.got[0]["exported_data_url"] != nil {
			t.Errorf("%v", h.got)
		}
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM events WHERE kind = 'export_logs_failure'`); n != 1 {
			t.Errorf("%d rows of export_logs_failure", n)
		}
		var mails []string
		x.Mail = func(_ context.Context, to, _, text string) error {
			mails = append(mails, to+" "+text)
			return nil
		}
		w.ask(h, Request{CallbackEmail: "ann@example.com"})
		if errs := w.run(x.Handle); len(errs) != 1 || errs[0] != nil {
			t.Fatal(errs)
		}
		if len(mails) != 1 || !strings.Contains(mails[0], "ann@example.com The export") || !strings.Contains(mails[0], "https://quay.example.com/exportedlogs/") {
			t.Errorf("%q", mails)
		}
		for range MaxExports {
			w.ask(h, Request{})
		}
		if _, err := Ask(t.Context(), w.DB, w.keys, Request{}); !gantry.Is(err, gantry.Limited) {
			t.Errorf("one too many: %v", err)
		}
	})
}

// archived are the ids of all entries that files hold, and how many times.
func (w *world) archived() map[string]int {
	w.t.Helper()
	ids := map[string]int{}
	for info, err := range w.engine.List(w.t.Context(), "actionlogarchive/", "") {
		w.must(err)
		z, err := gzip.NewReader(bytes.NewReader(w.object(info.Key)))
		w.must(err)
		d := json.NewDecoder(z)
		for {
			var l Line
			if err := d.Decode(&l); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				w.t.Fatal(err)
			}
			ids[l.ID]++
		}
	}
	return ids
}

// TestArchive kills the archiver after each step: no entry is lost, and none
// is in two files.
func TestArchive(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.happens(10)
		w.ahead.Add(int64(40 * 24 * time.Hour))
		w.happens(2) // which are new
		total := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM events`) + storetest.Get(t, w.DB, `SELECT COUNT(*) FROM access_log`)
		a := &Archiver{Store: w.DB, Engine: w.engine, Path: "actionlogarchive/", Age: 30 * 24 * time.Hour, Batch: 4}
		check := func(what string) {
			t.Helper()
			files := w.archived()
			for id, n := range files {
				if n != 1 {
					t.Errorf("%s: %s is in %d files", what, id, n)
				}
			}
			left := map[string]bool{}
			for table, letter := range map[string]string{"events": "e", "access_log": "p"} {
				for id := range int64(60) {
					if storetest.Get(t, w.DB, `SELECT COUNT(*) FROM `+table+` WHERE id = ?`, id) > 0 {
						left[letter+itoa(id)] = true
					}
				}
			}
			all := len(left)
			for id := range files {
				if !left[id] {
					all++
				}
			}
			if int64(all) != total {
				t.Fatalf("%s: %d entries are there, want %d", what, all, total)
			}
		}
		for step := range 30 {
			// Killed before the file is written, after it, or not at all.
			failing := &Archiver{Store: w.DB, Path: a.Path, Age: a.Age, Batch: 3 + step%3}
			switch step % 3 {
			case 0:
				failing.Engine = failEngine{w.engine, true}
			case 1:
				failing.Engine = failEngine{w.engine, false}
			default:
				failing.Engine = w.engine
			}
			if step%3 != 2 {
				if _, err := failing.Run(t.Context()); err == nil && step < 2 {
					t.Error("it did not fail")
				}
			} else if b, err := w.BeginArchive(t.Context(), w.Now().Add(-a.Age), 3, a.name); err != nil {
				t.Fatal(err)
			} else if b != nil {
				_, err := failing.move(t.Context(), b)
				w.must(err)
			}
			check(fmt.Sprint("step ", step))
		}
		if _, err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("at the end")
		if n := len(w.archived()); n != 20 && n != 21 {
			t.Errorf("%d entries are archived, want the 20 old ones", n)
		}
		if n, err := Trim(t.Context(), w.DB, 30*24*time.Hour); err != nil || n != 0 {
			t.Errorf("%d are left to trim, %v", n, err)
		}
		w.ahead.Add(int64(40 * 24 * time.Hour))
		if n, err := Trim(t.Context(), w.DB, 30*24*time.Hour); err != nil || n != 3 { // the newest change always stays
			t.Errorf("%d were trimmed, %v", n, err)
		}
	})
}

// failEngine fails to write objects, or writes them and fails then.
type failEngine struct {
	blob.Engine
	before bool
}

func (f failEngine) Upload(ctx context.Context, key string, offset int64, state []byte) (blob.Upload, error) {
	if f.before {
		return nil, errors.New("killed")
	}
	u, err := f.Engine.Upload(ctx, key, offset, state)
	return failUpload{u}, err
}

type failUpload struct{ blob.Upload }

func (u failUpload) Complete(ctx context.Context) error {
	return errors.Join(u.Upload.Complete(ctx), errors.New("killed"))
}

func TestStream(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		file := filepath.Join(t.TempDir(), "audit", "log.json")
		s := &Stream{Store: w.DB, To: file}
		once := func() {
			t.Helper()
			_, err := s.Once(ctx)
			w.must(err)
		}
		read := func(name string) (ids []string) {
			t.Helper()
			b, err := os.ReadFile(name)
			w.must(err)
			for line := range strings.Lines(string(b)) {
				var l Line
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatalf("%v in %q", err, line)
				}
				if l.Kind == "push_repo" && (l.Seq == 0 || l.Performer != "ann" || l.IP != "192.0.2.7") {
					t.Errorf("%s", line)
				}
				if l.Kind == "push_repo" || l.Kind == "pull_repo" {
					ids = append(ids, l.ID)
				}
			}
			return ids
		}
		w.happens(3)
		w.ahead.Add(int64(2 * pullsSettle))
		once()
		once()
		if ids := read(file); len(ids) != 6 {
			t.Errorf("%v", ids)
		}
		// Rotated: what comes next is in a new file.
		w.must(os.Rename(file, file+".1"))
		w.happens(2)
		w.ahead.Add(int64(2 * pullsSettle))
		once()
		first, second := read(file+".1"), read(file)
		if len(first) != 6 || len(second) != 4 {
			t.Errorf("%v, then %v", first, second)
		}
		// Another process goes on where this one was.
		w.happens(1)
		w.ahead.Add(int64(2 * pullsSettle))
		w.must(s.closeFile())
		s = &Stream{Store: w.DB, To: file}
		once()
		third := read(file)
		all := append(slices.Clone(first), third...)
		slices.Sort(all)
		if len(slices.Compact(all)) != 12 {
			t.Errorf("%v and %v", first, third)
		}
		// One that was killed in the middle of a line: the entry comes again.
		b, err := os.ReadFile(file)
		w.must(err)
		w.must(os.WriteFile(file, b[:len(b)-5], 0o600))
		w.happens(1)
		w.ahead.Add(int64(2 * pullsSettle))
		w.must(s.closeFile())
		once()
		after, err := os.ReadFile(file)
		w.must(err)
		if lines := strings.Split(strings.TrimSpace(string(after)), "\n"); len(lines) != strings.Count(string(b), "\n")+2 {
			t.Errorf("%d lines", len(lines))
		}
		// Its entries are not deleted before it has them; and are when it is off.
		w.happens(1)
		w.ahead.Add(int64(time.Hour))
		kept := storetest.Get(t, w.DB, `SELECT MIN(seq) FROM events`)
		_, err = Trim(ctx, w.DB, time.Minute)
		w.must(err)
		if n := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM events`); n != 1 {
			t.Errorf("%d changes are kept from %d on, want the one that was not written", n, kept)
		}
		var out bytes.Buffer
		w.happens(1)
		w.must((&Stream{Store: w.DB, To: Stdout, Out: &out}).closeFile())
		_, err = (&Stream{Store: w.DB, To: Stdout, Out: &out}).Once(ctx)
		w.must(err)
		if n := strings.Count(out.String(), "\n"); n < 2 {
			t.Errorf("%d lines on stdout", n)
		}
		w.must(StopStream(ctx, w.DB))
		w.must(StopStream(ctx, w.DB))
		if known, err := w.HasReader(ctx, streamReader); err != nil || known {
			t.Errorf("%v, %v", known, err)
		}
		if _, err := (&Stream{Store: w.DB, To: t.TempDir()}).Once(ctx); err == nil {
			t.Error("a folder is taken for a file")
		}
	})
}
