package app

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/api"
	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/mirror"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/prune"
	"github.com/gantry-registry/gantry/internal/registry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// The functions of this file are pure: a configuration in, the options of one
// room out.

// LoadConfig is config.Load with the checks of this release on top: what a
// configuration may say and this binary cannot do is an error of the field.
func LoadConfig(o config.Options) (*config.Config, []config.Problem, error) {
	c, problems, err := config.Load(o)
	if err != nil {
		return nil, problems, err
	}
	if missing := unbuilt(c); len(missing) > 0 {
		return nil, append(missing, problems...), fmt.Errorf("%w\n  %s", config.ErrInvalid, missing[0])
	}
	return c, problems, nil
}

// unbuilt returns an error for each field that asks for what this release
// does not have and without which the registry would be another one.
func unbuilt(c *config.Config) []config.Problem {
	var problems []config.Problem
	refuse := func(field, format string, args ...any) {
		p := config.Problem{Severity: config.Error, Field: field, Message: fmt.Sprintf(format, args...)}
		p.File, p.Line = c.Where(field)
		problems = append(problems, p)
	}
	if field, why := refusedOutside(c); field != "" {
		refuse(field, "%s", why)
	}
	if c.Audit.Model != "database" {
		refuse("LOGS_MODEL", "%s is not built into this release, the audit log is kept in the database: set LOGS_MODEL to database, "+
			"and GANTRY_AUDIT_STREAM for a collector that ships it elsewhere", c.Audit.Model)
	}
	for _, l := range c.Storage.Locations {
		if engines[l.Class] == nil {
			refuse("DISTRIBUTED_STORAGE_CONFIG", "%s: %s is not built into this binary, which has %s", l.ID, l.Class, strings.Join(slices.Sorted(maps.Keys(engines)), ", "))
		}
	}
	if c.Features.StorageReplication {
		local := "the files of the data folder"
		if i := slices.IndexFunc(c.Storage.Locations, func(l config.Location) bool { return l.Class == localStorage }); i >= 0 {
			local = c.Storage.Locations[i].ID
		} else if len(c.Storage.Locations) > 0 {
			local = ""
		}
		if local != "" {
			refuse("FEATURE_STORAGE_REPLICATION", "needs object stores, and DISTRIBUTED_STORAGE_CONFIG has LocalStorage (%s), which only this machine can read: "+
				"name other classes there, or set FEATURE_STORAGE_REPLICATION to false", local)
		}
	}
	return problems
}

func nameRules(c *config.Config) gantry.NameRules {
	rules := gantry.NameRules{Nested: c.Features.ExtendedRepositoryNames}
	if c.Features.LibrarySupport {
		rules.Library = c.Registry.LibraryNamespace
	}
	return rules
}

// linkScheme is the scheme of the URLs that are handed out; "" = as each
// request came.
func linkScheme(c *config.Config) string {
	if c.Explicit("PREFERRED_URL_SCHEME") {
		return c.Server.Scheme
	}
	return ""
}

func registrySettings(c *config.Config) registry.Settings {
	return registry.Settings{
		Names:               nameRules(c),
		Hostname:            c.Server.Hostname,
		Scheme:              linkScheme(c),
		Unadvertised:        !c.Features.AdvertiseV2,
		BlockedDocker:       c.Registry.BlacklistV2Spec,
		RecoveryMode:        c.Server.AccountRecoveryMode,
		ReadOnly:            c.Server.ReadOnly(),
		PushesDisabled:      c.Server.DisablePushes,
		NoAnonymous:         !c.Features.AnonymousAccess,
		NoReferrers:         !c.Features.ReferrersAPI,
		PublicCatalog:       c.Features.PublicCatalog,
		SparseIndex:         c.Features.SparseIndex,
		NoOCI:               !c.Features.GeneralOCISupport,
		OCINamespaces:       c.Registry.OCINamespaceWhitelist,
		NoHelm:              !c.Features.HelmOCISupport,
		Schema1Namespaces:   c.Registry.V22NamespaceBlacklist,
		UnloggedNamespaces:  c.Audit.DisabledForPullLogs,
		PageSize:            c.Registry.V2PaginationSize,
		LooseLogging:        c.DB.AllowPullsWithoutStrictLogging || c.DB.AllowWithoutStrictLogging,
		AuditPullFailures:   c.Audit.AuditPullFailures,
		AuditPushFailures:   c.Audit.AuditPushFailures,
		AuditDeleteFailures: c.Audit.AuditDeleteFailures,
	}
}

