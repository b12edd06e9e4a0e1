package config

// The groups of Config. The tag is the field of config.yaml; its row of the
// table, and so docs/reference/config.md, says what it does. A test holds that
// every field that is not obsolete stands here, once, with the type of its
// kind.

import "time"

// Server says how clients reach the registry and what state it is in.
type Server struct {
	Hostname                     string        `config:"SERVER_HOSTNAME"`      // "" = follow the Host of each request
	Scheme                       string        `config:"PREFERRED_URL_SCHEME"` // "http" or "https"; see Config.Explicit
	ExternalTLSTermination       bool          `config:"EXTERNAL_TLS_TERMINATION"`
	SSLCiphers                   []string      `config:"SSL_CIPHERS"`
	SSLCipherSuites              []string      `config:"SSL_CIPHERSUITES"`
	SSLProtocols                 []string      `config:"SSL_PROTOCOLS"`
	State                        string        `config:"REGISTRY_STATE"` // "normal" or "readonly"
	DisablePushes                bool          `config:"DISABLE_PUSHES"`
	AccountRecoveryMode          bool          `config:"ACCOUNT_RECOVERY_MODE"`
	SetupComplete                bool          `config:"SETUP_COMPLETE"`
	CORSOrigin                   []string      `config:"CORS_ORIGIN"`
	TrustedProxyCIDRs            []string      `config:"TRUSTED_PROXY_CIDR"` // empty = every peer
	ProxyCount                   int           `config:"PROXY_COUNT"`
	ListenIPVersion              string        `config:"FEATURE_LISTEN_IP_VERSION"`       // "IPv4", "IPv6" or "dual-stack"
	ManifestsEndpointReadTimeout time.Duration `config:"MANIFESTS_ENDPOINT_READ_TIMEOUT"` // 0 = the server's own
}

// Keys holds the keys of the installation; "" = one is generated into the data folder.
type Keys struct {
	Secret         string `config:"SECRET_KEY"`
	DatabaseSecret string `config:"DATABASE_SECRET_KEY"`
	PageToken      string `config:"PAGE_TOKEN_KEY"`
}

// Session holds the settings of browser sessions.
type Session struct {
	CookieSecure           bool          `config:"SESSION_COOKIE_SECURE"`
	CookieName             string        `config:"SESSION_COOKIE_NAME"`
	CookieHTTPOnly         bool          `config:"SESSION_COOKIE_HTTPONLY"`
	CookieSameSite         string        `config:"SESSION_COOKIE_SAMESITE"`
	Timeout                time.Duration `config:"SESSION_TIMEOUT"`
	FreshLoginTimeout      time.Duration `config:"FRESH_LOGIN_TIMEOUT"`
	BrowserAPICallsXHROnly bool          `config:"BROWSER_API_CALLS_XHR_ONLY"`
}

// DB says where names, tags and accounts are kept.
type DB struct {
	URI                            string         `config:"DB_URI"`             // percent-encoded, whatever was written; "" = SQLite in the data folder
	Args                           map[string]any `config:"DB_CONNECTION_ARGS"` // as written, checked; times in seconds
	ReadReplicas                   []Replica      `config:"DB_READ_REPLICAS"`
	BuilderDBHostOverride          string         `config:"BUILDER_DB_HOST_OVERRIDE"`
	AllowPullsWithoutStrictLogging bool           `config:"ALLOW_PULLS_WITHOUT_STRICT_LOGGING"`
	AllowWithoutStrictLogging      bool           `config:"ALLOW_WITHOUT_STRICT_LOGGING"`
	PullSpoolSize                  int64          `config:"GANTRY_PULL_SPOOL_SIZE"` // bytes
}

// Redis holds the optional Redis servers.
type Redis struct {
	BuildLogs     RedisServer   `config:"BUILDLOGS_REDIS"`
	UserEvents    RedisServer   `config:"USER_EVENTS_REDIS"`
	PullMetrics   RedisServer   `config:"PULL_METRICS_REDIS"`
	FlushInterval time.Duration `config:"REDIS_FLUSH_INTERVAL_SECONDS"`
}

