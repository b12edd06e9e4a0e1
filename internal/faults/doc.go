// Package faults takes away, under load, what a fleet of registries stands on:
// an instance, the database, Redis, a storage location, the clock, the
// network. It is tests alone; "make test-faults" runs all of them and writes
// docs/reliability.md, "make test" the short ones.
package faults
