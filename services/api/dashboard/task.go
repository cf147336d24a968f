package dashboard

import "github.com/tasklog/tasklog/events"

// TaskPage is the page of one task.
type TaskPage struct {
	Base
	Task     events.Task
	Defined  bool   // it is known what was asked for
	Gone     int    // events that are in the log no more, nor in an archive that is attached
	Payload  string // JSON; empty where it is not known
	Result   string // JSON, of a completed task
	Error    string // of a task whose last attempt failed, or that was cancelled
	Timeline []Entry
}

func (TaskPage) template() string { return "task" }

// RetryAt is when a task that failed is tried again, in ms; 0 when that is not what it waits for.
func (p TaskPage) RetryAt() int64 {
	if p.Task.State != events.StateRetrying {
		return 0
	}
	return p.Task.DueAt
}

// Retryable reports whether a retry can be asked for.
func (p TaskPage) Retryable() bool {
	return p.Task.State == events.StateFailed || p.Task.State == events.StateCancelled
}
