package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What must hold between fields. Each check reads the values and reports at
// the field that is to be changed.

// wrong reports a problem of a field at the place it was written.
func (l *loader) wrong(sev Severity, field, format string, args ...any) {
	l.problem(l.finding(sev, field, "", format, args...))
}

// finding is a problem of field at the place where it, or else the field
// because of which it matters, was written.
func (l *loader) finding(sev Severity, field, because, format string, args ...any) Problem {
	p := Problem{Severity: sev, Field: field, Message: fmt.Sprintf(format, args...), ignorable: true}
	top, _, _ := strings.Cut(field, ".")
	if !l.conf.Explicit(top) {
		top, _, _ = strings.Cut(because, ":")
	}
	if o, ok := l.conf.explicit[top]; ok {
		p.File, p.Line, p.Column = o.file, o.n.line, o.n.col
	} else {
		p.File = l.conf.Bundle.File
	}
	return p
}

func (l *loader) text(field string) string    { s, _ := l.conf.values[field].(string); return s }
func (l *loader) on(field string) bool        { b, _ := l.conf.values[field].(bool); return b }
func (l *loader) texts(field string) []string { s, _ := l.conf.values[field].([]string); return s }
func (l *loader) written(field string) bool   { return l.conf.Explicit(field) }
func (l *loader) block(field string) block    { m, _ := l.conf.values[field].(map[string]any); return m }
func (l *loader) time(field string) time.Duration {
	d, _ := l.conf.values[field].(time.Duration)
	return d
}

// A block is the value of an Object.
type block map[string]any

func (b block) text(key string) string { s, _ := b[key].(string); return s }
func (b block) on(key string) bool     { v, _ := b[key].(bool); return v }

// needs reports each of fields that is empty although why, a field or
// "FIELD: value", needs it.
func (l *loader) needs(why string, fields ...string) {
	for _, f := range fields {
		if v, ok := l.conf.values[f]; !ok || equal(v, nil) {
			l.problem(l.finding(Error, f, why, "is missing; %s needs it", why))
		}
	}
}

func (l *loader) cross() {
	l.crossDatabase()
	l.crossTLS()
	l.crossStorage()
	l.crossAuth()
	l.crossLogin()
	l.crossMail()
	l.crossTags()
	l.crossLogs()
	l.crossScanner()
	l.crossBuilds()
	l.crossRest()
}

func (l *loader) crossDatabase() {
	uri := l.text("DB_URI")
	d, err := ParseDBURI(uri)
	if uri == "" || err != nil { // reported where it was read
		return
	}
	if d.Dialect != "sqlite" {
		// Every instance must have the same keys, and a key that is lost with
		// its machine takes the secrets of the database along.
		for _, f := range []string{"SECRET_KEY", "DATABASE_SECRET_KEY"} {
			if l.text(f) == "" {
				p := l.finding(Error, f, "DB_URI", "is missing; DB_URI names a database server, and then it must be written, the same for every instance: take it from the old configuration or, for a new registry, from `openssl rand -hex 32`")
				p.ignorable = false // going on would lose the secrets in the database
				l.problem(p)
			}
		}
	}
	args := l.block("DB_CONNECTION_ARGS")
	for _, key := range []string{"sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir"} {
		l.fileThere("DB_CONNECTION_ARGS."+key, args.text(key))
	}
	ssl, _ := args["ssl"].(map[string]any)
	for _, key := range []string{"ca", "cert", "key"} {
		l.fileThere("DB_CONNECTION_ARGS.ssl."+key, block(ssl).text(key))
	}
	if strings.HasPrefix(args.text("sslmode"), "verify-") && args.text("sslrootcert") == "" {
		l.wrong(Warning, "DB_CONNECTION_ARGS.sslmode", "%s without sslrootcert checks the server against the authorities of the system only", args.text("sslmode"))
	}
	if d.Dialect == "mysql" && args.text("sslmode") != "" {
		l.wrong(Warning, "DB_CONNECTION_ARGS.sslmode", "has no effect on MySQL; write ssl: {ca: …}")
	}
	if d.Dialect == "postgres" && ssl != nil {
		l.wrong(Warning, "DB_CONNECTION_ARGS.ssl", "has no effect on PostgreSQL; write sslmode and sslrootcert")
	}
	if d.Dialect == "sqlite" && len(l.texts("DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS")) > 1 && l.on("FEATURE_STORAGE_REPLICATION") {
		l.wrong(Warning, "DB_URI", "SQLite serves one machine; several sites need PostgreSQL or MySQL")
	}
}

