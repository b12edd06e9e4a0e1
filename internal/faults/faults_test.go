package faults

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// whole reports whether the long form runs.
func whole() bool { return os.Getenv("GANTRY_FAULTS") != "" }

// long is d in the long form, and a fifth of it in the short one.
func long(d time.Duration) time.Duration {
	if whole() {
		return d
	}
	return d / 5
}

// A scenario is one thing that fails.
type scenario struct {
	name  string
	what  string // for the table: what is done to whom
	short bool   // also in "make test"
	run   func(t *testing.T, s *stage)
}

// A stage is where a scenario plays: a fleet under load.
type stage struct {
	t     *testing.T
	fleet *fleet
	crowd *crowd
	began time.Time
	notes []string // further figures for the table
	// readers are clients that only pull, beside the others; copies is as in
	// tally.
	readers int
	copies  func(digest string) int64

	// What the scenario allows its clients to see.
	maxGivenUp   int64
	noRetries    bool // not one request may have to be sent again
	noPullErrors bool // not one read may fail, though it could be sent again
}

// play starts the load on a fleet; fail is what is done to it, and undone.
func (s *stage) play(f *fleet, clients int, fail func()) {
	s.t.Helper()
	s.fleet = f
	s.crowd = newCrowd(f, clients, s.readers, s.copies)
	s.began = time.Now()
	time.Sleep(long(5 * time.Second))
	s.until("pushes and pulls work before anything is done", func() bool {
		return s.crowd.tally.pushes.Load() > 5 && s.crowd.tally.pulls.Load() > 5 && s.crowd.reads() >= int64(10*s.readers)
	})
	if s.t.Failed() {
		s.crowd.end()
		if err := s.crowd.tally.lastError.Load(); err != nil {
			s.t.Fatal(*err)
		}
		s.t.FailNow()
	}
	fail()
	s.until("pushes and pulls go on", func() bool { return s.progress() })
	time.Sleep(long(5 * time.Second))
	s.crowd.end()
}

