package editor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gantry-registry/gantry/internal/config/edit"
)

// read reads a body of JSON into v, up to the limits. Whole numbers in free
// values become int64.
func read(r *http.Request, v any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return invalid("the body could not be read")
	}
	if len(data) > maxBody {
		return &failure{status: http.StatusRequestEntityTooLarge, code: "too_large", message: fmt.Sprintf("the body is larger than %d MiB", maxBody>>20)}
	}
	if tooDeep(data) {
		return invalid(fmt.Sprintf("the body is nested deeper than %d levels", maxDepth))
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		// The text of the error may hold a part of the body.
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return invalid(fmt.Sprintf("the body has a %s at %s, where a %s is expected", t.Value, orBody(t.Field), kindOf(t.Type.Kind().String())))
		}
		return invalid("the body is no JSON of the form that is expected")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("something follows the JSON of the body")
	}
	return nil
}

func orBody(field string) string {
	if field == "" {
		return "its beginning"
	}
	return field
}

func kindOf(kind string) string {
	switch kind {
	case "map", "struct":
		return "object"
	case "slice":
		return "list"
	}
	return kind
}

// tooDeep reports whether brackets are nested deeper than maxDepth.
func tooDeep(data []byte) bool {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{', c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}

// numbers makes int64 or float64 of the numbers of a decoded value. They are
// as they were written, but what 30.0 says as a whole number is one.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = numbers(x)
		}
	case []any:
		for i, x := range v {
			v[i] = numbers(x)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			if f == float64(int64(f)) && f < 1<<53 && f > -(1<<53) {
				return int64(f)
			}
			return f
		}
		return v.String()
	}
	return v
}

// readPatch reads an edit.Patch.
func readPatch(r *http.Request) (edit.Patch, error) {
	var p edit.Patch
	if err := read(r, &p); err != nil {
		return p, err
	}
	return p, clean(&p)
}

func clean(p *edit.Patch) error {
	numbers(p.Config)
	if len(p.Certs) > edit.MaxCerts {
		return invalid(fmt.Sprintf("there are more than %d certificates", edit.MaxCerts))
	}
	return wrongTypes(p.Config)
}
