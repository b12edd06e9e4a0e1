package ecosystem

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

var (
	openshift = plan.Cluster{Routes: true, AppsDomain: "apps.example.com", Images: map[v1.ComponentKind]bool{v1.ComponentClair: true}}
	plain     = plan.Cluster{}
)

// usual is the configuration that the operator before 3.4 wrote.
const usual = `
AUTHENTICATION_TYPE: Database
BUILDLOGS_REDIS: {host: skynet-redis, port: 6379, password: r}
USER_EVENTS_REDIS: {host: skynet-redis, port: 6379, password: r}
DATABASE_SECRET_KEY: "1234567890"
SECRET_KEY: "0987654321"
DB_URI: postgresql://quay:pw@skynet-quay-postgresql:5432/quay
DB_CONNECTION_ARGS: {autorollback: true, threadlocals: true}
DISTRIBUTED_STORAGE_CONFIG: {default: [S3Storage, {s3_bucket: b, s3_access_key: a, s3_secret_key: k, host: s3.example.com, storage_path: /quay}]}
DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS: []
DISTRIBUTED_STORAGE_PREFERENCE: [default]
FEATURE_REPO_MIRROR: true
REPO_MIRROR_INTERVAL: 30
FEATURE_SECURITY_SCANNER: true
SECURITY_SCANNER_ENDPOINT: https://skynet-clair.quay.svc:6060
FEATURE_SIGNING: false
SIGNING_ENGINE: gpg2
GPG2_PRIVATE_KEY_FILENAME: signing-private.gpg
PREFERRED_URL_SCHEME: https
SERVER_HOSTNAME: quay.example.com
SUPER_USERS: [quay]
`

// A sample is a QuayEcosystem and what belongs to it.
type sample struct {
	spec     string
	config   string            // instead of usual
	files    map[string]string // beside config.yaml
	no       bool              // configuration Secret
	secret   string            // AnnotationDatabase
	database map[string][]byte
	logs     string // AnnotationLogs
	cluster  plan.Cluster
}

const (
	s3       = "registryBackends: [{name: default, s3: {bucketName: b}}]"
	database = "database: {volumeSize: 20Gi}"
)

func spec(quay, rest string) string { return "{quay: {" + quay + "}" + rest + "}" }

var pair = map[string]string{"ssl.cert": "cert", "ssl.key": "key", "extra.pem": "x"}

