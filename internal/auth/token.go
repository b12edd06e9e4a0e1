package auth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A TokenRequest is a parsed request for a registry token: GET /v2/auth, or
// the OAuth2 form of POST /v2/auth.
type TokenRequest struct {
	Authorization string // the header as it came; "" = none
	Service       string // becomes the token's audience; "" = this registry
	Scopes        []string
	Account       string // not trusted, not used
	Client        string // client_id, for the log
	Offline       bool   // a refresh token is wanted (offline_token=true, access_type=offline)
	Refresh       string // grant_type=refresh_token
	Username      string // grant_type=password
	Password      string
	Actor         gantry.Actor // IP, Request and Agent are filled
	Host          string       // the request's host
}

// A Token is the answer to a TokenRequest.
type Token struct {
	Token        string
	ExpiresIn    time.Duration
	IssuedAt     time.Time
	RefreshToken string   // "" unless one was asked for and is allowed
	Scopes       []string // that were granted, cut down to what is allowed

	User    gantry.AccountID // whose credentials were shown; 0 = nobody's, or a robot's
	Repo    gantry.RepoName  // of the first scope; zero = none was asked for
	Actions []string         // that are granted there
}

const (
	maxTokenLife = time.Hour
	maxFresh     = 3660 * time.Second
	leeway       = 30 * time.Second
	keyLife      = 2 * time.Hour    // INSTANCE_SERVICE_KEY_EXPIRATION
	keyRefresh   = 55 * time.Minute // INSTANCE_SERVICE_KEY_REFRESH
	keyService   = "quay"           // INSTANCE_SERVICE_KEY_SERVICE
	maxToken     = 64 << 10
)

// signer is this instance's own key.
type signer struct {
	mu      sync.Mutex
	key     *rsa.PrivateKey
	kid     string
	jwk     string
	expires time.Time // zero = never
}

type publicKey struct{ key *rsa.PublicKey } // nil: there is none

func (s *Service) startSigning(ctx context.Context) error {
	key, kid := s.opts.ServiceKey, s.opts.KeyID
	if key == nil {
		var err error
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return err
		}
		sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			return err
		}
		kid = hex.EncodeToString(sum)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: "RS256", Use: "sig"})
	if err != nil {
		return err
	}
	s.signing.key, s.signing.kid, s.signing.jwk = key, kid, string(jwk)
	if s.opts.ServiceKey != nil {
		_, err := s.store.ServiceKey(ctx, kid)
		if !gantry.Is(err, gantry.NotFound) {
			return err // it is there, or the store is not
		}
		return s.store.PutServiceKey(ctx, store.ServiceKey{ID: kid, Service: s.opts.KeyService, JWK: string(jwk)})
	}
	s.signing.expires = s.now() // so that it is written
	return s.renew(ctx)
}

// renew moves the end of this instance's key when it comes near.
func (s *Service) renew(ctx context.Context) error {
	s.signing.mu.Lock()
	defer s.signing.mu.Unlock()
	// By the wall clock, as others read the row: the monotonic one stands still
	// while the machine sleeps, and the key would be taken for fresh for long.
	now := s.now().Round(0)
	if s.opts.NoTokens || s.opts.ServiceKey != nil || s.signing.expires.Sub(now) > s.opts.KeyLife-s.opts.KeyRefresh {
		return nil
	}
	until := now.Add(s.opts.KeyLife)
	err := s.store.PutServiceKey(ctx, store.ServiceKey{ID: s.signing.kid, Service: s.opts.KeyService, JWK: s.signing.jwk, Expires: until})
	s.metrics.KeyRenewal(err == nil)
	if err == nil {
		s.signing.expires = until
	}
	return err
}

// outlives reports whether this instance's key is good for as long as d.
func (s *Service) outlives(d time.Duration) bool {
	s.signing.mu.Lock()
	defer s.signing.mu.Unlock()
	return s.signing.expires.IsZero() || s.signing.expires.Sub(s.now().Round(0)) > d
}

