package plan

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// openshift and plain are clusters with everything, and with nothing.
var (
	openshift = Cluster{Routes: true, AppsDomain: "apps.example.com", Buckets: true, Monitoring: true, Images: map[v1.ComponentKind]bool{v1.ComponentClair: true}}
	bare      = Cluster{}
)

// pair makes a certificate for the hosts, in PEM.
func pair(t *testing.T, cn string, hosts ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, DNSNames: hosts, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func bundle(t *testing.T, config string, more ...string) *Bundle {
	t.Helper()
	data := map[string][]byte{"config.yaml": []byte(config)}
	for i := 0; i < len(more); i += 2 {
		data[more[i]] = []byte(more[i+1])
	}
	b, err := ReadBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unmanaged(kinds ...v1.ComponentKind) (list []v1.Component) {
	for _, k := range kinds {
		list = append(list, v1.Component{Kind: k})
	}
	return list
}

func TestReadBundle(t *testing.T) {
	cert, key := pair(t, "x", "x.example.com")
	for name, c := range map[string]struct {
		data map[string]string
		bad  string // in the error; "" = none
	}{
		"whole":             {map[string]string{"config.yaml": "A: 1", "ssl.cert": cert, "ssl.key": key, "extra_ca_cert_x.crt": cert, "database.pem": "x", "clair-config.yaml": "indexer: {airgap: true}"}, ""},
		"empty":             {map[string]string{"config.yaml": ""}, ""},
		"null":              {map[string]string{"config.yaml": "---\n"}, ""},
		"no config":         {map[string]string{"ssl.cert": cert, "ssl.key": key}, "has no config.yaml"},
		"no YAML":           {map[string]string{"config.yaml": "A: [1"}, "config.yaml of the configuration bundle is no YAML"},
		"a list":            {map[string]string{"config.yaml": "- A"}, "no mapping"},
		"half a pair":       {map[string]string{"config.yaml": "", "ssl.cert": cert}, "only one"},
		"a fragment":        {map[string]string{"config.yaml": "", "postgres.config.yaml": "DB_URI: x"}, `"postgres.config.yaml"`},
		"a key as CA":       {map[string]string{"config.yaml": "", "extra_ca_cert_x": key}, "extra_ca_cert_x of the configuration bundle holds a private key"},
		"no certificate":    {map[string]string{"config.yaml": "", "extra_ca_cert_x": "hello"}, "extra_ca_cert_x of the configuration bundle holds no certificate"},
		"too large":         {map[string]string{"config.yaml": "", "x": strings.Repeat("x", maxBundle)}, "at most 960 fit"},
		"a secret is quiet": {map[string]string{"config.yaml": "SECRET_KEY: hunter2\nA: `hunter2`\n\tB: 1"}, "no YAML"},
	} {
		data := map[string][]byte{}
		for k, v := range c.data {
			data[k] = []byte(v)
		}
		b, err := ReadBundle(data)
		switch {
		case c.bad == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.bad == "" && name == "whole":
			if !b.HasCert() || string(b.CAs["x.crt"]) != cert || string(b.Files["database.pem"]) != "x" || b.Config["A"] != 1 || b.Clair["indexer"] == nil {
				t.Errorf("%+v", b)
			}
		case c.bad != "":
			blocked, ok := AsBlocked(err)
			if !ok || blocked.Reason != v1.ReasonConfigInvalid || !strings.Contains(blocked.Message, c.bad) || strings.Contains(blocked.Message, "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func FuzzReadBundle(f *testing.F) {
	f.Add("config.yaml", "A: 1", "extra_ca_cert_x", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
	f.Add("config.yaml", "&a [*a]", "clair-config.yaml", "x: {y: [}")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		b, err := ReadBundle(map[string][]byte{"config.yaml": nil, k1: []byte(v1), k2: []byte(v2)})
		if err != nil {
			if _, ok := AsBlocked(err); !ok {
				t.Fatal(err)
			}
			return
		}
		all, err := Decide(emptySpec, openshift, b)
		if err != nil {
			return
		}
		keys, _, err := Complete("r", nil, all, b)
		if err != nil {
			t.Fatal(err)
		}
		one, err1 := Encode(Config(all, b, keys, Facts{Name: "r", Namespace: "n"}))
		two, err2 := Encode(Config(all, b, keys, Facts{Name: "r", Namespace: "n"}))
		if err1 != nil || err2 != nil || string(one) != string(two) {
			t.Fatalf("%v, %v, %q, %q", err1, err2, one, two)
		}
	})
}

var emptySpec = v1.QuayRegistrySpec{}

func TestDefaults(t *testing.T) {
	cert, key := pair(t, "x", "x.example.com")
	for name, c := range map[string]struct {
		cluster Cluster
		b       *Bundle
		not     []v1.ComponentKind // that are not managed
	}{
		"OpenShift":          {openshift, bundle(t, ""), nil},
		"a bare cluster":     {bare, bundle(t, ""), []v1.ComponentKind{v1.ComponentClair, v1.ComponentMonitoring, v1.ComponentClairPostgres}},
		"a certificate":      {openshift, bundle(t, "SERVER_HOSTNAME: x.example.com", "ssl.cert", cert, "ssl.key", key), []v1.ComponentKind{v1.ComponentTLS}},
		"a database":         {openshift, bundle(t, "DB_URI: postgresql://a:b@c/d"), []v1.ComponentKind{v1.ComponentPostgres}},
		"a bucket and Redis": {openshift, bundle(t, "DISTRIBUTED_STORAGE_CONFIG: {}\nUSER_EVENTS_REDIS: {host: r}"), []v1.ComponentKind{v1.ComponentRedis, v1.ComponentObjectStorage}},
		"pool settings":      {openshift, bundle(t, "DB_CONNECTION_ARGS: {max_connections: 9}"), nil},
		"Clair's database":   {openshift, bundle(t, "", "clair-config.yaml", "indexer: {connstring: x}"), []v1.ComponentKind{v1.ComponentClairPostgres}},
	} {
		all, err := Decide(v1.QuayRegistrySpec{}, c.cluster, c.b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var not []v1.ComponentKind
		for _, s := range all.Status() {
			if !s.Managed {
				not = append(not, s.Kind)
				if s.Source != v1.SourceDetected || all[s.Kind].Note == "" {
					t.Errorf("%s: %s is %+v and says %q", name, s.Kind, s, all[s.Kind].Note)
				}
			} else if s.Source != v1.SourceDefault {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if !slices.Equal(not, c.not) {
			t.Errorf("%s: not managed are %v; want %v", name, not, c.not)
		}
	}
	all, err := Decide(v1.QuayRegistrySpec{Components: unmanaged(v1.ComponentQuay)}, bare, bundle(t, ""))
	if err != nil || !all.Managed(v1.ComponentQuay) {
		t.Errorf("quay is always managed: %v", err)
	}
}

// TestBlocked holds every rule of operator.md, section 5.
func TestBlocked(t *testing.T) {
	cert, key := pair(t, "x", "x.example.com")
	necessary := func(kind string) string {
		return "required component `" + kind + "` marked as unmanaged, but `configBundleSecret` is missing necessary fields"
	}
	three, none := int32(3), int32(0)
	managed := func(kind v1.ComponentKind, o v1.Override) v1.Component {
		return v1.Component{Kind: kind, Managed: true, Overrides: &o}
	}
	for name, c := range map[string]struct {
		components []v1.Component
		b          *Bundle
		cluster    Cluster
		reason     v1.ConditionReason
		message    string
	}{
		"an unknown kind":                {unmanaged("mirroring"), bundle(t, ""), openshift, v1.ReasonConfigInvalid, `there is no component "mirroring"`},
		"twice":                          {unmanaged(v1.ComponentMirror, v1.ComponentMirror), bundle(t, ""), openshift, v1.ReasonConfigInvalid, "twice"},
		"route without a name":           {unmanaged(v1.ComponentRoute), bundle(t, ""), openshift, v1.ReasonConfigInvalid, necessary("route")},
		"tls without a certificate":      {unmanaged(v1.ComponentTLS), bundle(t, ""), openshift, v1.ReasonConfigInvalid, necessary("tls")},
		"postgres without its address":   {unmanaged(v1.ComponentPostgres), bundle(t, ""), openshift, v1.ReasonConfigInvalid, necessary("postgres")},
		"redis without its address":      {unmanaged(v1.ComponentRedis), bundle(t, ""), openshift, v1.ReasonConfigInvalid, necessary("redis")},
		"storage without its address":    {unmanaged(v1.ComponentObjectStorage), bundle(t, ""), openshift, v1.ReasonConfigInvalid, necessary("objectstorage")},
		"tls without a route":            {[]v1.Component{{Kind: v1.ComponentRoute}, {Kind: v1.ComponentTLS, Managed: true}}, bundle(t, "SERVER_HOSTNAME: x"), openshift, v1.ReasonConfigInvalid, "tls managed requires route managed"},
		"tls with a certificate":         {[]v1.Component{{Kind: v1.ComponentTLS, Managed: true}}, bundle(t, "", "ssl.cert", cert, "ssl.key", key), openshift, v1.ReasonConfigInvalid, "take them out"},
		"two certificates":               {[]v1.Component{{Kind: v1.ComponentTLS, SecretRef: &v1.SecretRef{Name: "s"}}}, bundle(t, "", "ssl.cert", cert, "ssl.key", key), openshift, v1.ReasonConfigInvalid, "which of the two"},
		"postgres twice":                 {[]v1.Component{{Kind: v1.ComponentPostgres, Managed: true}}, bundle(t, "DB_URI: x"), openshift, v1.ReasonConfigInvalid, "config.yaml has DB_URI"},
		"clair twice":                    {[]v1.Component{{Kind: v1.ComponentClair, Managed: true}}, bundle(t, "SECURITY_SCANNER_V4_ENDPOINT: x"), openshift, v1.ReasonConfigInvalid, "SECURITY_SCANNER_V4_ENDPOINT"},
		"clair without a database":       {unmanaged(v1.ComponentClairPostgres), bundle(t, ""), openshift, v1.ReasonConfigInvalid, "connstring"},
		"monitoring without its API":     {[]v1.Component{{Kind: v1.ComponentMonitoring, Managed: true}}, bundle(t, ""), bare, v1.ReasonMonitoringDependency, "ServiceMonitor"},
		"overrides of an unmanaged one":  {[]v1.Component{{Kind: v1.ComponentRedis, Overrides: &v1.Override{Env: []corev1.EnvVar{{Name: "A"}}}}}, bundle(t, "USER_EVENTS_REDIS: {host: r}"), openshift, v1.ReasonComponentOverrideInvalid, "env"},
		"an override that it has not":    {[]v1.Component{managed(v1.ComponentRedis, v1.Override{Replicas: &three})}, bundle(t, ""), openshift, v1.ReasonComponentOverrideInvalid, "no override replicas"},
		"affinity of a database":         {[]v1.Component{managed(v1.ComponentPostgres, v1.Override{Affinity: &corev1.Affinity{}})}, bundle(t, ""), openshift, v1.ReasonComponentOverrideInvalid, "no override affinity"},
		"replicas beside an autoscaler":  {[]v1.Component{managed(v1.ComponentQuay, v1.Override{Replicas: &three})}, bundle(t, ""), openshift, v1.ReasonComponentOverrideInvalid, "horizontalpodautoscaler"},
		"a label that is the operator's": {[]v1.Component{managed(v1.ComponentQuay, v1.Override{Labels: map[string]string{"app": "x"}})}, bundle(t, ""), openshift, v1.ReasonComponentOverrideInvalid, "label app"},
		"stopped beside an autoscaler":   {[]v1.Component{managed(v1.ComponentQuay, v1.Override{Replicas: &none})}, bundle(t, ""), openshift, "", ""},
		"replicas without an autoscaler": {[]v1.Component{{Kind: v1.ComponentHPA}, managed(v1.ComponentQuay, v1.Override{Replicas: &three})}, bundle(t, ""), openshift, "", ""},
		"all by the user": {unmanaged(v1.Kinds()...), bundle(t, "SERVER_HOSTNAME: x\nDB_URI: x\nUSER_EVENTS_REDIS: {}\nDISTRIBUTED_STORAGE_CONFIG: {}", "ssl.cert", cert, "ssl.key", key),
			bare, "", ""},
		"TLS before it": {unmanaged(v1.ComponentRoute, v1.ComponentTLS), bundle(t, "SERVER_HOSTNAME: x\nEXTERNAL_TLS_TERMINATION: true"), bare, "", ""},
	} {
		_, err := Decide(v1.QuayRegistrySpec{Components: c.components}, c.cluster, c.b)
		if c.reason == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		blocked, ok := AsBlocked(err)
		if !ok || blocked.Reason != c.reason || !strings.Contains(blocked.Message, c.message) {
			t.Errorf("%s: %v; want %s with %q", name, err, c.reason, c.message)
		}
	}
}

// TestOverridesAreAllKnown: no field of Override is missing in the matrix.
func TestOverridesAreAllKnown(t *testing.T) {
	fields := reflect.TypeFor[v1.Override]()
	var names []string
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	var known []string
	for _, o := range overrides {
		known = append(known, o.name)
	}
	slices.Sort(names)
	slices.Sort(known)
	if !slices.Equal(names, known) {
		t.Errorf("the matrix knows %v, and Override has %v", known, names)
	}
}

func TestCheckCert(t *testing.T) {
	cert, key := pair(t, "x", "x.example.com", "*.apps.example.com")
	other, _ := pair(t, "x", "x.example.com")
	old, oldKey := pair(t, "x.example.com")
	for name, c := range map[string]struct {
		cert, key string
		hosts     []string
		bad       string
	}{
		"it fits":          {cert, key, []string{"x.example.com", "b.apps.example.com", ""}, ""},
		"another host":     {cert, key, []string{"x.example.com", "y.example.com"}, "not for y.example.com: its subject alternative names are x.example.com, *.apps.example.com"},
		"another key":      {other, key, nil, "private key does not match"},
		"no certificate":   {"x", key, nil, "cannot be used"},
		"common name only": {old, oldKey, []string{"x.example.com"}, "the common name alone does not count"},
	} {
		err := CheckCert([]byte(c.cert), []byte(c.key), c.hosts...)
		if c.bad == "" && err != nil || c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysStay: keys are made once, and adopted where they are there.
func TestKeysStay(t *testing.T) {
	b := bundle(t, "SECRET_KEY: mine")
	all, err := Decide(v1.QuayRegistrySpec{}, openshift, b)
	if err != nil {
		t.Fatal(err)
	}
	keys, made, err := Complete("r", nil, all, b)
	if err != nil || !made || string(keys[KeySecret]) != "mine" || len(keys[KeyDatabaseSecret]) != 80 || len(keys[KeyConfigEditor]) != 16 || len(keys[KeyScannerPSK]) != 32 {
		t.Fatalf("%v %v %q", made, err, keys)
	}
	u, err := url.Parse(string(keys[KeyDBURI]))
	if password, _ := u.User.Password(); err != nil || u.User.Username() != "r-quay-database" || len(password) != 80 || u.Host != "r-quay-database:5432" || u.Path != "/r-quay-database" {
		t.Errorf("%s %v", u.Redacted(), err)
	}
	again, made, err := Complete("r", keys, all, bundle(t, "SECRET_KEY: another"))
	if err != nil || made || !reflect.DeepEqual(again, keys) {
		t.Errorf("keys that are there change: %v %v", made, err)
	}
	restored := Keys{KeySecret: []byte("old"), "OTHER": []byte("kept")}
	again, made, err = Complete("r", restored, all, bundle(t, ""))
	if err != nil || !made || string(again[KeySecret]) != "old" || string(again["OTHER"]) != "kept" || len(restored) != 2 {
		t.Errorf("keys of a backup: %v %v %q", made, err, again)
	}
}

// TestKeysAreText: keys that are written as numbers are what is written.
func TestKeysAreText(t *testing.T) {
	const number = "58243170046219935784416287731255940172"
	b := bundle(t, "SECRET_KEY: 0123\nDATABASE_SECRET_KEY: "+number+"\nFEATURE_X: 12\n")
	if b.Config["FEATURE_X"] != 12 {
		t.Errorf("another field: %T", b.Config["FEATURE_X"])
	}
	keys, _, err := Complete("r", nil, nil, b)
	if err != nil || string(keys[KeySecret]) != "0123" || string(keys[KeyDatabaseSecret]) != number {
		t.Fatalf("%v %q", err, keys)
	}
	text, err := Encode(b.Config)
	if err != nil || !strings.Contains(string(text), `"`+number+`"`) {
		t.Errorf("%v %s", err, text)
	}
}

func TestConfig(t *testing.T) {
	b := bundle(t, `
FEATURE_X: 1
REGISTRY_TITLE: Mine
REPO_MIRROR_INTERVAL: 99
DB_CONNECTION_ARGS: {max_connections: 9}
PREFERRED_URL_SCHEME: http
SECRET_KEY: ""
`)
	all, err := Decide(v1.QuayRegistrySpec{}, openshift, b)
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{KeySecret: []byte("s"), KeyDatabaseSecret: []byte("d"), KeyDBURI: []byte("postgresql://r:p@h/d"), KeyRedisPassword: []byte("rp"), KeyScannerPSK: []byte("psk")}
	f := Facts{Name: "r", Namespace: "ns", Hostname: "r-quay-ns.apps.example.com", TLSAtRoute: true,
		Bucket: &Bucket{Host: "s3.svc.cluster.local", Name: "b", AccessKey: "a", Key: "k"}}
	c := Config(all, b, keys, f)
	for field, want := range map[string]any{
		"FEATURE_X": 1, "REGISTRY_TITLE": "Mine", "REPO_MIRROR_INTERVAL": 99, "REPO_MIRROR_TLS_VERIFY": true, "FEATURE_REPO_MIRROR": true, "PREFERRED_URL_SCHEME": "https",
		"EXTERNAL_TLS_TERMINATION": true, "SERVER_HOSTNAME": "r-quay-ns.apps.example.com", "SECRET_KEY": "s", "DATABASE_SECRET_KEY": "d", "DB_URI": "postgresql://r:p@h/d",
		"DB_CONNECTION_ARGS": map[string]any{"max_connections": 9}, "SETUP_COMPLETE": true, "REGISTRY_TITLE_SHORT": "Quay",
		"SECURITY_SCANNER_V4_ENDPOINT": "http://r-clair-app.ns.svc.cluster.local", "DISTRIBUTED_STORAGE_PREFERENCE": []any{"local_us"},
		"USER_EVENTS_REDIS": map[string]any{"host": "r-quay-redis", "port": 6379, "password": "rp"},
	} {
		if !reflect.DeepEqual(c[field], want) {
			t.Errorf("%s is %v; want %v", field, c[field], want)
		}
	}
	if s := fmt.Sprint(c["DISTRIBUTED_STORAGE_CONFIG"]); !strings.Contains(s, "RHOCSStorage") || !strings.Contains(s, "port:443") {
		t.Errorf("storage: %s", s)
	}
	if b.Config["DB_URI"] != nil {
		t.Error("the bundle was changed")
	}
	one, err := Encode(c)
	two, err2 := Encode(Config(all, b, keys, f))
	if err != nil || err2 != nil || string(one) != string(two) || Hash(map[string][]byte{"c": one}) != Hash(map[string][]byte{"c": two}) {
		t.Error("the same configuration is written in two ways")
	}
}

// TestClairConfig: what the user says in a block does not take the block's
// other fields away.
func TestClairConfig(t *testing.T) {
	b := bundle(t, "SERVER_HOSTNAME: q.example.com", "clair-config.yaml", "indexer: {airgap: true}\nmatcher: {disable_updaters: true}\nlog_level: debug\n")
	all, err := Decide(v1.QuayRegistrySpec{}, openshift, b)
	if err != nil {
		t.Fatal(err)
	}
	c := ClairConfig(all, b, Keys{KeyClairName: []byte("n"), KeyClairUser: []byte("u"), KeyClairPassword: []byte("p"), KeyScannerPSK: []byte("psk")}, Facts{Name: "r", Namespace: "ns"})
	indexer := c["indexer"].(map[string]any)
	want := "host=r-clair-postgres port=5432 dbname=n user=u password=p sslmode=disable pool_max_conns=33"
	if indexer["airgap"] != true || indexer["connstring"] != want || indexer["migrations"] != true || c["log_level"] != "debug" || c["matcher"].(map[string]any)["disable_updaters"] != true {
		t.Errorf("%v", c)
	}
	if target := c["notifier"].(map[string]any)["webhook"].(map[string]any)["target"]; target != "https://q.example.com/secscan/notification" {
		t.Errorf("target %v", target)
	}
	if b.Clair["indexer"].(map[string]any)["connstring"] != nil {
		t.Error("the bundle was changed")
	}
}

func TestBlockedIsAnError(t *testing.T) {
	if _, ok := AsBlocked(errors.New("x")); ok {
		t.Error("any error is Blocked")
	}
}
