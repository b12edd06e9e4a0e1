package content

import "github.com/gantry-registry/gantry/internal/gantry"

// Needs returns the blobs that a repository must hold for a manifest, each
// once, with their media types and sizes as it has them, and whether it is an
// index, which needs none. Errors as PutManifest's for what is malformed.
func Needs(mediaType string, body []byte) (blobs []Descriptor, index bool, err error) {
	doc, err := parseDocument(mediaType, body)
	if err != nil {
		return nil, false, err
	}
	m, err := readMembers(body)
	if err != nil {
		return nil, false, err
	}
	all := append(m.layers, m.blobs...)
	if m.config != nil {
		all = append([]descriptor{*m.config}, all...)
	}
	seen := make(map[gantry.Digest]bool, len(doc.Blobs))
	for _, d := range all {
		if (m.config == nil || d.Digest != m.config.Digest) && foreign(d) || seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		blobs = append(blobs, Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	}
	return blobs, doc.Index, nil
}

// ForgetQuota makes the next upload into a namespace look at its quota anew:
// room was made.
func (s *Store) ForgetQuota(ns gantry.AccountID) { s.cache.quotas.Invalidate(ns) }
