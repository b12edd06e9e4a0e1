package edit

import (
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/config"
)

// Login is the pattern of fields that stand for any number of login providers.
const Login = "<NAME>_LOGIN_CONFIG"

// A group is a field group of Quay's config-tool (config-editor.md, section 3).
type group struct {
	name   string
	fields string // separated by white space
}

var groups = []group{
	{"AccessSettings", `AUTHENTICATION_TYPE FEATURE_ANONYMOUS_ACCESS FEATURE_DIRECT_LOGIN FEATURE_INVITE_ONLY_USER_CREATION FEATURE_PARTIAL_USER_AUTOCOMPLETE
		FEATURE_USERNAME_CONFIRMATION FEATURE_USER_CREATION FEATURE_USER_LAST_ACCESSED FEATURE_USER_LOG_ACCESS FEATURE_USER_METADATA FEATURE_USER_RENAME
		FRESH_LOGIN_TIMEOUT USER_RECOVERY_TOKEN_LIFETIME FEATURE_EXTENDED_REPOSITORY_NAMES CREATE_REPOSITORY_ON_PUSH_PUBLIC FEATURE_USER_INITIALIZE SESSION_TIMEOUT
		SUPER_USERS FEATURE_SUPER_USERS FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH FEATURE_REQUIRE_TEAM_INVITE`},
	{"ActionLogArchiving", `FEATURE_ACTION_LOG_ROTATION ACTION_LOG_ARCHIVE_PATH ACTION_LOG_ARCHIVE_LOCATION ACTION_LOG_ROTATION_THRESHOLD`},
	{"AppTokenAuthentication", `FEATURE_APP_SPECIFIC_TOKENS APP_SPECIFIC_TOKEN_EXPIRATION EXPIRED_APP_SPECIFIC_TOKEN_GC`},
	{"BitbucketBuildTrigger", `FEATURE_BITBUCKET_BUILD BITBUCKET_TRIGGER_CONFIG`},
	{"BuildManager", `FEATURE_BUILD_SUPPORT BUILD_MANAGER BUILDMAN_HOSTNAME BUILDMAN_CONTROLLER_PORT`},
	{"Database", `DB_URI DB_CONNECTION_ARGS DB_CONNECTION_POOLING DB_READ_REPLICAS`},
	{"DistributedStorage", `DISTRIBUTED_STORAGE_CONFIG DISTRIBUTED_STORAGE_PREFERENCE DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS FEATURE_STORAGE_REPLICATION FEATURE_PROXY_STORAGE`},
	{"ElasticSearch", `LOGS_MODEL LOGS_MODEL_CONFIG`},
	{"Email", `FEATURE_MAILING MAIL_SERVER MAIL_PORT MAIL_USE_TLS MAIL_USE_AUTH MAIL_USERNAME MAIL_PASSWORD MAIL_DEFAULT_SENDER MAIL_FAIL_SILENTLY
		FEATURE_BLACKLISTED_EMAILS BLACKLISTED_EMAIL_DOMAINS`},
	{"GitHubBuildTrigger", `FEATURE_GITHUB_BUILD GITHUB_TRIGGER_CONFIG`},
	{"GitHubLogin", `FEATURE_GITHUB_LOGIN GITHUB_LOGIN_CONFIG`},
	{"GitLabBuildTrigger", `FEATURE_GITLAB_BUILD GITLAB_TRIGGER_CONFIG`},
	{"GoogleLogin", `FEATURE_GOOGLE_LOGIN GOOGLE_LOGIN_CONFIG`},
	{"HostSettings", `SERVER_HOSTNAME PREFERRED_URL_SCHEME EXTERNAL_TLS_TERMINATION SSL_PROTOCOLS SSL_CIPHERS SSL_CIPHERSUITES`},
	{"JWTAuthentication", `JWT_VERIFY_ENDPOINT JWT_GETUSER_ENDPOINT JWT_QUERY_ENDPOINT JWT_AUTH_ISSUER JWT_AUTH_MAX_FRESH_S`},
	{"Keystone", `KEYSTONE_AUTH_URL KEYSTONE_AUTH_VERSION KEYSTONE_AUTH_TIMEOUT KEYSTONE_ADMIN_USERNAME KEYSTONE_ADMIN_PASSWORD KEYSTONE_ADMIN_TENANT`},
	{"LDAP", `LDAP_URI LDAP_ADMIN_DN LDAP_ADMIN_PASSWD LDAP_BASE_DN LDAP_USER_RDN LDAP_SECONDARY_USER_RDNS LDAP_UID_ATTR LDAP_EMAIL_ATTR LDAP_MEMBEROF_ATTR
		LDAP_USER_FILTER LDAP_SUPERUSER_FILTER LDAP_GLOBAL_READONLY_SUPERUSER_FILTER LDAP_RESTRICTED_USER_FILTER LDAP_TIMEOUT LDAP_NETWORK_TIMEOUT
		LDAP_FOLLOW_REFERRALS LDAP_ALLOW_INSECURE_FALLBACK FEATURE_LDAP_CACHING LDAP_CACHE_TTL LDAP_CONNECTION_POOLING LDAP_POOL_SIZE LDAP_POOL_MAX_WAIT
		LDAP_POOL_CONNECTION_LIFETIME`},
	{"OIDC", Login},
	{"QuayDocumentation", `DOCUMENTATION_ROOT`},
	{"Redis", `BUILDLOGS_REDIS USER_EVENTS_REDIS BUILDLOGS_REDIS_HOSTNAME USER_EVENTS_REDIS_HOSTNAME PULL_METRICS_REDIS`},
	{"RepoMirror", `FEATURE_REPO_MIRROR REPO_MIRROR_INTERVAL REPO_MIRROR_SERVER_HOSTNAME REPO_MIRROR_TLS_VERIFY REPO_MIRROR_ROLLBACK
		REPO_MIRROR_TAG_ROLLBACK_PAGE_SIZE REPO_MIRROR_WORKER_REPLICAS REPO_MIRROR_MAX_MANIFEST_LIST_SIZE REPO_MIRROR_MAX_MANIFEST_ENTRIES
		FEATURE_ORG_MIRROR ORG_MIRROR_INTERVAL ORG_MIRROR_MAX_DISCOVERY_DURATION`},
	{"SecurityScanner", `FEATURE_SECURITY_SCANNER SECURITY_SCANNER_ENDPOINT SECURITY_SCANNER_V4_ENDPOINT SECURITY_SCANNER_V4_PSK SECURITY_SCANNER_INDEXING_INTERVAL
		FEATURE_SECURITY_NOTIFICATIONS SECURITY_SCANNER_V4_NAMESPACE_WHITELIST SECURITY_SCANNER_V4_BATCH_SIZE SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_SIZE
		SECURITY_SCANNER_V4_REINDEX_THRESHOLD SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE SECURITY_SCANNER_V4_MANIFEST_CLEANUP SECURITY_SCANNER_V4_LOCK
		SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_LOCK SECURITY_SCANNER_V4_INDEXING FEATURE_SECURITY_SCANNER_V2 SECURITY_SCANNER_V2_BATCH_SIZE
		SECURITY_SCANNER_V2_INDEXING_INTERVAL SECURITY_SCANNER_MAX_SCAN_RETRIES FEATURE_SECURITY_SCANNER_NOTIFY_ON_NEW_INDEX NOTIFICATION_MIN_SEVERITY_ON_NEW_INDEX`},
	{"TeamSyncing", `FEATURE_TEAM_SYNCING TEAM_RESYNC_STALE_TIME TEAM_SYNC_WORKER_FREQUENCY FEATURE_NONSUPERUSER_TEAM_SYNCING_SETUP`},
	{"TimeMachine", `DEFAULT_TAG_EXPIRATION TAG_EXPIRATION_OPTIONS FEATURE_CHANGE_TAG_EXPIRATION LABELED_EXPIRATION_MINIMUM LABELED_EXPIRATION_MAXIMUM`},
	{"UserVisibleSettings", `REGISTRY_TITLE REGISTRY_TITLE_SHORT AVATAR_KIND BRANDING ENTERPRISE_LOGO_URL FOOTER_LINKS CONTACT_INFO SEARCH_RESULTS_PER_PAGE
		SEARCH_MAX_RESULT_PAGE_COUNT`},
	{"AutoPrune", `FEATURE_AUTO_PRUNE DEFAULT_NAMESPACE_AUTOPRUNE_POLICY AUTO_PRUNING_POLL_PERIOD AUTO_PRUNING_BATCH_SIZE
		AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES AUTOPRUNE_FETCH_TAGS_PAGE_LIMIT AUTOPRUNE_FETCH_REPOSITORIES_PAGE_LIMIT AUTOPRUNE_DEFAULT_POLICY_TIMEOUT
		AUTO_PRUNING_DEFAULT_POLICY_POLL_PERIOD`},
	{"Cache", `DATA_MODEL_CACHE_CONFIG`},
	{"Quota", `FEATURE_QUOTA_MANAGEMENT DEFAULT_SYSTEM_REJECT_QUOTA_BYTES FEATURE_EDIT_QUOTA FEATURE_VERIFY_QUOTA FEATURE_QUOTA_NOTIFICATIONS
		QUOTA_NOTIFICATION_COOLDOWN_SECONDS`},
	{"ProxyCache", `FEATURE_PROXY_CACHE FEATURE_PROXY_CACHE_BLOB_DOWNLOAD SSRF_ALLOWED_HOSTS`},
}

