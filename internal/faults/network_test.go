package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A namespace is a network of its own, joined to ours by a cable.
type namespace struct {
	name    string
	address string // of the far end
}

// newNamespace makes a network namespace behind a pair of interfaces with that
// MTU, until the test ends. It needs root.
func newNamespace(t *testing.T, mtu int) namespace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("network namespaces are made by root: run this test as root")
	}
	id := strconv.Itoa(os.Getpid() % 100_000)
	n := namespace{"gantry" + id, fmt.Sprintf("10.213.%d.2", os.Getpid()%250)}
	near, far := "gta"+id, "gtb"+id
	ip := func(args ...string) {
		t.Helper()
		if err := servertest.Run("/", nil, "ip", args...); err != nil {
			t.Fatal(err)
		}
	}
	ip("netns", "add", n.name)
	t.Cleanup(func() {
		if err := servertest.Run("/", nil, "ip", "netns", "del", n.name); err != nil { // the cable goes with it
			t.Error(err)
		}
	})
	ip("link", "add", near, "mtu", strconv.Itoa(mtu), "type", "veth", "peer", "name", far, "mtu", strconv.Itoa(mtu))
	ip("link", "set", far, "netns", n.name)
	ip("addr", "add", strings.TrimSuffix(n.address, "2")+"1/24", "dev", near)
	ip("link", "set", near, "up")
	ip("netns", "exec", n.name, "ip", "addr", "add", n.address+"/24", "dev", far)
	ip("netns", "exec", n.name, "ip", "link", "set", far, "up")
	ip("netns", "exec", n.name, "ip", "link", "set", "lo", "up")
	return n
}

// largeLayer pushes a layer of that size in one PATCH, and pulls it.
func (s *stage) largeLayer(size int64) {
	t := s.t
	cl := s.fleet.client(&s.crowd.tally)
	cl.http.Timeout = 10 * time.Minute
	if err := cl.login(); err != nil {
		t.Error(err)
		return
	}
	bytesOf := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{9}), size) }
	h := sha256.New()
	if _, err := io.Copy(h, bytesOf()); err != nil {
		t.Error(err)
		return
	}
	digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
	a, err := cl.must(202, "POST", "/v2/"+user+"/app0/blobs/uploads/", nil)
	if err != nil {
		t.Error(err)
		return
	}
	stream := func(method, path string, body io.Reader, want int) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, cl.bases[cl.at]+path, body)
		if err != nil {
			t.Error(err)
			return nil
		}
		req.Header.Set("Authorization", cl.token)
		req.Header.Set("Content-Type", octets)
		res, err := cl.http.Do(req)
		if err != nil {
			t.Error(err)
			return nil
		}
		if res.StatusCode != want {
			b, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
			t.Errorf("%s %s: %s %s", method, path, res.Status, b)
		}
		return res
	}
	began := time.Now()
	res := stream("PATCH", cl.location(a), bytesOf(), 202)
	if res == nil {
		return
	}
	_ = res.Body.Close() // empty
	at := cl.location(answer{header: res.Header})
	if res = stream("PUT", with(at, "digest="+digest), bytes.NewReader(nil), 201); res == nil {
		return
	}
	_ = res.Body.Close() // empty
	pushed := time.Since(began)
	began = time.Now()
	if res = stream("GET", "/v2/"+user+"/app0/blobs/"+digest, nil, 200); res == nil {
		return
	}
	h.Reset()
	n, err := io.Copy(h, res.Body)
	_ = res.Body.Close() // read whole
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); err != nil || got != digest {
		t.Errorf("the layer came back as %d bytes of %s: %v", n, got, err)
	}
	s.note("%d MiB pushed in %.1f s, pulled in %.1f s", size>>20, pushed.Seconds(), time.Since(began).Seconds())
}

// networks are networks that are not like a loopback.
var networks = []scenario{
	{name: "MTU", what: "a layer of 1 GiB between network namespaces with an MTU of 1,400", run: func(t *testing.T, s *stage) {
		n := newNamespace(t, 1400)
		f := prepareFleet(t, 1, map[string]any{"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		f.instances[0].namespace = n
		f.begin()
		s.play(f, 2, func() { s.largeLayer(1 << 30) })
	}},
}
