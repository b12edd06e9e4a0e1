// Package ecosystem makes a QuayRegistry out of a QuayEcosystem, the resource
// of Quay's operator before 3.4 (redhatcop.redhat.io/v1alpha1). Its functions
// are pure: what the cluster has comes in as facts, and nothing is read or
// written here. Contract: operator.md, section 18; docs/design/ecosystem.md.
package ecosystem

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Labels and annotations of a migration.
const (
	// LabelMigrate, "true" on a QuayEcosystem, asks for the migration.
	LabelMigrate = "quay-operator/migrate"
	// LabelComplete, "true" on a QuayEcosystem, says that it is done. It stays
	// when the QuayRegistry is deleted: without it there would be another one.
	LabelComplete = "quay-operator/migration-complete"
	// AnnotationFrom, on a QuayRegistry and its bundle, is the QuayEcosystem that
	// it was made from.
	AnnotationFrom = "quay-operator/migrated-from"
	// AnnotationDatabase, on a QuayEcosystem, names a Secret whose DB_URI is an
	// empty database.
	AnnotationDatabase = "quay-operator/migrate-database"
	// AnnotationLogs, on a QuayEcosystem, is how old the entries of the action log
	// may be that come over: as 90d, all, or 0; 30 days without it.
	AnnotationLogs = "quay-operator/migrate-logs"
)

// ConfigSecret is the Secret with the configuration of a QuayEcosystem's Quay.
const ConfigSecret = "quay-enterprise-config-secret" // #nosec G101 -- a name

// Condition types of a QuayEcosystem whose migration fails, and their reasons.
const (
	ConfigFailure    = "QuayEcosystemConfigMigrationFailure"
	ComponentFailure = "QuayEcosystemComponentMigrationFailure"
	MigrationFailure = "QuayEcosystemMigrationFailure"

	ReasonConfigInvalid = "ConfigBundleSecretInvalid"
	ReasonUnsupported   = "ComponentUnsupported"
	ReasonCreation      = "QuayRegistryCreationError"
	ReasonLabel         = "QuayEcosystemLabelError"
)

// A Refused is why there is no migration, or none yet: a condition.
type Refused struct{ Type, Reason, Message string }

func (e *Refused) Error() string { return e.Message }

func unsupported(format string, args ...any) error {
	return &Refused{ComponentFailure, ReasonUnsupported, fmt.Sprintf(format, args...)}
}

func badConfig(format string, args ...any) error {
	return &Refused{ConfigFailure, ReasonConfigInvalid, fmt.Sprintf(format, args...)}
}

// A Spec is what is read of a QuayEcosystem's spec. The rest is about pods that
// the operator makes in its own way.
type Spec struct {
	Quay struct {
		Database            Database        `json:"database"`
		ExternalAccess      Access          `json:"externalAccess"`
		RegistryBackends    []Backend       `json:"registryBackends"`
		RegistryStorage     json.RawMessage `json:"registryStorage"`
		EnableRepoMirroring bool            `json:"enableRepoMirroring"`
	} `json:"quay"`
	Redis struct {
		Hostname string `json:"hostname"`
	} `json:"redis"`
	Clair struct {
		Enabled bool `json:"enabled"`
	} `json:"clair"`
}

// A Database is that of the registry: of the user's if there is a Server, or
// else one that the operator made, whose data is lost with its pod if there is
// no VolumeSize.
type Database struct {
	Server       string `json:"server"`
	VolumeSize   string `json:"volumeSize"`
	StorageClass string `json:"storageClass"`
}

// An Access is how clients reach the registry.
type Access struct {
	Type     string `json:"type"` // Route, LoadBalancer, NodePort, Ingress; "" = Route
	Hostname string `json:"hostname"`
	TLS      struct {
		Termination string `json:"termination"` // edge, reencrypt, passthrough, none; "" = passthrough
	} `json:"tls"`
}

// A Backend is a storage location.
type Backend struct {
	Name  string          `json:"name"`
	Local json.RawMessage `json:"local"`
}

// given reports whether a field is there and not null.
func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// ReadSpec reads the spec of a QuayEcosystem. What it does not know is left out.
// The error is a *Refused.
func ReadSpec(spec any) (s Spec, err error) {
	text, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, unsupported("the spec of the QuayEcosystem cannot be read: %v", err)
	}
	return s, nil
}

// Conditions returns the conditions of a QuayEcosystem after a look at its
// migration: those of others as they were, and of the three of a migration the
// one that r is, or none if it is nil. changed says whether one of the three is
// another one than before.
func Conditions(before []any, r *Refused, now time.Time) (after []any, changed bool) {
	at := now.UTC().Format(time.RFC3339)
	found := false
	for _, c := range before {
		m, ok := c.(map[string]any)
		t, _ := m["type"].(string)
		switch {
		case !ok || !slices.Contains([]string{ConfigFailure, ComponentFailure, MigrationFailure}, t):
			after = append(after, c)
		case r == nil || r.Type != t || found:
			changed = true
		case m["status"] == "True" && m["reason"] == r.Reason && m["message"] == r.Message:
			after, found = append(after, c), true
		default:
			next := r.condition(at)
			if old, ok := m["lastTransitionTime"]; ok && m["status"] == "True" {
				next["lastTransitionTime"] = old
			}
			after, found, changed = append(after, next), true, true
		}
	}
	if r != nil && !found {
		after, changed = append(after, r.condition(at)), true
	}
	return after, changed
}

func (e *Refused) condition(at string) map[string]any {
	return map[string]any{"type": e.Type, "status": "True", "reason": e.Reason, "message": e.Message, "lastUpdateTime": at, "lastTransitionTime": at}
}
