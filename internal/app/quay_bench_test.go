package app

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/quaytest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// BenchmarkImportQuay takes a Quay over that has GANTRY_IMAGES images (10,000),
// a hundred in each repository, with two tags and a layer of its own each.
func BenchmarkImportQuay(b *testing.B) {
	n := scaled(b, "GANTRY_IMAGES", 10_000)
	q := quaytest.New(b, storetest.EmptyURI(b, storetest.Postgres), quaytest.Latest)
	ann := q.Insert(b, "user", quaytest.Row{"username": "ann"})
	layer := `'sha256:' || encode(sha256(convert_to('layer ' || n, 'UTF8')), 'hex')`
	body := `format('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":1000},` +
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"%s","size":100000}],"annotations":{"org.opencontainers.image.description":"%s"}}', ` +
		`'sha256:' || encode(sha256('config'), 'hex'), ` + layer + `, repeat('x', 700))`
	series := fmt.Sprintf("generate_series(1, %d) n", n)
	for _, s := range []string{
		`INSERT INTO imagestorage (id, uuid, image_size, uploading, cas_path, content_checksum) VALUES (1000000000, 'config', 1000, false, true, 'sha256:' || encode(sha256('config'), 'hex'))`,
		`INSERT INTO imagestorage (id, uuid, image_size, uploading, cas_path, content_checksum) SELECT n, 'u' || n, 100000, false, true, ` + layer + ` FROM ` + series,
		`INSERT INTO imagestorageplacement (storage_id, location_id) SELECT s.id, l.id FROM imagestorage s, imagestoragelocation l WHERE l.name = 'default'`,
		fmt.Sprintf(`INSERT INTO repository (id, namespace_user_id, name, visibility_id, description, badge_token, kind_id, trust_enabled, state)
			SELECT n, %d, 'r' || n, 1, '', 'b', (SELECT id FROM repositorykind WHERE name = 'image'), false, 0 FROM generate_series(1, %d) n`, ann, (n+99)/100),
		`INSERT INTO manifest (id, repository_id, digest, media_type_id, manifest_bytes, subject_backfilled, artifact_type_backfilled)
			SELECT n, (n + 99) / 100, 'sha256:' || encode(sha256(convert_to(` + body + `, 'UTF8')), 'hex'), (SELECT id FROM mediatype WHERE name = 'application/vnd.oci.image.manifest.v1+json'), ` + body + `, true, true FROM ` + series,
		`INSERT INTO manifestblob (repository_id, manifest_id, blob_id) SELECT (n + 99) / 100, n, n FROM ` + series,
		`INSERT INTO manifestblob (repository_id, manifest_id, blob_id) SELECT (n + 99) / 100, n, 1000000000 FROM ` + series,
		`INSERT INTO tag (name, repository_id, manifest_id, lifetime_start_ms, hidden, reversion, immutable, tag_kind_id)
			SELECT x.name || n, (n + 99) / 100, n, 1700000000000, false, false, false, (SELECT id FROM tagkind WHERE name = 'tag') FROM ` + series + `, (VALUES ('v'), ('sha-')) x(name)`,
		`ANALYZE`,
	} {
		q.Exec(b, s)
	}
	for _, to := range []string{storetest.SQLite, storetest.Postgres, storetest.MariaDB} {
		b.Run(to, func(b *testing.B) {
			importing(b, q, to, ImportRequest{}, "manifests", n, 0)
		})
	}
}

// BenchmarkImportQuayLogs takes a Quay over whose action log has GANTRY_LOGS
// entries of the last month (100,000), four of five of them pulls, and a tenth
// as many that are older.
func BenchmarkImportQuayLogs(b *testing.B) {
	n := scaled(b, "GANTRY_LOGS", 100_000)
	const pull = `{"repo": "app", "namespace": "ann", "useragent": "containers/5.34.0 (github.com/containers/image)", "manifest_digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ` +
		`"mediaType": "application/vnd.oci.image.index.v1+json", "username": "ann", "resolved_ip": {"provider": "internet", "service": null, "sync_token": "1732700000", "country_iso_code": null, "aws_region": null, "continent": null}}`
	for _, from := range []string{storetest.Postgres, storetest.MariaDB} {
		q := quaytest.New(b, storetest.EmptyURI(b, from), quaytest.Latest)
		ann := q.Insert(b, "user", quaytest.Row{"username": "ann"})
		app := q.Insert(b, "repository", quaytest.Row{"namespace_user_id": ann, "name": "app", "visibility_id": "private"})
		series, at := fmt.Sprintf("generate_series(1, %d) n", n+n/10), `now() AT TIME ZONE 'UTC' - (interval '1 second' * (%d - n))`
		if from == storetest.MariaDB {
			series, at = fmt.Sprintf("(SELECT seq AS n FROM seq_1_to_%d) s", n+n/10), `UTC_TIMESTAMP() - INTERVAL (%d - n) SECOND`
		}
		at = strings.ReplaceAll(at, "(%d - n)", fmt.Sprintf("((%d - n) * %f)", n+n/10, (month-time.Hour).Seconds()/float64(n)))
		q.Exec(b, fmt.Sprintf(`INSERT INTO logentry3 (kind_id, account_id, performer_id, repository_id, datetime, ip, metadata_json)
			SELECT CASE WHEN n %% 5 = 0 THEN %d ELSE %d END, %d, %d, %d, %s, '192.0.2.1', '%s' FROM %s`,
			q.ID(b, "logentrykind", "push_repo"), q.ID(b, "logentrykind", "pull_repo"), ann, ann, app, at, pull, series))
		analyze := map[string]string{storetest.Postgres: "VACUUM ANALYZE", storetest.MariaDB: "ANALYZE TABLE logentry3"}[from]
		q.Exec(b, analyze)
		for _, to := range []string{storetest.SQLite, storetest.Postgres, storetest.MariaDB} {
			b.Run(from+"/"+to, func(b *testing.B) { importing(b, q, to, ImportRequest{Logs: month}, "log entries", n, 1) })
		}
	}
}

// scaled is a number that the environment may set.
func scaled(b *testing.B, name string, otherwise int) int {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// importing imports a Quay into new databases; n of something come over, and
// so many kinds of things are left out.
func importing(b *testing.B, q *quaytest.Quay, to string, r ImportRequest, what string, n, left int) {
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		if err := os.WriteFile(dir+"/config.yaml", fmt.Appendf(nil, "DB_URI: %q\nDATABASE_SECRET_KEY: ours\nSECRET_KEY: ours\nSERVER_HOSTNAME: quay.example.com\n"+
			"DISTRIBUTED_STORAGE_CONFIG: {default: [LocalStorage, {storage_path: %q}]}\nDISTRIBUTED_STORAGE_PREFERENCE: [default]\n", storetest.EmptyURI(b, to), q.Storage), 0o600); err != nil {
			b.Fatal(err)
		}
		a := NewAdmin(Options{Config: dir, Data: b.TempDir()})
		r.FromConfig = q.Dir
		b.StartTimer()
		began := time.Now()
		out, err := a.ImportQuay(b.Context(), r, nil)
		if err != nil || counted(out, what) < n || len(out.LeftOut) != left {
			b.Fatal(err, out)
		}
		b.ReportMetric(float64(n)/time.Since(began).Seconds(), strings.ReplaceAll(what, " ", "_")+"/s")
	}
}