// fileThere warns of a file that is named and cannot be read here.
func (l *loader) fileThere(field, path string) {
	if path == "" || l.files.elsewhere(path) {
		return
	}
	if _, err := l.files.stat(path); err != nil {
		l.wrong(Warning, field, "the file %s cannot be read here: %s", clip(path), reason(err))
	}
}

func (l *loader) crossTLS() {
	b := &l.conf.Bundle
	host, _ := splitHostPort(l.text("SERVER_HOSTNAME"))
	if l.text("PREFERRED_URL_SCHEME") == "https" && l.written("PREFERRED_URL_SCHEME") && !l.on("EXTERNAL_TLS_TERMINATION") && b.CertFile == "" && b.KeyFile == "" {
		l.wrong(Error, "PREFERRED_URL_SCHEME", "is https, and neither ssl.cert and ssl.key are there nor is EXTERNAL_TLS_TERMINATION on; put the two files beside config.yaml, or write EXTERNAL_TLS_TERMINATION: true where a proxy in front ends TLS")
	}
	if b.CertFile != "" && b.KeyFile != "" {
		if pair, err := tls.X509KeyPair(b.cert, b.key); err == nil && pair.Leaf != nil {
			leaf := pair.Leaf
			at := func(format string, args ...any) {
				l.problem(Problem{Severity: Warning, File: b.CertFile, Message: fmt.Sprintf(format, args...)})
			}
			if host != "" && leaf.VerifyHostname(strings.Trim(host, "[]")) != nil {
				at("the certificate does not cover the host of SERVER_HOSTNAME, %s; clients will refuse it", host)
			}
			switch {
			case l.now.Before(leaf.NotBefore):
				at("the certificate begins on %s; clients refuse it until then", leaf.NotBefore.UTC().Format(time.DateOnly))
			case l.now.After(leaf.NotAfter):
				at("the certificate ended on %s; clients refuse it", leaf.NotAfter.UTC().Format(time.DateOnly))
			case l.now.Add(14 * 24 * time.Hour).After(leaf.NotAfter):
				at("the certificate ends on %s; renew it", leaf.NotAfter.UTC().Format(time.DateOnly))
			}
		}
	}
	var old []string
	good := 0
	for _, p := range l.texts("SSL_PROTOCOLS") {
		if p == "TLSv1.2" || p == "TLSv1.3" {
			good++
		} else {
			old = append(old, p)
		}
	}
	switch {
	case good == 0 && l.written("SSL_PROTOCOLS"):
		l.wrong(Error, "SSL_PROTOCOLS", "holds neither TLSv1.2 nor TLSv1.3; add one of them")
	case len(old) > 0:
		l.wrong(Warning, "SSL_PROTOCOLS", "%s is broken and not offered; remove it", strings.Join(old, ", "))
	}
	if l.text("SESSION_COOKIE_SAMESITE") == "None" && !l.on("SESSION_COOKIE_SECURE") {
		l.wrong(Warning, "SESSION_COOKIE_SAMESITE", "browsers take None with SESSION_COOKIE_SECURE: true only")
	}
}

