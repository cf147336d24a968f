package whatif

import (
	"github.com/tasklog/tasklog/events"
)

// Recording folds the log of one partition from its beginning, and keeps the attempts of a window. It implements
// projections.Applier. Memory grows with the tasks that are under way and with the attempts of the window, and
// not with the log.
type Recording struct {
	from, to  events.ID
	first     events.ID // event of the log
	tasks     map[string]*task
	past      []*task // earlier lives, in the window, of tasks that were requested anew
	pauses    []pause
	queues    map[string]bool // every one that was ever named
	paused    map[string]bool // at the beginning of the window
	workers   map[string]string
	strangers uint64 // tasks whose request was not seen
	open      int    // turns of the window that have not ended yet
}

// task is what is known of one. It has the turns that had not ended when the window began, and those after it.
type task struct {
	id       string
	label    events.Label
	priority int
	place    events.ID // of its request: the order among equal priorities
	turns    []turn
}

// turn is one time that a task waits and runs.
type turn struct {
	runnable int64     // ms
	due      events.ID // zero: it was not made due
	start    events.ID // zero: it did not start
	end      events.ID // zero: it did not end, as far as the log goes
	worker   string
	// asked says that a person asked for it at that moment; else it came of the turn before.
	asked bool
	// cancelled and returned say how it ended without a start: cancelled, or given back by a worker.
	cancelled, returned bool
}

// pause is the beginning or the end of one.
type pause struct {
	queue string
	at    int64 // ms
	on    bool
}

// Record returns a recording of what became runnable after from and up to to, and of what was under way at from.
func Record(from, to events.ID) *Recording {
	return &Recording{
		from: from, to: to, tasks: map[string]*task{}, queues: map[string]bool{}, paused: map[string]bool{}, workers: map[string]string{},
	}
}

// Complete reports whether what follows in the log cannot add anything: the window is over, and so is every
// attempt of it.
func (r *Recording) Complete(next events.ID) bool { return next.Compare(r.to) > 0 && r.open == 0 }

// Apply implements projections.Applier.
func (r *Recording) Apply(e events.Event) {
	if r.first.IsZero() {
		r.first = e.ID
	}
	about := e.Data.About()
	late := e.ID.Compare(r.to) > 0
	if !late {
		r.queues[about.Queue] = true
	}
	switch d := e.Data.(type) {
	case events.QueuePaused:
		r.pause(e, true)
	case events.QueueResumed:
		r.pause(e, false)
	case events.TaskRequested:
		if t := r.tasks[e.Task]; t != nil {
			r.forget(t)
		}
		if !late {
			t := &task{id: e.Task, label: about, priority: d.Priority, place: e.ID}
			r.tasks[e.Task] = t
			r.begin(t, turn{runnable: d.DueAt, asked: true})
		}
	case events.TaskRetryRequested:
		if late {
			return
		}
		t := r.task(e)
		r.begin(t, turn{runnable: e.ID.Ms, asked: true})
	case events.TaskDue:
		t := r.task(e)
		t.priority = d.Priority
		if now := r.current(t, d.DueAt); now != nil {
			now.due = e.ID
		}
	case events.TaskStarted:
		t := r.task(e)
		if now := r.current(t, e.ID.Ms-d.WaitMs); now != nil {
			now.start, now.worker = e.ID, r.worker(d.Worker)
		}
	case events.TaskCompleted:
		r.end(e, 0, true)
	case events.TaskFailed:
		r.end(e, d.RetryAt, d.RetryAt == 0)
	case events.TaskReleased:
		r.end(e, max(d.RetryAt, e.ID.Ms), false)
	case events.TaskCancelled:
		r.end(e, 0, true)
	}
}

// pause keeps what happened to a queue, also after the window: what is under way then may have to wait for it.
func (r *Recording) pause(e events.Event, on bool) {
	queue := e.Data.About().Queue
	if e.ID.Compare(r.from) > 0 {
		r.pauses = append(r.pauses, pause{queue, e.ID.Ms, on})
		return
	}
	delete(r.paused, queue)
	if on {
		r.paused[queue] = true
	}
}

// task returns the task that an event is about. One whose request was not seen, or that was over before the
// window, is before all others of its priority.
func (r *Recording) task(e events.Event) *task {
	t := r.tasks[e.Task]
	if t == nil {
		r.strangers++
		t = &task{id: e.Task, label: e.Data.About(), place: events.ID{Seq: r.strangers}}
		r.tasks[e.Task] = t
	}
	return t
}

// worker returns one string for each name, whatever the events hold.
func (r *Recording) worker(id string) string {
	if known, ok := r.workers[id]; ok {
		return known
	}
	r.workers[id] = id
	return id
}

// begin adds a turn to a task, if the window has it.
func (r *Recording) begin(t *task, n turn) {
	if n.runnable > r.to.Ms {
		return
	}
	r.queues[t.label.Queue] = true
	t.turns = append(t.turns, n)
	r.open++
}

// current returns the turn that a task is in; nil when the window does not have it. A task that is not known to
// be in one became runnable at some ms: so its event says.
func (r *Recording) current(t *task, runnable int64) *turn {
	if n := len(t.turns); n > 0 && t.turns[n-1].end.IsZero() {
		return &t.turns[n-1]
	}
	if len(t.turns) > 0 || t.place.Ms > 0 {
		return nil // it became runnable after the window
	}
	r.begin(t, turn{runnable: runnable, asked: true})
	if len(t.turns) == 0 {
		return nil
	}
	return &t.turns[0]
}

// end ends the turn of a task, and begins the next one at a time in ms, unless the task is over.
func (r *Recording) end(e events.Event, next int64, final bool) {
	t := r.tasks[e.Task]
	if t == nil {
		return // nothing is known of it
	}
	if n := len(t.turns); n > 0 && t.turns[n-1].end.IsZero() {
		r.open--
		last := &t.turns[n-1]
		last.end = e.ID
		if last.start.IsZero() {
			_, last.cancelled = e.Data.(events.TaskCancelled)
			last.returned = !last.cancelled
		}
		if e.ID.Compare(r.from) <= 0 {
			t.turns = t.turns[:0]
		}
	}
	if final && len(t.turns) == 0 {
		delete(r.tasks, e.Task)
	}
	if !final && e.ID.Compare(r.to) <= 0 {
		r.begin(t, turn{runnable: next})
	}
}

// forget ends the life of a task that is requested anew.
func (r *Recording) forget(t *task) {
	if n := len(t.turns); n > 0 && t.turns[n-1].end.IsZero() {
		r.open-- // its end was not seen
		t.turns = t.turns[:n-1]
	}
	if len(t.turns) > 0 {
		r.past = append(r.past, t)
	}
	delete(r.tasks, t.id)
}
