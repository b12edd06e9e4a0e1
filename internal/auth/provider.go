package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// An External is somebody as a service outside knows him.
type External struct {
	Service  string // the login service: "ldap", "github", the name of an OpenID Connect block
	Ident    string // who it is there: unique, and never given to somebody else
	Username string // what he is called there; a name here is made of it
	Email    string // an address that is his, "" = none is known
	Rank     Rank
	Ranked   bool // the service gives ranks: Rank counts, also when it is none
	// Groups are those that he is in, where the service tells; with Grouped
	// also none. Teams that follow groups of the service obey.
	Groups  []string
	Grouped bool
}

// A Rank is what a service says that somebody may; see Identity.
type Rank uint8

// The ranks, as they are stored.
const (
	RankSuperuser  Rank = 1
	RankReadOnly   Rank = 2
	RankRestricted Rank = 4
)

// A Provider checks passwords in place of the database: AUTHENTICATION_TYPE.
// Its methods may be called concurrently and end in bounded time. What is
// wrong with what the user gave is Unauthenticated; a provider that does not
// answer, or not as it should, is Unavailable on "identity provider".
type Provider interface {
	// Service names it in federated logins.
	Service() string
	// VerifyPassword finds who has a name, or an e-mail address, and a
	// password, which is never empty.
	VerifyPassword(ctx context.Context, name, password string) (External, error)
	// Ping reports whether the provider answers.
	Ping(ctx context.Context) error
}

// A Directory is a Provider that finds users without their password.
type Directory interface {
	// Lookup finds a user by name or e-mail address; NotFound on "account".
	Lookup(ctx context.Context, name string) (External, error)
	// Search finds at most n users whose name or address begins with prefix.
	Search(ctx context.Context, prefix string, n int) ([]External, error)
}

// A GroupDirectory is a Provider with groups that teams can follow.
type GroupDirectory interface {
	// SyncInfo is what clients are told about the service, besides its name.
	SyncInfo() map[string]string
	// Group checks which group a client means and returns that in the words
	// that are stored; Invalid where there is none.
	Group(ctx context.Context, config map[string]string) (map[string]string, error)
	// Members lists who is in a stored group; NotFound on "group". Told is
	// false where only users themselves tell their groups, when they sign in:
	// nothing is to be done then.
	Members(ctx context.Context, config map[string]string) (list []External, told bool, err error)
	// Follows reports whether somebody is in a stored group, by External.Groups.
	Follows(config map[string]string, groups []string) bool
}

// A Ranking is a Provider or Site that may give ranks. Those that it gave
// before count for as long as it does.
type Ranking interface {
	Ranked() bool
}

// A Ranker is a Ranking that tells who has a rank: all of them, by ident.
type Ranker interface {
	Ranking
	Ranks(ctx context.Context) (map[string]Rank, error)
}

// providerDown is the answer where a provider fails for another reason than
// what it was asked.
func providerDown(err error) error {
	if _, told := errors.AsType[*gantry.Error](err); told {
		return err
	}
	return Unreachable(err)
}

// Unreachable is the error of a provider that does not answer as it should;
// err is logged only.
func Unreachable(err error) error {
	return &gantry.Error{Code: gantry.Unavailable, Object: "identity provider", Retry: 10 * time.Second,
		Detail: "The service that checks passwords does not answer; your password was not looked at. Try again later. Robot accounts and application tokens go on working.", Err: err}
}

const (
	// externalLife is how long a password that a provider took is taken
	// without asking again: pulls are fast, and a password that was changed
	// or an account that was locked there ends soon.
	externalLife = time.Minute
	// externalKnown is how long credentials that were right are asked about
	// though somebody else guesses at the same name.
	externalKnown = 30 * time.Minute
	// providerTimeout bounds a whole question to a provider.
	providerTimeout = 30 * time.Second
)

// An external holds what Service knows about providers.
type external struct {
	proven *expiring[[32]byte, gantry.AccountID] // credentials that were right a moment ago
	known  *expiring[[32]byte, struct{}]         // and of late
	asking chan struct{}                         // bounds questions about passwords

	mu    sync.RWMutex
	ranks map[gantry.AccountID]Rank
	busy  sync.Mutex // held while ranks are read
}

