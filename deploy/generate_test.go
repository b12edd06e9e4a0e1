package deploy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the files that are made from others")

// version of the bundle: the operator's, and the registry's.
const version = "3.7.0"

// TestGenerated makes what is made from operator/rules.yaml, the kustomize
// base and the resource definition: "go test ./deploy -run TestGenerated
// -update" writes it.
func TestGenerated(t *testing.T) {
	parts := sections(t, read(t, "operator/rules.yaml"))
	want := map[string]string{
		"operator/kustomize/rbac.yaml":                                  rbac(parts),
		"olm/bundle/manifests/quay-operator.clusterserviceversion.yaml": csv(t, parts),
		"olm/bundle/metadata/annotations.yaml":                          annotations(),
	}
	for _, name := range []string{"quayregistries", "quayregistrybackups", "quayregistryrestores"} {
		crd := read(t, "../config/crd/quay.redhat.com_"+name+".yaml")
		want["charts/gantry-operator/crds/quay.redhat.com_"+name+".yaml"] = crd
		want["olm/bundle/manifests/quay.redhat.com_"+name+".crd.yaml"] = crd
		want["operator/kustomize/crd.yaml"] += crd
	}
	for name, rules := range parts {
		want["charts/gantry-operator/files/rules-"+name+".yaml"] = made + rules
	}
	for name, text := range want {
		if *update {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got, err := os.ReadFile(name); err != nil || string(got) != text {
			t.Errorf("%s is not what its sources make (%v): go test ./deploy -run TestGenerated -update", name, err)
		}
	}
}

const made = "# Made from deploy/operator/rules.yaml by \"go test ./deploy -run TestGenerated -update\".\n"

// sections are the parts of rules.yaml by their keys, as they stand there.
func sections(t *testing.T, text string) map[string]string {
	t.Helper()
	parts := make(map[string]string)
	key := ""
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		switch {
		case ok && strings.TrimSpace(rest) == "" && name == strings.Trim(name, " #-"):
			key = name
		case key != "" && strings.TrimSpace(line) != "":
			parts[key] += line
		}
	}
	for key := range parts { // a comment before a key is the key's
		lines := strings.SplitAfter(strings.TrimSuffix(parts[key], "\n"), "\n")
		for strings.HasPrefix(lines[len(lines)-1], "#") {
			lines = lines[:len(lines)-1]
		}
		parts[key] = strings.TrimSuffix(strings.Join(lines, ""), "\n") + "\n"
	}
	for _, key := range []string{"namespaced", "cluster", "label", "own"} {
		if parts[key] == "" {
			t.Fatalf("operator/rules.yaml has no %q", key)
		}
	}
	return parts
}

// rbac is the part of the kustomize base that lets the operator watch all
// namespaces.
func rbac(parts map[string]string) string {
	const head = "apiVersion: rbac.authorization.k8s.io/v1\nkind: "
	return made + `apiVersion: v1
kind: ServiceAccount
metadata:
  name: quay-operator
  namespace: quay-operator
---
` + head + `ClusterRole
metadata:
  name: quay-operator
rules:
` + parts["namespaced"] + parts["cluster"] + `---
` + head + `ClusterRoleBinding
metadata:
  name: quay-operator
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: quay-operator}
subjects:
- {kind: ServiceAccount, name: quay-operator, namespace: quay-operator}
---
` + head + `Role
metadata:
  name: quay-operator
  namespace: quay-operator
rules:
` + parts["own"] + `---
` + head + `RoleBinding
metadata:
  name: quay-operator
  namespace: quay-operator
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: quay-operator}
subjects:
- {kind: ServiceAccount, name: quay-operator, namespace: quay-operator}
---
# For people: whoever may edit a namespace may have a registry in it.
` + head + `ClusterRole
metadata:
  name: quayregistry-editor-role
  labels:
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
rules:
- apiGroups: [quay.redhat.com]
  resources: [quayregistries, quayregistrybackups, quayregistryrestores]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [quay.redhat.com]
  resources: [quayregistries/status, quayregistrybackups/status, quayregistryrestores/status]
  verbs: [get]
---
` + head + `ClusterRole
metadata:
  name: quayregistry-viewer-role
  labels:
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules:
- apiGroups: [quay.redhat.com]
  resources: [quayregistries, quayregistrybackups, quayregistryrestores, quayregistries/status, quayregistrybackups/status, quayregistryrestores/status]
  verbs: [get, list, watch]
`
}

// An m is a YAML object; a list of one is an l.
type (
	m = map[string]any
	l = []any
)

