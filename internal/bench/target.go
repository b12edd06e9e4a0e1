// Package bench measures registries side by side, from the outside: it starts
// them as processes, drives them over HTTP and reads /proc. It needs Linux,
// knows nothing of Gantry's inside and is not shipped.
package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Names of the targets.
const (
	Gantry       = "gantry"
	Distribution = "distribution"    // github.com/distribution/distribution/v3
	Debian       = "docker-registry" // Debian's package of distribution 2.8
)

// The distribution that Gantry is measured beside.
const (
	DistributionPackage = "github.com/distribution/distribution/v3/cmd/registry"
	DistributionVersion = "v3.1.2"
)

// The account that the benchmark makes on Gantry; its name is the namespace
// everywhere.
const (
	namespace = "bench"
	password  = "bench-Password-1" // of a server that lives for minutes on the loopback interface
)

const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second
	opTimeout    = 5 * time.Minute // for one operation: a hang must not hang the benchmark
	tokenFresh   = 4 * time.Minute // tokens older than this are fetched again
)

// errUnsupported is a target that does not have what a scenario measures.
var errUnsupported = errors.New("not supported")

// A Target is a running registry.
type Target struct {
	Name string
	Addr string // host:port
	Dir  string // its own folder: data, configuration, log

	Ready time.Duration // from the start of the process to its first answer

	cmd    *exec.Cmd
	ended  chan struct{} // closed once the process is gone
	token  bool          // tokens are needed
	oauth  string        // token for Gantry's REST API
	mu     sync.Mutex
	cached map[string]cachedToken // by scope
}

type cachedToken struct {
	token string
	at    time.Time
}

// pid is the process to measure.
func (t *Target) pid() int { return t.cmd.Process.Pid }

// tree is the root of distribution's storage layout, or "" for a target that
// is not a distribution.
func (t *Target) tree() string {
	if t.Name == Gantry {
		return ""
	}
	return filepath.Join(t.Dir, "data", "docker", "registry", "v2")
}

// start runs the registry named name with its data in dir/data and waits
// until it answers. The caller calls stop.
func (o *Options) start(ctx context.Context, name, dir string) (*Target, error) {
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	t := &Target{Name: name, Addr: addr, Dir: dir}
	return t, o.run(ctx, t)
}

// run starts t's process and makes t ready for scenarios.
func (o *Options) run(ctx context.Context, t *Target) error {
	data := filepath.Join(t.Dir, "data")
	var argv []string
	switch t.Name {
	case Gantry:
		t.token = true
		argv = []string{o.Gantry, "serve", "--listen", t.Addr, "--data", data, "--metrics", "off"}
	case Distribution, Debian:
		binary := o.Distribution
		if t.Name == Debian {
			binary = o.Debian
		}
		config := filepath.Join(t.Dir, "config.yml")
		if err := os.WriteFile(config, []byte(peerConfig(t.Addr, data)), 0o600); err != nil {
			return err
		}
		argv = []string{binary, "serve", config}
	default:
		return fmt.Errorf("unknown target %q: there are %s, %s and %s", t.Name, Gantry, Distribution, Debian)
	}
	return t.exec(ctx, argv)
}

// exec starts argv as t's process and waits until it answers.
func (t *Target) exec(ctx context.Context, argv []string) error {
	// Not CommandContext: an interrupt must not kill the server under a
	// scenario before stop has had its turn.
	t.cmd = exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // the caller names the binaries; see above
	t.cmd.Dir = t.Dir
	t.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none")
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the terminal reaches the benchmark alone
	log, err := os.OpenFile(filepath.Join(t.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process holds its own descriptor
	t.cmd.Stdout, t.cmd.Stderr = log, log
	began := time.Now()
	if err := t.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", t.Name, err)
	}
	ended := make(chan struct{})
	t.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // how it ended is in the log
		close(ended)
	}(t.cmd)
	if err := t.wait(ctx); err != nil {
		err = fmt.Errorf("%w\n%s", err, t.logTail())
		t.stop()
		return fmt.Errorf("start %s: %w", t.Name, err)
	}
	t.Ready = time.Since(began)
	return nil
}

