package quaytest

import (
	"strconv"
	"testing"
)

// TestSchema holds the tables to what their reader takes for granted.
func TestSchema(t *testing.T) {
	for _, release := range []Release{V37, Latest} {
		all, err := schema(release)
		if err != nil {
			t.Fatal(err)
		}
		before := make(map[string]bool)
		for _, table := range all {
			if before[table.name] {
				t.Errorf("%s is there twice", table.name)
			}
			before[table.name] = true
			has := map[string]bool{"id": true}
			for _, c := range table.columns {
				if has[c.name] {
					t.Errorf("%s.%s is there twice", table.name, c.name)
				}
				has[c.name] = true
				if c.refers != "" && !before[c.refers] {
					t.Errorf("%s.%s refers to %q, which is not there before it", table.name, c.name, c.refers)
				}
				if postgres.types[c.kind] == "" || mysql.types[c.kind] == "" {
					t.Errorf("%s.%s: unknown type %q", table.name, c.name, c.kind)
				}
				if c.filled && !readable(c) {
					t.Errorf("%s.%s: unknown default %q", table.name, c.name, c.initial)
				}
			}
			for _, k := range table.keys {
				for _, c := range k.columns {
					if !has[c] {
						t.Errorf("%s has a key of %q, which it has not", table.name, c)
					}
				}
			}
		}
	}
}

func readable(c column) bool {
	switch c.kind {
	case "bool":
		return c.initial == "true" || c.initial == "false"
	case "int", "bigint":
		_, err := strconv.ParseInt(c.initial, 10, 64)
		return err == nil || c.initial == "nowms"
	case "time", "date":
		return c.initial == "now"
	}
	return true
}

func TestSchemaErrors(t *testing.T) {
	for _, words := range [][]string{
		{"name", "string", "uniqe"},
		{"name", "string(x)"},
	} {
		if err := (&table{}).add(words); err == nil {
			t.Errorf("%q is taken", words)
		}
	}
}

// TestSealedAsQuayDoes compares with what Python's cryptography (AESCCM, which
// Quay uses) made of the same key, nonce and text.
func TestSealedAsQuayDoes(t *testing.T) {
	for _, tt := range []struct{ name, secret, plain, want string }{
		{"number", "46290612743598216542081350231671459862517", "a robot's token", "v0$$AAECAwQFBgcICQoLDJ+WUgz6JiJk2vHoKRhGfXsKM+2Oux/i1KHEPgS++f8="},
		{"odd number", "36157894012", "odd digits", "v0$$AAECAwQFBgcICQoLDHV0rbB07FCaPuFrXM6LwTv3Xmh0Ia7qm2I5"},
		{"uuid", "0b9a7f7e-6a5a-4a7b-8f0e-3c1d2e4f5a6b", "ünïcode", "v0$$AAECAwQFBgcICQoLDMFl07gqPEedApymt/C7W+Z04e+Zbopu9Ys="},
		{
			"text", "anothercrazykey!", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			"v0$$AAECAwQFBgcICQoLDG25KNGMwbaB9VpI97NuezhC/P3xJT6Fo+9WT7xiZlzo4qrqUgUeegvP9J0RlLe9gVXaYh6AFEizquvOY9aidOT07H0AJhtqj8wYQQZkO7zM",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nonce := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
			if got := seal(tt.secret, nonce, tt.plain); got != tt.want {
				t.Errorf("%q is sealed as %s, want %s", tt.plain, got, tt.want)
			}
		})
	}
}
