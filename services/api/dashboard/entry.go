package dashboard

import (
	"fmt"

	"github.com/tasklog/tasklog/events"
)

// Entry is one event of the log.
type Entry struct {
	events.Event
	After  int64  // ms since the event of the task before; -1 where there is none
	Part   int    // its partition: there its id is its own
	Stream string // key of the partition's stream
	JSON   string // its body; empty where it is not shown
}

// State is the state that the event led to.
func (e Entry) State() events.State { return events.Next(e.Data) }

// Failure is the error that the event tells of, if any.
func (e Entry) Failure() string {
	if d, ok := e.Data.(events.TaskFailed); ok {
		return d.Error
	}
	return ""
}

// Says tells the event in a few words.
func (e Entry) Says() string {
	switch d := e.Data.(type) {
	case events.TaskRequested:
		if d.DelayMs > 0 {
			return "asked for, to run in " + spanOf(d.DelayMs)
		}
		return "asked for, to run at once"
	case events.TaskDue:
		return fmt.Sprintf("attempt %d handed to the workers, %s after it could have been", d.Attempt, spanOf(e.ID.Ms-d.DueAt))
	case events.TaskStarted:
		return fmt.Sprintf("attempt %d started by %s, %s after it was due", d.Attempt, d.Worker, spanOf(d.WaitMs))
	case events.TaskCompleted:
		return fmt.Sprintf("attempt %d completed by %s after %s", d.Attempt, d.Worker, spanOf(d.RunMs))
	case events.TaskFailed:
		end := "for good"
		if d.RetryAt > 0 {
			end = "tried again after " + spanOf(d.RetryAt-e.ID.Ms)
		}
		return fmt.Sprintf("attempt %d failed (%s) after %s, %s", d.Attempt, d.Reason, spanOf(d.RunMs), end)
	case events.TaskReleased:
		return fmt.Sprintf("attempt %d given back by %s: %s", d.Attempt, d.Worker, d.Reason)
	case events.TaskCancelled:
		return said("cancelled by "+d.By, d.Reason)
	case events.TaskRetryRequested:
		return "asked for again by " + d.By
	case events.QueuePaused:
		return "queue paused by " + d.By
	case events.QueueResumed:
		return "queue resumed by " + d.By
	}
	return ""
}

func said(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}
