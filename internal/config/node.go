package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of what is read.
const (
	maxFile  = 1 << 20 // bytes of config.yaml, of an override and of any other file of the folder
	maxDepth = 64      // nesting
	maxNodes = 100_000 // values, after aliases are followed
)

type nodeKind int

const (
	scalar nodeKind = iota
	list
	object
)

// A node is a value as it was written, with its place. YAML and JSON both
// become nodes; aliases and merge keys are followed already.
type node struct {
	kind      nodeKind
	text      string // of a scalar
	tag       string // of a scalar: !!str, !!int, !!float, !!bool or !!null
	line, col int    // from 1; 0 = not known
	items     []*node
	pairs     []pair
}

type pair struct {
	key       string
	line, col int
	val       *node
}

func (n *node) null() bool { return n.kind == scalar && n.tag == "!!null" }

// get returns the value of an object's key, or nil.
func (n *node) get(key string) *node {
	for _, p := range n.pairs {
		if p.key == key {
			return p.val
		}
	}
	return nil
}

// what names the node's kind for messages.
func (n *node) what() string {
	switch {
	case n.kind == list:
		return "a list"
	case n.kind == object:
		return "a block"
	case n.tag == "!!null":
		return "empty"
	case n.tag == "!!bool":
		return "a boolean"
	case n.tag == "!!int", n.tag == "!!float":
		return "a number"
	}
	return "text"
}

// plain returns the value as encoding/json would hold it, with int64 for whole
// numbers.
func (n *node) plain() any {
	switch n.kind {
	case list:
		out := make([]any, len(n.items))
		for i, it := range n.items {
			out[i] = it.plain()
		}
		return out
	case object:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key] = p.val.plain()
		}
		return out
	}
	switch n.tag {
	case "!!null":
		return nil
	case "!!bool":
		if b, ok := parseBool(n.text); ok {
			return b
		}
	case "!!int":
		if i, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 64); err == nil {
			return i
		}
	case "!!float":
		if f, err := strconv.ParseFloat(n.text, 64); err == nil && f == f && f-f == 0 { // no NaN, no infinity: JSON has neither
			return f
		}
	}
	return n.text
}

// A placed is an error with its place.
type placed struct {
	line, col int
	field     string
	msg       string
}

func (e *placed) Error() string { return e.msg }

