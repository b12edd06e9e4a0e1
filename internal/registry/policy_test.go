package registry

import (
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// TestCheckType holds what each switch of a manifest's kind keeps out.
func TestCheckType(t *testing.T) {
	const (
		docker = `{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}`
		oci    = `{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}`
		plain  = `{"schemaVersion": 2, "config": {"mediaType": "application/vnd.oci.image.config.v1+json"}}`
		index  = `{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}`
		helm   = `{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}`
		broken = `{"schemaVersion": `
	)
	all := []string{docker, oci, plain, index, helm, broken}
	for name, tt := range map[string]struct {
		set     Settings
		refused []string
	}{
		"nothing is switched off":   {Settings{}, nil},
		"no OCI":                    {Settings{NoOCI: true}, []string{oci, plain, index, helm}},
		"no OCI, but for acme":      {Settings{NoOCI: true, OCINamespaces: []string{"acme"}}, nil},
		"no OCI, but for others":    {Settings{NoOCI: true, OCINamespaces: []string{"acm"}}, []string{oci, plain, index, helm}},
		"no charts":                 {Settings{NoHelm: true}, []string{helm}},
		"schema 1 only":             {Settings{Schema1Namespaces: []string{"acme"}}, []string{docker, oci, plain, index, helm}},
		"schema 1 only, but others": {Settings{Schema1Namespaces: []string{"acme2"}}, nil},
	} {
		for _, body := range all {
			want := false
			for _, r := range tt.refused {
				want = want || r == body
			}
			err := tt.set.checkType("acme", "", []byte(body))
			if (err != nil) != want {
				t.Errorf("%s: %s: %v", name, body, err)
			}
			if a, _ := answerFor(err); err != nil && (!gantry.Is(err, gantry.Invalid) || a.status != 415) {
				t.Errorf("%s: %s: answered with %+v", name, body, a)
			}
		}
	}
	// What the client says counts where the body says nothing.
	set := Settings{NoOCI: true}
	if set.checkType("acme", "application/vnd.docker.distribution.manifest.v2+json", []byte(`{"schemaVersion": 2}`)) != nil {
		t.Error("a Docker manifest is refused as OCI's")
	}
}
