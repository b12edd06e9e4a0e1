//go:build cluster

package k8s

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The registry is reached by a port of the node, as a user's load balancer
// would.
const (
	nodePort = "30443"
	host     = "10.244.0.1:" + nodePort
	password = "walk-through-1"
	image    = "admin/redis"
)

// installOperator applies the kustomize base, with the node's images, as an
// operator of a version and its image of the registry.
func installOperator(t *testing.T, version, registry string) {
	t.Helper()
	base, err := command(harness, "kubectl", "kustomize", "../../deploy/operator/kustomize")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, "", nodeImages(t, base))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try(t, "logs", "-n", operatorNamespace, operatorDeployment, "--tail=300")
			t.Logf("the operator\n%s", out)
		}
		if _, err := try(t, "delete", "namespace", operatorNamespace, "--timeout=2m"); err != nil {
			t.Error(err)
		}
	})
	become(t, version, registry)
}

// nodeImages puts the images that the node has into objects that name the
// published ones.
func nodeImages(t *testing.T, objects string) string {
	t.Helper()
	found := false
	for from, to := range map[string]string{
		"quay.io/gantry-registry/gantry:latest":   gantryImage,
		"quay.io/sclorg/postgresql-15-c9s:latest": postgresImage,
		"quay.io/sclorg/redis-7-c9s:latest":       redisImage,
	} {
		found = found || strings.Contains(objects, from)
		objects = strings.ReplaceAll(objects, from, to)
	}
	if !found || strings.Contains(objects, "quay.io/") {
		t.Fatal("the objects do not name the published images, or others too")
	}
	return objects
}

const (
	operatorNamespace  = "quay-operator"
	operatorDeployment = "deployment/quay-operator-tng"
)

// become starts the operator as one of another version.
func become(t *testing.T, version, registry string) {
	t.Helper()
	kubectl(t, "set", "env", "-n", operatorNamespace, operatorDeployment, "QUAY_VERSION="+version, "RELATED_IMAGE_COMPONENT_QUAY="+registry)
	kubectl(t, "rollout", "status", "-n", operatorNamespace, operatorDeployment, "--timeout=2m")
}

const nodeService = `
apiVersion: v1
kind: Service
metadata: {name: node}
spec:
  type: NodePort
  selector: {quay-component: quay-app, quay-operator/quayregistry: r}
  ports: [{port: 443, targetPort: 8443, nodePort: ` + nodePort + `}]
`

const minimal = `
apiVersion: quay.redhat.com/v1
kind: QuayRegistry
metadata: {name: r}
spec:
  configBundleSecret: bundle
`

// stopped is the registry scaled to zero, as a backup wants it.
const stopped = minimal + `
  components:
  - {kind: quay, managed: true, overrides: {replicas: 0}}
  - {kind: mirror, managed: true, overrides: {replicas: 0}}
  - {kind: horizontalpodautoscaler, managed: false}
`

// A walk is a registry on the node, as its user has it.
type walk struct {
	ns      string
	certs   string // the files of its certificate, without their endings
	trust   string // a folder with the authority, as skopeo and podman want it
	client  *http.Client
	token   string // the superuser's
	robot   string
	secret  string // the robot's
	upload  *upload
	history *history
	vault   *vault
	counted string // a selector of the pods whose restarts count
}

// TestRegistry is the walk-through: a registry is made of a resource, clients
// push, the node pulls, pods are killed, the configuration is edited, the
// registry is scaled to zero and back, upgraded, backed up, deleted, and restored.
// It takes about four minutes.
func TestRegistry(t *testing.T) {
	w := newWalk(t, gantryImage)
	w.steps(t, []step{
		{"installed", w.installed}, {"pushed and pulled", w.pushedAndPulled}, {"registry killed in a push", w.registryKilled}, {"database killed", w.databaseKilled},
		{"bundle edited", w.bundleEdited}, {"scaled to zero and back", w.scaled}, {"push resumed", w.resumed}, {"upgraded", w.upgraded}, {"backed up", w.backedUp}, {"deleted", w.deleted}, {"restored", w.restored},
	})
}

