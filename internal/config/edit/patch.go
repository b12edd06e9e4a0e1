package edit

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/config"
)

// CAFolder is the folder of further certificate authorities.
const CAFolder = "extra_ca_certs/"

// MaxCerts bounds the certificates of a configuration.
const MaxCerts = 500

// A Patch is a change that is asked for.
type Patch struct {
	// Config is a JSON merge patch (RFC 7396) of what is written; nil takes a
	// field out, and *** anywhere keeps what is there.
	Config map[string]any `json:"config.yaml,omitempty"`
	// Certs are files in base64, by name; nil takes one out.
	Certs map[string]*string `json:"certs,omitempty"`
	// Manage says which components the operator is to make, or not.
	Manage map[string]bool `json:"manage,omitempty"`
}

// A Mistake is what is wrong with a Patch itself.
type Mistake struct {
	Field   string
	Message string
}

func (e *Mistake) Error() string { return e.Field + ": " + e.Message }

// Apply returns the files with a patch applied, and the names of the fields
// and files that are others then. The error is a *Mistake, and never holds a
// secret.
func Apply(files Files, p Patch) (Files, []string, error) {
	name := files.ConfigName()
	written, problems := config.ParseValues(name, files[name])
	if len(problems) > 0 {
		return nil, nil, &Mistake{Field: name, Message: "it cannot be read, so that no single field can be changed: " + problems[0].Message + "; roll back to an earlier revision, or mend the file by hand"}
	}
	set, err := fieldsOf(written, p.Config)
	if err != nil {
		return nil, nil, err
	}
	out := maps.Clone(files)
	if out == nil {
		out = Files{}
	}
	changed := slices.Sorted(maps.Keys(set))
	if len(set) > 0 {
		data, err := config.Rewrite(name, files[name], set)
		if err != nil {
			return nil, nil, &Mistake{Field: name, Message: err.Error()}
		}
		out[name] = data
	}
	for _, file := range slices.Sorted(maps.Keys(p.Certs)) {
		text := p.Certs[file]
		at, err := certName(files, file)
		if err != nil {
			return nil, nil, &Mistake{Field: file, Message: err.Error()}
		}
		if text == nil {
			if _, ok := out[at]; ok {
				delete(out, at)
				changed = append(changed, at)
			}
			continue
		}
		if *text == config.Masked {
			if _, ok := files[at]; !ok {
				return nil, nil, &Mistake{Field: file, Message: "is " + config.Masked + ", which keeps the present file, and there is none"}
			}
			continue
		}
		data, err := base64.StdEncoding.DecodeString(*text)
		if err != nil {
			return nil, nil, &Mistake{Field: file, Message: "is not base64"}
		}
		if !bytes.Equal(data, files[at]) {
			out[at] = data
			changed = append(changed, at)
		}
	}
	if n := len(certsOf(out)); n > MaxCerts {
		return nil, nil, &Mistake{Field: "certs", Message: fmt.Sprintf("there would be %d certificates, and at most %d are taken: put several into one file", n, MaxCerts)}
	}
	return out, changed, nil
}

// fieldsOf returns the fields that a merge patch changes, with their new
// values; nil = taken out.
func fieldsOf(written, patch map[string]any) (map[string]any, error) {
	set := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		v := patch[name]
		if name == "" || len(name) > 200 || strings.ContainsAny(name, "\n\r\x00") {
			return nil, &Mistake{Field: "config.yaml", Message: "a field's name is empty, too long or not one line"}
		}
		at := name
		if f, ok := config.Lookup(name); ok {
			for _, alias := range f.Aliases { // the right name takes the old one's place
				if x, ok := written[alias]; ok && f.Name == name && written[name] == nil {
					written = maps.Clone(written)
					written[name] = x
					set[alias] = nil
				}
			}
		}
		next, err := config.Unmask(map[string]any{at: merge(written[at], v)}, written)
		if err != nil {
			return nil, &Mistake{Field: name, Message: strings.TrimPrefix(err.Error(), name+" ")}
		}
		_, there := written[at]
		if config.Same(written[at], next[at]) && (there || next[at] == nil) {
			for _, alias := range aliases(name) {
				delete(set, alias)
			}
			continue
		}
		set[at] = next[at]
	}
	return set, nil
}

func aliases(name string) []string {
	f, _ := config.Lookup(name)
	return f.Aliases
}

// merge is the JSON merge patch of RFC 7396.
func merge(old, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	had, _ := old.(map[string]any)
	out := maps.Clone(had)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = merge(had[k], v)
	}
	return out
}

