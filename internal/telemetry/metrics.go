package telemetry

import (
	"context"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"
)

// MetricsOptions are the labels that every sample of a process carries.
type MetricsOptions struct {
	Host        string // "" is the machine's name
	ProcessName string // "" is "registry:application", the name Quay's dashboards select
	PID         int    // 0 is this process
	Job         string // "" leaves the label to the scraper, which normally sets it
}

// quayBuckets are the buckets of Quay's histograms, in seconds.
var quayBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// Metrics holds every metric of the process. Names that begin with quay_ are
// Quay's, with Quay's labels; those that begin with gantry_ are our own. The
// fields may be used directly; the methods work on a nil *Metrics, where they
// do nothing, so a package that may run without metrics uses the methods.
//
// Label values must come from small fixed sets, never from a request.
type Metrics struct {
	reg  *prometheus.Registry
	docs []MetricDoc

	// Registry traffic.
	ImagePulls         *prometheus.CounterVec   // protocol (v1, v2), ref (tag, manifest), status
	ImagePushes        *prometheus.CounterVec   // protocol, status, media_type
	PulledBytes        *prometheus.CounterVec   // protocol; redirects count by the blob's size
	PushedBytes        prometheus.Counter       // blob bytes received
	ChunkUpload        *prometheus.HistogramVec // region
	MultipartStarted   prometheus.Counter
	MultipartCompleted prometheus.Counter
	RequestDuration    *prometheus.HistogramVec // method, route, status; use Request
	AuthAttempts       *prometheus.CounterVec   // auth_kind, success (True, False)
	BearerDecoded      *prometheus.CounterVec   // success
	UIPageViews        *prometheus.CounterVec   // ui
	SpamDecisions      *prometheus.CounterVec   // action, outcome

	// Database, cache, queue, workers.
	ModelCache         *prometheus.CounterVec // type (hit, miss, error)
	QueuePuts          *prometheus.CounterVec // queue_name
	QueueGets          *prometheus.CounterVec // queue_name, availability
	QueueDeletes       prometheus.Counter
	QueueLocked        *prometheus.GaugeVec     // queue_name
	QueueAvailable     *prometheus.GaugeVec     // queue_name
	QueueUnlocked      *prometheus.GaugeVec     // queue_name
	WorkerDuration     *prometheus.HistogramVec // worker, operation; use Work
	WorkerInProgress   *prometheus.GaugeVec     // worker, operation; use Work
	UserRows           prometheus.Gauge
	OrgRows            prometheus.Gauge
	RobotRows          prometheus.Gauge
	RepositoryRows     prometheus.Gauge
	OrgMirrors         prometheus.Gauge
	OrgMirrorsEnabled  prometheus.Gauge
	RowsUnmirrored     prometheus.Gauge
	GCIterations       prometheus.Counter
	GCRowsDeleted      *prometheus.CounterVec // table
	GCBlobsDeleted     prometheus.Counter
	GCReposPurged      prometheus.Counter
	GCNamespacesPurged prometheus.Counter
	KeyRenewals        *prometheus.CounterVec // success

	// Gantry's own.
	StorageDuration  *prometheus.HistogramVec // location, operation
	StorageErrors    *prometheus.CounterVec   // location, operation
	StorageUp        *prometheus.GaugeVec     // location; 0 while the breaker is open
	StorageBreaker   *prometheus.GaugeVec     // location, direction (reads, writes); 0 closed, 1 half-open, 2 open
	StorageLatency   *prometheus.GaugeVec     // location
	CopyLagBlobs     *prometheus.GaugeVec     // location
	CopyLagBytes     *prometheus.GaugeVec     // location
	CopyLagSeconds   *prometheus.GaugeVec     // location
	Copies           *prometheus.CounterVec   // location, outcome (done, failed, dropped)
	CopiedBytes      *prometheus.CounterVec   // location
	SQLDuration      *prometheus.HistogramVec // kind (read, write, transaction)
	UploadsActive    prometheus.Gauge
	RequestsInFlight prometheus.Gauge
	AccessLogGroup   prometheus.Histogram
	GCReviewsPending prometheus.Gauge
	TrashPending     prometheus.Gauge
	DiskFree         *prometheus.GaugeVec   // location
	RateLimited      *prometheus.CounterVec // class
	Panics           prometheus.Counter
	SpansLost        prometheus.Counter
	BusDropped       prometheus.Counter
	RedisUp          prometheus.Gauge       // use Redis
	RedisErrors      *prometheus.CounterVec // operation (connect, publish, limit); use RedisFailed
	Ready            prometheus.Gauge
	StaleAnswers     prometheus.Counter
	RemovalWaits     *prometheus.CounterVec // outcome (acknowledged, late)
	UpstreamRequests *prometheus.CounterVec // outcome (ok, or what failed); use Upstream
	UpstreamReceived prometheus.Counter     // use UpstreamBytes
	ProxyCache       *prometheus.CounterVec // what (manifest, blob), result (hit, fetched, shared, stale, failed); use Proxied
	ProxyEvicted     prometheus.Counter

	// Counters that every pull adds to, found by their labels once.
	cacheHit, cacheMiss   prometheus.Counter
	bearerGood, bearerBad prometheus.Counter

	mirrors  mirrors
	dbStats  atomic.Pointer[func() DBStats]
	requests atomic.Pointer[map[requestKey]prometheus.Observer]
	mu       sync.Mutex // of a change of requests
}

