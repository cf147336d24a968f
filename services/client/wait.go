package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// ErrClosed reports that the client was closed.
var ErrClosed = errors.New("the client is closed")

// Outcome is how a task ended.
type Outcome struct {
	Task   events.Task     // as it was then: State is completed, failed or cancelled
	Result json.RawMessage // of a completed task; nil when its handler returned nothing
	Error  string          // of a failed task, or the reason of a cancelled one
	Reason events.Reason   // of a failed task
	Event  events.ID       // of the final event; its time is when the task ended
}

// Wait returns when the task is completed, failed or cancelled: at once if it is so now. It follows
// the log and does not poll; any number of waits share one reader. A failed task is an Outcome and
// no error. Wait returns an eventlog.ErrNotFound, the cause of ctx, or ErrClosed; while Redis is away
// it goes on waiting, unless it was away from the start.
func (c *Client) Wait(ctx context.Context, id string) (Outcome, error) {
	part := c.log.Of(id)
	f := c.followers[part.N]
	look, leave, err := f.join(id)
	if err != nil {
		return Outcome{}, fmt.Errorf("wait for task %s: %w", id, err)
	}
	defer leave()
	for first := true; ; first = false {
		o, err := within(ctx, c, func() (Outcome, error) { return c.outcome(ctx, id) })
		if err == nil && o.Task.State.Final() {
			return o, nil
		}
		if err != nil && (first || !eventlog.Unavailable(err)) {
			return Outcome{}, fmt.Errorf("wait: %w", err)
		}
		var again <-chan time.Time // of a look that failed nobody tells
		if err != nil {
			again = time.After(followPause)
		}
		select {
		case <-look:
		case <-again:
		case <-c.life.Done():
			return Outcome{}, fmt.Errorf("wait for task %s: %w", id, ErrClosed)
		case <-ctx.Done():
			return Outcome{}, fmt.Errorf("wait for task %s: %w", id, context.Cause(ctx))
		}
	}
}

// outcome reads a task, and its final event if it is over.
func (c *Client) outcome(ctx context.Context, id string) (Outcome, error) {
	t, err := c.log.Task(ctx, id)
	o := Outcome{Task: t}
	if err != nil || !t.State.Final() {
		return o, err
	}
	final := t
	if n := len(t.Events); n > 0 {
		o.Event = t.Events[n-1]
		final.Events = t.Events[n-1:]
	}
	history, err := c.log.History(ctx, final)
	if err != nil {
		return o, err
	}
	for _, e := range history {
		switch d := e.Data.(type) {
		case events.TaskCompleted:
			o.Result = d.Result
		case events.TaskFailed:
			o.Error, o.Reason = d.Error, d.Reason
		case events.TaskCancelled:
			o.Error = d.Reason
		default: // nothing else is final
		}
	}
	return o, nil
}
