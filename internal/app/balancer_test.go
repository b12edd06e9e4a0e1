package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A behind is two instances behind a load balancer that ends TLS.
type behind struct {
	t       *testing.T
	addr    string // of the balancer
	fields  map[string]any
	folder  string // of the configuration; "" = none
	listen  [2]string
	site    [2]*site
	process *servertest.Process
	temp    string         // where the balancer would put bodies; "" = nowhere
	clients []*http.Client // of HTTP/1.1 and, unless TLS passes through, HTTP/2
	auth    string
}

// balancers are the configurations below deploy, and one with HTTP/2 to the
// instances.
var balancers = map[string]struct {
	file    string
	through bool // TLS ends at the instances
	replace []string
}{
	"nginx":               {file: "nginx/gantry.conf"},
	"haproxy":             {file: "haproxy/haproxy.cfg"},
	"haproxy h2c":         {file: "haproxy/haproxy.cfg", replace: []string{"default-server check", "default-server proto h2 check"}},
	"haproxy passthrough": {file: "haproxy/passthrough.cfg", through: true},
}

// newBehind starts two instances and the balancer, whose timeouts of minutes
// become seconds.
func newBehind(t *testing.T, name string) *behind {
	t.Helper()
	kind := balancers[name]
	port := func() string {
		n, err := servertest.Port()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("127.0.0.1:%d", n)
	}
	b := &behind{t: t, addr: port(), listen: [2]string{port(), port()}}
	b.fields = map[string]any{
		"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
		"FEATURE_USER_INITIALIZE": true, "SERVER_HOSTNAME": b.addr, "PREFERRED_URL_SCHEME": "https", "EXTERNAL_TLS_TERMINATION": true,
		"TRUSTED_PROXY_CIDR": []any{"127.0.0.1/32"}, "PROXY_COUNT": 1,
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"shared": []any{"LocalStorage", map[string]any{"storage_path": t.TempDir()}}},
	}
	cert, key := certificate(t, "registry.example.com")
	if kind.through {
		b.folder = folder(t, map[string]string{"config.yaml": "{}\n", "ssl.cert": cert, "ssl.key": key})
		b.fields["EXTERNAL_TLS_TERMINATION"], b.fields["FEATURE_PROXY_PROTOCOL"] = false, true
		b.fields["PROXY_COUNT"] = 0 // no X-Forwarded-For is believed
	}
	for i := range b.site {
		b.start(i)
	}
	text, err := os.ReadFile(filepath.Join("../../deploy", kind.file))
	if err != nil {
		t.Fatal(err)
	}
	files := folder(t, map[string]string{"crt": cert, "key": key, "pem": cert + key})
	conf := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(text), "")
	replace := append([]string{
		"10.0.0.11:8080", b.listen[0], "10.0.0.12:8080", b.listen[1], "bind :443", "bind " + b.addr, "listen 443", "listen " + b.addr,
		"/etc/ssl/gantry.crt", files + "/crt", "/etc/ssl/gantry.key", files + "/key", "/etc/haproxy/gantry.pem", files + "/pem", "600s", "15s",
		"maxconn 20000", "maxconn 2000", // as many files may be open here
	}, kind.replace...)
	for i := 0; i < len(replace); i += 2 {
		conf = strings.ReplaceAll(conf, replace[i], replace[i+1])
	}
	if regexp.MustCompile(`:443\b`).MatchString(conf) || strings.Contains(conf, "10.0.0") || strings.Contains(conf, "/etc/") {
		t.Fatalf("something of the configuration was not replaced:\n%s", conf)
	}
	if strings.HasPrefix(kind.file, "nginx/") {
		b.process, b.temp = servertest.Nginx(t, b.addr, conf)
	} else {
		b.process = servertest.HAProxy(t, b.addr, conf)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cert))
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: new(http.Protocols), ExpectContinueTimeout: 20 * time.Second, MaxIdleConnsPerHost: 32}
		tr.Protocols.SetHTTP1(!h2)
		tr.Protocols.SetHTTP2(h2)
		t.Cleanup(tr.CloseIdleConnections)
		b.clients = append(b.clients, &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }})
	}
	// Until the balancer has seen both.
	until(t, "the balancer passes requests on", func() bool { return b.ask(0, "GET", "/health/instance", nil).status == 200 })
	if r := b.ask(0, "POST", "/api/v1/user/initialize", strings.NewReader(`{"username": "ada", "password": "`+password+`", "email": "ada@example.com"}`), "Content-Type", "application/json"); r.status != 200 {
		t.Fatalf("initialize: %d %s", r.status, r.body)
	}
	b.auth = b.token()
	return b
}

