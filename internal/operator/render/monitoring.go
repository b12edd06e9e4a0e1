package render

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// ConsoleNamespace is where OpenShift's console looks for dashboards.
const ConsoleNamespace = "openshift-config-managed"

// ConsoleDashboard is the name of a registry's dashboard there.
func ConsoleDashboard(namespace, name string) string {
	return namespace + "-" + name + "-grafana-dashboard-quay"
}

// prometheus is the namespace of OpenShift's monitoring.
const prometheus = "openshift-monitoring"

// monitoring makes what Prometheus scrapes and alerts on, and dashboards.
func (b *builder) monitoring() error {
	if !b.All.Managed(v1.ComponentMonitoring) {
		return nil
	}
	kind := v1.ComponentMonitoring
	name := b.name + "-quay-metrics"
	service := &corev1.Service{TypeMeta: types("Service", "v1"), ObjectMeta: b.meta(name, partMonitoring, kind), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, Selector: b.selector(partApp), Ports: []corev1.ServicePort{servicePort("quay-metrics", "http", portMetrics, portMetrics)}}}
	service.Annotations = over(service.Annotations, map[string]string{"prometheus.io/scrape": "true", "prometheus.io/scheme": "http", "prometheus.io/port": fmt.Sprint(portMetrics)})
	b.base(service, loose("monitoring.coreos.com/v1", "ServiceMonitor", b.meta(name+"-monitor", partMonitoring, kind), map[string]any{"spec": map[string]any{
		"endpoints":         []any{map[string]any{"port": "quay-metrics"}},
		"namespaceSelector": map[string]any{"matchNames": []any{b.namespace}},
		"selector":          map[string]any{"matchLabels": words(b.selector(partMonitoring))}}}))
	rules := b.meta(b.name+"-quay-prometheus-rules", partMonitoring, kind)
	rules.Labels = over(rules.Labels, map[string]string{"prometheus": "k8s", "role": "alert-rules"})
	b.base(loose("monitoring.coreos.com/v1", "PrometheusRule", rules, map[string]any{"spec": map[string]any{"groups": []any{
		map[string]any{"name": "quay-alerts.rules", "rules": b.alerts()}}}}))
	if b.Cluster.Routes {
		b.scraper(name, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services", "endpoints", "pods"}, Verbs: []string{"get", "list", "watch"}}, name, "prometheus-k8s")
		b.scraper(b.name+"-quay-alerts-role", rbacv1.PolicyRule{APIGroups: []string{"monitoring.coreos.com"}, Resources: []string{"prometheusrules", "servicemonitors"}, Verbs: []string{"get", "list", "watch"}},
			b.name+"-quay-alerts-rolebinding", "prometheus-operator")
	}
	text, err := b.dashboard()
	if err != nil {
		return err
	}
	grafana := &corev1.ConfigMap{TypeMeta: types("ConfigMap", "v1"), ObjectMeta: b.meta(b.name+"-grafana-dashboard-quay", partMonitoring, kind), Data: map[string]string{"quay.json": text}}
	grafana.Labels["grafana_dashboard"] = "1"
	b.base(grafana)
	if b.Console {
		there := &corev1.ConfigMap{TypeMeta: types("ConfigMap", "v1"), ObjectMeta: b.meta(ConsoleDashboard(b.namespace, b.name), partMonitoring, kind), Data: grafana.Data}
		there.Namespace, there.OwnerReferences = ConsoleNamespace, nil // an owner is in the same namespace
		there.Labels["console.openshift.io/dashboard"] = "true"
		b.base(there)
	}
	return nil
}

// scraper lets an account of OpenShift's monitoring read what it needs.
func (b *builder) scraper(role string, rule rbacv1.PolicyRule, binding, account string) {
	kind := v1.ComponentMonitoring
	b.base(&rbacv1.Role{TypeMeta: types("Role", "rbac.authorization.k8s.io/v1"), ObjectMeta: b.meta(role, partMonitoring, kind), Rules: []rbacv1.PolicyRule{rule}},
		&rbacv1.RoleBinding{TypeMeta: types("RoleBinding", "rbac.authorization.k8s.io/v1"), ObjectMeta: b.meta(binding, partMonitoring, kind),
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: prometheus}}})
}