// A MetricDoc describes one metric of Metrics.
type MetricDoc struct {
	Name    string // as exposed; histograms add _bucket, _sum and _count
	Type    string // counter, gauge or histogram
	Labels  []string
	Help    string
	Buckets []float64 // of a histogram
}

// NewMetrics makes the metrics of this process in a registry of their own.
func NewMetrics(o MetricsOptions) *Metrics {
	if o.Host == "" {
		o.Host, _ = os.Hostname() // an unknown name leaves the label empty
	}
	if o.ProcessName == "" {
		o.ProcessName = "registry:application"
	}
	if o.PID == 0 {
		o.PID = os.Getpid()
	}
	labels := prometheus.Labels{"host": o.Host, "process_name": o.ProcessName, "pid": strconv.Itoa(o.PID)}
	if o.Job != "" {
		labels["job"] = o.Job
	}
	reg := prometheus.NewRegistry()
	m := &Metrics{reg: reg}
	b := &builder{reg: prometheus.WrapRegistererWith(labels, reg)}
	b.reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.traffic(b)
	m.machinery(b)
	m.inventory(b)
	m.mirroring(b)
	m.own(b)
	m.docs = b.docs
	m.requests.Store(&map[requestKey]prometheus.Observer{})
	m.cacheHit, m.cacheMiss = m.ModelCache.WithLabelValues("hit"), m.ModelCache.WithLabelValues("miss")
	m.bearerGood, m.bearerBad = m.BearerDecoded.WithLabelValues(pythonBool(true)), m.BearerDecoded.WithLabelValues(pythonBool(false))
	return m
}

func (m *Metrics) traffic(b *builder) {
	m.ImagePulls = b.counters("quay_registry_image_pulls_total", "manifest downloads, failed ones included", "protocol", "ref", "status")
	m.ImagePushes = b.counters("quay_registry_image_pushes_total", "manifest uploads, failed ones included", "protocol", "status", "media_type")
	m.PulledBytes = b.counters("quay_registry_image_pulled_estimated_bytes_total", "blob bytes handed out; a redirect counts the blob's size", "protocol")
	m.PushedBytes = b.counter("quay_registry_image_pushed_bytes_total", "blob bytes received")
	m.ChunkUpload = b.histograms("quay_chunk_upload_duration_seconds", "storing one chunk of a blob upload", quayBuckets, "region")
	m.MultipartStarted = b.counter("quay_multipart_uploads_started_total", "multipart uploads begun at object storage")
	m.MultipartCompleted = b.counter("quay_multipart_uploads_completed_total", "multipart uploads completed at object storage")
	m.RequestDuration = b.histograms("quay_request_duration_seconds", "HTTP requests from the header to the end of the answer", quayBuckets, "method", "route", "status")
	m.AuthAttempts = b.counters("quay_authentication_attempts_total", "credentials checked; success is True or False", "auth_kind", "success")
	m.BearerDecoded = b.counters("bearer_token_decoded_total", "registry tokens checked; success is True or False", "success")
	m.UIPageViews = b.counters("quay_ui_page_views_total", "pages of the web interface handed out", "ui")
	m.SpamDecisions = b.counters("quay_spam_ingress_decisions_total", "spam checks of incoming text", "action", "outcome")
}

