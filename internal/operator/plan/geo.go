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

// Sites reports whether the registry may have other clusters beside this one,
// with a database and several storage locations in common.
func (all Components) Sites(b *Bundle) bool {
	locations, _ := b.Config["DISTRIBUTED_STORAGE_CONFIG"].(map[string]any)
	return len(locations) > 1 && b.Config["FEATURE_STORAGE_REPLICATION"] == true && !all.Managed(v1.ComponentPostgres)
}

// checkSites holds a registry of several clusters to what they share: keys that
// each makes for itself would not open what the other has written.
func (all Components) checkSites(b *Bundle) error {
	if !all.Sites(b) {
		return nil
	}
	locations, _ := b.Config["DISTRIBUTED_STORAGE_CONFIG"].(map[string]any)
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

// CheckSite holds a registry of several clusters to a certificate that is good
// at each of them: clients come by one name, and a certificate that a cluster
// has made for itself, or that is for its own domain, is another's elsewhere.
// The error is a *Blocked.
func CheckSite(all Components, b *Bundle, a Access, cluster Cluster) error {
	if !all.Sites(b) || b.Config["EXTERNAL_TLS_TERMINATION"] == true {
		return nil
	}
	why := ""
	switch {
	case a.Own:
		why = "would be served by a certificate that this cluster makes for itself"
	case a.Door == DoorRoute && all.Managed(v1.ComponentTLS) && !strings.HasSuffix(a.Host(), "."+cluster.AppsDomain):
		why = "is not within " + cluster.AppsDomain + ", which the certificate of this cluster's routes is for"
	default:
		return nil
	}
	return &Blocked{Reason: v1.ReasonConfigInvalid, Component: v1.ComponentTLS, Message: fmt.Sprintf("config.yaml replicates between storage locations, so that clients reach several clusters by the name %s, and it %s: "+
		"put ssl.cert and ssl.key for it into the configuration bundle, the same in every cluster, and set tls to managed: false", a.Host(), why)}
}

// SharedReports says why Clair's database is to be the user's own where there
// are several clusters; "" = it is, or there are not.
func SharedReports(all Components, b *Bundle) string {
	if !all.Sites(b) || !all.Managed(v1.ComponentClairPostgres) {
		return ""
	}
	return "the registry replicates between storage locations, and this cluster's Clair has a database of its own: other clusters scan every image again, and may report otherwise. " +
		"Set clairpostgres to managed: false, and name one database for all clusters in clair-config.yaml"
}
