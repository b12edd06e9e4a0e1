package faults

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
)

// What BenchmarkMirror aims at.
const (
	aimFirst  = 2.0 // times as fast as skopeo, with nothing here
	aimAgain  = 10.0
	aimMemory = 128 // MiB, of the whole server
)

// A mirrorBench has a docker-registry that is mirrored, one that skopeo copies
// to, and a Gantry of one process with SQLite and storage in files.
type mirrorBench struct {
	b          testing.TB
	up, target *servertest.DistributionServer
	skopeo     string
	auth       string // an empty file of credentials
	f          *fleet
	client     *client
	lines      []string
}

// BenchmarkMirror measures mirrors beside skopeo sync, in turns and from the
// same upstream: 200 images of 5 layers of 64 KiB at first, then 10,000 tags
// of them that did not move; both again with 20 ms added to each round trip.
// It prints a table and, with GANTRY_MIRROR_DOCS=path, writes it into that
// page, between its marks. GANTRY_MIRROR_TAGS is how many tags; skopeo gets
// GANTRY_MIRROR_FEW of them, because it would take an hour for all.
func BenchmarkMirror(b *testing.B) {
	const images = 200
	tags, few := number(b, "GANTRY_MIRROR_TAGS", 10_000), number(b, "GANTRY_MIRROR_FEW", 500)
	for b.Loop() {
		m := newMirrorBench(b)
		m.note("%s; load average before: %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), load())
		m.note("")
		m.note("| | tags | Gantry | skopeo sync | tags | per tag, times as fast | aim | reached | CPU ms per tag, Gantry | skopeo | times |")
		m.note("|---|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|")
		far := servertest.NewProxy(b, m.up.Host)
		far.Delay(10 * time.Millisecond) // each way
		hosts := map[string]string{"near": m.up.Host, "far": far.Addr()}
		peak, skopeoPeak := map[string]int64{}, int64(0)
		for _, where := range []string{"near", "far"} {
			manifests := m.fill(where, images)
			m.mirror(where, hosts[where], "*")
			m.forgetPeak(m.f.instances[0].proc)
			ours := m.sync(where, "copied", images)
			peak["first"] = max(peak["first"], m.peak(m.f.instances[0].proc))
			theirs, rss := m.beside(hosts[where], where, images)
			skopeoPeak = max(skopeoPeak, rss)
			m.row("first sync, "+distance(where), images, ours, theirs, images, aimFirst)
			m.tag(where, manifests, images, tags)
		}
		for _, where := range []string{"near", "far"} {
			m.forgetPeak(m.f.instances[0].proc)
			took := m.sync(where, "copied", tags-images)
			peak["more"] = max(peak["more"], m.peak(m.f.instances[0].proc))
			b.Logf("%s: %d new tags of images that are here: %v", where, tags-images, took.time)
			m.beside(hosts[where], where, few) // now it has them, too
			m.forgetPeak(m.f.instances[0].proc)
			ours := m.sync(where, "unchanged", tags)
			peak["again"] = max(peak["again"], m.peak(m.f.instances[0].proc))
			theirs, rss := m.beside(hosts[where], where, few)
			skopeoPeak = max(skopeoPeak, rss)
			m.row("nothing moved, "+distance(where), tags, ours, theirs, few, aimAgain)
		}
		m.note("")
		m.note("| peak memory of the process | MiB | aim | reached |")
		m.note("|---|--:|--:|---|")
		m.note("| the whole server (API, registry, mirror), first sync | %d | < %d | %s |", peak["first"], aimMemory, reached(peak["first"] < aimMemory))
		m.note("| the whole server, %d more tags of these images | %d | < %d | %s |", tags-images, peak["more"], aimMemory, reached(peak["more"] < aimMemory))
		m.note("| the whole server, %d tags that did not move | %d | < %d | %s |", tags, peak["again"], aimMemory, reached(peak["again"] < aimMemory))
		m.note("| skopeo | %d | | |", skopeoPeak)
		m.note("")
		m.note("Load average after: %s.", load())
		fmt.Println(strings.Join(m.lines, "\n"))
		if path := os.Getenv("GANTRY_MIRROR_DOCS"); path != "" {
			if err := servertest.PutBetween(path, "figures of mirrors", m.lines); err != nil {
				b.Error(err)
			}
		}
	}
}

// number is an environment variable as a number.
func number(t testing.TB, name string, otherwise int) int {
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

func distance(where string) string {
	if where == "far" {
		return "20 ms away"
	}
	return "on the same machine"
}

func reached(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

func newMirrorBench(b *testing.B) *mirrorBench {
	m := &mirrorBench{b: b, up: servertest.Distribution(b), target: servertest.Distribution(b)}
	var err error
	m.skopeo, err = exec.LookPath("skopeo")
	m.must(err)
	dir, err := servertest.Dir()
	m.must(err)
	b.Setenv("TMPDIR", dir) // where the docker-registries have their data
	m.auth = filepath.Join(b.TempDir(), "auth.json")
	m.must(os.WriteFile(m.auth, []byte("{}"), 0o600))
	m.f = newFleet(b, 1, map[string]any{"DISTRIBUTED_STORAGE_CONFIG": files(b), "FEATURE_REPO_MIRROR": true, "SSRF_ALLOWED_HOSTS": []string{"127.0.0.1"}})
	m.organize()
	return m
}

// organize makes the organization of the mirrors, with their robot.
func (m *mirrorBench) organize() {
	m.b.Helper()
	m.client = m.f.client(new(tally))
	m.api("POST", "organization/", 201, `{"name":"acme","email":"acme@example.com"}`)
	m.api("PUT", "organization/acme/robots/mirror", 201, `{}`)
}

func (m *mirrorBench) must(err error) {
	m.b.Helper()
	if err != nil {
		m.b.Fatal(err)
	}
}

func (m *mirrorBench) note(format string, args ...any) {
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
	m.b.Log(m.lines[len(m.lines)-1])
}

// row notes two times of different numbers of tags, by the tag.
func (m *mirrorBench) row(what string, tags int, ours, theirs cost, few int, aim float64) {
	perTag := func(d time.Duration, n int) float64 { return d.Seconds() * 1000 / float64(n) }
	times := perTag(theirs.time, few) / perTag(ours.time, tags)
	m.note("| %s | %d | %.1f s | %.1f s | %d | %.1f | ≥ %g | %s | %.1f | %.1f | %.1f |", what, tags, ours.time.Seconds(), theirs.time.Seconds(), few, times, aim, reached(times >= aim),
		perTag(ours.cpu, tags), perTag(theirs.cpu, few), perTag(theirs.cpu, few)/perTag(ours.cpu, tags))
}

// A cost is what something took: on the clock, and of the cores, in all
// processes that had a part in it.
type cost struct{ time, cpu time.Duration }

// cpu is what the registries have used of the cores.
func (m *mirrorBench) cpu() time.Duration {
	all := m.f.cpu(m.b)
	for _, d := range []*servertest.DistributionServer{m.up, m.target} {
		if d != nil {
			all += cpuOf(m.b, d.PID())
		}
	}
	return all
}

// api calls the API as the first user.
func (m *mirrorBench) api(method, path string, want int, body string) []byte {
	m.b.Helper()
	a, err := m.client.do(method, "/api/v1/"+path, []byte(body), "Authorization", "Bearer "+m.f.first.AccessToken, "Content-Type", "application/json")
	m.must(err)
	if a.status != want {
		m.b.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a.body
}

// put sends something to the upstream.
func (m *mirrorBench) put(method, path, mediaType string, body []byte) string {
	m.b.Helper()
	if strings.HasPrefix(path, "/") {
		path = "http://" + m.up.Host + path
	}
	q, err := http.NewRequestWithContext(m.b.Context(), method, path, bytes.NewReader(body))
	m.must(err)
	q.Header.Set("Content-Type", mediaType)
	res, err := http.DefaultClient.Do(q)
	m.must(err)
	m.must(res.Body.Close())
	if res.StatusCode >= 300 {
		m.b.Fatalf("%s %s: %d", method, path, res.StatusCode)
	}
	return res.Header.Get("Location")
}

// nth is the name of a tag.
func nth(i int) string { return fmt.Sprintf("n%05d", i) }

// fill puts images of five layers upstream, and returns their manifests.
func (m *mirrorBench) fill(repo string, images int) [][]byte {
	const layers, size = 5, 64 << 10
	all := make([][]byte, images)
	upload := func(b []byte) string {
		d := digestOf(b)
		m.put("PUT", m.put("POST", "/v2/src/"+repo+"/blobs/uploads/", octets, nil)+"&digest="+d, octets, b)
		return fmt.Sprintf(`"digest":%q,"size":%d`, d, len(b))
	}
	m.each(0, images, func(i int) {
		list := []string{}
		for range layers {
			// Of a kind that skopeo takes as it is.
			raw := make([]byte, size)
			_, _ = rand.Read(raw) // never fails
			var packed bytes.Buffer
			z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
			m.must(err)
			_, err = z.Write(raw)
			m.must(err)
			m.must(z.Close())
			list = append(list, fmt.Sprintf(`{"mediaType":"%s+gzip",%s}`, layerType, upload(packed.Bytes())))
		}
		all[i] = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,%s},"layers":[%s]}`, manifestType, configType,
			upload(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","x":"%s%d","rootfs":{"type":"layers","diff_ids":[]}}`, repo, i)), strings.Join(list, ","))
		m.put("PUT", "/v2/src/"+repo+"/manifests/"+nth(i), manifestType, all[i])
	})
	return all
}

