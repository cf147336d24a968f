package dashboard

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/services/api/wire"
)

// Queue is what is known of a queue.
type Queue struct {
	Name   string
	Paused bool
	Served bool // a worker is there that takes its tasks
	Counts queues.Counts
	Oldest int64           // ms: since when the task waits that waits longest; 0 when none does
	Recent []queues.Minute // oldest first, the last one is under way
}

// Unserved reports whether tasks wait and nobody is there to take them. Of a paused queue nobody would.
func (q Queue) Unserved() bool {
	return !q.Paused && !q.Served && q.Counts[events.StateWaiting]+q.Counts[events.StateDue] > 0
}

// rated is over how many whole minutes rates are told.
const rated = 5

// rate returns what happened in a minute, on average over the last ones.
func (q Queue) rate(of func(queues.Minute) int64) (sum float64) {
	whole := q.Recent[:max(0, len(q.Recent)-1)]
	for _, m := range whole[max(0, len(whole)-rated):] {
		sum += float64(of(m)) / rated
	}
	return sum
}

// ended is how many tasks ended in a minute.
func ended(m queues.Minute) int64 { return m.Completed + m.Failed }

// In and Out are how many tasks a minute came and ended in the last minutes.
func (q Queue) In() float64 { return q.rate(func(m queues.Minute) int64 { return m.Requested }) }

// Out is the other side of In.
func (q Queue) Out() float64 { return q.rate(ended) }

// Failing is how many in a hundred of the attempts failed that ended in the last half hour.
func (q Queue) Failing() float64 {
	var sum queues.Minute
	for _, m := range q.Recent {
		sum.Add(m)
	}
	return 100 * sum.FailingShare()
}

// Spark draws how many tasks ended in each minute of the last half hour.
func (q Queue) Spark() (s Spark) {
	for _, m := range q.Recent[:max(0, len(q.Recent)-1)] {
		s = append(s, ended(m))
	}
	return s
}

// Overview is the page of all queues.
type Overview struct {
	Base
	Charts
	Queues  []Queue // those that were asked for, in the order that was asked for
	All     int     // how many there are
	Ask     QueueFilter
	Totals  queues.Counts // of all queues
	Missed  int64         // entries removed from the log before they were counted
	Events  []Entry       // the newest ones
	Workers *WorkersPage  // nil when they are not known
	System  *wire.System  // nil when it is not known
}

func (Overview) template() string { return "overview" }

// QueueFilter chooses and orders queues. The zero one takes all by name.
type QueueFilter struct {
	Name    string // a part of the name, whatever its case
	Failing bool   // only those with a failed task
	Sort    string // a state or a measure; empty: by name
	Up      bool   // the smallest first; else the largest, which is the worst
}

// measures are the figures by which queues can be ordered besides their states.
var measures = map[string]func(Queue) float64{
	"oldest": func(q Queue) float64 {
		if q.Oldest == 0 {
			return 0
		}
		return float64(1<<50 - q.Oldest) // the earlier, the worse
	},
	"in":      Queue.In,
	"out":     Queue.Out,
	"failing": Queue.Failing,
}

// measure returns the figure of a name, or nil.
func measure(name string) func(Queue) float64 {
	if s := events.State(name); slices.Contains(events.States, s) {
		return func(q Queue) float64 { return float64(q.Counts[s]) }
	}
	return measures[name]
}

// Choose returns the queues that the filter takes, in its order. Equal ones are in the order of names.
func (f QueueFilter) Choose(all []Queue) []Queue {
	chosen := []Queue{}
	for _, q := range all {
		if strings.Contains(strings.ToLower(q.Name), strings.ToLower(f.Name)) && (!f.Failing || q.Counts[events.StateFailed] > 0) {
			chosen = append(chosen, q)
		}
	}
	slices.SortFunc(chosen, func(a, b Queue) int { return strings.Compare(a.Name, b.Name) })
	if of := measure(f.Sort); of != nil {
		slices.SortStableFunc(chosen, func(a, b Queue) int {
			if f.Up {
				a, b = b, a
			}
			return cmp.Compare(of(b), of(a))
		})
	}
	return chosen
}

// SortLink is where the head of a column leads: to the largest first, and from there to the smallest.
func (o Overview) SortLink(column string) string {
	if o.Ask.Sort == column && !o.Ask.Up {
		return o.With("sort", column, "order", "up")
	}
	return o.With("sort", column, "order", "")
}

// Sorted is the value of aria-sort for a column.
func (o Overview) Sorted(column string) string {
	switch {
	case o.Ask.Sort != column:
		return "none"
	case o.Ask.Up:
		return "ascending"
	}
	return "descending"
}
