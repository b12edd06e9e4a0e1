package registry_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// memory is a registry.Content in memory, with blobs in a folder, as the
// contract of package content has it. It lets this package be tested by
// itself, and made to fail where a real one does not on command.
type memory struct {
	dir string

	mu      sync.Mutex
	repos   map[gantry.RepoID]*memRepo
	pulls   []string // "repo ref actor"
	limits  content.Limits
	url     string // BlobURL
	pullErr error  // of LogPull
	openErr error  // of reading an open blob, after half of it
	renewed int
	actor   gantry.Actor // of the last change
}

type memRepo struct {
	store.Repository
	blobs     map[gantry.Digest]bool
	manifests map[gantry.Digest]*content.Manifest
	tags      map[string]gantry.Digest
	ended     map[string]bool
	immutable map[string]bool
	uploads   map[string]*memUpload
}

type memUpload struct {
	b    []byte
	busy bool
}

func newMemory(t testing.TB) *memory {
	return &memory{dir: t.TempDir(), repos: map[gantry.RepoID]*memRepo{}, limits: content.Limits{Blob: 1 << 20, Manifest: 1 << 16}}
}

func (m *memory) add(id gantry.RepoID, name string, visibility gantry.Visibility) *memRepo {
	ns, rest, _ := strings.Cut(name, "/")
	r := &memRepo{
		Repository: store.Repository{ID: id, Namespace: 1, NamespaceEnabled: true, Name: gantry.RepoName{Namespace: ns, Name: rest}, Visibility: visibility},
		blobs:      map[gantry.Digest]bool{}, manifests: map[gantry.Digest]*content.Manifest{}, tags: map[string]gantry.Digest{},
		ended: map[string]bool{}, immutable: map[string]bool{}, uploads: map[string]*memUpload{},
	}
	m.repos[id] = r
	return r
}

func (m *memory) id(repo string) gantry.RepoID {
	for id, r := range m.repos {
		if r.Name == repoName(repo) {
			return id
		}
	}
	return 99
}

func (m *memory) freeze(repo, tag string) { m.repos[m.id(repo)].immutable[tag] = true }

var errGone = &gantry.Error{Code: gantry.NotFound, Object: "repository"}

func (m *memory) Repository(_ context.Context, name gantry.RepoName) (store.Repository, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.repos {
		if r.Name == name {
			return r.Repository, nil
		}
	}
	return store.Repository{}, errGone
}

func (m *memory) RepositoryByID(_ context.Context, id gantry.RepoID) (store.Repository, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.repos[id]; r != nil {
		return r.Repository, nil
	}
	return store.Repository{}, errGone
}

func (m *memory) path(d gantry.Digest) string { return filepath.Join(m.dir, d.Algorithm()+"-"+d.Hex()) }

func (m *memory) Blob(_ context.Context, repo gantry.RepoID, d gantry.Digest) (content.Blob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.repos[repo].blobs[d] {
		return content.Blob{}, &gantry.Error{Code: gantry.NotFound, Object: "blob"}
	}
	st, err := os.Stat(m.path(d))
	if err != nil {
		return content.Blob{}, err
	}
	return content.Blob{Digest: d, Size: st.Size()}, nil
}

func (m *memory) Renew(context.Context, gantry.RepoID, gantry.Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renewed++
	return nil
}

func (m *memory) BlobURL(context.Context, content.Blob, blob.URLOptions) (string, error) {
	return m.url, nil
}

// memFile is a blob.Filer.
type memFile struct {
	osFile
	size int64
}

type osFile = *os.File

func (f memFile) Size() int64    { return f.size }
func (f memFile) File() *os.File { return f.osFile }

// badFile fails half-way.
type badFile struct {
	*bytes.Reader
	left int
	err  error
}

func (f *badFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, f.err
	}
	n, err := f.Reader.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}
func (f *badFile) Close() error { return nil }

func (m *memory) Open(_ context.Context, b content.Blob) (io.ReadSeekCloser, error) {
	if m.openErr != nil {
		data, err := os.ReadFile(m.path(b.Digest))
		return &badFile{bytes.NewReader(data), len(data) / 2, m.openErr}, err
	}
	f, err := os.Open(m.path(b.Digest))
	return memFile{f, b.Size}, err
}

func (m *memory) Manifest(_ context.Context, repo gantry.RepoID, ref gantry.Reference) (*content.Manifest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repos[repo]
	d := ref.Digest
	if ref.Tag != "" {
		d = r.tags[ref.Tag]
	}
	if got := r.manifests[d]; got != nil {
		return got, nil
	}
	e := &gantry.Error{Code: gantry.NotFound, Object: "manifest"}
	if r.ended[ref.Tag] {
		e.Reason = gantry.TagExpired
	}
	return nil, e
}

func (m *memory) LogPull(_ context.Context, repo gantry.RepoID, ref gantry.Reference, _ *content.Manifest, a gantry.Actor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pulls = append(m.pulls, fmt.Sprint(repo, " ", ref.String(), " ", a.Name))
	return m.pullErr
}

