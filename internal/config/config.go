package config

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Config is a whole configuration: checked, with every default filled in.
// It does not change after Load returned it, and may be used concurrently; its
// slices and maps must not be written to.
//
// Durations are time.Duration, sizes are bytes. Where a field has no default,
// the zero value means "not set".
type Config struct {
	Server   Server
	Keys     Keys
	Session  Session
	DB       DB
	Redis    Redis
	Storage  Storage
	Registry Registry
	GC       GC
	Prune    Prune
	Auth     Auth
	LDAP     LDAP
	JWT      JWT
	Keystone Keystone
	Login    Login
	Mail     Mail
	Quota    Quota
	Mirror   Mirror
	Scanner  Scanner
	Build    Build
	Audit    Audit
	Notify   Notify
	Health   Health
	Metrics  Metrics
	Tracing  Tracing
	Log      Log
	Workers  Workers
	UI       UI
	Features Features
	Env      Environment
	Bundle   Bundle

	values   map[string]any    // by right name: what was written, and defaults
	explicit map[string]origin // what was written, unknown fields included
	roots    *x509.CertPool
}

// An origin is where a value was written.
type origin struct {
	file string
	n    *node
}

// A RedisServer is where a Redis is: at Host, or where Sentinels say, or at the
// nodes of a Cluster. Without one of the three there is none (On), and then
// every other field is zero too.
type RedisServer struct {
	Host             string   `config:"host"`
	Port             int      `config:"port"`
	Sentinels        []string `config:"sentinels"` // host:port
	SentinelMaster   string   `config:"sentinel_master"`
	SentinelUsername string   `config:"sentinel_username"`
	SentinelPassword string   `config:"sentinel_password"`
	ClusterNodes     []string `config:"cluster_nodes"` // host:port
	Prefix           string   `config:"prefix"`        // "" = made of the registry's key

	Username       string        `config:"username"`
	Password       string        `config:"password"`
	DB             int           `config:"db"`
	TLS            bool          `config:"ssl"`
	CAFile         string        `config:"ssl_ca_certs"` // "" = Config.RootCAs
	CertFile       string        `config:"ssl_certfile"`
	KeyFile        string        `config:"ssl_keyfile"`
	CertReqs       string        `config:"ssl_cert_reqs"` // "required", "optional" or "none"
	CheckHostname  bool          `config:"ssl_check_hostname"`
	Timeout        time.Duration `config:"socket_timeout"`         // 0 = not set
	ConnectTimeout time.Duration `config:"socket_connect_timeout"` // 0 = not set
	MaxConnections int           `config:"max_connections"`        // 0 = not set
}

// On reports whether there is a Redis.
func (r RedisServer) On() bool {
	return r.Host != "" || len(r.Sentinels) > 0 || len(r.ClusterNodes) > 0
}

// A Replica is a database that answers reads.
type Replica struct {
	URI string `config:"DB_URI"`
}

// Branding is the logos and the footer of the user interface: URLs or paths.
type Branding struct {
	Logo      string `config:"logo"`
	LogoDark  string `config:"logo_dark"`
	FooterImg string `config:"footer_img"`
	FooterURL string `config:"footer_url"`
}

// FooterLinks are URLs; "" = no such link.
type FooterLinks struct {
	Terms    string `config:"TERMS_OF_SERVICE_URL"`
	Privacy  string `config:"PRIVACY_POLICY_URL"`
	Security string `config:"SECURITY_URL"`
	About    string `config:"ABOUT_URL"`
}

// A GitHub is GitHub or GitHub Enterprise as a login provider or a source of
// builds. ClientID "" = not configured.
type GitHub struct {
	Endpoint             string   `config:"GITHUB_ENDPOINT"`
	APIEndpoint          string   `config:"API_ENDPOINT"` // "" = found from Endpoint
	ClientID             string   `config:"CLIENT_ID"`
	ClientSecret         string   `config:"CLIENT_SECRET"`
	OrgRestrict          bool     `config:"ORG_RESTRICT"`
	AllowedOrganizations []string `config:"ALLOWED_ORGANIZATIONS"`
	BindingField         string   `config:"LOGIN_BINDING_FIELD"`
}

// A Google is Google as a login provider. ClientID "" = not configured.
type Google struct {
	ClientID     string `config:"CLIENT_ID"`
	ClientSecret string `config:"CLIENT_SECRET"`
	BindingField string `config:"LOGIN_BINDING_FIELD"`
}

