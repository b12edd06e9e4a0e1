package config

// flags is a set of a row's yes-or-no properties.
type flags int

const (
	used     flags = 1 << iota // Field.Used
	live                       // Field.Live
	secret                     // Field.Secret
	later                      // Field.Later
	required                   // Field.Required
	open                       // Field.Open
)

// A group is a part of the table with its heading.
type group struct {
	title  string
	intro  string
	fields []Field
}

// row makes a Field. def is its default as it would be written, "" for none.
func row(name string, kind Kind, def string, fl flags, doc string, mods ...func(*Field)) Field {
	f := Field{
		Name: name, Kind: kind, Default: def, Doc: doc,
		Used: fl&used != 0, Live: fl&live != 0, Secret: fl&secret != 0,
		Later: fl&later != 0, Required: fl&required != 0, Open: fl&open != 0,
	}
	for _, m := range mods {
		m(&f)
	}
	return f
}

func oneOf(texts ...string) func(*Field)       { return func(f *Field) { f.Allowed = texts } }
func check(fn func(string) error) func(*Field) { return func(f *Field) { f.Check = fn } }
func between(lo, hi int64) func(*Field)        { return func(f *Field) { f.Min, f.Max = lo, hi } }
func keys(ks ...Field) func(*Field)            { return func(f *Field) { f.Keys = ks } }
func item(it Field) func(*Field)               { return func(f *Field) { f.Item = &it } }
func old(names ...string) func(*Field)         { return func(f *Field) { f.Aliases = names } }
func dead(why string) func(*Field)             { return func(f *Field) { f.Obsolete = why } }
func env(name string) func(*Field)             { return func(f *Field) { f.Env = name } }
func opened(f *Field)                          { f.Open = true }
func oneText(f *Field)                         { f.OneText = true }

// custom makes a Custom row.
func custom(shape string, parse func(*checker, string, *node) (any, bool)) func(*Field) {
	return func(f *Field) { f.Shape, f.parse = shape, parse }
}

const (
	port    = 65535
	quayIO  = "It belongs to the hosted service quay.io."
	oldUI   = "Gantry has one user interface."
	unsaved = "Gantry's jobs are rows of the database and need no queue names."
)

var logLevels = []string{"DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"}

// groups is the table. Its order is that of the reference page.
func groups() []group {
	return []group{
		{"Host, state and keys", "How clients reach the registry, what state it is in, and the keys it signs and encrypts with.", hostFields()},
		{"Database", "Where names, tags and accounts are kept.", databaseFields()},
		{"Redis and caches", "Redis is optional: it wakes workers early and carries live events. Everything still happens without it, later.", redisFields()},
		{"Object storage", "Where the bytes are kept.", storageFields()},
		{"Users, sign-up and names", "Who may have an account, own content and sign in.", userFields()},
		{"LDAP", "Accounts of a directory, with `AUTHENTICATION_TYPE: LDAP`.", ldapFields()},
		{"JWT and Keystone", "Accounts of an external JWT service or of OpenStack Keystone.", jwtFields()},
		{"External login", "Sign-in through OpenID Connect, GitHub or Google.", loginFields()},
		{"Mail", "Outgoing mail.", mailFields()},
		{"Tags, garbage collection and OCI", "How long things live and which content is taken.", tagFields()},
		{"Quota and proxy cache", "Limits on storage, and repositories filled from another registry.", quotaFields()},
		{"Mirroring", "Repositories kept equal to those of another registry.", mirrorFields()},
		{"Security scanning", "Vulnerability reports.", scanFields()},
		{"Builds", "Images built from Dockerfiles.", buildFields()},
		{"Action logs", "The audit log.", logFields()},
		{"Health and metrics", "What a monitor sees.", healthFields()},
		{"Workers, sessions and the rest", "Service keys, tokens, notifications, clean-up.", miscFields()},
		{"Queue names", "Names of Quay's work queues.", queueFields()},
		{"Gantry's own", "Fields that Quay does not know.", gantryFields()},
		{"quay.io only", "Fields of the hosted service; accepted and ignored.", hostedFields()},
	}
}

