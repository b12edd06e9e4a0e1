//go:build cluster

package k8s

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rendered is what a chart makes of its own values (e2e/charts holds it to
// Helm), with the node's images, for the namespace "registry".
func rendered(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../deploy/testdata/charts", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return nodeImages(t, string(raw))
}

// TestChart is "helm install gantry": a registry alone, with everything in its
// volume. What was pushed is there when its pod is another one, and the volume
// stays when the release goes.
func TestChart(t *testing.T) {
	const (
		port = "30080"
		at   = "10.244.0.1:" + port
	)
	ns := namespace(t, "registry")
	chart := rendered(t, "gantry-default")
	apply(t, ns, chart)
	apply(t, ns, `
apiVersion: v1
kind: Service
metadata: {name: node}
spec:
  type: NodePort
  selector: {app.kubernetes.io/name: gantry}
  ports: [{port: 80, targetPort: registry, nodePort: `+port+`}]
`)
	ready := func() {
		t.Helper()
		kubectl(t, "rollout", "status", "-n", ns, "deployment/gantry", "--timeout=2m")
	}
	ready()
	eventually(t, "the first account is made", func() error { // as soon as the node knows the port
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at+"/api/v1/user/initialize",
			strings.NewReader(`{"username": "admin", "password": "`+password+`", "email": "admin@example.com"}`))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return errors.Join(err, resp.Body.Close())
	})
	if _, err := command("skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds=admin:"+password, "oci-archive:"+filepath.Join(images, "redis.tar"), "docker://"+at+"/admin/redis:1"); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "delete", "pod", "-n", ns, "-l", "app.kubernetes.io/name=gantry", "--wait")
	ready()
	eventually(t, "the image is there", func() error {
		_, err := command("skopeo", "copy", "--quiet", "--src-tls-verify=false", "--src-creds=admin:"+password, "docker://"+at+"/admin/redis:1", "dir:"+t.TempDir())
		return err
	})
	if out := kubectl(t, "get", "pods", "-n", ns, "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(out, "0 ") != "" {
		t.Errorf("containers were started again: %s", out)
	}
	if !strings.Contains(chart, "helm.sh/resource-policy: keep") {
		t.Error("the volume goes with the release")
	}
}

// TestOperatorChart is "helm install gantry-operator": a registry of three
// lines becomes available.
func TestOperatorChart(t *testing.T) {
	crds, err := filepath.Glob("../../deploy/charts/gantry-operator/crds/*.yaml")
	if err != nil || len(crds) == 0 {
		t.Fatalf("%d definitions, %v", len(crds), err)
	}
	for _, file := range crds {
		kubectl(t, "apply", "--server-side", "-f", file)
	}
	namespace(t, "registry")
	ns := namespace(t, "charted")
	operator := rendered(t, "gantry-operator-default")
	apply(t, "registry", operator)
	t.Cleanup(func() { // what is of no namespace
		if _, err := commandIn(context.Background(), operator, harness, "kubectl", "delete", "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
			t.Log(err)
		}
	})
	kubectl(t, "rollout", "status", "-n", "registry", "deployment/gantry-operator", "--timeout=2m")
	apply(t, ns, `
apiVersion: quay.redhat.com/v1
kind: QuayRegistry
metadata: {name: r}
`)
	eventually(t, "the registry is available", func() error {
		out, err := try(t, "get", "quayregistry", "r", "-n", ns, "-o", `jsonpath={.status.conditions[?(@.type=="Available")].status} {.status.conditions[?(@.type=="Available")].message}`)
		if err == nil && !strings.HasPrefix(out, "True") {
			err = errors.New(out)
		}
		return err
	})
	kubectl(t, "delete", "quayregistry", "r", "-n", ns, "--timeout=1m")
}
