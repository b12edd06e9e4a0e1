package api

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The contract is an OpenAPI 3.1 document that is kept by hand, a file for
// each group of routes: base.yaml is the document, and what the others have
// below paths and schemas belongs to it. Tests hold every request and answer
// of theirs to it, and it to the routes.
//
//go:embed contract/*.yaml
var contractFiles embed.FS

// assemble makes one document of the files in contract/, with whom the server
// admits to its routes.
func assemble(files fs.FS, routes []route) (map[string]any, error) {
	names, err := fs.Glob(files, "contract/*.yaml")
	if err != nil {
		return nil, err
	}
	read := func(name string) (m map[string]any, err error) {
		b, err := fs.ReadFile(files, name)
		if err == nil {
			err = yaml.Unmarshal(b, &m)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return m, nil
	}
	const base = "contract/base.yaml"
	doc, err := read(base)
	if err != nil {
		return nil, err
	}
	components, _ := doc["components"].(map[string]any)
	schemas, ok := components["schemas"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no components.schemas", base)
	}
	paths := map[string]any{}
	doc["paths"] = paths
	for _, name := range names {
		if name == base {
			continue
		}
		part, err := read(name)
		if err != nil {
			return nil, err
		}
		for section, into := range map[string]map[string]any{"paths": paths, "schemas": schemas} {
			more, _ := part[section].(map[string]any)
			for k, v := range more {
				if _, twice := into[k]; twice {
					return nil, fmt.Errorf("%s: %s of %s stands elsewhere, too", name, k, section)
				}
				into[k] = v
			}
			delete(part, section)
		}
		if len(part) > 0 {
			return nil, fmt.Errorf("%s: only paths and schemas belong there", name)
		}
	}
	secure(paths, routes)
	return doc, nil
}

// secure writes down whom the server admits to each operation.
func secure(paths map[string]any, routes []route) {
	for i := range routes {
		rt := &routes[i]
		item, _ := paths["/"+rt.path].(map[string]any)
		op, ok := item[strings.ToLower(rt.method)].(map[string]any)
		if !ok {
			continue // a test finds it
		}
		if rt.access == known {
			op["security"] = []any{map[string]any{"token": []any{}}, map[string]any{"session": []any{}}}
		} else if scope := rt.needs(); scope != "" {
			op["security"] = []any{map[string]any{"token": []any{scope}}, map[string]any{"session": []any{}}}
		} else {
			op["security"] = []any{}
		}
		if rt.fresh {
			op["x-fresh-login"] = true
		}
		if rt.deprecated {
			op["deprecated"] = true
		}
		if internalRoutes[rt.method+" "+rt.path] {
			op["x-internal"] = true
		}
	}
}

// needs is the scope that an OAuth token must have for the route; "" = none.
func (rt *route) needs() string {
	if rt.access == signedIn {
		return rt.scope
	}
	return scopes[rt.access]
}

// getContract is GET openapi.json.
func (s *server) getContract(c *call) error {
	b, err := s.contract()
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(b) // the client is gone: nobody to tell
	return nil
}
