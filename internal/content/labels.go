package content

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/store"
)

const (
	maxLabels     = 1000
	maxLabelKey   = 255
	maxLabelValue = 64 << 10
)

// configLabels returns the labels of an image's configuration, in the order of
// their keys. A configuration that is not what it should be has none: it is a
// blob like any other, and the image may be right for those who made it. At
// most maxLabels; those whose key or value is too long are left out.
func configLabels(config []byte) []store.Label {
	if depth(config) > maxNesting || !utf8.Valid(config) {
		return nil
	}
	var doc struct {
		Config *struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
		Container *struct {
			Labels map[string]string `json:"Labels"`
		} `json:"container_config"`
	}
	if json.Unmarshal(config, &doc) != nil {
		return nil
	}
	switch {
	case doc.Config != nil:
		return labelsOf(doc.Config.Labels)
	case doc.Container != nil:
		return labelsOf(doc.Container.Labels)
	}
	return nil
}

// labelsOf makes labels of a map.
func labelsOf(m map[string]string) []store.Label {
	var all []store.Label
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		if k == "" || len(k) > maxLabelKey || len(v) > maxLabelValue || strings.ContainsRune(k, 0) || strings.ContainsRune(v, 0) {
			continue
		}
		if len(all) == maxLabels {
			break
		}
		l := store.Label{Key: k, Value: v}
		if isJSON(v) {
			l.MediaType = "application/json"
		}
		all = append(all, l)
	}
	return all
}

// isJSON reports whether a value is a JSON object or array.
func isJSON(v string) bool {
	v = strings.TrimSpace(v)
	return len(v) > 1 && (v[0] == '{' || v[0] == '[') && depth([]byte(v)) <= maxNesting && json.Valid([]byte(v))
}

// expiryUnits are those of quay.expires-after.
var expiryUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour,
}

// parseExpiry reads the value of quay.expires-after, "<int><s|m|h|d|w|y>"; 0 =
// it says nothing. What is longer than a Duration can hold is as long as that.
func parseExpiry(v string) time.Duration {
	const longest = 200 * 365 * 24 * time.Hour
	v = strings.ToLower(strings.TrimSpace(v))
	if len(v) < 2 {
		return 0
	}
	unit := expiryUnits[v[len(v)-1]]
	n, err := strconv.ParseUint(v[:len(v)-1], 10, 31)
	if unit == 0 || err != nil || n == 0 {
		return 0
	}
	if time.Duration(n) > longest/unit {
		return longest
	}
	return time.Duration(n) * unit
}
