package operator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// BenchmarkRegistries has one operator, a process of its own, look after
// GANTRY_REGISTRIES registries (20 unless told) on pretended nodes: how long
// they take to stand, what the operator asks the API server for when nothing
// changes, its memory, and how long it takes from an edit of one bundle to the
// registry's Deployment. GANTRY_BIN is the program.
func BenchmarkRegistries(b *testing.B) {
	program := os.Getenv("GANTRY_BIN")
	if program == "" {
		b.Skip("GANTRY_BIN names no binary: make bench-operator")
	}
	n := 20
	if s := os.Getenv("GANTRY_REGISTRIES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			b.Fatalf("GANTRY_REGISTRIES: %q", s)
		}
	}
	b.Setenv("GANTRY_FAKE_NODES", strconv.Itoa(2+n/100)) // of 64 CPUs and 1,000 pods each
	for range b.N {
		measure(b, newBench(b, kubetest.API(b)), program, n)
	}
}

func measure(b *testing.B, c *bench, program string, n int) {
	cmd := exec.CommandContext(b.Context(), program, "operator", "--metrics-addr", "0", "--health-probe-bind-address", "0", "--namespace", c.ns)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "QUAY_VERSION=3.7.0", "RELATED_IMAGE_COMPONENT_QUAY=example.test/quay:1",
		"RELATED_IMAGE_COMPONENT_POSTGRES=example.test/postgres:1", "RELATED_IMAGE_COMPONENT_REDIS=example.test/redis:1")
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it runs
		_ = cmd.Wait()                          // of the signal
	}()
	began := time.Now()
	name := func(i int) string { return fmt.Sprintf("r%03d", i) }
	for i := range n {
		c.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bundle-" + name(i)}, StringData: map[string]string{"config.yaml": "REGISTRY_TITLE: one\n"}})
		c.create(&v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: name(i)}, Spec: v1.QuayRegistrySpec{ConfigBundleSecret: "bundle-" + name(i)}})
	}
	patiently(b, "all registries are available", func(ctx context.Context) error {
		var list v1.QuayRegistryList
		if err := c.Client().List(ctx, &list, client.InNamespace(c.ns)); err != nil {
			return err
		}
		ready := 0
		for _, q := range list.Items {
			if s := status.Find(q.Status, v1.Ready); s != nil && s.Status == metav1.ConditionTrue {
				ready++
			}
		}
		if ready < n {
			return fmt.Errorf("%d of %d", ready, n)
		}
		return nil
	})
	b.ReportMetric(time.Since(began).Seconds(), "s-to-available")
	time.Sleep(20 * time.Second) // what was begun ends
	audit := c.Audit(b)
	time.Sleep(time.Minute)
	asked := map[string]int{}
	for _, r := range audit.Requests(b, func(r kubetest.Request) bool { return strings.HasPrefix(r.Agent, filepath.Base(program)+"/") }) {
		if r.Resource != "leases" && r.Verb != "watch" {
			asked[r.Verb+" "+r.Resource]++
		}
	}
	total := 0
	for what, times := range asked {
		total += times
		b.Logf("asked when nothing changed: %s, %d times", what, times)
	}
	b.ReportMetric(float64(total), "requests/min-idle")

	var took []float64
	for i := range 5 {
		at := name(i * (n - 1) / 4)
		before := get(c, &appsv1.Deployment{}, at+"-quay-app").Generation
		change(c, &corev1.Secret{}, "bundle-"+at, func(s *corev1.Secret) {
			s.StringData = map[string]string{"config.yaml": "REGISTRY_TITLE: two\n# " + strconv.Itoa(i) + "\n"}
		})
		edited := time.Now()
		for get(c, &appsv1.Deployment{}, at+"-quay-app").Generation == before {
			if time.Since(edited) > 5*time.Minute {
				b.Fatal("an edit is not seen")
			}
			time.Sleep(5 * time.Millisecond)
		}
		took = append(took, time.Since(edited).Seconds())
	}
	slices.Sort(took)
	b.ReportMetric(took[2], "s-edit-median")
	b.ReportMetric(took[4], "s-edit-worst")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for field, unit := range map[string]string{"VmRSS:": "MiB", "VmHWM:": "MiB-most"} {
		_, rest, _ := strings.Cut(string(text), field)
		kb, err := strconv.ParseFloat(strings.Fields(rest + " -")[0], 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(kb/1024, unit)
	}
}

// patiently waits for up to an hour.
func patiently(b *testing.B, what string, ok func(context.Context) error) {
	b.Helper()
	for deadline := time.Now().Add(time.Hour); ; time.Sleep(2 * time.Second) {
		err := ok(b.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: %v", what, err)
		}
	}
}
