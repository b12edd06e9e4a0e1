package telemetry

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// mostMirrors bounds the repositories, and the namespaces, that the metrics of
// mirrors name: those that this process ran last.
const mostMirrors = 500

// mirrors are the metrics of mirrors. All but the counts are of what this
// process ran.
type mirrors struct {
	pending, complete, last *prometheus.GaugeVec     // namespace, repository
	status                  *prometheus.GaugeVec     // namespace, repository, last_error_reason
	failures                *prometheus.CounterVec   // namespace, reason
	duration                *prometheus.HistogramVec // namespace
	active                  prometheus.Gauge
	bytes                   prometheus.Counter
	requests                *prometheus.CounterVec // outcome

	orgWaiting, orgDue, orgFound prometheus.Gauge
	discoveries                  *prometheus.CounterVec // status
	made                         prometheus.Counter
	orgRuns                      *prometheus.CounterVec // status
	discovery, orgRun            prometheus.Histogram

	mu         sync.Mutex
	named      [][2]string // the repositories with series, the latest last
	namespaces []string
}

func (m *Metrics) mirroring(b *builder) {
	x := &m.mirrors
	repo := []string{"namespace", "repository"}
	times := []float64{60, 300, 900, 3600}
	x.pending = b.gauges("quay_repository_mirror_pending_tags", "tags that the run of a mirror has not looked at yet", repo...)
	x.complete = b.gauges("quay_repository_mirror_sync_complete", "1 where the last run of a mirror left nothing to do, else 0", repo...)
	x.last = b.gauges("quay_repository_mirror_last_sync_timestamp", "end of the last run of a mirror, in Unix seconds", repo...)
	x.status = b.gauges("quay_repository_mirror_last_sync_status", "of a mirror: 0 the last run failed, 1 it succeeded, 2 one goes on", append(repo, "last_error_reason")...)
	x.failures = b.counters("quay_repository_mirror_sync_failures_total", "runs of mirrors that failed", "namespace", "reason")
	x.duration = b.histograms("quay_repository_mirror_sync_duration_seconds", "one run of a mirror", times, "namespace")
	x.active = b.gauge("quay_repository_mirror_workers_active", "mirrors that this process runs now")
	x.orgWaiting = b.gauge("quay_org_mirror_repositories_unmirrored", "repositories of organization mirrors that wait for their turn")
	x.orgDue = b.gauge("quay_org_mirror_configs_pending_discovery", "organization mirrors that wait for their discovery")
	x.orgFound = b.gauge("quay_org_mirror_repos_discovered", "repositories that organization mirrors have found upstream")
	x.discoveries = b.counters("quay_org_mirror_discovery_total", "discoveries of organization mirrors; status is success or failed", "status")
	x.made = b.counter("quay_org_mirror_repos_created_total", "repositories that organization mirrors made")
	x.orgRuns = b.counters("quay_org_mirror_repo_sync_total", "runs of repositories of organization mirrors; status is success or failed", "status")
	x.discovery = b.histogram("quay_org_mirror_discovery_duration_seconds", "one discovery of an organization mirror", []float64{1, 5, 15, 60, 300, 900, 1800})
	x.orgRun = b.histogram("quay_org_mirror_repo_sync_duration_seconds", "one run of a repository of an organization mirror", times)
	x.bytes = b.counter("gantry_mirror_bytes_total", "bytes of blobs that came from other registries for mirrors")
	x.requests = b.counters("gantry_mirror_requests_total", "requests of mirrors to other registries; outcome is ok or the kind of failure", "outcome")
}

// MirrorCounts sets how many mirrors there are and wait.
func (m *Metrics) MirrorCounts(waiting, orgs, orgsOn, orgsDue, found, orgWaiting int64) {
	if m == nil {
		return
	}
	m.RowsUnmirrored.Set(float64(waiting))
	m.OrgMirrors.Set(float64(orgs))
	m.OrgMirrorsEnabled.Set(float64(orgsOn))
	m.mirrors.orgDue.Set(float64(orgsDue))
	m.mirrors.orgFound.Set(float64(found))
	m.mirrors.orgWaiting.Set(float64(orgWaiting))
}

