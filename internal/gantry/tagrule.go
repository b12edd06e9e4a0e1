package gantry

import (
	"regexp"
	"strconv"
	"time"
)

// MaxTagPattern is the longest pattern of a TagRule, in bytes, as in Quay.
const MaxTagPattern = 255

// A TagRule chooses tags by their names: those that match Pattern, a regular
// expression of RE2, or those that do not. An empty pattern chooses all.
type TagRule struct {
	Pattern string
	Matches bool
}

// Chooser returns what decides about a tag. From says that a match must begin
// where the tag begins. The time that it takes grows with the length of the
// tag alone, whatever the pattern. Invalid on "tagPattern" for a pattern that
// is too long or does not compile.
func (r TagRule) Chooser(from bool) (func(tag string) bool, error) {
	if r.Pattern == "" {
		return func(string) bool { return true }, nil
	}
	if len(r.Pattern) > MaxTagPattern {
		return nil, Errorf(Invalid, "tagPattern", "tagPattern is longer than %d bytes", MaxTagPattern)
	}
	text := r.Pattern
	if _, err := regexp.Compile(text); err != nil { // by itself: no bracket of it meets ours
		return nil, Errorf(Invalid, "tagPattern", "tagPattern is not a regular expression of RE2 (which has no look-around and no back-references): %.300s", err)
	}
	if from {
		text = `^(?:` + text + `)`
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, Errorf(Invalid, "tagPattern", "tagPattern is not a regular expression of RE2: %.300s", err)
	}
	return func(tag string) bool { return re.MatchString(tag) == r.Matches }, nil
}

// The methods of a PruneRule.
const (
	PruneByCount = "number_of_tags" // the newest ones stay, so many
	PruneByAge   = "creation_date"  // those go that are older
)

// A PruneRule says which tags of a repository are too many or too old.
type PruneRule struct {
	Method string
	Value  string // a whole number, or a duration such as 7d
	TagRule
}

var pruneAge = regexp.MustCompile(`^([0-9]{1,9})([smhdw])$`)

var ageUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// Limits are what Value says: the number of tags that stay, or their greatest
// age. Invalid on "method" or "value".
func (r PruneRule) Limits() (keep int64, age time.Duration, err error) {
	switch r.Method {
	case PruneByCount:
		n, err := strconv.ParseInt(r.Value, 10, 32)
		if err != nil || n < 1 {
			return 0, 0, Errorf(Invalid, "value", "value must be a whole number of at least 1 with the method %s", PruneByCount)
		}
		return n, 0, nil
	case PruneByAge:
		if m := pruneAge.FindStringSubmatch(r.Value); m != nil {
			n, err := strconv.ParseInt(m[1], 10, 64)
			if d := ageUnits[m[2]]; err == nil && n > 0 && n <= int64(100*365*24*time.Hour/d) {
				return 0, time.Duration(n) * d, nil
			}
		}
		return 0, 0, Errorf(Invalid, "value", "value must be a duration with the method %s: a number and one of s, m, h, d, w, such as 7d, and at most 100 years", PruneByAge)
	}
	return 0, 0, Errorf(Invalid, "method", "method %.40q is not one of %s, %s", r.Method, PruneByCount, PruneByAge)
}

var signatureTag = regexp.MustCompile(`^sha(256|512)-[0-9a-f]{64,128}\.(sig|att|sbom)$`)

// IsSignatureTag reports whether a tag is one of those by which cosign ties a
// signature, an attestation or a bill of materials to an image. They go with
// their image and not by themselves.
func IsSignatureTag(tag string) bool { return signatureTag.MatchString(tag) }
