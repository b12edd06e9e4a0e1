// Package quaytest makes databases as a Red Hat Quay has them, with the blobs
// and the configuration that belong to them, for tests of what reads them.
//
//	q := quaytest.New(t, storetest.EmptyURI(t, storetest.Postgres), quaytest.V37)
//	ann := q.Insert(t, "user", quaytest.Row{"username": "ann"})
//
// The names, types and keys are those of Quay's migrations.
package quaytest

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	// Its drivers are those that New opens.
	_ "github.com/gantry-registry/gantry/internal/store/storetest"
)

// A Quay is the database of one, and the folder with its configuration and
// blobs.
type Quay struct {
	URI     string // DB_URI
	Dir     string // of config.yaml
	Storage string // folder of the location "default", the only one that config.yaml has
	Release Release

	SecretKey, DatabaseSecretKey string // SECRET_KEY and DATABASE_SECRET_KEY

	DB      *sql.DB // closed when the test ends; its placeholders are the driver's own, see Exec
	dialect dialect
	tables  map[string]table
	names   map[string]map[string]int64 // the ids of the rows of enums
}

// New makes the schema of a release of Quay, with the rows that its migrations
// put there, in the empty database at uri: one of storetest.EmptyURI.
func New(t testing.TB, uri string, release Release) *Quay {
	t.Helper()
	dir := t.TempDir()
	q := &Quay{
		URI: uri, Dir: dir, Storage: filepath.Join(dir, "storage"), Release: release,
		SecretKey: newUUID(), DatabaseSecretKey: newNumber(),
		tables: make(map[string]table), names: make(map[string]map[string]int64),
	}
	q.open(t)
	all, err := schema(release)
	if err != nil {
		t.Fatalf("quaytest: schema: %v", err)
	}
	q.statement(t, "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)"+q.dialect.end)
	q.Exec(t, "INSERT INTO alembic_version VALUES (?)", release.revision())
	for _, table := range all {
		q.tables[table.name] = table
		for _, s := range q.dialect.create(table) {
			q.statement(t, s)
		}
	}
	if release == Latest {
		q.latestKeys(t)
	}
	for _, e := range enums {
		q.fillEnum(t, e)
	}
	q.writeConfig(t)
	return q
}

// latestKeys makes the unique keys that newer releases have in PostgreSQL only.
// There the organizations may share an e-mail address.
func (q *Quay) latestKeys(t testing.TB) {
	t.Helper()
	if !q.dialect.returning {
		q.statement(t, "CREATE UNIQUE INDEX user_email ON `user` (email)")
		return
	}
	q.statement(t, `CREATE UNIQUE INDEX tag_repository_id_name_active_unique ON tag (repository_id, name) WHERE lifetime_end_ms IS NULL`)
	q.statement(t, `CREATE UNIQUE INDEX user_email_unique_non_org ON "user" (email) WHERE organization = false`)
	q.statement(t, `CREATE INDEX user_email_idx ON "user" (email)`)
}

func (q *Quay) fillEnum(t testing.TB, e enum) {
	t.Helper()
	ids := make(map[string]int64)
	for _, name := range e.rows(q.Release) {
		row := Row{"name": name}
		if e.table == "labelsourcetype" {
			row["mutable"] = name == "api"
		}
		ids[name] = q.Insert(t, e.table, row)
	}
	q.names[e.table] = ids
}

func (q *Quay) open(t testing.TB) {
	t.Helper()
	u, err := url.Parse(q.URI)
	if err != nil {
		t.Fatalf("quaytest: %v", err)
	}
	driver, address := "pgx", q.URI
	q.dialect = postgres
	switch u.Scheme {
	case "postgresql":
		address = strings.Replace(address, "transaction_pooling=true", "default_query_exec_mode=exec", 1)
	case "mysql+pymysql":
		q.dialect = mysql
		at := "tcp(" + u.Host + ")"
		if socket := u.Query().Get("unix_socket"); socket != "" {
			at = "unix(" + socket + ")"
		}
		driver, address = "mysql", u.User.String()+"@"+at+u.Path+"?parseTime=true&interpolateParams=true"
	default:
		t.Fatalf("quaytest: Quay has its database in PostgreSQL or MySQL, not at %s", q.URI)
	}
	if q.DB, err = sql.Open(driver, address); err != nil {
		t.Fatalf("quaytest: %v", err)
	}
	t.Cleanup(func() {
		if err := q.DB.Close(); err != nil {
			t.Errorf("quaytest: close: %v", err)
		}
	})
}

func (q *Quay) writeConfig(t testing.TB) {
	t.Helper()
	redis := map[string]any{"host": "localhost", "port": 6379}
	text, err := yaml.Marshal(map[string]any{
		"AUTHENTICATION_TYPE":                   "Database",
		"BUILDLOGS_REDIS":                       redis,
		"DATABASE_SECRET_KEY":                   q.DatabaseSecretKey,
		"DB_URI":                                q.URI,
		"DEFAULT_TAG_EXPIRATION":                "2w",
		"DISTRIBUTED_STORAGE_CONFIG":            map[string]any{"default": []any{"LocalStorage", map[string]any{"storage_path": q.Storage}}},
		"DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": []string{},
		"DISTRIBUTED_STORAGE_PREFERENCE":        []string{"default"},
		"EXTERNAL_TLS_TERMINATION":              true,
		"FEATURE_MAILING":                       false,
		"PREFERRED_URL_SCHEME":                  "https",
		"SECRET_KEY":                            q.SecretKey,
		"SERVER_HOSTNAME":                       "quay.example.com",
		"SETUP_COMPLETE":                        true,
		"SUPER_USERS":                           []string{"ann"},
		"TAG_EXPIRATION_OPTIONS":                []string{"0s", "1d", "1w", "2w", "4w"},
		"USER_EVENTS_REDIS":                     redis,
	})
	if err != nil {
		t.Fatalf("quaytest: %v", err)
	}
	q.write(t, filepath.Join(q.Dir, "config.yaml"), text)
	if err := os.MkdirAll(q.Storage, 0o700); err != nil {
		t.Fatalf("quaytest: %v", err)
	}
}

func (q *Quay) write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatalf("quaytest: %v", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatalf("quaytest: %v", err)
	}
}

// Blob puts content into Storage, with its rows of imagestorage and
// imagestorageplacement, and returns the former's id. A legacy blob is stored
// under its uuid and not its digest. The same content is stored once.
func (q *Quay) Blob(t testing.TB, content []byte, legacy bool) (id int64, digest string) {
	t.Helper()
	digest = Digest(content)
	if id := q.Get(t, "SELECT id FROM imagestorage WHERE content_checksum = ?", digest); id != 0 {
		return id, digest
	}
	row := Row{"uuid": newUUID(), "image_size": len(content), "content_checksum": digest, "uploading": false, "cas_path": !legacy}
	path := filepath.Join(q.Storage, "sha256", digest[7:9], digest[7:])
	if legacy {
		path = filepath.Join(q.Storage, "sharedimages", fmt.Sprint(row["uuid"]), "layer")
	}
	q.write(t, path, content)
	id = q.Insert(t, "imagestorage", row)
	q.Insert(t, "imagestorageplacement", Row{"storage_id": id, "location_id": "default"})
	return id, digest
}

// Digest returns the SHA-256 digest of content.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