// samples are the table of operator.md, section 18.
var samples = map[string]sample{
	"all managed": {spec: spec(s3+", enableRepoMirroring: true, externalAccess: {type: Route, tls: {termination: passthrough}}, database: {volumeSize: 20Gi, storageClass: fast, image: x, unknown: {}}", ", redis: {image: x}, clair: {enabled: true}"),
		files: pair, cluster: openshift},
	"nothing said but storage":   {spec: spec(s3+", "+database, ""), cluster: openshift},
	"read-only":                  {spec: spec(s3+", "+database, ""), config: usual + "REGISTRY_STATE: readonly\n", cluster: openshift},
	"edge":                       {spec: spec(s3+", "+database+", externalAccess: {type: Route, tls: {termination: edge}}", ""), cluster: openshift},
	"edge with a pair":           {spec: spec(s3+", "+database+", externalAccess: {type: Route, tls: {termination: edge}}", ""), files: pair, cluster: openshift},
	"tls none becomes edge":      {spec: spec(s3+", "+database+", externalAccess: {type: Route, tls: {termination: none}}", ""), files: pair, config: strings.Replace(usual, "URL_SCHEME: https", "URL_SCHEME: http", 1), cluster: openshift},
	"host of the access":         {spec: spec(s3+", "+database+", externalAccess: {type: Route, hostname: reg.example.com}", ""), config: strings.Replace(usual, "SERVER_HOSTNAME: quay.example.com", "", 1), cluster: openshift},
	"load balancer with a pair":  {spec: spec(s3+", "+database+", externalAccess: {type: LoadBalancer}", ""), files: pair, cluster: openshift},
	"node port without a pair":   {spec: spec(s3+", "+database+", externalAccess: {type: NodePort, tls: {termination: none}}", ""), cluster: plain},
	"ingress":                    {spec: spec(s3+", "+database+", externalAccess: {type: Ingress}", ""), files: pair, cluster: plain},
	"no access and no Routes":    {spec: spec(s3+", "+database, ""), files: pair, cluster: plain},
	"redis of the user":          {spec: spec(s3+", "+database, ", redis: {hostname: redis.example.com}"), cluster: openshift},
	"redis without fields":       {spec: spec(s3+", "+database, ", redis: {hostname: redis.example.com}"), config: strings.NewReplacer("BUILDLOGS_REDIS", "X1", "USER_EVENTS_REDIS", "X2").Replace(usual), cluster: openshift},
	"clair without an image":     {spec: spec(s3+", "+database, ", clair: {enabled: true}"), cluster: plan.Cluster{Routes: true, AppsDomain: "apps.example.com"}},
	"server without a target":    {spec: spec(s3+", database: {server: pg.example.com}", ""), cluster: openshift},
	"server with a target":       {spec: spec(s3+", database: {server: pg.example.com}", ""), secret: "target", database: map[string][]byte{"DB_URI": []byte("postgresql://g:pw@pg.example.com/gantry\n")}, cluster: openshift},
	"volume with a target":       {spec: spec(s3+", "+database, ""), secret: "target", database: map[string][]byte{"DB_URI": []byte("mysql+pymysql://g:pw@my.example.com/gantry")}, cluster: openshift},
	"target is the old database": {spec: spec(s3+", "+database, ""), secret: "target", database: map[string][]byte{"DB_URI": []byte("postgresql://other:secretpw@SKYNET-quay-postgresql/quay")}, cluster: openshift},
	"target is no address":       {spec: spec(s3+", "+database, ""), secret: "target", database: map[string][]byte{"DB_URI": []byte("postgresql://u:secret pw@%zz")}, cluster: openshift},
	"target is a file":           {spec: spec(s3+", "+database, ""), secret: "target", database: map[string][]byte{"DB_URI": []byte("sqlite:////data/quay.db")}, cluster: openshift},
	"target has no DB_URI":       {spec: spec(s3+", "+database, ""), secret: "target", database: map[string][]byte{}, cluster: openshift},
	"target is not there":        {spec: spec(s3+", "+database, ""), secret: "target", cluster: openshift},
	"ephemeral database":         {spec: spec(s3, ""), cluster: openshift},
	"volume size is no size":     {spec: spec(s3+", database: {volumeSize: large}", ""), cluster: openshift},
	"local backend":              {spec: spec("registryBackends: [{name: disk, local: {storagePath: /x}}], "+database, ""), cluster: openshift},
	"registry storage":           {spec: spec(s3+", registryStorage: {persistentVolumeSize: 20Gi}, "+database, ""), cluster: openshift},
	"no storage":                 {spec: spec(database, ""), config: strings.Replace(usual, "DISTRIBUTED_STORAGE_CONFIG", "X", 1), cluster: openshift},
	"local storage in config":    {spec: spec(database, ""), config: strings.Replace(usual, "S3Storage", "LocalStorage", 1), cluster: openshift},
	"no config secret":           {spec: spec(s3+", "+database, ""), no: true, cluster: openshift},
	"no config.yaml":             {spec: spec(s3+", "+database, ""), config: "-", cluster: openshift},
	"config is no YAML":          {spec: spec(s3+", "+database, ""), config: "DB_URI: [hunter2", cluster: openshift},
	"config is a list":           {spec: spec(s3+", "+database, ""), config: "- a", cluster: openshift},
	"config without DB_URI":      {spec: spec(s3+", "+database, ""), config: strings.Replace(usual, "DB_URI", "X", 1), cluster: openshift},
	"config without a key":       {spec: spec(s3+", "+database, ""), config: strings.Replace(usual, "DATABASE_SECRET_KEY", "X", 1), cluster: openshift},
	"spec of other types":        {spec: "{quay: {enableRepoMirroring: maybe}}", cluster: openshift},
	"the whole log":              {spec: spec(s3+", "+database, ""), logs: "all", cluster: openshift},
	"a log of no age":            {spec: spec(s3+", "+database, ""), logs: "a year", cluster: openshift},
	"no spec":                    {spec: "null", cluster: openshift},
}