// maxAsking is how many passwords a provider is asked about at once.
const maxAsking = 64

func newExternalState() external {
	return external{proven: newExpiring[[32]byte, gantry.AccountID](20_000), known: newExpiring[[32]byte, struct{}](20_000),
		asking: make(chan struct{}, maxAsking)}
}

// Provider is what checks passwords; nil: the database does.
func (s *Service) Provider() Provider { return s.opts.Provider }

// Passwords reports whether the database checks passwords.
func (s *Service) Passwords() bool { return s.opts.Provider == nil }

// services are those that give ranks.
func (s *Service) services() []string {
	var list []string
	if r, ok := s.opts.Provider.(Ranking); ok && r.Ranked() {
		list = append(list, s.opts.Provider.Service())
	}
	for _, site := range s.opts.Sites {
		if r, ok := site.(Ranking); ok && r.Ranked() && !slices.Contains(list, site.ID()) {
			list = append(list, site.ID())
		}
	}
	return list
}

// loadRanks reads the ranks of all accounts.
func (s *Service) loadRanks(ctx context.Context) error {
	services := s.services()
	if len(services) == 0 {
		return nil
	}
	s.ext.busy.Lock()
	defer s.ext.busy.Unlock()
	list, err := s.store.ProviderRanks(ctx, services)
	if err != nil {
		return err
	}
	ranks := make(map[gantry.AccountID]Rank, len(list))
	for _, r := range list {
		ranks[r.Account] |= Rank(r.Bits & 7)
	}
	s.ext.mu.Lock()
	s.ext.ranks = ranks
	s.ext.mu.Unlock()
	return nil
}

// rankOf is the rank that services outside give an account.
func (s *Service) rankOf(id gantry.AccountID) Rank {
	s.ext.mu.RLock()
	defer s.ext.mu.RUnlock()
	return s.ext.ranks[id]
}

// freshRanks reads the ranks again: other instances write them, too.
func (s *Service) freshRanks(ctx context.Context) {
	if err := s.loadRanks(ctx); err != nil {
		s.log.WarnContext(ctx, "read the ranks of accounts", "error", err)
	}
}

// externalLogin checks a name and password with the provider, and makes the
// account of somebody who comes for the first time.
func (s *Service) externalLogin(ctx context.Context, name, password string, actor gantry.Actor) (Identity, error) {
	a, err := s.askProvider(ctx, name, password, actor)
	if err != nil {
		return Identity{}, err
	}
	if !a.Enabled {
		return Identity{}, errDisabled
	}
	return s.identify(a, gantry.ActorUser, a.UUID, nil, actor), nil
}

func (s *Service) askProvider(ctx context.Context, name, password string, actor gantry.Actor) (store.Account, error) {
	if name == "" || password == "" { // a directory takes no password for a wish to be nobody
		return store.Account{}, errWrong
	}
	now := s.now()
	key := s.proofOf(-1, password, s.opts.Provider.Service()+"\x00"+name)
	if id, ok := s.ext.proven.get(key, now); ok {
		a, err := s.store.AccountByID(ctx, id)
		if err == nil && a.Kind == gantry.User {
			return a, nil
		}
		if err != nil && !gantry.Is(err, gantry.NotFound) {
			return a, err
		}
	}
	// Of many callers with one name, one at a time asks; the others profit.
	who := "provider " + strings.ToLower(name)
	done, err := s.tries.take(ctx, who)
	if err != nil {
		return store.Account{}, err
	}
	defer done()
	if id, ok := s.ext.proven.get(key, s.now()); ok {
		if a, err := s.store.AccountByID(ctx, id); err == nil && a.Kind == gantry.User {
			return a, nil
		}
	}
	_, known := s.ext.known.get(key, s.now())
	f, _ := s.strange.get(who, s.now())
	if err := backoff(f.n, f.last, s.now()); err != nil && !known {
		return store.Account{}, err
	}
	x, err := s.verifyOutside(ctx, name, password)
	if gantry.Is(err, gantry.Unauthenticated) {
		now := s.now()
		s.strange.update(who, now, now.Add(maxBackoff), func(f failures) failures { return failures{f.n + 1, now} })
	}
	if err != nil {
		return store.Account{}, err
	}
	a, err := s.Admit(ctx, x, true, actor)
	if err != nil {
		return a, err
	}
	now = s.now()
	s.ext.proven.put(key, a.ID, now.Add(externalLife), now)
	s.ext.known.put(key, struct{}{}, now.Add(externalKnown), now)
	if f.n > 0 && !known { // guesses of others do not end because the user is there
		s.strange.update(who, now, now, func(failures) failures { return failures{} })
	}
	return a, nil
}

