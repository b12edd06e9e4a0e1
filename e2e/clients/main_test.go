package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A registry is what the tests talk to.
type registry struct {
	base       string // "http://127.0.0.1:1234"
	host       string // without the scheme
	user, pass string
	gantry     bool    // it is Gantry, started by us
	server     *server // if so
	account            // if so, of user
	suffix     string  // of repositories, where earlier runs left theirs
}

// reg is set by TestMain.
var reg registry

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if t := os.Getenv("E2E_TARGET"); t != "" {
		f := strings.Split(t, ",")
		if len(f) != 3 {
			return 1, errors.New("E2E_TARGET is URL,USER,PASSWORD")
		}
		reg = registry{base: strings.TrimSuffix(f[0], "/"), user: f[1], pass: f[2]}
		reg.suffix = "-" + strconv.FormatInt(time.Now().UnixMilli(), 36)
		reg.host = reg.base[strings.Index(reg.base, "://")+3:]
		return m.Run(), nil
	}
	bin := os.Getenv("GANTRY_BIN")
	if bin == "" {
		return 1, errors.New("set GANTRY_BIN to a gantry binary (make test-clients does), or E2E_TARGET to URL,USER,PASSWORD")
	}
	dir, err := os.MkdirTemp("", "gantry-clients-")
	if err != nil {
		return 1, err
	}
	s, err := start(bin, dir)
	var a account
	if err == nil {
		if a, err = s.initialize(); err != nil {
			err = errors.Join(err, s.stop())
		}
	}
	if err != nil {
		return 1, errors.Join(err, os.RemoveAll(dir))
	}
	reg = registry{base: s.base, host: s.addr, user: user, pass: pass, gantry: true, server: s, account: a}
	code := m.Run()
	if err := s.stop(); err != nil {
		return 1, errors.Join(err, os.RemoveAll(dir))
	}
	return code, os.RemoveAll(dir)
}

// The first account of every Gantry that a test starts.
const user, pass = "ada", "correct-horse-9"

// A server is a Gantry that runs.
type server struct {
	base   string // "http://127.0.0.1:1234"
	addr   string // without the scheme
	client *http.Client
	cmd    *exec.Cmd
	ended  chan error // its end, once
	log    string     // file
	data   string     // folder
}

// freeAddr is an address that nothing listens on just now.
func freeAddr() (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// start starts the binary with its data below dir and waits until it is ready.
func start(bin, dir string, args ...string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &server{base: "http://" + addr, addr: addr, client: plain}
	return s, s.serve(bin, dir, args...)
}

// serve runs the binary at the address, with its data below dir.
func (s *server) serve(bin, dir string, args ...string) error {
	s.data = filepath.Join(dir, "data")
	args = append([]string{"serve", "--data", s.data, "--listen", s.addr, "--metrics", "off"}, args...)
	return s.run(dir, exec.CommandContext(context.Background(), bin, args...))
}

// run runs what serves at the address, with its log in dir, and waits until it
// is ready.
func (s *server) run(dir string, cmd *exec.Cmd) error {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	s.cmd, s.log, s.ended = cmd, log.Name(), make(chan error, 1)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// A group, so that kill ends what it started, too; and it does not outlive a test that panics.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return s.ready()
}

// readyWithin bounds the wait for a server's start: what hangs fails with the
// server's log, and a machine under load has time enough.
const readyWithin = 2 * time.Minute

// ready waits until the server says that it takes traffic. When it does not,
// it is stopped.
func (s *server) ready() error {
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-s.ended:
			return s.tail(fmt.Errorf("the server does not start: %w", err))
		default:
		}
		res, err := s.fetch(context.Background(), http.MethodGet, "/health/instance", nil, nil)
		if err == nil && res.status == http.StatusOK {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(s.tail(fmt.Errorf("the server is not ready within %s", readyWithin)), err, s.kill())
		}
	}
}

