package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Report is what one run measured. Its JSON is stable: names stay, fields
// are only added.
type Report struct {
	Time    time.Time      `json:"time"`
	Machine Machine        `json:"machine"`
	Note    string         `json:"note,omitempty"` // said by who ran it, for example that the machine was busy
	Short   bool           `json:"short,omitempty"`
	Rounds  int            `json:"rounds"`
	Window  time.Duration  `json:"window_ns"`
	Targets []TargetReport `json:"targets"`
	Aims    []ScenarioAim  `json:"scenarios"` // what each scenario does and is to reach, in order
	Results []Result       `json:"results"`
}

// A TargetReport is what is known about one server.
type TargetReport struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Ready   time.Duration `json:"ready_ns"`   // from its start to its first answer, on an empty folder
	Idle    int64         `json:"idle_bytes"` // resident, 3 s after its start
	Peak    int64         `json:"peak_bytes"` // the most resident in all scenarios that share one server
	Disk    int64         `json:"disk_bytes"` // of that server's folder at the end
}

// A ScenarioAim names a scenario and what Gantry is to reach in it.
type ScenarioAim struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
	Aim  Aim    `json:"aim"`
}

// An Aim is what Gantry is to reach. Zero fields ask for nothing.
type Aim struct {
	Ratio   float64 `json:"ratio,omitempty"`    // at least this many times distribution's rate
	Ceiling float64 `json:"ceiling,omitempty"`  // at least this share of the machine's ceiling
	Rate    float64 `json:"rate,omitempty"`     // operations a second, at least
	CPU     float64 `json:"cpu_ms,omitempty"`   // server CPU milliseconds per operation, at most
	Peak    int64   `json:"peak,omitempty"`     // resident bytes, below
	Beat    float64 `json:"beat,omitempty"`     // operations a second to be beaten: an earlier figure, on like hardware
	BeatMB  float64 `json:"beat_mb,omitempty"`  // MB/s to be beaten
	BeatCPU float64 `json:"beat_cpu,omitempty"` // CPU milliseconds per operation to be beaten
}

// A Round is one timed window.
type Round struct {
	Ops     int           `json:"ops"`
	Elapsed time.Duration `json:"elapsed_ns"`
	CPU     time.Duration `json:"cpu_ns"` // of the server, or of the harness for ceilings without one
	Latency Latency       `json:"latency"`
}

// A Result is one scenario on one target. Its figures are medians over its
// rounds.
type Result struct {
	Scenario string `json:"scenario"`
	Target   string `json:"target"`
	Conns    int    `json:"connections"`
	Bytes    int64  `json:"bytes_per_op,omitempty"`

	Rate   float64       `json:"ops_per_second"`
	MB     float64       `json:"mb_per_second,omitempty"` // 10^6 bytes
	CPU    float64       `json:"cpu_ms_per_op"`
	P50    time.Duration `json:"p50_ns"`
	P99    time.Duration `json:"p99_ns"`
	Spread float64       `json:"spread"`                      // (fastest - slowest round) / median: how noisy it was
	Peak   int64         `json:"peak_bytes,omitempty"`        // the server's most resident bytes in this scenario
	Disk   int64         `json:"disk_bytes_per_op,omitempty"` // where the scenario had a server of its own

	Unsupported bool    `json:"unsupported,omitempty"`
	Error       string  `json:"error,omitempty"`
	Note        string  `json:"note,omitempty"`
	Rounds      []Round `json:"rounds,omitempty"`
}

// sum fills in the medians.
func (r *Result) sum() {
	var rate, cpu, p50, p99 []float64
	for _, w := range r.Rounds {
		rate = append(rate, float64(w.Ops)/w.Elapsed.Seconds())
		cpu = append(cpu, w.CPU.Seconds()*1000/float64(w.Ops))
		p50 = append(p50, float64(w.Latency.P50))
		p99 = append(p99, float64(w.Latency.P99))
	}
	r.Rate, r.CPU, r.Spread = median(rate), median(cpu), spread(rate)
	r.P50, r.P99 = time.Duration(median(p50)), time.Duration(median(p99))
	r.MB = r.Rate * float64(r.Bytes) / 1e6
}

