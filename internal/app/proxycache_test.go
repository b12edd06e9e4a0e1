package app

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/servertest"
)

// A proxied is a registry with proxy caches. ada is its superuser, and bob
// another user.
type proxied struct {
	*site
	token, bob string // ada's for the API, bob's password
}

func proxySite(t *testing.T, fields map[string]any) *proxied {
	t.Helper()
	all := map[string]any{"FEATURE_USER_INITIALIZE": true, "SUPER_USERS": []string{"ada"}, "FEATURE_PROXY_CACHE": true, "SSRF_ALLOWED_HOSTS": []string{"127.0.0.1"}}
	for k, v := range fields {
		all[k] = v
	}
	s := &proxied{site: open(t, Options{Environ: override(t, all)})}
	s.token = s.initialize("ada")
	r := s.api("POST", "superuser/users/", `{"username":"bob","email":"bob@example.com"}`)
	s.bob, _ = r.json(t)["password"].(string)
	if s.bob == "" {
		t.Fatal(r)
	}
	return s
}

// api calls the API as ada.
func (s *proxied) api(method, path, body string) reply {
	s.t.Helper()
	return send(s.t, method, s.base+"/api/v1/"+path, body, "Authorization", "Bearer "+s.token, "Content-Type", "application/json")
}

// proxy makes an organization stand for an upstream.
func (s *proxied) proxy(org, upstream string, more string) {
	s.t.Helper()
	if r := s.api("POST", "organization/", `{"name":"`+org+`","email":"`+org+`@example.com"}`); r.status != 201 {
		s.t.Fatal(r)
	}
	if r := s.api("POST", "organization/"+org+"/proxycache", `{"upstream_registry":"`+upstream+`","insecure":true`+more+`}`); r.status != 201 || strings.TrimSpace(r.body) != `"Created"` {
		s.t.Fatal(r)
	}
}

// get asks /v2 for something of a repository, as ada.
func (s *proxied) get(repo, rest string, header ...string) reply {
	s.t.Helper()
	auth, r := s.bearer("ada", password, "repository:"+strings.SplitN(repo, "?", 2)[0]+":pull")
	if auth == "" {
		s.t.Fatal(r)
	}
	return send(s.t, "GET", s.base+"/v2/"+repo+"/"+rest, "", append(header, "Authorization", auth, "Accept", "*/*")...)
}

