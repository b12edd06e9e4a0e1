package plan

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// Keys of a configuration bundle that are not passed on as files.
const (
	keyConfig    = "config.yaml"
	keyCert      = "ssl.cert"
	keyKey       = "ssl.key"
	keyClair     = "clair-config.yaml"
	keyClairCert = "clair-ssl.crt"
	keyClairKey  = "clair-ssl.key"
	prefixCA     = "extra_ca_cert_"
	// suffixFragment is that of the parts from which Quay's operator merges the
	// configuration; a user's would be merged too, unseen.
	suffixFragment = ".config.yaml"
)

// maxBundle bounds a bundle: what is made of it has to fit into one Secret, of
// at most 1 MiB, too.
const maxBundle = 960 << 10

// A Bundle is a configuration bundle: the Secret that configBundleSecret names.
type Bundle struct {
	// Config is config.yaml.
	Config map[string]any
	// Cert and Key are the user's certificate, in PEM; both or none.
	Cert, Key []byte
	// Clair is clair-config.yaml; nil = not there.
	Clair map[string]any
	// ClairFiles are Clair's certificate and key, by the names that they have in
	// its folder.
	ClairFiles map[string][]byte
	// CAs are the user's authorities, by name without prefix.
	CAs map[string][]byte
	// Files are all others, which go into the registry's folder as they are.
	Files map[string][]byte
}

// ReadBundle reads the data of a Secret. The error is a *Blocked that names the
// key and what to do.
func ReadBundle(data map[string][]byte) (*Bundle, error) {
	size := 0
	for name, value := range data {
		size += len(name) + len(value)
	}
	if size > maxBundle {
		return nil, invalid("the configuration bundle has %d KiB, and at most %d fit: take out certificates and files that are not needed, or leave large ones to volumes", size>>10, maxBundle>>10)
	}
	b := &Bundle{ClairFiles: map[string][]byte{}, CAs: map[string][]byte{}, Files: map[string][]byte{}}
	var err error
	for _, name := range slices.Sorted(maps.Keys(data)) {
		value := data[name]
		switch {
		case name == keyConfig:
			b.Config, err = readYAML(name, value)
		case name == keyClair:
			b.Clair, err = readYAML(name, value)
		case name == keyCert:
			b.Cert = value
		case name == keyKey:
			b.Key = value
		case name == keyClairCert, name == keyClairKey:
			b.ClairFiles[name] = value
		case strings.HasSuffix(name, suffixFragment):
			err = invalid("the configuration bundle has the key %q: names that end in %s are the operator's own; call it something else", name, suffixFragment)
		case strings.HasPrefix(name, prefixCA):
			if err = checkCA(name, value); err == nil {
				b.CAs[strings.TrimPrefix(name, prefixCA)] = value
			}
		default:
			b.Files[name] = value
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case b.Config == nil:
		return nil, invalid("the configuration bundle has no %s: a Secret that replaces another needs all of its keys, such as --from-file config.yaml=./config.yaml", keyConfig)
	case (len(b.Cert) > 0) != (len(b.Key) > 0):
		return nil, invalid("of ssl.cert and ssl.key the configuration bundle has only one: put both in, or none")
	}
	return b, nil
}

// HasCert reports whether the user brought a certificate.
func (b *Bundle) HasCert() bool { return len(b.Cert) > 0 && len(b.Key) > 0 }

// readYAML reads a mapping; an empty document is an empty one.
func readYAML(name string, text []byte) (map[string]any, error) {
	m := map[string]any{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		if len(bytes.TrimSpace(text)) == 0 {
			return m, nil
		}
		return nil, invalid("%s of the configuration bundle is no YAML: %s", name, short(err)) // the text may hold secrets; yaml's errors name lines
	}
	if doc.Kind == 0 || len(doc.Content) == 1 && doc.Content[0].Tag == "!!null" {
		return m, nil
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, invalid("%s of the configuration bundle is no mapping of fields, such as SERVER_HOSTNAME: registry.example.com", name)
	}
	asText(doc.Content[0].Content)
	if err := doc.Decode(&m); err != nil {
		return nil, invalid("%s of the configuration bundle cannot be read: %s", name, short(err))
	}
	return m, nil
}

// asText has keys that are written as numbers without quotes be the text that they
// are written as, as the registry reads them: a Quay's DATABASE_SECRET_KEY is a
// long number.
func asText(fields []*yaml.Node) {
	for i := 0; i+1 < len(fields); i += 2 {
		v := fields[i+1]
		switch fields[i].Value {
		case "SECRET_KEY", "DATABASE_SECRET_KEY", "PAGE_TOKEN_KEY":
			if v.Kind == yaml.ScalarNode && (v.Tag == "!!int" || v.Tag == "!!float") {
				v.Tag = "!!str"
			}
		}
	}
}

// short is the first line of an error without quoted text.
func short(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if i := strings.IndexByte(line, '`'); i >= 0 {
		line = strings.TrimRight(line[:i], " ")
	}
	return line
}

// checkCA checks a file of certificates of authorities.
func checkCA(name string, text []byte) error {
	n := 0
	for rest := text; ; {
		var p *pem.Block
		if p, rest = pem.Decode(rest); p == nil {
			break
		}
		if p.Type != "CERTIFICATE" {
			return invalid("%s of the configuration bundle holds a %s: only certificates of authorities belong there", name, strings.ToLower(p.Type))
		}
		if _, err := x509.ParseCertificate(p.Bytes); err != nil {
			return invalid("%s of the configuration bundle: certificate %d cannot be read: %v", name, n+1, err)
		}
		n++
	}
	if n == 0 {
		return invalid("%s of the configuration bundle holds no certificate in PEM", name)
	}
	return nil
}

// CheckCert checks that a pair of certificate and key belongs together and is
// for all of the hosts. The error is a *Blocked.
func CheckCert(cert, key []byte, hosts ...string) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return &Blocked{Reason: v1.ReasonComponentCreationFailed, Component: v1.ComponentTLS, Message: fmt.Sprintf("ssl.cert and ssl.key cannot be used: %v", err)}
	}
	leaf := pair.Leaf
	var missing []string
	for _, host := range hosts {
		if host == "" {
			continue
		}
		if err := leaf.VerifyHostname(host); err != nil {
			missing = append(missing, host)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	has := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		has = append(has, ip.String())
	}
	names := "its subject alternative names are " + strings.Join(has, ", ")
	if len(has) == 0 {
		names = "it has no subject alternative names; the common name alone does not count"
	}
	return &Blocked{Reason: v1.ReasonComponentCreationFailed, Component: v1.ComponentTLS,
		Message: fmt.Sprintf("ssl.cert is not for %s: %s; have a certificate made with %s among them", strings.Join(missing, " and "), names, strings.Join(missing, " and "))}
}

// A Blocked is why a registry cannot be rolled out as it is asked for.
type Blocked struct {
	Reason    v1.ConditionReason
	Component v1.ComponentKind // "" = none in particular
	Message   string           // for the condition
}

func (e *Blocked) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf(format, args...)}
}

// AsBlocked returns err as a *Blocked, if it is one.
func AsBlocked(err error) (*Blocked, bool) { return errors.AsType[*Blocked](err) }
