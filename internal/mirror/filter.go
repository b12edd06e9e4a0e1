package mirror

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Bounds of a filter.
const (
	maxRules     = 200
	maxRule      = 1024 // bytes of one rule
	semverPrefix = "semver:"
	newestPrefix = "newest:"
)

// A Filter chooses tags. The zero value chooses none; see ParseFilter.
type Filter struct {
	globs   []string
	without []string
	ranges  []*semver.Constraints
	newest  int // 0 = all
}

// ParseFilter reads the rules of a filter, each of which may be a list with
// commas:
//
//	v3.*            a glob: *, ?, [a-z] and [!a-z]; one without those is a tag
//	!*-rc*          leaves tags out, whatever chooses them
//	semver:>=1.2 <3 a range of versions, as "semver:^1.4 || ~2.0"; a tag is read
//	                as a version with or without a leading v
//	newest:10       of the tags that the others choose, the ten highest; with no
//	                others, of all. Numbers in tags are compared as numbers
//
// Invalid on "root_rule" for what cannot be read, and where there is no rule.
func ParseFilter(rules []string) (f Filter, err error) {
	n := 0
	for _, list := range rules {
		for rule := range strings.SplitSeq(list, ",") {
			rule = strings.TrimSpace(rule)
			if rule == "" {
				continue
			}
			if n++; n > maxRules || len(rule) > maxRule {
				return f, gantry.Errorf(gantry.Invalid, "root_rule", "root_rule holds more than %d rules, or one of more than %d bytes; use globs", maxRules, maxRule)
			}
			if err := f.add(rule); err != nil {
				return f, err
			}
		}
	}
	if n == 0 {
		return f, gantry.Errorf(gantry.Invalid, "root_rule", `root_rule chooses no tag: give globs, such as ["v3.*", "latest"], or ["*"] for all`)
	}
	if len(f.globs) == 0 && len(f.ranges) == 0 {
		f.globs = []string{"*"}
	}
	return f, nil
}

func (f *Filter) add(rule string) error {
	switch {
	case strings.HasPrefix(rule, semverPrefix):
		c, err := semver.NewConstraint(strings.TrimSpace(rule[len(semverPrefix):]))
		if err != nil {
			return gantry.Errorf(gantry.Invalid, "root_rule", "root_rule: %.80q is no range of versions; write semver:>=1.2 <3, semver:^1.4 or semver:~2.0", rule)
		}
		f.ranges = append(f.ranges, c)
	case strings.HasPrefix(rule, newestPrefix):
		n, err := strconv.Atoi(strings.TrimSpace(rule[len(newestPrefix):]))
		if err != nil || n < 1 || n > 1_000_000 {
			return gantry.Errorf(gantry.Invalid, "root_rule", "root_rule: %.80q is not newest: and a number above 0", rule)
		}
		if f.newest != 0 {
			return gantry.Errorf(gantry.Invalid, "root_rule", "root_rule: newest: is there twice")
		}
		f.newest = n
	case rule[0] == '!':
		if rule == "!" {
			return gantry.Errorf(gantry.Invalid, "root_rule", "root_rule: ! needs a glob behind it")
		}
		f.without = append(f.without, rule[1:])
	default:
		f.globs = append(f.globs, rule)
	}
	return nil
}

// Choose returns those of tags that the filter chooses, in byte order, each
// once.
func (f *Filter) Choose(tags []string) []string {
	var out []string
	for _, t := range tags {
		if f.chooses(t) {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if f.newest == 0 {
		return out
	}
	// What belongs to an image comes with it.
	out = slices.DeleteFunc(out, func(t string) bool { _, ok := subjectOf(t); return ok })
	if len(out) > f.newest {
		slices.SortFunc(out, func(a, b string) int { return compareVersions(b, a) })
		out = out[:f.newest]
		slices.Sort(out)
	}
	return out
}

func (f *Filter) chooses(tag string) bool {
	match := func(g string) bool { return glob(g, tag) }
	if slices.ContainsFunc(f.without, match) {
		return false
	}
	if slices.ContainsFunc(f.globs, match) {
		return true
	}
	if len(f.ranges) == 0 {
		return false
	}
	v, err := semver.NewVersion(tag)
	return err == nil && slices.ContainsFunc(f.ranges, func(c *semver.Constraints) bool { return c.Check(v) })
}

// glob reports whether s is what the pattern says, as fnmatch has it: *, ?,
// [abc], [a-z], [!abc]. Its cost is bounded by the product of the lengths.
func glob(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0 // where to go on when what follows the last * does not fit
	for i < len(s) {
		if p < len(pattern) {
			switch c := pattern[p]; {
			case c == '*':
				star, mark = p, i
				p++
				continue
			case c == '[':
				if n, ok := class(pattern[p:], s[i]); n > 0 {
					if ok {
						p, i = p+n, i+1
						continue
					}
				} else if s[i] == '[' { // without an end it is itself
					p, i = p+1, i+1
					continue
				}
			case c == '?' || c == s[i]:
				p, i = p+1, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// class reads a class at the beginning of pattern and reports whether c is in
// it; n is its length, 0 where it has no end.
func class(pattern string, c byte) (n int, in bool) {
	i := 1
	not := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if not {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, in != not
		}
		lo, hi := pattern[i], pattern[i]
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			hi = pattern[i+2]
			i += 2
		}
		in = in || lo <= c && c <= hi
		i++
	}
	return 0, false
}

// compareVersions orders tags from low to high: versions by their rules, above
// what is none; anything else by its text, in which numbers count as numbers.
func compareVersions(a, b string) int {
	va, ea := semver.NewVersion(a)
	vb, eb := semver.NewVersion(b)
	switch {
	case ea == nil && eb == nil:
		return cmp.Or(va.Compare(vb), natural(a, b))
	case ea == nil:
		return 1
	case eb == nil:
		return -1
	}
	return natural(a, b)
}

// natural compares texts, runs of digits as numbers.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
				return c
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// subjectOf returns the manifest that a tag belongs to, if it is one by which
// clients tie signatures, attestations, bills of materials and lists of
// referrers to an image: sha256-<hex>, alone or with .sig, .att or .sbom.
func subjectOf(tag string) (gantry.Digest, bool) {
	rest, ok := strings.CutPrefix(tag, "sha256-")
	if !ok {
		return "", false
	}
	hex, suffix, _ := strings.Cut(rest, ".")
	if len(hex) != 64 || strings.Contains(tag, ".") && suffix != "sig" && suffix != "att" && suffix != "sbom" {
		return "", false
	}
	d, err := gantry.ParseDigest("sha256:" + hex)
	return d, err == nil
}
