#!/bin/sh
# Collects the third-party CRDs that tests of an operator install, one folder
# for each API: from the Go modules of those who make them, or, where the proxy
# serves none, from this folder. Needs go and the network (or a filled module
# cache), changes no go.mod.
set -eu
out=${1:?usage: fetch.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
go=${GO:-go}
openshift=v0.0.0-20260709102940-580f1c1ba691
prometheus=v0.85.0
gateway=v1.6.3
certmanager=v1.21.2
olm=v0.33.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$work"
dir() {
	"$go" mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}
take() { # take API FILE...
	mkdir -p "$out/$1"
	to=$out/$1
	shift
	install -m 0644 "$@" "$to/"
}
a=$(dir "github.com/openshift/api@$openshift")
take route "$a/route/v1/zz_generated.crd-manifests/routes.crd.yaml"
for f in clusterversions-Default infrastructures-Default apiservers-Default ingresses proxies; do
	take openshift "$a"/config/v1/zz_generated.crd-manifests/*_"$f".crd.yaml
done
p=$(dir "github.com/prometheus-operator/prometheus-operator@$prometheus")
for f in servicemonitors prometheusrules; do
	take monitoring "$p/example/prometheus-operator-crd/monitoring.coreos.com_$f.yaml"
done
g=$(dir "sigs.k8s.io/gateway-api@$gateway")
for f in gatewayclasses gateways httproutes grpcroutes tlsroutes referencegrants; do
	take gateway "$g/config/crd/standard/gateway.networking.k8s.io_$f.yaml"
done
c=$(dir "github.com/cert-manager/cert-manager@$certmanager")
for f in certificates certificaterequests issuers clusterissuers; do
	take certmanager "$c/deploy/crds/cert-manager.io_$f.yaml"
done
take obc "$here/objectbucket.yaml"
o=$(dir "github.com/operator-framework/api@$olm")
take olm "$o/crds/operators.coreos.com_clusterserviceversions.yaml"
