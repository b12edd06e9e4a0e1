package config

import (
	"errors"
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	const file = `# The registry of the lab.
SERVER_HOSTNAME: registry.example.com   # behind the proxy

# How long tags can be kept.
TAG_EXPIRATION_OPTIONS:
  - 0s
  - 1d   # a day

  - 2w
DB_URI: 'postgresql://u:p@h/d'

USER_EVENTS_REDIS:
  host: redis   # the small one
  # of the vault
  password: "old"
  port: 6379
UNKNOWN: {b: 1, a: 2}
NOTE: |
  # not a comment

  text
# the end
`
	tests := map[string]struct {
		set  map[string]any
		want func(string) string
	}{
		"nothing":        {nil, func(s string) string { return s }},
		"scalar":         {map[string]any{"SERVER_HOSTNAME": "r.example.org"}, swap("registry.example.com   # behind", "r.example.org # behind")},
		"quoted":         {map[string]any{"DB_URI": "postgresql://u:q@h/d"}, swap("u:p@h", "u:q@h")},
		"list":           {map[string]any{"TAG_EXPIRATION_OPTIONS": []any{"0s", "1d", "2w", "4w"}}, swap("  - 1d   # a day\n\n  - 2w\n", "  - 1d # a day\n  - 2w\n  - 4w\n")},
		"block":          {map[string]any{"USER_EVENTS_REDIS": map[string]any{"host": "redis", "password": "new", "port": 6379.0}}, swap("redis   # the small one", "redis # the small one", `"old"`, `"new"`)},
		"taken out":      {map[string]any{"TAG_EXPIRATION_OPTIONS": nil}, swap("# How long tags can be kept.\nTAG_EXPIRATION_OPTIONS:\n  - 0s\n  - 1d   # a day\n\n  - 2w\n", "")},
		"last":           {map[string]any{"NOTE": "yes"}, swap("|\n  # not a comment\n\n  text\n", "\"yes\"\n")},
		"new":            {map[string]any{"FEATURE_MAILING": true, "ACCOUNT": "off"}, swap("# the end\n", "# the end\nACCOUNT: \"off\"\nFEATURE_MAILING: true\n")},
		"not there":      {map[string]any{"FEATURE_MAILING": nil}, func(s string) string { return s }},
		"several":        {map[string]any{"UNKNOWN": map[string]any{"a": 2.0}, "DB_URI": nil}, swap("DB_URI: 'postgresql://u:p@h/d'\n", "", "{b: 1, a: 2}", "{a: 2}")},
		"the same value": {map[string]any{"UNKNOWN": map[string]any{"a": 2.0, "b": 1.0}}, func(s string) string { return s }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Rewrite("config.yaml", []byte(file), tt.set)
			if err != nil {
				t.Fatal(err)
			}
			if want := tt.want(file); string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func swap(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func TestRewriteForms(t *testing.T) {
	set := map[string]any{"A": 2.0, "B": nil, "C": "x"}
	for file, want := range map[string]string{
		"":                          "A: 2\nC: x\n",
		"{}\n":                      "A: 2\nC: x\n",
		"# only a comment\n":        "# only a comment\nA: 2\nC: x\n",
		"A: 1\nB: 1":                "A: 2\nC: x\n",
		"A: 1\r\nD: 3\r\n":          "A: 2\nD: 3\r\nC: x\n",
		"---\nA: 1\n...\n":          "---\nA: 2\nC: x\n",
		"{A: 1, B: 2, D: [1, 2]}":   "{A: 2, D: [1, 2], C: x}\n",
		"B:\n- 1\n# of D\nD: 4\n":   "# of D\nD: 4\nA: 2\nC: x\n",
		"A: &a 1\nD: 5\n":           "A: 2\nD: 5\nC: x\n",
		"B: >-\n  text\n\n\nD: 1\n": "\n\nD: 1\nA: 2\nC: x\n",
	} {
		got, err := Rewrite("config.yaml", []byte(file), set)
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", file, got, err, want)
		}
	}
	got, err := Rewrite("config.json", []byte(`{"A": 1, "B": 2}`), set)
	if want := "{\n  \"A\": 2,\n  \"C\": \"x\"\n}\n"; err != nil || string(got) != want {
		t.Errorf("JSON: %q, %v", got, err)
	}
	for _, file := range []string{"A: &a 1\nD: *a\n", "A: [", "- 1\n", "A: 1\n---\nB: 1\n"} {
		if got, err := Rewrite("config.yaml", []byte(file), set); !errors.Is(err, ErrRewrite) {
			t.Errorf("%q: %q, %v; want ErrRewrite", file, got, err)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add("SERVER_HOSTNAME: a\n# b\nX: |\n  # y\n", "SERVER_HOSTNAME", "v")
	f.Add("{A: 1, B: [x, {y: z}]}", "B", "yes")
	f.Add("A:\n - 1\n -  2\n", "A", "")
	f.Fuzz(func(t *testing.T, file, field, value string) {
		before, problems := ParseValues("config.yaml", []byte(file))
		out, err := Rewrite("config.yaml", []byte(file), map[string]any{field: value})
		if len(problems) > 0 && err == nil {
			t.Fatalf("a file that cannot be read was rewritten: %q", out)
		}
		if err != nil {
			return
		}
		after, problems := ParseValues("config.yaml", out)
		if len(problems) > 0 || after[field] != value {
			t.Fatalf("%q: %v, %v", out, after, problems)
		}
		for k, v := range before {
			if k != field && v != nil && !Same(v, after[k]) {
				t.Fatalf("%q is another: %v, was %v", k, after[k], v)
			}
		}
	})
}
