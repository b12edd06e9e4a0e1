package registry

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// The media types of manifests.
const (
	mediaImage      = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex      = "application/vnd.oci.image.index.v1+json"
	mediaDocker     = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaSchema1    = "application/vnd.docker.distribution.manifest.v1+json"
	mediaSchema1JWS = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// mediaHeaders are ready-made Content-Type headers.
var mediaHeaders = map[string][]string{
	mediaImage:      {mediaImage},
	mediaIndex:      {mediaIndex},
	mediaDocker:     {mediaDocker},
	mediaDockerList: {mediaDockerList},
	mediaSchema1:    {mediaSchema1},
	mediaSchema1JWS: {mediaSchema1JWS},
}

func mediaHeader(mediaType string) []string {
	if h, ok := mediaHeaders[mediaType]; ok {
		return h
	}
	return []string{mediaType}
}

func isManifestType(t string) bool { return mediaHeaders[t] != nil }

func isIndexType(t string) bool { return t == mediaIndex || t == mediaDockerList }

// maxAccept bounds the media ranges that are looked at.
const maxAccept = 64

// eachAccept calls f with each media range of Accept headers, lower-cased and
// without parameters, and whether its weight refuses it (q=0), until f
// returns false.
func eachAccept(headers []string, f func(mediaType string, refused bool) bool) {
	n := 0
	for _, h := range headers {
		for h != "" && n < maxAccept {
			n++
			item, rest, _ := strings.Cut(h, ",")
			h = rest
			mediaType, params, _ := strings.Cut(item, ";")
			mediaType = lower(strings.TrimSpace(mediaType))
			if mediaType == "" {
				continue
			}
			if !f(mediaType, params != "" && zeroWeight(params)) {
				return
			}
		}
	}
}

// zeroWeight reports whether the parameters of a media range hold q=0.
func zeroWeight(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(p), "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && q == 0
		}
	}
	return false
}

// lower is strings.ToLower without a copy in the usual case.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}

// A choice is what a client's Accept headers mean for a stored manifest.
type choice uint8

const (
	asStored   choice = iota
	childImage        // the index's linux/amd64 image, of a type that accepts says
	nothing           // no form of it is acceptable
)

// choose decides which form of a manifest of type stored is sent. No Accept,
// a wildcard, or a list without any manifest type (a browser's, or plain JSON)
// means the stored one.
func choose(headers []string, stored string) choice {
	if len(headers) == 0 {
		return asStored
	}
	stored = lower(stored)
	listed, named, refused, image := false, false, false, false
	eachAccept(headers, func(t string, no bool) bool {
		switch {
		case t == stored:
			if no {
				refused = true
			} else {
				listed = true
			}
			named = true
		case no:
		case t == "*/*" || t == "application/*":
			listed = listed || !refused
		case isManifestType(t):
			named = true
			image = image || t == mediaImage || t == mediaDocker
		}
		return true
	})
	switch {
	case refused:
	case listed || !named:
		return asStored
	}
	if image && isIndexType(stored) {
		return childImage
	}
	return nothing
}

// accepts reports whether the headers list t by name.
func accepts(headers []string, t string) bool {
	found := false
	t = lower(t)
	eachAccept(headers, func(got string, refused bool) bool {
		found = got == t && !refused
		return !found
	})
	return found
}

// defaultChild finds the linux/amd64 image of an index whose type the client
// lists; "" if there is none. Where several fit, the one without a variant is
// taken, else the first.
func defaultChild(index []byte, headers []string) gantry.Digest {
	var doc struct {
		Manifests []struct {
			MediaType string        `json:"mediaType"`
			Digest    gantry.Digest `json:"digest"`
			Platform  struct {
				OS           string `json:"os"`
				Architecture string `json:"architecture"`
				Variant      string `json:"variant"`
			} `json:"platform"`
		} `json:"manifests"`
	}
	if json.Unmarshal(index, &doc) != nil {
		return ""
	}
	var best gantry.Digest
	for _, m := range doc.Manifests {
		if m.Platform.OS != "linux" || m.Platform.Architecture != "amd64" || isIndexType(m.MediaType) || !accepts(headers, m.MediaType) {
			continue
		}
		if m.Platform.Variant == "" {
			return m.Digest
		}
		if best == "" {
			best = m.Digest
		}
	}
	return best
}
