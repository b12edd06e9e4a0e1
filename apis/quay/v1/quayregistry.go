package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A QuayRegistry is a registry with all that belongs to it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=quayregistries,scope=Namespaced
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.currentVersion`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.registryEndpoint`
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 43",message="the name of a QuayRegistry has at most 43 characters: names of its objects begin with it"
type QuayRegistry struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   QuayRegistrySpec   `json:"spec,omitempty"`
	Status QuayRegistryStatus `json:"status,omitempty"`
}

// A QuayRegistryList is a list of them.
//
// +kubebuilder:object:root=true
type QuayRegistryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []QuayRegistry `json:"items"`
}

// A QuayRegistrySpec says what a registry is to be. The operator never writes
// it.
type QuayRegistrySpec struct {
	// ConfigBundleSecret is the Secret in this namespace that holds config.yaml,
	// certificates and other files of the registry. Without it, the registry has
	// the default configuration.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ConfigBundleSecret string `json:"configBundleSecret,omitempty"`

	// Components say which parts the operator makes. One that is not named is
	// managed wherever the cluster has what it needs.
	//
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +kubebuilder:validation:MaxItems=32
	Components []Component `json:"components,omitempty"`

	// DeletionPolicy says what happens to the volumes, the bucket and the keys
	// when the registry is deleted: Delete (the default) or Retain.
	//
	// +optional
	// +kubebuilder:validation:Enum=Delete;Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// NetworkPolicies has the operator make a NetworkPolicy for each component,
	// which lets in only who needs it.
	//
	// +optional
	NetworkPolicies bool `json:"networkPolicies,omitempty"`
}

// A DeletionPolicy says what happens to data when a registry is deleted.
type DeletionPolicy string

// The deletion policies. Delete is the default.
const (
	DeletionPolicyDelete DeletionPolicy = "Delete"
	DeletionPolicyRetain DeletionPolicy = "Retain"
)

// A ComponentKind names a part of a registry.
type ComponentKind string

// The component kinds.
const (
	ComponentQuay          ComponentKind = "quay"
	ComponentPostgres      ComponentKind = "postgres"
	ComponentClair         ComponentKind = "clair"
	ComponentRedis         ComponentKind = "redis"
	ComponentHPA           ComponentKind = "horizontalpodautoscaler"
	ComponentObjectStorage ComponentKind = "objectstorage"
	ComponentRoute         ComponentKind = "route"
	ComponentMirror        ComponentKind = "mirror"
	ComponentMonitoring    ComponentKind = "monitoring"
	ComponentTLS           ComponentKind = "tls"
	ComponentClairPostgres ComponentKind = "clairpostgres"
)

// Kinds are all component kinds, in the order in which Quay's documents list
// them.
func Kinds() []ComponentKind {
	return []ComponentKind{ComponentQuay, ComponentPostgres, ComponentClair, ComponentRedis, ComponentHPA, ComponentObjectStorage,
		ComponentRoute, ComponentMirror, ComponentMonitoring, ComponentTLS, ComponentClairPostgres}
}

// A Component is a part of a registry.
//
// +kubebuilder:validation:XValidation:rule="self.kind in ['quay','postgres','clair','redis','horizontalpodautoscaler','objectstorage','route','mirror','monitoring','tls','clairpostgres']",messageExpression="'there is no component \"' + self.kind + '\": choose from quay, postgres, clair, redis, horizontalpodautoscaler, objectstorage, route, mirror, monitoring, tls and clairpostgres' + (self.kind == 'mirroring' ? ' (mirroring is called mirror)' : self.kind == 'hpa' ? ' (hpa is called horizontalpodautoscaler)' : \"\")",fieldPath=".kind"
// +kubebuilder:validation:XValidation:rule="!has(self.overrides) || self.managed || self.kind == 'quay'",message="overrides are for managed components: set managed to true, or take the overrides out",fieldPath=".overrides"
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || self.kind == 'tls'",message="secretRef is for the component tls",fieldPath=".secretRef"
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || !self.managed",message="secretRef names a certificate of yours: set managed to false",fieldPath=".secretRef"
type Component struct {
	// Kind is quay, postgres, clair, redis, horizontalpodautoscaler,
	// objectstorage, route, mirror, monitoring, tls or clairpostgres.
	//
	// +kubebuilder:validation:MaxLength=63
	Kind ComponentKind `json:"kind"`

	// Managed says that the operator makes the component.
	//
	// +optional
	// +kubebuilder:default=true
	Managed bool `json:"managed"`

	// Overrides change how a managed component is made.
	//
	// +optional
	Overrides *Override `json:"overrides,omitempty"`

	// SecretRef names a Secret of type kubernetes.io/tls with the certificate of
	// an unmanaged component tls. It is watched: a new certificate is taken up.
	//
	// +optional
	SecretRef *SecretRef `json:"secretRef,omitempty"`
}

