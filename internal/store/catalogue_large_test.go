package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// largeCatalogue is TestCatalogue on PostgreSQL with ten million links of
// manifests to blobs, on a disk. It also measures each operation, when what it
// needs is in memory and when nothing is, and the tables; with
// GANTRY_CATALOGUE_DOCS=path it writes both into that page, between its marks.
//
// GANTRY_CATALOGUE_DATA is a folder that keeps the database from one run to
// the next; without it the database is in the folder of the test process, for
// which GANTRY_TEST_DIR chooses a disk. GANTRY_CATALOGUE_SCALE is a factor.
func largeCatalogue(t *testing.T) {
	scale := 1.0
	if s := os.Getenv("GANTRY_CATALOGUE_SCALE"); s != "" {
		if _, err := fmt.Sscan(s, &scale); err != nil {
			t.Fatal(err)
		}
	}
	of := func(n int) int { return int(float64(n) * scale) }
	pg := newDiskPostgres(t)
	pg.start(false)
	ctx := t.Context()
	db := storetest.Open(t, storetest.Postgres, store.Options{URI: pg.uri()})
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	c := &catalogue{ctx: ctx, db: db, large: map[string]bool{}}
	const kept = "catalogue of a test"
	value, err := db.Setting(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	if value == "" {
		began := time.Now()
		o := store.SeedOptions{Organizations: of(5000), Users: of(20_000), Repositories: of(100_000), Tags: of(1_420_000), Images: 13, Layers: 14, Teams: 2, Logs: of(3_000_000)}
		last := began
		o.Progress = func(table string, done, total int) {
			if time.Since(last) > 20*time.Second {
				last = time.Now()
				t.Logf("%s: %d of %d after %s", table, done, total, time.Since(began).Round(time.Second))
			}
		}
		pg.withoutIndexes(t, db, func() { c = newCatalogue(t, db, o) })
		c.fill(func(query string, args ...any) {
			t.Logf("%s: %.80s", time.Since(began).Round(time.Second), query)
			storetest.Exec(t, db, query, args...)
		})
		storetest.Exec(t, db, "VACUUM (ANALYZE)")
		if err := db.SetSetting(ctx, kept, fmt.Sprintf("%d %d %s", c.made.Manifests, c.made.Repositories, c.made.User)); err != nil {
			t.Fatal(err)
		}
		t.Logf("made in %s: %+v", time.Since(began).Round(time.Second), c.made)
	} else if _, err := fmt.Sscan(value, &c.made.Manifests, &c.made.Repositories, &c.made.User); err != nil {
		t.Fatal(err)
	}
	if c.location, err = db.EnsureLocation(ctx, "default"); err != nil {
		t.Fatal(err)
	}
	c.made.Events = int(storetest.Get(t, db, `SELECT MAX(seq) FROM events`))
	c.look(storetest.SQL(t, db), 300)
	sizes := c.sizes(t)
	t.Log("\n" + strings.Join(sizes, "\n"))

	prices := map[string]price{}
	for _, op := range operations() {
		t.Run("plan of "+op.name, func(t *testing.T) { prices[op.name] = c.explain(t, op, 6) })
	}
	restart := func(cold bool) {
		t.Helper()
		if err := c.db.Close(); err != nil {
			t.Fatal(err)
		}
		pg.stop()
		if cold {
			pg.evict(t)
		}
		pg.start(true)
		c.db = storetest.Open(t, storetest.Postgres, store.Options{URI: pg.uri()})
		if _, err := c.db.Setting(ctx, kept); err != nil { // it has a connection
			t.Fatal(err)
		}
	}
	const runs, coldRuns = 300, 40
	warm, cold := map[string][]time.Duration{}, map[string][]time.Duration{}
	measure := func(op operation, from, n int) (all []time.Duration) {
		t.Helper()
		for i := range n {
			began := time.Now()
			err := op.run(c, c.places[(from+i)%len(c.places)])
			all = append(all, time.Since(began))
			if err != nil {
				t.Errorf("%s: %v", op.name, err)
				return all
			}
		}
		slices.Sort(all)
		return all
	}
	load := loadAverage()
	restart(false)
	for _, op := range operations() {
		n := runs
		if op.group == "collect" || op.group == "storage" {
			n = 60 // they use up what they work on
		}
		measure(op, 0, min(n, 60))
		if n == runs {
			measure(op, 60, n-60)
		}
		warm[op.name] = measure(op, 0, n)
	}
	for _, op := range operations() {
		restart(true)
		cold[op.name] = measure(op, 0, coldRuns)
	}
	at := func(all []time.Duration, q float64) string {
		d := all[min(len(all)-1, int(q*float64(len(all))))]
		return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000)
	}
	lines := []string{fmt.Sprintf("%s, load average %s before and %s after, on two cores.", time.Now().UTC().Format("2006-01-02 15:04 UTC"), load, loadAverage()), "",
		"| Operation | statements | rows read, at most | in memory: median ms | p99 ms | from the disk: median ms | p99 ms |", "|---|--:|--:|--:|--:|--:|--:|"}
	for _, op := range operations() {
		p, w, k := prices[op.name], warm[op.name], cold[op.name]
		lines = append(lines, fmt.Sprintf("| %s: %s | %d | %d | %s | %s | %s | %s |", op.group, op.name, p.statements, p.rows, at(w, 0.5), at(w, 0.99), at(k, 0.5), at(k, 0.99)))
	}
	t.Log("\n" + strings.Join(lines, "\n"))
	if path := os.Getenv("GANTRY_CATALOGUE_DOCS"); path != "" && !t.Failed() {
		if err := errors.Join(servertest.PutBetween(path, "sizes", sizes), servertest.PutBetween(path, "times", lines)); err != nil {
			t.Error(err)
		}
	}
}

