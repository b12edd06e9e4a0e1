package content

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Media types of manifests and image configurations.
const (
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	typeOCIConfig      = "application/vnd.oci.image.config.v1+json"
	typeOCIArtifact    = "application/vnd.oci.artifact.manifest.v1+json" // of a draft that cosign and oras once used
	typeSchema1        = "application/vnd.docker.distribution.manifest.v1+json"
	typeSchema1Signed  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

const (
	// maxNesting bounds how deep a manifest is nested.
	maxNesting = 64
	// maxDescriptors bounds the layers, blobs or children of a manifest.
	maxDescriptors = 100_000
	// maxMediaType is what RFC 6838 allows a type and a subtype, and what a
	// column holds.
	maxMediaType = 255
)

// A descriptor is what we need of one (OCI image specification, "Descriptor").
type descriptor struct {
	MediaType    string
	Digest       gantry.Digest
	Size         int64
	ArtifactType string
	Annotations  []byte // JSON as it stands in the body, nil = none; few need it
}

// A document is what a manifest's body says.
type document struct {
	// MediaType is the Content-Type, or else the body's own, or what its
	// members tell.
	MediaType    string
	ArtifactType string // as the referrers' index has it: artifactType, or the type of the configuration
	ConfigType   string
	Subject      gantry.Digest
	Blobs        []gantry.Digest // that the repository must hold, each once, in their order
	Children     []gantry.Digest // manifests of an index, each once, in their order
	LayersSize   int64           // sum of the sizes of the layers
	Config       *descriptor     // nil if there is none
	Annotations  map[string]string
	Index        bool
}

func badManifest(format string, args ...any) error {
	return gantry.Errorf(gantry.Invalid, "manifest", "manifest invalid: "+format, args...)
}

func refusedType(detail string) error {
	return &gantry.Error{Code: gantry.Invalid, Object: "manifest", Reason: gantry.MediaTypeRefused, Detail: detail}
}

// parseDocument reads a manifest. mediaType is the Content-Type that came with
// it, or "". Errors: Invalid on "manifest", with MediaTypeRefused for a type
// that is none of a manifest.
//
// Names of members are compared exactly, and none that matters may be there
// twice: what we check is what every client will see.
func parseDocument(mediaType string, body []byte) (document, error) {
	mediaType = canonical(mediaType)
	if err := checkManifestType(mediaType); err != nil {
		return document{}, err
	}
	m, err := readMembers(body)
	if err != nil {
		return document{}, err
	}
	return m.document(mediaType)
}

func checkManifestType(t string) error {
	switch t {
	case "", typeOCIManifest, typeOCIIndex, typeDockerManifest, typeDockerList, typeOCIArtifact:
		return nil
	case typeSchema1, typeSchema1Signed:
		return refusedType("manifest schema version not supported: Docker schema 1 is obsolete; push schema 2 or OCI")
	}
	if !wellFormed(t) || !strings.HasSuffix(t, "+json") {
		return refusedType("manifest schema version not supported: " + printable(t) + " is not the media type of a manifest")
	}
	return nil
}

// canonical lowers the media types that have rules of their own; letters of
// both cases mean the same.
func canonical(t string) string {
	switch l := strings.ToLower(t); l {
	case typeOCIManifest, typeOCIIndex, typeDockerManifest, typeDockerList, typeOCIArtifact, typeSchema1, typeSchema1Signed:
		return l
	}
	return t
}

// wellFormed reports whether t is a media type without parameters.
func wellFormed(t string) bool {
	if len(t) > maxMediaType || !strings.Contains(t, "/") {
		return false
	}
	got, params, err := mime.ParseMediaType(t)
	return err == nil && len(params) == 0 && strings.EqualFold(got, t)
}

// printable quotes and shortens what a client sent.
func printable(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}

// members are the members of a manifest that we know.
type members struct {
	schemaVersion int64 // -1: none
	mediaType     string
	artifactType  string
	config        *descriptor
	layers        []descriptor
	blobs         []descriptor
	manifests     []descriptor
	subject       *descriptor
	annotations   map[string]string
	has           map[string]bool
}

// readMembers reads the body. It is linear in its size.
func readMembers(body []byte) (*members, error) {
	if !utf8.Valid(body) {
		return nil, badManifest("it is not UTF-8")
	}
	if depth(body) > maxNesting {
		return nil, badManifest("it is nested more than %d deep", maxNesting)
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		if at, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, badManifest("it is not JSON: %v at byte %d", at, at.Offset)
		}
		return nil, badManifest("it is not JSON")
	}
	m := &members{schemaVersion: -1, has: map[string]bool{}}
	r := &reader{b: body}
	err := r.object("", func(key string) (err error) {
		switch key {
		case "schemaVersion":
			m.schemaVersion, err = r.number(key)
		case "mediaType":
			m.mediaType, err = r.mediaType(key)
		case "artifactType":
			m.artifactType, err = r.mediaType(key)
		case "config":
			m.config, err = r.descriptor(key)
		case "subject":
			m.subject, err = r.descriptor(key)
		case "layers":
			m.layers, err = r.descriptors(key)
		case "blobs":
			m.blobs, err = r.descriptors(key)
		case "manifests":
			m.manifests, err = r.descriptors(key)
		case "annotations":
			m.annotations, err = r.texts(key)
		default:
			r.skip()
			return nil
		}
		if m.has[key] {
			return badManifest("the member %q is there twice", key)
		}
		m.has[key] = true
		return err
	})
	return m, err
}

