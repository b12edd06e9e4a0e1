package main

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/gantry-registry/gantry/internal/app"
	"github.com/gantry-registry/gantry/internal/config"
)

// approved starts the program again, in this process, where FEATURE_FIPS asks
// for the FIPS 140-3 mode of Go's cryptography: that is chosen by GODEBUG
// before anything else runs. It returns nil if nothing is to be done.
func approved(o app.Options) error {
	if fips140.Enabled() {
		return nil
	}
	c, _, err := config.Load(config.Options{Dir: o.Config, Environ: o.Environ})
	if err != nil || !c.Features.FIPS {
		return nil //nolint:nilerr // the start tells of the configuration's faults
	}
	environ, err := fipsEnviron(os.Environ())
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err == nil {
		err = syscall.Exec(program, os.Args, environ) // #nosec G204 G702 -- this very program
	}
	return fmt.Errorf("start again in FIPS mode, for FEATURE_FIPS: %w; set GODEBUG=fips140=on in the environment", err)
}

// fipsEnviron returns environ with the mode in GODEBUG. One that says otherwise
// is an error.
func fipsEnviron(environ []string) ([]string, error) {
	out, mode := make([]string, 0, len(environ)+1), "GODEBUG=fips140=on"
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, "GODEBUG="); ok {
			if strings.Contains(","+value, ",fips140=") {
				return nil, errors.New("FEATURE_FIPS is on, and GODEBUG sets fips140 to something else: take it out of the environment")
			}
			if value != "" {
				mode = "GODEBUG=" + value + ",fips140=on"
			}
			continue
		}
		out = append(out, e)
	}
	return append(out, mode), nil
}