// A SecretRef names a Secret of the registry's namespace.
type SecretRef struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// An Override changes how a component is made. Which of them a component has
// is in docs/operator/reference.md; one that it has not is an error.
type Override struct {
	// VolumeSize is the size of the component's volume. It may grow.
	//
	// +optional
	VolumeSize *resource.Quantity `json:"volumeSize,omitempty"`
	// StorageClassName is the class of the component's volume, or bucket; a
	// volume that is there keeps its class.
	//
	// +optional
	StorageClassName *string `json:"storageClassName,omitempty"`
	// AccessMode is that of the volume which stands in for a bucket where the
	// cluster has no object bucket claims: ReadWriteOnce (the default), with one
	// pod of the registry, or ReadWriteMany, with as many as are asked for.
	//
	// +optional
	// +kubebuilder:validation:Enum=ReadWriteOnce;ReadWriteMany
	AccessMode corev1.PersistentVolumeAccessMode `json:"accessMode,omitempty"`
	// BucketClass is the bucket class of an object bucket claim.
	//
	// +optional
	BucketClass *string `json:"bucketClass,omitempty"`
	// Env are variables of the main container, merged by name with the
	// operator's.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Env []corev1.EnvVar `json:"env,omitempty" patchStrategy:"merge" patchMergeKey:"name"`
	// Replicas is how many pods run. While the component horizontalpodautoscaler
	// is managed, only 0 is allowed, which stops them.
	//
	// +optional
	// +nullable
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`
	// Affinity is taken in place of the operator's, which spreads the pods over
	// nodes.
	//
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// NodeSelector is that of the pods, and of the jobs of the component.
	//
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Tolerations are those of the pods, and of the jobs of the component.
	//
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// TopologySpreadConstraints are those of the pods. A labelSelector that is
	// left out is the component's.
	//
	// +optional
	// +listType=atomic
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// PriorityClassName is that of the pods.
	//
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// ImagePullSecrets are those of the pods, besides those of the service account.
	//
	// +optional
	// +listType=atomic
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// Image is taken in place of the operator's.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`
	// Resources of the main container, in place of the operator's.
	//
	// +optional
	// +nullable
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// SecurityContext of the main container, in place of the operator's.
	//
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`
	// Labels are added to the Deployment and its pods. quay-component, app and
	// quay-operator/quayregistry are the operator's.
	//
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are added to the Deployment and its pods.
	//
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// ServiceAnnotations are added to the Service.
	//
	// +optional
	ServiceAnnotations map[string]string `json:"serviceAnnotations,omitempty"`
	// IngressClassName is the class of the Ingress that stands in for a Route
	// where the cluster has none.
	//
	// +optional
	IngressClassName *string `json:"ingressClassName,omitempty"`
	// Gateway is the Gateway, of the Gateway API, that the registry's route
	// belongs to: name, or namespace/name.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=317
	Gateway string `json:"gateway,omitempty"`
	// HPA changes how the component is scaled.
	//
	// +optional
	HPA *HPA `json:"hpa,omitempty"`
	// PDB is the disruption budget of the pods.
	//
	// +optional
	PDB *PDB `json:"pdb,omitempty"`
}

// An HPA says how a component is scaled.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || self.min <= self.max",message="min is larger than max"
type HPA struct {
	// Min is the least number of pods.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Min *int32 `json:"min,omitempty"`
	// Max is the largest number of pods.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Max *int32 `json:"max,omitempty"`
	// CPU is the use of the requested CPU that is aimed at, in per cent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	CPU *int32 `json:"cpu,omitempty"`
	// Memory is the use of the requested memory that is aimed at, in per cent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Memory *int32 `json:"memory,omitempty"`
}

// A PDB is a disruption budget: one of the two.
//
// +kubebuilder:validation:XValidation:rule="has(self.minAvailable) != has(self.maxUnavailable)",message="say minAvailable or maxUnavailable, not both"
type PDB struct {
	// MinAvailable pods stay, as a number or in per cent.
	//
	// +optional
	MinAvailable *intstr.IntOrString `json:"minAvailable,omitempty"`
	// MaxUnavailable pods may go, as a number or in per cent.
	//
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// A QuayRegistryStatus is what the operator has seen and done.
type QuayRegistryStatus struct {
	// CurrentVersion is the version that is deployed. It changes once the
	// database has been migrated.
	//
	// +optional
	CurrentVersion string `json:"currentVersion,omitempty"`
	// RegistryEndpoint is where the registry answers, as a URL.
	//
	// +optional
	RegistryEndpoint string `json:"registryEndpoint,omitempty"`
	// LastUpdated is when something of the registry last changed (RFC 3339).
	//
	// +optional
	LastUpdated string `json:"lastUpdated,omitempty"`
	// ConfigEditorEndpoint is where the configuration is edited, as a URL; empty
	// where there is no route to it.
	//
	// +optional
	ConfigEditorEndpoint string `json:"configEditorEndpoint,omitempty"`
	// ConfigEditorCredentialsSecret names the Secret with the editor's user and
	// password.
	//
	// +optional
	ConfigEditorCredentialsSecret string `json:"configEditorCredentialsSecret,omitempty"`
	// ObservedGeneration is the generation of the spec that all of this is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// ConfigHash is the hash of the configuration that is rolled out.
	//
	// +optional
	ConfigHash string `json:"configHash,omitempty"`
	// Conditions say how the registry is.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []Condition `json:"conditions,omitempty"`
	// UnhealthyComponents has the conditions of what is not well, by component,
	// as operators before 3.7 show it.
	//
	// +optional
	UnhealthyComponents map[string][]Condition `json:"unhealthyComponents,omitempty"`
	// Components are all components as they are taken to be.
	//
	// +optional
	// +listType=map
	// +listMapKey=kind
	Components []ComponentStatus `json:"components,omitempty"`
}

// A ComponentStatus is a component as it is taken to be.
type ComponentStatus struct {
	// Kind of the component.
	Kind ComponentKind `json:"kind"`
	// Managed says that the operator makes it.
	Managed bool `json:"managed"`
	// Source is where that comes from.
	Source ComponentSource `json:"source"`
}

// A ComponentSource is why a component is managed, or not.
//
// +kubebuilder:validation:Enum=spec;default;detected
type ComponentSource string

// The sources: the spec says it, it is always so, or the cluster or the bundle
// has or lacks what the component needs.
const (
	SourceSpec     ComponentSource = "spec"
	SourceDefault  ComponentSource = "default"
	SourceDetected ComponentSource = "detected"
)

// A Condition is one statement on how the registry is.
type Condition struct {
	// Type of the condition.
	//
	// +kubebuilder:validation:MaxLength=316
	Type ConditionType `json:"type"`
	// Status is True, False or Unknown.
	//
	// +kubebuilder:validation:Enum=True;False;Unknown
	Status metav1.ConditionStatus `json:"status"`
	// Reason is one word that programs read.
	//
	// +optional
	Reason ConditionReason `json:"reason,omitempty"`
	// Message is for people.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// ObservedGeneration is the generation of the spec that it is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// LastUpdateTime is when status, reason or message last changed.
	//
	// +optional
	LastUpdateTime metav1.Time `json:"lastUpdateTime,omitempty"`
	// LastTransitionTime is when the status last changed.
	//
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty"`
}