// document makes a document of what was read.
func (m *members) document(mediaType string) (document, error) {
	switch {
	case mediaType == "":
		mediaType = canonical(m.mediaType)
		if err := checkManifestType(mediaType); err != nil {
			return document{}, err
		}
	case m.mediaType != "" && !strings.EqualFold(m.mediaType, mediaType):
		return document{}, badManifest("its mediaType is %s, but the Content-Type is %s; they must be the same", printable(m.mediaType), printable(mediaType))
	}
	if m.schemaVersion == 1 {
		return document{}, checkManifestType(typeSchema1)
	}
	// CVE-2021-41190: one document must not be an image to one client and an
	// index to another.
	if m.has["manifests"] && (m.has["config"] || m.has["layers"] || m.has["blobs"]) {
		return document{}, badManifest("it has manifests and also config, layers or blobs; it must be an index or an image, not both")
	}
	if mediaType == "" {
		switch {
		case m.has["manifests"]:
			mediaType = typeOCIIndex
		case m.has["config"], m.has["layers"]:
			mediaType = typeOCIManifest
		default:
			return document{}, badManifest("it has neither manifests nor config and layers, and no media type says what it is")
		}
	}
	if mediaType != typeOCIArtifact && m.schemaVersion != 2 {
		return document{}, badManifest("schemaVersion must be 2")
	}
	switch mediaType {
	case typeOCIManifest, typeDockerManifest:
		if m.has["manifests"] {
			return document{}, badManifest("an image manifest has no manifests; push it as an index")
		}
		if m.config == nil {
			return document{}, badManifest("config is missing")
		}
	case typeOCIIndex, typeDockerList:
		if m.has["config"] || m.has["layers"] {
			return document{}, badManifest("an index has no config and no layers; push it as an image manifest")
		}
		if !m.has["manifests"] {
			return document{}, badManifest("manifests is missing")
		}
	}
	d := document{MediaType: mediaType, ArtifactType: m.artifactType, Annotations: m.annotations, Config: m.config, Index: m.has["manifests"]}
	if m.subject != nil {
		d.Subject = m.subject.Digest
	}
	seen := make(map[gantry.Digest]struct{}, 1+len(m.layers)+len(m.blobs)+len(m.manifests))
	once := func(to *[]gantry.Digest, of gantry.Digest) {
		if _, ok := seen[of]; !ok {
			seen[of] = struct{}{}
			*to = append(*to, of)
		}
	}
	if m.config != nil {
		d.ConfigType = m.config.MediaType
		if d.ArtifactType == "" {
			d.ArtifactType = d.ConfigType
		}
		once(&d.Blobs, m.config.Digest)
	}
	for _, l := range append(m.layers, m.blobs...) {
		if d.LayersSize > math.MaxInt64-l.Size {
			return document{}, badManifest("the sizes of the layers add up to more than can be")
		}
		d.LayersSize += l.Size
		if !foreign(l) {
			once(&d.Blobs, l.Digest)
		}
	}
	for _, c := range m.manifests {
		once(&d.Children, c.Digest)
	}
	return d, nil
}

