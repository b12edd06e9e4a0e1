package gantry

import "strings"

// Limits of names, in bytes.
const (
	MinNamespace = 2
	MaxNamespace = 255
	MaxRepoName  = 255
	MaxTag       = 128
)

// A RepoName names a repository: the namespace (a user or an organization)
// and the name in it, which may hold slashes ("nested" names).
type RepoName struct {
	Namespace string
	Name      string
}

// String returns "namespace/name".
func (n RepoName) String() string { return n.Namespace + "/" + n.Name }

// NameRules are the switches that change which repository paths are taken.
// The zero value takes flat names with an explicit namespace only.
type NameRules struct {
	Nested  bool   // FEATURE_EXTENDED_REPOSITORY_NAMES
	Library string // namespace of single-segment names; "" = they are refused (FEATURE_LIBRARY_SUPPORT)
}

// ParseRepoName splits a /v2 repository path. The error is Invalid on
// "repository" and says what is wrong. See registry-protocol.md §1.
func (r NameRules) ParseRepoName(path string) (RepoName, error) {
	ns, name, found := strings.Cut(path, "/")
	if !found {
		if r.Library == "" {
			return RepoName{}, Errorf(Invalid, "repository", "repository name %s has no namespace: a namespace must be given, as in namespace/name", quote(path))
		}
		ns, name = r.Library, path
	}
	if err := CheckNamespace(ns); err != nil {
		return RepoName{}, err
	}
	if err := r.CheckRepoName(name); err != nil {
		return RepoName{}, err
	}
	return RepoName{ns, name}, nil
}

// CheckNamespace checks the syntax of a namespace (the name of a user or an
// organization): runs of a-z and 0-9 joined by single '.', '_' or '-', 2 to
// 255 bytes. The error is Invalid on "repository".
func CheckNamespace(ns string) error {
	if len(ns) < MinNamespace || len(ns) > MaxNamespace {
		return Errorf(Invalid, "repository", "namespace %s must be %d to %d characters long", quote(ns), MinNamespace, MaxNamespace)
	}
	sep := true // a separator may not come first, last or twice
	for i := range len(ns) {
		switch c := ns[i]; {
		case alnum(c):
			sep = false
		case (c == '.' || c == '_' || c == '-') && !sep:
			sep = true
		default:
			return badNamespace(ns)
		}
	}
	if sep {
		return badNamespace(ns)
	}
	return nil
}

func badNamespace(ns string) error {
	return Errorf(Invalid, "repository", "namespace %s must be lower-case letters and digits, with single '.', '_' or '-' between them", quote(ns))
}

// CheckRepoName checks the part of a repository's name after its namespace.
func (r NameRules) CheckRepoName(name string) error {
	if name == "" || len(name) > MaxRepoName {
		return Errorf(Invalid, "repository", "a repository name must be 1 to %d characters long", MaxRepoName)
	}
	start := true
	for i := range len(name) {
		switch c := name[i]; {
		case c == '/' && !start:
			if !r.Nested {
				return Errorf(Invalid, "repository", "repository name %s has more than one part after the namespace; nested names are switched off (FEATURE_EXTENDED_REPOSITORY_NAMES)", quote(name))
			}
			start = true
		case alnum(c), (c == '.' || c == '_' || c == '-') && !start:
			start = false
		default:
			return Errorf(Invalid, "repository", "repository name %s: each part must start with a lower-case letter or digit, followed by those, '.', '_' or '-'", quote(name))
		}
	}
	if start {
		return Errorf(Invalid, "repository", "repository name %s must not end with '/'", quote(name))
	}
	return nil
}

// CheckTag checks the syntax of a tag: [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}.
// The error is Invalid on "tag".
func CheckTag(tag string) error {
	ok := tag != "" && len(tag) <= MaxTag && tag[0] != '.' && tag[0] != '-'
	for i := 0; ok && i < len(tag); i++ {
		c := tag[i]
		ok = alnum(c) || c >= 'A' && c <= 'Z' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return Errorf(Invalid, "tag", "tag %s must be 1 to %d letters, digits, '_', '.' or '-', and not start with '.' or '-'", quote(tag), MaxTag)
	}
	return nil
}

func alnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// A Reference is a tag or a digest: exactly one of them is set.
type Reference struct {
	Tag    string
	Digest Digest
}

// ParseReference reads the last part of a manifest URL. A text with ':' is a
// digest. The error is Invalid, on "digest" or "tag".
func ParseReference(s string) (Reference, error) {
	if strings.Contains(s, ":") {
		d, err := ParseDigest(s)
		return Reference{Digest: d}, err
	}
	return Reference{Tag: s}, CheckTag(s)
}

// String returns the tag or the digest.
func (r Reference) String() string {
	if r.Digest != "" {
		return string(r.Digest)
	}
	return r.Tag
}
