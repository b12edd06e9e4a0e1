// Package edit changes a configuration: which fields there are, in which
// sections a form shows them, what a change does, and where a configuration
// folder is kept with its history.
//
// A [Store] keeps one. [Folder] is one on a disk; internal/operator/bundle has
// that of a cluster.
package edit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
)

// ConfigFile is the file of fields; a folder may have config.yml or config.json
// in its place.
const ConfigFile = "config.yaml"

// Files are the files of a configuration folder by their names in it, such as
// config.yaml, ssl.cert and extra_ca_certs/ours.crt.
type Files map[string][]byte

// ConfigName is the name of the file of fields that there is, or config.yaml.
func (f Files) ConfigName() string {
	for _, name := range []string{ConfigFile, "config.yml", "config.json"} {
		if _, ok := f[name]; ok {
			return name
		}
	}
	return ConfigFile
}

// Written reports whether there is a file of fields.
func (f Files) Written() bool {
	_, ok := f[f.ConfigName()]
	return ok
}

// Revision names the content: the same for the same files.
func (f Files) Revision() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f)) {
		_, _ = fmt.Fprintf(h, "%d %s %d ", len(name), name, len(f[name])) // a hash does not fail
		h.Write(f[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// A Place says where a configuration is kept.
type Place struct {
	Mode      string `json:"mode"` // operator or standalone
	Registry  string `json:"registry,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Secret    string `json:"secret,omitempty"`
	Dir       string `json:"dir,omitempty"`
}

// The modes of a Place.
const (
	Operator   = "operator"
	Standalone = "standalone"
)

// A Present is a configuration as it is now.
type Present struct {
	Place
	Files    Files
	Revision string
	Writable bool
	Reason   string   // why nothing can be written
	Warnings []string // what is worth knowing before something is
	Token    any      // the Store's own
}

// A Judged is what a configuration would do.
type Judged struct {
	Config   *config.Config // nil = it is not valid
	Problems []config.Problem
	// Stack are the files as the registry will find them: of a managed registry
	// with what the operator adds, but for its secrets.
	Stack Files
	// Operator has the fields that the operator sets over what is written.
	Operator map[string]any
	Managed  []Managed
	Own      []Own
	// Workloads are the registry's pods by what they are made of: another value
	// replaces them. nil = they are not known.
	Workloads map[string]string
}

// Valid reports whether there is no error.
func (j *Judged) Valid() bool {
	return !slices.ContainsFunc(j.Problems, func(p config.Problem) bool { return p.Severity == config.Error })
}

// Locks returns the component that makes a field the operator's; "" = none.
func (j *Judged) Locks(field string) string {
	for _, m := range j.Managed {
		if slices.Contains(m.Fields, field) {
			return m.Component
		}
	}
	return ""
}

// A Managed is a component that the operator makes, with the fields that are
// its own then.
type Managed struct {
	Component    string   `json:"component"`
	Group        string   `json:"group"`
	Fields       []string `json:"fields"`
	Unmanageable bool     `json:"unmanageable"` // it can be set to managed: false
}

// An Own is a component that the user runs, and that the operator can make
// instead: Manage of its name hands it back.
type Own struct {
	Component string   `json:"component"`
	Group     string   `json:"group"`
	Fields    []string `json:"fields"`  // they are the operator's then, and leave the configuration
	Related   []string `json:"related"` // they tell of the user's service, and are wrong for the operator's
}

// A Write is a change that is to be kept.
type Write struct {
	Files   Files           // all of them
	Manage  map[string]bool // components that are to be managed, or not
	Changed []string        // names of fields and files
}

// A Saved is a configuration of the history.
type Saved struct {
	Revision string    `json:"revision"`
	At       time.Time `json:"at"`
	Changed  []string  `json:"changed"`
	Files    Files     `json:"files"`
}

// KeepRevisions is how many configurations a history has.
const KeepRevisions = 20

// ErrRaced is the failure of a write when another one was faster.
var ErrRaced = errors.New("the configuration was changed meanwhile: read it again")

// A Refused is a write that a Store cannot do, whatever is written.
type Refused struct{ Reason string }

func (e *Refused) Error() string { return e.Reason }

// A Store keeps a configuration. Its methods may be called concurrently.
type Store interface {
	Read(ctx context.Context) (*Present, error)
	// Judge says what other files, and components that are managed or not, would
	// do. It changes nothing.
	Judge(ctx context.Context, p *Present, files Files, manage map[string]bool) (*Judged, error)
	// Write keeps a change to p, and puts both into the history. The error is
	// ErrRaced if p is not the present any more, and a *Refused if nothing can be
	// written.
	Write(ctx context.Context, p *Present, w Write) error
	// History returns what is kept, the newest first.
	History(ctx context.Context) ([]Saved, error)
	// Rollout tells how far a change is in the registry.
	Rollout(ctx context.Context) (*Rollout, error)
}

// A Rollout is how far a change is.
type Rollout struct {
	State      string      `json:"state"` // done, rolling, failed or unknown
	Message    string      `json:"message"`
	Conditions []Condition `json:"conditions"`
	Events     []Event     `json:"events"`
}

// A Condition is one of the registry's resource.
type Condition struct {
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// An Event is one of the registry's resource.
type Event struct {
	At      time.Time `json:"at"`
	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

// Remember adds a configuration to a history of at most KeepRevisions, the
// newest first. One with the same content moves to the front.
func Remember(list []Saved, s Saved) []Saved {
	list = slices.DeleteFunc(slices.Clone(list), func(o Saved) bool { return o.Revision == s.Revision })
	list = slices.Insert(list, 0, s)
	return list[:min(len(list), KeepRevisions)]
}
