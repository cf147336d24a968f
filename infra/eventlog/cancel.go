package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/tasklog/tasklog/events"
)

//go:embed cancel.lua
var cancelSource string

var cancelScript = newScript(cancelSource)

// ErrNotFound reports that there is no such task.
var ErrNotFound = errors.New("there is no such task")

// RefusedError reports that a task's state does not allow what was asked.
type RefusedError struct {
	Task  string
	State events.State
	What  string // "cancelled" or "retried", and why where the state alone does not tell
}

// Error names the state.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("task %s is %s and cannot be %s", e.Task, e.State, e.What)
}

// Cancel appends TaskCancelled. A task that runs is cancelled at once, and its handler's context
// ends soon. Cancelling a cancelled task changes nothing and succeeds. It returns ErrNotFound, or
// a *RefusedError for a task that is completed or failed, or that was retried after this began: where an answer
// was lost the task may have been cancelled before, and whoever retried it knew.
func (l *Log) Cancel(ctx context.Context, task, by, reason string) (events.ID, error) {
	rest, err := events.Fragment(struct {
		By     string `json:"by"`
		Reason string `json:"reason,omitempty"`
	}{by, reason})
	if err != nil {
		return events.ID{}, fmt.Errorf("cancel task %s: %w", task, err)
	}
	p := l.Of(task)
	id, err := l.onQueueOf(ctx, task, "cancelled", func(queue, retry string) (reply, error) {
		keys := []string{p.Task(task), p.Events, p.Delayed, p.Waiting(queue), p.Due(queue), p.Leases}
		return decide(ctx, l.conn.Decide, cancelScript, keys, task, queue, rest, p.Signals, ms(l.kept), retry)
	})
	if err != nil {
		return events.ID{}, fmt.Errorf("cancel task %s: %w", task, err)
	}
	return id, nil
}

// onQueueOf runs a decision whose keys depend on the task's queue, and that may know which retry was the last when it
// was asked for. A task never changes its queue, but its row can vanish and come again between the read and the
// decision: then it is read again.
func (l *Log) onQueueOf(ctx context.Context, task, what string, f func(queue, retry string) (reply, error)) (events.ID, error) {
	for {
		row, err := repeated(ctx, func() ([]any, error) {
			return l.conn.Decide.HMGet(ctx, l.Of(task).Task(task), "queue", "retry").Result()
		})
		if err != nil {
			return events.ID{}, err
		}
		queue, found := row[0].(string)
		if !found {
			return events.ID{}, l.missing(ctx, l.Of(task))
		}
		r, err := f(queue, text(row[1]))
		if err != nil {
			return events.ID{}, err
		}
		switch r.str(0) {
		case "ok":
			return r.id(1), nil
		case "missing":
			return events.ID{}, ErrNotFound
		case "retried":
			return events.ID{}, &RefusedError{
				Task: task, State: events.State(r.str(1)),
				What: what + ": it was retried after that was asked for; ask again if it is still what you want",
			}
		case "refused":
			return events.ID{}, &RefusedError{Task: task, State: events.State(r.str(1)), What: what}
		}
	}
}
