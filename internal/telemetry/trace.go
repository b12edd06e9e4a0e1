package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceOptions says whether and where spans are sent (FEATURE_OTEL_TRACING,
// OTEL_CONFIG, OTEL_TRACING_EXCLUDED_URLS).
type TraceOptions struct {
	Enabled     bool
	Endpoint    string            // OTLP/HTTP: "host:port", or a URL; a URL without a path gets /v1/traces
	Insecure    bool              // plain HTTP when Endpoint has no scheme
	ServiceName string            // "" is "gantry"
	Version     string            // service.version, or "" for none
	SampleRate  float64           // share of the traces that begin here, 0..1; 0 is Quay's default, 0.001; negative is none. A caller's decision is kept
	Headers     map[string]string // sent with each export, for example an API token
	Excluded    []string          // paths that start no span: a prefix, or a whole path when it ends in "$"
	Timeout     time.Duration     // of one export; 0 is 10 s
	RootCAs     *x509.CertPool    // who may sign the collector's certificate; nil is the system's authorities
	Logger      *slog.Logger      // told, at most once a minute, of spans that were lost; nil is nobody
	Metrics     *Metrics          // counts them; nil is none
}

// A Tracer starts spans. A nil Tracer, as SetupTracing returns when tracing is
// off, starts none and costs nothing.
type Tracer struct {
	t        trace.Tracer
	prop     propagation.TextMapPropagator
	excluded []string
}

// farewell bounds the sending of what is left at the end.
const farewell = 5 * time.Second

// SetupTracing makes a tracer that exports in the background over OTLP/HTTP,
// and the function that sends what is left, for 5 s at most, and ends it. With
// o.Enabled false the tracer is nil and shutdown does nothing. An unreachable
// collector is no error, and nothing waits for it: spans are kept in a bounded
// queue and then dropped.
func SetupTracing(ctx context.Context, o TraceOptions) (t *Tracer, shutdown func(context.Context) error, err error) {
	if !o.Enabled {
		return nil, func(context.Context) error { return nil }, nil
	}
	opts, err := exporterOptions(o)
	if err != nil {
		return nil, nil, err
	}
	exp, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("make trace exporter: %w", err)
	}
	rate := o.SampleRate
	if rate == 0 {
		rate = 0.001
	}
	name := o.ServiceName
	if name == "" {
		name = "gantry"
	}
	attrs := []attribute.KeyValue{attribute.String("service.name", name)}
	if o.Version != "" {
		attrs = append(attrs, attribute.String("service.version", o.Version))
	}
	end, stop := context.WithCancel(context.WithoutCancel(ctx))
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(max(rate, 0)))),
		sdktrace.WithResource(resource.NewSchemaless(attrs...)),
		sdktrace.WithBatcher(&exporter{SpanExporter: exp, end: end, log: o.Logger, metrics: o.Metrics}),
	)
	shutdown = func(ctx context.Context) error {
		defer stop() // after the farewell nothing goes on
		ctx, cancel := context.WithTimeout(ctx, farewell)
		defer cancel()
		if err := tp.Shutdown(ctx); err != nil && o.Logger != nil {
			o.Logger.WarnContext(ctx, "the last spans were not delivered", "error", err)
		}
		return nil
	}
	return &Tracer{
		t:        tp.Tracer("github.com/gantry-registry/gantry"),
		prop:     propagation.TraceContext{},
		excluded: o.Excluded,
	}, shutdown, nil
}

// An exporter tells of failures by log and metric. OpenTelemetry itself has
// only a handler for the whole process, which would write them plainly to
// standard error.
type exporter struct {
	sdktrace.SpanExporter
	end     context.Context // of all exports
	log     *slog.Logger
	metrics *Metrics
	told    time.Time // used by the one goroutine that exports
	lost    int       // since then
}

// ExportSpans sends spans; a failure is told here.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.end, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	e.metrics.Lost(len(spans))
	e.lost += len(spans)
	if e.log != nil && time.Since(e.told) > time.Minute {
		e.log.WarnContext(ctx, "spans are lost: the collector does not take them", "spans", e.lost, "error", err)
		e.told, e.lost = time.Now(), 0
	}
	return nil
}

func exporterOptions(o TraceOptions) ([]otlptracehttp.Option, error) {
	timeout := o.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	opts := []otlptracehttp.Option{otlptracehttp.WithTimeout(timeout), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: 15 * time.Second})}
	switch {
	case o.Endpoint == "":
		return nil, errors.New("tracing is on but has no endpoint")
	case strings.Contains(o.Endpoint, "://"):
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, errors.New("trace endpoint is not an http or https URL")
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/traces"
		}
		opts = append(opts, otlptracehttp.WithEndpointURL(u.String()))
	default:
		opts = append(opts, otlptracehttp.WithEndpoint(o.Endpoint))
		if o.Insecure {
			opts = append(opts, otlptracehttp.WithInsecure())
		}
	}
	if plain := strings.HasPrefix(o.Endpoint, "http://") || o.Insecure && !strings.Contains(o.Endpoint, "://"); o.RootCAs != nil && !plain {
		opts = append(opts, otlptracehttp.WithTLSClientConfig(&tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}))
	}
	if len(o.Headers) > 0 {
		opts = append(opts, otlptracehttp.WithHeaders(o.Headers))
	}
	return opts, nil
}

