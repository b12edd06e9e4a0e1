package registry

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// helmConfig is the type of a chart's configuration.
const helmConfig = "application/vnd.cncf.helm.config.v1+json"

// restrictsTypes reports whether some manifests are not taken for their type.
func (s *Settings) restrictsTypes() bool {
	return s.NoOCI || s.NoHelm || len(s.Schema1Namespaces) > 0
}

// checkType refuses a manifest of a kind that the configuration keeps out of
// the namespace, with Invalid on "manifest" (MediaTypeRefused). mediaType is
// what the client said, "" = nothing. A body that cannot be read passes: who
// parses it whole says what is wrong.
func (s *Settings) checkType(namespace, mediaType string, body []byte) error {
	if !s.restrictsTypes() {
		return nil
	}
	var m struct {
		MediaType    string `json:"mediaType"`
		ArtifactType string `json:"artifactType"`
		Config       struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
		SchemaVersion int `json:"schemaVersion"`
	}
	if json.Unmarshal(body, &m) != nil || m.SchemaVersion != 2 {
		return nil
	}
	if mediaType == "" {
		mediaType = m.MediaType // "" then is OCI's: Docker's manifests always name theirs
	}
	refuse := func(format string, args ...any) error {
		e := gantry.Errorf(gantry.Invalid, "manifest", "manifest schema version not supported: "+format, args...)
		e.Reason = gantry.MediaTypeRefused
		return e
	}
	if slices.Contains(s.Schema1Namespaces, namespace) {
		return refuse("the namespace %s takes no Docker schema 2 and no OCI manifests (V22_NAMESPACE_BLACKLIST)", namespace)
	}
	oci := mediaType == "" || strings.HasPrefix(mediaType, "application/vnd.oci.")
	if oci && s.NoOCI && !slices.Contains(s.OCINamespaces, namespace) {
		return refuse("OCI manifests are switched off in this registry (FEATURE_GENERAL_OCI_SUPPORT)")
	}
	if s.NoHelm && (m.Config.MediaType == helmConfig || m.ArtifactType == helmConfig) {
		return refuse("Helm charts are switched off in this registry (FEATURE_HELM_OCI_SUPPORT)")
	}
	return nil
}
