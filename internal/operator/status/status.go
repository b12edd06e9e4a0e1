// Package status says how a QuayRegistry is: conditions, and the events of
// their changes. It is pure: what was seen comes in, and nothing is read.
// Contract: operator.md, sections 3 and 16.
package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// A Migration is how far the database is.
type Migration int

// The states of a migration. MigrationNone: none is needed, or it has not begun.
const (
	MigrationNone Migration = iota
	MigrationRunning
	MigrationFailed
)

// A Health is what was seen of one component.
type Health struct {
	Ready   bool
	Reason  v1.ConditionReason // "" = ComponentReady or ComponentNotReady
	Message string
}

// Seen is what was seen of a registry.
type Seen struct {
	Generation int64
	Now        time.Time
	// Blocked is why what is asked for is not rolled out; nil = it is.
	Blocked *plan.Blocked
	// All are the components; nil where it could not be decided.
	All plan.Components
	// Health is that of managed components. One that is not managed counts as
	// ready; if there is a Reason, it is told with its message.
	Health map[v1.ComponentKind]Health
	// Migration and its message.
	Migration        Migration
	MigrationMessage string
	// Waiting is what the rollout waits for; "" = nothing.
	Waiting string
	// Version is the one that is deployed; "" = none yet.
	Version string
	// Endpoint and ConfigHash of what is rolled out; "" = not known.
	Endpoint, ConfigHash string
	// EditorEndpoint is where the configuration editor answers, "" = nowhere but
	// at its Service, and EditorCredentials the Secret that one signs in with, if
	// EditorKnown.
	EditorKnown                       bool
	EditorEndpoint, EditorCredentials string
}

var ready = map[v1.ComponentKind]v1.ConditionType{
	v1.ComponentQuay: v1.ComponentQuayReady, v1.ComponentPostgres: v1.ComponentPostgresReady, v1.ComponentClair: v1.ComponentClairReady,
	v1.ComponentRedis: v1.ComponentRedisReady, v1.ComponentHPA: v1.ComponentHPAReady, v1.ComponentObjectStorage: v1.ComponentObjectStorageReady,
	v1.ComponentRoute: v1.ComponentRouteReady, v1.ComponentMirror: v1.ComponentMirrorReady, v1.ComponentMonitoring: v1.ComponentMonitoringReady,
	v1.ComponentTLS: v1.ComponentTLSReady, v1.ComponentClairPostgres: v1.ComponentClairPostgresReady,
}

// gates are what a component waits for: as long as one of them is not ready,
// that is why it is not.
var gates = map[v1.ComponentKind][]v1.ComponentKind{
	v1.ComponentQuay: {v1.ComponentPostgres, v1.ComponentObjectStorage, v1.ComponentClair, v1.ComponentClairPostgres, v1.ComponentTLS, v1.ComponentRedis}, v1.ComponentMirror: {v1.ComponentQuay},
}

