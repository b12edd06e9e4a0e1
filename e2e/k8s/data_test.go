//go:build cluster

package k8s

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// dataPods are PostgreSQL and Redis as the operator makes them, run by users
// that no image knows, as OpenShift does, with nothing but a volume and /tmp to
// write to.
const dataPods = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: db}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000660000, runAsGroup: 0}
      containers:
      - name: postgres
        image: ` + postgresImage + `
        imagePullPolicy: Never
        env:
        - {name: POSTGRESQL_USER, value: r-quay-database}
        - {name: POSTGRESQL_DATABASE, value: r-quay-database}
        - {name: POSTGRESQL_PASSWORD, value: "it's \\ secret"}
        - {name: POSTGRESQL_ADMIN_PASSWORD, value: admin}
        - {name: POSTGRESQL_SHARED_BUFFERS, value: 64MB}
        - {name: POSTGRESQL_MAX_CONNECTIONS, value: "50"}
        readinessProbe: {tcpSocket: {port: 5432}, periodSeconds: 1}
        securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: data, mountPath: /var/lib/pgsql/data}, {name: tmp, mountPath: /tmp}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: db}}, {name: tmp, emptyDir: {}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000660000, runAsGroup: 0}
      containers:
      - name: redis
        image: ` + redisImage + `
        imagePullPolicy: Never
        env: [{name: REDIS_PASSWORD, value: secret}]
        readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1}
        securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
`

// TestData kills PostgreSQL and Redis, which come back: the one with its data,
// the other without.
func TestData(t *testing.T) {
	ns := namespace(t, "data")
	apply(t, ns, dataPods)
	ready := func() {
		t.Helper()
		for _, d := range []string{"db", "redis"} {
			kubectl(t, "rollout", "status", "-n", ns, "deployment/"+d, "--timeout=2m")
		}
	}
	ready()
	sql := func(text string) string {
		t.Helper()
		// By the network, with the password: as a registry does.
		return talk(t, "exec", "-n", ns, "deployment/db", "--", "psql", "-X", "-tA",
			`host=127.0.0.1 user=r-quay-database dbname=r-quay-database password='it\'s \\ secret'`, "-c", text)
	}
	redis := func(args ...string) string {
		t.Helper()
		return talk(t, append([]string{"exec", "-n", ns, "deployment/redis", "--", "redis-cli", "--no-auth-warning"}, args...)...)
	}
	if got := sql("SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'"); got != "pg_trgm" {
		t.Errorf("extensions: %q", got)
	}
	if got := sql("SELECT current_setting('max_connections') || ' ' || current_setting('shared_buffers')"); got != "50 64MB" {
		t.Errorf("settings: %q", got)
	}
	if _, err := try(t, "exec", "-n", ns, "deployment/db", "--", "psql", "-X", "host=127.0.0.1 user=r-quay-database dbname=r-quay-database password=wrong", "-c", "SELECT 1"); err == nil {
		t.Error("a wrong password is taken")
	}
	sql("CREATE TABLE kept (n int)")
	if got := redis("ping"); !strings.Contains(got, "NOAUTH") {
		t.Errorf("Redis without its password: %q", got)
	}
	redis("-a", "secret", "set", "k", "v")
	for i, how := range [][]string{
		{"delete", "pod", "-n", ns, "-l", "app in (db,redis)", "--wait"},                                // asked to end
		{"delete", "pod", "-n", ns, "-l", "app in (db,redis)", "--wait", "--grace-period=0", "--force"}, // killed
	} {
		sql(fmt.Sprintf("INSERT INTO kept VALUES (%d)", i))
		kubectl(t, how...)
		ready()
		if got := sql("SELECT count(*) FROM kept"); got != strconv.Itoa(i+1) {
			t.Errorf("%s rows are kept, want %d", got, i+1)
		}
		if got := redis("-a", "secret", "get", "k"); got != "" {
			t.Errorf("Redis has kept %q", got)
		}
	}
}

// talk runs kubectl until it works: a pod that was just replaced may not be
// the one that is asked.
func talk(t *testing.T, args ...string) string {
	t.Helper()
	var out string
	eventually(t, args[0], func() (err error) {
		out, err = try(t, args...)
		return err
	})
	return strings.TrimSpace(out)
}
