//go:build cluster

package k8s

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/quaytest"
)

const ecosystem = `
apiVersion: redhatcop.redhat.io/v1alpha1
kind: QuayEcosystem
metadata: {name: r}
spec:
  quay:
    database: {volumeSize: 1Gi}
    externalAccess: {type: NodePort, hostname: 10.244.0.1}
    registryBackends: [{name: default, s3: {}}]
`

const oldDatabase = `
apiVersion: v1
kind: Service
metadata: {name: old-db}
spec: {selector: {app: db}, ports: [{port: 5432}]}
`

// oldSecret is the password of the database that dataPods has, in an address.
const oldSecret = "it%27s%20%5C%20secret"

// TestMigration has a QuayEcosystem, whose Quay has a database on the node and a
// bucket, become a registry, pulls from that, and goes back.
func TestMigration(t *testing.T) {
	w := newWalk(t, gantryImage)
	crd, err := os.ReadFile("../../internal/operator/testdata/quayecosystem.yaml")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, "", string(crd))
	t.Cleanup(func() {
		if _, err := try(t, "delete", "crd", "quayecosystems.redhatcop.redhat.io", "--timeout=1m"); err != nil {
			t.Error(err)
		}
	})
	q, sample := w.quay(t)
	apply(t, w.ns, ecosystem)
	apply(t, w.ns, nodeService)
	began := time.Now()
	kubectl(t, "label", "quayecosystem", "r", "-n", w.ns, "quay-operator/migrate=true")
	eventually(t, "the migration is complete", func() error {
		out, err := try(t, "get", "quayecosystem", "r", "-n", w.ns, "-o", `jsonpath={.metadata.labels.quay-operator/migration-complete} {.status.conditions}`)
		if err == nil && !strings.HasPrefix(out, "true") {
			err = errors.New(out)
		}
		return err
	})
	t.Logf("the migration took %.1f s", time.Since(began).Seconds())
	w.available(t, 0)

	// Robots pull with the tokens that they had, and people with their passwords.
	pull := func(user, secret, from string) {
		t.Helper()
		if _, err := command("skopeo", "copy", "--src-cert-dir", w.trust, "--src-creds", user+":"+secret, "docker://"+host+"/"+from, "oci:"+filepath.Join(t.TempDir(), "image")); err != nil {
			t.Errorf("%s pulls %s: %v", user, from, err)
		}
	}
	for _, r := range sample.Robots {
		if r.Name == "acme+ci" {
			pull(r.Name, r.Token, "acme/app:latest")
		}
	}
	pull(sample.Users[0].Name, sample.Users[0].Password, "ann/home:latest") // whose layer lies where old releases put it
	pull(sample.Users[0].Name, sample.Users[0].Password, "acme/app:v1")
	if n := w.restarts(t, "quay-operator/quayregistry=r"); n > 0 {
		t.Errorf("containers were started again, %d times", n)
	}

	// And back: the registry goes, and the Quay has all that it had.
	users := q.Get(t, "SELECT COUNT(*) FROM "+q.Quoted("user"))
	kubectl(t, "delete", "quayregistry", "r", "-n", w.ns, "--timeout=2m")
	kubectl(t, "wait", "-n", w.ns, "deployment/db", "--for=condition=Available", "--timeout=1m")
	if after := q.Get(t, "SELECT COUNT(*) FROM "+q.Quoted("user")); after != users || after == 0 {
		t.Errorf("the Quay has %d accounts, and had %d", after, users)
	}
	for digest := range sample.Blobs {
		if _, err := os.Stat(filepath.Join(w.vault.bucket, "registry", "sha256", digest[7:9], digest[7:])); err != nil && q.Get(t, "SELECT COUNT(*) FROM imagestorage WHERE content_checksum = ? AND cas_path", digest) > 0 {
			t.Error(err)
		}
	}
	if got := kubectl(t, "get", "quayecosystem", "r", "-n", w.ns, "-o", "jsonpath={.spec.quay.database.volumeSize}"); got != "1Gi" {
		t.Errorf("the QuayEcosystem is another: %q", got)
	}
	if out := kubectl(t, "get", "quayregistry", "-n", w.ns, "-o", "name"); out != "" {
		t.Errorf("there is a registry again: %s", out)
	}
}

// quay makes what a Quay of the old operator leaves: its database, its bucket and
// the Secret of its configuration.
func (w *walk) quay(t *testing.T) (*quaytest.Quay, quaytest.Sample) {
	t.Helper()
	apply(t, w.ns, dataPods)
	apply(t, w.ns, oldDatabase)
	kubectl(t, "wait", "-n", w.ns, "deployment/db", "--for=condition=Available", "--timeout=2m")
	ip := kubectl(t, "get", "pods", "-n", w.ns, "-l", "app=db", "-o", "jsonpath={.items[0].status.podIP}")
	q := quaytest.New(t, "postgresql://r-quay-database:"+oldSecret+"@"+ip+":5432/r-quay-database", quaytest.V37)
	sample := q.Fill(t)
	if err := os.CopyFS(filepath.Join(w.vault.bucket, "registry"), os.DirFS(q.Storage)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
SERVER_HOSTNAME: %s
PREFERRED_URL_SCHEME: https
AUTHENTICATION_TYPE: Database
DB_URI: postgresql://r-quay-database:%s@old-db:5432/r-quay-database
SECRET_KEY: %q
DATABASE_SECRET_KEY: %q
SUPER_USERS: [ann]
FEATURE_REPO_MIRROR: true
SIGNING_ENGINE: gpg2
DISTRIBUTED_STORAGE_CONFIG:
  default: [S3Storage, {storage_path: /registry, %s}]
DISTRIBUTED_STORAGE_PREFERENCE: [default]
`, host, oldSecret, q.SecretKey, q.DatabaseSecretKey, w.vault.engine), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "create", "secret", "generic", "quay-enterprise-config-secret", "-n", w.ns, "--from-file=config.yaml="+file,
		"--from-file=ssl.cert="+w.certs+".crt", "--from-file=ssl.key="+w.certs+".key")
	return q, sample
}
