// Package asof tells how things stood after some event of a log: the counts of the queues, and where each
// task was. Folded up to an instant of the past, it is the answer to what was true then.
//
// # Bounds
//
// Every task that was under way is there. Of those that were over, at least the newest Keep of each queue
// and state are: the view grows with what is under way, and not with the log.
//
// # Snapshots
//
// A view can be encoded, and goes on from there as if it never had been: the same events make the same bytes,
// wherever the fold began.
package asof

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
)

// Keep is how many tasks of each queue are told, at least, that were completed, failed or cancelled.
const Keep = 1000

// Place is where a task stood.
type Place struct {
	Task string
	events.Label
	State     events.State
	Requested events.ID // zero where that was removed from the log
	At        events.ID // of the event that put it there

	// These are as events.Task has them.
	DueAt                                     int64
	Priority, MaxAttempts, Attempt, Uncounted int
	Worker                                    string
}

// Outline is the task without what only its own events tell: of those it names the first and the last.
func (p Place) Outline() events.Task {
	return events.Task{
		ID: p.Task, State: p.State, Label: p.Label, Definition: events.Definition{Priority: p.Priority, MaxAttempts: p.MaxAttempts},
		DueAt: p.DueAt, Attempt: p.Attempt, Uncounted: p.Uncounted, Worker: p.Worker, Events: []events.ID{p.Requested, p.At},
	}
}

// View is one partition; or several, when it was merged. The zero View is that of an empty log.
type View struct {
	Queues  queues.View
	Last    events.ID // the newest event that is counted
	Skipped int64     // entries up to there that are no events
	Missed  int64     // entries that were removed from the log before they were counted

	places map[string]Place
	ended  map[shelf][]ending
}

// shelf is where tasks that are over stand.
type shelf struct {
	queue string
	state events.State
}

// ending is a task on a shelf. Those of one partition are in the order of events.
type ending struct {
	at   events.ID
	task string
}

func (a ending) compare(b ending) int {
	return cmp.Or(a.at.Compare(b.at), strings.Compare(a.task, b.task))
}

// Apply implements projections.Applier.
func (v *View) Apply(e events.Event) {
	v.Queues.Apply(e)
	v.Last = e.ID
	if events.Next(e.Data) == events.StateNone {
		return // not about a task
	}
	before := v.places[e.Task]
	if before.State.Final() {
		v.leave(before)
	}
	p := before.after(e)
	v.put(p)
	if !p.State.Final() {
		return
	}
	on := shelf{p.Queue, p.State}
	if list := v.ended[on]; len(list) >= 2*Keep {
		drop := len(list) - Keep
		for _, old := range list[:drop] {
			delete(v.places, old.task)
		}
		v.ended[on] = slices.Clone(list[drop:])
	}
}

// put takes a place into the view; one of a task that is over is the newest of its shelf.
func (v *View) put(p Place) {
	if v.places == nil {
		v.places, v.ended = map[string]Place{}, map[shelf][]ending{}
	}
	v.places[p.Task] = p
	if p.State.Final() {
		on := shelf{p.Queue, p.State}
		v.ended[on] = append(v.ended[on], ending{p.At, p.Task})
	}
}

// leave takes a task off its shelf.
func (v *View) leave(p Place) {
	on := shelf{p.Queue, p.State}
	list := v.ended[on]
	if i, ok := slices.BinarySearchFunc(list, ending{p.At, p.Task}, ending.compare); ok {
		v.ended[on] = slices.Delete(list, i, i+1)
	}
}

// after is where the task stands after its next event. It judges nothing: where the beginning of the log is
// missing, the place has what is known.
func (p Place) after(e events.Event) Place {
	p.Task, p.Label, p.State, p.At = e.Task, e.Data.About(), events.Next(e.Data), e.ID
	switch d := e.Data.(type) {
	case events.TaskRequested:
		p = Place{
			Task: p.Task, Label: p.Label, State: p.State, At: p.At, Requested: e.ID,
			DueAt: d.DueAt, Priority: d.Priority, MaxAttempts: d.MaxAttempts,
		}
	case events.TaskStarted:
		p.Attempt, p.Worker = d.Attempt, d.Worker
	case events.TaskFailed:
		if d.RetryAt > 0 {
			p.DueAt = d.RetryAt
		}
	case events.TaskReleased:
		if d.From == events.StateActive {
			p.Uncounted++
		}
		if p.DueAt = e.ID.Ms; d.RetryAt > 0 {
			p.DueAt = d.RetryAt
		}
	case events.TaskRetryRequested:
		p.Uncounted, p.DueAt = p.Attempt, e.ID.Ms
	case events.TaskDue, events.TaskCompleted, events.TaskCancelled, events.QueuePaused, events.QueueResumed:
	}
	return p
}

// Len returns how many tasks the view has.
func (v *View) Len() int { return len(v.places) }

// Place returns where a task stood, if the view has it.
func (v *View) Place(task string) (Place, bool) {
	p, ok := v.places[task]
	return p, ok
}

// Merge adds the view of another partition. A merged view is to be read, and not to be folded on.
func (v *View) Merge(o *View) {
	v.Queues.Merge(&o.Queues)
	v.Skipped += o.Skipped
	v.Missed += o.Missed
	if o.Last.Compare(v.Last) > 0 {
		v.Last = o.Last
	}
	if v.places == nil {
		v.places = map[string]Place{}
	}
	maps.Copy(v.places, o.places)
}

// compare orders places as they are listed: the newest change first, and those of one ms by falling id.
func (p Place) compare(o Place) int {
	return cmp.Or(cmp.Compare(o.At.Ms, p.At.Ms), strings.Compare(o.Task, p.Task))
}

// Places returns the tasks that chosen chooses, the newest change first, and those of one ms by falling id.
func (v *View) Places(chosen func(Place) bool) []Place {
	var list []Place
	for _, p := range v.places {
		if chosen(p) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, Place.compare)
	return list
}

// Newest returns the first n of Places.
func (v *View) Newest(n int, chosen func(Place) bool) []Place {
	var list []Place
	first := func() {
		slices.SortFunc(list, Place.compare)
		list = list[:min(n, len(list))]
	}
	for _, p := range v.places {
		if !chosen(p) {
			continue
		}
		if list = append(list, p); len(list) >= 2*n+100 {
			first()
		}
	}
	first()
	return list
}

// Moves returns the tasks of v, which is the later one, that stand elsewhere than in the earlier view, the newest change first.
func (v *View) Moves(earlier *View) []Place {
	return v.Places(func(p Place) bool { return earlier.places[p.Task] != p })
}
