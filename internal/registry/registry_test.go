package registry_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/registry"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestProtocol is what must hold of the whole: with every Content there is.
func TestProtocol(t *testing.T) {
	tests := map[string]func(*testing.T, maker){
		"ManifestShapes":                 testManifestShapes,
		"Routes":                         testRoutes,
		"ManifestRoundTrip":              testManifestRoundTrip,
		"Negotiation":                    testNegotiation,
		"PutManifestRefusals":            testPutManifestRefusals,
		"TagsByDigestParameter":          testTagsByDigestParameter,
		"DeleteManifest":                 testDeleteManifest,
		"Blobs":                          testBlobs,
		"DeleteBlob":                     testDeleteBlob,
		"Uploads":                        testUploads,
		"UploadResumes":                  testUploadResumes,
		"UploadIsBusy":                   testUploadIsBusy,
		"Mount":                          testMount,
		"TagsList":                       testTagsList,
		"Referrers":                      testReferrers,
		"ReferrersPages":                 testReferrersPages,
		"Warnings":                       testWarnings,
		"Conformance":                    testConformance,
		"WhoMayWhat":                     testWhoMayWhat,
		"NothingTellsPrivateFromMissing": testNothingTellsPrivateFromMissing,
		"States":                         testStates,
	}
	for content, mk := range contents {
		t.Run(content, func(t *testing.T) {
			for name, f := range tests {
				t.Run(name, func(t *testing.T) { f(t, mk) })
			}
		})
	}
}

func TestBase(t *testing.T) {
	e := newEnv(t)
	host := strings.TrimPrefix(e.url, "http://")
	challenge := `Www-Authenticate: Bearer realm="` + e.url + `/v2/auth",service="` + host + `"`
	for _, path := range []string{"/v2/", "/v2"} {
		a := e.do("", "GET", path, nil).is(401).has(challenge, "Docker-Distribution-Api-Version: registry/2.0", "X-Sparse-Manifest-Support: false")
		if string(a.body) != "true" {
			t.Errorf("body %q", a.body)
		}
		a = e.do("stranger", "GET", path, nil).is(200).has(challenge, "Docker-Distribution-Api-Version: registry/2.0")
		if string(a.body) != "true" {
			t.Errorf("body %q", a.body)
		}
	}
	e.do("stranger", "HEAD", "/v2/", nil).is(200)
	e.do("forged", "GET", "/v2/", nil).fails(401, "UNAUTHORIZED")
	e.do("", "GET", "/v2/", nil, "Authorization: Basic YTpi").fails(401, "UNAUTHORIZED")
	e.do("", "GET", "/v2/", nil, "Authorization: bearer   stranger").is(200)
	e.do("stranger", "POST", "/v2/", nil).has("Allow: GET, HEAD").fails(405, "UNSUPPORTED")

	e = newEnv(t, func(o *registry.Options) {
		o.BlockedDocker, o.SparseIndex, o.Hostname, o.Scheme = "<1.6.0", true, "quay.example.com", "https"
	})
	host = strings.TrimPrefix(e.url, "http://")
	e.do("stranger", "GET", "/v2/", nil).is(200).has("X-Sparse-Manifest-Support: true", `Www-Authenticate: Bearer realm="https://`+host+`/v2/auth",service="quay.example.com"`)
	e.do("stranger", "GET", "/v2/", nil, "User-Agent: docker/1.5.0 go/1.3").fails(404, "NOT_FOUND")
	e.do("stranger", "GET", "/v2/", nil, "User-Agent: docker/1.6.0 go/1.3").is(200)
	e = newEnv(t, func(o *registry.Options) { o.Unadvertised = true })
	e.do("stranger", "GET", "/v2/", nil).fails(404, "NOT_FOUND")
}

func TestNewRefusesBadSettings(t *testing.T) {
	if _, err := registry.New(registry.Options{}); err == nil {
		t.Error("New without Content did not fail")
	}
	e := newEnv(t)
	if err := e.reg.Configure(registry.Settings{BlockedDocker: "new ones"}); err == nil || !strings.Contains(err.Error(), "BLACKLIST_V2_SPEC") {
		t.Errorf("Configure: %v", err)
	}
	if err := e.reg.Configure(registry.Settings{Scheme: "gopher"}); err == nil {
		t.Error("Configure took a strange scheme")
	}
	e.do("stranger", "GET", "/v2/", nil).is(200) // the old ones stay
}

func TestToken(t *testing.T) {
	e := newEnv(t)
	a := e.do("", "GET", "/v2/auth?service=quay&scope=repository:acme/app:pull,push&scope=repository:x/y:pull&client_id=me&account=a&offline_token=true", nil,
		"Authorization: Basic YTpi", "User-Agent: tester").is(200).has("Cache-Control: no-cache, no-store, must-revalidate")
	var doc map[string]any
	if err := json.Unmarshal(a.body, &doc); err != nil || doc["token"] != "issued" || doc["access_token"] != "issued" || doc["expires_in"] != 3600.0 || doc["issued_at"] != "2001-09-09T01:46:40Z" {
		t.Errorf("token document %s, %v", a.body, err)
	}
	r := e.auth.asked()
	if r.Authorization != "Basic YTpi" || r.Service != "quay" || !slices.Equal(r.Scopes, []string{"repository:acme/app:pull,push", "repository:x/y:pull"}) ||
		r.Client != "me" || !r.Offline || r.Actor.Agent != "tester" || r.Actor.IP != "127.0.0.1" || r.Host == "" {
		t.Errorf("request %+v", r)
	}
	form := "Content-Type: application/x-www-form-urlencoded"
	a = e.do("", "POST", "/v2/auth", "grant_type=password&username=u&password=p%2F&service=s&client_id=c&access_type=offline&scope=repository:a/b:pull+repository:c/d:push", form).is(200)
	if !strings.Contains(string(a.body), `"scope":"repository:a/b:pull"`) || !strings.Contains(string(a.body), `"token_type":"Bearer"`) { // not what was asked for
		t.Errorf("token document %s", a.body)
	}
	if r := e.auth.asked(); r.Username != "u" || r.Password != "p/" || !r.Offline || len(r.Scopes) != 2 {
		t.Errorf("request %+v", r)
	}
	e.do("", "POST", "/v2/auth", "grant_type=refresh_token&refresh_token=r", form).is(200)
	if e.auth.asked().Refresh != "r" {
		t.Errorf("request %+v", e.auth.asked())
	}
	for _, bad := range []string{"grant_type=client_credentials", "grant_type=password", "grant_type=refresh_token", "", "%zz"} {
		e.do("", "POST", "/v2/auth", bad, form).fails(400, "INVALID_REQUEST")
	}
	e.do("", "POST", "/v2/auth", "{}", "Content-Type: application/json").fails(400, "INVALID_REQUEST")
	e.do("", "POST", "/v2/auth", strings.Repeat("x", 70<<10), form).fails(413, "SIZE_INVALID")
	e.do("", "GET", "/v2/auth?"+strings.Repeat("scope=a&", 101), nil).fails(413, "SIZE_INVALID")
	e.do("", "DELETE", "/v2/auth", nil).has("Allow: GET, HEAD, POST").fails(405, "UNSUPPORTED")

	for _, tt := range []struct {
		err    *gantry.Error
		status int
		code   string
	}{
		{gantry.Errorf(gantry.Unauthenticated, "", "Invalid token"), 401, "UNAUTHORIZED"},
		{&gantry.Error{Code: gantry.Limited, Reason: gantry.LoginBackoff, Detail: "Too many login attempts."}, 401, "UNAUTHORIZED"},
		{&gantry.Error{Code: gantry.Denied, Object: "namespace", Reason: gantry.NamespaceDisabled}, 405, "DENIED"},
		{gantry.Errorf(gantry.Invalid, "repository", "bad"), 400, "NAME_INVALID"},
		{gantry.Errorf(gantry.Unsupported, "repository", "kind"), 405, "UNSUPPORTED"},
	} {
		e.auth.err = tt.err
		a := e.do("", "GET", "/v2/auth?scope=repository:acme/app:pull", nil)
		a.fails(tt.status, tt.code)
		if tt.status == 401 {
			a.has(`Www-Authenticate: Bearer realm="`+e.url+`/v2/auth",service="`+strings.TrimPrefix(e.url, "http://")+`"`, "Docker-Distribution-Api-Version: registry/2.0")
		}
	}
}

func testRoutes(t *testing.T, newEnv maker) {
	e := newEnv(t)
	for path, want := range map[string]string{
		"/v2/nothing":                    "404 NOT_FOUND",
		"/v2/a/b/c":                      "404 NOT_FOUND",
		"/v3/":                           "404 NOT_FOUND",
		"/v2/acme/app/manifests":         "404 NOT_FOUND",
		"/v2/acme/app/manifests/":        "404 NOT_FOUND",
		"/v2/acme/app/tags/other":        "404 NOT_FOUND",
		"/v2/acme%2Fapp/tags/list":       "404 NOT_FOUND",
		"/v2/acme/app%5Cx/tags/list":     "400 NAME_INVALID",
		"/v2/acme/../acme/app/tags/list": "400 NAME_INVALID",
		"/v2/acme/%2e%2e/app/tags/list":  "400 NAME_INVALID",
		"/v2/acme//app/tags/list":        "400 NAME_INVALID",
		"/v2/Acme/app/tags/list":         "400 NAME_INVALID",
		"/v2/acme/App/tags/list":         "400 NAME_INVALID",
		"/v2/a/app/tags/list":            "400 NAME_INVALID",
		"/v2/acme/" + strings.Repeat("a", 256) + "/tags/list":   "400 NAME_INVALID",
		"/v2/acme/app/manifests/.invalid":                       "404 MANIFEST_UNKNOWN",
		"/v2/acme/app/manifests/" + strings.Repeat("t", 129):    "404 MANIFEST_UNKNOWN",
		"/v2/acme/app/manifests/sha256:12":                      "400 DIGEST_INVALID",
		"/v2/acme/app/manifests/md5:" + strings.Repeat("0", 32): "400 DIGEST_INVALID",
		"/v2/acme/app/blobs/latest":                             "400 DIGEST_INVALID",
		"/v2/acme/app/referrers/latest":                         "400 DIGEST_INVALID",
		"/v2/acme/app/blobs/uploads/..":                         "404 BLOB_UPLOAD_UNKNOWN",
		"/v2/acme/app/tags/list?n=x":                            "400 INVALID_REQUEST",
		"/v2/acme/app/tags/list?n=-1":                           "400 INVALID_REQUEST",
		"/v2/acme/app/tags/list?%zz":                            "400 INVALID_REQUEST",
		"/v2/acme/gone/tags/list":                               "404 NAME_UNKNOWN",
		"/v2/acme/renamed/tags/list":                            "404 NAME_UNKNOWN",
		"/v2/single/tags/list":                                  "401 UNAUTHORIZED", // library/single
	} {
		var status int
		var code string
		_, _ = fmt.Sscan(want, &status, &code)
		e.do("admin", "GET", path, nil).fails(status, code)
	}
	for _, m := range []string{"POST", "PATCH", "OPTIONS", "TRACE", "BREW"} {
		e.do("admin", m, "/v2/acme/app/manifests/latest", nil).has("Allow: GET, HEAD, PUT, DELETE").fails(405, "UNSUPPORTED")
	}
	e.do("admin", "GET", "/v2/acme/app/blobs/uploads/", nil).has("Allow: POST").fails(405, "UNSUPPORTED")
	e.do("admin", "POST", "/v2/acme/app/blobs/uploads", nil).is(202)
	_, d := e.pushImage(nested, "v1")
	e.do("admin", "GET", "/v2/"+nested+"/manifests/v1", nil).is(200)
	e.do("admin", "GET", "/v2/"+nested+"/manifests/"+strings.Replace(string(d), ":", "%3A", 1), nil).is(200)
	e.do("admin", "GET", "/v2/"+nested+"/tags/list", nil).is(200)
	e.do("admin", "POST", "/v2/"+nested+"/blobs/uploads/", nil).is(202)

	flat := newEnv(t, func(o *registry.Options) { o.Names = gantry.NameRules{} })
	flat.do("admin", "GET", "/v2/"+nested+"/tags/list", nil).fails(400, "NAME_INVALID")
	flat.do("admin", "GET", "/v2/single/tags/list", nil).fails(400, "NAME_INVALID")
}

