package status

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// components are all managed, but those.
func components(not ...v1.ComponentKind) plan.Components {
	all := plan.Components{}
	for _, kind := range v1.Kinds() {
		all[kind] = plan.Component{Managed: true, Source: v1.SourceDefault}
	}
	for _, kind := range not {
		all[kind] = plan.Component{Source: v1.SourceSpec}
	}
	return all
}

func healthy(not ...v1.ComponentKind) map[v1.ComponentKind]Health {
	all := map[v1.ComponentKind]Health{}
	for _, kind := range v1.Kinds() {
		all[kind] = Health{Ready: true}
	}
	for _, kind := range not {
		all[kind] = Health{Message: "broken"}
	}
	return all
}

func at(minute int) time.Time { return time.Date(2026, 11, 27, 1, minute, 0, 0, time.UTC) }

// TestLife follows a registry from its beginning.
func TestLife(t *testing.T) {
	var s v1.QuayRegistryStatus
	steps := []struct {
		name      string
		seen      Seen
		available string // "True", or the reason why not
		blocked   metav1.ConditionStatus
		stalled   metav1.ConditionStatus
		events    []string // type and reason
	}{
		{"begins", Seen{All: components(), Health: map[v1.ComponentKind]Health{}, Waiting: "the registry waits for its database"}, "ComponentNotReady", "False", "False", nil},
		{"migrates", Seen{All: components(), Health: healthy(v1.ComponentQuay, v1.ComponentMirror), Migration: MigrationRunning}, "ComponentNotReady", "False", "False",
			[]string{"Normal ComponentReady", "Normal ComponentReady", "Normal ComponentReady", "Normal ComponentReady", "Normal ComponentReady", "Normal ComponentReady", "Normal ComponentReady", "Normal ComponentReady", "Normal ComponentReady"}},
		{"cannot migrate", Seen{All: components(), Health: healthy(v1.ComponentQuay, v1.ComponentMirror), Migration: MigrationFailed, MigrationMessage: "no room"}, "ComponentNotReady", "False", "True", nil},
		{"is there", Seen{All: components(), Health: healthy(), Version: "3.7.0", Endpoint: "https://q"}, "True", "False", "False",
			[]string{"Normal HealthChecksPassing", "Normal ComponentReady", "Normal ComponentReady"}},
		{"stays", Seen{All: components(), Health: healthy(), Version: "3.7.0", Endpoint: "https://q"}, "True", "False", "False", nil},
		{"is blocked", Seen{All: components(), Health: healthy(), Version: "3.7.0", Blocked: &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: "X"}}, "True", "True", "True", []string{"Warning ConfigInvalid"}},
		{"is blocked before it is known what it is", Seen{Version: "3.7.0", Blocked: &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: "X"}}, "True", "True", "True", nil},
		{"goes on", Seen{All: components(), Health: healthy(), Version: "3.7.0", Endpoint: "https://q"}, "True", "False", "False", []string{"Normal ComponentsCreationSuccess"}},
		{"loses its database", Seen{All: components(), Health: healthy(v1.ComponentPostgres), Version: "3.7.0", Endpoint: "https://q"}, "ComponentNotReady", "False", "False",
			[]string{"Warning ComponentNotReady", "Warning ComponentNotReady"}},
		{"has no mirror", Seen{All: components(v1.ComponentMirror), Health: healthy(), Version: "3.7.0", Endpoint: "https://q"}, "True", "False", "False", []string{"Normal HealthChecksPassing", "Normal ComponentReady"}},
	}
	for i, step := range steps {
		step.seen.Generation, step.seen.Now = 1, at(i)
		before := s
		s = Compute(before, step.seen)
		a := Find(s, v1.Available)
		got := string(a.Reason)
		if a.Status == metav1.ConditionTrue {
			got = "True"
		}
		if got != step.available || Find(s, v1.RolloutBlocked).Status != step.blocked || Find(s, v1.Stalled).Status != step.stalled {
			t.Errorf("%s: available %s (%s), blocked %s, stalled %s", step.name, got, a.Message, Find(s, v1.RolloutBlocked).Status, Find(s, v1.Stalled).Status)
		}
		var events []string
		told := map[string]bool{}
		for _, e := range Events(before, s) {
			events = append(events, e.Type+" "+e.Reason)
			if key := e.Type + e.Reason + string(e.Condition); told[key] {
				t.Errorf("%s: two events are %s", step.name, key)
			} else {
				told[key] = true
			}
		}
		if strings.Join(events, ", ") != strings.Join(step.events, ", ") {
			t.Errorf("%s: events %v; want %v", step.name, events, step.events)
		}
		if same := Same(before, s); same != (step.name == "stays" || step.name == "is blocked before it is known what it is") {
			t.Errorf("%s: the same is %v", step.name, same)
		}
	}
	if c := Find(s, v1.Available); !c.LastTransitionTime.Time.Equal(at(len(steps) - 1)) {
		t.Errorf("Available since %s", c.LastTransitionTime)
	}
	if c := Find(s, v1.ComponentRedisReady); !c.LastTransitionTime.Time.Equal(at(1)) {
		t.Errorf("Redis is ready since %s", c.LastTransitionTime)
	}
	if s.LastUpdated != at(len(steps)-1).Format(time.RFC3339) || s.RegistryEndpoint != "https://q" {
		t.Errorf("%+v", s)
	}
}

