package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
)

const user, password = "someone", "s3cret-and-long"

// client is a client of an upstream, with waits that suit a test.
func client(t testing.TB, u *remotetest.Upstream, change ...func(*remote.Options)) *remote.Registry {
	t.Helper()
	o := remote.Options{
		Host: u.Host, VerifyTLS: true, PlainHTTP: u.Roots == nil, Roots: u.Roots, Client: remotetest.Client,
		Backoff: time.Millisecond, Patience: 2 * time.Second, Stall: 10 * time.Second,
	}
	for _, f := range change {
		f(&o)
	}
	r, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func as(name, pass string) func(*remote.Options) {
	return func(o *remote.Options) { o.Username, o.Password = name, pass }
}

func allowLocalhost(o httpd.OutgoingOptions) *http.Client {
	o.Allowed = []string{"localhost"}
	return httpd.Outgoing(o)
}

func quick(o *remote.Options) { o.Stall = 100 * time.Millisecond }

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

func tag(s string) gantry.Reference           { return gantry.Reference{Tag: s} }
func digest(d gantry.Digest) gantry.Reference { return gantry.Reference{Digest: d} }

func wantKind(t *testing.T, err error, want remote.Kind) {
	t.Helper()
	if got := remote.KindOf(err); got != want {
		t.Errorf("kind %q, want %q: %v", got, want, err)
	}
	if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "token=")) {
		t.Errorf("the text tells too much: %v", err)
	}
}

func readAll(t *testing.T, p *remote.Repository, d gantry.Digest, offset, size int64) ([]byte, error) {
	t.Helper()
	b, err := p.Blob(t.Context(), d, offset, size)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Log(err)
		}
	}()
	return io.ReadAll(b)
}

// TestFlavors reads all there is of every kind of registry, over TLS and
// without.
func TestFlavors(t *testing.T) {
	for _, f := range remotetest.Flavors {
		for _, tls := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s tls=%v", f, tls), func(t *testing.T) {
				t.Parallel()
				o := remotetest.Options{Flavor: f, TLS: tls, Page: 3, Private: f != remotetest.Open}
				if f != remotetest.Open {
					o.Username, o.Password = user, password
				}
				u := remotetest.New(t, o)
				layer := random(100_000)
				img := u.AddImage("team/app", "v1", layer, random(10))
				idx := u.AddIndex("team/app", "multi", img, u.AddPlatform("team/app", "", "arm64", random(20)))
				sig := u.AddReferrer("team/app", img, "application/x.sig", []byte("signed"))
				for i := range 8 {
					u.Tag("team/app", fmt.Sprintf("t%d", i), img.Digest)
					u.AddImage(fmt.Sprintf("other/r%d", i), "x", random(5))
				}
				r := client(t, u, as(o.Username, o.Password))
				p := r.Repository("team/app")
				if err := errors.Join(r.Verify(t.Context()), p.Verify(t.Context())); err != nil {
					t.Fatal(err)
				}
				var tags, names []string
				for last, pages := "", 0; ; pages++ {
					page, next, err := p.Tags(t.Context(), last, 100)
					if err != nil || pages > 10 {
						t.Fatal(pages, err)
					}
					tags = append(tags, page...)
					if last = next; next == "" {
						break
					}
				}
				if len(tags) != 10 || !slices.IsSorted(tags) {
					t.Errorf("tags %q", tags)
				}
				for last, pages := "", 0; ; pages++ {
					page, next, err := r.Catalog(t.Context(), last, 5)
					if f == remotetest.GHCR {
						wantKind(t, err, remote.Denied)
						break
					}
					if err != nil || pages > 10 {
						t.Fatal(pages, err)
					}
					names = append(names, page...)
					if last = next; next == "" {
						if len(names) != 9 {
							t.Errorf("catalog %q", names)
						}
						break
					}
				}
				d, err := p.Head(t.Context(), tag("multi"))
				if err != nil || d.Digest != idx.Digest || d.MediaType != remotetest.TypeIndex || d.Size != idx.Size {
					t.Errorf("Head = %+v, %v", d, err)
				}
				m, err := p.Manifest(t.Context(), digest(img.Digest))
				if err != nil || m.Digest != img.Digest || gantry.FromBytes(m.Bytes) != img.Digest {
					t.Errorf("Manifest = %+v, %v", m.Descriptor, err)
				}
				refs, err := p.Referrers(t.Context(), img.Digest)
				if err != nil || len(refs) != 1 || refs[0].Digest != sig.Digest || refs[0].ArtifactType != "application/x.sig" {
					t.Errorf("Referrers = %+v, %v", refs, err)
				}
				for _, offset := range []int64{0, 99_999, 100_000 - 1<<12} {
					b, err := readAll(t, p, gantry.FromBytes(layer), offset, int64(len(layer)))
					if err != nil || !bytes.Equal(b, layer[offset:]) {
						t.Errorf("Blob from %d: %d bytes, %v", offset, len(b), err)
					}
				}
				for _, missing := range []error{
					call(p.Manifest(t.Context(), tag("none"))), call(p.Head(t.Context(), tag("none"))), call(readAll(t, p, gantry.FromBytes([]byte("x")), 0, -1)),
				} {
					wantKind(t, missing, remote.NotFound)
				}
			})
		}
	}
}

