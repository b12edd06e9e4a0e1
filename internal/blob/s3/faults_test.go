package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
)

// behind returns an engine behind a proxy with faults.
func behind(t *testing.T) (*Engine, *servertest.HTTPProxy) {
	t.Helper()
	o := optionsFor(t, servertest.S3(t))
	p := servertest.NewHTTPProxy(t, strings.TrimPrefix(o.Endpoint, "http://"))
	o.Endpoint = "http://" + p.Addr()
	return engineOf(t, o), p
}

// once answers the first n requests that fit in the server's place.
func once(n int64, fits func(*http.Request) bool, status int, body string) func(http.ResponseWriter, *http.Request, http.Handler) {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if fits(r) && seen.Add(1) <= n {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body) // the client may be gone
			return
		}
		server.ServeHTTP(w, r)
	}
}

func answer(code string) string {
	return `<?xml version="1.0"?><Error><Code>` + code + `</Code><Message>of the test</Message></Error>`
}

func all(*http.Request) bool { return true }

func TestTransientFaults(t *testing.T) {
	e, p := behind(t)
	data := blobtest.Bytes(1, 12<<20)
	for _, c := range []struct {
		status int
		code   string
	}{{500, "InternalError"}, {503, "SlowDown"}, {503, "ServiceUnavailable"}, {429, "TooManyRequests"}} {
		for _, what := range []string{"POST", "PUT", "GET", "HEAD", "DELETE"} {
			p.Hook(once(2, func(r *http.Request) bool { return r.Method == what }, c.status, answer(c.code)))
			blobtest.Put(t, e, "t", data)
			if got := blobtest.Get(t, e, "t"); !bytes.Equal(got, data) {
				t.Errorf("%s %s: other bytes", what, c.code)
			}
			if _, err := e.Stat(t.Context(), "t"); err != nil {
				t.Errorf("%s %s: Stat: %v", what, c.code, err)
			}
			if err := e.Delete(t.Context(), "t"); err != nil {
				t.Errorf("%s %s: Delete: %v", what, c.code, err)
			}
		}
	}
}

// Where there are other locations, one that fails says so after two requests;
// a fault that passes is passed over all the same.
func TestBeside(t *testing.T) {
	o := optionsFor(t, servertest.S3(t))
	p := servertest.NewHTTPProxy(t, strings.TrimPrefix(o.Endpoint, "http://"))
	o.Endpoint, o.Beside = "http://"+p.Addr(), true
	e := engineOf(t, o)
	blobtest.Put(t, e, "t", blobtest.Bytes(1, 100))
	p.Hook(once(1, all, 500, answer("InternalError")))
	if _, err := e.Stat(t.Context(), "t"); err != nil {
		t.Errorf("a fault that passes: %v", err)
	}
	p.Hook(once(1000, all, 500, answer("InternalError")))
	before := p.Requests()
	if _, err := e.Stat(t.Context(), "t"); err == nil || gantry.Is(err, gantry.NotFound) {
		t.Errorf("a service that fails: %v", err)
	}
	if n := p.Requests() - before; n != 2 {
		t.Errorf("it was asked %d times", n)
	}
	if e.net.idle != idleBeside {
		t.Errorf("it may be silent for %s", e.net.idle)
	}
}

// TestInterrupt: a Write that waits for a silent service ends when it is told
// to, long before the service is given up.
func TestInterrupt(t *testing.T) {
	e, p := behind(t)
	asked := make(chan struct{}, 64)
	p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body) // the client may be gone
			asked <- struct{}{}
			<-r.Context().Done()
			return
		}
		server.ServeHTTP(w, r)
	})
	u, err := e.Upload(t.Context(), "t", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close() //nolint:errcheck // of a test
	go func() {
		<-asked
		u.(blob.Interrupter).Interrupt()
	}()
	piece := blobtest.Bytes(1, 1<<20)
	for range 256 {
		if _, err = u.Write(piece); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("256 MiB went to a service that answers nothing")
	}
	if _, err := u.Sync(t.Context()); err == nil {
		t.Error("an interrupted upload syncs")
	}
}

// A completion whose answer was lost is known again.
func TestLostAnswer(t *testing.T) {
	e, p := behind(t)
	data := blobtest.Bytes(1, 12<<20)
	var lost atomic.Bool
	p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && !lost.Swap(true) {
			server.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		server.ServeHTTP(w, r)
	})
	blobtest.Put(t, e, "l", data)
	if got := blobtest.Get(t, e, "l"); !lost.Load() || !bytes.Equal(got, data) {
		t.Errorf("%d other bytes", len(got))
	}
}

