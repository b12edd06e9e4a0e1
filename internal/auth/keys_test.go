package auth

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// TestQuaysSecrets reads what Python's cryptography made in Quay's forms.
func TestQuaysSecrets(t *testing.T) {
	k := testKeys(t)
	for sealed, want := range map[string]string{
		"v0$$AAECAwQFBgcICQoLDO0qd6jIU3w+JKIIWahsaag=":                                                         "",
		"v0$$AAECAwQFBgcICQoLDJIbv1RCTaomTPjZ0Gc0/OT4qIucDb1Mli7xwnOwYKWePlibFBc2UTma9FCmUbB6QcxFXVA9kY0tjJc=": "a robot's token, longer than sixteen bytes",
	} {
		if got, err := k.Open("accounts.secret", "x", sealed); err != nil || got != want || k.Current(sealed) {
			t.Errorf("%s: %q, %v", sealed, got, err)
		}
	}
	if p, ok := k.DecryptPassword("AAAAAAAAAAAAAAAAAAAAAOvsbXl5VRsj2hPpBwHIogsZlhwj5WUa+zcPmCXOB8RT"); !ok || p != "pass word" {
		t.Errorf("password %q, %v", p, ok)
	}
	for text, want := range map[string]string{
		"12345":                                "3039303930393039303930393039303930393039303930393039303930393039",
		"123456789012345678901234567890":       "3132333435363738393031323334353637383930313233343536373839303132",
		"4f1c2e60-7f5b-4c1e-9d7a-0123456789ab": "4f1c2e607f5b4c1e9d7a0123456789ab4f1c2e607f5b4c1e9d7a0123456789ab",
		"plain text":                           "706c61696e2074657874706c61696e2074657874706c61696e2074657874706c",
	} {
		if got, err := quayKey("SECRET_KEY", text); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("key of %q: %x, %v", text, got, err)
		}
	}
}

// TestSeal holds that a secret opens in its own place only, and under an old
// key too.
func TestSeal(t *testing.T) {
	k := testKeys(t)
	sealed, err := k.Seal("accounts.secret", "row", "hidden")
	if err != nil {
		t.Fatal(err)
	}
	newer, err := NewKeys(KeyOptions{SecretKey: "secret", DatabaseSecretKey: "other", OldDatabaseSecretKeys: []string{"database"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Keys{k, newer} {
		if got, err := k.Open("accounts.secret", "row", sealed); err != nil || got != "hidden" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if newer.Current(sealed) || !k.Current(sealed) {
		t.Error("wrong key is current")
	}
	for _, place := range [][2]string{{"accounts.secret", "row2"}, {"app_tokens.secret", "row"}} {
		if got, err := k.Open(place[0], place[1], sealed); err == nil {
			t.Errorf("opens as %q in %v", got, place)
		}
	}
	for _, bad := range []string{"", "g1$", "g1$x$y", sealed[:len(sealed)-4], "v0$$AAAA"} {
		if _, err := k.Open("accounts.secret", "row", bad); err == nil {
			t.Errorf("%q opens", bad)
		}
	}
}

// TestLoadKeys makes keys once, for their owner alone.
func TestLoadKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	a, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := a.Seal("x.y", "1", "z")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Open("x.y", "1", sealed); err != nil || got != "z" {
		t.Fatalf("%q, %v", got, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if i, err := f.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), i.Mode(), err)
		}
	}
}

// TestPages holds that a position opens for its own listing only, and for two
// days.
func TestPages(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	k, err := NewKeys(KeyOptions{SecretKey: "s", DatabaseSecretKey: "d", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	token := k.Pages().Seal("catalog", "f", "ann", "42")
	if last, err := k.Pages().Open("catalog", "f", "ann", token); err != nil || last != "42" {
		t.Fatal(last, err)
	}
	for _, c := range [][4]string{{"tags", "f", "ann", token}, {"catalog", "g", "ann", token}, {"catalog", "f", "bob", token},
		{"catalogf", "", "ann", token}, {"catalog", "f", "ann", "x"}, {"catalog", "f", "ann", ""}} {
		if _, err := k.Pages().Open(c[0], c[1], c[2], c[3]); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%v: %v", c, err)
		}
	}
	now = now.Add(48 * time.Hour)
	if _, err := k.Pages().Open("catalog", "f", "ann", token); !gantry.Is(err, gantry.Invalid) {
		t.Error("an old position opens")
	}
}
