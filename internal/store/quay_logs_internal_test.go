package store

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestQuayMetadata(t *testing.T) {
	for in, want := range map[string]string{
		`{"repo": "app"}`:       `{"repo": "app"}`,
		" {\"repo\":\"app\"}\n": `{"repo":"app"}`,
		`"{\"repo\": \"app\"}"`: `{"repo": "app"}`,
		"":                      "{}",
		"null":                  "{}",
		`"null"`:                "{}",
		`{"repo": "app`:         "",
		`["app"]`:               "",
		`"app"`:                 "",
		`"{`:                    "",
		"{\"agent\": \"\xff\"}": "{\"agent\": \"\ufffd\"}",
		`"\"{}\""`:              "", // three times
		`{"a":"` + strings.Repeat("x", bulkText) + `"}`: "",
	} {
		got, ok := quayMetadata(in)
		if ok != (want != "") || ok && got != want || !ok && got != "{}" {
			t.Errorf("quayMetadata(%.40q) = %.40q, %v", in, got, ok)
		}
	}
}

// FuzzQuayMetadata: whatever a Quay has there, a payload is a JSON object that
// every database takes.
func FuzzQuayMetadata(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a": [1, null]}`, `"{\"a\": \"\\u0000\"}"`, "null", "\"\xff", "{\"\xff\": 1}", "[{}]", `"{}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		payload, ok := quayMetadata(s)
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(payload), &object); err != nil || object == nil || !utf8.ValidString(payload) || strings.ContainsRune(payload, 0) {
			t.Errorf("%q becomes %q: %v", s, payload, err)
		}
		if again, same := quayMetadata(payload); ok && (!same || again != payload) {
			t.Errorf("%q becomes %q, and that %q", s, payload, again)
		}
	})
}
