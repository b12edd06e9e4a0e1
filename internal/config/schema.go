package config

// Schema returns the JSON Schema (2020-12) of config.yaml, made from the table,
// for editors that complete and check as one types. It is no stricter than
// Load, which has the last word: what holds between fields is not in it.
func Schema() map[string]any {
	props, patterns := map[string]any{}, map[string]any{}
	for i := range table().fields {
		f := &table().fields[i]
		if f.Name == loginPattern {
			patterns["^[A-Z0-9_]+_LOGIN_CONFIG$"] = f.schema()
			continue
		}
		props[f.Name] = f.schema()
		for _, a := range f.Aliases {
			old := f.schema()
			old["deprecated"], old["description"] = true, "Old name of "+f.Name+"."
			props[a] = old
		}
	}
	return map[string]any{
		"$schema":           "https://json-schema.org/draft/2020-12/schema",
		"title":             "config.yaml of Gantry and Quay",
		"type":              "object",
		"properties":        props,
		"patternProperties": patterns,
	}
}

// schema describes the values that f takes; nothing counts as not written.
func (f *Field) schema() map[string]any {
	s := map[string]any{"description": f.Doc}
	if f.Obsolete != "" {
		s["deprecated"], s["description"] = true, f.Doc+" Ignored: "+f.Obsolete
	}
	if f.Secret {
		s["writeOnly"] = true
	}
	if v := f.DefaultValue(); v != nil && !f.Secret {
		s["default"] = v
	}
	text := map[string]any{"type": "string"}
	switch f.Kind {
	case Bool:
		s["anyOf"] = []any{map[string]any{"type": "boolean"}, map[string]any{"enum": []any{0, 1}}, map[string]any{"type": "string", "pattern": "^([tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[yY][eE][sS]|[nN][oO]|[oO][nN]|[oO][fF][fF]|0|1)$"}}
	case Int:
		s["anyOf"] = []any{f.bounded("integer"), text}
	case Float:
		s["anyOf"] = []any{f.bounded("number"), text}
	case Duration:
		s["anyOf"] = []any{map[string]any{"type": "string", "pattern": `^\s*([0-9]+[smhdwy]|0)\s*$`}, map[string]any{"const": 0}}
	case Seconds, Minutes:
		s["anyOf"] = []any{f.bounded("number"), text}
	case Size:
		s["anyOf"] = []any{f.bounded("number"), text}
	case StringList:
		item := map[string]any{"type": []any{"string", "number", "boolean"}}
		if len(f.Allowed) > 0 {
			item["examples"] = anyOf(f.Allowed)
		}
		list := map[string]any{"type": "array", "items": item}
		if f.OneText {
			s["anyOf"] = []any{list, text}
		} else {
			s["type"], s["items"] = list["type"], item
		}
	case Object:
		f.keysInto(s)
	case ObjectList:
		item := map[string]any{}
		f.keysInto(item)
		s["type"], s["items"] = "array", item
	case Map:
		s["type"] = "object"
		if f.Item != nil {
			s["additionalProperties"] = f.Item.schema()
		}
	case Custom:
		if f.Shape != "" {
			s["$comment"] = f.Shape
		}
		if f.Name == storageField {
			storageSchema(s)
		}
	default:
		s["type"] = []any{"string", "number"}
		if len(f.Allowed) > 0 { // in any case of letters, and true and false where they are words
			s["examples"] = anyOf(f.Allowed)
			s["type"] = []any{"string", "number", "boolean"}
		}
	}
	return s
}

func (f *Field) bounded(kind string) map[string]any {
	s := map[string]any{"type": kind, "minimum": f.Min}
	if f.Max != 0 {
		s["maximum"] = f.Max
	}
	return s
}

func (f *Field) keysInto(s map[string]any) {
	s["type"] = "object"
	props, must := map[string]any{}, []any{}
	for i := range f.Keys {
		k := &f.Keys[i]
		props[k.Name] = k.schema()
		for _, a := range k.Aliases {
			props[a] = k.schema()
		}
		if k.Required && len(k.Aliases) == 0 {
			must = append(must, k.Name)
		}
	}
	s["properties"] = props
	if len(must) > 0 {
		s["required"] = must
	}
}

// storageSchema describes {name: [class, {parameters}]}.
func storageSchema(s map[string]any) {
	forms := make([]any, 0, len(classNames))
	for _, c := range StorageClasses() {
		params := map[string]any{}
		(&Field{Keys: c.Keys}).keysInto(params)
		if len(params["properties"].(map[string]any)) > 0 && params["required"] == nil {
			params["type"] = []any{"object", "null"}
		}
		forms = append(forms, map[string]any{"title": c.Name, "type": "array", "prefixItems": []any{map[string]any{"const": c.Name}, params}, "minItems": 2, "maxItems": 2})
	}
	s["type"], s["additionalProperties"] = "object", map[string]any{"oneOf": forms}
}

func anyOf(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
