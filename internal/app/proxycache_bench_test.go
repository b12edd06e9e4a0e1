package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/servertest"
)

// figure is an environment variable as a number.
func figure(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(name, err)
	}
	return n
}

// TestProxyCacheSpeed measures what docs/benchmarks.md tells of proxy caches,
// and checks what must be true whatever the figures are: hot pulls through one
// beside pulls of the same image from a repository of this registry, in turns;
// and many clients on one cold layer. For the figures:
//
//	GANTRY_PROXY_PULLS=2000 GANTRY_PROXY_CLIENTS=200 GANTRY_PROXY_MIB=512 go test -v -run TestProxyCacheSpeed ./internal/app
func TestProxyCacheSpeed(t *testing.T) {
	pulls, clients, mib := figure(t, "GANTRY_PROXY_PULLS", 20), figure(t, "GANTRY_PROXY_CLIENTS", 8), figure(t, "GANTRY_PROXY_MIB", 2)
	u := remotetest.New(t, remotetest.Options{})
	i := newImage("hot pull")
	u.AddBlob("app", i.config)
	u.AddBlob("app", i.layer)
	u.AddManifest("app", "v1", manifestType, i.manifest)
	s := proxySite(t, nil)
	s.proxy("mirror", u.Host, "")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push&scope=repository:mirror/app:pull")
	if r := s.push(auth, "ada/app", "v1", i); r.status != 201 {
		t.Fatal(r)
	}
	if r := s.pull(auth, "mirror/app", i); r.status != 200 {
		t.Fatal(r)
	}
	until(t, "the image is one of the repository", func() bool {
		return s.rows(`SELECT COUNT(*) FROM proxy_manifests`) == 0 && s.rows(`SELECT COUNT(*) FROM tags`) == 2
	})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	get := func(ctx context.Context, path string) (int64, time.Duration) {
		began := time.Now()
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/v2/"+path, nil)
		if err != nil {
			t.Error(err)
			return 0, 0
		}
		q.Header.Set("Authorization", auth)
		q.Header.Set("Accept", manifestType)
		res, err := client.Do(q)
		if err != nil {
			t.Error(err)
			return 0, 0
		}
		first := time.Since(began)
		n, err := io.Copy(io.Discard, res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Error(res.Status, n, err)
		}
		_ = res.Body.Close() // read to its end
		return n, first
	}
	took := map[string]time.Duration{}
	for round := range pulls {
		for _, repo := range [][]string{{"ada/app", "mirror/app"}, {"mirror/app", "ada/app"}}[round%2] {
			began := time.Now()
			get(t.Context(), repo+"/manifests/v1")
			get(t.Context(), repo+"/blobs/"+digestOf(i.config))
			get(t.Context(), repo+"/blobs/"+digestOf(i.layer))
			took[repo] += time.Since(began)
		}
	}
	ratio := took["ada/app"].Seconds() / took["mirror/app"].Seconds()
	t.Logf("hot pulls: local %v, through the proxy cache %v: %.3f", took["ada/app"]/time.Duration(pulls), took["mirror/app"]/time.Duration(pulls), ratio)

	layer := bytes.Repeat([]byte("0123456789abcdef"), mib<<16)
	u.AddImage("big", "v1", layer)
	auth, _ = s.bearer("ada", password, "repository:mirror/big:pull")
	get(t.Context(), "mirror/big/manifests/v1")
	// When upstream hands its last byte out.
	var last atomic.Int64
	began := time.Now()
	u.Break(http.MethodGet, "/blobs/", -1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		last.Store(int64(time.Since(began)))
	})
	var group sync.WaitGroup
	var bytesOut, firsts, latest atomic.Int64
	for range clients {
		group.Go(func() {
			n, first := get(t.Context(), "mirror/big/blobs/"+string(gantry.FromBytes(layer)))
			bytesOut.Add(n)
			firsts.Add(int64(first))
			for old := latest.Load(); int64(first) > old && !latest.CompareAndSwap(old, int64(first)); old = latest.Load() {
			}
		})
	}
	group.Wait()
	all := time.Since(began)
	path := "/big/blobs/" + string(gantry.FromBytes(layer))
	t.Logf("%d clients of a cold layer of %d MiB: %v, first byte after %v, upstream sent %d bytes in %d answers", clients, mib, all,
		time.Duration(firsts.Load()/int64(clients)), u.Sent(path), u.Count(http.MethodGet, path))
	if docs := os.Getenv("GANTRY_MIRROR_DOCS"); docs != "" {
		yes := map[bool]string{true: "yes", false: "no"}
		average, err := os.ReadFile("/proc/loadavg")
		if err != nil {
			t.Fatal(err)
		}
		sent, mean := time.Duration(last.Load()), time.Duration(firsts.Load()/int64(clients))
		if err := servertest.PutBetween(docs, "figures of proxy caches", []string{
			time.Now().UTC().Format("2006-01-02 15:04 UTC") + "; load average after: " + strings.Fields(string(average))[0], "",
			"| | | aim | reached |", "|---|--:|--:|---|",
			fmt.Sprintf("| a hot pull, of a local repository | %.2f ms | | |", took["ada/app"].Seconds()*1000/float64(pulls)),
			fmt.Sprintf("| the same through the proxy cache | %.2f ms | | |", took["mirror/app"].Seconds()*1000/float64(pulls)),
			fmt.Sprintf("| rate of the local one (%d pulls of each) | %.3f | ≥ 0.95 | %s |", pulls, ratio, yes[ratio >= 0.95]),
			fmt.Sprintf("| %d clients pull one cold layer of %d MiB: all have it after | %.1f s | | |", clients, mib, all.Seconds()),
			fmt.Sprintf("| times that upstream sent it | %d | 1 | %s |", u.Count(http.MethodGet, path), yes[u.Count(http.MethodGet, path) == 1]),
			fmt.Sprintf("| upstream had sent its last byte after | %.1f s | | |", sent.Seconds()),
			fmt.Sprintf("| first byte at the clients after, on average | %.2f s | < %.1f s | %s |", mean.Seconds(), sent.Seconds(), yes[mean < sent]),
			fmt.Sprintf("| first byte at the last client after | %.2f s | < %.1f s | %s |", time.Duration(latest.Load()).Seconds(), sent.Seconds(), yes[latest.Load() < last.Load()]),
		}); err != nil {
			t.Error(err)
		}
	}
	if u.Count(http.MethodGet, path) != 1 || bytesOut.Load() != int64(clients*len(layer)) {
		t.Errorf("%d answers of upstream, %d bytes to clients", u.Count(http.MethodGet, path), bytesOut.Load())
	}
}
