package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Roles are the parts that a process runs. The zero value stands for all of
// them.
type Roles struct {
	Registry bool // /v2
	API      bool // /api/v1
	GC       bool // the collector
	Jobs     bool // background jobs and their schedules
}

// AllRoles is what a process runs that was told nothing.
var allRoles = Roles{Registry: true, API: true, GC: true, Jobs: true}

// workerRoles is what "worker" stands for.
var workerRoles = Roles{GC: true, Jobs: true}

// roleNames are the words that ParseRoles takes.
var roleNames = map[string]Roles{
	"registry": {Registry: true},
	"api":      {API: true},
	"worker":   workerRoles,
	"gc":       {GC: true},
	"jobs":     {Jobs: true},
}

// ParseRoles reads a list such as "registry,api"; "" gives the zero value.
// worker is every worker at once; gc and jobs are single ones.
func ParseRoles(list string) (Roles, error) { return parseRoles(list, false) }

// ParseWorkers is ParseRoles for workers alone; "" gives all workers.
func ParseWorkers(list string) (Roles, error) {
	r, err := parseRoles(list, true)
	if r == (Roles{}) {
		r = workerRoles
	}
	return r, err
}

func parseRoles(list string, workers bool) (Roles, error) {
	var r Roles
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		one, ok := roleNames[name]
		if !ok || workers && one.edges() {
			var known []string
			for _, n := range slices.Sorted(maps.Keys(roleNames)) {
				if !workers || !roleNames[n].edges() {
					known = append(known, n)
				}
			}
			return Roles{}, fmt.Errorf("there is no role %q here: choose from %s", name, strings.Join(known, ", "))
		}
		r = r.or(one)
	}
	return r, nil
}

func (r Roles) or(o Roles) Roles {
	return Roles{r.Registry || o.Registry, r.API || o.API, r.GC || o.GC, r.Jobs || o.Jobs}
}

func (r Roles) and(o Roles) Roles {
	return Roles{r.Registry && o.Registry, r.API && o.API, r.GC && o.GC, r.Jobs && o.Jobs}
}

// edges reports whether clients of the registry are served.
func (r Roles) edges() bool { return r.Registry || r.API }

// String lists the roles as ParseRoles reads them.
func (r Roles) String() string {
	var names []string
	for _, p := range []struct {
		on   bool
		name string
	}{{r.Registry, "registry"}, {r.API, "api"}, {r.GC, "gc"}, {r.Jobs, "jobs"}} {
		if p.on {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, ",")
}

// quayServices maps the names of Quay's processes, which QUAY_SERVICES and
// QUAY_OVERRIDE_SERVICES use, to the parts that do their work here. Processes
// of other parts of Quay (nginx, memcached, builds, mirrors) are not in it.
var quayServices = map[string]Roles{
	"registry": {Registry: true}, "gunicorn-registry": {Registry: true}, "gunicorn_registry": {Registry: true},
	"web": {API: true}, "gunicorn-web": {API: true}, "gunicorn_web": {API: true},
	"gcworker": {GC: true}, "namespacegcworker": {GC: true}, "repositorygcworker": {GC: true},
	"blobuploadcleanupworker": {GC: true},
	"globalpromstats":         {Jobs: true}, "storagereplication": {Jobs: true}, "queuecleanupworker": {Jobs: true},
	"quotatotalworker": {Jobs: true}, "notificationworker": {Jobs: true}, "quotaregistrysizeworker": {Jobs: true}, "servicekey": {Jobs: true},
}

// restrict applies QUAY_SERVICES (only; nil = not said) and
// QUAY_OVERRIDE_SERVICES to r.
func (r Roles) restrict(only []string, overrides map[string]bool) Roles {
	if only != nil {
		var named Roles
		for _, name := range only {
			named = named.or(quayServices[name])
		}
		r = r.and(named)
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		one := quayServices[name]
		if overrides[name] {
			r = r.or(one)
		} else if one != (Roles{GC: true}) && one != (Roles{Jobs: true}) || name == "gcworker" {
			// Of the many processes that share one of our workers, one that is
			// off does not stop the others' work.
			r = Roles{r.Registry && !one.Registry, r.API && !one.API, r.GC && !one.GC, r.Jobs && !one.Jobs}
		}
	}
	return r
}
