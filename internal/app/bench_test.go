package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkServer measures the whole server over the loopback interface, with
// its token authentication and on disk, driven by eight connections. The
// figure cpu-µs/op is that of server and client together; to see where it
// goes:
//
//	go test ./internal/app -run '^$' -bench Server/manifest-tag -cpuprofile cpu.out
//
// The comparison with other registries is "make bench".
func BenchmarkServer(b *testing.B) {
	s, err := Start(b.Context(), Options{Data: filepath.Join(b.TempDir(), "data"), Listen: "127.0.0.1:0", Metrics: Off,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	d := &driver{addr: s.Addr().String()}
	b.Cleanup(d.close)
	d.must(b, "POST", "/api/v1/user/initialize", 200, `{"username":"bench","password":"bench-Password-1","email":"b@example.com"}`, "Content-Type: application/json")
	token := func(repo string) string {
		basic := base64.StdEncoding.EncodeToString([]byte("bench:bench-Password-1"))
		body := d.must(b, "GET", "/v2/auth?service="+d.addr+"&scope=repository:"+repo+":pull,push", 200, "", "Authorization: Basic "+basic)
		var answer struct{ Token string }
		if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
			b.Fatalf("token: %v, %s", err, body)
		}
		return "Authorization: Bearer " + answer.Token
	}
	const repo, media = "bench/app", "application/vnd.oci.image.manifest.v1+json"
	auth := token(repo)
	putBlob := func(content string) string {
		digest := digestOf([]byte(content))
		d.must(b, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest, 201, content, auth, "Content-Type: application/octet-stream")
		return digest
	}
	layer := strings.Repeat("layer ", 10<<10)
	config, blob := putBlob("{}"), putBlob(layer)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`, media, config, blob, len(layer))
	put := func(tag string) []byte {
		return d.request("PUT", "/v2/"+repo+"/manifests/"+tag, manifest, auth, "Content-Type: "+media)
	}
	for i := range 1000 {
		d.do(b, d.conn(b), put(fmt.Sprintf("t%04d", i)), 201)
	}
	var seq atomic.Int64
	again := func(method, path string) func() []byte {
		head := d.request(method, "/v2/"+repo+path, "", auth, "Accept: "+media+", application/vnd.oci.image.index.v1+json")
		return func() []byte { return head }
	}
	for _, bb := range []struct {
		name   string
		next   func() []byte
		status int
	}{
		{"head-manifest", again("HEAD", "/manifests/t0001"), 200},
		{"manifest-tag", again("GET", "/manifests/t0001"), 200},
		{"manifest-digest", again("GET", "/manifests/"+digestOf([]byte(manifest))), 200},
		{"head-blob", again("HEAD", "/blobs/"+blob), 200},
		{"blob", again("GET", "/blobs/"+blob), 200},
		{"tags", again("GET", "/tags/list?n=100&last=t0500"), 200},
		{"retag", func() []byte { return put("r" + strconv.FormatInt(seq.Add(1), 10)) }, 201},
		{"begin-upload", again("POST", "/blobs/uploads/"), 202},
		{"push-blob", func() []byte {
			content := layer + strconv.FormatInt(seq.Add(1), 10)
			return d.request("POST", "/v2/"+repo+"/blobs/uploads/?digest="+digestOf([]byte(content)), content, auth, "Content-Type: application/octet-stream")
		}, 201},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var left atomic.Int64
			left.Store(int64(b.N))
			before, began := processCPU(), time.Now()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					c := d.conn(b)
					defer c.Close() //nolint:errcheck // the loopback connection of a benchmark
					for left.Add(-1) >= 0 && !b.Failed() {
						d.do(b, c, bb.next(), bb.status)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64((processCPU()-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "op/s")
		})
	}
}

func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A driver is an HTTP client that costs next to nothing.
type driver struct {
	addr  string
	mu    sync.Mutex
	conns []net.Conn
}

type driven struct {
	net.Conn
	br *bufio.Reader
}

func (d *driver) conn(tb testing.TB) *driven {
	var dialer net.Dialer
	c, err := dialer.DialContext(tb.Context(), "tcp", d.addr)
	if err != nil {
		tb.Error(err)
		c, _ = net.Pipe()
		_ = c.Close() // every use fails
	}
	d.mu.Lock()
	d.conns = append(d.conns, c)
	d.mu.Unlock()
	return &driven{c, bufio.NewReaderSize(c, 128<<10)}
}

func (d *driver) close() {
	for _, c := range d.conns {
		_ = c.Close() // closed before, mostly
	}
}

func (d *driver) request(method, path, body string, header ...string) []byte {
	var q bytes.Buffer
	fmt.Fprintf(&q, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", method, path, d.addr, len(body))
	for _, h := range header {
		q.WriteString(h + "\r\n")
	}
	q.WriteString("\r\n" + body)
	return q.Bytes()
}

// do sends a request and reads the answer, which begins a line of its own.
func (d *driver) do(tb testing.TB, c *driven, request []byte, want int) []byte {
	if _, err := c.Write(request); err != nil {
		tb.Error(err)
		return nil
	}
	status, length := 0, 0
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			tb.Error(err)
			return nil
		}
		if len(line) == 2 {
			break
		}
		if status == 0 {
			status, _ = strconv.Atoi(string(line[9:12])) // 0 is never wanted
		} else if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
		}
	}
	var body []byte
	if !bytes.HasPrefix(request, []byte(http.MethodHead)) {
		if status == want && length > 4<<10 {
			_, _ = c.br.Discard(length) // the next answer would not begin where it should
		} else {
			body = make([]byte, length)
			_, _ = io.ReadFull(c.br, body)
		}
	}
	if status != want {
		tb.Errorf("%s: status %d, want %d: %s", bytes.SplitN(request, []byte("\r\n"), 2)[0], status, want, body)
	}
	return body
}

func (d *driver) must(tb testing.TB, method, path string, want int, body string, header ...string) []byte {
	tb.Helper()
	c := d.conn(tb)
	answer := d.do(tb, c, d.request(method, path, body, header...), want)
	if tb.Failed() {
		tb.FailNow()
	}
	return answer
}
