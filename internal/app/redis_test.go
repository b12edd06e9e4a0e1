package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// redisAt is a block of the configuration for a Redis at addr.
func redisAt(addr string) map[string]any {
	host, port, _ := strings.Cut(addr, ":")
	return map[string]any{"host": host, "port": port, "socket_timeout": 1, "socket_connect_timeout": 1}
}

// A listener receives the live events of a user.
type listener struct {
	mu   sync.Mutex
	seen []string
}

// listen opens a stream of events at s, in a new session.
func (s *site) listen(user, events string) *listener {
	s.t.Helper()
	in := send(s.t, "POST", s.base+"/api/v1/signin", `{"username":"`+user+`","password":"`+password+`"}`, "Content-Type", "application/json")
	cookie, _, _ := strings.Cut(in.header.Get("Set-Cookie"), ";")
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", s.base+"/realtime/user/subscribe?events="+events, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	res, err := plain.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != 200 {
		s.t.Fatal(res.Status)
	}
	l := &listener{}
	lines := bufio.NewScanner(res.Body)
	lines.Scan() // the first is empty
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() {
			l.mu.Lock()
			l.seen = append(l.seen, lines.Text())
			l.mu.Unlock()
		}
	}()
	s.t.Cleanup(func() { cancel(); <-done; _ = res.Body.Close() })
	return l
}

func (l *listener) got(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.seen, "\n"), part)
}

// both reports whether one line holds two texts.
func (l *listener) both(a, b string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.seen, func(line string) bool { return strings.Contains(line, a) && strings.Contains(line, b) })
}

