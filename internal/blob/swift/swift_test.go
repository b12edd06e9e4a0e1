package swift

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// options returns those of a new container, with the sign-in by way of addr;
// "" = directly.
func options(t testing.TB, addr string) Options {
	t.Helper()
	s := servertest.Swift(t)
	o := Options{
		Container: "t" + strings.ToLower(rand.Text()), StoragePath: "/datastorage/registry", AuthURL: s.AuthURL(addr), AuthVersion: 1,
		User: servertest.SwiftUser, Password: servertest.SwiftPassword, TempURLKey: servertest.SwiftTempURLKey, RetryCount: 5, RetryOnRateLimit: true,
	}
	s.Container(t, o.Container)
	return o
}

func open(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // it has no error
	return e
}

func TestSuite(t *testing.T) {
	blobtest.Suite{
		New:    func(t *testing.T) blob.Engine { return open(t, options(t, "")) },
		Reopen: func(t *testing.T, e blob.Engine) blob.Engine { return open(t, e.(*Engine).o) },
	}.Run(t)
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

// objects returns what is in the container, segments too.
func objects(t testing.TB, e *Engine) []string {
	t.Helper()
	var all []string
	for o, err := range e.listed(t.Context(), e.base, "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimPrefix(o.Name, e.base))
	}
	return all
}

// chunks uploads data in so many pieces, each by another process.
func chunks(t testing.TB, o Options, key string, data []byte, n int) {
	t.Helper()
	var state []byte
	for at := 0; at < len(data); {
		u, err := open(t, o).Upload(t.Context(), key, int64(at), state)
		if err != nil {
			t.Fatal(err)
		}
		next := min(len(data), at+(len(data)+n-1)/n)
		write(t, u, data[at:next])
		if at = next; at == len(data) {
			err = u.Complete(t.Context())
		} else {
			state, err = u.Sync(t.Context())
		}
		if err := errors.Join(err, u.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeObjects has segments at Quay's names, manifests within manifests,
// copies, and leaves nothing behind.
func TestLargeObjects(t *testing.T) {
	o := options(t, "")
	o.perManifest, o.perState = 3, 4
	e := open(t, o)
	ctx := t.Context()
	data := blobtest.Bytes(1, 100_000)
	chunks(t, o, "sha256/aa/aa", data, 23)
	if got := blobtest.Get(t, e, "sha256/aa/aa"); !bytes.Equal(got, data) {
		t.Errorf("%d other bytes", len(got))
	}
	name := regexp.MustCompile(`^segments/[0-9a-f-]{36}/\d{9}$`)
	for _, object := range objects(t, e) {
		if object != "sha256/aa/aa" && !name.MatchString(object) {
			t.Errorf("there is %q", object)
		}
	}
	if err := e.Copy(ctx, "sha256/aa/aa", "copies/b"); err != nil {
		t.Fatal(err)
	}
	chunks(t, o, "sha256/aa/aa", data[:50_000], 5) // replaced
	if got := blobtest.Get(t, e, "sha256/aa/aa"); !bytes.Equal(got, data[:50_000]) {
		t.Errorf("%d other bytes", len(got))
	}
	if err := e.Delete(ctx, "sha256/aa/aa"); err != nil {
		t.Fatal(err)
	}
	if got := blobtest.Get(t, e, "copies/b"); !bytes.Equal(got, data) {
		t.Errorf("the copy has %d other bytes", len(got))
	}
	if err := e.Copy(ctx, "none", "copies/c"); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("Copy of nothing: %v", err)
	}
	blobtest.Put(t, e, "small", data[:10])
	if err := e.Copy(ctx, "small", "copies/b"); err != nil { // replaces a large one
		t.Fatal(err)
	}
	// What folding left is swept; nothing else is there.
	unused := func(context.Context, string) (bool, error) { return false, nil }
	if _, err := e.Sweep(ctx, time.Now().Add(time.Hour), unused); err != nil {
		t.Fatal(err)
	}
	if got := objects(t, e); !slices.Equal(got, []string{"copies/b", "small"}) {
		t.Errorf("there are %q", got)
	}
}

// TestFork goes on with an upload that another process still writes, aborts
// and completes.
func TestFork(t *testing.T) {
	o := options(t, "")
	slow, quick := open(t, o), open(t, o)
	ctx := t.Context()
	data := blobtest.Bytes(1, 300_000)
	a, err := slow.Upload(ctx, "uploads/f", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }() // its bytes are not wanted
	write(t, a, data[:100_000])
	state, err := a.Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a, blobtest.Bytes(2, 100_000)) // before
	late, err := a.Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := quick.Fork(ctx, "uploads/f", 100_001, state, "uploads/g"); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("Fork behind the end: %v", err)
	}
	key, forked, err := quick.Fork(ctx, "uploads/f", 100_000, state, "uploads/g")
	if err != nil {
		t.Fatal(err)
	}
	b, err := quick.Upload(ctx, key, 100_000, forked)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }() // completed below
	write(t, b, data[100_000:])
	if err := slow.Abort(ctx, "uploads/f", late); err != nil {
		t.Fatal(err)
	}
	if err := b.Complete(ctx); err != nil {
		t.Fatal(err)
	}
	if err := quick.Abort(ctx, key, forked); err != nil { // too late
		t.Fatal(err)
	}
	if got := blobtest.Get(t, quick, key); !bytes.Equal(got, data) {
		t.Errorf("%d other bytes", len(got))
	}

	// Two that complete the same new key: one of them fails.
	c, err := slow.Upload(ctx, "uploads/h", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // completed below
	write(t, c, data[:1000])
	if _, err := c.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, quick, "uploads/h", data[:5])
	if err := c.Complete(ctx); err == nil {
		t.Error("the slow process replaces what was completed")
	}
	if got := blobtest.Get(t, quick, "uploads/h"); !bytes.Equal(got, data[:5]) {
		t.Errorf("%d other bytes", len(got))
	}
}