// Compute returns the status after what was seen. Times of conditions that are
// as they were stay.
func Compute(before v1.QuayRegistryStatus, s Seen) v1.QuayRegistryStatus {
	after := *before.DeepCopy()
	now := metav1.NewTime(s.Now.UTC().Truncate(time.Second))
	after.Conditions = nil
	set := func(t v1.ConditionType, ok bool, reason v1.ConditionReason, message string) {
		c := v1.Condition{Type: t, Status: metav1.ConditionFalse, Reason: reason, Message: message, ObservedGeneration: s.Generation, LastUpdateTime: now, LastTransitionTime: now}
		if ok {
			c.Status = metav1.ConditionTrue
		}
		if old := Find(before, t); old != nil {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
				if old.Reason == reason && old.Message == message {
					c.LastUpdateTime = old.LastUpdateTime
				}
			}
		}
		after.Conditions = append(after.Conditions, c)
	}
	keep := func(t v1.ConditionType) {
		if old := Find(before, t); old != nil {
			after.Conditions = append(after.Conditions, *old)
		}
	}
	var failing []string
	after.UnhealthyComponents = nil
	for _, kind := range v1.Kinds() {
		t := ready[kind]
		switch h, known := s.Health[kind]; {
		case s.All == nil:
			keep(t)
			if old := Find(before, t); old != nil && old.Status != metav1.ConditionTrue {
				failing = append(failing, string(kind))
			}
		case !s.All.Managed(kind) && known && h.Reason != "": // something is to be said of it all the same
			set(t, true, h.Reason, h.Message)
		case !s.All.Managed(kind):
			set(t, true, v1.ReasonComponentNotManaged, strings.TrimSuffix(string(kind)+" is not managed by the operator: "+s.All[kind].Note, ": "))
		case !known || !h.Ready:
			message := h.Message
			if awaited := s.awaits(kind); awaited != "" {
				message = "awaiting for component " + awaited + " to become available"
			}
			if message == "" {
				message = string(kind) + " is not there yet"
			}
			failing = append(failing, string(kind))
			set(t, false, orReason(h.Reason, v1.ReasonComponentNotReady), message)
			if after.UnhealthyComponents == nil {
				after.UnhealthyComponents = map[string][]v1.Condition{}
			}
			after.UnhealthyComponents[string(kind)] = []v1.Condition{after.Conditions[len(after.Conditions)-1]}
		default:
			message := h.Message
			if message == "" {
				message = string(kind) + " is ready"
			}
			set(t, true, orReason(h.Reason, v1.ReasonComponentReady), message)
		}
	}
	blocked := s.Blocked
	switch {
	case blocked != nil:
		set(v1.RolloutBlocked, true, blocked.Reason, blocked.Message)
	default:
		set(v1.RolloutBlocked, false, v1.ReasonComponentsCreated, "all objects created/updated successfully")
	}
	created := blocked == nil && s.Migration == MigrationNone && s.Waiting == ""
	switch {
	case blocked != nil:
		set(v1.ComponentsCreated, false, blocked.Reason, blocked.Message)
	case s.Migration == MigrationRunning:
		set(v1.ComponentsCreated, false, v1.ReasonMigrationsInProgress, "running database migrations"+suffix(s.MigrationMessage))
	case s.Migration == MigrationFailed:
		set(v1.ComponentsCreated, false, v1.ReasonMigrationsFailed, "the database cannot be migrated"+suffix(s.MigrationMessage))
	case s.Waiting != "":
		set(v1.ComponentsCreated, false, v1.ReasonComponentNotReady, s.Waiting)
	default:
		set(v1.ComponentsCreated, true, v1.ReasonComponentsCreated, "all objects created/updated successfully")
	}
	// What serves, serves: a change that is refused leaves it alone.
	serves := len(failing) == 0 && (created || blocked != nil && s.Version != "")
	switch {
	case serves && blocked != nil:
		set(v1.Available, true, v1.ReasonHealthChecksPassing, "All components reporting as healthy, as they were rolled out last; RolloutBlocked says why the change is not")
	case serves:
		set(v1.Available, true, v1.ReasonHealthChecksPassing, "All components reporting as healthy")
	case len(failing) > 0:
		set(v1.Available, false, v1.ReasonComponentNotReady, "not ready: "+strings.Join(failing, ", "))
	case blocked != nil:
		set(v1.Available, false, blocked.Reason, "nothing is rolled out: "+blocked.Message)
	default:
		c := Find(after, v1.ComponentsCreated)
		set(v1.Available, false, c.Reason, c.Message)
	}
	// kstatus
	available := Find(after, v1.Available)
	set(v1.Ready, blocked == nil && available.Status == metav1.ConditionTrue, available.Reason, available.Message)
	stalled := blocked != nil && blocked.Reason != v1.ReasonObjectStorageDependency || s.Migration == MigrationFailed
	reason := v1.ReasonComponentsCreated
	if stalled {
		reason = Find(after, v1.ComponentsCreated).Reason
	}
	set(v1.Reconciling, !stalled && available.Status != metav1.ConditionTrue, available.Reason, available.Message)
	set(v1.Stalled, stalled, reason, Find(after, v1.ComponentsCreated).Message)

	after.ObservedGeneration = s.Generation
	after.CurrentVersion = s.Version
	if s.All != nil {
		after.Components = s.All.Status()
	}
	if blocked == nil {
		after.RegistryEndpoint, after.ConfigHash = s.Endpoint, s.ConfigHash
	}
	if s.EditorKnown {
		after.ConfigEditorEndpoint, after.ConfigEditorCredentialsSecret = s.EditorEndpoint, s.EditorCredentials
	}
	slices.SortFunc(after.Conditions, func(a, b v1.Condition) int { return order(a.Type) - order(b.Type) })
	if !Same(before, after) {
		after.LastUpdated = now.Format(time.RFC3339)
	}
	return after
}

// order puts what people look at first.
func order(t v1.ConditionType) int {
	first := []v1.ConditionType{v1.Available, v1.RolloutBlocked, v1.ComponentsCreated, v1.Ready, v1.Reconciling, v1.Stalled}
	if i := slices.Index(first, t); i >= 0 {
		return i
	}
	for i, kind := range v1.Kinds() {
		if ready[kind] == t {
			return len(first) + i
		}
	}
	return 100
}

func suffix(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

func orReason(r, usual v1.ConditionReason) v1.ConditionReason {
	if r == "" {
		return usual
	}
	return r
}

// awaits is the first component that kind waits for; "" = none.
func (s *Seen) awaits(kind v1.ComponentKind) string {
	for _, g := range gates[kind] {
		if h, ok := s.Health[g]; s.All.Managed(g) && (!ok || !h.Ready) {
			return string(g)
		}
	}
	return ""
}

// Find returns the condition of a type; nil = there is none.
func Find(s v1.QuayRegistryStatus, t v1.ConditionType) *v1.Condition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return &s.Conditions[i]
		}
	}
	return nil
}