func call[T any](_ T, err error) error { return err }

// TestCredentials: what is wrong is said, and never with the password in it.
func TestCredentials(t *testing.T) {
	for _, f := range remotetest.Flavors[1:] {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			u := remotetest.New(t, remotetest.Options{Flavor: f, Username: user, Password: password, Private: true})
			u.AddImage("team/app", "v1", random(10))
			wrong := client(t, u, as(user, password+"x"))
			wantKind(t, wrong.Verify(t.Context()), remote.Credentials)
			wantKind(t, wrong.Repository("team/app").Verify(t.Context()), remote.Credentials)
			nobody := client(t, u)
			if f == remotetest.Basic {
				wantKind(t, nobody.Verify(t.Context()), "")
			}
			err := nobody.Repository("team/app").Verify(t.Context())
			if k := remote.KindOf(err); k != remote.Denied && k != remote.Credentials {
				t.Errorf("%q: %v", k, err)
			}
			wantKind(t, client(t, u, as(user, password)).Repository("team/none").Verify(t.Context()), remote.NotFound)
		})
	}
}

// TestTokens: one token serves many requests, one fetch many that wait, and
// one that was taken back is renewed without a failure.
func TestTokens(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{Flavor: remotetest.Hub})
	img := u.AddImage("team/app", "v1", random(10))
	p := client(t, u).Repository("team/app")
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := p.Manifest(t.Context(), digest(img.Digest)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := u.Count("", "/token"); n != 1 {
		t.Errorf("%d tokens were fetched", n)
	}
	u.ExpireTokens()
	if _, err := p.Manifest(t.Context(), tag("v1")); err != nil {
		t.Error(err)
	}
	if n := u.Count("", "/token"); n != 2 {
		t.Errorf("%d tokens were fetched", n)
	}
	// In the middle of a blob, too.
	big := random(3 << 20)
	d := u.AddBlob("team/app", big)
	u.Break("", "/blobs/", 1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		u.ExpireTokens()
		remotetest.DieAfter(1<<20)(w, r, next)
	})
	if b, err := readAll(t, p, d, 0, int64(len(big))); err != nil || !bytes.Equal(b, big) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestCredentialsStay: a redirect takes no credentials along, and neither
