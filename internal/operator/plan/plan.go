// Package plan decides what a QuayRegistry is to be: which components there
// are, whether what is asked for can be had, and what the registry's
// configuration is. Its functions are pure: what the cluster has comes in as
// facts, and nothing is read or written here. Contract: operator.md, sections 4
// to 8.
package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// A Cluster is what the cluster has of what components need.
type Cluster struct {
	// Routes: the API route.openshift.io is there.
	Routes bool
	// AppsDomain is the domain of routes; "" = not known.
	AppsDomain string
	// Ingresses: an Ingress has a class, its own or the cluster's default.
	Ingresses bool
	// Buckets: the API objectbucket.io is there.
	Buckets bool
	// Monitoring: ServiceMonitor and PrometheusRule are there.
	Monitoring bool
	// Gateways: the API HTTPRoute of gateway.networking.k8s.io is there.
	Gateways bool
	// Images has the components whose image is configured.
	Images map[v1.ComponentKind]bool
}

// Components are all components as they are taken to be.
type Components map[v1.ComponentKind]Component

// A Component is one of them.
type Component struct {
	Managed   bool
	Source    v1.ComponentSource
	Overrides v1.Override // the zero value is none
	SecretRef string      // of tls
	Note      string      // why it is not managed, where that was detected
}

// Managed reports whether the operator makes the component.
func (all Components) Managed(kind v1.ComponentKind) bool { return all[kind].Managed }

// owns are the fields of config.yaml that only one can write: the operator
// where it makes the component, or the user. groups are all fields that
// tell that the user brings the component.
var owns = map[v1.ComponentKind][]string{
	v1.ComponentPostgres:      {"DB_URI"},
	v1.ComponentRedis:         {"BUILDLOGS_REDIS", "USER_EVENTS_REDIS"},
	v1.ComponentObjectStorage: {"DISTRIBUTED_STORAGE_CONFIG", "DISTRIBUTED_STORAGE_PREFERENCE", "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS"},
	v1.ComponentClair:         {"SECURITY_SCANNER_ENDPOINT", "SECURITY_SCANNER_V4_ENDPOINT"},
}

var groups = map[v1.ComponentKind][]string{
	v1.ComponentPostgres: {"DB_URI", "DB_CONNECTION_ARGS"},
	v1.ComponentRedis:    {"BUILDLOGS_REDIS", "USER_EVENTS_REDIS", "PULL_METRICS_REDIS"},
	v1.ComponentObjectStorage: {"DISTRIBUTED_STORAGE_CONFIG", "DISTRIBUTED_STORAGE_PREFERENCE", "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS",
		"FEATURE_STORAGE_REPLICATION"},
	v1.ComponentRoute:  {"SERVER_HOSTNAME", "EXTERNAL_TLS_TERMINATION", "PREFERRED_URL_SCHEME"},
	v1.ComponentMirror: {"FEATURE_REPO_MIRROR", "REPO_MIRROR_INTERVAL", "REPO_MIRROR_SERVER_HOSTNAME", "REPO_MIRROR_TLS_VERIFY"},
	v1.ComponentClair: {"FEATURE_SECURITY_SCANNER", "SECURITY_SCANNER_ENDPOINT", "SECURITY_SCANNER_INDEXING_INTERVAL", "SECURITY_SCANNER_NOTIFICATIONS",
		"SECURITY_SCANNER_V4_ENDPOINT", "SECURITY_SCANNER_V4_NAMESPACE_WHITELIST"},
}

// GroupOf returns the fields of config.yaml that belong to a component, as the
// configuration editor shows them read-only while it is managed.
func GroupOf(kind v1.ComponentKind) []string { return slices.Clone(groups[kind]) }

// sets are the fields that the operator sets, whatever the bundle has, while it
// makes a component; of those in owns it refuses the bundle's.
var sets = map[v1.ComponentKind][]string{
	v1.ComponentRoute:  {"PREFERRED_URL_SCHEME", "EXTERNAL_TLS_TERMINATION"},
	v1.ComponentMirror: {"FEATURE_REPO_MIRROR"},
	v1.ComponentClair:  {"FEATURE_SECURITY_SCANNER", "SECURITY_SCANNER_V4_PSK"},
}

// SetsOf returns the fields of config.yaml that are the operator's while it
// makes a component: what the bundle has of them is refused, or has no effect.
func SetsOf(kind v1.ComponentKind) []string { return slices.Concat(owns[kind], sets[kind]) }

