package quaytest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/quaytest"
)

func TestFill(t *testing.T) {
	each(t, func(t *testing.T, q *quaytest.Quay) {
		s := q.Fill(t)
		checkCounts(t, q, &s)
		checkSecrets(t, q, &s)
		checkJSON(t, q, &s)
		checkBlobs(t, q, &s)
		checkManifests(t, q, &s)
		checkTags(t, q, &s)
	})
}

func checkCounts(t *testing.T, q *quaytest.Quay, s *quaytest.Sample) {
	t.Helper()
	user := q.Quoted("user")
	members := 0
	for _, team := range s.Teams {
		members += len(team.Members)
	}
	for query, want := range map[string]int{
		"SELECT COUNT(*) FROM " + user + " WHERE NOT organization AND NOT robot": len(s.Users),
		"SELECT COUNT(*) FROM " + user + " WHERE robot":                          len(s.Robots),
		"SELECT COUNT(*) FROM " + user + " WHERE organization AND enabled":       len(s.Orgs),
		"SELECT COUNT(*) FROM team":                                              len(s.Teams),
		"SELECT COUNT(*) FROM repository":                                        len(s.Repos) + len(s.SkippedRepos),
		"SELECT COUNT(*) FROM repository r JOIN repositorykind k ON k.id = r.kind_id WHERE k.name = 'image' AND r.state <> 3": len(s.Repos) + 1, // one of a deleted namespace
		"SELECT COUNT(*) FROM tag t JOIN manifest m ON m.id = t.manifest_id WHERE m.repository_id = t.repository_id":          len(s.Tags) + 2,  // of what is deleted
		"SELECT COUNT(*) FROM tag WHERE hidden":                                                            count(s.Tags, func(t quaytest.Tag) bool { return t.Hidden }),
		"SELECT COUNT(*) FROM manifestlabel":                                                               len(s.Labels),
		"SELECT COUNT(*) FROM repositorypermission":                                                        len(s.Permissions) + 1, // of what is deleted
		"SELECT COUNT(*) FROM permissionprototype":                                                         len(s.Prototypes),
		"SELECT COUNT(*) FROM star":                                                                        len(s.Stars),
		"SELECT COUNT(*) FROM teammember":                                                                  members,
		"SELECT COUNT(*) FROM repositorynotification":                                                      len(s.Notifications),
		"SELECT COUNT(*) FROM repositoryauthorizedemail":                                                   len(s.Emails),
		"SELECT COUNT(*) FROM userorganizationquota":                                                       len(s.Quotas),
		"SELECT COUNT(*) FROM messages":                                                                    len(s.Messages),
		"SELECT COUNT(*) FROM userregion":                                                                  len(s.Regions),
		"SELECT COUNT(*) FROM servicekey WHERE kid = " + literal(s.ServiceKey):                             1,
		"SELECT COUNT(*) FROM logentry3":                                                                   len(s.Logs) - 6,
		"SELECT COUNT(*) FROM logentry2":                                                                   3,
		"SELECT COUNT(*) FROM logentry":                                                                    3,
		"SELECT COUNT(*) FROM quotalimits":                                                                 3,
		"SELECT COUNT(*) FROM manifest WHERE manifest_bytes = ''":                                          count(s.Manifests, func(m quaytest.Manifest) bool { return len(m.Bytes) == 0 }),
		"SELECT COUNT(*) FROM imagestorage WHERE NOT cas_path":                                             2,
		"SELECT COUNT(*) FROM imagestorage WHERE uploading":                                                1,
		"SELECT COUNT(*) FROM imagestorage WHERE id NOT IN (SELECT storage_id FROM imagestorageplacement)": len(s.Absent) + 1,
	} {
		if got := q.Get(t, query); got != int64(want) {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if latest := q.Release == quaytest.Latest; latest != (len(s.Prune) > 0) || latest != (s.OrgMirror.Org != "") ||
		latest != slices.ContainsFunc(s.Tags, func(t quaytest.Tag) bool { return t.Immutable }) {
		t.Error("the sample has not what its release has")
	}
}

// checkJSON reads the columns whose JSON is inside a JSON string.
func checkJSON(t *testing.T, q *quaytest.Quay, s *quaytest.Sample) {
	t.Helper()
	columns := map[string]map[string]any{"SELECT config FROM teamsync": {"group_dn": s.Synced.Group}}
	if q.Release == quaytest.Latest {
		columns["SELECT policy FROM namespaceautoprunepolicy"] = map[string]any{"method": "number_of_tags", "value": 10.0}
	}
	for query, want := range columns {
		var inner string
		var got map[string]any
		if err := json.Unmarshal([]byte(text(t, q, query)), &inner); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if err := json.Unmarshal([]byte(inner), &got); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", query, got, err, want)
		}
	}
}

func count[T any](all []T, is func(T) bool) (n int) {
	for _, x := range all {
		if is(x) {
			n++
		}
	}
	return n
}

// checkSecrets opens and compares what is sealed and hashed, as the registry
// that reads it does.
func checkSecrets(t *testing.T, q *quaytest.Quay, s *quaytest.Sample) {
	t.Helper()
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: q.SecretKey, DatabaseSecretKey: q.DatabaseSecretKey})
	if err != nil {
		t.Fatal(err)
	}
	user := q.Quoted("user")
	sealed := map[string]string{
		"SELECT secure_client_secret FROM oauthapplication":                                                s.Application.Secret,
		"SELECT external_registry_username FROM repomirrorconfig":                                          s.Mirror.Username,
		"SELECT external_registry_password FROM repomirrorconfig":                                          s.Mirror.Password,
		"SELECT upstream_registry_username FROM proxycacheconfig":                                          s.Cache.Username,
		"SELECT upstream_registry_password FROM proxycacheconfig":                                          s.Cache.Password,
		"SELECT token_secret FROM appspecificauthtoken WHERE token_name = '" + s.AppToken.Token[:60] + "'": s.AppToken.Token[60:],
		"SELECT token_code FROM accesstoken WHERE token_name = '" + s.RepoToken.Token[:32] + "'":           s.RepoToken.Token[32:],
	}
	if q.Release == quaytest.Latest {
		sealed["SELECT external_registry_password FROM orgmirrorconfig"] = s.OrgMirror.Password
	}
	for _, r := range s.Robots {
		sealed["SELECT t.token FROM robotaccounttoken t JOIN "+user+" u ON u.id = t.robot_account_id WHERE u.username = '"+r.Name+"'"] = r.Token
	}
	for query, want := range sealed {
		if got, err := keys.Open("a.b", "1", text(t, q, query)); err != nil || got != want {
			t.Errorf("%s opens as %q, %v; want %q", query, got, err, want)
		}
	}
	hashed := map[string]string{
		"SELECT token_code FROM oauthaccesstoken WHERE token_name = '" + s.OAuthToken.Token[:20] + "'": s.OAuthToken.Token[20:],
	}
	for _, u := range s.Users {
		query := "SELECT COALESCE(password_hash, '') FROM " + user + " WHERE username = '" + u.Name + "'"
		if hashed[query] = u.Password; u.Password == "" {
			delete(hashed, query)
			if h := text(t, q, query); h != "" {
				t.Errorf("%s has a password", u.Name)
			}
		}
	}
	for query, want := range hashed {
		if h := text(t, q, query); bcrypt.CompareHashAndPassword([]byte(h), []byte(want)) != nil || !strings.HasPrefix(h, "$2b$") {
			t.Errorf("%s: %s is not the hash of %q", query, h, want)
		}
	}
}

