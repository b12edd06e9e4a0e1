package app

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/quaytest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// BenchmarkImportQuay takes a Quay over that has GANTRY_IMAGES images (10,000),
// a hundred in each repository, with two tags and a layer of its own each.
func BenchmarkImportQuay(b *testing.B) {
	n := 10_000
	if s := os.Getenv("GANTRY_IMAGES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
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
			for b.Loop() {
				b.StopTimer()
				dir := b.TempDir()
				if err := os.WriteFile(dir+"/config.yaml", fmt.Appendf(nil, "DB_URI: %q\nDATABASE_SECRET_KEY: ours\nSECRET_KEY: ours\nSERVER_HOSTNAME: quay.example.com\n"+
					"DISTRIBUTED_STORAGE_CONFIG: {default: [LocalStorage, {storage_path: %q}]}\nDISTRIBUTED_STORAGE_PREFERENCE: [default]\n", storetest.EmptyURI(b, to), q.Storage), 0o600); err != nil {
					b.Fatal(err)
				}
				a := NewAdmin(Options{Config: dir, Data: b.TempDir()})
				b.StartTimer()
				began := time.Now()
				out, err := a.ImportQuay(b.Context(), ImportRequest{FromConfig: q.Dir}, nil)
				if err != nil || counted(out, "manifests") != n || len(out.LeftOut) > 0 {
					b.Fatal(err, out)
				}
				b.ReportMetric(float64(n)/time.Since(began).Seconds(), "images/s")
			}
		})
	}
}
