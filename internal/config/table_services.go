package config

func scanFields() []Field {
	const v2 = "Clair v2 is gone; SECURITY_SCANNER_V4_ENDPOINT is the field."
	return []Field{
		row("FEATURE_SECURITY_SCANNER", Bool, "false", 0, "Scan images for known vulnerabilities."),
		row("FEATURE_SECURITY_NOTIFICATIONS", Bool, "false", 0, "Notify when a vulnerability is found in an image that is here."),
		row("SECURITY_SCANNER_V4_ENDPOINT", String, "", 0, "Address of Clair.", check(checkURL)),
		row("SECURITY_SCANNER_V4_PSK", String, "", secret, "Key shared with Clair, in base64.", check(checkBase64)),
		row("SECURITY_SCANNER_V4_NAMESPACE_WHITELIST", StringList, "", 0, "Namespaces that were scanned by Clair 4 while it was new.", dead("Every namespace is scanned.")),
		row("SECURITY_SCANNER_INDEXING_INTERVAL", Seconds, "30", 0, "How often to look for images that are not scanned."),
		row("SECURITY_SCANNER_V4_BATCH_SIZE", Int, "0", 0, "Images taken in one go; 0 to choose by the number there is."),
		row("SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_SIZE", Int, "1000", later, "Newest images taken in one go."),
		row("SECURITY_SCANNER_V4_REINDEX_THRESHOLD", Seconds, "300", 0, "Age of a report before the scanner is asked again."),
		row("SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE", Size, "", later, "Largest layer that is scanned; no limit when empty."),
		row("SECURITY_SCANNER_V4_MANIFEST_CLEANUP", Bool, "true", later, "Remove the report when the image goes."),
		row("SECURITY_SCANNER_V4_LOCK", Bool, "false", later, "Let one worker at a time look for images."),
		row("SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_LOCK", Bool, "false", later, "Let one worker at a time look for the newest images."),
		row("SECURITY_SCANNER_V4_INDEXING", Bool, "", later, "Run the lock-taking indexer of Quay."),
		row("FEATURE_SECURITY_SCANNER_V2", Bool, "", later, "Run the lock-free indexer of Quay."),
		row("SECURITY_SCANNER_V2_BATCH_SIZE", Int, "50", later, "Images that indexer takes in one go."),
		row("SECURITY_SCANNER_V2_INDEXING_INTERVAL", Seconds, "30", later, "How often that indexer looks."),
		row("SECURITY_SCANNER_MAX_SCAN_RETRIES", Int, "5", later, "Tries before an image is given up."),
		row("FEATURE_SECURITY_SCANNER_NOTIFY_ON_NEW_INDEX", Bool, "true", later, "Notify of what the first scan of an image finds."),
		row("NOTIFICATION_MIN_SEVERITY_ON_NEW_INDEX", String, "High", later, "Lowest severity of such a notification.", oneOf("Unknown", "Negligible", "Low", "Medium", "High", "Critical", "Defcon1")),
		row("SECURITY_SCANNER_ENDPOINT", String, "", 0, "Address of Clair v2.", dead(v2)),
	}
}

