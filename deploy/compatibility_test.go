package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCompatibility: each row of docs/operator/compatibility.md names tests and
// pages that are there, or says why it has none.
func TestCompatibility(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| (S002-\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$`)
	name := regexp.MustCompile("`([^`]+)`")
	seen, held := map[string]bool{}, 0
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/operator/compatibility.md"), -1) {
		id, by := m[1], m[4]
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if why, ok := strings.CutPrefix(by, "not yet: "); ok {
			if strings.TrimSpace(why) == "" {
				t.Errorf("%s does not say why", id)
			}
			continue
		}
		names := name.FindAllStringSubmatch(by, -1)
		if len(names) == 0 {
			t.Errorf("%s names nothing: %s", id, by)
		}
		for _, n := range names {
			file, test, isTest := strings.Cut(n[1], ":")
			text, err := os.ReadFile(filepath.Join("..", file))
			switch {
			case err != nil:
				t.Errorf("%s: %v", id, err)
			case isTest && !regexp.MustCompile(`(?m)^func `+regexp.QuoteMeta(test)+`\(t \*testing\.T\)`).Match(text):
				t.Errorf("%s: there is no %s in %s", id, test, file)
			case isTest:
				held++
			case !strings.HasPrefix(by, "documented: "):
				t.Errorf("%s: %s is no test", id, n[1])
			}
		}
	}
	if lines := strings.Count(read(t, "../docs/operator/compatibility.md"), "\n| S002-"); lines != len(seen) || len(seen) < 170 || held < 150 {
		t.Errorf("%d rows of %d are read, with %d tests", len(seen), lines, held)
	}
}