// A Bitbucket is a source of builds. ConsumerKey "" = not configured.
type Bitbucket struct {
	ConsumerKey    string `config:"CONSUMER_KEY"`
	ConsumerSecret string `config:"CONSUMER_SECRET"`
}

// A GitLab is a source of builds. ClientID "" = not configured.
type GitLab struct {
	Endpoint     string `config:"GITLAB_ENDPOINT"`
	ClientID     string `config:"CLIENT_ID"`
	ClientSecret string `config:"CLIENT_SECRET"`
}

// An OIDC is an OpenID Connect provider: the block <NAME>_LOGIN_CONFIG.
type OIDC struct {
	ID                  string                       // NAME in lower case, as in the callback's path
	Server              string                       `config:"OIDC_SERVER"` // ends in "/"
	ClientID            string                       `config:"CLIENT_ID"`
	ClientSecret        string                       `config:"CLIENT_SECRET"`
	ServiceName         string                       `config:"SERVICE_NAME"` // "" = ID
	ServiceIcon         string                       `config:"SERVICE_ICON"`
	Scopes              []string                     `config:"LOGIN_SCOPES"`
	EmailClaim          string                       `config:"VERIFIED_EMAIL_CLAIM_NAME"`
	UsernameClaim       string                       `config:"PREFERRED_USERNAME_CLAIM_NAME"`
	GroupClaim          string                       `config:"PREFERRED_GROUP_CLAIM_NAME"`
	BindingField        string                       `config:"LOGIN_BINDING_FIELD"`
	Issuer              string                       `config:"OIDC_ISSUER"` // "" = Server
	Issuers             []string                     `config:"OIDC_ISSUERS"`
	Audiences           []string                     `config:"OIDC_AUDIENCES"`
	AllowedClients      []string                     `config:"OIDC_ALLOWED_CLIENTS"`
	DisableUserEndpoint bool                         `config:"OIDC_DISABLE_USER_ENDPOINT"`
	EndpointParams      map[string]map[string]string `config:"OIDC_ENDPOINT_CUSTOM_PARAMS"`
	UsePKCE             bool                         `config:"USE_PKCE"`
	NoPKCE              bool                         // USE_PKCE is there, and false
	PKCEMethod          string                       `config:"PKCE_METHOD"`
	PublicClient        bool                         `config:"PUBLIC_CLIENT"`
	SuperUserGroup      string                       `config:"SUPERUSER_GROUP"`
	ReadOnlySuperGroup  string                       `config:"GLOBAL_READONLY_SUPERUSER_GROUP"`
	Debugging           bool                         `config:"DEBUGGING"`
}

// A PrunePolicy is a rule that removes old tags. Method "" = there is none.
type PrunePolicy struct {
	Method            string `config:"method"`      // "number_of_tags" or "creation_date"
	Value             string `config:"value"`       // a number, or a duration
	TagPattern        string `config:"tag_pattern"` // "" = every tag
	TagPatternMatches bool   `config:"tag_pattern_matches"`
}

// A LogsModel holds the options of each place that action logs go to, as
// written; a nil map = not configured.
type LogsModel struct {
	Producer      string         `config:"producer"`
	Elasticsearch map[string]any `config:"elasticsearch_config"`
	Kafka         map[string]any `config:"kafka_config"`
	Kinesis       map[string]any `config:"kinesis_stream_config"`
	Splunk        map[string]any `config:"splunk_config"`
	SplunkHEC     map[string]any `config:"splunk_hec_config"`
}

// An OTel is where traces go. Endpoint "" = not configured.
type OTel struct {
	ServiceName string  `config:"service_name"`
	Endpoint    string  `config:"endpoint"`
	SampleRate  float64 `config:"sample_rate"` // 0 to 1
	DTAPIURL    string  `config:"dt_api_url"`
	DTAPIToken  string  `config:"dt_api_token"`
}

// A Choice is a name and its options. Name "" = not configured.
type Choice struct {
	Name    string         `config:"name"`
	Options map[string]any `config:"options"`
}

// Get returns the value of a field by its right name: its default where it is
// not written. ok is false for a field that has no value, or is not known. The
// Go type is that of the field's Kind.
func (c *Config) Get(field string) (value any, ok bool) {
	value, ok = c.values[field]
	return value, ok
}

