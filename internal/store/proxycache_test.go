package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestProxyCaches holds that an organization stands for one registry at most,
// and that both changes are told.
func TestProxyCaches(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := w.t.Context()
		ns, err := w.AccountByID(ctx, w.ns)
		w.must(err)
		p := store.ProxyCache{Namespace: w.ns, Name: ns.Name, UUID: store.NewProxyCacheUUID(), Upstream: "docker.io/library", Secret: "g1$x$y", Expiry: time.Hour, Insecure: true}
		if err := w.DeleteProxyCache(ctx, ns, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			w.t.Errorf("there is none: %v", err)
		}
		before := w.AccountsGeneration()
		w.must(w.CreateProxyCache(ctx, p, gantry.Actor{}))
		if w.AccountsGeneration() == before {
			w.t.Error("caches are not told")
		}
		if err := w.CreateProxyCache(ctx, p, gantry.Actor{}); !gantry.Is(err, gantry.Conflict) {
			w.t.Errorf("there is one: %v", err)
		}
		all, err := w.ProxyCaches(ctx)
		w.must(err)
		if len(all) != 1 || all[0].Created.IsZero() {
			w.t.Fatalf("%+v", all)
		}
		all[0].Created = time.Time{}
		if all[0] != p {
			w.t.Errorf("%+v", all[0])
		}
		next := p
		next.Upstream, next.Secret, next.Expiry, next.Insecure = "quay.io", "g1$z$y", 2*time.Hour, false
		before = w.AccountsGeneration()
		w.must(w.ChangeProxyCache(ctx, next, p, gantry.Actor{}))
		if w.AccountsGeneration() == before {
			w.t.Error("caches are not told of a change")
		}
		if all, err = w.ProxyCaches(ctx); err != nil || len(all) != 1 || all[0].Created.IsZero() {
			w.t.Fatal(all, err)
		}
		if all[0].Created = (time.Time{}); all[0] != next {
			w.t.Errorf("%+v", all[0])
		}
		if err := w.ChangeProxyCache(ctx, next, p, gantry.Actor{}); !gantry.Is(err, gantry.Conflict) {
			w.t.Errorf("it was another one: %v", err)
		}
		w.must(w.DeleteProxyCache(ctx, ns, gantry.Actor{}))
		if err := w.ChangeProxyCache(ctx, next, next, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			w.t.Errorf("there is none to change: %v", err)
		}
		for _, kind := range []string{"change_proxy_cache_config", "create_proxy_cache_config", "delete_proxy_cache_config"} {
			if n := storetest.Get(w.t, w.DB, `SELECT COUNT(*) FROM events WHERE kind = ? AND ns_id = ?`, kind, w.ns); n != 1 {
				w.t.Errorf("%s: %d rows", kind, n)
			}
		}
		_, err = w.SetImmutabilityPolicy(ctx, store.PolicyOwner{Namespace: w.ns, Name: gantry.RepoName{Namespace: ns.Name}}, "", gantry.TagRule{Pattern: "v1", Matches: true}, gantry.Actor{})
		w.must(err)
		if err := w.CreateProxyCache(ctx, p, gantry.Actor{}); !gantry.Is(err, gantry.Conflict) {
			w.t.Errorf("its tags are immutable: %v", err)
		}
	})
}

// TestProxyManifests holds what is noted of manifests whose blobs are not here.
func TestProxyManifests(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := w.t.Context()
		at := func(d time.Duration) time.Time { return w.Now().Add(d) }
		shared := randomDigest()
		note := func(tag string) store.ProxyManifest {
			m := store.ProxyManifest{Repo: w.repo, Digest: randomDigest(), MediaType: "x/y", Body: []byte("{}"), Until: at(time.Hour),
				Blobs: []store.ProxyBlob{{Digest: shared, Size: 5}, {Digest: randomDigest(), Size: 1 << 40}}}
			if tag != "" {
				m.Tags = []string{tag}
			}
			w.must(w.PutProxyManifest(ctx, m, at(time.Minute)))
			return m
		}
		a, b := note("v1"), note("")
		got, err := w.ProxyManifest(ctx, w.repo, gantry.Reference{Tag: "v1"})
		w.must(err)
		if got.Digest != a.Digest || string(got.Body) != "{}" || len(got.Blobs) != 2 || !slices.Equal(got.Tags, a.Tags) || got.ID == 0 {
			w.t.Errorf("%+v", got)
		}
		b.Tags = []string{"v1"}
		w.must(w.PutProxyManifest(ctx, b, at(0))) // the tag moved upstream
		if got, err = w.ProxyManifest(ctx, w.repo, gantry.Reference{Tag: "v1"}); err != nil || got.Digest != b.Digest || len(got.Blobs) != 2 {
			w.t.Errorf("%+v, %v", got, err)
		}
		if with, err := w.ProxyManifestsWith(ctx, w.repo, shared); err != nil || len(with) != 2 {
			w.t.Errorf("%d, %v", len(with), err)
		}
		if due, err := w.TakeProxyFill(ctx, 10, time.Minute); err != nil || len(due) != 0 {
			w.t.Errorf("%d, %v", len(due), err)
		}
		w.advance(2 * time.Minute)
		if due, err := w.TakeProxyFill(ctx, 1, time.Minute); err != nil || len(due) != 1 || due[0].Digest != a.Digest {
			w.t.Errorf("%+v, %v", due, err)
		}
		if due, err := w.TakeProxyFill(ctx, 10, time.Minute); err != nil || len(due) != 1 || due[0].Digest != b.Digest {
			w.t.Errorf("%+v, %v", due, err)
		}
		w.must(w.RenewProxyManifest(ctx, got.ID, at(3*time.Hour)))
		w.advance(2 * time.Hour)
		if n, err := w.SweepProxyManifests(ctx, 100); err != nil || n != 1 {
			w.t.Errorf("%d, %v", n, err)
		}
		if _, err := w.ProxyManifest(ctx, w.repo, gantry.Reference{Digest: a.Digest}); !gantry.Is(err, gantry.NotFound) {
			w.t.Error(err)
		}
		w.must(w.DropProxyManifests(ctx, got.ID))
		for _, table := range []string{"proxy_manifests", "proxy_blobs", "proxy_tags"} {
			if n := w.count(table); n != 0 {
				w.t.Errorf("%d rows of %s are left", n, table)
			}
		}
	})
}

