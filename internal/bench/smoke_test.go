package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The test binary is also the servers that the harness starts.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 4 && os.Args[1] == "serve-file":
		fmt.Fprintln(os.Stderr, ServeFile(os.Args[2], os.Args[3]))
		os.Exit(1)
	case len(os.Args) > 1 && os.Args[1] == "serve":
		fmt.Fprintln(os.Stderr, serveFake(os.Args[2:]))
		os.Exit(1)
	case len(os.Args) > 1 && os.Args[1] == "version":
		fmt.Println("fake 0.0")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestSmoke runs every scenario, tiny, on Debian's docker-registry and on a
// registry in memory that asks for tokens as Gantry does.
func TestSmoke(t *testing.T) {
	debian, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatalf("this test needs Debian's docker-registry (apt-get install docker-registry): %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rep, err := Run(t.Context(), Options{
		Gantry: self, Debian: debian, Short: true, Huge: true, Million: true, Dir: dir,
		FileServer: []string{self, "serve-file"},
		Log:        func(line string) { t.Log(line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("the harness leaves %v, %v", left, err)
	}
	for _, s := range rep.Aims {
		want := []string{Gantry, Debian}
		switch {
		case strings.HasPrefix(s.Name, "ceiling-"):
			want = []string{ceilingSHA256}
		case strings.HasPrefix(s.Name, "million-"):
			want = []string{Gantry}
		case strings.HasPrefix(s.Name, "pull-") && strings.Contains(s.Name, "MiB"):
			want = append(want, ceilingSendfile)
		case strings.HasPrefix(s.Name, "push-") && strings.Contains(s.Name, "MiB"):
			want = append(want, ceilingWrite)
		}
		for _, target := range want {
			unsupported := target == Debian && strings.HasPrefix(s.Name, "referrers-")
			if got := rep.find(s.Name, target); (got == nil) != unsupported || (got != nil && got.Rate <= 0) {
				t.Errorf("%s on %s: %+v", s.Name, target, got)
			}
		}
	}
	if len(rep.Targets) != 2 || rep.Targets[0].Idle <= 0 || rep.Targets[0].Ready <= 0 || rep.Targets[0].Version != "0.0" ||
		rep.Targets[1].Disk <= 0 || rep.Targets[1].Peak < rep.Targets[1].Idle/2 {
		t.Errorf("targets: %+v", rep.Targets)
	}

	// The report survives JSON, and the page names the machine and each row.
	p, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(p, &again); err != nil {
		t.Fatal(err)
	}
	var one, two bytes.Buffer
	if err := rep.Docs(&one); err != nil {
		t.Fatal(err)
	}
	if err := again.Docs(&two); err != nil {
		t.Fatal(err)
	}
	if one.String() != two.String() {
		t.Error("the page changes on the way through JSON")
	}
	for _, want := range []string{rep.Machine.CPU, rep.Machine.Kernel, "A short run", "manifest-tag", "not supported"} {
		if !strings.Contains(one.String(), want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
}

// TestWrongAnswers: a server that answers wrongly fails the scenario.
func TestWrongAnswers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for fault, tt := range map[string]struct{ scenario, want string }{
		"status":  {"^manifest-digest$", "status 500"},
		"corrupt": {"^pull-small$", "digest"},
		"short":   {"^tags-40-first$", "a page of 3 tags"},
		"exit":    {"^head-blob$", "HEAD"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Setenv("FAKE_FAULT", fault)
			rep, err := Run(t.Context(), Options{Gantry: self, Short: true, Dir: t.TempDir(), Scenarios: regexp.MustCompile(tt.scenario)})
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Results) != 1 || !strings.Contains(rep.Results[0].Error, tt.want) {
				t.Errorf("results %+v, want one error about %q", rep.Results, tt.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"unknown target": {Targets: []string{"harbor"}},
		"no binary":      {Targets: []string{Debian}},
		"missing binary": {Gantry: "/no/such/gantry"},
	} {
		if rep, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: %+v, want an error", name, rep)
		}
	}
	// A binary that is no server ends at once: the error says so, with its log.
	if _, err := Run(t.Context(), Options{Debian: "/bin/false", Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "the process ended") {
		t.Errorf("a server that ends: %v", err)
	}
}