// relate are further fields that say how the user's own component is reached,
// or what it can: of the operator's they are not true.
var relate = map[v1.ComponentKind][]string{
	v1.ComponentPostgres:      {"DB_CONNECTION_ARGS", "DB_READ_REPLICAS"},
	v1.ComponentRedis:         {"BUILDLOGS_REDIS_HOSTNAME", "USER_EVENTS_REDIS_HOSTNAME"},
	v1.ComponentObjectStorage: {"FEATURE_STORAGE_REPLICATION"},
}

// RelatedTo returns the fields of config.yaml beside those of SetsOf that tell
// of a component which the user brings, and that a managed one is better
// without.
func RelatedTo(kind v1.ComponentKind) []string { return slices.Clone(relate[kind]) }

// has are those of the fields that the bundle has.
func (b *Bundle) has(fields []string) (found []string) {
	for _, f := range fields {
		if _, ok := b.Config[f]; ok {
			found = append(found, f)
		}
	}
	return found
}

// clairConnects reports whether the user's clair-config.yaml names a database.
func (b *Bundle) clairConnects() bool {
	for _, part := range []string{"indexer", "matcher", "notifier"} {
		if m, ok := b.Clair[part].(map[string]any); ok {
			if s, ok := m["connstring"].(string); ok && s != "" {
				return true
			}
		}
	}
	return false
}

// brings reports whether the bundle has what makes the component the user's.
func (b *Bundle) brings(kind v1.ComponentKind) bool {
	switch kind {
	case v1.ComponentTLS:
		return b.HasCert()
	case v1.ComponentClairPostgres:
		return b.clairConnects()
	}
	return len(b.has(owns[kind])) > 0
}

// Decide returns the components of a registry. The error is a *Blocked: what
// is asked for that cannot be had.
func Decide(spec v1.QuayRegistrySpec, cluster Cluster, b *Bundle) (Components, error) {
	asked := map[v1.ComponentKind]v1.Component{}
	for _, c := range spec.Components {
		if !slices.Contains(v1.Kinds(), c.Kind) {
			return nil, &Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("there is no component %q: choose from %s", c.Kind, kinds())}
		}
		if _, twice := asked[c.Kind]; twice {
			return nil, &Blocked{Reason: v1.ReasonConfigInvalid, Component: c.Kind, Message: fmt.Sprintf("the component %s is there twice", c.Kind)}
		}
		asked[c.Kind] = c
	}
	all := Components{}
	for _, kind := range v1.Kinds() {
		c, named := asked[kind]
		d := Component{Source: v1.SourceSpec, Managed: c.Managed}
		if !named {
			d.Managed, d.Source, d.Note = byDefault(kind, cluster, b, asked)
		}
		if kind == v1.ComponentQuay {
			d.Managed = true // whatever is said: it carries overrides
		}
		if c.Overrides != nil {
			d.Overrides = *c.Overrides
		}
		if c.SecretRef != nil {
			d.SecretRef = c.SecretRef.Name
		}
		if named && d.Managed {
			if err := missing(kind, cluster); err != nil {
				return nil, err
			}
		}
		all[kind] = d
	}
	for _, kind := range v1.Kinds() {
		if err := all.check(kind, b); err != nil {
			return nil, err
		}
		if err := all.checkOverrides(kind); err != nil {
			return nil, err
		}
	}
	if err := all.checkSites(b); err != nil {
		return nil, err
	}
	return all, nil
}

