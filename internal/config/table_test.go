package config

import (
	"cmp"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCatalogue holds that every field of Quay's catalogue is in the table,
// with the catalogue's type and default.
func TestCatalogue(t *testing.T) {
	data, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		n++
		cells := strings.Split(line, " | ")
		if len(cells) != 3 {
			t.Fatalf("%q is not a name, a type and a default", line)
		}
		name, kind, def := cells[0], cells[1], cells[2]
		f, ok := Lookup(name)
		if !ok || f.Name != name {
			t.Errorf("%s is not in the table", name)
			continue
		}
		if got := cmp.Or(f.Default, "-"); f.Kind.String() != kind || got != def {
			t.Errorf("%s is a %s, %s unless told; the catalogue has a %s, %s", name, f.Kind, got, kind, def)
		}
	}
	if n < 395 {
		t.Errorf("the catalogue has %d names only", n)
	}
}

// TestTable holds that every row is whole.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	var walk func(path string, f *Field)
	walk = func(path string, f *Field) {
		if f.Doc == "" || !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s: its meaning is not a sentence: %q", path, f.Doc)
		}
		if f.Default != "" {
			c := &checker{file: path}
			if _, ok := c.defaultOf(f, path); !ok || len(c.problems) > 0 {
				t.Errorf("%s: the default %q is not allowed: %v", path, f.Default, c.problems)
			}
		}
		if f.Kind == Custom && (f.parse == nil || f.Shape == "") {
			t.Errorf("%s: Custom without parse or Shape", path)
		}
		if f.Kind == Map && f.Item == nil {
			t.Errorf("%s: Map without Item", path)
		}
		if f.Kind == String && looksSecret(f.Name) && !f.Secret && len(f.Allowed) == 0 &&
			!slices.Contains([]string{"BOOTSTRAP_TOKEN_OWNER", "BOOTSTRAP_TOKEN_PATH", "BOOTSTRAP_TOKEN_SCOPE", "PROGRAMMATIC_TOKEN_PATH", "PROGRAMMATIC_TOKEN_K8S_SECRET", "PROGRAMMATIC_TOKEN_K8S_KEY", "PROGRAMMATIC_TOKEN_K8S_NAMESPACE", "SENTRY_PUBLIC_DSN", "sts_web_identity_token_file", "cloudfront_privatekey_filename", "cloudflare_privatekey_filename", "IMAGE_PULL_SECRET_NAME", "key"}, f.Name) {
			t.Errorf("%s looks like a secret and is not one", path)
		}
		names := map[string]bool{}
		for i := range f.Keys {
			k := &f.Keys[i]
			if names[k.Name] {
				t.Errorf("%s.%s stands twice", path, k.Name)
			}
			names[k.Name] = true
			walk(path+"."+k.Name, k)
		}
	}
	for _, f := range Fields() {
		if seen[f.Name] {
			t.Errorf("%s stands twice", f.Name)
		}
		seen[f.Name] = true
		for _, a := range f.Aliases {
			if seen[a] {
				t.Errorf("%s stands twice", a)
			}
			seen[a] = true
		}
		if f.Env != "" && f.Kind > StringList {
			t.Errorf("%s: the environment cannot write a %s", f.Name, f.Kind)
		}
		if f.Obsolete != "" && f.Used {
			t.Errorf("%s is obsolete and in use", f.Name)
		}
		walk(f.Name, &f)
	}
	for class, ks := range storageClasses() {
		if !slices.Contains(classNames, class) {
			t.Errorf("%s is not in classNames", class)
		}
		walk(class, &Field{Doc: ".", Keys: ks})
	}
	walk("executor", &Field{Doc: ".", Keys: executorKeys()})
}

// TestGroups holds that every field that is not obsolete stands in a group of
// Config, once, with the type of its kind.
func TestGroups(t *testing.T) {
	types := map[Kind]reflect.Type{
		String: reflect.TypeFor[string](), Bool: reflect.TypeFor[bool](), Float: reflect.TypeFor[float64](),
		Duration: reflect.TypeFor[time.Duration](), Seconds: reflect.TypeFor[time.Duration](), Minutes: reflect.TypeFor[time.Duration](),
		Size: reflect.TypeFor[int64](), StringList: reflect.TypeFor[[]string](), Int: reflect.TypeFor[int](),
	}
	// compare holds the tags of a struct against the names that exist.
	var compare func(where string, st reflect.Type, find func(string) *Field, seen map[string]bool)
	compare = func(where string, st reflect.Type, find func(string) *Field, seen map[string]bool) {
		for i := range st.NumField() {
			sf := st.Field(i)
			name := sf.Tag.Get("config")
			if name == "" {
				continue
			}
			if seen[name] {
				t.Errorf("%s: %s stands twice", where, name)
			}
			seen[name] = true
			f := find(name)
			if f == nil {
				t.Errorf("%s: %s is not in the table", where, name)
				continue
			}
			if want, ok := types[f.Kind]; ok && sf.Type != want {
				t.Errorf("%s: %s is a %s; a %s is a %s", where, name, sf.Type, f.Kind, want)
			}
			elem := sf.Type
			if elem.Kind() == reflect.Slice {
				elem = elem.Elem()
			}
			if (f.Kind == Object || f.Kind == ObjectList) && elem.Kind() == reflect.Struct {
				compare(name, elem, func(k string) *Field { return findKey(f.Keys, k) }, map[string]bool{})
			}
		}
	}
	seen := map[string]bool{}
	ct := reflect.TypeFor[Config]()
	for i := range ct.NumField() {
		if f := ct.Field(i); f.IsExported() && f.Type.Kind() == reflect.Struct && f.Name != "Env" && f.Name != "Bundle" {
			compare(f.Name, f.Type, func(name string) *Field {
				if name == loginPattern {
					return table().login
				}
				return table().byName[name]
			}, seen)
		}
	}
	for _, f := range Fields() {
		folded := strings.HasSuffix(f.Name, "_REDIS_HOSTNAME") // into the block
		if f.Obsolete == "" && !folded && !seen[f.Name] {
			t.Errorf("%s stands in no group of Config", f.Name)
		}
		if f.Obsolete != "" && seen[f.Name] {
			t.Errorf("%s is obsolete and stands in a group", f.Name)
		}
	}
}

// TestReference compares docs/reference/config.md with the table.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "config.md")
	got := Reference()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s is stale (%v): run go test ./internal/config -update", path, err)
	}
}
