package throughput

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"slices"
)

// Histogram counts durations in ms. Its buckets are fixed, so that histograms can be added: exact
// up to 15 ms, and eight to each doubling after that, so a quantile is wrong by 6 % at the most
// (the layout of HdrHistogram, hdrhistogram.org, with three significant bits). In JSON it is the
// list [sum, bucket, count, bucket, count, …]. The zero Histogram is empty.
type Histogram struct {
	Sum     int64         // ms
	buckets map[int]int64 // bucket → count, never 0
}

// bucket returns the bucket of a duration: those of 16 ms and more have four significant bits, the
// first of which is always 1.
func bucket(ms int64) int {
	if ms < 16 {
		return int(max(ms, 0))
	}
	shift := bits.Len64(uint64(ms)) - 4
	return 8*shift + int(ms>>shift)
}

// middle returns the duration that stands for a bucket.
func middle(bucket int) float64 {
	if bucket < 16 {
		return float64(bucket)
	}
	shift := bucket/8 - 1
	low := int64(bucket%8+8) << shift
	return float64(low) + float64(int64(1)<<shift-1)/2
}

// Add counts a duration.
func (h *Histogram) Add(ms int64) {
	ms = max(ms, 0)
	if h.buckets == nil {
		h.buckets = make(map[int]int64, 8)
	}
	h.buckets[bucket(ms)]++
	h.Sum += ms
}

// Merge adds another histogram.
func (h *Histogram) Merge(o Histogram) {
	if h.buckets == nil {
		h.buckets = make(map[int]int64, len(o.buckets))
	}
	for b, n := range o.buckets {
		h.buckets[b] += n
	}
	h.Sum += o.Sum
}

// Count returns how many durations were counted.
func (h Histogram) Count() (n int64) {
	for _, c := range h.buckets {
		n += c
	}
	return n
}

// IsZero reports that nothing was counted.
func (h Histogram) IsZero() bool { return len(h.buckets) == 0 }

// Mean returns the mean in ms, 0 when nothing was counted.
func (h Histogram) Mean() float64 {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return float64(h.Sum) / float64(n)
}

// Quantile returns the duration in ms below which the share q (0 … 1) of all durations lies, such as
// 0.99; 0 when nothing was counted.
func (h Histogram) Quantile(q float64) float64 {
	n := h.Count()
	rank := min(int64(q*float64(n)), n-1)
	for _, b := range slices.Sorted(maps.Keys(h.buckets)) {
		if rank -= h.buckets[b]; rank < 0 {
			return middle(b)
		}
	}
	return 0
}

// MarshalJSON implements json.Marshaler.
func (h Histogram) MarshalJSON() ([]byte, error) {
	list := make([]int64, 1, 1+2*len(h.buckets))
	list[0] = h.Sum
	for _, b := range slices.Sorted(maps.Keys(h.buckets)) {
		list = append(list, int64(b), h.buckets[b])
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var list []int64
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list)%2 != 1 {
		return fmt.Errorf("histogram: %d numbers are not a sum and pairs", len(list))
	}
	h.Sum, h.buckets = list[0], make(map[int]int64, len(list)/2)
	for i := 1; i < len(list); i += 2 {
		if list[i] < 0 || list[i] > int64(bucket(1<<63-1)) || list[i+1] < 1 {
			return fmt.Errorf("histogram: %d in bucket %d", list[i+1], list[i])
		}
		h.buckets[int(list[i])] = list[i+1]
	}
	return nil
}