// does a realm over plain http get them.
func TestCredentialsStay(t *testing.T) {
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, "0123456789")
	}))
	t.Cleanup(other.Close)
	u := remotetest.New(t, remotetest.Options{Flavor: remotetest.Basic, Username: user, Password: password})
	u.AddImage("team/app", "v1", random(10))
	p := client(t, u, as(user, password)).Repository("team/app")
	if err := p.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.Break("", "/blobs/", -1, remotetest.Redirect(other.URL+"/signed?token=x"))
	b, err := readAll(t, p, gantry.FromBytes([]byte("0123456789")), 0, 10)
	if err != nil || string(b) != "0123456789" || !slices.Equal(seen, []string{""}) {
		t.Errorf("%q, %v, with %q", b, err, seen)
	}
	s := remotetest.New(t, remotetest.Options{TLS: true})
	s.Break("", "/v2/", -1, remotetest.Status(401, "WWW-Authenticate", `Bearer realm="`+other.URL+`/token",service="x"`))
	wantKind(t, client(t, s, as(user, password)).Verify(t.Context()), remote.Blocked)
	s.Break("", "/v2/", -1, remotetest.Redirect(other.URL))
	wantKind(t, client(t, s).Verify(t.Context()), remote.Blocked)
	if len(seen) != 1 {
		t.Errorf("asked with %q", seen)
	}
}

// TestInside: neither the host nor a redirect nor a realm nor a proxy leads to
// an address that users are not given.
func TestInside(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	u.AddImage("team/app", "v1", random(10))
	r, err := remote.New(remote.Options{Host: u.Host, PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, r.Verify(t.Context()), remote.Blocked)
	for _, to := range []string{"http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::1]:1/"} {
		u.Break("", "/blobs/", 1, remotetest.Redirect(to))
		_, err := readAll(t, client(t, u).Repository("team/app"), gantry.FromBytes([]byte("x")), 0, 1)
		wantKind(t, err, remote.Blocked)
		u.Break("", "/v2/", 1, remotetest.Status(401, "WWW-Authenticate", `Bearer realm="`+to+`",service="x"`))
		wantKind(t, client(t, u, as(user, password)).Repository("team/app").Verify(t.Context()), remote.Blocked)
		u.Mend()
	}
	for _, to := range []string{"ftp://127.0.0.1/", "http://user:pw@127.0.0.1/", "", "http://"} {
		u.Break("", "/blobs/", 1, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		})
		_, err := readAll(t, client(t, u).Repository("team/app"), gantry.FromBytes([]byte("x")), 0, 1)
		wantKind(t, err, remote.Invalid)
		u.Mend()
	}
	u.Break("", "/blobs/", -1, remotetest.Redirect(u.URL+"/v2/team/app/blobs/again"))
	_, err = readAll(t, client(t, u).Repository("team/app"), gantry.FromBytes([]byte("x")), 0, 1)
	wantKind(t, err, remote.Invalid)
	proxied := client(t, u, func(o *remote.Options) { o.Host, o.HTTPProxy = "registry.example.com", "http://169.254.169.254:80" })
	wantKind(t, proxied.Verify(t.Context()), remote.Blocked)
}

