package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// Limits of what an issuer may send.
const (
	maxDiscovery = 256 << 10
	maxExternal  = 16 << 10 // bytes of a token of another issuer
	issuerKept   = 10 * time.Minute
	issuerAgain  = 10 * time.Second // an issuer is not asked again sooner, whatever comes
	maxIssuers   = 1000
)

// externalAlgorithms are those with which an issuer may sign. None of them is
// symmetric: a public key is no shared secret.
var externalAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// A Federation lets identities of other providers act as robots, as the
// owners of the robots have said.
type Federation struct {
	auth   *Service
	client *http.Client

	issuers *expiring[string, issuerKeys]
	asking  turns
}

type issuerKeys struct {
	keys []jose.JSONWebKey
	at   time.Time
	err  error // why there are none
}

// NewFederation returns a Federation that asks issuers with client, which
// guards the network of the registry and follows no redirect.
func NewFederation(s *Service, client *http.Client) *Federation {
	return &Federation{auth: s, client: client, issuers: newExpiring[string, issuerKeys](maxIssuers)}
}

// CheckIssuer takes the address of an issuer: of https, without query.
func CheckIssuer(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > 255 || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery ||
		u.Fragment != "" || strings.ContainsAny(text, " \t\r\n#") {
		return gantry.Errorf(gantry.Invalid, "issuer", "issuer must be an https address without query and fragment, of at most 255 bytes: %.80q", text)
	}
	return nil
}

// externalClaims are what is looked at in a token of another issuer.
type externalClaims struct {
	Issuer    string       `json:"iss"`
	Subject   string       `json:"sub"`
	Expires   *json.Number `json:"exp"`
	NotBefore *json.Number `json:"nbf"`
	IssuedAt  *json.Number `json:"iat"`
}

// Exchange checks a token of another issuer and returns a short-lived one that
// is a password of the robot; see Service.Basic. What is wrong is
// Unauthenticated with one text, so that nobody learns which robots there are
// and whom they trust; Unavailable says that the issuer does not answer.
func (f *Federation) Exchange(ctx context.Context, robot, token string, actor gantry.Actor) (string, error) {
	s := f.auth
	wrong := func(err error) error {
		s.metrics.Auth("federation", false)
		return &gantry.Error{Code: gantry.Unauthenticated, Object: "credentials", Err: err,
			Detail: "The robot is not there, or the token is not valid, or its issuer and subject may not act as the robot."}
	}
	if len(robot) > 512 || len(token) > maxExternal || strings.ContainsRune(robot, 0) {
		return "", wrong(nil)
	}
	jws, err := jose.ParseSignedCompact(token, externalAlgorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return "", wrong(err)
	}
	var c externalClaims // not believed yet
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c); err != nil {
		return "", wrong(err)
	}
	a, err := s.store.Account(ctx, robot)
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return "", err
	}
	if err != nil || a.Kind != gantry.Robot || !a.Active() || !s.Settings().robotAllowed(robot) {
		return "", wrong(err)
	}
	// Before anybody is asked: the caller does not choose who that is.
	switch ok, err := s.federated(ctx, a, c.Issuer, c.Subject); {
	case err != nil:
		return "", err
	case !ok:
		return "", wrong(nil)
	}
	if err := f.verify(ctx, c.Issuer, jws); err != nil {
		if gantry.Is(err, gantry.Unavailable) {
			return "", err
		}
		return "", wrong(err)
	}
	if err := c.check(s.now()); err != nil {
		return "", wrong(err)
	}
	out, err := s.signRobot(ctx, a, c.Issuer, c.Subject)
	if err != nil {
		return "", err
	}
	if !s.Settings().ReadOnly {
		actor.Account, actor.Name, actor.Kind = a.ID, a.Name, gantry.ActorRobot
		if err := s.store.Record(ctx, store.Event{Kind: "federated_robot_token_exchange", Namespace: a.Owner, Actor: actor,
			Payload: map[string]any{"robot": a.Short(), "issuer": c.Issuer, "subject": c.Subject}}); err != nil {
			return "", err
		}
	}
	s.metrics.Auth("federation", true)
	return out, nil
}

// federated reports whether an identity may act as a robot.
func (s *Service) federated(ctx context.Context, robot store.Account, issuer, subject string) (bool, error) {
	if issuer == "" || subject == "" {
		return false, nil
	}
	list, err := s.store.RobotFederation(ctx, robot.ID)
	return slices.Contains(list, store.FederatedIdentity{Issuer: issuer, Subject: subject}), err
}

// check holds the times of a token whose signature is good.
func (c *externalClaims) check(now time.Time) error {
	at := func(n *json.Number) (time.Time, error) {
		f, err := n.Float64()
		if err != nil || f < 0 || f > 1e11 {
			return time.Time{}, fmt.Errorf("%.40q is no time", n.String())
		}
		return time.Unix(int64(f), 0), nil
	}
	if c.Expires == nil {
		return errors.New("the token does not expire")
	}
	exp, err := at(c.Expires)
	if err != nil {
		return err
	}
	if !now.Before(exp.Add(leeway)) {
		return errors.New("the token has expired")
	}
	for _, n := range []*json.Number{c.NotBefore, c.IssuedAt} {
		if n == nil {
			continue
		}
		from, err := at(n)
		if err != nil {
			return err
		}
		if now.Before(from.Add(-leeway)) {
			return errors.New("the token is not valid yet")
		}
	}
	return nil
}

