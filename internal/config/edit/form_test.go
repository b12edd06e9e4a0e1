package edit

import (
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/config"
)

// TestForm holds that each field of the table is in one section, and that
// sections and groups name fields that there are.
func TestForm(t *testing.T) {
	f := NewForm()
	at := map[string]string{}
	for _, s := range f.Sections {
		for _, name := range s.Fields {
			if at[name] != "" {
				t.Errorf("%s is in the sections %s and %s", name, at[name], s.ID)
			}
			at[name] = s.ID
		}
	}
	known := map[string]bool{}
	for i, field := range config.Fields() {
		known[field.Name] = true
		out := f.Fields[i]
		if at[field.Name] == "" || out.Section != at[field.Name] {
			t.Errorf("%s is in the section %q, and says %q", field.Name, at[field.Name], out.Section)
		}
		if out.Kind == "" || out.Doc == "" || out.Group == "" {
			t.Errorf("%s: kind %q, group %q, doc %q", field.Name, out.Kind, out.Group, out.Doc)
		}
		if field.Secret && out.Default != nil {
			t.Errorf("%s is secret and has a default", field.Name)
		}
	}
	for name, s := range at {
		if !known[name] {
			t.Errorf("the section %s has %s, which is no field", s, name)
		}
	}
	in := map[string]string{}
	for _, g := range groups {
		for _, name := range strings.Fields(g.fields) {
			if !known[name] {
				t.Errorf("the group %s has %s, which is no field", g.name, name)
			}
			if in[name] != "" {
				t.Errorf("%s is in the groups %s and %s", name, in[name], g.name)
			}
			in[name] = g.name
		}
	}
	for _, e := range f.Engines {
		if e.Title == "" || len(e.Keys) == 0 {
			t.Errorf("%s has no title, or no keys", e.Class)
		}
	}
	if last := f.Sections[len(f.Sections)-1]; last.ID != Other || len(last.Fields) == 0 {
		t.Errorf("the last section is %s", last.ID)
	}
}

func TestGroupOf(t *testing.T) {
	for field, want := range map[string]string{
		"TAG_EXPIRATION_OPTIONS[2]": "TimeMachine", "USER_EVENTS_REDIS.host": "Redis", "ACME_LOGIN_CONFIG.OIDC_SERVER": "OIDC", "GITHUB_LOGIN_CONFIG": "GitHubLogin",
		"LOGGING_LEVEL": "Workers, sessions and the rest", "NOT_KNOWN": "", "ssl.cert": "HostSettings",
	} {
		if got := GroupOf(field); got != want {
			t.Errorf("GroupOf(%q) = %q, want %q", field, got, want)
		}
	}
}