// TestBadBlobs: what breaks is taken up again, and what is wrong is refused.
func TestBadBlobs(t *testing.T) {
	big := random(5 << 20)
	tests := map[string]struct {
		fault remotetest.Fault
		times int
		want  remote.Kind // "" is all of the bytes
	}{
		"dies":             {remotetest.DieAfter(2 << 20), 3, ""},
		"dies early":       {remotetest.DieAfter(10), 3, ""},
		"dies for ever":    {remotetest.DieAfter(10), -1, remote.Unavailable},
		"stalls":           {remotetest.StallAfter(1 << 20), 2, ""},
		"stalls for ever":  {remotetest.StallAfter(0), -1, remote.Unavailable},
		"one byte less":    {remotetest.Shorten, -1, remote.Invalid},
		"one byte more":    {remotetest.Lengthen, -1, remote.Invalid},
		"endless":          {remotetest.Endless, -1, remote.Invalid},
		"503 once":         {remotetest.Status(503), 1, ""},
		"500 for ever":     {remotetest.Status(500), -1, remote.Unavailable},
		"gone":             {remotetest.Status(404), -1, remote.NotFound},
		"204":              {remotetest.Status(204), -1, remote.Invalid},
		"429 once":         {remotetest.Status(429, "Retry-After", "1"), 1, ""},
		"429 for long":     {remotetest.Status(429, "Retry-After", "3600"), -1, remote.Limited},
		"429 without time": {remotetest.Status(429), 2, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := remotetest.New(t, remotetest.Options{})
			d := u.AddBlob("team/app", big)
			u.Break("", "/blobs/", tt.times, tt.fault)
			b, err := readAll(t, client(t, u, func(o *remote.Options) { o.Stall = time.Second }).Repository("team/app"), d, 0, int64(len(big)))
			wantKind(t, err, tt.want)
			if tt.want == "" && !bytes.Equal(b, big) {
				t.Errorf("%d bytes of %d", len(b), len(big))
			}
		})
	}
	t.Run("no ranges", func(t *testing.T) {
		u := remotetest.New(t, remotetest.Options{})
		d := u.AddBlob("team/app", big)
		u.Break("", "/blobs/", -1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r.Header.Del("Range")
			next.ServeHTTP(w, r)
		})
		u.Break("", "/blobs/", 1, remotetest.DieAfter(3<<20))
		b, err := readAll(t, client(t, u).Repository("team/app"), d, 0, int64(len(big)))
		if err != nil || !bytes.Equal(b, big) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
	t.Run("deleted while it comes", func(t *testing.T) {
		u := remotetest.New(t, remotetest.Options{})
		d := u.AddBlob("team/app", big)
		u.Break("", "/blobs/", 1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			defer u.DeleteBlob("team/app", d)
			remotetest.DieAfter(1<<20)(w, r, next)
		})
		_, err := readAll(t, client(t, u).Repository("team/app"), d, 0, int64(len(big)))
		wantKind(t, err, remote.NotFound)
	})
	t.Run("the reader goes", func(t *testing.T) {
		u := remotetest.New(t, remotetest.Options{})
		d := u.AddBlob("team/app", big)
		u.Break("", "/blobs/", -1, remotetest.StallAfter(100))
		ctx, cancel := context.WithCancel(t.Context())
		b, err := client(t, u).Repository("team/app").Blob(ctx, d, 0, int64(len(big)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(b, make([]byte, 100))
		cancel()
		if _, err := io.ReadAll(b); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		_ = b.Close()
	})
}

// TestBadManifests: nothing that is not what it says comes through.
func TestBadManifests(t *testing.T) {
	tests := map[string]struct {
		fault remotetest.Fault
		want  remote.Kind
	}{
		"changed":             {remotetest.Corrupt, remote.Invalid},
		"cut":                 {remotetest.Shorten, remote.Invalid},
		"more":                {remotetest.Lengthen, remote.Invalid},
		"endless":             {remotetest.Endless, remote.Invalid},
		"dies":                {remotetest.DieAfter(5), remote.Unavailable},
		"stalls":              {remotetest.StallAfter(5), remote.Unavailable},
		"another digest":      {remotetest.Header("Docker-Content-Digest", string(gantry.FromBytes(nil))), remote.Invalid},
		"no manifest":         {remotetest.Header("Content-Type", "text/html"), ""}, // its own media type counts
		"schema 1":            {remotetest.Header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"), remote.Invalid},
		"no digest":           {remotetest.Header("Docker-Content-Digest", ""), ""},
		"a digest of nothing": {remotetest.Header("Docker-Content-Digest", "sha256:12"), ""},
		"teapot":              {remotetest.Status(418), remote.Invalid},
		"403":                 {remotetest.Status(403), remote.Denied},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := remotetest.New(t, remotetest.Options{})
			img := u.AddImage("team/app", "v1", random(10))
			u.Break(http.MethodGet, "/manifests/", -1, tt.fault)
			wait := func(*remote.Options) {}
			if name == "stalls" {
				wait = quick // the others may be slow on a machine that is busy
			}
			p := client(t, u, wait).Repository("team/app")
			_, err := p.Manifest(t.Context(), tag("v1"))
			wantKind(t, err, tt.want)
			u.Break(http.MethodHead, "/manifests/", -1, remotetest.Header("Docker-Content-Digest", ""))
			d, err := p.Head(t.Context(), tag("v1"))
			wantKind(t, err, tt.want)
			if tt.want == "" && d.Digest != img.Digest {
				t.Errorf("Head = %+v", d)
			}
		})
	}
	u := remotetest.New(t, remotetest.Options{})
	img := u.AddImage("team/app", "v1", random(10))
	p := client(t, u).Repository("team/app")
	u.Break(http.MethodHead, "/manifests/", -1, remotetest.Status(405))
	if d, err := p.Head(t.Context(), tag("v1")); err != nil || d.Digest != img.Digest {
		t.Errorf("a registry without HEAD: %+v, %v", d, err)
	}
	for _, name := range []string{"", "/a", "a//b", "a/", "A", "a/../b", "a?b", strings.Repeat("a", 256)} {
		wantKind(t, client(t, u).Repository(name).Verify(t.Context()), remote.Invalid)
	}
}

