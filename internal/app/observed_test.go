package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-registry/gantry/internal/telemetry"
)

// quayMetrics are the metrics of Quay that this release has: type and labels.
// host, process_name and pid come to each.
var quayMetrics = map[string]string{
	"quay_registry_image_pulls_total":                  "counter protocol,ref,status",
	"quay_registry_image_pushes_total":                 "counter media_type,protocol,status",
	"quay_registry_image_pulled_estimated_bytes_total": "counter protocol",
	"quay_registry_image_pushed_bytes_total":           "counter ",
	"quay_chunk_upload_duration_seconds":               "histogram region",
	"quay_multipart_uploads_started_total":             "counter ",
	"quay_multipart_uploads_completed_total":           "counter ",
	"quay_request_duration_seconds":                    "histogram method,route,status",
	"quay_authentication_attempts_total":               "counter auth_kind,success",
	"bearer_token_decoded_total":                       "counter success",
	"quay_db_pooled_connections_in_use":                "gauge ",
	"quay_db_pooled_connections_available":             "gauge ",
	"quay_db_connect_calls_total":                      "counter ",
	"quay_db_close_calls_total":                        "counter ",
	"quay_model_cache_total":                           "counter type",
	"quay_queue_item_puts_total":                       "counter queue_name",
	"quay_queue_item_gets_total":                       "counter availability,queue_name",
	"quay_queue_item_deletes_total":                    "counter ",
	"quay_queue_items_locked":                          "gauge queue_name",
	"quay_queue_items_available":                       "gauge queue_name",
	"quay_queue_items_available_unlocked":              "gauge queue_name",
	"quay_worker_operation_duration_seconds":           "histogram operation,worker",
	"quay_worker_operation_in_progress":                "gauge operation,worker",
	"quay_user_rows":                                   "gauge ",
	"quay_org_rows":                                    "gauge ",
	"quay_robot_rows":                                  "gauge ",
	"quay_repository_rows":                             "gauge ",
	"quay_gc_iterations_total":                         "counter ",
	"quay_gc_table_rows_deleted_total":                 "counter table",
	"quay_gc_storage_blobs_deleted_total":              "counter ",
	"quay_gc_repos_purged_total":                       "counter ",
	"quay_gc_namespaces_purged_total":                  "counter ",
	"quay_instance_key_renewal_self_total":             "counter success",
	"process_cpu_seconds_total":                        "counter ",
	"process_resident_memory_bytes":                    "gauge ",
}

// A scraped is what a scrape says: types by name, and series.
type scraped struct {
	types  map[string]string
	series map[string]float64 // by name{labels}
}

var seriesLine = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? (\S+)`)

func scrapeOf(t *testing.T, s *site) scraped {
	t.Helper()
	v := scraped{map[string]string{}, map[string]float64{}}
	for line := range strings.Lines(send(t, "GET", "http://"+s.MetricsAddr().String()+"/metrics", "").body) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			v.types[name] = kind
			continue
		}
		if m := seriesLine.FindStringSubmatch(line); m != nil {
			f, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			v.series[m[1]+"{"+m[2]+"}"] = f
		}
	}
	return v
}

// sum adds up the series of a name whose labels hold all of with.
func (v scraped) sum(name string, with ...string) (sum float64) {
	for id, f := range v.series {
		got, labels, _ := strings.Cut(id, "{")
		if got == name && !slices.ContainsFunc(with, func(w string) bool { return !strings.Contains(labels, w) }) {
			sum += f
		}
	}
	return sum
}

var labelName = regexp.MustCompile(`(?:^|,)([a-z_]+)="`)

// labels returns the labels of a name's series, without those of each.
func (v scraped) labels(name string) []string {
	all := map[string]bool{}
	for id := range v.series {
		got, labels, _ := strings.Cut(strings.TrimSuffix(id, "}"), "{")
		if got != name && got != name+"_bucket" {
			continue
		}
		for _, m := range labelName.FindAllStringSubmatch(labels, -1) {
			all[m[1]] = true
		}
	}
	for _, of := range []string{"host", "process_name", "pid"} {
		if len(all) > 0 && !all[of] {
			all["!no "+of] = true
		}
		delete(all, of)
	}
	delete(all, "le")
	return slices.Sorted(maps.Keys(all))
}

