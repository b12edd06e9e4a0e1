package auth

import (
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
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
	RefreshToken string // "" unless one was asked for and is allowed
}
