package httpd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/telemetry"
)

var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func request(t testing.TB, method, target string, header ...string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	r.RemoteAddr = "10.0.0.1:5"
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestMiddleware(t *testing.T) {
	var logs bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logs, nil))
	metrics := telemetry.NewMetrics(telemetry.MetricsOptions{})
	h := Middleware(MiddlewareOptions{Logger: log, Metrics: metrics, TrustedProxies: everywhere}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetRoute(r.Context(), "v2.test")
		SetActor(r.Context(), "devtable")
		switch r.URL.Path {
		case "/panic":
			panic("boom")
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = fmt.Fprintf(w, "%s %s %s %s", telemetry.RequestID(r.Context()), ClientIP(r.Context()), Scheme(r), Host(r))
		}
	}))
	do := func(method, target string, header ...string) *httptest.ResponseRecorder {
		logs.Reset()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(t, method, target, header...))
		return w
	}
	w := do("GET", "/x?token=s3cret", "X-Request-ID", "abc-1", "X-Forwarded-For", "192.0.2.9", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "reg.example:8443")
	if w.Body.String() != "abc-1 192.0.2.9 https reg.example:8443" || w.Header().Get("X-Request-ID") != "abc-1" ||
		w.Header().Get("X-Frame-Options") != "DENY" || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
		w.Header().Get("Strict-Transport-Security") != "max-age=63072000; preload" {
		t.Errorf("%q %v", w.Body, w.Header())
	}
	if logs.Len() != 0 {
		t.Errorf("a successful read is logged above debug: %s", &logs)
	}
	if w := do("GET", "/x", "X-Request-ID", "a b"); len(w.Header().Get("X-Request-ID")) != 24 {
		t.Errorf("a bad id was kept: %q", w.Header().Get("X-Request-ID"))
	}
	if w := do("GET", "/x"); w.Header().Get("Strict-Transport-Security") != "" {
		t.Error("HSTS on plain HTTP")
	}
	do("PUT", "/x?token=s3cret", "Authorization", "Bearer s3cret", "User-Agent", "docker")
	for _, want := range []string{`"level":"INFO"`, `"path":"/x"`, `"route":"v2.test"`, `"actor":"devtable"`, `"ip":"10.0.0.1"`, `"agent":"docker"`, `"status":200`} {
		if !strings.Contains(logs.String(), want) {
			t.Errorf("log lacks %s: %s", want, &logs)
		}
	}
	if strings.Contains(logs.String(), "s3cret") {
		t.Errorf("a secret is logged: %s", &logs)
	}
	if do("GET", "/missing"); !strings.Contains(logs.String(), `"level":"INFO"`) {
		t.Errorf("404: %s", &logs)
	}
	w = do("GET", "/panic")
	if w.Code != 500 || strings.Contains(w.Body.String(), "boom") || !strings.Contains(logs.String(), "middleware_test.go") || !strings.Contains(logs.String(), `"level":"ERROR"`) {
		t.Errorf("panic: %d %q %s", w.Code, w.Body, &logs)
	}
	rec := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(rec, request(t, "GET", "/metrics"))
	for _, want := range []string{`route="v2.test",status="500"} 1`, `route="v2.test",status="404"} 1`, "gantry_panics_total"} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestPanicInTheMiddleBreaksTheAnswer(t *testing.T) {
	_, addr := start(t, Options{Handler: Middleware(MiddlewareOptions{Logger: quiet()}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		panic("boom")
	}))})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("half an answer looks whole")
	}
}

func TestMaxInFlight(t *testing.T) {
	inside, leave := make(chan error), make(chan struct{})
	h := Middleware(MiddlewareOptions{Logger: quiet(), MaxInFlight: 1, Unlimited: func(r *http.Request) bool { return r.URL.Path == "/health" }},
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				inside <- nil
				<-leave
			}
		}))
	done := make(chan error)
	go func() {
		h.ServeHTTP(httptest.NewRecorder(), request(t, "GET", "/slow"))
		done <- nil
	}()
	_ = within(t, inside, "the slow request")
	for path, want := range map[string]int{"/x": 503, "/health": 200} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(t, "GET", path))
		if w.Code != want || (want == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
	}
	leave <- struct{}{}
	_ = within(t, done, "the end")
}

