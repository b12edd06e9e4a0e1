package content

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// maxConfig bounds the image configurations that are read for labels; larger
// ones carry none for us.
const maxConfig = 4 << 20

// documentKey names a body and how it was to be read.
type documentKey struct {
	digest    gantry.Digest
	mediaType string
}

// parsed is what a manifest says, with the labels of its configuration.
type parsed struct {
	document
	labels    []store.Label
	platforms string // as store.ManifestPut has them
}

func (p *parsed) weight() int {
	n := 200*(len(p.Blobs)+len(p.Children)) + len(p.platforms)
	for _, l := range p.labels {
		n += len(l.Key) + len(l.Value) + 64
	}
	for k, v := range p.Annotations {
		n += len(k) + len(v) + 32
	}
	return n
}

// PutManifest stores a manifest and points tags at it, all or nothing. Errors:
// Invalid on "manifest" (malformed; with Reason UnknownBlob, UnknownManifest,
// DigestMismatch or MediaTypeRefused), Conflict on "tag" (TagImmutable),
// TooLarge on "manifest", NotFound on "repository", ReadOnly on "repository"
// or "registry", Denied on "quota" (QuotaExceeded).
func (s *Store) PutManifest(ctx context.Context, p Put) (Pushed, error) {
	if err := s.writable(); err != nil {
		return Pushed{}, err
	}
	set := s.settings.Load()
	if int64(len(p.Body)) > set.Limits.Manifest {
		return Pushed{}, gantry.Errorf(gantry.TooLarge, "manifest", "the manifest has %d bytes; at most %d are taken, so make it smaller", len(p.Body), set.Limits.Manifest)
	}
	d := gantry.FromBytes(p.Body)
	if p.Digest != "" && p.Digest != d {
		h := gantry.NewHash(p.Digest.Algorithm())
		if h == nil {
			return Pushed{}, gantry.Errorf(gantry.Invalid, "digest", "the digest algorithm is not supported; use sha256 or sha512")
		}
		h.Write(p.Body)
		if d = gantry.DigestOf(p.Digest.Algorithm(), h); d != p.Digest {
			return Pushed{}, &gantry.Error{Code: gantry.Invalid, Object: "manifest", Reason: gantry.DigestMismatch,
				Detail: "manifest digest mismatch: the body has the digest " + string(d) + "; push it under that one, or under a tag"}
		}
	}
	doc, err := s.parse(ctx, p, d)
	if err != nil {
		return Pushed{}, err
	}
	put := store.ManifestPut{
		Repo: p.Repo, Digest: d, MediaType: doc.MediaType, ArtifactType: doc.ArtifactType, ConfigType: doc.ConfigType,
		Subject: doc.Subject, Body: p.Body, LayersSize: doc.LayersSize, Blobs: doc.Blobs, Children: doc.Children,
		Sparse: set.SparseIndex || p.Sparse, Labels: doc.labels, Platforms: doc.platforms, Tags: slices.Compact(slices.Sorted(slices.Values(p.Tags))), Actor: p.Actor,
		Lease: set.Limits.Lease, OrphanLease: set.Orphan, Retention: set.Retention, Quota: set.Quota, Immutability: set.Immutability,
	}
	switch {
	case p.Cached > 0:
		put.Sparse, put.Lease, put.OrphanLease, put.Ends = true, p.Cached, p.Cached, p.Cached
	case !set.NoLabelExpiry:
		put.Expiry = parseExpiry
	}
	done, err := s.db.PutManifest(ctx, put)
	if gantry.ReasonOf(err) == gantry.QuotaExceeded && s.refused != nil {
		s.refused(ctx, p.Repo)
	}
	if err != nil {
		return Pushed{}, err
	}
	return Pushed{ID: done.ID, Digest: d, Subject: doc.Subject, Created: done.Created, Warnings: doc.warnings(len(p.Tags) > 0 && put.Expiry != nil)}, nil
}

