package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// Facts are what is known of a registry beside its spec and its bundle.
type Facts struct {
	Name, Namespace string
	// Hostname is SERVER_HOSTNAME where the bundle has none: that of the route.
	Hostname string
	// TLSAtRoute: what stands before the registry ends TLS.
	TLSAtRoute bool
	// Bucket is the managed object storage; nil = not bound yet, or a volume.
	Bucket *Bucket
	// Volume is the folder of the volume that stands in for a bucket; "" = none.
	Volume string
	// Product is the title of the registry; "" = Quay.
	Product string
}

// A Bucket is what an object bucket claim gave.
type Bucket struct {
	Host, Name     string
	Port           int  // 0 = 443
	Insecure       bool // plain http
	AccessKey, Key string
}

// defaults are what config.yaml has where the user says nothing (operator.md,
// section 8).
func defaults(product string) map[string]any {
	return map[string]any{
		"SETUP_COMPLETE": true, "FEATURE_MAILING": false, "REGISTRY_TITLE": product, "REGISTRY_TITLE_SHORT": product,
		"AUTHENTICATION_TYPE": "Database", "DEFAULT_TAG_EXPIRATION": "2w", "TAG_EXPIRATION_OPTIONS": []any{"2w"},
		"ALLOW_PULLS_WITHOUT_STRICT_LOGGING": false, "TEAM_RESYNC_STALE_TIME": "60m", "FEATURE_DIRECT_LOGIN": true,
		"FEATURE_BUILD_SUPPORT": false, "TESTING": false,
	}
}

// local is the name of the managed storage location, as Quay's operator has it.
const local = "local_us"

// Config returns the registry's config.yaml: the defaults, what the user says
// over them, and over that what only the operator can know of the components that
// it makes. The user wins wherever a field is not strictly the operator's.
func Config(all Components, b *Bundle, keys Keys, f Facts) map[string]any {
	product := f.Product
	if product == "" {
		product = "Quay"
	}
	c := defaults(product)
	maps.Copy(c, b.Config)
	fill := func(field string, value any) { // where the user says nothing
		if _, ok := c[field]; !ok {
			c[field] = value
		}
	}
	for _, key := range []string{KeySecret, KeyDatabaseSecret} {
		if s, _ := c[key].(string); s == "" {
			c[key] = string(keys[key])
		}
	}
	if all.Managed(v1.ComponentPostgres) {
		c["DB_URI"] = string(keys[KeyDBURI])
		fill("DB_CONNECTION_ARGS", map[string]any{"autorollback": true, "threadlocals": true})
	}
	if all.Managed(v1.ComponentRedis) {
		r := map[string]any{"host": f.Name + "-quay-redis", "port": 6379}
		if p := keys[KeyRedisPassword]; len(p) > 0 {
			r["password"] = string(p)
		}
		c["BUILDLOGS_REDIS"], c["USER_EVENTS_REDIS"] = r, maps.Clone(r)
	}
	if all.Managed(v1.ComponentObjectStorage) {
		switch {
		case f.Bucket != nil:
			port := f.Bucket.Port
			if port == 0 {
				port = 443
			}
			c["DISTRIBUTED_STORAGE_CONFIG"] = map[string]any{local: []any{"RHOCSStorage", map[string]any{
				"hostname": f.Bucket.Host, "is_secure": !f.Bucket.Insecure, "port": port, "bucket_name": f.Bucket.Name,
				"access_key": f.Bucket.AccessKey, "secret_key": f.Bucket.Key, "storage_path": "/datastorage/registry"}}}
			fill("FEATURE_PROXY_STORAGE", true)
		case f.Volume != "":
			c["DISTRIBUTED_STORAGE_CONFIG"] = map[string]any{local: []any{"LocalStorage", map[string]any{"storage_path": f.Volume}}}
		}
		c["DISTRIBUTED_STORAGE_PREFERENCE"], c["DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS"] = []any{local}, []any{local}
	}
	if all.Managed(v1.ComponentRoute) {
		fill("SERVER_HOSTNAME", f.Hostname)
		c["PREFERRED_URL_SCHEME"] = "https"
		c["EXTERNAL_TLS_TERMINATION"] = f.TLSAtRoute
	}
	if all.Managed(v1.ComponentMirror) {
		c["FEATURE_REPO_MIRROR"] = true
		fill("REPO_MIRROR_INTERVAL", 30)
		fill("REPO_MIRROR_TLS_VERIFY", true)
	}
	if all.Managed(v1.ComponentClair) {
		c["FEATURE_SECURITY_SCANNER"] = true
		c["SECURITY_SCANNER_V4_ENDPOINT"] = fmt.Sprintf("http://%s-clair-app.%s.svc.cluster.local", f.Name, f.Namespace)
		c["SECURITY_SCANNER_V4_PSK"] = string(keys[KeyScannerPSK])
		fill("SECURITY_SCANNER_V4_NAMESPACE_WHITELIST", []any{"admin"})
		fill("FEATURE_SECURITY_NOTIFICATIONS", true)
	}
	return c
}