// Storage says where bytes are kept.
type Storage struct {
	Locations                []Location    `config:"DISTRIBUTED_STORAGE_CONFIG"`     // in the order of the file; empty = files in the data folder
	Preferred                []string      `config:"DISTRIBUTED_STORAGE_PREFERENCE"` // never empty where Locations is not; the first is written
	DefaultLocations         []string      `config:"DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS"`
	ValidateEndToEnd         bool          `config:"DISTRIBUTED_STORAGE_VALIDATE_ENDTOEND"`
	RequiresAllAvailable     bool          `config:"DISTRIBUTED_STORAGE_REQUIRES_ALL_AVAILABLE"`
	ReplicationProcessing    time.Duration `config:"STORAGE_REPLICATION_PROCESSING_SECONDS"`
	UserFilesLocation        string        `config:"USERFILES_LOCATION"` // "" = the first preferred one
	UserFilesPath            string        `config:"USERFILES_PATH"`
	LogArchiveLocation       string        `config:"LOG_ARCHIVE_LOCATION"` // "" = the first preferred one
	LogArchivePath           string        `config:"LOG_ARCHIVE_PATH"`
	ActionLogArchiveLocation string        `config:"ACTION_LOG_ARCHIVE_LOCATION"` // "" = the first preferred one
	ActionLogArchivePath     string        `config:"ACTION_LOG_ARCHIVE_PATH"`
	CleanBlobUploadFolder    bool          `config:"CLEAN_BLOB_UPLOAD_FOLDER"`
	CDNSpecificNamespaces    []string      `config:"CDN_SPECIFIC_NAMESPACES"`
}

// Registry holds the settings of the registry interface, and its limits.
type Registry struct {
	LibraryNamespace             string        `config:"LIBRARY_NAMESPACE"`
	NonRateLimitedNamespaces     []string      `config:"NON_RATE_LIMITED_NAMESPACES"`
	MaxLayerSize                 int64         `config:"MAXIMUM_LAYER_SIZE"` // bytes
	PushTempTagExpiration        time.Duration `config:"PUSH_TEMP_TAG_EXPIRATION_SEC"`
	PublicNamespaces             []string      `config:"PUBLIC_NAMESPACES"`
	CreatePrivateRepoOnPush      bool          `config:"CREATE_PRIVATE_REPO_ON_PUSH"`
	CreateNamespaceOnPush        bool          `config:"CREATE_NAMESPACE_ON_PUSH"`
	DefaultTagExpiration         time.Duration `config:"DEFAULT_TAG_EXPIRATION"`
	TagExpirationOptions         []string      `config:"TAG_EXPIRATION_OPTIONS"` // as written: "2w"; ParseDuration reads them
	LabeledExpirationMinimum     time.Duration `config:"LABELED_EXPIRATION_MINIMUM"`
	LabeledExpirationMaximum     time.Duration `config:"LABELED_EXPIRATION_MAXIMUM"`
	PermanentlyDeleteTags        bool          `config:"PERMANENTLY_DELETE_TAGS"`
	ResetChildManifestExpiration bool          `config:"RESET_CHILD_MANIFEST_EXPIRATION"`
	BlacklistV2Spec              string        `config:"BLACKLIST_V2_SPEC"`
	V22NamespaceBlacklist        []string      `config:"V22_NAMESPACE_BLACKLIST"`
	OCINamespaceWhitelist        []string      `config:"OCI_NAMESPACE_WHITELIST"`
	V2PaginationSize             int           `config:"V2_PAGINATION_SIZE"` // at least 1
	PullMetricsWorkerCount       int           `config:"PULL_METRICS_WORKER_COUNT"`
	LabelKeyReservedPrefixes     []string      `config:"LABEL_KEY_RESERVED_PREFIXES"`
}

// GC holds the settings of garbage collection.
type GC struct {
	Frequency                       time.Duration `config:"GARBAGE_COLLECTION_FREQUENCY"`
	NamespaceGCGracePeriod          time.Duration `config:"NAMESPACE_GC_GRACE_PERIOD_SECONDS"`
	NamespaceGCAllowlist            []string      `config:"NAMESPACE_GC_ALLOWLIST"`
	BlobUploadCleanupFrequency      time.Duration `config:"BLOBUPLOAD_CLEANUP_FREQUENCY"`
	BlobUploadDeletionDateThreshold time.Duration `config:"BLOBUPLOAD_DELETION_DATE_THRESHOLD"`
	Rate                            int           `config:"GANTRY_GC_RATE"`          // reviews a second
	ScrubRate                       int64         `config:"GANTRY_SCRUB_RATE"`       // bytes a second; 0 = off
	ReplicationRate                 int64         `config:"GANTRY_REPLICATION_RATE"` // bytes a second; 0 = no bound
}

// Prune holds the settings of rules that remove old tags.
type Prune struct {
	DefaultPolicy              PrunePolicy   `config:"DEFAULT_NAMESPACE_AUTOPRUNE_POLICY"`
	PollPeriod                 time.Duration `config:"AUTO_PRUNING_POLL_PERIOD"`
	BatchSize                  int           `config:"AUTO_PRUNING_BATCH_SIZE"`
	TaskRunMinimumInterval     time.Duration `config:"AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES"`
	FetchTagsPageLimit         int           `config:"AUTOPRUNE_FETCH_TAGS_PAGE_LIMIT"`
	FetchRepositoriesPageLimit int           `config:"AUTOPRUNE_FETCH_REPOSITORIES_PAGE_LIMIT"`
	DefaultPolicyTimeout       time.Duration `config:"AUTOPRUNE_DEFAULT_POLICY_TIMEOUT"`
	DefaultPolicyPollPeriod    time.Duration `config:"AUTO_PRUNING_DEFAULT_POLICY_POLL_PERIOD"`
}

