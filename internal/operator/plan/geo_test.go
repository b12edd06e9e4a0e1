package plan

import (
	"strings"
	"testing"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// TestSites: clusters that share a database and locations get the same keys and
// the same name, or none.
func TestSites(t *testing.T) {
	const (
		two    = "FEATURE_STORAGE_REPLICATION: true\nDISTRIBUTED_STORAGE_CONFIG: {usstorage: [S3Storage, {}], eustorage: [S3Storage, {}]}\n"
		one    = "FEATURE_STORAGE_REPLICATION: true\nDISTRIBUTED_STORAGE_CONFIG: {usstorage: [S3Storage, {}]}\n"
		db     = "DB_URI: postgresql://u:p@db.example.com/quay\n"
		shared = "SERVER_HOSTNAME: quay.example.com\nSECRET_KEY: a\nDATABASE_SECRET_KEY: b\n"
	)
	for name, c := range map[string]struct{ config, missing string }{
		"files":                 {strings.Replace(two, "usstorage: [S3Storage", "usstorage: [LocalStorage", 1) + db + shared, "usstorage of DISTRIBUTED_STORAGE_CONFIG is LocalStorage"},
		"nothing in common":     {two + db, "no SERVER_HOSTNAME and no SECRET_KEY and no DATABASE_SECRET_KEY: put it in"},
		"one key":               {two + db + "SERVER_HOSTNAME: q\nSECRET_KEY: a\nDATABASE_SECRET_KEY: ''\n", "has no DATABASE_SECRET_KEY: put it in"},
		"all in common":         {two + db + shared, ""},
		"one location":          {one + db, ""},
		"no replication":        {strings.Replace(two, "true", "false", 1) + db, ""},
		"a database of its own": {two, ""}, // of this cluster alone
	} {
		_, err := Decide(v1.QuayRegistrySpec{}, openshift, bundle(t, c.config))
		if blocked, ok := AsBlocked(err); c.missing == "" && err != nil || c.missing != "" && (!ok || blocked.Reason != v1.ReasonConfigInvalid || !strings.Contains(blocked.Message, c.missing)) {
			t.Errorf("%s: %v; want %q", name, err, c.missing)
		}
	}
}

// TestSiteCertificate: clusters that are reached by one name have a certificate
// for it in common.
func TestSiteCertificate(t *testing.T) {
	cert, key := pair(t, "", "quay.example.com")
	shared := "FEATURE_STORAGE_REPLICATION: true\nDISTRIBUTED_STORAGE_CONFIG: {usstorage: [S3Storage, {}], eustorage: [S3Storage, {}]}\n" +
		"DB_URI: postgresql://u:p@db.example.com/quay\nSECRET_KEY: a\nDATABASE_SECRET_KEY: b\nSERVER_HOSTNAME: "
	nobody := v1.QuayRegistrySpec{Components: []v1.Component{{Kind: v1.ComponentRoute, Managed: false}}}
	for name, c := range map[string]struct {
		spec    v1.QuayRegistrySpec
		cluster Cluster
		config  string
		cert    bool
		why     string
	}{
		"a certificate of this cluster's own": {cluster: bare, config: shared + "quay.example.com\n", why: "quay.example.com, and it would be served by a certificate that this cluster makes for itself: put ssl.cert"},
		"the routes' certificate":             {cluster: openshift, config: shared + "quay.example.com\n", why: "quay.example.com, and it is not within apps.example.com"},
		"within the routes' domain":           {cluster: openshift, config: shared + "quay.apps.example.com\n"},
		"ended by a balancer":                 {cluster: openshift, config: shared + "quay.example.com\nEXTERNAL_TLS_TERMINATION: true\n"},
		"in the bundle":                       {cluster: openshift, config: shared + "quay.example.com\n", cert: true},
		"in the bundle, no routes":            {cluster: bare, config: shared + "quay.example.com\n", cert: true},
		"a door of the user's":                {spec: nobody, cluster: bare, config: shared + "quay.example.com\n", cert: true},
		"one cluster":                         {cluster: bare, config: "SERVER_HOSTNAME: quay.example.com\n"},
	} {
		var more []string
		if c.cert {
			more = []string{"ssl.cert", cert, "ssl.key", key}
		}
		b := bundle(t, c.config, more...)
		all, err := Decide(c.spec, c.cluster, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, err := Reach("r", "ns", all, c.cluster, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = CheckSite(all, b, a, c.cluster)
		if blocked, ok := AsBlocked(err); c.why == "" && err != nil || c.why != "" && (!ok || blocked.Component != v1.ComponentTLS || !strings.Contains(blocked.Message, c.why)) {
			t.Errorf("%s: %v; want %q", name, err, c.why)
		}
	}
}

// TestSharedReports warns of a Clair whose reports other clusters do not see.
func TestSharedReports(t *testing.T) {
	const sites = "FEATURE_STORAGE_REPLICATION: true\nDISTRIBUTED_STORAGE_CONFIG: {usstorage: [S3Storage, {}], eustorage: [S3Storage, {}]}\n" +
		"DB_URI: postgresql://u:p@db.example.com/quay\nSECRET_KEY: a\nDATABASE_SECRET_KEY: b\nSERVER_HOSTNAME: quay.apps.example.com\n"
	for name, c := range map[string]struct {
		config string
		clair  bool
		warns  bool
	}{"several": {sites, true, true}, "one": {"SERVER_HOSTNAME: q\n", true, false}, "no Clair": {sites, false, false}} {
		cluster := openshift
		cluster.Images = map[v1.ComponentKind]bool{v1.ComponentClair: c.clair}
		b := bundle(t, c.config)
		all, err := Decide(v1.QuayRegistrySpec{}, cluster, b)
		if err != nil {
			t.Fatal(err)
		}
		if why := SharedReports(all, b); (why != "") != c.warns {
			t.Errorf("%s: %q", name, why)
		}
	}
}
