package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	var took []time.Duration
	for i := 100; i >= 1; i-- {
		took = append(took, time.Duration(i))
	}
	if got, want := latency(took), (Latency{P50: 50, P99: 99, Max: 100}); got != want {
		t.Errorf("latency of 1..100 = %v, want %v", got, want)
	}
	if got := latency(nil); got != (Latency{}) {
		t.Errorf("latency of none = %v", got)
	}
	if got, want := latency([]time.Duration{7}), (Latency{7, 7, 7}); got != want {
		t.Errorf("latency of one = %v, want %v", got, want)
	}
}

func TestMedian(t *testing.T) {
	tests := map[string]struct {
		in           []float64
		mid, between float64
	}{
		"none": {nil, 0, 0},
		"one":  {[]float64{3}, 3, 0},
		"odd":  {[]float64{9, 1, 2}, 2, 4},
		"even": {[]float64{4, 1, 2, 3}, 2.5, 1.2},
	}
	for name, tt := range tests {
		before := append([]float64(nil), tt.in...)
		if m, s := median(tt.in), spread(tt.in); m != tt.mid || s != tt.between {
			t.Errorf("%s: median %v, spread %v; want %v, %v", name, m, s, tt.mid, tt.between)
		}
		for i := range before {
			if before[i] != tt.in[i] {
				t.Errorf("%s: the values were moved", name)
			}
		}
	}
}