// Auth holds the settings of accounts, tokens and service keys.
type Auth struct {
	RobotsDisallow                        bool          `config:"ROBOTS_DISALLOW"`
	RobotsWhitelist                       []string      `config:"ROBOTS_WHITELIST"`
	Type                                  string        `config:"AUTHENTICATION_TYPE"`
	SuperUsers                            []string      `config:"SUPER_USERS"`
	GlobalReadonlySuperUsers              []string      `config:"GLOBAL_READONLY_SUPER_USERS"`
	RestrictedUsersWhitelist              []string      `config:"RESTRICTED_USERS_WHITELIST"`
	LastAccessedUpdateThreshold           time.Duration `config:"LAST_ACCESSED_UPDATE_THRESHOLD_S"`
	BlacklistedEmailDomains               []string      `config:"BLACKLISTED_EMAIL_DOMAINS"`
	RecaptchaSiteKey                      string        `config:"RECAPTCHA_SITE_KEY"`
	RecaptchaSecretKey                    string        `config:"RECAPTCHA_SECRET_KEY"`
	RecaptchaWhitelistedUsers             []string      `config:"RECAPTCHA_WHITELISTED_USERS"`
	UserRecoveryTokenLifetime             time.Duration `config:"USER_RECOVERY_TOKEN_LIFETIME"`
	AppSpecificTokenExpiration            time.Duration `config:"APP_SPECIFIC_TOKEN_EXPIRATION"` // 0 = never
	ExpiredAppSpecificTokenGC             time.Duration `config:"EXPIRED_APP_SPECIFIC_TOKEN_GC"`
	DirectOAuthClientIDWhitelist          []string      `config:"DIRECT_OAUTH_CLIENTID_WHITELIST"`
	OAuthMaxTokens                        int           `config:"OAUTH_APPLICATION_MAXIMUM_TOKEN_COUNT"` // 0 = no limit
	BootstrapTokenOwner                   string        `config:"BOOTSTRAP_TOKEN_OWNER"`
	BootstrapTokenPath                    string        `config:"BOOTSTRAP_TOKEN_PATH"`
	BootstrapTokenExpiration              time.Duration `config:"BOOTSTRAP_TOKEN_EXPIRATION"`
	BootstrapTokenScope                   string        `config:"BOOTSTRAP_TOKEN_SCOPE"`
	ProgrammaticTokenPath                 string        `config:"PROGRAMMATIC_TOKEN_PATH"`
	ProgrammaticTokenK8sSecret            string        `config:"PROGRAMMATIC_TOKEN_K8S_SECRET"`
	ProgrammaticTokenK8sKey               string        `config:"PROGRAMMATIC_TOKEN_K8S_KEY"`
	ProgrammaticTokenK8sNamespace         string        `config:"PROGRAMMATIC_TOKEN_K8S_NAMESPACE"`
	TeamResyncStaleTime                   time.Duration `config:"TEAM_RESYNC_STALE_TIME"`
	TeamSyncWorkerFrequency               time.Duration `config:"TEAM_SYNC_WORKER_FREQUENCY"`
	InstanceServiceKeyService             string        `config:"INSTANCE_SERVICE_KEY_SERVICE"`
	InstanceServiceKeyKIDLocation         string        `config:"INSTANCE_SERVICE_KEY_KID_LOCATION"`
	InstanceServiceKeyLocation            string        `config:"INSTANCE_SERVICE_KEY_LOCATION"`
	InstanceServiceKeyExpiration          time.Duration `config:"INSTANCE_SERVICE_KEY_EXPIRATION"`
	InstanceServiceKeyRefresh             time.Duration `config:"INSTANCE_SERVICE_KEY_REFRESH"`
	UnapprovedServiceKeyTTL               time.Duration `config:"UNAPPROVED_SERVICE_KEY_TTL_SEC"`
	ExpiredServiceKeyTTL                  time.Duration `config:"EXPIRED_SERVICE_KEY_TTL_SEC"`
	RegistryJWTAuthMaxFresh               time.Duration `config:"REGISTRY_JWT_AUTH_MAX_FRESH_S"`
	SignedGrantExpiration                 time.Duration `config:"SIGNED_GRANT_EXPIRATION_SEC"`
	LocalOAuthHandler                     string        `config:"LOCAL_OAUTH_HANDLER"`
	OAuthTokenLastAccessedUpdateThreshold time.Duration `config:"OAUTH_TOKEN_LAST_ACCESSED_UPDATE_THRESHOLD_S"`
}

