package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md")

// TestMain lets the test binary act as gantry, for what needs a process.
func TestMain(m *testing.M) {
	if os.Getenv("GANTRY_TEST_MAIN") == "1" {
		os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, nil))
	}
	os.Exit(m.Run())
}

type result struct {
	code     int
	out, err string
}

// gantry runs the program.
func gantry(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	code := execute(args, strings.NewReader(stdin), &out, &stderr, nil)
	return result{code, out.String(), stderr.String()}
}

// TestHelp holds that a stranger finds out what each command does, and what
// it is called with.
func TestHelp(t *testing.T) {
	root := (&cli{in: os.Stdin, out: io.Discard, err: io.Discard}).root()
	for _, cmd := range walk(root) {
		path := cmd.CommandPath()
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: Short %q, Long %q, Example %q", path, cmd.Short, cmd.Long, cmd.Example)
		}
		if strings.HasSuffix(cmd.Short, ".") || len(cmd.Short) > 60 {
			t.Errorf("%s: Short is a few words without a full stop: %q", path, cmd.Short)
		}
		for l := range strings.Lines(cmd.Long) {
			if len(l) > 81 {
				t.Errorf("%s: a line of Long is wider than a terminal: %q", path, l)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s does not say what it does", path, f.Name)
			}
		})
		for l := range strings.Lines(cmd.Example) {
			l = strings.TrimSpace(l)
			_, l, found := strings.Cut(" "+l, " gantry ") // after a pipe, too
			if !found {
				continue
			}
			l, _, _ = strings.Cut(l, " | ")
			named, _, err := root.Find(strings.Fields(l))
			if err != nil || named != cmd && cmd.HasParent() && !cmd.HasSubCommands() {
				t.Errorf("%s: the example %q is of %v, %v", path, l, named.CommandPath(), err)
			}
		}
		args := append(strings.Fields(path)[1:], "--help")
		if r := gantry(t, "", args...); r.code != 0 || !strings.Contains(r.out, "Usage:") || !strings.Contains(r.out, "Examples:") || !strings.HasPrefix(r.out, strings.SplitN(cmd.Long, "\n", 2)[0]) {
			t.Errorf("%s --help: %d\n%s%s", path, r.code, r.out, r.err)
		}
	}
}

// reference is docs/reference/cli.md.
func reference() string {
	var b strings.Builder
	b.WriteString("# Commands\n\nMade from the program by `go test ./cmd/gantry -update`; do not edit. " +
		"Exit codes: 0 well, 1 failed, 2 a command line that cannot be read; and of commands that work through the API of a server: " +
		"3 not signed in or not lately enough, 4 not allowed, 5 not there, 6 the server does not answer or cannot now.\n")
	for _, cmd := range walk((&cli{}).root()) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```sh\n%s\n```\n", cmd.CommandPath(), strings.TrimSpace(cmd.Long), trimLines(cmd.Example))
		if subs := cmd.Commands(); len(subs) > 0 {
			b.WriteString("\n| Command | |\n|---|---|\n")
			for _, sub := range subs {
				fmt.Fprintf(&b, "| `%s %s` | %s |\n", cmd.CommandPath(), sub.Use, sub.Short)
			}
		}
		flags := cmd.LocalFlags()
		if !flags.HasAvailableFlags() {
			continue
		}
		b.WriteString("\n| Flag | |\n|---|---|\n")
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			kind, usage := pflag.UnquoteUsage(f)
			name := "--" + f.Name
			if kind != "" {
				name += " " + strings.ToUpper(kind)
			}
			if f.DefValue != "" && f.DefValue != "false" {
				usage += " (`" + f.DefValue + "` unless told)"
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", "\\|"))
		})
	}
	return b.String()
}

func trimLines(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		out = append(out, strings.TrimSpace(l))
	}
	return strings.Join(out, "\n")
}

