package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// ballastSize is about what the heap may grow by between two collections.
const ballastSize = 32 << 20

// calm spaces out the runtime's garbage collection while the heap is small.
// It begins when the heap has doubled, and a server whose heap holds 10 MiB
// would mark it six times a second under load: 5 % of its CPU time. A ballast
// of memory that no page is ever mapped to counts as live heap, and costs
// nothing resident; unlike a higher GOGC it adds a fixed amount, not a multiple,
// where the heap is large. Call release when the server ends. Who sets GOGC or
// GOMEMLIMIT is left alone.
func calm() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	ballast := make([]byte, ballastSize)
	return func() { runtime.KeepAlive(ballast) }
}

// frugal has the heap be collected when it has grown by less than half: for a
// process that keeps much and has little to do, such as an operator, whose caches
// hold what a cluster has. Who sets GOGC or GOMEMLIMIT is left alone.
func frugal() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(40)
	}
}
