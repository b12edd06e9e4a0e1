package servertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The account of Swift's tempauth, and the key that signs its URLs.
const (
	SwiftUser       = "test:tester"
	SwiftPassword   = "testing"
	SwiftTempURLKey = "temporary"
)

// A SwiftServer is OpenStack Swift: a proxy, an account, a container and an
// object server, with one replica of everything.
type SwiftServer struct {
	// Addr is where the proxy server listens, as host:port.
	Addr string
}

// AuthURL is the sign-in of version 1 (tempauth), by way of addr; "" =
// directly. Storage URLs that it hands out have the same address.
func (s *SwiftServer) AuthURL(addr string) string {
	if addr == "" {
		addr = s.Addr
	}
	return "http://" + addr + "/auth/v1.0"
}

// SignIn returns a token and the URL of the account.
func (s *SwiftServer) SignIn(ctx context.Context) (token, storage string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.AuthURL(""), nil)
	if err != nil {
		return "", "", err
	}
	r.Header.Set("X-Auth-User", SwiftUser)
	r.Header.Set("X-Auth-Key", SwiftPassword)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = resp.Body.Close() }() // only the head counts
	if resp.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("sign in: %s", resp.Status)
	}
	return resp.Header.Get("X-Auth-Token"), resp.Header.Get("X-Storage-Url"), nil
}

// Container makes a container.
func (s *SwiftServer) Container(t testing.TB, name string) {
	t.Helper()
	if err := s.put(t.Context(), http.MethodPut, "/"+name); err != nil {
		t.Fatalf("make container %s: %v", name, err)
	}
}

func (s *SwiftServer) put(ctx context.Context, method, path string, header ...string) error {
	token, storage, err := s.SignIn(ctx)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, storage+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Auth-Token", token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only the status counts
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil
}

var swift = sync.OnceValues(startSwift)

// Swift returns the server of this test process. Tests make containers of
// their own in it.
func Swift(t testing.TB) *SwiftServer {
	t.Helper()
	s, err := swift()
	if err != nil {
		t.Fatalf("swift: %v", err)
	}
	return s
}

func startSwift() (*SwiftServer, error) {
	top, err := Dir()
	if err != nil {
		return nil, err
	}
	// Swift's servers change to an account of their own when root starts them.
	account, err := Unprivileged("swift", "nobody")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(top, "swift")
	for _, d := range []string{dir, dir + "/node", dir + "/node/d1", dir + "/cache"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
		if err := account.Own(d); err != nil {
			return nil, err
		}
	}
	ports := map[string]int{}
	for _, name := range []string{"proxy", "account", "container", "object", "memcached"} {
		if ports[name], err = Port(); err != nil {
			return nil, err
		}
	}
	for name, text := range swiftFiles(dir, ports) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	// As swift-ring-builder does it, in one process for all rings.
	// It is Debian's Python that has Debian's Swift.
	if err := Run(dir, account, "/usr/bin/python3", "-c", swiftRings, dir,
		strconv.Itoa(ports["account"]), strconv.Itoa(ports["container"]), strconv.Itoa(ports["object"])); err != nil {
		return nil, err
	}
	memcached, err := Find("memcached", "/usr/bin")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), memcached, "-l", "127.0.0.1", "-p", strconv.Itoa(ports["memcached"]), "-U", "0", "-m", "32")
	if _, err := Launch(cmd, filepath.Join(top, "swift-memcached.log"), account, syscall.SIGKILL); err != nil {
		return nil, err
	}
	var last *Process
	for _, name := range []string{"account", "container", "object", "proxy"} {
		program, err := Find("swift-"+name+"-server", "/usr/bin")
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(context.Background(), program, filepath.Join(dir, name+"-server.conf"), "-v")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if last, err = Launch(cmd, filepath.Join(top, "swift-"+name+".log"), account, syscall.SIGKILL); err != nil {
			return nil, err
		}
		addr := fmt.Sprintf("127.0.0.1:%d", ports[name])
		if name != "proxy" {
			continue
		}
		s := &SwiftServer{Addr: addr}
		ready := func(ctx context.Context) error {
			for _, other := range []string{"account", "container", "object"} {
				c, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", ports[other]))
				if err != nil {
					return err
				}
				_ = c.Close() // nothing was said
			}
			return s.put(ctx, http.MethodPost, "", "X-Account-Meta-Temp-Url-Key", SwiftTempURLKey)
		}
		for range 3 { // on a busy machine, four Pythons take more than Ready's minute
			if err = last.Ready(ready); err == nil {
				break
			}
		}
		return s, err
	}
	return nil, fmt.Errorf("no proxy server among %v", ports)
}

const swiftRings = `
import os, sys
from swift.common.ring import RingBuilder
for name, port in zip(("account", "container", "object"), sys.argv[2:]):
    ring = RingBuilder(4, 1, 0)
    ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1.0,
        "replication_ip": "127.0.0.1", "replication_port": int(port), "meta": ""})
    ring.rebalance()
    ring.get_ring().save(os.path.join(sys.argv[1], name + ".ring.gz"))
`

// swiftFiles are the configuration files. No worker processes: the server is
// the process that was started, so nothing outlives it.
func swiftFiles(dir string, ports map[string]int) map[string]string {
	storage := func(name, pipeline string) string {
		return fmt.Sprintf(`[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %d
workers = 0
swift_dir = %s
devices = %s/node
mount_check = false
user = swift
disable_fallocate = true
[pipeline:main]
pipeline = %s-server
[app:%s-server]
use = egg:swift#%s
%s`, ports[name], dir, dir, name, name, name, pipeline)
	}
	return map[string]string{
		"swift.conf":            "[swift-hash]\nswift_hash_path_suffix = gantry\nswift_hash_path_prefix = gantry\n[storage-policy:0]\nname = only\ndefault = yes\n",
		"account-server.conf":   storage("account", ""),
		"container-server.conf": storage("container", "allow_versions = false\n"),
		"object-server.conf":    storage("object", ""),
		"proxy-server.conf": strings.NewReplacer("PORT", strconv.Itoa(ports["proxy"]), "DIR", dir, "CACHE", strconv.Itoa(ports["memcached"])).Replace(`[DEFAULT]
bind_ip = 127.0.0.1
bind_port = PORT
workers = 0
swift_dir = DIR
user = swift
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:CACHE
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:tempauth]
use = egg:swift#tempauth
storage_url_scheme = default
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
max_manifest_segments = 1000
[filter:dlo]
use = egg:swift#dlo
`),
	}
}