// TestBlockedAtOnce: what was never there is not available.
func TestBlockedAtOnce(t *testing.T) {
	s := Compute(v1.QuayRegistryStatus{}, Seen{Blocked: &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: "no Secret"}, Now: at(0)})
	s = Compute(s, Seen{Blocked: &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: "no Secret"}, Now: at(1)})
	if c := Find(s, v1.Available); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "no Secret") {
		t.Errorf("%+v", c)
	}
}

func TestDeployment(t *testing.T) {
	progressing := func(reason string) appsv1.DeploymentCondition {
		return appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: reason}
	}
	is := func(s corev1.ConditionStatus) appsv1.DeploymentCondition {
		return appsv1.DeploymentCondition{Type: appsv1.DeploymentAvailable, Status: s, Reason: "MinimumReplicasUnavailable"}
	}
	for name, c := range map[string]struct {
		stopped bool
		seen    int64
		status  appsv1.DeploymentStatus
		ready   bool
		message string
	}{
		"not seen yet":      {false, 1, appsv1.DeploymentStatus{Replicas: 2, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{progressing("NewReplicaSetAvailable"), is("True")}}, false, "rolled out"},
		"there":             {false, 2, appsv1.DeploymentStatus{Replicas: 2, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{progressing("NewReplicaSetAvailable"), is("True")}}, true, "available"},
		"being scaled":      {false, 2, appsv1.DeploymentStatus{Replicas: 5, AvailableReplicas: 4, Conditions: []appsv1.DeploymentCondition{progressing("NewReplicaSetAvailable"), is("True")}}, true, "available"},
		"being rolled out":  {false, 2, appsv1.DeploymentStatus{Replicas: 3, UpdatedReplicas: 1, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{progressing("ReplicaSetUpdated"), is("True")}}, false, "1 of 3 pods are new: pod x: ImagePullBackOff"},
		"given up":          {false, 2, appsv1.DeploymentStatus{Replicas: 3, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{progressing("ProgressDeadlineExceeded"), is("True")}}, false, "do not become ready: pod x"},
		"away":              {false, 2, appsv1.DeploymentStatus{Replicas: 2, ReadyReplicas: 0, Conditions: []appsv1.DeploymentCondition{progressing("NewReplicaSetAvailable"), is("False")}}, false, "0 of 2 pods are ready"},
		"stopped":           {true, 2, appsv1.DeploymentStatus{}, true, "manually scaled down"},
		"being stopped":     {true, 2, appsv1.DeploymentStatus{Replicas: 1}, false, "1 pods are left"},
		"nothing known yet": {false, 2, appsv1.DeploymentStatus{}, false, "0 of 1 pods"},
	} {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Generation: 2}, Status: c.status}
		d.Status.ObservedGeneration = c.seen
		if h := Deployment(d, c.stopped, "pod x: ImagePullBackOff"); h.Ready != c.ready || !strings.Contains(h.Message, c.message) {
			t.Errorf("%s: %+v", name, h)
		}
	}
	if h := Deployment(nil, false, ""); h.Ready {
		t.Error("none is ready")
	}
}

func TestPods(t *testing.T) {
	pod := func(s corev1.PodStatus) []corev1.Pod {
		return []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: s}}
	}
	container := func(c corev1.ContainerStatus) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}}
	}
	for want, s := range map[string]corev1.PodStatus{
		"":                                       container(corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}),
		"pod p: ImagePullBackOff: no such image": container(corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}}),
		"pod p: it ended with code 2: gantry: the disk is full":          container(corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Message: "x\ngantry: the disk is full\n"}}}),
		"pod p: it ended with code 1: " + strings.Repeat("y", 300) + "…": container(corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: strings.Repeat("y", 400)}}}),
		"pod p: 0/3 nodes are available":                                 {Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"}}},
	} {
		if got := Pods(pod(s)); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}
