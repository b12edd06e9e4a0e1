package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The page shows the contract to people: each operation with who may call it,
// what it takes and answers, and a call to try. It is made once, of the same
// document that openapi.json serves, and holds no script.

//go:embed page.html.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

type pageGroup struct {
	Name, About string
	Operations  []pageOperation
}

type pageOperation struct {
	ID, Method, Path, Summary, About string
	Scope                            string // of an OAuth token; "" = anybody may call
	Fresh                            bool
	Parameters                       []pageParameter
	Body                             string // the shape of the request's body; "" = none
	Answers                          []pageAnswer
	Example                          string
}

type pageParameter struct {
	Name, In, About, Type string
	Required              bool
}

type pageAnswer struct{ Status, About, Shape string }

// A document is the contract as it is needed here: its references are followed
// by resolve.
type document struct{ root map[string]any }

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
func text(v any) string           { s, _ := v.(string); return s }
func list(v any) []any            { l, _ := v.([]any); return l }

// resolve follows references within the document.
func (d document) resolve(v any) map[string]any {
	m := object(v)
	for range 8 {
		ref := text(m["$ref"])
		if ref == "" {
			return m
		}
		var at any = d.root
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = object(at)[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		}
		m = object(at)
	}
	return m
}

// methods is the order of the operations of one path.
var methods = []string{"get", "post", "put", "delete"}

// groups are the operations by tag, in the document's order of tags.
func (d document) groups() []pageGroup {
	var all []pageGroup
	at := map[string]int{}
	for _, t := range list(d.root["tags"]) {
		name := text(object(t)["name"])
		at[name] = len(all)
		all = append(all, pageGroup{Name: name, About: text(object(t)["description"])})
	}
	paths := object(d.root["paths"])
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := object(paths[path])
		for _, method := range methods {
			op := object(item[method])
			if op == nil {
				continue
			}
			if i, ok := at[text(list(op["tags"])[0])]; ok {
				all[i].Operations = append(all[i].Operations, d.operation(path, method, item, op))
			}
		}
	}
	return slices.DeleteFunc(all, func(g pageGroup) bool { return len(g.Operations) == 0 })
}

func (d document) operation(path, method string, item, op map[string]any) pageOperation {
	o := pageOperation{ID: text(op["operationId"]), Method: strings.ToUpper(method), Path: path, Summary: text(op["summary"]), About: text(op["description"]),
		Fresh: op["x-fresh-login"] == true}
	for _, s := range list(op["security"]) {
		for _, scope := range list(object(s)["token"]) {
			o.Scope = text(scope)
		}
	}
	for _, p := range append(slices.Clone(list(item["parameters"])), list(op["parameters"])...) {
		m := d.resolve(p)
		o.Parameters = append(o.Parameters, pageParameter{Name: text(m["name"]), In: text(m["in"]), About: text(m["description"]),
			Type: d.shape(m["schema"], "", 0), Required: m["required"] == true})
	}
	if body := d.resolve(op["requestBody"]); body != nil {
		o.Body = d.shape(d.schema(body), "", 0)
	}
	answers := object(op["responses"])
	for _, status := range slices.Sorted(maps.Keys(answers)) {
		a := d.resolve(answers[status])
		v := pageAnswer{Status: status, About: text(a["description"])}
		if s := d.schema(a); s != nil && status != "default" {
			v.Shape = d.shape(s, "", 0)
		}
		o.Answers = append(o.Answers, v)
	}
	o.Example = example(&o)
	return o
}

// schema is what the content of a body or an answer looks like; nil where it
// is no JSON.
func (d document) schema(v map[string]any) any {
	return object(object(v["content"])["application/json"])["schema"]
}

// example is a call for a shell.
func example(o *pageOperation) string {
	var b strings.Builder
	b.WriteString("curl")
	if o.Method != http.MethodGet {
		b.WriteString(" -X " + o.Method)
	}
	if o.Scope != "" {
		b.WriteString(` -H "Authorization: Bearer $TOKEN"`)
	}
	if o.Body != "" {
		b.WriteString(` -H "Content-Type: application/json" -d @body.json`)
	}
	path := strings.NewReplacer("{repo}", "acme/app", "{org}", "acme", "{team}", "owners", "{short}", "ci", "{name}", "ann", "{tag}", "latest").Replace(o.Path)
	b.WriteString(` "$REGISTRY/api/v1` + path + `"`)
	return b.String()
}

// maxShape bounds how deep shapes are drawn.
const maxShape = 6

// shape draws a schema as the JSON that it describes.
func (d document) shape(v any, indent string, depth int) string {
	s := d.resolve(v)
	if c, ok := s["const"]; ok {
		return encoded(c)
	}
	if values := list(s["enum"]); values != nil {
		var all []string
		for _, x := range values {
			all = append(all, encoded(x))
		}
		return strings.Join(all, " | ")
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if choices := list(s[key]); choices != nil {
			var all []string
			for _, c := range choices {
				all = append(all, d.shape(c, indent, depth+1))
			}
			return strings.Join(all, " | ")
		}
	}
	types := kinds(s["type"])
	properties, required := d.properties(s)
	switch {
	case depth > maxShape:
		return "…"
	case len(properties) > 0:
		var b strings.Builder
		b.WriteString("{\n")
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			p := d.resolve(properties[name])
			fmt.Fprintf(&b, "%s  %q: %s", indent, name, d.shape(p, indent+"  ", depth+1))
			if required[name] {
				b.WriteString("  (required)")
			}
			if about := text(p["description"]); about != "" {
				b.WriteString("  # " + about)
			}
			b.WriteString("\n")
		}
		b.WriteString(indent + "}")
		types = slices.DeleteFunc(types, func(t string) bool { return t == "object" })
		return strings.Join(append([]string{b.String()}, types...), " | ")
	case slices.Contains(types, "array"):
		return "[" + d.shape(s["items"], indent, depth+1) + "]"
	case slices.Contains(types, "object") && object(s["additionalProperties"]) != nil:
		return "{\"…\": " + d.shape(s["additionalProperties"], indent, depth+1) + "}"
	case len(types) > 0:
		return strings.Join(types, " | ")
	}
	return "any"
}

// properties are those of an object, with those of all that it is made of.
func (d document) properties(s map[string]any) (all map[string]any, required map[string]bool) {
	all, required = map[string]any{}, map[string]bool{}
	maps.Copy(all, object(s["properties"]))
	for _, r := range list(s["required"]) {
		required[text(r)] = true
	}
	for _, part := range list(s["allOf"]) {
		more, must := d.properties(d.resolve(part))
		maps.Copy(all, more)
		maps.Copy(required, must)
	}
	return all, required
}

func kinds(v any) (all []string) {
	if s := text(v); s != "" {
		return []string{s}
	}
	for _, x := range list(v) {
		all = append(all, text(x))
	}
	return all
}

func encoded(v any) string {
	b, _ := json.Marshal(v) // it came from a document
	return string(b)
}

// page makes the page of a contract.
func page(contract []byte) ([]byte, error) {
	var d document
	if err := json.Unmarshal(contract, &d.root); err != nil {
		return nil, err
	}
	info := object(d.root["info"])
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{"Title": text(info["title"]), "About": strings.Split(strings.TrimSpace(text(info["description"])), "\n\n"), "Groups": d.groups()})
	return b.Bytes(), err
}

// getPage is GET docs.
func (s *server) getPage(c *call) error {
	b, err := s.page()
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(b) // the client is gone: nobody to tell
	return nil
}
