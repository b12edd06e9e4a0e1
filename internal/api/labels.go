package api

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// manifest finds the manifest that a route names, if it can be read.
func (s *server) manifest(c *call) (store.Manifest, error) {
	d, err := gantry.ParseDigest(c.params["digest"])
	if err != nil { // there is no manifest of that name
		return store.Manifest{}, gantry.Errorf(gantry.NotFound, "manifest", "Not Found")
	}
	r := &c.rights.Repository
	m, _, err := s.Store.ManifestByDigest(c.r.Context(), r.ID, d, s.restorable(r))
	return m, err
}

// A manifestBody is what this API tells of a manifest. It was checked when it
// was pushed.
type manifestBody struct {
	Config *descriptor
	Layers []descriptor
	Blobs  []descriptor // of the withdrawn artifact manifest
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    gantry.Digest
	Size      int64
	URLs      []string `json:"urls"`

	Annotations json.RawMessage // whatever the pusher wrote
}

// annotation is a text of the annotations; "" where there is none.
func (d *descriptor) annotation(key string) string {
	var all map[string]any
	if json.Unmarshal(d.Annotations, &all) != nil {
		return ""
	}
	text, _ := all[key].(string)
	return text
}

// An imageConfig is the configuration of an image, as far as it tells of its
// layers.
type imageConfig struct {
	History []struct {
		Created    time.Time
		CreatedBy  string `json:"created_by"`
		Author     string
		Comment    string
		EmptyLayer bool `json:"empty_layer"`
	}
}

// emptyLayer is what Quay says of a step that has no layer.
const (
	emptyLayerDigest = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
	emptyLayerSize   = 32
)

// layerViews joins the layers with the history of the configuration, the base
// first. A history that does not fit the layers tells nothing.
func layerViews(layers []descriptor, config imageConfig) []any {
	full := 0
	for _, h := range config.History {
		if !h.EmptyLayer {
			full++
		}
	}
	views := []any{}
	add := func(d descriptor) map[string]any {
		remote := strings.Contains(d.MediaType, ".foreign.") || strings.Contains(d.MediaType, ".nondistributable.")
		v := map[string]any{"index": len(views), "compressed_size": d.Size, "is_remote": remote, "urls": nil, "command": nil, "comment": nil,
			"author": nil, "blob_digest": d.Digest, "created_datetime": nil}
		if len(d.URLs) > 0 {
			v["urls"] = d.URLs
		}
		views = append(views, v)
		return v
	}
	if full != len(layers) {
		for _, d := range layers {
			add(d)
		}
		return views
	}
	next := 0
	for _, h := range config.History {
		d := descriptor{Digest: emptyLayerDigest, Size: emptyLayerSize}
		if !h.EmptyLayer {
			d = layers[next]
			next++
		}
		v := add(d)
		if h.CreatedBy != "" {
			v["command"] = []string{h.CreatedBy}
		}
		if h.Comment != "" {
			v["comment"] = h.Comment
		}
		if h.Author != "" {
			v["author"] = h.Author
		}
		if !h.Created.IsZero() {
			v["created_datetime"] = date(h.Created)
		}
	}
	return views
}

// imageConfig reads the configuration that a manifest names. One that is not
// there, or is none, says nothing: the manifest can be told without.
func (s *server) imageConfig(c *call, d *descriptor) (config imageConfig, raw json.RawMessage, err error) {
	if s.Content == nil || d == nil || !strings.HasSuffix(d.MediaType, "+json") {
		return config, nil, nil
	}
	b, err := s.Content.ImageConfig(c.r.Context(), c.rights.Repository.ID, d.Digest)
	if gantry.Is(err, gantry.NotFound) || b == nil && err == nil {
		return config, nil, nil
	}
	if err != nil {
		return config, nil, err
	}
	if deep(b) || !json.Valid(b) || !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		return imageConfig{}, nil, nil
	}
	if json.Unmarshal(b, &config) != nil { // of something else than an image
		config = imageConfig{}
	}
	return config, b, nil
}

// referrersOf are the first manifests that have m as their subject.
func (s *server) referrersOf(c *call, m gantry.Digest) ([]content.Descriptor, error) {
	if s.Content == nil {
		return []content.Descriptor{}, nil
	}
	list, _, err := s.Content.Referrers(c.r.Context(), content.ReferrersQuery{Repo: c.rights.Repository.ID, Subject: m, N: maxReferrers})
	return append([]content.Descriptor{}, list...), err // an empty list is one, too
}

// maxReferrers is how many of a manifest's referrers are told.
const maxReferrers = 100

