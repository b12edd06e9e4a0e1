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
	gantry     bool   // it is Gantry, started by us
	suffix     string // of repositories, where earlier runs left theirs
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
	stop, err := start(bin, dir)
	if err != nil {
		return 1, errors.Join(err, os.RemoveAll(dir))
	}
	code := m.Run()
	if err := stop(); err != nil {
		return 1, errors.Join(err, os.RemoveAll(dir))
	}
	return code, os.RemoveAll(dir)
}

// start starts the binary with data in dir, makes the first account and
// returns what stops it; its error says that the server did not end well.
func start(bin, dir string) (func() error, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), bin, "serve", "--data", filepath.Join(dir, "data"), "--listen", addr, "--metrics", "off")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	reg = registry{base: "http://" + addr, host: addr, user: "ada", pass: "correct-horse-9", gantry: true}
	tail := func(err error) error {
		text, _ := os.ReadFile(log.Name()) // it is only shown
		if len(text) > 8192 {
			text = text[len(text)-8192:]
		}
		return fmt.Errorf("%w\nthe server said:\n%s", err, text)
	}
	stop := func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return tail(fmt.Errorf("the server ended by itself: %w", err))
		}
		select {
		case err := <-ended:
			if err != nil {
				return tail(fmt.Errorf("after SIGTERM: %w", err))
			}
			return nil
		case <-time.After(40 * time.Second):
			_ = cmd.Process.Kill() // it is reported as it is
			return tail(errors.New("the server did not end within 40 s of SIGTERM"))
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			return nil, tail(fmt.Errorf("the server does not start: %w", err))
		default:
		}
		if res, err := fetch(context.Background(), http.MethodGet, reg.base+"/health/instance", nil, nil); err == nil && res.status == http.StatusOK {
			break
		} else if time.Now().After(deadline) {
			return nil, errors.Join(tail(errors.New("the server is not ready within 30 s")), err, stop())
		}
	}
	body, err := json.Marshal(map[string]any{"username": reg.user, "password": reg.pass, "email": "ada@example.com", "access_token": true})
	if err != nil {
		return nil, err
	}
	res, err := fetch(context.Background(), http.MethodPost, reg.base+"/api/v1/user/initialize", http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil || res.status != http.StatusOK {
		return nil, errors.Join(tail(fmt.Errorf("first account: %d %s", res.status, res.body)), err, stop())
	}
	return stop, nil
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
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := plain.Do(req)
	if err != nil {
		return answer{}, err
	}
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, b}, errors.Join(err, res.Body.Close())
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