// TestSweep removes what uploads left, and neither what is in use, nor what an
// object has, nor what other programs stored.
func TestSweep(t *testing.T) {
	o := options(t, "")
	e := open(t, o)
	ctx := t.Context()
	for _, key := range []string{"uploads/left", "uploads/used"} {
		u, err := e.Upload(ctx, key, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		write(t, u, []byte("12345"))
		if _, err = u.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		_ = u.Close() // left alone
	}
	chunks(t, o, "uploads/whole", []byte("whole object"), 3)
	if _, err := e.do(ctx, request{method: http.MethodPut, object: e.object("11111111-2222-3333-4444-555555555555", 0), body: strings.NewReader("quay"), size: 4}); err != nil {
		t.Fatal(err)
	}
	used := func(_ context.Context, key string) (bool, error) { return key == "uploads/used", nil }
	if n, err := e.Sweep(ctx, time.Now().Add(-time.Hour), used); n != 0 || err != nil {
		t.Errorf("Sweep of what is young = %d, %v", n, err)
	}
	if n, err := e.Sweep(ctx, time.Now().Add(time.Hour), used); n != 1 || err != nil {
		t.Errorf("Sweep = %d, %v; want 1", n, err)
	}
	if got := string(blobtest.Get(t, e, "uploads/whole")); got != "whole object" {
		t.Errorf("the whole one has %q", got)
	}
	if got := objects(t, e); len(got) != 6 { // 1 used, 3 + 1 whole, 1 of Quay
		t.Errorf("there are %q", got)
	}
}

// TestURL gives clients TempURLs.
func TestURL(t *testing.T) {
	o := options(t, "")
	e := open(t, o)
	data := []byte("0123456789")
	for _, key := range []string{"sha256/aa/aa", "odd/é b+c%2e"} {
		blobtest.Put(t, e, key, data)
		at, err := e.URL(t.Context(), key, blob.URLOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "HEAD"} {
			r, err := http.NewRequestWithContext(t.Context(), method, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Range", "bytes=2-4")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close() // only read
			if err != nil || method == "GET" && (resp.StatusCode != 206 || string(body) != "234") || method == "HEAD" && resp.StatusCode/100 != 2 {
				t.Errorf("%s of %s: %d %q, %v", method, key, resp.StatusCode, body, err)
			}
		}
		if u, err := url.Parse(at); err != nil || u.Query().Get("temp_url_sig") == "" || strings.Contains(at, servertest.SwiftTempURLKey) {
			t.Errorf("URL = %s, %v", at, err)
		}
	}
	o.TempURLKey = ""
	if at, err := open(t, o).URL(t.Context(), "sha256/aa/aa", blob.URLOptions{}); at != "" || err != nil {
		t.Errorf("URL without a key = %q, %v", at, err)
	}
}

// TestMessages names the parameter that is wrong, and shows no secret.
func TestMessages(t *testing.T) {
	good := options(t, "")
	good.RetryCount = 0
	for want, change := range map[string]func(o *Options){
		"swift_container: it is missing":    func(o *Options) { o.Container = "" },
		"swift_container: the account has":  func(o *Options) { o.Container = "none" },
		"auth_url: it is not the address":   func(o *Options) { o.AuthURL = "keystone" },
		"auth_version: it is":               func(o *Options) { o.AuthVersion = 4 },
		"swift_user and swift_password: ":   func(o *Options) { o.Password = "wrong-secret" },
		"auth_url: ":                        func(o *Options) { o.AuthURL = "http://127.0.0.1:1/auth/v1.0" },
		"swift_user and swift_password: h":  func(o *Options) { o.User = "nobody:at-all" },
		"os_options: object_storage_url is": func(o *Options) { o.OpenStack = map[string]string{"object_storage_url": "x"} },
	} {
		t.Run(want, func(t *testing.T) {
			o := good
			change(&o)
			e, err := New(o)
			if err == nil {
				defer func() { _ = e.Close() }() // it has no error
				err = e.Check(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v; want %q", err, want)
			}
			if strings.Contains(err.Error(), "wrong-secret") || strings.Contains(err.Error(), servertest.SwiftPassword) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	o := good
	o.Container = "none"
	e := open(t, o)
	if _, err := e.Stat(t.Context(), "x"); err == nil || gantry.Is(err, gantry.NotFound) {
		t.Errorf("Stat where there is no container = %v", err)
	}
	if err := e.Delete(t.Context(), "x"); err == nil {
		t.Error("Delete where there is no container succeeds")
	}
	for _, err := range e.List(t.Context(), "", "") {
		if err == nil || !strings.Contains(err.Error(), "swift_container") {
			t.Errorf("List where there is no container = %v", err)
		}
	}
}

// TestFaults has the service fail now and then, and for good.
func TestFaults(t *testing.T) {
	s := servertest.Swift(t)
	p := servertest.NewHTTPProxy(t, s.Addr)
	o := options(t, p.Addr())
	_, storage, err := s.SignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.OpenStack = map[string]string{"object_storage_url": strings.Replace(storage, s.Addr, p.Addr(), 1)}
	e := open(t, o)
	ctx := t.Context()
	data := blobtest.Bytes(1, 3<<20)
	status := func(code int) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(code) }
	}
	lost := func(_ http.ResponseWriter, r *http.Request, server http.Handler) { // done, but the answer is lost
		server.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"500": status(500), "throttled": status(429), "token ended": status(401),
		"cut": func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }, "answer lost": lost,
	} {
		t.Run(name, func(t *testing.T) {
			defer p.Hook(nil)
			var n atomic.Int64
			p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
				// Every third, so that the sign-in gets through as well.
				if n.Add(1)%3 == 0 && !strings.HasPrefix(r.URL.Path, "/auth/") {
					fault(w, r, server)
					return
				}
				server.ServeHTTP(w, r)
			})
			chunks(t, o, "large", data, 2)
			blobtest.Put(t, e, "small", data[:100])
			blobtest.Put(t, e, "small", data[:200]) // replaced
			if got := blobtest.Get(t, e, "large"); !bytes.Equal(got, data) {
				t.Errorf("%d other bytes", len(got))
			}
			if got := blobtest.Keys(t, e, "", ""); !slices.Equal(got, []string{"large", "small"}) {
				t.Errorf("there are %q", got)
			}
			for _, key := range []string{"large", "small"} {
				if err := e.Delete(ctx, key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	chunks(t, o, "large", data, 2)
	t.Run("cut in the middle", func(t *testing.T) {
		defer p.Hook(nil)
		cuts := 0
		p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
			if r.Method == http.MethodGet && cuts < 5 {
				cuts++
				server.ServeHTTP(servertest.CutAfter(w, 400_000), r)
				return
			}
			server.ServeHTTP(w, r)
		})
		if got := blobtest.Get(t, e, "large"); !bytes.Equal(got, data) || cuts != 5 {
			t.Errorf("%d bytes, cut %d times", len(got), cuts)
		}
	})
	t.Run("wrong length", func(t *testing.T) {
		defer p.Hook(nil)
		p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
			if r.Method == http.MethodGet {
				r.Header.Set("Range", "bytes=0-99")
			}
			server.ServeHTTP(w, r)
		})
		o, err := e.Open(ctx, "large")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = o.Close() }() // only read
		if n, err := io.Copy(io.Discard, o); err == nil || n > 0 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	t.Run("replaced in the middle", func(t *testing.T) {
		o, err := e.Open(ctx, "large")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = o.Close() }() // only read
		blobtest.Put(t, e, "large", blobtest.Bytes(2, len(data)))
		if n, err := o.Read(make([]byte, 10)); n > 0 || !gantry.Is(err, gantry.NotFound) {
			t.Errorf("Read = %d, %v", n, err)
		}
	})
	t.Run("for good", func(t *testing.T) {
		defer p.Hook(nil)
		o := o
		o.RetryCount = 1
		e := open(t, o)
		u, err := e.Upload(ctx, "bad", 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = u.Close() }() // it failed
		p.Hook(status(503))
		write(t, u, data[:100])
		if _, err = u.Sync(ctx); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("Sync = %v", err)
		}
		if err := u.Complete(ctx); err == nil {
			t.Error("Complete after a failed Sync")
		}
		p.Hook(status(507))
		if err := e.Check(ctx); gantry.ReasonOf(err) != gantry.DiskFull {
			t.Errorf("Check of a full service = %v", err)
		}
	})
}

// TestKeystone signs in as versions 2 and 3 do, at a strict stand-in for
// Keystone's tokens that hands out Swift's own.
func TestKeystone(t *testing.T) {
	s := servertest.Swift(t)
	k := servertest.NewKeystone(t, s)
	good := options(t, "")
	v2 := map[string]string{"tenant_name": "images", "region_name": "two"}
	v3 := map[string]string{"project_name": "images", "user_domain_name": "Default", "project_domain_name": "Default", "region_name": "two"}
	for name, c := range map[string]struct {
		version int
		url     string
		os      map[string]string
		change  string // of os_options, then it fails
		want    string
	}{
		"v2":                 {2, k.URL + "/v2.0", v2, "", ""},
		"v3":                 {3, k.URL + "/v3", v3, "", ""},
		"v3 with a slash":    {3, k.URL + "/v3/", v3, "", ""},
		"v3, no such region": {3, k.URL + "/v3", v3, "region_name", "region_name"},
		"v3, other domain":   {3, k.URL + "/v3", v3, "user_domain_name", "swift_user and swift_password"},
		"v3, other project":  {3, k.URL + "/v3", v3, "project_name", "project and domain"},
		"v2, other tenant":   {2, k.URL + "/v2.0", v2, "tenant_name", "swift_user and swift_password"},
		"v3 at v2's":         {3, k.URL + "/v2.0", v3, "", "auth_url"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			o.RetryCount = 0
			o.AuthURL, o.AuthVersion, o.User, o.Password = c.url, c.version, servertest.KeystoneUser, servertest.KeystonePassword
			o.OpenStack = maps.Clone(c.os)
			if c.change != "" {
				o.OpenStack[c.change] = "other"
			}
			e := open(t, o)
			err := e.Check(t.Context())
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), servertest.KeystonePassword) {
					t.Errorf("Check = %v; want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			k.Revoke() // the token ends in the middle
			blobtest.Put(t, e, "k", []byte("x"))
		})
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"r":[{"u":"11111111-2222-3333-4444-555555555555","n":2}],"o":10,"l":5}`))
	f.Add([]byte(`{"r":[{"u":"../../x","n":99999999}],"o":-1}`))
	e := &Engine{base: "b/"}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		for _, r := range s.Runs {
			if object := e.object(r.ID, r.First+r.Count-1); path.Clean(object) != object || !strings.HasPrefix(object, "b/segments/") {
				t.Fatalf("a segment at %q", object)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`[{"name":"/c/segments/x/000000000","bytes":5,"sub_slo":true}]`))
	f.Add([]byte(`[{"name":"/other/x"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseManifest(b, "c")
		for _, s := range all {
			if err != nil || s.object == "" {
				t.Fatalf("%q, %v", s.object, err)
			}
		}
		page, err := parseListing(b)
		for _, o := range page {
			if _ = o.modified(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
