// Package charts renders the Helm charts of deploy/charts as Helm does. Helm is
// in a module of its own, so that it never reaches the product's.
package charts

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

var update = flag.Bool("update", false, "write the rendered charts to deploy/testdata/charts")

const deploy = "../../deploy"

// cases are values that change what a chart makes. What each makes is in
// deploy/testdata/charts, which the tests of deploy have an API server check.
var cases = []struct{ chart, name, values string }{
	{"gantry", "default", ""},
	{"gantry", "configured", `
config: {SERVER_HOSTNAME: registry.example.com, FEATURE_MAILING: false}
ingress: {enabled: true, host: registry.example.com, className: nginx, tlsSecret: registry-tls}
persistence: {size: 1Ti, storageClassName: fast}
`},
	{"gantry", "fleet", `
replicas: 3
existingSecret: quay-config
tls: true
persistence: {enabled: false}
service: {type: LoadBalancer, port: 443}
image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
env: [{name: DEBUGLOG, value: "true"}]
podSecurityContext: null
topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}]
`},
	{"gantry-operator", "default", ""},
	{"gantry-operator", "namespaces", `
watchNamespaces: [quay-a, quay-b]
monitoring: {labelNamespaces: true}
replicas: 2
images: {clair: "registry.example.com:5000/clair:4"}
tolerations: [{key: node-role.kubernetes.io/infra, operator: Exists}]
nodeSelector: {node-role.kubernetes.io/infra: ""}
env: [{name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}]
`},
}

func render(chart, values string) (map[string]string, error) {
	c, err := loader.LoadDir(filepath.Join(deploy, "charts", chart))
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := yaml.Unmarshal([]byte(values), &v); err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, v, common.ReleaseOptions{Name: chart, Namespace: "registry", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

func TestCharts(t *testing.T) {
	for _, c := range cases {
		t.Run(c.chart+"-"+c.name, func(t *testing.T) {
			files, err := render(c.chart, c.values)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, f := range slices.Sorted(maps.Keys(files)) {
				text := strings.TrimSpace(files[f])
				if strings.HasSuffix(f, "NOTES.txt") {
					if text == "" || strings.Contains(text, "<no value>") {
						t.Errorf("notes: %s", text)
					}
				} else if text != "" && strings.HasSuffix(f, ".yaml") {
					fmt.Fprintf(&b, "---\n# %s\n%s\n", f, text)
				}
			}
			golden := filepath.Join(deploy, "testdata", "charts", c.chart+"-"+c.name+".yaml")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || string(want) != b.String() {
				t.Errorf("%s is not what the chart makes (%v): go test . -update\n%s", golden, err, b.String())
			}
		})
	}
}

func TestLint(t *testing.T) {
	for _, chart := range []string{"gantry", "gantry-operator"} {
		r := lint.RunAll(filepath.Join(deploy, "charts", chart), nil, "registry")
		for _, m := range r.Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", chart, m)
			}
		}
	}
}

// TestErrors sees that values which cannot work are refused, by their names.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ chart, values, want string }{
		{"gantry", "replicas: 2", "persistence.enabled"},
		{"gantry", "{replicas: 2, persistence: {enabled: false}}", "DB_URI"},
		{"gantry", "{config: {A: 1}, existingSecret: x}", "existingSecret"},
		{"gantry", "tls: true", "ssl.cert"},
		{"gantry", "ingress: {enabled: true}", "ingress.host"},
		{"gantry", "persistence: {size: lots}", "size"},
		{"gantry", "persistance: {size: 1Gi}", "persistance"},
		{"gantry", "image: {digest: abc}", "digest"},
		{"gantry-operator", "watchNamespace: quay", "watchNamespace"},
		{"gantry-operator", "watchNamespaces: [Quay]", "watchNamespaces"},
		{"gantry-operator", "serviceAccount: {create: false}", "serviceAccount.name"},
		{"gantry-operator", "images: {redis: ''}", "images.redis"},
	} {
		if _, err := render(c.chart, c.values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v; want an error that names %s", c.chart, c.values, err, c.want)
		}
	}
}

// TestSameOperator holds the chart to the kustomize base: one pod, and the
// same permissions.
func TestSameOperator(t *testing.T) {
	type object = map[string]any
	read := func(text string) (pod object, rules []any) {
		for d := yaml.NewDecoder(strings.NewReader(text)); ; {
			var o object
			if err := d.Decode(&o); err != nil {
				return pod, rules
			}
			name, _ := o["metadata"].(object)["name"].(string)
			switch o["kind"] {
			case "Deployment":
				pod = o["spec"].(object)["template"].(object)["spec"].(object)
			case "Role", "ClusterRole":
				if !strings.Contains(name, "editor") && !strings.Contains(name, "viewer") {
					rules = append(rules, o["rules"])
				}
			}
		}
	}
	files, err := render("gantry-operator", "")
	if err != nil {
		t.Fatal(err)
	}
	chart, rules := read(files["gantry-operator/templates/deployment.yaml"] + "\n---\n" + files["gantry-operator/templates/rbac.yaml"])
	var text string
	for _, f := range []string{"deployment.yaml", "rbac.yaml"} {
		raw, err := os.ReadFile(filepath.Join(deploy, "operator", "kustomize", f))
		if err != nil {
			t.Fatal(err)
		}
		text += "\n---\n" + string(raw)
	}
	base, want := read(text)
	if !reflect.DeepEqual(rules, want) {
		t.Errorf("rules of the chart:\n%v\nof the base:\n%v", rules, want)
	}
	for _, pod := range []object{chart, base} {
		delete(pod, "serviceAccountName")
		container := pod["containers"].([]any)[0].(object)
		delete(container, "imagePullPolicy") // the default
		for _, e := range container["env"].([]any) {
			if v := e.(object); v["name"] == "WATCH_NAMESPACE" { // of OLM, or of the values
				delete(v, "value")
				delete(v, "valueFrom")
			}
		}
	}
	if !reflect.DeepEqual(chart, base) {
		t.Errorf("the chart's pod:\n%v\nthe base's:\n%v", chart, base)
	}
}
