package render

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

var images = map[v1.ComponentKind]string{
	v1.ComponentQuay: "registry.example.com:5000/gantry/gantry@sha256:1111", v1.ComponentMirror: "registry.example.com:5000/gantry/gantry@sha256:1111",
	v1.ComponentPostgres: "example.com/postgresql:15", v1.ComponentClairPostgres: "example.com/postgresql:15", v1.ComponentRedis: "example.com/redis:7", v1.ComponentClair: "example.com/clair:4",
}

// ask makes a Request out of a spec and a bundle, with keys that are no secrets.
func ask(t *testing.T, spec v1.QuayRegistrySpec, cluster plan.Cluster, bundle map[string]string) Request {
	t.Helper()
	data := map[string][]byte{"config.yaml": nil}
	for k, v := range bundle {
		data[k] = []byte(v)
	}
	b, err := plan.ReadBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	all, err := plan.Decide(spec, cluster, b)
	if err != nil {
		t.Fatal(err)
	}
	access, err := plan.Reach("skynet", "quay", all, cluster, b)
	if err != nil {
		t.Fatal(err)
	}
	q := &v1.QuayRegistry{Spec: spec}
	q.Name, q.Namespace, q.UID = "skynet", "quay", "00000000-0000-0000-0000-000000000001"
	keys := plan.Keys{plan.KeySecret: []byte("s"), plan.KeyDatabaseSecret: []byte("d"), plan.KeyConfigEditor: []byte("e"), plan.KeyDBRoot: []byte("root"),
		plan.KeyDBURI: []byte("postgresql://skynet-quay-database:pw@skynet-quay-database:5432/skynet-quay-database"), plan.KeyRedisPassword: []byte("r"), plan.KeyScannerPSK: []byte("p"),
		plan.KeyClairUser: []byte("skynet-clair"), plan.KeyClairName: []byte("skynet-clair"), plan.KeyClairPassword: []byte("c"), plan.KeyClairRoot: []byte("cr")}
	r := Request{Registry: q, All: all, Bundle: b, Keys: keys, Access: access, Cluster: cluster, Images: images, Version: "3.7.0",
		Facts: plan.Facts{Name: "skynet", Namespace: "quay", Hostname: access.Hostname, TLSAtRoute: access.TLSAtDoor}}
	if b.HasCert() {
		r.Cert, r.Key = b.Cert, b.Key
	} else if access.Own {
		r.Cert, r.Key = []byte("own"), []byte("key")
	}
	if cluster.Buckets {
		r.Facts.Bucket = &plan.Bucket{Host: "s3.openshift-storage.svc.cluster.local", Name: "quay-datastore-1", AccessKey: "a", Key: "k"}
	} else {
		r.Facts.Volume = VolumeFolder
	}
	return r
}

var (
	openshift = plan.Cluster{Routes: true, AppsDomain: "apps.example.com", Buckets: true, Monitoring: true, Images: map[v1.ComponentKind]bool{v1.ComponentClair: true}}
	bare      = plan.Cluster{}
)

