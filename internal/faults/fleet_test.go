package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// binary builds the server once.
var binary = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("GANTRY_BIN"); bin != "" {
		return bin, nil
	}
	dir, err := servertest.Dir()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "gantry")
	return bin, servertest.Run("../..", nil, "go", "build", "-o", bin, "./cmd/gantry")
})

// A fleet is instances on one database and storage.
type fleet struct {
	t         testing.TB
	dir       string         // of the configuration
	config    map[string]any // config.yaml
	instances []*instance
	first     struct { // the first account, a superuser
		AccessToken string `json:"access_token"`
	}
}

// An instance is one process of the server.
type instance struct {
	fleet *fleet
	n     int
	port  int
	env   []string
	// namespace is the network that the process is in; none: ours.
	namespace namespace
	proc      *servertest.Process
	logs      []string // files, one of each life
}

// newFleet starts n instances on a configuration. The first account is made.
func newFleet(t testing.TB, n int, config map[string]any) *fleet {
	t.Helper()
	f := prepareFleet(t, n, config)
	f.begin()
	return f
}

// prepareFleet is newFleet without the start.
func prepareFleet(t testing.TB, n int, config map[string]any) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), config: map[string]any{
		"SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
		"FEATURE_USER_INITIALIZE": true, "SERVER_HOSTNAME": "fleet.example.com", "CREATE_PRIVATE_REPO_ON_PUSH": true,
		"GARBAGE_COLLECTION_FREQUENCY": 1, "DEFAULT_TAG_EXPIRATION": "0s", "TAG_EXPIRATION_OPTIONS": []string{"0s", "2w"},
	}}
	for k, v := range config {
		f.config[k] = v
	}
	f.configure(nil)
	for i := range n {
		f.instances = append(f.instances, &instance{fleet: f, n: i})
	}
	return f
}

// configure changes fields of the configuration, for instances that start
// later.
func (f *fleet) configure(fields map[string]any) {
	t := f.t
	t.Helper()
	for k, v := range fields {
		f.config[k] = v
	}
	b, err := json.Marshal(f.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "config.yaml"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// begin starts the instances and makes the first account.
func (f *fleet) begin() {
	t := f.t
	t.Helper()
	for _, in := range f.instances {
		in.start()
	}
	cl := f.client(new(tally))
	body := fmt.Sprintf(`{"username":%q,"password":%q,"email":"ada@example.com","access_token":true}`, user, password)
	if a, err := cl.do("POST", "/api/v1/user/initialize", []byte(body), "Content-Type", "application/json"); err != nil || a.status != 200 {
		t.Fatalf("the first account: %d %s %v", a.status, a.body, err)
	} else if err := json.Unmarshal(a.body, &f.first); err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) bases() []string {
	var all []string
	for _, in := range f.instances {
		all = append(all, in.base())
	}
	return all
}

func (in *instance) base() string {
	return fmt.Sprintf("http://%s:%d", cmp.Or(in.namespace.address, "127.0.0.1"), in.port)
}

// start starts the process and waits until it is ready. It keeps its port.
func (in *instance) start() {
	t := in.fleet.t
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for try := 0; ; try++ {
		if in.port == 0 || try > 0 {
			if in.port, err = servertest.Port(); err != nil {
				t.Fatal(err)
			}
		}
		if err = in.launch(bin); err != nil {
			t.Fatal(err)
		}
		err = in.proc.Ready(func(ctx context.Context) error { return get(ctx, in.base()+"/health/instance") })
		if err == nil {
			t.Cleanup(in.proc.Kill)
			return
		}
		if try == 2 || !strings.Contains(err.Error(), "address already in use") {
			t.Fatalf("instance %d: %v", in.n, err)
		}
	}
}

// launch starts the process, and does not wait.
func (in *instance) launch(bin string) (err error) {
	args := []string{bin, "serve", "--config", in.fleet.dir, "--data", in.data(), "--listen", strings.TrimPrefix(in.base(), "http://"), "--metrics", "off"}
	if in.namespace.name != "" {
		args = append([]string{"ip", "netns", "exec", in.namespace.name}, args...)
	}
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), in.env...)
	in.logs = append(in.logs, filepath.Join(logs(in.fleet.t), fmt.Sprintf("instance-%d-%d.log", in.n, len(in.logs))))
	in.proc, err = servertest.Launch(cmd, in.logs[len(in.logs)-1], nil, syscall.SIGKILL)
	return err
}

// data is the instance's data folder.
func (in *instance) data() string { return filepath.Join(in.fleet.dir, fmt.Sprint("data", in.n)) }

// tries starts the process where it cannot become ready, and kills it after a
// while, unless it has ended itself.
func (in *instance) tries(d time.Duration) {
	t := in.fleet.t
	t.Helper()
	bin, err := binary()
	if err == nil {
		err = in.launch(bin)
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-in.proc.Gone():
	case <-time.After(d):
	}
	in.proc.Kill()
}

// restart stops the process in order and starts it again.
func (in *instance) restart() {
	t := in.fleet.t
	t.Helper()
	if err := in.proc.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	<-in.proc.Gone()
	in.start()
}

// logs is where the instances of a test write: below the folder
// GANTRY_FAULTS_LOGS, where they stay, or else where they go with the test.
func logs(t testing.TB) string {
	dir := os.Getenv("GANTRY_FAULTS_LOGS")
	if dir == "" {
		return t.TempDir()
	}
	dir = filepath.Join(dir, t.Name())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// internal returns the lines of the log with answers 500, which nobody should
// get.
func (in *instance) internal() string {
	var all []string
	for _, path := range in.logs {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // the test ends
		}
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, `"status":500`) || strings.Contains(line, `"request failed"`) && !strings.Contains(line, "unavailable (") {
				all = append(all, line)
			}
		}
	}
	return strings.Join(all[:min(len(all), 20)], "")
}

// get is nil for the answer 200.
func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return nil
}
