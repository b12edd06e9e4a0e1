package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options say what to measure. The zero value measures everything on the
// targets whose binaries are named.
type Options struct {
	// Binaries. A target whose binary is "" is left out when Targets is empty.
	Gantry       string
	Distribution string
	Debian       string

	Targets   []string       // names, in the order of the tables; empty: each target that has a binary
	Scenarios *regexp.Regexp // matches the names of the scenarios to run; nil: all
	Rounds    int            // windows per scenario and target; 0: 3
	Window    time.Duration  // length of one; 0: 2 s
	Short     bool           // tiny sizes and one short round: shows that the harness works, measures nothing
	Huge      bool           // also one layer of more than 10 GiB, both ways
	Million   bool           // also a repository of 1,000,000 tags on Gantry
	Dir       string         // where the servers' folders are made and removed; "": the system's place for temporary files

	// FileServer is the command that becomes the plain file server of the
	// ceilings: its arguments are followed by an address and a file, and it
	// calls ServeFile with them. Empty leaves that ceiling out.
	FileServer []string

	// Log tells of progress, one line each time; nil is silent.
	Log func(line string)

	// Measured is called with what was measured, before the servers' folders
	// are removed, which takes minutes where one has left a million files; nil:
	// nothing is called.
	Measured func(*Report) error
}

// withDefaults returns o with its zero values filled in.
func (o Options) withDefaults() (Options, error) {
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Window == 0 {
		o.Window = 2 * time.Second
	}
	if o.Short {
		o.Rounds, o.Window = 1, 20*time.Millisecond
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	binaries := map[string]*string{Gantry: &o.Gantry, Distribution: &o.Distribution, Debian: &o.Debian}
	if len(o.Targets) == 0 {
		for _, name := range []string{Gantry, Distribution, Debian} {
			if *binaries[name] != "" {
				o.Targets = append(o.Targets, name)
			}
		}
	}
	for _, name := range o.Targets {
		path, ok := binaries[name]
		if !ok {
			return o, fmt.Errorf("unknown target %q: there are %s, %s and %s", name, Gantry, Distribution, Debian)
		}
		abs, err := filepath.Abs(*path) // servers run in a folder of their own
		if err == nil && *path != "" {
			_, err = os.Stat(abs)
		}
		if err != nil || *path == "" {
			return o, fmt.Errorf("target %s has no binary: %q", name, *path)
		}
		*path = abs
	}
	return o, nil
}

// errStop is an operation that has nothing left to do: the window ends early.
var errStop = errors.New("nothing left to do")

// A load is a scenario made ready on one target.
type load struct {
	round func(ctx context.Context) error                      // before each window: fresh tokens, fresh names; may be nil
	op    func(ctx context.Context, c *Conn, worker int) error // one operation, all answers checked
	check func(ctx context.Context, c *Conn) error             // outside the windows: looks at the bytes themselves; may be nil
	close func()                                               // at the end; may be nil
	note  string                                               // what a reader must know about this target's figure
}

// A contender is what runs a scenario: a target, or one of the machine's
// own ceilings.
type contender struct {
	name    string
	addr    string                        // "" does without connections
	cpu     func() (time.Duration, error) // processor time used so far
	memory  func() (now, peak int64, err error)
	reset   func() error // of the peak
	setup   func(ctx context.Context) (load, error)
	cleanup func()
	dir     string // measured for bytes on disk; "" is not
}

// A run is one call of Run.
type run struct {
	Options
	scale  scale
	filler *Filler
	dir    string
	seq    atomic.Int64
	report *Report
	main   []*Target
}

// Run measures and returns the report. When ctx ends early it stops the
// servers, removes their folders and returns the report so far with ctx's
// error. A scenario that fails on a target is a line of the report, not an
// error.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "gantry-bench-")
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, dir: dir, scale: fullScale, report: &Report{
		Time: time.Now().UTC().Truncate(time.Second), Rounds: o.Rounds, Window: o.Window, Short: o.Short,
	}}
	defer func() {
		r.Log("removing the servers' folders")
		_ = os.RemoveAll(dir) // what is left in a temporary folder is no failure of the measurement
	}()
	if o.Short {
		r.scale = shortScale
	}
	r.report.Machine = machine(dir)
	r.filler = NewFiller(r.scale.filler)

	defer func() {
		for _, t := range r.main {
			t.stop()
		}
	}()
	for _, name := range o.Targets {
		t, err := r.launch(ctx, name, "main")
		if err != nil {
			return r.report, err
		}
		r.main = append(r.main, t)
		r.describe(ctx, t)
	}
	for _, s := range r.scenarios() {
		if o.Scenarios != nil && !o.Scenarios.MatchString(s.name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return r.report, err
		}
		r.begin(s)
		r.run(ctx, s)
	}
	if o.Million && (o.Scenarios == nil || o.Scenarios.MatchString("million")) && slices.Contains(o.Targets, Gantry) {
		r.million(ctx)
	}
	for i, t := range r.main {
		if _, peak, err := memory(t.pid()); err == nil {
			r.report.Targets[i].Peak = max(r.report.Targets[i].Peak, peak)
		}
		if n, err := diskUsage(filepath.Join(t.Dir, "data")); err == nil {
			r.report.Targets[i].Disk = n
		}
	}
	if o.Measured != nil {
		return r.report, errors.Join(ctx.Err(), o.Measured(r.report))
	}
	return r.report, ctx.Err()
}

