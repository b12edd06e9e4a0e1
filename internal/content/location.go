package content

import "github.com/gantry-registry/gantry/internal/blob"

// A Location is a place that keeps objects: an engine, and the row that
// placements name it by.
type Location struct {
	ID     int64  // store.EnsureLocation of Name
	Name   string // key of DISTRIBUTED_STORAGE_CONFIG
	Engine blob.Engine
}