func (s sample) convert(t testing.TB) (*Result, error) {
	t.Helper()
	var raw any
	if err := yaml.Unmarshal([]byte(s.spec), &raw); err != nil {
		t.Fatal(err)
	}
	read, err := ReadSpec(raw)
	if err != nil {
		return nil, err
	}
	r := Request{Name: "skynet", Spec: read, DatabaseSecret: s.secret, Database: s.database, Logs: s.logs, Cluster: s.cluster}
	if !s.no {
		r.Config = map[string][]byte{}
		if s.config == "" {
			s.config = usual
		}
		if s.config != "-" {
			r.Config["config.yaml"] = []byte(s.config)
		}
		for k, v := range s.files {
			r.Config[k] = []byte(v)
		}
	}
	before := maps.Clone(r.Config)
	out, err := Convert(r)
	if !maps.EqualFunc(before, r.Config, slices.Equal) {
		t.Error("the Secret's data was changed")
	}
	return out, err
}

// TestGolden holds what is made of each QuayEcosystem to a file.
func TestGolden(t *testing.T) {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		out, err := samples[name].convert(t)
		fmt.Fprintf(&text, "=== %s\n", name)
		if err != nil {
			refused, ok := errors.AsType[*Refused](err)
			if !ok {
				t.Errorf("%s: %v is no *Refused", name, err)
				continue
			}
			fmt.Fprintf(&text, "%s (%s)\n%s\n", refused.Type, refused.Reason, refused.Message)
			continue
		}
		spec, err := yaml.Marshal(out.Spec)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s--- %s\n%s", spec, strings.Join(slices.Sorted(maps.Keys(out.Bundle)), ", "), out.Bundle["config.yaml"])
		for _, n := range out.Notes {
			fmt.Fprintf(&text, "note: %s\n", n)
		}
	}
	for _, secret := range []string{"secretpw", "secret pw", "hunter2"} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("%q is told", secret)
		}
	}
	file := filepath.Join("testdata", "conversions.txt")
	if *update {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(text.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("line %d is\n%s\nand not\n%s\n(go test ./internal/operator/ecosystem -update writes it anew)", i+1, strings.Join(g[min(i, len(g)):min(i+8, len(g))], "\n"), strings.Join(w[min(i, len(w)):min(i+8, len(w))], "\n"))
		}
	}
}

// TestRules holds what is true of all that is made.
func TestRules(t *testing.T) {
	for name, s := range samples {
		out, err := s.convert(t)
		if err != nil {
			continue
		}
		b, err := plan.ReadBundle(out.Bundle)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, key := range []string{"SECRET_KEY", "DATABASE_SECRET_KEY", "SERVER_HOSTNAME", "SUPER_USERS", "DISTRIBUTED_STORAGE_CONFIG"} {
			if b.Config[key] == nil {
				t.Errorf("%s: %s is lost", name, key)
			}
		}
		for _, key := range dropped {
			if _, ok := b.Config[key]; ok {
				t.Errorf("%s: %s is kept", name, key)
			}
		}
		if uri, _ := b.Config["DB_URI"].(string); strings.Contains(uri, "skynet-quay-postgresql") {
			t.Errorf("%s: the registry would use the Quay's database", name)
		}
		if i := slices.IndexFunc(out.Spec.Components, func(c v1.Component) bool { return c.Kind == v1.ComponentObjectStorage }); i < 0 || out.Spec.Components[i].Managed {
			t.Errorf("%s: the storage is not the user's", name)
		}
	}
}

