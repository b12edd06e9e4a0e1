package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// TestAccepted has the API server check all objects: the kustomize base, the
// bundle against OLM's own schema, and what the charts make (testdata/charts,
// which e2e/charts writes).
func TestAccepted(t *testing.T) {
	c := kubetest.Full(t)
	ns := c.Namespace(t)
	for _, name := range []string{"quay-operator", "registry", "quay-a", "quay-b"} { // of the base, and of the charts' cases
		c.Apply(t, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+name+"}\n"))
	}
	var files []string
	for _, pattern := range []string{"operator/kustomize/[^k]*.yaml", "olm/bundle/manifests/*.yaml", "testdata/charts/*.yaml"} {
		some, err := filepath.Glob(pattern)
		if err != nil || len(some) == 0 {
			t.Errorf("%s: %d files, %v", pattern, len(some), err)
		}
		files = append(files, some...)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.DryRun(t.Context(), ns, raw); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestExample has the API server check the examples that OpenShift's console
// offers, and that the schema of OLM does refuse something.
func TestExample(t *testing.T) {
	c := kubetest.Full(t)
	ns := c.Namespace(t)
	var o struct {
		Metadata struct {
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"metadata"`
	}
	text := read(t, "olm/bundle/manifests/quay-operator.clusterserviceversion.yaml")
	parse(t, text, &o)
	var examples []m
	parse(t, o.Metadata.Annotations["alm-examples"], &examples) // JSON is YAML
	if len(examples) != 3 {                                     // one of each kind
		t.Fatalf("%d examples", len(examples))
	}
	for _, e := range examples {
		example, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.DryRun(t.Context(), ns, example); err != nil {
			t.Errorf("%s: %v", e["kind"], err)
		}
	}
	bad := strings.Replace(text, "strategy: deployment", "strategie: deployment", 1)
	if err := c.DryRun(t.Context(), ns, []byte(bad)); err == nil {
		t.Error("a bundle without a strategy is accepted")
	}
}