func TestInfoOutsideMiddleware(t *testing.T) {
	r := request(t, "GET", "/")
	SetRoute(r.Context(), "x")
	SetActor(r.Context(), "x")
	if InfoFrom(r.Context()) != nil || ClientIP(r.Context()).IsValid() || Scheme(r) != "http" || Host(r) != "example.com" {
		t.Error("something came from nothing")
	}
}

func TestClientAddr(t *testing.T) {
	lan := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		trusted []netip.Prefix
		hops    int
		header  []string
		want    string
	}{
		"none":                 {lan, 1, nil, "10.0.0.1"},
		"one":                  {lan, 1, []string{"X-Forwarded-For", "192.0.2.1"}, "192.0.2.1"},
		"spoofed":              {lan, 1, []string{"X-Forwarded-For", "1.1.1.1, 192.0.2.1"}, "192.0.2.1"},
		"spoofed, all trusted": {everywhere, 1, []string{"X-Forwarded-For", "1.1.1.1, 192.0.2.1"}, "192.0.2.1"},
		"two hops":             {lan, 2, []string{"X-Forwarded-For", "192.0.2.1, 10.0.0.7"}, "192.0.2.1"},
		"two, one untrusted":   {lan, 2, []string{"X-Forwarded-For", "1.1.1.1, 192.0.2.1"}, "192.0.2.1"},
		"two lines":            {lan, 2, []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "10.0.0.7"}, "192.0.2.1"},
		"fewer than hops":      {lan, 5, []string{"X-Forwarded-For", "192.0.2.1"}, "192.0.2.1"},
		"untrusted peer":       {nil, 1, []string{"X-Forwarded-For", "192.0.2.1", "X-Real-IP", "192.0.2.1"}, "10.0.0.1"},
		"no proxies":           {everywhere, -1, []string{"X-Forwarded-For", "192.0.2.1", "X-Real-IP", "192.0.2.1"}, "10.0.0.1"},
		"garbage":              {lan, 1, []string{"X-Forwarded-For", "evil"}, "10.0.0.1"},
		"port":                 {lan, 1, []string{"X-Forwarded-For", "192.0.2.1:99"}, "192.0.2.1"},
		"IPv6":                 {lan, 1, []string{"X-Forwarded-For", "[2001:db8::1]:99"}, "2001:db8::1"},
		"IPv6 in brackets":     {lan, 1, []string{"X-Forwarded-For", "[2001:db8::1]"}, "2001:db8::1"},
		"mapped":               {lan, 1, []string{"X-Forwarded-For", "::ffff:192.0.2.1"}, "192.0.2.1"},
		"real ip":              {lan, 1, []string{"X-Real-IP", "192.0.2.1"}, "192.0.2.1"},
		"both":                 {lan, 1, []string{"X-Real-IP", "1.1.1.1", "X-Forwarded-For", "192.0.2.1"}, "192.0.2.1"},
	} {
		var got string
		h := Middleware(MiddlewareOptions{Logger: quiet(), TrustedProxies: c.trusted, ProxyCount: c.hops}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = ClientIP(r.Context()).String()
		}))
		h.ServeHTTP(httptest.NewRecorder(), request(t, "GET", "/", c.header...))
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestUntrustedForwarding(t *testing.T) {
	h := Middleware(MiddlewareOptions{Logger: quiet()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, Scheme(r)+" "+Host(r))
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(t, "GET", "/", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil"))
	if w.Body.String() != "http example.com" {
		t.Error(w.Body)
	}
}

func TestParsePrefixes(t *testing.T) {
	got, err := ParsePrefixes([]string{"10.1.2.3/8", "::1", " 192.0.2.1"})
	if err != nil || fmt.Sprint(got) != "[10.0.0.0/8 ::1/128 192.0.2.1/32]" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParsePrefixes([]string{"10.0.0.0/99"}); err == nil {
		t.Error("a bad prefix was taken")
	}
}

func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"", ",", "1.1.1.1", "1.1.1.1, [::1]:5", "fe80::1%eth0", "\x00", strings.Repeat(",", 100), "1.1.1.1:99999"} {
		f.Add(s, 2)
	}
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, s string, hops int) {
		h := http.Header{"X-Forwarded-For": {s}}
		if a := clientAddr(h, peer, everywhere, hops&7); !a.IsValid() || a.Zone() != "" {
			t.Errorf("%q gives %v", s, a)
		}
		if host := forwarded(http.Header{"X": {s}}, "X", hops&7+1); len(host) > len(s) {
			t.Errorf("%q gives %q", s, host)
		}
	})
}

