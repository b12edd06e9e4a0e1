package faults

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// What BenchmarkFleet aims at.
const (
	aimRatio = 0.8  // of an instance's rate, that each further one adds
	aimCPU   = 1.10 // CPU for a request, of that with one instance
)

// fleetShare is how much of one core each instance gets.
const fleetShare = 0.10

// BenchmarkFleet measures 1, 2 and 4 instances on one PostgreSQL and one
// storage behind HAProxy, each held to a tenth of a core, so that two cores
// are enough for all of them, the database, HAProxy and the clients. It prints
// a table and, with GANTRY_FLEET_DOCS=path, writes it into that page, between
// its marks. GANTRY_FLEET_SECONDS is how long each figure is measured; 0 = 10.
// Control groups are made by root.
func BenchmarkFleet(b *testing.B) {
	took := 10 * time.Second
	if s := os.Getenv("GANTRY_FLEET_SECONDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		took = time.Duration(n) * time.Second
	}
	for b.Loop() {
		lines := []string{fmt.Sprintf("%s, %s for each figure; load average before: %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), took, load())}
		for _, s := range storms {
			lines = append(lines, "")
			lines = append(lines, benchFleet(b, s, took)...)
		}
		fmt.Println(strings.Join(lines, "\n"))
		if path := os.Getenv("GANTRY_FLEET_DOCS"); path != "" {
			if err := servertest.PutBetween(path, "figures", lines); err != nil {
				b.Error(err)
			}
		}
	}
}

// load is the load average of the last minute.
func load() string {
	s, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(s), " ")
	return one
}

// A fleetFigure is what one kind of request did with so many instances.
type fleetFigure struct {
	rate float64 // per second
	cpu  float64 // ms of all instances for one
}

// benchFleet measures on one storage.
func benchFleet(b *testing.B, s storm, took time.Duration) []string {
	b.Helper()
	config := map[string]any{"DB_URI": storetest.EmptyURI(b, storetest.Postgres), "DISTRIBUTED_STORAGE_CONFIG": s.storage(b)}
	withRedis(b, config)
	f := newFleet(b, 1, config)
	never := func() bool { return false }
	var seen tally
	owner := f.client(&seen)
	img := newImage(rand.New(rand.NewPCG(1, 2)), user+"/app0", "bench", nil)
	if err := owner.push(img, never); err != nil {
		b.Fatal(err)
	}
	if err := owner.login(); err != nil {
		b.Fatal(err)
	}
	small := digestOf(img.blobs[0])
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	var pushed atomic.Int64
	requests := []struct {
		name string
		do   func(c *client) error
	}{
		{"manifest by tag", func(c *client) error {
			_, err := c.must(200, "GET", "/v2/"+img.repo+"/manifests/"+img.tag, nil, "Accept", manifestType)
			return err
		}},
		{"manifest by digest", func(c *client) error {
			_, err := c.must(200, "GET", "/v2/"+img.repo+"/manifests/"+img.digest, nil, "Accept", manifestType)
			return err
		}},
		{"small blob", func(c *client) error {
			_, err := c.must(200, "GET", "/v2/"+img.repo+"/blobs/"+small, nil)
			return err
		}},
		{"token", func(c *client) error {
			_, err := c.must(200, "GET", "/v2/auth?service=fleet.example.com&scope=repository:"+img.repo+":pull", nil, "Authorization", basic)
			return err
		}},
		{"small push", func(c *client) error {
			n := pushed.Add(1)
			config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","n":%d}`, n)
			i := &image{repo: img.repo, tag: fmt.Sprint("push-", n%100), blobs: [][]byte{config}}
			i.describe()
			if _, err := c.must(201, "POST", "/v2/"+i.repo+"/blobs/uploads/?digest="+digestOf(config), config, "Content-Type", octets); err != nil {
				return err
			}
			_, err := c.must(201, "PUT", "/v2/"+i.repo+"/manifests/"+i.tag, i.manifest, "Content-Type", manifestType)
			return err
		}},
	}
	counts := []int{1, 2, 4}
	figures := map[string]map[int]fleetFigure{}
	for _, r := range requests {
		figures[r.name] = map[int]fleetFigure{}
	}
	for _, n := range counts {
		for len(f.instances) < n {
			in := &instance{fleet: f, n: len(f.instances)}
			f.instances = append(f.instances, in)
			in.start()
		}
		for _, base := range f.bases() { // each has checked the password once, and costs no more for it
			if _, err := owner.must(200, "GET", base+"/v2/auth?service=fleet.example.com", nil, "Authorization", basic); err != nil {
				b.Fatal(err)
			}
		}
		hold := make([]func(), 0, n)
		for _, in := range f.instances {
			hold = append(hold, quota(b, in.proc.PID(), fleetShare))
		}
		balancer := haproxy(b, f.bases())
		for _, r := range requests {
			figures[r.name][n] = drive(b, f, balancer.base, owner.token, 8*n, took, r.do)
		}
		balancer.proc.Kill()
		for _, free := range hold {
			free()
		}
	}
	lines := []string{"| Storage | request | instances | per second | of one instance, per added one | aim | CPU ms a request | of one instance | aim | reached |", "|---|---|--:|--:|--:|--:|--:|--:|--:|---|"}
	for _, r := range requests {
		one := figures[r.name][1]
		for _, n := range counts {
			g := figures[r.name][n]
			line := fmt.Sprintf("| %s | %s | %d | %.1f | ", s.name, r.name, n, g.rate)
			if n == 1 {
				lines = append(lines, line+fmt.Sprintf("| | %.2f | | | |", g.cpu))
				continue
			}
			ratio, cpu := (g.rate-one.rate)/(float64(n-1)*one.rate), g.cpu/one.cpu
			verdict := "yes"
			if ratio < aimRatio || cpu > aimCPU {
				verdict = "no"
			}
			lines = append(lines, line+fmt.Sprintf("%.2f | ≥ %.1f | %.2f | %.2f | ≤ %.2f | %s |", ratio, aimRatio, g.cpu, cpu, aimCPU, verdict))
		}
	}
	return lines
}

// drive has clients send requests for so long and returns how many were
// answered and what they cost the instances.
func drive(b *testing.B, f *fleet, base, token string, clients int, took time.Duration, do func(*client) error) (g fleetFigure) {
	b.Helper()
	var wait sync.WaitGroup
	var done, counting atomic.Int64
	stop := make(chan struct{})
	failed := make(chan error, clients)
	for range clients {
		c := &client{tally: new(tally), bases: []string{base}, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}, CheckRedirect: withoutToken}, token: token, until: time.Now().Add(time.Hour)}
		wait.Go(func() {
			defer c.http.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := do(c); err != nil {
					failed <- err
					return
				}
				done.Add(counting.Load())
			}
		})
	}
	time.Sleep(took / 5) // caches fill
	before, began := f.cpu(b), time.Now()
	counting.Store(1)
	time.Sleep(took)
	counting.Store(0)
	n, used, seconds := done.Load(), f.cpu(b)-before, time.Since(began).Seconds()
	close(stop)
	wait.Wait()
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
	if n == 0 {
		b.Fatal("no request was answered")
	}
	return fleetFigure{rate: float64(n) / seconds, cpu: float64(used.Microseconds()) / 1000 / float64(n)}
}