// warnings are about what was taken but will not be what the client means.
// expires tells whether a label may end the tags.
func (p *parsed) warnings(expires bool) (all []string) {
	if p.MediaType == typeOCIArtifact {
		all = append(all, typeOCIArtifact+" was withdrawn from the OCI specification; push an image manifest with an artifactType instead")
	}
	for _, l := range p.labels {
		if expires && l.Key == store.LabelExpiresAfter && parseExpiry(l.Value) == 0 {
			all = append(all, "the label "+store.LabelExpiresAfter+" is "+printable(l.Value)+", so the tag does not expire; write a number and one of s, m, h, d, w, y, such as 3d")
		}
	}
	return all
}

// parse reads a manifest, and the labels of an image's configuration if the
// repository holds that. If it does not, the store will say so.
func (s *Store) parse(ctx context.Context, p Put, d gantry.Digest) (*parsed, error) {
	key := documentKey{d, p.MediaType}
	if doc, ok := s.cache.documents.GetIfPresent(key); ok {
		return doc, nil
	}
	doc, err := parseDocument(p.MediaType, p.Body)
	if err != nil {
		return nil, err
	}
	out := &parsed{document: doc}
	switch {
	case doc.Index:
		out.platforms = indexPlatforms(p.Body)
	case doc.Config != nil && isImageConfig(doc.Config.MediaType):
		config, err := s.ImageConfig(ctx, p.Repo, doc.Config.Digest)
		if gantry.Is(err, gantry.NotFound) {
			return out, nil // not kept: the labels are missing
		}
		if err != nil {
			return nil, err
		}
		out.labels, out.platforms = configLabels(config), configPlatform(config)
	default:
		out.labels = labelsOf(doc.Annotations)
	}
	s.cache.documents.Set(key, out)
	return out, nil
}

// ImageConfig returns the bytes of an image's configuration; nil if it is too
// large to be one. NotFound on "blob"; Unavailable on "storage".
func (s *Store) ImageConfig(ctx context.Context, repo gantry.RepoID, d gantry.Digest) ([]byte, error) {
	b, err := s.Blob(ctx, repo, d)
	if err != nil || b.Size > maxConfig {
		return nil, err
	}
	f, err := s.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	data := make([]byte, b.Size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", d, err)
	}
	return data, nil
}

// DeleteManifest deletes a tag (ref.Tag), or all tags of a manifest and the
// manifest itself (ref.Digest). NotFound on "manifest"; Conflict on "tag"
// (TagImmutable); Conflict on "manifest" when an index needs it; ReadOnly on
// "repository" or "registry".
func (s *Store) DeleteManifest(ctx context.Context, repo gantry.RepoID, ref gantry.Reference, actor gantry.Actor) error {
	if err := s.writable(); err != nil {
		return err
	}
	retention := s.settings.Load().Retention
	if ref.Tag == "" {
		return s.db.DeleteManifest(ctx, repo, ref.Digest, retention, actor)
	}
	return noManifestOf(s.db.DeleteTag(ctx, repo, ref.Tag, retention, actor), "tag")
}

// noManifestOf turns NotFound on the object into NotFound on "manifest".
func noManifestOf(err error, object string) error {
	if e, ok := err.(*gantry.Error); ok && e.Code == gantry.NotFound && e.Object == object { //nolint:errorlint // made by store, not wrapped
		return &gantry.Error{Code: gantry.NotFound, Object: "manifest", Detail: e.Detail}
	}
	return err
}

// DeleteBlob takes the blob out of the repository at once. NotFound on
// "blob"; Conflict on "blob" (BlobReferenced) while a manifest that can be
// read needs it; ReadOnly on "repository" or "registry".
func (s *Store) DeleteBlob(ctx context.Context, repo gantry.RepoID, d gantry.Digest, actor gantry.Actor) error {
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.db.DeleteBlob(ctx, repo, d, s.settings.Load().Retention, actor); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "blob deleted", "repository", repo, "digest", d, "actor", actor.Name)
	return nil
}

// Mount links a blob into repo from the first of sources that holds it, or,
// with public, from any public repository. ok is false when none does: the
// client then uploads. NotFound on "repository"; ReadOnly on "registry".
func (s *Store) Mount(ctx context.Context, repo gantry.RepoID, d gantry.Digest, sources []gantry.RepoID, public bool, _ gantry.Actor) (ok bool, err error) {
	if err := s.writable(); err != nil {
		return false, err
	}
	_, ok, err = s.db.MountBlob(ctx, store.Mount{Repo: repo, Digest: d, Sources: sources, Public: public, Lease: s.Limits().Lease})
	return ok, err
}