// alerts are about this registry alone, by its namespace and its Service.
func (b *builder) alerts() (rules []any) {
	own := fmt.Sprintf(`namespace=%q,service="%s-quay-metrics"`, b.namespace, b.name)
	for _, a := range []struct{ name, expr, wait, severity, summary, description string }{
		{"QuayPodFrequentlyRestarting", fmt.Sprintf(`increase(kube_pod_container_status_restarts_total{namespace=%q,pod=~"%s-quay-app-.*"}[1h]) > 5`, b.namespace, b.name), "10m", "warning",
			"Quay Pod is restarting frequently", "Pod {{ $labels.pod }} in namespace {{ $labels.namespace }} was restarted {{ $value }} times within the last hour"},
		{"QuayServerErrors", fmt.Sprintf(`sum(rate(quay_request_duration_seconds_count{%s,status=~"5.."}[5m])) / sum(rate(quay_request_duration_seconds_count{%s}[5m])) > 0.05`, own, own), "10m", "critical",
			"More than one request in twenty fails", "{{ $value | humanizePercentage }} of the requests were answered with an error of the server: look at the logs of the registry's pods, and at /health/warning"},
		{"QuayDatabaseDown", fmt.Sprintf(`min(gantry_database_up{%s}) == 0`, own), "5m", "critical", "The database does not answer", "Pulls go on from memory for a while; pushes are refused"},
		{"QuayStorageDown", fmt.Sprintf(`min by (location) (gantry_storage_up{%s}) == 0`, own), "10m", "critical", "A storage location does not answer", "Location {{ $labels.location }} fails: reads and writes go to the others, if there are any"},
		{"QuayReplicationBehind", fmt.Sprintf(`max by (location) (gantry_replication_lag_oldest_seconds{%s}) > 3600`, own), "15m", "warning", "Replication is behind", "The oldest blob waits {{ $value | humanizeDuration }} for location {{ $labels.location }}"},
		{"QuayQueueGrows", fmt.Sprintf(`max by (queue_name) (quay_queue_items_available{%s}) > 1000`, own), "30m", "warning", "Work queues up", "Queue {{ $labels.queue_name }} has {{ $value }} items that wait"},
		{"QuayMirrorFails", fmt.Sprintf(`sum(increase(quay_repository_mirror_sync_failures_total{%s}[1h])) > 3`, own), "10m", "warning", "Mirrored repositories fail to sync", "{{ $value }} runs failed within the last hour: see the mirroring page of the repositories"},
		{"QuayDiskFills", fmt.Sprintf(`min(gantry_disk_free_bytes{%s}) < 1e9`, own), "10m", "warning", "The registry's disk is nearly full", "{{ $value | humanize1024 }}B are free"},
		{"QuayVolumeFills", fmt.Sprintf(`kubelet_volume_stats_available_bytes{namespace=%q,persistentvolumeclaim=~"%s-(quay-database|clair-postgres|quay-datastore)"} / kubelet_volume_stats_capacity_bytes < 0.1`, b.namespace, b.name), "10m", "warning",
			"A volume is nearly full", "{{ $labels.persistentvolumeclaim }} has {{ $value | humanizePercentage }} free: raise volumeSize in the QuayRegistry's overrides"},
	} {
		rules = append(rules, map[string]any{"alert": a.name, "expr": a.expr, "for": a.wait, "labels": map[string]any{"severity": a.severity},
			"annotations": map[string]any{"summary": a.summary, "description": a.description}})
	}
	return rules
}

// dashboard is the dashboard of a registry, for OpenShift's console and Grafana.
func (b *builder) dashboard() (string, error) {
	own := `namespace="$namespace",service="$service"`
	type panel struct{ title, format, expr, legend string }
	rows := []panel{
		{"Number of organizations", "none", `max(quay_org_rows{` + own + `})`, ""},
		{"Number of repositories", "none", `max(quay_repository_rows{` + own + `})`, ""},
		{"Number of users", "none", `max(quay_user_rows{` + own + `})`, ""},
		{"Number of robots", "none", `max(quay_robot_rows{` + own + `})`, ""},
		{"CPU", "none", `sum(rate(process_cpu_seconds_total{` + own + `}[5m])) by (pod)`, "{{pod}}"},
		{"Max memory", "bytes", `max(process_resident_memory_bytes{` + own + `}) by (pod)`, "{{pod}}"},
		{"Image pulls", "ops", `sum(rate(quay_registry_image_pulls_total{` + own + `}[5m]))`, "pulls"},
		{"Image pushes", "ops", `sum(rate(quay_registry_image_pushes_total{` + own + `}[5m]))`, "pushes"},
		{"Authentication attempts", "ops", `sum(rate(quay_authentication_attempts_total{` + own + `}[5m])) by (success)`, "{{success}}"},
		{"API requests", "reqps", `sum(rate(quay_request_duration_seconds_count{` + own + `}[5m])) by (route)`, "{{route}}"},
		{"Latency, 95th percentile", "s", `histogram_quantile(0.95, sum(rate(quay_request_duration_seconds_bucket{` + own + `}[5m])) by (route, le))`, "{{route}}"},
		{"Replication lag", "none", `max(gantry_replication_lag_blobs{` + own + `}) by (location)`, "{{location}}"},
	}
	panels := make([]any, 0, len(rows))
	for i, p := range rows {
		kind, width, x, y := "stat", 6, 6*i, 0
		if i >= 4 {
			kind, width, x, y = "timeseries", 12, 12*(i%2), 8*(i/2-1)
		}
		panels = append(panels, map[string]any{"id": i + 1, "title": p.title, "type": kind, "datasource": "$datasource",
			"gridPos":     map[string]any{"h": 8, "w": width, "x": x, "y": y},
			"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.format}},
			"targets":     []any{map[string]any{"expr": p.expr, "legendFormat": p.legend, "refId": "A"}}})
	}
	constant := func(name, value string) map[string]any {
		return map[string]any{"name": name, "type": "constant", "query": value, "hide": 2, "current": map[string]any{"text": value, "value": value}}
	}
	doc := map[string]any{"title": fmt.Sprintf("Quay - %s - %s", b.namespace, b.name), "uid": "quay-" + b.name, "schemaVersion": 39, "editable": true, "refresh": "1m",
		"time": map[string]any{"from": "now-3h", "to": "now"}, "panels": panels,
		"templating": map[string]any{"list": []any{map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus"},
			constant("namespace", b.namespace), constant("service", b.name+"-quay-metrics")}}}
	text, err := json.MarshalIndent(doc, "", "  ")
	return string(text), err
}
