package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// discovery is the contract as Swagger 2.0, which clients of Quay read.
func (s *server) discovery(c *call) error {
	doc, err := s.swagger()
	if err != nil {
		return err
	}
	host, scheme := httpd.Host(c.r), httpd.Scheme(c.r)
	doc = maps.Clone(doc)
	if !c.truthy("internal", false) {
		doc["paths"] = publicPaths(doc)
	}
	doc["host"], doc["schemes"] = host, []string{scheme}
	doc["securityDefinitions"] = map[string]any{swaggerAuth: map[string]any{"type": "oauth2", "flow": "implicit",
		"authorizationUrl": scheme + "://" + host + "/oauth/authorize", "scopes": swaggerScopes}}
	return c.json(200, doc)
}

// publicPaths are the paths of a document without the operations that are for
// the registry's own pages.
func publicPaths(doc map[string]any) map[string]any {
	all, _ := doc["paths"].(map[string]any)
	out := map[string]any{}
	for path, v := range all {
		ops, _ := v.(map[string]any)
		kept := map[string]any{}
		for method, v := range ops {
			if op, ok := v.(map[string]any); !ok || op["x-internal"] != true {
				kept[method] = v
			}
		}
		if len(kept) > 0 {
			out[path] = kept
		}
	}
	return out
}

const swaggerAuth = "oauth2_implicit"

// swaggerScopes are the OAuth scopes with what they let a token do.
var swaggerScopes = map[string]string{
	"repo:read": "View all visible repositories", "repo:write": "Read and write any accessible repositories", "repo:admin": "Administer repositories",
	"repo:create": "Create repositories", "user:read": "Read user information", "user:admin": "Administer the user",
	"org:admin": "Administer organizations", "super:user": "Administer the registry",
}

// toSwagger makes Swagger 2.0 of an assembled contract, without host and
// security definitions. What Swagger cannot say, such as alternatives, is left
// out.
func toSwagger(doc map[string]any) map[string]any {
	components, _ := doc["components"].(map[string]any)
	shared, _ := components["parameters"].(map[string]any)
	answers, _ := components["responses"].(map[string]any)
	info, _ := doc["info"].(map[string]any)
	out := map[string]any{"swagger": "2.0", "basePath": "/", "consumes": []string{"application/json"}, "produces": []string{"application/json"},
		"info": map[string]any{"title": info["title"], "version": info["version"], "description": info["description"]}, "tags": doc["tags"]}
	definitions := map[string]any{}
	schemas, _ := components["schemas"].(map[string]any)
	for name, v := range schemas {
		definitions[name] = swaggerSchema(v)
	}
	out["definitions"] = definitions
	paths := map[string]any{}
	all, _ := doc["paths"].(map[string]any)
	for path, v := range all {
		item, _ := v.(map[string]any)
		ops := map[string]any{}
		for method, v := range item {
			if op, ok := v.(map[string]any); ok {
				common, _ := item["parameters"].([]any)
				own, _ := op["parameters"].([]any)
				ops[method] = swaggerOperation(op, swaggerParameters(shared, slices.Concat(common, own)), answers, all)
			}
		}
		paths["/api/v1"+path] = ops
	}
	out["paths"] = paths
	return out
}

func swaggerParameters(shared map[string]any, list []any) []any {
	out := []any{}
	for _, v := range list {
		p, _ := v.(map[string]any)
		if ref, ok := p["$ref"].(string); ok {
			p, _ = shared[ref[strings.LastIndexByte(ref, '/')+1:]].(map[string]any)
		}
		one := map[string]any{"name": p["name"], "in": p["in"], "type": "string"}
		for _, k := range []string{"required", "description"} {
			if v, ok := p[k]; ok {
				one[k] = v
			}
		}
		schema, _ := swaggerSchema(p["schema"]).(map[string]any)
		for _, k := range []string{"type", "enum", "minimum", "maximum", "default"} {
			if v, ok := schema[k]; ok {
				one[k] = v
			}
		}
		out = append(out, one)
	}
	return out
}

func swaggerOperation(op map[string]any, parameters []any, answers, paths map[string]any) map[string]any {
	out := map[string]any{}
	for _, k := range []string{"operationId", "summary", "description", "tags", "deprecated", "x-fresh-login", "x-internal"} {
		if v, ok := op[k]; ok {
			out[k] = v
		}
	}
	body, _ := op["requestBody"].(map[string]any)
	if ref, ok := body["$ref"].(string); ok { // of another operation
		body = follow(paths, ref)
	}
	if schema := jsonSchema(body); schema != nil {
		parameters = append(parameters, map[string]any{"name": "body", "in": "body", "required": body["required"] == true, "schema": swaggerSchema(schema)})
	}
	out["parameters"] = parameters
	responses := map[string]any{}
	given, _ := op["responses"].(map[string]any)
	for status, v := range given {
		r, _ := v.(map[string]any)
		if ref, ok := r["$ref"].(string); ok {
			r, _ = answers[ref[strings.LastIndexByte(ref, '/')+1:]].(map[string]any)
		}
		one := map[string]any{"description": r["description"]}
		if schema := jsonSchema(r); schema != nil {
			one["schema"] = swaggerSchema(schema)
		}
		responses[status] = one
	}
	out["responses"] = responses
	security := []any{}
	needs, _ := op["security"].([]any)
	for _, v := range needs {
		if m, _ := v.(map[string]any); m["token"] != nil {
			security = append(security, map[string]any{swaggerAuth: m["token"]})
		}
	}
	out["security"] = security
	return out
}

// follow finds the request body that a reference into paths names.
func follow(paths map[string]any, ref string) map[string]any {
	at := map[string]any{"paths": paths}
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at, _ = at[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)].(map[string]any)
	}
	return at
}

// jsonSchema is the schema of a body; nil = it has none.
func jsonSchema(body map[string]any) any {
	content, _ := body["content"].(map[string]any)
	media, _ := content["application/json"].(map[string]any)
	return media["schema"]
}

// swaggerSchema makes of a schema of OpenAPI 3.1 one of Swagger 2.0.
func swaggerSchema(v any) any {
	in, ok := v.(map[string]any)
	if !ok {
		return map[string]any{}
	}
	if ref, ok := in["$ref"].(string); ok {
		return map[string]any{"$ref": "#/definitions/" + ref[strings.LastIndexByte(ref, '/')+1:]}
	}
	out := map[string]any{}
	for k, v := range in {
		switch k {
		case "type":
			if list, ok := v.([]any); ok { // with null
				if i := slices.IndexFunc(list, func(t any) bool { return t != "null" }); i >= 0 {
					out["type"] = list[i]
				}
				out["x-nullable"] = true
				continue
			}
			out[k] = v
		case "const":
			out["enum"] = []any{v}
		case "examples":
			if list, ok := v.([]any); ok && len(list) > 0 {
				out["example"] = list[0]
			}
		case "properties":
			props, _ := v.(map[string]any)
			made := map[string]any{}
			for name, p := range props {
				made[name] = swaggerSchema(p)
			}
			out[k] = made
		case "items":
			out[k] = swaggerSchema(v)
		case "additionalProperties":
			if _, ok := v.(map[string]any); ok {
				v = swaggerSchema(v)
			}
			out[k] = v
		case "allOf":
			list, _ := v.([]any)
			made := []any{}
			for _, p := range list {
				made = append(made, swaggerSchema(p))
			}
			out[k] = made
		case "anyOf", "oneOf", "not", "if", "then", "else":
		default:
			out[k] = v
		}
	}
	return out
}