// csv is the ClusterServiceVersion: the deployment of the kustomize base and
// the rules, with what OLM and OpenShift's console show.
func csv(t *testing.T, parts map[string]string) string {
	t.Helper()
	var deployment struct {
		Spec m `yaml:"spec"`
	}
	parse(t, read(t, "operator/kustomize/deployment.yaml"), &deployment)
	pod := deployment.Spec["template"].(m)["spec"].(m)
	container := pod["containers"].(l)[0].(m)
	env := append(l{m{"name": "QUAY_VERSION", "value": version}}, container["env"].(l)...)
	container["env"] = env
	delete(pod, "serviceAccountName") // OLM sets it
	var related l
	seen := make(map[string]bool)
	for _, e := range env {
		name, _ := e.(m)["name"].(string)
		image, _ := e.(m)["value"].(string)
		if short, ok := strings.CutPrefix(name, "RELATED_IMAGE_COMPONENT_"); ok && image != "" && !seen[image] {
			seen[image] = true
			related = append(related, m{"name": strings.ToLower(short), "image": image})
		}
	}
	rules := func(keys ...string) l {
		var all l
		for _, key := range keys {
			var some l
			parse(t, parts[key], &some)
			all = append(all, some...)
		}
		return all
	}
	var components l
	for _, kind := range []string{"quay", "postgres", "clair", "redis", "horizontalpodautoscaler", "objectstorage", "route", "mirror", "monitoring", "tls", "clairpostgres"} {
		components = append(components, m{"kind": kind, "managed": true})
	}
	example, err := json.MarshalIndent(l{m{"apiVersion": "quay.redhat.com/v1", "kind": "QuayRegistry",
		"metadata": m{"name": "example-registry"}, "spec": m{"components": components}},
		m{"apiVersion": "quay.redhat.com/v1", "kind": "QuayRegistryBackup", "metadata": m{"name": "nightly"},
			"spec": m{"registry": "example-registry", "schedule": "0 3 * * *", "keep": 14, "vault": m{"secret": "backup-vault"}}},
		m{"apiVersion": "quay.redhat.com/v1", "kind": "QuayRegistryRestore", "metadata": m{"name": "back"},
			"spec": m{"registry": "example-registry", "vault": m{"secret": "backup-vault"}}}}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	mode := func(name string) m { return m{"type": name, "supported": true} }
	text, secret, link := l{"urn:alm:descriptor:text"}, l{"urn:alm:descriptor:io.kubernetes:Secret"}, l{"urn:alm:descriptor:org.w3:link"}
	o := m{
		"apiVersion": "operators.coreos.com/v1alpha1",
		"kind":       "ClusterServiceVersion",
		"metadata": m{
			"name": "quay-operator.v" + version,
			"annotations": m{
				"alm-examples":   string(example),
				"capabilities":   "Full Lifecycle",
				"categories":     "Integration & Delivery",
				"containerImage": container["image"],
				"description":    "Container registries that are installed, kept, upgraded and backed up.",
				"olm.skipRange":  ">=3.3.0 <" + version,
				"quay-version":   version,
				"support":        "Gantry",
				"repository":     "https://github.com/gantry-registry/gantry",
				"operators.openshift.io/infrastructure-features": `["disconnected", "proxy-aware", "fips"]`,
				"features.operators.openshift.io/disconnected":   "true",
				"features.operators.openshift.io/proxy-aware":    "true",
				"features.operators.openshift.io/fips-compliant": "true",
				"operatorframework.io/suggested-namespace":       "quay-operator",
			},
			"labels": m{"operatorframework.io/arch.amd64": "supported", "operatorframework.io/arch.arm64": "supported", "operatorframework.io/os.linux": "supported"},
		},
		"spec": m{
			"displayName": "Gantry",
			"description": `Gantry is a container registry that replaces Red Hat Quay: the same resource, the same configuration, the same data.

A QuayRegistry of a few lines becomes a complete registry with its database, cache, storage, route, certificates, autoscaling, mirroring workers and monitoring, which the operator keeps through changes, upgrades and failures.
`,
			"version": version, "maturity": "stable", "minKubeVersion": "1.28.0",
			"provider":     m{"name": "Gantry", "url": "https://github.com/gantry-registry/gantry"},
			"keywords":     l{"registry", "containers", "images", "quay", "oci"},
			"links":        l{m{"name": "Documentation", "url": "https://github.com/gantry-registry/gantry/tree/main/docs"}},
			"maintainers":  l{m{"name": "The Gantry authors", "email": "maintainers@gantry-registry.invalid"}},
			"installModes": l{mode("OwnNamespace"), mode("SingleNamespace"), mode("MultiNamespace"), mode("AllNamespaces")},
			"customresourcedefinitions": m{"owned": append(backups(), m{
				"name": "quayregistries.quay.redhat.com", "kind": "QuayRegistry", "version": "v1",
				"displayName": "Quay Registry", "description": "A registry with all that belongs to it.",
				"resources": l{
					m{"kind": "Deployment", "name": "", "version": "v1"}, m{"kind": "Service", "name": "", "version": "v1"},
					m{"kind": "Secret", "name": "", "version": "v1"}, m{"kind": "PersistentVolumeClaim", "name": "", "version": "v1"},
					m{"kind": "Job", "name": "", "version": "v1"}, m{"kind": "HorizontalPodAutoscaler", "name": "", "version": "v2"},
					m{"kind": "Route", "name": "", "version": "v1"},
				},
				"specDescriptors": l{
					m{"path": "configBundleSecret", "displayName": "Config Bundle Secret", "x-descriptors": secret,
						"description": "The Secret with config.yaml, certificates and other files of the registry."},
					m{"path": "components", "displayName": "Components", "x-descriptors": text,
						"description": "Which parts the operator makes, and how."},
				},
				"statusDescriptors": l{
					m{"path": "currentVersion", "displayName": "Current Version", "x-descriptors": text, "description": "The version that runs."},
					m{"path": "registryEndpoint", "displayName": "Registry Endpoint", "x-descriptors": link, "description": "Where the registry is."},
					m{"path": "configEditorEndpoint", "displayName": "Config Editor Endpoint", "x-descriptors": link, "description": "Where its configuration is edited."},
					m{"path": "configEditorCredentialsSecret", "displayName": "Config Editor Credentials Secret", "x-descriptors": secret, "description": "Who may edit it."},
					m{"path": "conditions", "displayName": "Conditions", "x-descriptors": l{"urn:alm:descriptor:io.kubernetes.conditions"}, "description": "How the registry and its parts are."},
				},
			})},
			"install": m{"strategy": "deployment", "spec": m{
				"deployments":        l{m{"name": "quay-operator-tng", "spec": deployment.Spec}},
				"permissions":        l{m{"serviceAccountName": "quay-operator", "rules": rules("namespaced", "own")}},
				"clusterPermissions": l{m{"serviceAccountName": "quay-operator", "rules": rules("cluster", "label")}},
			}},
			"relatedImages": related,
		},
	}
	var b bytes.Buffer
	b.WriteString("# Made from deploy/operator by \"go test ./deploy -run TestGenerated -update\".\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// backups are the definitions of backups and restores, as the bundle shows them.
func backups() (owned l) {
	for _, one := range [][3]string{
		{"QuayRegistryBackup", "Quay Registry Backup", "Backs a registry up while it runs, once or by a schedule."},
		{"QuayRegistryRestore", "Quay Registry Restore", "Puts a backup in place of what a registry holds."},
	} {
		owned = append(owned, m{"name": strings.ToLower(one[0]) + "s.quay.redhat.com", "kind": one[0], "version": "v1", "displayName": one[1], "description": one[2],
			"specDescriptors":   l{m{"path": "registry", "displayName": "Registry", "description": "The QuayRegistry."}, m{"path": "vault.secret", "displayName": "Vault", "description": "The Secret that says where backups lie.", "x-descriptors": l{"urn:alm:descriptor:io.kubernetes:Secret"}}},
			"statusDescriptors": l{m{"path": "phase", "displayName": "Phase", "description": "How far it is.", "x-descriptors": l{"urn:alm:descriptor:io.kubernetes.phase"}}, m{"path": "message", "displayName": "Message", "description": "Why it is so.", "x-descriptors": l{"urn:alm:descriptor:text"}}},
		})
	}
	return owned
}

// annotations are what OLM reads of the bundle first.
func annotations() string {
	channel := "stable-" + version[:strings.LastIndex(version, ".")]
	return `annotations:
  operators.operatorframework.io.bundle.mediatype.v1: registry+v1
  operators.operatorframework.io.bundle.manifests.v1: manifests/
  operators.operatorframework.io.bundle.metadata.v1: metadata/
  operators.operatorframework.io.bundle.package.v1: quay-operator
  operators.operatorframework.io.bundle.channels.v1: ` + channel + `
  operators.operatorframework.io.bundle.channel.default.v1: ` + channel + `
  com.redhat.openshift.versions: v4.12
`
}

func parse(t *testing.T, text string, to any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

// TestRules holds the operator to exact verbs and resources.
func TestRules(t *testing.T) {
	type rule struct {
		APIGroups     []string `yaml:"apiGroups"`
		Resources     []string `yaml:"resources"`
		ResourceNames []string `yaml:"resourceNames"`
		Verbs         []string `yaml:"verbs"`
	}
	var all map[string][]rule
	d := yaml.NewDecoder(strings.NewReader(read(t, "operator/rules.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"get": true, "list": true, "watch": true, "create": true, "update": true, "patch": true, "delete": true}
	for part, rules := range all {
		for _, r := range rules {
			if len(r.APIGroups) == 0 || len(r.Resources) == 0 || len(r.Verbs) == 0 {
				t.Errorf("%s: %+v is empty in part", part, r)
			}
			for _, v := range r.Verbs {
				if !known[v] {
					t.Errorf("%s: verb %q in %+v", part, v, r)
				}
			}
			for _, name := range append(r.APIGroups, r.Resources...) {
				if strings.Contains(name, "*") {
					t.Errorf("%s: %q is not exact", part, name)
				}
			}
		}
	}
}
