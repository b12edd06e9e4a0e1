package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

var loadContract = sync.OnceValues(func() (*openapi3.T, error) {
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	b, err := New(Options{}).(*server).contract()
	if err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromData(b)
})

// conforming are answers that were held to the contract: operation, status,
// type and the hash of the body.
var conforming sync.Map

// checked holds every call of a test to the contract: what is sent to a
// documented operation and does not conform to it is refused, and every answer
// conforms.
func checked(t testing.TB, api http.Handler) http.Handler {
	doc, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	s := api.(*server)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _ := strings.CutPrefix(r.URL.Path, "/api/v1/")
		rt, params, _ := s.find(r.Method, path)
		if rt == nil || r.Method == http.MethodHead || !strings.HasPrefix(r.URL.Path, "/api/v1/") {
			api.ServeHTTP(w, r)
			return
		}
		item := doc.Paths.Value("/" + rt.path)
		if item == nil || item.GetOperation(rt.method) == nil {
			t.Errorf("%s /%s is not in the contract", rt.method, rt.path)
			api.ServeHTTP(w, r)
			return
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, r)
		answer := rec.Body.Bytes()

		ctx := r.Context()
		asked := r.Clone(ctx)
		asked.Body = io.NopCloser(bytes.NewReader(sent))
		if len(sent) > 0 {
			asked.Header.Set("Content-Type", "application/json") // whatever was said: only JSON is read
		}
		in := &openapi3filter.RequestValidationInput{Request: asked, PathParams: params,
			Route:   &routers.Route{Spec: doc, Path: "/" + rt.path, PathItem: item, Method: rt.method, Operation: item.GetOperation(rt.method)},
			Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		err = openapi3filter.ValidateRequest(ctx, in)
		if err != nil && rec.Code < 400 { // null is as if it was not sent
			in.Request = asked.Clone(ctx)
			in.Request.Body, in.Request.GetBody = io.NopCloser(bytes.NewReader(withoutNulls(sent))), nil
			err = openapi3filter.ValidateRequest(ctx, in)
		}
		if err != nil && rec.Code < 400 {
			t.Errorf("%s %s with %.300s is answered %d, and is not in the contract: %v", r.Method, r.URL, sent, rec.Code, err)
		}
		// Most answers of a test are refusals that say the same.
		same := fmt.Sprintf("%s %s %d %q %x", rt.method, rt.path, rec.Code, rec.Header()["Content-Type"], sha256.Sum256(answer))
		if _, known := conforming.Load(same); !known {
			out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: rec.Code, Header: rec.Header(), Options: in.Options}
			if err := openapi3filter.ValidateResponse(ctx, out.SetBodyBytes(answer)); err != nil {
				t.Errorf("%s %s: the answer %d %.500s is not in the contract: %v", r.Method, r.URL, rec.Code, answer, err)
			} else {
				conforming.Store(same, nil)
			}
		}
		if rec.Code == http.StatusNoContent && len(answer) > 0 {
			t.Errorf("%s %s: 204 with a body", r.Method, r.URL)
		}
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(answer)
	})
}

// withoutNulls leaves out the fields of an object that are null.
func withoutNulls(b []byte) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil || fields == nil {
		return b
	}
	maps.DeleteFunc(fields, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	if out, err := json.Marshal(fields); err == nil {
		return out
	}
	return b
}

// TestContract: the document is valid OpenAPI, it has the routes of the server
// and no others, and operations are told apart by their ids.
func TestContract(t *testing.T) {
	doc, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	want := map[string]bool{}
	for _, rt := range routes {
		want[rt.method+" /"+rt.path] = true
	}
	ids := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			at := method + " " + path
			if !want[at] {
				t.Errorf("the contract has %s, and the server has not", at)
			}
			delete(want, at)
			if other, twice := ids[op.OperationID]; twice || op.OperationID == "" {
				t.Errorf("%s has the operationId %q, as %q", at, op.OperationID, other)
			}
			ids[op.OperationID] = at
			if op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s has no summary, or not one tag", at)
			} else if doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s has the unknown tag %s", at, op.Tags[0])
			}
			if op.Security == nil {
				t.Errorf("%s does not say who may call it", at)
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(want)) {
		t.Errorf("the server has %s, and the contract has not", at)
	}
}

