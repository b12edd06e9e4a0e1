package archtest

// Imports go down only. A room is a folder; the packages below it belong to
// it, unless the table names them too. Inside its own room a package imports
// what it likes.
//
// A new folder under internal/, cmd/ or beside them has to be added here,
// with what it may import. Ask first whether it is a room at all, or a file in
// one; docs/design/style.md says how they are cut. A wider row needs a reason
// that the next reader will believe.

// leaves are what every room above them may import.
var leaves = []string{
	"internal/gantry", "internal/config", "internal/httpd", "internal/telemetry",
}

// below are the rooms that capabilities and edges may import.
var below = with(leaves,
	"internal/bus", "internal/store", "internal/blob", "internal/content", "internal/auth", "internal/jobs", "internal/remote",
)

// capabilities never import each other: they talk through jobs or bus.
var capabilities = []string{
	"internal/mirror", "internal/proxycache", "internal/scan", "internal/build",
	"internal/notify", "internal/mail", "internal/audit", "internal/prune", "internal/backup",
}

// edges never import edges, nor does anything but app import them.
var edges = []string{"internal/registry", "internal/api", "internal/editor", "web"}

// rooms says what each room may import of this module.
var rooms = table(map[string][]string{
	// leaves
	"internal/gantry":    nil, // and of the standard library alone
	"internal/config":    {"internal/gantry"},
	"internal/telemetry": {"internal/gantry"},
	"internal/httpd":     {"internal/gantry", "internal/telemetry"},

	// ledgers and the ways to them
	"internal/bus":    leaves,
	"internal/store":  {"internal/gantry", "internal/telemetry"},
	"internal/blob":   {"internal/gantry", "internal/telemetry"},
	"internal/remote": leaves,
	// The client of our own API for the command line: a leaf that needs none of
	// the registry, so that commands over HTTP run where there is none.
	"internal/apiclient": nil,
	"internal/auth":      with(leaves, "internal/store", "internal/bus"),
	"internal/jobs":      with(leaves, "internal/store", "internal/bus"),
	"internal/fleet":     with(leaves, "internal/store", "internal/bus"),
	"internal/content":   with(leaves, "internal/store", "internal/blob", "internal/bus"), // never jobs: follow-up work starts from the journal

	// the operator stands apart
	"apis":              nil,
	"internal/operator": {"apis", "internal/config", "internal/gantry", "internal/telemetry"},
	// A cluster for tests; any may import it.
	"internal/operator/kubetest": {"apis", "internal/servertest"},

	// what puts all of it together
	"internal/app": with(below, append([]string{"internal/fleet"}, append(with(capabilities, edges...), "internal/operator", "apis")...)...),
	"cmd/gantry":   with(leaves, "internal/app", "internal/apiclient"),

	// not part of the product
	"internal/archtest":   nil,
	"internal/servertest": nil,                                                      // any test may import it
	"internal/quaytest":   {"internal/store", "internal/auth", "internal/config"},   // any test may import it
	"internal/faults":     {"internal/gantry", "internal/store", "internal/remote"}, // of the latter, the registry for tests
	"internal/bench":      {"internal/gantry"},
	"deploy":              nil,
	"e2e/k8s":             nil, // tests on a real node
})

// table adds the rows of capabilities and edges, which are all alike.
func table(t map[string][]string) map[string][]string {
	for _, c := range capabilities {
		t[c] = below
	}
	for _, e := range edges {
		t[e] = with(below, capabilities...)
	}
	return t
}

func with(a []string, b ...string) []string {
	return append(append([]string(nil), a...), b...)
}

// homes are the modules and packages from outside that live in some rooms
// only, so that the rest can be built, read and replaced without them. An
// import is matched by whole path elements.
var homes = []struct {
	imports []string
	rooms   []string
	tests   bool // test files anywhere may import it too
	why     string
}{
	{
		imports: []string{"modernc.org/sqlite", "github.com/jackc/pgx", "github.com/go-sql-driver/mysql", "github.com/pressly/goose"},
		rooms:   []string{"internal/store"},
		why:     "database drivers and migrations belong to internal/store; give it a method for what you need",
	},
	{
		imports: []string{"database/sql"},
		rooms:   []string{"internal/store", "internal/telemetry"}, // telemetry shows the pool's sql.DBStats
		tests:   true,
		why:     "all SQL is in internal/store; give it a method for what you need",
	},
	{
		imports: []string{"github.com/aws", "github.com/Azure", "github.com/ncw/swift", "cloud.google.com", "google.golang.org/api"},
		rooms:   []string{"internal/blob"},
		why:     "cloud SDKs belong to the engines under internal/blob; use blob.Engine",
	},
	{
		imports: []string{"k8s.io", "sigs.k8s.io", "github.com/openshift", "github.com/prometheus-operator"},
		rooms:   []string{"internal/operator", "internal/build/kube", "apis"},
		why:     "Kubernetes belongs to internal/operator and internal/build/kube (26 MB and 630 packages)",
	},
	{
		imports: []string{"github.com/spf13"},
		rooms:   []string{"cmd/gantry"},
		why:     "the command line is parsed in cmd/gantry alone; take an Options struct",
	},
	{
		imports: []string{"github.com/redis"},
		rooms:   []string{"internal/bus"},
		why:     "Redis belongs to internal/bus; use bus.Bus",
	},
	{
		imports: []string{"github.com/go-ldap", "github.com/coreos/go-oidc", "golang.org/x/oauth2"},
		rooms:   []string{"internal/auth"},
		tests:   true,
		why:     "who somebody is at a service outside is the matter of internal/auth; use auth.Provider and auth.Site",
	},
	{
		imports: []string{"github.com/wneessen/go-mail"},
		rooms:   []string{"internal/mail"},
		why:     "mail is sent by internal/mail alone; queue a mail.Message",
	},
	{
		imports: []string{"github.com/prometheus/client_golang"},
		rooms:   []string{"internal/telemetry"},
		tests:   true,
		why:     "metrics are defined in internal/telemetry, so that one page lists them all",
	},
	{
		imports: []string{"testing", "net/http/httptest"},
		tests:   true,
		why:     "only tests, and packages named *test, import it",
	},
	{
		imports: []string{"C"},
		why:     "the product is built without cgo, as one static binary",
	},
}

// tagged are the rooms that app imports from files with a //go:build line
// only, so that a small build without them stays possible.
var tagged = []string{
	"internal/operator", "internal/build/kube",
	"internal/blob/s3", "internal/blob/gcs", "internal/blob/azure", "internal/blob/swift",
}
