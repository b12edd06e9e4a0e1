package mirror

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestFilter(t *testing.T) {
	sig := "sha256-" + strings.Repeat("ab", 32)
	tags := []string{"latest", "v1.0.0", "v1.2.0", "v1.10.0", "v2.0.0-rc1", "2.0.0", "3.1", "nightly-9", "nightly-10", "V3", sig + ".sig", sig}
	for rules, want := range map[string]string{
		"v1.*, latest":           "latest v1.0.0 v1.10.0 v1.2.0",
		"latest":                 "latest",
		"v1.?.0":                 "v1.0.0 v1.2.0",
		"v[13-9].*":              "v1.0.0 v1.10.0 v1.2.0",
		"[!vsn]*,!l*":            "2.0.0 3.1 V3",
		"*,!sha256-*":            "2.0.0 3.1 V3 latest nightly-10 nightly-9 v1.0.0 v1.10.0 v1.2.0 v2.0.0-rc1",
		"semver:>=1.2 <3":        "2.0.0 v1.10.0 v1.2.0",
		"semver:^1.2 || 3.1":     "3.1 v1.10.0 v1.2.0",
		"semver:>=2.0.0-0 <2.1":  "2.0.0 v2.0.0-rc1",
		"semver:~1.2,nightly-*":  "nightly-10 nightly-9 v1.2.0",
		"newest:2,semver:^1":     "v1.10.0 v1.2.0",
		"newest:1,nightly-*":     "nightly-10",
		"newest:3":               "2.0.0 3.1 v2.0.0-rc1",
		"newest:100,!v*,!V*":     "2.0.0 3.1 latest nightly-10 nightly-9",
		"sha256-*":               sig + " " + sig + ".sig",
		"nothing":                "",
		"!latest,!*rc*,!sha256*": "2.0.0 3.1 V3 nightly-10 nightly-9 v1.0.0 v1.10.0 v1.2.0",
	} {
		f, err := ParseFilter([]string{rules})
		if err != nil {
			t.Errorf("%s: %v", rules, err)
			continue
		}
		if got := strings.Join(f.Choose(append(slices.Clone(tags), "latest")), " "); got != want {
			t.Errorf("%s: %q, want %q", rules, got, want)
		}
	}
	for _, rules := range []string{"", " , ,", "semver:", "semver:x.y", "newest:0", "newest:a", "newest:1,newest:2", "!", strings.Repeat("a,", 300), strings.Repeat("a", 2000)} {
		if f, err := ParseFilter([]string{rules}); err == nil {
			t.Errorf("%.40q was taken: %+v", rules, f)
		}
	}
}

// TestGlob compares globs with path.Match, and with a regular expression where
// that differs.
func TestGlob(t *testing.T) {
	for _, p := range []string{"*", "a*b*c", "?", "a?c", "[abc]", "[a-c]x", "*-[0-9]*", "***", "a**", "", "*.*.*", "[a", "[]a]", "[!]a]", "a[!b-d]*"} {
		for _, s := range []string{"", "a", "abc", "aXbYc", "ax", "cx", "x-1", "1.2.3", "[a", "]", "b", "ae9", "abcabc"} {
			want, err := path.Match(strings.ReplaceAll(p, "[!", "[^"), s)
			if err != nil || strings.HasPrefix(p, "[]") || strings.HasPrefix(p, "[!]") {
				re := map[string]string{"[a": `\[a`, "[]a]": `[\]a]`, "[!]a]": `[^\]a]`}[p]
				if re == "" {
					t.Fatalf("%q: %v", p, err)
				}
				want = regexp.MustCompile("^" + re + "$").MatchString(s)
			}
			if got := glob(p, s); got != want {
				t.Errorf("%q on %q: %v", p, s, got)
			}
		}
	}
	// Many stars cost no more than their product.
	if glob(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 128)) {
		t.Error("it matched")
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("v1.*,semver:>=1.2 <3,newest:3,!x[a-", "v1.2.3")
	f.Add("[!a-]*", "a-")
	f.Fuzz(func(t *testing.T, rules, tag string) {
		p, err := ParseFilter([]string{rules})
		if err != nil {
			return
		}
		got := p.Choose([]string{tag, "latest", tag})
		if len(got) > 2 || !slices.IsSorted(got) {
			t.Fatalf("%q", got)
		}
		if compareVersions(tag, tag) != 0 || compareVersions(tag, "latest") != -compareVersions("latest", tag) {
			t.Fatalf("no order: %q", tag)
		}
	})
}
