#!/bin/sh
# Builds the harness into a folder (bin here): the multi-call binary and, with
# "node", containerd and the network plugins from their modules, which
# otherwise the distribution's packages are.
#
#   build.sh [DIR] [node]
#
# Without the version stamps the API server calls itself v0.0.0-master, which
# version parsers, even kubectl's, reject.
set -eu
cd "$(dirname "$0")"
out=${1:-bin}
go=${GO:-go}
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
version=$("$go" list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
pkg=k8s.io/component-base/version
mkdir -p "$out"
out=$(cd "$out" && pwd)
nice -n 10 "$go" build -trimpath -o "$out/k8sharness" \
	-ldflags "-s -w -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=${minor%%.*} -X $pkg.gitTreeState=clean -X $pkg.gitCommit=0000000000000000000000000000000000000000 -X $pkg.buildDate=1970-01-01T00:00:00Z" .
if [ "${2:-}" = node ]; then
	mkdir -p "$out/node"
	cd node
	nice -n 10 "$go" build -trimpath -tags "no_btrfs no_zfs no_devmapper" -ldflags "-s -w" -o "$out/node/" tool
fi
