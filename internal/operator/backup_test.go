package operator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
)

// atPhase waits for a phase of a backup or a restore, and a word of its message.
func atPhase(b *bench, o client.Object, name string, want v1.WorkPhase, word string) {
	b.Helper()
	kubetest.Eventually(b, fmt.Sprintf("%s is %s", name, want), func() error {
		if err := b.Client().Get(b.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, o); err != nil {
			return err
		}
		var is v1.WorkPhase
		message := ""
		switch o := o.(type) {
		case *v1.QuayRegistryBackup:
			is, message = o.Status.Phase, o.Status.Message
		case *v1.QuayRegistryRestore:
			is, message = o.Status.Phase, o.Status.Message
		}
		if is != want || !strings.Contains(message, word) {
			return fmt.Errorf("%s: %q", is, message)
		}
		return nil
	})
}

// vault makes the Secret of a vault.
func (b *bench) vault(name string, files map[string]string) {
	b.Helper()
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: files})
}

const onBucket = "SERVER_HOSTNAME: quay.example.com\nDISTRIBUTED_STORAGE_CONFIG: {a: [S3Storage, {s3_bucket: b, s3_access_key: k, s3_secret_key: s, host: s3.example.com}]}\n"

// TestBackups: once, by a schedule, with a vault that is not there at first, and
// for a registry that comes later.
func TestBackups(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	once := &v1.QuayRegistryBackup{ObjectMeta: metav1.ObjectMeta{Name: "once"}, Spec: v1.QuayRegistryBackupSpec{Registry: "skynet", Vault: v1.Vault{Secret: "vault"}}}
	b.create(once)
	atPhase(b, once, "once", v1.WorkPending, "no QuayRegistry skynet")
	b.bundle(map[string]string{"config.yaml": "FEATURE_USER_CREATION: true\n"})
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"})
	b.available()
	atPhase(b, once, "once", v1.WorkPending, "no Secret vault")
	b.vault("vault", map[string]string{"config.yaml": "DISTRIBUTED_STORAGE_CONFIG: {}\n"})
	atPhase(b, once, "once", v1.WorkPending, "has no backup.key")
	change(b, &corev1.Secret{}, "vault", func(s *corev1.Secret) { s.StringData = map[string]string{"backup.key": "age1x"} })
	atPhase(b, once, "once", v1.WorkSucceeded, "")
	job := get(b, &batchv1.Job{}, "once-backup-1")
	spec := job.Spec.Template.Spec
	if args := strings.Join(spec.Containers[0].Args, " "); !strings.HasPrefix(args, "backup create ") || !strings.Contains(args, "bundle=/also/bundle") {
		t.Errorf("arguments: %s", args)
	}
	for _, v := range spec.Volumes { // what the pod asks for is there
		if v.Secret != nil {
			get(b, &corev1.Secret{}, v.Secret.SecretName)
		}
	}
	if s := get(b, &corev1.Secret{}, "once-backup-registry"); !strings.Contains(string(s.Data["quayregistry.yaml"]), "configBundleSecret: bundle") {
		t.Errorf("the resource: %s", s.Data)
	}
	// What the pod reports is in the status.
	kubetest.Eventually(t, "the pod's report is seen", func() error {
		var pods corev1.PodList
		if err := b.Client().List(t.Context(), &pods, client.InNamespace(b.ns), client.MatchingLabels{"batch.kubernetes.io/job-name": "once-backup-1"}); err != nil || len(pods.Items) != 1 {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		p := &pods.Items[0]
		if c := p.Status.ContainerStatuses; len(c) == 1 && c[0].State.Terminated != nil && c[0].State.Terminated.Message == "" {
			c[0].State.Terminated.Message = `{"id": "20260102T150405Z-abcdef", "time": "2026-01-02T15:04:05Z", "blobs": 7, "bytes": 70, "new": 7, "missing": 1}` + "\n"
			if err := b.Client().Status().Update(t.Context(), p); err != nil {
				return err
			}
		}
		if s := get(b, &v1.QuayRegistryBackup{}, "once").Status; s.Last == nil || s.Last.ID != "20260102T150405Z-abcdef" || s.Last.Blobs != 7 || !strings.Contains(s.Message, "1 blobs are missing") {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	// Another spec is another backup.
	change(b, &v1.QuayRegistryBackup{}, "once", func(o *v1.QuayRegistryBackup) { o.Spec.Keep = 3 })
	kubetest.Eventually(t, "another Job", func() error {
		var j batchv1.Job
		if err := b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "once-backup-2"}, &j); err != nil {
			return err
		}
		if args := strings.Join(j.Spec.Template.Spec.Containers[0].Args, " "); !strings.Contains(args, "--keep 3") {
			return errors.New(args)
		}
		return nil
	})
	atPhase(b, once, "once", v1.WorkSucceeded, "")

	nightly := &v1.QuayRegistryBackup{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}, Spec: v1.QuayRegistryBackupSpec{Registry: "skynet", Vault: v1.Vault{Secret: "vault"}, Schedule: "0 3 * * *"}}
	b.create(nightly)
	atPhase(b, nightly, "nightly", v1.WorkScheduled, "")
	c := &batchv1.CronJob{}
	kubetest.Eventually(t, "the schedule is there", func() error {
		return b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "nightly-backup"}, c)
	})
	if c.Spec.Schedule != "0 3 * * *" || c.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
		t.Errorf("%+v", c.Spec)
	}
	// A Job as its controller makes it.
	j := &batchv1.Job{ObjectMeta: *c.Spec.JobTemplate.ObjectMeta.DeepCopy(), Spec: c.Spec.JobTemplate.Spec}
	j.Name = "nightly-backup-1"
	b.create(j)
	atPhase(b, nightly, "nightly", v1.WorkSucceeded, "")
	// A bundle edit reaches it, for the Secret with the old configuration goes.
	secret := func(c *batchv1.CronJob) string {
		for _, v := range c.Spec.JobTemplate.Spec.Template.Spec.Volumes {
			if v.Projected != nil {
				return v.Projected.Sources[0].Secret.Name
			}
		}
		return ""
	}
	was := secret(c)
	change(b, &corev1.Secret{}, "bundle", func(s *corev1.Secret) {
		s.StringData = map[string]string{"config.yaml": "FEATURE_USER_CREATION: false\n"}
	})
	kubetest.Eventually(t, "the schedule has the new configuration", func() error {
		if now := secret(get(b, &batchv1.CronJob{}, "nightly-backup")); now == was {
			return errors.New(now)
		}
		return nil
	})
	change(b, &v1.QuayRegistryBackup{}, "nightly", func(o *v1.QuayRegistryBackup) { o.Spec.Schedule = "" })
	b.gone(&batchv1.CronJob{}, "nightly-backup")
	b.available()
	// They go with their own resource alone.
	if err := b.Client().Delete(t.Context(), once); err != nil {
		t.Fatal(err)
	}
	b.gone(&batchv1.Job{}, "once-backup-2")
}

