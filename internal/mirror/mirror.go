// Package mirror keeps repositories equal to those of other registries. What a
// run does is decided by pure functions (filter.go, plan.go); the pipeline
// around them (sync.go, copy.go) lists, compares and copies, many tags and
// layers at once, through content's ordinary way in, so that quotas,
// replication, notifications and the audit log see a push like any other.
package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// A Choice is what of another registry is mirrored, and how: the options of a
// mirror that are no secret.
type Choice struct {
	Tags []string `json:"tags"` // see ParseFilter
	// Architectures are those of the images of an index that are copied:
	// "arm64", "linux/arm64" or "linux/arm/v7". None is all.
	Architectures []string `json:"architectures,omitempty"`
	// Insecure takes any certificate, and plain http.
	Insecure bool `json:"insecure,omitempty"`
	// Unsigned is Quay's unsigned_images, kept for its clients; OnlySigned
	// decides.
	Unsigned bool `json:"unsigned,omitempty"`
	// OnlySigned copies only tags whose manifest carries a signature of cosign
	// or notation. Whose signature that is, is not checked.
	OnlySigned bool `json:"only_signed,omitempty"`
	// NoReferrers leaves signatures, attestations and the like where they are.
	NoReferrers bool `json:"no_referrers,omitempty"`
	// Link lets blobs be linked from repositories that the robot may read. Whoever
	// set the mirror up must be allowed to act as the robot: an administrator of
	// the namespace.
	Link bool `json:"link,omitempty"`
	// Keep leaves tags here that are gone upstream.
	Keep bool `json:"keep,omitempty"`
	// Timeout bounds how long a registry may take for one manifest or send
	// nothing, in seconds, as Quay's skopeo_timeout_interval; 0 = 300.
	Timeout int `json:"timeout,omitempty"`
	// Repositories are the globs of an organization's mirror; none is all.
	Repositories []string `json:"repositories,omitempty"`
	// Prune deletes repositories here that are gone upstream.
	Prune bool `json:"prune,omitempty"`
}

// A Secret is what of a mirror must not be seen: a proxy's address may hold a
// password.
type Secret struct {
	Username   string `json:"username,omitempty"`
	Password   string `json:"password,omitempty"`
	HTTPProxy  string `json:"http_proxy,omitempty"`
	HTTPSProxy string `json:"https_proxy,omitempty"`
	NoProxy    string `json:"no_proxy,omitempty"`
}

// The columns of secrets; see auth.Keys.
const (
	secretColumn    = "repo_mirrors.secret" //nolint:gosec // the name of a column
	orgSecretColumn = "org_mirrors.secret"  //nolint:gosec // the name of a column
)

// Seal makes the stored form of a secret of the mirror of that uuid, of an
// organization or of a repository.
func Seal(k *auth.Keys, org bool, uuid string, s Secret) (string, error) {
	b, err := json.Marshal(s) //nolint:gosec // to be sealed
	if err != nil {
		return "", err
	}
	return k.Seal(columnOf(org), uuid, string(b))
}

func columnOf(org bool) string {
	if org {
		return orgSecretColumn
	}
	return secretColumn
}

// OpenSecret is the inverse of Seal.
func OpenSecret(k *auth.Keys, org bool, uuid, sealed string) (s Secret, err error) {
	text, err := k.Open(columnOf(org), uuid, sealed)
	if err != nil {
		return s, fmt.Errorf("secret of a mirror: %w", err)
	}
	return s, json.Unmarshal([]byte(text), &s)
}

// ReadChoice decodes the options of a mirror.
func ReadChoice(options json.RawMessage) (c Choice, err error) {
	if err := json.Unmarshal(options, &c); err != nil {
		return c, fmt.Errorf("options of a mirror: %w", err)
	}
	return c, nil
}