func authSettings(c *config.Config) auth.Settings {
	return auth.Settings{
		AnonymousAccess:           c.Features.AnonymousAccess,
		SuperUsers:                c.Features.SuperUsers,
		SuperusersFullAccess:      c.Features.SuperusersFullAccess,
		Superusers:                c.Auth.SuperUsers,
		ReadOnlySuperusers:        c.Auth.GlobalReadonlySuperUsers,
		OrgBySuperuser:            c.Features.SuperusersOrgCreationOnly,
		RestrictedUsers:           c.Features.RestrictedUsers,
		RestrictedUsersWhitelist:  c.Auth.RestrictedUsersWhitelist,
		RequireEncryptedBasicAuth: c.Features.RequireEncryptedBasicAuth,
		AppSpecificTokens:         c.Features.AppSpecificTokens,
		RobotsDisallow:            c.Auth.RobotsDisallow,
		RobotsWhitelist:           c.Auth.RobotsWhitelist,
		CreatePublicRepoOnPush:    !c.Registry.CreatePrivateRepoOnPush,
		CreateNamespaceOnPush:     c.Registry.CreateNamespaceOnPush,
		ReadOnly:                  c.Server.ReadOnly(),
		AuditLogins:               c.Audit.AuditLogins,
		AuditLoginFailures:        c.Audit.AuditLoginFailures,
		TokensUsedEvery:           c.Auth.OAuthTokenLastAccessedUpdateThreshold,
		UnapprovedKeysKept:        c.Auth.UnapprovedServiceKeyTTL,
		NoLastUsed:                !c.Features.UserLastAccessed,
		LastUsedEvery:             c.Auth.LastAccessedUpdateThreshold,
		VerifiedOnly:              c.Features.Mailing,
		AppTokensKept:             c.Auth.ExpiredAppSpecificTokenGC,
		ServiceKeysKept:           c.Auth.ExpiredServiceKeyTTL,
		Names:                     nameRules(c),
		UserCreation:              c.Features.UserCreation,
		InviteOnly:                c.Features.InviteOnlyUserCreation,
		BlockedEmail:              blockedEmail(c),
		TeamSyncing:               c.Features.TeamSyncing,
		RestrictedByRank:          c.Auth.Type == "LDAP" && c.LDAP.RestrictedUserFilter != "",
	}
}

func contentSettings(c *config.Config) content.Settings {
	return content.Settings{
		Limits:       content.Limits{Blob: c.Registry.MaxLayerSize, Lease: c.Registry.PushTempTagExpiration},
		Retention:    retention(c),
		SparseIndex:  c.Features.SparseIndex,
		ReadOnly:     c.Server.ReadOnly(),
		ProxyStorage: c.Features.ProxyStorage,
		Replication:  c.Features.StorageReplication,
		Quota:        store.QuotaRule{On: c.Features.QuotaManagement && c.Features.VerifyQuota, Default: c.Quota.DefaultReject},
		Immutability: store.ImmutabilityRule{On: c.Features.ImmutableTags, MayExpire: c.Features.ImmutableTagsCanExpire},
	}
}

func mirrorSettings(c *config.Config) mirror.Settings {
	return mirror.Settings{
		On:           c.Features.RepoMirror,
		OrgsOn:       c.Features.OrgMirror,
		Rollback:     c.Mirror.Rollback,
		Page:         c.Mirror.TagRollbackPageSize,
		MaxIndex:     c.Mirror.MaxManifestListSize,
		MaxEntries:   c.Mirror.MaxManifestEntries,
		MaxDiscovery: c.Mirror.OrgMirrorMaxDiscoveryDuration,
		Nested:       c.Features.ExtendedRepositoryNames,
		Retention:    retention(c),
	}
}

