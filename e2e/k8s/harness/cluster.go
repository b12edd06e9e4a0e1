package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	serviceCIDR   = "10.96.0.0/16"
	serviceFirst  = "10.96.0.1"
	podCIDR       = "10.244.0.0/24"
	podGateway    = "10.244.0.1"
	bridgeName    = "k8sh0"
	clusterDomain = "cluster.local"
	pauseImage    = "k8sharness.local/pause:1"
	nodeName      = "node-0"
)

// cluster is what a running cluster needs to know about itself. It is stored
// as cluster.json in the cluster directory.
type cluster struct {
	Dir       string         `json:"dir"`
	Node      bool           `json:"node"`      // a real kubelet on this machine
	FakeNodes int            `json:"fakeNodes"` // nodes whose pods are only pretended
	HostIP    string         `json:"hostIP"`    // where the API server listens
	Ports     map[string]int `json:"ports"`
	APIArgs   []string       `json:"apiArgs,omitempty"`
	Audit     bool           `json:"audit"`
	Verbosity int            `json:"verbosity"`
}

func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Dir}, parts...)...)
}

func (c *cluster) pki(name string) string { return c.path("pki", name) }

func (c *cluster) server() string {
	return "https://" + net.JoinHostPort(c.HostIP, strconv.Itoa(c.Ports["apiserver"]))
}

func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }

func (c *cluster) save() error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.path("cluster.json"), raw, 0o644)
}

func loadCluster(dir string) (*cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return nil, err
	}
	c := &cluster{}
	return c, json.Unmarshal(raw, c)
}

// prepare reads the flags of a new cluster and writes what it starts with. The
// duration is how long its start may take.
func prepare(command string, args []string) (*cluster, time.Duration, error) {
	fs := flag.NewFlagSet(command, flag.ExitOnError)
	dir := fs.String("dir", "", "directory for everything the cluster writes (required; kept short, it holds sockets)")
	node := fs.Bool("node", false, "also run containerd, kubelet, kube-proxy and a DNS server: one real node (needs root)")
	fake := fs.Int("fake-nodes", 0, "number of pretended nodes whose pods become Ready without running")
	audit := fs.Bool("audit", false, "write an API audit log (logs/audit.log)")
	limit := fs.Duration("timeout", 3*time.Minute, "how long to wait for readiness")
	verbosity := fs.Int("v", 1, "log verbosity of the components")
	var apiArgs multi
	fs.Var(&apiArgs, "apiserver-arg", "extra kube-apiserver flag (repeatable)")
	_ = fs.Parse(args) // ExitOnError: it returns no error
	if *dir == "" {
		return nil, 0, errors.New("-dir is required")
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		return nil, 0, err
	}
	if *node && os.Geteuid() != 0 {
		return nil, 0, errors.New("-node needs root")
	}
	if _, err := os.Stat(filepath.Join(abs, "cluster.json")); err == nil {
		return nil, 0, fmt.Errorf("%s already holds a cluster; run down first", abs)
	}
	c := &cluster{Dir: abs, Node: *node, FakeNodes: *fake, HostIP: "127.0.0.1", APIArgs: apiArgs, Audit: *audit, Verbosity: *verbosity}
	if c.Node {
		// Pods must reach the API server, and a loopback address means
		// something else inside a pod; the bridge address works for both.
		c.HostIP = podGateway
	}
	for _, d := range []string{"pki", "logs", "run", "etcd", "volumes"} {
		if err := os.MkdirAll(c.path(d), 0o755); err != nil {
			return nil, 0, err
		}
	}
	if c.Ports, err = freePorts("apiserver", "etcd", "etcd-peer", "controller-manager", "scheduler",
		"kubelet", "kubelet-health", "proxy-health", "proxy-metrics"); err != nil {
		return nil, 0, err
	}
	if err := c.writeCredentials(); err != nil {
		return nil, 0, err
	}
	return c, *limit, c.save()
}

