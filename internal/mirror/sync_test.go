package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// A world is a registry with one mirror, of repository src/app of an upstream.
type world struct {
	t       testing.TB
	db      *store.DB
	content *content.Store
	keys    *auth.Keys
	svc     *Service
	runner  *jobs.Runner
	set     Settings
	org     store.Account
	robot   store.Account
	repo    store.Repository
	up      *remotetest.Upstream
}

func newWorld(t testing.TB, dialect string, uo remotetest.Options, set content.Settings) *world {
	t.Helper()
	w := &world{t: t, up: remotetest.New(t, uo), set: Settings{On: true, OrgsOn: true, Page: 2, Nested: true}}
	w.db = storetest.Open(t, dialect, store.Options{})
	var err error
	w.keys, err = auth.NewKeys(auth.KeyOptions{SecretKey: "secret", DatabaseSecretKey: "database"})
	w.must(err)
	id, err := w.db.EnsureLocation(t.Context(), "default")
	w.must(err)
	w.content, err = content.New(content.Options{Store: w.db, Locations: []content.Location{{ID: id, Name: "default", Engine: mem.New()}}, Settings: set})
	w.must(err)
	t.Cleanup(func() { w.must(w.content.Close()) })
	w.org, err = w.db.AccountByID(t.Context(), storetest.Account(t, w.db, gantry.Organization))
	w.must(err)
	w.robot, err = w.db.CreateRobot(t.Context(), w.org.ID, store.NewAccount{Name: w.org.Name + "+mirror", UUID: uuid.NewString(), Secret: "x"}, gantry.Actor{})
	w.must(err)
	w.repo, err = w.db.RepositoryByID(t.Context(), storetest.RepoIn(t, w.db, w.org.ID))
	w.must(err)
	w.svc = w.service()
	w.runner = w.run(w.svc)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) service() *Service {
	return New(Options{Store: w.db, Content: w.content, Keys: w.keys, Settings: func() Settings { return w.set }, Save: 20 * time.Millisecond, Retry: time.Hour,
		Remote: func(o remote.Options) remote.Options {
			o.Client, o.Roots, o.Backoff = remotetest.Client, w.up.Roots, time.Millisecond
			o.Stall, o.Patience = time.Second, 2*time.Second
			return o
		}})
}

// run has jobs run, until the test ends.
func (w *world) run(s *Service) *jobs.Runner {
	r, err := jobs.New(w.t.Context(), jobs.Options{Store: w.db, Kinds: s.Kinds(), Poll: 30 * time.Millisecond, Lease: 3 * time.Second, Grace: time.Millisecond})
	w.must(err)
	w.t.Cleanup(func() { w.stop(r) })
	return r
}

func (w *world) stop(r *jobs.Runner) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		w.t.Error(err)
	}
}

// mirror makes the repository a mirror of src/app.
func (w *world) mirror(c Choice, s Secret) {
	w.t.Helper()
	if c.Tags == nil {
		c.Tags = []string{"*"}
	}
	id := uuid.NewString()
	sealed, err := Seal(w.keys, false, id, s)
	w.must(err)
	c.Insecure = c.Insecure || w.up.Roots == nil
	options, err := json.Marshal(c)
	w.must(err)
	w.must(w.db.CreateMirror(w.t.Context(), w.repo, store.Mirror{UUID: id, Robot: w.robot.ID, Upstream: w.up.Host + "/src/app", Secret: sealed, Options: options,
		Interval: time.Hour, Start: w.db.Now()}, gantry.Actor{}))
}

// choose changes what is mirrored.
func (w *world) choose(f func(*Choice)) {
	w.t.Helper()
	w.must(w.db.ChangeMirror(w.t.Context(), w.repo, gantry.Actor{}, func(m *store.Mirror) error {
		c, err := ReadChoice(m.Options)
		if err != nil {
			return err
		}
		f(&c)
		m.Options, err = json.Marshal(c)
		return err
	}))
}

// sync runs the mirror once and returns the run, ended.
func (w *world) sync() store.MirrorRun {
	w.t.Helper()
	w.must(w.db.SyncMirror(w.t.Context(), w.repo, gantry.Actor{}))
	w.runner.Wake()
	return w.wait()
}

