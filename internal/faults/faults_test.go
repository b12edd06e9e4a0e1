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

	// What the scenario allows its clients to see.
	maxGivenUp   int64
	noRetries    bool // not one request may have to be sent again
	noPullErrors bool // not one read may fail, though it could be sent again
}

// play starts the load on a fleet; fail is what is done to it, and undone.
func (s *stage) play(f *fleet, clients int, fail func()) {
	s.t.Helper()
	s.fleet = f
	s.crowd = newCrowd(f, clients)
	s.began = time.Now()
	time.Sleep(long(5 * time.Second))
	s.until("pushes and pulls work before anything is done", func() bool { return s.crowd.tally.pushes.Load() > 5 && s.crowd.tally.pulls.Load() > 5 })
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
	deadline := time.Now().Add(2 * time.Minute)
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
			s := &stage{t: t}
			sc.run(t, s)
			if s.crowd == nil {
				t.Fatal("the scenario has no load")
			}
			s.judge()
			if t.Failed() {
				for _, in := range s.fleet.instances {
					t.Log(in.internal())
				}
			}
			rows = append(rows, s.row(sc))
			t.Log(rows[len(rows)-1])
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

// behind is a DB_URI whose connections go through the proxy.
func behind(t *testing.T, uri string) (*servertest.Proxy, string) {
	t.Helper()
	socket := func(param, suffix string) (string, bool) {
		_, dir, ok := strings.Cut(uri, param)
		dir = strings.NewReplacer("%2F", "/").Replace(dir)
		return dir + suffix, ok
	}
	if path, ok := socket("?host=", "/.s.PGSQL.5432"); ok {
		p := servertest.NewProxy(t, path)
		at, _, _ := strings.Cut(uri, "?")
		return p, strings.Replace(at, "@/", "@"+p.Addr()+"/", 1) + "?sslmode=disable"
	}
	path, ok := socket("?unix_socket=", "")
	if !ok {
		t.Fatalf("%s has no socket", uri)
	}
	p := servertest.NewProxy(t, path)
	at, _, _ := strings.Cut(uri, "?")
	return p, strings.Replace(at, "@localhost/", "@"+p.Addr()+"/", 1)
}

// databaseFails is a scenario of two instances whose way to the database fails,
// and is whole again afterwards.
func databaseFails(name, what, dialect string, short bool, fail func(*servertest.Proxy)) scenario {
	return scenario{name: name, what: what, short: short, run: func(t *testing.T, s *stage) {
		p, uri := behind(t, storetest.EmptyURI(t, dialect))
		f := newFleet(t, 2, map[string]any{"DB_URI": uri, "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		s.play(f, 4, func() {
			fail(p)
			p.Heal()
		})
	}}
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
				if err := in.proc.Signal(os.Interrupt); err != nil {
					t.Error(err)
				}
				<-in.proc.Gone()
				in.start()
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
	databaseFails("MariaDBCut", "MariaDB: every connection breaks, and new ones are refused", storetest.MariaDB, false, func(p *servertest.Proxy) {
		p.Cut()
		time.Sleep(long(15 * time.Second))
	}),
}
