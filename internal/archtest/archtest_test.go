package archtest

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

func TestImports(t *testing.T) {
	root := os.DirFS("../..")
	module, err := modulePath(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := read(root, module)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Fatalf("only %d Go files found: the walk is wrong", len(files))
	}
	for _, problem := range check(files) {
		t.Error(problem)
	}
}

// TestTable makes sure that the rows name rooms of the table, and that no row
// closes a circle.
func TestTable(t *testing.T) {
	for room, may := range rooms {
		for _, m := range may {
			if _, ok := rooms[m]; !ok {
				t.Errorf("%s may import %s, which is no room", room, m)
			}
		}
	}
	var visit func(room string, above []string)
	visit = func(room string, above []string) {
		if slices.Contains(above, room) {
			t.Fatalf("imports go down only, but here is a circle: %s", strings.Join(append(above, room), " -> "))
		}
		for _, m := range rooms[room] {
			visit(m, append(above, room))
		}
	}
	for room := range rooms {
		visit(room, nil)
	}
}

// TestCheck shows that each rule can fail.
func TestCheck(t *testing.T) {
	const m = "github.com/gantry-registry/gantry/"
	tests := []struct {
		name, path, src string
		want            string // part of the problem; "" = none
	}{
		{"down", "internal/content/a.go", `import "` + m + `internal/store"`, ""},
		{"up", "internal/store/a.go", `import "` + m + `internal/content"`, "internal/store may not import internal/content"},
		{"edge to edge", "internal/registry/a.go", `import "` + m + `internal/api"`, "may not import internal/api"},
		{"capability to capability", "internal/scan/a.go", `import "` + m + `internal/mirror"`, "may not import internal/mirror"},
		{"test too", "internal/store/a_test.go", `import "` + m + `internal/content"`, "may not import internal/content"},
		{"own room", "internal/blob/fs/a.go", `import "` + m + `internal/blob"`, ""},
		{"part of a room", "internal/content/a.go", `import "` + m + `internal/blob/mem"`, ""},
		{"content never calls jobs", "internal/content/a.go", `import "` + m + `internal/jobs"`, "may not import internal/jobs"},
		{"vocabulary", "internal/gantry/a.go", `import "golang.org/x/sync/errgroup"`, "standard library"},
		{"vocabulary, standard", "internal/gantry/a.go", `import "strings"`, ""},
		{"new package", "internal/util/a.go", ``, "rooms_test.go"},
		{"new command", "cmd/tool/a.go", ``, "rooms_test.go"},
		{"new folder", "pkg/a.go", ``, "rooms_test.go"},
		{"at the top", "a.go", ``, "rooms_test.go"},
		{"driver", "internal/auth/a.go", `import _ "modernc.org/sqlite"`, "internal/store"},
		{"driver in a test", "internal/auth/a_test.go", `import _ "modernc.org/sqlite"`, "internal/store"},
		{"driver at home", "internal/store/a.go", `import "github.com/jackc/pgx/v5/stdlib"`, ""},
		{"sql", "internal/jobs/a.go", `import "database/sql"`, "internal/store"},
		{"sql in a test", "internal/jobs/a_test.go", `import "database/sql"`, ""},
		{"cloud", "internal/content/a.go", `import "github.com/aws/aws-sdk-go-v2/service/s3"`, "internal/blob"},
		{"cloud at home", "internal/blob/s3/a.go", `import "github.com/aws/aws-sdk-go-v2/service/s3"`, ""},
		{"kubernetes", "internal/app/a.go", `import "k8s.io/api/core/v1"`, "internal/operator"},
		{"kubernetes in build", "internal/build/a.go", `import "k8s.io/api/core/v1"`, "internal/operator"},
		{"kubernetes at home", "internal/build/kube/a.go", `import "k8s.io/api/core/v1"`, ""},
		{"not that module", "internal/build/a.go", `import "k8s.io.example.com/x"`, ""},
		{"testing", "internal/auth/a.go", `import "testing"`, "only tests"},
		{"testing in a suite", "internal/store/storetest/a.go", `import "testing"`, ""},
		{"suite in the product", "internal/app/a.go", `import "` + m + `internal/store/storetest"`, "only tests"},
		{"suite in a test", "internal/app/a_test.go", `import "` + m + `internal/store/storetest"`, ""},
		{"servers in a test", "internal/bus/a_test.go", `import "` + m + `internal/servertest"`, ""},
		{"servers in the product", "internal/bus/a.go", `import "` + m + `internal/servertest"`, "only tests"},
		{"cgo", "internal/auth/a.go", `import "C"`, "cgo"},
		{"untagged operator", "internal/app/a.go", `import "` + m + `internal/operator"`, "//go:build"},
		{"untagged engine", "internal/app/a.go", `import "` + m + `internal/blob/s3"`, "//go:build"},
		{"another room's engine", "internal/content/a.go", `import "` + m + `internal/blob/s3"`, "only internal/app"},
		{"engine's own test", "internal/blob/s3/a_test.go", `import "` + m + `internal/blob/s3"`, ""},
		{"not there", "internal/app/a.go", `import "` + m + `internal/nowhere"`, "may not import internal/nowhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := "// Package a is.\npackage a\n" + tt.src
			got := problems(t, fstest.MapFS{tt.path: {Data: []byte(src)}})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("problems: %q", got)
			case tt.want != "" && len(got) != 1:
				t.Errorf("%d problems, want 1: %q", len(got), got)
			case tt.want != "" && !strings.Contains(got[0], tt.want):
				t.Errorf("problem %q does not say %q", got[0], tt.want)
			}
		})
	}
}