func buildFields() []Field {
	return []Field{
		row("FEATURE_BUILD_SUPPORT", Bool, "false", 0, "Build images from Dockerfiles."),
		row("FEATURE_GITHUB_BUILD", Bool, "false", 0, "A push to GitHub may start a build."),
		row("FEATURE_BITBUCKET_BUILD", Bool, "false", 0, "A push to Bitbucket may start a build."),
		row("FEATURE_GITLAB_BUILD", Bool, "false", 0, "A push to GitLab may start a build."),
		row("GITHUB_TRIGGER_CONFIG", Object, "", 0, "GitHub as a source of builds, with FEATURE_GITHUB_BUILD.", keys(githubKeys()...)),
		row("BITBUCKET_TRIGGER_CONFIG", Object, "", 0, "Bitbucket as a source of builds, with FEATURE_BITBUCKET_BUILD.", keys(
			row("CONSUMER_KEY", String, "", required, "Consumer that is registered at Bitbucket."),
			row("CONSUMER_SECRET", String, "", required|secret, "Secret of that consumer."))),
		row("GITLAB_TRIGGER_CONFIG", Object, "", 0, "GitLab as a source of builds, with FEATURE_GITLAB_BUILD.", keys(
			row("GITLAB_ENDPOINT", String, "https://gitlab.com/", 0, "Address of GitLab.", check(checkURL)),
			row("CLIENT_ID", String, "", required, "Application that is registered at GitLab."),
			row("CLIENT_SECRET", String, "", required|secret, "Secret of that application."))),
		row("FEATURE_READER_BUILD_LOGS", Bool, "false", 0, "Whoever may pull may read build logs."),
		row("DEFAULT_NAMESPACE_MAXIMUM_BUILD_COUNT", Int, "", 0, "Builds that a namespace may have waiting; no limit when empty."),
		row("SUCCESSIVE_TRIGGER_INTERNAL_ERROR_DISABLE_THRESHOLD", Int, "5", 0, "Internal errors in a row after which a trigger is switched off."),
		row("SUCCESSIVE_TRIGGER_FAILURE_DISABLE_THRESHOLD", Int, "100", 0, "Failed builds in a row after which a trigger is switched off."),
		row("BUILDMAN_HOSTNAME", String, "", 0, "Host and port that builders call; SERVER_HOSTNAME when empty.", check(checkHostPort), env("BUILDMAN_HOSTNAME")),
		row("BUILDMAN_CONTROLLER_PORT", Int, "8686", 0, "Port of Quay's build controller.", between(1, port)),
		row("BUILD_MANAGER", Custom, "", 0, "How builders are started.", custom(`["ephemeral", {options}] or ["enterprise", {}]`, parseBuildManager)),
	}
}

func logFields() []Field {
	return []Field{
		row("LOGS_MODEL", String, "database", used, "Where the action log is kept. This release keeps it in the database and refuses to start with another value; GANTRY_AUDIT_STREAM feeds collectors.", oneOf("database", "transition_reads_both_writes_es", "elasticsearch", "splunk")),
		row("LOGS_MODEL_CONFIG", Object, "", 0, "Options of LOGS_MODEL.", keys(logsKeys()...)),
		row("FEATURE_ACTION_LOG_ROTATION", Bool, "false", used|live, "Move old entries to the archive."),
		row("ACTION_LOG_ROTATION_THRESHOLD", Duration, "30d", used|live, "Age of the entries that move."),
		row("ACTION_LOG_ROTATION_FREQUENCY", Seconds, "43200", used|live, "How often they move."),
		row("MINIMUM_LOGS_AGE_FOR_ARCHIVE", Duration, "7d", used|live, "Age below which nothing moves."),
		row("FEATURE_AGGREGATED_LOG_COUNT_RETRIEVAL", Bool, "true", used|live, "Show counts of actions over time."),
		row("FEATURE_LOG_EXPORT", Bool, "true", used|live, "Administrators may export the action log."),
		row("EXPORT_ACTION_LOGS_WORKER_POLL_PERIOD", Seconds, "60", 0, "How often to look for exports to make.", dead("An export begins at once.")),
		row("EXPORT_ACTION_LOGS_SECONDS", Seconds, "3600", used|live, "How long the link to an export works."),
		row("EXPORT_ACTION_LOGS_STORAGE_PATH", String, "exportedactionlogs", used|live, "Path of exports in the storage."),
		row("EXPORT_ACTION_LOGS_MAXIMUM_QUERY_TIME_SECONDS", Seconds, "30", used|live, "Bound on one query of an export."),
		row("EXPORT_ACTION_LOGS_MAXIMUM_SECONDS", Seconds, "", used|live, "Bound on a whole export, with all its tries; at most two hours, which it is when empty."),
		row("ACTION_LOG_AUDIT_LOGINS", Bool, "true", used|live, "Log sign-ins."),
		row("ACTION_LOG_AUDIT_LOGIN_FAILURES", Bool, "false", used|live|later, "Log failed sign-ins."),
		row("ACTION_LOG_AUDIT_PULL_FAILURES", Bool, "false", used|live|later, "Log refused pulls."),
		row("ACTION_LOG_AUDIT_PUSH_FAILURES", Bool, "false", used|live|later, "Log refused pushes."),
		row("ACTION_LOG_AUDIT_DELETE_FAILURES", Bool, "false", used|live|later, "Log refused deletions."),
		row("ACTION_LOG_MAX_PAGE", Int, "", used|live, "Pages of the log that can be turned to; no limit when empty."),
		row("DISABLED_FOR_AUDIT_LOGS", StringList, "[]", live, "Namespaces whose actions are not logged.", check(checkNamespace)),
		row("DISABLED_FOR_PULL_LOGS", StringList, "[]", used|live, "Namespaces whose pulls are not logged.", check(checkNamespace)),
		row("FEATURE_DISABLE_PULL_LOGS_FOR_FREE_NAMESPACES", Bool, "false", 0, "Log no pulls of namespaces that do not pay.", dead(quayIO)),
		row("SERVICE_LOG_ACCOUNT_ID", Int, "", 0, "Account that logs of the service itself belong to.", dead(quayIO)),
		row("FEATURE_EXTENDED_ACTION_LOGGING", Bool, "false", live|later, "Log address, method, kind of sign-in, user agent and request id too."),
	}
}

