package registry

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
)

func TestEveryCodeHasAnAnswer(t *testing.T) {
	objects := []string{"", "repository", "namespace", "digest", "tag", "tags", "manifest", "blob", "size", "upload", "quota", "storage", "scope", "page", "never heard of"}
	reasons := []gantry.Reason{"", gantry.TagExpired, gantry.TagImmutable, gantry.DigestMismatch, gantry.BlobReferenced, gantry.UnknownBlob,
		gantry.UnknownManifest, gantry.MediaTypeRefused, gantry.QuotaExceeded, gantry.DiskFull, gantry.PushesDisabled, gantry.NamespaceDisabled, gantry.LoginBackoff}
	for _, code := range gantry.Codes {
		for _, object := range objects {
			for _, reason := range reasons {
				a, message := answerFor(fmt.Errorf("wrapped: %w", &gantry.Error{Code: code, Object: object, Reason: reason}))
				if a.status < 400 || a.status >= 500 && code != gantry.Unavailable || message == "" || messages[a.code] == "" {
					t.Errorf("%s %q %q: %+v %q", code, object, reason, a, message)
				}
			}
		}
	}
	for _, tt := range []struct {
		err  *gantry.Error
		want answer
	}{
		{&gantry.Error{Code: gantry.NotFound, Object: "manifest", Reason: gantry.TagExpired}, answer{404, "TAG_EXPIRED"}},
		{&gantry.Error{Code: gantry.Denied, Object: "quota", Reason: gantry.QuotaExceeded}, answer{403, "DENIED"}},
		{&gantry.Error{Code: gantry.Denied, Object: "namespace", Reason: gantry.QuotaExceeded}, answer{403, "DENIED"}},
		{&gantry.Error{Code: gantry.Unavailable, Object: "storage", Reason: gantry.DiskFull}, answer{507, "UNAVAILABLE"}},
		{&gantry.Error{Code: gantry.TooLarge, Object: "blob"}, answer{413, "SIZE_INVALID"}},
		{&gantry.Error{Code: gantry.Conflict, Object: "tag", Reason: gantry.TagImmutable}, answer{409, "TAG_IMMUTABLE"}},
	} {
		if a, _ := answerFor(tt.err); a != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.err, a, tt.want)
		}
	}
	if a, message := answerFor(errors.New("password=hunter2")); a != (answer{500, "UNKNOWN"}) || strings.Contains(message, "hunter2") {
		t.Errorf("a foreign error: %+v %q", a, message)
	}
}