func TestBundleName(t *testing.T) {
	data := map[string][]byte{"config.yaml": []byte("a: b")}
	one := BundleName("skynet", "1", data, 0)
	if !strings.HasPrefix(one, "skynet-config-bundle-") || one != BundleName("skynet", "1", data, 0) {
		t.Errorf("%s", one)
	}
	for _, other := range []string{BundleName("skynet", "2", data, 0), BundleName("skynet", "1", data, 1), BundleName("skynet", "1", map[string][]byte{"config.yaml": []byte("a: c")}, 0)} {
		if other == one {
			t.Errorf("%s is the name of something else, too", one)
		}
	}
}

// TestConditions: those of others stay, one of ours at most is there, and it is
// written only when it changes.
func TestConditions(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	theirs := map[string]any{"type": "QuayEcosystemProvisioningSuccess", "status": "True"}
	bad := &Refused{ConfigFailure, ReasonConfigInvalid, "no Secret"}
	one, changed := Conditions([]any{theirs}, bad, at)
	if !changed || len(one) != 2 || !maps.Equal(one[0].(map[string]any), theirs) || one[1].(map[string]any)["lastTransitionTime"] != "2026-01-02T03:04:05Z" {
		t.Fatalf("%v, %v", one, changed)
	}
	if two, changed := Conditions(one, bad, at.Add(time.Hour)); changed || len(two) != 2 {
		t.Errorf("nothing changed: %v", two)
	}
	// Another message is no transition.
	two, changed := Conditions(one, &Refused{ConfigFailure, ReasonConfigInvalid, "no YAML"}, at.Add(time.Hour))
	if c := two[1].(map[string]any); !changed || c["message"] != "no YAML" || c["lastTransitionTime"] != "2026-01-02T03:04:05Z" || c["lastUpdateTime"] != "2026-01-02T04:04:05Z" {
		t.Errorf("%v", two)
	}
	three, changed := Conditions(two, &Refused{ComponentFailure, ReasonUnsupported, "local"}, at)
	if !changed || len(three) != 2 || three[1].(map[string]any)["type"] != ComponentFailure {
		t.Errorf("%v", three)
	}
	four, changed := Conditions(three, nil, at)
	if !changed || len(four) != 1 {
		t.Errorf("%v", four)
	}
	if five, changed := Conditions(four, nil, at); changed || len(five) != 1 {
		t.Errorf("%v", five)
	}
	// What an operator left that said False, or what is no condition.
	odd := []any{"x", map[string]any{"type": ConfigFailure, "status": "False"}}
	if six, changed := Conditions(odd, bad, at); !changed || len(six) != 2 || six[1].(map[string]any)["lastTransitionTime"] != "2026-01-02T03:04:05Z" {
		t.Errorf("%v", six)
	}
}

// FuzzConvert: whatever is in a QuayEcosystem and its configuration, there is a
// registry that can be planned, or a reason.
func FuzzConvert(f *testing.F) {
	for _, s := range samples {
		config := s.config
		if config == "" {
			config = usual
		}
		f.Add(s.spec, config)
	}
	f.Fuzz(func(t *testing.T, spec, config string) {
		var raw any
		if yaml.Unmarshal([]byte(spec), &raw) != nil {
			return
		}
		read, err := ReadSpec(raw)
		if err != nil {
			if _, ok := errors.AsType[*Refused](err); !ok {
				t.Fatal(err)
			}
			return
		}
		out, err := Convert(Request{Name: "skynet", Spec: read, Config: map[string][]byte{"config.yaml": []byte(config)}, Cluster: openshift})
		if err != nil {
			if _, ok := errors.AsType[*Refused](err); !ok {
				t.Fatal(err)
			}
			return
		}
		if _, err := plan.ReadBundle(out.Bundle); err != nil {
			t.Fatal(err)
		}
	})
}
