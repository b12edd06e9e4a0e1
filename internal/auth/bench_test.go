package auth

import (
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// BenchmarkVerify is the check of a token that was seen before.
func BenchmarkVerify(b *testing.B) {
	db := storetest.Open(b, storetest.SQLite, store.Options{})
	s := newService(b, db, nil)
	user(b, s, "ann")
	tok, err := s.Token(b.Context(), TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host, Scopes: []string{"repository:ann/app:push"}})
	if err != nil {
		b.Fatal(err)
	}
	name := gantry.RepoName{Namespace: "ann", Name: "app"}
	b.ReportAllocs()
	for b.Loop() {
		g, err := s.Verify(b.Context(), tok.Token, host)
		if err != nil {
			b.Fatal(err)
		}
		if _, role := g.Repo(name); role != gantry.Write {
			b.Fatal(role)
		}
	}
}

// BenchmarkToken is a token for one scope, with credentials seen before.
func BenchmarkToken(b *testing.B) {
	db := storetest.Open(b, storetest.SQLite, store.Options{})
	s := newService(b, db, nil)
	user(b, s, "ann")
	r := TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host, Scopes: []string{"repository:ann/app:push"}}
	for b.Loop() {
		if _, err := s.Token(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
