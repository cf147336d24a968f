package audit

import (
	"fmt"
	"math"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/throughput"
)

// Violation is an event that breaks an invariant.
type Violation struct {
	Invariant Invariant `json:"invariant"`
	Entry     events.ID `json:"entry"` // of the event; for Settled, of the task's newest one
	Task      string    `json:"task,omitempty"`
	Text      string    `json:"text"` // what is wrong, as a sentence
}

// Latency is how long something took, in ms. Quantiles are wrong by 6 % at the most.
type Latency struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50"`
	P99   int64 `json:"p99"`
	Max   int64 `json:"max"`
	hist  throughput.Histogram
}

func (l *Latency) add(ms int64) {
	ms = max(ms, 0)
	l.hist.Add(ms)
	l.Max = max(l.Max, ms)
}

// merge adds another partition's.
func (l *Latency) merge(o Latency) {
	l.hist.Merge(o.hist)
	l.Max = max(l.Max, o.Max)
	l.settle()
}

// settle computes what is told.
func (l *Latency) settle() {
	l.Count, l.P50, l.P99 = l.hist.Count(), l.quantile(0.5), l.quantile(0.99)
}

// quantile is one of the histogram, in whole ms, which never lies beyond the longest that there was.
func (l *Latency) quantile(q float64) int64 {
	return min(int64(math.Round(l.hist.Quantile(q))), l.Max)
}

// Latencies are those that a log shows.
type Latencies struct {
	Due   Latency `json:"due"`   // from the time at which an attempt could be due until TaskDue
	Start Latency `json:"start"` // from TaskDue until TaskStarted
}

// Report is what an audit found.
type Report struct {
	Events      int64                   `json:"events"`
	Undecodable int64                   `json:"undecodable"` // entries that are no events
	Tasks       int64                   `json:"tasks"`       // that the events tell of
	Types       map[events.Type]int64   `json:"types"`
	Reasons     map[events.Reason]int64 `json:"reasons"` // of TaskFailed and TaskReleased
	States      map[events.State]int64  `json:"states"`  // of the tasks at the end
	Checked     map[Invariant]int64     `json:"checked"` // how often each could have been broken

	Violations     []Violation `json:"violations"` // the first ones
	ViolationCount int64       `json:"violationCount"`

	// OffBackoff counts retries that lie where the task's backoff does not put them. A handler may ask
	// for that (worker.RetryAfter), and the log does not tell who did.
	OffBackoff int64 `json:"offBackoff"`
	// Believed counts tasks whose beginning was trimmed from the log.
	Believed  int64     `json:"believed"`
	Overtaken Overtaken `json:"overtaken"`
	Latency   Latencies `json:"latency"`
}

// NoExample names what the log had no example of: types of events, reasons, invariants. Of these, a
// report without violations says nothing.
func (r Report) NoExample() []string {
	list := []string{}
	for _, t := range events.Types {
		if r.Types[t] == 0 {
			list = append(list, fmt.Sprintf("type %s", t))
		}
	}
	for _, reason := range reasons {
		if r.Reasons[reason] == 0 {
			list = append(list, fmt.Sprintf("reason %s", reason))
		}
	}
	for _, i := range Invariants() {
		if r.Checked[i] == 0 {
			list = append(list, fmt.Sprintf("invariant %s", i))
		}
	}
	return list
}

// reasons lists those of TaskFailed and of TaskReleased.
var reasons = []events.Reason{
	events.ReasonError, events.ReasonPanic, events.ReasonTimeout, events.ReasonAbandoned, events.ReasonRejected,
	events.ReasonShutdown, events.ReasonNoHandler,
}

// Reasons lists the reasons that an event can give.
func Reasons() []events.Reason { return slices.Clone(reasons) }

// Merge adds the report on another partition, and keeps limit violations at the most.
func (r *Report) Merge(o Report, limit int) {
	r.Events += o.Events
	r.Undecodable += o.Undecodable
	r.Tasks += o.Tasks
	r.Types = sum(r.Types, o.Types)
	r.Reasons = sum(r.Reasons, o.Reasons)
	r.States = sum(r.States, o.States)
	r.Checked = sum(r.Checked, o.Checked)
	r.Violations = append(r.Violations, o.Violations[:min(len(o.Violations), max(0, limit-len(r.Violations)))]...)
	r.ViolationCount += o.ViolationCount
	r.OffBackoff += o.OffBackoff
	r.Believed += o.Believed
	r.Overtaken.Count += o.Overtaken.Count
	r.Overtaken.MaxMs = max(r.Overtaken.MaxMs, o.Overtaken.MaxMs)
	r.Latency.Due.merge(o.Latency.Due)
	r.Latency.Start.merge(o.Latency.Start)
}

func sum[K comparable](into, from map[K]int64) map[K]int64 {
	if into == nil {
		into = make(map[K]int64, len(from))
	}
	for k, n := range from {
		into[k] += n
	}
	return into
}