// Explicit reports whether the field was written in the configuration or in
// the environment, whatever its value; by its right name.
func (c *Config) Explicit(field string) bool {
	_, ok := c.explicit[field]
	return ok
}

// Empty reports whether nothing is configured: no file and no
// QUAY_OVERRIDE_CONFIG writes a field. Single variables of the environment do
// not count. Features.UserInitialize is on then.
func (c *Config) Empty() bool {
	for _, o := range c.explicit {
		if o.file != envFile {
			return false
		}
	}
	return true
}

// Where returns the file and the line that a field was written in; "", 0 if it
// was not.
func (c *Config) Where(field string) (file string, line int) {
	o, ok := c.explicit[field]
	if !ok {
		return "", 0
	}
	return o.file, o.n.line
}

// masked stands for a secret that is set.
const masked = "***"

// Redacted returns every value by field name, defaults and unknown fields
// included, as encoding/json and YAML libraries write them: durations are text
// such as "2w". Secrets are "***" where they are set; of DB_URI only the
// password is hidden.
func (c *Config) Redacted() map[string]any {
	out := make(map[string]any, len(c.values))
	for name, v := range c.values {
		f := table().find(name)
		out[name] = redact(f, name, v)
	}
	return out
}

// redact returns v without secrets; f describes it and may be nil.
func redact(f *Field, name string, v any) any {
	if f != nil && f.Secret || f == nil && maySecret(name) {
		switch v := v.(type) {
		case nil:
			return nil
		case string:
			if v == "" {
				return ""
			}
			if name == "DB_URI" {
				return redactDBURI(v)
			}
		}
		return masked
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			var kf *Field
			if f != nil {
				if kf = findKey(f.Keys, k); kf == nil {
					kf = f.Item
				}
			}
			out[k] = redact(kf, k, x)
		}
		return out
	case []Location:
		out := make(map[string]any, len(v))
		for _, l := range v {
			out[l.ID] = []any{l.Class, redact(&Field{Keys: storageClasses()[l.Class]}, "", l.Params)}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = redact(f, name, x)
		}
		return out
	case time.Duration:
		return formatDuration(v)
	case string:
		return redactURL(v)
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = redactURL(s)
		}
		return out
	}
	return v
}

// redactDBURI rebuilds the address without password and options.
func redactDBURI(s string) string {
	d, err := ParseDBURI(s)
	if err != nil {
		return masked
	}
	if d.Password != "" {
		d.Password = masked
	}
	d.Params = nil
	return strings.Replace(d.String(), "%2A%2A%2A", masked, 1)
}

// formatDuration writes d as ParseDuration reads it: in the largest unit that
// divides it. Parts of a second are written as a fraction.
func formatDuration(d time.Duration) string {
	for _, u := range []string{"w", "d", "h", "m"} {
		if d != 0 && d%units[u] == 0 {
			return fmt.Sprintf("%d%s", d/units[u], u)
		}
	}
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}

// RootCAs returns the certificate authorities that outgoing connections
// believe: those of the system and those of extra_ca_certs. The caller gets a
// copy of its own.
func (c *Config) RootCAs() *x509.CertPool { return c.roots.Clone() }

// fill makes the groups out of c.values.
func (c *Config) fill() error {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Type.Kind() == reflect.Struct {
			if err := fillStruct(v.Field(i), c.values); err != nil {
				return err
			}
		}
	}
	return c.derive()
}

