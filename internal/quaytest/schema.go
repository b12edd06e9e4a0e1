package quaytest

import (
	"fmt"
	"strings"
)

// A Release is a release of Quay, by its schema.
type Release int

const (
	V37    Release = 37 // 3.7 of 2022
	Latest Release = 99 // every table and column up to autumn 2026
)

// revision is what stands in alembic_version.
func (r Release) revision() string {
	if r == Latest {
		return "9fa37f66a9b6"
	}
	return "d94d328733e4"
}

// A table is one of Quay's. Its first column is always id.
type table struct {
	name    string
	bigID   bool
	columns []column
	keys    []key
}

type column struct {
	name    string
	kind    string // string, text, mediumtext, longtext, int, bigint, bool, time, date
	size    int    // of a string
	null    bool
	refers  string // table whose id this is; its kind is int
	initial string // what Quay's program fills in; see value
	filled  bool   // whether it does
	server  bool   // whether initial is a default of the database too
}

type key struct {
	unique  bool
	columns []string
}

// schema reads the tables of a release, in an order in which they can be made.
//
//	table NAME [bigid] [@RELEASE]
//		COLUMN TYPE[?] [=VALUE | default=VALUE] [index | unique] [@RELEASE]
//		unique COLUMN… [@RELEASE]
//		index COLUMN… [@RELEASE]
//
// "?" = may be NULL, "->user" = the id of a user; "=" what Quay's program
// fills in, "default=" the database too; "@v37" = only in that release.
func schema(r Release) ([]table, error) {
	var all []table
	var in bool // the current table is in this release
	for n, line := range strings.Split(accountTables+contentTables+workTables, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		here := true
		if last := words[len(words)-1]; last == "@v37" || last == "@latest" {
			here = last == "@v37" == (r == V37)
			words = words[:len(words)-1]
		}
		if words[0] == "table" {
			if in = here; in {
				all = append(all, table{name: words[1], bigID: len(words) > 2 && words[2] == "bigid"})
			}
			continue
		}
		if !in || !here {
			continue
		}
		if err := all[len(all)-1].add(words); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", n+1, line, err)
		}
	}
	return all, nil
}

func (t *table) add(words []string) error {
	if words[0] == "unique" || words[0] == "index" {
		t.keys = append(t.keys, key{words[0] == "unique", words[1:]})
		return nil
	}
	c := column{name: words[0]}
	kind, null := strings.CutSuffix(words[1], "?")
	c.null = null
	c.kind, c.size = kind, 255
	if ref, ok := strings.CutPrefix(kind, "->"); ok {
		c.kind, c.refers = "int", ref
	} else if kind, size, ok := strings.Cut(kind, "("); ok {
		if _, err := fmt.Sscanf(size, "%d)", &c.size); err != nil {
			return err
		}
		c.kind = kind
	}
	keyed := c.refers != ""
	for _, w := range words[2:] {
		switch initial, server := strings.CutPrefix(w, "default="); {
		case server:
			c.initial, c.filled, c.server = initial, true, true
		case w[0] == '=':
			c.initial, c.filled = w[1:], true
		case w == "index" || w == "unique":
			keyed = false
			t.keys = append(t.keys, key{w == "unique", []string{c.name}})
		default:
			return fmt.Errorf("unknown word %q", w)
		}
	}
	if keyed {
		t.keys = append(t.keys, key{false, []string{c.name}})
	}
	t.columns = append(t.columns, c)
	return nil
}

func (t *table) column(name string) (column, bool) {
	for _, c := range t.columns {
		if c.name == name {
			return c, true
		}
	}
	return column{}, false
}

// A dialect is how a database server writes the schema.
type dialect struct {
	quote      string
	id, bigID  string
	types      map[string]string
	end        string // of CREATE TABLE
	textStarts bool   // a text column may have a default
	returning  bool   // INSERT … RETURNING id
}

var postgres = dialect{
	quote: `"`, id: "serial", bigID: "bigserial", textStarts: true, returning: true,
	types: map[string]string{
		"string": "varchar(%d)", "text": "text", "mediumtext": "text", "longtext": "text", "int": "integer", "bigint": "bigint",
		"bool": "boolean", "time": "timestamp without time zone", "date": "date",
	},
}

var mysql = dialect{
	quote: "`", id: "integer AUTO_INCREMENT", bigID: "bigint AUTO_INCREMENT",
	end: " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
	types: map[string]string{
		"string": "varchar(%d)", "text": "text", "mediumtext": "mediumtext", "longtext": "longtext", "int": "integer", "bigint": "bigint",
		"bool": "tinyint(1)", "time": "datetime", "date": "date",
	},
}

func (d dialect) name(names ...string) string {
	for i, n := range names {
		names[i] = d.quote + n + d.quote
	}
	return strings.Join(names, ", ")
}

// create returns the statements that make t.
func (d dialect) create(t table) []string {
	id := d.id
	if t.bigID {
		id = d.bigID
	}
	lines := []string{d.name("id") + " " + id + " NOT NULL"}
	for _, c := range t.columns {
		lines = append(lines, d.define(c))
	}
	lines = append(lines, "PRIMARY KEY ("+d.name("id")+")")
	for _, c := range t.columns {
		if c.refers != "" {
			lines = append(lines, fmt.Sprintf("CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)",
				d.name(shorter("fk_"+t.name+"_"+c.name+"_"+c.refers)), d.name(c.name), d.name(c.refers), d.name("id")))
		}
	}
	out := []string{"CREATE TABLE " + d.name(t.name) + " (\n\t" + strings.Join(lines, ",\n\t") + "\n)" + d.end}
	for _, k := range t.keys {
		index := "INDEX "
		if k.unique {
			index = "UNIQUE INDEX "
		}
		on := d.name(append([]string(nil), k.columns...)...)
		out = append(out, "CREATE "+index+d.name(shorter(t.name+"_"+strings.Join(k.columns, "_")))+" ON "+d.name(t.name)+" ("+on+")")
	}
	return out
}

func (d dialect) define(c column) string {
	kind := d.types[c.kind]
	if c.kind == "string" {
		kind = fmt.Sprintf(kind, c.size)
	}
	s := d.name(c.name) + " " + kind
	if !c.null {
		s += " NOT NULL"
	}
	if c.server && (d.textStarts || c.kind != "text") {
		initial := c.initial
		if c.kind != "int" && c.kind != "bigint" && c.kind != "bool" {
			initial = "'" + initial + "'"
		}
		s += " DEFAULT " + initial
	}
	return s
}

// shorter cuts a name to what both servers take.
func shorter(name string) string { return name[:min(len(name), 63)] }
