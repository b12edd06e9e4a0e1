package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

const (
	defaultBcryptCost = 12
	provenLife        = 5 * time.Minute
	maxBackoff        = 24 * time.Hour
	maxPassword       = 4096 // bytes of a password that is looked at
	robotColumn       = "accounts.secret"
	appColumn         = "app_tokens.secret"
)

type failures struct {
	n    int
	last time.Time
}

// accountCache keeps accounts by name, as long as the store says that none has
// changed, and for a second at most where other processes write too.
type accountCache struct {
	mu  sync.Mutex
	gen uint64
	m   map[string]cachedAccount
}

type cachedAccount struct {
	a  store.Account
	at time.Time
}

func (s *Service) startPasswords() error {
	s.proof = make([]byte, 32)
	_, _ = rand.Read(s.proof) // never fails
	s.hashing = newHasher()
	if s.opts.BcryptCost < bcrypt.MinCost || s.opts.BcryptCost > 16 {
		return fmt.Errorf("auth: bcrypt cost %d is not between %d and 16", s.opts.BcryptCost, bcrypt.MinCost)
	}
	return nil
}

func denied(format string, args ...any) error {
	return gantry.Errorf(gantry.Unauthenticated, "credentials", format, args...)
}

// account reads an account by name, from the cache where that is exact.
func (s *Service) account(ctx context.Context, name string) (store.Account, error) {
	gen := s.store.AccountsGeneration()
	now := s.now()
	c := &s.accounts
	c.mu.Lock()
	if c.gen != gen || c.m == nil || len(c.m) > 10_000 {
		c.gen, c.m = gen, map[string]cachedAccount{}
	}
	got, ok := c.m[name]
	c.mu.Unlock()
	if ok && (s.store.Exclusive() || now.Sub(got.at) < time.Second) {
		return got.a, nil
	}
	a, stale, err := s.memory.accounts.ask(name, func() (store.Account, error) { return s.store.Account(ctx, name) })
	if err == nil && !stale {
		c.mu.Lock()
		if c.gen == gen {
			c.m[name] = cachedAccount{a, now}
		}
		c.mu.Unlock()
	}
	return a, err
}

// Basic checks the name and password of HTTP Basic: those of a user, a robot,
// an application token ($app) or an OAuth token ($oauthtoken). What is wrong
// is Unauthenticated, with a text for the user; too many tries have the Reason
// LoginBackoff and Retry.
func (s *Service) Basic(ctx context.Context, username, password string, actor gantry.Actor) (Identity, error) {
	id, err := s.basic(ctx, username, password, actor)
	s.metrics.Auth("basic", err == nil)
	return id, s.auditFailure(ctx, username, actor, err)
}

// auditFailure writes a failed login to the journal, where that is wanted. A
// try that came too soon is not written: it costs nothing.
func (s *Service) auditFailure(ctx context.Context, username string, actor gantry.Actor, err error) error {
	set := s.Settings()
	if !gantry.Is(err, gantry.Unauthenticated) || gantry.ReasonOf(err) == gantry.LoginBackoff || !set.AuditLoginFailures || set.ReadOnly {
		return err
	}
	// What no account is called may hold what no database takes.
	actor.Name = strings.ReplaceAll(strings.ToValidUTF8(username[:min(len(username), 255)], "?"), "\x00", "?")
	actor.Kind = gantry.ActorAnonymous
	if lerr := s.store.LogLogin(ctx, "login_failure", 0, actor, map[string]any{"username": actor.Name, "useragent": actor.Agent}); lerr != nil {
		return lerr
	}
	return err
}

func (s *Service) basic(ctx context.Context, username, password string, actor gantry.Actor) (Identity, error) {
	if len(username) > 512 || len(password) > maxPassword || strings.ContainsRune(username+password, 0) || !utf8.ValidString(username) {
		return Identity{}, errWrong
	}
	switch {
	case username == "$oauthtoken":
		return s.OAuth(ctx, password, actor)
	case username == "$app":
		return s.appToken(ctx, password, actor)
	case username == "$token":
		return Identity{}, denied("Invalid token")
	case strings.Contains(username, "+") && !strings.Contains(username, "@"):
		return s.robot(ctx, username, password, actor)
	}
	return s.login(ctx, username, password, true, actor)
}