// TestUpgrade is an upgrade from an earlier build, with an older schema, while
// clients pull.
func TestUpgrade(t *testing.T) {
	w := newWalk(t, previousImage)
	w.counted = "quay-component notin (quay-config-editor, quay-app-upgrade)" // the earlier build has no editor, and its migration does not wait
	schema := func() (steps int) {
		var s struct{ Steps []struct{ Applied bool } }
		out := kubectl(t, "exec", "-n", w.ns, "deployment/r-quay-app", "--", "/bin/gantry", "db", "status", "--config", "/conf/stack", "--output", "json")
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, step := range s.Steps {
			if step.Applied {
				steps++
			}
		}
		return steps
	}
	before := 0
	w.steps(t, []step{
		{"installed", w.installed}, {"pushed and pulled", w.pushedAndPulled},
		{"its schema", func(*testing.T) { before = schema() }},
		{"upgraded", w.upgraded},
	})
	if after := schema(); before == 0 || after <= before {
		t.Errorf("the schema had %d steps, and has %d", before, after)
	}
}

// A step is a part of a walk.
type step struct {
	name string
	do   func(*testing.T)
}

// newWalk installs the operator with an image of the registry.
func newWalk(t *testing.T, registry string) *walk {
	t.Helper()
	installOperator(t, "3.6.4", registry)
	w := &walk{ns: namespace(t, "quay")}
	files := t.TempDir()
	w.certs, w.trust = filepath.Join(files, "tls"), filepath.Join(files, "certs.d")
	if _, err := command(harness, "cert", "-dir", dir, "-hosts", "10.244.0.1", "-out", w.certs); err != nil {
		t.Fatal(err)
	}
	w.trustAuthority(t)
	w.client = trusting(t, w.certs+".ca", false)
	w.history, w.vault = watch(t, w.ns), newVault(t)
	return w
}

// steps goes on until one fails: what follows stands on it.
func (w *walk) steps(t *testing.T, list []step) {
	t.Helper()
	for _, s := range list {
		began := time.Now()
		if !t.Run(s.name, s.do) {
			t.FailNow()
		}
		t.Logf("%s: %.1f s", s.name, time.Since(began).Seconds())
	}
}