// TestLists: a hundred thousand tags, and lists that lie.
func TestLists(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	img := u.AddImage("team/app", "v1", random(10))
	for i := range 100_000 {
		u.Tag("team/app", fmt.Sprintf("tag-%06d", i), img.Digest)
	}
	p := client(t, u).Repository("team/app")
	tags, next, err := p.Tags(t.Context(), "", 0)
	if err != nil || len(tags) != 100_001 || next != "" {
		t.Errorf("%d tags, %q, %v", len(tags), next, err)
	}
	for name, tt := range map[string]struct {
		header, body string
		want         remote.Kind
		tags         int
	}{
		"the same page again": {`</v2/x/tags/list?n=1>; rel="next"`, `{"tags":["a"]}`, remote.Invalid, 0},
		"a page elsewhere":    {`<http://169.254.169.254/x?n=2>; rel="next"`, `{"tags":["a"]}`, "", 1},
		"no JSON":             {"", `<html>`, remote.Invalid, 0},
		"no list":             {"", `{"tags":{"a":1}}`, remote.Invalid, 0},
		"numbers":             {"", `{"tags":[1,2]}`, remote.Invalid, 0},
		"cut":                 {"", `{"tags":["a",`, remote.Invalid, 0},
		"null":                {"", `{"name":"x","tags":null}`, "", 0},
		"none":                {"", `{}`, "", 0},
		"bad tags":            {"", `{"tags":["a","","../b","-c","` + strings.Repeat("x", 129) + `"]}`, "", 1},
		"endless":             {"", `{"tags":["` + strings.Repeat("x", 33<<20) + `"]}`, remote.Invalid, 0},
	} {
		t.Run(name, func(t *testing.T) {
			u.Break("", "/tags/", 1, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				if tt.header != "" {
					w.Header().Set("Link", tt.header)
				}
				_, _ = io.WriteString(w, tt.body)
			})
			tags, _, err := p.Tags(t.Context(), "?n=1", 1)
			wantKind(t, err, tt.want)
			if len(tags) != tt.tags {
				t.Errorf("%q", tags)
			}
		})
	}
}

// TestReferrersByTag: registries without a list have a tag.
func TestReferrersByTag(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{NoReferrers: true})
	img := u.AddImage("team/app", "v1", random(10))
	p := client(t, u).Repository("team/app")
	if l, err := p.Referrers(t.Context(), img.Digest); err != nil || len(l) != 0 {
		t.Errorf("%v, %v", l, err)
	}
	sig := u.AddReferrer("team/app", img, "application/x.sig", []byte("signed"))
	u.AddIndex("team/app", "sha256-"+img.Digest.Hex(), sig)
	if l, err := p.Referrers(t.Context(), img.Digest); err != nil || len(l) != 1 || l[0].Digest != sig.Digest {
		t.Errorf("%v, %v", l, err)
	}
}

