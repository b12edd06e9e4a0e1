package store

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// A table is one of the schema, as the migrations make it.
type table struct {
	name    string
	columns []column
	key     []string // of its primary key
	id      bool     // the key is an id that the database gives
}

// A column's kind is "int", "text" or "bytes".
type column struct{ name, kind string }

var (
	createTable = regexp.MustCompile(`(?s)^CREATE TABLE IF NOT EXISTS (\w+) \((.*)\)`)
	addColumn   = regexp.MustCompile(`^ALTER TABLE (\w+) ADD COLUMN (?:IF NOT EXISTS )?(\w+) (\w+)`)
	primaryKey  = regexp.MustCompile(`^PRIMARY KEY \(([^)]*)\)`)
)

// schemaTables reads the tables from the migrations.
func schemaTables() ([]table, error) {
	word := func(s string) func(string) string { return func(string) string { return s } }
	d := &dialect{name: "copy", types: map[string]func(string) string{
		"id": word("id"), "big": word("int"), "small": word("int"), "text": word("text"), "long": word("text"),
		"bytes": word("bytes"), "blob": word("bytes"), "engine": word(""),
	}}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql.tmpl")
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, name := range names {
		sqls, err := d.render(name)
		if err != nil {
			return nil, err
		}
		for _, q := range sqls {
			if m := addColumn.FindStringSubmatch(q); m != nil {
				for i := range tables {
					if tables[i].name == m[1] {
						tables[i].columns = append(tables[i].columns, column{m[2], m[3]})
					}
				}
				continue
			}
			m := createTable.FindStringSubmatch(q)
			if m == nil {
				continue
			}
			t := table{name: m[1]}
			for line := range strings.SplitSeq(m[2], "\n") {
				line = strings.Trim(line, "\t ,")
				words := strings.Fields(line)
				switch pk := primaryKey.FindStringSubmatch(line); {
				case pk != nil:
					t.key = strings.Split(strings.ReplaceAll(pk[1], " ", ""), ",")
				case len(words) < 2:
				case words[1] == "id":
					t.columns, t.key, t.id = append(t.columns, column{words[0], "int"}), []string{words[0]}, true
				default:
					t.columns = append(t.columns, column{words[0], words[1]})
					if strings.Contains(line, "PRIMARY KEY") {
						t.key = []string{words[0]}
					}
				}
			}
			if len(t.key) == 0 {
				return nil, fmt.Errorf("table %s has no primary key", t.name)
			}
			tables = append(tables, t)
		}
	}
	return tables, nil
}