func healthFields() []Field {
	return []Field{
		row("HEALTH_CHECKER", Custom, "[LocalHealthCheck, {}]", 0, "Which health check runs.", custom(`["LocalHealthCheck", {}] or ["RDSAwareHealthCheck", {access_key, secret_key, db_instance, region}]`, parseHealthChecker)),
		row("HEALTH_CHECKER_INSTANCE_CHECK_PREFERRED_STORAGE", Bool, "false", used|live|later, "The check of one instance asks its preferred storage too."),
		row("ENABLE_HEALTH_DEBUG_SECRET", String, "", used|live|secret, "Whoever sends it to the health check reads the details."),
		row("DISKSPACE_HEALTH_THRESHOLD", Float, "0.01", used|live, "Free part of the disk below which the instance is not healthy.", between(0, 1)),
		row("DISKSPACE_HEALTH_WARNING_THRESHOLD", Float, "0.1", used|live, "Free part of the disk below which it warns.", between(0, 1)),
		row("PROMETHEUS_NAMESPACE", String, "quay", used, "First part of the metrics' names.", check(checkMetricName)),
		row("PROMETHEUS_PUSHGATEWAY_URL", String, "", 0, "Push gateway that Quay's processes report to.", check(checkURL), dead("Gantry is one process and is scraped itself: --metrics says where.")),
		row("TRACKED_NAMESPACES", StringList, "[]", live|later, "Namespaces whose pulls and pushes have metrics of their own.", check(checkNamespace)),
		row("GLOBAL_PROMETHEUS_STATS_FREQUENCY", Seconds, "3600", used|live, "How often the counts of accounts, repositories and so on are taken.", between(1, 366*86400)),
		row("FEATURE_OTEL_TRACING", Bool, "false", used|later, "Send traces over OpenTelemetry."),
		row("OTEL_CONFIG", Object, "", used|later, "Where traces go.", keys(
			row("service_name", String, "quay", 0, "Name that traces carry."),
			row("endpoint", String, "", 0, "Collector: host:port or URL.", check(checkHostURL)),
			row("sample_rate", Float, "0.001", 0, "Part of the requests that is traced.", between(0, 1)),
			row("dt_api_url", String, "", 0, "Dynatrace's address for traces.", check(checkURL)),
			row("dt_api_token", String, "", secret, "Dynatrace's token."))),
		row("OTEL_TRACING_EXCLUDED_URLS", StringList, "", used|later, "Paths that are not traced, as regular expressions.", oneText),
		row("PROFILING_TYPE", String, "", later, "Continuous profiler that Quay starts."),
		row("PYROSCOPE_SERVER_URL", String, "", later, "Address of Pyroscope.", check(checkURL), old("PYROSCOPE_SERVER_ADDRESS")),
		row("PYROSCOPE_APPLICATION_NAME", String, "", later, "Name that profiles carry."),
		row("PYROSCOPE_SAMPLE_RATE", Int, "", later, "Samples each second."),
		row("PYROSCOPE_AUTH_TOKEN", String, "", later|secret, "Token for Pyroscope."),
		row("EXCEPTION_LOG_TYPE", String, "FakeSentry", 0, "Whether errors are sent to Sentry.", oneOf("FakeSentry", "Sentry")),
		row("SENTRY_DSN", String, "", secret, "Address of Sentry for the server's errors."),
		row("SENTRY_PUBLIC_DSN", String, "", 0, "Address of Sentry for the browser's errors."),
		row("SENTRY_ENVIRONMENT", String, "", later, "Environment that errors carry."),
		row("SENTRY_SAMPLE_RATE", Float, "", later, "Part of the errors that is sent.", between(0, 1)),
		row("SENTRY_TRACES_SAMPLE_RATE", Float, "", later, "Part of the requests that Sentry traces.", between(0, 1)),
		row("SENTRY_PROFILES_SAMPLE_RATE", Float, "", later, "Part of those that Sentry profiles.", between(0, 1)),
	}
}