func testManifestRoundTrip(t *testing.T, newEnv maker) {
	e := newEnv(t)
	for name, extra := range map[string]string{
		"plain":     "",
		"unknown":   `,"x-unknown" : { "deep": [1, 2.50, "ü"] } `,
		"duplicate": `,"annotations":{"a":"1","a":"2"}`,
	} {
		m, d := e.image(app, name, extra)
		ref := "/v2/" + app + "/manifests/"
		a := e.do("writer", "PUT", ref+name, m, "Content-Type: "+typeImage+"; charset=utf-8").is(201).
			has("Location: "+ref+string(d), "Docker-Content-Digest: "+string(d), "Oci-Tag:", "Oci-Subject:")
		if string(a.body) != "OK" {
			t.Errorf("body %q", a.body)
		}
		for _, who := range []string{"reader", "writer", "full", "auditor"} {
			for _, target := range []string{name, string(d)} {
				headers := []string{"Content-Type: " + typeImage, "Docker-Content-Digest: " + string(d), "Content-Length: " + strconv.Itoa(len(m)), `Etag: "` + string(d) + `"`}
				a := e.do(who, "GET", ref+target, nil).is(200).has(headers...)
				if string(a.body) != m {
					t.Errorf("body differs: %q", a.body)
				}
				a = e.do(who, "HEAD", ref+target, nil).is(200).has(headers...)
				if len(a.body) != 0 {
					t.Errorf("HEAD with a body %q", a.body)
				}
				e.do(who, "GET", ref+target, nil, `If-None-Match: "other", W/"`+string(d)+`"`).is(304)
				e.do(who, "GET", ref+target, nil, `If-None-Match: "other"`).is(200)
			}
		}
	}
	if e.mem == nil {
		return
	}
	if e.mem.actor.Name != "writer" || e.mem.actor.Kind != gantry.ActorUser || e.mem.actor.IP != "127.0.0.1" || e.mem.actor.Request == "" {
		t.Errorf("actor %+v", e.mem.actor)
	}
}

