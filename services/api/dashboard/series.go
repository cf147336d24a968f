package dashboard

import (
	"strconv"
	"time"

	"github.com/tasklog/tasklog/projections/throughput"
)

// Windows are how far back charts can go, by the name that the address gives them.
var Windows = []struct {
	Name   string
	Length time.Duration
	layout string // of times at the axis
}{
	{"15m", 15 * time.Minute, "15:04:05"},
	{"1h", time.Hour, "15:04"},
	{"6h", 6 * time.Hour, "15:04"},
	{"24h", 24 * time.Hour, "15:04"},
	{"7d", throughput.MaxWindow, "2 Jan 15:04"},
}

// Charts is what happened in a queue, or in all, in one of Windows.
type Charts struct {
	Window string
	Series throughput.Series
}

// Windows lists those that there are.
func (Charts) Windows() (names []string) {
	for _, w := range Windows {
		names = append(names, w.Name)
	}
	return names
}

// Step tells how much time is one point of a line.
func (c Charts) Step() string { return span(c.Series.Step) }

// All returns the lines to draw. The slot that is under way is left out: it would look like a fall.
func (c Charts) All() []Chart {
	slots := c.Series.Slots
	slots = slots[:max(0, len(slots)-1)]
	rate := func(of func(throughput.Counts) int64) []float64 {
		list := make([]float64, len(slots))
		for i, s := range slots {
			list[i] = float64(of(s.Counts)) / c.Series.Step.Seconds()
		}
		return list
	}
	quantiles := func(of func(throughput.Counts) throughput.Histogram) (lines []Line) {
		for _, q := range []struct {
			name string
			q    float64
		}{{"p50", .5}, {"p95", .95}, {"p99", .99}} {
			l := Line{Name: q.name}
			for _, s := range slots {
				v := NoValue
				if h := of(s.Counts); h.Count() > 0 {
					v = h.Quantile(q.q)
				}
				l.Values = append(l.Values, v)
			}
			lines = append(lines, l)
		}
		return lines
	}
	list := []Chart{
		{ID: "throughput", Title: "Tasks per second", Format: number, Lines: []Line{
			{"requested", rate(func(c throughput.Counts) int64 { return c.Requested })},
			{"completed", rate(func(c throughput.Counts) int64 { return c.Completed })},
			{"failed", rate(func(c throughput.Counts) int64 { return c.Failed })},
		}},
		{ID: "wait", Title: "Wait until an attempt starts", Format: length, Lines: quantiles(func(c throughput.Counts) throughput.Histogram { return c.Wait })},
		{ID: "run", Title: "Run time of an attempt", Format: length, Lines: quantiles(func(c throughput.Counts) throughput.Histogram { return c.Run })},
		{ID: "late", Title: "Lateness of delayed tasks and retries", Format: length, Lines: quantiles(func(c throughput.Counts) throughput.Histogram { return c.Late })},
	}
	for i := range list {
		for _, s := range slots {
			list[i].At = append(list[i].At, s.At)
		}
		for _, w := range Windows {
			if w.Name == c.Window {
				list[i].Layout = w.layout
			}
		}
	}
	return list
}

// number tells a number in three digits.
func number(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 3, 64) + "M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 3, 64) + "k"
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// length tells a duration in ms in three digits.
func length(ms float64) string {
	switch d := time.Duration(ms * float64(time.Millisecond)); {
	case d >= 48*time.Hour:
		return number(d.Hours()/24) + " d"
	case d >= time.Hour:
		return number(d.Hours()) + " h"
	case d >= time.Minute:
		return number(d.Minutes()) + " min"
	case d >= time.Second:
		return number(d.Seconds()) + " s"
	}
	return number(ms) + " ms"
}