// LDAP holds the settings of accounts of a directory.
type LDAP struct {
	URI                           string        `config:"LDAP_URI"`
	BaseDN                        []string      `config:"LDAP_BASE_DN"` // one text or RDNs: join them with ","
	AdminDN                       string        `config:"LDAP_ADMIN_DN"`
	AdminPassword                 string        `config:"LDAP_ADMIN_PASSWD"`
	UserRDN                       []string      `config:"LDAP_USER_RDN"`            // as BaseDN
	SecondaryUserRDNs             []string      `config:"LDAP_SECONDARY_USER_RDNS"` // each one a place
	UIDAttr                       string        `config:"LDAP_UID_ATTR"`
	EmailAttr                     string        `config:"LDAP_EMAIL_ATTR"`
	MemberOfAttr                  string        `config:"LDAP_MEMBEROF_ATTR"`
	UserFilter                    string        `config:"LDAP_USER_FILTER"`
	SuperuserFilter               string        `config:"LDAP_SUPERUSER_FILTER"`
	GlobalReadonlySuperuserFilter string        `config:"LDAP_GLOBAL_READONLY_SUPERUSER_FILTER"`
	RestrictedUserFilter          string        `config:"LDAP_RESTRICTED_USER_FILTER"`
	Timeout                       time.Duration `config:"LDAP_TIMEOUT"`
	NetworkTimeout                time.Duration `config:"LDAP_NETWORK_TIMEOUT"`
	FollowReferrals               bool          `config:"LDAP_FOLLOW_REFERRALS"`
	AllowInsecureFallback         bool          `config:"LDAP_ALLOW_INSECURE_FALLBACK"`
	CacheTTL                      time.Duration `config:"LDAP_CACHE_TTL"`
	ConnectionPooling             bool          `config:"LDAP_CONNECTION_POOLING"`
	PoolSize                      int           `config:"LDAP_POOL_SIZE"`
	PoolMaxWait                   time.Duration `config:"LDAP_POOL_MAX_WAIT"`
	PoolConnectionLifetime        time.Duration `config:"LDAP_POOL_CONNECTION_LIFETIME"`
}

// JWT holds the settings of accounts of a JWT service.
type JWT struct {
	VerifyEndpoint  string        `config:"JWT_VERIFY_ENDPOINT"`
	QueryEndpoint   string        `config:"JWT_QUERY_ENDPOINT"`
	GetUserEndpoint string        `config:"JWT_GETUSER_ENDPOINT"`
	AuthIssuer      string        `config:"JWT_AUTH_ISSUER"`
	AuthMaxFresh    time.Duration `config:"JWT_AUTH_MAX_FRESH_S"`
}

// Keystone holds the settings of accounts of OpenStack Keystone.
type Keystone struct {
	AuthURL       string        `config:"KEYSTONE_AUTH_URL"`
	AuthVersion   int           `config:"KEYSTONE_AUTH_VERSION"`
	AuthTimeout   time.Duration `config:"KEYSTONE_AUTH_TIMEOUT"`
	AdminUsername string        `config:"KEYSTONE_ADMIN_USERNAME"`
	AdminPassword string        `config:"KEYSTONE_ADMIN_PASSWORD"`
	AdminTenant   string        `config:"KEYSTONE_ADMIN_TENANT"`
}

// Login holds the settings of sign-in through other sites.
type Login struct {
	GitHub GitHub `config:"GITHUB_LOGIN_CONFIG"`
	Google Google `config:"GOOGLE_LOGIN_CONFIG"`
	OIDC   []OIDC `config:"<NAME>_LOGIN_CONFIG"` // in the order of their names
}

// Mail holds the settings of outgoing mail.
type Mail struct {
	Server        string `config:"MAIL_SERVER"`
	Port          int    `config:"MAIL_PORT"`
	UseTLS        bool   `config:"MAIL_USE_TLS"`
	UseAuth       bool   `config:"MAIL_USE_AUTH"` // when not written: MAIL_USERNAME is set
	Username      string `config:"MAIL_USERNAME"`
	Password      string `config:"MAIL_PASSWORD"`
	DefaultSender string `config:"MAIL_DEFAULT_SENDER"`
	FailSilently  bool   `config:"MAIL_FAIL_SILENTLY"`
}

// Quota holds the settings of limits on what namespaces store.
type Quota struct {
	DefaultReject          int64         `config:"DEFAULT_SYSTEM_REJECT_QUOTA_BYTES"` // 0 = no limit
	NotificationCooldown   time.Duration `config:"QUOTA_NOTIFICATION_COOLDOWN_SECONDS"`
	RegistrySizePollPeriod time.Duration `config:"QUOTA_REGISTRY_SIZE_POLL_PERIOD"`
}