func (l *loader) crossStorage() {
	locs, _ := l.conf.values["DISTRIBUTED_STORAGE_CONFIG"].([]Location)
	ids := make([]string, 0, len(locs))
	for _, loc := range locs {
		ids = append(ids, loc.ID)
		l.crossLocation(loc)
	}
	if l.written("DISTRIBUTED_STORAGE_CONFIG") && len(locs) == 0 {
		l.wrong(Error, "DISTRIBUTED_STORAGE_CONFIG", "names no location; write one, or remove the field to keep files in the data folder")
	}
	known := func(field string, names ...string) {
		for _, id := range names {
			if id == "" || slices.Contains(ids, id) {
				continue
			}
			switch near := nearest(id, ids); {
			case len(ids) == 0:
				l.wrong(Error, field, "%q is not a location: DISTRIBUTED_STORAGE_CONFIG names none", clip(id))
			case near != "":
				l.wrong(Error, field, "%q is not a location of DISTRIBUTED_STORAGE_CONFIG; did you mean %s?", clip(id), near)
			default:
				l.wrong(Error, field, "%q is not a location of DISTRIBUTED_STORAGE_CONFIG; it must be one of %s", clip(id), strings.Join(ids, ", "))
			}
		}
	}
	if locs != nil || !l.malformed("DISTRIBUTED_STORAGE_CONFIG") {
		known("DISTRIBUTED_STORAGE_PREFERENCE", l.texts("DISTRIBUTED_STORAGE_PREFERENCE")...)
		known("DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS", l.texts("DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS")...)
		for _, f := range []string{"USERFILES_LOCATION", "LOG_ARCHIVE_LOCATION", "ACTION_LOG_ARCHIVE_LOCATION"} {
			known(f, l.text(f))
		}
	}
	if !l.on("FEATURE_STORAGE_REPLICATION") {
		return
	}
	if len(l.texts("DISTRIBUTED_STORAGE_PREFERENCE")) == 0 {
		l.wrong(Error, "FEATURE_STORAGE_REPLICATION", "needs DISTRIBUTED_STORAGE_PREFERENCE, in config.yaml or, for each site, as QUAY_DISTRIBUTED_STORAGE_PREFERENCE in the environment")
	}
	if len(locs) == 1 {
		l.wrong(Warning, "FEATURE_STORAGE_REPLICATION", "copies between locations, and there is only one")
	}
	if len(l.texts("DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS")) == 0 {
		l.wrong(Warning, "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS", "is empty: nothing is copied unless a namespace asks for a location of its own")
	}
	for _, loc := range locs {
		if loc.Class == "LocalStorage" {
			l.wrong(Warning, "DISTRIBUTED_STORAGE_CONFIG."+loc.ID, "is LocalStorage, which only this machine can read; between machines, replication needs an object store")
		}
	}
}

// malformed reports whether field has an error already.
func (l *loader) malformed(field string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool {
		return p.Severity == Error && (p.Field == field || strings.HasPrefix(p.Field, field+".") || strings.HasPrefix(p.Field, field+"["))
	})
}

func (l *loader) crossLocation(loc Location) {
	at := "DISTRIBUTED_STORAGE_CONFIG." + loc.ID
	pair := func(a, b string) {
		if (loc.String(a) == "") != (loc.String(b) == "") {
			l.wrong(Error, at, "%s and %s go together: write both, or neither", a, b)
		}
	}
	inFolder := func(key string) {
		name := loc.String(key)
		if name == "" || l.conf.Bundle.Dir == "" {
			return
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(l.conf.Bundle.Dir, name)
		}
		if _, err := l.files.stat(name); err != nil && !l.files.elsewhere(name) {
			l.wrong(Error, at+"."+key, "the file %s is not there; put it beside config.yaml", clip(loc.String(key)))
		}
	}
	if v := loc.String("signature_version"); v == "s3" || v == "v2" {
		l.wrong(Warning, at+".signature_version", "version 2 of the signatures is not spoken; version 4 is used, which every service of today takes: remove the field")
	}
	switch loc.Class {
	case "S3Storage", "CloudFrontedS3Storage", "CloudFlareStorage", "AkamaiS3Storage":
		pair("s3_access_key", "s3_secret_key")
		inFolder("cloudfront_privatekey_filename")
		inFolder("cloudflare_privatekey_filename")
		if loc.String("host") != "" && loc.String("endpoint_url") != "" {
			l.wrong(Warning, at, "host and endpoint_url name the service twice; endpoint_url wins")
		}
	case "STSS3Storage":
		pair("sts_user_access_key", "sts_user_secret_key")
		if loc.String("sts_role_arn") == "" {
			l.wrong(Error, at, "sts_role_arn is missing: the role to take")
		}
	case "AzureStorage":
		if loc.String("azure_account_key") == "" && loc.String("sas_token") == "" {
			l.wrong(Error, at, "has neither azure_account_key nor sas_token: write one of them")
		}
	case "SwiftStorage":
		opts, _ := loc.Params["os_options"].(map[string]any)
		if loc.Int("auth_version") == 3 && (!anyKey(opts, "tenant_id", "project_id", "project_name", "tenant_name") || !anyKey(opts, "user_domain_name", "user_domain_id", "project_domain_name", "project_domain_id", "domain_name", "domain_id")) {
			l.wrong(Error, at, "auth_version 3 needs os_options with the project (tenant_id or project_name) and the domain (user_domain_name)")
		}
		l.fileThere(at+".ca_cert_path", loc.String("ca_cert_path"))
	case "MultiCDNStorage":
		providers, _ := loc.Params["providers"].(map[string]any)
		l.crossRules(at, loc, providers)
		if def := loc.String("default_provider"); providers[def] == nil {
			l.wrong(Error, at+".default_provider", "%q is not one of providers: %s", clip(def), strings.Join(slices.Sorted(maps.Keys(providers)), ", "))
		}
	case "LocalStorage":
		if !filepath.IsAbs(loc.String("storage_path")) {
			l.wrong(Warning, at+".storage_path", "is relative to the folder the process starts in; write an absolute path")
		}
	}
}

