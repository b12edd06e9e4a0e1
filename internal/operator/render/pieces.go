package render

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func number(n int) *intstr.IntOrString {
	v := intstr.FromInt32(int32(n)) // #nosec G115 -- ports and percentages
	return &v
}

// resources asks for CPU and memory, and bounds memory; "" = no bound.
func resources(cpu, memory, limit string) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}}
	if limit != "" {
		r.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)}
	}
	return r
}

// healthy asks an instance whether it may take traffic.
func healthy(port int, tls bool, period, failures int32) *corev1.Probe {
	p := &corev1.Probe{PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 10}
	p.HTTPGet = &corev1.HTTPGetAction{Path: "/health/instance", Port: *number(port), Scheme: corev1.URISchemeHTTP}
	if tls {
		p.HTTPGet.Scheme = corev1.URISchemeHTTPS
	}
	return p
}

// dial is a probe by TCP.
func dial(port int, period, failures int32) *corev1.Probe {
	return &corev1.Probe{PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 5,
		ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: *number(port)}}}
}

func fromSecret(variable, secret, key string) corev1.EnvVar {
	return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key}}}
}

func emptyDir(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

func claimed(name, claim string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}
}

func port(name string, n int32) corev1.ContainerPort {
	return corev1.ContainerPort{Name: name, ContainerPort: n, Protocol: corev1.ProtocolTCP}
}

// servicePort is one port of a Service; protocol is what a mesh takes it for.
func servicePort(name, protocol string, n, target int32) corev1.ServicePort {
	p := corev1.ServicePort{Name: name, Port: n, TargetPort: *number(int(target)), Protocol: corev1.ProtocolTCP}
	if protocol != "" {
		p.AppProtocol = &protocol
	}
	return p
}

// loose makes an object of a kind whose types are not this module's.
func loose(apiVersion, kind string, meta metav1.ObjectMeta, fields map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: maps.Clone(fields)}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(meta.Name)
	u.SetNamespace(meta.Namespace)
	u.SetLabels(meta.Labels)
	u.SetAnnotations(meta.Annotations)
	u.SetOwnerReferences(meta.OwnerReferences)
	return u
}

// words are the fields of a string map as a generic one.
func words(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