// claims are those of a registry token.
type claims struct {
	Issuer    string         `json:"iss"`
	Audience  string         `json:"aud"`
	Subject   string         `json:"sub"`
	IssuedAt  int64          `json:"iat"`
	NotBefore int64          `json:"nbf"`
	Expires   int64          `json:"exp"`
	Access    []access       `json:"access"`
	Context   map[string]any `json:"context"`
	Gantry    *private       `json:"gantry,omitempty"`
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// private is what only Gantry reads: ids beside the names, so that a token
// does not open what was created anew under a name.
type private struct {
	Account gantry.AccountID `json:"a,omitempty"`
	Kind    string           `json:"k"`
	Repos   []gantry.RepoID  `json:"r"` // as access; 0 = nothing granted
	Super   bool             `json:"s,omitempty"`
	Full    bool             `json:"f,omitempty"`
	ReadAll bool             `json:"ra,omitempty"`
	Catalog bool             `json:"c,omitempty"`
}

// scopes are the grants in the words of a scope parameter.
func (c *claims) scopes() (all []string) {
	for _, a := range c.Access {
		if len(a.Actions) > 0 {
			all = append(all, a.Type+":"+a.Name+":"+strings.Join(a.Actions, ","))
		}
	}
	if c.Gantry.Catalog {
		all = append(all, "registry:catalog:*")
	}
	return all
}

const anonymousName = "(anonymous)"

// Token issues a registry token, as registry-protocol.md §2 says: what may not
// be granted is left out, a repository that is pushed to and may be created is
// created. Errors: Unauthenticated; Invalid for a name; ReadOnly on
// "namespace" for a disabled one; Unsupported when a namespace cannot be made.
func (s *Service) Token(ctx context.Context, r TokenRequest) (Token, error) {
	id, err := s.caller(ctx, r)
	if err != nil {
		return Token{}, err
	}
	set := s.Settings()
	aud := s.audience(r.Host)
	scopes, catalog, err := ParseScopes(r.Scopes, aud, set.Names)
	if err != nil {
		return Token{}, err
	}
	if id.Anonymous() {
		if !set.AnonymousAccess || len(scopes) == 0 && !catalog {
			return Token{}, denied("Credentials are required")
		}
	}
	if r.Service == "" {
		r.Service = aud
	}
	now := s.now()
	c := claims{Issuer: s.opts.KeyService, Audience: r.Service, Subject: id.Account.Name, IssuedAt: now.Unix(), NotBefore: now.Unix(),
		Expires: now.Add(s.tokenLife()).Unix(), Access: []access{}, Context: tokenContext(&id),
		Gantry: &private{Account: id.Account.ID, Kind: id.Actor.Kind, Super: id.Superuser, Full: id.FullAccess,
			ReadAll: id.ReadOnlySuperuser, Catalog: catalog}}
	if id.Anonymous() {
		c.Subject, c.Gantry.Kind = anonymousName, gantry.ActorAnonymous
	}
	for _, scope := range scopes {
		a, repo, err := s.grant(ctx, &id, scope)
		if err != nil {
			return Token{}, err
		}
		c.Access = append(c.Access, a)
		c.Gantry.Repos = append(c.Gantry.Repos, repo)
	}
	if len(scopes) == 0 && set.AuditLogins && !set.ReadOnly && !id.Anonymous() {
		err := s.store.LogLogin(ctx, "login_success", id.Account.ID, id.Actor, map[string]any{"type": "v2auth", "useragent": r.Actor.Agent})
		if err != nil {
			return Token{}, err
		}
	}
	t := Token{ExpiresIn: s.tokenLife(), IssuedAt: now, Scopes: c.scopes()}
	if id.Actor.Human() {
		t.User = id.Account.ID
	}
	if len(scopes) > 0 {
		t.Repo, t.Actions = scopes[0].Repo, c.Access[0].Actions
	}
	if t.Token, err = s.sign(ctx, c); err != nil {
		return Token{}, err
	}
	if r.Offline && !id.Anonymous() && !id.Temporary && (id.Actor.Kind == gantry.ActorUser && s.mayRefresh(&id.Account) || id.Actor.Kind == gantry.ActorRobot) {
		t.RefreshToken = s.sealRefresh(&id.Account, now)
	}
	return t, nil
}

// caller finds out who asks for a token.
func (s *Service) caller(ctx context.Context, r TokenRequest) (Identity, error) {
	switch {
	case r.Refresh != "":
		return s.openRefresh(ctx, r.Refresh, r.Actor)
	case r.Username != "" || r.Password != "":
		return s.Basic(ctx, r.Username, r.Password, r.Actor)
	case r.Authorization == "":
		i := Identity{Actor: r.Actor}
		i.Actor.Kind = gantry.ActorAnonymous
		return i, nil
	}
	user, password, ok := ParseBasic(r.Authorization)
	if !ok {
		return Identity{}, denied("The Authorization header must hold Basic credentials")
	}
	return s.Basic(ctx, user, password, r.Actor)
}

// ParseBasic reads an Authorization header of the Basic kind.
func ParseBasic(header string) (user, password string, ok bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") || len(rest) > 16<<10 {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}

// grant decides one scope.
func (s *Service) grant(ctx context.Context, id *Identity, scope Scope) (access, gantry.RepoID, error) {
	set := s.Settings()
	a := access{Type: "repository", Name: scope.Text, Actions: []string{}}
	rights, stale, err := s.memory.rights.ask(rightsKey{id.Account.ID, scope.Repo}, func() (store.Rights, error) {
		return s.store.RepositoryAccess(ctx, id.Account.ID, scope.Repo)
	})
	if err != nil {
		return a, 0, err
	}
	if stale && (scope.Push || scope.Star) {
		return a, 0, errNoPushes()
	}
	repo := &rights.Repository
	if repo.Namespace != 0 && !repo.NamespaceEnabled {
		return a, 0, &gantry.Error{Code: gantry.ReadOnly, Object: "namespace", Reason: gantry.NamespaceDisabled,
			Detail: fmt.Sprintf("namespace %q is disabled", scope.Repo.Namespace)}
	}
	proxy := false
	if s.opts.ProxyCache != nil && repo.Namespace != 0 {
		if proxy, err = s.opts.ProxyCache(ctx, repo.Namespace); err != nil {
			return a, 0, err
		}
	}
	if scope.Push && repo.ID == 0 && !proxy && !set.ReadOnly {
		if rights, err = s.createOnPush(ctx, id, scope.Repo, rights); err != nil {
			return a, 0, err
		}
		repo = &rights.Repository
	}
	role := id.Role(rights, set.AnonymousAccess)
	if scope.Pull && (role >= gantry.Read || proxy && rights.Team != "" && id.Has(ScopeRepoRead)) {
		a.Actions = append(a.Actions, "pull")
	}
	if scope.Pull && repo.ID == 0 && !proxy && id.MayCreate(rights) {
		// Whoever could make the repository may know that it is not there:
		// clients look whether an image is there before they push it.
		a.Actions = append(a.Actions, "pull")
	}
	if scope.Push && !proxy && repo.ID != 0 {
		var robot gantry.AccountID
		if repo.State == gantry.Mirror || repo.State == gantry.OrgMirror {
			if s.opts.MirrorRobot != nil {
				if robot, err = s.opts.MirrorRobot(ctx, repo.ID); err != nil {
					return a, 0, err
				}
			}
		}
		if mayPush(id, role, repo.State, robot) {
			a.Actions = append(a.Actions, "push")
		}
	}
	if scope.Star && role >= gantry.Admin && repo.State == gantry.Normal {
		a.Actions = append(a.Actions, "*")
	}
	if len(a.Actions) == 0 {
		return a, 0, nil
	}
	return a, repo.ID, nil
}

// createOnPush makes the repository that id wants to push to, where it may,
// and returns what is there then.
func (s *Service) createOnPush(ctx context.Context, id *Identity, name gantry.RepoName, r store.Rights) (store.Rights, error) {
	set := s.Settings()
	n := store.NewRepository{Name: name, Creator: id.Account.ID}
	if set.CreatePublicRepoOnPush {
		n.Visibility = gantry.Public
	}
	switch {
	case r.Repository.Namespace == 0:
		if !set.CreateNamespaceOnPush || !set.MayCreateOrganization(id) || !id.Has(ScopeRepoCreate) {
			return r, nil
		}
		n.MakeNamespace = true
		if user, domain, ok := strings.Cut(id.Account.Email, "@"); ok {
			n.Email = user + "+" + name.Namespace + "@" + domain
		}
	case !id.MayCreate(r):
		return r, nil
	}
	_, err := s.store.CreateRepository(ctx, n, id.Actor)
	switch {
	case err == nil, gantry.Is(err, gantry.Conflict): // another push was first
	case n.MakeNamespace && gantry.Is(err, gantry.Invalid):
		return r, &gantry.Error{Code: gantry.Unsupported, Object: "namespace", Detail: "the namespace could not be created", Err: err}
	default:
		return r, err
	}
	return s.store.RepositoryAccess(ctx, id.Account.ID, name)
}

// tokenContext is Quay's context claim.
func tokenContext(id *Identity) map[string]any {
	c := map[string]any{"version": 2, "com.apostille.root": "$disabled"}
	if id.Anonymous() {
		c["entity_kind"], c["kind"] = gantry.ActorAnonymous, gantry.ActorAnonymous
		return c
	}
	c["entity_kind"], c["entity_reference"], c["user"], c["kind"] = id.Actor.Kind, id.Reference, id.Account.Name, "user"
	if id.Actor.Kind == gantry.ActorOAuth {
		c["kind"] = "oauth"
	}
	return c
}

// tokenLife is how long a new token lives.
func (s *Service) tokenLife() time.Duration { return min(maxTokenLife, s.opts.MaxFresh) }

// sign makes a token of this registry with the claims c.
func (s *Service) sign(ctx context.Context, c any) (string, error) {
	if s.opts.NoTokens {
		return "", errors.New("auth: made with NoTokens")
	}
	if err := s.renew(ctx); err != nil && !(isAway(err) && s.outlives(s.tokenLife())) { // a signature that nobody can check is no use
		return "", err
	}
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": s.signing.kid})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.signing.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// Verify checks a bearer token for a request to host. The error is
// Unauthenticated on "token". What it found is kept until the token ends.
func (s *Service) Verify(ctx context.Context, token, host string) (*Grants, error) {
	now := s.now()
	key := sha256.Sum256([]byte(token))
	g, ok := s.verified.get(key, now)
	if !ok {
		var err error
		if g, err = s.verify(ctx, token, now); err != nil {
			s.metrics.Bearer(false)
			return nil, err
		}
		s.verified.put(key, g, g.expires.Add(leeway), now)
	}
	if !sameHost(g.audience, s.audience(host)) {
		s.metrics.Bearer(false)
		return nil, badToken("it is for another registry", nil)
	}
	s.metrics.Bearer(true)
	return g, nil
}

func badToken(why string, err error) error {
	return &gantry.Error{Code: gantry.Unauthenticated, Object: "token", Detail: "the bearer token is not valid: " + why, Err: err}
}

// signed returns the claims of a token that a key of this registry signed.
func (s *Service) signed(ctx context.Context, token string, now time.Time) ([]byte, error) {
	if len(token) > maxToken {
		return nil, badToken("it is too long", nil)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(jws.Signatures) != 1 {
		return nil, badToken("it cannot be read", err)
	}
	kid := jws.Signatures[0].Header.KeyID
	pub, err := s.publicKey(ctx, kid, now)
	if err != nil {
		return nil, err
	}
	if pub == nil {
		return nil, badToken("its key is not known", nil)
	}
	body, err := jws.Verify(pub)
	if err != nil {
		return nil, badToken("its signature is wrong", err)
	}
	return body, nil
}

func (s *Service) verify(ctx context.Context, token string, now time.Time) (*Grants, error) {
	body, err := s.signed(ctx, token, now)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, badToken("its claims cannot be read", err)
	}
	exp, nbf, iat := time.Unix(c.Expires, 0), time.Unix(c.NotBefore, 0), time.Unix(c.IssuedAt, 0)
	switch {
	case c.Issuer != s.opts.KeyService || c.Subject == "" || c.Audience == "":
		return nil, badToken("a claim is missing or wrong", nil)
	case c.Expires-c.IssuedAt > int64(s.opts.MaxFresh/time.Second) || c.Expires <= c.IssuedAt:
		return nil, badToken("it lives too long", nil)
	case now.After(exp.Add(leeway)):
		return nil, badToken("it has expired", nil)
	case now.Before(nbf.Add(-leeway)) || now.Before(iat.Add(-leeway)):
		return nil, badToken("it is not valid yet", nil)
	}
	return s.grants(ctx, &c)
}

// publicKey returns the key of a kid, nil if there is none.
func (s *Service) publicKey(ctx context.Context, kid string, now time.Time) (*rsa.PublicKey, error) {
	if kid == "" || len(kid) > 128 || strings.ContainsRune(kid, 0) { // which no database takes
		return nil, nil
	}
	if kid == s.signing.kid {
		return &s.signing.key.PublicKey, nil
	}
	if k, ok := s.public.get(kid, now); ok {
		return k.key, nil
	}
	row, err := s.store.ServiceKey(ctx, kid)
	if gantry.Is(err, gantry.NotFound) || err == nil && row.Service != s.opts.KeyService {
		s.public.put(kid, &publicKey{}, now.Add(10*time.Second), now)
		return nil, nil
	}
	if err != nil {
		if key := s.knownKey(kid, now); key != nil && isAway(err) {
			return key, nil
		}
		return nil, err
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal([]byte(row.JWK), &jwk); err != nil {
		return nil, fmt.Errorf("service key %s: %w", kid, err)
	}
	key, _ := jwk.Key.(*rsa.PublicKey)
	until := now.Add(5 * time.Minute)
	if !row.Expires.IsZero() && row.Expires.Before(until) {
		until = row.Expires
	}
	s.public.put(kid, &publicKey{key}, until, now)
	if key != nil && !s.store.Exclusive() {
		s.rememberKey(kid, knownKey{key, row.Expires})
	}
	return key, nil
}

// grants reads the claims. A token of another implementation has names only:
// they are looked up once.
func (s *Service) grants(ctx context.Context, c *claims) (*Grants, error) {
	g := &Grants{audience: c.Audience, expires: time.Unix(c.Expires, 0), Anonymous: c.Subject == anonymousName}
	g.Actor.Kind = gantry.ActorAnonymous
	foreign := c.Gantry == nil || len(c.Gantry.Repos) != len(c.Access)
	switch {
	case !foreign:
		g.Actor.Account, g.Actor.Kind = c.Gantry.Account, c.Gantry.Kind
		g.Superuser, g.FullAccess, g.ReadOnlySuperuser, g.Catalog = c.Gantry.Super, c.Gantry.Full, c.Gantry.ReadAll, c.Gantry.Catalog
	case !g.Anonymous:
		a, err := s.account(ctx, c.Subject)
		if err != nil && !gantry.Is(err, gantry.NotFound) {
			return nil, err
		}
		if err == nil {
			i := Identity{Account: a}
			s.Settings().rank(&i)
			g.Actor.Account = a.ID
			g.Superuser, g.FullAccess, g.ReadOnlySuperuser = i.Superuser, i.FullAccess, i.ReadOnlySuperuser
		}
		g.Actor.Kind = gantry.ActorUser
		if kind, ok := c.Context["entity_kind"].(string); ok {
			g.Actor.Kind = kind
		}
	}
	if !g.Anonymous {
		g.Actor.Name = c.Subject
	}
	if len(c.Access) > maxScopes {
		return nil, badToken("it is for too many repositories", nil)
	}
	for n, a := range c.Access {
		role := gantry.NoRole
		for _, action := range a.Actions {
			switch action {
			case "*":
				role = gantry.Admin
			case "push":
				role = max(role, gantry.Write)
			case "pull":
				role = max(role, gantry.Read)
			}
		}
		if a.Type != "repository" || role == gantry.NoRole {
			continue
		}
		path := a.Name
		if first, tail, ok := strings.Cut(path, "/"); ok && sameHost(first, c.Audience) {
			path = tail
		}
		name, err := s.Settings().Names.ParseRepoName(path)
		if err != nil {
			continue
		}
		if !foreign {
			g.add(name, c.Gantry.Repos[n], role)
			continue
		}
		r, err := s.store.Repository(ctx, name)
		if gantry.Is(err, gantry.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g.add(name, r.ID, role)
	}
	return g, nil
}

// sealRefresh makes a refresh token: it needs no row, and ends when the
// account's password or token changes.
func (s *Service) sealRefresh(a *store.Account, now time.Time) string {
	nonce := make([]byte, s.keys.refresh.NonceSize())
	_, _ = rand.Read(nonce)                                                                 // never fails
	plain := binary.BigEndian.AppendUint64(nil, uint64(now.Add(s.opts.RefreshLife).Unix())) //nolint:gosec // after 1970
	plain = binary.BigEndian.AppendUint64(plain, uint64(a.ID))                              //nolint:gosec // ids are not negative
	sum := sha256.Sum256([]byte(a.PasswordHash + "\x00" + a.Secret))
	plain = append(plain, sum[:]...)
	return base64.RawURLEncoding.EncodeToString(s.keys.refresh.Seal(nonce, nonce, plain, nil))
}

func (s *Service) openRefresh(ctx context.Context, token string, actor gantry.Actor) (Identity, error) {
	wrong := denied("Invalid refresh token")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	n := s.keys.refresh.NonceSize()
	if err != nil || len(raw) < n || len(raw) > 1024 {
		return Identity{}, wrong
	}
	plain, err := s.keys.refresh.Open(nil, raw[:n], raw[n:], nil)
	if err != nil || len(plain) != 48 || s.now().Unix() >= int64(binary.BigEndian.Uint64(plain)) { //nolint:gosec // sealed by us
		return Identity{}, wrong
	}
	account := gantry.AccountID(binary.BigEndian.Uint64(plain[8:])) //nolint:gosec // sealed by us
	a, _, err := s.memory.byID.ask(account, func() (store.Account, error) { return s.store.AccountByID(ctx, account) })
	if gantry.Is(err, gantry.NotFound) {
		return Identity{}, wrong
	}
	if err != nil {
		return Identity{}, err
	}
	sum := sha256.Sum256([]byte(a.PasswordHash + "\x00" + a.Secret))
	if !same(string(sum[:]), string(plain[16:])) {
		return Identity{}, wrong
	}
	if a.Kind == gantry.User && !s.mayRefresh(&a) {
		return Identity{}, wrong
	}
	if !a.Active() {
		return Identity{}, errDisabled
	}
	kind, reference := gantry.ActorUser, a.UUID
	if a.Kind == gantry.Robot {
		kind, reference = gantry.ActorRobot, a.Name
		if !s.Settings().robotAllowed(a.Name) {
			return Identity{}, wrong
		}
	}
	return s.identify(a, kind, reference, nil, actor), nil
}

// mayRefresh reports whether a user's refresh tokens end with the password:
// where somebody else keeps it, nobody would tell.
func (s *Service) mayRefresh(a *store.Account) bool { return s.Passwords() && a.PasswordHash != "" }

// NewUUID returns a random uuid, for rows that a secret is bound to.
func NewUUID() string { return uuid.NewString() }

// KeyID is the id of the key that this instance signs with.
func (s *Service) KeyID() string { return s.signing.kid }