func (b *behind) start(i int) {
	b.t.Helper()
	s, log, err := launch(b.t, Options{Config: b.folder, Environ: override(b.t, b.fields), Listen: b.listen[i], DrainDelay: 2 * time.Second, leaseRetry: 20 * time.Millisecond})
	if err != nil {
		b.t.Fatal(err)
	}
	b.site[i] = &site{Server: s, t: b.t, log: log}
	b.t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(b.t.Context())) }) // a second one does nothing
}

func (b *behind) token() string {
	b.t.Helper()
	r := b.ask(0, "GET", "/v2/auth?scope=repository:ada/app:pull,push", nil, "Authorization", basic("ada", password))
	if r.status != 200 {
		b.t.Fatalf("token: %d %s", r.status, r.body)
	}
	token, _ := r.json(b.t)["token"].(string)
	return "Bearer " + token
}

// do sends a request by way of the balancer.
func (b *behind) do(ctx context.Context, client int, method, path string, body io.Reader, header ...string) (reply, error) {
	if !strings.HasPrefix(path, "https://") {
		path = "https://" + b.addr + path
	}
	r, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.clients[client].Do(r)
	if err != nil {
		return reply{}, err
	}
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text)}, errors.Join(err, resp.Body.Close())
}

func (b *behind) ask(client int, method, path string, body io.Reader, header ...string) reply {
	b.t.Helper()
	r, err := b.do(b.t.Context(), client, method, path, body, header...)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// TestBalancers runs the configurations below deploy in front of two
// instances.
func TestBalancers(t *testing.T) {
	for name := range balancers {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			b := newBehind(t, name)
			for client, proto := range []string{"HTTP/1.1", "HTTP/2"} {
				t.Run(proto, func(t *testing.T) {
					b.links(t, client)
					b.address(t, client)
					b.images(t, client)
					b.ended(t, client)
				})
			}
			t.Run("streams", b.streams)
			t.Run("trickles", b.trickles)
		})
	}
}

// links are right from outside.
func (b *behind) links(t *testing.T, client int) {
	r := b.ask(client, "GET", "/v2/", nil)
	if want := `realm="https://` + b.addr + `/v2/auth"`; r.status != 401 || !strings.Contains(r.header.Get("Www-Authenticate"), want) {
		t.Errorf("%d %q; want %s", r.status, r.header.Get("Www-Authenticate"), want)
	}
	r = b.ask(client, "POST", "/v2/ada/app/blobs/uploads/", nil, "Authorization", b.auth)
	if at := r.header.Get("Location"); r.status != 202 || !strings.HasPrefix(at, "https://"+b.addr+"/v2/") && !strings.HasPrefix(at, "/v2/") {
		t.Errorf("an upload is at %q: %d %s", at, r.status, r.body)
	}
}

// address: the instances see the client's, and believe nothing that it says.
func (b *behind) address(t *testing.T, client int) {
	agent := fmt.Sprintf("marked-%d", client)
	b.ask(client, "DELETE", "/v2/ada/none/manifests/x", nil, "User-Agent", agent, "X-Forwarded-For", "203.0.113.7", "X-Real-Ip", "203.0.113.7", "Forwarded", "for=203.0.113.7")
	until(t, "the request is in a log", func() bool { return b.logged(agent) != "" })
	if line := b.logged(agent); !strings.Contains(line, "ip=127.0.0.1") || strings.Contains(line, "203.0.113.7") {
		t.Errorf("the client's address in the log: %s", line)
	}
}

func (b *behind) logged(what string) string {
	for _, s := range b.site {
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, what) {
				return line
			}
		}
	}
	return ""
}