// TestProxyCacheAPI: the configuration is checked with upstream, told, never
// shows the credentials, and is gone when it is deleted.
func TestProxyCacheAPI(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{Flavor: remotetest.Hub, Username: "someone", Password: "s3cret-of-upstream"})
	s := proxySite(t, nil)
	if r := s.api("POST", "organization/", `{"name":"hub","email":"hub@example.com"}`); r.status != 201 {
		t.Fatal(r)
	}
	const path = "organization/hub/proxycache"
	if r := s.api("GET", path, ""); r.status != 200 || r.json(t)["upstream_registry"] != "" {
		t.Error(r)
	}
	if r := s.api("DELETE", path, ""); r.status != 404 {
		t.Error(r)
	}
	body := func(fields string) string {
		return `{"upstream_registry":"` + u.Host + `","insecure":true` + fields + `}`
	}
	for text, tt := range map[string]string{
		`{"insecure":true}`: "upstream_registry",
		`{"upstream_registry":"https://` + u.Host + `"}`: "scheme",
		body(`,"expiration_s":5`):                        "expiration_s",
		body(`,"upstream_registry_password":"x"`):        "upstream_registry_username",
		body(`,"upstream_registry_username":"someone","upstream_registry_password":"wrong-and-secret"`): "password is wrong",
		`{"upstream_registry":"` + u.Host + `"}`:                                                        "TLS",
		`{"upstream_registry":"10.1.2.3"}`:                                                              "SSRF_ALLOWED_HOSTS",
		`{"upstream_registry":"no-such-host.invalid"}`:                                                  "name service",
	} {
		for _, path := range []string{path, "organization/hub/validateproxycache"} {
			if r := s.api("POST", path, text); r.status != 400 || !strings.Contains(r.body, tt) || strings.Contains(r.body, "wrong-and-secret") {
				t.Errorf("%s %s: %v", path, text, r)
			}
		}
	}
	full := body(`,"expiration_s":3600,"upstream_registry_username":"someone","upstream_registry_password":"s3cret-of-upstream"`)
	if r := s.api("POST", "organization/hub/validateproxycache", full); r.status != 202 || strings.TrimSpace(r.body) != `"Valid"` {
		t.Error(r)
	}
	if r := s.api("POST", path, full); r.status != 201 {
		t.Fatal(r)
	}
	if r := s.api("POST", path, full); r.status != 400 {
		t.Error(r)
	}
	if r := s.api("GET", path, ""); r.status != 200 || strings.Contains(r.body, "s3cret") || r.json(t)["upstream_registry"] != u.Host || r.json(t)["expiration_s"] != 3600.0 || r.json(t)["insecure"] != true {
		t.Error(r)
	}
	img := u.AddImage("team/app", "v1", []byte("layer"))
	if r := s.get("hub/team/app", "manifests/v1"); r.status != 200 || digestOf([]byte(r.body)) != string(img.Digest) {
		t.Error(r)
	}
	// A change keeps what is not given, and gives the credentials to no other registry.
	if r := s.api("PUT", path, `{"expiration_s":7200}`); r.status != 200 || strings.Contains(r.body, "s3cret") || r.json(t)["expiration_s"] != 7200.0 || r.json(t)["upstream_registry"] != u.Host {
		t.Error(r)
	}
	later := u.AddImage("team/later", "v1", []byte("another layer"))
	if r := s.get("hub/team/later", "manifests/v1"); r.status != 200 || digestOf([]byte(r.body)) != string(later.Digest) {
		t.Error("with the credentials that stayed:", r)
	}
	thief := remotetest.New(t, remotetest.Options{Flavor: remotetest.Hub})
	for text, tt := range map[string]string{
		`{"upstream_registry":"` + thief.Host + `"}`:                                               "give upstream_registry_username",
		`{"upstream_registry":"` + thief.Host + `","expiration_s":5}`:                              "expiration_s",
		`{"upstream_registry_username":"someone"}`:                                                 "password is wrong",
		`{"upstream_registry_password":"x"}`:                                                       "upstream_registry_username",
		`{"upstream_registry_username":"someone","upstream_registry_password":"wrong-and-secret"}`: "password is wrong",
		`{"upstream_registry_username":5}`:                                                         "upstream_registry_username",
		`null`:                                                                                     "null",
	} {
		if r := s.api("PUT", path, text); r.status != 400 || !strings.Contains(r.body, tt) || strings.Contains(r.body, "s3cret") {
			t.Errorf("PUT %s: %v", text, r)
		}
	}
	if got := s.api("GET", path, ""); got.json(t)["upstream_registry"] != u.Host || got.json(t)["expiration_s"] != 7200.0 {
		t.Errorf("after refusals: %v", got)
	}
	if r := s.api("PUT", path, `{"upstream_registry":"`+thief.Host+`","upstream_registry_username":null}`); r.status != 200 || r.json(t)["upstream_registry"] != thief.Host || r.json(t)["insecure"] != true {
		t.Error(r)
	}
	other := thief.AddImage("team/other", "v1", []byte("a layer of another"))
	if r := s.get("hub/team/other", "manifests/v1"); r.status != 200 || digestOf([]byte(r.body)) != string(other.Digest) {
		t.Error(r)
	}
	if r := s.api("DELETE", path, ""); r.status != 201 || strings.TrimSpace(r.body) != `"Deleted"` {
		t.Error(r)
	}
	if r := s.api("PUT", path, `{"expiration_s":7200}`); r.status != 404 {
		t.Error(r)
	}
	if r := s.get("hub/team/none", "manifests/v1"); r.status != 404 && r.status != 401 {
		t.Error(r)
	}
	r := s.api("GET", "organization/hub/logs", "")
	for _, want := range []string{"create_proxy_cache_config", "change_proxy_cache_config", "delete_proxy_cache_config"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the audit log has no %s: %v", want, r)
		}
	}
	if strings.Contains(s.log.String(), "s3cret-of-upstream") || strings.Contains(s.log.String(), "wrong-and-secret") {
		t.Error("a password is in the log")
	}
}

