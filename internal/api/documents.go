package api

import (
	"archive/tar"
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Bounds of the documents that are taken out of an artifact.
const (
	maxDocumentLayer = 16 << 20  // bytes of a layer, as stored; of larger ones nothing is told
	maxUnpacked      = 64 << 20  // bytes that are read of what it unpacks to
	maxEntries       = 10_000    // of an archive
	maxDocument      = 256 << 10 // bytes that are told of a document
	maxDocuments     = 8
	unpackAtOnce     = 4 // requests
)

// Media types of what has documents in it.
const (
	typeHelmConfig = "application/vnd.cncf.helm.config.v1+json"
	typeHelmChart  = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	typeModelDoc   = "application/vnd.cncf.model.doc." // of ModelPack; .v1.raw, .v1.tar, .v1.tar+gzip
	titleOf        = "org.opencontainers.image.title"
	filePathOf     = "org.cncf.model.filepath"
)

// An artifactDocument is a text that tells of an artifact.
type artifactDocument struct {
	Name      string `json:"name"`
	Text      string `json:"text"`
	Truncated bool   `json:"truncated"`
}

// documentsOf takes the documents out of an artifact: the README, the default
// values and the schema of a chart, the model card of a model, the README that
// was pushed with anything else. What cannot be read tells nothing.
func (s *server) documentsOf(c *call, m manifestBody) ([]artifactDocument, error) {
	found := []artifactDocument{}
	if s.Content == nil {
		return found, nil
	}
	ctx := c.r.Context()
	chart := m.Config != nil && m.Config.MediaType == typeHelmConfig
	for _, l := range slices.Concat(m.Layers, m.Blobs) {
		if len(found) == maxDocuments {
			break
		}
		name := path.Base(cmp.Or(l.annotation(titleOf), l.annotation(filePathOf)))
		var read func(io.Reader) []artifactDocument
		switch {
		case chart && l.MediaType == typeHelmChart:
			read = chartDocuments
		case !chart && (strings.HasPrefix(l.MediaType, typeModelDoc) && strings.Contains(l.MediaType, ".tar")):
			read = func(r io.Reader) []artifactDocument {
				return archived(r, func(p string) bool { return readme(path.Base(p)) })
			}
		case !chart && (readme(name) || l.MediaType == "text/markdown"):
			read = func(r io.Reader) []artifactDocument { return plain(r, name) }
		default:
			continue
		}
		if l.Size > maxDocumentLayer {
			continue
		}
		more, err := s.unpack(ctx, c.rights.Repository.ID, l, read)
		if err != nil {
			return nil, err
		}
		found = append(found, more[:min(len(more), maxDocuments-len(found))]...)
	}
	return found, nil
}

// readme reports whether a file of that name tells what it is beside.
func readme(name string) bool {
	name = strings.ToLower(name)
	return name == "readme" || name == "readme.md" || name == "readme.txt" || name == "model_card.md" || name == "modelcard.md"
}

// unpack reads a layer; one that is not there says nothing.
func (s *server) unpack(ctx context.Context, repo gantry.RepoID, l descriptor, read func(io.Reader) []artifactDocument) ([]artifactDocument, error) {
	select {
	case s.unpacking <- struct{}{}:
		defer func() { <-s.unpacking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b, err := s.Content.Blob(ctx, repo, l.Digest)
	if gantry.Is(err, gantry.NotFound) || err == nil && b.Size > maxDocumentLayer {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	body, err := s.Content.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // only read
	return read(body), nil
}

// chartDocuments takes the documents out of a chart's archive.
func chartDocuments(r io.Reader) []artifactDocument {
	return archived(r, func(p string) bool {
		chart, file, below := strings.Cut(p, "/")
		if !below || chart == ".." || strings.Contains(file, "/") {
			return false
		}
		return file == "Chart.yaml" || file == "values.yaml" || file == "values.schema.json" || readme(file)
	})
}

// archived takes the files that are wanted out of a tar archive, packed with
// gzip or not. It stops at the first thing that is wrong, and at its bounds;
// what it found before is told.
func archived(r io.Reader, want func(path string) bool) (found []artifactDocument) {
	in := bufio.NewReader(r)
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil
		}
		defer func() { _ = z.Close() }() // it holds nothing; what is wrong with the bytes a read has said
		in = bufio.NewReader(z)
	}
	t := tar.NewReader(io.LimitReader(in, maxUnpacked))
	for range maxEntries {
		h, err := t.Next()
		if err != nil || len(found) == maxDocuments {
			return found
		}
		if p := path.Clean(h.Name); h.Typeflag == tar.TypeReg && want(p) {
			found = append(found, plain(t, path.Base(p))...)
		}
	}
	return found
}

// plain is a document as it stands; what is no text is none.
func plain(r io.Reader, name string) []artifactDocument {
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil || len(b) == 0 {
		return nil
	}
	d := artifactDocument{Truncated: len(b) > maxDocument}
	if d.Truncated {
		b = b[:maxDocument]
		for range utf8.UTFMax - 1 { // a letter that was cut
			if r, n := utf8.DecodeLastRune(b); r != utf8.RuneError || n != 1 {
				break
			}
			b = b[:len(b)-1]
		}
	}
	if !utf8.Valid(b) || slices.Contains(b, 0) {
		return nil
	}
	if d.Text, d.Name = string(b), strings.ToValidUTF8(name, ""); d.Name == "." || d.Name == "" {
		d.Name = "README.md"
	}
	return []artifactDocument{d}
}