func TestCheckWholeFiles(t *testing.T) {
	fsys := fstest.MapFS{
		"internal/app/a.go":            {Data: []byte("//go:build !small\n\n// Package app is.\npackage app\nimport \"" + "m/internal/operator" + "\"")},
		"internal/auth/a.go":           {Data: []byte("package auth")}, // no comment
		"internal/jobs/testdata/a.go":  {Data: []byte("not Go")},       // not walked
		"e2e/clients/go.mod":           {Data: []byte("module other")}, // another module
		"e2e/clients/a.go":             {Data: []byte("package main\nimport \"k8s.io/x\"")},
		"web/node_modules/x/a.go":      {Data: []byte("not Go")},
		"build/tools/x/a.go":           {Data: []byte("not Go")},
		"internal/store/generated.txt": {Data: []byte("not Go")},
	}
	files, err := read(fsys, "m")
	if err != nil {
		t.Fatal(err)
	}
	got := check(files)
	if len(got) != 1 || !strings.Contains(got[0], "internal/auth has no package comment") {
		t.Errorf("problems: %q", got)
	}
	if _, err := read(fstest.MapFS{"internal/auth/a.go": {Data: []byte("nonsense")}}, "m"); err == nil {
		t.Error("a file that does not parse is no error")
	}
}

func problems(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	files, err := read(fsys, "github.com/gantry-registry/gantry")
	if err != nil {
		t.Fatal(err)
	}
	return check(files)
}

// A file is what the rules need to know of a Go file.
type file struct {
	path    string
	test    bool     // *_test.go, or in a package named *test
	tagged  bool     // has a //go:build line
	comment bool     // has a package comment
	imports []string // of this module relative to its root with "./" before, of others whole
}

// read parses every Go file of the module, for all systems and build tags.
func read(fsys fs.FS, module string) ([]file, error) {
	var files []file
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p == "." {
				return nil
			}
			if name := d.Name(); name[0] == '.' || name[0] == '_' || name == "testdata" || name == "node_modules" || p == "build" || p == "bin" {
				return fs.SkipDir
			}
			if _, err := fs.Stat(fsys, path.Join(p, "go.mod")); err == nil {
				return fs.SkipDir // another module
			}
			return nil
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, describe(p, module, f))
		return nil
	})
	return files, err
}

