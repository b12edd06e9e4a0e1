package prune

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var signature = "sha256-" + strings.Repeat("ab", 32) + ".sig"

// TestPicker checks random lists of tags against what the rules say.
func TestPicker(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	seed := mrand.Uint64()
	r := mrand.New(mrand.NewPCG(seed, 1))
	names := []string{"latest", "v1", "v2", "pr-1", "pr-2", signature}
	for range 3000 {
		tags := make([]Tag, r.IntN(20))
		for i := range tags {
			tags[i] = Tag{names[r.IntN(len(names))], now.Add(-time.Duration(r.IntN(100)) * time.Hour), r.IntN(5) == 0}
		}
		slices.SortStableFunc(tags, func(a, b Tag) int { return b.Start.Compare(a.Start) })
		rule := gantry.PruneRule{Method: gantry.PruneByCount, Value: fmt.Sprint(1 + r.IntN(8))}
		if r.IntN(2) == 0 {
			rule.Method, rule.Value = gantry.PruneByAge, fmt.Sprintf("%dh", 1+r.IntN(100))
		}
		rule.Pattern = []string{"", "^v", "[12]$", "x"}[r.IntN(4)]
		rule.Matches = r.IntN(2) == 0
		p, err := NewPicker(rule, now)
		if err != nil {
			t.Fatal(err)
		}
		keep, age, _ := rule.Limits()
		choose, _ := rule.Chooser(false)
		may := func(x Tag) bool { return !x.Immutable && x.Name != signature && choose(x.Name) }
		stay := int64(0) // of those that may go
		for i, x := range tags {
			goes := p.Goes(x)
			if goes && !may(x) {
				t.Fatalf("seed %d: %+v goes by %+v", seed, x, rule)
			}
			if !may(x) {
				continue
			}
			if rule.Method == gantry.PruneByAge && goes != (now.Sub(x.Start) > age) {
				t.Fatalf("seed %d: tag %d, %v old, goes: %v, by %+v", seed, i, now.Sub(x.Start), goes, rule)
			}
			if !goes {
				stay++
			}
			if rule.Method == gantry.PruneByCount && goes && stay < keep {
				t.Fatalf("seed %d: a tag goes while only %d stay, by %+v", seed, stay, rule)
			}
		}
		if rule.Method == gantry.PruneByCount && stay > keep {
			t.Fatalf("seed %d: %d stay, by %+v", seed, stay, rule)
		}
	}
}

