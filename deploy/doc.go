// Package deploy holds what starts Gantry on a machine: a systemd unit, a
// Quadlet, a Containerfile and a compose file. It has tests and nothing else.
package deploy
