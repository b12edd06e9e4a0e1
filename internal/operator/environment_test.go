package operator

import (
	"reflect"
	"strings"
	"testing"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// TestFromEnviron: images, version, namespaces and proxy come from the
// Deployment's variables, as those of Quay's operator do.
func TestFromEnviron(t *testing.T) {
	const quay = "registry.example.com:5000/gantry/gantry@sha256:1111"
	o, err := FromEnviron([]string{"RELATED_IMAGE_COMPONENT_QUAY=" + quay, "RELATED_IMAGE_COMPONENT_CLAIR=clair:4", "RELATED_IMAGE_COMPONENT_POSTGRES= pg:15 ", "RELATED_IMAGE_COMPONENT_REDIS=",
		"QUAY_VERSION=3.7.1", "WATCH_NAMESPACE=a, b,", "MY_POD_NAMESPACE=operators", "https_proxy=http://proxy:3128", "NO_PROXY=localhost", "SKIP_RESOURCE_REQUESTS=True"}, "9.9.9")
	if err != nil {
		t.Fatal(err)
	}
	if want := (map[v1.ComponentKind]string{v1.ComponentQuay: quay, v1.ComponentClair: "clair:4", v1.ComponentPostgres: "pg:15", v1.ComponentClairPostgres: "pg:15",
		v1.ComponentRedis: defaultRedis}); !reflect.DeepEqual(o.Images, want) {
		t.Errorf("images %v; want %v", o.Images, want)
	}
	if o.Version != "3.7.1" || !reflect.DeepEqual(o.Namespaces, []string{"a", "b"}) || o.ElectionNamespace != "operators" || !o.NoRequests ||
		!reflect.DeepEqual(o.Proxy, map[string]string{"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost"}) {
		t.Errorf("%+v", o)
	}
	o, err = FromEnviron(nil, "9.9.9")
	if err != nil || o.Version != "9.9.9" || o.Namespaces != nil || o.Proxy != nil || o.NoRequests || o.Images[v1.ComponentQuay] != "" || o.Images[v1.ComponentPostgres] != defaultPostgres {
		t.Errorf("of nothing: %+v, %v", o, err)
	}
	if _, err := FromEnviron([]string{"RELATED_IMAGE_COMPONENT_QUAY=a b"}, ""); err == nil || !strings.Contains(err.Error(), "RELATED_IMAGE_COMPONENT_QUAY") {
		t.Errorf("an image with a space: %v", err)
	}
}