// String is one line for people.
func (r Result) String() string {
	switch {
	case r.Unsupported:
		return fmt.Sprintf("%-16s not supported", r.Target)
	case r.Error != "":
		return fmt.Sprintf("%-16s failed: %s", r.Target, r.Error)
	}
	line := fmt.Sprintf("%-16s %10s/s", r.Target, number(r.Rate))
	if r.MB > 0 {
		line += fmt.Sprintf(" %8s MB/s", number(r.MB))
	}
	return line + fmt.Sprintf("  %8s CPU ms  p50 %-9s p99 %-9s ±%.0f%%", number(r.CPU), short(r.P50), short(r.P99), r.Spread*50)
}

// number prints v with three or more significant digits.
func number(v float64) string {
	switch {
	case v >= 1000:
		s := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// short rounds d to three digits or so.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func mib(n int64) string { return number(float64(n)/(1<<20)) + " MiB" }

// find returns the measured result of scenario on target, or nil.
func (r *Report) find(scenario, target string) *Result {
	for i := range r.Results {
		res := &r.Results[i]
		if res.Scenario == scenario && res.Target == target && res.Error == "" && !res.Unsupported {
			return res
		}
	}
	return nil
}

// has tells whether there is a row of scenario on target, failed or not.
func (r *Report) has(scenario, target string) bool {
	return slices.ContainsFunc(r.Results, func(res Result) bool { return res.Scenario == scenario && res.Target == target })
}

// judge is the aim in words, and whether Gantry's result reaches it: "yes",
// "no" with what is missing, or "" when nothing can be said.
func (r *Report) judge(name string, a Aim) (text, verdict string) {
	got := r.find(name, Gantry)
	var words, missed []string
	said := false
	check := func(word string, known, ok bool) {
		words = append(words, word)
		if got == nil || !known {
			return
		}
		said = true
		if !ok {
			missed = append(missed, word)
		}
	}
	have := got
	if have == nil {
		have = &Result{}
	}
	if a.Ratio > 0 {
		peer := r.find(name, Distribution)
		check(fmt.Sprintf("≥ %g× %s", a.Ratio, Distribution), peer != nil, peer != nil && have.Rate >= a.Ratio*peer.Rate)
	}
	if a.Ceiling > 0 {
		top := r.find(name, ceilingSendfile)
		if top == nil {
			top = r.find(name, ceilingWrite)
		}
		of := "the sendfile server"
		if !strings.HasPrefix(name, "pull") {
			of = "hash, write, fsync"
		}
		check(fmt.Sprintf("≥ %g of %s", a.Ceiling, of), top != nil, top != nil && have.Rate >= a.Ceiling*top.Rate)
	}
	if a.Rate > 0 {
		check("≥ "+number(a.Rate)+"/s", true, have.Rate >= a.Rate)
	}
	if a.CPU > 0 {
		check(fmt.Sprintf("≤ %g CPU ms", a.CPU), true, have.CPU <= a.CPU)
	}
	if a.Peak > 0 {
		check("< "+mib(a.Peak)+" resident", true, have.Peak < a.Peak)
	}
	if a.Beat > 0 {
		check("> "+number(a.Beat)+"/s", true, have.Rate > a.Beat)
	}
	if a.BeatMB > 0 {
		check("> "+number(a.BeatMB)+" MB/s", true, have.MB > a.BeatMB)
	}
	if a.BeatCPU > 0 {
		check(fmt.Sprintf("< %g CPU ms", a.BeatCPU), true, have.CPU < a.BeatCPU)
	}
	text = strings.Join(words, "; ")
	switch {
	case !said:
	case len(missed) == 0:
		verdict = "yes"
	default:
		verdict = "no: " + strings.Join(missed, "; ")
	}
	return text, verdict
}

// What Gantry is to reach as a server, whatever the scenario.
const (
	readyAim = time.Second
	idleAim  = 60 << 20
)

// verdicts says which aims were reached, and names those that were not.
func (r *Report) verdicts(b *bytes.Buffer) {
	reached, missed := 0, [][]string{{"aim missed", "what was asked", "what was measured"}}
	note := func(ok bool, row ...string) {
		if ok {
			reached++
		} else {
			missed = append(missed, row)
		}
	}
	for _, t := range r.Targets {
		if t.Name == Gantry {
			note(t.Ready < readyAim, "ready", "< "+short(readyAim)+" on an empty folder", short(t.Ready))
			note(t.Idle < idleAim, "idle", "< "+mib(idleAim)+" resident", mib(t.Idle))
		}
	}
	for _, s := range r.Aims {
		text, verdict := r.judge(s.Name, s.Aim)
		switch got := r.find(s.Name, Gantry); {
		case verdict != "":
			_, why, _ := strings.Cut(verdict, ": ")
			note(verdict == "yes", s.Name, why, r.measured(s, got))
		case text != "" && r.has(s.Name, Gantry) && got == nil:
			note(false, s.Name, text, "failed")
		}
	}
	fmt.Fprintf(b, "\nAims for %s: %d of %d reached (ready in less than 1 s, less than 60 MiB resident when idle, and those of the scenarios below).\n",
		Gantry, reached, reached+len(missed)-1)
	if len(missed) > 1 {
		b.WriteString("\n")
		table(b, missed)
	}
}

// measured is what got reached, in the terms of s's aim.
func (r *Report) measured(s ScenarioAim, got *Result) string {
	words := []string{number(got.Rate) + "/s"}
	if got.MB > 0 {
		words = []string{number(got.MB) + " MB/s"}
	}
	if s.Aim.CPU > 0 || s.Aim.BeatCPU > 0 {
		words = append(words, number(got.CPU)+" CPU ms")
	}
	if s.Aim.Peak > 0 {
		words = append(words, mib(got.Peak)+" resident")
	}
	for _, other := range []struct {
		name string
		to   bool
	}{{Distribution, s.Aim.Ratio > 0}, {ceilingSendfile, s.Aim.Ceiling > 0}, {ceilingWrite, s.Aim.Ceiling > 0}} {
		if peer := r.find(s.Name, other.name); other.to && peer != nil && peer.Rate > 0 {
			words = append(words, fmt.Sprintf("%.2f× %s", got.Rate/peer.Rate, other.name))
		}
	}
	return strings.Join(words, ", ")
}

// Table writes the report as Markdown tables, which read well on a terminal
// too.
func (r *Report) Table(w io.Writer) error {
	var b bytes.Buffer
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d cores, %s memory, Linux %s (%s), data on %s, %s.\n", m.CPU, m.Cores, mib(m.Memory), m.Kernel, m.Arch, m.Disk, m.Go)
	fmt.Fprintf(&b, "Measured %s, %d rounds of %v; load average before: %.2f.", r.Time.Format("2006-01-02 15:04 MST"), r.Rounds, r.Window, m.LoadAvg)
	if r.Note != "" {
		fmt.Fprintf(&b, " %s", r.Note)
	}
	if r.Short {
		b.WriteString(" **A short run: it shows that the harness works and measures nothing.**")
	}
	b.WriteString("\n\n## Servers\n\n")
	rows := [][]string{{"server", "version", "ready after", "resident idle", "peak", "on disk at the end"}}
	for _, t := range r.Targets {
		rows = append(rows, []string{t.Name, t.Version, short(t.Ready), mib(t.Idle), mib(t.Peak), mib(t.Disk)})
	}
	table(&b, rows)
	r.verdicts(&b)
	b.WriteString("\n## Scenarios\n\n")
	rows = [][]string{{"scenario", "clients", "target", "per second", "MB/s", "CPU ms", "p50", "p99", "±", "peak", "disk per op", "of " + Distribution, "aim", "reached"}}
	for _, s := range r.Aims {
		text, verdict := r.judge(s.Name, s.Aim)
		gantry, first := r.has(s.Name, Gantry), true
		for _, res := range r.Results {
			if res.Scenario != s.Name {
				continue
			}
			row := []string{res.Scenario, strconv.Itoa(res.Conns), res.Target}
			switch {
			case res.Unsupported:
				row = append(row, "not supported")
			case res.Error != "":
				row = append(row, "failed: "+oneLine(res.Error))
			default:
				mb, peak, disk, of := "", "", "", ""
				if res.MB > 0 {
					mb = number(res.MB)
				}
				if res.Peak > 0 {
					peak = mib(res.Peak)
				}
				if res.Disk > 0 {
					disk = number(float64(res.Disk)/1024) + " KiB"
				}
				if peer := r.find(s.Name, Distribution); peer != nil && peer.Rate > 0 {
					of = fmt.Sprintf("%.2f×", res.Rate/peer.Rate)
				}
				name := res.Target
				if res.Note != "" {
					name += " (" + res.Note + ")"
				}
				row[2] = name
				row = append(row, number(res.Rate), mb, number(res.CPU), short(res.P50), short(res.P99),
					fmt.Sprintf("%.0f%%", res.Spread*50), peak, disk, of)
			}
			for len(row) < len(rows[0])-2 {
				row = append(row, "")
			}
			// The aim stands once, on Gantry's row, or on the first when
			// Gantry was not measured.
			if res.Target == Gantry || (!gantry && first) {
				row = append(row, text, verdict)
			} else {
				row = append(row, "", "")
			}
			first = false
			rows = append(rows, row)
		}
	}
	table(&b, rows)
	_, err := w.Write(b.Bytes())
	return err
}

// oneLine keeps a long error from breaking a table.
func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	s = strings.ReplaceAll(s, "|", "/")
	if len(s) > 160 {
		s = strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}

// table writes rows, the first of which is the heading, in columns that line
// up.
func table(b *bytes.Buffer, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)), 3)
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(b, "| %s%s ", cell, strings.Repeat(" ", width[i]-len([]rune(cell))))
		}
		b.WriteString("|\n")
		if n == 0 {
			for i := range row {
				b.WriteString("|" + strings.Repeat("-", width[i]+2))
			}
			b.WriteString("|\n")
		}
	}
}