// TestProxyCache pulls through a proxy cache of every kind of registry: what
// was pulled once is here, whatever becomes of upstream.
func TestProxyCache(t *testing.T) {
	for _, f := range remotetest.Flavors {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			o := remotetest.Options{Flavor: f}
			more := ""
			if f != remotetest.Open {
				o.Username, o.Password, o.Private = "someone", "s3cret", true
				more = `,"upstream_registry_username":"someone","upstream_registry_password":"s3cret"`
			}
			u := remotetest.New(t, o)
			layer := bytes.Repeat([]byte("gantry"), 50_000)
			img := u.AddImage("team/app", "", layer, []byte("two"))
			other := u.AddPlatform("team/app", "", "arm64", []byte("three"))
			idx := u.AddIndex("team/app", "v1", img, other)
			sig := u.AddReferrer("team/app", img, "application/x.sig", []byte("signed"))
			s := proxySite(t, nil)
			s.proxy("mirror", u.Host, more)
			const repo = "mirror/team/app"
			pull := func() {
				t.Helper()
				r := s.get(repo, "manifests/v1")
				if r.status != 200 || digestOf([]byte(r.body)) != string(idx.Digest) {
					t.Fatal(r)
				}
				if r = s.get(repo, "manifests/"+string(img.Digest)); r.status != 200 || digestOf([]byte(r.body)) != string(img.Digest) {
					t.Fatal(r)
				}
				var doc struct {
					Config remotetest.Descriptor
					Layers []remotetest.Descriptor
				}
				if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
					t.Fatal(err)
				}
				for _, b := range append(doc.Layers, doc.Config) {
					if r := s.get(repo, "blobs/"+string(b.Digest)); r.status != 200 || digestOf([]byte(r.body)) != string(b.Digest) {
						t.Fatalf("blob %s: %d", b.Digest, r.status)
					}
				}
				if r := s.get(repo, "blobs/"+string(gantry.FromBytes(layer)), "Range", "bytes=6-11"); r.status != 206 || r.body != "gantry" {
					t.Errorf("a range: %v", r)
				}
			}
			if r := s.get(repo, "referrers/"+string(img.Digest)); r.status != 200 || !strings.Contains(r.body, string(sig.Digest)) {
				t.Errorf("referrers: %v", r)
			}
			if r := s.get(repo, "manifests/"+string(sig.Digest)); r.status != 200 || digestOf([]byte(r.body)) != string(sig.Digest) {
				t.Errorf("a referrer: %v", r)
			}
			pull()
			until(t, "the image is one of the repository", func() bool {
				return strings.Contains(s.api("GET", "repository/"+repo+"/tag/", "").body, string(idx.Digest)) && s.rows(`SELECT COUNT(*) FROM proxy_manifests WHERE digest = ?`, img.Digest.Bytes()) == 0
			})
			// What another program of this upstream never had is 404 and makes no repository.
			for _, rest := range []string{"manifests/v9", "manifests/" + digestOf([]byte("x")), "tags/list"} {
				if r := s.get("mirror/team/none", rest); r.status != 404 {
					t.Errorf("%s: %v", rest, r)
				}
			}
			if n := s.rows(`SELECT COUNT(*) FROM repositories WHERE name LIKE '%none'`); n != 0 {
				t.Errorf("%d repositories", n)
			}
			u.Break("", "", -1, remotetest.Status(503))
			pull()
			if r := s.get(repo, "referrers/"+string(img.Digest)); r.status != 200 {
				t.Errorf("referrers: %v", r)
			}
			if r := s.get(repo, "manifests/v9"); r.status != 404 || !strings.Contains(r.body, "503") {
				t.Errorf("upstream is away: %v", r)
			}
		})
	}
}