// Encode returns a configuration as YAML: the same bytes for the same
// configuration, keys in order.
func Encode(c map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return b.Bytes(), e.Close()
}

// Hash is a short name for the content of files: the same for the same files.
func Hash(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, _ = fmt.Fprintf(h, "%d %s %d ", len(name), name, len(files[name])) // a hash never fails
		h.Write(files[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:10]
}

// Merge lays over onto under, key by key and mapping by mapping; over wins.
// Neither is changed.
func Merge(under, over map[string]any) map[string]any {
	m := maps.Clone(under)
	if m == nil {
		m = map[string]any{}
	}
	for k, v := range over {
		below, isMap := m[k].(map[string]any)
		above, both := v.(map[string]any)
		if isMap && both {
			v = Merge(below, above)
		}
		m[k] = v
	}
	return m
}

// ClairConfig returns Clair's config.yaml: what the operator knows, and what the
// user says over it, deep in the tree too.
func ClairConfig(all Components, b *Bundle, keys Keys, f Facts) map[string]any {
	pool := 10
	if all.Managed(v1.ComponentHPA) {
		pool = 33 // ten pods of three pools each stay below 1,000 connections
	}
	part := func(more map[string]any) map[string]any {
		m := map[string]any{"migrations": true}
		if all.Managed(v1.ComponentClairPostgres) {
			m["connstring"] = fmt.Sprintf("host=%s-clair-postgres port=5432 dbname=%s user=%s password=%s sslmode=disable pool_max_conns=%d",
				f.Name, keys[KeyClairName], keys[KeyClairUser], keys[KeyClairPassword], pool)
		}
		maps.Copy(m, more)
		return m
	}
	host, _ := b.Config["SERVER_HOSTNAME"].(string)
	if host == "" {
		host = f.Hostname
	}
	own := map[string]any{
		"http_listen_addr": ":8080", "introspection_addr": ":8089", "log_level": "info",
		"indexer": part(map[string]any{"scanlock_retry": 10, "layer_scan_concurrency": 5}),
		"matcher": part(nil),
		"notifier": part(map[string]any{"delivery_interval": "1m", "poll_interval": "5m", "webhook": map[string]any{
			"target":   "https://" + host + "/secscan/notification",
			"callback": fmt.Sprintf("http://%s-clair-app/notifier/api/v1/notifications", f.Name)}}),
		"auth":    map[string]any{"psk": map[string]any{"key": string(keys[KeyScannerPSK]), "iss": []any{"quay", "clairctl"}}},
		"metrics": map[string]any{"name": "prometheus"},
	}
	return Merge(own, b.Clair)
}

// ReadBucket reads the ConfigMap and the Secret that a bucket claim gave
// (operator.md, section 12). nil = they are not whole yet.
func ReadBucket(settings map[string]string, secrets map[string][]byte) (*Bucket, error) {
	b := &Bucket{Host: settings["BUCKET_HOST"], Name: settings["BUCKET_NAME"], AccessKey: string(secrets["AWS_ACCESS_KEY_ID"]), Key: string(secrets["AWS_SECRET_ACCESS_KEY"])}
	if b.Host == "" || b.Name == "" || b.AccessKey == "" || b.Key == "" {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	if strings.HasSuffix(b.Host, ".svc") {
		b.Host += ".cluster.local"
	}
	if port := settings["BUCKET_PORT"]; port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, &Blocked{Reason: v1.ReasonObjectStorageDependency, Component: v1.ComponentObjectStorage, Message: fmt.Sprintf("the bucket claim's ConfigMap has BUCKET_PORT %q, which is no port", port)}
		}
		b.Port = int(n)
	}
	// A claim does not say whether its endpoint speaks TLS: NooBaa's port 443
	// does, Rook's 80 does not.
	b.Insecure = b.Port != 0 && b.Port != 443 && b.Port != 8443 && b.Port != 6443
	return b, nil
}