func TestPullsAreLogged(t *testing.T) {
	e := newEnv(t)
	_, d := e.pushImage(app, "v1")
	ref := "/v2/" + app + "/manifests/"
	e.do("reader", "HEAD", ref+"v1", nil).is(200)
	e.do("reader", "GET", ref+"v1", nil, `If-None-Match: "`+string(d)+`"`).is(304)
	e.do("reader", "GET", ref+"nope", nil).fails(404, "MANIFEST_UNKNOWN")
	e.do("reader", "GET", ref+"v1", nil).is(200)
	e.do("reader", "GET", ref+string(d), nil).is(200)
	if want := []string{"1 v1 reader", "1 " + string(d) + " reader"}; !slices.Equal(e.mem.pulls, want) {
		t.Errorf("pulls %q, want %q", e.mem.pulls, want)
	}
	e.mem.pullErr = errBroken
	e.do("reader", "GET", ref+"v1", nil).fails(503, "UNAVAILABLE")
	e.do("reader", "HEAD", ref+"v1", nil).is(200)
	if err := e.reg.Configure(registry.Settings{LooseLogging: true}); err != nil {
		t.Fatal(err)
	}
	e.do("reader", "GET", ref+"v1", nil).is(200)
	e.mem.pulls = nil
	if err := e.reg.Configure(registry.Settings{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	e.do("reader", "GET", ref+"v1", nil).is(200)
	if len(e.mem.pulls) != 0 {
		t.Errorf("read-only registry logged %q", e.mem.pulls)
	}
}

func testNegotiation(t *testing.T, newEnv maker) {
	e := newEnv(t)
	base := "/v2/" + app + "/manifests/"
	amd, amdDigest := e.image(app, "amd64", "")
	arm, armDigest := e.image(app, "arm64", "")
	e.do("writer", "PUT", base+string(amdDigest), amd, "Content-Type: "+typeImage).is(201)
	e.do("writer", "PUT", base+string(armDigest), arm, "Content-Type: "+typeImage).is(201)
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":1,"platform":{"os":"linux","architecture":"arm64"}},{"mediaType":%q,"digest":%q,"size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		typeIndex, typeImage, armDigest, typeImage, amdDigest)
	indexDigest := gantry.FromBytes([]byte(index))
	e.do("writer", "PUT", base+"multi", index, "Content-Type: "+typeIndex).is(201)
	for accept, want := range map[string]gantry.Digest{
		"":                                      indexDigest,
		"*/*":                                   indexDigest,
		"application/*":                         indexDigest,
		"application/json":                      indexDigest,
		"text/html, image/*;q=0.8":              indexDigest,
		typeIndex:                               indexDigest,
		strings.ToUpper(typeIndex):              indexDigest,
		typeImage + ", " + typeIndex + ";q=0.1": indexDigest,
		typeImage:                               amdDigest,
		typeImage + ";q=0.5, " + typeDocker:     amdDigest,
		typeImage + ", " + typeIndex + "; q=0.000": amdDigest,
		typeDocker: "",
		"application/vnd.docker.distribution.manifest.v1+json": "",
		typeIndex + ";q=0": "",
	} {
		var headers []string
		if accept != "" {
			headers = []string{"Accept: " + accept}
		}
		a := e.do("reader", "GET", base+"multi", nil, headers...)
		if want == "" {
			a.fails(404, "MANIFEST_UNKNOWN")
			continue
		}
		a.is(200).has("Docker-Content-Digest: "+string(want), "Vary: Accept")
		if gantry.FromBytes(a.body) != want {
			t.Errorf("Accept %q: body of another digest", accept)
		}
	}
	e.do("reader", "GET", base+string(indexDigest), nil, "Accept: "+typeImage).is(200).has("Content-Type: " + typeIndex)
	e.do("reader", "GET", base+"multi", nil, "Accept: "+typeImage, "Accept: "+typeIndex).is(200).has("Content-Type: " + typeIndex)
	if e.mem == nil {
		return
	}
	delete(e.mem.repos[1].manifests, amdDigest) // a sparse index
	e.do("reader", "GET", base+"multi", nil, "Accept: "+typeImage).fails(404, "MANIFEST_UNKNOWN")
}

func testPutManifestRefusals(t *testing.T, newEnv maker) {
	e := newEnv(t)
	base := "/v2/" + app + "/manifests/"
	m, d := e.image(app, "one", "")
	e.do("writer", "PUT", base+"-bad", m, "Content-Type: "+typeImage).fails(400, "TAG_INVALID")
	e.do("writer", "PUT", base+"v1", m, "Content-Type: text/plain").fails(415, "MANIFEST_INVALID")
	e.do("writer", "PUT", base+"v1", m, "Content-Type: ///").fails(415, "MANIFEST_INVALID")
	e.do("writer", "PUT", base+"v1", "{", "Content-Type: "+typeImage).fails(400, "MANIFEST_INVALID")
	e.do("writer", "PUT", base+"v1", nil, "Content-Type: "+typeImage).fails(400, "MANIFEST_INVALID")
	e.do("writer", "PUT", base+string(gantry.FromBytes([]byte("x"))), m, "Content-Type: "+typeImage).fails(400, "MANIFEST_INVALID")
	unknown := strings.Replace(m, "layers", "layers_", 1)
	unknown = strings.Replace(unknown, `"layers_"`, `"layers":[{"digest":"`+string(gantry.FromBytes([]byte("none")))+`"}],"old"`, 1)
	doc := e.do("writer", "PUT", base+"v1", unknown, "Content-Type: "+typeImage).fails(400, "MANIFEST_BLOB_UNKNOWN")
	if !strings.Contains(fmt.Sprint(doc.Errors[0].Detail), string(gantry.FromBytes([]byte("none")))) {
		t.Errorf("the detail does not name the blob: %+v", doc)
	}
	large := strings.Repeat(" ", int(e.content.Limits().Manifest)+1)
	e.do("writer", "PUT", base+"v1", large, "Content-Type: "+typeImage).fails(413, "SIZE_INVALID")
	e.do("writer", "PUT", base+"v1", io.MultiReader(strings.NewReader(large)), "Content-Type: "+typeImage).fails(413, "SIZE_INVALID")
	e.do("writer", "PUT", base+"frozen", m, "Content-Type: "+typeImage).is(201)
	e.content.freeze(app, "frozen")
	e.do("writer", "PUT", base+"frozen", m, "Content-Type: "+typeImage).is(201) // nothing changes
	other, _ := e.image(app, "two", "")
	doc = e.do("writer", "PUT", base+"frozen", other, "Content-Type: "+typeImage).fails(409, "TAG_IMMUTABLE")
	if !strings.Contains(doc.Errors[0].Message, "frozen") {
		t.Errorf("the message does not name the tag: %+v", doc)
	}
	e.do("writer", "PUT", base+"chunked", io.MultiReader(strings.NewReader(m)), "Content-Type: application/json").is(201).has("Docker-Content-Digest: " + string(d))
	e.do("reader", "GET", base+"chunked", nil).is(200).has("Content-Type: " + typeImage)
}

// testManifestShapes pushes manifests of all forms that clients and attackers
// send, and expects those that are taken back byte for byte.
func testManifestShapes(t *testing.T, newEnv maker) {
	e := newEnv(t)
	empty := e.pushBlob(app, []byte("{}"))
	layer := e.pushBlob(app, []byte("layer"))
	nothing := e.pushBlob(app, nil)
	none := gantry.FromBytes([]byte("none"))
	config := fmt.Sprintf(`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2}`, empty)
	one := func(mediaType string, d any, size int) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":"%v","size":%d}`, mediaType, d, size)
	}
	image := func(layers ...string) string {
		return `{"schemaVersion":2,"mediaType":"` + typeImage + `",` + config + `,"layers":[` + strings.Join(layers, ",") + `]}`
	}
	index := func(children ...string) string {
		return `{"schemaVersion":2,"mediaType":"` + typeIndex + `","manifests":[` + strings.Join(children, ",") + `]}`
	}
	const tar = "application/vnd.oci.image.layer.v1.tar"
	plain := image(one(tar, layer, 5))
	child := one(typeImage, gantry.FromBytes([]byte(plain)), len(plain))
	inner := index(child)
	many := make([]string, 400)
	for i := range many {
		many[i] = one(typeImage, gantry.FromBytes([]byte(strconv.Itoa(i))), 1)
	}
	for i, tt := range []struct {
		name, mediaType, body string
		status                int
		code                  string
	}{
		{"image", typeImage, plain, 201, ""},
		{"no layers", typeImage, image(), 201, ""},
		{"empty layer", typeImage, image(one(tar, nothing, 0)), 201, ""},
		{"same layer twice", typeImage, image(one(tar, layer, 5), one(tar, layer, 5)), 201, ""},
		{"zstd", typeImage, image(one(tar+"+zstd", layer, 5)), 201, ""},
		{"any type", typeImage, image(one("application/vnd.example.model.v7+whatever", layer, 5)), 201, ""},
		{"foreign", typeImage, image(one("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", none, 5)), 201, ""},
		{"nondistributable", typeImage, image(one("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", none, 5)), 201, ""},
		{"artifact", typeImage, `{"schemaVersion":2,"mediaType":"` + typeImage + `","artifactType":"application/x",` + config + `,"layers":[]}`, 201, ""},
		{"white space", typeImage, " \n" + plain + "\n\t", 201, ""},
		{"index", typeIndex, inner, 201, ""},
		{"index of an index", typeIndex, index(one(typeIndex, gantry.FromBytes([]byte(inner)), len(inner))), 201, ""},
		{"same child twice", typeIndex, index(child, child), 201, ""},
		{"empty index", typeIndex, index(), 201, ""},
		{"unknown layer", typeImage, image(one(tar, none, 5)), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"unknown child", typeIndex, index(one(typeImage, none, 5)), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"many unknown children", typeIndex, index(many...), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"100,000 children", typeIndex, index(slices.Repeat(many, 250)...), 413, "SIZE_INVALID"},
		{"malformed digest", typeImage, image(one(tar, "sha256:xyz", 5)), 400, "MANIFEST_INVALID"},
		{"path as digest", typeImage, image(one(tar, "../../etc/passwd", 5)), 400, "MANIFEST_INVALID"},
		{"negative size", typeImage, image(one(tar, layer, -1)), 400, "MANIFEST_INVALID"},
		{"deep", typeImage, `{"schemaVersion":2,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}", 400, "MANIFEST_INVALID"},
		{"cut", typeImage, plain[:len(plain)-1], 400, "MANIFEST_INVALID"},
		{"two documents", typeImage, plain + plain, 400, "MANIFEST_INVALID"},
		{"null", typeImage, "null", 400, "MANIFEST_INVALID"},
		{"array", typeImage, "[]", 400, "MANIFEST_INVALID"},
		{"string", typeImage, `"` + typeImage + `"`, 400, "MANIFEST_INVALID"},
		{"empty", typeImage, "", 400, "MANIFEST_INVALID"},
		{"html", "text/html", "<script>alert(1)</script>", 415, "MANIFEST_INVALID"},
	} {
		path := fmt.Sprintf("/v2/%s/manifests/t%d", app, i)
		a := e.do("writer", "PUT", path, tt.body, "Content-Type: "+tt.mediaType)
		switch {
		case a.status != tt.status:
			t.Errorf("%s: status %d, want %d: %.200s", tt.name, a.status, tt.status, a.body)
		case tt.code != "":
			a.fails(tt.status, tt.code)
		default:
			if a = e.do("reader", "GET", path, nil).is(200).has("Content-Type: " + tt.mediaType); string(a.body) != tt.body {
				t.Errorf("%s: came back as %q", tt.name, a.body)
			}
		}
	}
}

func testTagsByDigestParameter(t *testing.T, newEnv maker) {
	e := newEnv(t)
	base := "/v2/" + app + "/manifests/"
	m, d := e.image(app, "one", "")
	a := e.do("writer", "PUT", base+string(d)+"?tag=1.2.3&tag=1.2&tag=latest&tag=1.2", m, "Content-Type: "+typeImage).is(201)
	if got := a.header.Values("OCI-Tag"); !slices.Equal(got, []string{"1.2.3", "1.2", "latest"}) {
		t.Errorf("OCI-Tag %q", got)
	}
	for _, tag := range []string{"1.2.3", "1.2", "latest"} {
		e.do("reader", "HEAD", base+tag, nil).is(200).has("Docker-Content-Digest: " + string(d))
	}
	e.do("writer", "PUT", base+string(d)+"?tag=ok&tag=-bad", m, "Content-Type: "+typeImage).fails(400, "TAG_INVALID")
	e.do("reader", "HEAD", base+"ok", nil).is(404)
	var many strings.Builder
	for i := range 101 {
		fmt.Fprintf(&many, "&tag=t%d", i)
	}
	e.do("writer", "PUT", base+string(d)+"?"+many.String(), m, "Content-Type: "+typeImage).fails(414, "TOO_MANY_TAGS_REQUESTED")
	sum := sha512.Sum512([]byte(m))
	long := "sha512:" + hex.EncodeToString(sum[:])
	e.do("writer", "PUT", base+long+"?tag=long", m, "Content-Type: "+typeImage).is(201).has("Docker-Content-Digest: "+long, "Oci-Tag: long")
	e.do("reader", "GET", base+"long", nil).is(200).has("Docker-Content-Digest: " + long)
}

func testDeleteManifest(t *testing.T, newEnv maker) {
	e := newEnv(t)
	m, d := e.pushImage(app, "v1")
	base := "/v2/" + app + "/manifests/"
	e.do("writer", "PUT", base+"v2", m, "Content-Type: "+typeImage).is(201)
	e.do("writer", "DELETE", base+"nope", nil).fails(404, "MANIFEST_UNKNOWN")
	e.do("writer", "DELETE", base+"v1", nil).is(202).has("Content-Length: 0")
	e.do("reader", "GET", base+"v1", nil).fails(404, "TAG_EXPIRED")
	e.do("reader", "GET", base+string(d), nil).is(200)
	e.do("writer", "DELETE", base+string(d), nil).is(202)
	e.do("writer", "DELETE", base+string(d), nil).fails(404, "MANIFEST_UNKNOWN")
	e.do("reader", "GET", base+string(d), nil).fails(404, "MANIFEST_UNKNOWN")
	e.do("reader", "GET", base+"v2", nil).fails(404, "TAG_EXPIRED")
}

func testBlobs(t *testing.T, newEnv maker) {
	e := newEnv(t)
	b := bytes.Repeat([]byte("0123456789"), 10_000)
	d := e.pushBlob(app, b)
	path := "/v2/" + app + "/blobs/" + string(d)
	headers := []string{"Docker-Content-Digest: " + string(d), "Content-Length: 100000", "Content-Type: application/octet-stream", "Accept-Ranges: bytes", "Cache-Control: max-age=31436000"}
	e.do("reader", "HEAD", path, nil).is(200).has(headers...)
	if a := e.do("reader", "GET", path, nil).is(200).has(headers...); !bytes.Equal(a.body, b) {
		t.Error("the body differs")
	}
	if e.mem != nil && e.mem.renewed != 0 {
		t.Error("a reader renewed a lease")
	}
	e.do("writer", "HEAD", path, nil).is(200)
	if e.mem != nil && e.mem.renewed != 1 {
		t.Error("HEAD of a writer did not renew the lease")
	}
	e.do("reader", "GET", path, nil, `If-None-Match: *`).is(304)
	e.do("reader", "HEAD", path, nil, `If-None-Match: "`+string(d)+`"`).is(304)
	none := "/v2/" + app + "/blobs/" + string(gantry.FromBytes([]byte("none")))
	e.do("reader", "GET", none, nil).fails(404, "BLOB_UNKNOWN")
	e.do("reader", "HEAD", none, nil).is(404)

	for _, tt := range []struct {
		header string
		from   int
		to     int // exclusive; 0 = whole
	}{
		{"bytes=0-0", 0, 1}, {"bytes=5-14", 5, 15}, {"bytes=99990-", 99990, 100000}, {"bytes=99990-200000", 99990, 100000},
		{"bytes=-10", 99990, 100000}, {"bytes=-200000", 0, 100000}, {"bytes= 3-4 ", 3, 5}, {"BYTES=3-4", 3, 5}, {"bytes=3-4,", 3, 5},
		{"bytes=0-1,200000-", 0, 2},
		{"bytes=0-1,4-3", 0, 2}, {"bytes=a-b", 0, 0}, {"bytes=-", 0, 0}, {"lines=1-2", 0, 0}, {"bytes", 0, 0}, {"bytes=", 0, 0}, {"bytes=+1-2", 0, 0},
		{"bytes=0-99999,0-99999", 0, 0}, {"bytes=" + strings.Repeat("0-0,", 17), 0, 0},
	} {
		a := e.do("reader", "GET", path, nil, "Range: "+tt.header)
		if tt.to == 0 {
			if a.is(200); !bytes.Equal(a.body, b) {
				t.Errorf("%s: not the whole", tt.header)
			}
			continue
		}
		a.is(206).has(fmt.Sprintf("Content-Range: bytes %d-%d/100000", tt.from, tt.to-1), fmt.Sprintf("Content-Length: %d", tt.to-tt.from))
		if !bytes.Equal(a.body, b[tt.from:tt.to]) {
			t.Errorf("%s: wrong bytes", tt.header)
		}
	}
	for _, bad := range []string{"bytes=100000-", "bytes=-0", "bytes=4-3", "bytes=500-0", "bytes=100000-100001,200000-"} {
		e.do("reader", "GET", path, nil, "Range: "+bad).has("Content-Range: bytes */100000").fails(416, "INVALID_REQUEST")
	}
	e.do("reader", "GET", path, nil, "Range: bytes=1-2", `If-Range: "`+string(d)+`"`).is(206)
	e.do("reader", "GET", path, nil, "Range: bytes=1-2", `If-Range: "other"`).is(200)
	e.do("reader", "GET", path, nil, "Range: bytes=1-2", `If-Range: Mon, 02 Jan 2006 15:04:05 GMT`).is(200)
	a := e.do("reader", "GET", path, nil, "Range: bytes=0-1,-2").is(206)
	boundary := strings.TrimPrefix(a.header.Get("Content-Type"), "multipart/byteranges; boundary=")
	want := "--" + boundary + "\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-1/100000\r\n\r\n01\r\n--" +
		boundary + "\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 99998-99999/100000\r\n\r\n89\r\n--" + boundary + "--\r\n"
	if string(a.body) != want {
		t.Errorf("multipart body %q", a.body)
	}
	empty := e.pushBlob(app, nil)
	e.do("reader", "GET", "/v2/"+app+"/blobs/"+string(empty), nil).is(200).has("Content-Length: 0")
	e.do("reader", "GET", "/v2/"+app+"/blobs/"+string(empty), nil, "Range: bytes=0-").is(200)
}

func TestBlobRedirect(t *testing.T) {
	e := newEnv(t)
	d := e.pushBlob(app, []byte("bytes"))
	e.mem.url = "https://bucket.example.com/key?signature=1"
	path := "/v2/" + app + "/blobs/" + string(d)
	e.do("reader", "GET", path, nil).is(302).has("Location: "+e.mem.url, "Docker-Content-Digest: "+string(d), "Content-Length: 0")
	e.do("reader", "HEAD", path, nil).is(200).has("Content-Length: 5", "Location:")
}

// A blob that breaks off half-way must not look whole.
func TestBlobBreaksOff(t *testing.T) {
	e := newEnv(t)
	d := e.pushBlob(app, bytes.Repeat([]byte("x"), 1<<19))
	e.mem.openErr = errBroken
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+"/v2/"+app+"/blobs/"+string(d), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer reader")
	res, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("read %d bytes without an error", len(b))
	}
	if !strings.Contains(e.log.String(), errBroken.Error()) {
		t.Error("the failure was not logged")
	}
}

// The same over HTTP/2, where streams share a connection.
func TestHTTP2(t *testing.T) {
	e := newEnv(t)
	srv, err := httpd.New(httpd.Options{Handler: httpd.Middleware(httpd.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)}, e.reg), H2C: true})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := srv.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer func() {
		tr.CloseIdleConnections()
		_ = srv.Shutdown(context.WithoutCancel(t.Context()))
	}()
	e.url, e.client = "http://"+addr.String(), &http.Client{Transport: tr}
	b := bytes.Repeat([]byte("0123456789"), 50_000)
	d := e.pushBlob(app, b)
	path := "/v2/" + app + "/blobs/" + string(d)
	if a := e.do("reader", "GET", path, nil).is(200).has("Content-Length: 500000"); !bytes.Equal(a.body, b) {
		t.Error("the body differs")
	}
	if a := e.do("reader", "GET", path, nil, "Range: bytes=10-29").is(206); !bytes.Equal(a.body, b[10:30]) {
		t.Errorf("range %q", a.body)
	}
	e.do("", "GET", path, nil).fails(401, "UNAUTHORIZED")
	_, m := e.pushImage(app, "v1")
	e.do("reader", "HEAD", "/v2/"+app+"/manifests/v1", nil).is(200).has("Docker-Content-Digest: " + string(m))
	e.mem.openErr = errBroken
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer reader")
	res, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.ProtoMajor != 2 {
		t.Errorf("spoke %s", res.Proto)
	}
	if got, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("read %d bytes of a broken blob without an error", len(got))
	}
}

func testDeleteBlob(t *testing.T, newEnv maker) {
	e := newEnv(t)
	m, _ := e.pushImage(app, "v1")
	var doc struct {
		Config struct{ Digest string }
	}
	if err := json.Unmarshal([]byte(m), &doc); err != nil {
		t.Fatal(err)
	}
	e.do("writer", "DELETE", "/v2/"+app+"/blobs/"+doc.Config.Digest, nil).fails(405, "DENIED")
	d := e.pushBlob(app, []byte("free"))
	e.do("reader", "DELETE", "/v2/"+app+"/blobs/"+string(d), nil).fails(401, "UNAUTHORIZED")
	e.do("writer", "DELETE", "/v2/"+app+"/blobs/"+string(d), nil).is(202)
	e.do("writer", "DELETE", "/v2/"+app+"/blobs/"+string(d), nil).fails(404, "BLOB_UNKNOWN")
	e.do("writer", "GET", "/v2/"+app+"/blobs/"+string(d), nil).fails(404, "BLOB_UNKNOWN")
}

func testUploads(t *testing.T, newEnv maker) {
	e := newEnv(t)
	start := "/v2/" + app + "/blobs/uploads/"
	b := []byte("hello, world")
	d := gantry.FromBytes(b)
	blob := e.url + "/v2/" + app + "/blobs/" + string(d)
	begin := func(query string) string {
		t.Helper()
		a := e.do("writer", "POST", start+query, nil).is(202).has("Range: 0-0", "Content-Length: 0")
		loc, uuid := a.header.Get("Location"), a.header.Get("Docker-Upload-Uuid")
		if loc != e.url+start+uuid || uuid == "" {
			t.Fatalf("Location %q, uuid %q", loc, uuid)
		}
		return loc
	}
	finish := func(loc, digest string, body any, headers ...string) *answer {
		t.Helper()
		return e.do("writer", "PUT", loc+"?digest="+url.QueryEscape(digest), body, headers...)
	}
	created := func(a *answer) {
		t.Helper()
		a.is(201).has("Location: "+blob, "Docker-Content-Digest: "+string(d), "Content-Length: 0")
		if got := e.do("reader", "GET", blob, nil).is(200); string(got.body) != string(b) {
			t.Errorf("blob is %q", got.body)
		}
		e.do("writer", "DELETE", blob, nil).is(202)
	}
	t.Run("post whole", func(*testing.T) {
		created(e.do("writer", "POST", start+"?digest="+string(d), b))
	})
	t.Run("post whole chunked", func(*testing.T) {
		created(e.do("writer", "POST", start+"?digest="+string(d), io.MultiReader(bytes.NewReader(b))))
	})
	t.Run("post, put", func(*testing.T) { created(finish(begin(""), string(d), b)) })
	t.Run("post, patch streamed, put", func(*testing.T) {
		loc := begin("")
		e.do("writer", "PATCH", loc, io.MultiReader(bytes.NewReader(b))).is(202).has("Range: 0-11", "Location: "+loc)
		created(finish(loc, string(d), nil))
	})
	t.Run("post, patch in order, put last", func(*testing.T) {
		loc := begin("")
		e.do("writer", "PATCH", loc, b[:1], "Content-Range: 0-0").is(202).has("Range: 0-0")
		e.do("writer", "PATCH", loc, b[1:5], "Content-Range: 1-4").is(202).has("Range: 0-4")
		e.do("writer", "GET", loc, nil).is(204).has("Range: 0-4", "Location: "+loc)
		e.do("writer", "PATCH", loc, b[5:7], "Content-Range: bytes 5-6/12").is(202).has("Range: 0-6")
		e.do("writer", "PATCH", loc, b[7:8]).is(202).has("Range: 0-7")
		created(finish(loc, string(d), b[8:], "Content-Range: 8-11"))
	})
	t.Run("out of order", func(*testing.T) {
		loc := begin("")
		uuid := loc[strings.LastIndexByte(loc, '/')+1:]
		e.do("writer", "PATCH", loc, b[:5], "Content-Range: 0-4").is(202)
		for _, r := range []string{"0-4", "4-8", "6-10"} {
			e.do("writer", "PATCH", loc, b[:5], "Content-Range: "+r).
				has("Range: 0-4", "Location: "+loc, "Docker-Upload-Uuid: "+uuid).fails(416, "BLOB_UPLOAD_INVALID")
		}
		finish(loc, string(d), b[:5], "Content-Range: 9-13").has("Range: 0-4").fails(416, "BLOB_UPLOAD_INVALID")
		created(finish(loc, string(d), b[5:], "Content-Range: 5-11"))
	})
	t.Run("malformed ranges", func(*testing.T) {
		loc := begin("")
		for _, r := range []string{"x", "5", "5-", "-5", "4-3", "1-2-3", "0x1-2", "bytes */4", "0-9223372036854775807"} {
			e.do("writer", "PATCH", loc, b[:5], "Content-Range: "+r).fails(400, "INVALID_REQUEST")
		}
		e.do("writer", "PATCH", loc, b[:5], "Content-Range: 0-3").fails(400, "SIZE_INVALID")
		e.do("writer", "PATCH", loc, io.MultiReader(bytes.NewReader(b)), "Content-Range: 0-3").fails(400, "SIZE_INVALID")
		loc = begin("")
		e.do("writer", "PATCH", loc, io.MultiReader(bytes.NewReader(b[:3])), "Content-Range: 0-3").fails(400, "SIZE_INVALID")
	})
	t.Run("digests", func(*testing.T) {
		loc := begin("")
		e.do("writer", "PUT", loc, b).fails(400, "DIGEST_INVALID")
		finish(loc, "sha256:abc", b).fails(400, "DIGEST_INVALID")
		finish(loc, string(gantry.FromBytes([]byte("other"))), b).fails(400, "DIGEST_INVALID")
		e.do("writer", "POST", start+"?digest=md5:00", b).fails(400, "DIGEST_INVALID")
		e.do("writer", "POST", start+"?digest="+string(d), nil).fails(400, "DIGEST_INVALID")
		e.do("writer", "POST", start+"?digest-algorithm=md5", nil).fails(400, "DIGEST_INVALID")
	})
	t.Run("sha512", func(*testing.T) {
		sum := sha512.Sum512(b)
		long := "sha512:" + hex.EncodeToString(sum[:])
		loc := begin("?digest-algorithm=sha512")
		e.do("writer", "PATCH", loc, b).is(202)
		finish(loc, long, nil).is(201).has("Docker-Content-Digest: " + long)
		e.do("reader", "GET", "/v2/"+app+"/blobs/"+long, nil).is(200)
	})
	t.Run("cancel", func(*testing.T) {
		loc := begin("")
		e.do("writer", "DELETE", loc, nil).is(204)
		e.do("writer", "DELETE", loc, nil).fails(404, "BLOB_UPLOAD_UNKNOWN")
		e.do("writer", "GET", loc, nil).fails(404, "BLOB_UPLOAD_UNKNOWN")
		e.do("writer", "PATCH", loc, b).fails(404, "BLOB_UPLOAD_UNKNOWN")
		finish(loc, string(d), b).fails(404, "BLOB_UPLOAD_UNKNOWN")
		e.do("writer", "GET", start+strings.Repeat("a", 65), nil).fails(404, "BLOB_UPLOAD_UNKNOWN")
	})
	t.Run("another repository's", func(*testing.T) {
		loc := begin("")
		elsewhere := strings.Replace(loc, app, public, 1)
		e.do("writer", "GET", elsewhere, nil).fails(404, "BLOB_UPLOAD_UNKNOWN")
		e.do("writer", "PATCH", elsewhere, b).fails(404, "BLOB_UPLOAD_UNKNOWN")
	})
	t.Run("too large", func(*testing.T) {
		large := make([]byte, e.content.Limits().Blob+10)
		loc := begin("")
		doc := e.do("writer", "PATCH", loc, large).fails(413, "SIZE_INVALID")
		if doc.Errors[0].Detail["max_allowed"] != float64(e.content.Limits().Blob) || doc.Errors[0].Detail["reason"] == nil || doc.Errors[0].Detail["uploaded"] == nil {
			t.Errorf("detail %v", doc.Errors[0].Detail)
		}
		e.do("writer", "POST", start+"?digest="+string(gantry.FromBytes(large)), large).fails(413, "SIZE_INVALID")
	})
}

// What arrived before the client left is kept and can be continued.
func testUploadResumes(t *testing.T, newEnv maker) {
	e := newEnv(t)
	a := e.do("writer", "POST", "/v2/"+app+"/blobs/uploads/", nil).is(202)
	loc := a.header.Get("Location")
	b := bytes.Repeat([]byte("abc"), 1000)
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write(b[:1500])
		_ = pw.CloseWithError(errBroken)
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, loc, pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer writer")
	req.ContentLength = int64(len(b))
	if res, err := e.client.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatal("the request did not break off")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		a = e.do("writer", "GET", loc, nil).is(204)
		if a.header.Get("Range") == "0-1499" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Range %s, want 0-1499", a.header.Get("Range"))
		}
	}
	d := gantry.FromBytes(b)
	e.do("writer", "PUT", loc+"?digest="+string(d), b[1500:], "Content-Range: 1500-2999").is(201)
	if strings.Contains(e.log.String(), "level=ERROR") {
		t.Errorf("a client that left is logged as our error: %s", e.log)
	}
}

func testMount(t *testing.T, newEnv maker) {
	e := newEnv(t)
	inPublic := e.pushBlob(public, []byte("in public"))
	inApp := e.pushBlob(app, []byte("in app"))
	hidden := gantry.FromBytes([]byte("hidden"))
	e.do("foreign", "POST", "/v2/"+secret+"/blobs/uploads/?digest="+string(hidden), "hidden").is(201)
	for _, tt := range []struct {
		who, query string
		d          gantry.Digest
		status     int
	}{
		{"writer", "?mount=" + string(inPublic) + "&from=" + public, inPublic, 201},
		{"writer", "?mount=" + string(inPublic), inPublic, 201},
		{"foreign", "?mount=" + string(inPublic) + "&from=" + public, inPublic, 201}, // public
		{"foreign", "?mount=" + string(inPublic), inPublic, 201},
		{"writer", "?mount=" + string(inApp) + "&from=" + app, inApp, 201},
		{"writer", "?mount=" + string(inApp), inApp, 201},
		{"foreign", "?mount=" + string(inApp) + "&from=" + app, inApp, 202},
		{"foreign", "?mount=" + string(inApp), inApp, 202},
		{"writer", "?mount=" + string(hidden) + "&from=" + secret, hidden, 202},
		{"writer", "?mount=" + string(hidden), hidden, 202},
		{"writer", "?mount=" + string(inApp) + "&from=" + missing, inApp, 202},
		{"writer", "?mount=" + string(inApp) + "&from=UPPER/../x", inApp, 202},
		{"writer", "?mount=nonsense&from=" + app, inApp, 202},
		{"writer", "?mount=" + string(inPublic) + "&from=" + disabled, inPublic, 202},
	} {
		target := nested
		if tt.who == "foreign" {
			target = secret
		}
		a := e.do(tt.who, "POST", "/v2/"+target+"/blobs/uploads/"+tt.query, nil)
		if a.status != tt.status {
			t.Errorf("%s %s: status %d, want %d: %s", tt.who, tt.query, a.status, tt.status, a.body)
			continue
		}
		if tt.status == 201 {
			a.has("Location: "+e.url+"/v2/"+target+"/blobs/"+string(tt.d), "Docker-Content-Digest: "+string(tt.d))
			e.do(tt.who, "DELETE", "/v2/"+target+"/blobs/"+string(tt.d), nil).is(202)
		} else if a.header.Get("Docker-Upload-Uuid") == "" {
			t.Errorf("%s: no upload began", tt.query)
		}
	}
}

func testTagsList(t *testing.T, newEnv maker) {
	e := newEnv(t)
	path := "/v2/" + app + "/tags/list"
	if a := e.do("reader", "GET", path, nil).is(200).has("Link:"); string(a.body) != `{"name":"acme/app","tags":[]}` {
		t.Errorf("empty list %s", a.body)
	}
	m, d := e.image(app, "tagged", "")
	var want []string
	for i := range 250 {
		want = append(want, fmt.Sprintf("v%03d", i))
	}
	for tags := range slices.Chunk(want, 100) {
		e.do("writer", "PUT", "/v2/"+app+"/manifests/"+string(d)+"?tag="+strings.Join(tags, "&tag="), m, "Content-Type: "+typeImage).is(201)
	}
	walk := func(query string, size int) {
		t.Helper()
		var got []string
		for next := e.url + path + query; next != ""; {
			a := e.do("reader", "GET", next, nil).is(200)
			var doc struct{ Tags []string }
			if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Tags) > size {
				t.Fatalf("page %s: %v", a.body, err)
			}
			got = append(got, doc.Tags...)
			next = ""
			if link := a.header.Get("Link"); link != "" {
				inner, rel, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
				if rel != `; rel="next"` || !strings.HasPrefix(inner, e.url+path+"?n="+strconv.Itoa(size)+"&last=v") {
					t.Fatalf("Link %q", link)
				}
				next = inner
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d tags", query, len(got))
		}
	}
	walk("", 100)
	walk("?n=7", 7)
	walk("?n=250", 100)
	walk("?n=99999999999999999999", 100)
	if a := e.do("reader", "GET", path+"?n=0", nil).is(200).has("Link:"); string(a.body) != `{"name":"acme/app","tags":[]}` {
		t.Errorf("n=0: %s", a.body)
	}
	if a := e.do("reader", "GET", path+"?n=2&last=v100", nil).is(200); string(a.body) != `{"name":"acme/app","tags":["v101","v102"]}` {
		t.Errorf("last: %s", a.body)
	}
	e.do("reader", "GET", path+"?last="+strings.Repeat("x", 2000), nil).fails(400, "INVALID_REQUEST")
	e.do("reader", "HEAD", path, nil).is(200)
}

func TestCatalog(t *testing.T) {
	e := newEnv(t)
	own := storetest.Account(t, e.db, gantry.User)
	e.auth.grants["reader"].Actor.Account = own
	names := func(ids ...gantry.RepoID) string {
		t.Helper()
		list := []string{}
		for _, id := range ids {
			r, err := e.db.RepositoryByID(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, r.Name.String())
		}
		b, err := json.Marshal(map[string]any{"repositories": list})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var ids []gantry.RepoID
	for range 5 {
		ids = append(ids, storetest.RepoIn(t, e.db, own))
	}
	foreign := storetest.Repo(t, e.db)
	for _, who := range []string{"", "anonymous", "stranger"} {
		if a := e.do(who, "GET", "/v2/_catalog", nil).is(200); string(a.body) != names() {
			t.Errorf("%q sees %s", who, a.body)
		}
	}
	page := func(target string, more bool, want ...gantry.RepoID) string {
		t.Helper()
		a := e.do("reader", "GET", target, nil).is(200)
		link := a.header.Get("Link")
		if string(a.body) != names(want...) || (link != "") != more {
			t.Errorf("%s: %s, want %s; Link %q", target, a.body, names(want...), link)
		}
		next, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		return next
	}
	second := page("/v2/_catalog?n=2", true, ids[0], ids[1])
	third := page(second, true, ids[2], ids[3])
	page(strings.Replace(second, "next_page=", "last=", 1), true, ids[2], ids[3])
	page(third, false, ids[4])
	page("/v2/_catalog?n=5", false, ids...)
	page("/v2/_catalog", false, ids...)
	page("/v2/_catalog?n=0", false)
	e.do("stranger", "GET", second, nil).fails(400, "INVALID_REQUEST") // the token is bound to who asked
	e.do("reader", "GET", "/v2/_catalog?next_page=forged", nil).fails(400, "INVALID_REQUEST")
	for _, who := range []string{"super", "auditor", "full"} {
		if a := e.do(who, "GET", "/v2/_catalog", nil).is(200); string(a.body) != names(append(ids[:5:5], foreign)...) {
			t.Errorf("%s sees %s", who, a.body)
		}
	}
	storetest.Exec(t, e.db, `UPDATE repositories SET visibility = 'public' WHERE id = ?`, foreign)
	page("/v2/_catalog", false, ids...)
	if err := e.reg.Configure(registry.Settings{PublicCatalog: true}); err != nil {
		t.Fatal(err)
	}
	page("/v2/_catalog", false, append(ids[:5:5], foreign)...)
	if a := e.do("", "GET", "/v2/_catalog", nil).is(200); string(a.body) != names(foreign) {
		t.Errorf("anonymous sees %s", a.body)
	}
	if err := e.reg.Configure(registry.Settings{NoAnonymous: true}); err != nil {
		t.Fatal(err)
	}
	e.do("", "GET", "/v2/_catalog", nil).fails(401, "UNAUTHORIZED")
}

func testReferrers(t *testing.T, newEnv maker) {
	e := newEnv(t)
	_, subject := e.pushImage(app, "v1")
	path := "/v2/" + app + "/referrers/" + string(subject)
	const none = `{"schemaVersion":2,"mediaType":"` + typeIndex + `","manifests":[]}`
	if a := e.do("reader", "GET", path, nil).is(200).has("Content-Type: "+typeIndex, "Oci-Filters-Applied:"); string(a.body) != none {
		t.Errorf("no referrers: %s", a.body)
	}
	m, d := e.image(app, "signature", `,"artifactType":"application/x.sig","subject":{"mediaType":"`+typeImage+`","digest":"`+string(subject)+`","size":1}`)
	e.do("writer", "PUT", "/v2/"+app+"/manifests/"+string(d), m, "Content-Type: "+typeImage).is(201).has("Oci-Subject: " + string(subject))
	a := e.do("reader", "GET", path, nil).is(200)
	if !strings.Contains(string(a.body), string(d)) || !strings.Contains(string(a.body), `"artifactType":"application/x.sig"`) {
		t.Errorf("referrers: %s", a.body)
	}
	a = e.do("reader", "GET", path+"?artifactType=application%2Fx.sig", nil).is(200).has("Oci-Filters-Applied: artifactType")
	if !strings.Contains(string(a.body), string(d)) {
		t.Errorf("filtered: %s", a.body)
	}
	if a = e.do("reader", "GET", path+"?artifactType=other", nil).is(200).has("Oci-Filters-Applied: artifactType"); string(a.body) != none {
		t.Errorf("filtered: %s", a.body)
	}
	off := newEnv(t, func(o *registry.Options) { o.NoReferrers = true })
	off.do("reader", "GET", path, nil).fails(404, "NOT_FOUND")
}

// testReferrersPages walks over the pages of a long list, and tries what does
// not belong to it.
func testReferrersPages(t *testing.T, newEnv maker) {
	e := newEnv(t)
	_, subject := e.pushImage(app, "v1")
	path := "/v2/" + app + "/referrers/" + string(subject)
	var want, odd []string
	for i := range 7 {
		kind := []string{"application/x.even", "application/x.odd+v&1"}[i%2]
		m, d := e.image(app, "signature", fmt.Sprintf(`,"annotations":{"n":"%d","html":"<&>"},"artifactType":%q,"subject":{"mediaType":%q,"digest":%q,"size":1}`, i, kind, typeImage, subject))
		e.do("writer", "PUT", "/v2/"+app+"/manifests/"+string(d), m, "Content-Type: "+typeImage).is(201).has("Oci-Subject: " + string(subject))
		if want = append(want, string(d)); i%2 == 1 {
			odd = append(odd, string(d))
		}
	}
	var second string
	walk := func(query string, size int, want []string) {
		t.Helper()
		var got []string
		for next := e.url + path + query; next != ""; {
			a := e.do("reader", "GET", next, nil).is(200).has("Content-Type: " + typeIndex)
			var doc struct {
				SchemaVersion int
				MediaType     string
				Manifests     []struct{ Digest string }
			}
			if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Manifests) > size || doc.SchemaVersion != 2 || doc.MediaType != typeIndex {
				t.Fatalf("page %s: %v", a.body, err)
			}
			if strings.Contains(query, "artifactType") {
				a.has("Oci-Filters-Applied: artifactType")
			}
			for _, m := range doc.Manifests {
				got = append(got, m.Digest)
			}
			next = ""
			if link := a.header.Get("Link"); link != "" {
				inner, rel, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
				if rel != `; rel="next"` || !strings.HasPrefix(inner, e.url+path+"?") {
					t.Fatalf("Link %q", link)
				}
				next, second = inner, inner
			}
		}
		want = slices.Clone(want)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	walk("", 7, want)
	walk("?artifactType=application%2Fx.odd%2Bv%261&n=2", 2, odd)
	walk("?n=0", 1, want)
	walk("?n=3", 3, want)
	token := second[strings.Index(second, "next_page=")+len("next_page="):]
	for what, target := range map[string]string{
		"another subject":    "/v2/" + app + "/referrers/" + digestZero + "?next_page=" + token,
		"another repository": "/v2/" + public + "/referrers/" + string(subject) + "?next_page=" + token,
		"another filter":     path + "?artifactType=application%2Fx.even&next_page=" + token,
		"changed":            path + "?next_page=A" + token[1:] + "A",
		"cut":                path + "?next_page=" + token[:len(token)/2],
		"another listing":    "/v2/_catalog?next_page=" + token,
		"not a number":       path + "?n=x",
		"a long type":        path + "?artifactType=" + strings.Repeat("x", 256),
	} {
		if a := e.do("reader", "GET", target, nil); a.status != 400 {
			t.Errorf("%s: status %d: %s", what, a.status, a.body)
		}
	}
	if e.mem != nil {
		return
	}
	// What only the fallback tag's index names is on the first page alone, and
	// nothing is there twice.
	other, d := e.image(app, "fallback", "")
	e.do("writer", "PUT", "/v2/"+app+"/manifests/"+string(d), other, "Content-Type: "+typeImage).is(201)
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"Digest":"x","size":%d,"artifactType":"application/x.even","annotations":{"a":"b"}},{"mediaType":%q,"digest":%q,"size":1,"artifactType":"application/x.even","annotations":{"a":7}}]}`,
		typeIndex, typeImage, d, len(other), typeImage, want[6])
	e.do("writer", "PUT", "/v2/"+app+"/manifests/"+strings.Replace(string(subject), ":", "-", 1), index, "Content-Type: "+typeIndex).is(201)
	walk("", 8, append(want, string(d)))
	walk("?n=2", 4, append(want, string(d)))
	if a := e.do("reader", "GET", path, nil).is(200); !strings.Contains(string(a.body), `"annotations":{"a":"b"}`) || !strings.Contains(string(a.body), `"html":"<&>"`) {
		t.Errorf("annotations: %s", a.body)
	}
}

// routes are one request for each thing that the protocol does; %s is the
// repository.
var routes = []struct {
	method, path string
	write        bool
}{
	{"GET", "/v2/%s/tags/list", false},
	{"HEAD", "/v2/%s/tags/list", false},
	{"GET", "/v2/%s/manifests/latest", false},
	{"HEAD", "/v2/%s/manifests/latest", false},
	{"GET", "/v2/%s/manifests/" + digestZero, false},
	{"HEAD", "/v2/%s/manifests/" + digestZero, false},
	{"GET", "/v2/%s/blobs/" + digestZero, false},
	{"HEAD", "/v2/%s/blobs/" + digestZero, false},
	{"GET", "/v2/%s/referrers/" + digestZero, false},
	{"PUT", "/v2/%s/manifests/latest", true},
	{"PUT", "/v2/%s/manifests/" + digestZero, true},
	{"DELETE", "/v2/%s/manifests/latest", true},
	{"DELETE", "/v2/%s/manifests/" + digestZero, true},
	{"DELETE", "/v2/%s/blobs/" + digestZero, true},
	{"POST", "/v2/%s/blobs/uploads/", true},
	{"POST", "/v2/%s/blobs/uploads/?mount=" + digestZero, true},
	{"POST", "/v2/%s/blobs/uploads/?digest=" + digestZero, true},
	{"GET", "/v2/%s/blobs/uploads/00000000-0000-4000-8000-000000000000", true},
	{"PATCH", "/v2/%s/blobs/uploads/00000000-0000-4000-8000-000000000000", true},
	{"PUT", "/v2/%s/blobs/uploads/00000000-0000-4000-8000-000000000000?digest=" + digestZero, true},
	{"DELETE", "/v2/%s/blobs/uploads/00000000-0000-4000-8000-000000000000", true},
}

const digestZero = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// testWhoMayWhat is every route, asked by everybody, of every repository.
func testWhoMayWhat(t *testing.T, newEnv maker) {
	e := newEnv(t)
	read := map[string][]string{ // who may read what
		app:      {"reader", "writer", "admin", "robot", "full", "auditor"},
		public:   {"", "anonymous", "stranger", "reader", "writer", "admin", "robot", "foreign", "super", "full", "auditor"},
		secret:   {"foreign", "full", "auditor"},
		frozen:   {"reader", "writer", "admin", "robot", "full", "auditor"},
		mirrored: {"reader", "writer", "admin", "robot", "full", "auditor"},
		missing:  {"full", "auditor"}, // may know that it is not there
	}
	write := map[string][]string{
		app:      {"writer", "admin", "robot"},
		public:   {"writer", "admin", "robot"},
		secret:   {"foreign"},
		mirrored: {"robot"},
	}
	who := []string{""}
	for name := range e.auth.grants {
		who = append(who, name)
	}
	for _, r := range routes {
		for repo := range read {
			for _, w := range who {
				path := fmt.Sprintf(r.path, repo)
				a := e.do(w, r.method, path, nil)
				allowed := slices.Contains(read[repo], w)
				scope := "pull"
				if r.write {
					allowed, scope = slices.Contains(write[repo], w), "pull,push"
				}
				switch {
				case allowed && a.status == 401:
					t.Errorf("%q %s %s: refused", w, r.method, path)
				case allowed && repo == missing:
					a.fails(404, "NAME_UNKNOWN")
				case !allowed:
					a.fails(401, "UNAUTHORIZED")
					a.has(`Www-Authenticate: Bearer realm="`+e.url+`/v2/auth",service="`+strings.TrimPrefix(e.url, "http://")+`",scope="repository:`+repo+`:`+scope+`"`,
						"Docker-Distribution-Api-Version: registry/2.0")
				}
			}
		}
	}
}

// testNothingTellsPrivateFromMissing compares whole answers.
func testNothingTellsPrivateFromMissing(t *testing.T, newEnv maker) {
	e := newEnv(t)
	e.pushImage(app, "latest")
	plain := func(a *answer, repo string) string {
		h := a.header.Clone()
		for _, k := range []string{"X-Request-Id", "Date"} {
			h.Del(k)
		}
		return strings.ReplaceAll(fmt.Sprint(a.status, h, string(a.body)), repo, "REPO")
	}
	const gone = "acme/xyz" // as long as app
	for _, r := range routes {
		for _, who := range []string{"", "anonymous", "stranger", "foreign", "super"} {
			a := plain(e.do(who, r.method, fmt.Sprintf(r.path, app), nil), app)
			b := plain(e.do(who, r.method, fmt.Sprintf(r.path, gone), nil), gone)
			if a != b {
				t.Errorf("%q %s %s:\nprivate %s\nmissing %s", who, r.method, r.path, a, b)
			}
		}
	}
}

func testStates(t *testing.T, newEnv maker) {
	writes := 0
	check := func(s registry.Settings, look func(a *answer, write bool)) {
		t.Helper()
		e := newEnv(t)
		e.pushImage(app, "latest")
		s.Names = gantry.NameRules{Nested: true}
		if err := e.reg.Configure(s); err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			look(e.do("admin", r.method, fmt.Sprintf(r.path, app), nil), r.write && r.method != "GET")
		}
	}
	check(registry.Settings{ReadOnly: true}, func(a *answer, write bool) {
		if write {
			writes++
			if doc := a.fails(405, "DENIED"); !doc.Errors[0].ReadOnly {
				t.Errorf("%s: is_readonly is missing", a.what)
			}
		} else if a.status == 405 {
			t.Errorf("%s: refused", a.what)
		}
	})
	check(registry.Settings{PushesDisabled: true}, func(a *answer, write bool) {
		if write {
			if doc := a.fails(405, "DENIED"); doc.Errors[0].ReadOnly {
				t.Errorf("%s: is_readonly is set", a.what)
			}
		} else if a.status == 405 {
			t.Errorf("%s: refused", a.what)
		}
	})
	check(registry.Settings{RecoveryMode: true}, func(a *answer, _ bool) { a.fails(405, "UNSUPPORTED") })
	if writes == 0 {
		t.Error("nothing was tried")
	}
	e := newEnv(t)
	for _, who := range []string{"admin", "reader", "", "stranger", "full"} { // a public repository in a disabled namespace
		e.do(who, "GET", "/v2/"+disabled+"/tags/list", nil).fails(405, "DENIED")
	}
	e.do("stranger", "PUT", "/v2/"+disabled+"/manifests/x", "{}").fails(401, "UNAUTHORIZED")
	e = newEnv(t, func(o *registry.Options) { o.NoAnonymous = true })
	e.do("", "GET", "/v2/"+public+"/tags/list", nil).fails(401, "UNAUTHORIZED")
	e.do("anonymous", "GET", "/v2/"+public+"/tags/list", nil).fails(401, "UNAUTHORIZED")
	e.do("stranger", "GET", "/v2/"+public+"/tags/list", nil).is(200)
}