// checkBlobs reads every blob from where its row says it is.
func checkBlobs(t *testing.T, q *quaytest.Quay, s *quaytest.Sample) {
	t.Helper()
	for digest, want := range s.Blobs {
		path := filepath.Join(q.Storage, "sha256", digest[7:9], digest[7:])
		if q.Get(t, "SELECT COUNT(*) FROM imagestorage WHERE content_checksum = "+literal(digest)+" AND NOT cas_path") == 1 {
			path = filepath.Join(q.Storage, "sharedimages", text(t, q, "SELECT uuid FROM imagestorage WHERE content_checksum = "+literal(digest)), "layer")
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) || quaytest.Digest(got) != digest {
			t.Errorf("%s: %d bytes, %v", digest, len(got), err)
		}
	}
	const empty = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
	if _, ok := s.Blobs[empty]; !ok {
		t.Error("the empty layer of schema 1 is not there")
	}
}

func checkManifests(t *testing.T, q *quaytest.Quay, s *quaytest.Sample) {
	t.Helper()
	shared := make(map[string]int)
	for _, m := range s.Manifests {
		got := text(t, q, "SELECT m.manifest_bytes FROM manifest m"+inRepo(q, m.Repo)+"m.digest = "+literal(m.Digest))
		if got != string(m.Bytes) {
			t.Errorf("%s@%s: other bytes", m.Repo, m.Digest)
		}
		for _, d := range m.Blobs {
			if _, ok := s.Blobs[d]; !ok && !slices.Contains(s.Absent, d) {
				t.Errorf("%s@%s: no blob %s", m.Repo, m.Digest, d)
			}
			shared[d]++
		}
		body := m.Bytes
		if strings.HasSuffix(m.MediaType, "prettyjws") {
			body = payload(t, body)
		}
		if len(body) > 0 && quaytest.Digest(body) != m.Digest {
			t.Errorf("%s@%s: not the digest of its bytes", m.Repo, m.Digest)
		}
	}
	if !slices.Contains(slices.Collect(maps.Values(shared)), 2) {
		t.Error("no blob is shared by two manifests")
	}
}