func miscFields() []Field {
	return []Field{
		row("LOGGING_LEVEL", String, "INFO", used|live, "Least important lines that are logged. DEBUGLOG=true in the environment means DEBUG.", oneOf(logLevels...), env("LOGGING_LEVEL")),
		row("FEATURE_REPOSITORY_ACTION_COUNTER", Bool, "true", live, "Count the actions of each repository by day."),
		row("FEATURE_CLEAR_EXPIRED_RAC_ENTRIES", Bool, "false", live, "Remove old counts."),
		row("FEATURE_MANIFEST_SIZE_BACKFILL", Bool, "true", 0, "Fill in sizes of manifests that an older release took."),
		row("FEATURE_USER_EVENTS", Bool, "true", used|live|later, "Send live events to the user interface."),
		row("NOTIFICATION_SEND_TIMEOUT", Seconds, "10", used|live, "Bound on sending one notification.", between(1, 3600)),
		row("WEBHOOK_HOSTNAME_BLACKLIST", StringList, "[]", used|live, "Hosts, with those below them, addresses and networks that notifications may not reach; private addresses they may not reach anyway, see SSRF_ALLOWED_HOSTS.", check(checkHostOrCIDR)),
		row("FEATURE_FIPS", Bool, "false", used, "Run in the FIPS 140-3 mode of Go's cryptography: its self-tests at the start, and TLS by approved versions, ciphers and curves only."),
		row("FEATURE_SUPERUSER_CONFIGDUMP", Bool, "false", used|live|later, "Superusers may read the configuration through the API."),
		row("FEATURE_SPAM_DETECTION", Bool, "false", later, "Look for spam in descriptions.", dead(quayIO)),
		row("SPAM_DETECTION_ENDPOINT", String, "", later, "Service that looks for spam.", dead(quayIO)),
		row("SPAM_DETECTION_API_KEY", String, "", later|secret, "Key of that service.", dead(quayIO)),
		row("SPAM_DETECTION_THRESHOLD", Float, "", later, "Score above which a text is spam.", dead(quayIO)),
		row("INSTANCE_SERVICE_KEY_SERVICE", String, "quay", used, "Service that the instance's signing key belongs to; the issuer of its tokens."),
		row("INSTANCE_SERVICE_KEY_KID_LOCATION", String, "", used, "File with the id of a key made beforehand, for a read-only registry."),
		row("INSTANCE_SERVICE_KEY_LOCATION", String, "", used, "File with that key."),
		row("INSTANCE_SERVICE_KEY_EXPIRATION", Minutes, "120", used, "Minutes that a signing key lives.", between(10, 525600)),
		row("INSTANCE_SERVICE_KEY_REFRESH", Minutes, "55", used, "Minutes after which its life is renewed.", between(1, 525600)),
		row("UNAPPROVED_SERVICE_KEY_TTL_SEC", Seconds, "86400", used|live, "Remove keys that nobody approved after this time.", between(60, 366*86400)),
		row("EXPIRED_SERVICE_KEY_TTL_SEC", Seconds, "604800", used|live, "Remove keys this long after their end.", between(60, 366*86400)),
		row("REGISTRY_JWT_AUTH_MAX_FRESH_S", Seconds, "3660", used, "Longest life of a registry token that is believed.", between(60, 7*86400)),
		row("SIGNED_GRANT_EXPIRATION_SEC", Seconds, "86400", live, "Life of a signed grant to one file.", between(1, 366*86400)),
		row("QUEUE_CLEANUP_FREQUENCY", Seconds, "86400", used|live, "How often finished jobs are removed.", between(1, 366*86400)),
		row("BLOBUPLOAD_CLEANUP_FREQUENCY", Seconds, "3600", used|live, "How often dead uploads are looked for.", between(1, 366*86400)),
		row("BLOBUPLOAD_DELETION_DATE_THRESHOLD", Minutes, "2880", used|live, "Minutes without progress after which an upload is dead.", between(1, 5256000)),
		row("STAGGER_WORKERS", Bool, "true", 0, "Start workers at different moments."),
		row("LOCAL_OAUTH_HANDLER", String, "/oauth/localapp", used|live, "Path of the page that shows a token to a local application."),
		row("OAUTH_TOKEN_LAST_ACCESSED_UPDATE_THRESHOLD_S", Seconds, "60", used|live|later, "Write the last use of an OAuth token at most this often."),
		row("QUEUE_WORKER_METRICS_REFRESH_SECONDS", Seconds, "300", live, "How often the metrics of waiting jobs are taken.", between(1, 86400)),
		row("V3_UPGRADE_MODE", String, "", 0, "Phase of Quay's upgrade from version 2.", oneOf("new-installation", "complete", "background", "post-oci-rollout", "post-oci-roll-back-compat", "production-transition"), dead("That upgrade is long past.")),
		row("FEATURE_ACI_CONVERSION", Bool, "", 0, "Conversion to rkt's images.", dead("rkt is gone.")),
		row("FEATURE_UI_DELAY_AFTER_WRITE", Bool, "", later, "Makes the user interface wait after a change.", dead("What was written can be read at once.")),
		row("UI_DELAY_AFTER_WRITE_SECONDS", Seconds, "3", later, "How long it waits.", dead("What was written can be read at once.")),
	}
}

