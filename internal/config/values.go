package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Masked stands for a secret that is set, and for the present one where it is
// written back (Unmask).
const Masked = masked

// ParseValues reads what a config.yaml or config.json, whichever name says,
// writes: values as encoding/json holds them, with int64 for whole numbers.
// They are not checked against the table. Problems are errors of the syntax.
func ParseValues(name string, data []byte) (map[string]any, []Problem) {
	l := loader{}
	l.file = name
	parse := parseYAML
	if strings.HasSuffix(name, ".json") {
		parse = parseJSON
	}
	n := l.parse(data, parse)
	if n == nil {
		return nil, l.problems
	}
	m, _ := n.plain().(map[string]any)
	return m, nil
}

// Defaults returns the default of every field that has one, as a file would
// write it.
func Defaults() map[string]any {
	out := make(map[string]any, len(table().defaults))
	for i := range table().fields {
		f := &table().fields[i]
		if v := f.DefaultValue(); v != nil && f.Name != loginPattern {
			out[f.Name] = v
		}
	}
	return out
}

// DefaultValue returns the default as a file would write it; nil = there is
// none.
func (f *Field) DefaultValue() any {
	switch {
	case f.Default == "":
		return nil
	case f.Kind == String:
		return f.Default
	case f.Kind == Bool:
		b, _ := parseBool(f.Default)
		return b
	}
	doc, errs := parseYAML([]byte("v: " + f.Default))
	if len(errs) > 0 {
		return nil // the table's tests hold that every default parses
	}
	return doc.get("v").plain()
}

// A StorageClass is a class of DISTRIBUTED_STORAGE_CONFIG and its parameters.
type StorageClass struct {
	Name string
	Keys []Field
}

// StorageClasses returns all of them. The caller must not change them.
func StorageClasses() []StorageClass {
	classes := storageClasses()
	list := make([]StorageClass, len(classNames))
	for i, name := range classNames {
		list[i] = StorageClass{name, classes[name]}
	}
	return list
}

// Mask returns values as they are written (ParseValues) with *** for secrets
// that are set. Of an address only the password and secret parameters are
// hidden, and all else stays as it is.
func Mask(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for name, v := range values {
		out[name] = MaskField(name, v)
	}
	return out
}

// MaskField is Mask of one field's value.
func MaskField(name string, v any) any { return mask(table().find(name), name, v) }

// keyField describes the value of key in an object that f describes; f, and
// the answer, may be nil.
func keyField(f *Field, key string) *Field {
	if f == nil {
		return nil
	}
	if k := findKey(f.Keys, key); k != nil {
		return k
	}
	return f.Item
}

const storageField = "DISTRIBUTED_STORAGE_CONFIG"

// location describes [class, {parameters}] v of DISTRIBUTED_STORAGE_CONFIG.
func locationField(v any) *Field {
	f := &Field{Kind: ObjectList}
	if list, ok := v.([]any); ok && len(list) > 0 {
		if class, ok := list[0].(string); ok {
			f.Keys = storageClasses()[class]
		}
	}
	return f
}

// hides reports whether the value of name is a secret as a whole.
func hides(f *Field, name string) bool { return f != nil && f.Secret || f == nil && maySecret(name) }

func mask(f *Field, name string, v any) any {
	secret := hides(f, name)
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if !secret || v != "" && strings.HasSuffix(name, "DB_URI") && len(secretSpans(v)) > 0 {
			return maskText(v)
		}
		if v == "" {
			return ""
		}
		if strings.HasSuffix(name, "DB_URI") && checkDBURI(v) == nil {
			return v // an address without a password
		}
	case map[string]any:
		if secret {
			break
		}
		out := make(map[string]any, len(v))
		for k, x := range v {
			kf := keyField(f, k)
			if name == storageField {
				kf = locationField(x)
			}
			out[k] = mask(kf, k, x)
		}
		return out
	case []any:
		if secret {
			break
		}
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = mask(f, "", x)
		}
		return out
	default:
		if !secret {
			return v
		}
	}
	return masked
}

