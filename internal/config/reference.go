package config

import (
	"fmt"
	"slices"
	"strings"
)

// Reference returns docs/reference/config.md, made from the table.
func Reference() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from internal/config by "go test ./internal/config -update"; do not edit. -->
# Fields of config.yaml

Every field has a default; an empty file works. The mark after a name says:

- **live**: a change is taken while the registry runs. The others wait for a restart.
- **later**: the field is newer than Quay 3.7.
- **not yet**: checked and kept, but this release does not act on it.
- **ignored**: accepted for the sake of old files, without effect, for the reason that is given.
- **secret**: never shown.

Numbers and booleans may be in quotes. A *duration* is a number and a unit: 30m, 2w; units are s, m, h, d, w and y.
*Seconds* and *minutes* are a bare number, or a duration. A *size* is a number of bytes, or 20G, 10GiB, 1.5TB.
A folder may hold config.json in place of config.yaml. How to use them: [configure.md](../configure.md).

`)
	for _, g := range groups() {
		fmt.Fprintf(&b, "- [%s](#%s)\n", g.title, anchor(g.title))
	}
	b.WriteString("- [Storage classes](#storage-classes)\n- [Environment](#environment)\n")
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", g.title, g.intro)
		writeRows(&b, g.fields)
		for i := range g.fields {
			writeBlock(&b, &g.fields[i], g.fields[i].Name)
		}
	}
	b.WriteString("\n## Storage classes\n\nThe parameters in `DISTRIBUTED_STORAGE_CONFIG: {name: [class, {parameters}]}`. Those that are required are **bold**.\n")
	classes := storageClasses()
	for _, name := range classNames {
		fmt.Fprintf(&b, "\n### %s\n\n", name)
		writeRows(&b, classes[name])
	}
	b.WriteString("\n### Executors of BUILD_MANAGER\n\nThe keys of each entry of `BUILD_MANAGER: [ephemeral, {EXECUTORS: […]}]`.\n\n")
	writeRows(&b, executorKeys())
	b.WriteString(`
## Environment

| Name | Meaning |
|---|---|
| QUAYCONF | Folder above ` + "`stack/`" + `, used when no folder is named on the command line. |
| QUAY_OVERRIDE_CONFIG | A JSON object; each of its fields takes the place of the file's. |
| QUAY_SERVICES, QUAY_OVERRIDE_SERVICES | Services to run; single ones switched: gcworker=true,buildlogsarchiver=false. |
| WORKER_COUNT, WORKER_COUNT_WEB, WORKER_COUNT_SECSCAN, WORKER_COUNT_REGISTRY | Processes of Quay; accepted, without effect: Gantry is one process. |
| WORKER_CONNECTION_COUNT, … _WEB, _SECSCAN, _REGISTRY | Connections of each process of Quay; accepted, without effect. |
| DEBUGLOG | true: log everything. |
| QUAY_LOGGING | stdout: log to the standard output. |
| IGNORE_VALIDATION | true: what is wrong between fields is a warning. A value that cannot be read is an error all the same. |
| HTTP_PROXY, HTTPS_PROXY, NO_PROXY | Proxy of outgoing requests. |
`)
	for _, f := range Fields() {
		if f.Env != "" {
			fmt.Fprintf(&b, "| %s | %s. |\n", f.Env, map[bool]string{true: "The field of the same name", false: "The field " + f.Name}[f.Env == f.Name])
		}
	}
	return b.String()
}

func writeRows(b *strings.Builder, fields []Field) {
	if len(fields) == 0 {
		return
	}
	b.WriteString("| Field | Value | Default | Meaning |\n|---|---|---|---|\n")
	for i := range fields {
		f := &fields[i]
		name := cell(f.Name)
		if f.Required {
			name = "**" + name + "**"
		}
		if marks := f.marks(); marks != "" {
			name += "<br>" + marks
		}
		def := "—"
		if f.Default != "" {
			def = "`" + cell(f.Default) + "`"
		}
		doc := f.Doc
		if f.Obsolete != "" {
			doc += " *" + f.Obsolete + "*"
		}
		if len(f.Aliases) > 0 {
			doc += " Old name: " + strings.Join(f.Aliases, ", ") + "."
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, cell(f.shape()), def, cell(doc))
	}
}

// writeBlock writes a table of the keys of a block below the group's.
func writeBlock(b *strings.Builder, f *Field, path string) {
	if f.Obsolete == "" && len(f.Keys) > 0 {
		fmt.Fprintf(b, "\n### %s\n\n", cell(path))
		writeRows(b, f.Keys)
		for i := range f.Keys {
			writeBlock(b, &f.Keys[i], path+"."+f.Keys[i].Name)
		}
	}
}

// marks are the words under a field's name.
func (f *Field) marks() string {
	var m []string
	if f.Live && f.Used {
		m = append(m, "live")
	}
	if f.Later {
		m = append(m, "later")
	}
	switch {
	case f.Obsolete != "":
		m = append(m, "ignored")
	case f.Group != "" && !f.Used:
		m = append(m, "not yet")
	}
	if f.Secret {
		m = append(m, "secret")
	}
	return strings.Join(m, ", ")
}

// shape says what may be written.
func (f *Field) shape() string {
	if f.Kind == Custom {
		return f.Shape
	}
	s := f.Kind.String()
	switch {
	case len(f.Allowed) > 0:
		s = strings.Join(f.Allowed, ", ")
		if f.Kind == StringList {
			s = "list of " + s
		}
	case f.Max != 0:
		s += fmt.Sprintf(", %d to %d", f.Min, f.Max)
	case f.Min > 0:
		s += fmt.Sprintf(", at least %d", f.Min)
	}
	if f.OneText {
		s += ", or one text"
	}
	return s
}

// cell makes s fit into a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<NAME>", "&lt;NAME&gt;").Replace(s)
}

// anchor is the link that GitHub gives to a heading.
func anchor(title string) string {
	return string(slices.DeleteFunc([]rune(strings.ReplaceAll(strings.ToLower(title), " ", "-")), func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}))
}