func TestParseRoute(t *testing.T) {
	const d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for path, want := range map[string]route{
		"/v2":                              {kind: kindBase},
		"/v2/":                             {kind: kindBase},
		"/v2x/":                            {},
		"/v2//":                            {},
		"/v2/auth":                         {kind: kindAuth},
		"/v2/auth/":                        {},
		"/v2/_catalog":                     {kind: kindCatalog},
		"/v2/auth/x/tags/list":             {kindTags, "auth/x", ""},
		"/v2/a/manifests/v1":               {kindManifest, "a", "v1"},
		"/v2/a/b/manifests/" + d:           {kindManifest, "a/b", d},
		"/v2/a/b/blobs/" + d:               {kindBlob, "a/b", d},
		"/v2/a/b/blobs/uploads/":           {kindUploads, "a/b", ""},
		"/v2/a/b/blobs/uploads":            {kindUploads, "a/b", ""},
		"/v2/a/b/blobs/uploads/id":         {kindUpload, "a/b", "id"},
		"/v2/a/b/blobs/uploads/id/":        {},
		"/v2/a/b/referrers/" + d:           {kindReferrers, "a/b", d},
		"/v2/a/b/referrers/":               {},
		"/v2/a/b/uploads/id":               {},
		"/v2/blobs/uploads/id":             {},
		"/v2/manifests/v1":                 {},
		"/v2//manifests/v1":                {},
		"/v2/a/blobs/uploads/tags/list":    {kindTags, "a/blobs/uploads", ""},
		"/v2/a/tags/list/manifests/list":   {kindManifest, "a/tags/list", "list"},
		"/v2/a/manifests/x/blobs/uploads/": {kindUploads, "a/manifests/x", ""},
		"/v2/a/blobs/blobs/uploads/":       {kindUploads, "a/blobs", ""},
		"/v2/a/blobs/uploads/blobs/" + d:   {kindBlob, "a/blobs/uploads", d},
		"/v1/_ping":                        {},
		"*":                                {},
		"":                                 {},
	} {
		if got := parseRoute(path); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func TestVersionSpec(t *testing.T) {
	for _, tt := range []struct {
		spec, agent string
		want        bool
	}{
		{"<1.6.0", "docker/1.5.0 go/go1.3", true},
		{"<1.6.0", "docker/1.5", true},
		{"<1.6.0", "docker/1.6.0-rc1 go", false},
		{"<1.6.0", "docker/17.03.1-ce go", false},
		{"<1.6.0", "docker/dev", false},
		{"<1.6.0", "docker/1.2.3.4", false},
		{"<1.6.0", "containerd/1.0.0", false},
		{"", "docker/0.1", false},
		{">=1.0,<1.6", "docker/1.5.9", true},
		{">=1.0,<1.6", "docker/0.9", false},
		{"==1.5.0", "docker/1.5.0", true},
		{"1.5.0", "docker/1.5.0", true},
		{"!=1.5.0,<=2", "docker/1.5.0", false},
		{">1.5", "docker/1.5.1", true},
	} {
		spec, err := parseVersionSpec(tt.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.blocks(tt.agent); got != tt.want {
			t.Errorf("%q blocks %q: %v", tt.spec, tt.agent, got)
		}
	}
	for _, bad := range []string{"x", "<", "<<1", "<1.6.0,", "~1.2", "<1.x"} {
		if _, err := parseVersionSpec(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/v2/", "/v2/a/b/manifests/latest", "/v2/a/b/blobs/uploads/", "/v2/a%2Fb/tags/list", "/v2/../x", "/v2/a/blobs/uploads/id", "/v2/_catalog", "/v2//manifests//", "/v2/é/tags/list"} {
		f.Add(s)
	}
	rules := gantry.NameRules{Nested: true}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.ParseRequestURI(s)
		if err != nil {
			return
		}
		if hiddenSlash(u.RawPath) != strings.Contains(strings.ToLower(u.RawPath), "%2f") {
			t.Errorf("hiddenSlash(%q)", u.RawPath)
		}
		r := parseRoute(u.Path)
		words := map[kind]string{kindManifest: "/manifests/", kindBlob: "/blobs/", kindUploads: "/blobs/uploads/", kindUpload: "/blobs/uploads/", kindTags: "/tags/list", kindReferrers: "/referrers/"}
		if w, ok := words[r.kind]; ok {
			whole := "/v2/" + r.repo + w + r.ref
			if whole != u.Path && whole != u.Path+"/" {
				t.Errorf("%q: %+v is not the whole of it", u.Path, r)
			}
			if strings.Contains(r.ref, "/") || r.repo == "" {
				t.Errorf("%q: %+v", u.Path, r)
			}
			if name, err := rules.ParseRepoName(r.repo); err == nil && name.String() != r.repo {
				t.Errorf("%q: name %q", r.repo, name)
			}
		} else if r.repo != "" || r.ref != "" {
			t.Errorf("%q: %+v", u.Path, r)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes=9223372036854775807-", "bytes=-9223372036854775808", "bytes=0-99999999999999999999", "a=1-2", "bytes=,,"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		if size < 0 {
			return
		}
		ranges, what := parseRanges(s, size)
		if (what == rangeSome) != (len(ranges) > 0) || len(ranges) > maxRanges {
			t.Errorf("%q: %v %v", s, ranges, what)
		}
		var total int64
		for _, r := range ranges {
			if r.start < 0 || r.length <= 0 || r.start > size-r.length {
				t.Errorf("%q of %d: %+v", s, size, r)
			}
			total += r.length
		}
		if total > size {
			t.Errorf("%q of %d: %d bytes", s, size, total)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"0-1", "bytes=0-1", "bytes 0-1/2", "bytes */2", "1-0", "0-9223372036854775807", "-", "0-0/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start, length, ok := parseContentRange(s)
		if ok && (start < 0 || length <= 0 || start > math.MaxInt64-length) {
			t.Errorf("%q: %d %d", s, start, length)
		}
	})
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{mediaIndex, mediaImage + ";q=0", "*/*", ",,;", "a;q=x", strings.Repeat("a/b,", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if choose([]string{s}, mediaImage) == childImage {
			t.Errorf("%q: an image has no child", s)
		}
		if choose([]string{s + "," + mediaIndex}, mediaIndex) == childImage && !strings.Contains(strings.ToLower(s), "q") && strings.Count(s, ",") < maxAccept-1 {
			t.Errorf("%q: the index is listed", s)
		}
		if c := choose([]string{s}, mediaIndex); c == childImage && !accepts([]string{s}, mediaImage) && !accepts([]string{s}, mediaDocker) {
			t.Errorf("%q: no image is listed", s)
		}
		_ = defaultChild([]byte(s), []string{s})
		etagMatches(s, `"x"`)
		_, _ = bearer(s)
		if tags, err := tagParameters(s); err == nil && len(tags) > maxTags {
			t.Errorf("%q: %d tags", s, len(tags))
		}
	})
}

// A body is read up to its limit however it comes: all at once with its end,
// byte by byte, announced or not.
func TestReadBody(t *testing.T) {
	const limit = 3*firstRead + 7
	for _, size := range []int{0, 1, firstRead, firstRead + 1, limit, limit + 1, 2 * limit} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "with its end": iotest.DataErrReader, "in halves": iotest.HalfReader, "by bytes": iotest.OneByteReader,
		} {
			for _, length := range []int64{-1, int64(size)} {
				want := strings.Repeat("x", size)
				c := &call{r: &http.Request{ContentLength: length}, body: bodyReader{r: wrap(strings.NewReader(want))}}
				b, err := c.readBody(limit, "manifest")
				if size > limit && !gantry.Is(err, gantry.TooLarge) || size <= limit && (err != nil || string(b) != want) {
					t.Errorf("%d bytes, %s, length %d: %d bytes, %v", size, name, length, len(b), err)
				}
			}
		}
	}
}

// What is taken for a name, a tag or a digest is exactly what the rules say,
// and reads as itself.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"latest", "sha256:" + strings.Repeat("a", 64), "sha512:" + strings.Repeat("0", 128), "SHA256:x", ":", "a:b", ".a", "a/b", "acme/app", "acme/a//b", "a.b-c_d/e", "a--b/c", "\x00", "é/é"} {
		f.Add(s)
	}
	tag := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digest := regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	name := regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*/[a-z0-9][.a-z0-9_-]*(/[a-z0-9][.a-z0-9_-]*)*$`)
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := gantry.ParseReference(s)
		switch {
		case err != nil:
			if tag.MatchString(s) || digest.MatchString(s) {
				t.Errorf("%q is refused: %v", s, err)
			}
			if !gantry.Is(err, gantry.Invalid) {
				t.Errorf("%q: %v", s, err)
			}
		case ref.Digest != "":
			if !digest.MatchString(string(ref.Digest)) || !strings.EqualFold(s, string(ref.Digest)) || ref.Tag != "" || gantry.DigestFromBytes(ref.Digest.Bytes()) != ref.Digest {
				t.Errorf("%q is the digest %q", s, ref.Digest)
			}
			if d, ok := gantry.DigestFromKey(ref.Digest.Key()); !ok || d != ref.Digest {
				t.Errorf("%q has the key %q", s, ref.Digest.Key())
			}
		case !tag.MatchString(ref.Tag) || ref.Tag != s:
			t.Errorf("%q is the tag %q", s, ref.Tag)
		}
		for _, rules := range []gantry.NameRules{{}, {Nested: true}, {Nested: true, Library: "library"}} {
			n, err := rules.ParseRepoName(s)
			whole := s
			if rules.Library != "" && !strings.Contains(s, "/") {
				whole = rules.Library + "/" + s
			}
			want := name.MatchString(whole) && len(n.Namespace) <= 255 && len(n.Name) <= 255 && (rules.Nested || strings.Count(s, "/") == 1)
			if ns, rest, _ := strings.Cut(whole, "/"); len(ns) < 2 || len(ns) > 255 || len(rest) > 255 {
				want = false
			}
			if (err == nil) != want || err == nil && n.String() != whole {
				t.Errorf("%q with %+v: %q, %v", s, rules, n, err)
			}
		}
	})
}

// A position opens for the listing that it was made for, and nowhere else;
// what is not ours opens nowhere. A Link's target reads as what was put in.
func FuzzPageToken(f *testing.F) {
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: strings.Repeat("0123456789abcdef", 4), DatabaseSecretKey: strings.Repeat("fedcba9876543210", 4)})
	if err != nil {
		f.Fatal(err)
	}
	pages := keys.Pages()
	f.Add("v2/_catalog", "", "1", "7", 3, byte(1))
	f.Add("v2/referrers", "a/b&c", "", "\x00\xff", 0, byte(0))
	f.Fuzz(func(t *testing.T, route, filter, subject, last string, at int, flip byte) {
		token := pages.Seal(route, filter, subject, last)
		if got, err := pages.Open(route, filter, subject, token); err != nil || got != last {
			t.Fatalf("%q: %q, %v", last, got, err)
		}
		for _, other := range [][3]string{{route + "x", filter, subject}, {route, filter + "x", subject}, {route, filter, subject + "x"}, {"", route + filter, subject}} {
			if _, err := pages.Open(other[0], other[1], other[2], token); err == nil && other != [3]string{route, filter, subject} {
				t.Fatalf("%q opens for %q", token, other)
			}
		}
		b := []byte(token)
		if at = at % len(b); at >= 0 && flip != 0 {
			b[at] ^= flip
			if got, err := pages.Open(route, filter, subject, string(b)); err == nil && got != last {
				t.Fatalf("%q opens as %q", b, got)
			}
		}
		if _, err := pages.Open(route, filter, subject, last); err == nil {
			t.Fatalf("%q opens", last)
		}
		w := httptest.NewRecorder()
		c := &call{w: w, info: &httpd.Info{Host: "quay.example.com", Scheme: "https"}, set: &settings{}}
		c.next("/v2/a/b/tags/list", 7, "last", last)
		inner, rel, ok := strings.Cut(strings.TrimPrefix(w.Header().Get("Link"), "<"), ">")
		u, err := url.Parse(inner)
		if !ok || rel != `; rel="next"` || err != nil || u.Host != "quay.example.com" || u.Path != "/v2/a/b/tags/list" || u.Query().Get("last") != last || u.Query().Get("n") != "7" {
			t.Fatalf("Link %q", w.Header().Get("Link"))
		}
	})
}