func TestRefusalsAreLogged(t *testing.T) {
	e := newEnv(t, func(o *registry.Options) {
		o.AuditPullFailures, o.AuditPushFailures, o.AuditDeleteFailures = true, true, true
	})
	count := func(kind string) int64 {
		if err := e.db.SettleAccess(); err != nil {
			t.Fatal(err)
		}
		return storetest.Get(t, e.db, `SELECT COUNT(*) FROM access_log WHERE kind = ?`, kind)
	}
	e.do("stranger", "GET", "/v2/"+app+"/manifests/latest", nil).is(401)
	e.do("stranger", "HEAD", "/v2/"+app+"/manifests/latest", nil).is(401)
	e.do("", "PUT", "/v2/"+missing+"/manifests/latest", nil).is(401)
	e.do("reader", "DELETE", "/v2/"+app+"/manifests/latest", nil).is(401)
	if p, u, d := count("pull_repo_failed"), count("push_repo_failed"), count("delete_tag_failed"); p != 1 || u != 1 || d != 1 {
		t.Errorf("logged %d pulls, %d pushes, %d deletes", p, u, d)
	}
	if err := e.reg.Configure(registry.Settings{}); err != nil {
		t.Fatal(err)
	}
	e.do("stranger", "GET", "/v2/"+app+"/manifests/latest", nil).is(401)
	if p := count("pull_repo_failed"); p != 1 {
		t.Errorf("logged %d pulls", p)
	}
}

