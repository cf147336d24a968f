// Package tasks is the index for listings: which task is in which state, since when.
//
// The view itself is as large as the number of tasks and lives in a store; what is here is the net
// change since the store was last told, one for each task however many events it had.
package tasks

import (
	"iter"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
)

const (
	// Keep is how many completed and how many cancelled tasks of a queue the index holds: the newest.
	// Tasks in other states are all there.
	Keep = 10_000
	// trimEvery is how many cancelled ones may be too many. The store drops them exactly when the view
	// says so, at fixed places of the log, so that it holds the same whatever the batches were.
	// Completed tasks need no such place: none ever leaves, so the newest are the same at any time.
	trimEvery = 1000
)

// Place is where a task stands in the index.
type Place struct {
	State events.State
	Queue string
}

// Change is what happened to a task since the store was told.
type Change struct {
	From Place // with StateNone when it was not in the index
	To   Place
	At   events.ID // of the last event
}

// Ended is how often tasks of a queue were cancelled.
type Ended struct {
	Cancelled int64 `json:"cancelled"`
}

// View is the net changes of one partition. The zero View is empty.
type View struct {
	projections.Fields[Ended]
	moved map[string]Change
	trim  []Place
}

// Name implements projections.View.
func (*View) Name() string { return "tasks" }

// Version implements projections.View.
func (*View) Version() int { return 1 }

// Apply implements projections.View.
func (v *View) Apply(e events.Event) {
	next := events.Next(e.Data)
	if next == events.StateNone {
		return // not about a task
	}
	queue := e.Data.About().Queue
	c, ok := v.moved[e.Task]
	if !ok {
		c.From = Place{events.From(e.Data), queue}
	}
	c.To, c.At = Place{next, queue}, e.ID
	if v.moved == nil {
		v.moved = make(map[string]Change)
	}
	v.moved[e.Task] = c
	if next != events.StateCancelled {
		return
	}
	n := v.Touch(queue)
	n.Cancelled++
	if n.Cancelled > Keep && n.Cancelled%trimEvery == 0 {
		v.trim = append(v.trim, c.To)
	}
}

// Moved returns how many tasks changed.
func (v *View) Moved() int { return len(v.moved) }

// Due reports that the store is to be told before the next event is applied: it has to drop tasks now, or a
// task that was over and forgotten begins again. A change is of one life: so the store holds the same
// whatever the batches were.
func (v *View) Due(next events.Event) bool {
	if len(v.trim) > 0 {
		return true
	}
	if _, begins := next.Data.(events.TaskRequested); !begins {
		return false
	}
	_, moved := v.moved[next.Task]
	return moved
}

// Trim returns the places of cancelled tasks that are to be cut to the newest Keep, after the changes.
func (v *View) Trim() []Place { return v.trim }

// Changes yields every task that changed, in no order.
func (v *View) Changes() iter.Seq2[string, Change] {
	return func(yield func(string, Change) bool) {
		for task, c := range v.moved {
			if !yield(task, c) {
				return
			}
		}
	}
}

// Told forgets the changes: the store has them.
func (v *View) Told() {
	clear(v.moved)
	v.trim = v.trim[:0]
}

// Load implements projections.View.
func (v *View) Load(fields map[string]string) error {
	v.Told()
	return v.Fields.Load(fields)
}