// Check says what is wrong with a choice, as Invalid.
func (c *Choice) Check(org bool) error {
	if !org || len(c.Tags) > 0 {
		if _, err := ParseFilter(c.Tags); err != nil {
			return err
		}
	}
	if len(c.Architectures) > 50 {
		return gantry.Errorf(gantry.Invalid, "architecture_filter", "architecture_filter holds more than 50 architectures")
	}
	for _, a := range c.Architectures {
		if a == "" || len(a) > 64 || strings.Count(a, "/") > 2 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz0123456789_/-.") != "" {
			return gantry.Errorf(gantry.Invalid, "architecture_filter", "architecture_filter: %.80q is no architecture; write amd64, linux/arm64 or linux/arm/v7", a)
		}
	}
	if len(c.Repositories) > maxRules {
		return gantry.Errorf(gantry.Invalid, "repository_filters", "repository_filters holds more than %d globs", maxRules)
	}
	for _, g := range c.Repositories {
		if strings.TrimSpace(g) == "" || len(g) > maxRule {
			return gantry.Errorf(gantry.Invalid, "repository_filters", "repository_filters holds an empty glob, or one of more than %d bytes", maxRule)
		}
	}
	return nil
}

// Settings may change while a Service is used.
type Settings struct {
	On       bool // FEATURE_REPO_MIRROR
	OrgsOn   bool // FEATURE_ORG_MIRROR
	Rollback bool // REPO_MIRROR_ROLLBACK: a run that fails for one tag takes back what it did
	// Page is how many tags are put back at once.
	Page int
	// MaxIndex and MaxEntries bound an index: its bytes, and its manifests; 0 =
	// only by what the registry takes.
	MaxIndex   int64
	MaxEntries int
	// MaxDiscovery bounds the listing of another registry; 0 = 30 minutes.
	MaxDiscovery time.Duration
	Nested       bool // names of repositories may hold slashes
	// Retention is how long an ended tag can be restored where its namespace
	// made no choice.
	Retention time.Duration
}

// Options are what New needs. Store, Content and Keys are required.
type Options struct {
	Store   *store.DB
	Content *content.Store
	Keys    *auth.Keys
	// Remote completes the options of a client with what the process knows:
	// limits, authorities, addresses that may be reached. nil = nothing.
	Remote   func(remote.Options) remote.Options
	Settings func() Settings
	Bus      bus.Bus            // on which runs are told of while they go on; nil = nowhere
	Logger   *slog.Logger       // nil: silent
	Metrics  *telemetry.Metrics // nil = none

	Tags    int           // of one mirror that are looked at at once; 0 = 24
	Blobs   int           // of one mirror that come at once; 0 = 8
	Runs    int           // mirrors that run at once in this process; 0 = 8
	Beat    time.Duration // how often a run's progress is told; 0 = 1 s
	Save    time.Duration // how often a run's progress is written; 0 = 2 s
	Retry   time.Duration // before a run that failed is tried again, doubled each time; 0 = 1 minute
	Recent  time.Duration // what was tagged so lately is looked at for new signatures in each run; 0 = 24 h
	AllOver time.Duration // how often a run looks for them at everything; 0 = 24 h
}

// A Service runs mirrors.
type Service struct{ o Options }

