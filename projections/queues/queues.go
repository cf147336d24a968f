// Package queues counts: how many tasks of each queue are in which state, how many there ever were, and what
// happened to them in the last minutes.
package queues

import (
	"maps"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
)

// Counts is how many tasks are in each state. States without a task are left out.
type Counts map[events.State]int64

// Whole has a number for every state, also for those without a task, and none below zero: that a task left a state,
// and what brought it there was removed from the log, says nothing of how many are there.
func (c Counts) Whole() Counts {
	all := make(Counts, len(events.States))
	for _, s := range events.States {
		all[s] = max(0, c[s])
	}
	return all
}

// Totals is what ever happened to the tasks of a queue.
type Totals struct {
	Requested int64 `json:"requested"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"` // for good: no attempt was left
	Cancelled int64 `json:"cancelled"`
	// AttemptsFailed counts every failed attempt, the final ones included.
	// Invariant: Failed <= AttemptsFailed.
	AttemptsFailed int64 `json:"attemptsFailed"`
}

// Queue is the counts of one queue.
type Queue struct {
	Counts Counts `json:"counts"`
	Paused bool   `json:"paused,omitempty"`
	Totals Totals `json:"totals"`
	Recent Recent `json:"recent,omitzero"`
}

// Add adds the counts of the same queue in another partition. A queue is paused when it is in one.
func (q *Queue) Add(o Queue) {
	for state, n := range o.Counts {
		q.count(state, n)
	}
	q.Paused = q.Paused || o.Paused
	q.Totals.Requested += o.Totals.Requested
	q.Totals.Completed += o.Totals.Completed
	q.Totals.Failed += o.Totals.Failed
	q.Totals.Cancelled += o.Totals.Cancelled
	q.Totals.AttemptsFailed += o.Totals.AttemptsFailed
	q.Recent.add(o.Recent)
}

// count changes the number of tasks in a state. Below zero is possible where the log was trimmed
// before it was read; it stays, for the next event is counted from it.
func (q *Queue) count(state events.State, n int64) {
	if q.Counts == nil {
		q.Counts = Counts{}
	}
	if q.Counts[state] += n; q.Counts[state] == 0 {
		delete(q.Counts, state)
	}
}

// View is the queues of one partition; or of several, when it was merged. The zero View is empty.
type View struct{ projections.Fields[Queue] }

// Name implements projections.View.
func (*View) Name() string { return "queues" }

// Version implements projections.View.
func (*View) Version() int { return 2 }

// Apply implements projections.View.
func (v *View) Apply(e events.Event) {
	q := v.Touch(e.Data.About().Queue)
	if from := events.From(e.Data); from != events.StateNone {
		q.count(from, -1)
	}
	if next := events.Next(e.Data); next != events.StateNone {
		q.count(next, 1)
	}
	switch d := e.Data.(type) {
	case events.TaskRequested:
		q.Totals.Requested++
		q.Recent.at(e.ID.Ms).Requested++
	case events.TaskCompleted:
		q.Totals.Completed++
		q.Recent.at(e.ID.Ms).Completed++
	case events.TaskFailed:
		q.Totals.AttemptsFailed++
		if d.RetryAt == 0 {
			q.Totals.Failed++
			q.Recent.at(e.ID.Ms).Failed++
		} else {
			q.Recent.at(e.ID.Ms).Retried++
		}
	case events.TaskCancelled:
		q.Totals.Cancelled++
	case events.QueuePaused:
		q.Paused = true
	case events.QueueResumed:
		q.Paused = false
	case events.TaskDue, events.TaskStarted, events.TaskReleased, events.TaskRetryRequested:
	}
}

// Merge adds the view of another partition.
func (v *View) Merge(o *View) {
	for name, q := range o.All() {
		v.Touch(name).Add(*q)
	}
}

// Queue returns the counts of a queue: zero ones for a queue that nobody asked for.
func (v *View) Queue(name string) Queue {
	q := v.Get(name)
	if q == nil {
		return Queue{}
	}
	c := *q
	c.Counts = maps.Clone(q.Counts)
	c.Recent.Minutes = slices.Clone(q.Recent.Minutes)
	return c
}
