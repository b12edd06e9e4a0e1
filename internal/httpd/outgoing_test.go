package httpd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestOutgoingAddresses(t *testing.T) {
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1:248:1893:25c8:1946": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false, "10.1.2.3": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false,
		"100.64.0.1": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "0.1.2.3": false, "198.18.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::ffff:10.0.0.1": false, "::7f00:1": false, "192.0.0.192": false,
	} {
		if got := (guard{}).allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// TestOutgoing tries a real server on the loopback address, which is what an
// attacker wants to reach.
func TestOutgoing(t *testing.T) {
	var asked int
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	t.Cleanup(srv.Close)
	none := func(*http.Request) (*url.URL, error) { return nil, nil }
	do := func(o OutgoingOptions, url string) (int, error) {
		o.Timeout = 5 * time.Second
		if o.Proxy == nil {
			o.Proxy = none
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := Outgoing(o).Do(r)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	byName := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	for _, u := range []string{srv.URL, byName, strings.Replace(srv.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), strings.Replace(srv.URL, "127.0.0.1", "0.0.0.0", 1)} {
		if _, err := do(OutgoingOptions{}, u); !errors.Is(err, ErrForbiddenTarget) {
			t.Errorf("%s: %v", u, err)
		}
	}
	if asked != 0 {
		t.Fatal("the server was reached")
	}
	for name, o := range map[string]OutgoingOptions{
		"address": {Allowed: []string{"127.0.0.1"}}, "network": {Allowed: []string{"10.0.0.0/8", "127.0.0.0/8"}},
	} {
		if status, err := do(o, srv.URL); err != nil || status != 200 {
			t.Errorf("allowed by %s: %d, %v", name, status, err)
		}
	}
	if status, err := do(OutgoingOptions{Allowed: []string{"LOCALHOST"}}, byName); err != nil || status != 200 {
		t.Errorf("allowed by name: %d, %v", status, err)
	}
	if _, err := do(OutgoingOptions{Allowed: []string{"localhost"}}, srv.URL); !errors.Is(err, ErrForbiddenTarget) {
		t.Errorf("a name allowed another: %v", err)
	}
	asked = 0
	if status, err := do(OutgoingOptions{Allowed: []string{"127.0.0.1"}}, srv.URL+"/away"); err != nil || status != 302 || asked != 1 {
		t.Errorf("a redirect: %d after %d requests, %v", status, asked, err)
	}
	// Through a proxy, which here answers itself.
	via := func(*http.Request) (*url.URL, error) { return url.Parse(srv.URL) }
	if status, err := do(OutgoingOptions{Proxy: via}, "http://hooks.example.com/x"); err != nil || status != 200 {
		t.Errorf("through a proxy: %d, %v", status, err)
	}
	if _, err := do(OutgoingOptions{Proxy: via}, "http://169.254.169.254/latest"); !errors.Is(err, ErrForbiddenTarget) {
		t.Errorf("a private address through a proxy: %v", err)
	}
}

// TestOutgoingTimeout: a server that never answers costs a bounded time.
func TestOutgoingTimeout(t *testing.T) {
	end := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(end) })
	c := Outgoing(OutgoingOptions{Allowed: []string{"127.0.0.1"}, Timeout: 50 * time.Millisecond, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if err == nil {
		_ = res.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
