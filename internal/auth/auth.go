// Package auth answers two questions for every edge: who is this (password,
// robot, application token, OAuth token, session, bearer JWT), and may they do
// that. The second half is pure functions over what package store read; see
// may.go.
package auth

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Settings are the switches of config.yaml that this package obeys, by the
// names they have there. They may change while the Service runs: Configure.
// The zero value has every feature off; app fills it from the configuration.
type Settings struct {
	AnonymousAccess           bool          // FEATURE_ANONYMOUS_ACCESS
	SuperUsers                bool          // FEATURE_SUPER_USERS
	SuperusersFullAccess      bool          // FEATURE_SUPERUSERS_FULL_ACCESS
	Superusers                []string      // SUPER_USERS; accounts marked so in the store come on top
	ReadOnlySuperusers        []string      // GLOBAL_READONLY_SUPER_USERS; wins over Superusers
	OrgBySuperuser            bool          // FEATURE_SUPERUSERS_ORG_CREATION_ONLY
	RestrictedUsers           bool          // FEATURE_RESTRICTED_USERS
	RestrictedUsersWhitelist  []string      // RESTRICTED_USERS_WHITELIST
	RequireEncryptedBasicAuth bool          // FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH
	AppSpecificTokens         bool          // FEATURE_APP_SPECIFIC_TOKENS
	RobotsDisallow            bool          // ROBOTS_DISALLOW
	RobotsWhitelist           []string      // ROBOTS_WHITELIST
	CreatePublicRepoOnPush    bool          // not CREATE_PRIVATE_REPO_ON_PUSH
	CreateNamespaceOnPush     bool          // CREATE_NAMESPACE_ON_PUSH
	ReadOnly                  bool          // REGISTRY_STATE is readonly: nothing is written, not even a failed login
	AuditLogins               bool          // ACTION_LOG_AUDIT_LOGINS
	AuditLoginFailures        bool          // ACTION_LOG_AUDIT_LOGIN_FAILURES
	NoLastUsed                bool          // not FEATURE_USER_LAST_ACCESSED: it is not noted when an account was used
	LastUsedEvery             time.Duration // LAST_ACCESSED_UPDATE_THRESHOLD_S: the note is written at most this often; 0 = every minute
	VerifiedOnly              bool          // FEATURE_MAILING: who did not confirm the e-mail address cannot sign in
	AppTokensKept             time.Duration // EXPIRED_APP_SPECIFIC_TOKEN_GC: application tokens go this long after their end; 0 = they stay
	ServiceKeysKept           time.Duration // EXPIRED_SERVICE_KEY_TTL_SEC: service keys go this long after their end; 0 = 7 days
	TokensUsedEvery           time.Duration // OAUTH_TOKEN_LAST_ACCESSED_UPDATE_THRESHOLD_S: the last use of OAuth tokens is written at most this often; 0 = every minute
	UnapprovedKeysKept        time.Duration // UNAPPROVED_SERVICE_KEY_TTL_SEC: service keys wait so long for their approval; 0 = a day
	Names                     gantry.NameRules

	// Of accounts that a provider or a login service vouches for.
	UserCreation bool              // FEATURE_USER_CREATION: who comes for the first time gets one
	InviteOnly   bool              // FEATURE_INVITE_ONLY_USER_CREATION
	BlockedEmail func(string) bool // reports whether an address is in BLACKLISTED_EMAIL_DOMAINS; nil = none is
	TeamSyncing  bool              // FEATURE_TEAM_SYNCING: teams follow groups
	// RestrictedByRank is set where LDAP_RESTRICTED_USER_FILTER says who is
	// restricted, with RestrictedUsers; else everybody is.
	RestrictedByRank bool

	ranks func(gantry.AccountID) Rank // that a service outside gives; set by Configure
}

// Options are what New needs. Store and Keys are required.
type Options struct {
	Store *store.DB
	Keys  *Keys
	Settings
	// Provider checks the passwords of users: AUTHENTICATION_TYPE. Nil: they
	// are in the store.
	Provider Provider
	// Sites are login services for browsers, by different IDs.
	Sites []Site
	// Hostname returns SERVER_HOSTNAME, the audience of tokens. Nil, or "":
	// each request's own host is.
	Hostname func() string
	// MaxFresh is the longest life of a token that is believed, and so of one
	// that is issued: REGISTRY_JWT_AUTH_MAX_FRESH_S; 0 = 3660 s. Tokens are
	// issued for an hour at most, as other nodes refuse longer ones.
	MaxFresh time.Duration
	// NoTokens is for commands, which check and make credentials but issue no
	// bearer tokens: no key is made and stored.
	NoTokens bool
	// RefreshLife is how long a refresh token lives; 0 = 30 days.
	RefreshLife time.Duration
	// ServiceKey signs tokens instead of a key made at start, under KeyID
	// (quay.pem and quay.kid). Both or none. A key that is in the table
	// already keeps its row as it is.
	ServiceKey *rsa.PrivateKey
	KeyID      string
	KeyService string        // INSTANCE_SERVICE_KEY_SERVICE, the issuer of tokens; "" = quay
	KeyLife    time.Duration // INSTANCE_SERVICE_KEY_EXPIRATION; 0 = 2 h
	KeyRefresh time.Duration // INSTANCE_SERVICE_KEY_REFRESH: its life begins anew after this; 0 = 55 min
	// BcryptCost is the cost of new password hashes; 0 = 12, as Quay's.
	BcryptCost int
	// MirrorRobot returns the robot that may push to a mirrored repository,
	// 0 = none. Nil: nobody may.
	MirrorRobot func(ctx context.Context, repo gantry.RepoID) (gantry.AccountID, error)
	// ProxyCache reports whether a namespace is a proxy cache: its members may
	// pull through it, nobody may push or create there. Nil: none is.
	ProxyCache func(ctx context.Context, namespace gantry.AccountID) (bool, error)
	Logger     *slog.Logger       // nil = discard
	Metrics    *telemetry.Metrics // nil = none
	Now        func() time.Time   // nil = the store's clock
}

