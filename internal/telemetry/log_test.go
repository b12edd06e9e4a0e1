package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestRedact(t *testing.T) {
	var buf bytes.Buffer
	h, err := newHandler(&buf, LogJSON, LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse("https://bob:hunter2@example.com/x?X-Amz-Signature=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h).With("Set-Cookie", "hunter2").WithGroup("g")
	log.Info("m",
		"password", "hunter2", "DB_PASSWORD", "hunter2", "robotToken", "hunter2", "Authorization", "hunter2",
		"client-secret", "hunter2", "x_api-key", "hunter2", "url", u, "url2", *u, "hdr", http.Header{"Authorization": {"hunter2"}},
		"err", fmt.Errorf("fetch: %w", &url.Error{Op: "Get", URL: u.String(), Err: errors.New("refused")}),
		slog.Group("auth", "cookies", "hunter2"),
		"has_token", true, "name", "kept", "path", "/v2/x")
	if s := buf.String(); strings.Contains(s, "hunter2") || strings.Count(s, redacted) < 8 {
		t.Errorf("secrets are not redacted: %s", s)
	}
	if s := buf.String(); !strings.Contains(s, `"name":"kept"`) || !strings.Contains(s, `"has_token":true`) || !strings.Contains(s, "example.com/x") || !strings.Contains(s, "refused") {
		t.Errorf("too much is redacted: %s", s)
	}
}

func TestRecordCarriesContext(t *testing.T) {
	var buf bytes.Buffer
	h, err := newHandler(&buf, LogJSON, LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h).With("a", 1)
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(WithRequestID(t.Context(), "req-1"), sc)
	log.InfoContext(ctx, "hello")
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"request_id": "req-1", "trace_id": sc.TraceID().String(), "span_id": sc.SpanID().String(), "msg": "hello"} {
		if got[k] != want {
			t.Errorf("%s = %v, want %v", k, got[k], want)
		}
	}
	buf.Reset()
	log.InfoContext(context.Background(), "bare")
	if strings.Contains(buf.String(), "request_id") || strings.Contains(buf.String(), "trace_id") {
		t.Errorf("a bare context gave ids: %s", buf.String())
	}
}

func TestLogFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, out, err := NewLogger(LogOptions{Destination: path})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("second")
	if err := out.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("third")
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	cur, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(old), "\n") != 2 || strings.Count(string(cur), "\n") != 1 || !strings.HasPrefix(string(cur), "{") {
		t.Errorf("old file %q, new file %q", old, cur)
	}
}

func TestNewLoggerRefuses(t *testing.T) {
	if _, _, err := NewLogger(LogOptions{Format: "xml"}); err == nil {
		t.Error("an unknown format was taken")
	}
	if _, _, err := NewLogger(LogOptions{Destination: filepath.Join(t.TempDir(), "no", "log")}); err == nil {
		t.Error("a file in a missing folder was opened")
	}
}

func TestParseLevel(t *testing.T) {
	for s, want := range map[string]slog.Level{"": slog.LevelInfo, "DEBUG": slog.LevelDebug, "Warning": slog.LevelWarn, "CRITICAL": slog.LevelError} {
		if got, err := ParseLevel(s); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	if _, err := ParseLevel("loud and very long indeed"); err == nil {
		t.Error("an unknown level was taken")
	}
}