// GroupOf is the field group that a field, or a path in one, belongs to: one of
// config-tool's, or else the heading of the reference page; "" = the field is
// not known.
func GroupOf(field string) string {
	if field == "ssl.cert" || field == "ssl.key" || strings.HasPrefix(field, "extra_ca_cert") {
		return "HostSettings"
	}
	name := field
	if i := strings.IndexAny(name, ".["); i >= 0 {
		name = name[:i]
	}
	for _, g := range groups {
		if slices.Contains(strings.Fields(g.fields), name) {
			return g.name
		}
	}
	if strings.HasSuffix(name, "_LOGIN_CONFIG") {
		return "OIDC"
	}
	f, _ := config.Lookup(name)
	return f.Group
}

// FieldsOf are the fields of a field group.
func FieldsOf(name string) []string {
	for _, g := range groups {
		if g.name == name {
			return strings.Fields(g.fields)
		}
	}
	return nil
}

// A Section is a part of the form.
type Section struct {
	ID     string   `json:"id"`
	Title  string   `json:"title"`
	Fields []string `json:"fields"`
}

// sections are those of Quay's editor, in their order (config-editor.md,
// section 5).
var sections = []struct{ id, title, fields string }{
	{"certificates", "Custom SSL Certificates", ""},
	{"basic", "Basic Configuration", `REGISTRY_TITLE REGISTRY_TITLE_SHORT ENTERPRISE_LOGO_URL BRANDING CONTACT_INFO FOOTER_LINKS DOCUMENTATION_ROOT AVATAR_KIND
		SEARCH_RESULTS_PER_PAGE SEARCH_MAX_RESULT_PAGE_COUNT`},
	{"server", "Server Configuration", `SERVER_HOSTNAME PREFERRED_URL_SCHEME EXTERNAL_TLS_TERMINATION SSL_PROTOCOLS SSL_CIPHERS SSL_CIPHERSUITES
		TRUSTED_PROXY_CIDR PROXY_COUNT FEATURE_PROXY_PROTOCOL FEATURE_LISTEN_IP_VERSION REGISTRY_STATE DISABLE_PUSHES`},
	{"database", "Database", `DB_URI DB_CONNECTION_ARGS DB_READ_REPLICAS`},
	{"consistency", "Data Consistency", `ALLOW_PULLS_WITHOUT_STRICT_LOGGING ALLOW_WITHOUT_STRICT_LOGGING`},
	{"time-machine", "Time Machine", `DEFAULT_TAG_EXPIRATION TAG_EXPIRATION_OPTIONS FEATURE_CHANGE_TAG_EXPIRATION LABELED_EXPIRATION_MINIMUM LABELED_EXPIRATION_MAXIMUM
		FEATURE_AUTO_PRUNE DEFAULT_NAMESPACE_AUTOPRUNE_POLICY`},
	{"redis", "Redis", `BUILDLOGS_REDIS USER_EVENTS_REDIS PULL_METRICS_REDIS`},
	{"mirroring", "Repository Mirroring", `FEATURE_REPO_MIRROR REPO_MIRROR_INTERVAL REPO_MIRROR_SERVER_HOSTNAME REPO_MIRROR_TLS_VERIFY REPO_MIRROR_ROLLBACK
		REPO_MIRROR_TAG_ROLLBACK_PAGE_SIZE REPO_MIRROR_WORKER_REPLICAS REPO_MIRROR_MAX_MANIFEST_LIST_SIZE REPO_MIRROR_MAX_MANIFEST_ENTRIES FEATURE_ORG_MIRROR
		ORG_MIRROR_INTERVAL ORG_MIRROR_MAX_DISCOVERY_DURATION`},
	{"storage", "Registry Storage", `DISTRIBUTED_STORAGE_CONFIG DISTRIBUTED_STORAGE_PREFERENCE DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS FEATURE_STORAGE_REPLICATION
		FEATURE_PROXY_STORAGE STORAGE_REPLICATION_PROCESSING_SECONDS DISTRIBUTED_STORAGE_REQUIRES_ALL_AVAILABLE MAXIMUM_LAYER_SIZE FEATURE_QUOTA_MANAGEMENT
		DEFAULT_SYSTEM_REJECT_QUOTA_BYTES`},
	{"action-logs", "Action Log Storage", `LOGS_MODEL LOGS_MODEL_CONFIG GANTRY_AUDIT_STREAM GANTRY_AUDIT_RETENTION`},
	{"action-log-archiving", "Action Log Rotation and Archiving", `FEATURE_ACTION_LOG_ROTATION ACTION_LOG_ROTATION_THRESHOLD ACTION_LOG_ROTATION_FREQUENCY ACTION_LOG_ARCHIVE_PATH
		ACTION_LOG_ARCHIVE_LOCATION MINIMUM_LOGS_AGE_FOR_ARCHIVE`},
	{"scanner", "Security Scanner", `FEATURE_SECURITY_SCANNER SECURITY_SCANNER_V4_ENDPOINT SECURITY_SCANNER_V4_PSK FEATURE_SECURITY_NOTIFICATIONS
		SECURITY_SCANNER_INDEXING_INTERVAL SECURITY_SCANNER_V4_NAMESPACE_WHITELIST SECURITY_SCANNER_ENDPOINT`},
	{"application-registry", "Application Registry", `FEATURE_HELM_OCI_SUPPORT FEATURE_GENERAL_OCI_SUPPORT ALLOWED_OCI_ARTIFACT_TYPES FEATURE_REFERRERS_API`},
	{"mail", "E-mail", `FEATURE_MAILING MAIL_SERVER MAIL_PORT MAIL_USE_TLS MAIL_DEFAULT_SENDER MAIL_USE_AUTH MAIL_USERNAME MAIL_PASSWORD MAIL_FAIL_SILENTLY
		FEATURE_BLACKLISTED_EMAILS BLACKLISTED_EMAIL_DOMAINS`},
	{"authentication", "Internal Authentication", `AUTHENTICATION_TYPE LDAP_URI LDAP_BASE_DN LDAP_USER_RDN LDAP_SECONDARY_USER_RDNS LDAP_ADMIN_DN LDAP_ADMIN_PASSWD
		LDAP_UID_ATTR LDAP_EMAIL_ATTR LDAP_MEMBEROF_ATTR LDAP_USER_FILTER LDAP_SUPERUSER_FILTER LDAP_GLOBAL_READONLY_SUPERUSER_FILTER LDAP_RESTRICTED_USER_FILTER
		LDAP_ALLOW_INSECURE_FALLBACK LDAP_FOLLOW_REFERRALS LDAP_TIMEOUT LDAP_NETWORK_TIMEOUT FEATURE_LDAP_CACHING LDAP_CACHE_TTL LDAP_CONNECTION_POOLING LDAP_POOL_SIZE
		LDAP_POOL_MAX_WAIT LDAP_POOL_CONNECTION_LIFETIME KEYSTONE_AUTH_URL KEYSTONE_AUTH_VERSION KEYSTONE_AUTH_TIMEOUT KEYSTONE_ADMIN_USERNAME KEYSTONE_ADMIN_PASSWORD
		KEYSTONE_ADMIN_TENANT JWT_VERIFY_ENDPOINT JWT_QUERY_ENDPOINT JWT_GETUSER_ENDPOINT JWT_AUTH_ISSUER JWT_AUTH_MAX_FRESH_S FEATURE_TEAM_SYNCING TEAM_RESYNC_STALE_TIME
		TEAM_SYNC_WORKER_FREQUENCY FEATURE_NONSUPERUSER_TEAM_SYNCING_SETUP`},
	{"login", "External Authorization", `FEATURE_GITHUB_LOGIN GITHUB_LOGIN_CONFIG FEATURE_GOOGLE_LOGIN GOOGLE_LOGIN_CONFIG ` + Login},
	{"access", "Access Settings", `SUPER_USERS FEATURE_SUPER_USERS FEATURE_SUPERUSERS_FULL_ACCESS GLOBAL_READONLY_SUPER_USERS FEATURE_ANONYMOUS_ACCESS FEATURE_DIRECT_LOGIN
		FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH FEATURE_APP_SPECIFIC_TOKENS APP_SPECIFIC_TOKEN_EXPIRATION EXPIRED_APP_SPECIFIC_TOKEN_GC FEATURE_USER_CREATION
		FEATURE_INVITE_ONLY_USER_CREATION FEATURE_REQUIRE_TEAM_INVITE FEATURE_USER_INITIALIZE FEATURE_USER_RENAME FEATURE_USER_METADATA FEATURE_USERNAME_CONFIRMATION
		FEATURE_USER_LAST_ACCESSED FEATURE_USER_LOG_ACCESS FEATURE_PARTIAL_USER_AUTOCOMPLETE FEATURE_EXTENDED_REPOSITORY_NAMES CREATE_NAMESPACE_ON_PUSH
		CREATE_PRIVATE_REPO_ON_PUSH FRESH_LOGIN_TIMEOUT SESSION_TIMEOUT USER_RECOVERY_TOKEN_LIFETIME FEATURE_RESTRICTED_USERS RESTRICTED_USERS_WHITELIST`},
	{"builds", "Dockerfile Build Support", `FEATURE_BUILD_SUPPORT BUILDMAN_HOSTNAME BUILDMAN_CONTROLLER_PORT BUILD_MANAGER FEATURE_READER_BUILD_LOGS
		DEFAULT_NAMESPACE_MAXIMUM_BUILD_COUNT`},
	{"github-trigger", "GitHub Build Triggers", `FEATURE_GITHUB_BUILD GITHUB_TRIGGER_CONFIG`},
	{"bitbucket-trigger", "Bitbucket Build Triggers", `FEATURE_BITBUCKET_BUILD BITBUCKET_TRIGGER_CONFIG`},
	{"gitlab-trigger", "GitLab Build Triggers", `FEATURE_GITLAB_BUILD GITLAB_TRIGGER_CONFIG`},
}

