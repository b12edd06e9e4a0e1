package ecosystem

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// A Request is all that a QuayRegistry is made of.
type Request struct {
	Name string
	Spec Spec
	// Config is the data of ConfigSecret; nil = there is no such Secret.
	Config map[string][]byte
	// DatabaseSecret is what AnnotationDatabase says, and Database the data of
	// that Secret; nil = there is no such Secret.
	DatabaseSecret string
	Database       map[string][]byte
	Logs           string // what AnnotationLogs says; "" = nothing
	Cluster        plan.Cluster
}

// A Result is what is made of a QuayEcosystem.
type Result struct {
	// Spec is the QuayRegistry's, but for configBundleSecret.
	Spec v1.QuayRegistrySpec
	// Bundle is the data of its bundle.
	Bundle map[string][]byte
	// Notes are what the user is told: what is left to do by hand, or is otherwise
	// than it was.
	Notes []string
}

// dropped are fields of what Quay no longer has: the signing of images.
var dropped = []string{"GPG2_PRIVATE_KEY_FILENAME", "GPG2_PRIVATE_KEY_NAME", "GPG2_PUBLIC_KEY_FILENAME", "SIGNING_ENGINE", "FEATURE_SIGNING"}

// A conversion is one under way.
type conversion struct {
	Request
	config map[string]any
	files  map[string][]byte // of the bundle, beside config.yaml
	out    Result
}

// Convert makes a QuayRegistry, or says why it cannot. The error is a *Refused.
func Convert(r Request) (*Result, error) {
	if r.Config == nil {
		return nil, badConfig("there is no Secret %s in this namespace, which has the configuration of the QuayEcosystem's Quay: put it back", ConfigSecret)
	}
	b, err := plan.ReadBundle(r.Config)
	if err != nil {
		return nil, badConfig("the Secret %s: %v", ConfigSecret, err)
	}
	c := &conversion{Request: r, config: maps.Clone(b.Config), files: maps.Clone(r.Config)}
	delete(c.files, "config.yaml")
	c.drop(dropped)
	c.state()
	for _, part := range []func() error{c.storage, c.database, c.redis, c.access, c.mirror, c.clair} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return c.finish()
}

func (c *conversion) drop(fields []string) {
	for _, f := range fields {
		delete(c.config, f)
	}
}

// state lets a Quay that is read-only for its import become a registry that is
// not.
func (c *conversion) state() {
	if c.config["REGISTRY_STATE"] != "readonly" {
		c.out.Notes = append(c.out.Notes, "the Quay is not read-only (REGISTRY_STATE: readonly): what is pushed to it from now on may not come over")
		return
	}
	delete(c.config, "REGISTRY_STATE")
	c.out.Notes = append(c.out.Notes, "REGISTRY_STATE: readonly is the Quay's alone: the registry takes pushes")
}

// component names a component.
func (c *conversion) component(kind v1.ComponentKind, managed bool) {
	c.out.Spec.Components = append(c.out.Spec.Components, v1.Component{Kind: kind, Managed: managed})
}

// storage stays where it is: what is on a volume of the Quay's pods is out of
// reach.
func (c *conversion) storage() error {
	const way = "blobs are not copied, and a volume of the Quay's is not read: bring its storage to a bucket first, or the images over by an organization's mirror"
	if given(c.Spec.Quay.RegistryStorage) {
		return unsupported("objectstorage: spec.quay.registryStorage is a volume; %s", way)
	}
	for _, b := range c.Spec.Quay.RegistryBackends {
		if given(b.Local) {
			return unsupported("objectstorage: the backend %q of spec.quay.registryBackends is local; %s", b.Name, way)
		}
	}
	locations, _ := c.config["DISTRIBUTED_STORAGE_CONFIG"].(map[string]any)
	if len(locations) == 0 {
		return unsupported("objectstorage: config.yaml of the Secret %s has no location in DISTRIBUTED_STORAGE_CONFIG, so that the storage is local; %s", ConfigSecret, way)
	}
	for _, name := range slices.Sorted(maps.Keys(locations)) {
		if l, ok := locations[name].([]any); ok && len(l) > 0 && l[0] == "LocalStorage" {
			return unsupported("objectstorage: the location %q of DISTRIBUTED_STORAGE_CONFIG is LocalStorage; %s", name, way)
		}
	}
	c.component(v1.ComponentObjectStorage, false)
	return nil
}