type world struct {
	*store.DB
	t     *testing.T
	ahead atomic.Int64
	ns    gantry.AccountID
	repo  gantry.RepoID
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) {
			w := &world{t: t}
			w.DB = storetest.Open(t, d, store.Options{Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
			w.ns = storetest.Namespace(t, w.DB)
			w.repo = storetest.RepoIn(t, w.DB, w.ns)
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

// push makes tags, each a second newer than the one before, of one image.
func (w *world) push(repo gantry.RepoID, tags ...string) gantry.Digest {
	w.t.Helper()
	d := gantry.FromBytes([]byte(rand.Text()))
	for _, tag := range tags {
		w.ahead.Add(int64(time.Second))
		_, err := w.PutManifest(w.t.Context(), store.ManifestPut{Repo: repo, Digest: d, Tags: []string{tag}, Body: []byte("{}"),
			MediaType: "application/vnd.oci.image.manifest.v1+json", Retention: time.Hour})
		w.must(err)
	}
	return d
}

// left are the tags of a repository.
func (w *world) left(repo gantry.RepoID) string {
	w.t.Helper()
	names, err := w.Tags(w.t.Context(), repo, "", 10_000)
	w.must(err)
	return strings.Join(names, " ")
}

func (w *world) policy(repo gantry.RepoID, method, value, pattern string) {
	w.t.Helper()
	r := gantry.PruneRule{Method: method, Value: value, TagRule: gantry.TagRule{Pattern: pattern, Matches: true}}
	_, err := w.SetPrunePolicy(w.t.Context(), store.PolicyOwner{Namespace: w.ns, Repo: repo}, "", r, gantry.Actor{})
	w.must(err)
}

// run runs the jobs of a kind that are due, until there are none.
func (w *world) run(kind string, handle jobs.Handler) (n int) {
	w.t.Helper()
	done := make(chan struct{}, 1)
	for ; storetest.Get(w.t, w.DB, `SELECT COUNT(*) FROM jobs WHERE kind = ? AND state = 'ready' AND run_after_ms <= ?`, kind, w.Now().UnixMilli()) > 0; n++ {
		r, err := jobs.New(w.t.Context(), jobs.Options{Store: w.DB, Workers: 1, Kinds: map[string]jobs.Kind{kind: {Handle: func(ctx context.Context, r *jobs.Run) error {
			defer func() { done <- struct{}{} }()
			return handle(ctx, r)
		}}}})
		w.must(err)
		<-done
		w.must(r.Stop(w.t.Context()))
	}
	return n
}

func TestPrune(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := New(Options{Store: w.DB, Retention: time.Hour, TagPage: 3, RepoPage: 1})
		yes := true
		w.push(w.repo, "a1", "a2", "a3", "a4", "a5", "stays")
		d := w.push(w.repo, "signed")
		w.push(w.repo, strings.Replace(string(d), ":", "-", 1)+".sig", signature)
		w.must(w.ChangeTag(t.Context(), store.TagChange{Repo: w.repo, Name: "a1", Immutable: &yes}))
		second, readOnly := storetest.RepoIn(t, w.DB, w.ns), storetest.RepoIn(t, w.DB, w.ns)
		w.push(second, "old1", "old2")
		w.push(readOnly, "a1", "a2", "a3", "a4")
		r, err := w.RepositoryByID(t.Context(), readOnly)
		w.must(err)
		w.must(w.SetState(t.Context(), r, gantry.ReadOnlyState, gantry.Actor{}))
		w.ahead.Add(int64(48 * time.Hour))
		w.push(second, "new")

		w.policy(0, gantry.PruneByCount, "2", "^a")
		w.policy(0, gantry.PruneByAge, "1d", "^signed$")
		w.policy(second, gantry.PruneByAge, "1d", "")
		n, err := w.PruneDue(t.Context(), "prune", time.Hour, 10)
		w.must(err)
		if n != 1 {
			t.Errorf("%d namespaces are due", n)
		}
		w.run("prune", p.Namespace)
		if got := w.left(w.repo); got != "a1 a4 a5 "+signature+" stays" {
			t.Errorf("left: %s", got)
		}
		if got := w.left(second); got != "new" {
			t.Errorf("left: %s", got)
		}
		if got := w.left(readOnly); got != "a1 a2 a3 a4" {
			t.Errorf("left in a read-only repository: %s", got)
		}
		if told := storetest.Get(t, w.DB, `SELECT COUNT(*) FROM events WHERE kind = 'autoprune_tag_delete'`); told != 6 {
			t.Errorf("%d rows of autoprune_tag_delete", told)
		}
		// A pruned tag can be restored.
		page, _, err := w.TagPage(t.Context(), store.TagQuery{Repo: w.repo, Name: "signed", N: 1})
		w.must(err)
		w.must(w.RestoreTag(t.Context(), store.TagChange{Repo: w.repo, Name: "signed", Digest: page[0].Digest, Retention: time.Hour}))

		// Not again within the hour.
		if n, err := w.PruneDue(t.Context(), "prune", time.Hour, 10); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
		w.ahead.Add(int64(time.Hour))
		if n, err := w.PruneDue(t.Context(), "prune", time.Hour, 10); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		flaws, err := w.VerifyEdges(t.Context())
		w.must(err)
		for _, f := range flaws {
			t.Errorf("%+v", f)
		}
	})
}

// TestPruneResumed interrupts a job and goes on where it was.
func TestPruneResumed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := New(Options{Store: w.DB, TagPage: 2, RepoPage: 1})
		repos := []gantry.RepoID{w.repo, storetest.RepoIn(t, w.DB, w.ns), storetest.RepoIn(t, w.DB, w.ns)}
		for _, r := range repos {
			w.push(r, "a", "b", "c", "d")
		}
		w.policy(0, gantry.PruneByCount, "1", "")
		if _, err := w.PruneDue(t.Context(), "prune", time.Hour, 10); err != nil {
			t.Fatal(err)
		}
		stopped := false
		runs := w.run("prune", func(ctx context.Context, r *jobs.Run) error {
			if !stopped {
				stopped = true
				w.must(r.Save(ctx, store.Progress{Done: 3}, place{Repo: repos[0], Tags: 3})) // as if it had been killed here
				return jobs.Later(0)
			}
			var at place
			if ok, err := r.Checkpoint(&at); !ok || err != nil || at.Repo != repos[0] {
				t.Errorf("checkpoint %+v, %v, %v", at, ok, err)
			}
			return p.Namespace(ctx, r)
		})
		if runs != 2 {
			t.Errorf("%d runs", runs)
		}
		for i, want := range []string{"a b c d", "d", "d"} {
			if got := w.left(repos[i]); got != want {
				t.Errorf("repository %d: %s, want %s", i, got, want)
			}
		}
	})
}