// New returns a Service. It starts nothing: see Kinds.
func New(o Options) *Service {
	if o.Remote == nil {
		o.Remote = func(r remote.Options) remote.Options { return r }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Tags, o.Blobs, o.Runs = cmp.Or(o.Tags, 24), cmp.Or(o.Blobs, 8), cmp.Or(o.Runs, 8)
	o.Save, o.Beat, o.Retry = cmp.Or(o.Save, 2*time.Second), cmp.Or(o.Beat, time.Second), cmp.Or(o.Retry, time.Minute)
	o.Recent, o.AllOver = cmp.Or(o.Recent, 24*time.Hour), cmp.Or(o.AllOver, 24*time.Hour)
	return &Service{o}
}

// JobDue queues the mirrors that are due. It is scheduled every
// REPO_MIRROR_INTERVAL.
const JobDue = "mirror.due"

// Kinds are the jobs of mirrors.
func (s *Service) Kinds() map[string]jobs.Kind {
	return map[string]jobs.Kind{
		JobDue: {Handle: func(ctx context.Context, _ *jobs.Run) error {
			for {
				n, err := s.o.Store.QueueMirrors(ctx, 200)
				if err != nil || n < 200 {
					return err
				}
			}
		}},
		store.JobMirror:   {Handle: s.repository, Limit: s.o.Runs},
		store.JobDiscover: {Handle: s.organization, Limit: 2},
	}
}

// patience is how long a run waits when a registry asks it to. What takes
// longer ends the run, which begins again then.
const patience = 2 * time.Minute

// Client returns the client of a registry for a mirror.
func (s *Service) Client(host string, c Choice, secret Secret) (*remote.Registry, error) {
	timeout := 30 * time.Second
	if c.Timeout > 0 {
		timeout = min(timeout, time.Duration(c.Timeout)*time.Second)
	}
	return remote.New(s.o.Remote(remote.Options{Host: host, Username: secret.Username, Password: secret.Password, VerifyTLS: !c.Insecure,
		HTTPProxy: secret.HTTPProxy, HTTPSProxy: secret.HTTPSProxy, NoProxy: secret.NoProxy, Patience: patience, Stall: timeout}))
}

// Verify asks the other registry whether the repository can be mirrored. An
// *remote.Error says what is wrong, and Explain in words.
func (s *Service) Verify(ctx context.Context, upstream string, c Choice, secret Secret) error {
	at, err := remote.ParseReference(upstream)
	if err != nil {
		return err
	}
	r, err := s.Client(at.Host, c, secret)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Verify(ctx); err != nil {
		return err
	}
	return r.Repository(at.Name).Verify(ctx)
}

// Reference reads where a repository is in another registry, as docker pull
// does, and returns it with its host. Invalid on "external_reference".
func Reference(text string) (string, error) {
	at, err := remote.ParseReference(text)
	if err != nil {
		return "", gantry.Errorf(gantry.Invalid, "external_reference", "external_reference: %s", Explain(err))
	}
	if at.Ref.Digest != "" {
		return "", gantry.Errorf(gantry.Invalid, "external_reference", "external_reference names a digest, which never changes; name the repository, perhaps with one tag")
	}
	return at.String(), nil
}

// HostOf is the registry of what Reference returned; "" of nothing.
func HostOf(reference string) string {
	host, _, _ := strings.Cut(reference, "/")
	return host
}

// Explain is an error in words for users. What is not known to be fit for them
// is "internal error".
func Explain(err error) string {
	if e, ok := errors.AsType[*remote.Error](err); ok {
		return e.Text
	}
	if e, ok := errors.AsType[*gantry.Error](err); ok && e.Detail != "" {
		return e.Detail
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.Is(err, context.Canceled):
		return "the run was interrupted"
	}
	return "internal error"
}

// reasonOf is an error as one word, for a metric.
func reasonOf(err error) string {
	if k := remote.KindOf(err); k != "" {
		return strings.ReplaceAll(string(k), " ", "_")
	}
	if e, ok := errors.AsType[*gantry.Error](err); ok {
		switch {
		case e.Object == "quota":
			return "quota"
		case e.Object == "robot":
			return "robot"
		case e.Object == "storage":
			return "storage"
		case e.Reason == gantry.TagImmutable:
			return "immutable"
		case e.Code == gantry.Invalid:
			return "invalid"
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "internal"
}

// nextTurn is when a mirror runs again after one that was due at start: a
// whole number of intervals later.
func nextTurn(start, now time.Time, interval time.Duration) time.Time {
	if interval <= 0 {
		return time.Time{}
	}
	if start.IsZero() || start.After(now) {
		return now.Add(interval)
	}
	return start.Add((now.Sub(start)/interval + 1) * interval)
}
