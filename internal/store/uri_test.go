package store

import (
	"crypto/x509"
	"testing"
)

// TestRootCAs gives the authorities of the configuration to connections that
// name none of their own.
func TestRootCAs(t *testing.T) {
	roots := x509.NewCertPool()
	for mode, want := range map[string]bool{"verify-full": true, "verify-ca": true, "disable": false} {
		u, err := parseURI("postgresql://u:p@db.example.com/x", map[string]any{"sslmode": mode})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := u.postgres(roots)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.TLSConfig != nil && cfg.TLSConfig.RootCAs == roots; got != want {
			t.Errorf("sslmode %s: the authorities are taken: %v", mode, got)
		}
	}
}
