// Package config reads Quay's configuration folder: config.yaml, its
// certificates and the environment names beside it.
//
// One table (Fields) says of every field its type, default, meaning, check,
// and whether a change needs a restart. The loader, the validator and the
// reference page in docs/reference/config.md all come from it. Fields of later
// Quay releases are in the table too: they are checked, kept and reported as
// "not used yet".
//
// [Load] reads a folder once. [Live] holds the current snapshot of a running
// process and swaps it when the folder changes.
package config

import (
	"fmt"
	"sort"
	"strings"
	"sync"
)

// A Kind is the type of a field's value: what may be written, and the Go type
// that [Config.Get] returns for it.
type Kind int

// The kinds. Text in quotes is taken wherever a number or a boolean is.
const (
	String     Kind = iota // string; a number is taken as its text
	Bool                   // bool: true, false, yes, no, on, off, 1, 0 in any case
	Int                    // int64
	Float                  // float64
	Duration               // time.Duration: number and unit (s, m, h, d, w, y)
	Seconds                // time.Duration: a number of seconds, or number and unit
	Minutes                // time.Duration: a number of minutes, or number and unit
	Size                   // int64 bytes: a number, or number and unit (K, Ki, M, Mi, G, Gi, …)
	StringList             // []string
	Object                 // map[string]any with the keys of Field.Keys
	ObjectList             // []any, each one an Object as Field.Keys says
	Map                    // map[string]any: free names, each value as Field.Item says
	Custom                 // as Field.Shape says
)

var kindNames = [...]string{"text", "true or false", "whole number", "number", "duration", "seconds", "minutes", "size", "list", "block", "list of blocks", "block of names", "see text"}

// String returns the kind's name as the reference page prints it.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// A Field is one row of the table: a field of config.yaml, or a key of a
// nested block.
type Field struct {
	Name    string
	Group   string // heading of the reference page; "" for a nested key
	Kind    Kind
	Default string // as it would be written in config.yaml; "" = none: the zero value
	Doc     string // one sentence or two: what it does
	Shape   string // for Custom: what may be written

	Allowed []string           // the only texts taken; nil = any. For a StringList, of each item
	Min     int64              // smallest Int, Float, Seconds, Minutes or Size (bytes)
	Max     int64              // largest; 0 = no bound
	Check   func(string) error // a further check of the text, or of each item of a list; may be nil. Its error never holds the text
	Keys    []Field            // of an Object or an ObjectList
	Item    *Field             // of a Map
	Open    bool               // other keys than Keys pass without a word
	OneText bool               // a StringList that may be written as one text

	Used     bool     // in effect in this release; otherwise accepted and reported
	Live     bool     // a change is taken without a restart
	Secret   bool     // never shown: not in messages, not in Redacted
	Required bool     // of a nested key: its block is wrong without it
	Later    bool     // newer than Quay 3.7
	Obsolete string   // why it is ignored for good; "" = it is not
	Aliases  []string // old and mistaken spellings, taken with a warning
	Env      string   // environment variable that overrides the file; "" = none

	parse func(c *checker, path string, n *node) (any, bool) // of a Custom
}

// Fields returns the whole table, in the order of the reference page. The
// caller must not change it.
func Fields() []Field { return table().fields }

// Lookup finds the field of that name, old spellings and the pattern
// <NAME>_LOGIN_CONFIG included. The Field's Name is the right spelling, or
// name itself where a pattern matched.
func Lookup(name string) (Field, bool) {
	f := table().find(name)
	if f == nil {
		return Field{}, false
	}
	return *f, true
}

// index is the table with its look-ups.
type index struct {
	fields   []Field
	byName   map[string]*Field // right names and aliases
	login    *Field            // <NAME>_LOGIN_CONFIG
	defaults map[string]any    // parsed Field.Default, by right name
}

var table = sync.OnceValue(func() *index {
	t := &index{byName: map[string]*Field{}, defaults: map[string]any{}}
	for _, g := range groups() {
		for _, f := range g.fields {
			f.Group = g.title
			t.fields = append(t.fields, f)
		}
	}
	for i := range t.fields {
		f := &t.fields[i]
		if f.Name == loginPattern {
			t.login = f
			continue
		}
		t.byName[f.Name] = f
		for _, a := range f.Aliases {
			t.byName[a] = f
		}
		c := &checker{file: "default"}
		if v, ok := c.defaultOf(f, f.Name); ok {
			t.defaults[f.Name] = v
		}
	}
	return t
})

// loginPattern stands in the table for every external login provider.
const loginPattern = "<NAME>_LOGIN_CONFIG"

func (t *index) find(name string) *Field {
	if f := t.byName[name]; f != nil {
		return f
	}
	if p, ok := strings.CutSuffix(name, "_LOGIN_CONFIG"); ok && p != "" && upperName(p) {
		f := *t.login
		f.Name = name
		return &f
	}
	for _, fam := range families {
		if strings.HasPrefix(name, fam.prefix) && upperName(name) {
			return &Field{Name: name, Group: fam.group, Kind: Custom, Shape: "anything", Doc: fam.doc, Later: true, Secret: maySecret(name), Obsolete: fam.why,
				parse: func(_ *checker, _ string, n *node) (any, bool) { return n.plain(), true }}
		}
	}
	return nil
}

// families are the beginnings of names that Quay knows many of; those that are
// not rows of the table pass without a check.
var families = []struct{ prefix, group, doc, why string }{
	{"ENTITLEMENT_", "quay.io only", "Payment of plans.", quayIO},
	{"STRIPE_", "quay.io only", "Payment through Stripe.", quayIO},
	{"CLOUDWATCH_", "quay.io only", "Metrics to CloudWatch.", quayIO},
	{"SPAM_DETECTION_", "quay.io only", "Detection of spam.", quayIO},
	{"SENTRY_", "Health and metrics", "Option of Sentry.", ""},
	{"PYROSCOPE_", "Health and metrics", "Option of Pyroscope.", ""},
}

// upperName reports whether s is made of A-Z, 0-9 and '_' only.
func upperName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// nearest returns the one of names closest to s, or "" if none is close
// enough to be what was meant.
func nearest(s string, names []string) string {
	if len(s) > 80 {
		return ""
	}
	up := strings.ToUpper(s)
	best, bestDist := "", max(2, len(s)/6)+1
	for _, n := range names {
		if strings.EqualFold(n, s) {
			return n
		}
		if d := len(n) - len(s); d >= bestDist || -d >= bestDist {
			continue
		}
		if d := distance(up, strings.ToUpper(n)); d < bestDist {
			best, bestDist = n, d
		}
	}
	return best
}

// distance is the edit distance of a and b in bytes, a swap of neighbours
// counting one.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// fieldNames returns the right names of the table, sorted.
func fieldNames() []string {
	t := table()
	names := make([]string, 0, len(t.fields))
	for _, f := range t.fields {
		if f.Name != loginPattern {
			names = append(names, f.Name)
		}
	}
	sort.Strings(names)
	return names
}

// keyNames returns the names of keys.
func keyNames(keys []Field) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	return names
}

// findKey returns the key of that name, or nil.
func findKey(keys []Field, name string) *Field {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
		for _, a := range keys[i].Aliases {
			if a == name {
				return &keys[i]
			}
		}
	}
	return nil
}