// TestOneRegistry: a process for /v2, one for the API and one for the work act
// as one registry over PostgreSQL and Redis. The worker looks by itself once an
// hour only, so what it does in this test it was woken for. Then Redis goes
// away in each way that there is, under a steady load: no request fails, and
// no notification is lost.
func TestOneRegistry(t *testing.T) {
	h := newHook(t)
	server := servertest.NewRedis(t, servertest.RedisOptions{Password: "sesame"})
	p := servertest.NewProxy(t, server.Addr)
	block := redisAt(p.Addr())
	block["password"] = "sesame"
	o := Options{tellPoll: time.Hour, Environ: override(t, map[string]any{
		"DB_URI":     storetest.EmptyURI(t, storetest.Postgres),
		"SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32), "USER_EVENTS_REDIS": block,
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"shared": []any{"LocalStorage", map[string]any{"storage_path": t.TempDir()}}},
		"FEATURE_USER_INITIALIZE":    true, "SERVER_HOSTNAME": "fleet.example.com", "SSRF_ALLOWED_HOSTS": []string{"127.0.0.1"}, "FEATURE_RATE_LIMITS": false,
	})}
	with := func(roles string) *site {
		r, err := ParseRoles(roles)
		if err != nil {
			t.Fatal(err)
		}
		o := o
		o.Roles = r
		if !r.edges() {
			o.Listen = Off
		}
		return open(t, o)
	}
	api := with("api,ui")
	registry, worker := with("registry"), with("notify,jobs")
	all := []*site{api, registry, worker}
	connected := func(want bool) func() bool {
		return func() bool {
			for _, s := range all {
				if s.redis.Connected() != want {
					return false
				}
			}
			return true
		}
	}
	until(t, "all are connected", connected(true))
	token := "Bearer " + api.initialize("ada")
	events := api.listen("ada", "docker-cli,test")
	auth, r := registry.bearer("ada", password, "repository:ada/app:pull,push")
	if auth == "" {
		t.Fatal(r)
	}
	push := func(tag string) {
		t.Helper()
		if r := registry.push(auth, "ada/app", tag, newImage(tag)); r.status != 201 {
			t.Fatalf("push %s: %v", tag, r)
		}
	}
	push("v0")
	if r := send(t, "POST", api.base+"/api/v1/repository/ada/app/notification", `{"event":"repo_push","method":"webhook","config":{"url":"`+h.URL+`"},"eventConfig":{}}`,
		"Authorization", token); r.status != 201 {
		t.Fatal(r)
	}
	time.Sleep(2 * time.Millisecond) // the notification is older than the push
	push("v1")
	until(t, "the worker tells of the push", func() bool { return slices.Contains(h.got(), "v1") })
	for _, want := range []string{`"action":"push_start"`, `"action":"push_repo","namespace":"ada","repository":"app"`} {
		until(t, "the page learns of "+want, func() bool { return events.got(want) })
	}
	// Paths of the API that a page watches, where another instance does what it shows.
	seen := api.listen("ada", "test&watch=repository/ada/app&watch=repository/ada/app/logs&watch=superuser/jobs")
	if got := registry.push(auth, "ada/app", "v1-live", newImage("v1-live")); got.status != 201 {
		t.Fatal(got)
	}
	for path, word := range map[string]string{"repository/ada/app": `"changed":true`, "repository/ada/app/logs": `"tag":"v1-live"`, "superuser/jobs": `"id":"`} {
		until(t, "the page that watches "+path+" is told", func() bool { return seen.both(`"event":"`+path+`"`, word) })
	}
	log := func(kind string) bool {
		r := send(t, "GET", api.base+"/api/v1/repository/ada/app/logs", "", "Authorization", token)
		return r.status == 200 && strings.Contains(r.body, kind)
	}
	until(t, "the log is there", func() bool { return log("push_repo") })
	for path, want := range map[string]int{"/health/instance": 200, "/health/endtoend": 200} {
		if r := send(t, "GET", api.base+path, ""); r.status != want || !strings.Contains(r.body, `"redis":true`) {
			t.Errorf("%s: %v", path, r)
		}
	}

	n := 1
	for _, fault := range []struct {
		name       string
		away, back func()
		stays      bool // connected
	}{
		{"killed", server.Kill, server.Start, false},
		{"cut", p.Cut, p.Heal, false},
		{"silent", p.Stall, p.Heal, false},
		{"flushed", func() { server.Do("flushall") }, func() {}, true},
	} {
		fault.away()
		first := n + 1
		load := func(least int) {
			for i := 0; i < least; i++ {
				n++
				push(fmt.Sprint("v", n))
				if r := registry.pull(auth, "ada/app", newImage("v1")); r.status != 200 {
					t.Fatalf("%s: pull: %v", fault.name, r)
				}
				if r := send(t, "GET", api.base+"/api/v1/repository/ada/app", "", "Authorization", token); r.status != 200 {
					t.Fatalf("%s: API: %v", fault.name, r)
				}
			}
		}
		load(5)
		if !fault.stays {
			until(t, fault.name+": they know", func() bool { load(1); return connected(false)() })
			until(t, fault.name+": health shows it", func() bool {
				r := send(t, "GET", api.base+"/health/endtoend", "")
				return r.status == 503 && strings.Contains(r.body, `"redis":false`)
			})
			if r := send(t, "GET", registry.base+"/health/instance", ""); r.status != 200 {
				t.Errorf("%s: an instance is taken out: %v", fault.name, r)
			}
		}
		fault.back()
		until(t, fault.name+": they are back", connected(true))
		load(1)
		for i := first; i <= n; i++ {
			until(t, fmt.Sprintf("%s: v%d is told", fault.name, i), func() bool { return slices.Contains(h.got(), fmt.Sprint("v", i)) })
		}
		t.Logf("%s: %d pushes, pulls and API calls without a failure", fault.name, n-first+1)
	}
	all2 := h.got()
	for i := 1; i <= n; i++ {
		if c := len(slices.DeleteFunc(slices.Clone(all2), func(s string) bool { return s != fmt.Sprint("v", i) })); c != 1 {
			t.Errorf("v%d was told %d times", i, c)
		}
	}
	ada, err := api.db.Mailbox(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	tell := registry.userEvents(registry.live.Current())
	until(t, "events come again", func() bool {
		tell(t.Context(), ada.ID, "login", gantry.RepoName{})
		return events.got(`{"data":{"action":"login"},"event":"docker-cli"}`)
	})
}

