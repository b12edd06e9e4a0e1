package editor

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
)

// A problem is a finding about a configuration.
type problem struct {
	Severity string `json:"severity"`
	Group    string `json:"group"`
	Field    string `json:"field"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Message  string `json:"message"`
}

// problems are those of a load, with their field groups. Lines are those of a
// file that is there; of one that a change would make they are nobody's.
func problems(list []config.Problem) []problem {
	out := make([]problem, 0, len(list))
	for _, p := range list {
		file := p.File
		if i := strings.Index(file, edit.CAFolder); i >= 0 {
			file = file[i:]
		} else if strings.Contains(file, "/") {
			file = path.Base(file)
		}
		group := edit.GroupOf(p.Field)
		if p.Field == "" {
			group = edit.GroupOf(file)
		}
		out = append(out, problem{Severity: string(p.Severity), Group: group, Field: p.Field, File: file, Line: p.Line, Message: p.Message})
	}
	return out
}

// errorsOf are those that keep a configuration from being used.
func errorsOf(list []problem) (out []problem) {
	for _, p := range list {
		if p.Severity == string(config.Error) {
			out = append(out, p)
		}
	}
	return out
}

// wrongTypes refuses values that can be no value of their field, whatever they
// say: a list where there is one text, and the like.
func wrongTypes(values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f, known := config.Lookup(name)
		if !known {
			continue
		}
		has := "text, a number or a boolean"
		switch values[name].(type) {
		case nil:
			continue
		case map[string]any:
			has = "an object"
		case []any:
			has = "a list"
		case string:
			if values[name] == config.Masked {
				continue
			}
		}
		want := has
		switch f.Kind {
		case config.Custom:
		case config.Object, config.Map:
			want = "an object"
		case config.ObjectList:
			want = "a list"
		case config.StringList:
			if !f.OneText || has == "an object" {
				want = "a list"
			}
		default:
			want = "text, a number or a boolean"
		}
		if has != want {
			return &failure{status: 400, code: "wrong_type", message: fmt.Sprintf("%s is %s; it must be %s", name, has, want)}
		}
	}
	return nil
}
