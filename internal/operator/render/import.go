package render

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// AnnotationImport on a QuayRegistry names the Secret with the configuration
// of a Quay, whose database is imported before the registry starts for the first
// time.
const AnnotationImport = "quay-operator/import-config"

// AnnotationImportLogs on such a QuayRegistry is how old the entries of the
// action log may be that are imported: as 90d, all, or 0 for none; 30 days
// without it.
const AnnotationImportLogs = "quay-operator/import-logs"

// PartImport is the component label of pods that import a Quay's database.
const PartImport = "quay-import"

// quayFolder is where a pod that imports finds the Quay's configuration.
const quayFolder = "/conf/quay"

// An Import is a Quay whose database is imported.
type Import struct {
	Secret string // with its configuration
	Hash   string // of what is in it; with another one the import is tried anew
	Logs   string // what AnnotationImportLogs says; "" = nothing
}

// importing makes the Job that imports a Quay's database into the registry's,
// which it gives its schema. Its name changes with both configurations and the age
// of the log, so that what was mended is tried at once.
func (b *builder) importing() {
	if b.Import == nil {
		return
	}
	args := []string{"db", "import", "--config", stack, "--from-config", quayFolder, "--data", "/data", "--database-wait", "1m"}
	of := map[string][]byte{"schema": []byte(b.set.Schema), "config": []byte(b.set.ConfigHash), "quay": []byte(b.Import.Hash)}
	if b.Import.Logs != "" {
		args, of["logs"] = append(args, "--logs", b.Import.Logs), []byte(b.Import.Logs)
	}
	c, volumes := b.registryContainer(PartImport, args...)
	c.Resources = resources("100m", "256Mi", "2Gi")
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "quay", MountPath: quayFolder, ReadOnly: true})
	template := b.jobPod(PartImport, c, append(volumes, fromSecretVolume("quay", b.Import.Secret)))
	retries := int32(100)
	name := b.name + "-quay-import-" + plan.Hash(of)
	b.set.Import = &batchv1.Job{TypeMeta: types("Job", "batch/v1"), ObjectMeta: b.meta(name, PartImport, v1.ComponentQuay),
		Spec: batchv1.JobSpec{Template: template, BackoffLimit: &retries}}
}

// jobPod is the template of a Job that works on the database, and is tried until
// it succeeds.
func (b *builder) jobPod(part string, c corev1.Container, volumes []corev1.Volume) corev1.PodTemplateSpec {
	o := b.overrides(v1.ComponentQuay)
	w := workload{kind: v1.ComponentQuay, part: part, container: c, volumes: volumes, annotations: map[string]string{
		// A proxy beside it would keep the Job from ending.
		"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled", "kuma.io/sidecar-injection": "disabled"}}
	template := b.pod(w, v1.Override{Env: o.Env, Image: o.Image, NodeSelector: o.NodeSelector, Tolerations: o.Tolerations,
		ImagePullSecrets: o.ImagePullSecrets, PriorityClassName: o.PriorityClassName, Resources: o.Resources})
	template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	return template
}
