// Package deploy holds what starts Gantry on a machine (a systemd unit, a
// Quadlet, a Containerfile, a compose file) and in Kubernetes (the operator's
// permissions, its kustomize base, Helm charts, the OLM bundle). It has tests
// and nothing else.
package deploy