func v2Header(command, family byte, body []byte) []byte {
	b := append([]byte{}, proxyV2Signature...)
	b = append(b, 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body))) // #nosec G115 -- a test's few bytes
	return append(b, body...)
}

func TestProxyHeader(t *testing.T) {
	v4 := []byte{192, 0, 2, 1, 192, 0, 2, 2, 1, 0, 0, 80}
	v6 := append(append(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("2001:db8::2").AsSlice()...), 1, 0, 0, 80)
	for name, c := range map[string]struct{ in, want string }{
		"v1":               {"PROXY TCP4 192.0.2.1 192.0.2.2 256 80\r\n", "192.0.2.1:256"},
		"v1 IPv6":          {"PROXY TCP6 2001:db8::1 2001:db8::2 256 80\r\n", "[2001:db8::1]:256"},
		"v1 unknown":       {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "none"},
		"v1 wrong family":  {"PROXY TCP4 2001:db8::1 2001:db8::2 256 80\r\n", ""},
		"v1 bad port":      {"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n", ""},
		"v1 signed port":   {"PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n", ""},
		"v1 bare LF":       {"PROXY UNKNOWN\n", ""},
		"v1 long":          {"PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n", ""},
		"v1 cut":           {"PROXY TCP4 192.0", ""},
		"v2":               {string(v2Header(1, 0x11, v4)), "192.0.2.1:256"},
		"v2 IPv6":          {string(v2Header(1, 0x21, v6)), "[2001:db8::1]:256"},
		"v2 with extras":   {string(v2Header(1, 0x11, append(v4, 4, 0, 1, 0))), "192.0.2.1:256"},
		"v2 local":         {string(v2Header(0, 0, nil)), "none"},
		"v2 unix":          {string(v2Header(1, 0x31, make([]byte, 216))), "none"},
		"v2 short":         {string(v2Header(1, 0x11, v4[:11])), ""},
		"v2 too long":      {string(v2Header(1, 0x11, make([]byte, 5000))), ""},
		"v2 bad command":   {string(v2Header(7, 0x11, v4)), ""},
		"v2 cut":           {string(v2Header(1, 0x11, v4)[:20]), ""},
		"v2 bad signature": {"\r\n\r\n\x00\r\nQUIX\n" + strings.Repeat("\x00", 20), ""},
		"HTTP":             {"GET / HTTP/1.1\r\n", ""},
		"nothing":          {"", ""},
	} {
		br := bufio.NewReaderSize(strings.NewReader(c.in+"rest"), maxProxyHeader)
		if strings.HasSuffix(name, "cut") || name == "nothing" {
			br = bufio.NewReaderSize(strings.NewReader(c.in), maxProxyHeader)
		}
		src, err := readProxyHeader(br)
		got := src.String()
		switch {
		case err != nil:
			got = ""
		case !src.IsValid():
			got = "none"
		}
		if got != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
		if err == nil {
			if rest, err := io.ReadAll(br); err != nil || string(rest) != "rest" {
				t.Errorf("%s: what follows is %q", name, rest)
			}
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 256 80\r\nx"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(v2Header(1, 0x11, []byte{192, 0, 2, 1, 192, 0, 2, 2, 1, 0, 0, 80}))
	f.Add(v2Header(1, 0x21, make([]byte, 36)))
	f.Add(v2Header(0, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		br := bufio.NewReaderSize(bytes.NewReader(b), maxProxyHeader)
		src, err := readProxyHeader(br)
		if err != nil {
			if src.IsValid() {
				t.Error("an address comes with an error")
			}
			return
		}
		rest, err := io.ReadAll(br)
		if err != nil || !bytes.HasSuffix(b, rest) || len(b)-len(rest) > maxProxyHeader {
			t.Errorf("%d of %d bytes are left", len(rest), len(b))
		}
	})
}

func TestLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	l := NewLimiter(LimiterOptions{
		Rates: map[Class]Rate{ClassHeavy: {10, 3}, ClassAuth: {0, 1}}, Exempt: []string{"vip"}, MaxEntries: 640,
		Now: func() time.Time { return now },
	})
	allowed := func(class Class, key, ns string) bool { ok, _ := l.Allow(class, key, ns); return ok }
	for i := range 3 {
		if !allowed(ClassHeavy, "a", "") {
			t.Fatalf("request %d of the burst was refused", i)
		}
	}
	ok, after := l.Allow(ClassHeavy, "a", "")
	if ok || after != 100*time.Millisecond {
		t.Errorf("after the burst: %v, retry after %v", ok, after)
	}
	if !allowed(ClassHeavy, "b", "") || !allowed(ClassHeavy, "a", "vip") || !allowed(ClassLight, "a", "") || !allowed(ClassAuth, "a", "") {
		t.Error("another key, namespace or class was refused")
	}
	now = now.Add(after)
	if !allowed(ClassHeavy, "a", "") || allowed(ClassHeavy, "a", "") {
		t.Error("one interval is not one request")
	}
	now = now.Add(time.Hour)
	n := 0
	for allowed(ClassHeavy, "a", "") {
		n++
	}
	if n != 3 {
		t.Errorf("an hour saved up %d requests, want the burst of 3", n)
	}
	for i := range 10_000 {
		allowed(ClassHeavy, fmt.Sprint(i), "")
	}
	for i := range l.shards {
		if s := &l.shards[i]; len(s.young)+len(s.old) > 2*s.cap {
			t.Errorf("a shard holds %d+%d keys, limit %d", len(s.young), len(s.old), 2*s.cap)
		}
	}
	var none *Limiter
	if ok, _ := none.Allow(ClassHeavy, "a", ""); !ok {
		t.Error("a nil limiter refuses")
	}
}

// A book is a Ledger in memory, with a clock of its own.
type book struct {
	mu    sync.Mutex
	now   time.Time
	whole map[string]time.Time
	away  bool
	calls int
}

func (b *book) Charge(_ context.Context, list []Charge) ([]time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.away {
		return nil, errors.New("away")
	}
	var debts []time.Duration
	for _, c := range list {
		w := b.whole[c.Key]
		if w.Before(b.now) {
			w = b.now
		}
		w = w.Add(c.Cost)
		b.whole[c.Key] = w
		debts = append(debts, w.Sub(b.now))
	}
	return debts, nil
}

// TestLimiterLedger: several instances with a ledger allow together what one
// may; without it each allows that; and who asks little is not told of.
func TestLimiterLedger(t *testing.T) {
	now := time.Unix(1000, 0)
	b := &book{now: now, whole: map[string]time.Time{}}
	var all [3]*Limiter
	for i := range all {
		all[i] = NewLimiter(LimiterOptions{
			Rates: map[Class]Rate{ClassHeavy: {10, 40}}, Now: func() time.Time { return now.Add(time.Duration(i) * time.Hour) }, // clocks that are wrong
			Ledger: b, Name: func(c Class, key string) string { return string(c) + " " + key }, Every: time.Hour, // the test talks itself
		})
	}
	talk := func() {
		for _, l := range all {
			l.told.talk(l)
		}
	}
	allowed := func(key string) (n int) {
		for range 100 {
			for _, l := range all {
				if ok, _ := l.Allow(ClassHeavy, key, ""); ok {
					n++
				}
			}
		}
		return n
	}
	for range 4 { // below an eighth of the burst, in each
		for _, l := range all {
			l.Allow(ClassHeavy, "quiet", "")
		}
	}
	talk()
	if len(b.whole) != 0 {
		t.Errorf("the ledger knows %v", b.whole)
	}
	if n := allowed("busy"); n != 3*40 {
		t.Errorf("before they talk they allow %d, want a burst each", n)
	}
	talk()
	talk() // the first has heard of all
	if n := allowed("busy"); n != 0 {
		t.Errorf("after they have talked they allow %d more", n)
	}
	if debt := b.whole["heavy busy"].Sub(now); debt != 12*time.Second {
		t.Errorf("the ledger has a debt of %v, want that of 120 requests", debt)
	}
	// Over time all of them allow ten a second, not thirty.
	n := 0
	for range 600 {
		now = now.Add(100 * time.Millisecond)
		b.now = now
		n += allowed("busy")
		talk()
	}
	if n < 400 || n > 600 { // a minute's worth, less what the three bursts were too much
		t.Errorf("%d requests in a minute at 10 a second, after a debt of 80", n)
	}
	// A ledger that is away keeps nobody out and lets nothing be forgotten.
	now = now.Add(time.Hour)
	b.now, b.away = now, true
	if n := allowed("busy"); n != 3*40 {
		t.Errorf("without a ledger they allow %d, want a burst each", n)
	}
	talk()
	b.away = false
	now = now.Add(time.Second)
	b.now = now
	allowed("busy") // lists the key again
	talk()
	if debt := b.whole["heavy busy"].Sub(now); debt < 12*time.Second {
		t.Errorf("the ledger was told of a debt of %v only", debt)
	}
	// A wrong figure keeps nobody out for ever.
	b.whole["heavy wrong"] = now.Add(1000 * time.Hour)
	allowed("wrong")
	talk()
	if ok, after := all[0].Allow(ClassHeavy, "wrong", ""); ok || after > mostDebt*5*time.Second {
		t.Errorf("a wrong figure: %v, %v", ok, after)
	}
}

func TestLimiterClient(t *testing.T) {
	now := time.Unix(1000, 0)
	l := NewLimiter(LimiterOptions{Rates: map[Class]Rate{ClassHeavy: {10, 1}}, Now: func() time.Time { return now }})
	allowed := func(ip string, proto int) bool {
		ok, _ := l.AllowClient(ClassHeavy, netip.MustParseAddr(ip), proto, "")
		return ok
	}
	if !allowed("2001:db8::1", 1) || allowed("2001:db8::2", 1) || !allowed("2001:db8:0:1::1", 1) {
		t.Error("IPv6 is not limited by network")
	}
	if !allowed("192.0.2.1", 1) || allowed("192.0.2.1", 1) || !allowed("192.0.2.2", 1) {
		t.Error("IPv4 is not limited by address")
	}
	n := 0
	for range 11 {
		if allowed("192.0.2.1", 2) {
			n++
		}
	}
	if n != 10 {
		t.Errorf("HTTP/2 got %d requests at once, want ten times as many", n)
	}
}

func TestHealth(t *testing.T) {
	fail := errors.New("db: secret detail")
	var dbErr error
	gate := &Gate{}
	release := make(chan struct{})
	defer close(release)
	h := NewHealth(HealthOptions{
		Gate: gate, Cache: time.Nanosecond, Timeout: 300 * time.Millisecond, DebugSecret: "opensesame", Hostname: "pod",
		Checks: []Check{
			{Name: "database", Sets: HealthInstance | HealthEndToEnd, Run: func(_ context.Context) error { return dbErr }},
			{Name: "storage", Sets: HealthEndToEnd, Run: func(_ context.Context) error { <-release; return nil }},
			{Name: "scanner", Sets: HealthInstance, Advisory: true, Run: func(_ context.Context) error { panic("boom") }},
			{Name: "disk_space_warning", Sets: HealthWarning, Run: func(_ context.Context) error { return nil }},
		},
	})
	get := func(path string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
		r := request(t, "GET", path)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	want := func(path string, code int, body string) {
		t.Helper()
		if w := get(path); w.Code != code || strings.TrimSpace(w.Body.String()) != body {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	want("/health/instance", 200, `{"data":{"services":{"database":true,"scanner":false}},"status_code":200}`)
	want("/health", 200, `{"data":{"services":{"database":true,"scanner":false}},"status_code":200}`)
	want("/health/warning", 200, `{"data":{"services":{"disk_space_warning":true}},"status_code":200}`)
	want("/health/endtoend", 503, `{"data":{"services":{"database":true,"storage":false}},"status_code":503}`)
	want("/status", 503, `{"data":{"services":{"database":true,"storage":false}},"status_code":503}`)
	want("/_internal_ping", 200, `true`)
	want("/v1/_internal_ping", 200, `true`)
	want("/v1/_ping", 200, `true`)
	want("/health/enabledebug/wrong", 404, "404 page not found")
	dbErr = fail
	want("/health/instance", 503, `{"data":{"services":{"database":false,"scanner":false}},"status_code":503}`)

	w := get("/health/enabledebug/opensesame")
	cookies := w.Result().Cookies()
	if w.Code != 200 || len(cookies) != 1 || !cookies[0].HttpOnly {
		t.Fatalf("enabledebug: %d %v", w.Code, cookies)
	}
	if w := get("/health/instance", cookies[0]); !strings.Contains(w.Body.String(), `"database":{"status":false,"failure":"db: secret detail"}`) || !strings.Contains(w.Body.String(), `"hostname":"pod"`) {
		t.Errorf("details: %s", w.Body)
	}
	cookies[0].Value = "9" + cookies[0].Value
	if w := get("/health/instance", cookies[0]); strings.Contains(w.Body.String(), "secret") {
		t.Error("a forged cookie shows details")
	}
	dbErr = nil
	gate.Drain()
	want("/health/instance", 503, `{"data":{"services":{"accepting_traffic":false,"database":true,"scanner":false}},"status_code":503}`)
	if w := httptest.NewRecorder(); true {
		h.ServeHTTP(w, request(t, "POST", "/health"))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", w.Code)
		}
	}
}

// TestHealthStampede: many callers, one run.
func TestHealthStampede(t *testing.T) {
	runs := 0 // written by one run at a time
	h := NewHealth(HealthOptions{Cache: time.Hour, Checks: []Check{{Name: "x", Sets: HealthInstance, Run: func(_ context.Context) error { runs++; return nil }}}})
	done := make(chan error)
	for range 50 {
		go func() {
			h.Run(t.Context(), HealthInstance)
			done <- nil
		}()
	}
	for range 50 {
		_ = within(t, done, "a health check")
	}
	if runs != 1 {
		t.Errorf("%d runs, want 1", runs)
	}
}

func TestHealthEmptySecret(t *testing.T) {
	w := httptest.NewRecorder()
	NewHealth(HealthOptions{}).ServeHTTP(w, request(t, "GET", "/health/enabledebug/"))
	if w.Code != http.StatusNotFound {
		t.Errorf("an empty secret opens: %d", w.Code)
	}
}

// benchWriter is a ResponseWriter that costs nothing itself.
type benchWriter struct{ h http.Header }

func (w *benchWriter) Header() http.Header         { return w.h }
func (w *benchWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *benchWriter) WriteHeader(int)             {}

// BenchmarkMiddleware is what each request costs: metrics on, logs at info,
// traces off.
func BenchmarkMiddleware(b *testing.B) {
	body := []byte("ok")
	h := Middleware(MiddlewareOptions{
		Logger: quiet(), Metrics: telemetry.NewMetrics(telemetry.MetricsOptions{}),
		TrustedProxies: everywhere, Gate: &Gate{},
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetRoute(r.Context(), "v2.fetch_manifest")
		_, _ = w.Write(body)
	}))
	r := request(b, "GET", "/v2/a/b/manifests/latest", "X-Forwarded-For", "192.0.2.1")
	w := &benchWriter{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := NewLimiter(LimiterOptions{})
	ip := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		l.AllowClient(ClassLight, ip, 1, "")
	}
}

// BenchmarkLimiterLedger is of a client at its limit, for which the ledger is
// told of ten times a second.
func BenchmarkLimiterLedger(b *testing.B) {
	l := NewLimiter(LimiterOptions{Ledger: &book{now: time.Now(), whole: map[string]time.Time{}}, Name: func(c Class, key string) string { return string(c) + key }})
	ip := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		l.AllowClient(ClassLight, ip, 1, "")
	}
}

// TestRefusedBody: a client that is slow to send what was refused still reads
// why, on a connection that holds until it has sent all.
func TestRefusedBody(t *testing.T) {
	const part, parts = 300 << 10, 3 // more than net/http reads by itself
	_, addr := start(t, Options{Handler: Middleware(MiddlewareOptions{Logger: quiet()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1)
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}))})
	for _, head := range []string{fmt.Sprintf("Content-Length: %d", part*parts), "Transfer-Encoding: chunked"} {
		c := dial(t, addr)
		if _, err := fmt.Fprintf(c, "PATCH / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", head); err != nil {
			t.Fatal(err)
		}
		body := strings.Repeat("x", part)
		if strings.HasPrefix(head, "Transfer") {
			body = fmt.Sprintf("%x\r\n%s\r\n", part, body)
		}
		for i := range parts {
			if _, err := io.WriteString(c, body); err != nil {
				t.Fatalf("%s: part %d cannot be sent: %v", head, i, err)
			}
			pause := time.NewTimer(400 * time.Millisecond)
			select {
			case <-pause.C:
			case <-t.Context().Done():
			}
		}
		if strings.HasPrefix(head, "Transfer") {
			if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", head, err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || string(b) != "too large\n" {
			t.Errorf("%s: %s %q %v", head, res.Status, b, err)
		}
	}
}
