package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// NewSession signs a user in for life. cookie is the secret that the browser
// keeps, csrf the token that it sends with every change.
func (s *Service) NewSession(ctx context.Context, i *Identity, life time.Duration) (cookie, csrf string, err error) {
	cookie, csrf = rand.Text()+rand.Text(), rand.Text()
	sum := sha256.Sum256([]byte(cookie))
	return cookie, csrf, s.store.CreateSession(ctx, sum[:], i.Account.ID, csrf, s.now().Add(life), i.Actor)
}

// Session finds who a cookie belongs to. A session that has ended, or whose
// account is disabled, is Unauthenticated.
func (s *Service) Session(ctx context.Context, cookie string, actor gantry.Actor) (Identity, store.Session, error) {
	sum := sha256.Sum256([]byte(cookie))
	row, a, err := s.store.Session(ctx, sum[:])
	s.metrics.Auth("cookie", err == nil)
	if gantry.Is(err, gantry.NotFound) || err == nil && !a.Active() {
		return Identity{}, store.Session{}, denied("The session has ended")
	}
	if err != nil {
		return Identity{}, store.Session{}, err
	}
	return s.identify(a, gantry.ActorUser, a.UUID, nil, actor), row, nil
}
