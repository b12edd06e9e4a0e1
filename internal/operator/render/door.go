package render

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
)

// door makes what clients come in by.
func (b *builder) door() {
	o := b.overrides(v1.ComponentRoute)
	meta := func(name string) metav1.ObjectMeta {
		m := b.meta(name, "route", v1.ComponentRoute)
		m.Labels, m.Annotations = over(m.Labels, o.Labels), over(m.Annotations, o.Annotations)
		return m
	}
	switch b.Access.Door {
	case plan.DoorRoute:
		b.route(meta(b.name+"-quay"), b.Access.Host(), "http", "https")
		if host := b.Bundle.BuilderHost(); host != "" {
			b.route(meta(b.name+"-quay-builder"), host, "grpc", "grpc")
		}
	case plan.DoorIngress:
		b.ingress(meta(b.name+"-quay"), o)
	case plan.DoorGateway:
		parent := map[string]any{"name": o.Gateway}
		if namespace, name, ok := strings.Cut(o.Gateway, "/"); ok {
			parent["namespace"], parent["name"] = namespace, name
		}
		b.base(loose("gateway.networking.k8s.io/v1", "HTTPRoute", meta(b.name+"-quay"), map[string]any{"spec": map[string]any{
			"parentRefs": []any{parent}, "hostnames": []any{b.Access.Host()},
			"rules": []any{map[string]any{"backendRefs": []any{map[string]any{"name": b.name + "-quay-app", "port": int64(80)}},
				"timeouts": map[string]any{"request": "0s"}}}}})) // uploads take as long as they take
	case plan.DoorService, plan.DoorNone:
	}
}

// route makes a Route of OpenShift.
func (b *builder) route(m metav1.ObjectMeta, host, plain, encrypted string) {
	if m.Annotations["haproxy.router.openshift.io/timeout"] == "" {
		m.Annotations["haproxy.router.openshift.io/timeout"] = "30m"
	}
	target := plain
	if !b.Access.TLSAtDoor {
		target = encrypted
	}
	b.routeTo(m, host, target, b.name+"-quay-app")
}

// routeTo makes a Route to a port of a Service.
func (b *builder) routeTo(m metav1.ObjectMeta, host, target, service string) {
	tls := map[string]any{"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"}
	if !b.Access.TLSAtDoor {
		tls["termination"] = "passthrough"
	}
	b.base(loose("route.openshift.io/v1", "Route", m, map[string]any{"spec": map[string]any{
		"host": host, "port": map[string]any{"targetPort": target}, "tls": tls,
		"to": map[string]any{"kind": "Service", "name": service, "weight": int64(100)}, "wildcardPolicy": "None"}}))
}

// ingress makes an Ingress. Its certificate is the user's, or cert-manager's if
// an annotation asks for one, or else that of the controller.
func (b *builder) ingress(m metav1.ObjectMeta, o v1.Override) {
	usual := map[string]string{
		"nginx.ingress.kubernetes.io/proxy-body-size": "0", "nginx.ingress.kubernetes.io/proxy-request-buffering": "off", "nginx.ingress.kubernetes.io/proxy-buffering": "off",
		"nginx.ingress.kubernetes.io/proxy-read-timeout": "1800", "nginx.ingress.kubernetes.io/proxy-send-timeout": "1800",
		"haproxy-ingress.github.io/timeout-server": "30m", "haproxy.org/timeout-server": "30m",
	}
	m.Annotations = over(usual, m.Annotations)
	tls, secret := netv1.IngressTLS{Hosts: []string{b.Access.Host()}}, b.name+"-quay-ingress-tls"
	switch {
	case len(b.Cert) > 0:
		b.base(&corev1.Secret{TypeMeta: types("Secret", "v1"), ObjectMeta: b.meta(secret, "route", v1.ComponentRoute), Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{corev1.TLSCertKey: b.Cert, corev1.TLSPrivateKeyKey: b.Key}})
		tls.SecretName = secret
	case m.Annotations["cert-manager.io/issuer"] != "", m.Annotations["cert-manager.io/cluster-issuer"] != "":
		tls.SecretName = secret
	}
	prefix := netv1.PathTypePrefix
	b.base(&netv1.Ingress{TypeMeta: types("Ingress", "networking.k8s.io/v1"), ObjectMeta: m, Spec: netv1.IngressSpec{IngressClassName: o.IngressClassName, TLS: []netv1.IngressTLS{tls},
		Rules: []netv1.IngressRule{{Host: b.Access.Host(), IngressRuleValue: netv1.IngressRuleValue{HTTP: &netv1.HTTPIngressRuleValue{Paths: []netv1.HTTPIngressPath{{
			Path: "/", PathType: &prefix, Backend: netv1.IngressBackend{Service: &netv1.IngressServiceBackend{Name: b.name + "-quay-app", Port: netv1.ServiceBackendPort{Name: "http"}}}}}}}}}}})
}
