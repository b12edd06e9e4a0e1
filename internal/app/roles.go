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
	Registry  bool // /v2
	API       bool // /api/v1, and the web console, which calls it
	GC        bool // the collector
	Jobs      bool // background jobs and their schedules
	Notify    bool // what is told to people and other machines: mail, notifications
	Replicate bool // copies between storage locations
	Mirror    bool // repositories kept equal to those of other registries
}

// parts are the single roles, in the order in which String lists them.
var parts = []struct {
	name string
	of   func(*Roles) *bool
}{
	{"registry", func(r *Roles) *bool { return &r.Registry }},
	{"api", func(r *Roles) *bool { return &r.API }},
	{"gc", func(r *Roles) *bool { return &r.GC }},
	{"jobs", func(r *Roles) *bool { return &r.Jobs }},
	{"notify", func(r *Roles) *bool { return &r.Notify }},
	{"replicate", func(r *Roles) *bool { return &r.Replicate }},
	{"mirror", func(r *Roles) *bool { return &r.Mirror }},
}

// allRoles is what a process runs that was told nothing.
var allRoles = workerRoles.or(Roles{Registry: true, API: true})

// workerRoles is what "worker" stands for.
var workerRoles = Roles{GC: true, Jobs: true, Notify: true, Replicate: true, Mirror: true}

// roleNames are the words that ParseRoles takes.
var roleNames = map[string]Roles{
	"registry":  {Registry: true},
	"api":       {API: true},
	"ui":        {API: true},
	"worker":    workerRoles,
	"gc":        {GC: true},
	"jobs":      {Jobs: true},
	"notify":    {Notify: true},
	"replicate": {Replicate: true},
	"mirror":    {Mirror: true},
}

// ParseRoles reads a list such as "registry,api"; "" gives the zero value.
// worker is every worker at once; gc, jobs, notify, replicate and mirror are
// single ones. ui is
// api under another name: the web console needs both.
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

func (r Roles) or(o Roles) Roles  { return r.each(o, func(a, b bool) bool { return a || b }) }
func (r Roles) and(o Roles) Roles { return r.each(o, func(a, b bool) bool { return a && b }) }
func (r Roles) not(o Roles) Roles { return r.each(o, func(a, b bool) bool { return a && !b }) }

// each joins each part of r with that of o.
func (r Roles) each(o Roles, join func(a, b bool) bool) (out Roles) {
	for _, p := range parts {
		*p.of(&out) = join(*p.of(&r), *p.of(&o))
	}
	return out
}

// edges reports whether clients of the registry are served.
func (r Roles) edges() bool { return r.Registry || r.API }

// String lists the roles as ParseRoles reads them.
func (r Roles) String() string {
	var names []string
	for _, p := range parts {
		if *p.of(&r) {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, ",")
}

// quayServices maps the names of Quay's processes, which QUAY_SERVICES and
// QUAY_OVERRIDE_SERVICES use, to the parts that do their work here. Processes
// of other parts of Quay (nginx, memcached, builds) are not in it.
var quayServices = map[string]Roles{
	"registry": {Registry: true}, "gunicorn-registry": {Registry: true}, "gunicorn_registry": {Registry: true},
	"web": {API: true}, "gunicorn-web": {API: true}, "gunicorn_web": {API: true},
	"gcworker": {GC: true}, "namespacegcworker": {GC: true}, "repositorygcworker": {GC: true},
	"blobuploadcleanupworker": {GC: true},
	"globalpromstats":         {Jobs: true}, "storagereplication": {Replicate: true}, "repomirrorworker": {Mirror: true}, "queuecleanupworker": {Jobs: true},
	"proxycacheblobworker": {Jobs: true},
	"quotatotalworker":     {Jobs: true}, "notificationworker": {Notify: true}, "quotaregistrysizeworker": {Jobs: true}, "servicekey": {Jobs: true},
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
			r = r.not(one)
		}
	}
	return r
}
