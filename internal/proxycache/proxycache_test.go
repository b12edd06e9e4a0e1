package proxycache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// instance is one of several on a database and a storage.
func instance(t *testing.T, db *store.DB, engine blob.Engine, change func(*Options)) *Store {
	t.Helper()
	location, err := db.EnsureLocation(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	c, err := content.New(content.Options{Store: db, Locations: []content.Location{{ID: location, Name: "default", Engine: engine}}})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Content: c, Store: db, Keys: &auth.Keys{}, Settings: Settings{On: true, Fill: true, UpstreamStall: 10 * time.Second},
		Client: remotetest.Client, Holder: auth.NewUUID(), Spool: t.TempDir()}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// org makes an organization that stands for an upstream, and returns its name.
func org(t *testing.T, db *store.DB, u *remotetest.Upstream) string {
	t.Helper()
	id := storetest.Account(t, db, gantry.Organization)
	a, err := db.AccountByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	err = db.CreateProxyCache(t.Context(), store.ProxyCache{Namespace: id, Name: a.Name, UUID: store.NewProxyCacheUUID(), Upstream: u.Host, Expiry: time.Hour, Insecure: true}, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	return a.Name
}

// repository finds one by name, and pulls v1 from it.
func repository(t *testing.T, s *Store, org, name string) gantry.RepoID {
	t.Helper()
	r, err := s.Repository(t.Context(), gantry.RepoName{Namespace: org, Name: name})
	if err == nil {
		_, err = s.Manifest(t.Context(), r.ID, gantry.Reference{Tag: "v1"})
	}
	if err == nil {
		r, err = s.Repository(t.Context(), r.Name)
	}
	if err != nil || r.ID <= 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.ID
}

func read(ctx context.Context, s *Store, repo gantry.RepoID, d gantry.Digest) ([]byte, error) {
	b, err := s.Blob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	f, err := s.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return io.ReadAll(f)
}

// TestTwoInstances: while one instance fetches a blob, another waits for it,
// but not for ever.
func TestTwoInstances(t *testing.T) {
	for _, dialect := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(dialect, func(t *testing.T) {
			db := storetest.Open(t, dialect, store.Options{})
			other := storetest.Another(t, db, store.Options{})
			u := remotetest.New(t, remotetest.Options{})
			quick, slow := bytes.Repeat([]byte("quick"), 1000), bytes.Repeat([]byte("slow!"), 100_000)
			u.AddImage("app", "v1", quick, slow)
			name, engine := org(t, db, u), mem.New()
			patient := func(o *Options) { o.leaseWait = time.Minute }
			one, two := instance(t, db, engine, patient), instance(t, other, engine, patient)
			repo := repository(t, one, name, "app")
			start := make(chan struct{})
			u.Break("", "/blobs/"+string(gantry.FromBytes(quick)), -1, remotetest.WaitAfter(10, start))
			var group sync.WaitGroup
			for i, s := range []*Store{one, two, one, two} {
				group.Go(func() {
					if b, err := read(t.Context(), s, repo, gantry.FromBytes(quick)); err != nil || !bytes.Equal(b, quick) {
						t.Errorf("reader %d: %d bytes, %v", i, len(b), err)
					}
				})
			}
			for deadline := time.Now().Add(time.Minute); u.Count("GET", "/blobs/") == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			close(start)
			group.Wait()
			if n := u.Count("GET", "/blobs/"); n != 1 {
				t.Errorf("upstream was asked %d times", n)
			}
			// One that is stuck keeps nobody.
			hasty := instance(t, other, engine, func(o *Options) { o.leaseWait = 10 * time.Millisecond })
			u.Break("", "/blobs/"+string(gantry.FromBytes(slow)), 1, remotetest.StallAfter(10))
			ctx, leave := context.WithCancel(t.Context())
			group.Go(func() { _, _ = read(ctx, one, repo, gantry.FromBytes(slow)) }) // it never ends by itself
			for deadline := time.Now().Add(time.Minute); u.Count("GET", "/blobs/"+string(gantry.FromBytes(slow))) == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if b, err := read(t.Context(), hasty, repo, gantry.FromBytes(slow)); err != nil || !bytes.Equal(b, slow) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			leave()
			group.Wait()
		})
	}
}

// TestNoRoom: what the spool does not take comes from upstream for each
// client, and is compared with its digest all the same.
func TestNoRoom(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	u := remotetest.New(t, remotetest.Options{})
	layer := bytes.Repeat([]byte("0123456789"), 10_000)
	u.AddImage("app", "v1", layer)
	s := instance(t, db, mem.New(), func(o *Options) { o.SpoolBytes = 1 })
	repo := repository(t, s, org(t, db, u), "app")
	d := gantry.FromBytes(layer)
	for range 2 {
		if b, err := read(t.Context(), s, repo, d); err != nil || !bytes.Equal(b, layer) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
	b, err := s.Blob(t.Context(), repo, d)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if n, err := f.Seek(-5, io.SeekEnd); err != nil || n != int64(len(layer))-5 {
		t.Error(n, err)
	}
	if rest, err := io.ReadAll(f); err != nil || string(rest) != "56789" {
		t.Errorf("%q, %v", rest, err)
	}
	u.Break("", "/blobs/", -1, remotetest.Corrupt)
	if b, err := read(t.Context(), s, repo, d); err == nil || len(b) == len(layer) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestAway: an upstream that is away costs one question in a while, and is
// served from here; what is not here says why.
func TestAway(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	u := remotetest.New(t, remotetest.Options{})
	img := u.AddImage("app", "v1", []byte("layer"))
	s := instance(t, db, mem.New(), func(o *Options) { o.fresh = time.Nanosecond })
	name := org(t, db, u)
	repo := repository(t, s, name, "app")
	u.Break("", "", -1, remotetest.Status(503))
	u.Forget()
	for range 5 {
		m, err := s.Manifest(t.Context(), repo, gantry.Reference{Tag: "v1"})
		if err != nil || m.Digest != img.Digest {
			t.Fatal(m, err)
		}
	}
	if n := u.Count("HEAD", "/manifests/v1"); n > 3 { // one question, repeated
		t.Errorf("upstream was asked %d times", n)
	}
	if _, err := s.Manifest(t.Context(), repo, gantry.Reference{Tag: "v2"}); !gantry.Is(err, gantry.NotFound) || !strings.Contains(err.Error(), "503") {
		t.Error(err)
	}
	if _, err := read(t.Context(), s, repo, gantry.FromBytes([]byte("layer"))); !gantry.Is(err, gantry.NotFound) {
		t.Error(err)
	}
}

// TestResolve holds which organization a mirror's client means.
func TestResolve(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	s := instance(t, db, mem.New(), nil)
	for name, upstream := range map[string]string{"lib": "docker.io/library", "hub": "docker.io", "quay": "quay.io", "deep": "quay.io/a/b"} {
		a, err := db.CreateOrganization(t.Context(), store.NewAccount{Name: name, Email: name + "@example.com", Verified: true}, storetest.Account(t, db, gantry.User), gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.CreateProxyCache(t.Context(), store.ProxyCache{Namespace: a.ID, Name: name, UUID: store.NewProxyCacheUUID(), Upstream: upstream, Expiry: time.Hour}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ host, path, want string }{
		{"docker.io", "library/alpine", "lib/alpine"},
		{"registry-1.docker.io", "team/app", "hub/team/app"},
		{"quay.io", "a/b/c", "deep/c"},
		{"quay.io", "a/bc", "quay/a/bc"},
		{"docker.io", "hub/team/app", "hub/team/app"},
		{"quay.io", "hub/app", "quay/hub/app"},
		{"ghcr.io", "a/b", ""},
		{"docker.io/library", "alpine", ""},
		{"", "a/b", ""},
	} {
		if got, ok := s.Resolve(t.Context(), tt.host, tt.path); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s %s: %q, %v", tt.host, tt.path, got, ok)
		}
	}
	off := *s.settings.Load()
	off.On = false
	s.Configure(off)
	if got, ok := s.Resolve(t.Context(), "docker.io", "library/alpine"); ok {
		t.Errorf("the feature is off: %q", got)
	}
}

// TestConfig checks what is stored of a configuration.
func TestConfig(t *testing.T) {
	c := Config{Upstream: " Quay.IO/team/ "}
	if err := c.Check(); err != nil || c.Upstream != "quay.io/team" || c.Expiry != DefaultExpiry {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []Config{
		{}, {Upstream: "https://quay.io"}, {Upstream: "quay.io/UPPER"}, {Upstream: strings.Repeat("a.", 200)}, {Upstream: "quay.io", Expiry: time.Second},
		{Upstream: "quay.io", Expiry: MaxExpiry + time.Second}, {Upstream: "quay.io", Credentials: Credentials{Password: "x"}},
		{Upstream: "quay.io", Credentials: Credentials{Username: strings.Repeat("a", MaxCredential+1)}},
	} {
		if err := bad.Check(); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestSpoolRoom: bytes on their way have a bound, and leave the disk some room,
// with what those that come will still need.
func TestSpoolRoom(t *testing.T) {
	free, failed := int64(leaveFree+100), error(nil)
	var fs flights
	fs.init(&Options{SpoolBytes: 1000, free: func(string) (int64, error) { return free, failed }})
	fits := func(size int64, want bool) {
		t.Helper()
		if fs.fits(size) != want {
			t.Errorf("%d bytes with %d free, %d reserved: %v", size, free-leaveFree, fs.reserved, !want)
		}
	}
	fits(100, true)
	fits(101, false)
	free = leaveFree + 5000
	fits(1000, true)
	fits(1001, false)
	fs.by[flightKey{1, "a"}] = &flight{size: 900, have: 400} // 500 are still to come
	fs.reserved = 900
	free = leaveFree + 600
	fits(100, true)
	fits(101, false) // more than the spool's bound
	free = leaveFree + 599
	fits(100, false)
	failed = errors.New("not known")
	fits(100, true)
	if n, err := freeBytes(t.TempDir()); err != nil || n <= 0 {
		t.Errorf("%d, %v", n, err)
	}
}