func kinds() string {
	names := make([]string, 0, len(v1.Kinds()))
	for _, k := range v1.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// byDefault says whether a component that is not named is managed: always,
// unless the bundle brings it or the cluster lacks what it needs.
func byDefault(kind v1.ComponentKind, cluster Cluster, b *Bundle, asked map[v1.ComponentKind]v1.Component) (managed bool, from v1.ComponentSource, note string) {
	if b.brings(kind) {
		what := strings.Join(b.has(owns[kind]), ", ")
		switch kind {
		case v1.ComponentTLS:
			what = "ssl.cert and ssl.key"
		case v1.ComponentClairPostgres:
			what = "a database in clair-config.yaml"
		}
		return false, v1.SourceDetected, "the configuration bundle has " + what
	}
	switch kind {
	case v1.ComponentMonitoring:
		if !cluster.Monitoring {
			return false, v1.SourceDetected, "the cluster has no ServiceMonitor and PrometheusRule (monitoring.coreos.com)"
		}
	case v1.ComponentTLS:
		if route, named := asked[v1.ComponentRoute]; named && !route.Managed {
			return false, v1.SourceDetected, "the component route is not managed"
		}
	case v1.ComponentClair:
		if !cluster.Images[kind] {
			return false, v1.SourceDetected, "no image is configured for it (RELATED_IMAGE_COMPONENT_CLAIR)"
		}
	case v1.ComponentClairPostgres:
		if clair, named := asked[v1.ComponentClair]; named && !clair.Managed || !named && (!cluster.Images[v1.ComponentClair] || b.brings(v1.ComponentClair)) {
			return false, v1.SourceDetected, "the component clair is not managed"
		}
	}
	return true, v1.SourceDefault, ""
}

// missing is why a component that is asked for cannot be had here.
func missing(kind v1.ComponentKind, cluster Cluster) error {
	if kind == v1.ComponentMonitoring && !cluster.Monitoring {
		return &Blocked{Reason: v1.ReasonMonitoringDependency, Component: kind,
			Message: "monitoring is managed, and the cluster has no ServiceMonitor and PrometheusRule (monitoring.coreos.com): install the Prometheus operator, or set managed to false"}
	}
	return nil
}

// check holds a component to the bundle.
func (all Components) check(kind v1.ComponentKind, b *Bundle) error {
	c := all[kind]
	block := func(format string, args ...any) error {
		return &Blocked{Reason: v1.ReasonConfigInvalid, Component: kind, Message: fmt.Sprintf(format, args...)}
	}
	// The words of this one are Quay's: tools look for them.
	lacking := block("required component `%s` marked as unmanaged, but `configBundleSecret` is missing necessary fields", kind)
	switch kind {
	case v1.ComponentTLS:
		switch {
		case c.Managed && b.HasCert():
			return block("tls is managed, and the configuration bundle has ssl.cert and ssl.key: take them out, or set managed to false to have them used")
		case c.Managed && !all.Managed(v1.ComponentRoute):
			return block("tls managed requires route managed: bring ssl.cert and ssl.key in the configuration bundle and set managed to false, or have the route managed")
		case c.SecretRef != "" && b.HasCert():
			return block("tls names the Secret %s, and the configuration bundle has ssl.cert and ssl.key: which of the two is to be used? Take one out", c.SecretRef)
		case !c.Managed && !b.HasCert() && c.SecretRef == "" && (all.Managed(v1.ComponentRoute) || b.Config["EXTERNAL_TLS_TERMINATION"] != true):
			return lacking
		}
	case v1.ComponentRoute:
		if host, _ := b.Config["SERVER_HOSTNAME"].(string); !c.Managed && host == "" {
			return lacking
		}
	case v1.ComponentPostgres, v1.ComponentRedis, v1.ComponentObjectStorage:
		switch {
		case c.Managed && b.brings(kind):
			return block("%s is managed, and config.yaml has %s: take it out, or set managed to false", kind, strings.Join(b.has(owns[kind]), " and "))
		case !c.Managed && len(b.has(groups[kind])) == 0:
			return lacking
		case !c.Managed && !b.brings(kind):
			return lacking
		}
	case v1.ComponentClair:
		if c.Managed && b.brings(kind) {
			return block("clair is managed, and config.yaml has %s: take it out, or set managed to false", strings.Join(b.has(owns[kind]), " and "))
		}
	case v1.ComponentClairPostgres:
		switch {
		case !all.Managed(v1.ComponentClair):
		case c.Managed && b.brings(kind):
			return block("clairpostgres is managed, and clair-config.yaml has a connstring: take it out, or set managed to false")
		case !c.Managed && !b.brings(kind):
			return block("clairpostgres is unmanaged, and the configuration bundle has no clair-config.yaml with a connstring for indexer, matcher or notifier: put it in, or have clairpostgres managed")
		}
	}
	return nil
}

// An override is one field of Override.
type override struct {
	name string
	set  func(*v1.Override) bool
	of   []v1.ComponentKind // that have it
}

var (
	workloads = []v1.ComponentKind{v1.ComponentQuay, v1.ComponentClair, v1.ComponentMirror, v1.ComponentPostgres, v1.ComponentClairPostgres, v1.ComponentRedis}
	scaled    = []v1.ComponentKind{v1.ComponentQuay, v1.ComponentClair, v1.ComponentMirror}
	routes    = []v1.ComponentKind{v1.ComponentRoute}
)

// overrides is the matrix of operator.md, section 2.
var overrides = []override{
	{"volumeSize", func(o *v1.Override) bool { return o.VolumeSize != nil }, []v1.ComponentKind{v1.ComponentPostgres, v1.ComponentClair, v1.ComponentClairPostgres, v1.ComponentObjectStorage}},
	{"storageClassName", func(o *v1.Override) bool { return o.StorageClassName != nil }, []v1.ComponentKind{v1.ComponentPostgres, v1.ComponentClair, v1.ComponentClairPostgres, v1.ComponentObjectStorage}},
	{"bucketClass", func(o *v1.Override) bool { return o.BucketClass != nil }, []v1.ComponentKind{v1.ComponentObjectStorage}},
	{"accessMode", func(o *v1.Override) bool { return o.AccessMode != "" }, []v1.ComponentKind{v1.ComponentObjectStorage}},
	{"env", func(o *v1.Override) bool { return len(o.Env) > 0 }, workloads},
	{"replicas", func(o *v1.Override) bool { return o.Replicas != nil }, scaled},
	{"affinity", func(o *v1.Override) bool { return o.Affinity != nil }, scaled},
	{"nodeSelector", func(o *v1.Override) bool { return len(o.NodeSelector) > 0 }, workloads},
	{"tolerations", func(o *v1.Override) bool { return len(o.Tolerations) > 0 }, workloads},
	{"topologySpreadConstraints", func(o *v1.Override) bool { return len(o.TopologySpreadConstraints) > 0 }, scaled},
	{"priorityClassName", func(o *v1.Override) bool { return o.PriorityClassName != "" }, workloads},
	{"imagePullSecrets", func(o *v1.Override) bool { return len(o.ImagePullSecrets) > 0 }, workloads},
	{"image", func(o *v1.Override) bool { return o.Image != "" }, workloads},
	{"resources", func(o *v1.Override) bool { return o.Resources != nil }, workloads},
	{"securityContext", func(o *v1.Override) bool { return o.SecurityContext != nil }, []v1.ComponentKind{v1.ComponentQuay, v1.ComponentMirror}},
	{"labels", func(o *v1.Override) bool { return len(o.Labels) > 0 }, append(slices.Clone(workloads), v1.ComponentRoute)},
	{"annotations", func(o *v1.Override) bool { return len(o.Annotations) > 0 }, append(slices.Clone(workloads), v1.ComponentRoute)},
	{"serviceAnnotations", func(o *v1.Override) bool { return len(o.ServiceAnnotations) > 0 }, []v1.ComponentKind{v1.ComponentQuay, v1.ComponentClair}},
	{"ingressClassName", func(o *v1.Override) bool { return o.IngressClassName != nil }, routes},
	{"gateway", func(o *v1.Override) bool { return o.Gateway != "" }, routes},
	{"hpa", func(o *v1.Override) bool { return o.HPA != nil }, scaled},
	{"pdb", func(o *v1.Override) bool { return o.PDB != nil }, scaled},
}

// reserved are labels that no override changes.
var reserved = []string{"quay-component", "app", "quay-operator/quayregistry"}

func (all Components) checkOverrides(kind v1.ComponentKind) error {
	c := all[kind]
	block := func(format string, args ...any) error {
		return &Blocked{Reason: v1.ReasonComponentOverrideInvalid, Component: kind, Message: fmt.Sprintf(format, args...)}
	}
	for _, o := range overrides {
		switch {
		case !o.set(&c.Overrides):
		case !c.Managed:
			return block("the component %s has overrides (%s), and is not managed: set managed to true, or take the overrides out", kind, o.name)
		case !slices.Contains(o.of, kind):
			names := make([]string, 0, len(o.of))
			for _, k := range o.of {
				names = append(names, string(k))
			}
			return block("the component %s has no override %s; it is for %s", kind, o.name, strings.Join(names, ", "))
		}
	}
	if r := c.Overrides.Replicas; r != nil && *r > 0 && all.Managed(v1.ComponentHPA) {
		return block("the component %s has %d replicas as an override, and horizontalpodautoscaler is managed, which scales it: set the latter to managed: false, or hpa.min of the override; only 0 replicas, which stop it, go with both", kind, *r)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Overrides.Labels)) {
		if slices.Contains(reserved, name) {
			return block("the component %s overrides the label %s, which is the operator's", kind, name)
		}
	}
	return nil
}

// Status is what the status of a registry says of the components.
func (all Components) Status() []v1.ComponentStatus {
	list := make([]v1.ComponentStatus, 0, len(all))
	for _, kind := range v1.Kinds() {
		list = append(list, v1.ComponentStatus{Kind: kind, Managed: all[kind].Managed, Source: all[kind].Source})
	}
	return list
}
