package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

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
	What  string // "cancelled" or "retried"
}

// Error names the state.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("task %s is %s and cannot be %s", e.Task, e.State, e.What)
}

// Cancel appends TaskCancelled. A task that runs is cancelled at once, and its handler's context
// ends soon. Cancelling a cancelled task changes nothing and succeeds. It returns ErrNotFound, or
// a *RefusedError for a task that is completed or failed.
func (l *Log) Cancel(ctx context.Context, task, by, reason string) (events.ID, error) {
	rest, err := events.Fragment(struct {
		By     string `json:"by"`
		Reason string `json:"reason,omitempty"`
	}{by, reason})
	if err != nil {
		return events.ID{}, fmt.Errorf("cancel task %s: %w", task, err)
	}
	p := l.Of(task)
	id, err := l.onQueueOf(ctx, task, "cancelled", func(queue string) (reply, error) {
		keys := []string{p.Task(task), p.Events, p.Delayed, p.Waiting(queue), p.Due(queue), p.Leases}
		return decide(ctx, l.conn.Decide, cancelScript, keys, task, queue, rest, p.Signals, ms(l.kept))
	})
	if err != nil {
		return events.ID{}, fmt.Errorf("cancel task %s: %w", task, err)
	}
	return id, nil
}

// onQueueOf runs a decision whose keys depend on the task's queue. A task never changes its queue,
// but its row can vanish and come again between the read and the decision: then it is read again.
func (l *Log) onQueueOf(ctx context.Context, task, what string, f func(queue string) (reply, error)) (events.ID, error) {
	for {
		queue, err := repeated(ctx, func() (string, error) {
			return l.conn.Decide.HGet(ctx, l.Of(task).Task(task), "queue").Result()
		})
		if errors.Is(err, redis.Nil) {
			return events.ID{}, l.missing(ctx, l.Of(task))
		}
		if err != nil {
			return events.ID{}, err
		}
		r, err := f(queue)
		if err != nil {
			return events.ID{}, err
		}
		switch r.str(0) {
		case "ok":
			return r.id(1), nil
		case "missing":
			return events.ID{}, ErrNotFound
		case "refused":
			return events.ID{}, &RefusedError{Task: task, State: events.State(r.str(1)), What: what}
		}
	}
}
