package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// sites are fields of config.yaml that the operator makes up where the bundle
// has none, and that all clusters of one registry must have in common.
var sites = []string{"SERVER_HOSTNAME", "SECRET_KEY", "DATABASE_SECRET_KEY"}

// checkSites holds a registry that may have other clusters beside this one, with
// a database and several storage locations in common, to what they share: keys
// that each makes for itself would not open what the other has written.
func (all Components) checkSites(b *Bundle) error {
	locations, _ := b.Config["DISTRIBUTED_STORAGE_CONFIG"].(map[string]any)
	if len(locations) < 2 || b.Config["FEATURE_STORAGE_REPLICATION"] != true || all.Managed(v1.ComponentPostgres) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(locations)) {
		if l, _ := locations[name].([]any); len(l) > 0 && l[0] == "LocalStorage" {
			return &Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("config.yaml replicates between storage locations, and %s of DISTRIBUTED_STORAGE_CONFIG is LocalStorage, "+
				"which no other cluster reads: use an object store", name)}
		}
	}
	var missing []string
	for _, field := range sites {
		if s, _ := b.Config[field].(string); s == "" {
			missing = append(missing, field)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("config.yaml replicates between storage locations on a database of its own, so that other clusters may share them, and has no %s: "+
		"put it in, the same in every cluster; keys that a cluster has made are in its Secret NAME-quay-registry-managed-secret-keys", strings.Join(missing, " and no "))}
}