// mirrorDue is how often to look for mirrors that are due.
func mirrorDue(c *config.Config) time.Duration {
	every := c.Mirror.Interval
	if c.Features.OrgMirror && (!c.Features.RepoMirror || c.Mirror.OrgMirrorInterval < every) {
		every = c.Mirror.OrgMirrorInterval
	}
	return max(every, time.Second)
}

// mirrorsRun reports whether there are mirrors.
func mirrorsRun(c *config.Config) bool {
	return (c.Features.RepoMirror || c.Features.OrgMirror) && maintains(c) && !c.Server.DisablePushes
}

// retention is DEFAULT_TAG_EXPIRATION as package content has it: there 0
// means its own default.
func retention(c *config.Config) time.Duration {
	return cmp.Or(c.Registry.DefaultTagExpiration, -1)
}

// retentions are TAG_EXPIRATION_OPTIONS, whose texts config.Load has checked.
func retentions(c *config.Config) []time.Duration {
	list := []time.Duration{}
	for _, text := range c.Registry.TagExpirationOptions {
		if d, err := config.ParseDuration(text); err == nil {
			list = append(list, d)
		}
	}
	return list
}

func collectOptions(c *config.Config) content.CollectOptions {
	return content.CollectOptions{
		Retention:        retention(c),
		Rate:             c.GC.Rate,
		Interval:         c.GC.Frequency,
		UploadIdle:       c.GC.BlobUploadDeletionDateThreshold,
		UploadSweep:      c.GC.BlobUploadCleanupFrequency,
		KeepRepositories: !c.Features.RepositoryGarbageCollection || !c.Features.NamespaceGarbageCollection,
		NoSweep:          !c.Features.EnableStaleMPUCleanup,
	}
}

func replicateOptions(c *config.Config) content.ReplicateOptions {
	// Quay reserves for 20 minutes, for it does not renew.
	return content.ReplicateOptions{Follow: c.Features.StorageReplication, Lease: min(c.Storage.ReplicationProcessing, time.Minute), Rate: c.GC.ReplicationRate}
}

// copies reports whether blobs are copied between locations.
func copies(c *config.Config) bool { return len(c.Storage.Locations) > 1 && maintains(c) }

func pruneOptions(c *config.Config) prune.Options {
	d := c.Prune.DefaultPolicy
	rule := gantry.TagRule{Pattern: d.TagPattern, Matches: d.TagPatternMatches || d.TagPattern == ""}
	return prune.Options{
		Retention:    retention(c),
		TagPage:      min(c.Prune.FetchTagsPageLimit, 10_000),
		RepoPage:     min(c.Prune.FetchRepositoriesPageLimit, 10_000),
		Default:      gantry.PruneRule{Method: d.Method, Value: d.Value, TagRule: rule},
		DefaultAfter: c.Prune.DefaultPolicyTimeout,
		DefaultRest:  c.Prune.DefaultPolicyPollPeriod,
	}
}

// pruneDue is how long a namespace rests that was pruned, and how many are
// pruned at a time.
func pruneDue(c *config.Config) (rest time.Duration, n int) {
	return c.Prune.TaskRunMinimumInterval, min(c.Prune.BatchSize, 1000)
}

// prunes reports whether there are policies that prune.
func prunes(c *config.Config) bool { return c.Features.AutoPrune && maintains(c) }

// collects reports whether garbage is collected.
func collects(c *config.Config) bool {
	return c.Features.GarbageCollection && !c.Server.DisablePushes && maintains(c)
}

// maintains reports whether background work may change the database.
func maintains(c *config.Config) bool {
	return !c.Server.ReadOnly() && !c.Server.AccountRecoveryMode
}

