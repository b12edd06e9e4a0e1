// Package content joins bytes (blob) and records (store): it uploads,
// commits, mounts, opens, deletes and collects. It knows no protocol and no
// identity: callers have decided already that the actor may do this.
package content

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Options for New.
type Options struct {
	Store     *store.DB
	Locations []Location // in order of preference: reads take the first that holds the bytes, uploads go to the first
	Settings  Settings
	Logger    *slog.Logger       // nil = none
	Metrics   *telemetry.Metrics // nil = none
}

// Settings may change while the server runs. The zero value works.
type Settings struct {
	Limits    Limits
	Retention time.Duration // how long an ended tag can be restored, unless its namespace chose; 0 = 14 days, negative = not at all
	// LabelExpiry lets quay.expires-after give tags their expiry
	// (FEATURE_ASSIGN... see config); the zero value does.
	NoLabelExpiry bool
	// SparseIndex takes an index whose manifests are not all here.
	SparseIndex bool
	// Orphan is how long a manifest is kept whose subject is not here yet; 0 = 24 h.
	Orphan time.Duration
	// LogPulls false: LogPull does nothing.
	NoPullLog bool
	ReadOnly  bool // see config REGISTRY_STATE; writes answer ReadOnly on "registry"
}

// Store is the content of all repositories.
type Store struct{}

// New returns a Store. It starts a goroutine; Close ends it.
func New(o Options) (*Store, error) { panic("lead") }

// Configure changes the settings.
func (s *Store) Configure(c Settings) { panic("lead") }

// Close ends what New started. Requests must have ended.
func (s *Store) Close() error { panic("lead") }

// A Blob is a blob that a repository holds.
type Blob struct {
	Digest gantry.Digest
	Size   int64
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
	Actor     gantry.Actor
}