// trustAuthority has the node, and podman and skopeo, know the authority of the
// registry's certificate.
func (w *walk) trustAuthority(t *testing.T) {
	t.Helper()
	node := filepath.Join(dir, "run", "registry", host)
	raw, err := os.ReadFile(w.certs + ".ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(node, 0o755), os.MkdirAll(w.trust, 0o755), os.WriteFile(filepath.Join(w.trust, "ca.crt"), raw, 0o600),
		os.WriteFile(filepath.Join(node, "hosts.toml"), fmt.Appendf(nil,
			"server = \"https://%[1]s\"\n[host.\"https://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = %[2]q\n", host, w.certs+".ca"), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// installed makes a registry of a resource of three lines, with a bundle.
func (w *walk) installed(t *testing.T) {
	w.bundle(t, "")
	apply(t, w.ns, nodeService)
	began := time.Now()
	apply(t, w.ns, minimal)
	w.available(t, 0)
	t.Logf("the registry is available after %.1f s", time.Since(began).Seconds())
	w.history.inOrder(t, "ComponentsCreated=False/ComponentNotReady", "ComponentsCreated=False/MigrationsInProgress", "ComponentsCreated=True/ComponentsCreationSuccess", "Available=True/HealthChecksPassing")
	if n := w.restarts(t, w.counted); n > 0 {
		t.Errorf("containers were started again, %d times", n)
	}
	for path, want := range map[string]string{
		"{.status.registryEndpoint}": "https://" + host, "{.status.currentVersion}": "3.6.4", "{.metadata.generation}": "1", "{.status.observedGeneration}": "1",
		"{.status.unhealthyComponents}": "", "{.spec}": `{"configBundleSecret":"bundle"}`, "{.status.conditions[?(@.type=='RolloutBlocked')].status}": "False",
	} {
		if got := w.field(t, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if line := kubectl(t, "get", "quayregistry", "r", "-n", w.ns); !regexp.MustCompile(`(?m)^r +3\.6\.4 +https://10\.244\.0\.1:30443 +True +HealthChecksPassing +\d+s$`).MatchString(line) {
		t.Errorf("kubectl get quayregistry:\n%s", line)
	}
	if ready := w.endpoints(t, "r-quay-app"); len(ready) != 1 {
		t.Errorf("behind the Service: %v", ready)
	}
	for _, e := range w.events(t) {
		if e.Type != "Normal" {
			t.Errorf("a clean install warns: %s: %s", e.Reason, e.Message)
		}
	}
	w.told(t, "Normal", "HealthChecksPassing", "Available is True")
	kubectl(t, "exec", "-n", w.ns, "deployment/r-quay-app", "--", "cat", "/conf/stack/config.yaml") // as people look at it
}

// pushedAndPulled pushes by skopeo and podman, and runs pods of what was pushed.
func (w *walk) pushedAndPulled(t *testing.T) {
	made := w.api(t, http.MethodPost, "user/initialize", `{"username": "admin", "password": "`+password+`", "email": "admin@example.com", "access_token": true}`, http.StatusOK)
	w.token, _ = made["access_token"].(string)
	if err := w.push("1"); err != nil {
		t.Fatal(err)
	}
	w.podman(t, "podman")
	robot := w.api(t, http.MethodPut, "user/robots/puller", "{}", http.StatusCreated)
	w.robot, _ = robot["name"].(string)
	w.secret, _ = robot["token"].(string)
	for name, secret := range map[string]string{"pull": w.secret, "wrong": "not-the-token"} {
		kubectl(t, "create", "secret", "docker-registry", name, "-n", w.ns, "--docker-server="+host, "--docker-username="+w.robot, "--docker-password="+secret)
	}
	// A robot that may not, and one that is not, get nothing.
	refused := func(name string) {
		t.Helper()
		eventually(t, "the node is refused", func() error {
			out, err := try(t, "get", "pod", name, "-n", w.ns, "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}")
			if err == nil && out != "ErrImagePull" && out != "ImagePullBackOff" {
				err = fmt.Errorf("the pod waits for %q", out)
			}
			return err
		})
		kubectl(t, "delete", "pod", name, "-n", w.ns, "--wait=false")
	}
	w.pod(t, "no-right", "1", "pull")
	w.pod(t, "no-robot", "1", "wrong")
	refused("no-right")
	refused("no-robot")
	w.api(t, http.MethodPut, "repository/"+image+"/permissions/user/"+w.robot, `{"role": "read"}`, http.StatusOK)
	w.runs(t, "first", "1")
	w.runs(t, "of-podman", "podman")
}

// registryKilled kills the registry's process while it is pushed to, and then
// has its pod replaced.
func (w *walk) registryKilled(t *testing.T) {
	w.upload = w.begin(t)
	mark := w.history.mark()
	pushed := make(chan error, 1)
	w.interrupt(t, w.upload, func() {
		go func() { pushed <- w.push("2") }()
		w.kill(t, "quay-app")
	})
	first := <-pushed
	w.history.after(t, mark, "Available=False/ComponentNotReady", "ComponentQuayReady=False")
	w.available(t, mark)
	if err := w.push("2"); err != nil { // as people do, where the client gave up
		t.Errorf("%v (before: %v)", err, first)
	}
	w.runs(t, "second", "2")
	w.told(t, "Warning", "ComponentNotReady", "Available is False", "quay")

	mark = w.history.mark()
	go func() { pushed <- w.push("3") }()
	kubectl(t, "delete", "pod", "-n", w.ns, "-l", "quay-component=quay-app", "--wait=false")
	first = <-pushed
	w.available(t, mark)
	if err := w.push("3"); err != nil {
		t.Errorf("%v (before: %v)", err, first)
	}
}

// databaseKilled kills the database's process, and then has its pod replaced.
// The registry says that it is not there, and goes on by itself.
func (w *walk) databaseKilled(t *testing.T) {
	before := w.restarts(t, "quay-component in (quay-app,quay-mirror)")
	for i, how := range []func(){
		func() { w.kill(t, "postgres") },
		func() { kubectl(t, "delete", "pod", "-n", w.ns, "-l", "quay-component=postgres") },
	} {
		mark := w.history.mark()
		y, end := w.pulling(t)
		began := time.Now()
		how()
		w.history.after(t, mark, "Available=False/ComponentNotReady", "ComponentPostgresReady=False")
		w.available(t, mark)
		t.Logf("the database is back after %.1f s", time.Since(began).Seconds())
		eventually(t, "a push", func() error { return w.push("database-" + strconv.Itoa(i)) })
		end()
		for _, err := range y.failed {
			var a *answer
			if errors.As(err, &a) && a.status != http.StatusServiceUnavailable {
				t.Errorf("without its database the registry answers %v, want 503", err)
			}
		}
		t.Logf("%d pulls, %d failed while the database was gone", y.pulls, len(y.failed))
	}
	if err := pull(t.Context(), w.client, w.robot, w.secret, "1"); err != nil {
		t.Errorf("what was pushed before: %v", err)
	}
	if after := w.restarts(t, "quay-component in (quay-app,quay-mirror)"); after != before {
		t.Errorf("the registry was started again %d times because its database was gone", after-before)
	}
	w.told(t, "Warning", "MinimumReplicasUnavailable", "ComponentPostgresReady is False")
}

// bundleEdited edits the configuration while clients pull, rightly and wrongly.
func (w *walk) bundleEdited(t *testing.T) {
	uids := func() string {
		return kubectl(t, "get", "pods", "-n", w.ns, "-l", "quay-component in (postgres,redis)", "-o", "jsonpath={.items[*].metadata.uid}")
	}
	title := func(want string) error {
		raw, _, err := ask(t.Context(), w.client, http.MethodGet, "/config", nil, nil, http.StatusOK)
		if err == nil && !bytes.Contains(raw, []byte(want)) {
			err = errors.New("the title is another one")
		}
		return err
	}
	data, hash, mark := uids(), w.field(t, "{.status.configHash}"), w.history.mark()
	y, end := w.pulling(t)
	began := time.Now()
	w.bundle(t, "REGISTRY_TITLE: Walked through\n")
	eventually(t, "the title", func() error { return title("Walked through") })
	t.Logf("the edit is served after %.1f s", time.Since(began).Seconds())
	w.history.after(t, mark, "Reconciling=True")
	w.available(t, mark)
	if got := w.field(t, "{.status.configHash}"); got == hash {
		t.Errorf("the hash of the configuration is the one before, %s", got)
	}
	if got := uids(); got != data {
		t.Errorf("pods of the database or of Redis were replaced: %s, then %s", data, got)
	}

	mark = w.history.mark()
	w.bundle(t, "DEFAULT_TAG_EXPIRATION: soon\n")
	w.history.after(t, mark, "RolloutBlocked=True/ConfigInvalid", "Available=True/HealthChecksPassing")
	w.told(t, "Warning", "ConfigInvalid", "DEFAULT_TAG_EXPIRATION")
	if err := title("Walked through"); err != nil {
		t.Errorf("a wrong configuration is served: %v", err)
	}
	mark = w.history.mark()
	w.bundle(t, "REGISTRY_TITLE: Walked through\n") // as it was
	w.history.after(t, mark, "RolloutBlocked=False", "Available=True/HealthChecksPassing")
	y.unharmed(t, end)
}

// scaled stops the registry and starts it again, with all that it had.
func (w *walk) scaled(t *testing.T) {
	apply(t, w.ns, stopped)
	eventually(t, "no pod is left", func() error {
		out, err := try(t, "get", "pods", "-n", w.ns, "-l", "quay-component in (quay-app,quay-mirror)", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New(out)
		}
		return err
	})
	// Stopped as it was asked to be, it is as it is to be.
	kubectl(t, "wait", "-n", w.ns, "quayregistry/r", "--for=condition=Available=true", "--timeout=1m")
	w.told(t, "Normal", "ComponentReady", "r-quay-app manually scaled down")
	if ready := w.endpoints(t, "r-quay-app"); len(ready) > 0 {
		t.Errorf("behind the Service: %v", ready)
	}
	out := kubectl(t, "get", "pods", "-n", w.ns, "-l", "app=quay", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.labels.quay-component}")
	if got := strings.Fields(out); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"postgres", "quay-config-editor", "redis"}) {
		t.Errorf("these run: %v", got)
	}
	mark := w.history.mark()
	apply(t, w.ns, minimal)
	w.history.after(t, mark, "ComponentQuayReady=False")
	w.available(t, mark)
	for _, tag := range []string{"1", "2", "database-1"} {
		if err := pull(t.Context(), w.client, w.robot, w.secret, tag); err != nil {
			t.Errorf("tag %s: %v", tag, err)
		}
	}
	w.runs(t, "third", "1")
}

// upgraded has the next operator take the registry over, while clients pull.
func (w *walk) upgraded(t *testing.T) {
	jobs := func() string {
		return kubectl(t, "get", "jobs", "-n", w.ns, "-l", "quay-component=quay-app-upgrade", "-o", "jsonpath={.items[*].metadata.name}")
	}
	job, mark := jobs(), w.history.mark()
	y, end := w.pulling(t)
	began := time.Now()
	become(t, "3.7.0", gantryImage)
	eventually(t, "the registry has the new version", func() error {
		if v := w.field(t, "{.status.currentVersion}"); v != "3.7.0" {
			return errors.New(v)
		}
		return nil
	})
	w.history.after(t, mark, "ComponentsCreated=False/MigrationsInProgress")
	w.available(t, mark)
	t.Logf("the registry is of the new version after %.1f s", time.Since(began).Seconds())
	y.unharmed(t, end)
	eventually(t, "the migration before is taken away", func() error {
		switch got := jobs(); {
		case got == job, len(strings.Fields(got)) != 1:
			return errors.New(got)
		}
		return nil
	})
	if got := kubectl(t, "get", "jobs", "-n", w.ns, "-o", "jsonpath={.items[*].status.succeeded}"); got != "1" {
		t.Errorf("the migration succeeded %q times", got)
	}
	eventually(t, "pods of the version before have ended", func() error {
		out, err := try(t, "get", "pods", "-n", w.ns, "-l", "quay-component in (quay-app,quay-mirror)", "-o", `jsonpath={.items[*].spec.containers[0].env[?(@.name=="QUAY_VERSION")].value}`)
		if err == nil && out != "3.7.0 3.7.0" {
			err = errors.New(out)
		}
		return err
	})
	if err := w.push("upgraded"); err != nil {
		t.Error(err)
	}
	w.runs(t, "fourth", "upgraded")
}

// deleted deletes the registry: its objects go, and what is the user's stays.
func (w *walk) deleted(t *testing.T) {
	kubectl(t, "delete", "quayregistry", "r", "-n", w.ns, "--timeout=2m")
	eventually(t, "all is gone", func() error {
		out, err := try(t, "get", "deployments,replicasets,pods,services,secrets,configmaps,serviceaccounts,roles,rolebindings,pdb,hpa,ingresses,networkpolicies,pvc,jobs", "-n", w.ns, "-l", "quay-operator/quayregistry=r", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New(out)
		}
		return err
	})
	eventually(t, "the volumes are gone", func() error {
		out, err := try(t, "get", "pv", "-o", `jsonpath={.items[?(@.spec.claimRef.namespace=="`+w.ns+`")].metadata.name}`)
		if err == nil && out != "" {
			err = errors.New(out)
		}
		return err
	})
	left := strings.Fields(kubectl(t, "get", "secrets,services,pods,pvc", "-n", w.ns, "-o", "name"))
	want := []string{"pod/first", "pod/fourth", "pod/of-podman", "pod/second", "pod/third", "secret/bundle", "secret/pull", "secret/wrong", "service/node"}
	if slices.Sort(left); !slices.Equal(left, want) {
		t.Errorf("these are left: %v, want %v", left, want)
	}
}

// bundle writes the configuration's Secret.
func (w *walk) bundle(t *testing.T, more string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := "SERVER_HOSTNAME: " + host + "\nFEATURE_USER_INITIALIZE: true\nSUPER_USERS: [admin]\n" + more
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	apply(t, w.ns, kubectl(t, "create", "secret", "generic", "bundle", "--dry-run=client", "-o", "yaml",
		"--from-file=config.yaml="+config, "--from-file=ssl.cert="+w.certs+".crt", "--from-file=ssl.key="+w.certs+".key"))
}

// available waits until the registry is what its resource says, and answers.
// Where mark is not 0, it has said something else since then.
func (w *walk) available(t *testing.T, mark int) {
	t.Helper()
	if mark > 0 {
		w.history.after(t, mark, "Available=False")
	}
	if _, err := try(t, "wait", "-n", w.ns, "quayregistry/r", "--for=condition=Available=true", "--timeout=4m"); err != nil {
		out, _ := try(t, "get", "quayregistry", "r", "-n", w.ns, "-o", "yaml")
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "the registry answers", func() error {
		_, _, err := ask(t.Context(), w.client, http.MethodGet, "/health/instance", nil, nil, http.StatusOK)
		return err
	})
}

// field is one of the registry's resource.
func (w *walk) field(t *testing.T, path string) string {
	t.Helper()
	return kubectl(t, "get", "quayregistry", "r", "-n", w.ns, "-o", "jsonpath="+path)
}

// restarts is how often containers of the pods were started again, of pods that
// are not on their way out.
func (w *walk) restarts(t *testing.T, selector string) (n int) {
	t.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ DeletionTimestamp string }
			Status   struct{ ContainerStatuses []struct{ RestartCount int } }
		}
	}
	if err := json.Unmarshal([]byte(kubectl(t, "get", "pods", "-n", w.ns, "-l", selector, "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Items {
		for _, c := range p.Status.ContainerStatuses {
			if p.Metadata.DeletionTimestamp == "" {
				n += c.RestartCount
			}
		}
	}
	return n
}

// endpoints are the addresses of a Service that take connections.
func (w *walk) endpoints(t *testing.T, service string) (ready []string) {
	t.Helper()
	var list struct {
		Items []struct {
			Endpoints []struct {
				Addresses  []string
				Conditions struct{ Ready bool }
			}
		}
	}
	if err := json.Unmarshal([]byte(kubectl(t, "get", "endpointslices", "-n", w.ns, "-l", "kubernetes.io/service-name="+service, "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready {
				ready = append(ready, e.Addresses...)
			}
		}
	}
	return ready
}

// kill ends the processes of a part's pods at once, as the kernel does when
// memory is short.
func (w *walk) kill(t *testing.T, component string) {
	t.Helper()
	uid := kubectl(t, "get", "pods", "-n", w.ns, "-l", "quay-component="+component, "-o", "jsonpath={.items[*].metadata.uid}")
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil || uid == "" {
		t.Fatalf("pod %q: %v", uid, err)
	}
	n := 0
	for _, g := range groups {
		raw, err := os.ReadFile(g)
		if err != nil || !bytes.Contains(raw, []byte(uid)) && !bytes.Contains(raw, []byte(strings.ReplaceAll(uid, "-", "_"))) {
			continue // it has ended, or is another's
		}
		name, err := os.ReadFile(filepath.Join(filepath.Dir(g), "comm"))
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(g))); err == nil && strings.TrimSpace(string(name)) != "pause" {
			if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
				n++
			}
		}
	}
	if n == 0 {
		t.Fatalf("no process of pod %s is found", uid)
	}
}

