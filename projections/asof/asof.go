// Package asof tells how things stood after some event of a log: the counts of the queues, and where each
// task was. Folded up to an instant of the past, it is the answer to what was true then.
//
// # Bounds
//
// Every task that was under way is there. Of those that were over, at least the newest Keep of each queue
// and state are: the view grows with what is under way, and not with the log.
package asof

import (
	"cmp"
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
	State events.State
	At    events.ID // of the event that put it there
}

// View is one partition; or several, when it was merged. The zero View is that of an empty log.
type View struct {
	Queues queues.View
	Last   events.ID // the newest event that is counted

	places map[string]Place
	ended  map[shelf][]Place // in the order of events; of a task that moved on since, an old place
}

// shelf is where tasks that are over stand.
type shelf struct {
	queue string
	state events.State
}

// Apply implements projections.Applier.
func (v *View) Apply(e events.Event) {
	v.Queues.Apply(e)
	v.Last = e.ID
	next := events.Next(e.Data)
	if next == events.StateNone {
		return // not about a task
	}
	if v.places == nil {
		v.places, v.ended = map[string]Place{}, map[shelf][]Place{}
	}
	p := Place{Task: e.Task, Label: e.Data.About(), State: next, At: e.ID}
	v.places[e.Task] = p
	if !next.Final() {
		return
	}
	on := shelf{p.Queue, next}
	v.ended[on] = append(v.ended[on], p)
	if len(v.ended[on]) >= 2*Keep {
		v.ended[on] = v.forget(v.ended[on])
	}
}

// forget drops the oldest tasks of a shelf but the newest Keep that still stand there.
func (v *View) forget(list []Place) []Place {
	list = slices.DeleteFunc(list, func(p Place) bool { return v.places[p.Task] != p })
	drop := max(0, len(list)-Keep)
	for _, p := range list[:drop] {
		delete(v.places, p.Task)
	}
	return slices.Clone(list[drop:])
}

// Place returns where a task stood, if the view has it.
func (v *View) Place(task string) (Place, bool) {
	p, ok := v.places[task]
	return p, ok
}

// Merge adds the view of another partition.
func (v *View) Merge(o *View) {
	v.Queues.Merge(&o.Queues)
	if o.Last.Compare(v.Last) > 0 {
		v.Last = o.Last
	}
	if v.places == nil {
		v.places, v.ended = map[string]Place{}, map[shelf][]Place{}
	}
	for id, p := range o.places {
		v.places[id] = p
	}
	for on, list := range o.ended {
		v.ended[on] = append(v.ended[on], list...)
	}
}

// Places returns the tasks that chosen chooses, the newest change first, and those of one ms by falling id.
func (v *View) Places(chosen func(Place) bool) []Place {
	var list []Place
	for _, p := range v.places {
		if chosen(p) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.At.Ms, a.At.Ms), strings.Compare(b.Task, a.Task))
	})
	return list
}

// Moves returns the tasks of v, which is the later one, that stand elsewhere than in the earlier view, the newest change first.
func (v *View) Moves(earlier *View) []Place {
	return v.Places(func(p Place) bool { return earlier.places[p.Task] != p })
}
