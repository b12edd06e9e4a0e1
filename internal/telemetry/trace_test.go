package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector is an OTLP/HTTP receiver that keeps the spans it is sent.
type collector struct {
	mu     sync.Mutex
	spans  []*tracepb.Span
	header http.Header
	errs   []error
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, 1<<20)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			c.errs = append(c.errs, err)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	var req coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &req); err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.header = r.Header
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func setup(t *testing.T, rate float64) (*Tracer, *collector, func()) {
	t.Helper()
	c := &collector{}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	tr, shutdown, err := SetupTracing(t.Context(), TraceOptions{
		Enabled: true, Endpoint: srv.URL, SampleRate: rate,
		Headers: map[string]string{"X-Api": "k"}, Excluded: []string{"/health", "/v2/$"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr, c, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		for _, err := range c.errs {
			t.Error(err)
		}
	}
}

func request(t *testing.T, path, traceparent string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
	}
	return r
}

func TestTracesReachCollector(t *testing.T) {
	tr, c, finish := setup(t, 1)
	ctx, span := tr.StartServer(t.Context(), request(t, "/v2/a/blobs/x", ""))
	span.SetName("v2.download_blob")
	span.SetStatus(503)
	_, child := tr.Start(ctx, "read")
	child.Fail(io.ErrUnexpectedEOF)
	child.End()
	span.End()
	for _, p := range []string{"/health/instance", "/v2/"} {
		if _, s := tr.StartServer(t.Context(), request(t, p, "")); s.Recording() {
			t.Errorf("%s starts a span", p)
		}
	}
	finish()
	if len(c.spans) != 2 || c.spans[0].Name != "read" || c.spans[1].Name != "v2.download_blob" {
		t.Fatalf("spans %v", c.spans)
	}
	if string(c.spans[0].ParentSpanId) != string(c.spans[1].SpanId) || c.spans[1].Status.Code != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("wrong parent or status: %v", c.spans)
	}
	if c.header.Get("X-Api") != "k" {
		t.Error("the header is missing")
	}
}

func TestCallersTraceContinues(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	// A rate of never: only the caller's decision counts.
	tr, c, finish := setup(t, -1)
	_, s := tr.StartServer(t.Context(), request(t, "/a", "00-"+id+"-b7ad6b7169203331-01"))
	if !s.Recording() {
		t.Error("a sampled caller's span is not recorded")
	}
	s.End()
	_, s = tr.StartServer(t.Context(), request(t, "/b", "00-"+id+"-b7ad6b7169203331-00"))
	if s.Recording() {
		t.Error("an unsampled caller's span is recorded")
	}
	s.End()
	_, s = tr.StartServer(t.Context(), request(t, "/c", ""))
	s.End()
	finish()
	if len(c.spans) != 1 {
		t.Fatalf("%d spans, want 1", len(c.spans))
	}
	if got := hex(c.spans[0].TraceId); got != id || hex(c.spans[0].ParentSpanId) != "b7ad6b7169203331" {
		t.Errorf("trace %s, parent %x", got, c.spans[0].ParentSpanId)
	}
}

func hex(b []byte) string {
	const digits = "0123456789abcdef"
	var s []byte
	for _, c := range b {
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(s)
}

func TestTransportInjects(t *testing.T) {
	tr, c, finish := setup(t, 1)
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Traceparent") }))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: tr.Transport(nil)}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	finish()
	if len(c.spans) != 1 || len(got) < 36 || got[3:35] != hex(c.spans[0].TraceId) {
		t.Errorf("traceparent %q, spans %v", got, c.spans)
	}
	if req.Header.Get("Traceparent") != "" {
		t.Error("the caller's request was changed")
	}
}

func TestTracingOffIsFree(t *testing.T) {
	tr, shutdown, err := SetupTracing(t.Context(), TraceOptions{})
	if err != nil || tr != nil || shutdown(t.Context()) != nil {
		t.Fatalf("SetupTracing = %v, %v", tr, err)
	}
	ctx, r := t.Context(), request(t, "/", "")
	if n := testing.AllocsPerRun(100, func() {
		c, s := tr.Start(ctx, "x")
		_, s2 := tr.StartServer(c, r)
		s.Set()
		s.SetStatus(500)
		s.Fail(io.EOF)
		s2.End()
		s.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tr.Transport(http.DefaultTransport) != http.DefaultTransport {
		t.Error("the transport is wrapped")
	}
}

func TestTraceEndpointRefused(t *testing.T) {
	for _, e := range []string{"", "ftp://x", "http://"} {
		if _, _, err := SetupTracing(t.Context(), TraceOptions{Enabled: true, Endpoint: e}); err == nil {
			t.Errorf("endpoint %q was taken", e)
		}
	}
}

// TestHostileSpans keeps what a caller writes from spoiling a batch, or from
// growing it, and secrets out of it.
func TestHostileSpans(t *testing.T) {
	tr, c, finish := setup(t, 1)
	r := request(t, "/v2/%ff%00"+strings.Repeat("x", 1<<16), "")
	r.Method = strings.Repeat("M", 1<<16)
	_, span := tr.StartServer(t.Context(), r)
	span.Fail(fmt.Errorf("fetch: %w", &url.Error{Op: "Get", URL: "https://ada:hush@bucket.example.com/blob?X-Amz-Signature=hush", Err: errors.New("\xff")}))
	span.End()
	finish()
	if len(c.spans) != 1 {
		t.Fatalf("%d spans arrive, want 1", len(c.spans))
	}
	if size := proto.Size(c.spans[0]); size > 4096 || c.spans[0].Name != "OTHER" {
		t.Errorf("span %.40s of %d bytes", c.spans[0].Name, size)
	}
	if text := c.spans[0].String(); strings.Contains(text, "hush") || !strings.Contains(text, "bucket.example.com") {
		t.Errorf("span %s", text)
	}
}

// TestDeafCollector has a collector that takes connections and never answers:
// starting and ending spans goes on, the queue has an end, and so has the
// farewell.
func TestDeafCollector(t *testing.T) {
	held := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer srv.Close()
	defer close(held)
	var logged lockedBuffer
	m := NewMetrics(MetricsOptions{})
	tr, shutdown, err := SetupTracing(t.Context(), TraceOptions{Enabled: true, Endpoint: srv.URL, SampleRate: 1, Timeout: 20 * time.Millisecond,
		Metrics: m, Logger: slog.New(slog.NewJSONHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 20_000 { // ten times the queue
		_, s := tr.Start(t.Context(), "x")
		s.End()
	}
	if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	lost := 0.0
	for end := time.Now().Add(20 * time.Second); lost == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		got, err := m.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got {
			if f.GetName() == "gantry_trace_spans_lost_total" {
				lost = f.GetMetric()[0].GetCounter().GetValue()
			}
		}
	}
	if lost == 0 || lost > 4096 || !strings.Contains(logged.String(), `"level":"WARN"`) {
		t.Errorf("%v spans are counted as lost, the rest was dropped at the queue; log %s", lost, logged.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
