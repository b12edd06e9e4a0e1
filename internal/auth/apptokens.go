package auth

import (
	"context"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// AppTokens is the Provider of AUTHENTICATION_TYPE AppToken: it takes no
// password.
type AppTokens struct{}

// Service implements Provider.
func (AppTokens) Service() string { return "apptoken" }

// VerifyPassword implements Provider.
func (AppTokens) VerifyPassword(context.Context, string, string) (External, error) {
	return External{}, gantry.Errorf(gantry.Unauthenticated, "credentials",
		"This registry takes no passwords: sign in through a login service, and use an application token as the password of the user $app")
}

// Ping implements Provider.
func (AppTokens) Ping(context.Context) error { return nil }
