// Package telemetry is how the registry is observed: structured logs, the
// metrics that Quay's dashboards read, and traces. Nothing here is global;
// app makes one of each and hands them down. A nil *Metrics and a nil *Tracer
// do nothing, so packages and tests may leave them out.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// A LogFormat says how log records are written.
type LogFormat string

// The formats. The zero LogFormat is LogAuto.
const (
	LogAuto LogFormat = "auto" // text on a terminal, else JSON
	LogJSON LogFormat = "json" // one JSON object a line
	LogText LogFormat = "text" // key=value
)

// LogOptions says what NewLogger writes and where. The zero value writes
// records of level info and above to standard error.
type LogOptions struct {
	Level       slog.Leveler // nil is slog.LevelInfo; a *slog.LevelVar may change at run time
	Format      LogFormat    // "" is LogAuto
	Destination string       // "stderr", "stdout" or a file's path; "" is "stderr"
	Source      bool         // add the source line to each record
}

// A LogOutput is where a logger writes.
type LogOutput struct {
	mu   sync.Mutex
	w    io.Writer // what is written to; replaced by Reopen
	path string    // "" for a standard stream
}

// NewLogger makes a logger and its output. Every record carries request_id,
// trace_id and span_id where the context of the call has them. Attributes
// whose key names a secret are replaced by "[redacted]".
func NewLogger(o LogOptions) (*slog.Logger, *LogOutput, error) {
	out := &LogOutput{}
	var stream *os.File
	switch o.Destination {
	case "", "stderr":
		stream = os.Stderr
	case "stdout":
		stream = os.Stdout
	default:
		out.path = o.Destination
	}
	if out.path != "" {
		f, err := openLog(out.path)
		if err != nil {
			return nil, nil, err
		}
		stream = f
	}
	out.w = stream
	format := o.Format
	if format == "" || format == LogAuto {
		format = LogJSON
		if out.path == "" && isTerminal(stream) {
			format = LogText
		}
	}
	h, err := newHandler(out, format, o)
	if err != nil {
		_ = out.Close() // nothing was written yet
		return nil, nil, err
	}
	return slog.New(h), out, nil
}

func newHandler(w io.Writer, format LogFormat, o LogOptions) (slog.Handler, error) {
	ho := &slog.HandlerOptions{Level: o.Level, AddSource: o.Source, ReplaceAttr: Redact}
	switch format {
	case LogJSON:
		return contextHandler{slog.NewJSONHandler(w, ho)}, nil
	case LogText:
		return contextHandler{slog.NewTextHandler(w, ho)}, nil
	}
	return nil, fmt.Errorf("log format %q is not one of auto, json, text", format)
}

// Write writes one record.
func (o *LogOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// Reopen opens a log file anew by its path, as after a rotation (SIGHUP).
// When that fails the old file stays in use. On a standard stream it does
// nothing.
func (o *LogOutput) Reopen() error {
	if o.path == "" {
		return nil
	}
	f, err := openLog(o.path)
	if err != nil {
		return err
	}
	o.mu.Lock()
	old := o.w
	o.w = f
	o.mu.Unlock()
	if c, ok := old.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Close closes a log file; records that come later go to standard error. On a
// standard stream it does nothing.
func (o *LogOutput) Close() error {
	if o.path == "" {
		return nil
	}
	o.mu.Lock()
	old := o.w
	o.w = os.Stderr
	o.mu.Unlock()
	if f, ok := old.(*os.File); ok && f != os.Stderr {
		return f.Close()
	}
	return nil
}

func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) // #nosec G302 G304 -- the operator names the file; a log shipper's group reads it
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	return f, nil
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// ParseLevel reads a level as Quay's LOGGING_LEVEL and slog write it:
// DEBUG, INFO, WARNING or WARN, ERROR, CRITICAL, in any case. "" is info.
func ParseLevel(s string) (slog.Level, error) {
	var buf [16]byte
	switch string(lower(buf[:0], s)) {
	case "debug", "notset":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error", "critical", "fatal":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q is not one of debug, info, warning, error", s)
}

type requestIDKey struct{}

// WithRequestID returns a context whose log records carry the request's id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// A RequestIDer is a context value that knows the request's id; httpd's Info
// is one, which saves a context layer for each request.
type RequestIDer interface{ GetRequestID() string }

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	switch v := ctx.Value(requestIDKey{}).(type) {
	case string:
		return v
	case RequestIDer:
		return v.GetRequestID()
	}
	return ""
}