func TestRateLimit(t *testing.T) {
	l := httpd.NewLimiter(httpd.LimiterOptions{Rates: map[httpd.Class]httpd.Rate{
		httpd.ClassHeavy: {PerSecond: 0.001, Burst: 2}, httpd.ClassAuth: {PerSecond: 0.001, Burst: 1},
	}, Exempt: []string{"other"}})
	e := newEnv(t, func(o *registry.Options) { o.Limiter = l })
	e.do("reader", "GET", "/v2/"+app+"/tags/list", nil).is(200)
	e.do("reader", "GET", "/v2/"+app+"/tags/list", nil).is(200)
	a := e.do("reader", "GET", "/v2/"+app+"/tags/list", nil)
	a.fails(429, "TOOMANYREQUESTS")
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	e.do("foreign", "GET", "/v2/"+secret+"/tags/list", nil).is(200)
	e.do("reader", "HEAD", "/v2/"+app+"/manifests/x", nil).is(404)
	e.do("", "GET", "/v2/auth?scope=repository:acme/app:pull", nil, "Authorization: Basic a").is(200)
	e.do("", "GET", "/v2/auth?scope=repository:acme/app:pull", nil, "Authorization: Basic a").fails(429, "TOOMANYREQUESTS")
	e.do("", "GET", "/v2/auth?scope=repository:acme/app:pull", nil, "Authorization: Basic b").is(200)
	e.do("", "GET", "/v2/auth?scope=repository:other/x:pull", nil, "Authorization: Basic a").is(200)
}