// wait waits for the end of the run.
func (w *world) wait() store.MirrorRun {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		m, err := w.db.Mirror(w.t.Context(), w.repo.ID)
		w.must(err)
		if m.Status != store.MirrorSyncNow && m.Status != store.MirrorSyncing {
			runs, err := w.db.MirrorRuns(w.t.Context(), w.repo.ID, 0, 1)
			w.must(err)
			if len(runs) > 0 && runs[0].State != store.RunRunning { // it may have begun since
				return runs[0]
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the run does not end: %+v", m)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// good is sync that must go well.
func (w *world) good() store.MirrorRun {
	w.t.Helper()
	run := w.sync()
	if run.State != store.RunSuccess {
		w.t.Fatalf("%s: %s %+v", run.State, run.Message, w.outcomes(run))
	}
	return run
}

func (w *world) outcomes(run store.MirrorRun) map[string]store.MirrorOutcome {
	w.t.Helper()
	list, err := w.db.MirrorOutcomes(w.t.Context(), run.ID, "", "", 100_000)
	w.must(err)
	out := map[string]store.MirrorOutcome{}
	for _, o := range list {
		out[o.Tag] = o
	}
	return out
}

// tags are the live tags here, each with its digest.
func (w *world) tags() map[string]gantry.Digest {
	w.t.Helper()
	out := map[string]gantry.Digest{}
	for after := ""; ; {
		page, err := w.db.MirrorTags(w.t.Context(), w.repo.ID, after, 1000)
		w.must(err)
		for _, p := range page {
			out[p.Name], after = p.Digest, p.Name
		}
		if len(page) < 1000 {
			return out
		}
	}
}

func (w *world) names() string {
	var all []string
	for n := range w.tags() {
		all = append(all, n)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// whole checks that a manifest is here with all its bytes.
func (w *world) whole(d gantry.Digest) {
	w.t.Helper()
	m, err := w.content.Manifest(w.t.Context(), w.repo.ID, gantry.Reference{Digest: d})
	if err != nil {
		w.t.Fatalf("manifest %s: %v", d, err)
	}
	o, err := content.Outlined(m.MediaType, m.Body)
	w.must(err)
	for _, p := range o.Blobs {
		b, err := w.content.Blob(w.t.Context(), w.repo.ID, p.Digest)
		w.must(err)
		f, err := w.content.Open(w.t.Context(), b)
		w.must(err)
		h := gantry.NewHash(gantry.SHA256)
		var buf bytes.Buffer
		_, err = buf.ReadFrom(f)
		w.must(err)
		w.must(f.Close())
		h.Write(buf.Bytes())
		if got := gantry.DigestOf(gantry.SHA256, h); got != p.Digest {
			w.t.Fatalf("%s is %s", p.Digest, got)
		}
	}
}

// layer is n bytes that no other layer has.
func layer(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte([]byte(uuid.NewString())[:32]))
	_, _ = r.Read(b)
	return b
}

const src = "src/app"

func TestSync(t *testing.T) {
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			w := newWorld(t, dialect, remotetest.Options{}, content.Settings{})
			base := layer(100_000)
			for i := range 5 {
				w.up.AddImage(src, fmt.Sprintf("v%d", i), base, layer(1000))
			}
			one, two := w.up.AddPlatform(src, "", "amd64", base), w.up.AddPlatform(src, "", "arm64", layer(5000))
			index := w.up.AddIndex(src, "multi", one, two)
			w.up.AddImage(src, "other", layer(10))
			w.mirror(Choice{Tags: []string{"v*,multi"}}, Secret{})
			run := w.good()
			if run.Copied != 6 || run.Total != 6 || run.Fetched != 5+1+5+1+2 || run.Bytes == 0 {
				t.Fatalf("%+v", run)
			}
			if w.up.Count("GET", string(gantry.FromBytes(base))) != 1 {
				t.Errorf("a layer of all images came %d times", w.up.Count("GET", string(gantry.FromBytes(base))))
			}
			if got := w.names(); got != "multi v0 v1 v2 v3 v4" {
				t.Fatal(got)
			}
			for _, d := range w.tags() {
				w.whole(d)
			}
			w.whole(one.Digest)
			w.whole(two.Digest)
			if w.tags()["multi"] != index.Digest {
				t.Error("the index has another digest")
			}
			w.must(w.db.ChangeMirror(t.Context(), w.repo, gantry.Actor{}, func(m *store.Mirror) error { m.Enabled = true; return nil }))
			// Nothing changed: a HEAD each, and no manifest is fetched.
			w.up.Forget()
			run = w.good()
			if run.Unchanged != 6 || run.Copied != 0 || run.Bytes != 0 || w.up.Count("GET", "/manifests/") != 0 || w.up.Count("HEAD", "/manifests/") != 6 {
				t.Fatalf("%+v, %d, %d", run, w.up.Count("GET", "/manifests/"), w.up.Count("HEAD", "/manifests/"))
			}
			// One moves, one is new, one is gone, one is no longer chosen.
			moved := w.up.AddImage(src, "v0", base, layer(77))
			w.up.AddImage(src, "v9", base)
			w.up.DeleteTag(src, "v1")
			w.choose(func(c *Choice) { c.Tags = []string{"v*"} })
			w.up.Forget()
			run = w.good()
			if run.Copied != 2 || run.Removed != 2 || run.Unchanged != 3 || w.names() != "v0 v2 v3 v4 v9" || w.tags()["v0"] != moved.Digest {
				t.Fatalf("%+v %s", run, w.names())
			}
			if w.up.Count("GET", string(gantry.FromBytes(base))) != 0 {
				t.Error("a layer that is here was fetched")
			}
			out := w.outcomes(run)
			if out["v1"].Message != "gone upstream" || out["multi"].Message != "not chosen by root_rule" || !strings.HasPrefix(out["v0"].Message, "was sha256:") || out["v9"].Digest == "" {
				t.Errorf("%+v", out)
			}
			// Nothing is chosen: nothing is removed.
			w.choose(func(c *Choice) { c.Tags = []string{"x*"} })
			if run = w.good(); run.Removed != 0 || w.names() != "v0 v2 v3 v4 v9" || !strings.Contains(run.Message, "none of the") {
				t.Fatalf("%+v", run)
			}
			m, err := w.db.Mirror(t.Context(), w.repo.ID)
			w.must(err)
			if m.Status != store.MirrorSuccess || !m.Due.After(w.db.Now()) {
				t.Errorf("%+v", m)
			}
		})
	}
}

// TestAttached: what signs and describes an image comes with it, by tags and by
// references, also when it is made later.
func TestAttached(t *testing.T) {
	for _, noList := range []bool{false, true} {
		t.Run(fmt.Sprint(noList), func(t *testing.T) {
			w := newWorld(t, storetest.SQLite, remotetest.Options{NoReferrers: noList}, content.Settings{})
			image := w.up.AddImage(src, "v1", layer(100))
			tag := strings.Replace(string(image.Digest), ":", "-", 1)
			sig := w.up.AddImage(src, tag+".sig", layer(20))
			w.up.AddImage(src, strings.Replace(string(sig.Digest), ":", "-", 1)+".att", layer(20)) // of the signature
			w.up.AddImage(src, "sha256-"+strings.Repeat("0", 64)+".sig", layer(20))                // of nothing that is here
			w.mirror(Choice{Tags: []string{"v*"}}, Secret{})
			run := w.good()
			if run.Copied != 3 {
				t.Fatalf("%+v", run)
			}
			sbom := w.up.AddReferrer(src, image, "application/spdx+json", layer(30))
			deeper := w.up.AddReferrer(src, sbom, "application/vnd.dev.cosign.artifact.sig.v1+json", layer(30))
			w.good()
			list, _, err := w.content.Referrers(t.Context(), content.ReferrersQuery{Repo: w.repo.ID, Subject: image.Digest})
			w.must(err)
			if noList {
				if len(list) != 0 {
					t.Errorf("%+v", list)
				}
				return
			}
			if len(list) != 1 || list[0].Digest != sbom.Digest {
				t.Fatalf("%+v", list)
			}
			w.whole(sbom.Digest)
			w.whole(deeper.Digest)
			// A signature that is withdrawn goes; another filter takes none of them.
			w.up.DeleteTag(src, tag+".sig")
			if run = w.good(); run.Removed != 1 {
				t.Fatalf("%+v %s", run, w.names())
			}
			w.choose(func(c *Choice) { c.NoReferrers = true })
			w.good()
			if w.names() != "v1" {
				t.Error(w.names())
			}
		})
	}
}

func TestArchitectures(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	amd, arm, ppc := w.up.AddPlatform(src, "", "amd64", layer(100)), w.up.AddPlatform(src, "", "arm64", layer(100)), w.up.AddPlatform(src, "", "ppc64le", layer(100))
	index := w.up.AddIndex(src, "multi", amd, arm, ppc)
	w.up.AddIndex(src, "power", ppc)
	w.up.AddPlatform(src, "single", "arm64", layer(50))
	w.up.AddPlatform(src, "big", "s390x", layer(50))
	w.mirror(Choice{Architectures: []string{"amd64", "linux/arm64"}}, Secret{})
	run := w.good()
	out := w.outcomes(run)
	if w.names() != "multi single" || run.Skipped != 2 || !strings.Contains(out["big"].Message, "s390x") || !strings.Contains(out["power"].Message, "none of its images") {
		t.Fatalf("%s %+v", w.names(), out)
	}
	if w.tags()["multi"] != index.Digest {
		t.Error("the index has another digest")
	}
	w.whole(amd.Digest)
	w.whole(arm.Digest)
	if _, err := w.content.Manifest(t.Context(), w.repo.ID, gantry.Reference{Digest: ppc.Digest}); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("an architecture that is not wanted came: %v", err)
	}
	// A filter that takes more fetches what is missing, and the index keeps it.
	w.choose(func(c *Choice) { c.Architectures = []string{"amd64", "arm64", "ppc64le"} })
	if run = w.good(); run.Skipped != 1 {
		t.Fatalf("%+v", w.outcomes(run))
	}
	w.whole(ppc.Digest)
	if children, err := w.db.ManifestChildren(t.Context(), w.repo.ID, index.Digest); err != nil || len(children) != 3 {
		t.Errorf("%v %v", children, err)
	}
}