// verifyOutside asks the provider, within bounds.
func (s *Service) verifyOutside(ctx context.Context, name, password string) (External, error) {
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	select {
	case s.ext.asking <- struct{}{}:
		defer func() { <-s.ext.asking }()
	case <-ctx.Done():
		return External{}, Unreachable(ctx.Err())
	}
	x, err := s.opts.Provider.VerifyPassword(ctx, name, password)
	if err != nil {
		return x, providerDown(err)
	}
	return x, nil
}

// Confirm checks that a password is that of an account that is signed in.
// Errors are those of Basic. With a provider the account may be called
// otherwise there.
func (s *Service) Confirm(ctx context.Context, a store.Account, password string, actor gantry.Actor) error {
	if s.Passwords() {
		_, err := s.Login(ctx, a.Name, password, actor)
		return err
	}
	logins, err := s.store.FederatedLogins(ctx, a.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(logins, func(l store.FederatedLogin) bool { return l.Service == s.opts.Provider.Service() })
	if i < 0 || len(password) > maxPassword || strings.ContainsRune(password, 0) {
		return errWrong
	}
	name := logins[i].Metadata["service_username"]
	if name == "" {
		name = logins[i].Ident
	}
	is, err := s.askProvider(ctx, name, password, actor)
	if err == nil && is.ID != a.ID {
		err = errWrong
	}
	s.metrics.Auth("credentials", err == nil)
	return s.auditFailure(ctx, a.Name, actor, err)
}

// CanConfirm reports whether Confirm can tell: the account has a password, or
// the provider checks it.
func (s *Service) CanConfirm(ctx context.Context, a *store.Account) (bool, error) {
	if s.Passwords() {
		return a.PasswordHash != "", nil
	}
	if _, directory := s.opts.Provider.(Directory); !directory {
		return false, nil // people sign in with the browser
	}
	logins, err := s.store.FederatedLogins(ctx, a.ID)
	return slices.ContainsFunc(logins, func(l store.FederatedLogin) bool { return l.Service == s.opts.Provider.Service() }), err
}

// Admit finds or makes the account of somebody whom a service vouches for,
// and takes over the rank and the groups that it tells. trusted tells that the
// service is the one of AUTHENTICATION_TYPE, whose names are believed;
// elsewhere people choose their names, and one that the configuration gives
// rights to is not given out.
func (s *Service) Admit(ctx context.Context, x External, trusted bool, actor gantry.Actor) (store.Account, error) {
	set := s.Settings()
	a, err := s.store.FederatedAccount(ctx, x.Service, x.Ident)
	if gantry.Is(err, gantry.NotFound) {
		switch {
		case set.ReadOnly:
			return a, &gantry.Error{Code: gantry.ReadOnly, Object: "account", Detail: "The registry is read-only now: an account cannot be made for you."}
		case !set.UserCreation:
			return a, denied("User creation is disabled. Please contact your administrator to gain access.")
		case set.InviteOnly:
			return a, denied("You need an invitation to get an account here. Please contact your administrator.")
		case x.Email != "" && set.BlockedEmail != nil && set.BlockedEmail(x.Email):
			return a, denied("Your e-mail address is in a domain that is not allowed on this registry.")
		}
		a, err = s.Provision(ctx, x, trusted, actor)
	}
	if err != nil {
		return a, err
	}
	return a, s.follow(ctx, &a, x)
}

// Provision makes the account of somebody at a service, whatever the rules of
// sign-up say; who has one gets that.
func (s *Service) Provision(ctx context.Context, x External, trusted bool, actor gantry.Actor) (store.Account, error) {
	n := store.NewAccount{Email: x.Email, Verified: true, UniqueEmail: true}
	if cleanEmail(x.Email) == "" {
		n.Email = ""
	}
	l := store.FederatedLogin{Service: x.Service, Ident: x.Ident, Metadata: map[string]string{"service_username": x.Username}}
	a, made, err := s.store.CreateFederatedUser(ctx, n, s.names(x, trusted), l, actor)
	if e, ok := errors.AsType[*gantry.Error](err); ok && e.Code == gantry.Conflict && e.Object == "email" {
		return a, denied("The e-mail address %s of your account at %s is used by another account here. Sign in to that account and attach this login to it, or have an administrator change its address.", n.Email, x.Service)
	}
	if made {
		s.log.InfoContext(ctx, "an account was made for a login outside", "account", a.Name, "service", x.Service)
	}
	return a, err
}

// follow takes over what a service says of an account.
func (s *Service) follow(ctx context.Context, a *store.Account, x External) error {
	set := s.Settings()
	if set.ReadOnly || !a.Enabled {
		return nil
	}
	if x.Ranked && x.Rank != s.rankOf(a.ID) {
		if err := s.store.SetProviderRanks(ctx, x.Service, map[gantry.AccountID]int{a.ID: int(x.Rank)}, false); err != nil {
			return err
		}
		if err := s.loadRanks(ctx); err != nil {
			return err
		}
	}
	groups, ok := s.opts.Provider.(GroupDirectory)
	if !ok || !x.Grouped || !set.TeamSyncing || x.Service != s.opts.Provider.Service() {
		return nil
	}
	_, err := s.store.SyncMemberships(ctx, a.ID, x.Service, func(config map[string]string) bool { return groups.Follows(config, x.Groups) })
	return err
}

// names are what the account of somebody may be called here, the best first.
func (s *Service) names(x External, trusted bool) []string {
	base := ValidUsername(x.Username)
	set := s.Settings()
	reserved := slices.Concat(set.Superusers, set.ReadOnlySuperusers, set.RestrictedUsersWhitelist)
	var list []string
	add := func(name string) {
		own := trusted && strings.EqualFold(name, x.Username) // not what merely looks like it
		if own || !slices.Contains(reserved, name) {
			list = append(list, name)
		}
	}
	add(base)
	for i := 1; i <= 20; i++ {
		add(fmt.Sprintf("%s%d", base, i))
	}
	for range 3 {
		add(base + strings.ToLower(randomText(8)))
	}
	return list
}

// maxUsername leaves room for what makes a name unique.
const maxUsername = 240

// ValidUsername makes a name of this registry of any text: letters without
// their marks, in lower case, and single separators in place of the rest.
func ValidUsername(text string) string {
	if name, domain, ok := strings.Cut(text, "@"); ok && name != "" && domain != "" {
		text = name
	}
	if _, name, ok := strings.Cut(text, `\`); ok { // DOMAIN\name
		text = name
	}
	var b strings.Builder
	sep := true
	for _, r := range norm.NFKD.String(text) {
		r = unicode.ToLower(r)
		switch {
		case b.Len() >= maxUsername:
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
			sep = false
		case unicode.Is(unicode.Mn, r): // the mark of the letter before
		case sep:
		case r == '.' || r == '-':
			b.WriteRune(r)
			sep = true
		default:
			b.WriteByte('_')
			sep = true
		}
	}
	name := strings.TrimRight(b.String(), "._-")
	switch len(name) {
	case 0:
		return "user"
	case 1:
		return name + "0"
	}
	return name
}

// cleanEmail is an address that an account may have, or "".
func cleanEmail(e string) string {
	user, domain, ok := strings.Cut(e, "@")
	if !ok || user == "" || domain == "" || len(e) > 255 || !utf8.ValidString(e) || strings.Contains(domain, "@") ||
		strings.ContainsFunc(e, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return ""
	}
	return e
}

// Link gives somebody whom the provider's directory finds an account, or
// returns the one that he has.
func (s *Service) Link(ctx context.Context, name string, actor gantry.Actor) (store.Account, error) {
	d, ok := s.opts.Provider.(Directory)
	if !ok {
		return store.Account{}, gantry.Errorf(gantry.Invalid, "account", "Users cannot be looked up where this registry checks passwords")
	}
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	x, err := d.Lookup(ctx, name)
	if err != nil {
		return store.Account{}, providerDown(err)
	}
	a, err := s.Provision(ctx, x, true, actor)
	if err != nil {
		return a, err
	}
	return a, s.follow(ctx, &a, x)
}

// SyncStale compares teams that follow groups of the provider, and were not
// for a time, with their groups; and it takes over the ranks that the provider
// gives. It returns how many teams it compared. A group that cannot be read
// leaves its team as it is.
func (s *Service) SyncStale(ctx context.Context, age time.Duration) (n int, err error) {
	set := s.Settings()
	if s.opts.Provider == nil || set.ReadOnly {
		return 0, nil
	}
	err = s.syncRanks(ctx)
	groups, ok := s.opts.Provider.(GroupDirectory)
	if !ok || !set.TeamSyncing {
		return 0, err
	}
	list, lerr := s.store.StaleTeamSyncs(ctx, s.opts.Provider.Service(), s.now().Add(-age), maxSyncs)
	if lerr != nil {
		return 0, errors.Join(err, lerr)
	}
	for _, y := range list {
		if ctx.Err() != nil {
			return n, errors.Join(err, ctx.Err())
		}
		if serr := s.syncTeam(ctx, groups, y); serr != nil {
			s.log.WarnContext(ctx, "a team could not be compared with its group; its members stay", "team", y.Team.Name, "organization", y.Team.Organization, "error", serr)
			err = errors.Join(err, s.store.TeamSyncFailed(ctx, y))
			if gantry.Is(serr, gantry.Unavailable) {
				return n, err // nor will the others
			}
			continue
		}
		n++
	}
	return n, err
}

// maxSyncs is how many teams one pass of SyncStale compares.
const maxSyncs = 500

func (s *Service) syncTeam(ctx context.Context, groups GroupDirectory, y store.TeamSync) error {
	asked, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	people, told, err := groups.Members(asked, y.Config)
	if err != nil || !told {
		return err
	}
	idents := make([]string, len(people))
	for i, x := range people {
		idents[i] = x.Ident
	}
	have, err := s.store.FederatedAccounts(ctx, y.Service, idents)
	if err != nil {
		return err
	}
	var ids []gantry.AccountID
	for _, x := range people {
		a, there := have[x.Ident]
		if !there {
			if a, err = s.Provision(ctx, x, true, gantry.Actor{}); gantry.Is(err, gantry.Unauthenticated) || gantry.Is(err, gantry.Invalid) {
				s.log.WarnContext(ctx, "a member of a group gets no account", "team", y.Team.Name, "user", x.Username, "error", err)
				continue
			}
			if err != nil {
				return err
			}
		}
		ids = append(ids, a.ID)
	}
	_, err = s.store.ApplyTeamSync(ctx, y, ids)
	return err
}

// syncRanks takes over who has a rank now. Only who has an account has one.
func (s *Service) syncRanks(ctx context.Context) error {
	r, ok := s.opts.Provider.(Ranker)
	if !ok || !r.Ranked() {
		return nil
	}
	asked, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	ranks, err := r.Ranks(asked)
	if err != nil {
		return err
	}
	idents := make([]string, 0, len(ranks))
	for ident := range ranks {
		idents = append(idents, ident)
	}
	service := s.opts.Provider.Service()
	have, err := s.store.FederatedAccounts(ctx, service, idents)
	if err != nil {
		return err
	}
	bits := make(map[gantry.AccountID]int, len(have))
	for ident, a := range have {
		bits[a.ID] = int(ranks[ident])
	}
	if err := s.store.SetProviderRanks(ctx, service, bits, true); err != nil {
		return err
	}
	return s.loadRanks(ctx)
}
