package gantry

import (
	"slices"
	"strings"
	"testing"
)

// TestSignature: cosign's tag, and what is no signature though cosign makes it.
func TestSignature(t *testing.T) {
	d := Digest("sha256:" + strings.Repeat("ab", 32))
	if got := d.SignatureTag(); got != "sha256-"+strings.Repeat("ab", 32)+".sig" {
		t.Errorf("%s", got)
	}
	if slices.Contains(SignatureTypes(), "application/vnd.dev.cosign.artifact.sbom.v1+json") || !slices.Contains(SignatureTypes(), "application/vnd.cncf.notary.signature") {
		t.Errorf("%v", SignatureTypes())
	}
}
