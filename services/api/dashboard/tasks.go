package dashboard

import (
	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/wire"
)

// TasksPage is the page of a list of tasks.
type TasksPage struct {
	Base
	State          events.State
	Queue, Name    string
	Text, From, To string // what is searched for
	Cursor         string // of this page; empty for the first one
	Tasks          []events.Task
	Errors         map[string]string // of failed and retrying ones, by id
	Next           string            // the cursor of the next page; empty on the last one
	Search         *wire.Search      // what was looked through; nil when nothing was searched for
}

func (TasksPage) template() string { return "tasks" }

// Filters reports whether the list shows less than all tasks.
func (p TasksPage) Filters() bool {
	return p.State != events.StateNone || p.Queue != "" || p.Name != ""
}

// Error is what went wrong with one of the tasks, in brief.
func (p TasksPage) Error(task string) string { return wire.Brief(p.Errors[task]) }
