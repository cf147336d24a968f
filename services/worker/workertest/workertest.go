// Package workertest runs handlers in the tests of their authors: one attempt, in memory, without a
// Redis and without a worker.
//
//	got := workertest.Run(t.Context(), sendEmail, Email{UserID: 123}, workertest.Attempt{})
//	if got.Err != nil || string(got.Result) != `{"sent":true}` {
//		t.Errorf("got %+v", got)
//	}
//
// # Guarantees
//
// The payload goes through JSON, and what the handler does is judged, as by a worker: by the same code.
//
// # Time
//
// The timeout is local. In a bubble of testing/synctest it passes in no time.
package workertest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/worker"
	"github.com/tasklog/tasklog/services/worker/internal/verdict"
)

// Attempt is what a handler can see of its attempt besides the payload, and what decides about the
// next one. The zero Attempt is the first of five at a task "test" in the queue "default".
type Attempt struct {
	Task        string    // its id. Empty means "test"
	Name        string    // Empty means "test"
	Queue       string    // Empty means "default"
	Priority    int       // 0 … events.MaxPriority
	Traceparent string    // W3C trace context
	DueAt       time.Time // since when it could have run
	Number      int       // of the attempt. Zero means 1
	Attempts    int       // how many count, this one included. Zero means Number
	MaxAttempts int       // Zero means 5
	Backoff     events.Backoff
	Timeout     time.Duration // Zero means none
}

func (a Attempt) withDefaults() Attempt {
	a.Task = cmp.Or(a.Task, "test")
	a.Name = cmp.Or(a.Name, "test")
	a.Queue = cmp.Or(a.Queue, events.DefaultQueue)
	a.Number = cmp.Or(a.Number, 1)
	a.Attempts = cmp.Or(a.Attempts, a.Number)
	a.MaxAttempts = cmp.Or(a.MaxAttempts, events.DefaultMaxAttempts)
	return a
}

// Result is what the log would say of an attempt. Without an Err the task is completed.
type Result struct {
	Result  json.RawMessage // of a completed task; nil when its handler returned nothing
	Err     error           // what the handler returned, its panic, or why its payload or result is none
	Error   string          // Err as the log keeps it: cut, without control characters
	Reason  events.Reason   // of a failure, or shutdown
	Final   bool            // there will be no next attempt
	RetryIn time.Duration   // until the next attempt, if there is one: its backoff without the jitter
}

// Run runs one attempt of a handler and returns when the handler has. The payload is any value that
// encoding/json takes; a json.RawMessage is sent as it is, and nil means null.
//
// The handler's context is ctx, with the attempt's timeout. To see what a handler does when its worker
// ends it, cancel ctx with worker.ErrCancelled, ErrLeaseLost or ErrShutdown as the cause. After the
// first two nothing is recorded: Err is the cause, and nothing else is set. After ErrShutdown an error
// means that the task is given back: the reason is shutdown, and the next attempt comes at once.
func Run[P any](ctx context.Context, h func(context.Context, worker.Task[P]) (any, error), payload any, a Attempt) Result {
	a = a.withDefaults()
	var sent json.RawMessage
	if payload != nil {
		var err error
		if sent, err = json.Marshal(payload); err != nil {
			refused := &events.FieldError{Field: "payload", Reason: err.Error()}
			return Result{Err: refused, Error: refused.Error(), Reason: events.ReasonRejected, Final: true}
		}
	}
	timeout := a.Timeout
	if timeout > 0 {
		bounded, cancel := context.WithTimeoutCause(ctx, timeout, worker.ErrTimeout)
		defer cancel()
		ctx = bounded
	}
	var (
		result  any
		err     error
		cause   error
		running sync.WaitGroup
	)
	attempt := func() error {
		p, err := verdict.Decode[P](sent)
		if err != nil {
			return err
		}
		result, err = h(ctx, worker.Task[P]{
			ID: a.Task, Name: a.Name, Queue: a.Queue, Priority: a.Priority, Payload: p, DueAt: a.DueAt,
			Attempt: a.Number, Attempts: a.Attempts, MaxAttempts: a.MaxAttempts, Traceparent: a.Traceparent,
		})
		return err
	}
	running.Go(func() { // a handler may end its goroutine
		verdict.Protect(attempt, func(e error) { err, cause = e, context.Cause(ctx) })
	})
	running.Wait()
	switch {
	case errors.Is(cause, worker.ErrCancelled), errors.Is(cause, worker.ErrLeaseLost):
		return Result{Err: cause}
	case errors.Is(cause, worker.ErrShutdown) && err != nil:
		return Result{Err: err, Reason: events.ReasonShutdown}
	case !errors.Is(cause, worker.ErrTimeout):
		timeout = 0
	}
	return a.judge(result, err, timeout)
}

// judge tells what a worker would record.
func (a Attempt) judge(result any, err error, timeout time.Duration) Result {
	v := verdict.Of(result, err, timeout)
	if v.Reason == "" {
		return Result{Result: v.Result, Final: true}
	}
	if err == nil {
		err = errors.New(v.Error) // it was the result
	}
	const middle = 0.5 // of the jitter
	r := Result{Err: err, Error: v.Error, Reason: v.Reason, Final: true}
	if retry := v.Retry(events.Definition{MaxAttempts: a.MaxAttempts, Backoff: a.Backoff}, a.Attempts, middle); retry != nil {
		r.Final, r.RetryIn = false, *retry
	}
	return r
}
