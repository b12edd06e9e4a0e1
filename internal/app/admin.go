package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// An Account is a user or a robot as commands show it.
type Account struct {
	Name      string     `json:"name"`
	Email     string     `json:"email,omitempty"`
	Enabled   bool       `json:"enabled"`
	Superuser bool       `json:"superuser,omitempty"`
	Created   time.Time  `json:"created"`
	LastUsed  *time.Time `json:"last_used,omitempty"` // nil = never
	// Of a robot.
	Description string     `json:"description,omitempty"`
	Token       string     `json:"token,omitempty"`   // where it was asked for
	Expires     *time.Time `json:"expires,omitempty"` // of the token; nil = never
}

// NewToken is what UserToken makes.
type NewToken struct {
	Name    string `json:"name"` // whose it is
	Scope   string `json:"scope"`
	Seconds int64  `json:"seconds"` // that it lives
}

// NewUser is what UserCreate makes.
type NewUser struct {
	Name      string `json:"name"`
	Email     string `json:"email,omitempty"` // "" = none
	Password  string `json:"password"`        // at least 8 characters without blanks
	Superuser bool   `json:"superuser,omitempty"`
}

// A Collection is what GC did.
type Collection struct {
	Rounds       int   `json:"rounds"`
	Tags         int   `json:"expired_tags"`
	Manifests    int64 `json:"manifests"`
	Blobs        int64 `json:"blobs"`   // that nothing names any more
	Bytes        int64 `json:"bytes"`   // of these
	Objects      int   `json:"objects"` // deleted from storage
	Uploads      int64 `json:"uploads"` // that nobody went on with
	Repositories int64 `json:"repositories"`
	Failed       int   `json:"failed"`  // put off after an error; the log has it
	Due          int64 `json:"due"`     // reviews that are due still
	Trashed      int64 `json:"trashed"` // objects that wait in the trash
}

// VerifyRequest says how Verify works.
type VerifyRequest struct {
	Rate         int64 `json:"rate"` // bytes a second; 0 = no bound, negative = GANTRY_SCRUB_RATE
	Repair       bool  `json:"repair,omitempty"`
	Quarantine   bool  `json:"quarantine,omitempty"`
	DatabaseOnly bool  `json:"database_only,omitempty"`
}

// Verified is what Verify found.
type Verified struct {
	Database content.DBReport      `json:"database"`
	Blobs    *content.VerifyReport `json:"blobs,omitempty"` // nil: not asked for
}

// Sound reports whether nothing is wrong.
func (v *Verified) Sound() bool {
	return len(v.Database.Flaws) == 0 && (v.Blobs == nil || v.Blobs.Damaged == v.Blobs.Repaired && v.Blobs.Failed == 0)
}

// Schema is where the schema of a database is.
type Schema struct {
	Dialect string            `json:"dialect"`
	Current bool              `json:"current"` // nothing is left to do
	Steps   []store.Migration `json:"steps"`
	// Findings are what SchemaStatus looked at beside the steps.
	Findings []store.Finding `json:"findings,omitempty"`
}

// An Admin does what the commands beside serve do: in the running server of
// the data folder if there is one, else on the database itself. Each method
// is one command.
type Admin struct{ o Options }

// NewAdmin returns an Admin of the registry that o names.
func NewAdmin(o Options) *Admin { return &Admin{o} }

// UserCreate makes a user. The first one of a registry is a superuser, unless
// SUPER_USERS names others.
func (a *Admin) UserCreate(ctx context.Context, u NewUser) (Account, error) {
	return run[Account](ctx, a, "user.create", u)
}

// Users lists the users by name.
func (a *Admin) Users(ctx context.Context) ([]Account, error) {
	return run[[]Account](ctx, a, "user.list", nil)
}

// SetPassword gives a user another password and ends the user's sessions.
func (a *Admin) SetPassword(ctx context.Context, name, password string) error {
	_, err := run[Account](ctx, a, "user.password", NewUser{Name: name, Password: password})
	return err
}

// SetEnabled switches an account on or off: a user, an organization or a
// robot.
func (a *Admin) SetEnabled(ctx context.Context, name string, on bool) error {
	_, err := run[Account](ctx, a, "user.enable", Account{Name: name, Enabled: on})
	return err
}

