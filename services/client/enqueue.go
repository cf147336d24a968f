package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Task is what to do, and when. Only Name is required.
type Task struct {
	// Name chooses the handler.
	Name string
	// Payload is what the handler gets: any value that encoding/json takes. Nil means null.
	Payload any
	// Queue is where the task waits. Empty means "default".
	Queue string
	// Priority is 0 … events.MaxPriority, and lower runs first.
	Priority int
	// Delay is how long from now, by Redis' clock, the task must wait at least.
	Delay time.Duration
	// RunAt is the time before which the task must not run; one that is past means now. Not both
	// Delay and RunAt.
	RunAt time.Time
	// ID names the task: while a task with it is in the log, asking again appends nothing. Empty
	// means a new one (a UUID, version 7).
	ID string
	// MaxAttempts is how many attempts may fail before the task does. Zero means 5.
	MaxAttempts int
	// Backoff says how long to wait between attempts; see its type.
	Backoff events.Backoff
	// Timeout ends an attempt that takes longer, counted in whole milliseconds. Zero means the worker's default.
	Timeout time.Duration
	// Traceparent is a W3C trace context that the handler's context continues.
	Traceparent string
}

// Receipt tells what became of an Enqueue.
type Receipt struct {
	ID        string       // of the task
	Queue     string       // where it waits
	State     events.State // now: a duplicate may be long done
	DueAt     time.Time    // by Redis' clock
	Event     events.ID    // of TaskRequested
	Duplicate bool         // a task with this ID was there: nothing was appended
}

// Enqueue asks for a task. It returns an *events.FieldError for a field that is wrong, an
// eventlog.ErrFull where Redis has no room for more tasks, and at once an error that is eventlog.Closed where
// the log was moved or is an unfinished copy; nothing was appended then. Any other error
// means unknown: the task may have been appended, and calling again with the ID that the receipt then
// still has is safe.
func (c *Client) Enqueue(ctx context.Context, t Task) (Receipt, error) {
	a := c.asked(t)
	if a.err == nil {
		_ = c.ask(ctx, []*asked{a}) // a has it
	}
	return a.receipt, a.err
}

// request checks a task as the HTTP API does, and fills in what was left out.
func (c *Client) request(t Task) (eventlog.Request, error) {
	r := eventlog.Request{
		Task:  t.ID,
		Label: events.Label{Queue: t.Queue, Name: t.Name},
		Definition: events.Definition{
			Priority: t.Priority, MaxAttempts: t.MaxAttempts, Backoff: t.Backoff,
			TimeoutMs: ceilMs(t.Timeout), Traceparent: t.Traceparent,
		},
		Delay: t.Delay, RunAt: t.RunAt,
	}
	if r.Queue == "" {
		r.Queue = events.DefaultQueue
	}
	if r.MaxAttempts == 0 {
		r.MaxAttempts = events.DefaultMaxAttempts
	}
	fresh, err := uuid.NewV7()
	if err != nil {
		return r, fmt.Errorf("make an id: %w", err)
	}
	if r.Task == "" {
		r.Task = fresh.String()
	} else {
		r.RequestID = fresh.String()
	}
	if r.Payload, err = c.payload(t.Payload); err != nil {
		return r, err
	}
	err = errors.Join(
		events.ValidateName("name", r.Name),
		events.ValidateName("id", r.Task),
		events.ValidateName("queue", r.Queue),
		r.Validate(),
		validateTime(t),
	)
	return r, err
}

func validateTime(t Task) error {
	switch {
	case t.Delay < 0 || t.Delay > events.MaxDelay:
		return &events.FieldError{Field: "delay", Reason: fmt.Sprintf("%s is not between 0 and %s", t.Delay, events.MaxDelay)}
	case t.Delay > 0 && !t.RunAt.IsZero():
		return &events.FieldError{Field: "runAt", Reason: "delay and runAt exclude each other"}
	case !t.RunAt.IsZero() && time.Until(t.RunAt) > events.MaxDelay:
		return &events.FieldError{Field: "runAt", Reason: fmt.Sprintf("is more than %s away", events.MaxDelay)}
	case !t.RunAt.IsZero() && t.RunAt.UnixMilli() < 0:
		return &events.FieldError{Field: "runAt", Reason: "lies before 1970"}
	}
	return nil
}

// payload returns v as JSON, or nil for null.
func (c *Client) payload(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	data, err := events.Marshal(v)
	if err != nil {
		return nil, &events.FieldError{Field: "payload", Reason: err.Error()}
	}
	if events.Depth(data) > events.MaxDepth {
		return nil, &events.FieldError{Field: "payload", Reason: fmt.Sprintf("arrays and objects are nested deeper than %d", events.MaxDepth)}
	}
	if len(data) > c.opts.MaxPayload {
		return nil, &events.FieldError{Field: "payload", Reason: fmt.Sprintf("%d bytes is longer than %d", len(data), c.opts.MaxPayload)}
	}
	return data, nil
}

// ceilMs rounds up: a timeout of half a millisecond is not none.
func ceilMs(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
