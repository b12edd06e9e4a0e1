package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
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

// stormMemory bounds the memory of a server in a storm.
const stormMemory = 256 << 20

// TestPullStorm has 1,000 clients, each on connections of its own, pull one
// image at the same moment, as a cluster does that starts a deployment, while
// another client pulls and pushes something else. Nobody is refused, every
// byte is right, and the server's memory and files stay bounded. With
// GANTRY_STORM_DOCS=path the figures go into that page, between its marks.
func TestPullStorm(t *testing.T) {
	rounds := 1
	if whole() {
		rounds = 10
	}
	var lines []string
	for _, s := range storms {
		if s.whole && !whole() {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			lines = append(lines, pullStorm(t, s, 1000, rounds))
		})
	}
	if path := os.Getenv("GANTRY_STORM_DOCS"); path != "" && !t.Failed() {
		if err := servertest.PutBetween(path, "storm", append(stormHead, lines...)); err != nil {
			t.Error(err)
		}
	}
}

// A storm is a storage under a storm. With redirects the blobs come from the
// storage itself.
type storm struct {
	name    string
	whole   bool // not in "make test"
	storage func(t testing.TB) map[string]any
}

var storms = []storm{{"files", false, files}, {"S3, redirects", true, bucket}}

// bucket is storage in a bucket that all instances share, to which clients are
// redirected.
func bucket(t testing.TB) map[string]any {
	server := servertest.S3(t)
	return map[string]any{"shared": []any{"S3Storage", map[string]any{"endpoint_url": server.URL(), "s3_bucket": server.Bucket(t),
		"s3_access_key": server.AccessKey, "s3_secret_key": server.SecretKey, "s3_region": servertest.Region, "storage_path": "/registry"}}}
}

var stormHead = []string{"| Storage | clients | pulls | MB | seconds | most memory MiB | most files open | other client: requests | slowest |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|"}

