package registry

import (
	"context"
	"io"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// Content is what this package needs of the repositories. *content.Store is
// one, and documents the methods; a proxy cache wraps one and fills it from
// upstream.
type Content interface {
	Reader
	Writer
	Uploader
}

// Reader is what a pull needs.
type Reader interface {
	Repository(ctx context.Context, name gantry.RepoName) (store.Repository, error)
	RepositoryByID(ctx context.Context, id gantry.RepoID) (store.Repository, error)
	Blob(ctx context.Context, repo gantry.RepoID, d gantry.Digest) (content.Blob, error)
	BlobURL(ctx context.Context, b content.Blob, o blob.URLOptions) (string, error)
	Open(ctx context.Context, b content.Blob) (io.ReadSeekCloser, error)
	Manifest(ctx context.Context, repo gantry.RepoID, ref gantry.Reference) (*content.Manifest, error)
	Tags(ctx context.Context, repo gantry.RepoID, last string, n int) (names []string, more bool, err error)
	Referrers(ctx context.Context, q content.ReferrersQuery) (page []content.Descriptor, after gantry.ManifestID, err error)
}

// Writer is what changes a repository in one step.
type Writer interface {
	PutManifest(ctx context.Context, p content.Put) (content.Pushed, error)
	DeleteManifest(ctx context.Context, repo gantry.RepoID, ref gantry.Reference, actor gantry.Actor) error
	DeleteBlob(ctx context.Context, repo gantry.RepoID, d gantry.Digest, actor gantry.Actor) error
	Mount(ctx context.Context, repo gantry.RepoID, d gantry.Digest, sources []gantry.RepoID, public bool, actor gantry.Actor) (ok bool, err error)
	Renew(ctx context.Context, repo gantry.RepoID, d gantry.Digest) error
	LogPull(ctx context.Context, repo gantry.RepoID, ref gantry.Reference, m *content.Manifest, actor gantry.Actor) error
	Limits() content.Limits
}

// Uploader takes blobs in.
type Uploader interface {
	StartUpload(ctx context.Context, repo gantry.RepoID, algorithm string, actor gantry.Actor) (content.UploadStatus, error)
	Upload(ctx context.Context, repo gantry.RepoID, uuid string) (content.UploadStatus, error)
	Append(ctx context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader) (content.UploadStatus, error)
	Finish(ctx context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader, want gantry.Digest, actor gantry.Actor) (content.Blob, error)
	Push(ctx context.Context, repo gantry.RepoID, length int64, body io.Reader, want gantry.Digest, actor gantry.Actor) (content.Blob, error)
	Cancel(ctx context.Context, repo gantry.RepoID, uuid string) error
}

// Auth says who a caller is and what their token allows. *auth.Service is one,
// and documents the methods.
type Auth interface {
	Token(ctx context.Context, r auth.TokenRequest) (auth.Token, error)
	Verify(ctx context.Context, token, host string) (*auth.Grants, error)
}

var (
	_ Auth    = (*auth.Service)(nil)
	_ Content = (*content.Store)(nil)
)
