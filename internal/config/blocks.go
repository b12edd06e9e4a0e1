package config

import (
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// The keys of nested blocks, and the blocks that need code of their own.

// redisKeys are the keys of a Redis block; other keywords of Quay's Redis
// client pass.
func redisKeys() []Field {
	return []Field{
		row("host", String, "", 0, "Host of Redis. Or else sentinels, or cluster_nodes.", check(checkHost)),
		row("port", Int, "6379", 0, "Its port.", between(1, port)),
		row("sentinels", StringList, "", 0, "host:port of each Sentinel, in place of host. Gantry's own.", oneText, check(checkNode)),
		row("sentinel_master", String, "", 0, "Name by which the Sentinels know the master."),
		row("sentinel_username", String, "", 0, "Account at the Sentinels."),
		row("sentinel_password", String, "", secret, "Password at the Sentinels."),
		row("cluster_nodes", StringList, "", 0, "host:port of some nodes of a Redis Cluster, in place of host. Gantry's own.", oneText, check(checkNode)),
		row("prefix", String, "", 0, "Beginning of the names of channels and keys, the same in all instances of a registry; made of SECRET_KEY when empty. Gantry's own.", check(checkPrefix)),
		row("username", String, "", 0, "Account at Redis."),
		row("password", String, "", secret, "Password at Redis."),
		row("db", Int, "0", 0, "Number of the database.", between(0, 1<<20)),
		row("ssl", Bool, "false", 0, "Use TLS."),
		row("ssl_ca_certs", String, "", 0, "File of the certificate authorities; those of the system and of extra_ca_certs/ when empty."),
		row("ssl_certfile", String, "", 0, "File of the client's certificate."),
		row("ssl_keyfile", String, "", 0, "File of the client's key."),
		row("ssl_cert_reqs", String, "required", 0, "Whether the server's certificate is checked.", oneOf("required", "optional", "none")),
		row("ssl_check_hostname", Bool, "true", 0, "Whether the certificate must name the host."),
		row("socket_timeout", Seconds, "", 0, "Bound on one answer."),
		row("socket_connect_timeout", Seconds, "", 0, "Bound on connecting."),
		row("socket_keepalive", Bool, "", 0, "Keep idle connections alive."),
		row("retry_on_timeout", Bool, "", 0, "Try once more after a timeout."),
		row("health_check_interval", Seconds, "", 0, "Age of an idle connection before it is tried."),
		row("max_connections", Int, "", 0, "Connections that are kept."),
	}
}

func cacheKeys() []Field {
	endpoint := keys(append(redisKeys()[1:], row("host", String, "", required, "Host of Redis.", check(checkHost)))...)
	return []Field{
		row("engine", String, "", required, "Kind of the cache.", oneOf("memcached", "inmemory", "noop", "redis", "rediscluster")),
		row("endpoint", Custom, "", 0, "Host and port of memcached.", custom("[host, port]", parseEndpoint)),
		row("timeout", Seconds, "", 0, "Bound on one look-up."),
		row("connect_timeout", Seconds, "", 0, "Bound on connecting."),
		row("predisconnect_from_db", Bool, "", 0, "Give the database connection back before a look-up."),
		row("repository_blob_cache_ttl", Duration, "60s", 0, "How long a blob's record is kept."),
		row("catalog_page_cache_ttl", Duration, "60s", 0, "How long a page of the catalog is kept."),
		row("namespace_geo_restrictions_cache_ttl", Duration, "", 0, "How long restrictions of a namespace are kept."),
		row("active_repo_tags_cache_ttl", Duration, "120s", 0, "How long a repository's tags are kept."),
		row("value_size_limit", Size, "1MiB", 0, "Largest value that is kept."),
		row("redis_config", Object, "", 0, "Redis of the cache.", func(f *Field) {
			f.Open = true
			f.Keys = []Field{
				row("primary", Object, "", 0, "Redis that is written.", endpoint, opened),
				row("replica", Object, "", 0, "Redis that is read.", endpoint, opened),
				row("startup_nodes", ObjectList, "", 0, "First nodes of a cluster.", endpoint, opened),
				row("host", String, "", 0, "Host of Redis.", check(checkHost)),
				row("port", Int, "", 0, "Its port.", between(1, port)),
				row("password", String, "", secret, "Password at Redis."),
				row("ssl", Bool, "", 0, "Use TLS."),
				row("db", Int, "", 0, "Number of the database."),
			}
		}),
	}
}

// dbKeys have no defaults, which would stand over what DB_URI says after "?".
func dbKeys() []Field {
	tls := oneOf("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
	return []Field{
		row("threadlocals", Bool, "", 0, "Option of Quay's database layer; ignored."),
		row("autorollback", Bool, "", 0, "Option of Quay's database layer; ignored."),
		row("connect_timeout", Seconds, "", 0, "Bound on connecting to one host; 10 when empty."),
		row("max_connections", Int, "", 0, "Most connections of this process to the database; 20 when empty.", between(1, 100000)),
		row("stale_timeout", Seconds, "", 0, "Age at which a connection is closed: 5 minutes idle and 30 minutes in all, or this if it is less."),
		row("timeout", Seconds, "", 0, "How long to wait for a free connection; then the answer is 503; 10 when empty."),
		row("statement_timeout", Seconds, "", 0, "Bound on one statement, which the server keeps; migrations and copies have none; 60 when empty. Gantry's own."),
		row("transaction_pooling", Bool, "", 0, "The address is that of pgbouncer, or another pooler of PostgreSQL, in transaction mode: nothing is prepared and no session is relied on; false when empty. Gantry's own."),
		row("target_session_attrs", String, "", 0, "Which of several PostgreSQL hosts to take; read-write where there are several.", oneOf("any", "read-write", "read-only", "primary", "standby", "prefer-standby")),
		row("sslmode", String, "", 0, "TLS to PostgreSQL; prefer when empty.", oneOf("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
		row("sslrootcert", String, "", 0, "File of the certificate authorities of the database; `system` for those of the system. With it, require is verify-ca."),
		row("sslcert", String, "", 0, "File of the client's certificate."),
		row("sslkey", String, "", 0, "File of the client's key."),
		row("sslpassword", String, "", secret, "Password of that key."),
		row("sslsni", Bool, "", 0, "Send the host's name in the TLS greeting; true when empty."),
		row("ssl_min_protocol_version", String, "", 0, "Lowest TLS version; TLSv1.2 when empty.", tls),
		row("ssl_max_protocol_version", String, "", 0, "Highest TLS version.", tls),
		row("sslcrl", String, "", 0, "File of revoked certificates, read at each connection; with verify-ca and verify-full."),
		row("sslcrldir", String, "", 0, "Folder of such files."),
		row("sslcompression", Bool, "", 0, "TLS compression; never done."),
		row("keepalives", Bool, "", 0, "Probe idle connections; true when empty."),
		row("keepalives_idle", Seconds, "", 0, "Idle time before the first probe; 15 when empty."),
		row("keepalives_interval", Seconds, "", 0, "Time between probes; 15 when empty."),
		row("keepalives_count", Int, "", 0, "Lost probes that end the connection; 3 when empty.", between(1, 1000)),
		row("tcp_user_timeout", Int, "", 0, "Milliseconds that sent data may stay unanswered before the connection ends; Linux."),
		row("ssl", Object, "", 0, "TLS to MySQL.", keys(
			row("ca", String, "", 0, "File of the certificate authorities of the database."),
			row("cert", String, "", 0, "File of the client's certificate."),
			row("key", String, "", 0, "File of the client's key."),
			row("check_hostname", Bool, "", 0, "Whether the certificate must name the host, where ca is given; true when empty."))),
		row("charset", String, "", 0, "Character set of MySQL; always utf8mb4."),
	}
}

func oidcKeys() []Field {
	return []Field{
		row("OIDC_SERVER", String, "", required, "Issuer's URL, ending in /.", check(checkIssuer)),
		row("CLIENT_ID", String, "", required, "Client that is registered at the provider."),
		row("CLIENT_SECRET", String, "", secret, "Secret of that client."),
		row("SERVICE_NAME", String, "", 0, "Name on the sign-in button."),
		row("SERVICE_ICON", String, "", 0, "Icon on the sign-in button."),
		row("LOGIN_SCOPES", StringList, "", 0, "Scopes that are asked for.", oneText),
		row("VERIFIED_EMAIL_CLAIM_NAME", String, "", 0, "Claim that holds the mail address."),
		row("PREFERRED_USERNAME_CLAIM_NAME", String, "", 0, "Claim that holds the user name."),
		row("PREFERRED_GROUP_CLAIM_NAME", String, "", later, "Claim that holds the groups."),
		row("LOGIN_BINDING_FIELD", String, "", 0, "Field that ties the account to an internal one."),
		row("OIDC_ISSUER", String, "", 0, "Issuer that tokens name, where it is not OIDC_SERVER."),
		row("OIDC_ISSUERS", StringList, "", later, "Further issuers that are believed.", oneText),
		row("OIDC_AUDIENCES", StringList, "", later, "Audiences that are taken.", oneText),
		row("OIDC_ALLOWED_CLIENTS", StringList, "", later, "Clients whose tokens are taken.", oneText),
		row("OIDC_DISABLE_USER_ENDPOINT", Bool, "", later, "Do not ask the provider's user endpoint."),
		row("OIDC_ENDPOINT_CUSTOM_PARAMS", Map, "", 0, "Parameters to add to an endpoint of the provider.", item(row("", Map, "", 0, "Parameters.", item(row("", String, "", 0, "Value."))))),
		row("USE_PKCE", Bool, "", later, "Prove with PKCE who began the sign-in."),
		row("PKCE_METHOD", String, "S256", later, "Method of PKCE.", oneOf("S256", "plain")),
		row("PUBLIC_CLIENT", Bool, "", later, "The client has no secret."),
		row("SUPERUSER_GROUP", String, "", later, "Group whose members are superusers."),
		row("GLOBAL_READONLY_SUPERUSER_GROUP", String, "", later, "Group whose members read everything."),
		row("DEBUGGING", Bool, "", 0, "Log the exchange with the provider."),
	}
}

func githubKeys() []Field {
	return []Field{
		row("GITHUB_ENDPOINT", String, "https://github.com/", 0, "Address of GitHub or GitHub Enterprise.", check(checkURL)),
		row("API_ENDPOINT", String, "", 0, "Address of its API; found from GITHUB_ENDPOINT when empty.", check(checkURL)),
		row("CLIENT_ID", String, "", required, "Application that is registered there."),
		row("CLIENT_SECRET", String, "", required|secret, "Secret of that application."),
		row("ORG_RESTRICT", Bool, "false", 0, "Members of ALLOWED_ORGANIZATIONS only."),
		row("ALLOWED_ORGANIZATIONS", StringList, "", 0, "Organizations whose members may sign in."),
		row("LOGIN_BINDING_FIELD", String, "", 0, "Field that ties the account to an internal one."),
	}
}

func logsKeys() []Field {
	host := row("host", String, "", required, "Host of the service.", check(checkHostURL))
	splunk := func(token string) []Field {
		return []Field{
			host,
			row("port", Int, "8089", 0, "Its port.", between(1, port)),
			row(token, String, "", required|secret, "Token of the service."),
			row("url_scheme", String, "https", 0, "Scheme of its address.", oneOf("http", "https")),
			row("verify_ssl", Bool, "true", 0, "Check its certificate."),
			row("ssl_ca_path", String, "", 0, "File of its certificate authority."),
			row("index", String, "", 0, "Index of the entries."),
			row("index_prefix", String, "", 0, "Beginning of the index's name."),
			row("splunk_host", String, "", 0, "Host that entries carry."),
			row("splunk_sourcetype", String, "", 0, "Source type that entries carry."),
			row("timeout", Seconds, "", 0, "Bound on one call."),
			row("max_results", Int, "", 0, "Most results of a search."),
			row("export_batch_size", Int, "", 0, "Entries read at once for an export."),
			row("search_timeout", Seconds, "", 0, "Bound on a search."),
			row("search_max_retries", Int, "", 0, "Tries of a search."),
			row("search_poll_interval", Seconds, "", 0, "How often a search is asked for its result."),
		}
	}
	return []Field{
		row("producer", String, "", 0, "Where entries are sent.", oneOf("kafka", "elasticsearch", "kinesis_stream", "splunk", "splunk_hec")),
		row("elasticsearch_config", Object, "", 0, "Elasticsearch.", keys(
			host,
			row("port", Int, "443", 0, "Its port.", between(1, port)),
			row("access_key", String, "", secret, "Access key."),
			row("secret_key", String, "", secret, "Secret key."),
			row("aws_region", String, "", 0, "Region at Amazon."),
			row("use_ssl", Bool, "true", 0, "Use TLS."),
			row("index_prefix", String, "logentry_", 0, "Beginning of the indices' names."),
			row("index_settings", Object, "", 0, "Settings of new indices.", opened))),
		row("kafka_config", Object, "", 0, "Kafka.", keys(
			row("bootstrap_servers", StringList, "", required, "First servers.", check(checkHostPort), oneText),
			row("topic", String, "", 0, "Topic of the entries."),
			row("max_block_seconds", Seconds, "", 0, "Bound on sending."))),
		row("kinesis_stream_config", Object, "", 0, "Kinesis.", keys(
			row("stream_name", String, "", required, "Stream of the entries."),
			row("aws_region", String, "", 0, "Region at Amazon."),
			row("aws_access_key", String, "", secret, "Access key."),
			row("aws_secret_key", String, "", secret, "Secret key."),
			row("connect_timeout", Seconds, "", 0, "Bound on connecting."),
			row("read_timeout", Seconds, "", 0, "Bound on an answer."),
			row("retries", Int, "", 0, "Tries."),
			row("max_pool_connections", Int, "", 0, "Connections that are kept."))),
		row("splunk_config", Object, "", later, "Splunk.", func(f *Field) { f.Keys, f.Open = splunk("bearer_token"), true }),
		row("splunk_hec_config", Object, "", later, "Splunk's HTTP event collector.", func(f *Field) { f.Keys, f.Open = splunk("hec_token"), true }),
	}
}

// storageClasses returns the parameters of each class of storage.
func storageClasses() map[string][]Field {
	path := row("storage_path", String, "", 0, "Path of all objects.")
	text := func(name, doc string) Field {
		f := row(name, String, "", 0, doc)
		f.Secret = looksSecret(name)
		return f
	}
	must := func(f Field) Field { f.Required = true; return f }
	num := func(name, def, doc string, lo, hi int64) Field { return row(name, Int, def, 0, doc, between(lo, hi)) }
	yesNo := func(name, def, doc string) Field { return row(name, Bool, def, 0, doc) }
	hostKey := row("host", String, "", 0, "Host of the service.", check(checkHostURL))
	portKey := row("port", Int, "", 0, "Its port.", between(1, port))
	endpoint := row("endpoint_url", String, "", 0, "URL of the service.", check(checkURL))
	sig := row("signature_version", String, "", 0, "Version of the signatures.", oneOf("s3v4", "s3", "v4", "v2"))
	minMB := num("minimum_chunk_size_mb", "5", "Smallest part of an upload, in MiB.", 1, 5120)

	s3 := []Field{
		path,
		must(text("s3_bucket", "Name of the bucket.")),
		text("s3_access_key", "Access key; credentials of the machine when empty."),
		text("s3_secret_key", "Secret key."),
		text("s3_region", "Region."),
		text("aws_session_token", "Session token."),
		hostKey, portKey, endpoint, sig, minMB,
		num("maximum_chunk_size_gb", "5", "Largest part of an upload, in GiB.", 1, 5),
		yesNo("is_secure", "", "Use TLS."),
	}
	rados := []Field{
		path,
		must(row("hostname", String, "", 0, "Host of the service.", check(checkHostPort))),
		yesNo("is_secure", "true", "Use TLS."),
		portKey,
		must(text("access_key", "Access key.")),
		must(text("secret_key", "Secret key.")),
		must(text("bucket_name", "Name of the bucket.")),
		text("region_name", "Region."),
		sig, minMB,
		num("maximum_chunk_size_mb", "100", "Largest part of an upload, in MiB.", 1, 5120),
		yesNo("server_side_assembly", "true", "Let the service join the parts."),
	}
	cloudFront := []Field{
		must(text("cloudfront_distribution_domain", "Domain of the distribution.")),
		must(text("cloudfront_key_id", "Id of the signing key.")),
		must(row("cloudfront_privatekey_filename", String, "", 0, "File of the signing key in this folder.")),
		row("cloudfront_distribution_org_overrides", Object, "", 0, "Domains of single organizations.", opened),
	}
	cloudFlare := []Field{
		must(text("cloudflare_domain", "Domain at Cloudflare.")),
		row("cloudflare_privatekey_filename", String, "", 0, "File of the signing key in this folder."),
	}
	akamai := []Field{must(text("akamai_domain", "Domain at Akamai.")), text("akamai_shared_secret", "Key shared with Akamai, in hex digits."),
		row("amz_encryption_token", String, "", secret, "Key of 16, 24 or 32 bytes that encrypts the signature of the bucket's URL; not encrypted when empty.")}
	return map[string][]Field{
		"LocalStorage": {must(path)},
		"S3Storage":    s3,
		"STSS3Storage": {
			path, must(text("s3_bucket", "Name of the bucket.")),
			text("sts_role_arn", "Role to take."),
			row("sts_user_access_key", String, "", secret, "Access key of the user who takes it."),
			row("sts_user_secret_key", String, "", secret, "Secret key of that user."),
			row("sts_web_identity_token_file", String, "", 0, "File of the token that takes it."),
			text("sts_role_session_name", "Name of the session."),
			text("s3_region", "Region."),
			hostKey, portKey, endpoint, sig, minMB,
			num("maximum_chunk_size_gb", "5", "Largest part of an upload, in GiB.", 1, 5),
		},
		"CloudFrontedS3Storage": append(slices.Clone(s3), cloudFront...),
		"CloudFlareStorage":     append(slices.Clone(s3), cloudFlare...),
		"AkamaiS3Storage":       append(slices.Clone(s3), akamai...),
		"GoogleCloudStorage": {
			path,
			must(text("access_key", "Access key (HMAC).")), must(text("secret_key", "Secret key (HMAC).")),
			must(text("bucket_name", "Name of the bucket.")),
			row("boto_timeout", Seconds, "60", 0, "Bound on one call."),
			minMB, sig, endpoint,
			num("maximum_chunk_size_gb", "5", "Largest part of an upload, in GiB.", 1, 5),
		},
		"RadosGWStorage":  rados,
		"RHOCSStorage":    rados,
		"IBMCloudStorage": rados,
		"AzureStorage": {
			path,
			must(text("azure_container", "Name of the container.")),
			must(text("azure_account_name", "Name of the account.")),
			row("azure_account_key", String, "", secret, "Key of the account."),
			row("sas_token", String, "", secret, "Shared access signature, instead of the key."),
			row("endpoint_url", String, "", 0, "URL of the service, for other clouds; the primary endpoint.", check(checkAzureEndpoint)),
		},
		"SwiftStorage": {
			path,
			must(text("swift_container", "Name of the container.")),
			must(row("auth_url", String, "", 0, "Address of the sign-in service.", check(checkURL))),
			num("auth_version", "1", "Version of the sign-in service.", 1, 3),
			must(text("swift_user", "Account.")),
			must(row("swift_password", String, "", secret, "Password or key of the account.")),
			row("os_options", Object, "", 0, "OpenStack's names: tenant_id, region_name, user_domain_name, project_name and so on.", opened),
			row("ca_cert_path", String, "", 0, "File of the service's certificate authority."),
			row("temp_url_key", String, "", secret, "Key that signs temporary addresses; clients download through the registry when empty."),
			yesNo("simple_path_concat", "false", "Join paths without cleaning them."),
			row("connect_timeout", Seconds, "", 0, "Bound on connecting."),
			num("retry_count", "5", "Tries.", 0, 100),
			yesNo("retry_on_ratelimit", "true", "Try again when the service says it is too much."),
		},
		"MultiCDNStorage": {
			path,
			row("storage_config", Object, "", required, "Parameters of the bucket behind.", opened),
			row("providers", Map, "", required, "The CDNs: a name for each, its class and parameters.", item(row("", Custom, "", 0, "A CDN.", custom("[class, {parameters}]", parseProvider)))),
			row("default_provider", String, "", required, "CDN that is used where no rule says otherwise."),
			row("rules", ObjectList, "", 0, "Which CDN (target) for which namespace, host or continent; the first rule that fits counts.", opened),
		},
	}
}

// classNames are the storage classes in the order messages list them.
var classNames = []string{"LocalStorage", "S3Storage", "STSS3Storage", "CloudFrontedS3Storage", "GoogleCloudStorage", "RadosGWStorage", "RHOCSStorage", "IBMCloudStorage", "AzureStorage", "SwiftStorage", "CloudFlareStorage", "AkamaiS3Storage", "MultiCDNStorage"}

// A Location is one storage location of DISTRIBUTED_STORAGE_CONFIG.
type Location struct {
	ID     string
	Class  string         // LocalStorage, S3Storage, …
	Params map[string]any // string, bool, int64, time.Duration, map[string]any; defaults filled in
}

// String returns the text parameter of that name, or "".
func (l Location) String(name string) string { s, _ := l.Params[name].(string); return s }

// Bool returns the boolean parameter of that name, or false.
func (l Location) Bool(name string) bool { b, _ := l.Params[name].(bool); return b }

// Int returns the whole-number parameter of that name, or 0.
func (l Location) Int(name string) int64 { i, _ := l.Params[name].(int64); return i }

// parseStorage reads DISTRIBUTED_STORAGE_CONFIG; its value is a []Location.
func parseStorage(c *checker, path string, n *node) (any, bool) {
	if n.kind != object {
		c.fail(n, path, "is %s; it must be a block {name: [class, {parameters}]}", n.what())
		return nil, false
	}
	out, ok := make([]Location, 0, len(n.pairs)), true
	for _, p := range n.pairs {
		at := dot(path, p.key)
		if err := checkID(p.key); err != nil {
			c.fail(&node{line: p.line, col: p.col}, at, "a location's name is not allowed: %s", err)
			ok = false
			continue
		}
		loc, good := c.classed(at, p.val, storageClasses())
		loc.ID = p.key
		ok = ok && good
		out = append(out, loc)
	}
	return out, ok
}

// parseProvider reads one CDN of a MultiCDNStorage; its value is a map with
// "class" and "params".
func parseProvider(c *checker, path string, n *node) (any, bool) {
	classes := map[string][]Field{}
	for name, ks := range storageClasses() {
		classes[name] = slices.DeleteFunc(slices.Clone(ks), func(f Field) bool { return f.Name == "s3_bucket" })
	}
	loc, ok := c.classed(path, n, classes)
	return map[string]any{"class": loc.Class, "params": loc.Params}, ok
}

// classed reads [class, {parameters}].
func (c *checker) classed(path string, n *node, classes map[string][]Field) (Location, bool) {
	if n.kind != list || len(n.items) != 2 || n.items[0].kind != scalar || n.items[1].kind != object && !n.items[1].null() {
		c.fail(n, path, "must be a list of two: the class and a block of its parameters, such as [S3Storage, {s3_bucket: …}]")
		return Location{}, false
	}
	class := n.items[0].text
	ks, known := classes[class]
	if !known {
		msg := "is not a storage class"
		if near := nearest(class, classNames); near != "" {
			msg += "; did you mean " + near + "?"
		}
		c.fail(n.items[0], join(path, 0), "%q %s (the classes are %s)", clip(class), msg, strings.Join(classNames, ", "))
		return Location{Class: clip(class)}, false
	}
	params, ok := c.object(ks, false, join(path, 1), n.items[1])
	return Location{Class: class, Params: params}, ok
}

// parseEndpoint reads [host, port], or "host:port".
func parseEndpoint(c *checker, path string, n *node) (any, bool) {
	if n.kind == scalar && checkHostPort(n.text) == nil {
		host, p := splitHostPort(n.text)
		return []string{host, p}, true
	}
	if n.kind == list && len(n.items) == 2 && n.items[0].kind == scalar && n.items[1].kind == scalar {
		host, p := n.items[0].text, n.items[1].text
		if checkHost(host) == nil && checkHostPort(host+":"+p) == nil {
			return []string{host, p}, true
		}
	}
	c.fail(n, path, "must be a list of a host and a port, such as [127.0.0.1, 18080]")
	return nil, false
}

// pairOf reads the value of BUILD_MANAGER and of HEALTH_CHECKER: a name and a
// block of options.
func (c *checker) pairOf(path string, n *node, names []string) (string, *node, bool) {
	bad := func(at *node) (string, *node, bool) {
		c.fail(at, path, "must be a list of two: one of %s, and a block of its options", strings.Join(names, ", "))
		return "", nil, false
	}
	if n.kind != list || len(n.items) == 0 || len(n.items) > 2 || n.items[0].kind != scalar {
		return bad(n)
	}
	if !slices.Contains(names, n.items[0].text) {
		return bad(n.items[0])
	}
	opts := &node{kind: object, line: n.line, col: n.col}
	if len(n.items) == 2 && !n.items[1].null() {
		if opts = n.items[1]; opts.kind != object {
			return bad(opts)
		}
	}
	return n.items[0].text, opts, true
}

// parseHealthChecker reads HEALTH_CHECKER; its value is a map with "name" and
// "options".
func parseHealthChecker(c *checker, path string, n *node) (any, bool) {
	name, opts, ok := c.pairOf(path, n, []string{"LocalHealthCheck", "RDSAwareHealthCheck"})
	if !ok {
		return nil, false
	}
	var ks []Field
	if name == "RDSAwareHealthCheck" {
		ks = []Field{
			row("access_key", String, "", secret, "Access key at Amazon."),
			row("secret_key", String, "", secret, "Secret key at Amazon."),
			row("db_instance", String, "", required, "Name of the database instance."),
			row("region", String, "us-east-1", 0, "Its region."),
		}
	}
	v, ok := c.object(ks, false, join(path, 1), opts)
	return map[string]any{"name": name, "options": v}, ok
}

func executorKeys() []Field {
	text := func(name, def, doc string) Field { return row(name, String, def, 0, doc) }
	return []Field{
		row("EXECUTOR", String, "", required, "Kind of the builders.", oneOf("kubernetes", "kubernetesPodman", "ec2", "popen")),
		text("NAME", "", "Name of the executor; unique."),
		row("DEBUG", Bool, "false", 0, "Keep builders for inspection."),
		row("NAMESPACE_WHITELIST", StringList, "", 0, "Namespaces that it builds for; all when empty."),
		row("STAGED_ROLLOUT", Float, "", 0, "Part of the namespaces that it builds for.", between(0, 1)),
		row("MINIMUM_RETRY_THRESHOLD", Int, "0", 0, "Used only while a build has this many tries left."),
		row("SETUP_TIME", Seconds, "500", 0, "Time that a builder has to start."),
		text("QUAY_USERNAME", "", "Account that pulls the builder's image."),
		row("QUAY_PASSWORD", String, "", secret, "Password of that account."),
		text("WORKER_IMAGE", "", "Image of the builder in a machine."), text("WORKER_TAG", "", "Tag of that image."),
		text("BUILDER_CONTAINER_IMAGE", "", "Image of the builder in a pod."),
		text("BUILDER_VM_CONTAINER_IMAGE", "", "Image of the machine in a pod."),
		text("BUILDER_NAMESPACE", "builder", "Kubernetes namespace of the builders."),
		text("SERVICE_ACCOUNT_NAME", "quay-builder-sa", "Service account of the builders."),
		row("SERVICE_ACCOUNT_TOKEN", String, "", secret, "Token of that account."),
		row("K8S_API_SERVER", String, "", 0, "Kubernetes API that starts builders.", check(checkHostURL)),
		text("K8S_API_TLS_CA", "", "File of its certificate authority."),
		text("K8S_API_TLS_CERT", "", "File of the client's certificate."), text("K8S_API_TLS_KEY", "", "File of the client's key."),
		row("K8S_API_TIMEOUT", Seconds, "20", 0, "Bound on one call."),
		row("KUBERNETES_DISTRIBUTION", String, "basic", 0, "Kind of the cluster.", oneOf("basic", "openshift")),
		row("VOLUME_SIZE", String, "", 0, "Disk of a builder.", check(checkQuantity)), row("VM_VOLUME_SIZE", String, "", 0, "Disk of a machine.", check(checkQuantity)),
		row("VM_MEMORY_LIMIT", String, "4G", 0, "Memory of a machine.", check(checkQuantity)),
		row("CONTAINER_MEMORY_REQUEST", String, "3968Mi", 0, "Memory asked for.", check(checkQuantity)),
		row("CONTAINER_MEMORY_LIMITS", String, "5120Mi", 0, "Memory at most.", check(checkQuantity)),
		row("CONTAINER_CPU_REQUEST", String, "500m", 0, "Processors asked for.", check(checkQuantity)),
		row("CONTAINER_CPU_LIMITS", String, "1000m", 0, "Processors at most.", check(checkQuantity)),
		text("NODE_SELECTOR_LABEL_KEY", "", "Label of the nodes that builders run on."), text("NODE_SELECTOR_LABEL_VALUE", "", "Its value."),
		row("IMAGE_PULL_POLICY", String, "Always", 0, "When the builder's image is pulled.", oneOf("Always", "IfNotPresent", "Never")),
		text("IMAGE_PULL_SECRET_NAME", "builder", "Secret that pulls it."),
		row("MAXIMUM_JOB_TIME", Seconds, "7200", 0, "Bound on one build."),
		row("RETENTION_AFTER_FINISHED", Seconds, "120", 0, "How long a finished builder is kept."),
		row("DNS_POLICY", String, "Default", 0, "DNS of the builder.", oneOf("Default", "ClusterFirst", "ClusterFirstWithHostNet", "None")),
		text("HTTP_PROXY", "", "Proxy of the builder."), text("HTTPS_PROXY", "", "Proxy of the builder for HTTPS."), text("NO_PROXY", "", "Hosts reached without it."),
		text("CONTAINER_RUNTIME", "", "Program that builds."), row("BUILDAH_ISOLATION", String, "chroot", later, "Isolation of steps.", oneOf("chroot", "oci", "rootless")),
		row("INSECURE", Bool, "", 0, "Reach the registry without checking its certificate."),
		text("CA_CERT", "", "Certificate authority of the registry."), row("EXTRA_CA_CERTS", StringList, "", 0, "Further authorities."),
		row("SSH_AUTHORIZED_KEYS", StringList, "", 0, "Keys that may sign in to a machine."),
		row("MAX_LIFETIME_S", Seconds, "10800", 0, "Longest life of a machine."),
		text("EC2_REGION", "", "Region at Amazon."), row("AWS_ACCESS_KEY", String, "", secret, "Access key."), row("AWS_SECRET_KEY", String, "", secret, "Secret key."),
		text("COREOS_AMI", "", "Image of the machine."), text("COREOS_CHANNEL", "stable", "Release channel of it."),
		text("EC2_INSTANCE_TYPE", "", "Size of the machine."), text("EC2_KEY_NAME", "", "SSH key of the machine."),
		text("EC2_VPC_SUBNET_ID", "", "Subnet of the machine."), row("EC2_SECURITY_GROUP_IDS", StringList, "", 0, "Its security groups."),
		row("BLOCK_DEVICE_SIZE", Int, "48", 0, "Its disk in GiB.", between(1, 1<<20)),
	}
}

// parseBuildManager reads BUILD_MANAGER; its value is a map with "name" and
// "options".
func parseBuildManager(c *checker, path string, n *node) (any, bool) {
	name, opts, ok := c.pairOf(path, n, []string{"ephemeral", "enterprise", "external"})
	if !ok {
		return nil, false
	}
	var ks []Field
	if name == "ephemeral" {
		single := executorKeys()
		for i := range single {
			single[i].Required = false
		}
		ks = []Field{
			row("ALLOWED_WORKER_COUNT", Int, "1", 0, "Builders that run at once.", between(0, 100000)),
			row("ORCHESTRATOR_PREFIX", String, "", 0, "Beginning of the keys in Redis."),
			row("ORCHESTRATOR", Object, "", 0, "Redis that holds the state of builds.", keys(
				row("REDIS_HOST", String, "", required, "Host of Redis.", check(checkHost)),
				row("REDIS_PORT", Int, "6379", 0, "Its port.", between(1, port)),
				row("REDIS_PASSWORD", String, "", secret, "Password at Redis."),
				row("REDIS_SSL", Bool, "false", 0, "Use TLS."),
				row("REDIS_DB", Int, "0", 0, "Number of the database."),
				row("REDIS_SKIP_KEYSPACE_EVENT_SETUP", Bool, "false", 0, "Do not switch keyspace events on."))),
			row("JOB_REGISTRATION_TIMEOUT", Seconds, "30", 0, "Time that a builder has to report."),
			row("MACHINE_MAX_TIME", Seconds, "7200", 0, "Bound on one build."),
			row("EXECUTORS", ObjectList, "", 0, "Ways to start builders, in the order they are tried.", keys(executorKeys()...)),
			row("EXECUTOR", String, "", 0, "The one way to start builders, in old files.", oneOf("kubernetes", "kubernetesPodman", "ec2", "popen")),
			row("EXECUTOR_CONFIG", Object, "", 0, "Its options.", keys(single...)),
		}
	}
	v, ok := c.object(ks, name != "ephemeral", join(path, 1), opts)
	return map[string]any{"name": name, "options": v}, ok
}

// checkNode takes a host and its port.
func checkNode(s string) error {
	if _, p, err := net.SplitHostPort(s); err != nil || p == "" {
		return errors.New("it must be a host and a port, such as redis-1:6379")
	}
	return checkHostPort(s)
}

// checkPrefix takes the prefix of the bus.
func checkPrefix(s string) error {
	if len(s) > 64 || !prefixText.MatchString(s) {
		return errors.New("it must be 1 to 64 letters, digits and . _ - : /")
	}
	return nil
}

func checkNamespace(s string) error {
	var e *gantry.Error
	if err := gantry.CheckNamespace(s); errors.As(err, &e) {
		return errors.New("a namespace is lower-case letters and digits with single '.', '_' or '-' between them, 2 to 255 long")
	}
	return nil
}

func checkRegexp(s string) error {
	if len(s) > 1000 {
		return errors.New("it is longer than 1000 characters")
	}
	if _, err := regexp.Compile(s); err != nil {
		return errors.New("it must be a regular expression")
	}
	return nil
}

var (
	quantityText = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|[kKMGTPE]i?)?$`)
	metricText   = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	prefixText   = regexp.MustCompile(`^[a-zA-Z0-9._:/-]+$`)
	tokenText    = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

func checkQuantity(s string) error {
	if !quantityText.MatchString(s) {
		return errors.New("it must be a Kubernetes quantity, such as 8G, 5120Mi or 500m")
	}
	return nil
}

func checkMetricName(s string) error {
	if !metricText.MatchString(s) {
		return errors.New("it must be letters, digits and '_'")
	}
	return nil
}

// checkToken takes the name of a cookie.
func checkToken(s string) error {
	if !tokenText.MatchString(s) {
		return errors.New("it must be letters, digits, '-' and '_'")
	}
	return nil
}

// checkAzureEndpoint refuses the secondary, read-only endpoint of an account:
// Azure answers writes there with an authentication error that misleads.
func checkAzureEndpoint(s string) error {
	if err := checkURL(s); err != nil {
		return err
	}
	host, _, _ := strings.Cut(s[strings.Index(s, "://")+3:], ".")
	if strings.HasSuffix(host, "-secondary") && strings.Contains(s, ".blob.") {
		return errors.New("it is the secondary endpoint, which is read-only; give the primary one")
	}
	return nil
}