// Other is the section of fields that no other one has.
const Other = "other"

// A Field is a field of the form, or a key in one.
type Field struct {
	Name     string   `json:"name"`
	Group    string   `json:"group"`
	Section  string   `json:"section"`
	Kind     string   `json:"kind"`
	Default  any      `json:"default,omitempty"`
	Doc      string   `json:"doc"`
	Shape    string   `json:"shape,omitempty"`
	Allowed  []string `json:"allowed,omitempty"`
	Min      *int64   `json:"min,omitempty"`
	Max      *int64   `json:"max,omitempty"`
	Keys     []Field  `json:"keys,omitempty"`
	Item     *Field   `json:"item,omitempty"`
	Open     bool     `json:"open,omitempty"`
	Used     bool     `json:"used"`
	Live     bool     `json:"live"`
	Secret   bool     `json:"secret"`
	Required bool     `json:"required"`
	Later    bool     `json:"later"`
	Obsolete string   `json:"obsolete,omitempty"`
	Env      string   `json:"env,omitempty"`
}

// An Engine is a storage class.
type Engine struct {
	Class string  `json:"class"`
	Title string  `json:"title"`
	Keys  []Field `json:"keys"`
}

// A Form is all that can be written, and how it is shown.
type Form struct {
	Sections []Section `json:"sections"`
	Fields   []Field   `json:"fields"`
	Engines  []Engine  `json:"engines"`
}

