package plan

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// Names of the managed keys in the Secret R-quay-registry-managed-secret-keys
// (operator.md, section 9).
const (
	KeyConfigEditor   = "CONFIG_EDITOR_PW"
	KeyDatabaseSecret = "DATABASE_SECRET_KEY"
	KeySecret         = "SECRET_KEY"
	KeyDBRoot         = "DB_ROOT_PW"
	KeyDBURI          = "DB_URI"
	KeyScannerPSK     = "SECURITY_SCANNER_V4_PSK"
	KeyClairUser      = "CLAIR_DB_USER"
	KeyClairPassword  = "CLAIR_DB_PASSWORD"
	KeyClairRoot      = "CLAIR_DB_ROOT_PW"
	KeyClairName      = "CLAIR_DB_NAME"
	KeyRedisPassword  = "REDIS_PASSWORD"
)

// A Keys are secrets that are made once and kept.
type Keys map[string][]byte

// Complete returns the keys of a registry: those that there are, unchanged, and
// new ones for what is missing. made says whether there are new ones. A key that
// the user's config.yaml has is that one.
func Complete(name string, there Keys, all Components, b *Bundle) (keys Keys, made bool, err error) {
	keys = Keys{}
	for k, v := range there {
		keys[k] = v
	}
	want := func(key string, value func() (string, error)) {
		if err != nil || len(keys[key]) > 0 {
			return
		}
		var s string
		if s, err = value(); err == nil {
			keys[key], made = []byte(s), true
		}
	}
	letters := func(n int) func() (string, error) { return func() (string, error) { return random(n) } }
	own := func(key string) func() (string, error) {
		if s, ok := b.Config[key].(string); ok && s != "" {
			return func() (string, error) { return s, nil }
		}
		return letters(80)
	}
	want(KeySecret, own("SECRET_KEY"))
	want(KeyDatabaseSecret, own("DATABASE_SECRET_KEY"))
	want(KeyConfigEditor, Password)
	if all.Managed(v1.ComponentPostgres) {
		want(KeyDBRoot, letters(32))
		want(KeyDBURI, func() (string, error) {
			password, err := random(80)
			return databaseURI(name, password), err
		})
	}
	if all.Managed(v1.ComponentRedis) {
		want(KeyRedisPassword, letters(32))
	}
	if all.Managed(v1.ComponentClair) {
		want(KeyScannerPSK, func() (string, error) {
			raw := make([]byte, 24) // 32 characters
			_, err := rand.Read(raw)
			return base64.StdEncoding.EncodeToString(raw), err
		})
	}
	if all.Managed(v1.ComponentClairPostgres) {
		want(KeyClairUser, func() (string, error) { return name + "-clair", nil })
		want(KeyClairName, func() (string, error) { return name + "-clair", nil })
		want(KeyClairPassword, letters(32))
		want(KeyClairRoot, letters(32))
	}
	return keys, made, err
}

// Password makes the password of the configuration editor.
func Password() (string, error) { return random(16) }

// databaseURI is the address of the managed database.
func databaseURI(name, password string) string {
	db := name + "-quay-database"
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(db, password), Host: db + ":5432", Path: "/" + db}
	return u.String()
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// random returns n letters and digits.
func random(n int) (string, error) {
	b := make([]byte, n)
	for i := range b {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", fmt.Errorf("make a key: %w", err)
		}
		b[i] = alphabet[k.Int64()]
	}
	return string(b), nil
}
