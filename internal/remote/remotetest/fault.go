package remotetest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// A Fault answers a request badly. next is what would be answered.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

type fault struct {
	match func(*http.Request) bool
	times int
	do    Fault
}

// Break makes the next times requests whose path holds part meet a fault; -1
// is all of them. method "" is any. The latest Break comes first.
func (u *Upstream) Break(method, part string, times int, f Fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults = append([]*fault{{func(r *http.Request) bool {
		return (method == "" || r.Method == method) && strings.Contains(r.URL.Path, part)
	}, times, f}}, u.faults...)
}

// Mend ends all faults.
func (u *Upstream) Mend() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults = nil
}

// record makes the right answer.
func record(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	return rec
}

// send writes an answer with another body.
func send(w http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body) // the client may be gone
}

// DieAfter sends n bytes of the body and breaks the connection.
func DieAfter(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		partly(w, r, next, n)
		panic(http.ErrAbortHandler)
	}
}

// StallAfter sends n bytes of the body and then nothing, until the client
// goes.
func StallAfter(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		partly(w, r, next, n)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// WaitAfter sends n bytes of the body, and the rest when go is closed.
func WaitAfter(n int, start <-chan struct{}) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body := partly(w, r, next, n)
		select {
		case <-start:
			_, _ = w.Write(body[min(n, len(body)):])
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// partly sends the head of an answer and the first n bytes of its body, which
// it returns whole.
func partly(w http.ResponseWriter, r *http.Request, next http.Handler, n int) []byte {
	rec := record(r, next)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	body := rec.Body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body[:min(n, len(body))])
	_ = http.NewResponseController(w).Flush() // the client may be gone
	return body
}

// Corrupt changes the last byte of the body.
func Corrupt(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := record(r, next)
	body := rec.Body.Bytes()
	if len(body) > 0 {
		body[len(body)-1] ^= 1
	}
	send(w, rec, body)
}

// Shorten leaves the last byte out, in a body whose length is right for that.
func Shorten(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := record(r, next)
	send(w, rec, rec.Body.Bytes()[:max(0, rec.Body.Len()-1)])
}

// Lengthen adds a byte, in chunks without a length.
func Lengthen(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := record(r, next)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write([]byte("!"))
}

// Endless sends spaces until the client goes.
func Endless(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := record(r, next)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	spaces := []byte(strings.Repeat(" ", 64<<10))
	for {
		if _, err := w.Write(spaces); err != nil {
			return
		}
	}
}

// Redirect sends the client elsewhere.
func Redirect(to string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// Status answers nothing but a status, with headers in pairs.
func Status(code int, header ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		fail(w, code, "AS_ASKED")
	}
}

// Header answers rightly with other headers, in pairs; "" takes one away.
func Header(header ...string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := record(r, next)
		for i := 0; i+1 < len(header); i += 2 {
			if header[i+1] == "" {
				rec.Header().Del(header[i])
			} else {
				rec.Header().Set(header[i], header[i+1])
			}
		}
		send(w, rec, rec.Body.Bytes())
	}
}

// Slow waits before it answers rightly.
func Slow(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}