// TestReference holds that docs/reference/cli.md is what the program says.
func TestReference(t *testing.T) {
	const page = "../../docs/reference/cli.md"
	want := reference()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != want {
		t.Errorf("%s is stale (%v): run go test ./cmd/gantry -update", page, err)
	}
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string // on standard error, or output where that is empty
	}{
		{[]string{"version"}, 0, "gantry dev"},
		{[]string{"version", "--output", "json"}, 0, `"version": "dev"`},
		{[]string{"version", "--output", "yaml"}, 0, "version: dev"},
		{[]string{"version", "--output", "name"}, 2, "--output is text, json or yaml, not"},
		{[]string{"org", "list", "--output", "xml"}, 2, "--output is text, json, yaml or name, not"},
		{[]string{"completion", "bash"}, 0, "__complete"},
		{[]string{"completion", "tcsh"}, 2, "invalid argument"},
		{[]string{"user", "delete", "ada", "-o", "json"}, 1, `{"error":"this deletes ada`},
		{[]string{"user", "create", "-o", "json"}, 2, `{"error":"accepts 1 arg`},
		{[]string{"version", "extra"}, 2, "Run 'gantry version --help'"},
		{[]string{"nonsense"}, 2, "unknown command"},
		{[]string{"serve", "--nonsense"}, 2, "unknown flag"},
		{[]string{"serve", "--role", "ui,nonsense"}, 1, "choose from api, gc, jobs, mirror, notify, registry, replicate, ui, worker"},
		{[]string{"worker", "--only", "registry"}, 1, "choose from gc, jobs, mirror, notify, replicate, worker"},
		{[]string{"user"}, 0, "Usage:"},
		{[]string{"user", "create"}, 2, "accepts 1 arg"},
		{[]string{"user", "delete", "ada"}, 1, "--yes"},
		{[]string{"verify", "--rate", "fast"}, 1, "--rate"},
		{[]string{"user", "list", "--data", filepath.Join(t.TempDir(), "none")}, 1, "there is no registry in"},
		{[]string{"config", "validate", "--config", filepath.Join(t.TempDir(), "none")}, 1, ""},
		{[]string{"config", "validate"}, 0, ""},
	} {
		r := gantry(t, "", tt.args...)
		text := r.err
		if text == "" {
			text = r.out
		}
		if r.code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("gantry %s: code %d, want %d with %q\n%s%s", strings.Join(tt.args, " "), r.code, tt.code, tt.want, r.out, r.err)
		}
		if r.code == 1 && strings.Count(r.err, "\n") > 1 {
			t.Errorf("gantry %s: more than one line: %q", strings.Join(tt.args, " "), r.err)
		}
	}
}