// What a page of referrers holds at most. Clients that do not follow a Link
// see the first page only, and many stop reading at 4 MiB.
const (
	maxReferrers     = 1000
	maxReferrerBytes = 3 << 20 // of the manifests' bodies, which are longer than their descriptors
)

// Referrers returns a page of the manifests that can be read and have the
// subject, whether that is here or not, in the order in which they were
// pushed, and where the next page begins, 0 if there is none. The first page
// has also what only the fallback tag's index names (OCI distribution 1.1,
// "Referrers Tag Schema").
func (s *Store) Referrers(ctx context.Context, q ReferrersQuery) (list []Descriptor, after gantry.ManifestID, err error) {
	if q.N <= 0 || q.N > maxReferrers {
		q.N = maxReferrers
	}
	p, err := find(s, s.cache.referrers, q, s.generation(q.Repo), lasting[referrersPage](s, q.Repo), func() (referrersPage, term, error) {
		p, err := s.referrers(ctx, q)
		return p, term{until: s.db.Now().Add(cacheFor), again: true}, err
	})
	return p.list, p.after, err
}

func (s *Store) referrers(ctx context.Context, q ReferrersQuery) (p referrersPage, err error) {
	r, err := s.RepositoryByID(ctx, q.Repo)
	if err != nil {
		return p, err
	}
	rows, after, err := s.db.Referrers(ctx, store.ReferrersQuery{Repo: q.Repo, Subject: q.Subject, ArtifactType: q.ArtifactType,
		After: q.After, N: q.N, Bytes: maxReferrerBytes, Retention: s.retention(&r)})
	if err != nil {
		return p, err
	}
	named, err := s.fallbackIndex(ctx, q)
	if err != nil {
		return p, err
	}
	known := make(map[gantry.Digest]bool, len(named))
	if q.After != 0 {
		for _, d := range named { // the first page had them
			known[d.Digest] = true
		}
	}
	p = referrersPage{make([]Descriptor, 0, len(rows)), after}
	for _, m := range rows {
		if known[m.Digest] {
			continue
		}
		d, err := referrer(m.MediaType, m.Digest, m.Body)
		if err != nil {
			return p, fmt.Errorf("referrer %s: %w", m.Digest, err)
		}
		known[d.Digest] = true
		p.list = append(p.list, d)
	}
	for _, d := range named {
		if !known[d.Digest] {
			known[d.Digest] = true
			p.list = append(p.list, d)
		}
	}
	return p, nil
}

// fallbackIndex returns what the index under the fallback tag names, if there
// is one: clients keep it where they do not know the referrers API.
func (s *Store) fallbackIndex(ctx context.Context, q ReferrersQuery) ([]Descriptor, error) {
	index, err := s.Manifest(ctx, q.Repo, gantry.Reference{Tag: fallbackTag(q.Subject)})
	if err != nil {
		if gantry.Is(err, gantry.NotFound) {
			err = nil
		}
		return nil, err
	}
	m, err := readMembers(index.Body)
	if err != nil || !m.has["manifests"] {
		return nil, nil // some other thing has that tag
	}
	list := make([]Descriptor, 0, len(m.manifests))
	for _, d := range m.manifests {
		if q.ArtifactType != "" && d.ArtifactType != q.ArtifactType {
			continue
		}
		out := Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType}
		if d.Annotations != nil {
			if texts, err := (&reader{b: d.Annotations}).texts("annotations"); err == nil {
				out.Annotations = texts
			}
		}
		list = append(list, out)
	}
	return list, nil
}

// fallbackTag is the tag under which a client that does not know the
// referrers API keeps the index of a subject's referrers.
func fallbackTag(d gantry.Digest) string {
	const most = 64
	hex := d.Hex()
	return d.Algorithm() + "-" + hex[:min(len(hex), most)]
}
