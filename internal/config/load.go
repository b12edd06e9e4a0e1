package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Options say where a configuration comes from. The zero value is the
// embedded defaults.
type Options struct {
	// Dir is the folder of config.yaml or config.json and of the files beside
	// it: Quay's conf/stack. "" = the folder stack in what QUAYCONF of Environ
	// names, if it is there, else no folder.
	Dir string
	// Files are the files of the folder, by their names in it, where it is on no
	// disk: they will be at Dir somewhere else. Files that the configuration
	// names outside of Dir are not looked for then. nil = those of Dir.
	Files fs.FS
	// Environ is the environment as os.Environ returns it; nil = an empty one.
	Environ []string
	// Now is the time that certificates are checked against; zero = time.Now.
	Now time.Time
}

// Load reads, checks and completes a configuration. The problems hold
// everything that is worth saying, errors first; when one of them is an error,
// the Config is nil and the error, which wraps ErrInvalid, lists them all.
//
// A folder that is named must be there. In it config.yaml may be missing: the
// defaults hold then, and certificates are read all the same.
func Load(o Options) (*Config, []Problem, error) {
	l := loader{
		env:  newEnviron(o.Environ),
		conf: &Config{values: maps.Clone(table().defaults), explicit: map[string]origin{}},
		now:  o.Now,
	}
	if l.now.IsZero() {
		l.now = time.Now()
	}
	dir := o.dir()
	l.files = source{dir: dir, within: o.Files}
	l.load(dir)
	if l.conf.Env.IgnoreValidation {
		for i, p := range l.problems {
			if p.ignorable && p.Severity == Error {
				l.problems[i].Severity = Warning
			}
		}
	}
	sortProblems(l.problems)
	if slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Severity == Error }) {
		return nil, l.problems, &invalidError{l.problems}
	}
	if err := l.conf.fill(); err != nil {
		return nil, l.problems, fmt.Errorf("complete the configuration: %w", err)
	}
	return l.conf, l.problems, nil
}

// dir is the folder to read; "" = none.
func (o Options) dir() string {
	if o.Dir != "" {
		return o.Dir
	}
	if q := newEnviron(o.Environ)["QUAYCONF"]; q != "" {
		stack := filepath.Join(q, "stack")
		if st, err := os.Stat(stack); err == nil && st.IsDir() {
			return stack
		}
	}
	return ""
}

// A loader is one run of Load.
type loader struct {
	checker
	env  environ
	conf *Config
	now  time.Time
}

func (l *loader) load(dir string) {
	if dir != "" {
		switch st, err := l.files.stat(dir); {
		case err != nil:
			l.problem(Problem{Severity: Error, File: dir, Message: fmt.Sprintf("the folder cannot be read: %s; name one that holds config.yaml, or none for the defaults", reason(err))})
			return
		case !st.IsDir():
			l.problem(Problem{Severity: Error, File: dir, Message: "is not a folder; name the folder that holds config.yaml"})
			return
		}
	}
	l.conf.Bundle, l.conf.roots = l.bundle(dir)
	if n := l.readFile(); n != nil {
		l.fields(n)
	}
	if text := l.env["QUAY_OVERRIDE_CONFIG"]; text != "" {
		l.file = "QUAY_OVERRIDE_CONFIG"
		if n := l.parse([]byte(text), parseJSON); n != nil {
			l.fields(n)
		}
	}
	l.file = envFile
	for i := range table().fields {
		if f := &table().fields[i]; f.Env != "" && l.env[f.Env] != "" {
			l.take(f, fieldNode(f, l.env[f.Env]), &node{})
		}
	}
	l.conf.Env = l.environment(l.env)
	l.cross()
}