// Docs writes the page docs/benchmarks.md.
func (r *Report) Docs(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(`<!-- Generated by "make bench"; do not edit. -->

# Benchmarks

` + "`make bench`" + ` starts Gantry, distribution v3 and Debian's docker-registry on one machine, on the loopback interface, and
drives them with the same lean HTTP client. Client and server share the cores. Targets take turns, round by round; each
figure is the median of the rounds, and ± is half the distance between the fastest and the slowest of them. CPU is user
plus system time of the server's process for one operation. Gantry checks a token on every request; the others run
without authentication, on files, with their descriptor cache. What is pushed is durable when the answer says so, as far
as the server itself makes it so: nobody is told to fsync more or less than it does.

An answer with the wrong status or length fails a scenario; before and after its windows the bytes themselves are
fetched and their digests checked. Every pushed blob is new. Servers that were written to by others wait for the disk
first. The rows named sendfile, hash+fsync and sha256 are the machine's own ceilings: a plain net/http server of one
file, the same bytes hashed, written and fsynced by one function, and crypto/sha256 alone.

`)
	if err := r.Table(&b); err != nil {
		return err
	}
	b.WriteString("\n## What an operation is\n\n")
	rows := [][]string{{"scenario", "operation"}}
	for _, s := range r.Aims {
		rows = append(rows, []string{s.Name, s.Doc})
	}
	table(&b, rows)
	b.WriteString(`
Tags of the distributions' repositories and their 10,000 catalog entries are written straight into their storage tree;
Gantry's go through its API. Aims that name a rate without a comparison are earlier figures on like hardware.
`)
	_, err := w.Write(b.Bytes())
	return err
}

// machine describes where dir is.
func machine(dir string) Machine {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), Arch: runtime.GOARCH, Go: runtime.Version(), Disk: "unknown"}
	// What cannot be read stays unknown: the figures are still good.
	if p, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = parseCPUModel(p)
	}
	if p, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.Memory, _ = parseStatus(p, "MemTotal")
	}
	if p, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(p))
	}
	if p, err := os.ReadFile("/proc/mounts"); err == nil {
		m.Disk = parseMount(p, dir)
	}
	if p, err := os.ReadFile("/proc/loadavg"); err == nil {
		first, _, _ := strings.Cut(string(p), " ")
		m.LoadAvg, _ = strconv.ParseFloat(first, 64)
	}
	return m
}

// version asks a target's binary for its version: the last word of the
// first line, or "unknown".
func version(ctx context.Context, t *Target) string {
	arg := "--version"
	if t.Name == Gantry {
		arg = "version"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, t.cmd.Path, arg).Output() //nolint:gosec // the binary that is being measured
	line, _, _ := strings.Cut(string(out), "\n")
	f := strings.Fields(line)
	if err != nil || len(f) == 0 {
		return "unknown"
	}
	return f[len(f)-1]
}