// crossRules checks the rules and providers of a MultiCDNStorage.
func (l *loader) crossRules(at string, loc Location, providers map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		p, _ := providers[name].(map[string]any)
		switch class, _ := p["class"].(string); class {
		case "CloudFrontedS3Storage", "CloudFlareStorage", "AkamaiS3Storage":
		default:
			l.wrong(Error, at+".providers."+name, "%s is no CDN; it must be CloudFrontedS3Storage, CloudFlareStorage or AkamaiS3Storage", clip(class))
		}
	}
	rules, _ := loc.Params["rules"].([]any)
	for i, r := range rules {
		rule, _ := r.(map[string]any)
		where := fmt.Sprintf("%s.rules[%d]", at, i)
		for _, key := range slices.Sorted(maps.Keys(rule)) {
			if !slices.Contains([]string{"namespace", "continent", "host", "target"}, key) {
				l.wrong(Error, where+"."+clip(key), "a rule has namespace, continent, host and target")
			}
		}
		if target, _ := rule["target"].(string); providers[target] == nil {
			l.wrong(Error, where+".target", "%q is not one of providers: %s", clip(target), strings.Join(slices.Sorted(maps.Keys(providers)), ", "))
		}
		if rule["continent"] != nil {
			l.wrong(Warning, where+".continent", "where an address is, is not known to Gantry: this rule fits nobody; choose by namespace or host")
		}
	}
}

func anyKey(m map[string]any, keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return m[k] != nil && m[k] != "" })
}

func (l *loader) crossAuth() {
	switch l.text("AUTHENTICATION_TYPE") {
	case "LDAP":
		l.needs("AUTHENTICATION_TYPE: LDAP", "LDAP_URI", "LDAP_BASE_DN", "LDAP_ADMIN_DN", "LDAP_ADMIN_PASSWD")
		if strings.HasPrefix(l.text("LDAP_URI"), "ldap://") && !strings.HasPrefix(l.text("LDAP_URI"), "ldap://localhost") && l.on("LDAP_ALLOW_INSECURE_FALLBACK") {
			l.wrong(Warning, "LDAP_ALLOW_INSECURE_FALLBACK", "lets passwords travel in the clear; write an ldaps:// address")
		}
	case "JWT":
		l.needs("AUTHENTICATION_TYPE: JWT", "JWT_VERIFY_ENDPOINT", "JWT_AUTH_ISSUER")
		if l.conf.Bundle.Path("jwt-authn.cert") == "" {
			l.wrong(Error, "AUTHENTICATION_TYPE", "is JWT, and the file jwt-authn.cert, the public key of the service, is not beside config.yaml")
		}
	case "Keystone":
		l.needs("AUTHENTICATION_TYPE: Keystone", "KEYSTONE_AUTH_URL", "KEYSTONE_ADMIN_USERNAME", "KEYSTONE_ADMIN_PASSWORD", "KEYSTONE_ADMIN_TENANT")
	case "OIDC":
		if len(l.oidc()) == 0 {
			l.wrong(Error, "AUTHENTICATION_TYPE", "is OIDC, and no provider is there; write a block such as EXAMPLE_LOGIN_CONFIG with OIDC_SERVER and CLIENT_ID")
		}
	case "AppToken":
		if !l.on("FEATURE_APP_SPECIFIC_TOKENS") {
			l.wrong(Error, "FEATURE_APP_SPECIFIC_TOKENS", "must be true with AUTHENTICATION_TYPE: AppToken")
		}
		if l.on("FEATURE_DIRECT_LOGIN") {
			l.wrong(Error, "FEATURE_DIRECT_LOGIN", "must be false with AUTHENTICATION_TYPE: AppToken")
		}
	}
	if l.on("FEATURE_INVITE_ONLY_USER_CREATION") && !l.on("FEATURE_USER_CREATION") {
		l.wrong(Error, "FEATURE_INVITE_ONLY_USER_CREATION", "needs FEATURE_USER_CREATION: true")
	}
	for _, u := range l.texts("GLOBAL_READONLY_SUPER_USERS") {
		if slices.Contains(l.texts("SUPER_USERS"), u) {
			l.wrong(Warning, "GLOBAL_READONLY_SUPER_USERS", "%q is in SUPER_USERS too; this entry wins, and the account changes nothing", clip(u))
		}
	}
	l.without("SUPER_USERS", "FEATURE_SUPER_USERS")
	l.without("ROBOTS_WHITELIST", "ROBOTS_DISALLOW")
	l.without("RESTRICTED_USERS_WHITELIST", "FEATURE_RESTRICTED_USERS")
	l.without("BLACKLISTED_EMAIL_DOMAINS", "FEATURE_BLACKLISTED_EMAILS")
	if l.on("FEATURE_RECAPTCHA") {
		l.needs("FEATURE_RECAPTCHA", "RECAPTCHA_SITE_KEY", "RECAPTCHA_SECRET_KEY")
	}
	if refresh, end := l.time("INSTANCE_SERVICE_KEY_REFRESH"), l.time("INSTANCE_SERVICE_KEY_EXPIRATION"); refresh >= end {
		l.wrong(Error, "INSTANCE_SERVICE_KEY_REFRESH", "is %s; it must be less than INSTANCE_SERVICE_KEY_EXPIRATION, %s, or keys end before they are renewed", formatDuration(refresh), formatDuration(end))
	}
}