type memDoc struct {
	SchemaVersion int    `json:"schemaVersion"`
	MediaType     string `json:"mediaType"`
	ArtifactType  string `json:"artifactType"`
	Config        *struct {
		MediaType string        `json:"mediaType"`
		Digest    gantry.Digest `json:"digest"`
	} `json:"config"`
	Layers []struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int64  `json:"size"`
	} `json:"layers"`
	Manifests []struct {
		Digest gantry.Digest `json:"digest"`
	} `json:"manifests"`
	Subject *struct {
		Digest gantry.Digest `json:"digest"`
	} `json:"subject"`
}

func (m *memory) PutManifest(_ context.Context, p content.Put) (content.Pushed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actor = p.Actor
	r := m.repos[p.Repo]
	invalid := func(reason gantry.Reason, detail string) (content.Pushed, error) {
		return content.Pushed{}, &gantry.Error{Code: gantry.Invalid, Object: "manifest", Reason: reason, Detail: detail}
	}
	if strings.HasPrefix(p.MediaType, "text/") {
		return invalid(gantry.MediaTypeRefused, "manifest schema version not supported")
	}
	var doc memDoc
	if err := json.Unmarshal(p.Body, &doc); err != nil || doc.SchemaVersion != 2 {
		return invalid("", "the manifest is not valid")
	}
	d := gantry.FromBytes(p.Body)
	if p.Digest != "" {
		h := gantry.NewHash(p.Digest.Algorithm())
		h.Write(p.Body)
		if d = gantry.DigestOf(p.Digest.Algorithm(), h); d != p.Digest {
			return invalid(gantry.DigestMismatch, "manifest digest mismatch")
		}
	}
	var need []gantry.Digest
	if doc.Config != nil {
		need = append(need, doc.Config.Digest)
	}
	for _, l := range doc.Layers {
		d, err := gantry.ParseDigest(l.Digest)
		if err != nil || l.Size < 0 {
			return invalid("", "a layer is malformed")
		}
		if !strings.Contains(l.MediaType, "foreign") && !strings.Contains(l.MediaType, "nondistributable") {
			need = append(need, d)
		}
	}
	for _, b := range need {
		if !r.blobs[b] {
			return invalid(gantry.UnknownBlob, "Unknown blob `"+string(b)+"`")
		}
	}
	for _, c := range doc.Manifests {
		if r.manifests[c.Digest] == nil {
			return invalid(gantry.UnknownManifest, "Unknown manifest `"+string(c.Digest)+"`")
		}
	}
	for _, tag := range p.Tags {
		if r.immutable[tag] && r.tags[tag] != d {
			return content.Pushed{}, &gantry.Error{Code: gantry.Conflict, Object: "tag", Reason: gantry.TagImmutable, Detail: "tag " + tag + " is immutable"}
		}
	}
	created := r.manifests[d] == nil
	media := cmp.Or(p.MediaType, doc.MediaType)
	r.manifests[d] = &content.Manifest{ID: 1, Digest: d, MediaType: media, Body: p.Body}
	for _, tag := range p.Tags {
		r.tags[tag] = d
	}
	out := content.Pushed{ID: 1, Digest: d, Created: created}
	if doc.Subject != nil {
		out.Subject = doc.Subject.Digest
	}
	return out, nil
}

func (m *memory) DeleteManifest(_ context.Context, repo gantry.RepoID, ref gantry.Reference, _ gantry.Actor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repos[repo]
	gone := false
	for tag, d := range r.tags {
		if tag == ref.Tag || d == ref.Digest {
			delete(r.tags, tag)
			r.ended[tag], gone = true, true
		}
	}
	if ref.Digest != "" && r.manifests[ref.Digest] != nil {
		delete(r.manifests, ref.Digest)
		gone = true
	}
	if !gone {
		return &gantry.Error{Code: gantry.NotFound, Object: "manifest"}
	}
	return nil
}

func (m *memory) DeleteBlob(_ context.Context, repo gantry.RepoID, d gantry.Digest, _ gantry.Actor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repos[repo]
	if !r.blobs[d] {
		return &gantry.Error{Code: gantry.NotFound, Object: "blob"}
	}
	for _, man := range r.manifests {
		if bytes.Contains(man.Body, []byte(d)) {
			return &gantry.Error{Code: gantry.Conflict, Object: "blob", Reason: gantry.BlobReferenced, Detail: "a manifest needs the blob"}
		}
	}
	delete(r.blobs, d)
	return nil
}

func (m *memory) Tags(_ context.Context, repo gantry.RepoID, last string, n int) ([]string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for tag := range m.repos[repo].tags {
		if tag > last {
			all = append(all, tag)
		}
	}
	slices.Sort(all)
	if len(all) > n {
		return all[:n], true, nil
	}
	return all, false, nil
}

