package main

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"
)

// figures are what one run of a row measured, by the names that the JSON has.
type figures map[string]float64

// A figure is something that rows tell.
type figure struct {
	name   string // in the JSON
	title  string // of its column, or its unit where it stands among the notes
	format string
	more   bool // the best run is the one that has most of it
	note   bool // few rows tell it: it has no column
	worst  bool // every run must do: the worst of them stands for the median
}

// known are all figures, in the order in which they are printed. Micros are CPU time per task: Redis' is
// that of its main thread, the client's that of every process beside Redis.
var known = []figure{
	{name: "tasksPerSec", title: "tasks/s", format: "%.0f", more: true},
	{name: "redisMicros", title: "Redis µs", format: "%.1f"},
	{name: "clientMicros", title: "client µs", format: "%.1f"},
	{name: "p50Ms", title: "p50 ms", format: "%.2f"},
	{name: "p99Ms", title: "p99 ms", format: "%.2f"},
	{name: "bytes", title: "bytes", format: "%.0f"},
	{name: "earliestMs", title: "ms: the earliest", format: "%.2f", more: true, note: true, worst: true},
	{name: "ratio", title: "× the rate with few waiting", format: "%.2f", more: true, note: true},
	{name: "lagMs", title: "ms: the views behind at the end", format: "%.0f", note: true},
	{name: "eventsPerSec", title: "events/s", format: "%.0f", more: true, note: true},
	{name: "peakHeapMiB", title: "MiB: the most that the heap held", format: "%.0f", note: true},
	{name: "longestScriptMs", title: "ms: the longest script call", format: "%.2f", note: true, worst: true},
	{name: "lost", title: "attempts lost", format: "%.0f", note: true, worst: true},
	{name: "outOfOrder", title: "tasks begun long before a more urgent one", format: "%.0f", note: true, worst: true},
	{name: "commandsPerSec", title: "Redis commands/s", format: "%.1f", note: true},
	{name: "redisPercent", title: "% of a core: Redis", format: "%.2f", note: true},
	{name: "clientPercent", title: "% of a core: all else", format: "%.2f", note: true},
}

// A line is what all runs of a row measured of one side.
type line struct {
	Name, Side   string
	Runs         int
	Median, Best figures // each figure for itself; see figure.worst
}

// MarshalJSON writes the medians beside the name, and the best in an object of their own.
func (l line) MarshalJSON() ([]byte, error) {
	out := map[string]any{"name": l.Name, "side": l.Side, "runs": l.Runs, "best": l.Best}
	for name, v := range l.Median {
		out[name] = v
	}
	return json.Marshal(out)
}

// sum makes a line of all runs.
func sum(name, side string, runs []figures) line {
	l := line{Name: name, Side: side, Runs: len(runs), Median: figures{}, Best: figures{}}
	for _, f := range known {
		var list []float64
		for _, r := range runs {
			if v, ok := r[f.name]; ok {
				list = append(list, v)
			}
		}
		if len(list) == 0 {
			continue
		}
		slices.Sort(list)
		worst, best := list[len(list)-1], list[0]
		if f.more {
			worst, best = best, worst
		}
		l.Median[f.name], l.Best[f.name] = round(percentile(list, 50)), round(best)
		if f.worst {
			l.Median[f.name] = round(worst)
		}
	}
	return l
}

// round leaves what can be measured: two digits behind the point.
func round(v float64) float64 { return math.Round(v*100) / 100 }

// percentile returns the value that so much of a list, in percent, does not exceed.
func percentile(list []float64, percent int) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

// per tells what n tasks took and cost between two moments; done is when the last of them was over.
func per(n int, before, after usage, done time.Time) figures {
	each := float64(n)
	return figures{
		"tasksPerSec":  each / done.Sub(before.at).Seconds(),
		"redisMicros":  float64((after.redis - before.redis).Microseconds()) / each,
		"clientMicros": float64((after.client - before.client).Microseconds()) / each,
	}
}

// spread tells how a list of milliseconds is spread.
func spread(ms []float64) figures {
	return figures{"p50Ms": percentile(ms, 50), "p99Ms": percentile(ms, 99), "earliestMs": slices.Min(ms)}
}

// and adds more figures.
func (f figures) and(more figures) figures {
	maps.Copy(f, more)
	return f
}
