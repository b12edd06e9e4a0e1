package auth

import "github.com/gantry-registry/gantry/internal/store"

const applicationColumn = "oauth_applications.secret"

// NewClientID returns the name of a new OAuth application: 20 of A-Z0-9, as
// Quay's.
func NewClientID() string { return randomText(20) }

// NewApplicationSecret makes the secret of an OAuth application, 40 of A-Z0-9,
// and its sealed form for the application's client id.
func (s *Service) NewApplicationSecret(clientID string) (secret, sealed string, err error) {
	secret = randomText(40)
	sealed, err = s.keys.SealApplication(clientID, secret)
	return secret, sealed, err
}

// SealApplication seals the secret of an OAuth application.
func (k *Keys) SealApplication(clientID, secret string) (string, error) {
	return k.Seal(applicationColumn, clientID, secret)
}

// ApplicationSecret opens the secret of an OAuth application.
func (s *Service) ApplicationSecret(a store.Application) (string, error) {
	return s.keys.Open(applicationColumn, a.ClientID, a.Secret)
}

// Grants reports whether i may give every one of scopes, a token's scope text,
// to somebody: a token makes no other that may do more than itself.
func (i *Identity) Grants(scopes string) bool {
	for _, s := range splitScopes(scopes) {
		if !i.Has(s) {
			return false
		}
	}
	return true
}

// A ScopeText explains a scope to people.
type ScopeText struct {
	Scope       string
	Title       string
	Description string
	Dangerous   bool
}

var scopeTexts = map[string]ScopeText{
	ScopeRepoRead:   {Title: "View all visible repositories", Description: "It can view and pull all repositories that you can."},
	ScopeRepoWrite:  {Title: "Read/Write to any accessible repositories", Description: "It can view, push and pull to all repositories to which you have write access."},
	ScopeRepoAdmin:  {Title: "Administer Repositories", Description: "It has administrator access to all repositories to which you have it."},
	ScopeRepoCreate: {Title: "Create Repositories", Description: "It can create repositories in any namespace that you can."},
	ScopeUserRead:   {Title: "Read User Information", Description: "It can read your name and e-mail address."},
	ScopeUserAdmin:  {Title: "Administer User", Description: "It can change your account, its robots and what it may use.", Dangerous: true},
	ScopeOrgAdmin:   {Title: "Administer Organization", Description: "It can administer your organizations: robots, teams and membership.", Dangerous: true},
	ScopeSuperUser:  {Title: "Super User Access", Description: "It can administer the whole registry: users, organizations and more.", Dangerous: true},
}

// ScopeTexts explains a token's scope text.
func ScopeTexts(scopes string) (list []ScopeText) {
	for _, s := range splitScopes(scopes) {
		t := scopeTexts[s]
		t.Scope = s
		list = append(list, t)
	}
	return list
}
