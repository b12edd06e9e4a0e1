package api

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const endpointsFile = "../../docs/reference/api-endpoints.md"

const endpointsHead = `# Every call of the API

Made from the contract and from the calls that the tests make (` + "`go test ./internal/api -run TestEndpoints -update`" + `); do not
edit. What each call takes and answers in full is shown by every registry at ` + "`/api/v1/docs`" + `. ` + "`$REGISTRY`" + ` is such as
` + "`http://localhost:8080`" + `, ` + "`$TOKEN`" + ` an OAuth token with the scope that is named; the account needs the rights, too. How to get
one: [the REST API](api.md).
`

// TestEndpoints: the page of docs has each operation, with a call to try.
func TestEndpoints(t *testing.T) {
	b, err := New(Options{}).(*server).contract()
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(b, &d.root); err != nil {
		t.Fatal(err)
	}
	rows := readAccess(t)
	known := strings.NewReplacer("{repo}", "acme/app", "{org}", "acme", "{team}", "owners", "{short}", "ci", "{tag}", "latest", "{username}", "ann", "{prefix}", "an",
		"{email}", "ann@example.com", "{service_id}", "keycloak", "{type}", "not_found")
	variable := regexp.MustCompile(`\{([a-z_]+)\}`)
	var page strings.Builder
	page.WriteString(endpointsHead)
	for _, g := range d.groups() {
		fmt.Fprintf(&page, "\n## %s%s\n\n%s.\n", strings.ToUpper(g.Name[:1]), g.Name[1:], strings.TrimSuffix(g.About, "."))
		for _, o := range g.Operations {
			row := rows[o.Method+" "+strings.TrimPrefix(o.Path, "/")]
			fmt.Fprintf(&page, "\n### %s\n\n", o.Summary)
			if o.Scope != "" {
				fmt.Fprintf(&page, "Scope `%s`.", o.Scope)
				if o.Fresh {
					page.WriteString(" A session must have signed in of late.")
				}
				page.WriteString("\n\n")
			}
			call := "curl"
			if o.Method != "GET" {
				call += " -X " + o.Method
			}
			if o.Scope != "" {
				call += ` -H "Authorization: Bearer $TOKEN"`
			}
			if row.body != "" {
				call += ` -H "Content-Type: application/json" \` + "\n  -d '" + strings.ReplaceAll(row.body, "{digest}", "sha256:…") + `' \` + "\n "
			}
			path := variable.ReplaceAllStringFunc(known.Replace(o.Path), func(x string) string { return "$" + strings.ToUpper(strings.Trim(x, "{}")) })
			if row.query != "" {
				path += "?" + row.query
			}
			fmt.Fprintf(&page, "```sh\n%s \"$REGISTRY/api/v1%s\"\n```\n", call, path)
		}
	}
	if *update {
		if err := os.WriteFile(endpointsFile, []byte(page.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(endpointsFile)
	if err != nil || string(have) != page.String() {
		t.Errorf("%s is not as the contract and %s make it (%v): run go test ./internal/api -run TestEndpoints -update", endpointsFile, accessFile, err)
	}
}