// engineTitles are what people call the storage classes.
var engineTitles = map[string]string{
	"LocalStorage": "Locally mounted directory", "S3Storage": "Amazon S3", "STSS3Storage": "Amazon S3 (role by STS)", "CloudFrontedS3Storage": "Amazon S3 behind CloudFront",
	"GoogleCloudStorage": "Google Cloud Storage", "RadosGWStorage": "Ceph Object Gateway (RADOS)", "RHOCSStorage": "Red Hat OpenShift Data Foundation (NooBaa)",
	"IBMCloudStorage": "IBM Cloud Object Storage", "AzureStorage": "Azure Blob Storage", "SwiftStorage": "OpenStack Swift", "CloudFlareStorage": "Amazon S3 behind Cloudflare",
	"AkamaiS3Storage": "Amazon S3 behind Akamai", "MultiCDNStorage": "Amazon S3 behind several CDNs",
}

// NewForm makes the form out of the table of fields.
func NewForm() Form {
	f := Form{Sections: []Section{}, Fields: []Field{}, Engines: []Engine{}}
	of := map[string]string{}
	for _, s := range sections {
		names := strings.Fields(s.fields)
		f.Sections = append(f.Sections, Section{s.id, s.title, append([]string{}, names...)})
		for _, name := range names {
			of[name] = s.id
		}
	}
	rest := Section{Other, "Other settings", []string{}}
	for _, field := range config.Fields() {
		out := fieldOf(&field)
		out.Group, out.Section = GroupOf(field.Name), of[field.Name]
		if out.Section == "" {
			out.Section = Other
			rest.Fields = append(rest.Fields, field.Name)
		}
		f.Fields = append(f.Fields, out)
	}
	f.Sections = append(f.Sections, rest)
	for _, c := range config.StorageClasses() {
		f.Engines = append(f.Engines, Engine{Class: c.Name, Title: engineTitles[c.Name], Keys: keysOf(c.Keys)})
	}
	return f
}