// Mirror holds the settings of repositories kept equal to those of another registry.
type Mirror struct {
	Interval                      time.Duration `config:"REPO_MIRROR_INTERVAL"`
	ServerHostname                string        `config:"REPO_MIRROR_SERVER_HOSTNAME"`
	TLSVerify                     bool          `config:"REPO_MIRROR_TLS_VERIFY"`
	Rollback                      bool          `config:"REPO_MIRROR_ROLLBACK"`
	TagRollbackPageSize           int           `config:"REPO_MIRROR_TAG_ROLLBACK_PAGE_SIZE"`
	WorkerReplicas                int           `config:"REPO_MIRROR_WORKER_REPLICAS"`        // 0 = not said
	MaxManifestListSize           int64         `config:"REPO_MIRROR_MAX_MANIFEST_LIST_SIZE"` // bytes
	MaxManifestEntries            int           `config:"REPO_MIRROR_MAX_MANIFEST_ENTRIES"`
	OrgMirrorInterval             time.Duration `config:"ORG_MIRROR_INTERVAL"`
	OrgMirrorMaxDiscoveryDuration time.Duration `config:"ORG_MIRROR_MAX_DISCOVERY_DURATION"`
}

// Scanner holds the settings of vulnerability reports.
type Scanner struct {
	Endpoint                          string        `config:"SECURITY_SCANNER_V4_ENDPOINT"`
	PSK                               string        `config:"SECURITY_SCANNER_V4_PSK"`
	IndexingInterval                  time.Duration `config:"SECURITY_SCANNER_INDEXING_INTERVAL"`
	BatchSize                         int           `config:"SECURITY_SCANNER_V4_BATCH_SIZE"` // 0 = chosen by the number there is
	RecentManifestBatchSize           int           `config:"SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_SIZE"`
	ReindexThreshold                  time.Duration `config:"SECURITY_SCANNER_V4_REINDEX_THRESHOLD"`
	IndexMaxLayerSize                 int64         `config:"SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE"` // bytes; 0 = no limit
	ManifestCleanup                   bool          `config:"SECURITY_SCANNER_V4_MANIFEST_CLEANUP"`
	Lock                              bool          `config:"SECURITY_SCANNER_V4_LOCK"`
	RecentManifestBatchLock           bool          `config:"SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_LOCK"`
	Indexing                          bool          `config:"SECURITY_SCANNER_V4_INDEXING"`
	V2BatchSize                       int           `config:"SECURITY_SCANNER_V2_BATCH_SIZE"`
	V2IndexingInterval                time.Duration `config:"SECURITY_SCANNER_V2_INDEXING_INTERVAL"`
	MaxScanRetries                    int           `config:"SECURITY_SCANNER_MAX_SCAN_RETRIES"`
	NotificationMinSeverityOnNewIndex string        `config:"NOTIFICATION_MIN_SEVERITY_ON_NEW_INDEX"`
}

// Build holds the settings of images built from Dockerfiles.
type Build struct {
	GitHub                                         GitHub    `config:"GITHUB_TRIGGER_CONFIG"`
	Bitbucket                                      Bitbucket `config:"BITBUCKET_TRIGGER_CONFIG"`
	GitLab                                         GitLab    `config:"GITLAB_TRIGGER_CONFIG"`
	DefaultNamespaceMaximumBuildCount              int       `config:"DEFAULT_NAMESPACE_MAXIMUM_BUILD_COUNT"` // 0 = no limit
	SuccessiveTriggerInternalErrorDisableThreshold int       `config:"SUCCESSIVE_TRIGGER_INTERNAL_ERROR_DISABLE_THRESHOLD"`
	SuccessiveTriggerFailureDisableThreshold       int       `config:"SUCCESSIVE_TRIGGER_FAILURE_DISABLE_THRESHOLD"`
	BuildmanHostname                               string    `config:"BUILDMAN_HOSTNAME"` // "" = Server.Hostname
	BuildmanControllerPort                         int       `config:"BUILDMAN_CONTROLLER_PORT"`
	Manager                                        Choice    `config:"BUILD_MANAGER"`
}