// identify makes the identity of an account whose credentials were right.
func (s *Service) identify(a store.Account, kind, reference string, scopes []string, actor gantry.Actor) Identity {
	i := Identity{Account: a, Actor: actor, Scopes: scopes, Reference: reference}
	i.Actor.Account, i.Actor.Name, i.Actor.Kind = a.ID, a.Name, kind
	set := s.Settings()
	set.rank(&i)
	if set.NoLastUsed {
		return i
	}
	s.usedMu.Lock()
	if len(s.used) < 100_000 {
		s.used[a.ID] = s.now()
	}
	s.usedMu.Unlock()
	return i
}

// saveUsed writes down which accounts were used, unless that was done less
// than LastUsedEvery ago; last writes anyway.
func (s *Service) saveUsed(ctx context.Context, last bool) {
	now := s.now()
	s.usedMu.Lock()
	if !last && now.Sub(s.usedSaved) < s.Settings().LastUsedEvery-time.Second { // ticks are not exact
		s.usedMu.Unlock()
		return
	}
	used := s.used
	s.used, s.usedSaved = map[gantry.AccountID]time.Time{}, now
	s.usedMu.Unlock()
	if s.Settings().ReadOnly {
		return
	}
	if err := s.store.Used(ctx, used); err != nil {
		s.log.WarnContext(ctx, "note accounts in use", "error", err)
	}
}

var (
	errWrong    = denied("Invalid Username or Password")
	errDisabled = denied("This user has been disabled. Please contact your administrator.")

	errUnverified = &gantry.Error{Code: gantry.Unauthenticated, Object: "credentials", Reason: gantry.Unverified,
		Detail: "The e-mail address of this account was not confirmed yet: open the link in the mail that was sent to it"}
)

// errPlain is the answer to a password that is not encrypted, where it must
// be. Nothing but the form of the password decides on it.
var errPlain = denied("Client login with unencrypted passwords is disabled. Please generate an encrypted password in the user admin panel for use here.")

// Login checks a user's name, or e-mail address, and password at the sign-in
// page, where an encrypted password is none. Errors are those of Basic.
func (s *Service) Login(ctx context.Context, username, password string, actor gantry.Actor) (Identity, error) {
	id, err := s.login(ctx, username, password, false, actor)
	s.metrics.Auth("credentials", err == nil)
	return id, s.auditFailure(ctx, username, actor, err)
}

// login is Login; client tells that a client uses the credentials in place of
// a person: then an encrypted password is taken too, and may be required.
func (s *Service) login(ctx context.Context, username, password string, client bool, actor gantry.Actor) (Identity, error) {
	if len(username) > 512 || len(password) > maxPassword || strings.ContainsRune(username+password, 0) || !utf8.ValidString(username) {
		return Identity{}, errWrong
	}
	if client {
		plain, ok := s.keys.DecryptPassword(password)
		switch {
		case ok:
			password = plain
		case !s.Settings().RequireEncryptedBasicAuth:
		case !looksEncrypted(password):
			return Identity{}, errPlain
		default:
			// One that does not open is a wrong password like any other. If it
			// were told apart, by the answer or by the time that it takes, who
			// has an encrypted password could find out what is in it.
			password = rand.Text()
		}
	}
	if !s.Passwords() {
		return s.externalLogin(ctx, username, password, actor)
	}
	mail := strings.Contains(username, "@")
	if !mail { // no look at the store: a name that is there costs none either
		f, _ := s.strange.get(username, s.now())
		if err := backoff(f.n, f.last, s.now()); err != nil {
			return Identity{}, err
		}
	}
	find := s.account
	if mail {
		find = s.store.UserByEmail
	}
	a, err := find(ctx, username)
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return Identity{}, err
	}
	if err != nil || a.Kind != gantry.User || a.PasswordHash == "" {
		return Identity{}, s.stranger(ctx, username, password, actor)
	}
	key, early := s.proofOf(a.ID, password, a.PasswordHash), backoff(a.FailedLogins, a.FailedLogin, s.now())
	if !s.isProven(key) {
		if early != nil {
			return Identity{}, early
		}
		if a, err = s.prove(ctx, a.ID, password, actor); err != nil {
			return Identity{}, err
		}
	}
	if !a.Enabled {
		return Identity{}, errDisabled
	}
	if !a.Verified && s.Settings().VerifiedOnly {
		return Identity{}, errUnverified
	}
	// A client whose password was right of late goes on while somebody else
	// guesses; it does not make the guesser's wait shorter.
	if a.FailedLogins > 0 && early == nil && !s.Settings().ReadOnly {
		if err := s.store.LoginSucceeded(ctx, a.ID); err != nil && !isAway(err) {
			return Identity{}, err
		}
	}
	return s.identify(a, gantry.ActorUser, a.UUID, nil, actor), nil
}

