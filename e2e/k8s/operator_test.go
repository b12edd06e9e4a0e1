//go:build cluster

package k8s

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The registry is reached by a port of the node.
const (
	nodePort = "30443"
	host     = "10.244.0.1:" + nodePort
	password = "walk-through-1"
)

// installOperator applies the kustomize base, with the node's images.
func installOperator(t *testing.T) {
	t.Helper()
	base, err := command(harness, "kubectl", "kustomize", "../../deploy/operator/kustomize")
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"quay.io/gantry-registry/gantry:latest":   gantryImage,
		"quay.io/sclorg/postgresql-15-c9s:latest": postgresImage,
		"quay.io/sclorg/redis-7-c9s:latest":       redisImage,
	} {
		if !strings.Contains(base, from) {
			t.Fatalf("the base does not name %s", from)
		}
		base = strings.ReplaceAll(base, from, to)
	}
	apply(t, "", base)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try(t, "logs", "-n", "quay-operator", "deployment/quay-operator-tng", "--tail=60")
			t.Logf("the operator\n%s", out)
		}
		if _, err := try(t, "delete", "namespace", "quay-operator", "--timeout=2m"); err != nil {
			t.Error(err)
		}
	})
	kubectl(t, "rollout", "status", "-n", "quay-operator", "deployment/quay-operator-tng", "--timeout=1m")
}

const nodeService = `
apiVersion: v1
kind: Service
metadata: {name: node}
spec:
  type: NodePort
  selector: {quay-component: quay-app}
  ports: [{port: 443, targetPort: 8443, nodePort: ` + nodePort + `}]
`

const registry = `
apiVersion: quay.redhat.com/v1
kind: QuayRegistry
metadata: {name: r}
spec:
  configBundleSecret: bundle
  components:
  - {kind: route, managed: false}
  - {kind: tls, managed: false}
  - {kind: quay, managed: true, overrides: {replicas: 1}}
  - {kind: mirror, managed: true, overrides: {replicas: 1}}
  - {kind: horizontalpodautoscaler, managed: false}
`

// TestRegistry is the walk-through: a registry is made of a resource, clients
// push, the node pulls, pods are killed, the configuration is edited, the
// registry is scaled to zero and back, and deleted.
func TestRegistry(t *testing.T) {
	installOperator(t)
	ns := namespace(t, "quay")
	files := t.TempDir()
	certs := filepath.Join(files, "tls")
	if _, err := command(harness, "cert", "-dir", dir, "-hosts", "10.244.0.1", "-out", certs); err != nil {
		t.Fatal(err)
	}
	trust := filepath.Join(dir, "run", "registry", host)
	if err := errors.Join(os.MkdirAll(trust, 0o755), os.WriteFile(filepath.Join(trust, "hosts.toml"), fmt.Appendf(nil,
		"server = \"https://%[1]s\"\n[host.\"https://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = %[2]q\n", host, certs+".ca"), 0o644)); err != nil {
		t.Fatal(err)
	}
	bundle(t, ns, certs, "")
	apply(t, ns, nodeService)
	began := time.Now()
	apply(t, ns, registry)
	available(t, ns)
	t.Logf("available after %.1f s", time.Since(began).Seconds())
	if got := strings.Fields(kubectl(t, "get", "pods", "-n", ns, "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")); strings.Trim(strings.Join(got, ""), "0") != "" {
		t.Errorf("containers were started again: %v", got)
	}
	if got := kubectl(t, "get", "quayregistry", "r", "-n", ns, "-o", "jsonpath={.status.registryEndpoint}"); got != "https://"+host {
		t.Errorf("registryEndpoint %q", got)
	}

	client := trusting(t, certs+".ca")
	initialize(t, client)
	push := func(tag string) error {
		_, err := command("skopeo", "copy", "--quiet", "--dest-cert-dir", certDir(t, files, certs), "--dest-creds", "admin:"+password,
			"oci-archive:"+archive(), "docker://"+host+"/admin/redis:"+tag)
		return err
	}
	if err := push("1"); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "create", "secret", "docker-registry", "pull", "-n", ns, "--docker-server="+host, "--docker-username=admin", "--docker-password="+password)
	pullPod(t, ns, "first", "1")

	t.Run("registry killed in a push", func(t *testing.T) {
		done := make(chan error, 1)
		go func() { done <- push("2") }()
		kubectl(t, "delete", "pod", "-n", ns, "-l", "quay-component=quay-app", "--grace-period=0", "--force")
		first := <-done
		available(t, ns)
		if err := push("2"); err != nil { // as people do, where the client has not
			t.Errorf("%v (before: %v)", err, first)
		}
		pullPod(t, ns, "second", "2")
	})
	t.Run("database killed", func(t *testing.T) {
		kubectl(t, "delete", "pod", "-n", ns, "-l", "quay-component=postgres", "--grace-period=0", "--force")
		available(t, ns)
		if err := push("3"); err != nil {
			t.Error(err)
		}
	})
	t.Run("bundle edited", func(t *testing.T) {
		before := kubectl(t, "get", "pods", "-n", ns, "-l", "quay-component in (postgres,redis)", "-o", "jsonpath={.items[*].metadata.uid}")
		bundle(t, ns, certs, "REGISTRY_TITLE: Walked through\n")
		eventually(t, "the title", func() error {
			raw, err := get(client, "/config")
			if err == nil && !strings.Contains(raw, "Walked through") {
				err = errors.New("it is the old one")
			}
			return err
		})
		available(t, ns)
		if after := kubectl(t, "get", "pods", "-n", ns, "-l", "quay-component in (postgres,redis)", "-o", "jsonpath={.items[*].metadata.uid}"); after != before {
			t.Errorf("pods of the database or of Redis were replaced: %s, then %s", before, after)
		}
	})
	t.Run("scaled to zero and back", func(t *testing.T) {
		apply(t, ns, strings.ReplaceAll(registry, "replicas: 1", "replicas: 0"))
		eventually(t, "no pod is left", func() error {
			out, err := try(t, "get", "pods", "-n", ns, "-l", "quay-component in (quay-app,quay-mirror)", "-o", "name", "--field-selector=status.phase=Running")
			if err == nil && strings.TrimSpace(out) != "" {
				err = errors.New(out)
			}
			return err
		})
		apply(t, ns, registry)
		available(t, ns)
		pullPod(t, ns, "third", "1")
	})
	t.Run("deleted", func(t *testing.T) {
		kubectl(t, "delete", "quayregistry", "r", "-n", ns, "--timeout=2m")
		eventually(t, "all is gone", func() error {
			out, err := try(t, "get", "deployments,services,secrets,configmaps,pvc,jobs", "-n", ns, "-l", "quay-operator/quayregistry=r", "-o", "name")
			if err == nil && strings.TrimSpace(out) != "" {
				err = errors.New(out)
			}
			return err
		})
		kubectl(t, "get", "secret", "bundle", "-n", ns) // the user's
	})
}

