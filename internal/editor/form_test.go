package editor

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestForm: the form is the same in gzip and without, for who takes which.
func TestForm(t *testing.T) {
	s := &Server{Password: "pw"}
	s.once.Do(s.open)
	ask := func(accept string) (*http.Response, []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/config/form", nil)
		r.SetBasicAuth(User, "pw")
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result(), w.Body.Bytes()
	}
	plain, form := ask("gzip;q=0")
	if plain.StatusCode != http.StatusOK || plain.Header.Get("Content-Encoding") != "" || !bytes.Contains(form, []byte(`"TAG_EXPIRATION_OPTIONS"`)) {
		t.Fatalf("plain: %d %v, %d bytes", plain.StatusCode, plain.Header, len(form))
	}
	packed, body := ask("br, gzip")
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil || packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("Vary") != "Accept-Encoding" || len(body) > len(form)/3 {
		t.Fatalf("gzip: %v, %v, %d of %d bytes", err, packed.Header, len(body), len(form))
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, form) {
		t.Errorf("gzip: %d bytes, %v; want the form", len(got), err)
	}
}