// sizes is a table of the tables.
func (c *catalogue) sizes(t *testing.T) []string {
	t.Helper()
	rows, err := c.pool.QueryContext(c.ctx, `SELECT c.relname, c.reltuples::bigint, pg_relation_size(c.oid) + COALESCE(pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0), pg_indexes_size(c.oid)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.reltuples >= 1000 ORDER BY pg_total_relation_size(c.oid) DESC`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // only read
	lines := []string{"| Table | rows | table MB | indexes MB | bytes a row |", "|---|--:|--:|--:|--:|"}
	var sum, index int64
	for rows.Next() {
		var name string
		var n, heap, idx int64
		if err := rows.Scan(&name, &n, &heap, &idx); err != nil {
			t.Fatal(err)
		}
		sum, index = sum+heap, index+idx
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %d + %d |", name, grouped(n), grouped(heap/1e6), grouped(idx/1e6), heap/n, idx/n))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return append(lines, fmt.Sprintf("| all | | %s | %s | |", grouped(sum/1e6), grouped(index/1e6)))
}

// grouped is n with a comma before each three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// A diskPostgres is a server of its own with the settings of a small
// production one, whose data may outlive the test.
type diskPostgres struct {
	t    *testing.T
	dir  string
	as   *servertest.Account
	bin  string
	proc *servertest.Process
}

func newDiskPostgres(t *testing.T) *diskPostgres {
	t.Helper()
	p := &diskPostgres{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	p.bin, err = servertest.Find("postgres", "/usr/lib/postgresql/*/bin")
	must(err)
	p.as, err = servertest.Unprivileged("postgres", "nobody")
	must(err)
	if p.dir = os.Getenv("GANTRY_CATALOGUE_DATA"); p.dir == "" {
		p.dir, err = servertest.Dir()
		must(err)
		p.dir = filepath.Join(p.dir, "catalogue")
	}
	if _, err := os.Stat(filepath.Join(p.dir, "PG_VERSION")); err != nil {
		must(os.MkdirAll(p.dir, 0o700))
		must(p.as.Own(p.dir))
		initdb, err := servertest.Find("initdb", filepath.Dir(p.bin), "/usr/lib/postgresql/*/bin")
		must(err)
		must(servertest.Run("/", p.as, initdb, "-D", p.dir, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"))
	}
	return p
}

func (p *diskPostgres) uri() string { return "postgresql://postgres@/postgres?host=" + p.dir }

// start starts the server. One that is not durable is for filling it.
func (p *diskPostgres) start(durable bool) {
	p.t.Helper()
	args := []string{"-D", p.dir}
	for _, o := range []string{"listen_addresses=", "unix_socket_directories=" + p.dir, "max_connections=50", "shared_buffers=1GB", "effective_cache_size=8GB", "random_page_cost=1.1",
		"maintenance_work_mem=512MB", "max_wal_size=4GB", "checkpoint_timeout=30min", "wal_level=minimal", "max_wal_senders=0", "autovacuum_naptime=10min", "logging_collector=off"} {
		args = append(args, "-c", o)
	}
	if !durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	cmd := exec.CommandContext(context.Background(), p.bin, args...)
	cmd.Dir = "/"
	dir, err := servertest.Dir()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.proc, err = servertest.Launch(cmd, filepath.Join(dir, "catalogue.log"), p.as, syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	err = p.proc.Ready(func(ctx context.Context) error {
		db, err := store.Open(ctx, store.Options{URI: p.uri()})
		if err != nil {
			return err
		}
		return db.Close()
	})
	if err != nil {
		p.t.Fatal(err)
	}
	proc := p.proc
	p.t.Cleanup(func() {
		_ = proc.Signal(syscall.SIGINT) // it may be gone already
		<-proc.Gone()
	})
}

// stop ends the server after a checkpoint.
func (p *diskPostgres) stop() {
	p.t.Helper()
	if err := p.proc.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	<-p.proc.Gone()
}

// evict has the kernel forget the server's files.
func (p *diskPostgres) evict(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// withoutIndexes runs f while the large tables have no indexes, which are made
// anew afterwards: that takes a fraction of the time.
func (p *diskPostgres) withoutIndexes(t *testing.T, db *store.DB, f func()) {
	t.Helper()
	pool := storetest.SQL(t, db)
	column := func(q string) (all []string) {
		t.Helper()
		rows, err := pool.QueryContext(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }() // only read
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	const tables = `('manifests', 'manifest_bodies', 'manifest_blobs', 'tags', 'blobs', 'repo_blobs', 'ns_blobs', 'placements', 'events', 'access_log')`
	keys := column(`SELECT 'ALTER TABLE ' || c.relname || ' ADD CONSTRAINT ' || k.conname || ' ' || pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
		WHERE k.contype = 'p' AND c.relname IN ` + tables)
	indexes := column(`SELECT i.indexdef FROM pg_indexes i WHERE i.tablename IN ` + tables + ` AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conname = i.indexname)`)
	drops := append(column(`SELECT 'ALTER TABLE '||c.relname||' DROP CONSTRAINT '||k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype = 'p' AND c.relname IN `+tables),
		column(`SELECT 'DROP INDEX '||i.indexname FROM pg_indexes i WHERE i.tablename IN `+tables+` AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conname = i.indexname)`)...)
	if len(keys) != 10 || len(drops) != len(keys)+len(indexes) {
		t.Fatalf("%d keys, %d indexes, %d to drop", len(keys), len(indexes), len(drops))
	}
	for _, q := range drops {
		storetest.Exec(t, db, q)
	}
	f()
	for _, q := range append(keys, indexes...) {
		began := time.Now()
		storetest.Exec(t, db, q)
		t.Logf("%.1f s: %.100s", time.Since(began).Seconds(), q)
	}
}
