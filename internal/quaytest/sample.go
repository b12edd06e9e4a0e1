package quaytest

import "time"

// A Sample is what Fill wrote, for what a test says of it. Names of
// repositories are whole: "acme/app".
type Sample struct {
	Now time.Time // of Fill; all other times are before and after it

	Users  []User
	Orgs   []string
	Robots []Robot
	Teams  []Team
	Synced TeamSync
	Invite Invite

	Repos       []Repo
	Permissions []Permission
	Prototypes  []Prototype
	Stars       []Star

	// Manifests and Tags are those of Repos; Blobs, by digest, what is in Storage
	// for them.
	Manifests []Manifest
	Tags      []Tag
	Labels    []Label
	Blobs     map[string][]byte
	// Absent are digests of blobs that manifests name and that are nowhere: a
	// cache has not fetched them.
	Absent []string

	Mirror    Mirror
	OrgMirror OrgMirror // Latest only
	Cache     Cache

	Application Application
	OAuthToken  OAuthToken
	AppToken    AppToken
	RepoToken   RepoToken
	ServiceKey  string // its kid

	Notifications []Notification
	Emails        []Email
	Quotas        []Quota
	Prune         []Policy // Latest only
	Immutable     []Policy // Latest only
	Messages      []Message
	Regions       map[string]string // locations by namespace
	Logs          []LogEntry

	// Skipped are namespaces and repositories that a reader leaves out: being
	// deleted, or of the kind "application".
	SkippedNamespaces []string
	SkippedRepos      []string
}

// A User is a person.
type User struct {
	Name, Email string
	Password    string // "" = has none here
	LDAP        string // who this is at the LDAP server; "" = nobody
	Disabled    bool
	Unverified  bool
}

// A Robot is one of a user or an organization: "acme+ci".
type Robot struct {
	Name, Token, Description string
	Issuer, Subject          string // who else may be it; Latest only
}

// A Team is one of an organization.
type Team struct {
	Org, Name, Role string
	Members         []string
}

// A TeamSync is a team whose members are those of a group.
type TeamSync struct{ Org, Team, Service, Group string }

// An Invite to a team has not been answered.
type Invite struct{ Org, Team, Email, Inviter, Token string }

// A Repo is a repository.
type Repo struct {
	Name, Description string
	Public            bool
	State             int // 0 normal, 1 read-only, 2 mirror, 4 of a mirrored organization
}

// A Permission is that of a user, a robot or a team.
type Permission struct{ Repo, User, Team, Role string }

// A Prototype is a default permission of an organization.
type Prototype struct{ Org, Activating, User, Team, Role string }

// A Star is a user's for a repository.
type Star struct{ User, Repo string }

// A Manifest is one in a repository.
type Manifest struct {
	Repo, Digest, MediaType string
	Bytes                   []byte // empty = not fetched yet, by a cache
	ConfigType              string
	LayersSize              int // of what is no index, nor of schema 1
	ArtifactType, Subject   string
	Blobs, Children         []string // digests
}

// A Tag is one span of a tag, in Unix milliseconds.
type Tag struct {
	Repo, Name, Digest           string
	Start, End                   int64 // End 0 = none
	Hidden, Reversion, Immutable bool
}

// A Label is one of a manifest.
type Label struct{ Repo, Digest, Key, Value, MediaType, Source string }

// A Mirror is a repository that copies another.
type Mirror struct {
	Repo, Robot, Reference string
	Username, Password     string
	Globs                  []string
	Architectures          []string // Latest only
	Interval               time.Duration
	Proxy                  string
}

// An OrgMirror is an organization that copies another registry's namespace.
type OrgMirror struct {
	Org, Robot, URL, Namespace string
	Username, Password         string
	Filters                    []string
	Repo                       string // that it made
}

// A Cache is an organization that fetches what is asked for.
type Cache struct {
	Org, Upstream, Username, Password string
	Expiration                        time.Duration
}

// An Application is one of OAuth.
type Application struct{ Org, Name, ClientID, Secret, RedirectURI string }

// An OAuthToken acts as a user.
type OAuthToken struct{ User, Token, Scope string }

// An AppToken is a user's for a client: Token is the password of "$app".
type AppToken struct{ User, Title, Token string }

// A RepoToken is one of a repository: Token is the password of "$token".
type RepoToken struct{ Repo, Role, Name, Token string }

// A Notification is what a repository tells the outside.
type Notification struct {
	Repo, Event, Method, Title string
	Config, EventConfig        map[string]any
	Failures                   int
}

// An Email is an address that a repository may send to, once it is confirmed.
type Email struct {
	Repo, Address string
	Confirmed     bool
}

// A Quota is a namespace's; the limits are percents of it.
type Quota struct {
	Namespace     string
	Bytes         int64
	Warn, Refused []int
}

// A Policy is one about tags.
type Policy struct {
	Namespace, Repo string // Repo "" = the whole namespace
	Values          map[string]any
}

// A LogEntry is one of the action log. Names are "" for what is not there any
// more, or never was.
type LogEntry struct {
	Table                          string // logentry3, or one that old releases wrote
	Kind                           string
	Namespace, Repo, Performer, IP string
	At                             time.Time
	Metadata                       string // as the column has it
}

// A Message is shown to everybody.
type Message struct{ Content, Severity, MediaType string }
