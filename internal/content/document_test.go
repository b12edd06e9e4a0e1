package content

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

func digestText(n int) string {
	return string(gantry.FromBytes([]byte{byte(n), byte(n >> 8), byte(n >> 16)}))
}

func descriptorText(mediaType string, n int, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, mediaType, digestText(n), n, more)
}

const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"

var goodManifests = []struct {
	name, mediaType, body string
	want                  string // media type | artifact type | blobs | children | subject
}{
	{"image", typeOCIManifest, `{"schemaVersion":2,"config":` + descriptorText(typeOCIConfig, 1, "") + `,"layers":[` + descriptorText(layerType, 2, "") + `]}`,
		typeOCIManifest + "|" + typeOCIConfig + "|1 2||"},
	{"no Content-Type", "", `{"schemaVersion":2,"mediaType":"` + typeDockerManifest + `","config":` + descriptorText(typeDockerConfig, 1, "") + `,"layers":[]}`,
		typeDockerManifest + "|" + typeDockerConfig + "|1||"},
	{"no type at all", "", `{"schemaVersion":2,"config":` + descriptorText(typeOCIConfig, 1, "") + `}`, typeOCIManifest + "|" + typeOCIConfig + "|1||"},
	{"no type at all, index", "", `{"schemaVersion":2,"manifests":[]}`, typeOCIIndex + "||||"},
	{"layers twice", typeOCIManifest, `{"schemaVersion":2,"config":` + descriptorText(typeOCIConfig, 1, "") + `,"layers":[` +
		descriptorText(layerType, 2, "") + "," + descriptorText(layerType, 1, "") + "," + descriptorText(layerType, 2, "") + `]}`,
		typeOCIManifest + "|" + typeOCIConfig + "|1 2||"},
	{"foreign", typeDockerManifest, `{"schemaVersion":2,"config":` + descriptorText(typeDockerConfig, 1, "") + `,"layers":[` +
		descriptorText("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 2, `,"urls":["https://example.com"]`) + "," +
		descriptorText("application/vnd.oci.image.layer.nondistributable.v1.tar", 3, "") + "," + descriptorText(layerType, 4, "") + `]}`,
		typeDockerManifest + "|" + typeDockerConfig + "|1 4||"},
	{"helm", typeOCIManifest, `{"schemaVersion":2,"config":` + descriptorText("application/vnd.cncf.helm.config.v1+json", 1, "") + `,"layers":[` +
		descriptorText("application/vnd.cncf.helm.chart.content.v1.tar+gzip", 2, "") + `],"annotations":{"a":"b"}}`,
		typeOCIManifest + "|application/vnd.cncf.helm.config.v1+json|1 2||"},
	{"signature", typeOCIManifest, `{"schemaVersion":2,"artifactType":"application/vnd.example.sig","config":` + descriptorText("application/vnd.oci.empty.v1+json", 1, `,"data":"e30="`) +
		`,"layers":[],"subject":` + descriptorText(typeOCIManifest, 9, "") + `}`, typeOCIManifest + "|application/vnd.example.sig|1||9"},
	{"draft artifact", typeOCIArtifact, `{"mediaType":"` + typeOCIArtifact + `","artifactType":"application/x","blobs":[` + descriptorText("text/plain", 1, "") + `],"subject":` + descriptorText(typeOCIManifest, 2, "") + `}`,
		typeOCIArtifact + "|application/x|1||2"},
	{"index", typeOCIIndex, `{"schemaVersion":2,"manifests":[` + descriptorText(typeOCIManifest, 1, `,"platform":{"os":"plan9","architecture":"vax","x":[{}]}`) + "," +
		descriptorText(typeOCIIndex, 2, "") + "," + descriptorText(typeOCIManifest, 1, "") + `],"subject":` + descriptorText(typeOCIManifest, 3, "") + `}`, typeOCIIndex + "|||1 2|3"},
	{"null members", typeOCIIndex, `{"schemaVersion":2,"manifests":null,"subject":null,"annotations":null}`, typeOCIIndex + "||||"},
	{"other type", "application/vnd.example.wasm+json", `{"schemaVersion":2,"config":` + descriptorText("application/wasm", 1, "") + `}`,
		"application/vnd.example.wasm+json|application/wasm|1||"},
	{"upper case", "Application/vnd.OCI.image.index.v1+json", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.INDEX.v1+json","manifests":[]}`, typeOCIIndex + "||||"},
	{"upper case without a Content-Type", "", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.INDEX.v1+json","manifests":[]}`, typeOCIIndex + "||||"},
	{"upper case of others", "application/vnd.Example.Thing+json", `{"schemaVersion":2,"mediaType":"application/vnd.example.thing+json"}`, "application/vnd.Example.Thing+json||||"},
	{"unknown members", typeOCIIndex, " {\t\"x\" : [1, -2.5e3, true, null, {\"layers\":[]}, \"\\\"}\"] ,\n\"schemaVersion\":2,\"manifests\": [ ] , \"Manifests\":7}\r\n", typeOCIIndex + "||||"},
	{"escapes", typeOCIIndex, `{"schemaVersion":2,"manifests":[],"mediaType":"application\/vnd.oci.image.index.v1+json","x\u0022":"\\"}`, typeOCIIndex + "||||"},
}

func describe(d document) string {
	numbers := func(all []gantry.Digest) string {
		var out []string
		for _, x := range all {
			for n := range 10 {
				if digestText(n) == string(x) {
					out = append(out, fmt.Sprint(n))
				}
			}
		}
		return strings.Join(out, " ")
	}
	subject := ""
	if d.Subject != "" {
		subject = numbers([]gantry.Digest{d.Subject})
	}
	return strings.Join([]string{d.MediaType, d.ArtifactType, numbers(d.Blobs), numbers(d.Children), subject}, "|")
}

func TestParseDocument(t *testing.T) {
	for _, tt := range goodManifests {
		d, err := parseDocument(tt.mediaType, []byte(tt.body))
		if got := describe(d); err != nil || got != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestParseDocumentRefuses(t *testing.T) {
	config := `"config":` + descriptorText(typeOCIConfig, 1, "")
	image := func(more string) string { return `{"schemaVersion":2,` + config + more + `}` }
	layer := func(d string) string { return image(`,"layers":[` + d + `]`) }
	for _, tt := range []struct {
		mediaType, body, want string
		reason                gantry.Reason
	}{
		{typeOCIManifest, ``, "not JSON", ""},
		{typeOCIManifest, `{`, "not JSON", ""},
		{typeOCIManifest, `null`, "not a JSON object", ""},
		{typeOCIManifest, image("") + "{}", "byte", ""},
		{typeOCIManifest, "{\"a\":\"\xff\"}", "UTF-8", ""},
		{typeOCIManifest, `{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, "deep", ""},
		{typeOCIManifest, image("")[:1] + `"schemaVersion":3}`, "schemaVersion", ""},
		{typeOCIManifest, `{` + config + `}`, "schemaVersion", ""},
		{typeOCIManifest, `{"schemaVersion":2,"layers":[]}`, "config is missing", ""},
		{typeOCIManifest, `{"schemaVersion":2,"Config":` + descriptorText(typeOCIConfig, 1, "") + `}`, "config is missing", ""},
		{typeOCIIndex, `{"schemaVersion":2}`, "manifests is missing", ""},
		{typeOCIIndex, image(""), "an index has no config", ""},
		{typeOCIManifest, `{"schemaVersion":2,"manifests":[]}`, "no manifests", ""},
		{typeOCIManifest, image(`,"manifests":[]`), "not both", ""},
		{"", `{"schemaVersion":2}`, "neither", ""},
		{"", `{"schemaVersion":1,"fsLayers":[]}`, "schema 1", gantry.MediaTypeRefused},
		{typeSchema1Signed, `{}`, "schema 1", gantry.MediaTypeRefused},
		{strings.ToUpper(typeOCIManifest), `{"schemaVersion":2,"layers":[]}`, "config is missing", ""},
		{"", `{"schemaVersion":2,"mediaType":"` + strings.ToUpper(typeSchema1) + `"}`, "schema 1", gantry.MediaTypeRefused},
		{"text/html", image(""), "text/html", gantry.MediaTypeRefused},
		{"application/octet-stream", image(""), "octet-stream", gantry.MediaTypeRefused},
		{typeOCIManifest, image(`,"mediaType":"` + typeDockerManifest + `"`), "must be the same", ""},
		{typeOCIManifest, image("," + config), `"config" is there twice`, ""},
		{typeOCIManifest, image(`,"artifactType":"no type"`), "artifactType", ""},
		{typeOCIManifest, image(`,"artifactType":7`), "artifactType is not a string", ""},
		{typeOCIManifest, image(`,"annotations":{"a":1}`), "annotations", ""},
		{typeOCIManifest, image(`,"layers":{}`), "layers is not an array", ""},
		{typeOCIManifest, layer(`7`), "layers[0] is not an object", ""},
		{typeOCIManifest, layer(`null`), "layers[0] is null", ""},
		{typeOCIManifest, layer(descriptorText(layerType, 1, "") + `,{"size":1}`), "layers[1] has no digest", ""},
		{typeOCIManifest, layer(`{"digest":"sha256:ab","size":1}`), "layers[0].digest", ""},
		{typeOCIManifest, layer(`{"digest":"` + strings.ToUpper(digestText(1)[7:]) + `","size":1}`), "layers[0].digest", ""},
		{typeOCIManifest, layer(`{"digest":"sha256:` + strings.ToUpper(digestText(1)[7:]) + `","size":1}`), "lower case", ""},
		{typeOCIManifest, layer(descriptorText(layerType, 1, `,"digest":"`+digestText(2)+`"`)), "layers[0] has digest twice", ""},
		{typeOCIManifest, layer(`{"digest":"` + digestText(1) + `","size":-1}`), "layers[0].size", ""},
		{typeOCIManifest, layer(`{"digest":"` + digestText(1) + `","size":1.5}`), "layers[0].size", ""},
		{typeOCIManifest, layer(`{"digest":"` + digestText(1) + `","size":99999999999999999999}`), "layers[0].size", ""},
		{typeOCIManifest, layer(`{"digest":"` + digestText(1) + `","size":9223372036854775807},{"digest":"` + digestText(2) + `","size":1}`), "add up", ""},
	} {
		_, err := parseDocument(tt.mediaType, []byte(tt.body))
		if !gantry.Is(err, gantry.Invalid) || !strings.Contains(fmt.Sprint(err), tt.want) || gantry.ReasonOf(err) != tt.reason {
			t.Errorf("%s %.100s: %v (%s), want %q (%s)", tt.mediaType, tt.body, err, gantry.ReasonOf(err), tt.want, tt.reason)
		}
	}
	many := `{"schemaVersion":2,"manifests":[` + strings.Repeat(descriptorText("", 1, "")+",", maxDescriptors) + descriptorText("", 1, "") + `]}`
	if _, err := parseDocument(typeOCIIndex, []byte(many)); !gantry.Is(err, gantry.TooLarge) {
		t.Errorf("%d children: %v", maxDescriptors+1, err)
	}
}

// What is accepted has no member that encoding/json would read otherwise.
func FuzzDocument(f *testing.F) {
	for _, tt := range goodManifests {
		f.Add(tt.mediaType, []byte(tt.body))
	}
	f.Add("", []byte(`{"schemaVersion":2,"layers":[{"digest":"a"}],"config":{"\u0064igest":"`+digestText(1)+`"}}`))
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		d, err := parseDocument(mediaType, body)
		if err != nil {
			if !gantry.Is(err, gantry.Invalid) && !gantry.Is(err, gantry.TooLarge) {
				t.Fatalf("error %v", err)
			}
			return
		}
		var doc map[string]json.RawMessage
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatalf("accepted what is not JSON: %v", err)
		}
		want := map[gantry.Digest]bool{}
		read := func(raw json.RawMessage) {
			var of map[string]json.RawMessage
			if json.Unmarshal(raw, &of) != nil || of == nil {
				return
			}
			var d gantry.Digest
			if json.Unmarshal(of["digest"], &d) != nil {
				t.Fatalf("descriptor %s", raw)
			}
			var mt string
			_ = json.Unmarshal(of["mediaType"], &mt)
			if !foreign(descriptor{MediaType: mt}) {
				want[d] = true
			}
		}
		if raw := doc["config"]; raw != nil {
			read(raw)
		}
		for _, key := range []string{"layers", "blobs", "manifests"} {
			var all []json.RawMessage
			_ = json.Unmarshal(doc[key], &all)
			for _, raw := range all {
				read(raw)
			}
		}
		got := append(slices.Clone(d.Blobs), d.Children...)
		seen := map[gantry.Digest]bool{}
		for _, x := range got {
			if seen[x] {
				t.Fatalf("%s is there twice", x)
			}
			seen[x] = true
			if p, err := gantry.ParseDigest(string(x)); err != nil || p != x {
				t.Fatalf("digest %q", x)
			}
		}
		for x := range want {
			if !seen[x] {
				// The configuration may be a foreign layer's digest too.
				t.Fatalf("%s is not required", x)
			}
		}
		if _, err := referrer(d.MediaType, gantry.FromBytes(body), body); err != nil {
			t.Fatalf("referrer: %v", err)
		}
	})
}

func TestConfigLabels(t *testing.T) {
	got := configLabels([]byte(`{"config":{"Labels":{"b":"2","a":"{\"x\":1}","":"no","long":"` + strings.Repeat("x", maxLabelValue+1) + `","nul":"\u0000"}}}`))
	if len(got) != 2 || got[0].Key != "a" || got[0].MediaType != "application/json" || got[1].Key != "b" || got[1].Value != "2" || got[1].MediaType != "" {
		t.Errorf("%+v", got)
	}
	if got := configLabels([]byte(`{"container_config":{"Labels":{"old":"1"}}}`)); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "[]", `{"config":{"Labels":{"a":1}}}`, strings.Repeat(`{"config":`, 1000), "\xff"} {
		if got := configLabels([]byte(bad)); got != nil {
			t.Errorf("%.20q: %+v", bad, got)
		}
	}
}

func FuzzConfigLabels(f *testing.F) {
	f.Add([]byte(`{"config":{"Labels":{"b":"2","a":"{\"x\":1}"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, l := range configLabels(b) {
			if l.Key == "" || len(l.Key) > maxLabelKey || len(l.Value) > maxLabelValue {
				t.Fatalf("%+v", l)
			}
		}
	})
}

func TestParseExpiry(t *testing.T) {
	for v, want := range map[string]time.Duration{
		"1s": time.Second, "2m": 2 * time.Minute, "3h": 3 * time.Hour, "4d": 96 * time.Hour, "5w": 35 * 24 * time.Hour, "1y": 365 * 24 * time.Hour,
		" 1H ": time.Hour, "": 0, "h": 0, "1": 0, "-1h": 0, "0d": 0, "1.5h": 0, "1h2m": 0, "1x": 0, "99999999999999999999y": 0,
		"2000000000y": 200 * 365 * 24 * time.Hour,
	} {
		if got := parseExpiry(v); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

func BenchmarkParseDocument(b *testing.B) {
	var layers []string
	for n := range 10 {
		layers = append(layers, descriptorText(layerType, n+2, ""))
	}
	body := []byte(`{"schemaVersion":2,"config":` + descriptorText(typeOCIConfig, 1, "") + `,"layers":[` + strings.Join(layers, ",") + `]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseDocument(typeOCIManifest, body); err != nil {
			b.Fatal(err)
		}
	}
}
