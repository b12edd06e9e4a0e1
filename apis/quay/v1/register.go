package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is quay.redhat.com/v1.
var GroupVersion = schema.GroupVersion{Group: "quay.redhat.com", Version: "v1"}

// AddToScheme adds the types of this package to a scheme. It returns no error.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &QuayRegistry{}, &QuayRegistryList{},
		&QuayRegistryBackup{}, &QuayRegistryBackupList{}, &QuayRegistryRestore{}, &QuayRegistryRestoreList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
