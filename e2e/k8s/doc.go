// Package k8s holds the tests on a real node (build tag cluster; "make
// test-cluster"): kubelet, containerd and kube-proxy of this machine run
// Gantry's image, and PostgreSQL and Redis made of its packages.
package k8s