func (m *Metrics) machinery(b *builder) {
	b.gaugeFunc("quay_db_pooled_connections_in_use", "database connections that a query holds", func() float64 { return float64(m.db().InUse) })
	b.gaugeFunc("quay_db_pooled_connections_available", "database connections that are open and idle", func() float64 { return float64(m.db().Idle) })
	b.counterFunc("quay_db_connect_calls_total", "database connections opened", func() float64 { return float64(m.db().Opened) })
	b.counterFunc("quay_db_close_calls_total", "database connections closed", func() float64 { return float64(m.db().Closed) })
	m.ModelCache = b.counters("quay_model_cache_total", "look-ups in the model cache", "type")
	m.QueuePuts = b.counters("quay_queue_item_puts_total", "jobs queued", "queue_name")
	m.QueueGets = b.counters("quay_queue_item_gets_total", "times a worker asked for a job; availability is acquired, or Quay's nonexistant", "queue_name", "availability")
	m.QueueDeletes = b.counter("quay_queue_item_deletes_total", "jobs deleted some time after their end")
	m.QueueLocked = b.gauges("quay_queue_items_locked", "jobs that a worker holds", "queue_name")
	m.QueueAvailable = b.gauges("quay_queue_items_available", "jobs that are due, held ones included", "queue_name")
	m.QueueUnlocked = b.gauges("quay_queue_items_available_unlocked", "jobs that are due and that no worker holds", "queue_name")
	m.WorkerDuration = b.histograms("quay_worker_operation_duration_seconds", "one operation of a background worker", []float64{60, 300, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400}, "worker", "operation")
	m.WorkerInProgress = b.gauges("quay_worker_operation_in_progress", "operations that background workers run now", "worker", "operation")
	m.KeyRenewals = b.counters("quay_instance_key_renewal_self_total", "renewals of this instance's own service key", "success")
}

func (m *Metrics) inventory(b *builder) {
	m.UserRows = b.gauge("quay_user_rows", "active users")
	m.OrgRows = b.gauge("quay_org_rows", "organizations")
	m.RobotRows = b.gauge("quay_robot_rows", "robot accounts")
	m.RepositoryRows = b.gauge("quay_repository_rows", "repositories")
	m.OrgMirrors = b.gauge("quay_org_mirrors_total", "organization mirrors")
	m.OrgMirrorsEnabled = b.gauge("quay_org_mirrors_enabled", "organization mirrors that are switched on")
	m.RowsUnmirrored = b.gauge("quay_repository_rows_unmirrored", "mirrored repositories that wait for their turn")
	m.GCIterations = b.counter("quay_gc_iterations_total", "rounds of garbage collection")
	m.GCRowsDeleted = b.counters("quay_gc_table_rows_deleted_total", "rows that garbage collection deleted; table is Quay's name of it", "table")
	m.GCBlobsDeleted = b.counter("quay_gc_storage_blobs_deleted_total", "blobs that garbage collection deleted from storage")
	m.GCReposPurged = b.counter("quay_gc_repos_purged_total", "repositories that garbage collection purged")
	m.GCNamespacesPurged = b.counter("quay_gc_namespaces_purged_total", "namespaces that garbage collection purged")
}

