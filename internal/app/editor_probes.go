package app

import (
	"log/slog"

	"github.com/gantry-registry/gantry/internal/editor"
)

// probes are the live tests of the configuration editor.
func probes(*slog.Logger) map[string]editor.Probe {
	return map[string]editor.Probe{}
}
