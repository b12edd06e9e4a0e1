package mirror

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A Step is what a run does with one tag.
type Step int

// The steps.
const (
	Leave  Step = iota // it is the same on both sides
	Make               // it is not here
	Move               // it points elsewhere here
	Refuse             // it would move, and is immutable here
)

// Compare decides about a tag that upstream has with a digest, and that is
// here as local says; there is false where it is not.
func Compare(upstream gantry.Digest, local store.MirrorTag, there bool) Step {
	switch {
	case !there:
		return Make
	case local.Digest == upstream:
		return Leave
	case local.Immutable:
		return Refuse
	}
	return Move
}

// Removals are the tags that are here and not among those that stay, in order:
// those that go, and those that are immutable and so cannot.
func Removals(local map[string]store.MirrorTag, stay map[string]bool) (gone, stuck []string) {
	for name, t := range local {
		switch {
		case stay[name]:
		case t.Immutable:
			stuck = append(stuck, name)
		default:
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	slices.Sort(stuck)
	return gone, stuck
}

// Companions are the tags among all that belong to other manifests, by what
// they belong to, as subjectOf has it, but for those that the filter chose.
func Companions(all, chosen []string) map[gantry.Digest][]string {
	out := map[gantry.Digest][]string{}
	for _, t := range all {
		d, ok := subjectOf(t)
		if !ok {
			continue
		}
		if _, main := slices.BinarySearch(chosen, t); !main {
			out[d] = append(out[d], t)
		}
	}
	return out
}

// Looks reports whether a tag that did not move is looked at for what was
// attached to it since: in a run that looks at everything, and for some time
// after it was made, when it is usually signed.
func Looks(t store.MirrorTag, deep bool, now time.Time, recent time.Duration) bool {
	return deep || now.Sub(t.Start) < recent
}

// platform of a manifest in an index.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// wanted reports whether a filter of architectures takes a platform. One
// without an architecture is taken: nobody can say that it is another one.
func (p platform) wanted(filter []string) bool {
	if len(filter) == 0 || p.Architecture == "" {
		return true
	}
	for _, f := range filter {
		parts := strings.Split(f, "/")
		if len(parts) == 1 {
			if parts[0] == p.Architecture {
				return true
			}
			continue
		}
		if parts[0] == p.OS && parts[1] == p.Architecture && (len(parts) == 2 || parts[2] == p.Variant) {
			return true
		}
	}
	return false
}

// attestationOf is the annotation by which BuildKit ties an attestation to an
// image of the same index.
const attestationOf = "vnd.docker.reference.digest"

// ChooseChildren returns the manifests of an index that a filter of
// architectures takes, and with them what is attached to them in the index.
func ChooseChildren(index []byte, filter []string) (map[gantry.Digest]bool, error) {
	var doc struct {
		Manifests []struct {
			Digest      gantry.Digest     `json:"digest"`
			Platform    *platform         `json:"platform"`
			Annotations map[string]string `json:"annotations"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(index, &doc); err != nil {
		return nil, gantry.Errorf(gantry.Invalid, "manifest", "the index cannot be read")
	}
	out := map[gantry.Digest]bool{}
	for _, m := range doc.Manifests {
		if m.Platform == nil || m.Annotations[attestationOf] == "" && m.Platform.wanted(filter) {
			out[m.Digest] = true
		}
	}
	for _, m := range doc.Manifests {
		if of := m.Annotations[attestationOf]; of != "" && out[gantry.Digest(of)] {
			out[m.Digest] = true
		}
	}
	return out, nil
}
