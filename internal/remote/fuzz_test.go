package remote

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

func TestParseChallenges(t *testing.T) {
	for in, want := range map[string]challenge{
		`Bearer realm="https://a/t",service="s",scope="repository:x:pull"`: {"bearer", "https://a/t", "s", "repository:x:pull"},
		`bearer realm=https://a/t , service = s`:                           {"bearer", "https://a/t", "s", ""},
		`Basic realm="x, y"`:                                               {"basic", "x, y", "", ""},
		`Basic realm="x", Bearer realm="https://a"`:                        {"bearer", "https://a", "", ""},
		`Negotiate, Basic realm="a \"b\""`:                                 {"basic", `a "b"`, "", ""},
		`Bearer`:                                                           {},
		`Digest realm="x"`:                                                 {},
		``:                                                                 {},
		`,,,`:                                                              {},
		`Bearer realm="open`:                                               {"bearer", "open", "", ""},
	} {
		if got := parseChallenges([]string{in}); got != want {
			t.Errorf("%s: %+v", in, got)
		}
	}
}

func TestNextLink(t *testing.T) {
	for in, want := range map[string]string{
		`</v2/a?n=1>; rel="next"`:                   "/v2/a?n=1",
		`<a>; rel=prev, <b,c>; title="x"; rel=next`: "b,c",
		`<a>; rel="prev"`:                           "",
		`<a; rel="next"`:                            "",
		`rel="next"`:                                "",
		`<a>; REL="NEXT"`:                           "a",
	} {
		if got := nextLink([]string{in}); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "x": 0, "99999999999999": maxRetry, "999999999999999999999": 0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Thu, 01 Jan 2020 00:01:00 GMT": 0,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestParseReference(t *testing.T) {
	d := gantry.FromBytes(nil)
	for in, want := range map[string]Place{
		"alpine":                      {"docker.io", "alpine", gantry.Reference{}},
		"team/app:v1":                 {"docker.io", "team/app", gantry.Reference{Tag: "v1"}},
		"quay.io/a/b:v1@" + string(d): {"quay.io", "a/b", gantry.Reference{Digest: d}},
		"localhost/a":                 {"localhost", "a", gantry.Reference{}},
		"registry.example:5000/a:b":   {"registry.example:5000", "a", gantry.Reference{Tag: "b"}},
		"[::1]:5000/a":                {"[::1]:5000", "a", gantry.Reference{}},
	} {
		if got, err := ParseReference(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "https://quay.io/a", "quay.io/", "quay.io/A", "a:", "a@sha256:1", "quay.io:x/a", "a/../b", "a b"} {
		if got, err := ParseReference(in); KindOf(err) != Invalid {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]Place{"docker.io": {Host: "docker.io"}, "quay.io/a/b/": {Host: "quay.io", Name: "a/b"}, "docker.io/library": {Host: "docker.io", Name: "library"}} {
		if got, err := ParsePlace(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"quay.io/a/b:v1", "[::1]:1/a@sha256:" + strings.Repeat("0", 64), "a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseReference(s)
		if err != nil {
			if KindOf(err) != Invalid {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseReference(p.String()); err != nil || again != p {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	f.Add("docker.io/library")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlace(s)
		if err != nil {
			return
		}
		if again, err := ParsePlace(p.String()); err != nil || again != p {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Basic realm="x", Bearer realm="https://a",service=s`)
	f.Fuzz(func(t *testing.T, s string) {
		switch c := parseChallenges([]string{s, s}); c.scheme {
		case "", "basic":
		case "bearer":
			if c.realm == "" {
				t.Fatal("a bearer without a realm")
			}
		default:
			t.Fatal(c.scheme)
		}
	})
}

func FuzzLink(f *testing.F) {
	f.Add(`<a>; rel=prev, <b,c>; title="x"; rel=next`)
	f.Fuzz(func(t *testing.T, s string) {
		if l := nextLink([]string{s}); !strings.Contains(s, l) {
			t.Fatal(l)
		}
	})
}

func FuzzTagList(f *testing.F) {
	f.Add(`{"name":"x","tags":["a","b",null]}`)
	f.Fuzz(func(t *testing.T, s string) {
		names, err := readNames(strings.NewReader(s), "tags", func(s string) bool { return gantry.CheckTag(s) == nil })
		if err != nil && !errors.Is(err, errNoList) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if slices.ContainsFunc(names, func(s string) bool { return gantry.CheckTag(s) != nil }) {
			t.Fatal(names)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"token":"x","expires_in":1e300}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, life, err := parseToken(b)
		if err == nil && (strings.ContainsAny(tok, " \r\n") || tok == "" || life < 0 || life > time.Hour) {
			t.Fatal(tok, life)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"manifests":[{"digest":"sha256:x","size":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseIndex(b)
		if err != nil {
			return
		}
		for _, d := range list {
			if _, err := gantry.ParseDigest(string(d.Digest)); err != nil || d.Size < 0 {
				t.Fatal(d)
			}
		}
	})
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Fuzz(func(t *testing.T, s string) {
		if start, total := contentRange(s); start < -1 || total < -1 {
			t.Fatal(start, total)
		}
	})
}