// verify holds a token's signature to the keys of its issuer, which is asked
// anew where it has none of that id.
func (f *Federation) verify(ctx context.Context, issuer string, jws *jose.JSONWebSignature) error {
	kid := jws.Signatures[0].Header.KeyID
	keys, err := f.keysOf(ctx, issuer, time.Time{})
	if err != nil {
		return err
	}
	has := func(k jose.JSONWebKey) bool { return kid == "" || k.KeyID == kid }
	if !slices.ContainsFunc(keys.keys, has) {
		if keys, err = f.keysOf(ctx, issuer, keys.at); err != nil {
			return err
		}
	}
	for _, k := range keys.keys {
		if !has(k) || k.Use != "" && k.Use != "sig" || !k.IsPublic() || k.Algorithm != "" && k.Algorithm != jws.Signatures[0].Header.Algorithm {
			continue
		}
		if _, err := jws.Verify(k.Key); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no key of %s made the signature", issuer)
}

// keysOf returns the keys of an issuer, as they are known; those that were
// read at the time stale are not good any more, unless that was just now.
func (f *Federation) keysOf(ctx context.Context, issuer string, stale time.Time) (issuerKeys, error) {
	fresh := func() (issuerKeys, bool) {
		now := f.auth.now()
		k, ok := f.issuers.get(issuer, now)
		return k, ok && (!k.at.Equal(stale) || now.Sub(k.at) < issuerAgain)
	}
	k, ok := fresh()
	if ok {
		return k, k.err
	}
	done, err := f.asking.take(ctx, issuer) // one at a time, for all
	if err != nil {
		return k, err
	}
	defer done()
	if k, ok = fresh(); ok {
		return k, k.err
	}
	now := f.auth.now()
	old, had := f.issuers.get(issuer, now)
	k = issuerKeys{at: now}
	kept := issuerKept
	switch k.keys, err = f.ask(ctx, issuer); {
	case err == nil:
	case ctx.Err() != nil: // of the caller, not of the issuer
		return k, ctx.Err()
	case had && old.err == nil: // those that were good go on
		k.keys = old.keys
	default:
		k.err = &gantry.Error{Code: gantry.Unavailable, Object: "issuer", Retry: issuerAgain, Detail: "The issuer of the token does not answer as it should; try again", Err: err}
		kept = issuerAgain
	}
	f.issuers.put(issuer, k, now.Add(kept), now)
	return k, k.err
}

// ask reads the keys of an issuer: where they are stands in its discovery
// document.
func (f *Federation) ask(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
	if err := CheckIssuer(issuer); err != nil { // it may have come from elsewhere
		return nil, err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := f.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &doc); err != nil {
		return nil, fmt.Errorf("discovery of %s: %w", issuer, err)
	}
	if doc.Issuer != issuer {
		return nil, fmt.Errorf("discovery of %s: it is of the issuer %.200q", issuer, doc.Issuer)
	}
	if u, err := url.Parse(doc.JWKS); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("discovery of %s: jwks_uri is no https address", issuer)
	}
	// One by one: a key of a kind that is not known here spoils no other.
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := f.get(ctx, doc.JWKS, &set); err != nil {
		return nil, fmt.Errorf("keys of %s: %w", issuer, err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys[:min(len(set.Keys), 100)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("keys of %s: there is none that can be used", issuer)
	}
	return keys, nil
}

func (f *Federation) get(ctx context.Context, address string, v any) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	res, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %d", res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxDiscovery+1))
	if err != nil {
		return err
	}
	if len(b) > maxDiscovery {
		return fmt.Errorf("the answer is larger than %d bytes", maxDiscovery)
	}
	return json.Unmarshal(b, v)
}

// robotAudience marks a token that is a robot's password. No host is called
// so: as a bearer token it is none.
const robotAudience = "robot federation"

// robotClaims are those of a robot's short-lived password. It is good while
// the robot is the same and the identity may act as it.
type robotClaims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	Subject   string `json:"sub"`
	Robot     string `json:"robot"` // its uuid
	External  string `json:"external_iss"`
	Identity  string `json:"external_sub"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
}

// signRobot makes the short-lived password of a robot.
func (s *Service) signRobot(ctx context.Context, a store.Account, issuer, subject string) (string, error) {
	now := s.now()
	return s.sign(ctx, robotClaims{Issuer: s.opts.KeyService, Audience: robotAudience, Subject: a.Name, Robot: a.UUID, External: issuer, Identity: subject,
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(s.tokenLife()).Unix()})
}

// maxRobotToken is the longest password of a robot that signRobot made.
const maxRobotToken = 4096

// checkRobotToken reports whether password is a good short-lived one of the
// robot.
func (s *Service) checkRobotToken(ctx context.Context, a store.Account, password string) (bool, error) {
	if len(password) > maxRobotToken || strings.Count(password, ".") != 2 {
		return false, nil
	}
	now := s.now()
	body, err := s.signed(ctx, password, now)
	if err != nil {
		if gantry.Is(err, gantry.Unauthenticated) {
			err = nil
		}
		return false, err
	}
	var c robotClaims
	if json.Unmarshal(body, &c) != nil || c.Audience != robotAudience || c.Issuer != s.opts.KeyService || c.Subject != a.Name || !same(c.Robot, a.UUID) ||
		now.Before(time.Unix(c.NotBefore, 0).Add(-leeway)) || !now.Before(time.Unix(c.Expires, 0)) {
		return false, nil
	}
	return s.federated(ctx, a, c.External, c.Identity)
}