func TestPermanentFaults(t *testing.T) {
	e, p := behind(t)
	blobtest.Put(t, e, "x", []byte("x"))
	for _, c := range []struct {
		status     int
		code, hint string
		away       bool
	}{
		{403, "InvalidAccessKeyId", "s3_access_key", false}, {403, "SignatureDoesNotMatch", "s3_secret_key", false}, {403, "AccessDenied", "rights", false},
		{403, "RequestTimeTooSkewed", "clock", false}, {301, "PermanentRedirect", "s3_region", false}, {400, "ExpiredToken", "s3_access_key", false},
		{404, "NoSuchBucket", "s3_bucket", false}, {500, "InternalError", "", true}, {503, "SlowDown", "", true},
	} {
		p.Hook(once(1000, all, c.status, answer(c.code)))
		_, err := e.Open(t.Context(), "x")
		if err == nil || gantry.Is(err, gantry.NotFound) || blob.Away(err) != c.away || !strings.Contains(err.Error(), "test: ") ||
			!strings.Contains(err.Error(), c.hint) || strings.Contains(err.Error(), e.o.Credentials.SecretKey) {
			t.Errorf("%s: Open = %v, away %v; want a hint at %q", c.code, err, blob.Away(err), c.hint)
		}
		u := begin(t, e, "uploads/x", 0, nil)
		write(t, u, []byte("x"))
		if err := u.Complete(t.Context()); err == nil || blob.Away(err) != c.away {
			t.Errorf("%s: Complete = %v", c.code, err)
		}
		if err := e.Check(t.Context()); err == nil {
			t.Errorf("%s: Check succeeds", c.code)
		}
	}
	for status, code := range map[int]string{507: "InsufficientStorage", 403: "QuotaExceeded"} {
		p.Hook(once(1000, all, status, answer(code)))
		u := begin(t, e, "uploads/x", 0, nil)
		write(t, u, []byte("x"))
		if err := u.Complete(t.Context()); gantry.ReasonOf(err) != gantry.DiskFull {
			t.Errorf("%s: Complete = %v; want DiskFull", code, err)
		}
	}
}

// An object is not taken for lost because its bucket is: HEAD does not say
// which of them is missing.
func TestBucketMissing(t *testing.T) {
	o := optionsFor(t, servertest.S3(t))
	o.Bucket = "none-at-all"
	e := engineOf(t, o)
	_, statErr := e.Stat(t.Context(), "x")
	_, openErr := e.Open(t.Context(), "x")
	for _, err := range []error{statErr, openErr, e.Check(t.Context())} {
		if err == nil || gantry.Is(err, gantry.NotFound) || !strings.Contains(err.Error(), "s3_bucket") {
			t.Errorf("%v; want a hint at s3_bucket and not NotFound", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	port, err := servertest.Port()
	if err != nil {
		t.Fatal(err)
	}
	o := optionsFor(t, servertest.S3(t))
	o.Endpoint = fmt.Sprintf("http://127.0.0.1:%d", port)
	if _, err := engineOf(t, o).Open(t.Context(), "x"); !blob.Away(err) || !strings.Contains(err.Error(), "host") {
		t.Errorf("Open = %v, away %v", err, blob.Away(err))
	}
	o = optionsFor(t, servertest.S3(t))
	p := servertest.NewProxy(t, strings.TrimPrefix(o.Endpoint, "http://"))
	o.Endpoint, o.Timeout = "http://"+p.Addr(), 50*time.Millisecond
	e := engineOf(t, o)
	p.Stall()
	if _, err := e.Open(t.Context(), "x"); !blob.Away(err) || !errors.Is(err, errSlow) {
		t.Errorf("Open of a silent service = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Stat(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || blob.Away(err) {
		t.Errorf("Stat with a deadline = %v", err)
	}
}

// A download that is cut goes on from where it was, and is never mixed with
// what the object became.
func TestReadGoesOn(t *testing.T) {
	e, p := behind(t)
	data := blobtest.Bytes(1, 3<<20)
	blobtest.Put(t, e, "r", data)
	cutAt := func(n int64) {
		var cuts atomic.Int64
		p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
			if r.Method == http.MethodGet && cuts.Add(1) <= 2 {
				server.ServeHTTP(&cutter{ResponseWriter: w, left: n}, r)
				return
			}
			server.ServeHTTP(w, r)
		})
	}
	cutAt(1 << 20)
	before := p.Requests()
	if got := blobtest.Get(t, e, "r"); !bytes.Equal(got, data) {
		t.Errorf("%d other bytes", len(got))
	}
	if n := p.Requests() - before; n != 3 {
		t.Errorf("%d requests, not 3", n)
	}
	p.Hook(nil)
	if before = p.Requests(); !bytes.Equal(blobtest.Get(t, e, "r"), data) || p.Requests() != before+1 {
		t.Errorf("a read of the whole made %d requests", p.Requests()-before)
	}

	cutAt(1 << 20)
	o, err := e.Open(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }() // only read
	if _, err := io.ReadFull(o, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, e, "r", blobtest.Bytes(2, 3<<20))
	rest, err := io.ReadAll(o)
	if !errors.Is(err, errChanged) || !bytes.HasPrefix(data[1000:], rest) {
		t.Errorf("%d bytes and %v after the object was replaced; want errChanged", len(rest), err)
	}
	if n, err := o.ReadAt(make([]byte, 10), 5); n != 0 || !errors.Is(err, errChanged) {
		t.Errorf("ReadAt of a replaced object = %d, %v", n, err)
	}
}

// A cutter breaks the connection after so many bytes of the body.
type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left]) // it breaks anyway
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(p))
	return c.ResponseWriter.Write(p)
}