func (m *memory) Referrers(_ context.Context, q content.ReferrersQuery) ([]content.Descriptor, gantry.ManifestID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []content.Descriptor
	for d, man := range m.repos[q.Repo].manifests {
		var doc memDoc
		if json.Unmarshal(man.Body, &doc) == nil && doc.Subject != nil && doc.Subject.Digest == q.Subject && (q.ArtifactType == "" || doc.ArtifactType == q.ArtifactType) {
			list = append(list, content.Descriptor{MediaType: man.MediaType, Digest: d, Size: int64(len(man.Body)), ArtifactType: doc.ArtifactType})
		}
	}
	slices.SortFunc(list, func(a, b content.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	list = list[min(int(q.After), len(list)):]
	if q.N > 0 && len(list) > q.N {
		return list[:q.N], q.After + gantry.ManifestID(q.N), nil
	}
	return list, 0, nil
}

func (m *memory) Mount(_ context.Context, repo gantry.RepoID, d gantry.Digest, sources []gantry.RepoID, public bool, _ gantry.Actor) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.repos {
		if r.blobs[d] && (slices.Contains(sources, id) || public && r.Visibility == gantry.Public) {
			m.repos[repo].blobs[d] = true
			return true, nil
		}
	}
	return false, nil
}

func (m *memory) StartUpload(_ context.Context, repo gantry.RepoID, _ string, a gantry.Actor) (content.UploadStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actor = a
	r := m.repos[repo]
	uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", len(r.uploads))
	r.uploads[uuid] = &memUpload{}
	return content.UploadStatus{UUID: uuid}, nil
}

// find returns an upload; m.mu is held.
func (m *memory) find(repo gantry.RepoID, uuid string) (*memUpload, error) {
	if u := m.repos[repo].uploads[uuid]; u != nil {
		return u, nil
	}
	return nil, &gantry.Error{Code: gantry.NotFound, Object: "upload"}
}

func (m *memory) Upload(_ context.Context, repo gantry.RepoID, uuid string) (content.UploadStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.find(repo, uuid)
	if err != nil {
		return content.UploadStatus{}, err
	}
	return content.UploadStatus{UUID: uuid, Received: int64(len(u.b))}, nil
}

func (m *memory) Append(_ context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader) (content.UploadStatus, error) {
	m.mu.Lock()
	u, err := m.find(repo, uuid)
	if err == nil && u.busy {
		err = &gantry.Error{Code: gantry.Conflict, Object: "upload"}
	}
	if err == nil && offset >= 0 && offset != int64(len(u.b)) {
		err = &gantry.Error{Code: gantry.Range, Object: "upload"}
	}
	if err != nil {
		m.mu.Unlock()
		return content.UploadStatus{}, err
	}
	u.busy = true
	m.mu.Unlock()
	b, err := io.ReadAll(io.LimitReader(body, m.limits.Blob+1-int64(len(u.b))))
	m.mu.Lock()
	defer m.mu.Unlock()
	u.busy = false
	u.b = append(u.b, b...)
	switch {
	case int64(len(u.b)) > m.limits.Blob:
		err = &gantry.Error{Code: gantry.TooLarge, Object: "blob", Detail: "the blob is larger than allowed"}
	case err != nil:
		err = fmt.Errorf("append: %w", err)
	case length >= 0 && int64(len(b)) < length:
		err = &gantry.Error{Code: gantry.Invalid, Object: "size"}
	}
	return content.UploadStatus{UUID: uuid, Received: int64(len(u.b))}, err
}

func (m *memory) Finish(ctx context.Context, repo gantry.RepoID, uuid string, offset, length int64, body io.Reader, want gantry.Digest, a gantry.Actor) (content.Blob, error) {
	if _, err := m.Append(ctx, repo, uuid, offset, length, body); err != nil {
		return content.Blob{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.repos[repo].uploads[uuid].b
	h := gantry.NewHash(want.Algorithm())
	h.Write(b)
	if gantry.DigestOf(want.Algorithm(), h) != want {
		return content.Blob{}, &gantry.Error{Code: gantry.Invalid, Object: "digest", Reason: gantry.DigestMismatch}
	}
	delete(m.repos[repo].uploads, uuid)
	m.repos[repo].blobs[want] = true
	m.actor = a
	return content.Blob{Digest: want, Size: int64(len(b))}, os.WriteFile(m.path(want), b, 0o600)
}

func (m *memory) Push(ctx context.Context, repo gantry.RepoID, length int64, body io.Reader, want gantry.Digest, a gantry.Actor) (content.Blob, error) {
	up, err := m.StartUpload(ctx, repo, "", a)
	if err != nil {
		return content.Blob{}, err
	}
	return m.Finish(ctx, repo, up.UUID, 0, length, body, want, a)
}

func (m *memory) Cancel(_ context.Context, repo gantry.RepoID, uuid string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.find(repo, uuid)
	delete(m.repos[repo].uploads, uuid)
	return err
}

func (m *memory) Limits() content.Limits { return m.limits }

var errBroken = errors.New("the disk is broken")