func queueFields() []Field {
	q := func(name, def, doc string, fl flags) Field { return row(name, String, def, fl, doc, dead(unsaved)) }
	return []Field{
		q("NOTIFICATION_QUEUE_NAME", "notification", "Queue of notifications.", 0),
		q("DOCKERFILE_BUILD_QUEUE_NAME", "dockerfilebuild", "Queue of builds.", 0),
		q("REPLICATION_QUEUE_NAME", "imagestoragereplication", "Queue of copies between locations.", 0),
		q("CHUNK_CLEANUP_QUEUE_NAME", "chunk_cleanup", "Queue of Swift chunks to remove.", 0),
		q("NAMESPACE_GC_QUEUE_NAME", "namespacegc", "Queue of deleted namespaces.", 0),
		q("REPOSITORY_GC_QUEUE_NAME", "repositorygc", "Queue of deleted repositories.", 0),
		q("EXPORT_ACTION_LOGS_QUEUE_NAME", "exportactionlogs", "Queue of log exports.", 0),
		q("SECSCAN_V4_NOTIFICATION_QUEUE_NAME", "secscanv4", "Queue of scanner notifications.", 0),
		q("PROXY_CACHE_BLOB_QUEUE_NAME", "proxycacheblob", "Queue of blobs to fetch.", later),
	}
}