// TestVerify tells apart what can be wrong with an address.
func TestVerify(t *testing.T) {
	plain := remotetest.New(t, remotetest.Options{})
	secure := remotetest.New(t, remotetest.Options{TLS: true})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello") }))
	t.Cleanup(site.Close)
	none := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(none.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, tt := range map[string]struct {
		o    remote.Options
		want remote.Kind
	}{
		"plain":                   {remote.Options{Host: plain.Host, PlainHTTP: true}, ""},
		"TLS of plain":            {remote.Options{Host: plain.Host, VerifyTLS: true}, remote.TLS},
		"either, plain":           {remote.Options{Host: plain.Host}, ""},
		"either, TLS":             {remote.Options{Host: secure.Host}, ""},
		"unknown authority":       {remote.Options{Host: secure.Host, VerifyTLS: true}, remote.TLS},
		"trusted":                 {remote.Options{Host: secure.Host, VerifyTLS: true, Roots: secure.Roots}, ""},
		"other name":              {remote.Options{Host: strings.Replace(secure.Host, "127.0.0.1", "localhost", 1), VerifyTLS: true, Roots: secure.Roots}, remote.TLS},
		"nobody":                  {remote.Options{Host: strings.TrimPrefix(gone.URL, "http://"), PlainHTTP: true}, remote.Connect},
		"a site":                  {remote.Options{Host: strings.TrimPrefix(site.URL, "http://"), PlainHTTP: true}, remote.NotRegistry},
		"nothing there":           {remote.Options{Host: strings.TrimPrefix(none.URL, "http://"), PlainHTTP: true}, remote.NotRegistry},
		"a name that is unknown":  {remote.Options{Host: "no-such-host.invalid", VerifyTLS: true}, remote.DNS},
		"either, unknown":         {remote.Options{Host: "no-such-host.invalid"}, remote.DNS},
		"through a proxy, plain":  {remote.Options{Host: "registry.example.com", PlainHTTP: true, HTTPProxy: plain.URL}, ""},
		"a proxy that is not one": {remote.Options{Host: "registry.example.com", VerifyTLS: true, HTTPSProxy: plain.URL}, remote.Unavailable},
		"a proxy that is away":    {remote.Options{Host: "registry.example.com", VerifyTLS: true, HTTPSProxy: gone.URL}, remote.Connect},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.o.Client, tt.o.Backoff = remotetest.Client, time.Millisecond
			if strings.HasPrefix(tt.o.Host, "localhost") {
				tt.o.Client = allowLocalhost
			}
			r, err := remote.New(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			wantKind(t, r.Verify(t.Context()), tt.want)
		})
	}
	for _, host := range []string{"", "https://x", "a b", "x/y", "u:p@h", "x:0", "x:99999", "x:y", "[::1", "-x", "x..y", strings.Repeat("a", 300), "ä.example"} {
		_, err := remote.New(remote.Options{Host: host})
		wantKind(t, err, remote.Invalid)
	}
	_, err := remote.New(remote.Options{Host: "x", HTTPProxy: "socks5://user:" + password + "@h"})
	wantKind(t, err, remote.Invalid)
}

