package gantry

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

var sizeText = regexp.MustCompile(`(?i)^([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgtp])(i?b?)|b)?$`)

// ParseBytes reads a number of bytes: 102400000, 20G, 10GiB, 1.5 TB. One letter
// counts in powers of 1024, as does "Gi" or "GiB"; "GB" counts in powers of
// 1000. ok is false for anything else, and for what no int64 holds.
func ParseBytes(s string) (n int64, ok bool) {
	m := sizeText.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, false
	}
	if m[2] == "" {
		if i, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			return i, true
		}
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	base := 1024.0
	if strings.EqualFold(m[3], "b") {
		base = 1000
	}
	if m[2] != "" {
		f *= math.Pow(base, float64(strings.Index("kmgtp", strings.ToLower(m[2]))+1))
	}
	if f >= math.MaxInt64 {
		return 0, false
	}
	return int64(f), true
}

// FormatBytes writes a number of bytes for people, in the largest unit that
// leaves a whole number before the point: "10 GiB", "1.5 MiB", "0 B".
func FormatBytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for ; math.Abs(f) >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0") + " " + units[i]
}
