package plan

import (
	"errors"
	"strings"
	"testing"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// TestReach holds the matrix of operator.md, sections 6 and 13.
func TestReach(t *testing.T) {
	cert, key := pair(t, "x", "x.example.com")
	named := func(more ...string) *Bundle { return bundle(t, "SERVER_HOSTNAME: x.example.com", more...) }
	class := "haproxy"
	route := func(o v1.Override) []v1.Component {
		return []v1.Component{{Kind: v1.ComponentRoute, Managed: true, Overrides: &o}}
	}
	ingress := bare
	ingress.Ingresses = true
	gateway := bare
	gateway.Gateways = true
	lost := openshift
	lost.AppsDomain = ""
	const service = "r-quay-app.ns.svc.cluster.local"
	for name, c := range map[string]struct {
		components []v1.Component
		cluster    Cluster
		b          *Bundle
		want       Access
		bad        string
	}{
		"a route":                    {nil, openshift, bundle(t, ""), Access{Door: DoorRoute, Hostname: "r-quay-ns.apps.example.com", TLSAtDoor: true}, ""},
		"a route with a name":        {nil, openshift, named(), Access{Door: DoorRoute, Hostname: "x.example.com", TLSAtDoor: true}, ""},
		"a route with a certificate": {nil, openshift, named("ssl.cert", cert, "ssl.key", key), Access{Door: DoorRoute, Hostname: "x.example.com"}, ""},
		"no domain":                  {nil, lost, bundle(t, ""), Access{}, "put SERVER_HOSTNAME"},
		"no domain, but a name":      {nil, lost, named(), Access{Door: DoorRoute, Hostname: "x.example.com", TLSAtDoor: true}, ""},
		"an ingress":                 {nil, ingress, named(), Access{Door: DoorIngress, Hostname: "x.example.com", TLSAtDoor: true}, ""},
		"an ingress of a class":      {route(v1.Override{IngressClassName: &class}), bare, named(), Access{Door: DoorIngress, Hostname: "x.example.com", TLSAtDoor: true}, ""},
		"an ingress without a name":  {nil, ingress, bundle(t, ""), Access{Door: DoorService, Hostname: service, Own: true}, ""},
		"nothing":                    {nil, bare, bundle(t, ""), Access{Door: DoorService, Hostname: service, Own: true}, ""},
		"nothing, but a certificate": {nil, bare, named("ssl.cert", cert, "ssl.key", key), Access{Door: DoorService, Hostname: "x.example.com"}, ""},
		"a gateway":                  {route(v1.Override{Gateway: "infra/public"}), gateway, named(), Access{Door: DoorGateway, Hostname: "x.example.com", TLSAtDoor: true}, ""},
		"a gateway without its API":  {route(v1.Override{Gateway: "public"}), bare, named(), Access{}, "no HTTPRoute"},
		"a gateway without a name":   {route(v1.Override{Gateway: "public"}), gateway, bundle(t, ""), Access{}, "SERVER_HOSTNAME"},
		"a gateway, TLS behind it":   {route(v1.Override{Gateway: "public"}), gateway, named("ssl.cert", cert, "ssl.key", key), Access{}, "have tls managed"},
		"the user's door":            {unmanaged(v1.ComponentRoute), openshift, named("ssl.cert", cert, "ssl.key", key), Access{Hostname: "x.example.com"}, ""},
		"the user's door, with TLS":  {unmanaged(v1.ComponentRoute, v1.ComponentTLS), bare, bundle(t, "SERVER_HOSTNAME: x.example.com:8443\nEXTERNAL_TLS_TERMINATION: true"), Access{Hostname: "x.example.com:8443", TLSAtDoor: true}, ""},
	} {
		all, err := Decide(v1.QuayRegistrySpec{Components: c.components}, c.cluster, c.b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, err := Reach("r", "ns", all, c.cluster, c.b)
		if c.bad != "" {
			if blocked, ok := AsBlocked(err); !ok || blocked.Reason != v1.ReasonRouteDependency || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if (a.Note != "") != (a.Door == DoorService) {
			t.Errorf("%s: note %q", name, a.Note)
		}
		a.Note = ""
		if err != nil || a != c.want {
			t.Errorf("%s: %+v %v; want %+v", name, a, err, c.want)
		}
	}
	if a := (Access{Hostname: "x:8443"}); a.Host() != "x" || a.Endpoint() != "https://x:8443" {
		t.Errorf("%s %s", a.Host(), a.Endpoint())
	}
}

// TestUpgrade holds the table of operator.md, section 17.
func TestUpgrade(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"", "3.7.0", true}, {"3.7.0", "3.7.0", true}, {"3.7.0", "3.7.4", true}, {"3.7.4", "3.7.0", true}, {"3.6.1", "3.7.0", true}, {"3.4.2", "v3.5.0", true},
		{"3.3.4", "3.6.0", true}, {"3.4.0", "3.6.2", true}, {"3.4.6", "3.7.0", true}, {"3.5.1", "3.7.0", true}, {"3.9.0", "4.0.0", true}, {"dev", "3.7.0", true}, {"3.7.0", "5a9fde5", true},
		{"3.3.4", "3.7.0", false}, {"3.3.0", "3.5.0", false}, {"3.6.0", "3.8.0", false}, {"3.7.0", "3.6.9", false}, {"4.0.0", "3.9.0", false}, {"3.1.0", "4.1.0", false},
	} {
		err := Upgrade(c.from, c.to)
		b, blocked := errors.AsType[*Blocked](err)
		if (err == nil) != c.ok || err != nil && (!blocked || b.Reason != v1.ReasonUpgradeUnsupported) {
			t.Errorf("from %q to %q: %v", c.from, c.to, err)
		}
	}
}