// begin adds s to the scenarios of the report.
func (r *run) begin(s scenario) {
	r.Log("scenario " + s.name)
	r.report.Aims = append(r.report.Aims, ScenarioAim{Name: s.name, Doc: s.doc, Aim: s.aim})
}

// launch starts and initializes a target in a new folder.
func (r *run) launch(ctx context.Context, name, what string) (*Target, error) {
	dir := filepath.Join(r.dir, fmt.Sprintf("%s-%s-%d", name, what, r.seq.Add(1)))
	t, err := r.start(ctx, name, dir)
	if err != nil {
		return nil, err
	}
	if err := t.initialize(ctx); err != nil {
		err = fmt.Errorf("%s: %w\n%s", name, err, t.logTail())
		t.stop()
		return nil, err
	}
	return t, nil
}

// describe adds t to the report: how fast it was ready, what it takes idle.
func (r *run) describe(ctx context.Context, t *Target) {
	settle := 3 * time.Second // for what a server does after its start
	if r.Short {
		settle = 0
	}
	select {
	case <-ctx.Done():
	case <-time.After(settle):
	}
	d := TargetReport{Name: t.Name, Version: version(ctx, t), Ready: t.Ready}
	if now, _, err := memory(t.pid()); err == nil {
		d.Idle = now
	}
	r.report.Targets = append(r.report.Targets, d)
}

// run measures s on every contender, window by window in turn.
func (r *run) run(ctx context.Context, s scenario) {
	var cs []*contender
	for _, t := range r.main {
		if s.setup == nil {
			break
		}
		c, err := r.contender(ctx, s, t)
		if err != nil {
			r.fail(s, t.Name, err)
			continue
		}
		cs = append(cs, c)
	}
	for _, ceiling := range s.ceilings {
		c, err := r.ceiling(ctx, s, ceiling)
		if errors.Is(err, errUnsupported) {
			continue
		}
		if err != nil {
			r.fail(s, ceiling, err)
			continue
		}
		cs = append(cs, c)
	}
	var ready []*racer
	for _, c := range cs {
		defer c.cleanup()
		d, err := r.prepare(ctx, s, c)
		if err != nil {
			r.fail(s, c.name, err)
			continue
		}
		defer d.close()
		ready = append(ready, d)
	}
	rounds := r.Rounds
	if s.once {
		rounds = 1
	}
	for i := range rounds {
		// Each round begins with another one, so that none is always the
		// first after the disk was quiet.
		for k := range ready {
			d := ready[(i+k)%len(ready)]
			if d.err == nil && ctx.Err() == nil {
				d.err = d.round(ctx)
			}
		}
	}
	for _, d := range ready {
		d.finish(ctx)
	}
}

