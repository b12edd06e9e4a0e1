package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A Site is a login service that the browser is sent to. Its methods may be
// called concurrently and end in bounded time; errors are as of a Provider.
type Site interface {
	// ID names it in addresses and federated logins: lower case.
	ID() string
	// Title is its name for people.
	Title() string
	// Icon is an image or a class of one for the sign-in button, or "".
	Icon() string
	// Begin returns where to send the browser, which comes back to redirect,
	// and the secret that Finish needs. state comes back, too.
	Begin(ctx context.Context, redirect, state string) (to, secret string, err error)
	// Finish finds who came back with an answer.
	Finish(ctx context.Context, answer url.Values, redirect, secret string) (External, error)
	// Binding is the field by which somebody is found in the directory of
	// AUTHENTICATION_TYPE: sub, username or email; "" = he is not.
	Binding() string
}

// A Bearer is a Site whose tokens are taken at the API.
type Bearer interface {
	// Issued reports whether the site issued a token, as the token says.
	Issued(issuer string) bool
	// VerifyBearer finds whose token it is; Unauthenticated if it is not good.
	VerifyBearer(ctx context.Context, token string) (External, error)
}

// Kinds of a Journey: what is done when the browser comes back.
const (
	JourneyLogin  = "login"
	JourneyAttach = "attach"
	JourneyCLI    = "cli"
)

// A Journey is a way to a site and back, as the browser that makes it keeps
// it, sealed.
type Journey struct {
	Site     string           `json:"s"`
	Kind     string           `json:"k"`
	Account  gantry.AccountID `json:"a,omitempty"` // that attaches
	Redirect string           `json:"r"`
	Secret   string           `json:"x"`
	Ends     int64            `json:"e"` // Unix seconds
}

// JourneyLife is how long somebody may take to sign in at a site.
const JourneyLife = 10 * time.Minute

const journeyColumn = "login.journey"

// Sites returns the login services, in the order of the configuration.
func (s *Service) Sites() []Site { return s.opts.Sites }

// Site finds a login service; NotFound on "service".
func (s *Service) Site(id string) (Site, error) {
	for _, site := range s.opts.Sites {
		if site.ID() == id {
			return site, nil
		}
	}
	return nil, gantry.Errorf(gantry.NotFound, "service", "There is no login service %.80q", id)
}

// Depart begins a journey to a site. to is where the browser goes; it keeps
// ticket, under the name state, and brings both back.
func (s *Service) Depart(ctx context.Context, site Site, j Journey) (to, state, ticket string, err error) {
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	state = strings.ToLower(randomText(40))
	if to, j.Secret, err = site.Begin(ctx, j.Redirect, state); err != nil {
		return "", "", "", providerDown(err)
	}
	j.Site, j.Ends = site.ID(), s.now().Add(JourneyLife).Unix()
	b, err := json.Marshal(j) //nolint:gosec // it is sealed
	if err != nil {
		return "", "", "", err
	}
	ticket, err = s.keys.Seal(journeyColumn, state, string(b))
	return to, state, ticket, err
}

var errJourney = denied("This sign-in was not begun in this browser, or too long ago. Please begin again.")

// Arrive ends a journey: who comes back with an answer, in the browser that
// has the ticket of its state. The account's rules are not looked at yet:
// Admit does.
func (s *Service) Arrive(ctx context.Context, site Site, kind, ticket string, answer url.Values) (j Journey, x External, err error) {
	state := answer.Get("state")
	if state == "" || len(state) > 100 || ticket == "" || len(ticket) > 8192 {
		return j, x, errJourney
	}
	text, err := s.keys.Open(journeyColumn, state, ticket) // which is bound to the state
	if err != nil || !strings.HasPrefix(ticket, "g1$") || json.Unmarshal([]byte(text), &j) != nil {
		return j, x, errJourney
	}
	if j.Site != site.ID() || j.Kind != kind || s.now().Unix() >= j.Ends {
		return j, x, errJourney
	}
	if answer.Get("error") != "" {
		return j, x, denied("%s did not sign you in: %.200s", site.Title(), plainText(answer.Get("error_description"), answer.Get("error")))
	}
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	if x, err = site.Finish(ctx, answer, j.Redirect, j.Secret); err != nil {
		return j, x, providerDown(err)
	}
	return j, x, nil
}

