package registry

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
)

// A byteRange is length bytes from start.
type byteRange struct{ start, length int64 }

// maxRanges bounds the parts of one answer. A request with more gets the whole
// blob, as RFC 9110 allows.
const maxRanges = 16

// rangeResult says what a Range header means.
type rangeResult uint8

const (
	rangeNone  rangeResult = iota // send everything
	rangeSome                     // send the ranges
	rangeWrong                    // none can be satisfied: 416
)

// parseRanges reads a Range header for size bytes (RFC 9110, 14.2). One that
// is malformed, has another unit, too many ranges, or asks for more than the
// whole counts as none.
func parseRanges(header string, size int64) ([]byteRange, rangeResult) {
	unit, set, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return nil, rangeNone
	}
	if strings.Count(set, ",") >= 4*maxRanges {
		return nil, rangeNone
	}
	var ranges []byteRange
	var total int64
	asked := false
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue
		}
		r, fits, ok := parseRange(spec, size)
		if !ok {
			return nil, rangeNone
		}
		asked = true
		if !fits {
			continue
		}
		ranges = append(ranges, r)
		total += r.length
		if len(ranges) > maxRanges || total > size {
			return nil, rangeNone
		}
	}
	switch {
	case !asked || size == 0: // some clients ask for bytes=0- of everything
		return nil, rangeNone
	case len(ranges) == 0:
		return nil, rangeWrong
	}
	return ranges, rangeSome
}

// parseRange reads "a-b", "a-" or "-n"; fits is false for one that begins
// after the end, or after its own: RFC 9110 allows to reject that, and the OCI
// suite wants it.
func parseRange(spec string, size int64) (r byteRange, fits, ok bool) {
	first, last, found := strings.Cut(spec, "-")
	if !found {
		return r, false, false
	}
	if first == "" {
		n, ok := parseDecimal(last)
		if !ok {
			return r, false, false
		}
		n = min(n, size)
		return byteRange{size - n, n}, n > 0, true
	}
	start, ok := parseDecimal(first)
	if !ok {
		return r, false, false
	}
	end := size - 1
	if last != "" {
		e, ok := parseDecimal(last)
		if !ok {
			return r, false, false
		}
		end = min(end, e)
	}
	if start >= size || start > end {
		return r, false, true
	}
	return byteRange{start, end - start + 1}, true, true
}

// parseDecimal reads digits only; what does not fit becomes the largest number.
func parseDecimal(s string) (int64, bool) {
	if s == "" || len(s) > 64 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (1<<63-1-int64(c-'0'))/10 {
			n = 1<<63 - 1
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func (r byteRange) header(size int64) string {
	b := make([]byte, 0, 64)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, r.start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, r.start+r.length-1, 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, size, 10)
	return string(b)
}

// partHeads returns what stands before each part of a multipart/byteranges
// body, what ends it, and its whole length.
func partHeads(ranges []byteRange, size int64) (boundary string, heads []string, tail string, length int64) {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	boundary = hex.EncodeToString(raw[:])
	for i, r := range ranges {
		head := "--" + boundary + "\r\nContent-Type: application/octet-stream\r\nContent-Range: " + r.header(size) + "\r\n\r\n"
		if i > 0 {
			head = "\r\n" + head
		}
		heads = append(heads, head)
		length += int64(len(head)) + r.length
	}
	tail = "\r\n--" + boundary + "--\r\n"
	return boundary, heads, tail, length + int64(len(tail))
}

// parseContentRange reads the Content-Range of an upload's chunk:
// "<first>-<last>", both inclusive. "bytes=" or "bytes " before it and
// "/<total>" behind it are let pass, as clients send them.
func parseContentRange(s string) (start, length int64, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > 6 && strings.EqualFold(s[:5], "bytes") && (s[5] == '=' || s[5] == ' ') {
		s = strings.TrimLeft(s[6:], " ")
	}
	s, total, slashed := strings.Cut(s, "/")
	if slashed && total != "*" {
		if _, ok := parseDecimal(total); !ok {
			return 0, 0, false
		}
	}
	first, last, found := strings.Cut(s, "-")
	if !found {
		return 0, 0, false
	}
	start, ok1 := parseDecimal(first)
	end, ok2 := parseDecimal(last)
	if !ok1 || !ok2 || end < start || end == 1<<63-1 {
		return 0, 0, false
	}
	return start, end - start + 1, true
}

// etagMatches reports whether an If-None-Match header holds etag, compared
// weakly, or "*".
func etagMatches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == etag {
			return true
		}
	}
	return false
}

// itoa is strconv.FormatInt in base 10.
func itoa(n int64) string { return strconv.FormatInt(n, 10) }