// kinds are the words of the page for the kinds of the table.
var kinds = map[config.Kind]string{
	config.String: "text", config.Bool: "bool", config.Int: "int", config.Float: "float", config.Duration: "duration", config.Seconds: "seconds", config.Minutes: "minutes",
	config.Size: "size", config.StringList: "list", config.Object: "object", config.ObjectList: "objects", config.Map: "map", config.Custom: "custom",
}

func fieldOf(f *config.Field) Field {
	out := Field{Name: f.Name, Group: f.Group, Kind: kinds[f.Kind], Doc: f.Doc, Shape: f.Shape, Allowed: f.Allowed, Keys: keysOf(f.Keys), Open: f.Open,
		Used: f.Used, Live: f.Live, Secret: f.Secret, Required: f.Required, Later: f.Later, Obsolete: f.Obsolete, Env: f.Env}
	if !f.Secret {
		out.Default = f.DefaultValue()
	}
	switch f.Kind {
	case config.Int, config.Float, config.Duration, config.Seconds, config.Minutes, config.Size:
		lo := f.Min
		out.Min = &lo
		if f.Max != 0 {
			hi := f.Max
			out.Max = &hi
		}
	}
	if f.Item != nil {
		item := fieldOf(f.Item)
		out.Item = &item
	}
	return out
}

func keysOf(keys []config.Field) []Field {
	var list []Field
	for i := range keys {
		list = append(list, fieldOf(&keys[i]))
	}
	return list
}