// wait returns once /v2/ answers.
func (t *Target) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	c := NewConn(t.Addr)
	defer c.Close()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := c.Do(ctx, time.Now().Add(time.Second), t.head("GET", "/v2/", ""), nil, 0)
		if err == nil && (res.Status == 200 || res.Status == 401) {
			return nil
		}
		select {
		case <-t.ended:
			return errors.New("the process ended")
		case <-ctx.Done():
			return fmt.Errorf("not ready in %v: status %d, %w", readyTimeout, res.Status, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// stop ends the process, at first kindly.
func (t *Target) stop() {
	_ = t.cmd.Process.Signal(syscall.SIGTERM) // fails once it has ended: fine
	select {
	case <-t.ended:
	case <-time.After(stopTimeout):
		_ = t.cmd.Process.Kill()
		<-t.ended
	}
}

// logTail returns the end of what the server wrote.
func (t *Target) logTail() string {
	p, err := os.ReadFile(filepath.Join(t.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(p[max(0, len(p)-2000):])
}

// peerConfig is the configuration of both distributions: files, no
// authentication, no access log, the descriptor cache of their sample
// configuration, deletes allowed.
func peerConfig(addr, data string) string {
	return `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: ` + data + `
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
  redirect:
    disable: true
  maintenance:
    uploadpurging:
      enabled: false
catalog:
  maxentries: 1000
http:
  addr: ` + addr + `
  secret: not-a-secret
`
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// head builds a request's first bytes, up to and with the empty line. auth
// is the value of Authorization, "" for none.
func (t *Target) head(method, path, auth string, fields ...string) []byte {
	var b bytes.Buffer
	b.WriteString(method + " " + path + " HTTP/1.1\r\nHost: " + t.Addr + "\r\nUser-Agent: gantry-bench\r\n")
	if auth != "" {
		b.WriteString("Authorization: " + auth + "\r\n")
	}
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// initialize makes the first account of a Gantry; other targets need none.
func (t *Target) initialize(ctx context.Context) error {
	if !t.token {
		return nil
	}
	body := mustJSON(map[string]any{
		"username": namespace, "password": password, "email": "bench@example.com", "access_token": true,
	})
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := t.api(ctx, "POST", "/api/v1/user/initialize", body, &answer); err != nil {
		return fmt.Errorf("make the first account: %w", err)
	}
	t.oauth = answer.Token
	return nil
}

// api calls Gantry's REST API and decodes the answer into v.
func (t *Target) api(ctx context.Context, method, path string, body []byte, v any) error {
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	auth := ""
	if t.oauth != "" {
		auth = "Bearer " + t.oauth
	}
	head := t.head(method, path, auth, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)))
	res, err := c.Do(ctx, time.Now().Add(opTimeout), head, net.Buffers{body}, 1<<20)
	if err := expect(method+" "+path, res, err, 200, 201); err != nil {
		return err
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(res.Body, v); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// basic is the Authorization of a name and password.
func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// tokenPath is the path that a token for scopes is fetched from.
func (t *Target) tokenPath(scopes ...string) string {
	q := url.Values{"service": {t.Addr}, "scope": scopes}
	return "/v2/auth?" + q.Encode()
}

// fetchToken asks for a token over c. auth is "" for an anonymous one.
func (t *Target) fetchToken(ctx context.Context, c *Conn, auth string, scopes ...string) (string, error) {
	res, err := c.Do(ctx, time.Now().Add(opTimeout), t.head("GET", t.tokenPath(scopes...), auth), nil, 64<<10)
	if err := expect("token", res, err, 200); err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(res.Body, &answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("token: no token in the answer: %.100q", res.Body)
	}
	return answer.Token, nil
}

// auth returns the Authorization for scopes: a token that is fresh for a
// whole round, or "" where none is needed.
func (t *Target) auth(ctx context.Context, scopes ...string) (string, error) {
	if !t.token {
		return "", nil
	}
	key := strings.Join(scopes, " ")
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.cached[key]; ok && time.Since(c.at) < tokenFresh {
		return c.token, nil
	}
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	token, err := t.fetchToken(ctx, c, basic(namespace, password), scopes...)
	if err != nil {
		return "", err
	}
	if t.cached == nil || len(t.cached) > 1000 {
		t.cached = map[string]cachedToken{}
	}
	t.cached[key] = cachedToken{"Bearer " + token, time.Now()}
	return "Bearer " + token, nil
}

func pull(repo string) string { return "repository:" + repo + ":pull" }
func push(repo string) string { return "repository:" + repo + ":pull,push" }

// expect turns an answer that is none of statuses into an error.
func expect(what string, res Response, err error, statuses ...int) error {
	if err != nil {
		return err
	}
	for _, s := range statuses {
		if res.Status == s {
			return nil
		}
	}
	return fmt.Errorf("%s: status %d, want %v: %.300q", what, res.Status, statuses, res.Body)
}

// A session is a connection with the right to use one repository.
type session struct {
	t    *Target
	repo string // "bench/name"
	auth string
}

// session gets a token for repo (pull and push), and for the scopes besides.
func (t *Target) session(ctx context.Context, repo string, more ...string) (session, error) {
	auth, err := t.auth(ctx, append([]string{push(repo)}, more...)...)
	return session{t, repo, auth}, err
}

// path is the URL path of something in the repository.
func (s session) path(rest string) string { return "/v2/" + s.repo + "/" + rest }

func (s session) head(method, rest string, fields ...string) []byte {
	return s.t.head(method, s.path(rest), s.auth, fields...)
}

func (s session) do(ctx context.Context, c *Conn, head []byte, body net.Buffers, status int) (Response, error) {
	res, err := c.Do(ctx, time.Now().Add(opTimeout), head, body, 0)
	if err := expect(requestLine(head), res, err, status); err != nil {
		return res, err
	}
	return res, nil
}

func requestLine(head []byte) string {
	line, _, _ := bytes.Cut(head, []byte(" HTTP/1.1\r\n"))
	return string(line)
}

// location returns the path and query of an answer's Location.
func location(res Response) (string, error) {
	at := res.Get("Location")
	if strings.HasPrefix(at, "/") {
		return at, nil
	}
	u, err := url.Parse(at)
	if err != nil || at == "" {
		return "", fmt.Errorf("bad Location %.100q", at)
	}
	return u.RequestURI(), nil
}

// begin starts an upload and returns where it goes on.
func (s session) begin(ctx context.Context, c *Conn) (string, error) {
	res, err := s.do(ctx, c, s.head("POST", "blobs/uploads/", "Content-Length: 0"), nil, 202)
	if err != nil {
		return "", err
	}
	return location(res)
}

// with adds digest to an upload's location.
func with(at, digest string) string {
	sep := "?"
	if strings.Contains(at, "?") {
		sep = "&"
	}
	return at + sep + "digest=" + url.QueryEscape(digest)
}

func contentLength(n int64) string { return fmt.Sprintf("Content-Length: %d", n) }

const octets = "Content-Type: application/octet-stream"

// put uploads b by POST and one PUT.
func (s session) put(ctx context.Context, c *Conn, b *Blob) error {
	at, err := s.begin(ctx, c)
	if err != nil {
		return err
	}
	head := s.t.head("PUT", with(at, b.Digest), s.auth, octets, contentLength(b.Size))
	_, err = s.do(ctx, c, head, b.span(nil, 0, b.Size), 201)
	return err
}

// stream uploads b by POST, one PATCH in chunked transfer encoding, PUT.
func (s session) stream(ctx context.Context, c *Conn, b *Blob) error {
	at, err := s.begin(ctx, c)
	if err != nil {
		return err
	}
	res, err := s.do(ctx, c, s.t.head("PATCH", at, s.auth, octets, "Transfer-Encoding: chunked"), b.stream(nil), 202)
	if err != nil {
		return err
	}
	return s.finish(ctx, c, res, b.Digest)
}

// chunked uploads b by POST, a PATCH with Content-Range for each size bytes,
// PUT.
func (s session) chunked(ctx context.Context, c *Conn, b *Blob, size int64) error {
	at, err := s.begin(ctx, c)
	if err != nil {
		return err
	}
	var res Response
	for from := int64(0); from < b.Size; from += size {
		to := min(from+size, b.Size)
		head := s.t.head("PATCH", at, s.auth, octets, contentLength(to-from), fmt.Sprintf("Content-Range: %d-%d", from, to-1))
		if res, err = s.do(ctx, c, head, b.span(nil, from, to), 202); err != nil {
			return err
		}
		if at, err = location(res); err != nil {
			return err
		}
	}
	return s.finish(ctx, c, res, b.Digest)
}

func (s session) finish(ctx context.Context, c *Conn, patched Response, digest string) error {
	at, err := location(patched)
	if err != nil {
		return err
	}
	_, err = s.do(ctx, c, s.t.head("PUT", with(at, digest), s.auth, "Content-Length: 0"), nil, 201)
	return err
}

// putSmall uploads b as docker and skopeo do: HEAD, POST, PATCH, PUT.
func (s session) putSmall(ctx context.Context, c *Conn, b SmallBlob) error {
	if _, err := s.do(ctx, c, s.head("HEAD", "blobs/"+b.Digest), nil, 404); err != nil {
		return err
	}
	at, err := s.begin(ctx, c)
	if err != nil {
		return err
	}
	n := int64(len(b.Data))
	res, err := s.do(ctx, c, s.t.head("PATCH", at, s.auth, octets, contentLength(n)), net.Buffers{b.Data}, 202)
	if err != nil {
		return err
	}
	return s.finish(ctx, c, res, b.Digest)
}

// putWhole uploads data by POST and PUT, whether it is there or not.
func (s session) putWhole(ctx context.Context, c *Conn, b SmallBlob) error {
	at, err := s.begin(ctx, c)
	if err != nil {
		return err
	}
	head := s.t.head("PUT", with(at, b.Digest), s.auth, octets, contentLength(int64(len(b.Data))))
	_, err = s.do(ctx, c, head, net.Buffers{b.Data}, 201)
	return err
}

// putManifest puts a manifest under ref, a tag or its digest.
func (s session) putManifest(ctx context.Context, c *Conn, ref string, data []byte) error {
	head := s.head("PUT", "manifests/"+ref, "Content-Type: "+mediaManifest, contentLength(int64(len(data))))
	_, err := s.do(ctx, c, head, net.Buffers{data}, 201)
	return err
}

// pushImage pushes img under tag.
func (s session) pushImage(ctx context.Context, c *Conn, tag string, img *Image) error {
	for _, b := range img.Blobs {
		if err := s.putSmall(ctx, c, b); err != nil {
			return err
		}
	}
	return s.putManifest(ctx, c, tag, img.Manifest)
}

const accept = "Accept: " + mediaManifest + ", application/vnd.oci.image.index.v1+json, " +
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

// fetch reads path whole and checks its digest, unless want is "".
func (s session) fetch(ctx context.Context, c *Conn, rest, want string, fields ...string) (Response, error) {
	h := newDigester()
	c.Tee = h
	defer func() { c.Tee = nil }()
	res, err := s.do(ctx, c, s.head("GET", rest, fields...), nil, 200)
	if err == nil && want != "" && h.digest() != want {
		err = fmt.Errorf("GET %s: the bytes have digest %s, want %s", rest, h.digest(), want)
	}
	return res, err
}
