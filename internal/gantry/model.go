package gantry

import "time"

// Row ids of the store. They are never shown outside. 0 is none.
type (
	AccountID  int64
	RepoID     int64
	ManifestID int64
	BlobID     int64
	TagID      int64
)

// AccountKind tells users, organizations and robots apart. All three share
// one space of names; a namespace is a user or an organization.
type AccountKind string

// The kinds of account.
const (
	User         AccountKind = "user"
	Organization AccountKind = "organization"
	Robot        AccountKind = "robot"
)

// A Role is what somebody may do in a repository. A higher role includes the
// lower ones; the zero value is no access.
type Role int8

// The repository roles.
const (
	NoRole Role = iota
	Read
	Write
	Admin
)

// String returns "read", "write", "admin" or "".
func (r Role) String() string {
	switch r {
	case Read:
		return "read"
	case Write:
		return "write"
	case Admin:
		return "admin"
	}
	return ""
}

// ParseRole reads a Role's String form.
func ParseRole(s string) (Role, error) {
	switch s {
	case "read":
		return Read, nil
	case "write":
		return Write, nil
	case "admin":
		return Admin, nil
	}
	return NoRole, Errorf(Invalid, "role", "role %s is not one of read, write, admin", quote(s))
}

// A TeamRole is what the members of a team may do in its organization.
type TeamRole string

// The team roles.
const (
	TeamMember  TeamRole = "member"  // belongs; no right of its own
	TeamCreator TeamRole = "creator" // may create repositories
	TeamAdmin   TeamRole = "admin"   // admin of the organization and all its repositories
)

// Visibility of a repository.
type Visibility string

// The visibilities.
const (
	Private Visibility = "private"
	Public  Visibility = "public"
)

// A RepoState limits what may be written to a repository. Numbers as in
// Quay's database (domain-model.md §3).
type RepoState int8

// The states.
const (
	Normal            RepoState = 0
	ReadOnlyState     RepoState = 1
	Mirror            RepoState = 2
	MarkedForDeletion RepoState = 3
	OrgMirror         RepoState = 4
)

// String returns the name that the API uses.
func (s RepoState) String() string {
	switch s {
	case Normal:
		return "NORMAL"
	case ReadOnlyState:
		return "READ_ONLY"
	case Mirror:
		return "MIRROR"
	case MarkedForDeletion:
		return "MARKED_FOR_DELETION"
	case OrgMirror:
		return "ORG_MIRROR"
	}
	return ""
}

// Actor kinds, as in the token's context and the journal.
const (
	ActorAnonymous = "anonymous"
	ActorUser      = "user"
	ActorRobot     = "robot"
	ActorToken     = "token"
	ActorOAuth     = "oauthtoken"
	ActorApp       = "appspecifictoken"
	ActorSystem    = "system" // the registry itself: collection, expiry, the command line
)

// An Actor is who did something and from where: what a journal row says of
// its cause. The zero Actor is the registry itself.
type Actor struct {
	Account AccountID // 0 = anonymous or the registry itself
	Name    string    // account name, or ""
	Kind    string    // one of the Actor constants; "" = ActorSystem
	IP      string    // textual address, or ""
	Request string    // request id, or ""
	Agent   string    // User-Agent, cut to 256 bytes, or ""
}

// Human reports whether a user acts, be it through a token of theirs: not a
// robot, and not the registry.
func (a Actor) Human() bool {
	return a.Account != 0 && (a.Kind == ActorUser || a.Kind == ActorApp || a.Kind == ActorOAuth)
}

// Millis returns t in Unix milliseconds, the store's unit of time; the zero
// time is 0.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// FromMillis is the inverse of Millis; the time is in UTC.
func FromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
