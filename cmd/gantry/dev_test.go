package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestDevSeed fills a data folder, finds it sound, and lists by the API of a
// server on it as much as was asked for.
func TestDevSeed(t *testing.T) {
	r := serveRegistry(t, "")
	args := []string{"dev", "seed", "--scale", "0.5", "--orgs", "10", "--users", "20", "--repos", "600", "--tags", "2400", "--logs", "900", "--data"}
	if got := r.run("", append(args, r.data)...); got.code != 1 || !strings.Contains(got.err, "in use") {
		t.Errorf("beside a server: %+v", got)
	}
	data := filepath.Join(t.TempDir(), "data")
	if out := r.must(append(args, data)...); !strings.Contains(out, "seed-org-00000") {
		t.Error(out)
	}
	if got := r.run("", append(args, data)...); got.code != 1 || !strings.Contains(got.err, "not empty") {
		t.Errorf("twice: %+v", got)
	}
	if out := r.must("verify", "--database-only", "--data", data); !strings.Contains(out, "Everything is whole.") {
		t.Error(out)
	}
	for _, bad := range []string{"0", "-1", "NaN", "1000"} {
		if got := r.run("", "dev", "seed", "--scale", bad, "--data", data); got.code != 1 || !strings.Contains(got.err, "--scale") {
			t.Errorf("--scale %s: %+v", bad, got)
		}
	}
	on := serveFolder(t, "SUPER_USERS: [seed-user-00000]\nFEATURE_SUPERUSERS_FULL_ACCESS: true\n", data)
	on.env = []string{"GANTRY_TOKEN=" + on.token("seed-user-00000"), "GANTRY_SERVER=" + on.base}
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"org", "list", "--registry", "--all"}, 5},
		{[]string{"repo", "list", "seed-org-00000", "--all"}, 30},
		{[]string{"repo", "list", "seed-org-00001", "--all"}, 67},
		{[]string{"tag", "list", "seed-org-00000/api/api-000000", "--all"}, 12},
		{[]string{"team", "list", "seed-org-00000"}, 3},
	} {
		if n := len(strings.Fields(on.must(append(tt.args, "-o", "name")...))); n != tt.want {
			t.Errorf("%v: %d names, want %d", tt.args, n, tt.want)
		}
	}
	if out := on.must("log", "list", "--registry", "--from", "2000-01-01", "--all", "-o", "json"); strings.Count(out, `"datetime"`) < 450 {
		t.Errorf("%d log entries", strings.Count(out, `"datetime"`))
	}
}