// payload returns the part of a manifest of schema 1 that is signed, after it
// has checked the signature.
func payload(t *testing.T, signed []byte) []byte {
	t.Helper()
	var doc struct {
		Signatures []struct {
			Header struct {
				JWK struct{ X, Y string }
			}
			Signature, Protected string
		}
	}
	var protected struct {
		FormatLength int
		FormatTail   string
	}
	if err := json.Unmarshal(signed, &doc); err != nil || len(doc.Signatures) != 1 {
		t.Fatalf("%d signatures, %v", len(doc.Signatures), err)
	}
	s := doc.Signatures[0]
	if err := json.Unmarshal(b64(t, s.Protected), &protected); err != nil {
		t.Fatal(err)
	}
	body := append(signed[:protected.FormatLength:protected.FormatLength], b64(t, protected.FormatTail)...)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, b64(t, s.Header.JWK.X), b64(t, s.Header.JWK.Y)))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(s.Protected + "." + base64.RawURLEncoding.EncodeToString(body)))
	sig := b64(t, s.Signature)
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Error("the signature is not that of the manifest")
	}
	return body
}

func b64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// inRepo is the SQL that ties m, a manifest, to a repository's whole name.
func inRepo(q *quaytest.Quay, repo string) string {
	return " JOIN repository r ON r.id = m.repository_id JOIN " + q.Quoted("user") +
		" u ON u.id = r.namespace_user_id WHERE CONCAT(u.username, '/', r.name) = " + literal(repo) + " AND "
}

func checkTags(t *testing.T, q *quaytest.Quay, s *quaytest.Sample) {
	t.Helper()
	now := s.Now.UnixMilli()
	kinds := make(map[string]int)
	for _, tag := range s.Tags {
		immutable := ""
		if q.Has("tag", "immutable") {
			immutable = fmt.Sprintf(" AND t.immutable = %t", tag.Immutable)
		}
		if n := q.Get(t, "SELECT COUNT(*) FROM tag t JOIN manifest m ON m.id = t.manifest_id"+inRepo(q, tag.Repo)+
			fmt.Sprintf("t.name = %s AND m.digest = %s AND t.lifetime_start_ms = %d AND COALESCE(t.lifetime_end_ms, 0) = %d AND t.hidden = %t AND t.reversion = %t",
				literal(tag.Name), literal(tag.Digest), tag.Start, tag.End, tag.Hidden, tag.Reversion)+immutable); n != 1 {
			t.Errorf("%+v: %d rows", tag, n)
		}
		switch {
		case tag.Hidden:
			kinds["hidden"]++
		case tag.End == 0:
			kinds["alive"]++
		case tag.End > now:
			kinds["expiring"]++
		default:
			kinds["history"]++
		}
		if tag.Reversion {
			kinds["reverted"]++
		}
	}
	for _, kind := range []string{"hidden", "alive", "expiring", "history", "reverted"} {
		if kinds[kind] == 0 {
			t.Errorf("no tag is %s", kind)
		}
	}
}

func literal(s string) string { return "'" + s + "'" }

func text(t *testing.T, q *quaytest.Quay, query string) (s string) {
	t.Helper()
	if err := q.DB.QueryRow(query).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// TestConfig reads config.yaml as the registry does.
func TestConfig(t *testing.T) {
	each(t, func(t *testing.T, q *quaytest.Quay) {
		conf, problems, err := config.Load(config.Options{Dir: q.Dir})
		if err != nil {
			t.Fatalf("%v: %v", err, problems)
		}
		for _, p := range problems {
			if p.Field != "BUILDLOGS_REDIS" { // builds are not there yet
				t.Errorf("%s", p)
			}
		}
		if uri, _ := conf.Get("DB_URI"); uri != q.URI {
			t.Errorf("DB_URI is %q, want %q", uri, q.URI)
		}
	})
}