// cases are registries of all kinds.
func cases(t *testing.T) map[string]Request {
	class, size, three := "fast", resource.MustParse("70Gi"), int32(3)
	full := ask(t, v1.QuayRegistrySpec{}, openshift, nil)
	full.ServiceCA, full.TrustedCA, full.Console = "12345678", "87654321", true
	own := ask(t, v1.QuayRegistrySpec{Components: []v1.Component{{Kind: v1.ComponentTLS}}}, openshift, map[string]string{
		"config.yaml": "SERVER_HOSTNAME: quay.example.com\nBUILDMAN_HOSTNAME: builds.example.com:443\nFEATURE_QUOTA_MANAGEMENT: true\n", "ssl.cert": "cert", "ssl.key": "key", "ldap.crt": "ldap"})
	own.Proxy = map[string]string{"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost"}
	ingress := bare
	ingress.Ingresses = true
	changed := v1.QuayRegistrySpec{NetworkPolicies: true, Components: []v1.Component{
		{Kind: v1.ComponentHPA}, {Kind: v1.ComponentQuay, Managed: true, Overrides: &v1.Override{Replicas: &three, Env: []corev1.EnvVar{{Name: "DEBUGLOG", Value: "true"}, {Name: "X", Value: "y"}},
			Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "b"}, NodeSelector: map[string]string{"infra": ""}, ServiceAnnotations: map[string]string{"lb": "c"},
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.DoNotSchedule}}}},
		{Kind: v1.ComponentPostgres, Managed: true, Overrides: &v1.Override{VolumeSize: &size, StorageClassName: &class, Image: "mine/postgres:1"}},
		{Kind: v1.ComponentObjectStorage, Managed: true, Overrides: &v1.Override{AccessMode: corev1.ReadWriteMany}},
		{Kind: v1.ComponentRoute, Managed: true, Overrides: &v1.Override{Annotations: map[string]string{"cert-manager.io/cluster-issuer": "acme"}}},
	}}
	backed := ask(t, v1.QuayRegistrySpec{ConfigBundleSecret: "bundle"}, bare, nil)
	nightly := &v1.QuayRegistryBackup{Spec: v1.QuayRegistryBackupSpec{Registry: "skynet", Vault: v1.Vault{Secret: "vault"}, Schedule: "0 3 * * *", Keep: 14}}
	nightly.Name, nightly.Namespace, nightly.UID = "nightly", "quay", "00000000-0000-0000-0000-000000000002"
	once := &v1.QuayRegistryBackup{Spec: v1.QuayRegistryBackupSpec{Registry: "skynet", Vault: v1.Vault{Secret: "vault"}, Unencrypted: true, Suspend: true}}
	once.Name, once.Namespace, once.UID, once.Generation = "once", "quay", "00000000-0000-0000-0000-000000000003", 2
	back := &v1.QuayRegistryRestore{Spec: v1.QuayRegistryRestoreSpec{Registry: "skynet", Vault: v1.Vault{Secret: "vault"}, Backup: "20260102T150405Z-abcdef"}}
	back.Name, back.Namespace, back.UID = "back", "quay", "00000000-0000-0000-0000-000000000004"
	backed.Backups, backed.Restore = []*v1.QuayRegistryBackup{nightly, once}, back
	Stopped(backed.All)
	imported := ask(t, v1.QuayRegistrySpec{ConfigBundleSecret: "skynet-config-bundle-1", NetworkPolicies: true}, bare, nil)
	imported.Import = &Import{Secret: "quay-enterprise-config-secret", Hash: "1", Logs: "90d"}
	return map[string]Request{
		"backups":     backed,
		"import":      imported,
		"openshift":   full,
		"certificate": own,
		"bare":        ask(t, v1.QuayRegistrySpec{}, bare, nil),
		"overrides":   ask(t, changed, ingress, map[string]string{"config.yaml": "SERVER_HOSTNAME: quay.example.com"}),
		"unmanaged": ask(t, v1.QuayRegistrySpec{Components: []v1.Component{{Kind: v1.ComponentPostgres}, {Kind: v1.ComponentRedis}, {Kind: v1.ComponentObjectStorage}, {Kind: v1.ComponentRoute},
			{Kind: v1.ComponentTLS}, {Kind: v1.ComponentHPA}, {Kind: v1.ComponentMirror}, {Kind: v1.ComponentMonitoring}, {Kind: v1.ComponentClair}}}, openshift, map[string]string{
			"config.yaml": "SERVER_HOSTNAME: q.example.com\nDB_URI: postgresql://a:b@c/d\nUSER_EVENTS_REDIS: {host: r}\nDISTRIBUTED_STORAGE_CONFIG: {a: [S3Storage, {}]}\nEXTERNAL_TLS_TERMINATION: true\n"}),
	}
}