// Audit holds the settings of the action log.
type Audit struct {
	Model                    string        `config:"LOGS_MODEL"`
	ModelConfig              LogsModel     `config:"LOGS_MODEL_CONFIG"`
	RotationThreshold        time.Duration `config:"ACTION_LOG_ROTATION_THRESHOLD"`
	RotationFrequency        time.Duration `config:"ACTION_LOG_ROTATION_FREQUENCY"`
	MinimumLogsAgeForArchive time.Duration `config:"MINIMUM_LOGS_AGE_FOR_ARCHIVE"`
	ExportLinkLifetime       time.Duration `config:"EXPORT_ACTION_LOGS_SECONDS"`
	ExportStoragePath        string        `config:"EXPORT_ACTION_LOGS_STORAGE_PATH"`
	ExportMaximumQueryTime   time.Duration `config:"EXPORT_ACTION_LOGS_MAXIMUM_QUERY_TIME_SECONDS"`
	ExportMaximum            time.Duration `config:"EXPORT_ACTION_LOGS_MAXIMUM_SECONDS"` // 0 = no limit
	AuditLogins              bool          `config:"ACTION_LOG_AUDIT_LOGINS"`
	AuditLoginFailures       bool          `config:"ACTION_LOG_AUDIT_LOGIN_FAILURES"`
	AuditPullFailures        bool          `config:"ACTION_LOG_AUDIT_PULL_FAILURES"`
	AuditPushFailures        bool          `config:"ACTION_LOG_AUDIT_PUSH_FAILURES"`
	AuditDeleteFailures      bool          `config:"ACTION_LOG_AUDIT_DELETE_FAILURES"`
	MaxPage                  int           `config:"ACTION_LOG_MAX_PAGE"`    // 0 = no limit
	Stream                   string        `config:"GANTRY_AUDIT_STREAM"`    // "" = none, "stdout" or a path
	Retention                time.Duration `config:"GANTRY_AUDIT_RETENTION"` // 0 = without end
	DisabledForAuditLogs     []string      `config:"DISABLED_FOR_AUDIT_LOGS"`
	DisabledForPullLogs      []string      `config:"DISABLED_FOR_PULL_LOGS"`
}

// Notify holds the settings of notifications, and which private hosts outgoing requests may reach.
type Notify struct {
	TaskRunMinimumInterval   time.Duration `config:"NOTIFICATION_TASK_RUN_MINIMUM_INTERVAL_MINUTES"`
	SSRFAllowedHosts         []string      `config:"SSRF_ALLOWED_HOSTS"`
	SendTimeout              time.Duration `config:"NOTIFICATION_SEND_TIMEOUT"`
	WebhookHostnameBlacklist []string      `config:"WEBHOOK_HOSTNAME_BLACKLIST"`
}

// Health holds the settings of health checks.
type Health struct {
	Checker                         Choice  `config:"HEALTH_CHECKER"`
	InstanceChecksPreferredStorage  bool    `config:"HEALTH_CHECKER_INSTANCE_CHECK_PREFERRED_STORAGE"`
	DebugSecret                     string  `config:"ENABLE_HEALTH_DEBUG_SECRET"`
	DiskSpaceHealthThreshold        float64 `config:"DISKSPACE_HEALTH_THRESHOLD"`
	DiskSpaceHealthWarningThreshold float64 `config:"DISKSPACE_HEALTH_WARNING_THRESHOLD"`
	NeedsDatabase                   bool    `config:"GANTRY_HEALTH_NEEDS_DATABASE"`
}

// Metrics holds the settings of metrics.
type Metrics struct {
	Namespace                      string        `config:"PROMETHEUS_NAMESPACE"`
	TrackedNamespaces              []string      `config:"TRACKED_NAMESPACES"`
	GlobalPrometheusStatsFrequency time.Duration `config:"GLOBAL_PROMETHEUS_STATS_FREQUENCY"`
	QueueWorkerMetricsRefresh      time.Duration `config:"QUEUE_WORKER_METRICS_REFRESH_SECONDS"`
}

// Tracing holds the settings of traces, profiles and error reports.
type Tracing struct {
	OTel                     OTel     `config:"OTEL_CONFIG"`
	ExcludedURLs             []string `config:"OTEL_TRACING_EXCLUDED_URLS"` // paths
	ProfilingType            string   `config:"PROFILING_TYPE"`
	PyroscopeServerURL       string   `config:"PYROSCOPE_SERVER_URL"`
	PyroscopeApplicationName string   `config:"PYROSCOPE_APPLICATION_NAME"`
	PyroscopeSampleRate      int      `config:"PYROSCOPE_SAMPLE_RATE"`
	PyroscopeAuthToken       string   `config:"PYROSCOPE_AUTH_TOKEN"`
	ExceptionLogType         string   `config:"EXCEPTION_LOG_TYPE"`
	SentryDSN                string   `config:"SENTRY_DSN"`
	SentryPublicDSN          string   `config:"SENTRY_PUBLIC_DSN"`
	SentryEnvironment        string   `config:"SENTRY_ENVIRONMENT"`
	SentrySampleRate         float64  `config:"SENTRY_SAMPLE_RATE"`
	SentryTracesSampleRate   float64  `config:"SENTRY_TRACES_SAMPLE_RATE"`
	SentryProfilesSampleRate float64  `config:"SENTRY_PROFILES_SAMPLE_RATE"`
}

// Log holds the settings of the log of the process.
type Log struct {
	Level       string `config:"LOGGING_LEVEL"`          // DEBUG, INFO, WARNING, ERROR, CRITICAL or a synonym
	Destination string `config:"GANTRY_LOG_DESTINATION"` // "stderr", "stdout" or a path
	Format      string `config:"GANTRY_LOG_FORMAT"`      // "auto", "json" or "text"
}

