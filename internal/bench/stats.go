package bench

import (
	"math"
	"slices"
	"time"
)

// Latency sums up how long operations took.
type Latency struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// latency sums up took, which it sorts. The zero value stands for none.
func latency(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	return Latency{P50: quantile(took, 0.50), P99: quantile(took, 0.99), Max: took[len(took)-1]}
}

// quantile returns the smallest value that at least the share q of sorted is
// not above (the nearest-rank method). sorted is not empty, 0 < q <= 1.
func quantile[T any](sorted []T, q float64) T {
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median returns the middle of values, the mean of the two middle ones when
// their number is even, and 0 when there is none. It leaves values as it is.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// spread returns how far values lie apart: (max-min)/median, or 0 when that
// says nothing.
func spread(values []float64) float64 {
	m := median(values)
	if len(values) < 2 || m == 0 {
		return 0
	}
	return (slices.Max(values) - slices.Min(values)) / m
}