func TestOnlySigned(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	tagged := w.up.AddImage(src, "tagged", layer(10))
	w.up.AddImage(src, tagged.Digest.SignatureTag(), layer(10))
	referred := w.up.AddImage(src, "referred", layer(10))
	w.up.AddReferrer(src, referred, "application/vnd.cncf.notary.signature", layer(10))
	described := w.up.AddImage(src, "described", layer(10))
	w.up.AddReferrer(src, described, "application/spdx+json", layer(10))
	w.up.AddImage(src, "bare", layer(10))
	w.mirror(Choice{Tags: []string{"*,!sha256-*"}, OnlySigned: true}, Secret{})
	run := w.good()
	if got := w.names(); got != "referred "+tagged.Digest.SignatureTag()+" tagged" || run.Skipped != 2 {
		t.Fatalf("%s %+v", got, w.outcomes(run))
	}
}

// TestPlan: a dry run says what would change, and changes nothing.
func TestPlan(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	w.up.AddImage(src, "same", layer(10))
	w.up.AddImage(src, "moves", layer(10))
	w.up.AddImage(src, "goes", layer(10))
	w.mirror(Choice{}, Secret{})
	w.good()
	before := w.names()
	fresh := w.up.AddImage(src, "new", layer(10))
	w.up.AddImage(src, "moves", layer(10))
	w.up.DeleteTag(src, "goes")
	w.choose(func(c *Choice) { c.Tags = []string{"*,!sha256-*"} })
	w.up.AddImage(src, fresh.Digest.SignatureTag(), layer(10))
	w.up.Forget()
	id, err := w.db.PlanMirror(t.Context(), w.repo)
	w.must(err)
	w.runner.Wake()
	var run store.MirrorRun
	for deadline := time.Now().Add(time.Minute); run.State != store.RunSuccess; {
		if run, err = w.db.MirrorRun(t.Context(), w.repo.ID, id); err != nil || run.State == store.RunFailed || time.Now().After(deadline) {
			t.Fatalf("%+v %v", run, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	out := w.outcomes(run)
	if run.Copied != 3 || run.Unchanged != 1 || run.Removed != 1 || out["new"].Outcome != store.TagCopied || out[fresh.Digest.SignatureTag()].Outcome != store.TagCopied ||
		out["goes"].Outcome != store.TagRemoved || !strings.HasPrefix(out["moves"].Message, "was ") {
		t.Fatalf("%+v %+v", run, out)
	}
	if w.names() != before || w.up.Count("GET", "/manifests/")+w.up.Count("GET", "/blobs/") != 0 {
		t.Error("the dry run changed something")
	}
	if m, err := w.db.Mirror(t.Context(), w.repo.ID); err != nil || m.Status != store.MirrorSuccess {
		t.Errorf("%+v %v", m, err)
	}
}

// TestLinked: a blob that is here already is linked where the robot may read
// it, or anybody may, and fetched where not: to know a digest is no right.
func TestLinked(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	ctx := t.Context()
	stranger := storetest.Repo(t, w.db)
	public, err := w.db.RepositoryByID(ctx, storetest.Repo(t, w.db))
	w.must(err)
	w.must(w.db.SetVisibility(ctx, public, gantry.Public, gantry.Actor{}))
	own, err := w.db.RepositoryByID(ctx, storetest.RepoIn(t, w.db, w.org.ID))
	w.must(err)
	w.must(w.db.SetPermission(ctx, own, w.robot, gantry.Read, gantry.Actor{}))
	held := map[gantry.RepoID][]byte{stranger: layer(1000), public.ID: layer(2000), own.ID: layer(3000)}
	var layers [][]byte
	for repo, b := range held {
		_, err := w.content.Push(ctx, repo, int64(len(b)), bytes.NewReader(b), gantry.FromBytes(b), gantry.Actor{})
		w.must(err)
		layers = append(layers, b)
	}
	image := w.up.AddImage(src, "v1", layers...)
	w.mirror(Choice{Link: true}, Secret{})
	if run := w.good(); run.Linked != 2 || run.Fetched != 2 { // the stranger's, and the configuration
		t.Errorf("%+v", run)
	}
	w.whole(image.Digest)
	if w.up.Count("GET", string(gantry.FromBytes(held[stranger]))) != 1 {
		t.Error("a stranger's blob was linked")
	}
	// Nor does the robot's right count where nobody vouched for it.
	w.choose(func(c *Choice) { c.Link = false })
	more := layer(4000)
	_, err = w.content.Push(ctx, own.ID, 4000, bytes.NewReader(more), gantry.FromBytes(more), gantry.Actor{})
	w.must(err)
	w.up.AddImage(src, "v2", more)
	if run := w.good(); run.Linked != 0 || run.Fetched != 2 {
		t.Errorf("%+v", run)
	}
	// What upstream has not, nobody gets by naming it.
	lie := layer(500)
	_, err = w.content.Push(ctx, stranger, 500, bytes.NewReader(lie), gantry.FromBytes(lie), gantry.Actor{})
	w.must(err)
	w.up.AddImage(src, "lie", lie)
	w.up.DeleteBlob(src, gantry.FromBytes(lie))
	if run := w.sync(); run.State != store.RunFailed || run.Failed != 1 {
		t.Errorf("%+v", run)
	}
	if _, err := w.content.Blob(ctx, w.repo.ID, gantry.FromBytes(lie)); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("a blob was had by its digest: %v", err)
	}
}

// TestBeat: what is told of a run while it goes on.
func TestBeat(t *testing.T) {
	start := time.Unix(1000, 0)
	l := live{began: start}
	if b := l.beat("r", store.MirrorFigures{Total: 4}, 0, start.Add(time.Second)); b.ID != "r" || b.Left != -1 || b.Rate != 0 || b.Total != 4 {
		t.Errorf("%+v", b)
	}
	b := l.beat("r", store.MirrorFigures{Total: 4, Done: 1, Copied: 1, Bytes: 100}, 1100, start.Add(11*time.Second))
	if b.Left != 33 || b.Rate != 110 || b.Bytes != 1100 || b.Done != 1 || b.Figures["copied"] != 1 {
		t.Errorf("%+v", b)
	}
	// Nothing ends for a while: it takes longer, and is not forgotten.
	if b := l.beat("r", store.MirrorFigures{Total: 4, Done: 1, Copied: 1, Bytes: 100}, 2100, start.Add(60*time.Second)); b.Left != 180 {
		t.Errorf("%+v", b)
	}
}
