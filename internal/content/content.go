// Package content joins bytes (blob) and records (store): it uploads,
// commits, mounts, opens, deletes and collects. It knows no protocol and no
// identity: callers have decided already that the actor may do this.
package content

import (
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A Blob is a blob that a repository holds.
type Blob struct {
	Digest gantry.Digest
	Size   int64
	row    *store.Blob // what the Store that made it knows; shared with a cache
	repo   gantry.RepoID
	// Away is what a proxy cache knows of a blob that it does not hold yet;
	// nil = the Store holds it.
	Away any
}

// A Manifest is a manifest that a repository holds and that is visible.
// Its fields are shared with a cache: nobody changes them.
type Manifest struct {
	ID        gantry.ManifestID
	Digest    gantry.Digest
	MediaType string
	Body      []byte
}

// A Put is a manifest on its way in.
type Put struct {
	Repo      gantry.RepoID
	Digest    gantry.Digest // what the client says it is, or "": it is computed (sha256)
	Tags      []string      // tags to point at it; none for a push by digest alone
	MediaType string        // as the client's Content-Type says, without parameters; "" = what the body says
	Body      []byte        // at most Limits.Manifest bytes
	Sparse    bool          // manifests of an index may be missing, whatever the settings say
	Actor     gantry.Actor
	// Cached is of a proxy cache: how long the manifest is kept unless it is
	// renewed. Its tags end then, whatever its labels say, or else its own
	// lease; an index may lack manifests. 0 = it was pushed.
	Cached time.Duration
}

// A Pushed is what became of a Put.
type Pushed struct {
	ID      gantry.ManifestID
	Digest  gantry.Digest
	Subject gantry.Digest // of the manifest, or ""
	Created bool          // false: the repository had it already
	// Warnings are what the client should know although the push succeeded,
	// each one sentence of printable ASCII.
	Warnings []string
}

// An UploadStatus is how far an upload is.
type UploadStatus struct {
	UUID     string
	Received int64 // bytes
}

// A Descriptor is an entry of the referrers' index, as in the OCI image
// specification.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       gantry.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// A ReferrersQuery asks which manifests of a repository have Subject as their
// subject.
type ReferrersQuery struct {
	Repo         gantry.RepoID
	Subject      gantry.Digest
	ArtifactType string            // "" = any
	After        gantry.ManifestID // where the page before said that it goes on; 0 = from the first
	N            int               // at most so many; 0 = as many as fit a page
}

// Limits of what is taken.
type Limits struct {
	Blob     int64         // bytes; 0 = 20 GiB
	Manifest int64         // bytes; 0 = 4 MiB
	Lease    time.Duration // how long a blob or manifest without a user is kept; 0 = 1 h
}
