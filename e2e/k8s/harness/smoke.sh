#!/bin/sh
# Boots a cluster with a real node, runs a pod with a volume behind a service
# and takes everything down again. Needs root.
set -eu
cd "$(dirname "$0")"
h=$(../../../scripts/k8s-harness)/k8sharness
dir=$(mktemp -d /tmp/k8sh.XXXXXX)
down() { "$h" down -dir "$dir" || true; rm -rf "$dir"; }
trap down EXIT
KUBECONFIG=$("$h" up -dir "$dir" -node)
export KUBECONFIG
k="$h kubectl"
"$h" image -ref smoke.test/box:1 -out "$dir/box.tar" -elf /bin/sh -elf /bin/cat -elf /bin/sleep \
	-mkdir /tmp -entrypoint /bin/sleep -cmd infinity -user 1001
"$h" load -dir "$dir" "$dir/box.tar" >/dev/null
$k apply -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Mi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: box}
spec:
  selector: {matchLabels: {app: box}}
  template:
    metadata: {labels: {app: box}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: box
        image: smoke.test/box:1
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "smoke.test/box:1", command: [/bin/sh, -c, "echo done"]}]
Y
$k rollout status deployment/box --timeout=60s
$k exec deployment/box -- /bin/sh -c 'echo kept > /data/file'
$k delete pod -l app=box --wait
$k rollout status deployment/box --timeout=60s
[ "$($k exec deployment/box -- /bin/cat /data/file)" = kept ]
$k wait --for=condition=complete job/once --timeout=60s
[ "$($k logs job/once)" = done ]
"$h" status -dir "$dir"
echo "smoke: passed"
