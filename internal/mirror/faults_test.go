package mirror

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestBadTag: whatever one image upstream is like, the others come, nothing of
// it is shown here, and the outcome says what is wrong.
func TestBadTag(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(w *world, bad remotetest.Descriptor, l []byte)
		says  string
	}{
		"dies in the middle, always": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.DieAfter(1000))
		}, "broke"},
		"stalls": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.StallAfter(1000))
		}, "layer sha256:"},
		"wrong bytes": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.Corrupt)
		}, "other bytes"},
		"too short": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.Shorten)
		}, string(gantry.FromBytes([]byte("x")))[:6]},
		"too long": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.Lengthen)
		}, "layer sha256:"},
		"no end": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.Endless)
		}, "layer sha256:"},
		"a layer is gone": {func(w *world, _ remotetest.Descriptor, l []byte) { w.up.DeleteBlob(src, gantry.FromBytes(l)) }, "layer sha256:"},
		"its manifest is gone": {func(w *world, bad remotetest.Descriptor, _ []byte) {
			w.up.DeleteManifest(src, bad.Digest)
		}, ""},
		"another manifest": {func(w *world, bad remotetest.Descriptor, _ []byte) {
			w.up.Break("GET", "/manifests/"+string(bad.Digest), -1, remotetest.Corrupt)
		}, "digest"},
		"no end of a manifest": {func(w *world, bad remotetest.Descriptor, _ []byte) {
			w.up.Break("GET", "/manifests/"+string(bad.Digest), -1, remotetest.Endless)
		}, "MiB"},
		"schema 1": {func(w *world, _ remotetest.Descriptor, _ []byte) {
			w.up.AddManifest(src, "bad", "application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1,"name":"x","tag":"y"}`))
		}, "schema"},
		"not a manifest": {func(w *world, _ remotetest.Descriptor, _ []byte) {
			w.up.AddManifest(src, "bad", remotetest.TypeManifest, []byte(`{"schemaVersion":2}`))
		}, "config is missing"},
		"leads into our own network": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.Redirect("http://169.254.169.254/latest"))
		}, "SSRF_ALLOWED_HOSTS"},
		"an error of its own": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.Status(500))
		}, "layer sha256:"},
		"not for us": {func(w *world, _ remotetest.Descriptor, l []byte) {
			w.up.Break("GET", string(gantry.FromBytes(l)), -1, remotetest.Status(403))
		}, "layer sha256:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
			for i := range 4 {
				w.up.AddImage(src, fmt.Sprintf("good%d", i), layer(2000))
			}
			spoiled := layer(300_000)
			bad := w.up.AddImage(src, "bad", spoiled)
			w.mirror(Choice{}, Secret{})
			tt.spoil(w, bad, spoiled)
			run := w.sync()
			out := w.outcomes(run)
			if run.State != store.RunFailed || run.Failed != 1 || run.Copied != 4 || w.names() != "good0 good1 good2 good3" {
				t.Fatalf("%s: %s %+v", w.names(), run.Message, run)
			}
			o := out["bad"]
			if o.Outcome != store.TagFailed || !strings.Contains(o.Message, tt.says) || strings.Contains(o.Message, "internal error") || !strings.Contains(run.Message, "bad: "+o.Message) {
				t.Errorf("%q of %q", o.Message, run.Message)
			}
			for _, d := range w.tags() {
				w.whole(d)
			}
			// What is mended comes with the next run, and what was removed meanwhile stays.
			w.up.Mend()
			w.up.AddImage(src, "bad", spoiled)
			w.good()
			if w.names() != "bad good0 good1 good2 good3" {
				t.Error(w.names())
			}
			w.whole(bad.Digest)
		})
	}
}