// A Pushed is what became of a Put.
type Pushed struct {
	ID      gantry.ManifestID
	Digest  gantry.Digest
	Subject gantry.Digest // of the manifest, or ""
	Created bool          // false: the repository had it already
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

// Repository returns the repository of that name; the answer may be up to one
// second old where other processes write too. NotFound on "repository" if
// there is none, or it is marked for deletion.
func (s *Store) Repository(ctx context.Context, name gantry.RepoName) (store.Repository, error) {
	panic("lead")
}

// RepositoryByID is Repository for a known id. Hot path: no SQL when cached.
func (s *Store) RepositoryByID(ctx context.Context, id gantry.RepoID) (store.Repository, error) {
	panic("lead")
}

// Blob finds d if the repository holds it; otherwise the error is NotFound on "blob".
func (s *Store) Blob(ctx context.Context, repo gantry.RepoID, d gantry.Digest) (Blob, error) {
	panic("lead")
}

// Renew prolongs the lease of a blob that a push has just asked for (HEAD with push scope).
func (s *Store) Renew(ctx context.Context, repo gantry.RepoID, d gantry.Digest) error { panic("lead") }

// BlobURL returns where the client may fetch the blob itself, or "" if it must come through Open.
func (s *Store) BlobURL(ctx context.Context, b Blob, method string) (string, error) { panic("lead") }

// Open returns the bytes of a blob; the caller closes them. Local bytes are a
// blob.Filer (its File is an *os.File), so that io.Copy of (a LimitedReader of) the
// file reaches sendfile. It seeks.
func (s *Store) Open(ctx context.Context, b Blob) (io.ReadSeekCloser, error) { panic("lead") }

// Manifest finds a visible manifest by tag or digest. NotFound on "manifest"
// with Reason TagExpired if a tag of that name was there once.
func (s *Store) Manifest(ctx context.Context, repo gantry.RepoID, ref gantry.Reference) (*Manifest, error) {
	panic("lead")
}

// LogPull writes the pull into the log of accesses (kind "pull_repo") and returns once it is durable.
func (s *Store) LogPull(ctx context.Context, repo gantry.RepoID, ref gantry.Reference, m *Manifest, actor gantry.Actor) error {
	panic("lead")
}

// PutManifest stores a manifest and points tags at it, all or nothing. Errors:
// Invalid on "manifest" (malformed; Reason UnknownBlob, UnknownManifest, DigestMismatch or
// MediaTypeRefused), Conflict on "tag" (TagImmutable), TooLarge on "manifest",
// Denied on "quota" (QuotaExceeded), NotFound on "repository".
func (s *Store) PutManifest(ctx context.Context, p Put) (Pushed, error) { panic("lead") }

// DeleteManifest deletes a tag (ref.Tag), or all tags of a manifest and the manifest itself
// (ref.Digest). NotFound on "manifest"; Conflict on "tag" (TagImmutable), Conflict on "manifest" when an index needs it.
func (s *Store) DeleteManifest(ctx context.Context, repo gantry.RepoID, ref gantry.Reference, actor gantry.Actor) error {
	panic("lead")
}

// DeleteBlob takes the blob out of the repository at once. NotFound on
// "blob"; Conflict on "blob" (BlobReferenced) while a visible manifest needs it.
func (s *Store) DeleteBlob(ctx context.Context, repo gantry.RepoID, d gantry.Digest, actor gantry.Actor) error {
	panic("lead")
}

// Tags returns up to n names of live tags that are greater than last, in byte
// order, and whether there are more. One statement at any depth.
func (s *Store) Tags(ctx context.Context, repo gantry.RepoID, last string, n int) (names []string, more bool, err error) {
	panic("lead")
}

// Referrers returns the visible manifests whose subject is the digest (whether
// that is here or not), filtered by artifact type unless "", merged with the fallback tag's index.
func (s *Store) Referrers(ctx context.Context, repo gantry.RepoID, subject gantry.Digest, artifactType string) ([]Descriptor, error) {
	panic("lead")
}

// Mount links a blob into repo from the first of sources that holds it, or, with public,
// from any public repository. ok is false when none does: the client then uploads.
func (s *Store) Mount(ctx context.Context, repo gantry.RepoID, d gantry.Digest, sources []gantry.RepoID, public bool, actor gantry.Actor) (ok bool, err error) {
	panic("lead")
}

// StartUpload begins an upload. algorithm is that of the digest to come; "" = sha256.
func (s *Store) StartUpload(ctx context.Context, repo gantry.RepoID, algorithm string, actor gantry.Actor) (UploadStatus, error) {
	panic("lead")
}

// Upload returns how far an upload is; NotFound on "upload".
func (s *Store) Upload(ctx context.Context, repo gantry.RepoID, uuid string) (UploadStatus, error) {
	panic("lead")
}

// Append adds a chunk. offset is where it says it starts, or -1 for "at the
// end"; another one than the count received is Range on "upload". What arrived
// before an error of body is kept, durable, and can be continued. Conflict on "upload" when another request is at it.
// length is the chunk's length in bytes if known, or -1. Fewer bytes than length: Invalid on "size".
func (s *Store) Append(ctx context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader) (UploadStatus, error) {
	panic("lead")
}

// Finish adds the last bytes (body may be empty or nil), checks the digest and commits.
// Errors as Append; Invalid on "digest" (DigestMismatch), TooLarge on "blob".
func (s *Store) Finish(ctx context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader, want gantry.Digest, actor gantry.Actor) (Blob, error) {
	panic("lead")
}

// Push is a whole upload in one request (POST ?digest=).
func (s *Store) Push(ctx context.Context, repo gantry.RepoID, length int64, body io.Reader, want gantry.Digest, actor gantry.Actor) (Blob, error) {
	panic("lead")
}

// Cancel drops an upload; NotFound on "upload".
func (s *Store) Cancel(ctx context.Context, repo gantry.RepoID, uuid string) error { panic("lead") }

// Limits of what is taken.
type Limits struct {
	Blob     int64         // bytes; 0 = 20 GiB
	Manifest int64         // bytes; 0 = 4 MiB
	Lease    time.Duration // how long a blob or manifest without a user is kept; 0 = 1 h
}

// Limits returns the limits in effect, none of them 0.
func (s *Store) Limits() Limits { panic("lead") }