func TestMetrics(t *testing.T) {
	e := newEnv(t)
	_, d := e.pushImage(app, "v1")
	e.do("reader", "GET", "/v2/"+app+"/manifests/v1", nil).is(200)
	e.do("reader", "HEAD", "/v2/"+app+"/manifests/v1", nil).is(200)
	e.do("reader", "GET", "/v2/"+app+"/manifests/"+string(d), nil).is(200)
	e.do("reader", "GET", "/v2/"+app+"/manifests/nope", nil).is(404)
	b := e.pushBlob(app, make([]byte, 1000))
	e.do("reader", "GET", "/v2/"+app+"/blobs/"+string(b), nil, "Range: bytes=0-99").is(206)
	e.do("writer", "PUT", "/v2/"+app+"/manifests/v1", "{", "Content-Type: application/x-mine").is(400)
	families, err := e.metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "ref", "status", "media_type", "route", "protocol":
					key += " " + l.GetValue()
				}
			}
			if c := m.GetCounter(); c != nil {
				got[key] = c.GetValue()
			} else if h := m.GetHistogram(); h != nil {
				got[key] += float64(h.GetSampleCount())
			}
		}
	}
	for key, want := range map[string]float64{
		"quay_registry_image_pulls_total v2 tag 200":                     1,
		"quay_registry_image_pulls_total v2 tag 404":                     1,
		"quay_registry_image_pulls_total v2 manifest 200":                1,
		"quay_registry_image_pushes_total " + typeImage + " v2 201":      1,
		"quay_registry_image_pushes_total other v2 400":                  1,
		"quay_registry_image_pulled_estimated_bytes_total v2":            100,
		"quay_request_duration_seconds v2.fetch_manifest_by_digest 200":  1,
		"quay_request_duration_seconds v2.fetch_manifest_by_tagname 200": 2,
		"quay_request_duration_seconds v2.download_blob 206":             1,
		"quay_registry_image_pushed_bytes_total":                         1000 + float64(len(`{"content":"v1"}`)+len("layer of v1")),
	} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
}