// bundle writes the configuration's Secret.
func bundle(t *testing.T, ns, certs, more string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := "SERVER_HOSTNAME: " + host + "\nPREFERRED_URL_SCHEME: https\nEXTERNAL_TLS_TERMINATION: false\nFEATURE_USER_INITIALIZE: true\nSUPER_USERS: [admin]\n" + more
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	apply(t, ns, kubectl(t, "create", "secret", "generic", "bundle", "--dry-run=client", "-o", "yaml",
		"--from-file=config.yaml="+config, "--from-file=ssl.cert="+certs+".crt", "--from-file=ssl.key="+certs+".key"))
}

// available waits until the registry says that it is what its resource says.
func available(t *testing.T, ns string) {
	t.Helper()
	if _, err := try(t, "wait", "-n", ns, "quayregistry/r", "--for=condition=Available=true", "--timeout=4m"); err != nil {
		out, _ := try(t, "get", "quayregistry", "r", "-n", ns, "-o", "yaml")
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "the registry answers", func() error {
		cmd := exec.CommandContext(t.Context(), "curl", "-sfk", "-o", "/dev/null", "--max-time", "10", "https://"+host+"/health/instance")
		return cmd.Run()
	})
}

func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	raw, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}

func get(c *http.Client, path string) (string, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+host+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(raw), err
}

// initialize makes the first account.
func initialize(t *testing.T, c *http.Client) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"username": "admin", "password": password, "email": "admin@example.com", "access_token": false})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+"/api/v1/user/initialize", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("initialize: %s, %v: %s", resp.Status, err, raw)
	}
}

// certDir is a folder as skopeo wants it, with the authority.
func certDir(t *testing.T, files, certs string) string {
	t.Helper()
	to := filepath.Join(files, "certs.d")
	raw, err := os.ReadFile(certs + ".ca")
	if err = errors.Join(err, os.MkdirAll(to, 0o755)); err == nil {
		err = os.WriteFile(filepath.Join(to, "ca.crt"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// archive is an image to push: the node's own Redis.
func archive() string {
	return filepath.Join(images, "redis.tar")
}

// pullPod runs a pod from the registry, with the pull secret.
func pullPod(t *testing.T, ns, name, tag string) {
	t.Helper()
	apply(t, ns, `
apiVersion: v1
kind: Pod
metadata: {name: `+name+`}
spec:
  imagePullSecrets: [{name: pull}]
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "`+host+`/admin/redis:`+tag+`", imagePullPolicy: Always}]
`)
	kubectl(t, "wait", "-n", ns, "pod/"+name, "--for=condition=Ready", "--timeout=3m")
}