// A Span is one timed piece of work. The zero Span, which a nil Tracer
// starts, ignores every call.
type Span struct{ s trace.Span }

// Start starts a span under the one in ctx and returns a context that holds
// it. The caller ends it. With a nil Tracer it returns ctx and the zero Span
// without allocating, as long as the caller passes no attributes; set those
// with Span.Set after asking Span.Recording.
func (t *Tracer) Start(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, s := t.t.Start(ctx, name, trace.WithAttributes(attrs...))
	return ctx, Span{s}
}

// Record adds a span for work under ctx that began at a time and has just
// ended, well or with err. Outside a sampled trace it does nothing: such work
// begins no trace of its own.
func (t *Tracer) Record(ctx context.Context, name string, began time.Time, err error) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	_, s := t.t.Start(ctx, name, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient))
	Span{s}.Fail(err)
	s.End()
}

// Text is an attribute for Set and Start, of at most 1 KiB.
func Text(key, value string) attribute.KeyValue { return attribute.String(key, clean(value)) }

// StartServer starts the span of an incoming request, continuing the trace
// that the caller's traceparent header names. It does nothing for excluded
// paths.
func (t *Tracer) StartServer(ctx context.Context, r *http.Request) (context.Context, Span) {
	if t == nil || t.skip(r.URL.Path) {
		return ctx, Span{}
	}
	ctx = t.prop.Extract(ctx, propagation.HeaderCarrier(r.Header))
	method := knownMethod(r.Method)
	ctx, s := t.t.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method),
		Text("url.path", r.URL.Path),
	))
	return ctx, Span{s}
}

// maxText bounds the bytes of a text that a span keeps.
const maxText = 1024

// clean is a text as a span may have it: with a byte that is no UTF-8 the
// collector, or the encoding before it, would refuse all spans of a batch.
func clean(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "\uFFFD") }

// knownMethod is a method as spans and metrics have it: a word that HTTP does
// not define is the caller's, of which there is no end.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return m
	}
	return "OTHER"
}

// StartClient starts the span of an outgoing request and writes its
// traceparent header. The caller ends the span.
func (t *Tracer) StartClient(ctx context.Context, r *http.Request) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	method := knownMethod(r.Method)
	ctx, s := t.t.Start(ctx, method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", method),
		attribute.String("server.address", r.URL.Hostname()),
	))
	t.prop.Inject(ctx, propagation.HeaderCarrier(r.Header))
	return ctx, Span{s}
}

// Transport returns a round tripper that traces each request through base;
// nil is http.DefaultTransport. With a nil Tracer it is base itself.
func (t *Tracer) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if t == nil {
		return base
	}
	return roundTripper{t, base}
}

type roundTripper struct {
	t    *Tracer
	base http.RoundTripper
}

// RoundTrip sends r with a traceparent header and records its outcome. The
// span ends when the answer's header is there.
func (rt roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a round tripper may not change its request
	ctx, span := rt.t.StartClient(r.Context(), r)
	defer span.End()
	res, err := rt.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		span.Fail(err)
		return nil, err
	}
	span.SetStatus(res.StatusCode)
	return res, nil
}

func (t *Tracer) skip(path string) bool {
	for _, x := range t.excluded {
		if whole, ok := strings.CutSuffix(x, "$"); ok {
			if path == whole {
				return true
			}
		} else if x != "" && strings.HasPrefix(path, x) {
			return true
		}
	}
	return false
}

// Recording reports whether the span is kept; ask before computing costly
// attributes.
func (s Span) Recording() bool { return s.s != nil && s.s.IsRecording() }

// Set adds attributes.
func (s Span) Set(attrs ...attribute.KeyValue) {
	if s.s != nil {
		s.s.SetAttributes(attrs...)
	}
}

// SetName replaces the span's name, as when a request's route is known.
func (s Span) SetName(name string) {
	if s.s != nil {
		s.s.SetName(name)
	}
}

// SetStatus records an HTTP status; 500 and above marks the span as failed.
func (s Span) SetStatus(status int) {
	if s.s == nil {
		return
	}
	s.s.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= 500 {
		s.s.SetStatus(codes.Error, "")
	}
}

// Fail marks the span as failed by err; nil does nothing. What the log would
// not show of err, a span does not either.
func (s Span) Fail(err error) {
	if !s.Recording() || err == nil {
		return
	}
	text := Redact(nil, slog.Any("error", err)).Value.String()
	s.s.AddEvent("exception", trace.WithAttributes(attribute.String("exception.type", fmt.Sprintf("%T", err)), Text("exception.message", text)))
	s.s.SetStatus(codes.Error, "")
}

// End ends the span. Calls after the first do nothing.
func (s Span) End() {
	if s.s != nil {
		s.s.End()
	}
}