// TestRestores: the registry's pods stop, a Job replaces what the database
// holds, and they start again, as many as before.
func TestRestores(t *testing.T) {
	b := newBench(t, kubetest.API(t))
	b.run(b.options())
	b.bundle(map[string]string{"config.yaml": onBucket})
	b.registry(v1.QuayRegistrySpec{ConfigBundleSecret: "bundle", Components: []v1.Component{unmanaged(v1.ComponentObjectStorage)}})
	b.available()
	generation := get(b, &v1.QuayRegistry{}, "skynet").Generation
	// Whoever ends the pods late keeps the Job from beginning.
	var order []string
	watch := func(what string) {
		if !slices.Contains(order, what) {
			order = append(order, what)
		}
	}
	b.vault("vault", map[string]string{"config.yaml": "DISTRIBUTED_STORAGE_CONFIG: {}\n"})
	one := &v1.QuayRegistryRestore{ObjectMeta: metav1.ObjectMeta{Name: "back"}, Spec: v1.QuayRegistryRestoreSpec{Registry: "skynet", Vault: v1.Vault{Secret: "vault"}, Unencrypted: true}}
	b.create(one)
	kubetest.Eventually(t, "the restore has ended", func() error {
		d := get(b, &appsv1.Deployment{}, "skynet-quay-app")
		var j batchv1.Job
		err := b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "back-restore"}, &j)
		if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
			watch("stopped")
		}
		if err == nil {
			watch("job")
			if order[0] != "stopped" {
				t.Error("the Job began before the registry was stopped")
			}
		}
		if s := get(b, &v1.QuayRegistryRestore{}, "back").Status; s.Phase != v1.WorkSucceeded {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if len(order) == 0 || order[0] != "stopped" {
		t.Errorf("seen: %v", order)
	}
	j := get(b, &batchv1.Job{}, "back-restore")
	if args := strings.Join(j.Spec.Template.Spec.Containers[0].Args, " "); !strings.HasPrefix(args, "restore --replace ") {
		t.Errorf("arguments: %s", args)
	}
	kubetest.Eventually(t, "the registry's pods are back", func() error {
		for _, name := range []string{"skynet-quay-app", "skynet-quay-mirror"} {
			if d := get(b, &appsv1.Deployment{}, name); d.Spec.Replicas == nil || *d.Spec.Replicas < 2 || d.Status.AvailableReplicas < 2 {
				return fmt.Errorf("%s: %+v", name, d.Status)
			}
		}
		return nil
	})
	b.available()
	if g := get(b, &v1.QuayRegistry{}, "skynet").Generation; g != generation {
		t.Errorf("the spec was written: generation %d", g)
	}
	err := b.Client().Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "back"}, one)
	if err == nil {
		one.Spec.Backup = "20260102T150405Z-abcdef"
		err = b.Client().Update(t.Context(), one)
	}
	if err == nil || !strings.Contains(err.Error(), "is not changed") {
		t.Errorf("a restore is changed: %v", err)
	}
	// One that fails says why, and lets the registry go on.
	b.vault("other", map[string]string{"config.yaml": "x"})
	two := &v1.QuayRegistryRestore{ObjectMeta: metav1.ObjectMeta{Name: "again"}, Spec: v1.QuayRegistryRestoreSpec{Registry: "skynet", Vault: v1.Vault{Secret: "other"}}}
	b.create(two)
	atPhase(b, two, "again", v1.WorkPending, "has no backup.key")
	b.available() // it is not stopped for it
}