func (m *Metrics) own(b *builder) {
	fast := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	m.StorageDuration = b.histograms("gantry_storage_operation_duration_seconds", "one call of a storage engine", append(append([]float64{}, fast...), 30, 60), "location", "operation")
	m.StorageErrors = b.counters("gantry_storage_errors_total", "calls of a storage engine that failed", "location", "operation")
	m.StorageUp = b.gauges("gantry_storage_up", "1 while a storage location is used, 0 while its breaker is open", "location")
	m.StorageBreaker = b.gauges("gantry_storage_breaker_state", "of a storage location, for reads and for writes: 0 closed, 1 half-open, 2 open", "location", "direction")
	m.StorageLatency = b.gauges("gantry_storage_latency_seconds", "how long a storage location takes to answer, smoothed", "location")
	m.CopyLagBlobs = b.gauges("gantry_replication_lag_blobs", "blobs that are to be copied to a storage location", "location")
	m.CopyLagBytes = b.gauges("gantry_replication_lag_bytes", "bytes that are to be copied to a storage location", "location")
	m.CopyLagSeconds = b.gauges("gantry_replication_lag_oldest_seconds", "how long the oldest blob has waited to be copied to a storage location", "location")
	m.Copies = b.counters("gantry_replication_copies_total", "copies of blobs to a storage location; outcome is done, failed (it is tried again) or dropped (not needed any more)", "location", "outcome")
	m.CopiedBytes = b.counters("gantry_replication_copied_bytes_total", "bytes of the copies that were done", "location")
	m.SQLDuration = b.histograms("gantry_sql_duration_seconds", "one use of the database; kind is read, write or transaction", fast, "kind")
	b.counterFunc("gantry_sql_retries_total", "transactions run again after a deadlock, a serialization failure or a busy database", func() float64 { return float64(m.db().Retries) })
	m.UploadsActive = b.gauge("gantry_upload_active", "blob uploads that receive bytes now")
	m.RequestsInFlight = b.gauge("gantry_requests_in_flight", "HTTP requests that are being answered now")
	m.AccessLogGroup = b.histogram("gantry_access_log_group_size", "pulls written in one group to the access log", []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500})
	m.GCReviewsPending = b.gauge("gantry_gc_reviews_pending", "reviews that garbage collection has not reached yet")
	m.TrashPending = b.gauge("gantry_trash_pending", "objects that wait in the trash to be deleted from storage")
	m.DiskFree = b.gauges("gantry_disk_free_bytes", "free bytes on the disk of a local storage location", "location")
	m.RateLimited = b.counters("gantry_rate_limited_total", "requests refused by a rate limit", "class")
	m.Panics = b.counter("gantry_panics_total", "requests that ended in a panic, each one a bug")
	m.SpansLost = b.counter("gantry_trace_spans_lost_total", "spans that the collector did not take")
	m.BusDropped = b.counter("gantry_bus_dropped_total", "messages that a slow subscriber lost")
	m.RedisUp = b.gauge("gantry_redis_up", "1 while messages of other instances come in from Redis; 0 also where none is configured")
	m.RedisErrors = b.counters("gantry_redis_errors_total", "connections to Redis that ended, messages that it did not take, and counts of requests that it did not keep", "operation")
	b.gaugeFunc("gantry_database_up", "1 while the database answers, 0 while its breaker is open", func() float64 { return m.db().Up })
	b.gaugeFunc("gantry_clock_behind_seconds", "how far this machine's clock is behind the database's, which the registry goes by", func() float64 { return m.db().ClockBehind })
	b.gaugeFunc("gantry_pull_spool_rows", "pulls that wait in the local file to be logged in the database", func() float64 { return float64(m.db().Spooled) })
	b.counterFunc("gantry_database_replica_reads_total", "reads that a read replica answered while the database was away", func() float64 { return float64(m.db().ReplicaReads) })
	b.counterFunc("gantry_database_waits_total", "uses of the database that waited for a free connection", func() float64 { return float64(m.db().Waits) })
	b.counterFunc("gantry_database_busy_total", "uses of the database that were refused because no connection came free in time", func() float64 { return float64(m.db().Busy) })
	m.StaleAnswers = b.counter("gantry_stale_answers_total", "answers from memory that the database could not be asked about")
	b.counterFunc("gantry_pull_spool_refused_total", "groups of pulls that neither the database nor the local file took", func() float64 { return float64(m.db().SpoolRefused) })
	m.RemovalWaits = b.counters("gantry_removal_waits_total", "changes that took something away and waited for the other instances; outcome is acknowledged, or late after a second", "outcome")
	m.UpstreamRequests = b.counters("gantry_upstream_requests_total", "requests to other registries, by mirrors and proxy caches; outcome is ok, or what failed: dns, connect, tls, blocked, credentials, denied, not found, no registry, limited, unavailable, invalid", "outcome")
	m.UpstreamReceived = b.counter("gantry_upstream_received_bytes_total", "bytes of blobs that came from other registries")
	m.ProxyCache = b.counters("gantry_proxy_cache_total", "manifests and blobs that were asked for through a proxy cache; result is hit (it was here), fetched, shared (it was on its way for somebody else), stale (upstream is away) or failed", "what", "result")
	m.ProxyEvicted = b.counter("gantry_proxy_cache_evicted_total", "tags and manifests that were taken out of a proxy cache to make room")
	m.Ready = b.gauge("gantry_ready", "1 while the instance takes traffic, 0 while it starts or drains")
}

