package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDatabasePages loads every configuration in the pages about databases.
func TestDatabasePages(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for _, page := range []string{"postgresql", "mysql", "sqlite"} {
		text, err := os.ReadFile("../../docs/deploy/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		all := block.FindAllStringSubmatch(string(text), -1)
		if len(all) == 0 {
			t.Errorf("%s has no configuration", page)
		}
		for _, m := range all {
			yaml := strings.ReplaceAll(m[1], "…", strings.Repeat("0123456789abcdef", 4))
			if !strings.Contains(yaml, "SECRET_KEY") {
				yaml += "SECRET_KEY: a\nDATABASE_SECRET_KEY: b\n"
			}
			c, problems, err := Load(Options{Dir: folder(t, map[string]string{"config.yaml": yaml})})
			if err != nil {
				t.Errorf("%s: %v\n%s", page, err, yaml)
				continue
			}
			if c.DB.URI == "" {
				t.Errorf("%s: no DB_URI in\n%s", page, yaml)
			}
			for _, p := range problems {
				if p.Severity == Warning && !strings.Contains(p.Message, "cannot be read here") {
					t.Errorf("%s: %v", page, p)
				}
			}
		}
	}
}
