package auth

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// While the database is away, pulls go on. A token that was issued holds until
// it ends. A new one is for pulling alone, and for whoever proves what can be
// proven without the database:
//
//   - nobody, of what is public;
//   - a robot and an application token, whose secrets are long and random, by
//     the row that was read when they were used last;
//   - a user whose password was right within provenLife. A password that was
//     not is not even looked at: nobody could count the guesses.
//
// What was taken away before the database went is not given: the store knows,
// and forgets. Everything else gets a clear Unavailable.

// rememberFor is how long what the store said is kept for that; it is given for
// less (store.MaxStale).
const rememberFor = 24 * time.Hour

// A memory keeps what the store said for the time when it cannot be asked.
type memory[K comparable, V any] struct {
	s       *Service
	m       *expiring[K, remembered[V]]
	lasting func(K, V) uint64 // moves when something may have been taken away
}

type remembered[V any] struct {
	v       V
	lasting uint64
	at      time.Time
}

// ask returns what load says and, while the database is away, what it said.
func (m *memory[K, V]) ask(k K, load func() (V, error)) (v V, stale bool, err error) {
	now, generation := m.s.store.Now(), m.s.store.AccountsGeneration()
	v, err = load()
	switch {
	case err == nil:
		// What may have been taken away between the read and now is not kept.
		if lasting := m.lasting(k, v); !m.s.store.Exclusive() && m.s.store.AccountsGeneration() == generation {
			m.m.put(k, remembered[V]{v, lasting, now}, now.Add(rememberFor), now)
		}
		return v, false, nil
	case !isAway(err):
		return v, false, err
	}
	from, ok := m.s.store.StaleFrom()
	if !ok {
		return v, false, err
	}
	r, ok := m.m.get(k, now)
	if !ok || r.at.Before(from) || r.lasting != m.lasting(k, r.v) {
		return v, false, err
	}
	m.s.metrics.Stale()
	return r.v, true, nil
}

// isAway reports whether err says that the database cannot be asked.
func isAway(err error) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == gantry.Unavailable && e.Object == "database"
}

// memories are what the Service remembers.
type memories struct {
	accounts  memory[string, store.Account]
	byID      memory[gantry.AccountID, store.Account]
	appTokens memory[string, appTokenRow]
	rights    memory[rightsKey, store.Rights]
	keys      atomic.Pointer[map[string]knownKey] // of all instances, as read last
}

type appTokenRow struct {
	token   store.AppToken
	account store.Account
}

type rightsKey struct {
	account gantry.AccountID
	repo    gantry.RepoName
}

type knownKey struct {
	key     *rsa.PublicKey
	expires time.Time // zero = never
}

func (s *Service) startMemories() {
	s.memory.accounts = memory[string, store.Account]{s, newExpiring[string, remembered[store.Account]](20_000),
		func(string, store.Account) uint64 { return s.store.LastingAccounts() }}
	s.memory.byID = memory[gantry.AccountID, store.Account]{s, newExpiring[gantry.AccountID, remembered[store.Account]](20_000),
		func(gantry.AccountID, store.Account) uint64 { return s.store.LastingAccounts() }}
	s.memory.appTokens = memory[string, appTokenRow]{s, newExpiring[string, remembered[appTokenRow]](20_000),
		func(string, appTokenRow) uint64 { return s.store.LastingAccounts() }}
	s.memory.rights = memory[rightsKey, store.Rights]{s, newExpiring[rightsKey, remembered[store.Rights]](20_000),
		func(k rightsKey, r store.Rights) uint64 {
			n := s.store.LastingGeneration(r.Repository.ID)
			if k.account != 0 { // nobody's rights are those of the repository
				n += s.store.LastingAccounts()
			}
			return n
		}}
	s.memory.keys.Store(&map[string]knownKey{})
}

// LearnKeys reads the keys of all instances, so that a token that one of them
// issued is known here when the database is away. Tick does it each minute; an
// instance that starts between two calls is not known yet.
func (s *Service) LearnKeys(ctx context.Context) {
	if s.store.Exclusive() || s.opts.NoTokens {
		return
	}
	list, err := s.store.ServiceKeys(ctx, s.opts.KeyService)
	if err != nil {
		return // the old ones stay
	}
	keys := make(map[string]knownKey, len(list))
	for _, k := range list {
		var jwk jose.JSONWebKey
		if json.Unmarshal([]byte(k.JWK), &jwk) != nil {
			continue // whoever needs it is told
		}
		if key, ok := jwk.Key.(*rsa.PublicKey); ok {
			keys[k.ID] = knownKey{key, k.Expires}
		}
	}
	s.memory.keys.Store(&keys)
}

// rememberKey adds a key to those that LearnKeys read.
func (s *Service) rememberKey(kid string, k knownKey) {
	for {
		old := s.memory.keys.Load()
		if len(*old) >= 10_000 {
			return
		}
		keys := maps.Clone(*old)
		keys[kid] = k
		if s.memory.keys.CompareAndSwap(old, &keys) {
			return
		}
	}
}

// knownKey returns the key of a kid as it was when the database could be asked.
func (s *Service) knownKey(kid string, now time.Time) *rsa.PublicKey {
	k, ok := (*s.memory.keys.Load())[kid]
	if _, may := s.store.StaleFrom(); !ok || !may || !k.expires.IsZero() && !now.Before(k.expires) {
		return nil
	}
	s.metrics.Stale()
	return k.key
}

// errNoPushes answers a request for a token that is to write.
func errNoPushes() error {
	return &gantry.Error{Code: gantry.Unavailable, Object: "database", Retry: 5 * time.Second,
		Detail: "the registry's database does not answer: images can be pulled, nothing can be pushed; try again"}
}