// Workers holds the settings of background work.
type Workers struct {
	QueueCleanupFrequency time.Duration `config:"QUEUE_CLEANUP_FREQUENCY"`
	StaggerWorkers        bool          `config:"STAGGER_WORKERS"`
}

// UI holds the settings of the user interface.
type UI struct {
	Title                    string            `config:"REGISTRY_TITLE"`
	TitleShort               string            `config:"REGISTRY_TITLE_SHORT"`
	ContactInfo              []string          `config:"CONTACT_INFO"`
	Branding                 Branding          `config:"BRANDING"`
	EnterpriseLogoURL        string            `config:"ENTERPRISE_LOGO_URL"`
	FooterLinks              FooterLinks       `config:"FOOTER_LINKS"`
	DocumentationRoot        string            `config:"DOCUMENTATION_ROOT"`
	AvatarKind               string            `config:"AVATAR_KIND"`
	SearchResultsPerPage     int               `config:"SEARCH_RESULTS_PER_PAGE"`
	SearchMaxResultPageCount int               `config:"SEARCH_MAX_RESULT_PAGE_COUNT"`
	ModelCardArtifactType    string            `config:"UI_MODELCARD_ARTIFACT_TYPE"`
	ModelCardAnnotation      map[string]string `config:"UI_MODELCARD_ANNOTATION"`
	ModelCardLayerAnnotation map[string]string `config:"UI_MODELCARD_LAYER_ANNOTATION"`
}

