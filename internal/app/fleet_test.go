package app

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// override is an environment whose QUAY_OVERRIDE_CONFIG has the fields.
func override(t *testing.T, fields map[string]any) []string {
	t.Helper()
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"QUAY_OVERRIDE_CONFIG=" + string(b)}
}

// TestFleet runs two instances on one database server: what one does is
// there for the other, and one of them collects.
func TestFleet(t *testing.T) {
	for _, dialect := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(dialect, func(t *testing.T) {
			o := Options{leaseRetry: 20 * time.Millisecond, Environ: override(t, map[string]any{
				"DB_URI":     storetest.EmptyURI(t, dialect),
				"SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
				"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"shared": []any{"LocalStorage", map[string]any{"storage_path": t.TempDir()}}},
				"FEATURE_USER_INITIALIZE":    true, "SERVER_HOSTNAME": "fleet.example.com",
			})}
			var a, b *Server
			var failed [2]error
			var both sync.WaitGroup // two that start at once migrate once
			both.Go(func() { a, _, failed[0] = launch(t, o) })
			both.Go(func() { b, _, failed[1] = launch(t, o) })
			both.Wait()
			for i, s := range []*Server{a, b} {
				if failed[i] != nil {
					t.Fatal(failed[i])
				}
				defer func() {
					if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				}()
			}
			one := &site{Server: a, t: t, base: "http://" + a.Addr().String()}
			one.initialize("ada")
			r := send(t, "GET", one.base+"/v2/auth?scope=registry:catalog:*", "", "Authorization", basic("ada", password))
			token, _ := r.json(t)["token"].(string)
			if r := send(t, "GET", "http://"+b.Addr().String()+"/v2/_catalog", "", "Authorization", "Bearer "+token); r.status != 200 {
				t.Errorf("a token of the one at the other: %d %s", r.status, r.body)
			}
			// A command from a machine where no server runs, with the configuration.
			if _, err := NewAdmin(Options{Data: t.TempDir() + "/none", Environ: o.Environ}).RobotCreate(t.Context(), "ada+ci", ""); err != nil {
				t.Errorf("a command without a server: %v", err)
			}
			if list, err := NewAdmin(Options{Data: b.data}).Robots(t.Context(), "ada"); err != nil || len(list) != 1 {
				t.Errorf("robots at the other: %v, %v", list, err)
			}
			until(t, "both live", func() bool {
				all, err := a.db.Instances(t.Context(), time.Now().Add(-time.Minute))
				return err == nil && len(all) == 2
			})
			collecting := func() bool {
				l, err := b.db.TakeLease(t.Context(), gcLease, "test", time.Second)
				if err == nil {
					err = b.db.ReleaseLease(t.Context(), l)
				}
				return gantry.Is(err, gantry.Conflict)
			}
			until(t, "one collects", collecting)
			until(t, "the journal is numbered", func() bool {
				e, err := a.db.Events(t.Context(), 0, 10)
				return err == nil && len(e) > 0
			})
			if err := a.Stop(t.Context()); err != nil { // whoever of the two it was
				t.Error(err)
			}
			until(t, "the other collects", collecting)
			if all, err := b.db.Instances(t.Context(), time.Now().Add(-time.Minute)); err != nil || len(all) != 1 {
				t.Errorf("instances after one has stopped: %+v, %v", all, err)
			}
		})
	}
}

// TestTraces sends spans of requests, SQL and commands to a collector, and
// goes on with the caller's trace.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	spans := map[string]string{} // name to trace
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req coltrace.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range req.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					const hex = "0123456789abcdef"
					var id strings.Builder
					for _, b := range s.GetTraceId() {
						id.WriteByte(hex[b>>4])
						id.WriteByte(hex[b&15])
					}
					spans[s.GetName()] = id.String()
				}
			}
		}
	}))
	defer collector.Close()
	s := open(t, Options{Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "FEATURE_OTEL_TRACING": true,
		"OTEL_CONFIG": map[string]any{"endpoint": collector.URL, "sample_rate": 1, "service_name": "test"}})})
	s.initialize("ada")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	if r := send(t, "GET", s.base+"/v2/auth?scope=repository:ada/app:pull", "", "Authorization", basic("ada", password), "Traceparent", "00-"+trace+"-b7ad6b7169203331-01"); r.status != 200 {
		t.Fatalf("token: %d %s", r.status, r.body)
	}
	if _, err := NewAdmin(Options{Data: s.data}).Users(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil { // sends what is left
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	sql := 0
	for name, id := range spans {
		if strings.HasPrefix(name, "sql ") && id == trace {
			sql++
		}
	}
	if sql == 0 || spans["command user.list"] == "" {
		t.Errorf("spans: %v", spans)
	}
}

// TestBrokenStart names the field that is wrong, and holds no password.
func TestBrokenStart(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"data folder":                   {Data: file},
		"storage_path":                  {Environ: override(t, map[string]any{"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"x": []any{"LocalStorage", map[string]any{"storage_path": file}}}})},
		"GANTRY_LOG_DESTINATION":        {Environ: []string{"GANTRY_LOG_DESTINATION=" + file + "/x"}},
		"INSTANCE_SERVICE_KEY_LOCATION": {Environ: override(t, map[string]any{"INSTANCE_SERVICE_KEY_LOCATION": file})},
		"gantry db migrate":             {NoMigrate: true},
		"database":                      {Environ: override(t, map[string]any{"DB_URI": "postgresql://u:secret@127.0.0.1:1/x", "SECRET_KEY": "s", "DATABASE_SECRET_KEY": "d"})},
	} {
		if o.Data == "" {
			o.Data = t.TempDir()
		}
		o.Listen, o.Metrics = "127.0.0.1:0", Off
		s, err := Start(t.Context(), o)
		if err == nil {
			t.Errorf("%s: it starts", want)
			_ = s.Stop(t.Context())
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