// TestEverywhere prunes by the default rule where nobody has a policy.
func TestEverywhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := storetest.RepoIn(t, w.DB, w.ns)
		ns := storetest.Namespace(t, w.DB)
		bare := storetest.RepoIn(t, w.DB, ns)
		own := storetest.RepoIn(t, w.DB, ns)
		for _, r := range []gantry.RepoID{w.repo, other, bare, own} {
			w.push(r, "a", "b", "c")
		}
		w.policy(0, gantry.PruneByCount, "9", "")
		_, err := w.SetPrunePolicy(t.Context(), store.PolicyOwner{Namespace: ns, Repo: own}, "",
			gantry.PruneRule{Method: gantry.PruneByCount, Value: "9"}, gantry.Actor{})
		w.must(err)
		p := New(Options{Store: w.DB, RepoPage: 1, Default: gantry.PruneRule{Method: gantry.PruneByCount, Value: "1"}})
		_, err = w.Enqueue(t.Context(), store.NewJob{Kind: "default"})
		w.must(err)
		w.run("default", p.Everywhere)
		for r, want := range map[gantry.RepoID]string{w.repo: "a b c", other: "a b c", bare: "c", own: "a b c"} {
			if got := w.left(r); got != want {
				t.Errorf("repository %d: %s, want %s", r, got, want)
			}
		}
		// A run whose time is over goes on later, from where it is.
		p = New(Options{Store: w.DB, RepoPage: 1, Default: gantry.PruneRule{Method: gantry.PruneByCount, Value: "1"}, DefaultAfter: 1, DefaultRest: time.Hour})
		more := storetest.RepoIn(t, w.DB, ns)
		w.push(more, "a", "b")
		_, err = w.Enqueue(t.Context(), store.NewJob{Kind: "default"})
		w.must(err)
		for range 5 {
			w.run("default", func(ctx context.Context, r *jobs.Run) error {
				w.ahead.Add(int64(time.Second))
				return p.Everywhere(ctx, r)
			})
			w.ahead.Add(int64(time.Hour))
		}
		if got := w.left(more); got != "b" {
			t.Errorf("left: %s", got)
		}
	})
}

// TestPolicies checks the rules of SetPrunePolicy and its rows in the journal.
func TestPolicies(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		of := store.PolicyOwner{Namespace: w.ns, Repo: w.repo, Name: gantry.RepoName{Namespace: "acme", Name: "app"}}
		rule := gantry.PruneRule{Method: gantry.PruneByCount, Value: "3", TagRule: gantry.TagRule{Pattern: "^v", Matches: true}}
		id, err := w.SetPrunePolicy(ctx, of, "", rule, gantry.Actor{})
		w.must(err)
		if _, err := w.SetPrunePolicy(ctx, of, "", rule, gantry.Actor{}); !gantry.Is(err, gantry.Conflict) {
			t.Errorf("a second one: %v", err)
		}
		if _, err := w.SetPrunePolicy(ctx, of, id, rule, gantry.Actor{}); err != nil {
			t.Errorf("the same again: %v", err)
		}
		whole := of
		whole.Repo = 0
		if _, err := w.SetPrunePolicy(ctx, whole, id, rule, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("of another: %v", err)
		}
		for i := 1; i < store.MaxPolicies; i++ {
			rule.Value = fmt.Sprint(100 + i)
			_, err := w.SetPrunePolicy(ctx, of, "", rule, gantry.Actor{})
			w.must(err)
		}
		rule.Value = "7"
		if _, err := w.SetPrunePolicy(ctx, of, "", rule, gantry.Actor{}); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("one too many: %v", err)
		}
		if _, err := w.SetPrunePolicy(ctx, whole, "", rule, gantry.Actor{}); err != nil {
			t.Errorf("the namespace has its own: %v", err)
		}
		w.must(w.DeletePrunePolicy(ctx, of, id, gantry.Actor{}))
		if err := w.DeletePrunePolicy(ctx, of, id, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("again: %v", err)
		}
		rows, err := w.Audit(ctx, store.AuditQuery{Repo: w.repo, Kinds: []string{"delete_repository_autoprune_policy"}})
		w.must(err)
		var told map[string]any
		if len(rows) != 1 || json.Unmarshal(rows[0].Payload, &told) != nil || told["policy_uuid"] != id || told["tag_pattern"] != "^v" || told["repo"] != "app" || told["value"] != "3" {
			t.Errorf("%+v", rows)
		}
	})
}