// TestMetrics scrapes a server after real traffic: Quay's names, types and
// labels, figures that have moved, no SQL for a scrape, and no series that a
// caller could make.
func TestMetrics(t *testing.T) {
	s := open(t, Options{Metrics: "127.0.0.1:0", Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "DEFAULT_TAG_EXPIRATION": "0s", "GLOBAL_PROMETHEUS_STATS_FREQUENCY": 1})})
	s.initialize("ada")
	if r := s.both("ada/app"); r.status != 200 {
		t.Fatalf("push and pull: %d %s", r.status, r.body)
	}
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push,*")
	with := []string{"Authorization", auth}
	at := send(t, "POST", s.base+"/v2/ada/app/blobs/uploads/", "", with...).header.Get("Location")
	if r := send(t, "PATCH", at, "chunk", append(with, "Content-Type", "application/octet-stream")...); r.status != 202 {
		t.Fatalf("chunk: %d %s", r.status, r.body)
	}
	i := newImage("ada/app")
	for path, want := range map[string]int{"manifests/none": 404, "manifests/" + digestOf(i.manifest): 200, "tags/list": 200} {
		if r := send(t, "GET", s.base+"/v2/ada/app/"+path, "", with...); r.status != want {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := send(t, "DELETE", s.base+"/v2/ada/app/manifests/v1", "", with...); r.status != 202 {
		t.Errorf("delete: %d %s", r.status, r.body)
	}
	if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic("ada", "wrong")); r.status != 401 {
		t.Errorf("a wrong password: %d", r.status)
	}
	if r := send(t, "GET", s.base+"/v2/ada/app/tags/list", "", "Authorization", "Bearer nonsense"); r.status != 401 {
		t.Errorf("a token that is none: %d", r.status)
	}
	if _, err := NewAdmin(Options{Data: s.data}).GC(t.Context()); err != nil {
		t.Error(err)
	}
	moved := []struct {
		name string
		with []string
	}{
		{"quay_registry_image_pulls_total", []string{`protocol="v2"`, `ref="tag"`, `status="200"`}},
		{"quay_registry_image_pulls_total", []string{`ref="tag"`, `status="404"`}},
		{"quay_registry_image_pulls_total", []string{`ref="manifest"`, `status="200"`}},
		{"quay_registry_image_pushes_total", []string{`protocol="v2"`, `status="201"`, `media_type="` + manifestType + `"`}},
		{"quay_registry_image_pulled_estimated_bytes_total", nil},
		{"quay_registry_image_pushed_bytes_total", nil},
		{"quay_chunk_upload_duration_seconds_count", []string{`region="default"`}},
		{"quay_request_duration_seconds_count", []string{`method="GET"`, `route="v2.download_blob"`, `status="200"`}},
		{"quay_authentication_attempts_total", []string{`auth_kind="basic"`, `success="True"`}},
		{"quay_authentication_attempts_total", []string{`auth_kind="basic"`, `success="False"`}},
		{"bearer_token_decoded_total", []string{`success="True"`}},
		{"bearer_token_decoded_total", []string{`success="False"`}},
		{"quay_db_pooled_connections_available", nil},
		{"quay_db_connect_calls_total", nil},
		{"quay_model_cache_total", nil},
		{"quay_queue_item_puts_total", []string{`queue_name="usage.fold"`}},
		{"quay_queue_item_gets_total", []string{`availability="acquired"`, `queue_name="usage.fold"`}},
		{"quay_worker_operation_duration_seconds_count", []string{`worker="gc"`}},
		{"quay_worker_operation_duration_seconds_count", []string{`worker="jobs"`}},
		{"quay_user_rows", nil},
		{"quay_gc_iterations_total", nil},
		{"quay_gc_table_rows_deleted_total", []string{`table="Tag"`}},
		{"process_resident_memory_bytes", nil},
		{"gantry_sql_duration_seconds_count", nil},
		{"gantry_storage_operation_duration_seconds_count", []string{`location="default"`}},
		{"gantry_access_log_group_size_count", nil},
		{"gantry_disk_free_bytes", nil},
		{"gantry_storage_up", nil},
		{"gantry_ready", nil},
	}
	var v scraped
	lacks := func() (list []string) {
		v = scrapeOf(t, s)
		for _, m := range moved {
			if f := v.sum(m.name, m.with...); f == 0 {
				list = append(list, fmt.Sprint(m.name, m.with))
			}
		}
		return list
	}
	var still []string
	until(t, "all has moved", func() bool {
		list := lacks()
		if !slices.Equal(list, still) {
			still = list
			t.Logf("still: %q", still)
		}
		return len(still) == 0
	})
	for name, want := range quayMetrics {
		kind, labels, _ := strings.Cut(want, " ")
		if _, there := v.types[name]; !there {
			if !slices.ContainsFunc(s.metrics.Docs(), func(d telemetry.MetricDoc) bool {
				return d.Name == name && d.Type == kind && strings.Join(slices.Sorted(slices.Values(d.Labels)), ",") == labels
			}) {
				t.Errorf("there is no %s of type %s with the labels %q", name, kind, labels)
			}
			continue
		}
		if v.types[name] != kind {
			t.Errorf("%s is a %s, not a %s", name, v.types[name], kind)
		}
		if got := strings.Join(v.labels(name), ","); got != labels {
			t.Errorf("%s has the labels %q, want %q", name, got, labels)
		}
	}
	for id := range v.series {
		if strings.Contains(id, "ada") {
			t.Errorf("a series names an account or a repository: %s", id)
		}
	}
	before, statements := len(v.series), s.db.Statements()
	for range 5 {
		scrapeOf(t, s)
	}
	if n := s.db.Statements() - statements; n > 20 { // of background work alone; a count of rows for each scrape would be more
		t.Errorf("5 scrapes sent %d statements", n)
	}
	for n := range 60 {
		word := fmt.Sprintf("x%dx", n)
		_, err := try(t.Context(), strings.ToUpper(word), s.base+"/v2/"+word+"/manifests/"+word, nil, "User-Agent", word, "X-Forwarded-Host", word, "X-Request-Id", word)
		if err != nil {
			t.Error(err)
		}
		send(t, "GET", s.base+"/"+word, "", "User-Agent", word)
		send(t, "PUT", s.base+"/v2/"+word+"/"+word+"/manifests/"+word, "{}", "Content-Type", "application/"+word, "Authorization", "Bearer "+word)
		send(t, "GET", s.base+"/api/v1/repository/"+word+"/"+word, "")
	}
	v = scrapeOf(t, s)
	if more := len(v.series) - before; more > 8*16 { // a histogram has 17 lines
		t.Errorf("240 hostile requests made %d series", more)
	}
	for id := range v.series {
		if strings.Contains(id, "x7x") || strings.Contains(id, "X7X") {
			t.Errorf("a caller made the series %s", id)
		}
	}
}

