package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// OAuthCodeLife is how long an application has to exchange a code.
const OAuthCodeLife = 5 * time.Minute

// MakeOAuthCode makes a code and the row that it is checked with, which the
// caller completes and stores.
func (s *Service) MakeOAuthCode() (code string, row store.OAuthCode) {
	code = randomText(2 * oauthNameLen)
	return code, store.OAuthCode{Name: code[:oauthNameLen], SecretHash: oauthHash(code[oauthNameLen:]), Expires: s.now().Add(OAuthCodeLife)}
}

// OAuthCodeName is the part of a code that finds its row; ok is false for what
// is no code.
func OAuthCodeName(code string) (name string, ok bool) {
	if len(code) != 2*oauthNameLen || !utf8.ValidString(code) || strings.ContainsRune(code, 0) {
		return "", false
	}
	return code[:oauthNameLen], true
}

// CheckOAuthCode holds a code of which OAuthCodeName found the row, and what
// came with it, to that row; else it is NotFound on "code". verifier is that
// of PKCE; "" = none was sent.
func CheckOAuthCode(row store.OAuthCode, code, redirectURI, verifier string) error {
	good := same(row.SecretHash, oauthHash(code[oauthNameLen:]))
	good = good && row.RedirectURI == redirectURI
	// One that was made without a challenge comes without a verifier: else
	// somebody has taken the challenge away.
	if row.Challenge != "" || verifier != "" {
		sum := sha256.Sum256([]byte(verifier))
		good = good && same(row.Challenge, base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	if !good {
		return gantry.Errorf(gantry.NotFound, "code", "The code is not valid")
	}
	return nil
}

// CheckClientSecret reports whether secret is that of an application.
func (s *Service) CheckClientSecret(a store.Application, secret string) (bool, error) {
	want, err := s.ApplicationSecret(a)
	return err == nil && same(want, secret), err
}

// tokenUsed notes that an OAuth token was used.
func (s *Service) tokenUsed(id int64) {
	s.usedMu.Lock()
	defer s.usedMu.Unlock()
	if len(s.tokens) < 100_000 {
		s.tokens[id] = s.now()
	}
}

// saveTokensUsed is saveUsed for OAuth tokens.
func (s *Service) saveTokensUsed(ctx context.Context, last bool) {
	set, now := s.Settings(), s.now()
	s.usedMu.Lock()
	if !last && now.Sub(s.tokensAt) < set.TokensUsedEvery-time.Second { // ticks are not exact
		s.usedMu.Unlock()
		return
	}
	tokens := s.tokens
	s.tokens, s.tokensAt = map[int64]time.Time{}, now
	s.usedMu.Unlock()
	if set.ReadOnly || len(tokens) == 0 {
		return
	}
	if err := s.store.OAuthTokensUsed(ctx, tokens); err != nil {
		s.log.WarnContext(ctx, "note OAuth tokens in use", "error", err)
	}
}
