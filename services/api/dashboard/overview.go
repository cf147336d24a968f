package dashboard

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
)

// Queue is a line of the queue table.
type Queue struct {
	Name   string
	Paused bool
	Counts queues.Counts
	Totals queues.Totals
}

// FailingShare is how many in a hundred of the tasks that ended in the queue failed for good.
func (q Queue) FailingShare() float64 {
	ended := q.Totals.Completed + q.Totals.Failed
	if ended == 0 {
		return 0
	}
	return 100 * float64(q.Totals.Failed) / float64(ended)
}

// Overview is the page of all queues.
type Overview struct {
	Base
	Queues []Queue // those that were asked for, in the order that was asked for
	All    int     // how many there are
	Ask    QueueFilter
	Totals queues.Counts // of all queues
	Missed int64         // entries removed from the log before they were counted
	Events []Entry       // the newest ones
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
	"failing": Queue.FailingShare,
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