// name makes sure that a repository has series, and takes those of another one
// away where there are too many. Under mu.
func (x *mirrors) name(namespace, repository string) {
	k := [2]string{namespace, repository}
	x.named = append(slices.DeleteFunc(x.named, func(o [2]string) bool { return o == k }), k)
	if len(x.named) > mostMirrors {
		old := x.named[0]
		x.named = x.named[1:]
		x.drop(old[0], old[1])
	}
}

func (x *mirrors) drop(namespace, repository string) {
	of := prometheus.Labels{"namespace": namespace, "repository": repository}
	for _, v := range []*prometheus.GaugeVec{x.pending, x.complete, x.last, x.status} {
		v.DeletePartialMatch(of)
	}
}

// namespace is the label of a namespace: of those beyond the first ones it is
// "other".
func (x *mirrors) namespace(name string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case slices.Contains(x.namespaces, name):
	case len(x.namespaces) < mostMirrors:
		x.namespaces = append(x.namespaces, name)
	default:
		return "other"
	}
	return name
}

func (x *mirrors) stand(namespace, repository, reason string, value float64) {
	x.status.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "repository": repository})
	x.status.WithLabelValues(namespace, repository, reason).Set(value)
}

// MirrorBegins says that a mirror runs.
func (m *Metrics) MirrorBegins(namespace, repository string) {
	if m == nil {
		return
	}
	x := &m.mirrors
	x.mu.Lock()
	defer x.mu.Unlock()
	x.name(namespace, repository)
	x.stand(namespace, repository, "", 2)
}

// MirrorWorks counts a run while it goes on; the caller calls what it returns
// at its end.
func (m *Metrics) MirrorWorks() (end func()) {
	if m == nil {
		return func() {}
	}
	m.mirrors.active.Inc()
	return m.mirrors.active.Dec
}

// MirrorPending sets how many tags a run has not looked at yet.
func (m *Metrics) MirrorPending(namespace, repository string, tags int64) {
	if m == nil {
		return
	}
	x := &m.mirrors
	x.mu.Lock()
	defer x.mu.Unlock()
	if slices.Contains(x.named, [2]string{namespace, repository}) {
		x.pending.WithLabelValues(namespace, repository).Set(float64(tags))
	}
}

// MirrorEnds says how a run ended. reason is one word, of a failure. org: an
// organization's mirror made the repository.
func (m *Metrics) MirrorEnds(namespace, repository string, ok bool, reason string, took time.Duration, org bool) {
	if m == nil {
		return
	}
	x := &m.mirrors
	of, value, status := x.namespace(namespace), 1.0, "success"
	if !ok {
		value, status = 0, "failed"
		x.failures.WithLabelValues(of, reason).Inc()
	}
	x.duration.WithLabelValues(of).Observe(took.Seconds())
	if org {
		x.orgRuns.WithLabelValues(status).Inc()
		x.orgRun.Observe(took.Seconds())
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.name(namespace, repository)
	x.stand(namespace, repository, reason, value)
	x.complete.WithLabelValues(namespace, repository).Set(value)
	x.pending.WithLabelValues(namespace, repository).Set(0)
	x.last.WithLabelValues(namespace, repository).SetToCurrentTime()
}

// MirrorDiscovered says how a discovery ended.
func (m *Metrics) MirrorDiscovered(ok bool, made int, took time.Duration) {
	if m == nil {
		return
	}
	status := "success"
	if !ok {
		status = "failed"
	}
	m.mirrors.discoveries.WithLabelValues(status).Inc()
	m.mirrors.made.Add(float64(made))
	m.mirrors.discovery.Observe(took.Seconds())
}

// MirrorRequest counts a request to another registry.
func (m *Metrics) MirrorRequest(outcome string) {
	if m != nil {
		m.mirrors.requests.WithLabelValues(outcome).Inc()
	}
}

// MirrorBytes counts bytes of blobs that came.
func (m *Metrics) MirrorBytes(n int) {
	if m != nil {
		m.mirrors.bytes.Add(float64(n))
	}
}
