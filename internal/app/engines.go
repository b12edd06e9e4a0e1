package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/fs"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// An engine is an open storage engine.
type engine interface {
	blob.Engine
	// Close releases what the engine holds; objects stay.
	Close() error
}

// An engineSource is what an engine is opened from.
type engineSource struct {
	config.Location
	Config  *config.Config            // the rest of the configuration: its authorities, the bundle's files
	Data    string                    // data folder, for relative paths
	Faults  func(fs.Op, string) error // of storage in files; nil = none
	Logger  *slog.Logger              // nil = none
	Metrics *telemetry.Metrics        // nil = none
	Shared  bool                      // sharesMemory of all locations
}

// sharesMemory reports whether the locations are of services whose parts do
// not come from one pool. Then each of the two has a part of the 128 MiB that
// all uploads of a process may hold: S3 96 MiB, Azure and Swift 32 MiB.
func sharesMemory(list []config.Location) bool {
	has := func(other bool) bool {
		return slices.ContainsFunc(list, func(l config.Location) bool {
			return l.Class != localStorage && (l.Class == "AzureStorage" || l.Class == "SwiftStorage") == other
		})
	}
	return has(true) && has(false)
}

// engines opens the storage engines by Quay's names of their classes. The
// files engines_*.go, which a build tag can leave out, add theirs.
var engines = map[string]func(context.Context, engineSource) (engine, error){
	localStorage: openLocal,
}

// openEngine opens the engine of a location. The error names the parameter.
func openEngine(ctx context.Context, src engineSource) (engine, error) {
	open := engines[src.Class]
	if open == nil {
		return nil, fmt.Errorf("%s is not built into this binary, which has %s", src.Class, strings.Join(slices.Sorted(maps.Keys(engines)), ", "))
	}
	return open(ctx, src)
}

func openLocal(_ context.Context, src engineSource) (engine, error) {
	root := src.String("storage_path")
	if !filepath.IsAbs(root) {
		root = filepath.Join(src.Data, root)
	}
	e, err := fs.New(fs.Options{Root: root, Faults: src.Faults})
	if err != nil {
		return nil, fmt.Errorf("storage_path: %w", err)
	}
	return e, nil
}
