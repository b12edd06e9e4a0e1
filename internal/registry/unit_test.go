package registry

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
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