// pullStorm is one storm; it returns its line of the table.
func pullStorm(t *testing.T, s storm, clients, rounds int) string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// The Go runtime has raised the soft limit, here and in the server.
	if need := uint64(4*clients + 500); limit.Max < need {
		t.Fatalf("%d clients need %d open files, and the hard limit is %d: run this with \"ulimit -Hn %d\"", clients, need, limit.Max, need)
	}
	f := newFleet(t, 1, map[string]any{"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "DISTRIBUTED_STORAGE_CONFIG": s.storage(t)})
	never := func() bool { return false }
	r := rand.New(rand.NewPCG(1, 2))
	var seen tally
	owner := f.client(&seen)
	img := newImage(r, user+"/app0", "storm", nil)
	img.blobs = img.blobs[:1]
	for _, n := range []int{64 << 10, 256 << 10, 300_001, 512 << 10} {
		img.blobs = append(img.blobs, randomBytes(r, n))
	}
	img.describe()
	other := newImage(r, user+"/app1", "beside", nil)
	for _, i := range []*image{img, other} {
		if err := owner.push(i, never); err != nil {
			t.Fatal(err)
		}
		if err := owner.pull(i, never); err != nil {
			t.Fatal(err)
		}
	}
	owner.http.CloseIdleConnections()
	pid := f.instances[0].proc.PID()
	idle := openFiles(t, pid)

	// The other client goes on as long as the storm does.
	ended := make(chan struct{})
	var beside sync.WaitGroup
	var requests int
	var slowest time.Duration
	beside.Go(func() {
		var mine tally
		cl := f.client(&mine)
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			default:
			}
			began := time.Now()
			if err := cl.pull(other, never); err != nil {
				t.Errorf("the other client: %v", err)
				return
			}
			slowest, requests = max(slowest, time.Since(began)/4), requests+1+len(other.blobs)
			if n%3 == 0 {
				i := newImage(r, user+"/app1", fmt.Sprint("pushed-", n), nil)
				if err := cl.push(i, never); err != nil {
					t.Errorf("the other client: %v", err)
					return
				}
				requests += 1 + 2*len(i.blobs)
			}
			if n := mine.retries.Load(); n > 0 {
				t.Errorf("the other client had to try again: %v", *mine.lastError.Load())
				return
			}
		}
	})

	if err := owner.login(); err != nil {
		t.Fatal(err)
	}
	var failed atomic.Int64
	var first sync.Once
	var most int
	var bytesRead atomic.Int64
	began := time.Now()
	pullers := make([]*http.Client, clients)
	for i := range pullers {
		pullers[i] = &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}, CheckRedirect: withoutToken}
	}
	for range rounds {
		var wait sync.WaitGroup
		start := make(chan struct{})
		for _, p := range pullers {
			wait.Go(func() {
				<-start
				n, err := img.pullBy(p, owner.bases[0], owner.token)
				bytesRead.Add(n)
				if err != nil {
					failed.Add(1)
					first.Do(func() { t.Errorf("a pull: %v", err) })
				}
			})
		}
		done := make(chan struct{})
		go func() { wait.Wait(); close(done) }()
		close(start)
		for running := true; running; {
			select {
			case <-done:
				running = false
			case <-time.After(20 * time.Millisecond):
				most = max(most, openFiles(t, pid))
			}
		}
		for _, p := range pullers { // each round has new connections
			p.CloseIdleConnections()
		}
	}
	took := time.Since(began)
	close(ended)
	beside.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d pulls failed", n, clients*rounds)
	}
	if requests < 10 {
		t.Errorf("the other client got %d requests done", requests)
	}
	if log := f.instances[0].internal(); log != "" {
		t.Errorf("the server's log:\n%s", log)
	}
	peak := memoryPeak(t, pid)
	if peak > stormMemory {
		t.Errorf("the server used %d MiB of memory, and may use %d", peak>>20, stormMemory>>20)
	}
	// Beside what was open before, there are the connections of the database.
	const pool = 20
	deadline := time.Now().Add(2 * time.Minute)
	for openFiles(t, pid) > idle+pool {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open after the storm, %d were before", openFiles(t, pid), idle)
		}
		time.Sleep(100 * time.Millisecond)
	}
	line := fmt.Sprintf("| %s | %d | %d | %d | %.1f | %d | %d | %d | %.1f s |", s.name, clients, clients*rounds, bytesRead.Load()/1_000_000, took.Seconds(), peak>>20, most, requests, slowest.Seconds())
	t.Log(line)
	return line
}

// pullBy pulls an image by a client and compares every byte.
func (i *image) pullBy(c *http.Client, base, token string) (n int64, err error) {
	read := func(path string, want []byte) error {
		req, err := http.NewRequest(http.MethodGet, base+path, nil) //nolint:noctx // the client has a timeout
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", token)
		req.Header.Set("Accept", manifestType)
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }() // only read
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, res.Status)
		}
		buf := make([]byte, 32<<10)
		for rest := want; ; {
			k, err := res.Body.Read(buf)
			n += int64(k)
			if k > len(rest) || !bytes.Equal(buf[:k], rest[:k]) {
				return fmt.Errorf("%s: other bytes", path)
			}
			rest = rest[k:]
			switch {
			case errors.Is(err, io.EOF) && len(rest) == 0:
				return nil
			case errors.Is(err, io.EOF):
				return fmt.Errorf("%s: %d bytes are missing", path, len(rest))
			case err != nil:
				return err
			}
		}
	}
	if err := read("/v2/"+i.repo+"/manifests/"+i.tag, i.manifest); err != nil {
		return n, err
	}
	for _, b := range i.blobs {
		if err := read("/v2/"+i.repo+"/blobs/"+digestOf(b), b); err != nil {
			return n, err
		}
	}
	return n, nil
}

// openFiles is how many files a process has open.
func openFiles(t testing.TB, pid int) int {
	t.Helper()
	all, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// memoryPeak is the most memory that a process has had, in bytes.
func memoryPeak(t testing.TB, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