// Features holds the switches, one for each FEATURE_ field that is yes or no.
type Features struct {
	ProxyProtocol                   bool `config:"FEATURE_PROXY_PROTOCOL"`
	StorageReplication              bool `config:"FEATURE_STORAGE_REPLICATION"`
	ProxyStorage                    bool `config:"FEATURE_PROXY_STORAGE"`
	EnableStaleMPUCleanup           bool `config:"FEATURE_ENABLE_STALE_MPU_CLEANUP"`
	SuperUsers                      bool `config:"FEATURE_SUPER_USERS"`
	SuperusersFullAccess            bool `config:"FEATURE_SUPERUSERS_FULL_ACCESS"`
	SuperusersOrgCreationOnly       bool `config:"FEATURE_SUPERUSERS_ORG_CREATION_ONLY"`
	RestrictedUsers                 bool `config:"FEATURE_RESTRICTED_USERS"`
	UserCreation                    bool `config:"FEATURE_USER_CREATION"`
	InviteOnlyUserCreation          bool `config:"FEATURE_INVITE_ONLY_USER_CREATION"`
	UserInitialize                  bool `config:"FEATURE_USER_INITIALIZE"` // when nothing is configured: on
	DirectLogin                     bool `config:"FEATURE_DIRECT_LOGIN"`
	AnonymousAccess                 bool `config:"FEATURE_ANONYMOUS_ACCESS"`
	RequireEncryptedBasicAuth       bool `config:"FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH"`
	RequireTeamInvite               bool `config:"FEATURE_REQUIRE_TEAM_INVITE"`
	UserMetadata                    bool `config:"FEATURE_USER_METADATA"`
	UserRename                      bool `config:"FEATURE_USER_RENAME"`
	UsernameConfirmation            bool `config:"FEATURE_USERNAME_CONFIRMATION"`
	UserLastAccessed                bool `config:"FEATURE_USER_LAST_ACCESSED"`
	PartialUserAutocomplete         bool `config:"FEATURE_PARTIAL_USER_AUTOCOMPLETE"`
	UserLogAccess                   bool `config:"FEATURE_USER_LOG_ACCESS"`
	PermanentSessions               bool `config:"FEATURE_PERMANENT_SESSIONS"`
	BlacklistedEmails               bool `config:"FEATURE_BLACKLISTED_EMAILS"`
	Recaptcha                       bool `config:"FEATURE_RECAPTCHA"`
	OrgSharedEmail                  bool `config:"FEATURE_ORG_SHARED_EMAIL"`
	AppSpecificTokens               bool `config:"FEATURE_APP_SPECIFIC_TOKENS"`
	AssignOAuthToken                bool `config:"FEATURE_ASSIGN_OAUTH_TOKEN"`
	ProgrammaticBootstrap           bool `config:"FEATURE_PROGRAMMATIC_BOOTSTRAP"`
	LDAPCaching                     bool `config:"FEATURE_LDAP_CACHING"`
	GitHubLogin                     bool `config:"FEATURE_GITHUB_LOGIN"`
	GoogleLogin                     bool `config:"FEATURE_GOOGLE_LOGIN"`
	TeamSyncing                     bool `config:"FEATURE_TEAM_SYNCING"`
	NonsuperuserTeamSyncingSetup    bool `config:"FEATURE_NONSUPERUSER_TEAM_SYNCING_SETUP"`
	Mailing                         bool `config:"FEATURE_MAILING"` // when not written: MAIL_SERVER is set
	ChangeTagExpiration             bool `config:"FEATURE_CHANGE_TAG_EXPIRATION"`
	GarbageCollection               bool `config:"FEATURE_GARBAGE_COLLECTION"`
	RepositoryGarbageCollection     bool `config:"FEATURE_REPOSITORY_GARBAGE_COLLECTION"`
	NamespaceGarbageCollection      bool `config:"FEATURE_NAMESPACE_GARBAGE_COLLECTION"`
	ImmutableTags                   bool `config:"FEATURE_IMMUTABLE_TAGS"`
	ImmutableTagsCanExpire          bool `config:"FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE"`
	AutoPrune                       bool `config:"FEATURE_AUTO_PRUNE"`
	GeneralOCISupport               bool `config:"FEATURE_GENERAL_OCI_SUPPORT"`
	HelmOCISupport                  bool `config:"FEATURE_HELM_OCI_SUPPORT"`
	ReferrersAPI                    bool `config:"FEATURE_REFERRERS_API"`
	ManifestSubjectBackfill         bool `config:"FEATURE_MANIFEST_SUBJECT_BACKFILL"`
	SparseIndex                     bool `config:"FEATURE_SPARSE_INDEX"`
	ExtendedRepositoryNames         bool `config:"FEATURE_EXTENDED_REPOSITORY_NAMES"`
	LibrarySupport                  bool `config:"FEATURE_LIBRARY_SUPPORT"`
	AdvertiseV2                     bool `config:"FEATURE_ADVERTISE_V2"`
	PublicCatalog                   bool `config:"FEATURE_PUBLIC_CATALOG"`
	RateLimits                      bool `config:"FEATURE_RATE_LIMITS"`
	ImagePullStats                  bool `config:"FEATURE_IMAGE_PULL_STATS"`
	ImageExpiryTrigger              bool `config:"FEATURE_IMAGE_EXPIRY_TRIGGER"`
	UIModelCard                     bool `config:"FEATURE_UI_MODELCARD"`
	QuotaManagement                 bool `config:"FEATURE_QUOTA_MANAGEMENT"`
	EditQuota                       bool `config:"FEATURE_EDIT_QUOTA"`
	VerifyQuota                     bool `config:"FEATURE_VERIFY_QUOTA"`
	QuotaNotifications              bool `config:"FEATURE_QUOTA_NOTIFICATIONS"`
	ProxyCache                      bool `config:"FEATURE_PROXY_CACHE"`
	ProxyCacheBlobDownload          bool `config:"FEATURE_PROXY_CACHE_BLOB_DOWNLOAD"`
	RepoMirror                      bool `config:"FEATURE_REPO_MIRROR"`
	OrgMirror                       bool `config:"FEATURE_ORG_MIRROR"`
	SecurityScanner                 bool `config:"FEATURE_SECURITY_SCANNER"`
	SecurityNotifications           bool `config:"FEATURE_SECURITY_NOTIFICATIONS"`
	SecurityScannerV2               bool `config:"FEATURE_SECURITY_SCANNER_V2"`
	SecurityScannerNotifyOnNewIndex bool `config:"FEATURE_SECURITY_SCANNER_NOTIFY_ON_NEW_INDEX"`
	BuildSupport                    bool `config:"FEATURE_BUILD_SUPPORT"`
	GitHubBuild                     bool `config:"FEATURE_GITHUB_BUILD"`
	BitbucketBuild                  bool `config:"FEATURE_BITBUCKET_BUILD"`
	GitLabBuild                     bool `config:"FEATURE_GITLAB_BUILD"`
	ReaderBuildLogs                 bool `config:"FEATURE_READER_BUILD_LOGS"`
	ActionLogRotation               bool `config:"FEATURE_ACTION_LOG_ROTATION"`
	AggregatedLogCountRetrieval     bool `config:"FEATURE_AGGREGATED_LOG_COUNT_RETRIEVAL"`
	LogExport                       bool `config:"FEATURE_LOG_EXPORT"`
	ExtendedActionLogging           bool `config:"FEATURE_EXTENDED_ACTION_LOGGING"`
	OTelTracing                     bool `config:"FEATURE_OTEL_TRACING"`
	RepositoryActionCounter         bool `config:"FEATURE_REPOSITORY_ACTION_COUNTER"`
	ClearExpiredRACEntries          bool `config:"FEATURE_CLEAR_EXPIRED_RAC_ENTRIES"`
	ManifestSizeBackfill            bool `config:"FEATURE_MANIFEST_SIZE_BACKFILL"`
	UserEvents                      bool `config:"FEATURE_USER_EVENTS"`
	FIPS                            bool `config:"FEATURE_FIPS"`
	SuperuserConfigDump             bool `config:"FEATURE_SUPERUSER_CONFIGDUMP"`
}
