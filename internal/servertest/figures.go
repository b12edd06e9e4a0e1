package servertest

import (
	"fmt"
	"os"
	"strings"
)

// PutBetween writes lines, such as a table that was measured, between the
// marks <!-- mark --> and <!-- end of mark --> of a page, in place of what is
// there.
func PutBetween(path, mark string, lines []string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	from, to := "<!-- "+mark+" -->\n", "<!-- end of "+mark+" -->"
	before, rest, ok := strings.Cut(string(b), from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks for %s", path, mark)
	}
	return os.WriteFile(path, []byte(before+from+strings.Join(lines, "\n")+"\n"+to+after), 0o644)
}