// without warns that field, which is written, has no effect while feature is off.
func (l *loader) without(field, feature string) {
	if l.written(field) && !equal(l.conf.values[field], nil) && !l.on(feature) {
		l.wrong(Warning, field, "has no effect without %s: true", feature)
	}
}

// oidc returns the names of the OpenID Connect blocks.
func (l *loader) oidc() []string {
	var out []string
	for name := range l.conf.values {
		if f := table().find(name); f != nil && table().byName[name] == nil && strings.HasSuffix(name, "_LOGIN_CONFIG") {
			out = append(out, name)
		}
	}
	return out
}

func (l *loader) crossLogin() {
	sites := 0
	for _, s := range []struct{ feature, block, also string }{
		{"FEATURE_GITHUB_LOGIN", "GITHUB_LOGIN_CONFIG", ""},
		{"FEATURE_GOOGLE_LOGIN", "GOOGLE_LOGIN_CONFIG", ""},
		{"FEATURE_GITHUB_BUILD", "GITHUB_TRIGGER_CONFIG", "FEATURE_BUILD_SUPPORT"},
		{"FEATURE_GITLAB_BUILD", "GITLAB_TRIGGER_CONFIG", "FEATURE_BUILD_SUPPORT"},
		{"FEATURE_BITBUCKET_BUILD", "BITBUCKET_TRIGGER_CONFIG", "FEATURE_BUILD_SUPPORT"},
	} {
		if !l.on(s.feature) || s.also != "" && !l.on(s.also) {
			continue
		}
		if s.also == "" {
			sites++
		}
		b := l.block(s.block)
		if len(b) == 0 && !l.malformed(s.block) {
			l.wrong(Error, s.feature, "needs the block %s", s.block)
		}
		if orgs, _ := b["ALLOWED_ORGANIZATIONS"].([]string); b.on("ORG_RESTRICT") && len(orgs) == 0 {
			l.wrong(Error, s.block+".ALLOWED_ORGANIZATIONS", "is empty with ORG_RESTRICT: nobody could sign in; name the organizations")
		}
	}
	if !l.on("FEATURE_DIRECT_LOGIN") && sites == 0 && len(l.oidc()) == 0 && l.text("AUTHENTICATION_TYPE") != "AppToken" {
		l.wrong(Error, "FEATURE_DIRECT_LOGIN", "is false and there is no other way to sign in; turn it on, or configure GitHub, Google or an OpenID Connect provider")
	}
}