// TestSharedLimits: what one instance has allowed, another does not allow once
// more. A Redis that dies is no reason to wait.
func TestSharedLimits(t *testing.T) {
	server := servertest.NewRedis(t, servertest.RedisOptions{})
	o := Options{Environ: override(t, map[string]any{"SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
		"USER_EVENTS_REDIS": redisAt(server.Addr), "FEATURE_RATE_LIMITS": true})}
	a, b := open(t, o), open(t, o)
	until(t, "both are connected", func() bool { return a.redis.Connected() && b.redis.Connected() })
	ask := func(s *site) int { return send(t, "GET", s.base+"/api/v1/discovery", "").status }
	until(t, "one refuses", func() bool { return ask(a) == 429 })
	until(t, "Redis knows", func() bool { return server.Do("--scan", "--pattern", "gantry:*:limit:*") != "" })
	allowed := 0
	until(t, "the other refuses", func() bool {
		if ask(b) == 429 {
			return true
		}
		allowed++
		time.Sleep(25 * time.Millisecond) // so that it may learn
		return false
	})
	if allowed >= 50 {
		t.Errorf("the other allowed %d of its own, a whole burst", allowed)
	}
	server.Kill()
	c := open(t, o)
	if s := ask(c); s != 200 {
		t.Errorf("without Redis: %d", s)
	}
	until(t, "it counts alone", func() bool { return ask(c) == 429 })
}

// TestRedisPage: each block of docs/deploy/redis.md is a configuration with
// which a server starts and finds Redis.
func TestRedisPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/deploy/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Fatalf("the page has %d configurations, want one server, Sentinels, a Cluster", len(blocks))
	}
	sentinels, cluster := servertest.NewRedisSentinels(t), servertest.NewRedisCluster(t)
	acl := regexp.MustCompile(`(?m)^user gantry .*$`).FindString(string(page))
	one := servertest.NewRedis(t, servertest.RedisOptions{Password: "other", Users: []string{acl}})
	_, port, _ := strings.Cut(one.Addr, ":")
	swap := map[string]string{"6379": port + "\n  username: gantry\n  password: PASSWORD"}
	for i, addr := range sentinels.Addrs {
		swap[fmt.Sprint("127.0.0.1:", 26379+i)] = addr
	}
	for i, n := range cluster {
		swap[fmt.Sprint("127.0.0.1:", 7000+i)] = n.Addr
	}
	for i, b := range blocks {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			text := b[1]
			for _, old := range slices.SortedFunc(maps.Keys(swap), func(a, b string) int { return len(b) - len(a) }) {
				text = strings.ReplaceAll(text, old, swap[old])
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, Options{Config: dir})
			until(t, "Redis is found", func() bool { return s.redis.Connected() && s.redis.Check(t.Context()) == nil })
		})
	}
}

// TestRedisOptions: keys of the block become options, and what is wrong is
// named.
func TestRedisOptions(t *testing.T) {
	secure := servertest.NewRedis(t, servertest.RedisOptions{TLS: true, ClientCert: true})
	file := func(name string) string { return filepath.Join(secure.Certs, name) }
	base := redisAt(secure.Addr)
	maps.Copy(base, map[string]any{"ssl": true, "ssl_ca_certs": file("ca.crt"), "ssl_certfile": file("client.crt"), "ssl_keyfile": file("client.key")})
	change := func(key string, v any) map[string]any {
		c := maps.Clone(base)
		c[key] = v
		return c
	}
	options := func(block map[string]any) (config.RedisServer, *config.Config) {
		c, _, err := config.Load(config.Options{Environ: override(t, map[string]any{"USER_EVENTS_REDIS": block})})
		if err != nil {
			t.Fatal(err)
		}
		return c.Redis.UserEvents, c
	}
	for name, tt := range map[string]struct {
		block map[string]any
		good  bool
	}{
		"whole":             {base, true},
		"no name":           {change("ssl_check_hostname", false), true},
		"not checked":       {change("ssl_cert_reqs", "none"), true},
		"another authority": {change("ssl_ca_certs", ""), false},
		"another, no name":  {func() map[string]any { c := change("ssl_ca_certs", ""); c["ssl_check_hostname"] = false; return c }(), false},
	} {
		r, c := options(tt.block)
		o, err := redisOptions(r, c.RootCAs())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := (&tls.Dialer{Config: func() *tls.Config { t := o.TLS.Clone(); t.ServerName = "127.0.0.1"; return t }()}).DialContext(t.Context(), "tcp", secure.Addr)
		if (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	for key, v := range map[string]any{"ssl_ca_certs": file("ca.key"), "ssl_certfile": file("none")} {
		r, c := options(change(key, v))
		if _, err := redisOptions(r, c.RootCAs()); err == nil || !strings.HasPrefix(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