// progress waits for new pushes and pulls.
func (s *stage) progress() bool {
	pushes, pulls := s.crowd.tally.pushes.Load(), s.crowd.tally.pulls.Load()
	for range 100 {
		if s.crowd.tally.pushes.Load() > pushes && s.crowd.tally.pulls.Load() > pulls {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// until waits for what has to become true.
func (s *stage) until(what string, f func() bool) {
	s.t.Helper()
	s.soon(2*time.Minute, what, f)
}

// soon is until with another bound.
func (s *stage) soon(within time.Duration, what string, f func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for !f() {
		if time.Now().After(deadline) {
			s.t.Errorf("never: %s", what)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *stage) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// answers lists the answers that nobody should get.
func (s *stage) answers() string {
	var all []string
	s.crowd.tally.badAnswers.Range(func(k, n any) bool {
		all = append(all, fmt.Sprintf("%d x %s", n.(*atomic.Int64).Load(), k))
		return true
	})
	sort.Strings(all)
	return strings.Join(all, "\n")
}

// judge compares what the clients saw with what they may see, and pulls all
// that was acknowledged.
func (s *stage) judge() {
	t := s.t
	t.Helper()
	y := &s.crowd.tally
	if lost := s.crowd.verify(); len(lost) > 0 {
		t.Errorf("%d acknowledged images are lost, such as %s", len(lost), lost[0])
	}
	if n := y.damaged.Load(); n > 0 {
		t.Errorf("%d reads gave other bytes", n)
	}
	if n := y.givenUp.Load(); n > s.maxGivenUp {
		t.Errorf("%d clients gave up", n)
	}
	if n := y.pullErrors.Load(); s.noPullErrors && n > 0 {
		t.Errorf("%d reads failed", n)
	}
	if n := y.retries.Load(); s.noRetries && n > 0 {
		t.Errorf("%d requests had to be sent again", n)
	}
	if bad := s.answers(); bad != "" {
		t.Errorf("answers that nobody should get:\n%s", bad)
	}
}

// row is a line of the table in docs/reliability.md.
func (s *stage) row(sc scenario) string {
	y := &s.crowd.tally
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %.1f s | %s |", sc.what, y.pushes.Load(), y.pulls.Load(), y.damaged.Load(),
		y.retries.Load(), y.givenUp.Load(), y.longest.Seconds(), strings.Join(s.notes, "; "))
}

// TestFaults plays the scenarios, the short ones or, with GANTRY_FAULTS set,
// all of them.
func TestFaults(t *testing.T) {
	var rows []string
	for _, sc := range slices.Concat(processes, servers, networks, stores) {
		if !sc.short && !whole() {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			if !whole() { // they wait more than they work
				t.Parallel()
			}
			s := &stage{t: t}
			sc.run(t, s)
			if s.crowd == nil {
				t.Fatal("the scenario has no load")
			}
			s.judge()
			if t.Failed() {
				t.Logf("what clients saw:\n%s", strings.Join(s.crowd.tally.errors, "\n"))
				for _, in := range s.fleet.instances {
					t.Log(in.internal())
				}
			}
			row := s.row(sc)
			t.Log(row)
			if whole() {
				rows = append(rows, row)
			}
		})
	}
	if path := os.Getenv("GANTRY_FAULTS_DOCS"); path != "" && !t.Failed() {
		if err := servertest.PutBetween(path, "figures", append(slices.Clone(faultsHead), rows...)); err != nil {
			t.Error(err)
		}
	}
}

// faultsHead begins the table of docs/reliability.md.
var faultsHead = []string{"| What is done | pushes | pulls | damaged | sent again | given up | longest without a success | figures |", "|---|--:|--:|--:|--:|--:|--:|---|"}

// files is storage in a folder that all instances share.
func files(t testing.TB) map[string]any {
	return map[string]any{"shared": []any{"LocalStorage", map[string]any{"storage_path": t.TempDir()}}}
}

// databaseFails is a scenario of two instances whose way to the database fails,
// and is whole again afterwards.
func databaseFails(name, what, dialect string, short bool, fail func(*servertest.Proxy)) scenario {
	return scenario{name: name, what: what, short: short, run: func(t *testing.T, s *stage) {
		uri, p := storetest.Proxied(t, storetest.EmptyURI(t, dialect))
		f := newFleet(t, 2, map[string]any{"DB_URI": uri, "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		s.readers = 2
		s.play(f, 4, func() {
			s.outage(func() { fail(p) })
			p.Heal()
		})
	}}
}

// outage does what ends with the database still away, and counts the pulls of
// the readers meanwhile, which go on.
func (s *stage) outage(fail func()) {
	s.t.Helper()
	before := s.crowd.reads()
	fail()
	n := s.crowd.reads() - before
	s.note("%d pulls of known images meanwhile", n)
	if n == 0 {
		s.t.Error("pulls of known images did not go on")
	}
}

// processes are instances and databases that fail.
var processes = []scenario{
	{name: "InstanceKilled", what: "one of two instances is killed (SIGKILL) and started again, several times", short: true, run: func(t *testing.T, s *stage) {
		f := newFleet(t, 2, map[string]any{"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		kills := 2
		if whole() {
			kills = 10
		}
		s.play(f, 4, func() {
			for i := range kills {
				in := f.instances[i%2]
				in.proc.Kill()
				time.Sleep(long(3 * time.Second))
				in.start()
				time.Sleep(long(3 * time.Second))
			}
		})
		s.note("%d kills", kills)
	}},
	{name: "RollingRestart", what: "two instances are stopped (SIGTERM) and started again, one after the other", short: true, run: func(t *testing.T, s *stage) {
		f := newFleet(t, 2, map[string]any{"DB_URI": storetest.EmptyURI(t, storetest.MariaDB), "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		s.play(f, 4, func() {
			for _, in := range f.instances {
				in.restart()
				time.Sleep(long(3 * time.Second))
			}
		})
	}},
	databaseFails("DatabaseCut", "PostgreSQL: every connection breaks, and new ones are refused", storetest.Postgres, true, func(p *servertest.Proxy) {
		p.Cut()
		time.Sleep(long(15 * time.Second))
	}),
	databaseFails("DatabasePartition", "PostgreSQL: a partition of 30 s; packets vanish", storetest.Postgres, false, func(p *servertest.Proxy) {
		p.Stall()
		time.Sleep(long(30 * time.Second))
	}),
	{name: "KilledInOutage", what: "an instance is killed (SIGKILL) while PostgreSQL is away for both, tries to start without it, and starts when it is back", run: func(t *testing.T, s *stage) {
		server := storetest.EmptyURI(t, storetest.Postgres)
		uri, p := storetest.Proxied(t, server)
		f := newFleet(t, 2, map[string]any{"DB_URI": uri, "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		s.readers = 2
		s.play(f, 4, func() {
			s.outage(func() {
				p.Cut()
				before := s.crowd.reads()
				s.until("pulls go on without the database", func() bool { return s.crowd.reads() >= before+50 })
				in := f.instances[0]
				in.proc.Kill()
				time.Sleep(long(3 * time.Second))
				in.tries(3 * time.Second)
			})
			p.Heal()
			f.instances[0].start()
		})
		db := storetest.Open(t, storetest.Postgres, store.Options{URI: server})
		for _, r := range s.crowd.readers {
			logged := func() int64 {
				return storetest.Get(t, db, `SELECT COUNT(*) FROM access_log WHERE kind = 'pull_repo' AND ref = ?`, r.image.tag)
			}
			s.until("every pull that was answered is in the log", func() bool { return logged() >= r.got.Load() })
			if n := logged(); n > r.asked.Load() {
				t.Errorf("%d pulls are in the log, and only %d were asked for", n, r.asked.Load())
			}
		}
		s.note("all of the %d answered pulls of the readers are in the log", s.crowd.readers[0].got.Load()+s.crowd.readers[1].got.Load())
	}},
	databaseFails("MariaDBCut", "MariaDB: every connection breaks, and new ones are refused", storetest.MariaDB, false, func(p *servertest.Proxy) {
		p.Cut()
		time.Sleep(long(15 * time.Second))
	}),
}
