//go:build !small

package app

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/servertest"
)

// TestAzure runs the configurations of docs/deploy/azure.md against Azurite.
func TestAzure(t *testing.T) {
	t.Parallel() // most of it is waiting
	az := servertest.Azurite(t)
	container := "t" + strings.ToLower(rand.Text())
	az.Container(t, container)
	docs := documented(t, "azure.md",
		"https://gantryimages.blob.core.windows.net", az.Endpoint(""), "gantryimages", servertest.AzuriteAccount,
		"a2V5IG9mIHRoZSBhY2NvdW50", servertest.AzuriteKey, "sv=2026-02-06&sr=c&sp=racwdl&se=2027-12-31&sig=c2lnbmF0dXJl", az.Token(t, container), "registry-images", container)
	if len(docs) != 2 {
		t.Fatalf("the page shows %d configurations", len(docs))
	}
	for _, fields := range docs {
		testObjectStore(t, fields, redirected{address: az.Addr})
	}
}

// TestAzureAway starts without the service.
func TestAzureAway(t *testing.T) {
	t.Parallel() // most of it is waiting
	startsWithout(t, map[string]any{"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"x": []any{"AzureStorage", map[string]any{
		"storage_path": "/x", "azure_container": "x", "azure_account_name": "x", "azure_account_key": servertest.AzuriteKey, "endpoint_url": "http://127.0.0.1:1/x",
	}}}}, servertest.AzuriteKey)
}