// database decides where the data goes. The Quay's own database is read once,
// and never written: the registry has other tables.
func (c *conversion) database() error {
	if c.Logs != "" {
		if _, err := config.ParseAge(c.Logs); err != nil {
			return unsupported("postgres: the annotation %s, how much of the action log is imported, is %.40q: %v; without it 30 days are", AnnotationLogs, c.Logs, err)
		}
	}
	old, _ := c.config["DB_URI"].(string)
	if old == "" {
		return badConfig("config.yaml of the Secret %s has no DB_URI, so that there is no database to import: put it in", ConfigSecret)
	}
	for _, key := range []string{"DATABASE_SECRET_KEY", "SECRET_KEY"} {
		if k, _ := c.config[key].(string); k == "" {
			return badConfig("config.yaml of the Secret %s has no %s (text, in quotes), without which tokens and passwords are not opened: the Quay wrote one there when it was set up; put it back", ConfigSecret, key)
		}
	}
	c.drop(plan.GroupOf(v1.ComponentPostgres))
	d := c.Spec.Quay.Database
	if c.DatabaseSecret != "" {
		uri, err := c.target(old)
		if err != nil {
			return err
		}
		c.config["DB_URI"] = uri
		c.component(v1.ComponentPostgres, false)
		return nil
	}
	ask := fmt.Sprintf("make an empty PostgreSQL or MySQL database, put its address as DB_URI into a Secret of this namespace, and name that: kubectl annotate quayecosystem %s %s=SECRET", c.Name, AnnotationDatabase)
	switch {
	case d.Server != "":
		return unsupported("postgres: the database is on the server %s; the Quay's tables stay as they are, and their content is imported into a database beside them: %s", d.Server, ask)
	case d.VolumeSize == "":
		return unsupported("postgres: the database has neither a server nor a volumeSize, so that its data goes with its pod, which is not migrated: give spec.quay.database a volumeSize, or %s", ask)
	}
	size, err := resource.ParseQuantity(d.VolumeSize)
	if err != nil || size.Sign() <= 0 {
		return unsupported("postgres: spec.quay.database.volumeSize is %q, which is no size such as 50Gi", d.VolumeSize)
	}
	one := v1.Component{Kind: v1.ComponentPostgres, Managed: true, Overrides: &v1.Override{VolumeSize: &size}}
	if d.StorageClass != "" {
		one.Overrides.StorageClassName = &d.StorageClass
	}
	c.out.Spec.Components = append(c.out.Spec.Components, one)
	return nil
}

// target is the address of the database that the user made.
func (c *conversion) target(old string) (string, error) {
	uri := strings.TrimSpace(string(c.Database["DB_URI"]))
	switch at, err := readAddress(uri); {
	case c.Database == nil:
		return "", unsupported("postgres: there is no Secret %s, which the annotation %s names: create it with DB_URI, the address of an empty database", c.DatabaseSecret, AnnotationDatabase)
	case uri == "":
		return "", unsupported("postgres: the Secret %s, which the annotation %s names, has no DB_URI: put in the address of an empty database", c.DatabaseSecret, AnnotationDatabase)
	case err != nil || at.host == "" || at.name == "" || at.port == "": // the error may hold the password
		return "", unsupported("postgres: DB_URI of the Secret %s is no address of a PostgreSQL or MySQL database, such as postgresql://USER:PASSWORD@HOST:5432/DATABASE", c.DatabaseSecret)
	case sameDatabase(uri, old):
		return "", unsupported("postgres: DB_URI of the Secret %s is the Quay's own database, which stays as it is: name an empty one", c.DatabaseSecret)
	}
	return uri, nil
}

// An address is that of a database on a server.
type address struct{ host, port, name string }

// ports are the usual ones of the servers.
var ports = map[string]string{"postgresql": "5432", "postgres": "5432", "mysql": "3306"}