// TestContractIsServed also follows the examples of who may call.
func TestContractIsServed(t *testing.T) {
	w := newWorld(t)
	status, body, h := w.call("GET", "/api/v1/openapi.json", "", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage // an operation, or the parameters of all
	}
	type operation struct {
		Security []map[string][]string
		Fresh    bool `json:"x-fresh-login"`
	}
	find := func(path, method string) (op operation) {
		if err := json.Unmarshal(doc.Paths[path][method], &op); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		return op
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 || h.Get("Content-Type") != "application/json" || doc.OpenAPI != "3.1.0" {
		t.Fatal(status, h, err)
	}
	del := find("/organization/{org}", "delete")
	if len(del.Security) != 2 || !slices.Equal(del.Security[0]["token"], []string{"org:admin"}) || !del.Fresh {
		t.Errorf("DELETE /organization/{org}: %+v", del)
	}
	if in := find("/signin", "post"); in.Security == nil || len(in.Security) != 0 {
		t.Errorf("POST /signin: %+v", in)
	}
}

// TestPage: every operation stands on the page, with its body, and no reference
// is left unresolved.
func TestPage(t *testing.T) {
	w := newWorld(t)
	status, body, h := w.call("GET", "/api/v1/docs", "", "", "User-Agent", "Mozilla/5.0")
	if status != 200 || h.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatal(status, h)
	}
	for _, rt := range routes {
		if !strings.Contains(body, "<span class=\"method\">"+rt.method+"</span> <code>/"+rt.path+"</code>") {
			t.Errorf("%s /%s is not on the page", rt.method, rt.path)
		}
	}
	for _, want := range []string{
		"&#34;username&#34;: string  (required)",
		"&#34;role&#34;: &#34;read&#34; | &#34;write&#34; | &#34;admin&#34;  (required)",
		"A session, or a token with the scope <code>org:admin</code>. A session must have signed in",
		"&#34;email&#34;: string | null",
		`curl -X PUT -H &#34;Authorization: Bearer $TOKEN&#34; -H &#34;Content-Type: application/json&#34; -d @body.json &#34;$REGISTRY/api/v1/user/robots/ci&#34;`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, no := range []string{"$ref", "<script", ": any", "map["} {
		if i := strings.Index(body, no); i >= 0 {
			t.Errorf("the page has %q: %s", no, body[max(0, i-200):i+50])
		}
	}
}

func TestAssemble(t *testing.T) {
	const base = "components: {schemas: {A: {type: string}}}\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no base":      {map[string]string{"a": "paths: {}"}, "base.yaml"},
		"no schemas":   {map[string]string{"base": "openapi: 3.1.0"}, "no components.schemas"},
		"no YAML":      {map[string]string{"base": base, "a": "\t:"}, "a.yaml"},
		"a path twice": {map[string]string{"base": base, "a": "paths: {/x: {}}", "b": "paths: {/x: {}}"}, "/x"},
		"a schema too": {map[string]string{"base": base, "a": "schemas: {A: {}}"}, "A of schemas"},
		"other things": {map[string]string{"base": base, "a": "info: {}"}, "only paths and schemas"},
		"good":         {map[string]string{"base": base, "a": "paths: {/x: {}}\nschemas: {B: {}}"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for k, v := range tt.files {
				files["contract/"+k+".yaml"] = &fstest.MapFile{Data: []byte(v)}
			}
			_, err := assemble(files, nil)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestFind: the longer pattern is taken, whatever the order of the groups.
func TestFind(t *testing.T) {
	s := &server{routes: routes}
	for path, want := range map[string]string{
		"repository/a/b":                                "repository/{repo}",
		"repository/a/b/c":                              "repository/{repo}",
		"repository/a/b/c/permissions/user/x":           "repository/{repo}/permissions/user/{name}",
		"repository/a/b/permissions/user/x/transitive":  "repository/{repo}/permissions/user/{name}/transitive",
		"repository/a/b/permissions/user/" + "user/":    "repository/{repo}/permissions/user/{name}",
		"organization/o/robots/r":                       "organization/{org}/robots/{short}",
		"repository/a/" + url.PathEscape("b") + "/tag/": "repository/{repo}/tag",
		"repository/a/b/tag/t/restore":                  "", // has no GET
	} {
		rt, _, _ := s.find("GET", path)
		if got := ""; rt != nil && rt.path != want || rt == nil && got != want {
			t.Errorf("%s: %v, want %s", path, rt, want)
		}
	}
}
