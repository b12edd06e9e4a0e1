package store_test

import (
	"testing"

	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestAbout(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, err := db.About(t.Context())
		if err != nil || a.Dialect != db.Dialect() || a.Version == "" || (a.Dialect == "postgres") != (a.Major >= 13) || a.TLS != "" {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
