package plan

import (
	"fmt"
	"strconv"
	"strings"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// leaps are the upgrades over more than one minor version (operator.md,
// section 17).
var leaps = map[[2]string]bool{{"3.3", "3.6"}: true, {"3.4", "3.6"}: true, {"3.4", "3.7"}: true, {"3.5", "3.7"}: true}

// Upgrade reports whether a registry of one version may become one of another.
// from "" is a new registry. Versions that are no numbers, as of builds from a
// branch, are not compared. The error is a *Blocked.
func Upgrade(from, to string) error {
	if from == "" || from == to {
		return nil
	}
	f, ok1 := parseVersion(from)
	t, ok2 := parseVersion(to)
	if !ok1 || !ok2 {
		return nil
	}
	block := func(format string, args ...any) error {
		return &Blocked{Reason: v1.ReasonUpgradeUnsupported, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case f[0] == t[0] && f[1] == t[1]:
		return nil // one schema, in both directions
	case t[0] < f[0] || t[0] == f[0] && t[1] < f[1]:
		return block("the registry has version %s, and this operator brings %s, which is older: the schema of a newer version is not taken back; install the operator of version %d.%d", from, to, f[0], f[1])
	case t[0] == f[0] && t[1] == f[1]+1, leaps[[2]string{minor(f), minor(t)}]:
		return nil
	case t[0] == f[0]+1 && t[1] == 0:
		return nil
	}
	return block("the registry has version %s, and this operator brings %s: upgrade by one minor version at a time (next: %d.%d)", from, to, f[0], f[1]+1)
}

func minor(v [2]int) string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// parseVersion reads the first two numbers of "v3.7.1", "3.7" or "3.7.1-2".
func parseVersion(s string) (v [2]int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(s, "v"), ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	for i := range v {
		digits, _, _ := strings.Cut(parts[i], "-")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}
