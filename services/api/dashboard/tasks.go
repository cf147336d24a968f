package dashboard

import (
	"slices"

	"github.com/tasklog/tasklog/events"
)

// TasksPage is the page of a list of tasks.
type TasksPage struct {
	Base
	State       events.State
	Queue, Name string
	Cursor      string // of this page; empty for the first one
	Tasks       []events.Task
	Next        string // the cursor of the next page; empty on the last one
}

func (TasksPage) template() string { return "tasks" }

// Filters reports whether the list shows less than all tasks.
func (p TasksPage) Filters() bool {
	return p.State != events.StateNone || p.Queue != "" || p.Name != ""
}

// Known reports whether the state that was asked for is one.
func (p TasksPage) Known() bool { return slices.Contains(events.States, p.State) }
