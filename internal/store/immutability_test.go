package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestImmutabilityPolicy holds that policies decide when a tag is made or
// moved, whichever way.
func TestImmutabilityPolicy(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := w.t.Context()
		on := store.ImmutabilityRule{On: true}
		org := store.PolicyOwner{Namespace: w.ns, Name: gantry.RepoName{Namespace: "acme"}}
		other := storetest.RepoIn(w.t, w.DB, w.ns)
		set := func(of store.PolicyOwner, pattern string, matches bool) string {
			id, err := w.SetImmutabilityPolicy(ctx, of, "", gantry.TagRule{Pattern: pattern, Matches: matches}, gantry.Actor{})
			w.must(err)
			return id
		}
		id := set(org, `v[0-9]+$`, true)
		set(store.PolicyOwner{Namespace: w.ns, Repo: other}, "", true) // all, of another repository
		push := func(tag string, label string) {
			p := store.ManifestPut{Tags: []string{tag}, Immutability: on}
			if label != "" {
				p.Labels = []store.Label{{Key: store.LabelExpiresAfter, Value: label}}
				p.Expiry = func(string) time.Duration { return time.Hour }
			}
			w.manifest(w.repo, p)
		}
		push("v1", "")
		push("v2", "1h")   // its end does not count
		push("dev1", "1h") // the pattern begins at the start
		for tag, want := range map[string]bool{"v1": true, "v2": true, "dev1": false} {
			if s := w.span(tag); s.Immutable != want || s.End.IsZero() != want {
				w.t.Errorf("%s: %+v", tag, s)
			}
		}
		w.told("tag_made_immutable_by_policy", 2)
		if _, err := w.put(w.repo, store.ManifestPut{Digest: randomDigest(), Tags: []string{"v1"}, Immutability: on}); !gantry.Is(err, gantry.Conflict) {
			w.t.Errorf("it moves: %v", err)
		}
		// By the API, and by a restore.
		w.must(w.change("v3", store.TagChange{Digest: w.span("dev1").Digest, Immutability: on}))
		if !w.span("v3").Immutable {
			w.t.Error("a tag made by the API is not immutable")
		}
		was := w.manifest(w.repo, store.ManifestPut{Tags: []string{"v4"}}) // switched off
		if w.span("v4").Immutable {
			w.t.Error("the policy is held where it is switched off")
		}
		w.must(w.DeleteTag(ctx, w.repo, "v4", gcRetention, gantry.Actor{}))
		w.must(w.RestoreTag(ctx, store.TagChange{Repo: w.repo, Name: "v4", Digest: was, Retention: gcRetention, Immutability: on}))
		if !w.span("v4").Immutable {
			w.t.Error("a restored tag is not immutable")
		}
		// With a policy that chooses what does not match.
		w.must(w.DeleteImmutabilityPolicy(ctx, org, id, gantry.Actor{}))
		push("v5", "")
		set(org, "dev", false)
		push("v6", "")
		push("dev6", "")
		if w.span("v5").Immutable || !w.span("v6").Immutable || w.span("dev6").Immutable || !w.span("v1").Immutable {
			w.t.Error("the wrong ones are immutable")
		}
		// Immutable tags may end where that is allowed.
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"v7"}, Immutability: store.ImmutabilityRule{On: true, MayExpire: true},
			Labels: []store.Label{{Key: store.LabelExpiresAfter, Value: "x"}}, Expiry: func(string) time.Duration { return time.Hour }})
		if s := w.span("v7"); !s.Immutable || s.End.IsZero() {
			w.t.Errorf("%+v", s)
		}
	})
}

// TestMarkImmutable marks what is there when a policy is made.
func TestMarkImmutable(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := w.t.Context()
		end := w.Now().Add(time.Hour)
		for _, tag := range strings.Fields("v1 v2 v3 dev ending") {
			w.manifest(w.repo, store.ManifestPut{Tags: []string{tag}})
		}
		w.must(w.change("ending", store.TagChange{Expiry: &end}))
		second := storetest.RepoIn(w.t, w.DB, w.ns)
		w.manifest(second, store.ManifestPut{Tags: []string{"v9"}})
		org := store.PolicyOwner{Namespace: w.ns}
		id, err := w.SetImmutabilityPolicy(ctx, org, "", gantry.TagRule{Pattern: "v|ending", Matches: true}, gantry.Actor{})
		w.must(err)
		if n := storetest.Get(w.t, w.DB, `SELECT COUNT(*) FROM jobs WHERE kind = ?`, store.JobMark); n != 2 {
			w.t.Errorf("%d jobs", n)
		}
		mark := func(j store.MarkJob) (sum int) {
			var at store.MarkPlace
			for range 20 {
				next, n, done, err := w.MarkImmutable(ctx, j, at, false)
				w.must(err)
				if sum += n; done {
					return sum
				}
				at = next
			}
			w.t.Error("it does not end")
			return sum
		}
		if n := mark(store.MarkJob{Policy: id, SinceMS: w.Now().Add(time.Hour).UnixMilli()}); n != 0 {
			w.t.Errorf("%d older tags were marked", n)
		}
		if n := mark(store.MarkJob{Policy: id}); n != 4 {
			w.t.Errorf("%d tags were marked, want 4", n)
		}
		for tag, want := range map[string]bool{"v1": true, "v2": true, "v3": true, "dev": false, "ending": false} {
			if w.span(tag).Immutable != want {
				w.t.Errorf("%s is immutable: %v", tag, !want)
			}
		}
		w.told("tags_made_immutable_by_policy", 1)
		if n := mark(store.MarkJob{Policy: id}) + mark(store.MarkJob{Policy: "gone"}); n != 0 {
			w.t.Errorf("%d more were marked", n)
		}
	})
}

// TestPushBudgetPolicies holds what policies cost a push: nothing where there
// are none, a statement to read them, and one for a tag that they choose.
func TestPushBudgetPolicies(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		cost := func(tag string, rule store.ImmutabilityRule) uint64 {
			d := randomDigest()
			before := w.Statements()
			w.manifest(w.repo, store.ManifestPut{Digest: d, Tags: []string{tag}, Immutability: rule})
			return w.Statements() - before
		}
		on := store.ImmutabilityRule{On: true}
		cost("warm", on)
		plain := cost("a", store.ImmutabilityRule{})
		if n := cost("b", on); n != plain {
			w.t.Errorf("%d statements without a policy, %d with the feature off", n, plain)
		}
		_, err := w.SetImmutabilityPolicy(w.t.Context(), store.PolicyOwner{Namespace: w.ns}, "", gantry.TagRule{Pattern: "v", Matches: true}, gantry.Actor{})
		w.must(err)
		if n := cost("c", on); n != plain+1 {
			w.t.Errorf("%d statements with a policy that does not choose the tag, want %d", n, plain+1)
		}
		if n := cost("v", on); n != plain+2 {
			w.t.Errorf("%d statements with one that does, want %d", n, plain+2)
		}
		if n := cost("d", store.ImmutabilityRule{}); n != plain {
			w.t.Errorf("%d statements with the feature off, want %d", n, plain)
		}
	})
}