func (l *loader) crossMail() {
	if l.written("FEATURE_MAILING") && l.on("FEATURE_MAILING") {
		l.needs("FEATURE_MAILING", "MAIL_SERVER")
	}
	if l.on("MAIL_USE_AUTH") {
		l.needs("MAIL_USE_AUTH", "MAIL_USERNAME", "MAIL_PASSWORD")
	}
	if l.text("MAIL_SERVER") != "" && !l.on("MAIL_USE_TLS") {
		if l.on("FEATURE_FIPS") {
			l.wrong(Error, "MAIL_USE_TLS", "must be true with FEATURE_FIPS")
		} else if l.text("MAIL_PASSWORD") != "" {
			l.wrong(Warning, "MAIL_USE_TLS", "is false: the password of the mail account travels in the clear")
		}
	}
}

func (l *loader) crossTags() {
	var options []time.Duration
	for _, s := range l.texts("TAG_EXPIRATION_OPTIONS") {
		if d, ok := parseDuration(s, Duration); ok {
			options = append(options, d)
		}
	}
	if def := l.time("DEFAULT_TAG_EXPIRATION"); !slices.Contains(options, def) && !l.malformed("TAG_EXPIRATION_OPTIONS") && !l.malformed("DEFAULT_TAG_EXPIRATION") {
		field := "DEFAULT_TAG_EXPIRATION"
		if !l.written(field) {
			field = "TAG_EXPIRATION_OPTIONS"
		}
		l.wrong(Error, field, "the default %s is not one of TAG_EXPIRATION_OPTIONS (%s); add it there, or choose one of them as DEFAULT_TAG_EXPIRATION", formatDuration(def), strings.Join(l.texts("TAG_EXPIRATION_OPTIONS"), ", "))
	}
	if lo, hi := l.time("LABELED_EXPIRATION_MINIMUM"), l.time("LABELED_EXPIRATION_MAXIMUM"); lo > hi {
		l.wrong(Error, "LABELED_EXPIRATION_MINIMUM", "is %s, longer than LABELED_EXPIRATION_MAXIMUM, %s", formatDuration(lo), formatDuration(hi))
	}
	l.without("NON_RATE_LIMITED_NAMESPACES", "FEATURE_RATE_LIMITS")
	l.without("DEFAULT_SYSTEM_REJECT_QUOTA_BYTES", "FEATURE_QUOTA_MANAGEMENT")
	l.without("DEFAULT_NAMESPACE_AUTOPRUNE_POLICY", "FEATURE_AUTO_PRUNE")
	l.without("FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE", "FEATURE_IMMUTABLE_TAGS")
	if p := l.block("DEFAULT_NAMESPACE_AUTOPRUNE_POLICY"); len(p) > 0 {
		at, v := "DEFAULT_NAMESPACE_AUTOPRUNE_POLICY.value", p.text("value")
		switch n, isInt := parseInt(v); p.text("method") {
		case "number_of_tags":
			if !isInt || n < 1 {
				l.wrong(Error, at, "%q is not allowed; with number_of_tags it must be a whole number, at least 1", clip(v))
			}
		case "creation_date":
			if d, ok := parseDuration(v, Duration); !ok || d == 0 {
				l.wrong(Error, at, "%q is not allowed; with creation_date it must be a duration such as 30d", clip(v))
			}
		}
	}
}

func (l *loader) crossLogs() {
	conf := l.block("LOGS_MODEL_CONFIG")
	has := func(key string) bool { m, _ := conf[key].(map[string]any); return len(m) > 0 }
	if l.malformed("LOGS_MODEL_CONFIG") {
		return
	}
	switch model := l.text("LOGS_MODEL"); model {
	case "elasticsearch", "transition_reads_both_writes_es":
		if !has("elasticsearch_config") {
			l.wrong(Error, "LOGS_MODEL", "is %s and needs LOGS_MODEL_CONFIG.elasticsearch_config", model)
		}
	case "splunk":
		if !has("splunk_config") && !has("splunk_hec_config") {
			l.wrong(Error, "LOGS_MODEL", "is splunk and needs LOGS_MODEL_CONFIG.splunk_config or .splunk_hec_config")
		}
	}
	if p := conf.text("producer"); p != "" && !has(p+"_config") {
		l.wrong(Error, "LOGS_MODEL_CONFIG.producer", "is %s and needs LOGS_MODEL_CONFIG.%s_config", p, p)
	}
}

