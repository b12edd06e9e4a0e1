package api

import (
	"encoding/json"
	"reflect"
	"strings"
)

// exact leaves in JSON for a t only the fields that t has under exactly those
// names. The decoder would take "Role" for "role", and whichever came last: a
// check in front of this server that knows only one of them could be passed by.
// What is no JSON, or of another shape, comes back as it was.
func exact(b []byte, t reflect.Type) []byte {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return b
	}
	var kept any
	switch t.Kind() {
	case reflect.Struct:
		var m map[string]json.RawMessage
		if json.Unmarshal(b, &m) != nil || m == nil {
			return b
		}
		out := make(map[string]json.RawMessage, len(m))
		for name, ft := range fields(t) {
			if v, ok := m[name]; ok {
				out[name] = exact(v, ft)
			}
		}
		kept = out
	case reflect.Map:
		var m map[string]json.RawMessage
		if json.Unmarshal(b, &m) != nil || m == nil {
			return b
		}
		for k, v := range m {
			m[k] = exact(v, t.Elem())
		}
		kept = m
	case reflect.Slice:
		var all []json.RawMessage
		if t.Elem().Kind() == reflect.Uint8 || json.Unmarshal(b, &all) != nil || all == nil {
			return b
		}
		for i, v := range all {
			all[i] = exact(v, t.Elem())
		}
		kept = all
	default:
		return b
	}
	if k, err := json.Marshal(kept); err == nil {
		return k
	}
	return b
}

// fields are the JSON names of a struct's fields. One without a tag is called
// as in Go, with a small letter first.
func fields(t reflect.Type) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous || !f.IsExported() || name == "-":
			continue
		case name == "":
			name = small(f.Name)
		}
		all[name] = f.Type
	}
	return all
}

// small is a Go name, or a path of them, as JSON has it: UUID is uuid, AdminUser
// is adminUser.
func small(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if p == strings.ToUpper(p) {
			parts[i] = strings.ToLower(p)
		} else {
			parts[i] = strings.ToLower(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, ".")
}

// exactOf is exact for a value of the type of v.
func exactOf(b []byte, v any) []byte { return exact(b, reflect.TypeOf(v)) }