// TestRequestIDs takes a caller's id where it is a sane one, answers with it
// and logs it; no text of a caller makes a line of the log, and no secret
// stands in one.
func TestRequestIDs(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) { requestIDs(t, format) })
	}
}

func requestIDs(t *testing.T, format string) {
	file := t.TempDir() + "/log"
	server, err := Start(t.Context(), Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Metrics: Off,
		Environ: []string{"GANTRY_LOG_DESTINATION=" + file, "GANTRY_LOG_FORMAT=" + format, "DEBUGLOG=true"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	s := &site{Server: server, t: t, base: "http://" + server.Addr().String()}
	read := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	s.initialize("ada")
	id := regexp.MustCompile(`^[0-9a-f]{24}$`)
	for in, same := range map[string]bool{"abc-123": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a b": false, "a\u00e9": false, "": false} {
		got := send(t, "POST", s.base+"/api/v1/nothing", "", "X-Request-Id", in).header.Get("X-Request-Id")
		if same && got != in || !same && !id.MatchString(got) {
			t.Errorf("request id %q becomes %q", in, got)
		}
		if !strings.Contains(read(), got) {
			t.Errorf("the log does not have the id %q", got)
		}
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, strings.Repeat("M", 5000)+" /v2/%0alevel=ERROR%20msg=forged%0d%1b[31m?token=hush1&X-Amz-Signature=hush2 HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x1b[31mb\r\n"+
		"Authorization: Bearer hush3\r\nCookie: session=hush4\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	send(t, "GET", s.base+"/v2/auth?service=x&scope=repository:ada/x:pull&access_token=hush5", "", "Authorization", basic("ada", "hush6"))
	send(t, "POST", s.base+"/api/v1/signin", `{"username": "ada", "password": "hush7"}`, "Content-Type", "application/json")
	log := read()
	for line := range strings.Lines(log) {
		if format == "json" && !json.Valid([]byte(line)) || format == "text" && !strings.HasPrefix(line, "time=") {
			t.Errorf("no record: %q", line)
		}
	}
	if strings.Contains(log, "hush") || strings.Contains(log, password) {
		t.Errorf("the log has a secret:\n%s", log)
	}
	if strings.ContainsAny(log, "\x1b\r") || strings.Contains(log, strings.Repeat("M", 40)) {
		t.Errorf("a caller writes into the log:\n%s", log)
	}
}

// A spanCollector is an OTLP receiver.
type spanCollector struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

func (c *spanCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req coltrace.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &req)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			c.spans = append(c.spans, ss.GetSpans()...)
		}
	}
}