// TestConfigValidate reports for people and for programs.
func TestConfigValidate(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("SERVER_HOSTNAME: x.example.com\nAUTHENTICATION_TYPE: Nonsense\n")
	if r := gantry(t, "", "config", "validate", "--config", dir); r.code != 1 || !strings.Contains(r.out, "config.yaml:2: AUTHENTICATION_TYPE") || r.err != "" {
		t.Errorf("%+v", r)
	}
	write("SERVER_HOSTNAME: x.example.com\nFEATURE_BUILD_SUPPORT: true\n")
	r := gantry(t, "", "config", "validate", "--config", dir, "--output", "json")
	var report struct {
		Valid      bool
		NotUsedYet []struct{ Field string } `json:"not_used_yet"`
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != 0 || !report.Valid || len(report.NotUsedYet) == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAccounts goes through the commands on a registry that does not run.
func TestAccounts(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	run := func(stdin string, args ...string) string {
		t.Helper()
		r := gantry(t, stdin, append(args, "--data", data)...)
		if r.code != 0 {
			t.Fatalf("gantry %s: %d\n%s", strings.Join(args, " "), r.code, r.err)
		}
		return r.out
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("correct-horse-9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]string{
		"superuser ada created": run("correct-horse-9\n", "user", "create", "ada", "--email", "ada@example.com"),
	} {
		if strings.TrimSpace(got) != what {
			t.Errorf("%q, want %q", got, what)
		}
	}
	run("", "user", "create", "bob", "--password-file", file)
	run("another-horse\n", "user", "set-password", "bob")
	run("", "user", "disable", "bob")
	if out := run("", "user", "list"); !strings.Contains(out, "ada@example.com") || !strings.Contains(out, "disabled") {
		t.Errorf("users:\n%s", out)
	}
	run("", "user", "enable", "bob")
	if out := run("", "user", "promote", "bob"); !strings.Contains(out, "bob is a superuser") {
		t.Error(out)
	}
	if out := run("", "user", "list"); strings.Count(out, "superuser") != 2 {
		t.Errorf("users:\n%s", out)
	}
	if out := run("", "user", "demote", "bob"); !strings.Contains(out, "bob is an ordinary user") {
		t.Error(out)
	}
	var token struct {
		Token   string
		Expires time.Time
	}
	if err := json.Unmarshal([]byte(run("", "user", "token", "bob", "--expires", "1h", "--scope", "repo:read,user:read", "-o", "json")), &token); err != nil ||
		len(token.Token) != 40 || time.Until(token.Expires) > time.Hour {
		t.Errorf("token: %+v, %v", token, err)
	}
	for _, args := range [][]string{{"user", "token", "bob", "--scope", "repo:everything"}, {"user", "token", "bob", "--expires", "-1h"},
		{"user", "token", "nobody"}, {"user", "promote", "nobody"}, {"user", "demote", "ada+ci"}} {
		if r := gantry(t, "", append(args, "--data", data)...); r.code != 1 || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	var robot struct{ Name, Token string }
	if err := json.Unmarshal([]byte(run("", "robot", "create", "bob+ci", "-o", "json")), &robot); err != nil || robot.Token == "" {
		t.Errorf("robot: %+v, %v", robot, err)
	}
	if out := run("", "robot", "token", "bob+ci"); !strings.Contains(out, robot.Token) {
		t.Errorf("token:\n%s", out)
	}
	if out := run("", "robot", "regenerate", "bob+ci"); strings.Contains(out, robot.Token) {
		t.Errorf("the same token again:\n%s", out)
	}
	if out := run("", "robot", "list", "bob"); !strings.Contains(out, "bob+ci") {
		t.Errorf("robots:\n%s", out)
	}
	run("", "robot", "delete", "bob+ci")
	run("", "user", "delete", "bob", "--yes")
	run("", "gc")
	if out := run("", "verify", "--rate", "0"); !strings.Contains(out, "Everything is whole.") {
		t.Errorf("verify:\n%s", out)
	}
	if out := run("", "verify", "--rate", "0", "--output", "json"); strings.Contains(out, "null") || !strings.Contains(out, `"flaws": []`) {
		t.Errorf("verify --output json:\n%s", out)
	}
	if out := run("", "db", "status"); !strings.Contains(out, "up to date") {
		t.Errorf("db status:\n%s", out)
	}
	run("", "db", "migrate", "--output", "json")
	for _, stdin := range []string{"", "\n", "short\n", "with blanks in it\n", "ääää\n", "latin-1 \xe4\xf6\xfc\xdf\n", "nul\x00inside\n", strings.Repeat("x", 5000)} {
		if r := gantry(t, stdin, "user", "create", "eve", "--data", data); r.code != 1 || !strings.HasPrefix(r.err, "gantry: ") {
			t.Errorf("password %.20q: %+v", stdin, r)
		}
	}
}

// TestProcess starts the program as a process: it says where it listens,
// commands reach it, a second one is refused, and SIGTERM ends it well.
func TestProcess(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	cmd, ready := process(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--metrics", "off")
	req, err := http.NewRequestWithContext(t.Context(), "GET", ready["address"].(string)+"/health/instance", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("health: %v, %v", res, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	if r := gantry(t, "correct-horse-9\n", "user", "create", "ada", "--data", data); r.code != 0 {
		t.Errorf("user create: %+v", r)
	}
	// What a command makes works at once in the server that runs.
	for _, step := range []struct {
		args []string
		want int
	}{{[]string{"user", "token", "ada"}, 201}, {[]string{"user", "token", "ada", "--scope", "user:read"}, 403}} {
		r := gantry(t, "", append(step.args, "--data", data, "-o", "json")...)
		var made struct{ Token string }
		if err := json.Unmarshal([]byte(r.out), &made); err != nil {
			t.Fatalf("%v: %+v", step.args, r)
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", ready["address"].(string)+"/api/v1/organization/", strings.NewReader(`{"name":"acme"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+made.Token)
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != step.want {
			t.Fatalf("%v: %v, %v", step.args, res, err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	second := exec.CommandContext(t.Context(), os.Args[0], "serve", "--data", data, "--listen", "127.0.0.1:0", "--metrics", "off")
	second.Env = append(os.Environ(), "GANTRY_TEST_MAIN=1")
	if out, err := second.CombinedOutput(); second.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "data folder "+data+" is in use") {
		t.Errorf("a second one: %v\n%s", err, out)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// TestSecondSignal ends a drain that waits.
func TestSecondSignal(t *testing.T) {
	cmd, ready := process(t, "serve", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--metrics", "off")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(ready["address"].(string), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // a request that does not end
	if _, err := io.WriteString(conn, "POST /api/v1/user/initialize HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil { // "HTTP/1.1 100": the handler reads
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		_ = cmd.Process.Signal(syscall.SIGTERM) // once is a drain, which waits for 25 s; twice ends it
		select {
		case err := <-ended:
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("code %d: %v", code, err)
			}
			return
		case <-tick.C:
			if time.Since(began) > 20*time.Second {
				t.Fatal("it still runs")
			}
		}
	}
}

// process starts the program and returns what it logs when it is ready.
func process(t *testing.T, args ...string) (*exec.Cmd, map[string]any) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "GANTRY_TEST_MAIN=1")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // fails where it has ended
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("the log is not JSON: %q", lines.Text())
		}
		if line["msg"] == "ready" {
			go func() {
				for lines.Scan() { // so that it never waits for a reader
				}
			}()
			return cmd, line
		}
	}
	t.Fatalf("it ended before it was ready: %v", cmd.Wait())
	return nil, nil
}