// Registry returns the registry, for a package that adds a metric of its own.
// It is nil for nil Metrics.
func (m *Metrics) Registry() *prometheus.Registry {
	if m == nil {
		return nil
	}
	return m.reg
}

// Docs lists the metrics in the order of their declaration; docs/reference is
// made of it.
func (m *Metrics) Docs() []MetricDoc {
	if m == nil {
		return nil
	}
	return m.docs
}

// Handler answers a scrape, in OpenMetrics with exemplars where the scraper
// takes that. At most four scrapes run at once and one takes at most 10 s;
// others get 503. For nil Metrics it answers 404.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
		ErrorHandling:       promhttp.ContinueOnError,
	})
}

// DBStats is what the metrics of the database are made of.
type DBStats struct {
	Up          float64 // 1 or 0
	ClockBehind float64 // seconds
	Spooled     int64   // pulls that wait in the local file
	// SpoolRefused is how many groups of pulls found no room there so far.
	SpoolRefused            uint64
	InUse, Idle             int    // connections now
	Opened, Closed, Retries uint64 // so far; they never go down
	// Waits is how often a use of the database waited for a free connection,
	// and Busy how often none came free in time, so far.
	Waits, Busy uint64
	// ReplicaReads is how many reads replicas answered so far.
	ReplicaReads uint64
}

// DBPool makes the metrics of the database read f at each scrape.
func (m *Metrics) DBPool(f func() DBStats) {
	if m != nil {
		m.dbStats.Store(&f)
	}
}

func (m *Metrics) db() DBStats {
	if f := m.dbStats.Load(); f != nil {
		return (*f)()
	}
	return DBStats{}
}

// QueuePut counts a job that was queued.
func (m *Metrics) QueuePut(queue string) {
	if m != nil {
		m.QueuePuts.WithLabelValues(queue).Inc()
	}
}

// QueueGet counts jobs that a worker got from a queue that it asked; none
// counts as one look in vain.
func (m *Metrics) QueueGet(queue string, jobs int) {
	switch {
	case m == nil:
	case jobs == 0:
		m.QueueGets.WithLabelValues(queue, "nonexistant").Inc() // Quay's spelling
	default:
		m.QueueGets.WithLabelValues(queue, "acquired").Add(float64(jobs))
	}
}

// Queue sets how many jobs of a queue are held and how many wait.
func (m *Metrics) Queue(queue string, running, due int64) {
	if m != nil {
		m.QueueLocked.WithLabelValues(queue).Set(float64(running))
		m.QueueAvailable.WithLabelValues(queue).Set(float64(running + due))
		m.QueueUnlocked.WithLabelValues(queue).Set(float64(due))
	}
}

// Redis sets whether Redis is connected.
func (m *Metrics) Redis(up bool) {
	switch {
	case m == nil:
	case up:
		m.RedisUp.Set(1)
	default:
		m.RedisUp.Set(0)
	}
}

// RedisFailed counts failures of one operation with Redis.
func (m *Metrics) RedisFailed(operation string, n int) {
	if m != nil {
		m.RedisErrors.WithLabelValues(operation).Add(float64(n))
	}
}

// Grouped records how many pulls were logged in one group.
func (m *Metrics) Grouped(rows int) {
	if m != nil {
		m.AccessLogGroup.Observe(float64(rows))
	}
}

type requestKey struct {
	method, route string
	status        int
}

// maxRequestSeries bounds the series of quay_request_duration_seconds,
// whatever routes and statuses handlers make up.
const maxRequestSeries = 4096

// Request records one HTTP request. A method that HTTP does not define is
// counted as "OTHER", a status outside 100..599 as 500, a route "" as
// "unknown".
func (m *Metrics) Request(ctx context.Context, method, route string, status int, seconds float64) {
	if m == nil {
		return
	}
	o, ok := (*m.requests.Load())[requestKey{method, route, status}]
	if !ok {
		o = m.requestObserver(requestKey{method, route, status})
	}
	Observe(ctx, o, seconds)
}

