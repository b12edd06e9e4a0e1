package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A QuayRegistryBackup backs a registry up while it runs, once or by a
// schedule: its database, the blobs, the configuration and the keys.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=quayregistrybackups,scope=Namespaced
// +kubebuilder:printcolumn:name="Registry",type=string,JSONPath=`.spec.registry`
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Last",type=string,JSONPath=`.status.last.id`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="the name of a QuayRegistryBackup has at most 40 characters: names of its objects begin with it"
type QuayRegistryBackup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   QuayRegistryBackupSpec   `json:"spec,omitempty"`
	Status QuayRegistryBackupStatus `json:"status,omitempty"`
}

// A QuayRegistryBackupList is a list of them.
//
// +kubebuilder:object:root=true
type QuayRegistryBackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []QuayRegistryBackup `json:"items"`
}

// A Vault says where backups lie, and by which key they are encrypted.
type Vault struct {
	// Secret names the Secret of this namespace with config.yaml, whose
	// DISTRIBUTED_STORAGE_CONFIG has one location: that of the backups. Its file
	// backup.key is the key; gantry backup keygen makes one. Certificates of
	// authorities lie beside them, as extra_ca_cert_NAME.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Secret string `json:"secret"`
}

// A QuayRegistryBackupSpec says what is backed up, when and where to.
type QuayRegistryBackupSpec struct {
	// Registry names the QuayRegistry of this namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=43
	Registry string `json:"registry"`

	// Vault is where backups lie.
	Vault Vault `json:"vault"`

	// Unencrypted allows backups that are not encrypted, though they hold keys
	// and password hashes. The Secret needs no backup.key then.
	//
	// +optional
	Unencrypted bool `json:"unencrypted,omitempty"`

	// Schedule is when backups are made, as of cron, in UTC: "0 3 * * *". Without
	// it one is made, and another one after each change of this spec.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=100
	Schedule string `json:"schedule,omitempty"`

	// Suspend makes no more of them, until it is taken out.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Keep is how many backups stay in the vault; 0 = all.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Keep int32 `json:"keep,omitempty"`
}

// A WorkPhase is how far a backup or a restore is.
type WorkPhase string

// The phases. Pending waits for what its message says; Scheduled waits for its
// time.
const (
	WorkPending   WorkPhase = "Pending"
	WorkScheduled WorkPhase = "Scheduled"
	WorkRunning   WorkPhase = "Running"
	WorkSucceeded WorkPhase = "Succeeded"
	WorkFailed    WorkPhase = "Failed"
)

// A BackupSummary is what a backup holds.
type BackupSummary struct {
	// ID names it in the vault.
	ID string `json:"id"`
	// Time is when it was as it is in the backup (RFC 3339).
	//
	// +optional
	Time string `json:"time,omitempty"`
	// Blobs that it holds.
	//
	// +optional
	Blobs int64 `json:"blobs,omitempty"`
	// Bytes of them.
	//
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// New blobs, that were copied.
	//
	// +optional
	New int64 `json:"new,omitempty"`
	// Missing blobs, of which no storage location has the bytes.
	//
	// +optional
	Missing int64 `json:"missing,omitempty"`
}

// A QuayRegistryBackupStatus is what came of it.
type QuayRegistryBackupStatus struct {
	// Phase is how far the last one is.
	//
	// +optional
	Phase WorkPhase `json:"phase,omitempty"`
	// Message is for people.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Last is the last backup that is whole.
	//
	// +optional
	Last *BackupSummary `json:"last,omitempty"`
	// Job is the Job of the last one.
	//
	// +optional
	Job string `json:"job,omitempty"`
	// ObservedGeneration is the generation of the spec that all of this is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// A QuayRegistryRestore puts a backup in place of what a registry holds, once:
// the operator stops the registry's pods, has the blobs and the database
// brought, and starts them again.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=quayregistryrestores,scope=Namespaced
// +kubebuilder:printcolumn:name="Registry",type=string,JSONPath=`.spec.registry`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Backup",type=string,JSONPath=`.status.restored.id`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="the name of a QuayRegistryRestore has at most 40 characters: names of its objects begin with it"
type QuayRegistryRestore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a restore is not changed: delete it and create another one"
	Spec   QuayRegistryRestoreSpec   `json:"spec,omitempty"`
	Status QuayRegistryRestoreStatus `json:"status,omitempty"`
}

// A QuayRegistryRestoreList is a list of them.
//
// +kubebuilder:object:root=true
type QuayRegistryRestoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []QuayRegistryRestore `json:"items"`
}

// A QuayRegistryRestoreSpec says what is put back, and where from.
type QuayRegistryRestoreSpec struct {
	// Registry names the QuayRegistry of this namespace. What it holds is
	// removed.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=43
	Registry string `json:"registry"`

	// Vault is where backups lie.
	Vault Vault `json:"vault"`

	// Unencrypted says that the backup is not encrypted.
	//
	// +optional
	Unencrypted bool `json:"unencrypted,omitempty"`

	// Backup is the id of the backup; without it, the newest.
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9]{8}T[0-9]{6}Z-[a-z0-9]{6}$`
	Backup string `json:"backup,omitempty"`
}

// A QuayRegistryRestoreStatus is what came of it.
type QuayRegistryRestoreStatus struct {
	// Phase is how far it is. Succeeded and Failed are for good.
	//
	// +optional
	Phase WorkPhase `json:"phase,omitempty"`
	// Message is for people.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Restored is the backup.
	//
	// +optional
	Restored *BackupSummary `json:"restored,omitempty"`
	// Job is the Job that does it.
	//
	// +optional
	Job string `json:"job,omitempty"`
}

// Over reports whether the restore has ended.
func (r *QuayRegistryRestore) Over() bool {
	return r.Status.Phase == WorkSucceeded || r.Status.Phase == WorkFailed
}