// plainText is the first of some texts that is not empty, without what is no
// letter of a sentence.
func plainText(texts ...string) string {
	for _, t := range texts {
		t = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r > 0xffff {
				return -1
			}
			return r
		}, strings.ToValidUTF8(t, ""))
		if t != "" {
			return t
		}
	}
	return ""
}

// Enter signs in who came back from a site: with the account that he has; that
// of the directory, where the site is bound to it; or a new one.
func (s *Service) Enter(ctx context.Context, site Site, x External, actor gantry.Actor) (Identity, error) {
	_, err := s.store.FederatedAccount(ctx, x.Service, x.Ident)
	directory, bound := s.opts.Provider.(Directory)
	if bound = bound && site.Binding() != "" && x.Service != s.opts.Provider.Service(); gantry.Is(err, gantry.NotFound) && bound {
		if s.Settings().ReadOnly {
			return Identity{}, &gantry.Error{Code: gantry.ReadOnly, Object: "account", Detail: "The registry is read-only now: your login cannot be attached to an account."}
		}
		name := map[string]string{"sub": x.Ident, "username": x.Username, "email": x.Email}[site.Binding()]
		if name == "" {
			return Identity{}, denied("%s does not tell your %s, by which this registry finds your account", site.Title(), site.Binding())
		}
		asked, cancel := context.WithTimeout(ctx, providerTimeout)
		defer cancel()
		y, err := directory.Lookup(asked, name)
		if gantry.Is(err, gantry.NotFound) {
			return Identity{}, denied("There is no user %.200s in the directory of this registry", name)
		}
		if err != nil {
			return Identity{}, providerDown(err)
		}
		a, err := s.Admit(ctx, y, true, actor)
		if err == nil {
			err = s.attach(ctx, a.ID, x, actor)
		}
		if err != nil {
			return Identity{}, err
		}
	}
	a, err := s.Admit(ctx, x, s.opts.Provider != nil && s.opts.Provider.Service() == x.Service, actor)
	if err != nil {
		return Identity{}, err
	}
	if !a.Enabled {
		return Identity{}, errDisabled
	}
	return s.identify(a, gantry.ActorUser, a.UUID, nil, actor), nil
}

// Attach ties an account to who came back from a site.
func (s *Service) Attach(ctx context.Context, i *Identity, x External) error {
	if err := s.attach(ctx, i.Account.ID, x, i.Actor); err != nil {
		return err
	}
	return s.follow(ctx, &i.Account, x)
}

// SSO finds whose a token of a login service is. Who has no account here yet
// gets none by it.
func (s *Service) SSO(ctx context.Context, token string, actor gantry.Actor) (Identity, error) {
	wrong := denied("The token could not be validated")
	issuer, err := issuerOf(token)
	if err != nil {
		return Identity{}, wrong
	}
	for _, site := range s.opts.Sites {
		b, ok := site.(Bearer)
		if !ok || !b.Issued(issuer) {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, providerTimeout)
		x, err := b.VerifyBearer(asked, token)
		cancel()
		if err != nil {
			return Identity{}, providerDown(err)
		}
		a, err := s.store.FederatedAccount(ctx, x.Service, x.Ident)
		if gantry.Is(err, gantry.NotFound) {
			return Identity{}, denied("The user of the token has no account here yet: sign in with %s in a browser first", site.Title())
		}
		if err != nil {
			return Identity{}, err
		}
		if !a.Active() {
			return Identity{}, errDisabled
		}
		return s.identify(a, gantry.ActorUser, a.UUID, nil, actor), nil
	}
	return Identity{}, wrong
}

// LooksSSO reports whether a bearer token has the form of a login service's.
func LooksSSO(token string) bool { return strings.Count(token, ".") == 2 }

// issuerOf reads the issuer of a JWT that nobody has checked.
func issuerOf(token string) (string, error) {
	if len(token) > maxToken {
		return "", errors.New("the token is too long")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("no JWT")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	return c.Issuer, json.Unmarshal(b, &c)
}

func (s *Service) attach(ctx context.Context, account gantry.AccountID, x External, actor gantry.Actor) error {
	return s.store.AttachLogin(ctx, store.FederatedLogin{Account: account, Service: x.Service, Ident: x.Ident,
		Metadata: map[string]string{"service_username": x.Username}}, actor)
}