// isProven reports whether credentials were right of late. Who keeps using
// them is not forgotten, so that nobody can lock him out.
func (s *Service) isProven(key [32]byte) bool {
	now := s.now()
	_, ok := s.proven.get(key, now)
	if ok {
		s.proven.put(key, struct{}{}, now.Add(provenLife), now)
	}
	return ok
}

// prove compares a user's password with the stored hash. For each account one
// caller at a time does: of many guesses that come at once, the first makes
// the others wait, and of many clients with the same right password, the
// first hashes for all.
func (s *Service) prove(ctx context.Context, id gantry.AccountID, password string, actor gantry.Actor) (store.Account, error) {
	done, err := s.tries.take(ctx, "account "+strconv.FormatInt(int64(id), 10))
	if err != nil {
		return store.Account{}, err
	}
	defer done()
	a, err := s.store.AccountByID(ctx, id) // as the caller before has left it
	if gantry.Is(err, gantry.NotFound) || err == nil && a.PasswordHash == "" {
		return a, errWrong
	}
	if err != nil {
		return a, err
	}
	key := s.proofOf(id, password, a.PasswordHash)
	if s.isProven(key) {
		return a, nil
	}
	if err := backoff(a.FailedLogins, a.FailedLogin, s.now()); err != nil {
		return a, err
	}
	good, err := s.compare(ctx, a.PasswordHash, password, actor.IP)
	if err != nil {
		return a, err
	}
	if !good {
		if !s.Settings().ReadOnly {
			if err := s.store.LoginFailed(ctx, id); err != nil {
				return a, err
			}
		}
		return a, errWrong
	}
	now := s.now()
	s.proven.put(key, struct{}{}, now.Add(provenLife), now)
	return a, nil
}

// stranger answers for a name that no user has: as prove does for a wrong
// password, at the same cost, so that nobody learns which names there are.
func (s *Service) stranger(ctx context.Context, name, password string, actor gantry.Actor) error {
	done, err := s.tries.take(ctx, "name "+name)
	if err != nil {
		return err
	}
	defer done()
	f, _ := s.strange.get(name, s.now())
	if err := backoff(f.n, f.last, s.now()); err != nil {
		return err
	}
	if _, err := s.store.AccountByID(ctx, 0); err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	if _, err := s.compare(ctx, s.dummy(), password, actor.IP); err != nil {
		return err
	}
	if !s.Settings().ReadOnly {
		if err := s.store.LoginFailed(ctx, 0); err != nil {
			return err
		}
	}
	now := s.now()
	s.strange.update(name, now, now.Add(maxBackoff), func(f failures) failures { return failures{f.n + 1, now} })
	return errWrong
}

// backoff refuses a try that comes too soon after n wrong ones.
func backoff(n int, last, now time.Time) error {
	if n <= 0 {
		return nil
	}
	wait := maxBackoff
	if n < 30 {
		wait = min(wait, time.Duration(0.5*(math.Exp2(float64(n))-1)*float64(time.Second)))
	}
	if rest := last.Add(wait).Sub(now); rest > 0 {
		return &gantry.Error{Code: gantry.Unauthenticated, Object: "credentials", Reason: gantry.LoginBackoff, Retry: rest,
			Detail: "Too many login attempts."}
	}
	return nil
}

// compare runs bcrypt in one of the few slots for it. ip is who asks.
func (s *Service) compare(ctx context.Context, hash, password, ip string) (bool, error) {
	leave, err := s.hashing.enter(ctx, ip)
	if err != nil {
		return false, err
	}
	defer leave()
	return bcrypt.CompareHashAndPassword([]byte(hash), shorten(password)) == nil, nil
}

