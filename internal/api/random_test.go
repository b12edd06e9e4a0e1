package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
)

// hostile are values that no field wants, or that some fields want and others
// must not choke on.
var hostile = []any{nil, true, false, 0, -1, 1, 0.5, 1e308, -1e308, int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt64) / 1000, 253402300800,
	"", " ", "\u0000", "a\u0000b", strings.Repeat("x", 70_000), strings.Repeat("ä", 130), "\u202e\U0001f4a5", "../../etc/passwd", "' OR 1=1 --", "%00", "%2e%2e%2f", "+", "acme+ci",
	"acme", "reader", "staff", "owner", "$oauthtoken", "-", "1", "9999999999999999999999", "NaN", "2099-01-01", "sha256:" + strings.Repeat("0", 64), "http://127.0.0.1:1/", "(((((", "a@b",
	[]any{}, map[string]any{}, []any{[]any{[]any{nil}}}, map[string]any{"": map[string]any{"": nil}}}

// randomValue makes a value for a schema: mostly one that it allows, sometimes
// another.
func randomValue(rnd *rand.Rand, ref *openapi3.SchemaRef, depth int) any {
	if ref == nil || ref.Value == nil || depth > 6 || rnd.IntN(6) == 0 {
		return hostile[rnd.IntN(len(hostile))]
	}
	schema := ref.Value
	for _, choices := range []openapi3.SchemaRefs{schema.OneOf, schema.AnyOf} {
		if len(choices) > 0 {
			return randomValue(rnd, choices[rnd.IntN(len(choices))], depth+1)
		}
	}
	if len(schema.Enum) > 0 {
		return schema.Enum[rnd.IntN(len(schema.Enum))]
	}
	kind := ""
	if types := schema.Type.Slice(); len(types) > 0 {
		kind = types[rnd.IntN(len(types))]
	}
	switch kind {
	case "object":
		m := map[string]any{}
		for name, property := range schema.Properties {
			if slices.Contains(schema.Required, name) && rnd.IntN(8) > 0 || rnd.IntN(2) == 0 {
				m[name] = randomValue(rnd, property, depth+1)
			}
		}
		if rnd.IntN(4) == 0 {
			m["unheard_of"] = hostile[rnd.IntN(len(hostile))]
		}
		return m
	case "array":
		list := []any{}
		for range rnd.IntN(4) {
			list = append(list, randomValue(rnd, schema.Items, depth+1))
		}
		return list
	case "integer":
		return rnd.IntN(200) - 20
	case "number":
		return rnd.NormFloat64()
	case "boolean":
		return rnd.IntN(2) == 0
	case "string":
		words := []string{"reader", "owner", "staff", "makers", "app", "acme", "new", "v1", "v2", "read", "admin", "some text", "x@example.com", "https://example.com/", "acme+ci"}
		return words[rnd.IntN(len(words))]
	}
	return hostile[rnd.IntN(len(hostile))]
}

