package content

import (
	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Outline is what a manifest refers to: what has to be in a repository
// before the manifest is put there.
type Outline struct {
	MediaType string
	Index     bool
	Subject   gantry.Digest // "" = none
	// ArtifactType and ConfigType are as the index of referrers has them.
	ArtifactType, ConfigType string
	LayersSize               int64  // sum of the sizes of the layers
	Config                   *Part  // of an image configuration; nil = none
	Blobs                    []Part // each once
	Children                 []Part // manifests of an index, each once
}

// A Part is a blob or a manifest that a manifest names.
type Part struct {
	Digest gantry.Digest
	Size   int64
}

// Outlined reads a manifest as PutManifest does, with the same errors.
func Outlined(mediaType string, body []byte) (Outline, error) {
	mediaType = canonical(mediaType)
	if err := checkManifestType(mediaType); err != nil {
		return Outline{}, err
	}
	m, err := readMembers(body)
	if err != nil {
		return Outline{}, err
	}
	d, err := m.document(mediaType)
	if err != nil {
		return Outline{}, err
	}
	o := Outline{MediaType: d.MediaType, Index: d.Index, Subject: d.Subject,
		ArtifactType: d.ArtifactType, ConfigType: d.ConfigType, LayersSize: d.LayersSize}
	sizes := make(map[gantry.Digest]int64, len(d.Blobs)+len(d.Children))
	all := append(append([]descriptor{}, m.layers...), append(m.blobs, m.manifests...)...)
	if m.config != nil {
		all = append(all, *m.config)
		if isImageConfig(m.config.MediaType) {
			o.Config = &Part{m.config.Digest, m.config.Size}
		}
	}
	for _, p := range all {
		sizes[p.Digest] = p.Size
	}
	for _, b := range d.Blobs {
		o.Blobs = append(o.Blobs, Part{b, sizes[b]})
	}
	for _, c := range d.Children {
		o.Children = append(o.Children, Part{c, sizes[c]})
	}
	return o, nil
}