// TestShortBreaks: what breaks off once goes on from there, and tokens that
// expire in the middle of a run are renewed.
func TestShortBreaks(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{Flavor: remotetest.Quay, Username: "u", Password: "secret-password", Private: true}, content.Settings{})
	var bytes int64
	for i := range 6 {
		l := layer(200_000)
		bytes += int64(len(l))
		w.up.AddImage(src, fmt.Sprintf("v%d", i), l)
	}
	w.mirror(Choice{}, Secret{Username: "u", Password: "secret-password"})
	w.up.Break("GET", "/blobs/", 3, remotetest.DieAfter(50_000))
	var n atomic.Int64
	w.up.Break("GET", "/manifests/", -1, func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if n.Add(1) == 3 {
			w.up.ExpireTokens()
		}
		next.ServeHTTP(rw, r)
	})
	w.good()
	for _, d := range w.tags() {
		w.whole(d)
	}
	if sent := w.up.Sent("/blobs/"); sent > bytes+bytes/2 {
		t.Errorf("%d bytes were sent for %d", sent, bytes)
	}
	// A wrong password is told as such, and stands nowhere.
	id := w.now().UUID
	sealed, err := Seal(w.keys, false, id, Secret{Username: "u", Password: "wrong-password"})
	w.must(err)
	w.must(w.db.ChangeMirror(t.Context(), w.repo, gantry.Actor{}, func(m *store.Mirror) error { m.Secret = sealed; return nil }))
	run := w.sync()
	if run.State != store.RunFailed || run.Reason != "credentials" || strings.Contains(run.Message, "wrong-password") {
		t.Errorf("%+v", run)
	}
	if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM events WHERE payload LIKE '%-password%'`) + storetest.Get(t, w.db, `SELECT COUNT(*) FROM repo_mirrors WHERE secret LIKE '%password%' OR options LIKE '%password%'`); n != 0 {
		t.Error("a password is readable")
	}
	if len(w.tags()) != 6 {
		t.Error("tags were removed in a run that saw nothing")
	}
}

func (w *world) now() store.Mirror {
	w.t.Helper()
	m, err := w.db.Mirror(w.t.Context(), w.repo.ID)
	w.must(err)
	return m
}

// TestAway: a registry that is away, or asks to wait, ends a run soon, and the
// mirror waits as long as it was asked to.
func TestAway(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	image := w.up.AddImage(src, "t000", layer(100))
	for i := range 300 {
		w.up.Tag(src, fmt.Sprintf("t%03d", i), image.Digest)
	}
	w.mirror(Choice{}, Secret{})
	w.must(w.db.ChangeMirror(t.Context(), w.repo, gantry.Actor{}, func(m *store.Mirror) error { m.Enabled, m.Start = true, w.db.Now().Add(-time.Second); return nil }))
	w.up.Break("HEAD", "/manifests/", -1, remotetest.Status(429, "Retry-After", "7200"))
	_, err := w.db.QueueMirrors(t.Context(), 10)
	w.must(err)
	w.runner.Wake()
	run := w.wait()
	if run.State != store.RunFailed || run.Reason != "limited" || run.Done > 100 {
		t.Fatalf("%+v", run)
	}
	if m := w.now(); m.Due.Sub(w.db.Now()) < 100*time.Minute {
		t.Errorf("the next run is due in %s", m.Due.Sub(w.db.Now()))
	}
	w.up.Mend()
	w.up.Break("", "/tags/list", -1, remotetest.Status(503))
	if run = w.sync(); run.State != store.RunFailed || run.Reason != "unavailable" {
		t.Fatalf("%+v", run)
	}
	w.up.Mend()
	if run = w.good(); run.Copied+run.Unchanged != 300 {
		t.Fatalf("%+v", run)
	}
	// Gone altogether: nothing is removed.
	w.must(w.db.ChangeMirror(t.Context(), w.repo, gantry.Actor{}, func(m *store.Mirror) error { m.Upstream = w.up.Host + "/src/none"; return nil }))
	if run = w.sync(); run.State != store.RunFailed || len(w.tags()) != 300 {
		t.Fatalf("%+v", run)
	}
	w.must(w.db.ChangeMirror(t.Context(), w.repo, gantry.Actor{}, func(m *store.Mirror) error { m.Upstream = "127.0.0.1:1/src/app"; return nil }))
	if run = w.sync(); run.Reason != "connect" {
		t.Fatalf("%+v", run)
	}
}

// TestMovesWhileCopied: a tag that moves while it is copied is what it was or
// what it is, never a mixture.
func TestMovesWhileCopied(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	first := w.up.AddImage(src, "v1", layer(1000))
	var second remotetest.Descriptor
	var once atomic.Bool
	w.up.Break("GET", "/manifests/"+string(first.Digest), -1, func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if once.CompareAndSwap(false, true) {
			second = w.up.AddImage(src, "v1", layer(1000))
			w.up.DeleteManifest(src, first.Digest)
		}
		next.ServeHTTP(rw, r)
	})
	w.mirror(Choice{}, Secret{})
	w.good()
	if w.tags()["v1"] != second.Digest {
		t.Fatalf("%v", w.tags())
	}
	w.whole(second.Digest)
}

// TestKilled: a worker that is killed in the middle loses nothing that it
// copied; another one goes on with the same run.
func TestKilled(t *testing.T) {
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			w := newWorld(t, dialect, remotetest.Options{}, content.Settings{})
			for i := range 12 {
				w.up.AddImage(src, fmt.Sprintf("v%02d", i), layer(50_000), layer(50_000))
			}
			start := make(chan struct{})
			var blobs atomic.Int64
			w.up.Break("GET", "/blobs/", -1, func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				if blobs.Add(1) > 20 {
					select {
					case <-start:
					case <-r.Context().Done():
						panic(http.ErrAbortHandler)
					}
				}
				next.ServeHTTP(rw, r)
			})
			w.mirror(Choice{}, Secret{})
			w.must(w.db.SyncMirror(t.Context(), w.repo, gantry.Actor{}))
			w.runner.Wake()
			for deadline := time.Now().Add(time.Minute); blobs.Load() <= 20; {
				if time.Now().After(deadline) {
					t.Fatal("it does not begin")
				}
				time.Sleep(5 * time.Millisecond)
			}
			w.stop(w.runner) // its handlers are interrupted, as by a stop of the process
			before, err := w.db.MirrorRuns(t.Context(), w.repo.ID, 0, 1)
			w.must(err)
			w.up.Mend()
			close(start)
			w.up.Forget()
			w.runner = w.run(w.service())
			run := w.wait()
			if run.UUID != before[0].UUID || run.State != store.RunSuccess || len(w.tags()) != 12 {
				t.Fatalf("%+v", run)
			}
			if n := w.up.Count("GET", "/blobs/"); n > 36-10 {
				t.Errorf("%d blobs were fetched again of 36", n)
			}
			for _, d := range w.tags() {
				w.whole(d)
			}
		})
	}
}

// TestLostWorker: a worker that says nothing any more loses its run, and its
// late writes do not count.
func TestLostWorker(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	w.up.AddImage(src, "v1", layer(100))
	w.mirror(Choice{}, Secret{})
	w.stop(w.runner)
	w.must(w.db.SyncMirror(t.Context(), w.repo, gantry.Actor{}))
	lost, err := w.db.ClaimJobs(t.Context(), "dead", map[string]int{store.JobMirror: 1}, 1, time.Second)
	w.must(err)
	var j store.MirrorJob
	w.must(json.Unmarshal(lost[0].Payload, &j))
	_, row, err := w.db.BeginRun(t.Context(), j, "11111111-1111-1111-1111-111111111111")
	w.must(err)
	checkpoint, err := json.Marshal(place{row.UUID})
	w.must(err)
	w.must(w.db.SaveJob(t.Context(), lost[0], time.Second, store.Progress{}, checkpoint))
	w.runner = w.run(w.svc)
	run := w.wait()
	if run.UUID != row.UUID || run.State != store.RunSuccess || w.names() != "v1" {
		t.Fatalf("%+v", run)
	}
	if err := w.db.EndRun(t.Context(), row, nil, store.RunEnd{State: store.RunFailed}); !gantry.Is(err, gantry.Conflict) {
		t.Errorf("the lost worker's end counts: %v", err)
	}
}

// TestCancelled: a run that is cancelled, or whose repository is deleted, ends.
func TestCancelled(t *testing.T) {
	for _, how := range []string{"cancel", "delete", "state"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
			for i := range 3 {
				w.up.AddImage(src, fmt.Sprintf("v%d", i), layer(10_000))
			}
			w.up.Break("GET", "/blobs/", -1, remotetest.StallAfter(10))
			w.mirror(Choice{}, Secret{})
			w.must(w.db.SyncMirror(t.Context(), w.repo, gantry.Actor{}))
			w.runner.Wake()
			for deadline := time.Now().Add(time.Minute); w.up.Count("GET", "/blobs/") == 0; {
				if time.Now().After(deadline) {
					t.Fatal("it does not begin")
				}
				time.Sleep(5 * time.Millisecond)
			}
			switch how {
			case "cancel":
				w.must(w.db.CancelMirror(t.Context(), w.repo, gantry.Actor{}))
			case "delete":
				w.must(w.db.DeleteRepository(t.Context(), w.repo, gantry.Actor{}))
			case "state":
				w.must(w.db.SetState(t.Context(), w.repo, gantry.ReadOnlyState, gantry.Actor{}))
			}
			for deadline := time.Now().Add(time.Minute); storetest.Get(t, w.db, `SELECT COUNT(*) FROM jobs WHERE kind = ? AND state = 'running'`, store.JobMirror) > 0; {
				if time.Now().After(deadline) {
					t.Fatal("it does not end")
				}
				time.Sleep(5 * time.Millisecond)
			}
			if how == "cancel" && w.now().Status != store.MirrorCancel {
				t.Errorf("%+v", w.now())
			}
		})
	}
}

// TestRefusedHere: the quota, an immutable tag, and a robot without rights.
func TestRefusedHere(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{Quota: store.QuotaRule{On: true, Default: 100_000}})
	small := w.up.AddImage(src, "small", layer(1000))
	w.up.AddImage(src, "large", layer(500_000))
	w.mirror(Choice{}, Secret{})
	run := w.sync()
	if w.names() != "small" || run.Failed != 1 || run.Reason != "quota" || !strings.Contains(w.outcomes(run)["large"].Message, "quota") {
		t.Fatalf("%s %+v %+v", w.names(), run, w.outcomes(run))
	}
	w.up.DeleteTag(src, "large")
	yes := true
	w.must(w.db.ChangeTag(t.Context(), store.TagChange{Repo: w.repo.ID, Name: "small", Immutable: &yes, Actor: w.actor()}))
	w.up.AddImage(src, "small", layer(1000))
	w.up.AddImage(src, "third", layer(1000))
	run = w.sync()
	if run.Failed != 1 || w.tags()["small"] != small.Digest || !strings.Contains(w.outcomes(run)["small"].Message, "immutable") {
		t.Fatalf("%+v", w.outcomes(run))
	}
	w.up.DeleteTag(src, "small")
	if run = w.good(); w.outcomes(run)["small"].Outcome != store.TagKept || w.names() != "small third" {
		t.Fatalf("%s %+v", w.names(), w.outcomes(run))
	}
	w.must(w.db.SetPermission(t.Context(), w.repo, w.robot, gantry.Read, gantry.Actor{}))
	if run = w.sync(); run.Reason != "robot" || !strings.Contains(run.Message, w.robot.Name) {
		t.Errorf("%+v", run)
	}
}

func (w *world) actor() gantry.Actor {
	return gantry.Actor{Account: w.robot.ID, Name: w.robot.Name, Kind: gantry.ActorRobot}
}

// TestRollback: with REPO_MIRROR_ROLLBACK a run that fails for one tag leaves
// everything as it was.
func TestRollback(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	w.set.Rollback, w.set.Retention = true, time.Hour
	w.up.AddImage(src, "moves", layer(100))
	w.up.AddImage(src, "stays", layer(100))
	w.up.AddImage(src, "goes", layer(100))
	w.mirror(Choice{}, Secret{})
	w.good()
	before := w.tags()
	time.Sleep(2 * time.Millisecond) // spans are told apart by it
	w.up.AddImage(src, "moves", layer(100))
	w.up.AddImage(src, "new", layer(100))
	w.up.DeleteTag(src, "goes")
	gone := layer(100)
	w.up.AddImage(src, "bad", gone)
	w.up.DeleteBlob(src, gantry.FromBytes(gone))
	run := w.sync()
	after := w.tags()
	if run.State != store.RunFailed || len(after) != 3 || after["moves"] != before["moves"] || after["stays"] != before["stays"] || after["goes"] != before["goes"] {
		t.Fatalf("%+v %v", run, w.outcomes(run))
	}
	if out := w.outcomes(run); out["moves"].Outcome != store.TagBack || out["new"].Outcome != store.TagBack {
		t.Errorf("%+v", out)
	}
	for _, d := range after {
		w.whole(d)
	}
}

// TestManyTags: 100,000 tags take one listing, and HEADs of those that are
// chosen; what did not move takes nothing else.
func TestManyTags(t *testing.T) {
	many := map[bool]int{true: 5_000, false: 100_000}[testing.Short()]
	w := newWorld(t, storetest.SQLite, remotetest.Options{Page: 1000}, content.Settings{})
	image := w.up.AddImage(src, "", layer(100))
	for i := range many {
		w.up.Tag(src, fmt.Sprintf("t%06d", i), image.Digest)
	}
	w.mirror(Choice{Tags: []string{"newest:700"}}, Secret{})
	w.must(w.db.ChangeMirror(t.Context(), w.repo, gantry.Actor{}, func(m *store.Mirror) error {
		m.Enabled, m.Start, m.Interval = true, w.db.Now().Add(-time.Second), time.Second
		return nil
	}))
	first := w.good()
	if first.Copied != 700 || !strings.HasPrefix(w.names(), fmt.Sprintf("t%06d ", many-700)) {
		t.Fatalf("%+v", first)
	}
	// Its next turn, when nothing is new enough to be looked at for signatures.
	w.up.Forget()
	w.svc.o.Recent = time.Nanosecond
	run := first
	for deadline := time.Now().Add(time.Minute); run.UUID == first.UUID && time.Now().Before(deadline); run = w.wait() {
		_, err := w.db.QueueMirrors(t.Context(), 10)
		w.must(err)
		w.runner.Wake()
		time.Sleep(50 * time.Millisecond)
	}
	if run.UUID == first.UUID || run.Unchanged != 700 || run.Copied != 0 || run.Bytes != 0 {
		t.Fatalf("%+v", run)
	}
	heads, lists, asked := w.up.Count("HEAD", "/manifests/"), w.up.Count("GET", "/tags/list"), len(w.up.Asked())
	if heads != 700 || lists != many/1000 || asked != heads+lists {
		t.Errorf("%d HEADs, %d pages of tags, %d requests in all", heads, lists, asked)
	}
}

// TestEndlessList: a list of tags whose pages go on and on, with nothing in
// them, ends the run.
func TestEndlessList(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	w.up.AddImage(src, "v1", layer(100))
	w.mirror(Choice{}, Secret{})
	w.good()
	var n atomic.Int64
	w.up.Break("GET", "/tags/list", -1, func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Link", fmt.Sprintf(`</v2/x/tags/list?last=%d>; rel="next"`, n.Add(1)))
		_, _ = rw.Write([]byte(`{"tags":["not a tag"]}`)) // its reader may be gone
	})
	if run := w.sync(); run.State != store.RunFailed || run.Reason != "invalid" || !strings.Contains(run.Message, "no end") || w.names() != "v1" {
		t.Errorf("%s: %+v", w.names(), run)
	}
}
