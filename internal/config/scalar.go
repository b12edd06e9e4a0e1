package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// parseBool, parseInt, parseDuration and parseSize read what Quay and other
// programs write for these; ok is false for anything else.

func parseBool(s string) (v, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	return false, false
}

func parseInt(s string) (int64, bool) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, true
	}
	// 30.0 and 3e1 are what other programs make of 30.
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

var durationText = regexp.MustCompile(`^([0-9]+)([smhdwy])$`)

var units = map[string]time.Duration{
	"s": time.Second, "m": time.Minute, "h": time.Hour,
	"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
}

// ParseDuration reads a duration as Quay writes it: a whole number and one of
// s, m, h, d, w and y (365 days).
func ParseDuration(s string) (time.Duration, error) {
	d, ok := parseDuration(s, Duration)
	if !ok {
		return 0, fmt.Errorf("%q is not a duration: it must be %s", clip(s), (&Field{Kind: Duration}).allowed())
	}
	return d, nil
}

// ParseAge reads how old something may be: a duration as Quay or Go write it,
// or "all", which is math.MaxInt64.
func ParseAge(s string) (time.Duration, error) {
	if s == "all" {
		return math.MaxInt64, nil
	}
	d, err := ParseDuration(s)
	if err != nil {
		if d, err = time.ParseDuration(s); err != nil || d < 0 {
			return 0, errors.New("it must be a duration such as 90d, 4w or 12h, or all, or 0")
		}
	}
	return d, nil
}

// parseDuration reads s; a bare number counts seconds or minutes by kind.
func parseDuration(s string, kind Kind) (time.Duration, bool) {
	if m := durationText.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > int64(math.MaxInt64/units[m[2]]) {
			return 0, false
		}
		return time.Duration(n) * units[m[2]], true
	}
	unit := time.Second
	switch kind {
	case Duration:
		if s == "0" {
			return 0, true
		}
		return 0, false
	case Minutes:
		unit = time.Minute
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(math.Abs(f) < float64(math.MaxInt64/unit)) {
		return 0, false
	}
	if f < 0 {
		return 0, false
	}
	return time.Duration(f * float64(unit)), true
}

// ParseSize reads a number of bytes: 102400000, 20G, 10GiB, 1.5 TB. One letter
// counts in powers of 1024, as does "Gi" or "GiB"; "GB" counts in powers of
// 1000.
func ParseSize(s string) (int64, error) {
	n, ok := parseSize(s)
	if !ok {
		return 0, fmt.Errorf("%q is not a size: it must be %s", clip(s), (&Field{Kind: Size}).allowed())
	}
	return n, nil
}

func parseSize(s string) (int64, bool) {
	if n, ok := gantry.ParseBytes(s); ok {
		return n, true
	}
	i, ok := parseInt(s)
	return i, ok && i >= 0
}