func describe(p, module string, f *ast.File) file {
	d := file{
		path:    p,
		test:    strings.HasSuffix(p, "_test.go") || isSuite(path.Dir(p)),
		comment: f.Doc != nil,
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			d.tagged = d.tagged || constraint.IsGoBuild(c.Text) && c.Pos() < f.Package
		}
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // does not compile either
		}
		if rest, ok := strings.CutPrefix(p, module); ok && (rest == "" || rest[0] == '/') {
			p = "." + rest
		}
		d.imports = append(d.imports, p)
	}
	return d
}

// isSuite reports whether a package is there for tests: blobtest, storetest.
func isSuite(dir string) bool { return strings.HasSuffix(dir, "test") }

// check applies the tables. A problem says what to do.
func check(files []file) []string {
	var out []string
	commented := make(map[string]bool)
	unknown := make(map[string]bool)
	for _, f := range files {
		dir := path.Dir(f.path)
		from := roomOf(dir)
		if from == "" {
			if !unknown[dir] {
				unknown[dir] = true
				out = append(out, fmt.Sprintf("package %s is in no room: add it to the table in internal/archtest/rooms_test.go with what it may import, or move it into a room that is there (docs/design/style.md)", dir))
			}
			continue
		}
		if !strings.HasSuffix(f.path, "_test.go") {
			commented[dir] = commented[dir] || f.comment
		}
		for _, p := range f.imports {
			if why := refused(f, from, p); why != "" {
				out = append(out, f.path+": "+why)
			}
		}
	}
	for dir, ok := range commented {
		if !ok {
			out = append(out, fmt.Sprintf("package %s has no package comment: say in one file, before the package clause, what it is for", dir))
		}
	}
	slices.Sort(out)
	return out
}

// refused says why f, in room from, may not import p; "" if it may.
func refused(f file, from, p string) string {
	dir, own := strings.CutPrefix(p, "./")
	if !own {
		if from == "internal/gantry" && strings.Contains(strings.Split(p, "/")[0], ".") {
			return fmt.Sprintf("internal/gantry may import the standard library only, not %s", p)
		}
		for _, h := range homes {
			if within(p, h.imports) && !within(path.Dir(f.path), h.rooms) && (!h.tests || !f.test) {
				return fmt.Sprintf("may not import %s: %s", p, h.why)
			}
		}
		return ""
	}
	if isSuite(dir) && !f.test {
		return fmt.Sprintf("only tests, and packages named *test, import %s", dir)
	}
	if f.test && within(dir, []string{"internal/servertest", "internal/operator/kubetest", "internal/quaytest"}) {
		return "" // real servers, clusters and databases of Quay are for the tests of every room
	}
	if to := roomOf(dir); to == "" || to != from && !slices.Contains(rooms[from], to) {
		return fmt.Sprintf("%s may not import %s: imports go down only, edges and capabilities never import their like. Take a func or a small interface that app plugs in, or go through jobs or bus; see internal/archtest/rooms_test.go", from, dir)
	}
	if within(dir, tagged) && from != roomOf(dir) {
		if from != "internal/app" {
			return fmt.Sprintf("only internal/app imports %s, from a file with a //go:build line", dir)
		}
		if !f.tagged {
			return fmt.Sprintf("%s is imported from files with a //go:build line only, so that a small build stays possible", dir)
		}
	}
	return ""
}

// roomOf returns the longest name in the table that holds the folder, or "".
func roomOf(dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := rooms[dir]; ok {
			return dir
		}
	}
	return ""
}

// within reports whether p is one of the paths or below one.
func within(p string, paths []string) bool {
	return slices.ContainsFunc(paths, func(q string) bool { return p == q || strings.HasPrefix(p, q+"/") })
}

func modulePath(fsys fs.FS) (string, error) {
	f, err := fsys.Open("go.mod")
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("go.mod names no module")
}
