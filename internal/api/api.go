// Package api is the REST API under /api/v1: it parses, authorizes, calls and
// answers as Quay does.
package api
