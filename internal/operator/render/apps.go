package render

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// Ports of the registry's pods.
const (
	portHTTP    = 8080
	portHTTPS   = 8443
	portJWT     = 8081
	portMetrics = 9091
	portBuilds  = 55443
)

func (b *builder) accounts() {
	b.base(&corev1.ServiceAccount{TypeMeta: types("ServiceAccount", "v1"), ObjectMeta: b.meta(b.name+"-quay-app", partApp, v1.ComponentQuay)})
}

// registryContainer is what the registry's pods, its workers and its migration
// have in common.
func (b *builder) registryContainer(name string, args ...string) (corev1.Container, []corev1.Volume) {
	env := []corev1.EnvVar{
		{Name: "QE_K8S_CONFIG_SECRET", Value: b.set.ConfigSecret},
		{Name: "QE_K8S_NAMESPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}},
		{Name: "DEBUGLOG", Value: "false"},
		{Name: "QUAY_VERSION", Value: b.Version},
	}
	if b.Bundle.Config["FEATURE_FIPS"] == true {
		env = append(env, corev1.EnvVar{Name: "GODEBUG", Value: "fips140=on"}) // of the Job and of commands in the pods, too
	}
	c := corev1.Container{Name: name, Args: args, Env: append(env, b.proxyEnv()...), VolumeMounts: []corev1.VolumeMount{
		{Name: "config", MountPath: stack, ReadOnly: true}, {Name: "data", MountPath: "/data"}, {Name: "tmp", MountPath: "/tmp"}}}
	volumes := []corev1.Volume{b.stackVolume(), emptyDir("data"), emptyDir("tmp")}
	if b.Facts.Volume != "" && b.All.Managed(v1.ComponentObjectStorage) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "datastorage", MountPath: volumePath})
		volumes = append(volumes, claimed("datastorage", b.name+"-quay-datastore"))
	}
	return c, volumes
}

// app makes the registry, its Service, and the Job that migrates its database.
func (b *builder) app() {
	args := []string{"registry-nomigrate", "--drain-delay", "10s"}
	if b.All.Managed(v1.ComponentMirror) { // whose pods mirror
		args = append(args, "--role", "registry,api,gc,jobs,notify,replicate")
	}
	c, volumes := b.registryContainer("quay-app", args...)
	c.Ports = []corev1.ContainerPort{port("https", portHTTPS), port("http", portHTTP), port("metrics", portMetrics), port("grpc", portBuilds)}
	c.Resources = resources("100m", "256Mi", "2Gi")
	at, tls := portHTTP, b.tlsSecret != ""
	if tls {
		at = portHTTPS
	}
	c.StartupProbe = healthy(at, tls, 2, 300) // a server waits for its database
	c.ReadinessProbe = healthy(at, tls, 5, 3)
	c.LivenessProbe = healthy(at, tls, 15, 10)
	b.set.Apps = append(b.set.Apps, b.deployment(workload{
		kind: v1.ComponentQuay, name: b.name + "-quay-app", part: partApp, container: c, volumes: volumes, account: b.name + "-quay-app", annotations: b.rolled(),
		spread: true, together: b.alone(), replicas: b.replicas(v1.ComponentQuay), grace: 90, deployment: map[string]string{AnnotationMigrated: b.set.Schema},
	}))
	meta := b.meta(b.name+"-quay-app", partApp, v1.ComponentQuay)
	meta.Annotations = over(meta.Annotations, b.overrides(v1.ComponentQuay).ServiceAnnotations)
	b.base(&corev1.Service{TypeMeta: types("Service", "v1"), ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, Selector: b.selector(partApp), Ports: []corev1.ServicePort{
			servicePort("https", "https", 443, portHTTPS), servicePort("http", "http", 80, portHTTP),
			servicePort("jwtproxy", "", portJWT, portJWT), servicePort("grpc", "grpc", portBuilds, portBuilds)}}})
	b.migration()
}

// migration makes the Job. Its name changes with the configuration, so that a
// mended one is tried at once.
func (b *builder) migration() {
	c, volumes := b.registryContainer("quay-app-upgrade", "migrate", "head")
	c.Resources = resources("50m", "128Mi", "1Gi")
	template := b.jobPod(partUpgrade, c, volumes)
	retries := int32(100)
	name := b.name + "-quay-app-upgrade-" + plan.Hash(map[string][]byte{"schema": []byte(b.set.Schema), "config": []byte(b.set.ConfigHash)})
	b.set.Migrate = &batchv1.Job{TypeMeta: types("Job", "batch/v1"), ObjectMeta: b.meta(name, partUpgrade, v1.ComponentQuay),
		Spec: batchv1.JobSpec{Template: template, BackoffLimit: &retries}}
}