// readFile reads config.yaml or config.json of the folder; nil = there is
// none, or it cannot be read, which is reported.
func (l *loader) readFile() *node {
	b := &l.conf.Bundle
	if b.Dir == "" {
		return nil
	}
	var data []byte
	for _, name := range []string{"config.yaml", "config.yml", "config.json"} {
		path := filepath.Join(b.Dir, name)
		d, err := l.files.read(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			l.problem(Problem{Severity: Error, File: path, Message: fmt.Sprintf("cannot be read: %s", reason(err))})
			return nil
		case b.File != "":
			l.problem(Problem{Severity: Error, File: path, Message: "there is " + filepath.Base(b.File) + " too; keep one of the two"})
			return nil
		default:
			b.File, data = path, d
		}
	}
	if b.File == "" {
		l.problem(Problem{Severity: Warning, File: b.Dir, Message: "there is no config.yaml; the defaults hold"})
		return nil
	}
	l.file = b.File
	if strings.HasSuffix(b.File, ".json") {
		return l.parse(data, parseJSON)
	}
	return l.parse(data, parseYAML)
}

// parse returns the document in data, an object; nil if it is not one, which
// is reported.
func (l *loader) parse(data []byte, parse func([]byte) (*node, []*placed)) *node {
	n, errs := parse(data)
	for _, e := range errs {
		l.problem(Problem{Severity: Error, File: l.file, Line: e.line, Column: e.col, Field: e.field, Message: e.msg})
	}
	switch {
	case n == nil || len(errs) > 0:
		return nil
	case n.null():
		return &node{kind: object, line: 1, col: 1}
	case n.kind != object:
		l.fail(n, "", "the file is %s; it must be a block of field names and values, such as SERVER_HOSTNAME: registry.example.com", n.what())
		return nil
	}
	return n
}

// fields takes every field of n. A field that is empty counts as not
// written; in QUAY_OVERRIDE_CONFIG it takes the file's value back.
func (l *loader) fields(n *node) {
	for _, p := range n.pairs {
		at := &node{line: p.line, col: p.col}
		f := table().find(p.key)
		if f == nil {
			l.unknown(p, at)
			continue
		}
		if f.Name != p.key {
			if right := n.get(f.Name); right != nil && !right.null() {
				l.add(Warning, at, clip(p.key), "is an old name and is ignored, for %s is written too; remove it", f.Name)
				continue
			}
			l.add(Warning, at, clip(p.key), "is an old name; write %s", f.Name)
		}
		l.take(f, p.val, at)
	}
}

// take checks and keeps one field's value.
func (l *loader) take(f *Field, val, at *node) {
	if val.null() { // written nowhere, or taken back by QUAY_OVERRIDE_CONFIG
		delete(l.conf.explicit, f.Name)
		delete(l.conf.values, f.Name)
		if def, ok := table().defaults[f.Name]; ok {
			l.conf.values[f.Name] = def
		}
		return
	}
	v, ok := l.value(f, f.Name, val)
	if !ok {
		return
	}
	if at.line == 0 {
		at = val
	}
	l.conf.values[f.Name] = v
	l.conf.explicit[f.Name] = origin{l.file, at}
	switch {
	case equal(v, table().defaults[f.Name]): // it asks for nothing
	case f.Obsolete != "":
		l.add(Ignored, at, f.Name, "is ignored. %s", f.Obsolete)
	case !f.Used:
		l.add(NotUsedYet, at, f.Name, "is checked and kept, but this release does not act on it yet")
	}
}

// equal reports whether v is the default def; no default is the zero value.
func equal(v, def any) bool {
	if def != nil {
		return reflect.DeepEqual(v, def)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	default:
		return r.IsZero()
	}
}

// unknown keeps a field that is not in the table.
func (l *loader) unknown(p pair, at *node) {
	if p.val.null() {
		delete(l.conf.explicit, p.key)
		delete(l.conf.values, p.key)
		return
	}
	msg := "is not a field that is known; it is kept and has no effect"
	if near := nearest(p.key, fieldNames()); near != "" {
		msg = "is not a field that is known; did you mean " + near + "?"
	}
	l.add(Warning, at, clip(p.key), "%s", msg)
	l.conf.values[p.key] = p.val.plain()
	l.conf.explicit[p.key] = origin{l.file, at}
}