// foreign reports whether the bytes of a layer need not be here (OCI image
// specification, "Non-Distributable Layers"; Docker's foreign layers).
func foreign(d descriptor) bool {
	return strings.Contains(d.MediaType, ".foreign.") || strings.Contains(d.MediaType, ".nondistributable.")
}

func isImageConfig(mediaType string) bool {
	return mediaType == typeOCIConfig || mediaType == typeDockerConfig
}

// referrer returns the entry of the referrers' index for a stored manifest.
func referrer(mediaType string, d gantry.Digest, body []byte) (Descriptor, error) {
	m, err := readMembers(body)
	if err != nil {
		return Descriptor{}, err
	}
	out := Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body)), ArtifactType: m.artifactType, Annotations: m.annotations}
	if out.ArtifactType == "" && m.config != nil {
		out.ArtifactType = m.config.MediaType
	}
	return out, nil
}

// depth returns how deep the brackets of body nest, up to a little more than
// maxNesting.
func depth(body []byte) int {
	most, now, text := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if now++; now > most {
				most = now
				if most > maxNesting {
					return most
				}
			}
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}

// A reader reads JSON that is known to be well-formed.
type reader struct {
	b []byte
	i int
}

func (r *reader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// next is the first byte of the value that comes.
func (r *reader) next() byte {
	r.space()
	return r.b[r.i]
}

// object reads an object; member reads each value. where names it in errors.
func (r *reader) object(where string, member func(key string) error) error {
	if r.next() != '{' {
		if where == "" {
			return badManifest("it is not a JSON object")
		}
		return badManifest("%s is not an object", where)
	}
	r.i++
	for {
		switch r.next() {
		case '}':
			r.i++
			return nil
		case ',':
			r.i++
			r.space()
		}
		key := r.rawText()
		r.space()
		r.i++ // ":"
		if err := member(key); err != nil {
			return err
		}
	}
}

// array reads an array; element reads each value.
func (r *reader) array(where string, element func(n int) error) error {
	switch r.next() {
	case '[':
	case 'n': // null is what Go programs write for no elements
		r.skip()
		return nil
	default:
		return badManifest("%s is not an array", where)
	}
	r.i++
	for n := 0; ; n++ {
		switch r.next() {
		case ']':
			r.i++
			return nil
		case ',':
			r.i++
		}
		if err := element(n); err != nil {
			return err
		}
	}
}

// skip reads a value of any kind.
func (r *reader) skip() {
	switch r.next() {
	case '"':
		r.rawText()
		return
	case '{', '[':
	default:
		for r.i < len(r.b) && !strings.ContainsRune(",]} \t\r\n", rune(r.b[r.i])) {
			r.i++
		}
		return
	}
	for level := 0; ; {
		switch r.b[r.i] {
		case '"':
			r.rawText()
			continue
		case '{', '[':
			level++
		case '}', ']':
			level--
		}
		r.i++
		if level == 0 {
			return
		}
	}
}

// rawText reads a string.
func (r *reader) rawText() string {
	start := r.i
	plain := true
	for r.i++; r.b[r.i] != '"'; r.i++ {
		if r.b[r.i] == '\\' {
			plain = false
			r.i++
		}
	}
	r.i++
	if plain {
		return string(r.b[start+1 : r.i-1])
	}
	var s string
	if json.Unmarshal(r.b[start:r.i], &s) != nil {
		return ""
	}
	return s
}

func (r *reader) text(where string) (string, error) {
	if r.next() != '"' {
		return "", badManifest("%s is not a string", where)
	}
	return r.rawText(), nil
}

// mediaType reads a media type, which may be "".
func (r *reader) mediaType(where string) (string, error) {
	s, err := r.text(where)
	if err == nil && s != "" && !wellFormed(s) {
		err = badManifest("%s %s is not a media type (type/subtype)", where, printable(s))
	}
	return s, err
}

// number reads a whole number that is not negative.
func (r *reader) number(where string) (int64, error) {
	r.space()
	start := r.i
	r.skip()
	n, err := strconv.ParseUint(string(r.b[start:r.i]), 10, 63)
	if err != nil {
		return 0, badManifest("%s is not a whole number from 0 to %d", where, int64(math.MaxInt64))
	}
	return int64(n), nil
}

// texts reads an object of strings. Of two with one name the later counts, as
// everywhere.
func (r *reader) texts(where string) (map[string]string, error) {
	if r.next() == 'n' {
		r.skip()
		return nil, nil
	}
	all := map[string]string{}
	return all, r.object(where, func(key string) error {
		s, err := r.text(where + "[" + printable(key) + "]")
		all[key] = s
		return err
	})
}

func (r *reader) descriptors(where string) (all []descriptor, err error) {
	err = r.array(where, func(n int) error {
		if n == maxDescriptors {
			return gantry.Errorf(gantry.TooLarge, "manifest", "the manifest has more than %d %s", maxDescriptors, where)
		}
		d, err := r.descriptor(fmt.Sprintf("%s[%d]", where, n))
		if err == nil && d == nil {
			err = badManifest("%s[%d] is null", where, n)
		}
		if err != nil {
			return err
		}
		all = append(all, *d)
		return nil
	})
	return all, err
}

// descriptor reads a descriptor; nil for null.
func (r *reader) descriptor(where string) (*descriptor, error) {
	if r.next() == 'n' {
		r.skip()
		return nil, nil //nolint:nilnil // said above
	}
	var d descriptor
	var has uint8
	twice := func(bit uint8, key string) error {
		if has&bit != 0 {
			return badManifest("%s has %s twice", where, key)
		}
		has |= bit
		return nil
	}
	err := r.object(where, func(key string) (err error) {
		switch key {
		case "mediaType":
			if err = twice(1, key); err == nil {
				d.MediaType, err = r.mediaType(where + ".mediaType")
			}
		case "digest":
			var s string
			if err = twice(2, key); err == nil {
				s, err = r.text(where + ".digest")
			}
			if err != nil {
				return err
			}
			if d.Digest, err = gantry.ParseDigest(s); err != nil {
				return badManifest("%s.digest: %s", where, detailOf(err))
			}
			if string(d.Digest) != s {
				return badManifest("%s.digest %s must be in lower case", where, printable(s))
			}
		case "size":
			if err = twice(4, key); err == nil {
				d.Size, err = r.number(where + ".size")
			}
		case "artifactType":
			d.ArtifactType, err = r.mediaType(where + ".artifactType")
		case "annotations":
			r.space()
			start := r.i
			r.skip()
			d.Annotations = r.b[start:r.i:r.i]
		default:
			r.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if d.Digest == "" {
		return nil, badManifest("%s has no digest", where)
	}
	return &d, nil
}

func detailOf(err error) string {
	if e, ok := errors.AsType[*gantry.Error](err); ok {
		return e.Detail
	}
	return "malformed"
}