// requestObserver finds the series of k and remembers it.
func (m *Metrics) requestObserver(k requestKey) prometheus.Observer {
	k.method = knownMethod(k.method)
	if k.status < 100 || k.status > 599 {
		k.status = 500
	}
	if k.route == "" {
		k.route = "unknown"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.requests.Load()
	if o, ok := old[k]; ok {
		return o
	}
	if len(old) >= maxRequestSeries {
		return m.RequestDuration.WithLabelValues("OTHER", "other", "500")
	}
	o := m.RequestDuration.WithLabelValues(k.method, k.route, strconv.Itoa(k.status))
	next := make(map[requestKey]prometheus.Observer, len(old)+1)
	maps.Copy(next, old)
	next[k] = o
	m.requests.Store(&next)
	return o
}

// Observe records seconds in o, with the trace's id as exemplar when ctx holds
// a sampled span. A nil o is ignored.
func Observe(ctx context.Context, o prometheus.Observer, seconds float64) {
	if o == nil {
		return
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		if eo, ok := o.(prometheus.ExemplarObserver); ok {
			eo.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": sc.TraceID().String()})
			return
		}
	}
	o.Observe(seconds)
}

// Pull counts a manifest download; ref is "tag" or "manifest".
func (m *Metrics) Pull(protocol, ref string, status int) {
	if m != nil {
		m.ImagePulls.WithLabelValues(protocol, ref, strconv.Itoa(status)).Inc()
	}
}

// Push counts a manifest upload. A media type that is none of the known ones
// is counted as "other".
func (m *Metrics) Push(protocol string, status int, mediaType string) {
	if m != nil {
		m.ImagePushes.WithLabelValues(protocol, strconv.Itoa(status), knownMediaType(mediaType)).Inc()
	}
}

func knownMediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	switch s {
	case "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws",
		"application/json", "":
		return s
	}
	return "other"
}

// Pulled adds blob bytes handed out.
func (m *Metrics) Pulled(protocol string, n int64) {
	if m != nil && n > 0 {
		m.PulledBytes.WithLabelValues(protocol).Add(float64(n))
	}
}

// Pushed adds blob bytes received.
func (m *Metrics) Pushed(n int64) {
	if m != nil && n > 0 {
		m.PushedBytes.Add(float64(n))
	}
}

// Chunk records how long storing one chunk in a location took.
func (m *Metrics) Chunk(ctx context.Context, location string, d time.Duration) {
	if m != nil {
		Observe(ctx, m.ChunkUpload.WithLabelValues(location), d.Seconds())
	}
}

// Auth counts checked credentials; kind is one of basic, oauth, cookie,
// signed_grant, credentials, ssojwt, federated.
func (m *Metrics) Auth(kind string, ok bool) {
	if m != nil {
		m.AuthAttempts.WithLabelValues(kind, pythonBool(ok)).Inc()
	}
}

// Bearer counts a checked registry token.
func (m *Metrics) Bearer(ok bool) {
	switch {
	case m == nil:
	case ok:
		m.bearerGood.Inc()
	default:
		m.bearerBad.Inc()
	}
}

// KeyRenewal counts a renewal of this instance's own key.
func (m *Metrics) KeyRenewal(ok bool) {
	if m != nil {
		m.KeyRenewals.WithLabelValues(pythonBool(ok)).Inc()
	}
}

// pythonBool writes a truth as Quay's label values do.
func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// Cache counts a look-up in the model cache; result is hit, miss or error.
func (m *Metrics) Cache(result string) {
	switch {
	case m == nil:
	case result == "hit":
		m.cacheHit.Inc()
	case result == "miss":
		m.cacheMiss.Inc()
	default:
		m.ModelCache.WithLabelValues(result).Inc()
	}
}

// Stale counts an answer from memory that the database could not be asked about.
func (m *Metrics) Stale() {
	if m != nil {
		m.StaleAnswers.Inc()
	}
}

// RemovalWait counts a change that waited for the other instances.
func (m *Metrics) RemovalWait(acknowledged bool) {
	switch {
	case m == nil:
	case acknowledged:
		m.RemovalWaits.WithLabelValues("acknowledged").Inc()
	default:
		m.RemovalWaits.WithLabelValues("late").Inc()
	}
}

// Storage records one call of a storage engine. err counts as a failure.
func (m *Metrics) Storage(ctx context.Context, location, operation string, d time.Duration, err error) {
	if m == nil {
		return
	}
	Observe(ctx, m.StorageDuration.WithLabelValues(location, operation), d.Seconds())
	if err != nil {
		m.StorageErrors.WithLabelValues(location, operation).Inc()
	}
}

