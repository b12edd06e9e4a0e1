//go:build !small

package app

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/servertest"
)

// TestSwift runs the configurations of docs/deploy/swift.md against a real
// Swift, the second one by way of a stand-in for Keystone.
func TestSwift(t *testing.T) {
	t.Parallel() // most of it is waiting
	s := servertest.Swift(t)
	k := servertest.NewKeystone(t, s)
	container := "t" + strings.ToLower(rand.Text())
	s.Container(t, container)
	docs := documented(t, "swift.md",
		"https://swift.example.com/auth/v1.0", s.AuthURL(""), "images:gantry", servertest.SwiftUser, "password-of-swift", servertest.SwiftPassword,
		"key-of-temporary-urls", servertest.SwiftTempURLKey, "https://keystone.example.com:5000", k.URL, "password-of-keystone", servertest.KeystonePassword,
		"registry-images", container)
	if len(docs) != 2 {
		t.Fatalf("the page shows %d configurations", len(docs))
	}
	testObjectStore(t, docs[0], redirected{address: s.Addr})
	testObjectStore(t, docs[1], redirected{off: true})
}

// TestSwiftAway starts without the service.
func TestSwiftAway(t *testing.T) {
	t.Parallel() // most of it is waiting
	startsWithout(t, map[string]any{"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"x": []any{"SwiftStorage", map[string]any{
		"storage_path": "/x", "swift_container": "x", "auth_url": "http://127.0.0.1:1/auth/v1.0", "swift_user": "x", "swift_password": "very-secret", "retry_count": 1,
	}}}}, "very-secret")
}