func apiOptions(c *config.Config) api.Options {
	o := api.Options{
		UserInitialize: c.Features.UserInitialize,
		UserCreation:   c.Features.UserCreation,
		InviteOnly:     c.Features.InviteOnlyUserCreation,
		NoDirectLogin:  !c.Features.DirectLogin,
		XHROnly:        c.Session.BrowserAPICallsXHROnly,
		RepoMirror:     c.Features.RepoMirror,
		Mirrors:        api.MirrorOptions{Orgs: c.Features.OrgMirror, Insecure: !c.Mirror.TLSVerify},
		CookieName:     c.Session.CookieName,
		CookieSecure:   c.Session.CookieSecure,
		CookieScripts:  !c.Session.CookieHTTPOnly,
		CookieSameSite: sameSite[c.Session.CookieSameSite],
		WindowSessions: !c.Features.PermanentSessions,
		SessionTimeout: c.Session.Timeout,
		AppTokenLife:   c.Auth.AppSpecificTokenExpiration,
		FreshLogin:     c.Session.FreshLoginTimeout,
		Quota:          c.Features.QuotaManagement,
		EditQuota:      c.Features.EditQuota,
		DefaultQuota:   c.Quota.DefaultReject,
		SparseIndex:    c.Features.SparseIndex,
		Tags:           tagOptions(c),
		Logs:           logsOptions(c),
		Policies:       api.PolicyOptions{AutoPrune: c.Features.AutoPrune},
		Web:            webOptions(c),
		UserRename:     c.Features.UserRename,
		UserMetadata:   c.Features.UserMetadata,
		ExactUsers:     !c.Features.PartialUserAutocomplete,
		FixedRetention: !c.Features.ChangeTagExpiration,
		Retention:      retention(c),
		Retentions:     retentions(c),
		MaxOAuthTokens: c.Auth.OAuthMaxTokens,
		SearchPage:     c.UI.SearchResultsPerPage,
		SearchPages:    c.UI.SearchMaxResultPageCount,
		External:       externalOptions(c),
		Tell: api.TellOptions{QuotaEvents: c.Features.QuotaManagement && c.Features.QuotaNotifications, TeamInvite: c.Features.RequireTeamInvite,
			CodeLife: c.Auth.UserRecoveryTokenLifetime, Title: c.UI.Title},
	}
	if c.Features.SuperuserConfigDump {
		o.ConfigDump = c.Redacted
	}
	if c.Features.BlacklistedEmails {
		o.BlockedDomains = c.Auth.BlacklistedEmailDomains
	}
	return o
}

// logsOptions are those of the audit log.
func logsOptions(c *config.Config) api.LogOptions {
	o := api.LogOptions{Export: c.Features.LogExport, NoCounts: !c.Features.AggregatedLogCountRetrieval, MaxPage: c.Audit.MaxPage}
	if c.Server.Hostname != "" && linkScheme(c) != "" {
		o.Base = linkScheme(c) + "://" + c.Server.Hostname
	}
	return o
}

func mailSettings(c *config.Config) mail.Settings {
	return mail.Settings{On: c.Features.Mailing, Host: c.Mail.Server, Port: c.Mail.Port, TLS: c.Mail.UseTLS, Auth: c.Mail.UseAuth,
		Username: c.Mail.Username, Password: c.Mail.Password, Sender: c.Mail.DefaultSender, FailSilently: c.Mail.FailSilently}
}

// expiryEvery is NOTIFICATION_TASK_RUN_MINIMUM_INTERVAL_MINUTES unless it is
// written, as in Quay.
const expiryEvery = 5 * time.Hour

func notifySettings(c *config.Config) notify.Settings {
	o := notify.Settings{Quota: c.Features.QuotaManagement, QuotaEvents: c.Features.QuotaNotifications,
		QuotaCooldown: c.Quota.NotificationCooldown, DefaultQuota: c.Quota.DefaultReject}
	if c.Features.ImageExpiryTrigger {
		o.ExpiryEvery = cmp.Or(c.Notify.TaskRunMinimumInterval, expiryEvery)
	}
	return o
}

// outgoingOptions are those of the client for addresses that users gave,
// without the authorities.
func outgoingOptions(c *config.Config) httpd.OutgoingOptions {
	return httpd.OutgoingOptions{Allowed: c.Notify.SSRFAllowedHosts, Blocked: c.Notify.WebhookHostnameBlacklist, Timeout: c.Notify.SendTimeout}
}

// showsCertificate reports whether webhooks are sent with the registry's own
// certificate, for targets that ask who calls.
func showsCertificate(c *config.Config) bool {
	return c.Server.Scheme == "https" && c.Bundle.CertFile != "" && c.Bundle.KeyFile != ""
}