func hostFields() []Field {
	return []Field{
		row("SERVER_HOSTNAME", String, "", used, "Public host of the registry with an optional port, without a scheme. It is the audience of tokens and stands in links. Without it both follow the Host of each request.", check(checkHostPort)),
		row("PREFERRED_URL_SCHEME", String, "http", used, "Scheme of the links that the registry writes. Without it, it follows the request where SERVER_HOSTNAME does.", oneOf("http", "https")),
		row("EXTERNAL_TLS_TERMINATION", Bool, "false", used, "A proxy in front ends TLS: plain HTTP is served inside and `ssl.cert` is not needed."),
		row("SSL_CIPHERS", StringList, "", used, "OpenSSL names of the TLS 1.2 cipher suites to offer; Go's safe set when empty.", oneText),
		row("SSL_CIPHERSUITES", StringList, "", used|later, "Names of the TLS 1.3 cipher suites. TLS 1.3 has safe suites only and Go always offers all of them; the list is accepted.", oneText),
		row("SSL_PROTOCOLS", StringList, "[TLSv1.2, TLSv1.3]", used, "TLS versions to offer.", oneOf("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "SSLv2", "SSLv3")),
		row("REGISTRY_STATE", String, "normal", used|live, "`readonly` refuses every change of content and settings while pulls go on.", oneOf("normal", "readonly")),
		row("DISABLE_PUSHES", Bool, "false", used|live|later, "Refuse pushes and stop garbage collection; everything else works."),
		row("ACCOUNT_RECOVERY_MODE", Bool, "false", used|later, "Serve only the account pages and their API, to repair accounts: no registry and no workers."),
		row("SECRET_KEY", String, "", used|secret, "Key that signs sessions and encrypted passwords. Generated once into the data folder when empty; give it when several instances run."),
		row("DATABASE_SECRET_KEY", String, "", used|secret, "Key that encrypts secrets in the database. Generated once into the data folder when empty; keep a copy, or those secrets are lost with it."),
		row("PAGE_TOKEN_KEY", String, "", used|secret, "Key that seals the page tokens of the API. Derived from SECRET_KEY when empty."),
		row("SETUP_COMPLETE", Bool, "", used, "Quay's mark that the first set-up is done. Gantry checks keys and disks either way."),
		row("LIBRARY_NAMESPACE", String, "library", used|live, "Namespace of repository names that have none.", check(checkNamespace)),
		row("REGISTRY_TITLE", String, "Gantry", used|live, "Name of the registry in the user interface and in mail."),
		row("REGISTRY_TITLE_SHORT", String, "Gantry", live, "Short name of the registry where space is small."),
		row("CONTACT_INFO", StringList, "[]", live, "Links by which users reach the administrators.", check(checkContact)),
		row("BRANDING", Object, "", live, "Logos and footer of the user interface.", keys(
			row("logo", String, "", 0, "URL or path of the logo."),
			row("logo_dark", String, "", later, "Logo on a dark background."),
			row("footer_img", String, "", 0, "Image of the footer."),
			row("footer_url", String, "", 0, "Link of the footer's image."))),
		row("ENTERPRISE_LOGO_URL", String, "", live, "Old way to name the logo; BRANDING.logo is the right one."),
		row("FOOTER_LINKS", Object, "", live|later, "Links in the footer of the user interface.", keys(
			row("TERMS_OF_SERVICE_URL", String, "", 0, "Terms of service.", check(checkURL)),
			row("PRIVACY_POLICY_URL", String, "", 0, "Privacy policy.", check(checkURL)),
			row("SECURITY_URL", String, "", 0, "Security page.", check(checkURL)),
			row("ABOUT_URL", String, "", 0, "About page.", check(checkURL)))),
		row("DOCUMENTATION_ROOT", String, "", live, "Where the documentation links lead.", check(checkURL)),
		row("AVATAR_KIND", String, "local", live, "Where pictures of accounts come from: drawn here, or fetched from gravatar.com.", oneOf("local", "gravatar")),
		row("CORS_ORIGIN", StringList, `["*"]`, used|live|later, "Origins whose pages may call the API.", oneText),
		row("SESSION_COOKIE_SECURE", Bool, "false", used, "Send the session cookie over HTTPS only."),
		row("SESSION_COOKIE_NAME", String, "", used, "Name of the session cookie; the built-in one when empty.", check(checkToken)),
		row("SESSION_COOKIE_HTTPONLY", Bool, "true", used, "Hide the session cookie from scripts of the page."),
		row("SESSION_COOKIE_SAMESITE", String, "Lax", used, "When another site's page may make the browser send the session cookie.", oneOf("Lax", "Strict", "None")),
		row("MAX_COOKIE_SIZE", Size, "4093", 0, "Bytes that a cookie may have.", dead("Gantry's cookies hold a key of 60 bytes, never the session.")),
		row("SESSION_TIMEOUT", Duration, "31d", used|live|later, "How long a session lasts, with FEATURE_PERMANENT_SESSIONS."),
		row("FRESH_LOGIN_TIMEOUT", Duration, "10m", used|live, "After this time sensitive actions ask for the password again."),
		row("BROWSER_API_CALLS_XHR_ONLY", Bool, "true", used|live, "API calls with a session must carry X-Requested-With. Turn it off to let scripts make users with a session."),
		row("TRUSTED_PROXY_CIDR", StringList, "[]", used, "Networks of the proxies whose X-Forwarded-For is believed. When empty every peer is, as far as PROXY_COUNT goes.", check(checkCIDR), oneText),
		row("PROXY_COUNT", Int, "1", used, "How many proxies stand in front: so many entries of X-Forwarded-For are believed.", between(0, 32)),
		row("FEATURE_PROXY_PROTOCOL", Bool, "false", used, "Read the client's address from a PROXY protocol header."),
		row("FEATURE_LISTEN_IP_VERSION", String, "IPv4", used|later, "IP versions to listen on.", oneOf("IPv4", "IPv6", "dual-stack")),
		row("NON_RATE_LIMITED_NAMESPACES", StringList, "[]", used|live, "Namespaces that FEATURE_RATE_LIMITS leaves alone.", check(checkNamespace)),
		row("MANIFESTS_ENDPOINT_READ_TIMEOUT", Seconds, "", used|live|later, "Bound on one manifest request; the server's own bound when empty."),
		row("ROBOTS_DISALLOW", Bool, "false", used|live|later, "Switch robot accounts off, except those of ROBOTS_WHITELIST."),
		row("ROBOTS_WHITELIST", StringList, "[]", used|live|later, "Robot accounts that still work with ROBOTS_DISALLOW, as namespace+name."),
		row("UI_V2_FEEDBACK_FORM", String, "", later, "Feedback form of Quay's second user interface.", dead(oldUI)),
		row("DISABLE_ANGULAR_UI", Bool, "", later, "Switches Quay's first user interface off.", dead(oldUI)),
		row("DEFAULT_UI", String, "", later, "Which of Quay's user interfaces comes first.", dead(oldUI)),
		row("FEATURE_UI_V2", Bool, "", later, "Offers Quay's second user interface.", dead(oldUI)),
	}
}

func databaseFields() []Field {
	return []Field{
		row("DB_URI", String, "", used|secret, "Address of the database: postgresql://user:password@host:5432/name, mysql+pymysql://…, or sqlite:///path. A SQLite file in the data folder when empty.", check(checkDBURI)),
		row("DB_CONNECTION_ARGS", Object, "{}", used, "Options of the database connection.", keys(dbKeys()...)),
		row("DB_CONNECTION_POOLING", Bool, "true", 0, "Keep database connections open between requests.", env("DB_CONNECTION_POOLING"), dead("Connections are always kept open; DB_CONNECTION_ARGS.max_connections bounds how many.")),
		row("DB_READ_REPLICAS", ObjectList, "", used, "Copies of the database that answer reads while DB_URI's does not.", keys(row("DB_URI", String, "", secret|required, "Address of the replica.", check(checkDBURI)))),
		row("BUILDER_DB_HOST_OVERRIDE", String, "", later, "Host of the database as builders see it.", check(checkHostPort)),
		row("ALLOW_PULLS_WITHOUT_STRICT_LOGGING", Bool, "false", used|live, "A pull succeeds although its log entry cannot be written."),
		row("ALLOW_WITHOUT_STRICT_LOGGING", Bool, "false", used|live|later, "Every action succeeds although its log entry cannot be written."),
	}
}

func redisFields() []Field {
	return []Field{
		row("BUILDLOGS_REDIS", Object, "", 0, "Redis that holds the lines of running builds.", keys(redisKeys()...), opened),
		row("USER_EVENTS_REDIS", Object, "", used, "Redis that carries wake-ups and live events between instances, and counts requests for the rate limits of all of them. Each process by itself when not set.", keys(redisKeys()...), opened, old("USER_SECRETENTS_REDIS")),
		row("BUILDLOGS_REDIS_HOSTNAME", String, "", 0, "Old way to write BUILDLOGS_REDIS.host.", check(checkHost)),
		row("USER_EVENTS_REDIS_HOSTNAME", String, "", used, "Old way to write USER_EVENTS_REDIS.host.", check(checkHost)),
		row("PULL_METRICS_REDIS", Object, "", later, "Redis that counts pulls.", keys(redisKeys()...), opened),
		row("DATA_MODEL_CACHE_CONFIG", Object, "", 0, "Shared look-up cache of Quay.", keys(cacheKeys()...), dead("Gantry caches in the process, in bounded memory, and needs no cache server.")),
	}
}

func storageFields() []Field {
	return []Field{
		row("DISTRIBUTED_STORAGE_CONFIG", Custom, "", used, "The storage locations: a name for each, its class and the class's parameters. Files in the data folder when not set.", custom("{name: [class, {parameters}]}", parseStorage)),
		row("DISTRIBUTED_STORAGE_PREFERENCE", StringList, "", used, "Locations in the order they are read; the first one is written. All of them, in the order of the file, when not set. In the environment: names separated by white space, for each site of one configuration.", check(checkID), env("QUAY_DISTRIBUTED_STORAGE_PREFERENCE")),
		row("DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS", StringList, "[]", used, "Locations that every blob is copied to, with FEATURE_STORAGE_REPLICATION, and that take uploads while the preferred one is away.", check(checkID)),
		row("DISTRIBUTED_STORAGE_VALIDATE_ENDTOEND", Bool, "false", used|live, "The health check writes and reads back an object. Gantry's does either way."),
		row("DISTRIBUTED_STORAGE_REQUIRES_ALL_AVAILABLE", Bool, "false", used|live|later, "The health check fails when any location is away, not only the preferred one.", old("DISTRIBUTED_STORAGE_VALIDATE_REQUIRES_ALL_AVAILABLE")),
		row("FEATURE_STORAGE_REPLICATION", Bool, "false", used, "Copy blobs between the storage locations."),
		row("FEATURE_PROXY_STORAGE", Bool, "false", used|live, "Stream downloads through the registry instead of sending clients to the storage."),
		row("STORAGE_REPLICATION_PROCESSING_SECONDS", Seconds, "1200", used|live|later, "Time that a copy is reserved for an instance that shows no sign of life; a minute at most, for one that goes on renews it.", between(1, 7*86400)),
		row("MAXIMUM_LAYER_SIZE", Size, "20G", used|live, "Largest blob that is taken.", between(1, 1<<50)),
		row("USERFILES_LOCATION", String, "", 0, "Location of uploaded build contexts; the first one when empty.", check(checkID)),
		row("USERFILES_PATH", String, "userfiles/", 0, "Path of uploaded build contexts."),
		row("LOG_ARCHIVE_LOCATION", String, "", 0, "Location of finished build logs; the first one when empty.", check(checkID)),
		row("LOG_ARCHIVE_PATH", String, "logarchive/", 0, "Path of finished build logs."),
		row("ACTION_LOG_ARCHIVE_LOCATION", String, "", used|live, "Location of archived action logs; the first one when empty.", check(checkID)),
		row("ACTION_LOG_ARCHIVE_PATH", String, "actionlogarchive/", used|live, "Path of archived action logs."),
		row("CLEAN_BLOB_UPLOAD_FOLDER", Bool, "true", used|live|later, "Remove what dead uploads left behind."),
		row("FEATURE_ENABLE_STALE_MPU_CLEANUP", Bool, "true", used|live|later, "Abort multipart uploads that an S3 bucket still holds and nobody continues."),
		row("PUSH_TEMP_TAG_EXPIRATION_SEC", Seconds, "3600", used|live, "How long pushed content that no tag reaches yet is kept.", between(60, 366*86400)),
		row("CDN_SPECIFIC_NAMESPACES", StringList, "[]", used|later, "Namespaces whose downloads go through the CDN also for clients in the bucket's own network, which aws-ip-ranges.json beside config.yaml tells.", check(checkNamespace)),
	}
}

func userFields() []Field {
	return []Field{
		row("AUTHENTICATION_TYPE", String, "Database", used, "Where passwords are checked.", oneOf("Database", "LDAP", "JWT", "Keystone", "OIDC", "AppToken")),
		row("SUPER_USERS", StringList, "[]", used|live, "Names of the accounts that administer the registry."),
		row("FEATURE_SUPER_USERS", Bool, "true", used|live, "Superusers have their rights."),
		row("FEATURE_SUPERUSERS_FULL_ACCESS", Bool, "false", used|live|later, "Superusers act on every namespace as if it were theirs."),
		row("FEATURE_SUPERUSERS_ORG_CREATION_ONLY", Bool, "false", used|live|later, "Only superusers make organizations."),
		row("GLOBAL_READONLY_SUPER_USERS", StringList, "[]", used|live|later, "Accounts that read everything and change nothing; the entry wins over SUPER_USERS."),
		row("FEATURE_RESTRICTED_USERS", Bool, "false", used|live|later, "Users own no content of their own, except those of RESTRICTED_USERS_WHITELIST."),
		row("RESTRICTED_USERS_WHITELIST", StringList, "", used|live|later, "Users that FEATURE_RESTRICTED_USERS leaves alone."),
		row("FEATURE_USER_CREATION", Bool, "true", used|live, "Anybody may make an account through the API. When off, superusers make them, and `gantry user create`."),
		row("FEATURE_INVITE_ONLY_USER_CREATION", Bool, "false", used|live, "An account can be made with the code of an invitation into a team only."),
		row("FEATURE_USER_INITIALIZE", Bool, "false", used|live, "The first account may be made through the API without signing in. Without any config.yaml this is on until there is an account."),
		row("FEATURE_DIRECT_LOGIN", Bool, "true", used|live, "Sign in to the user interface and its API, and sign up, with a password. Clients of the registry are not affected."),
		row("FEATURE_ANONYMOUS_ACCESS", Bool, "true", used|live, "Public content can be seen without signing in."),
		row("FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH", Bool, "false", used|live, "Clients sign in with encrypted passwords and tokens, never with the password itself."),
		row("FEATURE_REQUIRE_TEAM_INVITE", Bool, "true", used|live, "A user must accept before being in a team; needs FEATURE_MAILING."),
		row("FEATURE_USER_METADATA", Bool, "false", used|live, "Accounts have name, company and location."),
		row("FEATURE_USER_RENAME", Bool, "false", used|live, "Users may change their name."),
		row("FEATURE_USERNAME_CONFIRMATION", Bool, "true", live, "A user who comes from an external login confirms the name once."),
		row("FEATURE_USER_LAST_ACCESSED", Bool, "true", used|live, "Remember when an account was used last."),
		row("LAST_ACCESSED_UPDATE_THRESHOLD_S", Seconds, "60", used|live, "Write that time at most this often."),
		row("FEATURE_PARTIAL_USER_AUTOCOMPLETE", Bool, "true", used|live, "Search for users by the beginning of their name."),
		row("FEATURE_USER_LOG_ACCESS", Bool, "false", live, "Users see the action log of their own namespace."),
		row("FEATURE_PERMANENT_SESSIONS", Bool, "true", used|live, "A session outlives the browser window, for SESSION_TIMEOUT."),
		row("FEATURE_BLACKLISTED_EMAILS", Bool, "false", used|live, "Refuse sign-up with a mail address in BLACKLISTED_EMAIL_DOMAINS."),
		row("BLACKLISTED_EMAIL_DOMAINS", StringList, "[]", used|live, "Mail domains that are refused, with those below them.", check(checkHost)),
		row("FEATURE_RECAPTCHA", Bool, "false", 0, "Ask people to prove that they are people when they sign up."),
		row("RECAPTCHA_SITE_KEY", String, "", 0, "Public key of reCAPTCHA."),
		row("RECAPTCHA_SECRET_KEY", String, "", secret, "Secret key of reCAPTCHA."),
		row("RECAPTCHA_WHITELISTED_USERS", StringList, "[]", 0, "Users who may make accounts without reCAPTCHA."),
		row("USER_RECOVERY_TOKEN_LIFETIME", Duration, "30m", used|live, "How long the codes work that go out by mail: of a forgotten password, and to confirm an address."),
		row("PUBLIC_NAMESPACES", StringList, "[]", live, "Namespaces that are in everybody's list.", check(checkNamespace)),
		row("FEATURE_ORG_SHARED_EMAIL", Bool, "false", live|later, "Organizations may share one mail address."),
		row("CREATE_PRIVATE_REPO_ON_PUSH", Bool, "true", used|live, "A repository made by a push is private."),
		row("CREATE_REPOSITORY_ON_PUSH_PUBLIC", Bool, "", 0, "Old name of the opposite of CREATE_PRIVATE_REPO_ON_PUSH, from the configuration tool.", dead("Quay never read it; CREATE_PRIVATE_REPO_ON_PUSH is the field.")),
		row("CREATE_NAMESPACE_ON_PUSH", Bool, "false", used|live, "A push to a namespace that is not there makes the organization."),
		row("FEATURE_APP_SPECIFIC_TOKENS", Bool, "true", used|live, "Users may make tokens that stand for their password in one client."),
		row("APP_SPECIFIC_TOKEN_EXPIRATION", Duration, "", used|live, "Life of such a token; none when empty."),
		row("EXPIRED_APP_SPECIFIC_TOKEN_GC", Duration, "1d", used|live, "Remove such tokens this long after their end; they stay when it is 0s."),
		row("DIRECT_OAUTH_CLIENTID_WHITELIST", StringList, "[]", used|live, "OAuth applications that need no consent of the user."),
		row("FEATURE_ASSIGN_OAUTH_TOKEN", Bool, "true", used|live|later, "Administrators of an organization may make OAuth tokens for other users."),
		row("OAUTH_APPLICATION_MAXIMUM_TOKEN_COUNT", Int, "", used|live|later, "Tokens that one OAuth application may have; no limit when empty."),
		row("FEATURE_PROGRAMMATIC_BOOTSTRAP", Bool, "false", later, "Make a first token for machines at the start."),
		row("BOOTSTRAP_TOKEN_OWNER", String, "", later, "Account that owns that token."),
		row("BOOTSTRAP_TOKEN_PATH", String, "", later, "File that the token is written to."),
		row("BOOTSTRAP_TOKEN_EXPIRATION", Seconds, "", later, "Life of the token."),
		row("BOOTSTRAP_TOKEN_SCOPE", String, "", later, "OAuth scopes of the token."),
		row("PROGRAMMATIC_TOKEN_PATH", String, "", later, "File that holds the machine token."),
		row("PROGRAMMATIC_TOKEN_K8S_SECRET", String, "", later, "Kubernetes Secret that holds the machine token; this is its name."),
		row("PROGRAMMATIC_TOKEN_K8S_KEY", String, "", later, "Key inside that Secret; this is its name."),
		row("PROGRAMMATIC_TOKEN_K8S_NAMESPACE", String, "", later, "Kubernetes namespace of that Secret."),
	}
}

func ldapFields() []Field {
	return []Field{
		row("LDAP_URI", String, "ldap://localhost", used, "Addresses of the directory, separated by spaces: ldaps://, or ldap://, which turns to TLS before anything is said. The first that answers is used. `ldap.crt` in the folder is its certificate authority.", check(checkLDAP)),
		row("LDAP_BASE_DN", StringList, "", used, "Where the directory is searched, as RDNs.", oneText),
		row("LDAP_ADMIN_DN", String, "", used, "Account that searches the directory."),
		row("LDAP_ADMIN_PASSWD", String, "", used|secret, "Password of that account."),
		row("LDAP_USER_RDN", StringList, "", used, "Where users are, relative to LDAP_BASE_DN.", oneText),
		row("LDAP_SECONDARY_USER_RDNS", StringList, "", used, "Further places where users are.", oneText),
		row("LDAP_UID_ATTR", String, "uid", used, "Attribute that holds the user name."),
		row("LDAP_EMAIL_ATTR", String, "mail", used, "Attribute that holds the mail address."),
		row("LDAP_MEMBEROF_ATTR", String, "memberOf", used, "Attribute that lists a user's groups."),
		row("LDAP_USER_FILTER", String, "", used, "Filter that users must pass."),
		row("LDAP_SUPERUSER_FILTER", String, "", used|later, "Users who pass it are superusers."),
		row("LDAP_GLOBAL_READONLY_SUPERUSER_FILTER", String, "", used|later, "Users who pass it read everything."),
		row("LDAP_RESTRICTED_USER_FILTER", String, "", used|later, "Users who pass it own no content."),
		row("LDAP_TIMEOUT", Seconds, "10", used, "Bound on one operation."),
		row("LDAP_NETWORK_TIMEOUT", Seconds, "10", used, "Bound on connecting."),
		row("LDAP_FOLLOW_REFERRALS", Bool, "true", used, "Follow the directory's pointers to other directories."),
		row("LDAP_ALLOW_INSECURE_FALLBACK", Bool, "false", used, "Passwords travel in the clear to an ldap:// server that has no TLS. Without it such a server is refused, unless it is on this machine."),
		row("FEATURE_LDAP_CACHING", Bool, "false", used|later, "Remember the directory's answers for LDAP_CACHE_TTL."),
		row("LDAP_CACHE_TTL", Seconds, "5", used|later, "How long an answer is remembered."),
		row("LDAP_CONNECTION_POOLING", Bool, "true", used|later, "Keep connections to the directory open."),
		row("LDAP_POOL_SIZE", Int, "10", used|later, "Connections that are kept.", between(1, 10000)),
		row("LDAP_POOL_MAX_WAIT", Seconds, "5.0", used|later, "How long to wait for a free connection."),
		row("LDAP_POOL_CONNECTION_LIFETIME", Seconds, "300", used|later, "Age at which a connection is replaced."),
	}
}

func jwtFields() []Field {
	return []Field{
		row("JWT_VERIFY_ENDPOINT", String, "", used, "Service that checks a password and answers with a JWT.", check(checkURL)),
		row("JWT_QUERY_ENDPOINT", String, "", used, "Service that searches users.", check(checkURL)),
		row("JWT_GETUSER_ENDPOINT", String, "", used, "Service that describes one user.", check(checkURL)),
		row("JWT_AUTH_ISSUER", String, "", used, "Issuer that such a JWT must name. `jwt-authn.cert` in the folder holds its public key."),
		row("JWT_AUTH_MAX_FRESH_S", Seconds, "300", used, "Longest life of such a JWT."),
		row("KEYSTONE_AUTH_URL", String, "", used, "Address of Keystone.", check(checkURL)),
		row("KEYSTONE_AUTH_VERSION", Int, "2", used, "Version of Keystone's interface. 3 is the one that OpenStack still has; others are refused.", between(2, 3)),
		row("KEYSTONE_AUTH_TIMEOUT", Seconds, "", used, "Bound on one request to Keystone."),
		row("KEYSTONE_ADMIN_USERNAME", String, "", used, "Account that searches Keystone."),
		row("KEYSTONE_ADMIN_PASSWORD", String, "", used|secret, "Password of that account."),
		row("KEYSTONE_ADMIN_TENANT", String, "", used, "Tenant of that account."),
	}
}

func loginFields() []Field {
	return []Field{
		row(loginPattern, Object, "", used, "An OpenID Connect provider; NAME in lower case stands in its callback `/oauth2/name/callback`.", keys(oidcKeys()...)),
		row("GITHUB_LOGIN_CONFIG", Object, "", used, "GitHub as a login provider, with FEATURE_GITHUB_LOGIN.", keys(githubKeys()...)),
		row("FEATURE_GITHUB_LOGIN", Bool, "false", used, "Sign in with GitHub."),
		row("GOOGLE_LOGIN_CONFIG", Object, "", used, "Google as a login provider, with FEATURE_GOOGLE_LOGIN.", keys(
			row("CLIENT_ID", String, "", required, "Client that is registered at Google."),
			row("CLIENT_SECRET", String, "", required|secret, "Secret of that client."),
			row("LOGIN_BINDING_FIELD", String, "", 0, "Field that ties a Google account to an internal one."))),
		row("FEATURE_GOOGLE_LOGIN", Bool, "false", used, "Sign in with Google."),
		row("FEATURE_TEAM_SYNCING", Bool, "false", used|live, "Teams may follow groups of the directory or of the login provider."),
		row("TEAM_RESYNC_STALE_TIME", Duration, "30m", used|live, "Age at which a team is compared with its group again."),
		row("TEAM_SYNC_WORKER_FREQUENCY", Seconds, "60", used|live, "How often to look for such teams."),
		row("FEATURE_NONSUPERUSER_TEAM_SYNCING_SETUP", Bool, "false", used|live, "Administrators of an organization may tie its teams to groups."),
	}
}

func mailFields() []Field {
	return []Field{
		row("FEATURE_MAILING", Bool, "", used|live, "Send mail, and ask users for an address. Without it, on when MAIL_SERVER is set."),
		row("MAIL_SERVER", String, "", used|live, "Host of the mail server.", check(checkHost)),
		row("MAIL_PORT", Int, "587", used|live, "Its port.", between(1, port)),
		row("MAIL_USE_TLS", Bool, "true", used|live, "Use TLS: STARTTLS, or TLS from the start on port 465."),
		row("MAIL_USE_AUTH", Bool, "", used|live, "Sign in to the mail server. Without it, on when MAIL_USERNAME is set."),
		row("MAIL_USERNAME", String, "", used|live, "Account at the mail server."),
		row("MAIL_PASSWORD", String, "", used|live|secret, "Password of that account."),
		row("MAIL_DEFAULT_SENDER", String, "admin@example.com", used|live, "Sender of the mail."),
		row("MAIL_FAIL_SILENTLY", Bool, "false", used|live, "A mail that is given up is only logged; otherwise its job is kept among the failed ones. Users wait for neither."),
	}
}

func tagFields() []Field {
	return []Field{
		row("DEFAULT_TAG_EXPIRATION", Duration, "2w", used|live, "How long a new namespace keeps tags that were deleted or moved (the time machine)."),
		row("TAG_EXPIRATION_OPTIONS", StringList, "[0s, 1d, 1w, 2w, 4w]", used|live, "The times that a namespace may choose from.", check(checkDuration)),
		row("FEATURE_CHANGE_TAG_EXPIRATION", Bool, "true", used|live, "Namespaces may choose their time, and tags may be given an end."),
		row("LABELED_EXPIRATION_MINIMUM", Duration, "1h", used|live, "Shortest end that a tag can be given through the API. The label quay.expires-after of a pushed image is taken as it is, as Quay does."),
		row("LABELED_EXPIRATION_MAXIMUM", Duration, "104w", used|live, "Longest end that a tag can be given through the API."),
		row("FEATURE_GARBAGE_COLLECTION", Bool, "true", used|live, "Remove content that nothing reaches."),
		row("FEATURE_REPOSITORY_GARBAGE_COLLECTION", Bool, "true", used|live, "Remove the content of deleted repositories. Gantry empties repositories and namespaces in one work: when this or FEATURE_NAMESPACE_GARBAGE_COLLECTION is off, both stay."),
		row("FEATURE_NAMESPACE_GARBAGE_COLLECTION", Bool, "true", used|live, "Remove the content of deleted namespaces; see FEATURE_REPOSITORY_GARBAGE_COLLECTION."),
		row("GARBAGE_COLLECTION_FREQUENCY", Seconds, "30", used|live, "How often to look for such content.", between(1, 86400)),
		row("NAMESPACE_GC_GRACE_PERIOD_SECONDS", Seconds, "0", live|later, "Wait this long before the content of a deleted namespace goes."),
		row("NAMESPACE_GC_ALLOWLIST", StringList, "[]", live|later, "Namespaces that are purged without that wait.", check(checkNamespace), old("NAMESPACE_GC_GRACE_PERIOD_ALLOWLIST")),
		row("PERMANENTLY_DELETE_TAGS", Bool, "false", used|live|later, "Tags may be deleted past the time machine."),
		row("RESET_CHILD_MANIFEST_EXPIRATION", Bool, "false", live|later, "When an index is deleted, what only it held goes at once too."),
		row("FEATURE_IMMUTABLE_TAGS", Bool, "false", used|live|later, "Tags can be made immutable."),
		row("FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE", Bool, "false", used|live|later, "Immutable tags may have an end."),
		row("FEATURE_AUTO_PRUNE", Bool, "false", used|live|later, "Namespaces and repositories may have rules that remove old tags."),
		row("DEFAULT_NAMESPACE_AUTOPRUNE_POLICY", Object, "", used|live|later, "Rule of every namespace that has none.", keys(
			row("method", String, "", required, "What is counted: the number of tags, or their age.", oneOf("number_of_tags", "creation_date")),
			row("value", String, "", required, "Tags that stay: how many, or a duration such as 30d."),
			row("tag_pattern", String, "", 0, "Regular expression of the tags it is about.", check(checkRegexp)),
			row("tag_pattern_matches", Bool, "true", 0, "Tags that match, or those that do not."))),
		row("AUTO_PRUNING_POLL_PERIOD", Seconds, "30", used|live|later, "How often to look for tags to prune."),
		row("AUTO_PRUNING_BATCH_SIZE", Int, "10", used|live|later, "Namespaces pruned in one go.", between(1, 100000)),
		row("AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES", Minutes, "60", used|live|later, "Shortest time between two runs for one namespace."),
		row("AUTOPRUNE_FETCH_TAGS_PAGE_LIMIT", Int, "100", used|live|later, "Tags read at once.", between(1, 100000)),
		row("AUTOPRUNE_FETCH_REPOSITORIES_PAGE_LIMIT", Int, "50", used|live|later, "Repositories read at once.", between(1, 100000)),
		row("AUTOPRUNE_DEFAULT_POLICY_TIMEOUT", Seconds, "3600", used|live|later, "Bound on one run of the default rule."),
		row("AUTO_PRUNING_DEFAULT_POLICY_POLL_PERIOD", Seconds, "86400", used|live|later, "How often the default rule is run."),
		row("FEATURE_GENERAL_OCI_SUPPORT", Bool, "true", used|live, "Take OCI images and artifacts. When off, a push of one is refused with 415, except in OCI_NAMESPACE_WHITELIST; pulls go on."),
		row("FEATURE_HELM_OCI_SUPPORT", Bool, "true", used|live, "Take Helm charts. When off, a push of one is refused with 415; pulls go on."),
		row("ALLOWED_OCI_ARTIFACT_TYPES", Map, "", 0, "Media types of artifacts that Quay takes beside its built-in ones: of the config, and of its layers.", item(row("", StringList, "", 0, "Media types of the layers.")), dead("Every well-formed media type is taken.")),
		row("FEATURE_REFERRERS_API", Bool, "true", used|live|later, "Answer the OCI referrers call."),
		row("FEATURE_MANIFEST_SUBJECT_BACKFILL", Bool, "true", later, "Fill in the subjects of manifests that an older release took."),
		row("FEATURE_SPARSE_INDEX", Bool, "false", used|live|later, "Take an index although some of its manifests are not here."),
		row("FEATURE_EXTENDED_REPOSITORY_NAMES", Bool, "true", used|live, "Repository names may have slashes."),
		row("FEATURE_LIBRARY_SUPPORT", Bool, "true", used|live, "Repository names without a namespace mean LIBRARY_NAMESPACE."),
		row("FEATURE_ADVERTISE_V2", Bool, "true", used|live, "Say at /v2/ that the registry interface is there."),
		row("BLACKLIST_V2_SPEC", String, "<1.6.0", used|live, "Docker versions that are kept from the registry interface, as a version range."),
		row("V22_NAMESPACE_BLACKLIST", StringList, "[]", used|live, "Namespaces that take no Docker schema 2 and no OCI manifests: a push there is refused with 415.", check(checkNamespace)),
		row("OCI_NAMESPACE_WHITELIST", StringList, "[]", used|live, "Namespaces that take OCI content although FEATURE_GENERAL_OCI_SUPPORT is off.", check(checkNamespace)),
		row("FEATURE_RESTRICTED_V1_PUSH", Bool, "true", 0, "Limits pushes of the old v1 protocol.", dead("The v1 protocol is gone from Docker and is not served.")),
		row("V1_PUSH_WHITELIST", StringList, "[]", 0, "Namespaces that take pushes of the v1 protocol.", dead("The v1 protocol is gone from Docker and is not served.")),
		row("V1_ONLY_DOMAIN", String, "", 0, "Host that speaks the v1 protocol only.", dead("The v1 protocol is gone from Docker and is not served.")),
		row("V2_PAGINATION_SIZE", Int, "50", used|live, "Entries on a page of tags or of the catalog when the client does not say.", between(1, 10000)),
		row("FEATURE_PUBLIC_CATALOG", Bool, "false", used|live, "The catalog lists public repositories to anybody."),
		row("SEARCH_RESULTS_PER_PAGE", Int, "10", used|live, "Results on a page of search.", between(1, 1000)),
		row("SEARCH_MAX_RESULT_PAGE_COUNT", Int, "10", used|live, "Pages of search that can be turned to.", between(1, 10000)),
		row("FEATURE_RATE_LIMITS", Bool, "false", used|live, "Limit how often clients may call."),
		row("FEATURE_IMAGE_PULL_STATS", Bool, "false", later, "Count the pulls of each tag and manifest."),
		row("PULL_METRICS_WORKER_COUNT", Int, "5", later, "Workers that count pulls.", between(1, 1000)),
		row("REDIS_FLUSH_INTERVAL_SECONDS", Seconds, "300", later, "How often the counts are written to the database."),
		row("FEATURE_IMAGE_EXPIRY_TRIGGER", Bool, "false", used|live|later, "Make repo_image_expiry events before a tag expires."),
		row("NOTIFICATION_TASK_RUN_MINIMUM_INTERVAL_MINUTES", Minutes, "", used|live|later, "How often tags that expire soon are looked for, for each notification; without it every 5 hours."),
		row("FEATURE_SIGNING", Bool, "false", 0, "Signing with Notary v1.", dead("Notary v1 is gone; signatures are OCI artifacts.")),
		row("TUF_SERVER", String, "", 0, "Address of Notary v1.", dead("Notary v1 is gone.")),
		row("TUF_HOST", String, "", 0, "Public address of Notary v1.", dead("Notary v1 is gone.")),
		row("TUF_GUN_PREFIX", String, "", 0, "Prefix of names in Notary v1.", dead("Notary v1 is gone.")),
		row("TUF_API_TIMEOUT_SECONDS", Seconds, "", 0, "Bound on a request to Notary v1.", dead("Notary v1 is gone.")),
		row("LABEL_KEY_RESERVED_PREFIXES", StringList, "[]", used|live, "Beginnings of label names that users may not set.", check(checkDotEnd)),
		row("FEATURE_UI_MODELCARD", Bool, "", later, "Show the model card of machine-learning models."),
		row("UI_MODELCARD_ARTIFACT_TYPE", String, "", later, "Artifact type of such models."),
		row("UI_MODELCARD_ANNOTATION", Map, "", later, "Annotations that mark such a model.", item(row("", String, "", 0, "Value of the annotation."))),
		row("UI_MODELCARD_LAYER_ANNOTATION", Map, "", later, "Annotations that mark the layer with the card.", item(row("", String, "", 0, "Value of the annotation."))),
	}
}

func quotaFields() []Field {
	return []Field{
		row("FEATURE_QUOTA_MANAGEMENT", Bool, "false", used|live, "Count and limit what namespaces store."),
		row("DEFAULT_SYSTEM_REJECT_QUOTA_BYTES", Size, "0", used|live, "Quota of every namespace that has none of its own; 0 for no limit."),
		row("FEATURE_EDIT_QUOTA", Bool, "true", used|live|later, "Superusers may change quotas through the API."),
		row("FEATURE_VERIFY_QUOTA", Bool, "true", used|live|later, "Refuse pushes that pass the quota."),
		row("FEATURE_QUOTA_SUPPRESS_FAILURES", Bool, "false", later, "A failure to count does not fail the push.", dead("A push is counted in its own transaction, and its notices are made after it: no failure to count can fail it.")),
		row("FEATURE_QUOTA_NOTIFICATIONS", Bool, "false", used|live|later, "Namespaces have notifications, of the events quota_warning and quota_error. Administrators find them in their inbox either way."),
		row("QUOTA_NOTIFICATION_COOLDOWN_SECONDS", Seconds, "86400", used|live|later, "Shortest time between two notices of one limit."),
		row("QUOTA_NOTIFICATION_WORKER_POLL_PERIOD", Seconds, "300", later, "How often to look for them.", dead("A quota is compared after each push; there is nothing to look for.")),
		row("QUOTA_BACKFILL", Bool, "true", later, "Counts what was stored before quotas were on.", dead("Usage is exact at every instant; there is nothing to fill in.")),
		row("QUOTA_TOTAL_DELAY_SECONDS", Seconds, "1800", later, "Wait before that count.", dead("Usage is exact at every instant; there is nothing to fill in.")),
		row("QUOTA_BACKFILL_POLL_PERIOD", Seconds, "15", later, "How often that count goes on.", dead("Usage is exact at every instant; there is nothing to fill in.")),
		row("QUOTA_BACKFILL_BATCH_SIZE", Int, "100", later, "Namespaces counted at once.", dead("Usage is exact at every instant; there is nothing to fill in.")),
		row("QUOTA_INVALIDATE_TOTALS", Bool, "true", later, "Forgets the counts when the feature is off.", dead("Usage is exact at every instant; there is nothing to forget.")),
		row("QUOTA_REGISTRY_SIZE_POLL_PERIOD", Seconds, "60", live|later, "How often the size of the whole registry is counted."),
		row("FEATURE_PROXY_CACHE", Bool, "false", used|live, "Organizations may stand for another registry and keep what is pulled through them."),
		row("FEATURE_PROXY_CACHE_BLOB_DOWNLOAD", Bool, "true", used|live|later, "Fetch the blobs of a proxied manifest in the background."),
		row("SSRF_ALLOWED_HOSTS", StringList, "[]", used|live|later, "Private hosts and networks that mirrors, proxies, webhooks and the look at robots' identity providers may reach.", check(checkHostOrCIDR)),
	}
}

func mirrorFields() []Field {
	return []Field{
		row("FEATURE_REPO_MIRROR", Bool, "false", used|live, "Repositories may mirror another registry."),
		row("REPO_MIRROR_INTERVAL", Seconds, "30", used|live, "How often to look for mirrors that are due."),
		row("REPO_MIRROR_SERVER_HOSTNAME", String, "", 0, "Host that Quay's mirrors are pushed to; here a mirror writes without going over the network.", check(checkHostURL)),
		row("REPO_MIRROR_TLS_VERIFY", Bool, "true", used|live, "Check the certificate of the registry that is mirrored, where a mirror does not say verify_tls itself."),
		row("REPO_MIRROR_ROLLBACK", Bool, "false", used|live|later, "Put the tags back when a synchronization fails."),
		row("REPO_MIRROR_TAG_ROLLBACK_PAGE_SIZE", Int, "100", used|live|later, "Tags put back at once.", between(1, 100000)),
		row("REPO_MIRROR_WORKER_REPLICAS", Int, "", later, "Mirror workers that run."),
		row("REPO_MIRROR_MAX_MANIFEST_LIST_SIZE", Size, "10MiB", used|live|later, "Largest index that is mirrored."),
		row("REPO_MIRROR_MAX_MANIFEST_ENTRIES", Int, "1000", used|live|later, "Most manifests of an index that is mirrored."),
		row("FEATURE_ORG_MIRROR", Bool, "false", used|live|later, "Organizations may mirror a whole namespace."),
		row("ORG_MIRROR_INTERVAL", Seconds, "30", used|live|later, "How often to look for such organizations."),
		row("ORG_MIRROR_MAX_DISCOVERY_DURATION", Seconds, "1800", used|live|later, "Bound on listing the other side."),
	}
}
