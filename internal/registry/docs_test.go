package registry_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/gantry-registry/gantry/internal/registry"
)

// docs/errors.md has a row for every code and status that this package can
// answer, and no row for one that it cannot.
func TestErrorsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)`[^|]*\\| ([0-9]{3}) \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1]+" "+m[2])
	}
	possible := []string{"UNKNOWN 500", "INVALID_REQUEST 408"} // made outside the table of answers
	for _, c := range registry.Codes() {
		possible = append(possible, fmt.Sprintf("%s %d", c.Code, c.Status))
	}
	for _, p := range possible {
		if !slices.Contains(documented, p) {
			t.Errorf("docs/errors.md says nothing of %s", p)
		}
	}
	for _, d := range documented {
		if !slices.Contains(possible, d) {
			t.Errorf("docs/errors.md has %s, which is never answered", d)
		}
	}
}