// images are pushed in one request and in chunks, over both instances, and
// pulled whole and in part.
func (b *behind) images(t *testing.T, client int) {
	i := newImage(fmt.Sprint("behind ", client))
	for _, blob := range [][]byte{i.config, i.layer} {
		if r := b.ask(client, "POST", "/v2/ada/app/blobs/uploads/?digest="+digestOf(blob), bytes.NewReader(blob), "Authorization", b.auth, "Content-Type", "application/octet-stream"); r.status != 201 {
			t.Fatalf("push: %d %s", r.status, r.body)
		}
	}
	if r := b.ask(client, "PUT", "/v2/ada/app/manifests/v1", bytes.NewReader(i.manifest), "Authorization", b.auth, "Content-Type", manifestType); r.status != 201 {
		t.Fatalf("push: %d %s", r.status, r.body)
	}
	if r := b.ask(client, "GET", "/v2/ada/app/manifests/v1", nil, "Authorization", b.auth, "Accept", manifestType); r.body != string(i.manifest) {
		t.Errorf("pull: %d %s", r.status, r.body)
	}
	r := b.ask(client, "GET", "/v2/ada/app/blobs/"+digestOf(i.layer), nil, "Authorization", b.auth, "Range", "bytes=100-299")
	if r.status != 206 || r.body != string(i.layer[100:300]) || r.header.Get("Content-Range") != fmt.Sprintf("bytes 100-299/%d", len(i.layer)) {
		t.Errorf("range: %d %v, %d bytes", r.status, r.header, len(r.body))
	}
	blob := bytes.Repeat([]byte(fmt.Sprint("chunk of ", client)), 50_000)
	r = b.ask(client, "POST", "/v2/ada/app/blobs/uploads/", nil, "Authorization", b.auth)
	for from := 0; from < len(blob); {
		part := blob[from:min(len(blob), from+60_001)]
		if r = b.ask(client, "PATCH", r.header.Get("Location"), bytes.NewReader(part), "Authorization", b.auth, "Content-Type", "application/octet-stream",
			"Content-Range", fmt.Sprintf("%d-%d", from, from+len(part)-1)); r.status != 202 {
			t.Fatalf("chunk at %d: %d %s", from, r.status, r.body)
		}
		from += len(part)
	}
	b.commit(t, client, r.header.Get("Location"), digestOf(blob))
}

func (b *behind) commit(t *testing.T, client int, at, digest string) {
	t.Helper()
	sep := "?"
	if strings.Contains(at, "?") {
		sep = "&"
	}
	if r := b.ask(client, "PUT", at+sep+"digest="+digest, nil, "Authorization", b.auth); r.status != 201 {
		t.Fatalf("commit: %d %s", r.status, r.body)
	}
}

// ended: Expect: 100-continue is answered, and a refused body too. Over
// HTTP/2 nobody asks so but Go's client, which then waits for what nginx does
// not send.
func (b *behind) ended(t *testing.T, client int) {
	if client > 0 {
		return
	}
	blob := fmt.Appendf(nil, "expected %d", client)
	var continued atomic.Bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued.Store(true) }, Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil }})
	r, err := b.do(ctx, client, "POST", "/v2/ada/app/blobs/uploads/?digest="+digestOf(blob), bytes.NewReader(blob), "Authorization", b.auth, "Content-Type", "application/octet-stream", "Expect", "100-continue")
	if err != nil || r.status != 201 || !continued.Load() {
		t.Errorf("Expect: %d %s, %v, continued %v", r.status, r.body, err, continued.Load())
	}
	if r, err := b.do(t.Context(), client, "POST", "/v2/ada/app/blobs/uploads/?digest="+digestOf(blob), bytes.NewReader(blob), "Expect", "100-continue"); err != nil || r.status != 401 {
		t.Errorf("Expect without a token: %d, %v", r.status, err)
	}
}

// A slowBody is n bytes of a pattern.
type slowBody struct {
	n     int64
	each  int           // bytes a Read; 0 = as many as fit
	pause time.Duration // before each Read
	hash  io.Writer
}

func (s *slowBody) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pause)
	p = p[:min(int64(len(p)), s.n, int64(cmp.Or(s.each, len(p))))]
	for i := range p {
		p[i] = byte(s.n * 31 >> (i % 8))
	}
	s.n -= int64(len(p))
	_, _ = s.hash.Write(p) // never fails
	return len(p), nil
}