func (s *server) getManifest(c *call) error {
	m, err := s.manifest(c)
	if err != nil {
		return err
	}
	v := map[string]any{"digest": m.Digest, "is_manifest_list": isIndex(m.MediaType), "manifest_data": string(m.Body),
		"config_media_type": nil, "layers_compressed_size": nil, "layers": nil, "image": nil}
	if !isIndex(m.MediaType) {
		var body manifestBody
		if err := json.Unmarshal(m.Body, &body); err != nil {
			return err
		}
		layers := slices.Concat(body.Layers, body.Blobs)
		size := int64(0)
		for _, d := range layers {
			size += d.Size
		}
		config, raw, err := s.imageConfig(c, body.Config)
		if err != nil {
			return err
		}
		v["layers_compressed_size"], v["layers"] = size, layerViews(layers, config)
		if body.Config != nil {
			v["config_media_type"] = body.Config.MediaType
		}
		if c.truthy("includeConfig", false) {
			v["config"] = raw
		}
		if c.truthy("includeDocuments", false) {
			if v["documents"], err = s.documentsOf(c, body); err != nil {
				return err
			}
		}
	}
	if c.truthy("includeReferrers", false) {
		if v["referrers"], err = s.referrersOf(c, m.Digest); err != nil {
			return err
		}
	}
	return c.json(200, v)
}

func labelView(l store.ManifestLabel) map[string]any {
	return map[string]any{"id": l.UUID, "key": l.Key, "value": l.Value, "source_type": l.Source, "media_type": l.MediaType}
}

func (s *server) listLabels(c *call) error {
	m, err := s.manifest(c)
	if err != nil {
		return err
	}
	all, err := s.Store.ManifestLabels(c.r.Context(), m.ID)
	if err != nil {
		return err
	}
	prefix := c.r.URL.Query().Get("filter")
	list := []any{}
	for _, l := range all {
		if strings.HasPrefix(l.Key, prefix) {
			list = append(list, labelView(l))
		}
	}
	return c.json(200, map[string]any{"labels": list})
}

func (s *server) getLabel(c *call) error {
	m, err := s.manifest(c)
	if err != nil {
		return err
	}
	l, err := s.Store.ManifestLabel(c.r.Context(), m.ID, c.params["id"])
	if err != nil {
		return err
	}
	return c.json(200, labelView(l))
}

// reservedLabels begin keys that nobody adds by hand: they mean something to
// programs.
var reservedLabels = []string{"com.docker.", "io.docker.", "org.dockerproject.", "org.opencontainers.", "io.cncf.", "io.kubernetes.", "io.k8s.",
	"io.quay", "com.coreos", "com.tectonic", "internal", "quay"}

// labelKey is what Quay takes for a key.
var labelKey = regexp.MustCompile(`^[a-z0-9]([a-z0-9]|[-.][a-z0-9])*$`)

const (
	maxLabelKey   = 255
	maxLabelValue = 16 << 10 // bytes
)

// checkLabel refuses what cannot be added.
func (s *server) checkLabel(l store.Label) error {
	if len(l.Key) > maxLabelKey || !labelKey.MatchString(l.Key) {
		return gantry.Errorf(gantry.Invalid, "label", "Key `%.80s` is invalid: use at most %d lower-case letters and digits, with single '.' or '-' between them", l.Key, maxLabelKey)
	}
	begins := func(prefix string) bool { return strings.HasPrefix(l.Key, prefix) }
	if slices.ContainsFunc(reservedLabels, begins) || slices.ContainsFunc(s.Tags.ReservedLabels, begins) {
		return gantry.Errorf(gantry.Invalid, "label", "Label has a reserved prefix: %.80s", l.Key)
	}
	if len(l.Value) > maxLabelValue {
		return gantry.Errorf(gantry.Invalid, "label", "The value is longer than %d bytes", maxLabelValue)
	}
	if l.MediaType != "text/plain" && l.MediaType != "application/json" {
		return gantry.Errorf(gantry.Invalid, "label", "media_type %.80q is not one of text/plain, application/json", l.MediaType)
	}
	return nil
}

func (s *server) addLabel(c *call) error {
	var in struct {
		Key, Value *string
		MediaType  *string `json:"media_type"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Key == nil || in.Value == nil {
		return gantry.Errorf(gantry.Invalid, "body", "key and value are required")
	}
	l := store.Label{Key: *in.Key, Value: *in.Value, MediaType: "text/plain"}
	if in.MediaType != nil {
		l.MediaType = *in.MediaType
	}
	if err := s.checkLabel(l); err != nil {
		return err
	}
	m, err := s.manifest(c)
	if err != nil {
		return err
	}
	added, err := s.Store.AddLabel(c.r.Context(), c.rights.Repository.ID, m, l, c.id.Actor)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/api/v1/repository/"+c.params["repo"]+"/manifest/"+string(m.Digest)+"/labels/"+added.UUID)
	return c.json(201, map[string]any{"label": labelView(added)})
}

func (s *server) deleteLabel(c *call) error {
	m, err := s.manifest(c)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteLabel(c.r.Context(), c.rights.Repository.ID, m, c.params["id"], c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}
