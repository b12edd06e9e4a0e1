package editor

import (
	"bytes"
	"compress/gzip"
	"net/http"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// sendForm answers with the form, in gzip where the client takes it: of all
// that the page begins with it is the largest, and it holds nothing of the
// configuration.
func (s *Server) sendForm(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Vary", "Accept-Encoding")
	if !httpd.Accepts(r.Header.Get("Accept-Encoding"), "gzip") {
		return sendJSON(w, http.StatusOK, s.form)
	}
	w.Header().Set("Content-Encoding", "gzip")
	return sendJSON(w, http.StatusOK, s.packed)
}

// pack returns bytes in gzip.
func pack(body []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	return out.Bytes()
}