// SQL records one use of the database; kind is read, write or transaction.
func (m *Metrics) SQL(ctx context.Context, kind string, d time.Duration) {
	if m != nil {
		Observe(ctx, m.SQLDuration.WithLabelValues(kind), d.Seconds())
	}
}

// Work counts a worker's operation as running and returns the function that
// records its end.
func (m *Metrics) Work(ctx context.Context, worker, operation string) (done func()) {
	if m == nil {
		return func() {}
	}
	g := m.WorkerInProgress.WithLabelValues(worker, operation)
	g.Inc()
	start := time.Now()
	return func() {
		g.Dec()
		Observe(ctx, m.WorkerDuration.WithLabelValues(worker, operation), time.Since(start).Seconds())
	}
}

// Upload counts a blob upload as receiving bytes and returns the function that
// ends it.
func (m *Metrics) Upload() (done func()) {
	if m == nil {
		return func() {}
	}
	m.UploadsActive.Inc()
	return m.UploadsActive.Dec
}

// Limited counts a request that a rate limit refused.
func (m *Metrics) Limited(class string) {
	if m != nil {
		m.RateLimited.WithLabelValues(class).Inc()
	}
}

// Upstream counts a request to another registry; outcome is "ok" or a kind of
// failure.
func (m *Metrics) Upstream(outcome string) {
	if m != nil {
		m.UpstreamRequests.WithLabelValues(outcome).Inc()
	}
}

// UpstreamBytes counts bytes that came from another registry.
func (m *Metrics) UpstreamBytes(n int) {
	if m != nil {
		m.UpstreamReceived.Add(float64(n))
	}
}

// Proxied counts what was asked for through a proxy cache: what is manifest or
// blob, result hit, fetched, shared, stale or failed.
func (m *Metrics) Proxied(what, result string) {
	if m != nil {
		m.ProxyCache.WithLabelValues(what, result).Inc()
	}
}

// Evicted counts what a proxy cache gave up to make room.
func (m *Metrics) Evicted() {
	if m != nil {
		m.ProxyEvicted.Inc()
	}
}

// SetReady says whether the instance takes traffic.
func (m *Metrics) SetReady(ready bool) {
	if m == nil {
		return
	}
	v := 0.0
	if ready {
		v = 1
	}
	m.Ready.Set(v)
}

// InFlight adds d to the requests that are being answered.
func (m *Metrics) InFlight(d int) {
	if m != nil {
		m.RequestsInFlight.Add(float64(d))
	}
}

// Panicked counts a request that ended in a panic.
func (m *Metrics) Panicked() {
	if m != nil {
		m.Panics.Inc()
	}
}

// Lost counts spans that were not delivered.
func (m *Metrics) Lost(n int) {
	if m != nil {
		m.SpansLost.Add(float64(n))
	}
}

// builder registers metrics and keeps their descriptions. Registering fails
// only for two equal names, which is a bug, so it panics.
type builder struct {
	reg  prometheus.Registerer
	docs []MetricDoc
}

func (b *builder) add(c prometheus.Collector, d MetricDoc) {
	b.reg.MustRegister(c)
	b.docs = append(b.docs, d)
}

func (b *builder) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	b.add(c, MetricDoc{Name: name, Type: "counter", Help: help})
	return c
}

func (b *builder) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	b.add(c, MetricDoc{Name: name, Type: "counter", Help: help, Labels: labels})
	return c
}

func (b *builder) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	b.add(g, MetricDoc{Name: name, Type: "gauge", Help: help})
	return g
}

func (b *builder) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	b.add(g, MetricDoc{Name: name, Type: "gauge", Help: help, Labels: labels})
	return g
}

func (b *builder) gaugeFunc(name, help string, f func() float64) {
	b.add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f), MetricDoc{Name: name, Type: "gauge", Help: help})
}

func (b *builder) counterFunc(name, help string, f func() float64) {
	b.add(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f), MetricDoc{Name: name, Type: "counter", Help: help})
}

func (b *builder) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	b.add(h, MetricDoc{Name: name, Type: "histogram", Help: help, Buckets: buckets})
	return h
}

func (b *builder) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	b.add(h, MetricDoc{Name: name, Type: "histogram", Help: help, Labels: labels, Buckets: buckets})
	return h
}
