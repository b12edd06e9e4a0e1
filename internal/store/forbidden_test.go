package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// forbidden is SQL that Vitess, TiDB or a Galera cluster does not run, or not
// as MySQL does. docs/deploy/mysql.md lists it.
var forbidden = map[string]*regexp.Regexp{
	"foreign keys":             regexp.MustCompile(`(?i)\bFOREIGN KEY\b|\bREFERENCES\s+\w+\s*\(`),
	"locks on tables":          regexp.MustCompile(`(?i)\bLOCK TABLES?\b|\bUNLOCK TABLES\b`),
	"locks by name":            regexp.MustCompile(`(?i)\b(GET|RELEASE)_LOCK\(`),
	"stored programs":          regexp.MustCompile(`(?i)\bCREATE\s+(OR REPLACE\s+)?(PROCEDURE|FUNCTION|TRIGGER|EVENT)\b|"CALL `),
	"views":                    regexp.MustCompile(`(?i)\bCREATE\s+(OR REPLACE\s+)?VIEW\b`),
	"temporary tables":         regexp.MustCompile(`(?i)\bTEMPORARY TABLE\b`),
	"user variables":           regexp.MustCompile(`[ (,=]@[a-z_]\w*|:=\s*@`),
	"LAST_INSERT_ID in SQL":    regexp.MustCompile(`(?i)\bLAST_INSERT_ID\(\w*`),
	"files of the server":      regexp.MustCompile(`(?i)\bINTO (OUT|DUMP)FILE\b|\bLOAD DATA\b`),
	"XA":                       regexp.MustCompile(`\bXA (START|BEGIN|END|COMMIT)\b`),
	"global settings":          regexp.MustCompile(`(?i)\bSET (GLOBAL|PERSIST)\b`),
	"counted limits":           regexp.MustCompile(`\bSQL_CALC_FOUND_ROWS\b|\bFOUND_ROWS\(`),
	"savepoints":               regexp.MustCompile(`"(SAVEPOINT|ROLLBACK TO|RELEASE) `),
	"serializable":             regexp.MustCompile(`LevelSerializable|ISOLATION LEVEL SERIALIZABLE`),
	"full text, spatial types": regexp.MustCompile(`(?i)\bFULLTEXT\b|\bSPATIAL\b|\bMATCH\s*\(.*\bAGAINST\b`),
	"a join without its table": regexp.MustCompile(`(?i)\bNATURAL JOIN\b`),
}

// justified are the places where it stands all the same, and why it may.
var justified = map[string]map[string]string{
	"locks by name": {"migrate.go": "of migrations alone; Vitess has them since 11 and TiDB since 6.1; a cluster that refuses them migrates without"},
	"savepoints":    {"sqlite.go": "of the one writer of SQLite"},
}

// TestNothingForbidden looks for it in all SQL of this package.
func TestNothingForbidden(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (path == "storetest" || path == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || strings.HasSuffix(path, "_test.go") || path == "seed.go" { // which fills a registry for benchmarks
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n, line := range strings.Split(string(text), "\n") {
			if s := strings.TrimSpace(line); strings.HasPrefix(s, "//") || strings.HasPrefix(s, "--") {
				continue
			}
			for what, re := range forbidden {
				if !re.MatchString(line) {
					continue
				}
				if justified[what][path] == "" {
					t.Errorf("%s:%d: %s: %s", path, n+1, what, strings.TrimSpace(line))
				}
				found[what+path] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, places := range justified {
		for path := range places {
			if !found[what+path] {
				t.Errorf("%s has no %s any more: strike it from the list", path, what)
			}
		}
	}
	for what, line := range map[string]string{"foreign keys": "a_id BIGINT REFERENCES a (id)", "user variables": "SELECT @x", "stored programs": "CREATE TRIGGER x"} {
		if !forbidden[what].MatchString(line) {
			t.Errorf("%s is not found in %q", what, line)
		}
	}
}
