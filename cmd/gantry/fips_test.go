package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFIPS: FEATURE_FIPS starts the server in the FIPS mode of Go's
// cryptography, in the process that was started.
func TestFIPS(t *testing.T) {
	t.Setenv("GODEBUG", "")
	for text, want := range map[string]bool{"SERVER_HOSTNAME: localhost\nFEATURE_FIPS: true\n": true, "SERVER_HOSTNAME: localhost\n": false} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd, ready := process(t, "serve", "--config", dir, "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--metrics", "off")
		if on, _ := ready["fips140"].(bool); on != want {
			t.Errorf("%q: %v", text, ready)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil { // the same process
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestFIPSEnviron(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []string
	}{
		{"none", []string{"A=1"}, []string{"A=1", "GODEBUG=fips140=on"}},
		{"empty", []string{"GODEBUG=", "A=1"}, []string{"A=1", "GODEBUG=fips140=on"}},
		{"others", []string{"GODEBUG=http2debug=1"}, []string{"GODEBUG=http2debug=1,fips140=on"}},
		{"off", []string{"GODEBUG=http2debug=1,fips140=off"}, nil},
	} {
		got, err := fipsEnviron(c.in)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}