// A span is a secret in an address.
type span struct {
	key        string // which one it is: "" the password, or the name of a parameter
	start, end int
}

// secretSpans finds the password and the secret parameters of an address, in
// their order. Other text has none.
func secretSpans(s string) (list []span) {
	i := strings.Index(s, "://")
	if i < 0 {
		return nil
	}
	rest := i + 3
	if at := strings.LastIndexByte(s, '@'); at >= rest {
		if colon := strings.IndexByte(s[rest:at], ':'); colon >= 0 && rest+colon+1 < at {
			list = append(list, span{"", rest + colon + 1, at})
		}
		rest = at + 1
	}
	q := strings.IndexByte(s[rest:], '?')
	if q < 0 {
		return list
	}
	for at := rest + q + 1; at <= len(s); {
		end := at + strings.IndexByte(s[at:]+"&", '&')
		if name, value, ok := strings.Cut(s[at:end], "="); ok && value != "" && maySecret(name) {
			list = append(list, span{name, at + len(name) + 1, end})
		}
		at = end + 1
	}
	return list
}

// maskText hides the secrets of an address.
func maskText(s string) string {
	list := secretSpans(s)
	for _, sp := range slices.Backward(list) {
		s = s[:sp.start] + masked + s[sp.end:]
	}
	return s
}

// Unmask returns values with each *** replaced by what present has in its
// place: *** for the whole of a value, or in an address for its password. What
// stands in a list is looked for by what it is like, then by its place. The
// error names the field, and never holds a secret.
func Unmask(values, present map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v, err := unmask(table().find(name), name, clip(name), values[name], present[name])
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

// nothingKept is the error of *** where there is nothing to keep.
func nothingKept(path string) error {
	return fmt.Errorf("%s is %s, which keeps the present value, and there is none: write the value", path, masked)
}

func unmask(f *Field, name, path string, v, old any) (any, error) {
	switch v := v.(type) {
	case string:
		if v == masked {
			if !hides(f, name) && old == any(masked) {
				return v, nil
			}
			if old == nil || old == "" {
				return nil, nothingKept(path)
			}
			return old, nil
		}
		was, _ := old.(string)
		return unmaskText(path, v, was)
	case map[string]any:
		had, _ := old.(map[string]any)
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			kf := keyField(f, k)
			if name == storageField {
				kf = locationField(v[k])
			}
			x, err := unmask(kf, k, dot(path, k), v[k], had[k])
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return out, nil
	case []any:
		had, _ := old.([]any)
		out := make([]any, len(v))
		for i, item := range v {
			x, err := unmask(f, "", join(path, i), item, counterpart(f, had, i, item))
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	}
	return v, nil
}

// counterpart is the item of the present list that item i of the new one comes
// from: the one that looks the same, or else the one in its place.
func counterpart(f *Field, had []any, i int, item any) any {
	same := func(j int) bool { return sameJSON(mask(f, "", had[j]), item) }
	if i < len(had) && same(i) {
		return had[i]
	}
	for j := range had {
		if same(j) {
			return had[j]
		}
	}
	if i < len(had) {
		return had[i]
	}
	return nil
}

// unmaskText puts the secrets of an address back.
func unmaskText(path, s, was string) (string, error) {
	var old []span
	for _, sp := range slices.Backward(secretSpans(s)) {
		if s[sp.start:sp.end] != masked {
			continue
		}
		if old == nil {
			old = secretSpans(was)
		}
		i := slices.IndexFunc(old, func(o span) bool { return o.key == sp.key })
		if i < 0 {
			return "", nothingKept(path)
		}
		s = s[:sp.start] + was[old[i].start:old[i].end] + s[sp.end:]
	}
	return s, nil
}

// sameJSON reports whether two values are the same as JSON: 1 and 1.0 are.
func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameJSON)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	}
	x, isX := number(a)
	y, isY := number(b)
	if isX && isY {
		return x == y
	}
	return a == b
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Same reports whether two values of a field mean the same file.
func Same(a, b any) bool { return sameJSON(a, b) }
