// Package v1 is the API quay.redhat.com/v1: the QuayRegistry resource, as the
// Quay operator 3.7 has it, with what later releases added and what users of
// Gantry's operator have besides. A resource that was written for Quay's
// operator is valid here, and does the same.
//
// +kubebuilder:object:generate=true
// +groupName=quay.redhat.com
package v1
