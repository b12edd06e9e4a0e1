package content

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
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