// streams: a body of no stated length that is larger than what the balancer
// may hold passes, and nothing of it is kept.
func (b *behind) streams(t *testing.T) {
	const size = 192 << 20
	for client := range b.clients {
		h := sha256.New()
		r := b.ask(client, "POST", "/v2/ada/app/blobs/uploads/", nil, "Authorization", b.auth)
		if r = b.ask(client, "PATCH", r.header.Get("Location"), &slowBody{n: size, hash: h}, "Authorization", b.auth, "Content-Type", "application/octet-stream"); r.status != 202 {
			t.Fatalf("a large body: %d %s", r.status, r.body)
		}
		digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
		b.commit(t, client, r.header.Get("Location"), digest)
		if r := b.ask(client, "GET", "/v2/ada/app/blobs/"+digest, nil, "Authorization", b.auth); r.status != 200 || digestOf([]byte(r.body)) != digest {
			t.Errorf("a large blob: %d, %d bytes", r.status, len(r.body))
		}
	}
	peak := b.peak(t)
	t.Logf("the balancer has held %d MiB at most", peak>>20)
	if peak > size/2 {
		t.Errorf("the balancer has held %d MiB: it buffers", peak>>20)
	}
	if b.temp == "" {
		return
	}
	// Not even a folder is made for a body that is never written to a file.
	if err := filepath.WalkDir(b.temp+"/temp", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			t.Errorf("there is a temporary file %s", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// peak is the most memory that the balancer has had, in bytes.
func (b *behind) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "VmHWM:")
	if !ok {
		t.Fatal("no VmHWM")
	}
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// trickles: an upload goes on for longer than any timeout, as long as a byte
// comes now and then.
func (b *behind) trickles(t *testing.T) {
	var wg sync.WaitGroup
	for client := range b.clients {
		wg.Go(func() {
			h := sha256.New()
			r := b.ask(client, "POST", "/v2/ada/app/blobs/uploads/", nil, "Authorization", b.auth)
			began := time.Now()
			r = b.ask(client, "PATCH", r.header.Get("Location"), &slowBody{n: 18, each: 1, pause: time.Second, hash: h}, "Authorization", b.auth, "Content-Type", "application/octet-stream")
			if r.status != 202 || time.Since(began) < 16*time.Second {
				t.Errorf("an upload that trickles: %d %s after %v", r.status, r.body, time.Since(began))
				return
			}
			b.commit(t, client, r.header.Get("Location"), "sha256:"+hex.EncodeToString(h.Sum(nil)))
		})
	}
	wg.Wait()
}

// TestRollingRestart restarts one instance after the other under load: no
// request fails that a client does not try again by itself.
func TestRollingRestart(t *testing.T) {
	for _, name := range []string{"nginx", "haproxy", "haproxy passthrough"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			b := newBehind(t, name)
			i := newImage("rolling")
			for _, blob := range [][]byte{i.config, i.layer} {
				if r := b.ask(0, "POST", "/v2/ada/app/blobs/uploads/?digest="+digestOf(blob), bytes.NewReader(blob), "Authorization", b.auth, "Content-Type", "application/octet-stream"); r.status != 201 {
					t.Fatalf("push: %d %s", r.status, r.body)
				}
			}
			var pulls, pushes, again, failed atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// What docker, podman and skopeo do: a request that broke, or got 502, 503
			// or 504, is tried again.
			try := func(client int, method, path string, body []byte, want int, header ...string) bool {
				for n := range 3 {
					r, err := b.do(t.Context(), client, method, path, bytes.NewReader(body), append(header, "Authorization", b.auth)...)
					if err == nil && r.status == want {
						return true
					}
					if err == nil && r.status < 502 || n == 2 {
						failed.Add(1)
						t.Errorf("%s %s: %d %s, %v", method, path, r.status, r.body, err)
						return false
					}
					again.Add(1)
					t.Logf("again: %s %s: %d, %v", method, path, r.status, err)
					time.Sleep(100 * time.Millisecond)
				}
				return false
			}
			var wg sync.WaitGroup
			for worker := range 6 {
				wg.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						time.Sleep(5 * time.Millisecond) // the cores are the other tests', too
						if worker%2 == 0 {
							if try(worker/2%2, "PUT", fmt.Sprintf("/v2/ada/app/manifests/w%d", worker), i.manifest, 201, "Content-Type", manifestType) {
								pushes.Add(1)
							}
							continue
						}
						if try(worker/2%2, "GET", "/v2/ada/app/blobs/"+digestOf(i.layer), nil, 200) {
							pulls.Add(1)
						}
					}
				})
			}
			for n := range b.site {
				before := pulls.Load() + pushes.Load()
				until(t, "the load goes on", func() bool { return pulls.Load()+pushes.Load() > before+20 })
				if err := b.site[n].Stop(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
				b.start(n)
				time.Sleep(2500 * time.Millisecond) // the balancer's rise
			}
			cancel()
			wg.Wait()
			t.Logf("%d pulls and %d pushes, %d tried again, %d failed", pulls.Load(), pushes.Load(), again.Load(), failed.Load())
		})
	}
}

// TestBalancerDocs shows the configurations as they are.
func TestBalancerDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/deploy/load-balancers.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for b := range maps.Values(balancers) {
		shown[b.file] = true
	}
	for file := range shown {
		text, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), string(text)) {
			t.Errorf("the page does not show deploy/%s as it is", file)
		}
	}
}