// TestLimits: a host gets no more requests at once than it may, whoever asks,
// and is left alone while it asked for that.
func TestLimits(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	img := u.AddImage("team/app", "v1", random(10))
	var mu sync.Mutex
	now, most := 0, 0
	u.Break("", "/manifests/", -1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		next.ServeHTTP(w, r)
		mu.Lock()
		now--
		mu.Unlock()
	})
	limits := remote.NewLimits(3)
	shared := func(o *remote.Options) { o.Limits = limits }
	clients := []*remote.Registry{client(t, u, shared), client(t, u, shared)}
	var group sync.WaitGroup
	for i := range 60 {
		group.Go(func() {
			if _, err := clients[i%2].Repository("team/app").Manifest(t.Context(), digest(img.Digest)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most > 3 || most == 0 {
		t.Errorf("%d at once", most)
	}
	u.Mend()
	u.Break("", "/manifests/", 1, remotetest.Status(429, "Retry-After", "100"))
	_, err := clients[0].Repository("team/app").Head(t.Context(), tag("v1"))
	wantKind(t, err, remote.Limited)
	u.Forget()
	_, err = clients[1].Repository("team/app").Head(t.Context(), tag("v1"))
	wantKind(t, err, remote.Limited)
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Retry < 90*time.Second || len(u.Asked()) != 0 {
		t.Errorf("%v after %d requests", err, len(u.Asked()))
	}
	// Another user is not meant.
	if _, err := client(t, u, shared, as(user, password)).Repository("team/app").Head(t.Context(), tag("v1")); err != nil {
		t.Error(err)
	}
}

// TestPoints: a registry may compare what is known itself, or tell the digest
// as ever; a 304 that nobody asked for, or that came from elsewhere, is no
// answer.
func TestPoints(t *testing.T) {
	for _, f := range []remotetest.Flavor{remotetest.Open, remotetest.Hub} {
		u := remotetest.New(t, remotetest.Options{Flavor: f})
		one := u.AddImage("app", "v1", random(10))
		p := client(t, u).Repository("app")
		points := func(known, want gantry.Digest) {
			t.Helper()
			if d, err := p.Points(t.Context(), "v1", known); err != nil || d != want {
				t.Errorf("%q: %s, %v", f, d, err)
			}
		}
		points("", one.Digest)
		points(one.Digest, one.Digest)
		two := u.AddImage("app", "v1", random(20))
		points(one.Digest, two.Digest)
		u.Break("", "/manifests/", -1, remotetest.Status(304))
		_, err := p.Points(t.Context(), "v1", "")
		wantKind(t, err, remote.Invalid)
		points(two.Digest, two.Digest)
		u.Mend()
		elsewhere := remotetest.New(t, remotetest.Options{})
		elsewhere.Break("", "", -1, remotetest.Status(304))
		u.Break("", "/manifests/", -1, remotetest.Redirect(elsewhere.URL+"/x"))
		_, err = p.Points(t.Context(), "v1", two.Digest)
		wantKind(t, err, remote.Invalid)
		u.Mend()
		_, err = p.Points(t.Context(), "v2", two.Digest)
		wantKind(t, err, remote.NotFound)
	}
}

// TestPostedTokens: where tokens are given only to who posts for them, they
// are; the password stands in the body, and in no address.
func TestPostedTokens(t *testing.T) {
	for name, grant := range map[string]string{user: "password", "<token>": "refresh_token"} {
		var posted []string
		u := remotetest.New(t, remotetest.Options{Flavor: remotetest.Hub})
		img := u.AddImage("team/app", "v1", random(10))
		u.Break("", "/token", -1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method != http.MethodPost {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			f := r.PostForm
			posted = append(posted, f.Get("grant_type")+" "+f.Get("username")+f.Get("refresh_token")+" "+f.Get("service")+" "+f.Get("scope"))
			if f.Get("password")+f.Get("refresh_token") != password {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			q := url.Values{"service": {f.Get("service")}, "scope": {f.Get("scope")}}
			next.ServeHTTP(w, httptest.NewRequestWithContext(r.Context(), http.MethodGet, "/token?"+q.Encode(), nil))
		})
		who := name
		if grant == "refresh_token" {
			who = password
		}
		if d, err := client(t, u, as(name, password)).Repository("team/app").Head(t.Context(), tag("v1")); err != nil || d.Digest != img.Digest {
			t.Errorf("%s: %v", grant, err)
		}
		if want := grant + " " + who + " registry.docker.io repository:team/app:pull"; !slices.Equal(posted, []string{want}) {
			t.Errorf("%q, want %q", posted, want)
		}
		_, err := client(t, u, as(name, "wrong")).Repository("team/app").Head(t.Context(), tag("v1"))
		wantKind(t, err, remote.Credentials)
		_, err = client(t, u).Repository("team/app").Head(t.Context(), tag("v1")) // nobody has nothing to post
		wantKind(t, err, remote.Invalid)
		for _, a := range u.Asked() {
			if strings.Contains(a.Query, password) || strings.Contains(a.Query, "wrong") {
				t.Errorf("a password in an address: %s", a.Path)
			}
		}
	}
}
