package registry

import (
	"fmt"
	"strconv"
	"strings"
)

// A version is major, minor and patch.
type version [3]int

// parseVersion reads "1.6", "1.6.0" or "17.03.1-ce"; what follows the numbers
// after '-' or '+' is ignored.
func parseVersion(s string) (v version, ok bool) {
	s, _, _ = strings.Cut(s, "-")
	s, _, _ = strings.Cut(s, "+")
	parts := strings.Split(s, ".")
	if len(parts) > len(v) {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 31)
		if err != nil {
			return v, false
		}
		v[i] = int(n)
	}
	return v, true
}

func (v version) compare(w version) int {
	for i := range v {
		if v[i] != w[i] {
			if v[i] < w[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// A versionSpec is a list of comparisons that all must hold, as in
// BLACKLIST_V2_SPEC: "<1.6.0" or ">=1.0,<1.6". The empty one blocks nobody.
type versionSpec []versionClause

type versionClause struct {
	op string
	v  version
}

func parseVersionSpec(s string) (versionSpec, error) {
	var spec versionSpec
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	for clause := range strings.SplitSeq(s, ",") {
		clause = strings.TrimSpace(clause)
		op := clause[:len(clause)-len(strings.TrimLeft(clause, "<>=!"))]
		v, ok := parseVersion(strings.TrimSpace(clause[len(op):]))
		switch op {
		case "<", "<=", ">", ">=", "=", "==", "!=", "":
		default:
			ok = false
		}
		if !ok {
			return nil, fmt.Errorf("%q is not a comparison such as <1.6.0", clause)
		}
		spec = append(spec, versionClause{op, v})
	}
	return spec, nil
}

func (s versionSpec) matches(v version) bool {
	for _, c := range s {
		n, ok := v.compare(c.v), false
		switch c.op {
		case "<":
			ok = n < 0
		case "<=":
			ok = n <= 0
		case ">":
			ok = n > 0
		case ">=":
			ok = n >= 0
		case "!=":
			ok = n != 0
		default:
			ok = n == 0
		}
		if !ok {
			return false
		}
	}
	return len(s) > 0
}

// blocks reports whether agent is a docker client whose version is in s.
// Other clients, and versions that cannot be read, pass.
func (s versionSpec) blocks(agent string) bool {
	if len(s) == 0 {
		return false
	}
	rest, ok := strings.CutPrefix(agent, "docker/")
	if !ok {
		return false
	}
	text, _, _ := strings.Cut(rest, " ")
	v, ok := parseVersion(text)
	return ok && s.matches(v)
}