// TestRandomRequests sends what the contract describes, with wrong values among
// right ones, to every route, as somebody who may do everything: no answer is
// an internal error, each is in the contract, and nothing is taken that the
// contract refuses. GANTRY_RANDOM is how many requests each route gets.
func TestRandomRequests(t *testing.T) {
	doc, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	times, seed := 8, rand.Uint64()
	if n := os.Getenv("GANTRY_RANDOM"); n != "" {
		if times, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := newStage(t)
	who := s.who[slices.IndexFunc(s.who, func(x actorKind) bool { return x.name == "full" })]
	who.change(&s.settings)
	s.open()
	defer func() { s.end() }()
	for _, rt := range routes {
		op := doc.Paths.Value("/" + rt.path).GetOperation(rt.method)
		var body *openapi3.SchemaRef
		if op.RequestBody != nil {
			if content := op.RequestBody.Value.Content.Get("application/json"); content != nil {
				body = content.Schema
			}
		}
		params := slices.Concat(doc.Paths.Value("/"+rt.path).Parameters, op.Parameters)
		for range times {
			path := s.fill(rt.method+" "+rt.path, rt.path)
			if rnd.IntN(5) == 0 { // something else in the place of a name
				path = s.fill(rt.method+" "+rt.path, braces.ReplaceAllStringFunc(rt.path, func(x string) string {
					if v, ok := hostile[rnd.IntN(len(hostile))].(string); ok && rnd.IntN(2) == 0 && len(v) < 1000 && v != "" && !strings.ContainsAny(v, "{}") {
						return url.PathEscape(v)
					}
					return x
				}))
			}
			query := url.Values{}
			for _, p := range params {
				if p.Value.In != "query" || rnd.IntN(2) == 0 {
					continue
				}
				v := randomValue(rnd, p.Value.Schema, 0)
				if p.Value.Schema.Value.Type.Is("boolean") {
					v = rnd.IntN(2) == 0 // any other word is "true", as Quay has it
				}
				if v != nil && v != "" {
					text := fmt.Sprint(v)
					query.Set(p.Value.Name, text[:min(len(text), 2000)])
				}
			}
			sent := ""
			if body != nil {
				b, err := json.Marshal(randomValue(rnd, body, 0))
				if err != nil {
					t.Fatal(err)
				}
				sent = string(b)
			}
			if len(query) > 0 {
				path += "?" + query.Encode()
			}
			status, answer := s.ask(rt.method, path, who.header, sent)
			if status >= 500 && !meant(status, answer) {
				t.Errorf("%s %s %.1000s: %d %s", rt.method, path, sent, status, answer)
			}
			if rt.method != http.MethodGet && status < 300 {
				s.end()
				s.open()
			}
		}
	}
}

// TestOtherCase sends the bodies of testdata/access.txt with fields in another
// case: they are fields that nobody knows, and so are none.
func TestOtherCase(t *testing.T) {
	s := newStage(t)
	who := s.who[slices.IndexFunc(s.who, func(x actorKind) bool { return x.name == "full" })]
	who.change(&s.settings)
	s.open()
	defer func() { s.end() }()
	tried := 0
	rows := readAccess(t)
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		row := rows[key]
		var fields map[string]any
		if row.body == "" || json.Unmarshal([]byte(s.fill(key, row.body)), &fields) != nil {
			continue
		}
		tried++
		other := map[string]any{}
		for name, v := range fields {
			other[string(unicode.ToUpper(rune(name[0])))+name[1:]] = v
		}
		b, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		path := s.fill(key, row.path)
		var status [2]int
		for i, body := range []string{"{}", string(b)} {
			status[i], _ = s.ask(row.method, path, who.header, body)
			s.end() // passwords were tried, or something has changed
			s.open()
		}
		if status[0] != status[1] {
			t.Errorf("%s: {} is answered %d, and %s %d", key, status[0], b, status[1])
		}
	}
	if tried < 30 {
		t.Errorf("only %d bodies", tried)
	}
}

// FuzzRequest sends any path, query and body to any route: there is no internal
// error.
func FuzzRequest(f *testing.F) {
	s := newStage(f)
	s.unchecked = true
	who := s.who[slices.IndexFunc(s.who, func(x actorKind) bool { return x.name == "full" })]
	who.change(&s.settings)
	for _, row := range readAccess(f) {
		f.Add(row.method, s.fill(row.key(), row.path), s.fill(row.key(), row.query), s.fill(row.key(), row.body))
	}
	s.open()
	f.Cleanup(func() { s.end() })
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if !slices.Contains([]string{"GET", "POST", "PUT", "DELETE"}, method) {
			return
		}
		s.t = t
		u := url.URL{Path: path, RawQuery: query}
		at, err := url.ParseRequestURI("http://registry.example.com/api/v1/" + u.String())
		if err != nil {
			return
		}
		status, answer := s.ask(method, strings.TrimPrefix(at.RequestURI(), "/api/v1/"), who.header, body)
		if status >= 500 && !meant(status, answer) {
			t.Errorf("%s %s?%s %s: %d %s", method, path, query, body, status, answer)
		}
		if method != http.MethodGet && status < 300 {
			s.end()
			s.open()
		}
	})
}

// meant reports whether a 5xx is the answer that a route is meant to give in
// this world: a message's route while the registry is read-only, the health of
// mirrors that no worker is there for, and questions to other registries, which
// nobody is plugged in for.
func meant(status int, answer string) bool {
	return strings.Contains(answer, `"read_only"`) ||
		status == http.StatusServiceUnavailable && (strings.HasPrefix(answer, `{"healthy":false,`) || strings.Contains(answer, "this instance asks no other registries"))
}