// fail adds a line for a contender that could not be measured.
func (r *run) fail(s scenario, name string, err error) {
	res := Result{Scenario: s.name, Target: name, Conns: s.conns}
	if errors.Is(err, errUnsupported) {
		res.Unsupported = true
	} else {
		res.Error = err.Error()
	}
	r.Log(fmt.Sprintf("  %-16s %v", name, err))
	r.report.Results = append(r.report.Results, res)
}

// contender makes t, or a new server of its kind, run s.
func (r *run) contender(ctx context.Context, s scenario, t *Target) (*contender, error) {
	if s.fresh {
		var err error
		if t, err = r.launch(ctx, t.Name, s.name); err != nil {
			return nil, err
		}
	}
	c := &contender{
		name: t.Name, addr: t.Addr,
		cpu:     func() (time.Duration, error) { return cpuTime(t.pid()) },
		memory:  func() (int64, int64, error) { return memory(t.pid()) },
		reset:   func() error { return resetPeak(t.pid()) },
		setup:   func(ctx context.Context) (load, error) { return s.setup(ctx, r, t) },
		cleanup: func() {},
	}
	if s.fresh {
		c.dir = filepath.Join(t.Dir, "data")
		c.cleanup = func() {
			t.stop()
			_ = os.RemoveAll(t.Dir) // Run removes what is left
		}
	}
	return c, nil
}

// A racer is a contender at work on one scenario.
type racer struct {
	*contender
	run   *run
	s     scenario
	load  load
	conns []*Conn
	ops   int64 // in the windows and the warm-up
	err   error
	res   Result
	peak  int64 // before this scenario reset it
	disk0 int64
}

