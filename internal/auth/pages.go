package auth

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// PageTokens make the opaque positions of paged answers. A position is sealed
// together with what it belongs to, so it cannot be used for another route,
// another filter or another caller.
type PageTokens struct {
	aead cipher.AEAD
	now  func() time.Time
}

// pageLife is how long a position may be used.
const pageLife = 48 * time.Hour

// Seal returns the position after the key last of a listing: route names the
// listing, filter what was asked of it, subject who asked ("" = anybody).
func (p *PageTokens) Seal(route, filter, subject, last string) string {
	nonce := make([]byte, p.aead.NonceSize(), p.aead.NonceSize()+8+len(last)+p.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	plain := binary.BigEndian.AppendUint64(nil, uint64(p.now().Add(pageLife).Unix())) //nolint:gosec // after 1970
	plain = append(plain, last...)
	return base64.RawURLEncoding.EncodeToString(p.aead.Seal(nonce, nonce, plain, pageBinding(route, filter, subject)))
}

// Open returns the key that token was sealed with. The error is Invalid on
// "page": the token is not ours, is older than two days, or belongs to another
// listing.
func (p *PageTokens) Open(route, filter, subject, token string) (last string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil && len(raw) >= p.aead.NonceSize() {
		var plain []byte
		plain, err = p.aead.Open(nil, raw[:p.aead.NonceSize()], raw[p.aead.NonceSize():], pageBinding(route, filter, subject))
		if err == nil && len(plain) >= 8 && p.now().Unix() < int64(binary.BigEndian.Uint64(plain)) { //nolint:gosec // sealed by us
			return string(plain[8:]), nil
		}
	}
	return "", &gantry.Error{Code: gantry.Invalid, Object: "page", Err: err,
		Detail: "the page token has expired or does not belong to this request; start from the first page"}
}

// pageBinding is version and context of a token, unambiguously.
func pageBinding(parts ...string) []byte {
	b := []byte{1}
	for _, s := range parts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}
