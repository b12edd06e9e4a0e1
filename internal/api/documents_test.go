package api

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/store/storetest"
)

type file struct{ name, text string }

// archive packs files.
func archive(t testing.TB, packed bool, files ...file) []byte {
	t.Helper()
	var out, inner bytes.Buffer
	w := tar.NewWriter(&inner)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !packed {
		return inner.Bytes()
	}
	z := gzip.NewWriter(&out)
	if _, err := z.Write(inner.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func names(list []artifactDocument) string {
	var all []string
	for _, d := range list {
		all = append(all, d.Name)
	}
	return strings.Join(all, " ")
}

// TestDocuments reads the documents of a chart, and of nothing beside it.
func TestDocuments(t *testing.T) {
	b := archive(t, true, file{"app/Chart.yaml", "name: app\n"}, file{"app/values.yaml", "replicas: 1\n"}, file{"app/README.md", "# App\n"},
		file{"app/charts/db/values.yaml", "no"}, file{"../values.yaml", "no"}, file{"values.yaml", "no"}, file{"app/templates/README.md", "no"}, file{"app/values.schema.json", "{}"})
	got := chartDocuments(bytes.NewReader(b))
	if want := "Chart.yaml values.yaml README.md values.schema.json"; names(got) != want {
		t.Fatalf("documents %q, want %q", names(got), want)
	}
	if got[1].Text != "replicas: 1\n" || got[1].Truncated {
		t.Errorf("values are %+v", got[1])
	}
	// What is broken in the middle tells what came before.
	if cut := chartDocuments(bytes.NewReader(archive(t, false, file{"a/Chart.yaml", "x"}, file{"a/README.md", strings.Repeat("y", 4096)})[:1600])); names(cut) != "Chart.yaml" {
		t.Errorf("a cut archive tells %q", names(cut))
	}
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("no archive at all"), "no gzip": {0x1f, 0x8b, 0}} {
		if got := chartDocuments(bytes.NewReader(b)); len(got) != 0 {
			t.Errorf("%s tells %q", name, names(got))
		}
	}
	// A long document is cut between letters; what is no text is none.
	long := chartDocuments(bytes.NewReader(archive(t, true, file{"a/README.md", "x" + strings.Repeat("\uac00", maxDocument)}, file{"a/values.yaml", "a\x00b"}, file{"a/Chart.yaml", "\xff\xfe"})))
	if len(long) != 1 || !long[0].Truncated || len(long[0].Text) > maxDocument || len(long[0].Text) < maxDocument-4 || !utf8.ValidString(long[0].Text) {
		t.Errorf("%d documents, the first of %d bytes", len(long), len(long[0].Text))
	}
	// A bomb is read up to the bound, and no further.
	bomb := archive(t, true, file{"a/big", strings.Repeat("0", maxUnpacked)}, file{"a/README.md", "after it"})
	if got := chartDocuments(bytes.NewReader(bomb)); len(got) != 0 {
		t.Errorf("behind the bound there is %q", names(got))
	}
	many := make([]file, 0, 2*maxDocuments)
	for range cap(many) {
		many = append(many, file{"a/README.md", "again"})
	}
	if got := chartDocuments(bytes.NewReader(archive(t, true, many...))); len(got) != maxDocuments {
		t.Errorf("%d documents, want %d", len(got), maxDocuments)
	}
}

// FuzzDocuments: whatever a layer holds, what is told of it is bounded text.
func FuzzDocuments(f *testing.F) {
	f.Add(archive(f, true, file{"app/Chart.yaml", "name: app"}, file{"app/README.md", "# App"}))
	f.Add(archive(f, false, file{"app/values.yaml", "a: 1"}))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		found := chartDocuments(bytes.NewReader(b))
		if len(found) > maxDocuments {
			t.Fatalf("%d documents", len(found))
		}
		for _, d := range found {
			if len(d.Text) > maxDocument || !utf8.ValidString(d.Text) || !utf8.ValidString(d.Name) || strings.Contains(d.Name, "/") && d.Name != "/" {
				t.Fatalf("%q: %d bytes", d.Name, len(d.Text))
			}
		}
	})
}

// TestManifestDocuments has a chart and a model tell what they are.
func TestManifestDocuments(t *testing.T) {
	w := newTagWorld(t, storetest.SQLite, TagOptions{})
	chart := archive(t, true, file{"app/Chart.yaml", "name: app\n"}, file{"app/README.md", "# My chart\n"}, file{"app/values.yaml", "replicas: 1\n"})
	d := w.push(ociManifest+`"config":{"mediaType":"`+typeHelmConfig+`",`+w.blob([]byte(`{"name":"app"}`))+`},"layers":[{"mediaType":"`+typeHelmChart+`",`+w.blob(chart)+`}]}`, "chart")
	holds(t, w.want(200, "GET", app+"/manifest/"+d+"?includeDocuments=true", w.reader, ""), `"documents":[{"name":"Chart.yaml"`, `"text":"# My chart\n"`, `"text":"replicas: 1\n"`)
	if b := w.want(200, "GET", app+"/manifest/"+d, w.reader, ""); strings.Contains(b, "documents") {
		t.Errorf("nobody asked for them: %s", b)
	}
	raw := `{"mediaType":"application/vnd.cncf.model.doc.v1.raw","annotations":{"org.cncf.model.filepath":"README.md"},` + w.blob([]byte("# My model\n")) + `}`
	packed := `{"mediaType":"application/vnd.cncf.model.doc.v1.tar",` + w.blob(archive(t, false, file{"docs/MODEL_CARD.md", "a card"})) + `}`
	weights := `{"mediaType":"application/vnd.cncf.model.weight.v1.raw","annotations":{"org.cncf.model.filepath":7},` + w.blob([]byte("no text")) + `}`
	m := w.push(ociManifest+`"config":{"mediaType":"application/vnd.cncf.model.config.v1+json",`+w.blob([]byte(`{}`))+`},"layers":[`+raw+","+packed+","+weights+`]}`, "model")
	holds(t, w.want(200, "GET", app+"/manifest/"+m+"?includeDocuments=true", w.reader, ""), `{"name":"README.md","text":"# My model\n","truncated":false}`, `{"name":"MODEL_CARD.md","text":"a card"`)
}
