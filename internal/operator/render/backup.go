package render

import (
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// LabelBackup and LabelRestore are on the objects, and the pods, of a
// QuayRegistryBackup or QuayRegistryRestore: its name.
const (
	LabelBackup  = "quay-operator/backup"
	LabelRestore = "quay-operator/restore"
)

// partBackup is the component label of pods that back up or restore: those of
// the database let them in.
const partBackup = "quay-backup"

// Folders of the pods that back up.
const (
	vaultFolder = "/vault"
	alsoFolder  = "/also"
	reportFile  = "/dev/termination-log"
)

// VaultKey is the key file in the Secret of a vault.
const VaultKey = "backup.key"

// vaulted is a container that works on a vault, and its volumes.
func (b *builder) vaulted(args []string, vault v1.Vault, unencrypted bool) (corev1.Container, []corev1.Volume) {
	args = append(args, "--config", stack, "--data", "/data", "--temp", "/tmp", "--to-config", vaultFolder, "--report", reportFile, "--accept-missing", "--output", "json")
	if !unencrypted {
		args = append(args, "--key", vaultFolder+"/"+VaultKey)
	}
	c, volumes := b.registryContainer("backup", args...)
	c.Resources = resources("50m", "128Mi", "1Gi")
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "vault", MountPath: vaultFolder, ReadOnly: true})
	return c, append(volumes, fromSecretVolume("vault", vault.Secret))
}

func fromSecretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}
}

// vaultedJob is what a Job of a backup or a restore consists of.
func (b *builder) vaultedJob(c corev1.Container, volumes []corev1.Volume, label, name string, retries int32) batchv1.JobSpec {
	o := b.overrides(v1.ComponentQuay)
	w := workload{kind: v1.ComponentQuay, part: partBackup, container: c, volumes: volumes, together: b.alone(), annotations: map[string]string{
		"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled", "kuma.io/sidecar-injection": "disabled"}}
	template := b.pod(w, v1.Override{Env: o.Env, Image: o.Image, NodeSelector: o.NodeSelector, Tolerations: o.Tolerations,
		ImagePullSecrets: o.ImagePullSecrets, PriorityClassName: o.PriorityClassName})
	template.Labels[label] = name
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return batchv1.JobSpec{Template: template, BackoffLimit: &retries}
}

// ownedBy is the metadata of an object of a backup or a restore.
func (b *builder) ownedBy(o client.Object, kind, label, name string) metav1.ObjectMeta {
	m := b.meta(name, partBackup, v1.ComponentQuay)
	m.Labels[label] = o.GetName()
	yes, no := true, false
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1.GroupVersion.String(), Kind: kind, Name: o.GetName(), UID: o.GetUID(), Controller: &yes, BlockOwnerDeletion: &no}}
	return m
}

// backups makes what the backups of the registry consist of: a CronJob, or a
// Job.
func (b *builder) backups() error {
	for _, one := range b.Backups {
		secret, err := b.described(one)
		if err != nil {
			return err
		}
		args := []string{"backup", "create", "--also", "kubernetes=" + alsoFolder + "/kubernetes", "--also", "managed-keys=" + alsoFolder + "/managed-keys"}
		c, volumes := b.vaulted(args, one.Spec.Vault, one.Spec.Unencrypted)
		also := func(name, secret string) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "also-" + name, MountPath: alsoFolder + "/" + name, ReadOnly: true})
			volumes = append(volumes, fromSecretVolume("also-"+name, secret))
		}
		also("kubernetes", secret.Name)
		also("managed-keys", ManagedKeys(b.name))
		if s := b.Registry.Spec.ConfigBundleSecret; s != "" {
			c.Args = append(c.Args, "--also", "bundle="+alsoFolder+"/bundle")
			also("bundle", s)
		}
		if one.Spec.Unencrypted {
			c.Args = append(c.Args, "--unencrypted")
		}
		if one.Spec.Keep > 0 {
			c.Args = append(c.Args, "--keep", strconv.Itoa(int(one.Spec.Keep)))
		}
		spec := b.vaultedJob(c, volumes, LabelBackup, one.Name, 3)
		b.set.Backups = append(b.set.Backups, secret)
		if one.Spec.Schedule == "" {
			name := one.Name + "-backup-" + strconv.FormatInt(one.Generation, 10)
			spec.Suspend = &one.Spec.Suspend
			b.set.Backups = append(b.set.Backups, &batchv1.Job{TypeMeta: types("Job", "batch/v1"), ObjectMeta: b.ownedBy(one, "QuayRegistryBackup", LabelBackup, name), Spec: spec})
			continue
		}
		meta := b.ownedBy(one, "QuayRegistryBackup", LabelBackup, one.Name+"-backup")
		kept, utc := int32(1), "Etc/UTC"
		failed := int32(3)
		b.set.Backups = append(b.set.Backups, &batchv1.CronJob{TypeMeta: types("CronJob", "batch/v1"), ObjectMeta: meta, Spec: batchv1.CronJobSpec{
			Schedule: one.Spec.Schedule, TimeZone: &utc, Suspend: &one.Spec.Suspend, ConcurrencyPolicy: batchv1.ForbidConcurrent,
			SuccessfulJobsHistoryLimit: &kept, FailedJobsHistoryLimit: &failed,
			JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels}, Spec: spec}}})
	}
	return nil
}

// described is the Secret with the registry's resource, as it can be created
// again.
func (b *builder) described(one *v1.QuayRegistryBackup) (*corev1.Secret, error) {
	q := map[string]any{"apiVersion": v1.GroupVersion.String(), "kind": "QuayRegistry", "metadata": map[string]any{"name": b.name}, "spec": b.Registry.Spec}
	text, err := yaml.Marshal(q)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{TypeMeta: types("Secret", "v1"), ObjectMeta: b.ownedBy(one, "QuayRegistryBackup", LabelBackup, one.Name+"-backup-registry"),
		Data: map[string][]byte{"quayregistry.yaml": text}}, nil
}

// restore makes the Job that puts a backup back.
func (b *builder) restore() {
	one := b.Restore
	if one == nil {
		return
	}
	args := []string{"restore"}
	if one.Spec.Backup != "" {
		args = append(args, one.Spec.Backup)
	}
	c, volumes := b.vaulted(append(args, "--replace"), one.Spec.Vault, one.Spec.Unencrypted)
	b.set.Restore = &batchv1.Job{TypeMeta: types("Job", "batch/v1"), ObjectMeta: b.ownedBy(one, "QuayRegistryRestore", LabelRestore, one.Name+"-restore"),
		Spec: b.vaultedJob(c, volumes, LabelRestore, one.Name, 5)}
}

// Stopped has no pod of the registry run, as replicas of 0 do.
func Stopped(all plan.Components) {
	zero := int32(0)
	for _, kind := range []v1.ComponentKind{v1.ComponentQuay, v1.ComponentMirror} {
		if c, ok := all[kind]; ok {
			c.Overrides.Replicas = &zero
			all[kind] = c
		}
	}
}

// StoppedParts are the component labels of the pods that Stopped is about.
func StoppedParts() []string { return []string{partApp, partMirror} }