// prepare sets the scenario up on c and checks one operation.
func (r *run) prepare(ctx context.Context, s scenario, c *contender) (*racer, error) {
	d := &racer{contender: c, run: r, s: s, res: Result{Scenario: s.name, Target: c.name, Conns: s.conns, Bytes: s.bytes}}
	var err error
	if d.load, err = c.setup(ctx); err != nil {
		return nil, err
	}
	for range s.conns {
		var conn *Conn
		if c.addr != "" {
			conn = NewConn(c.addr)
		}
		d.conns = append(d.conns, conn)
	}
	if d.load.check != nil {
		if err := d.load.check(ctx, d.conns[0]); err != nil {
			d.close()
			return nil, fmt.Errorf("check: %w", err)
		}
	}
	if c.dir != "" {
		d.disk0, _ = diskUsage(c.dir) // 0 at worst
	}
	if c.reset != nil {
		if _, d.peak, err = c.memory(); err == nil {
			err = c.reset()
		}
		if err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func (d *racer) close() {
	for _, c := range d.conns {
		if c != nil {
			c.Close()
		}
	}
	if d.load.close != nil {
		d.load.close()
	}
}

// round measures one window.
func (d *racer) round(ctx context.Context) error {
	renew := func() error {
		if d.load.round == nil {
			return nil
		}
		if err := d.load.round(ctx); err != nil {
			return fmt.Errorf("before a round: %w", err)
		}
		return nil
	}
	if err := renew(); err != nil {
		return err
	}
	if !d.s.once && d.s.bytes < 16<<20 && len(d.res.Rounds) == 0 {
		if _, err := d.window(ctx, d.run.Window/10, false); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
		if err := renew(); err != nil { // the warm-up may have used up what there was to do
			return err
		}
	}
	if d.s.writes {
		syscall.Sync() // what others wrote must not be written in this window
		if d.s.bytes >= 16<<20 {
			if err := touchMemory(touchBytes); err != nil {
				return err
			}
		}
	}
	runtime.GC() // our own garbage is not to be collected in it either
	before, err := d.cpu()
	if err != nil {
		return err
	}
	w, err := d.window(ctx, d.run.Window, d.s.once)
	if err != nil {
		return err
	}
	after, err := d.cpu()
	if err != nil {
		return err
	}
	w.CPU = after - before
	d.res.Rounds = append(d.res.Rounds, w)
	return nil
}

// touchBytes is how much memory is touched before a window of large pushes.
const touchBytes = 2 << 30

// touchMemory uses n bytes of memory, at most a quarter of what there is,
// and gives them back. In a virtual machine whose host takes free memory away
// (free page reporting) the page cache would otherwise grow into pages that
// the host has to find first, and one round would be several times slower
// than the next.
func touchMemory(n int64) error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	free, err := parseStatus(text, "MemAvailable")
	if err != nil {
		return err
	}
	p, err := syscall.Mmap(-1, 0, int(min(n, free/4)), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS|syscall.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("touch memory: %w", err)
	}
	return syscall.Munmap(p)
}

// window runs operations on all connections for length, or once on each, and
// lets those that are under way end.
func (d *racer) window(ctx context.Context, length time.Duration, once bool) (Round, error) {
	// What went before may have taken longer than a server keeps a connection
	// that says nothing.
	for _, c := range d.conns {
		if c != nil {
			if err := c.Redial(ctx); err != nil {
				return Round{}, err
			}
		}
	}
	var (
		wg   sync.WaitGroup
		took = make([][]time.Duration, len(d.conns))
		errs = make([]error, len(d.conns))
		halt atomic.Bool // after the first error nobody begins another operation
	)
	began := time.Now()
	for i, c := range d.conns {
		wg.Go(func() {
			mine := make([]time.Duration, 0, 1<<12)
			for at := time.Now(); !halt.Load(); {
				err := d.load.op(ctx, c, i)
				if errors.Is(err, errStop) {
					halt.Store(true)
					break
				}
				if err != nil {
					errs[i] = err
					halt.Store(true)
					break
				}
				now := time.Now()
				mine = append(mine, now.Sub(at))
				if at = now; once || now.Sub(began) >= length {
					break
				}
			}
			took[i] = mine
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return Round{}, err
	}
	all := slices.Concat(took...)
	d.ops += int64(len(all))
	if len(all) == 0 {
		return Round{}, errors.New("no operation ended in the window")
	}
	return Round{Ops: len(all), Elapsed: elapsed, Latency: latency(all)}, nil
}

// finish adds the line of d to the report.
func (d *racer) finish(ctx context.Context) {
	d.measure() // before the check adds to it
	if d.err == nil && d.load.check != nil && ctx.Err() == nil {
		d.err = d.load.check(ctx, d.conns[0])
	}
	if d.err != nil {
		d.run.fail(d.s, d.name, d.err)
		return
	}
	d.res.Note = d.load.note
	d.res.sum()
	d.run.Log("  " + d.res.String())
	d.run.report.Results = append(d.run.report.Results, d.res)
}

// measure reads what the scenario took in memory and on disk. What cannot be
// read, because the server is gone, is left out.
func (d *racer) measure() {
	if d.memory != nil {
		if _, peak, err := d.memory(); err == nil {
			d.res.Peak = peak
			d.peak = max(d.peak, peak)
		}
		for i := range d.run.report.Targets {
			if t := &d.run.report.Targets[i]; t.Name == d.name && !d.s.fresh {
				t.Peak = max(t.Peak, d.peak)
			}
		}
	}
	if d.dir != "" && d.ops > 0 {
		if n, err := diskUsage(d.dir); err == nil {
			d.res.Disk = (n - d.disk0) / d.ops
		}
	}
}
