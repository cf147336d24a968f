package eventlog

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
)

//go:embed finish.lua
var finishSource string

var finishScript = newScript(finishSource)

// completion and failure are what a worker adds to the bodies of TaskCompleted and TaskFailed.
type completion struct {
	Worker string          `json:"worker"`
	RunMs  int64           `json:"runMs"`
	Result json.RawMessage `json:"result,omitempty"`
}

type failure struct {
	Worker string        `json:"worker"`
	RunMs  int64         `json:"runMs"`
	Error  string        `json:"error"`
	Reason events.Reason `json:"reason"`
}

// Complete appends TaskCompleted, closes the lease and releases the lock. It returns an ErrFenced
// when a no longer holds the task. Any other error means unknown: call it again.
func (l *Log) Complete(ctx context.Context, a Attempt, run time.Duration, result json.RawMessage) (Outcome, error) {
	rest, err := events.Fragment(completion{a.Worker, ms(run), result})
	if err != nil {
		return Outcome{}, fmt.Errorf("complete task %s attempt %d: result: %w", a.Task, a.Number, err)
	}
	return l.finish(ctx, a, events.TypeTaskCompleted, rest, nil)
}

// Fail appends TaskFailed. The task is tried again after *retry, or never when that is nil.
// It returns an ErrFenced when a no longer holds the task. Any other error means unknown: call it again.
func (l *Log) Fail(ctx context.Context, a Attempt, run time.Duration, reason events.Reason, message string, retry *time.Duration) (Outcome, error) {
	rest, err := events.Fragment(failure{a.Worker, ms(run), message, reason})
	if err != nil {
		return Outcome{}, fmt.Errorf("fail task %s attempt %d: %w", a.Task, a.Number, err)
	}
	return l.finish(ctx, a, events.TypeTaskFailed, rest, retry)
}

func (l *Log) finish(ctx context.Context, a Attempt, typ events.Type, rest string, retry *time.Duration) (Outcome, error) {
	p := l.Of(a.Task)
	create := func() *group {
		return &group{log: l, script: finishScript, args: []any{ms(l.kept)}, keys: []string{p.Events, p.Leases, p.Delayed}}
	}
	r, err := l.finishes.decide(ctx, p.base, create, []string{p.Task(a.Task), p.Lock(a.Task)},
		a.Task, itoa(int64(a.Number)), a.Token, string(typ), rest, retryArg(retry))
	if err != nil {
		return Outcome{}, fmt.Errorf("finish task %s attempt %d: %w", a.Task, a.Number, err)
	}
	out, err := r.outcome()
	if err != nil {
		return Outcome{}, fmt.Errorf("finish task %s attempt %d: %w", a.Task, a.Number, err)
	}
	return out, nil
}
