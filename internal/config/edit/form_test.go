package edit

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
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

// texts are what people read of a form.
func texts(f Form) map[string]bool {
	out := map[string]bool{}
	var add func([]Field)
	add = func(list []Field) {
		for _, x := range list {
			for _, text := range []string{x.Group, x.Doc, x.Shape, x.Obsolete} {
				out[text] = true
			}
			add(x.Keys)
			if x.Item != nil {
				add([]Field{*x.Item})
			}
		}
	}
	add(f.Fields)
	for _, s := range f.Sections {
		out[s.Title] = true
	}
	for _, e := range f.Engines {
		out[e.Title] = true
		add(e.Keys)
	}
	delete(out, "")
	return out
}

// verbatim is what stays as it is in every language: code, names of fields and
// of their keys, numbers.
var verbatim = regexp.MustCompile("`[^`]+`|[A-Z][A-Z0-9]*_[A-Z0-9_.a-z]*[A-Za-z0-9]|[a-z]+(_[a-z]+)+|[a-z]+://|[0-9]+")

// TestLanguages: the page has every text of the form in Korean, and no other.
func TestLanguages(t *testing.T) {
	const name = "../../../web/src/editor/form.ko.json"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var korean map[string]string
	if err := json.Unmarshal(data, &korean); err != nil {
		t.Fatal(err)
	}
	// Names of products and protocols, which are the same in Korean.
	same := []string{"Redis", "LDAP", "Keystone", "OIDC", "ElasticSearch", "Amazon S3", "Google Cloud Storage", "Ceph Object Gateway (RADOS)", "Azure Blob Storage",
		"Red Hat OpenShift Data Foundation (NooBaa)", "IBM Cloud Object Storage", "OpenStack Swift"}
	letters := regexp.MustCompile(`[가-힣]`)
	english := texts(NewForm())
	for _, text := range slices.Sorted(maps.Keys(english)) {
		ko, ok := korean[text]
		if !ok {
			t.Errorf("%s lacks %q", name, text)
			continue
		}
		if !letters.MatchString(ko) && !slices.Contains(same, text) {
			t.Errorf("%q is %q, which is no Korean", text, ko)
		}
		for _, word := range verbatim.FindAllString(text, -1) {
			if !strings.Contains(ko, word) {
				t.Errorf("%q is %q, which lacks %s", text, ko, word)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(korean)) {
		if !english[text] {
			t.Errorf("%s has %q, which the form does not", name, text)
		}
	}
}
