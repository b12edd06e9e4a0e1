package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// ForgetKey drops a service key from memory, so that what was changed of it
// counts at once here. Other instances follow within minutes.
func (s *Service) ForgetKey(kid string) {
	now := s.now()
	s.public.put(kid, nil, now, now) // has ended
	s.verified.clear()
}

// clear forgets everything.
func (e *expiring[K, V]) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.m)
}

// A NewKey is a service key with its private half.
type NewKey struct {
	ID      string
	JWK     string
	Public  string // PEM
	Private string // PEM
}

// MakeServiceKey makes a service key.
func MakeServiceKey() (k NewKey, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return k, err
	}
	if k.ID, k.JWK, err = publicJWK(&key.PublicKey, ""); err != nil {
		return k, err
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return k, err
	}
	k.Public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}))
	k.Private = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	return k, nil
}

// publicJWK is a public key as it is stored, and its id: kid, or its
// thumbprint.
func publicJWK(key *rsa.PublicKey, kid string) (id, jwk string, err error) {
	if kid == "" {
		sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
		if err != nil {
			return "", "", err
		}
		kid = hex.EncodeToString(sum)
	}
	b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: "RS256", Use: "sig"})
	return kid, string(b), err
}

// CheckServiceJWK takes a public RSA key that a service submits under an id,
// and returns it as it is stored. The error is Invalid on "body".
func CheckServiceJWK(raw []byte, kid string) (string, error) {
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		return "", gantry.Errorf(gantry.Invalid, "body", "The request's body is not a JSON Web Key")
	}
	key, ok := k.Key.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 || key.N.BitLen() > 8192 || k.KeyID != "" && k.KeyID != kid {
		return "", gantry.Errorf(gantry.Invalid, "body", "The key must be a public RSA key of 2048 to 8192 bits, with the kid of the address if any")
	}
	_, out, err := publicJWK(key, kid)
	return out, err
}

// maxServiceToken is the longest life of a token with which a service speaks
// to the key server.
const maxServiceToken = time.Hour

// ServiceTokenKey returns the id of the key that is said to have signed a token
// to the key server.
func ServiceTokenKey(token string) (kid string, ok bool) {
	if len(token) > maxToken {
		return "", false
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(jws.Signatures) != 1 {
		return "", false
	}
	return jws.Signatures[0].Header.KeyID, true
}

// CheckServiceToken holds a token to the key server to the key that signed it,
// its service, and the address of this registry.
func CheckServiceToken(token, jwk, service, audience string, now time.Time) error {
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON([]byte(jwk)); err != nil {
		return err
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return err
	}
	body, err := jws.Verify(k.Key)
	if err != nil {
		return err
	}
	var c struct {
		externalClaims
		Audience audiences `json:"aud"`
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return err
	}
	if err := c.check(now); err != nil {
		return err
	}
	exp, err := c.Expires.Float64()
	switch {
	case err != nil:
		return err
	case c.Issuer != service:
		return errors.New("the issuer is another service")
	case !slices.Contains(c.Audience, audience):
		return errors.New("the audience is another registry")
	case exp > float64(now.Add(maxServiceToken+leeway).Unix()):
		return errors.New("the token lives too long")
	}
	return nil
}

// audiences is a claim that is one text or a list of them.
type audiences []string

func (a *audiences) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}