// cpu is the time that the instances have used.
func (f *fleet) cpu(t testing.TB) (sum time.Duration) {
	t.Helper()
	for _, in := range f.instances {
		sum += cpuOf(t, in.proc.PID())
	}
	return sum
}

// cpuOf is the time that a process has used.
func cpuOf(t testing.TB, pid int) (sum time.Duration) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	for _, s := range fields[11:13] { // user and system, in hundredths of a second
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// quota holds a process to a share of one core until the returned function is
// called, by a control group of either version. Within its share the group
// comes before others that want the cores too.
func quota(t testing.TB, pid int, share float64) (free func()) {
	t.Helper()
	const period = 20_000 // µs
	name := fmt.Sprintf("gantry-bench-%d", pid)
	v1, v2 := filepath.Join("/sys/fs/cgroup/cpu", name), filepath.Join("/sys/fs/cgroup", name)
	slice := strconv.Itoa(int(share * period))
	dir, files := v1, [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", slice}, {"cpu.shares", "10240"}}
	if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.shares"); err != nil {
		dir, files = v2, [][2]string{{"cpu.max", slice + " " + strconv.Itoa(period)}}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("control groups are made by root: %v", err)
	}
	free = sync.OnceFunc(func() {
		root := filepath.Join(filepath.Dir(dir), "cgroup.procs")
		if err := os.WriteFile(root, []byte(strconv.Itoa(pid)), 0o644); err != nil && syscall.Kill(pid, 0) == nil {
			t.Error(err)
		}
		for range 100 { // its threads leave one by one
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("%s is left", dir)
	})
	t.Cleanup(free)
	for _, f := range append(files, [2]string{"cgroup.procs", strconv.Itoa(pid)}) {
		if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return free
}

// A balancer is HAProxy in front of instances.
type balancer struct {
	base string
	proc *servertest.Process
}

// haproxy starts HAProxy: round robin, connections to the instances are kept.
func haproxy(t testing.TB, bases []string) balancer {
	t.Helper()
	bin, err := servertest.Find("haproxy", "/usr/sbin")
	if err != nil {
		t.Fatal(err)
	}
	port, err := servertest.Port()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`global
	nbthread 1
	maxconn 2000
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	http-reuse always
frontend registry
	bind 127.0.0.1:%d
	default_backend instances
backend instances
	balance roundrobin
`, port)
	for i, base := range bases {
		config += fmt.Sprintf("\tserver instance%d %s\n", i, strings.TrimPrefix(base, "http://"))
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b := balancer{base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	if b.proc, err = servertest.Launch(exec.CommandContext(context.Background(), bin, "-db", "-f", path), filepath.Join(dir, "haproxy.log"), nil, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.proc.Kill)
	if err := b.proc.Ready(func(ctx context.Context) error { return get(ctx, b.base+"/health/instance") }); err != nil {
		t.Fatal(err)
	}
	return b
}
