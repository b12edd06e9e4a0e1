package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/quaytest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// quayTarget is the configuration of a registry that takes a Quay over.
func quayTarget(t *testing.T, q *quaytest.Quay, dialect string) (dir, uri string) {
	t.Helper()
	uri = storetest.EmptyURI(t, dialect)
	return folder(t, map[string]string{"config.yaml": fmt.Sprintf(`
DB_URI: %s
DATABASE_SECRET_KEY: "a-key-of-our-own-that-is-not-the-quays"
SECRET_KEY: %q
SERVER_HOSTNAME: quay.example.com
FEATURE_RATE_LIMITS: false
DISTRIBUTED_STORAGE_CONFIG:
  default: [LocalStorage, {storage_path: %q}]
DISTRIBUTED_STORAGE_PREFERENCE: [default]
`, uri, q.SecretKey, q.Storage)}), uri
}

func sum(b string) string {
	s := sha256.Sum256([]byte(b))
	return "sha256:" + hex.EncodeToString(s[:])
}

// TestImportSmall brings the smallest of Quays over.
func TestImportSmall(t *testing.T) {
	for _, from := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(from, func(t *testing.T) {
			q := quaytest.New(t, storetest.EmptyURI(t, from), quaytest.V37)
			ann := q.Insert(t, "user", quaytest.Row{"username": "ann", "email": "ann@example.com", "verified": true})
			robot := q.Insert(t, "user", quaytest.Row{"username": "ann+ci", "robot": true})
			q.Insert(t, "robotaccounttoken", quaytest.Row{"robot_account_id": robot, "token": q.Seal("ROBOTTOKEN")})
			repo := q.Insert(t, "repository", quaytest.Row{"namespace_user_id": ann, "name": "app", "visibility_id": "private", "kind_id": "image"})
			q.Insert(t, "repositorypermission", quaytest.Row{"user_id": robot, "repository_id": repo, "role_id": "read"})
			blob, layer := q.Blob(t, []byte("a layer"), false)
			old, config := q.Blob(t, []byte("{}"), true)
			body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},`+
				`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":7}]}`, config, layer)
			manifest := q.Insert(t, "manifest", quaytest.Row{"repository_id": repo, "digest": sum(body), "media_type_id": "application/vnd.oci.image.manifest.v1+json", "manifest_bytes": body})
			for _, b := range []int64{blob, old} {
				q.Insert(t, "manifestblob", quaytest.Row{"repository_id": repo, "manifest_id": manifest, "blob_id": b})
			}
			q.Insert(t, "tag", quaytest.Row{"name": "v1", "repository_id": repo, "manifest_id": manifest, "lifetime_start_ms": 1_700_000_000_000, "tag_kind_id": "tag"})

			dir, uri := quayTarget(t, q, storetest.SQLite)
			data := t.TempDir()
			a := NewAdmin(Options{Config: dir, Data: data})
			out, err := a.ImportQuay(t.Context(), ImportRequest{FromConfig: q.Dir}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", out)
			db := storetest.Open(t, storetest.SQLite, store.Options{URI: uri})
			flaws, err := db.VerifyEdges(t.Context())
			if err != nil || len(flaws) > 0 {
				t.Fatal(err, flaws)
			}
			s := open(t, Options{Config: dir, Data: data})
			token := send(t, "GET", s.base+"/v2/auth?service=quay.example.com&scope=repository:ann/app:pull", "", "Authorization", basic("ann+ci", "ROBOTTOKEN")).json(t)
			bearer := fmt.Sprint("Bearer ", token["token"])
			if r := send(t, "GET", s.base+"/v2/ann/app/manifests/v1", "", "Authorization", bearer); r.status != 200 || r.body != body {
				t.Fatal(r)
			}
			for _, d := range []string{layer, config} {
				if r := send(t, "GET", s.base+"/v2/ann/app/blobs/"+d, "", "Authorization", bearer); r.status != 200 || !strings.Contains("a layer {}", r.body) {
					t.Error(r)
				}
			}
		})
	}
}
