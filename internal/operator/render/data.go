package render

import (
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// asks is what a claim asks for.
func asks(size *resource.Quantity, usual string) corev1.VolumeResourceRequirements {
	q := resource.MustParse(usual)
	if size != nil {
		q = *size
	}
	return corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: q}}
}

func (b *builder) claim(name, part string, kind v1.ComponentKind, size *resource.Quantity, class *string, mode corev1.PersistentVolumeAccessMode) {
	b.base(&corev1.PersistentVolumeClaim{TypeMeta: types("PersistentVolumeClaim", "v1"), ObjectMeta: b.meta(name, part, kind), Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{mode}, Resources: asks(size, "50Gi"), StorageClassName: class}})
}

// A postgres is one of the two databases.
type postgres struct {
	kind              v1.ComponentKind
	name, part        string // name of the Deployment, of the Service and of the claim
	secret            string
	user, db          string
	password, root    string
	connections       string
	cpu, memory, most string
	size              *resource.Quantity
}

// database makes the registry's database.
func (b *builder) database() {
	if !b.All.Managed(v1.ComponentPostgres) {
		return
	}
	uri, _ := url.Parse(string(b.Keys[plan.KeyDBURI])) // nil only if somebody spoiled the key; the configuration's check says so
	if uri == nil || uri.User == nil {
		uri = &url.URL{User: url.User("")}
	}
	password, _ := uri.User.Password()
	b.postgres(postgres{
		kind: v1.ComponentPostgres, name: b.name + "-quay-database", part: partPostgres, secret: b.name + "-postgres-config-secret",
		user: uri.User.Username(), password: password, root: string(b.Keys[plan.KeyDBRoot]), db: strings.TrimPrefix(uri.Path, "/"),
		connections: "1000", cpu: "100m", memory: "256Mi", most: "2Gi", size: b.overrides(v1.ComponentPostgres).VolumeSize,
	})
}

// postgres makes a database with its volume. The variables and the folder are
// those of the images postgresql of Software Collections.
func (b *builder) postgres(p postgres) {
	o := b.overrides(p.kind)
	b.base(&corev1.ServiceAccount{TypeMeta: types("ServiceAccount", "v1"), ObjectMeta: b.meta(p.name, p.part, p.kind)})
	b.fixed(p.secret, p.part, p.kind, map[string][]byte{"database-username": []byte(p.user), "database-password": []byte(p.password),
		"database-name": []byte(p.db), "database-root-password": []byte(p.root)})
	b.claim(p.name, p.part, p.kind, p.size, o.StorageClassName, corev1.ReadWriteOnce)
	b.base(&corev1.Service{TypeMeta: types("Service", "v1"), ObjectMeta: b.meta(p.name, p.part, p.kind), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, Selector: b.selector(p.part), Ports: []corev1.ServicePort{servicePort("postgres", "", 5432, 5432)}}})
	c := corev1.Container{Name: "postgres", Ports: []corev1.ContainerPort{port("postgres", 5432)}, Resources: resources(p.cpu, p.memory, p.most),
		Env: []corev1.EnvVar{fromSecret("POSTGRESQL_USER", p.secret, "database-username"), fromSecret("POSTGRESQL_PASSWORD", p.secret, "database-password"),
			fromSecret("POSTGRESQL_DATABASE", p.secret, "database-name"), fromSecret("POSTGRESQL_ADMIN_PASSWORD", p.secret, "database-root-password"),
			{Name: "POSTGRESQL_SHARED_BUFFERS", Value: "128MB"}, {Name: "POSTGRESQL_MAX_CONNECTIONS", Value: p.connections}},
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/var/lib/pgsql/data"}}}
	c.StartupProbe, c.ReadinessProbe, c.LivenessProbe = dial(5432, 2, 300), dial(5432, 5, 3), dial(5432, 15, 10)
	b.set.Data = append(b.set.Data, b.deployment(workload{kind: p.kind, name: p.name, part: p.part, container: c, volumes: []corev1.Volume{claimed("data", p.name)},
		grace: 180, recreate: true, replicas: one()}))
}

func one() *int32 { n := int32(1); return &n }

// group is the group that a volume belongs to: OpenShift chooses one itself.
func (b *builder) group() *int64 {
	if b.Cluster.Routes {
		return nil
	}
	n := int64(1001)
	return &n
}

// redis makes the cache, which keeps nothing on disk.
func (b *builder) redis() {
	if b.All.Managed(v1.ComponentClairPostgres) {
		b.postgres(postgres{
			kind: v1.ComponentClairPostgres, name: b.name + "-clair-postgres", part: partClairPostgres, secret: b.name + "-clair-postgres-config-secret",
			user: string(b.Keys[plan.KeyClairUser]), password: string(b.Keys[plan.KeyClairPassword]), root: string(b.Keys[plan.KeyClairRoot]), db: string(b.Keys[plan.KeyClairName]),
			connections: "1000", cpu: "50m", memory: "128Mi", most: "2Gi", size: orSize(b.overrides(v1.ComponentClairPostgres).VolumeSize, b.overrides(v1.ComponentClair).VolumeSize),
		})
	}
	if !b.All.Managed(v1.ComponentRedis) {
		return
	}
	name, secret := b.name+"-quay-redis", b.name+"-quay-redis-config-secret"
	b.fixed(secret, partRedis, v1.ComponentRedis, map[string][]byte{"password": b.Keys[plan.KeyRedisPassword]})
	b.base(&corev1.Service{TypeMeta: types("Service", "v1"), ObjectMeta: b.meta(name, partRedis, v1.ComponentRedis), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, Selector: b.selector(partRedis), Ports: []corev1.ServicePort{servicePort("redis", "", 6379, 6379)}}})
	c := corev1.Container{Name: "redis-master", Ports: []corev1.ContainerPort{port("redis", 6379)}, Resources: resources("50m", "64Mi", "1Gi"),
		Env: []corev1.EnvVar{fromSecret("REDIS_PASSWORD", secret, "password")}}
	c.ReadinessProbe, c.LivenessProbe = dial(6379, 5, 3), dial(6379, 15, 10)
	b.set.Data = append(b.set.Data, b.deployment(workload{kind: v1.ComponentRedis, name: name, part: partRedis, container: c, replicas: one(), grace: 30}))
}

func orSize(a, b *resource.Quantity) *resource.Quantity {
	if a != nil {
		return a
	}
	return b
}

// storage makes the bucket, or the volume that stands in for it.
func (b *builder) storage() {
	if !b.All.Managed(v1.ComponentObjectStorage) {
		return
	}
	o, name := b.overrides(v1.ComponentObjectStorage), b.name+"-quay-datastore"
	if b.Facts.Volume != "" {
		mode := corev1.ReadWriteOnce
		if o.AccessMode != "" {
			mode = o.AccessMode
		}
		b.claim(name, partStorage, v1.ComponentObjectStorage, o.VolumeSize, o.StorageClassName, mode)
		return
	}
	class, spec := "openshift-storage.noobaa.io", map[string]any{"generateBucketName": "quay-datastore"}
	if o.StorageClassName != nil {
		class = *o.StorageClassName
	}
	spec["storageClassName"] = class
	switch {
	case o.BucketClass != nil:
		spec["additionalConfig"] = map[string]any{"bucketclass": *o.BucketClass}
	case o.StorageClassName == nil:
		spec["additionalConfig"] = map[string]any{"bucketclass": "noobaa-default-bucket-class"}
	}
	b.base(loose("objectbucket.io/v1alpha1", "ObjectBucketClaim", b.meta(name, partStorage, v1.ComponentObjectStorage), map[string]any{"spec": spec}))
}