// parseYAML reads one document. An empty one gives an empty object.
func parseYAML(data []byte) (n *node, errs []*placed) {
	defer func() {
		// The input is not ours: a fault of the parser must not stop a
		// registry that runs.
		if r := recover(); r != nil {
			n, errs = nil, []*placed{{msg: "cannot be read as YAML"}}
		}
	}()
	if line := badText(data); line > 0 {
		return nil, []*placed{{line: line, msg: "holds bytes that are not UTF-8; save the file as UTF-8"}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return &node{kind: object, line: 1, col: 1}, nil
	} else if err != nil {
		return nil, []*placed{yamlError(data, err)}
	}
	if err := dec.Decode(&second); err == nil {
		errs = append(errs, &placed{line: second.Line, col: second.Column, msg: "a second YAML document starts here; one file holds one document"})
	} else if !errors.Is(err, io.EOF) {
		return nil, []*placed{yamlError(data, err)}
	}
	if len(doc.Content) == 0 {
		return &node{kind: object, line: 1, col: 1}, errs
	}
	r := reader{left: maxNodes}
	n = r.yaml(doc.Content[0], "", 0)
	return n, append(errs, r.errs...)
}

// badText returns the first line of data that is no UTF-8, 0 = there is none.
// UTF-16 with its mark passes: the parser reads it.
func badText(data []byte) int {
	if utf8.Valid(data) || bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return 0
	}
	line := 1
	for l := range bytes.Lines(data) {
		if !utf8.Valid(l) {
			break
		}
		line++
	}
	return line
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// yamlError takes the line out of the parser's message about data.
func yamlError(data []byte, err error) *placed {
	msg := err.Error()
	m := yamlLine.FindStringSubmatch(msg)
	line, _ := strconv.Atoi(m[1])                                // "" = 0 = not known
	if _, name, ok := strings.Cut(msg, "unknown anchor '"); ok { // the parser repeats the text, which may be a password
		name, _, _ = strings.Cut(name, "'")
		if before, _, ok := bytes.Cut(data, []byte("*"+name)); ok {
			line = 1 + bytes.Count(before, []byte("\n"))
		}
		return &placed{line: line, msg: "not valid YAML: a text that begins with '*' must be in quotes"}
	}
	return &placed{line: line, msg: "not valid YAML: " + strings.TrimPrefix(msg, m[0])}
}

// A reader turns a parsed document into nodes within the limits.
type reader struct {
	left int // nodes that may still be made
	full bool
	errs []*placed
}

func (r *reader) fail(line, col int, field, format string, args ...any) {
	if len(r.errs) < maxProblems {
		r.errs = append(r.errs, &placed{line, col, field, fmt.Sprintf(format, args...)})
	}
}

// room takes one node off the budget and checks the depth.
func (r *reader) room(line, col int, field string, depth int) bool {
	if r.left--; r.left < 0 {
		if !r.full {
			r.full = true
			r.fail(line, col, field, "the file holds more than %d values once its aliases are followed", maxNodes)
		}
		return false
	}
	if depth > maxDepth {
		r.fail(line, col, field, "nested deeper than %d levels", maxDepth)
		return false
	}
	return true
}

func (r *reader) yaml(y *yaml.Node, path string, depth int) *node {
	n := &node{line: y.Line, col: y.Column, tag: "!!null"}
	if !r.room(y.Line, y.Column, path, depth) {
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		if y.Alias == nil {
			return n
		}
		t := r.yaml(y.Alias, path, depth+1) // an alias within its own anchor ends at maxDepth
		t.line, t.col = y.Line, y.Column
		return t
	case yaml.ScalarNode:
		n.text, n.tag = y.Value, y.ShortTag()
		switch n.tag {
		case "!!int", "!!float", "!!bool", "!!null", "!!str":
		default:
			n.tag = "!!str"
		}
		if n.tag == "!!null" {
			n.text = ""
		}
	case yaml.SequenceNode:
		n.kind, n.tag = list, ""
		for i, c := range y.Content {
			if r.full {
				break
			}
			n.items = append(n.items, r.yaml(c, join(path, i), depth+1))
		}
	case yaml.MappingNode:
		n.kind, n.tag = object, ""
		seen := make(map[string]int, len(y.Content)/2)
		var merged []pair
		for i := 0; i+1 < len(y.Content) && !r.full; i += 2 {
			k, v := y.Content[i], y.Content[i+1]
			if k.Kind == yaml.AliasNode && k.Alias != nil {
				k = k.Alias
			}
			if k.Kind != yaml.ScalarNode {
				r.fail(k.Line, k.Column, path, "a name must be plain text")
				continue
			}
			if k.ShortTag() == "!!merge" {
				merged = append(merged, r.merge(v, path, depth)...)
				continue
			}
			r.add(n, seen, pair{k.Value, k.Line, k.Column, r.yaml(v, dot(path, k.Value), depth+1)}, path)
		}
		for _, p := range merged { // a key of the block itself wins over a merged one, an earlier merge over a later
			if _, dup := seen[p.key]; !dup {
				seen[p.key] = p.line
				n.pairs = append(n.pairs, p)
			}
		}
	}
	return n
}

// merge returns the pairs that "<<: v" brings.
func (r *reader) merge(v *yaml.Node, path string, depth int) []pair {
	m := r.yaml(v, path, depth+1)
	switch {
	case m.kind == object:
		return m.pairs
	case m.kind == list:
		var out []pair
		for _, it := range m.items {
			if it.kind != object {
				r.fail(it.line, it.col, path, `"<<" merges blocks only`)
				continue
			}
			out = append(out, it.pairs...)
		}
		return out
	}
	r.fail(v.Line, v.Column, path, `"<<" merges blocks only`)
	return nil
}

// add appends p to n unless its key is there already.
func (r *reader) add(n *node, seen map[string]int, p pair, path string) {
	if line, dup := seen[p.key]; dup {
		r.fail(p.line, p.col, dot(path, p.key), "written twice: on line %d and on line %d; remove one", line, p.line)
		return
	}
	seen[p.key] = p.line
	n.pairs = append(n.pairs, p)
}

// parseJSON reads one JSON value that must be an object.
func parseJSON(data []byte) (*node, []*placed) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // editors of Windows put it there
	j := &jsonReader{reader: reader{left: maxNodes}, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	j.dec.UseNumber()
	n, err := j.value("", 0)
	if err == nil {
		if _, tail := j.dec.Token(); !errors.Is(tail, io.EOF) {
			line, col := j.place()
			j.fail(line, col, "", "something follows the end of the JSON object")
		}
	}
	if errors.Is(err, errLimit) {
		return nil, j.errs
	}
	if err != nil {
		line, col := j.place()
		msg := err.Error()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			msg = "it ends too early"
		}
		return nil, append(j.errs, &placed{line: line, col: col, msg: "not valid JSON: " + msg})
	}
	return n, j.errs
}