// SetSuperuser makes a user a superuser, or takes that away again. One that
// SUPER_USERS names stays a superuser.
func (a *Admin) SetSuperuser(ctx context.Context, name string, on bool) (Account, error) {
	return run[Account](ctx, a, "user.superuser", Account{Name: name, Superuser: on})
}

// UserToken makes an OAuth token of a user for the API, within a scope, that
// ends after life.
func (a *Admin) UserToken(ctx context.Context, name, scope string, life time.Duration) (Account, error) {
	return run[Account](ctx, a, "user.token", NewToken{Name: name, Scope: scope, Seconds: int64(life / time.Second)})
}

// UserDelete deletes a user with the robots and repositories.
func (a *Admin) UserDelete(ctx context.Context, name string) error {
	_, err := run[Account](ctx, a, "user.delete", Account{Name: name})
	return err
}

// RobotCreate makes the robot namespace+short and returns it with its token.
func (a *Admin) RobotCreate(ctx context.Context, name, description string) (Account, error) {
	return run[Account](ctx, a, "robot.create", Account{Name: name, Description: description})
}

// Robots lists the robots of a namespace, without tokens.
func (a *Admin) Robots(ctx context.Context, namespace string) ([]Account, error) {
	return run[[]Account](ctx, a, "robot.list", Account{Name: namespace})
}

// RobotToken returns a robot with its token; renew gives it another one
// first.
func (a *Admin) RobotToken(ctx context.Context, name string, renew bool) (Account, error) {
	op := "robot.token"
	if renew {
		op = "robot.regenerate"
	}
	return run[Account](ctx, a, op, Account{Name: name})
}

// RobotDelete deletes a robot.
func (a *Admin) RobotDelete(ctx context.Context, name string) error {
	_, err := run[Account](ctx, a, "robot.delete", Account{Name: name})
	return err
}

// GC collects until nothing is due.
func (a *Admin) GC(ctx context.Context) (Collection, error) {
	return run[Collection](ctx, a, "gc", nil)
}

// Verify reads the blobs and compares them with their digests, and proves
// that the database is whole.
func (a *Admin) Verify(ctx context.Context, r VerifyRequest) (Verified, error) {
	return run[Verified](ctx, a, "verify", r)
}

// Migrate brings the schema of the database up to this program's.
func (a *Admin) Migrate(ctx context.Context) (Schema, error) {
	return run[Schema](ctx, a, "db.migrate", nil)
}

// An operation is one command, on an open core.
type operation struct {
	writes bool // refused while the registry is read-only
	auth   bool // needs the core's auth
	// makes: on a stopped registry, what is not there yet is made; otherwise
	// a data folder without a database is a mistake.
	makes bool
	bare  bool // needs the database alone, whatever its schema
	alone bool // takes long: a server does it for one command at a time
	do    func(ctx context.Context, c *core, in json.RawMessage) (any, error)
}

// op makes an operation's function of one with a typed request.
func op[I any](f func(context.Context, *core, I) (any, error)) func(context.Context, *core, json.RawMessage) (any, error) {
	return func(ctx context.Context, c *core, in json.RawMessage) (any, error) {
		var i I
		if err := json.Unmarshal(in, &i); err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
		return f(ctx, c, i)
	}
}

// operations are the commands by their names on the socket.
func operations() map[string]operation {
	return map[string]operation{
		"user.create":       {writes: true, auth: true, makes: true, do: op(createUser)},
		"user.list":         {do: op(listUsers)},
		"user.password":     {writes: true, auth: true, do: op(setPassword)},
		"user.enable":       {writes: true, do: op(enable)},
		"user.superuser":    {writes: true, do: op(setSuperuser)},
		"user.token":        {writes: true, auth: true, do: op(userToken)},
		"user.delete":       {writes: true, do: op(deleteUser)},
		"robot.create":      {writes: true, auth: true, do: op(createRobot)},
		"robot.list":        {do: op(listRobots)},
		"robot.token":       {auth: true, do: op(showRobot)},
		"robot.regenerate":  {writes: true, auth: true, do: op(renewRobot)},
		"robot.delete":      {writes: true, do: op(deleteRobot)},
		"gc":                {writes: true, alone: true, do: op(collect)},
		"verify":            {alone: true, do: op(verify)},
		"storage.status":    {do: op(storageStatus)},
		"storage.start":     {writes: true, do: op(startStorage)},
		"storage.job":       {do: op(storageJobOf)},
		"storage.namespace": {writes: true, do: op(namespaceStorage)},
		"restorepoint":      {bare: true, do: op(restorePoint)},
		"db.status":         {bare: true, do: op(databaseStatus)},
		"db.migrate":        {writes: true, makes: true, bare: true, do: op(migrate)},
	}
}