func gantryFields() []Field {
	return []Field{
		row("GANTRY_LOG_DESTINATION", String, "stderr", used, "Where the log goes: stderr, stdout or the path of a file. QUAY_LOGGING=stdout in the environment means stdout.", env("GANTRY_LOG_DESTINATION")),
		row("GANTRY_LOG_FORMAT", String, "auto", used, "Form of the log: lines of JSON, text, or text on a terminal and JSON elsewhere.", oneOf("auto", "json", "text"), env("GANTRY_LOG_FORMAT")),
		row("GANTRY_AUDIT_STREAM", String, "", used|live, "Where the audit log goes as lines of JSON, beside the database: stdout or the path of a file, which is opened anew when it was rotated; nowhere when empty. One of several instances writes it.", env("GANTRY_AUDIT_STREAM")),
		row("GANTRY_AUDIT_RETENTION", Duration, "0s", used|live, "Age at which entries of the audit log are deleted without an archive, unless FEATURE_ACTION_LOG_ROTATION moves them; 0s keeps them.", env("GANTRY_AUDIT_RETENTION")),
		row("GANTRY_GC_RATE", Int, "200", used|live, "Manifests and blobs that garbage collection reviews each second, at most.", between(1, 100000), env("GANTRY_GC_RATE")),
		row("GANTRY_REPLICATION_RATE", Size, "0", used|live, "Bytes that each instance copies between storage locations each second, at most; 0 is no bound.", between(0, 100<<30), env("GANTRY_REPLICATION_RATE")),
		row("GANTRY_SCRUB_RATE", Size, "10MiB", used|live, "Bytes that the check of stored blobs reads each second, at most; 0 switches it off.", between(0, 10<<30), env("GANTRY_SCRUB_RATE")),
		row("GANTRY_PULL_SPOOL_SIZE", Size, "256MiB", used, "Size of the file in the data folder, pulls.spool, that takes the log of pulls while a database server is away; about 170 bytes a pull. When it is full pulls are refused, unless ALLOW_PULLS_WITHOUT_STRICT_LOGGING.", between(64<<10, 1<<40), env("GANTRY_PULL_SPOOL_SIZE")),
		row("GANTRY_HEALTH_NEEDS_DATABASE", Bool, "false", used|live, "The check of one instance fails as soon as its database does not answer, as in Quay. Otherwise it fails when pulls cannot be answered from memory any more.", env("GANTRY_HEALTH_NEEDS_DATABASE")),
	}
}

func hostedFields() []Field {
	var out []Field
	add := func(kind Kind, doc string, names ...string) {
		for _, n := range names {
			f := row(n, kind, "", 0, doc, dead(quayIO))
			f.Secret = looksSecret(n)
			out = append(out, f)
		}
	}
	add(Bool, "Payment of plans.", "FEATURE_BILLING", "FEATURE_RH_MARKETPLACE", "FEATURE_ENTITLEMENT_RECONCILIATION")
	add(String, "Payment of plans.", "BILLING_TYPE", "ENTITLEMENT_RECONCILIATION_USER_ENDPOINT", "ENTITLEMENT_RECONCILIATION_MARKETPLACE_ENDPOINT", "ENTITLEMENT_RECONCILIATION_POLL_PERIOD")
	add(String, "Payment through Stripe.", "STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY")
	add(Bool, "Export checks of new users.", "FEATURE_EXPORT_COMPLIANCE")
	add(String, "Export checks of new users.", "EXPORT_COMPLIANCE_ENDPOINT")
	add(String, "Analytics of the hosted pages.", "MIXPANEL_KEY", "MARKETO_MUNCHKIN_ID", "GOOGLE_ANALYTICS_KEY", "ANALYTICS_TYPE")
	add(String, "Place of an IP address.", "IP_DATA_API_KEY")
	add(Int, "Builds waiting, by kind of namespace.", "THREAT_NAMESPACE_MAXIMUM_BUILD_COUNT", "BILLED_NAMESPACE_MAXIMUM_BUILD_COUNT")
	add(String, "Static files of the hosted pages.", "STATIC_SITE_BUCKET")
	add(Bool, "Static files from a CDN.", "USE_CDN")
	add(String, "Metrics to CloudWatch.", "CLOUDWATCH_NAMESPACE", "CLOUDWATCH_AWS_ACCESS_KEY", "CLOUDWATCH_AWS_SECRET_KEY", "QUEUE_METRICS_TYPE")
	out = append(out, row("STATUS_TAGS", Map, "", 0, "Labels of the status page.", item(row("", String, "", 0, "Value.")), dead(quayIO)))
	return out
}