func (l *loader) crossScanner() {
	if l.on("FEATURE_SECURITY_SCANNER") && l.text("SECURITY_SCANNER_V4_ENDPOINT") == "" {
		l.wrong(Warning, "FEATURE_SECURITY_SCANNER", "has no effect without SECURITY_SCANNER_V4_ENDPOINT, the address of the scanner")
	}
	if l.text("SECURITY_SCANNER_V4_ENDPOINT") != "" && l.on("FEATURE_SECURITY_SCANNER") && l.text("SECURITY_SCANNER_V4_PSK") == "" {
		l.wrong(Warning, "SECURITY_SCANNER_V4_PSK", "is missing: requests to the scanner are not signed")
	}
}

func (l *loader) crossBuilds() {
	if !l.on("FEATURE_BUILD_SUPPORT") {
		return
	}
	m := l.block("BUILD_MANAGER")
	if len(m) == 0 {
		if !l.malformed("BUILD_MANAGER") {
			l.wrong(Warning, "FEATURE_BUILD_SUPPORT", "has no effect without BUILD_MANAGER, which says how builders are started")
		}
		return
	}
	opts, _ := m["options"].(map[string]any)
	list, _ := opts["EXECUTORS"].([]any)
	if m.text("name") == "ephemeral" && len(list) == 0 && block(opts).text("EXECUTOR") == "" {
		l.wrong(Error, "BUILD_MANAGER", "names no executor; write EXECUTORS with at least one, such as EXECUTOR: kubernetesPodman")
	}
}

// crossRedis checks that a block says in one way where Redis is.
func (l *loader) crossRedis(f string, r block) {
	sentinels, _ := r["sentinels"].([]string)
	nodes, _ := r["cluster_nodes"].([]string)
	ways := 0
	for _, there := range []bool{r.text("host") != "", len(sentinels) > 0, len(nodes) > 0} {
		if there {
			ways++
		}
	}
	db, _ := r["db"].(int64)
	switch {
	case ways == 0:
		l.wrong(Error, f+".host", "is missing; write it, or sentinels and sentinel_master, or cluster_nodes")
	case ways > 1:
		l.wrong(Error, f, "host, sentinels and cluster_nodes are three ways to say where Redis is: write one of them")
	case (len(sentinels) > 0) != (r.text("sentinel_master") != ""):
		l.wrong(Error, f, "sentinels and sentinel_master go together: write both, or neither")
	case len(nodes) > 0 && db != 0:
		l.wrong(Error, f+".db", "must be 0 with cluster_nodes: a Cluster has no other database")
	}
}

func (l *loader) crossRest() {
	for _, f := range []string{"USER_EVENTS_REDIS", "BUILDLOGS_REDIS", "PULL_METRICS_REDIS"} {
		r := l.block(f)
		if len(r) > 0 {
			l.crossRedis(f, r)
		}
		for _, key := range []string{"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"} {
			l.fileThere(f+"."+key, r.text(key))
		}
		if (r.text("ssl_certfile") == "") != (r.text("ssl_keyfile") == "") {
			l.wrong(Error, f, "ssl_certfile and ssl_keyfile go together: write both, or neither")
		}
	}
	if l.on("FEATURE_OTEL_TRACING") && l.block("OTEL_CONFIG").text("endpoint") == "" {
		l.wrong(Warning, "FEATURE_OTEL_TRACING", "has no effect without OTEL_CONFIG.endpoint, the address of the collector")
	}
	warn, _ := l.conf.values["DISKSPACE_HEALTH_WARNING_THRESHOLD"].(float64)
	if bad, _ := l.conf.values["DISKSPACE_HEALTH_THRESHOLD"].(float64); warn < bad {
		l.wrong(Warning, "DISKSPACE_HEALTH_WARNING_THRESHOLD", "is below DISKSPACE_HEALTH_THRESHOLD: the instance fails before it warns")
	}
	if (l.text("INSTANCE_SERVICE_KEY_KID_LOCATION") == "") != (l.text("INSTANCE_SERVICE_KEY_LOCATION") == "") {
		l.wrong(Error, "INSTANCE_SERVICE_KEY_LOCATION", "and INSTANCE_SERVICE_KEY_KID_LOCATION go together: write both, or neither")
	}
}
