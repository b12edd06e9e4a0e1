package plan

import (
	"net"
	"strings"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// A Door is what clients come in by.
type Door string

// The doors. DoorNone: the user makes one, to the Service.
const (
	DoorRoute   Door = "Route"
	DoorIngress Door = "Ingress"
	DoorGateway Door = "HTTPRoute"
	DoorService Door = "Service"
	DoorNone    Door = ""
)

// An Access is how clients reach a registry, and who ends TLS.
type Access struct {
	Door Door
	// Hostname is SERVER_HOSTNAME: a name, with a port where there is one.
	Hostname string
	// TLSAtDoor: what stands before the registry ends TLS.
	TLSAtDoor bool
	// Own: the operator makes a certificate, for nobody else has one.
	Own bool
	// Note says why it is this door, where that is no matter of course.
	Note string
}

// Host is the hostname without a port.
func (a Access) Host() string {
	if host, _, err := net.SplitHostPort(a.Hostname); err == nil {
		return host
	}
	return a.Hostname
}

// Endpoint is where the registry answers, as a URL.
func (a Access) Endpoint() string { return "https://" + a.Hostname }

// Reach decides how clients reach the registry (operator.md, sections 6 and
// 13). The error is a *Blocked.
func Reach(name, namespace string, all Components, cluster Cluster, b *Bundle) (Access, error) {
	route := all[v1.ComponentRoute]
	host, _ := b.Config["SERVER_HOSTNAME"].(string)
	cert := b.HasCert() || all[v1.ComponentTLS].SecretRef != ""
	edge := all.Managed(v1.ComponentTLS)
	block := func(message string) (Access, error) {
		return Access{}, &Blocked{Reason: v1.ReasonRouteDependency, Component: v1.ComponentRoute, Message: message}
	}
	switch {
	case !route.Managed:
		return Access{Hostname: host, TLSAtDoor: b.Config["EXTERNAL_TLS_TERMINATION"] == true && !cert}, nil
	case route.Overrides.Gateway != "":
		switch {
		case !cluster.Gateways:
			return block("the component route names the Gateway " + route.Overrides.Gateway + ", and the cluster has no HTTPRoute (gateway.networking.k8s.io): install the Gateway API, or take the override out")
		case host == "":
			return block("the component route names a Gateway, and config.yaml has no SERVER_HOSTNAME: put in the name by which clients reach the Gateway")
		case !edge:
			return block("the component route names a Gateway, which ends TLS by its own certificate: have tls managed, or route not")
		}
		return Access{Door: DoorGateway, Hostname: host, TLSAtDoor: true}, nil
	case cluster.Routes:
		if host == "" && cluster.AppsDomain == "" {
			return block("the domain of the cluster's routes is not known (ingresses.config.openshift.io/cluster cannot be read): put SERVER_HOSTNAME into config.yaml, or allow the operator to get it")
		}
		if host == "" {
			host = name + "-quay-" + namespace + "." + cluster.AppsDomain
		}
		return Access{Door: DoorRoute, Hostname: host, TLSAtDoor: edge}, nil
	case host != "" && (cluster.Ingresses || route.Overrides.IngressClassName != nil):
		return Access{Door: DoorIngress, Hostname: host, TLSAtDoor: true}, nil
	}
	a := Access{Door: DoorService, Hostname: host, Own: edge}
	switch {
	case host != "":
		a.Note = "the cluster has neither Routes nor a default class of Ingresses: clients reach the Service " + name + "-quay-app, and " + host + " has to lead there"
	default:
		a.Hostname = name + "-quay-app." + namespace + ".svc.cluster.local"
		a.Note = "the cluster has no Routes, and config.yaml has no SERVER_HOSTNAME: clients in the cluster reach the Service; put SERVER_HOSTNAME into config.yaml to be reached from outside"
	}
	return a, nil
}

// EditorHost is the name of the route to the configuration editor; "" = none.
func EditorHost(name, namespace string, all Components, cluster Cluster) string {
	if !all.Managed(v1.ComponentRoute) || !cluster.Routes || cluster.AppsDomain == "" {
		return ""
	}
	return name + "-quay-config-editor-" + namespace + "." + cluster.AppsDomain
}

// BuilderHost is the name, without a port, by which builders reach the registry;
// "" = the bundle says nothing of it.
func (b *Bundle) BuilderHost() string {
	s, _ := b.Config["BUILDMAN_HOSTNAME"].(string)
	host, _, _ := strings.Cut(s, ":")
	return host
}
