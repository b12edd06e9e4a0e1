// Package clients runs real clients against a running registry: podman,
// skopeo and buildah as programs, and the libraries behind helm, oras, crane,
// podman and containerd. It is a module of its own, so that they stay out of
// the product's dependencies. It has tests and nothing else.
//
//	export GOFLAGS=-tags=containers_image_openpgp   instead of gpgme, a C library
//	GANTRY_BIN=/path/to/gantry go test ./...       starts the binary on a free port with data of its own
//	E2E_TARGET=http://HOST,USER,PASSWORD go test   uses a registry that runs
//
// The second form is for comparing with other registries; what only Gantry
// answers is then left out. USER is the namespace that the tests push to.
package clients