// nothing is the request of an operation that needs none.
type nothing struct{}

// system is who changes things from the command line.
var system = gantry.Actor{Kind: gantry.ActorSystem, Name: "gantry command"}

func (c *core) show(a store.Account) Account {
	super := a.Superuser || a.Kind == gantry.User && slices.Contains(c.live.Current().Auth.SuperUsers, a.Name)
	v := Account{Name: a.Name, Email: a.Email, Enabled: a.Enabled, Superuser: super, Created: a.Created, Description: a.Description}
	if !a.LastUsed.IsZero() {
		v.LastUsed = &a.LastUsed
	}
	return v
}

func createUser(ctx context.Context, c *core, in NewUser) (any, error) {
	if err := gantry.CheckNamespace(in.Name); err != nil {
		return nil, gantry.Errorf(gantry.Invalid, "account", "the name %.80q is not one: it must be 2 to 255 lower-case letters and digits, with single '.', '_' or '-' between them", in.Name)
	}
	if in.Email != "" && (strings.Count(in.Email, "@") != 1 || len(in.Email) > 255 || strings.ContainsFunc(in.Email, unicode.IsSpace) ||
		strings.HasPrefix(in.Email, "@") || strings.HasSuffix(in.Email, "@")) {
		return nil, gantry.Errorf(gantry.Invalid, "email", "%.80q is not an e-mail address", in.Email)
	}
	if err := auth.CheckPassword(in.Password); err != nil {
		return nil, err
	}
	hash, err := c.auth.HashPassword(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	n := store.NewAccount{Name: in.Name, Email: in.Email, PasswordHash: hash, Verified: true, Superuser: in.Superuser, UniqueEmail: true}
	any, err := c.db.HasUsers(ctx)
	if err != nil {
		return nil, err
	}
	if !any { // two at once: one of them is the first, the other fails and may be tried again
		n.First = true
		n.Superuser = n.Superuser || len(c.live.Current().Auth.SuperUsers) == 0
	}
	a, err := c.db.CreateUser(ctx, n, system)
	if gantry.Is(err, gantry.Conflict) {
		if e, ok := errors.AsType[*gantry.Error](err); ok && e.Object == "account" {
			return nil, gantry.Errorf(gantry.Conflict, "account", "there is an account %s already", in.Name)
		}
	}
	return c.show(a), err
}

// account finds an account of the kinds.
func (c *core) account(ctx context.Context, name string, kinds ...gantry.AccountKind) (store.Account, error) {
	a, err := c.db.Account(ctx, name)
	if err == nil {
		for _, k := range kinds {
			if a.Kind == k {
				return a, nil
			}
		}
	}
	if err == nil || gantry.Is(err, gantry.NotFound) {
		what := make([]string, 0, len(kinds))
		for _, k := range kinds {
			what = append(what, string(k))
		}
		return a, gantry.Errorf(gantry.NotFound, "account", "there is no %s %.300q", strings.Join(what, " or "), name)
	}
	return a, err
}

// listPage is how many users one statement reads.
const listPage = 500

func listUsers(ctx context.Context, c *core, _ nothing) (any, error) {
	list := []Account{}
	for after := ""; ; {
		page, err := c.db.Users(ctx, after, listPage)
		if err != nil {
			return nil, err
		}
		for _, a := range page {
			list = append(list, c.show(a))
			after = a.Name
		}
		if len(page) < listPage {
			return list, nil
		}
	}
}

func setPassword(ctx context.Context, c *core, in NewUser) (any, error) {
	if err := auth.CheckPassword(in.Password); err != nil {
		return nil, err
	}
	a, err := c.account(ctx, in.Name, gantry.User)
	if err != nil {
		return nil, err
	}
	hash, err := c.auth.HashPassword(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	return c.show(a), c.db.SetPassword(ctx, a.ID, hash, 0, system)
}

func enable(ctx context.Context, c *core, in Account) (any, error) {
	a, err := c.account(ctx, in.Name, gantry.User, gantry.Organization, gantry.Robot)
	if err != nil {
		return nil, err
	}
	if err := c.db.SetEnabled(ctx, a.ID, in.Enabled, system); err != nil {
		return nil, err
	}
	a.Enabled = in.Enabled
	return c.show(a), nil
}

func setSuperuser(ctx context.Context, c *core, in Account) (any, error) {
	a, err := c.account(ctx, in.Name, gantry.User)
	if err != nil {
		return nil, err
	}
	if err := c.db.SetSuperuser(ctx, a.ID, in.Superuser, system); err != nil {
		return nil, err
	}
	a.Superuser = in.Superuser
	return c.show(a), nil
}

func userToken(ctx context.Context, c *core, in NewToken) (any, error) {
	scopes, err := auth.CheckScopes(in.Scope)
	if err != nil {
		return nil, err
	}
	const most = 10 * 365 * 24 * time.Hour
	if in.Seconds < 1 || in.Seconds > int64(most/time.Second) {
		return nil, gantry.Errorf(gantry.Invalid, "token", "a token lives between a second and ten years")
	}
	a, err := c.account(ctx, in.Name, gantry.User)
	if err != nil {
		return nil, err
	}
	v := c.show(a)
	ends := c.db.Now().Add(time.Duration(in.Seconds) * time.Second).Truncate(time.Second)
	v.Expires = &ends
	v.Token, err = c.auth.NewOAuthToken(ctx, a.ID, scopes, time.Duration(in.Seconds)*time.Second, system)
	return v, err
}

func deleteUser(ctx context.Context, c *core, in Account) (any, error) {
	a, err := c.account(ctx, in.Name, gantry.User)
	if err != nil {
		return nil, err
	}
	return c.show(a), c.db.DeleteNamespace(ctx, a.ID, system)
}

func createRobot(ctx context.Context, c *core, in Account) (any, error) {
	ns, short, ok := strings.Cut(in.Name, "+")
	if !ok || gantry.CheckNamespace(short) != nil || len(in.Name) > 254 {
		return nil, gantry.Errorf(gantry.Invalid, "robot", "%.80q is not a robot's name: write namespace+name, in lower-case letters and digits", in.Name)
	}
	if len(in.Description) > 255 {
		return nil, gantry.Errorf(gantry.Invalid, "robot", "the description is longer than 255 characters")
	}
	owner, err := c.account(ctx, ns, gantry.User, gantry.Organization)
	if err != nil {
		return nil, err
	}
	n := store.NewAccount{Name: in.Name, UUID: auth.NewUUID(), Description: in.Description}
	token, sealed, err := c.auth.NewRobotToken(n.UUID)
	if err != nil {
		return nil, err
	}
	n.Secret = sealed
	a, err := c.db.CreateRobot(ctx, owner.ID, n, system)
	if gantry.Is(err, gantry.Conflict) {
		return nil, gantry.Errorf(gantry.Conflict, "account", "there is a robot %s already", in.Name)
	}
	v := c.show(a)
	v.Token = token
	return v, err
}

func listRobots(ctx context.Context, c *core, in Account) (any, error) {
	owner, err := c.account(ctx, in.Name, gantry.User, gantry.Organization)
	if err != nil {
		return nil, err
	}
	all, err := c.db.Robots(ctx, owner.ID)
	list := make([]Account, 0, len(all))
	for _, a := range all {
		list = append(list, c.show(a))
	}
	return list, err
}

func showRobot(ctx context.Context, c *core, in Account) (any, error) {
	a, err := c.account(ctx, in.Name, gantry.Robot)
	if err != nil {
		return nil, err
	}
	v := c.show(a)
	v.Token, err = c.auth.RobotToken(a)
	return v, err
}

func renewRobot(ctx context.Context, c *core, in Account) (any, error) {
	a, err := c.account(ctx, in.Name, gantry.Robot)
	if err != nil {
		return nil, err
	}
	token, sealed, err := c.auth.NewRobotToken(a.UUID)
	if err != nil {
		return nil, err
	}
	v := c.show(a)
	v.Token = token
	return v, c.db.RegenerateRobot(ctx, a, sealed, system)
}

func deleteRobot(ctx context.Context, c *core, in Account) (any, error) {
	a, err := c.account(ctx, in.Name, gantry.Robot)
	if err != nil {
		return nil, err
	}
	return c.show(a), c.db.DeleteRobot(ctx, a, system)
}

func collect(ctx context.Context, c *core, _ nothing) (any, error) {
	var out Collection
	gc := c.collector()
	for {
		s, err := gc.RunOnce(ctx)
		out.Rounds++
		out.Tags += s.Expired
		out.Manifests += s.Manifests
		out.Blobs += s.Blobs
		out.Bytes += s.Bytes
		out.Objects += s.Deleted
		out.Uploads += s.Swept
		out.Repositories += s.Repositories
		out.Failed += s.Failed
		if err != nil {
			return nil, err
		}
		if !s.More {
			break
		}
	}
	var err error
	out.Due, out.Trashed, err = c.db.ReviewBacklog(ctx, 1_000_000)
	return out, err
}

func verify(ctx context.Context, c *core, in VerifyRequest) (any, error) {
	gc := c.collector()
	db, err := gc.VerifyDB(ctx)
	if err != nil {
		return nil, err
	}
	out := Verified{Database: db}
	if in.DatabaseOnly {
		return out, nil
	}
	if in.Rate < 0 {
		in.Rate = c.live.Current().GC.ScrubRate
	}
	r, err := gc.Verify(ctx, content.VerifyOptions{Rate: in.Rate, Repair: in.Repair, Quarantine: in.Quarantine})
	out.Blobs = &r
	return out, err
}

func schemaOf(ctx context.Context, c *core) (Schema, error) {
	steps, err := c.db.Migrations(ctx)
	out := Schema{Dialect: c.db.Dialect(), Current: true, Steps: steps}
	for _, s := range steps {
		out.Current = out.Current && s.Applied
	}
	return out, err
}

func migrate(ctx context.Context, c *core, _ nothing) (any, error) {
	if err := c.db.Migrate(ctx); err != nil {
		return nil, err
	}
	return schemaOf(ctx, c)
}

// run runs an operation in the running server of the data folder, or here.
func run[O any](ctx context.Context, a *Admin, name string, in any) (out O, err error) {
	if in == nil {
		in = nothing{}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	answer, served, err := askServer(ctx, a.o.data(), name, body)
	if !served {
		answer, err = a.here(ctx, name, body)
	}
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("read the server's answer: %w", err)
	}
	return out, nil
}

// here runs an operation without a server.
func (a *Admin) here(ctx context.Context, name string, body []byte) (answer []byte, err error) {
	o := operations()[name]
	if !o.makes {
		if err := a.exists(); err != nil {
			return nil, err
		}
	}
	c, err := openCore(ctx, coreOptions{Options: a.o, migrate: o.makes, bare: o.bare})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	return c.perform(ctx, o, body)
}

// exists returns an error where the SQLite database that the commands are
// about is not there: a wrong folder, most likely.
func (a *Admin) exists() error {
	cfg, _, err := config.Load(config.Options{Dir: a.o.Config, Environ: a.o.Environ})
	if err != nil {
		return err
	}
	path := sqlitePath(databaseURI(cfg, a.o.data()))
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no registry in %s: name its data folder with --data, or its configuration with --config", a.o.data())
	}
	return nil
}

// perform runs an operation on the core.
func (c *core) perform(ctx context.Context, o operation, in []byte) ([]byte, error) {
	if o.writes && c.live.Current().Server.ReadOnly() {
		return nil, gantry.Errorf(gantry.ReadOnly, "registry", "the registry is read-only: REGISTRY_STATE is readonly")
	}
	if o.auth {
		if err := c.openAuth(ctx, true); err != nil {
			return nil, err
		}
	}
	out, err := o.do(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// Explain returns the text of an error for whoever gave the command.
func Explain(err error) string {
	if e, ok := errors.AsType[*gantry.Error](err); ok && e.Detail != "" && e.Error() == err.Error() { // else what wraps it says more
		return e.Detail
	}
	return err.Error()
}