// A Service knows who is who. Its methods may be called concurrently.
type Service struct {
	store    *store.DB
	keys     *Keys
	opts     Options
	settings atomic.Pointer[Settings]
	log      *slog.Logger
	metrics  *telemetry.Metrics
	now      func() time.Time

	signing  signer
	verified *expiring[[32]byte, *Grants] // by hash of the token
	public   *expiring[string, *publicKey]
	proven   *expiring[[32]byte, struct{}] // credentials that were right
	strange  *expiring[string, failures]   // failed logins of names that are no account
	proof    []byte                        // key of the hashes in proven
	tries    turns                         // of passwords, one at a time for each name
	hashing  *hasher
	accounts accountCache
	memory   memories
	ext      external

	usedMu    sync.Mutex
	used      map[gantry.AccountID]time.Time // not yet in the store
	usedSaved time.Time                      // when it was written last
	tokens    map[int64]time.Time            // used OAuth tokens, not yet in the store
	tokensAt  time.Time                      // when they were written last
}

// New returns a Service that signs with a key of its own, whose public half is
// in the store. Run keeps that key alive.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.Store == nil || o.Keys == nil {
		return nil, errors.New("auth: Options.Store and Options.Keys are required")
	}
	if (o.ServiceKey == nil) != (o.KeyID == "") {
		return nil, errors.New("auth: a service key needs its id, and the id its key")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = o.Store.Now
	}
	if o.MaxFresh <= 0 {
		o.MaxFresh = maxFresh
	}
	if o.RefreshLife <= 0 {
		o.RefreshLife = 30 * 24 * time.Hour
	}
	if o.BcryptCost == 0 {
		o.BcryptCost = defaultBcryptCost
	}
	o.KeyService = cmp.Or(o.KeyService, keyService)
	o.KeyLife, o.KeyRefresh = cmp.Or(max(o.KeyLife, 0), keyLife), cmp.Or(max(o.KeyRefresh, 0), keyRefresh)
	s := &Service{store: o.Store, keys: o.Keys, opts: o, log: o.Logger, metrics: o.Metrics, now: o.Now,
		verified: newExpiring[[32]byte, *Grants](20_000), public: newExpiring[string, *publicKey](1000),
		proven: newExpiring[[32]byte, struct{}](20_000), strange: newExpiring[string, failures](20_000),
		used: map[gantry.AccountID]time.Time{}, tokens: map[int64]time.Time{}, ext: newExternalState()}
	s.startMemories()
	s.Configure(o.Settings)
	if err := s.startPasswords(); err != nil {
		return nil, err
	}
	if o.NoTokens {
		return s, nil
	}
	if err := s.loadRanks(ctx); err != nil {
		return nil, err
	}
	if err := s.startSigning(ctx); err != nil {
		return nil, err
	}
	s.LearnKeys(ctx)
	return s, nil
}

// Configure puts new switches in place of the old ones.
func (s *Service) Configure(c Settings) {
	c.ranks = s.rankOf
	s.settings.Store(&c)
}

// Settings returns the switches in force. The caller does not change them.
func (s *Service) Settings() *Settings { return s.settings.Load() }

// Keys returns the instance's keys.
func (s *Service) Keys() *Keys { return s.keys }

// Run renews the signing key, writes down who was seen last and forgets what
// has expired, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.saveUsed(last, true)
			s.saveTokensUsed(last, true)
			return ctx.Err()
		case <-tick.C:
		}
		s.Tick(ctx)
	}
}

// Tick does once what Run does every minute.
func (s *Service) Tick(ctx context.Context) {
	if err := s.renew(ctx); err != nil {
		s.log.ErrorContext(ctx, "renew the signing key", "error", err)
	}
	s.LearnKeys(ctx)
	s.saveUsed(ctx, false)
	s.freshRanks(ctx)
	s.saveTokensUsed(ctx, false)
	now := s.now()
	s.verified.sweep(now)
	s.public.sweep(now)
	s.proven.sweep(now)
	s.strange.sweep(now)
	s.ext.proven.sweep(now)
	s.ext.known.sweep(now)
	if s.Settings().ReadOnly {
		return
	}
	if err := s.store.ForgetExpired(ctx, store.Forget{AppTokens: s.Settings().AppTokensKept, ServiceKeys: s.Settings().ServiceKeysKept,
		UnapprovedKeys: s.Settings().UnapprovedKeysKept}); err != nil {
		s.log.WarnContext(ctx, "remove what has expired", "error", err)
	}
}

// audience is what tokens of a request to host are for.
func (s *Service) audience(host string) string {
	if s.opts.Hostname != nil {
		if h := s.opts.Hostname(); h != "" {
			return h
		}
	}
	return host
}

// sameHost compares host[:port]; a default port counts as none.
func sameHost(a, b string) bool { return strings.EqualFold(bareHost(a), bareHost(b)) }

func bareHost(h string) string {
	host, port, err := net.SplitHostPort(h)
	if err == nil && (port == "443" || port == "80") {
		return host
	}
	return h
}
