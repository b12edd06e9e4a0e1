package store

import (
	"io/fs"
	"strings"
	"testing"
)

// TestMigrationsOnlyAdd: a release that is not upgraded yet goes on with what a
// later one has made of the schema, so migrations add, and nothing that a row of
// the earlier one would lack.
func TestMigrationsOnlyAdd(t *testing.T) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql.tmpl")
	if err != nil || len(names) < 9 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		for _, d := range dialects {
			sqls, err := d.render(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range sqls {
				words := strings.Fields(strings.ToUpper(q))
				switch {
				case words[0] == "CREATE" && (words[1] == "TABLE" || words[1] == "INDEX" || words[1] == "UNIQUE"):
				case words[0] == "INSERT":
				case words[0] == "ALTER" && words[3] == "ADD" && (strings.Contains(strings.ToUpper(q), " DEFAULT ") || !strings.Contains(strings.ToUpper(q), " NOT NULL")):
				default:
					t.Errorf("%s takes away or changes: %s", name, q)
				}
			}
		}
	}
}
