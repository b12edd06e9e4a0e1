package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, o Options, f http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	o.Server = s.URL
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRetries holds which answers are waited for, and for how long.
func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		status int
		after  string
		body   string
		calls  int
	}{
		{429, "2", `{}`, 4},
		{503, "1", `{}`, 4},
		{503, "", `{}`, 1},
		{503, "1", `{"is_readonly":true}`, 1},
		{429, "3600", `{}`, 1},
		{429, "Wed, 21 Oct 2026 07:28:00 GMT", `{}`, 1},
		{500, "1", `not JSON`, 1},
	} {
		calls := 0
		var waited []time.Duration
		c := serve(t, Options{sleep: func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }}, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if calls++; err != nil || string(b) != `{"x":1}` {
				t.Errorf("call %d: %q, %v", calls, b, err)
			}
			w.Header().Set("Retry-After", tt.after)
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		err := c.Do(t.Context(), "POST", "x", map[string]int{"x": 1}, nil)
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != tt.status || calls != tt.calls || len(waited) != tt.calls-1 {
			t.Errorf("%+v: %v, %d calls, waited %v", tt, err, calls, waited)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, Options{sleep: func(ctx context.Context, d time.Duration) error { cancel(); return sleep(ctx, d) }}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(429)
	})
	if err := c.Do(ctx, "GET", "x", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waits: %v", err)
	}
}

// TestHostile holds that a server cannot fill the memory, steer a terminal, or
// have the token sent elsewhere.
func TestHostile(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another server was called") }))
	defer other.Close()
	c := serve(t, Options{Login: Login{Token: "secret"}}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/moved":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/api/v1/steers":
			w.WriteHeader(400)
			_ = json.NewEncoder(w).Encode(map[string]string{"detail": "\x1b]0;x\x07" + strings.Repeat("y", 5000)})
		case "/api/v1/endless":
			for range maxAnswer>>20 + 1 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		default:
			_, _ = io.WriteString(w, "<html>")
		}
	})
	var v any
	for path, want := range map[string]string{"moved": "name that server", "steers": "  ]0;x", "endless": "more than 64 MiB", "html": "is it a registry"} {
		err := c.Do(t.Context(), "POST", path, nil, &v)
		if path == "steers" {
			want = " ]0;x yyy"
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 2500 || strings.ContainsAny(err.Error(), "\x1b\x07") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %.200v, want %q", path, err, want)
		}
	}
}

func TestPath(t *testing.T) {
	for _, tt := range []struct {
		parts []string
		want  string
	}{
		{[]string{"organization", "acme"}, "organization/acme"},
		{[]string{"repository", "/acme/web/app", "tag"}, "repository/acme/web/app/tag"},
		{[]string{"user", "robots", "a?b#c%"}, "user/robots/a%3Fb%23c%25"},
		{[]string{"organization", "a/b"}, ""},
		{[]string{"organization", ".."}, ""},
		{[]string{"organization", ""}, ""},
		{[]string{"repository", "/acme/../x"}, ""},
		{[]string{"repository", "/acme//x"}, ""},
	} {
		if got, err := Path(tt.parts...); (err != nil) != (tt.want == "") || err == nil && got != tt.want {
			t.Errorf("%q: %q, %v", tt.parts, got, err)
		}
	}
}

func TestParseServer(t *testing.T) {
	for in, want := range map[string]string{
		"registry.example.com": "https://registry.example.com", "Registry.example.com:8443/": "https://registry.example.com:8443",
		"http://localhost:8080": "http://localhost:8080", "[::1]:80": "https://[::1]:80",
		"": "", "https://": "", "ftp://x": "", "https://a:b@x": "", "https://x/api": "", "https://x?y": "", "https://x y": "", "https://:80": "",
	} {
		if got, err := ParseServer(in); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestServers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "servers.json")
	if s, err := ReadServers(file); err != nil || len(s.Known) != 0 {
		t.Errorf("none: %+v, %v", s, err)
	}
	want := Servers{Current: "https://x", Known: map[string]Known{"https://x": {User: "ada", Login: Login{Token: "t"}}}}
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadServers(file); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadServers(file); err == nil || !strings.Contains(err.Error(), "gantry login") {
		t.Errorf("broken: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".servers-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// FuzzParseServer holds that what is taken is an address and nothing more.
func FuzzParseServer(f *testing.F) {
	for _, s := range []string{"x", "http://x:1", "https://a@x", "//x", "http://[::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseServer(s)
		if err != nil {
			return
		}
		if again, err := ParseServer(got); err != nil || again != got || strings.ContainsAny(strings.TrimPrefix(strings.TrimPrefix(got, "https://"), "http://"), "/?#@") {
			t.Errorf("%q: %q, then %q, %v", s, got, again, err)
		}
	})
}
