package api

import (
	"time"

	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/notify"
)

// TellOptions are for what is told to people and to other machines.
type TellOptions struct {
	Notify      *notify.Service // nil = there are no notifications
	QuotaEvents bool            // FEATURE_QUOTA_NOTIFICATIONS: namespaces have notifications, too
	Mail        *mail.Service   // nil = not FEATURE_MAILING
	TeamInvite  bool            // FEATURE_REQUIRE_TEAM_INVITE: with Mail, a user has to accept before being in a team
	CodeLife    time.Duration   // USER_RECOVERY_TOKEN_LIFETIME; 0 = 30 minutes
	Title       string          // of the registry, for mail; "" = Gantry
	// Base is where users find this registry, such as https://registry.example.com;
	// required with Mail.
	Base func() string
}