// tag points tags from one to another number at the images, in turn.
func (m *mirrorBench) tag(repo string, manifests [][]byte, from, to int) {
	m.each(from, to, func(i int) {
		m.put("PUT", "/v2/src/"+repo+"/manifests/"+nth(i), manifestType, manifests[i%len(manifests)])
	})
}

// each calls f for each number, several at once.
func (m *mirrorBench) each(from, to int, f func(i int)) {
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := from + w; i < to; i += 4 {
				f(i)
			}
		})
	}
	group.Wait()
}

// mirror makes a repository that mirrors one of the upstream, at a host.
func (m *mirrorBench) mirror(repo, host, rule string) {
	m.b.Helper()
	m.api("POST", "repository", 201, fmt.Sprintf(`{"namespace":"acme","repository":%q,"visibility":"private","description":""}`, repo))
	m.api("POST", "repository/acme/"+repo+"/mirror", 201, fmt.Sprintf(`{"external_reference":"%s/src/%s","robot_username":"acme+mirror","sync_interval":360000,"sync_start_date":"2099-01-01T00:00:00Z",
		"root_rule":{"rule_kind":"tag_glob_csv","rule_value":[%q]},"external_registry_config":{"verify_tls":false}}`, host, repo, rule))
}

// sync runs a mirror, of which n tags should be what ("copied", "unchanged"),
// and returns how long that took, for who asked.
func (m *mirrorBench) sync(repo, what string, n int) cost {
	m.b.Helper()
	before := m.last(repo)
	began, used := time.Now(), m.cpu()
	m.api("POST", "repository/acme/"+repo+"/mirror/sync-now", 204, "")
	for {
		time.Sleep(50 * time.Millisecond)
		now := m.last(repo)
		if now.ID == before.ID || now.Status == "running" {
			continue
		}
		took := time.Since(began)
		if now.Status != "success" || now.Tags[what] != n {
			m.b.Fatalf("%d %s wanted: %+v", n, what, now)
		}
		return cost{took, m.cpu() - used}
	}
}

