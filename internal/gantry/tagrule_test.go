package gantry

import (
	"strings"
	"testing"
	"time"
)

func TestTagRule(t *testing.T) {
	tests := []struct {
		pattern string
		matches bool
		from    bool
		tag     string
		want    bool
	}{
		{"", true, true, "x", true},
		{"", false, false, "x", true}, // no pattern: all
		{"^v", true, false, "v1", true},
		{"^v", false, false, "v1", false},
		{"1", true, false, "v1", true},
		{"1", true, true, "v1", false},
		{"1", false, true, "v1", true},
		{"a|b", true, true, "cb", false},
		{"a|b", true, true, "bc", true},
		{"^v$", true, true, "v1", false},
	}
	for _, c := range tests {
		f, err := TagRule{c.pattern, c.matches}.Chooser(c.from)
		if err != nil {
			t.Fatal(err)
		}
		if f(c.tag) != c.want {
			t.Errorf("%+v", c)
		}
	}
	for _, bad := range []string{"[", "a)(b", "(?=x)", `(a)\1`, "a{2000}", strings.Repeat("a", MaxTagPattern+1), "(?i"} {
		if _, err := (TagRule{bad, true}).Chooser(true); !Is(err, Invalid) {
			t.Errorf("%.40q is taken: %v", bad, err)
		}
	}
}

func TestPruneRule(t *testing.T) {
	for value, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "1s": time.Second, "2w": 14 * 24 * time.Hour, "90m": 90 * time.Minute} {
		if _, age, err := (PruneRule{Method: PruneByAge, Value: value}).Limits(); err != nil || age != want {
			t.Errorf("%s: %v, %v", value, age, err)
		}
	}
	if n, _, err := (PruneRule{Method: PruneByCount, Value: "12"}).Limits(); err != nil || n != 12 {
		t.Error(n, err)
	}
	for _, r := range []PruneRule{{}, {Method: "x", Value: "1"}, {Method: PruneByCount}, {Method: PruneByCount, Value: "0"}, {Method: PruneByCount, Value: "-1"},
		{Method: PruneByCount, Value: "99999999999999999999"}, {Method: PruneByCount, Value: "7d"}, {Method: PruneByAge, Value: "7"}, {Method: PruneByAge, Value: "0d"},
		{Method: PruneByAge, Value: "999999999w"}, {Method: PruneByAge, Value: "1y "}, {Method: PruneByAge, Value: "1.5d"}} {
		if _, _, err := r.Limits(); !Is(err, Invalid) {
			t.Errorf("%+v is taken: %v", r, err)
		}
	}
}

func TestIsSignatureTag(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]bool{"sha256-" + hex + ".sig": true, "sha256-" + hex + ".att": true, "sha256-" + hex + ".sbom": true,
		"sha256-" + hex: false, "sha256-" + hex + ".sigs": false, "sha256-" + hex[:62] + ".sig": false, "v1.sig": false} {
		if IsSignatureTag(tag) != want {
			t.Errorf("%s: %v", tag, !want)
		}
	}
}

// FuzzTagRule holds that a pattern that is taken decides about any tag.
func FuzzTagRule(f *testing.F) {
	f.Add("^v[0-9]+", "v1")
	f.Add("(a{10}){10}", "aaa")
	f.Add("a)|(b", "b")
	f.Fuzz(func(t *testing.T, pattern, tag string) {
		yes, err := TagRule{pattern, true}.Chooser(true)
		if err != nil {
			return
		}
		no, err := TagRule{pattern, false}.Chooser(true)
		if err != nil {
			t.Fatal(err)
		}
		if pattern != "" && yes(tag) == no(tag) {
			t.Errorf("%q chooses %q both ways", pattern, tag)
		}
	})
}
