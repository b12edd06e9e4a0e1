package quaytest_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/quaytest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// each runs f on a new Quay of each server and release.
func each(t *testing.T, f func(t *testing.T, q *quaytest.Quay)) {
	for _, server := range []string{storetest.Postgres, storetest.MariaDB} {
		for name, release := range map[string]quaytest.Release{"v37": quaytest.V37, "latest": quaytest.Latest} {
			t.Run(server+"/"+name, func(t *testing.T) {
				f(t, quaytest.New(t, storetest.EmptyURI(t, server), release))
			})
		}
	}
}

func TestInsert(t *testing.T) {
	each(t, func(t *testing.T, q *quaytest.Quay) {
		ann := q.Insert(t, "user", quaytest.Row{"username": "ann"})
		bob := q.Insert(t, "user", quaytest.Row{"username": "bob"})
		if ann == bob || ann == 0 {
			t.Fatalf("ids %d and %d", ann, bob)
		}
		n := q.Get(t, "SELECT COUNT(*) FROM "+q.Quoted("user")+` WHERE username = ? AND enabled AND NOT robot AND removed_tag_expiration_s = 1209600
			AND LENGTH(uuid) = 36 AND LENGTH(email) = 64 AND password_hash IS NULL AND creation_date IS NOT NULL`, "ann")
		if n != 1 {
			t.Error("a new user has not what Quay gives it")
		}
		repo := q.Insert(t, "repository", quaytest.Row{"namespace_user_id": ann, "name": "app", "visibility_id": "private"})
		if got := q.Get(t, "SELECT visibility_id FROM repository WHERE id = ?", repo); got != q.ID(t, "visibility", "private") {
			t.Errorf("visibility %d", got)
		}
		latest := q.Release == quaytest.Latest
		for column, want := range map[string]bool{"immutable": latest, "reversion": true} {
			if got := q.Has("tag", column); got != want {
				t.Errorf("tag.%s is there: %v", column, got)
			}
		}
		for table, want := range map[string]bool{"orgmirrorconfig": latest, "namespacegeorestriction": !latest, "tag": true} {
			if got := q.Has(table, ""); got != want {
				t.Errorf("%s is there: %v", table, got)
			}
		}
	})
}

func TestBlob(t *testing.T) {
	q := quaytest.New(t, storetest.EmptyURI(t, storetest.Postgres), quaytest.Latest)
	for content, legacy := range map[string]bool{"new": false, "old": true} {
		id, digest := q.Blob(t, []byte(content), legacy)
		again, _ := q.Blob(t, []byte(content), legacy)
		if again != id {
			t.Errorf("%s is stored as %d and as %d", content, id, again)
		}
		var uuid string
		if err := q.DB.QueryRow("SELECT uuid FROM imagestorage WHERE id = $1", id).Scan(&uuid); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(q.Storage, "sha256", digest[7:9], strings.TrimPrefix(digest, "sha256:"))
		if legacy {
			path = filepath.Join(q.Storage, "sharedimages", uuid, "layer")
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, []byte(content)) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestSeal(t *testing.T) {
	for name, secret := range map[string]string{
		"number": "46290612743598216542081350231671459862517045129875041876520418735106287451",
		"uuid":   "9d1d32b2-f6ad-4a67-a1c4-9a5e5d3b6a0e",
		"text":   "not a number, nor a UUID",
	} {
		t.Run(name, func(t *testing.T) {
			q := &quaytest.Quay{DatabaseSecretKey: secret}
			keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: "x", DatabaseSecretKey: secret})
			if err != nil {
				t.Fatal(err)
			}
			for _, plain := range []string{"", "a", "fifteen letters", "exactly sixteen.", strings.Repeat("long ", 1000)} {
				sealed := q.Seal(plain)
				if got, err := keys.Open("robotaccounttoken.token", "1", sealed); err != nil || got != plain {
					t.Errorf("%q opens as %q, %v", plain, got, err)
				}
				if sealed == q.Seal(plain) {
					t.Errorf("%q is sealed twice with one nonce", plain)
				}
			}
		})
	}
}

// TestKeys tries what the server of a Quay refuses.
func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, q *quaytest.Quay) {
		ann := q.Insert(t, "user", quaytest.Row{"username": "ann", "email": "ann@example.com"})
		acme := q.Insert(t, "user", quaytest.Row{"username": "acme", "organization": true, "email": "acme@example.com"})
		repo := q.Insert(t, "repository", quaytest.Row{"namespace_user_id": ann, "name": "app", "visibility_id": "private"})
		for name, insert := range map[string]string{
			"unique":      fmt.Sprintf("INSERT INTO repository (namespace_user_id, name, visibility_id, badge_token) VALUES (%d, 'app', 1, 'x')", ann),
			"foreign key": fmt.Sprintf("INSERT INTO star (user_id, repository_id, created) VALUES (%d, %d, '2022-01-01')", ann, repo+1),
			"not null":    fmt.Sprintf("INSERT INTO star (user_id, repository_id) VALUES (%d, %d)", ann, repo),
			"enum":        "INSERT INTO role (name) VALUES ('admin')",
		} {
			if _, err := q.DB.Exec(insert); err == nil {
				t.Errorf("%s: not refused", name)
			}
		}
		email := "UPDATE " + q.Quoted("user") + " SET email = 'acme@example.com' WHERE id = "
		if _, err := q.DB.Exec(email + fmt.Sprint(ann)); (err == nil) != sharesEmail(q) {
			t.Errorf("a user has the address of an organization: %v", err)
		}
		if n := q.Exec(t, "INSERT INTO star (user_id, repository_id, created) VALUES (?, ?, '2022-01-01')", ann, repo); n != 1 {
			t.Errorf("%d rows", n)
		}
		q.Exec(t, "DELETE FROM "+q.Quoted("user")+" WHERE id = ?", acme)
	})
}

// sharesEmail reports whether an organization's address may be that of another
// account.
func sharesEmail(q *quaytest.Quay) bool {
	return q.Release == quaytest.Latest && strings.HasPrefix(q.URI, "postgresql:")
}