// An event is what people are told of the registry.
type event struct{ Type, Reason, Message string }

func (w *walk) events(t *testing.T) []event {
	t.Helper()
	var list struct{ Items []event }
	if err := json.Unmarshal([]byte(kubectl(t, "get", "events", "-n", w.ns, "--field-selector=involvedObject.kind=QuayRegistry,involvedObject.name=r", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// told waits for an event with all of the words.
func (w *walk) told(t *testing.T, kind, reason string, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an event %s %s %q", kind, reason, words), func() error {
		all := w.events(t)
		for _, e := range all {
			if e.Type == kind && e.Reason == reason && !slices.ContainsFunc(words, func(s string) bool { return !strings.Contains(e.Message, s) }) {
				return nil
			}
		}
		return fmt.Errorf("there are %q", all)
	})
}

// A history is every status that the registry had: a line each, with its
// conditions as TYPE=STATUS/REASON.
type history struct {
	mu    sync.Mutex
	lines []string
}

// watch begins one, of the registry of a namespace.
func watch(t *testing.T, ns string) *history {
	t.Helper()
	h := &history{}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, harness, "kubectl", "get", "quayregistries", "-n", ns, "--watch", "-o", "json")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.read(json.NewDecoder(out)) }()
	t.Cleanup(func() {
		cancel()
		err := <-ended
		_ = cmd.Wait() // it was ended
		if t.Failed() {
			t.Logf("the conditions were\n%s\n%v", strings.Join(h.lines, "\n"), err)
		}
	})
	return h
}

