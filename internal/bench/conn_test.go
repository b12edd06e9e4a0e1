package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A canned connection answers with fixed bytes, in reads of at most step.
type canned struct {
	net.Conn // nil: only what is below is called
	in       io.Reader
	step     int
	sent     bytes.Buffer
}

func (c *canned) Read(p []byte) (int, error) {
	if c.step > 0 && len(p) > c.step {
		p = p[:c.step]
	}
	return c.in.Read(p)
}
func (c *canned) Write(p []byte) (int, error) { return c.sent.Write(p) }
func (c *canned) SetDeadline(time.Time) error { return nil }
func (c *canned) Close() error                { return nil }
func answering(text string, step int) *Conn {
	return newConn(&canned{in: strings.NewReader(text), step: step})
}
func get(c *Conn, keep int64) (Response, error) { return send(c, "GET / HTTP/1.1\r\n\r\n", keep) }
func send(c *Conn, head string, keep int64) (Response, error) {
	return c.Do(context.Background(), time.Time{}, []byte(head), nil, keep)
}

func TestResponses(t *testing.T) {
	tests := map[string]struct {
		text   string
		head   bool
		status int
		body   string
		fails  string // part of the error's text
	}{
		"length":            {text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", status: 200, body: "abc"},
		"no reason":         {text: "HTTP/1.1 404\r\ncontent-length:0\r\n\r\n", status: 404},
		"chunked":           {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\n\r\n", status: 200, body: "abc0123456789"},
		"trailers":          {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n", status: 200, body: "a"},
		"until close":       {text: "HTTP/1.0 200 OK\r\n\r\nall of it", status: 200, body: "all of it"},
		"continue first":    {text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", status: 201},
		"head":              {text: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", head: true, status: 200},
		"no content":        {text: "HTTP/1.1 204 No Content\r\n\r\n", status: 204},
		"same length twice": {text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", status: 200, body: "a"},

		"nothing":           {text: "", fails: "without an answer"},
		"half a head":       {text: "HTTP/1.1 200 OK\r\nContent-Le", fails: "unexpected EOF"},
		"half a body":       {text: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", fails: "unexpected EOF"},
		"half a chunk":      {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", fails: "unexpected EOF"},
		"no last chunk":     {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", fails: "unexpected EOF"},
		"chunk too long":    {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", fails: "longer than it says"},
		"negative chunk":    {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", fails: "bad chunk size"},
		"chunk overflows":   {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", fails: "bad chunk size"},
		"negative length":   {text: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", fails: "Content-Length"},
		"two lengths":       {text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", fails: "Content-Length"},
		"length overflows":  {text: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", fails: "Content-Length"},
		"gzip coding":       {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", fails: "Transfer-Encoding"},
		"not http":          {text: "SSH-2.0-OpenSSH_9.2\r\n\r\n", fails: "not an HTTP/1 answer"},
		"bad status":        {text: "HTTP/1.1 2x0 OK\r\n\r\n", fails: "not an HTTP status"},
		"folded field":      {text: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", fails: "not a header field"},
		"bare newline":      {text: "HTTP/1.1 200 OK\nA: b\n\r\n\r\n", fails: "not an HTTP/1 answer"},
		"newline in field":  {text: "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", fails: "not a header field"},
		"endless head":      {text: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHead), fails: "longer than"},
		"endless chunk ext": {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 2*maxHead), fails: "longer than"},
		"endless trailers":  {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", maxHead), fails: "longer than"},
		"body over keep":    {text: "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + strings.Repeat("x", 101), fails: "longer than 100"},
	}
	for name, tt := range tests {
		for _, step := range []int{0, 1, 7} { // how the bytes arrive must not matter
			t.Run(name+"/"+strconv.Itoa(step), func(t *testing.T) {
				method := "GET"
				if tt.head {
					method = "HEAD"
				}
				res, err := send(answering(tt.text, step), method+" / HTTP/1.1\r\n\r\n", 100)
				if tt.fails != "" {
					if err == nil || !strings.Contains(err.Error(), tt.fails) {
						t.Fatalf("error %v, want one about %q", err, tt.fails)
					}
					return
				}
				if err != nil || res.Status != tt.status || string(res.Body) != tt.body || res.Length != int64(len(tt.body)) {
					t.Fatalf("got %d %q (%d bytes), %v; want %d %q", res.Status, res.Body, res.Length, err, tt.status, tt.body)
				}
			})
		}
	}
}

func TestKeepAliveReadsEachAnswerOnce(t *testing.T) {
	c := answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nLocation: /a\r\n\r\nabc"+
		"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\nlocation:  /b \r\n\r\n2\r\nde\r\n0\r\n\r\n"+
		"HTTP/1.1 503 Busy\r\nContent-Length: 600\r\n\r\n"+strings.Repeat("x", 600)+
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrest", 0)
	for i, want := range []struct {
		status   int
		body, at string
		keep     int64
	}{{200, "abc", "/a", 9}, {202, "de", "/b", 9}, {503, strings.Repeat("x", maxReason), "", 0}, {200, "rest", "", 9}} {
		res, err := get(c, want.keep)
		if err != nil || res.Status != want.status || string(res.Body) != want.body || res.Get("Location") != want.at {
			t.Fatalf("answer %d: %d %q at %q, %v", i, res.Status, res.Body, res.Get("Location"), err)
		}
	}
	if _, err := get(c, 9); !errors.Is(err, errClosed) {
		t.Fatalf("after the connection's end: %v", err)
	}
}

func TestDropLargeBodies(t *testing.T) {
	// Larger than the buffer, so most of it is dropped inside the kernel;
	// a second answer on the same connection shows that not a byte too many.
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			w.Header().Set("Content-Length", strconv.Itoa(len(big)))
			_, _ = w.Write(big)
		case "/chunked":
			for p := big; len(p) > 0; p = p[1<<16:] {
				_, _ = w.Write(p[:1<<16])
				_ = http.NewResponseController(w).Flush()
			}
		default:
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
		}
	}))
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	c, err := Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	do := func(method, path string, body net.Buffers, keep int64, fields string) Response {
		t.Helper()
		head := []byte(method + " " + path + " HTTP/1.1\r\nHost: " + addr + "\r\n" + fields + "\r\n")
		res, err := c.Do(t.Context(), time.Now().Add(time.Minute), head, body, keep)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for range 3 {
		for _, path := range []string{"/big", "/chunked"} {
			if res := do("GET", path, nil, 0, ""); res.Length != int64(len(big)) {
				t.Fatalf("%s: %d bytes, want %d", path, res.Length, len(big))
			}
			h := newDigester()
			c.Tee = h
			do("GET", path, nil, 0, "")
			c.Tee = nil
			if h.digest() != digestOf(big) {
				t.Fatalf("%s: the bytes have another digest", path)
			}
		}
	}
	b := NewFiller(100_000).Blob(250_000)
	if res := do("PUT", "/", b.stream(nil), 99, "Transfer-Encoding: chunked\r\n"); string(res.Body) != "250000" {
		t.Fatalf("streamed: the server read %q bytes", res.Body)
	}
	// The server closes behind the client's back: the next Do dials again.
	srv.CloseClientConnections()
	head := []byte("GET / HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	if _, err := c.Do(t.Context(), time.Now().Add(time.Minute), head, nil, 0); err == nil {
		t.Fatal("no error on a closed connection")
	}
	if res := do("GET", "/", nil, 9, ""); string(res.Body) != "0" {
		t.Fatalf("after dialing again: %q", res.Body)
	}
}

// TestRefusedUpload is a server that answers before it has read the body.
func TestRefusedUpload(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}))
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	c, err := Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := []byte("PUT / HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 1000\r\n\r\n")
	res, err := c.Do(t.Context(), time.Now().Add(time.Minute), head, net.Buffers{make([]byte, 1000)}, 0)
	if err != nil || res.Status != 413 || !strings.HasPrefix(string(res.Body), "too large") {
		t.Fatalf("%d %q, %v; want 413 with its reason", res.Status, res.Body, err)
	}
}

// FuzzResponse: whatever a server sends, the client ends, keeps to its
// limits, and reads the same body as net/http where both take the answer.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nrest", "HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 401 U\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(1))
	}
	const keep = 1 << 16
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		c := newConn(&canned{in: bytes.NewReader(data), step: int(step)})
		res, err := c.Do(context.Background(), time.Time{}, []byte("GET / HTTP/1.1\r\n\r\n"), nil, keep)
		if len(res.Body) > keep {
			t.Fatalf("%d bytes kept", len(res.Body))
		}
		if err != nil {
			return
		}
		if res.Status < 200 || res.Status > 999 || res.Length != int64(len(res.Body)) {
			t.Fatalf("status %d, %d bytes, %d kept", res.Status, res.Length, len(res.Body))
		}
		_ = res.Get("Location")
		if !bytes.HasPrefix(data, []byte("HTTP/1.1 2")) || bytes.HasPrefix(data, []byte("HTTP/1.1 204")) {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), nil)
		if err != nil {
			return
		}
		defer theirs.Body.Close() //nolint:errcheck // bytes in memory
		body, err := io.ReadAll(theirs.Body)
		if err == nil && (theirs.StatusCode != res.Status || !bytes.Equal(body, res.Body)) {
			t.Fatalf("net/http reads %d %q, we read %d %q", theirs.StatusCode, body, res.Status, res.Body)
		}
	})
}