// A ConditionType names a condition.
type ConditionType string

// The condition types. RolloutBlocked and Stalled are True when something is
// wrong. Ready, Reconciling and Stalled are those of kstatus.
const (
	Available                   ConditionType = "Available"
	RolloutBlocked              ConditionType = "RolloutBlocked"
	ComponentsCreated           ConditionType = "ComponentsCreated"
	ComponentQuayReady          ConditionType = "ComponentQuayReady"
	ComponentPostgresReady      ConditionType = "ComponentPostgresReady"
	ComponentClairReady         ConditionType = "ComponentClairReady"
	ComponentClairPostgresReady ConditionType = "ComponentClairPostgresReady"
	ComponentRedisReady         ConditionType = "ComponentRedisReady"
	ComponentHPAReady           ConditionType = "ComponentHPAReady"
	ComponentObjectStorageReady ConditionType = "ComponentObjectStorageReady"
	ComponentRouteReady         ConditionType = "ComponentRouteReady"
	ComponentMirrorReady        ConditionType = "ComponentMirrorReady"
	ComponentMonitoringReady    ConditionType = "ComponentMonitoringReady"
	ComponentTLSReady           ConditionType = "ComponentTLSReady"
	Ready                       ConditionType = "Ready"
	Reconciling                 ConditionType = "Reconciling"
	Stalled                     ConditionType = "Stalled"
)

// A ConditionReason is why a condition is as it is.
type ConditionReason string

// The reasons, as Quay's operator has them.
const (
	ReasonHealthChecksPassing        ConditionReason = "HealthChecksPassing"
	ReasonComponentNotReady          ConditionReason = "ComponentNotReady"
	ReasonComponentReady             ConditionReason = "ComponentReady"
	ReasonComponentNotManaged        ConditionReason = "ComponentNotManaged"
	ReasonComponentsCreated          ConditionReason = "ComponentsCreationSuccess"
	ReasonMigrationsInProgress       ConditionReason = "MigrationsInProgress"
	ReasonMigrationsFailed           ConditionReason = "MigrationsFailed"
	ReasonMigrationsJobMissing       ConditionReason = "MigrationsJobMissing"
	ReasonUpgradeUnsupported         ConditionReason = "UpgradeUnsupported"
	ReasonComponentCreationFailed    ConditionReason = "ComponentCreationFailed"
	ReasonRouteDependency            ConditionReason = "RouteComponentDependencyError"
	ReasonObjectStorageDependency    ConditionReason = "ObjectStorageComponentDependencyError"
	ReasonMonitoringDependency       ConditionReason = "MonitoringComponentDependencyError"
	ReasonConfigInvalid              ConditionReason = "ConfigInvalid"
	ReasonComponentOverrideInvalid   ConditionReason = "ComponentOverrideInvalid"
	ReasonMinimumReplicasUnavailable ConditionReason = "MinimumReplicasUnavailable"
	ReasonCertificateExpires         ConditionReason = "CertificateExpires"
	ReasonReportsNotShared           ConditionReason = "ReportsNotShared"
	ReasonPVCPending                 ConditionReason = "PVCPending"
	ReasonPVCProvisioningFailed      ConditionReason = "PVCProvisioningFailed"
)