// publicScheme is the scheme of the addresses in mail and notifications.
func publicScheme(c *config.Config) string {
	if scheme := linkScheme(c); scheme != "" {
		return scheme
	}
	if tlsOptions(c) != nil || c.Server.ExternalTLSTermination {
		return "https"
	}
	return "http"
}

func tagOptions(c *config.Config) api.TagOptions {
	return api.TagOptions{
		MinLife:        c.Registry.LabeledExpirationMinimum,
		MaxLife:        c.Registry.LabeledExpirationMaximum,
		Immutable:      c.Features.ImmutableTags,
		MayExpire:      c.Features.ImmutableTagsCanExpire,
		Forget:         c.Registry.PermanentlyDeleteTags,
		ReservedLabels: c.Registry.LabelKeyReservedPrefixes,
	}
}

// sameSite is SESSION_COOKIE_SAMESITE as net/http has it.
var sameSite = map[string]http.SameSite{"Lax": http.SameSiteLaxMode, "Strict": http.SameSiteStrictMode, "None": http.SameSiteNoneMode}

func traceOptions(c *config.Config, version string) telemetry.TraceOptions {
	o := telemetry.TraceOptions{
		Enabled:     c.Features.OTelTracing && cmp.Or(c.Tracing.OTel.Endpoint, c.Tracing.OTel.DTAPIURL) != "", // config.Load warns
		Endpoint:    c.Tracing.OTel.Endpoint,
		Insecure:    true, // a collector beside us; a URL with https:// says otherwise
		ServiceName: cmp.Or(c.Tracing.OTel.ServiceName, "gantry"),
		Version:     version,
		SampleRate:  c.Tracing.OTel.SampleRate,
		Excluded:    c.Tracing.ExcludedURLs,
		RootCAs:     c.RootCAs(),
	}
	if c.Tracing.OTel.DTAPIURL != "" {
		o.Endpoint = c.Tracing.OTel.DTAPIURL
		o.Headers = map[string]string{"Authorization": "Api-Token " + c.Tracing.OTel.DTAPIToken}
	}
	return o
}

// trustedProxies are the peers whose word on the client's address is taken;
// an empty TRUSTED_PROXY_CIDR is every peer.
func trustedProxies(c *config.Config) []netip.Prefix {
	if list := c.Server.TrustedProxies(); list != nil {
		return list
	}
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}

func proxyCount(c *config.Config) int {
	return cmp.Or(c.Server.ProxyCount, -1) // httpd: 0 is 1, negative is none
}

// tlsOptions is nil where plain HTTP is served.
func tlsOptions(c *config.Config) *httpd.TLSOptions {
	b := c.Bundle
	if c.Server.ExternalTLSTermination || b.CertFile == "" || b.KeyFile == "" {
		return nil
	}
	return &httpd.TLSOptions{CertFile: b.CertFile, KeyFile: b.KeyFile,
		Protocols: c.Server.SSLProtocols, Ciphers: c.Server.SSLCiphers, Ciphersuites: c.Server.SSLCipherSuites}
}

// network is what to listen on: all that the address means, unless
// FEATURE_LISTEN_IP_VERSION says less.
func network(c *config.Config) string {
	if c.Explicit("FEATURE_LISTEN_IP_VERSION") {
		return c.Server.Network()
	}
	return "tcp"
}

func logOptions(c *config.Config) telemetry.LogOptions {
	o := telemetry.LogOptions{Format: telemetry.LogFormat(c.Log.Format), Destination: c.Log.Destination}
	if c.Env.LogToStdout && !c.Explicit("GANTRY_LOG_DESTINATION") {
		o.Destination = "stdout"
	}
	return o
}

// ValidateConfig checks the configuration in a folder ("" = none: the
// environment alone) as Start does.
func ValidateConfig(dir string, environ []string) config.Summary {
	c, problems, err := LoadConfig(config.Options{Dir: dir, Environ: environ})
	if err != nil && len(problems) == 0 { // the folder itself
		problems = []config.Problem{{Severity: config.Error, Message: err.Error()}}
	}
	return config.Report(c, problems)
}

// ParseRate reads bytes a second, such as 50MiB.
func ParseRate(s string) (int64, error) { return config.ParseSize(s) }