var certText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// certEndings are those of files that are certificates or their keys.
var certEndings = []string{".crt", ".cert", ".key", ".pem", ".cer"}

// IsCert reports whether a file of a folder is a certificate or a key.
func IsCert(name string) bool {
	return strings.HasPrefix(name, CAFolder) || strings.HasPrefix(name, "extra_ca_cert_") || !strings.Contains(name, "/") && slices.Contains(certEndings, path.Ext(name))
}

// certName is the file that a name of a request stands for: extra_ca_cert_X is
// extra_ca_certs/X unless there is a file of that name.
func certName(files Files, name string) (string, error) {
	if _, ok := files[name]; ok && IsCert(name) {
		return name, nil
	}
	if rest, ok := strings.CutPrefix(name, "extra_ca_cert_"); ok {
		name = CAFolder + rest
	}
	rest, isCA := strings.CutPrefix(name, CAFolder)
	if _, file := files["extra_ca_certs"]; file && isCA {
		return "", errors.New("cannot be put into extra_ca_certs, which is a file here: make it a folder")
	}
	if !certText.MatchString(rest) {
		return "", errors.New("is no name of a certificate: take letters, digits, '.', '_' and '-', beginning with a letter or digit, such as extra_ca_certs/ours.crt")
	}
	if !isCA && !slices.Contains(certEndings, path.Ext(name)) {
		return "", errors.New("is no name of a certificate: it ends in " + strings.Join(certEndings, ", ") + ", or stands in extra_ca_certs/")
	}
	return name, nil
}

// certsOf are the names of the certificates and keys, sorted.
func certsOf(files Files) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if IsCert(name) {
			names = append(names, name)
		}
	}
	return names
}

// Certs returns the certificates in base64, by name, and *** for what is a
// private key, or holds one.
func Certs(files Files) map[string]string {
	out := map[string]string{}
	for _, name := range certsOf(files) {
		if private(name, files[name]) {
			out[name] = config.Masked
		} else {
			out[name] = base64.StdEncoding.EncodeToString(files[name])
		}
	}
	return out
}

// private reports whether a file is a private key, or may be one.
func private(name string, data []byte) bool {
	if path.Ext(name) == ".key" || bytes.Contains(data, []byte("PRIVATE KEY")) {
		return true
	}
	block, _ := pem.Decode(data)
	return block == nil && !strings.HasPrefix(name, CAFolder) && path.Ext(name) == ".pem"
}

// A Change is one field or file that is another.
type Change struct {
	Field string `json:"field"`
	From  any    `json:"from"`
	To    any    `json:"to"`
	Live  bool   `json:"live"`
}

// Changes lists in what two configurations differ, without secrets: as
// written, or by default.
func Changes(before, after Files) []Change {
	list := []Change{}
	a, _ := config.ParseValues(before.ConfigName(), before[before.ConfigName()])
	b, _ := config.ParseValues(after.ConfigName(), after[after.ConfigName()])
	names := map[string]bool{}
	for _, m := range []map[string]any{a, b} {
		for name := range m {
			names[name] = true
		}
	}
	defaults := config.Defaults()
	value := func(m map[string]any, name string) any {
		if v := m[name]; v != nil {
			return config.MaskField(name, v)
		}
		return config.MaskField(name, defaults[name])
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if config.Same(a[name], b[name]) {
			continue
		}
		f, known := config.Lookup(name)
		list = append(list, Change{Field: name, From: value(a, name), To: value(b, name), Live: known && (f.Live || !f.Used)})
	}
	files := map[string]bool{}
	for _, m := range []Files{before, after} {
		for name := range m {
			files[name] = name != m.ConfigName()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] && !bytes.Equal(before[name], after[name]) {
			live := name == "ssl.cert" || name == "ssl.key" || strings.HasPrefix(name, CAFolder) || strings.HasPrefix(name, "extra_ca_cert_")
			list = append(list, Change{Field: name, From: fileText(before, name), To: fileText(after, name), Live: live})
		}
	}
	return list
}

// fileText stands for a file's content: what the certificates in it are for.
func fileText(files Files, name string) any {
	data, ok := files[name]
	if !ok {
		return nil
	}
	if private(name, data) {
		return config.Masked
	}
	if subjects := subjects(data); len(subjects) > 0 {
		return strings.Join(subjects, "; ")
	}
	return fmt.Sprintf("%d bytes", len(data))
}