// cmdRun is up, in the foreground: the cluster lives as long as this process,
// and nothing of it stays. It is how a test's process has one for itself.
func cmdRun(args []string) error {
	c, limit, err := prepare("run", args)
	if err != nil {
		return err
	}
	if c.Node {
		return errors.New("a node needs up and down: it changes more than files")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer cancel()
	began := time.Now()
	err = c.supervise(ctx, limit, 0, func() {
		fmt.Fprintf(os.Stderr, "ready in %.1fs\n", time.Since(began).Seconds())
		fmt.Println(c.kubeconfig())
	})
	return errors.Join(err, os.RemoveAll(c.Dir))
}

func cmdUp(args []string) error {
	c, limit, err := prepare("up", args)
	if err != nil {
		return err
	}
	began := time.Now()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile, err := os.Create(c.path("logs", "supervisor.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	sup := exec.Command(self, "supervise", "-dir", c.Dir, "-timeout", limit.String())
	sup.Stdout, sup.Stderr = logFile, logFile
	sup.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sup.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(c.path("run", "supervisor.pid"), fmt.Appendln(nil, sup.Process.Pid), 0o644); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- sup.Wait() }()
	deadline := time.After(limit)
	for {
		if _, err := os.Stat(c.path("run", "ready")); err == nil {
			break
		}
		select {
		case <-ended:
			return fmt.Errorf("start failed: %s", tail(c.path("logs", "supervisor.log")))
		case <-deadline:
			return fmt.Errorf("not ready after %s: %s", limit, tail(c.path("logs", "supervisor.log")))
		case <-time.After(50 * time.Millisecond):
		}
	}
	fmt.Fprintf(os.Stderr, "ready in %.1fs\n", time.Since(began).Seconds())
	fmt.Println(c.kubeconfig())
	return nil
}

func cmdDown(args []string) error {
	fs := flag.NewFlagSet("down", flag.ExitOnError)
	dir := fs.String("dir", "", "cluster directory")
	keep := fs.Bool("keep", false, "keep the directory (logs, etcd data)")
	_ = fs.Parse(args) // ExitOnError: it returns no error
	c, err := loadCluster(*dir)
	if err != nil {
		return err
	}
	if pid := c.pid("supervisor"); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		for i := 0; i < 600 && syscall.Kill(pid, 0) == nil; i++ {
			time.Sleep(100 * time.Millisecond)
		}
		if syscall.Kill(pid, 0) == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	// Whatever a killed supervisor left behind.
	for _, name := range []string{"kube-proxy", "kubelet", "containerd", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"} {
		if pid := c.pid(name); pid > 0 && c.owns(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if c.Node {
		c.cleanNode()
	}
	if *keep {
		_ = os.Remove(c.path("run", "ready"))
		return os.Remove(c.path("cluster.json"))
	}
	return os.RemoveAll(c.Dir)
}

func cmdStatus(args []string) error {
	fs := flag.NewFlagSet("status", flag.ExitOnError)
	dir := fs.String("dir", "", "cluster directory")
	_ = fs.Parse(args) // ExitOnError: it returns no error
	c, err := loadCluster(*dir)
	if err != nil {
		return err
	}
	fmt.Printf("server %s\n", c.server())
	total := 0
	files, _ := filepath.Glob(c.path("run", "*.pid"))
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".pid")
		pid := c.pid(name)
		rss := rssKiB(pid)
		total += rss
		fmt.Printf("%-24s pid %-7d rss %4d MiB\n", name, pid, rss/1024)
	}
	fmt.Printf("%-24s %15s %4d MiB\n", "total", "", total/1024)
	return nil
}

func cmdUser(args []string) error {
	fs := flag.NewFlagSet("user", flag.ExitOnError)
	dir := fs.String("dir", "", "cluster directory")
	user := fs.String("user", "", "user name")
	groups := fs.String("groups", "", "comma separated groups")
	out := fs.String("out", "", "kubeconfig file to write")
	_ = fs.Parse(args) // ExitOnError: it returns no error
	if *user == "" || *out == "" {
		return errors.New("-user and -out are required")
	}
	c, err := loadCluster(*dir)
	if err != nil {
		return err
	}
	ca, err := loadAuthority(c.path("pki"), "ca")
	if err != nil {
		return err
	}
	var g []string
	if *groups != "" {
		g = strings.Split(*groups, ",")
	}
	return writeKubeconfig(ca, *out, c.server(), *user, g)
}

func cmdCert(args []string) error {
	fs := flag.NewFlagSet("cert", flag.ExitOnError)
	dir := fs.String("dir", "", "cluster directory")
	hosts := fs.String("hosts", "", "comma separated DNS names and addresses")
	out := fs.String("out", "", "path without its ending: .crt and .key are written, and .ca")
	_ = fs.Parse(args) // ExitOnError: it returns no error
	if *hosts == "" || *out == "" {
		return errors.New("-hosts and -out are required")
	}
	c, err := loadCluster(*dir)
	if err != nil {
		return err
	}
	ca, err := loadAuthority(c.path("pki"), "ca")
	if err != nil {
		return err
	}
	names := strings.Split(*hosts, ",")
	ca.dir = filepath.Dir(*out)
	if _, _, err := ca.issue(filepath.Base(*out), names[0], nil, names); err != nil {
		return err
	}
	return os.WriteFile(*out+".ca", ca.pem, 0o644)
}

// writeCredentials creates the certificate authorities, the serving and client
// certificates, the token key and one kubeconfig per component.
func (c *cluster) writeCredentials() error {
	dir := c.path("pki")
	ca, err := newAuthority(dir, "ca")
	if err != nil {
		return err
	}
	front, err := newAuthority(dir, "front-proxy-ca")
	if err != nil {
		return err
	}
	etcd, err := newAuthority(dir, "etcd-ca")
	if err != nil {
		return err
	}
	local := []string{"127.0.0.1", "localhost"}
	api := append([]string{podGateway, serviceFirst, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + clusterDomain}, local...)
	for _, s := range []struct {
		ca     *authority
		name   string
		user   string
		groups []string
		hosts  []string
	}{
		{ca, "apiserver", "kube-apiserver", nil, api},
		{ca, "apiserver-kubelet", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil},
		{ca, "kubelet", "system:node:" + nodeName, []string{"system:nodes"}, append([]string{podGateway, nodeName}, local...)},
		{front, "front-proxy", "front-proxy-client", nil, nil},
		{etcd, "etcd", "etcd", nil, local},
		{etcd, "etcd-client", "kube-apiserver", nil, nil},
	} {
		if _, _, err := s.ca.issue(s.name, s.user, s.groups, s.hosts); err != nil {
			return err
		}
	}
	if err := serviceAccountKey(dir); err != nil {
		return err
	}
	for _, k := range []struct {
		file, user string
		groups     []string
	}{
		{"kubeconfig", "admin", []string{"system:masters"}},
		{"run/controller-manager.kubeconfig", "system:kube-controller-manager", nil},
		{"run/scheduler.kubeconfig", "system:kube-scheduler", nil},
		{"run/kubelet.kubeconfig", "system:node:" + nodeName, []string{"system:nodes"}},
		{"run/proxy.kubeconfig", "system:kube-proxy", nil},
	} {
		if err := writeKubeconfig(ca, c.path(k.file), c.server(), k.user, k.groups); err != nil {
			return err
		}
	}
	return nil
}

// pid reads run/NAME.pid.
func (c *cluster) pid(name string) int {
	raw, err := os.ReadFile(c.path("run", name+".pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	return pid
}

// owns says whether a process' command line mentions the cluster directory, so
// that a recycled process number is never signalled by mistake.
func (c *cluster) owns(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(raw), c.Dir)
}

func rssKiB(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// freePorts asks the kernel for one unused loopback port per name.
func freePorts(names ...string) (map[string]int, error) {
	ports := map[string]int{}
	for _, n := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // held until all are chosen, so that they differ
		ports[n] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func tail(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	if len(raw) > 3000 {
		raw = raw[len(raw)-3000:]
	}
	return string(raw)
}

// multi is a repeatable string flag.
type multi []string

func (m *multi) String() string     { return strings.Join(*m, " ") }
func (m *multi) Set(v string) error { *m = append(*m, v); return nil }
