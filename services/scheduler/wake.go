package scheduler

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// quietRead is how many entries are read at once while most of them mean nothing.
const quietRead = 8

// wake tells run when the log has grown beyond what the last step saw, by an event that can leave something to do.
// It skips what a step has seen: it wants to know that something happened, not what. So it reads one entry at a time
// while any may mean something.
func (d *dispatcher) wake(ctx context.Context) {
	var pos events.ID
	select { // the first step says from where on
	case <-ctx.Done():
		return
	case pos = <-d.seen:
	}
	for failures := 0; ctx.Err() == nil; {
		pos = d.beyond(pos)
		n := 1
		if d.quiet.Load() {
			n = quietRead
		}
		entries, err := d.log.Follow(ctx, d.part, pos, n, eventlog.MaxBlock)
		if err != nil {
			d.failed(ctx, "wake", d.part, failures, err)
			failures++
			continue
		}
		failures = 0
		if len(entries) == 0 {
			continue
		}
		stirring := slices.IndexFunc(entries, d.stirs)
		if stirring < 0 {
			pos = entries[len(entries)-1].ID
			continue
		}
		pos = entries[stirring].ID
		came := d.arrivals(entries[stirring:])
		if len(came.tasks) > 0 {
			pos = entries[len(entries)-1].ID
		}
		if seen := d.beyond(pos); seen != pos { // a step has seen it since it was asked for
			pos = seen
			continue
		}
		d.woken <- came
		if !d.quiet.Load() {
			continue // where tasks wait, there is an event for the next step as soon as this one is over
		}
		select {
		case <-ctx.Done():
			return
		case seen := <-d.seen:
			pos = later(pos, seen)
		}
	}
}

// beyond returns the last place that a step has seen, if that is later than pos.
func (d *dispatcher) beyond(pos events.ID) events.ID {
	select {
	case seen := <-d.seen:
		return later(pos, seen)
	default:
		return pos
	}
}

func later(a, b events.ID) events.ID {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// stirs reports whether an entry can mean something to do. Where nothing waits, an attempt that became due, was started
// or was completed means nothing. An entry that is no event may mean anything.
func (d *dispatcher) stirs(e eventlog.Entry) bool {
	if !d.quiet.Load() {
		return true
	}
	switch e.Data.(type) {
	case events.TaskDue, events.TaskStarted, events.TaskCompleted:
		return false
	case events.TaskRequested, events.TaskFailed, events.TaskReleased, events.TaskCancelled, events.TaskRetryRequested,
		events.QueuePaused, events.QueueResumed:
	}
	return true
}

// arrivals are tasks that came to a quiet queue, to run at once. They can be handed over without a look at what waits:
// that saves a light load a round trip.
type arrivals struct {
	queue string
	tasks []arrival
}

type arrival struct {
	priority int
	place    string // its member in waiting:<queue>
}

// arrivals returns what came, when it is nothing but tasks of one queue that are to run at once; else none.
func (d *dispatcher) arrivals(entries []eventlog.Entry) (came arrivals) {
	for _, e := range entries {
		switch r := e.Data.(type) {
		case events.TaskDue, events.TaskStarted, events.TaskCompleted: // of tasks that came before
		case events.TaskRequested:
			if r.DelayMs > 0 || len(came.tasks) > 0 && r.Queue != came.queue {
				return arrivals{}
			}
			came.queue = r.Queue
			came.tasks = append(came.tasks, arrival{r.Priority, eventlog.Place(e.ID, e.Task)})
		default:
			return arrivals{}
		}
	}
	return came
}

// hand makes the tasks that came due, the most urgent first. It reports whether that was all there was to do: where
// others wait, or not all fit, a step is needed.
func (d *dispatcher) hand(ctx context.Context, came arrivals) bool {
	if len(came.tasks) == 0 || !d.quiet.Load() || d.rests(came.queue) {
		return false
	}
	credit, err := d.credit(ctx, came.queue, time.Now().Add(d.offset))
	if err != nil || credit == 0 {
		return false // a step meets the same, and says it
	}
	slices.SortFunc(came.tasks, func(a, b arrival) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.place, b.place))
	})
	members := make([]string, len(came.tasks))
	for i, t := range came.tasks {
		members[i] = t.place
	}
	done, err := d.log.DueAll(ctx, d.part, came.queue, credit, members)
	if err != nil {
		return false
	}
	d.dispatched(done)
	return done.Done == len(members)
}
