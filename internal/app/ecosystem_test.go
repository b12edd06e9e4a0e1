//go:build !small

package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/ecosystem"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/quaytest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestImportEcosystem: what the operator makes of a QuayEcosystem's configuration
// is one that its Quay is imported with, and that serves what the Quay had. The
// cluster's part is played by the test: files are what the pods would mount, and
// the bucket is a folder.
func TestImportEcosystem(t *testing.T) {
	q := quaytest.New(t, storetest.EmptyURI(t, storetest.Postgres), quaytest.V37)
	v := &takeover{t: t, q: q, s: q.Fill(t), data: t.TempDir(), dialect: storetest.Postgres, uri: storetest.EmptyURI(t, storetest.Postgres)}
	old := map[string]any{}
	read(t, filepath.Join(q.Dir, "config.yaml"), &old)
	folder := old["DISTRIBUTED_STORAGE_CONFIG"]
	for k, value := range map[string]any{
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"default": []any{"S3Storage", map[string]any{"s3_bucket": "b", "host": "s3.example.com"}}},
		"BUILDLOGS_REDIS":            map[string]any{"host": "skynet-redis"}, "SERVER_HOSTNAME": "quay.example.com", "FEATURE_RATE_LIMITS": false,
		"FEATURE_PROXY_CACHE": true, "FEATURE_APP_SPECIFIC_TOKENS": true, "FEATURE_REPO_MIRROR": true, "REGISTRY_STATE": "readonly", "FEATURE_SIGNING": true,
	} {
		old[k] = value
	}
	spec, err := ecosystem.ReadSpec(map[string]any{"quay": map[string]any{"database": map[string]any{"server": "pg.example.com"}, "enableRepoMirroring": true}})
	if err != nil {
		t.Fatal(err)
	}
	cluster := plan.Cluster{Routes: true, AppsDomain: "apps.example.com"}
	made, err := ecosystem.Convert(ecosystem.Request{Name: "skynet", Spec: spec, Config: map[string][]byte{"config.yaml": encode(t, old)},
		DatabaseSecret: "target", Database: map[string][]byte{"DB_URI": []byte(v.uri)}, Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := plan.ReadBundle(made.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	all, err := plan.Decide(made.Spec, cluster, bundle)
	if err != nil {
		t.Fatal(err)
	}
	access, err := plan.Reach("skynet", "quay", all, cluster, bundle)
	if err != nil {
		t.Fatal(err)
	}
	keys, _, err := plan.Complete("skynet", nil, all, bundle)
	if err != nil {
		t.Fatal(err)
	}
	registry := &v1.QuayRegistry{Spec: made.Spec}
	registry.Name = "skynet"
	files, err := render.Stack(render.Request{Registry: registry, All: all, Bundle: bundle, Keys: keys, Access: access, Cluster: cluster,
		Facts: plan.Facts{Name: "skynet", Namespace: "quay", Hostname: access.Hostname, TLSAtRoute: access.TLSAtDoor}})
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]any{}
	if err := yaml.Unmarshal(files["config.yaml"], &config); err != nil {
		t.Fatal(err)
	}
	config["DISTRIBUTED_STORAGE_CONFIG"] = folder
	delete(config, "BUILDLOGS_REDIS") // the operator's, which is not here
	delete(config, "USER_EVENTS_REDIS")
	v.dir = t.TempDir()
	files["config.yaml"] = encode(t, config)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(v.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v.admin = NewAdmin(Options{Config: v.dir, Data: v.data})
	out := v.imported(ImportRequest{Hold: time.Hour, Logs: month})
	v.counts(out)
	v.whole()
	v.live()
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, v map[string]any) []byte {
	t.Helper()
	text, err := plan.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
