package content

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// maxPlatforms bounds how many platforms of an index are noted.
const maxPlatforms = 32

// A platform is what an image runs on (OCI image specification, "Image Index",
// platform).
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// String is os/architecture or os/architecture/variant; "" where that is not
// known, or is nothing that a platform is called.
func (p platform) String() string {
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-", r)
	}
	if p.OS == "" || p.Architecture == "" || p.OS == "unknown" || len(name) > 64 || strings.Count(name, "/") > 2 || strings.TrimFunc(name, plain) != "" {
		return ""
	}
	return name
}

// configPlatform is the platform of an image by its configuration.
func configPlatform(config []byte) string {
	var p platform
	if depth(config) > maxNesting || !utf8.Valid(config) || json.Unmarshal(config, &p) != nil {
		return ""
	}
	return p.String()
}

// indexPlatforms are those of the images of an index that was checked, in its
// order, each once, at most maxPlatforms, with commas between them.
func indexPlatforms(body []byte) string {
	var index struct {
		Manifests []struct {
			Platform platform `json:"platform"`
		} `json:"manifests"`
	}
	if json.Unmarshal(body, &index) != nil {
		return ""
	}
	var all []string
	for _, m := range index.Manifests {
		if name := m.Platform.String(); name != "" && len(all) < maxPlatforms && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, ",")
}

// platformWindow is how many manifests FillPlatforms looks at in one step.
const platformWindow = 200

// FillPlatforms notes the platforms of images that were pushed before this
// registry noted them, of up to platformWindow manifests that follow after in
// the order of their ids. It returns how many of them it noted, and the last
// one that it looked at; 0 = there was none. An image whose configuration is
// not kept, cannot be read, or says nothing, is passed over; where most of ten
// or more cannot be read, the storage is away, and that is the error: the same
// step can be taken again.
func (s *Store) FillPlatforms(ctx context.Context, after gantry.ManifestID) (noted int, next gantry.ManifestID, err error) {
	list, next, err := s.db.BareManifests(ctx, after, platformWindow)
	if err != nil {
		return 0, 0, err
	}
	var found []store.BareManifest
	failed := 0
	for _, m := range list {
		m.Platforms, err = s.platformsOf(ctx, m)
		switch {
		case ctx.Err() != nil:
			return 0, 0, ctx.Err()
		case err != nil:
			if failed++; failed >= 10 && failed > len(found) {
				return 0, 0, fmt.Errorf("platforms of manifest %d: %w", m.ID, err)
			}
			s.log.WarnContext(ctx, "the platform of an image is not known", "manifest", m.ID, "error", err)
		case m.Platforms != "":
			found = append(found, m)
		}
	}
	return len(found), next, s.db.NotePlatforms(ctx, found)
}

// platformsOf reads what a stored manifest runs on; "" = that is not known.
func (s *Store) platformsOf(ctx context.Context, m store.BareManifest) (string, error) {
	index := m.MediaType == typeOCIIndex || m.MediaType == typeDockerList
	if !index && !isImageConfig(m.ConfigType) {
		return "", nil
	}
	body, err := s.db.ManifestBody(ctx, m.ID)
	if gantry.Is(err, gantry.NotFound) {
		return "", nil // collected meanwhile
	}
	if err != nil {
		return "", err
	}
	if index {
		return indexPlatforms(body), nil
	}
	doc, err := parseDocument(m.MediaType, body)
	if err != nil || doc.Config == nil {
		return "", nil //nolint:nilerr // an older release took it
	}
	config, err := s.ImageConfig(ctx, m.Repo, doc.Config.Digest)
	if gantry.Is(err, gantry.NotFound) {
		return "", nil // not kept
	}
	if err != nil {
		return "", err
	}
	return configPlatform(config), nil
}