func TestTLS(t *testing.T) {
	o := optionsFor(t, servertest.S3TLS(t))
	data := blobtest.Bytes(1, 6<<20)
	blobtest.Put(t, engineOf(t, o), "x", data)
	if !bytes.Equal(blobtest.Get(t, engineOf(t, o), "x"), data) {
		t.Error("other bytes")
	}
	o.RootCAs = nil
	if _, err := engineOf(t, o).Open(t.Context(), "x"); err == nil || gantry.Is(err, gantry.NotFound) {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

// Google's front changes Accept-Encoding; the signature does not depend on it.
func TestGoogle(t *testing.T) {
	e, p := behind(t)
	o := e.o
	o.Google = true
	e = engineOf(t, o)
	p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Header.Get("Accept-Encoding") == "" || strings.Contains(r.Header.Get("Authorization"), "accept-encoding") ||
			r.Header.Get("Content-Encoding") != "" || r.Header.Get("X-Amz-Sdk-Checksum-Algorithm") != "" || r.Header.Get("X-Amz-Copy-Source-Range") != "" {
			t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
		}
		r.Header.Set("Accept-Encoding", "gzip(gfe)")
		server.ServeHTTP(w, r)
	})
	data := blobtest.Bytes(1, 11<<20)
	u := begin(t, e, "g", 0, nil)
	write(t, u, data)
	key, state, err := e.Fork(t.Context(), "g", int64(len(data)), synced(t, u), "f")
	if err != nil {
		t.Fatal(err)
	}
	if err := begin(t, e, key, int64(len(data)), state).Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(blobtest.Get(t, e, "f"), data) {
		t.Error("other bytes")
	}
}

// A URL works for whoever has it, without keys, also where our clock is wrong;
// changed, it does not.
func TestURL(t *testing.T) {
	o := optionsFor(t, servertest.S3(t))
	e := engineOf(t, o)
	blobtest.Put(t, e, "u/é +", []byte("hello"))
	for _, method := range []string{"", http.MethodHead} {
		u, err := e.URL(t.Context(), "u/é +", blob.URLOptions{Method: method, ContentType: "text/x-test", Client: netip.MustParseAddr("192.0.2.1")})
		if err != nil || strings.Contains(u, o.Credentials.SecretKey) || !strings.Contains(u, "X-Amz-Expires=600") {
			t.Fatalf("URL = %q, %v", u, err)
		}
		resp := fetch(t, method, u)
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/x-test" || method == "" && string(body) != "hello" {
			t.Errorf("%s %s: %d %q %v", method, u, resp.StatusCode, body, resp.Header)
		}
		if resp := fetch(t, method, strings.Replace(u, "/u/", "/v/", 1)); resp.StatusCode != 403 {
			t.Errorf("a changed URL: %d", resp.StatusCode)
		}
	}
	e.net.ahead.Store(int64(-11 * time.Minute)) // the service's clock is behind ours
	u, err := e.URL(t.Context(), "u/é +", blob.URLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if resp := fetch(t, "", u); resp.StatusCode == 200 {
		t.Error("a URL signed by a clock 11 minutes behind works at a service whose clock is right")
	}
	if _, err := e.Stat(t.Context(), "u/é +"); err != nil { // the answer tells the time
		t.Fatal(err)
	}
	if u, err = e.URL(t.Context(), "u/é +", blob.URLOptions{}); err != nil || fetch(t, "", u).StatusCode != 200 {
		t.Errorf("the service's clock is not followed: %v", err)
	}
}

func fetch(t *testing.T, method, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() }) // only read
	return resp
}