// A mirrorRun is a run as the API shows it.
type mirrorRun struct {
	ID, Status, Message string
	Tags                map[string]int
}

func (m *mirrorBench) last(repo string) mirrorRun {
	m.b.Helper()
	var v struct{ Runs []mirrorRun }
	m.must(json.Unmarshal(m.api("GET", "repository/acme/"+repo+"/mirror/runs?limit=1", 200, ""), &v))
	if len(v.Runs) == 0 {
		return mirrorRun{}
	}
	return v.Runs[0]
}

// beside has skopeo copy the first n tags of a repository. It returns how long
// that took and how many MiB it had at most.
func (m *mirrorBench) beside(host, repo string, n int) (cost, int64) {
	m.b.Helper()
	list := &strings.Builder{}
	fmt.Fprintf(list, "%q:\n  tls-verify: false\n  images:\n    src/%s:\n", host, repo)
	for i := range n {
		fmt.Fprintf(list, "      - %s\n", nth(i))
	}
	file := filepath.Join(m.b.TempDir(), "sync.yaml")
	m.must(os.WriteFile(file, []byte(list.String()), 0o600))
	cmd := exec.CommandContext(m.b.Context(), m.skopeo, "sync", "--all", "--authfile", m.auth, "--src", "yaml", "--dest", "docker", "--dest-tls-verify=false", file, m.target.Host+"/copy")
	began, used := time.Now(), m.cpu()
	if out, err := cmd.CombinedOutput(); err != nil {
		m.b.Fatalf("skopeo: %v\n%.2000s", err, out)
	}
	took := cost{time.Since(began), m.cpu() - used + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	rss := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
	m.b.Logf("skopeo, %d tags of %s: %v, %d MiB", n, repo, took.time, rss)
	return took, rss
}

// forgetPeak has peak tell what comes after.
func (m *mirrorBench) forgetPeak(p *servertest.Process) {
	m.must(os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID()), []byte("5"), 0))
}

// peak is how many MiB a process had at most.
func (m *mirrorBench) peak(p *servertest.Process) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	m.must(err)
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	_, now, _ := strings.Cut(string(b), "RssAnon:")
	m.b.Logf("memory: at most%s; now anonymous%s", strings.SplitN(after, "\n", 2)[0], strings.Join(strings.SplitN(now, "\n", 4)[:3], ", "))
	kib, err := strconv.ParseInt(strings.Fields(after + " -")[0], 10, 64)
	m.must(err)
	return kib >> 10
}
