package auth

import (
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// maxScopes bounds the repositories of one token.
const maxScopes = 64

// A Scope is what a client asks of one repository.
type Scope struct {
	Text             string // the name as the client wrote it
	Repo             gantry.RepoName
	Pull, Push, Star bool
}

// ParseScopes reads the scope parameters of a token request: each holds any
// number of type:name:action,action separated by blanks, where a repository's
// name may begin with this registry's host. Types and actions that are not
// known are ignored; catalog tells that registry:catalog:* was among them. A
// name that is no repository's is Invalid on "repository".
func ParseScopes(params []string, host string, rules gantry.NameRules) (list []Scope, catalog bool, err error) {
	for _, param := range params {
		for text := range strings.FieldsSeq(param) {
			kind, rest, ok := strings.Cut(text, ":")
			i := strings.LastIndexByte(rest, ':')
			if !ok || i < 0 {
				continue
			}
			name, actions := rest[:i], rest[i+1:]
			if kind == "registry" && name == "catalog" && actions == "*" {
				catalog = true
			}
			if kind != "repository" {
				continue
			}
			s := Scope{Text: name}
			path := name
			if first, tail, ok := strings.Cut(name, "/"); ok && host != "" && sameHost(first, host) {
				path = tail
			}
			if s.Repo, err = rules.ParseRepoName(path); err != nil {
				return nil, false, err
			}
			for a := range strings.SplitSeq(actions, ",") {
				s.Pull = s.Pull || a == "pull"
				s.Push = s.Push || a == "push"
				s.Star = s.Star || a == "*"
			}
			if len(list) == maxScopes {
				return nil, false, gantry.Errorf(gantry.Invalid, "scope", "a token may be for at most %d repositories", maxScopes)
			}
			list = append(list, s)
		}
	}
	return list, catalog, nil
}