// TestLeastUsed holds that what was renewed last goes last, and that what is
// evicted frees its bytes when collection has been there.
func TestLeastUsed(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := w.t.Context()
		put := func(tag string, life time.Duration) gantry.ManifestID {
			p := store.ManifestPut{Digest: randomDigest(), Blobs: []gantry.Digest{w.blob(w.repo, 100)}, Ends: life}
			if tag != "" {
				p.Tags = []string{tag}
			}
			done, err := w.put(w.repo, p)
			w.must(err)
			return done.ID
		}
		one := put("one", 2*time.Hour)
		put("two", 3*time.Hour)
		bare := put("", 0) // leased for an hour
		order := func() (s []string) {
			all, err := w.LeastUsed(ctx, w.ns, 10)
			w.must(err)
			for _, c := range all {
				s = append(s, c.Tag)
			}
			return s
		}
		if got := order(); !slices.Equal(got, []string{"", "one", "two"}) {
			w.t.Errorf("%q", got)
		}
		w.must(w.RenewCached(ctx, w.repo, one, "one", w.Now().Add(4*time.Hour)))
		w.must(w.RenewCached(ctx, w.repo, bare, "", w.Now().Add(5*time.Hour)))
		w.must(w.RenewCached(ctx, w.repo, one, "two", w.Now().Add(9*time.Hour))) // points elsewhere
		if got := order(); !slices.Equal(got, []string{"two", "one", ""}) {
			w.t.Errorf("%q", got)
		}
		for want := int64(300); ; want -= 100 {
			w.collect()
			if used, err := w.Usage(ctx, w.ns, 0); err != nil || used != want {
				w.t.Errorf("%d bytes, %v; want %d", used, err, want)
			}
			all, err := w.LeastUsed(ctx, w.ns, 1)
			w.must(err)
			if len(all) == 0 {
				break
			}
			w.must(w.Evict(ctx, all[0]))
			w.must(w.Evict(ctx, all[0])) // again
		}
		w.sound()
	})
}

// TestLetRead holds that who pulled first may read, is told to the log once, and
// keeps a permission that is larger.
func TestLetRead(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		ctx := w.t.Context()
		r, err := w.RepositoryByID(ctx, w.repo)
		w.must(err)
		for _, has := range []gantry.Role{gantry.NoRole, gantry.Write} {
			who, err := w.AccountByID(ctx, storetest.Account(w.t, w.DB, gantry.User))
			w.must(err)
			if has != gantry.NoRole {
				w.must(w.SetPermission(ctx, r, who, has, gantry.Actor{}))
			}
			for range 2 {
				w.must(w.LetRead(ctx, r, gantry.Actor{Account: who.ID, Name: who.Name, Kind: gantry.ActorUser}, gantry.Actor{}))
			}
			got, err := w.RepositoryAccess(ctx, who.ID, r.Name)
			w.must(err)
			if want := max(has, gantry.Read); got.Role != want {
				w.t.Errorf("%v, want %v", got.Role, want)
			}
		}
		if n := storetest.Get(w.t, w.DB, `SELECT COUNT(*) FROM events WHERE kind = 'change_repo_permission' AND repo_id = ?`, w.repo); n != 2 {
			w.t.Errorf("%d events", n)
		}
		w.must(w.DeleteRepository(ctx, r, gantry.Actor{}))
		w.must(w.LetRead(ctx, r, gantry.Actor{Account: w.ns, Kind: gantry.ActorUser}, gantry.Actor{}))
	})
}
