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
