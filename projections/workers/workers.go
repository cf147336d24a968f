// Package workers tells who ran what: what each worker did, and what it runs now.
package workers

import (
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
)

const (
	// maxWorkers and maxIdle bound the view: beyond so many workers, those are forgotten that run
	// nothing and were not heard of for so long.
	maxWorkers = 1000
	maxIdle    = 24 * time.Hour

	// maxRunning is how many running tasks of one worker are told by id.
	maxRunning = 1000
)

// Worker is what one worker did.
type Worker struct {
	Started   int64 `json:"started"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`    // attempts that it said had failed
	Released  int64 `json:"released"`  // tasks that it gave back
	Abandoned int64 `json:"abandoned"` // attempts that it stopped extending
	Cancelled int64 `json:"cancelled"` // attempts that were cancelled while they ran

	// Running is how many attempts run now, and Tasks says which, since when (ms). Of more than 1000
	// some are missing in Tasks.
	// Invariant: len(Tasks) <= Running.
	Running int64            `json:"running"`
	Tasks   map[string]int64 `json:"tasks,omitempty"`

	LastAt int64 `json:"lastAt"` // ms: its newest event
}

// View is the workers of one partition; or of several, when it was merged. The zero View is empty.
type View struct {
	projections.Fields[Worker]
	holder map[string]string // running task → worker, for all of Tasks
}

// Name implements projections.View.
func (*View) Name() string { return "workers" }

// Version implements projections.View.
func (*View) Version() int { return 1 }

// Apply implements projections.View.
func (v *View) Apply(e events.Event) {
	switch d := e.Data.(type) {
	case events.TaskStarted:
		w := v.at(e, d.Worker)
		w.Started++
		v.begin(e, d.Worker, w)
	case events.TaskCompleted:
		w := v.at(e, d.Worker)
		w.Completed++
		v.end(e, w)
	case events.TaskFailed:
		if d.Reason == events.ReasonAbandoned {
			v.abandoned(e, d.Worker)
			return
		}
		w := v.at(e, d.Worker)
		w.Failed++
		v.end(e, w)
	case events.TaskReleased:
		w := v.at(e, d.Worker)
		w.Released++
		if d.From == events.StateActive {
			v.end(e, w)
		}
	case events.TaskCancelled:
		// The event does not name the worker; who holds the task is known unless it holds too many.
		if worker, ok := v.holder[e.Task]; ok && d.From == events.StateActive {
			w := v.Touch(worker)
			w.Cancelled++
			v.end(e, w)
		}
	case events.TaskRequested, events.TaskDue, events.TaskRetryRequested, events.QueuePaused, events.QueueResumed:
	}
}

// abandoned ends an attempt for a worker that is silent: it was not heard of now.
func (v *View) abandoned(e events.Event, worker string) {
	if v.Get(worker) == nil {
		return // forgotten
	}
	w := v.Touch(worker)
	w.Abandoned++
	v.end(e, w)
}

// at returns the worker that speaks in e.
func (v *View) at(e events.Event, worker string) *Worker {
	if v.Get(worker) == nil && v.Len() >= maxWorkers {
		v.forget(e.ID.Ms - maxIdle.Milliseconds())
	}
	w := v.Touch(worker)
	w.LastAt = max(w.LastAt, e.ID.Ms)
	return w
}

func (v *View) forget(before int64) {
	for id, w := range v.All() {
		if w.Running <= 0 && w.LastAt < before {
			v.Delete(id)
		}
	}
}

func (v *View) begin(e events.Event, worker string, w *Worker) {
	w.Running++
	if len(w.Tasks) >= maxRunning {
		return
	}
	if w.Tasks == nil {
		w.Tasks = make(map[string]int64)
	}
	w.Tasks[e.Task] = e.ID.Ms
	v.hold(e.Task, worker)
}

func (v *View) hold(task, worker string) {
	if v.holder == nil {
		v.holder = make(map[string]string)
	}
	v.holder[task] = worker
}

func (v *View) end(e events.Event, w *Worker) {
	w.Running--
	delete(w.Tasks, e.Task)
	delete(v.holder, e.Task)
}

// Load implements projections.View.
func (v *View) Load(fields map[string]string) error {
	if err := v.Fields.Load(fields); err != nil {
		return err
	}
	v.holder = nil
	for id, w := range v.All() {
		for task := range w.Tasks {
			v.hold(task, id)
		}
	}
	return nil
}

// Merge adds the view of another partition.
func (v *View) Merge(o *View) {
	for id, w := range o.All() {
		m := v.Touch(id)
		m.Started += w.Started
		m.Completed += w.Completed
		m.Failed += w.Failed
		m.Released += w.Released
		m.Abandoned += w.Abandoned
		m.Cancelled += w.Cancelled
		m.Running += w.Running
		m.LastAt = max(m.LastAt, w.LastAt)
		for task, since := range w.Tasks {
			if m.Tasks == nil {
				m.Tasks = make(map[string]int64)
			}
			m.Tasks[task] = since
			v.hold(task, id)
		}
	}
}
