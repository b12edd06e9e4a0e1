package remote

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// hubHost is where Docker Hub's registry is.
const hubHost = "registry-1.docker.io"

// maxLink bounds a Link and a WWW-Authenticate header.
const maxLink = 8 << 10

func isHub(host string) bool {
	switch host {
	case "docker.io", "index.docker.io", "registry.hub.docker.com", hubHost:
		return true
	}
	return false
}

// checkHost checks a host with an optional port and lowers its case.
func checkHost(s string) (string, error) {
	bad := func() (string, error) {
		return "", &Error{Kind: Invalid, Text: fmt.Sprintf("%q is no registry's host: give a name or an address, with a port if it needs one, as in registry.example:5000", clean(s))}
	}
	if s == "" || len(s) > 260 {
		return bad()
	}
	s = strings.ToLower(s)
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return bad()
		}
		host = h
	} else if strings.Contains(s, ":") && !strings.HasPrefix(s, "[") {
		return bad()
	}
	if strings.HasPrefix(s, "[") {
		if host == s { // no port
			if !strings.HasSuffix(s, "]") {
				return bad()
			}
			host = s[1 : len(s)-1]
		}
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() || a.Zone() != "" {
			return bad()
		}
		return s, nil
	}
	if host == "" || len(host) > 253 {
		return bad()
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return bad()
		}
	}
	return s, nil
}

// checkName checks the path of a repository in another registry, which may
// have a single part.
func checkName(s string) error {
	if s == "" || len(s) > 255 {
		return &Error{Kind: Invalid, Text: "a repository's name has 1 to 255 characters"}
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || part == "." || part == ".." {
			return &Error{Kind: Invalid, Text: fmt.Sprintf("%q is no repository's name: lower-case letters, digits, '.', '_' and '-', with '/' between the parts", clean(s))}
		}
	}
	return nil
}

// A Place is a registry, and perhaps a path in it and a tag or a digest.
type Place struct {
	Host string           // "docker.io" where none was named
	Name string           // a repository, or the beginning of its path; or ""
	Ref  gantry.Reference // zero if none was named
}

// String writes a Place as Parse reads it.
func (p Place) String() string {
	s := p.Host
	if p.Name != "" {
		s += "/" + p.Name
	}
	switch {
	case p.Ref.Digest != "":
		s += "@" + string(p.Ref.Digest)
	case p.Ref.Tag != "":
		s += ":" + p.Ref.Tag
	}
	return s
}

// ParsePlace reads "host[:port][/path]", as a proxy cache's upstream is named:
// the first part is always a host.
func ParsePlace(s string) (Place, error) {
	if err := noScheme(s); err != nil {
		return Place{}, err
	}
	h, name, some := strings.Cut(strings.TrimSuffix(s, "/"), "/")
	h, err := checkHost(h)
	if err != nil {
		return Place{}, err
	}
	if some {
		if err := checkName(name); err != nil {
			return Place{}, err
		}
	}
	return Place{Host: h, Name: name}, nil
}

// ParseReference reads "[host[:port]/]name[:tag][@digest]", as docker pull
// takes it. A first part without '.', ':' and other than "localhost" is not a
// host but of Docker Hub. With a digest, a tag is dropped.
func ParseReference(s string) (Place, error) {
	if err := noScheme(s); err != nil {
		return Place{}, err
	}
	p := Place{Host: "docker.io"}
	if first, rest, ok := strings.Cut(s, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		h, err := checkHost(first)
		if err != nil {
			return Place{}, err
		}
		p.Host, s = h, rest
	}
	name, digest, some := strings.Cut(s, "@")
	if some {
		d, err := gantry.ParseDigest(digest)
		if err != nil {
			return Place{}, &Error{Kind: Invalid, Text: fmt.Sprintf("%q is no digest", clean(digest))}
		}
		p.Ref.Digest = d
	}
	if n, tag, ok := strings.Cut(name, ":"); ok {
		if gantry.CheckTag(tag) != nil {
			return Place{}, &Error{Kind: Invalid, Text: fmt.Sprintf("%q is no tag", clean(tag))}
		}
		name = n
		if !some {
			p.Ref.Tag = tag
		}
	}
	p.Name = name
	return p, checkName(name)
}

func noScheme(s string) error {
	if strings.Contains(s, "://") {
		return &Error{Kind: Invalid, Text: fmt.Sprintf("%q must be without a scheme: not https://…", clean(strings.SplitN(s, "://", 2)[1]))}
	}
	return nil
}

// nextLink finds the target of rel="next" in Link headers; "" if there is
// none.
func nextLink(headers []string) string {
	for _, h := range headers {
		for len(h) > 0 {
			open := strings.IndexByte(h, '<')
			if open < 0 {
				break
			}
			end := strings.IndexByte(h[open:], '>')
			if end < 0 {
				break
			}
			target := h[open+1 : open+end]
			h = h[open+end+1:]
			params := h
			if i := strings.IndexByte(h, '<'); i >= 0 {
				params = h[:i]
			}
			for p := range strings.FieldsFuncSeq(params, func(c rune) bool { return c == ';' || c == ',' }) {
				k, v, _ := strings.Cut(p, "=")
				if strings.EqualFold(strings.TrimSpace(k), "rel") && strings.EqualFold(strings.Trim(strings.TrimSpace(v), `"`), "next") {
					return target
				}
			}
		}
	}
	return ""
}