var errLimit = errors.New("limit")

type jsonReader struct {
	reader
	data      []byte
	dec       *json.Decoder
	off       int // line and col are those of off
	line, col int
}

// place returns the line and the column of the last token's end.
func (j *jsonReader) place() (int, int) {
	if j.line == 0 {
		j.line, j.col = 1, 1
	}
	for end := min(int(j.dec.InputOffset()), len(j.data)); j.off < end; j.off++ {
		j.col++
		if j.data[j.off] == '\n' {
			j.line, j.col = j.line+1, 1
		}
	}
	return j.line, j.col
}

func (j *jsonReader) value(path string, depth int) (*node, error) {
	tok, err := j.dec.Token()
	if err != nil {
		return nil, err
	}
	line, col := j.place()
	if !j.room(line, col, path, depth) {
		return nil, errLimit
	}
	n := &node{line: line, col: col}
	switch t := tok.(type) {
	case json.Delim:
		if t == '[' {
			n.kind = list
			for j.dec.More() {
				v, err := j.value(join(path, len(n.items)), depth+1)
				if err != nil {
					return nil, err
				}
				n.items = append(n.items, v)
			}
		} else {
			n.kind = object
			seen := map[string]int{}
			for j.dec.More() {
				k, err := j.dec.Token()
				if err != nil {
					return nil, err
				}
				key, _ := k.(string) // the decoder takes nothing else there
				kl, kc := j.place()
				v, err := j.value(dot(path, key), depth+1)
				if err != nil {
					return nil, err
				}
				j.add(n, seen, pair{key, kl, kc, v}, path)
			}
		}
		if _, err := j.dec.Token(); err != nil { // the closing bracket
			return nil, err
		}
	case string:
		n.text, n.tag = t, "!!str"
	case json.Number:
		n.text, n.tag = t.String(), "!!int"
		if strings.ContainsAny(n.text, ".eE") {
			n.tag = "!!float"
		}
	case bool:
		n.text, n.tag = strconv.FormatBool(t), "!!bool"
	default:
		n.tag = "!!null"
	}
	return n, nil
}

// dot and join make the path of a nested value.
func dot(path, key string) string {
	key = clip(key)
	if path == "" {
		return key
	}
	return path + "." + key
}

func join(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// clip bounds a text from outside for a message and makes it one printable line.
func clip(s string) string {
	const most = 80
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