// IsRequestIDKey reports whether key is the one under which RequestID looks
// for a string or a RequestIDer. It lets another package's context answer it.
func IsRequestIDKey(key any) bool {
	_, ok := key.(requestIDKey)
	return ok
}

// contextHandler adds what the context knows to each record.
type contextHandler struct{ slog.Handler }

// Handle adds request_id, trace_id and span_id and passes the record on.
func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if ctx == nil {
		return h.Handler.Handle(context.Background(), r)
	}
	id := RequestID(ctx)
	sc := trace.SpanContextFromContext(ctx)
	if id != "" || sc.IsValid() {
		r = r.Clone()
		if id != "" {
			r.AddAttrs(slog.String("request_id", id))
		}
		if sc.IsValid() {
			r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapper around the derived handler.
func (h contextHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(as)}
}

// WithGroup keeps the wrapper around the derived handler.
func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}

const redacted = "[redacted]"

// secretParts are the pieces of an attribute's key that mark its value as
// secret, in lower case.
var secretParts = [...]string{
	"password", "passwd", "secret", "token", "authorization", "cookie",
	"credential", "api_key", "apikey", "access_key", "private_key", "dburi", "db_uri",
}

// Redact is a slog.HandlerOptions.ReplaceAttr. It replaces the value of an
// attribute whose key contains a word such as password, token, secret,
// authorization or cookie, in any case, by "[redacted]"; it strips passwords
// and queries from URL values, and it drops all of an http.Header. It is the
// last guard, not a licence: do not log secrets.
func Redact(_ []string, a slog.Attr) slog.Attr {
	if secretKey(a.Key) {
		if a.Value.Kind() == slog.KindBool {
			return a // "token=true" says that there was one
		}
		return slog.String(a.Key, redacted)
	}
	if a.Value.Kind() == slog.KindAny {
		switch v := a.Value.Any().(type) {
		case *url.URL:
			if v != nil {
				return slog.String(a.Key, redactURL(*v))
			}
		case url.URL:
			return slog.String(a.Key, redactURL(v))
		case http.Header, *http.Request, *http.Response, url.Values:
			return slog.String(a.Key, redacted)
		case *url.Error:
			return slog.String(a.Key, redactURLError(v))
		case error:
			if ue, ok := errors.AsType[*url.Error](v); ok && redactURLError(ue) != ue.Error() {
				return slog.String(a.Key, redactURLError(ue))
			}
		}
	}
	return a
}

func redactURL(u url.URL) string {
	if u.RawQuery != "" {
		u.RawQuery = redacted
	}
	return u.Redacted()
}

// redactURLError writes an HTTP client's error without the query of its
// address, which may be a presigned one.
func redactURLError(e *url.Error) string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return e.Op + ": " + e.Err.Error()
	}
	return e.Op + " \"" + redactURL(*u) + "\": " + e.Err.Error()
}

func secretKey(key string) bool {
	if len(key) < 5 {
		return false
	}
	var buf [64]byte
	k := lower(buf[:0], key)
	for i := range k {
		for _, p := range secretParts {
			if len(k)-i >= len(p) && k[i] == p[0] && string(k[i:i+len(p)]) == p {
				return true
			}
		}
	}
	return false
}

// lower appends s in ASCII lower case, with - and blank as _, to b.
func lower(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '-' || c == ' ':
			c = '_'
		}
		b = append(b, c)
	}
	return b
}