// readAddress reads a DB_URI. Its port is "" if it is of another kind.
func readAddress(uri string) (a address, err error) {
	u, err := url.Parse(uri)
	if err != nil {
		return a, err
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	a = address{host: strings.ToLower(u.Hostname()), port: ports[scheme], name: strings.Trim(u.Path, "/")}
	if a.host == "" {
		a.host = cmp.Or(u.Query().Get("host"), u.Query().Get("unix_socket"))
	}
	if p := u.Port(); p != "" && a.port != "" {
		a.port = p
	}
	return a, nil
}

// sameDatabase reports whether two addresses name one database.
func sameDatabase(a, b string) bool {
	x, err1 := readAddress(a)
	y, err2 := readAddress(b)
	return a == b || err1 == nil && err2 == nil && x == y
}

func (c *conversion) redis() error {
	managed := c.Spec.Redis.Hostname == ""
	if managed {
		c.drop(plan.GroupOf(v1.ComponentRedis))
	}
	c.component(v1.ComponentRedis, managed)
	return nil
}

// access keeps the name by which clients know the registry. A Route becomes the
// operator's; of what else leads to the Quay, the user has to make it lead to
// the registry.
func (c *conversion) access() error {
	a := c.Spec.Quay.ExternalAccess
	if host, _ := c.config["SERVER_HOSTNAME"].(string); host == "" && a.Hostname != "" {
		c.config["SERVER_HOSTNAME"] = a.Hostname
	}
	if a.TLS.Termination == "none" {
		delete(c.files, "ssl.cert")
		delete(c.files, "ssl.key")
	}
	pair := len(c.files["ssl.cert"]) > 0 && len(c.files["ssl.key"]) > 0
	if a.Type == "Route" || a.Type == "" && c.Cluster.Routes {
		c.drop(slices.DeleteFunc(plan.GroupOf(v1.ComponentRoute), func(f string) bool { return f == "SERVER_HOSTNAME" }))
		c.component(v1.ComponentRoute, true)
		c.component(v1.ComponentTLS, !pair)
		return nil
	}
	if !pair {
		c.config["EXTERNAL_TLS_TERMINATION"] = true // the registry speaks plain HTTP, as the Quay does
	}
	c.component(v1.ComponentRoute, false)
	c.component(v1.ComponentTLS, false)
	c.out.Notes = append(c.out.Notes, fmt.Sprintf("clients come in by %s, which the operator does not change: have it, or the DNS name, lead to the Service %s-quay-app; docs/operator/migrate.md says how", orService(a.Type), c.Name))
	return nil
}

func orService(kind string) string {
	if kind == "" {
		return "the Service of the QuayEcosystem"
	}
	return "the " + kind + " of the QuayEcosystem"
}

func (c *conversion) mirror() error {
	managed := c.Spec.Quay.EnableRepoMirroring
	if managed {
		c.drop(plan.GroupOf(v1.ComponentMirror))
	}
	c.component(v1.ComponentMirror, managed)
	return nil
}

// clair is another Clair, which scans anew: reports of Clair 2 are not read. If
// the operator has no image of it, it is left to the operator.
func (c *conversion) clair() error {
	managed := c.Spec.Clair.Enabled
	if managed {
		c.drop(plan.GroupOf(v1.ComponentClair))
		if !c.Cluster.Images[v1.ComponentClair] {
			c.out.Notes = append(c.out.Notes, "Clair is enabled, and the operator has no image of it (RELATED_IMAGE_COMPONENT_CLAIR): images are not scanned by Clair until it has")
			return nil
		}
	}
	c.component(v1.ComponentClair, managed)
	return nil
}

// finish writes the bundle, and checks that a registry can be made of it.
func (c *conversion) finish() (*Result, error) {
	text, err := plan.Encode(c.config)
	if err != nil {
		return nil, badConfig("config.yaml of the Secret %s: %v", ConfigSecret, err)
	}
	c.out.Bundle = c.files
	c.out.Bundle["config.yaml"] = text
	b, err := plan.ReadBundle(c.out.Bundle)
	if err != nil {
		return nil, badConfig("the Secret %s: %v", ConfigSecret, err)
	}
	all, err := plan.Decide(c.out.Spec, c.Cluster, b)
	if err == nil {
		_, err = plan.Reach(c.Name, "", all, c.Cluster, b)
	}
	if blocked, ok := plan.AsBlocked(err); ok {
		return nil, Blocked(blocked)
	}
	return &c.out, err
}

// Blocked is a QuayRegistry's failure as one of its QuayEcosystem.
func Blocked(b *plan.Blocked) *Refused {
	if b.Reason == v1.ReasonConfigInvalid {
		return &Refused{ConfigFailure, ReasonConfigInvalid, b.Message}
	}
	return &Refused{ComponentFailure, ReasonUnsupported, b.Message}
}

// BundleName is the name of the bundle of a registry: the same for the same
// content, so that an operator which starts again finds what it made. try is 0,
// or how many Secrets of that name are somebody else's.
func BundleName(name, uid string, data map[string][]byte, try int) string {
	files := maps.Clone(data)
	files["\x00"] = fmt.Appendf(nil, "%s %d", uid, try)
	return name + "-config-bundle-" + plan.Hash(files)
}
