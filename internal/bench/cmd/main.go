// Command gantry-bench measures Gantry beside other registries. It is run by
// "make bench" and is not part of the product.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/gantry-registry/gantry/internal/bench"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "serve-file" {
		fmt.Fprintln(os.Stderr, bench.ServeFile(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gantry-bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o bench.Options
	f := flag.NewFlagSet("gantry-bench", flag.ContinueOnError)
	f.StringVar(&o.Gantry, "gantry", "bin/gantry", "Gantry's `binary`; left out when it is not there and not asked for by -targets")
	f.StringVar(&o.Distribution, "distribution", "", "distribution v3's `binary`; default: the cached one of -cache")
	f.StringVar(&o.Debian, "docker-registry", "", "Debian's `binary`; default: docker-registry in PATH")
	cache := f.String("cache", "", "`folder` that holds distribution v3, which is built into it when it is missing; default: gantry-bench in the user's cache")
	targets := f.String("targets", "", "comma-separated `names`: gantry,distribution,docker-registry; default: those there are")
	scenarios := f.String("scenarios", "", "`regexp` of scenario names; default: all")
	f.IntVar(&o.Rounds, "rounds", 3, "timed windows per scenario and target")
	seconds := f.Float64("seconds", 2, "length of one window")
	f.BoolVar(&o.Short, "short", false, "tiny sizes: shows that the harness works")
	f.BoolVar(&o.Huge, "huge", false, "also a layer of more than 10 GiB, both ways")
	f.BoolVar(&o.Million, "million", false, "also a repository of 1,000,000 tags on Gantry (a few minutes)")
	f.StringVar(&o.Dir, "dir", "", "`folder` for the servers' data, on the disk to measure; default: the system's temporary folder")
	jsonFile := f.String("json", "", "write the report as JSON to this `file`")
	docs := f.String("write-docs", "", "write the page docs/benchmarks.md to this `file`")
	from := f.String("from", "", "measure nothing: read the report from this JSON `file`")
	note := f.String("note", "", "a `sentence` about this run for the report")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *seconds <= 0 || o.Rounds <= 0 {
		return errors.New("-seconds and -rounds are more than 0")
	}
	o.Window = time.Duration(*seconds * float64(time.Second))
	if *targets != "" {
		o.Targets = strings.Split(*targets, ",")
	}
	wanted := func(name string) bool { return *targets == "" || strings.Contains(","+*targets+",", ","+name+",") }
	if *scenarios != "" {
		var err error
		if o.Scenarios, err = regexp.Compile(*scenarios); err != nil {
			return err
		}
	}
	publish := func(report *bench.Report) error {
		if *note != "" {
			report.Note = *note
		}
		if ctx.Err() != nil { // half a report is no page for the docs
			*docs = ""
		}
		return errors.Join(report.Table(os.Stdout), write(*jsonFile, func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(report)
		}), write(*docs, report.Docs))
	}
	if *from != "" {
		p, err := os.ReadFile(*from)
		if err != nil {
			return err
		}
		report := new(bench.Report)
		if err := json.Unmarshal(p, report); err != nil {
			return fmt.Errorf("%s: %w", *from, err)
		}
		return publish(report)
	}
	if _, err := os.Stat(o.Gantry); err != nil && *targets == "" {
		o.Gantry = ""
	}
	if o.Debian == "" && wanted(bench.Debian) {
		var err error
		if o.Debian, err = exec.LookPath("docker-registry"); err != nil {
			return errors.New("docker-registry is not here: apt-get install docker-registry, or choose -targets")
		}
	}
	if o.Distribution == "" && wanted(bench.Distribution) {
		var err error
		if o.Distribution, err = distribution(ctx, *cache); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.FileServer = []string{self, "serve-file"}
	o.Log = func(line string) { fmt.Fprintln(os.Stderr, line) }
	debug.SetGCPercent(800) // the client shares the cores with what it measures
	o.Measured = publish
	_, err = bench.Run(ctx, o)
	return err
}

// write writes a file that is for all to read; "" is none.
func write(path string, content func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	if err := content(&b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644) //nolint:gosec // see above
}

// distribution returns the binary of distribution v3, built from its module
// on the first call.
func distribution(ctx context.Context, cache string) (string, error) {
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(dir, "gantry-bench")
	}
	dir, err := filepath.Abs(filepath.Join(cache, "distribution-"+bench.DistributionVersion))
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "registry")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	fmt.Fprintln(os.Stderr, "building", bench.DistributionPackage+"@"+bench.DistributionVersion)
	cmd := exec.CommandContext(ctx, "go", "install", bench.DistributionPackage+"@"+bench.DistributionVersion) //nolint:gosec // constants
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build distribution: %w", err)
	}
	return binary, nil
}
