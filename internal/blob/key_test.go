package blob

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/gantry"
)

func TestCheckKey(t *testing.T) {
	good := []string{
		"a", "_verify", "sha256/ab/abcdef", "uploads/6f0c1b1e-0000-4000-8000-000000000000", "a b", "a..b", "..a", "a/...", ".hidden",
		"é/ü", "a:b", strings.Repeat("x", MaxElement), strings.Repeat("x/", MaxKey/2-1) + "yy",
	}
	for _, key := range good {
		if err := CheckKey(key); err != nil {
			t.Errorf("CheckKey(%q) = %v; want nil", key, err)
		}
		if err := CheckPrefix(key); err != nil {
			t.Errorf("CheckPrefix(%q) = %v; want nil", key, err)
		}
	}
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a/./b", "a/.", "a\x00b", "a\nb", "a\x7f", `a\b`, `..\a`,
		"a\xff", strings.Repeat("x", MaxElement+1), strings.Repeat("x/", MaxKey/2) + "y", ".gantry-x", "a/.gantry-1/b",
	}
	for _, key := range bad {
		if err := CheckKey(key); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("CheckKey(%q) = %v; want Invalid", key, err)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/.", "a/..", "..", ".", "a/\xc3", "sha256/a"} {
		if err := CheckPrefix(prefix); err != nil {
			t.Errorf("CheckPrefix(%q) = %v; want nil", prefix, err)
		}
	}
	for _, prefix := range []string{"/", "//", "/a", "../", "../a", "a//", "a//b", "a/../", "a\x00", `a/\`, strings.Repeat("x", MaxKey+1)} {
		if err := CheckPrefix(prefix); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("CheckPrefix(%q) = %v; want Invalid", prefix, err)
		}
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"a", "../x", "a//b", "sha256/ab/cd", "a/./b", "\x00", `\`, "é", "a/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		if path.Clean(key) != key || path.IsAbs(key) || !filepath.IsLocal(key) || !utf8.ValidString(key) || len(key) > MaxKey {
			t.Fatalf("CheckKey accepts %q", key)
		}
		if joined := path.Join("/root", key); !strings.HasPrefix(joined, "/root/") {
			t.Fatalf("%q leads to %q", key, joined)
		}
		for i := range len(key) + 1 {
			if err := CheckPrefix(key[:i]); err != nil {
				t.Fatalf("CheckPrefix(%q), the beginning of a key, = %v", key[:i], err)
			}
		}
	})
}