// What is no text must not reach a database, least of all in a group with the
// pulls of others.
func TestStrangeBytes(t *testing.T) {
	e := newEnv(t, func(o *registry.Options) { o.AuditPullFailures = true })
	for _, path := range []string{
		"/v2/" + app + "/tags/list?last=%00", "/v2/" + app + "/tags/list?last=%ff", "/v2/" + app + "/referrers/" + digestZero + "?artifactType=%00",
		"/v2/_catalog?last=%00", "/v2/auth?scope=%00", "/v2/auth?account=%ff",
	} {
		e.do("reader", "GET", path, nil).fails(400, "INVALID_REQUEST")
	}
	e.do("", "POST", "/v2/auth", "grant_type=password&username=%00", "Content-Type: application/x-www-form-urlencoded").fails(400, "INVALID_REQUEST")
	e.do("writer", "POST", "/v2/"+app+"/blobs/uploads/", nil, "User-Agent: a\xffb"+strings.Repeat("x", 300)).is(202)
	if a := e.mem.actor.Agent; len(a) > 256 || !strings.HasPrefix(a, "a?bx") {
		t.Errorf("agent %q", a)
	}
	e.do("stranger", "GET", "/v2/"+app+"/manifests/%00%ff", nil).fails(401, "UNAUTHORIZED")
	if err := e.db.SettleAccess(); err != nil {
		t.Fatal(err)
	}
	if n := storetest.Get(t, e.db, `SELECT COUNT(*) FROM access_log WHERE ref = ''`); n != 1 {
		t.Errorf("%d refusals logged", n)
	}
	e.do("reader", "GET", "/v2/"+app+"/manifests/%00", nil).fails(404, "MANIFEST_UNKNOWN")
}

// Two requests cannot append to one upload at a time.
func testUploadIsBusy(t *testing.T, newEnv maker) {
	e := newEnv(t)
	loc := e.do("writer", "POST", "/v2/"+app+"/blobs/uploads/", nil).is(202).header.Get("Location")
	pr, pw := io.Pipe()
	done := make(chan *answer)
	go func() { done <- e.do("writer", "PATCH", loc, pr) }()
	if _, err := pw.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for e.do("writer", "PATCH", loc, "").status != 409 {
		if time.Now().After(deadline) {
			t.Fatal("never busy")
		}
	}
	e.do("writer", "PATCH", loc, "second").fails(409, "BLOB_UPLOAD_INVALID")
	if err := pw.Close(); err != nil {
		t.Fatal(err)
	}
	(<-done).is(202).has("Range: 0-4")
}

// Behind a proxy that ends TLS, URLs are those that the client knows.
func TestForwardedURLs(t *testing.T) {
	e := newEnv(t)
	h := httpd.Middleware(httpd.MiddlewareOptions{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Logger: slog.New(slog.DiscardHandler)}, e.reg)
	srv, err := httpd.New(httpd.Options{Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := srv.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) }()
	e.url = "http://" + addr.String()
	fwd := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: quay.example.com"}
	a := e.do("writer", "POST", "/v2/"+app+"/blobs/uploads/", nil, fwd...).is(202)
	a.has("Location: https://quay.example.com/v2/" + app + "/blobs/uploads/" + a.header.Get("Docker-Upload-Uuid"))
	e.do("", "GET", "/v2/", nil, fwd...).is(401).has(`Www-Authenticate: Bearer realm="https://quay.example.com/v2/auth",service="quay.example.com"`)
}

// A bug in a handler is an error document too.
func TestPanicked(t *testing.T) {
	e := newEnv(t)
	e.mem.repos[1].tags = map[string]gantry.Digest{}
	e.mem.repos[1].manifests = nil
	m, _ := e.image(app, "x", "")
	doc := e.do("writer", "PUT", "/v2/"+app+"/manifests/x", m, "Content-Type: "+typeImage).fails(500, "UNKNOWN") // writes to a nil map, holding the lock
	if !strings.HasPrefix(doc.Errors[0].Message, "internal error") {
		t.Errorf("message %q", doc.Errors[0].Message)
	}
}

func TestV1Search(t *testing.T) {
	var got registry.SearchQuery
	e := newEnv(t, func(o *registry.Options) {
		o.Search = func(_ context.Context, q registry.SearchQuery) (registry.SearchPage, error) {
			got = q
			return registry.SearchPage{Results: []registry.SearchResult{{Name: repoName(app), Description: "an app", Public: true}}, Total: 26}, nil
		}
	})
	a := e.do("", "GET", "/v1/search?q=ap&page=2&n=25", nil, "Authorization: Basic x").is(200)
	const want = `{"query":"ap","num_results":26,"num_pages":2,"page":2,"page_size":25,"results":[{"name":"acme/app","description":"an app","is_public":true,"href":"/repository/acme/app"}]}`
	if string(a.body) != want || got.Authorization != "Basic x" || got.Page != 2 || got.PageSize != 25 {
		t.Errorf("search %s, asked %+v", a.body, got)
	}
	e.do("", "GET", "/v1/search?page=0&n=100000", nil).is(200)
	if got.Page != 1 || got.PageSize != 100 {
		t.Errorf("asked %+v", got)
	}
	e.do("", "GET", "/v1/search?n=x", nil).fails(400, "INVALID_REQUEST")
	e.do("", "GET", "/v1/search?q="+strings.Repeat("x", 300), nil).fails(400, "INVALID_REQUEST")
}

func TestV1(t *testing.T) {
	e := newEnv(t)
	if a := e.do("", "GET", "/v1/_ping", nil).is(200); string(a.body) != "true" {
		t.Errorf("ping %q", a.body)
	}
	e.do("", "POST", "/v1/_ping", nil).fails(405, "UNSUPPORTED")
	e.do("", "GET", "/v1/search?q=x", nil).fails(404, "NOT_FOUND")
	e.do("", "GET", "/v1/repositories/a/b/images", nil).fails(404, "NOT_FOUND")
}

func TestSlowPushIs408(t *testing.T) {
	e := newEnv(t)
	h := httpd.Middleware(httpd.MiddlewareOptions{StallTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}, e.reg)
	srv, err := httpd.New(httpd.Options{Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := srv.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) }()
	pr, pw := io.Pipe()
	defer func() { _ = pw.Close() }()
	go func() { _, _ = pw.Write([]byte("{")) }()
	e.url = "http://" + addr.String()
	e.do("writer", "PUT", "/v2/"+app+"/manifests/v1", pr, "Content-Type: "+typeImage).fails(408, "INVALID_REQUEST")
}

// A push that succeeds says what will not be as the client means it.
func testWarnings(t *testing.T, newEnv maker) {
	e := newEnv(t)
	if e.mem != nil {
		return // content finds them
	}
	push := func(label, tag string) *answer {
		t.Helper()
		config := fmt.Sprintf(`{"config":{"Labels":{"quay.expires-after":%q}}}`, label)
		d := e.pushBlob(app, []byte(config))
		m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, typeImage, d, len(config))
		ref := tag
		if ref == "" {
			ref = string(gantry.FromBytes([]byte(m)))
		}
		return e.do("writer", "PUT", "/v2/"+app+"/manifests/"+ref, m, "Content-Type: "+typeImage).is(201)
	}
	for range 2 { // again too
		push("3 weeks", "a").has(`Warning: 299 - "the label quay.expires-after is \"3 weeks\", so the tag does not expire; write a number and one of s, m, h, d, w, y, such as 3d"`)
	}
	push("3d", "b").has("Warning:")
	push("never", "").has("Warning:") // there is no tag
	for _, v := range push("\x00\r\nX: y\u00e9"+strings.Repeat("\\", 500), "c").header.Values("Warning") {
		if len(v) > 1000 || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("Warning %q", v)
		}
	}
	draft := `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"application/x","blobs":[]}`
	a := e.do("writer", "PUT", "/v2/"+app+"/manifests/draft", draft, "Content-Type: application/vnd.oci.artifact.manifest.v1+json").is(201)
	if !strings.Contains(a.header.Get("Warning"), "withdrawn") {
		t.Errorf("Warning %q", a.header.Get("Warning"))
	}
}

