package auth

import (
	"context"

	"github.com/gantry-registry/gantry/internal/gantry"
)

var errUnbuilt = gantry.Errorf(gantry.Unsupported, "", "not built yet")

type signer struct{}
type publicKey struct{}
type failures struct{}
type accountCache struct{}
type Identity struct{ Actor gantry.Actor }

const (
	maxTokenLife      = 3600e9
	defaultBcryptCost = 12
)

func (s *Service) startPasswords() error                 { return nil }
func (s *Service) startSigning(ctx context.Context) error { return nil }
func (s *Service) renew(ctx context.Context) error        { return nil }
func (s *Service) saveUsed(ctx context.Context)           {}

// Token issues a registry token.
func (s *Service) Token(ctx context.Context, r TokenRequest) (Token, error) {
	return Token{}, errUnbuilt
}

// Verify checks a bearer token.
func (s *Service) Verify(ctx context.Context, token, host string) (*Grants, error) {
	return nil, errUnbuilt
}

// Basic checks a user name and password.
func (s *Service) Basic(ctx context.Context, username, password string, actor gantry.Actor) (Identity, error) {
	return Identity{}, errUnbuilt
}
