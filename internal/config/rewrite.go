package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrRewrite is what the error of Rewrite wraps: the file has a form in which
// single fields cannot be changed.
var ErrRewrite = errors.New("the file cannot be changed field by field")

// Rewrite returns the file config.yaml, or config.json, whichever name says,
// with other values of some fields: nil takes a field out. Of a YAML file all
// other lines stay as they are, comments and order included, and a changed
// field keeps what it can of its own. What comes out is read back and compared,
// so that nothing but those fields is another.
func Rewrite(name string, data []byte, set map[string]any) ([]byte, error) {
	before, problems := ParseValues(name, data)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrRewrite, problems[0])
	}
	want := maps.Clone(before)
	if want == nil {
		want = map[string]any{}
	}
	for field, v := range set {
		if v == nil {
			delete(want, field)
		} else {
			want[field] = v
		}
	}
	var out []byte
	var err error
	if strings.HasSuffix(name, ".json") {
		out, err = json.MarshalIndent(want, "", "  ")
		out = append(out, '\n')
	} else {
		out, err = rewriteYAML(data, set)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRewrite, err)
	}
	got, problems := ParseValues(name, out)
	if len(problems) > 0 || !sameFields(got, want) {
		return nil, fmt.Errorf("%w: it uses anchors, tags or a layout that one field cannot be cut out of; write it as plain fields, one below the other", ErrRewrite)
	}
	return out, nil
}

// sameFields compares values; an empty field counts as not there.
func sameFields(a, b map[string]any) bool {
	strip := func(m map[string]any) map[string]any {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		return m
	}
	return sameJSON(strip(a), strip(b))
}

func rewriteYAML(data []byte, set map[string]any) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, errors.New("it is not valid YAML")
	}
	var root *yaml.Node
	if len(doc.Content) == 1 {
		root = doc.Content[0]
	}
	switch {
	case root == nil || root.Kind == yaml.ScalarNode && root.Tag == "!!null" || root.Kind == yaml.MappingNode && len(root.Content) == 0:
		root = &yaml.Node{Kind: yaml.MappingNode}
	case root.Kind != yaml.MappingNode:
		return nil, errors.New("it is no block of fields")
	case root.Style&yaml.FlowStyle != 0 || root.Column > 1 || bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return reflow(root, set)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	// From the last field to the first, so that the lines above keep their numbers.
	for i := len(root.Content) - 2; i >= 0; i -= 2 {
		key, val := root.Content[i], root.Content[i+1]
		v, touched := set[key.Value]
		if !touched {
			continue
		}
		from, to := key.Line-1, len(lines)
		if i+2 < len(root.Content) {
			to = root.Content[i+2].Line - 1
		}
		for to > from+1 && outside(lines[to-1]) {
			to--
		}
		var text []byte
		if v != nil {
			var err error
			if text, err = fieldText(key, val, v); err != nil {
				return nil, err
			}
		} else {
			for from > 0 && bytes.HasPrefix(lines[from-1], []byte("#")) && strings.Contains(key.HeadComment, strings.TrimSpace(string(lines[from-1]))) {
				from-- // what is said of the field goes with it
			}
		}
		lines = slices.Replace(lines, from, to, text)
	}
	out := bytes.Join(lines, nil)
	for _, field := range slices.Sorted(maps.Keys(set)) {
		if set[field] == nil || nodeOf(root, field) != nil {
			continue
		}
		text, err := fieldText(&yaml.Node{Kind: yaml.ScalarNode, Value: field}, nil, set[field])
		if err != nil {
			return nil, err
		}
		out = ended(out)
		out = append(out, text...)
	}
	return out, nil
}

// ended is a file without what ends a document, and with the end of its last
// line.
func ended(out []byte) []byte {
	for {
		trimmed := bytes.TrimRight(out, " \t\r\n")
		if rest, ok := bytes.CutSuffix(trimmed, []byte("...")); ok && (len(rest) == 0 || rest[len(rest)-1] == '\n') {
			out = rest
			continue
		}
		if string(trimmed) == "{}" || string(trimmed) == "null" || string(trimmed) == "~" {
			return nil
		}
		break
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(slices.Clip(out), '\n')
	}
	return out
}

// outside reports whether a line after a field's value does not belong to it:
// it is empty, a comment at the margin or the mark of a document's end.
func outside(line []byte) bool {
	s := bytes.TrimRight(line, " \t\r\n")
	return len(s) == 0 || s[0] == '#' || string(s) == "..." || string(s) == "---"
}

