package registry

// Actions lists everything that the protocol does, as "METHOD kind".
func Actions() []string {
	names := [methods]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	var all []string
	for k := range actions {
		for m, a := range actions[k] {
			if a.do != nil {
				all = append(all, names[m]+" "+kindNames[k])
			}
		}
	}
	return all
}

var kindNames = [kinds]string{"none", "base", "auth", "catalog", "manifest", "blob", "uploads", "upload", "tags", "referrers"}

// KindOf is the kind of a path, as Actions names it.
func KindOf(path string) string { return kindNames[parseRoute(path).kind] }

// Codes lists the code and status of every answer to an error.
func Codes() (all []struct {
	Code   string
	Status int
}) {
	for _, a := range answers {
		all = append(all, struct {
			Code   string
			Status int
		}{a.code, a.status})
	}
	return all
}