// TestSpans follows a push through its trace: SQL and storage lie under the
// request, the request under the caller's span, and the SQL of a job under the
// job. The latency histogram has the trace as its exemplar.
func TestSpans(t *testing.T) {
	c := &spanCollector{}
	srv := httptest.NewServer(c)
	defer srv.Close()
	s := open(t, Options{Metrics: "127.0.0.1:0", Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "FEATURE_OTEL_TRACING": true,
		"OTEL_CONFIG": map[string]any{"endpoint": srv.URL, "sample_rate": 1}})})
	s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	i := newImage("spans")
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	r := send(t, "POST", s.base+"/v2/ada/app/blobs/uploads/?digest="+digestOf(i.layer), string(i.layer), "Authorization", auth,
		"Content-Type", "application/octet-stream", "Traceparent", "00-"+trace+"-"+caller+"-01")
	if r.status != 201 {
		t.Fatalf("push: %d %s", r.status, r.body)
	}
	until(t, "a job has run", func() bool {
		f := scrapeOf(t, s).sum("quay_worker_operation_duration_seconds_count", `operation="usage.fold"`)
		return f > 0
	})
	om := send(t, "GET", "http://"+s.MetricsAddr().String()+"/metrics", "", "Accept", "application/openmetrics-text; version=1.0.0").body
	exemplar := false
	for line := range strings.Lines(om) {
		exemplar = exemplar || strings.HasPrefix(line, "quay_request_duration_seconds_bucket{") && strings.Contains(line, `# {trace_id="`+trace+`"}`)
	}
	if !exemplar || !strings.HasSuffix(om, "# EOF\n") {
		t.Error("no exemplar of the push in the scrape as OpenMetrics")
	}
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	byID := map[string]*tracepb.Span{}
	for _, sp := range c.spans {
		byID[string(sp.GetSpanId())] = sp
	}
	// under is the names of the spans above one, up to the caller's.
	under := func(sp *tracepb.Span) (names []string) {
		for sp != nil {
			names = append(names, sp.GetName())
			up := byID[string(sp.GetParentSpanId())]
			if up == nil && len(sp.GetParentSpanId()) > 0 {
				names = append(names, fmt.Sprintf("%x", sp.GetParentSpanId()))
			}
			sp = up
		}
		return names
	}
	found := map[string]bool{}
	for _, sp := range c.spans {
		path := under(sp)
		top := path[len(path)-1]
		switch {
		case fmt.Sprintf("%x", sp.GetTraceId()) == trace:
			if top != caller || len(path) > 2 && path[len(path)-2] != "v2.start_blob_upload" {
				t.Errorf("a span of the push lies at %v", path)
			}
			word, _, _ := strings.Cut(sp.GetName(), " ")
			found[word] = true
		case len(path) > 1 && strings.HasPrefix(sp.GetName(), "sql ") && top == "job usage.fold":
			found["sql of a job"] = true
		}
		if sp.GetEndTimeUnixNano() < sp.GetStartTimeUnixNano() {
			t.Errorf("%s ends before it begins", sp.GetName())
		}
	}
	for _, want := range []string{"v2.start_blob_upload", "sql", "storage", "sql of a job"} {
		if !found[want] {
			t.Errorf("there is no span of %s", want)
		}
	}
}

// TestSlowCollector has a collector that takes connections and says nothing:
// requests are answered, and the stop is not held up for long.
func TestSlowCollector(t *testing.T) {
	deaf, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	s := open(t, Options{Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "FEATURE_OTEL_TRACING": true,
		"OTEL_CONFIG": map[string]any{"endpoint": deaf.Addr().String(), "sample_rate": 1}})})
	s.initialize("ada")
	for range 300 {
		if r := send(t, "GET", s.base+"/v2/", ""); r.status != 401 {
			t.Fatal(r.status)
		}
	}
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("a collector that is away fails the stop: %v", err)
	}
	if !strings.Contains(s.log.String(), "spans") {
		t.Errorf("nobody is told of the spans:\n%s", s.log)
	}
}
