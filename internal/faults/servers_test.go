package faults

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// withRedis adds a Redis behind a proxy.
func withRedis(t testing.TB, config map[string]any) (*servertest.RedisServer, *servertest.Proxy) {
	t.Helper()
	r := servertest.NewRedis(t, servertest.RedisOptions{})
	p := servertest.NewProxy(t, r.Addr)
	u, err := url.Parse("//" + p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	config["USER_EVENTS_REDIS"] = map[string]any{"host": u.Hostname(), "port": port}
	return r, p
}

// redisFails is a scenario of two instances that share a Redis. Nobody may
// notice: not one request may have to be sent again.
func redisFails(name, what string, fail func(r *servertest.RedisServer, p *servertest.Proxy)) scenario {
	return scenario{name: name, what: what, run: func(t *testing.T, s *stage) {
		config := map[string]any{"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "DISTRIBUTED_STORAGE_CONFIG": files(t), "FEATURE_RATE_LIMITS": false}
		r, p := withRedis(t, config)
		f := newFleet(t, 2, config)
		s.noPullErrors, s.noRetries = true, true
		s.play(f, 4, func() { fail(r, p) })
	}}
}

// servers are databases and Redis as processes of their own.
var servers = []scenario{
	{name: "DatabaseKilled", what: "PostgreSQL is killed (SIGKILL) and started again", run: func(t *testing.T, s *stage) {
		pg := servertest.NewPostgres(t, servertest.PostgresOptions{Settings: []string{"fsync=on"}})
		pg.SQL(t, "postgres", "CREATE DATABASE quay")
		f := newFleet(t, 2, map[string]any{"DB_URI": "postgresql://postgres@" + pg.Addr() + "/quay", "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		s.readers = 2
		s.play(f, 4, func() {
			s.outage(func() {
				pg.Kill()
				time.Sleep(long(10 * time.Second))
			})
			pg.Start(t)
		})
	}},
	{name: "DatabaseFailover", what: "the primary of PostgreSQL is killed and its synchronous standby promoted; both are in DB_URI", run: func(t *testing.T, s *stage) {
		pg := servertest.NewPostgres(t, servertest.PostgresOptions{})
		standby := pg.Standby(t)
		pg.Synchronous(t)
		pg.SQL(t, "postgres", "CREATE DATABASE quay")
		f := newFleet(t, 2, map[string]any{"DB_URI": "postgresql://postgres@" + pg.Addr() + "," + standby.Addr() + "/quay", "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		s.readers = 2
		s.play(f, 4, func() {
			s.outage(func() {
				pg.Kill()
				time.Sleep(long(5 * time.Second))
			})
			began := time.Now()
			standby.Promote(t)
			s.until("pushes go on at the new primary", s.progress)
			s.note("pushes went on %.1f s after the promotion", time.Since(began).Seconds())
		})
	}},
	redisFails("RedisKilled", "Redis is killed and started again, empty", func(r *servertest.RedisServer, _ *servertest.Proxy) {
		r.Kill()
		time.Sleep(long(10 * time.Second))
		r.Start()
	}),
	redisFails("RedisPartition", "Redis: a partition; packets vanish", func(_ *servertest.RedisServer, p *servertest.Proxy) {
		p.Stall()
		time.Sleep(long(30 * time.Second))
		p.Heal()
	}),
	redisFails("RedisFlushed", "Redis is flushed every second", func(r *servertest.RedisServer, _ *servertest.Proxy) {
		for range int(long(10*time.Second) / time.Second) {
			r.Do("flushall")
			time.Sleep(time.Second)
		}
	}),
	{name: "ClockSkew", what: "the clock of one of two instances is 10 minutes ahead, of the other 10 minutes late", run: func(t *testing.T, s *stage) {
		f := prepareFleet(t, 2, map[string]any{"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "DISTRIBUTED_STORAGE_CONFIG": files(t)})
		f.instances[0].env = []string{"GANTRY_TEST_CLOCK_OFFSET=10m"}
		f.instances[1].env = []string{"GANTRY_TEST_CLOCK_OFFSET=-10m"}
		f.begin()
		s.noPullErrors, s.noRetries = true, true
		s.play(f, 4, func() { time.Sleep(long(20 * time.Second)) })
	}},
}