func TestParseStat(t *testing.T) {
	const good = "42 (a ) (b) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 7 3 20 0 9 0 100 1 2 3"
	d, err := parseStatCPU([]byte(good))
	if err != nil || d != 2100*time.Millisecond {
		t.Errorf("%v, %v; want 2.1s", d, err)
	}
	for _, bad := range []string{"", "42 a S 1", "42 (a) S 1 2", strings.Replace(good, " 150 ", " x ", 1)} {
		if d, err := parseStatCPU([]byte(bad)); err == nil {
			t.Errorf("%q: %v, want an error", bad, d)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t     512 kB\nThreads:\t4\nVmBad:\tx kB\n"
	for name, want := range map[string]int64{"VmHWM": 2 << 20, "VmRSS": 512 << 10} {
		if n, err := parseStatus([]byte(text), name); err != nil || n != want {
			t.Errorf("%s: %d, %v; want %d", name, n, err, want)
		}
	}
	for _, name := range []string{"Vm", "Threads", "VmBad", "VmSwap"} {
		if n, err := parseStatus([]byte(text), name); err == nil {
			t.Errorf("%s: %d, want an error", name, n)
		}
	}
}

func TestOwnProcess(t *testing.T) {
	now, peak, err := memory(os.Getpid())
	if err != nil || now <= 0 || peak < now/2 {
		t.Fatalf("memory of this process: %d, peak %d, %v", now, peak, err)
	}
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for after := before; after < before+2*clockTick; { // until the clock of /proc has moved
		h.Write(make([]byte, 1<<20))
		if after, err = cpuTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if err := resetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := memory(1 << 30); err == nil {
		t.Error("memory of a process that cannot be")
	}
}

func TestParseMount(t *testing.T) {
	mounts := []byte("/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/big xfs rw 0 0\n")
	for dir, want := range map[string]string{
		"/var": "ext4 on /dev/a", "/tmp/x": "tmpfs on tmpfs", "/tmp/big/y": "xfs on /dev/b", "/tmp/bigger": "tmpfs on tmpfs",
	} {
		if got := parseMount(mounts, dir); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
	if got := parseCPUModel([]byte("processor\t: 0\nmodel name\t: A B\nmodel name\t: C\n")); got != "A B" {
		t.Errorf("CPU %q", got)
	}
}

func TestDiskUsage(t *testing.T) {
	dir := t.TempDir()
	before, err := diskUsage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := diskUsage(dir)
	if err != nil || after-before < 1<<20 || after-before > 2<<20 {
		t.Errorf("a file of 1 MiB takes %d bytes, %v", after-before, err)
	}
}

// TestBlobs: the digest is that of the bytes, however they are cut.
func TestBlobs(t *testing.T) {
	f := NewFiller(1000)
	seen := map[string]bool{}
	for _, size := range []int64{64, 65, 999, 1000, 1064, 5000, 5000, 100_000} {
		b := f.Blob(size)
		if seen[b.Digest] {
			t.Errorf("size %d: the digest is not new", size)
		}
		seen[b.Digest] = true
		for _, step := range []int64{1 << 20, 1000, 63, 1} {
			h := sha256.New()
			for from := int64(0); from < size; from += step {
				for _, p := range b.span(nil, from, min(from+step, size)) {
					h.Write(p)
				}
			}
			if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != b.Digest {
				t.Errorf("size %d in steps of %d: digest %s, want %s", size, step, got, b.Digest)
			}
		}
	}
	img := f.Image()
	var m manifest
	if err := json.Unmarshal(img.Manifest, &m); err != nil || len(m.Layers) != smallLayers || m.Config.Digest != img.Blobs[0].Digest {
		t.Fatalf("manifest %s, %v", img.Manifest, err)
	}
	for _, b := range img.Blobs {
		if digestOf(b.Data) != b.Digest {
			t.Errorf("a blob's digest is wrong")
		}
	}
}

func TestLocation(t *testing.T) {
	for in, want := range map[string]string{
		"/v2/a/b?_state=x%2F": "/v2/a/b?_state=x%2F", "http://h:1/v2/a?x=1": "/v2/a?x=1", "https://h/v2/": "/v2/",
	} {
		got, err := location(Response{head: []byte("HTTP/1.1 202 Accepted\r\nLocation: " + in)})
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
	if at, err := location(Response{head: []byte("HTTP/1.1 202 Accepted")}); err == nil {
		t.Errorf("no Location: %q", at)
	}
	if got := with("/u?a=b", "sha256:0"); got != "/u?a=b&digest=sha256%3A0" {
		t.Error(got)
	}
}

func TestJudge(t *testing.T) {
	rep := &Report{Results: []Result{
		{Scenario: "x", Target: Gantry, Rate: 2600, CPU: 0.2, MB: 90},
		{Scenario: "x", Target: Distribution, Rate: 1000},
		{Scenario: "pull-1", Target: Gantry, Rate: 94}, {Scenario: "pull-1", Target: ceilingSendfile, Rate: 100},
		{Scenario: "y", Target: Gantry, Error: "no"},
	}}
	tests := []struct {
		name    string
		aim     Aim
		verdict string
	}{
		{"x", Aim{Ratio: 2.5, Beat: 2000}, "yes"},
		{"x", Aim{Ratio: 2.7, Rate: 2000}, "no: ≥ 2.7× distribution"},
		{"x", Aim{Ratio: 2.5, CPU: 0.12}, "no: ≤ 0.12 CPU ms"},
		{"pull-1", Aim{Ceiling: 0.95}, "no: ≥ 0.95 of the sendfile server"},
		{"pull-1", Aim{Ratio: 1}, ""}, // no distribution to compare with
		{"y", Aim{Rate: 1}, ""},
		{"x", Aim{}, ""},
	}
	for _, tt := range tests {
		if _, got := rep.judge(tt.name, tt.aim); got != tt.verdict {
			t.Errorf("%s %+v: %q, want %q", tt.name, tt.aim, got, tt.verdict)
		}
	}
}

// TestVerdicts: the page says how many aims were reached, and each that was
// not, a failure too.
func TestVerdicts(t *testing.T) {
	rep := &Report{
		Targets: []TargetReport{{Name: Gantry, Ready: 2 * time.Second, Idle: 30 << 20}, {Name: Distribution, Idle: 90 << 20}},
		Aims: []ScenarioAim{{Name: "good", Aim: Aim{Rate: 10}}, {Name: "slow", Aim: Aim{Ratio: 2, CPU: 0.12}},
			{Name: "broken", Aim: Aim{Rate: 1}}, {Name: "free"}, {Name: "not run", Aim: Aim{Rate: 1}}},
		Results: []Result{
			{Scenario: "good", Target: Gantry, Rate: 11}, {Scenario: "free", Target: Gantry, Rate: 1},
			{Scenario: "slow", Target: Gantry, Rate: 150, CPU: 0.1}, {Scenario: "slow", Target: Distribution, Rate: 100},
			{Scenario: "broken", Target: Gantry, Error: "status 500"},
		},
	}
	var b bytes.Buffer
	rep.verdicts(&b)
	for _, want := range []string{"2 of 5 reached", "| ready ", "2s ", "| slow ", "≥ 2× distribution", "1.50× distribution", "| broken "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
	for _, no := range []string{"good", "free", "not run", "idle  "} {
		if strings.Contains(b.String(), "| "+no) {
			t.Errorf("%q is in\n%s", no, &b)
		}
	}
}