// rows asks the database of the site.
func (s *proxied) rows(query string, args ...any) int64 {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.data, "gantry.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	var n int64
	if err := db.QueryRowContext(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestProxyCacheOnce: many clients of one cold blob make upstream send it
// once, get their first byte before the last came, and one that goes takes
// nothing from the others.
func TestProxyCacheOnce(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	layer := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	img := u.AddImage("app", "v1", layer)
	d := gantry.FromBytes(layer)
	s := proxySite(t, nil)
	s.proxy("mirror", u.Host, "")
	if r := s.get("mirror/app", "manifests/v1"); r.status != 200 {
		t.Fatal(r)
	}
	goOn := make(chan struct{})
	u.Break("", "/blobs/", -1, remotetest.WaitAfter(1<<20, goOn))
	auth, _ := s.bearer("ada", password, "repository:mirror/app:pull")
	open := func() *http.Response {
		q, err := http.NewRequestWithContext(t.Context(), "GET", s.base+"/v2/mirror/app/blobs/"+string(d), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", auth)
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 || res.ContentLength != int64(len(layer)) {
			t.Fatal(res.Status, res.ContentLength)
		}
		return res
	}
	const clients = 20
	var all []*http.Response
	for range clients {
		res := open()
		all = append(all, res)
		first := make([]byte, 64<<10)
		if _, err := io.ReadFull(res.Body, first); err != nil || !bytes.Equal(first, layer[:len(first)]) {
			t.Fatal(err)
		}
	}
	for _, res := range all[:5] { // the one that began it, too
		_ = res.Body.Close()
	}
	close(goOn)
	var group sync.WaitGroup
	for _, res := range all[5:] {
		group.Go(func() {
			defer res.Body.Close() //nolint:errcheck // read to its end
			if rest, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(rest, layer[64<<10:]) {
				t.Errorf("%d bytes, %v", len(rest), err)
			}
		})
	}
	group.Wait()
	if n := u.Count("GET", "/blobs/"+string(d)); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}
	_ = img
}

// TestProxyCacheTagMoves: a tag that moved upstream is followed, also while
// its image is not all here.
func TestProxyCacheTagMoves(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	one := u.AddImage("app", "v1", []byte("one"))
	s := proxySite(t, map[string]any{"FEATURE_PROXY_CACHE_BLOB_DOWNLOAD": false})
	s.proxy("mirror", u.Host, "")
	follows := func(d gantry.Digest) {
		t.Helper()
		until(t, "the tag follows", func() bool { return digestOf([]byte(s.get("mirror/app", "manifests/v1").body)) == string(d) })
	}
	follows(one.Digest)
	two := u.AddImage("app", "v1", []byte("two"))
	follows(two.Digest)
	u.Tag("app", "v1", one.Digest)
	follows(one.Digest)
	// Complete, moved away, and back.
	for _, b := range []string{digestOf([]byte("one"))} {
		if r := s.get("mirror/app", "blobs/"+b); r.status != 200 {
			t.Fatal(r)
		}
	}
	u.Tag("app", "v1", two.Digest)
	follows(two.Digest)
	u.Tag("app", "v1", one.Digest)
	follows(one.Digest)
	u.DeleteTag("app", "v1")
	until(t, "the tag is gone", func() bool { return s.get("mirror/app", "manifests/v1").status == 404 })
}

// TestProxyCacheRights: who is no member pulls nothing and learns nothing;
// nobody pushes, and is told why.
func TestProxyCacheRights(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	img := u.AddImage("app", "v1", []byte("one"))
	s := proxySite(t, nil)
	s.proxy("mirror", u.Host, "")
	bob := func(method, path string, body string) reply {
		t.Helper()
		auth, r := s.bearer("bob", s.bob, "repository:mirror/app:pull,push")
		if auth == "" {
			t.Fatal(r)
		}
		return send(t, method, s.base+"/v2/mirror/app/"+path, body, "Authorization", auth)
	}
	for range 2 { // before the repository is here, and after
		if r := bob("GET", "manifests/v1", ""); r.status != 401 {
			t.Errorf("a stranger: %v", r)
		}
		if r := send(t, "GET", s.base+"/v2/mirror/app/manifests/v1", ""); r.status != 401 {
			t.Errorf("nobody: %v", r)
		}
		if r := bob("POST", "blobs/uploads/", ""); r.status != 401 {
			t.Errorf("a stranger pushes: %v", r)
		}
		if u.Count("", "/app/") != 0 {
			break
		}
		if r := s.get("mirror/app", "manifests/v1"); r.status != 200 {
			t.Fatal(r)
		}
	}
	if r := s.api("PUT", "organization/mirror/team/readers", `{"role":"member"}`); r.status != 200 {
		t.Fatal(r)
	}
	if r := s.api("PUT", "organization/mirror/team/readers/members/bob", ""); r.status != 200 {
		t.Fatal(r)
	}
	if r := bob("GET", "manifests/"+string(img.Digest), ""); r.status != 200 {
		t.Errorf("a member: %v", r)
	}
	// Whose pull made the repository may read it, and is the only one to whom that was given.
	if r := s.api("GET", "repository/mirror/app/permissions/user/", ""); r.status != 200 || !strings.Contains(r.body, `"ada"`) || !strings.Contains(r.body, `"read"`) || strings.Contains(r.body, `"bob"`) {
		t.Errorf("permissions: %v", r)
	}
	for _, try := range [][2]string{{"POST", "blobs/uploads/"}, {"PUT", "manifests/v2"}, {"DELETE", "manifests/v1"}, {"DELETE", "blobs/" + digestOf([]byte("one"))}} {
		if r := bob(try[0], try[1], "{}"); r.status != 405 || !strings.Contains(r.body, "UNSUPPORTED") || !strings.Contains(r.body, "proxy cache of "+u.Host) {
			t.Errorf("%s: %v", try, r)
		}
	}
	auth, _ := s.bearer("ada", password, "repository:mirror/new:pull,push")
	if r := send(t, "POST", s.base+"/v2/mirror/new/blobs/uploads/", "", "Authorization", auth); r.status != 405 || !strings.Contains(r.body, "proxy cache") {
		t.Errorf("its administrator: %v", r)
	}
	if n := s.rows(`SELECT COUNT(*) FROM repositories`); n != 1 {
		t.Errorf("%d repositories", n)
	}
}

// TestProxyCacheFaults: whatever upstream does, nothing wrong is stored or
// passed on, the answer says what is wrong, and it works when upstream does.
func TestProxyCacheFaults(t *testing.T) {
	layer := bytes.Repeat([]byte("x"), 3<<20)
	type fault struct {
		method, path string
		do           remotetest.Fault
		status       int    // of the manifest; 200: the layer fails
		text         string // in the answer
	}
	for name, f := range map[string]fault{
		"wrong digest of a manifest": {"GET", "/manifests/", remotetest.Corrupt, 400, "digest"},
		"endless manifest":           {"GET", "/manifests/", remotetest.Endless, 400, "MiB"},
		"schema 1":                   {"GET", "/manifests/", remotetest.Header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"), 400, "schema 1"},
		"no manifest":                {"GET", "/manifests/", remotetest.Header("Content-Type", "application/vnd.oci.image.index.v1+json"), 400, "index"},
		"redirect inside":            {"", "/manifests/", remotetest.Redirect("http://169.254.169.254/latest/meta-data"), 400, "SSRF_ALLOWED_HOSTS"},
		"too many requests":          {"", "/manifests/", remotetest.Status(429, "Retry-After", "77"), 429, "too many requests"},
		"denied":                     {"", "/manifests/", remotetest.Status(403), 404, "403"},
		"away":                       {"", "/manifests/", remotetest.Status(502), 404, "502"},
		"wrong digest of a blob":     {"", "/blobs/", remotetest.Corrupt, 200, ""},
		"short blob":                 {"", "/blobs/", remotetest.Shorten, 200, ""},
		"endless blob":               {"", "/blobs/", remotetest.Endless, 200, ""},
		"deleted blob":               {"", "/blobs/", remotetest.Status(404), 200, ""},
		"dies in the middle":         {"", "/blobs/", remotetest.DieAfter(100), 200, ""},
		"blob inside":                {"", "/blobs/", remotetest.Redirect("http://10.0.0.1/"), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := remotetest.New(t, remotetest.Options{})
			img := u.AddImage("app", "v1", layer)
			s := proxySite(t, map[string]any{"FEATURE_PROXY_CACHE_BLOB_DOWNLOAD": false})
			s.proxy("mirror", u.Host, "")
			u.Break(f.method, f.path, -1, f.do)
			r := s.get("mirror/app", "manifests/v1")
			if r.status != f.status || !strings.Contains(r.body, f.text) {
				t.Fatal(r)
			}
			d := digestOf(layer)
			if f.status == 200 {
				auth, _ := s.bearer("ada", password, "repository:mirror/app:pull")
				r, err := try(t.Context(), "GET", s.base+"/v2/mirror/app/blobs/"+d, nil, "Authorization", auth)
				if err == nil && r.status == 200 {
					t.Fatalf("%d bytes came", len(r.body))
				}
			}
			if f.status == 429 {
				if r.header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				return
			}
			u.Mend()
			until(t, "it works again", func() bool { return s.get("mirror/app", "manifests/v1").status == 200 })
			if r := s.get("mirror/app", "blobs/"+d); r.status != 200 || digestOf([]byte(r.body)) != d {
				t.Errorf("%d, %d bytes", r.status, len(r.body))
			}
			_ = img
		})
	}
}

// TestProxyCacheFill: what no client fetched comes in the background, so that
// the image is whole when upstream is gone.
func TestProxyCacheFill(t *testing.T) {
	t.Parallel() // most of it is waiting
	u := remotetest.New(t, remotetest.Options{})
	img := u.AddImage("app", "v1", []byte("one"), []byte("two"))
	s := proxySite(t, nil)
	s.proxy("mirror", u.Host, "")
	if r := s.get("mirror/app", "manifests/v1"); r.status != 200 {
		t.Fatal(r)
	}
	until(t, "the image is whole", func() bool {
		return strings.Contains(s.api("GET", "repository/mirror/app/tag/", "").body, string(img.Digest))
	})
	if r := s.get("mirror/app", "blobs/"+digestOf([]byte("two"))); r.status != 200 || r.body != "two" {
		t.Error(r)
	}
	if n := u.Count("GET", "/blobs/"); n != 3 {
		t.Errorf("%d blobs were fetched", n)
	}
}

// TestProxyCacheQuota: what was used least goes, and what never fits is
// refused.
func TestProxyCacheQuota(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	layer := func(c string) []byte { return bytes.Repeat([]byte(c), 100_000) }
	for _, n := range []string{"a", "b", "c", "d"} {
		u.AddImage("app", n, layer(n))
	}
	u.AddImage("app", "huge", bytes.Repeat([]byte("h"), 400_000))
	s := proxySite(t, map[string]any{"FEATURE_QUOTA_MANAGEMENT": true, "DEFAULT_SYSTEM_REJECT_QUOTA_BYTES": 350_000, "FEATURE_PROXY_CACHE_BLOB_DOWNLOAD": false})
	s.proxy("mirror", u.Host, "")
	has := func(tag string) bool {
		return strings.Contains(s.api("GET", "repository/mirror/app/tag/?onlyActiveTags=true", "").body, `"name":"`+tag+`"`) ||
			strings.Contains(s.api("GET", "repository/mirror/app/tag/?onlyActiveTags=true", "").body, `"name": "`+tag+`"`)
	}
	pull := func(tag string) {
		t.Helper()
		r := s.get("mirror/app", "manifests/"+tag)
		if r.status != 200 {
			t.Fatal(tag, r)
		}
		var doc struct {
			Config remotetest.Descriptor
			Layers []remotetest.Descriptor
		}
		if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
			t.Fatal(err)
		}
		for _, b := range append(doc.Layers, doc.Config) {
			if r := s.get("mirror/app", "blobs/"+string(b.Digest)); r.status != 200 {
				t.Fatal(tag, r)
			}
		}
		until(t, tag+" is here", func() bool { return has(tag) })
		time.Sleep(5 * time.Millisecond) // lives of the same millisecond have no order
	}
	pull("a")
	pull("b")
	pull("c")
	pull("d")
	if has("a") || !has("b") || !has("c") || !has("d") {
		t.Error(s.api("GET", "repository/mirror/app/tag/", ""))
	}
	if r := s.get("mirror/app", "manifests/huge"); r.status != 403 || !strings.Contains(r.body, "DENIED") {
		t.Errorf("more than the quota: %v", r)
	}
	if !has("d") {
		t.Error("it was evicted for what does not fit")
	}
	pull("a") // again
}

// TestProxyCacheMirror: containerd's ns finds the organization.
func TestProxyCacheMirror(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	u.AddImage("library/alpine", "v1", []byte("one"))
	u.AddImage("team/app", "v1", []byte("two"))
	s := proxySite(t, nil)
	s.proxy("lib", u.Host+"/library", "")
	s.proxy("all", u.Host, "")
	for path, tt := range map[string]struct {
		scope  string
		status int
	}{
		"library/alpine/manifests/v1?ns=" + u.Host:       {"lib/alpine", 200},
		"team/app/manifests/v1?ns=" + u.Host:             {"all/team/app", 200},
		"all/team/app/manifests/v1?ns=" + u.Host:         {"all/team/app", 200},
		"lib/alpine/manifests/v1?ns=" + u.Host:           {"lib/alpine", 200},
		"team/app/manifests/v1?ns=registry.example.com":  {"team/app", 401},
		"team/app/manifests/v1?ns=" + u.Host + "%2Fteam": {"team/app", 401},
	} {
		anonymous := send(t, "GET", s.base+"/v2/"+path, "")
		if c := anonymous.header.Get("Www-Authenticate"); anonymous.status != 401 || !strings.Contains(c, `scope="repository:`+tt.scope+`:pull"`) {
			t.Errorf("%s: %s", path, c)
		}
		auth, _ := s.bearer("ada", password, "repository:"+tt.scope+":pull&scope=repository:"+strings.SplitN(path, "/manifests", 2)[0]+":pull")
		if r := send(t, "GET", s.base+"/v2/"+path, "", "Authorization", auth, "Accept", "*/*"); r.status != tt.status && (tt.status != 401 || r.status != 404) {
			t.Errorf("%s: %v", path, r)
		}
	}
}

// TestProxyCacheOfReal: Docker's own registry, and another Gantry with
// accounts, as upstream.
func TestProxyCacheOfReal(t *testing.T) {
	t.Parallel() // most of it is waiting
	d := servertest.Distribution(t)
	second := proxySite(t, nil)
	i := newImage("real")
	pushTo(t, "http://"+d.Host+"/v2/team/app", "", "v1", i)
	auth, _ := second.bearer("ada", password, "repository:ada/app:pull,push")
	pushTo(t, second.base+"/v2/ada/app", auth, "v1", i)

	s := proxySite(t, nil)
	s.proxy("dist", d.Host+"/team", "")
	s.proxy("gantry", strings.TrimPrefix(second.base, "http://"), fmt.Sprintf(`,"upstream_registry_username":"ada","upstream_registry_password":%q`, password))
	for _, repo := range []string{"dist/app", "gantry/ada/app"} {
		auth, r := s.bearer("ada", password, "repository:"+repo+":pull")
		if auth == "" {
			t.Fatal(r)
		}
		for range 2 {
			if r := s.pull(auth, repo, i); r.status != 200 {
				t.Errorf("%s: %v", repo, r)
			}
		}
	}
	d.Kill()
	auth, _ = s.bearer("ada", password, "repository:dist/app:pull")
	if r := s.pull(auth, "dist/app", i); r.status != 200 {
		t.Errorf("upstream was killed: %v", r)
	}
}