// CheckPassword is Quay's rule for a new password, and that Login takes what
// is set. The error is Invalid on "password".
func CheckPassword(p string) error {
	switch {
	case utf8.RuneCountInString(p) < 8 || strings.ContainsFunc(p, unicode.IsSpace):
		return gantry.Errorf(gantry.Invalid, "password", "Invalid password, password must be at least 8 characters and contain no whitespace.")
	case len(p) > maxPassword:
		return gantry.Errorf(gantry.Invalid, "password", "Invalid password, password must be at most %d bytes.", maxPassword)
	case strings.ContainsRune(p, 0) || !utf8.ValidString(p):
		return gantry.Errorf(gantry.Invalid, "password", "Invalid password, password must be text without NUL characters.")
	}
	return nil
}

// shorten cuts a password to what bcrypt, here and in Quay, looks at.
func shorten(password string) []byte { return []byte(password[:min(len(password), 72)]) }

// HashPassword returns the stored form of a password.
func (s *Service) HashPassword(ctx context.Context, password string) (string, error) {
	leave, err := s.hashing.enter(ctx, "")
	if err != nil {
		return "", err
	}
	defer leave()
	b, err := bcrypt.GenerateFromPassword(shorten(password), s.opts.BcryptCost)
	return string(b), err
}

// dummy is a hash that nothing has, so that a name that is not there costs as
// much as a wrong password.
func (s *Service) dummy() string {
	return fmt.Sprintf("$2a$%02d$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234", s.opts.BcryptCost)
}

// proofOf names credentials that were right, in this process only.
func (s *Service) proofOf(id gantry.AccountID, password, stored string) (k [32]byte) {
	h := hmac.New(sha256.New, s.proof)
	b := binary.AppendVarint(nil, int64(id))
	b = binary.AppendUvarint(b, uint64(len(password)))
	b = append(b, password...)
	_, _ = h.Write(append(b, stored...)) // never fails
	h.Sum(k[:0])
	return k
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Service) robot(ctx context.Context, username, password string, actor gantry.Actor) (Identity, error) {
	wrong := denied("Could not find robot with username: %s and supplied password.", username)
	if !s.Settings().robotAllowed(username) {
		return Identity{}, denied("Robot account %s is not allowed: robots are switched off.", username)
	}
	a, err := s.account(ctx, username)
	if gantry.Is(err, gantry.NotFound) || err == nil && (a.Kind != gantry.Robot || a.Secret == "") {
		return Identity{}, wrong
	}
	if err != nil {
		return Identity{}, err
	}
	token, err := s.keys.Open(robotColumn, a.UUID, a.Secret)
	if err != nil {
		return Identity{}, err
	}
	temporary := !same(token, password)
	if temporary {
		good, err := s.checkRobotToken(ctx, a, password)
		if err != nil {
			return Identity{}, err
		}
		if !good {
			return Identity{}, wrong
		}
	}
	if !a.Active() {
		return Identity{}, errDisabled
	}
	i := s.identify(a, gantry.ActorRobot, a.Name, nil, actor)
	i.Temporary = temporary
	return i, nil
}

// Split of an application token.
const appNameLen = 60

func (s *Service) appToken(ctx context.Context, code string, actor gantry.Actor) (Identity, error) {
	wrong := denied("Invalid token")
	if !s.Settings().AppSpecificTokens || len(code) != 2*appNameLen || !utf8.ValidString(code) {
		return Identity{}, wrong
	}
	row, _, err := s.memory.appTokens.ask(code[:appNameLen], func() (r appTokenRow, err error) {
		r.token, r.account, err = s.store.AppToken(ctx, code[:appNameLen])
		return r, err
	})
	k, a := row.token, row.account
	if gantry.Is(err, gantry.NotFound) {
		return Identity{}, wrong
	}
	if err != nil {
		return Identity{}, err
	}
	secret, err := s.keys.Open(appColumn, k.UUID, k.Secret)
	if err != nil {
		return Identity{}, err
	}
	if !same(secret, code[appNameLen:]) || !k.Expires.IsZero() && !s.now().Before(k.Expires) {
		return Identity{}, wrong
	}
	if !a.Active() {
		return Identity{}, errDisabled
	}
	return s.identify(a, gantry.ActorApp, k.UUID, nil, actor), nil
}

const oauthNameLen = 20