// nodeOf is the value of a key; nil = it is not there.
func nodeOf(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// fieldText is the lines of a field.
func fieldText(key, old *yaml.Node, v any) ([]byte, error) {
	k := *key
	k.HeadComment, k.FootComment = "", "" // they stand outside, and stay
	n, err := changed(old, v)
	if err != nil {
		return nil, err
	}
	n.HeadComment, n.FootComment = "", ""
	return encode(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{&k, n}})
}

func encode(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// reflow writes the whole document anew, for one that is not laid out in lines
// of fields.
func reflow(root *yaml.Node, set map[string]any) ([]byte, error) {
	for _, field := range slices.Sorted(maps.Keys(set)) {
		v := set[field]
		i := 0
		for i < len(root.Content) && root.Content[i].Value != field {
			i += 2
		}
		if v == nil {
			if i < len(root.Content) {
				root.Content = slices.Delete(root.Content, i, i+2)
			}
			continue
		}
		if i >= len(root.Content) {
			root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: field}, nil)
		}
		n, err := changed(root.Content[i+1], v)
		if err != nil {
			return nil, err
		}
		root.Content[i+1] = n
	}
	return encode(root)
}

// changed is a node of value v. What old says in another way that is the same
// stays; of a block those keys that are the same do, with their comments.
func changed(old *yaml.Node, v any) (*yaml.Node, error) {
	if old == nil || old.Kind == yaml.AliasNode || old.Anchor != "" {
		n := &yaml.Node{}
		if err := n.Encode(v); err != nil {
			return nil, errors.New("a value cannot be written as YAML")
		}
		quoted(n, v)
		return n, nil
	}
	if sameJSON(valueOf(old), v) {
		return old, nil
	}
	switch v := v.(type) {
	case map[string]any:
		if old.Kind == yaml.MappingNode {
			return changedMap(old, v)
		}
	case []any:
		if old.Kind == yaml.SequenceNode {
			return changedList(old, v)
		}
	}
	n, err := changed(nil, v)
	if err != nil {
		return nil, err
	}
	n.LineComment = old.LineComment
	if n.Kind == yaml.ScalarNode && old.Kind == yaml.ScalarNode && n.Style == 0 && n.Tag == "!!str" {
		n.Style = old.Style & (yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle)
	}
	return n, nil
}

func changedMap(old *yaml.Node, v map[string]any) (*yaml.Node, error) {
	n := *old
	n.Content = nil
	var err error
	had := map[string]bool{}
	for i := 0; i+1 < len(old.Content); i += 2 {
		k := old.Content[i]
		x, stays := v[k.Value]
		if !stays || had[k.Value] || k.Tag == "!!merge" {
			continue
		}
		had[k.Value] = true
		var val *yaml.Node
		if val, err = changed(old.Content[i+1], x); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, k, val)
	}
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if had[k] {
			continue
		}
		var val *yaml.Node
		if val, err = changed(nil, v[k]); err != nil {
			return nil, err
		}
		key := &yaml.Node{}
		if err := key.Encode(k); err != nil {
			return nil, errors.New("a name cannot be written as YAML")
		}
		n.Content = append(n.Content, key, val)
	}
	return &n, nil
}

func changedList(old *yaml.Node, v []any) (*yaml.Node, error) {
	n := *old
	n.Content = nil
	left := slices.Clone(old.Content)
	for i, x := range v {
		var from *yaml.Node
		// An item that is there already stays, wherever it moves.
		if j := slices.IndexFunc(left, func(o *yaml.Node) bool { return o != nil && sameJSON(valueOf(o), x) }); j >= 0 {
			from, left[j] = left[j], nil
		} else if i < len(left) && len(v) == len(old.Content) {
			from = left[i]
		}
		val, err := changed(from, x)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, val)
	}
	return &n, nil
}

// valueOf is the value of a node, as this package reads it.
func valueOf(n *yaml.Node) any {
	r := reader{left: maxNodes}
	return r.yaml(n, "", 0).plain()
}

// quoted puts texts into quotes that this package, which reads YAML 1.1's yes
// and no as booleans, would read as something else.
func quoted(n *yaml.Node, v any) {
	switch v := v.(type) {
	case map[string]any:
		for i := 0; i+1 < len(n.Content); i += 2 {
			quoted(n.Content[i+1], v[n.Content[i].Value])
		}
	case []any:
		for i, item := range n.Content {
			quoted(item, v[i])
		}
	case string:
		if _, isBool := parseBool(v); isBool && n.Style == 0 {
			n.Style = yaml.DoubleQuotedStyle
		}
	case float64:
		if v == float64(int64(v)) && v < 1<<53 && v > -(1<<53) { // JSON knows one kind of number
			n.Value, n.Tag = strconv.FormatInt(int64(v), 10), "!!int"
		}
	}
}