// editorOf is the configuration editor of a registry.
func editorOf(t *testing.T, r Request) *Editor {
	t.Helper()
	e, err := RenderEditor(EditorRequest{Registry: r.Registry, Cluster: r.Cluster, Images: r.Images, Version: r.Version, Password: "e", NoRequests: r.NoRequests,
		Host: plan.EditorHost("skynet", "quay", r.All, r.Cluster)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestGolden holds every object of seven registries to a file.
func TestGolden(t *testing.T) {
	for name, r := range cases(t) {
		set, err := Render(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var text strings.Builder
		objects := slices.Concat(set.Base, set.Data, []client.Object{set.Migrate}, set.Apps, set.Backups, editorOf(t, r).Objects)
		if set.Import != nil {
			objects = append(objects, set.Import)
		}
		if set.Restore != nil {
			objects = append(objects, set.Restore)
		}
		for _, o := range objects {
			doc, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString("---\n" + string(doc))
		}
		file := filepath.Join("testdata", name+".yaml")
		if *update {
			if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := text.String(); got != string(want) {
			g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
			i := 0
			for i < min(len(g), len(w)) && g[i] == w[i] {
				i++
			}
			t.Errorf("%s: line %d is\n%s\nand not\n%s\n(go test ./internal/operator/render -update writes it anew)", name, i+1, strings.Join(g[i:min(len(g), i+8)], "\n"), strings.Join(w[i:min(len(w), i+8)], "\n"))
		}
	}
}

// TestObjects holds what is true of all objects of all registries.
func TestObjects(t *testing.T) {
	for name, r := range cases(t) {
		one, err := Render(r)
		if err != nil {
			t.Fatal(err)
		}
		two, err := Render(r)
		if err != nil || !reflect.DeepEqual(one, two) {
			t.Errorf("%s: the same request gives other objects: %v", name, err)
		}
		seen := map[string]bool{}
		editor := editorOf(t, r)
		objects := slices.Concat(one.All(), []client.Object{one.Migrate}, editor.Objects)
		if one.Import != nil {
			objects = append(objects, one.Import)
		}
		for _, o := range objects {
			gvk := o.GetObjectKind().GroupVersionKind()
			id := gvk.Kind + " " + o.GetNamespace() + "/" + o.GetName()
			if gvk.Kind == "" || gvk.Version == "" || seen[id] {
				t.Errorf("%s: %s has no kind, or is there twice", name, id)
			}
			seen[id] = true
			if o.GetLabels()[LabelRegistry] != "skynet" || o.GetLabels()["app"] != "quay" || o.GetLabels()[LabelComponent] == "" {
				t.Errorf("%s: labels of %s: %v", name, id, o.GetLabels())
			}
			owned := len(o.GetOwnerReferences()) == 1 && o.GetOwnerReferences()[0].UID == r.Registry.UID
			if owned != (o.GetNamespace() == "quay") {
				t.Errorf("%s: owners of %s: %v", name, id, o.GetOwnerReferences())
			}
			if len(o.GetName()) > 63 {
				t.Errorf("%s: the name of %s is too long", name, id)
			}
		}
		for _, o := range slices.Concat(one.Apps, one.Data, editor.Objects) {
			d, ok := o.(*appsv1.Deployment)
			if !ok {
				continue
			}
			spec := d.Spec.Template.Spec
			c := spec.Containers[0]
			s := c.SecurityContext
			if !*s.RunAsNonRoot || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || c.Image == "" || c.LivenessProbe == nil || c.ReadinessProbe == nil {
				t.Errorf("%s: container of %s: %+v", name, d.Name, c)
			}
			if len(c.Resources.Requests) != 2 {
				t.Errorf("%s: %s asks for no resources", name, d.Name)
			}
			for _, env := range c.Env {
				if regexp.MustCompile(`(?i)password|secret_key`).MatchString(env.Name) && env.Value != "" {
					t.Errorf("%s: %s has a secret as a plain variable: %s", name, d.Name, env.Name)
				}
			}
		}
	}
}

// TestFIPS: FEATURE_FIPS is the environment's of every pod that runs Gantry on the
// configuration, before it reads that.
func TestFIPS(t *testing.T) {
	for _, on := range []bool{false, true} {
		r := cases(t)["openshift"]
		r.Bundle.Config["FEATURE_FIPS"] = on
		set, err := Render(r)
		if err != nil {
			t.Fatal(err)
		}
		has := map[string]bool{}
		for _, o := range append(set.All(), set.Migrate) {
			var spec corev1.PodSpec
			switch o := o.(type) {
			case *appsv1.Deployment:
				spec = o.Spec.Template.Spec
			case *batchv1.Job:
				spec = o.Spec.Template.Spec
			default:
				continue
			}
			has[spec.Containers[0].Name] = slices.Contains(spec.Containers[0].Env, corev1.EnvVar{Name: "GODEBUG", Value: "fips140=on"})
		}
		for _, name := range []string{"quay-app", "quay-mirror", "quay-app-upgrade"} {
			if has[name] != on {
				t.Errorf("FEATURE_FIPS %v, %s: %v", on, name, has)
			}
		}
	}
}

// TestRequests: a complete registry asks for at most a tenth of what Quay's
// does, 26 GiB and 10.5 CPUs.
func TestRequests(t *testing.T) {
	set, err := Render(cases(t)["openshift"])
	if err != nil {
		t.Fatal(err)
	}
	var cpu, memory resource.Quantity
	for _, o := range append(set.All(), editorOf(t, cases(t)["openshift"]).Objects...) {
		if d, ok := o.(*appsv1.Deployment); ok {
			n := 2 // of an autoscaler
			if d.Spec.Replicas != nil {
				n = int(*d.Spec.Replicas)
			}
			for range n {
				r := d.Spec.Template.Spec.Containers[0].Resources.Requests
				cpu.Add(r[corev1.ResourceCPU])
				memory.Add(r[corev1.ResourceMemory])
			}
		}
	}
	if cpu.MilliValue() > 1050 || memory.Value() > 26<<30/10 || cpu.IsZero() {
		t.Errorf("a registry asks for %s CPUs and %s of memory", &cpu, &memory)
	}
	r := cases(t)["bare"]
	r.NoRequests = true
	if set, err = Render(r); err != nil {
		t.Fatal(err)
	}
	for _, o := range slices.Concat(set.Apps, slices.DeleteFunc(editorOf(t, r).Objects, func(o client.Object) bool { _, ok := o.(*appsv1.Deployment); return !ok })) {
		if c := o.(*appsv1.Deployment).Spec.Template.Spec.Containers[0]; len(c.Resources.Requests)+len(c.Resources.Limits) > 0 {
			t.Errorf("%s asks for %v", o.GetName(), c.Resources)
		}
	}
}

// TestWhatRolls: what changes replaces the pods that it is for, and no others.
func TestWhatRolls(t *testing.T) {
	templates := func(r Request) map[string]corev1.PodTemplateSpec {
		set, err := Render(r)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]corev1.PodTemplateSpec{}
		for _, o := range append(set.Apps, set.Data...) {
			m[o.GetName()] = o.(*appsv1.Deployment).Spec.Template
		}
		return m
	}
	base := templates(ask(t, v1.QuayRegistrySpec{}, openshift, nil))
	for name, c := range map[string]struct {
		r    Request
		want []string
	}{
		"the same":    {ask(t, v1.QuayRegistrySpec{}, openshift, nil), nil},
		"config.yaml": {ask(t, v1.QuayRegistrySpec{}, openshift, map[string]string{"config.yaml": "FEATURE_QUOTA_MANAGEMENT: true"}), []string{"skynet-quay-app", "skynet-quay-mirror"}},
		"a file":      {ask(t, v1.QuayRegistrySpec{}, openshift, map[string]string{"ldap.crt": "x"}), []string{"skynet-quay-app", "skynet-quay-mirror"}},
		"Clair":       {ask(t, v1.QuayRegistrySpec{}, openshift, map[string]string{"clair-config.yaml": "log_level: debug"}), []string{"skynet-clair-app"}},
	} {
		var got []string
		for deployment, template := range templates(c.r) {
			if !reflect.DeepEqual(template, base[deployment]) {
				got = append(got, deployment)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s replaces the pods of %v; want %v", name, got, c.want)
		}
	}
}

// pods are the templates of all pods of a set, by the names of what makes them.
func pods(t *testing.T, r Request) map[string]corev1.PodTemplateSpec {
	t.Helper()
	set, err := Render(r)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]corev1.PodTemplateSpec{"upgrade": set.Migrate.Spec.Template}
	for _, o := range append(set.Apps, set.Data...) {
		m[o.GetName()] = o.(*appsv1.Deployment).Spec.Template
	}
	return m
}

// TestEnv: variables of an override are those of the component's pods, in place
// of the operator's; quay's are the migration's as well.
func TestEnv(t *testing.T) {
	of := map[v1.ComponentKind][]string{v1.ComponentQuay: {"skynet-quay-app", "upgrade"}, v1.ComponentMirror: {"skynet-quay-mirror"}, v1.ComponentClair: {"skynet-clair-app"},
		v1.ComponentPostgres: {"skynet-quay-database"}, v1.ComponentClairPostgres: {"skynet-clair-postgres"}, v1.ComponentRedis: {"skynet-quay-redis"}}
	for kind, want := range of {
		env := []corev1.EnvVar{{Name: "DEBUGLOG", Value: "true"}, {Name: "HTTPS_PROXY", Value: "http://mine:1"}, {Name: "NO_PROXY", Value: "svc.cluster.local,localhost,quay.example.com"}}
		r := ask(t, v1.QuayRegistrySpec{Components: []v1.Component{{Kind: kind, Managed: true, Overrides: &v1.Override{Env: env}}}}, openshift, nil)
		r.Proxy = map[string]string{"HTTPS_PROXY": "http://operators:1"}
		var got []string
		for name, p := range pods(t, r) {
			n := 0
			for _, v := range p.Spec.Containers[0].Env {
				for _, w := range env {
					if v.Name == w.Name && v.Value == w.Value && v.ValueFrom == nil {
						n++
					} else if v.Name == w.Name && slices.Contains(want, name) {
						t.Errorf("%s: %s has %+v", kind, name, v)
					}
				}
			}
			if n == len(env) {
				got = append(got, name)
			} else if n > 0 {
				t.Errorf("%s: %s has %d of the variables", kind, name, n)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the variables are in %v; want %v", kind, got, want)
		}
	}
}

// TestPlacement: every pod of a registry can be had on nodes for infrastructure.
func TestPlacement(t *testing.T) {
	infra := v1.Override{NodeSelector: map[string]string{"node-role.kubernetes.io/infra": ""}, Tolerations: []corev1.Toleration{{Key: "node-role.kubernetes.io/infra", Effect: corev1.TaintEffectNoSchedule, Operator: corev1.TolerationOpExists}}}
	var components []v1.Component
	for _, kind := range []v1.ComponentKind{v1.ComponentQuay, v1.ComponentMirror, v1.ComponentClair, v1.ComponentPostgres, v1.ComponentClairPostgres, v1.ComponentRedis} {
		components = append(components, v1.Component{Kind: kind, Managed: true, Overrides: &infra})
	}
	all := pods(t, ask(t, v1.QuayRegistrySpec{Components: components}, openshift, nil))
	if len(all) != 7 {
		t.Errorf("%d kinds of pods", len(all))
	}
	for name, p := range all {
		if !reflect.DeepEqual(p.Spec.NodeSelector, infra.NodeSelector) || !reflect.DeepEqual(p.Spec.Tolerations, infra.Tolerations) {
			t.Errorf("%s goes to %v, and tolerates %v", name, p.Spec.NodeSelector, p.Spec.Tolerations)
		}
	}
}

// authority is a certificate of one, in PEM.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestAuthorities: extra_ca_cert_NAME is a file in the folder of authorities of
// the registry, its workers, its migration and Clair, and no other file.
func TestAuthorities(t *testing.T) {
	all := pods(t, ask(t, v1.QuayRegistrySpec{}, openshift, map[string]string{"extra_ca_cert_storage.crt": authority(t), "ldap.crt": "x"}))
	for name, folder := range map[string]string{"skynet-quay-app": "extra_ca_certs/", "skynet-quay-mirror": "extra_ca_certs/", "upgrade": "extra_ca_certs/", "skynet-clair-app": ""} {
		n := 0
		for _, v := range all[name].Spec.Volumes {
			if v.Projected == nil {
				continue
			}
			for _, s := range v.Projected.Sources {
				if s.Secret != nil && strings.HasPrefix(s.Secret.Name, "skynet-extra-ca-certs-") && len(s.Secret.Items) == 1 && s.Secret.Items[0] == (corev1.KeyToPath{Key: "storage.crt", Path: folder + "storage.crt"}) {
					n++
				}
			}
		}
		if n != 1 {
			t.Errorf("%s has the authority %d times", name, n)
		}
	}
}

// TestMetricsAreThere: alerts and dashboards name metrics that the registry has.
func TestMetricsAreThere(t *testing.T) {
	text, err := os.ReadFile("../../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Render(cases(t)["openshift"])
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, o := range set.Base {
		doc, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(quay|gantry)_[a-z_]+[{]`).FindAllString(string(doc), -1) {
			n++
			name = strings.TrimRight(name, "{")
			for _, end := range []string{"_bucket", "_count", "_sum"} {
				name = strings.TrimSuffix(name, end)
			}
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("there is no metric %s", name)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d metrics are named", n)
	}
}