// testConformance does what the suite of the OCI distribution specification
// does, which is not to be had here as a module: each workflow with both
// digest algorithms, each kind of data through its whole life, all in one
// repository, as the suite has it.
func testConformance(t *testing.T, newEnv maker) {
	e := newEnv(t)
	base := "/v2/" + app
	sum := func(algorithm string, b []byte) string {
		h := gantry.NewHash(algorithm)
		h.Write(b)
		return string(gantry.DigestOf(algorithm, h))
	}
	whole := func(loc string, b []byte) {
		t.Helper()
		if a := e.do("reader", "GET", loc, nil).is(200).has("Content-Length: " + strconv.Itoa(len(b))); !bytes.Equal(a.body, b) {
			t.Fatalf("%s: other bytes", loc)
		}
	}
	for _, algorithm := range []string{"sha256", "sha512"} {
		n := 0
		fresh := func(size int) ([]byte, string) {
			n++
			b := bytes.Repeat([]byte{byte(n), byte(len(algorithm)), algorithm[4]}, size/3+1)[:size]
			return b, sum(algorithm, b)
		}
		begin := func() string {
			t.Helper()
			return e.do("writer", "POST", base+"/blobs/uploads/", nil).is(202).header.Get("Location")
		}
		finish := func(loc, d string, body any, headers ...string) *answer {
			t.Helper()
			return e.do("writer", "PUT", loc+"?digest="+d, body, headers...)
		}
		done := func(a *answer, b []byte, d string) {
			t.Helper()
			a.is(201).has("Docker-Content-Digest: " + d)
			whole(a.header.Get("Location"), b)
			e.do("reader", "HEAD", base+"/blobs/"+d, nil).is(200).has("Docker-Content-Digest: "+d, "Content-Length: "+strconv.Itoa(len(b)))
			whole(base+"/blobs/"+d, b)
			e.do("writer", "DELETE", base+"/blobs/"+d, nil).is(202)
			e.do("reader", "HEAD", base+"/blobs/"+d, nil).is(404)
		}
		b, d := fresh(512)
		e.do("reader", "GET", base+"/blobs/"+d, nil).fails(404, "BLOB_UNKNOWN")
		done(e.do("writer", "POST", base+"/blobs/uploads/?digest="+d, b), b, d)
		b, d = fresh(512)
		done(finish(begin(), d, b), b, d)
		chunks := func(b []byte, d string, outOfOrder, putLast bool) *answer {
			t.Helper()
			loc := begin()
			const size = 1024
			for at := 0; at < len(b); at += size {
				end := min(at+size, len(b))
				last := putLast && end == len(b)
				send := func(from, to int) *answer {
					r := fmt.Sprintf("Content-Range: %d-%d", from, to-1)
					if last {
						return finish(loc, d, b[from:to], r)
					}
					return e.do("writer", "PATCH", loc, b[from:to], r)
				}
				if outOfOrder {
					from := at + size
					if from >= len(b) {
						from = 0
					}
					if from != at {
						loc = send(from, min(from+size, len(b))).is(416).header.Get("Location")
						a := e.do("writer", "GET", loc, nil).is(204)
						if want := fmt.Sprintf("0-%d", max(at-1, 0)); a.header.Get("Range") != want {
							t.Fatalf("Range %q, want %q", a.header.Get("Range"), want)
						}
						loc = a.header.Get("Location")
					}
				}
				a := send(at, end)
				if last {
					return a
				}
				loc = a.is(202).has(fmt.Sprintf("Range: 0-%d", end-1)).header.Get("Location")
			}
			return finish(loc, d, nil)
		}
		for _, size := range []int{512, 3067} {
			for _, outOfOrder := range []bool{false, true} {
				for _, putLast := range []bool{false, true} {
					b, d = fresh(size)
					done(chunks(b, d, outOfOrder, putLast), b, d)
				}
			}
		}
		b, d = fresh(512)
		loc := e.do("writer", "PATCH", begin(), io.MultiReader(bytes.NewReader(b))).is(202).header.Get("Location")
		done(finish(loc, d, nil), b, d)
		for _, query := range []string{"&from=" + public, ""} {
			b, d = fresh(512)
			e.do("writer", "POST", "/v2/"+public+"/blobs/uploads/?digest="+d, b).is(201)
			done(e.do("writer", "POST", base+"/blobs/uploads/?mount="+d+query, nil), b, d)
			e.do("writer", "DELETE", "/v2/"+public+"/blobs/"+d, nil).is(202)
		}
		b, d = fresh(512)
		loc = e.do("writer", "POST", base+"/blobs/uploads/?mount="+d+"&from="+public, nil).is(202).header.Get("Location")
		done(finish(loc, d, b), b, d)
		loc = begin()
		e.do("writer", "DELETE", loc, nil).is(204)
		finish(loc, d, b).fails(404, "BLOB_UPLOAD_UNKNOWN")
		for _, b := range [][]byte{nil, []byte("{}")} {
			d := sum(algorithm, b)
			done(finish(begin(), d, b), b, d)
		}
		b, d = fresh(3067)
		bad := append(bytes.Clone(b), "oh no"...)
		e.do("writer", "POST", base+"/blobs/uploads/?digest="+d, bad).fails(400, "DIGEST_INVALID")
		finish(begin(), d, bad).fails(400, "DIGEST_INVALID")
		chunks(bad, d, false, false).fails(400, "DIGEST_INVALID")
		chunks(bad, d, false, true).fails(400, "DIGEST_INVALID")
		loc = e.do("writer", "PATCH", begin(), io.MultiReader(bytes.NewReader(bad))).is(202).header.Get("Location")
		finish(loc, d, nil).fails(400, "DIGEST_INVALID")
		e.do("reader", "HEAD", base+"/blobs/"+d, nil).is(404)
	}

	// Manifests: pushed by digest and tags, listed, pulled, deleted.
	const annotation = `"annotations":{"org.opencontainers.conformance":"hello"}`
	empty := []byte("{}")
	layer := []byte("a layer")
	one := func(mediaType string, b []byte, more string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, mediaType, sum("sha256", b), len(b), more)
	}
	image := func(name, more string, layers ...string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s],"x-name":%q%s}`, typeImage, one("application/vnd.oci.empty.v1+json", empty, `,"data":"e30="`), strings.Join(layers, ","), name, more)
	}
	index := func(name, more string, children ...string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s],"x-name":%q%s}`, typeIndex, strings.Join(children, ","), name, more)
	}
	of := func(m string) string {
		if strings.Contains(m, `"manifests":`) {
			return one(typeIndex, []byte(m), "")
		}
		return one(typeImage, []byte(m), `,"platform":{"os":"linux","architecture":"arm64"}`)
	}
	l := one("application/vnd.oci.image.layer.v1.tar+gzip", layer, "")
	far := one("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", []byte("elsewhere"), `,"urls":["https://store.example.com/x"]`)
	subject := func(m string) string { return `,"subject":` + of(m) }
	amd, arm := image("amd", "", l), image("arm", "", l)
	multi := index("multi", "", of(amd), of(arm))
	target := image("target", "", l)
	for name, list := range map[string][]string{ // in the order of the push
		"image": {image("image", "", l)}, "index": {amd, arm, multi}, "nested": {amd, arm, multi, index("nested", "", of(multi))}, "empty index": {index("empty", "")},
		"artifact": {image("artifact", `,"artifactType":"application/vnd.example+type"`, l)}, "no layers": {image("none", "")},
		"data field": {image("data", "", one("application/x", empty, `,"data":"e30="`))}, "nondistributable": {image("far", "", far, l)},
		"custom fields": {image("custom", `,"org.example.x":{"y":[1,2.5,"z"]}`, l)},
		"large":         {image("large", `,"annotations":{"a":"`+strings.Repeat("A", 60_000)+`"}`, l)},
		"subject":       {target, image("s1", subject(target)+`,"artifactType":"application/vnd.example+one",`+annotation, l), image("s2", subject(target)+`,"artifactType":"application/vnd.example+two"`, l)},
		"subject index": {amd, arm, multi, index("s3", `,"artifactType":"application/vnd.example+one"`+subject(multi), of(amd))},
		"missing":       {image("s4", subject(image("never pushed", ""))+`,"artifactType":"application/vnd.example+one"`, l)},
	} {
		for _, algorithm := range []string{"sha256", "sha512"} {
			if algorithm == "sha512" && name != "image" && name != "artifact" {
				continue
			}
			for _, b := range [][]byte{empty, layer} {
				e.do("writer", "POST", base+"/blobs/uploads/?digest="+sum("sha256", b), b).is(201)
			}
			accept := []string{"Accept: " + typeIndex, "Accept: " + typeImage}
			for i, m := range list {
				d := sum(algorithm, []byte(m))
				mediaType := typeImage
				if strings.Contains(m, `"manifests":`) {
					mediaType = typeIndex
				}
				tag := fmt.Sprintf("tag-%d", i)
				a := e.do("writer", "PUT", base+"/manifests/"+d+"?tag="+tag+"&tag="+tag+"b", m, "Content-Type: "+mediaType).is(201).has("Docker-Content-Digest: "+d, "Oci-Tag: "+tag+" | "+tag+"b")
				var doc struct{ Subject struct{ Digest string } }
				if err := json.Unmarshal([]byte(m), &doc); err != nil {
					t.Fatal(err)
				}
				a.has("Oci-Subject: " + doc.Subject.Digest)
				if algorithm == "sha256" {
					e.do("writer", "PUT", base+"/manifests/"+tag, m, "Content-Type: "+mediaType).is(201).has("Docker-Content-Digest: "+d, "Oci-Subject: "+doc.Subject.Digest)
				}
				for _, ref := range []string{e.url + a.header.Get("Location"), base + "/manifests/" + d, base + "/manifests/" + tag} {
					headers := []string{"Content-Type: " + mediaType, "Content-Length: " + strconv.Itoa(len(m)), "Docker-Content-Digest: " + d}
					if got := e.do("reader", "GET", ref, nil, accept...).is(200).has(headers...); string(got.body) != m {
						t.Errorf("%s: %s came back as %.200s", name, ref, got.body)
					}
					e.do("reader", "HEAD", ref, nil, accept...).is(200).has(headers...)
				}
				e.do("writer", "PUT", base+"/manifests/"+d, m+"  ", "Content-Type: "+mediaType).fails(400, "MANIFEST_INVALID")
				if doc.Subject.Digest != "" {
					if got := e.do("reader", "GET", base+"/referrers/"+doc.Subject.Digest+"?artifactType=application%2Fvnd.example%2B"+map[bool]string{true: "two", false: "one"}[i == 2], nil).is(200).has("Oci-Filters-Applied: artifactType"); !strings.Contains(string(got.body), d) {
						t.Errorf("%s: referrers %s", name, got.body)
					}
				}
			}
			tags := string(e.do("reader", "GET", base+"/tags/list?last=tag", nil).is(200).body)
			for i, m := range slices.Backward(list) {
				for _, tag := range []string{fmt.Sprintf("tag-%d", i), fmt.Sprintf("tag-%db", i)} {
					if !strings.Contains(tags, `"`+tag+`"`) {
						t.Errorf("%s: %s is not in %s", name, tag, tags)
					}
					e.do("writer", "DELETE", base+"/manifests/"+tag, nil).is(202)
					e.do("reader", "HEAD", base+"/manifests/"+tag, nil).is(404)
				}
				d := sum(algorithm, []byte(m))
				if a := e.do("writer", "DELETE", base+"/manifests/"+d, nil); a.status != 202 && a.status != 404 { // gone with its tags
					t.Errorf("%s: delete: %d %s", name, a.status, a.body)
				}
				e.do("reader", "HEAD", base+"/manifests/"+d, nil).is(404)
			}
			for _, b := range [][]byte{empty, layer} {
				e.do("writer", "DELETE", base+"/blobs/"+sum("sha256", b), nil).is(202)
				e.do("reader", "HEAD", base+"/blobs/"+sum("sha256", b), nil).is(404)
			}
		}
	}
	e.do("writer", "PUT", base+"/manifests/sha256:baddigeststring", "{}", "Content-Type: "+typeImage).fails(400, "DIGEST_INVALID")
	e.do("reader", "GET", base+"/manifests/sha256:baddigeststring", nil).fails(400, "DIGEST_INVALID")
	e.do("reader", "GET", base+"/manifests/"+sum("sha256", []byte("missing")), nil).fails(404, "MANIFEST_UNKNOWN")
	e.do("reader", "GET", base+"/manifests/missing", nil).fails(404, "MANIFEST_UNKNOWN")
}
