package render

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// Where the registry finds its files.
const (
	stack       = "/conf/stack"
	extraCAs    = "extra_ca_certs"
	volumePath  = "/datastorage"
	serviceCA   = "service-ca.crt"
	trustedCA   = "ca-bundle.crt"
	clairFolder = "/clair"
)

// VolumeFolder is where a volume that stands in for a bucket is mounted.
const VolumeFolder = volumePath + "/registry"

// Stack are the files that the registry finds in its folder of configuration,
// by their names there.
func Stack(r Request) (map[string][]byte, error) {
	text, err := plan.Encode(plan.Config(r.All, r.Bundle, r.Keys, r.Facts))
	if err != nil {
		return nil, err
	}
	files := maps.Clone(r.Bundle.Files)
	if files == nil {
		files = map[string][]byte{}
	}
	files["config.yaml"] = text
	for name, ca := range r.Bundle.CAs {
		files[extraCAs+"/"+name] = ca
	}
	if r.serves() {
		files["ssl.cert"], files["ssl.key"] = r.Cert, r.Key
	}
	return files, nil
}

// secret adds a Secret whose name ends in the hash of what it holds, so that
// other content replaces the pods that mount it, and returns its name.
func (b *builder) secret(name string, data map[string][]byte) string {
	s := &corev1.Secret{TypeMeta: types("Secret", "v1"), ObjectMeta: b.meta(name+"-"+plan.Hash(data), partConfig, ""), Data: data, Type: corev1.SecretTypeOpaque}
	yes := true
	s.Immutable = &yes
	b.base(s)
	return s.Name
}

// fixed adds a Secret that keeps its name.
func (b *builder) fixed(name, part string, kind v1.ComponentKind, data map[string][]byte) {
	b.base(&corev1.Secret{TypeMeta: types("Secret", "v1"), ObjectMeta: b.meta(name, part, kind), Data: data, Type: corev1.SecretTypeOpaque})
}

// ManagedKeys is the name of the Secret that has the keys which are made once.
func ManagedKeys(registry string) string { return registry + "-quay-registry-managed-secret-keys" }

func (b *builder) config() (err error) {
	if b.files, err = Stack(b.Request); err != nil {
		return err
	}
	b.fixed(ManagedKeys(b.name), partConfig, "", b.Keys)
	own := map[string][]byte{"config.yaml": b.files["config.yaml"]}
	maps.Copy(own, b.Bundle.Files)
	b.set.ConfigSecret = b.secret(b.name+"-quay-config-secret", own)
	if b.serves() {
		b.tlsSecret = b.secret(b.name+"-quay-config-tls", map[string][]byte{"ssl.cert": b.Cert, "ssl.key": b.Key})
	}
	if len(b.Bundle.CAs) > 0 {
		b.caSecret = b.secret(b.name+"-extra-ca-certs", b.Bundle.CAs)
	}
	if len(b.Proxy) > 0 {
		data := map[string][]byte{}
		for k, v := range b.Proxy {
			data[k] = []byte(v)
		}
		b.proxySecret = b.secret(b.name+"-quay-proxy-config", data)
	}
	b.set.ConfigHash = plan.Hash(b.files)
	b.set.Schema = plan.Hash(map[string][]byte{"version": []byte(b.Version), "database": []byte(b.databaseURI())})
	if b.Cluster.Routes { // OpenShift fills them
		service := &corev1.ConfigMap{TypeMeta: types("ConfigMap", "v1"), ObjectMeta: b.meta(b.name+"-cluster-service-ca", partConfig, "")}
		service.Annotations["service.beta.openshift.io/inject-cabundle"] = "true"
		trusted := &corev1.ConfigMap{TypeMeta: types("ConfigMap", "v1"), ObjectMeta: b.meta(b.name+"-cluster-trusted-ca", partConfig, "")}
		trusted.Labels["config.openshift.io/inject-trusted-cabundle"] = "true"
		b.base(service, trusted)
	}
	return nil
}

func (b *builder) databaseURI() string {
	if b.All.Managed(v1.ComponentPostgres) {
		return string(b.Keys[plan.KeyDBURI])
	}
	s, _ := b.Bundle.Config["DB_URI"].(string)
	return s
}

// stackVolume is the folder of configuration as one volume.
func (b *builder) stackVolume() corev1.Volume {
	secret := func(name string, items ...corev1.KeyToPath) corev1.VolumeProjection {
		return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items}}
	}
	sources := []corev1.VolumeProjection{secret(b.set.ConfigSecret)}
	if b.tlsSecret != "" {
		sources = append(sources, secret(b.tlsSecret))
	}
	sources = append(sources, b.authorities(extraCAs+"/")...)
	return corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}}
}

// authorities are the user's and the cluster's, as files of a folder.
func (b *builder) authorities(folder string) (sources []corev1.VolumeProjection) {
	if b.caSecret != "" {
		p := &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: b.caSecret}}
		for _, name := range slices.Sorted(maps.Keys(b.Bundle.CAs)) {
			p.Items = append(p.Items, corev1.KeyToPath{Key: name, Path: folder + name})
		}
		sources = append(sources, corev1.VolumeProjection{Secret: p})
	}
	if b.Cluster.Routes {
		yes := true // until OpenShift has filled it
		for _, c := range [][2]string{{"-cluster-service-ca", serviceCA}, {"-cluster-trusted-ca", trustedCA}} {
			sources = append(sources, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: b.name + c[0]}, Optional: &yes, Items: []corev1.KeyToPath{{Key: c[1], Path: folder + c[1]}}}})
		}
	}
	return sources
}

// proxyEnv are the variables of the proxy.
func (b *builder) proxyEnv() (env []corev1.EnvVar) {
	for _, name := range slices.Sorted(maps.Keys(b.Proxy)) {
		env = append(env, fromSecret(name, b.proxySecret, name))
	}
	return env
}

// rolled are annotations of pods that another authority replaces.
func (b *builder) rolled() map[string]string {
	a := map[string]string{}
	if b.ServiceCA != "" {
		a["cluster-service-ca"] = b.ServiceCA
	}
	if b.TrustedCA != "" {
		a["cluster-trusted-ca"] = b.TrustedCA
	}
	return a
}