// read takes down what is read, until there is no more.
func (h *history) read(d *json.Decoder) error {
	for {
		var q struct {
			Status struct {
				Conditions []struct{ Type, Status, Reason string }
			}
		}
		if err := d.Decode(&q); err != nil {
			return err
		}
		var line strings.Builder
		for _, c := range q.Status.Conditions {
			fmt.Fprintf(&line, "%s=%s/%s ", c.Type, c.Status, c.Reason)
		}
		h.mu.Lock()
		h.lines = append(h.lines, line.String())
		h.mu.Unlock()
	}
}

// mark is now.
func (h *history) mark() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.lines)
}

// after waits for a status since mark that has all of the conditions.
func (h *history) after(t *testing.T, mark int, conditions ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("a status with %q", conditions), func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !slices.ContainsFunc(h.lines[mark:], func(line string) bool {
			return !slices.ContainsFunc(conditions, func(c string) bool { return !strings.Contains(line, c) })
		}) {
			return fmt.Errorf("there were %q", h.lines[mark:])
		}
		return nil
	})
}

// inOrder holds the history to conditions that were there one after the other.
// What was seen otherwise may be written down a moment later.
func (h *history) inOrder(t *testing.T, conditions ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the conditions %q, one after the other", conditions), func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		left := conditions
		for _, line := range h.lines {
			for len(left) > 0 && strings.Contains(line, left[0]) {
				left = left[1:]
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("the registry was never %s, after %q; it was %q", left[0], conditions[:len(conditions)-len(left)], h.lines)
		}
		return nil
	})
}
