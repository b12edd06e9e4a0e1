package servertest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestProxy(t *testing.T) {
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() { // an echo
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	p := NewProxy(t, l.Addr().String())
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	echo := func(wait time.Duration) error {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	if err := echo(10 * time.Second); err != nil {
		t.Fatalf("passing: %v", err)
	}
	p.Stall()
	if err := echo(50 * time.Millisecond); err == nil {
		t.Error("a stalled proxy passes bytes on")
	}
	p.Heal()
	if err := echo(10 * time.Second); err != nil { // reads the five bytes that were held back
		t.Errorf("healed: %v", err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil { // and those of this call
		t.Errorf("healed: %v", err)
	}
	p.Slow(20)
	began := time.Now()
	if err := echo(20 * time.Second); err != nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("slow: %v after %v", err, time.Since(began))
	}
	p.Heal()
	p.Delay(50 * time.Millisecond)
	began = time.Now()
	if err := echo(20 * time.Second); err != nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("delayed: %v after %v", err, time.Since(began))
	}
	p.Cut()
	if err := echo(10 * time.Second); err == nil {
		t.Error("a cut connection answers")
	}
	if d, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr()); err == nil {
		_ = d.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := d.Read(make([]byte, 1)); err == nil {
			t.Error("a new connection answers")
		}
		_ = d.Close()
	}
}

func TestHTTPProxy(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	defer s.Close()
	p := NewHTTPProxy(t, s.Listener.Addr().String())
	get := func() (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Addr()+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	if status, host := get(); status != 200 || host != p.Addr() {
		t.Errorf("passed on: %d %s", status, host)
	}
	p.Hook(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(500) })
	if status, _ := get(); status != 500 {
		t.Errorf("hooked: %d", status)
	}
	p.Hook(nil)
	if status, _ := get(); status != 200 || p.Requests() != 3 {
		t.Errorf("passed on again: %d, %d requests", status, p.Requests())
	}
}
