package registry

import (
	"net/http"
	"strings"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// A kind is a family of URLs that share their handlers.
type kind uint8

const (
	kindNone      kind = iota
	kindBase           // /v2/
	kindAuth           // /v2/auth
	kindCatalog        // /v2/_catalog
	kindManifest       // /v2/<name>/manifests/<reference>
	kindBlob           // /v2/<name>/blobs/<digest>
	kindUploads        // /v2/<name>/blobs/uploads/
	kindUpload         // /v2/<name>/blobs/uploads/<uuid>
	kindTags           // /v2/<name>/tags/list
	kindReferrers      // /v2/<name>/referrers/<digest>
	kinds
)

// A route is a URL taken apart. Both strings are as the client wrote them,
// decoded; nothing about them has been checked.
type route struct {
	kind kind
	repo string // repository path, "" for the routes that have none
	ref  string // tag, digest or uuid
}

// parseRoute finds the route of a decoded path; kindNone if there is none.
// Names may hold any of the words that mark a route, so it reads from the end:
// the last two or three elements decide.
func parseRoute(path string) route {
	rest, ok := strings.CutPrefix(path, "/v2")
	if !ok {
		return route{}
	}
	switch rest {
	case "", "/":
		return route{kind: kindBase}
	case "/auth":
		return route{kind: kindAuth}
	case "/_catalog":
		return route{kind: kindCatalog}
	}
	if rest[0] != '/' {
		return route{}
	}
	rest = rest[1:]
	head, ref, ok := cutLast(rest)
	if !ok {
		return route{}
	}
	repo, word, ok := cutLast(head)
	if !ok || repo == "" {
		return route{}
	}
	r := route{repo: repo, ref: ref}
	switch word {
	case "manifests":
		r.kind = kindManifest
	case "referrers":
		r.kind = kindReferrers
	case "tags":
		if ref != "list" {
			return route{}
		}
		r.kind, r.ref = kindTags, ""
	case "blobs":
		r.kind = kindBlob
		if ref == "uploads" { // no digest: the slash was forgotten
			r.kind, r.ref = kindUploads, ""
		}
	case "uploads":
		repo, word, ok = cutLast(repo)
		if !ok || repo == "" || word != "blobs" {
			return route{}
		}
		r.repo, r.kind = repo, kindUpload
		if ref == "" {
			r.kind = kindUploads
		}
	default:
		return route{}
	}
	if r.ref == "" && r.kind != kindTags && r.kind != kindUploads {
		return route{}
	}
	return r
}

// cutLast splits s at its last slash.
func cutLast(s string) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// hiddenSlash reports whether the escaped form of a path holds an encoded
// slash. Such a URL reads as two different ones, depending on who
// decodes it, so it is none of ours. rawPath is URL.RawPath: "" when the usual
// encoding was used, which has no encoded slash.
func hiddenSlash(rawPath string) bool {
	for {
		i := strings.IndexByte(rawPath, '%')
		if i < 0 || i+2 >= len(rawPath) {
			return false
		}
		if strings.EqualFold(rawPath[i+1:i+3], "2f") {
			return true
		}
		rawPath = rawPath[i+3:]
	}
}

// An access is what a route asks of the caller.
type access uint8

const (
	accessNone access = iota // the handler sees to it
	accessRead
	accessWrite
)

// An action is what one method does on one kind of route.
type action struct {
	name   string // for metrics, as Quay's endpoint
	access access
	class  httpd.Class
	change bool   // refused while the registry is read-only
	push   bool   // refused while pushes are disabled
	log    string // log kind of a refusal; "" = it is not logged
	do     func(*call) error
}

// The methods of this protocol, as indexes.
const (
	get = iota
	head
	post
	put
	patch
	del
	methods
)

func methodIndex(m string) int {
	switch m {
	case http.MethodGet:
		return get
	case http.MethodHead:
		return head
	case http.MethodPost:
		return post
	case http.MethodPut:
		return put
	case http.MethodPatch:
		return patch
	case http.MethodDelete:
		return del
	}
	return -1
}

const (
	logPull   = "pull_repo_failed"
	logPush   = "push_repo_failed"
	logDelete = "delete_tag_failed"
)

// actions is the protocol: what each method does on each kind of route. The
// entries of kindManifest name the variant by tag; see digestNames.
var actions = [kinds][methods]action{
	kindBase: {
		get:  {name: "v2.v2_support_enabled", class: httpd.ClassVeryLight, do: (*call).base},
		head: {name: "v2.v2_support_enabled", class: httpd.ClassVeryLight, do: (*call).base},
	},
	kindAuth: {
		get:  {name: "v2.generate_registry_jwt", class: httpd.ClassAuth, do: (*call).getToken},
		head: {name: "v2.generate_registry_jwt", class: httpd.ClassAuth, do: (*call).getToken},
		post: {name: "v2.generate_registry_jwt", class: httpd.ClassAuth, do: (*call).postToken},
	},
	kindCatalog: {
		get:  {name: "v2.catalog_search", class: httpd.ClassHeavy, do: (*call).catalog},
		head: {name: "v2.catalog_search", class: httpd.ClassHeavy, do: (*call).catalog},
	},
	kindManifest: {
		get:  {name: "v2.fetch_manifest_by_tagname", access: accessRead, class: httpd.ClassLight, log: logPull, do: (*call).getManifest},
		head: {name: "v2.fetch_manifest_by_tagname", access: accessRead, class: httpd.ClassLight, do: (*call).getManifest},
		put:  {name: "v2.write_manifest_by_tagname", access: accessWrite, class: httpd.ClassLight, change: true, push: true, log: logPush, do: (*call).putManifest},
		del:  {name: "v2.delete_manifest_by_tag", access: accessWrite, class: httpd.ClassLight, change: true, push: true, log: logDelete, do: (*call).deleteManifest},
	},
	kindBlob: {
		get:  {name: "v2.download_blob", access: accessRead, class: httpd.ClassLight, do: (*call).getBlob},
		head: {name: "v2.check_blob_exists", access: accessRead, class: httpd.ClassLight, do: (*call).headBlob},
		del:  {name: "v2.delete_digest", access: accessWrite, class: httpd.ClassLight, change: true, push: true, log: logDelete, do: (*call).deleteBlob},
	},
	kindUploads: {
		post: {name: "v2.start_blob_upload", access: accessWrite, class: httpd.ClassLight, change: true, push: true, log: logPush, do: (*call).startUpload},
	},
	kindUpload: {
		get:   {name: "v2.fetch_existing_upload", access: accessWrite, class: httpd.ClassLight, do: (*call).getUpload},
		head:  {name: "v2.fetch_existing_upload", access: accessWrite, class: httpd.ClassLight, do: (*call).getUpload},
		patch: {name: "v2.upload_chunk", access: accessWrite, class: httpd.ClassLight, change: true, push: true, do: (*call).patchUpload},
		put:   {name: "v2.monolithic_upload_or_last_chunk", access: accessWrite, class: httpd.ClassLight, change: true, push: true, do: (*call).finishUpload},
		del:   {name: "v2.cancel_upload", access: accessWrite, class: httpd.ClassLight, change: true, push: true, do: (*call).cancelUpload},
	},
	kindTags: {
		get:  {name: "v2.list_all_tags", access: accessRead, class: httpd.ClassHeavy, do: (*call).listTags},
		head: {name: "v2.list_all_tags", access: accessRead, class: httpd.ClassHeavy, do: (*call).listTags},
	},
	kindReferrers: {
		get:  {name: "v2.list_manifest_referrers", access: accessRead, class: httpd.ClassLight, do: (*call).listReferrers},
		head: {name: "v2.list_manifest_referrers", access: accessRead, class: httpd.ClassLight, do: (*call).listReferrers},
	},
}

// digestNames are the names of the manifest routes when the reference is a
// digest.
var digestNames = [methods]string{
	get:  "v2.fetch_manifest_by_digest",
	head: "v2.fetch_manifest_by_digest",
	put:  "v2.write_manifest_by_digest",
	del:  "v2.delete_manifest_by_digest",
}

// allowed lists the methods of a kind for the Allow header.
func allowed(k kind) string {
	names := [methods]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	var list []string
	for m, a := range actions[k] {
		if a.do != nil {
			list = append(list, names[m])
		}
	}
	return strings.Join(list, ", ")
}