// fillStruct sets the tagged fields of dst from values. A value of another
// type is a bug of this package, which a test looks for.
func fillStruct(dst reflect.Value, values map[string]any) error {
	for i := range dst.NumField() {
		name := dst.Type().Field(i).Tag.Get("config")
		v, ok := values[name]
		if name == "" || !ok || v == nil {
			continue
		}
		if err := set(dst.Field(i), v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func set(dst reflect.Value, v any) error {
	src := reflect.ValueOf(v)
	if src.Type().AssignableTo(dst.Type()) {
		dst.Set(src)
		return nil
	}
	switch x := v.(type) {
	case int64:
		if dst.Kind() == reflect.Int {
			dst.SetInt(min(max(x, math.MinInt), math.MaxInt))
			return nil
		}
	case map[string]any:
		switch dst.Kind() {
		case reflect.Struct:
			return fillStruct(dst, x)
		case reflect.Map:
			m := reflect.MakeMapWithSize(dst.Type(), len(x))
			for k, e := range x {
				ev := reflect.New(dst.Type().Elem()).Elem()
				if err := set(ev, e); err != nil {
					return err
				}
				m.SetMapIndex(reflect.ValueOf(k), ev)
			}
			dst.Set(m)
			return nil
		}
	case []any:
		if dst.Kind() == reflect.Slice {
			s := reflect.MakeSlice(dst.Type(), len(x), len(x))
			for i, e := range x {
				if err := set(s.Index(i), e); err != nil {
					return err
				}
			}
			dst.Set(s)
			return nil
		}
	}
	return fmt.Errorf("a %T does not fit into a %s", v, dst.Type())
}

// derive sets what follows from other fields.
func (c *Config) derive() error {
	if c.DB.URI != "" {
		d, err := ParseDBURI(c.DB.URI)
		if err != nil {
			return fmt.Errorf("DB_URI: %w", err)
		}
		c.DB.URI = d.String()
	}
	for i := range c.DB.ReadReplicas {
		d, err := ParseDBURI(c.DB.ReadReplicas[i].URI)
		if err != nil {
			return fmt.Errorf("DB_READ_REPLICAS: %w", err)
		}
		c.DB.ReadReplicas[i].URI = d.String()
	}
	c.DB.Args = driverArgs(c.DB.Args)
	if !c.Redis.UserEvents.On() {
		c.Redis.UserEvents = oldRedis(c.values["USER_EVENTS_REDIS_HOSTNAME"])
	}
	if !c.Redis.BuildLogs.On() {
		c.Redis.BuildLogs = oldRedis(c.values["BUILDLOGS_REDIS_HOSTNAME"])
	}
	if len(c.Storage.Preferred) == 0 {
		for _, l := range c.Storage.Locations {
			c.Storage.Preferred = append(c.Storage.Preferred, l.ID)
		}
	}
	if !c.Explicit("FEATURE_MAILING") {
		c.Features.Mailing = c.Mail.Server != ""
	}
	if !c.Explicit("MAIL_USE_AUTH") {
		c.Mail.UseAuth = c.Mail.Username != ""
	}
	if c.Empty() {
		c.Features.UserInitialize = true
	}
	if c.UI.Branding.Logo == "" {
		c.UI.Branding.Logo = c.UI.EnterpriseLogoURL
	}
	if c.Env.Debug {
		c.Log.Level = "DEBUG"
	}
	if c.Env.LogToStdout && !c.Explicit("GANTRY_LOG_DESTINATION") {
		c.Log.Destination = "stdout"
	}
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		id, ok := strings.CutSuffix(name, "_LOGIN_CONFIG")
		m, block := c.values[name].(map[string]any)
		if !ok || !block || table().byName[name] != nil {
			continue
		}
		p := OIDC{ID: strings.ToLower(id)}
		if err := fillStruct(reflect.ValueOf(&p).Elem(), m); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, written := m["USE_PKCE"]
		p.NoPKCE = written && m["USE_PKCE"] != nil && !p.UsePKCE
		c.Login.OIDC = append(c.Login.OIDC, p)
	}
	return nil
}

// oldRedis is the block that *_REDIS_HOSTNAME stands for.
func oldRedis(host any) RedisServer {
	h, _ := host.(string)
	if h == "" {
		return RedisServer{}
	}
	return RedisServer{Host: h, Port: 6379, CertReqs: "required", CheckHostname: true}
}

// driverArgs returns args as database drivers take them: times in seconds,
// sslsni as 0 or 1.
func driverArgs(args map[string]any) map[string]any {
	out := make(map[string]any, len(args))
	for k, v := range args {
		switch v := v.(type) {
		case time.Duration:
			out[k] = v.Seconds()
		case bool:
			out[k] = v
			if k == "sslsni" {
				out[k] = map[bool]string{true: "1", false: "0"}[v]
			}
		default:
			out[k] = v
		}
	}
	return out
}

// checkBase64 takes a key in base64, padded or not.
func checkBase64(s string) error {
	if _, err := base64.StdEncoding.DecodeString(s); err == nil {
		return nil
	}
	if _, err := base64.RawStdEncoding.DecodeString(s); err == nil {
		return nil
	}
	return fmt.Errorf("it must be base64, such as `openssl rand -base64 32` writes")
}