// Same reports whether nothing changed but LastUpdated.
func Same(a, b v1.QuayRegistryStatus) bool {
	a.LastUpdated, b.LastUpdated = "", ""
	return equality.Semantic.DeepEqual(a, b)
}

// An Event is a change that people are told of. Condition is what changed:
// events of one write that have everything but their message in common are
// taken for one by who records them.
type Event struct {
	Type, Reason, Message string
	Condition             v1.ConditionType
}

// Events are those of a change: one for each condition of interest whose status
// or reason is another one now.
func Events(before, after v1.QuayRegistryStatus) (list []Event) {
	for _, c := range after.Conditions {
		switch c.Type { //nolint:exhaustive // the rest repeats these
		case v1.Ready, v1.Reconciling, v1.Stalled, v1.ComponentsCreated:
			continue
		}
		old := Find(before, c.Type)
		if (c.Reason == v1.ReasonCertificateExpires || c.Reason == v1.ReasonReportsNotShared) && (old == nil || old.Reason != c.Reason) {
			list = append(list, Event{corev1.EventTypeWarning, string(c.Reason), c.Message, c.Type})
			continue
		}
		if old != nil && old.Status == c.Status && (old.Reason == c.Reason || c.Type != v1.RolloutBlocked) {
			continue
		}
		bad := (c.Status == metav1.ConditionTrue) == (c.Type == v1.RolloutBlocked)
		if old == nil && !bad && c.Type != v1.Available || old == nil && bad && c.Type != v1.RolloutBlocked {
			continue // a new registry is not ready in any part, which is no news
		}
		e := Event{corev1.EventTypeNormal, string(c.Reason), fmt.Sprintf("%s is %s: %s", c.Type, c.Status, c.Message), c.Type}
		if bad {
			e.Type = corev1.EventTypeWarning
		}
		list = append(list, e)
	}
	return list
}

// Deployment says how a Deployment is. stopped: it is to have no pods. pods is
// what is known of pods that are not well.
func Deployment(d *appsv1.Deployment, stopped bool, pods string) Health {
	switch {
	case d == nil:
		return Health{}
	case stopped && d.Status.Replicas == 0 && d.Status.ObservedGeneration >= d.Generation:
		return Health{Ready: true, Message: "Deployment " + d.Name + " manually scaled down"}
	case stopped:
		return Health{Message: fmt.Sprintf("Deployment %s is scaling down: %d pods are left", d.Name, d.Status.Replicas)}
	case d.Status.ObservedGeneration < d.Generation:
		return Health{Message: "Deployment " + d.Name + " is being rolled out"}
	}
	progress, available := condition(d, appsv1.DeploymentProgressing), condition(d, appsv1.DeploymentAvailable)
	switch {
	case available == nil || available.Status != corev1.ConditionTrue || d.Status.AvailableReplicas == 0:
		h := Health{Message: fmt.Sprintf("Deployment %s: %d of %d pods are ready", d.Name, d.Status.ReadyReplicas, max(d.Status.Replicas, 1)) + suffix(pods)}
		if available != nil && available.Reason == string(v1.ReasonMinimumReplicasUnavailable) {
			h.Reason = v1.ReasonMinimumReplicasUnavailable
		}
		return h
	case progress != nil && progress.Reason == "ProgressDeadlineExceeded":
		return Health{Message: fmt.Sprintf("Deployment %s: the new pods do not become ready", d.Name) + suffix(pods)}
	case progress != nil && progress.Reason != "NewReplicaSetAvailable":
		return Health{Message: fmt.Sprintf("Deployment %s is being rolled out: %d of %d pods are new", d.Name, d.Status.UpdatedReplicas, max(d.Status.Replicas, 1)) + suffix(pods)}
	}
	return Health{Ready: true, Message: fmt.Sprintf("Deployment %s is available", d.Name)}
}

func condition(d *appsv1.Deployment, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == t {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

// Pods says what keeps pods from being ready, of the first that has a reason;
// "" = nothing that is known.
func Pods(pods []corev1.Pod) string {
	for _, p := range pods {
		if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			message := ""
			if w := c.State.Waiting; w != nil && !slices.Contains([]string{"ContainerCreating", "PodInitializing", ""}, w.Reason) {
				message = w.Reason + suffix(w.Message)
			}
			if t := c.LastTerminationState.Terminated; t != nil && !c.Ready && t.ExitCode != 0 {
				message = fmt.Sprintf("it ended with code %d", t.ExitCode) + suffix(lastLine(t.Message))
			}
			if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
				message = fmt.Sprintf("it ended with code %d", t.ExitCode) + suffix(lastLine(t.Message))
			}
			if message != "" {
				return "pod " + p.Name + ": " + message
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message != "" {
				return "pod " + p.Name + ": " + c.Message
			}
		}
	}
	return ""
}

// lastLine is the last line of what a container said, at most 300 bytes of it.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	line := lines[len(lines)-1]
	if len(line) > 300 {
		line = strings.ToValidUTF8(line[:300], "") + "…"
	}
	return line
}