// mirror makes the workers that mirror.
func (b *builder) mirror() {
	if !b.All.Managed(v1.ComponentMirror) {
		return
	}
	c, volumes := b.registryContainer("quay-mirror", "repomirror-nomigrate")
	c.Env = append(c.Env, corev1.EnvVar{Name: "ENSURE_NO_MIGRATION", Value: "true"})
	c.Ports = []corev1.ContainerPort{port("metrics", portMetrics)}
	c.Resources = resources("50m", "128Mi", "1Gi")
	c.StartupProbe = healthy(portMetrics, false, 2, 300)
	c.ReadinessProbe = healthy(portMetrics, false, 10, 3)
	c.LivenessProbe = healthy(portMetrics, false, 15, 10)
	b.set.Apps = append(b.set.Apps, b.deployment(workload{
		kind: v1.ComponentMirror, name: b.name + "-quay-mirror", part: partMirror, container: c, volumes: volumes, annotations: b.rolled(),
		spread: true, together: b.alone(), replicas: b.replicas(v1.ComponentMirror), grace: 120,
	}))
}

// clair makes the scanner.
func (b *builder) clair() {
	if !b.All.Managed(v1.ComponentClair) {
		return
	}
	o := b.overrides(v1.ComponentClair)
	c := corev1.Container{Name: "clair-app", Env: append([]corev1.EnvVar{{Name: "CLAIR_CONF", Value: clairFolder + "/config.yaml"}, {Name: "CLAIR_MODE", Value: "combo"}}, b.proxyEnv()...),
		Ports: []corev1.ContainerPort{port("clair-http", 8080), port("clair-intro", 8089)}, Resources: resources("100m", "256Mi", "4Gi"),
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: clairFolder, ReadOnly: true}, {Name: "certs", MountPath: "/var/run/certs", ReadOnly: true}, {Name: "layers", MountPath: "/var/tmp"}}}
	c.StartupProbe, c.ReadinessProbe, c.LivenessProbe = dial(8089, 10, 300), dial(8080, 10, 3), dial(8089, 15, 10)
	certs := corev1.Volume{Name: "certs", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: b.authorities("")}}}
	config := corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: b.name + "-clair-config-secret"}}}
	layers := emptyDir("layers")
	if o.StorageClassName != nil {
		layers = corev1.Volume{Name: "layers", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
			Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: o.StorageClassName, Resources: asks(nil, "20Gi")}}}}}
	}
	b.set.Data = append(b.set.Data, b.deployment(workload{
		kind: v1.ComponentClair, name: b.name + "-clair-app", part: partClair, container: c, volumes: []corev1.Volume{config, certs, layers},
		annotations: over(b.rolled(), map[string]string{"quay-operator/clair-config": plan.Hash(b.clairFiles())}), spread: true, replicas: b.replicas(v1.ComponentClair),
	}))
	meta := b.meta(b.name+"-clair-app", partClair, v1.ComponentClair)
	meta.Annotations = over(meta.Annotations, o.ServiceAnnotations)
	b.base(&corev1.Service{TypeMeta: types("Service", "v1"), ObjectMeta: meta, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Selector: b.selector(partClair),
		Ports: []corev1.ServicePort{servicePort("clair-http", "http", 80, 8080), servicePort("clair-introspection", "http", 8089, 8089)}}})
}

// clairFiles are the scanner's configuration.
func (b *builder) clairFiles() map[string][]byte {
	text, err := plan.Encode(plan.ClairConfig(b.All, b.Bundle, b.Keys, b.Facts))
	if err != nil {
		return nil // clairConfig says so
	}
	files := map[string][]byte{"config.yaml": text}
	for name, data := range b.Bundle.ClairFiles {
		files[name] = slices.Clone(data)
	}
	return files
}

func (b *builder) clairConfig() error {
	if !b.All.Managed(v1.ComponentClair) {
		return nil
	}
	if _, err := plan.Encode(plan.ClairConfig(b.All, b.Bundle, b.Keys, b.Facts)); err != nil {
		return err
	}
	b.fixed(b.name+"-clair-config-secret", partClair, v1.ComponentClair, b.clairFiles())
	return nil
}