// initialize makes the first account and returns the token of the API and the
// encrypted password that it got.
func (s *server) initialize() (account, error) {
	var a account
	res, err := s.fetch(context.Background(), http.MethodPost, "/api/v1/user/initialize", http.Header{"Content-Type": {"application/json"}},
		[]byte(`{"username":"`+user+`","password":"`+pass+`","email":"ada@example.com","access_token":true}`))
	if err == nil && res.status == http.StatusOK {
		err = json.Unmarshal(res.body, &a)
	}
	if err != nil || res.status != http.StatusOK {
		return a, errors.Join(s.tail(fmt.Errorf("first account: %d %s", res.status, res.body)), err)
	}
	return a, nil
}

// An account is what initialize answers.
type account struct {
	Token     string `json:"access_token"`
	Encrypted string `json:"encrypted_password"`
}

// fetch sends one request without credentials to the server.
func (s *server) fetch(ctx context.Context, method, path string, header http.Header, body []byte) (answer, error) {
	return sendWith(ctx, s.client, method, s.base+path, header, bytes.NewReader(body))
}

// stop asks the server to end, and says whether it did so well.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return s.tail(fmt.Errorf("the server ended by itself: %w", err))
	}
	select {
	case err := <-s.ended:
		if err != nil {
			return s.tail(fmt.Errorf("after SIGTERM: %w", err))
		}
		return nil
	case <-time.After(40 * time.Second):
		return errors.Join(s.tail(errors.New("the server did not end within 40 s of SIGTERM")), s.kill())
	}
}

// kill ends the server at once, as a crash does.
func (s *server) kill() error {
	err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	if <-s.ended == nil {
		err = errors.Join(err, errors.New("the server had ended by itself"))
	}
	// What was waited for may be make, and the server a moment longer there.
	for deadline := time.Now().Add(readyWithin); len(processesOf(s.addr)) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("still running after SIGKILL: %q", processesOf(s.addr)))
		}
	}
	return err
}

// tail adds the end of the server's log to an error.
func (s *server) tail(err error) error {
	text, _ := os.ReadFile(s.log) // it is only shown
	if len(text) > 8192 {
		text = text[len(text)-8192:]
	}
	return fmt.Errorf("%w\nthe server said:\n%s", err, text)
}

// An answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// fetch sends one request without credentials. It does not follow redirects.
func fetch(ctx context.Context, method, url string, header http.Header, body []byte) (answer, error) {
	return send(ctx, method, url, header, bytes.NewReader(body))
}

var plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func send(ctx context.Context, method, url string, header http.Header, body io.Reader) (answer, error) {
	return sendWith(ctx, plain, method, url, header, body)
}

func sendWith(ctx context.Context, client *http.Client, method, url string, header http.Header, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, b}, errors.Join(err, res.Body.Close())
}

// own starts a server for this test alone, with a first account. It is stopped
// at the test's end.
func own(t *testing.T, args ...string) (*server, account) {
	t.Helper()
	onlyGantry(t, "it needs a server of its own")
	s, err := start(os.Getenv("GANTRY_BIN"), t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	a, err := s.initialize()
	if err != nil {
		t.Fatal(err)
	}
	return s, a
}

// call sends a request to the API of a server with the token of the first
// account, and decodes the answer.
func (s *server) call(t *testing.T, a account, method, path, body string, to any) {
	t.Helper()
	res, err := s.fetch(t.Context(), method, "/api/v1/"+path, http.Header{"Authorization": {"Bearer " + a.Token}, "Content-Type": {"application/json"}}, []byte(body))
	if err != nil || res.status >= 300 {
		t.Fatalf("%s %s: %d %s, %v", method, path, res.status, res.body, err)
	}
	if to != nil {
		if err := json.Unmarshal(res.body, to); err != nil {
			t.Fatal(err)
		}
	}
}

// repo returns a repository of this test in this run alone.
func repo(t *testing.T) string {
	t.Helper()
	return reg.user + "/" + strings.NewReplacer("/", "-", "_", "-").Replace(strings.ToLower(t.Name())) + reg.suffix
}

// onlyGantry leaves a test out where another registry is the target.
func onlyGantry(t *testing.T, what string) {
	t.Helper()
	if !reg.gantry {
		t.Skipf("another registry: %s", what)
	}
}