// OAuth checks an OAuth access token, as a Bearer of the API or the password
// of $oauthtoken.
func (s *Service) OAuth(ctx context.Context, token string, actor gantry.Actor) (Identity, error) {
	wrong := denied("OAuth access token could not be validated")
	if len(token) != 2*oauthNameLen || !utf8.ValidString(token) || strings.ContainsRune(token, 0) {
		return Identity{}, wrong
	}
	o, a, err := s.store.OAuthToken(ctx, token[:oauthNameLen])
	if gantry.Is(err, gantry.NotFound) {
		return Identity{}, wrong
	}
	if err != nil {
		return Identity{}, err
	}
	good := false
	if strings.HasPrefix(o.SecretHash, "$2") { // Quay's
		if good, err = s.compare(ctx, o.SecretHash, token[oauthNameLen:], actor.IP); err != nil {
			return Identity{}, err
		}
	} else {
		good = same(o.SecretHash, oauthHash(token[oauthNameLen:]))
	}
	switch {
	case !good:
		return Identity{}, wrong
	case !o.Expires.IsZero() && !s.now().Before(o.Expires):
		return Identity{}, denied("OAuth access token has expired")
	case !a.Active():
		return Identity{}, errDisabled
	}
	s.tokenUsed(o.ID)
	return s.identify(a, gantry.ActorOAuth, o.UUID, splitScopes(o.Scope), actor), nil
}

// oauthHash is the stored form of a token's random half: 100 random bits need
// no slow hash.
func oauthHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "s1$" + hex.EncodeToString(sum[:])
}

// MakeOAuthToken makes an access token and the row that it is checked with,
// which the caller stores. It ends after life.
func (s *Service) MakeOAuthToken(scope string, life time.Duration) (token string, row store.OAuthToken) {
	token = randomText(2 * oauthNameLen)
	return token, store.OAuthToken{Name: token[:oauthNameLen], SecretHash: oauthHash(token[oauthNameLen:]), Scope: scope,
		Expires: s.now().Add(life)}
}

// NewOAuthToken makes and stores an access token for an account.
func (s *Service) NewOAuthToken(ctx context.Context, account gantry.AccountID, scope string, life time.Duration, actor gantry.Actor) (string, error) {
	token, row := s.MakeOAuthToken(scope, life)
	row.Account = account
	return token, s.store.CreateOAuthToken(ctx, row, actor)
}

// NewRobotToken makes a robot's token: 64 of A-Z0-9, and its sealed form for
// the robot's uuid.
func (s *Service) NewRobotToken(uuid string) (token, sealed string, err error) {
	token = randomText(64)
	sealed, err = s.keys.SealRobot(uuid, token)
	return token, sealed, err
}

// RobotToken opens a robot's token.
func (s *Service) RobotToken(a store.Account) (string, error) {
	if a.Kind != gantry.Robot {
		return "", errors.New("not a robot")
	}
	return s.keys.Open(robotColumn, a.UUID, a.Secret)
}

// alphabet is what tokens are made of, as Quay's.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// randomText returns n characters of alphabet, all equally likely.
func randomText(n int) string {
	out := make([]byte, 0, n)
	var b [64]byte
	most := byte(256 / len(alphabet) * len(alphabet))
	for len(out) < n {
		_, _ = rand.Read(b[:]) // never fails
		for _, c := range b {
			if c < most && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// NewAppToken makes an application token of a user; code is what the user
// gives to clients as the password of $app. It ends at expires; zero = never.
func (s *Service) NewAppToken(ctx context.Context, i *Identity, title string, expires time.Time) (k store.AppToken, code string, err error) {
	k = store.AppToken{Account: i.Account.ID, UUID: NewUUID(), Title: title, Name: randomText(appNameLen),
		Created: s.now(), Expires: expires}
	secret := randomText(appNameLen)
	if k.Secret, err = s.keys.SealApp(k.UUID, secret); err != nil {
		return k, "", err
	}
	return k, k.Name + secret, s.store.CreateAppToken(ctx, k, i.Actor)
}

// AppTokenCode opens an application token.
func (s *Service) AppTokenCode(k store.AppToken) (string, error) {
	secret, err := s.keys.Open(appColumn, k.UUID, k.Secret)
	return k.Name + secret, err
}
