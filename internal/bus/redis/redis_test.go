package redis_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/bus/bustest"
	"github.com/gantry-registry/gantry/internal/bus/redis"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// prefixes keeps tests apart.
var prefixes atomic.Int64

// quick are short bounds, and a prefix that nobody else has.
func quick(o redis.Options) redis.Options {
	o.Timeout, o.ConnectTimeout, o.Health = time.Second, time.Second, 200*time.Millisecond
	if o.Prefix == "" {
		o.Prefix = fmt.Sprint("test-", prefixes.Add(1))
	}
	return o
}

func open(t *testing.T, o redis.Options) *redis.Bus {
	t.Helper()
	b, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// connected opens a bus and waits for Redis.
func connected(t *testing.T, o redis.Options) *redis.Bus {
	t.Helper()
	b := open(t, o)
	until(t, "Redis is connected", b.Connected)
	if err := b.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	return b
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// certs is the TLS configuration of a client of s.
func certs(t *testing.T, s *servertest.RedisServer, client bool) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.Certs + "/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	c.RootCAs.AppendCertsFromPEM(pem)
	if client {
		pair, err := tls.LoadX509KeyPair(s.Certs+"/client.crt", s.Certs+"/client.key")
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// TestKinds runs the contract, and the talk of two processes, over each kind
// of Redis that can be configured.
func TestKinds(t *testing.T) {
	kinds := map[string]func(t *testing.T) redis.Options{
		"plain": func(t *testing.T) redis.Options {
			return redis.Options{Addrs: []string{servertest.NewRedis(t, servertest.RedisOptions{}).Addr}, DB: 3}
		},
		"password": func(t *testing.T) redis.Options {
			s := servertest.NewRedis(t, servertest.RedisOptions{Password: "open sesame"})
			return redis.Options{Addrs: []string{s.Addr}, Password: "open sesame"}
		},
		"account": func(t *testing.T) redis.Options {
			s := servertest.NewRedis(t, servertest.RedisOptions{Password: "other", Users: []string{
				"user gantry on >secret resetchannels &test-* ~test-* -@all +publish +subscribe +unsubscribe +ping +eval +evalsha +script|load +get +set +time"}})
			return redis.Options{Addrs: []string{s.Addr}, Username: "gantry", Password: "secret"}
		},
		"TLS": func(t *testing.T) redis.Options {
			s := servertest.NewRedis(t, servertest.RedisOptions{TLS: true})
			return redis.Options{Addrs: []string{s.Addr}, TLS: certs(t, s, false)}
		},
		"client certificate": func(t *testing.T) redis.Options {
			s := servertest.NewRedis(t, servertest.RedisOptions{TLS: true, ClientCert: true})
			return redis.Options{Addrs: []string{s.Addr}, TLS: certs(t, s, true)}
		},
		"sentinel": func(t *testing.T) redis.Options {
			s := servertest.NewRedisSentinels(t)
			return redis.Options{Addrs: s.Addrs, Master: s.Name}
		},
		"cluster": func(t *testing.T) redis.Options {
			o := redis.Options{Cluster: true}
			for _, n := range servertest.NewRedisCluster(t) {
				o.Addrs = append(o.Addrs, n.Addr)
			}
			return o
		},
	}
	for name, start := range kinds {
		t.Run(name, func(t *testing.T) {
			o := start(t)
			bustest.Run(t, func(t *testing.T) bus.Bus { return connected(t, quick(o)) })
			o = quick(o)
			o.Prefix = "test-pair"
			t.Run("two processes", func(t *testing.T) { testPair(t, connected(t, o), connected(t, o)) })
			t.Run("charges", func(t *testing.T) { testCharge(t, connected(t, o), connected(t, o)) })
		})
	}
}

func next(t *testing.T, c <-chan bus.Message) bus.Message {
	t.Helper()
	select {
	case m, ok := <-c:
		if !ok {
			t.Fatal("the channel was closed")
		}
		return m
	case <-time.After(time.Minute):
		t.Fatal("no message came")
	}
	return bus.Message{}
}

func woken(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("no wake came: %s", what)
	}
}

func subscribe(t *testing.T, b bus.Bus, topic string) <-chan bus.Message {
	t.Helper()
	c, cancel, err := b.Subscribe(topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return c
}

func waiter(t *testing.T, b bus.Bus, topic string) <-chan struct{} {
	t.Helper()
	c, cancel, err := b.Waiter(topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return c
}

func publish(t *testing.T, b bus.Bus, topic, payload string) {
	t.Helper()
	if err := b.Publish(t.Context(), topic, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// testPair: what one publishes comes to the other in order and once, and to
// itself once; subscriptions that come and go are no trouble.
func testPair(t *testing.T, a, b *redis.Bus) {
	own, others := subscribe(t, a, "x/1"), subscribe(t, b, "x/1")
	w := waiter(t, b, "jobs")
	const n = 200 // fewer than Buffer
	for i := range n {
		publish(t, a, "x/1", fmt.Sprint(i))
	}
	for i := range n {
		if m := next(t, others); string(m.Payload) != fmt.Sprint(i) || m.Lost != 0 || m.Topic != "x/1" {
			t.Fatalf("message %d at the other: %+v", i, m)
		}
	}
	publish(t, b, "x/1", "back")
	var got []string
	for range n + 1 {
		m := next(t, own)
		if m.Lost != 0 || m.Notice {
			t.Fatalf("%+v", m)
		}
		got = append(got, string(m.Payload))
	}
	if all := strings.Join(got, " "); strings.Count(" "+all+" ", " back ") != 1 || !strings.Contains(all, "197 ") {
		t.Errorf("own messages: %s", all)
	}
	if err := a.Publish(t.Context(), "x/1", make([]byte, bus.MaxPayload)); err != nil {
		t.Error(err)
	}
	wakes(t, a, "jobs", w)
	// One that is not subscribed any more gets nothing and comes back.
	for range 20 {
		c, cancel, err := b.Subscribe("y")
		if err != nil {
			t.Fatal(err)
		}
		publish(t, a, "y", "1")
		next(t, c)
		cancel()
	}
}

func testCharge(t *testing.T, a, b *redis.Bus) {
	for i, c := range []struct {
		b    *redis.Bus
		cost time.Duration
		most time.Duration
	}{{a, time.Minute, time.Minute}, {b, time.Minute, 2 * time.Minute}, {a, 0, 2 * time.Minute}} {
		list := []httpd.Charge{{Key: "one", Cost: c.cost}}
		for j := range 20 { // spread over a Cluster
			list = append(list, httpd.Charge{Key: fmt.Sprint(i, "-", j), Cost: time.Second})
		}
		got, err := c.b.Charge(t.Context(), list)
		if err != nil || len(got) != len(list) {
			t.Fatalf("%d: %v, %v", i, got, err)
		}
		if got[0] > c.most || got[0] < c.most-30*time.Second {
			t.Errorf("%d: a debt of %v, want about %v", i, got[0], c.most)
		}
		for _, d := range got[1:] {
			if d != time.Second {
				t.Errorf("%d: a new key has a debt of %v", i, d)
			}
		}
	}
}

// TestFailover: the master of Sentinels dies; its replica takes over without
// anybody being told.
func TestFailover(t *testing.T) {
	s := servertest.NewRedisSentinels(t)
	o := quick(redis.Options{Addrs: s.Addrs, Master: s.Name})
	a, b := connected(t, o), connected(t, o)
	c, w := subscribe(t, b, "x"), waiter(t, b, "w")
	publish(t, a, "x", "before")
	next(t, c)
	s.Master.Kill()
	until(t, "both are away", func() bool { return !a.Connected() && !b.Connected() })
	drain(w)
	until(t, "the new master is found", func() bool { return a.Connected() && b.Connected() })
	woken(t, w, "after the failover")
	told(t, a, c)
}

// told publishes at a until it comes in at c, which had a notice before.
func told(t *testing.T, a bus.Bus, c <-chan bus.Message) {
	t.Helper()
	if m := next(t, c); !m.Notice || m.Lost == 0 {
		t.Fatalf("no notice of what may be lost: %+v", m)
	}
	arrives(t, a, c)
}

// arrives publishes at a until it comes in at c.
func arrives(t *testing.T, a bus.Bus, c <-chan bus.Message) {
	t.Helper()
	until(t, "a message arrives", func() bool {
		publish(t, a, "x", "after")
		select {
		case m := <-c:
			return string(m.Payload) == "after"
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
}

// wakes wakes at a until a waiter elsewhere is woken: Waiter does not wait for
// Redis to know of it.
func wakes(t *testing.T, a bus.Bus, topic string, w <-chan struct{}) {
	t.Helper()
	until(t, "a wake arrives", func() bool {
		a.Wake(topic)
		select {
		case <-w:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
}

func drain(w <-chan struct{}) {
	select {
	case <-w:
	default:
	}
}

// TestAway takes Redis away in several ways. Meanwhile nothing waits, and what
// is within the process goes on; afterwards all comes back by itself.
func TestAway(t *testing.T) {
	ways := map[string]struct {
		away, back func(s *servertest.RedisServer, p *servertest.Proxy)
	}{
		"killed and started": {
			func(s *servertest.RedisServer, _ *servertest.Proxy) { s.Kill() },
			func(s *servertest.RedisServer, _ *servertest.Proxy) { s.Start() },
		},
		"cut": {
			func(_ *servertest.RedisServer, p *servertest.Proxy) { p.Cut() },
			func(_ *servertest.RedisServer, p *servertest.Proxy) { p.Heal() },
		},
		"silent": {
			func(_ *servertest.RedisServer, p *servertest.Proxy) { p.Stall() },
			func(_ *servertest.RedisServer, p *servertest.Proxy) { p.Heal() },
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			s := servertest.NewRedis(t, servertest.RedisOptions{})
			p := servertest.NewProxy(t, s.Addr)
			o := quick(redis.Options{Addrs: []string{p.Addr()}})
			a, b := connected(t, o), connected(t, o)
			c, w := subscribe(t, b, "x"), waiter(t, b, "w")
			own, mine := subscribe(t, a, "x"), waiter(t, a, "w")
			wakes(t, a, "w", w)
			way.away(s, p)
			// As many as fill what may wait, and more: none of them waits.
			began := time.Now()
			for i := range 5000 {
				publish(t, a, "x", "away")
				a.Wake("w")
				if i%100 == 0 {
					next(t, own)
					woken(t, mine, "within the process")
				}
			}
			if took := time.Since(began); took > 30*time.Second { // each would have waited for a second
				t.Errorf("5000 messages without Redis took %v", took)
			}
			until(t, "both know that it is away", func() bool { return !a.Connected() && !b.Connected() })
			if _, err := a.Charge(t.Context(), []httpd.Charge{{Key: "x", Cost: 1}}); err == nil {
				t.Error("requests are counted by a Redis that is away")
			}
			if err := a.Check(t.Context()); err == nil {
				t.Error("the check of a Redis that is away is fine")
			}
			late := subscribe(t, b, "late") // does not wait
			for len(c) > 0 {                // what came before
				<-c
			}
			for len(own) > 0 {
				<-own
			}
			drain(w)
			way.back(s, p)
			until(t, "both are back", func() bool { return a.Connected() && b.Connected() })
			woken(t, w, "after Redis is back")
			told(t, a, c)
			if m := next(t, late); !m.Notice {
				t.Errorf("who subscribed without Redis is not told: %+v", m)
			}
			until(t, "requests are counted again", func() bool {
				_, err := a.Charge(t.Context(), []httpd.Charge{{Key: "x", Cost: 1}})
				return err == nil
			})
		})
	}
}

// TestFlushed: a Redis that forgets everything loses counts and scripts alone.
func TestFlushed(t *testing.T) {
	s := servertest.NewRedis(t, servertest.RedisOptions{})
	o := quick(redis.Options{Addrs: []string{s.Addr}})
	a, b := connected(t, o), connected(t, o)
	c := subscribe(t, b, "x")
	one := []httpd.Charge{{Key: "one", Cost: time.Hour}}
	if _, err := a.Charge(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if ttl := s.Do("pttl", o.Prefix+":limit:one"); len(ttl) < 7 || len(ttl) > 8 { // 3,601,000 ms, as redis-cli has it
		t.Errorf("a key lives for %s", ttl)
	}
	s.Do("flushall")
	s.Do("script", "flush")
	if got, err := a.Charge(t.Context(), one); err != nil || got[0] != time.Hour {
		t.Errorf("after a flush: %v, %v", got, err)
	}
	publish(t, a, "x", "1")
	if m := next(t, c); m.Notice || string(m.Payload) != "1" {
		t.Errorf("%+v", m)
	}
}

// TestLateStart: a bus that is opened without a Redis works, and finds it.
func TestLateStart(t *testing.T) {
	s := servertest.NewRedis(t, servertest.RedisOptions{})
	s.Kill()
	o := quick(redis.Options{Addrs: []string{s.Addr}})
	a, b := open(t, o), open(t, o)
	c := subscribe(t, b, "x")
	publish(t, b, "x", "own")
	if m := next(t, c); string(m.Payload) != "own" {
		t.Errorf("%+v", m)
	}
	s.Start()
	until(t, "both are there", func() bool { return a.Connected() && b.Connected() })
	arrives(t, a, c)
}

// TestSeveralAddresses: a dead one of several is no obstacle, and a silent one
// is none for long.
func TestSeveralAddresses(t *testing.T) {
	s := servertest.NewRedis(t, servertest.RedisOptions{})
	dead := servertest.NewProxy(t, s.Addr)
	dead.Stall()
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	closed, err := servertest.Port()
	if err != nil {
		t.Fatal(err)
	}
	connected(t, quick(redis.Options{Addrs: []string{fmt.Sprint("127.0.0.1:", closed), "localhost:" + port}}))
	silent := open(t, quick(redis.Options{Addrs: []string{dead.Addr(), "localhost:" + port}}))
	until(t, "the one that answers is found", silent.Connected)
}

// TestRefused: a password that is wrong, and a certificate that nobody has
// signed, do not let anybody in, and no secret is told.
func TestRefused(t *testing.T) {
	locked := servertest.NewRedis(t, servertest.RedisOptions{Password: "right"})
	secure := servertest.NewRedis(t, servertest.RedisOptions{TLS: true})
	other := certs(t, secure, false)
	other.RootCAs = x509.NewCertPool()
	for name, o := range map[string]redis.Options{
		"wrong password":    {Addrs: []string{locked.Addr}, Password: "hunter2"},
		"no password":       {Addrs: []string{locked.Addr}},
		"unknown authority": {Addrs: []string{secure.Addr}, TLS: other},
		"plain":             {Addrs: []string{secure.Addr}},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, quick(o))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := b.Check(ctx)
			if err == nil || b.Connected() {
				t.Fatal("it is let in")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password is told: %v", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]redis.Options{
		"no address":           {Prefix: "x"},
		"no prefix":            {Addrs: []string{"a:1"}},
		"bad prefix":           {Addrs: []string{"a:1"}, Prefix: "a b"},
		"long prefix":          {Addrs: []string{"a:1"}, Prefix: strings.Repeat("x", 65)},
		"database of cluster":  {Addrs: []string{"a:1"}, Prefix: "x", Cluster: true, DB: 1},
		"sentinels of cluster": {Addrs: []string{"a:1"}, Prefix: "x", Cluster: true, Master: "m"},
	} {
		if b, err := redis.Open(o); err == nil {
			t.Errorf("%s: it opens", name)
			_ = b.Close()
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	s := servertest.NewRedis(b, servertest.RedisOptions{})
	x, err := redis.Open(redis.Options{Addrs: []string{s.Addr}, Prefix: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	for !x.Connected() {
		time.Sleep(time.Millisecond)
	}
	payload := []byte(`{"action":"pull_repo","namespace":"acme","repository":"app"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := x.Publish(b.Context(), "user:1:docker-cli", payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCharge(b *testing.B) {
	s := servertest.NewRedis(b, servertest.RedisOptions{})
	x, err := redis.Open(redis.Options{Addrs: []string{s.Addr}, Prefix: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	list := make([]httpd.Charge, 100)
	for i := range list {
		list[i] = httpd.Charge{Key: fmt.Sprint(i), Cost: time.Millisecond}
	}
	for b.Loop() {
		if _, err := x.Charge(b.Context(), list); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPing asks once, and says what is wrong.
func TestPing(t *testing.T) {
	one := servertest.NewRedis(t, servertest.RedisOptions{Password: "open sesame"})
	sentinels := servertest.NewRedisSentinels(t)
	var nodes []string
	for _, n := range servertest.NewRedisCluster(t) {
		nodes = append(nodes, n.Addr)
	}
	for name, tt := range map[string]struct {
		o    redis.Options
		want string // part of the error; "" = none
	}{
		"one":       {redis.Options{Addrs: []string{one.Addr}, Password: "open sesame"}, ""},
		"password":  {redis.Options{Addrs: []string{one.Addr}, Password: "wrong"}, "WRONGPASS"},
		"none":      {redis.Options{Addrs: []string{one.Addr}}, "NOAUTH"},
		"away":      {redis.Options{Addrs: []string{"127.0.0.1:1"}}, "refused"},
		"sentinels": {redis.Options{Addrs: sentinels.Addrs, Master: sentinels.Name}, ""},
		"cluster":   {redis.Options{Addrs: nodes, Cluster: true}, ""},
		"nothing":   {redis.Options{}, "an address is required"},
	} {
		if err := redis.Ping(t.Context(), tt.o); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
